//! Reading: pages of whole transactions, in the order in which they were placed. `read` and `consume` share it.
//!
//! The merge of lanes is [`gundb_core::page`]; this file fetches the rows that it asks for, as the caller, so that
//! privileges and row security are those of a plain SELECT.

use crate::call::ret;
use crate::catalog::{self, StreamTable};
use crate::error::{Error, Result, internal, state};
use crate::scan::{As, stored_hlc};
use crate::spi::{self, Mode, Row, Spi, arg};
use crate::{admin, heads, sql_function, stream};
use gundb_core::page::{LaneKey, Merge, Row as Coordinates, Step};
use gundb_core::{Clock, Dot, Hlc};
use pgrx::pg_sys::{self, Datum};
use std::collections::VecDeque;

/// Rows fetched from a lane at once: a page's share, within reason.
fn chunk(rows_max: usize, lanes: usize) -> i64 {
    (rows_max / lanes.max(1)).clamp(64, 1024) as i64
}

/// What to read.
pub struct Query {
    pub streams: Vec<StreamTable>,
    pub after: Clock,
    pub rows_max: usize,
    pub types: Option<Vec<String>>,
    pub key: Option<String>,
}

/// One event: the columns that `read` and `consume` return, in order. Valid until the next one.
pub struct Found<'a> {
    pub values: &'a [Datum; COLUMNS],
    pub nulls: &'a [bool; COLUMNS],
}

/// What `read` returns: stream, dot, hlc, xact, id, type, key, data, meta, next.
pub const COLUMNS: usize = 10;

/// Columns of the statement in [`fetch`], counted from 0.
mod at {
    pub const SEQ: usize = 0;
    pub const HLC: usize = 1;
    pub const XACT: usize = 2;
    pub const COUNTS: usize = 3;
    pub const WIDE: usize = 4;
    pub const ID: usize = 5;
    pub const TYPE: usize = 6;
    pub const KEY: usize = 7;
    pub const DATA: usize = 8;
    pub const META: usize = 9;
    pub const COUNT: usize = 10;
}

/// A row that was fetched and not yet given.
struct Waiting {
    seq: u64,
    counts: bool,
    values: [Datum; at::COUNT],
    nulls: [bool; at::COUNT],
    row: Row,
}

/// A lane being read.
struct Cursor {
    table: usize,
    key: LaneKey,
    fetched: u64,
    head: u64,
    rows: VecDeque<Waiting>,
    /// The row given last: when one of another statement follows, its memory is free.
    given: Option<Row>,
}

/// The streams to read: one that is named, or all but the system stream that the caller may read.
pub fn streams(name: Option<&str>) -> Result<Vec<StreamTable>> {
    match name {
        Some(name) => {
            let table = admin::table_of(name)?;
            if !catalog::has_privilege(table, "SELECT")? {
                return Err(Error::new(state::PRIVILEGE, format!("permission denied for stream \"{name}\""))
                    .hint(format!("It takes SELECT on table {}.", stream::label(table)?))
                    .into());
            }
            Ok(vec![StreamTable { name: name.to_owned(), stream: gundb_core::StreamId::of_name(name), table }])
        }
        None => {
            let mut readable = Vec::new();
            for stream in catalog::streams()? {
                if stream.name != admin::SYSTEM_STREAM && catalog::has_privilege(stream.table, "SELECT")? {
                    readable.push(stream);
                }
            }
            Ok(readable)
        }
    }
}

/// Gives a page of events to `emit`, and returns the clock of what was read, what the filter left out included.
/// All of it is seen through the active snapshot.
pub fn page(query: &Query, mut emit: impl FnMut(&Found) -> Result<()>) -> Result<Clock> {
    let mut cursors = cursors(query)?;
    let mut merge = Merge::new(cursors.iter().map(|cursor| cursor.key), query.rows_max);
    let chunk = chunk(query.rows_max, cursors.len());
    let mut clock = query.after.clone();
    let names = query.streams.iter().map(|stream| ret::text(&stream.name)).collect::<Vec<_>>();
    spi::connect_as_caller(|spi| {
        loop {
            match merge.step() {
                Step::NeedRows(index) => {
                    let cursor = cursors.get_mut(index.0).ok_or_else(|| internal("the merge names an unknown lane"))?;
                    let (rows, at_end) = fetch(spi, query, cursor, chunk)?;
                    merge.supply(index, rows, at_end).map_err(|error| internal(error.to_string()))?;
                }
                Step::NeedSpan(transaction) => {
                    let greatest = catalog::span(spi, &transaction.site, transaction.xact)?;
                    merge.span(transaction, greatest);
                }
                Step::Transaction(placed) => {
                    for segment in &placed.segments {
                        let key = cursors[segment.lane.0].key;
                        clock.advance(&Dot { site: key.site, stream: key.stream, lane: key.lane, seq: segment.to_seq });
                    }
                    let next = ret::clock(&clock);
                    for segment in placed.segments {
                        let cursor = &mut cursors[segment.lane.0];
                        give(cursor, names[cursor.table], segment.rows, next, &mut emit)?;
                    }
                    spi::free(next);
                }
                Step::Full | Step::End => return Ok(()),
            }
        }
    })?;
    Ok(clock)
}

/// The lanes that hold something the clock does not cover.
fn cursors(query: &Query) -> Result<Vec<Cursor>> {
    let mut cursors = Vec::new();
    for (table, stream) in query.streams.iter().enumerate() {
        heads::each(Some(stream), As::OfSnapshot, |stream, site, lane, head| {
            let fetched = query.after.get(site, stream.stream, lane);
            if head.seq > fetched {
                let key = LaneKey { site, stream: stream.stream, lane };
                cursors.push(Cursor { table, key, fetched, head: head.seq, rows: VecDeque::new(), given: None });
            }
        })?;
    }
    Ok(cursors)
}

fn fetch(spi: &Spi, query: &Query, cursor: &mut Cursor, chunk: i64) -> Result<(Vec<Coordinates>, bool)> {
    let label = stream::label(query.streams[cursor.table].table)?;
    // A transaction can be wide only where several streams are read.
    let wide = if query.streams.len() > 1 {
        "EXISTS (SELECT FROM gundb.span s
                  WHERE s.site OPERATOR(pg_catalog.=) e.site AND s.xact OPERATOR(pg_catalog.=) e.xact)"
    } else {
        "false"
    };
    let statement = format!(
        "SELECT e.seq, e.hlc, e.xact,
                ($5 IS NULL OR e.type OPERATOR(pg_catalog.=) ANY ($5))
                    AND ($6 IS NULL OR coalesce(e.key OPERATOR(pg_catalog.=) $6, false)),
                {wide}, e.id, e.type, e.key, e.data, e.meta
           FROM ONLY {label} e
          WHERE e.site OPERATOR(pg_catalog.=) $1 AND e.lane OPERATOR(pg_catalog.=) $2
            AND e.seq OPERATOR(pg_catalog.>) $3 AND e.seq OPERATOR(pg_catalog.<=) $4
          ORDER BY e.seq USING OPERATOR(pg_catalog.<) LIMIT $7"
    );
    let types = catalog::text_array_arg(query.types.as_deref());
    let args = [
        arg::uuid(cursor.key.site.0.as_bytes()),
        catalog::lane_arg(cursor.key.lane)?,
        arg::int8(cursor.fetched as i64),
        arg::int8(cursor.head as i64),
        types,
        arg::text_or_null(query.key.as_deref()),
        arg::int8(chunk),
    ];
    let rows = spi.run(&statement, &args, Mode::Read, 0)?;
    let mut coordinates = Vec::with_capacity(rows.len());
    for row in rows.iter() {
        let (values, nulls) = row.all::<{ at::COUNT }>();
        if nulls[..=at::ID].contains(&true) {
            return Err(internal("an event has a NULL coordinate"));
        }
        let seq = values[at::SEQ].value() as u64;
        let counts = values[at::COUNTS].value() != 0;
        coordinates.push(Coordinates {
            seq,
            hlc: stored_hlc(values[at::HLC].value() as i64),
            xact: stored_hlc(values[at::XACT].value() as i64),
            wide: values[at::WIDE].value() != 0,
            counts,
        });
        cursor.rows.push_back(Waiting { seq, counts, values, nulls, row });
        cursor.fetched = seq;
    }
    // Row security may hide the lane's last rows, so a short chunk is an end too.
    let at_end = cursor.fetched >= cursor.head || (rows.len() as i64) < chunk;
    Ok((coordinates, at_end))
}

/// Gives the next rows of a lane, which are those of one transaction. `next` is the clock after it.
fn give(
    cursor: &mut Cursor,
    stream: Datum,
    rows: usize,
    next: Datum,
    emit: &mut impl FnMut(&Found) -> Result<()>,
) -> Result<()> {
    let key = cursor.key;
    for waiting in cursor.rows.drain(..rows) {
        if let Some(given) = cursor.given.replace(waiting.row).filter(|given| !given.stands_with(&waiting.row)) {
            spi::free_rows_of(given);
        }
        if !waiting.counts {
            continue;
        }
        let dot = Dot { site: key.site, stream: key.stream, lane: key.lane, seq: waiting.seq }.to_bytes();
        let (from, null) = (&waiting.values, &waiting.nulls);
        emit(&Found {
            values: &[
                stream,
                Datum::from(dot.as_ptr()),
                from[at::HLC],
                from[at::XACT],
                from[at::ID],
                from[at::TYPE],
                from[at::KEY],
                from[at::DATA],
                from[at::META],
                next,
            ],
            nulls: &[
                false,
                false,
                false,
                false,
                false,
                null[at::TYPE],
                null[at::KEY],
                null[at::DATA],
                null[at::META],
                false,
            ],
        })?;
    }
    Ok(())
}

/// A count of rows as an argument.
pub fn rows_max(value: Option<i32>) -> Result<usize> {
    match value {
        Some(value @ 1..) => Ok(value as usize),
        Some(value) => Err(Error::new(state::INVALID_PARAMETER, format!("max must be at least 1, not {value}")).into()),
        None => Ok(usize::MAX),
    }
}

sql_function! {
    /// `read(stream, after, max, types, key)`
    fn gundb_read(call) {
        let query = Query {
            streams: streams(call.text(0))?,
            after: call.clock(1)?.unwrap_or_default(),
            rows_max: rows_max(call.int4(2))?,
            types: call.text_array(3)?,
            key: call.text(4).map(str::to_owned),
        };
        let rows = call.rows();
        page(&query, |found| {
            rows.push_all(found.values, found.nulls);
            Ok(())
        })?;
        Ok(rows.done())
    }
}

sql_function! {
    /// `site_clock()`
    fn gundb_site_clock(_call) { Ok(ret::clock(&heads::clock(None, As::OfSnapshot)?)) }
}

sql_function! {
    /// `stream_rows(stream)`: exact, since lanes have no gaps.
    fn gundb_stream_rows(call) {
        let name = call.required(call.text(0), "stream")?;
        let mut rows = 0;
        heads::each(Some(&one(name)?), As::OfSnapshot, |_, _, _, head| rows += head.seq)?;
        Ok(ret::int8(rows as i64))
    }
}

sql_function! {
    /// `stream_rows_since(stream, hlc)`
    fn gundb_stream_rows_since(call) {
        let name = call.required(call.text(0), "stream")?;
        let since = call.required(call.hlc(1), "since")?;
        Ok(ret::int8(rows_since(&one(name)?, since)? as i64))
    }
}

sql_function! {
    /// `events_after(stream, clock)`
    fn gundb_events_after(call) {
        let clock = call.clock(1)?.unwrap_or_default();
        let mut behind = 0;
        let tables = match call.text(0) {
            Some(name) => stream::table_by_name(name)?.map(|_| one(name)).transpose()?.into_iter().collect(),
            None => catalog::streams()?.into_iter().filter(|s| s.name != admin::SYSTEM_STREAM).collect::<Vec<_>>(),
        };
        for table in &tables {
            heads::each(Some(table), As::OfSnapshot, |table, site, lane, head| {
                behind += head.seq.saturating_sub(clock.get(site, table.stream, lane));
            })?;
        }
        Ok(ret::int8(behind as i64))
    }
}

/// One stream, whoever may read it: for figures only.
fn one(name: &str) -> Result<StreamTable> {
    let table = admin::table_of(name)?;
    Ok(StreamTable { name: name.to_owned(), stream: gundb_core::StreamId::of_name(name), table })
}

/// Events stamped at `since` or later: each lane by halving.
fn rows_since(table: &StreamTable, since: Hlc) -> Result<u64> {
    let mut rows = 0;
    let mut lanes = Vec::new();
    heads::each(Some(table), As::OfSnapshot, |_, site, lane, head| lanes.push((site, lane, head)))?;
    for (site, lane, head) in lanes {
        // SAFETY: the relation is open for as long as the scan.
        unsafe {
            let relation = pg_sys::relation_open(table.table, pg_sys::AccessShareLock as i32);
            let known = stream::of_relation(relation)?;
            let before =
                crate::scan::Scan::begin(relation, known.primary_key, As::OfSnapshot).last_before(&site, lane, since);
            pg_sys::relation_close(relation, pg_sys::NoLock as i32);
            rows += head.seq - before.map_or(0, |before| before.seq);
        }
    }
    Ok(rows)
}

sql_function! {
    /// `stream_regclass(stream)`
    fn gundb_stream_regclass(call) { Ok(Datum::from(admin::table_of(call.required(call.text(0), "stream")?)?)) }
}
