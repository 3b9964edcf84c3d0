//! Whole events of a lane, read by the index over (site, lane, seq) without plan or statement: what is shipped is read at the
//! speed of that index.
//!
//! Must hold: the caller may read every event, whoever it runs as; what is read is seen through the active snapshot.
//!
//! Unsafe: relations, each closed before a function returns.

use crate::catalog::StreamTable;
use crate::error::Result;
use crate::scan::{self, As, Stored, Which};
use crate::{stamp, stream};
use gundb_core::page::LaneKey;
use gundb_core::{Dot, Event, Hlc, Seq};
use pgrx::pg_sys;
use std::ops::ControlFlow;

/// A row of a lane.
pub struct Row {
    pub seq: Seq,
    pub hlc: Hlc,
    pub xact: Hlc,
    pub epoch: u64,
    /// None where only the coordinates were asked for: the row stands then also for those before it that share its
    /// transaction and its epoch.
    pub event: Option<Event>,
}

/// How much to read.
#[derive(Clone, Copy)]
pub struct Amount {
    pub rows_max: usize,
    /// Of whole events, about: at least one is read.
    pub bytes_max: u64,
    /// Whether whole events are wanted.
    pub whole: bool,
}

/// Reads on in a lane, after one event and up to another. An event takes `bytes` of the amount.
pub fn read(
    table: &StreamTable,
    key: &LaneKey,
    after: Seq,
    up_to: Seq,
    amount: Amount,
    bytes: impl Fn(&Event) -> u64,
) -> Result<Vec<Row>> {
    const LOCK: pg_sys::LOCKMODE = pg_sys::AccessShareLock as pg_sys::LOCKMODE;
    let expected = if amount.whole { (up_to.saturating_sub(after) as usize).min(amount.rows_max) } else { 0 };
    let (mut rows, mut count, mut read_bytes) = (Vec::<Row>::with_capacity(expected), 0, 0);
    // SAFETY: the relation is open for as long as it is walked through, and the index is its primary key.
    unsafe {
        let relation = pg_sys::try_relation_open(table.table, LOCK);
        if relation.is_null() {
            return Ok(rows);
        }
        let which = Which::OfLane { index: stream::primary_key(relation)?, site: key.site, lane: key.lane, after };
        scan::walk(relation, which, As::OfSnapshot, |stored| {
            if stored.mark.seq > up_to {
                return Ok(ControlFlow::Break(()));
            }
            let event = if amount.whole { Some(event(key, stored)?) } else { None };
            read_bytes += event.as_ref().map_or(0, &bytes);
            let mark = &stored.mark;
            let row = Row { seq: mark.seq, hlc: mark.hlc, xact: stored.xact, epoch: mark.epoch, event };
            match rows.last_mut().filter(|last| !amount.whole && (last.xact, last.epoch) == (row.xact, row.epoch)) {
                Some(last) => *last = row,
                None => rows.push(row),
            }
            count += 1;
            let is_enough = mark.seq == up_to || count >= amount.rows_max || read_bytes >= amount.bytes_max;
            Ok(if is_enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        pg_sys::relation_close(relation, LOCK);
    }
    Ok(rows)
}

fn event(key: &LaneKey, stored: &Stored) -> Result<Event> {
    Ok(Event {
        dot: Dot { site: key.site, stream: key.stream, lane: key.lane, seq: stored.mark.seq },
        hlc: stored.mark.hlc,
        xact: stored.xact,
        epoch: stored.mark.epoch,
        id: stored.id,
        kind: stored.kind.to_owned(),
        key: stored.key.map(str::to_owned),
        data: text(stored.data)?,
        meta: text(stored.meta)?,
        salt: stored.salt,
        chain: stored.chain,
    })
}

/// A document as the text that jsonb prints.
fn text(bytes: &[u8]) -> Result<String> {
    if crate::jsonb::is_empty_object(bytes) {
        return Ok("{}".to_owned());
    }
    // It was within the limits when it was stored, whatever they are now.
    stamp::canonical(bytes, usize::MAX)
}
