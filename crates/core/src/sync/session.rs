//! What the dialling end keeps of a session: both directions, and when to pull.

use std::collections::VecDeque;

use crate::bundle::{Bundle, From};
use crate::clock::Clock;
use crate::sync::dialler::{Action, PULLS_MAX, RETRY_MS};
use crate::sync::has_come;
use crate::sync::message::{Hello, Outcome, Receipt};
use crate::sync::receiver::{Check, Here, Receiver, content};
use crate::sync::sender::{EARLY_MS, HOLD_MS, Sender};

/// How much longer the next pull for news waits after each one that brought nothing, and how long it waits at most.
pub(super) const IDLE_STEP_MS: u64 = 5;
pub(super) const IDLE_MS_MAX: u64 = 50;

#[derive(Debug)]
pub(super) struct Session {
    pub(super) sender: Sender,
    pub(super) receiver: Receiver,
    pub(super) theirs: Hello,
    /// Framed, and to be pushed.
    pub(super) ready: Option<Bundle>,
    /// Pulled, and to be looked at.
    arrived: VecDeque<Bundle>,
    applying: bool,
    /// What is to be said with the next pull.
    owed: Option<Receipt>,
    /// Whether there is news at the other end.
    pub(super) news: bool,
    /// Whether the last pull brought something.
    flowing: bool,
    /// How many pulls may be on their way now.
    window: usize,
    /// How many pulls were made for news since one brought something.
    idle: u64,
    /// When the last pull was made.
    pulled_ms: u64,
    /// When to pull again, since the other end waits.
    pull_at: Option<u64>,
    /// When to begin anew, since something was refused.
    retry_at: Option<u64>,
}

impl Session {
    pub(super) fn new(mine: &Hello, theirs: Hello, known_streams: &[String]) -> Session {
        Session {
            sender: Sender::new(mine, &theirs, known_streams),
            receiver: Receiver::new(mine, &theirs, known_streams),
            theirs: Hello { clock: Clock::new(), ..theirs },
            ready: None,
            arrived: VecDeque::new(),
            applying: false,
            owed: None,
            news: true,
            flowing: false,
            window: 1,
            idle: 0,
            pulled_ms: 0,
            pull_at: None,
            retry_at: None,
        }
    }

    pub(super) fn streams<S: AsRef<str>>(&mut self, known_streams: &[S]) {
        self.sender.streams(known_streams);
        self.receiver.set_routes(self.sender.routes_back(known_streams));
    }

    pub(super) fn receipt(&mut self, receipt: &Receipt, now_ms: u64) {
        self.sender.receipt(receipt, now_ms);
        self.retry_if_refused(now_ms);
    }

    pub(super) fn bundle(&mut self, bundle: Option<Bundle>, now_ms: u64) {
        match bundle {
            Some(bundle) => {
                let asks = bundle.transactions.is_empty();
                self.flowing = !asks;
                self.idle = if asks { self.idle } else { 0 };
                self.window = if asks { 1 } else { PULLS_MAX.min(self.window + 1) };
                if asks {
                    let is_early = matches!(&bundle.from, From::Session { beside, .. } if !beside.is_empty());
                    // The last word counts: what comes sooner after it is told nothing, and it is not said again.
                    self.pull_at = Some(now_ms + if is_early { EARLY_MS } else { HOLD_MS });
                }
                self.arrived.push_back(bundle);
            }
            None => {
                self.flowing = false;
                self.window = 1;
            }
        }
    }

    /// Looks at bundles that have arrived, until one is to be applied or stored.
    pub(super) fn look(&mut self, now_ms: u64, here: &impl Here) -> Option<Action> {
        while !self.applying {
            let bundle = self.arrived.pop_front()?;
            self.sender.learn(&content(&bundle.transactions));
            match self.receiver.check(bundle, here) {
                Check::Answer(receipt) => self.answered(Some(receipt), now_ms),
                Check::Apply(delivery) => {
                    self.applying = true;
                    return Some(Action::Apply(delivery));
                }
                Check::Stage(stage) => {
                    self.applying = true;
                    return Some(Action::Stage(stage));
                }
            }
        }
        None
    }

    pub(super) fn answered(&mut self, receipt: Option<Receipt>, now_ms: u64) {
        self.applying = false;
        if let Some(receipt) = receipt {
            self.owe(receipt);
        }
        self.retry_if_refused(now_ms);
    }

    fn owe(&mut self, receipt: Receipt) {
        self.owed = Some(match self.owed.take() {
            Some(owed) => both(owed, receipt),
            None => receipt,
        });
    }

    /// What to say with a pull, if one is to be made now.
    pub(super) fn pull(&mut self, pulls: usize, now_ms: u64, here: &impl Here) -> Option<Option<Receipt>> {
        let is_due = self.pull_at.is_some_and(|at_ms| has_come(at_ms, EARLY_MS, now_ms));
        let owes = self.owed.is_some() && self.pull_at.is_none();
        let is_told = self.news && has_come(self.news_at(), IDLE_MS_MAX, now_ms);
        if pulls >= self.window || !(is_told || self.flowing || owes || is_due) {
            return None;
        }
        if is_told && !self.flowing {
            self.idle += 1;
        }
        (self.news, self.pulled_ms) = (false, now_ms);
        if is_due {
            self.pull_at = None;
            let says = self.receiver.says(here);
            self.owe(says);
        }
        Some(self.owed.take())
    }

    /// When it may want something though nothing happens. What is due and was not wanted waits for an answer.
    pub(super) fn wakes_at(&self, now_ms: u64) -> Option<u64> {
        let news_at = self.news.then(|| self.news_at());
        let moments = [self.sender.wakes_at(), self.sender.gathers_until(), self.pull_at, news_at, self.retry_at];
        moments.into_iter().flatten().filter(|at_ms| *at_ms > now_ms).min()
    }

    /// Whether it is to begin anew, so that what was refused is offered again.
    pub(super) fn is_to_retry(&self, now_ms: u64) -> bool {
        self.retry_at.is_some_and(|at_ms| has_come(at_ms, RETRY_MS, now_ms)) && !self.applying
    }

    /// When news is worth a pull: soon, unless of late there was news, as of what this end gets elsewhere, and nothing to bring.
    fn news_at(&self) -> u64 {
        self.pulled_ms + IDLE_MS_MAX.min(self.idle.saturating_sub(1) * IDLE_STEP_MS)
    }

    fn retry_if_refused(&mut self, now_ms: u64) {
        if self.sender.is_blocked() || self.receiver.has_refused() {
            self.retry_at = self.retry_at.or(Some(now_ms + RETRY_MS));
        }
    }
}

/// Two receipts as one: of bundles that were taken the later stands for both.
pub(super) fn both(earlier: Receipt, later: Receipt) -> Receipt {
    let holds = earlier.holds.join(&later.holds);
    let refusals = [earlier.refusals, later.refusals].concat();
    // What it holds is said of no bundle; and what does not fit was said first.
    let is_first = later.number == 0 || earlier.outcome != Outcome::Taken;
    let (number, outcome) = if is_first { (earlier.number, earlier.outcome) } else { (later.number, later.outcome) };
    Receipt { number, outcome, refusals, holds }
}
