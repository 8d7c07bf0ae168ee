//! What is known of a model at a key: the catalogue's facts, the key's own prices on top.

use crate::{
    catalog,
    units::{Markup, parse_money},
    v1alpha1::Pricing,
};
use outrigger_core::{ModelFacts, ModelPattern, Price};
use std::collections::{BTreeMap, BTreeSet};

/// A key's view of prices.
#[derive(Default)]
pub(super) struct Prices {
    markup: Markup,
    overrides: BTreeMap<String, Price>,
}

impl Prices {
    /// Parses what obeys the rules, so that nothing is left to report.
    pub(super) fn new(pricing: Option<&Pricing>) -> Self {
        let Some(pricing) = pricing else { return Self::default() };
        let price = |input: &str, output: &str| {
            Some(Price {
                input: parse_money(input)?,
                output: parse_money(output)?,
                cached_read: None,
                cache_write: None,
            })
        };
        let overrides = pricing.overrides.iter();
        Self {
            markup: pricing.markup_percent.as_deref().and_then(Markup::parse).unwrap_or_default(),
            overrides: overrides
                .filter_map(|each| Some((each.model.clone(), price(&each.input_per_mtok, &each.output_per_mtok)?)))
                .collect(),
        }
    }

    /// What is known of `model` at `provider`; `None` where that is nothing.
    pub(super) fn facts(&self, provider: &str, model: &str) -> Option<ModelFacts> {
        let known = catalog::model(provider, model).map(|known| {
            let price = known.facts.price.map(|price| self.markup.on(price));
            ModelFacts {
                price,
                ..known.facts.clone()
            }
        });
        match (known, self.overrides.get(model)) {
            (known, None) => known,
            (known, Some(price)) => Some(ModelFacts {
                price: Some(*price),
                ..known.unwrap_or_default()
            }),
        }
    }

    /// What is known of every model at `provider` that one of `patterns` covers.
    pub(super) fn covered<'p>(&self, provider: &str, patterns: impl IntoIterator<Item = &'p ModelPattern>) -> BTreeMap<String, ModelFacts> {
        let listed = catalog::models_of(provider).iter().map(|model| model.name);
        let names: BTreeSet<&str> = listed.chain(self.overrides.keys().map(String::as_str)).collect();
        let mut facts = BTreeMap::new();
        for pattern in patterns {
            // The names that a pattern covers stand together.
            let covers = |name: &&&str| {
                if pattern.prefix {
                    name.starts_with(&pattern.name)
                } else {
                    **name == pattern.name
                }
            };
            for name in names.range(pattern.name.as_str()..).take_while(covers) {
                facts.extend(self.facts(provider, name).map(|known| ((*name).to_owned(), known)));
            }
        }
        facts
    }
}
