//! The definition of every fold, as slow and obvious as can be. The incremental code is an optimisation of this, and is tested against it.
//!
//! What must always hold here: each function reads as its line in `docs/folds.md`, keeps no state, and shares no code with what it is to check but the
//! comparison of marks and the arithmetic of values.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::conflict::Conflict;
use super::event::{Appended, Effect, FoldEvent, FoldValue, Operation, group_by_id};
use super::mark::{Causality, Mark, is_before};
use super::reduction::{Placed, Reduce, Refused};
use super::revert::revert_id;
use super::{Fold, FoldError};
use crate::crdt::Crdt;
use crate::datum::Datum;
use crate::decimal::Decimal;

/// An operation on a column, with the event that it belongs to.
struct Act<'a> {
    event: &'a FoldEvent,
    operation: &'a Operation,
}

/// The row of a key, or None where it has none. `reverts` are the ids of the reverts that are held.
pub fn row(
    folds: &[Fold],
    appended: &[Appended],
    reverts: &BTreeSet<Uuid>,
    causality: &impl Causality,
) -> Result<Option<Vec<FoldValue>>, FoldError> {
    let events = events(appended, reverts);
    let alive = alive(&events, causality);
    if alive.is_empty() {
        return Ok(None);
    }
    let column = |(column, fold): (usize, &Fold)| {
        let acts = alive.iter().flat_map(|event| {
            let operations = match &event.effect {
                Effect::Fold(columns) => columns.get(column),
                Effect::Delete => None,
            };
            let operations = operations.into_iter().flatten();
            operations.map(|operation| Act { event, operation })
        });
        value(*fold, &acts.collect::<Vec<_>>(), causality, column)
    };
    folds.iter().enumerate().map(column).collect::<Result<_, _>>().map(Some)
}

/// The conflicts of a key's row. Of each `lww` column: the living writes of another value than the one that won, which have not seen the one that won, and
/// which no living write of the column has seen.
pub fn conflicts(
    folds: &[Fold],
    appended: &[Appended],
    reverts: &BTreeSet<Uuid>,
    causality: &impl Causality,
) -> Vec<Conflict> {
    let events = events(appended, reverts);
    let alive = alive(&events, causality);
    let of_column = |(column, _): (usize, &Fold)| {
        let writes: Vec<(&FoldEvent, &Option<Datum>, &Option<Datum>)> = alive
            .iter()
            .filter_map(|event| match &event.effect {
                Effect::Fold(columns) => match columns.get(column)?.first()? {
                    Operation::Write { by, value } => Some((*event, by, value)),
                    _ => None,
                },
                Effect::Delete => None,
            })
            .collect();
        let winner = writes.iter().max_by_key(|(event, by, _)| (*by, event.mark));
        let conflict = |(winner, _, winner_value): &(&FoldEvent, &Option<Datum>, &Option<Datum>)| -> Vec<Conflict> {
            let unseen = writes.iter().filter(|(other, _, value)| {
                value != winner_value
                    && !sees(other, winner, causality)
                    && !writes.iter().any(|(write, _, _)| sees(write, other, causality))
            });
            let conflict = unseen.map(|(other, _, value)| Conflict {
                column,
                winner: winner.mark,
                winner_value: (*winner_value).clone(),
                other: other.mark,
                other_value: (*value).clone(),
            });
            conflict.collect()
        };
        winner.map(conflict).unwrap_or_default()
    };
    folds.iter().enumerate().filter(|(_, fold)| **fold == Fold::Lww).flat_map(of_column).collect()
}

/// The events that are not reverted, each id once.
fn events(appended: &[Appended], reverts: &BTreeSet<Uuid>) -> Vec<FoldEvent> {
    group_by_id(appended.iter().filter(|event| !is_reverted(&event.id, reverts)).cloned())
}

/// An event is reverted if a revert of it is held that is not reverted itself.
pub fn is_reverted(id: &Uuid, reverts: &BTreeSet<Uuid>) -> bool {
    let revert = revert_id(id);
    reverts.contains(&revert) && !is_reverted(&revert, reverts)
}

/// The events that are in no delete's context, deletes left out.
fn alive<'a>(events: &'a [FoldEvent], causality: &impl Causality) -> Vec<&'a FoldEvent> {
    let deletes = || events.iter().filter(|event| event.effect == Effect::Delete);
    let others = events.iter().filter(|event| event.effect != Effect::Delete);
    others.filter(|event| !deletes().any(|delete| sees(delete, event, causality))).collect()
}

/// Whether one event is in the context of another: when any of its dots is in the context of the other's first.
fn sees(later: &FoldEvent, earlier: &FoldEvent, causality: &impl Causality) -> bool {
    let mut marks: Vec<Mark> = earlier.others.clone();
    marks.push(earlier.mark);
    marks.iter().any(|mark| is_before(mark, &later.mark, causality))
}

fn value(fold: Fold, acts: &[Act<'_>], causality: &impl Causality, column: usize) -> Result<FoldValue, FoldError> {
    let given = || {
        acts.iter().filter_map(|act| match act.operation {
            Operation::Give(datum) => Some(datum.clone()),
            _ => None,
        })
    };
    let sum = || given().filter_map(|datum| number(&datum)).fold(Decimal::zero(), |sum, number| sum.plus(&number));
    let checked = |sum: Decimal| sum.checked().map_err(|overflow| FoldError::Overflow { column, overflow });
    let datum = |datum: Option<Datum>| Ok(FoldValue::Datum(datum));
    let boolean = |value: bool| Ok(FoldValue::Datum(Some(Datum::Boolean(value))));
    match fold {
        Fold::Count => datum(Some(Datum::Bigint(acts.len() as i64))),
        Fold::Sum if given().next().is_none() => datum(None),
        Fold::Sum => datum(Some(Datum::Numeric(checked(sum())?))),
        Fold::Avg => {
            let average = sum().average(given().count() as u64);
            datum(average.map(checked).transpose()?.map(Datum::Numeric))
        }
        Fold::Min => datum(given().min()),
        Fold::Max => datum(given().max()),
        Fold::Lww => datum(writes(acts).into_iter().max_by_key(|write| write.0.clone()).and_then(|write| write.1)),
        Fold::Fww => datum(writes(acts).into_iter().min_by_key(|write| write.0.clone()).and_then(|write| write.1)),
        Fold::Mv => Ok(FoldValue::array(mv(acts, causality))),
        Fold::Set => Ok(FoldValue::array(set(acts, causality).into_iter().map(Some))),
        Fold::RwSet => Ok(FoldValue::array(rw_set(acts, causality).into_iter().map(Some))),
        Fold::Flag => boolean(flag(acts, causality)),
        Fold::DwFlag => boolean(dw_flag(acts, causality)),
        Fold::Map => Ok(FoldValue::Entries(map(acts, causality))),
        Fold::Merge => merge(acts, column),
    }
}

fn number(datum: &Datum) -> Option<Decimal> {
    match datum {
        Datum::Numeric(number) => Some(number.clone()),
        Datum::Bigint(number) => Some(Decimal::from(*number)),
        _ => None,
    }
}

/// What is compared of a write.
type Order = (Option<Datum>, Mark);

/// The writes, each with what is compared of it.
fn writes(acts: &[Act<'_>]) -> Vec<(Order, Option<Datum>)> {
    let writes = acts.iter().filter_map(|act| match act.operation {
        Operation::Write { by, value } => Some(((by.clone(), act.event.mark), value.clone())),
        _ => None,
    });
    writes.collect()
}

/// The writes that are in no other write's context.
fn mv(acts: &[Act<'_>], causality: &impl Causality) -> Vec<Option<Datum>> {
    let unseen = acts.iter().filter(|write| !acts.iter().any(|other| sees(other.event, write.event, causality)));
    let values = unseen.filter_map(|write| match write.operation {
        Operation::Write { value, .. } => Some(value.clone()),
        _ => None,
    });
    values.collect()
}

/// A value is in if some add of it is in no remove's context (of that value).
fn set(acts: &[Act<'_>], causality: &impl Causality) -> BTreeSet<Datum> {
    let adds = acts.iter().filter_map(|act| match act.operation {
        Operation::Add(value) => Some((act, value)),
        _ => None,
    });
    let removed = |add: &Act<'_>, value: &Datum| {
        acts.iter().any(|act| match act.operation {
            Operation::Remove(removed) => removed == value && sees(act.event, add.event, causality),
            _ => false,
        })
    };
    let kept = adds.filter(|(add, value)| !removed(add, value));
    kept.map(|(_, value)| value.clone()).collect()
}

/// A value is in if some add of it has every remove of it in its context.
fn rw_set(acts: &[Act<'_>], causality: &impl Causality) -> BTreeSet<Datum> {
    let adds = acts.iter().filter_map(|act| match act.operation {
        Operation::Add(value) => Some((act, value)),
        _ => None,
    });
    let sees_all = |add: &Act<'_>, value: &Datum| {
        acts.iter().all(|act| match act.operation {
            Operation::Remove(removed) => removed != value || sees(add.event, act.event, causality),
            _ => true,
        })
    };
    let kept = adds.filter(|(add, value)| sees_all(add, value));
    kept.map(|(_, value)| value.clone()).collect()
}

/// On if some enable is in no disable's context.
fn flag(acts: &[Act<'_>], causality: &impl Causality) -> bool {
    let (enables, disables) = enables_and_disables(acts);
    let unseen = |enable: &FoldEvent| !disables.iter().any(|disable| sees(disable, enable, causality));
    enables.iter().any(|enable| unseen(enable))
}

/// On if some enable has every disable in its context.
fn dw_flag(acts: &[Act<'_>], causality: &impl Causality) -> bool {
    let (enables, disables) = enables_and_disables(acts);
    let sees_all = |enable: &FoldEvent| disables.iter().all(|disable| sees(enable, disable, causality));
    enables.iter().any(|enable| sees_all(enable))
}

fn enables_and_disables<'a>(acts: &[Act<'a>]) -> (Vec<&'a FoldEvent>, Vec<&'a FoldEvent>) {
    let (enables, disables): (Vec<_>, Vec<_>) = acts.iter().partition(|act| *act.operation == Operation::Enable);
    let events = |acts: Vec<&Act<'a>>| acts.into_iter().map(|act| act.event).collect();
    (events(enables), events(disables))
}

/// Of each key the last, in total order, of the puts that are in no other put's or drop's context (of that key).
fn map(acts: &[Act<'_>], causality: &impl Causality) -> Vec<(Datum, Datum)> {
    fn key_of<'a>(act: &'a Act<'_>) -> Option<&'a Datum> {
        match act.operation {
            Operation::Put { key, .. } | Operation::Drop { key } => Some(key),
            _ => None,
        }
    }
    let keys: BTreeSet<&Datum> = acts.iter().filter_map(key_of).collect();
    let entry = |key: &Datum| {
        let of_key = || acts.iter().filter(|act| key_of(act) == Some(key));
        let unseen = of_key().filter(|act| !of_key().any(|other| sees(other.event, act.event, causality)));
        let puts = unseen.filter_map(|act| match act.operation {
            Operation::Put { value, .. } => Some((act.event.mark, value)),
            _ => None,
        });
        let last = puts.max_by_key(|(mark, _)| *mark)?;
        Some((key.clone(), last.1.clone()))
    };
    keys.into_iter().filter_map(entry).collect()
}

/// All values, merged.
fn merge(acts: &[Act<'_>], column: usize) -> Result<FoldValue, FoldError> {
    let mut merged: Option<Crdt> = None;
    for act in acts {
        if let Operation::Merge(value) = act.operation {
            let all = merged.get_or_insert_with(|| Crdt::empty(value.kind()));
            all.merge(value).map_err(|mismatch| FoldError::Merge { column, mismatch })?;
        }
    }
    Ok(FoldValue::Crdt(merged))
}

/// A state, and what was left out of it.
pub type Reduced<R> = (Option<String>, Vec<Refused<<R as Reduce>::Refusal>>);

/// What a reducer makes of a key's events, each id once: all of them in total order, but those that it refuses. None where it took none.
pub fn reduced<R: Reduce>(
    initial: &str,
    mut events: Vec<Placed<R::Event>>,
    reducer: &mut R,
) -> Result<Reduced<R>, R::Failure> {
    events.sort_by_key(|event| event.mark);
    let (mut state, mut refused) = (None, Vec::new());
    for Placed { mark, event } in events {
        match reducer.reduce(state.as_deref().unwrap_or(initial), &event)? {
            Ok(next) => state = Some(next),
            Err(refusal) => refused.push(Refused { mark, refusal }),
        }
    }
    Ok((state, refused))
}
