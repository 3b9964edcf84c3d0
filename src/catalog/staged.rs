//! Transactions of others that wait, and those that were refused. Each statement takes a whole delivery.

use crate::catalog::argument::{chains, dots, hlcs, int8s, texts, uuids};
use crate::catalog::extension;
use crate::error::{Result, internal};
use crate::spi::{self, Mode, Row, arg, as_owner};
use gundb_core::{Chain, Dot, Hlc, Run, SiteId, StreamId, TransactionId};
use pgrx::pg_sys;
use std::collections::BTreeSet;
use uuid::Uuid;

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
    /// The stream that it waits for.
    pub stream: Option<StreamId>,
    /// The stamp that it waits for.
    pub until: Option<Hlc>,
    pub document: String,
}

/// What waits of these sites. In a run, what stands later in a lane has the greater stamps.
pub fn staged(sites: &BTreeSet<SiteId>) -> Result<Vec<Staged>> {
    read_staged("site = ANY ($1)", sites)
}

/// What waits of other sites than these.
pub fn staged_of_others(sites: &BTreeSet<SiteId>) -> Result<Vec<Staged>> {
    read_staged("site <> ALL ($1)", sites)
}

fn read_staged(which: &str, sites: &BTreeSet<SiteId>) -> Result<Vec<Staged>> {
    let statement = format!(
        "SELECT site, run, xact, accepted, document::text, stream, until
           FROM gundb.staged WHERE {which} ORDER BY site, run, greatest"
    );
    as_owner(|| {
        spi::with_latest_snapshot(|| {
            spi::connect(|spi| {
                let sites = [uuids(sites.iter().map(|site| site.0.as_bytes()))];
                let rows = spi.run(&statement, &sites, Mode::Read, 0)?;
                let staged = |row: Row| {
                    let (site, run) = (SiteId(Uuid::from_bytes(row.uuid(1)?)), Run::new(row.int8(2)? as u64)?);
                    let id = TransactionId { site, run, xact: row.hlc(3)? };
                    let stream = row.uuid(6).map(|stream| StreamId(Uuid::from_bytes(stream)));
                    Some(Staged { id, accepted: row.bool(4)?, document: row.text(5)?, stream, until: row.hlc(7) })
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

/// Locks everybody out of what waits and what was refused. Before streams, as those do who look for what can be applied.
pub fn lock_applied() -> Result<()> {
    if !super::has_applied()? {
        return Ok(());
    }
    let statement = "LOCK TABLE gundb.staged, gundb.refused IN ACCESS EXCLUSIVE MODE";
    spi::connect(|spi| spi.run_once(statement, Mode::Write).map(drop))
}

/// Forgets all that waits and all that was refused.
pub fn forget_applied() -> Result<()> {
    if !super::has_applied()? {
        return Ok(());
    }
    super::forget_staged_letters()?;
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
