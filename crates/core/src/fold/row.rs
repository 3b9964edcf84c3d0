//! The state of a row: what is kept of a key's events, so that more can be taken in.
//!
//! What must always hold here: the state is a function of the key's events, so one that was maintained and one that was rebuilt have the same bytes. Events
//! that come in an order in which nothing comes after what has seen it are merged, never refolded; two things ask for more: a delete that hits some of the
//! events and not all, and an id that comes again under another dot.

use super::causal::{Causal, Extents, Hit, Latest};
use super::event::{Effect, FoldEvent, FoldValue};
use super::mark::{Causality, Mark, Marks};
use super::plain::Plain;
use super::{Fold, FoldError};
use crate::bytes::{DecodeError, DecodeProblem, Reader, put_varint};

const VERSION: u8 = 1;

/// What a view's rows are made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// The columns' folds, in order.
    pub folds: Vec<Fold>,
    /// Whether some types delete: then a row remembers where its events lie.
    pub deletes: bool,
}

impl Shape {
    /// Whether contexts matter to any row.
    pub fn is_causal(&self) -> bool {
        self.deletes || self.folds.iter().any(|fold| fold.is_causal())
    }
}

/// What is kept of a key's events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowState {
    /// Where the living events lie; None where nothing deletes.
    extents: Option<Extents>,
    /// The last delete of each run.
    deletes: Latest,
    /// How many events live: a row without any is none.
    alive: u64,
    columns: Vec<Column>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Column {
    fold: Fold,
    state: ColumnState,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum ColumnState {
    Plain(Plain),
    Causal(Causal),
}

/// What came of taking events in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The state with the events in it.
    Merged(RowState),
    /// The key must be folded again from its events.
    Refold(Refold),
}

/// Why a key must be folded again, and from where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refold {
    /// Why.
    pub reason: RefoldReason,
    /// A state that was stored when only events before this place were in it may be continued from; None: from the beginning.
    pub from: Option<Mark>,
}

/// Why a key must be folded again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RefoldReason {
    /// An event came after one that has seen it.
    Late,
    /// A delete has seen some of the events and not all.
    DeleteHits,
    /// An id came again under another dot.
    SameId,
}

impl Column {
    fn empty(fold: Fold) -> Column {
        let state = match Plain::empty(fold) {
            Some(plain) => ColumnState::Plain(plain),
            // What is not plain is causal, or else a closed set: the two are all there is.
            None => ColumnState::Causal(Causal::empty(fold).unwrap_or(Causal::Closed(Default::default()))),
        };
        Column { fold, state }
    }
}

impl RowState {
    /// The state of a key without events.
    pub fn empty(shape: &Shape) -> RowState {
        RowState {
            extents: shape.deletes.then(Extents::default),
            deletes: Latest::default(),
            alive: 0,
            columns: shape.folds.iter().map(|fold| Column::empty(*fold)).collect(),
        }
    }

    /// The state of a key, from all of its events: what the specification says, in one pass. O(events × what lives), with deletes × deleting runs.
    pub fn refold(shape: &Shape, events: &[FoldEvent], causality: &impl Causality) -> Result<RowState, FoldError> {
        let mut state = RowState::empty(shape);
        let (deletes, mut others): (Vec<&FoldEvent>, Vec<&FoldEvent>) =
            events.iter().partition(|event| event.effect == Effect::Delete);
        deletes.iter().for_each(|delete| state.deletes.note(delete.mark));
        others.sort_by_key(|event| event.mark);
        for event in others {
            // In total order nothing comes after what has seen it, so no column can say that it is late.
            state.take(event, causality)?;
        }
        Ok(state)
    }

    /// Takes a batch of events in, each with all of its dots that are held. The state itself stays as it is.
    ///
    /// An event that was folded before, and comes again under another dot, says so by `folded_at`. Events whose fold fails are told by the error; the
    /// caller leaves them out and tries again.
    pub fn merge(&self, events: &[FoldEvent], causality: &impl Causality) -> Result<Outcome, FoldError> {
        let mut state = self.clone();
        let mut refold: Option<Refold> = None;
        let mut order: Vec<&FoldEvent> = events.iter().collect();
        order.sort_by_key(|event| event.mark);
        for event in order {
            let found = match event.folded_at {
                Some(_) => state.again(event),
                None => state.take(event, causality)?,
            };
            if let Some(found) = found {
                // From the earliest place; the reason is the one found first.
                let from = match refold {
                    Some(before) => before.from.zip(found.from).map(|(a, b)| a.min(b)),
                    None => found.from,
                };
                refold = Some(Refold { reason: refold.map_or(found.reason, |before| before.reason), from });
            }
        }
        Ok(refold.map_or(Outcome::Merged(state), Outcome::Refold))
    }

    /// Takes in the state of other events of the key. None where contexts matter: then events are needed, not states.
    ///
    /// Commutative and associative, so batches can be folded apart, and in parallel, as SQL aggregates are.
    pub fn combine(&self, other: &RowState) -> Result<Option<RowState>, FoldError> {
        let mut state = self.clone();
        if state.extents.is_some() || state.columns.len() != other.columns.len() {
            return Ok(None);
        }
        state.alive = state.alive.saturating_add(other.alive);
        for (at, (own, other)) in state.columns.iter_mut().zip(&other.columns).enumerate() {
            match (&mut own.state, &other.state) {
                (ColumnState::Plain(plain), ColumnState::Plain(others)) if own.fold == other.fold => {
                    plain.merge(own.fold, others.clone(), at)?;
                }
                _ => return Ok(None),
            }
        }
        Ok(Some(state))
    }

    fn again(&self, event: &FoldEvent) -> Option<Refold> {
        let moved = event.folded_at != Some(event.mark);
        let contexts_matter = self.extents.is_some() || self.columns.iter().any(|column| column.fold.is_causal());
        (moved || contexts_matter).then_some(Refold { reason: RefoldReason::SameId, from: None })
    }

    fn take(&mut self, event: &FoldEvent, causality: &impl Causality) -> Result<Option<Refold>, FoldError> {
        let marks = event.marks();
        match &event.effect {
            Effect::Delete => Ok(self.delete(&event.mark, causality)),
            Effect::Fold(columns) => {
                if columns.len() != self.columns.len() {
                    return Err(FoldError::Columns { expected: self.columns.len(), found: columns.len() });
                }
                if self.deletes.has_seen(&marks, causality) {
                    return Ok(None);
                }
                self.alive += 1;
                if let Some(extents) = &mut self.extents {
                    extents.note(&marks);
                }
                let mut late = false;
                for (at, (column, operations)) in self.columns.iter_mut().zip(columns).enumerate() {
                    match &mut column.state {
                        ColumnState::Plain(plain) => operations
                            .iter()
                            .try_for_each(|operation| plain.take(column.fold, operation, event.mark, at))?,
                        ColumnState::Causal(causal) => {
                            let taken = causal.take(column.fold, operations, &marks, causality);
                            late |= taken.ok_or(FoldError::Operation { column: at })?.is_err();
                        }
                    }
                }
                Ok(late.then_some(Refold { reason: RefoldReason::Late, from: Some(event.mark) }))
            }
        }
    }

    fn delete(&mut self, by: &Mark, causality: &impl Causality) -> Option<Refold> {
        self.deletes.note(*by);
        let extents = self.extents.get_or_insert_default();
        match extents.hit(by, causality) {
            Hit::None => None,
            Hit::All => {
                *extents = Extents::default();
                self.alive = 0;
                for column in &mut self.columns {
                    *column = Column::empty(column.fold);
                }
                None
            }
            Hit::Some => Some(Refold { reason: RefoldReason::DeleteHits, from: None }),
        }
    }

    /// Whether the key has a row: some event lives.
    pub fn exists(&self) -> bool {
        self.alive > 0
    }

    /// How many of the key's events live.
    pub fn alive(&self) -> u64 {
        self.alive
    }

    /// The row's values, or None where it has none.
    pub fn values(&self) -> Result<Option<Vec<FoldValue>>, FoldError> {
        if !self.exists() {
            return Ok(None);
        }
        let value = |(at, column): (usize, &Column)| match &column.state {
            ColumnState::Plain(plain) => plain.value(column.fold, at),
            ColumnState::Causal(causal) => Ok(causal.value(column.fold)),
        };
        self.columns.iter().enumerate().map(value).collect::<Result<_, _>>().map(Some)
    }

    /// The encoding. Equal states have equal bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION, u8::from(self.extents.is_some())];
        if let Some(extents) = &self.extents {
            extents.encode(&mut bytes);
            self.deletes.encode(&mut bytes);
        }
        put_varint(&mut bytes, self.alive);
        put_varint(&mut bytes, self.columns.len() as u64);
        for column in &self.columns {
            bytes.push(column.fold as u8);
            match &column.state {
                ColumnState::Plain(plain) => plain.encode(&mut bytes),
                ColumnState::Causal(causal) => causal.encode(&mut bytes),
            }
        }
        bytes
    }

    /// Reads [`RowState::encode`] back, and no other spelling of it. At most 64 MB; allocates in proportion to the bytes.
    pub fn decode(bytes: &[u8]) -> Result<RowState, DecodeError> {
        let mut reader = Reader::new(bytes)?;
        reader.version(VERSION)?;
        let (mut extents, mut deletes) = (None, Latest::default());
        if reader.bool()? {
            extents = Some(Extents::decode(&mut reader)?);
            deletes = Latest::decode(&mut reader)?;
        }
        let alive = reader.events()?;
        let mut columns = Vec::new();
        for _ in 0..reader.count(2)? {
            let offset = reader.offset();
            let found = reader.byte()?;
            let fold = Fold::all().find(|fold| *fold as u8 == found);
            let fold = fold.ok_or(Reader::error_at(offset, DecodeProblem::Kind { found }))?;
            let state = match Plain::decode(fold, &mut reader)? {
                Some(plain) => ColumnState::Plain(plain),
                None => match Causal::decode(fold, &mut reader)? {
                    Some(causal) => ColumnState::Causal(causal),
                    None => return Err(Reader::error_at(offset, DecodeProblem::Kind { found })),
                },
            };
            columns.push(Column { fold, state });
        }
        reader.end()?;
        Ok(RowState { extents, deletes, alive, columns })
    }
}

impl FoldEvent {
    /// The marks of all of its dots, the first first.
    pub fn all_marks(&self) -> impl Iterator<Item = Mark> {
        let Marks { first, others } = self.marks();
        std::iter::once(first).chain(others)
    }
}
