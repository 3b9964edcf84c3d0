//! A batch into the states that a reducer makes; of what comes late, the key's later events are read again.
//!
//! Which state to go back to, and what is kept, [`gundb_core::fold::Reduction`] says. Here events are found: by the
//! stream's index over (key, hlc) where the view's key is the event's, else by the one over hlc.

use crate::catalog::{self, Pending, ReducerRecord};
use crate::error::{Result, internal};
use crate::scan::{self, As, Stored, Which};
use crate::spi::{Mode, as_table_owner};
use crate::stream::Stream;
use crate::view::batch::{Batch, Group, Ids, shown};
use crate::view::merge::{Taken, is_to_come, text_key};
use crate::view::reducer::Reducer;
use crate::view::table::ViewTable;
use gundb_core::fold::{Appended, FoldValue, Mark, Placed, Reduction};
use gundb_core::{Datum, Dot};
use pgrx::pg_sys;
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::ControlFlow;

/// Takes events in, by key. `found` are the states of the keys, locked; None: each key is made anew, and all of its
/// events are here. Returns what could not be taken, besides.
///
/// # Safety
/// `relation` is the stream's open table.
pub unsafe fn take(
    relation: pg_sys::Relation,
    stream: &Stream,
    view: &ViewTable,
    record: &ReducerRecord,
    groups: BTreeMap<Vec<u8>, Group>,
    found: Option<&HashMap<Vec<u8>, Vec<u8>>>,
    ids: Ids,
) -> Result<(Vec<Taken>, Vec<Pending>)> {
    let (mut taken, mut pending) = (Vec::with_capacity(groups.len()), Vec::new());
    as_table_owner(view.relation, || {
        // SAFETY: the relation stays open.
        let mut reducer = unsafe { Reducer::new(relation, stream, record)? };
        let replay = Replay { relation, stream, view, left_out: OnceCell::new() };
        for (bytes, group) in groups {
            let stored = found.and_then(|found| found.get(&bytes)).map_or(&[][..], Vec::as_slice);
            let mut state = decoded(stored)?;
            let existed = state.latest().is_some();
            let Group { key, events: mut batch } = group;
            if matches!(ids, Ids::MayRepeat) {
                batch = first_of_each(batch);
                if found.is_some() {
                    // SAFETY: as above.
                    batch = unsafe { replay.first_of_all(&bytes, batch)? };
                }
            }
            // SAFETY: as above.
            let held = |after| unsafe { replay.held(&bytes, &key, after) };
            let refused = state.merge(&record.initial, placed(batch), &mut reducer, held)?;
            pending.extend(refused.into_iter().map(|refused| Pending {
                key: Some(shown(&key)),
                dot: refused.mark.dot(stream.id),
                reason: refused.refusal.reason,
                sqlstate: refused.refusal.sqlstate,
            }));
            let values = state.latest().map(|latest| vec![FoldValue::Datum(Some(Datum::Text(latest.state.clone())))]);
            taken.push(Taken { bytes, key, state: state.encode(), values, existed });
        }
        reducer.done()
    })?;
    Ok((taken, pending))
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
    relation: pg_sys::Relation,
    stream: &'a Stream,
    view: &'a ViewTable,
    /// The events that are pending, once somebody has asked.
    left_out: OnceCell<BTreeSet<Dot>>,
}

impl Replay<'_> {
    /// The events of a key that count, after a place: held, not pending, not yet to come, the first of their ids.
    unsafe fn held(&self, bytes: &[u8], key: &[Datum], after: Option<Mark>) -> Result<Vec<Placed<Mark>>> {
        let by_key = text_key(self.view, key).zip(self.stream.by_key);
        let which = match (by_key, after, self.stream.by_hlc) {
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
            let same = unsafe { self.found(bytes, Which::OfId { index: self.stream.by_id, id: event.id })? };
            if same.iter().all(|other| other.mark >= event.mark) {
                first.push(event);
            }
        }
        Ok(first)
    }

    unsafe fn found(&self, bytes: &[u8], which: Which) -> Result<Vec<Appended>> {
        let mut all = Batch::default();
        unsafe {
            scan::walk(self.relation, which, As::OfNow, |event| {
                if self.counts(event)? {
                    all.add_where(self.view, self.stream.id, event, |key| key == bytes);
                }
                Ok(ControlFlow::Continue(()))
            })?;
        }
        Ok(all.groups.remove(bytes).map(|group| group.events).unwrap_or_default())
    }

    fn counts(&self, event: &Stored) -> Result<bool> {
        let left_out = match self.left_out.get() {
            Some(left_out) => left_out,
            None => {
                let dots = catalog::pending_dots(self.view.number, Mode::Write)?;
                self.left_out.get_or_init(|| dots.into_iter().collect())
            }
        };
        Ok(!left_out.contains(&event.mark.dot(self.stream.id)) && !is_to_come(self.stream, &event.mark)?)
    }
}
