//! ModelRoute and ProviderKey, the model catalogue, and the pure compile step from objects to the routing table.
//!
//! ```text
//! YAML files ──load──► Objects ──compile──► Table + secrets + diagnostics
//!                         ▲                   │
//! API server ─────────────┘                   └► data plane, status conditions, `outrigger check`
//! ```
//!
//! Controller, standalone mode and command line all compile with this crate, so the data plane never meets a route that has not been
//! through here.
//!
//! ```
//! use outrigger_config::{compile::compile, load::load_texts, samples};
//!
//! let loaded = load_texts(samples::FILES);
//! let compiled = compile(&loaded.objects, "default");
//! assert!(compiled.diagnostics.is_empty());
//! assert_eq!(compiled.table.routes.len(), 3);
//!
//! let typo = load_texts([("typo.yaml", "
//! apiVersion: outrigger.dev/v1alpha1
//! kind: ProviderKey
//! metadata: { name: openai }
//! spec: { providr: openai }
//! ")]);
//! assert!(typo.diagnostics.iter().any(|found| found.help == "did you mean `provider`?"));
//! ```

pub mod catalog;
pub mod check;
pub mod compile;
pub mod diagnostics;
pub mod load;
pub mod objects;
pub mod samples;
pub mod units;
pub mod v1alpha1;

pub use v1alpha1::crds;
