//! A node: its disk, its memory, its wall clock, and what its users write.
//!
//! What must always hold here: what the database does and no more. A transaction holds one lane of a stream from its first append to its end; stamps are
//! drawn as events are appended; an event names the last epoch that its run had published; nothing but the disk outlives a crash.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use gundb_core::sync::filter::{Filter, SYSTEM_STREAM, system_stream};
use gundb_core::{Chain, Clock, Dot, Epoch, Event, Hlc, Lane, LaneKey, Run, StreamId, TransactionId};

use crate::plant::Plant;
use crate::random::Random;
use crate::store::Store;
use crate::truth::Truth;

/// Milliseconds since 1970 at which every run begins.
pub const BEGINNING_MS: u64 = 1_700_000_000_000;

/// A node.
pub struct Node {
    pub name: String,
    pub is_up: bool,
    pub store: Store,
    pub memory: Memory,
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
    /// Lanes that open transactions hold.
    busy: BTreeSet<LaneKey>,
}

/// A transaction that is open.
#[derive(Clone, Default)]
pub struct Open {
    xact: Option<Hlc>,
    lanes: BTreeMap<StreamId, (LaneKey, u64, Chain)>,
    events: Vec<(Rc<Event>, Rc<Clock>)>,
    is_malformed: bool,
}

/// What is appended.
#[derive(Clone, Copy)]
pub struct Append {
    pub stream: StreamId,
    /// Bytes of text in its data.
    pub bytes: usize,
    /// Whether no other site can take it.
    pub is_malformed: bool,
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
        Node { name, is_up: true, store, memory: Memory::default(), ahead_ms: 0, takes, random, plant, unseen, split }
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
        let last = Epoch { site: self.store.site, run, number: self.memory.epoch };
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

    fn stamp(&mut self, now_ms: u64) -> Hlc {
        let last = self.memory.hlc.unwrap_or(Hlc::MIN).max(self.store.mark);
        let stamp = Hlc::tick(last, self.wall_ms(now_ms)).unwrap_or(Hlc::MAX);
        self.memory.hlc = Some(stamp);
        stamp
    }

    /// Opens a transaction.
    pub fn begin(&mut self, number: u64) {
        self.memory.open.insert(number, Open::default());
    }

    /// Appends in an open transaction; false where there is none, as after a crash.
    pub fn append(&mut self, number: u64, what: Append, now_ms: u64, truth: &mut Truth) -> bool {
        if !self.memory.open.contains_key(&number) {
            return false;
        }
        let event = self.event(number, what, now_ms, None, truth);
        let seen = Rc::new(self.store.holds.clone());
        if let Some(open) = self.memory.open.get_mut(&number) {
            open.is_malformed |= what.is_malformed;
            open.events.push((Rc::new(event), seen));
        }
        true
    }

    fn event(&mut self, number: u64, what: Append, now_ms: u64, key: Option<String>, truth: &mut Truth) -> Event {
        let run = self.run(truth);
        let hlc = self.stamp(now_ms);
        let (id, salt) = (self.random.uuid(), *self.random.uuid().as_bytes());
        let (lane, seq, previous) = self.place(number, what.stream, run);
        let open = self.memory.open.entry(number).or_default();
        let xact = *open.xact.get_or_insert(hlc);
        let space = if what.is_malformed { "" } else { " " };
        let mut event = Event {
            dot: Dot { site: lane.site, stream: lane.stream, lane: lane.lane, seq },
            hlc,
            xact,
            epoch: self.memory.epoch,
            id,
            kind: "Happened".to_owned(),
            key,
            data: format!("{{\"text\":{space}\"{:.<1$}\"}}", seq, what.bytes),
            meta: "{}".to_owned(),
            salt,
            chain: previous,
        };
        event.chain = event.chain_after(&previous);
        open.lanes.insert(what.stream, (lane, seq, event.chain));
        event
    }

    /// The lane of a stream that a transaction holds, and what comes next in it.
    fn place(&mut self, number: u64, stream: StreamId, run: Run) -> (LaneKey, u64, Chain) {
        let open = self.memory.open.get(&number);
        if let Some((lane, seq, chain)) = open.and_then(|open| open.lanes.get(&stream)) {
            return (*lane, seq + 1, *chain);
        }
        let site = self.store.site;
        let mut lane = LaneKey { site, stream, lane: Lane::new(run, 0) };
        while !self.memory.busy.insert(lane) {
            lane.lane = Lane::new(run, lane.lane.number() + 1);
        }
        let last = self.store.lanes.get(&lane).and_then(|events| events.last());
        let (seq, chain) =
            last.map_or_else(|| (0, Chain::genesis(site, stream, lane.lane)), |event| (event.dot.seq, event.chain));
        (lane, seq + 1, chain)
    }

    /// Ends a transaction: keeps what it wrote, or nothing. Says which it was, where it wrote something that is kept.
    pub fn end(&mut self, number: u64, keeps: bool, truth: &mut Truth) -> Option<TransactionId> {
        let open = self.memory.open.remove(&number)?;
        for (lane, _, _) in open.lanes.values() {
            self.memory.busy.remove(lane);
        }
        let (xact, run) = open.xact.zip(self.memory.run).filter(|_| keeps)?;
        let id = TransactionId { site: self.store.site, run, xact };
        if open.lanes.len() > 1 {
            self.store.spans.extend(open.events.last().map(|(event, _)| (id, event.hlc)));
        }
        for (event, _) in &open.events {
            self.hear_of(event);
            self.store.mark = self.store.mark.max(event.hlc);
            assert!(self.store.insert(event.clone()), "a transaction holds its lanes");
        }
        truth.committed(id, &open.events, open.is_malformed);
        Some(id)
    }

    /// Declares a stream, in a transaction of its own.
    pub fn declare(&mut self, name: &Rc<str>, now_ms: u64, truth: &mut Truth) -> Option<TransactionId> {
        self.make_table(name);
        let what = Append { stream: system_stream(), bytes: 1, is_malformed: false };
        let number = u64::MAX;
        self.begin(number);
        let event = self.event(number, what, now_ms, Some(name.to_string()), truth);
        let seen = Rc::new(self.store.holds.clone());
        if let Some(open) = self.memory.open.get_mut(&number) {
            open.events.push((Rc::new(event), seen));
        }
        self.end(number, true, truth)
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
