//! What can be read of the file, whether within the transaction that writes or as of a moment: one trait, and the tables of both.
//!
//! What must always hold here: what stands in the file was written by this program, or is an error; never a panic.

use gundb_core::apply::LaneHead;
use gundb_core::store::{Head, Snapshot, StoreError, decode_event};
use gundb_core::sync::message::Accept;
use gundb_core::sync::sender::bytes_of;
use gundb_core::{Chain, Clock, Dot, Epoch, Event, Hlc, LaneKey, Seq, StreamId, TransactionId};
use redb::{ReadTransaction, ReadableTable, Table, WriteTransaction};
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::store::sound::sound;
use crate::store::tables::*;

/// What is given the bytes of keys and values, until it says false.
pub type Found<'f> = &'f mut dyn FnMut(&[u8], &[u8]) -> Result<bool>;

/// Reading.
pub trait Look {
    /// A lane's number and its last event.
    fn lane(&self, lane: &LaneKey) -> Result<Option<(u32, LaneHead)>>;
    /// The lane that has a number.
    fn lane_key(&self, number: u32) -> Result<LaneKey>;
    /// All lanes, with their numbers and last events; those of one stream, where one is given.
    fn lanes(&self, stream: Option<StreamId>) -> Result<Vec<(u32, Head)>>;
    /// The bytes of an event.
    fn event_bytes(&self, place: Place) -> Result<Option<Vec<u8>>>;
    /// Gives events of a lane to `found`, in their order, until it says false.
    fn each_bytes(&self, from: Place, to: Place, found: &mut dyn FnMut(Place, &[u8]) -> Result<bool>) -> Result<()>;
    /// The places of the events that bear an id, in any stream.
    fn places_of_id(&self, id: &Uuid) -> Result<Vec<Place>>;
    /// The places of the events of a key of a group, and of others with the same hash. With a hash of None, of all keys, by their hashes.
    fn each_keyed(
        &self,
        group: u32,
        hash: Option<u64>,
        found: &mut dyn FnMut(u64, Place) -> Result<bool>,
    ) -> Result<()>;
    /// What an epoch covers.
    fn epoch_clock(&self, epoch: &Epoch) -> Result<Option<Clock>>;
    /// The greatest stamp of a transaction over several streams.
    fn span_of(&self, transaction: &TransactionId) -> Result<Option<Hlc>>;
    /// The state of a row.
    fn row(&self, view: u32, key: &[u8]) -> Result<Option<Vec<u8>>>;
    /// Gives the states of a view's rows to `found`, until it says false.
    fn each_row(&self, view: u32, found: Found<'_>) -> Result<()>;
    /// Why a view leaves an event out, if it does.
    fn left_out(&self, view: u32, place: Place) -> Result<Option<String>>;
    /// What a view leaves out, and why.
    fn all_left_out(&self, view: u32) -> Result<Vec<(Place, String)>>;
    /// A word's value.
    fn meta(&self, word: &str) -> Result<Option<Vec<u8>>>;
    /// The streams: id, group and name.
    fn streams(&self) -> Result<Vec<(StreamId, u32, String)>>;
    /// The views: name and definition.
    fn views(&self) -> Result<Vec<(String, Vec<u8>)>>;
    /// What waits, in the order of the greatest stamps.
    fn pending(&self) -> Result<Vec<Vec<u8>>>;
    /// The parts of a peer's transaction, in their order.
    fn parts(&self, peer: &str) -> Result<Vec<Vec<u8>>>;
    /// Bundles that came too early, each with whose events whoever brought it may bring.
    fn letters(&self) -> Result<Vec<(Accept, Vec<u8>)>>;
    /// Whether a site's definitions count here.
    fn is_definer(&self, site: &Uuid) -> Result<bool>;
    /// A consumer's stream and position.
    fn consumer(&self, name: &str) -> Result<Option<Vec<u8>>>;
    /// What was refused: the event that does not fit, and why.
    fn refused(&self) -> Result<Vec<(Dot, String)>>;

    /// An event.
    fn event(&self, place: Place) -> Result<Option<Event>> {
        let Some(bytes) = self.event_bytes(place)? else { return Ok(None) };
        let lane = self.lane_key(place.lane())?;
        Ok(Some(decode_event(dot(&lane, place.seq())?, &bytes)?))
    }

    /// Gives events of a lane to `found`, in their order, until it says false.
    fn each_event(
        &self,
        (number, lane): (u32, &LaneKey),
        (from, to): (Seq, Seq),
        found: &mut dyn FnMut(Place, Event) -> Result<bool>,
    ) -> Result<()> {
        let (Some(first), Some(last)) = (Place::new(number, from), Place::new(number, to.min(SEQS_MAX - 1))) else {
            return Ok(());
        };
        self.each_bytes(first, last, &mut |place, bytes| found(place, decode_event(dot(lane, place.seq())?, bytes)?))
    }

    /// The events of a stream that bear an id, in total order, with their places.
    fn events_of_id(&self, stream: StreamId, id: &Uuid) -> Result<Vec<(Place, Event)>> {
        let mut events = Vec::new();
        for place in self.places_of_id(id)? {
            let event = self.event(place)?.ok_or_else(|| Error::damaged("an id leads to no event"))?;
            if event.dot.stream == stream {
                events.push((place, event));
            }
        }
        events.sort_by(|(_, a), (_, b)| Event::cmp_total(a, b));
        Ok(events)
    }

    /// What is held.
    fn clock(&self) -> Result<Clock> {
        let heads = self.lanes(None)?;
        heads.into_iter().map(|(_, head)| dot(&head.lane, head.last.seq)).collect()
    }
}

/// The dot of a lane's event.
pub fn dot(lane: &LaneKey, seq: Seq) -> Result<Dot> {
    Dot::new(lane.site, lane.stream, lane.lane, seq).ok_or_else(|| Error::damaged("an event without a seq"))
}

pub fn head_bytes(number: u32, head: &LaneHead) -> [u8; 36] {
    let mut bytes = [0; 36];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    bytes[4..12].copy_from_slice(&head.seq.to_be_bytes());
    bytes[12..20].copy_from_slice(&head.hlc.to_bits().to_be_bytes());
    bytes[20..].copy_from_slice(&head.chain.0);
    bytes
}

fn head_of(bytes: &[u8; 36]) -> Result<(u32, LaneHead)> {
    let number =
        |range: std::ops::Range<usize>| bytes[range].iter().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
    let hlc = Hlc::from_bits(number(12..20)).ok_or_else(|| Error::damaged("a lane's stamp"))?;
    let mut chain = Chain([0; 16]);
    chain.0.copy_from_slice(&bytes[20..]);
    Ok((number(0..4) as u32, LaneHead { seq: number(4..12), hlc, chain }))
}

/// The tables, open to be read or written: the same names in both.
macro_rules! tables {
    ($($name:ident: $definition:ident ($key:ty => $value:ty),)*) => {
        /// The tables within the transaction that writes.
        pub struct WriteTables<'t> {
            $(pub $name: Table<'t, $key, $value>,)*
        }

        impl<'t> WriteTables<'t> {
            pub fn open(transaction: &'t WriteTransaction) -> Result<WriteTables<'t>> {
                Ok(WriteTables { $($name: transaction.open_table($definition)?,)* })
            }
        }

        /// The tables as of a moment.
        pub struct Moment {
            $($name: redb::ReadOnlyTable<$key, $value>,)*
        }

        impl Moment {
            pub fn open(transaction: &ReadTransaction) -> Result<Moment> {
                sound(|| Ok(Moment { $($name: transaction.open_table($definition)?,)* }))
            }
        }
    };
}

tables! {
    meta: META (&'static str => &'static [u8]),
    lane: LANE (&'static [u8; 40] => &'static [u8; 36]),
    lane_key: LANE_KEY (u32 => &'static [u8; 40]),
    event: EVENT (u64 => &'static [u8]),
    id: ID (&'static [u8; 24] => ()),
    keyed: KEYED (&'static [u8; 20] => ()),
    epoch: EPOCH (&'static [u8; 30] => &'static [u8]),
    span: SPAN (&'static [u8; 30] => u64),
    stream: STREAM (&'static [u8; 16] => (u32, &'static str)),
    definer: DEFINER (&'static [u8; 16] => ()),
    pending: PENDING (&'static [u8; 38] => &'static [u8]),
    refused: REFUSED (&'static [u8; 64] => &'static str),
    part: PART ((&'static str, u64) => &'static [u8]),
    letter: LETTER (&'static [u8; 39] => &'static [u8]),
    view: VIEW (&'static str => &'static [u8]),
    row: ROW ((u32, &'static [u8]) => &'static [u8]),
    left_out: LEFT_OUT ((u32, u64) => &'static str),
    consumer: CONSUMER (&'static str => &'static [u8]),
}

macro_rules! look {
    ($tables:ty) => {
        impl Look for $tables {
            fn lane(&self, lane: &LaneKey) -> Result<Option<(u32, LaneHead)>> {
                sound(|| self.lane.get(&lane_bytes(lane))?.map(|head| head_of(head.value())).transpose())
            }

            fn lane_key(&self, number: u32) -> Result<LaneKey> {
                sound(|| {
                    let lane =
                        self.lane_key.get(number)?.ok_or_else(|| Error::damaged("a lane's number leads nowhere"))?;
                    lane_of(lane.value())
                })
            }

            fn lanes(&self, stream: Option<StreamId>) -> Result<Vec<(u32, Head)>> {
                sound(|| {
                    let mut lanes = Vec::new();
                    for entry in self.lane.iter()? {
                        let (key, head) = entry?;
                        let lane = lane_of(key.value())?;
                        if stream.is_none_or(|stream| stream == lane.stream) {
                            let (number, last) = head_of(head.value())?;
                            lanes.push((number, Head { lane, last }));
                        }
                    }
                    Ok(lanes)
                })
            }

            fn event_bytes(&self, place: Place) -> Result<Option<Vec<u8>>> {
                sound(|| Ok(self.event.get(place.0)?.map(|bytes| bytes.value().to_vec())))
            }

            fn each_bytes(
                &self,
                from: Place,
                to: Place,
                found: &mut dyn FnMut(Place, &[u8]) -> Result<bool>,
            ) -> Result<()> {
                sound(|| {
                    for entry in self.event.range(from.0..=to.0)? {
                        let (place, bytes) = entry?;
                        if !found(Place(place.value()), bytes.value())? {
                            break;
                        }
                    }
                    Ok(())
                })
            }

            fn places_of_id(&self, id: &Uuid) -> Result<Vec<Place>> {
                sound(|| {
                    let (first, last) = (id_bytes(id, Place(0)), id_bytes(id, Place(u64::MAX)));
                    let mut places = Vec::new();
                    for entry in self.id.range::<&[u8; 24]>(&first..=&last)? {
                        places.push(place_in_id(entry?.0.value()));
                    }
                    Ok(places)
                })
            }

            fn each_keyed(
                &self,
                group: u32,
                hash: Option<u64>,
                found: &mut dyn FnMut(u64, Place) -> Result<bool>,
            ) -> Result<()> {
                sound(|| {
                    let first = keyed_bytes(group, hash.unwrap_or(0), Place(0));
                    let last = keyed_bytes(group, hash.unwrap_or(u64::MAX), Place(u64::MAX));
                    for entry in self.keyed.range::<&[u8; 20]>(&first..=&last)? {
                        let (key, _) = entry?;
                        if !found(hash_in_keyed(key.value()), place_in_keyed(key.value()))? {
                            break;
                        }
                    }
                    Ok(())
                })
            }

            fn epoch_clock(&self, epoch: &Epoch) -> Result<Option<Clock>> {
                sound(|| {
                    let clock = self.epoch.get(&epoch_bytes(epoch))?;
                    clock.map(|clock| Clock::decode(clock.value()).map_err(Error::damaged)).transpose()
                })
            }

            fn span_of(&self, transaction: &TransactionId) -> Result<Option<Hlc>> {
                sound(|| {
                    let span = self.span.get(&transaction_bytes(transaction))?;
                    span.map(|span| Hlc::from_bits(span.value()).ok_or_else(|| Error::damaged("a span"))).transpose()
                })
            }

            fn row(&self, view: u32, key: &[u8]) -> Result<Option<Vec<u8>>> {
                sound(|| Ok(self.row.get((view, key))?.map(|state| state.value().to_vec())))
            }

            fn each_row(&self, view: u32, found: Found<'_>) -> Result<()> {
                sound(|| {
                    for entry in self.row.range((view, [].as_slice())..(view + 1, [].as_slice()))? {
                        let (key, state) = entry?;
                        if !found(key.value().1, state.value())? {
                            break;
                        }
                    }
                    Ok(())
                })
            }

            fn left_out(&self, view: u32, place: Place) -> Result<Option<String>> {
                sound(|| Ok(self.left_out.get((view, place.0))?.map(|reason| reason.value().to_owned())))
            }

            fn all_left_out(&self, view: u32) -> Result<Vec<(Place, String)>> {
                sound(|| {
                    let mut all = Vec::new();
                    for entry in self.left_out.range((view, 0)..=(view, u64::MAX))? {
                        let (place, reason) = entry?;
                        all.push((Place(place.value().1), reason.value().to_owned()));
                    }
                    Ok(all)
                })
            }

            fn meta(&self, word: &str) -> Result<Option<Vec<u8>>> {
                sound(|| Ok(self.meta.get(word)?.map(|value| value.value().to_vec())))
            }

            fn streams(&self) -> Result<Vec<(StreamId, u32, String)>> {
                sound(|| {
                    let mut streams = Vec::new();
                    for entry in self.stream.iter()? {
                        let (id, value) = entry?;
                        let (group, name) = value.value();
                        streams.push((StreamId(Uuid::from_bytes(*id.value())), group, name.to_owned()));
                    }
                    Ok(streams)
                })
            }

            fn views(&self) -> Result<Vec<(String, Vec<u8>)>> {
                sound(|| {
                    let mut views = Vec::new();
                    for entry in self.view.iter()? {
                        let (name, definition) = entry?;
                        views.push((name.value().to_owned(), definition.value().to_vec()));
                    }
                    Ok(views)
                })
            }

            fn pending(&self) -> Result<Vec<Vec<u8>>> {
                sound(|| self.pending.iter()?.map(|entry| Ok(entry?.1.value().to_vec())).collect())
            }

            fn parts(&self, peer: &str) -> Result<Vec<Vec<u8>>> {
                sound(|| {
                    let parts = self.part.range((peer, 0)..=(peer, u64::MAX))?;
                    parts.map(|entry| Ok(entry?.1.value().to_vec())).collect()
                })
            }

            fn letters(&self) -> Result<Vec<(Accept, Vec<u8>)>> {
                sound(|| {
                    let mut letters = Vec::new();
                    for entry in self.letter.iter()? {
                        let (key, bundle) = entry?;
                        let accept = if key.value().ends_with(&[1]) { Accept::Any } else { Accept::Own };
                        letters.push((accept, bundle.value().to_vec()));
                    }
                    Ok(letters)
                })
            }

            fn is_definer(&self, site: &Uuid) -> Result<bool> {
                sound(|| Ok(self.definer.get(site.as_bytes())?.is_some()))
            }

            fn consumer(&self, name: &str) -> Result<Option<Vec<u8>>> {
                sound(|| Ok(self.consumer.get(name)?.map(|value| value.value().to_vec())))
            }

            fn refused(&self) -> Result<Vec<(Dot, String)>> {
                sound(|| {
                    let mut refused = Vec::new();
                    for entry in self.refused.iter()? {
                        let (key, reason) = entry?;
                        let dot = Dot::from_bytes(&key.value()[..Dot::BYTES]).map_err(Error::damaged)?;
                        refused.push((dot, reason.value().to_owned()));
                    }
                    Ok(refused)
                })
            }
        }
    };
}

look!(WriteTables<'_>);
look!(Moment);

impl Snapshot for Moment {
    fn heads(&self) -> Result<Vec<Head>, StoreError> {
        Ok(self.lanes(None)?.into_iter().map(|(_, head)| head).collect())
    }

    fn stream_name(&self, stream: StreamId) -> Result<Option<String>, StoreError> {
        let found = self.stream.get(stream.0.as_bytes()).map_err(Error::from)?;
        Ok(found.map(|value| value.value().1.to_owned()))
    }

    fn events(&self, lane: &LaneKey, from: Seq, to: Seq, bytes_max: u64) -> Result<Vec<Event>, StoreError> {
        let Some((number, _)) = Look::lane(self, lane)? else { return Ok(Vec::new()) };
        let (mut events, mut bytes) = (Vec::new(), 0);
        self.each_event((number, lane), (from, to), &mut |_, event| {
            bytes += bytes_of(&event);
            events.push(event);
            Ok(bytes < bytes_max)
        })?;
        Ok(events)
    }

    fn span(&self, transaction: &TransactionId) -> Result<Option<Hlc>, StoreError> {
        Ok(self.span_of(transaction)?)
    }

    fn epoch(&self, epoch: &Epoch) -> Result<Option<Clock>, StoreError> {
        Ok(self.epoch_clock(epoch)?)
    }
}
