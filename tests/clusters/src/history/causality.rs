//! What each transaction must know of: all that is before it in its session, and all that those know of whose writes it
//! read.
//!
//! What must always hold here: `past[t][c]` is how many transactions of chain `c` are causes of `t`, which are the first so
//! many of them.

use super::index::{Index, Seen};
use super::{Anomaly, Kind};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

/// Why one transaction is a cause of another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Cause<'h> {
    /// The same session did the one before the other.
    Session,
    /// The other read what the one wrote to this key.
    Read(&'h str),
}

pub struct Causality<'h> {
    /// The direct causes.
    pub causes: Vec<Vec<(usize, Cause<'h>)>>,
    past: Vec<Vec<u32>>,
}

impl<'h> Causality<'h> {
    pub fn of(index: &Index<'h>) -> Result<Causality<'h>, Anomaly> {
        let count = index.transactions.len();
        let mut causes: Vec<Vec<(usize, Cause<'h>)>> = Vec::with_capacity(count);
        let mut effects = vec![Vec::new(); count];
        for (this, transaction) in index.transactions.iter().enumerate() {
            let mut direct: Vec<_> = transaction.before.iter().map(|&before| (before, Cause::Session)).collect();
            for read in &transaction.reads {
                let writes = match &read.seen {
                    Seen::Nothing => &[],
                    Seen::Value(write) => std::slice::from_ref(write),
                    Seen::List(writes) => writes.as_slice(),
                };
                let writers = writes.iter().map(|&write| index.writes[write].transaction);
                direct.extend(writers.filter(|&writer| writer != this).map(|writer| (writer, Cause::Read(read.key))));
            }
            direct.sort_unstable();
            direct.dedup();
            direct.iter().for_each(|(cause, _)| effects[*cause].push(this));
            causes.push(direct);
        }
        let mut open: Vec<usize> = causes.iter().map(Vec::len).collect();
        let mut ready: Vec<usize> = (0..count).filter(|&this| open[this] == 0).collect();
        let (mut past, mut placed) = (vec![vec![0; index.chains]; count], 0);
        while let Some(this) = ready.pop() {
            placed += 1;
            let mut known = vec![0; index.chains];
            for (cause, _) in &causes[this] {
                let of = &index.transactions[*cause];
                known.iter_mut().zip(&past[*cause]).for_each(|(mine, theirs)| *mine = (*mine).max(*theirs));
                known[of.chain] = known[of.chain].max(of.at as u32 + 1);
            }
            past[this] = known;
            for &effect in &effects[this] {
                open[effect] -= 1;
                if open[effect] == 0 {
                    ready.push(effect);
                }
            }
        }
        let causality = Causality { causes, past };
        if placed < count {
            let within = |this: usize| open[this] > 0;
            let starts = (0..count).filter(|&this| within(this));
            let circle = starts.filter_map(|this| causality.circle(this)).min_by_key(Vec::len).unwrap_or_default();
            let start = circle.last().map_or_else(String::new, |(_, start)| index.name(*start));
            let explanation = format!("{start}; {}", causality.tell(index, &circle));
            return Err(Anomaly::new(Kind::CyclicCausality, explanation));
        }
        Ok(causality)
    }

    /// How many of a chain are causes of a transaction.
    pub fn known(&self, this: usize, chain: usize) -> usize {
        self.past[this][chain] as usize
    }

    pub fn is_before(&self, index: &Index<'_>, cause: usize, effect: usize) -> bool {
        let of = &index.transactions[cause];
        self.known(effect, of.chain) > of.at
    }

    /// The way from a cause to its effect: steps, each with the transaction that it leads to. The one with the fewest reads,
    /// so that what is promised to a single session is told as that.
    pub fn way(&self, from: usize, to: usize) -> Vec<(Cause<'h>, usize)> {
        self.search(from, to).unwrap_or_default()
    }

    fn circle(&self, at: usize) -> Option<Vec<(Cause<'h>, usize)>> {
        let ways = self.causes[at].iter().filter_map(|&(cause, why)| {
            let mut way = self.search(at, cause)?;
            way.push((why, at));
            Some(way)
        });
        ways.min_by_key(Vec::len)
    }

    /// Backwards from the effect.
    fn search(&self, from: usize, to: usize) -> Option<Vec<(Cause<'h>, usize)>> {
        let mut next: HashMap<usize, (Cause<'h>, usize)> = HashMap::new();
        let mut best = HashMap::from([(to, (0, 0))]);
        let mut queue = BinaryHeap::from([Reverse(((0, 0), to))]);
        while let Some(Reverse((cost, this))) = queue.pop() {
            if this == from {
                let mut way = Vec::new();
                let mut at = from;
                while at != to {
                    let step = next[&at];
                    way.push(step);
                    at = step.1;
                }
                return Some(way);
            }
            if best[&this] < cost {
                continue;
            }
            for &(cause, why) in &self.causes[this] {
                let cost = match why {
                    Cause::Session => (cost.0, cost.1 + 1),
                    Cause::Read(_) => (cost.0 + 1, cost.1),
                };
                if best.get(&cause).is_none_or(|before| cost < *before) {
                    best.insert(cause, cost);
                    next.insert(cause, (why, this));
                    queue.push(Reverse((cost, cause)));
                }
            }
        }
        None
    }

    /// A way in words. Steps within one session are one.
    pub fn tell(&self, index: &Index<'_>, way: &[(Cause<'_>, usize)]) -> String {
        let mut told = Vec::new();
        for (at, (why, to)) in way.iter().enumerate() {
            let is_followed = way.get(at + 1).is_some_and(|(next, _)| *next == Cause::Session);
            match why {
                Cause::Session if is_followed => {}
                Cause::Session => told.push(format!("then, in the same session, {}", index.name(*to))),
                Cause::Read(key) => told.push(format!("whose {key} was read by {}", index.name(*to))),
            }
        }
        told.join("; ")
    }
}
