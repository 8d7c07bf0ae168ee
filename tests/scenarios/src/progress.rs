//! How far a run is: a bar on a terminal, a line now and then elsewhere. It must never write to standard output.

use indicatif::{ProgressBar, ProgressStyle};
use std::{
    io::{IsTerminal as _, Write as _},
    sync::atomic::{AtomicU64, Ordering},
};

/// Counts answered calls.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    plain: bool,
    steps: AtomicU64,
}

impl Progress {
    /// Of so many calls.
    pub(crate) fn new(what: &str, calls: usize) -> Self {
        let bar = ProgressBar::new(calls as u64);
        let style = ProgressStyle::with_template("{prefix:12} [{bar:30}] {pos}/{len} calls, {elapsed_precise}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
        bar.set_prefix(what.to_owned());
        Self {
            bar,
            plain: !std::io::stderr().is_terminal(),
            steps: AtomicU64::new(0),
        }
    }

    pub(crate) fn step(&self) {
        let done = self.steps.fetch_add(1, Ordering::Relaxed) + 1;
        self.bar.inc(1);
        let tenth = self.bar.length().unwrap_or(0).div_ceil(10).max(1);
        if self.plain && done.is_multiple_of(tenth) {
            let _ = writeln!(std::io::stderr(), "{}: {done} calls answered", self.bar.prefix());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
