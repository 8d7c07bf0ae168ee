use super::*;
use crate::testing::{route, table};
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
