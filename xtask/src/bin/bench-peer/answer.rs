//! The scripted upstream's answers, rendered once. It must never depend on how fast anybody reads.

use crate::prompt::text;
use crate::spec::Answer;

/// The bytes of an answer.
pub(crate) enum Script {
    /// Head and body in one write.
    Unary {
        /// What is written.
        bytes: Vec<u8>,
        /// Length of the body.
        body: usize,
    },
    /// One piece per write.
    Stream {
        /// To requests without `include_usage`.
        plain: Vec<Vec<u8>>,
        /// To requests with it.
        with_usage: Vec<Vec<u8>>,
    },
}

impl Script {
    /// The script of one run.
    pub(crate) fn new(answer: Answer) -> Self {
        match answer {
            Answer::Unary { text_bytes } => {
                let body = format!(
                    r#"{{"id":"chatcmpl-bench","object":"chat.completion","created":1763800000,"model":"bench-model","choices":[{{"index":0,"message":{{"role":"assistant","content":"{}","refusal":null,"annotations":[]}},"logprobs":null,"finish_reason":"stop"}}],{USAGE},"service_tier":"default","system_fingerprint":"fp_bench"}}"#,
                    text(text_bytes)
                );
                let head = format!("{HEAD}content-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
                Self::Unary {
                    bytes: [head.as_bytes(), body.as_bytes()].concat(),
                    body: body.len(),
                }
            }
            Answer::Stream { chunks, .. } => Self::Stream {
                plain: pieces(chunks, false),
                with_usage: pieces(chunks, true),
            },
        }
    }
}

const HEAD: &str = "HTTP/1.1 200 OK\r\ndate: Sun, 23 Nov 2025 08:00:00 GMT\r\nserver: scripted\r\nx-request-id: req_0123456789abcdef\r\n\
                    openai-processing-ms: 12\r\nx-ratelimit-remaining-requests: 9999\r\n";
const USAGE: &str = r#""usage":{"prompt_tokens":251,"completion_tokens":162,"total_tokens":413,"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}"#;

/// Head, role event and first content event; each further content event; the rest.
fn pieces(chunks: usize, with_usage: bool) -> Vec<Vec<u8>> {
    let usage = if with_usage { r#","usage":null"# } else { "" };
    let event = |choices: &str, usage: &str| {
        format!(
            "data: {{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1763800000,\"model\":\"bench-model\",\
             \"service_tier\":\"default\",\"system_fingerprint\":\"fp_bench\",\"choices\":[{choices}]{usage}}}\n\n"
        )
    };
    let delta = |delta: &str, finish: &str| {
        event(
            &format!(r#"{{"index":0,"delta":{{{delta}}},"logprobs":null,"finish_reason":{finish}}}"#),
            usage,
        )
    };
    let content = delta(r#""content":" and the parcel""#, "null");

    let role = delta(r#""role":"assistant","content":"","refusal":null"#, "null");
    let head = format!("{HEAD}content-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n");
    let mut pieces = vec![[head.into_bytes(), chunk(&format!("{role}{content}"))].concat()];
    pieces.extend(std::iter::repeat_n(chunk(&content), chunks.saturating_sub(1)));

    let mut last = delta("", r#""stop""#);
    if with_usage {
        last.push_str(&event("", &format!(",{USAGE}")));
    }
    last.push_str("data: [DONE]\n\n");
    let mut last = chunk(&last);
    last.extend_from_slice(b"0\r\n\r\n");
    pieces.push(last);
    pieces
}

fn chunk(payload: &str) -> Vec<u8> {
    format!("{:x}\r\n{payload}\r\n", payload.len()).into_bytes()
}
