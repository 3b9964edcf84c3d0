//! `append` and `append_batch`: an INSERT that gives back the event's coordinates, and three conditions on it: an
//! id (appended before: the first dot again), an expected version, a clock it depends on.
//!
//! The row is inserted as the caller, so privileges, row security and the user's triggers are those of a plain
//! INSERT. What the row was given is learnt from the stamp, not by RETURNING, which would need the right to read.

use crate::boundary::try_pg;
use crate::call::ret;
use crate::catalog;
use crate::error::{Error, Failure, Result, state};
use crate::scan::{As, Scan};
use crate::spi::{self, Mode, arg, as_table_owner};
use crate::transaction::{self, Stamped};
use crate::{admin, lane, run, sql_function, stamp, stream};
use gundb_core::{Clock, Dot, SiteId, StreamId};
use pgrx::pg_sys::{self, Datum, Oid};

/// One event to append. Datums live in the caller's memory.
struct New<'a> {
    kind: &'a str,
    data: Option<Datum>,
    key: Option<&'a str>,
    meta: Option<Datum>,
    id: Option<[u8; 16]>,
    expected_version: Option<i64>,
}

/// What came of it.
struct Appended {
    dot: Dot,
    id: [u8; 16],
    hlc: gundb_core::Hlc,
    version: Option<i64>,
    duplicate: bool,
}

impl Appended {
    fn columns(&self) -> [Option<Datum>; 5] {
        [
            Some(ret::dot(&self.dot)),
            Some(ret::uuid(&self.id)),
            Some(ret::hlc(self.hlc)),
            self.version.map(ret::int8),
            Some(ret::bool(self.duplicate)),
        ]
    }
}

sql_function! {
    /// `append(stream, type, data, key, meta, id, expected_version, depends_on)`
    fn gundb_append(call) {
        let name = call.required(call.text(0), "stream")?;
        let table = admin::table_of(name)?;
        if let Some(clock) = call.clock(7)? {
            check_dependencies(&clock)?;
        }
        let event = New {
            kind: call.required(call.text(1), "type")?,
            data: Some(call.required(call.arg(2), "data")?),
            key: call.text(3),
            meta: call.arg(4),
            id: call.uuid(5),
            expected_version: call.int8(6),
        };
        let appended = append(name, table, &event)?;
        call.row(&appended.columns())
    }
}

sql_function! {
    /// `append_batch(stream, events, depends_on)`
    fn gundb_append_batch(call) {
        let name = call.required(call.text(0), "stream")?;
        let events = call.required(call.arg(1), "events")?;
        let table = admin::table_of(name)?;
        if let Some(clock) = call.clock(2)? {
            check_dependencies(&clock)?;
        }
        let rows = call.rows();
        // The objects are read first: appending runs with the caller's search path, for the sake of the user's triggers.
        for (index, object) in catalog::objects(events)?.iter().enumerate() {
            let place = index + 1;
            let bad = |what: &str| -> Failure {
                Error::new(state::INVALID_PARAMETER, format!("event {place} of the batch {what}")).into()
            };
            if let Some(unknown) = &object.unknown {
                const KNOWN: [&str; 6] = ["type", "data", "key", "meta", "id", "expected_version"];
                let error = Error::new(
                    state::INVALID_PARAMETER,
                    format!("event {place} of the batch has an unknown property \"{unknown}\""),
                );
                return Err(match gundb_core::suggest::similar(unknown, KNOWN) {
                    Some(similar) => error.hint(format!("Did you mean \"{similar}\"?")),
                    None => error.hint(format!("Its properties are {}.", KNOWN.join(", "))),
                }
                .into());
            }
            if let Some(property) = &object.wrong_type {
                return Err(bad(&format!("has a \"{property}\" of the wrong type")));
            }
            let id = match object.id.as_deref().map(uuid::Uuid::parse_str) {
                Some(Err(_)) => return Err(bad("has an \"id\" that is no uuid")),
                Some(Ok(id)) => Some(*id.as_bytes()),
                None => None,
            };
            let expected_version = match object.expected_version.as_deref().map(str::parse::<i64>) {
                Some(Err(_)) => return Err(bad("has an \"expected_version\" that is no bigint")),
                Some(Ok(version)) => Some(version),
                None => None,
            };
            let event = New {
                kind: object.kind.as_deref().ok_or_else(|| bad("has no \"type\""))?,
                data: object.data,
                key: object.key.as_deref(),
                meta: object.meta,
                id,
                expected_version,
            };
            rows.push(&append(name, table, &event)?.columns());
        }
        Ok(rows.done())
    }
}

fn append(name: &str, table: Oid, event: &New) -> Result<Appended> {
    if name == admin::SYSTEM_STREAM {
        return Err(Error::new(state::WRONG_OBJECT, "the stream of definitions takes no events of its own")
            .hint("Declare with create_stream, define_event or set_site_name.")
            .into());
    }
    if let Some(expected) = event.expected_version {
        // A retry brings the version of its first try, which its own event has passed: the id comes first.
        if let Some(id) = event.id
            && let Some(first) = first_of_id(name, table, event, &id)?
        {
            flush()?;
            return Ok(first);
        }
        check_version(name, table, event.key, expected)?;
    }
    let Some(stream) = stream::of_table(table)? else { return Err(admin::undefined(name)?) };
    let args = [
        arg::text(event.kind),
        arg::text_or_null(event.key),
        arg::of(pg_sys::JSONBOID, event.data),
        arg::of(pg_sys::JSONBOID, event.meta),
        arg::of(pg_sys::UUIDOID, event.id.as_ref().map(|id| spi::fixed(id))),
    ];
    // Only a given id can be there already; a generated one needs no look.
    let statement = &stream.inserts[usize::from(event.id.is_some())];
    let (inserted, stamped) = transaction::capture(table, || {
        spi::connect_as_caller(|spi| Ok(spi.run(statement, &args, Mode::Write, 0)?.len()))
    })?;
    match (stamped.filter(|_| inserted), event.id) {
        (Some(Stamped { lane, seq, hlc, id }), _) => {
            let site = run::site()?;
            let version = event.expected_version.map(|expected| expected + 1);
            Ok(Appended { dot: Dot { site, stream: stream.id, lane, seq }, id, hlc, version, duplicate: false })
        }
        (None, Some(id)) => {
            let first = first_of_id(name, table, event, &id)?;
            let first = first.ok_or_else(|| if stamped.is_some() { not_inserted(name, &id) } else { dropped(name) })?;
            flush()?;
            Ok(first)
        }
        (None, None) => Err(dropped(name)),
    }
}

/// Makes durable what another session committed without waiting for the disk: the answer "it is there already" must
/// not be taken back by a crash. This transaction writes nothing, so its commit would flush nothing.
fn flush() -> Result<()> {
    unsafe extern "C-unwind" {
        fn XLogFlush(record: pg_sys::XLogRecPtr);
        fn GetXLogInsertRecPtr() -> pg_sys::XLogRecPtr;
    }
    // SAFETY: reads a setting.
    if unsafe { pg_sys::synchronous_commit } <= pg_sys::SyncCommitLevel::SYNCHRONOUS_COMMIT_OFF as i32 {
        return Ok(());
    }
    // SAFETY: flushes what has been written so far.
    unsafe {
        let end = end_of_log(GetXLogInsertRecPtr(), pg_sys::wal_segment_size as u64);
        try_pg(|| XLogFlush(end))
    }
}

/// Where the last record ends, given where the next begins: on a new page that is behind the page's header, which nobody
/// has written yet, and to flush up to there is an error.
fn end_of_log(next: u64, segment: u64) -> u64 {
    const SHORT_HEADER: u64 = 24;
    const LONG_HEADER: u64 = 40;
    let page = next % u64::from(pg_sys::XLOG_BLCKSZ);
    let header = if next % segment == page { LONG_HEADER } else { SHORT_HEADER };
    if page == header { next - page } else { next }
}

/// The event never came to be stamped.
fn dropped(name: &str) -> Failure {
    Error::new(state::WRONG_STATE, format!("a trigger on stream \"{name}\" dropped the event"))
        .hint("Look at the table's triggers and rules with \\d.")
        .into()
}

/// Nothing was inserted, and no event with the id is to be seen.
fn not_inserted(name: &str, id: &[u8; 16]) -> Failure {
    let id = uuid::Uuid::from_bytes(*id);
    // SAFETY: reads a setting of the transaction.
    if unsafe { pg_sys::XactIsoLevel } > pg_sys::XACT_READ_COMMITTED as i32 {
        return Error::new(b"40001", format!("the event with id {id} is not visible to this transaction"))
            .hint("Run the transaction again.")
            .into();
    }
    Error::new(state::UNIQUE, format!("the event with id {id} was not inserted into stream \"{name}\""))
        .detail("Another event conflicts with it in a unique index of the table's.")
        .hint("Look at the table's indexes with \\d.")
        .into()
}

/// The event that holds the id already, if there is one, provided that it says the same.
fn first_of_id(name: &str, table: Oid, event: &New, id: &[u8; 16]) -> Result<Option<Appended>> {
    let text = |datum: Option<Datum>| -> Result<String> {
        // SAFETY: a jsonb argument of this call.
        datum.map_or(Ok("{}".to_owned()), |datum| stamp::canonical(unsafe { spi::bytes_of(datum) }, usize::MAX))
    };
    let (data, meta) = (text(event.data)?, text(event.meta)?);
    let label = stream::label(table)?;
    as_table_owner(table, || {
        spi::with_latest_snapshot(|| {
            spi::connect(|spi| {
                // The actor that gundb puts into meta is not part of what the caller said.
                let rows = spi.run(
                    &format!(
                        "SELECT site, lane, seq, hlc, type = $2 AND key IS NOT DISTINCT FROM $3 AND data::text = $4
                                AND meta - 'actor' = $5::jsonb - 'actor'
                           FROM ONLY {label} WHERE id = $1 ORDER BY hlc, site, lane, seq"
                    ),
                    &[
                        arg::uuid(id),
                        arg::text(event.kind),
                        arg::text_or_null(event.key),
                        arg::text(&data),
                        arg::text(&meta),
                    ],
                    Mode::Read,
                    0,
                )?;
                let Some(row) = rows.first() else { return Ok(None) };
                if row.bool(5) != Some(true) {
                    return Err(Error::new(
                        state::ID_CONFLICT,
                        format!("stream \"{name}\" holds another event with id {}", uuid::Uuid::from_bytes(*id)),
                    )
                    .detail("An id is the idempotency key: appended again, it must bring the same type, key, data and meta.")
                    .hint("Give the new event an id of its own.")
                    .into());
                }
                let (Some(site), Some(lane), Some(seq), Some(hlc)) =
                    (row.uuid(1), row.lane(2), row.int8(3), row.hlc(4))
                else {
                    return Err(crate::error::internal("an event has a NULL coordinate"));
                };
                let site = SiteId(uuid::Uuid::from_bytes(site));
                let dot = Dot { site, stream: StreamId::of_name(name), lane, seq: seq as u64 };
                Ok(Some(Appended { dot, id: *id, hlc, version: None, duplicate: true }))
            })
        })
    })
}

/// Counts the key's events as of now, with everybody who counts them too locked out.
fn check_version(name: &str, table: Oid, key: Option<&str>, expected: i64) -> Result<()> {
    let Some(key) = key else {
        return Err(Error::new(state::INVALID_PARAMETER, "expected_version needs a key")
            .hint("It counts the events of one key; give the key, or leave expected_version out.")
            .into());
    };
    if expected < 0 {
        return Err(Error::new(state::INVALID_PARAMETER, "expected_version must not be negative")
            .hint("0 says that the key has no event yet.")
            .into());
    }
    lane::lock_key(table, key)?;
    let label = stream::label(table)?;
    let actual = as_table_owner(table, || {
        spi::with_latest_snapshot(|| {
            spi::connect(|spi| {
                let rows = spi.run(
                    &format!("SELECT count(DISTINCT id) FROM ONLY {label} WHERE key = $1"),
                    &[arg::text(key)],
                    Mode::Read,
                    1,
                )?;
                Ok(rows.first().and_then(|row| row.int8(1)).unwrap_or(0))
            })
        })
    })?;
    if actual != expected {
        return Err(Error::new(
            state::VERSION_CONFLICT,
            format!("key \"{key}\" of stream \"{name}\" has version {actual}, not {expected}"),
        )
        .detail(format!("expected {expected}, actual {actual}"))
        .hint("Read the key's events again, decide anew, and append with the version read.")
        .into());
    }
    Ok(())
}

/// Every dot of the clock must be held here.
fn check_dependencies(clock: &Clock) -> Result<()> {
    let streams = catalog::streams()?;
    for dot in clock.iter() {
        let held = match streams.iter().find(|stream| stream.stream == dot.stream) {
            None => false,
            // SAFETY: the relation is open for as long as the scan.
            Some(stream) => unsafe {
                let relation = pg_sys::try_relation_open(stream.table, pg_sys::AccessShareLock as i32);
                !relation.is_null() && {
                    let known = crate::stream::of_relation(relation)?;
                    let head = Scan::begin(relation, known.primary_key, As::OfNow).head(&dot.site, dot.lane);
                    pg_sys::relation_close(relation, pg_sys::NoLock as i32);
                    head.is_some_and(|head| head.seq >= dot.seq)
                }
            },
        };
        if !held {
            return Err(Error::new(
                state::MISSING_DEPENDENCY,
                "depends_on names an event that this site does not hold",
            )
            .detail(format!("Missing: {dot}"))
            .hint("Wait until it has arrived; gundb.site_clock() says what is held.")
            .into());
        }
    }
    Ok(())
}
