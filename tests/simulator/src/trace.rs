//! What happened, in order: a hash of it always, for comparing two runs, and the entries themselves where somebody wants to read them.

use outrigger_core::{Class, Tick, Verdict};
use std::{
    fmt,
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

/// One line of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When.
    pub at: Tick,
    /// Where, counted from 0.
    pub sidecar: usize,
    /// The call's number in its world; absent where no call is meant.
    pub call: Option<usize>,
    /// What.
    pub what: What,
}

/// What an entry tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum What {
    /// A call came.
    Arrived {
        /// Wants a stream.
        stream: bool,
        /// Reference tokens.
        prompt_tokens: u32,
        /// When it must have been answered, microseconds.
        deadline: u64,
    },
    /// An attempt was sent.
    Sent {
        /// Index of the target.
        target: usize,
        /// Index of the key.
        key: Option<usize>,
        /// Asks whether the target is well again.
        probe: bool,
        /// Once more, on a new connection.
        fresh: bool,
    },
    /// An attempt ended.
    Ended {
        /// Index of the target.
        target: usize,
        /// How.
        class: Class,
        /// The connection had been closed before the request came.
        stale: bool,
    },
    /// The loop ended an attempt.
    Cut {
        /// Index of the target.
        target: usize,
    },
    /// The loop waits until then, microseconds.
    Waits(u64),
    /// The loop has ended.
    Finished(&'static str),
    /// A stream ended after its first content.
    Streamed {
        /// By itself.
        whole: bool,
    },
    /// The caller left.
    HungUp,
    /// Another table is in force.
    Reloaded,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    hasher: DefaultHasher,
    kept: Option<Vec<Entry>>,
}

impl Trace {
    pub(crate) fn new(keep: bool) -> Self {
        Self {
            hasher: DefaultHasher::new(),
            kept: keep.then(Vec::new),
        }
    }

    pub(crate) fn note(&mut self, entry: Entry) {
        entry.at.hash(&mut self.hasher);
        entry.call.hash(&mut self.hasher);
        entry.what.hash(&mut self.hasher);
        if let Some(kept) = &mut self.kept {
            kept.push(entry);
        }
    }

    pub(crate) fn end(self) -> (u64, Vec<Entry>) {
        (self.hasher.finish(), self.kept.unwrap_or_default())
    }
}

pub(crate) fn word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Committed(_) => "answered",
        Verdict::Refused(_) => "refused",
        Verdict::Exhausted { .. } => "exhausted",
        Verdict::DeadlinePassed => "deadline passed",
        Verdict::NoTarget { .. } => "no target",
    }
}

/// Seconds with milliseconds.
pub(crate) fn seconds(micros: u64) -> String {
    format!("{}.{:03}", micros / 1_000_000, micros / 1_000 % 1_000)
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let call = self.call.map(|call| format!("#{call}")).unwrap_or_default();
        write!(f, "{:>9}  s{:<2} {call:<6} ", seconds(self.at.0), self.sidecar)?;
        match self.what {
            What::Arrived {
                stream,
                prompt_tokens,
                deadline,
            } => {
                let kind = if stream { "stream" } else { "unary" };
                write!(f, "arrives   {kind}, {prompt_tokens} tokens, until {}", seconds(deadline))
            }
            What::Sent { target, key, probe, fresh } => {
                let key = key.map(|key| format!(" k{key}")).unwrap_or_default();
                let probe = if probe { ", a probe" } else { "" };
                let fresh = if fresh { ", once more" } else { "" };
                write!(f, "sends     t{target}{key}{probe}{fresh}")
            }
            What::Ended { target, class, stale } => {
                let stale = if stale { ", stale" } else { "" };
                write!(f, "ends      t{target} {}{stale}", class.as_str())
            }
            What::Cut { target } => write!(f, "cuts      t{target}"),
            What::Waits(until) => write!(f, "waits     until {}", seconds(until)),
            What::Finished(how) => write!(f, "finishes  {how}"),
            What::Streamed { whole: true } => write!(f, "streamed  to the end"),
            What::Streamed { whole: false } => write!(f, "streamed  and broke off"),
            What::HungUp => write!(f, "hangs up"),
            What::Reloaded => write!(f, "reloads"),
        }
    }
}
