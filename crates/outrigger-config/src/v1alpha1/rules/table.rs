//! The rows. Inside one table the more telling sentence of a field comes first.

use super::{Check, Rule};
use crate::{units::parse_duration, v1alpha1::Rotation};
use core::time::Duration;
use serde_json::Value;

const DNS_LABEL: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
const DNS_SUBDOMAIN: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
const MONEY: &str = r"^[0-9]{1,6}(\.[0-9]{1,6})?$";
const PRINTABLE: &str = r"^[\x20-\x7E]*$";
const NO_DURATION: &str = "this is no duration";
const NO_SPACE: &str = r"^[\x21-\x7E]+$";
const PERCENT: &str = r"^(-(100(\.0{1,4})?|(0|[1-9][0-9]?)(\.[0-9]{1,4})?)|1000(\.0{1,4})?|(0|[1-9][0-9]{0,2})(\.[0-9]{1,4})?)$";
const BASE_URL: &str = concat!(
    r"^https?://([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])",
    r"(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?",
    r"(/[A-Za-z0-9._~!$&()*+,;=:@%-]+)*/?$",
);
/// Credentials belong into Secrets; the others are the connection's business or the gateway's own.
const FORBIDDEN_HEADER: &str = concat!(
    r"(?i)^(authorization|.*cookie|host|connection|keep-alive|te|trailer|transfer-encoding|upgrade|expect|content-.*|accept-encoding",
    r"|proxy-.*|x-outrigger-.*|.*api-?key.*|.*token.*)$",
);
const HEADER_NAME: &str = r"^[A-Za-z0-9!#$%&*+.^_|~-]{1,64}$";

const RETENTION: &str = r"^(none|([0-9]{1,5}(h|m|s|ms)){1,4})$";

const DURATION: &str = r"^([0-9]{1,5}(h|m|s|ms)){1,4}$";

/// Every field of a route that holds a duration.
const DURATIONS: &[&str] = &[
    "spec.timeouts.connect",
    "spec.timeouts.response",
    "spec.timeouts.firstToken",
    "spec.timeouts.betweenTokens",
    "spec.timeouts.total",
    "spec.rules[].targets[].timeouts.connect",
    "spec.rules[].targets[].timeouts.response",
    "spec.rules[].targets[].timeouts.firstToken",
    "spec.rules[].targets[].timeouts.betweenTokens",
    "spec.rules[].targets[].timeouts.total",
    "spec.lastResort[].timeouts.connect",
    "spec.lastResort[].timeouts.response",
    "spec.lastResort[].timeouts.firstToken",
    "spec.lastResort[].timeouts.betweenTokens",
    "spec.lastResort[].timeouts.total",
    "spec.attempts.backoff.base",
    "spec.attempts.backoff.max",
    "spec.breaker.slow.threshold",
];

/// The rules of `ProviderKey`.
pub(crate) static PROVIDER_KEY: &[Rule] = &[
    Rule {
        at: &["spec.provider"],
        check: Check::Matches(DNS_LABEL),
        blame: "",
        wrong: "a provider's name is in lower case",
        instead: "write a name that `outrigger catalog` lists, such as openai, or custom",
    },
    Rule {
        at: &["spec"],
        check: Check::Both {
            cel: "self.provider != 'custom' || (has(self.endpoint) && has(self.endpoint.baseURL) && has(self.endpoint.dialect))",
            holds: |spec| {
                let endpoint = |field: &str| spec.get("endpoint").and_then(|endpoint| endpoint.get(field)).is_some();
                spec.get("provider").and_then(Value::as_str) != Some("custom") || (endpoint("baseURL") && endpoint("dialect"))
            },
        },
        blame: "endpoint",
        wrong: "a custom provider has neither a known host nor a known dialect",
        instead: "set endpoint.baseURL and endpoint.dialect",
    },
    Rule {
        at: &["spec.endpoint.baseURL"],
        check: Check::Never(r"[?#]|^[A-Za-z]+://[^/]*@"),
        blame: "",
        wrong: "a base URL carries no user info, query or fragment",
        instead: "write https://host/path and put the credential into a Secret that keys names",
    },
    Rule {
        at: &["spec.endpoint.baseURL"],
        check: Check::Never(r"/(chat/completions|completions|messages|embeddings|responses)/?$"),
        blame: "",
        wrong: "a base URL ends in front of the endpoint",
        instead: "write https://host/v1, without /chat/completions, /messages and the like",
    },
    Rule {
        at: &["spec.endpoint.baseURL"],
        check: Check::Never(r"/\.\.?(/|$)"),
        blame: "",
        wrong: "a base URL has no . or .. in its path",
        instead: "write the path that they lead to",
    },
    Rule {
        at: &["spec.endpoint.baseURL"],
        check: Check::Matches(BASE_URL),
        blame: "",
        wrong: "this is no base URL",
        instead: "write https://host, https://host:port or https://host/path; an IPv6 address goes into brackets",
    },
    Rule {
        at: &["spec.endpoint.headers"],
        check: Check::KeysNever(FORBIDDEN_HEADER),
        blame: "",
        wrong: "headers carry no credential and nothing that belongs to the connection",
        instead: "leave out authorization, api-key, token, cookie, host, content-*, proxy-*, x-outrigger-* and the like; \
                  keys come from the Secrets under keys",
    },
    Rule {
        at: &["spec.endpoint.headers"],
        check: Check::KeysMatch(HEADER_NAME),
        blame: "",
        wrong: "a header's name has up to 64 letters, digits and dashes",
        instead: "write a name such as OpenAI-Organization",
    },
    Rule {
        at: &["spec.endpoint.headers"],
        check: Check::ValuesMatch(PRINTABLE),
        blame: "",
        wrong: "a header's value is printable ASCII on one line",
        instead: "leave out line breaks and other characters",
    },
    Rule {
        at: &["spec"],
        check: Check::Both {
            cel: "(has(self.auth) && has(self.auth.type) && self.auth.type == 'None') || (has(self.keys) && size(self.keys) > 0)",
            holds: |spec| sends_no_key(spec) || ring_size(spec) > 0,
        },
        blame: "keys",
        wrong: "auth type APIKey needs a key",
        instead: "name a Secret under keys, or set auth.type to None where the provider asks for no key",
    },
    Rule {
        at: &["spec"],
        check: Check::Both {
            cel: "!(has(self.auth) && has(self.auth.type) && self.auth.type == 'None') || !has(self.keys) || size(self.keys) == 0",
            holds: |spec| !sends_no_key(spec) || ring_size(spec) == 0,
        },
        blame: "keys",
        wrong: "auth type None sends no key",
        instead: "remove keys, or set auth.type to APIKey",
    },
    Rule {
        at: &["spec.keys[].name"],
        check: Check::Matches(DNS_LABEL),
        blame: "",
        wrong: "a key's name has lower-case letters, digits and inner dashes",
        instead: "write a name such as a or eu-1",
    },
    Rule {
        at: &["spec.keys[].secretRef.name", "spec.endpoint.caBundle.configMapRef.name"],
        check: Check::Matches(DNS_SUBDOMAIN),
        blame: "",
        wrong: "this is no name of a Secret or ConfigMap",
        instead: "write lower-case letters, digits, dashes and dots, such as openai-keys",
    },
    Rule {
        at: &["spec.keys[].secretRef.key", "spec.endpoint.caBundle.configMapRef.key"],
        check: Check::Matches(r"^[-._a-zA-Z0-9]+$"),
        blame: "",
        wrong: "this is no key of a Secret or ConfigMap",
        instead: "write letters, digits, dashes, underscores and dots: the name under its data, not the value",
    },
    Rule {
        at: &["spec.pricing.markupPercent"],
        check: Check::Matches(PERCENT),
        blame: "",
        wrong: "a markup is a percentage from -100 to 1000 with up to four decimals",
        instead: "write a string such as \"7\" or \"-2.5\", without a percent sign",
    },
    Rule {
        at: &["spec.pricing.overrides[].inputPerMTok", "spec.pricing.overrides[].outputPerMTok"],
        check: Check::Matches(MONEY),
        blame: "",
        wrong: "a price is US dollars per million tokens, up to six digits on each side of the point",
        instead: "write a string such as \"2.5\", without a sign or currency",
    },
    Rule {
        at: &["spec.pricing.overrides[].model"],
        check: Check::Matches(NO_SPACE),
        blame: "",
        wrong: "a model's name is printable ASCII without spaces",
        instead: "write the provider's own name of the model",
    },
    Rule {
        at: &["spec.passthrough.paths[]"],
        check: Check::Never(r"^/v1(/|$)"),
        blame: "",
        wrong: "pass-through paths are written without /v1",
        instead: "write /files for both /files and /v1/files",
    },
    Rule {
        at: &["spec.passthrough.paths[]"],
        check: Check::Never(r"^/(chat/completions|embeddings|messages|messages/count_tokens)$"),
        blame: "",
        wrong: "this endpoint is served by routes and never passed through",
        instead: "remove it and name the models in a ModelRoute",
    },
    Rule {
        at: &["spec.passthrough.paths[]"],
        check: Check::Never(r"/\.\.?(/|$)"),
        blame: "",
        wrong: "a pass-through path has no . or .. in it",
        instead: "write the path that they lead to",
    },
    Rule {
        at: &["spec.passthrough.paths[]"],
        check: Check::Matches(r"^/([A-Za-z0-9._~-]+(/[A-Za-z0-9._~-]+)*(/\*)?|\*)$"),
        blame: "",
        wrong: "a pass-through path starts with / and has a * only as a last segment of its own",
        instead: "write /files, /images/* or /*",
    },
    Rule {
        at: &["spec.regions[]"],
        check: Check::Matches(DNS_LABEL),
        blame: "",
        wrong: "a region has lower-case letters, digits and inner dashes",
        instead: "write a label such as eu or eu-central-1, as routes ask for it under residency.regions",
    },
    retention(&["spec.dataPolicy.retention"]),
    Rule {
        at: &["spec.healthCheck.interval", "spec.healthCheck.timeout"],
        check: Check::Matches(DURATION),
        blame: "",
        wrong: NO_DURATION,
        instead: "write whole numbers with h, m, s or ms, such as 15s or 500ms",
    },
    Rule {
        at: &["spec.healthCheck.interval"],
        check: Check::Both {
            cel: "!self.matches(r'^([0-9]{1,5}(h|m|s|ms)){1,4}$') || duration(self) >= duration('1s')",
            holds: |interval| {
                let interval = interval.as_str().and_then(parse_duration);
                interval.is_none_or(|interval| interval >= Duration::from_secs(1))
            },
        },
        blame: "",
        wrong: "a provider is not asked more than once a second",
        instead: "write 1s or more, such as 15s",
    },
    Rule {
        at: &["spec.healthCheck.timeout"],
        check: Check::Never(r"^(0+(h|m|s|ms))+$"),
        blame: "",
        wrong: "a time of zero would fail every check",
        instead: "write a longer one, or leave the field out for 2s",
    },
    Rule {
        at: &["spec.healthCheck"],
        check: Check::Both {
            cel: "!has(self.interval) || !has(self.timeout) || !self.interval.matches(r'^([0-9]{1,5}(h|m|s|ms)){1,4}$') || \
                  !self.timeout.matches(r'^([0-9]{1,5}(h|m|s|ms)){1,4}$') || duration(self.timeout) <= duration(self.interval)",
            holds: |check| {
                let time = |field: &str, default: u64| match check.get(field).and_then(Value::as_str) {
                    Some(written) => parse_duration(written),
                    None => Some(Duration::from_secs(default)),
                };
                !matches!((time("timeout", 2), time("interval", 15)), (Some(timeout), Some(interval)) if timeout > interval)
            },
        },
        blame: "timeout",
        wrong: "a check must be over before the next one begins",
        instead: "lower healthCheck.timeout or raise healthCheck.interval",
    },
    Rule {
        at: &["spec.healthCheck.path"],
        check: Check::Never(r"/\.\.?(/|$)"),
        blame: "",
        wrong: "a check's path has no . or .. in it",
        instead: "write the path that they lead to",
    },
    Rule {
        at: &["spec.healthCheck.path"],
        check: Check::Matches(r"^(/[A-Za-z0-9._~-]+)+/?$"),
        blame: "",
        wrong: "a check's path starts with / and has letters, digits and . _ ~ - between its slashes",
        instead: "write what comes behind the base URL, such as /models or /health",
    },
    Rule {
        at: &["spec.rotation.overlap"],
        check: Check::Matches(DURATION),
        blame: "",
        wrong: NO_DURATION,
        instead: "write whole numbers with h, m or s, such as 10m or 1h30m; a day is 24h",
    },
    Rule {
        at: &["spec.rotation.overlap"],
        check: Check::Both {
            cel: "!self.matches(r'^([0-9]{1,5}(h|m|s|ms)){1,4}$') || duration(self) >= duration('3m')",
            holds: |overlap| {
                let overlap = overlap.as_str().and_then(parse_duration);
                overlap.is_none_or(|overlap| overlap >= Rotation::LEAST_OVERLAP)
            },
        },
        blame: "",
        wrong: "the overlap is shorter than a pod may take to see a changed Secret",
        instead: "write 3m or more; to stop a leaked key at once, name its version under rotation.revokedVersions",
    },
    Rule {
        at: &["spec.rotation.revokedVersions[]"],
        check: Check::Matches(r"^[0-9a-f]{8}$"),
        blame: "",
        wrong: "a version is eight hex digits in lower case",
        instead: "copy it from status.keys[].version, or take the first eight of printf %s \"$KEY\" | sha256sum",
    },
    selector_with_from(&["spec.allowedNamespaces"]),
];

/// The rules of `ModelRoute`.
pub(crate) static MODEL_ROUTE: &[Rule] = &[
    selector_with_from(&["spec.namespaces"]),
    Rule {
        at: &["spec.models[]"],
        check: Check::Never(r"\*."),
        blame: "",
        wrong: "a * stands only at the end of a model's name",
        instead: "write gpt-4o*, or list several names",
    },
    Rule {
        at: &[
            "spec.models[]",
            "spec.rules[].targets[].model",
            "spec.lastResort[].model",
            "spec.baseline.model",
        ],
        check: Check::Matches(NO_SPACE),
        blame: "",
        wrong: "a model's name is printable ASCII without spaces",
        instead: "write the name as it stands in the request's model field",
    },
    Rule {
        at: &["spec.rules[].targets[].model", "spec.lastResort[].model", "spec.baseline.model"],
        check: Check::Never(r"\*"),
        blame: "",
        wrong: "this is one model, so a * has no meaning here",
        instead: "write the model's full name; a target without model sends the name that the client asked for",
    },
    Rule {
        at: &["spec.baseline.provider"],
        check: Check::Matches(DNS_LABEL),
        blame: "",
        wrong: "a provider's name is in lower case",
        instead: "write a name that `outrigger catalog` lists, such as openai",
    },
    Rule {
        at: &["spec.rules[].name"],
        check: Check::Matches(DNS_LABEL),
        blame: "",
        wrong: "a rule's name has lower-case letters, digits and inner dashes",
        instead: "write a name such as short or gold-tier",
    },
    Rule {
        at: &["spec.rules[].match.tasks[]"],
        check: Check::Matches(NO_SPACE),
        blame: "",
        wrong: "a task's name is printable ASCII without spaces",
        instead: "write a name such as extraction",
    },
    Rule {
        at: &["spec.rules[].match.headers[].name"],
        check: Check::Matches(r"^[a-z0-9!#$%&*+.^_|~-]+$"),
        blame: "",
        wrong: "a header's name is matched in lower case",
        instead: "write it so, such as x-team",
    },
    Rule {
        at: &["spec.rules[].match.headers[].value"],
        check: Check::Matches(PRINTABLE),
        blame: "",
        wrong: "a header's value is printable ASCII on one line",
        instead: "leave out line breaks and other characters",
    },
    Rule {
        at: &["spec.rules[].match.metadata"],
        check: Check::KeysMatch(r"^[\x21-\x2B\x2D-\x3C\x3E-\x7E]{1,64}$"),
        blame: "",
        wrong: "a metadata name has up to 64 printable characters without spaces, commas and equals signs",
        instead: "write a name such as tier",
    },
    Rule {
        at: &["spec.rules[].match.inputTokens"],
        check: Check::Both {
            cel: "!has(self.lessThan) || self.lessThan > (has(self.atLeast) ? self.atLeast : 0)",
            holds: |range| {
                let bound = |field: &str| range.get(field).and_then(Value::as_u64);
                bound("lessThan").is_none_or(|end| end > bound("atLeast").unwrap_or(0))
            },
        },
        blame: "lessThan",
        wrong: "no length lies between these two",
        instead: "write a lessThan that is above atLeast, or leave it out for no end",
    },
    Rule {
        at: &["spec.rules[].match.serviceAccounts[]"],
        check: Check::Matches(DNS_SUBDOMAIN),
        blame: "",
        wrong: "this is no name of a ServiceAccount",
        instead: "write the name alone, such as triage-bot, without its namespace",
    },
    Rule {
        at: &["spec.residency.regions[]"],
        check: Check::Matches(DNS_LABEL),
        blame: "",
        wrong: "a region has lower-case letters, digits and inner dashes",
        instead: "write a label that ProviderKeys have under regions, such as eu",
    },
    retention(&["spec.residency.retention"]),
    Rule {
        at: &["spec.rules[].targets"],
        check: Check::Both {
            cel: "self.all(a, self.exists_one(b, a.keyRef.name == b.keyRef.name && \
                  has(a.keyRef.__namespace__) == has(b.keyRef.__namespace__) && \
                  (!has(a.keyRef.__namespace__) || a.keyRef.__namespace__ == b.keyRef.__namespace__) && \
                  has(a.model) == has(b.model) && (!has(a.model) || a.model == b.model)))",
            holds: |targets| {
                fn pair(target: &Value) -> (Option<&Value>, Option<&Value>) {
                    (target.get("keyRef"), target.get("model"))
                }
                let targets = targets.as_array().map(Vec::as_slice).unwrap_or_default();
                targets
                    .iter()
                    .enumerate()
                    .all(|(at, target)| targets.iter().take(at).all(|earlier| pair(earlier) != pair(target)))
            },
        },
        blame: "",
        wrong: "a rule names each pair of key and model once",
        instead: "remove the repetition, or raise the weight of the one that stays",
    },
    Rule {
        at: &["spec.rules[].targets[].keyRef.name", "spec.lastResort[].keyRef.name"],
        check: Check::Matches(DNS_SUBDOMAIN),
        blame: "",
        wrong: "this is no name of a ProviderKey",
        instead: "write lower-case letters, digits, dashes and dots, such as openai-main",
    },
    Rule {
        at: &["spec.rules[].targets[].keyRef.namespace", "spec.lastResort[].keyRef.namespace"],
        check: Check::Matches(DNS_LABEL),
        blame: "",
        wrong: "this is no name of a namespace",
        instead: "write lower-case letters, digits and dashes, such as ai-platform",
    },
    Rule {
        at: DURATIONS,
        check: Check::Matches(DURATION),
        blame: "",
        wrong: NO_DURATION,
        instead: "write whole numbers with h, m, s or ms, such as 90s, 1h30m or 250ms; a day is 24h",
    },
    Rule {
        at: DURATIONS,
        check: Check::Never(r"^(0+(h|m|s|ms))+$"),
        blame: "",
        wrong: "a time of zero would fail every call",
        instead: "write a longer one, or leave the field out for the default",
    },
    Rule {
        at: &["spec.attempts.backoff"],
        check: Check::Both {
            cel: "!has(self.base) || !has(self.max) || duration(self.base) <= duration(self.max)",
            holds: |backoff| {
                let time = |field: &str| backoff.get(field).and_then(Value::as_str).and_then(parse_duration);
                !matches!((time("base"), time("max")), (Some(base), Some(max)) if base > max)
            },
        },
        blame: "base",
        wrong: "the first wait is longer than the longest",
        instead: "lower backoff.base or raise backoff.max",
    },
    Rule {
        at: &["spec.breaker.slow.quantile"],
        check: Check::Matches(r"^0\.[0-9]*[1-9][0-9]*$"),
        blame: "",
        wrong: "a quantile lies between 0 and 1",
        instead: "write a string such as \"0.95\"",
    },
    Rule {
        at: &["spec.breaker.errors.rate"],
        check: Check::Matches(r"^(1(\.0+)?|0\.[0-9]*[1-9][0-9]*)$"),
        blame: "",
        wrong: "an error rate is a share above 0 and up to 1",
        instead: "write a string such as \"0.2\" for every fifth attempt",
    },
];

/// Of a time for which something is kept.
const fn retention(at: &'static [&'static str]) -> Rule {
    Rule {
        at,
        check: Check::Matches(RETENTION),
        blame: "",
        wrong: "this says for no time how long something is kept",
        instead: "write none, or whole numbers with h, m or s, such as 720h for thirty days",
    }
}

/// Of a choice of namespaces.
const fn selector_with_from(at: &'static [&'static str]) -> Rule {
    Rule {
        at,
        check: Check::Both {
            cel: "(has(self.from) && self.from == 'Selector') == has(self.selector)",
            holds: |chosen| (chosen.get("from").and_then(Value::as_str) == Some("Selector")) == chosen.get("selector").is_some(),
        },
        blame: "selector",
        wrong: "a selector belongs to from: Selector, and from: Selector needs one",
        instead: "set both, or neither",
    }
}

fn sends_no_key(spec: &Value) -> bool {
    spec.pointer("/auth/type").and_then(Value::as_str) == Some("None")
}

fn ring_size(spec: &Value) -> usize {
    spec.get("keys").and_then(Value::as_array).map_or(0, Vec::len)
}
