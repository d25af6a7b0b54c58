//! Consul's filter expressions (`?filter=`): `Service.Meta.version == "1" and Checks.Status != critical`.
//!
//! [`Filter::parse`] reads the text (`parse.rs`) into an [`Expression`] and checks it against the [`Schema`] of the
//! row type asked for (`schema.rs` has the tables); [`Filter::matches`] then judges one row of Consul's JSON after
//! the other (`evaluate.rs`). The language is Consul's documented one (HTTP API, "Filtering"), with JSON pointers as
//! selectors (`"/Meta/a.b"`) added. Three things are deliberate:
//!
//! - Below a list of structs a comparison holds if it holds for **any** element; `!=` too. An empty list never matches.
//! - A field that the row leaves out has its type's empty value; a key that a map lacks equals nothing, contains
//!   nothing, and is empty.
//! - `matches` takes the syntax of the `regex` crate, but `\d`, `\w`, `\s` are ASCII, as Consul's are. Of Go's syntax
//!   `\Q...\E` is missing.
//!
//! Never touches the catalog, HTTP or status codes. Everything is bounded: [`MAX_TEXT_BYTES`], [`MAX_DEPTH`],
//! [`MAX_PATTERNS`], [`MAX_PATTERN_BYTES`].

mod error;
mod evaluate;
mod expression;
mod parse;
pub mod schema;
#[cfg(test)]
mod tests;

pub use self::{
    error::{FilterError, Position},
    expression::{Expression, Match, Selector, Test},
    schema::Schema,
};

/// The longest expression, in bytes.
pub const MAX_TEXT_BYTES: usize = 8 * 1024;
/// How many parentheses and `not`s may stand inside each other.
pub const MAX_DEPTH: usize = 64;
/// How many regular expressions one filter may have.
pub const MAX_PATTERNS: usize = 16;
/// The largest compiled regular expression, in bytes.
pub const MAX_PATTERN_BYTES: usize = 256 * 1024;

/// An expression that was checked against a row type and is ready to judge its rows. Cheap to use, not to make:
/// parse it once for each request.
#[derive(Debug)]
pub struct Filter {
    condition: evaluate::Condition,
}

impl Filter {
    /// Reads `text` and checks it against the row type. The empty text lets every row through.
    ///
    /// # Errors
    /// What is wrong with `text`, as the whole sentence that Consul answers with (status 500 there).
    pub fn parse(text: &str, schema: &Schema) -> Result<Self, FilterError> {
        if text.is_empty() {
            return Ok(Self { condition: evaluate::Condition::All(Vec::new()) });
        }
        Self::of(&text.parse()?, schema)
    }

    /// Checks an expression that was read already against the row type.
    ///
    /// # Errors
    /// As [`Filter::parse`].
    pub fn of(expression: &Expression, schema: &Schema) -> Result<Self, FilterError> {
        Ok(Self { condition: evaluate::bind(expression, schema)? })
    }

    /// Whether the filter lets this row through: one element of the answer, as JSON.
    #[must_use]
    pub fn matches(&self, row: &serde_json::Value) -> bool {
        self.condition.holds(row)
    }
}
