//! Sites in memory: they write, read pages, judge and apply, and check at each step that no event comes before what its author had seen.
#![allow(dead_code, reason = "each test uses its part")]

pub mod link;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use gundb_core::apply::{Bounds, Incoming, LaneHead, Receiver, Untaken, Verdict, judge};
use gundb_core::sync::filter::{Filter, Flow};
use gundb_core::sync::message::{Accept, Hello, PROTOCOL};
use gundb_core::sync::receiver::{Delivery, Here, Stage};
use gundb_core::sync::scope::{Gate, Page, Query, Range, Scope};
use gundb_core::sync::ways::{Way, Word};
use gundb_core::*;
use uuid::Uuid;

/// What each event's author held when it wrote it, as nobody in the world knows it.
pub type Truth = Rc<RefCell<BTreeMap<Dot, Clock>>>;

pub const STREAMS: [&str; 4] = ["gundb", "s", "t", "u"];

#[derive(Clone)]
pub struct Site {
    pub id: SiteId,
    pub run: Run,
    pub events: BTreeMap<Dot, Event>,
    pub epochs: BTreeMap<Epoch, Clock>,
    pub staged: Vec<Transaction>,
    /// Parts of large transactions, by the peer that brings them.
    pub parts: BTreeMap<SiteId, Vec<Event>>,
    /// What it takes.
    pub filter: Filter,
    pub accept: Accept,
    pub bounds: Bounds,
    pub now_ms: u64,
    /// About how many events go into a page, and how many make a transaction large.
    pub page_events: usize,
    pub large_events: usize,
    pub truth: Truth,
    pub epoch: u64,
    pub epoch_clock: Clock,
    pub last: Hlc,
    pub refused: Untaken,
    pub waiting: Untaken,
}

pub fn stream_name(id: StreamId) -> String {
    STREAMS.iter().find(|name| StreamId::of_name(name) == id).unwrap().to_string()
}

pub fn all_streams() -> Vec<String> {
    STREAMS.map(str::to_owned).to_vec()
}

fn key(dot: &Dot) -> LaneKey {
    LaneKey { site: dot.site, stream: dot.stream, lane: dot.lane }
}

impl Site {
    pub fn new(number: u8, truth: &Truth) -> Site {
        let bounds = Bounds {
            stamp_max: Hlc::MAX,
            json: Limits { depth: 100, bytes: 1_000 },
            kind_bytes_max: 255,
            key_bytes_max: 2_048,
        };
        let mut site = Site {
            id: SiteId(Uuid::from_u128(u128::from(number))),
            run: Run::new(u64::from(number) << 8).unwrap(),
            events: BTreeMap::new(),
            epochs: BTreeMap::new(),
            staged: Vec::new(),
            parts: BTreeMap::new(),
            filter: Filter::all(),
            accept: Accept::Any,
            bounds,
            now_ms: 1_000_000,
            page_events: 5,
            large_events: 1_000,
            truth: truth.clone(),
            epoch: 0,
            epoch_clock: Clock::new(),
            last: Hlc::MIN,
            refused: Untaken::default(),
            waiting: Untaken::default(),
        };
        site.starts(0);
        site
    }

    /// A new run, told from others by its number.
    pub fn starts(&mut self, number: u64) {
        self.run = Run::new(((self.run.number() >> 8) << 8) | (number + 1)).unwrap();
        (self.epoch, self.epoch_clock) = (0, self.seen());
        self.parts.clear();
        self.epochs.insert(Epoch { site: self.id, run: self.run, number: 0 }, self.epoch_clock.clone());
    }

    pub fn hello(&self) -> Hello {
        // There are others, whom it has not met.
        let flow = Flow { push: Filter::all(), pull: self.filter.clone() };
        let word = Word { version: 1, ways: vec![Way { from: None, flow, accept: Accept::Any }] };
        Hello {
            protocol: (PROTOCOL, PROTOCOL),
            software: "test".to_owned(),
            site: self.id,
            run: self.run,
            name: format!("site {}", self.id),
            push: Filter::all(),
            pull: self.filter.clone(),
            accept: self.accept,
            ways: [(self.id, word)].into_iter().collect(),
            clock: self.clock(),
            bundle_bytes_max: 1 << 20,
            now_ms: self.now_ms,
        }
    }

    /// What it holds of others and of its own earlier runs.
    fn seen(&self) -> Clock {
        self.events.keys().filter(|dot| (dot.site, dot.lane.run()) != (self.id, self.run)).copied().collect()
    }

    /// One transaction: each place is a stream and a lane's number.
    pub fn writes(&mut self, places: &[(&str, u16)]) -> Vec<Dot> {
        self.writes_kind(places, "Happened")
    }

    pub fn writes_kind(&mut self, places: &[(&str, u16)], kind: &str) -> Vec<Dot> {
        let seen = self.seen();
        if seen != self.epoch_clock {
            self.epoch += 1;
            self.epoch_clock = seen.clone();
            self.epochs.insert(Epoch { site: self.id, run: self.run, number: self.epoch }, seen);
        }
        let held = self.clock();
        let xact = Hlc::tick(self.last, self.now_ms).unwrap();
        let mut written = Vec::new();
        for (stream, number) in places {
            self.last = Hlc::tick(self.last, self.now_ms).unwrap();
            let (stream, lane) = (StreamId::of_name(stream), Lane::new(self.run, *number));
            let head = self.head(self.id, stream, lane);
            let previous = head.map_or(Chain::genesis(self.id, stream, lane), |head| head.chain);
            let dot = Dot::new(self.id, stream, lane, head.map_or(0, |head| head.seq) + 1).unwrap();
            let mut event = Event {
                dot,
                hlc: self.last,
                xact,
                epoch: self.epoch,
                id: Uuid::from_u128(u128::from(self.last.to_bits())),
                kind: kind.to_owned(),
                key: None,
                data: "{}".to_owned(),
                meta: "{}".to_owned(),
                salt: [7; 16],
                chain: previous,
            };
            event.chain = event.chain_after(&previous);
            self.events.insert(dot, event);
            self.truth.borrow_mut().insert(dot, held.clone());
            written.push(dot);
        }
        written
    }

    pub fn holds(&self, dot: &Dot) -> bool {
        self.events.contains_key(dot)
    }

    /// Applies a delivery, and what waits; checks that every cause is here.
    pub fn apply(&mut self, peer: SiteId, delivery: Delivery) -> Vec<Verdict> {
        for record in delivery.epochs {
            self.epochs.entry(record.epoch).or_insert(record.clock);
        }
        self.refused = delivery.refused;
        let mut transactions = delivery.transactions;
        if delivery.completes.is_some() {
            let events = &mut transactions[0].events;
            *events = self.parts.remove(&peer).unwrap_or_default().into_iter().chain(events.drain(..)).collect();
            events.sort_by_key(Event::total_order_key);
        }
        let staged = std::mem::take(&mut self.staged);
        let already = staged.len();
        let all: Vec<Incoming> = staged
            .into_iter()
            .chain(transactions)
            .map(|transaction| Incoming { transaction, accepted: false })
            .collect();
        let verdicts = judge(&all, self, &self.bounds);
        for (at, (incoming, verdict)) in all.into_iter().zip(&verdicts).enumerate() {
            match verdict {
                Verdict::Take(fresh) => {
                    for event in incoming.transaction.events.iter().filter(|event| fresh.has(event)) {
                        self.last = self.last.max(event.hlc);
                        assert!(self.events.insert(event.dot, event.clone()).is_none(), "an event is stored twice");
                    }
                }
                Verdict::Wait(_) => self.staged.push(incoming.transaction),
                // What waits before a gap waits on: it is not sent again.
                Verdict::Refuse(refusal) if at < already && refusal.problem.is_gap() => {
                    self.staged.push(incoming.transaction);
                }
                Verdict::Held | Verdict::Refuse(_) => {}
            }
        }
        self.check_causes();
        verdicts[already..].to_vec()
    }

    pub fn stage(&mut self, peer: SiteId, stage: Stage) {
        if stage.index == 0 {
            self.parts.remove(&peer);
        }
        for record in stage.epochs {
            self.epochs.entry(record.epoch).or_insert(record.clock);
        }
        self.parts.entry(peer).or_default().extend(stage.events);
    }

    /// Nothing is here whose author had seen what is not, of the streams taken.
    pub fn check_causes(&self) {
        let (truth, clock) = (self.truth.borrow(), self.clock());
        for dot in self.events.keys() {
            let missing = truth[dot].difference(&clock);
            let missing = missing.iter().find(|dot| self.filter.matches(&stream_name(dot.stream)));
            assert_eq!(missing, None, "{dot} is here, and what its author had seen is not");
        }
    }

    fn names(&self, scope: &Scope, lane: &LaneKey) -> bool {
        scope.ships(&stream_name(lane.stream), lane)
    }

    pub fn read(&self, query: &Query) -> Page {
        match query {
            Query::Next { after, scope, .. } => self.next_page(after, scope),
            Query::Part { ranges, .. } => self.part(ranges),
        }
    }

    fn next_page(&self, after: &Clock, scope: &Scope) -> Page {
        let mut placed: BTreeMap<(Hlc, SiteId, Run), Vec<&Event>> = BTreeMap::new();
        let mut greatest: BTreeMap<TransactionId, Hlc> = BTreeMap::new();
        for event in self.events.values() {
            let stamp = greatest.entry(event.transaction()).or_insert(event.hlc);
            *stamp = event.hlc.max(*stamp);
        }
        for event in self.events.values().filter(|event| self.names(scope, &key(&event.dot))) {
            let id = event.transaction();
            placed.entry((greatest[&id], id.site, id.run)).or_default().push(event);
        }
        let mut gate = Gate::new(scope);
        let (mut transactions, mut events_count, mut stamp, mut more) = (Vec::<Transaction>::new(), 0, Hlc::MIN, false);
        let mut large = None;
        for ((greatest, _, _), events) in placed {
            let mut events: Vec<Event> =
                events.into_iter().filter(|event| !after.covers(&event.dot)).cloned().collect();
            let Some(id) = events.first().map(Event::transaction) else { continue };
            events.sort_by_key(Event::total_order_key);
            if !transactions.is_empty() && events_count + events.len() > self.page_events {
                more = true;
                break;
            }
            let ranges = ranges(&events);
            if !gate.passes(&id, greatest, &ranges) {
                continue;
            }
            stamp = greatest;
            if events.len() > self.large_events {
                large = Some((id, ranges, greatest));
                break;
            }
            events_count += events.len();
            transactions.push(Transaction { id, events, ends: greatest });
        }
        let is_beside = |event: &&Event| {
            event.hlc < stamp
                && !after.covers(&event.dot)
                && scope.beside(&stream_name(event.dot.stream), &key(&event.dot))
        };
        let beside: Clock = self.events.values().filter(is_beside).map(|event| event.dot).collect();
        let beside = beside.join(&gate.beside(stamp));
        match large {
            Some((transaction, ranges, ends)) if transactions.is_empty() => {
                let events = self.events.values().filter(|event| event.transaction() == transaction);
                let epochs = self.epochs_of(events);
                Page::Large { transaction, ends, ranges, epochs, beside }
            }
            large => {
                let epochs = self.epochs_of(transactions.iter().flat_map(|transaction| &transaction.events));
                let (more, held_back) = (more || large.is_some(), gate.holds_back());
                Page::Transactions { transactions, epochs, beside, more, held_back }
            }
        }
    }

    fn part(&self, ranges: &[Range]) -> Page {
        let dots = ranges.iter().flat_map(|range| {
            (range.first..=range.last).map(|seq| Dot { seq, ..range.last_dot() }).collect::<Vec<_>>()
        });
        let (mut events, mut left): (Vec<Event>, Vec<Range>) = (Vec::new(), Vec::new());
        for dot in dots {
            if events.len() < self.page_events {
                events.push(self.events[&dot].clone());
            } else {
                match left.last_mut() {
                    Some(range) if range.lane == key(&dot) => range.last = dot.seq,
                    _ => left.push(Range { lane: key(&dot), first: dot.seq, last: dot.seq }),
                }
            }
        }
        Page::Part { events, ranges_left: left }
    }

    fn epochs_of<'a>(&self, events: impl Iterator<Item = &'a Event>) -> Vec<EpochRecord> {
        let epochs: BTreeSet<Epoch> = events
            .map(|event| Epoch { site: event.dot.site, run: event.dot.lane.run(), number: event.epoch })
            .collect();
        epochs.into_iter().map(|epoch| EpochRecord { epoch, clock: self.epochs[&epoch].clone() }).collect()
    }
}

pub fn ranges(events: &[Event]) -> Vec<Range> {
    let mut ranges: BTreeMap<LaneKey, Range> = BTreeMap::new();
    for event in events {
        let (lane, seq) = (key(&event.dot), event.dot.seq);
        ranges.entry(lane).or_insert(Range { lane, first: seq, last: seq }).last = seq;
    }
    ranges.into_values().collect()
}

impl Here for Site {
    fn clock(&self) -> Clock {
        self.events.keys().copied().collect()
    }
    fn stream_name(&self, stream: StreamId) -> Option<String> {
        Some(stream_name(stream))
    }
}

impl Receiver for Site {
    fn head(&self, site: SiteId, stream: StreamId, lane: Lane) -> Option<LaneHead> {
        let of_lane = |seq| Dot { site, stream, lane, seq };
        let (_, event) = self.events.range(of_lane(0)..=of_lane(SEQ_MAX)).next_back()?;
        Some(LaneHead { seq: event.dot.seq, hlc: event.hlc, chain: event.chain })
    }
    fn chain(&self, dot: &Dot) -> Option<Chain> {
        self.events.get(dot).map(|event| event.chain)
    }
    fn has_stream(&self, _: StreamId) -> bool {
        true
    }
    fn knows(&self, epoch: &Epoch) -> bool {
        self.epochs.contains_key(epoch)
    }
    fn epoch_clock(&self, epoch: &Epoch) -> Option<Clock> {
        self.epochs.get(epoch).cloned()
    }
    fn waiting(&self) -> &Untaken {
        &self.waiting
    }
    fn refused(&self) -> &Untaken {
        &self.refused
    }
    fn own(&self) -> (SiteId, Run) {
        (self.id, self.run)
    }
}

pub fn two() -> Vec<Site> {
    some(2)
}

pub fn some(count: u8) -> Vec<Site> {
    let truth = Truth::default();
    (1..=count).map(|number| Site::new(number, &truth)).collect()
}

pub fn set_time(sites: &mut [Site], now_ms: u64) {
    sites.iter_mut().for_each(|site| site.now_ms = now_ms);
}

pub fn clock(site: &Site) -> Clock {
    site.events.keys().copied().collect()
}
