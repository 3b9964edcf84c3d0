//! Events of others: into a stream's table, with the epochs and spans that belong to them; what waits, and what was
//! refused. Each statement takes a whole delivery.

use crate::attempt::Why;
use crate::catalog::extension;
use crate::error::{Result, internal};
use crate::scan::to_stored;
use crate::spi::{self, Mode, Row, arg, as_owner};
use gundb_core::apply::Incoming;
use gundb_core::{Chain, Dot, Epoch, EpochRecord, Event, Hlc, Run, SiteId, StreamId, TransactionId};
use pgrx::pg_sys::{self, Datum};
use std::collections::BTreeSet;
use uuid::Uuid;

fn uuids<'a>(all: impl Iterator<Item = &'a [u8; 16]>) -> spi::Arg {
    arg::array(pg_sys::UUIDOID, all.map(|bytes| Some(spi::fixed(bytes))))
}

fn int8s(all: impl Iterator<Item = u64>) -> spi::Arg {
    arg::array(pg_sys::INT8OID, all.map(|number| Some(Datum::from(number as i64))))
}

fn texts<'a>(all: impl Iterator<Item = Option<&'a str>>) -> spi::Arg {
    arg::array(pg_sys::TEXTOID, all.map(|text| text.map(|text| spi::varlena(text.as_bytes()))))
}

fn hlcs(all: impl Iterator<Item = Option<Hlc>>) -> Result<spi::Arg> {
    Ok(arg::array(extension()?.hlc_type, all.map(|hlc| Some(Datum::from(to_stored(hlc?.to_bits()))))))
}

fn dots<'a>(all: impl Iterator<Item = &'a Dot>) -> Result<spi::Arg> {
    Ok(arg::array(extension()?.dot_type, all.map(|dot| Some(crate::call::ret::dot(dot)))))
}

fn chains<'a>(all: impl Iterator<Item = &'a Chain>) -> Result<spi::Arg> {
    Ok(arg::array(extension()?.chain_type, all.map(|chain| Some(spi::fixed(&chain.0)))))
}

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

/// Which of the epochs that events refer to are here.
pub fn known_epochs(incoming: &[Incoming]) -> Result<BTreeSet<Epoch>> {
    let events = incoming.iter().flat_map(|incoming| &incoming.transaction.events);
    let wanted = events
        .map(|event| Epoch { site: event.dot.site, run: event.dot.lane.run(), number: event.epoch })
        .collect::<BTreeSet<_>>();
    let args = [
        uuids(wanted.iter().map(|epoch| epoch.site.0.as_bytes())),
        int8s(wanted.iter().map(|epoch| epoch.run.number())),
        int8s(wanted.iter().map(|epoch| epoch.number)),
    ];
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
                let epoch = |row: Row| {
                    let (site, run) = (SiteId(Uuid::from_bytes(row.uuid(1)?)), Run::new(row.int8(2)? as u64)?);
                    Some(Epoch { site, run, number: row.int8(3)? as u64 })
                };
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

/// A transaction that waits.
pub struct Waits {
    pub id: TransactionId,
    pub greatest: Hlc,
    /// Its first event.
    pub dot: Dot,
    pub kind: &'static str,
    pub stream: Option<StreamId>,
    pub until: Option<Hlc>,
    pub reason: String,
    /// Whether it did not wait before; then the document is its content.
    pub is_new: bool,
    pub document: String,
}

/// Stores transactions that wait, and for what those wait that did before.
pub fn stage(all: &[Waits]) -> Result<()> {
    let (new, old): (Vec<&Waits>, Vec<&Waits>) = all.iter().partition(|one| one.is_new);
    for (waits, statement) in [
        (
            new,
            "INSERT INTO gundb.staged (site, run, xact, greatest, dot, kind, stream, until, reason, document)
             SELECT site, run, xact, greatest, dot, kind, stream, until, reason, document::jsonb
               FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
                    AS new (site, run, xact, greatest, dot, kind, stream, until, reason, document)",
        ),
        (
            old,
            "UPDATE gundb.staged AS s SET kind = new.kind, stream = new.stream, until = new.until, reason = new.reason,
                                          tries = s.tries + 1
               FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
                    AS new (site, run, xact, greatest, dot, kind, stream, until, reason, document)
              WHERE s.site = new.site AND s.run = new.run AND s.xact = new.xact",
        ),
    ] {
        if waits.is_empty() {
            continue;
        }
        let streams = waits.iter().map(|one| one.stream.map(|stream| spi::fixed(stream.0.as_bytes())));
        let args = [
            uuids(waits.iter().map(|one| one.id.site.0.as_bytes())),
            int8s(waits.iter().map(|one| one.id.run.number())),
            hlcs(waits.iter().map(|one| Some(one.id.xact)))?,
            hlcs(waits.iter().map(|one| Some(one.greatest)))?,
            dots(waits.iter().map(|one| &one.dot))?,
            texts(waits.iter().map(|one| Some(one.kind))),
            arg::array(pg_sys::UUIDOID, streams),
            hlcs(waits.iter().map(|one| one.until))?,
            texts(waits.iter().map(|one| Some(one.reason.as_str()))),
            texts(waits.iter().map(|one| Some(one.document.as_str()))),
        ];
        as_owner(|| spi::connect(|spi| spi.run(statement, &args, Mode::Write, 0).map(drop)))?;
    }
    Ok(())
}

/// A transaction that has waited.
pub struct Staged {
    pub id: TransactionId,
    pub accepted: bool,
    pub document: String,
}

/// What waits of these sites. In a run, what stands later in a lane has the greater stamps.
pub fn staged(sites: &BTreeSet<SiteId>) -> Result<Vec<Staged>> {
    as_owner(|| {
        spi::with_latest_snapshot(|| {
            spi::connect(|spi| {
                let rows = spi.run(
                    "SELECT site, run, xact, accepted, document::text FROM gundb.staged WHERE site = ANY ($1)
                      ORDER BY site, run, greatest",
                    &[uuids(sites.iter().map(|site| site.0.as_bytes()))],
                    Mode::Read,
                    0,
                )?;
                let staged = |row: Row| {
                    let (site, run) = (SiteId(Uuid::from_bytes(row.uuid(1)?)), Run::new(row.int8(2)? as u64)?);
                    let id = TransactionId { site, run, xact: row.hlc(3)? };
                    Some(Staged { id, accepted: row.bool(4)?, document: row.text(5)? })
                };
                rows.iter().map(|row| staged(row).ok_or_else(|| internal("gundb.staged holds a damaged row"))).collect()
            })
        })
    })
}

/// Forgets transactions that wait no longer.
pub fn unstage(all: &[TransactionId]) -> Result<()> {
    if all.is_empty() {
        return Ok(());
    }
    let args = [
        uuids(all.iter().map(|id| id.site.0.as_bytes())),
        int8s(all.iter().map(|id| id.run.number())),
        hlcs(all.iter().map(|id| Some(id.xact)))?,
    ];
    as_owner(|| {
        spi::connect(|spi| {
            spi.run(
                "DELETE FROM gundb.staged AS s USING unnest($1, $2, $3) AS done (site, run, xact)
                  WHERE s.site = done.site AND s.run = done.run AND s.xact = done.xact",
                &args,
                Mode::Write,
                0,
            )
            .map(drop)
        })
    })
}

/// The sites of which something waits: all, or whose time has come or whose stream is here.
pub fn staged_sites(due_by: Option<Hlc>) -> Result<BTreeSet<SiteId>> {
    let due = hlcs(std::iter::once(due_by))?;
    as_owner(|| {
        spi::with_latest_snapshot(|| {
            spi::connect(|spi| {
                let rows = spi.run(
                    "SELECT DISTINCT site FROM gundb.staged s, unnest($1) AS due
                      WHERE due IS NULL OR s.kind = 'time' AND (s.accepted OR s.until <= due)
                         OR s.kind = 'stream' AND EXISTS (
                                SELECT FROM gundb.stream_table t WHERE gundb.stream_id(t.name) = s.stream)",
                    &[due],
                    Mode::Read,
                    0,
                )?;
                Ok(rows.iter().filter_map(|row| row.uuid(1)).map(|site| SiteId(Uuid::from_bytes(site))).collect())
            })
        })
    })
}

/// How many transactions wait, of all sites, as of now.
pub fn staged_count() -> Result<i64> {
    as_owner(|| {
        spi::with_latest_snapshot(|| {
            spi::connect(|spi| {
                let rows = spi.run("SELECT count(*) FROM gundb.staged", &[], Mode::Read, 0)?;
                Ok(rows.first().and_then(|row| row.int8(1)).unwrap_or(0))
            })
        })
    })
}

/// Accepts the stamp of the transaction that begins with an event, or of all that wait for their time.
pub fn accept_staged(dot: Option<&Dot>) -> Result<()> {
    let dot = arg::of(extension()?.dot_type, dot.map(crate::call::ret::dot));
    as_owner(|| {
        spi::connect(|spi| {
            spi.run(
                "UPDATE gundb.staged SET accepted = true WHERE kind = 'time' AND (dot = $1 OR $1 IS NULL)",
                &[dot],
                Mode::Write,
                0,
            )
            .map(drop)
        })
    })
}

/// Forgets all that waits and all that was refused.
pub fn forget_applied() -> Result<()> {
    if !super::has_applied()? {
        return Ok(());
    }
    spi::connect(|spi| spi.run_once("TRUNCATE gundb.staged, gundb.refused", Mode::Write).map(drop))
}

/// A transaction that was refused, and the event that does not fit.
pub struct Refused {
    pub dot: Dot,
    pub chain: Chain,
    pub kind: &'static str,
    pub reason: String,
    pub document: String,
}

/// Keeps what was refused, as evidence; what was kept already counts one try more.
pub fn record_refused(all: &[Refused]) -> Result<()> {
    if all.is_empty() {
        return Ok(());
    }
    let args = [
        dots(all.iter().map(|one| &one.dot))?,
        chains(all.iter().map(|one| &one.chain))?,
        texts(all.iter().map(|one| Some(one.kind))),
        texts(all.iter().map(|one| Some(one.reason.as_str()))),
        texts(all.iter().map(|one| Some(one.document.as_str()))),
    ];
    as_owner(|| {
        spi::connect(|spi| {
            spi.run(
                "INSERT INTO gundb.refused AS r (dot, chain, kind, reason, transaction)
                 SELECT DISTINCT ON (dot, chain) dot, chain, kind, reason, transaction::jsonb
                   FROM unnest($1, $2, $3, $4, $5) AS new (dot, chain, kind, reason, transaction)
                 ON CONFLICT (dot, chain) DO UPDATE SET tries = r.tries + 1",
                &args,
                Mode::Write,
                0,
            )
            .map(drop)
        })
    })
}

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
