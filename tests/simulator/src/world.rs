//! What a seed stands for: a route, the providers behind it with their good and bad times, the sidecars and who calls them. Plain data;
//! it decides nothing and nothing in it changes while time passes.

mod cheapest;
mod describe;
mod recovery;
mod storm;
mod table;

use crate::random::Random;
use outrigger_core::{Affinity, ModelFacts, Needs, Table, Tick, Timeouts};
use std::time::Duration;

/// What a world is there to show. The rules of the attempt loop are held against all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A few seconds in which most things fail: short deadlines, small budgets, keys in every state, callers that hang up, a reload.
    Storm,
    /// One provider has one incident and recovers from it; the others are well.
    Recovery,
    /// Targets at different prices, each with incidents of its own; the cheapest is wanted.
    Cheapest,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct World {
    /// All of it follows from this.
    pub seed: u64,
    /// What it is there to show.
    pub kind: Kind,
    /// Sidecars, each with evidence of its own.
    pub(crate) sidecars: usize,
    pub(crate) arrivals: Arrivals,
    /// When the last call arrives at the latest.
    pub(crate) length: Duration,
    /// By provider.
    pub(crate) rings: Vec<Vec<Key>>,
    /// By target.
    pub(crate) sites: Vec<Site>,
    pub(crate) callers: Callers,
    /// The table at first, and after the reload, where there is one.
    pub(crate) tables: Vec<Table>,
    /// When the second table comes to the sidecars.
    pub(crate) reload: Tick,
}

/// When calls come to each sidecar.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Arrivals {
    /// At equal gaps.
    Even(Duration),
    /// At random, so far apart on average.
    Poisson(Duration),
    /// So many at once, so far apart.
    Bursts(u32, Duration),
}

/// A provider's key and what becomes of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    /// 0 = stands by.
    pub(crate) weight: u32,
    pub(crate) credit: Credit,
}

/// What a key is good for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Credit {
    Good,
    /// Refused from then on.
    Dead(Tick),
    /// Its money is spent from then on; whether the provider says for how long.
    Spent(Tick, Option<Duration>),
    /// So many calls a second and model by all sidecars together, and so many at once; whether the provider says when it will serve again.
    Metered(u32, u32, bool),
}

/// A model at a provider.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    pub(crate) provider: usize,
    pub(crate) priority: u32,
    pub(crate) weight: u32,
    pub(crate) facts: ModelFacts,
    pub(crate) timeouts: Timeouts,
    /// Median time to first content, by prompt-size class.
    pub(crate) first: [Duration; 3],
    /// How widely it varies; see [`Random::log_normal`].
    pub(crate) sigma: f64,
    /// So many of a thousand answers take ten times as long.
    pub(crate) tail: u64,
    pub(crate) per_token: Duration,
    /// So many of a thousand calls fail though nothing is the matter.
    pub(crate) errors: u64,
    /// So many of a thousand calls on a kept connection find that it has just been closed.
    pub(crate) stale: u64,
    pub(crate) spells: Vec<Spell>,
}

/// A bad time of a site.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spell {
    pub(crate) from: Tick,
    pub(crate) until: Tick,
    /// How long it then takes to be wholly well again: ever fewer calls still meet the trouble.
    pub(crate) back: Duration,
    pub(crate) trouble: Trouble,
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Connections are refused.
    Refuse,
    /// Connections are never made.
    NoConnection,
    /// Requests are taken and never answered.
    Hang,
    /// 500.
    Error,
    /// 503 with such a text, and whether it says when to come back.
    Overloaded(Option<Duration>),
    /// 200, and the stream ends before any content.
    Empty,
    /// The connection breaks before any content.
    Reset,
    /// 429 for every key, and whether it says when to come back.
    Limited(Option<Duration>),
    /// Answers take so long.
    Slow(Duration),
    /// So many of a thousand calls fail.
    Flaky(u64),
    /// Streams break off after their first content.
    Midway,
    /// The prompt is too long, whatever the facts say.
    Window,
    /// It refuses the content.
    Content,
    /// It does not know the model.
    Unsuited,
}

impl Spell {
    /// When the site is wholly well again and nothing that it said says otherwise.
    pub(crate) fn over(&self) -> Tick {
        let told = match self.trouble {
            Trouble::Overloaded(told) | Trouble::Limited(told) => told.unwrap_or_default(),
            Trouble::Refuse
            | Trouble::NoConnection
            | Trouble::Hang
            | Trouble::Error
            | Trouble::Empty
            | Trouble::Reset
            | Trouble::Slow(_)
            | Trouble::Flaky(_)
            | Trouble::Midway
            | Trouble::Window
            | Trouble::Content
            | Trouble::Unsuited => Duration::ZERO,
        };
        self.until.after(self.back).after(told)
    }
}

/// What calls are like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Callers {
    /// How long a call may take, in milliseconds, both ends included; nothing = as long as the route lets it.
    pub(crate) patience: Option<(u64, u64)>,
    /// So many of a thousand hang up.
    pub(crate) hang_ups: u64,
    /// So many of a thousand have needs.
    pub(crate) needs: u64,
    /// So many of a thousand belong to one of eight conversations.
    pub(crate) conversations: u64,
    /// So many of a thousand are mistakes.
    pub(crate) mistakes: u64,
    /// Of every kind, or streams with short prompts alone.
    pub(crate) mixed: bool,
}

/// A call, as its caller makes it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) stream: bool,
    pub(crate) prompt_tokens: u32,
    /// What the answer comes to, whoever gives it.
    pub(crate) output_tokens: u32,
    pub(crate) needs: Needs,
    pub(crate) max_output: Option<u64>,
    pub(crate) affinity: Option<Affinity>,
    pub(crate) patience: Option<Duration>,
    pub(crate) hang_up: Option<Duration>,
    pub(crate) mistaken: bool,
    pub(crate) seed: u64,
}

impl World {
    /// The world of a seed.
    pub fn new(seed: u64) -> Self {
        let mut random = Random::of(&[seed, 0]);
        match seed % 8 {
            0..5 => storm::draw(seed, &mut random),
            5 | 6 => recovery::draw(seed, &mut random),
            _ => cheapest::draw(seed, &mut random),
        }
    }

    /// The call that comes as number `at` of all.
    pub(crate) fn call(&self, at: usize) -> Call {
        let mut random = Random::of(&[self.seed, 1, at as u64]);
        let callers = &self.callers;
        let prompt_tokens = match random.below(10) {
            7 | 8 if callers.mixed => random.between(4_096, 32_767),
            9 if callers.mixed => random.between(32_768, 120_000),
            _ => random.between(50, 4_095),
        };
        let needy = random.chance(callers.needs);
        let conversation = random.chance(callers.conversations);
        let affinity = Affinity {
            key: random.below(8),
            bound: random.chance(200) && self.kind == Kind::Storm,
        };
        let tokens = random.log_normal(Duration::from_micros(200), 0.5).as_micros();
        Call {
            stream: !callers.mixed || random.chance(700),
            prompt_tokens: u32::try_from(prompt_tokens).unwrap_or(u32::MAX),
            output_tokens: u32::try_from(tokens).unwrap_or(u32::MAX).clamp(1, 4_000),
            needs: Needs {
                tools: needy && random.chance(500),
                vision: needy && random.chance(500),
                json_schema: needy && random.chance(500),
                reasoning: false,
            },
            max_output: random.chance(callers.needs).then(|| random.between(16, 8_000)),
            affinity: conversation.then_some(affinity),
            patience: callers.patience.map(|(low, high)| random.millis(low, high)),
            hang_up: random.chance(callers.hang_ups).then(|| random.millis(1, 3_000)),
            mistaken: random.chance(callers.mistakes),
            seed: random.bits(),
        }
    }

    /// When calls come to a sidecar.
    pub(crate) fn arrivals(&self, sidecar: usize) -> Vec<Tick> {
        let mut random = Random::of(&[self.seed, 2, sidecar as u64]);
        let mut times = Vec::new();
        let (Arrivals::Even(gap) | Arrivals::Poisson(gap) | Arrivals::Bursts(_, gap)) = self.arrivals;
        let mut now = Tick(0).after(random.time(gap));
        while now.since(Tick(0)) < self.length {
            let (count, gap) = match self.arrivals {
                Arrivals::Even(gap) => (1, gap),
                Arrivals::Poisson(mean) => (1, random.exponential(mean)),
                Arrivals::Bursts(count, gap) => (count, gap),
            };
            times.extend((0..count).map(|_| now));
            now = now.after(gap.max(Duration::from_micros(1)));
        }
        times
    }
}
