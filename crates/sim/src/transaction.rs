//! What a user's transaction does at a node: appends, goes back to a savepoint, commits or rolls back.
//!
//! What must always hold here: a transaction holds one lane of a stream from its first append to its end, and reads the lane's head as of now, whatever
//! its snapshot. What is rolled back leaves no trace in a lane; an id that the node holds is appended once.

use std::collections::BTreeMap;
use std::rc::Rc;

use gundb_core::sync::filter::system_stream;
use gundb_core::{Chain, Clock, Dot, Event, Hlc, Lane, LaneKey, Run, StreamId, TransactionId};

use crate::check::Failure;
use crate::node::Node;
use crate::plant::Plant;
use crate::saying::Saying;
use crate::truth::Truth;

/// A transaction that is open.
#[derive(Clone, Default)]
pub struct Open {
    xact: Option<Hlc>,
    /// Of each stream the lane that it holds, and the end of that.
    lanes: BTreeMap<StreamId, (LaneKey, u64, Chain)>,
    /// What it wrote, each with what the node held then.
    events: Vec<(Rc<Event>, Rc<Clock>)>,
    is_malformed: bool,
    /// What the node held when it began: its snapshot under REPEATABLE READ.
    snapshot: Clock,
    savepoint: Option<Savepoint>,
}

/// A moment of a transaction.
#[derive(Clone)]
struct Savepoint {
    events: usize,
    lanes: BTreeMap<StreamId, (LaneKey, u64, Chain)>,
}

/// What is appended.
pub struct Append<'a> {
    pub stream: StreamId,
    pub says: &'a Saying,
    /// Whether no other site can take it.
    pub is_malformed: bool,
}

impl Node {
    /// Opens a transaction.
    pub fn begin(&mut self, number: u64) {
        let open = Open { snapshot: self.store.holds.clone(), ..Open::default() };
        self.memory.open.insert(number, open);
    }

    /// Appends in an open transaction. Says whether something was appended: nothing is where there is no transaction, as after a crash, or where the id is
    /// held here already.
    pub fn append(&mut self, number: u64, what: &Append<'_>, now_ms: u64, truth: &mut Truth) -> bool {
        if !self.memory.open.contains_key(&number) {
            return false;
        }
        if self.has_id(what.stream, &what.says.id) {
            if self.plant == Plant::DuplicateTakesSeq {
                self.event(number, what, now_ms, truth);
            }
            return false;
        }
        let event = self.event(number, what, now_ms, truth);
        let seen = Rc::new(self.store.holds.clone());
        if let Some(open) = self.memory.open.get_mut(&number) {
            open.is_malformed |= what.is_malformed;
            open.events.push((Rc::new(event), seen));
        }
        true
    }

    /// Whether an event of this id is held, or being written, here.
    fn has_id(&self, stream: StreamId, id: &uuid::Uuid) -> bool {
        let is_it = |(event, _): &(Rc<Event>, Rc<Clock>)| event.id == *id && event.dot.stream == stream;
        self.store.views.has_id(stream, id) || self.memory.open.values().any(|open| open.events.iter().any(is_it))
    }

    fn event(&mut self, number: u64, what: &Append<'_>, now_ms: u64, truth: &mut Truth) -> Event {
        let run = self.run(truth);
        let hlc = self.stamp(now_ms);
        let salt = *self.random.uuid().as_bytes();
        let (lane, seq, previous) = self.place(number, what.stream, run);
        let is_ahead = self.plant == Plant::EpochBeforeCommit && self.random.percent(5);
        let open = self.memory.open.entry(number).or_default();
        let Saying { id, kind, key, data, meta } = what.says.clone();
        let mut event = Event {
            dot: Dot { site: lane.site, stream: lane.stream, lane: lane.lane, seq },
            hlc,
            xact: *open.xact.get_or_insert(hlc),
            epoch: self.memory.epoch + u64::from(is_ahead),
            id,
            kind: kind.to_owned(),
            key,
            data: if what.is_malformed { format!(" {data}") } else { data },
            meta,
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
        while !self.memory.busy.insert(lane) && self.plant != Plant::LaneShared {
            lane.lane = Lane::new(run, lane.lane.number() + 1);
        }
        let (seq, chain) = self.head(number, &lane);
        (lane, seq + 1, chain)
    }

    /// The end of a lane: as it is now.
    fn head(&self, number: u64, lane: &LaneKey) -> (u64, Chain) {
        let genesis = (0, Chain::genesis(lane.site, lane.stream, lane.lane));
        let events = self.store.lanes.get(lane).map_or(&[][..], |events| events);
        let mut is_seen: Box<dyn Fn(u64) -> bool> = Box::new(|_| true);
        if let Some(open) = self.memory.open.get(&number).filter(|_| self.plant == Plant::StaleHead) {
            let seen = open.snapshot.get(lane.site, lane.stream, lane.lane);
            is_seen = Box::new(move |seq| seq <= seen);
        }
        let committed = events.iter().rev().find(|event| is_seen(event.dot.seq));
        let head = committed.map_or(genesis, |event| (event.dot.seq, event.chain));
        let others = self.memory.open.values().flat_map(|open| open.lanes.values()).filter(|(held, ..)| held == lane);
        others
            .map(|(_, seq, chain)| (*seq, *chain))
            .fold(head, |last, other| if other.0 > last.0 { other } else { last })
    }

    /// Sets a savepoint.
    pub fn set_savepoint(&mut self, number: u64) {
        if let Some(open) = self.memory.open.get_mut(&number) {
            open.savepoint = Some(Savepoint { events: open.events.len(), lanes: open.lanes.clone() });
        }
    }

    /// Goes back to the savepoint, where one was set; whether something was undone so.
    pub fn go_back(&mut self, number: u64) -> bool {
        let Some(open) = self.memory.open.get_mut(&number) else { return false };
        let Some(Savepoint { events, lanes }) = open.savepoint.take() else { return false };
        let undoes = open.events.len() > events;
        open.events.truncate(events);
        if self.plant != Plant::HeadKeptAfterSavepoint {
            for (lane, ..) in open.lanes.iter().filter(|(stream, _)| !lanes.contains_key(stream)).map(|(_, held)| held)
            {
                self.memory.busy.remove(lane);
            }
            open.lanes = lanes;
        }
        undoes
    }

    /// Ends a transaction: keeps what it wrote, or nothing. Says which it was, where it wrote something that is kept.
    pub fn end(&mut self, number: u64, keeps: bool, truth: &mut Truth) -> Result<Option<TransactionId>, Failure> {
        let Some(open) = self.memory.open.remove(&number) else { return Ok(None) };
        for (lane, _, _) in open.lanes.values() {
            self.memory.busy.remove(lane);
        }
        let keeps = keeps && !open.events.is_empty();
        let Some((xact, run)) = open.xact.zip(self.memory.run).filter(|_| keeps) else { return Ok(None) };
        let id = TransactionId { site: self.store.site, run, xact };
        let streams = open.events.iter().map(|(event, _)| event.dot.stream);
        if streams.collect::<std::collections::BTreeSet<_>>().len() > 1 {
            self.store.spans.extend(open.events.last().map(|(event, _)| (id, event.hlc)));
        }
        for (event, seen) in &open.events {
            self.context_is_what_was_seen(event, seen)?;
            self.hear_of(event);
            self.store.mark = self.store.mark.max(event.hlc);
            self.insert(event.clone())?;
        }
        truth.committed(id, &open.events, open.is_malformed);
        let events: Vec<Rc<Event>> = open.events.into_iter().map(|(event, _)| event).collect();
        self.fold(&events, true)?;
        Ok(Some(id))
    }

    /// Stores the next event of a lane.
    pub fn insert(&mut self, event: Rc<Event>) -> Result<(), Failure> {
        let dot = event.dot;
        let held = self.store.holds.get(dot.site, dot.stream, dot.lane);
        if self.store.insert(event) {
            return Ok(());
        }
        let property = if dot.seq <= held { "no dot has two contents" } else { "lanes have no gaps" };
        Err(Failure::new(property, format!("{} stores {dot} where the lane ends with {held}", self.name)))
    }

    /// An event's epoch covers what its author held of others and of earlier runs: that, and no more.
    fn context_is_what_was_seen(&self, event: &Event, seen: &Clock) -> Result<(), Failure> {
        let (site, run) = (event.dot.site, event.dot.lane.run());
        let epoch = gundb_core::Epoch { site, run, number: event.epoch };
        let of_others: Clock = seen.iter().filter(|dot| (dot.site, dot.lane.run()) != (site, run)).collect();
        if self.store.epochs.get(&epoch).is_some_and(|clock| **clock == of_others) {
            return Ok(());
        }
        let detail =
            format!("{} writes {}, and its epoch {} covers other than was held", self.name, event.dot, event.epoch);
        Err(Failure::new("a context is what its author had seen", detail))
    }

    /// Declares a stream, in a transaction of its own.
    pub fn declare(
        &mut self,
        name: &Rc<str>,
        now_ms: u64,
        truth: &mut Truth,
    ) -> Result<Option<TransactionId>, Failure> {
        self.make_table(name);
        let says = Saying::declares(self.random.uuid(), name);
        let number = u64::MAX;
        self.begin(number);
        self.append(number, &Append { stream: system_stream(), says: &says, is_malformed: false }, now_ms, truth);
        self.end(number, true, truth)
    }
}
