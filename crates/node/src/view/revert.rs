//! Reverts: events that take other events out of every fold, here and wherever they arrive.

use gundb_core::fold::{REVERTED, revert_id, reverts_of};
use serde_json::json;
use uuid::Uuid;

use crate::error::{Error, Kind, Result};
use crate::store::look::Look;
use crate::store::{Appended, Edge, New, append};

impl Edge {
    /// Reverts the events with these ids, all or none. A revert can be reverted.
    pub fn revert(&self, stream: &str, ids: &[Uuid]) -> Result<Vec<Appended>> {
        let (stream, mut ids) = (stream.to_owned(), ids.to_vec());
        ids.sort_unstable();
        ids.dedup();
        self.writer.call(false, move |writing| {
            let id = writing.memory.definitions.users_stream(&stream)?.id;
            let mut new: Vec<New> = Vec::with_capacity(ids.len());
            for event_id in &ids {
                let events = writing.tables.events_of_id(id, event_id)?;
                let Some((_, event)) = events.into_iter().next() else {
                    return Err(Error::new(
                        Kind::NotFound,
                        format!("stream \"{stream}\" holds no event with id {event_id}"),
                    ));
                };
                let held = reverts_of(event_id, |revert| {
                    Ok::<_, Error>(
                        writing.tables.events_of_id(id, revert)?.iter().any(|(_, event)| event.kind == REVERTED),
                    )
                })?;
                let last = held.last().copied().unwrap_or(*event_id);
                if held.len() % 2 == 1 {
                    return Err(Error::new(
                        Kind::Conflict,
                        format!("the event with id {event_id} is reverted already"),
                    )
                    .hint(format!("To bring it back, revert the revert: gundb revert {stream} {last}")));
                }
                new.push(New {
                    stream: stream.clone(),
                    kind: REVERTED.to_owned(),
                    key: event.key,
                    data: "{}".to_owned(),
                    meta: Some(json!({ "reverts": [last.to_string()] }).to_string()),
                    id: Some(revert_id(&last)),
                    expected_version: None,
                });
            }
            // An event and its last revert, both given, are one.
            new.sort_by_key(|new| new.id);
            new.dedup_by_key(|new| new.id);
            append::append_reverts(writing, new)
        })
    }
}
