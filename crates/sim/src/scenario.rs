//! What a seed stands for: nodes, links, what is written when, and what goes wrong when.
//!
//! What must always hold here: when all has healed everybody can come to hold what is meant for him. Nodes that take all streams are connected by links
//! that forward; a node that takes some of them has such a link to one that takes all; a link that brings its sender's own events alone
//! is never the only way. Where filters differ by link nothing of that holds: what is meant for whom says `spec.rs`.

use std::collections::BTreeSet;
use std::rc::Rc;

use gundb_core::sync::filter::Filter;
use gundb_core::sync::message::Accept;

use crate::cut::Cut;
use crate::matrix::{STATES, State};
use crate::network::{Carrier, End, Link};
use crate::random::Random;

/// The names of all streams.
pub const NAMES: [&str; 4] = ["orders", "stock", "audit", "audit_log"];

/// Where filters stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Filters {
    /// A node takes the same streams from each of its peers, and is sent all of them.
    #[default]
    ByNode,
    /// Each link has its own, in each direction and at each end.
    ByLink,
}

/// How a run is drawn.
pub struct Scenario {
    pub topology: &'static str,
    pub nodes: Vec<Plan>,
    pub links: Vec<Link>,
    pub faults: Vec<Planned>,
    /// When nothing more is written and all faults end.
    pub heals_at_us: u64,
    /// Bytes of a bundle before compression.
    pub bundle_bytes_max: u64,
    /// Of a thousand applications of a bundle, how many fail and are rolled back.
    pub apply_fails_per_mille: u64,
    /// Of a thousand bundles in a session, how many are lost, doubled or late, which no connection should do.
    pub mangled_per_mille: u64,
    pub compresses: bool,
}

/// What a node is.
pub struct Plan {
    pub takes: Filter,
    /// Between two transactions of its users, on the average.
    pub pause_us: u64,
    /// The streams that it declares, and when.
    pub declares: Vec<(u64, Rc<str>)>,
    pub large_percent: u64,
    pub long_percent: u64,
}

/// What goes wrong, and when.
#[derive(Debug, Clone)]
pub struct Planned {
    pub at_us: u64,
    /// The state in which it strikes, as soon as there is such.
    pub awaits: Option<State>,
    pub fault: Fault,
    pub is_left_out: bool,
}

/// What goes wrong.
#[derive(Debug, Clone)]
pub enum Fault {
    /// Messages are lost in these directions of a link, until the time has passed.
    Cut { link: usize, ways: [bool; 2], for_us: u64 },
    /// A set of nodes is cut off from the others; in one direction, or both.
    Partition { nodes: BTreeSet<usize>, ways: [bool; 2], for_us: u64 },
    /// A connection breaks.
    Drop { link: usize },
    /// A node stops and starts again; it may lose what it committed last.
    Crash { node: usize, down_us: u64, loses_us: Option<u64> },
    /// A node starts again from a copy of its disk.
    Restore { node: usize, age_us: u64 },
    /// A copy of a node's disk starts beside it.
    Clone { node: usize },
    /// A wall clock jumps.
    Jump { node: usize, by_ms: i64 },
    /// A node's users write what no other site can take.
    Poison { node: usize },
    /// A copy of a node's memory goes on beside it.
    Fork { node: usize },
    /// Nothing can be committed at a node.
    Full { node: usize, for_us: u64 },
    /// What a node sends is late.
    Slow { node: usize, for_us: u64 },
    /// An end of a link sends rubbish and lies.
    Hostile { link: usize, from: usize, for_us: u64 },
}

impl Scenario {
    /// Draws one. A few are larger than most.
    pub fn draw(seed: u64, random: &mut Random, filters: Filters) -> Scenario {
        let count = random.between(2, 8) as usize + if seed.is_multiple_of(25) { 4 } else { 0 };
        let (topology, edges) = edges(count, random);
        let takes_all = match filters {
            Filters::ByNode => who_takes_all(count, &edges, random),
            Filters::ByLink => vec![true; count],
        };
        let heals_at_us = random.between(1_000_000, 6_000_000);
        let pause_us = 4_000 * count as u64 * random.between(5, 40);
        let mut nodes: Vec<Plan> = takes_all.iter().map(|all| plan(*all, pause_us, heals_at_us, random)).collect();
        let mut links: Vec<Link> = edges.iter().map(|edge| link(*edge, random)).collect();
        for link in &mut links {
            (0..2).for_each(|end| link.ends[end].pull = nodes[link.nodes[end]].takes.clone());
        }
        match filters {
            Filters::ByNode => {
                make_some_own(&takes_all, &mut links, random);
                narrow_some_pushes(&nodes, &mut links, random);
            }
            Filters::ByLink => {
                filter_each(&mut links, random);
                // Where one may bring its own events alone, its definitions make no streams: everybody declares all.
                if links.iter().flat_map(|link| &link.ends).any(|end| end.accept == Accept::Own) {
                    nodes.iter_mut().for_each(|node| node.declares = NAMES.map(|name| (0, Rc::from(name))).into());
                }
            }
        }
        // In some runs everything goes wrong at once: else what is rare would seldom meet what is rare.
        let is_rough = random.percent(10);
        let faults = faults(count, links.len(), heals_at_us, is_rough, random);
        if is_rough {
            nodes.iter_mut().for_each(|plan| plan.large_percent = 20);
        }
        let bundle_bytes_max = if is_rough { 4_000 } else { *random.pick(&[1_500, 4_000, 20_000, 100_000, 1_000_000]) };
        let apply_fails_per_mille = *random.pick(&[0, 0, 5, 30]);
        let mangled_per_mille = if is_rough { 50 } else { *random.pick(&[0, 0, 0, 30]) };
        let compresses = random.percent(10);
        if faults.iter().any(|planned| matches!(planned.fault, Fault::Poison { .. } | Fault::Fork { .. })) {
            // By courier nothing comes back that says what was refused.
            links.iter_mut().for_each(|link| link.carrier = Carrier::Session);
        }
        Scenario {
            topology,
            nodes,
            links,
            faults,
            heals_at_us,
            bundle_bytes_max,
            apply_fails_per_mille,
            mangled_per_mille,
            compresses,
        }
    }
}

impl Scenario {
    /// The scenario of a seed.
    pub fn of_seed(seed: u64, filters: Filters) -> Scenario {
        Scenario::draw(seed, &mut Random::new(seed), filters)
    }

    /// What is left of it.
    pub fn cut(mut self, cut: &Cut) -> Scenario {
        let nodes = cut.nodes.unwrap_or(self.nodes.len()).min(self.nodes.len());
        let kept: Vec<usize> =
            (0..self.links.len()).filter(|at| self.links[*at].nodes.iter().all(|node| *node < nodes)).collect();
        for (at, planned) in self.faults.iter_mut().enumerate() {
            let is_kept = match &mut planned.fault {
                Fault::Cut { link, .. } | Fault::Drop { link } | Fault::Hostile { link, .. } => {
                    let place = kept.iter().position(|kept| kept == link);
                    *link = place.unwrap_or_default();
                    place.is_some()
                }
                Fault::Partition { nodes: cut_off, .. } => {
                    cut_off.retain(|node| *node < nodes);
                    true
                }
                Fault::Crash { node, .. }
                | Fault::Restore { node, .. }
                | Fault::Clone { node }
                | Fault::Jump { node, .. }
                | Fault::Poison { node }
                | Fault::Fork { node }
                | Fault::Full { node, .. }
                | Fault::Slow { node, .. } => *node < nodes,
            };
            planned.is_left_out = !is_kept || cut.without.contains(&at);
        }
        self.nodes.truncate(nodes);
        self.links = kept.iter().map(|at| self.links[*at].clone()).collect();
        self.heals_at_us = cut.heals_at_ms.map_or(self.heals_at_us, |ms| self.heals_at_us.min(ms * 1_000));
        if cut.is_calm {
            (self.apply_fails_per_mille, self.mangled_per_mille, self.compresses) = (0, 0, false);
        }
        self
    }

    /// Whether in what is left everybody can come to hold what is meant for him.
    pub fn can_be(&self, cut: &Cut, filters: Filters) -> bool {
        let nodes = cut.nodes.unwrap_or(self.nodes.len());
        let forwards = |link: &&Link| link.ends.iter().all(|end| end.accept == Accept::Any);
        let links = self.links.iter().filter(forwards).map(|link| link.nodes);
        let links: Vec<[usize; 2]> = links.filter(|ends| ends.iter().all(|node| *node < nodes)).collect();
        let takes_all: Vec<bool> = self.nodes.iter().take(nodes).map(|plan| plan.takes == Filter::all()).collect();
        filters == Filters::ByLink || cut.nodes.is_none() || all_is_reached(&takes_all, &links)
    }
}

fn edges(count: usize, random: &mut Random) -> (&'static str, Vec<[usize; 2]>) {
    let next = |at: usize| [at, (at + 1) % count];
    let (name, mut edges): (_, Vec<[usize; 2]>) = match random.below(5) {
        0 => ("chain", (0..count - 1).map(next).collect()),
        1 => ("ring", if count > 2 { (0..count).map(next).collect() } else { vec![[0, 1]] }),
        2 => ("star", (1..count).map(|leaf| [0, leaf]).collect()),
        3 => ("mesh", (0..count).flat_map(|a| (a + 1..count).map(move |b| [a, b])).collect()),
        _ => {
            let mut edges: Vec<[usize; 2]> = (1..count).map(|node| [random.index(node), node]).collect();
            for _ in 0..random.below(count as u64) {
                let (a, b) = (random.index(count), random.index(count));
                if a != b && !edges.contains(&[a, b]) && !edges.contains(&[b, a]) {
                    edges.push([a, b]);
                }
            }
            ("random", edges)
        }
    };
    // Who dials whom.
    edges.iter_mut().for_each(|edge| {
        if random.percent(50) {
            edge.reverse();
        }
    });
    (name, edges)
}

/// Which nodes take all streams: the more the merrier, connected, and one beside each that does not.
fn who_takes_all(count: usize, edges: &[[usize; 2]], random: &mut Random) -> Vec<bool> {
    let mut takes_all = vec![true; count];
    if random.percent(50) {
        return takes_all;
    }
    for _ in 0..random.between(1, 2) {
        let node = random.index(count);
        takes_all[node] = false;
        if !all_is_reached(&takes_all, edges) {
            takes_all[node] = true;
        }
    }
    takes_all
}

fn all_is_reached(takes_all: &[bool], edges: &[[usize; 2]]) -> bool {
    let Some(first) = takes_all.iter().position(|all| *all) else { return false };
    let mut reached = BTreeSet::from([first]);
    loop {
        let before = reached.len();
        for [a, b] in edges {
            for (from, to) in [(a, b), (b, a)] {
                if reached.contains(from) && takes_all[*from] {
                    reached.insert(*to);
                }
            }
        }
        if reached.len() == before {
            return reached.len() == takes_all.len();
        }
    }
}

fn plan(takes_all: bool, pause_us: u64, heals_at_us: u64, random: &mut Random) -> Plan {
    let takes = some_streams(random);
    let takes: &[&str] = if takes_all { &["*"] } else { takes };
    let mut declares = Vec::new();
    for name in NAMES {
        match random.below(4) {
            0 | 1 => declares.push((0, Rc::from(name))),
            2 => declares.push((random.below(heals_at_us), Rc::from(name))),
            _ => {}
        }
    }
    Plan {
        takes: Filter::parse(takes).unwrap_or_default(),
        pause_us: pause_us * random.between(1, 4),
        declares,
        large_percent: *random.pick(&[0, 0, 2, 10]),
        long_percent: *random.pick(&[0, 5, 20]),
    }
}

fn link(nodes: [usize; 2], random: &mut Random) -> Link {
    let delay_us = *random.pick(&[200, 1_000, 10_000, 100_000]);
    let carrier = if random.percent(15) { Carrier::Courier } else { Carrier::Session };
    let end = || End { push: Filter::all(), pull: Filter::all(), accept: Accept::Any };
    Link::new(nodes, [end(), end()], carrier, delay_us)
}

/// Some links bring their sender's own events alone, where the others bring everything.
fn make_some_own(takes_all: &[bool], links: &mut [Link], random: &mut Random) {
    if !random.percent(40) {
        return;
    }
    for at in 0..links.len() {
        if random.percent(50) {
            continue;
        }
        // The end that takes the other's own events: of a leaf, and of any link that is not needed.
        let end = random.index(2);
        let leaf = links[at].nodes[1 - end];
        let is_leaf = links.iter().filter(|link| link.nodes.contains(&leaf)).count() == 1;
        links[at].ends[end].accept = Accept::Own;
        let forwards: Vec<[usize; 2]> = links
            .iter()
            .filter(|link| link.ends.iter().all(|end| end.accept == Accept::Any))
            .map(|link| link.nodes)
            .collect();
        if !is_leaf && !all_is_reached(takes_all, &forwards) {
            links[at].ends[end].accept = Accept::Any;
        }
    }
}

/// What the other does not take need not be sent: it comes to the same.
fn narrow_some_pushes(nodes: &[Plan], links: &mut [Link], random: &mut Random) {
    for link in links {
        for end in 0..2 {
            if random.percent(20) {
                link.ends[end].push = nodes[link.nodes[1 - end]].takes.clone();
            }
        }
    }
}

/// Each end of each link sends and takes what it likes.
fn filter_each(links: &mut [Link], random: &mut Random) {
    let often = *random.pick(&[10, 30, 60]);
    let own = *random.pick(&[0, 0, 20]);
    let filter = |random: &mut Random| {
        let patterns = if random.percent(often) { some_streams(random) } else { &["*"] };
        Filter::parse(patterns).unwrap_or_default()
    };
    for end in links.iter_mut().flat_map(|link| &mut link.ends) {
        end.push = filter(random);
        end.pull = filter(random);
        if random.percent(own) {
            end.accept = Accept::Own;
        }
    }
}

fn some_streams(random: &mut Random) -> &'static [&'static str] {
    match random.below(4) {
        0 => &["*", "!audit*"],
        1 => &["orders"],
        2 => &["*", "!audit*", "audit_log"],
        _ => &["o*", "stock"],
    }
}

fn faults(nodes: usize, links: usize, heals_at_us: u64, is_rough: bool, random: &mut Random) -> Vec<Planned> {
    let mut faults = Vec::new();
    let count = if is_rough { 24 } else { *random.pick(&[0, 2, 4, 8, 12]) };
    // What taints is rare: it makes a run say less about everything else.
    let taints = random.percent(if is_rough { 50 } else { 15 });
    let kinds: Vec<u64> = (0..random.between(2, 5)).map(|_| random.below(10)).collect();
    let kinds = if is_rough { (0..10).collect() } else { kinds };
    let planned = |at_us: u64, fault: Fault, random: &mut Random| {
        let awaits = random.percent(if is_rough { 80 } else { 50 }).then(|| random.pick(&STATES).0);
        Planned { at_us, awaits, fault, is_left_out: false }
    };
    for _ in 0..count {
        let at = random.below(heals_at_us);
        let (node, link) = (random.index(nodes), random.index(links));
        let way = random.index(2);
        let ways = *random.pick(&[[true, true], [way == 0, way == 1]]);
        let for_us = random.between(50_000, 2_000_000);
        let fault = match *random.pick(&kinds) {
            0 => Fault::Cut { link, ways, for_us },
            1 => Fault::Partition { nodes: (0..nodes).filter(|_| random.percent(50)).collect(), ways, for_us },
            2 => Fault::Drop { link },
            3 => {
                let loses_us = random.percent(50).then(|| random.between(1, 500_000));
                Fault::Crash { node, down_us: random.between(10_000, 1_000_000), loses_us }
            }
            4 => Fault::Restore { node, age_us: random.between(1, 3_000_000) },
            5 => Fault::Clone { node },
            6 => Fault::Full { node, for_us },
            7 => Fault::Slow { node, for_us },
            8 => Fault::Hostile { link, from: way, for_us },
            _ => {
                let by_ms = *random.pick(&[1, 60_000, 600_000, 31_536_000_000, 1_700_000_000_000]);
                Fault::Jump { node, by_ms: if random.percent(50) { by_ms } else { -by_ms } }
            }
        };
        faults.push(planned(at, fault, random));
    }
    if is_rough {
        let (link, from) = (random.index(links), random.index(2));
        faults.push(Planned {
            at_us: 0,
            awaits: None,
            fault: Fault::Hostile { link, from, for_us: heals_at_us / 2 },
            is_left_out: false,
        });
    }
    if taints {
        let node = random.index(nodes);
        let fault = if random.percent(50) { Fault::Poison { node } } else { Fault::Fork { node } };
        let at = random.below(heals_at_us);
        faults.push(planned(at, fault, random));
    }
    faults
}
