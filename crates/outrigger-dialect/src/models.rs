//! `GET /models` and `GET /models/{id}` in both dialects: what the routes offer. It must never invent a fact: what is not known is left
//! out, or has the value that the dialect reserves for "not known".

use outrigger_core::Dialect;
use serde_json::{Map, Value, json};

/// A model that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Model<'a> {
    /// The name to ask for; may contain `/`.
    pub id: &'a str,
    /// Who offers it.
    pub owned_by: &'a str,
    /// Input window, tokens.
    pub context_window: Option<u32>,
    /// Most output tokens of one call.
    pub max_output: Option<u32>,
}

/// The body of the list, one page.
pub fn list(dialect: Dialect, models: &[Model<'_>]) -> Vec<u8> {
    let data: Vec<Value> = models.iter().map(|model| value(dialect, model)).collect();
    let body = match dialect {
        Dialect::OpenAi => json!({"object": "list", "data": data}),
        Dialect::Anthropic => json!({
            "data": data,
            "has_more": false,
            "first_id": models.first().map(|model| model.id),
            "last_id": models.last().map(|model| model.id),
        }),
    };
    body.to_string().into_bytes()
}

/// The body of one model.
pub fn one(dialect: Dialect, model: &Model<'_>) -> Vec<u8> {
    value(dialect, model).to_string().into_bytes()
}

fn value(dialect: Dialect, model: &Model<'_>) -> Value {
    let Model {
        id,
        owned_by,
        context_window,
        max_output,
    } = *model;
    match dialect {
        Dialect::OpenAi => json!({"id": id, "object": "model", "created": 0, "owned_by": owned_by}),
        Dialect::Anthropic => {
            // The API has the beginning of 1970 for a release date that is not known.
            let mut members = Map::from_iter([
                ("id".to_owned(), id.into()),
                ("type".to_owned(), "model".into()),
                ("display_name".to_owned(), id.into()),
                ("created_at".to_owned(), "1970-01-01T00:00:00Z".into()),
            ]);
            let known = [("max_input_tokens", context_window), ("max_tokens", max_output)];
            members.extend(
                known
                    .into_iter()
                    .filter_map(|(name, tokens)| Some((name.to_owned(), tokens?.into()))),
            );
            Value::Object(members)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODELS: [Model<'_>; 2] = [
        Model {
            id: "meta/llama",
            owned_by: "outrigger",
            context_window: None,
            max_output: None,
        },
        Model {
            id: "smart",
            owned_by: "outrigger",
            context_window: Some(200_000),
            max_output: Some(64_000),
        },
    ];

    fn text(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn the_list_has_the_shape_of_the_dialect() {
        insta::assert_snapshot!(text(list(Dialect::OpenAi, &MODELS)), @r#"{"object":"list","data":[{"id":"meta/llama","object":"model","created":0,"owned_by":"outrigger"},{"id":"smart","object":"model","created":0,"owned_by":"outrigger"}]}"#);
        insta::assert_snapshot!(text(list(Dialect::Anthropic, &MODELS)), @r#"{"data":[{"id":"meta/llama","type":"model","display_name":"meta/llama","created_at":"1970-01-01T00:00:00Z"},{"id":"smart","type":"model","display_name":"smart","created_at":"1970-01-01T00:00:00Z","max_input_tokens":200000,"max_tokens":64000}],"has_more":false,"first_id":"meta/llama","last_id":"smart"}"#);
    }

    #[test]
    fn an_empty_list_is_a_list() {
        insta::assert_snapshot!(text(list(Dialect::OpenAi, &[])), @r#"{"object":"list","data":[]}"#);
        insta::assert_snapshot!(text(list(Dialect::Anthropic, &[])), @r#"{"data":[],"has_more":false,"first_id":null,"last_id":null}"#);
    }

    #[test]
    fn one_model_is_its_entry_of_the_list() {
        for dialect in [Dialect::OpenAi, Dialect::Anthropic] {
            let all = text(list(dialect, &MODELS));
            for model in &MODELS {
                assert!(all.contains(&text(one(dialect, model))));
            }
        }
    }
}
