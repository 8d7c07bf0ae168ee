//! Reading what providers write: a member of an unexpected type counts as absent, so that one odd field never costs an answer.

use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::Value;

/// For `#[serde(deserialize_with)]`, beside `#[serde(default)]`.
pub(crate) fn lenient<'de, D: Deserializer<'de>, T: DeserializeOwned + Default>(deserializer: D) -> Result<T, D::Error> {
    let value = Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).unwrap_or_default())
}

/// A list of which members that cannot be read are left out.
pub(crate) fn lenient_list<'de, D: Deserializer<'de>, T: DeserializeOwned>(deserializer: D) -> Result<Vec<T>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Array(items) => Ok(items.into_iter().filter_map(|item| serde_json::from_value(item).ok()).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => Ok(Vec::new()),
    }
}
