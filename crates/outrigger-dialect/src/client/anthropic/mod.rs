//! Anthropic's Messages, as clients speak them.

mod blocks;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod stream;

/// The answer to `POST /messages/count_tokens`.
pub fn token_count(tokens: u64) -> Vec<u8> {
    serde_json::json!({"input_tokens": tokens}).to_string().into_bytes()
}
