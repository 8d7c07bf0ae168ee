//! The application's workloads. None of them says more of Outrigger than the annotation that asks for a sidecar.

use crate::images::{PYTHON, name_of};
use serde_json::{Value, json};

/// A Deployment of one application, for a namespace of restricted pods.
pub fn deployment() -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": "app" },
        "spec": {
            "replicas": 1,
            "selector": { "matchLabels": { "app": "app" } },
            "template": {
                "metadata": { "labels": { "app": "app" }, "annotations": { "outrigger.dev/inject": "true" } },
                "spec": { "terminationGracePeriodSeconds": 60, "containers": [container(&[])] },
            },
        },
    })
}

/// A Job whose pod runs a program of the image to its end, once.
pub fn job(name: &str, program: &str, annotations: &Value) -> Value {
    json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": { "name": name },
        "spec": {
            "backoffLimit": 0,
            "template": {
                "metadata": { "annotations": annotations },
                "spec": { "restartPolicy": "Never", "containers": [container(&[program])] },
            },
        },
    })
}

/// The container `app` of the application's image: its own program, or another one.
pub fn container(program: &[&str]) -> Value {
    let mut container = json!({
        "name": "app",
        "image": name_of("outrigger-app"),
        "imagePullPolicy": "Never",
        "securityContext": {
            "runAsUser": 65532,
            "runAsNonRoot": true,
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": { "drop": ["ALL"] },
            "seccompProfile": { "type": "RuntimeDefault" },
        },
    });
    if !program.is_empty() {
        container["command"] = [&[PYTHON], program].concat().into();
    }
    container
}
