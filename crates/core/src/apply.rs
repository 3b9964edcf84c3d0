//! What becomes of transactions that were written elsewhere, or by an earlier run of this site: taken, held already, waiting, or refused.
//!
//! What must always hold here: a lane grows by the event that follows, and by no other; a transaction goes whole or stays whole; what stands behind one that
//! stays, in one of its lanes, stays too, and so does what its author may have seen it from. This file decides and changes nothing: the receiver says what
//! it holds. A transaction that is too large to be held is judged part by part, in memory that its size does not change.
//!
//! What does not come in is in `apply/untaken.rs`, how it is judged in `apply/judge.rs`.

mod judge;
mod untaken;

use std::collections::BTreeMap;

use crate::chain::Chain;
use crate::clock::Clock;
use crate::context::Epoch;
use crate::event::{Event, Transaction};
use crate::hlc::Hlc;
use crate::id::{Dot, Lane, Run, Seq, SiteId, StreamId};
use crate::json::Limits;

pub use judge::{Judge, Judging, SoFar, Waiter};
pub use untaken::Untaken;

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
    /// What an epoch that it knows covers. Asked only where something is not taken.
    fn epoch_clock(&self, epoch: &Epoch) -> Option<Clock>;
    /// Transactions that wait, and are not among those that are judged.
    fn waiting(&self) -> &Untaken;
    /// Transactions that were refused and that others may depend on.
    fn refused(&self) -> &Untaken;
    /// Its own site and run, in which nobody else writes.
    fn own(&self) -> (SiteId, Run);
    /// Whether it may be writing in the lane of an event: then nobody else brings one that it does not hold.
    fn writes(&self, dot: &Dot) -> bool {
        (dot.site, dot.lane.run()) == self.own()
    }
}

/// The first event in each lane, of events that stand in their lanes' order.
pub fn firsts<'a>(events: impl IntoIterator<Item = &'a Event>) -> Vec<Dot> {
    let mut firsts: BTreeMap<Place, Dot> = BTreeMap::new();
    for event in events {
        firsts.entry(place(&event.dot)).or_insert(event.dot);
    }
    firsts.into_values().collect()
}

fn epoch_of(event: &Event) -> Epoch {
    Epoch { site: event.dot.site, run: event.dot.lane.run(), number: event.epoch }
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
    /// It is to be stored.
    Take(Fresh),
    /// All of it is held, or waits, already.
    Held,
    /// It is well, and its time has not come.
    Wait(Wait),
    /// It is not taken.
    Refuse(Refusal),
}

/// Which events of a transaction are not held yet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fresh {
    /// How many.
    pub count: u64,
    /// All but those that this covers.
    pub held: Clock,
}

impl Fresh {
    /// Whether an event of the transaction is one of them.
    pub fn has(&self, event: &Event) -> bool {
        self.held.is_empty() || !self.held.covers(&event.dot)
    }
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
    /// For another transaction that waits, and that the author of this event may have seen.
    Cause(Dot),
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
    /// Its author may have seen what was refused.
    #[error("its author may have seen an event that was refused")]
    Cause,
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
        matches!(self, Problem::Gap { .. } | Problem::Epoch(_) | Problem::Cause)
    }
}

type Place = (SiteId, StreamId, Lane);

fn place(dot: &Dot) -> Place {
    (dot.site, dot.stream, dot.lane)
}

/// Says of each transaction what becomes of it, given those before it: in causal order, and a lane's in the lane's.
pub fn judge(incoming: &[Incoming], receiver: &impl Receiver, bounds: &Bounds) -> Vec<Verdict> {
    let mut judge = Judge::new(receiver, bounds);
    incoming.iter().map(|one| judge.verdict(one)).collect()
}
