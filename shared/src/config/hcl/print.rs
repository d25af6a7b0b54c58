//! Writing a tree as HCL. What is written reads back as the same tree; HCL has no null, so nulls are left out.

use std::fmt::{self, Display, Formatter, Write};

use serde_json::{Map, Value};

use super::lexer::is_word_part;

/// A body that displays as HCL, a setting a line.
///
/// ```
/// let body = serde_json::json!({"ports": {"http": 80}, "server": true});
/// let printed = lictor_shared::config::hcl::Printed(body.as_object().unwrap()).to_string();
/// assert_eq!(printed, "ports = {\n  http = 80\n}\nserver = true\n");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Printed<'a>(
    /// The settings.
    pub &'a Map<String, Value>,
);

impl Display for Printed<'_> {
    fn fmt(&self, to: &mut Formatter<'_>) -> fmt::Result {
        items(to, self.0, 0)
    }
}

fn items(to: &mut Formatter<'_>, object: &Map<String, Value>, depth: usize) -> fmt::Result {
    for (key, value) in object.iter().filter(|(_, value)| !value.is_null()) {
        write!(to, "{:1$}", "", depth * 2)?;
        let bare = key.starts_with(|c: char| c.is_alphabetic() || c == '_') && key.chars().all(is_word_part);
        if bare {
            to.write_str(key)?
        } else {
            text(to, key)?
        }
        to.write_str(" = ")?;
        print(to, value, depth)?;
        to.write_char('\n')?;
    }
    Ok(())
}

fn print(to: &mut Formatter<'_>, value: &Value, depth: usize) -> fmt::Result {
    match value {
        Value::Null => Ok(()),
        Value::Bool(flag) => write!(to, "{flag}"),
        Value::Number(number) => write!(to, "{number}"),
        Value::String(content) => text(to, content),
        Value::Array(list) => {
            to.write_char('[')?;
            for (number, item) in list.iter().filter(|item| !item.is_null()).enumerate() {
                to.write_str(if number == 0 { "" } else { ", " })?;
                print(to, item, depth)?;
            }
            to.write_char(']')
        }
        Value::Object(object) => {
            to.write_str("{\n")?;
            items(to, object, depth + 1)?;
            write!(to, "{:1$}}}", "", depth * 2)
        }
    }
}

fn text(to: &mut Formatter<'_>, content: &str) -> fmt::Result {
    to.write_char('"')?;
    for c in content.chars() {
        match c {
            '"' | '\\' => write!(to, "\\{c}")?,
            '\n' => to.write_str("\\n")?,
            // So that "${" is never read as the beginning of an interpolation.
            '$' => to.write_str("\\u0024")?,
            c if c.is_control() => write!(to, "\\U{:08x}", u32::from(c))?,
            c => to.write_char(c)?,
        }
    }
    to.write_char('"')
}
