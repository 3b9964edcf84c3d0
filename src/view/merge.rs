//! A batch of events into the rows of a view: lock the keys' states in order, merge, have states and rows written.
//!
//! Must hold: keys are locked before anything of them is read, and in ascending order; an event that cannot be folded
//! is filed as pending and harms no other; state and row are written together.

use crate::catalog::{self, LateEvent, Pending, Tried};
use crate::error::{Error, Result, internal, state};
use crate::scan::As;
use crate::spi::Mode;
use crate::stream::Stream;
use crate::transaction;
use crate::view::at_once;
use crate::view::batch::{Batch, Group, Whole, fold_events};
use crate::view::contexts::Lookup;
use crate::view::fold::{Counted, Fold, Source, encoded, held_events};
use crate::view::intake::{self, Coming, Intake};
use crate::view::refusal::{Groups, Refusable};
use crate::view::replay;
use crate::view::reverts::{self, Concern, Reverts};
use crate::view::states::{Busy, States};
use crate::view::table::ViewTable;
use crate::view::write::{self, Changed, NewRow};
use gundb_core::fold::{FoldValue, Mark, RowState};
use gundb_core::{Datum, Dot};
use pgrx::pg_sys;
use std::collections::{BTreeMap, BTreeSet};

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
    let nothing = BTreeSet::new();
    let source = Source { relation, stream, view, counted: Counted::Brought { but: &nothing } };
    let may_be_late = origin != Origin::Own || transaction::with(|t| t.gave_ids);
    let reverted = unsafe { settle_reverts(source, &mut batch, may_be_late)? };
    let Batch { mut groups, pending, keyless, .. } = batch;
    let fails = view.strict && origin == Origin::Own;
    if fails && let Some(first) = pending.first() {
        return Err(refusal(view, first)?);
    }
    if !groups.is_empty() {
        view.hold()?;
    }
    if reverted.is_empty() {
        at_once::take(source, &mut groups, origin)?;
    }
    let coming = Coming { origin, keyless: &keyless, reverted: &reverted };
    let count = |left_out: &[Pending]| left_out.iter().filter(|pending| tried.contains_key(&pending.dot)).count();
    // What is left out is filed at once: for the sake of a key another may be folded again.
    catalog::insert_pending(view.number, &pending, false, tried)?;
    let merge = |groups: Groups, to_come: &BTreeSet<Dot>| {
        let source = Source { counted: Counted::Brought { but: to_come }, ..source };
        // Undone where a row is refused: then the revert waits instead.
        for concern in groups.keys().filter_map(|key| reverted.get(key)) {
            catalog::forget_pending(view.number, &concern.pending)?;
        }
        let mut states = None;
        let mut taken = intake::Taken::default();
        if !groups.is_empty() || !keyless.is_empty() && intake::may_repeat(origin)? {
            let open = states.insert(States::open(view.number)?);
            taken = unsafe { intake::take(source, open, groups, &coming)? };
        }
        let mut folded = unsafe { fold_locked(source, taken.keys)? };
        folded
            .in_doubt
            .retain(|late| taken.in_doubt.iter().all(|other| (&other.key, other.dot) != (&late.key, late.dot)));
        folded.in_doubt.append(&mut taken.in_doubt);
        if fails && let Some(first) = folded.pending.iter().find(|pending| !taken.waited.contains(&pending.dot)) {
            return Err(refusal(view, first)?);
        }
        if let Some(states) = &mut states {
            write::store(view, states, &folded.changed)?;
        }
        if !folded.in_doubt.is_empty() {
            intake::file(view, &folded.in_doubt)?;
        }
        catalog::insert_pending(view.number, &folded.pending, false, tried)?;
        Ok(count(&folded.pending))
    };
    let refuse = |refused: &[Pending]| {
        catalog::insert_pending(view.number, refused, true, tried)?;
        Ok(count(refused))
    };
    // Whoever brings what comes from others, or was late, puts the whole off where a row is refused.
    let brings = origin == Origin::Own || !tried.is_empty();
    let waits_itself = brings && !fails && !groups.is_empty() && view.can_refuse()?;
    let left_out = match waits_itself {
        true => Refusable { view, stream: stream.id, reverts: &reverted, merge, refuse }.take(groups, &nothing)?,
        false => merge(groups, &nothing)?,
    };
    Ok(count(&pending) + left_out)
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
    let keys = groups.into_iter().map(|(bytes, Group { key, events, .. })| {
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

/// Leaves out of a batch what is reverted, and adds the keys of what the batch itself reverts or brings back: they are to
/// be folded again, and are returned with the reverts that concern them, and with those of the events that were pending,
/// whose wait is to end with the fold. `may_be_late`: a revert may have come before the event that it reverts. Reverts that
/// are pending do not count.
///
/// # Safety
/// The relation of `source` is open.
pub unsafe fn settle_reverts(
    source: Source,
    batch: &mut Batch,
    may_be_late: bool,
) -> Result<BTreeMap<Vec<u8>, Concern>> {
    let Source { relation, stream, view, counted } = source;
    if batch.reverts.is_empty() && !(may_be_late && catalog::holds_reverts(&stream.name)?) {
        return Ok(BTreeMap::new());
    }
    let waiting = catalog::pending_dots(view.number, Mode::Latest)?.into_iter().collect::<BTreeSet<_>>();
    let counts = counted.rule(stream)?;
    let shown = |mark: &Mark| counts(&mark.dot(stream.id)) && !waiting.contains(&mark.dot(stream.id));
    if may_be_late {
        let reverts = Reverts::of_stream(relation, stream, As::OfNow, shown)?;
        unsafe { batch.leave_out_reverted(&reverts)? };
    }
    if batch.reverts.is_empty() {
        return Ok(BTreeMap::new());
    }
    catalog::note_reverts(&stream.name)?;
    let mut touched = unsafe { reverts::touched(relation, stream, view, &batch.reverts, shown)? };
    let ended = touched.keyless.into_iter().filter(|dot| waiting.contains(dot)).collect::<Vec<_>>();
    catalog::forget_pending(view.number, &ended)?;
    for concern in touched.keys.values_mut() {
        concern.pending = concern.events.keys().filter(|dot| waiting.contains(dot)).copied().collect();
    }
    touched.batch.pending.retain(|pending| counts(&pending.dot));
    batch.pending.append(&mut touched.batch.pending);
    for (bytes, Group { key, .. }) in touched.batch.groups {
        batch.touch(bytes, key);
    }
    Ok(touched.keys)
}

/// What a strict view says to an append that it cannot fold.
fn refusal(view: &ViewTable, pending: &Pending) -> Result<crate::error::Failure> {
    let label = catalog::table_label(view.relation)?;
    Ok(Error::new(state::CANNOT_FOLD, format!("view {label} cannot fold the event"))
        .detail(pending.reason.clone())
        .hint("Correct the event, or make the view without strict: then such events are left pending.")
        .into())
}
