//! Events of others, and of earlier runs of this site: core says what becomes of each transaction, here it is looked up and written.
//!
//! What must always hold here: one commit for all of it: events, epochs, clock, views, what waits.

use std::cell::RefCell;
use std::collections::HashSet;
use std::time::Duration;

use gundb_core::apply::{Bounds, Incoming, LaneHead, Receiver, Untaken, Verdict, Wait};
use gundb_core::bundle::{Bundle, EpochPart, From, WireLimits, decode_bundle, encode_bundle};
use gundb_core::store::{Here, Origin, Pending, Plan, plan};
use gundb_core::sync::filter::system_stream;
use gundb_core::sync::message::Accept;
use gundb_core::sync::receiver::{Delivery, Stage};
use gundb_core::{
    Chain, Clock, Dot, Epoch, EpochRecord, Event, Hlc, Lane, LaneKey, Run, SiteId, StreamId, Transaction, TransactionId,
};
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::store::append::{BOUNDS, DATA_BYTES_MAX, json_limits};
use crate::store::look::{Look, WriteTables};
use crate::store::memory::Memory;
use crate::store::tables::{Place, epoch_bytes, pending_bytes, transaction_bytes};
use crate::store::writing::{Whose, Writing, now_ms};

/// How far ahead of the wall clock a stamp may be.
const DRIFT_MAX_MS: u64 = 300_000;
/// How tightly what is kept for a while is compressed.
const KEPT_LEVEL: i32 = 1;

/// How much a message may hold here: an event may have been appended where more is allowed.
pub fn limits() -> WireLimits {
    WireLimits::for_events_of(4 * DATA_BYTES_MAX as u64)
}

/// What is held, as core asks.
struct Held<'a> {
    tables: &'a WriteTables<'a>,
    memory: &'a Memory,
    own: (SiteId, Run),
    /// Epochs that come with what is judged.
    told: HashSet<Epoch>,
    waiting: Untaken,
    refused: Untaken,
    /// What could not be looked up: then nothing that was judged counts.
    failure: RefCell<Option<Error>>,
}

impl Held<'_> {
    fn note<T>(&self, found: Result<Option<T>>) -> Option<T> {
        found.unwrap_or_else(|error| {
            self.failure.replace(Some(error));
            None
        })
    }

    fn place(&self, dot: &Dot) -> Option<Place> {
        let lane = LaneKey { site: dot.site, stream: dot.stream, lane: dot.lane };
        Place::new(self.memory.lanes.get(&lane)?.0, dot.seq)
    }
}

impl Receiver for Held<'_> {
    fn head(&self, site: SiteId, stream: StreamId, lane: Lane) -> Option<LaneHead> {
        self.memory.lanes.get(&LaneKey { site, stream, lane }).map(|(_, head)| *head)
    }

    fn chain(&self, dot: &Dot) -> Option<Chain> {
        let event = self.tables.event(self.place(dot)?);
        self.note(event).map(|event| event.chain)
    }

    fn has_stream(&self, stream: StreamId) -> bool {
        let definitions = &self.memory.definitions;
        definitions.known.get(&stream).is_some_and(|name| definitions.streams.contains_key(name))
    }

    fn knows(&self, epoch: &Epoch) -> bool {
        self.told.contains(epoch) || self.epoch_clock(epoch).is_some()
    }

    fn epoch_clock(&self, epoch: &Epoch) -> Option<Clock> {
        self.note(self.tables.epoch_clock(epoch))
    }

    fn waiting(&self) -> &Untaken {
        &self.waiting
    }

    fn refused(&self) -> &Untaken {
        &self.refused
    }

    fn own(&self) -> (SiteId, Run) {
        self.own
    }
}

impl Here for Held<'_> {
    fn has_id(&self, stream: StreamId, site: SiteId, run: Run, id: &Uuid) -> bool {
        let places = self.note(self.tables.places_of_id(id).map(Some)).unwrap_or_default();
        places.into_iter().any(|place| {
            let lane = self.note(self.tables.lane_key(place.lane()).map(Some));
            lane.is_some_and(|lane| (lane.stream, lane.site, lane.lane.run()) == (stream, site, run))
        })
    }
}

/// Applies a delivery, and what waits here. Says what became of each of its transactions.
pub fn apply(writing: &mut Writing<'_, '_>, origin: &Origin, delivery: Delivery) -> Result<Vec<Verdict>> {
    let delivery = completed(writing, origin, delivery)?;
    let Delivery { transactions, epochs, refused, .. } = delivery;
    if origin.accept == Accept::Any {
        add_definers(writing, &transactions)?;
    }
    let delivered = transactions.into_iter().map(|transaction| Incoming { transaction, accepted: false });
    judge_and_write(writing, delivered.collect(), &epochs, refused)
}

/// Tries what waits again; those of `accepted` are taken however far ahead their stamps are, where it says so of all. Says how many wait no longer.
pub fn retry(writing: &mut Writing<'_, '_>, accept: bool) -> Result<u64> {
    let before = writing.tables.pending()?.len();
    if accept {
        for (key, mut incoming) in waiting(writing.tables)? {
            incoming.accepted = true;
            keep(writing, key, &incoming)?;
        }
    }
    judge_and_write(writing, Vec::new(), &[], Untaken::default())?;
    Ok(before.saturating_sub(writing.tables.pending()?.len()) as u64)
}

fn judge_and_write(
    writing: &mut Writing<'_, '_>,
    delivered: Vec<Incoming>,
    epochs: &[EpochRecord],
    refused: Untaken,
) -> Result<Vec<Verdict>> {
    let own = (writing.memory.site, writing.run()?);
    let mut again = false;
    let mut delivered = Some((delivered, refused));
    let mut verdicts = None;
    // What was applied may tell of streams for which something waits.
    while delivered.is_some() || again {
        let (incoming, refused) = delivered.take().unwrap_or_default();
        store_epochs(writing, own, epochs)?;
        let waited = if writing.memory.has_pending { waiting(writing.tables)? } else { Vec::new() };
        let waited = waited.into_iter().map(|(_, incoming)| incoming).collect();
        let told = epochs.iter().map(|record| record.epoch).collect();
        let held = Held {
            tables: writing.tables,
            memory: writing.memory,
            own,
            told,
            waiting: Untaken::default(),
            refused,
            failure: RefCell::default(),
        };
        let plan = plan(waited, incoming, &held, &bounds());
        if let Some(error) = held.failure.into_inner() {
            return Err(error);
        }
        let defines = plan.events.iter().any(|event| event.dot.stream == system_stream());
        verdicts.get_or_insert_with(|| plan.verdicts.clone());
        write(writing, plan)?;
        again = defines && writing.memory.has_pending;
    }
    Ok(verdicts.unwrap_or_default())
}

/// How long until a stamp is no longer too far ahead.
pub fn until(stamp: Hlc) -> Duration {
    Duration::from_millis(stamp.millis().saturating_sub(now_ms() + DRIFT_MAX_MS))
}

fn bounds() -> Bounds {
    Bounds {
        stamp_max: Hlc::new(now_ms() + DRIFT_MAX_MS, u16::MAX).unwrap_or(Hlc::MAX),
        json: gundb_core::Limits { bytes: 4 * DATA_BYTES_MAX, ..json_limits() },
        kind_bytes_max: BOUNDS.0,
        key_bytes_max: BOUNDS.1,
    }
}

/// Epochs of this very run are written here alone.
fn store_epochs(writing: &mut Writing<'_, '_>, own: (SiteId, Run), epochs: &[EpochRecord]) -> Result<()> {
    for EpochRecord { epoch, clock } in epochs {
        if (epoch.site, epoch.run) != own && writing.tables.epoch_clock(epoch)?.is_none() {
            writing.change();
            writing.tables.epoch.insert(&epoch_bytes(epoch), clock.encode().as_slice())?;
        }
    }
    Ok(())
}

fn write(writing: &mut Writing<'_, '_>, plan: Plan) -> Result<()> {
    for (id, greatest) in &plan.spans {
        writing.change();
        let known = writing.tables.span_of(id)?;
        writing.tables.span.insert(&transaction_bytes(id), known.max(Some(*greatest)).map_or(0, Hlc::to_bits))?;
        writing.pass(*greatest)?;
    }
    for evidence in &plan.refused {
        writing.change();
        let (dot, chain) = evidence.key();
        let mut key = [0; 64];
        key[..48].copy_from_slice(&dot.to_bytes());
        key[48..].copy_from_slice(&chain.0);
        writing.tables.refused.insert(&key, evidence.problem.to_string().as_str())?;
    }
    let done: HashSet<TransactionId> = plan.done.iter().copied().collect();
    if !done.is_empty() {
        writing.change();
        for (key, incoming) in waiting(writing.tables)? {
            if done.contains(&incoming.transaction.id) {
                writing.tables.pending.remove(&key)?;
            }
        }
    }
    for Pending { incoming, is_new, .. } in &plan.pending {
        if *is_new {
            let key = pending_bytes(incoming.transaction.greatest_stamp(), &incoming.transaction.id);
            keep(writing, key, incoming)?;
        }
    }
    writing.memory.has_pending = !plan.pending.is_empty();
    let times = plan.pending.iter().filter_map(|pending| match pending.wait {
        Some(Wait::Time(stamp)) => Some(stamp),
        _ => None,
    });
    writing.memory.due = times.min();
    if plan.events.is_empty() {
        return Ok(());
    }
    // The epoch first: views ask what the events had seen, and what this site writes next has seen them.
    writing.publish_epoch(&plan.applied)?;
    writing.take_in(&plan.events, Whose::Others)?;
    Ok(())
}

/// Keeps a transaction that waits.
fn keep(writing: &mut Writing<'_, '_>, key: [u8; 38], incoming: &Incoming) -> Result<()> {
    writing.change();
    let mut bytes = vec![u8::from(incoming.accepted)];
    bytes.extend(framed(incoming.transaction.clone(), Vec::new()));
    writing.tables.pending.insert(&key, bytes.as_slice())?;
    Ok(())
}

/// What waits, with its keys, in the order of its greatest stamps.
fn waiting(tables: &WriteTables<'_>) -> Result<Vec<([u8; 38], Incoming)>> {
    let kept = tables.pending()?;
    kept.iter().map(|bytes| waiting_of(bytes)).collect()
}

fn waiting_of(bytes: &[u8]) -> Result<([u8; 38], Incoming)> {
    let (accepted, bundle) = bytes.split_first().ok_or_else(|| Error::damaged("a transaction that waits is empty"))?;
    let transaction = unframed(bundle)?.0;
    let key = pending_bytes(transaction.greatest_stamp(), &transaction.id);
    Ok((key, Incoming { transaction, accepted: *accepted != 0 }))
}

/// What waits covers.
pub fn waiting_clock(look: &impl Look) -> Result<Clock> {
    let mut clock = Clock::new();
    for bytes in look.pending()? {
        let (_, incoming) = waiting_of(&bytes)?;
        clock.extend(incoming.transaction.events.iter().map(|event| event.dot));
    }
    Ok(clock)
}

/// What waits, to read: the first event, and how many there are.
pub fn waiting_transactions(look: &impl Look) -> Result<Vec<Transaction>> {
    look.pending()?.iter().map(|bytes| Ok(waiting_of(bytes)?.1.transaction)).collect()
}

/// A transaction, or a part of one, as bytes.
fn framed(transaction: Transaction, epochs: Vec<EpochRecord>) -> Vec<u8> {
    let id = transaction.id;
    let whole = |EpochRecord { epoch, clock }| EpochPart { epoch, base: None, clock };
    let bundle = Bundle {
        site: id.site,
        run: id.run,
        number: 0,
        from: From::Clock(Clock::new()),
        epochs: epochs.into_iter().map(whole).collect(),
        transactions: vec![transaction],
        part: None,
    };
    encode_bundle(&bundle, KEPT_LEVEL)
}

fn unframed(bytes: &[u8]) -> Result<(Transaction, Vec<EpochRecord>)> {
    let bundle = decode_bundle(bytes, &limits()).map_err(Error::damaged)?;
    let epochs = bundle.epochs.into_iter().map(|part| EpochRecord { epoch: part.epoch, clock: part.clock });
    let transaction = bundle.transactions.into_iter().next();
    Ok((transaction.ok_or_else(|| Error::damaged("a transaction that is kept is empty"))?, epochs.collect()))
}

/// Stores a part until the last has come.
pub fn stage(writing: &mut Writing<'_, '_>, origin: &Origin, stage: Stage) -> Result<()> {
    if stage.index == 0 {
        forget_parts(writing, &origin.peer)?;
    }
    writing.change();
    let bytes = framed(Transaction::new(stage.transaction, stage.events), stage.epochs);
    writing.tables.part.insert((origin.peer.as_str(), stage.index), bytes.as_slice())?;
    Ok(())
}

fn forget_parts(writing: &mut Writing<'_, '_>, peer: &str) -> Result<()> {
    writing.change();
    writing.tables.part.retain_in((peer, 0)..=(peer, u64::MAX), |_, _| false)?;
    Ok(())
}

/// What has come, with the parts that were stored of what it completes.
fn completed(writing: &mut Writing<'_, '_>, origin: &Origin, mut delivery: Delivery) -> Result<Delivery> {
    let Some(whole) = delivery.completes else { return Ok(delivery) };
    let (mut events, mut epochs) = (Vec::new(), Vec::new());
    for bytes in writing.tables.parts(&origin.peer)? {
        let (part, told) = unframed(&bytes)?;
        if part.id == whole {
            events.extend(part.events);
            epochs.extend(told);
        }
    }
    forget_parts(writing, &origin.peer)?;
    epochs.append(&mut delivery.epochs);
    delivery.epochs = epochs;
    if let Some(last) = delivery.transactions.first_mut() {
        events.append(&mut last.events);
        // Parts come lane by lane.
        events.sort_unstable_by(Event::cmp_total);
        last.events = events;
    }
    Ok(delivery)
}

/// Whose definitions come from a peer that may define, those count.
fn add_definers(writing: &mut Writing<'_, '_>, transactions: &[Transaction]) -> Result<()> {
    let events = transactions.iter().flat_map(|transaction| &transaction.events);
    for event in events.filter(|event| event.dot.stream == system_stream()) {
        if !writing.tables.is_definer(&event.dot.site.0)? {
            writing.change();
            writing.tables.definer.insert(event.dot.site.0.as_bytes(), ())?;
        }
    }
    Ok(())
}
