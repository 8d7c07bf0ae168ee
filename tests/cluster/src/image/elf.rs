//! What a program needs beside itself, as its file says: the dynamic loader and the libraries. Any bytes may come; what is cut off or points
//! outside of the file is an error, never a panic.

use anyhow::{Context as _, Result, bail};

/// What an ELF file says of its surroundings. A static program says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Linkage {
    /// The processor, as images call it: `amd64`, `arm64`.
    pub(crate) architecture: &'static str,
    /// Path of the dynamic loader; libraries have none.
    pub(crate) interpreter: Option<String>,
    /// Names of the libraries that it needs itself.
    pub(crate) needed: Vec<String>,
    /// Folders of its own in which they are looked for first; `$ORIGIN` is the folder of the file.
    pub(crate) folders: Vec<String>,
}

const LOAD: u32 = 1;
const DYNAMIC: u32 = 2;
const INTERPRETER: u32 = 3;

const NEEDED: u64 = 1;
const STRINGS: u64 = 5;
const RPATH: u64 = 15;
const RUNPATH: u64 = 29;

/// A part of the file that is mapped: where it starts in memory and in the file, and how long it is.
struct Segment {
    kind: u32,
    offset: u64,
    address: u64,
    size: u64,
}

/// Reads `file`; `None` where it is no ELF file.
///
/// # Errors
/// It is cut off, for another word size or byte order, or for a processor that no image of ours is for.
pub(crate) fn linkage(file: &[u8]) -> Result<Option<Linkage>> {
    if !file.starts_with(b"\x7fELF") {
        return Ok(None);
    }
    if bytes::<2>(file, 4)? != [2, 1] {
        bail!("not a 64-bit little-endian program");
    }
    let architecture = match u16::from_le_bytes(bytes(file, 18)?) {
        62 => "amd64",
        183 => "arm64",
        other => bail!("a program for the processor number {other}"),
    };
    let mut linkage = Linkage {
        architecture,
        ..Linkage::default()
    };
    let segments = segments(file)?;
    if let Some(segment) = segments.iter().find(|segment| segment.kind == INTERPRETER) {
        linkage.interpreter = Some(text(file, segment.offset)?);
    }
    let Some(dynamic) = segments.iter().find(|segment| segment.kind == DYNAMIC) else {
        return Ok(Some(linkage));
    };
    let mut entries = Vec::new();
    for at in (dynamic.offset..dynamic.offset.saturating_add(dynamic.size)).step_by(16) {
        entries.push((long(file, at)?, long(file, at + 8)?));
    }
    // What follows the first entry without a tag is padding.
    let entries = entries.split(|(tag, _)| *tag == 0).next().unwrap_or_default();
    let Some((_, strings)) = entries.iter().find(|(tag, _)| *tag == STRINGS) else {
        return Ok(Some(linkage));
    };
    let strings = place(&segments, *strings).context("its names lie in no part of the file")?;
    for (tag, value) in entries {
        let name = || text(file, strings.saturating_add(*value));
        match *tag {
            NEEDED => linkage.needed.push(name()?),
            RPATH | RUNPATH => linkage
                .folders
                .extend(name()?.split(':').filter(|folder| !folder.is_empty()).map(str::to_owned)),
            _ => {}
        }
    }
    Ok(Some(linkage))
}

fn segments(file: &[u8]) -> Result<Vec<Segment>> {
    let start = long(file, 32)?;
    let [size, count] = [54, 56].map(|at| bytes(file, at).map(u16::from_le_bytes));
    let (size, count) = (u64::from(size?), u64::from(count?));
    (0..count)
        .map(|number| {
            let at = start.saturating_add(number * size);
            Ok(Segment {
                kind: u32::from_le_bytes(bytes(file, at)?),
                offset: long(file, at.saturating_add(8))?,
                address: long(file, at.saturating_add(16))?,
                size: long(file, at.saturating_add(32))?,
            })
        })
        .collect()
}

/// Where in the file something lies that has an address in memory.
fn place(segments: &[Segment], address: u64) -> Option<u64> {
    let mut loaded = segments.iter().filter(|segment| segment.kind == LOAD);
    loaded.find_map(|segment| {
        let within = address.checked_sub(segment.address)?;
        (within < segment.size).then(|| segment.offset.checked_add(within))?
    })
}

fn bytes<const N: usize>(file: &[u8], at: u64) -> Result<[u8; N]> {
    let start = usize::try_from(at)?;
    let part = start.checked_add(N).and_then(|end| file.get(start..end));
    Ok(part.context("the file is cut off")?.try_into()?)
}

fn long(file: &[u8], at: u64) -> Result<u64> {
    Ok(u64::from_le_bytes(bytes(file, at)?))
}

fn text(file: &[u8], at: u64) -> Result<String> {
    let rest = file.get(usize::try_from(at)?..).context("the file is cut off")?;
    let end = rest.iter().position(|byte| *byte == 0).context("a name without an end")?;
    let name = rest.get(..end).unwrap_or_default();
    Ok(std::str::from_utf8(name)?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{env, fs};

    #[test]
    fn this_very_program_needs_a_loader_and_the_c_library() {
        let file = fs::read(env::current_exe().unwrap()).unwrap();
        let linkage = linkage(&file).unwrap().unwrap();
        assert!(linkage.interpreter.unwrap().contains("/ld-"));
        assert!(linkage.needed.iter().any(|name| name.starts_with("libc.")), "{:?}", linkage.needed);
        assert!(["amd64", "arm64"].contains(&linkage.architecture));
    }

    /// A small library: one mapped part with its names, two needs, and a folder of its own.
    fn library() -> Vec<u8> {
        let names = b"\0libone.so\0libtwo.so.1\0$ORIGIN/../lib:/opt/x\0";
        let entries: [(u64, u64); 6] = [(1, 1), (1, 11), (29, 23), (5, 0x1000 + 400), (0, 0), (1, 1)];
        let mut file = vec![0; 64 + 2 * 56];
        file[..6].copy_from_slice(b"\x7fELF\x02\x01");
        file[18] = 62;
        file[32] = 64;
        file[54] = 56;
        file[56] = 2;
        for (at, kind, offset, address, size) in [(64, 1_u32, 0_u64, 0x1000_u64, 512_u64), (120, 2, 200, 0x1000 + 200, 96)] {
            file[at..at + 4].copy_from_slice(&kind.to_le_bytes());
            file[at + 8..at + 16].copy_from_slice(&offset.to_le_bytes());
            file[at + 16..at + 24].copy_from_slice(&address.to_le_bytes());
            file[at + 32..at + 40].copy_from_slice(&size.to_le_bytes());
        }
        file.resize(200, 0);
        for (tag, value) in entries {
            file.extend([tag.to_le_bytes(), value.to_le_bytes()].concat());
        }
        file.resize(400, 0);
        file.extend(names);
        file
    }

    #[test]
    fn needs_and_folders_are_read_up_to_the_last_entry() {
        let expected = Linkage {
            architecture: "amd64",
            interpreter: None,
            needed: vec!["libone.so".to_owned(), "libtwo.so.1".to_owned()],
            folders: vec!["$ORIGIN/../lib".to_owned(), "/opt/x".to_owned()],
        };
        assert_eq!(linkage(&library()).unwrap(), Some(expected));
    }

    #[test]
    fn what_is_cut_off_or_strange_is_refused_and_what_is_no_program_is_none() {
        let whole = library();
        for end in 4..whole.len() {
            assert!(linkage(&whole[..end]).is_err(), "{end}");
        }
        for (at, value) in [(4, 1), (5, 2), (18, 3)] {
            let mut changed = whole.clone();
            changed[at] = value;
            assert!(linkage(&changed).is_err(), "{at}");
        }
        // Whatever a byte says, it is looked at within the file.
        for at in 6..whole.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut changed = whole.clone();
                changed[at] = value;
                let _ = linkage(&changed);
            }
        }
        assert_eq!(linkage(b"#!/bin/sh\n").unwrap(), None);
        assert_eq!(linkage(b"").unwrap(), None);
    }
}
