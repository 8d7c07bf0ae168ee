use super::*;
use crate::record::RequestId;
use outrigger_core::PicoUsd;
use std::fmt::Write as _;

/// What the calendar says when the request settles, microseconds since 1970.
const NOW_US: u64 = 1_700_000_000_000_000;

fn tried(target: &str, span: u64, started: u64, ended: Option<(Class, u64)>) -> Tried {
    Tried {
        span: SpanId(span),
        target: format!("{target}/m").into(),
        provider: "custom".into(),
        dialect: Dialect::Anthropic,
        model: "m-1".into(),
        key: Some("main".into()),
        host: "llm.corp".into(),
        port: 8443,
        probe: false,
        started: Tick(started),
        ended: ended.map(|(class, at)| (class, Tick(at))),
    }
}

fn open(attempts: Vec<Tried>) -> Open {
    Open {
        trace: TraceId(0xab),
        span: SpanId(1),
        parent: Some(SpanId(9)),
        state: Some("vendor=1".into()),
        model: Some("assistant".into()),
        attempts,
    }
}

fn record(outcome: Class) -> Record {
    Record {
        id: RequestId(1, 2),
        trace: Some(TraceId(0xab)),
        outcome,
        route: Some("ns/r".into()),
        rule: Some("all".into()),
        endpoint: "messages",
        stream: true,
        attempts: Vec::new(),
        provider: None,
        model: None,
        usage: None,
        cost: None,
        baseline: None,
        wasted: None,
        estimated: false,
        finish: None,
        total_us: 0,
        first_content_us: None,
        gateway_us: 0,
    }
}

/// The spans of a request that was accepted at 1 s and settled at 5 s of the process's clock.
fn spans(open: Open, record: &Record, first_content: Option<u64>) -> Vec<Span> {
    open.close(&Told {
        record,
        answered: Some("m-1-2026"),
        accepted: Tick(1_000_000),
        first_content: first_content.map(Tick),
        now: Tick(5_000_000),
        unix_us: NOW_US,
    })
}

/// Spans as lines: who, when before the end, what.
fn shown(spans: &[Span]) -> String {
    let mut out = String::new();
    for span in spans {
        let ago = |ns: u64| (NOW_US * 1_000 - ns) / 1_000_000;
        writeln!(
            out,
            "{} {} <- {:?} {:?} {} {:?} -{}ms..-{}ms failed={}",
            span.trace,
            span.id.0,
            span.parent.map(|parent| parent.0),
            span.kind,
            span.remote,
            span.name,
            ago(span.start_ns),
            ago(span.end_ns),
            span.failed
        )
        .unwrap();
        for (name, value) in &span.attributes {
            writeln!(out, "  {name} = {value:?}").unwrap();
        }
    }
    out
}

#[test]
fn a_request_with_two_attempts_is_three_spans() {
    let attempts = vec![
        tried("a", 2, 1_100_000, Some((Class::Timeout, 3_100_000))),
        Tried {
            probe: true,
            ..tried("b", 3, 3_200_000, Some((Class::Ok, 3_700_000)))
        },
    ];
    let record = Record {
        usage: Some(Usage {
            input: 10,
            output: 20,
            cached_read: 5,
            cache_write: 3,
            reasoning: 7,
        }),
        cost: Some(PicoUsd(1_500_000_000)),
        finish: Some("stop".into()),
        ..record(Class::Ok)
    };
    let trace = "000000000000000000000000000000ab";
    assert_eq!(
        shown(&spans(open(attempts), &record, Some(3_700_000))),
        format!(
            r#"{trace} 1 <- Some(9) Server true "chat assistant" -4000ms..-0ms failed=false
  gen_ai.operation.name = Text("chat")
  gen_ai.provider.name = Text("anthropic")
  gen_ai.request.model = Text("assistant")
  gen_ai.request.stream = Bool(true)
  gen_ai.response.time_to_first_chunk = Double(2.7)
  outrigger.request_id = Text("req_000000000000000100000002")
  outrigger.route = Text("ns/r")
  outrigger.rule = Text("all")
  outrigger.outcome = Text("ok")
  outrigger.cost_usd = Double(0.0015)
{trace} 2 <- Some(1) Client false "chat m-1" -3900ms..-1900ms failed=true
  gen_ai.operation.name = Text("chat")
  gen_ai.provider.name = Text("anthropic")
  gen_ai.request.model = Text("m-1")
  gen_ai.request.stream = Bool(true)
  server.address = Text("llm.corp")
  server.port = Int(8443)
  outrigger.target = Text("a/m")
  outrigger.key = Text("main")
  outrigger.attempt.number = Int(1)
  outrigger.outcome = Text("timeout")
  error.type = Text("timeout")
{trace} 3 <- Some(1) Client false "chat m-1" -1800ms..-0ms failed=false
  gen_ai.operation.name = Text("chat")
  gen_ai.provider.name = Text("anthropic")
  gen_ai.request.model = Text("m-1")
  gen_ai.request.stream = Bool(true)
  server.address = Text("llm.corp")
  server.port = Int(8443)
  gen_ai.response.time_to_first_chunk = Double(0.5)
  gen_ai.response.model = Text("m-1-2026")
  gen_ai.response.finish_reasons = Texts(["stop"])
  gen_ai.usage.input_tokens = Int(18)
  gen_ai.usage.output_tokens = Int(20)
  gen_ai.usage.cache_read.input_tokens = Int(5)
  gen_ai.usage.cache_write.input_tokens = Int(3)
  gen_ai.usage.reasoning.output_tokens = Int(7)
  outrigger.target = Text("b/m")
  outrigger.key = Text("main")
  outrigger.attempt.number = Int(2)
  outrigger.attempt.probe = Bool(true)
  outrigger.outcome = Text("ok")
"#
        )
    );
}

#[test]
fn an_attempt_that_its_client_hung_up_on_was_cancelled_when_the_request_was() {
    let spans = spans(open(vec![tried("a", 2, 1_100_000, None)]), &record(Class::Cancelled), None);
    let text = shown(&spans);
    assert!(text.contains("Client false \"chat m-1\" -3900ms..-0ms failed=false"), "{text}");
    assert_eq!(text.matches("error.type = Text(\"cancelled\")").count(), 2, "{text}");
    assert!(!text.contains("gen_ai.response"), "nothing answered: {text}");
}

#[test]
fn a_stream_that_breaks_after_its_first_content_fails_the_attempt_that_served() {
    let attempts = vec![tried("a", 2, 1_100_000, Some((Class::Ok, 1_500_000)))];
    let spans = spans(open(attempts), &record(Class::Reset), Some(1_500_000));
    assert!(spans.iter().all(|span| span.failed));
    let text = shown(&spans);
    assert_eq!(text.matches("outrigger.outcome = Text(\"reset\")").count(), 2, "{text}");
    assert!(text.contains("Client false \"chat m-1\" -3900ms..-0ms"), "{text}");
}

#[test]
fn a_request_that_was_never_sent_is_one_span() {
    let unread = Open {
        model: None,
        parent: None,
        ..open(Vec::new())
    };
    let record = Record {
        route: None,
        rule: None,
        stream: false,
        endpoint: "embeddings",
        ..record(Class::ClientError)
    };
    let spans = spans(unread, &record, None);
    assert_eq!(spans.len(), 1);
    assert_eq!((spans[0].name.as_str(), spans[0].failed), ("embeddings", false));
    let names: Vec<_> = spans[0].attributes.iter().map(|(name, _)| *name).collect();
    assert_eq!(
        names,
        ["gen_ai.operation.name", "outrigger.request_id", "outrigger.outcome", "error.type"]
    );
}

#[test]
fn providers_have_the_names_of_the_conventions() {
    for (ours, dialect, theirs) in [
        ("openai", Dialect::OpenAi, "openai"),
        ("mistral", Dialect::OpenAi, "mistral_ai"),
        ("moonshot", Dialect::OpenAi, "moonshot_ai"),
        ("xai", Dialect::OpenAi, "x_ai"),
        ("groq", Dialect::OpenAi, "groq"),
        ("custom", Dialect::OpenAi, "openai"),
        ("custom", Dialect::Anthropic, "anthropic"),
    ] {
        let tried = Tried {
            provider: ours.into(),
            dialect,
            ..tried("a", 2, 0, None)
        };
        assert_eq!(&*provider(&tried), theirs);
    }
}

#[test]
fn a_model_of_any_length_is_cut_between_characters() {
    assert_eq!(&*capped("möbel"), "möbel");
    assert_eq!(&*capped(&"ö".repeat(200)), "ö".repeat(128));
    assert_eq!(&*capped(&format!("a{}", "ö".repeat(200))), format!("a{}", "ö".repeat(127)));
}
