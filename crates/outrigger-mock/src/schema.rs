//! An example for a JSON schema: what a model would answer that keeps to it.
//!
//! Decides the smallest value that validates. It must never recurse without end: schemas may refer to themselves.

use serde_json::{Map, Value, json};

/// Nesting beyond which an example is null.
const DEEPEST: usize = 24;

/// A value that validates against `schema`, for the keywords that structured output knows.
pub(crate) fn example(schema: &Value) -> Value {
    of(schema, schema, 0)
}

fn of(schema: &Value, root: &Value, depth: usize) -> Value {
    if depth > DEEPEST {
        return Value::Null;
    }
    if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
        return target
            .strip_prefix('#')
            .and_then(|pointer| root.pointer(pointer))
            .map_or(Value::Null, |found| of(found, root, depth + 1));
    }
    if let Some(value) = schema.get("const") {
        return value.clone();
    }
    if let Some(first) = first_of(schema, "enum") {
        return first.clone();
    }
    if let Some(branches) = ["anyOf", "oneOf"].iter().find_map(|key| schema.get(*key)).and_then(Value::as_array) {
        // The deeper we are, the rather the branch that ends: recursive types offer null for that.
        let ends = branches
            .iter()
            .find(|branch| depth > 2 && branch.get("type") == Some(&json!("null")));
        return ends.or(branches.first()).map_or(Value::Null, |branch| of(branch, root, depth + 1));
    }
    if let Some(parts) = schema.get("allOf").and_then(Value::as_array) {
        return merged(parts.iter().map(|part| of(part, root, depth + 1)));
    }
    let kind = match schema.get("type") {
        Some(Value::String(kind)) => kind.as_str(),
        Some(Value::Array(kinds)) => kinds.first().and_then(Value::as_str).unwrap_or("null"),
        _ if schema.get("properties").is_some() => "object",
        _ => "null",
    };
    match kind {
        "object" => object(schema, root, depth),
        "array" => array(schema, root, depth),
        "string" => text(schema),
        "integer" => schema
            .get("minimum")
            .filter(|least| least.is_i64() || least.is_u64())
            .cloned()
            .unwrap_or_else(|| json!(1)),
        "number" => schema.get("minimum").cloned().unwrap_or_else(|| json!(1.5)),
        "boolean" => json!(true),
        _ => Value::Null,
    }
}

fn object(schema: &Value, root: &Value, depth: usize) -> Value {
    let properties = schema.get("properties").and_then(Value::as_object);
    let members = properties
        .into_iter()
        .flatten()
        .map(|(name, property)| (name.clone(), of(property, root, depth + 1)));
    Value::Object(members.collect())
}

fn array(schema: &Value, root: &Value, depth: usize) -> Value {
    let least = schema.get("minItems").and_then(Value::as_u64).unwrap_or(1).min(16);
    // A recursive list must end somewhere.
    let least = if depth > 6 { 0 } else { least };
    let items = schema.get("items");
    Value::Array(
        (0..least)
            .map(|_| items.map_or(Value::Null, |items| of(items, root, depth + 1)))
            .collect(),
    )
}

fn text(schema: &Value) -> Value {
    let sample = match schema.get("format").and_then(Value::as_str) {
        Some("date") => "2026-01-31",
        Some("date-time") => "2026-01-31T12:00:00Z",
        Some("time") => "12:00:00Z",
        Some("email") => "someone@example.com",
        Some("uri" | "url") => "https://example.com/",
        Some("uuid") => "00000000-0000-4000-8000-000000000000",
        _ => "example",
    };
    let least = schema
        .get("minLength")
        .and_then(Value::as_u64)
        .and_then(|least| usize::try_from(least).ok())
        .unwrap_or(0)
        .min(4096);
    Value::String(format!("{sample}{}", "x".repeat(least.saturating_sub(sample.len()))))
}

fn first_of<'a>(schema: &'a Value, key: &str) -> Option<&'a Value> {
    schema.get(key).and_then(Value::as_array).and_then(|values| values.first())
}

fn merged(parts: impl Iterator<Item = Value>) -> Value {
    let mut all = Map::new();
    for part in parts {
        match part {
            Value::Object(members) => all.extend(members),
            other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => return other,
        }
    }
    Value::Object(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_example_has_every_property_in_its_type() {
        let schema = json!({
            "type": "object",
            "properties": {
                "name": {"type": "string", "minLength": 9},
                "age": {"type": "integer"},
                "kind": {"enum": ["a", "b"]},
                "tags": {"type": "array", "items": {"type": "string"}, "minItems": 2},
                "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                "day": {"$ref": "#/$defs/day"}
            },
            "$defs": {"day": {"type": "string", "format": "date"}}
        });
        let expected = json!({
            "name": "examplexx", "age": 1, "kind": "a", "tags": ["example", "example"], "note": "example", "day": "2026-01-31"
        });
        assert_eq!(example(&schema), expected);
    }

    #[test]
    fn a_schema_that_refers_to_itself_ends() {
        let list = json!({"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}});
        assert!(example(&list).is_object());
        let tree = json!({"type": "object", "properties": {"children": {"type": "array", "items": {"$ref": "#"}}}});
        assert!(example(&tree).is_object());
        assert_eq!(example(&json!({"$ref": "#"})), Value::Null);
    }
}
