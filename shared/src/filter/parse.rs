//! The parser: recursive descent over Consul's filter grammar, in linear time.
//!
//! Every alternative that fails notes what it wanted and where; when nothing fits, the error tells what was wanted at
//! the furthest place, as Consul's errors do. A rule returns `None` when it does not fit (the caller goes back and
//! tries the next one) and sets [`Parser::failure`] when no other alternative could be meant, such as a string
//! without an end. Never looks at row types; see `evaluate.rs` for that.

use std::collections::BTreeSet;

use super::{Expression, FilterError, MAX_DEPTH, MAX_TEXT_BYTES, Match, Position, Selector, Test};

/// Reads a whole expression.
///
/// # Errors
/// Too long, too deep, or not an expression.
pub(super) fn parse(text: &str) -> Result<Expression, FilterError> {
    if text.len() > MAX_TEXT_BYTES {
        return Err(FilterError::TooLong { bytes: text.len() });
    }
    let mut parser = Parser { text, at: 0, depth: 0, furthest: 0, wanted: BTreeSet::new(), failure: None };
    let expression = parser.whole();
    match (parser.failure.take(), expression) {
        (Some(failure), _) => Err(failure),
        (None, Some(expression)) => Ok(expression),
        (None, None) => Err(parser.no_match()),
    }
}

/// Whether this is a name: a letter, then letters, digits, `_` and `/`, all ASCII.
pub(super) fn is_identifier(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic()) && text.bytes().all(in_identifier)
}

fn in_identifier(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'/'
}

fn in_pointer(character: char) -> bool {
    character.is_alphanumeric() || "-_.~:|".contains(character)
}

/// What an alternative wanted to see.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Wanted {
    Word(&'static str),
    Class(&'static str),
    End,
}

const SPACE: Wanted = Wanted::Class(r"[ \t\r\n]");

struct Parser<'a> {
    text: &'a str,
    /// The place in `text`, in bytes, always between two characters.
    at: usize,
    depth: usize,
    furthest: usize,
    /// What would have fitted at `furthest`.
    wanted: BTreeSet<Wanted>,
    /// The first error that no other alternative can mend.
    failure: Option<FilterError>,
}

// What is built from other rules.
impl Parser<'_> {
    fn whole(&mut self) -> Option<Expression> {
        self.spaces();
        let expression = self.disjunction()?;
        self.spaces();
        if self.at < self.text.len() {
            return self.want(Wanted::End);
        }
        Some(expression)
    }

    fn disjunction(&mut self) -> Option<Expression> {
        self.joined("or", Self::conjunction, Expression::Or)
    }

    fn conjunction(&mut self) -> Option<Expression> {
        self.joined("and", Self::negation, Expression::And)
    }

    fn joined(
        &mut self,
        operator: &'static str,
        operand: fn(&mut Self) -> Option<Expression>,
        join: fn(Vec<Expression>) -> Expression,
    ) -> Option<Expression> {
        let first = operand(self)?;
        let mut operands = vec![first];
        while let Some(next) = self.attempt(|parser| {
            parser.spaces()?;
            parser.word(operator)?;
            parser.spaces()?;
            operand(parser)
        }) {
            operands.push(next);
        }
        if operands.len() == 1 { operands.pop() } else { Some(join(operands)) }
    }

    fn negation(&mut self) -> Option<Expression> {
        let negated = self.attempt(|parser| {
            parser.word("not")?;
            parser.spaces()?;
            parser.deeper(Self::negation)
        });
        match negated {
            Some(Expression::Not(twice)) => Some(*twice),
            Some(operand) => Some(Expression::Not(Box::new(operand))),
            None => self.group(),
        }
    }

    fn group(&mut self) -> Option<Expression> {
        if self.word("(").is_none() {
            return self.comparison().map(Expression::Match);
        }
        self.spaces();
        let expression = self.deeper(Self::disjunction)?;
        self.spaces();
        if self.word(")").is_none() {
            return self.complain("grouping", "Unmatched parentheses");
        }
        Some(expression)
    }

    fn comparison(&mut self) -> Option<Match> {
        if let Some(comparison) = self.attempt(Self::selector_first) {
            return Some(comparison);
        }
        let value = self.value()?;
        self.spaces()?;
        let negated = self.not();
        self.word("in")?;
        self.spaces()?;
        match self.selector() {
            Some(selector) => Some(Match { selector, negated, test: Test::In(value) }),
            None => self.complain("match", "Invalid selector"),
        }
    }

    fn selector_first(&mut self) -> Option<Match> {
        let selector = self.selector()?;
        let spaced = self.spaces().is_some();
        for (operator, negated) in [("==", false), ("!=", true)] {
            if self.word(operator).is_some() {
                self.spaces();
                let test = Test::Equal(self.value()?);
                return Some(Match { selector, negated, test });
            }
        }
        if !spaced {
            return None;
        }
        if self.word("is").is_some() {
            self.spaces()?;
            let negated = self.not();
            self.word("empty")?;
            return Some(Match { selector, negated, test: Test::Empty });
        }
        let negated = self.not();
        let test: fn(String) -> Test = if self.word("contains").is_some() {
            Test::In
        } else {
            self.word("matches")?;
            Test::Matches
        };
        self.spaces()?;
        Some(Match { selector, negated, test: test(self.value()?) })
    }

    /// An optional `not` with the space after it.
    fn not(&mut self) -> bool {
        self.attempt(|parser| {
            parser.word("not")?;
            parser.spaces()
        })
        .is_some()
    }

    fn selector(&mut self) -> Option<Selector> {
        let path = match self.attempt(Self::names) {
            Some(path) => path,
            None => self.attempt(Self::pointer)?,
        };
        Some(Selector { path })
    }

    /// `Service.Meta["a.b"]`
    fn names(&mut self) -> Option<Vec<String>> {
        let mut path = vec![self.identifier()?];
        loop {
            let part = self
                .attempt(|parser| {
                    parser.word(".")?;
                    parser.identifier().or_else(|| parser.digits())
                })
                .or_else(|| self.attempt(Self::index));
            match part {
                Some(part) => path.push(part),
                None => return Some(path),
            }
        }
    }

    /// `["a.b"]`
    fn index(&mut self) -> Option<String> {
        self.word("[")?;
        self.spaces();
        let Some(key) = self.string() else { return self.complain("index", "Invalid index") };
        self.spaces();
        if self.word("]").is_none() {
            return self.complain("index", "Unclosed index expression");
        }
        Some(key)
    }

    /// `"/Service/Meta/a.b"`
    fn pointer(&mut self) -> Option<Vec<String>> {
        self.word("\"")?;
        let mut path = Vec::new();
        while path.is_empty() || self.rest().starts_with('/') {
            self.word("/")?;
            let part = self.take_while(in_pointer);
            if part.is_empty() {
                return None;
            }
            // RFC 6901 section 4: in this order, so that `~01` becomes `~1`.
            path.push(part.replace("~1", "/").replace("~0", "~"));
        }
        self.word("\"")?;
        Some(path)
    }

    /// What a field is compared with: a string, a number, or names taken as they are written.
    fn value(&mut self) -> Option<String> {
        if let Some(path) = self.attempt(Self::names) {
            return Some(path.join("."));
        }
        self.attempt(Self::number).or_else(|| self.string())
    }
}

// Tokens, and going back.
impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// Runs a rule and goes back to where it began if it does not fit.
    fn attempt<T>(&mut self, rule: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        let start = self.at;
        let result = rule(self);
        if result.is_none() {
            self.at = start;
        }
        result
    }

    /// Runs a rule one level deeper, up to [`MAX_DEPTH`].
    fn deeper<T>(&mut self, rule: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        if self.depth == MAX_DEPTH {
            return self.fail(FilterError::TooDeep { position: Position::of(self.text, self.at) });
        }
        self.depth += 1;
        let result = rule(self);
        self.depth -= 1;
        result
    }

    fn want<T>(&mut self, wanted: Wanted) -> Option<T> {
        if self.at > self.furthest {
            self.furthest = self.at;
            self.wanted.clear();
        }
        if self.at == self.furthest {
            self.wanted.insert(wanted);
        }
        None
    }

    fn complain<T>(&mut self, rule: &'static str, complaint: &'static str) -> Option<T> {
        self.fail(FilterError::Rule { position: Position::of(self.text, self.at), rule, complaint })
    }

    fn fail<T>(&mut self, failure: FilterError) -> Option<T> {
        self.failure.get_or_insert(failure);
        None
    }

    fn no_match(&self) -> FilterError {
        let end = self.wanted.contains(&Wanted::End);
        let mut expected: Vec<String> = self
            .wanted
            .iter()
            .filter_map(|wanted| match wanted {
                Wanted::Word(word) => Some(format!("{word:?}")),
                Wanted::Class(class) => Some((*class).into()),
                Wanted::End => None,
            })
            .collect();
        expected.sort();
        expected.extend(end.then(|| "EOF".into()));
        let last = expected.pop().unwrap_or_default();
        let expected = if expected.is_empty() { last } else { format!("{} or {last}", expected.join(", ")) };
        FilterError::Syntax { position: Position::of(self.text, self.furthest), expected }
    }

    fn take_while(&mut self, fits: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let taken = &rest[..rest.find(|character| !fits(character)).unwrap_or(rest.len())];
        self.at += taken.len();
        taken
    }

    fn word(&mut self, word: &'static str) -> Option<()> {
        if !self.rest().starts_with(word) {
            return self.want(Wanted::Word(word));
        }
        self.at += word.len();
        Some(())
    }

    /// One space or more.
    fn spaces(&mut self) -> Option<()> {
        let taken = self.take_while(|character| matches!(character, ' ' | '\t' | '\r' | '\n'));
        self.want::<()>(SPACE);
        (!taken.is_empty()).then_some(())
    }

    fn identifier(&mut self) -> Option<String> {
        if !self.rest().starts_with(|first: char| first.is_ascii_alphabetic()) {
            return self.want(Wanted::Class("[a-zA-Z]"));
        }
        let name = self.take_while(|character| character.is_ascii() && in_identifier(character as u8));
        self.want::<()>(Wanted::Class("[a-zA-Z0-9_/]"));
        Some(name.into())
    }

    /// One digit or more.
    fn digits(&mut self) -> Option<String> {
        let digits = self.take_while(|character| character.is_ascii_digit());
        self.want::<()>(Wanted::Class("[0-9]"));
        (!digits.is_empty()).then(|| digits.into())
    }

    /// Base 10, without leading zeros, with or without a fraction. Something must follow that cannot be part of it.
    fn number(&mut self) -> Option<String> {
        let start = self.at;
        let _sign = self.word("-");
        if self.word("0").is_none() {
            if !self.rest().starts_with(|first: char| first.is_ascii_digit()) {
                return self.want(Wanted::Class("[1-9]"));
            }
            self.digits()?;
        }
        let _fraction = self.attempt(|parser| {
            parser.word(".")?;
            parser.digits()
        });
        if !self.rest().is_empty() && !self.rest().starts_with([' ', '\t', '\r', '\n', ')']) {
            return self.complain("number", "Invalid number literal");
        }
        Some(self.text[start..self.at].into())
    }

    /// "With \n escapes", or `raw`.
    fn string(&mut self) -> Option<String> {
        if self.word("`").is_some() {
            let raw = self.take_while(|character| character != '`');
            return match self.word("`") {
                Some(()) => Some(raw.into()),
                None => self.complain("string", "Unterminated string literal"),
            };
        }
        self.word("\"")?;
        let mut unquoted = String::new();
        loop {
            unquoted.push_str(self.take_while(|character| !matches!(character, '"' | '\\')));
            if self.word("\"").is_some() {
                return Some(unquoted);
            }
            if self.word("\\").is_none() || self.rest().is_empty() {
                return self.complain("string", "Unterminated string literal");
            }
            match self.escape() {
                Some(character) => unquoted.push(character),
                None => return self.complain("string", "invalid syntax"),
            }
        }
    }

    /// What comes after a backslash, as in Go's strings; `\x` is for ASCII alone.
    fn escape(&mut self) -> Option<char> {
        let letter = self.rest().chars().next()?;
        self.at += letter.len_utf8();
        match letter {
            '"' | '\\' => Some(letter),
            'n' => Some('\n'),
            't' => Some('\t'),
            'r' => Some('\r'),
            'a' => Some('\x07'),
            'b' => Some('\x08'),
            'f' => Some('\x0c'),
            'v' => Some('\x0b'),
            'x' => self.code_point(2).filter(char::is_ascii),
            'u' => self.code_point(4),
            'U' => self.code_point(8),
            _ => None,
        }
    }

    fn code_point(&mut self, length: usize) -> Option<char> {
        let digits =
            self.rest().get(..length).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
        self.at += length;
        char::from_u32(u32::from_str_radix(digits, 16).ok()?)
    }
}
