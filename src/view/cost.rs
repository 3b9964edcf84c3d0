//! What maintaining each view has cost since the server started, in shared memory: events and nanoseconds.
//!
//! A table of fixed size, open to all backends without a lock. Where it is full, the cost of a view is unknown; nothing
//! else depends on it. What was rolled back counts: it was paid for.

use crate::call::ret;
use crate::{shared, sql_function};
use pgrx::pg_sys::{self, Oid};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Views whose costs are known, of all databases.
const VIEWS_MAX: usize = 1024;

/// All zero: no view is known.
#[repr(C)]
pub struct Costs([Cost; VIEWS_MAX]);

#[repr(C)]
struct Cost {
    /// The database and the view's table; 0: free.
    view: AtomicU64,
    events: AtomicU64,
    nanoseconds: AtomicU64,
}

impl Costs {
    /// The view's place; where it has none, one is taken if `takes`.
    fn place(&self, view: Oid, takes: bool) -> Option<&Cost> {
        // SAFETY: set before any SQL runs.
        let database = unsafe { pg_sys::MyDatabaseId }.to_u32();
        let name = u64::from(database) << 32 | u64::from(view.to_u32());
        // Oids are handed out one after the other, so neighbours get places of their own.
        let first = (view.to_u32() ^ database.rotate_left(16)) as usize;
        for step in 0..VIEWS_MAX {
            let cost = &self.0[(first + step) % VIEWS_MAX];
            let found = match cost.view.load(Ordering::Relaxed) {
                0 if !takes => return None,
                0 => cost.view.compare_exchange(0, name, Ordering::Relaxed, Ordering::Relaxed).unwrap_or_else(|is| is),
                found => found,
            };
            if found == 0 || found == name {
                return Some(cost);
            }
        }
        None
    }
}

/// Notes that maintaining a view has taken so long for so many events.
pub fn add(view: Oid, events: usize, took: Duration) {
    if let Some(cost) = shared::costs().and_then(|costs| costs.place(view, true)) {
        cost.events.fetch_add(events as u64, Ordering::Relaxed);
        cost.nanoseconds.fetch_add(took.as_nanos() as u64, Ordering::Relaxed);
    }
}

/// Makes room for another view. (Those that were found beyond it begin anew.)
pub fn forget(view: Oid) {
    if let Some(cost) = shared::costs().and_then(|costs| costs.place(view, false)) {
        cost.events.store(0, Ordering::Relaxed);
        cost.nanoseconds.store(0, Ordering::Relaxed);
        cost.view.store(0, Ordering::Relaxed);
    }
}

sql_function! {
    /// `view_microseconds(view)`
    fn gundb_view_microseconds(call) {
        let Some(view) = call.arg(0) else { return Ok(call.null()) };
        let cost = shared::costs().and_then(|costs| costs.place(Oid::from(view.value() as u32), false));
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed) as f64;
        match cost.map(|cost| (read(&cost.events), read(&cost.nanoseconds))) {
            Some((events, nanoseconds)) if events > 0.0 => Ok(ret::float8(nanoseconds / events / 1000.0)),
            _ => Ok(call.null()),
        }
    }
}
