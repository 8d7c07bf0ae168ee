//! The demo's providers: the bundled samples with each provider's address replaced by a scripted one of the same name.

use anyhow::Context as _;
use outrigger_config::{
    compile::{Compiled, compile},
    load::load_texts,
    v1alpha1::ProviderEndpoint,
};
use outrigger_core::Secret;
use outrigger_mock::Mock;
use serde_json::json;

/// The bundled samples.
const SAMPLES: [(&str, &str); 6] = [
    ("openai.yaml", include_str!("../../../../deploy/samples/openai.yaml")),
    ("anthropic.yaml", include_str!("../../../../deploy/samples/anthropic.yaml")),
    ("mistral.yaml", include_str!("../../../../deploy/samples/mistral.yaml")),
    ("assistant.yaml", include_str!("../../../../deploy/samples/assistant.yaml")),
    ("triage.yaml", include_str!("../../../../deploy/samples/triage.yaml")),
    ("embeddings.yaml", include_str!("../../../../deploy/samples/embeddings.yaml")),
];

/// The key that every scripted provider takes at first, and nobody else.
pub(super) const KEY: &str = "sk-demo";
/// The key that takes its place at one of them.
pub(super) const NEW_KEY: &str = "sk-demo-rotated";

/// How fast and how talkative each provider is.
pub(super) fn script(mock: &Mock) -> anyhow::Result<()> {
    for name in ["openai", "anthropic", "mistral"] {
        set(mock, name, &[KEY], false)?;
    }
    Ok(())
}

/// Sets which keys a provider takes; takes it down, or brings it back.
pub(super) fn set(mock: &Mock, name: &str, keys: &[&str], down: bool) -> anyhow::Result<()> {
    let behaviour = match name {
        _ if down => json!({ "keys": keys, "reset": "before_head" }),
        "openai" => json!({ "keys": keys, "latency_ms": 90, "chunk_ms": 12, "chunks": 12, "usage": { "input": 900, "output": 220 } }),
        "anthropic" => json!({ "keys": keys, "latency_ms": 120, "chunk_ms": 10, "chunks": 16, "usage": { "input": 900, "output": 240 } }),
        _ => json!({ "keys": keys, "latency_ms": 35, "chunk_ms": 4, "chunks": 8, "usage": { "input": 900, "output": 120 } }),
    };
    mock.set(name, serde_json::from_value(behaviour).context("a behaviour")?);
    Ok(())
}

/// The samples, compiled against the scripted providers. `openai` is the key for that one.
pub(super) fn routes(mock: &Mock, openai: &str) -> Compiled {
    let mut objects = load_texts(SAMPLES).objects;
    let mut named = Vec::new();
    for key in &mut objects.keys {
        let spec = &mut key.object.spec;
        let endpoint = spec.endpoint.get_or_insert_with(ProviderEndpoint::default);
        endpoint.base_url = Some(mock.url(&format!("{}/v1", spec.provider)));
        let bytes = if spec.provider == "openai" { openai } else { KEY };
        named.extend(spec.keys.iter().map(|entry| (entry.secret_ref.clone(), bytes)));
    }
    for (secret, bytes) in named {
        objects.set_secret("default", &secret.name, &secret.key, Secret::new(bytes.to_owned()));
    }
    compile(&objects, "default")
}
