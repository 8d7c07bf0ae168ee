//! The mounted ConfigMap and Secret. The kubelet replaces a mount as a whole by pointing the link `..data` at another folder: that link is
//! looked at every second, and all is read anew when it has changed. It must never mix two states of a mount, nor hold more than a mount
//! can: files are read behind the link and up to a cap.

use super::authority::{Data, Event};
use outrigger_snapshot::KeyRing;
use std::{
    ffi::OsString,
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
    time::SystemTime,
};
use zeroize::Zeroizing;

/// Most bytes of a file: an object holds 1 MiB in all.
const MOST_BYTES: u64 = 2 << 20;
/// Most files of a mount.
const MOST_FILES: usize = 8_192;

/// Both mounts, and what they looked like when they were read.
#[derive(Debug)]
pub(super) struct Mounts {
    keys: Mount,
    snapshot: Mount,
}

#[derive(Debug)]
struct Mount {
    folder: PathBuf,
    seen: Look,
}

/// What tells one state of a folder from another.
#[derive(Debug, PartialEq, Eq)]
enum Look {
    /// Not there.
    Absent,
    /// Where the kubelet's link points.
    Link(PathBuf),
    /// Somebody else's folder: its files with size and time.
    Files(Vec<(OsString, u64, Option<SystemTime>)>),
}

/// Names and bytes of a folder's files; some are keys.
type Files = Vec<(String, Zeroizing<Vec<u8>>)>;

impl Mounts {
    pub(super) fn new(snapshot: PathBuf, keys: PathBuf) -> Self {
        let mount = |folder| Mount {
            folder,
            seen: Look::Absent,
        };
        Self {
            keys: mount(keys),
            snapshot: mount(snapshot),
        }
    }

    /// What has changed since the last look. Keys come first: they vouch for the rest.
    pub(super) fn look(&mut self) -> Vec<Event> {
        let keys = self.keys.changed().map(|files| {
            let ring = KeyRing::parse(files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())));
            if ring.broken > 0 {
                tracing::warn!(entries = ring.broken, folder = %self.keys.folder.display(), "entries of the mounted keys cannot be read");
            }
            Event::Keys(ring)
        });
        let snapshot = self.snapshot.changed().map(|files| {
            let text = |(name, bytes): &(String, Zeroizing<Vec<u8>>)| Some((name.clone(), String::from_utf8(bytes.to_vec()).ok()?));
            let data: Data = files.iter().filter_map(text).collect();
            // An optional mount of what does not exist is an empty folder.
            Event::Mounted(Some(data).filter(|data| !data.is_empty()))
        });
        keys.into_iter().chain(snapshot).collect()
    }
}

impl Mount {
    /// The files, where they are others than at the last look. A mount that is gone keeps what it had: nothing is learnt from that.
    fn changed(&mut self) -> Option<Files> {
        let look = look(&self.folder).unwrap_or(Look::Absent);
        if look == self.seen {
            return None;
        }
        let folder = match &look {
            Look::Absent => return None,
            Look::Link(target) => self.folder.join(target),
            Look::Files(_) => self.folder.clone(),
        };
        match read(&folder) {
            Ok(files) => {
                tracing::debug!(folder = %self.folder.display(), files = files.len(), "a mount is read");
                self.seen = look;
                Some(files)
            }
            // Replaced while it was read: the next look sees the new one.
            Err(error) => {
                tracing::debug!(%error, folder = %folder.display(), "a mount cannot be read");
                None
            }
        }
    }
}

fn look(folder: &Path) -> io::Result<Look> {
    if let Ok(target) = fs::read_link(folder.join("..data")) {
        return Ok(Look::Link(target));
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)?.take(MOST_FILES) {
        let entry = entry?;
        let about = fs::metadata(entry.path())?;
        files.push((entry.file_name(), about.len(), about.modified().ok()));
    }
    files.sort();
    Ok(Look::Files(files))
}

fn read(folder: &Path) -> io::Result<Files> {
    let mut files = Files::new();
    for entry in fs::read_dir(folder)?.take(MOST_FILES) {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if name.starts_with("..") || !fs::metadata(entry.path())?.is_file() {
            continue;
        }
        let file = fs::File::open(entry.path())?;
        let size = usize::try_from(file.metadata()?.len().min(MOST_BYTES)).unwrap_or_default();
        // Room for all of it at once: a buffer that grows leaves copies of a key behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(size + 1));
        file.take(MOST_BYTES).read_to_end(&mut bytes)?;
        files.push((name, bytes));
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use outrigger_core::{Origin, Scheme, Secret};
    use outrigger_snapshot::{KeyEntry, MAC_ENTRY};
    use std::os::unix::fs::symlink;

    /// A folder that the kubelet would make, gone with the test.
    struct Kubelet(PathBuf);

    impl Kubelet {
        fn new(name: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("outrigger-mounts-{}-{name}", std::process::id()));
            let _ = fs::remove_dir_all(&folder);
            fs::create_dir_all(&folder).unwrap();
            Self(folder)
        }

        /// As the kubelet does it: a new folder, a new link beside, then the link moved over the old one.
        fn write(&self, version: &str, files: &[(&str, &[u8])]) {
            let target = format!("..{version}");
            fs::create_dir_all(self.0.join(&target)).unwrap();
            for (name, bytes) in files {
                fs::write(self.0.join(&target).join(name), bytes).unwrap();
                let _ = symlink(format!("..data/{name}"), self.0.join(name));
            }
            symlink(&target, self.0.join("..data_tmp")).unwrap();
            fs::rename(self.0.join("..data_tmp"), self.0.join("..data")).unwrap();
        }
    }

    impl Drop for Kubelet {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn entry(key: &str) -> Vec<u8> {
        let origin = Origin {
            scheme: Scheme::Https,
            host: "api.test".into(),
            port: 443,
        };
        KeyEntry {
            origin,
            ca_digest: None,
            key: Secret::new(key.into()),
        }
        .to_bytes()
    }

    #[test]
    fn a_mount_is_read_once_and_again_after_each_swap() {
        let (snapshot, keys) = (Kubelet::new("snapshot"), Kubelet::new("keys"));
        let mut mounts = Mounts::new(snapshot.0.clone(), keys.0.clone());
        let first = mounts.look();
        assert!(
            matches!(&first[..], [Event::Keys(ring), Event::Mounted(None)] if ring.mac.is_none()),
            "empty: {first:?}"
        );
        assert!(mounts.look().is_empty());

        keys.write("1", &[(MAC_ENTRY, &[1; 32]), ("a.v1", &entry("sk-1"))]);
        snapshot.write("1", &[("generation", b"7"), ("table", b"x")]);
        let events = mounts.look();
        let [Event::Keys(ring), Event::Mounted(Some(data))] = &events[..] else {
            panic!("{events:?}")
        };
        assert!(ring.mac.is_some());
        assert_eq!(ring.entries["a.v1"].key.expose(), "sk-1");
        assert_eq!(
            data.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect::<Vec<_>>(),
            [("generation", "7"), ("table", "x")]
        );
        assert!(mounts.look().is_empty());

        keys.write("2", &[(MAC_ENTRY, &[1; 32]), ("a.v2", &entry("sk-2"))]);
        let events = mounts.look();
        let [Event::Keys(ring)] = &events[..] else { panic!("{events:?}") };
        assert_eq!(ring.entries.keys().collect::<Vec<_>>(), ["a.v2"], "nothing of the state before");
    }

    #[test]
    fn folders_that_are_not_there_or_go_away_say_nothing() {
        let (snapshot, keys) = (Kubelet::new("going-snapshot"), Kubelet::new("going-keys"));
        let mut nowhere = Mounts::new(snapshot.0.join("no"), keys.0.join("no"));
        assert!(nowhere.look().is_empty());
        keys.write("1", &[(MAC_ENTRY, &[1; 32])]);
        let mut mounts = Mounts::new(snapshot.0.clone(), keys.0.clone());
        assert_eq!(mounts.look().len(), 2);
        fs::remove_dir_all(&keys.0).unwrap();
        fs::remove_dir_all(&snapshot.0).unwrap();
        assert!(mounts.look().is_empty());
    }

    #[test]
    fn a_plain_folder_does_as_well() {
        let (snapshot, keys) = (Kubelet::new("plain-snapshot"), Kubelet::new("plain-keys"));
        fs::write(keys.0.join(MAC_ENTRY), [1; 32]).unwrap();
        let mut mounts = Mounts::new(snapshot.0.clone(), keys.0.clone());
        assert!(matches!(&mounts.look()[..], [Event::Keys(ring), _] if ring.mac.is_some()));
        fs::write(keys.0.join(MAC_ENTRY), [1; 31]).unwrap();
        assert!(matches!(&mounts.look()[..], [Event::Keys(ring)] if ring.broken == 1));
    }
}
