//! Folds: how a view's row comes from the events of its key.
//!
//! What must always hold here: a row is a function of the key's events, their contexts and the total order, and of nothing else; so it is the same at every
//! site that holds the same events, in whatever order they came. `specification` is that function, slow and obvious; `row` keeps a state that takes events
//! one by one or in batches and says when it cannot; both agree (`tests/folds.rs`).
//!
//! | file | one noun |
//! |---|---|
//! | `mark` | where an event stands, and what was seen |
//! | `event` | what an event does to each column |
//! | `specification` | the definition |
//! | `plain` | columns that need no contexts: `sum count min max avg lww fww merge` |
//! | `causal` | columns that do: `mv set rw_set flag dw_flag map` |
//! | `conflict` | what a `lww` column's winner won over, unseen |
//! | `revert` | which events others have taken out |
//! | `row` | the state of a row: its life, its columns, its bytes |
//! | `reduction` | the state of a row that a reducer makes; it stands apart from all of the above but marks |
//!
//! `docs/folds.md` is the table for people.

mod causal;
mod conflict;
mod event;
mod mark;
mod plain;
mod reduction;
mod revert;
mod row;
pub mod specification;

use std::str::FromStr;

pub use conflict::{Conflict, conflicts};
pub use event::{Appended, Effect, FoldEvent, FoldValue, Operation, group_by_id};
pub use mark::{Causality, Contexts, Mark};
pub use reduction::{Checkpoint, Placed, REDUCED_BYTES_MAX, Reduce, Reduction, Refused, STEP};
pub use revert::{REVERT_NAMESPACE, REVERTED, is_reverted, revert_id, reverts_of};
pub use row::{Outcome, Refold, RefoldReason, RowState, Shape};

use crate::datum::{did_you_mean, excerpt};
use crate::dictionary::DICTIONARY;
use crate::suggest::similar;

/// How one column combines events; its number stands in the bytes of a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[allow(missing_docs, reason = "the dictionary says what each means")]
pub enum Fold {
    Sum = 1,
    Count = 2,
    Min = 3,
    Max = 4,
    Avg = 5,
    Lww = 6,
    Fww = 7,
    Mv = 8,
    Set = 9,
    RwSet = 10,
    Flag = 11,
    DwFlag = 12,
    Map = 13,
    Merge = 14,
}

/// Not the name of a fold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no fold is called {name:?}{}", did_you_mean(.suggestion))]
pub struct UnknownFold {
    /// The name.
    pub name: String,
    /// One that it resembles.
    pub suggestion: Option<&'static str>,
}

/// An event that a fold cannot take, or a result that its column cannot hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FoldError {
    /// An operation that is not one of the column's fold: the caller's mistake.
    #[error("column {column} cannot take this operation")]
    Operation {
        /// The column, counted from 0.
        column: usize,
    },
    /// The event says something about fewer or more columns than there are.
    #[error("the event speaks of {found} columns, and the row has {expected}")]
    Columns {
        /// How many the row has.
        expected: usize,
        /// How many the event speaks of.
        found: usize,
    },
    /// Values of different kinds.
    #[error("column {column}: {mismatch}")]
    Merge {
        /// The column, counted from 0.
        column: usize,
        /// What was to be merged.
        mismatch: crate::crdt::Mismatch,
    },
    /// A result that the column's type cannot hold.
    #[error("column {column}: {value} is not a bigint, which the column is")]
    Range {
        /// The column, counted from 0.
        column: usize,
        /// The result.
        value: String,
    },
    /// A sum that `numeric` cannot hold.
    #[error("column {column}: {overflow}")]
    Overflow {
        /// The column, counted from 0.
        column: usize,
        /// The limits.
        overflow: crate::decimal::DecimalOverflow,
    },
}

impl Fold {
    /// All folds.
    pub fn all() -> impl Iterator<Item = Fold> {
        DICTIONARY.iter().filter_map(|entry| entry.fold)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        let entry = DICTIONARY.iter().find(|entry| entry.fold == Some(self));
        entry.map_or("", |entry| entry.name)
    }

    /// Whether it looks at contexts. Where it does not, events merge in any order, and set-based SQL does the same.
    pub fn is_causal(self) -> bool {
        use Fold::{DwFlag, Flag, Map, Mv, RwSet, Set};
        matches!(self, Mv | Set | RwSet | Flag | DwFlag | Map)
    }
}

impl FromStr for Fold {
    type Err = UnknownFold;

    fn from_str(name: &str) -> Result<Fold, UnknownFold> {
        let folds = || DICTIONARY.iter().filter_map(|entry| Some((entry.name, entry.fold?)));
        let found = folds().find(|(candidate, _)| *candidate == name);
        found.map(|(_, fold)| fold).ok_or_else(|| UnknownFold {
            name: excerpt(name),
            suggestion: similar(name, folds().map(|(name, _)| name)),
        })
    }
}
