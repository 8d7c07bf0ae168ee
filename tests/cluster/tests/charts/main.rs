//! The charts, as Helm itself installs them: sound, strict with typos, and granting the controller what it needs and nothing beside.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test panics where it fails"
)]

mod parts;

use outrigger_cluster::{Cluster, run, run_with_input, shared};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Where the release lives, and two namespaces with applications.
const HOME: &str = "outrigger-system";
const SHOP: &str = "shop";
const OTHER: &str = "other";

fn chart(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../charts").join(name)
}

fn helm(arguments: &[&str], chart_name: &str, more: &[&str]) -> Result<String, String> {
    let mut command = shared().helm();
    command.args(arguments).arg(chart(chart_name)).args(more);
    run(&mut command).map_err(|error| error.to_string())
}

/// The controller's chart in a namespace, with these values.
fn helm_with(set: &str, namespace: &str) -> String {
    helm(&["template", "outrigger"], "outrigger", &["--namespace", namespace, "--set", set]).unwrap()
}

#[test]
fn the_charts_are_sound() {
    for name in ["outrigger-crds", "outrigger"] {
        helm(&["lint", "--strict"], name, &[]).unwrap();
    }
}

#[test]
fn every_value_has_an_effect_and_a_typo_is_refused() {
    let render = |set: &str| helm(&["template", "outrigger"], "outrigger", &["--namespace", HOME, "--set", set]);
    let plain = helm(&["template", "outrigger"], "outrigger", &["--namespace", HOME]).unwrap();
    for (set, shown) in [
        (
            "image.registry=registry.corp/team",
            "image: registry.corp/team/outrigger-controller:",
        ),
        ("image.tag=edge", "image: outrigger-controller:edge"),
        ("image.pullPolicy=Never", "imagePullPolicy: Never"),
        ("imagePullSecrets[0].name=pull", "- name: pull"),
        ("replicas=1", "replicas: 1"),
        ("namespaces={shop,blue}", "- --namespaces=shop,blue"),
        ("allowedCIDRs={10.0.0.0/8}", "- --allowed-cidrs=10.0.0.0/8"),
        ("log.level=debug", "- --log-level=debug"),
        ("resources.requests.cpu=1", "cpu: 1"),
        ("serviceAccount.name=mine", "serviceAccountName: mine"),
        ("serviceAccount.annotations.a=b", "a: b"),
        ("podSecurityContext.runAsUser=1234", "runAsUser: 1234"),
        ("securityContext.runAsGroup=1234", "runAsGroup: 1234"),
        ("podAnnotations.a=b", "a: b"),
        ("podLabels.a=b", "a: b"),
        ("nodeSelector.a=b", "a: b"),
        ("tolerations[0].key=spot", "key: spot"),
        ("affinity.podAffinity.a=b", "podAffinity:"),
        ("priorityClassName=high", "priorityClassName: high"),
    ] {
        assert!(!plain.contains(shown), "{shown} is there without {set}");
        assert!(render(set).unwrap().contains(shown), "{set}");
    }
    let digest = format!("image.digest=sha256:{}", "0".repeat(64));
    assert!(render(&digest).unwrap().contains("image: outrigger-controller@sha256:00"));
    assert!(plain.contains("- --log-json") && !render("log.json=false").unwrap().contains("- --log-json"));
    assert!(
        !render("serviceAccount.create=false")
            .unwrap()
            .contains("kind: ServiceAccount\nmetadata:\n  name: outrigger-controller")
    );
    for typo in [
        "replica=3",
        "image.tga=1",
        "namespaces={Shop}",
        "namespaces=shop",
        "log.level=loud",
        "allowedCIDRs={10.0.0.1}",
        "image.digest=latest",
        "sidecar.runAsUser=0",
        "webhook.url=http://1.2.3.4",
        "webhook.url=https://1.2.3.4/inject",
    ] {
        let refusal = render(typo).unwrap_err();
        assert!(refusal.contains("schema"), "{typo}: {refusal}");
    }
}

#[test]
fn the_sidecar_and_its_webhook_are_as_the_values_say() {
    let render = |set: &str| helm(&["template", "outrigger"], "outrigger", &["--namespace", HOME, "--set", set]);
    let plain = helm(&["template", "outrigger"], "outrigger", &["--namespace", HOME]).unwrap();
    for (set, shown) in [
        ("sidecar.image.repository=other", "- --sidecar-image=other:"),
        ("sidecar.image.tag=edge", "- --sidecar-image=outrigger-proxy:edge"),
        ("sidecar.image.pullPolicy=Never", "- --sidecar-pull-policy=Never"),
        ("sidecar.runAsUser=1234", "- --sidecar-user=1234"),
        ("sidecar.cpu=11m", "- --sidecar-cpu=11m"),
        ("sidecar.memory=33Mi", "- --sidecar-memory=33Mi"),
        ("sidecar.memoryLimit=257Mi", "- --sidecar-memory-limit=257Mi"),
        ("webhook.port=9443", "- --webhook=0.0.0.0:9443"),
        ("webhook.url=https://1.2.3.4:9", "url: https://1.2.3.4:9/inject/namespace"),
        ("webhook.url=https://h.corp:9", "- --webhook-names=h.corp"),
        (
            "webhook.certificateSecret=mine,webhook.caBundle=-----BEGIN CERTIFICATE-----",
            "caBundle: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t",
        ),
        (
            "webhook.certificateSecret=mine,webhook.caBundle=-----BEGIN CERTIFICATE-----",
            "- --webhook-certificate=/etc/outrigger/webhook",
        ),
    ] {
        assert!(!plain.contains(shown), "{shown} is there without {set}");
        assert!(render(set).unwrap().contains(shown), "{set}");
    }
    assert!(plain.contains("- --sidecar-user=5567") && !render("sidecar.runAsUser=null").unwrap().contains("--sidecar-user"));
    let without = render("webhook.enabled=false").unwrap();
    for part in [
        "kind: MutatingWebhookConfiguration",
        "kind: Service\n",
        "--webhook=",
        "[pods]",
        "mutatingwebhookconfigurations",
        "outrigger-webhook",
    ] {
        assert!(plain.contains(part) && !without.contains(part), "{part}");
    }
    for (set, part) in [
        ("webhook.certificateSecret=mine", "needs webhook.caBundle"),
        ("webhook.caBundle=-----BEGIN CERTIFICATE-----", "belongs to"),
    ] {
        assert!(render(set).unwrap_err().contains(part), "{set}");
    }
}

/// Whether the controller's account may do that.
fn may(namespace: &str, verb: &str, what: &str) -> bool {
    let account = format!("--as=system:serviceaccount:{HOME}:outrigger-controller");
    run(shared()
        .kubectl()
        .args(["auth", "can-i", verb, what, "--namespace", namespace, &account]))
    .is_ok_and(|answer| answer.trim() == "yes")
}

fn applied_by_the_controller(cluster: &Cluster, object: &Value) -> Result<String, String> {
    let account = format!("--as=system:serviceaccount:{HOME}:outrigger-controller");
    let mut command = cluster.kubectl();
    command.args(["apply", "--server-side", "--field-manager=outrigger", &account, "-f", "-"]);
    run_with_input(&mut command, &object.to_string()).map_err(|error| error.to_string())
}

/// What the controller needs in a namespace that it works for.
const NEEDED: [(&str, &str); 27] = [
    ("list", "modelroutes.outrigger.dev"),
    ("watch", "modelroutes.outrigger.dev"),
    ("list", "providerkeys.outrigger.dev"),
    ("watch", "providerkeys.outrigger.dev"),
    ("patch", "modelroutes.outrigger.dev/any --subresource=status"),
    ("patch", "providerkeys.outrigger.dev/any --subresource=status"),
    ("get", "secrets/any"),
    ("list", "secrets"),
    ("watch", "secrets"),
    ("get", "configmaps/any"),
    ("list", "configmaps"),
    ("watch", "configmaps"),
    ("create", "secrets/outrigger-keys"),
    ("patch", "secrets/outrigger-keys"),
    ("delete", "secrets/outrigger-keys"),
    ("patch", "configmaps/outrigger-snapshot"),
    ("delete", "configmaps/outrigger-snapshot"),
    ("get", "rolebindings.rbac.authorization.k8s.io/outrigger-sidecar"),
    ("watch", "rolebindings.rbac.authorization.k8s.io/outrigger-sidecar"),
    ("patch", "rolebindings.rbac.authorization.k8s.io/outrigger-sidecar"),
    ("delete", "rolebindings.rbac.authorization.k8s.io/outrigger-sidecar"),
    ("bind", "clusterroles.rbac.authorization.k8s.io/outrigger-sidecar"),
    ("create", "events.events.k8s.io"),
    ("patch", "events.events.k8s.io"),
    ("list", "pods"),
    ("get", "mutatingwebhookconfigurations.admissionregistration.k8s.io/outrigger"),
    ("patch", "mutatingwebhookconfigurations.admissionregistration.k8s.io/outrigger"),
];

/// What it must not be able to do anywhere, whatever is installed.
const FORBIDDEN: [(&str, &str); 25] = [
    ("create", "secrets"),
    ("patch", "secrets/any"),
    ("update", "secrets/any"),
    ("delete", "secrets/any"),
    ("create", "configmaps"),
    ("patch", "configmaps/any"),
    ("delete", "configmaps/any"),
    ("deletecollection", "secrets"),
    ("create", "rolebindings.rbac.authorization.k8s.io"),
    ("list", "rolebindings.rbac.authorization.k8s.io"),
    ("patch", "rolebindings.rbac.authorization.k8s.io/any"),
    ("bind", "clusterroles.rbac.authorization.k8s.io/cluster-admin"),
    ("escalate", "clusterroles.rbac.authorization.k8s.io/outrigger-sidecar"),
    ("patch", "clusterroles.rbac.authorization.k8s.io/outrigger-sidecar"),
    ("patch", "modelroutes.outrigger.dev/any"),
    ("delete", "providerkeys.outrigger.dev/any"),
    ("create", "pods"),
    ("watch", "pods"),
    ("patch", "pods/any"),
    ("patch", "mutatingwebhookconfigurations.admissionregistration.k8s.io/any"),
    ("create", "mutatingwebhookconfigurations.admissionregistration.k8s.io/outrigger"),
    ("delete", "mutatingwebhookconfigurations.admissionregistration.k8s.io/outrigger"),
    ("create", "pods/any --subresource=exec"),
    ("impersonate", "serviceaccounts/any"),
    ("create", "serviceaccounts/any --subresource=token"),
];

fn check(namespace: &str, rows: &[(&str, &str)], expected: bool) {
    for (verb, what) in rows {
        let (what, subresource) = what.split_once(' ').unwrap_or((what, ""));
        let account = format!("--as=system:serviceaccount:{HOME}:outrigger-controller");
        let mut command = shared().kubectl();
        command.args(["auth", "can-i", verb, what, "--namespace", namespace, &account]);
        if !subresource.is_empty() {
            command.arg(subresource);
        }
        let answer = run(&mut command).is_ok_and(|answer| answer.trim() == "yes");
        assert_eq!(answer, expected, "{verb} {what} {subresource} in {namespace}");
    }
}

/// One test, because a release is one thing for the whole cluster: installed, limited to a namespace, removed.
#[test]
fn a_release_grants_what_is_needed_and_leaves_the_definitions_behind() {
    let cluster = shared();
    for name in [HOME, SHOP, OTHER] {
        let labels = json!({"pod-security.kubernetes.io/enforce": "restricted"});
        cluster
            .apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}).to_string())
            .unwrap();
    }
    helm(&["install", "outrigger-crds"], "outrigger-crds", &["--namespace", HOME]).unwrap();
    let notes = helm(&["install", "outrigger"], "outrigger", &["--namespace", HOME]).unwrap();
    assert!(notes.contains("rollout status deployment/outrigger-controller"), "{notes}");

    check(SHOP, &NEEDED, true);
    check(SHOP, &FORBIDDEN, false);
    check(
        HOME,
        &[
            ("get", "leases.coordination.k8s.io/outrigger-controller"),
            ("create", "leases.coordination.k8s.io"),
            ("create", "secrets/outrigger-webhook"),
            ("patch", "secrets/outrigger-webhook"),
        ],
        true,
    );
    check(HOME, &[("patch", "leases.coordination.k8s.io/any")], false);
    check(
        SHOP,
        &[("create", "leases.coordination.k8s.io"), ("patch", "secrets/outrigger-webhook")],
        false,
    );
    what_it_writes(cluster);
    its_pod(cluster);

    helm(
        &["upgrade", "outrigger"],
        "outrigger",
        &["--namespace", HOME, "--set", "namespaces={shop}"],
    )
    .unwrap();
    check(SHOP, &NEEDED, true);
    check(SHOP, &FORBIDDEN, false);
    let (own, of_all): (Vec<_>, Vec<_>) = NEEDED.iter().partition(|(_, what)| !what.starts_with("mutatingwebhook"));
    check(OTHER, &own, false);
    check(OTHER, &of_all, true);
    assert!(may(OTHER, "list", "namespaces"), "labels decide who gets a shared route");

    // What is owned by the sidecar's role goes with it; what people wrote stays.
    run(cluster
        .helm()
        .args(["uninstall", "outrigger", "outrigger-crds", "--namespace", HOME]))
    .unwrap();
    let gone = [
        "wait",
        "--for=delete",
        "--timeout=120s",
        "--namespace",
        SHOP,
        "secret/outrigger-keys",
    ];
    run(cluster.kubectl().args(gone)).unwrap();
    let kept = run(cluster.kubectl().args(["get", "crd", "-o", "name"])).unwrap();
    for plural in ["modelroutes", "providerkeys"] {
        assert!(kept.contains(&format!("{plural}.outrigger.dev")), "{kept}");
    }
}

/// Server-side apply under the three names, and under no other.
fn what_it_writes(cluster: &Cluster) {
    let uid = run(cluster
        .kubectl()
        .args(["get", "clusterrole", "outrigger-sidecar", "-o", "jsonpath={.metadata.uid}"]))
    .unwrap();
    let metadata = |name: &str| {
        let owner = json!([{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "name": "outrigger-sidecar", "uid": uid}]);
        json!({"name": name, "namespace": SHOP, "ownerReferences": owner})
    };
    let secret = |name: &str| json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata(name), "stringData": {"a": "placeholder"}});
    let config_map = |name: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata(name), "data": {"a": "b"}});
    let binding = |name: &str, role: &str| {
        let group = format!("system:serviceaccounts:{SHOP}");
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": metadata(name),
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": group}],
        })
    };
    for object in [
        secret("outrigger-keys"),
        config_map("outrigger-snapshot"),
        binding("outrigger-sidecar", "outrigger-sidecar"),
    ] {
        // Once to create it, once to change nothing.
        for _ in 0..2 {
            applied_by_the_controller(cluster, &object).unwrap();
        }
    }
    for object in [
        secret("any"),
        config_map("any"),
        binding("any", "outrigger-sidecar"),
        binding("outrigger-sidecar", "cluster-admin"),
    ] {
        let refusal = applied_by_the_controller(cluster, &object).unwrap_err();
        assert!(
            refusal.contains("forbidden") || refusal.contains("cannot change roleRef"),
            "{refusal}"
        );
    }
    // A pod's own account, through the binding.
    let pod = |verb: &str, what: &str| {
        let (account, groups) = (
            format!("--as=system:serviceaccount:{SHOP}:default"),
            format!("--as-group=system:serviceaccounts:{SHOP}"),
        );
        let mut command = cluster.kubectl();
        command.args(["auth", "can-i", verb, what, "--namespace", SHOP, &account, &groups]);
        run(&mut command).is_ok_and(|answer| answer.trim() == "yes")
    };
    assert!(pod("watch", "configmaps/outrigger-snapshot"));
    assert!(!pod("get", "secrets/outrigger-keys") && !pod("get", "configmaps/any") && !pod("patch", "configmaps/outrigger-snapshot"));
}

/// Taken where only restricted pods are.
fn its_pod(cluster: &Cluster) {
    let deployment = run(cluster
        .kubectl()
        .args(["get", "deployment", "outrigger-controller", "--namespace", HOME, "-o", "json"]))
    .unwrap();
    let deployment: Value = serde_json::from_str(&deployment).unwrap();
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "controller", "namespace": HOME}});
    pod["spec"] = deployment["spec"]["template"]["spec"].clone();
    let ask = |pod: &Value| run_with_input(cluster.kubectl().args(["create", "--dry-run=server", "-f", "-"]), &pod.to_string());
    ask(&pod).unwrap();
    pod["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = true.into();
    assert!(ask(&pod).unwrap_err().to_string().contains("violates PodSecurity"));
}
