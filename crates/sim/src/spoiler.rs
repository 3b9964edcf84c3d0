//! Faults planted in the maintenance of views.

use std::collections::BTreeSet;

use gundb_core::Datum;
use gundb_core::fold::{Effect, Fold, FoldEvent, FoldValue, Mark, Operation, RefoldReason, RowState};

use crate::plant::Plant;
use crate::view::{VIEW, values};

/// What spoils one row's maintenance.
#[derive(Default)]
pub struct Spoiler {
    plant: Plant,
    /// Whether the site wrote itself what comes.
    is_own: bool,
    /// What nothing is said to have seen.
    unseen: BTreeSet<Mark>,
}

impl Spoiler {
    pub fn new(plant: Plant, is_own: bool) -> Spoiler {
        Spoiler { plant, is_own, unseen: BTreeSet::new() }
    }

    /// Whether the event at `a` is in the context of the one at `b`; None where nothing is spoilt.
    pub fn sees(&self, a: &Mark, b: &Mark) -> Option<bool> {
        let is_earlier_run = a.site == b.site && a.lane.run() != b.lane.run();
        match self.plant {
            _ if self.unseen.contains(a) => Some(false),
            Plant::RemoveKillsUnseenAdd => Some(true),
            Plant::ContextByStamp if is_earlier_run => Some(a.hlc < b.hlc),
            _ => None,
        }
    }

    /// Spoils what comes.
    pub fn spoil(&self, state: &RowState, events: &mut [FoldEvent]) {
        let columns = events.iter_mut().filter_map(|event| match &mut event.effect {
            Effect::Fold(columns) => Some(columns),
            Effect::Delete => None,
        });
        match self.plant {
            Plant::FloatSum => columns.flatten().flatten().for_each(through_float),
            Plant::RemovesForgotten => {
                let at = VIEW.columns.0.iter().position(|column| column.fold == Fold::RwSet).unwrap_or_default();
                let present = match values(state).map(|mut values| values.swap_remove(at)) {
                    Some(FoldValue::Array(values)) => values,
                    _ => Vec::new(),
                };
                let does = |operation: &Operation| match operation {
                    Operation::Remove(value) => present.contains(&Some(value.clone())),
                    _ => true,
                };
                columns.for_each(|columns| columns[at].retain(does));
            }
            _ => {}
        }
    }

    /// Whether a row that is to be folded again is not: then without what asks for it.
    pub fn ignores(&mut self, reason: RefoldReason, events: &mut Vec<FoldEvent>) -> bool {
        let is_planted = match reason {
            RefoldReason::Late => {
                self.plant == Plant::LateNotRefolded || self.plant == Plant::OpenNotRefolded && self.is_own
            }
            RefoldReason::DeleteHits => self.plant == Plant::DeleteNotRefolded,
            RefoldReason::SameId => false,
        };
        if is_planted {
            self.unseen.extend(events.iter().map(|event| event.mark));
            events.retain(|event| event.effect != Effect::Delete || reason != RefoldReason::DeleteHits);
        }
        is_planted
    }

    pub fn knows_other_dots(&self) -> bool {
        self.plant != Plant::OtherDotsForgotten
    }
}

fn through_float(operation: &mut Operation) {
    if let Operation::Give(Datum::Numeric(number)) = operation
        && let Ok(float) = number.to_string().parse::<f64>()
        && let Ok(rounded) = format!("{float:e}").parse()
    {
        *number = rounded;
    }
}
