//! What the process is told by its flags and its environment, read once.

use crate::{lease::LeaseSettings, verify::Cidr};
use clap::Parser;
use std::{net::SocketAddr, path::PathBuf};

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
        }
    }
}
