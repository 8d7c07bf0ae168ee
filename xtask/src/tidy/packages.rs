//! What we build from others: banned packages, licences, versions twice. It asks `cargo tree`, which knows the features that are really
//! on; the lock and `cargo metadata` also name what nobody builds. It must never look at other platforms than the host's.

use super::{Finding, Rule, licence};
use crate::workspace;
use anyhow::Result;
use std::collections::{BTreeMap, BTreeSet};

/// Packages that nothing here may be built from, with the reason.
const BANNED: &[(&str, &str)] = &[
    ("openssl", "TLS is rustls over aws-lc-rs, alone"),
    ("openssl-sys", "TLS is rustls over aws-lc-rs, alone"),
    ("native-tls", "TLS is rustls over aws-lc-rs, alone"),
    ("ring", "one TLS provider: aws-lc-rs"),
    ("reqwest", "one HTTP stack: hyper"),
];

/// Packages that may be there in two incompatible versions, with the reason.
const TWICE: &[(&str, &str)] = &[
    (
        "base64",
        "kube-client and the pem of certificates are one version ahead of k8s-openapi",
    ),
    (
        "getrandom",
        "ahash, under kube-runtime, is one version behind; our own code asks neither",
    ),
    ("hashbrown", "kube-runtime is one version behind indexmap"),
    ("rand", "opentelemetry-proto is one version behind proptest; both in tests alone"),
    ("rand_core", "the same"),
    (
        "syn",
        "derive_more, under kube-core, is one version behind; a macro's parser, in no binary",
    ),
];

pub(super) fn check(rules: &[Rule]) -> Result<Vec<Finding>> {
    let all = built(&["--workspace", "--edges", "normal,build,dev"])?;
    let mut found = findings(&all);
    for rule in rules.iter().filter(|rule| !rule.never.is_empty()) {
        let below: BTreeSet<String> = built(&["--package", rule.name, "--edges", "normal,build"])?
            .into_iter()
            .map(|package| package.name)
            .collect();
        for name in rule.never.iter().filter(|name| below.contains(**name)) {
            found.push(Finding::new(
                rule.name,
                format!("is built from {name}, which must not be anywhere below it"),
                format!("`cargo tree --package {} --invert {name}` shows the way it came in", rule.name),
            ));
        }
    }
    Ok(found)
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Package {
    name: String,
    version: String,
    licence: String,
}

fn built(selection: &[&str]) -> Result<BTreeSet<Package>> {
    let mut command = workspace::cargo(&["tree", "--locked", "--all-features", "--prefix", "none", "--format", "{p}|{l}"]);
    let text = workspace::output_of(command.args(selection))?;
    Ok(text.lines().filter_map(package).collect())
}

/// Reads `name v1.2.3 (proc-macro) (/path)|licence (*)`: the star marks a repeated subtree.
fn package(line: &str) -> Option<Package> {
    let (left, licence) = line.split_once('|')?;
    let mut words = left.split_whitespace();
    let name = words.next()?.to_owned();
    let version = words.next()?.trim_start_matches('v').to_owned();
    let licence = licence.trim_end_matches("(*)").trim().to_owned();
    Some(Package { name, version, licence })
}

fn findings(all: &BTreeSet<Package>) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut versions: BTreeMap<&str, BTreeMap<String, &str>> = BTreeMap::new();
    for package in all {
        let place = format!("{} {}", package.name, package.version);
        if let Some((_, reason)) = BANNED.iter().find(|(name, _)| *name == package.name) {
            found.push(Finding::new(
                &place,
                format!("is banned: {reason}"),
                format!("`cargo tree --workspace --edges all --invert {}` shows who brings it", package.name),
            ));
        }
        if !licence::is_permissive(&package.licence) {
            found.push(Finding::new(
                &place,
                format!("has the licence \"{}\", which is not on the list", package.licence),
                "use another package, or argue the licence in ALLOWED in xtask/src/tidy/licence.rs",
            ));
        }
        versions
            .entry(&package.name)
            .or_default()
            .insert(compatible(&package.version), &package.version);
    }
    for (name, versions) in &versions {
        let versions: Vec<&str> = versions.values().copied().collect();
        match (TWICE.iter().any(|(skipped, _)| skipped == name), versions.len() > 1) {
            (false, true) => found.push(Finding::new(
                *name,
                format!("is built in {} incompatible versions: {}", versions.len(), versions.join(", ")),
                format!("raise or lower who brings one (`cargo tree --workspace --duplicates`), or argue {name} in TWICE in xtask/src/tidy/packages.rs"),
            )),
            (true, false) => found.push(twice_no_more(name)),
            (true, true) | (false, false) => {}
        }
    }
    for (name, _) in TWICE.iter().filter(|(name, _)| !versions.contains_key(name)) {
        found.push(twice_no_more(name));
    }
    found
}

fn twice_no_more(name: &str) -> Finding {
    Finding::new(
        name,
        "is excused from the rule against double versions without need",
        "take it out of TWICE in xtask/src/tidy/packages.rs",
    )
}

/// The part of a version that semantic versioning holds compatible: `1` of 1.2.3, `0.2` of 0.2.3.
fn compatible(version: &str) -> String {
    let mut parts = version.split('.');
    let major = parts.next().unwrap_or_default();
    match (major, parts.next()) {
        ("0", Some(minor)) => format!("0.{minor}"),
        _ => major.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whats(lines: &[&str]) -> Vec<String> {
        let excused = TWICE
            .iter()
            .flat_map(|(name, _)| [format!("{name} v1.0.0|MIT"), format!("{name} v2.0.0|MIT")]);
        let all = lines
            .iter()
            .map(|line| (*line).to_owned())
            .chain(excused)
            .filter_map(|line| package(&line))
            .collect();
        findings(&all)
            .into_iter()
            .map(|finding| format!("{}: {}", finding.place, finding.what))
            .collect()
    }

    #[test]
    fn lines_of_cargo_tree_are_understood() {
        let expected = Package {
            name: "serde_derive".to_owned(),
            version: "1.0.229".to_owned(),
            licence: "MIT OR Apache-2.0".to_owned(),
        };
        assert_eq!(package("serde_derive v1.0.229 (proc-macro)|MIT OR Apache-2.0 (*)"), Some(expected));
        assert_eq!(package(""), None);
    }

    #[test]
    fn banned_packages_foreign_licences_and_double_versions_are_named() {
        assert_eq!(
            whats(&[
                "ring v0.17.14|Apache-2.0 AND ISC",
                "x v1.0.0|GPL-3.0",
                "y v0.2.1|MIT",
                "y v0.3.0|MIT",
                "z v1.0.0|MIT",
                "z v1.9.0|MIT"
            ]),
            [
                "ring 0.17.14: is banned: one TLS provider: aws-lc-rs",
                "x 1.0.0: has the licence \"GPL-3.0\", which is not on the list",
                "y: is built in 2 incompatible versions: 0.2.1, 0.3.0",
            ]
        );
    }

    #[test]
    fn an_excuse_without_need_is_named() {
        let found = findings(&BTreeSet::new());
        assert_eq!(found.len(), TWICE.len());
    }
}
