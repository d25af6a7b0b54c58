//! From tokens to the tree, by recursive descent.

use serde_json::{Map, Value};

use super::{
    DEPTH_MAX, SyntaxError,
    lexer::{Lexer, Place, Token},
    parse_json,
};

/// A text that is being read, one token ahead.
pub struct Parser<'a> {
    text: &'a str,
    lexer: Lexer<'a>,
    ahead: Option<(Token, Place)>,
}

impl<'a> Parser<'a> {
    pub fn new(text: &'a str) -> Self {
        Self { text, lexer: Lexer::new(text), ahead: None }
    }

    /// The whole text.
    pub fn body(mut self) -> Result<Map<String, Value>, SyntaxError> {
        if *self.peek()? == Token::Sign('{') {
            return parse_json(self.text);
        }
        let object = self.items(0)?;
        let (token, place) = self.take()?;
        match token {
            Token::End => Ok(object),
            token => Err(self.lexer.error(place, format!("unexpected {} (no block is open)", token.describe()))),
        }
    }

    fn peek(&mut self) -> Result<&Token, SyntaxError> {
        if self.ahead.is_none() {
            self.ahead = Some(self.lexer.next()?);
        }
        Ok(self.ahead.as_ref().map_or(&Token::End, |(token, _)| token))
    }

    fn take(&mut self) -> Result<(Token, Place), SyntaxError> {
        match self.ahead.take() {
            Some(token) => Ok(token),
            None => self.lexer.next(),
        }
    }

    /// The items of a body or an object, up to what ends it.
    fn items(&mut self, depth: usize) -> Result<Map<String, Value>, SyntaxError> {
        let mut object = Map::new();
        while !matches!(self.peek()?, Token::End | Token::Sign('}' | ']' | '[' | '{' | '=' | ',')) {
            let (key, value) = self.item(depth)?;
            put(&mut object, key, value);
            if *self.peek()? == Token::Sign(',') {
                self.take()?;
            }
        }
        Ok(object)
    }

    fn item(&mut self, depth: usize) -> Result<(String, Value), SyntaxError> {
        let (token, place) = self.take()?;
        let first = match token {
            Token::Word(key) | Token::Text(key) => key,
            token => {
                let problem = format!("expected the name of a setting, found {}", token.describe());
                return Err(self.lexer.error(place, problem));
            }
        };
        let mut labels = Vec::new();
        loop {
            let (token, place) = self.take()?;
            match token {
                Token::Sign('=') if labels.is_empty() => return Ok((first, self.value(depth)?)),
                Token::Sign('{') => {
                    let mut value = self.object(place, depth + 1 + labels.len())?;
                    for label in labels.into_iter().rev() {
                        value = Value::Object(Map::from_iter([(label, value)]));
                    }
                    return Ok((first, value));
                }
                Token::Text(label) | Token::Word(label) if depth + labels.len() < DEPTH_MAX => labels.push(label),
                token => {
                    let problem = format!("{first:?}: expected \"=\" or \"{{\", found {}", token.describe());
                    return Err(self.lexer.error(place, problem));
                }
            }
        }
    }

    fn value(&mut self, depth: usize) -> Result<Value, SyntaxError> {
        let (token, place) = self.take()?;
        match token {
            Token::Text(text) => Ok(Value::String(text)),
            Token::Whole(number) | Token::Float(number) => Ok(Value::Number(number)),
            Token::Word(word) if word == "true" || word == "false" => Ok(Value::Bool(word == "true")),
            Token::Word(word) => {
                let problem =
                    format!("{word:?} is neither true nor false nor a number (write text in quotes: \"{word}\")");
                Err(self.lexer.error(place, problem))
            }
            Token::Sign('{') => self.object(place, depth + 1),
            Token::Sign('[') => self.list(place, depth + 1),
            token => Err(self.lexer.error(place, format!("expected a value, found {}", token.describe()))),
        }
    }

    /// An object whose brace has been taken.
    fn object(&mut self, start: Place, depth: usize) -> Result<Value, SyntaxError> {
        self.refuse_depth(start, depth)?;
        let object = self.items(depth)?;
        let (token, place) = self.take()?;
        match token {
            Token::Sign('}') => Ok(Value::Object(object)),
            Token::End => Err(self.lexer.error(start, "this \"{\" is never closed")),
            token => Err(self.lexer.error(place, format!("expected a setting or \"}}\", found {}", token.describe()))),
        }
    }

    /// A list whose bracket has been taken.
    fn list(&mut self, start: Place, depth: usize) -> Result<Value, SyntaxError> {
        self.refuse_depth(start, depth)?;
        let mut list = Vec::new();
        loop {
            if *self.peek()? == Token::Sign(']') {
                self.take()?;
                return Ok(Value::Array(list));
            }
            if *self.peek()? == Token::End {
                return Err(self.lexer.error(start, "this \"[\" is never closed"));
            }
            list.push(self.value(depth)?);
            let (token, place) = self.take()?;
            match token {
                Token::Sign(']') => return Ok(Value::Array(list)),
                Token::Sign(',') => {}
                Token::End => return Err(self.lexer.error(start, "this \"[\" is never closed")),
                token => {
                    let problem = format!("expected \",\" or \"]\" in a list, found {}", token.describe());
                    return Err(self.lexer.error(place, problem));
                }
            }
        }
    }

    fn refuse_depth(&self, place: Place, depth: usize) -> Result<(), SyntaxError> {
        if depth > DEPTH_MAX {
            return Err(self.lexer.error(place, format!("more than {DEPTH_MAX} blocks inside each other")));
        }
        Ok(())
    }
}

/// Adds a setting. Objects of one key add up to a list; of anything else the last counts.
fn put(object: &mut Map<String, Value>, key: String, value: Value) {
    let is_object = Value::is_object;
    let joined = match (object.remove(&key), value) {
        (Some(Value::Array(mut list)), value @ Value::Object(_)) if list.iter().all(is_object) => {
            list.push(value);
            Value::Array(list)
        }
        (Some(Value::Array(mut list)), Value::Array(more)) if list.iter().chain(&more).all(is_object) => {
            list.extend(more);
            Value::Array(list)
        }
        (Some(first @ Value::Object(_)), value @ Value::Object(_)) => Value::Array(vec![first, value]),
        (_, value) => value,
    };
    object.insert(key, joined);
}
