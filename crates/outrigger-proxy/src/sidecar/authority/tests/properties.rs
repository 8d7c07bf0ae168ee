//! Any order of events, against a model that knows no more than the rules.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

#[derive(Clone, Copy, Debug)]
enum Step {
    /// A document by number, from a source; true = somebody has changed it.
    Offer(Source, u64, bool),
    Deleted(Source),
    Lost,
    /// Which versions are on disk, and whether the MAC key is.
    Keys([bool; 2], bool),
    /// Time passes.
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let source = || prop::sample::select(vec![Source::Mount, Source::Watch]);
    prop_oneof![
        6 => (source(), 1..7u64, prop::bool::weighted(0.2)).prop_map(|(source, number, bad)| Step::Offer(source, number, bad)),
        1 => source().prop_map(Step::Deleted),
        2 => Just(Step::Lost),
        2 => (any::<[bool; 2]>(), prop::bool::weighted(0.9)).prop_map(|(versions, mac)| Step::Keys(versions, mac)),
        3 => prop::sample::select(vec![1, 10, 29, 30, 31]).prop_map(Step::Wait),
    ]
}

/// Document 4 revokes `v1`, which the others use; so does a replay of them after it.
fn offered(number: u64, bad: bool) -> Data {
    let state = if number == 4 { KeyState::Revoked } else { Active };
    let mut data = data(&document(&[("r", "p")], &[("p", "v1", state), ("p", "v2", Draining)]), number);
    if bad {
        data.insert("generation".into(), (number + 1).to_string());
    }
    data
}

/// What the rules say, in numbers alone.
#[derive(Default)]
struct Model {
    force: Option<u64>,
    mount: Option<(u64, bool)>,
    watch: Option<(u64, bool)>,
    live: bool,
    dead_since: u64,
    mac: bool,
    revoked: bool,
    versions: BTreeSet<&'static str>,
}

impl Model {
    fn step(&mut self, step: Step, now: u64) {
        match step {
            Step::Offer(Source::Mount, number, bad) => self.mount = Some((number, bad)),
            Step::Offer(Source::Watch, number, bad) => {
                self.live = true;
                self.watch = Some((number, bad));
            }
            Step::Deleted(Source::Mount) => self.mount = None,
            Step::Deleted(Source::Watch) => {
                self.live = true;
                self.watch = None;
            }
            Step::Lost => {
                if self.live {
                    self.dead_since = now;
                }
                self.live = false;
                self.watch = None;
            }
            Step::Keys(versions, mac) => {
                self.mac = mac;
                self.versions = ["p v1", "p v2"]
                    .into_iter()
                    .zip(versions)
                    .filter(|(_, there)| *there)
                    .map(|(version, _)| version)
                    .collect();
            }
            Step::Wait(_) => {}
        }
        if !self.mac {
            // Nothing can be verified, so nothing changes; what a document says is heard when it can be.
            return;
        }
        for (number, bad) in [self.mount, self.watch].into_iter().flatten() {
            self.revoked |= number == 4 && !bad;
        }
        let good = |offer: Option<(u64, bool)>| offer.filter(|(_, bad)| !bad).map(|(number, _)| number);
        if let (true, Some(number)) = (self.live, good(self.watch)) {
            self.force = Some(number);
        } else if let Some(number) = good(self.mount) {
            let dead = !self.live && now >= self.dead_since + 30;
            if self.force.is_none_or(|force| dead && number > force) {
                self.force = Some(number);
            }
        }
    }

    /// Bytes that may be used, best first.
    fn bytes(&self) -> Vec<&'static str> {
        let v1 = !self.revoked && self.force != Some(4);
        ["p v1", "p v2"]
            .into_iter()
            .filter(|version| self.versions.contains(version) && (v1 || *version != "p v1"))
            .collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_comes_in_whatever_order_the_rules_hold(steps in prop::collection::vec(step(), 1..40)) {
        let mut authority = Authority::new(NAMESPACE.into(), PATIENCE, at(0));
        let mut model = Model::default();
        let (mut now, mut installed) = (0, None);
        for step in steps {
            let event = match step {
                Step::Offer(Source::Mount, number, bad) => Event::Mounted(Some(offered(number, bad))),
                Step::Offer(Source::Watch, number, bad) => Event::Watched(Some(offered(number, bad))),
                Step::Deleted(Source::Mount) => Event::Mounted(None),
                Step::Deleted(Source::Watch) => Event::Watched(None),
                Step::Lost => Event::Lost,
                Step::Keys(versions, there) => {
                    let on_disk: Vec<_> = [("p", "v1"), ("p", "v2")].into_iter().zip(versions).filter(|(_, there)| *there).map(|(key, _)| key).collect();
                    Event::Keys(KeyRing { mac: there.then(mac), ..ring(&on_disk) })
                }
                Step::Wait(seconds) => {
                    now += seconds;
                    // The driver wakes it when it asked to be, and not before.
                    if authority.wake().is_none_or(|wake| wake > at(now)) {
                        model.step(step, now);
                        prop_assert_eq!(authority.take(Event::Woken, at(now)).install.is_some(), false);
                        continue;
                    }
                    Event::Woken
                }
            };
            let decision = authority.take(event, at(now));
            authority.confirm();
            if let Some(install) = decision.install {
                installed = Some((install.generation, served(&install.resolved)));
            }
            model.step(step, now);
            let bytes: Vec<String> = model.bytes().into_iter().map(str::to_owned).collect();
            let expected = model.force.map(|force| (force, vec![("r".to_owned(), bytes)]));
            prop_assert_eq!(&installed, &expected, "after {:?} at {} s", step, now);
        }
    }
}
