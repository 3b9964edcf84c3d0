//! Events for applications, from any store: whole transactions, causes before effects, of the streams that somebody may read.

use gundb_core::store::{Store, StoreError};
use gundb_core::sync::filter::{Filter, Flow, SYSTEM_STREAM};
use gundb_core::sync::message::Accept;
use gundb_core::sync::routes::Routes;
use gundb_core::sync::scope::{Page, Query, Scope};
use gundb_core::{Clock, Event, SiteId, StreamId};
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

/// About how many bytes a page has; one transaction that is larger is a page all the same.
const PAGE_BYTES: u64 = 1 << 20;

/// Some events.
#[derive(Debug, Default)]
pub struct Events {
    /// Each with the name of its stream.
    pub events: Vec<(String, Event)>,
    /// Where to read on.
    pub after: Clock,
    /// Whether there may be more now.
    pub more: bool,
}

/// The next events after a clock, of the streams that `may` and `wanted` let through. The system stream is given where it is named.
pub fn read(store: &dyn Store, after: Clock, may: &Filter, wanted: &Filter) -> Result<Events, StoreError> {
    let own = store.identity()?;
    let scope = Scope {
        flow: Flow { push: may.clone(), pull: wanted.clone() },
        own: own.site,
        // An application is no site, and holds nothing by itself.
        receiver: (SiteId(Uuid::nil()), own.run),
        receiver_accepts: Accept::Any,
        routes: Arc::new(Routes::Unspoken),
        blocked: BTreeMap::new(),
        hold: None,
    };
    let (events, more) = match store.read(&Query::Next { after: after.clone(), scope, bytes_max: PAGE_BYTES })? {
        Page::Transactions { transactions, more, .. } => {
            (transactions.into_iter().flat_map(|transaction| transaction.events).collect(), more)
        }
        Page::Large { transaction, ranges, .. } => {
            let (mut events, mut ranges) = (Vec::new(), ranges);
            while !ranges.is_empty() {
                let query = Query::Part { transaction, ranges, bytes_max: PAGE_BYTES };
                let Page::Part { events: some, ranges_left } = store.read(&query)? else { break };
                events.extend(some);
                ranges = ranges_left;
            }
            events.sort_unstable_by(Event::cmp_total);
            (events, true)
        }
        Page::Part { .. } => (Vec::new(), false),
    };
    let mut read = Events { events: Vec::with_capacity(events.len()), after, more };
    let names = store.known_streams()?;
    let system = StreamId::of_name(SYSTEM_STREAM);
    let names_system = wanted.patterns().any(|pattern| pattern == SYSTEM_STREAM);
    for event in events {
        read.after.advance(&event.dot);
        if event.dot.stream == system && !names_system {
            continue;
        }
        if let Some(name) = names.get(&event.dot.stream) {
            read.events.push((name.clone(), event));
        }
    }
    Ok(read)
}
