//! A key that somebody in the application's container looks for with all that a container has. It must be in no place that they can see, and
//! the same search must find what was put there for it.

use crate::{
    pod,
    rig::{Rig, SHOP},
};
use serde_json::{Value, json};
use std::{collections::BTreeSet, fmt::Write as _};

/// What is there to be found.
const PLANTED: &str = "sk-planted-where-it-may-be-found";

/// See the file; `key` is the one that calls of this namespace go out with.
pub fn a_key_is_nowhere_in_the_applications_container(rig: &Rig, key: &str) {
    let access = |name: &str| json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name });
    let everybody = format!("system:serviceaccounts:{SHOP}");
    rig.apply(
        SHOP,
        &[
            json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "planted" }, "data": { "value": PLANTED } }),
            json!({
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "Role",
                "metadata": { "name": "planted" },
                "rules": [{ "apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["planted"], "verbs": ["get"] }],
            }),
            json!({
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "RoleBinding",
                "metadata": { "name": "planted" },
                "roleRef": access("planted"),
                "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": everybody }],
            }),
            search("alone", key, false),
            // Its processes see the sidecar's; the injector has let that pass because their users differ.
            search("together", key, true),
        ],
    );
    for (name, together) in [("alone", false), ("together", true)] {
        let lines = ended(rig, name);
        let found = |needle: &str| -> BTreeSet<&str> {
            let lines = lines.iter().filter(|line| line["needle"] == needle);
            lines.map(|line| line["where"].as_str().unwrap()).collect()
        };
        assert_eq!(found("canary"), BTreeSet::new(), "{name}: the key is to be seen");
        let planted = found("planted");
        for place in [
            "file /planted/value",
            "environ of python",
            "memory of python",
            "api GET /configmaps/planted",
        ] {
            assert!(planted.contains(place), "{name}: {place} was not looked at: {planted:?}");
        }
        looked(lines.last().unwrap(), together);
    }
    let received = rig.keys_seen("quick");
    assert!(
        received.iter().any(|seen| seen == key),
        "the provider has never got it: {received:?}"
    );
}

/// That the search has been everywhere, and was turned away where it had to be.
fn looked(summary: &Value, together: bool) {
    assert_eq!(summary["end"], true, "{summary}");
    assert!(
        summary["files"].as_u64().unwrap() > 1_000 && summary["memory"].as_u64().unwrap() > 10,
        "{summary}"
    );
    let processes = summary["processes"].as_array().unwrap();
    assert_eq!(processes.iter().any(|name| name == "outrigger-proxy"), together, "{processes:?}");
    let closed = summary["closed"].as_array().unwrap();
    for kind in ["environ", "memory", "root", "fd"] {
        let kept = closed.iter().any(|each| *each == format!("outrigger-proxy {kind}"));
        assert_eq!(kept, together, "{kind}: {closed:?}");
    }
    // Of the sidecar's pages those are open that a cluster needs.
    let pages = &summary["pages"];
    assert_eq!(
        (&pages["/metrics"], &pages["/config"], &pages["/requests"]),
        (&json!(200), &json!(404), &json!(404))
    );
    let own = [
        "GET /configmaps/outrigger-snapshot",
        "GET /configmaps/planted",
        "POST /apis/authorization.k8s.io/v1/selfsubjectrulesreviews",
    ];
    let answers = summary["api"].as_object().unwrap();
    assert!(answers.len() > 20, "{answers:?}");
    for (asked, status) in answers {
        let granted = status.as_u64().unwrap() < 300;
        assert_eq!(granted, own.contains(&asked.as_str()), "{asked}: {status}");
    }
}

fn search(name: &str, key: &str, together: bool) -> Value {
    let mut pod = pod::container(&["/search.py"]);
    pod["env"] = json!([
        { "name": "CANARY_MASKED", "value": masked(key) },
        { "name": "PLANTED_MASKED", "value": masked(PLANTED) },
        { "name": "PLANTED", "value": PLANTED },
    ]);
    pod["volumeMounts"] = json!([{ "name": "planted", "mountPath": "/planted" }]);
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": name, "annotations": { "outrigger.dev/inject": "true" } },
        "spec": {
            "restartPolicy": "Never",
            "shareProcessNamespace": together,
            "containers": [pod],
            "volumes": [{ "name": "planted", "configMap": { "name": "planted" } }],
        },
    })
}

/// As the search reads it.
fn masked(text: &str) -> String {
    text.bytes().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{:02x}", byte ^ 0x5a);
        hex
    })
}

/// What a search has said, once its pod has ended.
fn ended(rig: &Rig, name: &str) -> Vec<Value> {
    rig.until(&format!("the search {name} ends"), |rig| {
        let phase = rig.kubectl(&format!("get pod {name} -n {SHOP} -o jsonpath={{.status.phase}}"));
        assert_ne!(phase, "Failed", "{}", rig.kubectl(&format!("logs {name} -n {SHOP} -c app")));
        (phase == "Succeeded").then_some(())
    });
    let said = rig.kubectl(&format!("logs {name} -n {SHOP} -c app"));
    said.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
