//! Client and scripted upstream of a measured proxy in *one* thread over *one* poll that never sleeps. Were they two processes, or did
//! they sleep between events, the proxy would be billed for waking them, and a cheaper proxy would look worse.
//! It must never pause before its run is over, and its run is always over: every phase has an end.

mod upstream;

use std::collections::VecDeque;
use std::io::{self, Read as _};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token};

use crate::answer::Script;
use crate::client::Client;
use crate::prompt::Prompt;
use crate::sample::now;
use crate::spec::{Answer, Arrivals, Measured, Spec};
use crate::tally::Tally;
use crate::uplink::Uplink;

const LISTENER: Token = Token(0);
const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);
const DRAIN: Duration = Duration::from_secs(5);
const MAX_ERRORS: u64 = 1_000;
const READ: usize = 256 << 10;

/// Runs `spec` from the first connection to the last answer.
///
/// # Errors
/// The upstream's address is taken, the measured process is gone, or nearly nothing succeeds.
pub(crate) fn run(spec: &Spec) -> anyhow::Result<Measured> {
    let mut load = Load::new(spec)?;
    let mut events = Events::with_capacity(1024);
    while load.advance()? {
        match load.poll.poll(&mut events, Some(Duration::ZERO)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error.into()),
            Ok(()) | Err(_) => {}
        }
        for event in &events {
            let Token(token) = event.token();
            // A short read has emptied the socket, but where the other side has closed, its end is still to be read.
            let to_end = event.is_read_closed();
            match token.checked_sub(1) {
                None => load.accept()?,
                Some(peer) if peer < spec.connections => load.client_ready(peer, to_end)?,
                Some(slot) => load.uplink_ready(slot - spec.connections, to_end)?,
            }
        }
    }
    Ok(load.tally.finish())
}

enum Phase {
    Warmup { until: Instant },
    Window { until: Instant },
    Drain { until: Instant },
}

struct Load<'a> {
    spec: &'a Spec,
    prompt: Prompt,
    script: Script,
    pace: Option<Duration>,
    poll: Poll,
    listener: TcpListener,
    clients: Vec<Client>,
    /// By client: the stream that the upstream sends to it.
    relays: Vec<Relay>,
    uplinks: Vec<Option<Uplink>>,
    free: Vec<usize>,
    /// Pieces to send, by time: one pace, hence in order.
    paced: VecDeque<(Instant, usize, usize)>,
    /// Clients without a request.
    idle: VecDeque<usize>,
    /// Scheduled requests that found no idle client.
    waiting: VecDeque<Instant>,
    next_arrival: Option<Instant>,
    random: fastrand::Rng,
    next_sample: Instant,
    open: usize,
    phase: Phase,
    tally: Tally,
    scratch: Vec<u8>,
}

/// A stream in progress.
#[derive(Default)]
struct Relay {
    slot: usize,
    include_usage: bool,
    /// When each piece was sent.
    sent: Vec<Instant>,
    /// Pieces that the client has seen.
    seen: usize,
}

impl<'a> Load<'a> {
    fn new(spec: &'a Spec) -> anyhow::Result<Self> {
        let poll = Poll::new()?;
        let mut listener = TcpListener::bind(spec.upstream).with_context(|| format!("cannot listen on {}", spec.upstream))?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let tally = Tally::new(spec)?;
        let start = now();
        let mut load = Self {
            spec,
            prompt: Prompt::new(spec),
            script: Script::new(spec.answer),
            pace: match spec.answer {
                Answer::Stream { pace_us: Some(pace), .. } => Some(Duration::from_micros(pace)),
                Answer::Stream { pace_us: None, .. } | Answer::Unary { .. } => None,
            },
            poll,
            listener,
            clients: Vec::new(),
            relays: (0..spec.connections).map(|_| Relay::default()).collect(),
            uplinks: Vec::new(),
            free: Vec::new(),
            paced: VecDeque::new(),
            idle: VecDeque::new(),
            waiting: VecDeque::new(),
            next_arrival: matches!(spec.arrivals, Arrivals::Open { .. } | Arrivals::Once { .. }).then_some(start),
            random: fastrand::Rng::with_seed(match spec.arrivals {
                Arrivals::Open { seed, .. } => seed,
                Arrivals::Closed | Arrivals::Once { .. } => 0,
            }),
            next_sample: start,
            open: 0,
            phase: Phase::Warmup {
                until: start + Duration::from_millis(spec.warmup_ms),
            },
            tally,
            scratch: vec![0; READ],
        };
        if !matches!(spec.arrivals, Arrivals::Once { .. }) {
            for peer in 0..spec.connections {
                load.connect(peer)?;
                load.idle.push_back(peer);
            }
        }
        Ok(load)
    }

    /// Moves the phases on and sends what is due; false when the run is over.
    fn advance(&mut self) -> anyhow::Result<bool> {
        let now = now();
        match self.phase {
            Phase::Warmup { until } if now >= until => {
                self.tally.begin()?;
                self.phase = Phase::Window {
                    until: now + Duration::from_millis(self.spec.window_ms),
                };
            }
            Phase::Window { until } if now >= until || self.all_answered() => {
                self.tally.end()?;
                self.next_arrival = None;
                self.phase = Phase::Drain { until: now + DRAIN };
            }
            Phase::Drain { until } => {
                let left = self.clients.len() - self.idle.len() + self.waiting.len();
                if left == 0 || now >= until {
                    for _ in 0..left {
                        self.tally
                            .failed(|| format!("{left} requests had no answer {} s after the end", DRAIN.as_secs()));
                    }
                    return Ok(false);
                }
            }
            Phase::Warmup { .. } | Phase::Window { .. } => {}
        }
        self.arrive(now)?;
        while let Some((due, peer, piece)) = self.paced.front().copied()
            && due <= now
        {
            self.paced.pop_front();
            // Otherwise the stream was given up meanwhile.
            if self.relays.get(peer).is_some_and(|relay| relay.sent.len() == piece) {
                self.send_piece(peer, due);
            }
        }
        if self.open == self.spec.connections && now >= self.next_sample && matches!(self.spec.arrivals, Arrivals::Once { .. }) {
            self.next_sample = now + Duration::from_millis(200);
            self.tally.all_open()?;
        }
        Ok(true)
    }

    fn all_answered(&self) -> bool {
        let done = self.tally.found.answered + self.tally.found.errors;
        matches!(self.spec.arrivals, Arrivals::Once { .. }) && done >= self.spec.connections as u64
    }

    /// Starts the requests whose time has come.
    fn arrive(&mut self, now: Instant) -> anyhow::Result<()> {
        match self.spec.arrivals {
            Arrivals::Closed => {
                if !matches!(self.phase, Phase::Drain { .. }) {
                    while let Some(peer) = self.idle.pop_front() {
                        self.ask(peer, now)?;
                    }
                }
            }
            Arrivals::Open { per_second, .. } => {
                while let Some(due) = self.next_arrival
                    && due <= now
                {
                    self.waiting.push_back(due);
                    let gap = -(1.0 - self.random.f64()).ln() / per_second;
                    self.next_arrival = Some(due + Duration::from_secs_f64(gap));
                }
                while let Some(peer) = self.idle.front().copied()
                    && let Some(since) = self.waiting.pop_front()
                {
                    self.idle.pop_front();
                    self.ask(peer, since)?;
                }
            }
            Arrivals::Once { per_second } => {
                while self.clients.len() < self.spec.connections
                    && let Some(due) = self.next_arrival
                    && due <= now
                {
                    self.next_arrival = Some(due + Duration::from_secs_f64(1.0 / per_second));
                    let peer = self.clients.len();
                    self.connect(peer)?;
                    self.ask(peer, now)?;
                }
            }
        }
        Ok(())
    }

    fn connect(&mut self, peer: usize) -> anyhow::Result<()> {
        let mut client = Client::connect(self.spec.proxy, self.prompt.own(peer)).context("cannot connect to the proxy")?;
        self.poll.registry().register(&mut client.stream, Token(1 + peer), BOTH)?;
        match self.clients.get_mut(peer) {
            Some(place) => *place = client,
            None => self.clients.push(client),
        }
        Ok(())
    }

    fn ask(&mut self, peer: usize, since: Instant) -> anyhow::Result<()> {
        let Some(client) = self.clients.get_mut(peer) else { return Ok(()) };
        if let Err(error) = client.ask(self.prompt.shared(), since) {
            self.broken(peer, &error.to_string())?;
        }
        Ok(())
    }

    fn client_ready(&mut self, peer: usize, to_end: bool) -> anyhow::Result<()> {
        let Some(client) = self.clients.get_mut(peer) else { return Ok(()) };
        if let Err(error) = client.flush(self.prompt.shared()) {
            return self.broken(peer, &error.to_string());
        }
        loop {
            let Some(client) = self.clients.get_mut(peer) else { return Ok(()) };
            let length = match client.stream.read(&mut self.scratch) {
                Ok(0) => return self.broken(peer, "the proxy closed the connection"),
                Ok(length) => length,
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected) => return Ok(()),
                Err(error) => return self.broken(peer, &error.to_string()),
            };
            let before = client.reader.events;
            let bytes = self.scratch.get(..length).unwrap_or_default();
            match client.reader.feed(bytes) {
                Err(error) => return self.broken(peer, &format!("{error:#}")),
                Ok(done) => {
                    let events = client.reader.events;
                    if events > before {
                        self.seen(peer, before, events);
                    }
                    if done {
                        self.answered(peer)?;
                    }
                }
            }
            if length < READ && !to_end {
                return Ok(());
            }
        }
    }

    /// The client's count of complete events rose: time it, and let the next piece go if it waited for that.
    fn seen(&mut self, peer: usize, before: usize, events: usize) {
        let Some(relay) = self.relays.get_mut(peer) else { return };
        // The first piece carries two events.
        let seen = events.saturating_sub(1).min(relay.sent.len());
        if before < 2 && events >= 2 {
            self.open += 1;
            self.tally.found.open_peak = self.tally.found.open_peak.max(self.open);
        }
        let Some(fresh) = relay.sent.get(relay.seen..seen).filter(|fresh| !fresh.is_empty()) else {
            return;
        };
        if self.pace.is_some() {
            let now = now();
            for sent in fresh {
                self.tally.delivered(*sent, now);
            }
        }
        self.tally.found.coalesced += fresh.len() as u64 - 1;
        relay.seen = seen;
        if self.pace.is_none() && seen == relay.sent.len() {
            self.send_piece(peer, now());
        }
    }

    fn answered(&mut self, peer: usize) -> anyhow::Result<()> {
        let now = now();
        let Some(client) = self.clients.get_mut(peer) else { return Ok(()) };
        let Some(since) = client.since.take() else { return Ok(()) };
        let reader = &client.reader;
        let whole = match &self.script {
            Script::Unary { body, .. } => reader.payload == *body,
            Script::Stream { plain, .. } => reader.events > plain.len() + 1,
        };
        if reader.events >= 2 {
            self.open -= 1;
        }
        if reader.status == 200 && whole {
            self.tally.answered(since, now);
        } else {
            let (status, bytes, events) = (reader.status, reader.payload, reader.events);
            let excerpt = String::from_utf8_lossy(&reader.excerpt);
            self.tally
                .failed(|| format!("status {status}, {bytes} bytes, {events} events: {excerpt}"));
            ensure!(
                self.tally.found.errors < MAX_ERRORS,
                "{MAX_ERRORS} requests failed; the first: {:?}",
                self.tally.found.first_error
            );
        }
        if matches!(self.spec.arrivals, Arrivals::Closed) && !matches!(self.phase, Phase::Drain { .. }) {
            return self.ask(peer, now);
        }
        self.idle.push_back(peer);
        Ok(())
    }

    /// A client connection ended; with a request in progress that is a failure.
    fn broken(&mut self, peer: usize, why: &str) -> anyhow::Result<()> {
        let asked = self.clients.get_mut(peer).and_then(|client| client.since.take()).is_some();
        if asked {
            if self.clients.get(peer).is_some_and(|client| client.reader.events >= 2) {
                self.open -= 1;
            }
            self.tally.failed(|| why.to_owned());
            ensure!(
                self.tally.found.errors < MAX_ERRORS,
                "{MAX_ERRORS} requests failed; the first: {why}"
            );
            self.idle.push_back(peer);
        }
        self.connect(peer)
    }
}

#[cfg(test)]
mod tests;
