//! The sample bundle of `deploy/samples`, embedded: what the demo runs and a newcomer copies.

/// Every file with its text.
pub const FILES: [(&str, &str); 6] = [
    (
        "deploy/samples/anthropic.yaml",
        include_str!("../../../deploy/samples/anthropic.yaml"),
    ),
    (
        "deploy/samples/assistant.yaml",
        include_str!("../../../deploy/samples/assistant.yaml"),
    ),
    (
        "deploy/samples/embeddings.yaml",
        include_str!("../../../deploy/samples/embeddings.yaml"),
    ),
    ("deploy/samples/mistral.yaml", include_str!("../../../deploy/samples/mistral.yaml")),
    ("deploy/samples/openai.yaml", include_str!("../../../deploy/samples/openai.yaml")),
    ("deploy/samples/triage.yaml", include_str!("../../../deploy/samples/triage.yaml")),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{compile::compile, load::load_texts};
    use std::{collections::BTreeSet, fs, path::Path};

    #[test]
    fn every_file_of_the_folder_is_embedded() {
        let folder = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/samples")).unwrap();
        let files: BTreeSet<String> = folder
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        let embedded: BTreeSet<String> = FILES.map(|(name, _)| name.replace("deploy/samples/", "")).into();
        assert_eq!(files, embedded);
    }

    #[test]
    fn the_samples_lead_wherever_they_are_pointed_without_a_remark() {
        let mut objects = load_texts(FILES).objects;
        objects.redirect(|provider| format!("http://127.0.0.1:4711/{provider}/v1"));
        let compiled = compile(&objects, "default");
        assert_eq!(compiled.diagnostics, []);
        for provider in &compiled.table.providers {
            assert_eq!((provider.origin.host.as_str(), provider.origin.port), ("127.0.0.1", 4711));
            assert_eq!(provider.path, format!("/{}/v1", provider.provider));
        }
    }
}
