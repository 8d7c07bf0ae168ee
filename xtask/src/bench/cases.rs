//! What is measured: the cases, the figures that each gives, and the bar that each figure is held to.
//! It must never run anything.

use serde::Serialize;

use super::spec::{Answer, Arrivals, Measured};

/// A kind of load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Case {
    /// 1 KB there, 1 KB back.
    Unary,
    /// 20 content events, each its own read and write.
    Stream,
    /// The same, and the client asks for the usage event itself.
    StreamUsage,
    /// A 100 KB prompt.
    #[value(name = "prompt-100k")]
    #[serde(rename = "prompt-100k")]
    Prompt100k,
    /// A 400 KB prompt.
    #[value(name = "prompt-400k")]
    #[serde(rename = "prompt-400k")]
    Prompt400k,
    /// Unary, Poisson arrivals at half of the floor's throughput.
    Open,
    /// Streams with 20 ms between events: is each delivered alone, and when?
    Pacing,
    /// Resident size idle and with 3,000 streams in progress.
    Memory,
}

/// How long and how often.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Effort {
    /// Rounds of the floor and the subject in turn.
    pub(crate) rounds: u32,
    /// Not counted, per run.
    pub(crate) warmup_ms: u64,
    /// Counted, per run.
    pub(crate) window_ms: u64,
    /// Paced events of each stream of [`Case::Memory`].
    pub(crate) held_chunks: usize,
}

/// The part of a run that the case decides.
pub(crate) struct Shape {
    pub(crate) prompt_bytes: usize,
    pub(crate) answer: Answer,
    pub(crate) arrivals: Arrivals,
    pub(crate) connections: usize,
    pub(crate) warmup_ms: u64,
    pub(crate) window_ms: u64,
}

impl Case {
    /// All that run unless some are named.
    pub(crate) const DEFAULT: [Self; 7] = [
        Self::Unary,
        Self::Stream,
        Self::Prompt100k,
        Self::Prompt400k,
        Self::Open,
        Self::Pacing,
        Self::Memory,
    ];

    /// For people.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Unary => "unary 1 KB",
            Self::Stream => "stream of 20 chunks",
            Self::StreamUsage => "stream, usage asked for",
            Self::Prompt100k => "prompt of 100 KB",
            Self::Prompt400k => "prompt of 400 KB",
            Self::Open => "64 connections, open loop",
            Self::Pacing => "chunks 20 ms apart",
            Self::Memory => "3,000 open streams",
        }
    }

    /// Does the load keep the proxy's core busy?
    pub(crate) fn saturates(self) -> bool {
        match self {
            Self::Unary | Self::Stream | Self::StreamUsage | Self::Prompt100k | Self::Prompt400k => true,
            Self::Open | Self::Pacing | Self::Memory => false,
        }
    }

    /// Does each run start with a fresh process?
    pub(crate) fn fresh(self) -> bool {
        self == Self::Memory
    }

    /// Memory repeats to the page, and its runs are long.
    pub(crate) fn rounds(self, effort: &Effort) -> u32 {
        if self.fresh() { effort.rounds.min(2) } else { effort.rounds }
    }

    /// The load; `half` is half of the floor's throughput, in requests per second, for [`Case::Open`].
    pub(crate) fn shape(self, effort: &Effort, round: u32, half: f64) -> Shape {
        let Effort {
            warmup_ms,
            window_ms,
            held_chunks,
            ..
        } = *effort;
        let closed = Shape {
            prompt_bytes: 700,
            answer: Answer::Unary { text_bytes: 450 },
            arrivals: Arrivals::Closed,
            connections: 32,
            warmup_ms,
            window_ms,
        };
        let stream = |include_usage| Answer::Stream {
            chunks: 20,
            pace_us: None,
            include_usage,
        };
        match self {
            Self::Unary => closed,
            Self::Stream => Shape {
                answer: stream(false),
                ..closed
            },
            Self::StreamUsage => Shape {
                answer: stream(true),
                ..closed
            },
            Self::Prompt100k => Shape {
                prompt_bytes: 100_000,
                ..closed
            },
            Self::Prompt400k => Shape {
                prompt_bytes: 400_000,
                ..closed
            },
            Self::Open => Shape {
                arrivals: Arrivals::Open {
                    per_second: half,
                    seed: u64::from(round),
                },
                connections: 64,
                // The last per mille needs samples.
                window_ms: window_ms * 2,
                ..closed
            },
            Self::Pacing => Shape {
                answer: Answer::Stream {
                    chunks: 20,
                    pace_us: Some(20_000),
                    include_usage: false,
                },
                connections: 50,
                ..closed
            },
            Self::Memory => Shape {
                answer: Answer::Stream {
                    chunks: held_chunks,
                    pace_us: Some(500_000),
                    include_usage: false,
                },
                arrivals: Arrivals::Once { per_second: 1_500.0 },
                connections: 3_000,
                warmup_ms: 0,
                // An upper bound: the run is over when every stream is.
                window_ms: 60_000,
                ..closed
            },
        }
    }

    /// The figures of this case.
    pub(crate) fn figures(self) -> Vec<Figure> {
        let figure = |name, unit, bar, value| Figure { name, unit, value, bar };
        let saturated = |bar| {
            vec![
                figure("CPU per request", "µs", bar, cpu),
                figure(INSTRUCTIONS, "k", Bar::None, |run| {
                    Some(count(run.instructions?) / count(run.answered) / 1e3)
                }),
                figure("throughput", "/s", Bar::None, |run| Some(throughput(run))),
            ]
        };
        match self {
            Self::Unary | Self::Stream => saturated(Bar::Ratio(1.0)),
            Self::StreamUsage => saturated(Bar::None),
            Self::Prompt100k => saturated(Bar::Ratio(1.15)),
            Self::Prompt400k => saturated(Bar::Ratio(1.25)),
            Self::Open => vec![
                figure("p50", "µs", Bar::None, |run| Some(micros(run.latency.p50))),
                figure("p99", "µs", Bar::Ratio(1.3), |run| Some(micros(run.latency.p99))),
                figure("p99.9", "µs", Bar::None, |run| Some(micros(run.latency.p999))),
                figure("CPU per request", "µs", Bar::None, cpu),
            ],
            Self::Pacing => vec![
                figure("coalesced", "chunks", Bar::Most(0.0), |run| Some(count(run.coalesced))),
                figure("delay p50", "µs", Bar::None, |run| Some(micros(run.chunk_delay?.p50))),
                figure("delay p99", "µs", Bar::None, |run| Some(micros(run.chunk_delay?.p99))),
            ],
            Self::Memory => vec![
                figure("RSS idle", "MiB", Bar::Most(12.0), |run| Some(count(run.rss_start_kib) / 1024.0)),
                figure("RSS per stream", "KiB", Bar::Most(36.0), per_stream),
                figure("VmHWM", "MiB", Bar::None, |run| Some(count(run.hwm_kib) / 1024.0)),
            ],
        }
    }
}

/// One figure of a run.
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    /// Absent where the run did not give it.
    pub(crate) value: fn(&Measured) -> Option<f64>,
    pub(crate) bar: Bar,
}

/// What a figure is held to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Bar {
    /// Shown only.
    None,
    /// The median of the ratios to the floor is at most this.
    Ratio(f64),
    /// The subject's median is at most this, in the figure's unit.
    Most(f64),
}

/// The figure that only counting rounds give.
pub(crate) const INSTRUCTIONS: &str = "instructions per request";

fn cpu(run: &Measured) -> Option<f64> {
    (run.completed > 0).then(|| micros(run.cpu_ns) / count(run.completed))
}

fn per_stream(run: &Measured) -> Option<f64> {
    (run.rss_open_kib > 0).then(|| (count(run.rss_open_kib) - count(run.rss_start_kib)) / count(run.open_peak as u64))
}

/// Requests per second of a run.
pub(crate) fn throughput(run: &Measured) -> f64 {
    count(run.completed) / count(run.window_ns) * 1e9
}

fn micros(nanos: u64) -> f64 {
    count(nanos) / 1e3
}

/// A count as a number to divide by.
#[expect(clippy::cast_precision_loss, reason = "no count here comes near 2^53")]
pub(crate) fn count(value: u64) -> f64 {
    value as f64
}
