//! `cargo xtask tidy`: the rules that hold the code base together and that no compiler checks. All findings are reported at once, each
//! with what to do. It must never repair anything itself: a rule that is wrong is changed here, in the open.

mod files;
mod graph;
mod licence;
mod packages;

use crate::workspace;
use anyhow::Result;
use std::{fmt, path::Path, process::ExitCode};

/// What a crate may use of the others.
enum Uses {
    /// These and no others.
    Only(&'static [&'static str]),
    /// Whatever it needs, and nothing depends on it: a leaf of the graph.
    Leaf,
}

/// One crate of the workspace: its internal edges (normal and build dependencies) and what must not be anywhere below it.
struct Rule {
    name: &'static str,
    uses: Uses,
    never: &'static [&'static str],
}

/// The crate graph. An edge that is not listed is forbidden; a crate that is not listed does not belong.
const CRATES: &[Rule] = &[
    Rule {
        name: "outrigger-core",
        uses: Uses::Only(&[]),
        never: &["bytes", "fastrand", "http", "rand", "serde_json", "tokio"],
    },
    Rule {
        name: "outrigger-dialect",
        uses: Uses::Only(&["outrigger-core"]),
        never: &["http", "hyper", "kube-core", "tokio"],
    },
    Rule {
        name: "outrigger-config",
        uses: Uses::Only(&["outrigger-core"]),
        never: &["hyper", "kube-client", "tokio"],
    },
    Rule {
        name: "outrigger-snapshot",
        uses: Uses::Only(&["outrigger-core"]),
        never: &["hyper", "kube-core", "rustls", "tokio"],
    },
    Rule {
        name: "outrigger-runtime",
        uses: Uses::Only(&[]),
        never: &["kube-core", "rustls"],
    },
    Rule {
        name: "outrigger-proxy",
        uses: Uses::Only(&["outrigger-core", "outrigger-dialect", "outrigger-snapshot", "outrigger-runtime"]),
        never: &["clap", "k8s-openapi", "kube", "kube-core", "schemars", "serde-saphyr"],
    },
    Rule {
        name: "outrigger-controller",
        uses: Uses::Only(&[
            "outrigger-core",
            "outrigger-dialect",
            "outrigger-snapshot",
            "outrigger-config",
            "outrigger-runtime",
        ]),
        never: &["openssl", "reqwest", "ring"],
    },
    Rule {
        name: "outrigger-mock",
        uses: Uses::Only(&["outrigger-core", "outrigger-dialect"]),
        never: &["kube-core", "rustls"],
    },
    Rule {
        name: "outrigger",
        uses: Uses::Only(&[
            "outrigger-core",
            "outrigger-dialect",
            "outrigger-config",
            "outrigger-runtime",
            "outrigger-proxy",
            "outrigger-mock",
        ]),
        never: &["kube-client"],
    },
    Rule {
        name: "outrigger-cluster",
        uses: Uses::Only(&[]),
        never: &["kube-core", "tokio"],
    },
    Rule {
        name: "outrigger-simulator",
        uses: Uses::Only(&["outrigger-core"]),
        never: &["rand", "tokio"],
    },
    Rule {
        name: "outrigger-tests",
        uses: Uses::Only(&["outrigger-core", "outrigger-snapshot", "outrigger-config", "outrigger-mock"]),
        never: &[],
    },
    Rule {
        name: "outrigger-scenarios",
        uses: Uses::Leaf,
        never: &[],
    },
    Rule {
        name: "xtask",
        uses: Uses::Leaf,
        never: &[],
    },
];

/// Something to repair.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    /// A path from the top folder, with a line where there is one, or the name of a crate.
    place: String,
    /// What is wrong.
    what: String,
    /// What to do about it.
    remedy: String,
}

impl Finding {
    fn new(place: impl Into<String>, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            what: what.into(),
            remedy: remedy.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}\n    {}", self.place, self.what, self.remedy)
    }
}

/// The command: prints what there is to repair, and fails where there is something.
pub(crate) fn run() -> Result<ExitCode> {
    let report = report(&workspace::root())?;
    let Some(report) = report else {
        println!("tidy: nothing to do");
        return Ok(ExitCode::SUCCESS);
    };
    println!("{report}");
    Ok(ExitCode::FAILURE)
}

/// All findings as text, or nothing where all is well.
pub(crate) fn report(root: &Path) -> Result<Option<String>> {
    let mut findings = graph::check(CRATES)?;
    findings.extend(packages::check(CRATES)?);
    findings.extend(files::check(root)?);
    if findings.is_empty() {
        return Ok(None);
    }
    findings.sort();
    findings.dedup();
    let lines: Vec<String> = findings.iter().map(Finding::to_string).collect();
    let count = lines.len();
    let noun = if count == 1 { "finding" } else { "findings" };
    Ok(Some(format!("{}\n\ntidy: {count} {noun}", lines.join("\n"))))
}
