//! One thing that `json!` cannot: a field that is there only sometimes.

use serde_json::Value;

/// Sets a field of an object; anything else stays as it is.
pub(crate) fn put(object: &mut Value, name: &str, value: impl Into<Value>) {
    if let Value::Object(fields) = object {
        fields.insert(name.to_owned(), value.into());
    }
}
