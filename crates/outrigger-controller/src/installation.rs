//! `outrigger-controller test`: whether an installation does what it is for, seen from outside: a replica leads, and a pod that asks for the
//! sidecar gets it. `helm test` runs it. It must never leave anything behind: the pod that it makes is a dry run.

use crate::{config::time, inject::CONTAINER, lease::LeaseSettings};
use clap::Args;
use k8s_openapi::api::{coordination::v1::Lease, core::v1::Pod};
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use outrigger_runtime::Clock;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// The name of the pod that is asked for: the one name that the test may use.
const PROBE: &str = "outrigger-test-probe";
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(500);
/// For one question; a webhook that hangs is given up by the API server before that.
const CALL: Duration = Duration::from_secs(15);

/// What the test is told beside where the Lease is.
#[derive(Debug, Args)]
pub struct TestArguments {
    /// Ask for a pod with the sidecar in this namespace, as a dry run. Default: only see whether a replica leads.
    #[arg(long, value_name = "NAMESPACE")]
    pods_in: Option<String>,
    /// How long an installation may take that has only begun.
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "90s")]
    patience: Duration,
}

/// What is wrong with an installation, with what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum Flaw {
    /// Nobody holds the Lease and renews it.
    #[error(
        "no replica of the controller leads: {why}. See what keeps them: kubectl -n {namespace} get pods -l \
         app.kubernetes.io/name=outrigger-controller, and kubectl -n {namespace} logs deployment/outrigger-controller"
    )]
    NoLeader {
        /// The Lease's namespace.
        namespace: String,
        /// What the Lease says.
        why: String,
    },
    /// The API server's call of the webhook fails.
    #[error(
        "the API server cannot reach the webhook: {0}. Its pods must be ready, and a firewall or NetworkPolicy between the API server and them \
         must let it through to the port that the value webhook.port names; where it cannot reach pods at all, set webhook.url"
    )]
    Unreachable(String),
    /// It is reached and not believed.
    #[error(
        "the API server does not trust the webhook's certificate: {0}. With webhook.certificateSecret, webhook.caBundle must hold whoever has \
         signed it, for the name outrigger-webhook.NAMESPACE.svc or that of webhook.url; else the controller's log says what keeps it from \
         writing the caBundle"
    )]
    Untrusted(String),
    /// The pod came back as it was.
    #[error(
        "a pod that asks for the sidecar in the namespace {0} does not get it, because the API server asks nobody: see whether the webhook is there, \
         kubectl get mutatingwebhookconfiguration outrigger, and run helm upgrade to put it back"
    )]
    NotAsked(String),
    /// The API server refuses, or does not answer.
    #[error("the API server does not let the test look: {0}")]
    Refused(String),
}

/// Tries until all is well; the sentences that say so.
///
/// # Errors
/// What was wrong last, when the patience was over.
pub async fn test(client: &Client, lease: &LeaseSettings, arguments: &TestArguments, clock: Clock) -> Result<Vec<String>, Flaw> {
    let end = clock
        .now_us()
        .saturating_add(u64::try_from(arguments.patience.as_micros()).unwrap_or(u64::MAX));
    let leases = Api::namespaced(client.clone(), &lease.namespace);
    let mut seen = None;
    let holder = loop {
        let found = asked(leases.get_opt(&lease.name)).await;
        match found.and_then(|found| leader(found.as_ref(), lease, &mut seen)) {
            Ok(holder) => break holder,
            Err(flaw) if clock.now_us() >= end => return Err(flaw),
            Err(_) => sleep(PAUSE).await,
        }
    };
    let mut words = vec![format!("the replica {holder} leads")];
    if let Some(namespace) = &arguments.pods_in {
        let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
        let (patch, params) = (Patch::Apply(probe()), PatchParams::apply("outrigger-test").dry_run());
        loop {
            let pod = asked(pods.patch(PROBE, &params, &patch)).await;
            match pod.and_then(|pod| injected(&pod, namespace)) {
                Ok(()) => break,
                Err(flaw) if clock.now_us() >= end => return Err(flaw),
                Err(_) => sleep(PAUSE).await,
            }
        }
        words.push(format!(
            "a pod that asks for the sidecar in the namespace {namespace} gets it: the API server reaches the webhook and trusts it"
        ));
    }
    Ok(words)
}

async fn asked<T>(question: impl Future<Output = kube::Result<T>>) -> Result<T, Flaw> {
    match timeout(CALL, question).await {
        Ok(answer) => answer.map_err(|error| flaw(&error)),
        Err(_) => Err(Flaw::Refused("no answer in time".to_owned())),
    }
}

/// What the API server's refusal means.
fn flaw(error: &kube::Error) -> Flaw {
    let kube::Error::Api(status) = error else {
        return Flaw::Refused(error.to_string());
    };
    let message = status.message.clone();
    if !message.contains("failed calling webhook") {
        Flaw::Refused(message)
    } else if message.contains("x509: ") || message.contains("tls: ") {
        Flaw::Untrusted(message)
    } else {
        Flaw::Unreachable(message)
    }
}

/// The holder, once its renewal was seen to change: no two clocks are compared.
fn leader(found: Option<&Lease>, settings: &LeaseSettings, seen: &mut Option<Value>) -> Result<String, Flaw> {
    let none = |why: &str| Flaw::NoLeader {
        namespace: settings.namespace.clone(),
        why: format!("the Lease {} {why}", settings.name),
    };
    let spec = found.ok_or_else(|| none("is not there"))?.spec.clone().unwrap_or_default();
    let holder = spec.holder_identity.filter(|holder| !holder.is_empty());
    let holder = holder.ok_or_else(|| none("is held by nobody"))?;
    let now = json!([holder, spec.renew_time]);
    match seen.replace(now.clone()) {
        Some(before) if before != now => Ok(holder),
        _ => Err(none(&format!("is held by {holder} and was not renewed while this was looking"))),
    }
}

fn injected(pod: &Pod, namespace: &str) -> Result<(), Flaw> {
    let init = pod.spec.as_ref().and_then(|spec| spec.init_containers.as_ref());
    let there = init.is_some_and(|init| init.iter().any(|container| container.name == CONTAINER));
    there.then_some(()).ok_or_else(|| Flaw::NotAsked(namespace.to_owned()))
}

/// A pod that any namespace takes: restricted, and with its quantities said.
fn probe() -> Value {
    let few = json!({"cpu": "1m", "memory": "1Mi"});
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": PROBE, "annotations": {"outrigger.dev/inject": "true"}},
        "spec": {
            "automountServiceAccountToken": false,
            "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "probe",
                "image": "never-run",
                "resources": {"requests": few, "limits": few},
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
            }],
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::Status;

    fn refused(message: &str) -> Flaw {
        flaw(&kube::Error::Api(Box::new(Status::failure(message, "InternalError"))))
    }

    #[test]
    fn a_webhook_that_is_not_reached_is_told_from_one_that_is_not_trusted() {
        let failed = r#"failed calling webhook "pods.outrigger.dev": failed to call webhook: Post "https://outrigger-webhook.a.svc:443/inject?timeout=5s": "#;
        for why in [
            "x509: certificate signed by unknown authority",
            "tls: failed to verify certificate: x509: certificate has expired",
            "remote error: tls: internal error",
        ] {
            let flaw = refused(&format!("{failed}{why}"));
            assert!(
                matches!(flaw, Flaw::Untrusted(_)) && flaw.to_string().contains("webhook.caBundle"),
                "{flaw}"
            );
        }
        for why in [
            "dial tcp 10.0.0.7:8443: connect: connection refused",
            "context deadline exceeded",
            "no endpoints available for service \"outrigger-webhook\"",
        ] {
            let flaw = refused(&format!("{failed}{why}"));
            assert!(
                matches!(flaw, Flaw::Unreachable(_)) && flaw.to_string().contains("webhook.port"),
                "{flaw}"
            );
        }
        let flaw = refused("pods \"outrigger-test-probe\" is forbidden: exceeded quota: small");
        assert!(matches!(flaw, Flaw::Refused(_)) && flaw.to_string().contains("quota"), "{flaw}");
    }

    #[test]
    fn whoever_renews_leads_whatever_its_clock_says() {
        let settings = LeaseSettings {
            namespace: "home".to_owned(),
            name: "outrigger-controller".to_owned(),
            identity: String::new(),
        };
        let lease = |holder: &str, second: u8| -> Lease {
            let spec = json!({"holderIdentity": holder, "renewTime": format!("1970-01-01T00:00:{second:02}.000000Z")});
            serde_json::from_value(json!({"spec": spec})).unwrap()
        };
        let mut seen = None;
        let mut look = |found: Option<Lease>| leader(found.as_ref(), &settings, &mut seen).map_err(|flaw| flaw.to_string());
        for (found, part) in [
            (None, "is not there"),
            (Some(lease("", 1)), "by nobody"),
            (Some(lease("one", 1)), "by one and was not renewed"),
            (Some(lease("one", 1)), "by one and was not renewed"),
        ] {
            let why = look(found).unwrap_err();
            assert!(why.contains(part) && why.contains("kubectl -n home logs"), "{why}");
        }
        assert_eq!(look(Some(lease("one", 3))), Ok("one".to_owned()));
    }

    #[test]
    fn a_pod_has_the_sidecar_where_its_container_is_among_the_first() {
        let pod = |init: Value| -> Pod { serde_json::from_value(json!({"spec": {"containers": [], "initContainers": init}})).unwrap() };
        assert!(injected(&pod(json!([{"name": "outrigger"}])), "shop").is_ok());
        for other in [json!([]), json!([{"name": "other"}])] {
            let flaw = injected(&pod(other), "shop").unwrap_err().to_string();
            assert!(
                flaw.contains("namespace shop") && flaw.contains("mutatingwebhookconfiguration outrigger"),
                "{flaw}"
            );
        }
    }
}
