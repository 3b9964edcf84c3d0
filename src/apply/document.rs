//! Transactions and epochs as JSON: as they wait in `gundb.staged`, and as evidence in `gundb.refused`.
//!
//! Documents stand in them as texts, so that they come back to the byte.

use crate::error::{Error, Result, internal, state};
use gundb_core::apply::{LaneHead, Waiter};
use gundb_core::{Clock, Dot, Epoch, EpochRecord, Event, Hlc, Lane, Run, SiteId, StreamId, Transaction, TransactionId};
use serde::{Deserialize, Serialize};
use std::str::FromStr;
use uuid::Uuid;

/// A transaction.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransactionDocument {
    site: Uuid,
    run: u64,
    xact: String,
    /// Where it ends beyond its events here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ends: Option<String>,
    events: Vec<EventDocument>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EventDocument {
    stream: Uuid,
    lane: String,
    seq: u64,
    hlc: String,
    epoch: u64,
    id: Uuid,
    #[serde(rename = "type")]
    kind: String,
    key: Option<String>,
    data: String,
    meta: String,
    salt: Uuid,
    chain: String,
}

/// An epoch.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochDocument {
    site: Uuid,
    run: u64,
    number: u64,
    clock: String,
}

/// A part of a document as the type that it stands for.
fn parse<T: FromStr<Err: std::fmt::Display>>(what: &str, text: &str) -> Result<T> {
    text.parse().map_err(|why| Error::new(state::INVALID_TEXT, format!("the {what} cannot be read: {why}")).into())
}

fn run(number: u64) -> Result<Run> {
    Run::new(number).ok_or_else(|| Error::new(state::OUT_OF_RANGE, "a run has 48 bits").into())
}

impl TryFrom<&TransactionDocument> for Transaction {
    type Error = crate::error::Failure;

    fn try_from(document: &TransactionDocument) -> Result<Transaction> {
        let (site, xact) = (SiteId(document.site), parse::<Hlc>("transaction's stamp", &document.xact)?);
        let event = |event: &EventDocument| -> Result<Event> {
            let lane = parse::<Lane>("lane", &event.lane)?;
            let dot = Dot::new(site, StreamId(event.stream), lane, event.seq);
            Ok(Event {
                dot: dot.ok_or_else(|| Error::new(state::OUT_OF_RANGE, "a seq is at least 1"))?,
                hlc: parse("stamp", &event.hlc)?,
                xact,
                epoch: event.epoch,
                id: event.id,
                kind: event.kind.clone(),
                key: event.key.clone(),
                data: event.data.clone(),
                meta: event.meta.clone(),
                salt: *event.salt.as_bytes(),
                chain: parse("chain", &event.chain)?,
            })
        };
        let events = document.events.iter().map(event).collect::<Result<_>>()?;
        let transaction = Transaction::new(TransactionId { site, run: run(document.run)?, xact }, events);
        let Some(ends) = &document.ends else { return Ok(transaction) };
        let ends = parse::<Hlc>("transaction's last stamp", ends)?.max(transaction.ends);
        Ok(Transaction { ends, ..transaction })
    }
}

impl From<&Transaction> for TransactionDocument {
    fn from(transaction: &Transaction) -> TransactionDocument {
        let event = |event: &Event| EventDocument {
            stream: event.dot.stream.0,
            lane: event.dot.lane.to_string(),
            seq: event.dot.seq,
            hlc: event.hlc.to_string(),
            epoch: event.epoch,
            id: event.id,
            kind: event.kind.clone(),
            key: event.key.clone(),
            data: event.data.clone(),
            meta: event.meta.clone(),
            salt: Uuid::from_bytes(event.salt),
            chain: event.chain.to_string(),
        };
        TransactionDocument {
            site: transaction.id.site.0,
            run: transaction.id.run.number(),
            xact: transaction.id.xact.to_string(),
            ends: transaction.ends_elsewhere().then(|| transaction.ends.to_string()),
            events: transaction.events.iter().map(event).collect(),
        }
    }
}

impl TryFrom<&EpochDocument> for EpochRecord {
    type Error = crate::error::Failure;

    fn try_from(document: &EpochDocument) -> Result<EpochRecord> {
        let epoch = Epoch { site: SiteId(document.site), run: run(document.run)?, number: document.number };
        Ok(EpochRecord { epoch, clock: parse::<Clock>("clock", &document.clock)? })
    }
}

/// A transaction whose parts are kept elsewhere.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WaiterDocument {
    site: Uuid,
    run: u64,
    xact: String,
    lanes: Vec<LaneDocument>,
}

/// Where it begins and ends in a lane.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LaneDocument {
    first: String,
    seq: u64,
    hlc: String,
    chain: String,
}

impl TryFrom<&WaiterDocument> for Waiter {
    type Error = crate::error::Failure;

    fn try_from(document: &WaiterDocument) -> Result<Waiter> {
        let lane = |lane: &LaneDocument| -> Result<(Dot, LaneHead)> {
            let hlc = parse("stamp", &lane.hlc)?;
            Ok((parse("dot", &lane.first)?, LaneHead { seq: lane.seq, hlc, chain: parse("chain", &lane.chain)? }))
        };
        let xact = parse("transaction's stamp", &document.xact)?;
        let id = TransactionId { site: SiteId(document.site), run: run(document.run)?, xact };
        Ok(Waiter { id, lanes: document.lanes.iter().map(lane).collect::<Result<_>>()? })
    }
}

impl From<&Waiter> for WaiterDocument {
    fn from(waiter: &Waiter) -> WaiterDocument {
        let lane = |(first, head): &(Dot, LaneHead)| LaneDocument {
            first: first.to_string(),
            seq: head.seq,
            hlc: head.hlc.to_string(),
            chain: head.chain.to_string(),
        };
        WaiterDocument {
            site: waiter.id.site.0,
            run: waiter.id.run.number(),
            xact: waiter.id.xact.to_string(),
            lanes: waiter.lanes.iter().map(lane).collect(),
        }
    }
}

/// What waits.
pub enum Waiting {
    Whole(Transaction),
    /// Its parts are in `gundb.inbox`.
    InParts(Waiter),
}

impl Waiting {
    /// Its first event that waits, in each lane.
    pub fn firsts(&self) -> Vec<Dot> {
        match self {
            Waiting::Whole(transaction) => gundb_core::apply::firsts(&transaction.events),
            Waiting::InParts(waiter) => waiter.lanes.iter().map(|(first, _)| *first).collect(),
        }
    }

    /// All that waits.
    pub fn clock(&self) -> Clock {
        match self {
            Waiting::Whole(transaction) => transaction.events.iter().map(|event| event.dot).collect(),
            Waiting::InParts(waiter) => {
                waiter.lanes.iter().map(|(first, head)| Dot { seq: head.seq, ..*first }).collect()
            }
        }
    }
}

/// A transaction as text.
pub fn write(transaction: &Transaction) -> Result<String> {
    text_of(&TransactionDocument::from(transaction))
}

/// A transaction as text, whose parts are in `gundb.inbox`.
pub fn write_in_parts(waiter: &Waiter) -> Result<String> {
    text_of(&WaiterDocument::from(waiter))
}

fn text_of(document: &impl Serialize) -> Result<String> {
    serde_json::to_string(document).map_err(|why| internal(format!("a transaction could not be written down: {why}")))
}

/// Reads back what was written.
pub fn read(text: &str) -> Result<Waiting> {
    if let Ok(document) = serde_json::from_str::<WaiterDocument>(text) {
        return (&document).try_into().map(Waiting::InParts);
    }
    let document: TransactionDocument =
        serde_json::from_str(text).map_err(|why| internal(format!("a stored transaction is damaged: {why}")))?;
    (&document).try_into().map(Waiting::Whole)
}
