//! What must be true of every world, by name.

use crate::trace::seconds;
use outrigger_core::Tick;
use std::fmt;

/// A property of single worlds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Property {
    /// Nothing is sent at or after a call's deadline, nothing runs past it, and every wait lies ahead and not behind it.
    Deadline,
    /// No more attempts than the route allows; a stale connection's repetition and a target that cannot be asked so are free.
    Budget,
    /// No target and key again while another that can serve is untried, nor before a pause.
    Pair,
    /// Nothing is sent with a key before its rest is over, nor with one that was refused.
    CoolDown,
    /// A target that fails, hangs or is overloaded gets nothing but probes while another can serve.
    Open,
    /// It is asked by one probe at a time.
    OneProbe,
    /// A call goes to its rule's targets and where the route's residency allows, the last resort included.
    Residency,
    /// Whatever began has ended, and nothing is left in flight.
    Settled,
    /// After the first content no attempt starts.
    Commit,
    /// A call is given up only when nothing is left that might answer.
    GivesUp,
    /// In no second does a target that was ill get more than twice the calls that come in it, or in a second on average. Where it is the
    /// only one, two more from each sidecar.
    Rush,
}

impl Property {
    /// Its name in reports and on the first line of a mutant.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deadline => "deadline",
            Self::Budget => "budget",
            Self::Pair => "pair",
            Self::CoolDown => "cool-down",
            Self::Open => "open",
            Self::OneProbe => "one-probe",
            Self::Residency => "residency",
            Self::Settled => "settled",
            Self::Commit => "commit",
            Self::GivesUp => "gives-up",
            Self::Rush => "rush",
        }
    }
}

/// A property that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub property: Property,
    /// When.
    pub at: Tick,
    /// The call's number in its world; absent where no call is to blame.
    pub call: Option<usize>,
    /// What was seen.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let call = self.call.map(|call| format!(" call #{call}:")).unwrap_or_default();
        write!(f, "{} at {}:{call} {}", self.property.as_str(), seconds(self.at.0), self.what)
    }
}
