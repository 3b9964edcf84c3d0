//! Two ends of a session that are both called, coupled by whoever calls them: what one gives is brought to the other, and what that says of it, back.
//!
//! What must always hold here: a bundle is brought unaltered, in the order in which its sender gave it, and each receipt goes to the end whose bundle it is
//! of; nothing is decided here about what flows, or whether it fits, which both ends do by themselves. Whatever goes wrong, the session begins anew with hellos.
//!
//! How to drive it: make the calls that [`Coupling::poll`] asks for, each end's in their order, until it asks for none; then wait for an answer, for news
//! of an end, or for [`Coupling::wakes_at`].

use std::collections::VecDeque;

use crate::bundle::{From, WireError, WireLimits, decode_bundle, decode_receipt, encode_receipt};
use crate::sync::dialler::{PULLS_MAX, RETRY_MS};
use crate::sync::has_come;
use crate::sync::message::Receipt;
use crate::sync::sender::{EARLY_MS, HOLD_MS};
use crate::sync::session::{IDLE_MS_MAX, IDLE_STEP_MS, both};

/// One of the two ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// The site on whose behalf is called.
    Here,
    /// The peer.
    There,
}

impl End {
    /// The other one.
    pub fn other(self) -> End {
        match self {
            End::Here => End::There,
            End::There => End::Here,
        }
    }
}

/// What an end is asked for: a message each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// A bundle, or nothing, with the receipt of earlier ones; the answer goes to [`Coupling::pulled`].
    Pull(Option<Vec<u8>>),
    /// To take a bundle, and to give its receipt, which goes to [`Coupling::pushed`].
    Push(Vec<u8>),
}

/// The session between two ends that have each said the other's hello.
#[derive(Debug)]
pub struct Coupling {
    limits: WireLimits,
    from_here: Direction,
    from_there: Direction,
    /// When to begin anew, since something was refused.
    retry_at: Option<u64>,
}

/// What goes from one end to the other.
#[derive(Debug)]
struct Direction {
    /// Bundles that were given, and are to be brought.
    ready: VecDeque<Vec<u8>>,
    /// A bundle that only asks what the other end holds, and when it is brought: not before that may have changed.
    question: Option<(Vec<u8>, u64)>,
    /// Calls under way.
    pulls: usize,
    pushes: usize,
    /// What is to be said with the next pull.
    owed: Option<Receipt>,
    news: bool,
    /// Whether the last pull brought something.
    flowing: bool,
    /// How many pulls were made for news since one brought something.
    idle: u64,
    /// When the last pull was made.
    pulled_ms: u64,
}

impl Coupling {
    /// A session that has just begun.
    pub fn new(limits: WireLimits) -> Coupling {
        Coupling { limits, from_here: Direction::new(), from_there: Direction::new(), retry_at: None }
    }

    /// An end has news.
    pub fn news(&mut self, end: End) {
        self.from(end).news = true;
    }

    /// What is to be called next, and at which end.
    pub fn poll(&mut self, now_ms: u64) -> Option<(End, Ask)> {
        for end in [End::Here, End::There] {
            let direction = self.from(end);
            if let Some(bundle) = direction.brings(now_ms) {
                return Some((end.other(), Ask::Push(bundle)));
            }
            if let Some(receipt) = direction.pull(now_ms) {
                return Some((end, Ask::Pull(receipt.as_ref().map(encode_receipt))));
            }
        }
        None
    }

    /// An end has answered a pull.
    pub fn pulled(&mut self, end: End, bundle: Option<Vec<u8>>, now_ms: u64) {
        let limits = self.limits;
        self.from(end).given(bundle, &limits, now_ms);
    }

    /// An end has taken a bundle, and says so.
    pub fn pushed(&mut self, end: End, receipt: &[u8], now_ms: u64) -> Result<(), WireError> {
        let receipt = decode_receipt(receipt, &self.limits)?;
        if !receipt.refusals.is_empty() {
            self.retry_at = self.retry_at.or(Some(now_ms + RETRY_MS));
        }
        let direction = self.from(end.other());
        direction.pushes = direction.pushes.saturating_sub(1);
        direction.owed = Some(match direction.owed.take() {
            Some(owed) => both(owed, receipt),
            None => receipt,
        });
        Ok(())
    }

    /// Whether nothing is left to bring either way, as far as both ends have said.
    pub fn is_quiet(&self) -> bool {
        self.from_here.is_quiet() && self.from_there.is_quiet()
    }

    /// Whether it is to begin anew, so that what was refused is offered again.
    pub fn is_to_retry(&self, now_ms: u64) -> bool {
        self.retry_at.is_some_and(|at_ms| has_come(at_ms, RETRY_MS, now_ms))
    }

    /// When it may want something though nothing happens. What is due and was not wanted waits for an answer.
    pub fn wakes_at(&self, now_ms: u64) -> Option<u64> {
        let moments = [&self.from_here, &self.from_there].into_iter().flat_map(Direction::moments);
        moments.chain(self.retry_at).filter(|at_ms| *at_ms > now_ms).min()
    }

    fn from(&mut self, end: End) -> &mut Direction {
        match end {
            End::Here => &mut self.from_here,
            End::There => &mut self.from_there,
        }
    }
}

impl Direction {
    fn new() -> Direction {
        Direction {
            ready: VecDeque::new(),
            question: None,
            pulls: 0,
            pushes: 0,
            owed: None,
            news: true,
            flowing: false,
            idle: 0,
            pulled_ms: 0,
        }
    }

    /// The next bundle that is to be brought.
    fn brings(&mut self, now_ms: u64) -> Option<Vec<u8>> {
        let due = self.question.take_if(|(_, at_ms)| has_come(*at_ms, EARLY_MS, now_ms));
        self.ready.extend(due.map(|(question, _)| question));
        let bundle = self.ready.pop_front()?;
        self.pushes += 1;
        Some(bundle)
    }

    /// What to say with a pull, if one is to be made now.
    fn pull(&mut self, now_ms: u64) -> Option<Option<Receipt>> {
        let is_told = self.news && has_come(self.news_at(), IDLE_MS_MAX, now_ms);
        // What flows is fetched ahead; what stands still is asked for once.
        let has_room = if self.flowing { self.pulls + self.pushes < PULLS_MAX } else { self.pulls == 0 };
        if !has_room || !(is_told || self.flowing || self.owed.is_some()) {
            return None;
        }
        if is_told && !self.flowing {
            self.idle += 1;
        }
        (self.news, self.pulled_ms) = (false, now_ms);
        self.pulls += 1;
        Some(self.owed.take())
    }

    /// The end has given a bundle, or nothing.
    fn given(&mut self, bundle: Option<Vec<u8>>, limits: &WireLimits, now_ms: u64) {
        self.pulls = self.pulls.saturating_sub(1);
        self.flowing = false;
        let Some(bytes) = bundle else { return };
        // Who is to take it says what is wrong with one that cannot be read.
        let asks = decode_bundle(&bytes, limits).ok().filter(|bundle| bundle.transactions.is_empty());
        // The last question counts: what was sent after one asks as much.
        self.question = asks.map(|question| {
            let is_early = matches!(&question.from, From::Session { beside, .. } if !beside.is_empty());
            (bytes.clone(), now_ms + if is_early { EARLY_MS } else { HOLD_MS })
        });
        if self.question.is_none() {
            (self.flowing, self.idle) = (true, 0);
            self.ready.push_back(bytes);
        }
    }

    fn is_quiet(&self) -> bool {
        let stands = self.pulls + self.pushes == 0 && self.ready.is_empty();
        stands && self.question.is_none() && self.owed.is_none() && !self.news && !self.flowing
    }

    fn moments(&self) -> impl Iterator<Item = u64> {
        let question = self.question.as_ref().map(|(_, at_ms)| *at_ms);
        self.news.then(|| self.news_at()).into_iter().chain(question)
    }

    /// When news is worth a pull: soon, unless of late there was news and nothing to bring.
    fn news_at(&self) -> u64 {
        self.pulled_ms + IDLE_MS_MAX.min(self.idle.saturating_sub(1) * IDLE_STEP_MS)
    }
}
