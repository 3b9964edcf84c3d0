//! What one direction of a session ships: which lanes, and which transactions of them now.
//!
//! What must always hold here: a transaction goes whole, as far as its streams flow, or stays; what follows one that stays, in one of its lanes, stays
//! too. What stays for another reason than a refusal, and was perhaps seen by the author of what goes, stands in `beside`: the receiver must hold it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::clock::Clock;
use crate::context::EpochRecord;
use crate::event::{Event, Transaction, TransactionId};
use crate::hlc::Hlc;
use crate::id::{Dot, Run, Seq, SiteId};
use crate::page::LaneKey;
use crate::sync::filter::Flow;
use crate::sync::message::{Accept, Hello};
use crate::sync::routes::Routes;

/// What is shipped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// The streams.
    pub flow: Flow,
    /// The sending site.
    pub own: SiteId,
    /// The receiver and its run, whose lanes nobody can bring it.
    pub receiver: (SiteId, Run),
    /// Whose events the receiver takes here.
    pub receiver_accepts: Accept,
    /// Whose events are forwarded, and what comes to the receiver at all.
    pub routes: Arc<Routes>,
    /// Lanes of which nothing is shipped from this seq on, since the receiver refused it.
    pub blocked: BTreeMap<LaneKey, Seq>,
    /// Which transactions are held back for a moment, since the receiver gets such elsewhere.
    pub hold: Option<Hold>,
}

/// Transactions that are held back: those of these sites that are placed at this stamp or later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// The sites that wrote them.
    pub sites: BTreeSet<SiteId>,
    /// From which stamp on.
    pub from: Hlc,
}

/// Consecutive events of one lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Range {
    /// The lane.
    pub lane: LaneKey,
    /// The first one.
    pub first: Seq,
    /// The last one.
    pub last: Seq,
}

impl Range {
    /// The last event.
    pub fn last_dot(&self) -> Dot {
        Dot { site: self.lane.site, stream: self.lane.stream, lane: self.lane.lane, seq: self.last }
    }
}

/// What a sender wants to be read, from one snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Query {
    /// The next transactions.
    Next {
        /// What the receiver has: of each lane what follows is wanted, and may have to stand in `beside`.
        after: Clock,
        /// Which of them.
        scope: Scope,
        /// About how many bytes; one transaction that is larger is [`Page::Large`].
        bytes_max: u64,
    },
    /// Some of a large transaction.
    Part {
        /// Which one.
        transaction: TransactionId,
        /// What is left of it.
        ranges: Vec<Range>,
        /// About how many bytes, at least one event.
        bytes_max: u64,
    },
}

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Page {
    /// Whole transactions, by their greatest stamps.
    Transactions {
        /// Those that [`Gate::passes`] let through.
        transactions: Vec<Transaction>,
        /// The epochs that their events refer to.
        epochs: Vec<EpochRecord>,
        /// Of lanes [`beside`](Scope::beside) what follows `after` and the authors of these transactions may have seen, joined with [`Gate::beside`]: of
        /// their own runs what was whole before, of others what their epochs cover. A page ends before a transaction that needs more than its first one: what
        /// needs less would wait with it, and two senders for each other.
        beside: Clock,
        /// Whether there may be more, now.
        more: bool,
        /// [`Gate::holds_back`].
        held_back: bool,
    },
    /// The next transaction is too large for a bundle.
    Large {
        /// Which one.
        transaction: TransactionId,
        /// Its greatest stamp, over all streams.
        ends: Hlc,
        /// Its events, lane by lane.
        ranges: Vec<Range>,
        /// The epochs that they refer to.
        epochs: Vec<EpochRecord>,
        /// As above, by the transaction's greatest stamp.
        beside: Clock,
    },
    /// Some of a large transaction.
    Part {
        /// Its next events, in the order of the ranges.
        events: Vec<Event>,
        /// What is left of it.
        ranges_left: Vec<Range>,
    },
}

impl Scope {
    /// What flows from the site that said `mine` to the one that said `theirs`. `known_streams` are the names of all streams that the former knows of.
    pub fn new<S: AsRef<str>>(mine: &Hello, theirs: &Hello, known_streams: &[S]) -> Scope {
        let flow = Flow { push: mine.push.clone(), pull: theirs.pull.clone() };
        Scope {
            flow,
            own: mine.site,
            receiver: (theirs.site, theirs.run),
            receiver_accepts: theirs.accept,
            routes: Arc::new(Routes::new(mine, theirs, known_streams)),
            blocked: BTreeMap::new(),
            hold: None,
        }
    }

    /// Whether a lane, of the stream of this name, is shipped. What the receiver's site wrote in earlier runs and has lost comes back also from one that
    /// forwards nothing else, if the receiver accepts it.
    pub fn ships(&self, stream_name: &str, lane: &LaneKey) -> bool {
        let is_forwarded =
            self.receiver_accepts == Accept::Any && (lane.site == self.receiver.0 || self.routes.forwards(lane.site));
        (lane.site == self.own || is_forwarded) && !self.is_receivers(lane) && self.flow.matches(stream_name)
    }

    /// Whether a lane is not shipped here, and may yet come to the receiver otherwise.
    pub fn beside(&self, stream_name: &str, lane: &LaneKey) -> bool {
        !self.ships(stream_name, lane) && self.awaits(lane)
    }

    /// Whether a lane that is not shipped from here may yet come to the receiver, which so must hold of it what authors of shipped events may have seen.
    pub fn awaits(&self, lane: &LaneKey) -> bool {
        // What the receiver's own site has lost it may never get back, and waits for nobody.
        lane.site != self.receiver.0 && self.routes.comes(lane.site, lane.stream, true)
    }

    /// Whether there may be causes of what is shipped that the sender does not hold.
    pub fn has_unheld(&self) -> bool {
        matches!(*self.routes, Routes::Known(_))
    }

    /// What a run writes it holds. What an earlier run wrote may be lost.
    fn is_receivers(&self, lane: &LaneKey) -> bool {
        (lane.site, lane.lane.run()) == self.receiver
    }
}

/// Which transactions go into a page. It is shown each one of the lanes shipped, by their greatest stamps.
#[derive(Debug)]
pub struct Gate<'a> {
    scope: &'a Scope,
    /// Lanes of transactions that stay, each from the first of them on.
    stopped: BTreeMap<LaneKey, Seq>,
    /// Of those held back the first stamp, and the last event in each lane.
    held_back: Vec<(Hlc, Vec<Dot>)>,
}

impl<'a> Gate<'a> {
    /// A gate for one page.
    pub fn new(scope: &'a Scope) -> Gate<'a> {
        Gate { scope, stopped: scope.blocked.clone(), held_back: Vec::new() }
    }

    /// Whether a transaction goes. `ranges` is what it wrote to lanes that are shipped.
    pub fn passes(&mut self, transaction: &TransactionId, greatest_stamp: Hlc, ranges: &[Range]) -> bool {
        let is_stopped =
            ranges.iter().any(|range| self.stopped.get(&range.lane).is_some_and(|from| range.last >= *from));
        let is_held_back = self
            .scope
            .hold
            .as_ref()
            .is_some_and(|hold| hold.sites.contains(&transaction.site) && greatest_stamp >= hold.from);
        if !is_stopped && !is_held_back {
            return true;
        }
        for range in ranges {
            let from = self.stopped.entry(range.lane).or_insert(range.first);
            *from = range.first.min(*from);
        }
        if is_held_back {
            self.held_back.push((transaction.xact, ranges.iter().map(Range::last_dot).collect()));
        }
        false
    }

    /// Whether transactions were held back.
    pub fn holds_back(&self) -> bool {
        !self.held_back.is_empty()
    }

    /// What was held back and was perhaps seen by the authors of what goes, whose greatest stamp this is.
    pub fn beside(&self, greatest_stamp: Hlc) -> Clock {
        let seen = self.held_back.iter().filter(|(first_stamp, _)| *first_stamp < greatest_stamp);
        seen.flat_map(|(_, dots)| dots).copied().collect()
    }
}
