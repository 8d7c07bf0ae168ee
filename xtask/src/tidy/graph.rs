//! The edges between our own crates, against the table. It must never look at development dependencies: a test may use what it likes.

use super::{Finding, Rule, Uses};
use crate::workspace;
use anyhow::{Context, Result};
use serde::Deserialize;
use std::{collections::BTreeSet, path::Path};

#[derive(Deserialize)]
pub(super) struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    /// `null` is a normal one.
    kind: Option<String>,
}

pub(super) fn check(rules: &[Rule]) -> Result<Vec<Finding>> {
    let text = workspace::output_of(&mut workspace::cargo(&[
        "metadata",
        "--locked",
        "--no-deps",
        "--format-version",
        "1",
    ]))?;
    let metadata: Metadata = serde_json::from_str(&text).context("the answer of `cargo metadata`")?;
    Ok(findings(&metadata, rules))
}

fn findings(metadata: &Metadata, rules: &[Rule]) -> Vec<Finding> {
    let ours: BTreeSet<&str> = metadata.packages.iter().map(|package| package.name.as_str()).collect();
    let mut found = Vec::new();
    for rule in rules.iter().filter(|rule| !ours.contains(rule.name)) {
        found.push(Finding::new(
            rule.name,
            "is in the crate table but not in the workspace",
            "take it out of CRATES in xtask/src/tidy.rs, or add the crate",
        ));
    }
    for package in &metadata.packages {
        let Some(rule) = rules.iter().find(|rule| rule.name == package.name) else {
            found.push(Finding::new(
                &package.name,
                "is in the workspace but not in the crate table",
                "add it with its edges to CRATES in xtask/src/tidy.rs and to crates/README.md",
            ));
            continue;
        };
        found.extend(edges(package, rule, rules, &ours));
        found.extend(folder(package));
    }
    found
}

fn edges(package: &Package, rule: &Rule, rules: &[Rule], ours: &BTreeSet<&str>) -> Vec<Finding> {
    let is_leaf = |name: &str| rules.iter().any(|rule| rule.name == name && matches!(rule.uses, Uses::Leaf));
    let shipped = package
        .dependencies
        .iter()
        .filter(|dependency| dependency.kind.as_deref() != Some("dev"));
    let mut found = Vec::new();
    for dependency in shipped.filter(|dependency| ours.contains(dependency.name.as_str())) {
        let name = dependency.name.as_str();
        let remedy = match rule.uses {
            _ if is_leaf(name) => "nothing depends on tests or automation: move what both need into a crate",
            Uses::Only(allowed) if !allowed.contains(&name) => {
                "move the code to the side of the edge that may know the other, or argue the edge in CRATES in xtask/src/tidy.rs"
            }
            Uses::Only(_) | Uses::Leaf => continue,
        };
        found.push(Finding::new(
            &package.name,
            format!("depends on {name}, an edge that the table does not have"),
            remedy,
        ));
    }
    found
}

/// Folder name = crate name below `crates/`, so that a path in a message names the crate.
fn folder(package: &Package) -> Option<Finding> {
    let folder = Path::new(&package.manifest_path).parent()?;
    let below_crates = folder.parent()?.file_name()? == "crates";
    let name = folder.file_name()?;
    (below_crates && name != package.name.as_str()).then(|| {
        Finding::new(
            &package.name,
            format!("lies in crates/{}", name.display()),
            format!("rename the folder to crates/{}", package.name),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: &[Rule] = &[
        Rule {
            name: "base",
            uses: Uses::Only(&[]),
            never: &[],
        },
        Rule {
            name: "top",
            uses: Uses::Only(&["base"]),
            never: &[],
        },
        Rule {
            name: "tests",
            uses: Uses::Leaf,
            never: &[],
        },
    ];

    fn whats(packages: &str) -> Vec<String> {
        let metadata: Metadata = serde_json::from_str(&format!("{{\"packages\":{packages}}}")).unwrap();
        findings(&metadata, RULES)
            .into_iter()
            .map(|finding| format!("{}: {}", finding.place, finding.what))
            .collect()
    }

    fn package(name: &str, folder: &str, dependencies: &str) -> String {
        format!("{{\"name\":\"{name}\",\"manifest_path\":\"/w/{folder}/Cargo.toml\",\"dependencies\":{dependencies}}}")
    }

    #[test]
    fn listed_edges_and_development_dependencies_pass() {
        let packages = [
            package("base", "crates/base", r#"[{"name":"top","kind":"dev"}]"#),
            package("top", "crates/top", r#"[{"name":"base","kind":null},{"name":"serde","kind":null}]"#),
            package("tests", "tests", r#"[{"name":"top","kind":null}]"#),
        ];
        assert_eq!(whats(&format!("[{}]", packages.join(","))), Vec::<String>::new());
    }

    #[test]
    fn a_missing_edge_a_used_leaf_and_an_unknown_crate_are_all_named() {
        let packages = [
            package("base", "crates/base", r#"[{"name":"top","kind":"build"}]"#),
            package("top", "crates/upper", r#"[{"name":"tests","kind":null}]"#),
            package("tests", "tests", "[]"),
            package("stray", "crates/stray", "[]"),
        ];
        assert_eq!(
            whats(&format!("[{}]", packages.join(","))),
            [
                "base: depends on top, an edge that the table does not have",
                "top: depends on tests, an edge that the table does not have",
                "top: lies in crates/upper",
                "stray: is in the workspace but not in the crate table",
            ]
        );
    }

    #[test]
    fn a_crate_of_the_table_that_is_gone_is_named() {
        let packages = [package("base", "crates/base", "[]"), package("top", "crates/top", "[]")];
        assert_eq!(
            whats(&format!("[{}]", packages.join(","))),
            ["tests: is in the crate table but not in the workspace"]
        );
    }
}
