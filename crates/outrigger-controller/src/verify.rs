//! Asking providers whether they know a key, before it takes the place of one that they know. Each question is asked once; one that gets no
//! answer is asked again, ever more seldom. Only what the answer means is kept: it must never keep or show what a provider wrote.

mod ask;
mod guard;

pub(crate) use guard::Guard;
pub use guard::{Cidr, NoCidr};

use crate::{
    desired::{Question, Request},
    rotation::Finding,
};
use ask::Answer;
use outrigger_runtime::{Clock, Tasks};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::Semaphore;

/// Questions under way at a time.
const AT_ONCE: usize = 8;
/// Questions that are remembered; more than any cluster's keys, and what is forgotten is asked again.
const MOST: usize = 16_384;
/// The wait before a question without an answer is asked again: at first, and at most.
const FIRST_WAIT: Duration = Duration::from_secs(5);
const LONGEST_WAIT: Duration = Duration::from_mins(5);

/// What providers have said so far.
pub(crate) struct Verifier {
    guard: Guard,
    roots: ask::Roots,
    clock: Clock,
    tasks: Tasks,
    places: Semaphore,
    records: Mutex<BTreeMap<Question, Record>>,
    /// Told whenever something is known about a namespace's keys.
    tell: Box<dyn Fn(&str) + Send + Sync>,
}

struct Record {
    finding: Finding,
    running: bool,
    askers: BTreeSet<String>,
}

impl Verifier {
    /// Nothing is known yet. `tell` hears the names of namespaces that have something new to decide on.
    pub(crate) fn new(guard: Guard, clock: Clock, tasks: Tasks, tell: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self {
            guard,
            roots: ask::Roots::default(),
            clock,
            tasks,
            places: Semaphore::new(AT_ONCE),
            records: Mutex::default(),
            tell: Box::new(tell),
        }
    }

    /// What is known of keys that `about` picks by their ids.
    pub(crate) fn findings(&self, about: impl Fn(&str) -> bool) -> BTreeMap<Question, Finding> {
        let records = self.records();
        let picked = records.iter().filter(|(question, _)| about(&question.id));
        picked.map(|(question, record)| (question.clone(), record.finding)).collect()
    }

    /// Sees to it that the questions get answers, and that `namespace` hears of them.
    pub(crate) fn ask(self: &Arc<Self>, requests: Vec<Request>, namespace: &str) {
        for request in requests {
            if self.start(&request.question, namespace) {
                let verifier = Arc::clone(self);
                self.tasks.background("verification", async move { verifier.follow(request).await });
            }
        }
    }

    /// Whether this question has to be followed: nobody does yet.
    fn start(&self, question: &Question, namespace: &str) -> bool {
        let mut records = self.records();
        if records.len() >= MOST && !records.contains_key(question) {
            records.retain(|_, record| record.running);
        }
        let record = records.entry(question.clone()).or_insert_with(|| Record {
            finding: Finding::Pending,
            running: false,
            askers: BTreeSet::new(),
        });
        record.askers.insert(namespace.to_owned());
        let unanswered = match record.finding {
            Finding::Pending | Finding::Unreachable { .. } => true,
            Finding::Accepted | Finding::Refused | Finding::Unclear => false,
        };
        unanswered && !std::mem::replace(&mut record.running, true)
    }

    /// Asks until there is an answer.
    async fn follow(&self, request: Request) {
        let mut wait = FIRST_WAIT;
        loop {
            let answer = {
                let Ok(_place) = self.places.acquire().await else { return };
                ask::ask(&request, &self.guard, &self.roots).await
            };
            let finding = match answer {
                Answer::Accepted => Finding::Accepted,
                Answer::Refused => Finding::Refused,
                Answer::Unclear => Finding::Unclear,
                Answer::None => Finding::Unreachable {
                    since: self.clock.unix_ms(),
                },
            };
            tracing::debug!(
                key = request.question.id,
                version = request.question.version,
                ?answer,
                "a provider was asked"
            );
            let (over, askers) = self.learn(&request.question, finding);
            for namespace in &askers {
                (self.tell)(namespace);
            }
            if over {
                return;
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    /// Whether that was the last word, and whom it is news for.
    fn learn(&self, question: &Question, finding: Finding) -> (bool, BTreeSet<String>) {
        let mut records = self.records();
        let Some(record) = records.get_mut(question) else {
            return (true, BTreeSet::new());
        };
        let silent = matches!(finding, Finding::Unreachable { .. });
        // The first silence is the one that counts.
        let news = !(silent && matches!(record.finding, Finding::Unreachable { .. }));
        if news {
            record.finding = finding;
        }
        record.running = silent;
        (!silent, if news { record.askers.clone() } else { BTreeSet::new() })
    }

    fn records(&self) -> MutexGuard<'_, BTreeMap<Question, Record>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
