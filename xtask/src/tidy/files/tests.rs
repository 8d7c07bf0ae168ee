use super::*;

/// A small tree in a folder of its own, gone at the end.
struct Tree(PathBuf);

impl Tree {
    fn new(name: &str, files: &[(&str, &str)]) -> Self {
        let root = std::env::temp_dir().join(format!("outrigger-tidy-{name}-{}", std::process::id()));
        for (path, text) in files {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        fs::create_dir_all(root.join("crates")).unwrap();
        Self(root)
    }

    fn findings(&self) -> Vec<String> {
        let mut found: Vec<String> = check(&self.0)
            .unwrap()
            .into_iter()
            .map(|finding| format!("{}: {}", finding.place, finding.what))
            .collect();
        found.sort();
        found
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const README: (&str, &str) = ("README.md", "cargo run --release -- demo\ncargo xtask test\n");

#[test]
fn a_clean_tree_has_no_findings() {
    let tree = Tree::new(
        "clean",
        &[
            README,
            (".clippy.toml", ""),
            ("crates/README.md", "`a`"),
            ("crates/a/Cargo.toml", "[package]\nname = \"a\"\n\n[lints]\nworkspace = true\n"),
            ("crates/a/src/lib.rs", "//! A.\n"),
            ("crates/a/src/lib/tests.rs", &"\n".repeat(601)),
            ("target/debug/build/x.rs", concat!("to", "do!()")),
        ],
    );
    assert_eq!(tree.findings(), Vec::<String>::new());
}

#[test]
fn every_kind_of_finding_is_reported_at_once() {
    let tree = Tree::new(
        "dirty",
        &[
            ("README.md", "cargo xtask test"),
            ("crates/a/Cargo.toml", "[package]\nname = \"a\"\n"),
            ("crates/a/.clippy.toml", ""),
            ("crates/a/src/lib.rs", concat!("\nfn f() { to", "do!() }\n")),
            (
                "crates/a/src/lib/tests.rs",
                concat!("#[test]\n    #[ig", "nore]\n#[ignore = \"figures\"]\n"),
            ),
            ("crates/a/src/long.rs", &"\n".repeat(601)),
            (
                "tests/sdk/node/package-lock.json",
                "{\"resolved\": \"https://registry.example/x.tgz\"}",
            ),
        ],
    );
    assert_eq!(
        tree.findings(),
        [
            "README.md: does not name `cargo run --release -- demo`".to_owned(),
            "crates/README.md: does not say what a is for".to_owned(),
            "crates/a/.clippy.toml: replaces the lint settings of the top folder instead of adding to them".to_owned(),
            "crates/a/Cargo.toml: does not use the workspace's lints".to_owned(),
            format!("crates/a/src/lib.rs:2: has \"{}\"", concat!("to", "do!(")),
            "crates/a/src/lib/tests.rs:2: is a test that nothing runs and that does not say why".to_owned(),
            "crates/a/src/long.rs: has 601 lines; 600 is the limit".to_owned(),
            "tests/sdk/node/package-lock.json: names the host that its packages came from".to_owned(),
        ]
    );
}

#[test]
fn an_adapter_of_another_shape_is_named_with_what_it_lacks_and_what_is_too_much() {
    let home = "crates/outrigger-dialect/src/provider";
    let paths: Vec<PathBuf> = [
        "mod.rs",
        "whole/mod.rs",
        "whole/request.rs",
        "whole/response.rs",
        "whole/stream.rs",
        "whole/types.rs",
    ]
    .into_iter()
    .chain([
        "whole/tests.rs",
        "whole/request/messages.rs",
        "whole/fixtures/answer.json",
        "half/mod.rs",
        "half/client.rs",
    ])
    .map(|path| Path::new(home).join(path))
    .collect();
    let found: Vec<String> = adapters(&paths).into_iter().map(|finding| finding.what).collect();
    assert_eq!(
        found,
        [
            "lacks request.rs, response.rs, stream.rs, types.rs, fixtures",
            "has client.rs, which is no part of an adapter",
        ]
    );
}

#[test]
fn a_chart_of_another_version_is_named() {
    let version = env!("CARGO_PKG_VERSION");
    let good = format!("name: a\nversion: {version}\nappVersion: \"{version}\"\n");
    let tree = Tree::new(
        "charts",
        &[
            README,
            ("charts/good/Chart.yaml", &good),
            ("charts/bad/Chart.yaml", "name: b\nversion: 9.9.9\n"),
        ],
    );
    assert_eq!(
        tree.findings(),
        [
            "charts/bad/Chart.yaml: has the appVersion \"\" and not the workspace's",
            "charts/bad/Chart.yaml: has the version \"9.9.9\" and not the workspace's",
        ]
    );
}
