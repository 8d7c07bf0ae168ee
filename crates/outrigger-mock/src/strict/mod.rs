//! What a strict provider complains about: the tests' proof that a gateway forwards what it should and nothing else.
//!
//! Decides which requests a careful gateway would never send. It must never object to what an official SDK may legitimately ask for.

mod anthropic;
mod openai;

use http::{HeaderMap, Method, header};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value};

use crate::behaviour::{Behaviour, Gzip};
use crate::place::{Dialect, Endpoint};

/// The key that injected applications carry; it means nothing to a provider.
const PLACEHOLDER_KEY: &str = "sk-outrigger";
/// Headers that belong to one hop, or to the client alone.
const PRIVATE: [&str; 13] = [
    "cookie",
    "keep-alive",
    "proxy-authorization",
    "proxy-authenticate",
    "proxy-connection",
    "te",
    "trailer",
    "forwarded",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
];
/// Headers that must not come twice.
const SINGLE: [&str; 8] = [
    "authorization",
    "x-api-key",
    "content-type",
    "content-length",
    "host",
    "anthropic-version",
    "accept-encoding",
    "user-agent",
];

/// The fields of a JSON object, and the names that came more than once.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    pub(crate) map: Map<String, Value>,
    repeated: Vec<String>,
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collector;
        impl<'de> Visitor<'de> for Collector {
            type Value = Fields;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Fields, A::Error> {
                let mut fields = Fields::default();
                while let Some((name, value)) = access.next_entry::<String, Value>()? {
                    if fields.map.insert(name.clone(), value).is_some() {
                        fields.repeated.push(name);
                    }
                }
                Ok(fields)
            }
        }
        deserializer.deserialize_map(Collector)
    }
}

/// Everything wrong with the head of a request.
pub(crate) fn of_headers(method: &Method, endpoint: &Endpoint, headers: &HeaderMap, behaviour: &Behaviour) -> Vec<String> {
    let mut complaints = Vec::new();
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    for name in headers.keys().map(header::HeaderName::as_str) {
        let leaked = name.starts_with("x-outrigger-") || name.starts_with("x-stainless-") || PRIVATE.contains(&name);
        if leaked {
            complaints.push(format!("header `{name}` must not be forwarded"));
        }
    }
    for name in SINGLE {
        if headers.get_all(name).iter().count() > 1 {
            complaints.push(format!("header `{name}` came more than once"));
        }
    }
    if text("authorization").ends_with(PLACEHOLDER_KEY) || text("x-api-key") == PLACEHOLDER_KEY {
        complaints.push("the client's placeholder key was forwarded as a credential".to_owned());
    }
    if headers.contains_key("authorization") && headers.contains_key("x-api-key") {
        complaints.push("both `authorization` and `x-api-key` were sent".to_owned());
    }
    let coding = text("accept-encoding");
    if behaviour.gzip == Gzip::Never && !coding.is_empty() && coding != "identity" {
        complaints.push(format!(
            "`accept-encoding: {coding}` asks for an answer that a gateway cannot read; send identity"
        ));
    }
    let upgrades = *endpoint == Endpoint::Realtime;
    let connection = text("connection").to_ascii_lowercase();
    if !upgrades && (headers.contains_key("upgrade") || !matches!(connection.as_str(), "" | "keep-alive" | "close")) {
        complaints.push("hop-by-hop headers `connection` or `upgrade` were forwarded".to_owned());
    }
    if endpoint.takes_json() && method == Method::POST {
        complaints.extend(of_body_headers(headers));
    }
    if endpoint.dialect(headers) == Dialect::Anthropic && endpoint.takes_json() && !headers.contains_key("anthropic-version") {
        complaints.push("header `anthropic-version` is required".to_owned());
    }
    complaints
}

fn of_body_headers(headers: &HeaderMap) -> Vec<String> {
    let mut complaints = Vec::new();
    if !headers.contains_key(header::CONTENT_LENGTH) {
        complaints.push("header `content-length` is missing".to_owned());
    }
    if headers.contains_key(header::TRANSFER_ENCODING) {
        complaints.push("a JSON body was sent with `transfer-encoding`".to_owned());
    }
    if headers.contains_key(header::CONTENT_ENCODING) {
        complaints.push("a JSON body was sent with `content-encoding`".to_owned());
    }
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/json") {
        complaints.push(format!("`content-type` must be application/json, not `{kind}`"));
    }
    complaints
}

/// Everything wrong with a JSON body.
pub(crate) fn of_body(endpoint: &Endpoint, headers: &HeaderMap, fields: &Fields, behaviour: &Behaviour) -> Vec<String> {
    let (known, mut complaints): (&[&str], _) = match endpoint {
        Endpoint::Chat => (&openai::CHAT_FIELDS, openai::of_chat(&fields.map)),
        Endpoint::Embeddings => (&openai::EMBEDDING_FIELDS, openai::of_embeddings(&fields.map)),
        Endpoint::Messages => (&anthropic::FIELDS, anthropic::of_messages(&fields.map, headers, true)),
        Endpoint::CountTokens => (&anthropic::FIELDS, anthropic::of_messages(&fields.map, headers, false)),
        Endpoint::Models
        | Endpoint::Model(_)
        | Endpoint::Files
        | Endpoint::File(_)
        | Endpoint::FileContent(_)
        | Endpoint::Transcriptions
        | Endpoint::Realtime
        | Endpoint::Unknown => return Vec::new(),
    };
    let accepted = |name: &str| known.contains(&name) || behaviour.accept_fields.iter().any(|field| field == name);
    complaints.extend(fields.repeated.iter().map(|name| format!("field `{name}` came more than once")));
    complaints.extend(
        fields
            .map
            .keys()
            .filter(|name| !accepted(name))
            .map(|name| format!("unknown field `{name}`")),
    );
    complaints
}

/// A required field is missing or null.
fn missing(fields: &Map<String, Value>, name: &str) -> Option<String> {
    fields
        .get(name)
        .is_none_or(Value::is_null)
        .then(|| format!("field `{name}` is required"))
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}
