//! Events into their streams, and into the views of those.

use crate::admin::SYSTEM_STREAM;
use crate::apply::here::{Here, Open};
use crate::apply::{rows, storing};
use crate::catalog;
use crate::doubt::Waiting;
use crate::error::{Error, Result, state};
use crate::shared::Database;
use crate::{run, spi, transaction, view};
use gundb_core::{Clock, Dot, Event, Hlc, Lane, SiteId, StreamId};
use pgrx::{PgMemoryContexts, pg_sys};
use std::collections::{BTreeMap, BTreeSet};

/// Says that events are about to be stored, with stamps up to this: moves this site's clock past it, and its stored mark.
pub fn announce(database: &Database, greatest: Hlc) -> Result<()> {
    database.observe(greatest);
    database.begin_applying();
    if database.mark() < greatest {
        run::move_mark(database, greatest)?;
    }
    Ok(())
}

/// Stores events, by their streams.
pub fn store<'a>(here: &Here, events: impl Iterator<Item = &'a Event>) -> Result<()> {
    let mut by_stream: BTreeMap<StreamId, Vec<&Event>> = BTreeMap::new();
    for event in events {
        by_stream.entry(event.dot.stream).or_default().push(event);
    }
    for (stream, events) in by_stream {
        if let Some(open) = here.stream(stream) {
            store_in(&open, &events)?;
        }
    }
    Ok(())
}

/// Stores events of a stream.
fn store_in(open: &Open, events: &[&Event]) -> Result<()> {
    let stream = &open.stream;
    // SAFETY: the table is open.
    if unsafe { rows::are_plain(open.relation())? } {
        // SAFETY: as above.
        return spi::as_table_owner(stream.table, || unsafe { rows::insert(open.relation(), events) });
    }
    // What the statement is given goes with it: there may be many of a large transaction.
    let mut memory = PgMemoryContexts::new("gundb statement");
    let insert = || {
        spi::as_table_owner(stream.table, || {
            storing::storing(stream.table, || catalog::insert_events(&stream.label, events))
        })
    };
    // SAFETY: a number is given back.
    let stored = unsafe { memory.switch_to(|_| insert()) }?;
    if stored == events.len() {
        return Ok(());
    }
    Err(Error::new(state::WRONG_STATE, format!("a trigger of {} dropped events of other sites", stream.label))
        .detail("An event that is not stored leaves a gap in its lane.")
        .hint("A trigger that is enabled ALWAYS, or on a REPLICA, must let them pass.")
        .into())
}

/// What was stored: in each lane the first event, and the last.
#[derive(Default)]
pub struct Stored(BTreeMap<(StreamId, SiteId, Lane), (u64, u64)>);

impl Stored {
    /// An event more.
    pub fn add(&mut self, dot: &Dot) {
        let (first, last) = self.0.entry((dot.stream, dot.site, dot.lane)).or_insert((dot.seq, dot.seq));
        (*first, *last) = (dot.seq.min(*first), dot.seq.max(*last));
    }

    /// Brings it into the views, and lets the transaction know of it.
    pub fn take_in(&self, database: &Database, here: &Here) -> Result<()> {
        let streams = self.0.keys().map(|(stream, ..)| *stream).collect::<BTreeSet<_>>();
        for stream in streams {
            let Some(open) = here.stream(stream) else { continue };
            let (mut clock, mut lanes) = (Clock::new(), Vec::new());
            for (&(_, site, lane), &(first, last)) in self.0.iter().filter(|((of, ..), _)| *of == stream) {
                clock.advance(&Dot { site, stream, lane, seq: last });
                lanes.push((site, lane, first - 1));
            }
            transaction::with(|t| t.apply(open.stream.table, &clock));
            if open.stream.name == SYSTEM_STREAM {
                forget_definitions()?;
                transaction::leaves_waiting(database, Waiting::Declared);
            }
            // SAFETY: the table is open.
            unsafe { view::bring_in(open.relation(), &open.stream, &lanes)? };
        }
        Ok(())
    }
}

/// Every session reads the definitions of streams anew.
fn forget_definitions() -> Result<()> {
    for stream in catalog::streams()? {
        // SAFETY: the table exists; should it be dropped meanwhile, nothing knows it any longer.
        unsafe { pg_sys::CacheInvalidateRelcacheByRelid(stream.table) };
    }
    Ok(())
}
