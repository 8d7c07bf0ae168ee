//! Routes that cannot serve yet. Where no target of a route can be called because bytes of keys are still on their way, the route's last
//! version that could serve goes on, minus what is revoked. It must never hold back anything else of a new document.

use outrigger_core::{Auth, Provider, Route, Table};
use outrigger_snapshot::{Document, KeyRing, Packed, Resolved, Revoked, resolve};
use std::collections::BTreeMap;

/// What is made of `next` and the bytes that are there, with the routes of `held` in place of those that cannot serve yet. Where there are
/// such, also the document that says so: the `held` of next time. `None` where one of the two cannot be unpacked.
pub(super) fn hold(next: &Packed, held: &Packed, ring: &KeyRing, revoked: &Revoked) -> Option<(Resolved, Option<Document>)> {
    let resolved = resolve(next.unpack()?, ring, revoked);
    let blocked: Vec<usize> = (0..)
        .zip(&resolved.table.routes)
        .filter(|(_, route)| waits(&resolved, route))
        .map(|(at, _)| at)
        .collect();
    // The ordinary case: nothing of the old is looked at.
    if blocked.is_empty() || next == held {
        return Some((resolved, None));
    }
    let held = held.unpack()?;
    let before = resolve(held.clone(), ring, revoked);
    let mut graft = Graft {
        onto: next.unpack()?,
        from: &held,
        providers: BTreeMap::new(),
        targets: BTreeMap::new(),
    };
    for at in blocked {
        let Some(waiting) = resolved.table.routes.get(at) else { continue };
        let same = |route: &&Route| (&waiting.namespace, &waiting.name) == (&route.namespace, &route.name);
        let Some(route) = held.table.routes.iter().find(same) else {
            continue;
        };
        if targets(route).any(|target| usable(&before, target)) {
            graft.route(at, route);
        }
    }
    if graft.targets.is_empty() {
        return Some((resolved, None));
    }
    let composite = graft.onto;
    Some((resolve(composite.clone(), ring, revoked), Some(composite)))
}

/// Whether a route can serve nothing now and will once bytes have come.
fn waits(resolved: &Resolved, route: &Route) -> bool {
    let expects =
        |target| provider(&resolved.table, target).is_some_and(|provider| provider.ring.iter().any(|key| is_pending(resolved, &key.id)));
    !targets(route).any(|target| usable(resolved, target)) && targets(route).any(expects)
}

/// Ids in the table carry a version, or the dot alone.
fn is_pending(resolved: &Resolved, id: &str) -> bool {
    id.strip_suffix('.')
        .is_some_and(|id| resolved.pending.iter().any(|pending| pending == id))
}

fn usable(resolved: &Resolved, target: usize) -> bool {
    provider(&resolved.table, target)
        .is_some_and(|provider| provider.auth == Auth::None || provider.ring.iter().any(|key| resolved.secrets.contains_key(&key.id)))
}

fn provider(table: &Table, target: usize) -> Option<&Provider> {
    table.providers.get(table.targets.get(target)?.provider)
}

fn targets(route: &Route) -> impl Iterator<Item = usize> {
    route
        .rules
        .iter()
        .flat_map(|rule| &rule.candidates)
        .map(|candidate| candidate.target)
}

/// Takes routes over with what they refer to; each provider and target once.
struct Graft<'a> {
    onto: Document,
    from: &'a Document,
    /// Index there → index here.
    providers: BTreeMap<usize, usize>,
    targets: BTreeMap<usize, usize>,
}

impl Graft<'_> {
    fn route(&mut self, at: usize, route: &Route) {
        let mut route = route.clone();
        for candidate in route.rules.iter_mut().flat_map(|rule| &mut rule.candidates) {
            let Some(target) = self.target(candidate.target) else { return };
            candidate.target = target;
        }
        if let Some(place) = self.onto.table.routes.get_mut(at) {
            *place = route;
        }
    }

    fn target(&mut self, there: usize) -> Option<usize> {
        if let Some(here) = self.targets.get(&there) {
            return Some(*here);
        }
        let mut target = self.from.table.targets.get(there)?.clone();
        target.provider = self.provider(target.provider)?;
        let here = self.onto.table.targets.len();
        self.onto.table.targets.push(target);
        self.targets.insert(there, here);
        Some(here)
    }

    fn provider(&mut self, there: usize) -> Option<usize> {
        if let Some(here) = self.providers.get(&there) {
            return Some(*here);
        }
        let provider = self.from.table.providers.get(there)?;
        for reference in self
            .from
            .keys
            .iter()
            .filter(|reference| provider.ring.iter().any(|key| key.id == reference.id))
        {
            let known = |other: &&outrigger_snapshot::KeyReference| (&other.id, &other.version) == (&reference.id, &reference.version);
            if !self.onto.keys.iter().any(|other| known(&other)) {
                self.onto.keys.push(reference.clone());
            }
        }
        let here = self.onto.table.providers.len();
        self.onto.table.providers.push(provider.clone());
        self.providers.insert(there, here);
        Some(here)
    }
}

#[cfg(test)]
mod tests;
