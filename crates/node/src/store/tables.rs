//! The tables of the file, and the bytes of their keys.
//!
//! | table | key | value |
//! |---|---|---|
//! | `meta` | a word | what it names |
//! | `lane` | site, stream, lane (40 bytes) | its number, and its last event: seq, hlc, chain (36 bytes) |
//! | `lane_key` | a lane's number | site, stream, lane |
//! | `event` | its place: lane's number (24 bits), seq (40 bits) | the event, as `gundb_core::store::encode_event` has it |
//! | `id` | id (16 bytes), place (8 bytes) | nothing |
//! | `keyed` | group (4), hash of the key (8), place (8) | nothing |
//! | `epoch` | site, run, number (30 bytes) | its clock |
//! | `span` | site, run, first stamp (30 bytes) | the greatest stamp, of a transaction over several streams |
//! | `stream` | its id | its group, and its name |
//! | `definer` | a site | nothing: its definitions count here |
//! | `pending` | greatest stamp, site, run, first stamp (38 bytes) | a transaction that waits, as a bundle |
//! | `refused` | dot, chain (64 bytes) | the reason |
//! | `part` | peer, index | a part of a transaction, as a bundle |
//! | `letter` | site, run, number, part, whose events (39 bytes) | a bundle that came too early |
//! | `view` | its name | its group and its definition, as JSON |
//! | `row` | group, the row's key | the state of the row, as `gundb_core::fold` has it |
//! | `left_out` | group, place | why a view cannot fold an event |
//! | `consumer` | its name | its stream and its position, as JSON |
//!
//! A group is a stream, by its events' keys, or a view, by its rows' keys: a number that is never given again.
//!
//! What must always hold here: numbers in keys are big-endian, so that the order of the bytes is theirs.

use gundb_core::store::LetterId;
use gundb_core::sync::message::Accept;
use gundb_core::{Epoch, Hlc, Lane, LaneKey, Run, Seq, SiteId, StreamId, TransactionId};
use redb::TableDefinition;
use uuid::Uuid;

use crate::error::{Error, Result};

pub const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
pub const LANE: TableDefinition<&[u8; 40], &[u8; 36]> = TableDefinition::new("lane");
pub const LANE_KEY: TableDefinition<u32, &[u8; 40]> = TableDefinition::new("lane_key");
pub const EVENT: TableDefinition<u64, &[u8]> = TableDefinition::new("event");
pub const ID: TableDefinition<&[u8; 24], ()> = TableDefinition::new("id");
pub const KEYED: TableDefinition<&[u8; 20], ()> = TableDefinition::new("keyed");
pub const EPOCH: TableDefinition<&[u8; 30], &[u8]> = TableDefinition::new("epoch");
pub const SPAN: TableDefinition<&[u8; 30], u64> = TableDefinition::new("span");
pub const STREAM: TableDefinition<&[u8; 16], (u32, &str)> = TableDefinition::new("stream");
pub const DEFINER: TableDefinition<&[u8; 16], ()> = TableDefinition::new("definer");
pub const PENDING: TableDefinition<&[u8; 38], &[u8]> = TableDefinition::new("pending");
pub const REFUSED: TableDefinition<&[u8; 64], &str> = TableDefinition::new("refused");
pub const PART: TableDefinition<(&str, u64), &[u8]> = TableDefinition::new("part");
pub const LETTER: TableDefinition<&[u8; 39], &[u8]> = TableDefinition::new("letter");
pub const VIEW: TableDefinition<&str, &[u8]> = TableDefinition::new("view");
pub const ROW: TableDefinition<(u32, &[u8]), &[u8]> = TableDefinition::new("row");
pub const LEFT_OUT: TableDefinition<(u32, u64), &str> = TableDefinition::new("left_out");
pub const CONSUMER: TableDefinition<&str, &[u8]> = TableDefinition::new("consumer");

/// Where an event stands: its lane's number and its seq, so that a lane's events lie together, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place(pub u64);

const SEQ_BITS: u32 = 40;
/// The most lanes that a store can hold, and events that a lane can.
pub const LANES_MAX: u32 = 1 << 24;
pub const SEQS_MAX: Seq = 1 << SEQ_BITS;

impl Place {
    /// None where the lane or the store is full: after a trillion events of one lane.
    pub fn new(lane: u32, seq: Seq) -> Option<Place> {
        (lane < LANES_MAX && seq < SEQS_MAX).then(|| Place(u64::from(lane) << SEQ_BITS | seq))
    }

    pub fn lane(self) -> u32 {
        (self.0 >> SEQ_BITS) as u32
    }

    pub fn seq(self) -> Seq {
        self.0 & (SEQS_MAX - 1)
    }
}

/// Bytes put one behind the other.
fn joined<const N: usize>(parts: &[&[u8]]) -> [u8; N] {
    let mut bytes = [0; N];
    let mut rest = bytes.as_mut_slice();
    for part in parts {
        let (place, after) = rest.split_at_mut(part.len());
        place.copy_from_slice(part);
        rest = after;
    }
    bytes
}

fn run_bytes(run: Run) -> [u8; 6] {
    let bytes = run.number().to_be_bytes();
    [bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7]]
}

pub fn lane_bytes(lane: &LaneKey) -> [u8; 40] {
    joined(&[lane.site.0.as_bytes(), lane.stream.0.as_bytes(), &lane.lane.to_bits().to_be_bytes()])
}

pub fn lane_of(bytes: &[u8; 40]) -> Result<LaneKey> {
    let (site, rest) = bytes.split_at(16);
    let (stream, lane) = rest.split_at(16);
    let uuid = |bytes: &[u8]| Uuid::from_slice(bytes).map_err(Error::damaged);
    let bits = lane.try_into().map(u64::from_be_bytes).map_err(Error::damaged)?;
    let lane = Lane::from_bits(bits).ok_or_else(|| Error::damaged("a lane without a run"))?;
    Ok(LaneKey { site: SiteId(uuid(site)?), stream: StreamId(uuid(stream)?), lane })
}

pub fn id_bytes(id: &Uuid, place: Place) -> [u8; 24] {
    joined(&[id.as_bytes(), &place.0.to_be_bytes()])
}

pub fn place_in_id(bytes: &[u8; 24]) -> Place {
    Place(last_u64(bytes))
}

/// The hash under which a key's events are found; whoever finds them compares the key.
pub fn hash(key: &[u8]) -> u64 {
    last_u64(&gundb_core::store::key_hash(key))
}

pub fn keyed_bytes(group: u32, hash: u64, place: Place) -> [u8; 20] {
    joined(&[&group.to_be_bytes(), &hash.to_be_bytes(), &place.0.to_be_bytes()])
}

pub fn hash_in_keyed(bytes: &[u8; 20]) -> u64 {
    last_u64(&bytes[..12])
}

pub fn place_in_keyed(bytes: &[u8; 20]) -> Place {
    Place(last_u64(bytes))
}

fn last_u64(bytes: &[u8]) -> u64 {
    bytes.last_chunk().map_or(0, |last| u64::from_be_bytes(*last))
}

pub fn epoch_bytes(epoch: &Epoch) -> [u8; 30] {
    joined(&[epoch.site.0.as_bytes(), &run_bytes(epoch.run), &epoch.number.to_be_bytes()])
}

pub fn transaction_bytes(id: &TransactionId) -> [u8; 30] {
    joined(&[id.site.0.as_bytes(), &run_bytes(id.run), &id.xact.to_bits().to_be_bytes()])
}

pub fn numbered_bytes(site: SiteId, run: Run, number: u64) -> [u8; 30] {
    joined(&[site.0.as_bytes(), &run_bytes(run), &number.to_be_bytes()])
}

/// Ends with whose events whoever brought it may bring: 1 for anybody's.
pub fn letter_bytes(id: &LetterId) -> [u8; 39] {
    let accept = [u8::from(id.accept == Accept::Any)];
    joined(&[&numbered_bytes(id.site, id.run, id.number), &id.part.to_be_bytes(), &accept])
}

pub fn pending_bytes(greatest: Hlc, id: &TransactionId) -> [u8; 38] {
    joined(&[&greatest.to_bits().to_be_bytes(), &transaction_bytes(id)])
}
