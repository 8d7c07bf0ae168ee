//! The images of the end-to-end tests: what ships, the scripted providers, and an application with the official SDKs, packed from this host's
//! Python.

use outrigger_cluster::{Cluster, Image, run};
use outrigger_tests::binary;
use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};
use tempfile::TempDir;

/// The tag of everything that is packed here.
pub const TAG: &str = "e2e";

/// Python itself, and the SDKs, in the application's image.
const HOME: &str = "/python";
const PACKAGES: &str = "/packages";

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

/// Packs all images and makes them known to the node.
pub fn import(cluster: &Cluster) {
    let folder = tempfile::tempdir().unwrap();
    for (name, program) in [
        ("outrigger-controller", "outrigger-controller"),
        ("outrigger-proxy", "outrigger-proxy"),
        ("outrigger-mock", "outrigger"),
    ] {
        let image = Image::of_program(&format!("{name}:{TAG}"), &binary(program).unwrap()).unwrap();
        take(cluster, &folder, &image);
    }
    take(cluster, &folder, &application());
}

fn take(cluster: &Cluster, folder: &TempDir, image: &Image) {
    let archive = folder.path().join("image.tar");
    image.write(&archive, false).unwrap();
    cluster.import(&archive).unwrap();
}

/// The application, with the Python of the installed clients.
fn application() -> Image {
    let clients = env::var_os("OUTRIGGER_E2E_PYTHON").expect("`cargo xtask e2e` installs the SDKs and says where");
    let python = Path::new(&clients).join("bin/python");
    let ask = |what: &str| PathBuf::from(run(Command::new(&python).args(["-c", what])).unwrap().trim());
    let standard = ask("import sysconfig; print(sysconfig.get_path('stdlib'))");
    let packages = ask("import sysconfig; print(sysconfig.get_path('purelib'))");
    let program = ask("import os, sys; print(os.path.realpath(sys.executable))");

    let mut image = Image::of_program(&format!("outrigger-app:{TAG}"), &program).unwrap();
    let spared = |path: &Path| {
        let name = path.file_name().unwrap().to_str().unwrap();
        let program = name.starts_with("_tkinter") || name.starts_with("config-");
        let unused = name.starts_with("langchain") || name.starts_with("langsmith");
        SPARED.contains(&name) || program || unused || path.extension().is_some_and(|kind| kind == "a")
    };
    let library = Path::new(HOME).join("lib").join(standard.file_name().unwrap());
    image.add_tree(&standard, &library, &spared).unwrap();
    image.add_tree(&packages, Path::new(PACKAGES), &spared).unwrap();
    image.add_text("/app.py", include_str!("app/app.py"));
    image.environment("PYTHONHOME", HOME);
    image.environment("PYTHONPATH", PACKAGES);
    image.environment("PYTHONDONTWRITEBYTECODE", "1");
    let program = format!("/usr/bin/{}", program.file_name().unwrap().to_str().unwrap());
    image.entrypoint(&[&program, "/app.py"]);
    image
}
