//! The demo's providers: the bundled samples with each provider's address replaced by a scripted one of the same name.

use anyhow::Context as _;
use outrigger_config::{Compiled, compile, load_text, v1alpha1::ProviderEndpoint};
use outrigger_core::Secret;
use outrigger_mock::Mock;
use serde_json::json;

/// The bundled samples.
const SAMPLES: [(&str, &str); 2] = [
    ("deploy/samples/keys.yaml", include_str!("../../../../deploy/samples/keys.yaml")),
    ("deploy/samples/routes.yaml", include_str!("../../../../deploy/samples/routes.yaml")),
];

/// The key that every scripted provider takes, and nobody else.
const KEY: &str = "sk-demo";

/// How fast and how talkative each provider is.
pub(super) fn script(mock: &Mock) -> anyhow::Result<()> {
    for name in ["openai", "anthropic", "mistral"] {
        set_down(mock, name, false)?;
    }
    Ok(())
}

/// Takes a provider down, or brings it back.
pub(super) fn set_down(mock: &Mock, name: &str, down: bool) -> anyhow::Result<()> {
    let healthy = match name {
        "openai" => json!({ "latency_ms": 90, "chunk_ms": 12, "chunks": 12, "usage": { "input": 900, "output": 220 } }),
        "anthropic" => json!({ "latency_ms": 120, "chunk_ms": 10, "chunks": 16, "usage": { "input": 900, "output": 240 } }),
        _ => json!({ "latency_ms": 35, "chunk_ms": 4, "chunks": 8, "usage": { "input": 900, "output": 120 } }),
    };
    let mut behaviour = if down { json!({ "reset": "before_head" }) } else { healthy };
    behaviour["keys"] = json!([KEY]);
    mock.set(name, serde_json::from_value(behaviour).context("a behaviour")?);
    Ok(())
}

/// The samples, compiled against the scripted providers.
pub(super) fn routes(mock: &Mock) -> anyhow::Result<Compiled> {
    let mut loaded = load_text(&SAMPLES);
    for key in &mut loaded.objects.keys {
        let spec = &mut key.object.spec;
        let endpoint = spec.endpoint.get_or_insert_with(ProviderEndpoint::default);
        endpoint.base_url = Some(mock.url(&format!("{}/v1", spec.provider)));
        for entry in spec.keys.clone() {
            loaded.objects.secrets.retain(|secret| secret.object.name != entry.secret_ref.name);
        }
    }
    let entries: Vec<_> = loaded.objects.keys.iter().flat_map(|key| key.object.spec.keys.clone()).collect();
    for entry in entries {
        loaded.objects.set_secret("default", &entry.secret_ref.name, &entry.secret_ref.key, Secret::new(KEY.to_owned()));
    }
    Ok(compile(&loaded.objects, "default"))
}
