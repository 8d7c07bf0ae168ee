//! `cargo xtask codegen`: what is derived from the schema and kept in the tree, so that it can be read, reviewed and installed without a
//! build: the custom resource definitions as a chart and as one file, the reference of every field, and the controller's chart as plain
//! manifests. These take Helm, so that the checks that run everywhere leave them to the cluster tests.
//!
//! It must never write anywhere else, and with `--check` nowhere at all.

mod reference;
mod yaml;

use crate::workspace;
use anyhow::{Context, Result};
use outrigger_cluster::{PLAIN, plain_manifests};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// The chart that is generated as a whole: what else lies there is left over.
const CHART: &str = "charts/outrigger-crds";

/// The first line of every file.
const MARK: &str = "written by `cargo xtask codegen` from the types in crates/outrigger-config: change them instead";

/// Arguments of `cargo xtask codegen`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Write nothing, and fail where something would be written.
    #[arg(long)]
    check: bool,
}

/// A file that is not as it should be.
struct Difference {
    /// From the top folder.
    path: PathBuf,
    /// What it should say; nothing where it should not be there.
    wanted: Option<String>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let root = workspace::root();
    let mut found = differences(&root)?;
    let manifests = plain_manifests().with_context(|| format!("{PLAIN} cannot be looked after"));
    if let Ok(text) = &manifests {
        found.extend(difference(&root, Path::new(PLAIN), text));
    }
    if args.check {
        let report = lines(&found);
        println!("{}", report.as_deref().unwrap_or("codegen: nothing is out of date"));
        return manifests.map(|_| ExitCode::from(u8::from(report.is_some())));
    }
    for Difference { path, wanted } in found {
        let file = root.join(&path);
        if let Some(text) = wanted {
            fs::create_dir_all(file.parent().context("a file lies in a folder")?)?;
            fs::write(&file, text)?;
            println!("wrote {}", path.display());
        } else {
            fs::remove_file(&file)?;
            println!("removed {}", path.display());
        }
    }
    manifests.map(|_| ExitCode::SUCCESS)
}

/// What is out of date of all that needs no Helm, or nothing where all is well.
pub(crate) fn report(root: &Path) -> Result<Option<String>> {
    Ok(lines(&differences(root)?))
}

fn lines(found: &[Difference]) -> Option<String> {
    let lines = found.iter().map(|difference| {
        let what = match difference.wanted {
            Some(_) => "does not say what it is written from",
            None => "is left over",
        };
        format!("{}: {what}\n    run `cargo xtask codegen`", difference.path.display())
    });
    (!found.is_empty()).then(|| lines.collect::<Vec<_>>().join("\n"))
}

fn difference(root: &Path, path: &Path, wanted: &str) -> Option<Difference> {
    let there = fs::read_to_string(root.join(path)).ok();
    (there.as_deref() != Some(wanted)).then(|| Difference {
        path: path.to_path_buf(),
        wanted: Some(wanted.to_owned()),
    })
}

fn differences(root: &Path) -> Result<Vec<Difference>> {
    let wanted = files()?;
    let changed = wanted.iter().filter_map(|(path, text)| difference(root, path, text));
    let mut found: Vec<Difference> = changed.collect();
    for folder in [CHART.to_owned(), format!("{CHART}/templates")] {
        // Where there is no folder yet, nothing is left over.
        for entry in fs::read_dir(root.join(&folder)).into_iter().flatten() {
            let entry = entry?;
            let path = Path::new(&folder).join(entry.file_name());
            if entry.file_type()?.is_file() && !wanted.contains_key(&path) {
                found.push(Difference { path, wanted: None });
            }
        }
    }
    Ok(found)
}

/// Every file that is generated from the types, by its path from the top folder.
fn files() -> Result<BTreeMap<PathBuf, String>> {
    let crds: Vec<Value> = outrigger_config::crds()
        .iter()
        .map(|crd| Ok(whole(serde_json::to_value(crd)?)))
        .collect::<Result<_>>()?;
    let mut files = BTreeMap::new();
    let mut all = format!("# {MARK}\n");
    for crd in &crds {
        all.push_str("---\n");
        all.push_str(&yaml::write(crd));
        // Removing the chart must not remove every route of the cluster with it.
        let mut kept = crd.clone();
        let metadata = kept
            .pointer_mut("/metadata")
            .and_then(Value::as_object_mut)
            .context("a definition has metadata")?;
        metadata.insert("annotations".to_owned(), json!({"helm.sh/resource-policy": "keep"}));
        let plural = crd
            .pointer("/spec/names/plural")
            .and_then(Value::as_str)
            .context("a definition has a plural")?;
        files.insert(
            format!("{CHART}/templates/{plural}.yaml").into(),
            format!("# {MARK}\n{}", yaml::write(&kept)),
        );
    }
    files.insert("deploy/crds.yaml".into(), all);
    files.insert(format!("{CHART}/Chart.yaml").into(), chart());
    files.insert("docs/reference.md".into(), reference::write(&crds));
    Ok(files)
}

/// Numbers as people write them: the types hold limits as floats, 16.0.
fn whole(value: Value) -> Value {
    match value {
        Value::Object(fields) => fields.into_iter().map(|(name, value)| (name, whole(value))).collect(),
        Value::Array(members) => members.into_iter().map(whole).collect(),
        Value::Number(number) if number.is_f64() => {
            let text = number.to_string();
            let plain = text.strip_suffix(".0").and_then(|text| text.parse::<i64>().ok());
            plain.map_or(Value::Number(number), Value::from)
        }
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => other,
    }
}

fn chart() -> String {
    let version = env!("CARGO_PKG_VERSION");
    let chart = json!({
        "apiVersion": "v2",
        "name": "outrigger-crds",
        "description": "The custom resources ModelRoute and ProviderKey. Kept when the release is removed.",
        "type": "application",
        "version": version,
        "appVersion": version,
        "kubeVersion": ">=1.29.0-0",
    });
    format!("# {MARK}\n{}", yaml::write(&chart))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `cargo xtask test` has a step of its own for this; so that a plain `cargo test` sees it as well.
    #[test]
    fn the_tree_says_what_the_types_say() {
        assert_eq!(report(&workspace::root()).unwrap(), None);
    }

    #[test]
    fn what_is_missing_changed_or_left_over_is_found() {
        let root = std::env::temp_dir().join(format!("outrigger-codegen-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        let wanted = files().unwrap();
        assert_eq!(differences(&root).unwrap().len(), wanted.len());
        for (path, text) in &wanted {
            fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
            fs::write(root.join(path), text).unwrap();
        }
        assert_eq!(report(&root).unwrap(), None);
        fs::write(root.join("deploy/crds.yaml"), "").unwrap();
        fs::write(root.join(CHART).join("templates/old.yaml"), "").unwrap();
        let report = report(&root).unwrap().unwrap();
        assert!(
            report.contains("deploy/crds.yaml: does not say") && report.contains("old.yaml: is left over"),
            "{report}"
        );
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn helm_takes_the_chart_for_plain_text() {
        // Two braces in a description or rule would be a template's.
        for (path, text) in files().unwrap() {
            assert!(!path.starts_with(CHART) || !text.contains("{{"), "{}", path.display());
        }
    }

    #[test]
    fn a_definition_can_be_applied_without_a_server_s_help() {
        // `kubectl apply` without --server-side writes the whole object into an annotation, which holds 256 KiB.
        for crd in outrigger_config::crds() {
            let size = serde_json::to_string(&crd).unwrap().len();
            assert!(size < 256 << 10, "{size}");
        }
    }
}
