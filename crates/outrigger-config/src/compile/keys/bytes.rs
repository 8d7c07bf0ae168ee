//! The bytes that a key names: Secrets for its ring, a ConfigMap for its certificates.

use super::super::{
    Mode, Report, Subject,
    index::{Index, Name, Named},
};
use crate::{
    diagnostics::{Reason, nearest, quoted},
    objects::{Datum, ORIGINS, SecretObject},
    units::{BaseUrl, Shown},
    v1alpha1::{DataKeyRef, ProviderKey},
};
use outrigger_core::{Origin, RingKey, Secret};
use sha2::{Digest, Sha256};

/// More than any provider's key, less than a header may hold.
const MAX_KEY_BYTES: usize = 8 << 10;

/// The usable keys of a ring and their bytes by id. `foreign` is the origin they go to where that is not the catalogue's own.
pub(super) fn ring(
    index: &Index<'_>,
    key: &Named<'_, ProviderKey>,
    foreign: Option<&Origin>,
    report: &mut Report,
) -> (Vec<RingKey>, Vec<(String, Secret)>) {
    let mut ring = Vec::new();
    let mut secrets = Vec::new();
    let (namespace, name) = key.name;
    for (at, entry) in key.object.spec.keys.iter().enumerate() {
        let field = format!("spec.keys[{at}].secretRef");
        let Some(object) = secret_object(index, namespace, key.subject(), &entry.secret_ref, &field, report) else {
            continue;
        };
        let Some(secret) = secret(object, namespace, key.subject(), &entry.secret_ref, &field, report) else {
            continue;
        };
        if let Some(origin) = foreign
            && !opted_in(index.mode, object, key, origin, &field, report)
        {
            continue;
        }
        let version = version(secret.expose());
        if key.object.spec.rotation.revokes(&version) {
            let (shown, revoked) = (shown(namespace, &entry.secret_ref), "spec.rotation.revokedVersions");
            let message = format!("{shown} still holds version {version}, which {revoked} names, so it is not used");
            let help = "store another key there; the new bytes are another version and are used at once";
            report.warning(key.subject(), Reason::KeyRevoked, &format!("{field}.key"), message, help);
            continue;
        }
        let id = format!("{namespace}/{name}/{}.{version}", entry.name);
        secrets.push((id.clone(), secret.clone()));
        ring.push(RingKey {
            name: entry.name.clone(),
            id,
            weight: entry.weight.max(1),
        });
    }
    (ring, secrets)
}

/// Which bytes these are: the first eight hex digits of their SHA-256.
fn version(bytes: &str) -> String {
    let [a, b, c, d, ..] = Sha256::digest(bytes).0;
    format!("{:08x}", u32::from_be_bytes([a, b, c, d]))
}

fn secret_object<'a>(
    index: &Index<'a>,
    namespace: &str,
    about: Subject<'_>,
    wanted: &DataKeyRef,
    field: &str,
    report: &mut Report,
) -> Option<&'a SecretObject> {
    let found = index.secrets.get(&(namespace, wanted.name.as_str())).copied();
    if found.is_none() {
        let names = index.secrets.keys().filter(|name| name.0 == namespace).map(|name| name.1);
        let help = match nearest(&wanted.name, names) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!(
                "create it: kubectl -n {namespace} create secret generic {} --from-literal={}=…",
                wanted.name, wanted.key
            ),
        };
        let message = format!("there is no Secret {}", quoted(&format!("{namespace}/{}", wanted.name)));
        report.error(about, Reason::SecretNotFound, &format!("{field}.name"), message, help);
    }
    found
}

/// The bytes, fit for a request header.
fn secret<'a>(
    object: &'a SecretObject,
    namespace: &str,
    about: Subject<'_>,
    wanted: &DataKeyRef,
    field: &str,
    report: &mut Report,
) -> Option<&'a Secret> {
    let field = format!("{field}.key");
    let shown = shown(namespace, wanted);
    let secret = match object.data.get(&wanted.key) {
        Some(Datum::Text(secret)) => secret,
        Some(Datum::Binary) => {
            report.error(
                about,
                Reason::InvalidKey,
                &field,
                format!("{shown} is no text"),
                "store the key as the provider shows it",
            );
            return None;
        }
        None => {
            let help = match nearest(&wanted.key, object.data.keys().map(String::as_str)) {
                Some(near) => format!("did you mean `{near}`?"),
                None if object.data.is_empty() => "the Secret has no entries".to_owned(),
                None => format!("its entries are {}", object.data.keys().cloned().collect::<Vec<_>>().join(", ")),
            };
            report.error(about, Reason::SecretKeyNotFound, &field, format!("there is no {shown}"), help);
            return None;
        }
    };
    match flaw(secret.expose()) {
        None => Some(secret),
        Some((flaw, help)) => {
            report.error(about, Reason::InvalidKey, &field, format!("{shown} {flaw}"), help);
            None
        }
    }
}

/// An entry of a Secret, in words.
fn shown(namespace: &str, entry: &DataKeyRef) -> String {
    let secret = quoted(&format!("{namespace}/{}", entry.name));
    format!("{} of Secret {secret}", quoted(&entry.key))
}

/// What keeps `bytes` from being a key, in words that do not quote them.
fn flaw(bytes: &str) -> Option<(&'static str, &'static str)> {
    const NO_NEWLINE: &str = "write it without one: printf %s instead of echo, or an editor that adds none";
    if bytes.trim().is_empty() {
        Some(("is empty", "store the key as the provider shows it"))
    } else if bytes.trim_end_matches(['\r', '\n']) != bytes {
        Some(("ends in a line break", NO_NEWLINE))
    } else if bytes.contains(['\r', '\n']) {
        Some(("has a line break in it", "store one key per entry"))
    } else if bytes.trim() != bytes {
        Some(("starts or ends with a space", "remove it"))
    } else if !bytes.bytes().all(|byte| byte.is_ascii_graphic()) {
        Some((
            "has characters that no header can carry",
            "store the key as the provider shows it, without quotes around or spaces inside",
        ))
    } else if bytes.len() > MAX_KEY_BYTES {
        Some(("is longer than a header may be", "store the key alone"))
    } else {
        None
    }
}

/// Whether a Secret's bytes may go to `origin`: whoever writes a ProviderKey may not be the one who may read the Secret, so the Secret's owner
/// says where its bytes may go. In files the two are one, and a missing word is only remarked on.
fn opted_in(mode: Mode, object: &SecretObject, key: &Named<'_, ProviderKey>, origin: &Origin, field: &str, report: &mut Report) -> bool {
    let allows = |text: &String| BaseUrl::parse(text).is_ok_and(|url| url.path.is_empty() && url.origin == *origin);
    if object.origins.iter().any(allows) {
        return true;
    }
    let (namespace, origin, field) = (key.name.0, Shown(origin), format!("{field}.name"));
    let secret = quoted(&format!("{namespace}/{}", object.name));
    let message =
        format!("Secret {secret} does not say that its bytes may go to {origin}, which is not the catalogue's host of this provider");
    match mode {
        Mode::Files => {
            let help = format!("annotate the Secret with {ORIGINS}: \"{origin}\"; a cluster refuses the key without it");
            report.warning(key.subject(), Reason::SecretNotOptedIn, &field, message, help);
            true
        }
        Mode::Cluster => {
            let help = format!(
                "let its owner say so: kubectl -n {namespace} annotate secret {} {ORIGINS}={origin}",
                object.name
            );
            report.error(key.subject(), Reason::SecretNotOptedIn, &field, message, help);
            false
        }
    }
}

/// The certificates of a bundle; `None` where they are not there, without which no connection could be trusted.
pub(super) fn ca_bundle(index: &Index<'_>, key: Name<'_>, about: Subject<'_>, wanted: &DataKeyRef, report: &mut Report) -> Option<String> {
    let field = "spec.endpoint.caBundle.configMapRef";
    let shown = quoted(&format!("{}/{}", key.0, wanted.name));
    let Some(map) = index.config_maps.get(&(key.0, wanted.name.as_str())) else {
        let names = index.config_maps.keys().filter(|name| name.0 == key.0).map(|name| name.1);
        let help = nearest(&wanted.name, names).map_or_else(
            || "create it with the certificates in PEM form".to_owned(),
            |near| format!("did you mean `{near}`?"),
        );
        report.error(
            about,
            Reason::ConfigMapNotFound,
            &format!("{field}.name"),
            format!("there is no ConfigMap {shown}"),
            help,
        );
        return None;
    };
    let Some(pem) = map.data.get(&wanted.key) else {
        let names = map.data.keys().map(String::as_str);
        let help =
            nearest(&wanted.key, names).map_or_else(|| "put the certificates there".to_owned(), |near| format!("did you mean `{near}`?"));
        report.error(
            about,
            Reason::ConfigMapKeyNotFound,
            &format!("{field}.key"),
            format!("there is no {} in ConfigMap {shown}", quoted(&wanted.key)),
            help,
        );
        return None;
    };
    if !pem.contains("-----BEGIN CERTIFICATE-----") {
        let message = format!("{} of ConfigMap {shown} holds no certificate", quoted(&wanted.key));
        report.error(
            about,
            Reason::InvalidCertificate,
            &format!("{field}.key"),
            message,
            "store PEM text: it begins with -----BEGIN CERTIFICATE-----",
        );
        return None;
    }
    Some(pem.clone())
}
