//! What is to be written when something comes: the decision, apart from the writing.
//!
//! What must always hold here: what waited is judged before what comes, with it; whoever writes a plan writes all of it, with the epoch that it asks for, in one
//! commit.

use std::collections::HashSet;

use uuid::Uuid;

use crate::apply::{Bounds, Incoming, Problem, Receiver, Refusal, Verdict, Wait, judge};
use crate::chain::Chain;
use crate::clock::Clock;
use crate::event::{Event, TransactionId};
use crate::hlc::Hlc;
use crate::id::{Dot, Run, SiteId, StreamId};

/// What the receiving site holds: as [`judge`] asks for it, and its ids.
pub trait Here: Receiver {
    /// Whether an event of this id stands in a run's part of a stream.
    fn has_id(&self, stream: StreamId, site: SiteId, run: Run, id: &Uuid) -> bool;
}

/// What is to be written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// What became of what was delivered, in its order.
    pub verdicts: Vec<Verdict>,
    /// What is to be stored, lane by lane in the lane's order, a cause before its effects.
    pub events: Vec<Event>,
    /// What they cover: where that is something, an epoch is drawn whose clock is the last one's joined with it.
    pub applied: Clock,
    /// Transactions over several streams, and their greatest stamps.
    pub spans: Vec<(TransactionId, Hlc)>,
    /// What waits from now on, or still does, and for what.
    pub pending: Vec<Pending>,
    /// What waited and does no longer.
    pub done: Vec<TransactionId>,
    /// What is to be kept as evidence.
    pub refused: Vec<Evidence>,
}

/// A transaction that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// It.
    pub incoming: Incoming,
    /// Whether it has come to wait now; else it waited before, perhaps for something else.
    pub is_new: bool,
    /// What it waits for; None where something before it that was refused or is missing has to come again.
    pub wait: Option<Wait>,
}

/// An event that was refused, and is kept to be looked at: nobody can take it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// The event.
    pub event: Event,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is to be written, of what waited and what has come.
pub fn plan(waited: Vec<Incoming>, delivered: Vec<Incoming>, here: &impl Here, bounds: &Bounds) -> Plan {
    let count = waited.len();
    let mut all = waited;
    all.extend(delivered);
    let verdicts = judged(&all, here, bounds);
    let mut plan = Plan::default();
    for (at, (incoming, verdict)) in all.into_iter().zip(&verdicts).enumerate() {
        let waited = at < count;
        let id = incoming.transaction.id;
        match verdict {
            Verdict::Take(fresh) => {
                plan.spans.extend(span(&incoming));
                for event in incoming.transaction.events.into_iter().filter(|event| fresh.has(event)) {
                    plan.applied.advance(&event.dot);
                    plan.events.push(event);
                }
            }
            Verdict::Wait(wait) => {
                plan.pending.push(Pending { incoming, is_new: !waited, wait: Some(*wait) });
                continue;
            }
            // Before a gap it waits on: nobody may send it again.
            Verdict::Refuse(refusal) if refusal.problem.is_gap() => {
                if waited {
                    plan.pending.push(Pending { incoming, is_new: false, wait: None });
                    continue;
                }
            }
            Verdict::Refuse(refusal) => {
                let event = incoming.transaction.events.into_iter().find(|event| event.dot == refusal.dot);
                plan.refused.extend(event.map(|event| Evidence { event, problem: refusal.problem.clone() }));
            }
            Verdict::Held => {}
        }
        if waited {
            plan.done.push(id);
        }
    }
    plan.verdicts = verdicts.into_iter().skip(count).collect();
    plan
}

fn span(incoming: &Incoming) -> Option<(TransactionId, Hlc)> {
    let transaction = &incoming.transaction;
    transaction.spans().then(|| (transaction.id, transaction.greatest_stamp()))
}

/// What becomes of each transaction, as [`judge`] says, but for those that bring an id again: within a run each is one event's.
fn judged(all: &[Incoming], here: &impl Here, bounds: &Bounds) -> Vec<Verdict> {
    let verdicts = judge(all, here, bounds);
    let repeating = repeating(all, &verdicts, here);
    if repeating.iter().all(Option::is_none) {
        return verdicts;
    }
    // What stands behind them in their lanes cannot be taken either.
    let rest = all.iter().zip(&repeating).filter(|(_, repeats)| repeats.is_none());
    let rest: Vec<Incoming> = rest.map(|(incoming, _)| incoming.clone()).collect();
    let mut verdicts = judge(&rest, here, bounds).into_iter();
    repeating.into_iter().map_while(|repeats| repeats.map(Verdict::Refuse).or_else(|| verdicts.next())).collect()
}

/// Of each transaction that would be taken, which event brings an id again.
fn repeating(all: &[Incoming], verdicts: &[Verdict], here: &impl Here) -> Vec<Option<Refusal>> {
    let id = |event: &Event| (event.dot.stream, event.dot.site, event.dot.lane.run(), event.id);
    let mut seen = HashSet::new();
    let repeating = all.iter().zip(verdicts).map(|(incoming, verdict)| {
        let fresh = if let Verdict::Take(fresh) = verdict { Some(fresh) } else { None };
        let events = || incoming.transaction.events.iter().filter(|event| fresh.is_some_and(|fresh| fresh.has(event)));
        let mut own = HashSet::new();
        let repeats = events().find(|event| {
            let (stream, site, run, uuid) = id(event);
            !own.insert(id(event)) || seen.contains(&id(event)) || here.has_id(stream, site, run, &uuid)
        });
        if repeats.is_none() {
            seen.extend(own);
        }
        let problem = Problem::Malformed("its id is that of another event of its run");
        repeats.map(|event| Refusal { dot: event.dot, problem })
    });
    repeating.collect()
}

impl Evidence {
    /// The event's identity and what tells it from another of the same.
    pub fn key(&self) -> (Dot, Chain) {
        (self.event.dot, self.event.chain)
    }
}
