//! Context: what an event's author had seen when it was written.
//!
//! Of its own run an author has seen every event with a smaller stamp: a running site counts as one process whose operations are ordered by their stamps.
//! Of other sites, and of earlier runs of its own, it has seen what the clock of the event's epoch covers.
//!
//! What must always hold here: nothing is in its own context, and of two events at most one is in the other's (for epochs that a site wrote). The relation
//! is not transitive across sites while transactions stay open, so no fold may assume that it is.

use crate::clock::Clock;
use crate::hlc::Hlc;
use crate::id::{Dot, Run, SiteId};

/// A numbered state, within a run, of what a site had applied from others and from its own earlier runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch {
    /// The site whose state it is.
    pub site: SiteId,
    /// The run that it belongs to.
    pub run: Run,
    /// Its number in the run, from 0.
    pub number: u64,
}

/// An epoch and the clock that it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EpochRecord {
    /// Which one.
    pub epoch: Epoch,
    /// What had been applied.
    pub clock: Clock,
}

/// An event as contexts see it.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// Its identity.
    pub dot: Dot,
    /// Its stamp.
    pub hlc: Hlc,
    /// The clock of the epoch that it refers to.
    pub epoch_clock: &'a Clock,
}

/// Whether event `a` is in the context of event `b`.
pub fn happened_before(a_dot: &Dot, a_hlc: Hlc, b_site: SiteId, b_run: Run, b_hlc: Hlc, b_epoch_clock: &Clock) -> bool {
    let same_run = a_dot.site == b_site && a_dot.lane.run() == b_run;
    if same_run { a_hlc < b_hlc } else { b_epoch_clock.covers(a_dot) }
}

/// Whether two different events were written without either author having seen the other's.
pub fn concurrent(a: &Seen<'_>, b: &Seen<'_>) -> bool {
    a.dot != b.dot && !a.is_before(b) && !b.is_before(a)
}

impl Seen<'_> {
    /// Whether this event is in the context of the other.
    pub fn is_before(&self, other: &Seen<'_>) -> bool {
        happened_before(&self.dot, self.hlc, other.dot.site, other.dot.lane.run(), other.hlc, other.epoch_clock)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Lane, StreamId};
    use uuid::Uuid;

    fn dot(site: u128, run: u64, seq: u64) -> Dot {
        let lane = Lane::new(Run::new(run).unwrap(), 0);
        Dot::new(SiteId(Uuid::from_u128(site)), StreamId::of_name("s"), lane, seq).unwrap()
    }

    fn seen<'a>(dot: Dot, millis: u64, epoch_clock: &'a Clock) -> Seen<'a> {
        Seen { dot, hlc: Hlc::new(millis, 0).unwrap(), epoch_clock }
    }

    #[test]
    fn in_one_run_the_stamps_decide_even_against_the_clock() {
        let clock: Clock = [dot(1, 1, 9)].into_iter().collect();
        let (early, late) = (seen(dot(1, 1, 1), 10, &clock), seen(dot(1, 1, 2), 11, &clock));
        assert!(early.is_before(&late) && !late.is_before(&early) && !early.is_before(&early));
    }

    #[test]
    fn of_other_sites_and_other_runs_the_epoch_decides_and_stamps_say_nothing() {
        let (nothing, clock) = (Clock::new(), [dot(1, 1, 1)].into_iter().collect());
        let theirs = seen(dot(1, 1, 1), 10, &nothing);
        for reader in [dot(2, 5, 1), dot(1, 2, 1)] {
            assert!(theirs.is_before(&seen(reader, 5, &clock)));
            assert!(!theirs.is_before(&seen(reader, 50, &nothing)));
            assert!(concurrent(&theirs, &seen(reader, 50, &nothing)));
            assert!(!concurrent(&theirs, &seen(reader, 5, &clock)));
        }
        assert!(!concurrent(&theirs, &theirs));
    }
}
