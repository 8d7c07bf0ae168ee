//! Takes a JSON object apart, field by field, and knows where it stands in the request, so that a mistake is named by its path. A field
//! that is `null` counts as absent everywhere. It must never fail on a field that nobody asks for: those stay, and are the `extra`.

use crate::{ir::Extra, untranslatable::Untranslatable};
use serde_json::{Number, Value};

/// An object and its path.
pub(crate) struct Fields {
    map: Extra,
    path: String,
}

impl Fields {
    /// `value` must be an object; `path` is empty for the request itself.
    pub(crate) fn of(value: Value, path: String) -> Result<Self, Untranslatable> {
        match value {
            Value::Object(map) => Ok(Self { map, path }),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Err(wrong(path, "an object")),
        }
    }

    /// The path of one of its fields.
    pub(crate) fn at(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }

    /// Its own path.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Takes a field out.
    pub(crate) fn take(&mut self, key: &str) -> Option<Value> {
        self.map.shift_remove(key).filter(|value| !value.is_null())
    }

    /// A string.
    pub(crate) fn text(&mut self, key: &str) -> Result<Option<String>, Untranslatable> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(wrong(self.at(key), "a string")),
        }
    }

    /// A string that must be there.
    pub(crate) fn required_text(&mut self, key: &str) -> Result<String, Untranslatable> {
        self.text(key)?.ok_or_else(|| missing(self.at(key)))
    }

    /// `true` or `false`.
    pub(crate) fn flag(&mut self, key: &str) -> Result<Option<bool>, Untranslatable> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(_) => Err(wrong(self.at(key), "true or false")),
        }
    }

    /// A number.
    pub(crate) fn number(&mut self, key: &str) -> Result<Option<Number>, Untranslatable> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Number(number)) => Ok(Some(number)),
            Some(_) => Err(wrong(self.at(key), "a number")),
        }
    }

    /// A whole number that is not negative.
    pub(crate) fn count(&mut self, key: &str) -> Result<Option<u64>, Untranslatable> {
        match self.take(key) {
            None => Ok(None),
            Some(value) => value
                .as_u64()
                .map(Some)
                .ok_or_else(|| wrong(self.at(key), "a whole number, not negative")),
        }
    }

    /// A list; absent is empty.
    pub(crate) fn list(&mut self, key: &str) -> Result<Vec<Value>, Untranslatable> {
        match self.take(key) {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) => Ok(items),
            Some(_) => Err(wrong(self.at(key), "a list")),
        }
    }

    /// An object.
    pub(crate) fn object(&mut self, key: &str) -> Result<Option<Self>, Untranslatable> {
        let path = self.at(key);
        self.take(key).map(|value| Self::of(value, path)).transpose()
    }

    /// The string at `key`, left where it is; empty where there is none.
    pub(crate) fn peek(&self, key: &str) -> &str {
        self.map.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    /// The names of the fields that are left.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.map.iter().filter(|(_, value)| !value.is_null()).map(|(name, _)| name.as_str())
    }

    /// A field that is left, where it is.
    pub(crate) fn look(&self, key: &str) -> Option<&Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    /// Puts a field back.
    pub(crate) fn put(&mut self, key: &str, value: Value) {
        self.map.insert(key.to_owned(), value);
    }

    /// What nobody took.
    pub(crate) fn rest(self) -> Extra {
        self.map
    }
}

/// A field of the wrong type.
pub(crate) fn wrong(path: String, must_be: &str) -> Untranslatable {
    let message = if path.is_empty() {
        format!("the request body must be {must_be}")
    } else {
        format!("{path} must be {must_be}")
    };
    let param = Some(path).filter(|path| !path.is_empty());
    Untranslatable {
        message,
        param,
        elsewhere: false,
    }
}

/// A field that is not there.
pub(crate) fn missing(path: String) -> Untranslatable {
    let message = format!("{path} is required");
    Untranslatable::malformed(path, message)
}
