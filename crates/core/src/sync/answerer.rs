//! The end of a session that is called: what it answers.
//!
//! What must always hold here: it lives as long as what it has answered stands. Where the transaction of a call is rolled back, the shell drops it, and
//! the dialling end, which hears of a failure, begins anew with a hello.

use crate::apply::Verdict;
use crate::bundle::Bundle;
use crate::sync::has_come;
use crate::sync::message::{Hello, Mismatch, Receipt};
use crate::sync::receiver::{Check, Here, Receiver, content};
use crate::sync::scope::{Page, Query};
use crate::sync::sender::{HOLD_MS, Sender, Turn};
use crate::sync::ways::Ways;

/// The end that is called.
#[derive(Debug)]
pub struct Answerer {
    sender: Sender,
    receiver: Receiver,
    /// When it last let the peer come again soon.
    asked_ms: Option<u64>,
}

/// How a pull goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pulled {
    /// This is read, and given to [`Answerer::read`].
    Read(Query),
    /// This is answered. A bundle without transactions says: come again in a moment; none says: when there is news.
    Answer(Option<Bundle>),
}

impl Answerer {
    /// Begins a session with the site that said `theirs`; what is answered is `mine`, made after all that was pushed before has been applied.
    pub fn hello<S: AsRef<str>>(mine: &Hello, theirs: &Hello, known_streams: &[S]) -> Result<Answerer, Mismatch> {
        mine.agree(theirs)?;
        let (sender, receiver) = (Sender::new(mine, theirs, known_streams), Receiver::new(mine, theirs, known_streams));
        Ok(Answerer { sender, receiver, asked_ms: None })
    }

    /// Other streams or other ways are known here than before. False where there are ways to tell of: then the shell drops this end, and the dialling one,
    /// which hears of a failure, begins anew.
    #[must_use]
    pub fn learned<S: AsRef<str>>(&mut self, known_streams: &[S], ways: &Ways) -> bool {
        if self.sender.is_outdated(ways) {
            return false;
        }
        self.sender.streams(known_streams);
        self.receiver.set_routes(self.sender.routes_back(known_streams));
        true
    }

    /// A bundle was pushed. What is applied is told by [`Answerer::applied`], what is stored by [`Answerer::staged`].
    pub fn push(&mut self, bundle: Bundle, here: &impl Here) -> Check {
        self.sender.learn(&content(&bundle.transactions));
        self.receiver.check(bundle, here)
    }

    /// What became of the transactions of the delivery, in their order: the answer.
    pub fn applied(&mut self, verdicts: &[Verdict]) -> Option<Receipt> {
        self.receiver.applied(verdicts)
    }

    /// The part was stored: the answer.
    pub fn staged(&mut self) -> Option<Receipt> {
        self.receiver.staged()
    }

    /// A bundle is asked for, and perhaps an earlier one answered.
    pub fn pull(&mut self, receipt: Option<&Receipt>, now_ms: u64) -> Pulled {
        if let Some(receipt) = receipt {
            self.sender.receipt(receipt, now_ms);
        }
        self.sender.news();
        self.turn(now_ms)
    }

    /// What was read.
    pub fn read(&mut self, page: Page, now_ms: u64) -> Pulled {
        let is_large = matches!(page, Page::Large { .. });
        match self.sender.page(page, now_ms) {
            None if is_large => self.turn(now_ms),
            None => self.later(now_ms),
            some => Pulled::Answer(some),
        }
    }

    /// The sending end.
    pub fn sender(&self) -> &Sender {
        &self.sender
    }

    /// The receiving end.
    pub fn receiver(&self) -> &Receiver {
        &self.receiver
    }

    fn turn(&mut self, now_ms: u64) -> Pulled {
        match self.sender.turn(now_ms) {
            Some(Turn::Read(query)) => Pulled::Read(query),
            Some(Turn::Send(bundle)) => Pulled::Answer(Some(bundle)),
            None => self.later(now_ms),
        }
    }

    /// Nothing to send now. What waits is asked about once in a while, not at every pull.
    fn later(&mut self, now_ms: u64) -> Pulled {
        let is_due = self.asked_ms.is_none_or(|asked_ms| has_come(asked_ms + HOLD_MS / 2, HOLD_MS / 2, now_ms));
        if !self.sender.waits() || !is_due {
            return Pulled::Answer(None);
        }
        self.asked_ms = Some(now_ms);
        Pulled::Answer(Some(self.sender.ask()))
    }
}
