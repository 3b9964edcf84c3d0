//! The trigger of streams that have views: brings what this transaction has appended into them.
//!
//! It reads the events back from the lanes that the transaction holds, from where it came last, rather than from a
//! transition table: so an event that a trigger or function of the user's appended in between is taken in its turn,
//! each event is taken once, and the stream pays nothing a row. A few events are kept from their stamping
//! ([`crate::recent`]), and need not be read.
//!
//! Must hold: while events come into a stream's views, nothing else does. What a trigger on a view's table appends to the
//! stream comes after them ([`in_turn`]): in between, the batch at hand is in some views and keys, and not in others, and
//! a key that was folded again then would have its events twice.

use crate::error::{Error, Result, state};
use crate::scan::{self, As, Stored, Which};
use crate::stream::{self, Stream};
use crate::view::batch::{Batch, are_full};
use crate::view::cost;
use crate::view::merge::{self, Origin};
use crate::{catalog, run, sql_function, transaction};
use gundb_core::Lane;
use pgrx::pg_sys::{self, Datum, Oid};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

sql_function! {
    /// `gundb.maintain()`: the trigger, AFTER INSERT FOR EACH STATEMENT.
    fn gundb_maintain(call) {
        // SAFETY: `call` holds PostgreSQL's own fcinfo.
        unsafe {
            let context = (*call.fcinfo()).context;
            if context.is_null() || (*context).type_ != pg_sys::NodeTag::T_TriggerData {
                return Err(Error::new(state::WRONG_OBJECT, "this function can only be called as a trigger").into());
            }
            let relation = (*context.cast::<pg_sys::TriggerData>()).tg_relation;
            if !comes_later((*relation).rd_id) {
                take_in(relation)?;
            }
        }
        Ok(Datum::null())
    }
}

/// A stream whose views are taking events in, and whether some have been appended to it meanwhile.
struct AtWork {
    stream: Oid,
    is_more: bool,
}

thread_local! {
    /// Innermost last.
    static AT_WORK: RefCell<Vec<AtWork>> = const { RefCell::new(Vec::new()) };
}

/// Whether events are coming into a stream's views.
pub fn is_at_work(stream: Oid) -> bool {
    AT_WORK.with_borrow(|all| all.iter().any(|one| one.stream == stream))
}

/// Whether what was appended to a stream is taken in by whoever is at work on its views, and tells them so.
fn comes_later(stream: Oid) -> bool {
    AT_WORK.with_borrow_mut(|all| {
        let at_work = all.iter_mut().find(|one| one.stream == stream);
        at_work.map(|one| one.is_more = true).is_some()
    })
}

/// How often triggers may append on account of what triggers have appended: an end to a circle.
const ROUNDS_MAX: usize = 1_000;

/// Runs `f`, which brings events into the views of a stream, then takes in what triggers on the views' tables have appended
/// to it meanwhile.
///
/// # Safety
/// `relation` is the stream's open table.
pub unsafe fn in_turn<T>(relation: pg_sys::Relation, f: impl FnOnce() -> Result<T>) -> Result<T> {
    struct Begun(usize);
    impl Drop for Begun {
        fn drop(&mut self) {
            AT_WORK.with_borrow_mut(|all| all.truncate(self.0));
        }
    }
    // SAFETY: an open relation.
    let table = unsafe { (*relation).rd_id };
    if is_at_work(table) {
        return f();
    }
    let begun = Begun(AT_WORK.with_borrow(Vec::len));
    AT_WORK.with_borrow_mut(|all| all.push(AtWork { stream: table, is_more: false }));
    let value = f()?;
    let is_more =
        || AT_WORK.with_borrow_mut(|all| all.get_mut(begun.0).is_some_and(|one| core::mem::take(&mut one.is_more)));
    let mut rounds = 0;
    while is_more() {
        rounds += 1;
        // SAFETY: as above. The views may be others by now.
        let stream = unsafe { stream::of_relation(relation)? };
        if rounds > ROUNDS_MAX {
            return Err(Error::new(
                state::TOO_DEEP,
                format!("the views of stream \"{}\" make events without end", stream.name),
            )
            .detail("What a trigger on a view's table appends changes rows, and so makes it append again.")
            .hint("Let the trigger append only where something has changed that it is for.")
            .into());
        }
        unsafe { take_in_new(relation, &stream)? };
    }
    Ok(value)
}

/// Brings into the views what this transaction has appended to a stream since the last time.
///
/// # Safety
/// `relation` is the stream's open table.
pub unsafe fn take_in(relation: pg_sys::Relation) -> Result<()> {
    // SAFETY: the caller's promise.
    unsafe {
        let stream = stream::of_relation(relation)?;
        if stream.views.is_empty() { Ok(()) } else { in_turn(relation, || take_in_new(relation, &stream)) }
    }
}

unsafe fn take_in_new(relation: pg_sys::Relation, stream: &Stream) -> Result<()> {
    for (lane, after) in transaction::with(|t| t.unviewed(stream.table)) {
        let mut after = after;
        while unsafe { take_in_lane(relation, stream, lane, &mut after)? } {}
    }
    Ok(())
}

/// Brings in some events of a lane; says whether there may be more.
unsafe fn take_in_lane(relation: pg_sys::Relation, stream: &Stream, lane: Lane, after: &mut u64) -> Result<bool> {
    let (recent, is_head) = transaction::with(|t| {
        let is_head = t.held(stream.table).is_some_and(|held| held.lane == lane && held.seq == *after);
        (t.recent(stream.table, lane, *after), is_head)
    });
    if is_head {
        return Ok(false);
    }
    let which = Which::OfLane { index: stream.primary_key, site: run::site()?, lane, after: *after };
    let mut batches = stream.views.iter().map(|_| Batch::default()).collect::<Vec<_>>();
    let mut events = 0;
    let start = Instant::now();
    let mut is_full = false;
    let mut add = |event: &Stored| {
        for (view, batch) in stream.views.iter().zip(&mut batches) {
            batch.add(view, stream.id, event);
        }
        *after = event.mark.seq;
        events += 1;
        is_full = are_full(&batches, events);
        is_full
    };
    if let Some(recent) = recent {
        for event in recent.iter() {
            add(&event);
        }
    } else {
        unsafe {
            scan::walk(relation, which, As::OfNow, |event| {
                Ok(if add(event) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            })?;
        }
    }
    if events == 0 {
        return Ok(false);
    }
    // Said first: what a trigger on a view's table appends meanwhile comes after.
    transaction::with(|t| t.view(stream.table, lane, *after));
    // Reading is shared by all views; for one the clock is not asked again.
    let (mut before, mut reading) = (start, Duration::ZERO);
    if stream.views.len() > 1 {
        before = Instant::now();
        reading = (before - start) / stream.views.len() as u32;
    }
    for (view, batch) in stream.views.iter().zip(batches) {
        if batch.skipped > 0 {
            catalog::add_skipped(view.number, lane.number().into(), batch.skipped)?;
        }
        unsafe { merge::merge(relation, stream, view, batch, Origin::Own, &BTreeMap::new())? };
        let now = Instant::now();
        cost::add(view.relation, events, reading + (now - before));
        before = now;
    }
    Ok(is_full)
}
