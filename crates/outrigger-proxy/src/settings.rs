//! What one process of the data plane is allowed to use. Read once at start; never looked up on the request path.

use crate::traces::Recorder;
use std::{sync::Arc, time::Duration};

/// Caps and patience towards clients. Every buffer of the data plane is bounded by one of these.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The ServiceAccount of the pod whose applications call; absent where there is none.
    pub service_account: Option<Arc<str>>,
    /// Whether providers that want health checks are asked all the time; else only for targets that are down while no call goes there.
    pub polls: bool,
    /// Largest request body, bytes; over it 413.
    pub max_body: usize,
    /// Largest unary answer that is held back until it is complete, bytes; a larger one is streamed, and failover is given up.
    pub max_unary: usize,
    /// Bytes of prompts and held answers that may be in memory at once; over it 503 with `Retry-After`.
    pub max_buffered: u64,
    /// Calls in flight; over it 503 with `Retry-After`.
    pub max_in_flight: usize,
    /// Client connections; further ones wait in the kernel's queue.
    pub max_connections: usize,
    /// How long a connection may rest between two calls.
    pub idle: Duration,
    /// How long a client may take to send a request head.
    pub head: Duration,
    /// Longest silence inside a request body, and longest time that a client may refuse to read.
    pub stall: Duration,
    /// How long calls in flight may go on after SIGTERM.
    pub drain: Duration,
    /// Where requests are traced; absent where none are.
    pub(crate) traces: Option<Recorder>,
}

impl Settings {
    /// The defaults for a process that may use `memory` bytes: 40 % of it for bytes in flight.
    pub fn for_memory(memory: u64) -> Self {
        Self {
            max_buffered: memory / 5 * 2,
            ..Self::default()
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            service_account: None,
            polls: false,
            max_body: 20 << 20,
            max_unary: 8 << 20,
            max_buffered: (512 << 20) / 5 * 2,
            max_in_flight: 8192,
            max_connections: 8192,
            idle: Duration::from_mins(10),
            head: Duration::from_secs(30),
            stall: Duration::from_mins(1),
            drain: Duration::from_mins(10),
            traces: None,
        }
    }
}
