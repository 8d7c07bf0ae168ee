//! What a person reads: results on standard output, everything else on standard error. A reader that went away ends nothing.

use anyhow::Context as _;
use std::io::Write as _;

/// A line of the result.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// A line about the work.
pub(crate) fn complain(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// Writes a ports file in one step: whoever waits for it never reads half of it.
pub(crate) fn write_ports(file: &std::path::Path, ports: &serde_json::Value) -> anyhow::Result<()> {
    outrigger_runtime::files::replace(file, ports.to_string().as_bytes()).with_context(|| format!("cannot write {}", file.display()))
}
