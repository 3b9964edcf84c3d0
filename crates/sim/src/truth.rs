//! What is true, whoever holds it: each event that was committed, what its author had seen, and what may be gone or tainted.
//!
//! What must always hold here: nothing in this file is told to a node. It is what nodes are compared with.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use gundb_core::{Chain, Clock, Dot, Epoch, Event, Hlc, Lane, Run, SiteId, StreamId, TransactionId};

/// What was written by one transaction.
pub struct Written {
    /// Its events.
    pub dots: Vec<Dot>,
    /// Its greatest stamp.
    pub last: Hlc,
    /// Whether other sites are to refuse it, or may: it is malformed, was written in a forked run, or its author had seen such a one.
    pub tainted: bool,
}

/// An event that was committed.
pub struct Fact {
    /// Its chain; of a fork, one of each branch.
    pub chains: Vec<Chain>,
    /// Its transaction.
    pub transaction: TransactionId,
    /// What its author held when it was appended.
    pub seen: Rc<Clock>,
}

/// All of it.
#[derive(Default)]
pub struct Truth {
    pub transactions: BTreeMap<TransactionId, Written>,
    pub facts: BTreeMap<Dot, Fact>,
    pub epochs: BTreeMap<Epoch, Rc<Clock>>,
    /// Events that a fault took from the last node that held them. They may be in flight still.
    pub lost: BTreeSet<Dot>,
    /// Events of which somebody said what was never written.
    pub lied: BTreeSet<Dot>,
    /// Of each lane the first event that is tainted.
    tainted_lanes: BTreeMap<(SiteId, StreamId, Lane), u64>,
    /// Of each run the stamp after which all is tainted.
    tainted_runs: BTreeMap<(SiteId, Run), Hlc>,
}

impl Truth {
    /// A transaction was committed: its events, each with what its author had seen.
    pub fn committed(&mut self, id: TransactionId, events: &[(Rc<Event>, Rc<Clock>)], is_malformed: bool) {
        let run_taint = self.tainted_runs.get(&(id.site, id.run));
        let last = events.last().map_or(id.xact, |(event, _)| event.hlc);
        let tainted = is_malformed
            || run_taint.is_some_and(|stamp| last > *stamp)
            || events.last().is_some_and(|(_, seen)| self.covers_taint(seen));
        if tainted {
            // Of its own run its author has seen all before: whatever it writes from now on depends on this.
            self.tainted_runs.entry((id.site, id.run)).or_insert(id.xact);
        }
        for (event, seen) in events {
            let dot = event.dot;
            if tainted {
                let first = self.tainted_lanes.entry((dot.site, dot.stream, dot.lane)).or_insert(dot.seq);
                *first = dot.seq.min(*first);
            }
            let fact = self.facts.entry(dot).or_insert_with(|| Fact {
                chains: Vec::new(),
                transaction: id,
                seen: seen.clone(),
            });
            fact.chains.push(event.chain);
        }
        let nothing = || Written { dots: Vec::new(), last: Hlc::MIN, tainted: false };
        let written = self.transactions.entry(id).or_insert_with(nothing);
        written.tainted |= tainted;
        written.last = last.max(written.last);
        written.dots.extend(events.iter().map(|(event, _)| event.dot));
        if tainted {
            self.taint_later(id);
        }
    }

    /// What was committed before a tainted transaction of its run, and stamped after it, shares its fate: by its stamp its author may have seen it.
    fn taint_later(&mut self, tainted: TransactionId) {
        let run = TransactionId { xact: Hlc::MIN, ..tainted }..=TransactionId { xact: Hlc::MAX, ..tainted };
        for (_, written) in self.transactions.range_mut(run).filter(|(_, written)| written.last > tainted.xact) {
            written.tainted = true;
            for dot in &written.dots {
                let first = self.tainted_lanes.entry((dot.site, dot.stream, dot.lane)).or_insert(dot.seq);
                *first = dot.seq.min(*first);
            }
        }
    }

    fn covers_taint(&self, seen: &Clock) -> bool {
        self.tainted_lanes.iter().any(|(&(site, stream, lane), first)| seen.get(site, stream, lane) >= *first)
    }

    /// Two nodes go on writing in one run from this stamp on.
    pub fn forked(&mut self, site: SiteId, run: Run, after: Hlc) {
        self.tainted_runs.entry((site, run)).or_insert(after);
    }

    /// Whether an event is tainted.
    pub fn is_tainted(&self, dot: &Dot) -> bool {
        self.tainted_lanes.get(&(dot.site, dot.stream, dot.lane)).is_some_and(|first| dot.seq >= *first)
    }

    /// Whether anything is.
    pub fn has_taint(&self) -> bool {
        !self.tainted_runs.is_empty()
    }
}
