//! Makes a JSON schema one that Anthropic takes for structured output: objects are closed, and keywords that it refuses are left out. The
//! answer then fits a slightly wider schema, never another one. Names of properties are never mistaken for keywords.

use crate::ir::Extra;
use serde_json::Value;

const REFUSED: [&str; 27] = [
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "uniqueItems",
    "contains",
    "minContains",
    "maxContains",
    "minProperties",
    "maxProperties",
    "patternProperties",
    "propertyNames",
    "unevaluatedProperties",
    "unevaluatedItems",
    "dependentRequired",
    "dependentSchemas",
    "dependencies",
    "if",
    "then",
    "else",
    "not",
    "$schema",
];

/// `schema`, cleaned.
pub(super) fn clean(schema: Value) -> Value {
    let Value::Object(members) = schema else { return schema };
    let mut cleaned = Extra::new();
    for (key, value) in members {
        match key.as_str() {
            keyword if REFUSED.contains(&keyword) || keyword == "additionalProperties" => {}
            "properties" | "$defs" | "definitions" => {
                cleaned.insert(key, named(value));
            }
            "items" | "additionalItems" | "allOf" | "prefixItems" => {
                cleaned.insert(key, each(value));
            }
            "anyOf" | "oneOf" => match cleaned.get_mut("anyOf") {
                Some(Value::Array(earlier)) => {
                    if let Value::Array(mut more) = each(value) {
                        earlier.append(&mut more);
                    }
                }
                _ => {
                    cleaned.insert("anyOf".to_owned(), each(value));
                }
            },
            _ => {
                cleaned.insert(key, value);
            }
        }
    }
    if is_object(&cleaned) {
        cleaned.insert("additionalProperties".to_owned(), false.into());
    }
    Value::Object(cleaned)
}

fn is_object(schema: &Extra) -> bool {
    let typed = match schema.get("type") {
        Some(Value::String(kind)) => kind == "object",
        Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == "object"),
        _ => false,
    };
    typed || schema.contains_key("properties")
}

/// Schemas by name.
fn named(value: Value) -> Value {
    match value {
        Value::Object(schemas) => Value::Object(schemas.into_iter().map(|(name, schema)| (name, clean(schema))).collect()),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => other,
    }
}

/// One schema or a list of them.
fn each(value: Value) -> Value {
    match value {
        Value::Array(schemas) => Value::Array(schemas.into_iter().map(clean).collect()),
        one @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => clean(one),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn refused_keywords_go_and_objects_are_closed_at_every_level() {
        let schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": {
                "minimum": {"type": "integer", "minimum": 1, "maximum": 9},
                "tags": {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1},
                "who": {"oneOf": [{"$ref": "#/$defs/person"}, {"type": "null"}]},
                "kind": {"enum": ["not", "if"], "default": {"minimum": 3}},
            },
            "required": ["minimum"],
            "if": {"required": ["who"]}, "then": {},
            "$defs": {"person": {"type": ["object", "null"], "properties": {"name": {"type": "string", "pattern": "^a"}}, "additionalProperties": true}},
        });
        assert_eq!(
            clean(schema),
            json!({
                "type": "object",
                "properties": {
                    "minimum": {"type": "integer"},
                    "tags": {"type": "array", "items": {"type": "string"}},
                    "who": {"anyOf": [{"$ref": "#/$defs/person"}, {"type": "null"}]},
                    "kind": {"enum": ["not", "if"], "default": {"minimum": 3}},
                },
                "required": ["minimum"],
                "$defs": {"person": {"type": ["object", "null"], "properties": {"name": {"type": "string", "pattern": "^a"}}, "additionalProperties": false}},
                "additionalProperties": false,
            })
        );
    }
}
