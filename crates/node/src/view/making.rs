//! Views made, dropped, and built anew.
//!
//! What must always hold here: a view shows nothing before all of its stream's events are in it: it is built in the transaction that makes it.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::error::{Error, Kind, Result};
use crate::progress::Progress;
use crate::store::Edge;
use crate::store::look::Look;
use crate::store::memory::Views;
use crate::store::tables::{Place, hash, keyed_bytes};
use crate::store::writing::{Whose, Writing};
use crate::view::maintain::fold_again;
use crate::view::reading::{Read, read};
use crate::view::{Definition, View};

/// Events that are indexed between two reads.
const CHUNK_EVENTS: usize = 10_000;

impl Edge {
    /// Makes a view. One that is there and is the same stays. Says whether it is new.
    pub fn create_view(&self, name: &str, definition: Definition) -> Result<bool> {
        self.create_view_told(name, definition, &Progress::default())
    }

    /// As [`Edge::create_view`], telling how far it is: each event is read, and then folded.
    pub fn create_view_told(&self, name: &str, definition: Definition, progress: &Progress) -> Result<bool> {
        if name.is_empty() || name.len() > 63 || name.chars().any(char::is_control) {
            return Err(Error::new(Kind::Invalid, "a view's name has 1 to 63 bytes, and no control characters"));
        }
        // What cannot be parsed is refused before anybody waits.
        View::new(name.to_owned(), 0, definition.clone())?;
        let (name, progress) = (name.to_owned(), progress.clone());
        self.writer.call(false, move |writing| {
            writing.memory.definitions.stream(&definition.stream)?;
            if let Some(there) = writing.memory.views.0.get(&name) {
                if there.definition == definition {
                    return Ok(false);
                }
                return Err(Error::new(
                    Kind::Conflict,
                    format!("view \"{name}\" is there already and is defined otherwise"),
                )
                .hint(format!("To define it anew: gundb view drop {name}, then create it.")));
            }
            let view = View::new(name.clone(), writing.next_group()?, definition.clone())?;
            writing.tables.view.insert(name.as_str(), view.kept()?.as_slice())?;
            build(writing, &view, &progress)?;
            let mut views = writing.memory.views.0.clone();
            views.insert(name.clone(), Arc::new(view));
            writing.memory.views = Arc::new(Views(views));
            Ok(true)
        })
    }

    /// Drops a view. Its stream stays.
    pub fn drop_view(&self, name: &str) -> Result<()> {
        let name = name.to_owned();
        self.writer.call(false, move |writing| {
            let view = writing.memory.views.view(&name)?.clone();
            writing.change();
            clear(writing, &view)?;
            writing.tables.view.remove(name.as_str())?;
            let mut views = writing.memory.views.0.clone();
            views.remove(&name);
            writing.memory.views = Arc::new(Views(views));
            Ok(())
        })
    }

    /// Folds a view anew from all events of its stream, and tries what was left out. Says how many rows it has.
    pub fn rebuild_view(&self, name: &str) -> Result<u64> {
        self.rebuild_view_told(name, &Progress::default())
    }

    /// As [`Edge::rebuild_view`], telling how far it is.
    pub fn rebuild_view_told(&self, name: &str, progress: &Progress) -> Result<u64> {
        let (name, progress) = (name.to_owned(), progress.clone());
        self.writer.call(false, move |writing| {
            let view = writing.memory.views.view(&name)?.clone();
            writing.change();
            clear(writing, &view)?;
            build(writing, &view, &progress)?;
            let mut rows = 0;
            writing.tables.each_row(view.group, &mut |_, state| {
                rows += u64::from(gundb_core::fold::RowState::decode(state)?.exists());
                Ok(true)
            })?;
            Ok(rows)
        })
    }
}

impl Views {
    /// A view by its name.
    pub fn view(&self, name: &str) -> Result<&Arc<View>> {
        self.0.get(name).ok_or_else(|| {
            let error = Error::new(Kind::NotFound, format!("there is no view \"{name}\""));
            match gundb_core::similar(name, self.0.keys().map(String::as_str)) {
                Some(similar) => error.hint(format!("Did you mean \"{similar}\"?")),
                None => error.hint("Make it: gundb view create"),
            }
        })
    }
}

/// Takes away what a view keeps.
fn clear(writing: &mut Writing<'_, '_>, view: &View) -> Result<()> {
    let group = view.group;
    writing.tables.row.retain_in((group, [].as_slice())..(group + 1, [].as_slice()), |_, _| false)?;
    writing.tables.left_out.retain_in((group, 0)..=(group, u64::MAX), |_, _| false)?;
    let (first, last) = (keyed_bytes(group, 0, Place(0)), keyed_bytes(group, u64::MAX, Place(u64::MAX)));
    writing.tables.keyed.retain_in::<&[u8; 20], _>(&first..=&last, |_, _| false)?;
    Ok(())
}

/// Fills a view: first it is found out which event is for which key, then each key is folded.
fn build(writing: &mut Writing<'_, '_>, view: &View, progress: &Progress) -> Result<()> {
    let lanes = writing.tables.lanes(Some(view.stream))?;
    progress.expect(2 * lanes.iter().map(|(_, head)| head.last.seq).sum::<u64>());
    for (number, head) in lanes {
        let (mut next, last) = (1, head.last.seq);
        while next <= last {
            let mut found = Vec::with_capacity(CHUNK_EVENTS);
            writing.tables.each_event((number, &head.lane), (next, last), &mut |place, event| {
                next = event.dot.seq + 1;
                progress.advance(1);
                match read(view, &event)? {
                    Read::Taken { key, .. } => found.push((place, Ok(hash(&key)))),
                    Read::Cannot(reason) => found.push((place, Err(reason))),
                    Read::Reverts(_) | Read::NotTaken | Read::NoKey => progress.advance(1),
                }
                Ok(found.len() < CHUNK_EVENTS)
            })?;
            if found.is_empty() {
                break;
            }
            for (place, reading) in found {
                match reading {
                    Ok(hash) => drop(writing.tables.keyed.insert(&keyed_bytes(view.group, hash, place), ())?),
                    Err(reason) => {
                        progress.advance(1);
                        writing.tables.left_out.insert((view.group, place.0), reason.as_str())?;
                    }
                }
            }
        }
    }
    let mut after = None;
    loop {
        let hash = next_hash(writing, view, after)?;
        let Some(hash) = hash else { return Ok(()) };
        for key in keys_of_hash(writing, view, hash, progress)? {
            fold_again(writing, view, &key, Whose::Others)?;
        }
        let Some(next) = hash.checked_add(1) else { return Ok(()) };
        after = Some(next);
    }
}

/// The first hash of a view's keys, from one on.
fn next_hash(writing: &Writing<'_, '_>, view: &View, from: Option<u64>) -> Result<Option<u64>> {
    use redb::ReadableTable;
    let first = keyed_bytes(view.group, from.unwrap_or(0), Place(0));
    let last = keyed_bytes(view.group, u64::MAX, Place(u64::MAX));
    let found = writing.tables.keyed.range::<&[u8; 20]>(&first..=&last)?.next().transpose()?;
    Ok(found.map(|(key, _)| crate::store::tables::hash_in_keyed(key.value())))
}

/// The keys that have a hash.
fn keys_of_hash(writing: &Writing<'_, '_>, view: &View, hash: u64, progress: &Progress) -> Result<BTreeSet<Vec<u8>>> {
    let mut places = Vec::new();
    writing.tables.each_keyed(view.group, Some(hash), &mut |_, place| {
        places.push(place);
        Ok(true)
    })?;
    progress.advance(places.len() as u64);
    let mut keys = BTreeSet::new();
    for place in places {
        let event = writing.tables.event(place)?.ok_or_else(|| Error::damaged("a view's key leads to no event"))?;
        if let Read::Taken { key, .. } = read(view, &event)? {
            keys.insert(key);
        }
    }
    Ok(keys)
}
