//! New states of a view, made beside those who append.
//!
//! A lane has no gaps and is in commit order, so what a lane's head covers is there to be read. States are folded up to a
//! clock in one walk through the stream, then what has come since is caught up with, lane by lane, none of it under a
//! lock; at last appenders are locked out for a moment, for the rest. Nobody else sees the states until the view is given
//! their number, in the same transaction.
//!
//! Must hold: the states are those of exactly the events that the clock covers, but for those that are left out.

use crate::catalog;
use crate::error::{Result, internal};
use crate::scan::{self, As, Which};
use crate::stream::{self, Stream};
use crate::view::batch::Batch;
use crate::view::build::{self, Events, ROWS_AT_ONCE};
use crate::view::fold::{Counted, Source};
use crate::view::merge::{self, Taken};
use crate::view::repeats::{Probe, Stands};
use crate::view::states::States;
use crate::view::table::ViewTable;
use crate::view::write::{NewRow, write};
use crate::view::{lock, maintain};
use crate::{run, transaction};
use gundb_core::{Clock, Dot};
use pgrx::pg_sys::{self, Oid};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::rc::Rc;
use uuid::Uuid;

/// Events caught up with at once: a bound on memory.
const CHUNK: usize = 100_000;
/// So few events, and the rest is left to the moment when appenders are locked out.
const LITTLE: u64 = 1_000;
/// Rounds of catching up: an end to it where events come faster than they are folded.
const ROUNDS_MAX: usize = 20;

pub struct Making {
    stream: Oid,
    /// The view as it will be: under a number of its own, and never strict about what was appended before.
    pub view: ViewTable,
    /// Whether its rows are written along: nobody else sees its table yet.
    writes_rows: bool,
    /// What is in the states.
    pub clock: Clock,
    /// Events that are not, whatever the clock covers.
    pub left_out: BTreeSet<Dot>,
    /// How many rows the states make.
    pub rows: i64,
    /// The keys whose states have changed after the first walk.
    pub changed: BTreeSet<Vec<u8>>,
}

impl Making {
    pub fn new(stream: Oid, mut view: ViewTable, writes_rows: bool, left_out: BTreeSet<Dot>) -> Making {
        view.strict = false;
        let (clock, changed) = (Clock::new(), BTreeSet::new());
        Making { stream, view, writes_rows, clock, left_out, rows: 0, changed }
    }

    /// Folds what the stream holds by now.
    pub fn fill(&mut self) -> Result<()> {
        let Making { view, writes_rows, left_out, .. } = &*self;
        let mut count = 0;
        let clock = with_stream(self.stream, |relation, stream| {
            let clock = build::clock_of(stream, As::OfNow)?;
            let events = Events { relation, stream, at: As::OfNow, clock: &clock, left_out };
            // SAFETY: the relation is open, and what the heads of lanes cover is there.
            let besides = unsafe {
                build::fold_all(events, view, |part| {
                    for chunk in part.chunks(ROWS_AT_ONCE) {
                        let keys = chunk.iter().map(|built| built.bytes.as_slice()).collect::<Vec<_>>();
                        let states = chunk.iter().map(|built| built.state.clone()).collect::<Vec<_>>();
                        catalog::insert_states(view.number, &keys, &states)?;
                        count += chunk.iter().filter(|built| built.values.is_some()).count() as i64;
                        if *writes_rows {
                            let row = |built: &Taken| {
                                Some(NewRow { key: built.key.clone(), values: Some(built.values.clone()?) })
                            };
                            write(view, &chunk.iter().filter_map(row).collect::<Vec<_>>())?;
                        }
                    }
                    Ok(())
                })?
            };
            catalog::insert_pending(view.number, &besides.pending, false, &BTreeMap::new())?;
            if besides.holds_reverts {
                catalog::note_reverts(&stream.name)?;
            }
            if besides.skipped > 0 {
                catalog::add_skipped(view.number, 0, besides.skipped)?;
            }
            Ok(clock)
        })?;
        (self.clock, self.rows) = (clock, count);
        Ok(())
    }

    /// Takes in what has come since, until little is left.
    pub fn catch_up_mostly(&mut self) -> Result<()> {
        for _ in 0..ROUNDS_MAX {
            if self.catch_up()? <= LITTLE {
                break;
            }
        }
        Ok(())
    }

    /// Takes in what has come since. Returns how many events that were.
    fn catch_up(&mut self) -> Result<u64> {
        with_stream(self.stream, |relation, stream| {
            let clock = build::clock_of(stream, As::OfNow)?;
            // SAFETY: the relation is open, and what the heads of lanes cover is there.
            unsafe { self.catch_up_to(relation, stream, &clock) }
        })
    }

    /// Takes in what a clock covers besides.
    ///
    /// # Safety
    /// `relation` is the stream's open table, and what the clock covers is there.
    pub unsafe fn catch_up_to(&mut self, relation: pg_sys::Relation, stream: &Stream, to: &Clock) -> Result<u64> {
        let authors = to.iter().map(|head| (head.site, head.lane.run())).collect::<BTreeSet<_>>();
        let (mut batch, mut ids, mut waiting, mut events) = (Batch::default(), Vec::new(), 0, 0);
        let mut reached = self.clock.clone();
        for head in to.iter() {
            let Dot { site, lane, .. } = head;
            let mut after = self.clock.get(site, stream.id, lane);
            while after < head.seq {
                let which = Which::OfLane { index: stream.primary_key, site, lane, after };
                let before = after;
                unsafe {
                    scan::walk(relation, which, As::OfNow, |event| {
                        // What comes after the head may not be whole: an event of it may have been passed already.
                        if event.mark.seq > head.seq {
                            return Ok(ControlFlow::Break(()));
                        }
                        after = event.mark.seq;
                        if !self.left_out.contains(&event.mark.dot(stream.id)) {
                            batch.add(&self.view, stream.id, event);
                            // Only another author can have given an event's id to another one.
                            if authors.len() > 1 {
                                ids.push(event.id);
                            }
                        }
                        waiting += 1;
                        Ok(if waiting < CHUNK { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
                    })?;
                }
                if after == before {
                    return Err(internal(format!("lane {lane} of stream \"{}\" has a gap", stream.name)));
                }
                events += after - before;
                reached.advance(&Dot { seq: after, ..head });
                if waiting >= CHUNK {
                    let (batch, ids) = (core::mem::take(&mut batch), core::mem::take(&mut ids));
                    unsafe { self.take_in(relation, stream, batch, &ids, &reached)? };
                    waiting = 0;
                }
            }
        }
        unsafe { self.take_in(relation, stream, batch, &ids, &reached)? };
        self.clock = reached;
        Ok(events)
    }

    /// Folds some events into the states; with them in it, the clock is `reached`. Of events whose ids stand more than
    /// once, the keys are folded again.
    unsafe fn take_in(
        &mut self,
        relation: pg_sys::Relation,
        stream: &Stream,
        mut batch: Batch,
        ids: &[Uuid],
        reached: &Clock,
    ) -> Result<()> {
        let mut repeated = BTreeSet::new();
        if !ids.is_empty() {
            // What another transaction is about to bring is not covered: it comes by itself.
            let mut probe = unsafe { Probe::begin(relation, stream) };
            repeated.extend(ids.iter().copied().filter(|id| probe.stands(id) == Stands::Repeated));
        }
        let mut again = BTreeSet::new();
        for id in repeated {
            let (mut dots, mut bearers) = (0, Batch::default());
            unsafe {
                scan::walk(relation, Which::OfId { index: stream.by_id, id }, As::OfNow, |event| {
                    if reached.covers(&event.mark.dot(stream.id)) {
                        dots += 1;
                        bearers.add(&self.view, stream.id, event);
                    }
                    Ok(ControlFlow::Continue(()))
                })?;
            }
            if dots > 1 {
                for (bytes, mut group) in bearers.groups {
                    group.events.clear();
                    batch.groups.entry(bytes.clone()).or_insert(group);
                    again.insert(bytes);
                }
            }
        }
        unsafe { self.fold_in(relation, stream, batch, again, reached) }
    }

    unsafe fn fold_in(
        &mut self,
        relation: pg_sys::Relation,
        stream: &Stream,
        mut batch: Batch,
        mut again: BTreeSet<Vec<u8>>,
        clock: &Clock,
    ) -> Result<()> {
        let counted = Counted::Covered { clock, left_out: &self.left_out };
        let source = Source { relation, stream, view: &self.view, counted };
        for (key, concern) in unsafe { merge::settle_reverts(source, &mut batch, true)? } {
            catalog::forget_pending(self.view.number, &concern.pending)?;
            again.insert(key);
        }
        let Batch { groups, mut pending, skipped, .. } = batch;
        let mut states = States::open(self.view.number)?;
        // What is in doubt is not covered: it comes by itself.
        let mut merged = unsafe { merge::fold_in(source, &mut states, groups, &again)? };
        states.store(&merged.changed)?;
        if self.writes_rows {
            write(&self.view, merged.changed.iter().filter_map(|changed| changed.row.as_ref()))?;
        }
        pending.append(&mut merged.pending);
        catalog::insert_pending(self.view.number, &pending, false, &BTreeMap::new())?;
        if skipped > 0 {
            catalog::add_skipped(self.view.number, 0, skipped)?;
        }
        self.rows += merged.growth;
        self.changed.extend(merged.changed.into_iter().map(|changed| changed.key));
        Ok(())
    }

    /// Leaves other events out than before: the keys of those that this concerns are folded again.
    pub fn leave_out(&mut self, dots: BTreeSet<Dot>) -> Result<()> {
        let concerned = self.left_out.symmetric_difference(&dots).copied().collect::<Vec<_>>();
        self.left_out = dots;
        with_stream(self.stream, |relation, stream| {
            let mut batch = Batch::default();
            for dot in concerned {
                // SAFETY: the relation is open.
                unsafe { build::add_event(&mut batch, &self.view, relation, stream, &dot)? };
            }
            // Only which keys they concern is asked.
            batch.forget_events();
            let (again, clock) = (batch.groups.keys().cloned().collect(), self.clock.clone());
            // SAFETY: as above.
            unsafe { self.fold_in(relation, stream, batch, again, &clock) }
        })
    }

    /// Locks appenders out until the end of the transaction, and others besides, and takes in the rest. The views that
    /// are there have what this transaction has appended then, too.
    pub fn lock_out(&mut self, others: &[(Oid, u32)]) -> Result<()> {
        let mut locks = vec![lock::appenders(self.stream)];
        locks.extend_from_slice(others);
        lock::briefly(&locks, || self.catch_up_mostly())?;
        // SAFETY: the relation is open.
        with_stream(self.stream, |relation, _| unsafe { maintain::take_in(relation) })?;
        self.catch_up().map(drop)
    }
}

/// Runs `f` with a stream's table open, and what is known of it now.
pub fn with_stream<T>(table: Oid, f: impl FnOnce(pg_sys::Relation, &Rc<Stream>) -> Result<T>) -> Result<T> {
    // SAFETY: the relation stays open, and locked, while it is used.
    unsafe {
        let relation = pg_sys::relation_open(table, pg_sys::AccessShareLock as i32);
        let stream = stream::of_relation(relation)?;
        let value = f(relation, &stream)?;
        pg_sys::relation_close(relation, pg_sys::NoLock as i32);
        Ok(value)
    }
}

/// Makes known that the views of a stream have changed, and that they have what this transaction has appended.
pub fn views_changed(table: Oid) -> Result<()> {
    // SAFETY: the table exists; it was looked up in this transaction.
    unsafe { pg_sys::CacheInvalidateRelcacheByRelid(table) };
    let Ok(site) = run::site() else { return Ok(()) };
    with_stream(table, |relation, stream| {
        for (lane, _) in transaction::with(|t| t.unviewed(table)) {
            // SAFETY: the relation is open.
            let head = unsafe { scan::Scan::begin(relation, stream.primary_key, As::OfNow).head(&site, lane) };
            if let Some(head) = head {
                transaction::with(|t| t.view(table, lane, head.seq));
            }
        }
        Ok(())
    })
}
