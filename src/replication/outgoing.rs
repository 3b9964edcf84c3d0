//! What is to be sent: pages of whole transactions, for a query of [`gundb_core::sync`]. All of it is seen through the active
//! snapshot, whoever asks: which streams flow, the query says.

use crate::catalog::{self, StreamTable};
use crate::error::{Result, internal};
use crate::replication::lanes::{self, Amount, Row};
use crate::scan::{As, Scan};
use crate::spi::{self, Spi};
use crate::{heads, stream};
use gundb_core::page::{LaneKey, Merge, Placed, Row as Coordinates, Step};
use gundb_core::sync::scope::{Gate, Page, Query, Range, Scope};
use gundb_core::sync::sender::bytes_of;
use gundb_core::{Clock, Dot, Epoch, Event, Hlc, Lane, Seq, SiteId, Transaction};
use pgrx::pg_sys;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Rows fetched from a lane at once.
const CHUNK_ROWS: usize = 1_000;
/// Bytes of a lane's chunk at least, however many lanes there are.
const CHUNK_BYTES_MIN: u64 = 64 * 1024;
/// Rows read at once of a transaction that is too large to be held: the coordinates of the last of them are kept.
const COORDINATES: usize = 50_000;
/// A page has no more events; a transaction of more goes in parts.
const EVENTS_MAX: usize = 50_000;

/// Answers a query.
pub fn page(query: &Query) -> Result<Page> {
    spi::as_owner(|| match query {
        Query::Next { after, scope, bytes_max } => Reading::begin(after, scope, *bytes_max)?.page(),
        Query::Part { ranges, bytes_max, .. } => part(ranges, *bytes_max),
    })
}

/// A lane being read.
struct Cursor {
    table: usize,
    key: LaneKey,
    fetched: Seq,
    head: Seq,
    rows: VecDeque<Row>,
    /// Of the whole events among the rows.
    bytes: u64,
}

/// The reading of a page.
struct Reading<'a> {
    scope: &'a Scope,
    after: &'a Clock,
    bytes_max: u64,
    tables: Vec<StreamTable>,
    cursors: Vec<Cursor>,
    /// Lanes beside that hold something which the receiver is not known to have, by table.
    beside: Vec<(usize, SiteId, Lane)>,
    /// Whether there are transactions that wrote to more than one stream.
    has_spans: bool,
    /// All that is held, where there may be causes of what is shipped that are not.
    held: Option<Clock>,
    /// What epochs stand for, of those that were asked for.
    clocks: BTreeMap<Epoch, Clock>,
    /// What they cover that is not held here and may yet come to the receiver.
    unheld: BTreeMap<Epoch, Clock>,
}

/// A transaction, taken off its lanes.
struct Taken {
    ranges: Vec<Range>,
    epochs: BTreeSet<Epoch>,
    bytes: u64,
    /// None where it is too large for a page.
    events: Option<Vec<Event>>,
}

/// What a page has so far.
#[derive(Default)]
struct Found {
    transactions: Vec<Transaction>,
    epochs: BTreeSet<Epoch>,
    bytes: u64,
    greatest: Option<Hlc>,
    /// What the receiver must hold of lanes beside.
    needs: Clock,
    large: Option<(Placed, Vec<Range>)>,
    more: bool,
}

impl<'a> Reading<'a> {
    fn begin(after: &'a Clock, scope: &'a Scope, bytes_max: u64) -> Result<Reading<'a>> {
        let (tables, mut cursors, mut beside) = (catalog::streams()?, Vec::new(), Vec::new());
        let mut held = scope.has_unheld().then(Clock::new);
        for (table, stream) in tables.iter().enumerate() {
            heads::each(Some(stream), As::OfSnapshot, |stream, site, lane, head| {
                let key = LaneKey { site, stream: stream.stream, lane };
                let fetched = after.get(site, stream.stream, lane);
                if let Some(held) = &mut held {
                    held.advance(&Dot { site, stream: stream.stream, lane, seq: head.seq });
                }
                if head.seq <= fetched {
                    return;
                }
                if scope.ships(&stream.name, &key) {
                    cursors.push(Cursor { table, key, fetched, head: head.seq, rows: VecDeque::new(), bytes: 0 });
                } else if scope.beside(&stream.name, &key) {
                    beside.push((table, site, lane));
                }
            })?;
        }
        let has_spans = !cursors.is_empty() && catalog::has_spans()?;
        let (clocks, unheld) = (BTreeMap::new(), BTreeMap::new());
        Ok(Reading { scope, after, bytes_max, tables, cursors, beside, has_spans, held, clocks, unheld })
    }

    fn page(mut self) -> Result<Page> {
        let mut gate = Gate::new(self.scope);
        let mut found = Found::default();
        spi::connect(|spi| self.merge(spi, &mut gate, &mut found))?;
        let beside = found.greatest.map_or_else(Clock::new, |greatest| found.needs.join(&gate.beside(greatest)));
        let epochs = catalog::epoch_records(&found.epochs)?;
        Ok(match found.large {
            Some((placed, ranges)) => {
                let (transaction, ends) = (placed.transaction, placed.greatest_stamp);
                Page::Large { transaction, ends, ranges, epochs, beside }
            }
            None => Page::Transactions {
                transactions: found.transactions,
                epochs,
                beside,
                more: found.more,
                held_back: gate.holds_back(),
            },
        })
    }

    fn merge(&mut self, spi: &Spi, gate: &mut Gate, found: &mut Found) -> Result<()> {
        let mut merge = Merge::new(self.cursors.iter().map(|cursor| cursor.key), EVENTS_MAX);
        loop {
            match merge.step() {
                Step::NeedRows(index) => {
                    let (rows, at_end) = self.fetch(spi, index.0, &mut merge)?;
                    merge.supply(index, rows, at_end).map_err(|error| internal(error.to_string()))?;
                }
                // Of what wrote to several streams it was told with its rows.
                Step::NeedSpan(transaction) => merge.span(transaction, None),
                Step::Transaction(placed) => {
                    let taken = self.take(&placed)?;
                    if !gate.passes(&placed.transaction, placed.greatest_stamp, &taken.ranges) {
                        continue;
                    }
                    let needs = self.needs(&taken.epochs, placed.greatest_stamp)?;
                    if found.transactions.is_empty() {
                        found.needs = needs;
                    } else if !needs.iter().all(|dot| found.needs.covers(&dot)) {
                        // In one bundle with it, what needs less would wait too, and two senders for each other.
                        found.more = true;
                        return Ok(());
                    }
                    let fits = found.bytes + taken.bytes <= self.bytes_max;
                    if !found.transactions.is_empty() && (taken.events.is_none() || !fits) {
                        found.more = true;
                        return Ok(());
                    }
                    found.bytes += taken.bytes;
                    found.greatest = Some(placed.greatest_stamp);
                    found.epochs.extend(taken.epochs);
                    match taken.events {
                        Some(events) => {
                            let (id, ends) = (placed.transaction, placed.greatest_stamp);
                            found.transactions.push(Transaction { id, events, ends });
                        }
                        None => {
                            found.large = Some((placed, taken.ranges));
                            return Ok(());
                        }
                    }
                }
                Step::Full => {
                    found.more = true;
                    return Ok(());
                }
                Step::End => return Ok(()),
            }
        }
    }

    /// The next rows of a lane, and whether they are the last.
    fn fetch(&mut self, spi: &Spi, index: usize, merge: &mut Merge) -> Result<(Vec<Coordinates>, bool)> {
        let share = self.bytes_max / self.cursors.len().max(1) as u64;
        let cursor = self.cursors.get_mut(index).ok_or_else(|| internal("the merge names an unknown lane"))?;
        // More than a page of one lane is asked for only of a transaction that is larger than a page.
        let amount = if cursor.bytes > self.bytes_max || cursor.rows.len() > EVENTS_MAX {
            Amount { rows_max: COORDINATES, bytes_max: u64::MAX, whole: false }
        } else {
            Amount { rows_max: CHUNK_ROWS, bytes_max: share.max(CHUNK_BYTES_MIN), whole: true }
        };
        let table = &self.tables[cursor.table];
        let rows = lanes::read(table, &cursor.key, cursor.fetched, cursor.head, amount, bytes_of)?;
        let wide = if self.has_spans { self.spans(spi, index, &rows, merge)? } else { BTreeSet::new() };
        let cursor = &mut self.cursors[index];
        let coordinates = rows.iter().map(|row| Coordinates {
            seq: row.seq,
            hlc: row.hlc,
            xact: row.xact,
            wide: wide.contains(&row.xact),
            counts: true,
        });
        let coordinates = coordinates.collect::<Vec<_>>();
        // A table that has been dropped meanwhile gives none.
        cursor.fetched = rows.last().map_or(cursor.head, |row| row.seq);
        cursor.bytes += rows.iter().filter_map(|row| row.event.as_ref()).map(bytes_of).sum::<u64>();
        cursor.rows.extend(rows);
        Ok((coordinates, cursor.fetched >= cursor.head))
    }

    /// Tells the merge where transactions over several streams are placed; gives back which they are.
    fn spans(&self, spi: &Spi, index: usize, rows: &[Row], merge: &mut Merge) -> Result<BTreeSet<Hlc>> {
        let key = &self.cursors[index].key;
        let xacts = rows.iter().map(|row| row.xact).collect::<BTreeSet<_>>();
        let mut wide = BTreeSet::new();
        for (xact, greatest) in catalog::spans(spi, &key.site, &xacts)? {
            let transaction = gundb_core::TransactionId { site: key.site, run: key.lane.run(), xact };
            merge.span(transaction, Some(greatest));
            wide.insert(xact);
        }
        Ok(wide)
    }

    /// Takes a transaction off its lanes.
    fn take(&mut self, placed: &Placed) -> Result<Taken> {
        let mut taken = Taken { ranges: Vec::new(), epochs: BTreeSet::new(), bytes: 0, events: Some(Vec::new()) };
        for segment in &placed.segments {
            let cursor =
                self.cursors.get_mut(segment.lane.0).ok_or_else(|| internal("the merge names an unknown lane"))?;
            let (site, run) = (cursor.key.site, cursor.key.lane.run());
            for row in cursor.rows.drain(..segment.rows) {
                taken.epochs.insert(Epoch { site, run, number: row.epoch });
                let bytes = row.event.as_ref().map_or(0, bytes_of);
                taken.bytes += bytes;
                cursor.bytes -= bytes;
                taken.events = taken.events.zip(row.event).map(|(mut events, event)| {
                    events.push(event);
                    events
                });
            }
            add_range(&mut taken.ranges, cursor.key, segment.from_seq, segment.to_seq);
        }
        if taken.bytes > self.bytes_max || placed.counted_rows > EVENTS_MAX {
            taken.events = None;
        }
        Ok(taken)
    }

    /// What the author of a transaction may have seen in lanes beside, where the receiver is not known to have it: of its
    /// own run what was whole before the transaction's greatest stamp, of others what its epochs cover, held here or not.
    fn needs(&mut self, epochs: &BTreeSet<Epoch>, greatest: Hlc) -> Result<Clock> {
        let mut needs = Clock::new();
        if self.beside.is_empty() && self.held.is_none() {
            return Ok(needs);
        }
        let unknown = epochs.iter().filter(|epoch| !self.clocks.contains_key(epoch)).copied().collect();
        for record in catalog::epoch_records(&unknown)? {
            self.clocks.insert(record.epoch, record.clock);
        }
        for (table, site, lane) in &self.beside {
            let table = &self.tables[*table];
            let is_own = |epoch: &Epoch| (epoch.site, epoch.run) == (*site, lane.run());
            let seen = if epochs.iter().any(is_own) {
                whole_before(table, site, *lane, greatest)?
            } else {
                let clocks = epochs.iter().filter_map(|epoch| self.clocks.get(epoch));
                clocks.map(|clock| clock.get(*site, table.stream, *lane)).max().unwrap_or(0)
            };
            if seen > self.after.get(*site, table.stream, *lane) {
                needs.advance(&Dot { site: *site, stream: table.stream, lane: *lane, seq: seen });
            }
        }
        for epoch in epochs {
            needs = needs.join(&self.unheld(epoch));
        }
        Ok(needs)
    }

    /// What an epoch covers that is not held here, and may yet come to the receiver.
    fn unheld(&mut self, epoch: &Epoch) -> Clock {
        let (Some(held), Some(clock)) = (&self.held, self.clocks.get(epoch)) else { return Clock::new() };
        if let Some(unheld) = self.unheld.get(epoch) {
            return unheld.clone();
        }
        let awaits = |dot: &Dot| self.scope.awaits(&LaneKey { site: dot.site, stream: dot.stream, lane: dot.lane });
        let unheld: Clock = clock.difference(held).difference(self.after).iter().filter(awaits).collect();
        self.unheld.insert(*epoch, unheld.clone());
        unheld
    }
}

/// The last event of a lane whose transaction stands in the lane before a stamp as a whole.
fn whole_before(table: &StreamTable, site: &SiteId, lane: Lane, before: Hlc) -> Result<Seq> {
    // SAFETY: the relation is open for as long as the scan.
    unsafe {
        let relation = pg_sys::try_relation_open(table.table, pg_sys::AccessShareLock as i32);
        if relation.is_null() {
            return Ok(0);
        }
        let mut scan = Scan::begin(relation, stream::primary_key(relation)?, As::OfSnapshot);
        let mut last = scan.last_before(site, lane, before);
        let next = last.and_then(|last| scan.event(site, lane, last.seq + 1));
        if let Some(cut) = next.filter(|next| last.is_some_and(|last| last.xact == next.xact)) {
            while let Some(part) = last.filter(|last| last.xact == cut.xact) {
                last = if part.seq > 1 { scan.event(site, lane, part.seq - 1) } else { None };
            }
        }
        drop(scan);
        pg_sys::relation_close(relation, pg_sys::AccessShareLock as i32);
        Ok(last.map_or(0, |last| last.seq))
    }
}

/// What a transaction wrote to a lane follows one another, in whatever segments it comes.
fn add_range(ranges: &mut Vec<Range>, lane: LaneKey, first: Seq, last: Seq) {
    match ranges.iter_mut().find(|range| range.lane == lane) {
        Some(range) => (range.first, range.last) = (range.first.min(first), range.last.max(last)),
        None => ranges.push(Range { lane, first, last }),
    }
}

/// Some of a large transaction, lane by lane.
fn part(ranges: &[Range], bytes_max: u64) -> Result<Page> {
    let tables = catalog::streams()?;
    let (mut events, mut bytes) = (Vec::<Event>::new(), 0);
    let mut left = ranges.iter();
    let mut ranges_left = Vec::new();
    for range in left.by_ref() {
        let table = tables.iter().find(|table| table.stream == range.lane.stream);
        let table = table.ok_or_else(|| internal("a stream was dropped while a transaction of it was sent"))?;
        let mut next = range.first;
        while next <= range.last && bytes < bytes_max && events.len() < EVENTS_MAX {
            let amount = Amount { rows_max: CHUNK_ROWS, bytes_max: bytes_max - bytes, whole: true };
            let rows = lanes::read(table, &range.lane, next - 1, range.last, amount, bytes_of)?;
            let found = rows.into_iter().filter_map(|row| row.event).collect::<Vec<_>>();
            let Some(last) = found.last() else {
                return Err(internal("an event that was to be sent is not there"));
            };
            next = last.dot.seq + 1;
            bytes += found.iter().map(bytes_of).sum::<u64>();
            events.extend(found);
        }
        if next <= range.last {
            ranges_left.push(Range { first: next, ..*range });
            break;
        }
    }
    ranges_left.extend(left.copied());
    Ok(Page::Part { events, ranges_left })
}
