//! A cluster in memory: objects as YAML, an API server that takes whatever is desired, a clock that moves by hand.

use super::super::{Desired, HeldSecret, Inputs, JOURNAL, Journal, Question, SecretData, Unreadable, desired_state, held};
use crate::{
    gather::{config_map_object, secret_object},
    rotation::Finding,
};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use kube::{ResourceExt, core::DeserializeGuard};
use outrigger_config::{
    objects::{NamespaceObject, Objects, Rejected},
    v1alpha1::{ModelRoute, ProviderKey},
};
use outrigger_snapshot::{Document, KeyRing, MacKey, Sealed};
use serde_json::Value;
use std::{collections::BTreeMap, fmt::Write};

/// 2026-01-01T00:00:00Z
pub(super) const START: u64 = 1_767_225_600_000;
pub(super) const MINUTE: u64 = 60_000;

#[derive(Clone, Default)]
pub(super) struct World {
    pub(super) objects: Vec<Value>,
    pub(super) now: u64,
    pub(super) findings: BTreeMap<Question, Finding>,
    pub(super) config_maps: BTreeMap<String, BTreeMap<String, String>>,
    pub(super) secrets: BTreeMap<String, (SecretData, String)>,
    /// Pods have asked for them.
    pub(super) requested: bool,
}

impl World {
    pub(super) fn new(yaml: &str) -> Self {
        let mut world = Self {
            now: START,
            ..Self::default()
        };
        world.add(yaml);
        world
    }

    /// Objects with what an API server adds. They are made a second apart, in the order that they are written.
    pub(super) fn add(&mut self, yaml: &str) {
        for mut object in serde_saphyr::from_multiple::<Value>(yaml).unwrap() {
            let age = self.objects.len();
            let meta = object["metadata"].as_object_mut().unwrap();
            let second = format!(
                "2025-12-{:02}T{:02}:{:02}:{:02}Z",
                1 + age / 86_400,
                age / 3_600 % 24,
                age / 60 % 60,
                age % 60
            );
            meta.entry("creationTimestamp").or_insert(second.into());
            let uid = format!("uid-{}", meta["name"].as_str().unwrap());
            meta.entry("uid").or_insert(uid.into());
            meta.entry("generation").or_insert(1.into());
            if let Some(texts) = object.as_object_mut().unwrap().remove("stringData") {
                let texts: BTreeMap<String, String> = serde_json::from_value(texts).unwrap();
                let bytes = texts
                    .into_iter()
                    .map(|(name, text)| (name, k8s_openapi::ByteString(text.into_bytes())));
                object["data"] = serde_json::to_value(bytes.collect::<BTreeMap<_, _>>()).unwrap();
            }
            self.objects.push(object);
        }
    }

    pub(super) fn find(&mut self, kind: &str, name: &str) -> &mut Value {
        let found = self
            .objects
            .iter_mut()
            .find(|object| object["kind"] == kind && object["metadata"]["name"] == name);
        found.unwrap()
    }

    /// Changes one object, as an edit of its spec does.
    pub(super) fn edit(&mut self, kind: &str, name: &str, edit: impl FnOnce(&mut Value)) {
        let object = self.find(kind, name);
        edit(object);
        let generation = object["metadata"]["generation"].as_i64().unwrap();
        object["metadata"]["generation"] = (generation + 1).into();
    }

    pub(super) fn remove(&mut self, kind: &str, name: &str) {
        self.objects
            .retain(|object| object["kind"] != kind || object["metadata"]["name"] != name);
    }

    /// Stores other bytes.
    pub(super) fn store(&mut self, secret: &str, entry: &str, bytes: &str) {
        let bytes = k8s_openapi::ByteString(bytes.as_bytes().to_vec());
        self.find("Secret", secret)["data"][entry] = serde_json::to_value(bytes).unwrap();
    }

    fn of<T: serde::de::DeserializeOwned>(&self, kind: &str) -> Vec<T> {
        let all = self.objects.iter().filter(|object| object["kind"] == kind);
        all.map(|object| serde_json::from_value(object.clone()).unwrap()).collect()
    }

    pub(super) fn inputs(&self, namespace: &str) -> Inputs {
        let routes: Vec<DeserializeGuard<ModelRoute>> = self.of("ModelRoute");
        let keys: Vec<DeserializeGuard<ProviderKey>> = self.of("ProviderKey");
        let status = |kind: &str, name: &str| {
            let found = self
                .objects
                .iter()
                .find(|object| object["kind"] == kind && object["metadata"]["name"] == name);
            let conditions = found.and_then(|object| object.pointer("/status/conditions").cloned());
            conditions
                .map(|conditions| serde_json::from_value(conditions).unwrap())
                .unwrap_or_default()
        };
        let bad_routes = routes.iter().filter_map(|route| Some(("ModelRoute", route.0.as_ref().err()?)));
        let bad_keys = keys.iter().filter_map(|key| Some(("ProviderKey", key.0.as_ref().err()?)));
        let unreadable = bad_routes.chain(bad_keys).map(|(kind, bad)| Unreadable {
            kind,
            metadata: bad.metadata.clone(),
            error: bad.error.clone(),
            conditions: status(kind, bad.metadata.name.as_deref().unwrap()),
        });
        let rejected = keys.iter().filter(|key| key.0.is_err()).map(|key| Rejected {
            kind: "ProviderKey",
            namespace: key.namespace(),
            name: key.name_any(),
        });
        let others = self.secrets.iter().filter(|(other, _)| *other != namespace);
        Inputs {
            namespace: namespace.to_owned(),
            now: self.now,
            unreadable: unreadable.collect(),
            terminating: false,
            secret: self.secrets.get(namespace).map(|(data, journal)| HeldSecret {
                data: data.clone(),
                journal: Some(journal.clone()),
                requested: self.requested,
            }),
            published: self.config_maps.get(namespace).cloned(),
            findings: self.findings.clone(),
            elsewhere: others.map(|(_, (_, journal))| Journal::from_annotation(Some(journal))).collect(),
            objects: Objects {
                rejected: rejected.collect(),
                routes: routes.into_iter().filter_map(|route| Some(route.0.ok()?.into())).collect(),
                keys: keys.into_iter().filter_map(|key| Some(key.0.ok()?.into())).collect(),
                secrets: self.of::<Secret>("Secret").iter().map(|each| secret_object(each).into()).collect(),
                config_maps: self
                    .of::<ConfigMap>("ConfigMap")
                    .iter()
                    .map(|each| config_map_object(each).into())
                    .collect(),
                namespaces: self
                    .of::<Namespace>("Namespace")
                    .iter()
                    .map(|each| namespace_object(each).into())
                    .collect(),
            },
            fresh_mac: [7; 32],
        }
    }

    pub(super) fn desired(&self, namespace: &str) -> Desired {
        desired_state(&self.inputs(namespace))
    }

    /// Does what an API server and a controller do with it.
    pub(super) fn apply(&mut self, namespace: &str, desired: &Desired) {
        if let Some(publication) = &desired.publication {
            self.config_maps.insert(namespace.to_owned(), publication.config_map.clone());
            let secret = (publication.secret.clone(), publication.journal.clone());
            self.secrets.insert(namespace.to_owned(), secret);
        } else {
            self.config_maps.remove(namespace);
            self.secrets.remove(namespace);
        }
        for report in &desired.reports {
            let Some(status) = &report.status else { continue };
            let object = self.find(report.kind, &report.name);
            let was = object["status"].as_object().cloned().unwrap_or_default();
            let mut is = was;
            for (field, value) in status.as_object().unwrap() {
                if value.is_null() {
                    is.remove(field)
                } else {
                    is.insert(field.clone(), value.clone())
                };
            }
            object["status"] = is.into();
        }
    }

    /// Turns until nothing is left to do at once.
    pub(super) fn settle(&mut self, namespace: &str) -> Desired {
        for _ in 0..5 {
            let desired = self.desired(namespace);
            self.apply(namespace, &desired);
            if desired.again.is_none_or(|again| again > self.now) {
                return desired;
            }
        }
        panic!("it does not settle");
    }

    /// What every provider says of `version`.
    pub(super) fn says(&mut self, question: &Question, finding: Finding) {
        self.findings.insert(question.clone(), finding);
    }

    /// What is published, as a sidecar reads it.
    pub(super) fn document(&self, namespace: &str) -> Document {
        let (data, _) = &self.secrets[namespace];
        let ring = KeyRing::parse(data.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())));
        assert_eq!(ring.broken, 0);
        let sealed = Sealed::from_data(&self.config_maps[namespace]).unwrap();
        outrigger_snapshot::open(&sealed, namespace, &ring.mac.unwrap()).unwrap()
    }

    pub(super) fn generation(&self, namespace: &str) -> u64 {
        Sealed::from_data(&self.config_maps[namespace]).unwrap().generation
    }

    pub(super) fn mac(&self, namespace: &str) -> MacKey {
        MacKey::from_bytes(&self.secrets[namespace].0[outrigger_snapshot::MAC_ENTRY]).unwrap()
    }

    /// Version and state of a key's references.
    pub(super) fn states(&self, namespace: &str, id: &str) -> Vec<(String, String)> {
        let keys = self.document(namespace).keys.into_iter().filter(|key| key.id == id);
        keys.map(|key| (key.version, format!("{:?}", key.state))).collect()
    }

    /// Status, reason of one condition.
    pub(super) fn condition(&mut self, kind: &str, name: &str, condition: &str) -> (String, String) {
        let object = self.find(kind, name);
        let all = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let found = all.iter().find(|each| each["type"] == condition);
        let part = |field: &str| found.map(|found| found[field].as_str().unwrap().to_owned()).unwrap_or_default();
        (part("status"), part("reason"))
    }
}

fn namespace_object(namespace: &Namespace) -> NamespaceObject {
    NamespaceObject {
        name: namespace.name_any(),
        labels: namespace.labels().clone(),
    }
}

/// A desired state in words, without a key's bytes.
pub(super) fn shown(desired: &Desired, namespace: &str) -> String {
    let mut text = format!("namespace: {namespace}\n");
    match &desired.publication {
        None => text += "published: nothing\n",
        Some(publication) => {
            let ring = KeyRing::parse(publication.secret.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())));
            let sealed = Sealed::from_data(&publication.config_map).unwrap();
            let document = outrigger_snapshot::open(&sealed, namespace, ring.mac.as_ref().unwrap()).unwrap();
            writeln!(text, "published:\n  routes:").unwrap();
            for route in &document.table.routes {
                let models: Vec<String> = route
                    .models
                    .iter()
                    .map(|model| format!("{}{}", model.name, if model.prefix { "*" } else { "" }))
                    .collect();
                writeln!(text, "    {}/{}: [{}]", route.namespace, route.name, models.join(", ")).unwrap();
                for rule in &route.rules {
                    let targets = rule
                        .candidates
                        .iter()
                        .map(|candidate| document.table.targets[candidate.target].label.clone());
                    writeln!(text, "      {}: [{}]", rule.name, targets.collect::<Vec<_>>().join(", ")).unwrap();
                }
            }
            writeln!(text, "  keys:").unwrap();
            for key in &document.keys {
                writeln!(text, "    {} {}: {:?}", key.id, key.version, key.state).unwrap();
            }
            writeln!(text, "  secret:").unwrap();
            for (name, entry) in &ring.entries {
                let origin = held::written(&entry.origin);
                writeln!(
                    text,
                    "    {name}: {origin}{}",
                    if entry.ca_digest.is_some() { " with its own CA" } else { "" }
                )
                .unwrap();
            }
            let journal = Journal::from_annotation(Some(&publication.journal));
            writeln!(text, "  {JOURNAL}: {} keys", journal.0.len()).unwrap();
        }
    }
    let asked: Vec<String> = desired
        .requests
        .iter()
        .map(|request| format!("{} {}", request.question.id, request.question.version))
        .collect();
    writeln!(text, "to ask: [{}]", asked.join(", ")).unwrap();
    for report in &desired.reports {
        writeln!(text, "{} {}:", report.kind, report.name).unwrap();
        let status = report.status.clone().unwrap_or_default();
        for condition in status["conditions"].as_array().into_iter().flatten() {
            let part = |field: &str| condition[field].as_str().unwrap().to_owned();
            writeln!(text, "  {}: {} {}", part("type"), part("status"), part("reason")).unwrap();
            part("message").lines().for_each(|line| writeln!(text, "    {line}").unwrap());
        }
        for row in status["keys"].as_array().into_iter().flatten() {
            writeln!(
                text,
                "  key {}: {} {}",
                row["name"].as_str().unwrap(),
                row["version"].as_str().unwrap(),
                row["state"].as_str().unwrap()
            )
            .unwrap();
        }
        for target in status["targets"].as_array().into_iter().flatten() {
            writeln!(
                text,
                "  target {}: {}",
                target["rule"].as_str().unwrap(),
                target["target"].as_str().unwrap()
            )
            .unwrap();
        }
        let told: Vec<&str> = report.told.iter().map(|told| told.reason.as_str()).collect();
        writeln!(text, "  events: [{}]", told.join(", ")).unwrap();
    }
    text
}
