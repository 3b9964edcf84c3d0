//! Judging transactions, whole or part by part.
//!
//! What must always hold here: what is kept of a transaction that is judged part by part does not grow with its events.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::apply::{
    Bounds, Fresh, Incoming, LaneHead, Place, Problem, Receiver, Refusal, Untaken, Verdict, Wait, epoch_of, place,
};
use crate::chain::Chain;
use crate::context::Epoch;
use crate::event::{Event, Transaction, TransactionId, verify_chain};
use crate::hlc::Hlc;
use crate::id::Dot;
use crate::json::canonical_text;

/// The end of a lane, as far as it has been judged.
#[derive(Clone, Copy)]
struct Tip {
    head: LaneHead,
    /// Whether its last event waits.
    waits: bool,
}

/// Judges one transaction after the other: in causal order, and a lane's in the lane's.
pub struct Judge<'a, R> {
    receiver: &'a R,
    bounds: &'a Bounds,
    so_far: SoFar,
}

/// What has been judged, as far as it matters to what follows.
#[derive(Clone, Default)]
pub struct SoFar {
    tips: BTreeMap<Place, Tip>,
    /// The chains of events that were judged to be taken, or to wait.
    chains: BTreeMap<Dot, Chain>,
    /// Those that wait and whose chains are not kept.
    unkept: Vec<Waiter>,
    waiting: Untaken,
    refused: Untaken,
}

/// A transaction that is being judged, part by part.
pub struct Judging {
    id: TransactionId,
    accepted: bool,
    /// Where what is not held begins and ends, in each lane.
    lanes: BTreeMap<Place, (Dot, LaneHead)>,
    fresh: Fresh,
    greatest: Hlc,
    wait: Option<Wait>,
    /// The first event whose author may have seen what was refused.
    may_not: Option<Dot>,
    /// The first event whose author may have seen what waits.
    must_wait: Option<Dot>,
    /// The first event that does not fit.
    refusal: Option<Refusal>,
    /// Where what is not held begins, in each lane, once something does not fit.
    untaken: BTreeMap<Place, Dot>,
}

/// A transaction that waits, where its events are not at hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiter {
    /// Which one.
    pub id: TransactionId,
    /// In each lane its first event that is not held, and its last.
    pub lanes: Vec<(Dot, LaneHead)>,
}

impl Waiter {
    /// Whether an event is one of those that wait. Of those before the last of a lane the last's chain says it.
    fn has(&self, event: &Event) -> bool {
        self.lanes.iter().any(|(first, last)| {
            place(first) == place(&event.dot)
                && (first.seq..=last.seq).contains(&event.dot.seq)
                && (event.dot.seq < last.seq || event.chain == last.chain)
        })
    }
}

impl Judging {
    /// The whole transaction has this stamp, wherever.
    pub fn ends(&mut self, stamp: Hlc) {
        self.greatest = self.greatest.max(stamp);
    }

    /// Why it cannot be taken, as far as it has been judged.
    pub fn refusal(&self) -> Option<&Refusal> {
        self.refusal.as_ref()
    }

    /// What is to be known of it should it wait.
    pub fn waiter(&self) -> Waiter {
        Waiter { id: self.id, lanes: self.lanes.values().copied().collect() }
    }

    fn firsts(&self) -> impl Iterator<Item = Dot> + '_ {
        self.lanes.values().map(|(first, _)| *first)
    }
}

impl<'a, R: Receiver> Judge<'a, R> {
    /// Nothing has been judged.
    pub fn new(receiver: &'a R, bounds: &'a Bounds) -> Judge<'a, R> {
        let so_far =
            SoFar { waiting: receiver.waiting().clone(), refused: receiver.refused().clone(), ..SoFar::default() };
        Judge { receiver, bounds, so_far }
    }

    /// What has been judged.
    pub fn so_far(&self) -> SoFar {
        self.so_far.clone()
    }

    /// Forgets what has been judged since.
    pub fn go_back(&mut self, so_far: SoFar) {
        self.so_far = so_far;
    }

    /// What becomes of a transaction.
    pub fn verdict(&mut self, incoming: &Incoming) -> Verdict {
        let Transaction { id, events, .. } = &incoming.transaction;
        let mut judging = self.begin(*id, incoming.accepted);
        judging.ends(incoming.transaction.greatest_stamp());
        self.part(&mut judging, events);
        let verdict = self.settle(&judging);
        if matches!(verdict, Verdict::Take(_) | Verdict::Wait(_)) {
            let fresh = events.iter().filter(|event| judging.fresh.has(event));
            self.so_far.chains.extend(fresh.map(|event| (event.dot, event.chain)));
        }
        verdict
    }

    /// Begins with a transaction of which a part is at hand at a time.
    pub fn begin(&self, id: TransactionId, accepted: bool) -> Judging {
        Judging {
            id,
            accepted,
            lanes: BTreeMap::new(),
            fresh: Fresh::default(),
            greatest: Hlc::MIN,
            wait: None,
            may_not: None,
            must_wait: None,
            refusal: None,
            untaken: BTreeMap::new(),
        }
    }

    /// Looks at the next part: in each lane its events follow those of the parts before.
    pub fn part(&self, judging: &mut Judging, events: &[Event]) {
        if judging.refusal.is_none()
            && let Err(refusal) = self.fits(judging, events)
        {
            judging.refusal = Some(refusal);
            judging.untaken.extend(judging.lanes.iter().map(|(place, (first, _))| (*place, *first)));
        }
        if judging.refusal.is_some() {
            for event in events.iter().filter(|event| event.dot.seq > self.tip(&event.dot).head.seq) {
                judging.untaken.entry(place(&event.dot)).or_insert(event.dot);
            }
            return;
        }
        let epoch_clock = |epoch: &Epoch| self.receiver.epoch_clock(epoch);
        let effect = |untaken: &Untaken| untaken.effect(&judging.id, events, epoch_clock);
        judging.may_not = judging.may_not.or_else(|| effect(&self.so_far.refused));
        judging.must_wait = judging.must_wait.or_else(|| effect(&self.so_far.waiting));
    }

    /// What becomes of a transaction when all of its parts were looked at. If it is to be taken, the receiver holds it when the next one is judged.
    pub fn end(&mut self, judging: &Judging) -> Verdict {
        let verdict = self.settle(judging);
        if let Verdict::Wait(_) = verdict {
            self.so_far.unkept.push(judging.waiter());
        }
        verdict
    }

    /// A transaction is known to wait still.
    pub fn waits(&mut self, waiter: Waiter) {
        self.so_far.waiting.add(&waiter.id, waiter.lanes.iter().map(|(first, _)| *first));
        for (first, head) in &waiter.lanes {
            if self.tip(first).head.seq < head.seq {
                self.so_far.tips.insert(place(first), Tip { head: *head, waits: true });
            }
        }
        self.so_far.unkept.push(waiter);
    }

    fn settle(&mut self, judging: &Judging) -> Verdict {
        let so_far = &mut self.so_far;
        if let Some(refusal) = &judging.refusal {
            so_far.refused.add(&judging.id, judging.untaken.values().copied());
            return Verdict::Refuse(refusal.clone());
        }
        if judging.fresh.count == 0 {
            return Verdict::Held;
        }
        if let Some(dot) = judging.may_not {
            so_far.refused.add(&judging.id, judging.firsts());
            return Verdict::Refuse(Refusal { dot, problem: Problem::Cause });
        }
        let is_early = judging.greatest > self.bounds.stamp_max && !judging.accepted;
        let wait = judging.wait.or(is_early.then_some(Wait::Time(judging.greatest)));
        let wait = wait.or(judging.must_wait.map(Wait::Cause));
        let waits = wait.is_some();
        if waits {
            so_far.waiting.add(&judging.id, judging.firsts());
        }
        so_far.tips.extend(judging.lanes.iter().map(|(place, (_, head))| (*place, Tip { head: *head, waits })));
        wait.map_or_else(|| Verdict::Take(judging.fresh.clone()), Verdict::Wait)
    }

    /// Whether events are well-formed and fit to the ends of their lanes.
    fn fits(&self, judging: &mut Judging, events: &[Event]) -> Result<(), Refusal> {
        for event in events {
            let refuse = |problem| Refusal { dot: event.dot, problem };
            self.well_formed(&judging.id, event).map_err(|why| refuse(Problem::Malformed(why)))?;
            let lane = judging.lanes.entry(place(&event.dot));
            let tip = match &lane {
                Entry::Occupied(begun) => Tip { head: begun.get().1, waits: false },
                Entry::Vacant(_) => self.tip(&event.dot),
            };
            if event.dot.seq <= tip.head.seq {
                if !self.is_held(event) {
                    return Err(refuse(Problem::Fork));
                }
                judging.fresh.held.advance(&event.dot);
                continue;
            }
            self.follows(event, &tip.head).map_err(refuse)?;
            if !self.receiver.has_stream(event.dot.stream) {
                judging.wait = Some(Wait::Stream(event.dot.stream));
            } else if tip.waits {
                judging.wait = judging.wait.or(Some(Wait::Behind(event.dot)));
            }
            let head = LaneHead { seq: event.dot.seq, hlc: event.hlc, chain: event.chain };
            lane.and_modify(|(_, last)| *last = head).or_insert((event.dot, head));
            judging.greatest = judging.greatest.max(event.hlc);
            judging.fresh.count += 1;
        }
        Ok(())
    }

    /// Whether an event that stands before the end of its lane is the one that is held there, or waits.
    fn is_held(&self, event: &Event) -> bool {
        let known = self.so_far.chains.get(&event.dot).copied().or_else(|| self.receiver.chain(&event.dot));
        known.map_or_else(|| self.so_far.unkept.iter().any(|waiter| waiter.has(event)), |chain| chain == event.chain)
    }

    fn tip(&self, dot: &Dot) -> Tip {
        self.so_far.tips.get(&place(dot)).copied().unwrap_or_else(|| {
            let genesis = || LaneHead { seq: 0, hlc: Hlc::MIN, chain: Chain::genesis(dot.site, dot.stream, dot.lane) };
            let head = self.receiver.head(dot.site, dot.stream, dot.lane).unwrap_or_else(genesis);
            Tip { head, waits: false }
        })
    }

    /// Whether an event that is not held is the next of its lane.
    fn follows(&self, event: &Event, head: &LaneHead) -> Result<(), Problem> {
        if self.receiver.writes(&event.dot) {
            return Err(Problem::OwnRun);
        }
        let next = head.seq + 1;
        if event.dot.seq != next {
            return Err(Problem::Gap { next });
        }
        verify_chain(&head.chain, event).map_err(|_| Problem::Fork)?;
        if event.hlc <= head.hlc {
            return Err(Problem::Malformed("its stamp is not greater than that of the event before it in its lane"));
        }
        let epoch = epoch_of(event);
        if self.receiver.knows(&epoch) { Ok(()) } else { Err(Problem::Epoch(epoch)) }
    }

    fn well_formed(&self, transaction: &TransactionId, event: &Event) -> Result<(), &'static str> {
        let canonical = |text: &str| canonical_text(text, self.bounds.json).is_ok_and(|canonical| canonical == text);
        let wrong = [
            (event.transaction() != *transaction, "it is of another transaction"),
            (event.hlc < event.xact, "its stamp is smaller than its transaction's"),
            (!(1..=self.bounds.kind_bytes_max).contains(&event.kind.len()), "the length of its type"),
            (event.key.as_ref().is_some_and(|key| key.len() > self.bounds.key_bytes_max), "the length of its key"),
            (i64::try_from(event.epoch).is_err(), "its epoch is out of range"),
            (!event.meta.starts_with('{'), "its meta is not an object"),
            (!canonical(&event.data), "its data is not canonical text"),
            (!canonical(&event.meta), "its meta is not canonical text"),
        ];
        wrong.into_iter().find(|(is_wrong, _)| *is_wrong).map_or(Ok(()), |(_, why)| Err(why))
    }
}
