//! How long a large namespace takes to compile: not part of the tests that every change runs, since it is about a time. `cargo xtask run
//! figures` runs it in the profile that ships.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test panics where it fails, and this one measures"
)]

use outrigger_config::{
    compile::{Mode, compile_for},
    objects::{Datum, Objects, SecretObject},
    v1alpha1::{ModelRoute, ProviderKey},
};
use outrigger_core::Secret;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const ROUTES: usize = 2_000;
const KEYS: usize = 100;

/// A namespace in which each of [`ROUTES`] routes has three rules of three targets; every tenth target takes the model as it was asked for,
/// and every hundredth route names what is not there, as people do.
fn namespace() -> Objects {
    let object = |kind: &str, name: &str, spec: Value| {
        let created = "2026-01-01T00:00:00Z";
        json!({
            "apiVersion": "outrigger.dev/v1alpha1",
            "kind": kind,
            "metadata": {"name": name, "namespace": "shop", "creationTimestamp": created},
            "spec": spec,
        })
    };
    let mut objects = Objects::default();
    for at in 0..KEYS {
        let provider = ["openai", "anthropic", "mistral"][at % 3];
        let spec = json!({"provider": provider, "keys": [
            {"name": "a", "secretRef": {"name": format!("keys-{at}"), "key": "a"}},
            {"name": "b", "secretRef": {"name": format!("keys-{at}"), "key": "b"}},
        ]});
        let key: ProviderKey = serde_json::from_value(object("ProviderKey", &format!("key-{at}"), spec)).unwrap();
        objects.keys.push(key.into());
        let datum = |name: &str| (name.to_owned(), Datum::Text(Secret::new(format!("placeholder-{at}-{name}"))));
        let secret = SecretObject {
            namespace: Some("shop".to_owned()),
            name: format!("keys-{at}"),
            origins: Vec::new(),
            data: ["a", "b"].map(datum).into(),
        };
        objects.secrets.push(secret.into());
    }
    for at in 0..ROUTES {
        let target = |n: usize| {
            let number = at * 7 + n;
            let name = if at.is_multiple_of(100) {
                format!("kye-{number}")
            } else {
                format!("key-{}", number % KEYS)
            };
            let mut target = json!({"keyRef": {"name": name}, "priority": n});
            if !number.is_multiple_of(10) {
                target["model"] = format!("model-of-team-{}", number % 50).into();
            }
            target
        };
        let rule = |n: usize| {
            let name = format!("rule-{n}");
            let when = json!({"tasks": [format!("task-{n}")], "headers": [{"name": "x-team", "value": format!("team-{at}")}]});
            json!({"name": name, "match": when, "targets": (n * 3..n * 3 + 3).map(target).collect::<Vec<_>>()})
        };
        let spec = json!({
            "models": [format!("model-{at}"), format!("family-{at}-*")],
            "rules": (0..3).map(rule).collect::<Vec<_>>(),
            "timeouts": {"firstToken": "20s", "total": "300s"},
            "breaker": {"slow": {"of": "firstContent", "quantile": "0.95", "threshold": "3s"}},
        });
        let route: ModelRoute = serde_json::from_value(object("ModelRoute", &format!("route-{at}"), spec)).unwrap();
        objects.routes.push(route.into());
    }
    objects
}

#[test]
#[ignore = "a figure: cargo xtask run figures"]
fn a_namespace_of_two_thousand_routes_and_a_hundred_keys_compiles_within_a_second() {
    let objects = namespace();
    // The first one also parses the catalogue.
    let took: Vec<Duration> = (0..4)
        .map(|_| {
            let started = Instant::now();
            let compiled = compile_for(&objects, "shop", Mode::Cluster);
            let took = started.elapsed();
            assert_eq!((compiled.table.routes.len(), compiled.table.providers.len()), (ROUTES, KEYS));
            took
        })
        .collect();
    let worst = took.iter().max().copied().unwrap_or_default();
    println!(
        "figure: compiling {ROUTES} routes and {KEYS} keys: {worst:?}, then {:?} (asked: 1 s)",
        took.last()
    );
    assert!(worst <= Duration::from_secs(1), "{took:?}");
}
