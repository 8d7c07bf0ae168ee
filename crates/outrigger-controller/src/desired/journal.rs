//! How far each key's versions are, written on the Secret that carries their bytes: as an annotation, so that it lives and dies with the bytes and
//! whoever may only edit ConfigMaps has no say in it. It holds fingerprints and times, never bytes.

use crate::rotation::Held;
use std::collections::BTreeMap;

/// The annotation's name.
pub const JOURNAL: &str = "outrigger.dev/key-states";

/// Key ids, and their versions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Journal(pub BTreeMap<String, Vec<Held>>);

impl Journal {
    /// What an annotation says; an unreadable one says nothing.
    pub fn from_annotation(text: Option<&str>) -> Self {
        Self(text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default())
    }

    /// As the annotation carries it.
    pub fn to_annotation(&self) -> String {
        serde_json::to_string(&self.0).unwrap_or_default()
    }

    /// What an entry adds to the annotation, about: for its cap.
    pub(super) fn weight(id: &str, held: &Held) -> usize {
        id.len() + held.version.len() + 64
    }
}
