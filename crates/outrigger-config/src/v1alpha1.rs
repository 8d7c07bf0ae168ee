//! The custom resources of `outrigger.dev/v1alpha1`.
//!
//! The doc comment of a field is what `kubectl explain` shows. Values stay as people wrote them; the compile step parses them. What one
//! object can show wrong is a row of [`rules`], evaluated by the API server as CEL and by [`crate::check`] as it stands.

mod crds;
mod model_route;
mod namespaces;
mod provider_key;
pub(crate) mod rules;

pub use crds::crds;
pub(crate) use crds::schema;
pub use model_route::{
    Attempts, Backoff, Balance, Baseline, Breaker, Endpoint, Errors, HeaderMatch, InputTokens, KeyRef, LastResort, Match, ModelRoute,
    ModelRouteSpec, ModelRouteStatus, Need, OnContentPolicy, Residency, ResolvedTarget, Rule, Slow, SlowOf, Target, Timeouts,
};
pub use namespaces::{Namespaces, NamespacesFrom};
pub use provider_key::{
    Auth, AuthType, CaBundle, DataKeyRef, DataPolicy, Dialect, HealthCheck, KeyStatus, Passthrough, PriceOverride, Pricing,
    ProviderEndpoint, ProviderKey, ProviderKeySpec, ProviderKeyStatus, RingEntry, Rotation,
};
