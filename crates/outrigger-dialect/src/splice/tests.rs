use super::*;
use crate::scan::scan;
use outrigger_core::Endpoint;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

fn spliced(body: &str, edits: &Edits<'_>) -> String {
    let body = Bytes::from(body.to_owned());
    let scan = scan(&body, Endpoint::Chat).unwrap();
    let pieces = splice(&body, &scan, edits);
    assert!(pieces.iter().all(|piece| !piece.is_empty()));
    String::from_utf8(pieces.concat()).unwrap()
}

const USAGE: Edits<'_> = Edits {
    model: None,
    include_usage: true,
    drop_stream_options: false,
    token_limit: None,
};

#[test]
fn a_model_is_replaced_and_every_other_byte_stays() {
    let body = "{ \"a\" : [ 1.50, \"\\u0041\" ] ,\"model\":\"gp\\u0074\", \"messages\":[]\n}\n";
    let edits = Edits {
        model: Some("a\"b"),
        ..Edits::default()
    };
    assert_eq!(spliced(body, &edits), body.replace("gp\\u0074", "a\\\"b"));
    let same = Bytes::from(body);
    let edits = Edits {
        model: Some("gpt"),
        ..Edits::default()
    };
    let pieces = splice(&same, &scan(&same, Endpoint::Chat).unwrap(), &edits);
    assert_eq!(pieces, [same], "the same model is no change");
}

#[test]
fn the_body_is_not_copied() {
    let body = Bytes::from(r#"{"x":"0123456789","model":"a","y":"0123456789"}"#);
    let edits = Edits {
        model: Some("b"),
        ..Edits::default()
    };
    let pieces = splice(&body, &scan(&body, Endpoint::Chat).unwrap(), &edits);
    let inside = |piece: &Bytes| body.as_ptr_range().contains(&piece.as_ptr());
    assert_eq!(pieces.iter().map(inside).collect::<Vec<_>>(), [true, false, true]);
}

#[test]
fn usage_is_asked_for_in_every_shape_of_stream_options() {
    let rest = r#""model":"m","messages":[]"#;
    for (options, expected) in [
        ("", r#""stream_options":{"include_usage":true},"#),
        (r#""stream_options":null,"#, r#""stream_options":{"include_usage":true},"#),
        (r#""stream_options": {} ,"#, r#""stream_options": {"include_usage":true} ,"#),
        (r#""stream_options":{ },"#, r#""stream_options":{"include_usage":true },"#),
        (
            r#""stream_options":{"include_usage": false},"#,
            r#""stream_options":{"include_usage": true},"#,
        ),
        (
            r#""stream_options":{"include_usage":null, "x":1},"#,
            r#""stream_options":{"include_usage":true, "x":1},"#,
        ),
        (
            r#""stream_options":{"include_obfuscation":false},"#,
            r#""stream_options":{"include_usage":true,"include_obfuscation":false},"#,
        ),
        (
            r#""stream_options":{"include_usage":true},"#,
            r#""stream_options":{"include_usage":true},"#,
        ),
    ] {
        assert_eq!(spliced(&format!("{{{options}{rest}}}"), &USAGE), format!("{{{expected}{rest}}}"));
    }
}

#[test]
fn a_token_limit_gets_the_name_that_the_target_knows() {
    let long = Edits {
        token_limit: Some(TokenLimit::MaxCompletionTokens),
        ..Edits::default()
    };
    let short = Edits {
        token_limit: Some(TokenLimit::MaxTokens),
        ..Edits::default()
    };
    for (edits, body, expected) in [
        (
            long,
            r#"{"model":"m","max_tokens":5}"#,
            r#"{"model":"m","max_completion_tokens":5}"#,
        ),
        (short, r#"{"model":"m","max_tokens":5}"#, r#"{"model":"m","max_tokens":5}"#),
        (
            short,
            r#"{"max_completion_tokens":5,"model":"m"}"#,
            r#"{"max_tokens":5,"model":"m"}"#,
        ),
        (
            short,
            r#"{"max_tokens":6,"max_completion_tokens":5,"model":"m"}"#,
            r#"{"max_tokens":5,"model":"m"}"#,
        ),
        (
            long,
            r#"{"max_completion_tokens":5,"model":"m","max_tokens":6}"#,
            r#"{"max_completion_tokens":5,"model":"m"}"#,
        ),
        (
            short,
            r#"{"model":"m","max_tokens":6,"max_completion_tokens":null}"#,
            r#"{"model":"m","max_tokens":6}"#,
        ),
        (short, r#"{"model":"m"}"#, r#"{"model":"m"}"#),
    ] {
        assert_eq!(spliced(body, &edits), expected, "{body}");
    }
}

#[test]
fn neighbours_at_the_end_of_the_body_go_with_their_commas() {
    let edits = Edits {
        drop_stream_options: true,
        token_limit: Some(TokenLimit::MaxTokens),
        ..USAGE
    };
    for body in [
        r#"{"model":"m" , "stream_options":{} , "max_tokens":null }"#,
        r#"{"model":"m","max_tokens":null,"stream_options":{},"max_completion_tokens":null}"#,
    ] {
        let text = spliced(body, &edits);
        let value: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert!(value.get("stream_options").is_none(), "{text}");
    }
}

fn option_values() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        Just(json!({})),
        Just(json!({"include_usage": false, "x": 1})),
        Just(json!({"x": [1]})),
        Just(json!({"include_usage": true})),
    ]
}

/// A request with its members in any order.
fn bodies() -> impl Strategy<Value = Map<String, Value>> {
    let maybe = proptest::option::of::<BoxedStrategy<Value>>;
    let limit = || prop_oneof![Just(Value::Null), any::<u16>().prop_map(Value::from)].boxed();
    let members = (
        ".{1,8}",
        maybe(option_values().boxed()),
        maybe(limit()),
        maybe(limit()),
        maybe(".{0,9}".prop_map(Value::from).boxed()),
    );
    members
        .prop_map(|(model, options, short, long, other)| {
            let named = [
                ("model", Some(Value::from(model))),
                ("stream_options", options),
                ("max_tokens", short),
                ("max_completion_tokens", long),
                ("other", other),
            ];
            named
                .into_iter()
                .filter_map(|(name, value)| Some((name.to_owned(), value?)))
                .collect::<Vec<_>>()
        })
        .prop_shuffle()
        .prop_map(|members| members.into_iter().collect())
}

/// The same edits on the parsed value.
fn edited(mut body: Map<String, Value>, edits: &Edits<'_>) -> Map<String, Value> {
    if let Some(model) = edits.model {
        body.insert("model".to_owned(), model.into());
    }
    if edits.drop_stream_options {
        body.remove("stream_options");
    } else if edits.include_usage {
        let options = body.entry("stream_options").or_insert(Value::Null);
        if options.is_null() {
            *options = json!({});
        }
        options["include_usage"] = true.into();
    }
    if let Some(limit) = edits.token_limit {
        let (short, long) = (body.remove("max_tokens"), body.remove("max_completion_tokens"));
        let value = match (short, long) {
            (Some(short), Some(Value::Null)) => Some(short),
            (short, long) => long.or(short),
        };
        let name = if limit == TokenLimit::MaxTokens {
            "max_tokens"
        } else {
            "max_completion_tokens"
        };
        value.map(|value| body.insert(name.to_owned(), value));
    }
    body
}

fn edits() -> impl Strategy<Value = Edits<'static>> {
    let limit = prop_oneof![Just(TokenLimit::MaxTokens), Just(TokenLimit::MaxCompletionTokens)];
    (any::<bool>(), any::<bool>(), any::<bool>(), proptest::option::of(limit)).prop_map(|(model, include_usage, drop, token_limit)| Edits {
        model: model.then_some("new \"model\""),
        include_usage,
        drop_stream_options: drop,
        token_limit,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn the_spliced_body_parses_to_the_edited_value(body in bodies(), edits in edits(), pretty: bool) {
        let text = if pretty { serde_json::to_string_pretty(&body) } else { serde_json::to_string(&body) }.unwrap();
        let result = spliced(&text, &edits);
        let value: Value = serde_json::from_str(&result).map_err(|error| TestCaseError::fail(format!("{result}: {error}")))?;
        prop_assert_eq!(value, Value::Object(edited(body, &edits)), "{}", result);
        scan(result.as_bytes(), Endpoint::Chat).unwrap();
    }
}
