//! A bundle into columns.

use std::collections::BTreeMap;

use prost::Message;

use crate::bundle::frame::{Kind, seal};
use crate::bundle::{Bundle, EpochPart, From, proto};
use crate::event::{Event, Transaction};
use crate::id::{Lane, Run, Seq, SiteId, StreamId};

/// The bundle as bytes, compressed by zstd at this level, or not at all at level 0. O(bytes).
///
/// Each event is of its transaction, by site, run and first stamp, and each transaction has events: one that has none is left out, since nobody could tell
/// whose it is.
pub fn encode_bundle(bundle: &Bundle, level: i32) -> Vec<u8> {
    seal(Kind::Bundle, &message(bundle).encode_to_vec(), level)
}

fn message(bundle: &Bundle) -> proto::Bundle {
    let mut tables = Tables::default();
    let epochs = epochs(&bundle.epochs, &mut tables);
    let (transactions, events) = transactions(&bundle.transactions, &mut tables);
    proto::Bundle {
        site: uuid_bytes([bundle.site.0]).into(),
        run: bundle.run.number(),
        number: bundle.number,
        from: Some(match &bundle.from {
            From::Clock(clock) => proto::bundle::From::Clock(clock.encode().into()),
            From::Session { digest, beside } => proto::bundle::From::Session(proto::Session {
                digest: digest.to_vec().into(),
                beside: beside.encode().into(),
            }),
        }),
        part: bundle.part.map(|part| proto::Part { index: part.index, is_last: part.is_last }),
        tables: Some(tables.message()),
        epochs: Some(epochs),
        transactions: Some(transactions),
        events: Some(events),
    }
}

fn epochs<'a>(parts: &'a [EpochPart], tables: &mut Tables<'a>) -> proto::Epochs {
    let mut columns = proto::Epochs::default();
    let mut clocks = Vec::new();
    for part in parts {
        let clock = part.clock.encode();
        columns.run.push(tables.run(part.epoch.site, part.epoch.run));
        columns.number.push(part.epoch.number);
        columns.base.push(part.base.map_or(0, |base| base.saturating_add(1)));
        columns.clock_length.push(clock.len() as u32);
        clocks.extend_from_slice(&clock);
    }
    columns.clocks = clocks.into();
    columns
}

fn transactions<'a>(transactions: &'a [Transaction], tables: &mut Tables<'a>) -> (proto::Transactions, proto::Events) {
    let mut columns = proto::Transactions::default();
    let mut events = Events::default();
    for transaction in transactions {
        let Some(first) = transaction.events.first() else { continue };
        columns.events.push(transaction.events.len() as u32);
        columns.xact.push(difference(first.hlc.to_bits(), transaction.id.xact.to_bits()));
        let greatest = transaction.events.iter().map(|event| event.hlc.to_bits()).max().unwrap_or(0);
        columns.ends.push(transaction.ends.to_bits().saturating_sub(greatest));
        transaction.events.iter().for_each(|event| events.push(event, tables));
    }
    columns.ends = column(columns.ends);
    (columns, events.message())
}

/// What is to be added to get from one number to the other, modulo 2^64.
fn difference(to: u64, from: u64) -> i64 {
    to.wrapping_sub(from).cast_signed()
}

/// A column without what says nothing.
fn column<T: Default + PartialEq>(entries: Vec<T>) -> Vec<T> {
    if entries.iter().all(|entry| *entry == T::default()) { Vec::new() } else { entries }
}

fn uuid_bytes(uuids: impl IntoIterator<Item = uuid::Uuid>) -> Vec<u8> {
    uuids.into_iter().flat_map(uuid::Uuid::into_bytes).collect()
}

/// Things in the order of their first mention, and the places of each.
struct Index<K> {
    places: BTreeMap<K, u32>,
    things: Vec<K>,
    /// The last that was asked for: mostly it is asked for again.
    last: Option<(K, u32)>,
}

impl<K> Default for Index<K> {
    fn default() -> Index<K> {
        Index { places: BTreeMap::new(), things: Vec::new(), last: None }
    }
}

impl<K: Ord + Copy> Index<K> {
    fn place(&mut self, thing: K) -> u32 {
        if let Some((last, place)) = &self.last
            && *last == thing
        {
            return *place;
        }
        let place = *self.places.entry(thing).or_insert_with(|| {
            self.things.push(thing);
            self.things.len() as u32 - 1
        });
        self.last = Some((thing, place));
        place
    }
}

/// What an event is told against: its lane's seq and epoch so far.
struct Next {
    seq: Seq,
    epoch: u64,
}

#[derive(Default)]
struct Tables<'a> {
    sites: Index<SiteId>,
    streams: Index<StreamId>,
    runs: Index<(SiteId, Run)>,
    lanes: Index<(SiteId, StreamId, Lane)>,
    /// Of each lane.
    next: Vec<Next>,
    kinds: Index<&'a str>,
    columns: proto::Tables,
}

impl<'a> Tables<'a> {
    fn run(&mut self, site: SiteId, run: Run) -> u32 {
        let known = self.runs.things.len();
        let place = self.runs.place((site, run));
        if place as usize == known {
            self.columns.run_site.push(self.sites.place(site));
            self.columns.run_number.push(run.number());
        }
        place
    }

    fn lane(&mut self, event: &Event) -> (u32, Option<&mut Next>) {
        let dot = &event.dot;
        let known = self.next.len();
        let place = self.lanes.place((dot.site, dot.stream, dot.lane));
        if place as usize == known {
            let run = self.run(dot.site, dot.lane.run());
            let before = Next { seq: dot.seq.saturating_sub(1), epoch: event.epoch };
            self.columns.lane_stream.push(self.streams.place(dot.stream));
            self.columns.lane_run.push(run);
            self.columns.lane_number.push(dot.lane.number().into());
            self.columns.lane_seq.push(before.seq);
            self.columns.lane_epoch.push(before.epoch);
            self.next.push(before);
        }
        (place, self.next.get_mut(place as usize))
    }

    fn message(self) -> proto::Tables {
        let kinds: Vec<&str> = self.kinds.things;
        proto::Tables {
            sites: uuid_bytes(self.sites.things.iter().map(|site| site.0)).into(),
            streams: uuid_bytes(self.streams.things.iter().map(|stream| stream.0)).into(),
            kind_length: kinds.iter().map(|kind| kind.len() as u32).collect(),
            kinds: kinds.concat().into_bytes().into(),
            ..self.columns
        }
    }
}

#[derive(Default)]
struct Events {
    columns: proto::Events,
    ids: Vec<u8>,
    chains: Vec<u8>,
    salts: Vec<u8>,
    keys: Vec<u8>,
    data: Vec<u8>,
    metas: Vec<u8>,
    last: u64,
}

impl Events {
    fn push<'a>(&mut self, event: &'a Event, tables: &mut Tables<'a>) {
        let columns = &mut self.columns;
        let kind = tables.kinds.place(&event.kind);
        let (lane, next) = tables.lane(event);
        columns.lane.push(lane);
        if let Some(next) = next {
            columns.seq.push(difference(event.dot.seq, next.seq.wrapping_add(1)));
            columns.epoch.push(difference(event.epoch, next.epoch));
            *next = Next { seq: event.dot.seq, epoch: event.epoch };
        }
        columns.hlc.push(difference(event.hlc.to_bits(), self.last));
        self.last = event.hlc.to_bits();
        columns.kind.push(kind);
        self.ids.extend_from_slice(event.id.as_bytes());
        self.chains.extend_from_slice(&event.chain.0);
        self.salts.extend_from_slice(&event.salt);
        columns.key_length.push(event.key.as_ref().map_or(0, |key| key.len() as u32 + 1));
        self.keys.extend_from_slice(event.key.as_deref().unwrap_or_default().as_bytes());
        columns.data_length.push(event.data.len() as u32);
        self.data.extend_from_slice(event.data.as_bytes());
        let meta = if event.meta == super::META_DEFAULT { "" } else { &event.meta };
        columns.meta_length.push(meta.len() as u32);
        self.metas.extend_from_slice(meta.as_bytes());
    }

    fn message(self) -> proto::Events {
        let columns = self.columns;
        proto::Events {
            lane: column(columns.lane),
            seq: column(columns.seq),
            hlc: column(columns.hlc),
            epoch: column(columns.epoch),
            kind: column(columns.kind),
            ids: self.ids.into(),
            chains: self.chains.into(),
            salts: self.salts.into(),
            key_length: column(columns.key_length),
            keys: self.keys.into(),
            data_length: column(columns.data_length),
            data: self.data.into(),
            meta_length: column(columns.meta_length),
            metas: self.metas.into(),
        }
    }
}
