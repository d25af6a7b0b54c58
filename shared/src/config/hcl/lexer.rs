//! Tokens of HCL: what the parser asks for one by one. Comments and white space are passed over.

use super::{SyntaxError, text};

/// A number is not longer than this, in bytes; a longer one is a mistake.
const NUMBER_BYTES_MAX: usize = 512;

/// One token.
#[derive(Clone, Debug, PartialEq)]
pub enum Token {
    /// A bare word: a key, a label, or a truth value.
    Word(String),
    /// A quoted string or a heredoc.
    Text(String),
    /// A whole number.
    Whole(serde_json::Number),
    /// A number with a fraction or an exponent.
    Float(serde_json::Number),
    /// `=`, `,`, `{`, `}`, `[` or `]`.
    Sign(char),
    /// Nothing is left.
    End,
}

impl Token {
    /// How a message names it.
    pub fn describe(&self) -> String {
        match self {
            Self::Word(word) => format!("{word:?}"),
            Self::Text(_) => "a string".into(),
            Self::Whole(number) | Self::Float(number) => format!("the number {number}"),
            Self::Sign(sign) => format!("\"{sign}\""),
            Self::End => "the end of the file".into(),
        }
    }
}

/// A place in the text, as a byte offset.
#[derive(Clone, Copy, Debug)]
pub struct Place(usize);

/// What is left of a text.
pub struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    pub fn new(text: &'a str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        Self { text, at: 0 }
    }

    /// The next token and where it begins.
    pub fn next(&mut self) -> Result<(Token, Place), SyntaxError> {
        self.skip_blanks()?;
        let place = self.place();
        let token = match self.peek() {
            None => Token::End,
            Some(sign @ ('=' | ',' | '{' | '}' | '[' | ']')) => {
                self.advance(1);
                Token::Sign(sign)
            }
            Some('"') => Token::Text(text::quoted(self)?),
            Some('<') => Token::Text(text::heredoc(self)?),
            Some(c) if c.is_ascii_digit() || c == '-' || c == '.' => self.number()?,
            Some(c) if is_word_start(c) => {
                let rest = self.rest();
                let end = rest.find(|c| !is_word_part(c)).unwrap_or(rest.len());
                self.advance(end);
                Token::Word(rest[..end].into())
            }
            Some(other) => return Err(self.error(place, unexpected(other))),
        };
        Ok((token, place))
    }

    /// What has not been read.
    pub fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// The next character.
    pub fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Passes over `bytes` of what is left; they end at a character's end.
    pub fn advance(&mut self, bytes: usize) {
        self.at += bytes;
    }

    /// Where it is.
    pub fn place(&self) -> Place {
        Place(self.at)
    }

    /// An error at `place`; counts lines and characters only now.
    pub fn error(&self, place: Place, problem: impl Into<String>) -> SyntaxError {
        let before = &self.text[..place.0];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        SyntaxError {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            problem: problem.into(),
        }
    }

    fn skip_blanks(&mut self) -> Result<(), SyntaxError> {
        loop {
            let rest = self.rest();
            let blank = rest.len() - rest.trim_start().len();
            self.advance(blank);
            let rest = self.rest();
            if rest.starts_with('#') || rest.starts_with("//") {
                self.advance(rest.find('\n').unwrap_or(rest.len()));
            } else if let Some(comment) = rest.strip_prefix("/*") {
                let end = comment.find("*/");
                let end =
                    end.ok_or_else(|| self.error(self.place(), "this comment has no end (close it with \"*/\")"))?;
                self.advance(end + 4);
            } else {
                return Ok(());
            }
        }
    }

    fn number(&mut self) -> Result<Token, SyntaxError> {
        let (rest, place) = (self.rest(), self.place());
        let mut last = ' ';
        let is_part = |c: char| {
            let sign = (c == '-' || c == '+') && matches!(last, ' ' | 'e' | 'E');
            last = c;
            sign || c == '.' || c == '_' || c.is_ascii_alphanumeric()
        };
        let end = rest.find({
            let mut is_part = is_part;
            move |c| !is_part(c)
        });
        let written = &rest[..end.unwrap_or(rest.len())];
        if written.len() > NUMBER_BYTES_MAX {
            return Err(self.error(place, format!("a number of more than {NUMBER_BYTES_MAX} digits")));
        }
        let token = number(written);
        let problem = || format!("{written:?} is no number (write text in quotes: \"{written}\")");
        let token = token.ok_or_else(|| self.error(place, problem()))?;
        self.advance(written.len());
        Ok(token)
    }
}

fn unexpected(c: char) -> String {
    match c {
        ';' => "unexpected \";\" (nothing stands between settings)".into(),
        ':' => "unexpected \":\" (write \"key = value\")".into(),
        '\'' => "unexpected \"'\" (strings stand in double quotes)".into(),
        other => format!("unexpected {other:?}"),
    }
}

fn is_word_start(c: char) -> bool {
    c.is_alphabetic() || c == '_'
}

/// Whether a bare word goes on with it.
pub fn is_word_part(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '.')
}

/// `10`, `-1`, `0x1f`, `0644` (octal, as in Go), `1.5`, `2e10`.
fn number(written: &str) -> Option<Token> {
    let (negative, digits) = match written.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, written),
    };
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    let hexadecimal = digits.strip_prefix("0x").or(digits.strip_prefix("0X"));
    let octal = digits.strip_prefix('0').filter(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()));
    let (digits, radix) = match (hexadecimal, octal) {
        (Some(digits), _) => (digits, 16),
        (None, Some(digits)) => (digits, 8),
        (None, None) => (digits, 10),
    };
    if digits.bytes().all(|b| b.is_ascii_hexdigit()) && (radix != 10 || digits.bytes().all(|b| b.is_ascii_digit())) {
        let whole = u64::from_str_radix(digits, radix).ok()?;
        let number = if negative { 0_i64.checked_sub_unsigned(whole)?.into() } else { whole.into() };
        return Some(Token::Whole(number));
    }
    let decimal = |c: char| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-');
    if radix != 10 || !digits.chars().all(decimal) {
        return None;
    }
    let float: f64 = written.parse().ok()?;
    serde_json::Number::from_f64(float).map(Token::Float)
}
