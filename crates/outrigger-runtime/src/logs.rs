//! Logs: one static level, a line at a time to standard error. No directive filter: matching directives against spans costs more than all
//! else that a healthy request does.

use std::io::IsTerminal as _;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{Layer as _, layer::SubscriberExt as _, util::SubscriberInitExt as _};

/// How lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts the process's logs. A second call changes nothing.
pub fn init(level: LevelFilter, format: Format) {
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false);
    let layer = match format {
        Format::Text => layer.with_ansi(std::io::stderr().is_terminal()).boxed(),
        Format::Json => layer.json().flatten_event(true).boxed(),
    };
    // An error here means that a test has set its own subscriber before.
    let _ = tracing_subscriber::registry().with(layer.with_filter(level)).try_init();
}
