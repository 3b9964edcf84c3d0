//! What an event is to a view.

use gundb_core::fold::{Effect, Mark, REVERTED, revert_id};
use gundb_core::view::{EventView, Reading, encode_key};
use gundb_core::{Event, Json};
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::store::append::json_limits;
use crate::view::View;

/// As in PostgreSQL, where a key's bytes stand in an index entry.
const KEY_BYTES_MAX: usize = 2_560;

/// What an event is to a view.
#[derive(Debug)]
pub enum Read {
    /// It does something to the row of this key.
    Taken { key: Vec<u8>, effect: Effect },
    /// It reverts the event with this id.
    Reverts(Uuid),
    /// It is nothing to the view.
    NotTaken,
    /// It has no key.
    NoKey,
    /// It cannot be read.
    Cannot(String),
}

/// Where an event stands.
pub fn mark(event: &Event) -> Mark {
    Mark { hlc: event.hlc, site: event.dot.site, lane: event.dot.lane, seq: event.dot.seq, epoch: event.epoch }
}

/// Reads an event.
pub fn read(view: &View, event: &Event) -> Result<Read> {
    if event.kind == REVERTED {
        return Ok(reverts(event).map_or(Read::NotTaken, Read::Reverts));
    }
    // A document that is not looked into need not be parsed; most views look into data.
    let limits = gundb_core::Limits { bytes: usize::MAX, ..json_limits() };
    let document = |text: &str| Json::parse(text, limits).map_err(Error::damaged);
    let (data, meta) = (document(&event.data)?, document(&event.meta)?);
    let seen = EventView {
        key: event.key.as_deref(),
        kind: &event.kind,
        id: event.id,
        site: event.dot.site,
        hlc: event.hlc,
        data: &data,
        meta: &meta,
    };
    Ok(match view.parsed.read(&seen) {
        Ok(Reading::NotTaken) => Read::NotTaken,
        Ok(Reading::NoKey) => Read::NoKey,
        Ok(Reading::Event { key, effect }) => {
            let key = encode_key(&key);
            match key.len() > KEY_BYTES_MAX {
                true => Read::Cannot(format!("the key is longer than {KEY_BYTES_MAX} bytes")),
                false => Read::Taken { key, effect },
            }
        }
        Err(why) => Read::Cannot(why.to_string()),
    })
}

/// The event that one reverts: it is of the type, and has the id that follows from the id of what it reverts.
pub fn reverts(event: &Event) -> Option<Uuid> {
    if event.kind != REVERTED {
        return None;
    }
    let meta: serde_json::Value = serde_json::from_str(&event.meta).ok()?;
    let of: Uuid = meta.get("reverts")?.get(0)?.as_str()?.parse().ok()?;
    (revert_id(&of) == event.id).then_some(of)
}
