//! `cargo xtask image`: the images of the controller and of the sidecar, without a container engine. It must never pack a binary that it has not
//! just built.

use crate::workspace;
use anyhow::{Context as _, Result, ensure};
use comfy_table::{CellAlignment, Table, presets};
use outrigger_cluster::{Image, Written};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

/// What a sidecar may add to the start of a pod on a node that has never seen one, in bytes to transfer.
const SIDECAR_LIMIT: u64 = 20 << 20;

/// Arguments of `cargo xtask image`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Build profile; images that ship, and their limit of size, are of `dist`.
    #[arg(long, default_value = "dist")]
    profile: String,
    /// Tag of both images.
    #[arg(long, default_value = env!("CARGO_PKG_VERSION"))]
    tag: String,
    /// Registry, with a folder where it has some, to name them for: REGISTRY/outrigger-controller:TAG.
    #[arg(long)]
    registry: Option<String>,
    /// Folder for the archives.
    #[arg(long, value_name = "FOLDER")]
    output: Option<PathBuf>,
}

/// One image that ships.
struct Shipped {
    name: &'static str,
    binary: &'static str,
    description: &'static str,
    limit: Option<u64>,
}

const SHIPPED: [Shipped; 2] = [
    Shipped {
        name: "outrigger-controller",
        binary: "outrigger-controller",
        description: "Compiles ModelRoutes and ProviderKeys into what the sidecars of each namespace run",
        limit: None,
    },
    Shipped {
        name: "outrigger-proxy",
        binary: "outrigger-proxy",
        description: "The LLM gateway beside an application: serves the routes of its namespace",
        limit: Some(SIDECAR_LIMIT),
    },
];

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let output = args.output.clone().unwrap_or_else(|| workspace::target().join("images"));
    fs::create_dir_all(&output).with_context(|| output.display().to_string())?;
    let binaries = build(&args.profile)?;
    let revision = revision();
    let mut all_fit = true;
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["image", "libraries", "program", "MiB", "", "archive"]);
    for shipped in &SHIPPED {
        let prefix = args.registry.as_ref().map(|registry| format!("{registry}/")).unwrap_or_default();
        let name = format!("{prefix}{}:{}", shipped.name, args.tag);
        let mut image = Image::of_program(&name, &binaries.join(shipped.binary))?;
        for (label, value) in labels(shipped, revision.as_deref()) {
            image.label(&format!("org.opencontainers.image.{label}"), value);
        }
        let file = output.join(format!("{}.tar", shipped.name));
        let written = image.write(&file, true)?;
        let verdict = verdict(shipped, &written);
        all_fit &= args.profile != "dist" || verdict.is_ok();
        table.add_row(row(&name, &written, &verdict.unwrap_or_else(|why| why), &file));
    }
    for column in 1..4 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    println!("{table}\n\nAs transferred, compressed. Take one with `docker load -i`, `podman load -i` or `ctr -n k8s.io images import`.");
    Ok(ExitCode::from(u8::from(!all_fit)))
}

/// Builds the binaries that ship; the folder that they are in.
pub(crate) fn build(profile: &str) -> Result<PathBuf> {
    let mut command = workspace::cargo(&arguments(profile));
    ensure!(command.status().context("cargo")?.success(), "the build failed");
    // Cargo's own name for the folder of its first profile.
    Ok(workspace::target().join(if profile == "dev" { "debug" } else { profile }))
}

/// Cargo's, as `deploy/Dockerfile` has them, too.
fn arguments(profile: &str) -> [&str; 10] {
    let [controller, sidecar] = &SHIPPED;
    [
        "build",
        "--locked",
        "--profile",
        profile,
        "--package",
        sidecar.binary,
        "--package",
        controller.binary,
        "--features",
        "outrigger-proxy/jemalloc",
    ]
}

fn labels<'a>(shipped: &'a Shipped, revision: Option<&'a str>) -> Vec<(&'static str, &'a str)> {
    let mut labels = vec![
        ("title", shipped.name),
        ("description", shipped.description),
        ("version", env!("CARGO_PKG_VERSION")),
        ("licenses", "Apache-2.0"),
    ];
    labels.extend(revision.map(|revision| ("revision", revision)));
    labels
}

/// The commit, with a mark where files differ from it; none outside of a clone.
fn revision() -> Option<String> {
    let git = |arguments: &[&str]| workspace::output_of(Command::new("git").current_dir(workspace::root()).args(arguments)).ok();
    let commit = git(&["rev-parse", "HEAD"])?;
    let clean = git(&["status", "--porcelain"])?.is_empty();
    Some(format!("{}{}", commit.trim(), if clean { "" } else { "-modified" }))
}

/// How an image keeps to its limit, in the words of the table.
fn verdict(shipped: &Shipped, written: &Written) -> Result<String, String> {
    match shipped.limit {
        None => Ok(String::new()),
        Some(limit) if written.size() <= limit => Ok(format!("of {}", mebibytes(limit))),
        Some(limit) => Err(format!("MORE THAN {}", mebibytes(limit))),
    }
}

fn row(name: &str, written: &Written, verdict: &str, file: &Path) -> [String; 6] {
    [
        name.to_owned(),
        mebibytes(written.system),
        mebibytes(written.own),
        mebibytes(written.size()),
        verdict.to_owned(),
        file.display().to_string(),
    ]
}

#[expect(clippy::cast_precision_loss, reason = "shown with one digit")]
fn mebibytes(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / f64::from(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sidecar_is_held_to_its_limit_and_the_controller_to_none() {
        let written = |own| Written {
            digest: String::new(),
            system: 1 << 20,
            own,
        };
        let [controller, sidecar] = &SHIPPED;
        assert!(verdict(sidecar, &written(19 << 20)).is_ok());
        assert_eq!(verdict(sidecar, &written((19 << 20) + 1)), Err("MORE THAN 20.0".to_owned()));
        assert_eq!(verdict(controller, &written(1 << 40)), Ok(String::new()));
    }

    /// Whoever has a container engine gets the same programs of the same toolchain, and everything that their build reads.
    #[test]
    fn the_dockerfile_builds_what_is_packed() {
        let read = |path: &str| fs::read_to_string(workspace::root().join(path)).unwrap();
        let dockerfile = read("deploy/Dockerfile");
        let lines: Vec<&str> = dockerfile.lines().collect();
        let has = |line: &str| assert!(lines.contains(&line), "{line}");
        let toolchain = read("rust-toolchain.toml");
        let version = toolchain.split('"').nth(1).unwrap();
        let minor = version.splitn(3, '.').take(2).collect::<Vec<_>>().join(".");
        has(&format!("FROM rust:{minor}-bookworm AS build"));
        has("COPY . .");
        has(&format!("RUN cargo {}", arguments("dist").join(" ")));
        for (shipped, target) in SHIPPED.iter().zip(["controller", "sidecar"]) {
            let place = format!("/usr/bin/{}", shipped.binary);
            has(&format!("FROM gcr.io/distroless/cc-debian12:nonroot AS {target}"));
            has(&format!("COPY --from=build /source/target/dist/{} {place}", shipped.binary));
            has(&format!("ENTRYPOINT [\"{place}\"]"));
        }
        let needed = [
            "Cargo.lock",
            "Cargo.toml",
            ".cargo",
            "crates",
            "rust-toolchain.toml",
            "tests",
            "xtask",
        ];
        for left_out in read(".dockerignore").lines() {
            assert!(!needed.contains(&left_out.trim_start_matches('/')), "{left_out}");
        }
    }

    /// The chart installs both by the names that are packed here.
    #[test]
    fn the_chart_names_both_images() {
        let values = fs::read_to_string(workspace::root().join("charts/outrigger/values.yaml")).unwrap();
        for shipped in &SHIPPED {
            assert!(values.contains(&format!("repository: {}\n", shipped.name)), "{}", shipped.name);
        }
    }
}
