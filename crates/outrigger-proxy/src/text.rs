//! Numbers as text for headers: what `format!` would do, at a fraction of its cost. Every answer carries several.

use crate::record::header_value;
use bytes::Bytes;
use http::HeaderValue;
use std::ops::Range;

/// Values of an answer's headers that are written into one buffer.
pub(crate) struct Values(String);

impl Values {
    /// With room for what most answers say.
    pub(crate) fn new() -> Self {
        Self(String::with_capacity(192))
    }

    /// Writes one more value; where it stands.
    pub(crate) fn add(&mut self, write: impl FnOnce(&mut String)) -> Range<usize> {
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
pub(crate) fn push(out: &mut String, number: u64) {
    push_padded(out, number, 1);
}

/// Appends `number` in decimals, with zeros in front up to `width` digits (at most 20).
pub(crate) fn push_padded(out: &mut String, number: u64, width: usize) {
    let mut digits = [b'0'; 20];
    let (mut left, mut used) = (number, 0);
    for digit in digits.iter_mut().rev() {
        if left == 0 && used >= width {
            break;
        }
        *digit = b'0' + u8::try_from(left % 10).unwrap_or(0);
        left /= 10;
        used += 1;
    }
    let shown = digits.get(digits.len().saturating_sub(used)..).unwrap_or_default();
    out.push_str(std::str::from_utf8(shown).unwrap_or_default());
}

/// Appends microseconds as milliseconds with three decimals.
pub(crate) fn push_ms(out: &mut String, micros: u64) {
    push(out, micros / 1_000);
    out.push('.');
    push_padded(out, micros % 1_000, 3);
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn digits_are_those_of_the_formatter(number: u64, width in 1..=20_usize) {
            let mut out = String::from("x");
            push_padded(&mut out, number, width);
            assert_eq!(out, format!("x{number:0width$}"));
        }
    }

    #[test]
    fn edges_are_those_of_the_formatter_too() {
        for (micros, text) in [(0, "0.000"), (7, "0.007"), (12_345, "12.345"), (u64::MAX, "18446744073709551.615")] {
            let mut out = String::new();
            push_ms(&mut out, micros);
            assert_eq!(out, text);
        }
    }
}
