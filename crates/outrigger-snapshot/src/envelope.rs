//! How a document travels: compressed, numbered, sealed. A sealed document is opened in one order (MAC, version, size, content), so that
//! nothing of a forgery is ever unpacked or parsed.

use crate::{Document, MAX_COMPRESSED, MAX_INFLATED, MIN_READER, MacKey, SCHEMA, hex};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use flate2::{Compression, GzBuilder, bufread::GzDecoder};
use std::{
    collections::BTreeMap,
    io::{self, BufReader, Read, Write},
};

/// A document on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// The layout that its writer used.
    pub schema: u32,
    /// The oldest reader that understands it.
    pub min_reader: u32,
    /// Its number; grows with each change.
    pub generation: u64,
    /// The document: gzip of JSON.
    pub table: Vec<u8>,
    /// HMAC-SHA-256 over all of the above and the namespace.
    pub mac: [u8; 32],
}

/// A document that does not fit into a ConfigMap, or not into a sidecar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the snapshot takes {bytes} bytes, and {limit} is the limit")]
pub struct TooLarge {
    /// What it takes, or what it took when the limit was passed.
    pub bytes: usize,
    /// What it may take.
    pub limit: usize,
}

/// Why a sealed document is not used. None of them quotes it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// Written with another key, for another namespace, under another number, or changed since.
    #[error("its MAC is not that of the controller for this namespace: it was changed or made by somebody else")]
    Mac,
    /// Written for newer readers.
    #[error(
        "it has schema version {schema} for readers from version {min_reader}, and this sidecar reads up to {SCHEMA}: update the sidecar"
    )]
    Schema {
        /// Its version.
        schema: u32,
        /// The oldest reader that it is for.
        min_reader: u32,
    },
    /// No snapshot at all.
    #[error("{0}")]
    Malformed(&'static str),
    /// Over a limit.
    #[error("it is larger than {0} bytes")]
    TooLarge(usize),
    /// The document inside is for another namespace than the envelope.
    #[error("the document in it is for another namespace")]
    Namespace,
}

impl Rejected {
    /// The label in metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Mac => "mac",
            Self::Schema { .. } => "schema",
            Self::Malformed(_) => "malformed",
            Self::TooLarge(_) => "too_large",
            Self::Namespace => "namespace",
        }
    }
}

/// Compresses and signs. The same arguments give the same bytes.
///
/// # Errors
/// A document over [`MAX_COMPRESSED`] or [`MAX_INFLATED`], which no sidecar would take.
pub fn seal(document: &Document, generation: u64, mac: &MacKey) -> Result<Sealed, TooLarge> {
    // No time and no name in the head of the archive: they would differ between runs.
    let gzip = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    let mut capped = Capped { inner: gzip, written: 0 };
    // JSON of plain structs with text for keys fails only where its writer does, and this one only over its cap.
    let table = serde_json::to_writer(&mut capped, document)
        .map_err(io::Error::from)
        .and_then(|()| capped.inner.finish())
        .map_err(|_| TooLarge {
            bytes: capped.written,
            limit: MAX_INFLATED,
        })?;
    if table.len() > MAX_COMPRESSED {
        let (bytes, limit) = (table.len(), MAX_COMPRESSED);
        return Err(TooLarge { bytes, limit });
    }
    let mut sealed = Sealed {
        schema: SCHEMA,
        min_reader: MIN_READER,
        generation,
        table,
        mac: [0; 32],
    };
    sealed.mac = sealed.signed(&document.namespace, |parts| mac.sign(parts));
    Ok(sealed)
}

/// Verifies, then unpacks. `namespace` is the reader's own.
///
/// # Errors
/// [`Rejected`]; nothing of the document may be used then.
pub fn open(sealed: &Sealed, namespace: &str, mac: &MacKey) -> Result<Document, Rejected> {
    if !sealed.signed(namespace, |parts| mac.verifies(parts, &sealed.mac)) {
        return Err(Rejected::Mac);
    }
    if sealed.schema > SCHEMA && sealed.min_reader > SCHEMA {
        return Err(Rejected::Schema {
            schema: sealed.schema,
            min_reader: sealed.min_reader,
        });
    }
    if sealed.table.len() > MAX_COMPRESSED {
        return Err(Rejected::TooLarge(MAX_COMPRESSED));
    }
    // One byte more than is allowed, to tell a document of exactly the limit from a larger one. It is parsed as it is unpacked: the JSON
    // is never whole in memory.
    let mut inflated = GzDecoder::new(sealed.table.as_slice()).take(MAX_INFLATED as u64 + 1);
    let parsed: Result<Document, _> = serde_json::from_reader(BufReader::new(&mut inflated));
    if inflated.limit() == 0 {
        return Err(Rejected::TooLarge(MAX_INFLATED));
    }
    let document = parsed.map_err(|_| Rejected::Malformed("what its table unpacks to is not a document that this sidecar understands"))?;
    if document.namespace != namespace || document.table.namespace != namespace {
        return Err(Rejected::Namespace);
    }
    Ok(document)
}

impl Sealed {
    /// The `data` of the ConfigMap. `base64 -d | gunzip` makes `table` readable.
    pub fn to_data(&self) -> BTreeMap<String, String> {
        let entries = [
            (SCHEMA_VERSION, self.schema.to_string()),
            (MIN_READER_VERSION, self.min_reader.to_string()),
            (GENERATION, self.generation.to_string()),
            (MAC, hex::encode(&self.mac)),
            (TABLE, BASE64.encode(&self.table)),
        ];
        entries.map(|(name, value)| (name.to_owned(), value)).into()
    }

    /// Reads the `data` of a ConfigMap. It believes nothing: that is [`open`]'s part.
    ///
    /// # Errors
    /// [`Rejected::Malformed`] or [`Rejected::TooLarge`].
    pub fn from_data(data: &BTreeMap<String, String>) -> Result<Self, Rejected> {
        let text = |name: &str, missing| data.get(name).map(String::as_str).ok_or(Rejected::Malformed(missing));
        let schema = number(text(SCHEMA_VERSION, "it has no schemaVersion")?, "its schemaVersion is no number")?;
        let table = text(TABLE, "it has no table")?;
        if table.len() > MAX_COMPRESSED.div_ceil(3) * 4 {
            return Err(Rejected::TooLarge(MAX_COMPRESSED));
        }
        Ok(Self {
            schema,
            min_reader: match data.get(MIN_READER_VERSION) {
                Some(text) => number(text, "its minReader is no number")?,
                None => schema,
            },
            generation: number(text(GENERATION, "it has no generation")?, "its generation is no number")?,
            table: BASE64.decode(table).map_err(|_| Rejected::Malformed("its table is not Base64"))?,
            mac: hex::decode(text(MAC, "it has no mac")?).ok_or(Rejected::Malformed("its mac is not 64 hex digits"))?,
        })
    }

    /// What the MAC is over. This must never change, whatever a later version adds: a reader tells a newer document from a forged one only
    /// because it can verify both.
    fn signed<T>(&self, namespace: &str, with: impl FnOnce(&[&[u8]]) -> T) -> T {
        with(&[
            &self.schema.to_be_bytes(),
            &self.min_reader.to_be_bytes(),
            namespace.as_bytes(),
            &self.generation.to_be_bytes(),
            &self.table,
        ])
    }
}

/// Decimal digits alone: one text for one number.
fn number<N: std::str::FromStr + ToString>(text: &str, problem: &'static str) -> Result<N, Rejected> {
    let number: Option<N> = text.parse().ok();
    number
        .filter(|number| number.to_string() == text)
        .ok_or(Rejected::Malformed(problem))
}

/// Refuses to write more than a reader would unpack.
struct Capped<W> {
    inner: W,
    written: usize,
}

impl<W: Write> Write for Capped<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.written = self.written.saturating_add(bytes.len());
        if self.written > MAX_INFLATED {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        // In one piece: the count must not run ahead of what is taken.
        self.inner.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

const SCHEMA_VERSION: &str = "schemaVersion";
const MIN_READER_VERSION: &str = "minReader";
const GENERATION: &str = "generation";
const MAC: &str = "mac";
const TABLE: &str = "table";

#[cfg(test)]
mod tests;
