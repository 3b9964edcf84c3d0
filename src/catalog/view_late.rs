//! Events that have not come to a key of a view, since it was busy or its row could not be written. (They are taken off
//! the list in `view/late.rs`.)

use crate::attempt::Why;
use crate::catalog::argument::{dots, texts};
use crate::error::Result;
use crate::spi::{self, Mode, arg, as_owner};
use gundb_core::{Clock, Dot};
use pgrx::pg_sys::{self, Datum};
use std::collections::BTreeSet;

/// A key of a view that was busy, and an event that it lacks.
pub struct LateEvent {
    pub key: Vec<u8>,
    /// The key as people read it.
    pub shown: String,
    pub dot: Dot,
    /// Whether the event may be in the key, which must be folded again.
    pub again: bool,
    pub why: Why,
}

/// Files events for keys that were busy.
pub fn insert_late(view: i32, late: &[LateEvent]) -> Result<()> {
    let args = [
        arg::of(pg_sys::INT4OID, Some(view.into())),
        arg::array(pg_sys::BYTEAOID, late.iter().map(|one| Some(spi::varlena(&one.key)))),
        texts(late.iter().map(|one| Some(one.shown.as_str()))),
        dots(late.iter().map(|one| &one.dot))?,
        arg::array(pg_sys::BOOLOID, late.iter().map(|one| Some(Datum::from(one.again)))),
        texts(late.iter().map(|one| Some(one.why.reason.as_str()))),
        texts(late.iter().map(|one| Some(one.why.sqlstate.as_str()))),
    ];
    as_owner(|| {
        spi::connect(|spi| {
            spi.run(
                "INSERT INTO gundb.view_late (view, key, shown, dot, again, reason, sqlstate)
                 SELECT $1, key, shown, dot, again, reason, sqlstate
                   FROM unnest($2, $3, $4, $5, $6, $7) AS new (key, shown, dot, again, reason, sqlstate)",
                &args,
                Mode::Write,
                0,
            )
            .map(drop)
        })
    })
}

/// The keys of a view that lack events, through the active snapshot.
pub fn late_keys(view: i32) -> Result<BTreeSet<Vec<u8>>> {
    as_owner(|| {
        spi::connect(|spi| {
            let args = [arg::of(pg_sys::INT4OID, Some(view.into()))];
            let rows = spi.run("SELECT DISTINCT key FROM gundb.view_late WHERE view = $1", &args, Mode::Read, 0)?;
            Ok(rows.iter().filter_map(|row| row.bytes(1)).collect())
        })
    })
}

/// As [`late_keys`], of those that are to be tried now: what was refused is tried ever less often.
pub fn late_keys_due(view: i32) -> Result<BTreeSet<Vec<u8>>> {
    as_owner(|| {
        spi::connect(|spi| {
            let args = [arg::of(pg_sys::INT4OID, Some(view.into()))];
            let rows = spi.run(
                "SELECT key FROM gundb.view_late WHERE view = $1 GROUP BY key
                 HAVING min(tries) = 0 OR max(tried) < pg_catalog.now() - least(max(tries), 60) * interval '1 s'",
                &args,
                Mode::Read,
                0,
            )?;
            Ok(rows.iter().filter_map(|row| row.bytes(1)).collect())
        })
    })
}

/// Notes why a key could not be written.
pub fn note_late(view: i32, key: &[u8], why: &Why) -> Result<()> {
    as_owner(|| {
        spi::connect(|spi| {
            spi.run(
                "UPDATE gundb.view_late
                    SET reason = $3, sqlstate = $4, tries = tries + 1, tried = pg_catalog.clock_timestamp()
                  WHERE view = $1 AND key = $2",
                &[
                    arg::of(pg_sys::INT4OID, Some(view.into())),
                    arg::of(pg_sys::BYTEAOID, Some(spi::varlena(key))),
                    arg::text(&why.reason),
                    arg::text(&why.sqlstate),
                ],
                Mode::Write,
                0,
            )
            .map(drop)
        })
    })
}

/// The tables of the views of which some keys lack events, as of now.
pub fn late_views() -> Result<Vec<pg_sys::Oid>> {
    as_owner(|| {
        spi::with_latest_snapshot(|| {
            spi::connect(|spi| {
                let rows = spi.run(
                    "SELECT d.relation::oid FROM gundb.view_definition d
                      WHERE EXISTS (SELECT FROM gundb.view_late l WHERE l.view = d.number) ORDER BY d.number",
                    &[],
                    Mode::Read,
                    0,
                )?;
                Ok(rows.iter().filter_map(|row| row.oid(1)).collect())
            })
        })
    })
}

/// Whether a key of some view lacks an event that a clock covers, as of now.
pub fn lacks_any_of(clock: &Clock) -> Result<bool> {
    as_owner(|| {
        spi::with_latest_snapshot(|| {
            spi::connect(|spi| {
                let mut found = false;
                spi.each("SELECT DISTINCT dot FROM gundb.view_late", Mode::Read, |row| {
                    found = found || row.dot(1).is_some_and(|dot| clock.covers(&dot));
                    Ok(())
                })?;
                Ok(found)
            })
        })
    })
}
