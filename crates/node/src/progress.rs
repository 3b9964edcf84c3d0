//! How far long work is: told by who works, looked at by who waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How far long work is. A clone tells of the same work.
#[derive(Debug, Clone, Default)]
pub struct Progress(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    done: AtomicU64,
    total: AtomicU64,
}

impl Progress {
    /// So much is to be done, besides what was known of before.
    pub fn expect(&self, more: u64) {
        self.0.total.fetch_add(more, Ordering::Relaxed);
    }

    /// So much more has been done.
    pub fn advance(&self, more: u64) {
        self.0.done.fetch_add(more, Ordering::Relaxed);
    }

    /// What has been done, and of how much; of 0 where nobody knows.
    pub fn look(&self) -> (u64, u64) {
        (self.0.done.load(Ordering::Relaxed), self.0.total.load(Ordering::Relaxed))
    }
}
