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
                let namespace = scope.map(str::to_owned);
                tasks.background($name, async move {
                    let told = |error: &watcher::Error| interrupted($name, namespace.as_deref(), error);
                    follow(stream, told, |event| {
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

async fn follow<K: Resource>(
    stream: impl Stream<Item = watcher::Result<Event<K>>>,
    told: impl Fn(&watcher::Error),
    mut take: impl FnMut(Event<K>),
) {
    let stream = stream.default_backoff();
    pin_mut!(stream);
    while let Some(event) = stream.next().await {
        match event {
            // Who owns which field is of no use here and as large as the rest.
            Ok(event) => take(event.modify(|object| slim(object.meta_mut()))),
            Err(error) => told(&error),
        }
    }
}

/// Of a watch that may not be, no other replica and no later try gets further; and until every watch has answered, no replica is ready.
fn interrupted(watch: &'static str, namespace: Option<&str>, error: &watcher::Error) {
    if refused(error) {
        tracing::error!(
            watch,
            namespace,
            "the controller may not watch: its own Role or RoleBinding there is gone or changed; `helm upgrade` of its chart makes them again"
        );
    } else {
        tracing::warn!(%error, watch, namespace, "a watch was interrupted");
    }
}

/// Whether the API server has said that it may not be.
fn refused(error: &watcher::Error) -> bool {
    use watcher::Error as E;
    match error {
        E::InitialListFailed(kube::Error::Api(status))
        | E::WatchStartFailed(kube::Error::Api(status))
        | E::WatchFailed(kube::Error::Api(status))
        | E::WatchError(status) => status.code == 403,
        E::InitialListFailed(_) | E::WatchStartFailed(_) | E::WatchFailed(_) | E::NoResourceVersion => false,
    }
}

fn slim(meta: &mut ObjectMeta) {
    meta.managed_fields = None;
    if let Some(annotations) = meta.annotations.as_mut() {
        annotations.retain(|name, _| name.starts_with("outrigger.dev/"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::Status;

    #[test]
    fn a_watch_that_may_not_be_is_told_from_one_that_broke() {
        let status = |code| Box::new(Status::failure("no", "reason").with_code(code));
        let api = |code| kube::Error::Api(status(code));
        for (code, expected) in [(403, true), (401, false), (410, false), (500, false)] {
            assert_eq!(refused(&watcher::Error::InitialListFailed(api(code))), expected, "{code}");
            assert_eq!(refused(&watcher::Error::WatchStartFailed(api(code))), expected, "{code}");
            assert_eq!(refused(&watcher::Error::WatchError(status(code))), expected, "{code}");
        }
        assert!(!refused(&watcher::Error::NoResourceVersion));
    }
}
