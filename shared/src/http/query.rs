//! The query string of a request, and percent-escapes in paths.
//!
//! Keeps every pair in its order, since some parameters repeat and some count by their mere presence. Nothing here
//! fails: a broken escape stands for itself, bytes that are no UTF-8 become U+FFFD. What the parameters mean is
//! `params.rs`'s matter.

/// The decoded pairs of a query string.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    /// Takes apart what stands after the `?` (form encoding: `+` is a space).
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name, true), decode(value, true))
        });
        Self { pairs: pairs.collect() }
    }

    /// All pairs, in order.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether the parameter is there, with or without a value.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.pairs.iter().any(|(n, _)| n == name)
    }

    /// The parameter's first value; empty where it has none, `None` where it is absent.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The parameter's first value, unless that is empty.
    #[must_use]
    pub fn filled(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }

    /// All values of a repeatable parameter, in order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.pairs.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

/// Replaces `%2F` and the like in a part of a path. A `+` stays one.
#[must_use]
pub fn decode_path(text: &str) -> String {
    decode(text, false)
}

/// Percent-encodes what stands in a part of a path or in a parameter (RFC 3986, 2.3); a colon stays one.
#[must_use]
pub fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b':' => encoded.push(byte.into()),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

fn decode(text: &str, plus_is_space: bool) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        bytes.push(match (byte, after) {
            (b'%', [high, low, ..]) => match (hex_digit(*high), hex_digit(*low)) {
                (Some(high), Some(low)) => {
                    rest = &after[2..];
                    high * 16 + low
                }
                _ => b'%',
            },
            (b'+', _) if plus_is_space => b' ',
            _ => byte,
        });
    }
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes() {
        for (text, form, path) in [
            ("", "", ""),
            ("a%2Fb", "a/b", "a/b"),
            ("a+b%20c", "a b c", "a+b c"),
            ("100%", "100%", "100%"),
            ("%zz%4", "%zz%4", "%zz%4"),
            ("%C3%A4%ff", "ä\u{fffd}", "ä\u{fffd}"),
            ("%25%32%46", "%2F", "%2F"),
        ] {
            assert_eq!((decode(text, true).as_str(), decode(text, false).as_str()), (form, path), "{text}");
            assert_eq!(decode(&encode(form), true), form);
        }
    }

    #[test]
    fn presence_and_value_are_told_apart() {
        let query = Query::parse("stale&passing=&tag=a&tag=b&&x=1=2");
        assert!(query.has("stale") && query.has("passing") && !query.has("recurse"));
        assert_eq!(query.get("stale"), Some(""));
        assert_eq!(query.filled("passing"), None);
        assert_eq!(query.all("tag").collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(query.get("x"), Some("1=2"));
    }
}
