//! Whether a JSON schema keeps to the rules without which OpenAI refuses `strict`.

use serde_json::Value;

const REFUSED: [&str; 10] = [
    "allOf",
    "not",
    "if",
    "then",
    "else",
    "dependentRequired",
    "dependentSchemas",
    "dependencies",
    "patternProperties",
    "oneOf",
];

/// The root is an object; every object is closed and requires all that it lists.
pub(super) fn holds(schema: &Value) -> bool {
    schema.get("type").and_then(Value::as_str) == Some("object") && schema.get("anyOf").is_none() && level(schema)
}

fn level(schema: &Value) -> bool {
    let Value::Object(members) = schema else { return true };
    if REFUSED.iter().any(|keyword| members.contains_key(*keyword)) {
        return false;
    }
    let children = |key: &str| members.get(key).and_then(Value::as_object).into_iter().flat_map(|map| map.iter());
    let is_object = members.get("type").and_then(Value::as_str) == Some("object") || members.contains_key("properties");
    if is_object {
        let required: Vec<&str> = members
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let closed = members.get("additionalProperties") == Some(&Value::Bool(false));
        if !closed || !children("properties").all(|(name, _)| required.contains(&name.as_str())) {
            return false;
        }
    }
    let below = ["properties", "$defs", "definitions"]
        .into_iter()
        .all(|key| children(key).all(|(_, schema)| level(schema)));
    below
        && members
            .get("anyOf")
            .and_then(Value::as_array)
            .is_none_or(|schemas| schemas.iter().all(level))
        && members.get("items").is_none_or(level)
}
