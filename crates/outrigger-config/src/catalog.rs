//! What is known of providers and models without asking anybody: base URLs, quirks, windows, prices.
//!
//! The data are two embedded CSV files, parsed on first use. A fact that is not stated is absent; it must never become a zero.

mod parse;
mod render;

pub use render::render;

use crate::units::BaseUrl;
use outrigger_core::{Dialect, ModelFacts, Quirks};
use std::sync::OnceLock;

/// A provider that a `ProviderKey` may name without an endpoint of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// The name to write: `openai`.
    pub name: &'static str,
    /// The name for people: `OpenAI`.
    pub title: &'static str,
    /// Everything in front of the endpoint.
    pub base_url: BaseUrl,
    /// What it speaks there.
    pub dialect: Dialect,
    /// What it does differently from its dialect's origin.
    pub quirks: Quirks,
}

/// A model at a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// The provider's name.
    pub provider: &'static str,
    /// The provider's name of the model.
    pub name: &'static str,
    /// What it is for.
    pub mode: Mode,
    /// What is known of it; the price is the provider's own.
    pub facts: ModelFacts,
    /// The last day on which the provider serves it, as `YYYY-MM-DD`, where one is announced.
    pub retires: Option<&'static str>,
}

/// What a model is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// Chat completions or messages.
    Chat,
    /// Embeddings.
    Embedding,
    /// Only an endpoint that routes do not serve.
    Responses,
}

/// Every provider, by name.
pub fn providers() -> &'static [Provider] {
    static PROVIDERS: OnceLock<Vec<Provider>> = OnceLock::new();
    PROVIDERS.get_or_init(|| parse::rows(include_str!("../catalog/providers.csv"), parse::provider, |provider| provider.name))
}

/// Every model, by provider and name.
pub fn models() -> &'static [Model] {
    static MODELS: OnceLock<Vec<Model>> = OnceLock::new();
    MODELS.get_or_init(|| {
        parse::rows(include_str!("../catalog/models.csv"), parse::model, |model| {
            (model.provider, model.name)
        })
    })
}

/// The provider of that name.
pub fn provider(name: &str) -> Option<&'static Provider> {
    let all = providers();
    all.binary_search_by(|provider| provider.name.cmp(name))
        .ok()
        .and_then(|at| all.get(at))
}

/// The models of a provider, by name; empty where it is unknown.
pub fn models_of(provider: &str) -> &'static [Model] {
    let all = models();
    let start = all.partition_point(|model| model.provider < provider);
    let end = all.partition_point(|model| model.provider <= provider);
    all.get(start..end).unwrap_or_default()
}

/// A model at a provider.
pub fn model(provider: &str, name: &str) -> Option<&'static Model> {
    let all = models();
    let at = all
        .binary_search_by(|model| (model.provider, model.name).cmp(&(provider, name)))
        .ok()?;
    all.get(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use outrigger_core::{PicoUsd, Price, Scheme};

    #[test]
    fn every_row_of_the_catalogue_is_read() {
        let data_rows = |text: &str| text.lines().filter(|line| !line.starts_with('#')).count() - 1;
        assert_eq!(providers().len(), data_rows(include_str!("../catalog/providers.csv")));
        assert_eq!(models().len(), data_rows(include_str!("../catalog/models.csv")));
    }

    #[test]
    fn every_model_is_found_by_its_own_name_and_belongs_to_a_known_provider() {
        for row in models() {
            assert_eq!(model(row.provider, row.name), Some(row));
            assert!(provider(row.provider).is_some(), "{}", row.provider);
        }
        for row in providers() {
            assert!(!models_of(row.name).is_empty(), "{}", row.name);
            assert!(models_of(row.name).iter().all(|model| model.provider == row.name));
            assert_eq!(row.base_url.origin.scheme, Scheme::Https);
        }
        assert_eq!(model("openai", "nope"), None);
        assert!(models_of("nope").is_empty());
    }

    #[test]
    fn facts_keep_their_units() {
        let facts = &model("openai", "gpt-4o-mini").unwrap().facts;
        assert_eq!(facts.context_window, Some(128_000));
        assert_eq!(
            facts.price,
            Some(Price {
                input: PicoUsd(150_000),
                output: PicoUsd(600_000),
                cached_read: Some(PicoUsd(75_000)),
                cache_write: None,
            })
        );
        assert!(!facts.reasoning);
        assert_eq!(facts.tools, Some(true));
    }

    #[test]
    fn what_is_not_stated_is_unknown_and_never_zero() {
        let unpriced = model("fireworks", "accounts/fireworks/models/qwen3-embedding-4b").unwrap();
        assert_eq!(unpriced.facts.price, None);
        assert_eq!(model("perplexity", "sonar").unwrap().facts.tools, None);
    }

    #[test]
    fn a_provider_brings_its_quirks() {
        let mistral = provider("mistral").unwrap();
        assert!(!mistral.quirks.stream_options && mistral.quirks.usage_unasked && !mistral.quirks.max_completion_tokens);
        assert!(mistral.quirks.drops.iter().any(|field| field == "seed"));
        assert_eq!(provider("openai").unwrap().quirks, Quirks::default());
    }
}
