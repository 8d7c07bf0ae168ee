//! The application's pod. Its annotation asks for a sidecar; without the webhook it is written down here as the webhook would put it in.

use crate::images::TAG;
use serde_json::{Value, json};

/// Who puts the sidecar into the pod.
pub enum Sidecar {
    /// The manifest has it.
    #[expect(dead_code, reason = "for a cluster without the webhook")]
    Written,
    /// The annotation asks for it.
    Injected,
}

/// The one line to change.
pub const SIDECAR: Sidecar = Sidecar::Injected;

/// A Deployment of one application, for a namespace of restricted pods.
pub fn deployment() -> Value {
    let mut metadata = json!({ "labels": { "app": "app" } });
    let mut container = json!({
        "name": "app",
        "image": format!("outrigger-app:{TAG}"),
        "imagePullPolicy": "Never",
        "securityContext": restricted(65532),
    });
    let mut spec = json!({ "terminationGracePeriodSeconds": 60 });
    match SIDECAR {
        Sidecar::Injected => metadata["annotations"] = json!({ "outrigger.dev/inject": "true" }),
        Sidecar::Written => {
            container["env"] = json!([
                { "name": "OPENAI_BASE_URL", "value": "http://127.0.0.1:5567/v1" },
                { "name": "OPENAI_API_KEY", "value": "sk-outrigger" },
                { "name": "ANTHROPIC_BASE_URL", "value": "http://127.0.0.1:5567" },
                { "name": "ANTHROPIC_API_KEY", "value": "sk-outrigger" },
            ]);
            spec["initContainers"] = json!([sidecar()]);
            spec["volumes"] = volumes();
        }
    }
    spec["containers"] = json!([container]);
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": "app" },
        "spec": {
            "replicas": 1,
            "selector": { "matchLabels": { "app": "app" } },
            "template": { "metadata": metadata, "spec": spec },
        },
    })
}

fn sidecar() -> Value {
    let field = |name: &str, path: &str| json!({ "name": name, "valueFrom": { "fieldRef": { "fieldPath": path } } });
    let probe = |path: &str, period: u32, failures: u32| {
        let get = json!({ "path": path, "port": 5568 });
        json!({ "httpGet": get, "periodSeconds": period, "failureThreshold": failures })
    };
    json!({
        "name": "outrigger",
        "image": format!("outrigger-proxy:{TAG}"),
        "imagePullPolicy": "Never",
        "restartPolicy": "Always",
        "env": [
            field("OUTRIGGER_NAMESPACE", "metadata.namespace"),
            field("OUTRIGGER_POD", "metadata.name"),
            field("OUTRIGGER_POD_UID", "metadata.uid"),
            field("OUTRIGGER_SERVICE_ACCOUNT", "spec.serviceAccountName"),
        ],
        "ports": [{ "name": "outrigger-admin", "containerPort": 5568 }],
        "startupProbe": probe("/startz", 1, 90),
        "readinessProbe": probe("/readyz", 5, 3),
        "resources": { "requests": { "cpu": "10m", "memory": "32Mi" }, "limits": { "memory": "256Mi" } },
        "securityContext": restricted(5567),
        "volumeMounts": [
            { "name": "outrigger-keys", "mountPath": "/etc/outrigger/keys", "readOnly": true },
            { "name": "outrigger-snapshot", "mountPath": "/etc/outrigger/snapshot", "readOnly": true },
            { "name": "outrigger-api", "mountPath": "/var/run/secrets/outrigger", "readOnly": true },
        ],
    })
}

fn volumes() -> Value {
    let roots = json!({ "name": "kube-root-ca.crt", "items": [{ "key": "ca.crt", "path": "ca.crt" }] });
    let api = [
        json!({ "serviceAccountToken": { "path": "token", "expirationSeconds": 3600 } }),
        json!({ "configMap": roots }),
    ];
    json!([
        { "name": "outrigger-keys", "secret": { "secretName": "outrigger-keys" } },
        { "name": "outrigger-snapshot", "configMap": { "name": "outrigger-snapshot", "optional": true } },
        { "name": "outrigger-api", "projected": { "sources": api } },
    ])
}

fn restricted(user: u32) -> Value {
    json!({
        "runAsUser": user,
        "runAsNonRoot": true,
        "allowPrivilegeEscalation": false,
        "readOnlyRootFilesystem": true,
        "capabilities": { "drop": ["ALL"] },
        "seccompProfile": { "type": "RuntimeDefault" },
    })
}
