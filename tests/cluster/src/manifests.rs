//! The chart as plain manifests, for those who install without Helm. It must never say anything that the chart with its own values does not say.

use crate::{programs::Programs, run::run};
use anyhow::Result;
use std::{path::Path, process::Command};

/// Where they lie, from the top folder.
pub const PLAIN: &str = "deploy/outrigger.yaml";

/// The first lines. The registry is the one thing that everybody has to say.
const HEAD: &str = "\
# written by `cargo xtask codegen` from charts/outrigger with its values as they are: change that instead
#
#   kubectl apply --server-side -f deploy/crds.yaml
#   sed 's|REGISTRY/|registry.corp/team/|' deploy/outrigger.yaml | kubectl apply --server-side -f -
apiVersion: v1
kind: Namespace
metadata:
  name: outrigger-system
";

/// What only concerns Helm.
const OF_HELM: [&str; 3] = ["# Source: ", "helm.sh/chart: ", "app.kubernetes.io/managed-by: "];

/// The text of [`PLAIN`]. Takes the pinned Helm, which must be there.
///
/// # Errors
/// There is no Helm (the message says how to get it), or the chart does not render.
pub fn plain_manifests() -> Result<String> {
    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../charts/outrigger");
    let mut helm = Command::new(Programs::find_helm()?);
    helm.args(["template", "outrigger"]).arg(chart);
    helm.args(["--namespace", "outrigger-system", "--no-hooks", "--set", "image.registry=REGISTRY"]);
    let rendered = run(&mut helm)?;
    let own = |line: &&str| !line.trim().is_empty() && !OF_HELM.iter().any(|start| line.trim_start().starts_with(start));
    let lines = rendered.lines().filter(own).flat_map(|line| [line.trim_end(), "\n"]);
    Ok([HEAD].into_iter().chain(lines).collect())
}
