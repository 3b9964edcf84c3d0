//! A run made smaller: fewer nodes, fewer faults, less time, a calmer network; to find the smallest that still fails alike.
//!
//! What must always hold here: what is left of a scenario is one in which everybody can come to hold what is meant for him.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use crate::plant::Plant;
use crate::scenario::{Filters, Scenario};
use crate::trace::Telling;
use crate::{Failed, run};

/// Runs that are tried to make a failing one smaller.
const TRIES_MAX: usize = 100;

/// What is left out of the run that a seed stands for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cut {
    /// No more nodes than these.
    pub nodes: Option<usize>,
    /// Faults, by their numbers.
    pub without: BTreeSet<usize>,
    /// All heals no later.
    pub heals_at_ms: Option<u64>,
    /// Nothing is rolled back, mangled or compressed.
    pub is_calm: bool,
}

impl Cut {
    /// What could be left out besides, the most first.
    fn smaller(&self, scenario: &Scenario) -> Vec<Cut> {
        let nodes = self.nodes.unwrap_or(scenario.nodes.len());
        let heals_at_ms = self.heals_at_ms.unwrap_or(scenario.heals_at_us / 1_000);
        let fewer = (2..nodes).map(|nodes| Cut { nodes: Some(nodes), ..self.clone() });
        let faults = (0..scenario.faults.len()).filter(|at| !self.without.contains(at));
        let all = Cut { without: (0..scenario.faults.len()).collect(), ..self.clone() };
        let all = (self.without.len() < scenario.faults.len()).then_some(all);
        let calmer =
            faults.map(|at| Cut { without: self.without.iter().copied().chain([at]).collect(), ..self.clone() });
        let sooner = [heals_at_ms / 2, heals_at_ms * 3 / 4].into_iter().filter(|ms| *ms > 100);
        let sooner = sooner.map(|ms| Cut { heals_at_ms: Some(ms), ..self.clone() });
        let calm = (!self.is_calm).then(|| Cut { is_calm: true, ..self.clone() });
        fewer.chain(all).chain(sooner).chain(calm).chain(calmer).collect()
    }
}

/// The smallest run that fails like one that failed, of those that were tried.
pub fn shrink(filters: Filters, plant: Plant, failed: Failed) -> Failed {
    let (mut smallest, mut tries) = (failed, 0);
    'smaller: loop {
        let scenario = Scenario::of_seed(smallest.seed, filters);
        for cut in smallest.cut.smaller(&scenario) {
            tries += 1;
            if tries > TRIES_MAX {
                return smallest;
            }
            if !scenario.can_be(&cut, filters) {
                continue;
            }
            if let Err(failed) = run(smallest.seed, filters, Telling::Last(crate::LAST_STEPS), plant, &cut)
                && failed.failure.property == smallest.failure.property
            {
                smallest = *failed;
                continue 'smaller;
            }
        }
        return smallest;
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let without: Vec<String> = self.without.iter().map(usize::to_string).collect();
        let parts = [
            self.nodes.map(|nodes| format!("nodes={nodes}")),
            self.heals_at_ms.map(|ms| format!("heals={ms}")),
            (!without.is_empty()).then(|| format!("without={}", without.join("+"))),
            self.is_calm.then(|| "calm".to_owned()),
        ];
        f.write_str(&parts.into_iter().flatten().collect::<Vec<_>>().join(","))
    }
}

impl FromStr for Cut {
    type Err = String;

    fn from_str(text: &str) -> Result<Cut, String> {
        let mut cut = Cut::default();
        let number = |text: &str| text.parse::<u64>().map_err(|error| format!("{text}: {error}"));
        for part in text.split(',').filter(|part| !part.is_empty()) {
            match part.split_once('=') {
                Some(("nodes", nodes)) => cut.nodes = Some(number(nodes)? as usize),
                Some(("heals", ms)) => cut.heals_at_ms = Some(number(ms)?),
                Some(("without", faults)) => {
                    cut.without =
                        faults.split('+').map(|at| Ok(number(at)? as usize)).collect::<Result<_, String>>()?;
                }
                None if part == "calm" => cut.is_calm = true,
                _ => return Err(format!("{part} is no cut: nodes=N,heals=MS,without=A+B,calm")),
            }
        }
        Ok(cut)
    }
}
