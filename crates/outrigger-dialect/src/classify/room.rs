//! How much of a key's rate is left, by the headers of any answer. Nothing told is `None`, and never a guess.

use super::{
    Head,
    wait::{ANTHROPIC_LIMITS, OPENAI_LIMITS, duration, rfc3339, seconds_or_instant, until},
};
use core::time::Duration;

/// The tightest limit of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Share of the limit that is left, in millionths.
    pub remaining_ppm: u32,
    /// How long until it is whole again; `None` = not told.
    pub resets: Option<Duration>,
}

/// Whether a header of this name, in lower case, is one that [`room`] goes by: most providers send none.
pub fn tells_of_room(name: &str) -> bool {
    name.starts_with("x-ratelimit-limit-") || name.starts_with("anthropic-ratelimit-")
}

/// Of the limits on requests and on tokens the one of which the least is left.
pub fn room(head: &Head<'_>) -> Option<Room> {
    let header = head.header;
    // One look tells the providers that say nothing, which most are.
    if header("x-ratelimit-limit-requests")
        .or_else(|| header("x-ratelimit-limit-tokens"))
        .is_some()
    {
        let limits = OPENAI_LIMITS.into_iter().filter_map(|limit| {
            let remaining_ppm = share(
                header(&format!("x-ratelimit-remaining-{limit}"))?,
                header(&format!("x-ratelimit-limit-{limit}"))?,
            )?;
            let resets = header(&format!("x-ratelimit-reset-{limit}"));
            let resets = resets.and_then(|value| duration(value).or_else(|| seconds_or_instant(value, head)));
            Some(Room { remaining_ppm, resets })
        });
        return limits.min_by_key(|room| room.remaining_ppm);
    }
    header("anthropic-ratelimit-requests-limit").or_else(|| header("anthropic-ratelimit-tokens-limit"))?;
    let limits = ANTHROPIC_LIMITS.into_iter().filter_map(|limit| {
        let named = |what: &str| header(&format!("anthropic-ratelimit-{limit}-{what}"));
        let remaining_ppm = share(named("remaining")?, named("limit")?)?;
        let resets = named("reset").and_then(rfc3339).map(|at| until(at, head));
        Some(Room { remaining_ppm, resets })
    });
    limits.min_by_key(|room| room.remaining_ppm)
}

fn share(left: &str, limit: &str) -> Option<u32> {
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let (left, limit) = (number(left)?, number(limit)?);
    let share = u128::from(left.min(limit)) * 1_000_000;
    u32::try_from(share.checked_div(u128::from(limit))?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(headers: &[(&str, &str)]) -> Option<Room> {
        let header = |name: &str| headers.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        let told = room(&Head {
            status: 200,
            header: &header,
            now_unix_ms: 1_700_000_000_000,
        });
        assert!(told.is_none() || headers.iter().any(|(name, _)| tells_of_room(name)), "{headers:?}");
        told
    }

    #[test]
    fn the_tightest_limit_counts_in_either_dialects_headers() {
        let room = |remaining_ppm, seconds: Option<u64>| {
            Some(Room {
                remaining_ppm,
                resets: seconds.map(Duration::from_secs),
            })
        };
        let openai = [
            ("x-ratelimit-limit-requests", "500"),
            ("x-ratelimit-remaining-requests", "499"),
            ("x-ratelimit-reset-requests", "120ms"),
            ("x-ratelimit-limit-tokens", "30000"),
            ("x-ratelimit-remaining-tokens", "1500"),
            ("x-ratelimit-reset-tokens", "6m0s"),
        ];
        assert_eq!(of(&openai), room(50_000, Some(360)));
        assert_eq!(of(&openai[3..]), room(50_000, Some(360)));
        assert_eq!(of(&openai[..2]), room(998_000, None));
        let anthropic = [
            ("date", "Tue, 14 Nov 2023 22:13:20 GMT"),
            ("anthropic-ratelimit-requests-limit", "50"),
            ("anthropic-ratelimit-requests-remaining", "40"),
            ("anthropic-ratelimit-requests-reset", "2023-11-14T22:13:30Z"),
            ("anthropic-ratelimit-output-tokens-limit", "8000"),
            ("anthropic-ratelimit-output-tokens-remaining", "0"),
            ("anthropic-ratelimit-output-tokens-reset", "2023-11-14T22:14:20Z"),
        ];
        assert_eq!(of(&anthropic), room(0, Some(60)));
    }

    #[test]
    fn what_says_nothing_or_nonsense_tells_nothing() {
        for headers in [
            &[][..],
            &[("x-ratelimit-limit-requests", "500")],
            &[("x-ratelimit-limit-requests", "0"), ("x-ratelimit-remaining-requests", "0")],
            &[("x-ratelimit-limit-requests", "many"), ("x-ratelimit-remaining-requests", "few")],
            &[("x-ratelimit-remaining-requests", "3")],
        ] {
            assert_eq!(of(headers), None, "{headers:?}");
        }
        let more = of(&[
            ("x-ratelimit-limit-tokens", "10"),
            ("x-ratelimit-remaining-tokens", "99999999999999999999999"),
        ]);
        assert_eq!(more, None);
        let above = of(&[("x-ratelimit-limit-tokens", "10"), ("x-ratelimit-remaining-tokens", "11")]);
        assert_eq!(above.map(|room| room.remaining_ppm), Some(1_000_000));
    }
}
