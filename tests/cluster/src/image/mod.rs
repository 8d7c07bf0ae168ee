//! Container images without a container engine: a program, what this host links it with, and nothing else, in one archive that
//! `ctr images import`, `docker load`, `podman load` and `skopeo copy oci-archive:` take. It must never put a time, a name of this host or
//! anything of its own choice into an image: the same inputs are the same bytes.

mod archive;
mod elf;
mod layer;
mod libraries;

use anyhow::{Context as _, Result, ensure};
use layer::File;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

pub use archive::Written;

/// Who runs in our images: nobody that a host knows.
const USER: &str = "65532";

/// An image in the making.
#[derive(Clone, Debug)]
pub struct Image {
    name: String,
    entrypoint: Vec<String>,
    environment: BTreeMap<String, String>,
    labels: BTreeMap<String, String>,
    architecture: Option<&'static str>,
    /// What comes from the host and seldom changes, so that images share it.
    system: BTreeMap<PathBuf, File>,
    own: BTreeMap<PathBuf, File>,
}

impl Image {
    /// An image without a program, called `name`, such as `outrigger-proxy:1.0.0`.
    pub fn new(name: &str) -> Self {
        let text = |text: String| File {
            bytes: text.into_bytes(),
            executable: false,
        };
        let system = [
            // The names of the cluster's `/etc/hosts` before the network's.
            ("/etc/nsswitch.conf", "hosts: files dns\n".to_owned()),
            ("/etc/passwd", format!("nonroot:x:{USER}:{USER}:nonroot:/:/sbin/nologin\n")),
            ("/etc/group", format!("nonroot:x:{USER}:\n")),
        ];
        Self {
            name: name.to_owned(),
            entrypoint: Vec::new(),
            environment: BTreeMap::new(),
            labels: BTreeMap::new(),
            architecture: None,
            system: system.map(|(path, words)| (path.into(), text(words))).into(),
            own: BTreeMap::new(),
        }
    }

    /// An image that runs the program `file`.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn of_program(name: &str, file: &Path) -> Result<Self> {
        let mut image = Self::new(name);
        let place = Path::new("/usr/bin").join(file.file_name().context("a program without a name")?);
        image.add(file, &place)?;
        image.entrypoint = vec![place.display().to_string()];
        Ok(image)
    }

    /// Adds a file of this host at the absolute path `place`; a program or a library with everything that it is linked with.
    ///
    /// # Errors
    /// It cannot be read, something that it needs is not there, or it is for another processor than the others.
    pub fn add(&mut self, file: &Path, place: impl Into<PathBuf>) -> Result<()> {
        let bytes = fs::read(file).with_context(|| file.display().to_string())?;
        let mut executable = bytes.starts_with(b"#!");
        if let Some((architecture, files)) = libraries::of(file, &bytes)? {
            let before = *self.architecture.get_or_insert(architecture);
            ensure!(
                before == architecture,
                "{} is for {architecture}, the image for {before}",
                file.display()
            );
            executable = true;
            let libraries = files.into_iter().map(|(path, bytes)| (path, File { bytes, executable }));
            self.system.extend(libraries);
        }
        self.own.insert(place.into(), File { bytes, executable });
        Ok(())
    }

    /// Adds the files below a folder of this host, links followed, except where `skip` says so of a path on the host.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn add_tree(&mut self, folder: &Path, place: &Path, skip: &dyn Fn(&Path) -> bool) -> Result<()> {
        for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
            let entry = entry?;
            let (path, place) = (entry.path(), place.join(entry.file_name()));
            if skip(&path) {
            } else if path.is_dir() {
                self.add_tree(&path, &place, skip)?;
            } else {
                self.add(&path, place)?;
            }
        }
        Ok(())
    }

    /// Adds a file with this content.
    pub fn add_text(&mut self, place: &str, text: &str) {
        let file = File {
            bytes: text.as_bytes().to_vec(),
            executable: false,
        };
        self.own.insert(place.into(), file);
    }

    /// What runs when a container says nothing else.
    pub fn entrypoint(&mut self, words: &[&str]) {
        self.entrypoint = words.iter().map(|word| (*word).to_owned()).collect();
    }

    /// Sets a variable of every container.
    pub fn environment(&mut self, name: &str, value: &str) {
        self.environment.insert(name.to_owned(), value.to_owned());
    }

    /// Says something about the image.
    pub fn label(&mut self, name: &str, value: &str) {
        self.labels.insert(name.to_owned(), value.to_owned());
    }

    /// Writes the archive to `file`, and under that name only when it is whole. Uncompressed layers are quicker to make and to import.
    ///
    /// # Errors
    /// There is no program in it, or the place cannot be written.
    pub fn write(&self, file: &Path, compressed: bool) -> Result<Written> {
        archive::write(self, file, compressed)
    }
}
