//! What the writer keeps in memory of the file: where lanes end, what is held, what is defined; and the run.
//!
//! What must always hold here: it is what the last commit left, and what the transaction under way has added. After a transaction that failed it is read anew.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use gundb_core::apply::LaneHead;
use gundb_core::store::Head;
use gundb_core::{Clock, Dot, Hlc, LaneKey, Run, SiteId, StreamId};
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::store::definitions::Definitions;
use crate::store::look::Look;
use crate::store::tables::numbered_bytes;
use crate::store::witness::Word;
use crate::store::words;
use crate::view::View;

/// What is kept in memory.
pub struct Memory {
    pub site: SiteId,
    /// The run, once one is drawn or goes on.
    pub run: Option<Run>,
    /// The last epoch of the run.
    pub epoch: u64,
    /// No stamp is greater.
    pub hlc: Hlc,
    pub lanes: HashMap<LaneKey, (u32, LaneHead)>,
    /// Lanes that the transaction under way has moved.
    pub moved: BTreeSet<LaneKey>,
    pub clock: Arc<Clock>,
    pub definitions: Arc<Definitions>,
    pub views: Arc<Views>,
    /// Streams that hold reverts: in others none are looked for.
    pub reverting: HashSet<StreamId>,
    /// The number of the last bundle that was carried.
    pub bundle: u64,
    /// Whether something waits.
    pub has_pending: bool,
    /// The least stamp of what waits for its time.
    pub due: Option<Hlc>,
}

/// The views by name, and by stream.
#[derive(Debug, Default)]
pub struct Views(pub BTreeMap<String, Arc<View>>);

impl Views {
    pub fn of_stream(&self, stream: StreamId) -> impl Iterator<Item = &Arc<View>> {
        self.0.values().filter(move |view| view.stream == stream)
    }
}

impl Memory {
    /// Reads the file. `goes_on` says of what was read whether the run that wrote last goes on.
    pub fn load(look: &impl Look, goes_on: impl FnOnce(&Word) -> bool) -> Result<Memory> {
        let site = look.meta(words::SITE)?.and_then(|bytes| Uuid::from_slice(&bytes).ok());
        let site = SiteId(site.ok_or_else(|| Error::damaged("the site's identity is missing"))?);
        let (mut lanes, mut clock, mut hlc) = (HashMap::new(), Clock::new(), Hlc::MIN);
        for (number, Head { lane, last }) in look.lanes(None)? {
            hlc = hlc.max(last.hlc);
            clock.advance(&Dot { site: lane.site, stream: lane.stream, lane: lane.lane, seq: last.seq });
            lanes.insert(lane, (number, last));
        }
        let mut views = Views::default();
        for (name, definition) in look.views()? {
            views.0.insert(name.clone(), Arc::new(View::read(name, &definition)?));
        }
        let mut reverting = HashSet::new();
        for (stream, ..) in look.streams()? {
            if look.meta(&words::reverting(stream))?.is_some() {
                reverting.insert(stream);
            }
        }
        let mut memory = Memory {
            site,
            run: look.meta(words::RUN)?.map(|bytes| run_of(&bytes)).transpose()?,
            epoch: 0,
            hlc: hlc.max(look.meta(words::STAMP)?.map(|bytes| stamp_of(&bytes)).transpose()?.unwrap_or(Hlc::MIN)),
            lanes,
            moved: BTreeSet::new(),
            clock: Arc::new(clock),
            definitions: Arc::new(Definitions::read(look, site)?),
            views: Arc::new(views),
            reverting,
            bundle: look.meta(words::BUNDLE)?.map(|bytes| number_of(&bytes)).transpose()?.unwrap_or(0),
            has_pending: !look.pending()?.is_empty(),
            due: None,
        };
        // For what it waits is found out by trying.
        memory.due = memory.has_pending.then_some(Hlc::MIN);
        memory.epoch = look.meta(words::EPOCH)?.map(|bytes| number_of(&bytes)).transpose()?.unwrap_or(0);
        if !memory.word().is_some_and(|word| goes_on(&word)) {
            memory.run = None;
            memory.epoch = 0;
        }
        Ok(memory)
    }

    /// What tells this state of the file from every other that a run could go on from. None where no run has begun.
    ///
    /// Whatever a run gives only once moves it: events by the chains of their lanes, which hold random salts, and numbers by themselves.
    pub fn word(&self) -> Option<Word> {
        let run = self.run?;
        let heads = self.lanes.iter().map(|(lane, (_, head))| {
            let LaneKey { site, stream, lane } = *lane;
            (Dot { site, stream, lane, seq: head.seq }, head.chain)
        });
        let digest = gundb_core::digest(heads.collect());
        let numbers = [numbered_bytes(self.site, run, self.epoch), numbered_bytes(self.site, run, self.bundle)];
        let hash = gundb_core::store::word(&[&digest, &numbers[0], &numbers[1]]);
        Some(hash)
    }
}

fn run_of(bytes: &[u8]) -> Result<Run> {
    Run::new(number_of(bytes)?).ok_or_else(|| Error::damaged("the run"))
}

fn stamp_of(bytes: &[u8]) -> Result<Hlc> {
    Hlc::from_bits(number_of(bytes)?).ok_or_else(|| Error::damaged("the stamp"))
}

pub fn number_of(bytes: &[u8]) -> Result<u64> {
    bytes.try_into().map(u64::from_be_bytes).map_err(Error::damaged)
}
