//! Error bodies and other non-answers, in the dialect of the endpoint.
//!
//! Decides what an error says when the script leaves it open. It must never pick a status: that is the script's.

use serde_json::{Value, json};

use crate::behaviour::ErrorScript;
use crate::json::put;
use crate::place::Dialect;

/// A page where JSON was expected.
pub(crate) const PAGE: &str = "<!DOCTYPE html>\n<html><head><title>Bad gateway</title></head><body><h1>Bad gateway</h1></body></html>\n";

/// The error object of a dialect.
pub(crate) fn body(dialect: Dialect, status: u16, script: &ErrorScript, request_id: &str) -> Value {
    let (kind, code, sentence) = usual(dialect, status);
    let kind = script.kind.as_deref().unwrap_or(kind);
    let message = script.message.as_deref().unwrap_or(sentence);
    match dialect {
        Dialect::OpenAi => {
            let code = script.code.clone().unwrap_or_else(|| code.map_or(Value::Null, Value::from));
            json!({"error": {"message": message, "type": kind, "param": script.param, "code": code}})
        }
        Dialect::Anthropic => {
            let mut error = json!({"type": kind, "message": message});
            if let Some(code) = &script.code {
                put(&mut error, "details", json!({"error_code": code}));
            }
            json!({"type": "error", "error": error, "request_id": request_id})
        }
    }
}

/// The error as an event of a stream.
pub(crate) fn event(dialect: Dialect, script: &ErrorScript, request_id: &str) -> String {
    let value = body(dialect, 500, script, request_id);
    match dialect {
        Dialect::OpenAi => format!("data: {value}\n\n"),
        Dialect::Anthropic => format!("event: error\ndata: {value}\n\n"),
    }
}

/// Type, code and sentence that usually go with a status.
fn usual(dialect: Dialect, status: u16) -> (&'static str, Option<&'static str>, &'static str) {
    match dialect {
        Dialect::OpenAi => match status {
            401 => ("invalid_request_error", Some("invalid_api_key"), "Incorrect API key provided."),
            403 => (
                "invalid_request_error",
                Some("unsupported_country_region_territory"),
                "Country, region, or territory not supported.",
            ),
            404 => (
                "invalid_request_error",
                Some("model_not_found"),
                "The model does not exist or you do not have access to it.",
            ),
            409 => ("conflict_error", Some("conflict"), "The resource was changed by another request."),
            413 => ("invalid_request_error", Some("request_too_large"), "The request is too large."),
            422 => ("invalid_request_error", None, "The request was understood but cannot be processed."),
            429 => ("requests", Some("rate_limit_exceeded"), "Rate limit reached for requests."),
            503 => (
                "server_error",
                Some("overloaded"),
                "The engine is currently overloaded, please try again later.",
            ),
            500.. => ("server_error", None, "The server had an error while processing your request."),
            _ => ("invalid_request_error", None, "The request is invalid."),
        },
        Dialect::Anthropic => match status {
            401 => ("authentication_error", None, "invalid x-api-key"),
            402 => ("billing_error", None, "Your account cannot be billed."),
            403 => (
                "permission_error",
                None,
                "Your API key does not have permission to use the specified resource.",
            ),
            404 => ("not_found_error", None, "The requested resource could not be found."),
            409 => ("conflict_error", None, "The resource was changed by another request."),
            413 => ("request_too_large", None, "Request exceeds the maximum size."),
            429 => ("rate_limit_error", None, "This request would exceed your rate limit."),
            504 => ("timeout_error", None, "The request timed out."),
            529 => ("overloaded_error", None, "Overloaded"),
            500.. => ("api_error", None, "Internal server error"),
            _ => ("invalid_request_error", None, "The request is invalid."),
        },
    }
}
