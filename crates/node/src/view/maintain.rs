//! What new events change: of each key that they are for the state, merged where it can be, else folded again.

use std::collections::{BTreeMap, BTreeSet};

use gundb_core::fold::{FoldEvent, Outcome, RowState};
use gundb_core::{Event, LaneKey, StreamId};
use uuid::Uuid;

use crate::error::{Error, Kind, Result};
use crate::store::look::Look;
use crate::store::tables::{Place, hash, keyed_bytes};
use crate::store::words;
use crate::store::writing::{Whose, Writing};
use crate::view::View;
use crate::view::folding::{Contexts, Folded, is_out, refold};
use crate::view::reading::{Read, mark, read, reverts};

/// What comes to a key.
#[derive(Default)]
struct Coming {
    events: Vec<FoldEvent>,
    /// Whether it is to be folded again from all of its events.
    again: bool,
}

/// Brings events that were stored into the views of their stream.
pub fn maintain(
    writing: &mut Writing<'_, '_>,
    stream: StreamId,
    events: &[(Place, &Event)],
    whose: Whose,
) -> Result<()> {
    if events.iter().any(|(_, event)| reverts(event).is_some()) && writing.memory.reverting.insert(stream) {
        writing.tables.meta.insert(words::reverting(stream).as_str(), [].as_slice())?;
    }
    let views = writing.memory.views.clone();
    for view in views.of_stream(stream) {
        let keys = coming(writing, view, events, whose)?;
        change(writing, view, keys, whose)?;
    }
    Ok(())
}

/// Which keys the events are for.
fn coming(
    writing: &mut Writing<'_, '_>,
    view: &View,
    events: &[(Place, &Event)],
    whose: Whose,
) -> Result<BTreeMap<Vec<u8>, Coming>> {
    let is_reverting = writing.memory.reverting.contains(&view.stream);
    let mut keys: BTreeMap<Vec<u8>, Coming> = BTreeMap::new();
    for (place, event) in events {
        let reading = read(view, event)?;
        match &reading {
            Read::Taken { key, effect } => {
                writing.tables.keyed.insert(&keyed_bytes(view.group, hash(key), *place), ())?;
                let coming = keys.entry(key.clone()).or_default();
                coming.events.push(FoldEvent::new(mark(event), effect.clone()));
                coming.again |= is_reverting && is_out(writing.tables, view.stream, &event.id, None)?;
            }
            Read::Reverts(of) => {
                for key in keys_of_reverted(writing, view, *of)? {
                    keys.entry(key).or_default().again = true;
                }
            }
            Read::Cannot(reason) => {
                leave_out(writing, view, *place, reason, whose)?;
            }
            Read::NotTaken | Read::NoKey => {}
        }
        // Whatever it is: where its id stands elsewhere too, the place of the event may be another now.
        if !whose.are_fresh() && writing.tables.places_of_id(&event.id)?.len() > 1 {
            for key in keys_of_id(writing, view, &event.id)? {
                keys.entry(key).or_default().again = true;
            }
        }
    }
    Ok(keys)
}

/// The keys that the dots of an id are for.
fn keys_of_id(writing: &Writing<'_, '_>, view: &View, id: &Uuid) -> Result<BTreeSet<Vec<u8>>> {
    let mut keys = BTreeSet::new();
    for (_, event) in writing.tables.events_of_id(view.stream, id)? {
        if let Read::Taken { key, .. } = read(view, &event)? {
            keys.insert(key);
        }
    }
    Ok(keys)
}

/// The keys of the event that is reverted in the end, where what is reverted is perhaps a revert.
fn keys_of_reverted(writing: &Writing<'_, '_>, view: &View, mut id: Uuid) -> Result<BTreeSet<Vec<u8>>> {
    // An id follows from the one that it reverts, so there is no circle.
    while let Some(of) = writing.tables.events_of_id(view.stream, &id)?.iter().find_map(|(_, event)| reverts(event)) {
        id = of;
    }
    keys_of_id(writing, view, &id)
}

/// What a view cannot fold is left out of it; a strict one refuses what is being appended.
fn leave_out(writing: &mut Writing<'_, '_>, view: &View, place: Place, reason: &str, whose: Whose) -> Result<()> {
    if view.definition.strict && matches!(whose, Whose::Own { .. }) {
        return Err(Error::new(Kind::Invalid, format!("view \"{}\" cannot fold the event: {reason}", view.name))
            .hint("Correct the event, or make the view without --strict: then such events are left out of it."));
    }
    writing.tables.left_out.insert((view.group, place.0), reason)?;
    Ok(())
}

/// Changes the rows of keys.
fn change(writing: &mut Writing<'_, '_>, view: &View, keys: BTreeMap<Vec<u8>, Coming>, whose: Whose) -> Result<()> {
    for (key, coming) in keys {
        let merged = if coming.again { None } else { merge(writing, view, &key, &coming.events)? };
        match merged {
            Some(state) => put(writing, view, &key, &state)?,
            None => fold_again(writing, view, &key, whose)?,
        }
    }
    Ok(())
}

/// The state with the events in it; None where the key must be folded again.
fn merge(writing: &Writing<'_, '_>, view: &View, key: &[u8], events: &[FoldEvent]) -> Result<Option<RowState>> {
    let state = match writing.tables.row(view.group, key)? {
        Some(bytes) => RowState::decode(&bytes)?,
        None => RowState::empty(&view.shape),
    };
    let contexts = Contexts::new(writing.tables, view.stream);
    let outcome = state.merge(events, &contexts);
    contexts.check()?;
    match outcome {
        Ok(Outcome::Merged(state)) if view.parsed.values(&state).is_ok() => Ok(Some(state)),
        // What cannot be folded is found one by one.
        Ok(_) | Err(_) => Ok(None),
    }
}

/// Folds a key from all of its events.
pub fn fold_again(writing: &mut Writing<'_, '_>, view: &View, key: &[u8], whose: Whose) -> Result<()> {
    let Folded { state, cannot } = refold(writing.tables, view, key, None)?;
    for (mark, reason) in cannot {
        let lane = LaneKey { site: mark.site, stream: view.stream, lane: mark.lane };
        let number = writing.memory.lanes.get(&lane).map(|(number, _)| *number);
        let place = number.and_then(|number| Place::new(number, mark.seq));
        let place = place.ok_or_else(|| Error::damaged("an event of a view stands in no lane"))?;
        leave_out(writing, view, place, &reason, whose)?;
    }
    put(writing, view, key, &state)
}

fn put(writing: &mut Writing<'_, '_>, view: &View, key: &[u8], state: &RowState) -> Result<()> {
    if *state == RowState::empty(&view.shape) {
        writing.tables.row.remove((view.group, key))?;
    } else {
        writing.tables.row.insert((view.group, key), state.encode().as_slice())?;
    }
    Ok(())
}
