//! ModelRoute and ProviderKey, the model catalogue, and the pure compile step from objects to the routing table.
pub mod catalog;
pub mod check;
pub mod compile;
pub mod diagnostics;
pub mod load;
pub mod objects;
pub mod units;
pub mod v1alpha1;
