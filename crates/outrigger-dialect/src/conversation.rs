//! Which conversation a call goes on with, told by how it opens. It must be the same for every turn, and no more than a number leaves.

use crate::json::{Kind, Malformed, Reader, items, members};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// How much of one text tells it from others, bytes; its length counts too.
const TOLD: usize = 4 << 10;

/// A hash of what the turns of a conversation share, and a provider's prompt cache with them: the system prompt, the tools, and the
/// messages up to the first that is not the system's. `body` is a request that has been scanned.
///
/// Only texts and numbers count, in their order: a message that is a string in one turn and a list of parts in the next, as helpers of
/// SDKs make it to mark what is cached, is the same message. So marks (`cache_control`) and types do not.
pub fn conversation(body: &[u8]) -> u64 {
    let mut opening = Opening(DefaultHasher::new());
    let mut reader = Reader::new(body);
    // The scan has been over these bytes: they are an object.
    let _ = members(&mut reader, |reader, key| match key {
        b"system" | b"tools" => opening.value(reader),
        b"messages" if reader.kind()? == Kind::Array => opening.messages(reader),
        _ => reader.pass(),
    });
    opening.0.finish()
}

struct Opening(DefaultHasher);

impl Opening {
    fn messages(&mut self, reader: &mut Reader<'_>) -> Result<(), Malformed> {
        let mut over = false;
        items(reader, |reader| {
            if over {
                return reader.pass();
            }
            over = !of_the_system(reader.clone())?;
            self.value(reader)
        })
    }

    fn value(&mut self, reader: &mut Reader<'_>) -> Result<(), Malformed> {
        match reader.kind()? {
            Kind::Object => members(reader, |reader, key| match key {
                b"type" | b"cache_control" => reader.pass(),
                _ => self.value(reader),
            }),
            Kind::Array => items(reader, |reader| self.value(reader)),
            Kind::String => {
                let text = reader.string()?;
                text.len().hash(&mut self.0);
                text.get(..TOLD).unwrap_or(text).hash(&mut self.0);
                Ok(())
            }
            Kind::Scalar => {
                reader.scalar().hash(&mut self.0);
                Ok(())
            }
        }
    }
}

/// Whether a message is the operator's, and not the conversation's first.
fn of_the_system(mut reader: Reader<'_>) -> Result<bool, Malformed> {
    let mut system = false;
    if reader.kind()? == Kind::Object {
        members(&mut reader, |reader, key| {
            match key {
                b"role" => system = matches!(reader.string_or_skip()?, Some(b"system" | b"developer")),
                _ => reader.pass()?,
            }
            Ok(())
        })?;
    }
    Ok(system)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = r#"{"model":"m","system":"Be brief.","tools":[{"name":"now"}],"messages":[{"role":"user","content":"What time is it?"}],"thinking":{"type":"enabled"}}"#;

    #[test]
    fn every_turn_of_a_conversation_is_known_by_its_opening() {
        let later = r#"{"model":"other","max_tokens":9,"system":[{"type":"text","text":"Be brief.","cache_control":{"type":"ephemeral"}}],
            "tools":[{"name":"now","cache_control":{"type":"ephemeral","ttl":"1h"}}],
            "messages":[{"role":"user","content":[{"type":"text","text":"What time is it?","cache_control":{"type":"ephemeral"}}]},
            {"role":"assistant","content":[{"type":"thinking","thinking":"…","signature":"c2ln"}]},{"role":"user","content":"And now?"}]}"#;
        assert_eq!(conversation(FIRST.as_bytes()), conversation(later.as_bytes()));
    }

    #[test]
    fn another_opening_is_another_conversation() {
        for (was, is) in [
            ("brief", "short"),
            ("now", "day"),
            ("What time", "Which day"),
            ("\"user\"", "\"system\""),
        ] {
            let other = FIRST.replacen(was, is, 1);
            assert_ne!(conversation(FIRST.as_bytes()), conversation(other.as_bytes()), "{is}");
        }
        // Where texts end counts: two are not one that is as long.
        let parts = |parts: &str| conversation(format!(r#"{{"messages":[{{"role":"user","content":[{parts}]}}]}}"#).as_bytes());
        assert_ne!(parts(r#"{"text":"ab"},{"text":"c"}"#), parts(r#"{"text":"a"},{"text":"bc"}"#));
        // Long texts are told apart by their beginnings and their lengths.
        let long = |end: &str| parts(&format!(r#"{{"text":"{}{end}"}}"#, "x".repeat(TOLD)));
        assert_ne!(long("a"), long("ab"));
    }

    #[test]
    fn the_operators_messages_and_the_first_after_them_are_the_opening() {
        let of = |user: &str, more: &str| {
            let body =
                format!(r#"{{"messages":[{{"role":"developer","content":"Be kind."}},{{"content":"{user}","role":"user"}}{more}]}}"#);
            conversation(body.as_bytes())
        };
        assert_eq!(
            of("Hi", ""),
            of("Hi", r#",{"role":"assistant","content":"Hello"},{"role":"user","content":"Bye"}"#)
        );
        assert_ne!(of("Hi", ""), of("Ho", ""));
    }

    #[test]
    fn what_is_no_conversation_has_a_number_too() {
        for body in ["", "{", "[]", r#"{"messages":7}"#, r#"{"messages":["text",{"role":7}]}"#] {
            conversation(body.as_bytes());
        }
    }
}
