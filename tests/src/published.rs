//! What a controller would publish for some manifests: a document, and the entries of the Secret.

use crate::yaml::KEY;
use outrigger_config::{compile::compile, load::load};
use outrigger_core::{Origin, Secret};
use outrigger_snapshot::{Document, KeyEntry, KeyReference, KeyState, MAC_ENTRY, MacKey, ca_digest, entry_name, seal};
use std::collections::BTreeMap;

/// The namespace of a test's sidecar.
pub const NAMESPACE: &str = "default";

/// A namespace's routing on its way to a sidecar.
#[derive(Clone, Debug)]
pub struct Published {
    /// The routing and the references.
    pub document: Document,
    /// Bytes by id and version.
    pub entries: Vec<(String, String, KeyEntry)>,
}

/// Compiles `manifests` as `outrigger dev` does; every key is `Active`.
///
/// # Panics
/// Where they cannot be loaded.
#[expect(clippy::expect_used, reason = "a test cannot go on without it")]
pub fn published(manifests: &[String]) -> Published {
    let folder = tempfile::TempDir::new().expect("a folder");
    std::fs::write(folder.path().join("all.yaml"), manifests.join("\n---\n")).expect("manifests");
    let compiled = compile(&load(&[folder.path().to_owned()]).objects, NAMESPACE);
    let mut table = compiled.table;
    let (mut keys, mut entries) = (Vec::new(), Vec::new());
    for provider in &mut table.providers {
        for key in &mut provider.ring {
            let (id, version) = key.id.rsplit_once('.').expect("a versioned id");
            let (id, version) = (id.to_owned(), version.to_owned());
            let secret = compiled.secrets.get(&key.id).expect("bytes");
            let entry = KeyEntry {
                origin: provider.origin.clone(),
                ca_digest: provider.ca_pem.as_deref().map(ca_digest),
                key: secret.clone(),
            };
            entries.push((id.clone(), version.clone(), entry));
            keys.push(KeyReference {
                id: id.clone(),
                version,
                state: KeyState::Active,
            });
            key.id = id;
        }
    }
    Published {
        document: Document {
            namespace: NAMESPACE.to_owned(),
            table,
            keys,
        },
        entries,
    }
}

impl Published {
    /// The MAC key of all tests.
    ///
    /// # Panics
    /// Never.
    #[expect(clippy::expect_used, reason = "a constant")]
    pub fn mac() -> MacKey {
        MacKey::from_bytes(&[7; 32]).expect("32 bytes")
    }

    /// The ConfigMap's data under a number.
    ///
    /// # Panics
    /// Where it is too large.
    #[expect(clippy::expect_used, reason = "a test cannot go on without it")]
    pub fn data(&self, generation: u64) -> BTreeMap<String, String> {
        seal(&self.document, generation, &Self::mac()).expect("a small document").to_data()
    }

    /// The Secret's entries, the MAC key among them.
    pub fn secret(&self) -> BTreeMap<String, Vec<u8>> {
        let entries = self
            .entries
            .iter()
            .map(|(id, version, entry)| (entry_name(id, version), entry.to_bytes()));
        entries.chain([(MAC_ENTRY.to_owned(), Self::mac().expose().to_vec())]).collect()
    }

    /// Adds a version `bytes` of the key of provider `name`, bound like the one that is there, in front of it, and returns the version.
    ///
    /// # Panics
    /// Where there is no such key.
    #[expect(clippy::expect_used, reason = "a test cannot go on without it")]
    pub fn rotate(&mut self, name: &str, bytes: &str, state: KeyState) -> String {
        let id = format!("{NAMESPACE}/{name}/main");
        let (_, _, before) = self.entries.iter().find(|(known, ..)| *known == id).expect("a key");
        let entry = KeyEntry {
            key: Secret::new(bytes.to_owned()),
            ..before.clone()
        };
        let version = outrigger_snapshot::version(bytes.as_bytes());
        self.entries.push((id.clone(), version.clone(), entry));
        let reference = KeyReference {
            id,
            version: version.clone(),
            state,
        };
        self.document.keys.insert(0, reference);
        version
    }

    /// Sets the state of the version that the test's own key has.
    pub fn set_first(&mut self, name: &str, state: KeyState) {
        let (id, version) = (format!("{NAMESPACE}/{name}/main"), outrigger_snapshot::version(KEY.as_bytes()));
        for key in self.document.keys.iter_mut().filter(|key| key.id == id && key.version == version) {
            key.state = state;
        }
    }

    /// The origin of provider `name`, to be changed.
    ///
    /// # Panics
    /// Where there is none.
    #[expect(clippy::expect_used, reason = "a test cannot go on without it")]
    pub fn origin(&mut self, name: &str) -> &mut Origin {
        let providers = self.document.table.providers.iter_mut();
        &mut providers
            .into_iter()
            .find(|provider| provider.label == name)
            .expect("a provider")
            .origin
    }
}
