//! The thread of a peer that couriers go to: when there is a round, and how it goes.

use crate::peers::inbox::{Event, Inbox};
use crate::peers::now_ms;
use crate::peers::post::{Post, PostError, Round};
use crate::peers::state::{Phase, States};
use gundb_core::store::Store;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What was committed waits so long for more, where a round costs little.
pub(super) const GATHERS: Duration = Duration::from_millis(500);

/// What it works with.
pub(super) struct Carry {
    pub(super) name: String,
    pub(super) store: Arc<dyn Store>,
    pub(super) states: States,
    pub(super) inbox: Inbox,
    /// Between rounds.
    pub(super) interval: Duration,
    /// Whether what was committed here is carried soon, or with the next round.
    pub(super) is_prompt: bool,
}

impl Carry {
    /// Runs until it is told to stop.
    pub(super) fn run(self, mut post: Post) {
        let mut next = Instant::now();
        loop {
            match self.inbox.take(Some(next)) {
                Some(Event::Stop) => return,
                Some(Event::Hurry) => next = Instant::now(),
                Some(Event::News) if self.is_prompt => next = next.min(Instant::now() + GATHERS),
                Some(Event::Terms(terms)) => post.renew(terms),
                Some(_) => {}
                None => {
                    let goes_on = self.round(&mut post);
                    next = Instant::now() + if goes_on { Duration::ZERO } else { self.interval };
                }
            }
        }
    }

    /// One round; says whether there is more to put at once.
    fn round(&self, post: &mut Post) -> bool {
        self.states.note(&self.name, |state| state.phase = Phase::Connecting);
        let made = post.round(&*self.store, now_ms());
        let (mut said, goes_on) = (None, made.as_ref().is_ok_and(|round| round.more && round.stopped.is_none()));
        self.states.note(&self.name, |state| {
            let before = state.error.take();
            match &made {
                Ok(round) => {
                    note(state, post, round);
                    state.error = trouble(round);
                }
                Err(error) => {
                    state.phase = Phase::Waiting;
                    state.synced = false;
                    state.error = Some(sentence(error));
                }
            }
            if state.error != before {
                said.clone_from(&state.error);
            }
        });
        if let Some(said) = said {
            eprintln!("gundb: courier of peer \"{}\": {said}", self.name);
        }
        goes_on
    }
}

fn note(state: &mut crate::peers::state::PeerState, post: &Post, round: &Round) {
    state.phase = Phase::Connected;
    state.times += 1;
    state.synced = round.synced;
    state.unconfirmed = round.unconfirmed;
    state.bytes_sent += round.put_bytes;
    state.bytes_received += round.taken_bytes;
    if let Some(word) = post.peer() {
        state.hear(word);
        state.contact_ms = word.now_ms;
        state.holds = word.clock.clone();
    }
}

/// What went wrong in a round that was made.
pub(super) fn trouble(round: &Round) -> Option<String> {
    if let Some(fault) = &round.stopped {
        return Some(match fault.hint() {
            Some(hint) => format!("{fault}. {hint}"),
            None => fault.to_string(),
        });
    }
    if let Some(first) = round.counts.refused.first() {
        return Some(format!("{} transactions were refused, the first since {first}", round.counts.refused.len()));
    }
    let first = round.useless.first()?;
    Some(format!("{} parcels cannot be read, the first is {first}", round.useless.len()))
}

/// An error, and what to do about it.
pub(super) fn sentence(error: &PostError) -> String {
    match error {
        PostError::Courier(fault) => match fault.hint() {
            Some(hint) => format!("{fault}. {hint}"),
            None => fault.to_string(),
        },
        other => other.to_string(),
    }
}
