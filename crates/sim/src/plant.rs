//! Faults that are planted to see whether the checks catch them.

use std::str::FromStr;

/// A classic fault; never in a run that is to prove something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Plant {
    /// None.
    #[default]
    Nothing,
    /// A bundle is applied whatever its sender presumes is held.
    FromUnchecked,
    /// What must have come from others is not asked for.
    BesideUnchecked,
    /// A site is not sent what it wrote itself in an earlier run.
    OwnEventsSuppressed,
    /// Each part of a large transaction is applied when it comes.
    SplitApplied,
    /// The clock of a node is not moved past the stamps that it receives.
    ClockNotMoved,
    /// After a restore a node goes on in its run.
    RunContinued,
    /// What depends on something that was refused, or that waits, is taken all the same.
    DependantsTaken,
    /// The transactions of a page are put in the order of their first stamps.
    OrderOfFirstStamps,
}

impl Plant {
    /// All of them, with the names by which they are chosen.
    pub const ALL: [(&'static str, Plant); 8] = [
        ("from-unchecked", Plant::FromUnchecked),
        ("beside-unchecked", Plant::BesideUnchecked),
        ("own-events-suppressed", Plant::OwnEventsSuppressed),
        ("split-applied", Plant::SplitApplied),
        ("clock-not-moved", Plant::ClockNotMoved),
        ("run-continued", Plant::RunContinued),
        ("dependants-taken", Plant::DependantsTaken),
        ("order-of-first-stamps", Plant::OrderOfFirstStamps),
    ];
}

impl FromStr for Plant {
    type Err = String;

    fn from_str(name: &str) -> Result<Plant, String> {
        let found = Plant::ALL.iter().find(|(known, _)| *known == name).map(|(_, plant)| *plant);
        found.ok_or_else(|| {
            let names: Vec<&str> = Plant::ALL.iter().map(|(name, _)| *name).collect();
            format!("no fault is called {name:?}; there are {}", names.join(", "))
        })
    }
}
