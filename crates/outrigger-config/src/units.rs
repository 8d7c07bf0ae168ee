//! What people write in a field, parsed once into a type: durations, money, ratios, base URLs.
//!
//! Everything here is exact. No float ever takes part: a price that is off by a rounding is a wrong bill.

mod base_url;
mod decimal;

pub(crate) use base_url::Shown;
pub use base_url::{BadBaseUrl, BaseUrl};
pub use decimal::{Markup, parse_money, parse_ratio};
pub use outrigger_core::parse_duration;
