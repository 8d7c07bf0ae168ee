use super::*;
use crate::{
    TokenRange,
    testing::{route, table},
};
use alloc::{
    collections::BTreeMap,
    string::{String, ToString},
    vec,
    vec::Vec,
};

const CHAT: Endpoint = Endpoint::Chat;

fn rule(when: Match) -> crate::Rule {
    crate::Rule {
        name: "r".to_string(),
        when,
        candidates: vec![],
        balance: crate::Balance::Weighted,
    }
}

fn any() -> Vec<crate::Rule> {
    vec![rule(Match::default())]
}

fn offering(routes: &[(&str, &str, &[&str])]) -> Table {
    let routes = routes.iter().map(|(namespace, name, models)| route(namespace, name, models, any()));
    Table {
        namespace: "ns".to_string(),
        routes: routes.collect(),
        ..Table::default()
    }
}

fn nothing<'a>(_: &str) -> Option<&'a str> {
    None
}

fn call<'a>(model: &'a str, route: Option<&'a str>) -> CallFacts<'a> {
    CallFacts {
        endpoint: CHAT,
        model,
        route,
        task: None,
        header: &nothing,
        metadata: &nothing,
        prompt_tokens: 100,
        needs: Needs::NONE,
        service_account: None,
    }
}

fn found(table: &Table, model: &str, route: Option<&str>) -> Result<usize, NoMatch> {
    Router::new(table).find(table, &call(model, route)).map(|matched| matched.route)
}

#[test]
fn an_exact_name_beats_a_prefix_and_the_longer_prefix_wins() {
    let table = offering(&[
        ("ns", "all", &["*"]),
        ("ns", "gpt", &["gpt-*"]),
        ("ns", "gpt4", &["gpt-4*"]),
        ("ns", "exact", &["gpt-4o"]),
    ]);
    for (model, route) in [
        ("gpt-4o", 3),
        ("gpt-4o-mini", 2),
        ("gpt-4", 2),
        ("gpt-5", 1),
        ("claude", 0),
        ("", 0),
    ] {
        assert_eq!(found(&table, model, None), Ok(route), "{model}");
    }
}

#[test]
fn of_two_that_claim_one_model_the_earlier_serves_and_rules_do_not_fall_through() {
    let mut table = offering(&[("ns", "a", &["m", "p*"]), ("ns", "b", &["m", "p*"])]);
    assert_eq!(found(&table, "m", None), Ok(0));
    assert_eq!(found(&table, "px", None), Ok(0));
    table.routes[0].rules.clear();
    assert_eq!(found(&table, "m", None), Err(NoMatch::NoRule { route: 0 }));
}

#[test]
fn a_prefix_that_ends_inside_a_character_is_no_match() {
    let table = offering(&[("ns", "a", &["ab*"])]);
    assert_eq!(found(&table, "aé", None), Err(NoMatch::UnknownModel));
    assert_eq!(found(&table, "a", None), Err(NoMatch::UnknownModel));
}

#[test]
fn a_named_route_serves_any_model_by_its_own_rules() {
    let table = offering(&[
        ("other", "x", &["m"]),
        ("ns", "x", &["n"]),
        ("shared", "y", &["o"]),
        ("early", "z", &[]),
        ("late", "z", &[]),
    ]);
    for (name, route) in [
        ("x", Ok(1)),
        ("ns/x", Ok(1)),
        ("other/x", Ok(0)),
        ("y", Ok(2)),
        ("z", Ok(3)),
        ("late/z", Ok(4)),
        ("ns/y", Err(NoMatch::UnknownRoute)),
        ("w", Err(NoMatch::UnknownRoute)),
        ("", Err(NoMatch::UnknownRoute)),
        ("/x", Err(NoMatch::UnknownRoute)),
        ("x/", Err(NoMatch::UnknownRoute)),
    ] {
        assert_eq!(found(&table, "whatever", Some(name)), route, "{name}");
    }
}

#[test]
fn the_first_rule_all_of_whose_conditions_hold_serves() {
    let words = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
    let when = Match {
        tasks: words(&["extract", "classify"]),
        headers: vec![("x-team".to_string(), "blue".to_string())],
        metadata: BTreeMap::from([("tier".to_string(), "gold".to_string())]),
        endpoints: vec![Endpoint::Chat],
        ..Match::default()
    };
    let rules = vec![rule(when), rule(Match::default())];
    let table = Table {
        routes: vec![route("ns", "r", &["m"], rules)],
        ..Table::default()
    };
    let router = Router::new(&table);
    let header = |name: &str| (name == "x-team").then_some("blue");
    let metadata = |name: &str| (name == "tier").then_some("gold");
    let task_inside = |name: &str| Some(if name == "task" { "classify" } else { "gold" });
    let all = CallFacts {
        task: Some("extract"),
        header: &header,
        metadata: &metadata,
        ..call("m", None)
    };
    let rows: [(&str, CallFacts<'_>, usize); 7] = [
        ("all hold", all, 0),
        (
            "the task is in the metadata",
            CallFacts {
                task: None,
                metadata: &task_inside,
                ..all
            },
            0,
        ),
        (
            "the header beats the metadata's task",
            CallFacts {
                task: Some("chat"),
                metadata: &task_inside,
                ..all
            },
            1,
        ),
        ("no task", CallFacts { task: None, ..all }, 1),
        ("no header", CallFacts { header: &nothing, ..all }, 1),
        ("no metadata", CallFacts { metadata: &nothing, ..all }, 1),
        (
            "another endpoint",
            CallFacts {
                endpoint: Endpoint::Messages,
                ..all
            },
            1,
        ),
    ];
    for (name, facts, rule) in rows {
        assert_eq!(router.find(&table, &facts), Ok(Matched { route: 0, rule }), "{name}");
    }
}

#[test]
fn names_are_the_exact_ones_once_each() {
    let table = offering(&[("ns", "a", &["b", "a", "p*"]), ("ns", "b", &["a", "c"])]);
    assert_eq!(Router::new(&table).names().collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!(Router::new(&Table::default()).names().count(), 0);
}

#[test]
fn a_single_rule_without_conditions_serves_everything() {
    let table = table(&[]);
    let header = |name: &str| -> Option<&str> { Some(if name.is_empty() { "" } else { "x" }) };
    let facts = CallFacts {
        header: &header,
        ..call("m", Some("r"))
    };
    assert_eq!(Router::new(&table).find(&table, &facts), Ok(Matched { route: 0, rule: 0 }));
    assert_eq!(found(&table, &String::from("x"), None), Err(NoMatch::UnknownModel));
}

#[test]
fn a_tier_begins_with_its_first_token_and_ends_before_the_next_ones() {
    let tier = |at_least, less_than| Match {
        input_tokens: Some(TokenRange { at_least, less_than }),
        ..Match::default()
    };
    let rules = vec![
        rule(tier(0, Some(4_096))),
        rule(tier(4_096, Some(32_768))),
        rule(tier(32_768, None)),
    ];
    let table = Table {
        routes: vec![route("ns", "r", &["m"], rules)],
        ..Table::default()
    };
    for (prompt_tokens, rule) in [(0, 0), (4_095, 0), (4_096, 1), (4_097, 1), (32_767, 1), (32_768, 2), (u32::MAX, 2)] {
        let call = CallFacts {
            prompt_tokens,
            ..call("m", None)
        };
        assert_eq!(
            Router::new(&table).find(&table, &call),
            Ok(Matched { route: 0, rule }),
            "{prompt_tokens}"
        );
    }
}

#[test]
fn a_rule_asks_for_everything_that_it_needs_and_for_one_of_its_accounts() {
    let needs = Needs {
        tools: true,
        vision: true,
        ..Needs::NONE
    };
    let accounts = vec!["triage-bot".to_string(), "batch".to_string()];
    let rules = vec![
        rule(Match { needs, ..Match::default() }),
        rule(Match {
            service_accounts: accounts,
            ..Match::default()
        }),
        rule(Match::default()),
    ];
    let table = Table {
        routes: vec![route("ns", "r", &["m"], rules)],
        ..Table::default()
    };
    let all = Needs {
        json_schema: true,
        reasoning: true,
        ..needs
    };
    let half = Needs { vision: false, ..all };
    for (needs, service_account, rule) in [
        (needs, None, 0),
        (all, Some("batch"), 0),
        (half, Some("batch"), 1),
        (half, Some("triage-bot"), 1),
        (Needs::NONE, Some("triage"), 2),
        (Needs::NONE, None, 2),
    ] {
        let call = CallFacts {
            needs,
            service_account,
            ..call("m", None)
        };
        let found = Router::new(&table).find(&table, &call);
        assert_eq!(found, Ok(Matched { route: 0, rule }), "{needs:?} {service_account:?}");
    }
}
