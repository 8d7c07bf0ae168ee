//! The spans of a settled request: one for what the client asked, and below it one for each attempt. Built once, from the account; they say
//! who, when, how much and how it ended, and never hold a byte of a prompt, an answer or a key.

use super::context::{SpanId, TraceId};
use crate::{record::Record, snapshot::TargetHandle};
use outrigger_core::{Class, Dialect, Tick, Usage};
use std::sync::Arc;

/// The longest text of an attribute or a name, bytes: what a client or a provider calls a model may be any length.
const LONGEST: usize = 256;

/// A request that is traced, while it runs.
#[derive(Debug)]
pub(crate) struct Open {
    pub(super) trace: TraceId,
    pub(super) span: SpanId,
    pub(super) parent: Option<SpanId>,
    pub(super) state: Option<Arc<str>>,
    /// What the client calls the model.
    pub(super) model: Option<Arc<str>>,
    pub(super) attempts: Vec<Tried>,
}

/// An attempt of it.
#[derive(Debug)]
pub(super) struct Tried {
    pub(super) span: SpanId,
    pub(super) target: Arc<str>,
    pub(super) provider: Arc<str>,
    pub(super) dialect: Dialect,
    pub(super) model: Arc<str>,
    pub(super) key: Option<Arc<str>>,
    pub(super) host: Arc<str>,
    pub(super) port: u16,
    pub(super) probe: bool,
    pub(super) started: Tick,
    /// How and when it ended; absent while it runs, and so where the client hung up on it.
    pub(super) ended: Option<(Class, Tick)>,
}

/// What else is known when the request is settled.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told<'a> {
    pub(crate) record: &'a Record,
    /// The model that answered, in the provider's word.
    pub(crate) answered: Option<&'a str>,
    pub(crate) accepted: Tick,
    pub(crate) first_content: Option<Tick>,
    pub(crate) now: Tick,
    /// `now` by the calendar, microseconds since 1970.
    pub(crate) unix_us: u64,
}

/// A span as it is exported.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Span {
    pub(super) trace: TraceId,
    pub(super) id: SpanId,
    pub(super) parent: Option<SpanId>,
    /// Whether the parent is another process's.
    pub(super) remote: bool,
    pub(super) state: Option<Arc<str>>,
    pub(super) kind: Kind,
    pub(super) name: String,
    /// Nanoseconds since 1970.
    pub(super) start_ns: u64,
    pub(super) end_ns: u64,
    pub(super) failed: bool,
    pub(super) attributes: Vec<(&'static str, Value)>,
}

/// Which side of a call a span is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The client's request, as served.
    Server,
    /// An attempt at a provider.
    Client,
}

/// An attribute's value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Text(Arc<str>),
    Texts(Vec<Arc<str>>),
    Int(u64),
    Double(f64),
    Bool(bool),
}

impl Open {
    /// The trace that it is part of.
    pub(crate) fn trace(&self) -> TraceId {
        self.trace
    }

    /// The client asks for `model`.
    pub(crate) fn asks(&mut self, model: &str) {
        self.model = Some(capped(model));
    }

    /// An attempt begins.
    pub(crate) fn begins(&mut self, target: &TargetHandle, model: &str, key: Option<usize>, probe: bool, at: Tick) {
        let provider = &target.provider;
        let origin = provider.destination.origin();
        self.attempts.push(Tried {
            span: SpanId::mint(),
            target: Arc::clone(&target.label),
            provider: Arc::clone(&provider.name),
            dialect: provider.dialect,
            model: capped(model),
            key: key.and_then(|key| provider.key_names.get(key).cloned()),
            host: origin.host.as_str().into(),
            port: origin.port,
            probe,
            started: at,
            ended: None,
        });
    }

    /// The attempt that began last has ended.
    pub(crate) fn ends(&mut self, class: Class, at: Tick) {
        if let Some(attempt) = self.attempts.last_mut() {
            attempt.ended = Some((class, at));
        }
    }

    /// The spans, the request's own first.
    pub(super) fn close(self, told: &Told<'_>) -> Vec<Span> {
        let served = self
            .attempts
            .last()
            .filter(|attempt| attempt.ended.is_some_and(|(class, _)| class == Class::Ok));
        let mut spans = Vec::with_capacity(1 + self.attempts.len());
        spans.push(self.request(told, served));
        for (number, attempt) in (1..).zip(&self.attempts) {
            let answered = served.is_some_and(|served| served.span == attempt.span);
            spans.push(self.attempt(told, attempt, number, answered));
        }
        spans
    }

    fn request(&self, told: &Told<'_>, served: Option<&Tried>) -> Span {
        let record = told.record;
        let mut out = Attributes::of(record, served, self.model.as_ref());
        out.first_chunk(told, told.accepted);
        out.text("outrigger.request_id", Some(record.id.to_string().into()));
        out.text("outrigger.route", record.route.clone());
        out.text("outrigger.rule", record.rule.clone());
        out.ended(record.outcome);
        if let Some(cost) = record.cost {
            out.0.push(("outrigger.cost_usd", Value::Double(cost.dollars())));
        }
        Span {
            trace: self.trace,
            id: self.span,
            parent: self.parent,
            remote: true,
            state: self.state.clone(),
            kind: Kind::Server,
            name: name(record, self.model.as_deref()),
            start_ns: told.unix_ns(told.accepted),
            end_ns: told.unix_ns(told.now),
            failed: fails(record.outcome),
            attributes: out.0,
        }
    }

    fn attempt(&self, told: &Told<'_>, attempt: &Tried, number: u64, serves: bool) -> Span {
        let record = told.record;
        let (class, ended) = match attempt.ended {
            // The one that serves goes on to the end of the answer.
            _ if serves => (record.outcome, told.now),
            Some(ended) => ended,
            None => (Class::Cancelled, told.now),
        };
        let mut out = Attributes::of(record, Some(attempt), Some(&attempt.model));
        out.text("server.address", Some(Arc::clone(&attempt.host)));
        out.0.push(("server.port", Value::Int(u64::from(attempt.port))));
        if serves {
            out.first_chunk(told, attempt.started);
            out.answer(told);
        }
        out.text("outrigger.target", Some(Arc::clone(&attempt.target)));
        out.text("outrigger.key", attempt.key.clone());
        out.0.push(("outrigger.attempt.number", Value::Int(number)));
        if attempt.probe {
            out.0.push(("outrigger.attempt.probe", Value::Bool(true)));
        }
        out.ended(class);
        Span {
            trace: self.trace,
            id: attempt.span,
            parent: Some(self.span),
            remote: false,
            state: self.state.clone(),
            kind: Kind::Client,
            name: name(record, Some(&attempt.model)),
            start_ns: told.unix_ns(attempt.started),
            end_ns: told.unix_ns(ended),
            failed: !matches!(class, Class::Ok | Class::Cancelled),
            attributes: out.0,
        }
    }
}

impl Told<'_> {
    /// A point of the process's clock by the calendar.
    fn unix_ns(&self, at: Tick) -> u64 {
        let ago = self.now.0.saturating_sub(at.0);
        self.unix_us.saturating_sub(ago).saturating_mul(1_000)
    }
}

/// The attributes of a span.
struct Attributes(Vec<(&'static str, Value)>);

impl Attributes {
    /// What both kinds of span have: the operation, the provider, and the model that this side asked for.
    fn of(record: &Record, asked: Option<&Tried>, model: Option<&Arc<str>>) -> Self {
        let mut out = Self(Vec::with_capacity(20));
        out.text("gen_ai.operation.name", Some(operation(record).into()));
        out.text("gen_ai.provider.name", asked.map(provider));
        out.text("gen_ai.request.model", model.cloned());
        if record.stream {
            out.0.push(("gen_ai.request.stream", Value::Bool(true)));
        }
        out
    }

    fn text(&mut self, name: &'static str, value: Option<Arc<str>>) {
        if let Some(value) = value {
            self.0.push((name, Value::Text(value)));
        }
    }

    fn first_chunk(&mut self, told: &Told<'_>, since: Tick) {
        if let (true, Some(first)) = (told.record.stream, told.first_content) {
            let seconds = first.since(since).as_secs_f64();
            self.0.push(("gen_ai.response.time_to_first_chunk", Value::Double(seconds)));
        }
    }

    /// What came of the call. On the attempt that served alone: whoever adds tokens up over spans is to count them once.
    fn answer(&mut self, told: &Told<'_>) {
        let record = told.record;
        self.text("gen_ai.response.model", told.answered.map(capped));
        if let Some(finish) = &record.finish {
            self.0.push(("gen_ai.response.finish_reasons", Value::Texts(vec![capped(finish)])));
        }
        let Some(usage) = &record.usage else { return };
        let Usage {
            input,
            output,
            cached_read,
            cache_write,
            reasoning,
        } = *usage;
        let whole = input.saturating_add(cached_read).saturating_add(cache_write);
        self.0.push(("gen_ai.usage.input_tokens", Value::Int(whole)));
        self.0.push(("gen_ai.usage.output_tokens", Value::Int(output)));
        for (name, count) in [
            ("gen_ai.usage.cache_read.input_tokens", cached_read),
            ("gen_ai.usage.cache_write.input_tokens", cache_write),
            ("gen_ai.usage.reasoning.output_tokens", reasoning),
        ] {
            if count > 0 {
                self.0.push((name, Value::Int(count)));
            }
        }
        if record.estimated {
            self.0.push(("outrigger.usage.estimated", Value::Bool(true)));
        }
    }

    fn ended(&mut self, class: Class) {
        self.text("outrigger.outcome", Some(class.as_str().into()));
        if class != Class::Ok {
            self.text("error.type", Some(class.as_str().into()));
        }
    }
}

/// Whether a request failed by us or the providers: a server does not fail by its caller's mistakes.
fn fails(outcome: Class) -> bool {
    match outcome {
        Class::Ok | Class::Cancelled | Class::ClientError | Class::ContextWindow | Class::ContentPolicy => false,
        Class::Connect
        | Class::Timeout
        | Class::Reset
        | Class::Overloaded
        | Class::RateLimited
        | Class::Auth
        | Class::Quota
        | Class::ServerError
        | Class::BadResponse => true,
    }
}

fn name(record: &Record, model: Option<&str>) -> String {
    match model {
        Some(model) => format!("{} {model}", operation(record)),
        None => operation(record).to_owned(),
    }
}

/// Both dialects' chats are one operation.
fn operation(record: &Record) -> &'static str {
    match record.endpoint {
        "messages" => "chat",
        other => other,
    }
}

/// The catalogue's name in the convention's words. Somebody else's endpoint is called by the dialect that it speaks.
fn provider(asked: &Tried) -> Arc<str> {
    match (&*asked.provider, asked.dialect) {
        ("mistral", _) => "mistral_ai".into(),
        ("moonshot", _) => "moonshot_ai".into(),
        ("xai", _) => "x_ai".into(),
        ("custom", Dialect::OpenAi) => "openai".into(),
        ("custom", Dialect::Anthropic) => "anthropic".into(),
        _ => Arc::clone(&asked.provider),
    }
}

fn capped(text: &str) -> Arc<str> {
    let end = (0..=LONGEST.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    text.get(..end.unwrap_or(0)).unwrap_or_default().into()
}

#[cfg(test)]
mod tests;
