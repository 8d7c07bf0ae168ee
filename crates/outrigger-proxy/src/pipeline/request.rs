//! The request towards a provider: the client's own bytes with what this target needs spliced in, or a translation.

use super::{Exchange, attempt::Failed, decode::Call};
use crate::{body::Outgoing, names, record::header_value, snapshot::TargetHandle, surface::Api};
use bytes::Bytes;
use http::{Method, Request};
use outrigger_core::{Class, Dialect, ModelFacts};
use outrigger_dialect::{
    classify::Classified,
    headers,
    scan::{self, Scan},
    splice::{Edits, TokenLimit, splice},
    translate::{self, Asked, TargetTraits},
};

/// A request ready to be sent, and how its answer has to be read.
#[derive(Debug)]
pub(super) struct Encoded {
    pub(super) request: Request<Outgoing>,
    pub(super) reading: Reading,
}

/// How the answer to an encoded request has to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reading {
    /// Provider and client speak different dialects.
    pub(super) translated: bool,
    /// The client did not ask for usage in the stream, the provider was: it is taken out again.
    pub(super) strip_usage: bool,
}

/// Encodes `call` for `target` with the ring's key number `key`.
///
/// # Errors
/// Where this target cannot be asked so: the caller's mistake, or something that only a target of another kind can do.
pub(super) fn encode(call: &Call, target: &TargetHandle, key: Option<usize>) -> Result<Encoded, Failed> {
    let provider = &target.provider;
    let same = provider.dialect == call.api.dialect();
    let api = if same {
        call.api
    } else {
        counterpart(call.api).ok_or_else(|| cannot(call.api))?
    };
    let uri = provider.uri(api).ok_or_else(|| cannot(call.api))?;
    let (slices, strip_usage) = if same {
        spliced(call, target)?
    } else {
        (vec![translated(call, target)?], false)
    };

    let body = Outgoing::of(slices);
    let mut out = provider.head(call.scan.stream, key, body.length());
    if same {
        for name in &provider.forwarded {
            for value in call.headers.get_all(name) {
                out.append(name, value.clone());
            }
        }
    }
    if provider.dialect == Dialect::Anthropic {
        let version = call.headers.get(&names::ANTHROPIC_VERSION).filter(|_| same);
        let version = version.and_then(|value| value.to_str().ok());
        if let Some((name, value)) = headers::fixed(provider.dialect, target.model_name(&call.scan.model_name), version)
            && !out.contains_key(name)
        {
            out.insert(name, header_value(value));
        }
    }
    let mut request = Request::new(body);
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri.clone();
    *request.headers_mut() = out;
    Ok(Encoded {
        request,
        reading: Reading {
            translated: !same,
            strip_usage,
        },
    })
}

/// The endpoint that answers the same question in the other dialect.
fn counterpart(api: Api) -> Option<Api> {
    match api {
        Api::Chat => Some(Api::Messages),
        Api::Messages => Some(Api::Chat),
        Api::CountTokens | Api::Embeddings => None,
    }
}

fn cannot(api: Api) -> Failed {
    let message = format!("No target of this route has an endpoint for {}.", api.as_str());
    Failed::unsuited(400, callers(message, None))
}

/// The caller's to mend.
fn callers(message: String, param: Option<String>) -> Classified {
    let class = Class::ClientError;
    Classified {
        class,
        wait: None,
        code: None,
        kind: None,
        param,
        message: Some(message),
        model_missing: false,
    }
}

fn spliced(call: &Call, target: &TargetHandle) -> Result<(Vec<Bytes>, bool), Failed> {
    if target.mixed
        && let Some(body) = translate::without_foreign_thinking(call.api.dialect(), &call.body).map(Bytes::from)
    {
        let scan = scan::scan(&body, call.api.endpoint()).map_err(|error| Failed::client(callers(error.to_string(), None)))?;
        return Ok(edited(call, &body, &scan, target));
    }
    Ok(edited(call, &call.body, &call.scan, target))
}

fn edited(call: &Call, body: &Bytes, scan: &Scan, target: &TargetHandle) -> (Vec<Bytes>, bool) {
    let asked = &*call.scan.model_name;
    let name = target.model_name(asked);
    let include_usage = call.api == Api::Chat && call.scan.stream && !call.scan.include_usage && target.quirks.stream_options;
    let reasoning = target.facts(asked).is_some_and(|facts| facts.reasoning);
    let edits = Edits {
        model: (name != asked).then_some(name),
        include_usage,
        drop_stream_options: !target.quirks.stream_options,
        token_limit: match call.api {
            Api::Chat if !target.quirks.max_completion_tokens => Some(TokenLimit::MaxTokens),
            // Models that think refuse the older name; all others take what the client wrote.
            Api::Chat if reasoning => Some(TokenLimit::MaxCompletionTokens),
            Api::Chat | Api::Messages | Api::CountTokens | Api::Embeddings => None,
        },
    };
    (splice(body, scan, &edits), include_usage)
}

fn translated(call: &Call, target: &TargetHandle) -> Result<Bytes, Failed> {
    let unknown = ModelFacts::default();
    let asked = &*call.scan.model_name;
    let traits = TargetTraits {
        model: target.model_name(asked),
        facts: target.facts(asked).unwrap_or(&unknown),
        quirks: &target.quirks,
        stream: call.scan.stream,
    };
    let translated = translate::request(
        call.api.dialect(),
        target.provider.dialect,
        call.api.endpoint(),
        &call.body,
        &traits,
    );
    translated.map(Bytes::from).map_err(|error| {
        let said = callers(error.to_string(), error.param);
        if error.elsewhere {
            Failed::unsuited(400, said)
        } else {
            Failed::client(said)
        }
    })
}

/// What of the request a translated answer needs.
pub(super) fn asked(exchange: &Exchange, call: &Call) -> Asked {
    Asked {
        id: exchange.id.to_string(),
        created: exchange.app.clock.unix_ms() / 1_000,
        model: call.scan.model_name.clone(),
        include_usage: call.scan.include_usage,
    }
}
