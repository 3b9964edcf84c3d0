//! A counter that never falls below zero, by escrow (Balegas et al., "Extending Eventually Consistent Cloud Databases for Enforcing Numeric Invariants",
//! 2015): who adds gets the right to take as much, and can give rights away.
//!
//! What must always hold here: a replica takes and gives no more than its rights, as far as it can see them, and only it lowers them; so the sum of all
//! rights, which is the value, is never negative once all is merged.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::counter::sum;
use super::replica::Replica;
use super::text::{Node, TextProblem, print_integer};
use super::{Kind, MutationError, State};
use crate::bytes::{Ascending, DecodeError, Reader, put_varint};
use crate::json::{Printer, TooLarge};

/// A counter with a lower bound of zero.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bcounter {
    /// From whom to whom rights went, in all; from oneself to oneself: what one has added.
    moved: BTreeMap<(Replica, Replica), u64>,
    /// What each replica has taken.
    used: BTreeMap<Replica, u64>,
}

impl Bcounter {
    /// Adds, and gets the right to take as much.
    pub fn add(&mut self, amount: u64, replica: Replica) -> Result<Bcounter, MutationError> {
        self.shift(amount, replica, replica)
    }

    /// Takes, if the replica has the right to.
    pub fn take(&mut self, amount: u64, replica: Replica) -> Result<Bcounter, MutationError> {
        self.require(amount, replica)?;
        let mut delta = Bcounter::default();
        if amount > 0 {
            let used = self.used.get(&replica).copied().unwrap_or_default();
            let used = used.checked_add(amount).ok_or(MutationError::Overflow)?;
            self.used.insert(replica, used);
            delta.used.insert(replica, used);
        }
        Ok(delta)
    }

    /// Gives rights to another replica, if there are so many.
    pub fn transfer(&mut self, amount: u64, to: Replica, replica: Replica) -> Result<Bcounter, MutationError> {
        self.require(amount, replica)?;
        if to == replica {
            return Ok(Bcounter::default());
        }
        self.shift(amount, replica, to)
    }

    /// How much a replica may take.
    pub fn rights(&self, replica: Replica) -> i128 {
        let mut rights = -i128::from(self.used.get(&replica).copied().unwrap_or_default());
        for ((from, to), amount) in &self.moved {
            if *to == replica {
                rights += i128::from(*amount);
            }
            if *from == replica && *to != replica {
                rights -= i128::from(*amount);
            }
        }
        rights
    }

    /// What was added less what was taken.
    pub fn total(&self) -> i128 {
        let own = self.moved.iter().filter(|((from, to), _)| from == to);
        let added: i128 = own.map(|(_, amount)| i128::from(*amount)).sum();
        added - self.used.values().copied().map(i128::from).sum::<i128>()
    }

    fn require(&self, wanted: u64, replica: Replica) -> Result<(), MutationError> {
        let rights = self.rights(replica);
        if i128::from(wanted) > rights.max(0) {
            let available = u64::try_from(rights.max(0)).unwrap_or(u64::MAX);
            return Err(MutationError::Rights { wanted, available });
        }
        Ok(())
    }

    fn shift(&mut self, amount: u64, from: Replica, to: Replica) -> Result<Bcounter, MutationError> {
        let mut delta = Bcounter::default();
        if amount > 0 {
            let moved = self.moved.get(&(from, to)).copied().unwrap_or_default();
            let moved = moved.checked_add(amount).ok_or(MutationError::Overflow)?;
            self.moved.insert((from, to), moved);
            delta.moved.insert((from, to), moved);
        }
        Ok(delta)
    }
}

fn merge_maxima<K: Ord + Copy>(own: &mut BTreeMap<K, u64>, other: &BTreeMap<K, u64>) {
    for (key, amount) in other {
        let own = own.entry(*key).or_default();
        *own = (*own).max(*amount);
    }
}

impl State for Bcounter {
    const KIND: Kind = Kind::Bcounter;

    fn merge(&mut self, other: &Bcounter) {
        merge_maxima(&mut self.moved, &other.moved);
        merge_maxima(&mut self.used, &other.used);
    }

    fn reissue(&self, replica: Replica) -> Result<Bcounter, MutationError> {
        let own = self.moved.iter().filter(|((from, to), _)| from == to);
        let added = sum(own.map(|(_, amount)| *amount))?;
        let used = sum(self.used.values().copied())?;
        let (added, used) = ((added > 0).then_some(added), (used > 0).then_some(used));
        Ok(Bcounter {
            moved: added.map(|added| ((replica, replica), added)).into_iter().collect(),
            used: used.map(|used| (replica, used)).into_iter().collect(),
        })
    }

    fn encode_body(&self, bytes: &mut Vec<u8>) {
        put_varint(bytes, self.moved.len() as u64);
        for ((from, to), amount) in &self.moved {
            from.encode(bytes);
            to.encode(bytes);
            put_varint(bytes, *amount);
        }
        put_varint(bytes, self.used.len() as u64);
        for (replica, amount) in &self.used {
            replica.encode(bytes);
            put_varint(bytes, *amount);
        }
    }

    fn decode_body(reader: &mut Reader<'_>) -> Result<Bcounter, DecodeError> {
        let mut value = Bcounter::default();
        let mut order = Ascending::new();
        for _ in 0..reader.count(2 * Replica::BYTES + 1)? {
            let offset = reader.offset();
            let pair = order.take((Replica::decode(reader)?, Replica::decode(reader)?), offset)?;
            value.moved.insert(pair, reader.positive()?);
        }
        let mut order = Ascending::new();
        for _ in 0..reader.count(Replica::BYTES + 1)? {
            let offset = reader.offset();
            let replica = order.take(Replica::decode(reader)?, offset)?;
            value.used.insert(replica, reader.positive()?);
        }
        Ok(value)
    }

    fn print_body(&self, printer: &mut Printer) -> Result<(), TooLarge> {
        printer.begin_object()?;
        printer.key("used")?;
        printer.begin_object()?;
        for (replica, amount) in &self.used {
            printer.key(&replica.to_string())?;
            print_integer(printer, *amount)?;
        }
        printer.end_object()?;
        printer.key("moved")?;
        printer.begin_array()?;
        for ((from, to), amount) in &self.moved {
            printer.begin_array()?;
            printer.string(&from.to_string())?;
            printer.string(&to.to_string())?;
            print_integer(printer, *amount)?;
            printer.end_array()?;
        }
        printer.end_array()?;
        printer.end_object()
    }

    fn read_body(node: Node<'_>) -> Result<Bcounter, TextProblem> {
        let [used, moved] = node.fields(["used", "moved"])?;
        let mut value = Bcounter::default();
        for (replica, amount) in used.entries()? {
            let amount = amount.integer()?;
            if amount == 0 || value.used.insert(replica.parse()?, amount).is_some() {
                return Err(TextProblem::Impossible);
            }
        }
        for row in moved.items()? {
            let (pair, amount) = match row.items()?.collect::<Vec<_>>().as_slice() {
                [from, to, amount] => ((from.string()?.parse()?, to.string()?.parse()?), amount.integer()?),
                _ => {
                    return Err(TextProblem::Shape { expected: "a transfer, [from, to, amount]" });
                }
            };
            if amount == 0 || value.moved.insert(pair, amount).is_some() {
                return Err(TextProblem::Impossible);
            }
        }
        Ok(value)
    }

    fn counts(&self) -> (usize, usize, usize) {
        let replicas: std::collections::BTreeSet<Replica> =
            self.moved.keys().flat_map(|(from, to)| [*from, *to]).chain(self.used.keys().copied()).collect();
        (replicas.len(), 0, self.moved.len() + self.used.len())
    }

    fn first_of(&self, family: RangeInclusive<Replica>) -> Option<Replica> {
        let named = self.moved.keys().flat_map(|(from, to)| [from, to]).chain(self.used.keys());
        named.filter(|replica| family.contains(replica)).min().copied()
    }
}
