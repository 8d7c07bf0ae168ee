//! Numbers as text for headers: what `format!` would do, at a fraction of its cost. Every answer carries several.

use crate::record::header_value;
use bytes::Bytes;
use http::HeaderValue;
use std::ops::Range;

/// Values of an answer's headers that are written into one buffer.
pub(crate) struct Values(Vec<u8>);

impl Values {
    /// With room for what most answers say.
    pub(crate) fn new() -> Self {
        Self(Vec::with_capacity(192))
    }

    /// Writes one more value; where it stands.
    pub(crate) fn add(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Range<usize> {
        let start = self.0.len();
        write(&mut self.0);
        start..self.0.len()
    }

    /// Takes a value out once all are written.
    pub(crate) fn done(self) -> impl Fn(Range<usize>) -> HeaderValue {
        let written = Bytes::from(self.0);
        move |range| header_value(written.slice(range))
    }
}

/// Appends `number` in decimals.
pub(crate) fn push(out: &mut Vec<u8>, number: u64) {
    let mut digits = [b'0'; 20];
    let used = put(&mut digits, number).max(1);
    out.extend_from_slice(last(&digits, used));
}

/// Appends microseconds as milliseconds with three decimals.
pub(crate) fn push_ms(out: &mut Vec<u8>, micros: u64) {
    let [mut whole, mut part] = [[b'0'; 20]; 2];
    let used = put(&mut whole, micros / 1_000).max(1);
    put(&mut part, micros % 1_000);
    out.extend_from_slice(last(&whole, used));
    out.push(b'.');
    out.extend_from_slice(last(&part, 3));
}

/// Puts `number` at the end of `digits`, which are zeros; how many it takes, none for zero.
pub(crate) fn put(digits: &mut [u8; 20], number: u64) -> usize {
    let (mut left, mut used) = (number, 0);
    for digit in digits.iter_mut().rev() {
        if left == 0 {
            break;
        }
        *digit += u8::try_from(left % 10).unwrap_or(0);
        left /= 10;
        used += 1;
    }
    used
}

/// The last `count` of `digits`.
pub(crate) fn last(digits: &[u8; 20], count: usize) -> &[u8] {
    digits.get(digits.len().saturating_sub(count)..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn digits_are_those_of_the_formatter(number: u64) {
            let mut out = b"x".to_vec();
            push(&mut out, number);
            assert_eq!(out, format!("x{number}").as_bytes());
        }
    }

    #[test]
    fn edges_are_those_of_the_formatter_too() {
        let mut zero = Vec::new();
        push(&mut zero, 0);
        assert_eq!(zero, b"0");
        for (micros, text) in [
            (0, "0.000"),
            (7, "0.007"),
            (1_000, "1.000"),
            (12_345, "12.345"),
            (u64::MAX, "18446744073709551.615"),
        ] {
            let mut out = Vec::new();
            push_ms(&mut out, micros);
            assert_eq!(out, text.as_bytes());
        }
    }
}
