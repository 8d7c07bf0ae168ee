//! `outrigger catalog`: the models that are known.

use crate::output::say;

/// Prints the table.
pub(crate) fn run() {
    say(outrigger_config::catalog::render().trim_end());
}
