//! Decode: reads the body into one buffer, finds in one pass what routing needs, and reads the gateway's own headers. The body is not
//! parsed here; it is parsed at all only where it has to be translated.

use super::{
    Exchange,
    admit::{announced, no_room, too_large},
};
use crate::{fault::Fault, ledger::Ledger, names, surface::Api};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use outrigger_dialect::scan::{self, Scan};
use std::{collections::BTreeMap, time::Duration};

/// A decoded call.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) api: Api,
    pub(crate) headers: HeaderMap,
    /// The client's bytes; taken away at commit.
    pub(crate) body: Bytes,
    pub(crate) scan: Scan,
    pub(crate) asked: Asked,
}

/// What the gateway's own headers and the body's metadata ask for.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    pub(crate) route: Option<String>,
    pub(crate) task: Option<String>,
    pub(crate) metadata: BTreeMap<String, String>,
    /// `x-outrigger-timeout`: bounds the whole request.
    pub(crate) timeout: Option<Duration>,
    /// How long the SDK itself waits: nobody listens after that, but a stream that has begun may go on.
    pub(crate) patience: Option<Duration>,
}

/// Reads and decodes a call.
pub(crate) async fn decode(
    exchange: &Exchange,
    ledger: &mut Ledger,
    api: Api,
    headers: HeaderMap,
    body: &mut Incoming,
) -> Result<Call, Fault> {
    expect_json(&headers)?;
    let mut asked = asked(&headers)?;
    let body = read(exchange, ledger, body).await?;
    let scan =
        scan::scan(&body, api.endpoint()).map_err(|error| Fault::client(400, Some(error.code()), error.param(), error.to_string()))?;
    for (name, value) in scan.metadata(&body) {
        asked.metadata.entry(name.into_owned()).or_insert_with(|| value.into_owned());
    }
    if asked.task.is_none() {
        asked.task = asked.metadata.get("task").cloned();
    }
    ledger.stream = scan.stream;
    if let Some(trace) = &mut ledger.trace {
        trace.asks(&scan.model_name);
    }
    ledger.prompt_tokens = scan.sketch.reference_tokens();
    Ok(Call {
        api,
        headers,
        body,
        scan,
        asked,
    })
}

/// Reads the body into one buffer; each byte is reserved before it is kept.
async fn read(exchange: &Exchange, ledger: &mut Ledger, body: &mut Incoming) -> Result<Bytes, Fault> {
    let settings = &exchange.app.settings;
    let reserved = announced(body);
    let mut buffer = BytesMut::new();
    loop {
        let Some(frame) = next_frame(exchange, body).await? else {
            break;
        };
        let Ok(data) = frame.into_data() else { continue };
        if buffer.len() + data.len() > settings.max_body {
            return Err(too_large(settings.max_body));
        }
        if reserved.is_none() && !ledger.held.grow(data.len() as u64) {
            return Err(no_room());
        }
        if buffer.is_empty() {
            if reserved == Some(data.len() as u64) {
                return Ok(data);
            }
            // The announced length is within the cap and reserved: one allocation for the whole.
            buffer.reserve(usize::try_from(reserved.unwrap_or(0)).unwrap_or(0).max(data.len()));
        }
        buffer.extend_from_slice(&data);
    }
    Ok(buffer.freeze())
}

async fn next_frame(exchange: &Exchange, body: &mut Incoming) -> Result<Option<hyper::body::Frame<Bytes>>, Fault> {
    tokio::select! {
        biased;
        frame = body.frame() => frame.transpose().map_err(|_| Fault::hung_up()),
        () = exchange.timer.after(exchange.app.settings.stall) => {
            let mut fault = Fault::client(408, Some("request_timeout"), None, "The request body stopped coming.");
            fault.close = true;
            Err(fault)
        }
    }
}

fn expect_json(headers: &HeaderMap) -> Result<(), Fault> {
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let given = types.next().map_or(&b""[..], HeaderValue::as_bytes);
    let one = types.next().is_none();
    if one && given == b"application/json" {
        return Ok(());
    }
    let given = std::str::from_utf8(given).unwrap_or("");
    let media = given.split(';').next().unwrap_or("").trim();
    if one && (media.eq_ignore_ascii_case("application/json") || is_json_suffix(media)) {
        return Ok(());
    }
    let message = format!("This endpoint takes a body with `content-type: application/json`, not {given:?}.");
    Err(Fault::client(415, Some("unsupported_media_type"), None, message))
}

fn is_json_suffix(media: &str) -> bool {
    media
        .rsplit_once('+')
        .is_some_and(|(_, suffix)| suffix.eq_ignore_ascii_case("json"))
}

/// Reads the gateway's own headers. Each may come once; one that we cannot read is refused rather than ignored.
fn asked(headers: &HeaderMap) -> Result<Asked, Fault> {
    let mut own = [
        (&names::ROUTE, None),
        (&names::TASK, None),
        (&names::METADATA, None),
        (&names::TIMEOUT, None),
    ];
    let mut patience = None;
    // One pass: most calls have none of them, and to look each up would cost more.
    for (name, value) in headers {
        let Some(text) = name.as_str().strip_prefix("x-") else { continue };
        if text.starts_with("outrigger-") {
            if let Some((_, slot)) = own.iter_mut().find(|(known, _)| *known == name)
                && slot.replace(single(name, value)?).is_some()
            {
                return Err(twice(name));
            }
        } else if matches!(text, "stainless-read-timeout" | "stainless-timeout") {
            // The SDK's own description of itself: nothing a caller could mend, so what cannot be read is left alone.
            patience = [patience, seconds(value)].into_iter().flatten().min();
        }
    }
    let [route, task, metadata, timeout] = own.map(|(_, value)| value.filter(|text| !text.is_empty()));
    let mut asked = Asked {
        route: route.map(str::to_owned),
        task: task.map(str::to_owned),
        patience,
        ..Asked::default()
    };
    if let Some(list) = metadata {
        for pair in list.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let Some((name, value)) = pair.split_once('=') else {
                return Err(bad_header(&names::METADATA, list, "`name=value, name=value`"));
            };
            asked.metadata.insert(name.trim().to_owned(), value.trim().to_owned());
        }
    }
    if let Some(text) = timeout {
        let timeout = outrigger_core::parse_duration(text).filter(|timeout| !timeout.is_zero());
        asked.timeout = Some(timeout.ok_or_else(|| bad_header(&names::TIMEOUT, text, "a positive duration such as `90s` or `1m30s`"))?);
    }
    Ok(asked)
}

fn single<'a>(name: &HeaderName, value: &'a HeaderValue) -> Result<&'a str, Fault> {
    value.to_str().map(str::trim).map_err(|_| bad_header(name, "…", "visible ASCII"))
}

fn twice(name: &HeaderName) -> Fault {
    let message = format!("The header {name} is there twice.");
    Fault::client(400, Some("invalid_header"), Some(name.as_str()), message)
}

fn seconds(value: &HeaderValue) -> Option<Duration> {
    let seconds = value.to_str().ok()?.parse::<f64>().ok()?;
    Duration::try_from_secs_f64(seconds).ok().filter(|wait| !wait.is_zero())
}

fn bad_header(name: &HeaderName, given: &str, right: &str) -> Fault {
    let given: String = given.chars().take(64).collect();
    Fault::client(
        400,
        Some("invalid_header"),
        Some(name.as_str()),
        format!("The header {name} is {given:?}; it has to be {right}."),
    )
}
