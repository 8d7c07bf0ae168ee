//! What the API server checks before any rule: unknown fields, types, enumerations, sizes, required fields, repeated list members.
//!
//! It reads the very schema that is installed into a cluster, so that the two cannot disagree; every finding of an object is reported.

use super::node::{Field, Node, Tree};
use crate::{
    diagnostics::{nearest, quoted},
    v1alpha1::rules::join,
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool};
use std::collections::BTreeMap;

/// Something that does not fit the schema.
#[derive(Debug)]
pub(super) struct Misfit {
    pub(super) field: String,
    pub(super) line: u32,
    pub(super) message: String,
    pub(super) help: String,
}

/// Everything about `node` that does not fit `schema`. `path` is the node's own.
pub(super) fn misfits(schema: &JSONSchemaProps, node: &Node, path: &str) -> Vec<Misfit> {
    let mut check = Check {
        root: schema,
        path,
        found: Vec::new(),
    };
    check.value(schema, node, path, node.line);
    check.found
}

struct Check<'a> {
    root: &'a JSONSchemaProps,
    path: &'a str,
    found: Vec<Misfit>,
}

impl Check<'_> {
    fn value(&mut self, schema: &JSONSchemaProps, node: &Node, path: &str, line: u32) {
        match (schema.type_.as_deref(), &node.tree) {
            (Some("object"), Tree::Map(fields)) => self.object(schema, fields, path, line),
            (Some("array"), Tree::List(members)) => self.list(schema, members, path, line),
            (Some("string"), Tree::Text(text)) => self.text(schema, text, path, line),
            (Some("integer"), Tree::Number(number)) if number.is_i64() || number.is_u64() => self.number(schema, number, path, line),
            (Some("number"), Tree::Number(number)) => self.number(schema, number, path, line),
            (Some("boolean"), Tree::Bool(_)) | (None, _) => {}
            (Some(wanted), _) => self.wrong_type(schema, wanted, node, path, line),
        }
    }

    fn object(&mut self, schema: &JSONSchemaProps, fields: &[Field], path: &str, line: u32) {
        let empty = BTreeMap::new();
        let properties = schema.properties.as_ref().unwrap_or(&empty);
        for field in fields {
            let below = join(path, &field.name);
            match (properties.get(&field.name), &schema.additional_properties) {
                (Some(property), _) => self.value(property, &field.value, &below, field.line),
                (None, Some(JSONSchemaPropsOrBool::Schema(values))) => {
                    self.value(values, &field.value, &format!("{path}[{}]", field.name), field.line);
                }
                (None, _) => self.unknown(schema, &field.name, &below, field.line),
            }
        }
        for name in schema.required.iter().flatten() {
            if !fields.iter().any(|field| field.name == *name) {
                self.report(&join(path, name), line, "this field is missing", "add it");
            }
        }
        if let Some(most) = schema.max_properties.filter(|most| exceeds(fields.len(), *most)) {
            self.report(
                path,
                line,
                &format!("{} entries are too many", fields.len()),
                &format!("at most {most} fit"),
            );
        }
    }

    fn unknown(&mut self, here: &JSONSchemaProps, name: &str, path: &str, line: u32) {
        let empty = BTreeMap::new();
        let properties = here.properties.as_ref().unwrap_or(&empty);
        let known = || properties.keys().map(String::as_str);
        let help = if let Some(near) = nearest(name, known()) {
            format!("did you mean `{near}`?")
        } else if let Some(home) = home(here, name, path_of(path)).or_else(|| home(self.root, name, self.path)) {
            format!("it belongs to {home}")
        } else {
            format!("the fields here are {}", known().collect::<Vec<_>>().join(", "))
        };
        self.report(path, line, &format!("there is no field {}", quoted(name)), &help);
    }

    fn list(&mut self, schema: &JSONSchemaProps, members: &[Node], path: &str, line: u32) {
        if let Some(JSONSchemaPropsOrArray::Schema(each)) = &schema.items {
            for (at, member) in members.iter().enumerate() {
                self.value(each, member, &format!("{path}[{at}]"), member.line);
            }
        }
        if let Some(most) = schema.max_items.filter(|most| exceeds(members.len(), *most)) {
            self.report(
                path,
                line,
                &format!("{} members are too many", members.len()),
                &format!("at most {most} fit"),
            );
        }
        if schema.min_items.is_some_and(|least| !exceeds(members.len(), least - 1)) {
            self.report(path, line, "this list is empty", "write at least one member");
        }
        self.repetitions(schema, members, path);
    }

    /// Members that a list of type `set` or `map` may hold once only.
    fn repetitions(&mut self, schema: &JSONSchemaProps, members: &[Node], path: &str) {
        let keys = schema.x_kubernetes_list_map_keys.as_deref().unwrap_or_default();
        let identity = |member: &Node| match schema.x_kubernetes_list_type.as_deref() {
            Some("set") => member.text().map(str::to_owned),
            Some("map") => keys
                .iter()
                .map(|key| member.field(key).and_then(Node::text))
                .collect::<Option<Vec<_>>>()
                .map(|keys| keys.join("/")),
            _ => None,
        };
        let mut seen = BTreeMap::new();
        for (at, member) in members.iter().enumerate() {
            let Some(identity) = identity(member) else { continue };
            if let Some(first) = seen.insert(identity.clone(), member.line) {
                let message = format!("{} is there already, in line {first}", quoted(&identity));
                self.report(
                    &format!("{path}[{at}]"),
                    member.line,
                    &message,
                    "remove one of them, or give it another name",
                );
            }
        }
    }

    fn text(&mut self, schema: &JSONSchemaProps, text: &str, path: &str, line: u32) {
        if let Some(known) = &schema.enum_ {
            let known: Vec<&str> = known.iter().filter_map(|value| value.0.as_str()).collect();
            if !known.contains(&text) {
                let help = match nearest(text, known.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("write {}", alternatives(&known)),
                };
                self.report(path, line, &format!("{} is not known here", quoted(text)), &help);
            }
        }
        let characters = text.chars().count();
        if let Some(most) = schema.max_length.filter(|most| exceeds(characters, *most)) {
            self.report(
                path,
                line,
                &format!("{characters} characters are too many"),
                &format!("at most {most} fit"),
            );
        }
        if text.is_empty() && schema.min_length.is_some_and(|least| least > 0) {
            self.report(path, line, "this text is empty", "write one, or leave the field out");
        }
    }

    fn number(&mut self, schema: &JSONSchemaProps, number: &serde_json::Number, path: &str, line: u32) {
        let value = number.as_f64().unwrap_or(f64::MAX);
        let (least, most) = (schema.minimum, schema.maximum);
        if least.is_some_and(|least| value < least) || most.is_some_and(|most| value > most) {
            let help = match (least, most) {
                (Some(least), Some(most)) => format!("write a number from {least} to {most}"),
                (Some(least), None) => format!("write {least} or more"),
                (None, most) => format!("write {} or less", most.unwrap_or_default()),
            };
            self.report(path, line, &format!("{number} is out of range"), &help);
        }
    }

    fn wrong_type(&mut self, schema: &JSONSchemaProps, wanted: &str, node: &Node, path: &str, line: u32) {
        let wanted_words = match wanted {
            "object" => "fields",
            "array" => "a list",
            "string" => "a text",
            "boolean" => "true or false",
            _ => "a whole number",
        };
        let found = match &node.tree {
            Tree::Null => "nothing",
            Tree::Bool(_) => "true or false",
            Tree::Number(_) => "a number",
            Tree::Text(_) => "a text",
            Tree::List(_) => "a list",
            Tree::Map(_) => "fields",
        };
        let fields: Vec<&str> = schema.properties.iter().flatten().map(|(name, _)| name.as_str()).collect();
        let help = match (wanted, &node.tree) {
            (_, Tree::Null) => "write a value, or leave the field out".to_owned(),
            ("string", Tree::Number(number)) => format!("put it into quotes: \"{number}\""),
            ("string", Tree::Bool(_)) => "put it into quotes: yes, no, on, off, true and false are no texts without".to_owned(),
            ("array", _) => "write a - in front of each member, or [one, two]".to_owned(),
            ("integer", Tree::Text(_)) => "write it without quotes".to_owned(),
            ("object", _) if !fields.is_empty() => format!("write its fields: {}", fields.join(", ")),
            _ => format!("write {wanted_words}"),
        };
        self.report(path, line, &format!("{found} stands where {wanted_words} should"), &help);
    }

    fn report(&mut self, field: &str, line: u32, message: &str, help: &str) {
        self.found.push(Misfit {
            field: field.to_owned(),
            line,
            message: message.to_owned(),
            help: help.to_owned(),
        });
    }
}

/// The path around a field.
fn path_of(field: &str) -> &str {
    field.rsplit_once('.').map_or("", |(around, _)| around)
}

/// Where in the schema the only field of that name is, if there is exactly one such place.
fn home(root: &JSONSchemaProps, name: &str, path: &str) -> Option<String> {
    let mut homes = Vec::new();
    find(root, name, path, &mut homes);
    match homes.as_slice() {
        [only] => Some(only.clone()),
        _ => None,
    }
}

fn find(schema: &JSONSchemaProps, name: &str, path: &str, homes: &mut Vec<String>) {
    for (property, below) in schema.properties.iter().flatten() {
        if property == name {
            homes.push(path.to_owned());
        }
        find(below, name, &join(path, property), homes);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(members)) = &schema.items {
        find(members, name, &format!("{path}[]"), homes);
    }
}

/// `a`, `b` or `c`.
fn alternatives(known: &[&str]) -> String {
    match known {
        [all @ .., last] if !all.is_empty() => format!("{} or {last}", all.join(", ")),
        _ => known.concat(),
    }
}

fn exceeds(length: usize, most: i64) -> bool {
    i64::try_from(length).unwrap_or(i64::MAX) > most
}
