//! Providers that speak Anthropic's Messages. What a model takes is told from its name in [`model`]; what is not known to be refused is
//! sent.

mod messages;
pub(crate) mod model;
pub(crate) mod request;
pub(crate) mod response;
mod schema;
pub(crate) mod stream;
mod types;
