//! What goes wrong, and how it ends.
//!
//! What must always hold here: what a fault takes from the last node that holds it is noted as lost, and nothing else is.

use std::collections::BTreeSet;

use gundb_core::sync::message::Accept;

use crate::connection::Side;
use crate::network::{Carrier, Link};
use crate::node::{BEGINNING_MS, Memory, Node};
use crate::plant::Plant;
use crate::scenario::{Fault, Filters, NAMES, Planned};
use crate::store::Store;
use crate::world::{Step, World};

/// How often a fault looks whether its moment has come.
const PATIENCE_US: u64 = 10_000;
/// Copies make no more nodes than this.
const NODES_MAX: usize = 10;

impl World {
    /// A fault strikes.
    pub fn fault(&mut self, at: usize) {
        let Some(Planned { fault, awaits, .. }) = self.faults.get(at).cloned() else { return };
        let is_awaited = awaits.is_none_or(|state| self.is_in(self.place(&fault), state));
        if !is_awaited {
            if self.now_us + 2 * PATIENCE_US < self.heals_at_us {
                self.after(PATIENCE_US, Step::Fault(at));
            }
            return;
        }
        self.tell(|_| format!("FAULT {fault:?}"));
        match fault {
            Fault::Cut { link, ways, for_us } => {
                let name = if ways == [true, true] { "cut" } else { "cut one way" };
                self.links[link].nodes.into_iter().for_each(|node| self.strike(name, node));
                self.cut(link, ways, for_us);
            }
            Fault::Partition { nodes, ways, for_us } => self.partition(&nodes, ways, for_us),
            Fault::Drop { link } => {
                self.links[link].nodes.into_iter().for_each(|node| self.strike("connection dropped", node));
                self.break_connection(link, 50_000);
            }
            Fault::Crash { node, down_us, .. } => {
                let copy = self.copies.remove(&at).filter(|_| self.may_lose(node));
                self.strike(if copy.is_some() { "crash that lost commits" } else { "crash" }, node);
                self.stop(node, copy);
                self.after(down_us, Step::Start { node });
            }
            Fault::Restore { node, .. } => {
                if let Some(copy) = self.copies.remove(&at).filter(|_| self.may_lose(node)) {
                    self.strike("restore", node);
                    self.stop(node, Some(copy));
                    self.after(10_000, Step::Start { node });
                }
            }
            Fault::Clone { node } => self.clone_node(node, None),
            Fault::Fork { node } => self.fork(node),
            Fault::Jump { node, by_ms } => {
                self.strike(if by_ms > 0 { "clock ahead" } else { "clock back" }, node);
                // A clock does not go back behind 1970; there it goes on.
                let ahead_ms = self.nodes[node].ahead_ms + by_ms;
                self.nodes[node].ahead_ms = ahead_ms.max(-(BEGINNING_MS as i64));
            }
            Fault::Poison { node } => self.poison(node),
            Fault::Full { node, for_us } => {
                self.strike("full disk", node);
                self.nodes[node].full_until_us = self.now_us + for_us;
            }
            Fault::Slow { node, for_us } => {
                self.strike("slow peer", node);
                self.nodes[node].slow_until_us = self.now_us + for_us;
            }
            Fault::Hostile { link, from, for_us } => {
                self.links[link].hostile_until_us[from] = self.now_us + for_us;
                // What was refused meanwhile is sent again in another session.
                self.after(for_us, Step::Part { link });
            }
        }
    }

    /// The node in whose state a fault looks for its moment.
    fn place(&self, fault: &Fault) -> usize {
        match fault {
            Fault::Cut { link, ways, .. } => self.links[*link].nodes[usize::from(ways[0])],
            Fault::Partition { nodes, .. } => nodes.first().copied().unwrap_or_default(),
            Fault::Drop { link } => self.links[*link].nodes[0],
            Fault::Hostile { link, from, .. } => self.links[*link].nodes[1 - from],
            Fault::Crash { node, .. }
            | Fault::Restore { node, .. }
            | Fault::Clone { node }
            | Fault::Jump { node, .. }
            | Fault::Poison { node }
            | Fault::Fork { node }
            | Fault::Full { node, .. }
            | Fault::Slow { node, .. } => *node,
        }
    }

    /// A session of a link ends, whatever it is about.
    pub fn part(&mut self, link: usize) {
        self.break_connection(link, 50_000);
    }

    /// What a site has lost, its own events too, it gets back only over links that forward to it: what others wrote who had seen such would wait for ever.
    fn may_lose(&self, node: usize) -> bool {
        let forwards_here = |link: &Link| {
            (0..2).all(|end| {
                let flow = link.flow(1 - end);
                let all_flows = NAMES.iter().all(|name| flow.matches(name));
                let takes_all = NAMES.iter().all(|name| self.nodes[link.nodes[1 - end]].takes.matches(name));
                link.nodes[end] != node || link.ends[end].accept == Accept::Any && takes_all && all_flows
            })
        };
        // Of what it wrote itself in streams that it does not take, nothing comes back: it would hold parts of its own transactions, and send them.
        let takes_all = NAMES.iter().all(|name| self.nodes[node].takes.matches(name));
        takes_all && self.links.iter().all(forwards_here) && (self.filters == Filters::ByNode || self.shares_all(node))
    }

    /// Whether a node sends its peers all, and is sent all: what it wrote in another run, or as another copy, comes back from them.
    fn shares_all(&self, node: usize) -> bool {
        let links = self.links.iter().filter(|link| link.nodes.contains(&node));
        links.flat_map(|link| [(link, 0), (link, 1)]).all(|(link, from)| {
            let flow = link.flow(from);
            link.ends[from].accept == Accept::Any && NAMES.iter().all(|name| flow.matches(name))
        })
    }

    fn cut(&mut self, link: usize, ways: [bool; 2], for_us: u64) {
        for (way, _) in ways.iter().enumerate().filter(|(_, is_cut)| **is_cut) {
            self.links[link].cuts[way] += 1;
        }
        self.break_connection(link, 2_000_000);
        self.after(for_us, Step::Uncut { link, ways });
    }

    fn partition(&mut self, nodes: &BTreeSet<usize>, ways: [bool; 2], for_us: u64) {
        let name = if ways == [true, true] { "partition" } else { "partition one way" };
        nodes.iter().for_each(|node| self.strike(name, *node));
        for link in 0..self.links.len() {
            let [a, b] = self.links[link].nodes.map(|node| nodes.contains(&node));
            match (a, b) {
                (true, false) => self.cut(link, ways, for_us),
                (false, true) => self.cut(link, [ways[1], ways[0]], for_us),
                _ => {}
            }
        }
    }

    pub fn uncut(&mut self, link: usize, ways: [bool; 2]) {
        for (way, _) in ways.iter().enumerate().filter(|(_, is_cut)| **is_cut) {
            let cuts = &mut self.links[link].cuts[way];
            *cuts = cuts.saturating_sub(1);
        }
    }

    /// Each end of a link's connection finds out that it is broken, in its own time.
    fn break_connection(&mut self, link: usize, within_us: u64) {
        if let Some(connection) = self.links[link].connection {
            self.after_random(within_us, Step::Close { connection, at: Side::Dialler });
            self.after_random(within_us, Step::Close { connection, at: Side::Answerer });
        }
    }

    /// A node stops; its disk stays, or becomes this one.
    fn stop(&mut self, node: usize, disk: Option<Store>) {
        self.lives[node] += 1;
        self.nodes[node].is_up = false;
        let memory = std::mem::take(&mut self.nodes[node].memory);
        let memory_applied = memory.applied.clone();
        if self.plant == Plant::RunContinued {
            self.nodes[node].memory = memory;
            self.nodes[node].memory.forget_open();
        }
        if let Some((at_ms, before)) = memory_applied
            && disk.is_none()
            && self.plant == Plant::ClockApart
            && at_ms + 100 > self.now_ms()
        {
            self.nodes[node].store.holds = before;
        }
        if let Some(disk) = disk {
            let before = std::mem::replace(&mut self.nodes[node].store, disk);
            for event in before.events() {
                if !self.nodes.iter().any(|other| other.store.holds.covers(&event.dot)) {
                    self.truth.lost.insert(event.dot);
                }
            }
        }
        self.leave_connections(node);
    }

    pub fn start(&mut self, node: usize) {
        self.nodes[node].is_up = true;
        self.nodes[node].started_us = Some(self.now_us);
        self.tell(|world| format!("{} starts", world.nodes[node].name));
    }

    /// Two copies of a node's disk are live from now on, and perhaps of its memory.
    fn clone_node(&mut self, node: usize, memory: Option<Memory>) {
        if self.nodes.len() >= NODES_MAX || !self.may_lose(node) || !self.nodes[node].is_up {
            return;
        }
        self.strike(if memory.is_some() { "fork" } else { "clone" }, node);
        let original = &self.nodes[node];
        let (name, store, takes) = (format!("{}'", original.name), original.store.clone(), original.takes.clone());
        let mut copy = Node::new(name, store, takes, self.random.part(), self.plant);
        copy.memory = memory.unwrap_or_default();
        copy.ahead_ms = original.ahead_ms;
        let at = self.nodes.len();
        self.nodes.push(copy);
        self.lives.push(0);
        self.plans.push(self.plans[node].clone());
        self.after_random(100_000, Step::Write { node: at });
        let links: Vec<Link> = self.links.iter().filter(|link| link.nodes.contains(&node)).cloned().collect();
        for link in links {
            let nodes = link.nodes.map(|end| if end == node { at } else { end });
            if self.nodes[nodes[0]].store.site != self.nodes[nodes[1]].store.site {
                self.add_link(Link::new(nodes, link.ends, link.carrier, link.delay_us));
            }
        }
    }

    /// As a machine's memory image that is resumed twice: both go on in one run.
    fn fork(&mut self, node: usize) {
        let original = &mut self.nodes[node];
        let Some(run) = original.memory.run.filter(|_| original.is_up) else { return };
        let (site, stamp) = (original.store.site, original.memory.hlc.unwrap_or(original.store.mark));
        // Where both went on with one open transaction they would commit it alike.
        self.lives[node] += 1;
        original.memory.forget_open();
        let memory = original.memory.clone();
        let before = self.nodes.len();
        self.clone_node(node, Some(memory));
        if self.nodes.len() > before {
            self.truth.forked(site, run, stamp);
        }
    }

    /// Everything that went wrong ends; what it has done stays.
    pub fn heal(&mut self) {
        self.tell(|_| "HEAL".to_owned());
        self.apply_fails_per_mille = 0;
        for link in &mut self.links {
            link.cuts = [0, 0];
        }
        for node in 0..self.nodes.len() {
            if !self.nodes[node].is_up {
                self.start(node);
            }
        }
        for link in 0..self.links.len() {
            if self.was_hostile(link, 0) || self.was_hostile(link, 1) {
                self.part(link);
            }
        }
        for link in 0..self.links.len() {
            if self.links[link].carrier == Carrier::Session && self.links[link].connection.is_none() {
                self.after_random(100_000, Step::Dial { link });
            }
        }
    }
}
