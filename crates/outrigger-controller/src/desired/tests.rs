//! Objects in, desired state out: cases as files, and what holds over time or for all inputs.

mod cases;
mod properties;
mod rotation;
mod tampering;
mod world;

use world::World;

/// One key, one route.
const PLAIN: &str = r"
apiVersion: v1
kind: Namespace
metadata: { name: support }
---
apiVersion: outrigger.dev/v1alpha1
kind: ProviderKey
metadata: { name: openai, namespace: support }
spec:
  provider: openai
  keys: [{ name: a, secretRef: { name: openai-keys, key: a } }]
---
apiVersion: outrigger.dev/v1alpha1
kind: ModelRoute
metadata: { name: triage, namespace: support }
spec:
  models: [triage]
  rules: [{ name: all, targets: [{ keyRef: { name: openai }, model: gpt-4o-mini }] }]
---
apiVersion: v1
kind: Secret
metadata: { name: openai-keys, namespace: support }
stringData: { a: sk-canary-one }
";

/// The id of its key.
const KEY: &str = "support/openai/a";

fn version(bytes: &str) -> String {
    outrigger_snapshot::version(bytes.as_bytes())
}

/// `PLAIN`, published, its key known to the provider.
fn settled() -> World {
    let mut world = World::new(PLAIN);
    let asked = world.settle("support").requests;
    for request in asked {
        world.says(&request.question, crate::rotation::Finding::Accepted);
    }
    world.settle("support");
    world
}

#[test]
fn a_namespace_whose_pod_has_asked_is_published_though_it_has_no_routes() {
    let mut world = World::new("{ apiVersion: v1, kind: Namespace, metadata: { name: shop } }");
    assert!(world.desired("shop").publication.is_none());
    world.secrets.insert("shop".to_owned(), Default::default());
    assert!(world.desired("shop").publication.is_none(), "what is left over is taken away");
    world.requested = true;
    world.settle("shop");
    assert!(world.document("shop").table.routes.is_empty());
    assert_eq!(world.secrets["shop"].0.len(), 1, "the MAC key alone");
}
