//! What is to be traced and where it goes, from the environment variables that OpenTelemetry has for it. Nothing here keeps a process from
//! serving: a setting that cannot be used is told in the log and does without. The headers are credentials: no message holds one.

use super::sampler::Sampler;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use outrigger_core::{Origin, Scheme};
use percent_encoding::percent_decode_str;
use std::time::Duration;

/// Of the traces that nobody else has decided on, so many are taken.
const RATIO: f64 = 0.01;
/// Caps on what is read: headers and resource attributes, and bytes of each.
const MOST: usize = 64;
const LONGEST: usize = 4 << 10;

/// How requests are traced.
#[derive(Clone, Debug)]
pub struct TraceSettings {
    pub(super) origin: Origin,
    pub(super) path: Uri,
    /// Marked as sensitive, each of them.
    pub(super) headers: HeaderMap,
    pub(super) timeout: Duration,
    /// Longest time that a span waits for others to travel with.
    pub(super) delay: Duration,
    /// Settled requests that may wait.
    pub(super) queue: usize,
    /// Who we are.
    pub(super) resource: Vec<(String, String)>,
    pub(super) sampler: Sampler,
}

impl TraceSettings {
    /// Reads the process's environment: nothing, unless it names an endpoint. `who` describes the process further, in OpenTelemetry's names;
    /// what is empty is left out. What cannot be used is logged.
    pub fn of_process(who: &[(&str, &str)]) -> Option<Self> {
        #[expect(clippy::disallowed_methods, reason = "this is where these variables are read, once")]
        let variable = |name: &str| std::env::var(name).ok();
        let mut problems = Vec::new();
        let settings = Self::read(&variable, who, &mut problems);
        for problem in problems {
            tracing::warn!(problem, "a setting for traces cannot be used");
        }
        settings
    }

    pub(super) fn read(variable: &dyn Fn(&str) -> Option<String>, who: &[(&str, &str)], problems: &mut Vec<String>) -> Option<Self> {
        let known = |name: &str| {
            variable(name)
                .map(|value| value.trim().to_owned())
                .filter(|value| !value.is_empty())
        };
        // Each of these has a variable for all signals and one for traces, which goes first.
        let of_traces =
            |name: &str| known(&format!("OTEL_EXPORTER_OTLP_TRACES_{name}")).or_else(|| known(&format!("OTEL_EXPORTER_OTLP_{name}")));
        let endpoint = match known("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") {
            Some(url) => url,
            None => format!("{}/v1/traces", known("OTEL_EXPORTER_OTLP_ENDPOINT")?.trim_end_matches('/')),
        };
        let off = known("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"))
            || known("OTEL_TRACES_EXPORTER").is_some_and(|value| value == "none");
        if off {
            return None;
        }
        if let Some(other) = of_traces("PROTOCOL").filter(|protocol| protocol != "http/protobuf") {
            problems.push(format!(
                "OTEL_EXPORTER_OTLP_PROTOCOL is {other}, and traces are off: they are sent by http/protobuf alone, mostly on port 4318"
            ));
            return None;
        }
        let Some((origin, path)) = place(&endpoint) else {
            problems.push(
                "OTEL_EXPORTER_OTLP_ENDPOINT, and traces are off: write http://HOST:PORT or https://HOST:PORT, without a user".to_owned(),
            );
            return None;
        };
        let mut number = |value: Option<String>, name: &str, default: u64, longest: u64| match value.map(|value| value.parse::<u64>()) {
            None => default,
            Some(Ok(number)) => number.clamp(1, longest),
            Some(Err(_)) => {
                problems.push(format!("{name}: write a whole number; {default} holds"));
                default
            }
        };
        let timeout = number(of_traces("TIMEOUT"), "OTEL_EXPORTER_OTLP_TIMEOUT", 10_000, 60_000);
        let delay = number(known("OTEL_BSP_SCHEDULE_DELAY"), "OTEL_BSP_SCHEDULE_DELAY", 5_000, 60_000);
        let queue = number(known("OTEL_BSP_MAX_QUEUE_SIZE"), "OTEL_BSP_MAX_QUEUE_SIZE", 2_048, 65_536);
        Some(Self {
            origin,
            path,
            headers: headers(&of_traces("HEADERS").unwrap_or_default(), problems),
            timeout: Duration::from_millis(timeout),
            delay: Duration::from_millis(delay),
            queue: usize::try_from(queue).unwrap_or(usize::MAX),
            resource: resource(
                known("OTEL_SERVICE_NAME"),
                &known("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default(),
                who,
                problems,
            ),
            sampler: sampler(
                known("OTEL_TRACES_SAMPLER").as_deref(),
                known("OTEL_TRACES_SAMPLER_ARG").as_deref(),
                problems,
            ),
        })
    }
}

fn place(url: &str) -> Option<(Origin, Uri)> {
    let uri: Uri = url.parse().ok()?;
    let (scheme, port) = match uri.scheme_str()? {
        "http" => (Scheme::Http, 80),
        "https" => (Scheme::Https, 443),
        _ => return None,
    };
    let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'))?;
    let origin = Origin {
        scheme,
        host: authority.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase(),
        port: authority.port_u16().unwrap_or(port),
    };
    let path = uri.path_and_query().map_or("/", |path| path.as_str()).parse().ok()?;
    (!origin.host.is_empty()).then_some((origin, path))
}

/// `name=value,name=value`, the values percent-encoded.
fn pairs(list: &str) -> impl Iterator<Item = Option<(&str, String)>> {
    list.split(',')
        .map(str::trim)
        .filter(|pair| !pair.is_empty())
        .take(MOST)
        .map(|pair| {
            let (name, value) = pair.split_once('=').filter(|_| pair.len() <= LONGEST)?;
            let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
            Some((name.trim(), value.into_owned()))
        })
}

fn headers(list: &str, problems: &mut Vec<String>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for pair in pairs(list) {
        let header = pair.and_then(|(name, value)| Some((name.parse::<HeaderName>().ok()?, HeaderValue::from_str(&value).ok()?)));
        let Some((name, mut value)) = header else {
            problems.push("OTEL_EXPORTER_OTLP_HEADERS: a header is left out that is not name=value".to_owned());
            continue;
        };
        value.set_sensitive(true);
        headers.append(name, value);
    }
    headers
}

/// What names the service, from the most to the least particular.
fn resource(service: Option<String>, attributes: &str, who: &[(&str, &str)], problems: &mut Vec<String>) -> Vec<(String, String)> {
    let mut resource: Vec<(String, String)> = Vec::new();
    let mut add = |name: &str, value: String| {
        if !value.is_empty() && !resource.iter().any(|(known, _)| known == name) {
            resource.push((name.to_owned(), value));
        }
    };
    add("service.name", service.unwrap_or_default());
    for pair in pairs(attributes) {
        match pair {
            Some((name, value)) if !name.is_empty() => add(name, value),
            _ => problems.push("OTEL_RESOURCE_ATTRIBUTES: an attribute is left out that is not name=value".to_owned()),
        }
    }
    add("service.name", "outrigger".to_owned());
    add("service.version", env!("CARGO_PKG_VERSION").to_owned());
    for (name, value) in who {
        add(name, (*value).to_owned());
    }
    resource
}

/// The parent's decision and, where there is none, one in a hundred; unless told otherwise.
fn sampler(name: Option<&str>, argument: Option<&str>, problems: &mut Vec<String>) -> Sampler {
    let mut ratio = |default: f64| match argument.map(str::parse::<f64>) {
        None => default,
        Some(Ok(ratio)) if (0.0..=1.0).contains(&ratio) => ratio,
        Some(_) => {
            problems.push(format!("OTEL_TRACES_SAMPLER_ARG: write a number from 0 to 1; {default} holds"));
            default
        }
    };
    match name {
        None => Sampler::new(true, ratio(RATIO)),
        Some("parentbased_traceidratio") => Sampler::new(true, ratio(1.0)),
        Some("traceidratio") => Sampler::new(false, ratio(1.0)),
        Some("always_on") => Sampler::new(false, 1.0),
        Some("always_off") => Sampler::new(false, 0.0),
        Some("parentbased_always_on") => Sampler::new(true, 1.0),
        Some("parentbased_always_off") => Sampler::new(true, 0.0),
        Some(_) => {
            problems.push(format!(
                "OTEL_TRACES_SAMPLER: write parentbased_traceidratio, traceidratio, or [parentbased_]always_on or _off; {RATIO} of what no parent decided holds"
            ));
            Sampler::new(true, RATIO)
        }
    }
}

#[cfg(test)]
mod tests;
