//! What authors had seen: the clocks of epochs, looked up when a fold asks for one.

use crate::catalog;
use crate::error::{Failure, Result};
use crate::spi;
use gundb_core::fold::{Causality, Contexts, Mark};
use gundb_core::{Clock, StreamId};
use std::cell::RefCell;

/// The contexts of a stream's events. A fold cannot fail for want of one, so a failure is kept until [`Lookup::done`].
pub struct Lookup {
    known: RefCell<Contexts>,
    failure: RefCell<Option<Failure>>,
}

impl Lookup {
    pub fn new(stream: StreamId) -> Lookup {
        Lookup { known: RefCell::new(Contexts::new(stream)), failure: RefCell::new(None) }
    }

    /// Passes on what went wrong; what was folded meanwhile is void then.
    pub fn done(&self) -> Result<()> {
        self.failure.take().map_or(Ok(()), Err)
    }
}

impl Causality for Lookup {
    fn happened_before(&self, a: &Mark, b: &Mark) -> bool {
        // In one run the stamps decide, and no epoch is looked at.
        if (a.site, a.lane.run()) == (b.site, b.lane.run()) {
            return a.hlc < b.hlc;
        }
        if !self.known.borrow().knows(b) {
            let epoch = b.epoch_id();
            let found = spi::with_latest_snapshot(|| catalog::epoch_clock(&epoch.site, epoch.run, epoch.number));
            let clock = found.unwrap_or_else(|failure| {
                self.failure.borrow_mut().get_or_insert(failure);
                None
            });
            self.known.borrow_mut().insert(epoch, clock.unwrap_or_else(Clock::new));
        }
        self.known.borrow().happened_before(a, b)
    }
}
