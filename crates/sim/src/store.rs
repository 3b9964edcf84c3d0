//! What a node's disk holds: what a site's database would. A copy of it is a backup, a clone, or what a crash leaves.
//!
//! What must always hold here: lanes are gap-free, and `holds` covers exactly what stands in them.

use std::collections::BTreeMap;
use std::rc::Rc;

use gundb_core::apply::Incoming;
use gundb_core::sync::filter::Filter;
use gundb_core::sync::ways::Ways;
use gundb_core::{Chain, Clock, Dot, Epoch, EpochRecord, Event, Hlc, LaneKey, SiteId, StreamId, TransactionId};

use crate::view::Views;

/// The disk of a node.
#[derive(Clone)]
pub struct Store {
    pub site: SiteId,
    pub lanes: BTreeMap<LaneKey, Vec<Rc<Event>>>,
    pub holds: Clock,
    /// The greatest stamp of each transaction that stands in several streams.
    pub spans: BTreeMap<TransactionId, Hlc>,
    pub epochs: BTreeMap<Epoch, Rc<Clock>>,
    /// The streams that have a table here.
    pub tables: BTreeMap<StreamId, Rc<str>>,
    /// The streams that were ever heard of.
    pub known: BTreeMap<StreamId, Rc<str>>,
    /// What waits, in the order in which it came.
    pub staged: Vec<Incoming>,
    /// What was refused, but for gaps.
    pub refused: BTreeMap<(Dot, Chain), String>,
    /// Parts of large transactions, by the end of the link over which they come.
    pub parts: BTreeMap<(usize, usize), (Vec<Event>, Vec<EpochRecord>)>,
    /// No stamp beyond this was issued or stored.
    pub mark: Hlc,
    /// Who was heard at an end of a link, and what it sends.
    pub heard: BTreeMap<(usize, usize), (SiteId, Filter)>,
    /// By which ways events come to whom.
    pub ways: Ways,
    pub views: Views,
}

impl Store {
    /// An empty disk.
    pub fn new(site: SiteId) -> Store {
        Store {
            site,
            lanes: BTreeMap::new(),
            holds: Clock::new(),
            spans: BTreeMap::new(),
            epochs: BTreeMap::new(),
            tables: BTreeMap::new(),
            known: BTreeMap::new(),
            staged: Vec::new(),
            refused: BTreeMap::new(),
            parts: BTreeMap::new(),
            mark: Hlc::MIN,
            heard: BTreeMap::new(),
            ways: Ways::default(),
            views: Views::default(),
        }
    }

    /// The event of this dot.
    pub fn event(&self, dot: &Dot) -> Option<&Rc<Event>> {
        let lane = self.lanes.get(&key(dot))?;
        lane.get(usize::try_from(dot.seq).ok()?.checked_sub(1)?)
    }

    /// Stores the next event of a lane; false where it is not the next.
    #[must_use]
    pub fn insert(&mut self, event: Rc<Event>) -> bool {
        let lane = self.lanes.entry(key(&event.dot)).or_default();
        let is_next = event.dot.seq == lane.len() as u64 + 1;
        if is_next {
            self.holds.advance(&event.dot);
            lane.push(event);
        }
        is_next
    }

    /// All events.
    pub fn events(&self) -> impl Iterator<Item = &Rc<Event>> {
        self.lanes.values().flatten()
    }

    /// The name of a stream that has a table here.
    pub fn name(&self, stream: StreamId) -> &str {
        self.tables.get(&stream).map_or("", |name| name)
    }

    /// The digest of what is held, of the streams taken.
    pub fn digest(&self, takes: impl Fn(StreamId) -> bool) -> [u8; 16] {
        let lanes = self.lanes.iter().filter(|(key, _)| takes(key.stream));
        let heads = lanes.filter_map(|(_, lane)| lane.last()).map(|event| (event.dot, event.chain));
        gundb_core::digest(heads.collect())
    }
}

/// The lane of a dot.
pub fn key(dot: &Dot) -> LaneKey {
    LaneKey { site: dot.site, stream: dot.stream, lane: dot.lane }
}
