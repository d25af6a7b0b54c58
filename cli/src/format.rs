//! What a command prints: words for people, or JSON for programs (`-format=json`).

use clap::{Args, ValueEnum};
use serde::{Serialize, de::IgnoredAny};

/// Spaces of one level in a JSON document, as Consul's `?pretty` has.
const INDENT: &str = "    ";

/// How a command prints what it found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Pretty,
    /// For programs
    Json,
}

/// The flag that chooses.
#[derive(Args, Clone, Debug, Default)]
pub struct FormatFlags {
    /// How to print: a table for people, or JSON for programs
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    pub format: Format,
}

impl FormatFlags {
    /// Whether a program reads it.
    pub fn is_json(&self) -> bool {
        self.format == Format::Json
    }
}

/// A value as an indented document that ends with a line feed.
///
/// # Errors
/// The value cannot be in JSON: a map has keys that are no strings.
pub fn json(value: &impl Serialize) -> Result<String, serde_json::Error> {
    indented(&serde_json::to_vec(value)?)
}

/// A JSON document indented, with the order of its keys and the digits of its numbers kept. It ends with a line feed.
///
/// # Errors
/// It is not JSON.
pub fn indented(document: &[u8]) -> Result<String, serde_json::Error> {
    serde_json::from_slice::<IgnoredAny>(document)?;
    let document = String::from_utf8_lossy(document);
    let mut text = String::with_capacity(document.len() * 2);
    let (mut depth, mut in_string, mut is_escaped) = (0, false, false);
    let mut characters = document.chars().peekable();
    while let Some(character) = characters.next() {
        if in_string {
            text.push(character);
            in_string = is_escaped || character != '"';
            is_escaped = !is_escaped && character == '\\';
            continue;
        }
        match character {
            '"' => {
                in_string = true;
                text.push('"');
            }
            '{' | '[' => {
                text.push(character);
                while characters.next_if(|next| next.is_ascii_whitespace()).is_some() {}
                match characters.next_if(|next| matches!(next, '}' | ']')) {
                    Some(end) => text.push(end),
                    None => {
                        depth += 1;
                        new_line(&mut text, depth);
                    }
                }
            }
            '}' | ']' => {
                depth -= 1;
                new_line(&mut text, depth);
                text.push(character);
            }
            ',' => {
                text.push(',');
                new_line(&mut text, depth);
            }
            ':' => text.push_str(": "),
            space if space.is_ascii_whitespace() => {}
            other => text.push(other),
        }
    }
    text.push('\n');
    Ok(text)
}

fn new_line(text: &mut String, depth: usize) {
    text.push('\n');
    text.push_str(&INDENT.repeat(depth));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_indented_and_otherwise_kept() {
        for (document, expected) in [
            ("null", "null\n"),
            (" [ ] ", "[]\n"),
            (r#"{"b":1.50,"a":{}}"#, "{\n    \"b\": 1.50,\n    \"a\": {}\n}\n"),
            (
                r#"[["x, \"[y\\"],{"k" : "{:}"}]"#,
                "[\n    [\n        \"x, \\\"[y\\\\\"\n    ],\n    {\n        \"k\": \"{:}\"\n    }\n]\n",
            ),
        ] {
            assert_eq!(indented(document.as_bytes()).unwrap(), expected);
        }
        for wrong in ["", "{", "[1,]", "{} {}", "]"] {
            assert!(indented(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    proptest::proptest! {
        #[test]
        fn indenting_changes_no_value(keys in proptest::collection::vec(".{0,8}", 0..5), number: i64) {
            let value = serde_json::json!({"keys": keys, "nested": {"number": number, "none": null}, "empty": [[], {}]});
            let text = json(&value).unwrap();
            proptest::prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
        }
    }
}
