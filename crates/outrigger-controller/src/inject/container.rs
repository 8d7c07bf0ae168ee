//! The sidecar's container and volumes. Its flags are variables that `outrigger-proxy` knows; the key bytes are in a mount of its own, and no
//! other container may have that mount.

use super::{ADMIN_PORT, SidecarSettings, annotations::Wishes};
use outrigger_snapshot::{CONFIG_MAP_NAME, SECRET_NAME};
use serde_json::{Map, Value, json};

/// The container's name.
pub(crate) const CONTAINER: &str = "outrigger";

const KEYS: &str = "outrigger-keys";
const SNAPSHOT: &str = "outrigger-snapshot";
const API: &str = "outrigger-api";
/// The names of its volumes.
pub(super) const VOLUMES: [&str; 3] = [KEYS, SNAPSHOT, API];

/// Beyond the time that the application waits for a snapshot, for the start itself, seconds.
const START_S: u64 = 60;

/// The container: a native sidecar, which starts before the application and ends after it.
pub(super) fn sidecar(wishes: &Wishes, settings: &SidecarSettings) -> Value {
    let field = |name: &str, path: &str| json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}});
    let value = |name: &str, value: String| json!({"name": name, "value": value});
    let mount = |name: &str, path: &str| json!({"name": name, "mountPath": path, "readOnly": true});
    let probe = |path: &str, period: u64, failures: u64| json!({"httpGet": {"path": path, "port": ADMIN_PORT}, "periodSeconds": period, "failureThreshold": failures});
    let hold_ms = wishes.hold.as_millis();
    json!({
        "name": CONTAINER,
        "image": settings.image,
        "imagePullPolicy": settings.pull_policy,
        "restartPolicy": "Always",
        "env": [
            field("OUTRIGGER_NAMESPACE", "metadata.namespace"),
            field("OUTRIGGER_POD", "metadata.name"),
            field("OUTRIGGER_POD_UID", "metadata.uid"),
            field("OUTRIGGER_SERVICE_ACCOUNT", "spec.serviceAccountName"),
            value("OUTRIGGER_LISTEN", format!("127.0.0.1:{}", wishes.port)),
            value("OUTRIGGER_HOLD_APPLICATION", if hold_ms.is_multiple_of(1_000) { format!("{}s", hold_ms / 1_000) } else { format!("{hold_ms}ms") }),
            value("OUTRIGGER_LOG_LEVEL", wishes.log_level.clone()),
        ],
        "ports": [{"name": "outrigger-admin", "containerPort": ADMIN_PORT, "protocol": "TCP"}],
        "startupProbe": probe("/startz", 1, wishes.hold.as_secs() + START_S),
        "readinessProbe": probe("/readyz", 5, 3),
        "resources": resources(wishes, settings),
        "securityContext": security(settings),
        "volumeMounts": [
            mount(KEYS, "/etc/outrigger/keys"),
            mount(SNAPSHOT, "/etc/outrigger/snapshot"),
            mount(API, "/var/run/secrets/outrigger"),
        ],
    })
}

/// No limit of CPU: it would be felt as latency. An annotation sets what is asked for; of memory also what may be taken.
fn resources(wishes: &Wishes, settings: &SidecarSettings) -> Value {
    let cpu = wishes.cpu.as_ref().unwrap_or(&settings.cpu);
    let memory = wishes.memory.as_ref().unwrap_or(&settings.memory);
    let limit = wishes.memory.as_ref().unwrap_or(&settings.memory_limit);
    json!({"requests": {"cpu": cpu, "memory": memory}, "limits": {"memory": limit}})
}

/// Restricted Pod Security, said in the container itself: what the pod says is the application's.
fn security(settings: &SidecarSettings) -> Value {
    let mut context = Map::from_iter([
        ("runAsNonRoot".to_owned(), true.into()),
        ("allowPrivilegeEscalation".to_owned(), false.into()),
        ("readOnlyRootFilesystem".to_owned(), true.into()),
        ("capabilities".to_owned(), json!({"drop": ["ALL"]})),
        ("seccompProfile".to_owned(), json!({"type": "RuntimeDefault"})),
    ]);
    if let Some(user) = settings.user {
        context.insert("runAsUser".to_owned(), user.into());
    }
    context.into()
}

/// What it mounts. The keys are waited for, the snapshot is not: it also comes by the watch. The token is the sidecar's own, so that it is there
/// although the pod mounts none.
pub(super) fn volumes() -> [Value; 3] {
    [
        json!({"name": KEYS, "secret": {"secretName": SECRET_NAME, "optional": false}}),
        json!({"name": SNAPSHOT, "configMap": {"name": CONFIG_MAP_NAME, "optional": true}}),
        json!({"name": API, "projected": {"sources": [
            {"serviceAccountToken": {"path": "token", "expirationSeconds": 3_600}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
        ]}}),
    ]
}
