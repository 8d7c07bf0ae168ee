//! The matrix: what pods can be, and what becomes of them.

use super::{IMAGE, ask, asking, configure, create, has_sidecar, in_force, made, namespace, reviewer, second, start, variable};
use crate::rig::{Controller, kubectl, until};
use outrigger_cluster::{Cluster, run};
use serde_json::{Value, json};

const BASE: &str = "http://127.0.0.1:5567/v1";

/// One test, because a configuration of webhooks is one for the whole cluster.
#[test]
fn pods_get_the_sidecar_or_a_sentence() {
    let cluster = start();
    namespace(&cluster, "plain", &json!({}));
    namespace(&cluster, "labelled", &json!({"outrigger.dev/inject": "true"}));
    let restricted = json!({"outrigger.dev/inject": "true", "pod-security.kubernetes.io/enforce": "restricted"});
    namespace(&cluster, "restricted", &restricted);
    let controller = reviewer(&cluster, "one", &[]);
    configure(&cluster, controller.port("webhook"), &[]);
    in_force(&cluster, "plain");

    who_asks(&cluster);
    environments(&cluster);
    refusals(&cluster);
    run_again(&cluster);
    pod_security(&cluster);
    workloads(&cluster);
    in_namespaces_without_routes(&cluster);
    told(&cluster, &controller);
    second::a_container_that_another_webhook_adds_is_not_forgotten(&cluster);

    // Nobody answers: who asked waits, others do not, and it passes when somebody is back.
    controller.stop();
    let refusal = ask(&cluster, "plain", &asking("alone")).unwrap_err();
    assert!(refusal.contains("failed calling webhook \"pods.outrigger.dev\""), "{refusal}");
    let other = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "other"}, "spec": {"containers": [{"name": "app", "image": "app:1"}]}});
    assert!(!has_sidecar(&ask(&cluster, "plain", &other).unwrap().0));
    let back = reviewer(&cluster, "two", &[]);
    configure(&cluster, back.port("webhook"), &[]);
    in_force(&cluster, "plain");
}

fn with(name: &str, annotations: Value, spec: Value) -> Value {
    let mut pod = asking(name);
    pod["metadata"]["annotations"] = annotations;
    let Value::Object(more) = spec else { panic!("{spec}") };
    pod["spec"].as_object_mut().unwrap().extend(more);
    pod
}

fn who_asks(cluster: &Cluster) {
    let none = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "none"}, "spec": {"containers": [{"name": "app", "image": "app:1"}]}});
    let (yes, no) = (json!({"outrigger.dev/inject": "true"}), json!({"outrigger.dev/inject": "false"}));
    for (namespace, pod, expected) in [
        ("plain", none.clone(), false),
        ("labelled", none, true),
        ("plain", with("yes", yes.clone(), json!({})), true),
        ("labelled", with("yes", yes, json!({})), true),
        ("plain", with("no", no.clone(), json!({})), false),
        ("labelled", with("no", no, json!({})), false),
        (
            "labelled",
            with("level", json!({"outrigger.dev/log-level": "debug"}), json!({})),
            true,
        ),
    ] {
        let (made, _) = ask(cluster, namespace, &pod).unwrap();
        assert_eq!(has_sidecar(&made), expected, "in {namespace}: {pod}");
        assert_eq!(
            variable(&made, "app", "OPENAI_BASE_URL").as_deref() == Some(BASE),
            expected,
            "in {namespace}: {pod}"
        );
    }
    let half = with("half", json!({"outrigger.dev/log-level": "debug"}), json!({}));
    let (made, said) = ask(cluster, "plain", &half).unwrap();
    assert!(
        !has_sidecar(&made) && said.contains("add the annotation outrigger.dev/inject"),
        "{said}"
    );
}

fn environments(cluster: &Cluster) {
    let container = |name: &str, more: Value| {
        let mut container = json!({"name": name, "image": "app:1"});
        container.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        container
    };
    let spec = json!({
        "automountServiceAccountToken": false,
        "initContainers": [container("migrate", json!({}))],
        "containers": [
            container("hidden", json!({"envFrom": [{"secretRef": {"name": "everything"}}]})),
            container("foreign", json!({"env": [{"name": "OPENAI_BASE_URL", "value": "https://llm.corp/v1"}]})),
            container("six", json!({"env": [{"name": "OPENAI_BASE_URL", "value": "http://[::1]:5567/v1"}]})),
            container("proxied", json!({"env": [{"name": "HTTPS_PROXY", "value": "http://proxy.corp:3128"}, {"name": "NO_PROXY", "value": ".corp"}]})),
        ],
    });
    let (pod, said) = ask(cluster, "labelled", &with("environments", json!({}), spec)).unwrap();
    assert!(has_sidecar(&pod));
    let value = |container: &str, name: &str| variable(&pod, container, name).unwrap_or_default();
    for container in ["migrate", "hidden", "proxied"] {
        assert_eq!(value(container, "OPENAI_BASE_URL"), BASE, "{container}");
        assert_eq!(value(container, "ANTHROPIC_BASE_URL"), "http://127.0.0.1:5567", "{container}");
        assert_eq!(value(container, "OPENAI_API_KEY"), "sk-outrigger", "{container}");
        assert_eq!(value(container, "ANTHROPIC_API_KEY"), "sk-outrigger", "{container}");
    }
    assert_eq!(
        (value("foreign", "OPENAI_BASE_URL"), value("foreign", "OPENAI_API_KEY")),
        ("https://llm.corp/v1".to_owned(), String::new())
    );
    assert_eq!(
        (value("six", "OPENAI_BASE_URL"), value("six", "OPENAI_API_KEY")),
        ("http://[::1]:5567/v1".to_owned(), "sk-outrigger".to_owned())
    );
    assert_eq!(value("proxied", "NO_PROXY"), ".corp,127.0.0.1,localhost");
    assert!(
        said.contains("container foreign: OPENAI_BASE_URL leads past the sidecar") && !said.contains("container six"),
        "{said}"
    );
    // Although the pod mounts no token, the sidecar has its own, and nobody else has it.
    let mounts = |container: &Value| container["volumeMounts"].as_array().cloned().unwrap_or_default();
    let paths: Vec<Value> = mounts(&pod["spec"]["initContainers"][0])
        .iter()
        .map(|mount| mount["mountPath"].clone())
        .collect();
    assert_eq!(
        paths,
        ["/etc/outrigger/keys", "/etc/outrigger/snapshot", "/var/run/secrets/outrigger"]
    );
    for container in pod["spec"]["containers"].as_array().unwrap() {
        assert!(mounts(container).is_empty(), "{container}");
    }
}

fn refusals(cluster: &Cluster) {
    let yes = json!({"outrigger.dev/inject": "true"});
    for (pod, expected) in [
        (with("a", yes.clone(), json!({"hostNetwork": true})), "remove hostNetwork"),
        (
            with("b", yes.clone(), json!({"shareProcessNamespace": true})),
            "remove shareProcessNamespace",
        ),
        (
            with("c", yes, json!({"containers": [{"name": "outrigger", "image": "mine:1"}]})),
            "a container is called outrigger",
        ),
        (
            with("d", json!({"outrigger.dev/inject": "yes"}), json!({})),
            "write \"true\" or \"false\"",
        ),
        (
            with("e", json!({"outrigger.dev/injct": "true"}), json!({})),
            "did you mean outrigger.dev/inject?",
        ),
        (
            with(
                "f",
                json!({"outrigger.dev/inject": "true", "outrigger.dev/memory": "lots"}),
                json!({}),
            ),
            "write memory as \"256Mi\"",
        ),
    ] {
        let refusal = ask(cluster, "plain", &pod).unwrap_err();
        assert!(
            refusal.contains("denied the request: outrigger: ") && refusal.contains(expected),
            "{refusal}"
        );
    }
    let apart = json!({"shareProcessNamespace": true, "securityContext": {"runAsUser": 1_000}});
    assert!(has_sidecar(&ask(cluster, "labelled", &with("apart", json!({}), apart)).unwrap().0));
}

/// A pod that was copied from a running one, and one with a sidecar that somebody wrote.
fn run_again(cluster: &Cluster) {
    let (mut once, _) = ask(cluster, "plain", &asking("once")).unwrap();
    let metadata = json!({"name": "again", "annotations": {"outrigger.dev/inject": "true"}});
    once["metadata"] = metadata;
    once.as_object_mut().unwrap().remove("status");
    let (again, _) = ask(cluster, "plain", &once).unwrap();
    assert!(has_sidecar(&again));
    assert_eq!(again["spec"]["containers"], once["spec"]["containers"]);
    assert_eq!(
        again["spec"]["volumes"].as_array().unwrap().len(),
        once["spec"]["volumes"].as_array().unwrap().len()
    );
    once["spec"]["initContainers"][0]["image"] = "mine:1".into();
    once["spec"]["initContainers"][0]["command"] = json!(["sh"]);
    let (mended, _) = ask(cluster, "plain", &once).unwrap();
    assert!(has_sidecar(&mended));
    assert!(mended["spec"]["initContainers"][0].get("command").is_none(), "{mended}");
}

fn pod_security(cluster: &Cluster) {
    let fine = json!({
        "runAsNonRoot": true, "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"},
    });
    let pod = |context: &Value| {
        with(
            "p",
            json!({}),
            json!({"containers": [{"name": "app", "image": "app:1", "securityContext": context}]}),
        )
    };
    assert!(has_sidecar(&ask(cluster, "restricted", &pod(&fine)).unwrap().0));
    let refusal = ask(cluster, "restricted", &pod(&json!({}))).unwrap_err();
    assert!(
        refusal.contains("violates PodSecurity") && refusal.contains("\"app\"") && !refusal.contains("\"outrigger\""),
        "{refusal}"
    );
}

/// Pods that the cluster's own controllers make.
fn workloads(cluster: &Cluster) {
    let template = |env: Value| {
        json!({
            "metadata": {"labels": {"app": "worker"}, "annotations": {"outrigger.dev/inject": "true"}},
            "spec": {"restartPolicy": "Never", "containers": [{"name": "app", "image": "app:1", "env": env}]},
        })
    };
    let job = json!({"template": template(json!([]))});
    let mut deployed = template(json!([{"name": "ANTHROPIC_BASE_URL", "value": "https://api.anthropic.com"}]));
    deployed["spec"]["restartPolicy"] = "Always".into();
    for object in [
        json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "job", "namespace": "plain"}, "spec": job}),
        json!({
            "apiVersion": "batch/v1",
            "kind": "CronJob",
            "metadata": {"name": "nightly", "namespace": "plain"},
            "spec": {"schedule": "0 3 * * *", "jobTemplate": {"spec": job}},
        }),
        json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "bypassing", "namespace": "plain"},
            "spec": {"selector": {"matchLabels": {"app": "worker"}}, "template": deployed},
        }),
    ] {
        cluster.apply(&object.to_string()).unwrap();
    }
    kubectl(cluster, "create job tonight --from=cronjob/nightly -n plain");
    for prefix in ["job-", "tonight-", "bypassing-"] {
        let pod = until(prefix, || made(cluster, "plain", prefix));
        assert!(has_sidecar(&pod), "{prefix}");
        assert_eq!(variable(&pod, "app", "OPENAI_BASE_URL").as_deref(), Some(BASE), "{prefix}");
    }
}

/// Its pods wait for a Secret that nobody has asked the controller for but they.
fn in_namespaces_without_routes(cluster: &Cluster) {
    namespace(cluster, "empty", &json!({}));
    let there = || {
        let get = [
            "get",
            "secret/outrigger-keys",
            "configmap/outrigger-snapshot",
            "-n",
            "empty",
            "-o",
            "name",
        ];
        run(cluster.kubectl().args(get)).ok()
    };
    let (_, said) = ask(cluster, "empty", &asking("only-asked")).unwrap();
    assert!(said.contains("no ModelRoute reaches this namespace"), "{said}");
    let secret = ["get", "secrets", "-n", "empty", "-o", "name"];
    assert_eq!(run(cluster.kubectl().args(secret)).unwrap(), "", "a dry run writes nothing");
    create(cluster, "empty", &asking("real"), &[]).unwrap();
    until("what its pods mount", there);
    let data = "get secret outrigger-keys -n empty -o jsonpath={.data}";
    until("the key that its routes will be signed with", || {
        kubectl(cluster, data).contains("mac-key").then_some(())
    });
    // A workload's owner never sees the warning.
    until("an Event", || {
        let words = kubectl(
            cluster,
            "get events -n empty -o jsonpath={.items[?(@.reason==\"NoRoutes\")].message}",
        );
        words.contains("apply a ProviderKey and a ModelRoute here").then_some(())
    });
}

/// Events and metrics.
fn told(cluster: &Cluster, controller: &Controller) {
    let metrics = || controller.page("/metrics");
    until("the Event of the bypass", || {
        let events: Value = serde_json::from_str(&kubectl(cluster, "get events -n plain -o json")).unwrap();
        let all = events["items"].as_array().unwrap().clone();
        all.into_iter()
            .find(|event| event["reason"] == "SidecarBypassed" && event["involvedObject"]["kind"] == "ReplicaSet")
    });
    until("its metric", || {
        metrics()
            .contains("outrigger_bypassed_containers{namespace=\"plain\"} 1\n")
            .then_some(())
    });
    let page = metrics();
    for counted in ["injected", "left", "denied"] {
        assert!(
            page.contains(&format!("outrigger_webhook_reviews_total{{outcome=\"{counted}\"}}")),
            "{page}"
        );
    }
    // One that came while the webhook was not asked.
    kubectl(cluster, "label namespace labelled outrigger.dev/inject-");
    let bare = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "bare"}, "spec": {"containers": [{"name": "app", "image": "app:1"}]}});
    until("a pod without a sidecar", || match create(cluster, "labelled", &bare, &[]) {
        Ok((pod, _)) if has_sidecar(&pod) => {
            kubectl(cluster, "delete pod bare -n labelled --force --grace-period=0");
            None
        }
        made => made.ok(),
    });
    kubectl(cluster, "label namespace labelled outrigger.dev/inject=true");
    until("the watchdog has seen it", || {
        metrics()
            .contains("outrigger_sidecar_problems{namespace=\"labelled\",problem=\"missing\"} 1\n")
            .then_some(())
    });
    // One whose node does not get the sidecar's image, as a kubelet says it.
    create(cluster, "labelled", &asking("unpulled"), &[]).unwrap();
    let waiting = json!({"name": "outrigger", "image": IMAGE, "imageID": "", "ready": false, "restartCount": 0, "state": {"waiting": {"reason": "ImagePullBackOff"}}});
    let status = json!({"status": {"initContainerStatuses": [waiting]}}).to_string();
    let patch = [
        "patch",
        "pod",
        "unpulled",
        "-n",
        "labelled",
        "--subresource=status",
        "--type=merge",
        "-p",
        &status,
    ];
    run(cluster.kubectl().args(patch)).unwrap();
    until("it is counted", || {
        metrics()
            .contains("outrigger_sidecar_problems{namespace=\"labelled\",problem=\"image\"} 1\n")
            .then_some(())
    });
    until("their Events", || {
        let reasons = kubectl(cluster, "get events -n labelled -o jsonpath={.items[*].reason}");
        (reasons.contains("SidecarMissing") && reasons.contains("SidecarImage")).then_some(())
    });
}
