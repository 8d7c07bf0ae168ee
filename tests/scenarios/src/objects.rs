//! The objects that a scenario's data plane is given, as YAML. It must never set what a scenario does not speak of: the rest is the
//! defaults that users get.

use std::{fmt::Write as _, net::SocketAddr};

pub(crate) use outrigger_tests::target;

/// A `ProviderKey` with its Secret.
#[derive(Clone, Debug)]
pub(crate) struct Provider {
    name: String,
    at: SocketAddr,
    keys: Vec<(String, String)>,
    spec: String,
}

impl Provider {
    /// One that speaks OpenAI below `http://AT/NAME/v1` and has one key.
    pub(crate) fn new(name: &str, at: SocketAddr) -> Self {
        Self {
            name: name.to_owned(),
            at,
            keys: vec![("main".to_owned(), format!("sk-{name}-main"))],
            spec: String::new(),
        }
    }

    /// With these keys instead: names and bytes.
    pub(crate) fn keys(mut self, keys: Vec<(String, String)>) -> Self {
        self.keys = keys;
        self
    }

    /// What `model` costs there, in dollars per million tokens.
    pub(crate) fn price(self, model: &str, input: &str, output: &str) -> Self {
        self.spec(&format!(
            "pricing: {{ overrides: [{{ model: {model}, inputPerMTok: \"{input}\", outputPerMTok: \"{output}\" }}] }}"
        ))
    }

    /// One more line of its `spec`.
    pub(crate) fn spec(mut self, line: &str) -> Self {
        let _ = writeln!(self.spec, "  {line}");
        self
    }

    pub(crate) fn yaml(&self) -> String {
        let Self { name, at, keys, spec } = self;
        let refs: Vec<String> = keys
            .iter()
            .map(|(key, _)| format!("{{ name: {key}, secretRef: {{ name: {name}-keys, key: {key} }} }}"))
            .collect();
        let data: Vec<String> = keys.iter().map(|(key, bytes)| format!("{key}: {bytes}")).collect();
        format!(
            "apiVersion: outrigger.dev/v1alpha1
kind: ProviderKey
metadata: {{ name: {name} }}
spec:
  provider: custom
  endpoint: {{ baseURL: \"http://{at}/{name}/v1\", dialect: openai }}
  keys: [{}]
{spec}---
apiVersion: v1
kind: Secret
metadata: {{ name: {name}-keys, annotations: {{ outrigger.dev/origins: \"http://{at}\" }} }}
stringData: {{ {} }}
",
            refs.join(", "),
            data.join(", ")
        )
    }
}

/// A `ModelRoute` for the model of its name, with the body of its `spec` indented by two.
pub(crate) fn route_of(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: outrigger.dev/v1alpha1
kind: ModelRoute
metadata: {{ name: {name} }}
spec:
  models: [{name}]
{spec}
"
    )
}

/// One whose single rule tries these providers in order.
pub(crate) fn route(name: &str, ranked: &[&str], spec: &str) -> String {
    let targets: Vec<String> = ranked.iter().enumerate().map(|(rank, provider)| target(provider, rank)).collect();
    route_of(
        name,
        &format!("  rules: [{{ name: all, targets: [{}] }}]\n{spec}", targets.join(", ")),
    )
}

/// The baseline: everything to one provider, tried once.
pub(crate) fn fixed(name: &str, provider: &str) -> String {
    route(name, &[provider], "  attempts: { max: 1 }")
}
