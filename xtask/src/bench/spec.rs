//! What one measured run is asked to do, and what it found: the JSON between `cargo xtask bench` and its `bench-peer` processes.
//! It must never hold a judgement (goals, ratios): raw figures only, so that the report can be written anew from stored runs.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// One run of the load against one proxy.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Spec {
    /// Where the measured proxy listens.
    pub(crate) proxy: SocketAddr,
    /// Where that proxy forwards to; the run answers there itself.
    pub(crate) upstream: SocketAddr,
    /// The measured process.
    pub(crate) pid: u32,
    /// Bytes of prompt text per request.
    pub(crate) prompt_bytes: usize,
    /// What the upstream answers.
    pub(crate) answer: Answer,
    /// When requests start.
    pub(crate) arrivals: Arrivals,
    /// Client connections.
    pub(crate) connections: usize,
    /// Not counted, before the window.
    pub(crate) warmup_ms: u64,
    /// Counted.
    pub(crate) window_ms: u64,
}

/// What the scripted upstream answers to each request.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    /// One JSON body with this much text in it.
    Unary {
        /// Bytes of generated text.
        text_bytes: usize,
    },
    /// Server-sent events.
    Stream {
        /// Content events.
        chunks: usize,
        /// Gap between them. Absent: each is sent when the client has seen the one before, so that no proxy saves a system call by
        /// being slow.
        pace_us: Option<u64>,
        /// Does the client ask for the usage event itself?
        include_usage: bool,
    },
}

/// When requests start.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Arrivals {
    /// Each connection asks again as soon as it has its answer.
    Closed,
    /// Poisson arrivals, whatever the answers do. Latency counts from the scheduled time.
    Open {
        /// Mean rate.
        per_second: f64,
        /// The same seed gives the same schedule.
        seed: u64,
    },
    /// Each connection asks once; all answers are in progress together.
    Once {
        /// How fast they start.
        per_second: f64,
    },
}

/// What one run found.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Measured {
    /// Answers that ended inside the window.
    pub(crate) completed: u64,
    /// Answers in all, warm-up and the end included.
    pub(crate) answered: u64,
    /// Length of the window.
    pub(crate) window_ns: u64,
    /// CPU time that the process used in the window, all threads.
    pub(crate) cpu_ns: u64,
    /// Time in the window that its threads were ready while something else had the CPU.
    pub(crate) waited_ns: u64,
    /// The same of the load itself.
    pub(crate) load_waited_ns: u64,
    /// Instructions over the whole run, if this run counted them.
    pub(crate) instructions: Option<u64>,
    /// From the start (open loop: the scheduled start) to the last byte.
    pub(crate) latency: Quantiles,
    /// Paced streams: from the upstream's write of an event to the client's read of it.
    pub(crate) chunk_delay: Option<Quantiles>,
    /// Writes of the upstream that one read of the client delivered together with an earlier one.
    pub(crate) coalesced: u64,
    /// The most streams in progress at once, first event seen.
    pub(crate) open_peak: usize,
    /// Resident size before the first connection.
    pub(crate) rss_start_kib: u64,
    /// Highest sampled resident size while all connections had a stream in progress.
    pub(crate) rss_open_kib: u64,
    /// Resident size at the end of the window.
    pub(crate) rss_end_kib: u64,
    /// The kernel's own high-water mark at the end of the window.
    pub(crate) hwm_kib: u64,
    /// Requests that failed or came back different from what was sent.
    pub(crate) errors: u64,
    /// What was wrong with the first of them.
    pub(crate) first_error: Option<String>,
}

/// Of a distribution, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Quantiles {
    /// Samples.
    pub(crate) count: u64,
    /// Median.
    pub(crate) p50: u64,
    /// 99 %.
    pub(crate) p99: u64,
    /// 99.9 %.
    pub(crate) p999: u64,
    /// Largest.
    pub(crate) max: u64,
}
