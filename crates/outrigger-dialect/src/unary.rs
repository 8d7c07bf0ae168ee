//! A whole answer with status 200: whether it is one, and what it says about itself. It must never take an error, a web page or an empty
//! answer for an answer, and never parse more than it has to.

use crate::{
    facts::{Facts, may_have_error},
    json::{Kind, Malformed, Reader, unescape},
    report::Report,
};
use outrigger_core::{Dialect, Endpoint};
use thiserror::Error;

/// How much of the end of an answer is searched for its usage and finish reason.
const TAIL: usize = 640;

/// Why a body with status 200 is no answer. All but [`Error`](Self::Error) are of class `bad_response`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BadBody {
    /// Nothing but white space.
    #[error("the answer has an empty body")]
    Empty,
    /// Not JSON, or cut off.
    #[error("the answer is not JSON")]
    NotJson,
    /// JSON without choices, content or data.
    #[error("the answer has no choices, content or data")]
    NoAnswer,
    /// It tells of an error: [`classify_stream_error`](crate::classify::classify_stream_error) says of which class.
    #[error("the answer is an error")]
    Error,
}

/// Reads the body of an answer with status 200. Its text is only counted (`content_bytes`) where it does not tell its usage. White space before the JSON is skipped: some providers send it to keep the connection
/// awake.
///
/// # Errors
/// [`BadBody`]: the attempt has failed.
pub fn inspect(dialect: Dialect, endpoint: Endpoint, body: &[u8]) -> Result<Report, BadBody> {
    let body = body.trim_ascii();
    if body.is_empty() {
        return Err(BadBody::Empty);
    }
    if !body.starts_with(b"{") || !body.ends_with(b"}") {
        return Err(BadBody::NotJson);
    }
    if let Some(report) = by_its_ends(dialect, endpoint, body) {
        return Ok(report);
    }
    let mut facts = Facts::new(dialect);
    let found = facts.whole(endpoint, body).map_err(|_: Malformed| BadBody::NotJson)?;
    if found.error {
        return Err(BadBody::Error);
    }
    if !found.answer {
        return Err(BadBody::NoAnswer);
    }
    Ok(facts.report)
}

/// An answer that is one for certain by its head, with what matters in its tail: its middle need not be walked over. `None` = not in that
/// shape, read it whole.
fn by_its_ends(dialect: Dialect, endpoint: Endpoint, body: &[u8]) -> Option<Report> {
    if endpoint != Endpoint::Embeddings && may_have_error(body) {
        return None;
    }
    let list: &[u8] = match (endpoint, dialect) {
        (Endpoint::Embeddings, _) => b"data",
        (_, Dialect::OpenAi) => b"choices",
        (_, Dialect::Anthropic) => b"content",
    };
    let (mut reader, mut first, mut model) = (Reader::new(body), true, None);
    reader.enter().ok()?;
    loop {
        match reader.key(&mut first).ok()?? {
            key if key == list => break,
            b"model" => model = reader.string_or_skip().ok()?,
            b"usage" => return None,
            _ => reader.pass().ok()?,
        }
    }
    if reader.kind().ok()? != Kind::Array {
        return None;
    }
    reader.enter().ok()?;
    // A message may be without blocks; an answer without choices is none.
    if !reader.item(&mut true).ok()? && dialect == Dialect::OpenAi {
        return None;
    }
    let tail = body.get(body.len().saturating_sub(TAIL).max(reader.at())..)?;
    let mut report = Facts::of_tail(dialect, endpoint, tail)?;
    if let Some(model) = model {
        report.model = unescape(model).map(std::borrow::Cow::into_owned);
    }
    Some(report)
}

#[cfg(test)]
mod tests {
    use super::*;
    use outrigger_core::Usage;

    fn chat(body: &str) -> Result<Report, BadBody> {
        inspect(Dialect::OpenAi, Endpoint::Chat, body.as_bytes())
    }

    fn messages(body: &str) -> Result<Report, BadBody> {
        inspect(Dialect::Anthropic, Endpoint::Messages, body.as_bytes())
    }

    fn tokens(input: u64, output: u64) -> Usage {
        Usage {
            input,
            output,
            ..Usage::default()
        }
    }

    #[test]
    fn a_chat_answer_is_read() {
        let text = r#"a \"usage\":{\"prompt_tokens\":1} \\"#;
        let body = format!(
            "\n\n{}",
            r#"{"id":"c","object":"chat.completion","model":"gpt-4o","choices":[{"index":0,"message":{"role":"assistant","content":"TEXT","refusal":null,"tool_calls":[{"id":"c","function":{"name":"f","arguments":"{\"error\":1}"}}]},"logprobs":null,"finish_reason":"tool_calls"}],
            "usage":{"prompt_tokens":9,"completion_tokens":12,"total_tokens":21},"error":null,"system_fingerprint":"fp"}"#
                .replace("TEXT", text)
        );
        let report = chat(&body).unwrap();
        assert_eq!(
            (report.usage, report.finish.as_deref(), report.model.as_deref()),
            (Some(tokens(9, 12)), Some("tool_calls"), Some("gpt-4o"))
        );
        let without = chat(&body.replace("\"usage\":{", "\"no_usage\":{")).unwrap();
        assert_eq!(
            without,
            Report {
                usage: None,
                content_bytes: (text.len() + 1 + r#"{\"error\":1}"#.len()) as u64,
                ..report
            }
        );
    }

    #[test]
    fn a_message_is_read() {
        let body = r#"{"id":"m","type":"message","role":"assistant","model":"claude-x","content":[{"type":"text","text":"abc"},{"type":"tool_use","id":"t","name":"f","input":{"type":"error"}}],"stop_reason":"tool_use","stop_sequence":null,"usage":{"input_tokens":5,"output_tokens":7}}"#;
        let report = messages(body).unwrap();
        assert_eq!(
            (report.usage, report.finish.as_deref(), report.model.as_deref()),
            (Some(tokens(5, 7)), Some("tool_use"), Some("claude-x"))
        );
        assert!(
            messages(r#"{"type":"message","content":[],"stop_reason":"end_turn"}"#).is_ok(),
            "a message may have no blocks"
        );
        assert!(messages(r#"{"input_tokens":12}"#).is_ok(), "a count of tokens");
    }

    #[test]
    fn embeddings_are_read_without_their_numbers() {
        let read = |body: &str| inspect(Dialect::OpenAi, Endpoint::Embeddings, body.as_bytes());
        let numbers = "0.25,".repeat(2000);
        for tail in [
            r#""model":"e","usage":{"prompt_tokens":8,"total_tokens":8}}"#,
            r#""usage":{"prompt_tokens":8,"total_tokens":8},"model":"e"}"#,
        ] {
            let body = format!(r#"{{"object":"list","data":[{{"object":"embedding","index":0,"embedding":[{numbers}1]}}],{tail}"#);
            let report = read(&body).unwrap();
            assert_eq!((report.usage, report.model.as_deref()), (Some(tokens(8, 0)), Some("e")));
        }
        let early = read(r#"{"usage":{"prompt_tokens":8},"model":"e","data":[{"embedding":[1]}]}"#).unwrap();
        assert_eq!((early.usage, early.model.as_deref()), (Some(tokens(8, 0)), Some("e")));
        assert_eq!(read(r#"{"object":"list","data":[{"embedding":[1]}]}"#).unwrap().usage, None);
        for empty in [
            r#"{"object":"list","data":[],"model":"e","usage":{"prompt_tokens":8}}"#,
            r#"{"data":null}"#,
            "{}",
        ] {
            assert_eq!(read(empty), Err(BadBody::NoAnswer), "{empty}");
        }
        assert_eq!(read(r#"{"object":"list","data":[{"embedding":[1"#), Err(BadBody::NotJson));
        assert_eq!(read(r#"{"error":{"message":"m"}}"#), Err(BadBody::Error));
    }

    #[test]
    fn what_is_no_answer_is_told_apart() {
        for (body, bad) in [
            ("", BadBody::Empty),
            (" \n ", BadBody::Empty),
            ("<html><body>502</body></html>", BadBody::NotJson),
            ("null", BadBody::NotJson),
            ("[]", BadBody::NotJson),
            (r#"{"choices":[{"message":{"content":"a}"#, BadBody::NotJson),
            (r#"{"choices":[{}]} {}"#, BadBody::NotJson),
            (r#"{"choices":[],"usage":{"prompt_tokens":1}}"#, BadBody::NoAnswer),
            (r#"{"choices":null}"#, BadBody::NoAnswer),
            (r#"{"id":"x"}"#, BadBody::NoAnswer),
            (r#"{"data":[{}]}"#, BadBody::NoAnswer),
            ("{}", BadBody::NoAnswer),
            (r#"{"error":{"message":"m","code":429},"user_id":"u"}"#, BadBody::Error),
            (r#"{"code":"c","error":"text"}"#, BadBody::Error),
            (r#"{"object":"error","message":"m"}"#, BadBody::Error),
            (
                r#"{"base_resp":{"status_code":1008,"status_msg":"insufficient balance"},"choices":null}"#,
                BadBody::Error,
            ),
            (r#"{"code":"InvalidApiKey","message":"m","request_id":"r"}"#, BadBody::Error),
            (
                r#"{"choices":[{"message":{"content":""},"finish_reason":"error"}]}"#,
                BadBody::Error,
            ),
            (
                r#"{"choices":[{"message":{"content":"a"}}],"error":{"message":"m"}}"#,
                BadBody::Error,
            ),
        ] {
            assert_eq!(chat(body), Err(bad), "{body}");
        }
        assert_eq!(
            messages(r#"{"type":"error","error":{"type":"overloaded_error","message":"m"}}"#),
            Err(BadBody::Error)
        );
        assert_eq!(messages(r#"{"type":"message","content":null}"#), Err(BadBody::NoAnswer));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_survived(text in r#"[\[\]{}":,\\a0 ]{0,30}"#) {
            for body in [text.clone(), format!("{{{text}}}"), format!(r#"{{"data":[{text}],"usage":{text}}}"#)] {
                for (dialect, endpoint) in [(Dialect::OpenAi, Endpoint::Chat), (Dialect::Anthropic, Endpoint::Messages), (Dialect::OpenAi, Endpoint::Embeddings)] {
                    let _ = inspect(dialect, endpoint, body.as_bytes());
                }
            }
        }
    }
}
