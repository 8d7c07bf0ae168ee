//! Pods in, pods out; refusals; and that a second run changes nothing.

use super::*;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use proptest::prelude::*;
use std::path::Path;

const QUIET: Facts = Facts {
    labelled: true,
    routes: true,
};

fn settings() -> SidecarSettings {
    SidecarSettings {
        image: "registry.test/outrigger-proxy:1".to_owned(),
        pull_policy: "IfNotPresent".to_owned(),
        user: Some(5_567),
        cpu: "10m".to_owned(),
        memory: "32Mi".to_owned(),
        memory_limit: "256Mi".to_owned(),
    }
}

fn review(pod: &Value) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {"uid": "u-1", "kind": {"group": "", "version": "v1", "kind": "Pod"}, "namespace": "shop", "operation": "CREATE", "object": pod},
    })
}

fn ask_with(pod: &Value, entry: Entry, facts: Facts) -> Answer {
    answer(&review(pod), entry, &settings(), |namespace| {
        assert_eq!(namespace, "shop");
        facts
    })
    .unwrap()
}

fn ask(pod: &Value) -> Answer {
    ask_with(pod, Entry::Namespace, QUIET)
}

/// The pod as an API server has it after the answer.
fn patched(pod: &Value, answer: &Answer) -> Value {
    let mut pod = pod.clone();
    let response = &answer.review["response"];
    assert_eq!(
        (&response["uid"], &response["allowed"]),
        (&"u-1".into(), &true.into()),
        "{response}"
    );
    let Some(patch) = response["patch"].as_str() else { return pod };
    assert_eq!(response["patchType"], "JSONPatch");
    let operations: Vec<Value> = serde_json::from_slice(&STANDARD.decode(patch).unwrap()).unwrap();
    for operation in operations {
        assert_eq!(operation["op"], "add");
        let field = operation["path"].as_str().unwrap().strip_prefix("/spec/").unwrap().to_owned();
        pod["spec"][field] = operation["value"].clone();
    }
    pod
}

fn refusal(pod: &Value) -> String {
    let answer = ask(pod);
    let response = &answer.review["response"];
    assert_eq!((&response["allowed"], answer.injected), (&false.into(), false), "{response}");
    response["status"]["message"].as_str().unwrap().to_owned()
}

fn pod(spec: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec})
}

#[test]
fn pods_come_out_as_recorded() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/inject");
    let mut insta = insta::Settings::clone_current();
    insta.set_snapshot_path(&folder);
    insta.set_prepend_module_to_snapshot(false);
    insta.set_omit_expression(true);
    let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    assert_eq!(files.len(), 5, "{files:?}");
    for file in files {
        let pod: Value = serde_saphyr::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        let answer = ask(&pod);
        let once = patched(&pod, &answer);
        let shown = json!({
            "warnings": answer.review["response"]["warnings"],
            "event about": answer.subject,
            "pod": once,
        });
        let text = serde_json::to_string_pretty(&shown).unwrap();
        insta.bind(|| insta::assert_snapshot!(file.file_stem().unwrap().to_string_lossy().as_ref(), text));
        let again = ask(&once);
        assert!(
            again.review["response"].get("patch").is_none(),
            "a second run changes {}",
            file.display()
        );
        assert_eq!(again.bypassed, answer.bypassed);
    }
}

#[test]
fn what_would_share_the_keys_or_the_port_is_refused_with_what_to_do() {
    let app = json!({"name": "app", "image": "app:1"});
    let with = |more: Value| {
        let mut container = app.clone();
        container.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        container
    };
    for (spec, expected) in [
        (
            json!({"hostNetwork": true, "containers": [app]}),
            "hostNetwork: every process of the node could use the sidecar's port and so its keys; remove hostNetwork, or set \
             outrigger.dev/inject: \"false\"",
        ),
        (
            json!({"os": {"name": "windows"}, "containers": [app]}),
            "os: the sidecar runs on Linux alone; set outrigger.dev/inject: \"false\"",
        ),
        (
            json!({"containers": [app, {"name": "outrigger", "image": "mine:1"}]}),
            "a container is called outrigger, as the sidecar is; rename it, or remove it where it was written by hand: the sidecar comes by itself",
        ),
        (
            json!({"containers": [app], "ephemeralContainers": [{"name": "outrigger"}]}),
            "a container is called outrigger, as the sidecar is; rename it, or remove it where it was written by hand: the sidecar comes by itself",
        ),
        (
            json!({"containers": [with(json!({"ports": [{"containerPort": 80}, {"containerPort": 5567}]}))]}),
            "container app uses port 5567, which is the sidecar's; give it another one, or move the sidecar: outrigger.dev/port: \"15567\"",
        ),
        (
            json!({"containers": [app], "initContainers": [{"name": "other", "restartPolicy": "Always", "ports": [{"containerPort": 5568}]}]}),
            "container other uses port 5568, which is the sidecar's; give it another one",
        ),
        (
            json!({"containers": [with(json!({"volumeMounts": [{"name": "outrigger-keys", "mountPath": "/k"}]}))]}),
            "container app mounts outrigger-keys, which is the sidecar's alone; give the volume another name",
        ),
        (
            json!({"shareProcessNamespace": true, "containers": [app]}),
            "shareProcessNamespace: container app could read the sidecar's keys through /proc; remove shareProcessNamespace, or set \
             securityContext.runAsUser in every container to a user other than 0 and 5567",
        ),
    ] {
        assert_eq!(refusal(&pod(&spec)), format!("outrigger: {expected}"));
    }
    assert_eq!(refusal(&json!({"metadata": {}})), "outrigger: the pod has no spec");
    assert_eq!(refusal(&pod(&json!({"containers": {}}))), "outrigger: containers is no list");
}

#[test]
fn processes_are_shared_only_with_users_who_cannot_look_into_the_sidecar() {
    let spec = |pod_user: Option<i64>, user: Option<i64>| {
        let container = json!({"name": "app", "securityContext": {"runAsUser": user}});
        pod(&json!({"shareProcessNamespace": true, "securityContext": {"runAsUser": pod_user}, "containers": [container]}))
    };
    for (pod_user, user, fine) in [
        (None, Some(1_000), true),
        (Some(1_000), None, true),
        (Some(5_567), Some(1_000), true),
        (Some(1_000), Some(5_567), false),
        (None, Some(0), false),
        (Some(0), None, false),
        (None, None, false),
    ] {
        let allowed = ask(&spec(pod_user, user)).review["response"]["allowed"].clone();
        assert_eq!(allowed, fine, "pod {pod_user:?}, container {user:?}");
    }
    let unknown = SidecarSettings { user: None, ..settings() };
    let answer = answer(&review(&spec(None, Some(1_000))), Entry::Pod, &unknown, |_| QUIET).unwrap();
    assert_eq!(
        answer.review["response"]["allowed"], true,
        "by the pod's entry it was not asked for"
    );
    let answer = super::answer(&review(&spec(None, Some(1_000))), Entry::Namespace, &unknown, |_| QUIET).unwrap();
    assert_eq!(answer.review["response"]["allowed"], false, "the platform may pick the same user");
}

#[test]
fn without_a_user_of_ours_the_platform_picks_one() {
    let unknown = SidecarSettings { user: None, ..settings() };
    let plain = pod(&json!({"containers": [{"name": "app"}]}));
    let answer = answer(&review(&plain), Entry::Namespace, &unknown, |_| QUIET).unwrap();
    let sidecar = &patched(&plain, &answer)["spec"]["initContainers"][0];
    assert_eq!(sidecar["securityContext"].get("runAsUser"), None);
    assert_eq!(sidecar["securityContext"]["runAsNonRoot"], true);
}

#[test]
fn who_asks_gets_a_sidecar_and_who_only_half_asks_hears_of_it() {
    let bare = Facts {
        labelled: false,
        routes: true,
    };
    let annotated = |annotations: Value| json!({"metadata": {"annotations": annotations}, "spec": {"containers": [{"name": "app"}]}});
    let (asks, refuses) = (json!({"outrigger.dev/inject": "true"}), json!({"outrigger.dev/inject": "false"}));
    for (annotations, entry, facts, injected, warned) in [
        (asks.clone(), Entry::Pod, bare, true, false),
        (asks, Entry::Namespace, QUIET, true, false),
        (refuses.clone(), Entry::Pod, bare, false, false),
        (refuses, Entry::Namespace, QUIET, false, false),
        (json!({}), Entry::Namespace, QUIET, true, false),
        (json!({"outrigger.dev/log-level": "debug"}), Entry::Namespace, QUIET, true, false),
        // The namespace's entry sees to it.
        (json!({"outrigger.dev/log-level": "debug"}), Entry::Pod, QUIET, false, false),
        (json!({"outrigger.dev/log-level": "debug"}), Entry::Pod, bare, false, true),
    ] {
        let answer = ask_with(&annotated(annotations.clone()), entry, facts);
        let response = &answer.review["response"];
        assert_eq!(
            (answer.injected, response.get("patch").is_some(), response.get("warnings").is_some()),
            (injected, injected, warned),
            "{annotations} by {entry:?}"
        );
    }
}

#[test]
fn a_namespace_without_routes_is_told_what_to_apply() {
    let answer = ask_with(
        &pod(&json!({"containers": [{"name": "app"}]})),
        Entry::Namespace,
        Facts {
            labelled: true,
            routes: false,
        },
    );
    let warnings = answer.review["response"]["warnings"].clone();
    assert_eq!(
        warnings,
        json!([
            "outrigger: no ModelRoute reaches this namespace, so calls will get 404; apply a ProviderKey and a ModelRoute here, or share a route with it (spec.namespaces)"
        ])
    );
}

#[test]
fn what_is_no_review_of_a_pod_is_no_answer() {
    let plain = review(&pod(&json!({"containers": []})));
    let asked = |review: &Value| answer(review, Entry::Pod, &settings(), |_| QUIET).map(|answer| answer.review);
    assert_eq!(asked(&json!([])), Err("this is no AdmissionReview: it has no request"));
    let mut old = plain.clone();
    old["apiVersion"] = "admission.k8s.io/v1beta1".into();
    assert_eq!(asked(&old), Err("only admission.k8s.io/v1 is understood"));
    let mut other = plain.clone();
    other["request"]["kind"]["kind"] = "Deployment".into();
    assert_eq!(asked(&other), Err("only pods are looked at"));
    let mut removed = plain;
    removed["request"]["object"] = Value::Null;
    assert_eq!(asked(&removed), Err("only pods are looked at"));
}

#[test]
fn what_is_said_has_an_end() {
    let containers: Vec<Value> = (0..100)
        .map(|n| json!({"name": format!("{n}-{}", "x".repeat(300)), "env": [{"name": "OPENAI_BASE_URL", "value": "https://llm.corp"}]}))
        .collect();
    let answer = ask(&pod(&json!({"containers": containers})));
    assert_eq!(answer.bypassed.len(), 100);
    let warnings = answer.review["response"]["warnings"].as_array().unwrap().clone();
    assert!(warnings.len() == 16 && warnings.iter().all(|warning| warning.as_str().unwrap().len() <= 250));
}

#[test]
fn the_watchdog_sees_what_is_missing_outdated_or_led_elsewhere() {
    let plain = pod(&json!({"containers": [
        {"name": "app"},
        {"name": "other", "env": [{"name": "ANTHROPIC_BASE_URL", "value": "https://api.anthropic.com"}]},
    ]}));
    let good = patched(&plain, &ask(&plain));
    let look = |pod: &Value, labelled| survey(pod, labelled, &settings());
    assert_eq!(look(&plain, false), None, "it did not ask");
    let bare = look(&plain, true).unwrap();
    assert_eq!(bare.problem.map(|(problem, _)| problem), Some(Problem::Missing));
    let seen = look(&good, true).unwrap();
    assert_eq!(seen.problem, None);
    let bypassed = Bypassed {
        container: "other".to_owned(),
        variable: "ANTHROPIC_BASE_URL".to_owned(),
    };
    assert_eq!(seen.bypassed, [bypassed]);
    let mut old = good.clone();
    old["spec"]["initContainers"][0]["image"] = "registry.test/outrigger-proxy:0".into();
    let problem = look(&old, true).unwrap().problem.unwrap();
    assert_eq!(
        problem,
        (
            Problem::Outdated,
            "the sidecar runs registry.test/outrigger-proxy:0, this release's is registry.test/outrigger-proxy:1; restart the workload when it suits"
                .to_owned()
        )
    );
    let mut waiting = good.clone();
    let state = |name: &str, reason: &str| json!({"name": name, "state": {"waiting": {"reason": reason}}});
    waiting["status"] =
        json!({"phase": "Pending", "initContainerStatuses": [state("other", "Unknown"), state("outrigger", "ImagePullBackOff")]});
    let (problem, words) = look(&waiting, true).unwrap().problem.unwrap();
    assert_eq!(problem, Problem::Image);
    assert!(
        words.contains("registry.test/outrigger-proxy:1 (ImagePullBackOff)") && words.contains("image.registry"),
        "{words}"
    );
    for other in [state("outrigger", "PodInitializing"), state("other", "ImagePullBackOff")] {
        waiting["status"]["initContainerStatuses"] = json!([other]);
        assert_eq!(look(&waiting, true).unwrap().problem, None, "{other}");
    }
    let mut ended = plain.clone();
    ended["status"] = json!({"phase": "Succeeded"});
    assert_eq!(look(&ended, true), None);
    let mut refused = plain.clone();
    refused["metadata"]["annotations"] = json!({"outrigger.dev/inject": "yes"});
    assert_eq!(look(&refused, false).unwrap().problem.unwrap().0, Problem::Missing);
    refused["metadata"]["annotations"] = json!({"outrigger.dev/inject": "false"});
    assert_eq!(look(&refused, true), None);
}

/// Environments with the variables that matter, in any order and number.
fn environment() -> impl Strategy<Value = Vec<Value>> {
    let name = prop::sample::select(vec![
        "OPENAI_BASE_URL",
        "OPENAI_API_BASE",
        "OPENAI_API_KEY",
        "ANTHROPIC_BASE_URL",
        "ANTHROPIC_API_URL",
        "HTTPS_PROXY",
        "NO_PROXY",
        "no_proxy",
        "OTHER",
    ]);
    let value = prop::sample::select(vec![
        json!({"value": "http://127.0.0.1:5567/v1"}),
        json!({"value": "https://llm.corp"}),
        json!({"value": ""}),
        json!({"value": "a,localhost"}),
        json!({"value": "*"}),
        json!({"valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}),
        json!({}),
    ]);
    let variable = (name, value).prop_map(|(name, mut value)| {
        value["name"] = name.into();
        value
    });
    prop::collection::vec(variable, 0..6)
}

fn containers(names: &'static [&'static str]) -> impl Strategy<Value = Value> {
    let container = (prop::sample::select(names), prop::option::of(environment())).prop_map(|(name, env)| {
        let mut container = json!({"name": name, "image": "app:1"});
        if let Some(env) = env {
            container["env"] = env.into();
        }
        container
    });
    prop::collection::vec(container, 0..4).prop_map(Value::from)
}

proptest! {
    #[test]
    fn a_second_run_changes_nothing_and_the_first_only_what_is_ours(
        init in containers(&["a", "outrigger", "b"]),
        own in containers(&["c", "d"]),
        volumes in prop::collection::vec(prop::sample::select(vec!["outrigger-keys", "outrigger-api", "data"]), 0..4),
        port in prop::option::of(prop::sample::select(vec!["15567", "5567"])),
    ) {
        let volumes: Vec<Value> = volumes.into_iter().map(|name| json!({"name": name, "emptyDir": {}})).collect();
        let mut before = pod(&json!({"initContainers": init, "containers": own, "volumes": volumes, "other": [1]}));
        if let Some(port) = port {
            before["metadata"]["annotations"] = json!({"outrigger.dev/port": port});
        }
        let first = ask(&before);
        let once = patched(&before, &first);
        let second = ask(&once);
        prop_assert!(second.review["response"].get("patch").is_none(), "{}", patched(&once, &second));
        prop_assert_eq!(&first.bypassed, &second.bypassed);

        let named = |pod: &Value, field: &str| -> Vec<Value> { pod["spec"][field].as_array().unwrap().clone() };
        let ours = |each: &Value| each["name"].as_str().unwrap().starts_with("outrigger");
        prop_assert_eq!(&once["spec"]["initContainers"][0]["name"], "outrigger");
        prop_assert_eq!(named(&once, "initContainers").iter().filter(|each| ours(each)).count(), 1);
        prop_assert_eq!(named(&once, "volumes").iter().filter(|each| ours(each)).count(), 3);
        for field in ["initContainers", "containers"] {
            let theirs: Vec<Value> = named(&before, field).into_iter().filter(|each| !ours(each)).collect();
            let now: Vec<Value> = named(&once, field).into_iter().filter(|each| !ours(each)).collect();
            prop_assert_eq!(theirs.len(), now.len());
            for (theirs, now) in theirs.iter().zip(&now) {
                let values = |container: &Value| container["env"].as_array().cloned().unwrap_or_default();
                let (was, is) = (values(theirs), values(now));
                for (was, is) in was.iter().zip(&is) {
                    let list = was["name"].as_str().unwrap().eq_ignore_ascii_case("no_proxy");
                    prop_assert!(was == is || (list && is["value"].as_str().unwrap().starts_with(was["value"].as_str().unwrap_or_default().trim())));
                }
                // A placeholder never goes to somebody else's host.
                let set = |name: &str| is.iter().rfind(|each| each["name"] == name).and_then(|each| each["value"].as_str());
                for [key, base, alias] in [
                    ["OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_API_BASE"],
                    ["ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", "ANTHROPIC_API_URL"],
                ] {
                    if set(key) == Some("sk-outrigger") {
                        let base = set(base).or_else(|| set(alias));
                        prop_assert!(base.is_some_and(|base| base.starts_with("http://127.0.0.1:")), "{now}");
                    }
                }
            }
        }
    }
}
