//! Key bytes.

use alloc::string::String;
use core::fmt;
use zeroize::Zeroizing;

/// The bytes of a provider's key. It has no `Display` and no `Serialize`; its `Debug` says only that there is one.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the bytes over.
    pub fn new(bytes: String) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes themselves: only for the header that goes to the key's own origin.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}
