//! When to dial again: at once after a success that lasted, else after pauses that double, each shortened by chance, so that
//! those who lost one peer do not all come back in one moment.

use crate::error::Result;
use crate::random;
use std::time::{Duration, Instant};

const PAUSE_MIN: Duration = Duration::from_secs(1);
/// A connection that lasted so long was a good one.
const GOOD: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    pause: Duration,
    /// When to dial; in the past: now.
    pub next: Instant,
}

impl Backoff {
    pub fn new(now: Instant) -> Backoff {
        Backoff { pause: PAUSE_MIN, next: now }
    }

    /// Somebody asks: now, whatever was before.
    pub fn at_once(&mut self, now: Instant) {
        *self = Backoff::new(now);
    }

    /// Dialling failed, or a connection ended that had lasted so long.
    pub fn failed(&mut self, now: Instant, lasted: Duration, pause_max: Duration) -> Result<()> {
        if lasted >= GOOD {
            self.pause = PAUSE_MIN;
        }
        let pause = self.pause.min(pause_max);
        // Half to the whole of it.
        let chance = f64::from(u32::from_be_bytes(random::bytes()?)) / f64::from(u32::MAX);
        self.next = now + pause.mul_f64(0.5 + chance / 2.0);
        self.pause = (self.pause * 2).min(pause_max);
        Ok(())
    }
}
