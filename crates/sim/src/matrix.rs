//! Which faults struck in which states of a node: what was never tried in some state proves nothing about it.
//!
//! What must always hold here: a cell that may be empty is named, with why; any other that a long run leaves empty is a hole.

use std::collections::BTreeMap;
use std::fmt;

use gundb_core::sync::filter::Filter;

use crate::connection::InFlight;
use crate::world::World;

/// The states of a node, and of its sessions, in which a fault may strike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// It is connected, and nothing of what follows is so.
    Idle,
    /// It has no connection.
    Apart,
    /// A push is on its way, or its receipt.
    Push,
    /// A pull is on its way, or its bundle.
    Pull,
    /// Its peers hold many events that it lacks.
    Behind,
    /// A transaction of its users is open.
    Open,
    /// It keeps parts of a large transaction.
    Part,
    /// It keeps something that waits for its time, its stream or its cause.
    Waits,
    /// It keeps bundles that couriers brought too early.
    Early,
    /// It started a moment ago, perhaps from a backup.
    Started,
    /// It has refused something.
    Refused,
}

use State::{Apart, Behind, Early, Idle, Open, Part, Pull, Push, Refused, Started, Waits};

/// All of them, with their names.
pub const STATES: [(State, &str); 11] = [
    (Idle, "idle"),
    (Apart, "apart"),
    (Push, "push"),
    (Pull, "pull"),
    (Behind, "behind"),
    (Open, "open"),
    (Part, "part"),
    (Waits, "waits"),
    (Early, "early"),
    (Started, "started"),
    (Refused, "refused"),
];

/// What may go wrong.
pub const FAULTS: [&str; 23] = [
    "cut",
    "cut one way",
    "partition",
    "partition one way",
    "connection dropped",
    "session bundle lost",
    "session bundle doubled",
    "session bundle late",
    "courier lost",
    "courier doubled",
    "crash",
    "crash that lost commits",
    "restore",
    "clone",
    "fork",
    "clock ahead",
    "clock back",
    "full disk",
    "apply rolled back",
    "slow peer",
    "malformed event",
    "hostile peer",
    "filters",
];

/// Why a fault cannot strike in a state.
fn impossible(fault: &str, state: State) -> Option<&'static str> {
    match (fault, state) {
        ("session bundle lost" | "session bundle doubled" | "session bundle late", Idle | Apart) => {
            Some("the bundle is in a session, and on its way")
        }
        ("apply rolled back", Apart) => Some("what is applied came in a session, by a push or a pull"),
        ("malformed event", Idle) => Some("who writes has a transaction open"),
        ("malformed event" | "fork", Early) => {
            Some("runs with such faults have no couriers, who bring no receipt back")
        }
        _ => None,
    }
}

/// How often each fault struck in each state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Matrix(BTreeMap<(&'static str, State), u64>);

impl Matrix {
    /// Adds those of another run.
    pub fn add(&mut self, other: &Matrix) {
        other.0.iter().for_each(|(cell, hits)| *self.0.entry(*cell).or_default() += hits);
    }

    fn hits(&self, fault: &'static str, state: State) -> u64 {
        self.0.get(&(fault, state)).copied().unwrap_or_default()
    }

    /// Cells that are empty and need not be.
    pub fn holes(&self) -> Vec<String> {
        let cells = FAULTS.iter().flat_map(|fault| STATES.iter().map(move |(state, name)| (*fault, *state, name)));
        let is_hole = |(fault, state, _): &(&'static str, State, _)| {
            self.hits(fault, *state) == 0 && impossible(fault, *state).is_none()
        };
        cells.filter(is_hole).map(|(fault, _, name)| format!("{fault} × {name}")).collect()
    }
}

impl fmt::Display for Matrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = STATES.iter().map(|(_, name)| *name).collect();
        writeln!(f, "| fault | {} |\n|---|{}", names.join(" | "), "--:|".repeat(names.len()))?;
        let mut reasons: Vec<&str> = Vec::new();
        for fault in FAULTS {
            write!(f, "| {fault} |")?;
            for (state, _) in STATES {
                match (self.hits(fault, state), impossible(fault, state)) {
                    (0, Some(reason)) => {
                        let known = reasons.iter().position(|known| *known == reason).unwrap_or(reasons.len());
                        reasons.truncate(reasons.len().max(known));
                        if known == reasons.len() {
                            reasons.push(reason);
                        }
                        write!(f, " –{} |", known + 1)?;
                    }
                    (hits, _) => write!(f, " {hits} |")?,
                }
            }
            writeln!(f)?;
        }
        writeln!(f)?;
        reasons.iter().enumerate().try_for_each(|(at, reason)| writeln!(f, "–{}: cannot be: {reason}.", at + 1))
    }
}

/// Events that a node lacks, from which on it is behind.
const BEHIND_MIN: u64 = 10;
/// For how long a node has just started.
const STARTED_US: u64 = 500_000;

impl World {
    /// A fault strikes at a node.
    pub fn strike(&mut self, fault: &'static str, node: usize) {
        self.counts.hit(fault);
        for (state, _) in STATES {
            if self.is_in(node, state) {
                *self.counts.matrix.0.entry((fault, state)).or_default() += 1;
            }
        }
    }

    /// Whether a node is in a state.
    pub fn is_in(&self, node: usize, state: State) -> bool {
        let store = &self.nodes[node].store;
        let mut connections = self.connections.values().filter(|one| self.links[one.link].nodes.contains(&node));
        let mut carries =
            |what: InFlight| connections.any(|one| one.in_flight.values().any(|carried| *carried == what));
        match state {
            Idle => STATES.iter().all(|(other, _)| *other == Idle || !self.is_in(node, *other)),
            Apart => connections.next().is_none(),
            Push => carries(InFlight::Push),
            Pull => carries(InFlight::Pull),
            Behind => self.lacks(node) >= BEHIND_MIN,
            Open => !self.nodes[node].memory.open.is_empty(),
            Part => !store.parts.is_empty(),
            Waits => !store.staged.is_empty(),
            Early => self.keeps_early(node),
            Started => self.nodes[node].started_us.is_some_and(|started_us| started_us + STARTED_US > self.now_us),
            Refused => !store.refused.is_empty(),
        }
    }

    /// How many events a node's peers hold that it lacks and takes.
    fn lacks(&self, node: usize) -> u64 {
        let peers = self.links.iter().filter(|link| link.nodes.contains(&node)).flat_map(|link| link.nodes);
        let here = &self.nodes[node];
        let lacks = |peer: usize| -> u64 {
            let dots = self.nodes[peer].store.holds.iter().filter(|dot| here.takes(dot.stream));
            dots.map(|dot| dot.seq.saturating_sub(here.store.holds.get(dot.site, dot.stream, dot.lane))).sum()
        };
        peers.filter(|peer| *peer != node).map(lacks).max().unwrap_or_default()
    }

    /// Whether a node takes all streams.
    pub fn takes_all(&self, node: usize) -> bool {
        self.nodes[node].takes == Filter::all()
    }
}
