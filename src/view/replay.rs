//! A batch into the states that a reducer makes; of what comes late, the key's later events are read again.
//!
//! Which state to go back to, and what is kept, [`gundb_core::fold::Reduction`] says. Here events are found: by the
//! stream's index over (key, hlc) where the view's key is the event's, else by the one over hlc.

use crate::catalog::{self, Pending, ReducerRecord};
use crate::doubt::Waiting;
use crate::error::{Result, internal};
use crate::run;
use crate::scan::{self, As, Which};
use crate::spi::{Mode, as_table_owner};
use crate::stream::Stream;
use crate::view::batch::{Batch, Whole, shown};
use crate::view::fold::{Counted, Source, text_key};
use crate::view::intake::{self, Intake};
use crate::view::late;
use crate::view::merge::{AllTaken, Taken};
use crate::view::reducer::{Reducer, Refusal};
use crate::view::repeats::Probe;
use crate::view::reverts::Reverts;
use gundb_core::fold::{Appended, FoldValue, Mark, Placed, Reduction, Refused};
use gundb_core::{Datum, Dot};
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

/// Takes events into keys that are locked.
///
/// # Safety
/// The relation of `source` is open.
pub unsafe fn take(source: Source, record: &ReducerRecord, keys: BTreeMap<Vec<u8>, Intake>) -> Result<AllTaken> {
    let Source { relation, stream, view, counted } = source;
    let mut all = AllTaken::default();
    let mut replay =
        Replay { source, rule: Box::new(counted.rule(stream)?), left_out: OnceCell::new(), in_doubt: Vec::new() };
    as_table_owner(view.relation, || {
        // SAFETY: the relation stays open.
        let mut reducer = unsafe { Reducer::new(relation, stream, record)? };
        for (bytes, Intake { key, events, state: stored, again }) in keys {
            let mut state = decoded(&stored)?;
            let existed = state.latest().is_some();
            // SAFETY: as above.
            let mut held = |after| unsafe { replay.held(&bytes, &key, after) };
            let batch = if again {
                state = Reduction::default();
                held(None)?
            } else {
                placed(events)
            };
            let refused = state.merge(&record.initial, batch, &mut reducer, held)?;
            all.pending.extend(refused.into_iter().map(|refused| pending(&key, stream, refused)));
            let doubtful = core::mem::take(&mut replay.in_doubt).into_iter();
            all.in_doubt.extend(doubtful.map(|dot| intake::once_more(bytes.clone(), &key, dot)));
            all.keys.push(taken(bytes, key, stored, &state, existed));
        }
        reducer.done()
    })?;
    Ok(all)
}

/// Makes keys anew, all of whose events are given.
///
/// # Safety
/// The relation of `source` is open.
pub unsafe fn take_whole(source: Source, record: &ReducerRecord, keys: BTreeMap<Vec<u8>, Whole>) -> Result<AllTaken> {
    let Source { relation, stream, view, .. } = source;
    let mut all = AllTaken::default();
    as_table_owner(view.relation, || {
        // SAFETY: the relation stays open.
        let mut reducer = unsafe { Reducer::new(relation, stream, record)? };
        for (bytes, Whole { key, events }) in keys {
            let mut state = Reduction::default();
            let batch = events.into_iter().map(|event| Placed { mark: event.mark, event: event.mark }).collect();
            // All events are here, so none is looked for again.
            let refused = state.merge(&record.initial, batch, &mut reducer, |_| Ok(Vec::new()))?;
            all.pending.extend(refused.into_iter().map(|refused| pending(&key, stream, refused)));
            all.keys.push(taken(bytes, key, Vec::new(), &state, false));
        }
        reducer.done()
    })?;
    Ok(all)
}

fn pending(key: &[Datum], stream: &Stream, refused: Refused<Refusal>) -> Pending {
    Pending {
        key: Some(shown(key)),
        dot: refused.mark.dot(stream.id),
        reason: refused.refusal.reason,
        sqlstate: refused.refusal.sqlstate,
    }
}

fn taken(bytes: Vec<u8>, key: Vec<Datum>, stored: Vec<u8>, state: &Reduction, existed: bool) -> Taken {
    // A key whose ids are all for other keys is as one that was never met.
    let encoded = if *state == Reduction::default() { Vec::new() } else { state.encode() };
    Taken { bytes, key, stored, state: encoded, values: values_of(state), existed }
}

/// The row that a state gives.
pub fn values_of(state: &Reduction) -> Option<Vec<FoldValue>> {
    state.latest().map(|latest| vec![FoldValue::Datum(Some(Datum::Jsonb(latest.state.clone())))])
}

/// The state of a key as it is stored; nothing is stored of a key that has only been locked.
pub fn decoded(stored: &[u8]) -> Result<Reduction> {
    if stored.is_empty() {
        return Ok(Reduction::default());
    }
    Reduction::decode(stored).map_err(|error| internal(format!("a view's state is damaged: {error}")))
}

/// Events as the reducer is given them: where they stand.
fn placed(events: Vec<Appended>) -> Vec<Placed<Mark>> {
    events.into_iter().map(|event| Placed { mark: event.mark, event: event.mark }).collect()
}

/// Where a key's events are found again.
struct Replay<'a> {
    source: Source<'a>,
    /// Which events count, unless they are pending.
    rule: Box<dyn Fn(&Dot) -> bool + 'a>,
    /// The events that are pending, once somebody has asked.
    left_out: OnceCell<BTreeSet<Dot>>,
    /// Events whose ids another transaction may be about to bring too.
    in_doubt: Vec<Dot>,
}

impl Replay<'_> {
    /// The events of a key that count, after a place: not pending, not reverted, the first of their ids.
    unsafe fn held(&mut self, bytes: &[u8], key: &[Datum], after: Option<Mark>) -> Result<Vec<Placed<Mark>>> {
        let Source { relation, stream, view, counted } = self.source;
        let by_key = text_key(view, key).zip(stream.by_key);
        let which = match (by_key, after, stream.by_hlc) {
            (Some((key, index)), Some(after), _) => Which::OfKeyFrom { index, key, from: after.hlc },
            (Some((key, index)), None, _) => Which::OfKey { index, key },
            (None, Some(after), Some(index)) => Which::From { index, from: after.hlc },
            (None, ..) => Which::All,
        };
        let left_out = self.left_out()?;
        let counts = |mark: &Mark| {
            let dot = mark.dot(stream.id);
            (self.rule)(&dot) && !left_out.contains(&dot)
        };
        let mut all = Batch::default();
        unsafe {
            scan::walk(relation, which, As::OfNow, |event| {
                if counts(&event.mark) && Some(event.mark) > after {
                    all.add_where(view, stream.id, event, |key| key == bytes);
                }
                Ok(ControlFlow::Continue(()))
            })?;
            all.leave_out_reverted(&Reverts::of_stream(relation, stream, As::OfNow, counts)?)?;
        }
        let found = all.groups.remove(bytes).map(|group| group.events).unwrap_or_default();
        let mut were_late = BTreeSet::new();
        if matches!(counted, Counted::Brought { .. }) && run::database()?.waiting(Waiting::Late).may_be() {
            // After the walk: what it has met is taken in now, and what was committed meanwhile stays late.
            let met = found.iter().map(|event| event.mark.dot(stream.id)).collect::<BTreeSet<_>>();
            were_late.extend(late::take(view.number, bytes, |dot| met.contains(dot))?.into_all());
        }
        let is_left_out = |dot: &Dot| left_out.contains(dot);
        let (events, mut in_doubt) =
            unsafe { Probe::begin(relation, stream).settle(view, bytes, found, &were_late, &self.rule, &is_left_out)? };
        // An id whose first dot stands before the place was counted there.
        let events = events.into_iter().filter(|event| Some(event.mark) > after);
        let events = events.map(|event| Placed { mark: event.mark, event: event.mark }).collect();
        self.in_doubt.append(&mut in_doubt);
        Ok(events)
    }

    fn left_out(&self) -> Result<&BTreeSet<Dot>> {
        if self.left_out.get().is_none() {
            // The keys are locked: whatever is filed as pending of them is committed, or this transaction's.
            let dots = catalog::pending_dots(self.source.view.number, Mode::Latest)?;
            return Ok(self.left_out.get_or_init(|| dots.into_iter().collect()));
        }
        self.left_out.get().ok_or_else(|| internal("what is pending is not known"))
    }
}
