//! The tree itself: length of files, shape of the adapters, marks of unfinished work, configuration that must be there once. It must
//! never read what is not ours: build output, caches and installed packages are passed over.

use super::Finding;
use anyhow::{Context, Result};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Files aim at 150 lines; beyond this they are two things.
const MOST_LINES: usize = 600;

/// What an adapter consists of.
const ADAPTER: &[&str] = &["mod.rs", "request.rs", "response.rs", "stream.rs", "types.rs", "fixtures"];

/// What an adapter may have besides: its tests, and what one of its parts is made of.
const ADAPTER_EXTRA: &[&str] = &["tests.rs", "tests", "request", "response", "stream", "types"];

/// What the first page must say word for word.
const README_COMMANDS: &[&str] = &["cargo run --release -- demo", "cargo xtask test"];

/// A test that is ignored without a word; in pieces, so that this file does not find itself.
const IGNORED: &str = concat!("#[ig", "nore]");

/// Marks of unfinished work, in pieces as well.
const UNFINISHED: &[&str] = &[
    concat!("to", "do!("),
    concat!("unimple", "mented!("),
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
];

pub(super) fn check(root: &Path) -> Result<Vec<Finding>> {
    let mut paths = Vec::new();
    walk(root, root, &mut paths)?;
    let mut found = Vec::new();
    for path in &paths {
        found.extend(file(root, path)?);
    }
    found.extend(adapters(&paths));
    found.extend(first_page(root));
    found.extend(code_map(root)?);
    Ok(found)
}

/// All files below `folder`, as paths from the top.
fn walk(root: &Path, folder: &Path, paths: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        let name = entry.file_name();
        let path = entry.path();
        // Symbolic links are not followed: the only ones here lead to installed packages.
        if entry.file_type()?.is_dir() {
            let foreign = matches!(name.to_str(), Some(".git" | ".cache" | "target" | "node_modules" | "__pycache__"));
            if !foreign {
                walk(root, &path, paths)?;
            }
        } else if entry.file_type()?.is_file() {
            paths.push(path.strip_prefix(root)?.to_path_buf());
        }
    }
    Ok(())
}

fn file(root: &Path, path: &Path) -> Result<Vec<Finding>> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let place = path.display().to_string();
    let mut found = Vec::new();
    if name.trim_start_matches('.') == "clippy.toml" && place != ".clippy.toml" {
        found.push(Finding::new(
            &place,
            "replaces the lint settings of the top folder instead of adding to them",
            "move its lines into .clippy.toml at the top",
        ));
    }
    let is_code = path
        .extension()
        .is_some_and(|extension| extension == "rs" || extension == "py" || extension == "js");
    if !is_code && !["Cargo.toml", "Chart.yaml", "package-lock.json"].contains(&name) {
        return Ok(found);
    }
    let text = fs::read_to_string(root.join(path)).with_context(|| place.clone())?;
    match name {
        "Cargo.toml" => found.extend(manifest(&place, &text)),
        "Chart.yaml" => found.extend(chart(&place, &text)),
        "package-lock.json" => found.extend(npm_lock(&place, &text)),
        _ => {
            found.extend(length(path, &text));
            found.extend(unfinished(&place, &text));
            found.extend(ignored(&place, &text));
        }
    }
    Ok(found)
}

/// Tests and fixtures may be long: a table of cases is read one row at a time.
fn length(path: &Path, text: &str) -> Option<Finding> {
    let lines = text.lines().count();
    let is_test = path
        .iter()
        .any(|part| matches!(part.to_str(), Some("tests" | "tests.rs" | "fixtures")));
    (lines > MOST_LINES && !is_test).then(|| {
        Finding::new(
            path.display().to_string(),
            format!("has {lines} lines; {MOST_LINES} is the limit"),
            "split it by what it decides, not by size; tests move to a tests.rs beside it",
        )
    })
}

fn unfinished(place: &str, text: &str) -> Vec<Finding> {
    let marked = text
        .lines()
        .zip(1..)
        .filter_map(|(line, number)| Some((number, UNFINISHED.iter().find(|mark| line.contains(**mark))?)));
    marked
        .map(|(number, mark)| {
            Finding::new(
                format!("{place}:{number}"),
                format!("has \"{mark}\""),
                "finish it, or take it out and write it down where work is planned",
            )
        })
        .collect()
}

/// A test that no suite counts must say which command runs it.
fn ignored(place: &str, text: &str) -> Vec<Finding> {
    let lines = text.lines().zip(1..).filter(|(line, _)| line.trim_start().starts_with(IGNORED));
    lines
        .map(|(_, number)| {
            Finding::new(
                format!("{place}:{number}"),
                "is a test that nothing runs and that does not say why",
                "write `#[ignore = \"the command that runs it\"]`, or run it",
            )
        })
        .collect()
}

/// A package that does not opt in is checked by none of our lints, silently.
fn manifest(place: &str, text: &str) -> Option<Finding> {
    let is_package = text.lines().any(|line| line.trim() == "[package]");
    let opted_in = text.contains("[lints]\nworkspace = true");
    (is_package && !opted_in).then(|| {
        Finding::new(
            place,
            "does not use the workspace's lints",
            "add the lines `[lints]` and `workspace = true`",
        )
    })
}

/// Binaries, images and charts have one version.
fn chart(place: &str, text: &str) -> Vec<Finding> {
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    let wrong = |field: &str| {
        let said = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        let said = said.unwrap_or_default().trim().trim_matches('"');
        (said != VERSION).then(|| {
            Finding::new(
                place,
                format!("has the {field} \"{said}\" and not the workspace's"),
                format!("write {field}: {VERSION}"),
            )
        })
    };
    ["version", "appVersion"].into_iter().filter_map(wrong).collect()
}

/// A lock that names where its packages were fetched binds everyone to that host.
fn npm_lock(place: &str, text: &str) -> Option<Finding> {
    text.contains("\"resolved\": \"http").then(|| {
        Finding::new(
            place,
            "names the host that its packages came from",
            "write it again with `npm install --package-lock-only --omit-lockfile-registry-resolved`",
        )
    })
}

/// Every provider adapter has the same shape, so that whoever knows one knows all.
fn adapters(paths: &[PathBuf]) -> Vec<Finding> {
    let home = Path::new("crates/outrigger-dialect/src/provider");
    let inside = paths.iter().filter_map(|path| path.strip_prefix(home).ok());
    let parts: BTreeSet<(&str, &str)> = inside
        .filter_map(|path| {
            let mut parts = path.iter().filter_map(|part| part.to_str());
            Some((parts.next()?, parts.next()?))
        })
        .collect();
    let names: BTreeSet<&str> = parts.iter().map(|(adapter, _)| *adapter).collect();
    let mut found = Vec::new();
    for name in names {
        let place = format!("{}/{name}", home.display());
        let missing: Vec<&str> = ADAPTER.iter().filter(|part| !parts.contains(&(name, **part))).copied().collect();
        if !missing.is_empty() {
            found.push(Finding::new(
                &place,
                format!("lacks {}", missing.join(", ")),
                format!("an adapter consists of {}", ADAPTER.join(", ")),
            ));
        }
        let strange: Vec<&str> = parts
            .iter()
            .filter(|(adapter, part)| *adapter == name && !ADAPTER.contains(part) && !ADAPTER_EXTRA.contains(part))
            .map(|(_, part)| *part)
            .collect();
        if !strange.is_empty() {
            found.push(Finding::new(
                &place,
                format!("has {}, which is no part of an adapter", strange.join(", ")),
                "make it a part of the part whose job it is, as request/<name>.rs; what several adapters need belongs beside them",
            ));
        }
    }
    found
}

fn first_page(root: &Path) -> Vec<Finding> {
    let text = fs::read_to_string(root.join("README.md")).unwrap_or_default();
    let missing = README_COMMANDS.iter().filter(|command| !text.contains(**command));
    missing
        .map(|command| {
            Finding::new(
                "README.md",
                format!("does not name `{command}`"),
                "say there how to try it and how to test it",
            )
        })
        .collect()
}

fn code_map(root: &Path) -> Result<Vec<Finding>> {
    let text = fs::read_to_string(root.join("crates/README.md")).unwrap_or_default();
    let mut found = Vec::new();
    for entry in fs::read_dir(root.join("crates"))? {
        let entry = entry?;
        let name = entry.file_name();
        if entry.file_type()?.is_dir() && !text.contains(&format!("`{}`", name.display())) {
            found.push(Finding::new(
                "crates/README.md",
                format!("does not say what {} is for", name.display()),
                "add it to the code map",
            ));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
