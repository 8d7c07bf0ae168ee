//! `ProviderKey`s, resolved: where they lead, and the bytes of their rings.
//!
//! A ring key that cannot be used drops only itself; a `ProviderKey` without a usable one stays known, so that its targets can say why they
//! are gone. No message quotes bytes.

mod bytes;

use super::{
    Report, Subject,
    facts::Prices,
    index::{Age, Index, Name, Named, obeys},
};
use crate::{
    catalog,
    diagnostics::{Reason, nearest, quoted},
    units::{BaseUrl, Shown, parse_duration},
    v1alpha1::{self, AuthType, ProviderKey, rules},
};
use outrigger_core::{Auth, DataPolicy, Dialect, HealthCheck, Origin, PathPattern, Provider, Quirks, Scheme, Secret};
use std::collections::{BTreeMap, BTreeSet};

/// A key that is known to lead somewhere.
pub(super) struct Resolved<'a> {
    /// As the table shows it.
    pub(super) provider: Provider,
    /// Whether calls can be made with it: at least one ring key has bytes, or none is asked for.
    pub(super) usable: bool,
    pub(super) prices: Prices,
    /// The ring's bytes, by key id.
    pub(super) secrets: Vec<(String, Secret)>,
    pub(super) age: Age<'a>,
}

/// Every key that the namespace owns or that one of its routes names; those that lead nowhere are reported and left out.
pub(super) fn resolve<'a>(index: &'a Index<'a>, report: &mut Report) -> BTreeMap<Name<'a>, Resolved<'a>> {
    let own = index.keys.keys().copied().filter(|name| name.0 == index.namespace);
    let named = index.routes.iter().flat_map(|route| {
        let named = route.object.spec.key_refs();
        named.map(|key_ref| key_ref.of(route.name.0))
    });
    let wanted: BTreeSet<Name<'a>> = own.chain(named).collect();
    wanted
        .into_iter()
        .filter_map(|name| Some((name, one(index, index.keys.get(&name)?, report)?)))
        .collect()
}

fn one<'a>(index: &'a Index<'a>, key: &'a Named<'a, ProviderKey>, report: &mut Report) -> Option<Resolved<'a>> {
    if !obeys(key, rules::PROVIDER_KEY, report) {
        return None;
    }
    let (spec, about) = (&key.object.spec, key.subject());
    let (place, known) = place(spec, about, report)?;
    let auth = match spec.auth.kind {
        AuthType::ApiKey => Auth::ApiKey,
        AuthType::None => Auth::None,
    };
    if auth == Auth::ApiKey && place.origin.scheme == Scheme::Http && !loopback(&place.origin.host) {
        let message = format!("keys go to {} in plain text", Shown(&place.origin));
        report.warning(
            about,
            Reason::PlainText,
            "spec.endpoint.baseURL",
            message,
            "write https:// where the provider offers it",
        );
    }
    let ca_pem = match spec.endpoint.as_ref().and_then(|endpoint| endpoint.ca_bundle.as_ref()) {
        Some(bundle) => Some(bytes::ca_bundle(index, key.name, about, &bundle.config_map_ref, report)?),
        None => None,
    };
    let foreign = known
        .is_none_or(|known| known.base_url.origin != place.origin)
        .then_some(&place.origin);
    let (ring, secrets) = bytes::ring(index, key, foreign, report);
    let own = key.name.0 == index.namespace;
    Some(Resolved {
        usable: auth == Auth::None || !ring.is_empty(),
        prices: Prices::new(spec.pricing.as_ref()),
        secrets,
        age: key.age.clone(),
        provider: Provider {
            label: if own {
                key.name.1.to_owned()
            } else {
                format!("{}/{}", key.name.0, key.name.1)
            },
            provider: spec.provider.clone(),
            dialect: place.dialect,
            origin: place.origin,
            path: place.path,
            headers: headers(spec),
            ca_pem,
            auth,
            ring,
            // Only the namespace's own keys serve its pass-through: a foreign one was lent for routes.
            passthrough: if own { passthrough(spec) } else { Vec::new() },
            quirks: place.quirks,
            regions: spec.regions.clone(),
            data_policy: DataPolicy {
                retention_ms: spec.data_policy.as_ref().and_then(|policy| retention(policy.retention.as_deref()?)),
                training: spec.data_policy.as_ref().and_then(|policy| policy.training),
            },
            health_check: spec.health_check.as_ref().and_then(health_check),
        },
    })
}

/// Where a key leads and what is spoken there.
struct Place {
    origin: Origin,
    path: String,
    dialect: Dialect,
    quirks: Quirks,
}

fn place(spec: &v1alpha1::ProviderKeySpec, about: Subject<'_>, report: &mut Report) -> Option<(Place, Option<&'static catalog::Provider>)> {
    let known = catalog::provider(&spec.provider);
    if known.is_none() && spec.provider != "custom" {
        let names = catalog::providers().iter().map(|provider| provider.name).chain(["custom"]);
        let help = match nearest(&spec.provider, names) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "`outrigger catalog` lists the known ones; for any other write custom, with endpoint.baseURL and endpoint.dialect"
                .to_owned(),
        };
        report.error(
            about,
            Reason::UnknownProvider,
            "spec.provider",
            format!("there is no provider {}", quoted(&spec.provider)),
            help,
        );
        return None;
    }
    let endpoint = spec.endpoint.as_ref();
    let base_url = match endpoint.and_then(|endpoint| endpoint.base_url.as_deref()) {
        Some(text) => match BaseUrl::parse(text) {
            Ok(url) => url,
            Err(why) => {
                let help = "write https://host, https://host:port or https://host/path";
                report.error(
                    about,
                    Reason::InvalidSpec,
                    "spec.endpoint.baseURL",
                    format!("{} is no base URL: {why}", quoted(text)),
                    help,
                );
                return None;
            }
        },
        None => known?.base_url.clone(),
    };
    let dialect = match endpoint.and_then(|endpoint| endpoint.dialect) {
        Some(v1alpha1::Dialect::OpenAi) => Dialect::OpenAi,
        Some(v1alpha1::Dialect::Anthropic) => Dialect::Anthropic,
        None => known?.dialect,
    };
    // Quirks belong to a dialect: a provider's second dialect has none that are known.
    let quirks = known.filter(|known| known.dialect == dialect).map(|known| known.quirks.clone());
    let place = Place {
        origin: base_url.origin,
        path: base_url.path,
        dialect,
        quirks: quirks.unwrap_or_default(),
    };
    Some((place, known))
}

/// Milliseconds for which something is kept: `none` is none.
pub(super) fn retention(text: &str) -> Option<u64> {
    if text == "none" {
        return Some(0);
    }
    parse_duration(text).map(|kept| u64::try_from(kept.as_millis()).unwrap_or(u64::MAX))
}

/// `None` for what the rules refuse.
fn health_check(check: &v1alpha1::HealthCheck) -> Option<HealthCheck> {
    Some(HealthCheck {
        interval: parse_duration(&check.interval)?,
        timeout: parse_duration(&check.timeout)?,
        path: check.path.clone(),
    })
}

fn loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<core::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn headers(spec: &v1alpha1::ProviderKeySpec) -> Vec<(String, String)> {
    let headers = spec.endpoint.iter().flat_map(|endpoint| &endpoint.headers);
    headers.map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect()
}

fn passthrough(spec: &v1alpha1::ProviderKeySpec) -> Vec<PathPattern> {
    let paths = spec.passthrough.iter().flat_map(|passthrough| &passthrough.paths);
    paths
        .map(|path| PathPattern {
            path: path.strip_suffix('*').unwrap_or(path).to_owned(),
            subtree: path.ends_with("/*"),
        })
        .collect()
}
