//! Providers that speak Anthropic's Messages. What a model takes is told from its name in [`request::model`]; what is not known to be refused is
//! sent.

pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod stream;
mod types;
