//! What the Secret holds: for each version of each key its bytes, and beside them the only place where they may go. Key bytes must never be
//! shown: no error here quotes an entry.

use crate::{MAC_ENTRY, MacKey, hex};
use outrigger_core::{Origin, Secret};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};

/// Most entries that are taken from a Secret, which holds 1 MiB in all.
const MOST_ENTRIES: usize = 4_096;

/// The bytes of one version of one key, and what they are bound to.
#[derive(Clone)]
pub struct KeyEntry {
    /// Where they may go.
    pub origin: Origin,
    /// [`ca_digest`] of the certificates that the provider is trusted by beside the public ones, where it has any.
    pub ca_digest: Option<String>,
    /// The bytes.
    pub key: Secret,
}

/// The layout of an entry. Unknown fields are passed over, as in a document.
#[derive(Serialize, Deserialize)]
struct Layout<K> {
    origin: Origin,
    #[serde(rename = "caDigest", default, skip_serializing_if = "Option::is_none")]
    ca_digest: Option<String>,
    key: K,
}

impl KeyEntry {
    /// The entry's value in the Secret.
    pub fn to_bytes(&self) -> Vec<u8> {
        let layout = Layout {
            origin: self.origin.clone(),
            ca_digest: self.ca_digest.clone(),
            key: self.key.expose(),
        };
        // Three texts and a number always make JSON.
        serde_json::to_vec(&layout).unwrap_or_default()
    }

    /// Reads an entry's value; nothing where it is none, or where its key is unfit for a request header.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let layout: Layout<String> = serde_json::from_slice(bytes).ok()?;
        let key = Secret::new(layout.key);
        let fit = !key.expose().is_empty() && key.expose().bytes().all(|byte| (b' '..=b'~').contains(&byte));
        fit.then_some(Self {
            origin: layout.origin,
            ca_digest: layout.ca_digest,
            key,
        })
    }
}

impl fmt::Debug for KeyEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyEntry").field("origin", &self.origin).finish_non_exhaustive()
    }
}

/// The name of a version's entry in the Secret. A key's id may be longer than a name there may be, so it goes in as a digest.
pub fn entry_name(id: &str, version: &str) -> String {
    format!("{}.{version}", hex::digest(id.as_bytes(), 16))
}

/// Which bytes these are: the first eight hex digits of their SHA-256, also shown to people as their fingerprint.
pub fn version(bytes: &[u8]) -> String {
    hex::digest(bytes, 8)
}

/// Which certificates these are: the SHA-256 of their PEM.
pub fn ca_digest(pem: &str) -> String {
    hex::digest(pem.as_bytes(), 64)
}

/// What of the Secret is there.
#[derive(Clone, Debug, Default)]
pub struct KeyRing {
    /// The key of documents; without it none is believed.
    pub mac: Option<MacKey>,
    /// By [`entry_name`].
    pub entries: BTreeMap<String, KeyEntry>,
    /// Entries that could not be read and are left out.
    pub broken: usize,
}

impl KeyRing {
    /// Reads the Secret's entries: name and value of each.
    pub fn parse<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        let mut ring = Self::default();
        for (name, bytes) in files {
            if name == MAC_ENTRY {
                ring.mac = MacKey::from_bytes(bytes);
                ring.broken += usize::from(ring.mac.is_none());
            } else if let Some(entry) = KeyEntry::from_bytes(bytes).filter(|_| ring.entries.len() < MOST_ENTRIES) {
                ring.entries.insert(name.to_owned(), entry);
            } else {
                ring.broken += 1;
            }
        }
        ring
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use outrigger_core::Scheme;

    fn entry() -> KeyEntry {
        KeyEntry {
            origin: Origin {
                scheme: Scheme::Https,
                host: "api.test".into(),
                port: 443,
            },
            ca_digest: Some(ca_digest("PEM")),
            key: Secret::new("sk-canary".into()),
        }
    }

    #[test]
    fn an_entry_is_read_as_it_was_written_and_shows_no_key() {
        let read = KeyEntry::from_bytes(&entry().to_bytes()).unwrap();
        assert_eq!(
            (&read.origin, &read.ca_digest, read.key.expose()),
            (&entry().origin, &entry().ca_digest, "sk-canary")
        );
        assert!(!format!("{read:?}").contains("canary"));
    }

    /// The layout on disk: entries of the version before ours must be read, and ours by the version before.
    #[test]
    fn the_layout_of_an_entry_stays_and_unknown_fields_are_passed_over() {
        let written = r#"{"origin":{"scheme":"https","host":"api.test","port":443},"key":"sk-canary"}"#;
        let without_ca = KeyEntry {
            ca_digest: None,
            ..entry()
        };
        assert_eq!(String::from_utf8(without_ca.to_bytes()).unwrap(), written);
        let newer = written.replacen('{', r#"{"tenant":{"id":1},"#, 1);
        assert_eq!(KeyEntry::from_bytes(newer.as_bytes()).unwrap().key.expose(), "sk-canary");
    }

    #[test]
    fn what_is_no_entry_or_no_header_is_left_out_and_counted() {
        let good = entry().to_bytes();
        let text = String::from_utf8(good.clone()).unwrap();
        let bad: Vec<String> = ["", "sk\\n", "sk\\u0000", "schlüssel"]
            .iter()
            .map(|key| text.replace("sk-canary", key))
            .chain([
                String::new(),
                "{}".into(),
                text.trim_end_matches('}').to_owned(),
                text.replace("443", "70000"),
            ])
            .collect();
        let files = bad.iter().map(|bad| ("bad", bad.as_bytes()));
        let ring = KeyRing::parse(files.chain([("good", good.as_slice()), (MAC_ENTRY, &[1; 31])]));
        assert_eq!(ring.entries.keys().collect::<Vec<_>>(), ["good"]);
        assert!(ring.mac.is_none());
        assert_eq!(ring.broken, bad.len() + 1);
        assert_eq!(KeyRing::parse([(MAC_ENTRY, &[1; 32][..])]).mac, MacKey::from_bytes(&[1; 32]));
    }

    #[test]
    fn names_are_fit_for_a_secret_and_tell_id_and_version_apart() {
        let name = entry_name("support/openai/a", &version(b"sk-1"));
        assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.'), "{name}");
        assert_eq!(name.len(), 16 + 1 + 8);
        assert_ne!(name, entry_name("support/openai/b", &version(b"sk-1")));
        assert_ne!(name, entry_name("support/openai/a", &version(b"sk-2")));
    }
}
