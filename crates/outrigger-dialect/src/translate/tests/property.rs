//! Whatever comes.

use super::{
    accumulate::{accumulate, comparable},
    *,
};
use crate::{
    client,
    ir::{Answer, Arguments, Block, Body, Call, Delta, Event, Head, Reply, Stop, ToolCall},
    provider,
};
use outrigger_core::Usage;
use proptest::prelude::*;
use serde_json::json;

/// Text with what breaks parsers: quotes, brackets, line ends, characters of several bytes.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => proptest::collection::vec(prop_oneof![Just("\""), Just("\\"), Just("}{"), Just("\n\ndata: "), Just("ü"), Just("🌧"), Just("a b"), Just("\"usage\":")], 1..6).prop_map(|words| words.concat()),
        1 => ".{1,20}",
    ]
}

fn arguments() -> impl Strategy<Value = Value> {
    proptest::collection::btree_map(
        "[a-z]{1,3}",
        prop_oneof![
            text().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            Just(json!([{"a": "]"}]))
        ],
        0..3,
    )
    .prop_map(|members| Value::Object(members.into_iter().collect()))
}

fn body() -> impl Strategy<Value = Body> {
    prop_oneof![
        2 => text().prop_map(Body::Text),
        1 => text().prop_map(|text| Body::Thinking { text, signature: Some("sig".to_owned()) }),
        4 => ("[a-z]{1,4}", arguments()).prop_map(|(name, arguments)| Body::ToolCall(ToolCall { id: String::new(), name, arguments: Arguments::from_value(arguments) })),
    ]
}

/// An answer that both dialects can show: thinking, then text, then calls.
fn reply() -> impl Strategy<Value = Reply> {
    proptest::collection::vec(body(), 0..6).prop_map(|mut bodies| {
        let rank = |body: &Body| match body {
            Body::Thinking { .. } => 0,
            Body::Text(_) => 1,
            _ => 2,
        };
        bodies.sort_by_key(rank);
        bodies.dedup_by_key(|body| if rank(body) < 2 { rank(body) } else { rand_free_counter() });
        let mut calls = 0;
        for body in &mut bodies {
            if let Body::ToolCall(call) = body {
                call.id = format!("call_{calls}");
                calls += 1;
            }
        }
        let stop = if calls > 0 { Stop::ToolUse } else { Stop::End };
        let blocks = bodies.into_iter().map(Block::of).collect();
        Reply {
            id: None,
            model: Some("m".to_owned()),
            created: Some(1),
            answers: vec![Answer {
                blocks,
                stop,
                logprobs: None,
            }],
        }
    })
}

/// Never the same twice, so that calls are not taken for duplicates of each other.
fn rand_free_counter() -> usize {
    use std::cell::Cell;
    thread_local!(static NEXT: Cell<usize> = const { Cell::new(10) });
    NEXT.with(|next| next.replace(next.get() + 1))
}

/// The answer as a stream of events, strings in pieces, the calls' fragments interleaved as `order` says.
fn events(reply: &Reply, order: &[usize], interleave: bool) -> Vec<Event> {
    let mut lanes: Vec<Vec<Event>> = Vec::new();
    let mut events = vec![Event::Start {
        id: None,
        model: reply.model.clone(),
        created: reply.created,
    }];
    for (block, Block { body, .. }) in reply.answers[0].blocks.iter().enumerate() {
        let pieces = |text: &str| -> Vec<String> {
            text.chars()
                .collect::<Vec<_>>()
                .chunks(3)
                .map(|piece| piece.iter().collect())
                .collect()
        };
        let delta = |delta| Event::Delta { answer: 0, block, delta };
        let (head, mut deltas): (Head, Vec<Event>) = match body {
            Body::Text(text) => (Head::Text, pieces(text).into_iter().map(|text| delta(Delta::Text(text))).collect()),
            Body::Thinking { text, signature } => {
                let text = pieces(text).into_iter().map(|text| delta(Delta::Text(text)));
                (
                    Head::Thinking,
                    text.chain(signature.clone().map(|signature| delta(Delta::Signature(signature))))
                        .collect(),
                )
            }
            Body::ToolCall(ToolCall { id, name, arguments }) => {
                let text = arguments.clone().into_text();
                (
                    Head::ToolCall {
                        id: id.clone(),
                        name: name.clone(),
                    },
                    pieces(&text).into_iter().map(|text| delta(Delta::Arguments(text))).collect(),
                )
            }
            _ => panic!("not made above"),
        };
        let mut lane = vec![Event::Open { answer: 0, block, head }];
        lane.append(&mut deltas);
        lane.push(Event::Close { answer: 0, block });
        if interleave && matches!(body, Body::ToolCall(_)) {
            lanes.push(lane);
        } else {
            events.append(&mut lane);
        }
    }
    let mut lanes: Vec<_> = lanes.into_iter().map(Vec::into_iter).collect();
    // Calls begin in order; after that their fragments come as they like.
    for lane in &mut lanes {
        events.extend(lane.next());
    }
    for pick in order.iter().cycle().take(10_000) {
        let left: Vec<usize> = (0..lanes.len()).filter(|lane| lanes[*lane].len() > 0).collect();
        let Some(lane) = left.get(pick % left.len().max(1)) else { break };
        events.extend(lanes[*lane].next());
    }
    events.push(Event::Finish {
        answer: 0,
        stop: reply.answers[0].stop.clone(),
    });
    events.push(Event::Usage(USED));
    events.push(Event::Done);
    events
}

const USED: Usage = Usage {
    input: 5,
    output: 6,
    cached_read: 7,
    cache_write: 8,
    reasoning: 3,
};

fn encode(dialect: Dialect, events: Vec<Event>) -> Vec<u8> {
    let mut encoder = client::Encoder::new(dialect, &asked());
    let mut bytes = Vec::new();
    for event in events {
        encoder.write(event, &mut bytes).unwrap();
    }
    bytes.extend_from_slice(encoder.end());
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// This crate's own writers serve as the providers here; that they are right is what the fixtures show.
    #[test]
    fn any_stream_accumulates_to_the_whole_answer(reply in reply(), order in proptest::collection::vec(0usize..4, 1..9), splits in proptest::collection::vec(1usize..40, 1..5), interleave: bool) {
        for provider in DIALECTS {
            let stream = encode(provider, events(&reply, &order, interleave && provider == Dialect::OpenAi));
            let body = client::reply(provider, reply.clone(), Some(&USED), &asked()).to_string();
            let mut pieces = Vec::new();
            let mut rest = stream.as_slice();
            for size in splits.iter().cycle() {
                if rest.is_empty() { break }
                let (piece, behind) = rest.split_at((*size).min(rest.len()));
                pieces.push(piece);
                rest = behind;
            }
            for client in DIALECTS {
                let (answer, _) = unary(provider, client, body.as_bytes(), &asked()).unwrap();
                let outcome = run(provider, client, &pieces, &asked());
                prop_assert_eq!(outcome.end, End::Complete);
                prop_assert_eq!(accumulate(client, &outcome.bytes), comparable(client, parse(&answer)));
            }
        }
    }

    #[test]
    fn arbitrary_json_never_panics(body in json_value(), streamed: bool) {
        let facts = ModelFacts { reasoning: streamed, ..ModelFacts::default() };
        let quirks = Quirks::default();
        for from in DIALECTS {
            for to in DIALECTS {
                for (model, wrapped) in [
                    ("claude-sonnet-4-5", json!({"messages": body, "max_tokens": 1})),
                    ("claude-opus-5-5", json!({"messages": [{"role": "user", "content": body}], "max_tokens": 1, "tools": body})),
                    ("gpt-4o", body.clone()),
                ] {
                    let target = TargetTraits { model, facts: &facts, quirks: &quirks, stream: streamed };
                    let _ = request(from, to, Endpoint::Chat, wrapped.to_string().as_bytes(), &target);
                }
                let answer = json!({"type": "message", "content": body, "stop_reason": "end_turn", "choices": [{"message": body, "delta": body, "finish_reason": "stop"}]});
                let _ = unary(from, to, answer.to_string().as_bytes(), &asked());
                let stream = format!("data: {answer}\n\ndata: {body}\n\nevent: x\ndata: {{\"type\":\"content_block_start\",\"content_block\":{body}}}\n\n");
                run(from, to, &[stream.as_bytes()], &asked());
            }
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
        for from in DIALECTS {
            for to in DIALECTS {
                let _ = unary(from, to, &bytes, &asked());
                run(from, to, &[&bytes, b"\n\n"], &asked());
                let _ = client::call(from, &bytes);
            }
        }
    }
}

/// JSON made of the words that the dialects use.
fn json_value() -> impl Strategy<Value = Value> {
    let word = || {
        prop_oneof![
            Just("type"),
            Just("text"),
            Just("role"),
            Just("user"),
            Just("assistant"),
            Just("tool"),
            Just("content"),
            Just("tool_calls"),
            Just("function"),
            Just("name"),
            Just("arguments"),
            Just("image_url"),
            Just("url"),
            Just("tool_use"),
            Just("tool_result"),
            Just("input"),
            Just("thinking"),
            Just("source"),
            Just("base64"),
            Just("id"),
            Just("index"),
            Just("data:;base64,"),
            Just("data:ü"),
            Just("reasoning_details"),
            Just("messages"),
            Just("model"),
            Just("tools"),
            Just("input_schema"),
            Just("delta"),
        ]
    };
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        word().prop_map(Value::from),
        ".{0,6}".prop_map(Value::from)
    ];
    leaf.prop_recursive(5, 48, 5, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(word().prop_map(str::to_owned), inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

#[test]
fn a_call_written_anew_in_its_own_dialect_means_the_same() {
    let (facts, quirks) = (ModelFacts::default(), Quirks::default());
    for dialect in DIALECTS {
        // A model that takes everything that the fixtures hold.
        let model = if dialect == Dialect::OpenAi { "gpt-5.1" } else { "claude-opus-4-8" };
        for name in names("client", dialect, ".jsonc") {
            let body = fixture("client", dialect, &format!("{name}.jsonc"));
            let mut call = client::call(dialect, body.as_bytes()).unwrap();
            let target = TargetTraits {
                model,
                facts: &facts,
                quirks: &quirks,
                stream: false,
            };
            let written = provider::call(dialect, call.clone(), &target).unwrap();
            let mut again = client::call(dialect, Value::Object(written).to_string().as_bytes()).unwrap();
            simplify(&mut call);
            simplify(&mut again);
            assert_eq!(again, call, "{name}");
        }
    }
}

/// Texts that stand together are one text: where one ends and the next begins has no meaning.
fn simplify(call: &mut Call) {
    for turn in &mut call.turns {
        turn.index = 0;
    }
    let turns = call.turns.iter_mut().map(|turn| &mut turn.blocks);
    for blocks in turns.chain([&mut call.system]) {
        join(blocks);
    }
}

fn join(blocks: &mut Vec<Block>) {
    let mut kept: Vec<Block> = Vec::new();
    for mut block in core::mem::take(blocks) {
        match &mut block.body {
            Body::Text(text) => *text = text.replace('\n', ""),
            Body::ToolResult(result) => join(&mut result.content),
            _ => {}
        }
        match (kept.last_mut().map(|block| &mut block.body), &block.body) {
            (_, Body::Text(text)) if text.is_empty() => {}
            (Some(Body::Text(last)), Body::Text(text)) => last.push_str(text),
            _ => kept.push(block),
        }
    }
    *blocks = kept;
}
