//! Go's durations as text: `1m30s`, `250ms`. The form of every time span in Consul's files and bodies.
//!
//! Follows the grammar of Go's `time.ParseDuration` and the spelling of its `Duration.String`. Negative spans read as
//! zero: wherever Consul takes one, it means "unset".

use std::{fmt::Write, time::Duration};

const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Why a text is no duration. `Display` is Go's sentence, which clients see.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// No number, or something that is not one.
    #[error("time: invalid duration {0:?}")]
    Invalid(String),
    /// A number alone.
    #[error("time: missing unit in duration {0:?}")]
    MissingUnit(String),
    /// A unit that does not exist.
    #[error("time: unknown unit {unit:?} in duration {text:?}")]
    UnknownUnit {
        /// What stands where a unit should.
        unit: String,
        /// The whole text.
        text: String,
    },
}

impl DurationError {
    /// The sentence for someone who wrote it in a file: what is wrong, and what would be right.
    #[must_use]
    pub fn explain(&self) -> String {
        match self {
            Self::Invalid(text) => format!("{text:?} is no duration (try \"10s\")"),
            Self::MissingUnit(text) => format!("{text:?} has no unit (try \"{text}s\")"),
            Self::UnknownUnit { unit, text } => {
                format!("{text:?} has an unknown unit {unit:?} (there are ns, us, ms, s, m, h)")
            }
        }
    }
}

/// Reads a duration; at most about 292 years, as in Go.
///
/// # Errors
/// [`DurationError`] in Go's words.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let invalid = || DurationError::Invalid(text.into());
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut nanoseconds: u128 = 0;
    while !rest.is_empty() {
        let (amount, after) = term(rest, text)?;
        nanoseconds = nanoseconds.saturating_add(amount);
        rest = after;
    }
    let nanoseconds = u64::try_from(nanoseconds).ok().filter(|n| i64::try_from(*n).is_ok()).ok_or_else(invalid)?;
    Ok(if negative { Duration::ZERO } else { Duration::from_nanos(nanoseconds) })
}

/// One number with its unit, in nanoseconds, and what follows it.
fn term<'a>(rest: &'a str, text: &str) -> Result<(u128, &'a str), DurationError> {
    let invalid = || DurationError::Invalid(text.into());
    let (whole, after) = digits(rest);
    let (fraction, after) = after.strip_prefix('.').map_or(("", after), digits);
    if whole.is_empty() && fraction.is_empty() {
        return Err(invalid());
    }
    let end = after.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(after.len());
    let (unit, after) = after.split_at(end);
    if unit.is_empty() {
        return Err(DurationError::MissingUnit(text.into()));
    }
    let Some((_, size)) = UNITS.iter().find(|(name, _)| *name == unit) else {
        return Err(DurationError::UnknownUnit { unit: unit.into(), text: text.into() });
    };
    let size = u128::from(*size);
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| invalid())? };
    let mut amount = whole.checked_mul(size).ok_or_else(invalid)?;
    let mut place = size;
    for digit in fraction.bytes().take(15) {
        place *= 10;
        amount = amount.saturating_mul(10).saturating_add(u128::from(digit - b'0') * size);
    }
    let scale = place / size;
    Ok((amount / scale, after))
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

/// Spells a duration as Go does: `1m30s`, `250ms`, `1.5s`, `0s`.
#[must_use]
pub fn show(duration: Duration) -> String {
    let nanoseconds = duration.as_nanos();
    let (unit, size) = match nanoseconds {
        0 => return "0s".into(),
        1..1_000 => ("ns", 1),
        1_000..1_000_000 => ("\u{b5}s", 1_000),
        1_000_000..1_000_000_000 => ("ms", 1_000_000),
        _ => return show_seconds(duration),
    };
    decimal(nanoseconds / size, nanoseconds % size, size) + unit
}

fn show_seconds(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let mut text = String::new();
    if seconds >= 3_600 {
        let _ = write!(text, "{}h", seconds / 3_600);
    }
    if seconds >= 60 {
        let _ = write!(text, "{}m", seconds / 60 % 60);
    }
    text + &decimal(u128::from(seconds % 60), u128::from(duration.subsec_nanos()), 1_000_000_000) + "s"
}

fn decimal(whole: u128, part: u128, size: u128) -> String {
    if part == 0 {
        return whole.to_string();
    }
    let width = size.to_string().len() - 1;
    let fraction = format!("{part:0width$}");
    format!("{whole}.{}", fraction.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_read_as_in_go() {
        for (text, nanoseconds) in [
            ("0", 0),
            ("10s", 10_000_000_000),
            ("1m30s", 90_000_000_000),
            ("250ms", 250_000_000),
            ("1.5h", 5_400_000_000_000),
            (".5s", 500_000_000),
            ("1h2m3.004s", 3_723_004_000_000),
            ("7us", 7_000),
            ("7\u{b5}s", 7_000),
            ("+3ns", 3),
            ("-5s", 0),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_nanos(nanoseconds)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_told_in_gos_words_and_explained() {
        for (text, sentence, explained) in [
            ("nonsense", "time: invalid duration \"nonsense\"", "\"nonsense\" is no duration (try \"10s\")"),
            ("", "time: invalid duration \"\"", "\"\" is no duration (try \"10s\")"),
            ("10", "time: missing unit in duration \"10\"", "\"10\" has no unit (try \"10s\")"),
            (
                "3d",
                "time: unknown unit \"d\" in duration \"3d\"",
                "\"3d\" has an unknown unit \"d\" (there are ns, us, ms, s, m, h)",
            ),
            (
                "99999999999h",
                "time: invalid duration \"99999999999h\"",
                "\"99999999999h\" is no duration (try \"10s\")",
            ),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!((error.to_string().as_str(), error.explain().as_str()), (sentence, explained));
        }
    }

    #[test]
    fn durations_are_spelled_as_in_go() {
        for (nanoseconds, text) in [
            (0, "0s"),
            (1, "1ns"),
            (1_500, "1.5\u{b5}s"),
            (250_000_000, "250ms"),
            (10_000_000_000, "10s"),
            (90_000_000_000, "1m30s"),
            (3_600_000_000_000, "1h0m0s"),
            (1_050_000_000, "1.05s"),
        ] {
            assert_eq!(show(Duration::from_nanos(nanoseconds)), text);
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(nanoseconds in 0..i64::MAX as u64) {
            let duration = Duration::from_nanos(nanoseconds);
            prop_assert_eq!(parse(&show(duration)), Ok(duration));
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = parse(&text);
        }
    }
}
