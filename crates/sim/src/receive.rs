//! How a node applies what came: what becomes of each transaction core says; here it is looked up, stored, staged, and compared with the truth.
//!
//! What must always hold here: as in the database, one commit for all of it.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use gundb_core::apply::{Bounds, Fresh, Incoming, LaneHead, Receiver, Untaken, Verdict, judge};
use gundb_core::sync::receiver::Stage;
use gundb_core::{
    Chain, Clock, Dot, Epoch, EpochRecord, Event, Hlc, Lane, LaneKey, Limits, Run, SiteId, StreamId, TransactionId,
    sync,
};

use crate::check::Failure;
use crate::node::Node;
use crate::plant::Plant;
use crate::store::{Store, key};
use crate::truth::Truth;

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
        let mut heads: BTreeMap<LaneKey, Chain> = BTreeMap::new();
        for event in all.iter_mut().flat_map(|incoming| &mut incoming.transaction.events) {
            let lane = key(&event.dot);
            let last = self.store.lanes.get(&lane).and_then(|events| events.last());
            let genesis = || Chain::genesis(lane.site, lane.stream, lane.lane);
            let previous = heads.get(&lane).copied().unwrap_or_else(|| last.map_or_else(genesis, |event| event.chain));
            let held = self.store.event(&event.dot).map(|event| event.chain);
            event.chain = held.unwrap_or_else(|| event.chain_after(&previous));
            if held.is_none() {
                heads.insert(lane, event.chain);
            }
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
