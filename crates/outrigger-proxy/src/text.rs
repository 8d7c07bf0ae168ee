//! Numbers as text for headers: what `format!` would do, at a fraction of its cost. Every answer carries several.

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
    out.extend(shown.iter().map(|digit| char::from(*digit)));
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
