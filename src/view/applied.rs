//! Events of others into the views of their stream: the same way as a transaction's own, but that a busy key is left.

use crate::error::Result;
use crate::scan::{self, As, Which};
use crate::stream::Stream;
use crate::view::batch::Batch;
use crate::view::maintain::CHUNK;
use crate::view::merge::{self, Origin};
use crate::view::table::ViewTable;
use crate::{admin, catalog, lane, stream, transaction};
use gundb_core::view::decode_key;
use gundb_core::{Lane, SiteId};
use pgrx::pg_sys;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// Brings into the views what was stored in lanes after the seqs given.
///
/// # Safety
/// `relation` is the stream's open table.
pub unsafe fn bring_in(relation: pg_sys::Relation, stream: &Stream, lanes: &[(SiteId, Lane, u64)]) -> Result<()> {
    if stream.views.is_empty() {
        return Ok(());
    }
    transaction::with(|t| t.arrive(stream.table, lanes));
    let mut chunk = Chunk::of(stream);
    for &(site, lane, after) in lanes {
        let which = Which::OfLane { index: stream.primary_key, site, lane, after };
        unsafe {
            scan::walk(relation, which, As::OfNow, |event| {
                chunk.add(stream, event);
                if chunk.events == CHUNK {
                    core::mem::replace(&mut chunk, Chunk::of(stream)).merge(relation, stream)?;
                }
                Ok(ControlFlow::Continue(()))
            })?;
        }
    }
    unsafe { chunk.merge(relation, stream)? };
    transaction::with(|t| t.arrived(stream.table));
    Ok(())
}

/// Some events, as each view of the stream reads them.
struct Chunk {
    events: usize,
    /// The lanes that they are of, and the last seq of each.
    reached: Vec<(SiteId, Lane, u64)>,
    batches: Vec<Batch>,
    /// A number that stands for the site of events without a key, in place of a lane's.
    origin: i32,
}

impl Chunk {
    fn of(stream: &Stream) -> Chunk {
        let batches = stream.views.iter().map(|_| Batch::default()).collect();
        Chunk { events: 0, reached: Vec::new(), batches, origin: 0 }
    }

    fn add(&mut self, stream: &Stream, event: &scan::Stored) {
        for (view, batch) in stream.views.iter().zip(&mut self.batches) {
            batch.add(view, stream.id, event);
        }
        let mark = &event.mark;
        match self.reached.last_mut().filter(|(site, lane, _)| (*site, *lane) == (mark.site, mark.lane)) {
            Some((.., seq)) => *seq = mark.seq,
            None => self.reached.push((mark.site, mark.lane, mark.seq)),
        }
        self.events += 1;
        self.origin = -1 - (lane::hash(event.mark.site.0.as_bytes()) >> 2) as i32;
    }

    unsafe fn merge(self, relation: pg_sys::Relation, stream: &Stream) -> Result<()> {
        // Said first: what a trigger on a view's table appends meanwhile comes after.
        transaction::with(|t| t.arrive(stream.table, &self.reached));
        for (view, batch) in stream.views.iter().zip(self.batches) {
            if batch.skipped > 0 {
                catalog::add_skipped(view.number, self.origin, batch.skipped)?;
            }
            unsafe { merge::merge(relation, stream, view, batch, Origin::Applied, &BTreeMap::new())? };
        }
        Ok(())
    }
}

/// Brings late events into the keys of a view: those that are free, or each, when it is waited for. Returns to how many
/// keys they came.
pub fn heal(view: &ViewTable, origin: Origin) -> Result<usize> {
    let late = || crate::spi::with_latest_snapshot(|| catalog::late_keys(view.number));
    let before = late()?;
    if before.is_empty() {
        return Ok(0);
    }
    let mut batch = Batch::default();
    let count = before.len();
    for bytes in before {
        if let Ok(key) = decode_key(&bytes) {
            batch.touch(bytes, key);
        }
    }
    // Locks out who builds the view anew; the worker does not wait for the end of that.
    const LOCK: pg_sys::LOCKMODE = pg_sys::RowExclusiveLock as pg_sys::LOCKMODE;
    let table = admin::table_of(&view.record.stream)?;
    // SAFETY: the relation is open while it is used; its lock is kept.
    unsafe {
        if origin == Origin::Applied && !pg_sys::ConditionalLockRelationOid(table, LOCK) {
            return Ok(0);
        }
        let relation = pg_sys::relation_open(table, LOCK);
        let stream = stream::of_relation(relation)?;
        merge::merge(relation, &stream, view, batch, origin, &BTreeMap::new())?;
        pg_sys::relation_close(relation, pg_sys::NoLock as i32);
    }
    Ok(count.saturating_sub(late()?.len()))
}

/// Brings late events into the keys that are free, of all views. Says whether some are late still.
pub fn heal_all() -> Result<bool> {
    for table in catalog::late_views()? {
        heal(&ViewTable::of_table(table)?, Origin::Applied)?;
    }
    Ok(!catalog::late_views()?.is_empty())
}
