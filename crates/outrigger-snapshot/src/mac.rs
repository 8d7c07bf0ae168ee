//! The key that makes a snapshot believable. Its bytes are in the Secret alone; they must never be shown.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use std::fmt;
use zeroize::Zeroizing;

/// 32 secret bytes, shared by the controller and the sidecars of one namespace.
#[derive(Clone)]
pub struct MacKey(Zeroizing<[u8; 32]>);

impl MacKey {
    /// Exactly 32 bytes, which the caller took from a random source.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Some(Self(Zeroizing::new(bytes.try_into().ok()?)))
    }

    /// The bytes, for the Secret alone.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// HMAC-SHA-256 over `parts`, each preceded by its length, so that no two lists of parts read the same.
    pub(crate) fn sign(&self, parts: &[&[u8]]) -> [u8; 32] {
        self.over(parts).finalize().into_bytes().into()
    }

    /// Whether `tag` is that of `parts`, in a time that does not depend on the answer.
    pub(crate) fn verifies(&self, parts: &[&[u8]], tag: &[u8; 32]) -> bool {
        self.over(parts).verify(&(*tag).into()).is_ok()
    }

    fn over(&self, parts: &[&[u8]]) -> Hmac<Sha256> {
        // The algorithm pads a short key with zeros to its block; a whole block cannot be refused.
        let mut block = Zeroizing::new([0; 64]);
        for (at, byte) in block.iter_mut().zip(self.0.iter()) {
            *at = *byte;
        }
        let mut mac = Hmac::<Sha256>::new((&*block).into());
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac
    }
}

impl PartialEq for MacKey {
    fn eq(&self, other: &Self) -> bool {
        // Equal keys sign alike, and a signature is compared in constant time.
        other.verifies(&[b"same"], &self.sign(&[b"same"]))
    }
}

impl Eq for MacKey {}

impl fmt::Debug for MacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MacKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_32_bytes_are_a_key() {
        for length in [0, 31, 33, 64] {
            assert!(MacKey::from_bytes(&vec![1; length]).is_none(), "{length}");
        }
        assert_eq!(format!("{:?}", MacKey::from_bytes(&[b'k'; 32]).unwrap()), "MacKey(…)");
    }

    /// From another implementation, Python's `hmac`, over the eight bytes of the length and `abc`.
    #[test]
    fn the_tag_is_that_of_the_standard() {
        let key = MacKey::from_bytes(&[7; 32]).unwrap();
        assert_eq!(
            crate::hex::encode(&key.sign(&[b"abc"])),
            "5d94cf78b32361191eaa6ec0faacbefa0c583c0a06446429423f475d1ceae8ba"
        );
        assert!(key.verifies(&[b"abc"], &key.sign(&[b"abc"])));
    }

    #[test]
    fn bytes_cannot_move_from_one_part_to_the_next() {
        let key = MacKey::from_bytes(&[7; 32]).unwrap();
        let tag = key.sign(&[b"ab", b"c"]);
        for parts in [&[&b"a"[..], b"bc"][..], &[b"abc"], &[b"ab", b"c", b""], &[b"c", b"ab"]] {
            assert!(!key.verifies(parts, &tag), "{parts:?}");
        }
        assert!(!MacKey::from_bytes(&[8; 32]).unwrap().verifies(&[b"ab", b"c"], &tag));
    }

    #[test]
    fn keys_are_equal_where_their_bytes_are() {
        let key = |byte| MacKey::from_bytes(&[byte; 32]).unwrap();
        assert_eq!(key(1), key(1));
        assert_ne!(key(1), key(2));
    }
}
