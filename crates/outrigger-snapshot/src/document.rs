//! What a snapshot says. Fields may be added; a reader passes over those that it does not know, so that controller and sidecars may be one
//! version apart in either direction.

use outrigger_core::Table;
use serde::{Deserialize, Serialize};

/// One namespace's routing and the keys that it refers to, without a byte of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// The namespace whose sidecars it is for.
    pub namespace: String,
    /// The routing. A [`RingKey::id`](outrigger_core::RingKey::id) in it is the key's id without a version.
    pub table: Table,
    /// Every version of every key that may be used or must not be; of one id and state the newest first.
    pub keys: Vec<KeyReference>,
}

/// One version of one key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyReference {
    /// `namespace/providerkey/entry`
    pub id: String,
    /// Which bytes: see [`version`](crate::version).
    pub version: String,
    /// What it is good for.
    pub state: KeyState,
}

/// Where a version is in its life. States, never clocks, say what may be used: bytes reach a pod when the kubelet gets to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyState {
    /// The one to use.
    Active,
    /// On its way to every pod: used where the active one's bytes are not there, and kept ready beside it.
    Next,
    /// Never to be used again.
    Revoked,
    /// On its way out: used where nothing better is there.
    ///
    /// A state that a newer writer invents reads as this one: the version is usable, or it would be `Revoked`, a state that every version
    /// knows; but nothing says that it should be preferred.
    #[serde(other)]
    Draining,
}
