//! A layer: files as a tar archive, in the order of their paths, owned by root, with no time of their own. The same files are the same bytes.

use anyhow::{Context as _, Result};
use flate2::{Compression, write::GzEncoder};
use sha2::{Digest as _, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write as _,
    path::{Path, PathBuf},
};
use tar::{Builder, EntryType, Header};

/// A file of a layer.
#[derive(Clone, Debug)]
pub(crate) struct File {
    pub(crate) bytes: Vec<u8>,
    pub(crate) executable: bool,
}

/// A layer as it is stored.
#[derive(Debug)]
pub(crate) struct Layer {
    /// As it is transferred.
    pub(crate) bytes: Vec<u8>,
    /// SHA-256 of `bytes`, in hexadecimal.
    pub(crate) digest: String,
    /// SHA-256 of the archive before compression.
    pub(crate) plain_digest: String,
    pub(crate) compressed: bool,
}

impl Layer {
    /// Packs files by their absolute paths.
    ///
    /// # Errors
    /// A path that is not absolute.
    pub(crate) fn pack(files: &BTreeMap<PathBuf, File>, compressed: bool) -> Result<Self> {
        let plain = archive(files)?;
        let plain_digest = digest(&plain);
        if !compressed {
            return Ok(Self {
                digest: plain_digest.clone(),
                bytes: plain,
                plain_digest,
                compressed,
            });
        }
        // A level beyond this takes twice as long for one part in a hundred.
        let mut encoder = GzEncoder::new(Vec::new(), Compression::new(8));
        encoder.write_all(&plain)?;
        let bytes = encoder.finish()?;
        Ok(Self {
            digest: digest(&bytes),
            bytes,
            plain_digest,
            compressed,
        })
    }
}

fn archive(files: &BTreeMap<PathBuf, File>) -> Result<Vec<u8>> {
    let mut archive = Builder::new(Vec::new());
    let mut folders = BTreeSet::new();
    for (path, file) in files {
        let inside = path
            .strip_prefix("/")
            .with_context(|| format!("{} is not absolute", path.display()))?;
        let mut above: Vec<&Path> = inside.ancestors().skip(1).filter(|folder| *folder != Path::new("")).collect();
        above.reverse();
        for folder in above {
            if folders.insert(folder.to_path_buf()) {
                append(&mut archive, folder, EntryType::Directory, 0o755, &[])?;
            }
        }
        let mode = if file.executable { 0o755 } else { 0o644 };
        append(&mut archive, inside, EntryType::Regular, mode, &file.bytes)?;
    }
    Ok(archive.into_inner()?)
}

/// Adds one member that is root's and of no time.
pub(crate) fn append(archive: &mut Builder<Vec<u8>>, path: &Path, kind: EntryType, mode: u32, bytes: &[u8]) -> Result<()> {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(u64::try_from(bytes.len())?);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    archive.append_data(&mut header, path, bytes)?;
    Ok(())
}

/// SHA-256 in hexadecimal.
pub(crate) fn digest(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    fn files() -> BTreeMap<PathBuf, File> {
        let file = |bytes: &str, executable| File {
            bytes: bytes.as_bytes().to_vec(),
            executable,
        };
        let long = format!("/usr/{}file", "folder/".repeat(40));
        BTreeMap::from([
            ("/usr/bin/b".into(), file("program", true)),
            ("/a".into(), file("", false)),
            (long.into(), file("far down", false)),
        ])
    }

    #[test]
    fn members_are_sorted_with_their_folders_first_and_belong_to_nobody_in_particular() {
        let layer = Layer::pack(&files(), false).unwrap();
        let mut archive = tar::Archive::new(layer.bytes.as_slice());
        let mut seen = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let header = entry.header();
            assert_eq!((header.uid().unwrap(), header.gid().unwrap(), header.mtime().unwrap()), (0, 0, 0));
            let (mode, kind) = (header.mode().unwrap(), header.entry_type());
            let path = entry.path().unwrap().display().to_string();
            let mut bytes = String::new();
            entry.read_to_string(&mut bytes).unwrap();
            seen.push((path, kind, mode, bytes));
        }
        let folders = seen.iter().filter(|(_, kind, ..)| *kind == EntryType::Directory);
        assert_eq!(folders.filter(|(_, _, mode, _)| *mode == 0o755).count(), 42);
        let of = |path: &str| seen.iter().position(|(seen, ..)| seen.trim_end_matches('/') == path).unwrap();
        assert!(of("a") < of("usr") && of("usr") < of("usr/bin") && of("usr/bin") < of("usr/bin/b"));
        assert_eq!(seen[of("usr/bin/b")].2, 0o755);
        assert_eq!((seen[of("a")].2, seen[of("a")].3.as_str()), (0o644, ""));
        let last = seen.iter().find(|(path, ..)| path.ends_with("/folder/file")).unwrap();
        assert_eq!(last.3, "far down");
    }

    #[test]
    fn the_same_files_are_the_same_bytes_and_the_digest_is_of_what_is_inside() {
        let [one, two] = [(); 2].map(|()| Layer::pack(&files(), true).unwrap());
        assert_eq!(one.bytes, two.bytes);
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(one.bytes.as_slice()).read_to_end(&mut plain).unwrap();
        assert_eq!(plain, Layer::pack(&files(), false).unwrap().bytes);
        assert_eq!(digest(&plain), one.plain_digest);
        assert_eq!(digest(&one.bytes), one.digest);
        // The time in the head of a compressed file, and the host that wrote it.
        assert_eq!((&one.bytes[4..8], one.bytes[9]), (&[0_u8; 4][..], 255));
        assert_eq!(digest(b""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }

    #[test]
    fn a_path_that_is_not_absolute_is_refused() {
        let file = File {
            bytes: Vec::new(),
            executable: false,
        };
        assert!(Layer::pack(&BTreeMap::from([("a".into(), file)]), false).is_err());
    }
}
