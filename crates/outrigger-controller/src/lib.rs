//! The controller: from the cluster's objects to one snapshot and one Secret for each namespace, and back to conditions.

pub mod lease;
mod moment;
pub mod queue;
pub mod rotation;
