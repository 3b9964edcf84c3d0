//! Conflicts of `lww` columns: what was written beside the write that won, by somebody who did not know of it.
//!
//! What must always hold here: a conflict is a function of the key's events, as a row is, so every site shows the same ones; a write that has seen both
//! sides closes it. `specification::conflicts` is that function, slow and obvious.

use super::Fold;
use super::causal::Latest;
use super::event::{Effect, FoldEvent, Operation};
use super::mark::{Causality, Mark, Marks};
use crate::datum::Datum;

/// A value that another write won over, though neither author knew of the other's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The column, counted from 0.
    pub column: usize,
    /// The write whose value the column has.
    pub winner: Mark,
    /// That value.
    pub winner_value: Option<Datum>,
    /// The other write.
    pub other: Mark,
    /// What it wrote.
    pub other_value: Option<Datum>,
}

/// A living write.
struct Write<'a> {
    marks: Marks,
    by: &'a Option<Datum>,
    value: &'a Option<Datum>,
}

/// The conflicts of a row, by column, then in total order: the writes that have not seen the one that won, and that no write has seen, where they wrote
/// another value. O(writes × runs that write).
pub fn conflicts(folds: &[Fold], events: &[FoldEvent], causality: &impl Causality) -> Vec<Conflict> {
    let mut deletes = Latest::default();
    events.iter().filter(|event| event.effect == Effect::Delete).for_each(|delete| deletes.note(delete.mark));
    let lives = |event: &&FoldEvent| event.effect != Effect::Delete && !deletes.has_seen(&event.marks(), causality);
    let living: Vec<&FoldEvent> = events.iter().filter(lives).collect();
    let columns = folds.iter().enumerate().filter(|(_, fold)| **fold == Fold::Lww);
    columns.flat_map(|(column, _)| of_column(column, &writes(column, &living), causality)).collect()
}

fn writes<'a>(column: usize, living: &[&'a FoldEvent]) -> Vec<Write<'a>> {
    let written = |event: &&'a FoldEvent| {
        let Effect::Fold(columns) = &event.effect else { return None };
        columns.get(column)?.iter().find_map(|operation| match operation {
            Operation::Write { by, value } => Some(Write { marks: event.marks(), by, value }),
            _ => None,
        })
    };
    living.iter().filter_map(written).collect()
}

fn of_column(column: usize, writes: &[Write<'_>], causality: &impl Causality) -> Vec<Conflict> {
    let Some(winner) = writes.iter().max_by_key(|write| (write.by, write.marks.first)) else { return Vec::new() };
    let mut latest = Latest::default();
    writes.iter().for_each(|write| latest.note(write.marks.first));
    let stands = |other: &&Write<'_>| {
        other.value != winner.value
            && !winner.marks.seen_by(&other.marks.first, causality)
            && !latest.has_seen(&other.marks, causality)
    };
    let mut conflicts: Vec<Conflict> = writes
        .iter()
        .filter(stands)
        .map(|other| Conflict {
            column,
            winner: winner.marks.first,
            winner_value: winner.value.clone(),
            other: other.marks.first,
            other_value: other.value.clone(),
        })
        .collect();
    conflicts.sort_by_key(|conflict| conflict.other);
    conflicts
}
