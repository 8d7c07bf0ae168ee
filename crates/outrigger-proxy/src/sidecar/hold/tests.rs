use super::super::testing::{document, origin, ring, served};
use super::*;
use outrigger_snapshot::KeyState::{Active, Revoked as Gone};

type Served = Vec<(String, Vec<String>)>;

fn held(next: &Document, before: &Document, ring: &KeyRing, revoked: &Revoked) -> (Served, Vec<String>) {
    let (resolved, _) = hold(&Packed::of(next), &Packed::of(before), ring, revoked).unwrap();
    (served(&resolved), resolved.pending)
}

fn route(name: &str, bytes: &[&str]) -> (String, Vec<String>) {
    (name.into(), bytes.iter().map(|bytes| (*bytes).to_owned()).collect())
}

#[test]
fn a_route_that_cannot_serve_yet_keeps_its_last_version_and_the_others_follow_the_new_document() {
    let before = document(&[("r", "old"), ("other", "old")], &[("old", "v1", Active)]);
    let next = document(
        &[("r", "new"), ("other", "other")],
        &[("new", "v1", Active), ("other", "v1", Active)],
    );
    let on_disk = ring(&[("old", "v1"), ("other", "v1")]);
    let (routes, pending) = held(&next, &before, &on_disk, &Revoked::default());
    assert_eq!(routes, [route("r", &["old v1"]), route("other", &["other v1"])]);
    assert_eq!(pending, ["shop/new/a"], "it is still told what is missing");

    let complete = ring(&[("old", "v1"), ("other", "v1"), ("new", "v1")]);
    let (routes, pending) = held(&next, &before, &complete, &Revoked::default());
    assert_eq!(
        (routes, pending),
        (vec![route("r", &["new v1"]), route("other", &["other v1"])], vec![])
    );
}

#[test]
fn what_stands_in_serves_minus_what_is_revoked() {
    let before = document(&[("r", "old")], &[("old", "v1", Active)]);
    let next = document(&[("r", "new")], &[("new", "v1", Active), ("old", "v1", Gone)]);
    let mut revoked = Revoked::default();
    revoked.learn(&next);
    let (routes, _) = held(&next, &before, &ring(&[("old", "v1")]), &revoked);
    assert_eq!(routes, [route("r", &[])]);
}

#[test]
fn a_route_that_is_gone_stays_gone_and_a_new_one_waits() {
    let before = document(&[("gone", "old")], &[("old", "v1", Active)]);
    let next = document(&[("fresh", "new")], &[("new", "v1", Active)]);
    let (routes, _) = held(&next, &before, &ring(&[("old", "v1")]), &Revoked::default());
    assert_eq!(routes, [route("fresh", &[])]);
}

#[test]
fn a_route_with_one_usable_target_is_not_held_back() {
    let before = document(&[("r", "old")], &[("old", "v1", Active)]);
    let mut next = document(&[("r", "new"), ("x", "other")], &[("new", "v1", Active), ("other", "v1", Active)]);
    let second = next.table.routes[1].rules[0].candidates[0].clone();
    next.table.routes[0].rules[0].candidates.push(second);
    let (routes, _) = held(&next, &before, &ring(&[("old", "v1"), ("other", "v1")]), &Revoked::default());
    assert_eq!(routes[0], route("r", &[]), "its first target is skipped, its second serves");
}

/// Where all that a route has is revoked nobody waits for bytes, and nothing comes back.
#[test]
fn a_route_whose_keys_are_revoked_is_not_held() {
    let before = document(&[("r", "old")], &[("old", "v1", Active)]);
    let next = document(&[("r", "new")], &[("new", "v1", Gone)]);
    let (routes, pending) = held(&next, &before, &ring(&[("old", "v1"), ("new", "v1")]), &Revoked::default());
    assert_eq!((routes, pending), (vec![route("r", &[])], vec![]));
}

/// The provider moves: bytes on disk are still bound to where it was.
#[test]
fn a_route_goes_on_at_the_old_place_until_bytes_for_the_new_one_come() {
    let before = document(&[("r", "p")], &[("p", "v1", Active)]);
    let mut next = before.clone();
    next.table.providers[0].origin = origin("elsewhere");
    let (resolved, composite) = hold(&Packed::of(&next), &Packed::of(&before), &ring(&[("p", "v1")]), &Revoked::default()).unwrap();
    let composite = composite.unwrap();
    assert_eq!(served(&resolved), [route("r", &["p v1"])]);
    let target = composite.table.routes[0].rules[0].candidates[0].target;
    assert_eq!(
        composite.table.providers[composite.table.targets[target].provider].origin,
        origin("p")
    );
}

#[test]
fn what_stands_in_does_so_through_any_number_of_further_documents() {
    let on_disk = ring(&[("old", "v1")]);
    let none = Revoked::default();
    let mut held = Packed::of(&document(&[("r", "old"), ("s", "old")], &[("old", "v1", Active)]));
    for generation in ["b", "c", "d"] {
        let next = document(&[("r", generation), ("s", generation)], &[(generation, "v1", Active)]);
        let (resolved, composite) = hold(&Packed::of(&next), &held, &on_disk, &none).unwrap();
        assert_eq!(served(&resolved), [route("r", &["old v1"]), route("s", &["old v1"])]);
        let composite = composite.unwrap();
        assert_eq!(composite.table.providers.len(), 2, "nothing piles up");
        assert_eq!(composite.table.targets.len(), 2);
        held = Packed::of(&composite);
    }
}
