//! The kinds of values that are causal: what each may do, and what it is worth.
//!
//! What must always hold here: each is [`Causal`] under a name; an act that adds says who acts, one that only drops need not.

use std::ops::RangeInclusive;

use super::causal::Causal;
use super::entry::{JsonText, Put};
use super::replica::Replica;
use super::text::{Node, TextProblem};
use super::ticks::Ticks;
use super::{Kind, MutationError, State};
use crate::bytes::{DecodeError, Reader};
use crate::hlc::Hlc;
use crate::json::{Json, Printer, TooLarge};

fn checked(text: &str) -> Result<String, MutationError> {
    if text.contains('\0') { Err(MutationError::Nul) } else { Ok(text.to_owned()) }
}

macro_rules! causal_state {
    ($(#[$doc:meta])* $name:ident, $key:ty, $content:ty, $kind:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Default)]
        pub struct $name(Causal<$key, $content>);

        impl State for $name {
            const KIND: Kind = $kind;
            const IN_PLACE: bool = false;
            fn merge(&mut self, other: &$name) {
                self.0.merge(&other.0);
            }
            fn reissue(&self, replica: Replica) -> Result<$name, MutationError> {
                Ok($name(self.0.reissue(replica)))
            }
            fn encode_body(&self, bytes: &mut Vec<u8>) {
                self.0.encode(bytes);
            }
            fn decode_body(reader: &mut Reader<'_>) -> Result<$name, DecodeError> {
                Causal::decode(reader).map($name)
            }
            fn print_body(&self, printer: &mut Printer) -> Result<(), TooLarge> {
                self.0.print(printer)
            }
            fn read_body(node: Node<'_>) -> Result<$name, TextProblem> {
                Causal::read(node).map($name)
            }
            fn counts(&self) -> (usize, usize, usize) {
                self.0.counts()
            }
            fn first_of(&self, family: RangeInclusive<Replica>) -> Option<Replica> {
                self.0.seen().first_of(family)
            }
        }
    };
}

causal_state! {
    /// A register that keeps concurrent writes: a write replaces those that it has seen.
    Mv, (), JsonText, Kind::Mv
}
causal_state! {
    /// A set in which an add wins over a concurrent remove (OR-set without tombstones: Bieniusa et al., 2012).
    Set, String, (), Kind::Set
}
causal_state! {
    /// A set in which a remove wins over a concurrent add.
    RwSet, String, bool, Kind::RwSet
}
causal_state! {
    /// A flag, off at first, on which an enable wins over a concurrent disable.
    Flag, (), (), Kind::Flag
}
causal_state! {
    /// A flag, off at first, on which a disable wins over a concurrent enable.
    DwFlag, (), bool, Kind::DwFlag
}
causal_state! {
    /// A map in which a put wins over a concurrent remove, and of concurrent puts of a key the one with the greatest stamp.
    Map, String, Put, Kind::Map
}

/// Whether all that lives says yes, and something does.
fn all_yes(ticks: Option<&Ticks<bool>>) -> bool {
    ticks.is_some_and(|ticks| ticks.contents().all(|yes| *yes))
}

impl Mv {
    /// Writes a value over those that are seen.
    pub fn set(&mut self, value: &Json, replica: Replica) -> Result<Mv, MutationError> {
        self.0.write((), JsonText::of(value), replica).map(Mv)
    }

    /// Takes away the values that are seen.
    pub fn clear(&mut self) -> Mv {
        Mv(self.0.clear(&()))
    }

    /// The concurrent values as canonical JSON texts, by bytes, each once.
    pub fn values(&self) -> Vec<&str> {
        let mut values: Vec<&str> = self.0.live().values().flat_map(Ticks::contents).map(JsonText::as_str).collect();
        values.sort_unstable();
        values.dedup();
        values
    }
}

impl Set {
    /// Puts an element in. O(log n); so is the delta's size.
    pub fn add(&mut self, element: &str, replica: Replica) -> Result<Set, MutationError> {
        self.0.write(checked(element)?, (), replica).map(Set)
    }

    /// Takes an element out: the adds that are seen, and no others.
    pub fn remove(&mut self, element: &str) -> Set {
        Set(self.0.clear(&element.to_owned()))
    }

    /// Whether an element is in.
    pub fn contains(&self, element: &str) -> bool {
        self.0.live().contains_key(element)
    }

    /// The elements, by bytes.
    pub fn elements(&self) -> impl Iterator<Item = &str> {
        self.0.live().keys().map(String::as_str)
    }
}

impl RwSet {
    /// Puts an element in, where no concurrent remove says otherwise.
    pub fn add(&mut self, element: &str, replica: Replica) -> Result<RwSet, MutationError> {
        self.0.write(checked(element)?, true, replica).map(RwSet)
    }

    /// Takes an element out, also from adds that are not seen yet. It is remembered.
    pub fn remove(&mut self, element: &str, replica: Replica) -> Result<RwSet, MutationError> {
        self.0.write(checked(element)?, false, replica).map(RwSet)
    }

    /// Whether an element is in.
    pub fn contains(&self, element: &str) -> bool {
        all_yes(self.0.live().get(element))
    }

    /// The elements, by bytes.
    pub fn elements(&self) -> impl Iterator<Item = &str> {
        let yes = self.0.live().iter().filter(|(_, ticks)| all_yes(Some(ticks)));
        yes.map(|(element, _)| element.as_str())
    }
}

impl Flag {
    /// Turns it on.
    pub fn enable(&mut self, replica: Replica) -> Result<Flag, MutationError> {
        self.0.write((), (), replica).map(Flag)
    }

    /// Turns it off, but for enables that are not seen.
    pub fn disable(&mut self) -> Flag {
        Flag(self.0.clear(&()))
    }

    /// Whether it is on.
    pub fn is_on(&self) -> bool {
        !self.0.live().is_empty()
    }
}

impl DwFlag {
    /// Turns it on, where no concurrent disable says otherwise.
    pub fn enable(&mut self, replica: Replica) -> Result<DwFlag, MutationError> {
        self.0.write((), true, replica).map(DwFlag)
    }

    /// Turns it off, also against enables that are not seen yet.
    pub fn disable(&mut self, replica: Replica) -> Result<DwFlag, MutationError> {
        self.0.write((), false, replica).map(DwFlag)
    }

    /// Whether it is on.
    pub fn is_on(&self) -> bool {
        all_yes(self.0.live().get(&()))
    }
}

impl Map {
    /// Puts a value under a key. The stamp decides between concurrent puts.
    pub fn put(&mut self, key: &str, value: &Json, at: Hlc, replica: Replica) -> Result<Map, MutationError> {
        self.0.write(checked(key)?, (at, JsonText::of(value)), replica).map(Map)
    }

    /// Takes a key away: the puts that are seen, and no others.
    pub fn remove(&mut self, key: &str) -> Map {
        Map(self.0.clear(&key.to_owned()))
    }

    /// The value of a key, as canonical JSON text.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.live().get(key).and_then(last_put)
    }

    /// The entries, keys by bytes, values as canonical JSON texts.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &str)> {
        let entries = self.0.live().iter();
        entries.filter_map(|(key, ticks)| Some((key.as_str(), last_put(ticks)?)))
    }
}

/// The put with the greatest stamp, of two the greater tick's.
fn last_put(ticks: &Ticks<Put>) -> Option<&str> {
    let last = ticks.iter().max_by_key(|(tick, (at, _))| (*at, **tick));
    last.map(|(_, (_, value))| value.as_str())
}
