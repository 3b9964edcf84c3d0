//! Streams, event types and the site's name: what this site defines, as events of the system stream.

use std::str::FromStr;

use gundb_core::schema::Schema;
use gundb_core::{Json, Limits, StreamName};
use serde_json::json;

use crate::error::{Error, Kind, Result};
use crate::store::definitions::{EVENT_DEFINED, SITE_NAMED, STREAM_DECLARED};
use crate::store::writing::Writing;
use crate::store::{Edge, append, apply};

/// Bytes of a schema.
const SCHEMA_BYTES_MAX: usize = 1 << 20;
/// Bytes of a site's name.
const NAME_BYTES_MAX: usize = 255;

impl Edge {
    /// Declares a stream. One that is there stays, and becomes closed, or open, as it is said now. Says whether something was new.
    pub fn create_stream(&self, name: &str, closed: bool) -> Result<bool> {
        let name = StreamName::from_str(name).map_err(|why| Error::new(Kind::Invalid, why.to_string()))?;
        self.writer.call(false, move |writing| {
            let name = name.as_str();
            // Whether the stream itself is defined is not for users to say.
            if name == gundb_core::sync::filter::SYSTEM_STREAM {
                writing.memory.definitions.users_stream(name)?;
            }
            if writing.memory.definitions.streams.get(name).is_some_and(|stream| stream.closed == closed) {
                return Ok(false);
            }
            append::define(writing, STREAM_DECLARED, name, &json!({ "name": name, "closed": closed }))?;
            // Its events may have come before.
            if writing.memory.has_pending {
                apply::retry(writing, false)?;
            }
            Ok(true)
        })
    }

    /// Defines an event type, or a new version of it. Says the version; the same schema again gives none.
    pub fn define_event(&self, stream: &str, kind: &str, schema: Option<&str>) -> Result<u32> {
        let schema = schema.map(canonical_schema).transpose()?;
        if kind.is_empty() || kind.len() > append::BOUNDS.0 {
            return Err(Error::new(Kind::Invalid, format!("an event's type has 1 to {} bytes", append::BOUNDS.0)));
        }
        let (stream, kind) = (stream.to_owned(), kind.to_owned());
        self.writer.call(false, move |writing| {
            let known = writing.memory.definitions.users_stream(&stream)?.types.get(&kind);
            let mut version = 1;
            if let Some(known) = known {
                if same_schema(known.schema.as_deref(), schema.as_deref()) {
                    return Ok(known.version);
                }
                version = known.version + 1;
            }
            let parsed = schema.as_deref().map(serde_json::from_str::<serde_json::Value>).transpose();
            let parsed = parsed.map_err(|why| Error::new(Kind::Invalid, format!("the schema is not JSON: {why}")))?;
            let data = json!({ "stream": stream, "type": kind, "version": version, "schema": parsed });
            append::define(writing, EVENT_DEFINED, &stream, &data)?;
            Ok(version)
        })
    }

    /// Gives this site a name.
    pub fn name_site(&self, name: &str) -> Result<()> {
        if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
            let message = format!("a site's name has 1 to {NAME_BYTES_MAX} bytes, and no control characters");
            return Err(Error::new(Kind::Invalid, message));
        }
        let name = name.to_owned();
        self.writer.call(false, move |writing| {
            let site = writing.memory.site;
            if writing.memory.definitions.sites.get(&site) == Some(&name) {
                return Ok(());
            }
            let data = json!({ "site": site.to_string(), "name": name });
            append::define(writing, SITE_NAMED, &site.to_string(), &data)
        })
    }

    /// Makes a copy of a store a site of its own, under this name. Events keep the site that wrote them.
    pub fn new_identity(&self, name: &str) -> Result<()> {
        self.writer.call(true, |writing| {
            let site = uuid::Builder::from_random_bytes(crate::store::writing::random()?).into_uuid();
            writing.change();
            writing.tables.meta.insert(crate::store::words::SITE, site.as_bytes().as_slice())?;
            writing.memory.site = gundb_core::SiteId(site);
            (writing.memory.run, writing.memory.epoch) = (None, 0);
            // What the site that it was defined still counts.
            keep_definers(writing)
        })?;
        self.name_site(name)
    }
}

/// Whatever was defined here stays so.
fn keep_definers(writing: &mut Writing<'_, '_>) -> Result<()> {
    let system = gundb_core::sync::filter::system_stream();
    let sites: Vec<_> =
        writing.memory.lanes.keys().filter(|lane| lane.stream == system).map(|lane| lane.site).collect();
    for site in sites {
        writing.tables.definer.insert(site.0.as_bytes(), ())?;
    }
    writing.learn()
}

fn canonical_schema(text: &str) -> Result<String> {
    let invalid = |why: String| Error::new(Kind::Invalid, format!("the schema cannot be used: {why}"));
    let limits = Limits { bytes: SCHEMA_BYTES_MAX, ..Limits::default() };
    let json = Json::parse(text, limits).map_err(|why| invalid(why.to_string()))?;
    Schema::compile(text).map_err(|why| invalid(why.to_string()).hint("JSON Schema, draft 2020-12: docs/errors.md"))?;
    json.to_text(SCHEMA_BYTES_MAX).map_err(|why| invalid(why.to_string()))
}

/// Whether two schemas are the same document.
pub fn same_schema(a: Option<&str>, b: Option<&str>) -> bool {
    let canonical = |text: &str| Json::parse(text, Limits::default()).ok();
    a.map(canonical) == b.map(canonical)
}
