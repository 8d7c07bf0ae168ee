//! One turn of one namespace: gather, decide, apply, report.

use crate::{
    apply::{ApplyError, Writer},
    desired::{Desired, desired_state},
    gather::{Freshness, Gathered, Gatherer},
    metrics::Counts,
    queue::Outcome,
    tell::Teller,
};
use outrigger_runtime::Clock;
use std::time::Duration;

/// No turn takes longer; what it has not done the next one does.
const LONGEST: Duration = Duration::from_mins(1);

/// All that a turn needs.
pub(crate) struct Turns {
    pub(crate) gatherer: Gatherer,
    pub(crate) teller: Teller,
    pub(crate) counts: Counts,
    pub(crate) clock: Clock,
}

/// Why a turn did not come to its end.
#[derive(Debug, thiserror::Error)]
enum TurnError {
    #[error("cannot read: {0}")]
    Read(#[source] Box<kube::Error>),
    #[error(transparent)]
    Apply(#[from] ApplyError),
    #[error("cannot write a status: {0}")]
    Tell(#[source] Box<kube::Error>),
    #[error("it took too long")]
    TooLong,
}

impl Turns {
    /// Looks at a namespace and makes true what should be.
    pub(crate) async fn turn(&self, namespace: &str, may_write: &(dyn Fn() -> bool + Sync)) -> Outcome {
        let start = self.clock.now_us();
        let done = tokio::time::timeout(LONGEST, self.whole(namespace, may_write)).await;
        let outcome = match done.unwrap_or(Err(TurnError::TooLong)) {
            Ok(outcome) => outcome,
            // Somebody was faster, or this replica is no longer the one: nothing is wrong.
            Err(TurnError::Apply(ApplyError::Conflict(what))) => {
                tracing::debug!(namespace, what, "somebody else has written; looking again");
                Outcome::Again(0)
            }
            Err(TurnError::Apply(ApplyError::NotLeader)) => Outcome::Settled,
            Err(error) => {
                self.counts.errors.inc();
                tracing::warn!(namespace, %error, "a namespace could not be brought up to date");
                Outcome::Failed
            }
        };
        let took = Duration::from_micros(self.clock.now_us().saturating_sub(start));
        self.counts.duration.observe(took.as_secs_f64());
        outcome
    }

    async fn whole(&self, namespace: &str, may_write: &(dyn Fn() -> bool + Sync)) -> Result<Outcome, TurnError> {
        let (mut found, mut desired) = self.decide(namespace, Freshness::Remembered).await?;
        if desired.moves_keys {
            (found, desired) = self.decide(namespace, Freshness::Read).await?;
        }
        if desired.hands_off {
            self.counts.withdrawn(namespace);
            return Ok(Outcome::Settled);
        }
        let writer = Writer {
            client: &self.gatherer.client,
            may_write,
        };
        if let Some(publication) = &desired.publication {
            writer.publish(namespace, &found, publication).await?;
            self.counts
                .published(namespace, publication.generation, publication.bytes, &publication.states);
        } else {
            writer.withdraw(namespace, &found).await?;
            self.counts.withdrawn(namespace);
        }
        self.gatherer.verifier.ask(desired.requests, namespace);
        let told = self.teller.tell(desired.reports, may_write, self.clock.unix_ms()).await;
        let all = told.map_err(|error| TurnError::Tell(Box::new(error)))?;
        Ok(match desired.again {
            _ if !all => Outcome::Again(0),
            Some(at) => Outcome::Again(self.on_the_clock(at)),
            None => Outcome::Settled,
        })
    }

    async fn decide(&self, namespace: &str, freshness: Freshness) -> Result<(Gathered, Desired), TurnError> {
        let found = self.gatherer.gather(namespace, freshness, self.clock.unix_ms()).await;
        let found = found.map_err(|error| TurnError::Read(Box::new(error)))?;
        let desired = desired_state(&found.inputs);
        Ok((found, desired))
    }

    /// A calendar time as the process's clock will show it.
    fn on_the_clock(&self, unix_ms: u64) -> u64 {
        let ahead = unix_ms.saturating_sub(self.clock.unix_ms());
        self.clock.now_us().saturating_add(ahead.saturating_mul(1_000))
    }
}
