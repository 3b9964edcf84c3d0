//! What is meant for whom, by the filters alone: no node is told of it, it is what nodes are compared with.
//!
//! The events that an author writes in a stream *may come* to a node from the author, where the stream flows from it, or from anybody to whom they may come
//! and from whom the stream flows, where the node takes anybody's. They *come* likewise, but from a node that is not their author only if that gets all
//! streams of the author that may come to the receiver: else it could bring an event without knowing of its causes.
//!
//! What must always hold here: both are least fixed points, the second of a rule in which the first no longer changes.

use std::collections::BTreeSet;

use gundb_core::sync::filter::SYSTEM_STREAM;
use gundb_core::sync::message::Accept;
use gundb_core::{Dot, SiteId, StreamId};

use crate::network::Link;
use crate::node::Node;

/// A link in one direction.
struct Way {
    from: usize,
    to: usize,
    any: bool,
    /// Whether something still comes by it.
    is_alive: bool,
    /// The streams that flow.
    flows: BTreeSet<StreamId>,
}

/// What comes to each node: streams by author.
pub struct Spec {
    sites: Vec<SiteId>,
    ways: Vec<Way>,
    comes: BTreeSet<(usize, SiteId, StreamId)>,
}

impl Spec {
    /// By what nodes are there, how they are linked, and which streams were heard of.
    pub fn new(nodes: &[Node], links: &[Link]) -> Spec {
        let known = nodes.iter().flat_map(|node| node.store.known.values());
        let names: BTreeSet<&str> = known.map(|name| &**name).chain([SYSTEM_STREAM]).collect();
        let mut ways = Vec::new();
        for (link, from) in links.iter().flat_map(|link| [(link, 0), (link, 1)]) {
            let flow = link.flow(from);
            let flows = names.iter().filter(|name| flow.matches(name)).map(|name| StreamId::of_name(name)).collect();
            let any = link.ends[1 - from].accept == Accept::Any;
            let (to, is_alive) = (link.nodes[1 - from], link.is_alive);
            ways.push(Way { from: link.nodes[from], to, any, is_alive, flows });
        }
        let streams: BTreeSet<StreamId> = names.iter().map(|name| StreamId::of_name(name)).collect();
        let mut spec = Spec { sites: nodes.iter().map(|node| node.store.site).collect(), ways, comes: BTreeSet::new() };
        for author in spec.sites.iter().copied().collect::<BTreeSet<_>>() {
            let may = spec.fixed_point(author, &streams, |_, _| true);
            let comes = spec.fixed_point(author, &streams, |way, held| may[way.to].is_subset(held));
            for (node, streams) in comes.into_iter().enumerate() {
                spec.comes.extend(streams.into_iter().map(|stream| (node, author, stream)));
            }
        }
        spec
    }

    fn fixed_point(
        &self,
        author: SiteId,
        streams: &BTreeSet<StreamId>,
        forwards: impl Fn(&Way, &BTreeSet<StreamId>) -> bool,
    ) -> Vec<BTreeSet<StreamId>> {
        let own = |site: &SiteId| if *site == author { streams.clone() } else { BTreeSet::new() };
        let mut held: Vec<BTreeSet<StreamId>> = self.sites.iter().map(own).collect();
        loop {
            let before: usize = held.iter().map(BTreeSet::len).sum();
            for way in self.ways.iter().filter(|way| way.is_alive) {
                let is_own = self.sites[way.from] == author;
                if is_own || way.any && forwards(way, &held[way.from]) {
                    let brought: Vec<StreamId> = held[way.from].intersection(&way.flows).copied().collect();
                    held[way.to].extend(brought);
                }
            }
            if held.iter().map(BTreeSet::len).sum::<usize>() == before {
                return held;
            }
        }
    }

    /// Whether an event comes to a node.
    pub fn comes(&self, node: usize, dot: &Dot) -> bool {
        self.comes.contains(&(node, dot.site, dot.stream))
    }

    /// Whether an author's transactions come to a node whole: who brings some of its streams there brings all, and holds them whole, by
    /// whatever link there ever was. Else a transaction comes in as many pieces as there are ways, and is passed on in pieces.
    pub fn comes_whole(&self, node: usize, dot: &Dot) -> bool {
        let mut streams: Vec<BTreeSet<StreamId>> = vec![BTreeSet::new(); self.sites.len()];
        for (at, _, stream) in self.comes.iter().filter(|(_, author, _)| *author == dot.site) {
            streams[*at].insert(*stream);
        }
        // Nobody waits for what its own site wrote. So a copy of the author comes to hold it in pieces, and passes those on.
        let is_copied = self.sites.iter().filter(|site| **site == dot.site).count() > 1;
        let mut is_whole: Vec<bool> = self.sites.iter().map(|site| *site != dot.site || !is_copied).collect();
        for _ in 0..self.sites.len() {
            for way in self.ways.iter().filter(|way| self.sites[way.to] != dot.site) {
                is_whole[way.to] &= is_whole[way.from] && streams[way.to].is_subset(&way.flows);
            }
        }
        is_whole[node]
    }
}
