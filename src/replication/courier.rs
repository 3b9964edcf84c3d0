//! Bundles that go by other ways: written to be lost, doubled and late, and taken in by whoever gets them.
//!
//! What a bundle says that it follows, and when it may be taken in, decides [`gundb_core::sync::courier`].

use crate::apply::{self, Delivery, Large as InParts, Outcome};
use crate::call::{RowSet, ret};
use crate::catalog::{self, Kept, Letter, Letters};
use crate::error::{Error, Result, internal, state};
use crate::replication::flows::{self, own_run};
use crate::replication::peer::Options;
use crate::replication::session::malformed;
use crate::replication::{incoming, outgoing};
use crate::scan::As;
use crate::{admin, heads, lane, run, spi, sql_function, stamp};
use gundb_core::apply::{Incoming, Verdict};
use gundb_core::bundle::{Bundle, From, Part, decode_bundle, encode_bundle};
use gundb_core::sync::courier::{self, Courier};
use gundb_core::sync::filter::{Filter, Flow, SYSTEM_STREAM};
use gundb_core::sync::message::Accept;
use gundb_core::sync::routes::Routes;
use gundb_core::sync::scope::{Page, Query, Range, Scope};
use gundb_core::{Clock, Dot, EpochRecord, Hlc, Run, SiteId, StreamId, Transaction, TransactionId};
use pgrx::pg_sys::Datum;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use uuid::Uuid;

/// How tightly bundles are packed: they travel far.
const LEVEL: i32 = 6;

// ---------------------------------------------------------------------------------------------------------------
// Export
// ---------------------------------------------------------------------------------------------------------------

sql_function! {
    /// `export_bundle(streams, since)`
    fn gundb_export_bundle(call) {
        let filter = match call.text_array(0)? {
            None => Filter::all(),
            Some(patterns) => exported(&patterns)?,
        };
        let since = call.clock(1)?.unwrap_or_default();
        let rows = call.values();
        let mut export = Export::begin(filter, since)?;
        while export.put(&rows)?.is_some() {}
        Ok(rows.done())
    }
}

/// The streams that are named, as patterns. A name that no stream bears is a mistake.
fn exported(patterns: &[String]) -> Result<Filter> {
    let known = catalog::streams()?;
    for name in patterns.iter().filter(|pattern| !pattern.contains('*') && !pattern.starts_with('!')) {
        if !known.iter().any(|stream| stream.name == *name) {
            return Err(admin::undefined(name)?);
        }
    }
    Filter::parse(patterns).map_err(|why| {
        Error::new(state::INVALID_PARAMETER, "streams is not a list of patterns of stream names")
            .detail(why.to_string())
            .into()
    })
}

/// What is given of an export that has no end of its own, in bytes, before somebody asks for more.
const BATCH_BYTES: u64 = 16 << 20;

pub struct Export {
    courier: Courier,
    scope: Scope,
    large: Option<Large>,
    bytes_max: u64,
    more: bool,
}

/// A transaction that goes in parts.
struct Large {
    transaction: TransactionId,
    ends: Hlc,
    ranges_left: Vec<Range>,
    epochs: Vec<EpochRecord>,
    beside: Clock,
    number: u64,
    next: u64,
}

impl Export {
    fn begin(filter: Filter, since: Clock) -> Result<Export> {
        let (site, run) = own_run()?;
        Export::within(Export::anybodys(filter, site, run), since, Options::default().bundle_bytes)
    }

    /// Whoever it will be, and whatever it takes: each bundle says what it follows in all streams, and the reader tests those that it takes.
    fn anybodys(filter: Filter, site: SiteId, run: Run) -> Scope {
        Scope {
            flow: Flow { push: filter, pull: Filter::all() },
            own: site,
            receiver: (SiteId(Uuid::nil()), run),
            receiver_accepts: Accept::Any,
            routes: Arc::new(Routes::Open),
            blocked: BTreeMap::new(),
            hold: None,
        }
    }

    /// What flows by a scope beyond a clock, in bundles of about so many bytes before compression.
    pub fn within(scope: Scope, since: Clock, bytes_max: u64) -> Result<Export> {
        let (site, run) = own_run()?;
        Ok(Export { courier: Courier::new(site, run, 0, since), scope, large: None, bytes_max, more: true })
    }

    /// Adds rows until there are some megabytes, and a transaction in parts is whole.
    pub fn put_some(&mut self, rows: &RowSet) -> Result<()> {
        let mut bytes = 0;
        while let Some(size) = self.put(rows)? {
            bytes += size;
            if bytes >= BATCH_BYTES && self.large.is_none() {
                break;
            }
        }
        Ok(())
    }

    /// Adds the next bundle as a row, and says how many bytes that has.
    fn put(&mut self, rows: &RowSet) -> Result<Option<u64>> {
        let Some(bundle) = self.next()? else { return Ok(None) };
        let encoded = encode_bundle(&bundle, LEVEL);
        let bytes = spi::varlena(&encoded);
        rows.push(&[Some(bytes)]);
        spi::free(bytes);
        Ok(Some(encoded.len() as u64))
    }

    fn next(&mut self) -> Result<Option<Bundle>> {
        let bytes_max = self.bytes_max;
        if let Some(large) = self.large.take() {
            return self.part(large, bytes_max).map(Some);
        }
        if !self.more {
            return Ok(None);
        }
        let query = Query::Next { after: self.courier.follows().clone(), scope: self.scope.clone(), bytes_max };
        match outgoing::page(&query)? {
            Page::Transactions { transactions, epochs, beside, more, .. } => {
                self.more = more;
                if transactions.is_empty() {
                    return Ok(None);
                }
                let bundle = self.courier.bundle(transactions, epochs, &beside);
                Ok(Some(Bundle { number: next_number()?, ..bundle }))
            }
            Page::Large { transaction, ends, ranges, epochs, beside } => {
                let number = next_number()?;
                self.part(Large { transaction, ends, ranges_left: ranges, epochs, beside, number, next: 0 }, bytes_max)
                    .map(Some)
            }
            Page::Part { .. } => Ok(None),
        }
    }

    fn part(&mut self, mut large: Large, bytes_max: u64) -> Result<Bundle> {
        let query = Query::Part { transaction: large.transaction, ranges: large.ranges_left, bytes_max };
        let Page::Part { events, ranges_left } = outgoing::page(&query)? else {
            return Err(internal("a part was asked for, and something else was read"));
        };
        let part = Part { index: large.next, is_last: ranges_left.is_empty() };
        let epochs = std::mem::take(&mut large.epochs);
        let bundle = self.courier.part(
            part,
            Transaction { id: large.transaction, events, ends: large.ends },
            epochs,
            &large.beside,
        );
        // By the number they are put together again.
        let bundle = Bundle { number: large.number, ..bundle };
        if !part.is_last {
            self.large = Some(Large { ranges_left, next: large.next + 1, ..large });
        }
        Ok(bundle)
    }
}

/// Numbers of bundles ascend in the run, whoever exports.
fn next_number() -> Result<u64> {
    Ok(run::next_stamp()?.to_bits())
}

// ---------------------------------------------------------------------------------------------------------------
// Import
// ---------------------------------------------------------------------------------------------------------------

/// What became of events.
#[derive(Default)]
pub struct Counts {
    pub new: u64,
    pub known: u64,
    pub pending: u64,
    pub refused: Vec<String>,
}

impl Counts {
    fn row(&self) -> [Option<Datum>; 3] {
        [self.new, self.known, self.pending].map(|count| Some(ret::int8(count as i64)))
    }
}

fn events_of(bundle: &Bundle) -> u64 {
    bundle.transactions.iter().map(|transaction| transaction.events.len() as u64).sum()
}

/// Whether a part of a transaction is held already: others may never come again.
fn is_held(bundle: &Bundle) -> Result<bool> {
    if bundle.part.is_none() {
        return Ok(false);
    }
    let held = spi::with_latest_snapshot(|| heads::clock(None, As::OfSnapshot))?;
    Ok(is_in(bundle, &held))
}

fn is_in(bundle: &Bundle, held: &Clock) -> bool {
    let mut events = bundle.transactions.iter().flat_map(|transaction| &transaction.events);
    events.all(|event| held.covers(&event.dot))
}

/// Under what names imported bundles are kept: those of whoever may bring anybody's events, and of whoever may only bring its own.
const KEPT: [(&str, Accept); 2] = [("", Accept::Any), ("/own", Accept::Own)];

fn kept_under(accept: Accept) -> &'static str {
    if accept == Accept::Any { KEPT[0].0 } else { KEPT[1].0 }
}

sql_function! {
    /// `import_bundle(bundle)`
    fn gundb_import_bundle(call) {
        let counts = import(call.required(call.bytes(0), "bundle")?, Accept::Any)?;
        if let Some(reason) = counts.refused.first() {
            let count = counts.refused.len();
            stamp::notice(format!("{count} transactions of the bundle were refused; gundb.pending shows them: {reason}"))?;
        }
        call.row(&counts.row())
    }
}

/// Takes in a bundle that was carried here, and what was kept and can be taken in now. One that comes too early is kept.
pub fn import(bytes: &[u8], accept: Accept) -> Result<Counts> {
    let bundle = decode_bundle(bytes, &incoming::limits()).map_err(|why| malformed("bundle", &why))?;
    let From::Clock(_) = &bundle.from else {
        return Err(Error::new(state::INVALID_BINARY, "a bundle of a session cannot be imported")
            .detail("It says what it builds on only to the site with which the session is.")
            .hint("Bundles to be carried are made by gundb.export_bundle.")
            .into());
    };
    catalog::ensure_system_table()?;
    // What was kept is opened by one at a time: the worker may be at it.
    lane::lock_imported()?;
    let mut counts = Counts::default();
    let events = events_of(&bundle);
    if is_held(&bundle)? {
        counts.known = events;
    } else if let Some(why) = courier::forbids(&bundle, accept) {
        counts.refused.push(why);
    } else if bundle.part.is_none() && is_covered(&bundle, accept, streams_of(&bundle).collect())? {
        take_in(whole(bundle)?, accept, &mut counts)?;
        open_letters(&mut counts)?;
    } else {
        keep(&bundle, bytes, accept)?;
        open_letters(&mut counts)?;
        // What is counted as new is not pending.
        if counts.new + counts.known == 0 {
            counts.pending += events;
        }
    }
    Ok(counts)
}

/// Whether this site holds what a bundle follows, or a transaction whose parts it has, of the streams that it takes; whoever brought it may bring these events.
fn is_covered(bundle: &Bundle, accept: Accept, streams: BTreeSet<StreamId>) -> Result<bool> {
    // What waits here has come as well. What waits no longer is held: so what waits is looked at first.
    let waiting = apply::waiting_clock()?;
    let holds = spi::with_latest_snapshot(|| heads::clock(None, As::OfSnapshot))?.join(&waiting);
    let (takes, routes) = (taken_streams()?, flows::routes_here()?);
    // What is carried by hand comes by no way that is known.
    let by_hand = |dot: &Dot| accept == Accept::Any && streams.contains(&dot.stream);
    let waits = |dot: &Dot| by_hand(dot) || takes.contains(&dot.stream) && routes.comes(dot.site, dot.stream, true);
    Ok(courier::lacks(bundle, &holds, waits).is_some_and(|missing| missing.is_empty()))
}

fn streams_of(bundle: &Bundle) -> impl Iterator<Item = StreamId> + '_ {
    bundle.transactions.iter().flat_map(|transaction| &transaction.events).map(|event| event.dot.stream)
}

/// The streams that this site takes: those that have a table, those of which something has come, and those that will have a
/// table since peers bring them.
fn taken_streams() -> Result<BTreeSet<StreamId>> {
    let mut taken = catalog::staged_streams(false)?;
    taken.extend(spi::with_latest_snapshot(catalog::streams)?.into_iter().map(|stream| stream.stream));
    for declared in catalog::declared_without_table()? {
        if flows::is_taken(&declared.name)? {
            taken.insert(StreamId::of_name(&declared.name));
        }
    }
    Ok(taken)
}

/// Keeps what cannot be taken in yet.
fn keep(bundle: &Bundle, bytes: &[u8], accept: Accept) -> Result<()> {
    let Bundle { site, run, number, .. } = *bundle;
    catalog::store_letter(&Letter {
        under: Letters { peer: kept_under(accept).to_owned(), site, run, number },
        part: bundle.part.map(|part| part.index),
        is_last: bundle.part.is_none_or(|part| part.is_last),
        bundle: bytes.to_vec(),
    })
}

/// Takes in what was kept and can be taken in now.
fn open_letters(counts: &mut Counts) -> Result<()> {
    loop {
        let (mut parts, mut opened) = (Vec::new(), false);
        for (name, accept) in KEPT {
            if !catalog::has_letters(name)? {
                continue;
            }
            for kept in catalog::letters_of(name)? {
                if kept.is_whole {
                    opened |= open(&kept, accept, counts)?;
                } else {
                    parts.push(kept);
                }
            }
        }
        if !opened {
            return parts.iter().try_for_each(forget_held);
        }
    }
}

/// Forgets parts of a transaction that has come by another way: the others may never come.
fn forget_held(kept: &Kept) -> Result<()> {
    if is_held(&read(kept)?)? { catalog::forget_letters(&kept.under) } else { Ok(()) }
}

/// A bundle that is kept, or the first of its parts.
fn read(kept: &Kept) -> Result<Bundle> {
    let letter = catalog::letter(&kept.under, kept.first)?.ok_or_else(|| internal("a kept bundle is not there"))?;
    decoded(&letter)
}

fn decoded(letter: &Letter) -> Result<Bundle> {
    decode_bundle(&letter.bundle, &incoming::limits())
        .map_err(|why| internal(format!("a bundle that was kept is damaged: {why}")))
}

/// Takes in what was imported too early and can be taken in now.
pub fn open_kept() -> Result<()> {
    if !catalog::has_peers()? {
        return Ok(());
    }
    let mut is_any_kept = false;
    for (name, _) in KEPT {
        is_any_kept |= catalog::has_letters(name)?;
    }
    if !is_any_kept {
        return Ok(());
    }
    lane::lock_imported()?;
    open_letters(&mut Counts::default())
}

/// Takes in a bundle that was kept, or all parts of a transaction, which build on the same. Says whether it could.
fn open(kept: &Kept, accept: Accept, counts: &mut Counts) -> Result<bool> {
    let bundle = read(kept)?;
    let mut streams = streams_of(&bundle).collect::<BTreeSet<_>>();
    // The other parts, one after the other.
    for part in (kept.first.map_or(0, |first| first + 1)..).take_while(|_| bundle.part.is_some()) {
        let Some(letter) = catalog::letter(&kept.under, Some(part))? else { break };
        streams.extend(streams_of(&decoded(&letter)?));
    }
    if !is_covered(&bundle, accept, streams)? {
        return Ok(false);
    }
    match bundle.transactions.first().filter(|_| bundle.part.is_some()) {
        Some(Transaction { id, .. }) => {
            // Its parts are forgotten once it is taken in.
            let large = Some(InParts::that_came(*id, kept.under.clone(), accept == Accept::Any));
            take_in(Delivery { large, ..Delivery::default() }, accept, counts)?;
        }
        None => {
            catalog::forget_letters(&kept.under)?;
            take_in(whole(bundle)?, accept, counts)?;
        }
    }
    Ok(true)
}

/// What a bundle of whole transactions delivers.
fn whole(bundle: Bundle) -> Result<Delivery> {
    let epochs = incoming::whole_epochs(&bundle.epochs)?;
    let incoming = |transaction| Incoming { transaction, accepted: false };
    let transactions = bundle.transactions.into_iter().map(incoming).collect();
    Ok(Delivery { transactions, epochs, ..Delivery::default() })
}

/// Applies transactions.
fn take_in(delivery: Delivery, accept: Accept, counts: &mut Counts) -> Result<()> {
    for Outcome { events, verdict, .. } in incoming::apply_trusting(accept, delivery)? {
        match verdict {
            Verdict::Take(fresh) => {
                counts.new += fresh.count;
                counts.known += events.saturating_sub(fresh.count);
            }
            Verdict::Held => counts.known += events,
            Verdict::Wait(_) => counts.pending += events,
            Verdict::Refuse(refusal) => counts.refused.push(format!("{}: {}", refusal.dot, refusal.problem)),
        }
    }
    Ok(())
}

// ---------------------------------------------------------------------------------------------------------------
// Inspection
// ---------------------------------------------------------------------------------------------------------------

sql_function! {
    /// `inspect_bundle(bundle)`
    fn gundb_inspect_bundle(call) {
        let bytes = call.required(call.bytes(0), "bundle")?;
        let bundle = decode_bundle(bytes, &incoming::limits()).map_err(|why| malformed("bundle", &why))?;
        let mut streams: BTreeMap<StreamId, (u64, BTreeMap<String, u64>)> = BTreeMap::new();
        for event in bundle.transactions.iter().flat_map(|transaction| &transaction.events) {
            let (events, types) = streams.entry(event.dot.stream).or_default();
            *events += 1;
            *types.entry(event.kind.clone()).or_default() += 1;
        }
        let streams = streams.into_iter().map(|(stream, (events, types))| {
            serde_json::json!({ "stream": stream.0.to_string(), "events": events, "types": types })
        });
        let content = bundle.transactions.iter().flat_map(|transaction| &transaction.events);
        let content = content.map(|event| event.dot).collect::<Vec<Dot>>();
        let sites = content.iter().map(|dot| dot.site.0.to_string()).collect::<BTreeSet<_>>();
        let from = match &bundle.from {
            From::Clock(clock) => serde_json::json!({ "clock": clock.to_string() }),
            From::Session { beside, .. } => serde_json::json!({ "session": true, "beside": beside.to_string() }),
        };
        let document = serde_json::json!({
            "site": bundle.site.0.to_string(),
            "run": bundle.run.to_string(),
            "number": bundle.number.to_string(),
            "bytes": bytes.len(),
            "from": from,
            "part": bundle.part.map(|part| serde_json::json!({ "index": part.index, "is_last": part.is_last })),
            "transactions": bundle.transactions.len(),
            "events": content.len(),
            "epochs": bundle.epochs.len(),
            "sites": sites,
            "streams": streams.collect::<Vec<_>>(),
            "system": bundle.transactions.iter().flat_map(|transaction| &transaction.events)
                .filter(|event| event.dot.stream == StreamId::of_name(SYSTEM_STREAM)).count(),
        });
        ret::jsonb(&document.to_string())
    }
}
