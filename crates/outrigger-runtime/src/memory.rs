//! How much memory a process may use: its cgroup's word, or a quantity as Kubernetes writes it (`512Mi`, `1.5Gi`, `64M`, `1048576`).

use std::fs;

/// What may be used where nothing limits the process.
const UNLIMITED: u64 = 1 << 30;

/// What the process may use: its cgroup's limit, else a gibibyte.
pub fn limit() -> u64 {
    let files = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let limit = files
        .iter()
        .find_map(|file| fs::read_to_string(file).ok()?.trim().parse::<u64>().ok());
    // Version 1 writes a huge number for "none".
    limit.filter(|limit| *limit < 1 << 50).unwrap_or(UNLIMITED)
}

/// Suffixes and their factors; the two-letter ones first, since `M` begins `Mi`.
const UNITS: [(&str, u64); 9] = [
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
    ("Ti", 1 << 40),
    ("k", 1_000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("T", 1_000_000_000_000),
    ("", 1),
];

/// Parses a byte quantity. A fraction of a byte is rounded up, as Kubernetes does; `None` where the text has another form or exceeds `u64`.
pub fn parse_bytes(text: &str) -> Option<u64> {
    let (number, factor) = UNITS
        .iter()
        .find_map(|(suffix, factor)| Some((text.strip_suffix(suffix)?, *factor)))?;
    let (int, frac) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |part: &str, max: usize| !part.is_empty() && part.len() <= max && part.bytes().all(|b| b.is_ascii_digit());
    if !digits(int, 20) || !digits(frac, 9) {
        return None;
    }
    let scale = 10u128.pow(u32::try_from(frac.len()).ok()?);
    let scaled = int.parse::<u128>().ok()? * scale + frac.parse::<u128>().ok()?;
    u64::try_from((scaled * u128::from(factor)).div_ceil(scale)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_of_kubernetes_are_read() {
        for (text, bytes) in [
            ("512Mi", 536_870_912),
            ("1.5Gi", 1_610_612_736),
            ("64M", 64_000_000),
            ("1k", 1_000),
            ("1048576", 1_048_576),
            ("0.1", 1),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(parse_bytes(text), Some(bytes), "{text}");
        }
    }

    #[test]
    fn anything_else_is_no_quantity() {
        for text in [
            "",
            "Mi",
            "512MB",
            "512 Mi",
            "-1Mi",
            "1.Mi",
            ".5Mi",
            "1e3",
            "18446744073709551616",
            "99999999999999999999Ti",
        ] {
            assert_eq!(parse_bytes(text), None, "{text}");
        }
    }
}
