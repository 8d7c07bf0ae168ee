//! Paths and headers of a dialect: what a request to a provider carries beside its body. The list of forwarded headers is an allow-list;
//! a credential, a cookie or an account's name must never be on it.

use crate::provider::anthropic::request::model::Model;
use outrigger_core::{Dialect, Endpoint};

/// The path of an endpoint at a provider of `dialect`, without the provider's prefix: of a call that is translated, that of its
/// counterpart.
pub fn path(dialect: Dialect, endpoint: Endpoint) -> &'static str {
    match (dialect, endpoint) {
        (_, Endpoint::Embeddings) => "/embeddings",
        (Dialect::OpenAi, Endpoint::Chat | Endpoint::Messages) => "/chat/completions",
        (Dialect::Anthropic, Endpoint::Chat | Endpoint::Messages) => "/messages",
    }
}

/// Name and value of the header by which a provider of `dialect` knows us.
pub fn authorize(dialect: Dialect, key: &str) -> (&'static str, String) {
    match dialect {
        Dialect::OpenAi => ("authorization", format!("Bearer {key}")),
        Dialect::Anthropic => ("x-api-key", key.to_owned()),
    }
}

/// A header that every request to a provider of `dialect` needs. `client` is the client's own value of it and wins; a translated call
/// has none.
pub fn fixed(dialect: Dialect, model: &str, client: Option<&str>) -> Option<(&'static str, String)> {
    match dialect {
        Dialect::OpenAi => None,
        Dialect::Anthropic => {
            // Older models are not served under the newer version everywhere.
            let of_model = || {
                if Model::named(model, false).version_2026_10 {
                    "2026-10-21"
                } else {
                    "2023-06-01"
                }
            };
            Some(("anthropic-version", client.unwrap_or_else(of_model).to_owned()))
        }
    }
}

/// Names, in lower case, of the client's headers that go on to a provider of the same dialect.
pub fn forwarded(dialect: Dialect) -> &'static [&'static str] {
    // Not OpenAI-Organization, OpenAI-Project or Anthropic-Workspace-Id: they name an account of the client's, and the key is ours.
    match dialect {
        Dialect::OpenAi => &["openai-beta", "idempotency-key", "x-client-request-id"],
        Dialect::Anthropic => &["anthropic-beta", "idempotency-key"],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clients_api_version_wins_over_the_models() {
        let version = |model, client| fixed(Dialect::Anthropic, model, client).unwrap().1;
        assert_eq!(version("claude-opus-4-8", None), "2026-10-21");
        assert_eq!(version("claude-sonnet-4-5", None), "2023-06-01");
        assert_eq!(version("claude-sonnet-4-5", Some("2026-10-21")), "2026-10-21");
        assert_eq!(fixed(Dialect::OpenAi, "gpt-4o", None), None);
    }

    #[test]
    fn no_credential_and_no_account_is_forwarded() {
        for name in [Dialect::OpenAi, Dialect::Anthropic].into_iter().flat_map(forwarded) {
            assert_eq!(*name, name.to_ascii_lowercase());
            for secret in [
                "auth",
                "api-key",
                "cookie",
                "organization",
                "project",
                "workspace",
                "stainless",
                "outrigger",
            ] {
                assert!(!name.contains(secret), "{name}");
            }
        }
    }

    #[test]
    fn a_translated_call_goes_to_the_counterpart_of_its_endpoint() {
        assert_eq!(path(Dialect::OpenAi, Endpoint::Messages), "/chat/completions");
        assert_eq!(path(Dialect::Anthropic, Endpoint::Chat), "/messages");
        assert_eq!(authorize(Dialect::OpenAi, "k"), ("authorization", "Bearer k".to_owned()));
        assert_eq!(authorize(Dialect::Anthropic, "k"), ("x-api-key", "k".to_owned()));
    }
}
