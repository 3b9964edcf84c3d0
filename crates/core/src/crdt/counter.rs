//! Counters: what each replica has counted. Entrywise maxima merge them, so a replica must never count from an old copy of itself.
//!
//! What must always hold here: no entry is zero, so that equal counts are equal values.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::replica::Replica;
use super::text::{Node, TextProblem, print_integer};
use super::{Kind, MutationError, State};
use crate::bytes::{Ascending, DecodeError, DecodeProblem, Reader, put_varint};
use crate::json::{Printer, TooLarge};

/// A counter that only grows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Gcounter {
    counts: BTreeMap<Replica, u64>,
}

/// A counter that grows and shrinks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pncounter {
    /// What each replica has added, and what it has taken.
    counts: BTreeMap<Replica, (u64, u64)>,
}

impl Gcounter {
    /// Counts. The delta is the replica's own entry.
    pub fn add(&mut self, amount: u64, replica: Replica) -> Result<Gcounter, MutationError> {
        let mut delta = Gcounter::default();
        if amount > 0 {
            let count = self.counts.entry(replica).or_default();
            let grown = count.checked_add(amount);
            // An entry that could not grow was not zero before, so nothing is left behind.
            *count = grown.ok_or(MutationError::Overflow)?;
            delta.counts.insert(replica, *count);
        }
        Ok(delta)
    }

    /// The sum of all counts.
    pub fn total(&self) -> i128 {
        self.counts.values().copied().map(i128::from).sum()
    }
}

impl Pncounter {
    /// Adds, or takes where the amount is negative. The delta is the replica's own entry.
    pub fn add(&mut self, amount: i64, replica: Replica) -> Result<Pncounter, MutationError> {
        let mut delta = Pncounter::default();
        if amount != 0 {
            let (added, taken) = self.counts.entry(replica).or_default();
            let count = if amount > 0 { &mut *added } else { &mut *taken };
            *count = count.checked_add(amount.unsigned_abs()).ok_or(MutationError::Overflow)?;
            delta.counts.insert(replica, (*added, *taken));
        }
        Ok(delta)
    }

    /// What was added less what was taken.
    pub fn total(&self) -> i128 {
        let counts = self.counts.values();
        counts.map(|(added, taken)| i128::from(*added) - i128::from(*taken)).sum()
    }
}

/// A sum that must fit one entry.
pub(super) fn sum(counts: impl Iterator<Item = u64>) -> Result<u64, MutationError> {
    let mut counts = counts;
    counts.try_fold(0u64, |sum, count| sum.checked_add(count)).ok_or(MutationError::Overflow)
}

impl State for Gcounter {
    const KIND: Kind = Kind::Gcounter;

    fn merge(&mut self, other: &Gcounter) {
        for (replica, count) in &other.counts {
            let own = self.counts.entry(*replica).or_default();
            *own = (*own).max(*count);
        }
    }

    fn reissue(&self, replica: Replica) -> Result<Gcounter, MutationError> {
        let total = sum(self.counts.values().copied())?;
        let counts = (total > 0).then_some((replica, total)).into_iter().collect();
        Ok(Gcounter { counts })
    }

    fn encode_body(&self, bytes: &mut Vec<u8>) {
        put_varint(bytes, self.counts.len() as u64);
        for (replica, count) in &self.counts {
            replica.encode(bytes);
            put_varint(bytes, *count);
        }
    }

    fn decode_body(reader: &mut Reader<'_>) -> Result<Gcounter, DecodeError> {
        let mut value = Gcounter::default();
        value.merge_body(reader)?;
        Ok(value)
    }

    fn merge_body(&mut self, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
        let mut order = Ascending::new();
        for _ in 0..reader.count(Replica::BYTES + 1)? {
            let offset = reader.offset();
            let replica = order.take(Replica::decode(reader)?, offset)?;
            let count = reader.positive()?;
            let own = self.counts.entry(replica).or_default();
            *own = (*own).max(count);
        }
        Ok(())
    }

    fn print_body(&self, printer: &mut Printer) -> Result<(), TooLarge> {
        printer.begin_object()?;
        for (replica, count) in &self.counts {
            printer.key(&replica.to_string())?;
            print_integer(printer, *count)?;
        }
        printer.end_object()
    }

    fn read_body(node: Node<'_>) -> Result<Gcounter, TextProblem> {
        let mut counts = BTreeMap::new();
        for (replica, count) in node.entries()? {
            let count = count.integer()?;
            if count == 0 || counts.insert(replica.parse()?, count).is_some() {
                return Err(TextProblem::Impossible);
            }
        }
        Ok(Gcounter { counts })
    }

    fn counts(&self) -> (usize, usize, usize) {
        (self.counts.len(), 0, self.counts.len())
    }

    fn first_of(&self, family: RangeInclusive<Replica>) -> Option<Replica> {
        self.counts.range(family).next().map(|(replica, _)| *replica)
    }
}

impl State for Pncounter {
    const KIND: Kind = Kind::Pncounter;

    fn merge(&mut self, other: &Pncounter) {
        for (replica, (added, taken)) in &other.counts {
            let own = self.counts.entry(*replica).or_default();
            *own = (own.0.max(*added), own.1.max(*taken));
        }
    }

    fn reissue(&self, replica: Replica) -> Result<Pncounter, MutationError> {
        let added = sum(self.counts.values().map(|(added, _)| *added))?;
        let taken = sum(self.counts.values().map(|(_, taken)| *taken))?;
        let counts = ((added, taken) != (0, 0)).then_some((replica, (added, taken)));
        Ok(Pncounter { counts: counts.into_iter().collect() })
    }

    fn encode_body(&self, bytes: &mut Vec<u8>) {
        put_varint(bytes, self.counts.len() as u64);
        for (replica, (added, taken)) in &self.counts {
            replica.encode(bytes);
            put_varint(bytes, *added);
            put_varint(bytes, *taken);
        }
    }

    fn decode_body(reader: &mut Reader<'_>) -> Result<Pncounter, DecodeError> {
        let mut value = Pncounter::default();
        value.merge_body(reader)?;
        Ok(value)
    }

    fn merge_body(&mut self, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
        let mut order = Ascending::new();
        for _ in 0..reader.count(Replica::BYTES + 2)? {
            let offset = reader.offset();
            let replica = order.take(Replica::decode(reader)?, offset)?;
            let offset = reader.offset();
            let (added, taken) = (reader.varint()?, reader.varint()?);
            if (added, taken) == (0, 0) {
                return Err(Reader::error_at(offset, DecodeProblem::Integer));
            }
            let own = self.counts.entry(replica).or_default();
            *own = (own.0.max(added), own.1.max(taken));
        }
        Ok(())
    }

    fn print_body(&self, printer: &mut Printer) -> Result<(), TooLarge> {
        printer.begin_object()?;
        for (replica, (added, taken)) in &self.counts {
            printer.key(&replica.to_string())?;
            printer.begin_array()?;
            print_integer(printer, *added)?;
            print_integer(printer, *taken)?;
            printer.end_array()?;
        }
        printer.end_object()
    }

    fn read_body(node: Node<'_>) -> Result<Pncounter, TextProblem> {
        let mut counts = BTreeMap::new();
        for (replica, pair) in node.entries()? {
            let count = match pair.items()?.collect::<Vec<_>>().as_slice() {
                [added, taken] => (added.integer()?, taken.integer()?),
                _ => {
                    return Err(TextProblem::Shape { expected: "a pair, [added, taken]" });
                }
            };
            if count == (0, 0) || counts.insert(replica.parse()?, count).is_some() {
                return Err(TextProblem::Impossible);
            }
        }
        Ok(Pncounter { counts })
    }

    fn counts(&self) -> (usize, usize, usize) {
        (self.counts.len(), 0, self.counts.len())
    }

    fn first_of(&self, family: RangeInclusive<Replica>) -> Option<Replica> {
        self.counts.range(family).next().map(|(replica, _)| *replica)
    }
}
