//! What events do to a view, by key.

use crate::catalog::Pending;
use crate::jsonb::Binary;
use crate::scan::Stored;
use crate::view::table::ViewTable;
use gundb_core::fold::{Appended, FoldEvent};
use gundb_core::view::{EventView, Reading, encode_key};
use gundb_core::{Datum, Dot, StreamId};
use std::collections::BTreeMap;
use uuid::Uuid;

/// A key's bytes stand in an index entry.
const KEY_BYTES_MAX: usize = 2_560;

/// The events of one key.
pub struct Group {
    pub key: Vec<Datum>,
    pub events: Vec<Appended>,
}

/// Some events as one view reads them. Keys ascend, so that whoever locks them does so in one order.
#[derive(Default)]
pub struct Batch {
    pub groups: BTreeMap<Vec<u8>, Group>,
    /// Events without a key.
    pub skipped: i64,
    /// Events that cannot be read.
    pub pending: Vec<Pending>,
    /// Events that come to no key, by id. Where one stands under another dot too, the other's key must know.
    pub keyless: Vec<(Uuid, Dot)>,
}

/// A key as people read it: its values, no more than a line of them.
pub fn shown(key: &[Datum]) -> String {
    const CHARACTERS_MAX: usize = 200;
    let whole = key.iter().map(Datum::to_string).collect::<Vec<_>>().join(", ");
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
        self.groups.entry(bytes).or_insert_with(|| Group { key, events: Vec::new() })
    }

    /// Adds an event. The view decides whether it takes it.
    pub fn add(&mut self, view: &ViewTable, stream: StreamId, event: &Stored) {
        self.add_where(view, stream, event, |_| true);
    }

    /// As `add`, where the key's bytes fit.
    pub fn add_where(&mut self, view: &ViewTable, stream: StreamId, event: &Stored, fits: impl Fn(&[u8]) -> bool) {
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
            self.pending.push(Pending { key, dot, reason, sqlstate: "22P02" });
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
}
