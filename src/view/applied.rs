//! Events of others into the views of their stream: the same way as a transaction's own, but that a busy key is left.

use crate::attempt::{Patience, Why, attempt};
use crate::catalog::LateEvent;
use crate::error::Result;
use crate::scan::{self, As, Which};
use crate::stream::Stream;
use crate::view::batch::{Batch, are_full, shown};
use crate::view::fold::{Counted, Source};
use crate::view::intake;
use crate::view::maintain::in_turn;
use crate::view::merge::{self, Origin};
use crate::view::repeats::Probe;
use crate::view::states::{Busy, States};
use crate::view::table::ViewTable;
use crate::{admin, catalog, lane, spi, stream, transaction};
use gundb_core::view::decode_key;
use gundb_core::{Lane, SiteId};
use pgrx::pg_sys;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

/// Brings into the views what was stored in lanes after the seqs given.
///
/// # Safety
/// `relation` is the stream's open table.
pub unsafe fn bring_in(relation: pg_sys::Relation, stream: &Stream, lanes: &[(SiteId, Lane, u64)]) -> Result<()> {
    if stream.views.is_empty() {
        return Ok(());
    }
    unsafe { in_turn(relation, || bring_in_all(relation, stream, lanes)) }
}

unsafe fn bring_in_all(relation: pg_sys::Relation, stream: &Stream, lanes: &[(SiteId, Lane, u64)]) -> Result<()> {
    transaction::with(|t| t.arrive(stream.table, lanes));
    let mut chunk = Chunk::of(stream);
    for &(site, lane, after) in lanes {
        let which = Which::OfLane { index: stream.primary_key, site, lane, after };
        unsafe {
            scan::walk(relation, which, As::OfNow, |event| {
                chunk.add(stream, event);
                if are_full(&chunk.batches, chunk.events) {
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
    /// The lanes that they are of, with the first and last seq of each.
    lanes: Vec<(SiteId, Lane, u64, u64)>,
    batches: Vec<Batch>,
    /// A number that stands for the site of events without a key, in place of a lane's.
    origin: i32,
}

impl Chunk {
    fn of(stream: &Stream) -> Chunk {
        let batches = stream.views.iter().map(|_| Batch::default()).collect();
        Chunk { events: 0, lanes: Vec::new(), batches, origin: 0 }
    }

    fn add(&mut self, stream: &Stream, event: &scan::Stored) {
        for (view, batch) in stream.views.iter().zip(&mut self.batches) {
            batch.add(view, stream.id, event);
        }
        let mark = &event.mark;
        match self.lanes.last_mut().filter(|(site, lane, ..)| (*site, *lane) == (mark.site, mark.lane)) {
            Some((.., last)) => *last = mark.seq,
            None => self.lanes.push((mark.site, mark.lane, mark.seq, mark.seq)),
        }
        self.events += 1;
        self.origin = -1 - (lane::hash(event.mark.site.0.as_bytes()) >> 2) as i32;
    }

    unsafe fn merge(self, relation: pg_sys::Relation, stream: &Stream) -> Result<()> {
        // Said first: what a trigger on a view's table appends meanwhile comes after.
        let reached = self.lanes.iter().map(|&(site, lane, _, last)| (site, lane, last)).collect::<Vec<_>>();
        transaction::with(|t| t.arrive(stream.table, &reached));
        for (view, batch) in stream.views.iter().zip(self.batches) {
            if batch.skipped > 0 {
                catalog::add_skipped(view.number, self.origin, batch.skipped)?;
            }
            let merged = attempt(Patience::Short, || unsafe {
                merge::merge(relation, stream, view, batch, Origin::Applied, &BTreeMap::new())
            })?;
            if let Err(why) = merged {
                unsafe { put_off(relation, stream, view, &self.lanes, &why)? };
            }
        }
        Ok(())
    }
}

/// Files events as late whose rows could not be written: by a trigger or a constraint of the view's table, or since a
/// user holds a row. Which key it is that cannot be written, shows when they are tried again.
unsafe fn put_off(
    relation: pg_sys::Relation,
    stream: &Stream,
    view: &ViewTable,
    lanes: &[(SiteId, Lane, u64, u64)],
    why: &Why,
) -> Result<()> {
    let mut batch = Batch::default();
    for &(site, lane, first, last) in lanes {
        let which = Which::OfLane { index: stream.primary_key, site, lane, after: first - 1 };
        unsafe {
            scan::walk(relation, which, As::OfNow, |event| {
                if event.mark.seq > last {
                    return Ok(ControlFlow::Break(()));
                }
                batch.add(view, stream.id, event);
                Ok(ControlFlow::Continue(()))
            })?;
        }
    }
    let counted = Counted::Brought { but: &BTreeSet::new() };
    let source = Source { relation, stream, view, counted };
    let reverted = unsafe { merge::settle_reverts(source, &mut batch, true)? };
    let mut late = Vec::new();
    for (bytes, group) in batch.groups {
        let shown = shown(&group.key);
        let mut file = |dot, again| {
            late.push(LateEvent { key: bytes.clone(), shown: shown.clone(), dot, again, why: why.clone() });
        };
        group.events.iter().for_each(|event| file(event.mark.dot(stream.id), false));
        if let Some(concern) = reverted.get(&bytes) {
            concern.dots().for_each(|dot| file(dot, true));
            catalog::forget_pending(view.number, &concern.pending)?;
        }
    }
    let mut probe = unsafe { Probe::begin(relation, stream) };
    let repeated = intake::look_at_keyless(&mut probe, batch.keyless, &mut late);
    for (bytes, (key, dot)) in unsafe { intake::keys_of_repeated(relation, stream, view, repeated)? } {
        late.push(LateEvent { shown: shown(&key), key: bytes, dot, again: true, why: why.clone() });
    }
    if !late.is_empty() {
        intake::file(view, &late)?;
    }
    catalog::insert_pending(view.number, &batch.pending, false, &BTreeMap::new())
}

/// Brings late events into the keys of a view: those that are free and due, or all, when each is waited for. Returns to
/// how many keys they came.
pub fn heal(view: &ViewTable, origin: Origin) -> Result<usize> {
    // Locks out who builds or drops the view; the worker does not wait for the end of that.
    const LOCK: pg_sys::LOCKMODE = pg_sys::RowExclusiveLock as pg_sys::LOCKMODE;
    let table = admin::table_of(&view.record.stream)?;
    // SAFETY: the relation is open while it is used; its lock is kept.
    unsafe {
        if origin == Origin::Applied && !pg_sys::ConditionalLockRelationOid(table, LOCK) {
            return Ok(0);
        }
        let relation = pg_sys::relation_open(table, LOCK);
        let stream = stream::of_relation(relation)?;
        let healed = in_turn(relation, || heal_keys(relation, &stream, view, origin))?;
        pg_sys::relation_close(relation, pg_sys::NoLock as i32);
        Ok(healed)
    }
}

unsafe fn heal_keys(relation: pg_sys::Relation, stream: &Stream, view: &ViewTable, origin: Origin) -> Result<usize> {
    let late = || spi::with_latest_snapshot(|| catalog::late_keys(view.number));
    let (due, patience) = match origin {
        Origin::Applied => (spi::with_latest_snapshot(|| catalog::late_keys_due(view.number))?, Patience::Short),
        Origin::Own | Origin::Retried => (late()?, Patience::Usual),
    };
    if due.is_empty() {
        return Ok(0);
    }
    let before = late()?.len();
    let come = |keys: &[&Vec<u8>]| {
        let mut batch = Batch::default();
        for &bytes in keys {
            if *bytes == intake::NO_KEY {
                batch.touch(intake::NO_KEY, Vec::new());
            } else if let Ok(key) = decode_key(bytes) {
                batch.touch(bytes.clone(), key);
            }
        }
        attempt(patience, || unsafe { merge::merge(relation, stream, view, batch, origin, &BTreeMap::new()).map(drop) })
    };
    // All at once; if that fails, one by one.
    if come(&due.iter().collect::<Vec<_>>())?.is_err() {
        for key in &due {
            if let Err(why) = come(&[key])?
                && !States::open(view.number)?.lock(&[key], Busy::Left)?.is_empty()
            {
                // Under the key's lock, as whoever takes it off the list.
                catalog::note_late(view.number, key, &why)?;
            }
        }
    }
    Ok(before.saturating_sub(late()?.len()))
}

/// Brings late events into the keys that are free, of all views. Says whether some are late still.
pub fn heal_all() -> Result<bool> {
    for table in catalog::late_views()? {
        if let Some(record) = catalog::view_of_table(table)? {
            heal(&ViewTable::read(record)?, Origin::Applied)?;
        }
    }
    Ok(!catalog::late_views()?.is_empty())
}
