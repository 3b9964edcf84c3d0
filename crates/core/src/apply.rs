//! What becomes of transactions that were written elsewhere, or by an earlier run of this site: taken, held already, waiting, or refused.
//!
//! What must always hold here: a lane grows by the event that follows, and by no other; a transaction goes whole or stays whole; what stands behind one that
//! stays, in one of its lanes, stays too. This file decides and changes nothing: the receiver says what it holds.

use std::collections::BTreeMap;

use crate::chain::Chain;
use crate::context::Epoch;
use crate::event::{Event, Transaction, verify_chain};
use crate::hlc::Hlc;
use crate::id::{Dot, Lane, Run, Seq, SiteId, StreamId};
use crate::json::{Limits, canonical_text};

/// Where a lane stands: its last event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaneHead {
    /// Its seq; 0 of a lane without events.
    pub seq: Seq,
    /// Its stamp.
    pub hlc: Hlc,
    /// Its chain; of a lane without events what the first chains to.
    pub chain: Chain,
}

/// What the receiver holds, and what it takes.
pub trait Receiver {
    /// The last event that it holds of a lane.
    fn head(&self, site: SiteId, stream: StreamId, lane: Lane) -> Option<LaneHead>;
    /// The chain of an event that it holds.
    fn chain(&self, dot: &Dot) -> Option<Chain>;
    /// Whether it has a place for a stream's events.
    fn has_stream(&self, stream: StreamId) -> bool;
    /// Whether it knows, or has just been told, what an epoch covers.
    fn knows(&self, epoch: &Epoch) -> bool;
    /// Its own site and run, in which nobody else writes.
    fn own(&self) -> (SiteId, Run);
}

/// Against what events are held.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Stamps beyond this are too far ahead of the receiver's wall clock.
    pub stamp_max: Hlc,
    /// How large and deep an event's documents may be.
    pub json: Limits,
    /// Bytes of an event's type.
    pub kind_bytes_max: usize,
    /// Bytes of an event's key.
    pub key_bytes_max: usize,
}

/// A transaction that has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incoming {
    /// The transaction.
    pub transaction: Transaction,
    /// Whether it is to be taken however far ahead its stamps are.
    pub accepted: bool,
}

/// What becomes of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// These of its events are to be stored, by their places in it: all, but for those that are held already.
    Take(Vec<usize>),
    /// All of it is held, or waits, already.
    Held,
    /// It is well, and its time has not come.
    Wait(Wait),
    /// It is not taken.
    Refuse(Refusal),
}

/// What a transaction waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// For the wall clock to come near this stamp.
    Time(Hlc),
    /// For a stream.
    Stream(StreamId),
    /// For another transaction that waits, in the lane of this event.
    Behind(Dot),
}

/// Why a transaction is not taken: the first of its events that does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The event.
    pub dot: Dot,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with an event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Something before it in its lane has not come, or was refused.
    #[error("a gap: event {next} of the lane has not come")]
    Gap {
        /// The seq that would follow.
        next: Seq,
    },
    /// What its context refers to has not come.
    #[error("a gap: epoch {} of run {} of site {} has not come", .0.number, .0.run, .0.site)]
    Epoch(Epoch),
    /// Its chain is not the one that follows from what is held: there are two histories.
    #[error("a fork: the chain of the event does not follow from what is held of its lane")]
    Fork,
    /// It bears this site's run, and is not held: another copy of the site writes in the run.
    #[error("a fork: another copy of this site writes in its run")]
    OwnRun,
    /// It cannot be an event.
    #[error("malformed: {0}")]
    Malformed(&'static str),
}

impl Problem {
    /// Whether it may pass when what is missing has come; else the event is evidence.
    pub fn is_gap(&self) -> bool {
        matches!(self, Problem::Gap { .. } | Problem::Epoch(_))
    }
}

type Place = (SiteId, StreamId, Lane);

fn place(dot: &Dot) -> Place {
    (dot.site, dot.stream, dot.lane)
}

/// The end of a lane, as far as it has been judged.
#[derive(Clone, Copy)]
struct Tip {
    head: LaneHead,
    /// Whether its last event waits.
    waits: bool,
}

/// Says of each transaction what becomes of it, given those before it: in causal order, and a lane's in the lane's.
pub fn judge(incoming: &[Incoming], receiver: &impl Receiver, bounds: &Bounds) -> Vec<Verdict> {
    let mut judge = Judge { receiver, bounds, tips: BTreeMap::new(), chains: BTreeMap::new() };
    incoming.iter().map(|one| judge.transaction(one).unwrap_or_else(Verdict::Refuse)).collect()
}

struct Judge<'a, R> {
    receiver: &'a R,
    bounds: &'a Bounds,
    tips: BTreeMap<Place, Tip>,
    /// The chains of events that were judged to be taken, or to wait.
    chains: BTreeMap<Dot, Chain>,
}

impl<R: Receiver> Judge<'_, R> {
    fn transaction(&mut self, incoming: &Incoming) -> Result<Verdict, Refusal> {
        let transaction = &incoming.transaction;
        let mut tips: BTreeMap<Place, Tip> = BTreeMap::new();
        let (mut taken, mut wait, mut greatest) = (Vec::new(), None, Hlc::MIN);
        for (at, event) in transaction.events.iter().enumerate() {
            let refuse = |problem| Refusal { dot: event.dot, problem };
            self.well_formed(transaction, event).map_err(|why| refuse(Problem::Malformed(why)))?;
            let tip = tips.get(&place(&event.dot)).copied().unwrap_or_else(|| self.tip(&event.dot));
            if event.dot.seq <= tip.head.seq {
                let held = self.chains.get(&event.dot).copied().or_else(|| self.receiver.chain(&event.dot));
                if held != Some(event.chain) {
                    return Err(refuse(Problem::Fork));
                }
                continue;
            }
            self.follows(event, &tip).map_err(refuse)?;
            if !self.receiver.has_stream(event.dot.stream) {
                wait = Some(Wait::Stream(event.dot.stream));
            } else if tip.waits {
                wait = wait.or(Some(Wait::Behind(event.dot)));
            }
            let head = LaneHead { seq: event.dot.seq, hlc: event.hlc, chain: event.chain };
            tips.insert(place(&event.dot), Tip { head, waits: false });
            greatest = greatest.max(event.hlc);
            taken.push(at);
        }
        if taken.is_empty() {
            return Ok(Verdict::Held);
        }
        if greatest > self.bounds.stamp_max && !incoming.accepted {
            wait = wait.or(Some(Wait::Time(greatest)));
        }
        let waits = wait.is_some();
        self.tips.extend(tips.into_iter().map(|(place, tip)| (place, Tip { waits, ..tip })));
        let events = taken.iter().filter_map(|at| transaction.events.get(*at));
        self.chains.extend(events.map(|event| (event.dot, event.chain)));
        Ok(wait.map_or(Verdict::Take(taken), Verdict::Wait))
    }

    fn tip(&self, dot: &Dot) -> Tip {
        self.tips.get(&place(dot)).copied().unwrap_or_else(|| {
            let genesis = || LaneHead { seq: 0, hlc: Hlc::MIN, chain: Chain::genesis(dot.site, dot.stream, dot.lane) };
            let head = self.receiver.head(dot.site, dot.stream, dot.lane).unwrap_or_else(genesis);
            Tip { head, waits: false }
        })
    }

    /// Whether an event that is not held is the next of its lane.
    fn follows(&self, event: &Event, tip: &Tip) -> Result<(), Problem> {
        if (event.dot.site, event.dot.lane.run()) == self.receiver.own() {
            return Err(Problem::OwnRun);
        }
        let next = tip.head.seq + 1;
        if event.dot.seq != next {
            return Err(Problem::Gap { next });
        }
        verify_chain(&tip.head.chain, event).map_err(|_| Problem::Fork)?;
        if event.hlc <= tip.head.hlc {
            return Err(Problem::Malformed("its stamp is not greater than that of the event before it in its lane"));
        }
        let epoch = Epoch { site: event.dot.site, run: event.dot.lane.run(), number: event.epoch };
        if self.receiver.knows(&epoch) { Ok(()) } else { Err(Problem::Epoch(epoch)) }
    }

    fn well_formed(&self, transaction: &Transaction, event: &Event) -> Result<(), &'static str> {
        let canonical = |text: &str| canonical_text(text, self.bounds.json).is_ok_and(|canonical| canonical == text);
        let wrong = [
            (event.transaction() != transaction.id, "it is of another transaction"),
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
