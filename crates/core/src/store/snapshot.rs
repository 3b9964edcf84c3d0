//! What can be read of one moment of a store.

use crate::apply::LaneHead;
use crate::clock::Clock;
use crate::context::Epoch;
use crate::event::{Event, TransactionId};
use crate::hlc::Hlc;
use crate::id::{Seq, StreamId};
use crate::page::LaneKey;
use crate::store::StoreError;

/// A lane, and where it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The lane.
    pub lane: LaneKey,
    /// Its last event.
    pub last: LaneHead,
}

/// One moment of a store: whatever is asked, and however often, it answers as of then.
pub trait Snapshot {
    /// The lanes that hold something.
    fn heads(&self) -> Result<Vec<Head>, StoreError>;

    /// The name of a stream, if it is known.
    fn stream_name(&self, stream: StreamId) -> Result<Option<String>, StoreError>;

    /// Events of a lane from one seq to another, in their order; perhaps not all of them: at least one, and no more once `bytes_max` is reached.
    fn events(&self, lane: &LaneKey, from: Seq, to: Seq, bytes_max: u64) -> Result<Vec<Event>, StoreError>;

    /// The greatest stamp of a transaction that wrote to several streams; None of any other.
    fn span(&self, transaction: &TransactionId) -> Result<Option<Hlc>, StoreError>;

    /// What an epoch covers, if it is known.
    fn epoch(&self, epoch: &Epoch) -> Result<Option<Clock>, StoreError>;

    /// The last event of a lane whose transaction stands in the lane, as a whole, before a stamp. By halving: O(log events) reads.
    fn whole_before(&self, lane: &LaneKey, last: Seq, before: Hlc) -> Result<Seq, StoreError> {
        let (mut low, mut high) = (0, last);
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            let is_before = match self.events(lane, middle, middle, 1)?.first() {
                Some(event) => {
                    let id = event.transaction();
                    self.end_of(lane, last, event)?.max(self.span(&id)?.unwrap_or(Hlc::MIN)) < before
                }
                None => false,
            };
            if is_before {
                low = middle;
            } else {
                high = middle - 1;
            }
        }
        Ok(low)
    }

    /// The greatest stamp, in a lane, of an event's transaction.
    fn end_of(&self, lane: &LaneKey, last: Seq, event: &Event) -> Result<Hlc, StoreError> {
        let mut end = event.hlc;
        let mut seq = event.dot.seq + 1;
        while seq <= last {
            match self.events(lane, seq, seq, 1)?.first() {
                Some(next) if next.xact == event.xact => end = next.hlc,
                _ => break,
            }
            seq += 1;
        }
        Ok(end)
    }
}
