//! Ids: within a run each is one event's. A transaction that brings another event under one is refused, and harms nothing
//! but what stands behind it.

use crate::apply::here::{Here, Open};
use crate::error::Result;
use crate::scan::{self, As, Which};
use crate::view::repeats::Probe;
use gundb_core::apply::{Incoming, Judge, Problem, Refusal, Verdict};
use gundb_core::{Event, Run, SiteId, StreamId};
use std::collections::{BTreeMap, HashSet};
use std::ops::ControlFlow;
use uuid::Uuid;

/// What becomes of each transaction, as `judge` says, but for those that bring an id again.
pub fn judged(judge: &mut Judge<Here>, all: &[Incoming], here: &Here) -> Result<Vec<Verdict>> {
    let so_far = judge.so_far();
    let verdicts = all.iter().map(|incoming| judge.verdict(incoming)).collect::<Vec<_>>();
    let repeating = repeating(all, &verdicts, here)?;
    if repeating.is_empty() {
        return Ok(verdicts);
    }
    // What stands behind them in their lanes cannot be taken either.
    judge.go_back(so_far);
    let verdict = |(at, incoming)| match repeating.get(&at) {
        Some(refusal) => Verdict::Refuse(refusal.clone()),
        None => judge.verdict(incoming),
    };
    Ok(all.iter().enumerate().map(verdict).collect())
}

/// The transactions, by their places, that would be taken and bring an id again; and which event does.
fn repeating(all: &[Incoming], verdicts: &[Verdict], here: &Here) -> Result<BTreeMap<usize, Refusal>> {
    let taken = all.iter().zip(verdicts).flat_map(|(incoming, verdict)| taken(incoming, verdict));
    let held = held(taken, here)?;
    let mut seen: HashSet<Id> = HashSet::new();
    let mut repeating = BTreeMap::new();
    for (at, (incoming, verdict)) in all.iter().zip(verdicts).enumerate() {
        let mut own = HashSet::new();
        let repeats = |event: &&Event| {
            let id = id(event);
            held.contains(&id) || seen.contains(&id) || !own.insert(id)
        };
        match self::taken(incoming, verdict).find(repeats) {
            Some(event) => drop(repeating.insert(at, refusal(event))),
            None => seen.extend(own),
        }
    }
    Ok(repeating)
}

/// The first of these events, which are about to be stored, that brings an id again.
pub fn first_repeating(events: &[Event], here: &Here) -> Result<Option<Refusal>> {
    let held = held(events.iter(), here)?;
    let mut seen = HashSet::new();
    let repeats = |event: &&Event| held.contains(&id(event)) || !seen.insert(id(event));
    Ok(events.iter().find(repeats).map(refusal))
}

fn refusal(event: &Event) -> Refusal {
    Refusal { dot: event.dot, problem: Problem::Malformed("its id is that of another event of its run") }
}

/// An id where it is one event's.
type Id = (StreamId, SiteId, Run, Uuid);

fn id(event: &Event) -> Id {
    (event.dot.stream, event.dot.site, event.dot.lane.run(), event.id)
}

/// The events of a transaction that are to be stored.
pub fn taken<'a>(incoming: &'a Incoming, verdict: &'a Verdict) -> impl Iterator<Item = &'a Event> {
    let fresh = if let Verdict::Take(fresh) = verdict { Some(fresh) } else { None };
    let events = fresh.map(|_| incoming.transaction.events.as_slice()).unwrap_or_default();
    events.iter().filter(move |event| fresh.is_some_and(|fresh| fresh.has(event)))
}

/// Which ids of what would be taken stand here already.
fn held<'a>(events: impl Iterator<Item = &'a Event>, here: &Here) -> Result<HashSet<Id>> {
    let mut by_stream: BTreeMap<StreamId, Vec<Id>> = BTreeMap::new();
    for event in events {
        by_stream.entry(event.dot.stream).or_default().push(id(event));
    }
    let mut held = HashSet::new();
    for (stream, ids) in by_stream {
        let Some(open) = here.stream(stream) else { continue };
        // SAFETY: the table is open.
        let mut probe = unsafe { Probe::begin(open.relation(), &open.stream) };
        for id in ids {
            if probe.is_there(&id.3) && of_run(&open, &id)? {
                held.insert(id);
            }
        }
    }
    Ok(held)
}

/// Whether an id that stands in a stream does so in a run of its.
fn of_run(open: &Open, &(_, site, run, id): &Id) -> Result<bool> {
    let (which, mut found) = (Which::OfId { index: open.stream.by_id, id }, false);
    // SAFETY: the table is open.
    unsafe {
        scan::walk(open.relation(), which, As::OfNow, |event| {
            found |= (event.mark.site, event.mark.lane.run()) == (site, run);
            Ok(if found { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
    }
    Ok(found)
}
