//! Timeouts, attempts and breaker: what is written, over the defaults. The rules hold by now, so a text that does not parse cannot occur; if
//! it did, the default would stand.

use super::super::keys::retention;
use crate::{
    units::{parse_duration, parse_ratio},
    v1alpha1,
};
use core::time::Duration;
use outrigger_core::{Attempts, Breaker, Residency, SlowOf, SlowRule, Timeouts};

/// `over` with whatever is written.
pub(super) fn timeouts(over: Timeouts, written: Option<&v1alpha1::Timeouts>) -> Timeouts {
    let Some(written) = written else { return over };
    Timeouts {
        connect: duration(written.connect.as_deref()).unwrap_or(over.connect),
        response: duration(written.response.as_deref()).unwrap_or(over.response),
        first_token: duration(written.first_token.as_deref()).unwrap_or(over.first_token),
        between_tokens: duration(written.between_tokens.as_deref()).unwrap_or(over.between_tokens),
        total: duration(written.total.as_deref()).unwrap_or(over.total),
    }
}

/// The attempt budget. A wait that is written alone pushes the other's default aside, so that the first is never longer than the longest.
pub(super) fn attempts(written: Option<&v1alpha1::Attempts>) -> Attempts {
    let default = Attempts::default();
    let Some(written) = written else { return default };
    let backoff = written.backoff.clone().unwrap_or_default();
    let (base, max) = match (duration(backoff.base.as_deref()), duration(backoff.max.as_deref())) {
        (Some(base), Some(max)) => (base.min(max), max),
        (Some(base), None) => (base, default.backoff_max.max(base)),
        (None, Some(max)) => (default.backoff_base.min(max), max),
        (None, None) => (default.backoff_base, default.backoff_max),
    };
    Attempts {
        max: written.max.unwrap_or(default.max).clamp(1, 16),
        backoff_base: base,
        backoff_max: max,
        content_policy_moves_on: written.on_content_policy == v1alpha1::OnContentPolicy::Next,
    }
}

pub(super) fn residency(written: &v1alpha1::Residency) -> Residency {
    Residency {
        regions: written.regions.clone(),
        retention_ms: written.retention.as_deref().and_then(retention),
        no_training: written.training == Some(false),
    }
}

pub(super) fn breaker(written: Option<&v1alpha1::Breaker>) -> Breaker {
    let Some(written) = written else { return Breaker::default() };
    let slow = |slow: &v1alpha1::Slow| {
        Some(SlowRule {
            of: match slow.of {
                v1alpha1::SlowOf::FirstContent => SlowOf::FirstContent,
                v1alpha1::SlowOf::Total => SlowOf::Total,
                v1alpha1::SlowOf::PerToken => SlowOf::PerToken,
            },
            quantile_ppm: parse_ratio(&slow.quantile)?,
            threshold: parse_duration(&slow.threshold)?,
        })
    };
    Breaker {
        slow: written.slow.as_ref().and_then(slow),
        error_rate_ppm: written.errors.as_ref().and_then(|errors| parse_ratio(&errors.rate)),
    }
}

fn duration(text: Option<&str>) -> Option<Duration> {
    text.and_then(parse_duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_stands_over_the_defaults() {
        let written = v1alpha1::Timeouts {
            first_token: Some("20s".to_owned()),
            ..v1alpha1::Timeouts::default()
        };
        let timeouts = timeouts(Timeouts::default(), Some(&written));
        assert_eq!(timeouts.first_token, Duration::from_secs(20));
        assert_eq!(timeouts.connect, Timeouts::default().connect);
    }

    #[test]
    fn the_first_wait_is_never_longer_than_the_longest() {
        for (base, max) in [(Some("10s"), None), (None, Some("10ms")), (Some("1s"), Some("5s")), (None, None)] {
            let backoff = v1alpha1::Backoff {
                base: base.map(str::to_owned),
                max: max.map(str::to_owned),
            };
            let written = v1alpha1::Attempts {
                max: Some(2),
                backoff: Some(backoff),
                ..v1alpha1::Attempts::default()
            };
            let attempts = attempts(Some(&written));
            assert!(attempts.backoff_base <= attempts.backoff_max, "{base:?} {max:?}");
            assert_eq!(attempts.max, 2);
        }
    }
}
