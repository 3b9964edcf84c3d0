//! What is filed under a view's number: the states of its keys, what is pending, what was skipped. (The states that an
//! append waits for are locked and written in `view/states.rs`.)

use crate::catalog::extension;
use crate::error::{Result, internal};
use crate::spi::{self, Mode, Row, arg, as_owner};
use gundb_core::Dot;
use pgrx::pg_sys::{self, Datum};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};

fn number_arg(number: i32) -> spi::Arg {
    arg::of(pg_sys::INT4OID, Some(number.into()))
}

/// Makes empty states for keys, which ascend, where there are none. Whoever is making one is waited for.
pub fn make_states(number: i32, keys: &[&[u8]]) -> Result<()> {
    as_owner(|| {
        spi::connect(|spi| {
            let args = [number_arg(number), arg::of(pg_sys::BYTEAARRAYOID, Some(spi::bytea_array(keys)))];
            spi.run(
                "INSERT INTO gundb.view_state (view, key, state)
                 SELECT $1, key, '' FROM pg_catalog.unnest($2) AS key ON CONFLICT DO NOTHING",
                &args,
                Mode::Write,
                0,
            )
            .map(drop)
        })
    })
}

/// Stores the states of keys that have none.
pub fn insert_states(number: i32, keys: &[&[u8]], states: &[Vec<u8>]) -> Result<()> {
    let states = states.iter().map(Vec::as_slice).collect::<Vec<_>>();
    as_owner(|| {
        spi::connect(|spi| {
            let args = [
                number_arg(number),
                arg::of(pg_sys::BYTEAARRAYOID, Some(spi::bytea_array(keys))),
                arg::of(pg_sys::BYTEAARRAYOID, Some(spi::bytea_array(&states))),
            ];
            spi.run(
                "INSERT INTO gundb.view_state (view, key, state) SELECT $1, key, state
                   FROM unnest($2, $3) AS new (key, state)",
                &args,
                Mode::Write,
                0,
            )
            .map(drop)
        })
    })
}

/// The states of all keys, through the active snapshot.
pub fn all_states(number: i32) -> Result<HashMap<Vec<u8>, Vec<u8>>> {
    as_owner(|| {
        spi::connect(|spi| {
            let statement = "SELECT key, state FROM gundb.view_state WHERE view = $1";
            let rows = spi.run(statement, &[number_arg(number)], Mode::Read, 0)?;
            Ok(rows.iter().filter_map(|row| row.bytes(1).zip(row.bytes(2))).collect())
        })
    })
}

/// Some states after a key, in order of their keys: no more than `limit`.
pub fn states_after(number: i32, key: &[u8], limit: usize) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let args = [number_arg(number), arg::of(pg_sys::BYTEAOID, Some(spi::varlena(key))), arg::int8(limit as i64)];
    as_owner(|| {
        spi::connect(|spi| {
            let statement =
                "SELECT key, state FROM gundb.view_state WHERE view = $1 AND key > $2 ORDER BY key LIMIT $3";
            let rows = spi.run(statement, &args, Mode::Latest, 0)?;
            Ok(rows.iter().filter_map(|row| row.bytes(1).zip(row.bytes(2))).collect())
        })
    })
}

/// The states of keys.
pub fn states_of(number: i32, keys: &[&[u8]]) -> Result<HashMap<Vec<u8>, Vec<u8>>> {
    as_owner(|| {
        spi::connect(|spi| {
            let args = [number_arg(number), arg::of(pg_sys::BYTEAARRAYOID, Some(spi::bytea_array(keys)))];
            let statement = "SELECT s.key, s.state FROM pg_catalog.unnest($2) AS wanted (key)
                               JOIN gundb.view_state s ON s.view = $1 AND s.key = wanted.key";
            let rows = spi.run(statement, &args, Mode::Latest, 0)?;
            Ok(rows.iter().filter_map(|row| row.bytes(1).zip(row.bytes(2))).collect())
        })
    })
}

/// Why a view could not take an event.
pub struct Pending {
    pub key: Option<String>,
    pub dot: Dot,
    pub reason: String,
    pub sqlstate: Cow<'static, str>,
}

/// When an event was first filed as pending, and how often it was tried.
pub struct Tried {
    since: Datum,
    tries: i32,
}

/// Files events that a view could not fold, or whose rows its table refused; those that were pending before keep the time
/// of their first try.
pub fn insert_pending(number: i32, pending: &[Pending], refused: bool, before: &BTreeMap<Dot, Tried>) -> Result<()> {
    if pending.is_empty() {
        return Ok(());
    }
    let dot_type = extension()?.dot_type;
    as_owner(|| {
        spi::connect(|spi| {
            for one in pending {
                let tried = before.get(&one.dot);
                let args = [
                    number_arg(number),
                    arg::text_or_null(one.key.as_deref()),
                    arg::of(dot_type, Some(crate::call::ret::dot(&one.dot))),
                    arg::text(&one.reason),
                    arg::text(&one.sqlstate),
                    arg::bool(refused),
                    arg::of(pg_sys::TIMESTAMPTZOID, tried.map(|tried| tried.since)),
                    arg::of(pg_sys::INT4OID, Some(tried.map_or(1, |tried| tried.tries + 1).into())),
                ];
                spi.run(
                    "INSERT INTO gundb.view_pending (view, key, dot, reason, sqlstate, refused, since, tries)
                     VALUES ($1, $2, $3, $4, $5, $6, coalesce($7, pg_catalog.now()), $8)",
                    &args,
                    Mode::Write,
                    0,
                )?;
            }
            Ok(())
        })
    })
}

/// The events that a view could not take.
pub fn pending_dots(number: i32, mode: Mode) -> Result<Vec<Dot>> {
    as_owner(|| {
        spi::connect(|spi| {
            let rows = spi.run("SELECT dot FROM gundb.view_pending WHERE view = $1", &[number_arg(number)], mode, 0)?;
            rows.iter().map(dot_of).collect()
        })
    })
}

/// The events whose rows a view's table refused.
pub fn refused_dots(number: i32) -> Result<BTreeSet<Dot>> {
    as_owner(|| {
        spi::connect(|spi| {
            let statement = "SELECT dot FROM gundb.view_pending WHERE view = $1 AND refused";
            let rows = spi.run(statement, &[number_arg(number)], Mode::Latest, 0)?;
            rows.iter().map(dot_of).collect()
        })
    })
}

/// Files the events whose rows a view's table refused under another number.
pub fn move_refused(from: i32, to: i32) -> Result<()> {
    as_owner(|| {
        spi::connect(|spi| {
            let statement = "UPDATE gundb.view_pending SET view = $2 WHERE view = $1 AND refused";
            spi.run(statement, &[number_arg(from), number_arg(to)], Mode::Latest, 0).map(drop)
        })
    })
}

/// Takes events off a view's list of those that it could not take.
pub fn forget_pending<'a>(number: i32, dots: impl IntoIterator<Item = &'a Dot>) -> Result<()> {
    let mut dots = dots.into_iter().peekable();
    if dots.peek().is_none() {
        return Ok(());
    }
    let dot_type = extension()?.dot_type;
    as_owner(|| {
        spi::connect(|spi| {
            for dot in dots {
                let args = [number_arg(number), arg::of(dot_type, Some(crate::call::ret::dot(dot)))];
                spi.run("DELETE FROM gundb.view_pending WHERE view = $1 AND dot = $2", &args, Mode::Latest, 0)?;
            }
            Ok(())
        })
    })
}

/// Says that a stream with views holds reverts.
pub fn note_reverts(stream: &str) -> Result<()> {
    if holds_reverts(stream)? {
        return Ok(());
    }
    as_owner(|| {
        spi::connect(|spi| {
            let args = [arg::text(stream)];
            spi.run("INSERT INTO gundb.reverting (stream) VALUES ($1)", &args, Mode::Write, 0).map(drop)
        })
    })
}

/// Whether a stream with views holds reverts, as of now.
pub fn holds_reverts(stream: &str) -> Result<bool> {
    as_owner(|| {
        spi::with_latest_snapshot(|| {
            spi::connect(|spi| {
                let statement = "SELECT EXISTS (SELECT FROM gundb.reverting WHERE stream = $1)";
                let rows = spi.run(statement, &[arg::text(stream)], Mode::Read, 1)?;
                Ok(rows.first().and_then(|row| row.bool(1)) == Some(true))
            })
        })
    })
}

/// Takes a view's pending events off the list, to be tried again.
pub fn take_pending(number: i32) -> Result<BTreeMap<Dot, Tried>> {
    as_owner(|| {
        spi::connect(|spi| {
            let statement = "DELETE FROM gundb.view_pending WHERE view = $1 RETURNING dot, since, tries";
            let rows = spi.run(statement, &[number_arg(number)], Mode::Write, 0)?;
            rows.iter()
                .map(|row| {
                    let since = row.datum(2).ok_or_else(|| internal("gundb.view_pending holds a NULL"))?;
                    Ok((dot_of(row)?, Tried { since, tries: row.int4(3).unwrap_or(0) }))
                })
                .collect()
        })
    })
}

fn dot_of(row: Row) -> Result<Dot> {
    let datum = row.datum(1).ok_or_else(|| internal("gundb.view_pending holds a NULL"))?;
    // SAFETY: a column of type gundb.dot, 48 bytes.
    let bytes = unsafe { *datum.cast_mut_ptr::<[u8; 48]>() };
    Dot::from_bytes(&bytes).map_err(|error| internal(format!("a stored dot is damaged: {error}")))
}

/// Counts events without a key, under the number of a lane that this transaction holds (or while appenders are locked
/// out), or under a negative number that stands for the site whose events are applied.
pub fn add_skipped(number: i32, lane: i32, events: i64) -> Result<()> {
    as_owner(|| {
        spi::connect(|spi| {
            let args = [number_arg(number), arg::of(pg_sys::INT4OID, Some(lane.into())), arg::int8(events)];
            spi.run(
                "INSERT INTO gundb.view_skipped AS s (view, lane, events) VALUES ($1, $2, $3)
                 ON CONFLICT (view, lane) DO UPDATE SET events = s.events + excluded.events",
                &args,
                Mode::Write,
                0,
            )
            .map(drop)
        })
    })
}
