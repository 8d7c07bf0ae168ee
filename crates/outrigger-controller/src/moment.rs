//! Calendar times as Kubernetes writes them.

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{MicroTime, Time},
    jiff::Timestamp,
};

/// Whole seconds, as conditions carry them. `unix_ms` beyond the calendar becomes 1970.
pub(crate) fn seconds(unix_ms: u64) -> Time {
    let whole = i64::try_from(unix_ms / 1_000).ok();
    Time(
        whole
            .and_then(|whole| Timestamp::from_second(whole).ok())
            .unwrap_or(Timestamp::UNIX_EPOCH),
    )
}

/// With fractions, as leases and Events carry them.
pub(crate) fn micros(unix_ms: u64) -> MicroTime {
    let ms = i64::try_from(unix_ms).ok();
    MicroTime(
        ms.and_then(|ms| Timestamp::from_millisecond(ms).ok())
            .unwrap_or(Timestamp::UNIX_EPOCH),
    )
}
