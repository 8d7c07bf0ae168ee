//! What the process is told by its flags and its environment, read once.

use crate::{inject::SidecarSettings, installation::TestArguments, lease::LeaseSettings, verify::Cidr, webhook::WebhookSettings};
use clap::{Args, Parser, Subcommand};
use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// Outrigger's controller: compiles ModelRoutes and ProviderKeys into one snapshot for each namespace.
#[derive(Debug, Parser)]
#[command(name = "outrigger-controller", version)]
pub struct Arguments {
    /// Look after these namespaces alone. Default: all.
    #[arg(long, value_name = "NAME", value_delimiter = ',', env = "OUTRIGGER_NAMESPACES")]
    namespaces: Vec<String>,
    /// The namespace of the Lease by which replicas agree on who writes.
    #[arg(long, value_name = "NAME", default_value = "outrigger-system", env = "OUTRIGGER_NAMESPACE")]
    lease_namespace: String,
    /// The Lease's name.
    #[arg(long, value_name = "NAME", default_value = "outrigger-controller")]
    lease_name: String,
    /// This replica's name. Default: the pod's.
    #[arg(long, value_name = "NAME", env = "OUTRIGGER_POD")]
    identity: Option<String>,
    /// Health and metrics.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:5568")]
    pub admin: SocketAddr,
    /// Loopback and private ranges where providers may be asked whether they know a key. Public addresses need no mention; link-local and
    /// metadata addresses are never asked.
    #[arg(long, value_name = "CIDR", value_delimiter = ',', env = "OUTRIGGER_ALLOWED_CIDRS")]
    allowed_cidrs: Vec<Cidr>,
    /// The webhook.
    #[command(flatten)]
    pub webhook: WebhookArguments,
    /// How to reach the API server. Default: as a pod does.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// How much is logged: error, warn, info, debug, trace.
    #[arg(long, default_value = "info")]
    pub log_level: tracing::level_filters::LevelFilter,
    /// Logs as JSON lines.
    #[arg(long)]
    pub log_json: bool,
    /// Write the ports as JSON into this file once they are open.
    #[arg(long, value_name = "FILE")]
    pub ports_file: Option<PathBuf>,
    /// What to do instead of all that.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What the binary does beside being the controller.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// See whether an installation works: a replica leads, and pods get their sidecar. Flags for the Lease and the API server come before it.
    Test(TestArguments),
}

/// The webhook's part.
#[derive(Debug, Args)]
pub struct WebhookArguments {
    /// Answer the API server's questions about new pods here, and put the sidecar into them. Default: not at all.
    #[arg(long = "webhook", value_name = "ADDRESS", requires = "sidecar_image")]
    pub address: Option<SocketAddr>,
    /// Names and addresses by which the API server calls. Default: outrigger-webhook.NAMESPACE.svc, of the Lease's namespace.
    #[arg(long = "webhook-names", value_name = "NAME", value_delimiter = ',')]
    names: Vec<String>,
    /// The MutatingWebhookConfiguration whose caBundle is kept up to date.
    #[arg(long = "webhook-configuration", value_name = "NAME", default_value = "outrigger")]
    configuration: String,
    /// The Secret with the certificates, in the Lease's namespace.
    #[arg(long = "webhook-secret", value_name = "NAME", default_value = "outrigger-webhook")]
    secret: String,
    /// A folder with tls.crt and tls.key from elsewhere. The caBundle is then not kept up to date.
    #[arg(long = "webhook-certificate", value_name = "FOLDER")]
    given: Option<PathBuf>,
    /// The sidecar's image.
    #[arg(long, value_name = "IMAGE")]
    sidecar_image: Option<String>,
    /// When the sidecar's image is pulled: Always, IfNotPresent, Never.
    #[arg(long, value_name = "POLICY", default_value = "IfNotPresent")]
    sidecar_pull_policy: String,
    /// The user that sidecars run as. Default: whom the platform picks.
    #[arg(long, value_name = "UID")]
    sidecar_user: Option<i64>,
    /// The CPU that a sidecar asks for.
    #[arg(long, value_name = "QUANTITY", default_value = "10m")]
    sidecar_cpu: String,
    /// The memory that a sidecar asks for.
    #[arg(long, value_name = "QUANTITY", default_value = "32Mi")]
    sidecar_memory: String,
    /// The memory that a sidecar may take.
    #[arg(long, value_name = "QUANTITY", default_value = "256Mi")]
    sidecar_memory_limit: String,
    /// For tests that cannot wait: how long a certificate lasts.
    #[arg(long, hide = true, value_parser = time, default_value = "2160h")]
    webhook_certificate_life: Duration,
    /// As above: between two looks at the certificates.
    #[arg(long, hide = true, value_parser = time, default_value = "10s")]
    webhook_look: Duration,
    /// As above: between two looks at the pods.
    #[arg(long, hide = true, value_parser = time, default_value = "5m")]
    watchdog: Duration,
}

/// What the controller itself needs of them.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The namespaces to look after; empty = all.
    pub namespaces: Vec<String>,
    /// Who this replica is.
    pub lease: LeaseSettings,
    /// Where providers may be asked beside the internet.
    pub allowed_cidrs: Vec<Cidr>,
    /// The webhook, where there is one.
    pub webhook: Option<WebhookSettings>,
}

impl Arguments {
    /// The controller's part.
    pub fn settings(&self) -> Settings {
        let named = self.identity.clone();
        Settings {
            namespaces: self.namespaces.iter().filter(|name| !name.is_empty()).cloned().collect(),
            lease: LeaseSettings {
                namespace: self.lease_namespace.clone(),
                name: self.lease_name.clone(),
                identity: named.unwrap_or_else(|| format!("outrigger-controller-{}", std::process::id())),
            },
            allowed_cidrs: self.allowed_cidrs.clone(),
            webhook: self.webhook.settings(&self.lease_namespace),
        }
    }
}

impl WebhookArguments {
    fn settings(&self, namespace: &str) -> Option<WebhookSettings> {
        self.address?;
        let names = match self.names.as_slice() {
            [] => vec![format!("outrigger-webhook.{namespace}.svc")],
            names => names.to_vec(),
        };
        Some(WebhookSettings {
            sidecar: SidecarSettings {
                image: self.sidecar_image.clone()?,
                pull_policy: self.sidecar_pull_policy.clone(),
                user: self.sidecar_user,
                cpu: self.sidecar_cpu.clone(),
                memory: self.sidecar_memory.clone(),
                memory_limit: self.sidecar_memory_limit.clone(),
            },
            names,
            configuration: self.configuration.clone(),
            secret: (namespace.to_owned(), self.secret.clone()),
            given: self.given.clone(),
            life: self.webhook_certificate_life,
            look: self.webhook_look,
            watchdog: self.watchdog,
        })
    }
}

pub(crate) fn time(text: &str) -> Result<Duration, &'static str> {
    outrigger_core::parse_duration(text).ok_or("write a time such as 10s")
}
