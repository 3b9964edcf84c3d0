//! When to try again: soon, then ever less often, each time at a moment of its own, so that those who lost one peer do not all come back in one moment.

use std::time::{Duration, Instant};

const PAUSE_MIN: Duration = Duration::from_secs(1);
/// A connection that lasted so long was a good one.
const GOOD: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy)]
pub(super) struct Backoff {
    pause: Duration,
    pause_max: Duration,
    /// When to try; in the past: now.
    pub(super) next: Instant,
}

impl Backoff {
    pub(super) fn new(pause_max: Duration) -> Backoff {
        Backoff { pause: PAUSE_MIN.min(pause_max), pause_max, next: Instant::now() }
    }

    /// Somebody asks: now, whatever was before.
    pub(super) fn at_once(&mut self) {
        *self = Backoff::new(self.pause_max);
    }

    /// It failed, or ended after it had lasted so long.
    pub(super) fn failed(&mut self, lasted: Duration) {
        if lasted >= GOOD {
            self.pause = PAUSE_MIN.min(self.pause_max);
        }
        // Half to the whole of it.
        self.next = Instant::now() + self.pause.mul_f64(0.5 + chance() / 2.0);
        self.pause = (self.pause * 2).min(self.pause_max);
    }
}

/// From 0 to 1: no secret depends on it.
fn chance() -> f64 {
    use std::hash::{BuildHasher, RandomState};
    (RandomState::new().hash_one(0) >> 11) as f64 / (1u64 << 53) as f64
}
