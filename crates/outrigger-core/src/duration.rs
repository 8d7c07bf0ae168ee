//! Durations as Gateway API writes them (GEP-2257): `90s`, `1h30m`, `250ms`.

use core::time::Duration;

/// Longest run of digits in front of a unit, and the most `number unit` pairs of one duration.
const MAX_DIGITS: usize = 5;
const MAX_PARTS: usize = 4;

/// Parses a GEP-2257 duration: one to four pairs of a whole number (up to five digits) and a unit out of `h`, `m`, `s`, `ms`.
///
/// `None` where the text has another form; `1d`, `1.5s` and `-1s` are no durations. Zero is one.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut sum = Duration::ZERO;
    for _ in 0..MAX_PARTS {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 || digits > MAX_DIGITS {
            return None;
        }
        let (number, after) = rest.split_at_checked(digits)?;
        let number: u64 = number.parse().ok()?;
        let (unit_ms, after) = unit(after)?;
        sum += Duration::from_millis(number * unit_ms);
        if after.is_empty() {
            return Some(sum);
        }
        rest = after;
    }
    None
}

/// The unit at the start of `text` in milliseconds, and what follows it. `ms` before `m`: the longer unit is meant.
fn unit(text: &str) -> Option<(u64, &str)> {
    [("ms", 1), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)]
        .into_iter()
        .find_map(|(name, ms)| text.strip_prefix(name).map(|after| (ms, after)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use proptest::prelude::*;

    #[test]
    fn durations_of_the_gateway_api_form_are_read() {
        for (text, ms) in [
            ("90s", 90_000),
            ("250ms", 250),
            ("1h30m", 5_400_000),
            ("1h1m1s1ms", 3_661_001),
            ("0s", 0),
            ("99999h", 359_996_400_000),
            ("1m1m", 120_000),
        ] {
            assert_eq!(parse_duration(text), Some(Duration::from_millis(ms)), "{text}");
        }
    }

    #[test]
    fn anything_else_is_no_duration() {
        for text in [
            "",
            "s",
            "1",
            "1d",
            "1.5s",
            "-1s",
            "+1s",
            " 1s",
            "1s ",
            "1 s",
            "100000s",
            "1h1m1s1ms1h",
            "1S",
            "1µs",
            "١s",
            "1hs",
        ] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_without_a_panic(text in "\\PC{0,24}") {
            let _ = parse_duration(&text);
        }

        #[test]
        fn parts_add_up(h in 0u64..100_000, m in 0u64..100_000, s in 0u64..100_000, ms in 0u64..100_000) {
            let sum = h * 3_600_000 + m * 60_000 + s * 1_000 + ms;
            prop_assert_eq!(parse_duration(&format!("{h}h{m}m{s}s{ms}ms")), Some(Duration::from_millis(sum)));
        }
    }
}
