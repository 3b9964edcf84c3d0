//! Events of other sites, and of earlier runs of this one, into this database: with the places, stamps, contexts and
//! chains that they have.
//!
//! What becomes of each transaction [`gundb_core::apply`] says; here it is found what is held, and stored what is to
//! be, by statements that take a whole delivery at once. One transaction of the database does all: events, epochs, what
//! waits, what was refused, and the views.
//!
//! Must hold: nobody else applies events of the same sites meanwhile; no lane is locked, and no row of a view is waited
//! for; before commit this site's clock is past every stamp received; an epoch is drawn for what was applied
//! (`crate::epoch`).
//!
//! | file | one noun |
//! |---|---|
//! | `here` | what this site holds |
//! | `storing` | which rows pass the stamp |
//! | `document` | transactions as they wait |
//! | `waiting` | what waits, tried again |
//! | `testing` | functions by which tests apply events; test builds only |

mod document;
mod here;
mod storing;
#[cfg(debug_assertions)]
mod testing;
mod waiting;

pub use storing::is_storing;
pub use waiting::{retry, retry_due};

use crate::admin::SYSTEM_STREAM;
use crate::apply::here::Here;
use crate::catalog::{self, Refused, Staged};
use crate::doubt::Waiting;
use crate::error::{Error, Result, state};
use crate::shared::{Database, Running};
use crate::stream::Stream;
use crate::{lane, run, settings, spi, stamp, transaction, view};
use gundb_core::apply::{Bounds, Incoming, Problem, Verdict, Wait, judge};
use gundb_core::{Clock, EpochRecord, Event, Hlc, Lane, Limits, SiteId, StreamId, TransactionId};
use pgrx::pg_sys;
use std::collections::{BTreeMap, BTreeSet};

/// What comes at once: transactions in causal order, those of a lane in the lane's, and the epochs that they refer to.
#[derive(Default)]
pub struct Delivery {
    pub transactions: Vec<Incoming>,
    pub epochs: Vec<EpochRecord>,
}

/// Bytes of an event's documents: what the setting allows at most, wherever it was appended.
const EVENT_BYTES_MAX: usize = 256 << 20;

/// Applies a delivery, and what waits of its sites and of those given. Says what became of each of its transactions.
pub fn apply(delivery: Delivery, waiting_of: &BTreeSet<SiteId>) -> Result<Vec<(TransactionId, Verdict)>> {
    let mut sites = waiting_of.clone();
    sites.extend(delivery.transactions.iter().map(|incoming| incoming.transaction.id.site));
    let (database, running) = run::open()?;
    lane::lock_origins(sites.iter().copied())?;
    store_epochs(&running, &delivery.epochs)?;
    let staged = if database.waiting(Waiting::Staged).may_be() { catalog::staged(&sites)? } else { Vec::new() };
    let mut all = Vec::with_capacity(staged.len() + delivery.transactions.len());
    for one in &staged {
        all.push(Incoming { transaction: document::read(&one.document)?, accepted: one.accepted });
    }
    all.extend(delivery.transactions);
    let here = Here::open(&running, &streams_of(&all), catalog::known_epochs(&all)?)?;
    let verdicts = judge(&all, &here, &bounds());
    let taken = taken(&all, &verdicts);
    announce(database, &taken)?;
    for (stream, events) in &taken {
        if let Some(open) = here.streams.get(stream) {
            store(&open.stream, events)?;
        }
    }
    catalog::record_spans(&spans(&all, &verdicts))?;
    keep_rest(database, &all, &verdicts, &staged)?;
    for (stream, events) in &taken {
        let Some(open) = here.streams.get(stream) else { continue };
        transaction::with(|t| t.apply(open.stream.table, &clock(events)));
        if open.stream.name == SYSTEM_STREAM {
            forget_definitions()?;
        }
        // SAFETY: the table is open.
        unsafe { view::bring_in(open.relation(), &open.stream, &lanes(events))? };
    }
    let given = all.iter().zip(verdicts).skip(staged.len());
    Ok(given.map(|(incoming, verdict)| (incoming.transaction.id, verdict)).collect())
}

/// The events that are to be stored, by stream.
type Taken<'a> = BTreeMap<StreamId, Vec<&'a Event>>;

fn taken<'a>(all: &'a [Incoming], verdicts: &[Verdict]) -> Taken<'a> {
    let mut taken = Taken::new();
    for (incoming, verdict) in all.iter().zip(verdicts) {
        if let Verdict::Take(places) = verdict {
            for event in places.iter().filter_map(|&at| incoming.transaction.events.get(at)) {
                taken.entry(event.dot.stream).or_default().push(event);
            }
        }
    }
    taken
}

/// Says that events are about to be stored: moves this site's clock past their stamps, and its stored mark.
fn announce(database: &Database, taken: &Taken) -> Result<()> {
    let Some(greatest) = taken.values().flatten().map(|event| event.hlc).max() else { return Ok(()) };
    database.observe(greatest);
    database.begin_applying();
    if database.mark() < greatest {
        run::move_mark(database, greatest)?;
    }
    Ok(())
}

/// Stores events of a stream.
fn store(stream: &Stream, events: &[&Event]) -> Result<()> {
    let stored = spi::as_table_owner(stream.table, || {
        storing::storing(stream.table, || catalog::insert_events(&stream.label, events))
    })?;
    if stored == events.len() {
        return Ok(());
    }
    Err(Error::new(state::WRONG_STATE, format!("a trigger of {} dropped events of other sites", stream.label))
        .detail("An event that is not stored leaves a gap in its lane.")
        .hint("A trigger that is enabled ALWAYS, or on a REPLICA, must let them pass.")
        .into())
}

/// Keeps what waits, and what was refused; forgets what waits no longer.
fn keep_rest(database: &Database, all: &[Incoming], verdicts: &[Verdict], staged: &[Staged]) -> Result<()> {
    let waits = waits(all, verdicts, staged)?;
    if waits.iter().any(|one| one.is_new) {
        transaction::leaves_waiting(database, Waiting::Staged);
    }
    catalog::stage(&waits)?;
    catalog::unstage(&done(staged, verdicts))?;
    catalog::record_refused(&refused(all, verdicts)?)
}

/// Every session reads the definitions of streams anew.
fn forget_definitions() -> Result<()> {
    for stream in catalog::streams()? {
        // SAFETY: the table exists; should it be dropped meanwhile, nothing knows it any longer.
        unsafe { pg_sys::CacheInvalidateRelcacheByRelid(stream.table) };
    }
    Ok(())
}

fn bounds() -> Bounds {
    let ahead = run::now_ms() + settings::max_time_drift_ms();
    Bounds {
        stamp_max: Hlc::new(ahead, u16::MAX).unwrap_or(Hlc::MAX),
        json: Limits { depth: crate::jsonb::DEPTH_MAX, bytes: EVENT_BYTES_MAX },
        kind_bytes_max: stamp::TYPE_MAX_BYTES,
        key_bytes_max: stamp::KEY_MAX_BYTES,
    }
}

fn streams_of(all: &[Incoming]) -> BTreeSet<StreamId> {
    all.iter().flat_map(|incoming| &incoming.transaction.events).map(|event| event.dot.stream).collect()
}

/// Epochs of this very run are written here alone.
fn store_epochs(running: &Running, epochs: &[EpochRecord]) -> Result<()> {
    let is_own =
        |epoch: &gundb_core::Epoch| (epoch.site.0.as_bytes(), epoch.run.number()) == (&running.site, running.run);
    let others = epochs.iter().filter(|record| !is_own(&record.epoch)).collect::<Vec<_>>();
    catalog::store_epochs(&others)
}

/// The lanes in which events were stored, and the seq after which.
fn lanes(events: &[&Event]) -> Vec<(SiteId, Lane, u64)> {
    let mut lanes = BTreeMap::new();
    for event in events {
        let after = lanes.entry((event.dot.site, event.dot.lane)).or_insert(event.dot.seq - 1);
        *after = event.dot.seq.saturating_sub(1).min(*after);
    }
    lanes.into_iter().map(|((site, lane), after)| (site, lane, after)).collect()
}

fn clock(events: &[&Event]) -> Clock {
    events.iter().map(|event| event.dot).collect()
}

/// Of transactions over several streams, their greatest stamp and how many events each stream has of them.
fn spans(all: &[Incoming], verdicts: &[Verdict]) -> Vec<catalog::Span> {
    let mut spans = Vec::new();
    for (incoming, _) in all.iter().zip(verdicts).filter(|(_, verdict)| matches!(verdict, Verdict::Take(_))) {
        let mut parts: BTreeMap<StreamId, u64> = BTreeMap::new();
        for event in &incoming.transaction.events {
            *parts.entry(event.dot.stream).or_default() += 1;
        }
        if parts.len() > 1 {
            let (id, greatest) = (incoming.transaction.id, incoming.transaction.greatest_stamp());
            spans.extend(parts.into_iter().map(|(stream, events)| catalog::Span { id, greatest, stream, events }));
        }
    }
    spans
}

/// What waits: transactions that have come to wait, and for what those wait now that did before.
fn waits(all: &[Incoming], verdicts: &[Verdict], staged: &[Staged]) -> Result<Vec<catalog::Waits>> {
    let mut waits = Vec::new();
    for (at, (incoming, verdict)) in all.iter().zip(verdicts).enumerate() {
        let Verdict::Wait(wait) = verdict else { continue };
        let transaction = &incoming.transaction;
        let Some(first) = transaction.events.first() else { continue };
        let (kind, stream, until, reason) = match wait {
            Wait::Time(stamp) => ("time", None, Some(*stamp), format!("its stamp {stamp} is too far ahead")),
            Wait::Stream(stream) => ("stream", Some(*stream), None, format!("stream {} is not here", stream.0)),
            Wait::Behind(dot) => ("behind", None, None, format!("what precedes {dot} in its lane waits")),
        };
        let is_new = at >= staged.len();
        let document = if is_new { document::write(transaction)? } else { String::new() };
        let greatest = transaction.greatest_stamp();
        let id = transaction.id;
        waits.push(catalog::Waits { id, greatest, dot: first.dot, kind, stream, until, reason, is_new, document });
    }
    Ok(waits)
}

/// Which of the transactions that waited wait no longer.
fn done(staged: &[Staged], verdicts: &[Verdict]) -> Vec<TransactionId> {
    // Before a gap it waits on: nobody may send it again.
    let stays = |verdict: &Verdict| match verdict {
        Verdict::Wait(_) => true,
        Verdict::Refuse(refusal) => refusal.problem.is_gap(),
        Verdict::Take(_) | Verdict::Held => false,
    };
    let done = staged.iter().zip(verdicts).filter(|(_, verdict)| !stays(verdict));
    done.map(|(staged, _)| staged.id).collect()
}

/// What is kept as evidence: a gap is none.
fn refused(all: &[Incoming], verdicts: &[Verdict]) -> Result<Vec<Refused>> {
    let mut refused = Vec::new();
    for (incoming, verdict) in all.iter().zip(verdicts) {
        let Verdict::Refuse(refusal) = verdict else { continue };
        let event = incoming.transaction.events.iter().find(|event| event.dot == refusal.dot);
        let Some(event) = event.filter(|_| !refusal.problem.is_gap()) else { continue };
        refused.push(Refused {
            dot: refusal.dot,
            chain: event.chain,
            kind: if matches!(refusal.problem, Problem::Malformed(_)) { "malformed" } else { "fork" },
            reason: refusal.problem.to_string(),
            document: document::write(&incoming.transaction)?,
        });
    }
    Ok(refused)
}
