use super::super::testing::{NAMESPACE, data, document, mac, ring, served, serves};
use super::*;
use outrigger_snapshot::{
    KeyState::{self, Active, Draining, Next},
    MacKey, seal,
};

mod properties;

const PATIENCE: Duration = Duration::from_secs(30);

fn at(seconds: u64) -> Tick {
    Tick(seconds * 1_000_000)
}

/// An authority with the bytes of `p v1`, and what it said last.
struct World {
    authority: Authority,
    now: Tick,
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            authority: Authority::new(NAMESPACE.into(), PATIENCE, at(0)),
            now: at(0),
        };
        assert!(world.take(Event::Keys(ring(&[("p", "v1")]))).is_none());
        world
    }

    /// Generation and source of what is installed.
    fn take(&mut self, event: Event) -> Option<(u64, Source)> {
        let decision = self.authority.take(event, self.now);
        assert_eq!(decision.refused, []);
        self.authority.confirm();
        decision.install.map(|install| (install.generation, install.source))
    }

    fn refused(&mut self, event: Event) -> Vec<&'static str> {
        let decision = self.authority.take(event, self.now);
        assert!(decision.install.is_none());
        decision.refused.iter().map(|refusal| refusal.rejected.reason()).collect()
    }

    fn in_force(&self) -> Option<u64> {
        self.authority.force.as_ref().map(|force| force.generation)
    }
}

/// Routes that say which number they came with: each is a document of its own.
fn numbered(generation: u64) -> Data {
    data(&document(&[(&format!("r{generation}"), "p")], &[("p", "v1", Active)]), generation)
}

fn mounted(generation: u64) -> Event {
    Event::Mounted(Some(numbered(generation)))
}

fn watched(generation: u64) -> Event {
    Event::Watched(Some(numbered(generation)))
}

#[test]
fn at_boot_the_mount_counts_and_later_only_a_higher_number_once_the_watch_has_been_dead_for_long_enough() {
    let mut world = World::new();
    assert_eq!(world.take(mounted(5)), Some((5, Source::Mount)));
    assert_eq!(world.take(mounted(7)), None, "the watch may come yet");
    assert_eq!(world.authority.wake(), Some(at(30)));
    world.now = at(29);
    assert_eq!(world.take(Event::Woken), None);
    world.now = at(30);
    assert_eq!(world.take(Event::Woken), Some((7, Source::Mount)));
    assert_eq!(world.authority.wake(), None, "nothing to wait for");
    assert_eq!(world.take(mounted(6)), None, "an old document replayed");
    assert_eq!(world.take(mounted(8)), Some((8, Source::Mount)));
}

#[test]
fn a_live_watch_is_the_truth_whatever_number_it_carries() {
    let mut world = World::new();
    world.take(mounted(100));
    assert_eq!(world.take(watched(3)), Some((3, Source::Watch)));
    world.now = at(1_000);
    assert_eq!(world.take(mounted(200)), None);
    assert_eq!(world.take(Event::Woken), None);
    assert_eq!(world.take(watched(2)), Some((2, Source::Watch)));
}

#[test]
fn a_watch_that_comes_back_in_time_leaves_the_mount_out() {
    let mut world = World::new();
    world.take(watched(3));
    world.take(mounted(9));
    world.take(Event::Lost);
    world.now = at(20);
    world.take(Event::Lost);
    assert_eq!(world.authority.wake(), Some(at(30)), "dead since the first loss");
    assert_eq!(world.take(watched(3)), None);
    world.now = at(40);
    assert_eq!(world.take(Event::Woken), None);
    world.take(Event::Lost);
    world.now = at(70);
    assert_eq!(world.take(Event::Woken), Some((9, Source::Mount)));
}

#[test]
fn without_a_watch_a_higher_number_counts_at_once() {
    let mut authority = Authority::new(NAMESPACE.into(), Duration::ZERO, at(0));
    let mut take = |event| authority.take(event, at(0)).install.map(|install| install.generation);
    take(Event::Keys(ring(&[("p", "v1")])));
    assert_eq!(take(mounted(5)), Some(5));
    assert_eq!(take(mounted(4)), None);
    assert_eq!(take(mounted(6)), Some(6));
}

#[test]
fn a_deleted_config_map_keeps_the_last_good_and_one_made_again_counts() {
    let mut world = World::new();
    world.take(watched(5));
    assert_eq!(world.take(Event::Watched(None)), None);
    assert_eq!(world.take(Event::Mounted(None)), None);
    assert_eq!(world.in_force(), Some(5));
    assert_eq!(world.take(watched(2)), Some((2, Source::Watch)));
}

#[test]
fn where_the_api_server_has_none_yet_the_mount_serves() {
    let mut world = World::new();
    world.take(Event::Watched(None));
    assert_eq!(world.take(mounted(5)), Some((5, Source::Mount)));
    assert_eq!(world.take(mounted(6)), None);
}

#[test]
fn the_same_document_from_the_other_source_is_no_news() {
    let mut world = World::new();
    world.take(mounted(5));
    assert_eq!(world.take(watched(5)), None);
    assert_eq!(world.authority.force.as_ref().unwrap().source, Source::Watch);
}

#[test]
fn what_is_tampered_with_changes_nothing_and_is_told() {
    let mut world = World::new();
    world.take(watched(5));
    let change = |name: &str, value: String| {
        let mut data = numbered(6);
        data.insert(name.into(), value);
        data
    };
    let other = MacKey::from_bytes(&[8; 32]).unwrap();
    let redirected = document(&[("r", "evil")], &[("p", "v1", Active)]);
    let forged = seal(&redirected, 7, &other).unwrap().to_data();
    let elsewhere = {
        let mut document = document(&[("r", "p")], &[]);
        document.namespace = "other".into();
        seal(&document, 7, &mac()).unwrap().to_data()
    };
    for (data, reason) in [
        (change("generation", u64::MAX.to_string()), "mac"),
        (change("mac", "0".repeat(64)), "mac"),
        (change("table", forged["table"].clone()), "mac"),
        (change("table", "not base64".into()), "malformed"),
        (change("schemaVersion", "9".into()), "mac"),
        (forged, "mac"),
        (elsewhere, "mac"),
        (Data::new(), "malformed"),
    ] {
        assert_eq!(world.refused(Event::Watched(Some(data.clone()))), [reason]);
        assert_eq!(world.refused(Event::Mounted(Some(data))), [reason]);
        assert_eq!(world.in_force(), Some(5));
    }
    assert_eq!(world.take(watched(4)), Some((4, Source::Watch)), "the controller mends it");
}

#[test]
fn without_a_mac_key_nothing_runs_and_its_arrival_is_enough() {
    let mut authority = Authority::new(NAMESPACE.into(), PATIENCE, at(0));
    let decision = authority.take(mounted(5), at(0));
    assert!(decision.install.is_none());
    assert_eq!(
        decision.refused,
        [Refusal {
            source: Source::Mount,
            rejected: Rejected::Mac
        }]
    );
    let decision = authority.take(Event::Keys(ring(&[("p", "v1")])), at(0));
    assert_eq!(decision.install.map(|install| install.generation), Some(5));
}

#[test]
fn a_document_for_the_next_mac_key_counts_as_soon_as_that_is_mounted() {
    let mut world = World::new();
    world.take(watched(5));
    let next = MacKey::from_bytes(&[9; 32]).unwrap();
    let early = seal(&document(&[("r6", "p")], &[("p", "v1", Active)]), 6, &next).unwrap().to_data();
    assert_eq!(world.refused(Event::Watched(Some(early))), ["mac"]);
    let keys = KeyRing {
        mac: Some(next),
        ..ring(&[("p", "v1")])
    };
    assert_eq!(world.take(Event::Keys(keys)), Some((6, Source::Watch)));
}

#[test]
fn new_bytes_take_effect_at_once() {
    let mut world = World::new();
    let rotated = document(&[("r", "p")], &[("p", "v2", Active), ("p", "v1", Draining)]);
    let now = world.now;
    let decision = world.authority.take(Event::Watched(Some(data(&rotated, 5))), now);
    assert_eq!(
        served(&decision.install.unwrap().resolved),
        [("r".to_owned(), vec!["p v1".to_owned()])]
    );
    let decision = world.authority.take(Event::Keys(ring(&[("p", "v1"), ("p", "v2")])), now);
    assert_eq!(
        served(&decision.install.unwrap().resolved),
        [("r".to_owned(), vec!["p v2".to_owned(), "p v1".to_owned()])]
    );
    let decision = world.authority.take(Event::Keys(ring(&[("p", "v2")])), now);
    assert_eq!(
        served(&decision.install.unwrap().resolved),
        [("r".to_owned(), vec!["p v2".to_owned()])]
    );
}

#[test]
fn a_version_once_seen_revoked_never_comes_back() {
    let mut world = World::new();
    let now = world.now;
    let old = data(&document(&[("r", "p")], &[("p", "v1", Active)]), 4);
    world.take(Event::Watched(Some(old.clone())));
    let revoking = data(&document(&[("r", "p")], &[("p", "v2", Next), ("p", "v1", KeyState::Revoked)]), 5);
    let decision = world.authority.take(Event::Watched(Some(revoking)), now);
    assert_eq!(
        served(&decision.install.unwrap().resolved),
        [("r".to_owned(), vec![])],
        "although no other bytes are there"
    );
    // Replayed by whoever may edit ConfigMaps, and in force until the controller mends it.
    let decision = world.authority.take(Event::Watched(Some(old)), now);
    assert_eq!(served(&decision.install.unwrap().resolved), [("r".to_owned(), vec![])]);
    let decision = world.authority.take(Event::Keys(ring(&[("p", "v1"), ("p", "v2")])), now);
    assert_eq!(served(&decision.install.unwrap().resolved), [("r".to_owned(), vec![])]);
}

/// A mount that does not count yet may still be the first to say so.
#[test]
fn a_revocation_counts_even_where_its_document_does_not() {
    let mut world = World::new();
    let now = world.now;
    world.take(watched(5));
    let revoking = data(&document(&[("r5", "p")], &[("p", "v1", KeyState::Revoked)]), 9);
    let install = world.authority.take(Event::Mounted(Some(revoking)), now).install.unwrap();
    assert_eq!(install.generation, 5);
    assert_eq!(served(&install.resolved), [("r5".to_owned(), vec![])]);
}

#[test]
fn a_document_that_the_data_plane_cannot_use_gives_way_to_the_one_before_minus_what_it_revokes() {
    let mut world = World::new();
    let now = world.now;
    world.take(watched(5));
    let bad = document(&[("r6", "q")], &[("p", "v1", KeyState::Revoked)]);
    let install = world.authority.take(Event::Watched(Some(data(&bad, 6))), now).install.unwrap();
    assert_eq!(install.generation, 6);
    let back = world.authority.unusable().unwrap();
    assert_eq!((back.generation, served(&back.resolved)), (5, vec![("r5".to_owned(), vec![])]));
    assert_eq!(world.take(Event::Woken), None, "it is not tried again");
    assert_eq!(world.take(Event::Watched(Some(data(&bad, 6)))), None);
    assert_eq!(world.in_force(), Some(5));
    assert_eq!(world.take(watched(7)), Some((7, Source::Watch)));

    let mut empty = World::new();
    let now = empty.now;
    empty.authority.take(watched(1), now);
    assert!(empty.authority.unusable().is_none(), "nothing was in force before");
    assert_eq!(empty.take(Event::Woken), None);
}

#[test]
fn a_route_without_bytes_keeps_its_version_of_before_until_they_come() {
    let mut world = World::new();
    let now = world.now;
    world.take(Event::Watched(Some(data(&document(&[("r", "p")], &[("p", "v1", Active)]), 5))));
    let moved = document(&[("r", "q")], &[("q", "v1", Active)]);
    let install = world.authority.take(Event::Watched(Some(data(&moved, 6))), now).install.unwrap();
    assert_eq!(served(&install.resolved), [("r".to_owned(), vec!["p v1".to_owned()])]);
    assert_eq!(install.resolved.pending, ["shop/q/a"]);
    let both = ring(&[("p", "v1"), ("q", "v1")]);
    let install = world.authority.take(Event::Keys(both.clone()), now).install.unwrap();
    assert_eq!(served(&install.resolved), serves(&moved, &both));
    assert!(install.resolved.pending.is_empty());
}
