//! ModelRoute and ProviderKey, the model catalogue, and the pure compile step from objects to the routing table.
pub mod catalog;
pub mod diagnostics;
pub mod units;
pub mod v1alpha1;
