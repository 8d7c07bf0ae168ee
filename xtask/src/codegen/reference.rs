//! The reference of every field, from the schema that is installed: what it says cannot differ from what is enforced.

mod table;

use super::MARK;
use outrigger_config::diagnostics::Reason;
use serde_json::Value;
use std::fmt::Write as _;
use table::Table;

/// Kubernetes' own types, which its documentation describes.
const FOREIGN: [(&str, &str); 2] = [("selector", "label selector"), ("conditions", "list of conditions")];

const OPENING: &str = "# Reference

Every field of `outrigger.dev/v1alpha1`, as the API server and `outrigger check` enforce it. `kubectl explain modelroute.spec` shows the same.

- A field in **bold** is required where what is around it is written; all others may be left out.
- *Durations* are written as in the Gateway API: whole numbers with `h`, `m`, `s` or `ms`, such as `90s` or `1h30m`; a day is `24h`.
- *Money* and *ratios* are strings, so that no digit is lost: `\"2.5\"`.
- Unknown fields are refused by `kubectl`, `outrigger check` and `outrigger dev`.
";

/// The whole page.
pub(super) fn write(crds: &[Value]) -> String {
    let mut page = format!("<!-- {MARK} -->\n{OPENING}");
    for crd in crds {
        kind(crd, &mut page);
    }
    annotations(&mut page);
    reasons(&mut page);
    page
}

fn kind(crd: &Value, page: &mut String) {
    let text = |pointer: &str| crd.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (kind, short) = (text("/spec/names/kind"), text("/spec/names/shortNames/0"));
    let schema = crd.pointer("/spec/versions/0/schema/openAPIV3Schema").unwrap_or(&Value::Null);
    let about = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    let _ = write!(page, "\n## {kind}\n\n{about} Short name: `{short}`.\n");
    for (part, opening) in [("spec", ""), ("status", "\nWritten by the controller.\n")] {
        let mut fields = Table::new(&["Field", "Type", "Default", "Limits", "Meaning"]);
        let mut refusals = Table::new(&["Where", "What is refused, and what to write instead"]);
        if let Some(schema) = schema.pointer(&format!("/properties/{part}")) {
            walk(schema, part, &mut fields, &mut refusals);
        }
        let _ = write!(page, "\n### {kind} {part}\n{opening}\n{}", fields.render());
        if part == "spec" {
            let _ = write!(page, "\n### What a {kind} must not say\n\n{}", refusals.render());
        }
    }
}

/// The fields below `schema`, and the sentences of the rules that hold for each.
fn walk(schema: &Value, path: &str, fields: &mut Table, refusals: &mut Table) {
    for rule in schema
        .get("x-kubernetes-validations")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let text = |field| rule.get(field).and_then(Value::as_str).unwrap_or_default();
        refusals.row(vec![format!("`{path}{}`", text("fieldPath")), text("message").to_owned()]);
    }
    let required = schema.get("required").and_then(Value::as_array);
    let is_required = |name: &str| required.is_some_and(|names| names.iter().any(|known| known == name));
    for (name, field) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let below = format!("{path}.{name}");
        let shown = if is_required(name) {
            format!("**`{below}`**")
        } else {
            format!("`{below}`")
        };
        let foreign = FOREIGN.iter().find(|(known, _)| known == name).map(|(_, words)| *words);
        let kind = foreign.map_or_else(|| kind_of(field), str::to_owned);
        let (default, meaning) = default_and_meaning(field);
        fields.row(vec![shown, kind, default, limits(field), meaning]);
        if foreign.is_none() {
            walk(field, &below, fields, refusals);
        }
    }
    if let Some(members) = schema.get("items") {
        walk(members, &format!("{path}[]"), fields, refusals);
    }
}

fn kind_of(schema: &Value) -> String {
    let members = |schema: &Value| match kind_of(schema).as_str() {
        "object" => "objects".to_owned(),
        "string" => "strings".to_owned(),
        other => other.to_owned(),
    };
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        let values: Vec<String> = values.iter().filter_map(Value::as_str).map(|value| format!("`{value}`")).collect();
        return values.join(", ");
    }
    if let Some(values) = schema.get("additionalProperties").filter(|values| values.is_object()) {
        return format!("map of {}", members(values));
    }
    match (schema.get("type").and_then(Value::as_str), schema.get("items")) {
        (Some("array"), Some(items)) => format!("list of {}", members(items)),
        (Some("string"), _) if schema.get("format").and_then(Value::as_str) == Some("date-time") => "time".to_owned(),
        (kind, _) => kind.unwrap_or_default().to_owned(),
    }
}

/// The default, from the schema or else from the end of the description, which then goes without.
fn default_and_meaning(schema: &Value) -> (String, String) {
    const WORD: &str = " Default: ";
    let description = schema
        .get("description")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .replace('\n', " ");
    let said = description.split_once(WORD).and_then(|(meaning, rest)| {
        let default = rest.strip_suffix('.').filter(|default| !default.contains(". "))?;
        Some((default.trim_matches('`').to_owned(), meaning.to_owned()))
    });
    let (said, meaning) = match said {
        Some((default, meaning)) => (Some(default), meaning),
        None => (None, description),
    };
    let default = match schema.get("default") {
        None | Some(Value::Object(_) | Value::Array(_) | Value::Null) => said,
        Some(Value::String(text)) => Some(text.clone()),
        Some(other @ (Value::Bool(_) | Value::Number(_))) => Some(other.to_string()),
    };
    let default = default.map(|default| if default.contains(' ') { default } else { format!("`{default}`") });
    (default.unwrap_or_default(), meaning)
}

/// Sizes and ranges; of a list, its own and its members'.
fn limits(schema: &Value) -> String {
    let number = |schema: &Value, field: &str| schema.get(field).and_then(Value::as_f64);
    let range = |least: Option<f64>, most: Option<f64>, unit: &str| match (least.filter(|least| *least > 0.0), most) {
        (Some(least), Some(most)) if least.total_cmp(&most).is_eq() => Some(format!("{most}{unit}")),
        (Some(least), Some(most)) => Some(format!("{least} to {most}{unit}")),
        (None, Some(most)) => Some(format!("up to {most}{unit}")),
        (Some(least), None) => Some(format!("at least {least}{unit}")),
        (None, None) => None,
    };
    let own = |schema: &Value| {
        [
            range(number(schema, "minItems"), number(schema, "maxItems"), " members"),
            range(number(schema, "minProperties"), number(schema, "maxProperties"), " entries"),
            range(number(schema, "minLength"), number(schema, "maxLength"), " characters"),
            range(number(schema, "minimum"), number(schema, "maximum"), ""),
        ]
    };
    let members = schema
        .get("items")
        .or_else(|| schema.get("additionalProperties").filter(|values| values.is_object()));
    let of_members = members
        .map(own)
        .into_iter()
        .flatten()
        .flatten()
        .map(|limit| format!("{limit} each"));
    let unique = match schema.get("x-kubernetes-list-type").and_then(Value::as_str) {
        Some("set") => Some("no repetition".to_owned()),
        Some("map") => {
            let keys = schema
                .get("x-kubernetes-list-map-keys")
                .and_then(Value::as_array)
                .into_iter()
                .flatten();
            let keys: Vec<String> = keys.filter_map(Value::as_str).map(|key| format!("`{key}`")).collect();
            Some(format!("unique {}", keys.join(" + ")))
        }
        _ => None,
    };
    own(schema)
        .into_iter()
        .flatten()
        .chain(of_members)
        .chain(unique)
        .collect::<Vec<_>>()
        .join(", ")
}

fn annotations(page: &mut String) {
    let mut table = Table::new(&["On", "Annotation", "Meaning"]);
    table.row(vec![
        "Secret".to_owned(),
        format!("`{}`", outrigger_config::objects::ORIGINS),
        "Hosts outside the catalogue that its bytes may go to: a list of origins with commas between, such as `https://llm.corp,https://eu.llm.corp:8443`. \
         Whoever may write the Secret decides; a `ProviderKey` alone cannot send its bytes anywhere new."
            .to_owned(),
    ]);
    for (name, meaning) in OF_PODS {
        table.row(vec!["Pod".to_owned(), format!("`outrigger.dev/{name}`"), (*meaning).to_owned()]);
    }
    let _ = write!(
        page,
        "\n## Annotations\n\n{}\nA namespace whose *label* `outrigger.dev/inject` is `true` gives the sidecar to all of its pods but those that say `\"false\"`. A \
         value that does not fit, or an annotation `outrigger.dev/…` that is none of these, is refused when the pod is made. {ENVIRONMENT}\n",
        table.render()
    );
}

/// What a pod may say of its sidecar.
const OF_PODS: &[(&str, &str)] = &[
    (
        "inject",
        "`\"true\"`: the pod gets the sidecar; `\"false\"`: it gets none, whatever its namespace says.",
    ),
    (
        "providers",
        "Whose SDKs are led to the sidecar: `openai`, `anthropic`, or both with a comma between. Default: both.",
    ),
    (
        "port",
        "Where the sidecar listens on loopback, where 5567 is taken: 1024 to 65535, not 5568.",
    ),
    (
        "hold-application",
        "How long the application's start waits for routes, such as `30s` (the default); `0s` does not wait; at most `10m`.",
    ),
    (
        "skip-containers",
        "Names of containers, with commas between, whose environment stays as it is.",
    ),
    (
        "log-level",
        "The sidecar's log: `error`, `warn`, `info` (the default), `debug`, `trace`.",
    ),
    ("cpu", "The CPU that the sidecar asks for, such as `100m`; it has no limit of it."),
    (
        "memory",
        "The memory that the sidecar asks for and is limited to, such as `512Mi`, at least `32Mi`; 40 % of it may hold prompts.",
    ),
];

const ENVIRONMENT: &str = "In every container and init container the sidecar's pod sets `OPENAI_BASE_URL`, `OPENAI_API_KEY`, `ANTHROPIC_BASE_URL` and \
                           `ANTHROPIC_API_KEY` where the container's own `env` does not: what an image or an `envFrom` sets cannot be seen and is overridden. \
                           `NO_PROXY` gets loopback where a proxy is set. A base URL that leads elsewhere (also `OPENAI_API_BASE`, `ANTHROPIC_API_URL`) is kept; \
                           a warning, the Event `SidecarBypassed` and the metric `outrigger_bypassed_containers` say so. The Events `SidecarMissing`, \
                           `SidecarOutdated` and `SidecarImage`, and `outrigger_sidecar_problems`, tell within five minutes of pods that came without the webhook, have the \
                           sidecar of another release, or wait for its image. Of a workload whose namespace no route reaches the Event `NoRoutes` tells.";

fn reasons(page: &mut String) {
    let mut table = Table::new(&["Reason", "Condition", "Meaning"]);
    for reason in Reason::ALL {
        let condition = reason.condition().map_or_else(String::new, |condition| format!("`{condition}`"));
        table.row(vec![format!("`{}`", reason.as_str()), condition, reason.meaning().to_owned()]);
    }
    let _ = write!(
        page,
        "\n## Reasons\n\nWhat conditions and Events carry as `reason`. Where a condition is named, an error of this kind turns it to `False`; the others are \
         remarks, and `outrigger check` shows them too.\n\n{}",
        table.render()
    );
}
