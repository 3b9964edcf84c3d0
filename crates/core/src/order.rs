//! Sorting events by their contexts alone, for any set of events and hand-made clocks.
//!
//! What must always hold here: an event comes after every other one that its context covers; where contexts leave a choice the smallest dot goes first, so
//! the same set has one order. Contexts that cover each other have none, and the error says which.
//!
//! How: a context covers a prefix of each lane, so an event waits for a *prefix* of the lane's events that are here, and each prefix waits for the one
//! before it and its own last event. That is one edge an event and lane instead of one a pair of events.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use crate::clock::Clock;
use crate::id::{Dot, Lane, SiteId, StreamId};

/// Contexts that cover each other: each dot is in the context of the next, the last in that of the first.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the contexts of these events cover each other: {}", list(.dots))]
pub struct Cycle {
    /// The dots, at least two.
    pub dots: Vec<Dot>,
}

fn list(dots: &[Dot]) -> String {
    const SHOWN_MAX: usize = 10;
    let mut shown: Vec<String> = dots.iter().take(SHOWN_MAX).map(Dot::to_string).collect();
    if dots.len() > SHOWN_MAX {
        shown.push(format!("and {} more", dots.len() - SHOWN_MAX));
    }
    shown.join(", ")
}

/// The order of the events, as indices: a linear extension of "is covered by the context of", ties by dot.
///
/// An event's own dot in its own context means nothing: a site that has just written an event holds it. A dot given twice is one event with both contexts;
/// its indices come one after the other. O(n log n + n × (lanes of the events, or entries of the context, whichever is less)).
pub fn causal_sort(events: &[(Dot, Clock)]) -> Result<Vec<usize>, Cycle> {
    let groups = group_by_dot(events);
    let graph = Graph::of(&groups)?;
    let order = graph.order().map_err(|cycle| Cycle { dots: groups.dots(&cycle) })?;
    Ok(order.into_iter().flat_map(|at| groups.indices(at)).copied().collect())
}

/// The distinct dots in order, with what was given for each.
struct Groups<'a> {
    groups: Vec<(Dot, Vec<usize>)>,
    events: &'a [(Dot, Clock)],
    /// Where each lane's dots lie among the groups.
    lanes: BTreeMap<(SiteId, StreamId, Lane), std::ops::Range<usize>>,
}

fn group_by_dot(events: &[(Dot, Clock)]) -> Groups<'_> {
    let mut by_dot: BTreeMap<Dot, Vec<usize>> = BTreeMap::new();
    for (index, (dot, _)) in events.iter().enumerate() {
        by_dot.entry(*dot).or_default().push(index);
    }
    let mut lanes: BTreeMap<_, std::ops::Range<usize>> = BTreeMap::new();
    for (at, dot) in by_dot.keys().enumerate() {
        lanes.entry((dot.site, dot.stream, dot.lane)).or_insert(at..at).end = at + 1;
    }
    Groups { groups: by_dot.into_iter().collect(), events, lanes }
}

impl Groups<'_> {
    fn dots(&self, places: &[usize]) -> Vec<Dot> {
        places.iter().filter_map(|at| self.groups.get(*at)).map(|(dot, _)| *dot).collect()
    }

    fn indices(&self, at: usize) -> &[usize] {
        self.groups.get(at).map_or(&[], |(_, indices)| indices)
    }

    /// For each lane of which the contexts at a place cover something that is here: the lane's places, and the end of the covered ones.
    fn covered(&self, at: usize) -> Vec<(std::ops::Range<usize>, usize)> {
        let contexts = self.indices(at).iter().filter_map(|index| self.events.get(*index)).map(|(_, context)| context);
        let mut covered = Vec::new();
        for context in contexts {
            if context.len() <= self.lanes.len() {
                let here = context.iter().filter_map(|last| {
                    let lane = self.lanes.get(&(last.site, last.stream, last.lane))?;
                    Some((lane.clone(), last.seq))
                });
                covered.extend(here.map(|(lane, seq)| self.prefix(lane, seq)));
            } else {
                let lanes = self
                    .lanes
                    .iter()
                    .map(|(&(site, stream, key), lane)| (lane.clone(), context.get(site, stream, key)));
                covered.extend(lanes.map(|(lane, seq)| self.prefix(lane, seq)));
            }
        }
        covered.retain(|(lane, end)| lane.start < *end);
        covered
    }

    fn prefix(&self, lane: std::ops::Range<usize>, seq: u64) -> (std::ops::Range<usize>, usize) {
        let dots = self.groups.get(lane.clone()).unwrap_or_default();
        let end = lane.start + dots.partition_point(|(dot, _)| dot.seq <= seq);
        (lane, end)
    }
}

/// Events and prefixes as nodes: event `i` is node `i`, the prefix that ends with it is node `i + events`. An edge says what waits.
struct Graph {
    events: usize,
    /// The nodes that wait for each node.
    waiting: Vec<Vec<usize>>,
    /// How many nodes each node waits for.
    waits_for: Vec<usize>,
}

impl Graph {
    fn of(groups: &Groups<'_>) -> Result<Graph, Cycle> {
        let events = groups.groups.len();
        let mut graph = Graph { events, waiting: vec![Vec::new(); 2 * events], waits_for: vec![0; 2 * events] };
        for lane in groups.lanes.values() {
            for at in lane.clone() {
                graph.add_edge(at, events + at);
                if at > lane.start {
                    graph.add_edge(events + at - 1, events + at);
                }
            }
        }
        // The last event of a lane whose context covers later ones of the lane, and the end of what it covers.
        let mut covers_ahead: Option<(usize, usize)> = None;
        for at in 0..events {
            for (lane, end) in groups.covered(at) {
                if !lane.contains(&at) || end <= at {
                    graph.add_edge(events + end - 1, at);
                    continue;
                }
                // Its own lane, itself included: what stands before it as a prefix, what stands after it one by one. These are few: where two
                // events of a lane cover ahead and one covers the other, each covers the other.
                if at > lane.start {
                    graph.add_edge(events + at - 1, at);
                }
                if end > at + 1 {
                    match covers_ahead {
                        Some((other, other_end)) if other != at && at < other_end => {
                            return Err(Cycle { dots: groups.dots(&[other, at]) });
                        }
                        _ => covers_ahead = Some((at, end)),
                    }
                    (at + 1..end).for_each(|ahead| graph.add_edge(ahead, at));
                }
            }
        }
        Ok(graph)
    }

    fn add_edge(&mut self, first: usize, then: usize) {
        if let (Some(waiting), Some(count)) = (self.waiting.get_mut(first), self.waits_for.get_mut(then)) {
            waiting.push(then);
            *count += 1;
        }
    }

    /// Kahn's algorithm (1962) with the smallest ready event first; the places on a cycle where there is one.
    fn order(mut self) -> Result<Vec<usize>, Vec<usize>> {
        let mut ready: BinaryHeap<Reverse<usize>> =
            (0..self.events).filter(|at| self.waits_for.get(*at) == Some(&0)).map(Reverse).collect();
        let mut order = Vec::with_capacity(self.events);
        while let Some(Reverse(at)) = ready.pop() {
            order.push(at);
            // Prefixes take no place in the order, so they are passed through at once.
            let mut done = vec![at];
            while let Some(node) = done.pop() {
                for then in self.waiting.get_mut(node).map(std::mem::take).unwrap_or_default() {
                    let Some(count) = self.waits_for.get_mut(then) else {
                        continue;
                    };
                    *count -= 1;
                    match *count {
                        0 if then < self.events => ready.push(Reverse(then)),
                        0 => done.push(then),
                        _ => {}
                    }
                }
            }
        }
        if order.len() == self.events { Ok(order) } else { Err(self.cycle()) }
    }

    /// A cycle among the nodes that still wait: each of them waits for another one, so walking back must come round.
    fn cycle(&self) -> Vec<usize> {
        let mut waits_on: BTreeMap<usize, usize> = BTreeMap::new();
        for (first, waiting) in self.waiting.iter().enumerate() {
            for then in waiting {
                waits_on.entry(*then).or_insert(first);
            }
        }
        let mut step_of: BTreeMap<usize, usize> = BTreeMap::new();
        let mut path = Vec::new();
        let mut node = waits_on.keys().next().copied();
        while let Some(at) = node {
            if let Some(start) = step_of.insert(at, path.len()) {
                path.drain(..start);
                break;
            }
            path.push(at);
            node = waits_on.get(&at).copied();
        }
        // Walked from what waits to what it waits for; told the other way round, beginning at the smallest dot.
        path.retain(|node| *node < self.events);
        path.reverse();
        let smallest = path.iter().enumerate().min_by_key(|(_, at)| **at).map_or(0, |(step, _)| step);
        path.rotate_left(smallest);
        path
    }
}
