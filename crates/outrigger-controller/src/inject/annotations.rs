//! What a pod's annotations ask for. Anything that is not understood is refused with a value that would be right: a pod never starts with
//! other settings than those that somebody wrote.

use super::{ADMIN_PORT, Denied};
use serde_json::Value;
use std::{collections::BTreeSet, time::Duration};

/// Whether a pod has a sidecar.
pub(super) const INJECT: &str = "outrigger.dev/inject";
/// What every annotation of ours begins with.
const PREFIX: &str = "outrigger.dev/";
/// All that may follow the prefix.
const NAMES: [&str; 8] = [
    "inject",
    "log-level",
    "cpu",
    "memory",
    "port",
    "providers",
    "hold-application",
    "skip-containers",
];
/// Where the sidecar listens unless it is told otherwise.
const PORT: u16 = 5567;
const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];
const LONGEST_HOLD: Duration = Duration::from_mins(10);
/// Below this it would not even start.
const LEAST_MEMORY: u64 = 32 << 20;

/// A provider whose SDK is led to the sidecar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Client {
    OpenAi,
    Anthropic,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wishes {
    pub(super) inject: Option<bool>,
    pub(super) log_level: String,
    pub(super) cpu: Option<String>,
    pub(super) memory: Option<String>,
    pub(super) port: u16,
    pub(super) clients: BTreeSet<Client>,
    pub(super) hold: Duration,
    pub(super) skip: BTreeSet<String>,
    /// Which annotations of ours there are.
    pub(super) written: Vec<String>,
}

impl Default for Wishes {
    fn default() -> Self {
        Self {
            inject: None,
            log_level: "info".to_owned(),
            cpu: None,
            memory: None,
            port: PORT,
            clients: [Client::OpenAi, Client::Anthropic].into(),
            hold: Duration::from_secs(30),
            skip: BTreeSet::new(),
            written: Vec::new(),
        }
    }
}

/// Reads a pod's annotations.
pub(super) fn read(pod: &Value) -> Result<Wishes, Denied> {
    let mut wishes = Wishes::default();
    let annotations = pod.get("metadata").and_then(|metadata| metadata.get("annotations"));
    for (annotation, value) in annotations.and_then(Value::as_object).into_iter().flatten() {
        let Some(name) = annotation.strip_prefix(PREFIX) else { continue };
        let value = value.as_str().unwrap_or_default().trim();
        let bad = |why: &str| Denied(format!("{annotation}: {value:?}: {why}"));
        let items = || value.split(',').map(str::trim).filter(|item| !item.is_empty());
        match name {
            "inject" => {
                wishes.inject = match value {
                    "true" => Some(true),
                    "false" => Some(false),
                    _ => return Err(bad("write \"true\" or \"false\"")),
                };
            }
            "log-level" => {
                let known = LEVELS.contains(&value);
                wishes.log_level = known
                    .then(|| value.to_owned())
                    .ok_or_else(|| bad("write error, warn, info, debug or trace"))?;
            }
            "cpu" => wishes.cpu = Some(cpu(value).ok_or_else(|| bad("write CPU as \"100m\" or \"0.5\""))?),
            "memory" => {
                let enough = outrigger_runtime::memory::parse_bytes(value).is_some_and(|bytes| bytes >= LEAST_MEMORY);
                wishes.memory = Some(
                    enough
                        .then(|| value.to_owned())
                        .ok_or_else(|| bad("write memory as \"256Mi\", at least \"32Mi\""))?,
                );
            }
            "port" => {
                let port = value.parse().ok().filter(|port| (1_024..).contains(port) && *port != ADMIN_PORT);
                wishes.port = port.ok_or_else(|| bad("write a port from 1024 to 65535 such as \"15567\", not the admin port 5568"))?;
            }
            "providers" => {
                wishes.clients = items().map(client).collect::<Option<_>>().unwrap_or_default();
                if wishes.clients.is_empty() {
                    return Err(bad("write \"openai\", \"anthropic\" or \"openai,anthropic\""));
                }
            }
            "hold-application" => {
                let hold = outrigger_core::parse_duration(value).filter(|hold| *hold <= LONGEST_HOLD);
                wishes.hold = hold.ok_or_else(|| bad("write a time such as \"30s\", at most \"10m\"; \"0s\" does not wait"))?;
            }
            "skip-containers" => {
                wishes.skip = items().map(str::to_owned).collect();
                if wishes.skip.is_empty() {
                    return Err(bad("write the names of containers such as \"proxy,metrics\""));
                }
            }
            _ => return Err(unknown(annotation, name)),
        }
        wishes.written.push(annotation.clone());
    }
    Ok(wishes)
}

fn unknown(annotation: &str, name: &str) -> Denied {
    let near = NAMES.into_iter().min_by_key(|known| strsim::osa_distance(name, known));
    let near = near.filter(|known| strsim::osa_distance(name, known) <= name.len().max(known.len()) / 2);
    Denied(near.map_or_else(
        || format!("there is no annotation {annotation}; there are {PREFIX}{{{}}}", NAMES.join(", ")),
        |near| format!("there is no annotation {annotation}; did you mean {PREFIX}{near}?"),
    ))
}

fn client(name: &str) -> Option<Client> {
    match name {
        "openai" => Some(Client::OpenAi),
        "anthropic" => Some(Client::Anthropic),
        _ => None,
    }
}

/// A CPU quantity as people write it: whole millis, or cores with up to three decimals; more than nothing.
fn cpu(value: &str) -> Option<String> {
    let digits = |text: &str| !text.is_empty() && text.len() <= 6 && text.bytes().all(|byte| byte.is_ascii_digit());
    let fine = match value.strip_suffix('m') {
        Some(millis) => digits(millis),
        None => value
            .split_once('.')
            .map_or(digits(value), |(whole, part)| digits(whole) && digits(part) && part.len() <= 3),
    };
    let something = value.bytes().any(|byte| (b'1'..=b'9').contains(&byte));
    (fine && something).then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read_one(name: &str, value: &str) -> Result<Wishes, String> {
        read(&json!({"metadata": {"annotations": {format!("outrigger.dev/{name}"): value, "other.dev/cpu": "lots"}}}))
            .map_err(|denied| denied.0)
    }

    #[test]
    fn what_is_right_is_taken() {
        let wishes = |name, value| read_one(name, value).unwrap();
        assert_eq!(wishes("inject", "true").inject, Some(true));
        assert_eq!(wishes("inject", "false").inject, Some(false));
        assert_eq!(wishes("log-level", "debug").log_level, "debug");
        for value in ["100m", "1", "0.5", "2.125"] {
            assert_eq!(wishes("cpu", value).cpu.as_deref(), Some(value));
        }
        assert_eq!(wishes("memory", "32Mi").memory.as_deref(), Some("32Mi"));
        assert_eq!(wishes("port", "1024").port, 1_024);
        assert_eq!(wishes("providers", "anthropic").clients, [Client::Anthropic].into());
        assert_eq!(wishes("providers", "openai, anthropic,").clients.len(), 2);
        assert_eq!(wishes("hold-application", "0s").hold, Duration::ZERO);
        assert_eq!(wishes("hold-application", "10m").hold, LONGEST_HOLD);
        assert_eq!(wishes("skip-containers", "a, b").skip, ["a".to_owned(), "b".to_owned()].into());
        assert_eq!(read(&json!({"metadata": {}})).unwrap(), Wishes::default());
        assert_eq!(read(&json!({})).unwrap(), Wishes::default());
    }

    #[test]
    fn what_is_not_understood_is_refused_with_what_would_be_right() {
        for (name, value, expected) in [
            ("inject", "yes", "outrigger.dev/inject: \"yes\": write \"true\" or \"false\""),
            ("inject", "", "outrigger.dev/inject: \"\": write \"true\" or \"false\""),
            (
                "log-level",
                "loud",
                "outrigger.dev/log-level: \"loud\": write error, warn, info, debug or trace",
            ),
            ("cpu", "0", "outrigger.dev/cpu: \"0\": write CPU as \"100m\" or \"0.5\""),
            ("cpu", "0.5m", "outrigger.dev/cpu: \"0.5m\": write CPU as \"100m\" or \"0.5\""),
            ("cpu", "0.0001", "outrigger.dev/cpu: \"0.0001\": write CPU as \"100m\" or \"0.5\""),
            (
                "memory",
                "31Mi",
                "outrigger.dev/memory: \"31Mi\": write memory as \"256Mi\", at least \"32Mi\"",
            ),
            (
                "port",
                "80",
                "outrigger.dev/port: \"80\": write a port from 1024 to 65535 such as \"15567\", not the admin port 5568",
            ),
            (
                "port",
                "5568",
                "outrigger.dev/port: \"5568\": write a port from 1024 to 65535 such as \"15567\", not the admin port 5568",
            ),
            (
                "providers",
                "openai,gemini",
                "outrigger.dev/providers: \"openai,gemini\": write \"openai\", \"anthropic\" or \"openai,anthropic\"",
            ),
            (
                "providers",
                "",
                "outrigger.dev/providers: \"\": write \"openai\", \"anthropic\" or \"openai,anthropic\"",
            ),
            (
                "hold-application",
                "30",
                "outrigger.dev/hold-application: \"30\": write a time such as \"30s\", at most \"10m\"; \"0s\" does not wait",
            ),
            (
                "hold-application",
                "11m",
                "outrigger.dev/hold-application: \"11m\": write a time such as \"30s\", at most \"10m\"; \"0s\" does not wait",
            ),
            (
                "skip-containers",
                ",",
                "outrigger.dev/skip-containers: \",\": write the names of containers such as \"proxy,metrics\"",
            ),
            (
                "injct",
                "true",
                "there is no annotation outrigger.dev/injct; did you mean outrigger.dev/inject?",
            ),
            (
                "injected",
                "true",
                "there is no annotation outrigger.dev/injected; did you mean outrigger.dev/inject?",
            ),
            (
                "loglevel",
                "info",
                "there is no annotation outrigger.dev/loglevel; did you mean outrigger.dev/log-level?",
            ),
        ] {
            assert_eq!(read_one(name, value).unwrap_err(), expected);
        }
        let all = read_one("sampling-of-everything", "1").unwrap_err();
        assert!(
            all.ends_with("there are outrigger.dev/{inject, log-level, cpu, memory, port, providers, hold-application, skip-containers}")
        );
    }
}
