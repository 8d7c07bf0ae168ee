//! An `AdmissionReview` of `admission.k8s.io/v1` in, its answer out. What cannot be read is no review, and its sender hears so by HTTP.

use super::{
    Bypassed, Denied, SidecarSettings,
    annotations::{self, INJECT},
    inject, patch, text,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

/// The API server cuts off what is longer than this of all warnings together, and people do not read it.
const MOST_WARNINGS: usize = 16;
const LONGEST_WARNING: usize = 250;

/// By which of the configuration's two entries a pod came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// An annotation of its own.
    Pod,
    /// Its namespace's label.
    Namespace,
}

/// What the cluster says of a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    /// It asks for sidecars.
    pub(crate) labelled: bool,
    /// There is a route that its pods may get.
    pub(crate) routes: bool,
}

/// What is answered, and what is to be done beside.
#[derive(Debug, PartialEq)]
pub(crate) struct Answer {
    /// The review to send back.
    pub(crate) review: Value,
    /// Whose pod this is: for Events.
    pub(crate) subject: Value,
    pub(crate) namespace: String,
    /// Only asked, not done.
    pub(crate) dry_run: bool,
    /// It has a sidecar now.
    pub(crate) injected: bool,
    /// Its sidecar has something to serve, for all that is known.
    pub(crate) routes: bool,
    pub(crate) bypassed: Vec<Bypassed>,
}

/// What is to be done about a namespace without routes. Whoever makes a workload never sees a warning about its pods, so that an Event says it, too.
pub(crate) const NO_ROUTES: &str = "no ModelRoute reaches this namespace, so calls will get 404; apply a ProviderKey and a ModelRoute here, or share \
                                    a route with it (spec.namespaces)";

/// Decides. `facts` looks a namespace up.
///
/// # Errors
/// What came is no review of a pod.
pub(crate) fn answer(
    review: &Value,
    entry: Entry,
    settings: &SidecarSettings,
    facts: impl FnOnce(&str) -> Facts,
) -> Result<Answer, &'static str> {
    let request = review.get("request").ok_or("this is no AdmissionReview: it has no request")?;
    if text(review, "apiVersion") != "admission.k8s.io/v1" {
        return Err("only admission.k8s.io/v1 is understood");
    }
    let uid = text(request, "uid");
    let object = request.get("object").filter(|object| object.is_object());
    let pod = object
        .filter(|_| request.get("kind").is_some_and(|kind| text(kind, "kind") == "Pod"))
        .ok_or("only pods are looked at")?;
    let namespace = text(request, "namespace").to_owned();
    let facts = facts(&namespace);
    let decided = decide(pod, entry, settings, facts);
    let (mut response, bypassed, injected) = match decided {
        Err(Denied(why)) => {
            let status = json!({"status": "Failure", "code": 422, "reason": "Invalid", "message": format!("outrigger: {why}")});
            (json!({"uid": uid, "allowed": false, "status": status}), Vec::new(), false)
        }
        Ok(decided) => {
            let mut response = json!({"uid": uid, "allowed": true});
            if let (Some(after), Some(response)) = (&decided.pod, response.as_object_mut()) {
                let patch = patch(pod, after);
                if !patch.is_empty() {
                    response.insert("patchType".to_owned(), "JSONPatch".into());
                    response.insert("patch".to_owned(), STANDARD.encode(Value::from(patch).to_string()).into());
                }
            }
            insert_warnings(&mut response, decided.warnings);
            (response, decided.bypassed, decided.pod.is_some())
        }
    };
    // An empty uid would answer nobody's question.
    if uid.is_empty() {
        response = json!({"uid": "", "allowed": false});
    }
    Ok(Answer {
        review: json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}),
        subject: subject(pod, request),
        dry_run: request.get("dryRun").and_then(Value::as_bool).unwrap_or_default(),
        namespace,
        injected,
        routes: facts.routes,
        bypassed,
    })
}

struct Decided {
    /// The pod with its sidecar, where it gets one.
    pod: Option<Value>,
    warnings: Vec<String>,
    bypassed: Vec<Bypassed>,
}

fn decide(pod: &Value, entry: Entry, settings: &SidecarSettings, facts: Facts) -> Result<Decided, Denied> {
    let wishes = annotations::read(pod)?;
    let wanted = wishes.inject.unwrap_or(entry == Entry::Namespace);
    if !wanted {
        let lost = wishes.inject.is_none() && !facts.labelled;
        let warning = wishes.written.first().filter(|_| lost).map(|annotation| {
            format!("outrigger: {annotation} has no effect on a pod without a sidecar; add the annotation {INJECT}: \"true\"")
        });
        return Ok(Decided {
            pod: None,
            warnings: warning.into_iter().collect(),
            bypassed: Vec::new(),
        });
    }
    let injected = inject(pod.clone(), &wishes, settings)?;
    let mut warnings: Vec<String> = injected.warnings.iter().map(|warning| format!("outrigger: {warning}")).collect();
    if !facts.routes {
        warnings.push(format!("outrigger: {NO_ROUTES}"));
    }
    Ok(Decided {
        pod: Some(injected.pod),
        warnings,
        bypassed: injected.bypassed,
    })
}

fn insert_warnings(response: &mut Value, mut warnings: Vec<String>) {
    warnings.truncate(MOST_WARNINGS);
    let short = |warning: String| warning.chars().take(LONGEST_WARNING).collect::<String>();
    if let (false, Some(response)) = (warnings.is_empty(), response.as_object_mut()) {
        response.insert("warnings".to_owned(), warnings.into_iter().map(short).collect());
    }
}

/// What an Event is about: the pod's owner, which is there already, else the pod by the name that it has.
fn subject(pod: &Value, request: &Value) -> Value {
    let owners = pod.pointer("/metadata/ownerReferences").and_then(Value::as_array);
    let owner = owners.and_then(|owners| owners.iter().find(|owner| owner.get("controller") == Some(&Value::Bool(true))));
    let mut subject = if let Some(owner) = owner {
        json!({
            "apiVersion": text(owner, "apiVersion"),
            "kind": text(owner, "kind"),
            "name": text(owner, "name"),
            "uid": text(owner, "uid"),
        })
    } else {
        let metadata = pod.get("metadata").unwrap_or(&Value::Null);
        let names = ["name", "generateName"].map(|field| text(metadata, field));
        let name = names.into_iter().find(|name| !name.is_empty());
        json!({"apiVersion": "v1", "kind": "Pod", "name": name.unwrap_or("pod")})
    };
    if let Some(subject) = subject.as_object_mut() {
        subject.insert("namespace".to_owned(), text(request, "namespace").into());
    }
    subject
}
