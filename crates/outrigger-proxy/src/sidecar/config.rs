//! What the sidecar is told at its start: flags, each with an environment variable, both read once and here alone. The injector writes them,
//! not a person; so there is one table of them and no parser beyond it.

use outrigger_runtime::memory;
use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};
use tracing::level_filters::LevelFilter;

/// A flag, its variable, what it is, and what holds without it; nothing = it may be absent.
type Flag = (&'static str, &'static str, &'static str, Option<&'static str>);

const FLAGS: &[Flag] = &[
    ("namespace", "OUTRIGGER_NAMESPACE", "the pod's namespace (required)", None),
    ("pod", "OUTRIGGER_POD", "the pod's name, for the log", None),
    ("pod-uid", "OUTRIGGER_POD_UID", "the pod's UID, for the log", None),
    (
        "service-account",
        "OUTRIGGER_SERVICE_ACCOUNT",
        "the pod's ServiceAccount, which rules may ask for",
        None,
    ),
    (
        "snapshot-dir",
        "OUTRIGGER_SNAPSHOT_DIR",
        "where the ConfigMap is mounted",
        Some("/etc/outrigger/snapshot"),
    ),
    (
        "keys-dir",
        "OUTRIGGER_KEYS_DIR",
        "where the Secret is mounted",
        Some("/etc/outrigger/keys"),
    ),
    (
        "api-token-dir",
        "OUTRIGGER_API_TOKEN_DIR",
        "where `token` and `ca.crt` for the API server are",
        Some("/var/run/secrets/outrigger"),
    ),
    (
        "api-server",
        "OUTRIGGER_API_SERVER",
        "its URL; default: what the kubelet tells; `none` = mounts alone",
        None,
    ),
    ("listen", "OUTRIGGER_LISTEN", "where applications connect", Some("127.0.0.1:5567")),
    ("admin", "OUTRIGGER_ADMIN", "health and metrics", Some("0.0.0.0:5568")),
    (
        "hold-application",
        "OUTRIGGER_HOLD_APPLICATION",
        "how long the application waits for a usable snapshot",
        Some("30s"),
    ),
    (
        "memory-limit",
        "OUTRIGGER_MEMORY_LIMIT",
        "such as 512Mi; 40 % of it may hold prompts; default: the cgroup's, else 1Gi",
        None,
    ),
    (
        "ca-file",
        "SSL_CERT_FILE",
        "PEM file of certificates to trust beside the public ones",
        None,
    ),
    (
        "ports-file",
        "OUTRIGGER_PORTS_FILE",
        "write the ports as JSON into this file once they are open",
        None,
    ),
    (
        "log-level",
        "OUTRIGGER_LOG_LEVEL",
        "error, warn, info, debug or trace",
        Some("info"),
    ),
    ("log-format", "OUTRIGGER_LOG_FORMAT", "json or text", Some("json")),
];

/// As [`FLAGS`], for tests that cannot wait.
const HIDDEN: &[Flag] = &[
    ("mount-look", "", "between looks at the mounts", Some("1s")),
    ("api-ping", "", "between pings, and then to the answer", Some("10s")),
    ("api-step", "", "for each step of a conversation with the API server", Some("10s")),
    (
        "watch-patience",
        "",
        "how long a watch may be dead before the mount counts",
        Some("30s"),
    ),
];

/// The settings of a sidecar.
#[derive(Clone, Debug)]
pub struct Config {
    pub(super) namespace: String,
    pub(super) pod: String,
    pub(super) pod_uid: String,
    pub(super) service_account: String,
    pub(super) snapshot_dir: PathBuf,
    pub(super) keys_dir: PathBuf,
    pub(super) token_dir: PathBuf,
    /// `None` = mounts alone.
    pub(super) server: Option<Server>,
    pub(super) listen: SocketAddr,
    pub(super) admin: SocketAddr,
    pub(super) hold: Duration,
    pub(super) memory: u64,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) ports_file: Option<PathBuf>,
    pub(super) log_level: LevelFilter,
    pub(super) log_json: bool,
    pub(super) look: Duration,
    pub(super) ping: Duration,
    pub(super) step: Duration,
    pub(super) patience: Duration,
}

/// Where the API server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Server {
    /// Name or address; IPv6 without brackets.
    pub(super) host: String,
    pub(super) port: u16,
}

/// What the process is to do.
#[derive(Clone, Debug)]
pub enum Command {
    /// Run.
    Run(Box<Config>),
    /// Say this and end.
    Say(String),
}

/// A setting that is none.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// No such flag.
    #[error("there is no flag {0}; --help lists them")]
    Unknown(String),
    /// A flag without a value.
    #[error("{0} needs a value: {0} VALUE")]
    NoValue(String),
    /// A required one.
    #[error("--{0} or {1} is required")]
    Missing(&'static str, &'static str),
    /// A value that does not fit.
    #[error("--{flag} {value}: {problem}")]
    Invalid {
        /// Which.
        flag: &'static str,
        /// What it is.
        value: String,
        /// What is wrong.
        problem: String,
    },
}

impl Config {
    /// Reads the process's own arguments and environment.
    ///
    /// # Errors
    /// [`ConfigError`], in words for whoever wrote them.
    pub fn of_process() -> Result<Command, ConfigError> {
        #[expect(clippy::disallowed_methods, reason = "this is where the process reads its environment, once")]
        let variable = |name: &str| std::env::var(name).ok();
        Self::read(std::env::args().skip(1), &variable)
    }

    fn read(mut arguments: impl Iterator<Item = String>, variable: &dyn Fn(&str) -> Option<String>) -> Result<Command, ConfigError> {
        let mut given = BTreeMap::new();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--help" | "-h" => return Ok(Command::Say(help())),
                "--version" | "-V" => return Ok(Command::Say(concat!("outrigger-proxy ", env!("CARGO_PKG_VERSION")).to_owned())),
                _ => {}
            }
            let (name, value) = match argument.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (argument.as_str(), None),
            };
            let flag = all().find(|flag| name.strip_prefix("--") == Some(flag.0));
            let Some(flag) = flag else {
                return Err(ConfigError::Unknown(name.to_owned()));
            };
            let value = value
                .or_else(|| arguments.next())
                .ok_or_else(|| ConfigError::NoValue(name.to_owned()))?;
            given.insert(flag.0, value);
        }
        // A variable that is there but empty is one that a template has left out.
        let known = |name: &str| variable(name).filter(|value| !name.is_empty() && !value.is_empty());
        for (name, variable, _, default) in all() {
            if let Some(value) = known(variable).or(default.map(str::to_owned)) {
                given.entry(name).or_insert(value);
            }
        }
        let kubelet = known("KUBERNETES_SERVICE_HOST").zip(known("KUBERNETES_SERVICE_PORT"));
        Self::parse(&Given(given), kubelet).map(|config| Command::Run(Box::new(config)))
    }

    fn parse(given: &Given, kubelet: Option<(String, String)>) -> Result<Self, ConfigError> {
        let namespace = given.text("namespace");
        if namespace.is_empty() {
            return Err(ConfigError::Missing("namespace", "OUTRIGGER_NAMESPACE"));
        }
        // It becomes part of a path.
        if !namespace
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        {
            return Err(given.invalid("namespace", "a namespace has lower-case letters, digits and dashes"));
        }
        let server = match (given.text("api-server").as_str(), kubelet) {
            ("none", _) | ("", None) => None,
            ("", Some((host, port))) => Some(Server {
                host,
                port: port
                    .parse()
                    .map_err(|_| given.invalid("api-server", "KUBERNETES_SERVICE_PORT is no port"))?,
            }),
            (url, _) => Some(server(url).ok_or_else(|| given.invalid("api-server", "write https://HOST:PORT"))?),
        };
        let time = |flag| outrigger_core::parse_duration(&given.text(flag)).ok_or_else(|| given.invalid(flag, "write a time such as 30s"));
        let address = |flag| {
            given
                .text(flag)
                .parse()
                .map_err(|_| given.invalid(flag, "write an address such as 127.0.0.1:5567"))
        };
        let path = |flag| Some(given.text(flag)).filter(|path| !path.is_empty()).map(PathBuf::from);
        Ok(Self {
            namespace,
            pod: given.text("pod"),
            pod_uid: given.text("pod-uid"),
            service_account: given.text("service-account"),
            snapshot_dir: path("snapshot-dir").unwrap_or_default(),
            keys_dir: path("keys-dir").unwrap_or_default(),
            token_dir: path("api-token-dir").unwrap_or_default(),
            server,
            listen: address("listen")?,
            admin: address("admin")?,
            hold: time("hold-application")?,
            memory: match given.text("memory-limit").as_str() {
                "" => memory::limit(),
                quantity => memory::parse_bytes(quantity).ok_or_else(|| given.invalid("memory-limit", "write a quantity such as 512Mi"))?,
            },
            ca_file: path("ca-file"),
            ports_file: path("ports-file"),
            log_level: given
                .text("log-level")
                .parse()
                .map_err(|_| given.invalid("log-level", "write error, warn, info, debug or trace"))?,
            log_json: match given.text("log-format").as_str() {
                "json" => true,
                "text" => false,
                _ => return Err(given.invalid("log-format", "write json or text")),
            },
            look: time("mount-look")?,
            ping: time("api-ping")?,
            step: time("api-step")?,
            patience: time("watch-patience")?,
        })
    }
}

/// Values by flag.
struct Given(BTreeMap<&'static str, String>);

impl Given {
    fn text(&self, flag: &str) -> String {
        self.0.get(flag).cloned().unwrap_or_default()
    }

    fn invalid(&self, flag: &'static str, problem: &str) -> ConfigError {
        ConfigError::Invalid {
            flag,
            value: self.text(flag),
            problem: problem.to_owned(),
        }
    }
}

fn all() -> impl Iterator<Item = &'static Flag> {
    FLAGS.iter().chain(HIDDEN)
}

/// Never plain HTTP: a token goes there.
fn server(url: &str) -> Option<Server> {
    let uri: http::Uri = url.parse().ok()?;
    let plain = matches!(uri.path(), "" | "/") && uri.query().is_none() && uri.scheme_str() == Some("https");
    let host = uri.host()?.trim_start_matches('[').trim_end_matches(']').to_owned();
    plain.then(|| Server {
        host,
        port: uri.port_u16().unwrap_or(443),
    })
}

fn help() -> String {
    let flag = |(name, variable, about, default): &Flag| {
        let default = default.map(|default| format!(" [default: {default}]")).unwrap_or_default();
        format!("  --{name} VALUE\n      {about} [env: {variable}]{default}")
    };
    let flags: Vec<String> = FLAGS.iter().map(flag).collect();
    format!(
        "The data plane beside an application: serves the namespace's routing snapshot.\n\nUsage: outrigger-proxy [FLAGS]\n\n{}",
        flags.join("\n")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &[&str], environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let variable = |name: &str| {
            environment
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| (*value).to_owned())
        };
        match Config::read(arguments.iter().map(|argument| (*argument).to_owned()), &variable)? {
            Command::Run(config) => Ok(*config),
            Command::Say(text) => panic!("{text}"),
        }
    }

    #[test]
    fn a_namespace_is_enough_and_flags_go_before_variables() {
        let config = read(&[], &[("OUTRIGGER_NAMESPACE", "shop"), ("OUTRIGGER_POD", "")]).unwrap();
        assert_eq!(
            (config.namespace.as_str(), config.pod.as_str(), &config.server),
            ("shop", "", &None)
        );
        assert_eq!(config.listen, ([127, 0, 0, 1], 5567).into());
        assert_eq!(
            (config.hold, config.ping, config.patience),
            (Duration::from_secs(30), Duration::from_secs(10), Duration::from_secs(30))
        );
        let config = read(
            &["--namespace", "b", "--listen=127.0.0.1:1"],
            &[("OUTRIGGER_NAMESPACE", "a"), ("OUTRIGGER_LISTEN", "[::1]:2")],
        )
        .unwrap();
        assert_eq!((config.namespace.as_str(), config.listen.port()), ("b", 1));
    }

    #[test]
    fn the_api_server_is_what_the_kubelet_tells_unless_told_otherwise() {
        let kubelet = [
            ("OUTRIGGER_NAMESPACE", "shop"),
            ("KUBERNETES_SERVICE_HOST", "fd00::1"),
            ("KUBERNETES_SERVICE_PORT", "443"),
        ];
        let server = |host: &str, port| Some(Server { host: host.into(), port });
        for (flag, expected) in [
            (None, server("fd00::1", 443)),
            (Some("none"), None),
            (Some("https://127.0.0.1:6443"), server("127.0.0.1", 6443)),
            (Some("https://[::1]:6443/"), server("::1", 6443)),
            (Some("https://api.test"), server("api.test", 443)),
        ] {
            let arguments: Vec<&str> = flag.map(|flag| vec!["--api-server", flag]).unwrap_or_default();
            assert_eq!(read(&arguments, &kubelet).unwrap().server, expected, "{flag:?}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_with_its_name() {
        for (arguments, expected) in [
            (&["--nonsense", "1"][..], "there is no flag --nonsense; --help lists them"),
            (&["namespace"], "there is no flag namespace; --help lists them"),
            (&["--listen"], "--listen needs a value: --listen VALUE"),
            (&[], "--namespace or OUTRIGGER_NAMESPACE is required"),
            (
                &["--namespace=a/b"],
                "--namespace a/b: a namespace has lower-case letters, digits and dashes",
            ),
            (
                &["--namespace=a", "--api-server=http://127.0.0.1"],
                "--api-server http://127.0.0.1: write https://HOST:PORT",
            ),
            (
                &["--namespace=a", "--hold-application=30"],
                "--hold-application 30: write a time such as 30s",
            ),
            (
                &["--namespace=a", "--memory-limit=much"],
                "--memory-limit much: write a quantity such as 512Mi",
            ),
            (
                &["--namespace=a", "--log-level=loud"],
                "--log-level loud: write error, warn, info, debug or trace",
            ),
        ] {
            assert_eq!(read(arguments, &[]).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn the_help_names_every_flag_but_those_for_tests() {
        let help = help();
        assert!(
            FLAGS
                .iter()
                .all(|flag| help.contains(&format!("--{} VALUE", flag.0)) && help.contains(flag.1))
        );
        assert!(HIDDEN.iter().all(|flag| !help.contains(flag.0)));
    }
}
