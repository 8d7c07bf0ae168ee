//! JSON as YAML in block style: the form that people read and review. What reads differently in some version of YAML is put into quotes, and
//! a quoted text is JSON's, so that nothing ever depends on a reader's taste.

use serde_json::Value;
use std::fmt::Write as _;

/// Ends in a line break.
pub(super) fn write(value: &Value) -> String {
    let mut text = String::new();
    block(value, 0, &mut text);
    text
}

/// A value on lines of its own, each indented.
fn block(value: &Value, indent: usize, text: &mut String) {
    let pad = " ".repeat(indent);
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                let _ = write!(text, "{pad}{}:", string(name));
                below(value, indent, text);
            }
        }
        Value::Array(members) if !members.is_empty() => {
            for member in members {
                let start = text.len();
                block(member, indent + 2, text);
                // The member's first line carries the dash.
                text.replace_range(start..start + indent + 2, &format!("{pad}- "));
            }
        }
        Value::Object(_) | Value::Array(_) | Value::String(_) | Value::Number(_) | Value::Bool(_) | Value::Null => {
            let _ = writeln!(text, "{pad}{}", scalar(value));
        }
    }
}

/// What follows a name and its colon.
fn below(value: &Value, indent: usize, text: &mut String) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            text.push('\n');
            block(value, indent + 2, text);
        }
        Value::Array(members) if !members.is_empty() => {
            text.push('\n');
            block(value, indent, text);
        }
        Value::Object(_) | Value::Array(_) | Value::String(_) | Value::Number(_) | Value::Bool(_) | Value::Null => {
            let _ = writeln!(text, " {}", scalar(value));
        }
    }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => string(text),
        // Empty lists and maps, numbers, true, false and null are the same in both languages.
        Value::Object(_) | Value::Array(_) | Value::Number(_) | Value::Bool(_) | Value::Null => value.to_string(),
    }
}

fn string(text: &str) -> String {
    // Words of letters and the like, beginning with a letter, that no YAML takes for something else.
    let plain = |c: char| c.is_ascii_alphanumeric() || " ._/-,()".contains(c);
    let is_word = ["", "y", "n", "yes", "no", "on", "off", "true", "false", "null"]
        .iter()
        .any(|word| text.eq_ignore_ascii_case(word));
    if !is_word && text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.chars().all(plain) && text.trim() == text {
        return text.to_owned();
    }
    Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_written_reads_the_same() {
        let value = json!({
            "words": ["a b", "no", "1", "", " x", "x ", "a: b", "- a", "#", "'", "\"", "é", "a\nb", "{}", "1e3", "null", "~", "0x1", "a #b"],
            "numbers": [1, -2, 0.5],
            "others": [true, null, {}, [], [[1, [2]], {"a": {"b": [{"c": 1, "d": [2]}]}}]],
            "9": {"y": {"spec.x": {"empty": {}}}},
        });
        let text = write(&value);
        assert_eq!(serde_saphyr::from_str::<Value>(&text).unwrap(), value, "{text}");
        for crd in outrigger_config::crds() {
            let crd = serde_json::to_value(crd).unwrap();
            assert_eq!(serde_saphyr::from_str::<Value>(&write(&crd)).unwrap(), crd);
        }
    }

    #[test]
    fn it_looks_as_people_write_it() {
        let value = json!({"kind": "List", "items": [{"name": "a", "ports": [1, 2]}, {"name": "on"}], "none": {}});
        let expected = "kind: List\nitems:\n- name: a\n  ports:\n  - 1\n  - 2\n- name: \"on\"\nnone: {}\n";
        assert_eq!(write(&value), expected);
    }
}
