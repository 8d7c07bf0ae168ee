//! What a message and its stream events look like on the wire.

use crate::lenient::{lenient, lenient_list};
use serde::Deserialize;
use serde_json::Value;

/// A message, whole or as it begins.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Message {
    #[serde(rename = "type", deserialize_with = "lenient")]
    pub kind: String,
    #[serde(deserialize_with = "lenient")]
    pub id: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub model: Option<String>,
    #[serde(deserialize_with = "lenient_list")]
    pub content: Vec<Block>,
    #[serde(deserialize_with = "lenient")]
    pub stop_reason: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub stop_sequence: Option<String>,
}

/// A content block.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Block {
    #[serde(rename = "type", deserialize_with = "lenient")]
    pub kind: String,
    #[serde(deserialize_with = "lenient")]
    pub text: String,
    #[serde(deserialize_with = "lenient")]
    pub thinking: String,
    #[serde(deserialize_with = "lenient")]
    pub signature: String,
    #[serde(deserialize_with = "lenient")]
    pub data: String,
    #[serde(deserialize_with = "lenient")]
    pub id: String,
    #[serde(deserialize_with = "lenient")]
    pub name: String,
    pub input: Value,
}

/// A stream event.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Event {
    #[serde(rename = "type", deserialize_with = "lenient")]
    pub kind: String,
    #[serde(deserialize_with = "lenient")]
    pub message: Message,
    #[serde(deserialize_with = "lenient")]
    pub index: usize,
    #[serde(deserialize_with = "lenient")]
    pub content_block: Block,
    #[serde(deserialize_with = "lenient")]
    pub delta: Delta,
}

/// More of a block, or of the message.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Delta {
    #[serde(rename = "type", deserialize_with = "lenient")]
    pub kind: String,
    #[serde(deserialize_with = "lenient")]
    pub text: String,
    #[serde(deserialize_with = "lenient")]
    pub partial_json: String,
    #[serde(deserialize_with = "lenient")]
    pub thinking: String,
    #[serde(deserialize_with = "lenient")]
    pub signature: String,
    #[serde(deserialize_with = "lenient")]
    pub stop_reason: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub stop_sequence: Option<String>,
}
