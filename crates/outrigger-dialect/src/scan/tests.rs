use super::*;

fn chat(body: &str) -> Result<Scan, ScanError> {
    scan(body.as_bytes(), Endpoint::Chat)
}

fn wrong(param: &'static str, body: &str) {
    match chat(body) {
        Err(ScanError::WrongType { param: found, .. }) => assert_eq!(found, param, "{body}"),
        other => panic!("{body}: {other:?}"),
    }
}

#[test]
fn a_chat_request_is_read() {
    let body = r#" {
        "model": "gpt-4o",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "What is \"this\"?"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]},
            {"role": "assistant", "content": null, "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}
        ],
        "stream": true, "stream_options": {"include_usage": true},
        "max_tokens": 5, "max_completion_tokens": 7, "n": 2,
        "tools": [{"type": "function", "function": {"name": "f"}}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}},
        "metadata": {"task": "tri\u0061ge", "number": 7},
        "temperature": 1e-3, "logit_bias": {"50256": -100}
    } "#;
    let scan = chat(body).unwrap();
    assert_eq!(scan.model.of(body.as_bytes()), b"gpt-4o");
    assert_eq!(scan.model_name, "gpt-4o");
    assert!(scan.stream && scan.include_usage && scan.tools && scan.vision && scan.json_schema);
    assert_eq!((scan.max_tokens, scan.n), (Some(7), Some(2)));
    assert_eq!(
        scan.metadata(body.as_bytes()),
        [(Cow::Borrowed("task"), Cow::<str>::Owned("triage".to_owned()))]
    );
    assert_eq!(scan.stream_options.unwrap().of(body.as_bytes()), br#"{"include_usage": true}"#);
    let calls = r#"[{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]"#.len() as u64;
    assert_eq!(
        scan.sketch,
        Sketch {
            text_bytes: 9 + 15 + calls,
            media: 1,
            media_bytes: r#"{"url": "data:image/png;base64,AAAA"}"#.len() as u64,
            tool_count: 1,
            tools_bytes: (r#"[{"type": "function", "function": {"name": "f"}}]"#.len() + r#"{"name": "x", "schema": {}}"#.len()) as u64,
            messages: 3,
        }
    );
}

#[test]
fn a_messages_request_is_read() {
    let body = r#"{"model":"claude-sonnet-5-5","max_tokens":0,"system":[{"type":"text","text":"12345","cache_control":{"type":"ephemeral"}}],
        "messages":[{"role":"user","content":[
            {"source":{"type":"base64","media_type":"image/png","data":"AAAA"},"type":"image"},
            {"type":"document","source":{"data":"123","type":"text","media_type":"text/plain"}},
            {"type":"tool_result","tool_use_id":"t","content":[{"type":"text","text":"1234567"}]}]}],
        "output_config":{"format":{"type":"json_schema","schema":{"type":"object"}}},
        "stream_options":7,"input":3,"n":"not a field here"}"#;
    let scan = scan(body.as_bytes(), Endpoint::Messages).unwrap();
    assert_eq!(scan.sketch.text_bytes, 5 + 3 + 7);
    assert_eq!((scan.sketch.media, scan.sketch.messages, scan.sketch.tools_bytes), (1, 1, 17));
    assert!(scan.vision && scan.json_schema && !scan.stream && !scan.tools);
    assert_eq!(scan.max_tokens, Some(0));
}

#[test]
fn an_embeddings_request_is_read() {
    for (input, bytes) in [
        (r#""12345678""#, 8),
        (r#"["1234","12\n4"]"#, 8),
        ("[1,22,333]", 12),
        ("[[1,2],[3]]", 12),
        ("null", 0),
    ] {
        let body = format!(r#"{{"input":{input},"model":"e"}}"#);
        assert_eq!(
            scan(body.as_bytes(), Endpoint::Embeddings).unwrap().sketch.text_bytes,
            bytes,
            "{input}"
        );
    }
    let error = scan(br#"{"input":{},"model":"e"}"#, Endpoint::Embeddings).unwrap_err();
    assert_eq!(error.param(), Some("input"));
}

#[test]
fn null_is_absent() {
    let scan = chat(r#"{"model":"m","messages":null,"stream":null,"stream_options":null,"max_tokens":null,"max_completion_tokens":null,"n":null,"tools":null,"functions":null,"response_format":null,"metadata":null}"#).unwrap();
    assert!(!scan.stream && !scan.tools && scan.max_tokens.is_none() && scan.n.is_none());
    assert!(scan.metadata.is_none() && scan.stream_options.is_none());
    assert_eq!(chat(r#"{"model":null}"#), Err(ScanError::NoModel));
    assert_eq!(
        chat(r#"{"model":"m","max_completion_tokens":null,"max_tokens":3}"#)
            .unwrap()
            .max_tokens,
        Some(3)
    );
    assert_eq!(
        chat(r#"{"model":"m","max_tokens":3,"max_completion_tokens":null}"#)
            .unwrap()
            .max_tokens,
        Some(3)
    );
    assert_eq!(
        chat(r#"{"model":"m","max_completion_tokens":4,"max_tokens":3}"#)
            .unwrap()
            .max_tokens,
        Some(4)
    );
}

#[test]
fn a_value_of_another_type_names_its_field() {
    wrong("model", r#"{"model":3}"#);
    wrong("model", r#"{"model":["m"]}"#);
    wrong("model", r#"{"model":"\ud800"}"#);
    wrong("stream", r#"{"model":"m","stream":"true"}"#);
    wrong("stream", r#"{"model":"m","stream":truest}"#);
    wrong("stream_options", r#"{"model":"m","stream_options":[]}"#);
    wrong(
        "stream_options.include_usage",
        r#"{"model":"m","stream_options":{"include_usage":1}}"#,
    );
    wrong("max_tokens", r#"{"model":"m","max_tokens":-1}"#);
    wrong("max_tokens", r#"{"model":"m","max_tokens":"5"}"#);
    wrong("max_tokens", r#"{"model":"m","max_tokens":007}"#);
    wrong("max_completion_tokens", r#"{"model":"m","max_completion_tokens":1.5}"#);
    wrong("n", r#"{"model":"m","n":{}}"#);
    wrong("tools", r#"{"model":"m","tools":{}}"#);
    wrong("functions", r#"{"model":"m","functions":"f"}"#);
    wrong("messages", r#"{"model":"m","messages":"hi"}"#);
    wrong("response_format", r#"{"model":"m","response_format":"json"}"#);
    wrong("metadata", r#"{"model":"m","metadata":[]}"#);
}

#[test]
fn a_field_that_is_read_may_stand_only_once_and_plainly() {
    for field in Field::ALL {
        let name = field.name();
        let endpoint = [Endpoint::Chat, Endpoint::Messages, Endpoint::Embeddings]
            .into_iter()
            .find(|e| field.belongs_to(*e))
            .unwrap();
        let twice = format!(r#"{{"{name}":null,"x":[],"{name}":null}}"#);
        assert_eq!(scan(twice.as_bytes(), endpoint), Err(ScanError::Duplicate(name)));
        let escaped = format!(r#"{{"\u{:04x}{}":null}}"#, name.as_bytes()[0], name.get(1..).unwrap());
        assert_eq!(scan(escaped.as_bytes(), endpoint), Err(ScanError::Escaped(name)));
    }
    let options = r#"{"model":"m","stream_options":{"include_usage":false,"include_usage":true}}"#;
    assert_eq!(chat(options), Err(ScanError::Duplicate("stream_options.include_usage")));
    let options = r#"{"model":"m","stream_options":{"include\u005fusage":true}}"#;
    assert_eq!(chat(options), Err(ScanError::Escaped("stream_options.include_usage")));
    assert!(chat(r#"{"model":"m","se\u0065d":1,"seed":2,"x":1,"x":2}"#).is_ok());
    assert!(matches!(chat(r#"{"mod\el":"m"}"#), Err(ScanError::NotJson(_))));
}

#[test]
fn a_model_name_with_escapes_is_resolved() {
    let body = r#"{"model":"org\/gpt\u002d4"}"#;
    let scan = chat(body).unwrap();
    assert_eq!(scan.model_name, "org/gpt-4");
    assert_eq!(scan.model.of(body.as_bytes()), br"org\/gpt\u002d4");
}

#[test]
fn the_body_must_be_one_object_and_nothing_behind_it() {
    for body in [
        "",
        " ",
        "{",
        r#"{"model":"m""#,
        r#"{"model":"m"}}"#,
        r#"{"model":"m"} x"#,
        r#"{"model":"m",}"#,
        r#"{,"model":"m"}"#,
        r#"{"model" "m"}"#,
        r#"{"model":"m" "n":1}"#,
        r"{model:1}",
        r#"{"model":}"#,
        r#"{"a":[{]},"model":"m"}"#,
        "\u{feff}{}",
        r#"{"model":"m","x":}"#,
    ] {
        assert!(matches!(chat(body), Err(ScanError::NotJson(_))), "{body}: {:?}", chat(body));
    }
    for body in ["[]", "3", "null", r#""model""#] {
        assert_eq!(chat(body), Err(ScanError::NotAnObject), "{body}");
    }
    assert_eq!(chat("{}"), Err(ScanError::NoModel));
    assert_eq!(chat(r#"{"model":""}"#), Err(ScanError::NoModel));
    for text in ["", "plain text ", "größer, 中文 and 😀 "] {
        let good = format!(r#"{{"model":"{}"#, text.repeat(99));
        let bad = [good.as_bytes(), b"\xff\"}"].concat();
        assert_eq!(scan(&bad, Endpoint::Chat), Err(ScanError::NotUtf8 { at: good.len() }), "{text}");
        assert!(chat(&format!(r#"{good}m"}}"#)).is_ok(), "{text}");
    }
}

#[test]
fn nesting_stops_at_the_limit_wherever_it_grows() {
    let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    assert!(chat(&format!(r#"{{"model":"m","x":{}}}"#, nested(127))).is_ok());
    assert_eq!(chat(&format!(r#"{{"model":"m","x":{}}}"#, nested(128))), Err(ScanError::TooDeep));
    let parts = r#"[{"content":"#.repeat(200) + "1" + &"}]".repeat(200);
    assert_eq!(
        chat(&format!(r#"{{"model":"m","messages":[{{"content":{parts}}}]}}"#)),
        Err(ScanError::TooDeep)
    );
}

#[test]
fn errors_say_what_to_do() {
    insta::assert_snapshot!(
        [
            chat(r#"{"model":3}"#),
            chat(r#"{"model":"a","model":"b"}"#),
            chat(r#"{"mod\u0065l":"a"}"#),
            chat("{}"),
            chat("[]"),
            chat(r#"{"model":"a"#),
            chat(r#"{"model":"a"]"#),
            scan(b"\xff", Endpoint::Chat),
            chat(&"[".repeat(200).replacen('[', r#"{"a":"#, 1)),
        ]
        .map(|result| {
            let error = result.unwrap_err();
            format!("{error} | {:?} | {}", error.param(), error.code())
        })
        .join("\n"),
        @r#"
    the field `model` must be a string | Some("model") | invalid_type
    the field `model` stands more than once in the request body; send it once | Some("model") | duplicate_parameter
    the name of the field `model` is spelt with escape sequences; write it plainly | Some("model") | invalid_parameter_name
    the request names no model: set the field `model` | Some("model") | missing_required_parameter
    the request body must be a JSON object | None | invalid_json
    the request body is not valid JSON: it ends too early | None | invalid_json
    the request body is not valid JSON: unexpected character at byte 12 | None | invalid_json
    the request body is not valid UTF-8: byte 0 cannot stand there | None | invalid_json
    the request body is nested deeper than 128 levels | None | invalid_json
    "#
    );
}

proptest::proptest! {
    #[test]
    fn any_text_is_survived_and_its_spans_stay_inside(text in r#"[\[\]{}":,\\a0 ]{0,20}("(model|messages|stream_options|n)":?[\[\]{}":,\\a0 ]{0,12}){0,5}"#) {
        for endpoint in [Endpoint::Chat, Endpoint::Messages, Endpoint::Embeddings] {
            for body in [text.clone(), format!("{{{text}}}"), format!(r#"{{"model":"m",{text}}}"#)] {
                if let Ok(scan) = scan(body.as_bytes(), endpoint) {
                    proptest::prop_assert!(!scan.model.of(body.as_bytes()).is_empty());
                }
            }
        }
    }

    #[test]
    fn what_serde_reads_is_what_the_scan_reads(
        model in ".{1,20}", stream: bool, max_tokens: u32, text in "[ -~äß中😀\n\t]{0,80}", other in ".{0,20}", pretty: bool, tail_first: bool
    ) {
        let mut value = serde_json::json!({"model": model, "stream": stream, "max_tokens": max_tokens, "messages": [{"role": "user", "content": text}]});
        value[format!("x{other}")] = serde_json::json!({"model": "decoy", "stream": !stream, "nested": [other, {"messages": other}]});
        if tail_first {
            let members: Vec<_> = value.as_object().unwrap().clone().into_iter().rev().collect();
            value = members.into_iter().collect::<serde_json::Map<_, _>>().into();
        }
        let body = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        let scan = chat(&body).unwrap();
        proptest::prop_assert_eq!(scan.model_name, model);
        proptest::prop_assert_eq!((scan.stream, scan.max_tokens), (stream, Some(u64::from(max_tokens))));
        proptest::prop_assert_eq!(scan.sketch.messages, 1);
        proptest::prop_assert!(scan.sketch.text_bytes.abs_diff(text.len() as u64) <= 10 + text.len() as u64 / 3);
    }
}

#[test]
fn a_call_says_that_it_wants_reasoning_in_its_dialects_own_way() {
    let body = |field: &str| format!(r#"{{"model":"m","messages":[],{field}}}"#);
    for (endpoint, field, reasoning) in [
        (Endpoint::Chat, r#""reasoning_effort":"low""#, true),
        (Endpoint::Chat, r#""reasoning_effort":"none""#, false),
        (Endpoint::Chat, r#""reasoning_effort":null"#, false),
        (Endpoint::Chat, r#""thinking":{"type":"enabled"}"#, false),
        (Endpoint::Messages, r#""thinking":{"type":"enabled","budget_tokens":1024}"#, true),
        (Endpoint::Messages, r#""thinking":{"type":"adaptive"}"#, true),
        (Endpoint::Messages, r#""thinking":{"type":"disabled"}"#, false),
        (Endpoint::Messages, r#""reasoning_effort":"low""#, false),
    ] {
        assert_eq!(scan(body(field).as_bytes(), endpoint).unwrap().reasoning, reasoning, "{field}");
    }
}
