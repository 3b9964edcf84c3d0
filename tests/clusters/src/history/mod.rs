//! Histories recorded from the outside, and whether a causally consistent database can have told them.
//!
//! - [`notation`]: histories as text, for fixtures and explanations;
//! - [`index`]: who wrote what, and what can be said of a transaction by itself;
//! - [`causality`]: what each transaction must know of;
//! - [`check`]: whether it does, and whether one order of all writes explains what was read;
//! - [`convergence`]: that order;
//! - [`anomaly`]: what is found, explained;
//! - [`model`]: sites in memory, which tell histories that are sound, or not.
//!
//! The checker is the one of Bouajjani, Enea, Guerraoui and Hamza, "On verifying causal consistency" (POPL 2017), for
//! causal convergence, over transactions as Biswas and Enea have them in "On the complexity of checking transactional
//! consistency" (OOPSLA 2019). What it costs: transactions × sessions, and the reads.
//!
//! What must always hold here: each value is written to its key once, so that a read tells whose write it saw; what is
//! recorded as committed was acknowledged; a transaction reads one snapshot. Nothing of what the database says about its
//! own order (stamps, clocks, contexts) is believed, or even recorded.

pub mod anomaly;
mod causality;
mod check;
mod convergence;
mod index;
pub mod model;
mod notation;

pub use anomaly::{Anomaly, Kind};
pub use check::{Checked, check};

/// What a transaction did, in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    Write {
        key: String,
        value: u64,
    },
    /// The value that counts, or that there is none.
    Read {
        key: String,
        value: Option<u64>,
    },
    /// All that was ever written to the key, in the order that counts.
    List {
        key: String,
        values: Vec<u64>,
    },
}

/// How a transaction ended, as far as its session was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Committed,
    RolledBack,
    /// The connection was lost: it counts if anybody saw it.
    Unanswered,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    pub outcome: Outcome,
    pub operations: Vec<Operation>,
}

/// One who acts after another: at one site, or at several if it takes along what it knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Session {
    pub name: String,
    pub transactions: Vec<Transaction>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    pub sessions: Vec<Session>,
}

/// What the order of all writes puts in order as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arbitration {
    /// Transactions, as the papers have it: of two transactions that write the same keys one wins all of them.
    Transactions,
    /// Writes, as gundb's total order has it: of two transactions that know nothing of each other and write the same keys,
    /// one may win one key and the other another. What a reader must know of is whole transactions all the same.
    Writes,
}

impl History {
    /// Transactions of all sessions.
    pub fn len(&self) -> usize {
        self.sessions.iter().map(|session| session.transactions.len()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
