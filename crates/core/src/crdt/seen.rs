//! Which ticks a value has seen: for each replica, ranges.
//!
//! What must always hold here: ranges ascend, do not touch and are not empty, and no replica is without one, so that one set has one form. A value that
//! was never split has one range a replica; a delta has what it speaks of.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::replica::{Replica, Tick};
use crate::bytes::{Ascending, DecodeError, DecodeProblem, Reader, put_varint};

/// A range of ticks, both ends in it.
type Range = (u64, u64);

/// A set of ticks. `covers` is O(log replicas + log ranges).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Seen {
    ranges: BTreeMap<Replica, Vec<Range>>,
}

impl Seen {
    /// Whether a tick is in it.
    pub fn covers(&self, tick: &Tick) -> bool {
        self.ranges.get(&tick.replica).is_some_and(|ranges| {
            let at = ranges.partition_point(|(_, end)| *end < tick.number);
            ranges.get(at).is_some_and(|(start, _)| *start <= tick.number)
        })
    }

    /// The greatest tick of a replica; 0 where there is none.
    pub fn last(&self, replica: Replica) -> u64 {
        let ranges = self.ranges.get(&replica);
        ranges.and_then(|ranges| ranges.last()).map_or(0, |(_, end)| *end)
    }

    /// The first replica of a range that is in it.
    pub(super) fn first_of(&self, family: RangeInclusive<Replica>) -> Option<Replica> {
        self.ranges.range(family).next().map(|(replica, _)| *replica)
    }

    /// Adds a tick.
    pub fn insert(&mut self, tick: Tick) {
        if tick.number > 0 {
            insert_range(self.ranges.entry(tick.replica).or_default(), (tick.number, tick.number));
        }
    }

    /// Adds all ticks of another.
    pub fn join(&mut self, other: &Seen) {
        for (replica, ranges) in &other.ranges {
            let own = self.ranges.entry(*replica).or_default();
            ranges.iter().for_each(|range| insert_range(own, *range));
        }
    }

    /// The replicas and their ranges, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Replica, &[Range])> {
        self.ranges.iter().map(|(replica, ranges)| (*replica, ranges.as_slice()))
    }

    /// A set of ranges in any order; None where one is empty or begins at 0.
    pub(super) fn of_ranges(ranges: impl IntoIterator<Item = (Replica, Range)>) -> Option<Seen> {
        let mut seen = Seen::default();
        for (replica, (start, end)) in ranges {
            if start == 0 || end < start {
                return None;
            }
            insert_range(seen.ranges.entry(replica).or_default(), (start, end));
        }
        Some(seen)
    }

    /// The replicas that are in it, and how many ranges.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.ranges.len(), self.ranges.values().map(Vec::len).sum())
    }

    /// The place of a replica among those that are in it.
    pub(super) fn places(&self) -> BTreeMap<Replica, u64> {
        self.ranges.keys().copied().zip(0..).collect()
    }

    pub(super) fn encode(&self, bytes: &mut Vec<u8>) {
        put_varint(bytes, self.ranges.len() as u64);
        for (replica, ranges) in &self.ranges {
            replica.encode(bytes);
            put_varint(bytes, ranges.len() as u64);
            // The least number at which a range can begin: a range that touched the one before would be one with it.
            let mut lowest = 1;
            for (start, end) in ranges {
                put_varint(bytes, start - lowest);
                put_varint(bytes, end - start);
                lowest = end.saturating_add(2);
            }
        }
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Seen, DecodeError> {
        let mut seen = Seen::default();
        let mut replicas = Ascending::new();
        for _ in 0..reader.count(Replica::BYTES + 3)? {
            let offset = reader.offset();
            let replica = replicas.take(Replica::decode(reader)?, offset)?;
            let offset = reader.offset();
            let count = reader.count(2)?;
            let out_of_range = Reader::error_at(offset, DecodeProblem::Integer);
            let mut ranges = Vec::with_capacity(count);
            let mut lowest = Some(1u64);
            for _ in 0..count {
                let (skip, more) = (reader.varint()?, reader.varint()?);
                let start = lowest.and_then(|lowest| lowest.checked_add(skip));
                let end = start.and_then(|start| start.checked_add(more));
                let (Some(start), Some(end)) = (start, end) else {
                    return Err(out_of_range);
                };
                ranges.push((start, end));
                lowest = end.checked_add(2);
            }
            if ranges.is_empty() {
                return Err(out_of_range);
            }
            seen.ranges.insert(replica, ranges);
        }
        Ok(seen)
    }
}

/// Adds a range to ascending ones that do not touch. O(log ranges) at the end, where acts are added.
fn insert_range(ranges: &mut Vec<Range>, (start, end): Range) {
    let from = ranges.partition_point(|(_, other_end)| other_end.saturating_add(1) < start);
    let to = ranges.partition_point(|(other_start, _)| *other_start <= end.saturating_add(1));
    let touched = ranges.get(from..to.max(from)).unwrap_or_default();
    let start = touched.first().map_or(start, |(first, _)| start.min(*first));
    let end = touched.last().map_or(end, |(_, last)| end.max(*last));
    ranges.splice(from..to.max(from), [(start, end)]);
}
