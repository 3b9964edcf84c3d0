//! One transaction that came in parts: they are read one after the other, first to judge it, then to store it. What is
//! held of it meanwhile is a part, whatever its size.
//!
//! Must hold: all of it is stored, or nothing. That an id stands in it twice shows only when the first is stored; then
//! what was stored is undone.

use crate::admin::SYSTEM_STREAM;
use crate::apply::here::Here;
use crate::apply::part::Part;
use crate::apply::store::{self, Stored};
use crate::apply::{Outcome, Work, batch, document, ids};
use crate::catalog::{self, Letters, Refused, Staged};
use crate::doubt::Waiting;
use crate::error::{Result, internal};
use crate::subtransaction::Subtransaction;
use crate::transaction;
use gundb_core::apply::{Fresh, Judging, Refusal, Verdict, Waiter};
use gundb_core::{Dot, Event, Hlc, StreamId, Transaction, TransactionId};
use std::collections::{BTreeMap, BTreeSet};

/// A transaction whose parts are all in `gundb.inbox`.
pub struct Large {
    pub id: TransactionId,
    parts: Letters,
    /// Whether definitions in it count.
    is_trusted: bool,
    accepted: bool,
    /// What it has waited for.
    waited: Option<Waited>,
}

struct Waited {
    stream: Option<StreamId>,
    until: Option<Hlc>,
    waiter: Waiter,
}

impl Large {
    /// One all parts of which have come.
    pub fn that_came(id: TransactionId, parts: Letters, is_trusted: bool) -> Large {
        Large { id, parts, is_trusted, accepted: false, waited: None }
    }

    /// One that `gundb.staged` lists. That its definitions count was said when it came.
    pub fn that_waited(staged: Staged, waiter: Waiter) -> Large {
        let Staged { id, accepted, stream, until, .. } = staged;
        let waited = Some(Waited { stream, until, waiter });
        Large { id, parts: Letters::staged(id), is_trusted: false, accepted, waited }
    }

    fn each_part(&self, here: &Here, leaves_out: bool, mut f: impl FnMut(Part) -> Result<()>) -> Result<()> {
        for index in 0.. {
            let mut part = Part::kept(&self.parts, index)?;
            let dropped = here.receive(part.events.iter().map(|event| event.dot.stream).collect())?;
            let is_left_out = |event: &Event| leaves_out && dropped.contains(&event.dot.stream);
            part.events.retain(|event| self.waited.is_some() || !is_left_out(event));
            let is_last = part.is_last;
            f(part)?;
            if is_last {
                break;
            }
        }
        Ok(())
    }
}

/// What has been seen of a transaction.
struct Seen {
    judging: Judging,
    events: u64,
    streams: BTreeMap<StreamId, u64>,
    /// In total order.
    first: Option<(Hlc, Dot)>,
    /// Of what is here.
    greatest: Hlc,
    /// Of the whole transaction.
    ends: Hlc,
    evidence: Option<Refused>,
}

impl Work<'_> {
    /// Applies a transaction in parts. Says what became of it, if it did not wait before.
    pub fn large(&mut self, large: &Large) -> Result<Option<Outcome>> {
        if let Some(waiter) = self.waits_still(large)? {
            self.judge.waits(waiter);
            return Ok(None);
        }
        let so_far = self.judge.so_far();
        let mut seen = self.look_at(large)?;
        let mut verdict = self.judge.end(&seen.judging);
        self.here.check()?;
        let mut stored = Stored::default();
        if let Verdict::Take(fresh) = &verdict {
            store::announce(self.database, seen.ends)?;
            let begun = Subtransaction::begin()?;
            match self.store_parts(large, fresh, &mut stored)? {
                None => begun.release()?,
                Some((refusal, evidence)) => {
                    begun.undo()?;
                    self.judge.go_back(so_far);
                    (stored, seen.evidence) = (Stored::default(), Some(evidence));
                    verdict = Verdict::Refuse(refusal);
                }
            }
        }
        self.keep_large(large, &seen, &verdict)?;
        stored.take_in(self.database, self.here)?;
        Ok(large.waited.is_none().then_some(Outcome { events: seen.events, verdict }))
    }

    /// Whether it waits for what it has waited for: then it need not be read.
    fn waits_still(&self, large: &Large) -> Result<Option<Waiter>> {
        let Some(waited) = &large.waited else { return Ok(None) };
        self.here.open(waited.stream.into_iter().collect::<BTreeSet<_>>())?;
        let lacks = waited.stream.is_some_and(|stream| self.here.stream(stream).is_none());
        let is_early = !large.accepted && waited.until.is_some_and(|until| until > self.bounds.stamp_max);
        Ok((lacks || is_early).then(|| waited.waiter.clone()))
    }

    /// Reads it to judge it.
    fn look_at(&self, large: &Large) -> Result<Seen> {
        let mut seen = Seen {
            judging: self.judge.begin(large.id, large.accepted),
            events: 0,
            streams: BTreeMap::new(),
            first: None,
            greatest: large.id.xact,
            ends: large.id.xact,
            evidence: None,
        };
        large.each_part(self.here, self.leaves_out, |Part { events, epochs, ends, .. }| {
            seen.judging.ends(ends);
            seen.ends = seen.ends.max(ends);
            self.here.learn(&epochs)?;
            self.here.look_for(events.iter())?;
            for event in &events {
                *seen.streams.entry(event.dot.stream).or_default() += 1;
                seen.greatest = event.hlc.max(seen.greatest);
                let order = event.total_order_key();
                seen.first = Some(seen.first.map_or(order, |first| first.min(order)));
            }
            seen.events += events.len() as u64;
            let was_well = seen.judging.refusal().is_none();
            self.judge.part(&mut seen.judging, &events);
            if let Some(refusal) = seen.judging.refusal().filter(|refusal| was_well && !refusal.problem.is_gap()) {
                seen.evidence = Some(refused(large, refusal.clone(), events)?.1);
            }
            Ok(())
        })?;
        if large.is_trusted && seen.streams.contains_key(&StreamId::of_name(SYSTEM_STREAM)) {
            catalog::add_definers(&[large.id.site])?;
        }
        Ok(seen)
    }

    /// Reads it to store it. Gives back what brings an id again, with the part that it is in: then not all is stored.
    fn store_parts(&self, large: &Large, fresh: &Fresh, stored: &mut Stored) -> Result<Option<(Refusal, Refused)>> {
        let mut repeated = None;
        large.each_part(self.here, self.leaves_out, |Part { mut events, .. }| {
            events.retain(|event| fresh.has(event));
            if repeated.is_none() {
                repeated = match ids::first_repeating(&events, self.here)? {
                    Some(refusal) => Some(refused(large, refusal, events)?),
                    None => {
                        store::store(self.here, events.iter())?;
                        events.iter().for_each(|event| stored.add(&event.dot));
                        None
                    }
                };
            }
            Ok(())
        })?;
        Ok(repeated)
    }

    /// Keeps it if it waits, and the evidence if it was refused; forgets its parts otherwise.
    fn keep_large(&self, large: &Large, seen: &Seen, verdict: &Verdict) -> Result<()> {
        catalog::record_refused(seen.evidence.as_slice())?;
        let (is_new, id) = (large.waited.is_none(), large.id);
        match (verdict, seen.first) {
            (Verdict::Wait(wait), Some((_, first))) => {
                let document = match is_new {
                    true => Some(document::write_in_parts(&seen.judging.waiter())?),
                    false => None,
                };
                if is_new {
                    transaction::leaves_waiting(self.database, Waiting::Staged);
                    catalog::stage_letters(&large.parts, id)?;
                }
                catalog::stage(&[batch::waiting(id, first, seen.ends, wait, document)])
            }
            (verdict, _) if is_new || !batch::stays(verdict) => {
                if !is_new {
                    catalog::unstage(&[id])?;
                }
                if matches!(verdict, Verdict::Take(_)) {
                    catalog::record_spans(&spans(id, seen))?;
                }
                catalog::forget_letters(&large.parts)
            }
            _ => Ok(()),
        }
    }
}

/// What brings an id again, and what it came with.
fn refused(large: &Large, refusal: Refusal, events: Vec<Event>) -> Result<(Refusal, Refused)> {
    let event = events.iter().find(|event| event.dot == refusal.dot).cloned();
    let event = event.ok_or_else(|| internal("an event was refused that did not come"))?;
    let part = document::write(&Transaction::new(large.id, events))?;
    let evidence = batch::evidence(&event, &refusal.problem, part);
    Ok((refusal, evidence))
}

/// Of a transaction over several streams, or one that ends in a stream that has not come, how many events each has of it.
fn spans(id: TransactionId, seen: &Seen) -> Vec<catalog::Span> {
    let streams = seen.streams.iter().filter(|_| seen.streams.len() > 1 || seen.greatest < seen.ends);
    let span = |(&stream, &events)| catalog::Span { id, greatest: seen.ends, stream, events };
    streams.map(span).collect()
}
