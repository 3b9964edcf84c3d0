//! Runs and epochs of this site, the clock's mark, and the spans of transactions over several streams.

use crate::catalog::{clock_arg, hlc_arg};
use crate::error::{Result, internal};
use crate::scan::{stored_hlc, to_stored};
use crate::shared::Running;
use crate::spi::{self, Mode, Row, Spi, arg, as_owner};
use gundb_core::{Clock, Hlc, Run, SiteId, StreamId};
use std::collections::BTreeSet;
use uuid::Uuid;

/// The last run of this site that the database knows: the site and the run.
pub fn last_run() -> Result<Option<(SiteId, Run)>> {
    as_owner(|| {
        spi::with_latest_snapshot(|| {
            spi::connect(|spi| {
                let rows =
                    spi.run("SELECT site, run FROM gundb.own_run ORDER BY started DESC LIMIT 1", &[], Mode::Read, 1)?;
                let Some(row) = rows.first() else { return Ok(None) };
                let (Some(site), Some(run)) = (row.uuid(1), row.int8(2).and_then(|run| Run::new(run as u64))) else {
                    return Err(internal("gundb.own_run holds a damaged row"));
                };
                Ok(Some((SiteId(Uuid::from_bytes(site)), run)))
            })
        })
    })
}

/// Writes the run's record and its epoch 0. Copies are harmless: all are equal, and readers take one.
///
/// Without a clock, the epoch is left to a later transaction.
pub fn record_run(running: &Running, clock: Option<&Clock>) -> Result<()> {
    as_owner(|| {
        let started = hlc_arg(running.started)?;
        spi::connect(|spi| {
            spi.run(
                "INSERT INTO gundb.own_run (site, run, previous, started) VALUES ($1, $2, nullif($3, 0), $4)",
                &[arg::uuid(&running.site), arg::int8(running.run as i64), arg::int8(running.previous as i64), started],
                Mode::Write,
                0,
            )?;
            let Some(clock) = clock else { return Ok(()) };
            let clock = clock_arg(clock)?;
            spi.run(
                "INSERT INTO gundb.epoch (site, run, number, clock, since) VALUES ($1, $2, 0, $3, $4)",
                &[arg::uuid(&running.site), arg::int8(running.run as i64), clock, started],
                Mode::Write,
                0,
            )?;
            Ok(())
        })
    })
}

/// The clock that an epoch stands for, as this transaction sees it.
pub fn epoch_clock(site: &SiteId, run: Run, number: u64) -> Result<Option<Clock>> {
    as_owner(|| {
        spi::connect(|spi| {
            let rows = spi.run(
                "SELECT clock FROM gundb.epoch WHERE site = $1 AND run = $2 AND number = $3 LIMIT 1",
                &[arg::uuid(site.0.as_bytes()), arg::int8(run.number() as i64), arg::int8(number as i64)],
                Mode::Read,
                1,
            )?;
            rows.first().map_or(Ok(None), |row| row.clock(1))
        })
    })
}

/// The runs of this site, as this transaction sees them.
pub fn own_runs() -> Result<BTreeSet<(SiteId, Run)>> {
    as_owner(|| {
        spi::connect(|spi| {
            let rows = spi.run("SELECT DISTINCT site, run FROM gundb.own_run", &[], Mode::Read, 0)?;
            let run = |row: Row| {
                let run = row.int8(2).and_then(|run| Run::new(run as u64));
                row.uuid(1).zip(run).map(|(site, run)| (SiteId(Uuid::from_bytes(site)), run))
            };
            Ok(rows.iter().filter_map(run).collect())
        })
    })
}

/// The clock of the last epoch of this site's that had begun before a stamp, as this transaction sees it.
pub fn epoch_clock_before(before: Hlc) -> Result<Option<Clock>> {
    as_owner(|| {
        let before = hlc_arg(before)?;
        spi::connect(|spi| {
            let rows = spi.run(
                "SELECT clock FROM gundb.epoch WHERE since < $1 ORDER BY since DESC, number DESC LIMIT 1",
                &[before],
                Mode::Read,
                1,
            )?;
            rows.first().map_or(Ok(None), |row| row.clock(1))
        })
    })
}

/// The clock of the greatest epoch of the run, as this transaction sees it.
pub fn last_epoch(running: &Running) -> Result<Option<Clock>> {
    as_owner(|| {
        spi::connect(|spi| {
            let rows = spi.run(
                "SELECT clock FROM gundb.epoch WHERE site = $1 AND run = $2 ORDER BY number DESC LIMIT 1",
                &[arg::uuid(&running.site), arg::int8(running.run as i64)],
                Mode::Read,
                1,
            )?;
            rows.first().map_or(Ok(None), |row| row.clock(1))
        })
    })
}

/// Writes an epoch of the run.
pub fn record_epoch(running: &Running, number: u64, clock: &Clock, since: Hlc) -> Result<()> {
    let (clock, since) = (clock_arg(clock)?, hlc_arg(since)?);
    as_owner(|| {
        spi::connect(|spi| {
            let run = arg::int8(running.run as i64);
            spi.run(
                "INSERT INTO gundb.epoch (site, run, number, clock, since) VALUES ($1, $2, $3, $4, $5)",
                &[arg::uuid(&running.site), run, arg::int8(number as i64), clock, since],
                Mode::Write,
                0,
            )
            .map(drop)
        })
    })
}

/// The stored high-water mark of the hybrid logical clock.
pub fn stored_mark() -> Result<Hlc> {
    as_owner(|| {
        spi::connect(|spi| {
            let rows = spi.run("SELECT last_value FROM gundb.hlc_mark", &[], Mode::Read, 1)?;
            let mark = rows.first().and_then(|row| row.int8(1)).ok_or_else(|| internal("gundb.hlc_mark is empty"))?;
            Ok(stored_hlc(mark))
        })
    })
}

/// Stores a high-water mark: WAL-logged, and not undone by a rollback.
pub fn store_mark(mark: Hlc) -> Result<()> {
    as_owner(|| {
        spi::connect(|spi| {
            spi.run(
                "SELECT pg_catalog.setval('gundb.hlc_mark', greatest($1, last_value)) FROM gundb.hlc_mark",
                &[arg::int8(to_stored(mark.to_bits()))],
                Mode::Write,
                0,
            )?;
            Ok(())
        })
    })
}

/// The greatest stamp of a transaction that wrote to more than one stream; None for others.
pub fn span(spi: &Spi, site: &SiteId, xact: Hlc) -> Result<Option<Hlc>> {
    let rows = spi.run(
        "SELECT hlc FROM gundb.span
          WHERE site OPERATOR(pg_catalog.=) $1 AND xact OPERATOR(pg_catalog.=) $2
          ORDER BY hlc DESC LIMIT 1",
        &[arg::uuid(site.0.as_bytes()), hlc_arg(xact)?],
        Mode::Read,
        1,
    )?;
    Ok(rows.first().and_then(|row| row.hlc(1)))
}

/// Leaves word of a transaction that wrote to more than one stream.
pub fn record_span(site: &SiteId, xact: Hlc, greatest: Hlc, parts: &[(StreamId, u64)]) -> Result<()> {
    let (xact, greatest) = (hlc_arg(xact)?, hlc_arg(greatest)?);
    as_owner(|| {
        spi::connect(|spi| {
            for (stream, count) in parts {
                spi.run(
                    "INSERT INTO gundb.span (site, xact, hlc, stream, events) VALUES ($1, $2, $3, $4, $5)",
                    &[
                        arg::uuid(site.0.as_bytes()),
                        xact,
                        greatest,
                        arg::uuid(stream.0.as_bytes()),
                        arg::int8(*count as i64),
                    ],
                    Mode::Write,
                    0,
                )?;
            }
            Ok(())
        })
    })
}
