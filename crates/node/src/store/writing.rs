//! The transaction under way: what its calls read and write.
//!
//! What must always hold here: lanes have no gaps, and an event's chain is the one that follows from what stands before it in its lane; stamps ascend.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use gundb_core::apply::LaneHead;
use gundb_core::store::encode_event;
use gundb_core::sync::filter::system_stream;
use gundb_core::{Chain, Clock, Epoch, Event, Hlc, Lane, LaneKey, Run, StreamId};
use uuid::Uuid;

use crate::error::{Error, Kind, Result};
use crate::store::definitions::Definitions;
use crate::store::look::{WriteTables, head_bytes};
use crate::store::memory::Memory;
use crate::store::tables::*;
use crate::store::words;
use crate::view;

/// The transaction under way.
pub struct Writing<'w, 't> {
    pub tables: &'w mut WriteTables<'t>,
    pub memory: &'w mut Memory,
    changes: u64,
    /// Whether definitions were stored, which all are to know.
    defines: bool,
}

/// Whose events are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// Of those who append here now. `fresh`: their ids stand nowhere else.
    Own { fresh: bool },
    /// Of other sites and earlier runs.
    Others,
}

impl Whose {
    /// Whether their ids stand nowhere else.
    pub fn are_fresh(self) -> bool {
        self == Whose::Own { fresh: true }
    }
}

/// Milliseconds since 1970 by the wall clock; 0 where it stands before.
pub fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// Random bytes from the system.
pub fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|why| Error::new(Kind::Storage, format!("the system gives no random bytes: {why}")))?;
    Ok(bytes)
}

impl<'w, 't> Writing<'w, 't> {
    pub fn new(tables: &'w mut WriteTables<'t>, memory: &'w mut Memory) -> Writing<'w, 't> {
        Writing { tables, memory, changes: 0, defines: false }
    }

    /// How much has been written so far.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Something is about to be written.
    pub fn change(&mut self) {
        self.changes += 1;
    }

    /// Writes where lanes end now.
    fn write_heads(&mut self) -> Result<()> {
        for lane in std::mem::take(&mut self.memory.moved) {
            if let Some((number, head)) = self.memory.lanes.get(&lane) {
                self.tables.lane.insert(&lane_bytes(&lane), &head_bytes(*number, head))?;
            }
        }
        Ok(())
    }

    /// The run, drawn where this is the first that needs one.
    pub fn run(&mut self) -> Result<Run> {
        if let Some(run) = self.memory.run {
            return Ok(run);
        }
        let run = loop {
            let number = u64::from_be_bytes(random::<8>()?) >> 16;
            if let Some(run) = Run::new(number) {
                break run;
            }
        };
        self.change();
        self.tables.meta.insert(words::RUN, run.number().to_be_bytes().as_slice())?;
        self.memory.run = Some(run);
        self.memory.epoch = 0;
        let clock = self.memory.clock.clone();
        self.record_epoch(run, 0, &clock)?;
        Ok(run)
    }

    fn record_epoch(&mut self, run: Run, number: u64, clock: &Clock) -> Result<()> {
        let epoch = Epoch { site: self.memory.site, run, number };
        self.tables.epoch.insert(&epoch_bytes(&epoch), clock.encode().as_slice())?;
        self.tables.meta.insert(words::EPOCH, number.to_be_bytes().as_slice())?;
        Ok(())
    }

    /// Something of others, or of earlier runs, has been applied: draws the epoch that says so.
    pub fn publish_epoch(&mut self, applied: &Clock) -> Result<()> {
        let run = self.run()?;
        let last = Epoch { site: self.memory.site, run, number: self.memory.epoch };
        let before = crate::store::look::Look::epoch_clock(self.tables, &last)?.unwrap_or_default();
        self.memory.epoch += 1;
        self.record_epoch(run, self.memory.epoch, &before.join(applied))
    }

    /// The next stamp.
    pub fn stamp(&mut self) -> Result<Hlc> {
        let stamp = Hlc::tick(self.memory.hlc, now_ms()).ok_or_else(|| {
            Error::new(Kind::Storage, "the wall clock stands after the year 9999").hint("Set the system's clock.")
        })?;
        self.memory.hlc = stamp;
        Ok(stamp)
    }

    /// The lane in which this run writes a stream: one writer needs one.
    pub fn own_lane(&mut self, stream: StreamId) -> Result<LaneKey> {
        let run = self.run()?;
        Ok(LaneKey { site: self.memory.site, stream, lane: Lane::new(run, 0) })
    }

    /// The last event of a lane; of an empty one what the first chains to.
    pub fn head(&self, lane: &LaneKey) -> LaneHead {
        let genesis = || LaneHead { seq: 0, hlc: Hlc::MIN, chain: Chain::genesis(lane.site, lane.stream, lane.lane) };
        self.memory.lanes.get(lane).map_or_else(genesis, |(_, head)| *head)
    }

    /// Stores the next event of a lane.
    pub fn store(&mut self, event: &Event) -> Result<Place> {
        let lane = LaneKey { site: event.dot.site, stream: event.dot.stream, lane: event.dot.lane };
        let head = self.head(&lane);
        if event.dot.seq != head.seq + 1 {
            return Err(Error::damaged(format!("event {} would leave a gap", event.dot)));
        }
        self.change();
        let number = match self.memory.lanes.get(&lane) {
            Some((number, _)) => *number,
            None => {
                let number = self.memory.lanes.len() as u32;
                self.tables.lane_key.insert(number, &lane_bytes(&lane))?;
                number
            }
        };
        let place = Place::new(number, event.dot.seq).ok_or_else(|| {
            Error::new(Kind::Storage, "the store holds as many lanes, or events of a lane, as it can")
                .hint("Begin another store beside it: it gets what this one holds from a peer.")
        })?;
        self.tables.event.insert(place.0, encode_event(event).as_slice())?;
        self.tables.id.insert(&id_bytes(&event.id, place), ())?;
        if let Some(key) = &event.key
            && let Some(group) = self.group_of(event.dot.stream)
        {
            self.tables.keyed.insert(&keyed_bytes(group, hash(key.as_bytes()), place), ())?;
        }
        let head = LaneHead { seq: event.dot.seq, hlc: event.hlc, chain: event.chain };
        self.memory.lanes.insert(lane, (number, head));
        self.memory.moved.insert(lane);
        self.memory.hlc = self.memory.hlc.max(event.hlc);
        Arc::make_mut(&mut self.memory.clock).advance(&event.dot);
        self.defines |= event.dot.stream == system_stream();
        Ok(place)
    }

    fn group_of(&self, stream: StreamId) -> Option<u32> {
        let definitions = &self.memory.definitions;
        definitions.streams.get(definitions.known.get(&stream)?).map(|stream| stream.group)
    }

    /// Stores events, lane by lane in the lane's order, and brings them into the views of their streams.
    pub fn take_in(&mut self, events: &[Event], whose: Whose) -> Result<Vec<Place>> {
        let mut places = Vec::with_capacity(events.len());
        let mut by_stream: BTreeMap<StreamId, Vec<(Place, &Event)>> = BTreeMap::new();
        for event in events {
            let place = self.store(event)?;
            places.push(place);
            by_stream.entry(event.dot.stream).or_default().push((place, event));
        }
        self.write_heads()?;
        if std::mem::take(&mut self.defines) {
            self.learn()?;
        }
        for (stream, events) in by_stream {
            view::maintain(self, stream, &events, whose)?;
        }
        Ok(places)
    }

    /// Every later stamp is greater than this, whatever is stored: somebody has issued it.
    pub fn pass(&mut self, stamp: Hlc) -> Result<()> {
        if stamp > self.memory.hlc {
            self.memory.hlc = stamp;
            self.tables.meta.insert(words::STAMP, stamp.to_bits().to_be_bytes().as_slice())?;
        }
        Ok(())
    }

    /// Reads the definitions anew; streams that were declared get their place.
    pub fn learn(&mut self) -> Result<()> {
        let read = |writing: &Writing<'_, '_>| Definitions::read(writing.tables, writing.memory.site);
        let mut definitions = read(self)?;
        if !definitions.missing.is_empty() {
            for name in std::mem::take(&mut definitions.missing) {
                self.add_stream(&name)?;
            }
            definitions = read(self)?;
        }
        self.memory.definitions = Arc::new(definitions);
        Ok(())
    }

    /// Gives a stream its place.
    pub fn add_stream(&mut self, name: &str) -> Result<()> {
        let group = self.next_group()?;
        self.tables.stream.insert(StreamId::of_name(name).0.as_bytes(), (group, name))?;
        Ok(())
    }

    /// A number that no stream and no view had.
    pub fn next_group(&mut self) -> Result<u32> {
        self.change();
        let last = self.tables.meta_number(words::GROUP)?;
        let next = u32::try_from(last + 1).map_err(|_| Error::new(Kind::Storage, "there are too many views"))?;
        self.tables.meta.insert(words::GROUP, u64::from(next).to_be_bytes().as_slice())?;
        Ok(next)
    }

    /// The number of the next bundle that is carried.
    pub fn next_bundle(&mut self) -> Result<u64> {
        self.run()?;
        self.change();
        self.memory.bundle += 1;
        self.tables.meta.insert(words::BUNDLE, self.memory.bundle.to_be_bytes().as_slice())?;
        Ok(self.memory.bundle)
    }
}

impl WriteTables<'_> {
    fn meta_number(&self, word: &str) -> Result<u64> {
        let value = crate::store::look::Look::meta(self, word)?;
        value.map_or(Ok(0), |bytes| crate::store::memory::number_of(&bytes))
    }
}

/// A uuid of version 7: of these milliseconds, else random.
pub fn uuid_v7(millis: u64) -> Result<Uuid> {
    Ok(uuid::Builder::from_unix_timestamp_millis(millis, &random()?).into_uuid())
}
