//! Which snapshot is in force: a state machine that is told what the sources bring and what time it is, and says what to install. It does
//! no I/O, and it must never put into force what the controller's MAC does not vouch for, nor a version of a key that was once seen revoked.
//!
//! | source | counts |
//! |---|---|
//! | watch | always while it is live, whatever number its document carries |
//! | mount | while nothing is in force; and once the watch has been dead for longer than our patience (30 s), if its number is higher |
//!
//! A document that is refused, or a ConfigMap that is deleted, changes nothing: the last good one stays. Keys gate targets, not snapshots:
//! a document takes effect at once with the bytes that are there, and again when further bytes come.

use super::hold::hold;
use outrigger_core::Tick;
use outrigger_snapshot::{Document, KeyRing, Packed, Rejected, Resolved, Revoked, Sealed, open};
use std::{collections::BTreeMap, time::Duration};

/// Where a document came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The files that the kubelet keeps up to date.
    Mount,
    /// The API server.
    Watch,
}

impl Source {
    /// The label in metrics and logs.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Mount => "mount",
            Self::Watch => "watch",
        }
    }
}

/// The `data` of a ConfigMap.
pub(crate) type Data = BTreeMap<String, String>;

/// What a source brings.
#[derive(Debug)]
pub(crate) enum Event {
    /// The Secret as it is mounted now.
    Keys(KeyRing),
    /// The ConfigMap as it is mounted now; `None` = not there.
    Mounted(Option<Data>),
    /// The ConfigMap as the API server has it now; `None` = not there. The watch is live.
    Watched(Option<Data>),
    /// The watch is dead.
    Lost,
    /// Nothing but time has passed.
    Woken,
}

/// What to do about it.
#[derive(Debug, Default)]
pub(crate) struct Decision {
    /// Put this into force.
    pub(crate) install: Option<Install>,
    /// Tell that something was refused.
    pub(crate) refused: Vec<Refusal>,
}

/// A routing table for the data plane.
#[derive(Debug)]
pub(crate) struct Install {
    pub(crate) generation: u64,
    pub(crate) source: Source,
    pub(crate) resolved: Resolved,
}

/// A document that changes nothing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) source: Source,
    pub(crate) rejected: Rejected,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Authority {
    namespace: String,
    patience: Duration,
    ring: KeyRing,
    revoked: Revoked,
    mount: Option<Offer>,
    watch: Option<Offer>,
    /// `None` = the watch is live.
    dead_since: Option<Tick>,
    force: Option<Force>,
    /// What was in force before an install that is not confirmed yet.
    before: Option<Force>,
    /// The MAC of a document that the data plane could not use.
    unusable: Option<[u8; 32]>,
}

/// What an event has brought so far.
#[derive(Default)]
struct Look {
    refused: Vec<Refusal>,
    /// What is in force must be made anew: its bytes or its revocations have changed, or it is another document.
    stale: bool,
    /// A document that has just been verified, by its MAC.
    fresh: Option<([u8; 32], Document)>,
}

/// What a source has at the moment.
#[derive(Debug)]
struct Offer {
    sealed: Sealed,
    /// It is the controller's own. One that is not may turn out to be when another MAC key comes.
    authentic: bool,
}

/// What is in force.
#[derive(Clone, Debug)]
struct Force {
    generation: u64,
    mac: [u8; 32],
    source: Source,
    document: Packed,
    /// The document with the routes of earlier ones that stand in for those that cannot serve yet.
    held: Packed,
}

impl Authority {
    /// Nothing is in force. Without a watch `patience` is zero: the mount is all there is.
    pub(crate) fn new(namespace: String, patience: Duration, now: Tick) -> Self {
        Self {
            namespace,
            patience,
            ring: KeyRing::default(),
            revoked: Revoked::default(),
            mount: None,
            watch: None,
            dead_since: Some(now),
            force: None,
            before: None,
            unusable: None,
        }
    }

    /// Takes in what happened.
    pub(crate) fn take(&mut self, event: Event, now: Tick) -> Decision {
        let mut look = Look::default();
        match event {
            Event::Keys(ring) => {
                let other_mac = ring.mac != self.ring.mac;
                self.ring = ring;
                look.stale = true;
                if other_mac {
                    self.mount = self.mount.take().map(|offer| self.verify_again(Source::Mount, offer, &mut look));
                    self.watch = self.watch.take().map(|offer| self.verify_again(Source::Watch, offer, &mut look));
                }
            }
            Event::Mounted(data) => self.mount = data.and_then(|data| self.offer(Source::Mount, &data, &mut look)),
            Event::Watched(data) => {
                self.dead_since = None;
                self.watch = data.and_then(|data| self.offer(Source::Watch, &data, &mut look));
            }
            Event::Lost => {
                self.dead_since.get_or_insert(now);
                self.watch = None;
            }
            Event::Woken => {}
        }
        self.follow(&mut look, now);
        let install = if look.stale { self.render() } else { None };
        Decision {
            install,
            refused: look.refused,
        }
    }

    /// When to be [woken](Event::Woken), if nothing happens before.
    pub(crate) fn wake(&self) -> Option<Tick> {
        let at = self.dead_since?.after(self.patience);
        let mount = self.mount.as_ref().filter(|offer| self.may_follow(offer))?;
        self.force
            .as_ref()
            .is_some_and(|force| mount.sealed.generation > force.generation)
            .then_some(at)
    }

    /// The data plane has put the last install into force.
    pub(crate) fn confirm(&mut self) {
        self.before = None;
    }

    /// The data plane cannot use the last install. What was in force before comes again, minus what has been revoked since.
    pub(crate) fn unusable(&mut self) -> Option<Install> {
        let refused = self.force.take()?;
        self.unusable = Some(refused.mac);
        self.force = self.before.take().filter(|before| before.mac != refused.mac);
        self.render()
    }

    /// Reads and verifies what a source brings. What an authentic document revokes is revoked, even if the document does not count.
    fn offer(&mut self, source: Source, data: &Data, look: &mut Look) -> Option<Offer> {
        let opened = Sealed::from_data(data).and_then(|sealed| match self.open(&sealed) {
            Ok(document) => Ok((sealed, Some(document))),
            // Kept: with another MAC key it may turn out to be authentic.
            Err(Rejected::Mac) => Ok((sealed, None)),
            Err(rejected) => Err(rejected),
        });
        let (sealed, document) = match opened {
            Ok(opened) => opened,
            Err(rejected) => {
                look.refused.push(Refusal { source, rejected });
                return None;
            }
        };
        let authentic = document.is_some();
        match document {
            Some(document) => {
                look.stale |= self.revoked.learn(&document);
                look.fresh = Some((sealed.mac, document));
            }
            None => look.refused.push(Refusal {
                source,
                rejected: Rejected::Mac,
            }),
        }
        Some(Offer { sealed, authentic })
    }

    /// Another MAC key is there: what it does not vouch for is no document any more, and what was none may be one.
    fn verify_again(&mut self, source: Source, offer: Offer, look: &mut Look) -> Offer {
        let opened = self.open(&offer.sealed);
        let authentic = opened.is_ok();
        match opened {
            Ok(document) => {
                self.revoked.learn(&document);
            }
            Err(rejected) if offer.authentic => look.refused.push(Refusal { source, rejected }),
            Err(_) => {}
        }
        Offer { authentic, ..offer }
    }

    fn open(&self, sealed: &Sealed) -> Result<Document, Rejected> {
        let mac = self.ring.mac.as_ref().ok_or(Rejected::Mac)?;
        open(sealed, &self.namespace, mac)
    }

    /// Puts into force what counts now.
    fn follow(&mut self, look: &mut Look, now: Tick) {
        let Some((source, offer)) = self.entitled(now) else { return };
        let (generation, mac) = (offer.sealed.generation, offer.sealed.mac);
        if self.force.as_ref().is_some_and(|force| force.mac == mac) {
            // The same document from the other source.
            self.force.iter_mut().for_each(|force| force.source = source);
            return;
        }
        let fresh = look.fresh.take().filter(|(fresh, _)| *fresh == mac).map(|(_, document)| document);
        let Some(document) = fresh.or_else(|| self.open(&offer.sealed).ok()) else {
            return;
        };
        let document = Packed::of(&document);
        self.before = self.force.take();
        let held = self.before.as_ref().map_or_else(|| document.clone(), |before| before.held.clone());
        self.force = Some(Force {
            generation,
            mac,
            source,
            document,
            held,
        });
        self.unusable = None;
        look.stale = true;
    }

    fn entitled(&self, now: Tick) -> Option<(Source, &Offer)> {
        let watch = self
            .watch
            .as_ref()
            .filter(|offer| self.dead_since.is_none() && self.may_follow(offer));
        if let Some(offer) = watch {
            return Some((Source::Watch, offer));
        }
        let mount = self.mount.as_ref().filter(|offer| self.may_follow(offer))?;
        let Some(force) = &self.force else {
            return Some((Source::Mount, mount));
        };
        let dead = self.dead_since.is_some_and(|since| now >= since.after(self.patience));
        (dead && mount.sealed.generation > force.generation).then_some((Source::Mount, mount))
    }

    fn may_follow(&self, offer: &Offer) -> bool {
        offer.authentic && self.unusable != Some(offer.sealed.mac)
    }

    /// What is in force, with the bytes that are there.
    fn render(&mut self) -> Option<Install> {
        let force = self.force.as_mut()?;
        let (resolved, composite) = hold(&force.document, &force.held, &self.ring, &self.revoked)?;
        force.held = composite.map_or_else(|| force.document.clone(), |composite| Packed::of(&composite));
        let (generation, source) = (force.generation, force.source);
        Some(Install {
            generation,
            source,
            resolved,
        })
    }
}

#[cfg(test)]
mod tests;
