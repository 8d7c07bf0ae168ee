//! Puts the sidecar into a pod: what is decided about one pod, from its own manifest alone.
//!
//! ```text
//! AdmissionReview ──review──► pod ──annotations──► wishes ──┬─env────────► each container's environment
//!                                                           └─container──► initContainers[0], volumes
//! ```
//!
//! Pure, over the manifest as it came: fields that nobody here knows survive. Whatever is in a pod under our names is replaced, never believed,
//! so that a second run changes nothing. It must never let a pod pass that asked for the sidecar and would not get it.

mod annotations;
mod container;
mod env;
mod review;
mod survey;

pub(crate) use container::CONTAINER;
pub(crate) use review::{Answer, Entry, Facts, NO_ROUTES, answer};
pub(crate) use survey::{Problem, survey};

use annotations::Wishes;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// The sidecar's admin port in a pod.
const ADMIN_PORT: u16 = 5568;

/// The sidecar as the chart describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SidecarSettings {
    /// Its image.
    pub image: String,
    /// `Always`, `IfNotPresent` or `Never`.
    pub pull_policy: String,
    /// The user that it runs as; none: whom the platform picks.
    pub user: Option<i64>,
    /// The CPU that it asks for, as a quantity.
    pub cpu: String,
    /// The memory that it asks for, as a quantity.
    pub memory: String,
    /// The memory that it may take, as a quantity; a part of it may hold prompts.
    pub memory_limit: String,
}

/// A pod with its sidecar.
#[derive(Debug, PartialEq)]
struct Injected {
    pod: Value,
    warnings: Vec<String>,
    /// What does not go through the sidecar.
    bypassed: Vec<Bypassed>,
}

/// A variable that leads a container elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bypassed {
    pub(crate) container: String,
    pub(crate) variable: String,
}

/// Why a pod cannot have a sidecar, with what to do about it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
struct Denied(String);

/// Puts the sidecar in.
fn inject(mut pod: Value, wishes: &Wishes, settings: &SidecarSettings) -> Result<Injected, Denied> {
    let spec = pod.get_mut("spec").and_then(Value::as_object_mut);
    let spec = spec.ok_or_else(|| Denied("the pod has no spec".to_owned()))?;
    // What is under our names goes first: everything that follows is about the others.
    let mut init = list(spec, "initContainers")?;
    init.retain(|container| text(container, "name") != CONTAINER);
    let mut volumes = list(spec, "volumes")?;
    volumes.retain(|volume| !container::VOLUMES.contains(&text(volume, "name")));
    let mut containers = list(spec, "containers")?;
    refuse_neighbours(spec, &containers, &init, wishes, settings)?;

    let (mut warnings, mut bypassed) = (Vec::new(), Vec::new());
    let mut skipped: BTreeSet<&str> = wishes.skip.iter().map(String::as_str).collect();
    for container in init.iter_mut().chain(&mut containers) {
        let name = text(container, "name").to_owned();
        if skipped.remove(name.as_str()) {
            continue;
        }
        let Some(container) = container.as_object_mut() else { continue };
        let mut environment = list(container, "env")?;
        let noted = env::complete(&mut environment, wishes);
        if !environment.is_empty() {
            container.insert("env".to_owned(), environment.into());
        }
        warnings.extend(noted.warnings.iter().map(|warning| format!("container {name}: {warning}")));
        bypassed.extend(noted.foreign.into_iter().map(|variable| Bypassed {
            container: name.clone(),
            variable,
        }));
    }
    warnings.extend(bypassed.iter().map(|found| {
        format!(
            "container {}: {} leads past the sidecar and is kept; remove it for calls to be routed",
            found.container, found.variable
        )
    }));
    // Not refused: the container may be one that another webhook has yet to add.
    warnings.extend(
        skipped
            .iter()
            .map(|name| format!("outrigger.dev/skip-containers: there is no container {name} by now")),
    );

    init.insert(0, container::sidecar(wishes, settings));
    volumes.extend(container::volumes());
    spec.insert("initContainers".to_owned(), init.into());
    spec.insert("containers".to_owned(), containers.into());
    spec.insert("volumes".to_owned(), volumes.into());
    Ok(Injected { pod, warnings, bypassed })
}

/// Refuses what would share the sidecar's keys, its network or its name with somebody.
fn refuse_neighbours(
    spec: &Map<String, Value>,
    containers: &[Value],
    init: &[Value],
    wishes: &Wishes,
    settings: &SidecarSettings,
) -> Result<(), Denied> {
    let is = |field: &str| spec.get(field).and_then(Value::as_bool).unwrap_or_default();
    if is("hostNetwork") {
        return Err(Denied(
            "hostNetwork: every process of the node could use the sidecar's port and so its keys; remove hostNetwork, or set \
             outrigger.dev/inject: \"false\""
                .to_owned(),
        ));
    }
    if spec.get("os").is_some_and(|os| text(os, "name") == "windows") {
        return Err(Denied(
            "os: the sidecar runs on Linux alone; set outrigger.dev/inject: \"false\"".to_owned(),
        ));
    }
    let none = Vec::new();
    let ephemeral = spec.get("ephemeralContainers").and_then(Value::as_array).unwrap_or(&none);
    if let Some(named) = containers.iter().chain(ephemeral).find(|each| text(each, "name") == CONTAINER) {
        return Err(Denied(format!(
            "a container is called {}, as the sidecar is; rename it, or remove it where it was written by hand: the sidecar comes by itself",
            text(named, "name")
        )));
    }
    let others = || containers.iter().chain(init).chain(ephemeral);
    for container in others() {
        let name = text(container, "name");
        for port in container.get("ports").and_then(Value::as_array).into_iter().flatten() {
            let port = port.get("containerPort").and_then(Value::as_u64);
            if port == Some(u64::from(wishes.port)) || port == Some(u64::from(ADMIN_PORT)) {
                let port = port.unwrap_or_default();
                return Err(Denied(format!(
                    "container {name} uses port {port}, which is the sidecar's; give it another one{}",
                    if port == u64::from(ADMIN_PORT) {
                        ""
                    } else {
                        ", or move the sidecar: outrigger.dev/port: \"15567\""
                    }
                )));
            }
        }
        let mounts = container.get("volumeMounts").and_then(Value::as_array);
        let ours = mounts
            .into_iter()
            .flatten()
            .find(|mount| container::VOLUMES.contains(&text(mount, "name")));
        if let Some(mount) = ours {
            return Err(Denied(format!(
                "container {name} mounts {}, which is the sidecar's alone; give the volume another name",
                text(mount, "name")
            )));
        }
    }
    if is("shareProcessNamespace") {
        let of = |context: Option<&Value>| context?.get("runAsUser")?.as_i64();
        let fallback = of(spec.get("securityContext"));
        for container in others() {
            let user = of(container.get("securityContext")).or(fallback);
            // Root sees through every user.
            if user.is_none_or(|user| user == 0 || settings.user.is_none_or(|ours| ours == user)) {
                return Err(Denied(format!(
                    "shareProcessNamespace: container {} could read the sidecar's keys through /proc; remove shareProcessNamespace, or set \
                     securityContext.runAsUser in every container to a user other than 0{}",
                    text(container, "name"),
                    settings.user.map(|user| format!(" and {user}")).unwrap_or_default()
                )));
            }
        }
    }
    Ok(())
}

/// A list of a manifest; empty where there is none.
fn list(object: &Map<String, Value>, field: &str) -> Result<Vec<Value>, Denied> {
    match object.get(field) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(list)) => Ok(list.clone()),
        Some(_) => Err(Denied(format!("{field} is no list"))),
    }
}

fn text<'v>(object: &'v Value, field: &str) -> &'v str {
    object.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// The operations that make `after` of `before`: a JSON patch of whole members, which needs no knowledge of what is in them.
fn patch(before: &Value, after: &Value) -> Vec<Value> {
    let member = |pod: &Value, field: &str| pod.get("spec").and_then(|spec| spec.get(field)).cloned();
    ["initContainers", "containers", "volumes"]
        .into_iter()
        .filter_map(|field| {
            let value = member(after, field)?;
            (member(before, field).as_ref() != Some(&value)).then(|| json!({"op": "add", "path": format!("/spec/{field}"), "value": value}))
        })
        .collect()
}

#[cfg(test)]
mod tests;
