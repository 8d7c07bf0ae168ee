//! The RoleBinding by which the sidecars of a namespace watch its snapshot: taken away, and kept away.

use crate::rig::{Controller, Provider, View, cluster, kubectl, manifests, until};
use outrigger_cluster::run;
use serde_json::{Value, json};

const BINDING: &str = "outrigger-sidecar";

#[test]
fn a_removed_role_binding_is_made_again_and_told() {
    let (cluster, namespace) = (cluster(), "unbound");
    let provider = Provider::start();
    let _controller = Controller::start(cluster, &[namespace], "one");
    cluster.apply(&manifests(namespace, &provider, "sk-canary")).unwrap();
    let view = View { cluster, namespace };
    until("it is published", || view.published());
    let binding = || view.object::<Value>("rolebinding", BINDING);
    let first = until("its binding", binding);
    assert!(!view.told("ModelRoute", "RoleBindingRestored"), "a first one was never gone");
    // Nothing else happens in the namespace, and nobody waits for the next round.
    kubectl(cluster, "delete rolebinding outrigger-sidecar -n unbound");
    let second = until("another one", || {
        binding().filter(|found| found["metadata"]["uid"] != first["metadata"]["uid"])
    });
    assert_eq!((&first["subjects"], &first["roleRef"]), (&second["subjects"], &second["roleRef"]));
    until("an Event", || view.told("ModelRoute", "RoleBindingRestored").then_some(()));
    // So is one that lets in others.
    let patch = json!({ "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "somebody" }] }).to_string();
    run(cluster
        .kubectl()
        .args(["patch", "rolebinding", BINDING, "-n", namespace, "--type=merge", "-p", &patch]))
    .unwrap();
    until("it is mended", || binding().filter(|found| found["subjects"] == second["subjects"]));
}

/// The cluster's own policy refuses it, here in this namespace alone.
#[test]
fn what_cannot_be_bound_is_told_with_the_command_and_holds_nothing_else_up() {
    let (cluster, namespace) = (cluster(), "refused");
    let of = |kind: &str, spec: Value| {
        let api = "admissionregistration.k8s.io/v1";
        json!({ "apiVersion": api, "kind": kind, "metadata": { "name": "no-bindings-in-refused" }, "spec": spec })
    };
    let rule = json!({ "apiGroups": ["rbac.authorization.k8s.io"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["rolebindings"] });
    let policy = json!({
        "failurePolicy": "Fail",
        "matchConstraints": {
            "resourceRules": [rule],
            "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": namespace } },
        },
        "validations": [{ "expression": "false", "message": "no bindings here" }],
    });
    let binding = json!({ "policyName": "no-bindings-in-refused", "validationActions": ["Deny"] });
    for object in [
        of("ValidatingAdmissionPolicy", policy),
        of("ValidatingAdmissionPolicyBinding", binding),
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace } }),
    ] {
        cluster.apply(&object.to_string()).unwrap();
    }
    let create = [
        "create",
        "rolebinding",
        "probe",
        "-n",
        namespace,
        "--clusterrole=view",
        "--user=x",
        "--dry-run=server",
    ];
    until("the policy is in force", || run(cluster.kubectl().args(create)).err());

    let provider = Provider::start();
    provider.knows("sk-canary");
    let _controller = Controller::start(cluster, &[namespace], "one");
    cluster.apply(&manifests(namespace, &provider, "sk-canary")).unwrap();
    let view = View { cluster, namespace };
    let (generation, _) = until("it is published all the same", || view.published());
    until("an Event", || view.told("ModelRoute", "NotWritten").then_some(()));
    let words = kubectl(
        cluster,
        "get events -n refused -o jsonpath={.items[?(@.reason==\"NotWritten\")].message}",
    );
    let command = "kubectl create rolebinding outrigger-sidecar --namespace refused --clusterrole=outrigger-sidecar --group=system:serviceaccounts:refused";
    assert!(
        words.contains("RoleBinding of namespace refused") && words.contains(command),
        "{words}"
    );
    let patch = json!({ "spec": { "models": ["triage", "other"] } }).to_string();
    run(cluster
        .kubectl()
        .args(["patch", "modelroute", "triage", "-n", namespace, "--type=merge", "-p", &patch]))
    .unwrap();
    until("an edit", || {
        view.published()
            .filter(|(now, document)| *now > generation && document.table.routes[0].models.len() == 2)
    });
    kubectl(cluster, "delete validatingadmissionpolicybinding no-bindings-in-refused");
    until("it is bound as soon as it may be", || view.object::<Value>("rolebinding", BINDING));
}
