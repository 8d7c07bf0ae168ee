//! Finds on this host what a program is linked with, as the dynamic loader would. It must never leave a library out: one that is not found is an
//! error, since the program would not start.

use super::elf::{Linkage, linkage};
use anyhow::{Context as _, Result};
use std::{
    collections::{BTreeMap, btree_map::Entry},
    fs,
    path::{Path, PathBuf},
};

/// Files by the paths under which the loader of an image finds them.
pub(crate) type Files = BTreeMap<PathBuf, Vec<u8>>;

/// What programs of older hosts open by name only when they look up a host: it stands in no list of theirs.
const BY_NAME: [&str; 2] = ["libnss_files.so.2", "libnss_dns.so.2"];

/// The loader and every library, however far removed, that `file` needs; `None` where it is no ELF file. `place` is where it lies on this host.
///
/// # Errors
/// Something of it is not there.
pub(crate) fn of(place: &Path, file: &[u8]) -> Result<Option<(&'static str, Files)>> {
    let Some(first) = linkage(file).with_context(|| place.display().to_string())? else {
        return Ok(None);
    };
    let architecture = first.architecture;
    let mut found = Files::new();
    let mut open = vec![(place.to_path_buf(), first)];
    while let Some((owner, linkage)) = open.pop() {
        let mut paths = Vec::new();
        for name in &linkage.needed {
            let path = look_for(name, &owner, &linkage);
            paths.push(path.with_context(|| format!("{} needs {name}, which is not on this host", owner.display()))?);
        }
        if let Some(interpreter) = &linkage.interpreter {
            paths.push(interpreter.into());
            paths.extend(BY_NAME.iter().filter_map(|name| look_for(name, &owner, &linkage)));
        }
        for path in paths {
            if let Entry::Vacant(place) = found.entry(path.clone()) {
                let bytes = fs::read(&path).with_context(|| path.display().to_string())?;
                let needs = self::linkage(&bytes)
                    .with_context(|| path.display().to_string())?
                    .with_context(|| format!("{} is no library", path.display()))?;
                open.push((path, needs));
                place.insert(bytes);
            }
        }
    }
    Ok(Some((architecture, found)))
}

fn look_for(name: &str, owner: &Path, linkage: &Linkage) -> Option<PathBuf> {
    let triple = match linkage.architecture {
        "arm64" => "aarch64-linux-gnu",
        _ => "x86_64-linux-gnu",
    };
    let home = owner.parent()?;
    let own = linkage.folders.iter().map(|folder| match folder.strip_prefix("$ORIGIN") {
        Some(rest) => home.join(rest.trim_start_matches('/')),
        None => PathBuf::from(folder),
    });
    // What loaders have built in: in an image there is no list of further folders.
    let common = ["/lib/{}", "/usr/lib/{}", "/lib64", "/usr/lib64", "/lib", "/usr/lib"];
    let common = common.map(|folder| PathBuf::from(folder.replace("{}", triple)));
    own.chain(common)
        .map(|folder| plain(&folder.join(name)))
        .find(|path| path.is_file())
}

/// The path without `..`; links stay, since an image has none.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path {
        if part == ".." {
            plain.pop();
        } else {
            plain.push(part);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{env, ffi::OsStr, process::Command};

    #[test]
    fn what_is_found_is_what_the_loader_itself_would_take() {
        let program = env::current_exe().unwrap();
        let bytes = fs::read(&program).unwrap();
        let (_, found) = of(&program, &bytes).unwrap().unwrap();
        let loader = linkage(&bytes).unwrap().unwrap().interpreter.unwrap();
        let said = Command::new(&loader).arg("--list").arg(&program).output().unwrap();
        let said = String::from_utf8(said.stdout).unwrap();
        // Lines such as "libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x…)".
        let wanted: Vec<&str> = said
            .lines()
            .filter_map(|line| line.split_once("=> ")?.1.split_whitespace().next())
            .collect();
        assert!(!wanted.is_empty(), "{said}");
        for path in wanted {
            assert!(
                found
                    .keys()
                    .any(|found| found.canonicalize().unwrap() == Path::new(path).canonicalize().unwrap()),
                "{path}"
            );
        }
        assert!(found.contains_key(Path::new(&loader)));
    }

    #[test]
    fn a_missing_library_is_named_with_whom_needs_it() {
        let linkage = Linkage {
            architecture: "amd64",
            needed: vec!["libc.so.6".to_owned()],
            folders: vec!["$ORIGIN/../own".to_owned()],
            ..Linkage::default()
        };
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("own")).unwrap();
        fs::create_dir_all(folder.path().join("bin")).unwrap();
        let owner = folder.path().join("bin/program");
        assert_eq!(look_for("libnothing.so", &owner, &linkage), None);
        fs::write(folder.path().join("own/libnothing.so"), "").unwrap();
        let found = look_for("libnothing.so", &owner, &linkage).unwrap();
        assert_eq!(found, folder.path().join("own/libnothing.so"));
        assert_eq!(found.file_name(), Some(OsStr::new("libnothing.so")));
    }
}
