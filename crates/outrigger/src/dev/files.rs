//! The YAML behind a `dev` run: loaded, compiled, watched. What compiles goes into force; what does not is told and changes nothing.

use crate::output::complain;
use anyhow::{Context as _, bail};
use notify::{RecursiveMode, Watcher as _};
use outrigger_config::{
    compile::{Compiled, compile},
    diagnostics::{Diagnostic, Severity},
    load::load,
};
use outrigger_core::{Secret, Table};
use outrigger_proxy::Proxy;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::mpsc,
    time::Duration,
};

/// Editors write a file in several steps: an edit is looked at when they have been quiet for so long.
const SETTLED: Duration = Duration::from_millis(50);

/// The files of a run.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    paths: Vec<PathBuf>,
    namespace: String,
    /// Secret name and key → the environment variable's value.
    overrides: BTreeMap<(String, String), Secret>,
    /// What the last look found: one that finds the same is no edit.
    seen: Option<Seen>,
}

/// What the files said at one time. Ids of keys tell their bytes apart.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    table: Table,
    keys: Vec<String>,
    diagnostics: Vec<Diagnostic>,
}

impl Files {
    /// `secrets` are `name/key=env:VARIABLE`; the variables are read here, once.
    pub(crate) fn new(paths: Vec<PathBuf>, namespace: String, secrets: &[String]) -> anyhow::Result<Self> {
        let mut overrides = BTreeMap::new();
        for given in secrets {
            let parsed = given
                .split_once("=env:")
                .and_then(|(left, variable)| Some((left.split_once('/')?, variable)));
            let Some(((name, key), variable)) = parsed else {
                bail!("--secret {given} is not of the form name/key=env:VARIABLE");
            };
            #[expect(
                clippy::disallowed_methods,
                reason = "the variable's name is an argument; this is where the process reads it, once"
            )]
            let value = std::env::var(variable).with_context(|| format!("--secret {given}: the variable {variable} is not set"))?;
            overrides.insert((name.to_owned(), key.to_owned()), Secret::new(value));
        }
        Ok(Self {
            paths,
            namespace,
            overrides,
            seen: None,
        })
    }

    /// The first load: there is nothing better to keep, so what is good of it is served.
    pub(crate) fn first(&mut self, proxy: &Proxy) -> anyhow::Result<()> {
        let compiled = self.compile();
        let errors = self.look(&compiled).unwrap_or(0);
        if errors > 0 {
            complain(&format!(
                "{errors} error(s): what they concern is not served. Mend the files; edits take effect at once."
            ));
        }
        proxy
            .install(compiled.table, &compiled.secrets, "file")
            .context("the routes contradict each other")?;
        Ok(())
    }

    /// Watches the files for as long as the returned watcher lives.
    pub(crate) fn watch(mut self, proxy: Proxy) -> anyhow::Result<notify::RecommendedWatcher> {
        let (tell, told) = mpsc::channel::<()>();
        let paths = self.paths.clone();
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Reading a file is an event too; a look at one's own reading would never end.
            if event.is_ok_and(|event| !event.kind.is_access() && event.paths.iter().any(|changed| may_matter(&paths, changed))) {
                let _ = tell.send(());
            }
        })?;
        for path in &self.paths {
            // A mounted or saved file is often replaced, not written: its folder sees that.
            let folder = if path.is_dir() {
                path.as_path()
            } else {
                path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
            };
            watcher
                .watch(folder, RecursiveMode::Recursive)
                .with_context(|| format!("cannot watch {}", folder.display()))?;
        }
        std::thread::Builder::new().name("reload".into()).spawn(move || {
            while told.recv().is_ok() {
                while told.recv_timeout(SETTLED).is_ok() {}
                self.reload(&proxy);
            }
        })?;
        Ok(watcher)
    }

    fn reload(&mut self, proxy: &Proxy) {
        let compiled = self.compile();
        let Some(errors) = self.look(&compiled) else { return };
        if errors > 0 {
            proxy.reject("invalid");
            tracing::warn!(errors, "the edit has errors: the last good routes stay in force");
            return;
        }
        let routes = compiled.table.routes.len();
        match proxy.install(compiled.table, &compiled.secrets, "file") {
            Ok(generation) => tracing::info!(generation, routes, "routes reloaded"),
            Err(error) => tracing::warn!(%error, "the edit cannot be used: the last good routes stay in force"),
        }
    }

    /// Loads and compiles; the diagnostics of both are in the result.
    fn compile(&self) -> Compiled {
        let mut loaded = load(&self.paths);
        for ((name, key), value) in &self.overrides {
            loaded.objects.set_secret(&self.namespace, name, key, value.clone());
        }
        let mut compiled = compile(&loaded.objects, &self.namespace);
        loaded.diagnostics.append(&mut compiled.diagnostics);
        compiled.diagnostics = loaded.diagnostics;
        compiled
    }

    /// Tells everything that is wrong and how many errors that are; nothing where all is as it was at the last look.
    fn look(&mut self, compiled: &Compiled) -> Option<usize> {
        let found = Seen {
            table: compiled.table.clone(),
            keys: compiled.secrets.keys().cloned().collect(),
            diagnostics: compiled.diagnostics.clone(),
        };
        if self.seen.as_ref() == Some(&found) {
            return None;
        }
        for diagnostic in &found.diagnostics {
            complain(&diagnostic.to_string());
        }
        let errors = found.diagnostics.iter().filter(|found| found.severity == Severity::Error).count();
        self.seen = Some(found);
        Some(errors)
    }
}

/// Whether a change at `changed` can change what is loaded from `paths`: a given file, a manifest in a given folder, or a folder or link
/// that stands for some. A log beside them cannot, or each look, which is logged, would bring the next.
fn may_matter(paths: &[PathBuf], changed: &Path) -> bool {
    let given = |path: &PathBuf| !path.is_dir() && path.file_name() == changed.file_name();
    if paths.iter().any(given) || changed.file_name().is_some_and(|name| name.to_string_lossy().starts_with("..")) {
        return true;
    }
    let manifest = changed
        .extension()
        .is_some_and(|extension| extension == "yaml" || extension == "yml" || extension == "json");
    let stands_for_some = changed.is_dir() || changed.is_symlink() || !changed.exists();
    (manifest || stands_for_some) && paths.iter().any(|path| path.is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_log_beside_the_routes_is_no_edit() {
        let folder = std::env::temp_dir().join(format!("outrigger-files-{}", std::process::id()));
        fs::create_dir_all(folder.join("more")).unwrap();
        for name in ["routes.yaml", "other.yaml", "log", "ports.json", "more/a.yml"] {
            fs::write(folder.join(name), "").unwrap();
        }
        let matters = |given: &str, changed: &str| may_matter(&[folder.join(given)], &folder.join(changed));
        for (changed, as_file, as_folder) in [
            ("routes.yaml", true, true),
            ("other.yaml", false, true),
            ("ports.json", false, true),
            ("more/a.yml", false, true),
            ("log", false, false),
            ("more", false, true),
            ("gone", false, true),
            ("..data", true, true),
        ] {
            assert_eq!(
                (matters("routes.yaml", changed), matters("", changed)),
                (as_file, as_folder),
                "{changed}"
            );
        }
        fs::remove_dir_all(&folder).unwrap();
    }
}
