//! Whole transactions, judged and stored at once.

use crate::apply::store::{self, Stored};
use crate::apply::{Outcome, Work, document, ids};
use crate::catalog::{self, Refused};
use crate::doubt::Waiting;
use crate::error::Result;
use crate::transaction;
use gundb_core::apply::{Incoming, Problem, Verdict, Wait};
use gundb_core::{Dot, Event, Hlc, StreamId, TransactionId};
use std::collections::BTreeMap;

/// Whole transactions, in their order: first those that waited.
#[derive(Default)]
pub struct Batch {
    pub all: Vec<Incoming>,
    /// How many have waited.
    pub staged: usize,
}

impl Work<'_> {
    /// Applies whole transactions. Says what became of each that did not wait before.
    pub fn batch(&mut self, Batch { mut all, staged }: Batch) -> Result<Vec<Outcome>> {
        let counts = all.iter().map(|incoming| incoming.transaction.events.len() as u64).collect::<Vec<_>>();
        let streams = all.iter().flat_map(|incoming| &incoming.transaction.events).map(|event| event.dot.stream);
        let dropped = self.here.receive(streams.collect())?;
        if self.leaves_out && !dropped.is_empty() {
            for incoming in all.iter_mut().skip(staged) {
                incoming.transaction.events.retain(|event| !dropped.contains(&event.dot.stream));
            }
        }
        self.here.look_for(all.iter().flat_map(|incoming| &incoming.transaction.events))?;
        let verdicts = ids::judged(&mut self.judge, &all, self.here)?;
        self.here.check()?;
        let taken = || all.iter().zip(&verdicts).flat_map(|(incoming, verdict)| ids::taken(incoming, verdict));
        let stored = all.iter().zip(&verdicts).filter(|(_, verdict)| matches!(verdict, Verdict::Take(_)));
        if let Some(greatest) = stored.map(|(incoming, _)| incoming.transaction.greatest_stamp()).max() {
            store::announce(self.database, greatest)?;
        }
        store::store(self.here, taken())?;
        catalog::record_spans(&spans(&all, &verdicts))?;
        self.keep_rest(&all, &verdicts, staged)?;
        let mut stored = Stored::default();
        taken().for_each(|event| stored.add(&event.dot));
        stored.take_in(self.database, self.here)?;
        let given = counts.into_iter().zip(verdicts).skip(staged);
        Ok(given.map(|(events, verdict)| Outcome { events, verdict }).collect())
    }

    /// Keeps what waits, and what was refused; forgets what waits no longer.
    fn keep_rest(&self, all: &[Incoming], verdicts: &[Verdict], staged: usize) -> Result<()> {
        let waits = waits(all, verdicts, staged)?;
        if waits.iter().any(|one| one.is_new) {
            transaction::leaves_waiting(self.database, Waiting::Staged);
        }
        catalog::stage(&waits)?;
        let ended = all.iter().zip(verdicts).take(staged).filter(|(_, verdict)| !stays(verdict));
        catalog::unstage(&ended.map(|(incoming, _)| incoming.transaction.id).collect::<Vec<_>>())?;
        catalog::record_refused(&refused(all, verdicts)?)
    }
}

/// Of transactions over several streams, and of those that end in one that has not come, their greatest stamp and how many events each stream has of them.
fn spans(all: &[Incoming], verdicts: &[Verdict]) -> Vec<catalog::Span> {
    let mut spans = Vec::new();
    for (incoming, _) in all.iter().zip(verdicts).filter(|(_, verdict)| matches!(verdict, Verdict::Take(_))) {
        if incoming.transaction.spans() {
            let mut parts: BTreeMap<StreamId, u64> = BTreeMap::new();
            for event in &incoming.transaction.events {
                *parts.entry(event.dot.stream).or_default() += 1;
            }
            let (id, greatest) = (incoming.transaction.id, incoming.transaction.greatest_stamp());
            spans.extend(parts.into_iter().map(|(stream, events)| catalog::Span { id, greatest, stream, events }));
        }
    }
    spans
}

/// What waits: transactions that have come to wait, and for what those wait now that did before.
fn waits(all: &[Incoming], verdicts: &[Verdict], staged: usize) -> Result<Vec<catalog::Waits>> {
    let (mut waits, mut lacking) = (Vec::new(), BTreeMap::<StreamId, String>::new());
    for (at, (incoming, verdict)) in all.iter().zip(verdicts).enumerate() {
        let Verdict::Wait(wait) = verdict else { continue };
        let transaction = &incoming.transaction;
        let Some(first) = transaction.events.first() else { continue };
        let document = if at < staged { None } else { Some(document::write(transaction)?) };
        let mut waiting = waiting(transaction.id, first.dot, transaction.greatest_stamp(), wait, document);
        if let Wait::Stream(stream) = wait {
            waiting.reason = match lacking.get(stream) {
                Some(reason) => String::clone(reason),
                None => lacking.entry(*stream).or_insert(lacks_stream(*stream)?).clone(),
            };
        }
        waits.push(waiting);
    }
    Ok(waits)
}

/// That a stream is not here, and what to do about it where no table will be made for it.
fn lacks_stream(stream: StreamId) -> Result<String> {
    let Some(name) = catalog::known_streams()?.into_iter().find(|name| StreamId::of_name(name) == stream) else {
        return Ok(format!("stream {} is not here", stream.0));
    };
    if catalog::declared_without_table()?.iter().any(|declared| declared.name == name) {
        return Ok(format!("stream \"{name}\" is not here yet"));
    }
    Ok(format!(
        "stream \"{name}\" is not here, and nobody will make its table: who declared it may not declare here \
         (accept => 'own'), or it was dropped. SELECT gundb.create_stream('{name}') makes it"
    ))
}

/// A transaction that waits, from its first event to its greatest stamp. The document is of one that did not wait before.
pub fn waiting(id: TransactionId, dot: Dot, greatest: Hlc, wait: &Wait, document: Option<String>) -> catalog::Waits {
    let (kind, stream, until, reason) = match wait {
        Wait::Time(stamp) => ("time", None, Some(*stamp), format!("its stamp {stamp} is too far ahead")),
        Wait::Stream(stream) => ("stream", Some(*stream), None, format!("stream {} is not here", stream.0)),
        Wait::Behind(dot) => ("behind", None, None, format!("what precedes {dot} in its lane waits")),
        Wait::Cause(dot) => ("behind", None, None, format!("what the author of {dot} may have seen waits")),
    };
    let is_new = document.is_some();
    catalog::Waits { id, greatest, dot, kind, stream, until, reason, is_new, document: document.unwrap_or_default() }
}

/// Whether what waited waits on. Before a gap it does: nobody may send it again.
pub fn stays(verdict: &Verdict) -> bool {
    match verdict {
        Verdict::Wait(_) => true,
        Verdict::Refuse(refusal) => refusal.problem.is_gap(),
        Verdict::Take(_) | Verdict::Held => false,
    }
}

/// What is kept as evidence: a gap is none.
fn refused(all: &[Incoming], verdicts: &[Verdict]) -> Result<Vec<Refused>> {
    let mut refused = Vec::new();
    for (incoming, verdict) in all.iter().zip(verdicts) {
        let Verdict::Refuse(refusal) = verdict else { continue };
        let event = incoming.transaction.events.iter().find(|event| event.dot == refusal.dot);
        let Some(event) = event.filter(|_| !refusal.problem.is_gap()) else { continue };
        refused.push(evidence(event, &refusal.problem, document::write(&incoming.transaction)?));
    }
    Ok(refused)
}

/// An event that does not fit, and what it came with.
pub fn evidence(event: &Event, problem: &Problem, document: String) -> Refused {
    Refused {
        dot: event.dot,
        chain: event.chain,
        kind: if matches!(problem, Problem::Malformed(_)) { "malformed" } else { "fork" },
        reason: problem.to_string(),
        document,
    }
}
