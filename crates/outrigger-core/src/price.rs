//! Token usage in disjoint classes, and what it costs.

use serde::{Deserialize, Serialize};

/// 10⁻¹² US dollars: a price per million tokens with six decimals is a whole number of these per token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PicoUsd(pub u64);

impl PicoUsd {
    /// In dollars, for metrics and people; the figure itself is exact.
    #[expect(clippy::cast_precision_loss, reason = "nobody reads the sixteenth digit")]
    pub fn dollars(self) -> f64 {
        self.0 as f64 / 1e12
    }
}

/// Tokens of one call in *disjoint* classes: a token is counted in exactly one of the first four. Reasoning tokens are inside `output`
/// and are carried beside it for the record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Prompt tokens that came from no cache and went into none.
    pub input: u64,
    /// Generated tokens, reasoning included.
    pub output: u64,
    /// Prompt tokens read from the provider's cache.
    pub cached_read: u64,
    /// Prompt tokens written to the provider's cache.
    pub cache_write: u64,
    /// The part of `output` that was reasoning.
    pub reasoning: u64,
}

/// Price per token and class. A class without a price of its own: cached reads and writes cost what input costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Price {
    /// Per input token.
    pub input: PicoUsd,
    /// Per output token.
    pub output: PicoUsd,
    /// Per token read from the cache.
    pub cached_read: Option<PicoUsd>,
    /// Per token written to the cache.
    pub cache_write: Option<PicoUsd>,
}

impl Price {
    /// The cost of `usage`; saturates instead of overflowing.
    pub fn of(&self, usage: &Usage) -> PicoUsd {
        let part = |tokens: u64, each: PicoUsd| tokens.saturating_mul(each.0);
        PicoUsd(
            part(usage.input, self.input)
                .saturating_add(part(usage.output, self.output))
                .saturating_add(part(usage.cached_read, self.cached_read.unwrap_or(self.input)))
                .saturating_add(part(usage.cache_write, self.cache_write.unwrap_or(self.input))),
        )
    }
}
