//! Binds an expression to a row type, once, and then judges rows. All that can be refused is refused while binding:
//! judging a row has no errors. See `schema.rs` for what the row types have.

use regex::{Regex, RegexBuilder};
use serde_json::Value;

use super::{
    Expression, FilterError, MAX_DEPTH, MAX_PATTERN_BYTES, MAX_PATTERNS, Match, Schema, Selector, Test,
    schema::{Field, Kind},
};

/// A field that a row leaves out.
static LEFT_OUT: Value = Value::Null;

/// An expression bound to a row type.
#[derive(Debug)]
pub(super) enum Condition {
    Any(Vec<Condition>),
    All(Vec<Condition>),
    Not(Box<Condition>),
    Probe(Probe),
}

impl Condition {
    pub(super) fn holds(&self, row: &Value) -> bool {
        match self {
            Condition::Any(conditions) => conditions.iter().any(|condition| condition.holds(row)),
            Condition::All(conditions) => conditions.iter().all(|condition| condition.holds(row)),
            Condition::Not(condition) => !condition.holds(row),
            Condition::Probe(probe) => probe.holds(row, &probe.path),
        }
    }
}

/// A way through the row, and what must hold at its end.
#[derive(Debug)]
pub(super) struct Probe {
    path: Vec<Step>,
    negated: bool,
    check: Check,
}

#[derive(Debug)]
enum Step {
    Field(&'static str),
    Key(String),
    EachElement,
}

/// A test whose value has the type of the field it is for.
#[derive(Debug)]
enum Check {
    Text(String),
    Number(i64),
    Flag(bool),
    HasPart(String),
    HasElement(String),
    HasKey(String),
    Empty,
    Pattern(Regex),
}

impl Probe {
    fn holds(&self, row: &Value, path: &[Step]) -> bool {
        match path.split_first() {
            None => self.check.holds(row) != self.negated,
            Some((Step::Field(name), rest)) => self.holds(row.get(name).unwrap_or(&LEFT_OUT), rest),
            Some((Step::Key(key), rest)) => match row.get(key) {
                Some(value) => self.holds(value, rest),
                None => matches!(self.check, Check::Empty) != self.negated,
            },
            Some((Step::EachElement, rest)) => {
                row.as_array().is_some_and(|elements| elements.iter().any(|element| self.holds(element, rest)))
            }
        }
    }
}

impl Check {
    fn holds(&self, value: &Value) -> bool {
        let text = || value.as_str().unwrap_or_default();
        match self {
            Check::Text(wanted) => text() == wanted,
            Check::Number(wanted) if value.is_null() => *wanted == 0,
            Check::Number(wanted) => value.as_i64() == Some(*wanted),
            Check::Flag(wanted) => value.as_bool().unwrap_or_default() == *wanted,
            Check::HasPart(wanted) => text().contains(wanted),
            Check::HasElement(wanted) => {
                value.as_array().is_some_and(|elements| elements.iter().any(|element| element == wanted))
            }
            Check::HasKey(wanted) => value.get(wanted).is_some(),
            Check::Empty => match value {
                Value::Array(elements) => elements.is_empty(),
                Value::Object(entries) => entries.is_empty(),
                _ => value.is_null(),
            },
            Check::Pattern(pattern) => pattern.is_match(text()),
        }
    }
}

/// Checks an expression against a row type.
///
/// # Errors
/// A selector the row type does not have, an operator or a value that does not go with the field, a bad pattern, or
/// too many of them.
pub(super) fn bind(expression: &Expression, schema: &Schema) -> Result<Condition, FilterError> {
    Binder { schema, patterns: 0 }.condition(expression)
}

struct Binder<'a> {
    schema: &'a Schema,
    patterns: usize,
}

impl Binder<'_> {
    fn condition(&mut self, expression: &Expression) -> Result<Condition, FilterError> {
        Ok(match expression {
            Expression::Or(operands) => Condition::Any(self.conditions(operands)?),
            Expression::And(operands) => Condition::All(self.conditions(operands)?),
            Expression::Not(operand) => Condition::Not(Box::new(self.condition(operand)?)),
            Expression::Match(comparison) => Condition::Probe(self.probe(comparison)?),
        })
    }

    fn conditions(&mut self, expressions: &[Expression]) -> Result<Vec<Condition>, FilterError> {
        expressions.iter().map(|expression| self.condition(expression)).collect()
    }

    fn probe(&mut self, comparison: &Match) -> Result<Probe, FilterError> {
        let Match { selector, negated, test } = comparison;
        let (path, kind) =
            resolve(selector, self.schema).ok_or_else(|| FilterError::Selector { selector: selector.dotted() })?;
        let unlike =
            |value: &String, wanted| FilterError::Value { value: value.clone(), selector: selector.dotted(), wanted };
        let check = match (test, kind) {
            (Test::Equal(value), Kind::Text) => Check::Text(value.clone()),
            (Test::Equal(value), Kind::Number) => {
                Check::Number(value.parse().map_err(|_| unlike(value, "an integer"))?)
            }
            (Test::Equal(value), Kind::Flag) => Check::Flag(flag(value).ok_or_else(|| unlike(value, "true or false"))?),
            (Test::In(value), Kind::Text) => Check::HasPart(value.clone()),
            (Test::In(value), Kind::TextList) => Check::HasElement(value.clone()),
            (Test::In(value), Kind::TextMap | Kind::StructMap(_)) => Check::HasKey(value.clone()),
            (Test::Empty, Kind::TextList | Kind::TextMap | Kind::StructList(_) | Kind::StructMap(_)) => Check::Empty,
            (Test::Matches(pattern), Kind::Text) => Check::Pattern(self.pattern(pattern)?),
            _ => {
                let operator = operator_name(test, *negated);
                return Err(FilterError::Operator { operator, selector: selector.dotted() });
            }
        };
        Ok(Probe { path, negated: *negated, check })
    }

    fn pattern(&mut self, pattern: &str) -> Result<Regex, FilterError> {
        self.patterns += 1;
        if self.patterns > MAX_PATTERNS {
            return Err(FilterError::TooManyPatterns);
        }
        RegexBuilder::new(&with_ascii_classes(pattern))
            .size_limit(MAX_PATTERN_BYTES)
            .dfa_size_limit(MAX_PATTERN_BYTES)
            .nest_limit(u32::try_from(MAX_DEPTH).unwrap_or(u32::MAX))
            .build()
            .map_err(|error| {
                // A syntax error draws the pattern over several lines; the last one says what is wrong with it.
                let drawn = error.to_string();
                let reason = drawn.lines().last().unwrap_or_default().trim_start_matches("error: ").into();
                FilterError::Pattern { pattern: pattern.into(), reason }
            })
    }
}

/// The pattern with `\d`, `\s`, `\w` and their opposites written out as the ASCII classes that they are in Go's
/// regular expressions (RE2 syntax, "Perl character classes"). A class inside a class is their union, so this holds
/// inside brackets too. It also makes patterns several times smaller than the Unicode classes would.
fn with_ascii_classes(pattern: &str) -> String {
    let mut written_out = String::with_capacity(pattern.len());
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            written_out.push(character);
            continue;
        }
        match characters.next() {
            Some('d') => written_out.push_str("[0-9]"),
            Some('D') => written_out.push_str("[^0-9]"),
            Some('s') => written_out.push_str(r"[\t\n\f\r ]"),
            Some('S') => written_out.push_str(r"[^\t\n\f\r ]"),
            Some('w') => written_out.push_str("[0-9A-Za-z_]"),
            Some('W') => written_out.push_str("[^0-9A-Za-z_]"),
            other => {
                written_out.push('\\');
                written_out.extend(other);
            }
        }
    }
    written_out
}

/// The steps to the field that a selector names, and the field's type.
fn resolve(selector: &Selector, schema: &Schema) -> Option<(Vec<Step>, Kind)> {
    let mut steps = Vec::new();
    let mut kind = Kind::Struct(schema.fields);
    for part in &selector.path {
        kind = match kind {
            Kind::Struct(fields) => enter(fields, part, &mut steps)?,
            Kind::StructList(fields) => {
                steps.push(Step::EachElement);
                enter(fields, part, &mut steps)?
            }
            Kind::TextMap => {
                steps.push(Step::Key(part.clone()));
                Kind::Text
            }
            Kind::TextListMap => {
                steps.push(Step::Key(part.clone()));
                Kind::TextList
            }
            Kind::StructMap(fields) => {
                steps.push(Step::Key(part.clone()));
                Kind::Struct(fields)
            }
            Kind::Text | Kind::Number | Kind::Flag | Kind::TextList => return None,
        };
    }
    Some((steps, kind))
}

fn enter(fields: &'static [Field], name: &str, steps: &mut Vec<Step>) -> Option<Kind> {
    let field = fields.iter().find(|field| field.name == name)?;
    steps.push(Step::Field(field.name));
    Some(field.kind)
}

/// The spellings of a truth value that Consul takes.
fn flag(value: &str) -> Option<bool> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// The operator as Consul's documentation and errors name it.
fn operator_name(test: &Test, negated: bool) -> &'static str {
    match (test, negated) {
        (Test::Equal(_), false) => "Equal",
        (Test::Equal(_), true) => "Not Equal",
        (Test::In(_), false) => "In",
        (Test::In(_), true) => "Not In",
        (Test::Matches(_), false) => "Matches",
        (Test::Matches(_), true) => "Not Matches",
        (Test::Empty, false) => "Is Empty",
        (Test::Empty, true) => "Is Not Empty",
    }
}
