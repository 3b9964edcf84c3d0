//! A node: its disk, its memory, its wall clock, and what its users write.
//!
//! What must always hold here: what the database does and no more. Stamps are drawn as events are appended; an event names the last epoch that its run
//! had published; nothing but the disk outlives a crash.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use gundb_core::sync::filter::{Filter, SYSTEM_STREAM, system_stream};
use gundb_core::{Clock, Dot, Epoch, Event, Hlc, LaneKey, Run, StreamId, TransactionId};

use crate::check::Failure;
use crate::plant::Plant;
use crate::random::Random;
use crate::store::Store;
use crate::transaction::Open;
use crate::truth::Truth;

/// Milliseconds since 1970 at which every run begins.
pub const BEGINNING_MS: u64 = 1_700_000_000_000;

/// A node.
pub struct Node {
    pub name: String,
    pub is_up: bool,
    pub store: Store,
    pub memory: Memory,
    /// When it started last, but for the first time.
    pub started_us: Option<u64>,
    /// Until when its disk is full.
    pub full_until_us: u64,
    /// Until when it is slow.
    pub slow_until_us: u64,
    /// How far its wall clock is ahead of the true time.
    pub ahead_ms: i64,
    /// The streams that it takes, from whomever.
    pub takes: Filter,
    pub random: Random,
    pub plant: Plant,
    /// What stood here before something of its streams that its author had seen: it, and that.
    pub unseen: Vec<(Dot, Dot)>,
    /// Transactions that stood here without one of their events.
    pub split: Vec<(TransactionId, Dot)>,
}

/// What a crash takes.
#[derive(Clone, Default)]
pub struct Memory {
    pub run: Option<Run>,
    pub hlc: Option<Hlc>,
    /// The last epoch that the run has published.
    pub epoch: u64,
    pub open: BTreeMap<u64, Open>,
    /// When it applied something last, and what it held before: where the two commits of a planted fault lie.
    pub applied: Option<(u64, Clock)>,
    /// Lanes that open transactions hold.
    pub busy: BTreeSet<LaneKey>,
}

impl Memory {
    /// Rolls back all open transactions.
    pub fn forget_open(&mut self) {
        self.open.clear();
        self.busy.clear();
    }
}

impl Node {
    pub fn new(name: String, store: Store, takes: Filter, random: Random, plant: Plant) -> Node {
        let (unseen, split) = (Vec::new(), Vec::new());
        let (started_us, full_until_us, slow_until_us) = (None, 0, 0);
        Node {
            started_us,
            full_until_us,
            slow_until_us,
            name,
            is_up: true,
            store,
            memory: Memory::default(),
            ahead_ms: 0,
            takes,
            random,
            plant,
            unseen,
            split,
        }
    }

    /// Its wall clock.
    pub fn wall_ms(&self, now_ms: u64) -> u64 {
        (BEGINNING_MS + now_ms).saturating_add_signed(self.ahead_ms)
    }

    /// The run, drawn where this is the first that needs one.
    pub fn run(&mut self, truth: &mut Truth) -> Run {
        if let Some(run) = self.memory.run {
            return run;
        }
        let run = loop {
            if let Some(run) = Run::new(self.random.below(1 << 48)) {
                break run;
            }
        };
        self.memory.run = Some(run);
        self.memory.epoch = 0;
        self.record_epoch(run, 0, self.store.holds.clone(), truth);
        run
    }

    fn record_epoch(&mut self, run: Run, number: u64, clock: Clock, truth: &mut Truth) {
        let (epoch, clock) = (Epoch { site: self.store.site, run, number }, Rc::new(clock));
        truth.epochs.insert(epoch, clock.clone());
        self.store.epochs.insert(epoch, clock);
    }

    /// Something of others, or of earlier runs, has been applied: draws the epoch that says so.
    pub fn publish_epoch(&mut self, applied: &Clock, truth: &mut Truth) {
        let run = self.run(truth);
        let is_early = self.plant == Plant::EpochsOutOfOrder && self.random.percent(10);
        let number = self.memory.epoch.saturating_sub(u64::from(is_early));
        let last = Epoch { site: self.store.site, run, number };
        let before = self.store.epochs.get(&last).cloned().unwrap_or_default();
        self.memory.epoch += 1;
        self.record_epoch(run, self.memory.epoch, before.join(applied), truth);
    }

    /// Moves the clock past a stamp that was received.
    pub fn observe(&mut self, stamp: Hlc) {
        if self.plant == Plant::ClockNotMoved {
            return;
        }
        self.store.mark = self.store.mark.max(stamp);
        self.memory.hlc = Some(self.memory.hlc.unwrap_or(self.store.mark).max(stamp));
    }

    pub fn stamp(&mut self, now_ms: u64) -> Hlc {
        let last = self.memory.hlc.unwrap_or(Hlc::MIN).max(self.store.mark);
        let stamp = Hlc::tick(last, self.wall_ms(now_ms)).unwrap_or(Hlc::MAX);
        self.memory.hlc = Some(stamp);
        stamp
    }

    /// Brings what was stored into the views.
    pub fn fold(&mut self, events: &[Rc<Event>], is_own: bool) -> Result<(), Failure> {
        let folded = self.store.views.maintain(events, &self.store.epochs, self.plant, is_own);
        folded.map_err(|failure| Failure::new(failure.property, format!("{}: {}", self.name, failure.detail)))
    }

    /// A stream gets its table.
    pub fn make_table(&mut self, name: &Rc<str>) {
        self.store.tables.insert(StreamId::of_name(name), name.clone());
        self.store.known.insert(StreamId::of_name(name), name.clone());
    }

    /// An event of the system stream tells of a stream.
    pub fn hear_of(&mut self, event: &Event) {
        if let Some(name) = event.key.as_deref().filter(|_| event.dot.stream == system_stream()) {
            self.store.known.entry(StreamId::of_name(name)).or_insert_with(|| name.into());
        }
    }

    /// The streams that it has heard of and takes get their tables; whether there were some.
    pub fn adopt(&mut self) -> bool {
        let is_missing = |(stream, name): &(&StreamId, &Rc<str>)| {
            self.takes.matches(name) && !self.store.tables.contains_key(*stream)
        };
        let missing: Vec<Rc<str>> = self.store.known.iter().filter(is_missing).map(|(_, name)| name.clone()).collect();
        missing.iter().for_each(|name| self.make_table(name));
        !missing.is_empty()
    }

    /// Whether it takes a stream from anyone.
    pub fn takes(&self, stream: StreamId) -> bool {
        self.store.known.get(&stream).is_some_and(|name| self.takes.matches(name)) || stream == system_stream()
    }

    /// The streams in which its users may write.
    pub fn writable(&self) -> Vec<StreamId> {
        self.store.tables.iter().filter(|(_, name)| &***name != SYSTEM_STREAM).map(|(stream, _)| *stream).collect()
    }
}
