//! Events that this transaction has just stamped, kept for the views: a few need not be read back from their lane.
//!
//! Must hold: what is kept stands in one lane without a gap, and is believed only while its last event is the lane's head
//! as the transaction holds it. Whatever makes the head doubtful (a rollback to a savepoint, a row that may vanish) makes
//! this forgotten too, and then the lane is read.

use crate::scan::Stored;
use gundb_core::fold::Mark;
use gundb_core::{Chain, Hlc, Lane};
use std::ops::Range;
use uuid::Uuid;

/// More events than these are read back: walking along a lane costs little an event.
const EVENTS_MAX: usize = 64;
const BYTES_MAX: usize = 256 << 10;

/// The latest events of one lane.
#[derive(Default)]
pub struct Recent {
    /// The stream's table and the lane.
    place: Option<(u32, Lane)>,
    events: Vec<Kept>,
    /// Types and keys, one after the other.
    texts: String,
    /// Data and meta likewise.
    bytes: Vec<u8>,
    /// There were more than are kept.
    is_full: bool,
}

struct Kept {
    mark: Mark,
    xact: Hlc,
    chain: Chain,
    salt: [u8; 16],
    id: Uuid,
    kind: Range<usize>,
    key: Option<Range<usize>>,
    data: Range<usize>,
    meta: Range<usize>,
}

impl Recent {
    pub const NONE: Recent =
        Recent { place: None, events: Vec::new(), texts: String::new(), bytes: Vec::new(), is_full: false };

    /// Keeps an event that was stamped for a table.
    pub fn keep(&mut self, table: u32, event: &Stored) {
        let place = Some((table, event.mark.lane));
        if self.place != place || self.events.last().is_some_and(|last| last.mark.seq + 1 != event.mark.seq) {
            self.forget();
            self.place = place;
        }
        let bytes = event.kind.len() + event.key.map_or(0, str::len) + event.data.len() + event.meta.len();
        if self.is_full || self.events.len() == EVENTS_MAX || self.texts.len() + self.bytes.len() + bytes > BYTES_MAX {
            *self = Recent { place, is_full: true, ..Recent::NONE };
            return;
        }
        let texts = &mut self.texts;
        let mut text = |text: &str| {
            texts.push_str(text);
            texts.len() - text.len()..texts.len()
        };
        let (kind, key) = (text(event.kind), event.key.map(&mut text));
        let kept = &mut self.bytes;
        kept.reserve(event.data.len() + event.meta.len());
        let mut bytes = |bytes: &[u8]| {
            kept.extend_from_slice(bytes);
            kept.len() - bytes.len()..kept.len()
        };
        let (data, meta) = (bytes(event.data), bytes(event.meta));
        let Stored { mark, xact, chain, salt, id, .. } = *event;
        self.events.push(Kept { mark, xact, chain, salt, id, kind, key, data, meta });
    }

    pub fn forget(&mut self) {
        *self = Recent::NONE;
    }

    /// Gives away what is kept, if it is all that stands in the lane after `after` and up to the head.
    pub fn take(&mut self, table: u32, lane: Lane, after: u64, head: Option<u64>) -> Option<Recent> {
        let taken = core::mem::replace(self, Recent::NONE);
        let (first, last) = (taken.events.first()?.mark.seq, taken.events.last()?.mark.seq);
        (taken.place == Some((table, lane)) && first == after + 1 && Some(last) == head).then_some(taken)
    }

    /// The events in order.
    pub fn iter(&self) -> impl Iterator<Item = Stored<'_>> {
        self.events.iter().map(|kept| Stored {
            mark: kept.mark,
            xact: kept.xact,
            chain: kept.chain,
            salt: kept.salt,
            id: kept.id,
            kind: &self.texts[kept.kind.clone()],
            key: kept.key.clone().map(|key| &self.texts[key]),
            data: &self.bytes[kept.data.clone()],
            meta: &self.bytes[kept.meta.clone()],
        })
    }
}
