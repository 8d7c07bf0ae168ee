//! What can be said, and what it means.

use serde_json::json;

use super::*;

fn parsed(value: Value) -> Behaviour {
    serde_json::from_value(value).unwrap()
}

#[test]
fn what_is_written_is_read_back() {
    let all = json!({
        "latency_ms": 5, "retry_after": 1.5, "gzip": "always", "reset": {"after_chunks": 2}, "close": "reused", "stall": "accept",
        "body": "error_200", "error": {"type": "x", "code": 7}, "error_in_stream": {"after_chunks": 1, "code": "y"},
        "tool_calls": [{"name": "f", "arguments": {"a": 1}}], "usage": {"input": 3}, "fail_rate": 0.5, "strict": false
    });
    let behaviour = parsed(all);
    assert_eq!(behaviour.retry_after.as_deref(), Some("1.5"));
    assert_eq!(parsed(serde_json::to_value(&behaviour).unwrap()), behaviour);
}

#[test]
fn an_unknown_field_is_refused_at_every_level() {
    for bad in [
        json!({"latency": 5}),
        json!({"error": {"kind": "x"}}),
        json!({"error_in_stream": {"after": 1}}),
        json!({"usage": {"total": 1}}),
        json!({"tool_calls": [{"name": "f", "args": {}}]}),
        json!({"reset": "sometimes"}),
        json!({"gzip": "yes"}),
    ] {
        assert!(serde_json::from_value::<Behaviour>(bad.clone()).is_err(), "{bad}");
    }
}

#[test]
fn a_schedule_says_which_calls_are_struck() {
    let struck = |value: Value| (1..=6).filter(|call| parsed(value.clone()).strikes(*call)).collect::<Vec<_>>();
    assert_eq!(struck(json!({})), [1, 2, 3, 4, 5, 6]);
    assert_eq!(struck(json!({"fail_first": 2})), [1, 2]);
    assert_eq!(struck(json!({"fail_every": 3})), [3, 6]);
    assert_eq!(struck(json!({"fail_rate": 1.0})), [1, 2, 3, 4, 5, 6]);
}

#[test]
fn a_failure_rate_is_met_and_depends_on_the_seed_alone() {
    let of = |seed: u64| {
        let behaviour = parsed(json!({"fail_rate": 0.25, "seed": seed}));
        (1..=10_000).filter(|call| behaviour.strikes(*call)).collect::<Vec<_>>()
    };
    assert_eq!(of(1), of(1));
    assert_ne!(of(1), of(2));
    assert!((2_300..2_700).contains(&of(1).len()), "{}", of(1).len());
}

#[test]
fn a_schedule_without_a_fault_is_a_server_error() {
    assert_eq!(parsed(json!({"fail_first": 1})).struck().status, Some(500));
    assert_eq!(parsed(json!({"fail_first": 1, "stall": "accept"})).struck().status, None);
    assert_eq!(parsed(json!({})).struck().status, None);
}
