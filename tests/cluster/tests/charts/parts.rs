//! The parts of the chart around the controller: there when asked for, valid on a real API server, and of one mind with what they are about.

use super::{HOME, helm, helm_with};
use outrigger_cluster::{Cluster, Options, PLAIN, plain_manifests, run, run_with_input};
use serde_json::{Map, Value, json};
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    path::Path,
    sync::OnceLock,
};

/// A pod as the webhook makes it; the injector's own tests hold it to the code.
const INJECTED: &str = include_str!("../../../../crates/outrigger-controller/fixtures/inject/plain.snap");

/// Everything that can be on.
const ALL: &str = "networkPolicy.enabled=true,networkPolicy.apiServerCIDRs={10.0.0.1/32},\
    networkPolicy.metricsFrom[0].namespaceSelector.matchLabels.a=b,allowedCIDRs={10.20.0.0/16},\
    monitoring.enabled=true,monitoring.interval=30s,monitoring.labels.release=prometheus";

fn rendered(set: &str) -> String {
    helm_with(set, HOME)
}

/// The objects of a rendering, by kind and name.
fn objects(set: &str) -> BTreeMap<(String, String), Value> {
    let text = rendered(set);
    let documents = text
        .split("\n---\n")
        .map(|document| serde_saphyr::from_str::<Value>(document).unwrap());
    let named = documents.filter(Value::is_object).map(|object| {
        let name = object["metadata"]["name"].as_str().unwrap();
        ((object["kind"].as_str().unwrap().to_owned(), name.to_owned()), object)
    });
    named.collect()
}

fn one<'o>(objects: &'o BTreeMap<(String, String), Value>, kind: &str, name: &str) -> &'o Value {
    &objects[&(kind.to_owned(), name.to_owned())]
}

#[test]
fn what_is_off_is_not_there_and_what_is_on_is_as_the_values_say() {
    let plain = rendered("replicas=2");
    let zone = |name: &str| format!("topologySpreadConstraints[0].{name}");
    let constraint = format!(
        "{}=2,{}=zone,{}=DoNotSchedule",
        zone("maxSkew"),
        zone("topologyKey"),
        zone("whenUnsatisfiable")
    );
    for (set, shown) in [
        ("networkPolicy.enabled=true", "kind: NetworkPolicy"),
        (ALL, "cidr: \"10.0.0.1/32\""),
        (ALL, "cidr: \"10.20.0.0/16\""),
        (ALL, "- namespaceSelector:\n        matchLabels:\n          a: b"),
        ("monitoring.enabled=true", "kind: PodMonitor"),
        ("monitoring.enabled=true", "kind: ServiceMonitor"),
        ("monitoring.enabled=true", "name: outrigger-metrics"),
        ("monitoring.enabled=true", "any: true"),
        ("monitoring.enabled=true,namespaces={blue}", "matchNames:\n      - blue"),
        (ALL, "interval: 30s"),
        (ALL, "release: prometheus"),
        (&constraint, "topologyKey: zone"),
        (&constraint, "whenUnsatisfiable: DoNotSchedule"),
        ("namespaces={blue}", "- --pods-in=blue"),
    ] {
        assert!(!plain.contains(shown), "{shown} is there without {set}");
        assert!(rendered(set).contains(shown), "{set}: {shown}");
    }
    for (set, part) in [
        ("replicas=1", "kind: PodDisruptionBudget"),
        ("replicas=0", "kind: PodDisruptionBudget"),
        (&constraint, "topologyKey: kubernetes.io/hostname"),
        ("topologySpreadConstraints=null", "topologySpreadConstraints"),
        ("webhook.enabled=false", "--pods-in"),
        ("webhook.enabled=false", "outrigger-test-probe"),
    ] {
        assert!(plain.contains(part) && !rendered(set).contains(part), "{set}: {part}");
    }
    assert!(!rendered("networkPolicy.enabled=true,webhook.enabled=false").contains("port: webhook"));
    for typo in [
        "networkPolicy.enable=true",
        "networkPolicy.enabled=yes",
        "networkPolicy.apiServerCIDRs={10.0.0.1}",
        "networkPolicy.metricsFrom[0].pods=a",
        "monitoring.enable=true",
        "monitoring.interval=often",
        "monitoring.labels.a=1",
        "topologySpreadConstraints[0].topologyKey=zone",
        "topologySpreadConstraints=none",
        &format!("{constraint},{}=1", zone("skew")),
    ] {
        let refusal = helm(&["template", "outrigger"], "outrigger", &["--set", typo]).unwrap_err();
        assert!(refusal.contains("schema"), "{typo}: {refusal}");
    }
}

/// OpenShift gives each namespace users of its own and refuses pods that name another.
#[test]
fn no_user_is_named_where_the_platform_picks_one() {
    let folder = tempfile::tempdir().unwrap();
    let values = folder.path().join("values.yaml");
    std::fs::write(&values, "podSecurityContext: { runAsUser: null }\nsidecar: { runAsUser: null }\n").unwrap();
    let by_file = ["--values", values.to_str().unwrap()];
    let by_flag = ["--set", "podSecurityContext.runAsUser=null,sidecar.runAsUser=null"];
    for given in [by_file, by_flag] {
        let text = helm(&["template", "outrigger"], "outrigger", &given).unwrap();
        assert!(!text.contains("runAsUser") && !text.contains("--sidecar-user"), "{given:?}");
        assert_eq!(text.matches("runAsNonRoot: true").count(), 2, "the controller's pod and the test's");
    }
}

#[test]
fn the_notes_say_what_comes_next_with_the_values_in_force() {
    let notes = |set: &str| {
        let arguments = ["--dry-run=client", "--namespace", HOME, "--set", set];
        let all = helm(&["install", "mine"], "outrigger", &arguments).unwrap();
        all.split_once("NOTES:").unwrap().1.to_owned()
    };
    let plain = notes("replicas=2");
    for part in [
        "kubectl apply --server-side -f deploy/crds.yaml",
        "nodes must have outrigger-controller:0.0.0 and outrigger-proxy:0.0.0",
        "kubectl -n outrigger-system rollout status deployment/outrigger-controller",
        "helm -n outrigger-system test mine",
        "outrigger.dev/inject",
    ] {
        assert!(plain.contains(part), "{part}: {plain}");
    }
    for (set, part, gone) in [
        ("namespaces={shop}", "kubectl -n shop apply", "kubectl -n default"),
        ("image.registry=r.corp", "Then write down", "No registry"),
        ("replicas=0", "--set replicas=2", "rollout status"),
        ("webhook.enabled=false", "webhook.enabled is false", "patch deployment"),
        ("webhook.url=https://h.corp:8", "has to reach https://h.corp:8", "--set replicas=2"),
        (
            "webhook.certificateSecret=mine,webhook.caBundle=-----BEGIN CERTIFICATE-----",
            "The Secret mine in outrigger-system",
            "--set replicas=2",
        ),
        ("monitoring.enabled=true", "set monitoring.labels", "--set replicas=2"),
        (ALL, "ServiceMonitor outrigger-controller are there.", "set monitoring.labels"),
    ] {
        let notes = notes(set);
        assert!(notes.contains(part) && !notes.contains(gone), "{set}: {notes}");
    }
}

/// Names that lead from one object to another, and nowhere else.
#[test]
fn selectors_and_ports_meet_what_they_are_about() {
    let all = objects(ALL);
    let deployment = one(&all, "Deployment", "outrigger-controller");
    let (pod, test) = (&deployment["spec"]["template"], one(&all, "Pod", "outrigger-test"));
    let mut selectors = vec![
        &deployment["spec"]["selector"]["matchLabels"],
        &one(&all, "PodDisruptionBudget", "outrigger-controller")["spec"]["selector"]["matchLabels"],
        &one(&all, "NetworkPolicy", "outrigger-controller")["spec"]["podSelector"]["matchLabels"],
        &pod["spec"]["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"],
    ];
    let services: Vec<&Value> = all.values().filter(|object| object["kind"] == "Service").collect();
    selectors.extend(services.iter().map(|service| &service["spec"]["selector"]));
    for selector in selectors {
        assert!(selects(selector, pod), "{selector}");
        assert!(!selects(selector, test), "helm test would be taken for the controller: {selector}");
    }

    let ports = names(&pod["spec"]["containers"][0]["ports"], "name");
    assert_eq!(ports, ["admin", "webhook"]);
    for service in &services {
        for target in names(&service["spec"]["ports"], "targetPort") {
            assert!(ports.contains(&target), "{target}");
        }
    }
    let policy = &one(&all, "NetworkPolicy", "outrigger-controller")["spec"];
    let let_in = policy["ingress"].as_array().unwrap().iter();
    let mut let_in: Vec<&str> = let_in.flat_map(|rule| names(&rule["ports"], "port")).collect();
    let_in.sort_unstable();
    assert_eq!(let_in, ports);

    let monitor = &one(&all, "ServiceMonitor", "outrigger-controller")["spec"];
    let scraped: Vec<&&Value> = services
        .iter()
        .filter(|service| selects(&monitor["selector"]["matchLabels"], service))
        .collect();
    let [service] = scraped[..] else {
        panic!("{} Services are scraped", scraped.len())
    };
    assert_eq!(names(&service["spec"]["ports"], "name"), names(&monitor["endpoints"], "port"));

    let pods = &one(&all, "PodMonitor", "outrigger-sidecars")["spec"];
    assert_eq!((&pods["selector"], &pods["namespaceSelector"]), (&json!({}), &json!({"any": true})));
    let (_, injected) = INJECTED.split_once("\n---\n").unwrap();
    let injected: Value = serde_json::from_str(injected).unwrap();
    let sidecar = find(&injected, &|value| value["name"] == "outrigger" && value["ports"].is_array()).unwrap();
    assert_eq!(names(&sidecar["ports"], "name"), names(&pods["podMetricsEndpoints"], "port"));
}

fn names<'o>(list: &'o Value, field: &str) -> Vec<&'o str> {
    list.as_array().unwrap().iter().map(|each| each[field].as_str().unwrap()).collect()
}

/// Whether an object with labels is meant.
fn selects(selector: &Value, object: &Value) -> bool {
    let selector: &Map<String, Value> = selector.as_object().unwrap();
    assert!(!selector.is_empty());
    selector.iter().all(|(name, value)| object["metadata"]["labels"][name] == *value)
}

fn find<'v>(value: &'v Value, wanted: &dyn Fn(&Value) -> bool) -> Option<&'v Value> {
    if value.is_object() && wanted(value) {
        return Some(value);
    }
    match value {
        Value::Array(members) => members.iter().find_map(|member| find(member, wanted)),
        Value::Object(fields) => fields.values().find_map(|field| find(field, wanted)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

/// The policy lets the controller ask whom its own guard lets it ask, and nobody beside.
#[test]
fn the_network_policy_agrees_with_what_the_controller_asks() {
    let api = "networkPolicy.enabled=true,networkPolicy.apiServerCIDRs={10.0.0.1/32}";
    let own = "networkPolicy.enabled=true,allowedCIDRs={10.20.0.0/16,fd00:7::/32}";
    for (set, address, port, expected) in [
        (api, "104.18.7.192", 443, true),
        (api, "104.18.7.192", 8_443, true),
        (api, "2606:4700::6812", 443, true),
        (api, "64:ff9b::6812:7c0", 443, true),
        (api, "10.0.0.1", 6_443, true),
        (api, "10.0.0.2", 443, false),
        (api, "10.0.0.10", 53, true),
        (api, "10.0.0.10", 5_353, true),
        (api, "10.20.1.1", 8_000, false),
        (api, "127.0.0.1", 443, false),
        (api, "169.254.169.254", 80, false),
        (api, "100.100.100.200", 80, false),
        (api, "172.31.0.1", 443, false),
        (api, "192.168.1.1", 443, false),
        (api, "224.0.0.1", 443, false),
        (api, "fd00:7::1", 8_000, false),
        (api, "fe80::1", 443, false),
        (own, "10.20.1.1", 8_000, true),
        (own, "10.21.1.1", 8_000, false),
        (own, "fd00:7::1", 8_000, true),
        (own, "10.21.1.1", 6_443, true),
        (own, "169.254.169.254", 80, false),
    ] {
        let all = objects(set);
        let egress = &one(&all, "NetworkPolicy", "outrigger-controller")["spec"]["egress"];
        let ip: IpAddr = address.parse().unwrap();
        let lets = egress.as_array().unwrap().iter().any(|rule| lets(rule, ip, port));
        assert_eq!(lets, expected, "{address}:{port} with {set}");
    }
}

/// Whether a rule lets TCP through to an address; all of a part that is not written.
fn lets(rule: &Value, ip: IpAddr, port: u64) -> bool {
    let tcp = |each: &Value| each["protocol"] != "UDP" && each["port"] == port;
    let within = |peer: &Value| {
        let block = &peer["ipBlock"];
        let except = block["except"].as_array();
        contains(block["cidr"].as_str().unwrap(), ip) && !except.into_iter().flatten().any(|range| contains(range.as_str().unwrap(), ip))
    };
    rule["ports"].as_array().is_none_or(|ports| ports.iter().any(tcp)) && rule["to"].as_array().is_none_or(|to| to.iter().any(within))
}

fn contains(range: &str, ip: IpAddr) -> bool {
    let (base, bits) = range.split_once('/').unwrap();
    let (base, bits): (IpAddr, u32) = (base.parse().unwrap(), bits.parse().unwrap());
    let wide = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => u128::from(Ipv4Addr::to_bits(ip)) << 96,
        IpAddr::V6(ip) => ip.to_bits(),
    };
    base.is_ipv4() == ip.is_ipv4() && (wide(base) ^ wide(ip)).checked_shr(128 - bits).unwrap_or(0) == 0
}

/// A cluster without a release, whose objects would stand in the way of the same ones with other values.
fn empty() -> &'static Cluster {
    static EMPTY: OnceLock<Cluster> = OnceLock::new();
    EMPTY.get_or_init(|| Cluster::start(&Options::default()).unwrap())
}

/// As the API server says it, unknown fields included.
fn ask(cluster: &Cluster, manifests: &str) -> Result<String, String> {
    let mut command = cluster.kubectl();
    command.args(["apply", "--server-side", "--dry-run=server", "--validate=strict"]);
    command.args(["-f", "-"]);
    run_with_input(&mut command, manifests).map_err(|error| error.to_string())
}

#[test]
fn every_object_is_taken_by_a_real_api_server() {
    let cluster = empty();
    cluster.apply(include_str!("../../fixtures/monitors.yaml")).unwrap();
    let established = ["wait", "--for=condition=Established", "--timeout=120s", "crd"];
    let kinds = ["podmonitors.monitoring.coreos.com", "servicemonitors.monitoring.coreos.com"];
    run(cluster.kubectl().args(established).args(kinds)).unwrap();
    // A dry run makes nothing that a later object could need.
    let labels = json!({"pod-security.kubernetes.io/enforce": "restricted"});
    for name in ["parts", "parts-shop", "parts-blue"] {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}});
        cluster.apply(&namespace.to_string()).unwrap();
    }
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "outrigger-test", "namespace": "parts"}});
    cluster.apply(&account.to_string()).unwrap();
    for set in [
        "replicas=2".to_owned(),
        ALL.to_owned(),
        format!("{ALL},namespaces={{parts-shop,parts-blue}},imagePullSecrets[0].name=pull"),
        "podSecurityContext.runAsUser=null,sidecar.runAsUser=null,replicas=1,webhook.enabled=false".to_owned(),
        "webhook.url=https://1.2.3.4:9,topologySpreadConstraints=null".to_owned(),
        "webhook.certificateSecret=mine,webhook.caBundle=-----BEGIN CERTIFICATE-----".to_owned(),
    ] {
        let text = helm_with(&set, "parts");
        let taken = ask(cluster, &text).unwrap_or_else(|error| panic!("{set}: {error}"));
        assert!(taken.contains("pod/outrigger-test"), "{taken}");
        assert_eq!(taken.lines().count(), text.matches("\nkind: ").count(), "{set}: {taken}");
    }
    let misspelt = helm_with(ALL, "parts").replace("podMetricsEndpoints", "podMetricEndpoints");
    assert!(ask(cluster, &misspelt).unwrap_err().contains("podMetricEndpoints"));
}

#[test]
fn the_plain_manifests_are_the_chart() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(PLAIN);
    let (kept, wanted) = (std::fs::read_to_string(file).unwrap_or_default(), plain_manifests().unwrap());
    assert!(
        kept == wanted,
        "{PLAIN} does not say what the chart says: run `cargo xtask codegen`"
    );
    for absent in ["helm", "Helm", "outrigger-test", "RELEASE-NAME"] {
        assert!(!wanted.contains(absent), "{absent}");
    }
    let objects = wanted.matches("\nkind: ").count();
    let with_hooks = rendered("image.registry=REGISTRY");
    let hooks = with_hooks.matches("helm.sh/hook: test").count();
    assert_eq!(objects, with_hooks.matches("\nkind: ").count() - hooks + 1, "and the namespace");
    assert_eq!(hooks, 6);

    // As it says of itself.
    let cluster = empty();
    let labels = json!({"pod-security.kubernetes.io/enforce": "restricted"});
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": HOME, "labels": labels}});
    cluster.apply(&namespace.to_string()).unwrap();
    let taken = ask(cluster, &wanted.replace("REGISTRY/", "registry.corp/team/")).unwrap();
    assert_eq!(taken.lines().count(), objects, "{taken}");
}
