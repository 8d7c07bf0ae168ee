//! The properties are held against cores that are wrong on purpose: a property that lets its mutant through says nothing. Each file in
//! `mutants/` names the property that must catch it and is applied to a copy of the core in the target folder; the core itself has no
//! switches.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::string_slice,
    reason = "a test: a panic is how it fails"
)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Worlds that each mutant is run in.
const SEEDS: &str = "0..600";

#[test]
fn each_mutant_of_the_core_is_caught_by_the_property_that_it_names() {
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = home.ancestors().nth(2).unwrap();
    let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mutants");
    let core = copy.join("crates/outrigger-core");
    mirror(home, &copy.join("tests/simulator"));
    write(&copy.join("Cargo.lock"), &fs::read_to_string(root.join("Cargo.lock")).unwrap());
    write(
        &copy.join("Cargo.toml"),
        &workspace(&fs::read_to_string(root.join("Cargo.toml")).unwrap()),
    );

    let mut wrong = Vec::new();
    let mut mutants: Vec<PathBuf> = fs::read_dir(home.join("mutants"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    mutants.sort();
    assert!(mutants.len() >= 5, "{mutants:?}");
    for path in mutants {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let patch = fs::read_to_string(&path).unwrap();
        let named = patch.lines().next().and_then(|line| line.strip_prefix("Caught by: "));
        let property = named.unwrap_or_else(|| panic!("the first line of {name}.patch does not say by which property it is caught"));
        mirror(&root.join("crates/outrigger-core"), &core);
        let applied = apply(&patch, &core.join("src"));
        let applied = applied.map_err(|why| format!("does not apply to the core any more: write it anew for the code as it is. {why}"));
        wrong.extend(
            applied
                .and_then(|()| caught(&copy, property))
                .err()
                .map(|why| format!("{name}.patch {why}")),
        );
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Builds the copy and runs worlds in it: the named property must be among those that did not hold.
fn caught(copy: &Path, property: &str) -> Result<(), String> {
    let run = Command::new(env!("CARGO"))
        .args([
            "run",
            "--quiet",
            "--offline",
            "--package",
            "outrigger-simulator",
            "--",
            "--seeds",
            SEEDS,
        ])
        .current_dir(copy)
        // The same compiler for the same text, whatever is set for the build around it; small changes are built in a second or two.
        .env("CARGO_TARGET_DIR", copy.join("target"))
        .env("CARGO_INCREMENTAL", "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stdout);
    let failed: Vec<&str> = said
        .lines()
        .filter_map(|line| line.strip_prefix("seed ")?.split(' ').nth(1))
        .collect();
    if !said.contains(" calls, ") {
        return Err(format!("was not run:\n{}", String::from_utf8_lossy(&run.stderr)));
    }
    if failed.contains(&property) {
        return Ok(());
    }
    Err(format!(
        "was not caught: in {SEEDS} the property {property:?} held; what did not: {failed:?}"
    ))
}

/// The copy's own workspace: the members that it has, and what they take from the original.
fn workspace(original: &str) -> String {
    let section = |name: &str| {
        let from = original.find(&format!("\n[{name}]\n")).unwrap_or_else(|| panic!("no [{name}]"));
        let rest = &original[from + 1..];
        &rest[..rest.find("\n[").unwrap_or(rest.len())]
    };
    [
        "[workspace]\nresolver = \"3\"\nmembers = [\"crates/outrigger-core\", \"tests/simulator\"]\n",
        section("workspace.package"),
        section("workspace.dependencies"),
        "[workspace.lints.rust]\n[profile.dev]\nopt-level = 1\ndebug = false\n",
    ]
    .join("\n")
}

/// Makes `copy` the same as `original`; what is the same already keeps its time, so that it is not built again.
fn mirror(original: &Path, copy: &Path) {
    fs::create_dir_all(copy).unwrap();
    for entry in fs::read_dir(copy).unwrap() {
        let path = entry.unwrap().path();
        if !original.join(path.file_name().unwrap()).exists() {
            if path.is_dir() {
                fs::remove_dir_all(path)
            } else {
                fs::remove_file(path)
            }
            .unwrap();
        }
    }
    for entry in fs::read_dir(original).unwrap() {
        let path = entry.unwrap().path();
        let to = copy.join(path.file_name().unwrap());
        if path.is_dir() {
            mirror(&path, &to);
        } else {
            write(&to, &fs::read_to_string(&path).unwrap());
        }
    }
}

fn write(path: &Path, text: &str) {
    if fs::read_to_string(path).is_ok_and(|there| there == text) {
        return;
    }
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Applies a unified diff to the files in `folder`. Line numbers do not matter, every other character does: what a hunk takes away, with
/// the lines around it, must be there exactly once.
fn apply(patch: &str, folder: &Path) -> Result<(), String> {
    let files = patch.split("\n--- ").skip(1);
    for text in files {
        let mut hunks = text.split("\n@@ ");
        let head = hunks.next().unwrap_or_default();
        let name = head.lines().find_map(|line| line.strip_prefix("+++ b/crates/outrigger-core/src/"));
        let name = name.ok_or_else(|| format!("it names no file of the core's: {head}"))?;
        let place = folder.join(name);
        let mut file = fs::read_to_string(&place).map_err(|error| format!("{name}: {error}"))?;
        for hunk in hunks {
            let lines = || hunk.lines().skip(1);
            let side = |other: char| -> String {
                let kept = lines().filter(|line| !line.starts_with(other));
                kept.flat_map(|line| [line.get(1..).unwrap_or_default(), "\n"]).collect()
            };
            let (before, after) = (side('+'), side('-'));
            match file.matches(&before).count() {
                1 => file = file.replacen(&before, &after, 1),
                count => return Err(format!("{name} has these lines {count} times:\n{before}")),
            }
        }
        write(&place, &file);
    }
    Ok(())
}

#[test]
fn a_patch_for_lines_that_are_not_there_or_there_twice_does_not_apply() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("patched");
    let text = "one\ntwo\nthree\ntwo\n";
    let patch = |hunk: &str| format!("Caught by: nobody\n\n--- a/x\n+++ b/crates/outrigger-core/src/x.rs\n@@ -7,9 +7,9 @@ fn x\n{hunk}");
    let file = folder.join("x.rs");
    let applied = |hunk: &str| {
        write(&file, text);
        apply(&patch(hunk), &folder).map(|()| fs::read_to_string(&file).unwrap())
    };
    assert_eq!(applied(" one\n-two\n+2\n three\n").as_deref(), Ok("one\n2\nthree\ntwo\n"));
    assert!(applied("-two\n+2\n").is_err_and(|why| why.contains("2 times")));
    assert!(applied(" one\n-three\n").is_err_and(|why| why.contains("0 times")));
}
