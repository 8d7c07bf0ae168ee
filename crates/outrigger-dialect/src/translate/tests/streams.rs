//! Streams, as they are and at every split of their bytes.

use super::{
    accumulate::{accumulate, comparable},
    *,
};
use crate::tap::Tap;

fn each(mut check: impl FnMut(Dialect, Dialect, &str, &str)) {
    for provider in DIALECTS {
        for name in names("provider", provider, ".sse") {
            let stream = fixture("provider", provider, &format!("{name}.sse"));
            for client in DIALECTS {
                check(provider, client, &name, &stream);
            }
        }
    }
}

#[test]
fn streams_in_every_client_dialect() {
    each(|provider, client, name, stream| {
        let outcome = run(provider, client, &[stream.as_bytes()], &asked());
        assert_eq!((outcome.end, outcome.seen.done, outcome.seen.error), (End::Complete, true, None));
        golden(
            format!("stream_{}_{name}_to_{}", word(provider), word(client)),
            str::from_utf8(&outcome.bytes).unwrap(),
        );
    });
}

#[test]
fn the_accumulated_stream_is_the_whole_answer() {
    each(|provider, client, name, stream| {
        let body = fixture("provider", provider, &format!("{name}.jsonc"));
        let (answer, told) = unary(provider, client, body.as_bytes(), &asked()).unwrap();
        let outcome = run(provider, client, &[stream.as_bytes()], &asked());
        assert_eq!(accumulate(client, &outcome.bytes), comparable(client, parse(&answer)), "{name}");
        assert_eq!(outcome.report.usage, told.usage, "{name}");
        assert_eq!(outcome.report.model, told.model, "{name}");
    });
}

#[test]
fn no_split_of_the_bytes_changes_anything() {
    each(|provider, client, name, stream| {
        let bytes = stream.as_bytes();
        let whole = run(provider, client, &[bytes], &asked());
        let check = |pieces: &[&[u8]]| {
            let split = run(provider, client, pieces, &asked());
            assert!(
                split.bytes == whole.bytes && split.end == whole.end && split.report == whole.report,
                "{name}: {:?}",
                pieces.len()
            );
        };
        for size in [1, 2, 7] {
            check(&bytes.chunks(size).collect::<Vec<_>>());
        }
        // Every single place is slow, so only where most can go wrong.
        if name == "parallel_tools" && provider != client {
            for at in 1..bytes.len() {
                let (head, tail) = bytes.split_at(at);
                check(&[head, tail]);
            }
        }
    });
}

#[test]
fn content_and_the_report_are_those_of_an_untouched_stream() {
    each(|provider, client, name, stream| {
        let mut tap = Tap::new(provider, false);
        let asked = asked();
        let mut translator = Translator::new(provider, client, &asked);
        let mut out = Vec::new();
        for event in stream.split_inclusive("\n\n") {
            let chunk = Bytes::copy_from_slice(event.as_bytes());
            let (tapped, translated) = (tap.push(chunk.clone(), &mut out), translator.push(chunk, &mut out));
            assert_eq!(
                (tapped.content, tapped.done),
                (translated.content, translated.done),
                "{name}: {event}"
            );
            assert_eq!(tap.report(), translator.report(), "{name}: {event}");
        }
    });
}

#[test]
fn each_event_leaves_before_the_next_is_taken() {
    let stream = fixture("provider", Dialect::Anthropic, "text.sse");
    let mut translator = Translator::new(Dialect::Anthropic, Dialect::OpenAi, &asked());
    for event in stream.split_inclusive("\n\n") {
        let mut out = Vec::new();
        translator.push(Bytes::copy_from_slice(event.as_bytes()), &mut out);
        assert_eq!(
            out.is_empty(),
            !(event.contains("_start\"") && event.contains("message_")
                || event.contains("text_delta")
                || event.contains("message_delta")
                || event.contains("message_stop")),
            "{event}"
        );
    }
}

#[test]
fn usage_that_was_not_asked_for_does_not_reach_the_client() {
    let asked = Asked {
        include_usage: false,
        ..asked()
    };
    for provider in DIALECTS {
        let stream = fixture("provider", provider, "text.sse");
        let outcome = run(provider, Dialect::OpenAi, &[stream.as_bytes()], &asked);
        assert!(!String::from_utf8(outcome.bytes).unwrap().contains("usage"));
        assert!(outcome.report.usage.is_some());
    }
}

#[test]
fn the_place_before_done_is_told() {
    for provider in DIALECTS {
        let stream = fixture("provider", provider, "text.sse");
        let mut translator = Translator::new(provider, Dialect::OpenAi, &asked());
        let mut out = Vec::new();
        let seen = translator.push(Bytes::copy_from_slice(stream.as_bytes()), &mut out);
        assert_eq!(out[seen.done_at.unwrap()..].concat(), b"data: [DONE]\n\n");
        let mut translator = Translator::new(provider, Dialect::Anthropic, &asked());
        assert_eq!(translator.push(Bytes::copy_from_slice(stream.as_bytes()), &mut out).done_at, None);
    }
}

#[test]
fn an_error_of_the_provider_is_reported_and_ends_the_stream() {
    for (provider, error) in [
        (
            Dialect::OpenAi,
            "data: {\"error\":{\"message\":\"boom\",\"type\":\"server_error\"}}\n\n",
        ),
        (Dialect::OpenAi, "data: {\"code\":\"x\",\"error\":\"boom\"}\n\n"),
        (
            Dialect::Anthropic,
            "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"boom\"}}\n\n",
        ),
    ] {
        let stream = fixture("provider", provider, "text.sse");
        let (head, tail) = stream.split_at(stream.find("Köln").and_then(|at| stream[..at].rfind("\n\n")).unwrap() + 2);
        for client in DIALECTS {
            let whole = [head, error, tail].concat();
            let outcome = run(provider, client, &[whole.as_bytes()], &asked());
            let text = String::from_utf8(outcome.bytes).unwrap();
            assert!(text.contains("Grüße") && !text.contains("Köln") && !text.contains("boom"), "{text}");
            assert!(String::from_utf8(outcome.seen.error.unwrap().data).unwrap().contains("boom"));
            assert_eq!(
                (outcome.end, outcome.seen.content, outcome.seen.done),
                (End::Truncated, true, false)
            );
        }
    }
}

#[test]
fn a_stream_without_its_end_event_is_complete_only_behind_a_finish_reason() {
    for (provider, finish) in [
        (Dialect::OpenAi, "\"finish_reason\":\"stop\""),
        (Dialect::Anthropic, "\"stop_reason\":\"end_turn\""),
    ] {
        let stream = fixture("provider", provider, "text.sse");
        let behind = stream
            .find(finish)
            .and_then(|at| stream[at..].find("\n\n").map(|end| at + end + 2))
            .unwrap();
        let before = stream[..behind - 2].rfind("\n\n").unwrap() + 2;
        for client in DIALECTS {
            let complete = run(provider, client, &[&stream.as_bytes()[..behind]], &asked());
            assert_eq!(complete.end, End::Complete);
            let answer = accumulate(client, &complete.bytes);
            assert!(answer.to_string().contains("Köln"));
            let cut = run(provider, client, &[&stream.as_bytes()[..before]], &asked());
            assert_eq!((cut.end, cut.seen.done), (End::Truncated, false));
        }
    }
}

#[test]
fn an_empty_stream_says_nothing() {
    for provider in DIALECTS {
        for client in DIALECTS {
            let outcome = run(provider, client, &[b": ping\n\n"], &asked());
            assert_eq!(
                (outcome.bytes, outcome.end, outcome.seen.content),
                (Vec::new(), End::Truncated, false)
            );
        }
    }
}

#[test]
fn what_waits_for_an_earlier_block_is_capped() {
    let fragment = |index: usize, id: &str, arguments: &str| {
        let call = serde_json::json!({"choices": [{"index": 0, "delta": {"tool_calls": [
            {"index": index, "id": id, "function": {"name": "f", "arguments": arguments}}
        ]}}]});
        format!("data: {call}\n\n")
    };
    let big = "x".repeat(600_000);
    let stream = [fragment(0, "a", "{\"a\":"), fragment(1, "b", &big), fragment(1, "b", &big)].concat();
    let outcome = run(Dialect::OpenAi, Dialect::Anthropic, &[stream.as_bytes()], &asked());
    assert!(outcome.seen.error.is_some() && outcome.bytes.len() < 10_000);
    assert!(
        run(Dialect::OpenAi, Dialect::OpenAi, &[stream.as_bytes()], &asked())
            .seen
            .error
            .is_none()
    );
}

#[test]
fn an_event_that_is_too_long_is_an_error() {
    let stream = format!(
        "data: {{\"choices\":[{{\"delta\":{{\"content\":\"{}\"}}}}]}}\n\n",
        "x".repeat(3 << 20)
    );
    for piece in [stream.len(), 100_000] {
        let pieces: Vec<&[u8]> = stream.as_bytes().chunks(piece).collect();
        let outcome = run(Dialect::OpenAi, Dialect::Anthropic, &pieces, &asked());
        assert!(outcome.seen.error.is_some() && outcome.bytes.is_empty());
    }
}

#[test]
fn fragments_of_tool_calls_are_put_together_however_providers_number_them() {
    // Google's compatible endpoint is known to leave the index out, or to repeat it with another id.
    let fragments = |list: &[&str]| -> String {
        let chunk = |call: &&str| format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"tool_calls\":[{call}]}}}}]}}\n\n");
        list.iter().map(chunk).chain(["data: [DONE]\n\n".to_owned()]).collect()
    };
    let expected = serde_json::json!([
        {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}},
        {"type": "tool_use", "id": "b", "name": "g", "input": {}},
    ]);
    for list in [
        &[
            r#"{"id":"a","function":{"name":"f","arguments":"{\"x\""}}"#,
            r#"{"function":{"arguments":":1}"}}"#,
            r#"{"id":"b","function":{"name":"g","arguments":"{}"}}"#,
        ][..],
        &[
            r#"{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x\":1}"}}"#,
            r#"{"index":0,"id":"b","function":{"name":"g","arguments":"{}"}}"#,
        ],
        // Id and name repeated on every fragment.
        &[
            r#"{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x\""}}"#,
            r#"{"index":0,"id":"a","function":{"name":"f","arguments":":1}"}}"#,
            r#"{"index":1,"id":"b","function":{"name":"g","arguments":""}}"#,
        ],
        // The name comes behind the first arguments; an index is left out.
        &[
            r#"{"index":0,"id":"a","function":{"arguments":"{\"x\""}}"#,
            r#"{"index":0,"function":{"name":"f","arguments":":1}"}}"#,
            r#"{"index":5,"id":"b","function":{"name":"g"}}"#,
        ],
    ] {
        let stream = fragments(list);
        let outcome = run(Dialect::OpenAi, Dialect::Anthropic, &[stream.as_bytes()], &asked());
        let answer = accumulate(Dialect::Anthropic, &outcome.bytes);
        assert_eq!(
            (&answer["content"], &answer["stop_reason"]),
            (&expected, &"tool_use".into()),
            "{list:?}"
        );
        accumulate(
            Dialect::OpenAi,
            &run(Dialect::OpenAi, Dialect::OpenAi, &[stream.as_bytes()], &asked()).bytes,
        );
    }
}
