//! What figures are made with: a line for people, a verdict, memory, quantiles, an even load.

use crate::{client::Connection, plane::post, yaml::chat};
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

/// Prints a figure beside what was asked, and fails where it is missed.
///
/// # Panics
/// Where it is missed.
#[expect(clippy::print_stdout, reason = "this is what a figure is for")]
pub fn figure(what: &str, measured: impl std::fmt::Display, asked: &str, met: bool) {
    println!("figure: {what}: {measured} (asked: {asked}){}", if met { "" } else { " MISSED" });
    assert!(met, "{what}: {measured}, asked: {asked}");
}

/// A line of `/proc/PID/status` in MiB, such as `VmRSS:`.
///
/// # Panics
/// Where there is no such process or line.
#[expect(clippy::expect_used, reason = "a figure cannot go on without it")]
pub fn memory(pid: u32, field: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("a line");
    let kib: f64 = line
        .split_whitespace()
        .next()
        .and_then(|number| number.parse().ok())
        .expect("a number");
    kib / 1_024.0
}

/// Sorted times, shown by their quantiles.
#[derive(Clone, Debug, Default)]
pub struct Times(Vec<Duration>);

impl Times {
    /// Of these.
    pub fn new(times: impl IntoIterator<Item = Duration>) -> Self {
        let mut times: Vec<Duration> = times.into_iter().collect();
        times.sort_unstable();
        Self(times)
    }

    /// The least that so many of a thousand do not exceed; nothing is zero.
    pub fn quantile(&self, thousandths: usize) -> Duration {
        let rank = (self.0.len() * thousandths).div_ceil(1_000).max(1);
        self.0.get(rank - 1).copied().unwrap_or_default()
    }
}

impl std::fmt::Display for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ms = |thousandths| self.quantile(thousandths).as_millis();
        write!(
            f,
            "p50 {} ms, p99 {} ms, most {} ms of {}",
            ms(500),
            ms(990),
            ms(1_000),
            self.0.len()
        )
    }
}

/// One call of a load.
#[derive(Clone, Copy, Debug)]
pub struct Shot {
    /// When it was to be sent.
    pub at: Instant,
    /// Which of the addresses it went to.
    pub to: usize,
    /// The answer's status; 0 = the connection broke.
    pub status: u16,
}

/// An even load of chat calls on several data planes, each over connections of its own.
#[derive(Debug)]
pub struct Load {
    shots: Arc<Mutex<Vec<Shot>>>,
    tasks: JoinSet<()>,
}

impl Load {
    /// Sends calls for `model` to each of `addresses`, `per_second` of them a second, until it is stopped.
    pub fn start(addresses: &[SocketAddr], model: &str, per_second: u32) -> Self {
        let shots = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = JoinSet::new();
        let begin = Instant::now();
        for (to, address) in addresses.iter().copied().enumerate() {
            let (shots, model) = (Arc::clone(&shots), model.to_owned());
            tasks.spawn(async move {
                let gap = Duration::from_secs(1) / per_second;
                // Spread, so that the planes are not called in step.
                let shift = gap.mul_f64(f64::from(u32::try_from(to % 16).unwrap_or(0)) / 16.0);
                let mut connection = None;
                for number in 0.. {
                    let at = begin + shift + gap * number;
                    tokio::time::sleep_until(at.into()).await;
                    let status = shoot(&mut connection, address, &model).await;
                    shots.lock().unwrap_or_else(PoisonError::into_inner).push(Shot { at, to, status });
                }
            });
        }
        Self { shots, tasks }
    }

    /// Ends it and returns the calls that were answered, oldest first.
    pub async fn stop(mut self) -> Vec<Shot> {
        self.tasks.shutdown().await;
        let mut shots = std::mem::take(&mut *self.shots.lock().unwrap_or_else(PoisonError::into_inner));
        shots.sort_unstable_by_key(|shot| shot.at);
        shots
    }
}

async fn shoot(connection: &mut Option<Connection>, address: SocketAddr, model: &str) -> u16 {
    if connection.is_none() {
        *connection = Connection::open(address).await.ok();
    }
    let Some(open) = connection else { return 0 };
    let answer = open.send(post("/v1/chat/completions", &chat(model, "hello"))).await;
    let Ok(answer) = answer else {
        *connection = None;
        return 0;
    };
    answer.status
}
