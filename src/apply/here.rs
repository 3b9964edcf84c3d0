//! What this site holds, as the judgement of what comes asks for it: as of now, so that it is true whatever the
//! transaction's snapshot.
//!
//! Unsafe: relations, each closed when the value drops; locks are held to the end of the transaction.

use crate::catalog::{self, StreamTable};
use crate::error::{Result, internal};
use crate::scan::{As, Scan};
use crate::shared::Running;
use crate::stream::{self, Stream};
use gundb_core::apply::{LaneHead, Receiver};
use gundb_core::{Chain, Dot, Epoch, Lane, Run, SiteId, StreamId};
use pgrx::pg_sys;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use uuid::Uuid;

/// A stream whose table is open for writing.
pub struct Open {
    // Dropped in this order: the scan's index before the table.
    scan: RefCell<Scan>,
    pub stream: Rc<Stream>,
    table: Table,
}

struct Table(pg_sys::Relation);

impl Drop for Table {
    fn drop(&mut self) {
        // While an error unwinds, abort closes what is open; touching it then could raise again.
        if !std::thread::panicking() {
            // SAFETY: opened in `Here::open`, closed once.
            unsafe { pg_sys::relation_close(self.0, pg_sys::NoLock as i32) };
        }
    }
}

impl Open {
    pub fn relation(&self) -> pg_sys::Relation {
        self.table.0
    }
}

pub struct Here {
    own: (SiteId, Run),
    pub streams: BTreeMap<StreamId, Open>,
    epochs: BTreeSet<Epoch>,
}

impl Here {
    /// Opens the streams that have a table here. `epochs` are known, or about to be.
    pub fn open(running: &Running, wanted: &BTreeSet<StreamId>, epochs: BTreeSet<Epoch>) -> Result<Here> {
        let own = Run::new(running.run).ok_or_else(|| internal("a run was opened without a number"))?;
        let mut streams = BTreeMap::new();
        for StreamTable { stream: id, table, .. } in catalog::streams()? {
            if !wanted.contains(&id) {
                continue;
            }
            // SAFETY: the relation is closed when the value drops.
            unsafe {
                let relation = pg_sys::try_relation_open(table, pg_sys::RowExclusiveLock as i32);
                if relation.is_null() {
                    continue;
                }
                let table = Table(relation);
                let stream = stream::of_relation(relation)?;
                let scan = RefCell::new(Scan::begin(relation, stream.primary_key, As::OfNow));
                streams.insert(id, Open { scan, stream, table });
            }
        }
        Ok(Here { own: (SiteId(Uuid::from_bytes(running.site)), own), streams, epochs })
    }
}

impl Receiver for Here {
    fn head(&self, site: SiteId, stream: StreamId, lane: Lane) -> Option<LaneHead> {
        // SAFETY: the table is open as long as the scan.
        let head = unsafe { self.streams.get(&stream)?.scan.borrow_mut().head(&site, lane) }?;
        Some(LaneHead { seq: head.seq, hlc: head.hlc, chain: head.chain })
    }

    fn chain(&self, dot: &Dot) -> Option<Chain> {
        let open = self.streams.get(&dot.stream)?;
        // SAFETY: as above.
        let event = unsafe { open.scan.borrow_mut().event(&dot.site, dot.lane, dot.seq) };
        event.map(|event| event.chain)
    }

    fn has_stream(&self, stream: StreamId) -> bool {
        self.streams.contains_key(&stream)
    }

    fn knows(&self, epoch: &Epoch) -> bool {
        self.epochs.contains(epoch)
    }

    fn own(&self) -> (SiteId, Run) {
        self.own
    }
}
