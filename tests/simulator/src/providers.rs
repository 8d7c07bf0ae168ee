//! The other side: how each provider answers at that moment. All sidecars ask the same ones, so a key's rate is shared and a prompt that
//! one of them has brought into a cache is there for all. It knows nothing of the core's evidence.

use crate::{
    allowed::allowed,
    random::Random,
    world::{Call, Credit, Site, Spell, Trouble, World},
};
use outrigger_core::{Class, Headroom, Outcome, PicoUsd, Table, TargetModel, Tick, Usage};
use std::{collections::BTreeMap, time::Duration};

/// How long a cache holds a prompt.
const WARM: Duration = Duration::from_mins(5);
/// The shortest prompt that is kept in a cache, in tokens.
const CACHED: u32 = 1_024;

/// See the module.
pub(crate) struct Providers<'w> {
    world: &'w World,
    /// By target and key: until when what has been served is paid for, at the key's rate.
    meters: BTreeMap<(usize, usize), Tick>,
    /// By target and conversation: when it was there last.
    caches: BTreeMap<(usize, u64), Tick>,
}

/// What reaches a provider.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) call: &'a Call,
    /// The call's number in its world, and the attempt's in its call: chance depends on them.
    pub(crate) number: usize,
    pub(crate) attempt: usize,
    pub(crate) target: usize,
    /// 0 for a provider without keys.
    pub(crate) key: usize,
    /// The keys are those that the reload has brought.
    pub(crate) renewed: bool,
    /// On a new connection.
    pub(crate) fresh: bool,
    pub(crate) at: Tick,
}

/// What comes back, and when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    /// How long a connection takes; `None` = for ever.
    pub(crate) connected: Option<Duration>,
    /// From then on to the first content, the whole of a unary answer or the refusal; `None` = nothing comes.
    pub(crate) after: Option<Duration>,
    pub(crate) outcome: Outcome,
    pub(crate) headroom: Option<Headroom>,
    pub(crate) usage: Usage,
    /// How long a stream goes on after its first content.
    pub(crate) lasts: Duration,
    /// It comes to its end.
    pub(crate) whole: bool,
}

impl<'w> Providers<'w> {
    pub(crate) fn new(world: &'w World) -> Self {
        Self {
            world,
            meters: BTreeMap::new(),
            caches: BTreeMap::new(),
        }
    }

    /// The request is there: it counts against the key's rate and its prompt is in the cache from now on.
    pub(crate) fn ask(&mut self, asked: &Asked<'_>) -> Answer {
        let answer = self.foresee(asked);
        if answer.outcome.class == Class::Ok {
            if let Some(affinity) = asked.call.affinity {
                self.caches.insert((asked.target, affinity.key), asked.at);
            }
            if let Some(Credit::Metered(rate, ..)) = self.credit(asked) {
                let paid = self.meters.entry((asked.target, asked.key)).or_default();
                *paid = (*paid).max(asked.at).after(Duration::from_secs(1) / rate);
            }
        }
        answer
    }

    /// What the cheapest answer would cost that could be had at this moment, by somebody who knows how every provider would answer and what
    /// the answer comes to. `None` = nobody would answer, or no price is known.
    pub(crate) fn cheapest(&self, table: &Table, call: &Call, number: usize, at: Tick) -> Option<PicoUsd> {
        let targets = (0..self.world.sites.len()).filter(|target| allowed(table, call, *target));
        let costs = targets.filter_map(|target| {
            let site = &self.world.sites[target];
            let patience = if call.stream {
                site.timeouts.first_token
            } else {
                site.timeouts.response
            };
            let mut keys = 0..self.world.rings[site.provider].len().max(1);
            let usage = keys.find_map(|key| {
                let answer = self.foresee(&Asked {
                    call,
                    number,
                    attempt: 0,
                    target,
                    key,
                    renewed: false,
                    fresh: true,
                    at,
                });
                let in_time = answer.connected? <= site.timeouts.connect && answer.after? <= patience;
                (in_time && answer.outcome.class == Class::Ok).then_some(answer.usage)
            })?;
            cost_at(table, target, &usage)
        });
        costs.min()
    }

    /// How it would be answered, were it asked.
    fn foresee(&self, asked: &Asked<'_>) -> Answer {
        let (call, at) = (asked.call, asked.at);
        let site = &self.world.sites[asked.target];
        let mut random = Random::of(&[self.world.seed, 3, asked.number as u64, asked.target as u64, asked.attempt as u64]);
        let trouble = trouble(site, at, &mut random);
        let kept = random.chance(700) && !asked.fresh;
        let connecting = random.millis(1, 30);
        let connected = if kept { Duration::ZERO } else { connecting };
        let quick = random.millis(5, 60);
        let first = first(site, call, trouble, &mut random);
        let rest = site.per_token * call.output_tokens.saturating_sub(1);
        let whole = trouble != Some(Trouble::Midway) || !call.stream;
        let answer = Answer {
            connected: Some(connected),
            after: Some(if call.stream { first } else { first + rest }),
            outcome: Outcome::of(Class::Ok),
            headroom: None,
            usage: self.usage(asked.target, call, at),
            lasts: if whole { rest } else { rest / 3 },
            whole,
        };
        let refused = |class, told: Option<Duration>| Answer {
            after: Some(quick),
            outcome: Outcome {
                until: told.map(|wait| at.after(connected + quick).after(wait)),
                unsuited: class == Class::Cancelled,
                ..Outcome::of(class)
            },
            ..answer
        };
        let stale = kept && random.chance(site.stale);
        match trouble {
            _ if stale => {
                let outcome = Outcome {
                    stale: true,
                    ..Outcome::of(Class::Reset)
                };
                Answer {
                    after: Some(Duration::from_micros(200)),
                    outcome,
                    ..answer
                }
            }
            // A connection that is there already is closed with the rest.
            Some(Trouble::Refuse) => refused(if kept { Class::Reset } else { Class::Connect }, None),
            Some(Trouble::NoConnection) => Answer {
                connected: None,
                ..refused(Class::Connect, None)
            },
            Some(Trouble::Hang) => Answer {
                after: None,
                ..refused(Class::Timeout, None)
            },
            Some(Trouble::Error) => refused(Class::ServerError, None),
            Some(Trouble::Reset) => refused(Class::Reset, None),
            Some(Trouble::Overloaded(told)) => refused(Class::Overloaded, told),
            Some(
                Trouble::Empty
                | Trouble::Limited(_)
                | Trouble::Slow(_)
                | Trouble::Flaky(_)
                | Trouble::Midway
                | Trouble::Window
                | Trouble::Content
                | Trouble::Unsuited,
            )
            | None => match self.refusal(asked, trouble, &mut random) {
                Some((Class::BadResponse, _)) => Answer {
                    after: Some(first),
                    ..refused(Class::BadResponse, None)
                },
                Some((class, told)) => refused(class, told),
                None => Answer {
                    headroom: self.headroom(asked),
                    ..answer
                },
            },
        }
    }

    /// What somebody is told whose request was read, and how long to wait; nothing where it is answered.
    fn refusal(&self, asked: &Asked<'_>, trouble: Option<Trouble>, random: &mut Random) -> Option<(Class, Option<Duration>)> {
        let site = &self.world.sites[asked.target];
        match self.credit(asked) {
            Some(Credit::Dead(from)) if asked.at >= from => return Some((Class::Auth, None)),
            Some(Credit::Spent(from, told)) if asked.at >= from => return Some((Class::Quota, told)),
            Some(Credit::Metered(rate, burst, tells)) => {
                let wait = self.used(asked).saturating_sub(Duration::from_secs(1) / rate * (burst - 1));
                if !wait.is_zero() {
                    return Some((Class::RateLimited, tells.then_some(wait)));
                }
            }
            Some(Credit::Good | Credit::Dead(_) | Credit::Spent(..)) | None => {}
        }
        let too_long = site.facts.context_window.is_some_and(|window| asked.call.prompt_tokens > window);
        match trouble {
            Some(Trouble::Limited(told)) => Some((Class::RateLimited, told)),
            Some(Trouble::Empty) => Some((Class::BadResponse, None)),
            Some(Trouble::Window) => Some((Class::ContextWindow, None)),
            Some(Trouble::Content) => Some((Class::ContentPolicy, None)),
            Some(Trouble::Unsuited) => Some((Class::Cancelled, None)),
            _ if too_long => Some((Class::ContextWindow, None)),
            _ if asked.call.mistaken => Some((Class::ClientError, None)),
            Some(Trouble::Flaky(share)) if random.chance(share) => Some((Class::ServerError, None)),
            _ => random.chance(site.errors).then_some((Class::ServerError, None)),
        }
    }

    fn usage(&self, target: usize, call: &Call, at: Tick) -> Usage {
        let prompt = u64::from(call.prompt_tokens);
        let last = call.affinity.and_then(|affinity| self.caches.get(&(target, affinity.key)));
        let warm = call.prompt_tokens >= CACHED && last.is_some_and(|last| at.since(*last) <= WARM);
        let cached_read = if warm { prompt * 9 / 10 } else { 0 };
        Usage {
            input: prompt - cached_read,
            output: u64::from(call.output_tokens),
            cached_read,
            ..Usage::default()
        }
    }

    /// Nothing where the provider has no keys.
    fn credit(&self, asked: &Asked<'_>) -> Option<Credit> {
        let ring = &self.world.rings[self.world.sites[asked.target].provider];
        let credit = ring.get(asked.key)?.credit;
        let replaced = asked.renewed && matches!(credit, Credit::Dead(_) | Credit::Spent(..));
        Some(if replaced { Credit::Good } else { credit })
    }

    fn headroom(&self, asked: &Asked<'_>) -> Option<Headroom> {
        let Some(Credit::Metered(rate, burst, true)) = self.credit(asked) else {
            return None;
        };
        let all = Duration::from_secs(1) / rate * burst;
        let used = self.used(asked) + Duration::from_secs(1) / rate;
        let left = all.saturating_sub(used).as_micros() * 1_000_000 / all.as_micros().max(1);
        Some(Headroom {
            remaining_ppm: u32::try_from(left).unwrap_or(u32::MAX),
            resets: Some(asked.at.after(used)),
        })
    }

    fn used(&self, asked: &Asked<'_>) -> Duration {
        let paid = self.meters.get(&(asked.target, asked.key));
        paid.map_or(Duration::ZERO, |paid| paid.since(asked.at))
    }
}

/// What an answer costs at a target; nothing where its price is not known.
pub(crate) fn cost_at(table: &Table, target: usize, usage: &Usage) -> Option<PicoUsd> {
    match &table.targets[target].model {
        TargetModel::Fixed { facts, .. } => facts.price.map(|price| price.of(usage)),
        TargetModel::AsAsked { .. } => None,
    }
}

/// What is the matter for this call: the same for all during a spell, then for ever fewer.
fn trouble(site: &Site, at: Tick, random: &mut Random) -> Option<Trouble> {
    let lot = u128::from(random.below(1_000));
    let here = |spell: &&Spell| spell.from <= at && at < spell.until.after(spell.back);
    let spell = site.spells.iter().find(here)?;
    let well = at.since(spell.until).as_micros() * 1_000 / spell.back.as_micros().max(1);
    (at < spell.until || lot >= well).then_some(spell.trouble)
}

fn first(site: &Site, call: &Call, trouble: Option<Trouble>, random: &mut Random) -> Duration {
    let class = usize::from(call.prompt_tokens >= 4_096) + usize::from(call.prompt_tokens >= 32_768);
    let (median, sigma) = match trouble {
        Some(Trouble::Slow(time)) => (time, 0.1),
        _ => (site.first[class], site.sigma),
    };
    let first = random.log_normal(median, sigma);
    if random.chance(site.tail) { first * 10 } else { first }
}
