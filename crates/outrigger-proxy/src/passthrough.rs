//! The opaque pass-through: endpoints that Outrigger does not read (files, images, audio, realtime), forwarded as they are to the one
//! `ProviderKey` of the client's dialect that names their path. Bytes, key, timeouts and metrics; no failover, and no path that nobody named.

use crate::{
    app::App,
    body::{Broken, Outgoing, Reply},
    budget::Held,
    fault::Fault,
    names,
    pipeline::{self, Exchange, Failed},
    record::AttemptRecord,
    snapshot::{ProviderHandle, Snapshot},
    surface, tunnel,
    upstream::{AnswerBody, SendError, SendOptions},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri, header, request::Parts};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use outrigger_core::{Class, Tick, Timeouts};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

/// The only clock that ends a pass-through once its head has come.
pub(crate) const SILENCE: Duration = Duration::from_mins(10);

/// Most bytes of a refusal that are passed on.
const REFUSAL: usize = 64 << 10;

/// Headers that belong to one connection, and those that would give the client away.
const KEPT_BACK: [&str; 18] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "host",
    "authorization",
    "x-api-key",
    "cookie",
    "set-cookie",
    "content-length",
    "traceparent",
    "tracestate",
    "baggage",
];

/// Forwards one request.
pub(crate) async fn serve(exchange: Exchange, head: Parts, body: Incoming) -> Response<Reply> {
    let app = Arc::clone(&exchange.app);
    let snapshot = app.snapshot();
    let found = find(&exchange, &snapshot, head.uri.path())
        .and_then(|provider| app.budget.enter().map(|place| (provider, place)).ok_or_else(Fault::too_many_calls));
    let (provider, place) = match found {
        Ok(found) => found,
        Err(fault) => {
            pipeline::discard(&exchange, body).await;
            return pipeline::refuse(&exchange, &fault);
        }
    };
    let started = app.now();
    let sent = forward(&exchange, provider, head, body, place).await;
    let class = sent.as_ref().map_or_else(|fault| fault.outcome, |_| Class::Ok);
    app.count_passthrough(&provider.label, class);
    match sent {
        Ok(response) => response,
        Err(fault) if fault.is_final() => pipeline::refuse(&exchange, &fault),
        Err(_) => {
            let ms = u64::try_from(app.now().since(started).as_millis()).unwrap_or(u64::MAX);
            let tried = AttemptRecord {
                target: Arc::clone(&provider.label),
                model: None,
                key: None,
                class,
                probe: false,
                ms,
            };
            pipeline::refuse(&exchange, &Fault::exhausted(&[tried], None))
        }
    }
}

fn find<'a>(exchange: &Exchange, snapshot: &'a Snapshot, path: &str) -> Result<&'a Arc<ProviderHandle>, Fault> {
    let bare = surface::bare(path);
    let found = snapshot.table.providers.iter().zip(&snapshot.providers).find(|(provider, _)| {
        provider.dialect == exchange.dialect && plain(bare) && provider.passthrough.iter().any(|pattern| covers(pattern, bare))
    });
    found.map(|(_, handle)| handle).ok_or_else(|| {
        let shown: String = path.chars().take(128).collect();
        let message = format!(
            "Outrigger serves no endpoint {shown}. To forward it as it is, name the path in `spec.passthrough.paths` of a ProviderKey that \
             speaks this dialect."
        );
        Fault::client(404, Some("unknown_endpoint"), None, message)
    })
}

/// Whether a path means what it says: nothing that a provider might resolve to another path.
fn plain(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    !lower.contains("%2e")
        && !lower.contains("%2f")
        && !lower.contains("%5c")
        && !lower.contains('\\')
        && {
            let mut segments = lower.split('/').skip(1);
            segments.all(|segment| !matches!(segment, "." | ".."))
        }
        && !lower.contains("//")
}

fn covers(pattern: &outrigger_core::PathPattern, path: &str) -> bool {
    match path.strip_prefix(pattern.path.as_str()) {
        Some("") => true,
        Some(rest) => pattern.subtree && (rest.starts_with('/') || pattern.path.ends_with('/')),
        None => false,
    }
}

async fn forward(
    exchange: &Exchange,
    provider: &ProviderHandle,
    mut head: Parts,
    body: Incoming,
    place: Held,
) -> Result<Response<Reply>, Fault> {
    let app = &exchange.app;
    let failed = |class| Fault::passing(class);
    let upgrade = head.headers.get(header::UPGRADE).cloned();
    let client = head.extensions.remove::<hyper::upgrade::OnUpgrade>();
    let request = outgoing(provider, &head, upgrade.as_ref(), body)?;
    let options = SendOptions {
        connect_timeout: Timeouts::default().connect,
        // What is forwarded cannot be sent twice, so it does not go over a connection that may have died of rest.
        fresh: true,
    };
    let waited = async {
        let lease = app.upstreams.checkout(&provider.destination, options).await?;
        lease.send(request).await
    };
    let deadline = app.now().after(Timeouts::default().response);
    let response: Result<_, SendError> = tokio::select! {
        biased;
        response = waited => response,
        () = exchange.timer.until(deadline) => return Err(failed(Class::Timeout)),
    };
    let mut response = response.map_err(|error| failed(Failed::from(error).class()))?.response;
    match response.status() {
        StatusCode::UNAUTHORIZED | StatusCode::PAYMENT_REQUIRED | StatusCode::FORBIDDEN => return Err(failed(Class::Auth)),
        StatusCode::SWITCHING_PROTOCOLS => {
            let (Some(client), Some(protocol)) = (client, upgrade) else {
                return Err(failed(Class::BadResponse));
            };
            let provider_side = hyper::upgrade::on(&mut response);
            tunnel::open(app, client, provider_side, place);
            let mut answer = Response::new(Reply::Whole(None));
            *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            copy(response.headers(), answer.headers_mut());
            answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
            answer.headers_mut().insert(header::UPGRADE, protocol);
            return Ok(answer);
        }
        _ => {}
    }
    let (parts, body) = response.into_parts();
    let reply = if parts.status.is_client_error() || parts.status.is_server_error() {
        Reply::Whole(Some(scrubbed(exchange, provider, body).await))
    } else {
        let (app, timer) = (Arc::clone(app), Arc::clone(&exchange.timer));
        Reply::Opaque(Box::new(OpaqueStream {
            quiet_until: app.now().after(SILENCE),
            app,
            timer,
            body,
            _place: place,
        }))
    };
    let mut answer = Response::new(reply);
    *answer.status_mut() = parts.status;
    copy(&parts.headers, answer.headers_mut());
    answer.headers_mut().insert(&names::PROVIDER, provider.shown.clone());
    pipeline::stamp(answer.headers_mut(), exchange);
    Ok(answer)
}

/// A refusal's body without our own key: some providers quote what they were called with.
async fn scrubbed(exchange: &Exchange, provider: &ProviderHandle, mut body: AnswerBody<Outgoing>) -> Bytes {
    let mut text = Vec::new();
    let deadline = exchange.app.now().after(Timeouts::default().between_tokens);
    while text.len() < REFUSAL {
        let frame = tokio::select! {
            biased;
            frame = body.frame() => frame,
            () = exchange.timer.until(deadline) => break,
        };
        let Some(Ok(frame)) = frame else { break };
        text.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
    }
    text.truncate(REFUSAL);
    for value in provider.auth.iter().flatten() {
        let key = value.as_bytes().rsplit(|b| *b == b' ').next().unwrap_or_default();
        while let Some(at) = memchr::memmem::find(&text, key).filter(|_| !key.is_empty()) {
            text.splice(at..at + key.len(), *b"***");
        }
    }
    Bytes::from(text)
}

fn outgoing(provider: &ProviderHandle, head: &Parts, upgrade: Option<&HeaderValue>, body: Incoming) -> Result<Request<Outgoing>, Fault> {
    let query = head.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let uri = format!("{}{}{query}", provider.path, surface::bare(head.uri.path()));
    let uri: Uri = uri
        .parse()
        .map_err(|_| Fault::client(400, None, None, "The path cannot be forwarded."))?;
    let body = if body.is_end_stream() {
        Outgoing::empty()
    } else {
        Outgoing::Opaque(body)
    };
    let mut request = Request::new(body);
    *request.method_mut() = head.method.clone();
    *request.uri_mut() = uri;
    let out = request.headers_mut();
    copy(&head.headers, out);
    out.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    out.insert(header::USER_AGENT, names::AGENT.clone());
    if let Some(protocol) = upgrade {
        out.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        out.insert(header::UPGRADE, protocol.clone());
    }
    for (name, value) in &provider.headers {
        out.insert(name, value.clone());
    }
    if let Some(value) = provider.auth.iter().flatten().next() {
        out.insert(&provider.auth_name, value.clone());
    } else if !provider.auth.is_empty() {
        return Err(Fault::passing(Class::Auth));
    }
    Ok(request)
}

/// Copies headers that may pass; what a `connection` header names stays too.
fn copy(from: &HeaderMap, to: &mut HeaderMap) {
    let named = from.get(header::CONNECTION).and_then(|value| value.to_str().ok()).unwrap_or("");
    let stays = |name: &HeaderName| {
        let name = name.as_str();
        KEPT_BACK.contains(&name)
            || name.starts_with("x-stainless-")
            || name.starts_with("x-outrigger-")
            || named.split(',').any(|other| other.trim().eq_ignore_ascii_case(name))
    };
    for (name, value) in from.iter().filter(|(name, _)| !stays(name)) {
        to.append(name, value.clone());
    }
}

/// A forwarded body; ended by its end, or by ten minutes of silence.
pub(crate) struct OpaqueStream {
    app: Arc<App>,
    timer: Arc<crate::timer::Timer>,
    body: AnswerBody<Outgoing>,
    quiet_until: Tick,
    _place: Held,
}

impl OpaqueStream {
    /// The next piece.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        loop {
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    self.quiet_until = self.app.now().after(SILENCE);
                    if let Ok(data) = frame.into_data() {
                        return Poll::Ready(Some(Ok(data)));
                    }
                }
                Poll::Ready(Some(Err(_))) => return Poll::Ready(Some(Err(Broken))),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return self.timer.poll_at(cx, self.quiet_until).map(|()| Some(Err(Broken))),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use outrigger_core::PathPattern;

    #[test]
    fn a_pattern_covers_itself_and_a_star_what_is_below() {
        let exact = PathPattern {
            path: "/files".into(),
            subtree: false,
        };
        let below = PathPattern {
            path: "/images".into(),
            subtree: true,
        };
        assert!(covers(&exact, "/files"));
        assert!(!covers(&exact, "/files/x"));
        assert!(!covers(&exact, "/filesystem"));
        assert!(covers(&below, "/images/edits"));
        assert!(!covers(&below, "/imagesx"));
    }

    #[test]
    fn a_path_that_a_provider_might_resolve_elsewhere_is_not_plain() {
        for path in [
            "/files/../chat/completions",
            "/files/%2e%2E/x",
            "/files/..",
            "/files//x",
            "/files/a%2Fb",
            "/files/\\x",
        ] {
            assert!(!plain(path), "{path}");
        }
        assert!(plain("/files/file-a.b_c/content"));
    }
}
