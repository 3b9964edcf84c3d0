//! What this site holds, as the judgement of what comes asks for it: as of now, so that it is true whatever the
//! transaction's snapshot.
//!
//! Unsafe: relations, each closed when the value drops; locks are held to the end of the transaction.

use crate::catalog::{self, StreamTable};
use crate::error::{Failure, Result, internal};
use crate::scan::{As, Scan};
use crate::shared::Running;
use crate::stream::{self, Stream};
use crate::{run, spi};
use gundb_core::apply::{LaneHead, Receiver, Untaken};
use gundb_core::{Chain, Clock, Dot, Epoch, EpochRecord, Event, Lane, Run, SiteId, StreamId};
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
    lane_floor: u32,
    tables: Vec<StreamTable>,
    /// Those that were asked for; None of one that is not here.
    streams: RefCell<BTreeMap<StreamId, Option<Rc<Open>>>>,
    /// Those that were asked for, and whether they are here.
    epochs: RefCell<BTreeMap<Epoch, bool>>,
    waiting: Untaken,
    refused: Untaken,
    /// Why something could not be looked up, while nobody could be told.
    failure: RefCell<Option<Failure>>,
}

/// What is not here: transactions that wait beside those that are judged, and those that were refused before.
pub struct Lacking {
    pub waiting: Untaken,
    pub refused: Untaken,
}

impl Here {
    pub fn begin(running: &Running, lacking: Lacking) -> Result<Here> {
        let own = Run::new(running.run).ok_or_else(|| internal("a run was opened without a number"))?;
        let Lacking { waiting, refused } = lacking;
        Ok(Here {
            own: (SiteId(Uuid::from_bytes(running.site)), own),
            lane_floor: run::database()?.lane_floor(),
            tables: spi::with_latest_snapshot(catalog::streams)?,
            streams: RefCell::default(),
            epochs: RefCell::default(),
            waiting,
            refused,
            failure: RefCell::new(None),
        })
    }

    /// Before events are judged: looks for their epochs.
    pub fn look_for<'a>(&self, events: impl Iterator<Item = &'a Event>) -> Result<()> {
        let epoch = |event: &Event| Epoch { site: event.dot.site, run: event.dot.lane.run(), number: event.epoch };
        let mut wanted = events.map(epoch).collect::<BTreeSet<_>>();
        let mut epochs = self.epochs.borrow_mut();
        wanted.retain(|epoch| !epochs.get(epoch).is_some_and(|is_here| *is_here));
        if !wanted.is_empty() {
            let known = catalog::known_epochs(&wanted)?;
            epochs.extend(wanted.into_iter().map(|epoch| (epoch, known.contains(&epoch))));
        }
        Ok(())
    }

    /// Opens streams that have a table here.
    pub fn open(&self, mut wanted: BTreeSet<StreamId>) -> Result<()> {
        let mut streams = self.streams.borrow_mut();
        wanted.retain(|stream| !streams.contains_key(stream));
        if wanted.is_empty() {
            return Ok(());
        }
        for table in self.tables.iter().filter(|table| wanted.contains(&table.stream)) {
            // SAFETY: the relation is closed when the value drops.
            unsafe {
                let relation = pg_sys::try_relation_open(table.table, pg_sys::RowExclusiveLock as i32);
                if relation.is_null() {
                    continue;
                }
                let opened = Table(relation);
                let stream = stream::of_relation(relation)?;
                let scan = RefCell::new(Scan::begin(relation, stream.primary_key, As::OfNow));
                streams.insert(table.stream, Some(Rc::new(Open { scan, stream, table: opened })));
            }
        }
        for stream in wanted {
            streams.entry(stream).or_insert(None);
        }
        Ok(())
    }

    /// Opens the streams of what has come, and says which of them were dropped here.
    pub fn receive(&self, streams: BTreeSet<StreamId>) -> Result<BTreeSet<StreamId>> {
        self.open(streams.clone())?;
        let lacking = streams.into_iter().filter(|stream| self.stream(*stream).is_none()).collect::<BTreeSet<_>>();
        if lacking.is_empty() {
            return Ok(lacking);
        }
        let left = spi::with_latest_snapshot(catalog::left_streams)?;
        Ok(left.iter().map(|name| StreamId::of_name(name)).filter(|stream| lacking.contains(stream)).collect())
    }

    /// A stream that was asked for and is here.
    pub fn stream(&self, stream: StreamId) -> Option<Rc<Open>> {
        self.streams.borrow().get(&stream)?.clone()
    }

    /// Stores epochs of others that are not here. Those of this very run are written here alone.
    pub fn learn(&self, epochs: &[EpochRecord]) -> Result<()> {
        let others = epochs.iter().filter(|record| (record.epoch.site, record.epoch.run) != self.own);
        catalog::store_epochs(&others.collect::<Vec<_>>())
    }

    /// Fails if something could not be looked up; what was judged then does not count.
    pub fn check(&self) -> Result<()> {
        self.failure.take().map_or(Ok(()), Err)
    }
}

impl Receiver for Here {
    fn head(&self, site: SiteId, stream: StreamId, lane: Lane) -> Option<LaneHead> {
        // SAFETY: the table is open as long as the scan.
        let head = unsafe { self.stream(stream)?.scan.borrow_mut().head(&site, lane) }?;
        Some(LaneHead { seq: head.seq, hlc: head.hlc, chain: head.chain })
    }

    fn chain(&self, dot: &Dot) -> Option<Chain> {
        let open = self.stream(dot.stream)?;
        // SAFETY: as above.
        let event = unsafe { open.scan.borrow_mut().event(&dot.site, dot.lane, dot.seq) };
        event.map(|event| event.chain)
    }

    fn has_stream(&self, stream: StreamId) -> bool {
        self.streams.borrow().get(&stream).is_some_and(Option::is_some)
    }

    fn knows(&self, epoch: &Epoch) -> bool {
        self.epochs.borrow().get(epoch).is_some_and(|is_here| *is_here)
    }

    fn epoch_clock(&self, epoch: &Epoch) -> Option<Clock> {
        if self.failure.borrow().is_some() {
            return None;
        }
        let clock = spi::with_latest_snapshot(|| catalog::epoch_clock(&epoch.site, epoch.run, epoch.number));
        clock.unwrap_or_else(|failure| {
            *self.failure.borrow_mut() = Some(failure);
            None
        })
    }

    fn waiting(&self) -> &Untaken {
        &self.waiting
    }

    fn refused(&self) -> &Untaken {
        &self.refused
    }

    fn own(&self) -> (SiteId, Run) {
        self.own
    }

    /// Lanes below the floor are of streams that were dropped, and are written no more.
    fn writes(&self, dot: &Dot) -> bool {
        (dot.site, dot.lane.run()) == self.own && u32::from(dot.lane.number()) >= self.lane_floor
    }
}
