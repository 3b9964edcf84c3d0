//! CRDT values: delta-state replicated data types (Almeida, Shoker, Baquero, "Delta State Replicated Data Types", 2018) as plain values.
//!
//! What must always hold here: `merge` is commutative, associative and idempotent; a mutator only inflates, and merging the delta that it gives back into
//! the old value gives the new one; equal values have equal bytes and texts. A value says who did what by [`Replica`]s and [`Tick`]s of its own: it knows
//! neither streams nor lanes.
//!
//! | file | one noun |
//! |---|---|
//! | `replica` | who acts, and one act |
//! | `seen` | which acts a value has seen |
//! | `ticks` | the acts that live under one key |
//! | `causal` | entries that live until seen and dropped |
//! | `entry` | what such entries are known by and hold |
//! | `kinds` | `mv set rw_set flag dw_flag map`: all of them causal |
//! | `counter` | `gcounter`, `pncounter` |
//! | `bounded` | `bcounter` |
//! | `register` | `lww` |
//! | `grow` | `gset` |
//! | `text` | JSON in and out |
//! | `value` | any of them: bytes, text, merge, inspect |
//! | `merger` | many of them merged into one |

mod bounded;
mod causal;
mod counter;
mod entry;
mod grow;
mod kinds;
mod merger;
mod register;
mod replica;
mod seen;
mod text;
mod ticks;
mod value;

pub use bounded::Bcounter;
pub use counter::{Gcounter, Pncounter};
pub use grow::Gset;
pub use kinds::{DwFlag, Flag, Map, Mv, RwSet, Set};
pub use merger::Merger;
pub use register::Lww;
pub use replica::{Replica, ReplicaTextError, Tick};
pub use seen::Seen;
pub use text::{CrdtTextError, TextProblem};
pub use value::{Crdt, CrdtValue, Inspection, Kind, Mismatch, State, UnknownKind};

/// Why a mutator did nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MutationError {
    /// A counter, or the number of a replica's acts, would pass 2^64 - 1.
    #[error("the counter would pass 18446744073709551615")]
    Overflow,
    /// A bounded counter's replica has not the right to take so much.
    #[error("{wanted} is more than the {available} that this replica may take: another replica can transfer some")]
    Rights {
        /// What was to be taken or given away.
        wanted: u64,
        /// What may be.
        available: u64,
    },
    /// NUL stands in no SQL text.
    #[error("a text must not contain NUL")]
    Nul,
}
