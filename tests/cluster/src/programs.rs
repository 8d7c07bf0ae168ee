//! Where the programs of the cluster come from: `KUBEBUILDER_ASSETS`, `PATH`, or a build with Go that is done once for each version and host.
//! The pins are the `go.mod` files below `tests/kube`. It must never use a program of the host's that is of another minor version.

use crate::go;
use anyhow::{Context, Result};
use std::{
    env,
    ffi::OsStr,
    fmt, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The programs, by their full paths.
#[derive(Clone, Debug)]
pub struct Programs {
    /// `etcd`
    pub etcd: PathBuf,
    /// `kube-apiserver`
    pub api_server: PathBuf,
    /// `kube-controller-manager`
    pub controller_manager: PathBuf,
    /// `kubectl`
    pub kubectl: PathBuf,
    /// `helm`
    pub helm: PathBuf,
}

/// Why there are no programs: neither they nor a Go that could build them is there.
#[derive(Debug)]
pub struct Unavailable(String);

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unavailable {}

impl Unavailable {
    pub(crate) fn because(why: &str) -> Self {
        Self(why.to_owned())
    }
}

/// What a node runs beside what the host's package manager installs, by full paths.
#[derive(Clone, Debug)]
pub(crate) struct NodePrograms {
    pub(crate) scheduler: PathBuf,
    pub(crate) kubelet: PathBuf,
}

/// One pin: a Go module and what is built from it.
#[derive(Debug)]
pub(crate) struct Module {
    /// The folder below `tests/kube`.
    pub(crate) folder: &'static str,
    /// The required module that carries the version.
    pub(crate) path: &'static str,
    /// The programs, each with its package.
    pub(crate) programs: &'static [(&'static str, &'static str)],
    /// Variables that the linker sets to the version, its major and its minor number.
    pub(crate) stamps: &'static [(&'static str, Stamp)],
}

/// What a variable of a program is set to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stamp {
    Version,
    Major,
    Minor,
    Text(&'static str),
}

const KUBERNETES: &[(&str, Stamp)] = &[
    ("k8s.io/component-base/version.gitVersion", Stamp::Version),
    ("k8s.io/component-base/version.gitMajor", Stamp::Major),
    ("k8s.io/component-base/version.gitMinor", Stamp::Minor),
    ("k8s.io/component-base/version.gitTreeState", Stamp::Text("clean")),
    ("k8s.io/client-go/pkg/version.gitVersion", Stamp::Version),
];

/// What only a node needs, of the same pin.
pub(crate) const NODE: Module = Module {
    folder: "kubernetes",
    path: "k8s.io/kubernetes",
    programs: &[
        ("kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler"),
        ("kubelet", "k8s.io/kubernetes/cmd/kubelet"),
    ],
    stamps: KUBERNETES,
};

pub(crate) const MODULES: [Module; 3] = [
    Module {
        folder: "etcd",
        path: "go.etcd.io/etcd/server/v3",
        programs: &[("etcd", "go.etcd.io/etcd/server/v3")],
        stamps: &[],
    },
    Module {
        folder: "kubernetes",
        path: "k8s.io/kubernetes",
        programs: &[
            ("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
            ("kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager"),
            ("kubectl", "k8s.io/kubernetes/cmd/kubectl"),
        ],
        stamps: KUBERNETES,
    },
    Module {
        folder: "helm",
        path: "helm.sh/helm/v4",
        programs: &[("helm", "helm.sh/helm/v4/cmd/helm")],
        stamps: &[("helm.sh/helm/v4/internal/version.version", Stamp::Version)],
    },
];

impl Programs {
    /// Finds the programs, and builds what is not there. `say` gets a line of progress now and then: the first build takes some eight
    /// minutes on two cores.
    ///
    /// # Errors
    /// [`Unavailable`] where something is missing that cannot be built; else the build failed, and the message has its last lines.
    pub fn find_or_build(say: &dyn Fn(&str)) -> Result<Self> {
        let mut found = Vec::new();
        for module in &MODULES {
            found.extend(module.find_or_build(say)?);
        }
        let [etcd, api_server, controller_manager, kubectl, helm] =
            <[PathBuf; 5]>::try_from(found).map_err(|found| anyhow::anyhow!("five programs were looked for, not {}", found.len()))?;
        Ok(Self {
            etcd,
            api_server,
            controller_manager,
            kubectl,
            helm,
        })
    }

    /// All of them.
    pub fn all(&self) -> [&Path; 5] {
        [&self.etcd, &self.api_server, &self.controller_manager, &self.kubectl, &self.helm]
    }

    /// Says why there is no way to these programs, without building anything.
    ///
    /// # Errors
    /// Something is missing and Go is missing, too, or too old.
    pub fn check() -> Result<(), Unavailable> {
        MODULES.iter().try_for_each(Module::check)
    }

    /// Helm alone, where it is; nothing is built.
    ///
    /// # Errors
    /// It is not there; the message says how to get it.
    pub fn find_helm() -> Result<PathBuf> {
        let [.., module] = &MODULES;
        let pinned = module.read()?;
        let home = cache().map(|cache| cache.join(pinned.label()));
        let why = "`cargo xtask cluster build` builds it, which takes Go; or put one of that minor version on the PATH";
        let found = pinned.find("helm", home.as_deref());
        found.with_context(|| format!("no helm {}: {why}", pinned.version))
    }

    /// The same for what a node needs besides.
    pub(crate) fn check_node() -> Result<(), Unavailable> {
        NODE.check()
    }
}

impl NodePrograms {
    pub(crate) fn find_or_build(say: &dyn Fn(&str)) -> Result<Self> {
        let found = NODE.find_or_build(say)?;
        let [scheduler, kubelet] =
            <[PathBuf; 2]>::try_from(found).map_err(|found| anyhow::anyhow!("two programs were looked for, not {}", found.len()))?;
        Ok(Self { scheduler, kubelet })
    }
}

impl Module {
    fn check(&'static self) -> Result<(), Unavailable> {
        let pinned = self.read().map_err(|error| Unavailable(format!("{error:#}")))?;
        let home = cache().map(|cache| cache.join(pinned.label()));
        let mut programs = self.programs.iter();
        if let Some((program, _)) = programs.find(|(program, _)| pinned.find(program, home.as_deref()).is_none()) {
            go::check(&pinned.go).map_err(|why| pinned.unavailable(program, &why))?;
            home.ok_or_else(|| pinned.unavailable(program, NO_CACHE))?;
        }
        Ok(())
    }

    fn find_or_build(&'static self, say: &dyn Fn(&str)) -> Result<Vec<PathBuf>> {
        let pinned = self.read()?;
        let home = cache().map(|cache| cache.join(pinned.label()));
        let find = || -> Vec<Option<PathBuf>> {
            let programs = self.programs.iter();
            programs.map(|(program, _)| pinned.find(program, home.as_deref())).collect()
        };
        let mut found = find();
        if let Some(((program, _), _)) = self.programs.iter().zip(&found).find(|(_, path)| path.is_none()) {
            go::check(&pinned.go).map_err(|why| pinned.unavailable(program, &why))?;
            let home = home.as_ref().ok_or_else(|| pinned.unavailable(program, NO_CACHE))?;
            go::build(&pinned, home, say)?;
            found = find();
        }
        let missing = || anyhow::anyhow!("{} was built and is not complete", pinned.label());
        found.into_iter().map(|path| path.ok_or_else(missing)).collect()
    }

    fn read(&'static self) -> Result<Pinned> {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../kube").join(self.folder);
        let file = source.join("go.mod");
        let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let word_after = |key: &str| {
            text.lines()
                .find_map(|line| line.trim_start().strip_prefix(key)?.split_whitespace().next())
        };
        let version = word_after(&format!("{} ", self.path)).or_else(|| word_after(&format!("require {} ", self.path)));
        Ok(Pinned {
            module: self,
            version: version
                .with_context(|| format!("{} does not require {}", file.display(), self.path))?
                .to_owned(),
            go: word_after("go ")
                .with_context(|| format!("{} names no Go", file.display()))?
                .to_owned(),
            source,
        })
    }
}

/// A module with what its `go.mod` says.
#[derive(Debug)]
pub(crate) struct Pinned {
    pub(crate) module: &'static Module,
    /// Such as `v1.36.3`.
    pub(crate) version: String,
    /// The least version of Go.
    pub(crate) go: String,
    /// The folder of the `go.mod`.
    pub(crate) source: PathBuf,
}

impl Pinned {
    /// Such as `kubernetes-v1.36.3`: a new pin gets a folder of its own.
    pub(crate) fn label(&self) -> String {
        format!("{}-{}", self.module.folder, self.version)
    }

    /// What the linker is told.
    pub(crate) fn linker_flags(&self) -> String {
        let (major, minor) = numbers(&self.version).unwrap_or_default();
        let stamps = self.module.stamps.iter().map(|(variable, stamp)| match stamp {
            Stamp::Version => format!(" -X {variable}={}", self.version),
            Stamp::Major => format!(" -X {variable}={major}"),
            Stamp::Minor => format!(" -X {variable}={minor}"),
            Stamp::Text(text) => format!(" -X {variable}={text}"),
        });
        stamps.fold("-s -w".to_owned(), |flags, stamp| flags + &stamp)
    }

    fn find(&self, program: &str, home: Option<&Path>) -> Option<PathBuf> {
        // Whoever sets the variable has chosen; what happens to lie on the path must be of the pinned minor version.
        let chosen = folders("KUBEBUILDER_ASSETS")
            .map(|folder| folder.join(program))
            .find(|path| path.is_file());
        let on_path = || folders("PATH").map(|folder| folder.join(program)).find(|path| path.is_file());
        let built = || Some(home?.join(program)).filter(|path| path.is_file());
        chosen
            .or_else(|| on_path().filter(|path| version_of(path) == numbers(&self.version)))
            .or_else(built)
    }

    fn unavailable(&self, program: &str, why: &str) -> Unavailable {
        Unavailable(format!("no {program} {} and {why}", self.version))
    }
}

/// Where built programs are kept: `$OUTRIGGER_CACHE/kube`, else below the home folder.
pub(crate) fn cache() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let chosen = env::var_os("OUTRIGGER_CACHE")
        .filter(|folder| !folder.is_empty())
        .map(|folder| root.join(folder));
    let own = || Some(PathBuf::from(env::var_os("HOME").filter(|home| !home.is_empty())?).join(".cache/outrigger"));
    Some(chosen.or_else(own)?.join("kube"))
}

const NO_CACHE: &str = "no place to keep a built one: set OUTRIGGER_CACHE or HOME";

fn folders(variable: &str) -> impl Iterator<Item = PathBuf> {
    let value = env::var_os(variable).unwrap_or_default();
    let folders: Vec<PathBuf> = env::split_paths(&value).filter(|folder| folder.is_absolute()).collect();
    folders.into_iter()
}

/// The numbers that a program gives itself. One that does not know the usual way to ask has none.
fn version_of(program: &Path) -> Option<(u32, u32)> {
    let arguments: &[&str] = match program.file_name().and_then(OsStr::to_str) {
        Some("kubectl") => &["version", "--client"],
        Some("helm") => &["version", "--short"],
        _ => &["--version"],
    };
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().ok()?;
    numbers(&String::from_utf8_lossy(&output.stdout))
}

/// The first `major.minor` in a text.
pub(crate) fn numbers(text: &str) -> Option<(u32, u32)> {
    let words = text.split(|letter: char| !letter.is_ascii_digit() && letter != '.');
    words.into_iter().find_map(|word| {
        let mut parts = word.split('.').map(str::parse);
        Some((parts.next()?.ok()?, parts.next()?.ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pin_is_read_from_its_manifest() {
        for module in MODULES.iter().chain([&NODE]) {
            let pinned = module.read().unwrap();
            assert!(numbers(&pinned.version).is_some() && numbers(&pinned.go).is_some(), "{pinned:?}");
            assert!(pinned.version.starts_with('v'), "{pinned:?}");
            let tools = fs::read_to_string(pinned.source.join("go.mod")).unwrap();
            for (program, package) in module.programs {
                let named = tools.lines().any(|line| line.trim().trim_start_matches("tool ") == *package);
                assert!(named, "go.mod has no tool line for {program}");
            }
        }
    }

    #[test]
    fn versions_are_found_in_what_programs_say() {
        for (text, expected) in [
            ("Kubernetes v1.36.3", Some((1, 36))),
            ("Client Version: v1.32.4-dispatcher\nKustomize Version: v5.5.0", Some((1, 32))),
            ("etcd Version: 3.6.16\nGit SHA: 1a2b", Some((3, 6))),
            ("v4.3.1+g1234567", Some((4, 3))),
            ("go version go1.26.8 linux/amd64", Some((1, 26))),
            ("unknown flag: --version", None),
        ] {
            assert_eq!(numbers(text), expected, "{text}");
        }
    }

    #[test]
    fn the_version_is_stamped_into_what_shows_it() {
        let kubernetes = Pinned {
            module: &MODULES[1],
            version: "v1.36.3".to_owned(),
            go: "1.26.0".to_owned(),
            source: PathBuf::new(),
        };
        let flags = kubernetes.linker_flags();
        assert!(
            flags.starts_with("-s -w -X k8s.io/component-base/version.gitVersion=v1.36.3 "),
            "{flags}"
        );
        assert!(flags.contains("gitMajor=1 ") && flags.contains("gitMinor=36 "), "{flags}");
    }

    #[test]
    fn a_program_of_another_minor_version_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("etcd");
        for (says, expected) in [("3.6.1", Some((3, 6))), ("3.5.9", Some((3, 5))), ("nothing", None)] {
            fs::write(&program, format!("#!/bin/sh\necho etcd Version: {says}\n")).unwrap();
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            fs::set_permissions(&program, mode).unwrap();
            assert_eq!(version_of(&program), expected);
        }
    }
}
