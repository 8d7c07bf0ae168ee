use super::*;

fn read(environment: &[(&str, &str)]) -> (Option<TraceSettings>, Vec<String>) {
    let variable = |name: &str| {
        environment
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| (*value).to_owned())
    };
    let mut problems = Vec::new();
    let settings = TraceSettings::read(&variable, &[("k8s.namespace.name", "shop"), ("k8s.pod.name", "")], &mut problems);
    (settings, problems)
}

const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");

#[test]
fn without_an_endpoint_or_switched_off_there_is_nothing() {
    for environment in [
        &[][..],
        &[("OTEL_EXPORTER_OTLP_ENDPOINT", " "), ("OTEL_TRACES_SAMPLER", "always_on")],
        &[ENDPOINT, ("OTEL_SDK_DISABLED", "TRUE")],
        &[ENDPOINT, ("OTEL_TRACES_EXPORTER", "none")],
    ] {
        let (settings, problems) = read(environment);
        assert!(settings.is_none() && problems.is_empty(), "{environment:?} {problems:?}");
    }
    assert!(read(&[ENDPOINT, ("OTEL_SDK_DISABLED", "no")]).0.is_some());
}

#[test]
fn the_endpoint_of_all_signals_gets_the_path_and_that_of_traces_is_taken_as_it_is() {
    let traces = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
    for (environment, scheme, host, port, path) in [
        (&[ENDPOINT][..], Scheme::Http, "collector", 4318, "/v1/traces"),
        (
            &[(ENDPOINT.0, "https://OTLP.corp/eu/")],
            Scheme::Https,
            "otlp.corp",
            443,
            "/eu/v1/traces",
        ),
        (&[(ENDPOINT.0, "http://[::1]:9")], Scheme::Http, "::1", 9, "/v1/traces"),
        (&[ENDPOINT, (traces, "https://t:1/in?x=y")], Scheme::Https, "t", 1, "/in?x=y"),
        (&[(traces, "http://t")], Scheme::Http, "t", 80, "/"),
    ] {
        let settings = read(environment).0.unwrap();
        let origin = Origin {
            scheme,
            host: host.into(),
            port,
        };
        assert_eq!(
            (&settings.origin, settings.path.to_string()),
            (&origin, path.to_owned()),
            "{environment:?}"
        );
    }
}

#[test]
fn what_cannot_be_used_is_told_without_its_value_and_switches_off_no_more_than_it_must() {
    for (environment, remains, told) in [
        (
            &[(ENDPOINT.0, "http://user:hunter2@collector")][..],
            false,
            "OTEL_EXPORTER_OTLP_ENDPOINT",
        ),
        (&[(ENDPOINT.0, "collector:4317")], false, "OTEL_EXPORTER_OTLP_ENDPOINT"),
        (&[(ENDPOINT.0, "ftp://collector")], false, "OTEL_EXPORTER_OTLP_ENDPOINT"),
        (&[ENDPOINT, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")], false, "http/protobuf"),
        (
            &[ENDPOINT, ("OTEL_EXPORTER_OTLP_HEADERS", "hunter2")],
            true,
            "OTEL_EXPORTER_OTLP_HEADERS",
        ),
        (
            &[ENDPOINT, ("OTEL_EXPORTER_OTLP_HEADERS", "a b=hunter2")],
            true,
            "OTEL_EXPORTER_OTLP_HEADERS",
        ),
        (
            &[ENDPOINT, ("OTEL_EXPORTER_OTLP_HEADERS", "a=hunter2%0a")],
            true,
            "OTEL_EXPORTER_OTLP_HEADERS",
        ),
        (
            &[ENDPOINT, ("OTEL_RESOURCE_ATTRIBUTES", "hunter2")],
            true,
            "OTEL_RESOURCE_ATTRIBUTES",
        ),
        (&[ENDPOINT, ("OTEL_TRACES_SAMPLER", "hunter2")], true, "OTEL_TRACES_SAMPLER"),
        (&[ENDPOINT, ("OTEL_TRACES_SAMPLER_ARG", "2")], true, "OTEL_TRACES_SAMPLER_ARG"),
        (&[ENDPOINT, ("OTEL_TRACES_SAMPLER_ARG", "NaN")], true, "OTEL_TRACES_SAMPLER_ARG"),
        (&[ENDPOINT, ("OTEL_BSP_SCHEDULE_DELAY", "5s")], true, "OTEL_BSP_SCHEDULE_DELAY"),
    ] {
        let (settings, problems) = read(environment);
        assert_eq!(settings.is_some(), remains, "{environment:?}");
        assert!(problems.len() == 1 && problems[0].contains(told), "{problems:?}");
        assert!(!problems[0].contains("hunter2"), "{problems:?}");
    }
}

#[test]
fn headers_are_decoded_and_never_shown() {
    let all = ("OTEL_EXPORTER_OTLP_HEADERS", "x-all=1");
    let traces = (
        "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
        "authorization=Bearer%20hunter2, x-tenant = a=b ,",
    );
    let settings = read(&[ENDPOINT, all, traces]).0.unwrap();
    assert_eq!(settings.headers["authorization"], "Bearer hunter2");
    assert_eq!(settings.headers["x-tenant"], "a=b");
    assert_eq!(settings.headers.len(), 2);
    let shown = format!("{settings:?}");
    assert!(shown.contains("authorization") && !shown.contains("hunter2"), "{shown}");
}

#[test]
fn the_service_is_named_by_its_own_variable_first() {
    let attributes = (
        "OTEL_RESOURCE_ATTRIBUTES",
        "service.name=b,team=blue%20team,k8s.namespace.name=mine",
    );
    let names = |environment: &[(&str, &str)]| read(environment).0.unwrap().resource;
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(
        names(&[ENDPOINT]),
        [
            pair("service.name", "outrigger"),
            pair("service.version", env!("CARGO_PKG_VERSION")),
            pair("k8s.namespace.name", "shop")
        ]
    );
    assert_eq!(
        names(&[ENDPOINT, attributes, ("OTEL_SERVICE_NAME", "a")])[..3],
        [
            pair("service.name", "a"),
            pair("team", "blue team"),
            pair("k8s.namespace.name", "mine")
        ]
    );
    assert_eq!(names(&[ENDPOINT, attributes])[0], pair("service.name", "b"));
}

#[test]
fn samplers_have_the_names_of_the_standard() {
    for (name, argument, sampler) in [
        ("", "", Sampler::new(true, 0.01)),
        ("", "0.5", Sampler::new(true, 0.5)),
        ("parentbased_traceidratio", "0.5", Sampler::new(true, 0.5)),
        ("parentbased_traceidratio", "", Sampler::new(true, 1.0)),
        ("traceidratio", "0", Sampler::new(false, 0.0)),
        ("always_on", "0.5", Sampler::new(false, 1.0)),
        ("always_off", "", Sampler::new(false, 0.0)),
        ("parentbased_always_on", "", Sampler::new(true, 1.0)),
        ("parentbased_always_off", "", Sampler::new(true, 0.0)),
        ("xray", "", Sampler::new(true, 0.01)),
    ] {
        let environment = [ENDPOINT, ("OTEL_TRACES_SAMPLER", name), ("OTEL_TRACES_SAMPLER_ARG", argument)];
        assert_eq!(read(&environment).0.unwrap().sampler, sampler, "{name} {argument}");
    }
}

#[test]
fn times_and_sizes_are_capped() {
    let settings = read(&[
        ENDPOINT,
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "999999999"),
        ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "250"),
        ("OTEL_BSP_SCHEDULE_DELAY", "0"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "999999999999"),
    ])
    .0
    .unwrap();
    assert_eq!(
        (settings.timeout, settings.delay),
        (Duration::from_millis(250), Duration::from_millis(1))
    );
    assert_eq!(settings.queue, 65_536);
}
