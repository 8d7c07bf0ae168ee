//! Manifests and request bodies, as short as a test wants them.

use outrigger_mock::Mock;
use serde_json::{Value, json};

/// The key that scripted providers are called with.
pub const KEY: &str = "sk-test-provider-key";

/// A `ProviderKey` `name` with its Secret that speaks OpenAI to the scripted provider of the same name.
pub fn provider(mock: &Mock, name: &str) -> String {
    provider_with(mock, name, "")
}

/// As [`provider`], with more lines for its `spec`, indented by two.
pub fn provider_with(mock: &Mock, name: &str, spec: &str) -> String {
    manifest(mock, name, "openai", spec)
}

/// As [`provider`], speaking Anthropic.
pub fn anthropic_provider(mock: &Mock, name: &str) -> String {
    manifest(mock, name, "anthropic", "")
}

fn manifest(mock: &Mock, name: &str, dialect: &str, spec: &str) -> String {
    format!(
        "apiVersion: outrigger.dev/v1alpha1
kind: ProviderKey
metadata: {{ name: {name} }}
spec:
  provider: custom
  endpoint: {{ baseURL: \"http://{}/{name}/v1\", dialect: {dialect} }}
  keys: [{{ name: main, secretRef: {{ name: {name}-keys, key: main }} }}]
{spec}
---
apiVersion: v1
kind: Secret
metadata: {{ name: {name}-keys, annotations: {{ outrigger.dev/origins: \"http://{}\" }} }}
stringData: {{ main: {KEY} }}
",
        mock.addr, mock.addr
    )
}

/// A target line: the key `name`, a model of the same name, a priority.
pub fn target(name: &str, priority: usize) -> String {
    format!("{{ keyRef: {{ name: {name} }}, model: {name}-model, priority: {priority} }}")
}

/// A `ModelRoute` named after its model, with one rule whose targets are tried in order.
pub fn route(model: &str, targets: &[&str]) -> String {
    route_with(model, targets, "")
}

/// As [`route`], with more lines for its `spec`, indented by two.
pub fn route_with(model: &str, targets: &[&str], spec: &str) -> String {
    let targets: Vec<_> = targets.iter().enumerate().map(|(priority, name)| target(name, priority)).collect();
    format!(
        "apiVersion: outrigger.dev/v1alpha1
kind: ModelRoute
metadata: {{ name: {model} }}
spec:
  models: [{model}]
  rules:
    - name: all
      targets: [{}]
{spec}
",
        targets.join(", ")
    )
}

/// A chat completion request.
pub fn chat(model: &str, text: &str) -> Value {
    json!({ "model": model, "messages": [{ "role": "user", "content": text }] })
}

/// A Messages request.
pub fn messages(model: &str, text: &str) -> Value {
    json!({ "model": model, "max_tokens": 64, "messages": [{ "role": "user", "content": text }] })
}
