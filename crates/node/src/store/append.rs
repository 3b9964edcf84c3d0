//! Events of this site: checked, then written, all of a call or none, as one transaction.
//!
//! What must always hold here: everything that can be refused is refused before the first write, but for what a strict view cannot fold: that takes back what was
//! written.

use std::collections::{BTreeMap, HashMap};

use gundb_core::{Clock, Dot, Event, Hlc, Json, Limits, StreamId};
use serde_json::Value;
use uuid::Uuid;

use crate::error::{Error, Kind, Result};
use crate::store::Edge;
use crate::store::look::Look;
use crate::store::tables;
use crate::store::writing::{Whose, Writing, now_ms, random, uuid_v7};

/// Bytes of an event's documents, as they are printed: as in PostgreSQL, unless it is set otherwise there.
pub const DATA_BYTES_MAX: usize = 64 << 20;
const DEPTH_MAX: usize = 1_000;
/// Bytes of an event's type, and of its key.
const KIND_BYTES_MAX: usize = 255;
const KEY_BYTES_MAX: usize = 2_048;

/// An event to be appended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct New {
    /// The name of its stream.
    pub stream: String,
    /// Its type.
    pub kind: String,
    /// The entity that it is about.
    pub key: Option<String>,
    /// What it says, as JSON.
    pub data: String,
    /// What is said about it, a JSON object; None: nothing.
    pub meta: Option<String>,
    /// Its idempotency key; None: one is drawn.
    pub id: Option<Uuid>,
    /// How many events the key has before it.
    pub expected_version: Option<u64>,
}

impl New {
    /// The entity that it is about.
    pub fn key(self, key: impl Into<String>) -> New {
        New { key: Some(key.into()), ..self }
    }

    /// Its idempotency key.
    pub fn id(self, id: Uuid) -> New {
        New { id: Some(id), ..self }
    }

    /// How many events the key has before it.
    pub fn expected_version(self, version: u64) -> New {
        New { expected_version: Some(version), ..self }
    }

    /// What is said about it: something that is a JSON object.
    pub fn meta(self, meta: &impl serde::Serialize) -> Result<New> {
        let meta = serde_json::to_string(meta);
        let meta =
            meta.map_err(|why| Error::new(Kind::Invalid, format!("the meta cannot be written as JSON: {why}")))?;
        Ok(New { meta: Some(meta), ..self })
    }
}

/// What became of an append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// The event's identity; of one that was there already the first's.
    pub dot: Dot,
    /// Its id.
    pub id: Uuid,
    /// Its stamp.
    pub hlc: Hlc,
    /// The key's new count, where one was expected.
    pub version: Option<u64>,
    /// Whether the id was there already.
    pub duplicate: bool,
}

/// How large and deep an event's documents may be.
pub fn json_limits() -> Limits {
    Limits { depth: DEPTH_MAX, bytes: DATA_BYTES_MAX }
}

pub const BOUNDS: (usize, usize) = (KIND_BYTES_MAX, KEY_BYTES_MAX);

impl New {
    /// Its data and meta as jsonb would print them, if all that it says is well.
    pub fn documents(&self) -> Result<(String, String)> {
        let Ready { data, meta, .. } = Ready::of(self.clone())?;
        Ok((data, meta))
    }
}

/// A new event, its documents as jsonb would print them.
#[derive(Clone)]
struct Ready {
    new: New,
    data: String,
    meta: String,
    value: Value,
}

impl Edge {
    /// Appends events, all or none, as one transaction. Each event of `depends_on` must be held.
    pub fn append(&self, events: Vec<New>, depends_on: Option<Clock>) -> Result<Vec<Appended>> {
        // What can be found out beside the writer is.
        let ready = events.into_iter().map(Ready::of).collect::<Result<Vec<_>>>()?;
        self.writer.call(false, move |writing| append(writing, &ready, depends_on.as_ref()))
    }

    /// Appends one event.
    pub fn append_one(&self, event: New) -> Result<Appended> {
        let appended = self.append(vec![event], None)?;
        appended.into_iter().next().ok_or_else(|| Error::new(Kind::Storage, "an event was appended and is gone"))
    }
}

impl Ready {
    fn of(new: New) -> Result<Ready> {
        let invalid = |message: String| Err(Error::new(Kind::Invalid, message));
        if new.kind.is_empty() || new.kind.len() > KIND_BYTES_MAX {
            return invalid(format!("an event's type has 1 to {KIND_BYTES_MAX} bytes, not {}", new.kind.len()));
        }
        if let Some(key) = new.key.as_ref().filter(|key| key.len() > KEY_BYTES_MAX) {
            return invalid(format!("an event's key has at most {KEY_BYTES_MAX} bytes, not {}", key.len()));
        }
        if [Some(&new.kind), new.key.as_ref()].into_iter().flatten().any(|text| text.contains('\0')) {
            return invalid("an event's type and key have no zero byte".to_owned());
        }
        if new.expected_version.is_some() && new.key.is_none() {
            return Err(Error::new(Kind::Invalid, "an expected version needs a key")
                .hint("It counts the events of one key; give the key, or leave it out."));
        }
        let (data, json) = canonical("data", &new.data)?;
        let (meta, _) = canonical("meta", new.meta.as_deref().unwrap_or("{}"))?;
        if !meta.starts_with('{') {
            return invalid("an event's meta is a JSON object".to_owned());
        }
        Ok(Ready { value: Value::from(&json), data, meta, new })
    }
}

/// A document as jsonb prints it.
fn canonical(what: &str, text: &str) -> Result<(String, Json)> {
    let json = Json::parse(text, json_limits()).map_err(|why| {
        Error::new(Kind::Invalid, format!("the {what} is not JSON that jsonb holds: {why}"))
            .hint("In a shell it is quoted: '{\"qty\": 1}'. A store takes what PostgreSQL's jsonb takes: no \\u0000, no lone surrogates, numbers in its range.")
    })?;
    let text = json.to_text(DATA_BYTES_MAX).map_err(|why| Error::new(Kind::Invalid, format!("the {what}: {why}")))?;
    Ok((text, json))
}

/// What an event will be.
enum Planned {
    Store {
        stream: StreamId,
        version: Option<u64>,
        id: Uuid,
    },
    /// It is there already: the first of its id.
    There(Box<Appended>),
    /// It comes twice in this call: as the one at this place.
    Again(usize),
}

fn append(writing: &mut Writing<'_, '_>, ready: &[Ready], depends_on: Option<&Clock>) -> Result<Vec<Appended>> {
    if let Some(missing) = depends_on.map(|clock| clock.difference(&writing.memory.clock))
        && let Some(dot) = missing.iter().next()
    {
        return Err(Error::new(Kind::Conflict, format!("an event that this one depends on is not held here: {dot}"))
            .hint("Wait until it has arrived; gundb clock says what is held."));
    }
    let planned = plan(writing, ready)?;
    let fresh = ready.iter().all(|ready| ready.new.id.is_none());
    let events = events(writing, ready, &planned)?;
    writing.take_in(&events, Whose::Own { fresh })?;
    let mut stored = events.iter();
    let mut appended: Vec<Appended> = Vec::with_capacity(ready.len());
    for planned in planned {
        appended.push(match planned {
            Planned::There(there) => *there,
            Planned::Again(at) => Appended { version: None, duplicate: true, ..first(&appended, at)?.clone() },
            Planned::Store { version, .. } => {
                let event = stored.next().ok_or_else(|| Error::damaged("an event was stored and is gone"))?;
                Appended { dot: event.dot, id: event.id, hlc: event.hlc, version, duplicate: false }
            }
        });
    }
    Ok(appended)
}

fn first(appended: &[Appended], at: usize) -> Result<&Appended> {
    appended.get(at).ok_or_else(|| Error::damaged("an event repeats one that is not there"))
}

/// What becomes of each event. Writes nothing.
fn plan(writing: &Writing<'_, '_>, ready: &[Ready]) -> Result<Vec<Planned>> {
    let mut by_id: HashMap<(StreamId, Uuid), usize> = HashMap::new();
    let mut versions: BTreeMap<(StreamId, &str), u64> = BTreeMap::new();
    let mut planned = Vec::with_capacity(ready.len());
    for (at, one) in ready.iter().enumerate() {
        let new = &one.new;
        let stream = writing.memory.definitions.users_stream(&new.stream)?;
        let id = match new.id {
            Some(id) => {
                if let Some(first) = by_id.insert((stream.id, id), at) {
                    by_id.insert((stream.id, id), first);
                    let same = ready.get(first).is_some_and(|first| first.says_the_same(one));
                    if !same {
                        return Err(id_conflict(&new.stream, &id));
                    }
                    planned.push(Planned::Again(first));
                    continue;
                }
                if let Some(there) = there(writing, stream.id, one, &id)? {
                    planned.push(Planned::There(Box::new(there)));
                    continue;
                }
                id
            }
            None => uuid_v7(now_ms())?,
        };
        stream.check(&new.stream, &new.kind, &one.value)?;
        let mut version = None;
        if let Some(key) = &new.key {
            if let Some(expected) = new.expected_version {
                let actual = match versions.get(&(stream.id, key.as_str())) {
                    Some(version) => *version,
                    None => count(writing, stream.group, stream.id, key, &planned, ready)?,
                };
                if actual != expected {
                    return Err(Error::new(
                        Kind::Conflict,
                        format!("key \"{key}\" of stream \"{}\" has version {actual}, not {expected}", new.stream),
                    )
                    .hint("Read the key's events again, decide anew, and append with the version read."));
                }
                versions.insert((stream.id, key.as_str()), actual);
                version = Some(actual + 1);
            }
            if let Some(version) = versions.get_mut(&(stream.id, key.as_str())) {
                *version += 1;
            }
        }
        planned.push(Planned::Store { stream: stream.id, version, id });
    }
    Ok(planned)
}

/// The event that bears an id already, provided that it says the same.
fn there(writing: &Writing<'_, '_>, stream: StreamId, new: &Ready, id: &Uuid) -> Result<Option<Appended>> {
    let Some((_, event)) = writing.tables.events_of_id(stream, id)?.into_iter().next() else { return Ok(None) };
    let same = event.kind == new.new.kind
        && event.key == new.new.key
        && event.data == new.data
        && without_actor(&event.meta) == without_actor(&new.meta);
    if !same {
        return Err(id_conflict(&new.new.stream, id));
    }
    Ok(Some(Appended { dot: event.dot, id: *id, hlc: event.hlc, version: None, duplicate: true }))
}

/// What PostgreSQL says of who appended is not part of what they said.
fn without_actor(meta: &str) -> Option<Value> {
    let mut value = serde_json::from_str::<Value>(meta).ok()?;
    if let Some(object) = value.as_object_mut() {
        object.remove("actor");
    }
    Some(value)
}

fn id_conflict(stream: &str, id: &Uuid) -> Error {
    Error::new(Kind::Conflict, format!("stream \"{stream}\" holds another event with id {id}"))
        .hint("An id is the idempotency key: appended again, it must bring the same type, key, data and meta.")
}

/// How many events a key has: each id counts once; those of this call that stand before count too.
fn count(
    writing: &Writing<'_, '_>,
    group: u32,
    stream: StreamId,
    key: &str,
    planned: &[Planned],
    ready: &[Ready],
) -> Result<u64> {
    let mut ids = std::collections::HashSet::new();
    let mut places = Vec::new();
    writing.tables.each_keyed(group, Some(tables::hash(key.as_bytes())), &mut |_, place| {
        places.push(place);
        Ok(true)
    })?;
    for place in places {
        let event = writing.tables.event(place)?.ok_or_else(|| Error::damaged("a key leads to no event"))?;
        if event.key.as_deref() == Some(key) {
            ids.insert(event.id);
        }
    }
    let before = planned.iter().zip(ready).filter(|(planned, ready)| {
        matches!(planned, Planned::Store { stream: of, .. } if *of == stream) && ready.new.key.as_deref() == Some(key)
    });
    Ok(ids.len() as u64 + before.count() as u64)
}

/// The events, with their places, stamps, contexts and chains.
fn events(writing: &mut Writing<'_, '_>, ready: &[Ready], planned: &[Planned]) -> Result<Vec<Event>> {
    let mut heads = BTreeMap::new();
    let mut events = Vec::with_capacity(ready.len());
    let mut xact = None;
    for (ready, planned) in ready.iter().zip(planned) {
        let Planned::Store { stream, id, .. } = planned else { continue };
        let lane = writing.own_lane(*stream)?;
        let head = *heads.entry(lane).or_insert_with(|| writing.head(&lane));
        let hlc = writing.stamp()?;
        let dot = Dot::new(lane.site, lane.stream, lane.lane, head.seq + 1);
        let mut event = Event {
            dot: dot.ok_or_else(|| Error::new(Kind::Storage, "the lane is full"))?,
            hlc,
            xact: *xact.get_or_insert(hlc),
            epoch: writing.memory.epoch,
            id: *id,
            kind: ready.new.kind.clone(),
            key: ready.new.key.clone(),
            data: ready.data.clone(),
            meta: ready.meta.clone(),
            salt: random()?,
            chain: head.chain,
        };
        event.chain = event.chain_after(&head.chain);
        heads.insert(lane, gundb_core::apply::LaneHead { seq: event.dot.seq, hlc, chain: event.chain });
        events.push(event);
    }
    record_span(writing, &events)?;
    Ok(events)
}

/// Where a transaction wrote to several streams, its greatest stamp.
fn record_span(writing: &mut Writing<'_, '_>, events: &[Event]) -> Result<()> {
    let (Some(first), Some(last)) = (events.first(), events.last()) else { return Ok(()) };
    if events.iter().any(|event| event.dot.stream != first.dot.stream) {
        writing.change();
        let id = first.transaction();
        writing.tables.span.insert(&tables::transaction_bytes(&id), last.hlc.to_bits())?;
    }
    Ok(())
}

impl Ready {
    fn says_the_same(&self, other: &Ready) -> bool {
        (&self.new.kind, &self.new.key, &self.data, &self.meta)
            == (&other.new.kind, &other.new.key, &other.data, &other.meta)
    }
}

/// Appends a definition to the system stream, within a transaction.
pub fn define(writing: &mut Writing<'_, '_>, kind: &str, key: &str, data: &Value) -> Result<()> {
    let (text, _) = canonical("definition", &data.to_string())?;
    let new = New {
        stream: gundb_core::sync::filter::SYSTEM_STREAM.to_owned(),
        kind: kind.to_owned(),
        key: Some(key.to_owned()),
        ..New::default()
    };
    let ready = Ready { new, data: text, meta: "{}".to_owned(), value: Value::Null };
    let planned =
        Planned::Store { stream: gundb_core::sync::filter::system_stream(), version: None, id: uuid_v7(now_ms())? };
    let events = events(writing, std::slice::from_ref(&ready), &[planned])?;
    writing.take_in(&events, Whose::Own { fresh: true })?;
    Ok(())
}

/// Appends the reverts of events, within a transaction: each an id, what it reverts, and its key.
pub fn append_reverts(writing: &mut Writing<'_, '_>, reverts: Vec<New>) -> Result<Vec<Appended>> {
    let ready = reverts.into_iter().map(Ready::of).collect::<Result<Vec<_>>>()?;
    append(writing, &ready, None)
}
