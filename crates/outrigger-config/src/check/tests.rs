use super::*;
use crate::compile::compile;
use std::{fmt::Write, path::Path};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/bad")
}

/// What is said of one file: by the loader, then for each namespace by the compile step, and what is left to serve.
fn findings(file: &Path) -> String {
    let name = file.file_name().unwrap().to_string_lossy();
    let loaded = crate::load::load_texts([(&*name, std::fs::read_to_string(file).unwrap().as_str())]);
    let mut text = String::new();
    for diagnostic in &loaded.diagnostics {
        writeln!(text, "{diagnostic}\n").unwrap();
    }
    for namespace in loaded.objects.namespaces_in_use("default") {
        let compiled = compile(&loaded.objects, &namespace);
        writeln!(text, "== namespace {namespace} ==\n").unwrap();
        for diagnostic in &compiled.diagnostics {
            writeln!(text, "{diagnostic}\n").unwrap();
        }
        for provider in &compiled.table.providers {
            writeln!(text, "key {} with {} ring keys", provider.label, provider.ring.len()).unwrap();
        }
        for route in &compiled.table.routes {
            let models = route
                .models
                .iter()
                .map(|model| format!("{}{}", model.name, if model.prefix { "*" } else { "" }))
                .collect::<Vec<_>>();
            let candidates: usize = route.rules.iter().map(|rule| rule.candidates.len()).sum();
            writeln!(text, "route {} serves {} with {candidates} targets", route.name, models.join(", ")).unwrap();
        }
        text += "\n";
    }
    text
}

#[test]
fn what_is_said_of_bad_input() {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(fixtures());
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        let mut files: Vec<_> = std::fs::read_dir(fixtures()).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.retain(|file| file.extension().is_some_and(|ext| ext == "yaml"));
        files.sort();
        assert!(files.len() > 12);
        for file in files {
            let text = findings(&file);
            // Whatever a Secret holds stays out of every sentence.
            assert!(!text.contains("canary"), "{text}");
            insta::assert_snapshot!(file.file_stem().unwrap().to_string_lossy().as_ref(), text);
        }
    });
}

fn checked(text: &str) -> Checked {
    check_loaded(crate::load::load_texts([("f.yaml", text)]), "default")
}

const KEY: &str = "apiVersion: outrigger.dev/v1alpha1\nkind: ProviderKey\nmetadata: { name: openai }\nspec:\n  provider: openai\n  \
                   keys: [{ name: a, secretRef: { name: elsewhere, key: a } }]\n";

#[test]
fn the_samples_are_sound() {
    let checked = check(&[Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/samples")], "default");
    assert_eq!(checked.diagnostics, []);
    assert_eq!((checked.routes, checked.keys, checked.exit_code()), (3, 3, 0));
    assert_eq!(
        checked.to_string(),
        "3 ModelRoutes, 3 ProviderKeys: 0 errors, 0 warnings, 0 notes\n"
    );
}

#[test]
fn the_exit_code_tells_sound_from_broken_from_nothing() {
    for (text, code) in [
        (KEY, 0),
        (&KEY.replace("openai\n", "opnai\n"), 1),
        (&KEY.replace("provider: openai", "providr: openai"), 1),
        ("", 2),
        ("apiVersion: v1\nkind: Secret\nmetadata: { name: s }\n", 2),
    ] {
        assert_eq!(checked(text).exit_code(), code, "{text}");
    }
    assert_eq!(check(&[PathBuf::from("/nowhere/at/all")], "default").exit_code(), 2);
}

#[test]
fn a_secret_that_is_not_among_the_files_is_taken_on_trust() {
    let foreign = KEY.replace(
        "provider: openai\n",
        "provider: openai\n  endpoint: { baseURL: 'https://llm.corp/v1' }\n",
    );
    for text in [KEY, &foreign] {
        let checked = checked(text);
        assert_eq!(checked.exit_code(), 0);
        assert_eq!(checked.diagnostics.len(), 1, "{checked}");
        assert_eq!(checked.diagnostics[0].severity, Severity::Note);
        assert!(checked.diagnostics[0].message.contains("`default/elsewhere`"));
    }
}

#[test]
fn a_host_that_a_secret_does_not_allow_is_an_error_as_in_a_cluster() {
    let text = KEY.replace(
        "provider: openai\n",
        "provider: openai\n  endpoint: { baseURL: 'https://llm.corp/v1' }\n",
    );
    let secret = "---\napiVersion: v1\nkind: Secret\nmetadata: { name: elsewhere ANNOTATED }\nstringData: { a: placeholder }\n";
    let silent = checked(&(text.clone() + &secret.replace("ANNOTATED", "")));
    assert_eq!(silent.exit_code(), 1, "{silent}");
    assert_eq!(silent.diagnostics[0].reason, Reason::SecretNotOptedIn);
    let consent = ", annotations: { outrigger.dev/origins: 'https://llm.corp' }";
    let consenting = checked(&(text + &secret.replace("ANNOTATED", consent)));
    assert_eq!(consenting.diagnostics, [], "{consenting}");
}

#[test]
fn every_namespace_is_checked() {
    let route = |namespace: &str| {
        format!(
            "---\napiVersion: outrigger.dev/v1alpha1\nkind: ModelRoute\nmetadata: {{ name: r, namespace: {namespace} }}\n\
             spec: {{ models: [m], rules: [{{ name: a, targets: [{{ keyRef: {{ name: absent }} }}] }}] }}\n"
        )
    };
    let checked = checked(&(route("one") + &route("two")));
    for namespace in ["one", "two"] {
        let wanted = format!("there is no ProviderKey `{namespace}/absent`");
        assert!(
            checked.diagnostics.iter().any(|diagnostic| diagnostic.message == wanted),
            "{checked}"
        );
    }
}
