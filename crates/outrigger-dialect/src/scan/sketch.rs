//! How large a prompt is, from the lengths of its parts. An estimate for admission and routing; it must never be what somebody is billed.

use crate::json::{Kind, Malformed, Reader, items, members};
use memchr::memchr_iter;

/// The size of a prompt by its parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sketch {
    /// Bytes of text in the messages, the system prompt or the input, escapes counted as the bytes that they stand for. A token id of
    /// an embedding's input counts as four bytes.
    pub text_bytes: u64,
    /// Images, sounds and files.
    pub media: u32,
    /// Their bytes in the body: base64 or addresses. No tokens are derived from them.
    pub media_bytes: u64,
    /// Tools that are offered.
    pub tool_count: u32,
    /// Bytes of their definitions and of a schema for the answer.
    pub tools_bytes: u64,
    /// Messages.
    pub messages: u32,
}

impl Sketch {
    /// Estimated prompt tokens of a model with an ordinary vocabulary: a quarter of the text's bytes, 4 for each message, 8 for each
    /// tool, and the bytes of schemas by 3.5. Media count as nothing.
    pub fn reference_tokens(&self) -> u32 {
        let schemas = self.tools_bytes.saturating_mul(2) / 7;
        let framing = u64::from(self.messages) * 4 + u64::from(self.tool_count) * 8;
        u32::try_from((self.text_bytes / 4).saturating_add(schemas).saturating_add(framing)).unwrap_or(u32::MAX)
    }

    /// Reads one message; whether it holds an image.
    pub(super) fn message(&mut self, reader: &mut Reader<'_>) -> Result<bool, Malformed> {
        self.messages = self.messages.saturating_add(1);
        let mut image = false;
        members(reader, |reader, key| {
            match key {
                b"content" => image |= self.content(reader)?,
                b"tool_calls" | b"function_call" => self.json(reader)?,
                b"reasoning_content" | b"reasoning" | b"refusal" => self.text(reader)?,
                _ => reader.pass()?,
            }
            Ok(())
        })?;
        Ok(image)
    }

    /// Reads a string or an array of parts; whether an image is among them.
    pub(super) fn content(&mut self, reader: &mut Reader<'_>) -> Result<bool, Malformed> {
        if reader.kind()? != Kind::Array {
            self.text(reader)?;
            return Ok(false);
        }
        let mut image = false;
        items(reader, |reader| {
            image |= self.part(reader)?;
            Ok(())
        })?;
        Ok(image)
    }

    /// The member that carries a part's payload tells what it is: `type` may come last.
    fn part(&mut self, reader: &mut Reader<'_>) -> Result<bool, Malformed> {
        if reader.kind()? != Kind::Object {
            self.text(reader)?;
            return Ok(false);
        }
        let (mut image, mut source_is_media, mut type_is_image) = (false, false, false);
        members(reader, |reader, key| {
            match key {
                b"type" => type_is_image = reader.string_or_skip()? == Some(b"image"),
                b"text" | b"refusal" | b"thinking" | b"title" | b"context" => self.text(reader)?,
                b"content" => image |= self.content(reader)?,
                b"input" => self.json(reader)?,
                b"image_url" => {
                    image = true;
                    self.medium(reader)?;
                }
                b"input_audio" | b"audio" | b"file" => self.medium(reader)?,
                b"source" => source_is_media = self.source(reader)?,
                _ => reader.pass()?,
            }
            Ok(())
        })?;
        Ok(image || (type_is_image && source_is_media))
    }

    /// The `source` of an image or document: text, parts, or media. Whether it is media.
    fn source(&mut self, reader: &mut Reader<'_>) -> Result<bool, Malformed> {
        let mut probe = reader.clone();
        let (mut textual, mut data, mut content) = (false, None, None);
        members(reader, |reader, key| {
            match key {
                b"type" => textual = matches!(reader.string_or_skip()?, Some(b"text" | b"content")),
                b"data" => {
                    data = Some(reader.clone());
                    reader.pass()?;
                }
                b"content" => {
                    content = Some(reader.clone());
                    reader.pass()?;
                }
                _ => reader.pass()?,
            }
            Ok(())
        })?;
        if !textual {
            self.medium(&mut probe)?;
            return Ok(true);
        }
        if let Some(mut data) = data {
            self.text(&mut data)?;
        }
        if let Some(mut content) = content {
            self.content(&mut content)?;
        }
        Ok(false)
    }

    /// The input of an embedding: a string, strings, token ids, or arrays of token ids.
    pub(super) fn input(&mut self, reader: &mut Reader<'_>) -> Result<(), Malformed> {
        match reader.kind()? {
            Kind::String => self.text(reader),
            Kind::Scalar => {
                reader.scalar();
                self.text_bytes += 4;
                Ok(())
            }
            Kind::Array => items(reader, |reader| self.input(reader)),
            Kind::Object => reader.pass(),
        }
    }

    fn medium(&mut self, reader: &mut Reader<'_>) -> Result<(), Malformed> {
        self.media = self.media.saturating_add(1);
        self.media_bytes += reader.skip()?.len() as u64;
        Ok(())
    }

    fn text(&mut self, reader: &mut Reader<'_>) -> Result<(), Malformed> {
        if let Some(raw) = reader.string_or_skip()? {
            self.text_bytes += text_bytes(raw);
        }
        Ok(())
    }

    /// A value that the model sees as JSON text.
    fn json(&mut self, reader: &mut Reader<'_>) -> Result<(), Malformed> {
        let value = reader.skip()?;
        self.text_bytes += text_bytes(reader.slice(value));
        Ok(())
    }
}

/// Where a text is long enough for a part of it to stand for all.
const LONG: usize = 16 << 10;

/// How many backslashes there are; in a long text as many as every eighth KiB of it lets expect.
fn backslashes(raw: &[u8]) -> usize {
    if raw.len() < LONG {
        return memchr_iter(b'\\', raw).count();
    }
    let parts = raw.chunks(1 << 10).step_by(8);
    let (seen, found) = parts.fold((0, 0), |(seen, found), part| {
        (seen + part.len(), found + memchr_iter(b'\\', part).count())
    });
    found.saturating_mul(raw.len()) / seen.max(1)
}

/// Bytes of a string once its escapes are resolved. Where escapes are rare they are taken for the two-character kind; where they are
/// dense, as in a text of which every character is `\u1234`, each is looked at.
fn text_bytes(raw: &[u8]) -> u64 {
    let backslashes = backslashes(raw);
    if backslashes * 8 < raw.len() {
        return (raw.len() - backslashes) as u64;
    }
    let (mut bytes, mut rest) = (0, raw);
    loop {
        rest = match rest {
            [] => return bytes,
            [b'\\', b'u', a, b, _, _, behind @ ..] => {
                bytes += match (a, b) {
                    (b'0', b'0') => 1,
                    // The second kind is half of a surrogate pair: four bytes for two of them.
                    (b'0', b'1'..=b'7') | (b'd' | b'D', b'8'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => 2,
                    _ => 3,
                };
                behind
            }
            [b'\\', _, behind @ ..] | [_, behind @ ..] => {
                bytes += 1;
                behind
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_count_as_what_they_stand_for() {
        for text in ["plain", "a\nb\"c\\", "\u{7}\u{7}", "中文中文", "é", "😀😀", "Größe\tis 中\n"] {
            let escaped: String = text
                .encode_utf16()
                .map(|unit| {
                    if !(32..=126).contains(&unit) || unit == 34 || unit == 92 {
                        format!("\\u{unit:04x}")
                    } else {
                        char::from(u8::try_from(unit).unwrap()).to_string()
                    }
                })
                .collect();
            let dense = text_bytes(escaped.as_bytes());
            let exact = text.len() as u64;
            assert!(dense.abs_diff(exact) <= 3, "{escaped}: {dense} for {exact}");
            let short = serde_json::to_string(text).unwrap();
            assert!(text_bytes(short.trim_matches('"').as_bytes()).abs_diff(exact) <= 10, "{short}");
        }
        assert_eq!(
            text_bytes(
                "中"
                    .repeat(50)
                    .escape_unicode()
                    .to_string()
                    .replace("\\u{", "\\u")
                    .replace('}', "")
                    .as_bytes()
            ),
            150
        );
    }

    #[test]
    fn a_part_of_a_long_text_stands_for_the_whole() {
        for line in [
            r"plain text",
            r"a line of a file\n",
            r#"\"key\": \"value\", "#,
            r"tab\tand\\\\path\n",
        ] {
            let raw = line.repeat(200_000 / line.len());
            let exact = serde_json::from_str::<String>(&format!("\"{raw}\"")).unwrap().len() as u64;
            let estimate = text_bytes(raw.as_bytes());
            assert!(estimate.abs_diff(exact) <= exact / 200, "{line}: {estimate} for {exact}");
        }
    }

    #[test]
    fn reference_tokens_are_the_documented_sum_and_saturate() {
        let sketch = Sketch {
            text_bytes: 400,
            media: 3,
            media_bytes: 1 << 40,
            tool_count: 2,
            tools_bytes: 350,
            messages: 5,
        };
        assert_eq!(sketch.reference_tokens(), 100 + 20 + 16 + 100);
        let huge = Sketch {
            text_bytes: u64::MAX,
            ..sketch
        };
        assert_eq!(huge.reference_tokens(), u32::MAX);
    }

    /// Counts of the o200k vocabulary for the same bytes: English prose, Rust, JSON, Chinese.
    #[test]
    fn a_quarter_of_the_bytes_is_within_a_fifth_of_a_tokenizer_on_ordinary_text() {
        for (bytes_per_token, what) in [(4.1, "English"), (3.9, "Markdown"), (4.1, "Rust"), (3.65, "JSON"), (3.5, "Chinese")] {
            let sketch = Sketch {
                text_bytes: 100_000,
                ..Sketch::default()
            };
            let exact = 100_000.0 / bytes_per_token;
            let error = f64::from(sketch.reference_tokens()) / exact - 1.0;
            assert!(error.abs() < 0.2, "{what}: {error:+.2}");
        }
    }
}
