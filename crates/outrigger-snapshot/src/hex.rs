//! Digests as text.

use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;

/// Lower-case hex digits.
pub(crate) fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // A string takes whatever is written.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// 32 bytes from 64 lower-case hex digits and nothing else: one text for one value.
pub(crate) fn decode(text: &str) -> Option<[u8; 32]> {
    let digit = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else {
        return None;
    };
    let bytes = pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?));
    bytes.collect::<Option<Vec<u8>>>()?.try_into().ok()
}

/// The first `digits` hex digits of the SHA-256 of `bytes`.
pub(crate) fn digest(bytes: &[u8], digits: usize) -> String {
    let mut text = encode(&Sha256::digest(bytes));
    text.truncate(digits);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else_is() {
        let bytes: [u8; 32] = std::array::from_fn(|at| u8::try_from(at * 8).unwrap());
        let text = encode(&bytes);
        assert_eq!(decode(&text), Some(bytes));
        for other in [
            "",
            "0",
            text.get(1..).unwrap(),
            &format!("{text}00"),
            &text.to_uppercase(),
            &text.replace('0', "g"),
        ] {
            assert_eq!(decode(other), None, "{other}");
        }
    }

    #[test]
    fn a_digest_is_that_of_the_standard() {
        assert_eq!(
            digest(b"abc", 64),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(digest(b"abc", 8), "ba7816bf");
    }
}
