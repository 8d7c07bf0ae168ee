//! Every case of `fixtures/`: what is written, and what comes of it in each namespace.

use super::world::{World, shown};
use std::{collections::BTreeSet, path::Path};

#[test]
fn what_is_written_comes_to_what_is_recorded() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(&folder);
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    assert!(files.len() >= 8, "{files:?}");
    for file in files {
        let mut world = World::new(&std::fs::read_to_string(&file).unwrap());
        let namespaces: BTreeSet<String> = world
            .objects
            .iter()
            .filter_map(|object| {
                object["metadata"]["namespace"]
                    .as_str()
                    .or_else(|| (object["kind"] == "Namespace").then(|| object["metadata"]["name"].as_str())?)
            })
            .map(str::to_owned)
            .collect();
        let mut text = String::new();
        for namespace in namespaces {
            let desired = world.desired(&namespace);
            text += &shown(&desired, &namespace);
            text += "\n";
            world.apply(&namespace, &desired);
        }
        assert!(!text.contains("sk-canary"), "a key's bytes in {}:\n{text}", file.display());
        settings.bind(|| insta::assert_snapshot!(file.file_stem().unwrap().to_string_lossy().as_ref(), text));
    }
}
