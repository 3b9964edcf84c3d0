//! What is to be sent: pages of whole transactions, from one moment of a store.
//!
//! What must always hold here: memory is bounded by a page and a chunk of each lane, however large a transaction is: of one that no page can hold, the
//! coordinates are kept and not the events.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::clock::Clock;
use crate::context::{Epoch, EpochRecord};
use crate::event::{Event, Transaction};
use crate::hlc::Hlc;
use crate::id::{Dot, Seq};
use crate::page::{LaneKey, Merge, Placed, Row, Step};
use crate::store::{Head, Snapshot, StoreError};
use crate::sync::scope::{Gate, Page, Query, Range, Scope};
use crate::sync::sender::bytes_of;

/// Bytes of a lane's chunk at least, however many lanes there are.
const CHUNK_BYTES_MIN: u64 = 64 << 10;
/// A page has no more events; a transaction of more goes in parts.
const EVENTS_MAX: usize = 50_000;

/// Answers a query from one moment of a store.
pub fn read(snapshot: &impl Snapshot, query: &Query) -> Result<Page, StoreError> {
    match query {
        Query::Next { after, scope, bytes_max } => Reading::begin(snapshot, after, scope, *bytes_max)?.page(),
        Query::Part { ranges, bytes_max, .. } => part(snapshot, ranges, *bytes_max),
    }
}

/// A lane being read.
struct Cursor {
    lane: LaneKey,
    /// The last event that was fetched, and the last that there is.
    fetched: Seq,
    last: Seq,
    rows: VecDeque<Fetched>,
    /// Of the events among the rows.
    bytes: u64,
}

/// An event that was fetched; None where it belongs to a transaction that is too large for a page.
struct Fetched {
    epoch: u64,
    event: Option<Event>,
}

/// The reading of a page.
struct Reading<'a, S> {
    snapshot: &'a S,
    scope: &'a Scope,
    after: &'a Clock,
    bytes_max: u64,
    cursors: Vec<Cursor>,
    /// Lanes beside that hold something which the receiver is not known to have, and where they end.
    beside: Vec<Head>,
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

impl<'a, S: Snapshot> Reading<'a, S> {
    fn begin(snapshot: &'a S, after: &'a Clock, scope: &'a Scope, bytes_max: u64) -> Result<Self, StoreError> {
        let (mut cursors, mut beside) = (Vec::new(), Vec::new());
        let mut held = scope.has_unheld().then(Clock::new);
        for head in snapshot.heads()? {
            let Head { lane, last } = head;
            if let Some(held) = &mut held {
                held.advance(&Dot { site: lane.site, stream: lane.stream, lane: lane.lane, seq: last.seq });
            }
            let fetched = after.get(lane.site, lane.stream, lane.lane);
            if last.seq <= fetched {
                continue;
            }
            let Some(name) = snapshot.stream_name(lane.stream)? else { continue };
            if scope.ships(&name, &lane) {
                cursors.push(Cursor { lane, fetched, last: last.seq, rows: VecDeque::new(), bytes: 0 });
            } else if scope.beside(&name, &lane) {
                beside.push(head);
            }
        }
        let (clocks, unheld) = (BTreeMap::new(), BTreeMap::new());
        Ok(Reading { snapshot, scope, after, bytes_max, cursors, beside, held, clocks, unheld })
    }

    fn page(mut self) -> Result<Page, StoreError> {
        let mut gate = Gate::new(self.scope);
        let mut found = Found::default();
        self.merge(&mut gate, &mut found)?;
        let beside = found.greatest.map_or_else(Clock::new, |greatest| found.needs.join(&gate.beside(greatest)));
        let mut epochs = Vec::with_capacity(found.epochs.len());
        for epoch in found.epochs {
            // What is not known cannot be told; the receiver says what it lacks.
            epochs.extend(self.clock(epoch)?.map(|clock| EpochRecord { epoch, clock }));
        }
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

    fn merge(&mut self, gate: &mut Gate<'_>, found: &mut Found) -> Result<(), StoreError> {
        let mut merge = Merge::new(self.cursors.iter().map(|cursor| cursor.lane), EVENTS_MAX);
        loop {
            match merge.step() {
                Step::NeedRows(lane) => {
                    let (rows, at_end) = self.fetch(lane.0)?;
                    merge.supply(lane, rows, at_end).map_err(|error| StoreError::Broken(error.into()))?;
                }
                Step::NeedSpan(transaction) => merge.span(transaction, self.snapshot.span(&transaction)?),
                Step::Transaction(placed) => {
                    let taken = self.take(&placed);
                    if !gate.passes(&placed.transaction, placed.greatest_stamp, &taken.ranges) {
                        continue;
                    }
                    let needs = self.needs(&taken.epochs, placed.greatest_stamp)?;
                    if found.transactions.is_empty() {
                        found.needs = needs;
                    } else if !needs.difference(&found.needs).is_empty() {
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
                    found.greatest = found.greatest.max(Some(placed.greatest_stamp));
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
    fn fetch(&mut self, index: usize) -> Result<(Vec<Row>, bool), StoreError> {
        let share = (self.bytes_max / self.cursors.len().max(1) as u64).max(CHUNK_BYTES_MIN);
        let Some(cursor) = self.cursors.get_mut(index) else { return Ok((Vec::new(), true)) };
        // More than a page of one lane is asked for only of a transaction that is larger than a page.
        let is_large = cursor.bytes > self.bytes_max || cursor.rows.len() > EVENTS_MAX;
        let events = self.snapshot.events(&cursor.lane, cursor.fetched + 1, cursor.last, share)?;
        let mut rows = Vec::with_capacity(events.len());
        for event in events {
            cursor.fetched = event.dot.seq;
            // Whether it wrote elsewhere the store knows: it is asked once a transaction.
            rows.push(Row { seq: event.dot.seq, hlc: event.hlc, xact: event.xact, wide: true, counts: true });
            let epoch = event.epoch;
            let event = Some(event).filter(|_| !is_large);
            cursor.bytes += event.as_ref().map_or(0, bytes_of);
            cursor.rows.push_back(Fetched { epoch, event });
        }
        if rows.is_empty() {
            // A stream that has been dropped meanwhile gives none.
            cursor.fetched = cursor.last;
        }
        Ok((rows, cursor.fetched >= cursor.last))
    }

    /// Takes a transaction off its lanes.
    fn take(&mut self, placed: &Placed) -> Taken {
        let mut taken = Taken { ranges: Vec::new(), epochs: BTreeSet::new(), bytes: 0, events: Some(Vec::new()) };
        for segment in &placed.segments {
            let Some(cursor) = self.cursors.get_mut(segment.lane.0) else { continue };
            let (site, run) = (cursor.lane.site, cursor.lane.lane.run());
            let rows = segment.rows.min(cursor.rows.len());
            for Fetched { epoch, event } in cursor.rows.drain(..rows) {
                taken.epochs.insert(Epoch { site, run, number: epoch });
                let bytes = event.as_ref().map_or(0, bytes_of);
                taken.bytes += bytes;
                cursor.bytes -= bytes;
                taken.events = taken.events.zip(event).map(|(mut events, event)| {
                    events.push(event);
                    events
                });
            }
            add_range(&mut taken.ranges, cursor.lane, segment.from_seq, segment.to_seq);
        }
        if taken.bytes > self.bytes_max || placed.counted_rows > EVENTS_MAX {
            taken.events = None;
        }
        taken
    }

    /// What the author of a transaction may have seen in lanes beside, where the receiver is not known to have it: of its own run what was whole before the
    /// transaction's greatest stamp, of others what its epochs cover, held here or not.
    fn needs(&mut self, epochs: &BTreeSet<Epoch>, greatest: Hlc) -> Result<Clock, StoreError> {
        let mut needs = Clock::new();
        for at in 0..self.beside.len() {
            let Some(Head { lane, last }) = self.beside.get(at).copied() else { continue };
            let mut seen = 0;
            if epochs.iter().any(|epoch| (epoch.site, epoch.run) == (lane.site, lane.lane.run())) {
                seen = self.snapshot.whole_before(&lane, last.seq, greatest)?;
            } else {
                for epoch in epochs {
                    let clock = self.clock(*epoch)?;
                    seen = seen.max(clock.map_or(0, |clock| clock.get(lane.site, lane.stream, lane.lane)));
                }
            }
            if seen > self.after.get(lane.site, lane.stream, lane.lane) {
                needs.advance(&Dot { site: lane.site, stream: lane.stream, lane: lane.lane, seq: seen });
            }
        }
        for epoch in epochs {
            needs = needs.join(&self.unheld(*epoch)?);
        }
        Ok(needs)
    }

    /// What an epoch covers that is not held here, and may yet come to the receiver.
    fn unheld(&mut self, epoch: Epoch) -> Result<Clock, StoreError> {
        let Some(held) = &self.held else { return Ok(Clock::new()) };
        if let Some(unheld) = self.unheld.get(&epoch) {
            return Ok(unheld.clone());
        }
        let seen = self.snapshot.epoch(&epoch)?.unwrap_or_default().difference(held).difference(self.after);
        let awaits = |dot: &Dot| self.scope.awaits(&LaneKey { site: dot.site, stream: dot.stream, lane: dot.lane });
        let unheld: Clock = seen.iter().filter(awaits).collect();
        self.unheld.insert(epoch, unheld.clone());
        Ok(unheld)
    }

    fn clock(&mut self, epoch: Epoch) -> Result<Option<Clock>, StoreError> {
        if let Some(clock) = self.clocks.get(&epoch) {
            return Ok(Some(clock.clone()));
        }
        let clock = self.snapshot.epoch(&epoch)?;
        self.clocks.extend(clock.clone().map(|clock| (epoch, clock)));
        Ok(clock)
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
fn part(snapshot: &impl Snapshot, ranges: &[Range], bytes_max: u64) -> Result<Page, StoreError> {
    let (mut events, mut bytes) = (Vec::<Event>::new(), 0);
    let mut left = ranges.iter();
    let mut ranges_left = Vec::new();
    for range in left.by_ref() {
        let mut next = range.first;
        while next <= range.last && bytes < bytes_max && events.len() < EVENTS_MAX {
            let found = snapshot.events(&range.lane, next, range.last, bytes_max - bytes)?;
            let Some(last) = found.last() else {
                return Err(StoreError::Broken("an event that was to be sent is not there".into()));
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
