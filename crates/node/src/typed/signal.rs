//! What wakes who waits: a thread, or a task.
//!
//! What must always hold here: a signal that comes before anybody waits is not lost: the next one who waits goes on at once.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

/// A signal.
#[derive(Default)]
pub struct Signal {
    state: Mutex<State>,
    given: Condvar,
}

#[derive(Default)]
struct State {
    is_given: bool,
    waker: Option<Waker>,
}

impl Signal {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives it.
    pub fn give(&self) {
        let mut state = self.state();
        state.is_given = true;
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
        self.given.notify_all();
    }

    /// Waits for it, and takes it. Says whether it came in time.
    pub fn wait(&self, until: Option<Instant>) -> bool {
        let mut state = self.state();
        while !state.is_given {
            state = match until.map(|until| until.saturating_duration_since(Instant::now())) {
                None => self.given.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(left) if left.is_zero() => return false,
                Some(left) => self.given.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0,
            };
        }
        state.is_given = false;
        true
    }

    /// Takes it if it was given; else the task is woken when it is.
    pub fn poll(&self, context: &Context<'_>) -> Poll<()> {
        let mut state = self.state();
        if std::mem::take(&mut state.is_given) {
            return Poll::Ready(());
        }
        state.waker = Some(context.waker().clone());
        Poll::Pending
    }
}
