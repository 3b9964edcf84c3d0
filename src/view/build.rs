//! A whole view from its events: made, rebuilt, checked.
//!
//! Where no fold looks at contexts, and every event of an id stands once, states are kept by key and events taken as
//! they lie. Else a key's events must be together: then keys go in parts, each part a walk through the stream, so that
//! memory stays bounded.

use crate::catalog::{self, Pending, StreamTable};
use crate::error::{Result, internal};
use crate::heads;
use crate::scan::{self, As, Which};
use crate::stream::Stream;
use crate::view::batch::{Batch, fold_events};
use crate::view::contexts::Lookup;
use crate::view::guard;
use crate::view::merge::{self, Fold, Folded, NewRow, Origin};
use crate::view::repeats;
use crate::view::table::ViewTable;
use gundb_core::fold::{FoldEvent, Outcome, RowState};
use gundb_core::view::KeyPart;
use gundb_core::{Datum, Json};
use pgrx::pg_sys::{self, Oid};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hasher};
use std::ops::ControlFlow;

/// Events kept in memory at once.
const EVENTS_MAX: u64 = 200_000;
/// Events taken between two merges into running states.
const CHUNK: usize = 20_000;
/// Rows written at once.
const ROWS_AT_ONCE: usize = 10_000;

/// What a walk through the stream found besides rows.
#[derive(Default)]
struct Besides {
    skipped: i64,
    pending: Vec<Pending>,
}

/// A key with its state and row.
struct Built {
    bytes: Vec<u8>,
    key: Vec<Datum>,
    folded: Folded,
}

/// Takes all rows of a view away; readers see them until the transaction commits.
pub fn empty(view: Oid) -> Result<()> {
    crate::spi::as_table_owner(view, || guard::writing(view, || catalog::delete_rows(view)))
}

/// Fills a view that holds nothing. Returns how many rows it has.
///
/// # Safety
/// `relation` is the stream's open table; appenders are locked out.
pub unsafe fn fill(relation: pg_sys::Relation, stream: &Stream, view: &ViewTable) -> Result<u64> {
    let mut rows = 0;
    let besides = unsafe {
        fold_all(relation, stream, view, As::OfNow, &BTreeSet::new(), |part| {
            for chunk in part.chunks(ROWS_AT_ONCE) {
                let keys = chunk.iter().map(|built| built.bytes.as_slice()).collect::<Vec<_>>();
                let states = chunk.iter().map(|built| built.folded.0.encode()).collect::<Vec<_>>();
                catalog::insert_states(view.number, &keys, &states)?;
                let row =
                    |built: &Built| Some(NewRow { key: built.key.clone(), values: Some(built.folded.1.clone()?) });
                let written = chunk.iter().filter_map(row).collect::<Vec<_>>();
                merge::write(view, &written, &[])?;
                rows += written.len() as u64;
            }
            Ok(())
        })?
    };
    catalog::insert_pending(view.number, &besides.pending, &BTreeMap::new())?;
    if besides.skipped > 0 {
        catalog::add_skipped(view.number, 0, besides.skipped)?;
    }
    Ok(rows)
}

/// Tries the pending events of a view again. Returns how many were folded.
///
/// # Safety
/// `relation` is the stream's open table.
pub unsafe fn retry(relation: pg_sys::Relation, stream: &Stream, view: &ViewTable) -> Result<usize> {
    let tried = catalog::take_pending(view.number)?;
    let mut batch = Batch::default();
    for dot in tried.keys() {
        let which = Which::OfLane { index: stream.primary_key, site: dot.site, lane: dot.lane, after: dot.seq - 1 };
        unsafe {
            scan::walk(relation, which, As::OfNow, |event| {
                batch.add(view, stream.id, event);
                Ok(ControlFlow::Break(()))
            })?;
        }
    }
    let left = unsafe { merge::merge(relation, stream, view, batch, Origin::Retried, &tried)? };
    Ok(tried.len() - left)
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
    let pending = catalog::pending_dots(view.number, crate::spi::Mode::Read)?.into_iter().collect();
    // Keys that lack events are listed as pending.
    let late = catalog::late_keys(view.number)?;
    let mut states = catalog::all_states(view.number)?;
    states.retain(|key, _| !late.contains(key));
    let keys = view.view.key.0.len();
    let statements = view.statements()?;
    let columns = keys + view.view.columns.0.len();
    let rows = crate::spi::as_table_owner(view.relation, || catalog::read_rows(&statements.read, columns))?;
    let mut rows = rows.into_iter().map(|row| (key_texts(view, &row[..keys]), row)).collect::<HashMap<_, _>>();
    for key in late.iter().filter_map(|key| gundb_core::view::decode_key(key).ok()) {
        rows.remove(&key.iter().map(|datum| Some(datum.to_string())).collect::<Vec<_>>());
    }
    unsafe {
        fold_all(relation, stream, view, As::OfSnapshot, &pending, |part| {
            for Built { bytes, key, folded: (state, values) } in part.iter().filter(|one| !late.contains(&one.bytes)) {
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
                if states.remove(bytes).is_none_or(|stored| stored != state.encode()) {
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
        if !state.is_empty() && RowState::decode(&state).is_ok_and(|state| state.exists()) {
            let key = gundb_core::view::decode_key(&bytes).unwrap_or_default();
            found(&key.iter().map(Datum::to_string).collect::<Vec<_>>().join(", "), "the state should not be");
        }
    }
    Ok(())
}

/// A row's key in the texts that gundb gives its values; what cannot be read stays as it is, and belongs to no event.
fn key_texts(view: &ViewTable, key: &[Option<String>]) -> Vec<Option<String>> {
    let canonical = |(part, text): (&KeyPart, &Option<String>)| {
        let json = text.clone().map(Json::String)?;
        part.datum_type.cast(&json).ok().flatten().map(|datum| datum.to_string()).or_else(|| text.clone())
    };
    view.view.key.0.iter().zip(key).map(canonical).collect()
}

/// Whether a row, as PostgreSQL prints it, is what it should be. PostgreSQL prints some types otherwise than they are
/// written, so values are compared as their types read them.
fn same(view: &ViewTable, expected: &[Option<String>], row: &[Option<String>]) -> bool {
    let keys = view.view.key.0.len();
    if expected[keys..] == row[keys..] {
        return true;
    }
    let canonical = |values: &[Option<String>]| catalog::as_printed(&view.view, &values[keys..]);
    matches!((canonical(expected), canonical(row)), (Ok(a), Ok(b)) if a == b)
}

/// Folds all events but those left out, and gives keys with their states in parts; a key comes once.
unsafe fn fold_all(
    relation: pg_sys::Relation,
    stream: &Stream,
    view: &ViewTable,
    at: As,
    left_out: &BTreeSet<gundb_core::Dot>,
    mut part_done: impl FnMut(&[Built]) -> Result<()>,
) -> Result<Besides> {
    let table = StreamTable { name: stream.name.clone(), stream: stream.id, table: stream.table };
    let (mut events, mut authors) = (0, BTreeSet::new());
    heads::each(Some(&table), at, |_, site, lane, head| {
        events += head.seq;
        authors.insert((site, lane.run()));
    })?;
    // An id that several authors accepted counts once, so its events must come together.
    let repeated = match authors.len() {
        0 | 1 => BTreeSet::new(),
        _ => catalog::repeated_ids(stream.table, &stream.label, at)?,
    };
    if !view.shape.is_causal() && repeated.is_empty() {
        let folded = unsafe { fold_running(relation, stream, view, at, left_out)? };
        if let Some((built, besides)) = folded {
            part_done(&built)?;
            return Ok(besides);
        }
    }
    let mut once: BTreeMap<Vec<u8>, (Vec<Datum>, Vec<FoldEvent>)> = BTreeMap::new();
    for id in &repeated {
        let dots = unsafe { repeats::appendings(relation, stream, view, *id, at)? };
        if let Some((bytes, key, event)) = repeats::as_one(dots)
            && !left_out.contains(&event.mark.dot(stream.id))
        {
            once.entry(bytes).or_insert_with(|| (key, Vec::new())).1.push(event);
        }
    }
    let parts = events / EVENTS_MAX + 1;
    let contexts = Lookup::new(stream.id);
    let mut besides = Besides::default();
    for part in 0..parts {
        let mut batch = Batch::default();
        unsafe {
            scan::walk(relation, Which::All, at, |event| {
                if left_out.is_empty() || !left_out.contains(&event.mark.dot(stream.id)) {
                    // Read all the same: it may be without a key, or not to be read.
                    let is_repeated = repeated.contains(&event.id);
                    batch.add_where(view, stream.id, event, |key| !is_repeated && part_of(key, parts) == part);
                }
                Ok(ControlFlow::Continue(()))
            })?;
        }
        if part == 0 {
            besides.skipped = batch.skipped;
            besides.pending.append(&mut batch.pending);
        }
        for (bytes, (key, _)) in once.iter().filter(|(bytes, _)| part_of(bytes, parts) == part) {
            batch.touch(bytes.clone(), key.clone());
        }
        let mut built = Vec::with_capacity(batch.groups.len());
        for (bytes, group) in batch.groups {
            let mut fold = Fold::new(relation, stream, view, &contexts, &group.key);
            let mut events = fold_events(group.events);
            events.extend(once.remove(&bytes).into_iter().flat_map(|(_, events)| events));
            let folded = fold.whole(events)?;
            contexts.done()?;
            besides.pending.append(&mut fold.pending);
            built.push(Built { bytes, key: group.key, folded });
        }
        part_done(&built)?;
    }
    Ok(besides)
}

fn part_of(key: &[u8], parts: u64) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(key);
    hasher.finish() % parts
}

/// Folds events as they lie. None: some event cannot be folded, and which one takes a closer look.
unsafe fn fold_running(
    relation: pg_sys::Relation,
    stream: &Stream,
    view: &ViewTable,
    at: As,
    left_out: &BTreeSet<gundb_core::Dot>,
) -> Result<Option<(Vec<Built>, Besides)>> {
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
        scan::walk(relation, Which::All, at, |event| {
            if left_out.is_empty() || !left_out.contains(&event.mark.dot(stream.id)) {
                batch.add(view, stream.id, event);
                waiting += 1;
            }
            if waiting == CHUNK {
                waiting = 0;
                whole = take_in(&mut batch);
            }
            Ok(if whole { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
    }
    whole = whole && take_in(&mut batch);
    let mut built = Vec::with_capacity(states.len());
    for (bytes, (key, state)) in states {
        let Ok(values) = state.values() else { return Ok(None) };
        built.push(Built { bytes, key, folded: (state, values) });
    }
    let besides = Besides { skipped: batch.skipped, pending: batch.pending };
    if !whole {
        return Ok(None);
    }
    contexts.done().map_err(|_| internal("a fold without contexts asked for one"))?;
    Ok(Some((built, besides)))
}
