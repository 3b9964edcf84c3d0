//! The receiving end of one direction: whether a bundle may be applied, and what is answered.
//!
//! What must always hold here: `received` is what the sender presumes once it knows all answers. It counts what waits and what was refused, since that is
//! not sent again in this session; what depends on it is judged with it. It moves when a bundle has been applied: an end whose apply was rolled back
//! is dropped, and the session begins anew.

use std::collections::{BTreeMap, BTreeSet};

use crate::apply::{Untaken, Verdict, firsts};
use crate::bundle::{Bundle, From, Part};
use crate::clock::Clock;
use crate::context::EpochRecord;
use crate::event::{Event, Transaction, TransactionId};
use crate::id::{Dot, Run, SiteId, StreamId};
use crate::sync::bases::Bases;
use crate::sync::filter::Flow;
use crate::sync::message::{Accept, Hello, Outcome, Receipt, Refused};
use crate::sync::routes::Routes;

/// What the receiving site says of itself.
pub trait Here {
    /// What it holds now, of all its streams.
    fn clock(&self) -> Clock;
    /// What it held a moment ago, where that costs less: the peer is told of it. What is missing may be sent though it is held.
    fn recent_clock(&self) -> Clock {
        self.clock()
    }
    /// The name of a stream, if it is known.
    fn stream_name(&self, stream: StreamId) -> Option<String>;
}

/// The receiving end.
#[derive(Debug)]
pub struct Receiver {
    own: (SiteId, Run),
    peer: (SiteId, Run),
    flow: Flow,
    accept: Accept,
    /// What comes here at all.
    routes: Routes,
    /// What its hello said that it holds, joined with what has come since.
    received: Clock,
    /// What the sender was told that it holds.
    told: Clock,
    bases: Bases,
    /// What was refused in this session.
    refused: Untaken,
    parts: Option<Parts>,
    pending: Option<Pending>,
}

/// A transaction that comes in parts.
#[derive(Debug)]
struct Parts {
    transaction: TransactionId,
    next: u64,
    first: Vec<Dot>,
    content: Clock,
    forbidden: Option<String>,
}

/// A bundle that is being applied.
#[derive(Debug)]
struct Pending {
    number: u64,
    holds: Clock,
    told: Clock,
    content: Clock,
    delivered: Vec<(TransactionId, Vec<Dot>)>,
    refusals: Vec<Refused>,
}

/// What is to be done with a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// Applied, whole or not at all; then [`Receiver::applied`].
    Apply(Delivery),
    /// Stored durably until the last part has come; then [`Receiver::staged`].
    Stage(Stage),
    /// Nothing: this is the answer.
    Answer(Receipt),
}

/// What is to be applied.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Delivery {
    /// In causal order.
    pub transactions: Vec<Transaction>,
    /// What they refer to.
    pub epochs: Vec<EpochRecord>,
    /// What was refused before: for [`crate::apply::Receiver::refused`].
    pub refused: Untaken,
    /// Set where the one transaction is the last part of this, whose other parts are stored.
    pub completes: Option<TransactionId>,
}

/// A part that is to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// Of which transaction.
    pub transaction: TransactionId,
    /// Its place among the parts; with 0 those stored before of this peer are void.
    pub index: u64,
    /// Its events.
    pub events: Vec<Event>,
    /// What they refer to, if it has not come with an earlier part.
    pub epochs: Vec<EpochRecord>,
}

/// Why a peer may not bring an event of another site.
pub(super) fn not_its_own(dot: &Dot) -> String {
    format!("{dot}: the peer may bring what it wrote itself, and nothing else")
}

impl Receiver {
    /// A receiver at the site that said `mine`, of what is sent by the one that said `theirs`. `known_streams` are the names of all streams that are known here.
    pub fn new<S: AsRef<str>>(mine: &Hello, theirs: &Hello, known_streams: &[S]) -> Receiver {
        Receiver {
            routes: Routes::new(theirs, mine, known_streams),
            own: (mine.site, mine.run),
            peer: (theirs.site, theirs.run),
            flow: Flow { push: theirs.push.clone(), pull: mine.pull.clone() },
            accept: mine.accept,
            received: mine.clock.clone(),
            told: mine.clock.clone(),
            bases: Bases::default(),
            refused: Untaken::default(),
            parts: None,
            pending: None,
        }
    }

    /// What comes here at all is something else than before.
    pub fn set_routes(&mut self, routes: Routes) {
        self.routes = routes;
    }

    /// What is missing of what must be held beside these transactions. Of a stream that nobody here has heard of nothing comes, since who tells of it would
    /// have been waited for; unless some of it comes now, and what tells of it waits here.
    fn missing(&self, beside: &Clock, transactions: &[Transaction], holds: &Clock) -> Clock {
        let events = || transactions.iter().flat_map(|transaction| &transaction.events);
        let comes_now = |stream: StreamId| events().any(|event| event.dot.stream == stream);
        let comes = |dot: &Dot| {
            self.routes.comes(dot.site, dot.stream, false)
                || self.routes.comes(dot.site, dot.stream, true) && comes_now(dot.stream)
        };
        beside.difference(holds).iter().filter(comes).collect()
    }

    /// What is to be done with a bundle.
    pub fn check(&mut self, bundle: Bundle, here: &impl Here) -> Check {
        let holds = here.recent_clock();
        let told = self.tell(&holds);
        let number = bundle.number;
        let answer = |outcome, holds| Check::Answer(Receipt { number, outcome, refusals: Vec::new(), holds });
        let Some(beside) = self.fits(&bundle) else {
            return answer(Outcome::Again(self.received.clone()), told);
        };
        let missing = self.missing(beside, &bundle.transactions, &holds);
        if !missing.is_empty() {
            let missing = missing.difference(&here.clock());
            if !missing.is_empty() {
                return answer(Outcome::Early(missing), told);
            }
        }
        let Some(epochs) = self.bases.read(&bundle.epochs) else {
            return answer(Outcome::Again(self.received.clone()), told);
        };
        if bundle.part.is_none() && bundle.transactions.is_empty() {
            return answer(Outcome::Taken, told);
        }
        let mut pending = Pending {
            number,
            holds,
            told,
            content: content(&bundle.transactions),
            delivered: Vec::new(),
            refusals: Vec::new(),
        };
        let closed = self.closed_streams(&bundle.transactions, here);
        if let Some(part) = bundle.part {
            return self.part(part, bundle.transactions, epochs, pending, &closed);
        }
        self.parts = None;
        let mut delivery = Delivery { epochs, ..Delivery::default() };
        for transaction in bundle.transactions {
            let first = firsts(&transaction.events);
            match self.forbids(&transaction, &closed) {
                Some(why) => self.refuse(&mut pending, &transaction.id, first, &why),
                None => {
                    pending.delivered.push((transaction.id, first));
                    delivery.transactions.push(transaction);
                }
            }
        }
        delivery.refused = self.refused.clone();
        self.pending = Some(pending);
        Check::Apply(delivery)
    }

    /// What became of the transactions of a delivery, in their order: what is answered.
    pub fn applied(&mut self, verdicts: &[Verdict]) -> Option<Receipt> {
        let mut pending = self.pending.take()?;
        for ((transaction, first), verdict) in std::mem::take(&mut pending.delivered).into_iter().zip(verdicts) {
            if let Verdict::Refuse(refusal) = verdict {
                self.refuse(&mut pending, &transaction, first, &format!("{}: {}", refusal.dot, refusal.problem));
            }
        }
        Some(self.taken(pending))
    }

    /// A part has been stored: what is answered.
    pub fn staged(&mut self) -> Option<Receipt> {
        let pending = self.pending.take()?;
        Some(self.taken(pending))
    }

    /// What it holds now, said though no bundle has come.
    pub fn says(&mut self, here: &impl Here) -> Receipt {
        let holds = self.tell(&here.recent_clock());
        Receipt { number: 0, outcome: Outcome::Taken, refusals: Vec::new(), holds }
    }

    /// Whether something was refused in this session.
    pub fn has_refused(&self) -> bool {
        !self.refused.is_empty()
    }

    fn taken(&mut self, pending: Pending) -> Receipt {
        self.received.extend(pending.content.iter());
        let refusals = least(pending.refusals);
        Receipt { number: pending.number, outcome: Outcome::Taken, refusals, holds: pending.told }
    }

    /// What it has got elsewhere and not told yet. What its own run writes nobody else has to bring.
    fn tell(&mut self, holds: &Clock) -> Clock {
        let is_own = |dot: &Dot| (dot.site, dot.lane.run()) == self.own;
        let news = holds.difference(&self.received).difference(&self.told);
        let news: Clock = news.iter().filter(|dot| !is_own(dot)).collect();
        self.told.extend(news.iter());
        news
    }

    fn refuse(&mut self, pending: &mut Pending, transaction: &TransactionId, first: Vec<Dot>, reason: &str) {
        let refused = first.iter().map(|dot| Refused { dot: *dot, reason: reason.to_owned() });
        pending.refusals.extend(refused);
        self.refused.add(transaction, first.into_iter().filter(|dot| !pending.holds.covers(dot)));
    }

    /// The streams of these events that the peer may not bring, by name. One that is not known here waits to be.
    fn closed_streams(&self, transactions: &[Transaction], here: &impl Here) -> BTreeMap<StreamId, String> {
        let events = transactions.iter().flat_map(|transaction| &transaction.events);
        let streams: BTreeSet<StreamId> = events.map(|event| event.dot.stream).collect();
        let named = streams.into_iter().filter_map(|stream| Some((stream, here.stream_name(stream)?)));
        named.filter(|(_, name)| !self.flow.matches(name)).collect()
    }

    /// Why the peer may not bring a transaction.
    fn forbids(&self, transaction: &Transaction, closed: &BTreeMap<StreamId, String>) -> Option<String> {
        transaction.events.iter().find_map(|event| {
            if self.accept == Accept::Own && event.dot.site != self.peer.0 {
                return Some(not_its_own(&event.dot));
            }
            let name = closed.get(&event.dot.stream)?;
            Some(format!("{}: the peer may not bring stream \"{name}\"", event.dot))
        })
    }

    /// What must be held beside, of a bundle that follows what has come.
    fn fits<'a>(&self, bundle: &'a Bundle) -> Option<&'a Clock> {
        let From::Session { digest, beside } = &bundle.from else { return None };
        let fits = (bundle.site, bundle.run) == self.peer && *digest == self.received.digest();
        (fits && self.is_next_part(bundle)).then_some(beside)
    }

    fn is_next_part(&self, bundle: &Bundle) -> bool {
        let Some(part) = bundle.part else { return true };
        let [transaction] = bundle.transactions.as_slice() else { return false };
        let is_next = |parts: &Parts| (parts.transaction, parts.next) == (transaction.id, part.index);
        part.index == 0 || self.parts.as_ref().is_some_and(is_next)
    }

    fn part(
        &mut self,
        part: Part,
        transactions: Vec<Transaction>,
        epochs: Vec<EpochRecord>,
        mut pending: Pending,
        closed: &BTreeMap<StreamId, String>,
    ) -> Check {
        // `fits` has seen that there is one.
        let Some(transaction) = transactions.into_iter().next() else {
            return Check::Answer(self.taken(pending));
        };
        let begun = self.parts.take().filter(|_| part.index > 0);
        let mut parts = begun.unwrap_or_else(|| Parts {
            transaction: transaction.id,
            next: 0,
            first: Vec::new(),
            content: Clock::new(),
            forbidden: None,
        });
        let id = transaction.id;
        parts.forbidden = parts.forbidden.take().or_else(|| self.forbids(&transaction, closed));
        // A lane's first event is the first that comes of it.
        let new = firsts(&transaction.events)
            .into_iter()
            .filter(|dot| parts.content.get(dot.site, dot.stream, dot.lane) == 0);
        parts.first.extend(new.collect::<Vec<_>>());
        parts.content.extend(transaction.events.iter().map(|event| event.dot));
        parts.next += 1;
        pending.content = if part.is_last { parts.content.clone() } else { Clock::new() };
        let is_forbidden = parts.forbidden.is_some();
        match (part.is_last, parts.forbidden.clone()) {
            (true, Some(why)) => self.refuse(&mut pending, &id, parts.first, &why),
            (true, None) => pending.delivered.push((id, parts.first)),
            (false, _) => self.parts = Some(parts),
        }
        if is_forbidden {
            return Check::Answer(self.taken(pending));
        }
        self.pending = Some(pending);
        if part.is_last {
            let refused = self.refused.clone();
            Check::Apply(Delivery { transactions: vec![transaction], epochs, refused, completes: Some(id) })
        } else {
            Check::Stage(Stage { transaction: id, index: part.index, events: transaction.events, epochs })
        }
    }
}

/// Of each lane the first event refused, which stands for those after it.
fn least(mut refusals: Vec<Refused>) -> Vec<Refused> {
    refusals.sort_by_key(|refused| refused.dot);
    refusals.dedup_by_key(|refused| (refused.dot.site, refused.dot.stream, refused.dot.lane));
    refusals
}

/// What transactions cover.
pub(super) fn content(transactions: &[Transaction]) -> Clock {
    transactions.iter().flat_map(|transaction| &transaction.events).map(|event| event.dot).collect()
}
