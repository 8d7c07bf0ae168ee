//! The tools and the pinned clients of the SDK suites. Clients are installed once for each set of pins, outside of the tracked tree. It
//! must never use a half-finished installation: it is made under another name, and gets its own only when it is whole.

use super::counts::Runner;
use anyhow::{Context, Result, bail};
use std::{
    fs,
    hash::{DefaultHasher, Hasher},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{self, Command},
};

/// Which suite.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Python,
    Node,
}

/// One set of pinned clients: for as long as neither the pins nor the tool change it is used again.
pub(super) struct Clients {
    home: PathBuf,
}

impl Kind {
    /// The version of the suite's tool, or what is missing in the words of the final table.
    pub(super) fn tool(self) -> Result<String, String> {
        match self {
            Self::Python => {
                let version = version("python3", &["--version"])?;
                at_least(&version, (3, 10), "python3")?;
                version_of("python3", &["-c", "import ensurepip, venv"]).map_err(|_| "python3 has no venv with pip".to_owned())?;
                Ok(version)
            }
            Self::Node => {
                let version = version("node", &["--version"])?;
                at_least(&version, (20, 0), "node")?;
                self::version("npm", &["--version"])?;
                Ok(version)
            }
        }
    }

    pub(super) fn clients(self, root: &Path, cache: &Path, tool: &str) -> Result<Clients> {
        let mut hasher = DefaultHasher::new();
        hasher.write(tool.as_bytes());
        for pins in self.pins(root) {
            hasher.write(&fs::read(&pins).with_context(|| pins.display().to_string())?);
        }
        let label = match self {
            Self::Python => "python",
            Self::Node => "node",
        };
        Ok(Clients {
            home: cache.join(format!("{label}-{:016x}", hasher.finish())),
        })
    }

    pub(super) fn set_up_name(self) -> &'static str {
        match self {
            Self::Python => "Python clients",
            Self::Node => "Node clients",
        }
    }

    /// The command that installs the clients into the folder `draft`.
    pub(super) fn set_up(self, root: &Path, draft: &Path) -> Result<Command> {
        let mut command;
        match self {
            Self::Python => {
                let install = "\"$0/bin/python\" -m pip install --disable-pip-version-check --no-input --requirement \"$1\"";
                command = Command::new("sh");
                command.arg("-c").arg(format!("python3 -m venv \"$0\" && {install}")).arg(draft);
                command.args(self.pins(root));
            }
            Self::Node => {
                for pins in self.pins(root) {
                    fs::copy(&pins, draft.join(pins.file_name().unwrap_or_default()))?;
                }
                command = Command::new("npm");
                command.args(["ci", "--no-audit", "--no-fund"]).current_dir(draft);
            }
        }
        Ok(command)
    }

    /// The command that runs the suite.
    pub(super) fn suite(self, root: &Path, clients: &Clients) -> Result<Command> {
        let folder = self.folder(root);
        let mut command;
        match self {
            Self::Python => {
                command = Command::new(clients.home.join("bin/python"));
                command.args(["-m", "pytest", "--quiet", "--color=no", "-p", "no:cacheprovider"]);
                command.env("PYTHONDONTWRITEBYTECODE", "1");
            }
            Self::Node => {
                link(&clients.home.join("node_modules"), &folder.join("node_modules"))?;
                command = Command::new("node");
                command
                    .args(["--test", "--test-reporter=spec", "--test-concurrency=2"])
                    .args(suite_files(&folder)?);
            }
        }
        command.current_dir(folder);
        Ok(command)
    }

    pub(super) fn runner(self) -> Runner {
        match self {
            Self::Python => Runner::Pytest,
            Self::Node => Runner::Node,
        }
    }

    fn folder(self, root: &Path) -> PathBuf {
        root.join("tests/sdk").join(match self {
            Self::Python => "python",
            Self::Node => "node",
        })
    }

    fn pins(self, root: &Path) -> Vec<PathBuf> {
        let names: &[&str] = match self {
            Self::Python => &["requirements.txt"],
            Self::Node => &["package.json", "package-lock.json"],
        };
        names.iter().map(|name| self.folder(root).join(name)).collect()
    }
}

impl Clients {
    pub(super) fn are_installed(&self) -> bool {
        self.home.is_dir()
    }

    /// Where they are: for Python a virtual environment.
    pub(super) fn home(&self) -> &Path {
        &self.home
    }

    /// A fresh folder beside the final one.
    pub(super) fn draft(&self) -> Result<PathBuf> {
        let draft = self.home.with_extension(format!("{}.draft", process::id()));
        discard(&draft)?;
        fs::create_dir_all(&draft).with_context(|| draft.display().to_string())?;
        Ok(draft)
    }

    /// Gives a finished draft its name. Where another run was quicker, its installation is as good.
    pub(super) fn keep(&self, draft: &Path) -> Result<()> {
        if let Err(error) = fs::rename(draft, &self.home) {
            discard(draft)?;
            if !self.are_installed() {
                return Err(error).with_context(|| self.home.display().to_string());
            }
        }
        Ok(())
    }
}

/// Takes back a draft that came to nothing.
pub(super) fn discard(draft: &Path) -> Result<()> {
    if draft.is_dir() {
        fs::remove_dir_all(draft).with_context(|| draft.display().to_string())?;
    }
    Ok(())
}

fn version(program: &str, arguments: &[&str]) -> Result<String, String> {
    version_of(program, arguments).map_err(|_| format!("{program} is not installed, or does not start"))
}

fn version_of(program: &str, arguments: &[&str]) -> Result<String> {
    let output = crate::workspace::output_of(Command::new(program).args(arguments))?;
    Ok(output.trim().to_owned())
}

/// `version` is like `Python 3.11.7` or `v20.20.2`.
fn at_least(version: &str, least: (u32, u32), program: &str) -> Result<(), String> {
    let numbers = version.trim_start_matches(|letter: char| !letter.is_ascii_digit());
    let mut parts = numbers.split('.').map(|part| part.parse::<u32>().unwrap_or_default());
    let found = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    if found < least {
        return Err(format!("{program} is {numbers}, {}.{} is needed", least.0, least.1));
    }
    Ok(())
}

fn suite_files(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        names.extend(entry?.file_name().into_string().ok().filter(|name| name.ends_with(".test.js")));
    }
    names.sort();
    Ok(names)
}

/// Node looks for packages beside the importing file and nowhere else: a link leads it to the clients.
fn link(clients: &Path, place: &Path) -> Result<()> {
    if fs::read_link(place).is_ok_and(|target| target == clients) {
        return Ok(());
    }
    if place.is_dir() && !place.is_symlink() {
        bail!("{} holds packages that nobody pinned: remove it", place.display());
    }
    if place.is_symlink() {
        fs::remove_file(place)?;
    }
    symlink(clients, place).with_context(|| place.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::at_least;

    #[test]
    fn versions_are_compared_by_number() {
        for (version, least, good) in [
            ("Python 3.11.7", (3, 10), true),
            ("Python 3.9.18", (3, 10), false),
            ("Python 4.0.0", (3, 10), true),
            ("v20.20.2", (20, 0), true),
            ("v18.19.1", (20, 0), false),
            ("nonsense", (1, 0), false),
        ] {
            assert_eq!(at_least(version, least, "it").is_ok(), good, "{version}");
        }
    }
}
