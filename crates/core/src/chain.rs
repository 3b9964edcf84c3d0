//! The chain: a hash of a lane up to and including an event, so that two sites can prove that they mean the same history by the same dot.
//!
//! What must always hold here: every hashed text is prefix-free (fixed-width fields first, a length before each field that varies), begins with a domain
//! tag and a version, and never changes for a version that was released (`docs/format.md`, and golden files in `tests/golden`).
//! This is the hot path of an append: nothing here allocates. `examples/stamp_cost.rs` measures it.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use crate::hlc::Hlc;
use crate::id::{Lane, SiteId, StreamId};

/// The first two bytes of everything that this crate hashes: what it is, and the version of its layout.
///
/// BLAKE3's own key derivation would hash the context string first, each time; two bytes in front part the domains as well, since no layout is a prefix
/// of another's.
pub(crate) mod domain {
    pub const GENESIS: [u8; 2] = [0x01, 1];
    pub const CONTENT: [u8; 2] = [0x02, 1];
    pub const STEP: [u8; 2] = [0x03, 1];
    pub const CLOCK: [u8; 2] = [0x04, 1];
    /// A digest of lane heads.
    pub const DIGEST: [u8; 2] = [0x05, 1];
    /// The incarnation of a replica that acts on CRDT values.
    pub const REPLICA: [u8; 2] = [0x06, 1];
    /// A digest of a view's rows.
    pub const ROWS: [u8; 2] = [0x07, 1];
}

/// A hash of a lane up to and including one event. Text: 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Chain(pub [u8; 16]);

/// What a chain step takes of an event besides its content: what must survive when the content is erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'a> {
    /// The first stamp of the event's transaction.
    pub xact: Hlc,
    /// The event's own stamp.
    pub hlc: Hlc,
    /// The event's idempotency key.
    pub id: Uuid,
    /// The event's type.
    pub kind: &'a str,
    /// The number of the epoch, in the event's run, that its context refers to.
    pub epoch: u64,
}

impl Chain {
    /// What the first event of a lane chains to.
    pub fn genesis(site: SiteId, stream: StreamId, lane: Lane) -> Chain {
        let lane = lane.to_bits().to_be_bytes();
        Chain(half(&hash(&[&domain::GENESIS, site.0.as_bytes(), stream.0.as_bytes(), &lane])))
    }

    /// The chain with one more event.
    pub fn next(&self, header: &Header<'_>, content: &[u8; 32]) -> Chain {
        let (xact, hlc) = (header.xact.to_bits().to_be_bytes(), header.hlc.to_bits().to_be_bytes());
        let (epoch, kind) = (header.epoch.to_be_bytes(), header.kind.as_bytes());
        Chain(half(&hash(&[
            &domain::STEP,
            &self.0,
            &xact,
            &hlc,
            header.id.as_bytes(),
            &epoch,
            content,
            Length::of(kind).bytes(),
            kind,
        ])))
    }
}

/// The salted hash of what an event says: its key, data and meta, the latter two as canonical text.
///
/// The salt is stored and erased with the content, so that a content that can be guessed cannot be confirmed from the chain once it is gone.
/// A key of None differs from an empty one.
pub fn content_hash(salt: &[u8; 16], key: Option<&str>, data: &str, meta: &str) -> [u8; 32] {
    let (given, key) = (&[u8::from(key.is_some())], key.unwrap_or_default().as_bytes());
    let (data, meta) = (data.as_bytes(), meta.as_bytes());
    let lengths = (Length::of(key), Length::of(data), Length::of(meta));
    let (of_key, of_data, of_meta) = (lengths.0.bytes(), lengths.1.bytes(), lengths.2.bytes());
    hash(&[&domain::CONTENT, salt, given, of_key, key, of_data, data, of_meta, meta])
}

/// A text's length as LEB128. Short, since each 64 bytes that are hashed cost as much as the 64 before.
struct Length {
    bytes: [u8; 10],
    count: usize,
}

impl Length {
    fn of(field: &[u8]) -> Length {
        let mut length = Length { bytes: [0; 10], count: 0 };
        let mut rest = field.len() as u64;
        for byte in &mut length.bytes {
            let more = rest >= 0x80;
            *byte = rest as u8 & 0x7f | if more { 0x80 } else { 0 };
            rest >>= 7;
            length.count += 1;
            if !more {
                break;
            }
        }
        length
    }

    fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.count).unwrap_or_default()
    }
}

pub(crate) fn half(hash: &[u8; 32]) -> [u8; 16] {
    let mut half = [0; 16];
    half.iter_mut().zip(hash).for_each(|(to, from)| *to = *from);
    half
}

/// BLAKE3 of the parts one after the other. Hashing in one piece is twice as fast as feeding a hasher small fields, so short inputs are gathered on the
/// stack first; in two sizes, since clearing the larger costs as much as hashing a short input.
pub(crate) fn hash(parts: &[&[u8]]) -> [u8; 32] {
    match parts.iter().map(|part| part.len()).sum() {
        0..=256 => hash_gathered::<256>(parts),
        257..=1024 => hash_gathered::<1024>(parts),
        _ => hash_streamed(parts),
    }
}

/// The hash of parts that are together at most `N` bytes long.
fn hash_gathered<const N: usize>(parts: &[&[u8]]) -> [u8; 32] {
    let mut gathered = [0; N];
    let mut free = gathered.as_mut_slice();
    for part in parts {
        let Some((place, rest)) = free.split_at_mut_checked(part.len()) else {
            return hash_streamed(parts);
        };
        place.copy_from_slice(part);
        free = rest;
    }
    let unused = free.len();
    let used = gathered.get(..N - unused).unwrap_or_default();
    *blake3::hash(used).as_bytes()
}

fn hash_streamed(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    parts.iter().for_each(|part| {
        hasher.update(part);
    });
    *hasher.finalize().as_bytes()
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Chain({self})")
    }
}

/// A chain's text is 32 hexadecimal digits, and this was not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a chain is 32 hexadecimal digits")]
pub struct ChainTextError;

impl FromStr for Chain {
    type Err = ChainTextError;

    fn from_str(text: &str) -> Result<Chain, ChainTextError> {
        let well_formed = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let bits = if well_formed { u128::from_str_radix(text, 16).ok() } else { None };
        bits.map(|bits| Chain(bits.to_be_bytes())).ok_or(ChainTextError)
    }
}
