//! Just enough of DER (X.690) for public keys in their usual wrapping: SubjectPublicKeyInfo (RFC 5280, 4.1.2.7) with RSA
//! (RFC 8017, A.1.1), elliptic curves (RFC 5480, 2) or Ed25519 (RFC 8410, 4). Nothing else is understood, and nothing
//! that is longer than 64 KiB.

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OBJECT_IDENTIFIER: u8 = 0x06;
const SEQUENCE: u8 = 0x30;

const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const ELLIPTIC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];

/// A public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Public {
    /// Without leading zeros.
    Rsa { modulus: Vec<u8>, exponent: Vec<u8> },
    /// A point of that curve.
    P256(Vec<u8>),
    /// A point of that curve.
    P384(Vec<u8>),
    /// A key of RFC 8032.
    Ed25519(Vec<u8>),
}

/// Takes a key out of a SubjectPublicKeyInfo; none where it is of no kind that is understood.
pub(super) fn unwrap_key(der: &[u8]) -> Option<Public> {
    let mut info = Reader(der).whole(SEQUENCE)?;
    let mut algorithm = Reader(info.take(SEQUENCE)?);
    let (unused_bits, key) = info.take(BIT_STRING)?.split_first()?;
    // A key is a whole number of bytes.
    if *unused_bits != 0 || !info.is_over() {
        return None;
    }
    match algorithm.take(OBJECT_IDENTIFIER)? {
        RSA => {
            let mut numbers = Reader(key).whole(SEQUENCE)?;
            let (modulus, exponent) = (numbers.unsigned()?, numbers.unsigned()?);
            numbers.is_over().then(|| Public::Rsa { modulus: modulus.to_vec(), exponent: exponent.to_vec() })
        }
        ELLIPTIC => match algorithm.take(OBJECT_IDENTIFIER)? {
            P256 => Some(Public::P256(key.to_vec())),
            P384 => Some(Public::P384(key.to_vec())),
            _ => None,
        },
        ED25519 => Some(Public::Ed25519(key.to_vec())),
        _ => None,
    }
}

/// What has not been read yet.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// The content of the one value of that kind that all of it must be.
    fn whole(mut self, tag: u8) -> Option<Self> {
        let content = self.take(tag)?;
        self.is_over().then_some(Self(content))
    }

    fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    /// The content of the next value, which must be of that kind.
    fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (found, rest) = self.0.split_first()?;
        let (first, rest) = rest.split_first()?;
        let (length, rest) = match (*first, rest) {
            (short @ 0..=0x7f, rest) => (usize::from(short), rest),
            (0x81, [length, rest @ ..]) => (usize::from(*length), rest),
            (0x82, [high, low, rest @ ..]) => (usize::from(*high) << 8 | usize::from(*low), rest),
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        (*found == tag).then_some(content)
    }

    /// The next value, a number that is not negative, without leading zeros.
    fn unsigned(&mut self) -> Option<&'a [u8]> {
        let number = self.take(INTEGER)?;
        if number.first().is_none_or(|first| *first >= 0x80) {
            return None;
        }
        Some(without_zeros(number))
    }
}

/// The bytes of a number without leading zeros.
pub(super) fn without_zeros(number: &[u8]) -> &[u8] {
    let start = number.iter().position(|byte| *byte != 0).unwrap_or(number.len());
    &number[start..]
}
