//! The walk through a cluster in the README, line by line as it stands there. What a host without a registry and without the internet cannot do is
//! replaced, each time by the least that does the same; a replacement whose words are gone from the README fails the test, too.

use crate::{images::REGISTRY, pod, rig::Rig};
use outrigger_cluster::run;
use serde_json::json;
use std::{
    env,
    fs::{self, File},
    os::unix::{fs::symlink, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};
use tempfile::TempDir;

const README: &str = include_str!("../../../../README.md");

/// What is walked through, and where its routes are written down.
const SECTIONS: [&str; 2] = ["\n## In a cluster\n", "\n## Use it\n"];

/// The application that the README's reader has already.
const APPLICATION: &str = "app";

#[test]
#[ignore = "cargo xtask e2e"]
fn the_readme_leads_from_an_empty_cluster_to_an_answer() {
    let rig = Rig::start();
    let mut walk = Walk::prepare(&rig);
    let [section, routes] = SECTIONS.map(section);
    walk.write_routes(&blocks(routes, "yaml")[0]);
    let lines: Vec<String> = blocks(section, "console").iter().flat_map(|block| commands(block)).collect();
    assert!(lines.len() > 8, "{lines:?}");
    for line in lines {
        walk.take(&line);
    }
    assert_eq!(
        walk.left,
        Vec::<&str>::new(),
        "replaced in the README's lines, and not to be found there any more"
    );
    let said = &walk.said;
    assert!(said.contains("modelroute.outrigger.dev/assistant condition met"), "{said}");
    assert!(said.contains("outrigger_cost_usd_total{route=\"shop/assistant\""), "{said}");
    let answered = rig.mock("GET", "/_mock/calls/anthropic", "");
    assert!(
        answered.contains("/messages") && answered.contains("sk-readme-anthropic"),
        "the first choice: {answered}"
    );
}

/// The text below a heading.
fn section(heading: &str) -> &'static str {
    let (_, rest) = README
        .split_once(heading)
        .unwrap_or_else(|| panic!("the README has no section{heading}"));
    rest.split_once("\n## ").map_or(rest, |(section, _)| section)
}

/// What is between fences of that kind.
fn blocks(section: &str, kind: &str) -> Vec<String> {
    let fenced = section.split("\n```").skip(1).step_by(2);
    fenced
        .filter_map(|block| block.strip_prefix(&format!("{kind}\n")))
        .map(str::to_owned)
        .collect()
}

/// The lines that somebody is to type; one that ends with a backslash goes on.
fn commands(block: &str) -> Vec<String> {
    let joined = block.replace("\\\n", " ");
    joined
        .lines()
        .filter_map(|line| line.strip_prefix("$ "))
        .map(str::to_owned)
        .collect()
}

/// Somebody at a terminal in their clone.
struct Walk<'r> {
    rig: &'r Rig,
    folder: TempDir,
    path: String,
    /// Another port than the README's: this host may have something there.
    port: u16,
    /// What has yet to be replaced.
    left: Vec<&'static str>,
    said: String,
    background: Vec<Child>,
}

impl<'r> Walk<'r> {
    fn prepare(rig: &'r Rig) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for name in ["charts", "deploy"] {
            symlink(root.join(name).canonicalize().unwrap(), folder.path().join(name)).unwrap();
        }
        let parent = |command: &Command| Path::new(command.get_program()).parent().unwrap().display().to_string();
        let own = env::var("PATH").unwrap_or_default();
        Self {
            rig,
            path: format!("{}:{}:{own}", parent(&rig.cluster.kubectl()), parent(&rig.cluster.helm())),
            folder,
            port: std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port(),
            left: vec![
                "xtask image",
                "REGISTRY",
                "helm install outrigger ",
                "create namespace",
                "create secret",
                "APP",
                "5568",
            ],
            said: String::new(),
            background: Vec::new(),
        }
    }

    /// The routes as they are in the README, their providers' addresses aside: those are scripted.
    fn write_routes(&self, yaml: &str) {
        let mut text = yaml.to_owned();
        for provider in ["openai", "anthropic"] {
            let line = format!("  provider: {provider}\n");
            assert_eq!(text.matches(&line).count(), 1, "{text}");
            let at = self.rig.provider(provider);
            text = text.replace(&line, &format!("{line}  endpoint: {{ baseURL: \"{at}/v1\" }}\n"));
            self.rig.behave(provider, &json!({ "keys": [format!("sk-readme-{provider}")] }));
        }
        fs::create_dir(self.folder.path().join("routes")).unwrap();
        fs::write(self.folder.path().join("routes/routes.yaml"), text).unwrap();
    }

    fn take(&mut self, line: &str) {
        println!("$ {line}");
        let mut line = line.to_owned();
        if self.has(&line, "xtask image") {
            // The images are here already, under these names; that its flags are right can be seen all the same.
            line = line
                .replace("cargo xtask", &xtask().display().to_string())
                .replace(" image ", " image --help ");
        }
        if self.has(&line, "REGISTRY") {
            line = line.replace("REGISTRY", REGISTRY);
        }
        if self.has(&line, "helm install outrigger ") {
            // The scripted providers have no public addresses.
            line = with(&line, "--set allowedCIDRs={10.88.0.0/16}");
        }
        if self.has(&line, "APP") {
            line = line.replace("APP", APPLICATION);
        }
        if self.has(&line, "5568") {
            line = line.replace("127.0.0.1:5568", &format!("127.0.0.1:{}", self.port));
            line = line.replace(" 5568", &format!(" {}:5568", self.port));
        }
        if let Some(line) = line.split(" #").next().unwrap().trim_end().strip_suffix('&') {
            return self.beside(line);
        }
        let output = self.shell(&line).output().unwrap();
        let words = [output.stdout, output.stderr]
            .map(|words| String::from_utf8_lossy(&words).into_owned())
            .concat();
        assert!(output.status.success(), "{line}\n{words}\n{}", self.state());
        println!("{words}");
        self.said.push_str(&words);
        self.rig.mark("done");
        self.after(&line);
    }

    /// What the README's reader has, and this host has not.
    fn after(&mut self, line: &str) {
        if self.has(line, "create namespace") {
            let mut application = pod::deployment();
            application["spec"]["template"]["metadata"]
                .as_object_mut()
                .unwrap()
                .remove("annotations");
            let idle = ["-c", "import time; time.sleep(3600)"];
            application["spec"]["template"]["spec"]["containers"] = json!([pod::container(&idle)]);
            application["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = json!(1);
            self.rig.apply("shop", &[application]);
        }
        if self.has(line, "create secret") {
            let origin = self.rig.provider("").trim_end_matches('/').to_owned();
            self.rig.kubectl(&format!(
                "annotate secrets --all -n shop outrigger.dev/origins={origin} --overwrite"
            ));
        }
    }

    /// Whether a line has what is to be replaced.
    fn has(&mut self, line: &str, what: &str) -> bool {
        let found = line.contains(what);
        self.left.retain(|left| !(found && *left == what));
        found
    }

    /// Starts what goes on while the next lines are typed.
    fn beside(&mut self, line: &str) {
        let log = self.folder.path().join(format!("beside-{}", self.background.len()));
        let child = self
            .shell(&format!("exec {line}"))
            .stdout(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        self.background.push(child);
        self.rig.until(line, |_| {
            fs::read_to_string(&log).unwrap().contains("Forwarding from").then_some(())
        });
    }

    fn shell(&self, line: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", line]);
        for settings in [self.rig.cluster.helm(), self.rig.cluster.kubectl()] {
            command.envs(settings.get_envs().filter_map(|(name, value)| Some((name, value?))));
        }
        command
            .env("PATH", &self.path)
            .env("OPENAI_KEY", "sk-readme-openai")
            .env("ANTHROPIC_KEY", "sk-readme-anthropic")
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .process_group(0);
        command
    }

    fn state(&self) -> String {
        let ask = |line: &str| run(self.rig.cluster.kubectl().args(line.split(' '))).unwrap_or_else(|error| error.to_string());
        ["get pods -A -o wide", "get events -A", "get modelroutes,providerkeys -A -o yaml"]
            .map(ask)
            .join("\n")
    }
}

impl Drop for Walk<'_> {
    fn drop(&mut self) {
        for child in &mut self.background {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A command with another flag, before its remark.
fn with(line: &str, flag: &str) -> String {
    let (command, remark) = line.split_once(" #").map_or((line, ""), |(command, remark)| (command, remark));
    format!("{} {flag} #{remark}", command.trim_end())
}

/// The automation as it was built beside this test.
fn xtask() -> PathBuf {
    outrigger_tests::binary("xtask").unwrap()
}
