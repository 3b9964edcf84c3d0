//! The one unit of exchange between sites, whatever carries it: whole transactions in causal order, with what they refer to.
//!
//! What must always hold here: a bundle says what its receiver must hold before it; within it a cause stands before its effects; a transaction that is too
//! large for one bundle comes in parts, which count once all have come. Sizes and depths are bounded before anything is allocated.
//!
//! | file | one noun |
//! |---|---|
//! | `frame.rs` | what stands around a message: kind, length, checksum |
//! | `limits.rs` | how much a message may hold |
//! | `scan.rs` | counting what a message holds before it is read |
//! | `proto.rs` | what the build makes of `proto/gundb.proto` |
//! | `encode.rs`, `decode.rs` | bundles as bytes |
//! | `message.rs` | hellos and receipts as bytes |
//! | `ways.rs` | what is known of ways as bytes |
//! | `comparison.rs` | what two sites that compare ask and answer, as bytes |
//! | `fields.rs` | fields of messages as typed values |
//! | `error.rs` | why bytes are not a message |
//! | `summary.rs` | what a message says, to read |

mod comparison;
mod decode;
mod encode;
mod error;
mod fields;
mod frame;
mod limits;
mod message;
mod proto;
mod scan;
mod summary;
#[cfg(test)]
mod tests;
mod ways;

use crate::clock::Clock;
use crate::context::Epoch;
use crate::event::Transaction;
use crate::id::{Run, SiteId};

pub use comparison::{decode_answer, decode_question, encode_answer, encode_question};
pub use decode::decode_bundle;
pub use encode::encode_bundle;
pub use error::WireError;
pub use frame::{Frame, Kind, VERSION};
pub use limits::WireLimits;
pub use message::{decode_hello, decode_receipt, encode_hello, encode_receipt};
pub use summary::{Summary, inspect};
pub use ways::{decode_links, encode_links};

/// The meta that most events have, and that is not sent.
const META_DEFAULT: &str = "{}";

/// What travels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// Who sends it.
    pub site: SiteId,
    /// In which of its runs.
    pub run: Run,
    /// Counted by the sender: in a session from 1, of couriers within its run.
    pub number: u64,
    /// What the receiver must hold before.
    pub from: From,
    /// The epochs that its events refer to, each before what is based on it.
    pub epochs: Vec<EpochPart>,
    /// Its transactions, in causal order. In a session one without any asks what the receiver holds.
    pub transactions: Vec<Transaction>,
    /// Set where it holds a part of one large transaction, and nothing else.
    pub part: Option<Part>,
}

/// What the receiver must hold before it takes a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum From {
    /// All that this clock covers: a bundle that may be lost, or come in any order.
    Clock(Clock),
    /// In a session.
    Session {
        /// The digest of what the receiver's hello said that it holds, joined with what has been sent since.
        digest: [u8; 16],
        /// What it must hold of lanes that come to it from others, beyond what it said that it holds.
        beside: Clock,
    },
}

/// A part of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Its place among the parts, from 0.
    pub index: u64,
    /// Whether it is the last one.
    pub is_last: bool,
}

/// An epoch, whole or as what it adds to an earlier one of its run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EpochPart {
    /// Which one.
    pub epoch: Epoch,
    /// The number of the epoch of the same run that it is told against: shipped before it, in this bundle or in this session.
    pub base: Option<u64>,
    /// Its clock, or what that covers beyond the base's.
    pub clock: Clock,
}
