//! A batch of events into the rows of a view: lock the keys' states in order, merge, have states and rows written.
//!
//! Must hold: keys are locked before anything of them is read, and in ascending order; an event that cannot be folded
//! is filed as pending and harms no other; state and row are written together.

use crate::catalog::{self, Pending, Tried};
use crate::error::{Error, Result, internal, state};
use crate::scan::{self, As, Which};
use crate::spi::Mode;
use crate::stream::Stream;
use crate::view::batch::{Batch, Group, Ids, fold_events, shown};
use crate::view::contexts::Lookup;
use crate::view::refusal::{LeftOut, unless_refused};
use crate::view::states::States;
use crate::view::table::ViewTable;
use crate::view::write::{self, Changed, NewRow};
use crate::{run, transaction};
use gundb_core::fold::{FoldError, FoldEvent, FoldValue, Mark, Outcome, RowState};
use gundb_core::view::{Root, encode_key};
use gundb_core::{Clock, Datum, DatumType, Dot};
use pgrx::pg_sys;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::ControlFlow;

/// Merges a batch into a view. Returns how many events it could not take.
///
/// # Safety
/// `relation` is the stream's open table.
pub unsafe fn merge(
    relation: pg_sys::Relation,
    stream: &Stream,
    view: &ViewTable,
    batch: Batch,
    ids: Ids,
    tried: &BTreeMap<Dot, Tried>,
) -> Result<usize> {
    let Batch { groups, mut pending, .. } = batch;
    let fails = view.strict && tried.is_empty();
    if fails && let Some(first) = pending.first() {
        return Err(refusal(view, first)?);
    }
    let merge = |groups| {
        let none = BTreeSet::new();
        let mut merged = unsafe { fold_in(relation, stream, view, groups, ids, Counted::Brought, &none)? };
        if fails && let Some(first) = merged.pending.first() {
            return Err(refusal(view, first)?);
        }
        if let Some(states) = &mut merged.states {
            write::store(view, states, &merged.changed)?;
        }
        Ok(merged.pending)
    };
    let mut left_out = if fails || groups.is_empty() || !view.can_refuse()? {
        LeftOut { pending: merge(groups)?, refused: Vec::new() }
    } else {
        unless_refused(stream.id, groups, &merge)?
    };
    pending.append(&mut left_out.pending);
    catalog::insert_pending(view.number, &pending, false, tried)?;
    catalog::insert_pending(view.number, &left_out.refused, true, tried)?;
    Ok(pending.len() + left_out.refused.len())
}

/// What a batch makes of the states of its keys.
pub struct Merged {
    /// Locked; None where there are no keys.
    pub states: Option<States>,
    pub changed: Vec<Changed>,
    /// Events that could not be folded.
    pub pending: Vec<Pending>,
    /// How many rows there are more, or fewer.
    pub growth: i64,
}

/// Locks the states of a batch's keys and folds its events into them; keys that are `again` are folded from all of their
/// events that count. Nothing is written yet.
///
/// # Safety
/// `relation` is the stream's open table.
pub unsafe fn fold_in(
    relation: pg_sys::Relation,
    stream: &Stream,
    view: &ViewTable,
    groups: BTreeMap<Vec<u8>, Group>,
    ids: Ids,
    counted: Counted,
    again: &BTreeSet<Vec<u8>>,
) -> Result<Merged> {
    let mut merged = Merged { states: None, changed: Vec::new(), pending: Vec::new(), growth: 0 };
    let mut found = HashMap::new();
    if !groups.is_empty() {
        let open = merged.states.insert(States::open(view.number)?);
        found = open.lock(&groups.keys().map(Vec::as_slice).collect::<Vec<_>>())?;
    }
    let contexts = Lookup::new(stream.id);
    for (bytes, Group { key, events }) in groups {
        let stored = found.get(&bytes).map_or(&[][..], Vec::as_slice);
        let before = if stored.is_empty() {
            RowState::empty(&view.shape)
        } else {
            RowState::decode(stored).map_err(|error| internal(format!("a view's state is damaged: {error}")))?
        };
        let existed = before.exists();
        let mut fold = Fold::new(relation, stream, view, &contexts, &key, counted);
        let (after, values) = unsafe {
            if again.contains(&bytes) {
                let events = fold.events()?;
                fold.whole(events)?
            } else {
                fold.take(before, fold_events(events, ids))?
            }
        };
        contexts.done()?;
        merged.pending.append(&mut fold.pending);
        let encoded = after.encode();
        if encoded == stored {
            continue;
        }
        merged.growth += i64::from(values.is_some()) - i64::from(existed);
        let row = (existed || values.is_some()).then_some(NewRow { key, values });
        merged.changed.push(Changed { key: bytes, state: encoded, row });
    }
    Ok(merged)
}

/// What a strict view says to an append that it cannot fold.
fn refusal(view: &ViewTable, pending: &Pending) -> Result<crate::error::Failure> {
    let label = catalog::table_label(view.relation)?;
    Ok(Error::new(state::CANNOT_FOLD, format!("view {label} cannot fold the event"))
        .detail(pending.reason.clone())
        .hint("Correct the event, or make the view without strict: then such events are left pending.")
        .into())
}

/// Which events of a key count when it is folded again; what is pending never does.
#[derive(Clone, Copy)]
pub enum Counted<'a> {
    /// All that are held, but for what this transaction has appended and not brought in: that comes by itself.
    Brought,
    /// Those that a clock covers, but for some.
    Covered { clock: &'a Clock, left_out: &'a BTreeSet<Dot> },
}

/// The fold of one key.
pub struct Fold<'a> {
    relation: pg_sys::Relation,
    stream: &'a Stream,
    view: &'a ViewTable,
    contexts: &'a Lookup,
    key: &'a [Datum],
    counted: Counted<'a>,
    /// Events that were left out.
    pub pending: Vec<Pending>,
}

/// A state and the row that it gives.
pub type Folded = (RowState, Option<Vec<FoldValue>>);

impl<'a> Fold<'a> {
    pub fn new(
        relation: pg_sys::Relation,
        stream: &'a Stream,
        view: &'a ViewTable,
        contexts: &'a Lookup,
        key: &'a [Datum],
        counted: Counted<'a>,
    ) -> Fold<'a> {
        Fold { relation, stream, view, contexts, key, counted, pending: Vec::new() }
    }

    /// The fold of all events of the key, given here.
    ///
    /// # Safety
    /// The relation is open.
    pub unsafe fn whole(&mut self, events: Vec<FoldEvent>) -> Result<Folded> {
        let folded = RowState::refold(&self.view.shape, &events, self.contexts);
        match folded.and_then(|state| state.values().map(|values| (state, values))) {
            Ok(folded) => Ok(folded),
            Err(_) => unsafe { self.take(RowState::empty(&self.view.shape), events) },
        }
    }

    /// Takes events in; those that cannot be folded are left out, found by halving.
    ///
    /// # Safety
    /// As for `whole`.
    pub unsafe fn take(&mut self, before: RowState, events: Vec<FoldEvent>) -> Result<Folded> {
        let failure = match before.merge(&events, self.contexts) {
            Ok(Outcome::Merged(after)) => match after.values() {
                Ok(values) => return Ok((after, values)),
                Err(error) => error,
            },
            Ok(Outcome::Refold(_)) => match unsafe { self.refold()? } {
                Ok(folded) => return Ok(folded),
                Err(error) => error,
            },
            Err(error) => error,
        };
        if let [event] = events.as_slice() {
            self.pending.push(Pending {
                key: Some(shown(self.key)),
                dot: event.mark.dot(self.stream.id),
                reason: self.reason(&failure),
                sqlstate: "22003".into(),
            });
            let values = before.values().map_err(|error| internal(format!("a view's state has no values: {error}")))?;
            return Ok((before, values));
        }
        let mut first = events;
        let second = first.split_off(first.len() / 2);
        let (before, _) = unsafe { self.take(before, first)? };
        unsafe { self.take(before, second) }
    }

    /// Why an event cannot be folded, with the column's name.
    fn reason(&self, failure: &FoldError) -> String {
        let named = |column: usize, why: String| {
            let name = self.view.view.columns.0.get(column).map_or("", |column| column.name.as_str());
            format!("column {name:?}: {why}")
        };
        match failure {
            FoldError::Overflow { column, overflow } => named(*column, overflow.to_string()),
            FoldError::Merge { column, mismatch } => named(*column, mismatch.to_string()),
            FoldError::Operation { .. } | FoldError::Columns { .. } => failure.to_string(),
        }
    }

    /// The fold of all events of the key that count.
    unsafe fn refold(&self) -> Result<core::result::Result<Folded, FoldError>> {
        let events = unsafe { self.events()? };
        let folded = RowState::refold(&self.view.shape, &events, self.contexts);
        Ok(folded.and_then(|state| state.values().map(|values| (state, values))))
    }

    /// All events of the key that count.
    ///
    /// # Safety
    /// The relation is open.
    pub unsafe fn events(&self) -> Result<Vec<FoldEvent>> {
        let pending = catalog::pending_dots(self.view.number, Mode::Write)?.into_iter().collect::<BTreeSet<_>>();
        let wanted = encode_key(self.key);
        let own = run::site()?;
        let to_come = transaction::with(|t| t.unviewed(self.stream.table));
        let counts = |mark: &Mark, dot: &Dot| match self.counted {
            Counted::Brought => {
                mark.site != own || !to_come.iter().any(|(lane, after)| *lane == mark.lane && mark.seq > *after)
            }
            Counted::Covered { clock, left_out } => clock.covers(dot) && !left_out.contains(dot),
        };
        let mut all = Batch::default();
        unsafe {
            scan::walk(self.relation, self.which(), As::OfNow, |event| {
                let dot = event.mark.dot(self.stream.id);
                if counts(&event.mark, &dot)
                    && !pending.contains(&dot)
                    && !self.pending.iter().any(|left_out| left_out.dot == dot)
                {
                    all.add_where(self.view, self.stream.id, event, |key| key == wanted);
                }
                Ok(ControlFlow::Continue(()))
            })?;
        }
        Ok(all.groups.remove(&wanted).map(|group| fold_events(group.events, Ids::MayRepeat)).unwrap_or_default())
    }

    /// Where the key's events are: by the stream's index where the view's key is the event's.
    fn which(&self) -> Which<'_> {
        match (self.view.view.key.0.as_slice(), self.key, self.stream.by_key) {
            ([part], [Datum::Text(text)], Some(index))
                if part.path.root == Root::Key && part.datum_type == DatumType::Text =>
            {
                Which::OfKey { index, key: text }
            }
            _ => Which::All,
        }
    }
}
