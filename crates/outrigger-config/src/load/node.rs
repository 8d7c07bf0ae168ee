//! A parsed document: JSON's shapes with the line of every value.

use core::fmt;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Number, Value};
use serde_saphyr::Spanned;
use std::collections::BTreeMap;

/// A value and the line where it was written.
#[derive(Debug)]
pub(super) struct Node {
    /// Counted from 1.
    pub(super) line: u32,
    /// The value.
    pub(super) tree: Tree,
}

/// The shapes of JSON.
#[derive(Debug)]
pub(super) enum Tree {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Field>),
}

/// A field of a map.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: String,
    /// The line of the name.
    pub(super) line: u32,
    pub(super) value: Node,
}

impl Node {
    /// The field `name` of a map.
    pub(super) fn field(&self, name: &str) -> Option<&Node> {
        self.fields().iter().find(|field| field.name == name).map(|field| &field.value)
    }

    /// The fields of a map; none of anything else.
    pub(super) fn fields(&self) -> &[Field] {
        match &self.tree {
            Tree::Map(fields) => fields,
            Tree::Null | Tree::Bool(_) | Tree::Number(_) | Tree::Text(_) | Tree::List(_) => &[],
        }
    }

    /// The members of a list; none of anything else.
    pub(super) fn members(&self) -> &[Node] {
        match &self.tree {
            Tree::List(members) => members,
            Tree::Null | Tree::Bool(_) | Tree::Number(_) | Tree::Text(_) | Tree::Map(_) => &[],
        }
    }

    /// The text, if it is one.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.tree {
            Tree::Text(text) => Some(text),
            Tree::Null | Tree::Bool(_) | Tree::Number(_) | Tree::List(_) | Tree::Map(_) => None,
        }
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(self.tree, Tree::Null)
    }

    /// Counts lines from `above` lines further up.
    pub(super) fn shift(&mut self, above: u32) {
        self.line = self.line.saturating_add(above);
        match &mut self.tree {
            Tree::List(members) => members.iter_mut().for_each(|member| member.shift(above)),
            Tree::Map(fields) => fields.iter_mut().for_each(|field| {
                field.line = field.line.saturating_add(above);
                field.value.shift(above);
            }),
            Tree::Null | Tree::Bool(_) | Tree::Number(_) | Tree::Text(_) => {}
        }
    }

    /// The value without its lines.
    pub(super) fn to_value(&self) -> Value {
        match &self.tree {
            Tree::Null => Value::Null,
            Tree::Bool(bool) => Value::Bool(*bool),
            Tree::Number(number) => Value::Number(number.clone()),
            Tree::Text(text) => Value::String(text.clone()),
            Tree::List(members) => Value::Array(members.iter().map(Node::to_value).collect()),
            Tree::Map(fields) => {
                let fields = fields.iter().map(|field| (field.name.clone(), field.value.to_value()));
                Value::Object(fields.collect::<Map<_, _>>())
            }
        }
    }

    /// The line of every field below, by path; the empty path is this node.
    pub(super) fn lines(&self) -> BTreeMap<String, u32> {
        let mut lines = BTreeMap::new();
        self.record(String::new(), self.line, &mut lines);
        lines
    }

    fn record(&self, path: String, line: u32, lines: &mut BTreeMap<String, u32>) {
        for field in self.fields() {
            field
                .value
                .record(crate::v1alpha1::rules::join(&path, &field.name), field.line, lines);
        }
        for (at, member) in self.members().iter().enumerate() {
            member.record(format!("{path}[{at}]"), member.line, lines);
        }
        lines.insert(path, line);
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Tree>::deserialize(deserializer)?;
        Ok(Self {
            line: line_of(&spanned),
            tree: spanned.value,
        })
    }
}

fn line_of<T>(spanned: &Spanned<T>) -> u32 {
    u32::try_from(spanned.referenced.line()).unwrap_or(u32::MAX)
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Shapes)
    }
}

struct Shapes;

impl<'de> Visitor<'de> for Shapes {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any YAML value")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_none<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        // Infinity and NaN are texts: JSON, which is what the API server gets, has no such numbers.
        Ok(Number::from_f64(value).map_or_else(|| Tree::Text(value.to_string()), Tree::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Tree, E> {
        Ok(Tree::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Tree, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = access.next_element()? {
            members.push(member);
        }
        Ok(Tree::List(members))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Tree, A::Error> {
        let mut fields = Vec::new();
        while let Some(name) = access.next_key::<Spanned<String>>()? {
            fields.push(Field {
                line: line_of(&name),
                value: access.next_value()?,
                name: name.value,
            });
        }
        Ok(Tree::Map(fields))
    }
}
