//! Streams, event types, events and consumers of a database.

use std::fmt::Write as _;

use gundb_core::{Clock, StreamId};
use uuid::Uuid;

use crate::error::{Error, Kind, Result};
use crate::site::postgres::connection::{Connection, Record, Value, quoted};
use crate::site::{EventType, Found, Next, Page, ReadEvent, Reverted, StreamRow};
use crate::store::{Appended, New};

pub fn create_stream(connection: &Connection, name: &str, closed: bool) -> Result<bool> {
    let known = "SELECT (EXISTS (SELECT FROM gundb.stream_table t WHERE t.name = $1))::text";
    let is_known = connection.row(known, &[Value::Text(name)])?.is(0)?;
    let closed = Value::Text(if closed { "true" } else { "false" });
    connection
        .row("SELECT gundb.create_stream($1, closed => $2::boolean)::text", &[Value::Text(name), closed])
        .map(|_| !is_known)
}

pub fn streams(connection: &Connection) -> Result<Vec<StreamRow>> {
    let clock = super::figures::clock(connection)?;
    let statement = "SELECT s.name, s.closed::text,
                            (SELECT pg_catalog.count(*) FROM gundb.event_type e WHERE e.stream = s.name)::text
                       FROM gundb.stream s ORDER BY s.name COLLATE \"C\"";
    let row = |row: &Record| {
        let name = row.text(0)?;
        let id = StreamId::of_name(name);
        let held = clock.restrict_to_streams(|stream| stream == id);
        Ok(StreamRow {
            name: name.to_owned(),
            events: held.iter().map(|dot| dot.seq).sum(),
            lanes: held.len() as u64,
            closed: row.is(1)?,
            types: row.parsed(2)?,
        })
    };
    connection.rows(statement, &[])?.iter().map(row).collect()
}

pub fn stream_name(connection: &Connection, stream: StreamId) -> Result<Option<String>> {
    let known = connection.rows("SELECT name FROM gundb.stream_table", &[])?;
    let names = known.iter().map(|row| row.text(0).map(str::to_owned)).collect::<Result<Vec<_>>>()?;
    Ok(names.into_iter().find(|name| StreamId::of_name(name) == stream))
}

pub fn define_event(connection: &Connection, stream: &str, kind: &str, schema: Option<&str>) -> Result<u32> {
    let values = [Value::Text(stream), Value::Text(kind), Value::Maybe(schema)];
    connection.value("SELECT gundb.define_event($1, $2, $3::jsonb)::text", &values)
}

pub fn event_types(connection: &Connection, stream: &str) -> Result<Vec<EventType>> {
    // Says that there is no such stream, and what was perhaps meant.
    connection.row("SELECT gundb.stream_regclass($1)::text", &[Value::Text(stream)])?;
    let statement = "SELECT type, version::text, schema::text FROM gundb.event_type
                      WHERE stream = $1 ORDER BY type COLLATE \"C\"";
    let row = |row: &Record| {
        let schema = row.optional(2)?.map(str::to_owned);
        Ok(EventType { name: row.text(0)?.to_owned(), version: row.parsed(1)?, schema })
    };
    connection.rows(statement, &[Value::Text(stream)])?.iter().map(row).collect()
}

pub fn append(connection: &Connection, events: &[New], depends_on: Option<&Clock>) -> Result<Vec<Appended>> {
    let Some(first) = events.first() else { return Ok(Vec::new()) };
    if events.iter().any(|event| event.stream != first.stream) {
        return Err(Error::new(Kind::Invalid, "one call appends to one stream"));
    }
    let mut batch = String::from("[");
    for (at, event) in events.iter().enumerate() {
        if at > 0 {
            batch.push(',');
        }
        object(&mut batch, event)?;
    }
    batch.push(']');
    let depends_on = depends_on.map(Clock::to_string);
    let statement = "SELECT a.dot::text, a.id::text, a.hlc::text, a.version::text, a.duplicate::text
                       FROM gundb.append_batch($1, $2::jsonb, $3::gundb.clock) a";
    let values = [Value::Text(&first.stream), Value::Text(&batch), Value::Maybe(depends_on.as_deref())];
    let row = |row: &Record| {
        let version = row.optional(3)?.map(super::connection::parsed).transpose()?;
        Ok(Appended { dot: row.parsed(0)?, id: row.parsed(1)?, hlc: row.parsed(2)?, version, duplicate: row.is(4)? })
    };
    connection.rows(statement, &values)?.iter().map(row).collect()
}

/// An event as `append_batch` takes it. Its documents are checked first: what is no JSON must not reach into what stands around it.
fn object(batch: &mut String, event: &New) -> Result<()> {
    let (data, meta) = event.documents()?;
    let text = |text: &str| gundb_core::Json::String(text.to_owned()).to_string();
    let _ = write!(batch, "{{\"type\": {}, \"data\": {data}, \"meta\": {meta}", text(&event.kind));
    if let Some(key) = &event.key {
        let _ = write!(batch, ", \"key\": {}", text(key));
    }
    if let Some(id) = &event.id {
        let _ = write!(batch, ", \"id\": \"{id}\"");
    }
    if let Some(version) = event.expected_version {
        let _ = write!(batch, ", \"expected_version\": {version}");
    }
    batch.push('}');
    Ok(())
}

/// The columns of an event.
const EVENT: &str = "e.dot::text, e.hlc::text, e.id::text, e.type, e.key, e.data::text, e.meta::text";

fn event(row: &Record) -> Result<ReadEvent> {
    Ok(ReadEvent {
        dot: row.parsed(0)?,
        hlc: row.parsed(1)?,
        id: row.parsed(2)?,
        kind: row.text(3)?.to_owned(),
        key: row.optional(4)?.map(str::to_owned),
        data: row.text(5)?.to_owned(),
        meta: row.text(6)?.to_owned(),
    })
}

pub fn read(
    connection: &Connection,
    stream: &str,
    page: &Page,
    events_max: usize,
    found: Found<'_, ReadEvent>,
) -> Result<Next> {
    // The clock after the page is that of its last row; it is large, so no other row brings its own.
    let statement = format!(
        "SELECT {EVENT}, CASE WHEN pg_catalog.lead(true) OVER () IS NULL THEN e.next::text END
           FROM gundb.read($1, $2::gundb.clock, $3::integer, $4, $5) e"
    );
    let (after, max) = (page.after.to_string(), events_max.to_string());
    let values = [
        Value::Text(stream),
        Value::Text(&after),
        Value::Text(&max),
        Value::Texts(page.kind.as_ref().map(std::slice::from_ref)),
        Value::Maybe(page.key.as_deref()),
    ];
    let mut next = None;
    connection.each(&statement, &values, |row| {
        next = row.optional(7)?.map(super::connection::parsed).transpose()?;
        found(event(&row)?)
    })?;
    // A page that is not the last is not empty.
    Ok(Next { more: next.is_some(), after: next.unwrap_or_else(|| page.after.clone()) })
}

/// Has the connection be told when a stream has news.
pub fn listen(connection: &Connection, stream: &str) -> Result<()> {
    connection.run(&format!("LISTEN {}", quoted(&format!("gundb_{stream}"))))
}

pub fn consume(
    connection: &Connection,
    consumer: &str,
    stream: &str,
    events_max: usize,
    found: Found<'_, ReadEvent>,
) -> Result<Next> {
    // Until the position is said to move, the transaction stays open, and its end without a word takes it back.
    connection.run("BEGIN")?;
    let name = Value::Text(consumer);
    let known = connection.rows("SELECT c.stream FROM gundb.consumer c WHERE c.name = $1", &[name])?;
    match known.first() {
        None => {
            connection.row("SELECT gundb.create_consumer($1, $2)", &[name, Value::Text(stream)])?;
        }
        Some(row) => match row.optional(0)? {
            Some(of) if of == stream => {}
            of => {
                let of = of.map_or_else(|| "all streams".to_owned(), |of| format!("stream \"{of}\""));
                return Err(Error::new(Kind::Conflict, format!("consumer \"{consumer}\" reads {of}"))
                    .hint("Name another consumer for another stream."));
            }
        },
    }
    let max = events_max.to_string();
    let statement = format!("SELECT {EVENT} FROM gundb.consume($1, $2::integer) e");
    connection.each(&statement, &[name, Value::Text(&max)], |row| found(event(&row)?))?;
    // The database keeps the position itself.
    Ok(Next { after: Clock::new(), more: false })
}

pub fn revert(connection: &Connection, stream: &str, ids: &[Uuid]) -> Result<Vec<Reverted>> {
    let ids: Vec<String> = ids.iter().map(Uuid::to_string).collect();
    let statement = "SELECT r.id::text, r.dot::text FROM gundb.revert($1, $2::uuid[]) r ORDER BY r.id";
    let row = |row: &Record| Ok(Reverted { id: row.parsed(0)?, dot: row.parsed(1)? });
    connection.rows(statement, &[Value::Text(stream), Value::Texts(Some(&ids))])?.iter().map(row).collect()
}
