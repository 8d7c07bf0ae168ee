//! What the watchdog sees in a pod that is there already: it may have come while no webhook was asked, or with the sidecar of another release.

use super::{Bypassed, SidecarSettings, annotations, container::CONTAINER, env, list, text};
use serde_json::Value;

/// What is to be said of a pod that should have the sidecar.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Survey {
    /// What is wrong with its sidecar, and what to do.
    pub(crate) problem: Option<(Problem, String)>,
    /// What does not go through it.
    pub(crate) bypassed: Vec<Bypassed>,
}

/// What may be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Problem {
    /// There is no sidecar.
    Missing,
    /// It is that of another release.
    Outdated,
    /// The node does not get its image.
    Image,
}

impl Problem {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Outdated => "outdated",
            Self::Image => "image",
        }
    }

    /// As an Event names it.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Missing => "SidecarMissing",
            Self::Outdated => "SidecarOutdated",
            Self::Image => "SidecarImage",
        }
    }
}

/// Looks at a pod; `None` where it should have no sidecar, or has ended.
pub(crate) fn survey(pod: &Value, labelled: bool, settings: &SidecarSettings) -> Option<Survey> {
    let ended = matches!(pod.pointer("/status/phase").and_then(Value::as_str), Some("Succeeded" | "Failed"));
    let wishes = annotations::read(pod);
    let wanted = match &wishes {
        Ok(wishes) => wishes.inject.unwrap_or(labelled),
        // It should have been refused.
        Err(_) => true,
    };
    if ended || !wanted {
        return None;
    }
    let spec = pod.get("spec").and_then(Value::as_object)?;
    let init = list(spec, "initContainers").unwrap_or_default();
    let containers = list(spec, "containers").unwrap_or_default();
    let mut survey = Survey::default();
    let sidecar = init.iter().find(|container| text(container, "name") == CONTAINER);
    let wishes = match wishes {
        Ok(wishes) => wishes,
        Err(denied) => {
            survey.problem = Some((Problem::Missing, denied.0));
            return Some(survey);
        }
    };
    survey.problem = match sidecar.map(|sidecar| text(sidecar, "image")) {
        None => {
            let words = "the pod asks for the sidecar and has none: it came while the webhook was not asked; delete it, and its controller makes it anew";
            Some((Problem::Missing, words.to_owned()))
        }
        Some(image) => without_image(pod, image).or_else(|| {
            let words = format!(
                "the sidecar runs {image}, this release's is {}; restart the workload when it suits",
                settings.image
            );
            (image != settings.image).then_some((Problem::Outdated, words))
        }),
    };
    let others = init.iter().chain(&containers).filter(|container| {
        let name = text(container, "name");
        name != CONTAINER && !wishes.skip.contains(name)
    });
    for container in others {
        let env = container.get("env").and_then(Value::as_array);
        let foreign = env.map(|env| env::foreign(env, &wishes)).unwrap_or_default();
        survey.bypassed.extend(foreign.into_iter().map(|variable| Bypassed {
            container: text(container, "name").to_owned(),
            variable,
        }));
    }
    Some(survey)
}

/// What keeps the sidecar from starting: until it runs nothing of the pod does.
fn without_image(pod: &Value, image: &str) -> Option<(Problem, String)> {
    let states = pod.pointer("/status/initContainerStatuses").and_then(Value::as_array)?;
    let ours = states.iter().find(|state| text(state, "name") == CONTAINER)?;
    let reason = text(ours.pointer("/state/waiting")?, "reason");
    let of_images = [
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
        "ErrImageNeverPull",
        "ImageInspectError",
        "RegistryUnavailable",
    ];
    of_images.contains(&reason).then(|| {
        let words = format!(
            "the node does not get the sidecar's image {image} ({reason}), so the pod does not start: see that the registry has it, and that the \
             node may pull it (imagePullSecrets of the pod); the chart names it by image.registry and sidecar.image"
        );
        (Problem::Image, words)
    })
}
