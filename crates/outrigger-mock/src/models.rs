//! Lists of models, in the shapes of both dialects.
//!
//! Decides their fields. It must never decide which models exist: that is the script's.

use serde_json::{Value, json};

use crate::behaviour::Behaviour;
use crate::place::Dialect;

/// Listed when the script names none.
const USUAL: [&str; 2] = ["mock-small", "mock-large"];

pub(crate) fn list(dialect: Dialect, behaviour: &Behaviour) -> Value {
    let usual = || USUAL.iter().map(|id| (*id).to_owned()).collect();
    let ids = behaviour.models.clone().unwrap_or_else(usual);
    let data: Value = ids.iter().map(|id| one(dialect, id)).collect();
    match dialect {
        Dialect::OpenAi => json!({"object": "list", "data": data}),
        Dialect::Anthropic => json!({"data": data, "has_more": false, "first_id": ids.first(), "last_id": ids.last()}),
    }
}

pub(crate) fn one(dialect: Dialect, id: &str) -> Value {
    match dialect {
        Dialect::OpenAi => json!({"id": id, "object": "model", "created": 1_760_000_000, "owned_by": "mock"}),
        Dialect::Anthropic => json!({
            "type": "model", "id": id, "display_name": id, "created_at": "2026-01-31T00:00:00Z",
            "max_input_tokens": 200_000, "max_tokens": 64_000,
        }),
    }
}
