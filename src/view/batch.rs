//! What events do to a view, by key.

use crate::catalog::Pending;
use crate::error::Result;
use crate::jsonb::Binary;
use crate::scan::Stored;
use crate::view::reverts::{Revert, Reverts};
use crate::view::table::ViewTable;
use gundb_core::fold::{Appended, FoldEvent, Mark, REVERTED};
use gundb_core::view::{EventView, Reading, encode_key};
use gundb_core::{Datum, Dot, StreamId};
use std::collections::BTreeMap;
use uuid::Uuid;

/// A key's bytes stand in an index entry.
const KEY_BYTES_MAX: usize = 2_560;

/// The events of one key.
#[derive(Clone)]
pub struct Group {
    pub key: Vec<Datum>,
    pub events: Vec<Appended>,
    /// Where those stand that were left out, since they are reverted.
    pub reverted: Vec<Mark>,
}

/// All events of a key that count, as folds take them: each id stands once.
pub struct Whole {
    pub key: Vec<Datum>,
    pub events: Vec<FoldEvent>,
}

/// Some events as one view reads them. Keys ascend, so that whoever locks them does so in one order.
#[derive(Default)]
pub struct Batch {
    pub groups: BTreeMap<Vec<u8>, Group>,
    /// Events without a key.
    pub skipped: i64,
    /// Events that cannot be read.
    pub pending: Vec<Pending>,
    /// Their ids.
    pending_ids: Vec<Uuid>,
    /// Reverts, which are not the view's events: they say which of those are not to be folded.
    pub reverts: Vec<Revert>,
    /// Events that come to no key, by id. Where one stands under another dot too, the other's key must know.
    pub keyless: Vec<(Uuid, Dot)>,
}

/// What stands between the values of a key as people read it.
pub const BETWEEN: &str = ", ";

/// Whether as much has been read of events, for each of some views, as is merged at once: a bound on memory. A key takes
/// five times what an event takes.
pub fn are_full(batches: &[Batch], events: usize) -> bool {
    const EVENTS_MAX: usize = 200_000;
    const KEYS_MAX: usize = 40_000;
    events * batches.len() >= EVENTS_MAX || batches.iter().map(|batch| batch.groups.len()).sum::<usize>() >= KEYS_MAX
}

/// A key as people read it: the texts of its values.
pub fn key_text(key: &[Datum]) -> String {
    key.iter().map(Datum::to_string).collect::<Vec<_>>().join(BETWEEN)
}

/// A key's text, no more than a line of it.
pub fn shown(key: &[Datum]) -> String {
    const CHARACTERS_MAX: usize = 200;
    let whole = key_text(key);
    match whole.char_indices().nth(CHARACTERS_MAX) {
        Some((end, _)) => format!("{}…", &whole[..end]),
        None => whole,
    }
}

/// Events as folds take them, each id standing once.
pub fn fold_events(events: Vec<Appended>) -> Vec<FoldEvent> {
    events.into_iter().map(|event| FoldEvent::new(event.mark, event.effect)).collect()
}

impl Batch {
    /// Names a key, though nothing new comes to it.
    pub fn touch(&mut self, bytes: Vec<u8>, key: Vec<Datum>) -> &mut Group {
        self.groups.entry(bytes).or_insert_with(|| Group { key, events: Vec::new(), reverted: Vec::new() })
    }

    /// Adds an event. The view decides whether it takes it.
    pub fn add(&mut self, view: &ViewTable, stream: StreamId, event: &Stored) {
        self.add_where(view, stream, event, |_| true);
    }

    /// As `add`, where the key's bytes fit.
    pub fn add_where(&mut self, view: &ViewTable, stream: StreamId, event: &Stored, fits: impl FnOnce(&[u8]) -> bool) {
        if event.kind == REVERTED {
            return self.reverts.extend(Revert::of_event(event));
        }
        let seen = EventView {
            key: event.key,
            kind: event.kind,
            id: event.id,
            site: event.mark.site,
            hlc: event.mark.hlc,
            data: &Binary(event.data),
            meta: &Binary(event.meta),
        };
        let mut cannot = |reason: String| {
            self.keyless.push((event.id, event.mark.dot(stream)));
            let dot = event.mark.dot(stream);
            // Where the key can be read, it says whose row lacks the event.
            let key = view.view.key.of(&seen).ok().flatten();
            let key = key.map(|key| shown(&key));
            self.pending.push(Pending { key, dot, reason, sqlstate: "22P02".into() });
            self.pending_ids.push(event.id);
        };
        match view.view.read(&seen) {
            Ok(Reading::NotTaken) => self.keyless.push((event.id, event.mark.dot(stream))),
            Ok(Reading::NoKey) => {
                self.keyless.push((event.id, event.mark.dot(stream)));
                self.skipped += 1;
            }
            Ok(Reading::Event { key, effect }) => {
                let bytes = encode_key(&key);
                if bytes.len() > KEY_BYTES_MAX {
                    return cannot(format!("the key is longer than {KEY_BYTES_MAX} bytes"));
                }
                if fits(&bytes) {
                    self.touch(bytes, key).events.push(Appended { id: event.id, mark: event.mark, effect });
                }
            }
            Err(error) => cannot(error.to_string()),
        }
    }

    /// Takes over what another has read.
    pub fn append(&mut self, other: Batch) {
        for (bytes, mut group) in other.groups {
            let whole = self.touch(bytes, group.key);
            whole.events.append(&mut group.events);
            whole.reverted.append(&mut group.reverted);
        }
        self.skipped += other.skipped;
        self.pending.extend(other.pending);
        self.pending_ids.extend(other.pending_ids);
        self.reverts.extend(other.reverts);
        self.keyless.extend(other.keyless);
    }

    /// Leaves the keys alone, and reverts.
    pub fn forget_events(&mut self) {
        self.groups.values_mut().for_each(|group| group.events.clear());
        (self.skipped, self.pending, self.pending_ids) = (0, Vec::new(), Vec::new());
        self.keyless.clear();
    }

    /// Leaves out what is reverted. Keys stay, though no event of theirs be left.
    ///
    /// # Safety
    /// The stream's table is open.
    pub unsafe fn leave_out_reverted(&mut self, reverts: &Reverts) -> Result<()> {
        if matches!(reverts, Reverts::None) {
            return Ok(());
        }
        for group in self.groups.values_mut() {
            let mut living = Vec::with_capacity(group.events.len());
            for event in group.events.drain(..) {
                // SAFETY: the caller's promise.
                match unsafe { reverts.take_out(&event.id)? } {
                    true => group.reverted.push(event.mark),
                    false => living.push(event),
                }
            }
            group.events = living;
        }
        for (id, pending) in core::mem::take(&mut self.pending_ids).into_iter().zip(core::mem::take(&mut self.pending))
        {
            // SAFETY: the caller's promise.
            if !unsafe { reverts.take_out(&id)? } {
                self.pending_ids.push(id);
                self.pending.push(pending);
            }
        }
        Ok(())
    }
}
