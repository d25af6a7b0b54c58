//! The fields of a definition, taken out one by one, whatever the letter case of their keys.
//!
//! People write `enable_tag_override` in files and `EnableTagOverride` in bodies; both fold to `enabletagoverride`.
//! What is left in a strict object after every known field was taken is an unknown key. The keys inside `meta` and
//! other free maps are data and stay as they are.

#[cfg(test)]
use std::cell::RefCell;
use std::{collections::BTreeMap, fmt, time::Duration};

use serde_json::{Map, Value};
use smol_str::SmolStr;

use super::{
    duration::{self, DurationError},
    spelling::nearest,
};

/// The names that are asked for on this thread, as long as somebody wants to know them: how `config::settings` finds out
/// what a file may hold.
#[cfg(test)]
#[derive(Default)]
pub struct Asked {
    pub taken: Vec<String>,
    pub ignored: Vec<String>,
}

#[cfg(test)]
thread_local! {
    pub static ASKED: RefCell<Option<Asked>> = const { RefCell::new(None) };
}

/// How forgiving decoding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// A file: an unknown key is an error, a time span needs a unit.
    File,
    /// A request body: unknown keys are ignored, as Consul does; a bare number is nanoseconds.
    Body,
}

/// Why a definition cannot be used, and where in it. `Display` is the sentence that Consul's clients see.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct DefinitionError {
    path: Vec<String>,
    problem: Problem,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum Problem {
    #[error("{0}")]
    Duration(DurationError),
    #[error("{key}: expected {expected}, found {found}")]
    Shape { key: String, expected: &'static str, found: String },
    #[error("unknown key {written:?} ({advice})")]
    UnknownKey { written: String, advice: String },
    #[error("{0}")]
    Invalid(String),
}

impl DefinitionError {
    /// A definition that was read and makes no sense.
    #[must_use]
    pub fn invalid(sentence: impl Into<String>) -> Self {
        Self { path: Vec::new(), problem: Problem::Invalid(sentence.into()) }
    }

    /// Whether the text could not be read at all (`Request decode failed: ...`), rather than read and refused.
    #[must_use]
    pub fn is_decoding(&self) -> bool {
        !matches!(self.problem, Problem::Invalid(_))
    }

    /// The same error, found inside `place`.
    #[must_use]
    pub fn within(mut self, place: impl fmt::Display) -> Self {
        self.path.insert(0, place.to_string());
        self
    }

    /// The sentence for someone who wrote it in a file: where it is, what is wrong, what would be right.
    #[must_use]
    pub fn explain(&self) -> String {
        let mut text = String::new();
        for place in &self.path {
            text += place;
            text += ": ";
        }
        match &self.problem {
            Problem::Duration(error) => text + &error.explain(),
            problem => text + &problem.to_string(),
        }
    }
}

/// Folds a key: lower case, no underscores.
#[must_use]
pub fn fold(key: &str) -> String {
    key.chars().filter(|c| *c != '_').flat_map(char::to_lowercase).collect()
}

fn shape(key: &str, expected: &'static str, value: &Value) -> DefinitionError {
    let found = match value {
        Value::Null => "null".into(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(_) => "a string".into(),
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "an object".into(),
    };
    DefinitionError { path: Vec::new(), problem: Problem::Shape { key: key.into(), expected, found } }
}

/// The fields of one object that have not been taken yet. Names are given folded.
#[derive(Debug)]
pub struct Fields<'a> {
    left: BTreeMap<String, (&'a str, &'a Value)>,
    /// Every name asked for in a file, for the message about a key that none of them is.
    known: Vec<String>,
    strictness: Strictness,
}

impl<'a> Fields<'a> {
    /// The fields of `value`; none for null. A key written twice in different letter case counts once, the last.
    ///
    /// # Errors
    /// When `value` is neither an object nor null.
    pub fn of(value: &'a Value, strictness: Strictness) -> Result<Self, DefinitionError> {
        match value {
            Value::Object(map) => Ok(Self::of_map(map, strictness)),
            Value::Null => Ok(Self { left: BTreeMap::new(), known: Vec::new(), strictness }),
            other => Err(shape("the definition", "an object", other)),
        }
    }

    /// The fields of `map`.
    #[must_use]
    pub fn of_map(map: &'a Map<String, Value>, strictness: Strictness) -> Self {
        let left = map.iter().map(|(key, value)| (fold(key), (key.as_str(), value))).collect();
        Self { left, known: Vec::new(), strictness }
    }

    /// How forgiving this object is read.
    #[must_use]
    pub fn strictness(&self) -> Strictness {
        self.strictness
    }

    /// Whether a field is there and not null; it stays.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.left.get(name).is_some_and(|(_, value)| !value.is_null())
    }

    /// Takes a field as it is, with its key as written; null counts as absent.
    pub fn take(&mut self, name: &str) -> Option<(&'a str, &'a Value)> {
        #[cfg(test)]
        ASKED.with_borrow_mut(|asked| asked.iter_mut().for_each(|asked| asked.taken.push(name.into())));
        if self.strictness == Strictness::File && !self.left.is_empty() {
            self.known.push(name.into());
        }
        self.left.remove(name).filter(|(_, value)| !value.is_null())
    }

    /// Takes a text; empty where absent.
    ///
    /// # Errors
    /// When it is something else.
    pub fn text(&mut self, name: &str) -> Result<SmolStr, DefinitionError> {
        match self.take(name) {
            None => Ok(SmolStr::default()),
            Some((_, Value::String(text))) => Ok(text.into()),
            Some((key, other)) => Err(shape(key, "a string", other)),
        }
    }

    /// Takes a list of texts; empty where absent.
    ///
    /// # Errors
    /// When it is something else.
    pub fn texts(&mut self, name: &str) -> Result<Vec<SmolStr>, DefinitionError> {
        self.take(name).map_or(Ok(Vec::new()), |(key, value)| texts(key, value))
    }

    /// Takes a truth value; false where absent.
    ///
    /// # Errors
    /// When it is something else.
    pub fn flag(&mut self, name: &str) -> Result<bool, DefinitionError> {
        Ok(self.optional_flag(name)?.unwrap_or_default())
    }

    /// Takes a truth value, telling absent from false.
    ///
    /// # Errors
    /// When it is something else.
    pub fn optional_flag(&mut self, name: &str) -> Result<Option<bool>, DefinitionError> {
        match self.take(name) {
            None => Ok(None),
            Some((_, Value::Bool(flag))) => Ok(Some(*flag)),
            Some((key, other)) => Err(shape(key, "true or false", other)),
        }
    }

    /// Takes a whole number; none where absent.
    ///
    /// # Errors
    /// When it is something else or does not fit in `T`.
    pub fn number<T: TryFrom<i64>>(&mut self, name: &str) -> Result<Option<T>, DefinitionError> {
        let Some((key, value)) = self.take(name) else { return Ok(None) };
        let number = value.as_i64().ok_or_else(|| shape(key, "a whole number", value))?;
        T::try_from(number).map(Some).map_err(|_| shape(key, "a number in range", value))
    }

    /// Takes a time span; zero where absent or empty.
    ///
    /// # Errors
    /// When it is none, or in a file has no unit.
    pub fn duration(&mut self, name: &str) -> Result<Duration, DefinitionError> {
        Ok(self.optional_duration(name)?.unwrap_or_default())
    }

    /// Takes a time span; none where absent or empty.
    ///
    /// # Errors
    /// When it is none, or in a file has no unit.
    pub fn optional_duration(&mut self, name: &str) -> Result<Option<Duration>, DefinitionError> {
        let Some((key, value)) = self.take(name) else { return Ok(None) };
        let at_key = |error| DefinitionError { path: vec![key.into()], problem: Problem::Duration(error) };
        match value {
            Value::String(text) if text.is_empty() => Ok(None),
            Value::String(text) => duration::parse(text).map(Some).map_err(at_key),
            Value::Number(number) if self.strictness == Strictness::File && number.as_i64() != Some(0) => {
                Err(at_key(DurationError::MissingUnit(number.to_string())))
            }
            Value::Number(number) => {
                let nanoseconds = number.as_i64().ok_or_else(|| shape(key, "a duration", value))?;
                Ok(Some(Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(0))))
            }
            other => Err(shape(key, "a duration such as \"10s\"", other)),
        }
    }

    /// Takes a map of texts; empty where absent.
    ///
    /// # Errors
    /// When it, or one of its values, is something else.
    pub fn map(&mut self, name: &str) -> Result<BTreeMap<SmolStr, SmolStr>, DefinitionError> {
        let entries = self.object(name)?;
        let text = |(key, value): (&'a str, &'a Value)| match value {
            Value::String(text) => Ok((key.into(), text.into())),
            other => Err(shape(key, "a string", other).within(name)),
        };
        entries.into_iter().map(text).collect()
    }

    /// Takes a map of lists of texts; empty where absent.
    ///
    /// # Errors
    /// When it, or one of its values, is something else.
    pub fn map_of_texts(&mut self, name: &str) -> Result<BTreeMap<SmolStr, Vec<SmolStr>>, DefinitionError> {
        let entries = self.object(name)?;
        entries.into_iter().map(|(key, value)| Ok((key.into(), texts(key, value)?))).collect()
    }

    /// Takes an object as its entries, in order; empty where absent.
    ///
    /// # Errors
    /// When it is something else.
    pub fn object(&mut self, name: &str) -> Result<Vec<(&'a str, &'a Value)>, DefinitionError> {
        match self.take(name) {
            None => Ok(Vec::new()),
            Some((_, Value::Object(map))) => Ok(map.iter().map(|(key, value)| (key.as_str(), value)).collect()),
            Some((key, other)) => Err(shape(key, "an object", other)),
        }
    }

    /// Takes an object as fields; none where absent.
    ///
    /// # Errors
    /// When it is something else.
    pub fn fields(&mut self, name: &str) -> Result<Option<Self>, DefinitionError> {
        match self.take(name) {
            None => Ok(None),
            Some((_, Value::Object(map))) => Ok(Some(Self::of_map(map, self.strictness))),
            Some((key, other)) => Err(shape(key, "an object", other)),
        }
    }

    /// Takes a list; empty where absent.
    ///
    /// # Errors
    /// When it is something else.
    pub fn list(&mut self, name: &str) -> Result<&'a [Value], DefinitionError> {
        match self.take(name) {
            None => Ok(&[]),
            Some((_, Value::Array(list))) => Ok(list),
            Some((key, other)) => Err(shape(key, "a list", other)),
        }
    }

    /// Takes what one key names alone and another in a list, such as `check` and `checks`. In a file either key may hold
    /// one or several, as blocks of HCL do not tell which is meant.
    ///
    /// # Errors
    /// When the second, or in a file either, is something else.
    pub fn one_or_several(&mut self, one: &str, several: &str) -> Result<Vec<&'a Value>, DefinitionError> {
        if self.strictness == Strictness::Body {
            let one = self.take(one).map(|(_, value)| value);
            return Ok(one.into_iter().chain(self.list(several)?).collect());
        }
        let mut found = Vec::new();
        for name in [one, several] {
            match self.take(name) {
                None => {}
                Some((_, Value::Array(list))) => found.extend(list),
                Some((_, object @ Value::Object(_))) => found.push(object),
                Some((key, other)) => return Err(shape(key, "an object or a list of them", other)),
            }
        }
        Ok(found)
    }

    /// Drops the fields of these names and says which were there, as written.
    pub fn ignore(&mut self, names: &[&str]) -> Vec<&'a str> {
        #[cfg(test)]
        let ignored = || names.iter().map(|name| String::from(*name));
        #[cfg(test)]
        ASKED.with_borrow_mut(|asked| asked.iter_mut().for_each(|asked| asked.ignored.extend(ignored())));
        names.iter().filter_map(|name| self.left.remove(*name)).map(|(key, _)| key).collect()
    }

    /// Says that every known field was taken.
    ///
    /// # Errors
    /// In a file, when a key is left: nobody knows it.
    pub fn finish(self) -> Result<(), DefinitionError> {
        let Some((folded, (written, _))) = self.left.first_key_value() else { return Ok(()) };
        if self.strictness == Strictness::Body {
            return Ok(());
        }
        let advice = match nearest(folded, self.known.iter().map(String::as_str)) {
            Some(name) => format!("did you mean {name:?}?"),
            None => "remove it".into(),
        };
        Err(DefinitionError { path: Vec::new(), problem: Problem::UnknownKey { written: (*written).into(), advice } })
    }
}

fn texts(key: &str, value: &Value) -> Result<Vec<SmolStr>, DefinitionError> {
    let Value::Array(list) = value else { return Err(shape(key, "a list of strings", value)) };
    let text = |item: &Value| item.as_str().map(SmolStr::new).ok_or_else(|| shape(key, "a list of strings", value));
    list.iter().map(text).collect()
}
