//! A batch into the states that a reducer makes; of what comes late, the key's later events are read again.
//!
//! Which state to go back to, and what is kept, [`gundb_core::fold::Reduction`] says. Here events are found: by the
//! stream's index over (key, hlc) where the view's key is the event's, else by the one over hlc.

use crate::catalog::{self, Pending, ReducerRecord};
use crate::error::{Result, internal};
use crate::scan::{self, As, Which};
use crate::spi::{Mode, as_table_owner};
use crate::view::batch::{Batch, Group, Ids, shown};
use crate::view::merge::{Source, Taken, text_key};
use crate::view::reducer::Reducer;
use crate::view::reverts::Reverts;
use gundb_core::fold::{Appended, FoldValue, Mark, Placed, Reduction};
use gundb_core::{Datum, Dot};
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::ControlFlow;

/// States of keys that are locked, and those of them that are to be made again from all of their events.
type Found<'a> = (&'a HashMap<Vec<u8>, Vec<u8>>, &'a BTreeSet<Vec<u8>>);

/// Takes events in, by key. `found` None: each key is made anew, and all of its events are here. Returns what could not
/// be taken, besides.
///
/// # Safety
/// The relation of `source` is open.
pub unsafe fn take(
    source: Source,
    record: &ReducerRecord,
    groups: BTreeMap<Vec<u8>, Group>,
    found: Option<Found>,
    ids: Ids,
) -> Result<(Vec<Taken>, Vec<Pending>)> {
    let Source { relation, stream, view, counted } = source;
    let (mut taken, mut pending) = (Vec::with_capacity(groups.len()), Vec::new());
    let replay = Replay { source, rule: Box::new(counted.rule(stream)?), left_out: OnceCell::new() };
    as_table_owner(view.relation, || {
        // SAFETY: the relation stays open.
        let mut reducer = unsafe { Reducer::new(relation, stream, record)? };
        for (bytes, Group { key, events }) in groups {
            let stored = found.and_then(|(found, _)| found.get(&bytes)).map_or(&[][..], Vec::as_slice);
            let mut state = decoded(stored)?;
            let existed = state.latest().is_some();
            // SAFETY: as above.
            let held = |after| unsafe { replay.held(&bytes, &key, after) };
            let batch = if found.is_some_and(|(_, again)| again.contains(&bytes)) {
                state = Reduction::default();
                held(None)?
            } else {
                let mut batch = events;
                if matches!(ids, Ids::MayRepeat) {
                    batch = first_of_each(batch);
                    if found.is_some() {
                        // SAFETY: as above.
                        batch = unsafe { replay.first_of_all(&bytes, batch)? };
                    }
                }
                placed(batch)
            };
            let refused = state.merge(&record.initial, batch, &mut reducer, held)?;
            pending.extend(refused.into_iter().map(|refused| Pending {
                key: Some(shown(&key)),
                dot: refused.mark.dot(stream.id),
                reason: refused.refusal.reason,
                sqlstate: refused.refusal.sqlstate,
            }));
            let values = values_of(&state);
            taken.push(Taken { bytes, key, state: state.encode(), values, existed });
        }
        reducer.done()
    })?;
    Ok((taken, pending))
}

/// The row that a state gives.
pub fn values_of(state: &Reduction) -> Option<Vec<FoldValue>> {
    state.latest().map(|latest| vec![FoldValue::Datum(Some(Datum::Text(latest.state.clone())))])
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

/// Of each id the first in total order.
fn first_of_each(mut events: Vec<Appended>) -> Vec<Appended> {
    events.sort_by_key(|event| event.mark);
    let mut seen = BTreeSet::new();
    events.retain(|event| seen.insert(event.id));
    events
}

/// Where a key's events are found again.
struct Replay<'a> {
    source: Source<'a>,
    /// Which events count, unless they are pending.
    rule: Box<dyn Fn(&Dot) -> bool + 'a>,
    /// The events that are pending, once somebody has asked.
    left_out: OnceCell<BTreeSet<Dot>>,
}

impl Replay<'_> {
    /// The events of a key that count, after a place: not pending, not reverted, the first of their ids.
    unsafe fn held(&self, bytes: &[u8], key: &[Datum], after: Option<Mark>) -> Result<Vec<Placed<Mark>>> {
        let by_key = text_key(self.source.view, key).zip(self.source.stream.by_key);
        let which = match (by_key, after, self.source.stream.by_hlc) {
            (Some((key, index)), Some(after), _) => Which::OfKeyFrom { index, key, from: after.hlc },
            (Some((key, index)), None, _) => Which::OfKey { index, key },
            (None, Some(after), Some(index)) => Which::From { index, from: after.hlc },
            (None, ..) => Which::All,
        };
        let mut found = unsafe { self.found(bytes, which)? };
        found.retain(|event| Some(event.mark) > after);
        let found = first_of_each(found);
        // An id whose first dot stands before the place was counted there.
        let found = if after.is_some() { unsafe { self.first_of_all(bytes, found)? } } else { found };
        Ok(placed(found))
    }

    /// Those of a key's events before which no other dot of their id counts.
    unsafe fn first_of_all(&self, bytes: &[u8], events: Vec<Appended>) -> Result<Vec<Appended>> {
        let mut first = Vec::with_capacity(events.len());
        for event in events {
            let same = unsafe { self.found(bytes, Which::OfId { index: self.source.stream.by_id, id: event.id })? };
            if same.iter().all(|other| other.mark >= event.mark) {
                first.push(event);
            }
        }
        Ok(first)
    }

    unsafe fn found(&self, bytes: &[u8], which: Which) -> Result<Vec<Appended>> {
        let Source { relation, stream, view, .. } = self.source;
        let left_out = self.left_out()?;
        let counts = |mark: &Mark| {
            let dot = mark.dot(stream.id);
            (self.rule)(&dot) && !left_out.contains(&dot)
        };
        let mut all = Batch::default();
        unsafe {
            scan::walk(relation, which, As::OfNow, |event| {
                if counts(&event.mark) {
                    all.add_where(view, stream.id, event, |key| key == bytes);
                }
                Ok(ControlFlow::Continue(()))
            })?;
            all.leave_out_reverted(&Reverts::of_stream(relation, stream, As::OfNow, counts)?)?;
        }
        Ok(all.groups.remove(bytes).map(|group| group.events).unwrap_or_default())
    }

    fn left_out(&self) -> Result<&BTreeSet<Dot>> {
        if self.left_out.get().is_none() {
            let dots = catalog::pending_dots(self.source.view.number, Mode::Write)?;
            return Ok(self.left_out.get_or_init(|| dots.into_iter().collect()));
        }
        self.left_out.get().ok_or_else(|| internal("what is pending is not known"))
    }
}
