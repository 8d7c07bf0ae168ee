//! What calls cost: by a price table, and by what the answers say.

use crate::load::Shot;

/// Providers with their dollars per million tokens in and out.
pub(crate) type Prices = &'static [(&'static str, &'static str, &'static str)];

/// What the answers say that they cost, in dollars.
pub(crate) fn dollars(shots: &[Shot]) -> f64 {
    shots.iter().filter_map(|shot| shot.cost).sum()
}

/// What the reported tokens cost by the table, in dollars.
pub(crate) fn by_table(shots: &[Shot], prices: Prices) -> f64 {
    let cost = |shot: &Shot| {
        let (_, input, output) = prices.iter().find(|(name, ..)| *name == shot.provider())?;
        let (tokens_in, tokens_out) = shot.usage?;
        let (input, output): (f64, f64) = (input.parse().ok()?, output.parse().ok()?);
        Some((count(tokens_in) * input + count(tokens_out) * output) / 1e6)
    };
    shots.iter().filter_map(cost).sum()
}

#[expect(clippy::cast_precision_loss, reason = "counts of tokens")]
fn count(tokens: u64) -> f64 {
    tokens as f64
}
