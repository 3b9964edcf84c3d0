//! A whole view from its events, and what is done with it: checked, tried again, emptied.
//!
//! Where no fold looks at contexts, and every event of an id stands once, states are kept by key and events taken as
//! they lie. Else a key's events must be together: then keys go in parts, each part a walk through the stream, so that
//! memory stays bounded.

use crate::catalog::{self, Pending};
use crate::error::{Result, internal};
use crate::heads;
use crate::scan::{self, As, Stored, Which};
use crate::spi::Mode;
use crate::stream::Stream;
use crate::view::batch::{Batch, Group, Whole, fold_events};
use crate::view::contexts::Lookup;
use crate::view::fold::{Counted, Source};
use crate::view::guard;
use crate::view::maintain::in_turn;
use crate::view::merge::{self, Origin, Taken};
use crate::view::progress::Progress;
use crate::view::repeats;
use crate::view::replay;
use crate::view::reverts::Reverts;
use crate::view::table::ViewTable;
use gundb_core::fold::{Mark, Outcome, RowState};
use gundb_core::view::KeyPart;
use gundb_core::{Clock, Datum, Dot, Json};
use pgrx::pg_sys::{self, Oid};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hasher};
use std::ops::ControlFlow;

/// Events kept in memory at once.
const EVENTS_MAX: u64 = 200_000;
/// Events taken between two merges into running states.
const CHUNK: usize = 20_000;
/// Rows given at once.
pub const ROWS_AT_ONCE: usize = 10_000;

/// Which events of a stream a view is made of.
#[derive(Clone, Copy)]
pub struct Events<'a> {
    /// The stream's open table.
    pub relation: pg_sys::Relation,
    pub stream: &'a Stream,
    pub at: As,
    /// How far each lane is taken: all that it covers is there.
    pub clock: &'a Clock,
    /// Those that are not taken.
    pub left_out: &'a BTreeSet<Dot>,
}

impl Events<'_> {
    /// Whether the event at a mark is one of them.
    pub fn take(&self, mark: &Mark) -> bool {
        let dot = mark.dot(self.stream.id);
        self.clock.covers(&dot) && !self.left_out.contains(&dot)
    }

    /// Calls `found` for each, as they lie, until it breaks off.
    unsafe fn each(&self, mut found: impl FnMut(&Stored) -> Result<ControlFlow<()>>) -> Result<()> {
        unsafe {
            scan::walk(self.relation, Which::All, self.at, |event| {
                if self.take(&event.mark) { found(event) } else { Ok(ControlFlow::Continue(())) }
            })
        }
    }
}

/// What a walk through the stream found besides rows.
#[derive(Default)]
pub struct Besides {
    pub skipped: i64,
    pub pending: Vec<Pending>,
    pub holds_reverts: bool,
}

/// Takes all rows of a view away; readers see them until the transaction commits.
pub fn empty(view: Oid) -> Result<()> {
    crate::spi::as_table_owner(view, || guard::writing(view, || catalog::delete_rows(view)))
}

/// Tries the pending events of a view again. Returns how many were folded.
///
/// # Safety
/// `relation` is the stream's open table.
pub unsafe fn retry(relation: pg_sys::Relation, stream: &Stream, view: &ViewTable) -> Result<usize> {
    let tried = catalog::take_pending(view.number)?;
    let mut batch = Batch::default();
    for dot in tried.keys() {
        unsafe { add_event(&mut batch, view, relation, stream, dot)? };
    }
    let left = unsafe { in_turn(relation, || merge::merge(relation, stream, view, batch, Origin::Retried, &tried))? };
    Ok(tried.len() - left)
}

/// Adds one event that is held to a batch.
///
/// # Safety
/// `relation` is the stream's open table.
pub unsafe fn add_event(
    batch: &mut Batch,
    view: &ViewTable,
    relation: pg_sys::Relation,
    stream: &Stream,
    dot: &Dot,
) -> Result<()> {
    let which = Which::OfLane { index: stream.primary_key, site: dot.site, lane: dot.lane, after: dot.seq - 1 };
    unsafe {
        scan::walk(relation, which, As::OfNow, |event| {
            batch.add(view, stream.id, event);
            Ok(ControlFlow::Break(()))
        })
    }
}

/// The keys whose row or state is not what their events give, through the active snapshot, and what is wrong.
///
/// # Safety
/// `relation` is the stream's open table.
pub unsafe fn check(
    relation: pg_sys::Relation,
    stream: &Stream,
    view: &ViewTable,
    mut found: impl FnMut(&str, &str),
) -> Result<()> {
    let clock = clock_of(stream, As::OfSnapshot)?;
    let pending = catalog::pending_dots(view.number, Mode::Read)?.into_iter().collect();
    let events = Events { relation, stream, at: As::OfSnapshot, clock: &clock, left_out: &pending };
    // Keys that lack events are listed as pending.
    let late = catalog::late_keys(view.number)?.into_iter().collect::<BTreeSet<_>>();
    let mut states = catalog::all_states(view.number)?;
    states.retain(|key, _| !late.contains(key));
    let keys = view.view.key.0.len();
    let statements = view.statements()?;
    let columns = keys + view.view.columns.0.len();
    let rows = crate::spi::as_table_owner(view.relation, || catalog::read_rows(&statements.read, &[], columns))?;
    let mut rows = rows.into_iter().map(|row| (key_texts(view, &row[..keys]), row)).collect::<HashMap<_, _>>();
    for key in late.iter().filter_map(|key| gundb_core::view::decode_key(key).ok()) {
        rows.remove(&key.iter().map(|datum| Some(datum.to_string())).collect::<Vec<_>>());
    }
    unsafe {
        fold_all(events, view, |part| {
            for Taken { bytes, key, state, values, .. } in part.iter().filter(|one| !late.contains(&one.bytes)) {
                let texts = key.iter().map(|datum| Some(datum.to_string())).collect::<Vec<_>>();
                let expected = values.as_ref().map(|values| {
                    texts.iter().cloned().chain(values.iter().map(|value| value.sql_text())).collect::<Vec<_>>()
                });
                let label = texts.iter().flatten().map(String::as_str).collect::<Vec<_>>().join(", ");
                match (expected, rows.remove(&texts)) {
                    (Some(_), None) => found(&label, "the row is missing"),
                    (None, Some(_)) => found(&label, "the row should not be"),
                    (Some(expected), Some(row)) if !same(view, &expected, &row) => found(&label, "the row differs"),
                    _ => {}
                }
                if !is_same_state(view, &states.remove(bytes).unwrap_or_default(), state) {
                    found(&label, "the state differs");
                }
            }
            Ok(())
        })?;
    }
    for key in rows.into_keys() {
        let label = key.iter().flatten().map(String::as_str).collect::<Vec<_>>().join(", ");
        found(&label, "the row should not be");
    }
    for (bytes, state) in states {
        // A state without an event is that of a key whose events are all pending.
        if !state.is_empty() && view.values_of(&state).is_ok_and(|values| values.is_some()) {
            let key = gundb_core::view::decode_key(&bytes).unwrap_or_default();
            found(&key.iter().map(Datum::to_string).collect::<Vec<_>>().join(", "), "the state should not be");
        }
    }
    Ok(())
}

/// Whether two stored states are the same. Of a reducer's, the latest must be: what else is kept depends on how events
/// came.
fn is_same_state(view: &ViewTable, a: &[u8], b: &[u8]) -> bool {
    a == b
        || view.record.reducer.is_some()
            && matches!((replay::decoded(a), replay::decoded(b)), (Ok(a), Ok(b)) if a.latest() == b.latest())
}

/// A row's key in the texts that gundb gives its values; what cannot be read stays as it is, and belongs to no event.
pub fn key_texts(view: &ViewTable, key: &[Option<String>]) -> Vec<Option<String>> {
    let canonical = |(part, text): (&KeyPart, &Option<String>)| {
        let json = text.clone().map(Json::String)?;
        part.datum_type.cast(&json).ok().flatten().map(|datum| datum.to_string()).or_else(|| text.clone())
    };
    view.view.key.0.iter().zip(key).map(canonical).collect()
}

/// Whether a row, as PostgreSQL prints it, is what it should be. PostgreSQL prints some types otherwise than they are
/// written, so values are compared as their types read them.
pub fn same(view: &ViewTable, expected: &[Option<String>], row: &[Option<String>]) -> bool {
    let keys = view.view.key.0.len();
    if expected[keys..] == row[keys..] {
        return true;
    }
    let canonical = |values: &[Option<String>]| catalog::as_printed(&view.view, &values[keys..]);
    matches!((canonical(expected), canonical(row)), (Ok(a), Ok(b)) if a == b)
}

/// How far a stream's lanes go.
pub fn clock_of(stream: &Stream, at: As) -> Result<Clock> {
    heads::clock(Some(&stream.table()), at)
}

/// Folds events, and gives keys with their states in parts; a key comes once.
///
/// # Safety
/// The relation of `events` is open, and what their clock covers is there to be seen.
pub unsafe fn fold_all(
    events: Events,
    view: &ViewTable,
    mut part_done: impl FnMut(&[Taken]) -> Result<()>,
) -> Result<Besides> {
    let Events { relation, stream, clock, left_out, .. } = events;
    let count = clock.iter().map(|head| head.seq).sum::<u64>();
    let authors = clock.iter().map(|head| (head.site, head.lane.run())).collect::<BTreeSet<_>>();
    // Where no id can stand twice, and contexts do not matter, events need not come together.
    if view.record.reducer.is_none() && !view.shape.is_causal() && authors.len() <= 1 {
        let folded = unsafe { fold_running(events, view, Progress::new(view, count)?)? };
        if let Some((built, besides)) = folded {
            part_done(&built)?;
            return Ok(besides);
        }
    }
    let source = Source { relation, stream, view, counted: Counted::Covered { clock, left_out } };
    let mut not_folded = Vec::new();
    let mut besides = unsafe {
        each_part(events, view, |keys| {
            let mut taken = merge::take_whole(source, keys)?;
            not_folded.append(&mut taken.pending);
            part_done(&taken.keys)
        })?
    };
    besides.pending.append(&mut not_folded);
    Ok(besides)
}

/// Gives the events of all keys, but those that are reverted. Keys go in parts, each a walk through the stream.
///
/// # Safety
/// As for `fold_all`.
pub unsafe fn each_part(
    events: Events,
    view: &ViewTable,
    mut found: impl FnMut(BTreeMap<Vec<u8>, Whole>) -> Result<()>,
) -> Result<Besides> {
    let count = events.clock.iter().map(|head| head.seq).sum::<u64>();
    let parts = count / EVENTS_MAX + 1;
    let mut progress = Progress::new(view, count * parts)?;
    // An id that several authors accepted is the event of its first dot.
    let authors = events.clock.iter().map(|head| (head.site, head.lane.run())).collect::<BTreeSet<_>>();
    let repeated = match authors.len() {
        0 | 1 => BTreeSet::new(),
        _ => catalog::repeated_ids(events.stream.table, &events.stream.label, events.at)?,
    };
    let mut once = Vec::new();
    for id in &repeated {
        let mut dots = unsafe { repeats::appendings(events.relation, events.stream, view, *id, events.at)? };
        dots.retain(|appending| events.clock.covers(&appending.mark.dot(events.stream.id)));
        if let Some((bytes, key, event)) = repeats::as_one(dots)
            && events.take(&event.mark)
        {
            once.push((bytes, key, id, event));
        }
    }
    let mut besides = Besides::default();
    for part in 0..parts {
        let mut batch = Batch::default();
        unsafe {
            events.each(|event| {
                // Read all the same: it may be without a key, or not to be read.
                let is_repeated = repeated.contains(&event.id);
                batch.add_where(view, events.stream.id, event, |key| !is_repeated && part_of(key, parts) == part);
                progress.tick()
            })?;
        }
        let reverts = Reverts::met(&batch);
        unsafe { batch.leave_out_reverted(&reverts)? };
        if part == 0 {
            besides.skipped = batch.skipped;
            besides.pending.append(&mut batch.pending);
            besides.holds_reverts = !batch.reverts.is_empty();
        }
        let whole = |(bytes, Group { key, events, .. })| (bytes, Whole { key, events: fold_events(events) });
        let mut keys = batch.groups.into_iter().map(whole).collect::<BTreeMap<_, _>>();
        for (bytes, key, id, event) in once.iter().filter(|(bytes, ..)| part_of(bytes, parts) == part) {
            let whole = keys.entry(bytes.clone()).or_insert_with(|| Whole { key: key.clone(), events: Vec::new() });
            if !unsafe { reverts.take_out(id)? } {
                whole.events.push(event.clone());
            }
        }
        found(keys)?;
    }
    Ok(besides)
}

fn part_of(key: &[u8], parts: u64) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(key);
    hasher.finish() % parts
}

/// Folds events as they lie. None: some event cannot be folded, and which one takes a closer look; or some are reverted.
unsafe fn fold_running(
    events: Events,
    view: &ViewTable,
    mut progress: Progress,
) -> Result<Option<(Vec<Taken>, Besides)>> {
    let stream = events.stream;
    let contexts = Lookup::new(stream.id);
    let mut states: BTreeMap<Vec<u8>, (Vec<Datum>, RowState)> = BTreeMap::new();
    let mut batch = Batch::default();
    let mut waiting = 0;
    let mut take_in = |batch: &mut Batch| -> bool {
        for (bytes, group) in core::mem::take(&mut batch.groups) {
            let events = fold_events(group.events);
            let (_, state) = states.entry(bytes).or_insert_with(|| (group.key, RowState::empty(&view.shape)));
            match state.merge(&events, &contexts) {
                Ok(Outcome::Merged(merged)) => *state = merged,
                _ => return false,
            }
        }
        true
    };
    let mut whole = true;
    unsafe {
        events.each(|event| {
            batch.add(view, stream.id, event);
            waiting += 1;
            if waiting == CHUNK {
                waiting = 0;
                whole = batch.reverts.is_empty() && take_in(&mut batch);
            }
            if whole { progress.tick() } else { Ok(ControlFlow::Break(())) }
        })?;
    }
    whole = whole && batch.reverts.is_empty() && take_in(&mut batch);
    let mut built = Vec::with_capacity(states.len());
    for (bytes, (key, state)) in states {
        let Ok(values) = view.view.values(&state) else { return Ok(None) };
        built.push(Taken { bytes, key, stored: Vec::new(), state: state.encode(), values, existed: false });
    }
    let besides = Besides { skipped: batch.skipped, pending: batch.pending, holds_reverts: false };
    if !whole {
        return Ok(None);
    }
    contexts.done().map_err(|_| internal("a fold without contexts asked for one"))?;
    Ok(Some((built, besides)))
}
