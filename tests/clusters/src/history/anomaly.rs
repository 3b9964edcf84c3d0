//! What a history shows that no causally consistent database can have told.

use std::fmt;

/// Which promise is broken. The names in brackets are those of the literature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A value that nobody wrote (ThinAirRead).
    ThinAirRead,
    /// A value of a transaction that was rolled back (G1a).
    RolledBackRead,
    /// A value that its own transaction overwrote (G1b).
    IntermediateRead,
    /// One write, shown twice.
    DoubleRead,
    /// A transaction does not read what it wrote itself.
    OwnWriteLost,
    /// A transaction reads a key twice, and otherwise the second time (P2).
    NonRepeatableRead,
    /// An effect among its own causes (CyclicCO, G1c).
    CyclicCausality,
    /// A session does not see what it wrote (WriteCOInitRead, WriteCORead).
    ReadYourWrites,
    /// A session does not see what it has seen.
    MonotonicReads,
    /// A later write of a session is seen without an earlier one.
    MonotonicWrites,
    /// A write is seen without what its session had read before.
    WritesFollowReads,
    /// A transaction is seen in part (fractured read, G-single).
    FracturedRead,
    /// An effect is seen without its cause, further away.
    CausalityViolation,
    /// No order of the writes explains what was read (CyclicCF).
    Divergence,
}

/// An anomaly, and how it comes about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anomaly {
    pub kind: Kind,
    pub explanation: String,
}

impl Anomaly {
    pub(super) fn new(kind: Kind, explanation: impl Into<String>) -> Anomaly {
        Anomaly { kind, explanation: explanation.into() }
    }
}

impl fmt::Display for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.explanation)
    }
}
