//! Providers that speak OpenAI's chat completions. Their deviations are data ([`Quirks`](outrigger_core::Quirks)) or tolerance in
//! [`types`], never a branch on a provider's name.

pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod stream;
mod types;
