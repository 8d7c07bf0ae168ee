//! The images of the end-to-end tests: what ships, the scripted providers, and an application with the official SDKs, packed from this host's
//! Python.

use outrigger_cluster::{Cluster, Image, run};
use outrigger_tests::binary;
use std::{
    env,
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// Where everything that is packed here seems to come from. Nothing is pulled: a node asks no registry for what it has.
pub const REGISTRY: &str = "registry.test/outrigger";

/// The tag of everything that is packed here: the one that the chart installs.
pub const TAG: &str = env!("CARGO_PKG_VERSION");

/// The interpreter in the application's image.
pub const PYTHON: &str = "/usr/bin/python";

/// Python itself, and the SDKs, in the application's image.
const HOME: &str = "/python";
const PACKAGES: &str = "/packages";
const COMPILED: &str = "/compiled";

/// What no application needs, by the name of its folder or file; some of it is linked with what a host may lack.
const SPARED: [&str; 13] = [
    "__pycache__",
    "site-packages",
    "dist-packages",
    "test",
    "tests",
    "idlelib",
    "tkinter",
    "turtledemo",
    "ensurepip",
    "lib2to3",
    "pip",
    "pytest",
    "setuptools",
];

/// What ships, by the names of its binaries.
pub const SHIPPED: [&str; 2] = ["outrigger-controller", "outrigger-proxy"];

/// Makes what ships known to the node.
pub fn import_shipped(cluster: &Cluster) {
    static PACKED: OnceLock<Packed> = OnceLock::new();
    PACKED
        .get_or_init(|| Packed::of(&SHIPPED.map(|name| (name, shipped(name)))))
        .import(cluster);
}

/// Makes known to the node what every cluster of a test has beside it: scripted providers and an application.
pub fn import_others(cluster: &Cluster) {
    static PACKED: OnceLock<Packed> = OnceLock::new();
    let providers = || Image::of_program(&name_of("outrigger-mock"), &binary("outrigger").unwrap()).unwrap();
    PACKED
        .get_or_init(|| Packed::of(&[("outrigger-mock", providers()), ("outrigger-app", application())]))
        .import(cluster);
}

/// Archives that are made once for all clusters of a run; the next run writes them anew.
struct Packed(Vec<PathBuf>);

impl Packed {
    fn of(images: &[(&str, Image)]) -> Self {
        let pack = |(name, image): &(&str, Image)| {
            let archive = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.tar"));
            image.write(&archive, false).unwrap();
            archive
        };
        Self(images.iter().map(pack).collect())
    }

    fn import(&self, cluster: &Cluster) {
        for archive in &self.0 {
            cluster.import(archive).unwrap();
        }
    }
}

/// An image that ships, with the binaries of the folder that is named from outside, or those beside this test.
pub fn shipped(name: &str) -> Image {
    let folder = env::var_os("OUTRIGGER_E2E_BINARIES");
    let program = folder.map_or_else(|| binary(name).unwrap(), |folder| Path::new(&folder).join(name));
    Image::of_program(&name_of(name), &program).unwrap()
}

/// An image's full name.
pub fn name_of(image: &str) -> String {
    format!("{REGISTRY}/{image}:{TAG}")
}

/// The application, with the Python of the installed clients.
fn application() -> Image {
    let clients = env::var_os("OUTRIGGER_E2E_PYTHON").expect("`cargo xtask e2e` installs the SDKs and says where");
    let python = Path::new(&clients).join("bin/python");
    let ask = |what: &str| PathBuf::from(run(Command::new(&python).args(["-c", what])).unwrap().trim());
    let standard = ask("import sysconfig; print(sysconfig.get_path('stdlib'))");
    let packages = ask("import sysconfig; print(sysconfig.get_path('purelib'))");
    let program = ask("import os, sys; print(os.path.realpath(sys.executable))");

    let mut image = Image::new(&name_of("outrigger-app"));
    image.add(&program, PYTHON).unwrap();
    let spared = |path: &Path| {
        let name = path.file_name().unwrap().to_str().unwrap();
        let program = name.starts_with("_tkinter") || name.starts_with("config-");
        let unused = name.starts_with("langchain") || name.starts_with("langsmith");
        SPARED.contains(&name) || program || unused || path.extension().is_some_and(|kind| kind == "a")
    };
    let library = Path::new(HOME).join("lib").join(standard.file_name().unwrap());
    let compiled = compiled(&clients, &python, &[&standard, &packages]);
    for (folder, place) in [(&standard, library.as_path()), (&packages, Path::new(PACKAGES))] {
        image.add_tree(folder, place, &spared).unwrap();
        let below = |top: &Path, path: &Path| top.join(path.strip_prefix("/").unwrap());
        image
            .add_tree(&below(&compiled, folder), &below(Path::new(COMPILED), place), &spared)
            .unwrap();
    }
    image.add_text("/app.py", include_str!("app/app.py"));
    image.add_text("/once.py", include_str!("app/once.py"));
    image.add_text("/search.py", include_str!("app/search.py"));
    image.environment("PYTHONHOME", HOME);
    image.environment("PYTHONPATH", PACKAGES);
    image.environment("PYTHONPYCACHEPREFIX", COMPILED);
    image.environment("PYTHONDONTWRITEBYTECODE", "1");
    image.entrypoint(&[PYTHON, "/app.py"]);
    image
}

/// What Python makes of the sources when it loads them first, which takes an SDK many seconds, and which an image of its users has in it, too. Made
/// once for each set of clients; below the folder it lies as the sources do on this host.
fn compiled(clients: &OsStr, python: &Path, sources: &[&Path]) -> PathBuf {
    let name = Path::new(clients).file_name().unwrap();
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    if !place.exists() {
        let draft = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        for folder in sources {
            let mut compile = Command::new(python);
            compile.args(["-m", "compileall", "-q", "-j", "2", "--invalidation-mode", "unchecked-hash", "-x"]);
            let unused = format!("^{}/(.*/)?(lang[^/]*|{})/", folder.display(), SPARED.join("|"));
            // What cannot be compiled is loaded from its source.
            let _ = run(compile.arg(unused).arg(folder).env("PYTHONPYCACHEPREFIX", draft.path()));
        }
        std::fs::rename(draft.keep(), &place).unwrap();
    }
    place
}
