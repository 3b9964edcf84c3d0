//! Events to read: a stream's transactions by their greatest stamps, as PostgreSQL's `gundb.read` gives them; one event; digests.
//!
//! What must always hold here: a page is of one moment, and of whole transactions; whoever reads on from its clock misses nothing and sees nothing twice.

use std::collections::VecDeque;

use gundb_core::page::{Merge, Row, Step};
use gundb_core::{Clock, Dot, Event, Hlc, LaneKey, Seq, StreamId};

use crate::error::{Error, Kind, Result};
use crate::progress::Progress;
use crate::store::Edge;
use crate::store::look::{Look, Moment};
use crate::store::tables::Place;

/// Events of a lane that are fetched at once.
const CHUNK_EVENTS: u64 = 256;

/// A page of events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// The events: transactions by their greatest stamps, each whole, its events in total order.
    pub events: Vec<Event>,
    /// Where to read on.
    pub after: Clock,
    /// Whether there may be more now.
    pub more: bool,
}

struct Cursor {
    number: u32,
    lane: LaneKey,
    fetched: Seq,
    last: Seq,
    events: VecDeque<Event>,
}

impl Edge {
    /// Reads what a stream holds beyond a clock: at most `events_max` events, but at least one transaction.
    pub fn read_stream(&self, stream: &str, after: &Clock, events_max: usize) -> Result<Reading> {
        let id = self.shown().definitions.stream(stream)?.id;
        page(&self.moment()?, id, after, events_max)
    }

    /// An event by its dot.
    pub fn event(&self, dot: &Dot) -> Result<Event> {
        let lane = LaneKey { site: dot.site, stream: dot.stream, lane: dot.lane };
        let moment = self.moment()?;
        let found = Look::lane(&moment, &lane)?.and_then(|(number, _)| Place::new(number, dot.seq));
        let event = found.map(|place| Look::event(&moment, place)).transpose()?.flatten();
        event.ok_or_else(|| Error::new(Kind::NotFound, format!("there is no event {dot} here")))
    }

    /// One hash of what is held of a stream, or of all: equal at two sites that hold the same.
    pub fn digest(&self, stream: Option<&str>) -> Result<[u8; 16]> {
        let id = stream.map(|name| self.shown().definitions.stream(name).map(|stream| stream.id)).transpose()?;
        let heads = self.moment()?.lanes(id)?.into_iter().map(|(_, head)| {
            let LaneKey { site, stream, lane } = head.lane;
            (Dot { site, stream, lane, seq: head.last.seq }, head.last.chain)
        });
        Ok(gundb_core::digest(heads.collect()))
    }

    /// What this site knew at a time, as far as it can tell from stamps: of its own runs every event with a stamp not after it, of others what the last epoch
    /// says that had begun by then.
    pub fn clock_at(&self, millis: u64) -> Result<Clock> {
        let before = Hlc::new(millis + 1, 0).unwrap_or(Hlc::MAX);
        clock_before(&self.moment()?, before)
    }

    /// Recomputes the chains of all events from the beginning of their lanes. Gives what does not fit: damage, since it was checked when it came.
    pub fn verify(&self) -> Result<Vec<String>> {
        self.verify_told(&Progress::default())
    }

    /// As [`Edge::verify`], telling how far it is.
    pub fn verify_told(&self, progress: &Progress) -> Result<Vec<String>> {
        let moment = self.moment()?;
        let mut problems = Vec::new();
        progress.expect(moment.lanes(None)?.iter().map(|(_, head)| head.last.seq).sum());
        for (number, head) in moment.lanes(None)? {
            let LaneKey { site, stream, lane } = head.lane;
            let (mut chain, mut next) = (gundb_core::Chain::genesis(site, stream, lane), 1);
            moment.each_event((number, &head.lane), (1, head.last.seq), &mut |_, event| {
                if event.dot.seq != next {
                    problems.push(format!("event {next} of lane {site}/{stream}/{lane} is missing"));
                    return Ok(false);
                }
                match gundb_core::verify_chain(&chain, &event) {
                    Ok(verified) => chain = verified,
                    Err(why) => {
                        problems.push(why.to_string());
                        return Ok(false);
                    }
                }
                next += 1;
                progress.advance(1);
                Ok(true)
            })?;
            if next == head.last.seq + 1 && chain != head.last.chain {
                problems.push(format!("the head of lane {site}/{stream}/{lane} is not its last event"));
            }
        }
        Ok(problems)
    }
}

/// Reads a page as of a moment.
pub fn page(moment: &Moment, stream: StreamId, after: &Clock, events_max: usize) -> Result<Reading> {
    let mut cursors = Vec::new();
    for (number, head) in moment.lanes(Some(stream))? {
        let fetched = after.get(head.lane.site, stream, head.lane.lane);
        if head.last.seq > fetched {
            cursors.push(Cursor { number, lane: head.lane, fetched, last: head.last.seq, events: VecDeque::new() });
        }
    }
    let mut merge = Merge::new(cursors.iter().map(|cursor| cursor.lane), events_max);
    let mut reading = Reading { events: Vec::new(), after: after.clone(), more: false };
    loop {
        match merge.step() {
            Step::NeedRows(lane) => {
                let Some(cursor) = cursors.get_mut(lane.0) else { break };
                let rows = cursor.fetch(moment)?;
                merge.supply(lane, rows, cursor.fetched >= cursor.last).map_err(Error::damaged)?;
            }
            Step::NeedSpan(id) => merge.span(id, moment.span_of(&id)?),
            Step::Transaction(placed) => {
                for segment in placed.segments {
                    let Some(cursor) = cursors.get_mut(segment.lane.0) else { continue };
                    let rows = segment.rows.min(cursor.events.len());
                    for event in cursor.events.drain(..rows) {
                        reading.after.advance(&event.dot);
                        reading.events.push(event);
                    }
                }
            }
            Step::Full => {
                reading.more = true;
                break;
            }
            Step::End => break,
        }
    }
    Ok(reading)
}

impl Cursor {
    fn fetch(&mut self, moment: &Moment) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        let to = self.last.min(self.fetched + CHUNK_EVENTS);
        let events = &mut self.events;
        moment.each_event((self.number, &self.lane), (self.fetched + 1, to), &mut |_, event| {
            rows.push(Row { seq: event.dot.seq, hlc: event.hlc, xact: event.xact, wide: true, counts: true });
            events.push_back(event);
            Ok(true)
        })?;
        self.fetched = to;
        Ok(rows)
    }
}

/// What was known before a stamp.
fn clock_before(moment: &Moment, before: Hlc) -> Result<Clock> {
    let site = moment.meta(crate::store::words::SITE)?;
    let mut clock = Clock::new();
    let mut last_own = None;
    for (number, head) in moment.lanes(None)? {
        let is_own = site.as_deref() == Some(head.lane.site.0.as_bytes().as_slice());
        if !is_own {
            continue;
        }
        let (mut low, mut high) = (0, head.last.seq);
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            let event = Place::new(number, middle).map(|place| Look::event(moment, place)).transpose()?.flatten();
            let event = event.ok_or_else(|| Error::damaged("an event is missing in its lane"))?;
            if event.hlc < before {
                low = middle;
                if last_own.as_ref().is_none_or(|last: &Event| last.hlc < event.hlc) {
                    last_own = Some(event);
                }
            } else {
                high = middle - 1;
            }
        }
        if low > 0 {
            clock.advance(&crate::store::look::dot(&head.lane, low)?);
        }
    }
    // What came from others was known when the last of one's own events was written: its epoch says so.
    if let Some(event) = last_own {
        let epoch = gundb_core::Epoch { site: event.dot.site, run: event.dot.lane.run(), number: event.epoch };
        clock = clock.join(&moment.epoch_clock(&epoch)?.unwrap_or_default());
    }
    Ok(clock.meet(&moment.clock()?))
}
