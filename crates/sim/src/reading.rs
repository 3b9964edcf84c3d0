//! How a node reads what it sends: core's reading of its disk.
//!
//! What must always hold here: as one snapshot shows them.

use std::sync::Arc;

use gundb_core::apply::LaneHead;
use gundb_core::store::{self, Head, Snapshot, StoreError};
use gundb_core::sync::routes::Routes;
use gundb_core::sync::scope::{Page, Query};
use gundb_core::{Clock, Epoch, Event, Hlc, LaneKey, Seq, SiteId, StreamId, Transaction, TransactionId};

use crate::plant::Plant;
use crate::store::Store;

/// A disk, as core reads it.
struct Disk<'a> {
    store: &'a Store,
    /// Whose events a planted fault leaves out.
    suppressed: Option<SiteId>,
}

impl Snapshot for Disk<'_> {
    fn heads(&self) -> Result<Vec<Head>, StoreError> {
        let lanes = self.store.lanes.iter().filter(|(lane, _)| self.suppressed != Some(lane.site));
        let head = |(lane, events): (&LaneKey, &Vec<std::rc::Rc<Event>>)| {
            let last = events.last()?;
            let last = LaneHead { seq: last.dot.seq, hlc: last.hlc, chain: last.chain };
            Some(Head { lane: *lane, last })
        };
        Ok(lanes.filter_map(head).collect())
    }

    fn stream_name(&self, stream: StreamId) -> Result<Option<String>, StoreError> {
        Ok(self.store.known.get(&stream).map(|name| name.to_string()))
    }

    fn events(&self, lane: &LaneKey, from: Seq, to: Seq, bytes_max: u64) -> Result<Vec<Event>, StoreError> {
        // Few at once, so that what is fetched in pieces is tried.
        const EVENTS_AT_ONCE: usize = 16;
        let Some(events) = self.store.lanes.get(lane) else { return Ok(Vec::new()) };
        let range = from.saturating_sub(1) as usize..(to as usize).min(events.len());
        let (mut bytes, mut found) = (0, Vec::new());
        for event in events.get(range).unwrap_or_default().iter().take(EVENTS_AT_ONCE) {
            bytes += gundb_core::sync::sender::bytes_of(event);
            found.push((**event).clone());
            if bytes >= bytes_max {
                break;
            }
        }
        Ok(found)
    }

    fn span(&self, transaction: &TransactionId) -> Result<Option<Hlc>, StoreError> {
        Ok(self.store.spans.get(transaction).copied())
    }

    fn epoch(&self, epoch: &Epoch) -> Result<Option<Clock>, StoreError> {
        Ok(self.store.epochs.get(epoch).map(|clock| (**clock).clone()))
    }
}

/// Reads what a query asks for.
pub fn read(store: &Store, query: &Query, plant: Plant) -> Page {
    let suppressed = match query {
        Query::Next { scope, .. } if plant == Plant::OwnEventsSuppressed => Some(scope.receiver.0),
        _ => None,
    };
    let mut query = query.clone();
    if let Query::Next { after, scope, .. } = &mut query {
        match plant {
            Plant::ForwardedWithoutCause => scope.routes = Arc::new(Routes::Unspoken),
            Plant::UntakenAwaited => scope.routes = Arc::new(Routes::Open),
            Plant::Echo => *after = after.iter().filter(|dot| dot.site == store.site).collect(),
            _ => {}
        }
    }
    let mut page = store::read(&Disk { store, suppressed }, &query).expect("memory does not fail");
    if let Page::Transactions { transactions, .. } = &mut page
        && plant == Plant::OrderOfFirstStamps
    {
        transactions.sort_by_key(|transaction: &Transaction| (transaction.id.xact, transaction.id));
    }
    page
}
