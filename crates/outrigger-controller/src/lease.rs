//! Who writes: the holder of one Lease. All replicas keep their state ready; the holder stops before its lease runs out for the others.
//!
//! Another's lease counts as over when nobody has renewed it for its duration *as seen from here*: no two clocks are compared. It must never
//! say "leader" on the strength of a renewal that was asked for longer ago than the lease lasts.

mod run;

pub use run::LeaseSettings;
pub(crate) use run::{Leadership, hold};

use k8s_openapi::api::coordination::v1::LeaseSpec;

/// How long a lease lasts without renewal.
pub(crate) const DURATION_US: u64 = 15_000_000;
/// The holder stops this much before that: what it has under way must end.
pub(crate) const MARGIN_US: u64 = 5_000_000;
/// How often the holder renews and the others look.
pub(crate) const EVERY_US: u64 = 2_000_000;

/// What to do about the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Move {
    /// It is free, or was left: take it.
    Take,
    /// It is ours: renew it.
    Renew,
    /// Somebody else holds it.
    Wait,
}

/// One replica's view of the lease.
#[derive(Debug)]
pub(crate) struct Elector {
    identity: String,
    /// The holder and renewal that were seen last, and when that was first seen.
    seen: Option<(Record, u64)>,
}

/// What changes when somebody renews.
type Record = (Option<String>, Option<String>, Option<i32>);

impl Elector {
    /// A replica with a name of its own.
    pub(crate) fn new(identity: String) -> Self {
        Self { identity, seen: None }
    }

    /// What the lease, as it was just read, asks for. `now` is a monotonic time.
    pub(crate) fn decide(&mut self, lease: Option<&LeaseSpec>, now: u64) -> Move {
        let Some(lease) = lease else { return Move::Take };
        let renewed = lease.renew_time.as_ref().and_then(|time| serde_json::to_string(time).ok());
        let record = (lease.holder_identity.clone(), renewed, lease.lease_transitions);
        let since = match &self.seen {
            Some((seen, since)) if *seen == record => *since,
            _ => {
                self.seen = Some((record, now));
                now
            }
        };
        let lasts = u64::try_from(lease.lease_duration_seconds.unwrap_or(0))
            .unwrap_or(0)
            .saturating_mul(1_000_000);
        match lease.holder_identity.as_deref() {
            None | Some("") => Move::Take,
            Some(holder) if holder == self.identity => Move::Renew,
            Some(_) if now >= since.saturating_add(lasts) => Move::Take,
            Some(_) => Move::Wait,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn lease(holder: &str, renewed: u32) -> LeaseSpec {
        let time = format!("2026-01-01T00:00:{renewed:02}.000000Z");
        serde_json::from_value(json!({"holderIdentity": holder, "renewTime": time, "leaseDurationSeconds": 15})).unwrap()
    }

    #[test]
    fn a_lease_that_nobody_holds_is_taken() {
        let mut elector = Elector::new("a".to_owned());
        assert_eq!(elector.decide(None, 0), Move::Take);
        assert_eq!(elector.decide(Some(&lease("", 1)), 0), Move::Take);
    }

    #[test]
    fn the_holder_renews_even_after_a_restart() {
        assert_eq!(Elector::new("a".to_owned()).decide(Some(&lease("a", 1)), 0), Move::Renew);
    }

    #[test]
    fn another_s_lease_is_over_when_it_was_not_renewed_for_its_duration_as_seen_from_here() {
        let mut elector = Elector::new("a".to_owned());
        assert_eq!(
            elector.decide(Some(&lease("b", 1)), 1_000_000),
            Move::Wait,
            "its calendar says nothing"
        );
        assert_eq!(elector.decide(Some(&lease("b", 1)), 15_999_999), Move::Wait);
        assert_eq!(elector.decide(Some(&lease("b", 2)), 15_999_999), Move::Wait, "renewed just now");
        assert_eq!(elector.decide(Some(&lease("b", 2)), 30_999_998), Move::Wait);
        assert_eq!(elector.decide(Some(&lease("b", 2)), 30_999_999), Move::Take);
    }
}
