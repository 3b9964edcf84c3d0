//! Columns that need contexts: `mv set rw_set flag dw_flag map`.
//!
//! What must always hold here: what is kept is a function of the events, not of their arrival, so that a maintained state and a rebuilt one have the same
//! bytes; and it is small: what another kept event implies (see [`Marks::implied_by`] and the laws of [`Causality`]) is dropped, so an entry holds at most
//! a few marks a lane, however often it was written.

use std::collections::BTreeMap;

use super::Fold;
use super::event::{FoldValue, Operation};
use super::mark::{Causality, Mark, Marks, is_before};
use super::plain::{optional, put_optional};
use crate::bytes::{Ascending, DecodeError, DecodeProblem, Reader, put_varint};
use crate::datum::Datum;
use crate::id::{Run, SiteId};

/// The last event of each run: by the second law of [`Causality`] it has seen what any of the run's has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Latest(BTreeMap<(SiteId, Run), Mark>);

impl Latest {
    pub(super) fn note(&mut self, mark: Mark) {
        let last = self.0.entry(mark.run()).or_insert(mark);
        *last = mark.max(*last);
    }

    /// Whether some event noted here has seen the marks.
    pub(super) fn has_seen(&self, marks: &Marks, causality: &impl Causality) -> bool {
        self.0.values().any(|last| marks.seen_by(last, causality))
    }

    pub(super) fn encode(&self, bytes: &mut Vec<u8>) {
        put_varint(bytes, self.0.len() as u64);
        self.0.values().for_each(|mark| mark.encode(bytes));
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Latest, DecodeError> {
        let mut latest = BTreeMap::new();
        let mut order = Ascending::new();
        for _ in 0..reader.count(Mark::BYTES_MIN)? {
            let offset = reader.offset();
            let mark = Mark::decode(reader)?;
            latest.insert(order.take(mark.run(), offset)?, mark);
        }
        Ok(Latest(latest))
    }
}

/// What a column keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Causal {
    /// `set flag mv map`: an add or a write counts until it is seen by what ends it.
    Open(Open),
    /// `rw_set dw_flag`: an add must have seen every remove.
    Closed(Closed),
}

/// A column could not take an event in its place: what came before it ended something that is no longer known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Late;

impl Causal {
    pub(super) fn empty(fold: Fold) -> Option<Causal> {
        match fold {
            Fold::Mv | Fold::Set | Fold::Flag | Fold::Map => Some(Causal::Open(Open::default())),
            Fold::RwSet | Fold::DwFlag => Some(Causal::Closed(Closed::default())),
            _ => None,
        }
    }

    /// Takes what one event does; None where an operation is not the fold's.
    pub(super) fn take(
        &mut self,
        fold: Fold,
        operations: &[Operation],
        marks: &Marks,
        causality: &impl Causality,
    ) -> Option<Result<(), Late>> {
        let acts: Vec<Act> = operations.iter().map(|operation| Act::of(fold, operation)).collect::<Option<_>>()?;
        Some(match self {
            Causal::Open(open) => open.take(fold, acts, marks, causality),
            Causal::Closed(closed) => {
                closed.take(acts, marks, causality);
                Ok(())
            }
        })
    }

    pub(super) fn value(&self, fold: Fold) -> FoldValue {
        match (self, fold) {
            (Causal::Open(open), Fold::Mv) => {
                FoldValue::array(open.live.values().flatten().map(|held| held.value.clone()))
            }
            (Causal::Open(open), Fold::Map) => FoldValue::Entries(open.entries()),
            (Causal::Open(open), Fold::Flag) => boolean(!open.live.is_empty()),
            (Causal::Open(open), _) => FoldValue::array(open.live.keys().cloned().map(Some)),
            (Causal::Closed(closed), Fold::DwFlag) => boolean(closed.present().next().is_some()),
            (Causal::Closed(closed), _) => FoldValue::array(closed.present().cloned().map(Some)),
        }
    }

    pub(super) fn encode(&self, bytes: &mut Vec<u8>) {
        match self {
            Causal::Open(open) => open.encode(bytes),
            Causal::Closed(closed) => closed.encode(bytes),
        }
    }

    pub(super) fn decode(fold: Fold, reader: &mut Reader<'_>) -> Result<Option<Causal>, DecodeError> {
        Ok(Some(match Causal::empty(fold) {
            None => return Ok(None),
            Some(Causal::Open(_)) => Causal::Open(Open::decode(reader)?),
            Some(Causal::Closed(_)) => Causal::Closed(Closed::decode(reader)?),
        }))
    }
}

fn boolean(value: bool) -> FoldValue {
    FoldValue::Datum(Some(Datum::Boolean(value)))
}

/// An operation as all causal folds have it: something begins or ends under a key.
struct Act {
    key: Datum,
    begins: Option<Option<Datum>>,
}

/// The key of columns that have only one.
const ONLY: Datum = Datum::Boolean(true);

impl Act {
    fn of(fold: Fold, operation: &Operation) -> Option<Act> {
        let (key, begins) = match (fold, operation) {
            (Fold::Mv, Operation::Write { by: None, value }) => (ONLY, Some(value.clone())),
            (Fold::Set | Fold::RwSet, Operation::Add(value)) => (value.clone(), Some(None)),
            (Fold::Set | Fold::RwSet, Operation::Remove(value)) => (value.clone(), None),
            (Fold::Flag | Fold::DwFlag, Operation::Enable) => (ONLY, Some(None)),
            (Fold::Flag | Fold::DwFlag, Operation::Disable) => (ONLY, None),
            (Fold::Map, Operation::Put { key, value }) => (key.clone(), Some(Some(value.clone()))),
            (Fold::Map, Operation::Drop { key }) => (key.clone(), None),
            _ => return None,
        };
        Some(Act { key, begins })
    }
}

/// An add or a write that has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Held {
    marks: Marks,
    value: Option<Datum>,
}

/// What is in until it is seen to be ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Open {
    /// By key, in total order.
    live: BTreeMap<Datum, Vec<Held>>,
    /// The last of each run that ended anything.
    endings: Latest,
}

impl Open {
    fn take(&mut self, fold: Fold, acts: Vec<Act>, marks: &Marks, causality: &impl Causality) -> Result<(), Late> {
        // Whether a write ends the writes before it, as a remove ends adds.
        let writes_end = matches!(fold, Fold::Mv | Fold::Map);
        let (beginnings, endings): (Vec<Act>, Vec<Act>) = acts.into_iter().partition(|act| act.begins.is_some());
        for Act { key, .. } in endings {
            self.end(&key, &marks.first, causality);
        }
        for Act { key, begins } in beginnings {
            if writes_end {
                self.end(&key, &marks.first, causality);
            }
            if self.endings.has_seen(marks, causality) {
                // With one key, what was seen was ended; with several it may have been another key's turn.
                match fold {
                    Fold::Mv | Fold::Flag => continue,
                    _ => return Err(Late),
                }
            }
            let held = Held { marks: marks.clone(), value: begins.flatten() };
            let among = self.live.entry(key).or_default();
            if !writes_end {
                // What ends the later add of a lane ends the earlier one too, so the later one speaks for both.
                if among.iter().any(|other| held.marks.implied_by(&other.marks)) {
                    continue;
                }
                among.retain(|other| !other.marks.implied_by(&held.marks));
            }
            let at = among.partition_point(|other| other.marks < held.marks);
            among.insert(at, held);
        }
        Ok(())
    }

    /// Ends what the event at a mark has seen under a key.
    fn end(&mut self, key: &Datum, by: &Mark, causality: &impl Causality) {
        if let Some(held) = self.live.get_mut(key) {
            held.retain(|held| !held.marks.seen_by(by, causality));
            if held.is_empty() {
                self.live.remove(key);
            }
        }
        self.endings.note(*by);
    }

    fn entries(&self) -> Vec<(Datum, Datum)> {
        let last = |(key, held): (&Datum, &Vec<Held>)| Some((key.clone(), held.last()?.value.clone()?));
        self.live.iter().filter_map(last).collect()
    }

    fn encode(&self, bytes: &mut Vec<u8>) {
        put_varint(bytes, self.live.len() as u64);
        for (key, held) in &self.live {
            key.encode(bytes);
            put_varint(bytes, held.len() as u64);
            for Held { marks, value } in held {
                marks.encode(bytes);
                put_optional(bytes, value.as_ref());
            }
        }
        self.endings.encode(bytes);
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Open, DecodeError> {
        let mut live = BTreeMap::new();
        let mut keys = Ascending::new();
        for _ in 0..reader.count(3)? {
            let offset = reader.offset();
            let key = keys.take(Datum::decode(reader)?, offset)?;
            let mut order = Ascending::new();
            let mut held = Vec::new();
            for _ in 0..reader.count(Mark::BYTES_MIN)? {
                let offset = reader.offset();
                let marks = order.take(Marks::decode(reader)?, offset)?;
                let value = optional(reader)?;
                held.push(Held { marks, value });
            }
            if held.is_empty() {
                return Err(Reader::error_at(offset, DecodeProblem::Integer));
            }
            live.insert(key, held);
        }
        let endings = Latest::decode(reader)?;
        Ok(Open { live, endings })
    }
}

/// What is in only where an add has seen every remove.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Closed(BTreeMap<Datum, Claims>);

/// The adds and removes of one value.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Claims {
    /// The adds that have seen every remove; of each run the last, which has seen what the earlier have.
    adds: Latest,
    /// Every remove but those that another implies, in total order.
    removes: Vec<Marks>,
}

impl Closed {
    fn take(&mut self, acts: Vec<Act>, marks: &Marks, causality: &impl Causality) {
        let (adds, removes): (Vec<Act>, Vec<Act>) = acts.into_iter().partition(|act| act.begins.is_some());
        for Act { key, .. } in removes {
            let claims = self.0.entry(key).or_default();
            claims.adds.0.retain(|_, add| marks.seen_by(add, causality));
            // An add that has seen the later remove of a lane has seen the earlier one too.
            if claims.removes.iter().any(|other| marks.implied_by(other)) {
                continue;
            }
            claims.removes.retain(|other| !other.implied_by(marks));
            let at = claims.removes.partition_point(|other| other < marks);
            claims.removes.insert(at, marks.clone());
        }
        for Act { key, .. } in adds {
            let known = self.0.get(&key).map_or(&[][..], |claims| &claims.removes);
            if known.iter().all(|remove| remove.seen_by(&marks.first, causality)) {
                self.0.entry(key).or_default().adds.note(marks.first);
            }
        }
    }

    fn present(&self) -> impl Iterator<Item = &Datum> {
        let present = self.0.iter().filter(|(_, claims)| !claims.adds.0.is_empty());
        present.map(|(value, _)| value)
    }

    fn encode(&self, bytes: &mut Vec<u8>) {
        put_varint(bytes, self.0.len() as u64);
        for (value, claims) in &self.0 {
            value.encode(bytes);
            claims.adds.encode(bytes);
            put_varint(bytes, claims.removes.len() as u64);
            claims.removes.iter().for_each(|marks| marks.encode(bytes));
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Closed, DecodeError> {
        let mut closed = BTreeMap::new();
        let mut values = Ascending::new();
        for _ in 0..reader.count(4)? {
            let offset = reader.offset();
            let value = values.take(Datum::decode(reader)?, offset)?;
            let adds = Latest::decode(reader)?;
            let mut order = Ascending::new();
            let mut removes = Vec::new();
            for _ in 0..reader.count(Mark::BYTES_MIN)? {
                let offset = reader.offset();
                removes.push(order.take(Marks::decode(reader)?, offset)?);
            }
            if adds.0.is_empty() && removes.is_empty() {
                return Err(Reader::error_at(offset, DecodeProblem::Impossible));
            }
            closed.insert(value, Claims { adds, removes });
        }
        Ok(Closed(closed))
    }
}

/// The first and the last of a row's living events in each lane: whether a delete hits some of them, or all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Extents(BTreeMap<(SiteId, crate::id::Lane), (Mark, Mark)>);

/// What a delete hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hit {
    None,
    Some,
    All,
}

impl Extents {
    pub(super) fn note(&mut self, marks: &Marks) {
        for mark in marks.all() {
            let (first, last) = self.0.entry((mark.site, mark.lane)).or_insert((*mark, *mark));
            // By place in the lane, which is what a context covers.
            if mark.seq < first.seq {
                *first = *mark;
            }
            if mark.seq > last.seq {
                *last = *mark;
            }
        }
    }

    pub(super) fn hit(&self, by: &Mark, causality: &impl Causality) -> Hit {
        let seen = |mark: &Mark| is_before(mark, by, causality);
        if !self.0.values().any(|(first, _)| seen(first)) {
            Hit::None
        } else if self.0.values().all(|(_, last)| seen(last)) {
            Hit::All
        } else {
            Hit::Some
        }
    }

    pub(super) fn encode(&self, bytes: &mut Vec<u8>) {
        put_varint(bytes, self.0.len() as u64);
        for (first, last) in self.0.values() {
            first.encode(bytes);
            last.encode(bytes);
        }
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Extents, DecodeError> {
        let mut extents = BTreeMap::new();
        let mut order = Ascending::new();
        for _ in 0..reader.count(2 * Mark::BYTES_MIN)? {
            let offset = reader.offset();
            let (first, last) = (Mark::decode(reader)?, Mark::decode(reader)?);
            let lane = order.take((first.site, first.lane), offset)?;
            if (last.site, last.lane) != lane || last.seq < first.seq {
                return Err(Reader::error_at(offset, DecodeProblem::Impossible));
            }
            extents.insert(lane, (first, last));
        }
        Ok(Extents(extents))
    }
}
