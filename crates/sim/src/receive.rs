//! How a node applies what came: what becomes of each transaction core says; here it is looked up, stored, staged, and compared with the truth.
//!
//! What must always hold here: as in the database, one commit for all of it.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use gundb_core::apply::{Bounds, Fresh, Incoming, LaneHead, Receiver, Untaken, Verdict, Wait, judge};
use gundb_core::sync::receiver::Stage;
use gundb_core::{
    Chain, Clock, Dot, Epoch, EpochRecord, Event, Hlc, Lane, Limits, Run, SiteId, StreamId, TransactionId, sync,
};

use crate::check::{self, Failure};
use crate::node::Node;
use crate::plant::Plant;
use crate::scenario::Filters;
use crate::store::Store;
use crate::truth::Truth;
use crate::world::{Step, World};

/// How far ahead of a node's wall clock a stamp may be.
pub const DRIFT_MAX_MS: u64 = 300_000;

/// What comes at once.
#[derive(Default)]
pub struct Delivery {
    pub transactions: Vec<Incoming>,
    pub epochs: Vec<EpochRecord>,
    /// What was refused before, in the session.
    pub refused: Untaken,
}

struct Here<'a> {
    store: &'a Store,
    own: (SiteId, Run),
    plant: Plant,
    /// Whatever waits is judged with what comes.
    waiting: Untaken,
    refused: Untaken,
}

impl Receiver for Here<'_> {
    fn head(&self, site: SiteId, stream: StreamId, lane: Lane) -> Option<LaneHead> {
        let last = self.store.lanes.get(&gundb_core::LaneKey { site, stream, lane })?.last()?;
        Some(LaneHead { seq: last.dot.seq, hlc: last.hlc, chain: last.chain })
    }

    fn chain(&self, dot: &Dot) -> Option<Chain> {
        self.store.event(dot).map(|event| event.chain)
    }

    fn has_stream(&self, stream: StreamId) -> bool {
        self.store.tables.contains_key(&stream)
    }

    fn knows(&self, epoch: &Epoch) -> bool {
        self.store.epochs.contains_key(epoch)
    }

    fn epoch_clock(&self, epoch: &Epoch) -> Option<Clock> {
        if self.plant == Plant::DependantsTaken {
            return None;
        }
        self.store.epochs.get(epoch).map(|clock| (**clock).clone())
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
}

impl World {
    /// A node applies what came outside sessions, or what waits.
    pub fn apply(&mut self, node: usize, delivery: Delivery) -> Result<Vec<Verdict>, Failure> {
        if !self.takes_all(node) && !self.is_healed() && !delivery.transactions.is_empty() {
            self.strike("filters", node);
        }
        let (before, known) = (self.nodes[node].store.holds.clone(), self.nodes[node].store.known.len());
        let now_ms = self.now_ms();
        let verdicts = self.nodes[node].apply(delivery, now_ms, &mut self.truth)?;
        if self.filters == Filters::ByNode {
            check::order_now(&self.nodes[node])?;
        }
        for verdict in &verdicts {
            match verdict {
                Verdict::Take(_) => {}
                Verdict::Held => self.counts.hit("came again"),
                Verdict::Wait(Wait::Time(_)) => self.counts.hit("waits for time"),
                Verdict::Wait(Wait::Stream(_)) => self.counts.hit("waits for stream"),
                Verdict::Wait(_) => self.counts.hit("waits behind"),
                Verdict::Refuse(refusal) if refusal.problem.is_gap() => self.counts.hit("refused: gap"),
                Verdict::Refuse(_) => self.counts.hit("refused"),
            }
        }
        self.tell(|world| {
            let applied = world.nodes[node].store.holds.difference(&before);
            let dots: Vec<String> = applied.iter().map(|dot| world.dot(&dot)).collect();
            let rest: Vec<&Verdict> = verdicts.iter().filter(|verdict| !matches!(verdict, Verdict::Take(_))).collect();
            format!("{} applies up to {} {rest:?}", world.nodes[node].name, dots.join(" "))
        });
        if self.nodes[node].store.known.len() > known {
            self.tell_learned(node);
            self.after_random(300_000, Step::Adopt { node });
        }
        if self.nodes[node].store.holds != before {
            self.news(node)?;
        }
        Ok(verdicts)
    }

    /// A node applies what came in a session; None where it is rolled back.
    pub fn apply_in_session(
        &mut self,
        link: usize,
        end: usize,
        delivery: sync::receiver::Delivery,
    ) -> Result<Option<Vec<Verdict>>, Failure> {
        if self.random.below(1_000) < self.apply_fails_per_mille {
            self.strike("apply rolled back", self.links[link].nodes[end]);
            return Ok(None);
        }
        let node = self.links[link].nodes[end];
        if self.is_full(node) {
            self.counts.hit("nothing applied: the disk is full");
            return Ok(None);
        }
        let before = (self.plant == Plant::RefusedBlocks).then(|| self.nodes[node].store.clone());
        let delivery = self.nodes[node].completed((link, end), delivery);
        let verdicts = self.apply(node, delivery)?;
        let is_refused = |verdict: &Verdict| matches!(verdict, Verdict::Refuse(refusal) if !refusal.problem.is_gap());
        if let Some(before) = before.filter(|_| verdicts.iter().any(is_refused)) {
            self.nodes[node].store = before;
            return Ok(None);
        }
        Ok(Some(verdicts))
    }

    pub fn retry(&mut self) -> Result<(), Failure> {
        self.after(1_000_000, Step::Retry);
        for node in 0..self.nodes.len() {
            if self.is_healed() {
                self.nodes[node].accept_staged();
            }
            self.adopt(node)?;
            self.retry_staged(node)?;
        }
        Ok(())
    }
}

impl Node {
    /// Applies a delivery, and what waits here. Says what became of each of its transactions.
    pub fn apply(&mut self, delivery: Delivery, now_ms: u64, truth: &mut Truth) -> Result<Vec<Verdict>, Failure> {
        let run = self.run(truth);
        self.learn_epochs(delivery.epochs, run, truth)?;
        let staged_before = self.store.staged.len();
        let mut all = std::mem::take(&mut self.store.staged);
        all.extend(delivery.transactions);
        if self.plant == Plant::ForkMixed {
            self.mix(&mut all);
        }
        let stamp_max = Hlc::new(self.wall_ms(now_ms) + DRIFT_MAX_MS, u16::MAX).unwrap_or(Hlc::MAX);
        let json = Limits { depth: 100, bytes: 1 << 20 };
        let bounds = Bounds { stamp_max, json, kind_bytes_max: 255, key_bytes_max: 2_048 };
        let own = (self.store.site, run);
        let here =
            Here { store: &self.store, own, plant: self.plant, waiting: Untaken::default(), refused: delivery.refused };
        let verdicts = judge(&all, &here, &bounds);
        let before = self.store.holds.clone();
        let (mut applied, mut stored) = (Clock::new(), Vec::new());
        let mut touched = BTreeSet::new();
        for (incoming, verdict) in all.iter().zip(&verdicts) {
            if let Verdict::Take(fresh) = verdict {
                self.store_transaction(incoming, fresh, &mut applied, &mut stored, truth)?;
                touched.insert(incoming.transaction.id);
            }
        }
        self.keep_rest(&all, &verdicts, staged_before);
        if !applied.is_empty() {
            self.publish_epoch(&applied, truth);
            self.fold(&stored, false)?;
            self.memory.applied = Some((now_ms, before));
            self.note_applied(&touched, &applied, truth);
        }
        Ok(verdicts.into_iter().skip(staged_before).collect())
    }

    fn learn_epochs(&mut self, epochs: Vec<EpochRecord>, run: Run, truth: &Truth) -> Result<(), Failure> {
        for record in epochs {
            let is_own = (record.epoch.site, record.epoch.run) == (self.store.site, run);
            if truth.epochs.get(&record.epoch).is_none_or(|clock| **clock != record.clock) && !truth.has_taint() {
                return Err(Failure::new("an epoch arrives as it was written", format!("{}: {record:?}", self.name)));
            }
            if !is_own {
                self.store.epochs.entry(record.epoch).or_insert_with(|| Rc::new(record.clock));
            }
        }
        Ok(())
    }

    fn store_transaction(
        &mut self,
        incoming: &Incoming,
        fresh: &Fresh,
        applied: &mut Clock,
        stored: &mut Vec<Rc<Event>>,
        truth: &Truth,
    ) -> Result<(), Failure> {
        let transaction = &incoming.transaction;
        for event in transaction.events.iter().filter(|event| fresh.has(event)) {
            let fact = truth.facts.get(&event.dot);
            if fact.is_none_or(|fact| !fact.chains.contains(&event.chain)) {
                let detail = format!("{} stores {} with another content", self.name, event.dot);
                return Err(Failure::new("no dot has two contents", detail));
            }
            self.observe(event.hlc);
            self.hear_of(event);
            applied.advance(&event.dot);
            let event = Rc::new(event.clone());
            stored.push(event.clone());
            self.insert(event)?;
        }
        let greatest = transaction.greatest_stamp();
        self.observe(greatest);
        if transaction.spans() {
            let known = self.store.spans.entry(transaction.id).or_insert(greatest);
            *known = greatest.max(*known);
        }
        Ok(())
    }

    /// Makes another history of a lane look like the continuation of the one that is held.
    fn mix(&self, all: &mut [Incoming]) {
        let mut made: BTreeMap<Dot, Chain> = BTreeMap::new();
        for event in all.iter_mut().flat_map(|incoming| &mut incoming.transaction.events) {
            let Dot { site, stream, lane, seq } = event.dot;
            let known = |dot: &Dot| made.get(dot).copied().or_else(|| self.store.event(dot).map(|event| event.chain));
            let before = Dot { seq: seq.saturating_sub(1), ..event.dot };
            let previous = if seq == 1 { Some(Chain::genesis(site, stream, lane)) } else { known(&before) };
            let follows = previous.map_or(event.chain, |previous| event.chain_after(&previous));
            event.chain = known(&event.dot).unwrap_or(follows);
            made.insert(event.dot, event.chain);
        }
    }

    /// Keeps what waits, and what was refused.
    fn keep_rest(&mut self, all: &[Incoming], verdicts: &[Verdict], staged_before: usize) {
        for (at, (incoming, verdict)) in all.iter().zip(verdicts).enumerate() {
            match verdict {
                Verdict::Wait(_) => self.store.staged.push(incoming.clone()),
                // What was staged and stands before a gap waits on: nobody may send it again.
                Verdict::Refuse(refusal) if refusal.problem.is_gap() => {
                    if at < staged_before {
                        self.store.staged.push(incoming.clone());
                    }
                }
                Verdict::Refuse(refusal) => {
                    let event = incoming.transaction.events.iter().find(|event| event.dot == refusal.dot);
                    let evidence = event.map(|event| ((event.dot, event.chain), refusal.problem.to_string()));
                    self.store.refused.extend(evidence);
                }
                Verdict::Take(_) | Verdict::Held => {}
            }
        }
    }

    /// Stores a part of a large transaction.
    pub fn stage(&mut self, from: (usize, usize), stage: Stage) {
        let parts = self.store.parts.entry(from).or_default();
        if stage.index == 0 {
            *parts = Default::default();
        }
        parts.0.extend(stage.events);
        parts.1.extend(stage.epochs);
    }

    /// What came in a session, with the parts that it completes.
    pub fn completed(&mut self, from: (usize, usize), delivery: sync::receiver::Delivery) -> Delivery {
        let sync::receiver::Delivery { mut transactions, mut epochs, refused, completes } = delivery;
        if completes.is_some()
            && let Some(transaction) = transactions.first_mut()
        {
            let (mut events, parts_epochs) = self.store.parts.remove(&from).unwrap_or_default();
            // Of another transaction some may be left, which never came to its end.
            events.retain(|event| event.transaction() == transaction.id);
            events.append(&mut transaction.events);
            events.sort_by(Event::cmp_total);
            transaction.events = events;
            epochs.extend(parts_epochs);
        }
        let transactions = transactions.into_iter().map(|transaction| Incoming { transaction, accepted: false });
        Delivery { transactions: transactions.collect(), epochs, refused }
    }

    /// Whether something that waits may have come to its time or its stream.
    pub fn has_staged(&self) -> bool {
        !self.store.staged.is_empty()
    }

    /// An operator takes all that waits, however far ahead its stamps are.
    pub fn accept_staged(&mut self) {
        self.store.staged.iter_mut().for_each(|incoming| incoming.accepted = true);
    }

    /// Notes what just became visible and is not whole, or stands before what its author had seen.
    fn note_applied(&mut self, touched: &BTreeSet<TransactionId>, applied: &Clock, truth: &Truth) {
        for id in touched {
            let Some(written) = truth.transactions.get(id) else { continue };
            if written.tainted {
                continue;
            }
            let is_missing =
                |dot: &&Dot| self.takes(dot.stream) && !truth.lost.contains(*dot) && self.store.event(dot).is_none();
            let missing: Vec<Dot> = written.dots.iter().filter(is_missing).copied().collect();
            self.split.extend(missing.into_iter().map(|dot| (*id, dot)));
            for dot in written.dots.iter().filter(|dot| applied.covers(dot)) {
                self.note_unseen(dot, truth);
            }
        }
    }

    fn note_unseen(&mut self, dot: &Dot, truth: &Truth) {
        let Some(fact) = truth.facts.get(dot) else { return };
        let missing = fact.seen.difference(&self.store.holds);
        let first = |last: Dot| {
            let held = self.store.holds.get(last.site, last.stream, last.lane);
            (held + 1..=last.seq).map(|seq| Dot { seq, ..last }).find(|cause| !truth.lost.contains(cause))
        };
        let causes: Vec<Dot> = missing.iter().filter(|last| self.takes(last.stream)).filter_map(first).collect();
        self.unseen.extend(causes.into_iter().map(|cause| (*dot, cause)));
    }
}
