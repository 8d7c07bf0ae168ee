//! What every scenario stands on: scripted providers, the real binary in front of them, and a clock that both share.

use anyhow::Context as _;
use outrigger_mock::{Behaviour, Mock};
use serde_json::Value;
use std::time::Duration;
use tokio::time::Instant;

/// Scripts a provider.
///
/// # Errors
/// `behaviour` is none.
pub(crate) fn script(mock: &Mock, name: &str, behaviour: &Value) -> anyhow::Result<()> {
    let behaviour = Behaviour::parse(&behaviour.to_string()).map_err(anyhow::Error::msg)?;
    mock.set(name, behaviour);
    Ok(())
}

/// Scripted providers on a port of their own.
pub(crate) fn mock() -> anyhow::Result<Mock> {
    Mock::local().context("scripted providers")
}

/// Waits until so long after `begin`.
pub(crate) async fn until(begin: Instant, seconds: f64) {
    tokio::time::sleep_until(begin + Duration::from_secs_f64(seconds)).await;
}

/// A moment from now, when everybody is ready.
pub(crate) fn soon() -> Instant {
    Instant::now() + Duration::from_millis(300)
}
