//! What nodes know of the ways by which events come to them, and what they do when that changes.
//!
//! What must always hold here: what a node heard stands on its disk, and goes back with it.

use gundb_core::sync::filter::{Filter, Flow};
use gundb_core::sync::message::Hello;
use gundb_core::sync::routes::Routes;
use gundb_core::sync::ways::{Way, Ways};

use crate::session::known_streams;
use crate::world::{Step, World};

impl World {
    /// What a node says of the ways by which events come to it and to others.
    pub fn ways(&mut self, node: usize) -> Ways {
        let mut ways = Vec::new();
        for (at, link) in self.links.iter().enumerate().filter(|(_, link)| link.is_alive) {
            for end in (0..2).filter(|end| link.nodes[*end] == node) {
                // Until a peer has said what it sends, it may send anything.
                let heard = self.nodes[node].store.heard.get(&(at, end));
                let push = heard.map_or_else(Filter::all, |(_, push)| push.clone());
                let flow = Flow { push, pull: link.ends[end].pull.clone() };
                ways.push(Way { from: heard.map(|(site, _)| *site), flow, accept: link.ends[end].accept });
            }
        }
        let store = &mut self.nodes[node].store;
        store.ways.say(store.site, ways);
        store.ways.clone()
    }

    /// A node hears a hello over a link, at this end of it.
    pub fn learn_ways(&mut self, link: usize, end: usize, theirs: &Hello) {
        let node = self.links[link].nodes[end];
        let accept = self.links[link].ends[end].accept;
        let before = self.nodes[node].store.ways.clone();
        self.nodes[node].store.heard.insert((link, end), (theirs.site, theirs.push.clone()));
        self.ways(node);
        let store = &mut self.nodes[node].store;
        store.ways.learn(&theirs.ways, store.site, accept);
        if self.ways(node) != before {
            self.tell_learned(node);
        }
    }

    /// A node has come to know of other streams, or other ways: sessions begin anew where that makes a difference.
    pub fn tell_learned(&mut self, node: usize) {
        let ways = self.ways(node);
        let known = known_streams(&self.nodes[node]);
        let numbers: Vec<u64> = self.connections.keys().copied().collect();
        for number in numbers {
            let Some(connection) = self.connections.get_mut(&number) else { continue };
            let [dialler, answerer] = self.links[connection.link].nodes;
            if let Some(end) = connection.dialler.as_mut().filter(|_| dialler == node) {
                end.learned(&known, &ways);
                self.after_random(1_000, Step::Tick { connection: number });
            } else if let Some(end) = connection.answerer.as_mut().filter(|_| answerer == node)
                && !end.learned(&known, &ways)
            {
                connection.answerer = None;
                self.counts.hit("session outdated");
                self.after_random(1_000, Step::News { connection: number, is_here: false });
            }
        }
    }

    /// What comes to a node at all.
    pub fn routes_to(&mut self, node: usize) -> Routes {
        let ways = self.ways(node);
        Routes::to(self.nodes[node].store.site, &ways, &known_streams(&self.nodes[node]))
    }
}
