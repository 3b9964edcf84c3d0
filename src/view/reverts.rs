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
use std::collections::{HashMap, HashSet};
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

/// The events that some reverts take out, or bring back, as of now; and the dots of all of them. Those that stay in and
/// cannot be read are pending.
///
/// # Safety
/// `relation` is the stream's open table.
pub unsafe fn touched(
    relation: pg_sys::Relation,
    stream: &Stream,
    view: &ViewTable,
    reverts: &[Revert],
) -> Result<(Batch, Vec<Dot>)> {
    let (mut batch, mut dots) = (Batch::default(), Vec::new());
    let mut wanted = reverts.iter().map(|revert| revert.of).collect::<Vec<_>>();
    let mut seen = HashSet::new();
    while let Some(id) = wanted.pop() {
        if !seen.insert(id) {
            continue;
        }
        unsafe {
            scan::walk(relation, Which::OfId { index: stream.by_id, id }, As::OfNow, |event| {
                match Revert::of_event(event) {
                    // What it reverts is what changes.
                    Some(revert) => wanted.push(revert.of),
                    None => {
                        dots.push(event.mark.dot(stream.id));
                        batch.add(view, stream.id, event);
                    }
                }
                Ok(ControlFlow::Continue(()))
            })?;
        }
    }
    let held = Reverts::LookedUp { relation, stream, at: As::OfNow, shown: Box::new(|_| true) };
    unsafe { batch.leave_out_reverted(&held)? };
    Ok((batch, dots))
}
