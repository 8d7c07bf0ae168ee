//! Where a call may go at all, worked out from the table's words alone and not by the code that is under test.

use crate::world::Call;
use outrigger_core::{ModelFacts, Table, TargetModel};

/// Whether the rule that takes the call names the target, and the route's residency lets it go there.
pub(crate) fn allowed(table: &Table, call: &Call, target: usize) -> bool {
    let tokens = call.prompt_tokens;
    let rule = table.routes[0].rules.iter().find(|rule| {
        let range = rule.when.input_tokens;
        range.is_none_or(|range| range.at_least <= tokens && range.less_than.is_none_or(|end| tokens < end))
    });
    let named = rule.is_some_and(|rule| rule.candidates.iter().any(|candidate| candidate.target == target));
    named && resident(table, target)
}

/// By target: whether it may be asked. What is known not to be able to is out; a window or an output that is too small only where another
/// has a larger one.
pub(crate) fn suited(table: &Table, call: &Call) -> Vec<bool> {
    let able = |target: usize| {
        let facts = facts(table, target);
        let lacks = |needed: bool, known: Option<bool>| needed && known == Some(false);
        allowed(table, call, target)
            && !lacks(call.needs.tools, facts.tools)
            && !lacks(call.needs.vision, facts.vision)
            && !lacks(call.needs.json_schema, facts.json_schema)
    };
    let large = |target: usize| {
        let facts = facts(table, target);
        facts.context_window.is_none_or(|window| call.prompt_tokens <= window)
            && facts
                .max_output
                .is_none_or(|most| call.max_output.is_none_or(|asked| asked <= u64::from(most)))
    };
    let targets = 0..table.targets.len();
    let any = targets.clone().any(|target| able(target) && large(target));
    targets.map(|target| able(target) && (large(target) || !any)).collect()
}

/// What is known of a target's model.
pub(crate) fn facts(table: &Table, target: usize) -> &ModelFacts {
    const NOTHING: &ModelFacts = &ModelFacts {
        context_window: None,
        max_output: None,
        price: None,
        reasoning: false,
        tools: None,
        vision: None,
        json_schema: None,
    };
    match &table.targets[target].model {
        TargetModel::Fixed { facts, .. } => facts,
        TargetModel::AsAsked { .. } => NOTHING,
    }
}

fn resident(table: &Table, target: usize) -> bool {
    let Some(wanted) = &table.routes[0].residency else { return true };
    let provider = &table.providers[table.targets[target].provider];
    let policy = provider.data_policy;
    let there = wanted.regions.is_empty() || provider.regions.iter().any(|region| wanted.regions.contains(region));
    let kept = match (wanted.retention_ms, policy.retention_ms) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(most), Some(kept)) => kept <= most,
    };
    there && kept && (policy.training == Some(false) || !wanted.no_training)
}
