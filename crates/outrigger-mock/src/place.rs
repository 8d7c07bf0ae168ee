//! Which provider and which endpoint a path means.
//!
//! Decides from the path alone, with or without `/v1`. It must never fail: what it does not know is [`Endpoint::Unknown`].

use http::HeaderMap;

/// Name of the provider when the base URL names none, as in `http://HOST:PORT/v1`.
pub(crate) const UNNAMED: &str = "default";

/// The two shapes of requests, answers and errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    OpenAi,
    Anthropic,
}

/// What a path asks for, below the provider's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Chat,
    Embeddings,
    Messages,
    CountTokens,
    Models,
    Model(String),
    Files,
    File(String),
    FileContent(String),
    Transcriptions,
    Realtime,
    Unknown,
}

impl Endpoint {
    /// Endpoints whose body is one JSON object, and whose rules are known.
    pub(crate) fn takes_json(&self) -> bool {
        matches!(self, Self::Chat | Self::Embeddings | Self::Messages | Self::CountTokens)
    }

    /// Whether clients POST to it; `None` where both methods mean something.
    pub(crate) fn is_post(&self) -> Option<bool> {
        match self {
            Self::Chat | Self::Embeddings | Self::Messages | Self::CountTokens | Self::Transcriptions => Some(true),
            Self::Models | Self::Model(_) | Self::FileContent(_) | Self::Realtime => Some(false),
            Self::Files | Self::File(_) | Self::Unknown => None,
        }
    }

    /// The dialect of its answers and errors.
    pub(crate) fn dialect(&self, headers: &HeaderMap) -> Dialect {
        match self {
            Self::Messages | Self::CountTokens => Dialect::Anthropic,
            Self::Chat | Self::Embeddings | Self::Transcriptions | Self::Realtime => Dialect::OpenAi,
            Self::Models | Self::Model(_) | Self::Files | Self::File(_) | Self::FileContent(_) | Self::Unknown => {
                let anthropic = headers.contains_key("anthropic-version") || headers.contains_key("x-api-key");
                if anthropic { Dialect::Anthropic } else { Dialect::OpenAi }
            }
        }
    }
}

/// Splits `/<name>/v1/chat/completions` into provider, the path below it, and the endpoint.
pub(crate) fn locate(path: &str) -> (&str, &str, Endpoint) {
    let (first, rest) = split(path);
    let whole = endpoint(path);
    // Without a name the first segment is already a part of the endpoint.
    if first == "v1" || whole != Endpoint::Unknown {
        (UNNAMED, path, whole)
    } else {
        (first, rest, endpoint(rest))
    }
}

fn endpoint(path: &str) -> Endpoint {
    let (first, rest) = split(path);
    let (first, rest) = if first == "v1" { split(rest) } else { (first, rest) };
    let rest = rest.trim_start_matches('/');
    match (first, rest) {
        ("chat", "completions") => Endpoint::Chat,
        ("embeddings", "") => Endpoint::Embeddings,
        ("messages", "") => Endpoint::Messages,
        ("messages", "count_tokens") => Endpoint::CountTokens,
        ("models", "") => Endpoint::Models,
        ("models", id) => Endpoint::Model(id.replace("%2F", "/").replace("%2f", "/")),
        ("files", "") => Endpoint::Files,
        ("files", id) => match id.strip_suffix("/content") {
            Some(id) => Endpoint::FileContent(id.to_owned()),
            None => Endpoint::File(id.to_owned()),
        },
        ("audio", "transcriptions" | "translations") => Endpoint::Transcriptions,
        ("realtime", "") => Endpoint::Realtime,
        _ => Endpoint::Unknown,
    }
}

/// The first segment of a path, and what follows it.
fn split(path: &str) -> (&str, &str) {
    let path = path.strip_prefix('/').unwrap_or(path);
    match path.find('/') {
        Some(at) => path.split_at(at),
        None => (path, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_provider_and_endpoint_with_or_without_v1() {
        let model = |id: &str| Endpoint::Model(id.to_owned());
        for (path, name, below, endpoint) in [
            ("/main/v1/chat/completions", "main", "/v1/chat/completions", Endpoint::Chat),
            ("/main/chat/completions", "main", "/chat/completions", Endpoint::Chat),
            ("/v1/chat/completions", "default", "/v1/chat/completions", Endpoint::Chat),
            ("/messages", "default", "/messages", Endpoint::Messages),
            (
                "/a/v1/messages/count_tokens",
                "a",
                "/v1/messages/count_tokens",
                Endpoint::CountTokens,
            ),
            ("/a/v1/models", "a", "/v1/models", Endpoint::Models),
            ("/a/v1/models/org/name", "a", "/v1/models/org/name", model("org/name")),
            ("/a/models/org%2Fname", "a", "/models/org%2Fname", model("org/name")),
            (
                "/a/files/file-1/content",
                "a",
                "/files/file-1/content",
                Endpoint::FileContent("file-1".to_owned()),
            ),
            (
                "/a/v1/audio/transcriptions",
                "a",
                "/v1/audio/transcriptions",
                Endpoint::Transcriptions,
            ),
            ("/a/v1/realtime", "a", "/v1/realtime", Endpoint::Realtime),
            ("/a", "a", "", Endpoint::Unknown),
            ("/a/v1/batches", "a", "/v1/batches", Endpoint::Unknown),
            ("/", "", "", Endpoint::Unknown),
        ] {
            assert_eq!(locate(path), (name, below, endpoint), "{path}");
        }
    }
}
