//! The webhook's certificates: the controller's own, renewed under way, and somebody else's.

use super::{ask, asking, configure, has_sidecar, in_force, namespace, reviewer, start};
use crate::rig::{kubectl, until};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose, date_time_ymd};
use serde_json::json;
use std::{collections::BTreeSet, path::Path};

/// By the replica that does not lead, too.
#[test]
fn a_certificate_is_renewed_and_no_pod_is_refused() {
    let cluster = start();
    namespace(&cluster, "plain", &json!({}));
    let short = ["--webhook-certificate-life", "27s"];
    let leader = reviewer(&cluster, "one", &short);
    until("one leads", || leader.leads().then_some(()));
    let other = reviewer(&cluster, "two", &short);
    configure(&cluster, other.port("webhook"), &[]);
    in_force(&cluster, "plain");
    assert!(leader.leads() && !other.leads());
    assert!(other.page("/readyz").starts_with("HTTP/1.1 200"));

    let trusted = || {
        kubectl(
            &cluster,
            "get mutatingwebhookconfiguration outrigger -o jsonpath={.webhooks[0].clientConfig.caBundle}",
        )
    };
    let mut seen = BTreeSet::from([trusted()]);
    // One authority, both, both the other way round, the new one alone.
    until("a whole renewal", || {
        let (pod, _) = ask(&cluster, "plain", &asking("during")).unwrap();
        assert!(has_sidecar(&pod));
        seen.insert(trusted());
        (seen.len() >= 4).then_some(())
    });
    // What somebody takes away comes back.
    let gone = r#"[{"op":"remove","path":"/webhooks/0/clientConfig/caBundle"}]"#;
    kubectl(
        &cluster,
        &format!("patch mutatingwebhookconfiguration outrigger --type=json -p {gone}"),
    );
    in_force(&cluster, "plain");
    let rights = "get secret outrigger-webhook -n outrigger-system -o jsonpath={.metadata.ownerReferences[0].name}";
    assert_eq!(kubectl(&cluster, rights), "outrigger-sidecar", "it goes when the chart goes");
}

#[test]
fn a_certificate_of_ones_own_is_read_again_and_one_that_has_ended_is_refused_with_that_word() {
    let cluster = start();
    namespace(&cluster, "plain", &json!({}));
    let authority = authority();
    let folder = tempfile::tempdir().unwrap();
    issue(&authority, folder.path(), 2_020);
    let controller = reviewer(&cluster, "one", &["--webhook-certificate", folder.path().to_str().unwrap()]);
    let values = folder.path().join("values.json");
    let given = json!({"webhook": {"certificateSecret": "ours", "caBundle": authority.pem()}});
    std::fs::write(&values, given.to_string()).unwrap();
    configure(&cluster, controller.port("webhook"), &["--values", values.to_str().unwrap()]);
    until("it is asked, and not believed", || {
        let refusal = ask(&cluster, "plain", &asking("early")).err()?;
        refusal.contains("certificate has expired").then_some(())
    });
    issue(&authority, folder.path(), 4_000);
    in_force(&cluster, "plain");
}

/// Somebody who signs certificates.
pub(super) fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate until that year.
pub(super) fn issue(authority: &CertifiedIssuer<'_, KeyPair>, folder: &Path, until: i32) {
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    params.not_after = date_time_ymd(until, 1, 1);
    let key = KeyPair::generate().unwrap();
    std::fs::write(folder.join("tls.key"), key.serialize_pem()).unwrap();
    std::fs::write(folder.join("tls.crt"), params.signed_by(&key, authority).unwrap().pem()).unwrap();
}
