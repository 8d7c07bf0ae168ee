//! The contract between controller and sidecar: what a routing snapshot looks like on its way, and which key bytes belong to it.
//!
//! ```text
//! controller: Document ──seal──► Sealed ──to_data──► ConfigMap outrigger-snapshot   (routes, references to keys)
//!             KeyEntry ─to_bytes───────────────────► Secret outrigger-keys          (bytes of keys, MAC key)
//!
//! sidecar:    ConfigMap ──from_data──► Sealed ──open──► Document ┐
//!             Secret ──KeyRing::parse──► KeyRing ────────────────┴─resolve──► table + secrets
//! ```
//!
//! Whoever may edit ConfigMaps can neither redirect a prompt nor a key: a document counts only with the MAC that the Secret's key gives
//! it, and a key's bytes go only to the origin that is written beside them, whatever the table says.
//!
//! ```
//! use outrigger_core::Table;
//! use outrigger_snapshot::{Document, MacKey, Sealed, open, seal};
//! let mac = MacKey::from_bytes(&[7; 32]).unwrap();
//! let table = Table { namespace: "shop".into(), ..Table::default() };
//! let document = Document { namespace: "shop".into(), table, keys: vec![] };
//! let config_map = seal(&document, 1, &mac).unwrap().to_data();
//!
//! let sealed = Sealed::from_data(&config_map).unwrap();
//! assert_eq!(open(&sealed, "shop", &mac).unwrap(), document);
//! assert_eq!(open(&sealed, "other", &mac).unwrap_err().reason(), "mac");
//! ```

mod document;
mod envelope;
mod hex;
mod keys;
mod mac;
mod packed;
mod resolve;
#[cfg(test)]
mod testing;

pub use document::{Document, KeyReference, KeyState};
pub use envelope::{Rejected, Sealed, TooLarge, open, seal};
pub use keys::{KeyEntry, KeyRing, ca_digest, entry_name, version};
pub use mac::MacKey;
pub use packed::Packed;
pub use resolve::{Resolved, Revoked, resolve};

/// Name of the ConfigMap that carries a namespace's snapshot.
pub const CONFIG_MAP_NAME: &str = "outrigger-snapshot";
/// Name of the Secret that carries the bytes of its keys.
pub const SECRET_NAME: &str = "outrigger-keys";
/// The layout that is written.
pub const SCHEMA: u32 = 1;
/// The oldest reader that understands what is written: the version before ours, once there is one.
pub const MIN_READER: u32 = 1;
/// Most bytes of gzip: a ConfigMap holds 1 MiB, and Base64 takes a third.
pub const MAX_COMPRESSED: usize = 700 << 10;
/// Most bytes of JSON, so that a small archive cannot fill a sidecar's memory.
pub const MAX_INFLATED: usize = 32 << 20;
/// Entry of the Secret with the MAC key: 32 bytes.
pub const MAC_ENTRY: &str = "mac-key";
