//! Workloads that end, the order in which a pod starts, and a namespace that has no routes.

use crate::{
    pod,
    rig::{Rig, SHOP},
};
use serde_json::{Value, json};

/// A namespace that asks for sidecars and gives them nothing to do.
const BARE: &str = "bare";

/// Longer than an application is held without an annotation, seconds.
const HOLD: i64 = 35;

/// A Job in a namespace without routes. What becomes of it takes its time.
pub fn ask_without_routes(rig: &Rig) {
    rig.namespace(BARE);
    let held = json!({ "outrigger.dev/inject": "true", "outrigger.dev/hold-application": format!("{HOLD}s") });
    rig.apply(BARE, &[pod::job("early", "/once.py", &held)]);
}

/// It was held for as long as it asked for; then its call has an answer that says what to apply, and so has an Event.
pub fn it_was_held_and_told_what_to_apply(rig: &Rig) {
    rig.until("the Job without routes ends", |rig| condition(rig, BARE, "early", "Failed"));
    let pod = rig.object("pods", BARE, "batch.kubernetes.io/job-name=early");
    let waited = seconds(&pod["status"]["containerStatuses"][0]) - seconds(&pod["status"]["initContainerStatuses"][0]);
    // Each of the two is told in whole seconds.
    assert!(
        waited.rem_euclid(86_400) >= HOLD - 1,
        "the application was held for {waited} s: {pod}"
    );
    let said = first_call(rig, BARE, "early");
    assert_eq!(said["status"], 404, "{said}");
    let words = said["error"].as_str().unwrap();
    assert!(words.contains("no routes") && words.contains("apply a ModelRoute"), "{words}");
    rig.until("an Event says so", |rig| {
        let events: Value = serde_json::from_str(&rig.kubectl(&format!("get events -n {BARE} -o json"))).unwrap();
        let mut events = events["items"].as_array().unwrap().clone().into_iter();
        events.find(|event| event["reason"] == "NoRoutes" && event["involvedObject"]["kind"] == "Job")
    });
}

/// Its calls begin with its first moment, and its pod ends although the sidecar beside it would run for ever.
pub fn a_job_is_answered_at_once_and_completes(rig: &Rig) {
    rig.apply(SHOP, &[pod::job("batch", "/once.py", &json!({ "outrigger.dev/inject": "true" }))]);
    rig.until("the Job completes", |rig| condition(rig, SHOP, "batch", "Complete"));
    let pod = rig.object("pods", SHOP, "batch.kubernetes.io/job-name=batch");
    assert_eq!(pod["status"]["phase"], "Succeeded");
    let (sidecar, application) = (&pod["status"]["initContainerStatuses"][0], &pod["status"]["containerStatuses"][0]);
    for container in [sidecar, application] {
        assert_eq!(container["state"]["terminated"]["exitCode"], 0, "{container}");
        assert_eq!(container["restartCount"], 0, "{container}");
    }
    assert_eq!(sidecar["name"], "outrigger");
    assert!(
        (seconds(application) - seconds(sidecar)).rem_euclid(86_400) < 43_200,
        "the application first: {pod}"
    );
    assert_eq!(first_call(rig, SHOP, "batch")["status"], 200);
    let answers = rig.kubectl(&format!("logs -n {SHOP} job/batch -c app"));
    assert_eq!(answers.matches("\"answer\"").count(), 2, "both SDKs: {answers}");
}

fn condition(rig: &Rig, namespace: &str, job: &str, wanted: &str) -> Option<()> {
    let job: Value = serde_json::from_str(&rig.kubectl(&format!("get job {job} -n {namespace} -o json"))).unwrap();
    let conditions = job["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let met = |kind: &str| conditions.iter().any(|each| each["type"] == kind && each["status"] == "True");
    let other = if wanted == "Complete" { "Failed" } else { "Complete" };
    assert!(!met(other), "{job}");
    met(wanted).then_some(())
}

fn first_call(rig: &Rig, namespace: &str, job: &str) -> Value {
    let said = rig.kubectl(&format!("logs -n {namespace} job/{job} -c app"));
    let mut lines = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines
        .find(|line| line["kind"] == "first")
        .unwrap_or_else(|| panic!("no call: {said}"))
}

/// When a container that has ended was started, as seconds of its day.
fn seconds(container: &Value) -> i64 {
    let moment = container["state"]["terminated"]["startedAt"].as_str().unwrap();
    let time = moment.split_once('T').unwrap().1.trim_end_matches('Z');
    time.split(':').fold(0, |sum, part| sum * 60 + part.parse::<i64>().unwrap())
}
