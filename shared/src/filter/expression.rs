//! The tree of a filter expression, and its text form: printing a parsed tree and parsing that gives the same tree.
//! Knows nothing of row types; `evaluate.rs` checks the tree against one.

use std::{
    fmt::{self, Display as _, Write as _},
    str::FromStr,
};

use super::{FilterError, parse};

/// A filter expression. From [`str::parse`]; prints in canonical form (every value quoted, `contains` as `in`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expression {
    /// True if any of these is; at least two.
    Or(Vec<Expression>),
    /// True if all of these are; at least two.
    And(Vec<Expression>),
    /// True if this is false; never directly around another `Not`.
    Not(Box<Expression>),
    /// One comparison.
    Match(Match),
}

/// One comparison of a field with a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// The field.
    pub selector: Selector,
    /// `!=`, `not in`, `is not empty`, `not matches`. Unlike [`Expression::Not`] it is judged for each element when
    /// the selector passes through a list.
    pub negated: bool,
    /// The comparison and its value.
    pub test: Test,
}

/// A comparison and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    /// `selector == value`
    Equal(String),
    /// `value in selector`, `selector contains value`: part of a string, element of a list, key of a map.
    In(String),
    /// `selector matches value`: a regular expression, found anywhere in the string.
    Matches(String),
    /// `selector is empty`
    Empty,
}

/// The way to a field: `Service.Meta["a.b"]` and `"/Service/Meta/a.b"` are both `Service`, `Meta`, `a.b`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    /// At least one part. The first is a name, or the whole path can be written as a JSON pointer (RFC 6901).
    pub path: Vec<String>,
}

impl Selector {
    /// The parts joined by dots, as error messages name a selector. Not always what was written.
    #[must_use]
    pub fn dotted(&self) -> String {
        self.path.join(".")
    }
}

impl FromStr for Expression {
    type Err = FilterError;

    /// Reads an expression, whatever the row type.
    fn from_str(text: &str) -> Result<Self, FilterError> {
        parse::parse(text)
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expression::Or(operands) => join(f, operands, " or ", |operand| matches!(operand, Expression::Or(_))),
            Expression::And(operands) => {
                join(f, operands, " and ", |operand| matches!(operand, Expression::Or(_) | Expression::And(_)))
            }
            Expression::Not(operand) => {
                f.write_str("not ")?;
                nest(f, operand, matches!(**operand, Expression::Or(_) | Expression::And(_)))
            }
            Expression::Match(comparison) => comparison.fmt(f),
        }
    }
}

fn join(
    f: &mut fmt::Formatter<'_>,
    operands: &[Expression],
    operator: &str,
    nested: impl Fn(&Expression) -> bool,
) -> fmt::Result {
    for (index, operand) in operands.iter().enumerate() {
        if index > 0 {
            f.write_str(operator)?;
        }
        nest(f, operand, nested(operand))?;
    }
    Ok(())
}

fn nest(f: &mut fmt::Formatter<'_>, operand: &Expression, nested: bool) -> fmt::Result {
    if nested { write!(f, "({operand})") } else { operand.fmt(f) }
}

impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { selector, negated, test } = self;
        match (test, negated) {
            (Test::Equal(value), false) => write!(f, "{selector} == {}", Quoted(value)),
            (Test::Equal(value), true) => write!(f, "{selector} != {}", Quoted(value)),
            (Test::In(value), false) => write!(f, "{} in {selector}", Quoted(value)),
            (Test::In(value), true) => write!(f, "{} not in {selector}", Quoted(value)),
            (Test::Matches(value), false) => write!(f, "{selector} matches {}", Quoted(value)),
            (Test::Matches(value), true) => write!(f, "{selector} not matches {}", Quoted(value)),
            (Test::Empty, false) => write!(f, "{selector} is empty"),
            (Test::Empty, true) => write!(f, "{selector} is not empty"),
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((first, rest)) = self.path.split_first() else { return Ok(()) };
        // A field called `not` would read as the operator.
        if !parse::is_identifier(first) || (first == "not" && rest.is_empty()) {
            f.write_char('"')?;
            for part in &self.path {
                write!(f, "/{}", part.replace('~', "~0").replace('/', "~1"))?;
            }
            return f.write_char('"');
        }
        f.write_str(first)?;
        for part in rest {
            if parse::is_identifier(part) {
                write!(f, ".{part}")?;
            } else {
                write!(f, "[{}]", Quoted(part))?;
            }
        }
        Ok(())
    }
}

/// A string in double quotes, with the escapes that the parser reads.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for character in self.0.chars() {
            match character {
                '"' | '\\' => write!(f, "\\{character}")?,
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                '\t' => f.write_str("\\t")?,
                control if control.is_control() => write!(f, "\\u{:04x}", u32::from(control))?,
                other => f.write_char(other)?,
            }
        }
        f.write_char('"')
    }
}
