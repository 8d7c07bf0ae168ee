use super::*;
use crate::{
    KeyState::{Active, Draining, Next},
    testing::{document, key_id, origin, reference},
};
use outrigger_core::{Origin, Scheme};
use proptest::prelude::*;

/// Bytes that name their key and version, bound to the provider of that name.
fn entry(name: &str, version: &str) -> (String, KeyEntry) {
    let entry = KeyEntry {
        origin: origin(name),
        ca_digest: None,
        key: Secret::new(format!("sk-{name}-{version}")),
    };
    (entry_name(&key_id(name), version), entry)
}

fn ring(entries: impl IntoIterator<Item = (String, KeyEntry)>) -> KeyRing {
    KeyRing {
        entries: entries.into_iter().collect(),
        ..KeyRing::default()
    }
}

/// Id, weight and bytes of a key.
type Shown = (String, u32, Option<String>);

/// Provider `main` with these versions referred to; its ring as it comes out, and what is pending.
fn main_ring(references: &[(&str, KeyState)], ring: &KeyRing, revoked: &Revoked) -> (Vec<Shown>, Vec<String>) {
    let mut document = document(&["main"]);
    document.keys = references
        .iter()
        .map(|(version, state)| reference("main", version, *state))
        .collect();
    let resolved = resolve(document, ring, revoked);
    let bytes = |id: &str| resolved.secrets.get(id).map(|secret| secret.expose().to_owned());
    let keys = resolved.table.providers[0].ring.iter();
    let keys = keys.map(|key| (key.id.clone(), key.weight, bytes(&key.id))).collect();
    (keys, resolved.pending)
}

fn key(version: &str, weight: u32) -> Shown {
    (format!("shop/main/a.{version}"), weight, Some(format!("sk-main-{version}")))
}

#[test]
fn the_best_version_with_bytes_serves_and_the_next_best_stands_by() {
    let all = [("old", Draining), ("new", Next), ("now", Active)];
    let none = Revoked::default();
    for (on_disk, expected) in [
        (&["old", "new", "now"][..], vec![key("now", 3), key("new", 0)]),
        (&["old", "now"], vec![key("now", 3), key("old", 0)]),
        (&["old", "new"], vec![key("new", 3), key("old", 0)]),
        (&["old"], vec![key("old", 3)]),
        (&[], vec![("shop/main/a.".to_owned(), 3, None)]),
    ] {
        let ring = ring(on_disk.iter().map(|version| entry("main", version)));
        let pending = if on_disk.is_empty() { vec![key_id("main")] } else { vec![] };
        assert_eq!(main_ring(&all, &ring, &none), (expected, pending), "{on_disk:?}");
    }
}

#[test]
fn of_one_state_the_first_named_is_the_newest() {
    let ring = ring([entry("main", "v2"), entry("main", "v1")]);
    let (keys, _) = main_ring(&[("v2", Draining), ("v1", Draining)], &ring, &Revoked::default());
    assert_eq!(keys, [key("v2", 3), key("v1", 0)]);
}

#[test]
fn a_revoked_version_is_never_used_again_whatever_a_later_document_says() {
    let ring = ring([entry("main", "v1"), entry("main", "v2")]);
    let mut revoked = Revoked::default();
    let (keys, pending) = main_ring(&[("v1", KeyState::Revoked), ("v2", Next)], &ring, &revoked);
    assert_eq!((keys, pending), (vec![key("v2", 3)], vec![]));

    let mut says_so = document(&["main"]);
    says_so.keys = vec![reference("main", "v1", KeyState::Revoked)];
    assert!(revoked.learn(&says_so));
    assert!(!revoked.learn(&says_so), "no news");
    let (keys, pending) = main_ring(&[("v1", Active)], &ring, &revoked);
    assert_eq!(keys, [("shop/main/a.".to_owned(), 3, None)]);
    assert!(pending.is_empty(), "nobody waits for bytes that must not be used");
    assert!(!revoked.contains(&key_id("other"), "v1"));
}

#[test]
fn bytes_go_only_where_they_are_bound_to() {
    let https = origin("main");
    let bound = |origin: Origin, ca_digest: Option<String>| {
        let (name, entry) = entry("main", "v1");
        ring([(
            name,
            KeyEntry {
                origin,
                ca_digest,
                ..entry
            },
        )])
    };
    let served = |ring: &KeyRing| main_ring(&[("v1", Active)], ring, &Revoked::default()).1.is_empty();
    assert!(served(&bound(https.clone(), None)));
    for other in [
        Origin {
            scheme: Scheme::Http,
            ..https.clone()
        },
        Origin {
            host: "evil.test".into(),
            ..https.clone()
        },
        Origin {
            port: 8443,
            ..https.clone()
        },
    ] {
        assert!(!served(&bound(other.clone(), None)), "{other:?}");
    }
    assert!(
        !served(&bound(https.clone(), Some(ca_digest("PEM")))),
        "the table lost the certificates"
    );

    let mut swapped = document(&["main"]);
    for (pem, same) in [("PEM", true), ("PEM of somebody else", false)] {
        swapped.table.providers[0].ca_pem = Some(pem.into());
        let resolved = resolve(swapped.clone(), &bound(https.clone(), Some(ca_digest("PEM"))), &Revoked::default());
        assert_eq!(!resolved.secrets.is_empty(), same, "{pem}");
    }
    assert!(
        resolve(swapped.clone(), &bound(https, None), &Revoked::default())
            .secrets
            .is_empty(),
        "the table gained certificates"
    );
}

#[test]
fn a_key_without_any_reference_gets_no_bytes() {
    let ring = ring([entry("main", "v1")]);
    assert_eq!(main_ring(&[], &ring, &Revoked::default()).0, [("shop/main/a.".to_owned(), 3, None)]);
}

/// An id that looks like another key with its version must not find that key's bytes.
#[test]
fn no_id_can_pass_for_another_key() {
    let mut document = document(&["main", "evil"]);
    document.table.providers[1].ring[0].id = format!("{}.v1", key_id("main"));
    let resolved = resolve(document.clone(), &ring([entry("main", "v1")]), &Revoked::default());
    assert!(resolved.secrets.contains_key("shop/main/a.v1"));
    assert!(!resolved.secrets.contains_key(&resolved.table.providers[1].ring[0].id));

    let dotted = [("1.v1", Active)];
    assert_eq!(
        main_ring(&dotted, &ring([entry("main", "1.v1")]), &Revoked::default()).0,
        [("shop/main/a.".to_owned(), 3, None)]
    );
}

#[test]
fn a_provider_without_keys_stays_without() {
    let mut document = document(&["main"]);
    document.table.providers[0].auth = Auth::None;
    document.table.providers[0].ring.clear();
    let resolved = resolve(document.clone(), &ring([entry("main", "v1")]), &Revoked::default());
    assert!(resolved.secrets.is_empty() && resolved.pending.is_empty());
}

/// Few names, so that they meet: the tables of this property name each other's keys and origins all the time.
fn names() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "b", "a.v1", "b.v1.v1"])
}

fn versions() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["v1", "v2", "", "v1.v1"])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Every (origin, certificates) that a table pairs with bytes is the one that those bytes are bound to, for any table and any disk.
    #[test]
    fn whatever_the_table_says_bytes_go_only_where_they_are_bound_to(
        providers in prop::collection::vec((names(), names(), prop::bool::ANY), 1..6),
        references in prop::collection::vec((names(), versions(), prop::sample::select(vec![Active, Next, Draining, KeyState::Revoked])), 0..8),
        on_disk in prop::collection::vec((names(), versions(), names(), prop::bool::ANY), 0..8),
        seen in prop::collection::vec((names(), versions()), 0..3),
    ) {
        let mut document = document(&providers.iter().map(|(name, ..)| *name).collect::<Vec<_>>());
        for (provider, (_, host, ca)) in document.table.providers.iter_mut().zip(&providers) {
            provider.origin = origin(host);
            provider.ca_pem = ca.then(|| "PEM".to_owned());
        }
        document.keys = references.iter().map(|(name, version, state)| reference(name, version, *state)).collect();
        let ring = ring(on_disk.iter().map(|(name, version, host, ca)| {
            let key = KeyEntry {
                origin: origin(host),
                ca_digest: ca.then(|| ca_digest("PEM")),
                key: Secret::new(format!("{name} {version} {host} {ca}")),
            };
            (entry_name(&key_id(name), version), key)
        }));
        let mut revoked = Revoked::default();
        let says_so = seen.iter().map(|(name, version)| reference(name, version, KeyState::Revoked)).collect();
        revoked.learn(&Document { keys: says_so, ..Document::default() });

        let resolved = resolve(document.clone(), &ring, &revoked);
        let (mut paired, before) = (0, document.table.clone());
        for (provider, asked) in resolved.table.providers.iter().zip(&before.providers) {
            prop_assert!(provider.ring.iter().filter(|key| key.weight > 0).count() == asked.ring.len());
            for secret in provider.ring.iter().filter_map(|key| resolved.secrets.get(&key.id)) {
                paired += 1;
                let parts: Vec<&str> = secret.expose().split(' ').collect();
                prop_assert_eq!(&provider.origin, &origin(parts[2]));
                prop_assert_eq!(provider.ca_pem.is_some(), parts[3] == "true");
                prop_assert_eq!(&asked.ring[0].id, &key_id(parts[0]));
                prop_assert!(!seen.contains(&(parts[0], parts[1])));
            }
        }
        prop_assert!(paired >= resolved.secrets.len());
    }
}
