//! Entries that live until an act that has seen them replaces or drops them: the one mechanism of `mv set rw_set flag dw_flag map`.
//!
//! What must always hold here: every live tick has been seen; a key without live ticks is absent. A tick that a value has seen and that does not live in it
//! was dropped, and stays dropped in every merge: so no remove needs a tombstone, and a remove never kills an add that it has not seen.

use std::collections::BTreeMap;

use super::MutationError;
use super::entry::{Content, Key};
use super::replica::{Replica, Tick};
use super::seen::Seen;
use super::text::{Node, TextProblem, print_integer};
use super::ticks::Ticks;
use crate::bytes::{Ascending, DecodeError, DecodeProblem, Reader, put_varint};
use crate::json::{Printer, TooLarge};

/// Live entries, and what was seen. Acts are O(log n).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Causal<K, C> {
    seen: Seen,
    live: BTreeMap<K, Ticks<C>>,
}

impl<K: Ord, C> Default for Causal<K, C> {
    fn default() -> Causal<K, C> {
        Causal { seen: Seen::default(), live: BTreeMap::new() }
    }
}

impl<K: Key, C: Content> Causal<K, C> {
    /// What lives, by key.
    pub(super) fn live(&self) -> &BTreeMap<K, Ticks<C>> {
        &self.live
    }

    pub(super) fn seen(&self) -> &Seen {
        &self.seen
    }

    /// Replaces what lives under a key. The delta says what was added and what was seen there.
    pub(super) fn write(&mut self, key: K, content: C, replica: Replica) -> Result<Causal<K, C>, MutationError> {
        let number = self.seen.last(replica).checked_add(1).ok_or(MutationError::Overflow)?;
        let tick = Tick { replica, number };
        let mut delta = self.clear(&key);
        for value in [&mut delta, self] {
            value.seen.insert(tick);
            value.live.insert(key.clone(), Ticks::one(tick, content.clone()));
        }
        Ok(delta)
    }

    /// Drops what lives under a key, and nothing that was not seen.
    pub(super) fn clear(&mut self, key: &K) -> Causal<K, C> {
        let mut delta = Causal::default();
        for (tick, _) in self.live.remove(key).unwrap_or_default().iter() {
            delta.seen.insert(*tick);
        }
        delta
    }

    pub(super) fn merge(&mut self, other: &Causal<K, C>) {
        self.live.retain(|key, ticks| {
            let theirs = other.live.get(key);
            ticks.retain(|tick| theirs.is_some_and(|theirs| theirs.contains(tick)) || !other.seen.covers(tick));
            !ticks.is_empty()
        });
        for (key, ticks) in &other.live {
            let mut own = self.live.get_mut(key);
            let mut newcomers = Vec::new();
            for (tick, content) in ticks.iter() {
                match own.as_mut().and_then(|own| own.get_mut(tick)) {
                    // One tick with two contents is no history; the greater is kept so that merging stays a law.
                    Some(own) if *own < *content => *own = content.clone(),
                    Some(_) => {}
                    None if self.seen.covers(tick) => {}
                    None => newcomers.push((*tick, content.clone())),
                }
            }
            match own {
                _ if newcomers.is_empty() => {}
                Some(own) => own.extend(newcomers),
                None => self.live.entry(key.clone()).or_default().extend(newcomers),
            }
        }
        self.seen.join(&other.seen);
    }

    /// The same entries under acts of another replica.
    pub(super) fn reissue(&self, replica: Replica) -> Causal<K, C> {
        let mut copy = Causal::default();
        let mut number = 0;
        for (key, ticks) in &self.live {
            let mut own = Vec::with_capacity(ticks.len());
            for content in ticks.contents() {
                number += 1;
                let tick = Tick { replica, number };
                copy.seen.insert(tick);
                own.push((tick, content.clone()));
            }
            copy.live.entry(key.clone()).or_default().extend(own);
        }
        copy
    }

    pub(super) fn encode(&self, bytes: &mut Vec<u8>) {
        self.seen.encode(bytes);
        let places = self.seen.places();
        put_varint(bytes, self.live.len() as u64);
        for (key, ticks) in &self.live {
            key.encode(bytes);
            put_varint(bytes, ticks.len() as u64);
            for (tick, content) in ticks.iter() {
                put_varint(bytes, places.get(&tick.replica).copied().unwrap_or_default());
                put_varint(bytes, tick.number);
                content.encode(bytes);
            }
        }
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Causal<K, C>, DecodeError> {
        let seen = Seen::decode(reader)?;
        let replicas: Vec<Replica> = seen.iter().map(|(replica, _)| replica).collect();
        let mut live = Vec::new();
        let mut keys = Ascending::new();
        for _ in 0..reader.count(3)? {
            let offset = reader.offset();
            let key = keys.take(K::decode(reader)?, offset)?;
            let count = reader.count(2)?;
            // Most have one; a count is believed only so far.
            let mut ticks = Vec::with_capacity(count.min(4));
            let mut order = Ascending::new();
            for _ in 0..count {
                let offset = reader.offset();
                let place = usize::try_from(reader.varint()?).ok();
                let replica = place.and_then(|place| replicas.get(place).copied());
                let replica = replica.ok_or(Reader::error_at(offset, DecodeProblem::Impossible))?;
                let number = reader.varint()?;
                let tick = order.take(Tick { replica, number }, offset)?;
                if !seen.covers(&tick) {
                    return Err(Reader::error_at(offset, DecodeProblem::Impossible));
                }
                ticks.push((tick, C::decode(reader)?));
            }
            if ticks.is_empty() {
                return Err(Reader::error_at(offset, DecodeProblem::Integer));
            }
            let ticks = Ticks::of(ticks).ok_or(Reader::error_at(offset, DecodeProblem::Order))?;
            live.push((key, ticks));
        }
        let live = live.into_iter().collect();
        Ok(Causal { seen, live })
    }

    /// `{"live": [[key, replica, number, content], …], "seen": {replica: [[first, last], …]}}`
    pub(super) fn print(&self, printer: &mut Printer) -> Result<(), TooLarge> {
        printer.begin_object()?;
        printer.key("live")?;
        printer.begin_array()?;
        for (key, ticks) in &self.live {
            for (tick, content) in ticks.iter() {
                printer.begin_array()?;
                if K::NAMED {
                    key.print(printer)?;
                }
                printer.string(&tick.replica.to_string())?;
                print_integer(printer, tick.number)?;
                content.print(printer)?;
                printer.end_array()?;
            }
        }
        printer.end_array()?;
        printer.key("seen")?;
        printer.begin_object()?;
        for (replica, ranges) in self.seen.iter() {
            printer.key(&replica.to_string())?;
            printer.begin_array()?;
            for (start, end) in ranges {
                printer.begin_array()?;
                print_integer(printer, *start)?;
                print_integer(printer, *end)?;
                printer.end_array()?;
            }
            printer.end_array()?;
        }
        printer.end_object()?;
        printer.end_object()
    }

    pub(super) fn read(node: Node<'_>) -> Result<Causal<K, C>, TextProblem> {
        let [rows, seen] = node.fields(["live", "seen"])?;
        let mut ranges = Vec::new();
        for (replica, list) in seen.entries()? {
            let replica: Replica = replica.parse()?;
            for range in list.items()? {
                match range.items()?.collect::<Vec<_>>().as_slice() {
                    [start, end] => ranges.push((replica, (start.integer()?, end.integer()?))),
                    _ => {
                        return Err(TextProblem::Shape { expected: "a range of ticks, [first, last]" });
                    }
                }
            }
        }
        let seen = Seen::of_ranges(ranges).ok_or(TextProblem::Impossible)?;
        let mut live: BTreeMap<K, Vec<(Tick, C)>> = BTreeMap::new();
        for row in rows.items()? {
            let mut fields = row.items()?.collect::<Vec<_>>();
            let key = if K::NAMED && !fields.is_empty() { K::read(Some(fields.remove(0)))? } else { K::read(None)? };
            let [replica, number, content @ ..] = fields.as_slice() else {
                return Err(TextProblem::Shape { expected: "an entry with its replica and tick" });
            };
            let replica = replica.string()?.parse()?;
            let tick = Tick { replica, number: number.integer()? };
            if content.len() != C::FIELDS {
                return Err(TextProblem::Shape { expected: "an entry with as many fields as its kind has" });
            }
            if !seen.covers(&tick) {
                return Err(TextProblem::Impossible);
            }
            live.entry(key).or_default().push((tick, C::read(content)?));
        }
        let live = live.into_iter().map(|(key, ticks)| Some((key, Ticks::of(ticks)?))).collect::<Option<_>>();
        Ok(Causal { seen, live: live.ok_or(TextProblem::Impossible)? })
    }

    pub(super) fn counts(&self) -> (usize, usize, usize) {
        let (replicas, ranges) = self.seen.counts();
        (replicas, ranges, self.live.values().map(Ticks::len).sum())
    }
}
