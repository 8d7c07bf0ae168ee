//! Multipart bodies, and the files that clients uploaded.
//!
//! Decides what is remembered of an upload. It must never keep more content than [`CONTENT_KEPT`].

use bytes::Bytes;
use memchr::memmem;
use serde_json::{Value, json};

use crate::behaviour::Behaviour;

/// Files remembered for each provider; the oldest go first.
const FILES_KEPT: usize = 100;
/// Bytes of a file's content that are kept, to be downloaded again.
const CONTENT_KEPT: usize = 256 * 1024;
/// When the first file was created, in Unix seconds.
const EPOCH: u64 = 1_760_000_000;

/// One part of a multipart body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) name: String,
    pub(crate) file: Option<String>,
    pub(crate) content_type: Option<String>,
    pub(crate) content: Bytes,
}

impl Part {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.content).into_owned()
    }
}

/// The parts of a body of this content type; none if it is no well-formed multipart body.
pub(crate) fn parts(content_type: &str, body: &Bytes) -> Option<Vec<Part>> {
    let boundary = parameter(content_type.strip_prefix("multipart/form-data")?, "boundary")?;
    let delimiter = format!("--{boundary}");
    let starts: Vec<usize> = memmem::find_iter(body, &delimiter).collect();
    let parts = starts.windows(2).map(|pair| {
        let &[start, end] = pair else { return None };
        // Between the delimiters: CRLF, headers, empty line, content, CRLF.
        part(&body.slice(start + delimiter.len()..end))
    });
    let closed = starts
        .last()
        .is_some_and(|last| body.get(last + delimiter.len()..).is_some_and(|rest| rest.starts_with(b"--")));
    closed.then(|| parts.collect())?
}

fn part(raw: &Bytes) -> Option<Part> {
    let end_of_head = memmem::find(raw, b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(raw.get(..end_of_head)?).into_owned();
    let end = raw.len().checked_sub(2).filter(|end| raw.get(*end..) == Some(b"\r\n"))?;
    let start = end_of_head + 4;
    if start > end {
        return None;
    }
    let header = |name: &str| {
        head.lines().find_map(|line| {
            let (known, value) = line.split_once(':')?;
            known.trim().eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    };
    let disposition = header("content-disposition")?;
    Some(Part {
        name: parameter(&disposition, "name")?,
        file: parameter(&disposition, "filename"),
        content_type: header("content-type"),
        content: raw.slice(start..end),
    })
}

/// `key=value` or `key="value"` among parameters separated by `;`, which may stand inside a quoted value too.
fn parameter(text: &str, key: &str) -> Option<String> {
    let mut quoted = false;
    let mut parameters = text.split(|character| {
        quoted ^= character == '"';
        character == ';' && !quoted
    });
    parameters.find_map(|parameter| {
        let (known, value) = parameter.split_once('=')?;
        known
            .trim()
            .eq_ignore_ascii_case(key)
            .then(|| value.trim().trim_matches('"').to_owned())
    })
}

/// What is remembered of a multipart call: names and sizes of files, values of short fields.
pub(crate) fn described(parts: &[Part]) -> Value {
    let parts = parts.iter().map(|part| match &part.file {
        Some(file) => json!({"name": part.name, "filename": file, "content_type": part.content_type, "bytes": part.content.len()}),
        None if part.content.len() <= 1024 => json!({"name": part.name, "value": part.text()}),
        None => json!({"name": part.name, "bytes": part.content.len()}),
    });
    json!({"multipart": parts.collect::<Value>()})
}

/// The files of one provider.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    files: Vec<File>,
    added: u64,
}

#[derive(Debug)]
struct File {
    id: String,
    about: Value,
    content: Bytes,
}

impl Shelf {
    /// Puts an upload down; says what the provider answers, or which field is missing.
    pub(crate) fn add(&mut self, parts: &[Part]) -> Result<Value, &'static str> {
        let file = parts.iter().find(|part| part.name == "file" && part.file.is_some()).ok_or("file")?;
        let purpose = parts.iter().find(|part| part.name == "purpose").ok_or("purpose")?;
        self.added += 1;
        let id = format!("file-{}", self.added);
        let about = json!({
            "id": id, "object": "file", "bytes": file.content.len(), "created_at": EPOCH + self.added, "filename": file.file,
            "purpose": purpose.text(), "status": "processed",
        });
        let content = if file.content.len() <= CONTENT_KEPT {
            Bytes::copy_from_slice(&file.content)
        } else {
            Bytes::new()
        };
        if self.files.len() >= FILES_KEPT {
            self.files.remove(0);
        }
        self.files.push(File {
            id,
            about: about.clone(),
            content,
        });
        Ok(about)
    }

    pub(crate) fn list(&self) -> Value {
        let files: Vec<&Value> = self.files.iter().map(|file| &file.about).collect();
        let id = |file: Option<&File>| file.map(|file| file.id.clone());
        json!({"object": "list", "data": files, "has_more": false, "first_id": id(self.files.first()), "last_id": id(self.files.last())})
    }

    pub(crate) fn about(&self, id: &str) -> Option<Value> {
        self.find(id).map(|file| file.about.clone())
    }

    pub(crate) fn content(&self, id: &str) -> Option<Bytes> {
        self.find(id).map(|file| file.content.clone())
    }

    pub(crate) fn delete(&mut self, id: &str) -> Option<Value> {
        let position = self.files.iter().position(|file| file.id == id)?;
        let file = self.files.remove(position);
        Some(json!({"id": file.id, "object": "file", "deleted": true}))
    }

    fn find(&self, id: &str) -> Option<&File> {
        self.files.iter().find(|file| file.id == id)
    }
}

/// A transcription: the body and its content type, or the field that is missing.
pub(crate) fn transcription(parts: &[Part], behaviour: &Behaviour, provider: &str) -> Result<(Bytes, &'static str), &'static str> {
    if !parts.iter().any(|part| part.name == "file" && part.file.is_some()) {
        return Err("file");
    }
    if !parts.iter().any(|part| part.name == "model") {
        return Err("model");
    }
    let text = behaviour
        .text
        .clone()
        .unwrap_or_else(|| format!("Hello from {provider}, a scripted provider."));
    let format = parts
        .iter()
        .find(|part| part.name == "response_format")
        .map(Part::text)
        .unwrap_or_default();
    Ok(match format.as_str() {
        "text" | "srt" | "vtt" => (text.into(), "text/plain; charset=utf-8"),
        "verbose_json" => {
            let value = json!({"task": "transcribe", "language": "english", "duration": 1.0, "text": text, "segments": []});
            (value.to_string().into(), "application/json")
        }
        _ => (json!({"text": text}).to_string().into(), "application/json"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: &str = "multipart/form-data; boundary=\"xYz\"";

    fn body(text: &str) -> Bytes {
        text.replace('\n', "\r\n").into()
    }

    #[test]
    fn parts_keep_names_files_and_every_byte() {
        let upload = body(
            "--xYz\nContent-Disposition: form-data; name=\"purpose\"\n\nassistants\n--xYz\nContent-Disposition: form-data; name=\"file\"; \
             filename=\"a b.txt\"\nContent-Type: text/plain\n\nline\n\nline\n\n--xYz--\n",
        );
        let parts = parts(TYPE, &upload).unwrap();
        assert_eq!(parts.len(), 2);
        assert_eq!(
            (parts[1].file.as_deref(), parts[1].content.as_ref()),
            (Some("a b.txt"), b"line\r\n\r\nline\r\n".as_slice())
        );
        let about = Shelf::default().add(&parts).unwrap();
        assert_eq!((about["filename"].as_str(), about["bytes"].as_u64()), (Some("a b.txt"), Some(14)));
    }

    #[test]
    fn what_is_not_multipart_has_no_parts() {
        assert_eq!(parts("application/json", &body("{}")), None);
        assert_eq!(
            parts(TYPE, &body("--xYz\nContent-Disposition: form-data; name=\"a\"\n\nb")),
            None,
            "never closed"
        );
        assert_eq!(parts(TYPE, &body("--xYz\nno headers--xYz--")), None);
        assert_eq!(parts(TYPE, &Bytes::new()), None);
    }
}
