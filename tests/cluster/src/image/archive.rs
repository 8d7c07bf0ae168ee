//! The archive around an image's layers: an OCI image layout, with the `manifest.json` that `docker load` looks for beside its index.

use super::{
    Image, USER,
    layer::{self, Layer},
};
use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use std::{collections::BTreeMap, fs, path::Path};
use tar::{Builder, EntryType};

/// What was written.
#[derive(Clone, Debug)]
pub struct Written {
    /// The digest by which registries know the image: `sha256:…`.
    pub digest: String,
    /// Bytes to transfer: what comes from the host.
    pub system: u64,
    /// Bytes to transfer: what is the image's own.
    pub own: u64,
}

impl Written {
    /// All layers together, in bytes.
    pub fn size(&self) -> u64 {
        self.system + self.own
    }
}

pub(super) fn write(image: &Image, file: &Path, compressed: bool) -> Result<Written> {
    let architecture = image.architecture.context("an image without a program")?;
    let layers = [Layer::pack(&image.system, compressed)?, Layer::pack(&image.own, compressed)?];
    let config = config(image, architecture, &layers).to_string().into_bytes();
    let manifest = manifest(&config, &layers).to_string().into_bytes();
    let digest = layer::digest(&manifest);

    let mut files = BTreeMap::from([
        (
            "oci-layout".to_owned(),
            json!({ "imageLayoutVersion": "1.0.0" }).to_string().into_bytes(),
        ),
        (
            "index.json".to_owned(),
            index(&image.name, architecture, &manifest).to_string().into_bytes(),
        ),
        (
            "manifest.json".to_owned(),
            for_docker(&image.name, &config, &layers).to_string().into_bytes(),
        ),
    ]);
    let sizes = layers.each_ref().map(|layer| layer.bytes.len() as u64);
    let layers = layers.into_iter().map(|layer| (blob(&layer.digest), layer.bytes));
    files.extend(layers);
    files.extend([config, manifest].map(|bytes| (blob(&layer::digest(&bytes)), bytes)));

    let mut archive = Builder::new(Vec::new());
    for folder in ["blobs", "blobs/sha256"] {
        layer::append(&mut archive, Path::new(folder), EntryType::Directory, 0o755, &[])?;
    }
    for (path, bytes) in &files {
        layer::append(&mut archive, Path::new(path), EntryType::Regular, 0o644, bytes)?;
    }
    let draft = file.with_extension("draft");
    fs::write(&draft, archive.into_inner()?).with_context(|| draft.display().to_string())?;
    fs::rename(&draft, file).with_context(|| file.display().to_string())?;
    let [system, own] = sizes;
    Ok(Written {
        digest: format!("sha256:{digest}"),
        system,
        own,
    })
}

fn blob(digest: &str) -> String {
    format!("blobs/sha256/{digest}")
}

fn config(image: &Image, architecture: &str, layers: &[Layer]) -> Value {
    let plain: Vec<String> = layers.iter().map(|layer| format!("sha256:{}", layer.plain_digest)).collect();
    let variables = image.environment.iter().map(|(name, value)| format!("{name}={value}"));
    let environment: Vec<String> = ["PATH=/usr/local/bin:/usr/bin:/bin".to_owned()]
        .into_iter()
        .chain(variables)
        .collect();
    let history = ["what the host links programs with", "the image's own files"];
    json!({
        "architecture": architecture,
        "os": "linux",
        "config": {
            "User": format!("{USER}:{USER}"),
            "Env": environment,
            "Entrypoint": image.entrypoint,
            "WorkingDir": "/",
            "Labels": image.labels,
        },
        "rootfs": { "type": "layers", "diff_ids": plain },
        "history": history.map(|comment| json!({ "created_by": "cargo xtask image", "comment": comment })),
    })
}

fn manifest(config: &[u8], layers: &[Layer]) -> Value {
    let layers = layers.iter().map(|layer| {
        let kind = if layer.compressed { "tar+gzip" } else { "tar" };
        descriptor(&format!("layer.v1.{kind}"), &layer.digest, layer.bytes.len())
    });
    json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("config.v1+json", &layer::digest(config), config.len()),
        "layers": layers.collect::<Vec<_>>(),
    })
}

fn index(name: &str, architecture: &str, manifest: &[u8]) -> Value {
    let mut entry = descriptor("manifest.v1+json", &layer::digest(manifest), manifest.len());
    let name = canonical(name);
    let tag = name.rsplit_once(':').map(|(_, tag)| tag);
    if let Some(entry) = entry.as_object_mut() {
        entry.insert("platform".to_owned(), json!({ "architecture": architecture, "os": "linux" }));
        let names = json!({ "io.containerd.image.name": name, "org.opencontainers.image.ref.name": tag });
        entry.insert("annotations".to_owned(), names);
    }
    json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [entry],
    })
}

fn for_docker(name: &str, config: &[u8], layers: &[Layer]) -> Value {
    json!([{
        "Config": blob(&layer::digest(config)),
        "RepoTags": [name],
        "Layers": layers.iter().map(|layer| blob(&layer.digest)).collect::<Vec<_>>(),
    }])
}

fn descriptor(kind: &str, digest: &str, size: usize) -> Value {
    json!({
        "mediaType": format!("application/vnd.oci.image.{kind}"),
        "digest": format!("sha256:{digest}"),
        "size": size,
    })
}

/// The name as container runtimes complete it: a first part without a dot or port is no registry.
fn canonical(name: &str) -> String {
    match name.split_once('/') {
        Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => name.to_owned(),
        Some(_) => format!("docker.io/{name}"),
        None => format!("docker.io/library/{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{env, io::Read as _};

    fn image() -> Image {
        let mut image = Image::new("outrigger-test:1");
        image.add(&env::current_exe().unwrap(), "/usr/bin/program").unwrap();
        image.add_text("/etc/canary", "words");
        image.entrypoint(&["/usr/bin/program", "--quiet"]);
        image.environment("A", "b");
        image.label("org.opencontainers.image.title", "test");
        image
    }

    fn members(file: &Path) -> BTreeMap<String, Vec<u8>> {
        let mut archive = tar::Archive::new(fs::File::open(file).unwrap());
        let entries = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            (entry.path().unwrap().display().to_string(), bytes)
        });
        entries.collect()
    }

    #[test]
    fn every_reference_leads_to_bytes_of_that_digest_and_size() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("image.tar");
        let written = image().write(&file, true).unwrap();
        let members = members(&file);
        let follow = |descriptor: &Value| {
            let digest = descriptor["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
            let bytes = &members[&blob(digest)];
            assert_eq!(layer::digest(bytes), digest);
            assert_eq!(descriptor["size"].as_u64().unwrap(), bytes.len() as u64);
            bytes
        };
        let index: Value = serde_json::from_slice(&members["index.json"]).unwrap();
        assert_eq!(index["manifests"][0]["digest"], written.digest);
        assert_eq!(
            index["manifests"][0]["annotations"]["io.containerd.image.name"],
            "docker.io/library/outrigger-test:1"
        );
        let manifest: Value = serde_json::from_slice(follow(&index["manifests"][0])).unwrap();
        let config: Value = serde_json::from_slice(follow(&manifest["config"])).unwrap();
        assert_eq!(config["config"]["User"], "65532:65532");
        assert_eq!(config["config"]["Entrypoint"], json!(["/usr/bin/program", "--quiet"]));
        assert_eq!(config["config"]["Labels"]["org.opencontainers.image.title"], "test");
        assert!(config["config"]["Env"].as_array().unwrap().contains(&"A=b".into()));
        assert!(config.get("created").is_none());
        let mut all = String::new();
        let layers = manifest["layers"].as_array().unwrap();
        assert_eq!(layers.len(), 2);
        for (layer, plain) in layers.iter().zip(config["rootfs"]["diff_ids"].as_array().unwrap()) {
            let mut bytes = Vec::new();
            flate2::read::GzDecoder::new(follow(layer).as_slice())
                .read_to_end(&mut bytes)
                .unwrap();
            assert_eq!(*plain, format!("sha256:{}", layer::digest(&bytes)));
            for entry in tar::Archive::new(bytes.as_slice()).entries().unwrap() {
                all.push_str(entry.unwrap().path().unwrap().to_str().unwrap());
                all.push('\n');
            }
        }
        for path in ["usr/bin/program\n", "etc/canary\n", "etc/passwd\n", "libc.so.6\n"] {
            assert!(all.contains(path), "{path} is not in {all}");
        }
        let docker: Value = serde_json::from_slice(&members["manifest.json"]).unwrap();
        assert_eq!(docker[0]["RepoTags"], json!(["outrigger-test:1"]));
        for path in docker[0]["Layers"].as_array().unwrap().iter().chain([&docker[0]["Config"]]) {
            assert!(members.contains_key(path.as_str().unwrap()));
        }
        let transferred: u64 = layers.iter().map(|layer| layer["size"].as_u64().unwrap()).sum();
        assert_eq!(written.size(), transferred);
    }

    #[test]
    fn the_same_inputs_are_the_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let [one, two] = ["one", "two"].map(|name| folder.path().join(name));
        image().write(&one, false).unwrap();
        image().write(&two, false).unwrap();
        assert_eq!(fs::read(one).unwrap(), fs::read(two).unwrap());
    }

    #[test]
    fn an_image_without_a_program_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Image::new("empty:1").write(&folder.path().join("empty.tar"), true).is_err());
    }

    #[test]
    fn names_are_completed_as_runtimes_do() {
        for (name, expected) in [
            ("a:1", "docker.io/library/a:1"),
            ("team/a:1", "docker.io/team/a:1"),
            ("registry.corp/team/a:1", "registry.corp/team/a:1"),
            ("localhost/a:1", "localhost/a:1"),
            ("host:5000/a:1", "host:5000/a:1"),
        ] {
            assert_eq!(canonical(name), expected);
        }
    }
}
