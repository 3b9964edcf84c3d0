//! What is defined: streams, event types and their schemas, names of sites. All of it stands as events in the system stream; this is what they say together.
//!
//! What must always hold here: the same as in PostgreSQL (`src/catalog/definitions.rs`): of a type the highest version counts, then the last in total order;
//! only what this site wrote counts, and what came from peers that may define.

use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock};

use gundb_core::fold::REVERTED;
use gundb_core::schema::Schema;
use gundb_core::suggest::similar;
use gundb_core::sync::filter::{SYSTEM_STREAM, system_stream};
use gundb_core::{Event, SiteId, StreamId};
use serde_json::Value;

use crate::error::{Error, Kind, Result};
use crate::store::look::Look;

pub const STREAM_DECLARED: &str = "StreamDeclared";
pub const EVENT_DEFINED: &str = "EventDefined";
pub const SITE_NAMED: &str = "SiteNamed";

/// What is defined.
#[derive(Debug, Default)]
pub struct Definitions {
    /// The streams that are kept here, by name.
    pub streams: BTreeMap<String, Stream>,
    /// The streams that were declared, by id: also those whose declaration does not count here.
    pub known: BTreeMap<StreamId, String>,
    /// The names that sites were given last.
    pub sites: BTreeMap<SiteId, String>,
    /// The streams that were declared by those who may, and are not kept here yet.
    pub missing: Vec<String>,
}

/// A stream.
#[derive(Debug)]
pub struct Stream {
    pub id: StreamId,
    /// By which its events are found by their keys.
    pub group: u32,
    /// Whether it takes only types that are defined.
    pub closed: bool,
    pub types: BTreeMap<String, Type>,
}

/// The newest version of an event type.
#[derive(Debug)]
pub struct Type {
    pub version: u32,
    /// Canonical text; None: any data fits.
    pub schema: Option<String>,
    /// The schemas of versions that count no more.
    pub earlier: Vec<Option<String>>,
    /// Compiled when it is first needed; one check at a time.
    compiled: OnceLock<Result<Mutex<Schema>>>,
}

impl Definitions {
    /// Reads the system stream. O(its events).
    pub fn read(look: &impl Look, own: SiteId) -> Result<Definitions> {
        let mut definitions = Definitions::default();
        for (id, group, name) in look.streams()? {
            definitions.known.insert(id, name.clone());
            definitions.streams.insert(name, Stream { id, group, closed: false, types: BTreeMap::new() });
        }
        let mut events = Vec::new();
        for (number, head) in look.lanes(Some(system_stream()))? {
            let counts = head.lane.site == own || look.is_definer(&head.lane.site.0)?;
            look.each_event((number, &head.lane), (1, head.last.seq), &mut |_, event| {
                events.push((counts, event));
                Ok(true)
            })?;
        }
        events.sort_by(|(_, a), (_, b)| Event::cmp_total(a, b));
        for (counts, event) in &events {
            definitions.take(event, *counts);
        }
        Ok(definitions)
    }

    fn take(&mut self, event: &Event, counts: bool) {
        let Some(key) = event.key.as_deref() else { return };
        // What another version of this program wrote may say more; what says less says nothing.
        let Ok(data) = serde_json::from_str::<Value>(&event.data) else { return };
        let text = |name: &str| data.get(name).and_then(Value::as_str);
        match event.kind.as_str() {
            STREAM_DECLARED => {
                self.known.entry(StreamId::of_name(key)).or_insert_with(|| key.to_owned());
                if !counts {
                    return;
                }
                match self.streams.get_mut(key) {
                    Some(stream) => stream.closed = data.get("closed").and_then(Value::as_bool).unwrap_or(false),
                    None if !self.missing.iter().any(|name| name == key) => self.missing.push(key.to_owned()),
                    None => {}
                }
            }
            EVENT_DEFINED if counts => {
                let version =
                    data.get("version").and_then(Value::as_u64).and_then(|version| u32::try_from(version).ok());
                let (Some(kind), Some(version)) = (text("type"), version) else { return };
                let Some(stream) = self.streams.get_mut(key) else { return };
                let schema = data.get("schema").filter(|schema| !schema.is_null()).map(Value::to_string);
                if let Some(known) = stream.types.get_mut(kind).filter(|known| known.version > version) {
                    known.earlier.push(schema);
                    return;
                }
                let mut earlier = Vec::new();
                if let Some(known) = stream.types.remove(kind) {
                    earlier = known.earlier;
                    earlier.push(known.schema);
                }
                stream.types.insert(kind.to_owned(), Type { version, schema, earlier, compiled: OnceLock::new() });
            }
            SITE_NAMED => {
                if let (Ok(site), Some(name)) = (key.parse(), text("name")) {
                    self.sites.insert(site, name.to_owned());
                }
            }
            _ => {}
        }
    }

    /// A stream by its name.
    pub fn stream(&self, name: &str) -> Result<&Stream> {
        self.streams.get(name).ok_or_else(|| {
            let error = Error::new(Kind::NotFound, format!("there is no stream \"{name}\""));
            match similar(name, self.streams.keys().map(String::as_str)) {
                Some(similar) => error.hint(format!("Did you mean \"{similar}\"?")),
                None => error.hint("Declare it: gundb stream create NAME"),
            }
        })
    }

    /// A stream that its users write to and read from.
    pub fn users_stream(&self, name: &str) -> Result<&Stream> {
        if name == SYSTEM_STREAM {
            return Err(Error::new(Kind::Invalid, "the stream of definitions takes no events of its own")
                .hint("Declare with: gundb stream create, gundb event define, gundb init --name"));
        }
        self.stream(name)
    }

    /// The name of a stream.
    pub fn name(&self, stream: StreamId) -> Option<&str> {
        self.known.get(&stream).map(String::as_str)
    }

    /// The name of a site: the uuid's first digits, where it was given none.
    pub fn site_name(&self, site: SiteId) -> String {
        self.sites.get(&site).cloned().unwrap_or_else(|| site.to_string())
    }
}

impl Stream {
    /// Checks data, as text and as what it says, against the schema of its type.
    pub fn check(&self, stream: &str, kind: &str, data: &Value) -> Result<()> {
        let Some(defined) = self.types.get(kind) else {
            if !self.closed || kind == REVERTED {
                return Ok(());
            }
            let error = Error::new(Kind::Invalid, format!("stream \"{stream}\" has no event type \"{kind}\""));
            return Err(match similar(kind, self.types.keys().map(String::as_str)) {
                Some(similar) => error.hint(format!("Did you mean \"{similar}\"?")),
                None => {
                    error.hint(format!("The stream is closed. Define the type: gundb event define {stream} {kind}"))
                }
            });
        };
        let Some(schema) = defined.compiled(kind)? else { return Ok(()) };
        // A check that panicked left nothing behind in the schema.
        let schema = schema.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        schema.validate(data).map_err(|why| {
            Error::new(Kind::Invalid, format!("the data does not fit event type \"{kind}\": {why}")).hint(format!(
                "The type's version {} says what fits: gundb event show {stream} {kind}",
                defined.version
            ))
        })
    }
}

impl Type {
    fn compiled(&self, kind: &str) -> Result<Option<&Mutex<Schema>>> {
        let Some(text) = &self.schema else { return Ok(None) };
        let compile = || {
            Schema::compile(text).map(Mutex::new).map_err(|why| {
                Error::new(Kind::Invalid, format!("the schema of event type \"{kind}\" cannot be used: {why}"))
                    .hint("Define the type anew: gundb event define")
            })
        };
        self.compiled.get_or_init(compile).as_ref().map(Some).map_err(Clone::clone)
    }
}
