//! HCL version 1, the language of Consul's files, read into the tree that the same settings in JSON give.
//!
//! ```text
//! body  := { item [","] }
//! item  := key { key } ( "=" value | object )          keys may be quoted; more keys than one are labels
//! value := string | heredoc | number | bool | list | object
//! ```
//!
//! `lexer` makes tokens, `text` reads quoted strings and heredocs, `parser` builds the tree, `print` writes one. As in
//! HCL 1's own decoder an object that is written several times under one key becomes a list, a label becomes an object
//! around its block, and `${...}` in a string stays as it is. A body that begins with `{` is JSON.
//!
//! HCL 2 (expressions, functions, `for`) is not read. Nothing here knows what a setting means: `super::file` does.

mod lexer;
mod parser;
mod print;
#[cfg(test)]
mod tests;
mod text;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

pub use self::print::Printed;

/// Objects and lists inside each other, at most.
pub const DEPTH_MAX: usize = 64;

/// What is wrong with a text, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{line}:{column}: {problem}")]
pub struct SyntaxError {
    /// The line, from 1.
    pub line: usize,
    /// The character in the line, from 1.
    pub column: usize,
    /// What is wrong and what would be right.
    pub problem: String,
}

/// Reads a body: the settings of one file.
///
/// # Errors
/// [`SyntaxError`] at the first place that is not HCL, or where [`DEPTH_MAX`] is passed.
pub fn parse(text: &str) -> Result<Map<String, Value>, SyntaxError> {
    parser::Parser::new(text).body()
}

/// Reads JSON, with the same errors.
///
/// # Errors
/// [`SyntaxError`] at the first place that is not JSON.
pub fn parse_json<T: DeserializeOwned>(text: &str) -> Result<T, SyntaxError> {
    serde_json::from_str(text.strip_prefix('\u{feff}').unwrap_or(text)).map_err(|error| {
        let said = error.to_string();
        // The place stands before it already.
        let problem = said.rsplit_once(" at line ").map_or(said.as_str(), |(problem, _)| problem);
        SyntaxError { line: error.line(), column: error.column(), problem: format!("not JSON: {problem}") }
    })
}
