//! What is looked at when all has healed: that who should hold the same does, that nothing is lost, and that nothing waits for ever.
//!
//! What is looked at while a run goes on stands where it happens: in `receive.rs`.

use std::fmt;
use std::rc::Rc;

use gundb_core::{Dot, Event, TransactionId};

use crate::node::Node;
use crate::spec::Spec;
use crate::truth::Truth;
use crate::view;

/// A property that did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The property.
    pub property: &'static str,
    /// Where, and how.
    pub detail: String,
}

impl Failure {
    pub fn new(property: &'static str, detail: String) -> Failure {
        Failure { property, detail }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.property, self.detail)
    }
}

/// The first event that is meant for a node and has not come.
pub fn missing(nodes: &[Node], spec: &Spec, truth: &Truth) -> Option<String> {
    for (dot, _) in truth.facts.iter().filter(|(dot, _)| !truth.is_tainted(dot) && !truth.lost.contains(dot)) {
        let lacks = |(at, node): &(usize, &Node)| !node.store.holds.covers(dot) && spec.comes(*at, dot);
        if let Some((_, node)) = nodes.iter().enumerate().find(lacks) {
            return Some(format!("{dot} is meant for {}, which does not hold it", node.name));
        }
    }
    None
}

/// What a node takes from all alike stands behind all that its author had seen, and whole, at any moment.
pub fn order_now(node: &Node) -> Result<(), Failure> {
    if let Some((id, dot)) = node.split.first() {
        let detail = format!("{} shows a part of transaction {id:?} without {dot}", node.name);
        return Err(Failure::new("transactions are whole", detail));
    }
    match node.unseen.first() {
        Some((dot, cause)) => Err(late(node, dot, cause)),
        None => Ok(()),
    }
}

/// What came in the end came before what it is a cause of; and a transaction came whole, unless its streams come by different links.
pub fn order(nodes: &[Node], spec: &Spec) -> Result<(), Failure> {
    for (at, node) in nodes.iter().enumerate() {
        if let Some((dot, cause)) = node.unseen.iter().find(|(_, cause)| node.store.holds.covers(cause)) {
            return Err(late(node, dot, cause));
        }
        let is_one = |(_, dot): &&(TransactionId, Dot)| node.store.holds.covers(dot) && spec.comes_whole(at, dot);
        if let Some((id, dot)) = node.split.iter().find(is_one) {
            let detail = format!("{} showed a part of transaction {id:?} without {dot}", node.name);
            return Err(Failure::new("transactions are whole", detail));
        }
    }
    Ok(())
}

fn late(node: &Node, dot: &Dot, cause: &Dot) -> Failure {
    let detail = format!("{} shows {dot} without {cause}, which its author had seen", node.name);
    Failure::new("causes come before effects", detail)
}

/// The first node at which something waits that could have come to rest.
pub fn waiting(nodes: &[Node], truth: &Truth) -> Option<String> {
    let is_tainted = |dots: &[Event]| dots.iter().any(|event| truth.is_tainted(&event.dot));
    nodes.iter().find_map(|node| {
        let waits = node.store.staged.iter().find(|incoming| !is_tainted(&incoming.transaction.events))?;
        Some(format!("{} keeps transaction {:?} waiting", node.name, waits.transaction.id))
    })
}

/// What must hold of the nodes when nothing is missing any longer.
pub fn settled(nodes: &[Node], truth: &Truth) -> Result<(), Failure> {
    for node in nodes {
        let clock = node.store.events().map(|event| event.dot).collect();
        if node.store.holds != clock {
            let detail = format!("{} has {:?} and holds {clock:?}", node.name, node.store.holds);
            return Err(Failure::new("a clock covers what is held", detail));
        }
        if let Some((dot, reason)) =
            node.store.refused.iter().find(|((dot, _), _)| !truth.is_tainted(dot) && !truth.lied.contains(dot))
        {
            let detail = format!("{} refused {}: {reason}", node.name, dot.0);
            return Err(Failure::new("only what is wrong is refused", detail));
        }
    }
    equal_digests(nodes, truth)?;
    views(nodes)?;
    equal_views(nodes, truth)?;
    let held = |dot: &Dot| nodes.iter().any(|node| node.store.holds.covers(dot));
    match truth.facts.keys().find(|dot| !truth.lost.contains(dot) && !held(dot)) {
        Some(dot) => Err(Failure::new("nothing acknowledged is lost", format!("nobody holds {dot}"))),
        None => Ok(()),
    }
}

/// Equal clocks mean equal digests. Of what a fork has tainted the chains differ, and so may the digests.
fn equal_digests(nodes: &[Node], truth: &Truth) -> Result<(), Failure> {
    for (at, a) in nodes.iter().enumerate() {
        for b in nodes.iter().skip(at + 1) {
            let is_forked = a.store.holds.iter().any(|dot| truth.is_tainted(&dot));
            if a.store.holds == b.store.holds && !is_forked && a.store.digest(|_| true) != b.store.digest(|_| true) {
                let detail = format!("{} and {} have one clock and two digests", a.name, b.name);
                return Err(Failure::new("equal clocks mean equal digests", detail));
            }
        }
    }
    Ok(())
}

/// What views were maintained to be the specification says too, from nothing but the events.
fn views(nodes: &[Node]) -> Result<(), Failure> {
    for node in nodes {
        let events: Vec<Rc<Event>> = node.store.events().cloned().collect();
        let mut specified = view::specified(&events, &node.store.epochs)?;
        for (row, state) in &node.store.views.rows {
            let (maintained, specified) = (view::values(state), specified.remove(row));
            if maintained != specified {
                let detail = format!("{}: {}", node.name, view::differing(&maintained, &specified));
                return Err(Failure::new("a view is the fold of its events", detail));
            }
        }
        if !specified.is_empty() {
            let detail = format!("{} lacks {} rows", node.name, specified.len());
            return Err(Failure::new("a view is the fold of its events", detail));
        }
    }
    Ok(())
}

/// Equal clocks mean equal views. What a fork has tainted is not the same event everywhere.
fn equal_views(nodes: &[Node], truth: &Truth) -> Result<(), Failure> {
    for (at, a) in nodes.iter().enumerate() {
        for b in nodes.iter().skip(at + 1).filter(|b| a.store.holds == b.store.holds) {
            let is_forked = a.store.holds.iter().any(|dot| truth.is_tainted(&dot));
            if !is_forked && a.store.views.rows != b.store.views.rows {
                let detail = format!("{} and {} have one clock and other rows", a.name, b.name);
                return Err(Failure::new("equal clocks mean equal views", detail));
            }
        }
    }
    Ok(())
}
