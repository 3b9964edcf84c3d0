//! An event, the transaction that wrote it, and the total order of all events.
//!
//! What must always hold here: the total order is the same everywhere, and an event's chain is the one that follows from its predecessor's.

use std::cmp::Ordering;

use uuid::Uuid;

use crate::chain::{Chain, Header, content_hash};
use crate::hlc::Hlc;
use crate::id::{Dot, Run, SiteId};

/// An immutable fact, with its coordinates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its identity.
    pub dot: Dot,
    /// Its stamp.
    pub hlc: Hlc,
    /// The first stamp of its transaction, by which the transaction is known.
    pub xact: Hlc,
    /// The number of the epoch, in its run, that its context refers to.
    pub epoch: u64,
    /// Its idempotency key.
    pub id: Uuid,
    /// Its type (the SQL column `type`).
    pub kind: String,
    /// The entity that it is about.
    pub key: Option<String>,
    /// What it says, as canonical text.
    pub data: String,
    /// What is said about it, as canonical text.
    pub meta: String,
    /// The salt of its content hash.
    pub salt: [u8; 16],
    /// The hash of its lane up to here.
    pub chain: Chain,
}

/// An event's chain is not the one that follows from its predecessor: its history, or itself, was altered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the chain of event {dot} is {found}, and what precedes it and its content give {expected}")]
pub struct ChainMismatch {
    /// The event.
    pub dot: Dot,
    /// What its chain should be.
    pub expected: Chain,
    /// What it carries.
    pub found: Chain,
}

impl Event {
    /// What the total order compares: `(hlc, site, stream, lane, seq)`.
    pub fn total_order_key(&self) -> (Hlc, Dot) {
        (self.hlc, self.dot)
    }

    /// The order of two events in the total order.
    pub fn cmp_total(a: &Event, b: &Event) -> Ordering {
        a.total_order_key().cmp(&b.total_order_key())
    }

    /// The transaction that wrote it.
    pub fn transaction(&self) -> TransactionId {
        TransactionId { site: self.dot.site, run: self.dot.lane.run(), xact: self.xact }
    }

    /// The chain that the event must carry after this predecessor (the lane's genesis for seq 1).
    pub fn chain_after(&self, previous: &Chain) -> Chain {
        let header = Header { xact: self.xact, hlc: self.hlc, id: self.id, kind: &self.kind, epoch: self.epoch };
        previous.next(&header, &content_hash(&self.salt, self.key.as_deref(), &self.data, &self.meta))
    }
}

/// Recomputes an event's chain from its predecessor's, and gives it back where it is the one that the event carries.
pub fn verify_chain(previous: &Chain, event: &Event) -> Result<Chain, ChainMismatch> {
    let expected = event.chain_after(previous);
    if expected == event.chain {
        Ok(expected)
    } else {
        Err(ChainMismatch { dot: event.dot, expected, found: event.chain })
    }
}

/// What a transaction is known by. Stamps are unique in a run, so first stamps are too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransactionId {
    /// The site that it wrote at.
    pub site: SiteId,
    /// The run that it wrote in.
    pub run: Run,
    /// Its first stamp.
    pub xact: Hlc,
}

/// The events that one transaction wrote, in the streams that are looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// What it is known by.
    pub id: TransactionId,
    /// Its events, in total order.
    pub events: Vec<Event>,
    /// The greatest stamp of the whole transaction, as far as it is known: some of it may be in streams that are not looked at.
    pub ends: Hlc,
}

impl Transaction {
    /// One that has no events elsewhere, as far as it is known.
    pub fn new(id: TransactionId, events: Vec<Event>) -> Transaction {
        Transaction { id, ends: greatest_of(&events).unwrap_or(id.xact), events }
    }

    /// The greatest stamp of the whole transaction, by which it is placed: what has seen some of it has a greater one.
    pub fn greatest_stamp(&self) -> Hlc {
        greatest_of(&self.events).map_or(self.ends, |greatest| greatest.max(self.ends))
    }

    /// Whether it ends beyond its events here.
    pub fn ends_elsewhere(&self) -> bool {
        greatest_of(&self.events).is_some_and(|last| last < self.ends)
    }

    /// Whether it is in several streams, as far as it is known: what is here of it in one does not tell where it ends.
    pub fn spans(&self) -> bool {
        let mut streams = self.events.iter().map(|event| event.dot.stream);
        let first = streams.next();
        streams.any(|stream| Some(stream) != first) || self.ends_elsewhere()
    }
}

fn greatest_of(events: &[Event]) -> Option<Hlc> {
    events.iter().map(|event| event.hlc).max()
}
