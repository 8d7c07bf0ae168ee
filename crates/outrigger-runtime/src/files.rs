//! Files that others wait for. They must never be seen half written.

use std::{fs, io, path::Path};

/// Writes `file` in one step: beside it first, then moved into place.
///
/// # Errors
/// Where either fails.
pub fn replace(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = file.with_extension("part");
    fs::write(&beside, bytes)?;
    fs::rename(&beside, file)
}
