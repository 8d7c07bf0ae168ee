//! What a container's environment gets. *Unset* means absent from the container's own `env`: what an image or an `envFrom` sets cannot be seen
//! from here, and is overridden. A value that somebody wrote is never changed, only added to where it is a list of hosts.

use super::annotations::{Client, Wishes};
use serde_json::{Value, json};

/// No provider takes it; the sidecar puts the real key in.
const PLACEHOLDER: &str = "sk-outrigger";
/// Where variables for proxies are read.
const PROXIES: [&str; 8] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "ALL_PROXY",
    "all_proxy",
    NO_PROXY[0],
    NO_PROXY[1],
];
const NO_PROXY: [&str; 2] = ["NO_PROXY", "no_proxy"];
const LOCAL: [&str; 2] = ["127.0.0.1", "localhost"];

/// The variables of one SDK.
struct Variables {
    /// The one that we set.
    base: &'static str,
    /// Another that people set, by which LangChain is led.
    alias: &'static str,
    key: &'static str,
    path: &'static str,
}

const fn variables(client: Client) -> Variables {
    match client {
        Client::OpenAi => Variables {
            base: "OPENAI_BASE_URL",
            alias: "OPENAI_API_BASE",
            key: "OPENAI_API_KEY",
            path: "/v1",
        },
        Client::Anthropic => Variables {
            base: "ANTHROPIC_BASE_URL",
            alias: "ANTHROPIC_API_URL",
            key: "ANTHROPIC_API_KEY",
            path: "",
        },
    }
}

/// What is to be said of a container.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Noted {
    pub(super) warnings: Vec<String>,
    /// Variables that lead elsewhere.
    pub(super) foreign: Vec<String>,
}

/// Adds what is missing.
pub(super) fn complete(env: &mut Vec<Value>, wishes: &Wishes) -> Noted {
    let mut noted = Noted {
        foreign: foreign(env, wishes),
        ..Noted::default()
    };
    for client in &wishes.clients {
        let names = variables(*client);
        let leads_elsewhere = |name: &str| noted.foreign.iter().any(|foreign| foreign == name);
        // Whoever leads this SDK elsewhere does so with a key of their own.
        if leads_elsewhere(names.base) || leads_elsewhere(names.alias) {
            continue;
        }
        if position(env, names.base).is_none() && position(env, names.alias).is_none() {
            // 127.0.0.1 also where pods have IPv6 addresses alone: loopback has both.
            env.push(json!({"name": names.base, "value": format!("http://127.0.0.1:{}{}", wishes.port, names.path)}));
        }
        if position(env, names.key).is_none() {
            env.push(json!({"name": names.key, "value": PLACEHOLDER}));
        }
    }
    spare_loopback(env, &mut noted);
    noted
}

/// The base URLs in `env` that lead past the sidecar.
pub(super) fn foreign(env: &[Value], wishes: &Wishes) -> Vec<String> {
    let names = wishes.clients.iter().flat_map(|client| {
        let names = variables(*client);
        [names.base, names.alias]
    });
    names
        .filter(|name| {
            position(env, name)
                .and_then(|at| env.get(at))
                .is_some_and(|set| !is_ours(set, wishes.port))
        })
        .map(str::to_owned)
        .collect()
}

/// Whether a variable leads to the sidecar; of what comes from elsewhere nobody can tell.
fn is_ours(variable: &Value, port: u16) -> bool {
    let value = variable.get("value").and_then(Value::as_str).unwrap_or_default();
    let Some(rest) = value.strip_prefix("http://") else { return false };
    let authority = rest.split('/').next().unwrap_or_default();
    ["127.0.0.1", "localhost", "[::1]"]
        .iter()
        .any(|host| authority == format!("{host}:{port}"))
}

/// Calls to the sidecar must not take the way over a proxy.
fn spare_loopback(env: &mut Vec<Value>, noted: &mut Noted) {
    if !PROXIES.iter().any(|name| position(env, name).is_some()) {
        return;
    }
    if NO_PROXY.iter().all(|name| position(env, name).is_none()) {
        env.extend(NO_PROXY.map(|name| json!({"name": name, "value": LOCAL.join(",")})));
        return;
    }
    // Only where it is written: a second spelling with less in it would win over it in some programs.
    for name in NO_PROXY {
        let Some(variable) = position(env, name).and_then(|at| env.get_mut(at)) else {
            continue;
        };
        if variable.get("valueFrom").is_some_and(|from| !from.is_null()) {
            noted
                .warnings
                .push(format!("{name} comes from elsewhere; see that it holds {}", LOCAL.join(",")));
            continue;
        }
        let mut value = super::text(variable, "value").trim().to_owned();
        let listed: Vec<String> = value.split(',').map(|host| host.trim().to_lowercase()).collect();
        if listed.iter().any(|host| host == "*") {
            continue;
        }
        for host in LOCAL.iter().filter(|host| !listed.iter().any(|listed| listed == *host)) {
            if !value.is_empty() && !value.ends_with(',') {
                value.push(',');
            }
            value.push_str(host);
        }
        if let Some(variable) = variable.as_object_mut() {
            variable.insert("value".to_owned(), value.into());
        }
    }
}

/// The last one counts, as it does for the container.
fn position(env: &[Value], name: &str) -> Option<usize> {
    env.iter().rposition(|variable| super::text(variable, "name") == name)
}
