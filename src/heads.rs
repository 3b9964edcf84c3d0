//! What a site holds, read from the streams themselves: the heads of all lanes, and the clock they make.
//!
//! A lane has no gaps, so its head says all. The clock is derived from the rows, and so cannot disagree with them.
//! Cost: two index probes a lane, whatever the number of events.

use crate::catalog::{self, StreamTable};
use crate::error::Result;
use crate::scan::{As, Head, Scan};
use crate::stream;
use gundb_core::{Clock, Dot, Lane, SiteId};
use pgrx::pg_sys;

/// Calls `found` for every lane of the streams (all, or one).
pub fn each(only: Option<&StreamTable>, at: As, found: impl FnMut(&StreamTable, SiteId, Lane, Head)) -> Result<()> {
    walk(only, at, true, found).map(drop)
}

/// As [`each`], of all streams, but waits for no lock; false if one would have to be waited for.
pub fn each_now(at: As, found: impl FnMut(&StreamTable, SiteId, Lane, Head)) -> Result<bool> {
    walk(None, at, false, found)
}

fn walk(
    only: Option<&StreamTable>,
    at: As,
    wait: bool,
    mut found: impl FnMut(&StreamTable, SiteId, Lane, Head),
) -> Result<bool> {
    const LOCK: pg_sys::LOCKMODE = pg_sys::AccessShareLock as pg_sys::LOCKMODE;
    let all;
    let tables = match only {
        Some(table) => core::slice::from_ref(table),
        None => {
            all = catalog::streams()?;
            &all
        }
    };
    for table in tables {
        // SAFETY: the relation is open for as long as the scan. Its lock is given back: there may be more streams than
        // the lock table holds, and nothing read here needs it any longer.
        unsafe {
            if !wait && !pg_sys::ConditionalLockRelationOid(table.table, LOCK) {
                return Ok(false);
            }
            let relation = pg_sys::try_relation_open(table.table, if wait { LOCK } else { pg_sys::NoLock as i32 });
            if relation.is_null() {
                continue;
            }
            // Not all that is known of a stream: with many streams, reading definitions would take the most time.
            let mut scan = Scan::begin(relation, stream::primary_key(relation)?, at);
            scan.heads(|site, lane, head| found(table, site, lane, head));
            drop(scan);
            pg_sys::relation_close(relation, LOCK);
        }
    }
    Ok(true)
}

/// The clock of what is held.
pub fn clock(only: Option<&StreamTable>, at: As) -> Result<Clock> {
    let mut clock = Clock::new();
    each(only, at, |table, site, lane, head| {
        clock.advance(&Dot { site, stream: table.stream, lane, seq: head.seq });
    })?;
    Ok(clock)
}
