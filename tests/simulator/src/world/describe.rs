//! A world in words.

use super::{Arrivals, Credit, Spell, World};
use crate::trace::seconds;
use std::fmt;

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let route = &self.tables[0].routes[0];
        let arrivals = match self.arrivals {
            Arrivals::Even(gap) => format!("a call every {gap:?}"),
            Arrivals::Poisson(gap) => format!("a call every {gap:?} on average"),
            Arrivals::Bursts(count, gap) => format!("{count} calls every {gap:?}"),
        };
        writeln!(
            f,
            "seed {}: {:?}, {} sidecars, each with {arrivals}",
            self.seed, self.kind, self.sidecars
        )?;
        let balance = route.rules.last().map(|rule| rule.balance).unwrap_or_default();
        writeln!(
            f,
            "route: {balance:?}, {} rules, {:?}, {:?}",
            route.rules.len(),
            route.attempts,
            route.breaker
        )?;
        if let Some(residency) = &route.residency {
            writeln!(f, "  {residency:?}")?;
        }
        if self.tables.len() > 1 && self.reload.since(outrigger_core::Tick(0)) < self.length {
            writeln!(f, "  dead and spent keys are replaced at {}", seconds(self.reload.0))?;
        }
        writeln!(f, "calls: {:?}", self.callers)?;
        for (at, site) in self.sites.iter().enumerate() {
            let provider = &self.tables[0].providers[site.provider];
            writeln!(
                f,
                "t{at}: provider {}, priority {}, weight {}, first content {:?} (sigma {}), {:?} a token",
                site.provider, site.priority, site.weight, site.first[0], site.sigma, site.per_token
            )?;
            writeln!(f, "    {:?}", site.facts)?;
            writeln!(f, "    regions {:?}, {:?}", provider.regions, provider.data_policy)?;
            for (key, kept) in self.rings[site.provider].iter().enumerate() {
                let credit = match kept.credit {
                    Credit::Good => "good".to_string(),
                    Credit::Dead(from) => format!("refused from {}", seconds(from.0)),
                    Credit::Spent(from, _) => format!("spent from {}", seconds(from.0)),
                    Credit::Metered(rate, burst, told) => format!("{rate} calls a second, {burst} at once, told: {told}"),
                };
                writeln!(f, "    k{key}: weight {}, {credit}", kept.weight)?;
            }
            for Spell {
                from,
                until,
                back,
                trouble,
            } in &site.spells
            {
                writeln!(
                    f,
                    "    {} to {}, then {back:?} to be well: {trouble:?}",
                    seconds(from.0),
                    seconds(until.0)
                )?;
            }
        }
        Ok(())
    }
}
