//! What is not taken, and what depends on it.

use std::collections::BTreeMap;

use crate::apply::{Place, epoch_of, place};
use crate::clock::Clock;
use crate::context::Epoch;
use crate::event::{Event, TransactionId};
use crate::hlc::Hlc;
use crate::id::{Dot, Run, Seq, SiteId};

/// Transactions that are known of and not taken, as far as it matters to what depends on them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Untaken {
    /// The first event not taken, in each lane.
    lanes: BTreeMap<Place, Seq>,
    /// The least stamp not taken, in each run: its author has seen it before all that it wrote with greater ones.
    runs: BTreeMap<(SiteId, Run), Hlc>,
}

impl Untaken {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// One more: what it is known by, and its first event in each lane.
    pub fn add(&mut self, transaction: &TransactionId, firsts: impl IntoIterator<Item = Dot>) {
        let stamp = self.runs.entry((transaction.site, transaction.run)).or_insert(transaction.xact);
        *stamp = transaction.xact.min(*stamp);
        for dot in firsts {
            let first = self.lanes.entry(place(&dot)).or_insert(dot.seq);
            *first = dot.seq.min(*first);
        }
    }

    /// The first of a transaction's events whose author may have seen one of these.
    pub(super) fn effect(
        &self,
        transaction: &TransactionId,
        events: &[Event],
        epoch_clock: impl Fn(&Epoch) -> Option<Clock>,
    ) -> Option<Dot> {
        if self.is_empty() {
            return None;
        }
        let since = self.runs.get(&(transaction.site, transaction.run));
        let mut clocks: BTreeMap<u64, bool> = BTreeMap::new();
        let mut has_seen = |event: &Event| {
            *clocks.entry(event.epoch).or_insert_with(|| {
                // What cannot be known is taken for the worse.
                epoch_clock(&epoch_of(event)).is_none_or(|clock| {
                    self.lanes.iter().any(|(&(site, stream, lane), first)| clock.get(site, stream, lane) >= *first)
                })
            })
        };
        let is_effect = |event: &&Event| since.is_some_and(|stamp| event.hlc > *stamp) || has_seen(event);
        events.iter().find(is_effect).map(|event| event.dot)
    }
}
