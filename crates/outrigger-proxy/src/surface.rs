//! What a request asks for, told from its method, path and headers alone.

use crate::names;
use http::{HeaderMap, Method};
use outrigger_core::{Dialect, Endpoint};

/// An endpoint that routes serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Api {
    /// `POST /chat/completions`
    Chat,
    /// `POST /messages`
    Messages,
    /// `POST /messages/count_tokens`
    CountTokens,
    /// `POST /embeddings`
    Embeddings,
}

impl Api {
    pub(crate) const ALL: [Self; 4] = [Self::Chat, Self::Messages, Self::CountTokens, Self::Embeddings];

    /// The name in metrics and records.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Messages => "messages",
            Self::CountTokens => "count_tokens",
            Self::Embeddings => "embeddings",
        }
    }

    /// Position in [`Self::ALL`].
    pub(crate) fn index(self) -> usize {
        match self {
            Self::Chat => 0,
            Self::Messages => 1,
            Self::CountTokens => 2,
            Self::Embeddings => 3,
        }
    }

    /// What rules match on.
    pub(crate) fn endpoint(self) -> Endpoint {
        match self {
            Self::Chat => Endpoint::Chat,
            Self::Messages | Self::CountTokens => Endpoint::Messages,
            Self::Embeddings => Endpoint::Embeddings,
        }
    }

    /// The dialect that the endpoint itself belongs to.
    pub(crate) fn dialect(self) -> Dialect {
        match self {
            Self::Chat | Self::Embeddings => Dialect::OpenAi,
            Self::Messages | Self::CountTokens => Dialect::Anthropic,
        }
    }
}

/// Where a request belongs.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Surface<'a> {
    /// A routed call.
    Call(Api),
    /// `GET /models`
    Models,
    /// `GET /models/{id}`; ids may contain `/`.
    Model(&'a str),
    /// One of ours with the wrong method; the right one.
    WrongMethod(&'static str),
    /// Anything else: a pass-through, where a provider's key names its path.
    Other,
}

/// The path without the optional `/v1`.
pub(crate) fn bare(path: &str) -> &str {
    match path.strip_prefix("/v1") {
        Some(rest) if rest.starts_with('/') => rest,
        _ => path,
    }
}

/// Tells where a request belongs.
pub(crate) fn of<'a>(method: &Method, path: &'a str) -> Surface<'a> {
    let path = bare(path);
    let api = match path {
        "/chat/completions" => Some(Api::Chat),
        "/messages" => Some(Api::Messages),
        "/messages/count_tokens" => Some(Api::CountTokens),
        "/embeddings" => Some(Api::Embeddings),
        _ => None,
    };
    if let Some(api) = api {
        return if method == Method::POST {
            Surface::Call(api)
        } else {
            Surface::WrongMethod("POST")
        };
    }
    let model = match path.strip_prefix("/models") {
        Some("" | "/") => None,
        Some(rest) => match rest.strip_prefix('/') {
            Some(id) => Some(id),
            None => return Surface::Other,
        },
        None => return Surface::Other,
    };
    match (method, model) {
        (&Method::GET | &Method::HEAD, None) => Surface::Models,
        (&Method::GET | &Method::HEAD, Some(id)) => Surface::Model(id),
        // Fine-tuned models are deleted with DELETE /models/{id}: that is the provider's affair.
        (_, Some(_)) => Surface::Other,
        (_, None) => Surface::WrongMethod("GET"),
    }
}

/// The client's dialect: by the endpoint where it belongs to one, else Anthropic if one of its headers is there.
pub(crate) fn dialect(surface: &Surface<'_>, headers: &HeaderMap) -> Dialect {
    if let Surface::Call(api) = surface {
        return api.dialect();
    }
    if headers.contains_key(&names::ANTHROPIC_VERSION) || headers.contains_key(&names::API_KEY) {
        Dialect::Anthropic
    } else {
        Dialect::OpenAi
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_endpoint_is_served_with_and_without_v1() {
        for prefix in ["", "/v1"] {
            for (path, api) in [
                ("/chat/completions", Api::Chat),
                ("/messages", Api::Messages),
                ("/messages/count_tokens", Api::CountTokens),
                ("/embeddings", Api::Embeddings),
            ] {
                assert_eq!(of(&Method::POST, &format!("{prefix}{path}")), Surface::Call(api));
                assert_eq!(of(&Method::GET, &format!("{prefix}{path}")), Surface::WrongMethod("POST"));
            }
            assert_eq!(of(&Method::GET, &format!("{prefix}/models")), Surface::Models);
            assert_eq!(of(&Method::GET, &format!("{prefix}/models/org/name")), Surface::Model("org/name"));
        }
        assert_eq!(of(&Method::GET, "/v1/modelsx"), Surface::Other);
        assert_eq!(of(&Method::POST, "/v1x/messages"), Surface::Other);
        assert_eq!(of(&Method::POST, "/v1/files"), Surface::Other);
    }
}
