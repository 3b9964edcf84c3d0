//! Transactions over several streams: where each ends, written just before commit.
//!
//! A reader of several streams shows a transaction whole, at its greatest stamp. In one stream its rows stand side
//! by side in one lane; that it has rows elsewhere, nothing there says. So a transaction that wrote to more than
//! one stream leaves one row here: its greatest stamp and its streams. Others, nearly all, leave nothing.

use crate::error::Result;
use crate::scan::{As, Scan};
use crate::{catalog, run, spi, stream, transaction};
use gundb_core::{Hlc, Lane, SiteId, StreamId};
use pgrx::pg_sys;

/// The last fallible moment of a transaction.
pub fn before_commit() -> Result<()> {
    let (xact, written) = transaction::with(|t| (t.xact, t.written().collect::<Vec<_>>()));
    let Some(xact) = xact else { return Ok(()) };
    if written.len() < 2 {
        return Ok(());
    }
    let database = run::database()?;
    let Some(site) = database.site() else { return Ok(()) };
    // Commit has no snapshot of its own any more, and what is known of a stream may have to be read again.
    spi::with_latest_snapshot(|| {
        let (parts, greatest) = parts(&site, xact, written)?;
        if parts.len() > 1 { catalog::record_span(&site, xact, greatest, &parts) } else { Ok(()) }
    })
}

/// How much of a transaction stands in each stream, and its greatest stamp.
fn parts(site: &SiteId, xact: Hlc, written: Vec<(pg_sys::Oid, Lane, u64)>) -> Result<(Vec<(StreamId, u64)>, Hlc)> {
    let mut parts: Vec<(StreamId, u64)> = Vec::new();
    let mut greatest = Hlc::MIN;
    for (table, lane, after) in written {
        // A rollback to a savepoint may have taken all of it back: count what stands.
        // SAFETY: the table was written by this transaction, so it is locked and exists (unless dropped since).
        unsafe {
            let relation = pg_sys::try_relation_open(table, pg_sys::AccessShareLock as i32);
            if relation.is_null() {
                continue;
            }
            let stream = stream::of_relation(relation)?;
            let head = Scan::begin(relation, stream.primary_key, As::OfNow).head(site, lane);
            pg_sys::relation_close(relation, pg_sys::NoLock as i32);
            if let Some(head) = head.filter(|head| head.seq > after && head.xact == xact) {
                greatest = greatest.max(head.hlc);
                match parts.iter_mut().find(|(id, _)| *id == stream.id) {
                    Some((_, count)) => *count += head.seq - after,
                    None => parts.push((stream.id, head.seq - after)),
                }
            }
        }
    }
    Ok((parts, greatest))
}
