use super::*;
use outrigger_core::Usage;
use proptest::prelude::*;

/// Everything that a caller learns of a stream.
#[derive(Debug, PartialEq)]
struct Ran {
    out: String,
    report: Report,
    end: End,
    content: bool,
    done: bool,
    errors: Vec<String>,
    /// The output with a comment put before the end event.
    with_trailer: String,
}

fn run(dialect: Dialect, strip: bool, chunks: &[&[u8]]) -> Ran {
    let mut tap = Tap::new(dialect, strip);
    let (mut all, mut with_trailer, mut errors, mut last) = (Vec::new(), Vec::new(), Vec::new(), Seen::default());
    for chunk in chunks {
        let mut out = Vec::new();
        let seen = tap.push(Bytes::copy_from_slice(chunk), &mut out);
        assert!(seen.content >= last.content && seen.done >= last.done, "what was seen stays seen");
        assert!(tap.partial.len() <= MAX_HELD && tap.partial.capacity() <= MAX_HELD);
        assert!(out.iter().all(|piece| !piece.is_empty()));
        all.extend_from_slice(&out.concat());
        if let Some(at) = seen.done_at {
            out.insert(at, Bytes::from_static(b": trailer\n\n"));
        }
        with_trailer.extend_from_slice(&out.concat());
        errors.extend(seen.error.clone().map(|error| String::from_utf8(error.data).unwrap()));
        last = seen;
    }
    let mut out = Vec::new();
    let end = tap.finish(&mut out);
    if !last.done && !out.is_empty() {
        with_trailer.extend_from_slice(b": trailer\n\n");
    }
    for bytes in [&mut all, &mut with_trailer] {
        bytes.extend_from_slice(&out.concat());
    }
    Ran {
        out: String::from_utf8(all).unwrap(),
        report: tap.report().clone(),
        end,
        content: last.content,
        done: last.done,
        errors,
        with_trailer: String::from_utf8(with_trailer).unwrap(),
    }
}

fn whole(dialect: Dialect, strip: bool, stream: &str) -> Ran {
    let ran = run(dialect, strip, &[stream.as_bytes()]);
    for at in 0..stream.len() {
        let (head, tail) = stream.as_bytes().split_at(at);
        assert_eq!(run(dialect, strip, &[head, tail]), ran, "split at {at}");
    }
    let bytes: Vec<&[u8]> = stream.as_bytes().chunks(1).collect();
    assert_eq!(run(dialect, strip, &bytes), ran, "byte by byte");
    ran
}

fn tokens(input: u64, output: u64) -> Usage {
    Usage {
        input,
        output,
        ..Usage::default()
    }
}

fn chunk(delta: &str, finish: &str, more: &str) -> String {
    format!(
        "data: {{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"gpt-4o\",\"choices\":[{{\"index\":0,\"delta\":{delta},\"logprobs\":null,\"finish_reason\":{finish}}}]{more}}}\n\n"
    )
}

const USAGE_CHUNK: &str =
    "data: {\"id\":\"chatcmpl-1\",\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":2,\"total_tokens\":11}}\n\n";
const DONE: &str = "data: [DONE]\n\n";

fn openai_stream(null_usage: &str) -> [String; 7] {
    [
        ": keep-alive\n\n".to_owned(),
        chunk(r#"{"role":"assistant","content":"","refusal":null}"#, "null", null_usage),
        chunk(
            r#"{"content":"say \"usage\": {\"prompt_tokens\":1}, \"error\":"}"#,
            "null",
            null_usage,
        ),
        chunk(r#"{"content":"\"usage\":null,\"finish_reason\":\"x\" \\"}"#, "null", null_usage),
        chunk("{}", "\"stop\"", null_usage),
        USAGE_CHUNK.to_owned(),
        DONE.to_owned(),
    ]
}

#[test]
fn an_openai_stream_passes_untouched_and_is_read_at_every_split() {
    let stream = openai_stream(r#","usage":null"#).concat();
    let ran = whole(Dialect::OpenAi, false, &stream);
    assert_eq!(ran.out, stream);
    assert_eq!(ran.with_trailer, stream.replace(DONE, ": trailer\n\ndata: [DONE]\n\n"));
    assert_eq!((ran.end, ran.content, ran.done), (End::Complete, true, true));
    assert_eq!(ran.errors, [""; 0]);
    assert_eq!(ran.report.usage, Some(tokens(9, 2)));
    assert_eq!(
        (ran.report.finish.as_deref(), ran.report.model.as_deref()),
        (Some("stop"), Some("gpt-4o"))
    );
    assert_eq!(ran.report.content_events, 3);
}

#[test]
fn usage_that_the_client_did_not_ask_for_is_taken_out_again() {
    for null_usage in [r#","usage":null"#, r#", "usage" : null , "x":1"#] {
        let stream = openai_stream(null_usage);
        let ran = whole(Dialect::OpenAi, true, &stream.concat());
        let without = openai_stream(&null_usage.replace(r#","usage":null"#, "").replace(r#""usage" : null ,"#, ""));
        assert_eq!(ran.out, [&without[..5], &without[6..]].concat().concat());
        assert_eq!(ran.report.usage, Some(tokens(9, 2)));
        assert_eq!(ran.with_trailer, ran.out.replace(DONE, ": trailer\n\ndata: [DONE]\n\n"));
    }
}

#[test]
fn the_first_member_goes_with_the_comma_behind_it() {
    let stream = "data: {\"usage\":null,\"choices\":[{}]}\n\ndata: {\"usage\":null}\n\n";
    assert_eq!(whole(Dialect::OpenAi, true, stream).out, "data: {\"choices\":[{}]}\n\ndata: {}\n\n");
}

#[test]
fn all_line_ends_and_several_data_lines_are_understood() {
    let usage_only = |stream: &str| {
        stream.replace(
            USAGE_CHUNK.trim_end(),
            "data: {\"choices\":[],\ndata: \"usage\":{\"prompt_tokens\":9,\"completion_tokens\":2}}",
        )
    };
    for end in ["\r\n", "\r"] {
        let stream = usage_only(&format!("\u{feff}{}", openai_stream("").concat())).replace('\n', end);
        let ran = whole(Dialect::OpenAi, true, &stream);
        let mut without = openai_stream("");
        without[5].clear();
        assert_eq!(ran.out, format!("\u{feff}{}", without.concat()).replace('\n', end));
        assert_eq!((ran.report.usage, ran.done || end == "\r"), (Some(tokens(9, 2)), true));
        assert_eq!(whole(Dialect::OpenAi, false, &stream).out, stream);
    }
}

#[test]
fn usage_is_found_wherever_providers_put_it() {
    let usage = r#","usage":{"prompt_tokens":4,"completion_tokens":3,"total_tokens":7}"#;
    let groq = r#","x_groq":{"id":"r","usage":{"prompt_tokens":4,"completion_tokens":3}}"#;
    for stream in [
        chunk("{}", "\"stop\"", usage),
        chunk("{}", "\"stop\"", groq),
        chunk(
            r#"{"content":"a"}"#,
            "null",
            r#","usage":{"prompt_tokens":4,"completion_tokens":1}"#,
        ) + &chunk("{}", "\"stop\"", usage),
        chunk("{}", "\"stop\"", usage) + "data: {\"choices\":[],\"usage\":null}\n\n",
    ] {
        let ran = whole(Dialect::OpenAi, false, &stream);
        assert_eq!((ran.report.usage, ran.end), (Some(tokens(4, 3)), End::Complete), "{stream}");
        assert!(
            whole(Dialect::OpenAi, true, &stream).out.contains("stop"),
            "a chunk with a choice stays"
        );
    }
}

#[test]
fn content_is_what_a_caller_would_miss() {
    for (delta, content) in [
        (r#"{"role":"assistant","content":""}"#, false),
        (r#"{"content":null,"tool_calls":[],"audio":{"expires_at":1}}"#, false),
        (r#"{"tool_calls":null,"function_call":null}"#, false),
        ("null", false),
        (r#"{"content":"a"}"#, true),
        (r#"{"content":[{"type":"text","text":"a"}]}"#, true),
        (r#"{"refusal":"a"}"#, true),
        (r#"{"reasoning_content":"a","content":null}"#, true),
        (r#"{"reasoning":"a"}"#, true),
        (
            r#"{"tool_calls":[{"index":0,"id":"c","function":{"name":"f","arguments":""}}]}"#,
            true,
        ),
        (r#"{"function_call":{"name":"f","arguments":""}}"#, true),
        (r#"{"audio":{"data":"AAAA"}}"#, true),
        (r#"{"audio":{"transcript":"a"}}"#, true),
    ] {
        assert_eq!(
            run(Dialect::OpenAi, false, &[chunk(delta, "null", "").as_bytes()]).content,
            content,
            "{delta}"
        );
    }
    assert!(run(Dialect::OpenAi, false, &[chunk("{}", "\"stop\"", "").as_bytes()]).content);
    assert!(!run(Dialect::OpenAi, false, &[chunk("{}", "\"\"", "").as_bytes()]).content);
    for (event, content) in [
        (r#"{"type":"ping"}"#, false),
        (
            r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
            false,
        ),
        (
            r#"{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}"#,
            false,
        ),
        (
            r#"{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"t","name":"f","input":{}}}"#,
            true,
        ),
        (
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a"}}"#,
            true,
        ),
        (
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":""}}"#,
            false,
        ),
        (
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"a"}}"#,
            true,
        ),
        (
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{"}}"#,
            true,
        ),
        (
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"a"}}"#,
            false,
        ),
        (r#"{"type":"message_delta","delta":{"stop_reason":null}}"#, false),
        (r#"{"type":"message_delta","delta":{"stop_reason":"refusal"}}"#, true),
    ] {
        let stream = format!("event: x\ndata: {event}\n\n");
        assert_eq!(run(Dialect::Anthropic, false, &[stream.as_bytes()]).content, content, "{event}");
    }
}

const ANTHROPIC: &str = concat!(
    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-x\",\"content\":[],\"stop_reason\":null,\"usage\":{\"input_tokens\":25,\"cache_read_input_tokens\":7,\"output_tokens\":1}}}\n\n",
    "event: ping\ndata: {\"type\": \"ping\"}\n\n",
    "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"\\\"usage\\\":{\\\"output_tokens\\\":99}, \\\"type\\\":\\\"error\\\" event: error\"}}\n\n",
    "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n",
    "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\",\"stop_sequence\":null},\"usage\":{\"output_tokens\":15}}\n\n",
    "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
);

#[test]
fn an_anthropic_stream_passes_untouched_and_its_usage_is_cumulative() {
    let mut tap = Tap::new(Dialect::Anthropic, true);
    for piece in ANTHROPIC.as_bytes().chunks(7) {
        let mut out = Vec::new();
        tap.push(Bytes::copy_from_slice(piece), &mut out);
        assert_eq!(out.concat(), piece, "every chunk leaves before the next comes");
    }
    let ran = run(Dialect::Anthropic, false, &[ANTHROPIC.as_bytes()]);
    assert_eq!(&ran.report, tap.report());
    assert_eq!((ran.end, ran.content, ran.done, ran.errors.len()), (End::Complete, true, true, 0));
    assert_eq!(
        (ran.report.finish.as_deref(), ran.report.model.as_deref()),
        (Some("end_turn"), Some("claude-x"))
    );
    assert_eq!(
        ran.report.usage,
        Some(Usage {
            input: 25,
            output: 15,
            cached_read: 7,
            ..Usage::default()
        })
    );
}

#[test]
fn every_chunk_leaves_before_the_next_comes_unless_it_may_become_the_end_event() {
    let stream = openai_stream("").concat();
    let mut tap = Tap::new(Dialect::OpenAi, false);
    let (mut sent, mut come) = (0, 0);
    for piece in stream.as_bytes().chunks(5) {
        let mut out = Vec::new();
        tap.push(Bytes::copy_from_slice(piece), &mut out);
        come += piece.len();
        sent += out.concat().len();
        assert!(come - sent <= DONE.len(), "{} bytes held", come - sent);
        let held = stream.get(sent..come).unwrap();
        assert!(DONE.starts_with(held), "{held}");
    }
}

#[test]
fn an_uncut_chunk_stays_one_slice_of_itself() {
    let chunk = Bytes::from(openai_stream("")[..5].concat());
    let mut out = Vec::new();
    Tap::new(Dialect::OpenAi, true).push(chunk.clone(), &mut out);
    assert_eq!(out.len(), 1);
    assert_eq!(out[0].as_ptr(), chunk.as_ptr());
}

#[test]
fn errors_inside_the_stream_are_seen() {
    for (dialect, event) in [
        (Dialect::OpenAi, "data: {\"error\":{\"message\":\"m\",\"code\":\"c\"}}\n\n"),
        (Dialect::OpenAi, "data: {\"code\":\"c\",\"error\":\"text\"}\n\n"),
        (Dialect::OpenAi, "event: error\ndata: {\"message\":\"m\"}\n\n"),
        (Dialect::OpenAi, "data: {\"object\":\"error\",\"message\":\"m\",\"code\":400}\n\n"),
        (
            Dialect::OpenAi,
            "data: {\"code\":\"Throttling\",\"message\":\"m\",\"request_id\":\"r\"}\n\n",
        ),
        (
            Dialect::OpenAi,
            "data: {\"id\":\"g\",\"choices\":[{\"delta\":{\"content\":\"\"},\"finish_reason\":\"error\"}]}\n\n",
        ),
        (Dialect::OpenAi, "data: {\"id\":\"g\",\"x_groq\":{\"error\":\"over capacity\"}}\n\n"),
        (
            Dialect::OpenAi,
            "data: {\"base_resp\":{\"status_code\":1002,\"status_msg\":\"rate limit\"}}\n\n",
        ),
        (
            Dialect::Anthropic,
            "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n",
        ),
        (
            Dialect::Anthropic,
            "data: {\"type\":\"error\",\"error\":{\"type\":\"api_error\"}}\n\n",
        ),
    ] {
        let ran = whole(dialect, false, event);
        let data = event.get(event.find('{').unwrap()..).unwrap().trim_end();
        assert_eq!(ran.errors, [data], "{event}");
        assert_eq!((ran.end, ran.content), (End::Truncated, false), "{event}");
    }
    for harmless in [
        chunk(
            r#"{"content":"a"}"#,
            "null",
            r#","error":null,"base_resp":{"status_code":0},"code":0,"message":"""#,
        ),
        chunk(
            r#"{"content":"{\"error\":{}}","tool_calls":[{"function":{"arguments":"\"error\":"}}]}"#,
            "null",
            r#","error":"","x_groq":{"id":"x"}"#,
        ),
    ] {
        assert_eq!(whole(Dialect::OpenAi, false, &harmless).errors, [""; 0], "{harmless}");
    }
}

#[test]
fn a_stream_without_its_end_is_truncated() {
    let text = chunk(r#"{"content":"a"}"#, "null", "");
    for stream in [
        "",
        "\n",
        ": ping\n\n",
        "<html>no stream</html>",
        &text,
        &(text.clone() + "data: [DO"),
        "data: {\"choices\":[{\"del",
    ] {
        let ran = whole(Dialect::OpenAi, true, stream);
        assert_eq!((ran.end, ran.done, ran.out.as_str()), (End::Truncated, false, stream), "{stream}");
    }
    for end in ["data: [DONE]", "data: [DONE]\n", "data:[DONE]\r\n"] {
        let stream = format!("{text}{end}");
        let ran = whole(Dialect::OpenAi, false, &stream);
        assert_eq!((ran.end, ran.out.as_str()), (End::Complete, stream.as_str()));
        assert_eq!(ran.with_trailer, format!("{text}: trailer\n\n{end}"));
    }
    assert_eq!(
        whole(Dialect::Anthropic, false, ANTHROPIC.split_once("event: message_delta").unwrap().0).end,
        End::Truncated
    );
}

#[test]
fn it_is_known_whether_the_output_ends_inside_an_event() {
    let event = chunk(r#"{"content":"a"}"#, "null", "");
    for at in 0..=event.len() {
        let (head, _) = event.as_bytes().split_at(at);
        for strip in [false, true] {
            let mut tap = Tap::new(Dialect::OpenAi, strip);
            let mut out = Vec::new();
            tap.push(Bytes::copy_from_slice(head), &mut out);
            let sent = out.concat();
            assert_eq!(tap.inside_event(), !sent.is_empty() && !sent.ends_with(b"\n\n"), "{at}");
        }
    }
}

#[test]
fn what_follows_the_end_event_passes_unread() {
    let stream = format!("{DONE}{}", chunk(r#"{"content":"a"}"#, "null", ""));
    let ran = whole(Dialect::OpenAi, true, &stream);
    assert_eq!((ran.out, ran.content), (stream, false));
}

#[test]
fn an_event_of_a_mebibyte_passes_as_it_comes_and_its_usage_is_found() {
    let text = r#"\"usage\":{\"prompt_tokens\":1},"#.repeat(1 << 15);
    let delta = format!(r#"{{"content":"{text}"}}"#);
    let usage = r#","usage":{"prompt_tokens":4,"completion_tokens":3}"#;
    let stream = chunk(r#"{"role":"assistant"}"#, "null", "") + &chunk(&delta, "\"length\"", usage) + DONE;
    assert!(stream.len() > 1 << 20);
    for strip in [false, true] {
        let at_once = run(Dialect::OpenAi, strip, &[stream.as_bytes()]);
        assert_eq!(at_once.out, stream);
        assert_eq!(
            (at_once.report.usage, at_once.report.finish.as_deref()),
            (Some(tokens(4, 3)), Some("length"))
        );
        assert!(at_once.content && at_once.done && at_once.errors.is_empty());
        assert!(
            at_once.report.content_bytes.abs_diff(text.len() as u64) < 300,
            "{}",
            at_once.report.content_bytes
        );
        for size in [1000, 16 * 1024, 65_521, 300_000] {
            let chunks: Vec<&[u8]> = stream.as_bytes().chunks(size).collect();
            assert_eq!(run(Dialect::OpenAi, strip, &chunks), at_once, "chunks of {size}");
        }
    }
    let mut tap = Tap::new(Dialect::OpenAi, true);
    let (mut come, mut sent) = (0, 0);
    for piece in stream.as_bytes().chunks(8192) {
        let mut out = Vec::new();
        tap.push(Bytes::copy_from_slice(piece), &mut out);
        (come, sent) = (come + piece.len(), sent + out.concat().len());
        assert!(come - sent <= MAX_HELD, "{} bytes held", come - sent);
    }
}

/// Pieces of streams, sound and broken.
fn pieces() -> impl Strategy<Value = String> {
    let text = prop_oneof![
        ".{0,12}",
        Just("\"usage\":{\"prompt_tokens\":7}".to_owned()),
        Just("data: [DONE]\n\n".to_owned())
    ];
    let any_chunk = (
        text,
        prop_oneof![Just("null"), Just("\"stop\"")],
        prop_oneof![Just(""), Just(r#","usage":null"#)],
    )
        .prop_map(|(text, finish, usage)| chunk(&format!(r#"{{"content":{}}}"#, serde_json::Value::from(text)), finish, usage));
    prop_oneof![
        4 => any_chunk,
        1 => Just(USAGE_CHUNK.to_owned()),
        1 => Just(DONE.to_owned()),
        1 => "[\r\n:]{1,4}",
        1 => "(data|event|id)?:? ?[\"{}a\r\n]{0,6}",
    ]
}

/// Events that are alike but for a few places, so that the mould is tried, and tried in vain.
fn alike() -> impl Strategy<Value = String> {
    let text = prop_oneof![
        Just(""),
        Just("a"),
        Just("\\\""),
        Just("\\\\"),
        Just("longer than two words"),
        Just("\\\",\\\"usage\\\":{}")
    ];
    let finish = prop_oneof![5 => Just("null"), 1 => Just("\"stop\"")];
    let member = prop_oneof![Just("content"), Just("refusal"), Just("x")];
    (text, finish, member, 0..4_usize, "[a-z]{0,3}").prop_map(|(text, finish, member, which, padding)| {
        let more = [
            ",\"usage\":null".to_owned(),
            format!(",\"usage\":null,\"obfuscation\":\"{padding}\""),
            format!(",\"obfuscation\":\"{padding}\",\"usage\":null"),
            format!(",\"x\":\"{padding}\""),
        ];
        chunk(&format!(r#"{{"{member}":"{text}"}}"#), finish, &more[which])
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn how_the_bytes_are_split_changes_nothing(
        pieces in proptest::collection::vec(pieces(), 0..7), crlf: bool, strip: bool, cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..9)
    ) {
        let mut stream = pieces.concat();
        if crlf {
            stream = stream.replace('\n', "\r\n");
        }
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        at.sort_unstable();
        at.insert(0, 0);
        at.push(stream.len());
        let chunks: Vec<&[u8]> = at.windows(2).map(|pair| &stream.as_bytes()[pair[0]..pair[1]]).collect();
        let split = run(Dialect::OpenAi, strip, &chunks);
        let at_once = run(Dialect::OpenAi, strip, &[stream.as_bytes()]);
        if !strip {
            prop_assert_eq!(&at_once.out, &stream);
        }
        // Behind fields of its own event the end event may have left in part: then there is no place for a trailer.
        prop_assert_eq!(Ran { with_trailer: String::new(), ..split }, Ran { with_trailer: String::new(), ..at_once });
    }

    #[test]
    fn an_event_like_the_one_before_is_read_as_if_it_were_the_first(events in proptest::collection::vec(alike(), 1..9), strip: bool) {
        let ran = run(Dialect::OpenAi, strip, &[events.concat().as_bytes()]);
        let apart: Vec<Ran> = events.iter().map(|event| run(Dialect::OpenAi, strip, &[event.as_bytes()])).collect();
        prop_assert_eq!(ran.out, apart.iter().map(|one| one.out.as_str()).collect::<String>());
        prop_assert_eq!(ran.report.content_bytes, apart.iter().map(|one| one.report.content_bytes).sum::<u64>());
        prop_assert_eq!(ran.report.content_events, apart.iter().map(|one| one.report.content_events).sum::<u64>());
        prop_assert_eq!(ran.report.finish, apart.iter().find_map(|one| one.report.finish.clone()));
        prop_assert_eq!(ran.content, apart.iter().any(|one| one.content));
    }
}
