//! One watch for each kind and scope. A watch that breaks comes back by itself, later each time it fails.

use super::{Cluster, Reach, reach};
use crate::apply::ROLE;
use futures_util::{Stream, StreamExt, pin_mut};
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client, Resource,
    api::ObjectMeta,
    core::{NamespaceResourceScope, PartialObjectMeta},
    runtime::{
        WatchStreamExt,
        watcher::{self, Config, Event, watcher},
    },
};
use outrigger_runtime::Tasks;
use serde::de::DeserializeOwned;
use std::{collections::BTreeSet, fmt::Debug, sync::Arc};

/// Starts all watches: of the whole cluster, or of `namespaces` alone. `tell` hears the names of the namespaces that something concerns.
pub(crate) fn watch(
    client: &Client,
    namespaces: &[String],
    cluster: &Arc<Cluster>,
    tasks: &Tasks,
    tell: &Arc<dyn Fn(BTreeSet<String>) + Send + Sync>,
) {
    let scopes: Vec<Option<&str>> = if namespaces.is_empty() {
        vec![None]
    } else {
        namespaces.iter().map(|namespace| Some(namespace.as_str())).collect()
    };
    for (at, scope) in scopes.into_iter().enumerate() {
        macro_rules! follow {
            ($name:literal, $stream:expr, $store:ident, $reach:path) => {{
                let (stream, cluster, tell) = ($stream, Arc::clone(cluster), Arc::clone(tell));
                tasks.background($name, async move {
                    follow($name, stream, |event| {
                        let changes = cluster.$store.take(at, event);
                        let reach = Reach(&cluster);
                        let concerned: BTreeSet<String> = changes.iter().flat_map(|change| $reach(&reach, change)).collect();
                        if !concerned.is_empty() {
                            tell(concerned);
                        }
                    })
                    .await;
                });
            }};
        }
        follow!(
            "watch of ModelRoutes",
            watcher(api(client, scope), Config::default()),
            routes,
            Reach::of_route
        );
        follow!(
            "watch of ProviderKeys",
            watcher(api(client, scope), Config::default()),
            keys,
            Reach::of_key
        );
        follow!(
            "watch of Secrets",
            watcher(api(client, scope), Config::default()),
            secrets,
            Reach::of_secret
        );
        follow!(
            "watch of ConfigMaps",
            watcher(api(client, scope), Config::default()),
            config_maps,
            Reach::of_config_map
        );
        let named = |name: &str| Config::default().fields(&format!("metadata.name={name}"));
        follow!(
            "watch of RoleBindings",
            watcher(api(client, scope), named(ROLE)),
            bindings,
            reach::of_binding
        );
        follow!(
            "watch of Namespaces",
            watcher(
                Api::<PartialObjectMeta<Namespace>>::all(client.clone()),
                scope.map_or_else(Config::default, named)
            ),
            namespaces,
            reach::of_namespace
        );
    }
}

fn api<K>(client: &Client, scope: Option<&str>) -> Api<K>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    match scope {
        None => Api::all(client.clone()),
        Some(namespace) => Api::namespaced(client.clone(), namespace),
    }
}

async fn follow<K: Resource>(name: &'static str, stream: impl Stream<Item = watcher::Result<Event<K>>>, mut take: impl FnMut(Event<K>)) {
    let stream = stream.default_backoff();
    pin_mut!(stream);
    while let Some(event) = stream.next().await {
        match event {
            // Who owns which field is of no use here and as large as the rest.
            Ok(event) => take(event.modify(|object| slim(object.meta_mut()))),
            Err(error) => tracing::warn!(%error, watch = name, "a watch was interrupted"),
        }
    }
}

fn slim(meta: &mut ObjectMeta) {
    meta.managed_fields = None;
    if let Some(annotations) = meta.annotations.as_mut() {
        annotations.retain(|name, _| name.starts_with("outrigger.dev/"));
    }
}
