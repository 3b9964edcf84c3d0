//! Bundles by courier: what is lost, doubled, late and out of order on its way, and applied once what it builds on is held.
//!
//! What must always hold here: each bundle says in full what its receiver must hold; one that comes too early is kept until that is so. A node says now
//! and then what it holds, by courier too; what it said in one run is joined, and a new run begins anew.

use std::collections::BTreeMap;
use std::rc::Rc;

use gundb_core::apply::Incoming;
use gundb_core::bundle::{
    Bundle, EpochPart, Frame, From, Kind, Part, WireLimits, decode_bundle, decode_hello, encode_bundle, encode_hello,
};
use gundb_core::sync::courier::lacks;
use gundb_core::sync::message::Hello;
use gundb_core::sync::scope::{Page, Query, Scope};
use gundb_core::{Clock, Dot, EpochRecord, Event, Run, SiteId, Transaction, TransactionId};
use uuid::Uuid;

use crate::check::Failure;
use crate::network::Bytes;
use crate::plant::Plant;
use crate::reading;
use crate::receive::Delivery;
use crate::session::{UNREAD, hello, unread};
use crate::world::{Step, World};

/// Bundles that are sent at once before a word of the receiver is waited for.
const BUNDLES_AT_ONCE: usize = 8;
/// Bundles that are kept until what they build on is held.
const EARLY_MAX: usize = 200;

/// What is known at each end of a link that couriers serve.
#[derive(Default)]
pub struct Post {
    ends: [PostEnd; 2],
}

#[derive(Default)]
struct PostEnd {
    /// What the other said last.
    word: Option<Hello>,
    /// Runs of the other, as they were heard of.
    runs: Vec<Run>,
    number: u64,
    early: Vec<Bundle>,
    parts: BTreeMap<(Run, u64, TransactionId), Parts>,
}

/// Parts of a transaction that have come, by their places.
#[derive(Default)]
struct Parts {
    came: BTreeMap<u64, Bundle>,
    count: Option<u64>,
}

impl World {
    /// A node sends a word, and what the other lacks by its last one.
    pub fn post(&mut self, link: usize, from: usize) -> Result<(), Failure> {
        // When all has healed there is little to say.
        let slowly = if self.is_healed() { 4 } else { 1 };
        let pause_us = slowly * self.random.between(200_000, 400_000);
        self.after(pause_us, Step::Post { link, from });
        let node = self.links[link].nodes[from];
        if !self.nodes[node].is_up || !self.links[link].is_alive {
            return Ok(());
        }
        let mine = hello(self, link, from);
        self.carry(link, from, encode_hello(&mine).into());
        let theirs = self.posts[link].as_ref().and_then(|post| post.ends[from].word.clone());
        match theirs {
            Some(theirs) => self.export(link, from, &mine, &theirs),
            None => Ok(()),
        }
    }

    fn export(&mut self, link: usize, from: usize, mine: &Hello, theirs: &Hello) -> Result<(), Failure> {
        let node = self.links[link].nodes[from];
        let known: Vec<Rc<str>> = self.nodes[node].store.known.values().cloned().collect();
        // The run that the word is of may be gone, and what it wrote lost: it is not presumed to hold that.
        let nobody = (SiteId(Uuid::nil()), mine.run);
        let scope = Scope { receiver: nobody, ..Scope::new(mine, theirs, &known) };
        // Of what does not flow nothing is said, but what must be held beside.
        let flows = |stream| self.nodes[node].store.known.get(&stream).is_some_and(|name| scope.flow.matches(name));
        let mut after = theirs.clock.restrict_to_streams(flows);
        for _ in 0..BUNDLES_AT_ONCE {
            let query = Query::Next {
                after: after.clone(),
                scope: scope.clone(),
                bytes_max: self.bundle_bytes_max.min(theirs.bundle_bytes_max),
            };
            let page = reading::read(&self.nodes[node].store, &query, self.plant);
            match page {
                Page::Transactions { transactions, epochs, beside, more, .. } => {
                    if transactions.is_empty() {
                        break;
                    }
                    let from_clock = after.join(&beside);
                    for event in transactions.iter().flat_map(|transaction| &transaction.events) {
                        after.advance(&event.dot);
                    }
                    self.send_bundle(link, from, from_clock, &epochs, transactions, None);
                    if !more {
                        break;
                    }
                }
                Page::Large { transaction, ends, ranges, epochs, beside } => {
                    let from_clock = after.join(&beside);
                    after.extend(ranges.iter().map(|range| range.last_dot()));
                    let whole = Transaction { id: transaction, events: Vec::new(), ends };
                    self.send_parts(link, from, from_clock, epochs, whole, ranges);
                }
                Page::Part { .. } => break,
            }
        }
        Ok(())
    }

    fn send_parts(
        &mut self,
        link: usize,
        from: usize,
        from_clock: Clock,
        epochs: Vec<EpochRecord>,
        whole: Transaction,
        mut ranges: Vec<gundb_core::sync::scope::Range>,
    ) {
        let node = self.links[link].nodes[from];
        let mut index = 0;
        while !ranges.is_empty() {
            let query = Query::Part { transaction: whole.id, ranges, bytes_max: self.bundle_bytes_max };
            let Page::Part { events, ranges_left } = reading::read(&self.nodes[node].store, &query, self.plant) else {
                return;
            };
            ranges = ranges_left;
            let part = Part { index, is_last: ranges.is_empty() };
            let told = if index == 0 { epochs.as_slice() } else { &[] };
            self.send_bundle(link, from, from_clock.clone(), told, vec![Transaction { events, ..whole }], Some(part));
            index += 1;
        }
        self.counts.hit("transaction in parts, by courier");
    }

    fn send_bundle(
        &mut self,
        link: usize,
        from: usize,
        from_clock: Clock,
        epochs: &[EpochRecord],
        transactions: Vec<Transaction>,
        part: Option<Part>,
    ) {
        let node = self.links[link].nodes[from];
        let Some(post) = self.posts[link].as_mut() else { return };
        // All parts of a transaction have one number.
        post.ends[from].number += u64::from(part.is_none_or(|part| part.index == 0));
        let bundle = Bundle {
            site: self.nodes[node].store.site,
            run: self.nodes[node].run(&mut self.truth),
            number: post.ends[from].number,
            from: From::Clock(from_clock),
            epochs: told(epochs),
            transactions,
            part,
        };
        let bytes = encode_bundle(&bundle, 0);
        self.sent(&bundle, bytes.len());
        self.carry(link, from, bytes.into());
    }

    /// Gives something to couriers: some are lost, some arrive twice, and all when they like.
    fn carry(&mut self, link: usize, from: usize, bytes: Bytes) {
        if self.links[link].cuts[from] > 0 || self.random.percent(15) {
            self.strike("courier lost", self.links[link].nodes[1 - from]);
            return;
        }
        let copies = if self.random.percent(10) { 2 } else { 1 };
        if copies == 2 {
            self.strike("courier doubled", self.links[link].nodes[1 - from]);
        }
        for _ in 0..copies {
            let is_rubbish = self.is_hostile(link, from) && self.random.percent(30);
            let bytes = if is_rubbish { self.twist_parcel(link, from, &bytes) } else { bytes.clone() };
            let delay_us = self.links[link].delay(&mut self.random) + self.random.below(300_000);
            self.after(delay_us, Step::Deliver { link, to: 1 - from, bytes: bytes.clone() });
        }
    }

    /// Whether a node keeps bundles that came too early.
    pub fn keeps_early(&self, node: usize) -> bool {
        let posts = self.posts.iter().enumerate().filter_map(|(at, post)| Some((&self.links[at], post.as_ref()?)));
        let ends = posts.flat_map(|(link, post)| link.nodes.into_iter().zip(&post.ends));
        ends.filter(|(at, _)| *at == node).any(|(_, end)| !end.early.is_empty())
    }

    fn twist_parcel(&mut self, link: usize, from: usize, bytes: &Bytes) -> Bytes {
        self.strike("hostile peer", self.links[link].nodes[1 - from]);
        match Frame::read(bytes) {
            Ok(frame) if frame.kind == Kind::Bundle => self.twist_bundle(bytes),
            _ => self.rubbish(bytes),
        }
    }

    /// Something arrives by courier. What a hostile peer gave to it may be no message.
    pub fn deliver(&mut self, link: usize, to: usize, bytes: &Bytes) -> Result<(), Failure> {
        match self.open(link, to, bytes) {
            Err(failure) if failure.property == UNREAD && self.was_hostile(link, 1 - to) => {
                self.counts.hit("rubbish refused");
                Ok(())
            }
            result => result,
        }
    }

    fn open(&mut self, link: usize, to: usize, bytes: &Bytes) -> Result<(), Failure> {
        let node = self.links[link].nodes[to];
        if !self.nodes[node].is_up {
            return Ok(());
        }
        let limits = WireLimits::default();
        let frame = Frame::read(bytes).map_err(unread)?;
        if frame.kind == Kind::Hello {
            let word = decode_hello(bytes, &limits).map_err(unread)?;
            self.learn_ways(link, to, &word);
            self.hear(link, to, word);
            return Ok(());
        }
        let bundle = decode_bundle(bytes, &limits).map_err(unread)?;
        self.tell(|world| format!("{} gets courier bundle {}", world.nodes[node].name, bundle.number));
        if let Some(bundle) = self.gather(link, to, bundle)? {
            self.keep_early(link, to, bundle);
        }
        self.import_early(link, to)
    }

    fn hear(&mut self, link: usize, at: usize, word: Hello) {
        let plant = self.plant;
        let Some(post) = self.posts[link].as_mut() else { return };
        let end = &mut post.ends[at];
        let is_known = end.runs.contains(&word.run);
        match &mut end.word {
            // Within a run a node never comes to hold less; its wall clock may go back.
            Some(last) if last.run == word.run || plant == Plant::OldWordBelieved => {
                last.clock = last.clock.join(&word.clock);
                last.ways = last.ways.join(&word.ways);
            }
            Some(_) if is_known => {}
            last => *last = Some(word.clone()),
        }
        if !is_known {
            end.runs.push(word.run);
        }
    }

    /// A bundle as it came, or one made whole of parts; None while parts are missing.
    fn gather(&mut self, link: usize, to: usize, bundle: Bundle) -> Result<Option<Bundle>, Failure> {
        let (Some(part), Some(id)) = (bundle.part, bundle.transactions.first().map(|transaction| transaction.id))
        else {
            return Ok(Some(bundle));
        };
        if self.plant == Plant::SplitApplied {
            return Ok(Some(Bundle { part: None, ..bundle }));
        }
        let Some(post) = self.posts[link].as_mut() else { return Ok(None) };
        let parts = post.ends[to].parts.entry((bundle.run, bundle.number, id)).or_default();
        if part.is_last {
            parts.count = Some(part.index + 1);
        }
        let (run, number) = (bundle.run, bundle.number);
        parts.came.insert(part.index, bundle);
        if parts.count != Some(parts.came.len() as u64) {
            return Ok(None);
        }
        let Some(parts) = post.ends[to].parts.remove(&(run, number, id)) else { return Ok(None) };
        Ok(whole(parts))
    }

    fn keep_early(&mut self, link: usize, to: usize, bundle: Bundle) {
        let Some(post) = self.posts[link].as_mut() else { return };
        let early = &mut post.ends[to].early;
        let is_known = early.iter().any(|kept| (kept.run, kept.number) == (bundle.run, bundle.number));
        if !is_known {
            // What was kept longest may wait for what never comes; what is lost so is sent again.
            if early.len() >= EARLY_MAX {
                early.remove(0);
            }
            early.push(bundle);
        }
    }

    /// Applies what has come by courier and builds on nothing that is missing.
    fn import_early(&mut self, link: usize, to: usize) -> Result<(), Failure> {
        let node = self.links[link].nodes[to];
        let (routes, plant) = (self.routes_to(node), self.plant);
        let unchecked = plant == Plant::FromUnchecked;
        // A stream that was not heard of yet may be one that it takes.
        let waits = |dot: &Dot| plant == Plant::UntakenAwaited || routes.comes(dot.site, dot.stream, true);
        while !self.is_full(node) {
            let holds = self.nodes[node].store.holds.clone();
            let fits =
                |bundle: &Bundle| lacks(bundle, &holds, waits).is_some_and(|lacks| unchecked || lacks.is_empty());
            let Some(at) = self.posts[link].as_ref().and_then(|post| post.ends[to].early.iter().position(fits)) else {
                break;
            };
            let Some(post) = self.posts[link].as_mut() else { break };
            let bundle = post.ends[to].early.remove(at);
            let epochs = heard(&bundle.epochs)?;
            let transactions =
                bundle.transactions.into_iter().map(|transaction| Incoming { transaction, accepted: false }).collect();
            self.apply(node, Delivery { transactions, epochs, ..Delivery::default() })?;
        }
        let holds = self.nodes[node].store.holds.clone();
        if let Some(post) = self.posts[link].as_ref().filter(|post| !post.ends[to].early.is_empty()) {
            let early = &post.ends[to].early;
            let (count, last) = (early.len(), early.last().and_then(|last| lacks(last, &holds, waits)));
            self.counts.hit("courier bundle kept");
            self.tell(|world| {
                let dots: Vec<String> = last.unwrap_or_default().iter().map(|dot| world.dot(&dot)).collect();
                format!("{count} courier bundles wait for what they build on, the last for {}", dots.join(" "))
            });
        }
        Ok(())
    }
}

/// Epochs as they are told by courier: of each run one whole, then differences.
fn told(epochs: &[EpochRecord]) -> Vec<EpochPart> {
    let mut sorted: Vec<&EpochRecord> = epochs.iter().collect();
    sorted.sort_by_key(|record| record.epoch);
    let mut parts: Vec<EpochPart> = Vec::new();
    for (at, record) in sorted.iter().enumerate() {
        let same_run = |other: &&&EpochRecord| {
            (other.epoch.site, other.epoch.run) == (record.epoch.site, record.epoch.run) && other.clock <= record.clock
        };
        let base = at.checked_sub(1).and_then(|before| sorted.get(before)).filter(same_run);
        let clock = base.map_or_else(|| record.clock.clone(), |base| record.clock.difference(&base.clock));
        parts.push(EpochPart { epoch: record.epoch, base: base.map(|base| base.epoch.number), clock });
    }
    parts
}

fn heard(parts: &[EpochPart]) -> Result<Vec<EpochRecord>, Failure> {
    let mut records: Vec<EpochRecord> = Vec::new();
    for part in parts {
        let base = part.base.map(|number| {
            let is_base = |record: &&EpochRecord| {
                (record.epoch.site, record.epoch.run, record.epoch.number) == (part.epoch.site, part.epoch.run, number)
            };
            records.iter().find(is_base).map(|record| record.clock.clone())
        });
        let clock = match base {
            None => part.clock.clone(),
            Some(Some(base)) => base.join(&part.clock),
            Some(None) => return Err(Failure::new("an epoch's base comes before it", format!("{:?}", part.epoch))),
        };
        records.push(EpochRecord { epoch: part.epoch, clock });
    }
    Ok(records)
}

/// One bundle of all parts of a transaction.
fn whole(parts: Parts) -> Option<Bundle> {
    let mut bundles = parts.came.into_values();
    let mut whole = bundles.next()?;
    let mut events: Vec<Event> = std::mem::take(&mut whole.transactions.first_mut()?.events);
    for mut bundle in bundles {
        whole.epochs.append(&mut bundle.epochs);
        events.append(&mut bundle.transactions.first_mut()?.events);
    }
    events.sort_by(Event::cmp_total);
    whole.transactions.truncate(1);
    whole.transactions.first_mut()?.events = events;
    whole.part = None;
    Some(whole)
}
