//! What an error body says, in whatever shape the provider has it. It must never fail: what it cannot read says nothing.

use serde_json::Value;

/// Longest text that is looked at.
const MAX_TEXT: usize = 4096;

/// An error, as far as its body tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) code: Option<String>,
    pub(super) kind: Option<String>,
    pub(super) param: Option<String>,
    pub(super) message: Option<String>,
    /// Every word that may name the error, lower case: code, type, the finer codes inside `details` and `metadata`.
    pub(super) names: Vec<String>,
    /// The message, lower case.
    pub(super) text: String,
    /// A status that the body itself names.
    status: Option<u16>,
}

impl Said {
    /// Known shapes, beside the two dialects' own: `error` as a text (xAI, Ollama), everything at the top level (Mistral, DashScope,
    /// vLLM), `detail` (422 of FastAPI servers), `base_resp` (MiniMax), `status_code` beside the error (Cerebras).
    pub(super) fn read(body: &[u8]) -> Self {
        let mut said = Self::default();
        match serde_json::from_slice(body.trim_ascii()) {
            Ok(Value::Object(top)) => {
                match top.get("error") {
                    Some(Value::Object(error)) => said.object(error),
                    Some(Value::String(text)) => {
                        said.message = Some(text.clone());
                        said.object(&top);
                    }
                    _ => said.object(&top),
                }
                if let Some(Value::Object(base)) = top.get("base_resp") {
                    said.name(base.get("status_code"));
                    said.message = said.message.or_else(|| string(base.get("status_msg")));
                }
                if let Some(detail) = top.get("detail").filter(|_| said.message.is_none()) {
                    said.message = Some(string(Some(detail)).unwrap_or_else(|| detail.to_string()));
                }
                said.status = said.status.or_else(|| status(top.get("status_code")));
            }
            Ok(Value::String(text)) => said.message = Some(text),
            Ok(_) => {}
            // A page or plain text: it may name an error, but it is not for the caller.
            Err(_) => said.text = String::from_utf8_lossy(body).into_owned(),
        }
        if let Some(message) = &said.message {
            said.text.clone_from(message);
        }
        said.text = said.text.chars().take(MAX_TEXT).collect::<String>().to_lowercase();
        said
    }

    fn object(&mut self, error: &serde_json::Map<String, Value>) {
        self.name(error.get("code"));
        self.name(error.get("type"));
        self.code = string(error.get("code"));
        self.kind = string(error.get("type"));
        self.param = string(error.get("param"));
        self.message = self.message.take().or_else(|| string(error.get("message")));
        self.status = status(error.get("code"));
        for inner in ["details", "metadata"] {
            if let Some(Value::Object(inner)) = error.get(inner) {
                for (key, value) in inner {
                    self.names.push(key.to_lowercase());
                    self.name(Some(value));
                }
            }
        }
    }

    fn name(&mut self, value: Option<&Value>) {
        match value {
            Some(Value::String(name)) if name.len() <= 64 => self.names.push(name.to_lowercase()),
            Some(Value::Number(number)) => self.names.push(number.to_string()),
            _ => {}
        }
    }

    /// The status of an error that came without one of its own.
    pub(super) fn status(&self) -> Option<u16> {
        self.status.or_else(|| {
            let known = |name: &String| STATUSES.iter().find(|(known, _)| known == name);
            self.names.iter().find_map(known).map(|(_, status)| *status)
        })
    }
}

/// What the types of both dialects stand for. Finer codes come before the general type beside them, as `names` holds them in that order.
const STATUSES: [(&str, u16); 22] = [
    ("rate_limit_exceeded", 429),
    ("rate_limit_error", 429),
    ("too_many_requests", 429),
    ("too_many_requests_error", 429),
    ("insufficient_quota", 429),
    ("overloaded_error", 529),
    ("overloaded", 503),
    ("server_error", 500),
    ("api_error", 500),
    ("internal_error", 500),
    ("internal_server_error", 500),
    ("internalservererror", 500),
    ("timeout_error", 504),
    ("billing_error", 402),
    ("authentication_error", 401),
    ("invalid_api_key", 401),
    ("permission_error", 403),
    ("not_found_error", 404),
    ("model_not_found", 404),
    ("request_too_large", 413),
    ("invalid_request_error", 400),
    ("badrequesterror", 400),
];

fn string(value: Option<&Value>) -> Option<String> {
    value?.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

fn status(value: Option<&Value>) -> Option<u16> {
    let number = match value? {
        Value::Number(number) => number.as_u64()?,
        Value::String(text) => text.parse().ok()?,
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    u16::try_from(number).ok().filter(|status| (400..600).contains(status))
}
