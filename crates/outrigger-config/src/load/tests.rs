use super::*;
use crate::objects::Datum;
use proptest::prelude::*;
use std::{fs, path::Path, slice};

/// A folder of its own for one test, removed with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("outrigger-load-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn key(name: &str) -> String {
    format!(
        "apiVersion: outrigger.dev/v1alpha1\nkind: ProviderKey\nmetadata: {{ name: {name} }}\nspec: {{ provider: openai, auth: {{ type: None }} }}\n"
    )
}

fn names(loaded: &Loaded) -> Vec<&str> {
    loaded
        .objects
        .keys
        .iter()
        .map(|key| key.object.metadata.name.as_deref().unwrap())
        .collect()
}

#[test]
fn folders_are_read_with_what_is_below_and_without_what_is_hidden() {
    let folder = Folder::new("tree");
    for name in ["b.yaml", "a.yml", "below/c.json", ".hidden.yaml", "..data/d.yaml", "e.txt"] {
        folder.file(name, key(name.trim_start_matches('.').split(['.', '/']).next().unwrap()));
    }
    let loaded = load(slice::from_ref(&folder.0));
    assert_eq!(names(&loaded), ["a", "b", "below"]);
    assert_eq!(loaded.diagnostics, []);
}

#[test]
fn a_file_that_is_named_is_read_whatever_it_is_called_and_once() {
    let folder = Folder::new("named");
    let file = folder.file("key.txt", key("a"));
    assert_eq!(names(&load(&[file.clone(), file])), ["a"]);
}

#[test]
fn paths_that_cannot_be_read_are_reported_and_the_others_are_read() {
    let folder = Folder::new("unreadable");
    let paths = [
        folder.0.join("absent.yaml"),
        folder.file("latin1.yaml", b"a: \xe4"),
        folder.file("huge.yaml", vec![b'#'; (4 << 20) + 1]),
        folder.file("good.yaml", key("a")),
        folder.file("empty/readme.txt", "").parent().unwrap().to_owned(),
    ];
    let loaded = load(&paths);
    assert_eq!(names(&loaded), ["a"]);
    let said: Vec<_> = loaded.diagnostics.iter().map(|diagnostic| diagnostic.message.as_str()).collect();
    for words in ["cannot be read", "not UTF-8", "larger than 4 MiB", "no YAML file"] {
        assert_eq!(
            said.iter().filter(|message| message.contains(words)).count(),
            1,
            "{words}: {said:?}"
        );
    }
}

#[cfg(unix)]
#[test]
fn a_link_that_leads_back_up_is_not_followed() {
    let folder = Folder::new("link");
    folder.file("a.yaml", key("a"));
    std::os::unix::fs::symlink(&folder.0, folder.0.join("loop")).unwrap();
    // A mounted ConfigMap links its files.
    let elsewhere = Folder::new("link-target");
    std::os::unix::fs::symlink(elsewhere.file("b", key("b")), folder.0.join("b.yaml")).unwrap();
    assert_eq!(names(&load(slice::from_ref(&folder.0))), ["a", "b"]);
}

#[test]
fn documents_are_told_apart_as_yaml_does() {
    let text = format!(
        "\u{feff}# comment\n---\n{}---\n---   \n# only a comment\n--- # with one\n{}...\n---\r\n{}",
        key("a"),
        key("b"),
        key("c").replace('\n', "\r\n")
    );
    let loaded = load_texts([("f.yaml", text.as_str())]);
    assert_eq!(names(&loaded), ["a", "b", "c"]);
    assert_eq!(loaded.diagnostics, []);
    let config_map = "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: m }\ndata:\n  text: |\n    ---\n    --- not a document\n";
    let loaded = load_texts([("f.yaml", config_map)]);
    assert_eq!(loaded.objects.config_maps[0].object.data["text"], "---\n--- not a document\n");
}

#[test]
fn every_field_knows_its_line() {
    let text = format!(
        "{}---\n{}",
        key("a"),
        key("b").replace("spec: {", "spec: {\n ").replace(", auth", ",\n  auth")
    );
    let loaded = load_texts([("f.yaml", text.as_str())]);
    let origins = loaded.objects.keys[1].origins.as_ref().unwrap();
    for (field, line) in [
        ("", 6),
        ("metadata.name", 8),
        ("spec", 9),
        ("spec.provider", 10),
        ("spec.auth.type", 11),
        ("spec.keys[0]", 9),
    ] {
        assert_eq!(origins.of(field).to_string(), format!("f.yaml:{line}"), "{field}");
    }
}

#[test]
fn secrets_are_decoded_and_plain_texts_win() {
    let text = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: s\n  namespace: blue\n  annotations: { outrigger.dev/origins: 'https://a, https://b ' }\n\
                data:\n  a: cGxh\n    Y2Vo\n  b: Yg==\nstringData: { b: text }\n";
    let loaded = load_texts([("f.yaml", text)]);
    assert_eq!(loaded.diagnostics, []);
    let secret = &loaded.objects.secrets[0].object;
    assert_eq!((secret.namespace.as_deref(), secret.name.as_str()), (Some("blue"), "s"));
    assert_eq!(secret.origins, ["https://a", "https://b"]);
    for (key, text) in [("a", "placeh"), ("b", "text")] {
        assert!(matches!(&secret.data[key], Datum::Text(bytes) if bytes.expose() == text), "{key}");
    }
    assert!(!format!("{loaded:?}").contains("placeh"));
}

#[test]
fn a_number_too_large_for_json_is_no_text_and_no_panic() {
    for odd in [".inf", ".nan", "99999999999999999999999999", "1e400", "0x7fffffffffffffffff"] {
        let text = key("a").replace("provider: openai", &format!("provider: {odd}"));
        let _ = load_texts([("f.yaml", text.as_str())]);
    }
}

/// A text that is nearly right: one of the fixtures with some pieces cut out, doubled or replaced.
fn nearly_right() -> impl Strategy<Value = String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut texts: Vec<String> = Vec::new();
    for folder in ["fixtures/bad", "../../deploy/samples"].map(|below| folder.join(below)) {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        texts.extend(
            entries
                .filter(|path| path.extension().is_some_and(|ext| ext == "yaml"))
                .map(|path| fs::read_to_string(path).unwrap()),
        );
    }
    texts.sort();
    let piece = prop_oneof![
        "[\\[\\]{}:,&*!|>'\"#%@`\n\t -]{1,3}",
        Just("null".to_owned()),
        Just("9".repeat(40)),
        "\\PC{0,8}"
    ];
    let edits = prop::collection::vec((any::<prop::sample::Index>(), 0usize..12, piece), 1..6);
    (prop::sample::select(texts), edits).prop_map(|(mut text, edits)| {
        for (at, length, piece) in edits {
            let starts: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
            let from = *at.get(&starts);
            let to = text
                .char_indices()
                .map(|(at, _)| at)
                .find(|at| *at >= from + length)
                .unwrap_or(text.len());
            text.replace_range(from..to, &piece);
        }
        text
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn whatever_is_written_something_is_said_and_nothing_panics(text in prop_oneof![4 => nearly_right(), 1 => "\\PC{0,200}"]) {
        let checked = crate::check::check_loaded(load_texts([("f.yaml", text.as_str())]), "default");
        for diagnostic in &checked.diagnostics {
            prop_assert!(!diagnostic.message.is_empty() && !diagnostic.subject.to_string().is_empty());
            prop_assert!(diagnostic.source.as_ref().is_some_and(|source| source.line <= 1 + u32::try_from(text.lines().count()).unwrap()));
        }
    }
}
