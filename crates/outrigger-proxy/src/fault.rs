//! Every way in which a call can end without an answer, and the one place where such an end becomes words in the client's dialect. A
//! fault's text is written here or scrubbed by the classifier: a provider's words, hosts and keys never pass by accident.

use crate::{
    names,
    record::{AttemptRecord, RequestId, header_value, push_attempts},
};
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use outrigger_core::{Class, Dialect, Reason};
use outrigger_dialect::{
    classify::Classified,
    error::{self, PublicError},
};
use std::time::Duration;

/// Longest `Retry-After` that a client is told: the Anthropic SDKs obey any.
const LONGEST_WAIT: Duration = Duration::from_mins(1);
/// Longest known wait for which an SDK is asked to try again by itself.
const WORTH_WAITING: Duration = Duration::from_secs(20);

/// A call's end without an answer.
#[derive(Debug)]
pub(crate) struct Fault {
    /// For the account.
    pub(crate) outcome: Class,
    pub(crate) public: Box<PublicError>,
    retry_after: Option<Duration>,
    should_retry: bool,
    /// The client's connection cannot be used again: its request was not read to the end.
    pub(crate) close: bool,
    allow: Option<&'static str>,
}

impl Fault {
    fn new(outcome: Class, status: u16, kind: &'static str, code: Option<&str>, param: Option<&str>, message: String) -> Self {
        let public = PublicError {
            status,
            kind: kind.into(),
            code: code.map(|code| code.to_owned().into()),
            param: param.map(|param| param.to_owned().into()),
            message,
        };
        Self {
            outcome,
            public: Box::new(public),
            retry_after: None,
            should_retry: false,
            close: false,
            allow: None,
        }
    }

    /// The client's mistake.
    pub(crate) fn client(status: u16, code: Option<&str>, param: Option<&str>, message: impl Into<String>) -> Self {
        Self::new(Class::ClientError, status, "invalid_request_error", code, param, message.into())
    }

    /// The client hung up while it was sending.
    pub(crate) fn hung_up() -> Self {
        Self {
            close: true,
            outcome: Class::Cancelled,
            ..Self::client(400, None, None, "The request ended before its body was complete.")
        }
    }

    /// One of our endpoints with the wrong method.
    pub(crate) fn wrong_method(allow: &'static str) -> Self {
        let message = format!("This endpoint takes {allow} only.");
        Self {
            allow: Some(allow),
            ..Self::client(405, Some("method_not_allowed"), None, message)
        }
    }

    /// This process has no room for one more: nothing was tried, and a moment later there may be room.
    pub(crate) fn overloaded(message: &str) -> Self {
        let fault = Self::new(
            Class::Overloaded,
            503,
            "server_error",
            Some("gateway_overloaded"),
            None,
            message.to_owned(),
        );
        Self {
            retry_after: Some(Duration::from_secs(1)),
            should_retry: true,
            ..fault
        }
    }

    /// As many calls in flight as there may be.
    pub(crate) fn too_many_calls() -> Self {
        Self::overloaded("The gateway has as many calls in flight as it may have.")
    }

    /// There is nothing to offer yet: whoever set this up has a step to go.
    pub(crate) fn no_routes() -> Self {
        let message = "There are no routes here, so no model is offered: apply a ModelRoute and the ProviderKeys that it names in this namespace, \
                       or share a route of another one with it (spec.namespaces).";
        Self::client(404, Some("model_not_found"), Some("model"), message)
    }

    /// No route offers the model.
    pub(crate) fn unknown_model(model: &str) -> Self {
        let message = format!("No route offers the model {model:?}. GET /v1/models lists what the routes of this namespace offer.");
        Self::client(404, Some("model_not_found"), Some("model"), message)
    }

    /// A provider's answer that no other target would give differently.
    pub(crate) fn refused(status: u16, answer: &Classified) -> Self {
        let (kept, code) = if answer.class == Class::ContextWindow {
            (400, Some("context_length_exceeded"))
        } else if answer.class == Class::ContentPolicy {
            (400, Some("content_policy_violation"))
        } else if matches!(status, 400 | 404 | 409 | 413 | 415 | 422) {
            (status, answer.code.as_deref())
        } else {
            (400, answer.code.as_deref())
        };
        let message = answer
            .message
            .clone()
            .unwrap_or_else(|| "The provider refused the request.".to_owned());
        Self::new(answer.class, kept, "invalid_request_error", code, answer.param.as_deref(), message)
    }

    /// Nothing that could be tried is left. `wait` is the shortest time after which something may serve again.
    pub(crate) fn exhausted(attempts: &[AttemptRecord], wait: Option<Duration>) -> Self {
        let said = |status, kind, code, what: &str| {
            Self::new(
                decisive(attempts),
                status,
                kind,
                Some(code),
                None,
                format!("{what} {}", tried(attempts)),
            )
        };
        match decisive(attempts) {
            Class::RateLimited => {
                let fault = said(429, "rate_limit_error", "rate_limit_exceeded", "Every target is rate limited.");
                let should_retry = wait.is_some_and(|wait| wait <= WORTH_WAITING);
                Self {
                    retry_after: wait,
                    should_retry,
                    ..fault
                }
            }
            Class::Auth | Class::Quota => said(
                503,
                "server_error",
                "upstream_credentials",
                "No provider accepted the gateway's own credentials.",
            ),
            Class::ContextWindow => {
                let what = "The prompt is longer than the context window of every target.";
                Self::new(
                    Class::ContextWindow,
                    400,
                    "invalid_request_error",
                    Some("context_length_exceeded"),
                    Some("messages"),
                    what.into(),
                )
            }
            Class::Overloaded => Self {
                retry_after: wait,
                ..said(503, "server_error", "upstream_overloaded", "Every target is overloaded.")
            },
            Class::Timeout => said(504, "server_error", "upstream_timeout", "No target answered in time."),
            Class::Ok
            | Class::Connect
            | Class::Reset
            | Class::ServerError
            | Class::ContentPolicy
            | Class::ClientError
            | Class::BadResponse
            | Class::Cancelled => Self {
                retry_after: wait,
                ..said(502, "server_error", "upstream_error", "No target gave an answer.")
            },
        }
    }

    /// The request's own deadline passed.
    pub(crate) fn deadline(attempts: &[AttemptRecord]) -> Self {
        let message = format!("The deadline of the request passed. {}", tried(attempts));
        Self::new(Class::Timeout, 504, "server_error", Some("upstream_timeout"), None, message)
    }

    /// The route has no target that could be called.
    pub(crate) fn no_target(route: &str, wait: Option<Duration>) -> Self {
        let message = format!("The route {route} has no target that can be called now: see its conditions, or /targets on the admin port.");
        let fault = Self::new(Class::Overloaded, 503, "server_error", Some("no_available_target"), None, message);
        Self {
            retry_after: Some(wait.unwrap_or(Duration::from_secs(1))),
            should_retry: true,
            ..fault
        }
    }

    /// No target may or can be asked such a call, whatever its health. Capabilities are the caller's to mend, residency the route's.
    pub(crate) fn unsuited(route: &str, reasons: &[Reason]) -> Self {
        let lacks: Vec<&str> = reasons.iter().filter_map(|reason| lack(*reason)).collect();
        let why = lacks.join("; ");
        if reasons.contains(&Reason::Residency) {
            let message = format!("The route {route} has no target for this call inside its residency: {why}.");
            return Self::new(Class::ClientError, 503, "server_error", Some("no_available_target"), None, message);
        }
        let message = format!("No target of the route {route} can take this call: {why}.");
        Self::client(400, Some("unsupported_value"), None, message)
    }

    /// A pass-through's attempt failed: only its class matters, the words come with the attempt.
    pub(crate) fn passing(class: Class) -> Self {
        Self::new(class, 502, "server_error", Some("upstream_error"), None, String::new())
    }

    /// Whether this is already what the client shall read.
    pub(crate) fn is_final(&self) -> bool {
        !self.public.message.is_empty()
    }

    /// A committed stream broke: what its last event says.
    pub(crate) fn broken(outcome: Class) -> Self {
        let (status, code, message) = match outcome {
            Class::Timeout => (504, "upstream_timeout", "The provider fell silent in the middle of the answer."),
            Class::Overloaded => (
                503,
                "upstream_overloaded",
                "The provider was overloaded in the middle of the answer.",
            ),
            Class::RateLimited => (
                429,
                "rate_limit_exceeded",
                "The provider's rate limit was reached in the middle of the answer.",
            ),
            Class::Ok
            | Class::Connect
            | Class::Reset
            | Class::ServerError
            | Class::ContentPolicy
            | Class::ClientError
            | Class::BadResponse
            | Class::Cancelled
            | Class::ContextWindow
            | Class::Auth
            | Class::Quota => (502, "upstream_error", "The provider's answer broke off before its end."),
        };
        Self::new(outcome, status, "server_error", Some(code), None, message.to_owned())
    }

    /// The whole response, but for the headers that every response carries.
    pub(crate) fn respond(&self, dialect: Dialect, id: RequestId, attempts: &[AttemptRecord]) -> Response<Bytes> {
        let mut response = Response::new(Bytes::from(error::body(dialect, &self.public, &id.to_string())));
        *response.status_mut() = StatusCode::from_u16(self.public.status).unwrap_or(StatusCode::BAD_GATEWAY);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(
            &names::SHOULD_RETRY,
            HeaderValue::from_static(if self.should_retry { "true" } else { "false" }),
        );
        if let Some(wait) = self.retry_after {
            let wait = wait.min(LONGEST_WAIT);
            headers.insert(
                header::RETRY_AFTER,
                HeaderValue::from(wait.as_secs() + u64::from(wait.subsec_nanos() > 0)),
            );
        }
        if let Some(allow) = self.allow {
            headers.insert(header::ALLOW, HeaderValue::from_static(allow));
        }
        if self.close {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if !attempts.is_empty() {
            let mut tried = Vec::new();
            push_attempts(&mut tried, attempts);
            headers.insert(&names::ATTEMPTS, header_value(tried));
        }
        response
    }

    /// The SSE event that ends a committed stream.
    pub(crate) fn event(&self, dialect: Dialect, id: RequestId) -> Bytes {
        Bytes::from(error::event(dialect, &self.public, &id.to_string()))
    }
}

/// Which of several failures tells the client most: a target's over a wait, a wait over our credentials; within one kind the last.
fn decisive(attempts: &[AttemptRecord]) -> Class {
    let rank = |class: Class| match class {
        Class::ContextWindow => 4,
        Class::Connect | Class::Timeout | Class::Reset | Class::Overloaded | Class::ServerError | Class::BadResponse => 3,
        Class::RateLimited => 2,
        Class::Auth | Class::Quota => 1,
        Class::Ok | Class::ContentPolicy | Class::ClientError | Class::Cancelled => 0,
    };
    attempts
        .iter()
        .map(|attempt| attempt.class)
        .max_by_key(|class| rank(*class))
        .unwrap_or(Class::ServerError)
}

/// "Tried a/m (timeout, 2001 ms), b/m (reset, 3 ms)."
fn tried(attempts: &[AttemptRecord]) -> String {
    let list: Vec<_> = attempts
        .iter()
        .map(|a| format!("{} ({}, {} ms)", a.target, a.class.as_str(), a.ms))
        .collect();
    format!("Tried {}.", list.join(", "))
}

/// What is lacking where a candidate was never tried.
fn lack(reason: Reason) -> Option<&'static str> {
    match reason {
        Reason::Residency => Some("some are outside of it"),
        Reason::Tools => Some("a model calls no tools"),
        Reason::Vision => Some("a model takes no images"),
        Reason::JsonSchema => Some("a model honours no JSON schema"),
        Reason::Window => Some("a model's window is too small"),
        Reason::MaxOutput => Some("a model gives no answer that long"),
        Reason::Kept
        | Reason::Probe
        | Reason::Returning
        | Reason::Slow
        | Reason::Standby
        | Reason::Open
        | Reason::Overloaded
        | Reason::Cooling
        | Reason::NearLimit
        | Reason::KeyPending
        | Reason::KeyRefused => None,
    }
}
