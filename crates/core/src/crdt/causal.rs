//! Entries that live until an act that has seen them replaces or drops them: the one mechanism of `mv set rw_set flag dw_flag map`.
//!
//! What must always hold here: every live tick has been seen; a key without live ticks is absent. A tick that a value has seen and that does not live in it
//! was dropped, and stays dropped in every merge: so no remove needs a tombstone, and a remove never kills an add that it has not seen.

use std::collections::BTreeMap;

use super::replica::{Replica, Tick};
use super::seen::Seen;
use super::text::{Node, TextProblem, print_integer};
use super::value::LIMITS;
use super::{Kind, MutationError, State};
use crate::bytes::{Ascending, DecodeError, DecodeProblem, Reader, put_hlc, put_text, put_varint};
use crate::hlc::Hlc;
use crate::json::{Json, Printer, TooLarge};

/// What a value's entries are known by.
pub(super) trait Key: Ord + Clone {
    fn encode(&self, bytes: &mut Vec<u8>);
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError>;
    /// Whether rows of the text name the key.
    const NAMED: bool;
    fn print(&self, printer: &mut Printer) -> Result<(), TooLarge>;
    fn read(node: Option<Node<'_>>) -> Result<Self, TextProblem>;
}

/// What an entry holds.
pub(super) trait Content: Ord + Clone {
    fn encode(&self, bytes: &mut Vec<u8>);
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError>;
    /// How many fields of a row it takes.
    const FIELDS: usize;
    fn print(&self, printer: &mut Printer) -> Result<(), TooLarge>;
    fn read(fields: &[Node<'_>]) -> Result<Self, TextProblem>;
}

/// Live entries, and what was seen. Acts are O(log n).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Causal<K, C> {
    seen: Seen,
    live: BTreeMap<K, BTreeMap<Tick, C>>,
}

impl<K: Ord, C> Default for Causal<K, C> {
    fn default() -> Causal<K, C> {
        Causal {
            seen: Seen::default(),
            live: BTreeMap::new(),
        }
    }
}

impl<K: Key, C: Content> Causal<K, C> {
    /// Replaces what lives under a key. The delta says what was added and what was seen there.
    fn write(&mut self, key: K, content: C, replica: Replica) -> Result<Causal<K, C>, MutationError> {
        let number = self.seen.last(replica).checked_add(1).ok_or(MutationError::Overflow)?;
        let tick = Tick { replica, number };
        let mut delta = self.clear(&key);
        for value in [&mut delta, self] {
            value.seen.insert(tick);
            value
                .live
                .insert(key.clone(), BTreeMap::from([(tick, content.clone())]));
        }
        Ok(delta)
    }

    /// Drops what lives under a key, and nothing that was not seen.
    fn clear(&mut self, key: &K) -> Causal<K, C> {
        let mut delta = Causal::default();
        for tick in self.live.remove(key).unwrap_or_default().into_keys() {
            delta.seen.insert(tick);
        }
        delta
    }

    fn merge(&mut self, other: &Causal<K, C>) {
        self.live.retain(|key, ticks| {
            let theirs = other.live.get(key);
            ticks.retain(|tick, _| theirs.is_some_and(|theirs| theirs.contains_key(tick)) || !other.seen.covers(tick));
            !ticks.is_empty()
        });
        for (key, ticks) in &other.live {
            for (tick, content) in ticks {
                let own = self.live.get_mut(key).and_then(|ticks| ticks.get_mut(tick));
                match own {
                    // One tick with two contents is no history; the greater is kept so that merging stays a law.
                    Some(own) if *own < *content => *own = content.clone(),
                    Some(_) => {}
                    None if self.seen.covers(tick) => {}
                    None => {
                        self.live.entry(key.clone()).or_default().insert(*tick, content.clone());
                    }
                }
            }
        }
        self.seen.join(&other.seen);
    }

    /// The same entries under acts of another replica.
    fn reissue(&self, replica: Replica) -> Causal<K, C> {
        let mut copy = Causal::default();
        let mut number = 0;
        for (key, ticks) in &self.live {
            for content in ticks.values() {
                number += 1;
                let tick = Tick { replica, number };
                copy.seen.insert(tick);
                copy.live
                    .entry(key.clone())
                    .or_insert_with(BTreeMap::new)
                    .insert(tick, content.clone());
            }
        }
        copy
    }

    fn encode(&self, bytes: &mut Vec<u8>) {
        self.seen.encode(bytes);
        let places = self.seen.places();
        put_varint(bytes, self.live.len() as u64);
        for (key, ticks) in &self.live {
            key.encode(bytes);
            put_varint(bytes, ticks.len() as u64);
            for (tick, content) in ticks {
                put_varint(bytes, places.get(&tick.replica).copied().unwrap_or_default());
                put_varint(bytes, tick.number);
                content.encode(bytes);
            }
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Causal<K, C>, DecodeError> {
        let seen = Seen::decode(reader)?;
        let replicas: Vec<Replica> = seen.iter().map(|(replica, _)| replica).collect();
        let mut live = Vec::new();
        let mut keys = Ascending::new();
        for _ in 0..reader.count(3)? {
            let offset = reader.offset();
            let key = keys.take(K::decode(reader)?, offset)?;
            let mut ticks = Vec::new();
            let mut order = Ascending::new();
            for _ in 0..reader.count(2)? {
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
            live.push((key, ticks.into_iter().collect()));
        }
        let live = live.into_iter().collect();
        Ok(Causal { seen, live })
    }

    /// `{"live": [[key, replica, number, content], …], "seen": {replica: [[first, last], …]}}`
    fn print(&self, printer: &mut Printer) -> Result<(), TooLarge> {
        printer.begin_object()?;
        printer.key("live")?;
        printer.begin_array()?;
        for (key, ticks) in &self.live {
            for (tick, content) in ticks {
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

    fn read(node: Node<'_>) -> Result<Causal<K, C>, TextProblem> {
        let [rows, seen] = node.fields(["live", "seen"])?;
        let mut ranges = Vec::new();
        for (replica, list) in seen.entries()? {
            let replica: Replica = replica.parse()?;
            for range in list.items()? {
                match range.items()?.collect::<Vec<_>>().as_slice() {
                    [start, end] => ranges.push((replica, (start.integer()?, end.integer()?))),
                    _ => {
                        return Err(TextProblem::Shape {
                            expected: "a range of ticks, [first, last]",
                        });
                    }
                }
            }
        }
        let seen = Seen::of_ranges(ranges).ok_or(TextProblem::Impossible)?;
        let mut live: BTreeMap<K, BTreeMap<Tick, C>> = BTreeMap::new();
        for row in rows.items()? {
            let mut fields = row.items()?.collect::<Vec<_>>();
            let key = if K::NAMED && !fields.is_empty() {
                K::read(Some(fields.remove(0)))?
            } else {
                K::read(None)?
            };
            let [replica, number, content @ ..] = fields.as_slice() else {
                return Err(TextProblem::Shape {
                    expected: "an entry with its replica and tick",
                });
            };
            let replica = replica.string()?.parse()?;
            let tick = Tick {
                replica,
                number: number.integer()?,
            };
            if content.len() != C::FIELDS {
                return Err(TextProblem::Shape {
                    expected: "an entry with as many fields as its kind has",
                });
            }
            if !seen.covers(&tick) || live.entry(key).or_default().insert(tick, C::read(content)?).is_some() {
                return Err(TextProblem::Impossible);
            }
        }
        Ok(Causal { seen, live })
    }

    fn counts(&self) -> (usize, usize, usize) {
        let (replicas, ranges) = self.seen.counts();
        (replicas, ranges, self.live.values().map(BTreeMap::len).sum())
    }
}

impl Key for () {
    const NAMED: bool = false;
    fn encode(&self, _: &mut Vec<u8>) {}
    fn decode(_: &mut Reader<'_>) -> Result<(), DecodeError> {
        Ok(())
    }
    fn print(&self, _: &mut Printer) -> Result<(), TooLarge> {
        Ok(())
    }
    fn read(_: Option<Node<'_>>) -> Result<(), TextProblem> {
        Ok(())
    }
}

impl Key for String {
    const NAMED: bool = true;
    fn encode(&self, bytes: &mut Vec<u8>) {
        put_text(bytes, self);
    }
    fn decode(reader: &mut Reader<'_>) -> Result<String, DecodeError> {
        Ok(reader.text()?.to_owned())
    }
    fn print(&self, printer: &mut Printer) -> Result<(), TooLarge> {
        printer.string(self)
    }
    fn read(node: Option<Node<'_>>) -> Result<String, TextProblem> {
        let node = node.ok_or(TextProblem::Shape {
            expected: "an entry with its key",
        })?;
        Ok(node.string()?.to_owned())
    }
}

impl Content for () {
    const FIELDS: usize = 0;
    fn encode(&self, _: &mut Vec<u8>) {}
    fn decode(_: &mut Reader<'_>) -> Result<(), DecodeError> {
        Ok(())
    }
    fn print(&self, _: &mut Printer) -> Result<(), TooLarge> {
        Ok(())
    }
    fn read(_: &[Node<'_>]) -> Result<(), TextProblem> {
        Ok(())
    }
}

impl Content for bool {
    const FIELDS: usize = 1;
    fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.push(u8::from(*self));
    }
    fn decode(reader: &mut Reader<'_>) -> Result<bool, DecodeError> {
        reader.bool()
    }
    fn print(&self, printer: &mut Printer) -> Result<(), TooLarge> {
        printer.bool(*self)
    }
    fn read(fields: &[Node<'_>]) -> Result<bool, TextProblem> {
        match fields {
            [node] => node.bool(),
            _ => Err(TextProblem::Impossible),
        }
    }
}

/// JSON by its canonical text: equal where the texts are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct JsonText(String);

impl JsonText {
    pub(super) fn of(json: &Json) -> JsonText {
        JsonText(json.to_string())
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn encode(&self, bytes: &mut Vec<u8>) {
        put_text(bytes, &self.0);
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<JsonText, DecodeError> {
        let offset = reader.offset();
        let text = reader.text()?;
        match Json::parse(text, LIMITS) {
            Ok(json) if json.to_string() == text => Ok(JsonText(text.to_owned())),
            _ => Err(Reader::error_at(offset, DecodeProblem::Text)),
        }
    }

    pub(super) fn print(&self, printer: &mut Printer) -> Result<(), TooLarge> {
        // A number's canonical text goes out as it is; so does that of any other value.
        printer.number(&self.0)
    }
}

impl Content for JsonText {
    const FIELDS: usize = 1;
    fn encode(&self, bytes: &mut Vec<u8>) {
        JsonText::encode(self, bytes);
    }
    fn decode(reader: &mut Reader<'_>) -> Result<JsonText, DecodeError> {
        JsonText::decode(reader)
    }
    fn print(&self, printer: &mut Printer) -> Result<(), TooLarge> {
        JsonText::print(self, printer)
    }
    fn read(fields: &[Node<'_>]) -> Result<JsonText, TextProblem> {
        match fields {
            [node] => Ok(JsonText::of(node.json())),
            _ => Err(TextProblem::Impossible),
        }
    }
}

/// What a map's entry holds: when it was put, and what.
type Put = (Hlc, JsonText);

impl Content for Put {
    const FIELDS: usize = 2;
    fn encode(&self, bytes: &mut Vec<u8>) {
        put_hlc(bytes, self.0);
        self.1.encode(bytes);
    }
    fn decode(reader: &mut Reader<'_>) -> Result<Put, DecodeError> {
        Ok((reader.hlc()?, JsonText::decode(reader)?))
    }
    fn print(&self, printer: &mut Printer) -> Result<(), TooLarge> {
        printer.string(&self.0.to_string())?;
        self.1.print(printer)
    }
    fn read(fields: &[Node<'_>]) -> Result<Put, TextProblem> {
        match fields {
            [stamp, json] => Ok((stamp.stamp()?, JsonText::of(json.json()))),
            _ => Err(TextProblem::Impossible),
        }
    }
}

fn checked(text: &str) -> Result<String, MutationError> {
    if text.contains('\0') {
        Err(MutationError::Nul)
    } else {
        Ok(text.to_owned())
    }
}

macro_rules! causal_state {
    ($(#[$doc:meta])* $name:ident, $key:ty, $content:ty, $kind:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Default)]
        pub struct $name(Causal<$key, $content>);

        impl State for $name {
            const KIND: Kind = $kind;
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
fn all_yes(ticks: Option<&BTreeMap<Tick, bool>>) -> bool {
    ticks.is_some_and(|ticks| ticks.values().all(|yes| *yes))
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
        let mut values: Vec<&str> = self
            .0
            .live
            .values()
            .flat_map(BTreeMap::values)
            .map(JsonText::as_str)
            .collect();
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
        self.0.live.contains_key(element)
    }

    /// The elements, by bytes.
    pub fn elements(&self) -> impl Iterator<Item = &str> {
        self.0.live.keys().map(String::as_str)
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
        all_yes(self.0.live.get(element))
    }

    /// The elements, by bytes.
    pub fn elements(&self) -> impl Iterator<Item = &str> {
        let yes = self.0.live.iter().filter(|(_, ticks)| all_yes(Some(ticks)));
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
        !self.0.live.is_empty()
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
        all_yes(self.0.live.get(&()))
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
        self.0.live.get(key).and_then(last_put)
    }

    /// The entries, keys by bytes, values as canonical JSON texts.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &str)> {
        let entries = self.0.live.iter();
        entries.filter_map(|(key, ticks)| Some((key.as_str(), last_put(ticks)?)))
    }
}

/// The put with the greatest stamp, of two the greater tick's.
fn last_put(ticks: &BTreeMap<Tick, Put>) -> Option<&str> {
    let last = ticks.iter().max_by_key(|(tick, (at, _))| (*at, **tick));
    last.map(|(_, (_, value))| value.as_str())
}
