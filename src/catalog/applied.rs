//! Events of others into a stream's table, with the epochs and spans that belong to them. Each statement takes a whole
//! delivery.

use crate::catalog::argument::{chains, hlcs, int8s, texts, uuids};
use crate::catalog::extension;
use crate::error::{Result, internal};
use crate::scan::to_stored;
use crate::spi::{self, Mode, Row, Spi, arg, as_owner};
use gundb_core::{Epoch, EpochRecord, Event, Hlc, Run, SiteId, StreamId, TransactionId};
use pgrx::pg_sys::Datum;
use std::collections::BTreeSet;
use uuid::Uuid;

/// Stores events as they are. Returns how many were stored: a trigger of the table's owner might drop some.
pub fn insert_events(label: &str, events: &[&Event]) -> Result<usize> {
    let lanes = events.iter().map(|event| Some(Datum::from(to_stored(event.dot.lane.to_bits()))));
    let args = [
        uuids(events.iter().map(|event| event.dot.site.0.as_bytes())),
        arg::array(extension()?.lane_type, lanes),
        int8s(events.iter().map(|event| event.dot.seq)),
        hlcs(events.iter().map(|event| Some(event.hlc)))?,
        hlcs(events.iter().map(|event| Some(event.xact)))?,
        int8s(events.iter().map(|event| event.epoch)),
        uuids(events.iter().map(|event| event.id.as_bytes())),
        chains(events.iter().map(|event| &event.chain))?,
        uuids(events.iter().map(|event| &event.salt)),
        texts(events.iter().map(|event| Some(event.kind.as_str()))),
        texts(events.iter().map(|event| event.key.as_deref())),
        texts(events.iter().map(|event| Some(event.data.as_str()))),
        texts(events.iter().map(|event| Some(event.meta.as_str()))),
    ];
    spi::connect(|spi| {
        let statement = format!(
            "INSERT INTO {label} (site, lane, seq, hlc, xact, epoch, id, chain, salt, type, key, data, meta)
             SELECT site, lane, seq, hlc, xact, epoch, id, chain, salt, type, key, data::pg_catalog.jsonb, meta::pg_catalog.jsonb
               FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
                    AS e (site, lane, seq, hlc, xact, epoch, id, chain, salt, type, key, data, meta)"
        );
        Ok(spi.run(&statement, &args, Mode::Write, 0)?.len())
    })
}

/// Stores epochs of others that are not here.
pub fn store_epochs(records: &[&EpochRecord]) -> Result<()> {
    if records.is_empty() {
        return Ok(());
    }
    let clocks = records.iter().map(|record| Some(spi::varlena(&record.clock.encode())));
    let args = [
        uuids(records.iter().map(|record| record.epoch.site.0.as_bytes())),
        int8s(records.iter().map(|record| record.epoch.run.number())),
        int8s(records.iter().map(|record| record.epoch.number)),
        arg::array(extension()?.clock_type, clocks),
    ];
    as_owner(|| {
        spi::connect(|spi| {
            spi.run(
                "INSERT INTO gundb.epoch (site, run, number, clock)
                 SELECT DISTINCT ON (site, run, number) site, run, number, clock
                   FROM unnest($1, $2, $3, $4) AS new (site, run, number, clock)
                  WHERE NOT EXISTS (SELECT FROM gundb.epoch e
                                     WHERE e.site = new.site AND e.run = new.run AND e.number = new.number)",
                &args,
                Mode::Write,
                0,
            )
            .map(drop)
        })
    })
}

/// Which of these epochs are here.
pub fn known_epochs(wanted: &BTreeSet<Epoch>) -> Result<BTreeSet<Epoch>> {
    let args = epoch_args(wanted);
    as_owner(|| {
        spi::with_latest_snapshot(|| {
            spi::connect(|spi| {
                let rows = spi.run(
                    "SELECT DISTINCT e.site, e.run, e.number FROM unnest($1, $2, $3) AS wanted (site, run, number)
                       JOIN gundb.epoch e ON e.site = wanted.site AND e.run = wanted.run AND e.number = wanted.number",
                    &args,
                    Mode::Read,
                    0,
                )?;
                Ok(rows.iter().filter_map(epoch).collect())
            })
        })
    })
}

/// How many events a stream has of a transaction that wrote to several, and the transaction's greatest stamp.
pub struct Span {
    pub id: TransactionId,
    pub greatest: Hlc,
    pub stream: StreamId,
    pub events: u64,
}

/// Leaves word of transactions that wrote to more than one stream.
pub fn record_spans(spans: &[Span]) -> Result<()> {
    if spans.is_empty() {
        return Ok(());
    }
    let args = [
        uuids(spans.iter().map(|span| span.id.site.0.as_bytes())),
        hlcs(spans.iter().map(|span| Some(span.id.xact)))?,
        hlcs(spans.iter().map(|span| Some(span.greatest)))?,
        uuids(spans.iter().map(|span| span.stream.0.as_bytes())),
        int8s(spans.iter().map(|span| span.events)),
    ];
    as_owner(|| {
        spi::connect(|spi| {
            spi.run(
                "INSERT INTO gundb.span (site, xact, hlc, stream, events) SELECT site, xact, hlc, stream, events
                   FROM unnest($1, $2, $3, $4, $5) AS new (site, xact, hlc, stream, events)
                  WHERE NOT EXISTS (SELECT FROM gundb.span s
                                     WHERE s.site = new.site AND s.xact = new.xact AND s.stream = new.stream)",
                &args,
                Mode::Write,
                0,
            )
            .map(drop)
        })
    })
}

/// Whether some transaction wrote to more than one stream, as this transaction sees it.
pub fn has_spans() -> Result<bool> {
    spi::connect(|spi| Ok(!spi.run("SELECT FROM gundb.span LIMIT 1", &[], Mode::Read, 1)?.is_empty()))
}

/// Of these transactions of a site those that wrote to more than one stream, and their greatest stamps. What came of one
/// by several ways may have told of several ends: the last counts.
pub fn spans(spi: &Spi, site: &SiteId, xacts: &BTreeSet<Hlc>) -> Result<Vec<(Hlc, Hlc)>> {
    let rows = spi.run(
        "SELECT DISTINCT ON (s.xact) s.xact, s.hlc FROM unnest($2) AS wanted (xact)
           JOIN gundb.span s ON s.site = $1 AND s.xact = wanted.xact
          ORDER BY s.xact, s.hlc DESC",
        &[arg::uuid(site.0.as_bytes()), hlcs(xacts.iter().map(|xact| Some(*xact)))?],
        Mode::Read,
        0,
    )?;
    Ok(rows.iter().filter_map(|row| row.hlc(1).zip(row.hlc(2))).collect())
}

/// What epochs stand for, of those that are here, as this transaction sees it.
pub fn epoch_records(epochs: &BTreeSet<Epoch>) -> Result<Vec<EpochRecord>> {
    if epochs.is_empty() {
        return Ok(Vec::new());
    }
    let args = epoch_args(epochs);
    as_owner(|| {
        spi::connect(|spi| {
            let rows = spi.run(
                "SELECT DISTINCT ON (e.site, e.run, e.number) e.site, e.run, e.number, e.clock
                   FROM unnest($1, $2, $3) AS wanted (site, run, number)
                   JOIN gundb.epoch e ON e.site = wanted.site AND e.run = wanted.run AND e.number = wanted.number
                  ORDER BY e.site, e.run, e.number",
                &args,
                Mode::Read,
                0,
            )?;
            let damaged = || internal("gundb.epoch holds a damaged row");
            rows.iter()
                .map(|row| {
                    let clock = row.clock(4)?.ok_or_else(damaged)?;
                    Ok(EpochRecord { epoch: epoch(row).ok_or_else(damaged)?, clock })
                })
                .collect()
        })
    })
}

fn epoch_args(epochs: &BTreeSet<Epoch>) -> [spi::Arg; 3] {
    [
        uuids(epochs.iter().map(|epoch| epoch.site.0.as_bytes())),
        int8s(epochs.iter().map(|epoch| epoch.run.number())),
        int8s(epochs.iter().map(|epoch| epoch.number)),
    ]
}

fn epoch(row: Row) -> Option<Epoch> {
    let (site, run) = (SiteId(Uuid::from_bytes(row.uuid(1)?)), Run::new(row.int8(2)? as u64)?);
    Some(Epoch { site, run, number: row.int8(3)? as u64 })
}
