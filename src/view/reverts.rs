//! Which events are reverted. What that means, [`gundb_core::fold::is_reverted`] says.
//!
//! A walk through a stream meets all of its reverts. Where events are found by an index, their reverts are looked up by
//! the ids that they must have; and not even that in a stream of which `gundb.reverting` does not say that it holds any.

use crate::catalog;
use crate::error::Result;
use crate::jsonb::Binary;
use crate::scan::{self, As, Stored, Which};
use crate::stream::Stream;
use crate::view::batch::Batch;
use crate::view::table::ViewTable;
use gundb_core::fold::{Mark, REVERTED, is_reverted, revert_id, reverts_of};
use gundb_core::view::{Document, Step};
use gundb_core::{Dot, Json};
use pgrx::pg_sys;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::ControlFlow;
use uuid::Uuid;

/// A revert that was met.
pub struct Revert {
    pub id: Uuid,
    pub mark: Mark,
    /// The event that it reverts.
    pub of: Uuid,
}

impl Revert {
    /// The revert that an event is: of the type, and with the id that follows from the id of what it reverts.
    pub fn of_event(event: &Stored) -> Option<Revert> {
        if event.kind != REVERTED {
            return None;
        }
        let first = [Step::Name("reverts".to_owned()), Step::Index(0)];
        let meta = Binary(event.meta);
        let json = meta.at(&first)?;
        let Json::String(text) = &*json else { return None };
        let of = text.parse().ok().filter(|of| revert_id(of) == event.id)?;
        Some(Revert { id: event.id, mark: event.mark, of })
    }
}

/// What is known of the reverts that are held.
pub enum Reverts<'a> {
    /// There are none.
    None,
    /// These are all, each with its place.
    Met(HashMap<Uuid, Mark>),
    /// They are looked up, each by its id.
    LookedUp { relation: pg_sys::Relation, stream: &'a Stream, at: As, shown: Box<dyn Fn(&Mark) -> bool + 'a> },
}

impl<'a> Reverts<'a> {
    /// Those that a walk through the whole stream has met.
    pub fn met(batch: &Batch) -> Reverts<'static> {
        if batch.reverts.is_empty() {
            return Reverts::None;
        }
        let mut met = HashMap::new();
        for Revert { id, mark, .. } in &batch.reverts {
            // Accepted apart, it is one event: its place is the first.
            met.entry(*id).and_modify(|first: &mut Mark| *first = *mark.min(first)).or_insert(*mark);
        }
        Reverts::Met(met)
    }

    /// Those of a stream that was not walked through: of them, those that are shown.
    pub fn of_stream(
        relation: pg_sys::Relation,
        stream: &'a Stream,
        at: As,
        shown: impl Fn(&Mark) -> bool + 'a,
    ) -> Result<Reverts<'a>> {
        Ok(match catalog::holds_reverts(&stream.name)? {
            false => Reverts::None,
            true => Reverts::LookedUp { relation, stream, at, shown: Box::new(shown) },
        })
    }

    /// Whether an event is reverted.
    ///
    /// # Safety
    /// The stream's table is open.
    pub unsafe fn take_out(&self, id: &Uuid) -> Result<bool> {
        // SAFETY: the caller's promise.
        is_reverted(id, |revert| Ok(unsafe { self.find(revert)? }.is_some()))
    }

    /// The reverts of an event that are held, each of the one before it, with their places.
    ///
    /// # Safety
    /// The stream's table is open.
    pub unsafe fn of(&self, id: &Uuid) -> Result<Vec<(Mark, Uuid)>> {
        let mut marks = Vec::new();
        let ids = reverts_of(id, |revert| -> Result<bool> {
            // SAFETY: the caller's promise.
            let mark = unsafe { self.find(revert)? };
            marks.extend(mark);
            Ok(mark.is_some())
        })?;
        Ok(marks.into_iter().zip(ids).collect())
    }

    unsafe fn find(&self, revert: &Uuid) -> Result<Option<Mark>> {
        match self {
            Reverts::None => Ok(None),
            Reverts::Met(met) => Ok(met.get(revert).copied()),
            Reverts::LookedUp { relation, stream, at, shown } => {
                let mut first: Option<Mark> = None;
                // SAFETY: the caller holds the relation open.
                unsafe {
                    scan::walk(*relation, Which::OfId { index: stream.by_id, id: *revert }, *at, |event| {
                        if shown(&event.mark) && Revert::of_event(event).is_some() {
                            first = Some(first.map_or(event.mark, |first| first.min(event.mark)));
                        }
                        Ok(ControlFlow::Continue(()))
                    })?;
                }
                Ok(first)
            }
        }
    }
}

/// What some reverts take out, or bring back.
#[derive(Default)]
pub struct Touched {
    /// The events, as of now: those that stay in. Those of them that cannot be read are pending.
    pub batch: Batch,
    /// The dots of those that are for no key.
    pub keyless: Vec<Dot>,
    pub keys: BTreeMap<Vec<u8>, Concern>,
}

/// What concerns a key.
#[derive(Default)]
pub struct Concern {
    pub reverts: BTreeSet<Dot>,
    /// The events that are taken out, or brought back, with their ids.
    pub events: BTreeMap<Dot, Uuid>,
    /// Those of them that were pending.
    pub pending: BTreeSet<Dot>,
}

impl Concern {
    /// For whose sake the key must be folded again: the reverts, and the events, whose ids may stand elsewhere too.
    pub fn dots(&self) -> impl Iterator<Item = Dot> {
        self.reverts.iter().chain(self.events.keys()).copied()
    }
}

impl Touched {
    /// Adds the event that bears an id, under all of its dots. Returns its keys.
    unsafe fn add(
        &mut self,
        relation: pg_sys::Relation,
        stream: &Stream,
        view: &ViewTable,
        id: Uuid,
    ) -> Result<BTreeSet<Vec<u8>>> {
        let mut keys = BTreeSet::new();
        unsafe {
            scan::walk(relation, Which::OfId { index: stream.by_id, id }, As::OfNow, |event| {
                if Revert::of_event(event).is_some() {
                    return Ok(ControlFlow::Continue(()));
                }
                let (dot, mut one) = (event.mark.dot(stream.id), Batch::default());
                one.add(view, stream.id, event);
                match one.groups.keys().next() {
                    Some(key) => {
                        self.keys.entry(key.clone()).or_default().events.insert(dot, id);
                        keys.insert(key.clone());
                    }
                    None => self.keyless.push(dot),
                }
                self.batch.append(one);
                Ok(ControlFlow::Continue(()))
            })?;
        }
        Ok(keys)
    }
}

/// What some reverts take out, or bring back; `counts` says of reverts whether they do.
///
/// # Safety
/// `relation` is the stream's open table.
pub unsafe fn touched(
    relation: pg_sys::Relation,
    stream: &Stream,
    view: &ViewTable,
    reverts: &[Revert],
    counts: impl Fn(&Mark) -> bool,
) -> Result<Touched> {
    let mut touched = Touched::default();
    let mut keys_of: HashMap<Uuid, BTreeSet<Vec<u8>>> = HashMap::new();
    for revert in reverts {
        let event = unsafe { event_of(relation, stream, revert.of)? };
        let keys = match keys_of.entry(event) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(unsafe { touched.add(relation, stream, view, event)? }),
        };
        for key in keys.iter() {
            touched.keys.entry(key.clone()).or_default().reverts.insert(revert.mark.dot(stream.id));
        }
    }
    let held = Reverts::LookedUp { relation, stream, at: As::OfNow, shown: Box::new(counts) };
    unsafe { touched.batch.leave_out_reverted(&held)? };
    Ok(touched)
}

/// The event that is reverted in the end, where an id is perhaps that of a revert.
unsafe fn event_of(relation: pg_sys::Relation, stream: &Stream, mut id: Uuid) -> Result<Uuid> {
    // An id follows from the one that it reverts, so there is no circle.
    loop {
        let mut of = None;
        unsafe {
            scan::walk(relation, Which::OfId { index: stream.by_id, id }, As::OfNow, |event| {
                of = of.or(Revert::of_event(event).map(|revert| revert.of));
                Ok(ControlFlow::Continue(()))
            })?;
        }
        match of {
            Some(of) => id = of,
            None => return Ok(id),
        }
    }
}
