//! A batch of events into the rows of a view: lock the keys' states in order, merge, have states and rows written.
//!
//! Must hold: keys are locked before anything of them is read, and in ascending order; an event that cannot be folded
//! is filed as pending and harms no other; state and row are written together.

use crate::catalog::{self, LateEvent, Pending, Tried};
use crate::doubt::Waiting;
use crate::error::{Error, Result, internal, state};
use crate::scan::{self, As, Which};
use crate::spi::Mode;
use crate::stream::Stream;
use crate::view::batch::{Batch, Group, Whole, fold_events, shown};
use crate::view::contexts::Lookup;
use crate::view::intake::{self, Coming, Intake};
use crate::view::late;
use crate::view::refusal::{LeftOut, unless_refused};
use crate::view::repeats::Probe;
use crate::view::replay;
use crate::view::reverts::{self, Reverts};
use crate::view::states::{Busy, States};
use crate::view::table::ViewTable;
use crate::view::write::{self, Changed, NewRow};
use crate::{run, transaction};
use gundb_core::fold::{FoldError, FoldEvent, FoldValue, Mark, Outcome, RowState};
use gundb_core::view::{Root, encode_key};
use gundb_core::{Clock, Datum, DatumType, Dot};
use pgrx::pg_sys;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

/// Where the events of a view are, and which of them count.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    /// The stream's open table.
    pub relation: pg_sys::Relation,
    pub stream: &'a Stream,
    pub view: &'a ViewTable,
    pub counted: Counted<'a>,
}

/// Whose events come to a view.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// This transaction's own: a strict view refuses what it cannot fold.
    Own,
    /// Others', or late ones: keys that are busy are left, and what would have come to them is late.
    Applied,
    /// Some that were pending, tried again.
    Retried,
}

/// What came of a key.
pub struct Taken {
    pub bytes: Vec<u8>,
    pub key: Vec<Datum>,
    /// Its state as it was stored.
    pub stored: Vec<u8>,
    /// Its state, encoded.
    pub state: Vec<u8>,
    /// Its row, if it has one.
    pub values: Option<Vec<FoldValue>>,
    /// Whether it had one before.
    pub existed: bool,
}

/// What came of some keys.
#[derive(Default)]
pub struct AllTaken {
    pub keys: Vec<Taken>,
    /// Events that could not be folded.
    pub pending: Vec<Pending>,
    /// Events whose ids another transaction may be about to bring too: their keys are to be looked at once more.
    pub in_doubt: Vec<LateEvent>,
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
    origin: Origin,
    tried: &BTreeMap<Dot, Tried>,
) -> Result<usize> {
    let source = Source { relation, stream, view, counted: Counted::Brought };
    let again = unsafe { settle_reverts(source, &mut batch, origin != Origin::Own)? };
    let Batch { groups, mut pending, reverts, keyless, .. } = batch;
    let fails = view.strict && origin == Origin::Own;
    if fails && let Some(first) = pending.first() {
        return Err(refusal(view, first)?);
    }
    let reverts = reverts.iter().map(|revert| revert.mark.dot(stream.id)).collect::<Vec<_>>();
    let coming = Coming { origin, keyless: &keyless, again: &again, reverts: &reverts };
    let merge = |groups: BTreeMap<Vec<u8>, Group>| {
        let mut states = None;
        let (mut keys, mut waited) = (BTreeMap::new(), BTreeSet::new());
        if !groups.is_empty() || !keyless.is_empty() && intake::may_repeat(origin)? {
            let open = states.insert(States::open(view.number)?);
            let taken = unsafe { intake::take(source, open, groups, &coming)? };
            (keys, waited) = (taken.keys, taken.waited);
        }
        let folded = unsafe { fold_locked(source, keys)? };
        if fails && let Some(first) = folded.pending.iter().find(|pending| !waited.contains(&pending.dot)) {
            return Err(refusal(view, first)?);
        }
        if let Some(states) = &mut states {
            write::store(view, states, &folded.changed)?;
        }
        if !folded.in_doubt.is_empty() {
            intake::file(view, &folded.in_doubt)?;
        }
        Ok(folded.pending)
    };
    // Whoever brings what comes from others, or was late, puts the whole off where a row is refused.
    let brings = origin == Origin::Own || !tried.is_empty();
    let waits_itself = brings && !fails && !groups.is_empty() && view.can_refuse()?;
    let mut left_out = match waits_itself {
        true => unless_refused(stream.id, groups, &reverts, &merge)?,
        false => LeftOut { pending: merge(groups)?, refused: Vec::new() },
    };
    pending.append(&mut left_out.pending);
    catalog::insert_pending(view.number, &pending, false, tried)?;
    catalog::insert_pending(view.number, &left_out.refused, true, tried)?;
    let again = |pending: &&Pending| tried.contains_key(&pending.dot);
    Ok(pending.iter().chain(&left_out.refused).filter(again).count())
}

/// What a batch makes of the states of its keys.
pub struct Merged {
    pub changed: Vec<Changed>,
    /// Events that could not be folded.
    pub pending: Vec<Pending>,
    /// As of [`AllTaken`].
    pub in_doubt: Vec<LateEvent>,
    /// How many rows there are more, or fewer.
    pub growth: i64,
}

/// Locks the states of a batch's keys, which nobody else has, and folds its events into them; keys that are `again` are
/// folded from all of their events that count. Nothing is written yet.
///
/// # Safety
/// The relation of `source` is open.
pub unsafe fn fold_in(
    source: Source,
    states: &mut States,
    groups: BTreeMap<Vec<u8>, Group>,
    again: &BTreeSet<Vec<u8>>,
) -> Result<Merged> {
    let mut found = states.lock(&groups.keys().map(Vec::as_slice).collect::<Vec<_>>(), Busy::Awaited)?;
    let keys = groups.into_iter().map(|(bytes, Group { key, events })| {
        let state = found.remove(&bytes).unwrap_or_default();
        let again = again.contains(&bytes);
        (bytes, Intake { key, events, state, again })
    });
    unsafe { fold_locked(source, keys.collect()) }
}

/// Folds what comes to keys that are locked.
unsafe fn fold_locked(source: Source, keys: BTreeMap<Vec<u8>, Intake>) -> Result<Merged> {
    let taken = match &source.view.record.reducer {
        Some(reducer) => unsafe { replay::take(source, reducer, keys)? },
        None => unsafe { take(source, keys)? },
    };
    let AllTaken { keys, pending, in_doubt } = taken;
    let mut merged = Merged { changed: Vec::new(), pending, in_doubt, growth: 0 };
    for Taken { bytes, key, stored, state, values, existed } in keys {
        if state == stored {
            continue;
        }
        merged.growth += i64::from(values.is_some()) - i64::from(existed);
        let row = (existed || values.is_some()).then_some(NewRow { key, values });
        merged.changed.push(Changed { key: bytes, state, row });
    }
    Ok(merged)
}

/// Takes events into columns, by key.
unsafe fn take(source: Source, keys: BTreeMap<Vec<u8>, Intake>) -> Result<AllTaken> {
    let view = source.view;
    let mut all = AllTaken::default();
    let anew = keys.iter().filter(|(_, intake)| intake.again);
    let anew = anew.map(|(bytes, intake)| (bytes.clone(), intake.key.clone())).collect();
    let mut anew = unsafe { held_events(source, anew, &BTreeSet::new(), &mut all.in_doubt)? };
    let contexts = Lookup::new(source.stream.id);
    for (bytes, Intake { key, events, state: stored, .. }) in keys {
        let before = if stored.is_empty() {
            RowState::empty(&view.shape)
        } else {
            RowState::decode(&stored).map_err(|error| internal(format!("a view's state is damaged: {error}")))?
        };
        let existed = before.exists();
        let mut fold = Fold::new(source, &contexts, &key);
        let (after, values) = match anew.remove(&bytes) {
            Some(events) => fold.whole(events)?,
            None => unsafe { fold.take(before, fold_events(events))? },
        };
        contexts.done()?;
        all.pending.append(&mut fold.pending);
        all.in_doubt.append(&mut fold.in_doubt);
        all.keys.push(Taken { bytes, key, stored, state: encoded(view, &after), values, existed });
    }
    Ok(all)
}

/// Folds all events of keys, given here.
///
/// # Safety
/// The relation of `source` is open.
pub unsafe fn take_whole(source: Source, keys: BTreeMap<Vec<u8>, Whole>) -> Result<AllTaken> {
    if let Some(reducer) = &source.view.record.reducer {
        return unsafe { replay::take_whole(source, reducer, keys) };
    }
    let contexts = Lookup::new(source.stream.id);
    let mut all = AllTaken::default();
    for (bytes, Whole { key, events }) in keys {
        let mut fold = Fold::new(source, &contexts, &key);
        let (state, values) = fold.whole(events)?;
        contexts.done()?;
        all.pending.append(&mut fold.pending);
        let state = encoded(source.view, &state);
        all.keys.push(Taken { bytes, key, stored: Vec::new(), state, values, existed: false });
    }
    Ok(all)
}

/// A state's bytes. A key without events that count (all are reverted, or are for other keys by their ids) is as one
/// that was never met.
fn encoded(view: &ViewTable, state: &RowState) -> Vec<u8> {
    if *state == RowState::empty(&view.shape) { Vec::new() } else { state.encode() }
}

/// Leaves out of a batch what is reverted, and adds the keys of what the batch itself reverts or brings back: they are to
/// be folded again, and are returned. `may_be_late`: a revert may have come before the event that it reverts.
///
/// # Safety
/// The relation of `source` is open.
pub unsafe fn settle_reverts(source: Source, batch: &mut Batch, may_be_late: bool) -> Result<BTreeSet<Vec<u8>>> {
    let Source { relation, stream, view, counted } = source;
    if may_be_late {
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
        batch.touch(bytes, key);
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
        let (to_come, arriving) = transaction::with(|t| (t.unviewed(stream.table), t.yet_to_arrive(stream.table)));
        let is_to_come = move |dot: &Dot| {
            dot.site == own && to_come.iter().any(|(lane, after)| *lane == dot.lane && dot.seq > *after)
                || arriving.get(&(dot.site, dot.lane)).is_some_and(|after| dot.seq > *after)
        };
        Ok(move |dot: &Dot| match self {
            Counted::Brought => !is_to_come(dot),
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
    /// Events that are taken in after those at hand.
    later: BTreeSet<Dot>,
    /// As of [`AllTaken`].
    pub in_doubt: Vec<LateEvent>,
}

/// A state and the row that it gives.
pub type Folded = (RowState, Option<Vec<FoldValue>>);

impl<'a> Fold<'a> {
    pub fn new(source: Source<'a>, contexts: &'a Lookup, key: &'a [Datum]) -> Fold<'a> {
        Fold { source, contexts, key, pending: Vec::new(), later: BTreeSet::new(), in_doubt: Vec::new() }
    }

    /// The fold of all events of the key, given here; those that cannot be folded are left out, found by halving.
    pub fn whole(&mut self, mut events: Vec<FoldEvent>) -> Result<Folded> {
        events.sort_by_key(|event| event.mark);
        let mut kept = Vec::with_capacity(events.len());
        self.keep(&mut kept, events);
        self.fold(&kept).map_err(|error| internal(format!("events that can be folded cannot: {error}")))
    }

    fn fold(&self, events: &[FoldEvent]) -> core::result::Result<Folded, FoldError> {
        let folded = RowState::refold(&self.source.view.shape, events, self.contexts)?;
        let values = folded.values()?;
        Ok((folded, values))
    }

    fn keep(&mut self, kept: &mut Vec<FoldEvent>, more: Vec<FoldEvent>) {
        let before = kept.len();
        kept.extend(more);
        let Err(failure) = self.fold(kept) else { return };
        let mut first = kept.split_off(before);
        if let [event] = first.as_slice() {
            return self.leave_out(event, &failure);
        }
        let second = first.split_off(first.len() / 2);
        self.keep(kept, first);
        self.keep(kept, second);
    }

    fn leave_out(&mut self, event: &FoldEvent, failure: &FoldError) {
        self.pending.push(Pending {
            key: Some(shown(self.key)),
            dot: event.mark.dot(self.source.stream.id),
            reason: self.reason(failure),
            sqlstate: "22003".into(),
        });
    }

    /// Takes events in; those that cannot be folded are left out, found by halving.
    unsafe fn take(&mut self, before: RowState, events: Vec<FoldEvent>) -> Result<Folded> {
        let failure = match before.merge(&events, self.contexts) {
            Ok(Outcome::Merged(after)) => match after.values() {
                Ok(values) => return Ok((after, values)),
                Err(error) => error,
            },
            Ok(Outcome::Refold(_)) => return unsafe { self.anew() },
            Err(error) => error,
        };
        if let [event] = events.as_slice() {
            self.leave_out(event, &failure);
            let values = before.values().map_err(|error| internal(format!("a view's state has no values: {error}")))?;
            return Ok((before, values));
        }
        let mut first = events;
        let second = first.split_off(first.len() / 2);
        let later = second.iter().map(|event| event.mark.dot(self.source.stream.id)).collect::<BTreeSet<_>>();
        self.later.extend(&later);
        let (before, _) = unsafe { self.take(before, first)? };
        self.later.retain(|dot| !later.contains(dot));
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
    unsafe fn anew(&mut self) -> Result<Folded> {
        let bytes = encode_key(self.key);
        let keys = BTreeMap::from([(bytes, self.key.to_vec())]);
        let left_out = self.pending.iter().map(|pending| pending.dot).chain(self.later.iter().copied()).collect();
        let held = unsafe { held_events(self.source, keys, &left_out, &mut self.in_doubt)? };
        self.whole(held.into_values().next().unwrap_or_default())
    }
}

/// The events of keys that count and are not reverted, as folds take them; of an id that stands under several dots the
/// first, where its key is asked for.
unsafe fn held_events(
    source: Source,
    keys: BTreeMap<Vec<u8>, Vec<Datum>>,
    left_out: &BTreeSet<Dot>,
    in_doubt: &mut Vec<LateEvent>,
) -> Result<BTreeMap<Vec<u8>, Vec<FoldEvent>>> {
    if keys.is_empty() {
        return Ok(BTreeMap::new());
    }
    let Source { relation, stream, view, counted } = source;
    let pending = catalog::pending_dots(view.number, Mode::Write)?.into_iter().collect::<BTreeSet<_>>();
    let is_left_out = |dot: &Dot| pending.contains(dot) || left_out.contains(dot);
    let rule = counted.rule(stream)?;
    let counts = |mark: &Mark| {
        let dot = mark.dot(stream.id);
        rule(&dot) && !is_left_out(&dot)
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
    if matches!(counted, Counted::Brought) && run::database()?.waiting(Waiting::Late).may_be() {
        // After the walk: what it has met is taken in now, and what was committed meanwhile stays late.
        for bytes in keys.keys() {
            let events = all.groups.get(bytes).into_iter().flat_map(|group| &group.events);
            let met = events.map(|event| event.mark.dot(stream.id)).collect::<BTreeSet<_>>();
            late::take(view.number, bytes, |dot| met.contains(dot))?;
        }
    }
    let reverts = match through_all {
        true => Reverts::met(&all),
        false => Reverts::of_stream(relation, stream, As::OfNow, counts)?,
    };
    unsafe { all.leave_out_reverted(&reverts)? };
    let mut probe = unsafe { Probe::begin(relation, stream) };
    let mut held = BTreeMap::new();
    for (bytes, key) in keys {
        let events = all.groups.remove(&bytes).map(|group| group.events).unwrap_or_default();
        let (events, doubtful) = unsafe { probe.settle(view, &bytes, events, &rule, &is_left_out)? };
        in_doubt.extend(doubtful.into_iter().map(|dot| intake::once_more(bytes.clone(), &key, dot)));
        held.insert(bytes, events);
    }
    Ok(held)
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
