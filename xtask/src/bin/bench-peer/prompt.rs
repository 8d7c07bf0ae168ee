//! The requests: what an unmodified SDK sends for a chat call, with a prompt of a given size. It must never look cheaper than real text:
//! escapes are as frequent as in prose that quotes code.

use crate::spec::{Answer, Spec};

/// In front of the number of the asking connection, so that the upstream knows for whom it answers.
pub(crate) const MARK: &[u8] = b"peer-";

/// Digits behind [`MARK`].
pub(crate) const DIGITS: usize = 6;

/// A request in two pieces: the first differs by connection, the second is shared, so that peers with many connections do not thrash
/// the caches with copies of one prompt.
pub(crate) struct Prompt {
    head: String,
    opening: String,
    shared: Vec<u8>,
}

impl Prompt {
    /// The request that `spec` describes.
    pub(crate) fn new(spec: &Spec) -> Self {
        let tail = match spec.answer {
            Answer::Unary { .. } => "",
            Answer::Stream { include_usage: false, .. } => r#","stream":true"#,
            Answer::Stream { include_usage: true, .. } => r#","stream":true,"stream_options":{"include_usage":true}"#,
        };
        let shared = format!(
            r#" of a support desk. Answer in the language of the question."}},{{"role":"user","content":"{}"}}],"model":"bench-chat","max_tokens":256,"temperature":0.2{tail}}}"#,
            text(spec.prompt_bytes)
        );
        // What the official Python client sends.
        let head = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nHost: {}\r\nAccept-Encoding: gzip, deflate\r\nConnection: keep-alive\r\n\
             Accept: application/json\r\nContent-Type: application/json\r\nUser-Agent: OpenAI/Python 2.8.1\r\n\
             X-Stainless-Lang: python\r\nX-Stainless-Package-Version: 2.8.1\r\nX-Stainless-OS: Linux\r\nX-Stainless-Arch: x64\r\n\
             X-Stainless-Runtime: CPython\r\nX-Stainless-Runtime-Version: 3.12.3\r\nAuthorization: Bearer sk-outrigger\r\n\
             X-Stainless-Async: false\r\nx-stainless-retry-count: 0\r\nx-stainless-read-timeout: 600\r\n",
            spec.proxy
        );
        let opening = r#"{"messages":[{"role":"system","content":"You are "#.to_owned();
        Self {
            head,
            opening,
            shared: shared.into_bytes(),
        }
    }

    /// The piece of connection `peer`.
    pub(crate) fn own(&self, peer: usize) -> Vec<u8> {
        let body = format!("{}{}{peer:0width$}", self.opening, String::from_utf8_lossy(MARK), width = DIGITS);
        let length = body.len() + self.shared.len();
        format!("{}Content-Length: {length}\r\n\r\n{body}", self.head).into_bytes()
    }

    /// The piece of all.
    pub(crate) fn shared(&self) -> &[u8] {
        &self.shared
    }
}

/// The number of the connection that a request's body names.
pub(crate) fn peer(body: &[u8]) -> Option<usize> {
    let start = memchr::memmem::find(body, MARK)? + MARK.len();
    let digits = body.get(start..start + DIGITS)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// `bytes` of JSON string content.
pub(crate) fn text(bytes: usize) -> String {
    const SENTENCES: [&str; 4] = [
        "The order from last Tuesday has not arrived, and the tracking page only says \\\"in transit\\\" since then.\\n",
        "Please look up whether the parcel left the warehouse at all and tell me which day I can expect it. ",
        "If it is lost I would rather have my money back than wait for another one to be sent out. ",
        "My customer number is 48-1713, the invoice says 89.90 and was paid by card on the 3rd.\\n\\n",
    ];
    let mut text = String::with_capacity(bytes);
    for sentence in SENTENCES.iter().cycle() {
        if text.len() + sentence.len() > bytes {
            break;
        }
        text.push_str(sentence);
    }
    text.extend(std::iter::repeat_n('.', bytes - text.len()));
    text
}
