//! What `helm test` runs, with the rights that it has there: it is content with what works, and says of each thing that does not what to do.

use super::{
    certificates::{authority, issue},
    configure, namespace, reviewer, start,
};
use crate::rig::{Controller, binary, kubectl, until};
use outrigger_cluster::{Cluster, run};
use serde_json::{Value, json};
use std::process::Command;

/// The chart's test as Helm makes it: its rights for real, and what its container is told.
struct Test<'c> {
    cluster: &'c Cluster,
    arguments: Vec<String>,
}

impl<'c> Test<'c> {
    /// As the chart has it with the release's values, to ask for pods in `plain`.
    fn new(cluster: &'c Cluster) -> Self {
        let chart = concat!(env!("CARGO_MANIFEST_DIR"), "/../../charts/outrigger");
        let mut template = cluster.helm();
        template.args(["template", "outrigger", chart, "--namespace", "outrigger-system"]);
        template.args(["--show-only", "templates/tests/installation.yaml", "--set", "namespaces={plain}"]);
        let rendered = run(&mut template).unwrap();
        let (pods, rights): (Vec<&str>, Vec<&str>) = rendered.split("---\n").partition(|document| document.contains("kind: Pod\n"));
        cluster.apply(&rights.join("---\n")).unwrap();
        let pod: Value = serde_saphyr::from_str(pods[0]).unwrap();
        let arguments = pod["spec"]["containers"][0]["args"].as_array().unwrap().iter();
        Self {
            cluster,
            arguments: arguments.map(|argument| argument.as_str().unwrap().to_owned()).collect(),
        }
    }

    /// What it says when it is content, or when it is not.
    fn run(&self, patience: &str) -> Result<String, String> {
        let mut command = Command::new(binary("outrigger-controller"));
        command
            .arg("--kubeconfig")
            .arg(self.cluster.kubeconfig_for("outrigger-system", "outrigger-test").unwrap());
        run(command.args(&self.arguments).args(["--patience", patience])).map_err(|error| error.to_string())
    }

    /// Runs it until it complains of that.
    fn complains(&self, part: &str, advice: &str) {
        let mut last = String::new();
        until(part, || {
            let said = self.run("3s").err()?;
            if said != last {
                println!("{said}");
            }
            let right = said.contains(part);
            assert!(!right || said.contains(advice), "{said}");
            last = said;
            right.then_some(())
        });
    }
}

#[test]
fn what_works_is_told_and_what_does_not_comes_with_what_to_do() {
    let cluster = start();
    namespace(&cluster, "plain", &json!({"pod-security.kubernetes.io/enforce": "restricted"}));
    let test = Test::new(&cluster);
    test.complains(
        "the Lease outrigger-controller is not there",
        "logs deployment/outrigger-controller",
    );

    // A leader that knows nothing of a webhook.
    let plain = Controller::start_with(&cluster, "one", &["--lease-name", "outrigger-controller"]);
    until("it leads", || plain.leads().then_some(()));
    test.complains(
        "because the API server asks nobody",
        "kubectl get mutatingwebhookconfiguration outrigger",
    );
    // Nothing listens there.
    configure(&cluster, 9, &[]);
    test.complains("the API server cannot reach the webhook", "webhook.url");
    plain.stop();

    // Somebody else's certificate, and the authority of yet another.
    let folder = tempfile::tempdir().unwrap();
    issue(&authority(), folder.path(), 4_000);
    let given = reviewer(&cluster, "two", &["--webhook-certificate", folder.path().to_str().unwrap()]);
    let values = folder.path().join("values.json");
    let wrong = json!({"webhook": {"certificateSecret": "ours", "caBundle": authority().pem()}});
    std::fs::write(&values, wrong.to_string()).unwrap();
    configure(&cluster, given.port("webhook"), &["--values", values.to_str().unwrap()]);
    test.complains("does not trust the webhook's certificate", "webhook.caBundle");
    given.stop();

    let own = reviewer(&cluster, "three", &[]);
    configure(&cluster, own.port("webhook"), &[]);
    let said = test.run("90s").unwrap();
    assert!(
        said.contains("the replica three leads") && said.contains("in the namespace plain gets it"),
        "{said}"
    );
    assert_eq!(kubectl(&cluster, "get pods -A -o name"), "", "the pod was for show");
    own.stop();
    test.complains("is held by", "kubectl -n outrigger-system get pods");
}

/// The test's account can do nothing that is worth having.
#[test]
fn the_test_may_read_one_lease_and_ask_for_one_pod() {
    let cluster = start();
    namespace(&cluster, "plain", &json!({}));
    let _test = Test::new(&cluster);
    let may = |namespace: &str, verb: &str, what: &str| {
        let account = "--as=system:serviceaccount:outrigger-system:outrigger-test";
        let mut command = cluster.kubectl();
        command.args(["auth", "can-i", verb, what, "--namespace", namespace, account]);
        run(&mut command).is_ok_and(|answer| answer.trim() == "yes")
    };
    for (namespace, verb, what, expected) in [
        ("outrigger-system", "get", "leases.coordination.k8s.io/outrigger-controller", true),
        ("plain", "create", "pods/outrigger-test-probe", true),
        ("plain", "patch", "pods/outrigger-test-probe", true),
        ("plain", "create", "pods", false),
        ("plain", "create", "pods/any", false),
        ("plain", "delete", "pods/outrigger-test-probe", false),
        ("outrigger-system", "create", "pods/outrigger-test-probe", false),
        (
            "outrigger-system",
            "update",
            "leases.coordination.k8s.io/outrigger-controller",
            false,
        ),
        ("outrigger-system", "get", "leases.coordination.k8s.io/any", false),
        ("outrigger-system", "get", "secrets/outrigger-webhook", false),
        ("plain", "get", "secrets/outrigger-keys", false),
    ] {
        assert_eq!(may(namespace, verb, what), expected, "{verb} {what} in {namespace}");
    }
}
