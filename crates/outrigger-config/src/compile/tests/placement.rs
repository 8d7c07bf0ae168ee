//! Which calls a rule takes, and where they may go at all.

use super::*;
use outrigger_core::{Needs, Residency, TokenRange};

#[test]
fn a_rules_conditions_reach_the_table() {
    let compiled = compiled(&route(
        "  models: [m]
  rules:
    - name: short
      match: { inputTokens: { lessThan: 4096 }, needs: [tools, jsonSchema], serviceAccounts: [bot] }
      targets: [{ keyRef: { name: openai }, model: gpt-6-luna }]
    - name: long
      match: { inputTokens: { atLeast: 4096 } }
      targets: [{ keyRef: { name: openai }, model: gpt-6-sol }]
  attempts: { onContentPolicy: next }
",
    ));
    let route = &compiled.table.routes[0];
    let (short, long) = (&route.rules[0].when, &route.rules[1].when);
    let range = |at_least, less_than| Some(TokenRange { at_least, less_than });
    assert_eq!((short.input_tokens, long.input_tokens), (range(0, Some(4_096)), range(4_096, None)));
    let needs = Needs {
        tools: true,
        json_schema: true,
        ..Needs::NONE
    };
    assert_eq!((short.needs, long.needs), (needs, Needs::NONE));
    assert_eq!(short.service_accounts, ["bot"]);
    assert!(route.attempts.content_policy_moves_on);
}

#[test]
fn a_last_resort_comes_behind_every_rules_own_targets() {
    let compiled = compiled(&route(
        "  models: [m]
  rules:
    - name: a
      match: { tasks: [x] }
      targets: [{ keyRef: { name: openai }, model: gpt-6-luna, priority: 7 }, { keyRef: { name: openai }, model: gpt-6-sol }]
    - { name: b, targets: [{ keyRef: { name: openai }, model: gpt-6-sol }] }
  lastResort: [{ keyRef: { name: lent, namespace: ai-platform }, model: mistral-small-latest, timeouts: { total: 9s } }, { keyRef: { name: idle } }]
",
    ));
    let table = &compiled.table;
    let shown = |rule: usize| -> Vec<String> {
        let candidates = table.routes[0].rules[rule].candidates.iter();
        candidates
            .map(|candidate| {
                format!(
                    "{} {} {:?}",
                    candidate.priority, table.targets[candidate.target].label, candidate.timeouts.total
                )
            })
            .collect()
    };
    let behind = |priority: u32| {
        [
            format!("{priority} ai-platform/lent/mistral-small-latest 9s"),
            format!("{priority} idle/* 600s"),
        ]
    };
    assert_eq!(shown(0)[..2], ["7 openai/gpt-6-luna 600s", "0 openai/gpt-6-sol 600s"]);
    assert_eq!((&shown(0)[2..], &shown(1)[1..]), (&behind(8)[..], &behind(1)[..]));
}

#[test]
fn what_residency_does_not_allow_is_not_even_in_the_table() {
    let loaded = load_texts([("f.yaml", include_str!("../../../fixtures/bad/residency.yaml"))]);
    let table = compile(&loaded.objects, "default").table;
    let labels = |name: &str| -> Vec<&str> {
        let route = table.routes.iter().find(|route| route.name == name).unwrap();
        let candidates = route.rules.iter().flat_map(|rule| &rule.candidates);
        candidates.map(|candidate| table.targets[candidate.target].label.as_str()).collect()
    };
    assert_eq!(labels("inside"), ["eu/mistral-small-latest"]);
    assert_eq!(labels("nowhere"), [""; 0]);
    assert_eq!(labels("anywhere"), ["us/gpt-6-luna", "eu/*"]);
    assert!(
        table.providers.iter().all(|provider| provider.label != "silent"),
        "its key is not even distributed"
    );
    let inside = table.routes.iter().find(|route| route.name == "inside").unwrap();
    let expected = Residency {
        regions: vec!["eu".to_owned()],
        retention_ms: Some(0),
        no_training: true,
    };
    assert_eq!(inside.residency.as_ref(), Some(&expected));
}
