//! The algebra of gundb, without a database: identities, clocks, contexts, chains, order, and their encodings.
//!
//! Nothing here reads, writes, waits, asks the time or draws a random number; the same input gives the same output at every site. Every byte that is
//! stored or sent is described in `docs/format.md`.
//!
//! | module | one noun |
//! |---|---|
//! | [`apply`] | what becomes of transactions that were written elsewhere |
//! | [`id`] | site, stream, run, lane, seq, dot |
//! | [`hlc`] | hybrid logical clock |
//! | [`chain`] | the hash of a lane up to an event |
//! | [`clock`] | vector clock |
//! | [`context`] | what an event's author had seen; epochs |
//! | [`event`] | event, transaction, total order |
//! | [`bundle`] | what travels between sites |
//! | [`sync`] | what two sites say to each other |
//! | [`compare`] | whether two sites hold the same, and where they do not |
//! | [`order`] | sorting events by their contexts |
//! | [`page`] | pages of whole transactions, merged from lanes |
//! | [`store`] | what a session or a courier needs of a store, and the driver of both |
//! | [`stream_name`] | the name of a stream |
//! | [`suggest`] | "Did you mean …?" |
//! | [`mod@digest`] | one hash of what a site holds, or of a view's rows |
//! | [`json`] | canonical text: what `jsonb` prints |
//! | [`schema`] | JSON Schema of an event's data |
//! | [`decimal`] | exact decimals that can be added |
//! | [`datum`] | one value of a view's column, and the cast to it |
//! | [`crdt`] | delta-state values |
//! | [`fold`] | a row from the events of its key |
//! | [`view`] | the definition of a view, and what an event does to it |
//! | [`dictionary`] | the names of folds and values, in one table |
//!
//! A page of API each: `docs/api-core.md`.
#![forbid(unsafe_code)]
#![warn(missing_docs)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

pub mod apply;
pub mod bundle;
mod bytes;
pub mod chain;
pub mod clock;
pub mod compare;
pub mod context;
pub mod crdt;
pub mod datum;
pub mod decimal;
pub mod dictionary;
pub mod digest;
pub mod event;
pub mod fold;
pub mod hlc;
pub mod id;
pub mod json;
pub mod order;
pub mod page;
pub mod schema;
pub mod store;
pub mod stream_name;
pub mod suggest;
pub mod sync;
pub mod view;

pub use bytes::{DecodeError, DecodeProblem};
pub use chain::{Chain, ChainTextError, Header, content_hash};
pub use clock::{Clock, ClockDecodeError, ClockProblem, ClockTextError};
pub use context::{Epoch, EpochRecord, Seen, concurrent, happened_before};
pub use datum::{CastError, Datum, DatumType};
pub use decimal::{Decimal, DecimalOverflow};
pub use digest::{RowsDigest, digest};
pub use event::{ChainMismatch, Event, Transaction, TransactionId, verify_chain};
pub use hlc::{Hlc, HlcTextError};
pub use id::{
    Dot, DotDecodeError, DotTextError, Lane, LaneTextError, Run, RunTextError, SEQ_MAX, STREAM_NAMESPACE, Seq, SiteId,
    StreamId, UuidTextError,
};
pub use json::{Json, JsonError, JsonProblem, Limits, Printer, TooLarge, canonical_text};
pub use order::{Cycle, causal_sort};
pub use page::{LaneIndex, LaneKey, Merge, Placed, Row, Segment, Step, SupplyError};
pub use schema::{CheckError, Schema, SchemaError};
pub use stream_name::{StreamName, StreamNameError};
pub use suggest::similar;

/// The examples of `docs/api-core.md` run as tests.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/api-core.md")]
struct ApiPage;
