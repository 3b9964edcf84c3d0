//! The trigger of streams that have views: brings what this transaction has appended into them.
//!
//! It reads the events back from the lanes that the transaction holds, from where it came last, rather than from a
//! transition table: so an event that a trigger or function of the user's appended in between is taken in its turn,
//! each event is taken once, and the stream pays nothing a row.

use crate::error::{Error, Result, state};
use crate::scan::{self, As, Which};
use crate::stream::{self, Stream};
use crate::view::batch::Batch;
use crate::view::cost;
use crate::view::merge::{self, Origin};
use crate::{catalog, run, sql_function, transaction};
use gundb_core::Lane;
use pgrx::pg_sys::{self, Datum};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// Events read before they are merged: a bound on memory.
pub const CHUNK: usize = 200_000;

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
            let stream = stream::of_relation(relation)?;
            take_in(relation, &stream)?;
        }
        Ok(Datum::null())
    }
}

/// Brings into the views what this transaction has appended to a stream since the last time.
///
/// # Safety
/// `relation` is the stream's open table.
pub unsafe fn take_in(relation: pg_sys::Relation, stream: &Stream) -> Result<()> {
    if stream.views.is_empty() {
        return Ok(());
    }
    for (lane, after) in transaction::with(|t| t.unviewed(stream.table)) {
        let mut after = after;
        while unsafe { take_in_lane(relation, stream, lane, &mut after)? } {}
    }
    Ok(())
}

/// Brings in some events of a lane; says whether there may be more.
unsafe fn take_in_lane(relation: pg_sys::Relation, stream: &Stream, lane: Lane, after: &mut u64) -> Result<bool> {
    let mut batches = stream.views.iter().map(|_| Batch::default()).collect::<Vec<_>>();
    let mut events = 0;
    let which = Which::OfLane { index: stream.primary_key, site: run::site()?, lane, after: *after };
    let start = Instant::now();
    unsafe {
        scan::walk(relation, which, As::OfNow, |event| {
            for (view, batch) in stream.views.iter().zip(&mut batches) {
                batch.add(view, stream.id, event);
            }
            *after = event.mark.seq;
            events += 1;
            Ok(if events < CHUNK { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
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
    Ok(events == CHUNK)
}
