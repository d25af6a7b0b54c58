//! What can be wrong with a filter, as the sentence a client is answered with. Which status code goes with it is
//! decided where requests are answered, not here.

use std::fmt;

use thiserror::Error;

use super::{MAX_DEPTH, MAX_PATTERNS, MAX_TEXT_BYTES};

/// How Consul begins every one of these sentences.
const LEAD: &str = "Failed to create boolean expression evaluator";

/// Why a filter was refused. `Display` is the whole sentence for the client, worded as Consul words it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FilterError {
    /// The text stops making sense at `position`.
    #[error("{}: {position}: no match found, expected: {expected}", LEAD)]
    Syntax {
        /// The furthest place reached.
        position: Position,
        /// What could stand there, as a list in words.
        expected: String,
    },
    /// The text is wrong in a way that has a name, such as a string without an end.
    #[error("{}: {position}: rule {rule:?}: {complaint}", LEAD)]
    Rule {
        /// Where the rule gave up.
        position: Position,
        /// The rule of the grammar.
        rule: &'static str,
        /// What is wrong.
        complaint: &'static str,
    },
    /// The row type has no such field.
    #[error("{}: Selector {selector:?} is not valid", LEAD)]
    Selector {
        /// The selector, its parts joined by dots.
        selector: String,
    },
    /// The field's type does not support the operator.
    #[error("{}: Invalid match operator {operator:?} for selector {selector:?}", LEAD)]
    Operator {
        /// The operator's name, such as `Not Equal`.
        operator: &'static str,
        /// The selector, its parts joined by dots.
        selector: String,
    },
    /// The value cannot be of the field's type.
    #[error("{}: Failed to coerce value {value:?} for selector {selector:?}: it is not {wanted}", LEAD)]
    Value {
        /// The value as written, without quotes.
        value: String,
        /// The selector, its parts joined by dots.
        selector: String,
        /// The type, with its article.
        wanted: &'static str,
    },
    /// The value of `matches` is no regular expression, or one that is too large.
    #[error("{}: Failed to compile regular expression {pattern:?}: {reason}", LEAD)]
    Pattern {
        /// The pattern as written.
        pattern: String,
        /// What the compiler said.
        reason: String,
    },
    /// The text is longer than [`MAX_TEXT_BYTES`].
    #[error("{}: the expression has {bytes} bytes, at most {} are allowed", LEAD, MAX_TEXT_BYTES)]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// More than [`MAX_DEPTH`] parentheses and `not`s stand inside each other.
    #[error("{}: {position}: more than {} levels of parentheses and \"not\"", LEAD, MAX_DEPTH)]
    TooDeep {
        /// Where the first level too many begins.
        position: Position,
    },
    /// There are more than [`MAX_PATTERNS`] regular expressions.
    #[error("{}: more than {} regular expressions", LEAD, MAX_PATTERNS)]
    TooManyPatterns,
}

/// A place in the text. Prints as `line:column (offset)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// From 1.
    pub line: usize,
    /// In characters, from 1; 0 at a line feed, which counts as the beginning of the next line.
    pub column: usize,
    /// In bytes, from 0.
    pub offset: usize,
}

impl Position {
    pub(super) fn of(text: &str, offset: usize) -> Self {
        let (mut line, mut column) = (1, 0);
        for (_, character) in text.char_indices().take_while(|&(start, _)| start <= offset) {
            column += 1;
            if character == '\n' {
                (line, column) = (line + 1, 0);
            }
        }
        if offset >= text.len() {
            column += 1;
        }
        Self { line, column, offset }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{} ({})", self.line, self.column, self.offset)
    }
}
