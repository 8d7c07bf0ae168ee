//! Errors in the client's own dialect, as bodies and as events of a stream. It must never leave out a member that a client's library
//! reads, nor say more than the [`PublicError`] that it was given.

use crate::sse;
use outrigger_core::Dialect;
use serde_json::{Value, json};
use std::borrow::Cow;

/// An error as the caller may see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicError {
    /// The HTTP status; inside a stream, the one that it would have had.
    pub status: u16,
    /// `error.type` in OpenAI's words. Anthropic's type follows from the status.
    pub kind: Cow<'static, str>,
    /// `error.code`
    pub code: Option<Cow<'static, str>>,
    /// `error.param`: the field to blame.
    pub param: Option<Cow<'static, str>>,
    /// A sentence that says what is wrong and what was tried.
    pub message: String,
}

/// The body of an error response.
pub fn body(dialect: Dialect, error: &PublicError, request_id: &str) -> Vec<u8> {
    value(dialect, error, request_id).to_string().into_bytes()
}

/// The event that ends a stream which broke after its first content.
///
/// Where the stream broke inside an event ([`Tap::inside_event`](crate::tap::Tap::inside_event)), an empty line has to come before it.
pub fn event(dialect: Dialect, error: &PublicError, request_id: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let name = match dialect {
        Dialect::OpenAi => None,
        // Anthropic's libraries ignore events without a name.
        Dialect::Anthropic => Some("error"),
    };
    sse::write_event(&mut out, name, &body(dialect, error, request_id));
    out
}

fn value(dialect: Dialect, error: &PublicError, request_id: &str) -> Value {
    let PublicError {
        status,
        kind,
        code,
        param,
        message,
    } = error;
    match dialect {
        Dialect::OpenAi => json!({"error": {"message": message, "type": kind, "param": param, "code": code}}),
        Dialect::Anthropic => {
            json!({"type": "error", "error": {"type": anthropic_type(*status), "message": message}, "request_id": request_id})
        }
    }
}

/// The type that Anthropic's API sends with a status.
pub fn anthropic_type(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        409 => "conflict_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        408 | 504 => "timeout_error",
        503 | 529 => "overloaded_error",
        400..=499 => "invalid_request_error",
        _ => "api_error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> PublicError {
        PublicError {
            status: 400,
            kind: "invalid_request_error".into(),
            code: Some("invalid_type".into()),
            param: Some("model".into()),
            message: "the field `model` must be a \"string\"\n".to_owned(),
        }
    }

    fn bare() -> PublicError {
        PublicError {
            status: 503,
            kind: "server_error".into(),
            code: None,
            param: None,
            message: "no target".to_owned(),
        }
    }

    fn text(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn an_openai_error_has_all_four_members() {
        insta::assert_snapshot!(text(body(Dialect::OpenAi, &full(), "r")), @r#"{"error":{"message":"the field `model` must be a \"string\"\n","type":"invalid_request_error","param":"model","code":"invalid_type"}}"#);
        insta::assert_snapshot!(text(body(Dialect::OpenAi, &bare(), "r")), @r#"{"error":{"message":"no target","type":"server_error","param":null,"code":null}}"#);
    }

    #[test]
    fn an_anthropic_error_has_its_own_type_and_the_request_id() {
        insta::assert_snapshot!(text(body(Dialect::Anthropic, &full(), "req_1")), @r#"{"type":"error","error":{"type":"invalid_request_error","message":"the field `model` must be a \"string\"\n"},"request_id":"req_1"}"#);
        insta::assert_snapshot!(text(body(Dialect::Anthropic, &bare(), "req_1")), @r#"{"type":"error","error":{"type":"overloaded_error","message":"no target"},"request_id":"req_1"}"#);
    }

    #[test]
    fn an_error_event_is_what_the_dialects_libraries_raise() {
        assert_eq!(
            text(event(Dialect::OpenAi, &bare(), "r")),
            format!("data: {}\n\n", text(body(Dialect::OpenAi, &bare(), "r")))
        );
        assert_eq!(
            text(event(Dialect::Anthropic, &bare(), "r")),
            format!("event: error\ndata: {}\n\n", text(body(Dialect::Anthropic, &bare(), "r")))
        );
        for dialect in [Dialect::OpenAi, Dialect::Anthropic] {
            let mut tap = crate::tap::Tap::new(dialect, false);
            let seen = tap.push(event(dialect, &full(), "r").into(), &mut Vec::new());
            assert!(seen.error.is_some(), "our own taps see it as an error too");
        }
    }

    #[test]
    fn every_status_has_the_type_that_anthropic_sends_with_it() {
        let types = [400, 401, 402, 403, 404, 405, 408, 409, 413, 415, 422, 429, 500, 502, 503, 504, 529]
            .map(|status| format!("{status} {}", anthropic_type(status)));
        insta::assert_snapshot!(types.join("\n"), @r"
        400 invalid_request_error
        401 authentication_error
        402 billing_error
        403 permission_error
        404 not_found_error
        405 invalid_request_error
        408 timeout_error
        409 conflict_error
        413 request_too_large
        415 invalid_request_error
        422 invalid_request_error
        429 rate_limit_error
        500 api_error
        502 api_error
        503 overloaded_error
        504 timeout_error
        529 overloaded_error
        ");
    }
}
