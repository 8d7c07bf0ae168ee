//! A document at rest. A sidecar needs the one in force again whenever bytes of keys come or go; unpacked it would lie beside the data
//! plane's own table for all that time.

use crate::Document;
use flate2::{Compression, bufread::GzDecoder, write::GzEncoder};
use std::{
    fmt,
    io::{BufReader, Write as _},
    sync::Arc,
};

/// A verified document, compressed. Clones share the bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Packed(Arc<[u8]>);

impl Packed {
    /// Packs a document.
    pub fn of(document: &Document) -> Self {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        // Into memory, and of plain structs: neither step has a way to fail. Should one ever, nothing would unpack, and that is handled.
        let packed = serde_json::to_writer(&mut gzip, document)
            .map_err(std::io::Error::from)
            .and_then(|()| gzip.flush())
            .and_then(|()| gzip.finish());
        Self(packed.unwrap_or_default().into())
    }

    /// The document.
    pub fn unpack(&self) -> Option<Document> {
        serde_json::from_reader(BufReader::new(GzDecoder::new(&*self.0))).ok()
    }
}

impl fmt::Debug for Packed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Packed({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::document;

    #[test]
    fn what_is_packed_unpacks_as_it_was_and_takes_far_less() {
        let names: Vec<String> = (0..500).map(|n| format!("team-{n}")).collect();
        let document = document(&names.iter().map(String::as_str).collect::<Vec<_>>());
        let packed = Packed::of(&document);
        assert_eq!(packed.unpack().as_ref(), Some(&document));
        assert!(packed.0.len() * 8 < serde_json::to_vec(&document).unwrap().len(), "{packed:?}");
    }
}
