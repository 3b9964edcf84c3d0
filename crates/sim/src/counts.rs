//! What happened in a run, and in many: a fault that was never hit proves nothing.

use std::collections::BTreeMap;
use std::fmt;

use crate::matrix::Matrix;

/// What was counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    pub nodes: u64,
    pub transactions: u64,
    pub events: u64,
    pub connections: u64,
    pub bundles: u64,
    pub bundle_bytes: u64,
    /// Simulated time.
    pub simulated_ms: u64,
    /// Faults and other things worth hitting, by kind.
    pub hits: BTreeMap<&'static str, u64>,
    /// Which faults struck in which states.
    pub matrix: Matrix,
}

impl Counts {
    /// Something of this kind happened.
    pub fn hit(&mut self, kind: &'static str) {
        *self.hits.entry(kind).or_default() += 1;
    }

    /// Adds those of another run.
    pub fn add(&mut self, other: &Counts) {
        self.nodes += other.nodes;
        self.transactions += other.transactions;
        self.events += other.events;
        self.connections += other.connections;
        self.bundles += other.bundles;
        self.bundle_bytes += other.bundle_bytes;
        self.simulated_ms += other.simulated_ms;
        self.matrix.add(&other.matrix);
        for (kind, hits) in &other.hits {
            *self.hits.entry(kind).or_default() += hits;
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { nodes, transactions, events, connections, bundles, bundle_bytes, simulated_ms, hits, .. } = self;
        write!(f, "{nodes} nodes, {transactions} transactions, {events} events, {connections} connections, ")?;
        write!(f, "{bundles} bundles of {bundle_bytes} bytes, ")?;
        write!(f, "{} simulated s; hit:", simulated_ms / 1_000)?;
        hits.iter().try_for_each(|(kind, hits)| write!(f, " {kind} {hits},"))
    }
}
