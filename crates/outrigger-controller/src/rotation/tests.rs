//! Rotation, step by step with a clock of our own.

use super::*;
use proptest::prelude::*;

const OVERLAP: u64 = 10 * 60 * 1_000;

fn rules() -> Rules {
    Rules {
        overlap_ms: OVERLAP,
        verify: true,
        revoked: BTreeSet::new(),
    }
}

fn revoking(versions: &[&str]) -> Rules {
    Rules {
        revoked: versions.iter().map(|version| (*version).to_owned()).collect(),
        ..rules()
    }
}

fn held(versions: &[(&str, State, u64)]) -> Vec<Held> {
    let one = |(version, state, since): &(&str, State, u64)| Held {
        version: (*version).to_owned(),
        state: *state,
        since: *since,
    };
    versions.iter().map(one).collect()
}

fn shown(step: &Step) -> Vec<(&str, State)> {
    step.held.iter().map(|each| (each.version.as_str(), each.state)).collect()
}

#[test]
fn the_first_version_serves_at_once() {
    let step = step(&[], Source::Usable("aa"), Finding::Pending, &rules(), 5);
    assert_eq!(step.held, held(&[("aa", State::Active, 5)]));
    assert_eq!((step.waiting, step.again), (None, None));
}

#[test]
fn a_rotation_goes_validating_next_active_draining_gone() {
    let start = held(&[("aa", State::Active, 1)]);
    let validating = step(&start, Source::Usable("bb"), Finding::Pending, &rules(), 10);
    assert_eq!(validating.held, start);
    assert_eq!(validating.waiting, Some(Waiting::Validating("bb".to_owned())));

    let next = step(&validating.held, Source::Usable("bb"), Finding::Accepted, &rules(), 20);
    assert_eq!(shown(&next), [("aa", State::Active), ("bb", State::Next)]);
    assert_eq!(next.again, Some(0), "the next step needs no clock");

    let active = step(&next.held, Source::Usable("bb"), Finding::Accepted, &rules(), 21);
    assert_eq!(active.held, held(&[("bb", State::Active, 21), ("aa", State::Draining, 21)]));
    assert_eq!(active.again, Some(21 + OVERLAP));

    let still = step(&active.held, Source::Usable("bb"), Finding::Accepted, &rules(), 20 + OVERLAP);
    assert_eq!(still, active, "until the overlap is over nothing changes");
    let gone = step(&active.held, Source::Usable("bb"), Finding::Accepted, &rules(), 21 + OVERLAP);
    assert_eq!(shown(&gone), [("bb", State::Active)]);
    assert_eq!(gone.again, None);
}

#[test]
fn a_refused_version_changes_nothing() {
    let start = held(&[("aa", State::Active, 1)]);
    let step = step(&start, Source::Usable("bb"), Finding::Refused, &rules(), 10);
    assert_eq!(step.held, start);
    assert_eq!(step.waiting, Some(Waiting::Refused("bb".to_owned())));
}

#[test]
fn a_provider_out_of_reach_holds_a_rotation_up_for_two_minutes() {
    let start = held(&[("aa", State::Active, 1)]);
    let out = Finding::Unreachable { since: 1_000 };
    let waits = step(&start, Source::Usable("bb"), out, &rules(), 1_000 + PATIENCE_MS - 1);
    assert_eq!(waits.held, start);
    assert_eq!(waits.again, Some(1_000 + PATIENCE_MS));
    let promoted = step(&start, Source::Usable("bb"), out, &rules(), 1_000 + PATIENCE_MS);
    assert_eq!(shown(&promoted), [("aa", State::Active), ("bb", State::Next)]);
}

#[test]
fn without_verification_or_where_asking_cannot_tell_a_rotation_does_not_wait() {
    let start = held(&[("aa", State::Active, 1)]);
    let unverified = Rules { verify: false, ..rules() };
    for (rules, finding) in [(unverified, Finding::Refused), (rules(), Finding::Unclear)] {
        let step = step(&start, Source::Usable("bb"), finding, &rules, 10);
        assert_eq!(shown(&step), [("aa", State::Active), ("bb", State::Next)]);
    }
}

#[test]
fn a_source_without_usable_bytes_keeps_what_serves_and_what_drains_still_ends() {
    let start = held(&[("bb", State::Active, 5), ("aa", State::Draining, 5)]);
    assert_eq!(step(&start, Source::Unusable, Finding::Pending, &rules(), 10).held, start);
    let later = step(&start, Source::Unusable, Finding::Pending, &rules(), 5 + OVERLAP);
    assert_eq!(shown(&later), [("bb", State::Active)]);
}

#[test]
fn a_revoked_version_goes_at_once_and_never_comes_back_from_its_source() {
    let start = held(&[("bb", State::Active, 5), ("aa", State::Draining, 5)]);
    let back = step(&start, Source::Usable("bb"), Finding::Accepted, &revoking(&["bb"]), 10);
    assert_eq!(back.held, held(&[("aa", State::Active, 10)]), "what was in use before it serves");
    assert_eq!(back.waiting, Some(Waiting::Revoked("bb".to_owned())));
    let none = step(&start, Source::Usable("bb"), Finding::Accepted, &revoking(&["aa", "bb"]), 10);
    assert!(none.held.is_empty());
    let replaced = step(&start, Source::Usable("cc"), Finding::Pending, &revoking(&["aa", "bb"]), 10);
    assert_eq!(shown(&replaced), [("cc", State::Active)], "nothing is left to protect");
}

#[test]
fn what_served_before_a_revoked_version_is_protected_like_any_other() {
    let start = held(&[("bb", State::Active, 5), ("aa", State::Draining, 5)]);
    for (finding, waiting) in [
        (Finding::Refused, Waiting::Refused("cc".to_owned())),
        (Finding::Pending, Waiting::Validating("cc".to_owned())),
    ] {
        let step = step(&start, Source::Usable("cc"), finding, &revoking(&["bb"]), 10);
        assert_eq!(step.held, held(&[("aa", State::Active, 10)]));
        assert_eq!(step.waiting, Some(waiting));
    }
}

#[test]
fn a_source_that_goes_back_to_a_draining_version_needs_no_new_bytes() {
    let start = held(&[("bb", State::Active, 5), ("aa", State::Draining, 5)]);
    let back = step(&start, Source::Usable("aa"), Finding::Accepted, &rules(), 10);
    assert_eq!(back.held, held(&[("aa", State::Active, 10), ("bb", State::Draining, 10)]));
}

#[test]
fn a_source_that_moves_on_before_next_served_lets_next_drain() {
    let start = held(&[("aa", State::Active, 1), ("bb", State::Next, 5)]);
    let step = step(&start, Source::Usable("cc"), Finding::Accepted, &rules(), 10);
    assert_eq!(shown(&step), [("aa", State::Active), ("cc", State::Next), ("bb", State::Draining)]);
}

#[test]
fn a_clock_that_was_set_back_keeps_nothing_for_ever() {
    let start = held(&[("bb", State::Active, 5), ("aa", State::Draining, u64::MAX)]);
    assert_eq!(
        step(&start, Source::Usable("bb"), Finding::Accepted, &rules(), 10).again,
        Some(10 + OVERLAP)
    );
}

fn findings() -> impl Strategy<Value = Finding> {
    prop_oneof![
        1 => Just(Finding::Pending),
        3 => Just(Finding::Accepted),
        1 => Just(Finding::Refused),
        1 => Just(Finding::Unclear),
        1 => (0..PATIENCE_MS * 2).prop_map(|since| Finding::Unreachable { since }),
    ]
}

/// (what the source holds, what its provider says, what is revoked, milliseconds later)
type Turn = (Option<&'static str>, Finding, Vec<&'static str>, u64);

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    const VERSIONS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
    let source = prop_oneof![6 => proptest::sample::select(&VERSIONS[..]).prop_map(Some), 1 => Just(None)];
    let revoked = prop_oneof![4 => Just(Vec::new()), 1 => proptest::collection::vec(proptest::sample::select(&VERSIONS[..]), 1..3)];
    let later = prop_oneof![4 => 0..1_000_u64, 1 => Just(PATIENCE_MS), 1 => Just(OVERLAP)];
    proptest::collection::vec((source, findings(), revoked, later), 1..40)
}

proptest! {
    #[test]
    fn whatever_happens_the_versions_stay_few_and_one_of_them_serves(turns in turns()) {
        let (mut now, mut at) = (1_000, Vec::new());
        for (source, finding, revoked, later) in turns {
            now += later;
            let rules = revoking(&revoked);
            let source = source.map_or(Source::Unusable, Source::Usable);
            let step = step(&at, source, finding, &rules, now);
            let count = |state| step.held.iter().filter(|each| each.state == state).count();
            prop_assert!(count(State::Next) <= 1);
            prop_assert!(count(State::Draining) <= MOST_DRAINING);
            prop_assert_eq!(count(State::Active), usize::from(!step.held.is_empty()));
            let versions: BTreeSet<_> = step.held.iter().map(|each| &each.version).collect();
            prop_assert_eq!(versions.len(), step.held.len(), "no version twice");
            prop_assert!(step.held.iter().all(|each| !rules.revoked.contains(&each.version)));
            // A version that serves is replaced only when it is revoked, or when the new one may serve.
            let served = at.iter().find(|each: &&Held| each.state == State::Active).map(|each| each.version.clone());
            let serves = step.held.iter().find(|each| each.state == State::Active).map(|each| each.version.clone());
            if finding == Finding::Refused && served != serves && at.iter().all(|each| each.state != State::Next) {
                prop_assert!(served.is_none_or(|served| rules.revoked.contains(&served)));
                // And what then serves is not the refused one, unless there is nothing else.
                let others = at.iter().any(|each| !rules.revoked.contains(&each.version));
                let draining = at.iter().any(|each| Some(&each.version) == serves.as_ref());
                prop_assert!(!others || draining);
            }
            at = step.held;
        }
    }

    #[test]
    fn what_has_settled_stays(turns in turns()) {
        let (mut now, mut at) = (1_000, Vec::new());
        for (source, finding, revoked, later) in turns {
            now += later;
            let rules = revoking(&revoked);
            let source = source.map_or(Source::Unusable, Source::Usable);
            let mut first = step(&at, source, finding, &rules, now);
            if first.again == Some(0) {
                first = step(&first.held, source, finding, &rules, now);
            }
            let second = step(&first.held, source, finding, &rules, now);
            prop_assert_eq!(&first, &second);
            at = first.held;
        }
    }
}
