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
use crate::view::replay;
use crate::view::reverts::{self, Reverts};
use crate::view::states::States;
use crate::view::table::ViewTable;
use crate::view::write::{self, Changed, NewRow};
use crate::{run, transaction};
use gundb_core::fold::{Appended, FoldError, FoldEvent, FoldValue, Mark, Outcome, RowState};
use gundb_core::view::{Root, encode_key};
use gundb_core::{Clock, Datum, DatumType, Dot};
use pgrx::pg_sys;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::ControlFlow;
use uuid::Uuid;

/// Where the events of a view are, and which of them count.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    /// The stream's open table.
    pub relation: pg_sys::Relation,
    pub stream: &'a Stream,
    pub view: &'a ViewTable,
    pub counted: Counted<'a>,
}

/// What came of a key.
pub struct Taken {
    pub bytes: Vec<u8>,
    pub key: Vec<Datum>,
    /// Its state, encoded.
    pub state: Vec<u8>,
    /// Its row, if it has one.
    pub values: Option<Vec<FoldValue>>,
    /// Whether it had one before.
    pub existed: bool,
}

/// Merges a batch into a view. Returns how many of the events that are tried again it could not take either.
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
    let source = Source { relation, stream, view, counted: Counted::Brought };
    let again = unsafe { settle_reverts(source, &mut batch, ids)? };
    let Batch { groups, mut pending, reverts, .. } = batch;
    let fails = view.strict && tried.is_empty();
    if fails && let Some(first) = pending.first() {
        return Err(refusal(view, first)?);
    }
    let merge = |groups| {
        let mut merged = unsafe { fold_in(source, groups, ids, &again)? };
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
    let again = |pending: &&Pending| tried.contains_key(&pending.dot);
    Ok(pending.iter().chain(&left_out.refused).filter(again).count())
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
/// The relation of `source` is open.
pub unsafe fn fold_in(
    source: Source,
    groups: BTreeMap<Vec<u8>, Group>,
    ids: Ids,
    again: &BTreeSet<Vec<u8>>,
) -> Result<Merged> {
    let view = source.view;
    let mut merged = Merged { states: None, changed: Vec::new(), pending: Vec::new(), growth: 0 };
    let mut found = HashMap::new();
    if !groups.is_empty() {
        let open = merged.states.insert(States::open(view.number)?);
        found = open.lock(&groups.keys().map(Vec::as_slice).collect::<Vec<_>>())?;
    }
    let (taken, pending) = match &view.record.reducer {
        Some(reducer) => unsafe { replay::take(source, reducer, groups, Some((&found, again)), ids)? },
        None => unsafe { take(source, groups, &found, ids, again)? },
    };
    merged.pending = pending;
    for Taken { bytes, key, state, values, existed } in taken {
        if found.get(&bytes).is_some_and(|stored| *stored == state) {
            continue;
        }
        merged.growth += i64::from(values.is_some()) - i64::from(existed);
        let row = (existed || values.is_some()).then_some(NewRow { key, values });
        merged.changed.push(Changed { key: bytes, state, row });
    }
    Ok(merged)
}

/// Takes events into columns, by key. Returns what could not be taken, besides.
unsafe fn take(
    source: Source,
    groups: BTreeMap<Vec<u8>, Group>,
    found: &HashMap<Vec<u8>, Vec<u8>>,
    ids: Ids,
    again: &BTreeSet<Vec<u8>>,
) -> Result<(Vec<Taken>, Vec<Pending>)> {
    let view = source.view;
    let anew = groups.iter().filter(|(bytes, _)| again.contains(*bytes));
    let anew = anew.map(|(bytes, group)| (bytes.clone(), group.key.clone())).collect();
    let mut anew = unsafe { held_events(source, anew, &[])? };
    let contexts = Lookup::new(source.stream.id);
    let (mut taken, mut pending) = (Vec::with_capacity(groups.len()), Vec::new());
    for (bytes, Group { key, events }) in groups {
        let stored = found.get(&bytes).map_or(&[][..], Vec::as_slice);
        let before = if stored.is_empty() {
            RowState::empty(&view.shape)
        } else {
            RowState::decode(stored).map_err(|error| internal(format!("a view's state is damaged: {error}")))?
        };
        let existed = before.exists();
        let mut fold = Fold::new(source, &contexts, &key);
        let (after, values) = match anew.remove(&bytes) {
            Some(all) => unsafe { fold.whole(all)? },
            None => unsafe { fold.take(before, fold_events(events, ids))? },
        };
        contexts.done()?;
        pending.append(&mut fold.pending);
        taken.push(Taken { bytes, key, state: after.encode(), values, existed });
    }
    Ok((taken, pending))
}

/// Folds all events of keys, given here. Returns what could not be folded, besides.
///
/// # Safety
/// The relation of `source` is open.
pub unsafe fn take_whole(source: Source, groups: BTreeMap<Vec<u8>, Group>) -> Result<(Vec<Taken>, Vec<Pending>)> {
    let contexts = Lookup::new(source.stream.id);
    let (mut taken, mut pending) = (Vec::with_capacity(groups.len()), Vec::new());
    for (bytes, Group { key, events }) in groups {
        let mut fold = Fold::new(source, &contexts, &key);
        let (state, values) = unsafe { fold.whole(fold_events(events, Ids::MayRepeat))? };
        contexts.done()?;
        pending.append(&mut fold.pending);
        taken.push(Taken { bytes, key, state: state.encode(), values, existed: false });
    }
    Ok((taken, pending))
}

/// The row of a key, from its events; without values it has none.
///
/// # Safety
/// The relation of `source` is open.
pub unsafe fn row_of_events(source: Source, key: &[Datum], events: Vec<FoldEvent>) -> Result<Option<Vec<FoldValue>>> {
    let Some(reducer) = &source.view.record.reducer else {
        let contexts = Lookup::new(source.stream.id);
        let (_, values) = unsafe { Fold::new(source, &contexts, key).whole(events)? };
        return contexts.done().map(|()| values);
    };
    let place = |event: FoldEvent| Appended { id: Uuid::nil(), mark: event.mark, effect: event.effect };
    let group = Group { key: key.to_vec(), events: events.into_iter().map(place).collect() };
    let groups = BTreeMap::from([(encode_key(key), group)]);
    let (taken, _) = unsafe { replay::take(source, reducer, groups, None, Ids::StandOnce)? };
    Ok(taken.into_iter().next().and_then(|taken| taken.values))
}

/// Leaves out of a batch what is reverted, and adds the keys of what the batch itself reverts or brings back: they are to
/// be folded again, and are returned.
///
/// # Safety
/// The relation of `source` is open.
pub unsafe fn settle_reverts(source: Source, batch: &mut Batch, ids: Ids) -> Result<BTreeSet<Vec<u8>>> {
    let Source { relation, stream, view, counted } = source;
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
    pub fn rule<'a>(self, stream: &'a Stream) -> Result<impl Fn(&Dot) -> bool + 'a>
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
    source: Source<'a>,
    contexts: &'a Lookup,
    key: &'a [Datum],
    /// Events that were left out.
    pub pending: Vec<Pending>,
}

/// A state and the row that it gives.
pub type Folded = (RowState, Option<Vec<FoldValue>>);

impl<'a> Fold<'a> {
    pub fn new(source: Source<'a>, contexts: &'a Lookup, key: &'a [Datum]) -> Fold<'a> {
        Fold { source, contexts, key, pending: Vec::new() }
    }

    /// The fold of all events of the key, given here.
    ///
    /// # Safety
    /// The relation is open.
    pub unsafe fn whole(&mut self, events: Vec<FoldEvent>) -> Result<Folded> {
        let folded = RowState::refold(&self.source.view.shape, &events, self.contexts);
        match folded.and_then(|state| state.values().map(|values| (state, values))) {
            Ok(folded) => Ok(folded),
            Err(_) => unsafe { self.take(RowState::empty(&self.source.view.shape), events) },
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
                dot: event.mark.dot(self.source.stream.id),
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
            let name = self.source.view.view.columns.0.get(column).map_or("", |column| column.name.as_str());
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
        let held = unsafe { held_events(self.source, key, &self.pending)? };
        let events = held.into_values().next().unwrap_or_default();
        let folded = RowState::refold(&self.source.view.shape, &events, self.contexts);
        Ok(folded.and_then(|state| state.values().map(|values| (state, values))))
    }
}

/// The events of keys that count, and are not reverted.
unsafe fn held_events(
    source: Source,
    keys: BTreeMap<Vec<u8>, Vec<Datum>>,
    left_out: &[Pending],
) -> Result<BTreeMap<Vec<u8>, Vec<FoldEvent>>> {
    if keys.is_empty() {
        return Ok(BTreeMap::new());
    }
    let Source { relation, stream, view, counted } = source;
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
    match text_key(view, key).zip(stream.by_key) {
        Some((key, index)) => Which::OfKey { index, key },
        None => Which::All,
    }
}

/// A key of the view where it is the event's own.
pub fn text_key<'a>(view: &ViewTable, key: &'a [Datum]) -> Option<&'a str> {
    match (view.view.key.0.as_slice(), key) {
        ([part], [Datum::Text(text)]) if part.path.root == Root::Key && part.datum_type == DatumType::Text => {
            Some(text)
        }
        _ => None,
    }
}
