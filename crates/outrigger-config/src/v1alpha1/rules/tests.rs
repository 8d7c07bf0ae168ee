use super::*;
use crate::{
    units::{BaseUrl, Markup, parse_duration, parse_money, parse_ratio},
    v1alpha1::crds,
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool};
use proptest::prelude::*;
use serde_json::json;
use std::collections::BTreeSet;

fn rows() -> impl Iterator<Item = &'static Rule> {
    MODEL_ROUTE.iter().chain(PROVIDER_KEY)
}

/// The regular expression of the first rule at `place` whose sentence contains `words`.
fn regex(place: &str, words: &str) -> Regex {
    let rule = rows().find(|rule| rule.at.contains(&place) && rule.wrong.contains(words)).unwrap();
    match rule.check {
        Check::Matches(re) => Regex::new(re).unwrap(),
        Check::Never(_) | Check::KeysMatch(_) | Check::KeysNever(_) | Check::ValuesMatch(_) | Check::Both { .. } => panic!("not a form"),
    }
}

/// Every schema below `schema` with its path.
fn walk<'a>(schema: &'a JSONSchemaProps, path: &str, visit: &mut dyn FnMut(&str, &'a JSONSchemaProps)) {
    visit(path, schema);
    for (name, below) in schema.properties.iter().flatten() {
        walk(below, &join(path, name), visit);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(members)) = &schema.items {
        walk(members, &format!("{path}[]"), visit);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &schema.additional_properties {
        walk(values, &format!("{path}[*]"), visit);
    }
}

fn specs() -> [JSONSchemaProps; 2] {
    crds().map(|crd| crate::v1alpha1::schema(&crd).unwrap().properties.as_ref().unwrap()["spec"].clone())
}

#[test]
fn every_row_can_be_read_by_both_sides_and_by_a_person() {
    for rule in rows() {
        match rule.check {
            Check::Matches(re) | Check::Never(re) | Check::KeysMatch(re) | Check::KeysNever(re) | Check::ValuesMatch(re) => {
                assert!(Regex::new(re).is_ok() && !re.contains('\''), "{re}");
            }
            Check::Both { cel, .. } => assert!(!cel.contains("  "), "{cel}"),
        }
        let sentence = rule.sentence();
        assert!(
            !rule.wrong.is_empty() && !rule.instead.is_empty() && !sentence.contains('\n') && !sentence.contains("  "),
            "{sentence}"
        );
    }
}

#[test]
fn every_row_stands_at_every_of_its_places_in_the_crd() {
    for (crd, table) in crds().iter().zip([MODEL_ROUTE, PROVIDER_KEY]) {
        let mut schema = crate::v1alpha1::schema(crd).unwrap().clone();
        let mut expected = 0;
        for rule in table {
            for place in rule.at {
                expected += 1;
                let schema = super::super::crds::at(&mut schema, place).unwrap_or_else(|| panic!("{place}"));
                assert!(
                    schema
                        .x_kubernetes_validations
                        .iter()
                        .flatten()
                        .any(|known| known.rule == rule.cel()),
                    "{place}"
                );
                if !rule.blame.is_empty() {
                    assert!(
                        schema.properties.as_ref().unwrap().contains_key(rule.blame),
                        "{place}.{}",
                        rule.blame
                    );
                }
            }
        }
        let mut found = 0;
        walk(&schema, "", &mut |_, schema| {
            found += schema.x_kubernetes_validations.iter().flatten().count();
        });
        assert_eq!(found, expected);
    }
}

#[test]
fn every_row_is_broken_by_an_example() {
    let broken = |text: &str, table: &'static [Rule]| -> BTreeSet<&'static str> {
        let documents = text
            .split("\n---\n")
            .map(|document| serde_saphyr::from_str::<Value>(document).unwrap());
        documents
            .flat_map(|object| violations(table, &object))
            .map(|violation| violation.rule.wrong)
            .collect()
    };
    for (text, table) in [
        (include_str!("../../../fixtures/bad/route-rules.yaml"), MODEL_ROUTE),
        (include_str!("../../../fixtures/bad/key-rules.yaml"), PROVIDER_KEY),
    ] {
        let all: BTreeSet<_> = table.iter().map(|rule| rule.wrong).collect();
        assert_eq!(broken(text, table), all);
    }
}

#[test]
fn every_size_has_a_cap_so_that_the_rules_stay_cheap() {
    for spec in specs() {
        walk(&spec, "spec", &mut |path, schema| {
            // The selector is Kubernetes' own type, and no rule looks into it.
            if path.contains("selector") {
                return;
            }
            match schema.type_.as_deref() {
                Some("string") => assert!(schema.max_length.is_some() || schema.enum_.is_some(), "{path}"),
                Some("array") => assert!(schema.max_items.is_some() && schema.x_kubernetes_list_type.is_some(), "{path}"),
                Some("object") => assert!(schema.properties.is_some() || schema.max_properties.is_some(), "{path}"),
                Some("integer") => assert!(schema.minimum.is_some() && schema.maximum.is_some(), "{path}"),
                Some("boolean") => {}
                other => panic!("{path}: {other:?}"),
            }
        });
    }
}

#[test]
fn every_field_is_described_and_none_is_nullable() {
    for spec in specs() {
        walk(&spec, "spec", &mut |path, schema| {
            assert!(schema.nullable.is_none(), "{path}");
            let described = schema.description.is_some() || path.ends_with("[]") || path.ends_with("[*]");
            assert!(described, "{path} has no description");
        });
    }
}

#[test]
fn a_value_of_another_type_breaks_no_rule() {
    // It is reported as such; a rule on top would only repeat it.
    for odd in [json!(null), json!(1), json!([]), json!({}), json!([{}]), json!(true)] {
        for rule in rows().filter(|rule| !matches!(rule.check, Check::Both { .. })) {
            assert!(rule.holds(&odd), "{} on {odd}", rule.wrong);
        }
    }
}

#[test]
fn a_pasted_key_is_not_repeated() {
    let object = json!({"spec": {"provider": "openai", "keys": [{"secretRef": {"name": "k", "key": "sk-canary/1"}}],
        "endpoint": {"baseURL": "https://u:canary@h"}}});
    let found = violations(PROVIDER_KEY, &object);
    assert_eq!(found.len(), 2);
    assert!(found.iter().all(|violation| violation.found.is_none()));
}

#[test]
fn credentials_and_the_connections_own_headers_are_refused() {
    let holds = |name: &str| {
        violations(
            PROVIDER_KEY,
            &json!({"spec": {"auth": {"type": "None"}, "endpoint": {"headers": {name: "x"}}}}),
        )
        .is_empty()
    };
    for name in [
        "Authorization",
        "api-key",
        "X-API-Key",
        "x-goog-apikey",
        "X-Auth-Token",
        "Cookie",
        "Set-Cookie",
        "Host",
        "Connection",
        "Keep-Alive",
        "TE",
        "Trailer",
        "Transfer-Encoding",
        "Upgrade",
        "Proxy-Authorization",
        "x-outrigger-task",
        "Content-Length",
        "Accept-Encoding",
        "a b",
        "",
    ] {
        assert!(!holds(name), "{name}");
    }
    for name in ["OpenAI-Organization", "anthropic-beta", "HTTP-Referer", "X-Title", "x-host"] {
        assert!(holds(name), "{name}");
    }
}

#[test]
fn what_the_rules_take_for_a_base_url_the_parser_takes_too() {
    let form = regex("spec.endpoint.baseURL", "no base URL");
    for (text, wanted) in [
        ("https://api.openai.com/v1", true),
        ("http://vllm:8000", true),
        ("https://[2001:db8::1]:8443/v1/", true),
        ("https://h:65535", true),
        ("https://h:65536", false),
        ("https://h:0", false),
        ("https://-h", false),
        ("https://h//v1", false),
        ("h/v1", false),
    ] {
        assert_eq!(form.is_match(text), wanted, "{text}");
        assert_eq!(BaseUrl::parse(text).is_ok(), wanted, "{text}");
    }
}

proptest! {
    #[test]
    fn the_rules_and_the_parsers_agree_on_durations(text in "([0-9]{0,6}(h|m|s|ms|d|))|([0-9]{1,5}(h|m|s|ms)){1,5}|[0-9hms. -]{0,8}") {
        let form = regex("spec.timeouts.total", "no duration");
        prop_assert_eq!(form.is_match(&text), parse_duration(&text).is_some());
    }

    #[test]
    fn the_rules_and_the_parsers_agree_on_decimals(text in "-?[0-9]{0,8}(\\.[0-9]{0,7})?|100(\\.0{0,5})?|1000(\\.0{0,5})?|-100|0\\.[0-9]{1,6}") {
        let money = regex("spec.pricing.overrides[].inputPerMTok", "price");
        prop_assert_eq!(money.is_match(&text), parse_money(&text).is_some());
        let percent = regex("spec.pricing.markupPercent", "markup");
        prop_assert_eq!(percent.is_match(&text), Markup::parse(&text).is_some());
        for place in ["spec.breaker.slow.quantile", "spec.breaker.errors.rate"] {
            // The cap on the length keeps the decimals to six.
            if text.len() <= 8 && regex(place, "").is_match(&text) {
                prop_assert!(parse_ratio(&text).is_some_and(|ppm| ppm > 0));
            }
        }
    }

    #[test]
    fn what_the_parser_takes_for_a_base_url_the_rules_take_too(text in "https?://([a-z0-9.:\\[\\]_-]{1,12})(/[a-z0-9%:@.-]{0,6}){0,3}") {
        if BaseUrl::parse(&text).is_ok() {
            prop_assert!(regex("spec.endpoint.baseURL", "no base URL").is_match(&text), "{text}");
        }
    }
}
