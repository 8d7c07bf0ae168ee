//! How long a provider asks to wait: in headers, or in its message. Nothing told is `None`, and never a guess.

use super::Head;
use core::time::Duration;

/// Suffixes of the headers that tell of one limit each.
pub(super) const OPENAI_LIMITS: [&str; 2] = ["requests", "tokens"];
pub(super) const ANTHROPIC_LIMITS: [&str; 4] = ["requests", "tokens", "input-tokens", "output-tokens"];

/// By headers first; `text` is the message, lower case. The best is what was said of this call (`retry-after`), then the reset of a limit
/// of which nothing is left, then the text, and last the earliest reset of any limit.
pub(super) fn told(head: &Head<'_>, text: &str) -> Option<Duration> {
    let header = head.header;
    let millis = header("retry-after-ms").and_then(|value| seconds(value).map(|seconds| seconds / 1000));
    let after = || seconds_or_instant(header("retry-after")?, head);
    millis
        .or_else(after)
        .or_else(|| reset(head, true))
        .or_else(|| in_text(text))
        .or_else(|| reset(head, false))
}

/// "… try again in 1.2s …"
pub(super) fn in_text(text: &str) -> Option<Duration> {
    ["try again in ", "retry in ", "retry after ", "try again after "]
        .iter()
        .find_map(|phrase| {
            let (_, rest) = text.split_once(phrase)?;
            duration(rest)
        })
}

fn reset(head: &Head<'_>, spent: bool) -> Option<Duration> {
    let is_spent = |name: String| (head.header)(&name).is_some_and(|left| left.trim() == "0");
    let openai = OPENAI_LIMITS.into_iter().filter_map(|limit| {
        let value = (head.header)(&format!("x-ratelimit-reset-{limit}"))?;
        let applies = !spent || is_spent(format!("x-ratelimit-remaining-{limit}"));
        applies.then(|| duration(value).or_else(|| seconds_or_instant(value, head)))?
    });
    let anthropic = ANTHROPIC_LIMITS.into_iter().filter_map(|limit| {
        let value = (head.header)(&format!("anthropic-ratelimit-{limit}-reset"))?;
        let applies = !spent || is_spent(format!("anthropic-ratelimit-{limit}-remaining"));
        Some(until(rfc3339(value).filter(|_| applies)?, head))
    });
    let one = (head.header)("x-ratelimit-reset").filter(|_| !spent);
    let one = one.and_then(|value| duration(value).or_else(|| seconds_or_instant(value, head)));
    let all = openai.chain(anthropic).chain(one);
    // Every limit that is spent must come back; of the others the first may be enough.
    if spent { all.max() } else { all.min() }
}

pub(super) fn until(unix_ms: u64, head: &Head<'_>) -> Duration {
    let date = (head.header)("date").and_then(http_date);
    Duration::from_millis(unix_ms.saturating_sub(date.unwrap_or(head.now_unix_ms)))
}

/// Seconds from now, an HTTP date, or seconds or milliseconds since 1970.
pub(super) fn seconds_or_instant(value: &str, head: &Head<'_>) -> Option<Duration> {
    const YEAR_2001_S: u64 = 1_000_000_000;
    match seconds(value) {
        Some(seconds) if seconds.as_secs() < YEAR_2001_S => Some(seconds),
        Some(instant) if instant.as_secs() < YEAR_2001_S * 1000 => Some(until(u64::try_from(instant.as_millis()).ok()?, head)),
        Some(millis) => Some(until(millis.as_secs(), head)),
        None => Some(until(http_date(value)?, head)),
    }
}

fn seconds(value: &str) -> Option<Duration> {
    let plain = value.trim();
    let is_number = plain.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    Duration::try_from_secs_f64(plain.parse().ok().filter(|_| is_number)?).ok()
}

fn http_date(value: &str) -> Option<u64> {
    let time = httpdate::parse_http_date(value.trim()).ok()?;
    let since = time.duration_since(std::time::UNIX_EPOCH).ok()?;
    u64::try_from(since.as_millis()).ok()
}

/// A duration at the beginning of a text: `1.2s`, `6m0s`, `1h2m3s`, `12ms`, `20 seconds`.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim_start();
    let mut sum: Option<Duration> = None;
    while rest.starts_with(|c: char| c.is_ascii_digit()) {
        let (number, behind) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len()));
        let behind = behind.strip_prefix(' ').unwrap_or(behind);
        let (unit, behind) = behind.split_at(behind.find(|c: char| !c.is_alphabetic()).unwrap_or(behind.len()));
        let each = match unit {
            "h" | "hour" | "hours" => 3600.0,
            "m" | "min" | "minute" | "minutes" => 60.0,
            "s" | "sec" | "second" | "seconds" => 1.0,
            "ms" | "millisecond" | "milliseconds" => 1e-3,
            "us" | "µs" | "μs" => 1e-6,
            "ns" => 1e-9,
            _ => return sum,
        };
        let part = Duration::try_from_secs_f64(number.parse::<f64>().ok()? * each).ok()?;
        sum = Some(sum.unwrap_or_default().saturating_add(part));
        rest = behind;
    }
    sum
}

/// `2026-11-22T10:00:00Z`, also with a fraction or an offset, to milliseconds since 1970. The fraction is dropped.
pub(super) fn rfc3339(text: &str) -> Option<u64> {
    let (date, time) = text.trim().split_once(['T', 't', ' '])?;
    let mut date = date.splitn(3, '-').map(str::parse::<i64>);
    let (year, month, day) = (date.next()?.ok()?, date.next()?.ok()?, date.next()?.ok()?);
    let zone = time.find(['Z', 'z', '+', '-'])?;
    let (clock, zone) = time.split_at(zone);
    let mut clock = clock.split('.').next()?.splitn(3, ':').map(str::parse::<i64>);
    let (hour, minute, second) = (clock.next()?.ok()?, clock.next()?.ok()?, clock.next()?.ok()?);
    let offset = match zone.split_once(':') {
        None => 0,
        Some((hours, minutes)) => {
            let minutes: i64 = minutes.parse().ok()?;
            let hours: i64 = hours.parse().ok()?;
            hours * 60 + if zone.starts_with('-') { -minutes } else { minutes }
        }
    };
    let sane = (1970..=9999).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    let sane = sane && (0..24).contains(&hour) && (0..60).contains(&minute) && (0..=60).contains(&second) && offset.abs() < 24 * 60;
    if !sane {
        return None;
    }
    // Days since 1970 with the year taken to begin in March, so that the leap day is its last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1 - 719_468;
    let seconds = days * 86_400 + hour * 3600 + minute * 60 + second - offset * 60;
    u64::try_from(seconds).ok()?.checked_mul(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-22T10:00:00Z
    const NOW: u64 = 1_795_341_600_000;

    fn wait(headers: &[(&str, &str)], text: &str) -> Option<Duration> {
        let header = |name: &str| headers.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        let head = Head {
            status: 429,
            header: &header,
            now_unix_ms: NOW,
        };
        told(&head, text)
    }

    #[test]
    fn every_way_of_telling_a_wait_is_understood() {
        for (headers, text, expected) in [
            (&[][..], "", None),
            (&[("retry-after", "7")], "", Some(7000)),
            (&[("retry-after", "0.25")], "", Some(250)),
            (&[("retry-after", "-3")], "", None),
            (&[("retry-after", "soon")], "", None),
            (&[("retry-after", "Sun, 22 Nov 2026 10:00:20 GMT")], "", Some(20_000)),
            (&[("retry-after", "Sun, 22 Nov 2026 09:00:00 GMT")], "", Some(0)),
            (
                &[
                    ("retry-after", "Sun, 22 Nov 2026 10:00:20 GMT"),
                    ("date", "Sun, 22 Nov 2026 10:00:15 GMT"),
                ],
                "",
                Some(5000),
            ),
            (&[("retry-after-ms", "1500"), ("retry-after", "2")], "", Some(1500)),
            (
                &[("x-ratelimit-reset-requests", "12ms"), ("x-ratelimit-reset-tokens", "6m0s")],
                "",
                Some(12),
            ),
            (
                &[
                    ("x-ratelimit-reset-requests", "12ms"),
                    ("x-ratelimit-reset-tokens", "1m30.5s"),
                    ("x-ratelimit-remaining-tokens", "0"),
                ],
                "try again in 3s",
                Some(90_500),
            ),
            (
                &[
                    ("x-ratelimit-reset-requests", "1h"),
                    ("x-ratelimit-remaining-requests", "0"),
                    ("x-ratelimit-reset-tokens", "1s"),
                    ("x-ratelimit-remaining-tokens", "0"),
                ],
                "",
                Some(3_600_000),
            ),
            (&[("x-ratelimit-reset-tokens", "59.9")], "", Some(59_900)),
            (&[("x-ratelimit-reset", "1795341610000")], "", Some(10_000)),
            (&[("x-ratelimit-reset", "1795341603")], "", Some(3000)),
            (&[("x-ratelimit-reset", "4")], "", Some(4000)),
            (
                &[
                    ("anthropic-ratelimit-tokens-reset", "2026-11-22T10:00:30Z"),
                    ("anthropic-ratelimit-requests-reset", "2026-11-22T10:00:04.5Z"),
                ],
                "",
                Some(4000),
            ),
            (
                &[
                    ("anthropic-ratelimit-tokens-reset", "2026-11-22T10:00:30Z"),
                    ("anthropic-ratelimit-requests-reset", "2026-11-22T10:00:04Z"),
                    ("anthropic-ratelimit-tokens-remaining", "0"),
                ],
                "",
                Some(30_000),
            ),
            (
                &[
                    ("anthropic-ratelimit-tokens-reset", "2026-11-22T12:00:00+02:00"),
                    ("date", "Sun, 22 Nov 2026 09:59:59 GMT"),
                ],
                "",
                Some(1000),
            ),
            (&[("anthropic-ratelimit-tokens-reset", "2026-11-22")], "", None),
            (&[], "rate limit reached. please try again in 1.2s. visit", Some(1200)),
            (&[], "please retry after 20 seconds.", Some(20_000)),
            (&[], "try again in 6m12.5s", Some(372_500)),
            (&[], "try again in a while", None),
            (&[("x-ratelimit-reset-requests", "9s")], "try again in 2s", Some(2000)),
        ] {
            assert_eq!(wait(headers, text).map(|wait| wait.as_millis()), expected, "{headers:?} {text}");
        }
    }

    #[test]
    fn instants_agree_with_the_calendar() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T12:00:00Z", 951_825_600),
            ("2026-11-22T10:00:00.123Z", NOW / 1000),
            ("2026-11-22T04:30:00-05:30", NOW / 1000),
            ("2100-03-01T00:00:00Z", 4_107_542_400),
        ] {
            assert_eq!(rfc3339(text), Some(seconds * 1000), "{text}");
        }
        for bad in [
            "",
            "2026-13-01T00:00:00Z",
            "2026-11-22T10:00Z",
            "2026-11-22T25:00:00Z",
            "1960-01-01T00:00:00Z",
            "x-y-zT1:2:3Z",
        ] {
            assert_eq!(rfc3339(bad), None, "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_survived(text in "\\PC{0,40}", number in "[0-9.]{0,400}(ms|s|h|m)?") {
            for text in [text.as_str(), number.as_str()] {
                let _ = (wait(&[("retry-after", text), ("x-ratelimit-reset", text)], text), duration(text), rfc3339(text));
            }
        }
    }
}
