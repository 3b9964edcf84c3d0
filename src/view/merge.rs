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
use crate::view::reverts::{self, Reverts};
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
    mut batch: Batch,
    ids: Ids,
    tried: &BTreeMap<Dot, Tried>,
) -> Result<usize> {
    let again = unsafe { settle_reverts(relation, stream, view, &mut batch, ids, Counted::Brought)? };
    let Batch { groups, mut pending, reverts, .. } = batch;
    let fails = view.strict && tried.is_empty();
    if fails && let Some(first) = pending.first() {
        return Err(refusal(view, first)?);
    }
    let merge = |groups| {
        let mut merged = unsafe { fold_in(relation, stream, view, groups, ids, Counted::Brought, &again)? };
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
        let reverts = reverts.iter().map(|revert| revert.mark.dot(stream.id)).collect::<Vec<_>>();
        unless_refused(stream.id, groups, &reverts, &merge)?
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
    let anew = groups.iter().filter(|(bytes, _)| again.contains(*bytes));
    let anew = anew.map(|(bytes, group)| (bytes.clone(), group.key.clone())).collect();
    let mut anew = unsafe { held_events(relation, stream, view, counted, anew, &[])? };
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
        let (after, values) = match anew.remove(&bytes) {
            Some(all) => unsafe { fold.whole(all)? },
            None => unsafe { fold.take(before, fold_events(events, ids))? },
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

/// Leaves out of a batch what is reverted, and adds the keys of what the batch itself reverts or brings back: they are to
/// be folded again, and are returned.
///
/// # Safety
/// `relation` is the stream's open table.
pub unsafe fn settle_reverts(
    relation: pg_sys::Relation,
    stream: &Stream,
    view: &ViewTable,
    batch: &mut Batch,
    ids: Ids,
    counted: Counted,
) -> Result<BTreeSet<Vec<u8>>> {
    if matches!(ids, Ids::MayRepeat) {
        // What came before the event that it reverts.
        let reverts = Reverts::of_stream(relation, stream, As::OfNow, |_| true)?;
        unsafe { batch.leave_out_reverted(&reverts)? };
    }
    let mut again = BTreeSet::new();
    if batch.reverts.is_empty() {
        return Ok(again);
    }
    catalog::note_reverts(&stream.name)?;
    let (mut touched, dots) = unsafe { reverts::touched(relation, stream, view, &batch.reverts)? };
    // A revert ends the wait of an event that could not be folded.
    let waiting = catalog::pending_dots(view.number, Mode::Write)?.into_iter().collect::<BTreeSet<_>>();
    let ended = dots.into_iter().filter(|dot| waiting.contains(dot)).collect::<Vec<_>>();
    catalog::forget_pending(view.number, &ended)?;
    let counts = counted.rule(stream)?;
    touched.pending.retain(|pending| counts(&pending.dot));
    batch.pending.append(&mut touched.pending);
    for (bytes, Group { key, .. }) in touched.groups {
        again.insert(bytes.clone());
        batch.groups.entry(bytes).or_insert_with(|| Group { key, events: Vec::new() });
    }
    Ok(again)
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

impl Counted<'_> {
    /// Says of an event whether it counts.
    fn rule<'a>(self, stream: &'a Stream) -> Result<impl Fn(&Dot) -> bool + 'a>
    where
        Self: 'a,
    {
        let own = run::site()?;
        let to_come = transaction::with(|t| t.unviewed(stream.table));
        Ok(move |dot: &Dot| match self {
            Counted::Brought => {
                dot.site != own || !to_come.iter().any(|(lane, after)| *lane == dot.lane && dot.seq > *after)
            }
            Counted::Covered { clock, left_out } => clock.covers(dot) && !left_out.contains(dot),
        })
    }
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
        let key = BTreeMap::from([(encode_key(self.key), self.key.to_vec())]);
        let Fold { relation, stream, view, counted, .. } = *self;
        let held = unsafe { held_events(relation, stream, view, counted, key, &self.pending)? };
        let events = held.into_values().next().unwrap_or_default();
        let folded = RowState::refold(&self.view.shape, &events, self.contexts);
        Ok(folded.and_then(|state| state.values().map(|values| (state, values))))
    }
}

/// The events of keys that count, and are not reverted.
unsafe fn held_events(
    relation: pg_sys::Relation,
    stream: &Stream,
    view: &ViewTable,
    counted: Counted,
    keys: BTreeMap<Vec<u8>, Vec<Datum>>,
    left_out: &[Pending],
) -> Result<BTreeMap<Vec<u8>, Vec<FoldEvent>>> {
    if keys.is_empty() {
        return Ok(BTreeMap::new());
    }
    let pending = catalog::pending_dots(view.number, Mode::Write)?.into_iter();
    let pending = pending.chain(left_out.iter().map(|left_out| left_out.dot)).collect::<BTreeSet<_>>();
    let rule = counted.rule(stream)?;
    let counts = |mark: &Mark| {
        let dot = mark.dot(stream.id);
        rule(&dot) && !pending.contains(&dot)
    };
    let mut all = Batch::default();
    let mut through_all = false;
    for key in keys.values() {
        let which = which(view, stream, key);
        through_all = matches!(which, Which::All);
        unsafe {
            scan::walk(relation, which, As::OfNow, |event| {
                if counts(&event.mark) {
                    all.add_where(view, stream.id, event, |bytes| keys.contains_key(bytes));
                }
                Ok(ControlFlow::Continue(()))
            })?;
        }
        // One walk finds the events of all keys.
        if through_all {
            break;
        }
    }
    let reverts = match through_all {
        true => Reverts::met(&all),
        false => Reverts::of_stream(relation, stream, As::OfNow, counts)?,
    };
    unsafe { all.leave_out_reverted(&reverts)? };
    let mut events = |bytes: Vec<u8>| {
        let group = all.groups.remove(&bytes);
        (bytes, group.map(|group| fold_events(group.events, Ids::MayRepeat)).unwrap_or_default())
    };
    Ok(keys.into_keys().map(&mut events).collect())
}

/// Where a key's events are: by the stream's index where the view's key is the event's.
pub fn which<'a>(view: &ViewTable, stream: &Stream, key: &'a [Datum]) -> Which<'a> {
    match (view.view.key.0.as_slice(), key, stream.by_key) {
        ([part], [Datum::Text(text)], Some(index))
            if part.path.root == Root::Key && part.datum_type == DatumType::Text =>
        {
            Which::OfKey { index, key: text }
        }
        _ => Which::All,
    }
}
