//! How far a long walk through a stream has come: a NOTICE every few seconds.

use crate::catalog;
use crate::error::Result;
use crate::stamp;
use crate::view::table::ViewTable;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

const BETWEEN_NOTICES: Duration = Duration::from_secs(5);
/// Events between two looks at the clock.
const EVENTS_BETWEEN_LOOKS: u64 = 4096;

pub struct Progress {
    label: String,
    done: u64,
    total: u64,
    next: Instant,
}

impl Progress {
    /// Of a walk that meets so many events in all.
    pub fn new(view: &ViewTable, total: u64) -> Result<Progress> {
        let label = catalog::table_label(view.relation)?;
        Ok(Progress { label, done: 0, total, next: Instant::now() + BETWEEN_NOTICES })
    }

    /// One event more. Never breaks off.
    pub fn tick(&mut self) -> Result<ControlFlow<()>> {
        self.done += 1;
        if self.done.is_multiple_of(EVENTS_BETWEEN_LOOKS) && Instant::now() >= self.next {
            self.next = Instant::now() + BETWEEN_NOTICES;
            let Progress { label, done, total, .. } = self;
            stamp::notice(format!("view {label}: {done} of {total} events read"))?;
        }
        Ok(ControlFlow::Continue(()))
    }
}
