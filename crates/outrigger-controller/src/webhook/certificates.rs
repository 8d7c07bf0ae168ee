//! The life of the webhook's certificates: what there should be, given what there is and the time.
//!
//! ```text
//! 0 ────────────── 2/3 ────── 7/9 ────── 8/9 ──── 1     of the life of the one that serves
//! serves           next made  next serves old CA leaves
//! caBundle: one    both       both        one
//! ```
//!
//! Each certificate has an authority of its own, whose key is forgotten at once: there is nothing to steal but the certificate itself. A new
//! one serves only when API servers have trusted its authority for a ninth of its life.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose};
use serde::{Deserialize, Serialize};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Clocks of API servers may be behind by this much.
const BEHIND: Duration = Duration::from_hours(1);

/// A certificate, its key and its authority, in PEM.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pair {
    pub(super) authority: String,
    pub(super) certificate: String,
    pub(super) key: String,
    /// What it is for.
    pub(super) names: Vec<String>,
    /// Milliseconds since 1970.
    pub(super) made: u64,
    pub(super) ends: u64,
}

/// All there is.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pairs {
    pub(super) serving: Option<Pair>,
    /// Trusted, and not serving yet.
    pub(super) next: Option<Pair>,
    /// An authority that some replica's certificate may still be of, and until when.
    pub(super) previous: Option<(String, u64)>,
}

impl Pairs {
    /// The authorities to trust, in PEM.
    pub(super) fn bundle(&self) -> String {
        let pairs = self.serving.iter().chain(&self.next).map(|pair| pair.authority.as_str());
        let all: Vec<&str> = pairs.chain(self.previous.iter().map(|(authority, _)| authority.as_str())).collect();
        all.concat()
    }
}

/// What there should be at `now`, milliseconds since 1970, for `names`. At most one is made, by `make`.
pub(super) fn turn<E>(pairs: &Pairs, names: &[String], now: u64, make: impl FnOnce() -> Result<Pair, E>) -> Result<Pairs, E> {
    let good = |pair: &&Pair| now < pair.ends && pair.names == names;
    let mut after = pairs.clone();
    after.previous = after.previous.filter(|(_, until)| now < *until);
    let Some(serving) = pairs.serving.as_ref().filter(good) else {
        // Nothing to answer with: overlap is a luxury, except for replicas that have the old one in hand.
        after.previous = pairs.serving.as_ref().filter(|old| now < old.ends).map(|old| leaving(old, now));
        after.next = None;
        after.serving = Some(make()?);
        return Ok(after);
    };
    match pairs.next.as_ref().filter(good) {
        Some(next) if now >= next.made.saturating_add(ninth(next)) => {
            after.previous = Some(leaving(serving, now));
            after.serving = Some(next.clone());
            after.next = None;
        }
        Some(_) => {}
        None if now >= serving.made.saturating_add(6 * ninth(serving)) => after.next = Some(make()?),
        None => after.next = None,
    }
    Ok(after)
}

fn leaving(old: &Pair, now: u64) -> (String, u64) {
    (old.authority.clone(), now.saturating_add(ninth(old)))
}

fn ninth(pair: &Pair) -> u64 {
    pair.ends.saturating_sub(pair.made) / 9
}

/// Makes one, EC P-256.
pub(super) fn make(names: &[String], now: u64, life: Duration) -> Result<Pair, rcgen::Error> {
    let ends = now.saturating_add(u64::try_from(life.as_millis()).unwrap_or(u64::MAX));
    let at = |ms: u64| UNIX_EPOCH.checked_add(Duration::from_millis(ms)).unwrap_or(UNIX_EPOCH);
    let dated = |params: &mut CertificateParams, name: &str| {
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_before = at(now).checked_sub(BEHIND).unwrap_or(UNIX_EPOCH).into();
        params.not_after = SystemTime::into(at(ends));
    };
    let mut authority = CertificateParams::new(Vec::new())?;
    // A name of its own: two authorities of one name would be taken for each other.
    dated(&mut authority, &format!("outrigger webhook {now}"));
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
    let mut params = CertificateParams::new(names.to_vec())?;
    dated(&mut params, "outrigger webhook");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate()?;
    Ok(Pair {
        certificate: params.signed_by(&key, &authority)?.pem(),
        authority: authority.pem(),
        key: key.serialize_pem(),
        names: names.to_vec(),
        made: now,
        ends,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    const LIFE: u64 = 900;

    /// A stand-in whose PEMs say when it was made.
    fn pair(names: &[String], made: u64) -> Pair {
        Pair {
            authority: format!("ca{made};"),
            certificate: format!("cert{made}"),
            key: String::new(),
            names: names.to_vec(),
            made,
            ends: made + LIFE,
        }
    }

    fn names() -> Vec<String> {
        vec!["outrigger-webhook.outrigger-system.svc".to_owned()]
    }

    fn step(pairs: &Pairs, now: u64) -> Pairs {
        turn(pairs, &names(), now, || Ok::<_, Infallible>(pair(&names(), now))).unwrap()
    }

    fn shown(pairs: &Pairs) -> (String, String) {
        let serving = pairs.serving.as_ref().map(|pair| pair.certificate.clone());
        (serving.unwrap_or_default(), pairs.bundle())
    }

    #[test]
    fn a_new_one_is_trusted_for_a_while_before_it_serves_and_the_old_one_for_a_while_after() {
        let mut pairs = Pairs::default();
        let mut seen = Vec::new();
        for now in 0..=1_400 {
            pairs = step(&pairs, now);
            let shown = shown(&pairs);
            if seen.last().is_none_or(|(_, last)| *last != shown) {
                seen.push((now, shown));
            }
            assert!(step(&pairs, now) == pairs, "a second look changes nothing");
            assert!(now < pairs.serving.as_ref().unwrap().ends);
        }
        let row = |at: u64, serving: &str, bundle: &str| (at, (serving.to_owned(), bundle.to_owned()));
        assert_eq!(
            seen,
            [
                row(0, "cert0", "ca0;"),
                row(600, "cert0", "ca0;ca600;"),
                row(700, "cert600", "ca600;ca0;"),
                row(800, "cert600", "ca600;"),
                row(1_200, "cert600", "ca600;ca1200;"),
                row(1_300, "cert1200", "ca1200;ca600;"),
                row(1_400, "cert1200", "ca1200;"),
            ]
        );
    }

    #[test]
    fn whatever_the_pause_what_serves_was_trusted_before_unless_the_old_one_had_ended() {
        for pause in 1..=2_000 {
            let mut pairs = Pairs::default();
            let mut now = 0;
            for _ in 0..30 {
                let after = step(&pairs, now);
                let (serving, trusted) = (after.serving.as_ref().unwrap(), pairs.bundle());
                let ended = pairs.serving.as_ref().is_none_or(|old| now >= old.ends);
                assert!(ended || trusted.contains(&serving.authority), "every {pause}: at {now}");
                assert!(after.bundle().contains(&serving.authority));
                pairs = after;
                now += pause;
            }
        }
    }

    #[test]
    fn one_that_has_ended_or_is_for_other_names_is_replaced_at_once() {
        let first = step(&Pairs::default(), 0);
        assert_eq!(shown(&step(&first, 900)), ("cert900".to_owned(), "ca900;".to_owned()));
        let other = vec!["127.0.0.1".to_owned()];
        let moved = turn(&first, &other, 10, || Ok::<_, Infallible>(pair(&other, 10))).unwrap();
        // Other replicas answer with the old one until they have looked.
        assert_eq!(shown(&moved), ("cert10".to_owned(), "ca10;ca0;".to_owned()));
    }

    #[test]
    fn what_cannot_be_made_changes_nothing() {
        let first = step(&Pairs::default(), 0);
        assert!(turn(&first, &names(), 650, || Err::<Pair, _>("no")).is_err_and(|error| error == "no"));
        assert!(turn(&first, &names(), 5, || Err::<Pair, _>("no")).is_ok_and(|same| same == first));
    }

    #[test]
    fn what_is_made_can_be_served_with_and_survives_its_way_through_a_secret() {
        let names = vec!["outrigger-webhook.a.svc".to_owned(), "127.0.0.1".to_owned()];
        let pair = make(&names, 1_767_225_600_000, Duration::from_hours(24 * 90)).unwrap();
        assert_eq!((pair.ends - pair.made) / 86_400_000, 90);
        super::super::tls::Credentials::default()
            .set(pair.certificate.as_bytes(), pair.key.as_bytes())
            .unwrap();
        let other = make(&names, 1_767_225_600_000, Duration::from_hours(1)).unwrap();
        let mixed = super::super::tls::Credentials::default();
        assert!(mixed.set(pair.certificate.as_bytes(), other.key.as_bytes()).is_err() && !mixed.there());
        let pairs = Pairs {
            serving: Some(pair),
            next: Some(other),
            previous: None,
        };
        let text = serde_json::to_string(&pairs).unwrap();
        assert!(serde_json::from_str::<Pairs>(&text).unwrap() == pairs);
    }
}
