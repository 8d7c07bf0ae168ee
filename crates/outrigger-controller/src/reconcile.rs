//! One turn of one namespace: gather, decide, apply, report.

use crate::{
    apply::{ApplyError, Bound, ROLE, Writer},
    desired::{Desired, Inputs, Report, Told, desired_state},
    gather::{Freshness, Gathered, Gatherer},
    metrics::Counts,
    queue::Outcome,
    tell::Teller,
};
use kube::api::ObjectMeta;
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
        let mut unbound = None;
        let writer = Writer {
            client: &self.gatherer.client,
            may_write,
        };
        if let Some(publication) = &desired.publication {
            let published = writer.publish(namespace, &found, publication).await;
            if let Some(told) = news(namespace, &published) {
                tracing::warn!(namespace, reason = told.reason, message = told.message);
                let told = self
                    .teller
                    .tell(to_owners(&found.inputs, &told), may_write, self.clock.unix_ms())
                    .await;
                told.map_err(|error| TurnError::Tell(Box::new(error)))?;
            }
            if let Bound::Not(error) = published? {
                unbound = Some(error);
            }
            self.counts
                .published(namespace, publication.generation, publication.bytes, &publication.states);
        } else {
            writer.withdraw(namespace, &found).await?;
            self.counts.withdrawn(namespace);
        }
        self.gatherer.verifier.ask(desired.requests, namespace);
        let told = self.teller.tell(desired.reports, may_write, self.clock.unix_ms()).await;
        let all = told.map_err(|error| TurnError::Tell(Box::new(error)))?;
        if let Some(error) = unbound {
            return Err(error.into());
        }
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

/// What the people of a namespace should know of how it was published.
fn news(namespace: &str, published: &Result<Bound, ApplyError>) -> Option<Told> {
    let (reason, message) = match published {
        Ok(Bound::Again) => (
            "RoleBindingRestored",
            format!(
                "the RoleBinding {ROLE} of namespace {namespace} was gone and has been made again; without it sidecars get changed routes from \
                 their mounts alone, up to two minutes late"
            ),
        ),
        Ok(Bound::Not(ApplyError::Failed(what, error))) | Err(ApplyError::Failed(what, error)) => {
            // No answer is no refusal: the next turn may write it.
            let kube::Error::Api(status) = &**error else { return None };
            ("NotWritten", not_written(namespace, what, &status.reason))
        }
        Ok(Bound::Before | Bound::Not(_)) | Err(_) => return None,
    };
    Some(Told {
        warning: true,
        reason: reason.to_owned(),
        message,
        once: false,
    })
}

/// In words that say what to do. The API server's own may quote what was to be written; the log has them.
fn not_written(namespace: &str, what: &str, why: &str) -> String {
    let advice = if what == "RoleBinding" {
        format!(
            "sidecars get changed routes from their mounts alone, up to two minutes late; let the controller make it, or make it yourself: kubectl \
             create rolebinding {ROLE} --namespace {namespace} --clusterrole={ROLE} --group=system:serviceaccounts:{namespace}"
        )
    } else {
        "what was published last keeps serving; look for a quota or a policy that keeps the controller from writing it".to_owned()
    };
    format!("the controller cannot write the {what} of namespace {namespace} ({why}): {advice}")
}

/// To everybody who looks at a route of the namespace, or at a key where it has no route.
fn to_owners(inputs: &Inputs, told: &Told) -> Vec<Report> {
    let report = |kind: &'static str, meta: &ObjectMeta| Report {
        kind,
        namespace: meta.namespace.clone().unwrap_or_default(),
        name: meta.name.clone().unwrap_or_default(),
        uid: meta.uid.clone().unwrap_or_default(),
        status: None,
        told: vec![told.clone()],
    };
    let routes = inputs
        .objects
        .routes
        .iter()
        .map(|route| report("ModelRoute", &route.object.metadata));
    let keys = inputs.objects.keys.iter().map(|key| report("ProviderKey", &key.object.metadata));
    let of = |reports: &mut dyn Iterator<Item = Report>| -> Vec<Report> {
        reports.filter(|report| report.namespace == inputs.namespace).collect()
    };
    let mut owners = of(&mut routes.into_iter());
    if owners.is_empty() {
        owners = of(&mut keys.into_iter());
    }
    owners
}
