//! Faults that are planted to see whether the checks catch them.
//!
//! What must always hold here: a fault is in what the simulator makes up around core, never in core: no product can reach it.

use std::str::FromStr;

macro_rules! plants {
    ($($(#[doc = $doc:literal])* $plant:ident = $name:literal at $seed:literal,)*) => {
        /// A classic fault; never in a run that is to prove something.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub enum Plant {
            /// None.
            #[default]
            Nothing,
            $($(#[doc = $doc])* $plant,)*
        }

        impl Plant {
            /// All of them, with the names by which they are chosen, and the first seed that catches each, as scenarios are drawn now.
            pub const ALL: &'static [(&'static str, Plant, u64)] = &[$(($name, Plant::$plant, $seed),)*];
        }
    };
}

plants! {
    /// Transactions that are open beside each other write in one lane.
    LaneShared = "commit-order-gap" at 3,
    /// The head of a lane is read through the snapshot of a transaction at REPEATABLE READ.
    StaleHead = "stale-head" at 3,
    /// What a savepoint undoes is not undone in the head of its lane.
    HeadKeptAfterSavepoint = "head-kept-after-savepoint" at 6,
    /// An append of an id that is held, which ON CONFLICT leaves out, takes a seq.
    DuplicateTakesSeq = "duplicate-takes-seq" at 1,
    /// An event names an epoch that is drawn and not committed.
    EpochBeforeCommit = "epoch-before-commit" at 1,
    /// An epoch is drawn from one before the last, as if they had been committed in another order.
    EpochsOutOfOrder = "epochs-out-of-order" at 1,
    /// What was applied and the clock that covers it are committed apart, and a crash comes between.
    ClockApart = "clock-apart" at 10,
    /// After a restore a node goes on in its run.
    RunContinued = "run-continued" at 4,
    /// Of two histories of a lane the second is taken as a continuation of the first.
    ForkMixed = "fork-mixed" at 1,
    /// Each part of a large transaction is applied when it comes.
    SplitApplied = "split-applied" at 8,
    /// The clock of a node is not moved past the stamps that it receives.
    ClockNotMoved = "clock-not-moved" at 76,
    /// What depends on something that was refused, or that waits, is taken all the same.
    DependantsTaken = "dependants-taken" at 38,
    /// A delivery of which something is refused is rolled back as a whole.
    RefusedBlocks = "refused-blocks" at 1,
    /// A bundle is applied whatever its sender presumes is held.
    FromUnchecked = "from-unchecked" at 3,
    /// What must have come from others is not asked for.
    BesideUnchecked = "beside-unchecked" at 3,
    /// Who lacks an event's causes passes it on, and says nothing of them.
    ForwardedWithoutCause = "forwarded-without-cause" at 2,
    /// The transactions of a page are put in the order of their first stamps.
    OrderOfFirstStamps = "order-of-first-stamps" at 103,
    /// A site is not sent what it wrote itself in an earlier run.
    OwnEventsSuppressed = "own-events-suppressed" at 4,
    /// What somebody said that he holds is believed after his disk was put back.
    OldWordBelieved = "old-word-believed" at 31,
    /// Streams that a node does not take are waited for.
    UntakenAwaited = "untaken-awaited" at 3,
    /// What others wrote is sent again and again, also to who brought it.
    Echo = "echo" at 1,
    /// Of a site's earlier runs an author has seen what bears a smaller stamp.
    ContextByStamp = "context-by-stamp" at 21,
    /// An add that a remove has not seen is taken out by it.
    RemoveKillsUnseenAdd = "remove-kills-unseen-add" at 1,
    /// Removes of what is not in a remove-wins set leave nothing.
    RemovesForgotten = "removes-forgotten" at 1,
    /// Sums are made of floats.
    FloatSum = "float-sum" at 1,
    /// What comes after something that has seen it is folded as if it had not.
    LateNotRefolded = "late-not-refolded" at 7,
    /// The same, of what a site's own transaction held open.
    OpenNotRefolded = "open-not-refolded" at 10,
    /// A delete that has seen a part of a row's events leaves it as it is.
    DeleteNotRefolded = "delete-not-refolded" at 1,
    /// A revert changes nothing in what is folded already.
    RevertNotRefolded = "revert-not-refolded" at 1,
    /// An id that comes again is another event.
    SameIdCountedTwice = "same-id-counted-twice" at 1,
    /// Of an event's dots only the first is known: a remove that has seen another one has not seen the event.
    OtherDotsForgotten = "other-dots-forgotten" at 1,
}

impl FromStr for Plant {
    type Err = String;

    fn from_str(name: &str) -> Result<Plant, String> {
        let found = Plant::ALL.iter().find(|(known, ..)| *known == name).map(|(_, plant, _)| *plant);
        found.ok_or_else(|| {
            let names: Vec<&str> = Plant::ALL.iter().map(|(name, ..)| *name).collect();
            format!("no fault is called {name:?}; there are {}", names.join(", "))
        })
    }
}
