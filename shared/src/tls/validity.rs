//! From when until when a certificate holds, read from its DER (RFC 5280, 4.1 and 4.1.2.5), for those who look after it.
//!
//! Nothing is decided by it: whether a certificate is taken is webpki's matter.

use crate::model::days_since_1970;

/// The times of a certificate, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// It does not hold before.
    pub not_before: i64,
    /// It does not hold after.
    pub not_after: i64,
}

const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const SECONDS_A_DAY: i64 = 86_400;

impl Validity {
    /// That of a certificate; none where it cannot be read.
    pub fn of(certificate: &[u8]) -> Option<Self> {
        let (tag, certificate, _) = element(certificate)?;
        let (_, to_be_signed, _) = element(certificate).filter(|_| tag == SEQUENCE)?;
        let (tag, _, after_version) = element(to_be_signed)?;
        let rest = if tag == VERSION { after_version } else { to_be_signed };
        let rest = after(rest, INTEGER)?;
        // The algorithm and the issuer.
        let rest = after(after(rest, SEQUENCE)?, SEQUENCE)?;
        let (tag, validity, _) = element(rest)?;
        let (first, not_before, rest) = element(validity).filter(|_| tag == SEQUENCE)?;
        let (second, not_after, _) = element(rest)?;
        Some(Self { not_before: time(first, not_before)?, not_after: time(second, not_after)? })
    }
}

/// The tag and content of the first element, and what follows it (X.690, 8.1).
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, length], rest) = bytes.split_first_chunk()?;
    let (length, rest) = if length < 0x80 {
        (usize::from(length), rest)
    } else {
        // A certificate of 16 MB and more is none.
        let digits = usize::from(length & 0x7f);
        let (digits, rest) = rest.split_at_checked(digits).filter(|_| (1..=3).contains(&digits))?;
        (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

fn after(bytes: &[u8], expected: u8) -> Option<&[u8]> {
    element(bytes).filter(|(tag, ..)| *tag == expected).map(|(.., rest)| rest)
}

/// `YYMMDDHHMMSSZ` with years from 1950, or `YYYYMMDDHHMMSSZ`.
fn time(tag: u8, text: &[u8]) -> Option<i64> {
    let digits = text.strip_suffix(b"Z").filter(|digits| digits.iter().all(u8::is_ascii_digit))?;
    let number = |digits: &[u8]| digits.iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0'));
    let (year, rest) = match (tag, digits.len()) {
        (UTC_TIME, 12) => {
            let year = number(&digits[..2]);
            (if year < 50 { 2000 + year } else { 1900 + year }, &digits[2..])
        }
        (GENERALIZED_TIME, 14) => (number(&digits[..4]), &digits[4..]),
        _ => return None,
    };
    let [month, day, hour, minute, second] = [0, 2, 4, 6, 8].map(|place| number(&rest[place..place + 2]));
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    Some(days_since_1970(year, month, day) * SECONDS_A_DAY + (hour * 60 + minute) * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_of_a_certificate() {
        for (year, unix) in
            [(2027, 1_805_414_400), (2049, 2_499_724_800), (2050, 2_531_260_800), (9999, 253_377_417_600)]
        {
            let mut parameters = rcgen::CertificateParams::new(vec!["a".into()]).unwrap();
            parameters.not_before = rcgen::date_time_ymd(1996, 2, 29);
            parameters.not_after = rcgen::date_time_ymd(year, 3, 19);
            let made = parameters.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
            let validity = Validity::of(made.der()).unwrap();
            assert_eq!((validity.not_before, validity.not_after), (825_552_000, unix), "{year}");
        }
    }

    #[test]
    fn what_is_no_certificate_has_none() {
        let made = rcgen::generate_simple_self_signed(vec!["a".into()]).unwrap();
        let der = made.cert.der();
        for length in 0..der.len() {
            assert!(Validity::of(&der[..length]).is_none(), "{length}");
        }
        for place in 0..der.len() {
            let mut broken = der.to_vec();
            broken[place] ^= 0xff;
            // It must only not panic.
            let _ = Validity::of(&broken);
        }
    }
}
