//! A real Kubernetes API server on one host, for tests and for `cargo xtask cluster`: etcd, kube-apiserver and kube-controller-manager on
//! loopback, on ports of the operating system, without root and without a node.
//!
//! ```no_run
//! # fn example() -> anyhow::Result<()> {
//! let cluster = outrigger_cluster::Cluster::start(&Default::default())?;
//! cluster.apply("{ apiVersion: v1, kind: Namespace, metadata: { name: shop } }")?;
//! let answer = outrigger_cluster::run(cluster.kubectl().args(["get", "namespace", "shop", "-o", "name"]))?;
//! assert_eq!(answer, "namespace/shop\n");
//! # Ok(()) }
//! ```
//!
//! With a node ([`Options::node`]) pods run, which takes root. [`Image`] makes what they run, also of what ships.
//!
//! Everything ends with the process that started it, however that ends, except what [`up`] leaves running on purpose.

#![expect(
    clippy::disallowed_methods,
    reason = "a tool at the rim of the project reads the clock and the environment itself"
)]

mod certificates;
mod cluster;
mod configuration;
mod detached;
mod go;
mod guard;
mod image;
mod manifests;
mod node;
mod ports;
mod programs;
mod run;
mod signal;

pub use cluster::{Cluster, Options, shared};
pub use detached::{Running, down, up};
pub use image::{Image, Written};
pub use manifests::{PLAIN, plain_manifests};
pub use node::{build_node, check_node};
pub use programs::{Programs, Unavailable};
pub use run::{run, run_with_input};
