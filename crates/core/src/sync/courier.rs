//! Bundles that are carried: they may be lost, come twice, late and in any order.
//!
//! What must always hold here: each says in full what its receiver must hold before it, of all streams, since its sender does not know which the receiver
//! takes; the receiver tests those that it takes. Epochs are told within the bundle alone.

use crate::bundle::{Bundle, EpochPart, From, Part};
use crate::clock::Clock;
use crate::context::EpochRecord;
use crate::event::{Event, Transaction};
use crate::id::{Dot, Run, SiteId};
use crate::sync::bases::Bases;
use crate::sync::message::Accept;
use crate::sync::receiver::{Delivery, content, not_its_own};

/// Makes the bundles of one export.
#[derive(Debug)]
pub struct Courier {
    site: SiteId,
    run: Run,
    number: u64,
    follows: Clock,
    /// The parts so far of a large transaction.
    begun: Clock,
}

/// What is to be done with a bundle that was carried here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opened {
    /// Applied, whole or not at all.
    Deliver(Delivery),
    /// Kept until this, which it follows, is here.
    Early(Clock),
}

impl Courier {
    /// The bundles that this site sends to those who hold `since`; the last bundle that it sent so in this run had this number.
    pub fn new(site: SiteId, run: Run, last_number: u64, since: Clock) -> Courier {
        Courier { site, run, number: last_number, follows: since, begun: Clock::new() }
    }

    /// What the next bundle follows: what is read is what comes after it.
    pub fn follows(&self) -> &Clock {
        &self.follows
    }

    /// The next bundle: whole transactions by their greatest stamps, and what is held of lanes that are not carried with stamps below the greatest.
    pub fn bundle(&mut self, transactions: Vec<Transaction>, epochs: Vec<EpochRecord>, beside: &Clock) -> Bundle {
        let follows = self.follows.join(beside);
        self.follows = self.follows.join(&content(&transactions));
        self.frame(follows, transactions, Bases::default().tell(epochs), None)
    }

    /// A part of a large transaction as the next bundle; its epochs come with the first. After the last, what follows follows all of it.
    pub fn part(&mut self, part: Part, transaction: Transaction, epochs: Vec<EpochRecord>, beside: &Clock) -> Bundle {
        let follows = self.follows.join(beside);
        self.begun.extend(transaction.events.iter().map(|event| event.dot));
        if part.is_last {
            self.follows = self.follows.join(&std::mem::take(&mut self.begun));
        }
        self.frame(follows, vec![transaction], Bases::default().tell(epochs), Some(part))
    }

    fn frame(
        &mut self,
        follows: Clock,
        transactions: Vec<Transaction>,
        epochs: Vec<EpochPart>,
        part: Option<Part>,
    ) -> Bundle {
        self.number += 1;
        let from = From::Clock(follows);
        Bundle { site: self.site, run: self.run, number: self.number, from, epochs, transactions, part }
    }
}

/// Why who may bring these events may not bring a bundle: one who brings its own alone has no others in any that it makes.
pub fn forbids(bundle: &Bundle, accept: Accept) -> Option<String> {
    let mut events = bundle.transactions.iter().flat_map(|transaction| &transaction.events);
    let other = events.find(|event| accept == Accept::Own && event.dot.site != bundle.site)?;
    Some(not_its_own(&other.dot))
}

/// What is to be done with a bundle at a site that holds `holds` and waits for such dots. None where it is one of a session, or a part: parts are put
/// together first ([`whole`]).
pub fn open(bundle: Bundle, holds: &Clock, waits: impl Fn(&Dot) -> bool) -> Option<Opened> {
    if bundle.part.is_some() {
        return None;
    }
    let missing = lacks(&bundle, holds, waits)?;
    if !missing.is_empty() {
        return Some(Opened::Early(missing));
    }
    let epochs = Bases::default().read(&bundle.epochs)?;
    Some(Opened::Deliver(Delivery { transactions: bundle.transactions, epochs, ..Delivery::default() }))
}

/// What a site that holds `holds` and waits for such dots lacks of what a bundle, or a part, follows. None where it is one of a session.
pub fn lacks(bundle: &Bundle, holds: &Clock, waits: impl Fn(&Dot) -> bool) -> Option<Clock> {
    let From::Clock(follows) = &bundle.from else { return None };
    Some(follows.difference(holds).iter().filter(waits).collect())
}

/// The bundle that parts make up; None while one is missing. They come in any order, all of one sender's run and of one transaction.
pub fn whole(mut parts: Vec<Bundle>) -> Option<Bundle> {
    parts.sort_by_key(|bundle| bundle.part.map(|part| part.index));
    parts.dedup_by_key(|bundle| bundle.part.map(|part| part.index));
    let is_next = |(at, bundle): (usize, &Bundle)| bundle.part.is_some_and(|part| part.index == at as u64);
    if !parts.last()?.part?.is_last || !parts.iter().enumerate().all(is_next) {
        return None;
    }
    let mut parts = parts.into_iter();
    let mut whole = parts.next()?;
    whole.part = None;
    let transaction = whole.transactions.first_mut()?;
    for mut part in parts {
        transaction.events.append(&mut part.transactions.first_mut()?.events);
        whole.epochs.append(&mut part.epochs);
    }
    transaction.events.sort_by_key(Event::total_order_key);
    Some(whole)
}
