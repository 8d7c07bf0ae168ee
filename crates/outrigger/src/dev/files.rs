//! The YAML behind a `dev` run: loaded, compiled, watched. What compiles goes into force; what does not is told and changes nothing.

use crate::output::complain;
use anyhow::{Context as _, bail};
use notify::{RecursiveMode, Watcher as _};
use outrigger_config::{
    compile::{Compiled, compile},
    diagnostics::Severity,
    load::load,
};
use outrigger_core::Secret;
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
        })
    }

    /// The first load: there is nothing better to keep, so what is good of it is served.
    pub(crate) fn first(&self, proxy: &Proxy) -> anyhow::Result<()> {
        let (compiled, errors) = self.compile();
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
    pub(crate) fn watch(self, proxy: Proxy) -> anyhow::Result<notify::RecommendedWatcher> {
        let (tell, told) = mpsc::channel::<()>();
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Reading a file is an event too; a look at one's own reading would never end.
            if event.is_ok_and(|event| !event.kind.is_access() && event.paths.iter().any(|path| may_matter(path))) {
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

    fn reload(&self, proxy: &Proxy) {
        let (compiled, errors) = self.compile();
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

    /// Loads and compiles, and tells everything that is wrong.
    fn compile(&self) -> (Compiled, usize) {
        let mut loaded = load(&self.paths);
        for ((name, key), value) in &self.overrides {
            loaded.objects.set_secret(&self.namespace, name, key, value.clone());
        }
        let mut compiled = compile(&loaded.objects, &self.namespace);
        loaded.diagnostics.append(&mut compiled.diagnostics);
        for diagnostic in &loaded.diagnostics {
            complain(&diagnostic.to_string());
        }
        let errors = loaded
            .diagnostics
            .iter()
            .filter(|diagnostic| diagnostic.severity == Severity::Error)
            .count();
        (compiled, errors)
    }
}

/// Whether a change there can change what is loaded: a manifest, or a folder or link that stands for some. A log beside them cannot.
fn may_matter(path: &Path) -> bool {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("yaml" | "yml" | "json") | None => true,
        Some(_) => path.is_dir() || path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("..")),
    }
}
