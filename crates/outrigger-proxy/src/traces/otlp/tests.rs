use super::*;
use crate::traces::context::{SpanId, TraceId};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse},
    common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue, any_value},
    resource::v1::Resource,
    trace::v1::{self as theirs, ResourceSpans, ScopeSpans},
};
use proptest::prelude::{any, *};
use prost::Message as _;

/// What the field's own library writes of the same spans.
fn written_by_the_library(resource: &[(String, String)], spans: &[Span]) -> Vec<u8> {
    let text = |text: &str| any_value::Value::StringValue(text.to_owned());
    let resource = resource.iter().map(|(name, value)| pair(name, text(value))).collect();
    let request = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource {
                attributes: resource,
                ..Resource::default()
            }),
            scope_spans: vec![ScopeSpans {
                scope: Some(InstrumentationScope {
                    name: "outrigger".to_owned(),
                    version: env!("CARGO_PKG_VERSION").to_owned(),
                    ..InstrumentationScope::default()
                }),
                spans: spans.iter().map(theirs).collect(),
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    };
    request.encode_to_vec()
}

fn theirs(span: &Span) -> theirs::Span {
    let text = |text: &str| any_value::Value::StringValue(text.to_owned());
    let value = |value: &Value| match value {
        Value::Text(value) => text(value),
        Value::Texts(values) => any_value::Value::ArrayValue(ArrayValue {
            values: values.iter().map(|value| AnyValue { value: Some(text(value)) }).collect(),
        }),
        Value::Int(number) => any_value::Value::IntValue(i64::try_from(*number).unwrap_or(i64::MAX)),
        Value::Double(number) => any_value::Value::DoubleValue(*number),
        Value::Bool(yes) => any_value::Value::BoolValue(*yes),
    };
    let known = theirs::SpanFlags::ContextHasIsRemoteMask as u32;
    let remote = theirs::SpanFlags::ContextIsRemoteMask as u32;
    theirs::Span {
        trace_id: span.trace.0.to_be_bytes().to_vec(),
        span_id: span.id.0.to_be_bytes().to_vec(),
        trace_state: span.state.as_deref().unwrap_or_default().to_owned(),
        parent_span_id: span.parent.map_or_else(Vec::new, |parent| parent.0.to_be_bytes().to_vec()),
        flags: 1 | known | if span.remote && span.parent.is_some() { remote } else { 0 },
        name: span.name.clone(),
        kind: match span.kind {
            Kind::Server => theirs::span::SpanKind::Server.into(),
            Kind::Client => theirs::span::SpanKind::Client.into(),
        },
        start_time_unix_nano: span.start_ns,
        end_time_unix_nano: span.end_ns,
        attributes: span.attributes.iter().map(|(name, found)| pair(name, value(found))).collect(),
        status: span.failed.then(|| theirs::Status {
            code: theirs::status::StatusCode::Error.into(),
            ..theirs::Status::default()
        }),
        ..theirs::Span::default()
    }
}

fn pair(name: &str, value: any_value::Value) -> KeyValue {
    KeyValue {
        key: name.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

fn text(longest: usize) -> impl Strategy<Value = String> {
    proptest::collection::vec(any::<char>(), 0..longest).prop_map(String::from_iter)
}

/// Numbers of every length that a varint can have.
fn number() -> impl Strategy<Value = u64> {
    (any::<u64>(), 0_u32..64).prop_map(|(number, shift)| number >> shift)
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        text(200).prop_map(|text| Value::Text(text.into())),
        proptest::collection::vec(text(9), 0..3).prop_map(|texts| Value::Texts(texts.into_iter().map(Into::into).collect())),
        number().prop_map(Value::Int),
        any::<f64>().prop_map(Value::Double),
        any::<bool>().prop_map(Value::Bool),
    ]
}

prop_compose! {
    fn span()(
        (trace, id, parent) in (any::<u128>(), any::<u64>(), proptest::option::of(any::<u64>())),
        (remote, server, failed) in any::<(bool, bool, bool)>(),
        state in proptest::option::of(text(40)),
        name in text(300),
        (start_ns, end_ns) in (number(), number()),
        values in proptest::collection::vec(value(), 0..6),
    ) -> Span {
        Span {
            trace: TraceId(trace),
            id: SpanId(id),
            parent: parent.map(SpanId),
            remote,
            state: state.map(Into::into),
            kind: if server { Kind::Server } else { Kind::Client },
            name,
            start_ns,
            end_ns,
            failed,
            attributes: values.into_iter().map(|value| ("some.name", value)).collect(),
        }
    }
}

proptest! {
    #[test]
    fn spans_are_written_byte_for_byte_as_the_library_writes_them(spans in proptest::collection::vec(span(), 0..4), who in text(200)) {
        let resource = [("service.name".to_owned(), who), ("empty".to_owned(), String::new())];
        prop_assert_eq!(export(&resource, spans.iter()), written_by_the_library(&resource, &spans));
    }

    #[test]
    fn the_number_of_rejected_spans_is_read_from_what_the_library_writes(count in any::<i64>(), message in text(200)) {
        let partial = ExportTracePartialSuccess { rejected_spans: count, error_message: message };
        let answer = ExportTraceServiceResponse { partial_success: Some(partial) }.encode_to_vec();
        prop_assert_eq!(rejected(&answer), u64::try_from(count).unwrap_or(0));
    }

    #[test]
    fn an_answer_that_is_no_message_is_read_without_harm(answer in proptest::collection::vec(any::<u8>(), 0..64)) {
        let known = ExportTraceServiceResponse::decode(&*answer).ok().and_then(|answer| answer.partial_success);
        // Where the library can read it, we have read the same number, or nothing.
        if let Some(partial) = known {
            let ours = rejected(&answer);
            prop_assert!(ours == 0 || ours == u64::try_from(partial.rejected_spans).unwrap_or(0));
        }
    }
}

#[test]
fn unknown_fields_of_an_answer_are_stepped_over() {
    // Field 9 of each wire type, then the partial success with the same before its count.
    let unknown: &[u8] = &[
        0x48, 0x96, 0x01, 0x49, 1, 2, 3, 4, 5, 6, 7, 8, 0x4d, 1, 2, 3, 4, 0x4a, 2, b'h', b'i',
    ];
    let inner = [unknown, &[0x08, 0x05]].concat();
    let answer = [unknown, &[0x0a, u8::try_from(inner.len()).unwrap()], &inner].concat();
    assert_eq!(rejected(&answer), 5);
    assert_eq!(rejected(&answer[..answer.len() - 1]), 0, "cut short");
    assert_eq!(rejected(b"<html>no</html>"), 0);
    assert_eq!(rejected(&[]), 0);
}
