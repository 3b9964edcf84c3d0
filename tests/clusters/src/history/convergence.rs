//! One order of all writes, the same for everybody, that explains what was read: whoever read a write knew of none that
//! comes later.
//!
//! What must always hold here: a pair is put in only where a reader shows it, or a cause demands it; so a circle is an
//! anomaly, and without one there is an order.

use super::causality::{Causality, Cause};
use super::index::Index;
use super::{Anomaly, Arbitration, Kind};
use std::collections::{HashMap, VecDeque};

/// Why one comes before another.
#[derive(Clone, Copy)]
enum Why<'h> {
    /// In one transaction, the later write.
    Within,
    Cause(Cause<'h>),
    /// A reader says so.
    Reader(usize),
}

/// Nodes are the transactions, or their beginnings, then their ends, then the writes.
pub struct Order<'c, 'h> {
    index: &'c Index<'h>,
    arbitration: Arbitration,
    /// What comes after a node.
    after: Vec<Vec<(usize, Why<'h>)>>,
    pairs: HashMap<(usize, usize), usize>,
}

impl<'c, 'h> Order<'c, 'h> {
    pub fn new(index: &'c Index<'h>, causality: &Causality<'h>, arbitration: Arbitration) -> Order<'c, 'h> {
        let transactions = index.transactions.len();
        let nodes = match arbitration {
            Arbitration::Transactions => transactions,
            Arbitration::Writes => 2 * transactions + index.writes.len(),
        };
        let mut order = Order { index, arbitration, after: vec![Vec::new(); nodes], pairs: HashMap::new() };
        for (effect, causes) in causality.causes.iter().enumerate() {
            for (cause, why) in causes {
                let end = order.end(*cause);
                order.after[end].push((effect, Why::Cause(*why)));
            }
        }
        if arbitration == Arbitration::Writes {
            let mut last: Vec<usize> = (0..transactions).collect();
            for (number, write) in index.writes.iter().enumerate() {
                let before = std::mem::replace(&mut last[write.transaction], 2 * transactions + number);
                order.after[before].push((2 * transactions + number, Why::Within));
            }
            for (transaction, last) in last.into_iter().enumerate() {
                order.after[last].push((transactions + transaction, Why::Within));
            }
        }
        order
    }

    fn end(&self, transaction: usize) -> usize {
        match self.arbitration {
            Arbitration::Transactions => transaction,
            Arbitration::Writes => self.index.transactions.len() + transaction,
        }
    }

    fn node(&self, write: usize) -> usize {
        match self.arbitration {
            Arbitration::Transactions => self.index.writes[write].transaction,
            Arbitration::Writes => 2 * self.index.transactions.len() + write,
        }
    }

    /// A reader shows that one write comes before another.
    pub fn put(&mut self, first: usize, second: usize, reader: usize) {
        let (before, after) = (self.node(first), self.node(second));
        if before != after && self.pairs.insert((before, after), reader).is_none() {
            self.after[before].push((after, Why::Reader(reader)));
        }
    }

    /// Pairs that readers showed.
    pub fn pairs(&self) -> usize {
        self.pairs.len()
    }

    /// Finds a circle, if there is one.
    pub fn assert_one(&self) -> Result<(), Anomaly> {
        let mut open = vec![0_usize; self.after.len()];
        self.after.iter().flatten().for_each(|(after, _)| open[*after] += 1);
        let mut ready: Vec<usize> = (0..open.len()).filter(|&node| open[node] == 0).collect();
        let mut placed = 0;
        while let Some(node) = ready.pop() {
            placed += 1;
            for (after, _) in &self.after[node] {
                open[*after] -= 1;
                if open[*after] == 0 {
                    ready.push(*after);
                }
            }
        }
        if placed == open.len() {
            return Ok(());
        }
        let circle = self.walk_back(&open);
        // A short circle is easier to read, and there is one through each of these.
        const TRIED: usize = 20;
        let step = circle.len().div_ceil(TRIED);
        let circles = circle.iter().step_by(step).filter_map(|&node| self.shortest(node, &open));
        let circle = circles.min_by_key(Vec::len).unwrap_or_default();
        let start = circle.last().map_or(0, |(node, _)| *node);
        Err(Anomaly::new(Kind::Divergence, self.tell(start, &circle)))
    }

    /// Nodes of a circle. Each node that is open comes after another that is.
    fn walk_back(&self, open: &[usize]) -> Vec<usize> {
        let mut before = vec![None; open.len()];
        for node in (0..open.len()).filter(|&node| open[node] > 0) {
            self.after[node].iter().for_each(|(after, _)| before[*after] = Some(node));
        }
        let (mut way, mut place) = (Vec::new(), HashMap::new());
        let mut at = open.iter().position(|&open| open > 0);
        while let Some(node) = at {
            if let Some(begin) = place.insert(node, way.len()) {
                return way.split_off(begin);
            }
            way.push(node);
            at = before[node];
        }
        Vec::new()
    }

    /// The shortest circle through a node: what follows it, up to itself.
    fn shortest(&self, start: usize, open: &[usize]) -> Option<Vec<(usize, Why<'h>)>> {
        let mut came: Vec<Option<(usize, Why<'h>)>> = vec![None; open.len()];
        let mut queue = VecDeque::from([start]);
        while let Some(node) = queue.pop_front() {
            for &(after, why) in self.after[node].iter().filter(|(after, _)| open[*after] > 0) {
                if came[after].is_none() {
                    came[after] = Some((node, why));
                    queue.push_back(after);
                }
            }
            if came[start].is_some() {
                break;
            }
        }
        let (mut circle, mut at) = (Vec::new(), start);
        while let Some((before, why)) = came[at] {
            circle.push((at, why));
            at = before;
            if at == start {
                circle.reverse();
                return Some(circle);
            }
        }
        None
    }

    fn tell(&self, start: usize, circle: &[(usize, Why<'h>)]) -> String {
        let mut told = self.name(start);
        for (node, why) in circle {
            let (node, transactions) = (*node, self.index.transactions.len());
            told += &match why {
                Why::Within if (transactions..2 * transactions).contains(&node) => continue,
                Why::Within => format!(",\n  then, in the same transaction, {}", self.name(node)),
                Why::Cause(Cause::Session) => format!(",\n  then, in the same session, {}", self.name(node)),
                Why::Cause(Cause::Read(key)) => format!(",\n  whose {key} was read by {}", self.name(node)),
                Why::Reader(reader) => {
                    format!(",\n  which comes before {}, as {} shows", self.name(node), self.index.name(*reader))
                }
            };
        }
        told
    }

    fn name(&self, node: usize) -> String {
        let transactions = self.index.transactions.len();
        if node < transactions {
            return self.index.name(node);
        }
        if node < 2 * transactions {
            return self.index.name(node - transactions);
        }
        let write = &self.index.writes[node - 2 * transactions];
        format!("{}:={} of {}", write.key, write.value, self.index.name(write.transaction))
    }
}
