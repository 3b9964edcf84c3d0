//! Columns into a bundle: whatever is given back here is in range, and refers to what is there.

use prost::Message;
use prost::bytes::Bytes;
use uuid::Uuid;

use crate::bundle::fields::{self, Clocks, Column, Texts, bytes_of, sixteens};
use crate::bundle::frame::{Frame, Kind};
use crate::bundle::scan::{self, scan};
use crate::bundle::{Bundle, EpochPart, From, META_DEFAULT, Part, WireError, WireLimits, proto};
use crate::chain::Chain;
use crate::context::Epoch;
use crate::event::{Event, Transaction, TransactionId};
use crate::hlc::Hlc;
use crate::id::{Dot, Lane, Run, SEQ_MAX, Seq, SiteId, StreamId};

/// Reads [`encode_bundle`](crate::bundle::encode_bundle) back. O(bytes).
///
/// What comes out is in range and in order. Whether it fits what is held (chains, gaps, canonical texts) is for [`judge`](crate::apply::judge) to say: that
/// an event is bad must not keep others from being taken.
pub fn decode_bundle(bytes: &[u8], limits: &WireLimits) -> Result<Bundle, WireError> {
    let message = Frame::read(bytes)?.open(Kind::Bundle, limits)?;
    scan(&message, scan::BUNDLE, limits)?;
    let message = read::<proto::Bundle>(message)?;
    let mut clocks = Clocks::new(limits);
    let tables = Tables::read(message.tables.unwrap_or_default(), limits)?;
    let part = message.part.map(|part| Part { index: part.index, is_last: part.is_last });
    let bundle = Bundle {
        site: fields::site("site", &message.site)?,
        run: fields::run("run", message.run)?,
        number: message.number,
        from: match message.from {
            None => return Err(WireError::malformed("from", "is missing")),
            Some(proto::bundle::From::Clock(clock)) => From::Clock(clocks.read("clock", &clock)?),
            Some(proto::bundle::From::Session(session)) => From::Session {
                digest: bytes_of("session.digest", &session.digest)?,
                beside: clocks.read("session.beside", &session.beside)?,
            },
        },
        epochs: epochs(message.epochs.unwrap_or_default(), &tables, &mut clocks)?,
        transactions: transactions(
            &message.transactions.unwrap_or_default(),
            Events::read(message.events.as_ref().unwrap_or(&proto::Events::default()), tables, limits)?,
            part.is_none(),
            limits,
        )?,
        part,
    };
    if bundle.part.is_some() && bundle.transactions.len() != 1 {
        return Err(WireError::malformed("part", "is of one transaction, and the bundle has none or several"));
    }
    Ok(bundle)
}

/// A message that was scanned.
pub(super) fn read<M: Message + Default>(message: Bytes) -> Result<M, WireError> {
    M::decode(message).map_err(|error| WireError::Protobuf { why: error.to_string() })
}

fn too_many(what: &'static str, found: usize, limit: u64) -> Result<(), WireError> {
    if found as u64 > limit { Err(WireError::TooMany { what, limit }) } else { Ok(()) }
}

fn as_many(field: &'static str, found: usize, things: usize) -> Result<(), WireError> {
    if found == things {
        Ok(())
    } else {
        Err(WireError::malformed(field, "has not as many entries as there are things"))
    }
}

/// A lane, and what its next event here is told against.
struct LaneState {
    site: SiteId,
    stream: StreamId,
    lane: Lane,
    seq: Seq,
    epoch: u64,
}

struct Tables {
    runs: Vec<(SiteId, Run)>,
    lanes: Vec<LaneState>,
    kinds: Vec<String>,
}

impl Tables {
    fn read(message: proto::Tables, limits: &WireLimits) -> Result<Tables, WireError> {
        let sites = sixteens("tables.sites", &message.sites)?;
        let streams = sixteens("tables.streams", &message.streams)?;
        let (runs, lanes) = (message.run_site.len(), message.lane_stream.len());
        for found in [sites.len(), streams.len(), runs, lanes, message.kind_length.len()] {
            too_many("entries of tables", found, limits.entries_max)?;
        }
        as_many("tables.run_number", message.run_number.len(), runs)?;
        let place = |place: u32| usize::try_from(place).unwrap_or(usize::MAX);
        let run = |(at, (site, number)): (usize, (&u32, &u64))| {
            let site = sites.get(place(*site)).ok_or(WireError::entry("tables.run_site", at, "is no site"))?;
            let number = Run::new(*number).ok_or(WireError::entry("tables.run_number", at, "is no run"))?;
            Ok((SiteId(Uuid::from_bytes(*site)), number))
        };
        let runs: Vec<_> =
            message.run_site.iter().zip(&message.run_number).enumerate().map(run).collect::<Result<_, WireError>>()?;

        for (field, found) in [
            ("tables.lane_run", message.lane_run.len()),
            ("tables.lane_number", message.lane_number.len()),
            ("tables.lane_seq", message.lane_seq.len()),
            ("tables.lane_epoch", message.lane_epoch.len()),
        ] {
            as_many(field, found, lanes)?;
        }
        let numbers = message.lane_run.iter().zip(&message.lane_number);
        let counts = message.lane_seq.iter().zip(&message.lane_epoch);
        let lanes = message.lane_stream.iter().zip(numbers.zip(counts)).enumerate().map(
            |(at, (stream, ((run, number), (seq, epoch))))| {
                let stream = streams.get(place(*stream));
                let stream = stream.ok_or(WireError::entry("tables.lane_stream", at, "is no stream"))?;
                let (site, run) = *runs.get(place(*run)).ok_or(WireError::entry("tables.lane_run", at, "is no run"))?;
                let number = u16::try_from(*number)
                    .map_err(|_| WireError::entry("tables.lane_number", at, "is more than 16 bits"))?;
                let (stream, lane) = (StreamId(Uuid::from_bytes(*stream)), Lane::new(run, number));
                Ok(LaneState { site, stream, lane, seq: *seq, epoch: *epoch })
            },
        );
        let lanes: Vec<_> = lanes.collect::<Result<_, WireError>>()?;

        let mut texts = Texts::new("tables.kinds", &message.kinds)?;
        let kinds = message.kind_length.iter().map(|length| match u64::from(*length) {
            found if found > limits.kind_bytes_max => {
                Err(WireError::TooLarge { what: "an event type", found, limit: limits.kind_bytes_max })
            }
            _ => texts.take(*length).map(str::to_owned),
        });
        let kinds = kinds.collect::<Result<_, WireError>>()?;
        texts.end()?;
        Ok(Tables { runs, lanes, kinds })
    }
}

fn epochs(message: proto::Epochs, tables: &Tables, clocks: &mut Clocks) -> Result<Vec<EpochPart>, WireError> {
    let epochs = message.run.len();
    for (field, found) in [
        ("epochs.number", message.number.len()),
        ("epochs.base", message.base.len()),
        ("epochs.clock_length", message.clock_length.len()),
    ] {
        as_many(field, found, epochs)?;
    }
    let mut rest = &*message.clocks;
    let lengths = message.base.iter().zip(&message.clock_length);
    let parts = message.run.iter().zip(&message.number).zip(lengths).enumerate().map(
        |(at, ((run, number), (base, length)))| {
            let run = usize::try_from(*run).ok().and_then(|run| tables.runs.get(run));
            let (site, run) = *run.ok_or(WireError::entry("epochs.run", at, "is no run"))?;
            let base = base.checked_sub(1);
            if base.is_some_and(|base| base >= *number) {
                return Err(WireError::entry("epochs.base", at, "is not earlier than the epoch"));
            }
            let (clock, after) = usize::try_from(*length)
                .ok()
                .and_then(|length| rest.split_at_checked(length))
                .ok_or(WireError::entry("epochs.clock_length", at, "is more than there is"))?;
            rest = after;
            let epoch = Epoch { site, run, number: *number };
            Ok(EpochPart { epoch, base, clock: clocks.read("epochs.clocks", clock)? })
        },
    );
    let parts = parts.collect::<Result<_, WireError>>()?;
    if rest.is_empty() { Ok(parts) } else { Err(WireError::malformed("epochs.clocks", "is longer than its clocks")) }
}

/// Events, read one after the other.
struct Events<'a> {
    tables: Tables,
    event_bytes_max: u64,
    next: usize,
    last: u64,
    lane: Column<'a, u32>,
    seq: Column<'a, i64>,
    hlc: Column<'a, i64>,
    epoch: Column<'a, i64>,
    kind: Column<'a, u32>,
    ids: &'a [[u8; 16]],
    chains: &'a [[u8; 16]],
    salts: &'a [[u8; 16]],
    key_length: Column<'a, u32>,
    keys: Texts<'a>,
    data_length: Column<'a, u32>,
    data: Texts<'a>,
    meta_length: Column<'a, u32>,
    metas: Texts<'a>,
}

impl<'a> Events<'a> {
    fn read(message: &'a proto::Events, tables: Tables, limits: &WireLimits) -> Result<Events<'a>, WireError> {
        let ids = sixteens("events.ids", &message.ids)?;
        let (chains, salts) = (sixteens("events.chains", &message.chains)?, sixteens("events.salts", &message.salts)?);
        let events = ids.len();
        too_many("events", events, limits.events_max)?;
        as_many("events.chains", chains.len(), events)?;
        as_many("events.salts", salts.len(), events)?;
        Ok(Events {
            tables,
            event_bytes_max: limits.event_bytes_max,
            next: 0,
            last: 0,
            lane: Column::new("events.lane", &message.lane, events)?,
            seq: Column::new("events.seq", &message.seq, events)?,
            hlc: Column::new("events.hlc", &message.hlc, events)?,
            epoch: Column::new("events.epoch", &message.epoch, events)?,
            kind: Column::new("events.kind", &message.kind, events)?,
            ids,
            chains,
            salts,
            key_length: Column::new("events.key_length", &message.key_length, events)?,
            keys: Texts::new("events.keys", &message.keys)?,
            data_length: Column::new("events.data_length", &message.data_length, events)?,
            data: Texts::new("events.data", &message.data)?,
            meta_length: Column::new("events.meta_length", &message.meta_length, events)?,
            metas: Texts::new("events.metas", &message.metas)?,
        })
    }

    fn left(&self) -> usize {
        self.ids.len() - self.next
    }

    /// The next event; of its transaction's first stamp, which is told against the first event, nothing is known yet.
    fn next(&mut self) -> Result<Event, WireError> {
        let at = self.next;
        let missing = |field| WireError::entry(field, at, "is missing");
        let (id, chain) = self.ids.get(at).zip(self.chains.get(at)).ok_or(missing("events.ids"))?;
        let salt = *self.salts.get(at).ok_or(missing("events.salts"))?;
        self.next += 1;

        let lane = usize::try_from(self.lane.get(at)).ok().and_then(|lane| self.tables.lanes.get_mut(lane));
        let lane = lane.ok_or(WireError::entry("events.lane", at, "is no lane"))?;
        let seq = lane.seq.wrapping_add(1).wrapping_add_signed(self.seq.get(at));
        let dot = Dot::new(lane.site, lane.stream, lane.lane, seq);
        let dot = dot.ok_or(WireError::entry("events.seq", at, "is out of range"))?;
        lane.seq = seq;
        lane.epoch = lane.epoch.wrapping_add_signed(self.epoch.get(at));
        // As large as SQL's bigint, like a seq.
        if lane.epoch > SEQ_MAX {
            return Err(WireError::entry("events.epoch", at, "is out of range"));
        }
        let epoch = lane.epoch;

        self.last = self.last.wrapping_add_signed(self.hlc.get(at));
        let hlc = Hlc::from_bits(self.last).ok_or(WireError::entry("events.hlc", at, "is after the year 9999"))?;
        let kind = usize::try_from(self.kind.get(at)).ok().and_then(|kind| self.tables.kinds.get(kind));
        let kind = kind.ok_or(WireError::entry("events.kind", at, "is no event type"))?.clone();

        let key_length = self.key_length.get(at).checked_sub(1);
        let (data_length, meta_length) = (self.data_length.get(at), self.meta_length.get(at));
        let found = u64::from(key_length.unwrap_or(0)) + u64::from(data_length) + u64::from(meta_length);
        if found > self.event_bytes_max {
            return Err(WireError::TooLarge { what: "an event", found, limit: self.event_bytes_max });
        }
        let key = key_length.map(|length| self.keys.take(length)).transpose()?.map(str::to_owned);
        let data = self.data.take(data_length)?.to_owned();
        let meta = if meta_length == 0 { META_DEFAULT } else { self.metas.take(meta_length)? }.to_owned();
        let (id, chain) = (Uuid::from_bytes(*id), Chain(*chain));
        Ok(Event { dot, hlc, xact: hlc, epoch, id, kind, key, data, meta, salt, chain })
    }

    fn end(&self) -> Result<(), WireError> {
        if self.left() > 0 {
            return Err(WireError::malformed("events", "has more events than its transactions"));
        }
        [&self.keys, &self.data, &self.metas].into_iter().try_for_each(Texts::end)
    }
}

fn transactions(
    message: &proto::Transactions,
    mut events: Events<'_>,
    ordered: bool,
    limits: &WireLimits,
) -> Result<Vec<Transaction>, WireError> {
    too_many("transactions", message.events.len(), limits.transactions_max)?;
    let xacts = Column::new("transactions.xact", &message.xact, message.events.len())?;
    let ends = Column::new("transactions.ends", &message.ends, message.events.len())?;
    let mut transactions = Vec::with_capacity(message.events.len());
    for (at, count) in message.events.iter().enumerate() {
        let count = usize::try_from(*count).ok().filter(|count| (1..=events.left()).contains(count));
        let count = count.ok_or(WireError::entry("transactions.events", at, "is none, or more than there are"))?;
        let mut first = events.next()?;
        let xact = first.hlc.to_bits().wrapping_sub(xacts.get(at).cast_unsigned());
        first.xact = Hlc::from_bits(xact).ok_or(WireError::entry("transactions.xact", at, "is out of range"))?;
        let mut transaction =
            Transaction { id: first.transaction(), events: Vec::with_capacity(count), ends: first.hlc };
        transaction.events.push(first);
        for _ in 1..count {
            let event = Event { xact: transaction.id.xact, ..events.next()? };
            follows(&transaction.id, transaction.events.last(), &event, ordered)
                .map_err(|why| WireError::entry("events", events.next - 1, why))?;
            transaction.events.push(event);
        }
        let ends = transaction.greatest_stamp().to_bits().checked_add(ends.get(at)).and_then(Hlc::from_bits);
        transaction.ends = ends.ok_or(WireError::entry("transactions.ends", at, "is out of range"))?;
        transactions.push(transaction);
    }
    events.end()?;
    Ok(transactions)
}

/// Whether an event may stand after another of its transaction.
fn follows(id: &TransactionId, last: Option<&Event>, event: &Event, ordered: bool) -> Result<(), &'static str> {
    if event.transaction() != *id {
        return Err("is of another run than its transaction");
    }
    let ascends = last.is_none_or(|last| last.total_order_key() < event.total_order_key());
    if ordered && !ascends { Err("does not follow the one before it in total order") } else { Ok(()) }
}
