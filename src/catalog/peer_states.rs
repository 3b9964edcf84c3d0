//! How it goes with each peer: what the worker and sessions note, and what others ask.

use crate::catalog::argument::{clock_arg, text_array_arg};
use crate::catalog::extension;
use crate::error::{Result, internal};
use crate::spi::{self, Mode, Row, arg, as_owner};
use gundb_core::sync::message::{Accept, Hello};
use gundb_core::{Clock, Run, SiteId};
use pgrx::pg_sys::{self, Datum};
use uuid::Uuid;

/// What is noted of a peer. What is None is left as it was.
#[derive(Debug, Clone, Default)]
pub struct Note {
    /// The peer's name, or of one that dials in the text of its site's uuid.
    pub name: String,
    /// The role as which it dials in; empty of one that this site dials.
    pub role: String,
    pub site: Option<SiteId>,
    pub run: Option<Run>,
    pub site_name: Option<String>,
    pub software: Option<String>,
    /// `connecting`, `connected` or `waiting`.
    pub state: Option<&'static str>,
    /// Whether it has just been heard from.
    pub is_contact: bool,
    pub error: Option<String>,
    /// What was sent and received since the last note.
    pub events_sent: u64,
    pub bytes_sent: u64,
    pub events_received: u64,
    pub bytes_received: u64,
    pub round_trip_ms: Option<f64>,
    pub skew_ms: Option<i64>,
    /// All that the peer is known to hold.
    pub holds: Option<Clock>,
    /// Whether nothing is left to send or to receive; and as of when, in microseconds since 2000, if that was not just now.
    pub is_synced: bool,
    pub synced_at: Option<i64>,
    /// What flows by its own word.
    pub says: Option<Says>,
}

/// What flows by the word of one side: which streams it sends, which it takes, and whose events.
#[derive(Debug, Clone)]
pub struct Says {
    pub push: Vec<String>,
    pub pull: Vec<String>,
    pub accepts_any: bool,
}

impl Says {
    /// By a peer's hello.
    pub fn of(hello: &Hello) -> Says {
        let (push, pull) = (hello.push.patterns().collect(), hello.pull.patterns().collect());
        Says { push, pull, accepts_any: hello.accept == Accept::Any }
    }
}

/// Notes how it goes with a peer.
pub fn note_peer(note: &Note) -> Result<()> {
    let clock_type = extension()?.clock_type;
    let holds = note.holds.as_ref().map(clock_arg).transpose()?;
    let args = [
        arg::text(&note.name),
        arg::text(&note.role),
        arg::of(pg_sys::UUIDOID, note.site.map(|site| spi::fixed(site.0.as_bytes()))),
        arg::of(pg_sys::INT8OID, note.run.map(|run| Datum::from(run.number() as i64))),
        arg::text_or_null(note.site_name.as_deref()),
        arg::text_or_null(note.software.as_deref()),
        arg::text_or_null(note.state),
        arg::bool(note.is_contact),
        arg::text_or_null(note.error.as_deref()),
        arg::int8(note.events_sent as i64),
        arg::int8(note.bytes_sent as i64),
        arg::int8(note.events_received as i64),
        arg::int8(note.bytes_received as i64),
        arg::of(pg_sys::FLOAT8OID, note.round_trip_ms.map(|ms| Datum::from(ms.to_bits() as i64))),
        arg::of(pg_sys::INT8OID, note.skew_ms.map(Datum::from)),
        holds.unwrap_or(arg::of(clock_type, None)),
        arg::bool(note.is_synced),
        arg::of(pg_sys::TIMESTAMPTZOID, note.synced_at.map(Datum::from)),
        text_array_arg(note.says.as_ref().map(|says| says.push.as_slice())),
        text_array_arg(note.says.as_ref().map(|says| says.pull.as_slice())),
        arg::text_or_null(note.says.as_ref().map(|says| if says.accepts_any { "any" } else { "own" })),
    ];
    as_owner(|| {
        spi::connect(|spi| {
            spi.run(
                "INSERT INTO gundb.peer_state AS s
                        (name, role, site, run, site_name, software, state, last_contact, last_error, last_error_at,
                         events_sent, bytes_sent, events_received, bytes_received, round_trip_ms, skew_ms, holds, synced, pid,
                         lost, their_push, their_pull, their_accept)
                 SELECT $1, $2, $3, $4, $5, $6, coalesce($7, 'new'), CASE WHEN $8 THEN pg_catalog.clock_timestamp() END, $9,
                        CASE WHEN $9 IS NOT NULL THEN pg_catalog.clock_timestamp() END, $10, $11, $12, $13, $14, $15, $16,
                        CASE WHEN $17 THEN coalesce($18, pg_catalog.clock_timestamp()) END, pg_catalog.pg_backend_pid(),
                        CASE WHEN $7 <> 'connected' THEN pg_catalog.clock_timestamp() END, $19, $20, $21
                 ON CONFLICT (name, role) DO UPDATE SET
                        site = coalesce(excluded.site, s.site),
                        run = coalesce(excluded.run, s.run),
                        site_name = coalesce(excluded.site_name, s.site_name),
                        software = coalesce(excluded.software, s.software),
                        state = coalesce($7, s.state),
                        since = CASE WHEN $7 <> s.state THEN pg_catalog.clock_timestamp() ELSE s.since END,
                        last_contact = coalesce(excluded.last_contact, s.last_contact),
                        last_error = coalesce(excluded.last_error, s.last_error),
                        last_error_at = coalesce(excluded.last_error_at, s.last_error_at),
                        events_sent = s.events_sent + excluded.events_sent,
                        bytes_sent = s.bytes_sent + excluded.bytes_sent,
                        events_received = s.events_received + excluded.events_received,
                        bytes_received = s.bytes_received + excluded.bytes_received,
                        round_trip_ms = coalesce(excluded.round_trip_ms, s.round_trip_ms),
                        skew_ms = coalesce(excluded.skew_ms, s.skew_ms),
                        holds = coalesce(excluded.holds, s.holds),
                        synced = coalesce(excluded.synced, s.synced),
                        pid = excluded.pid,
                        lost = CASE WHEN $7 IS NULL THEN s.lost WHEN $7 <> 'connected' THEN coalesce(s.lost, excluded.lost) END,
                        their_push = coalesce(excluded.their_push, s.their_push),
                        their_pull = coalesce(excluded.their_pull, s.their_pull),
                        their_accept = coalesce(excluded.their_accept, s.their_accept)",
                &args,
                Mode::Latest,
                0,
            )
            .map(drop)
        })
    })
}

/// What a peer is known to hold.
pub struct Held {
    pub name: String,
    pub role: String,
    pub holds: Clock,
    pub site: Option<SiteId>,
    /// What flows by this site's word, and by the peer's, if it has said so.
    pub mine: Says,
    pub theirs: Option<Says>,
}

fn says(row: &Row, first: usize) -> Option<Says> {
    let accepts_any = row.bool(first + 2)?;
    Some(Says { push: row.text_array(first)?, pull: row.text_array(first + 1)?, accepts_any })
}

/// What each peer is known to hold, as of now; of one that dials in the grant of its role says what flows.
pub fn held_by_peers() -> Result<Vec<Held>> {
    let damaged = || internal("gundb.peer_state holds a damaged row");
    let held = |row: Row| -> Result<Held> {
        Ok(Held {
            name: row.text(1).ok_or_else(damaged)?,
            role: row.text(2).ok_or_else(damaged)?,
            holds: row.clock(3)?.ok_or_else(damaged)?,
            site: row.uuid(4).map(|site| SiteId(Uuid::from_bytes(site))),
            mine: says(&row, 5).ok_or_else(damaged)?,
            theirs: says(&row, 8),
        })
    };
    as_owner(|| {
        spi::with_latest_snapshot(|| {
            spi::connect(|spi| {
                let rows = spi.run(
                    "SELECT s.name, s.role, s.holds, s.site, p.push, p.pull, p.accept = 'any',
                            s.their_push, s.their_pull, s.their_accept = 'any'
                       FROM gundb.peer_state s JOIN gundb.peer p ON p.name = s.name AND s.role = ''
                      WHERE s.holds IS NOT NULL
                      UNION ALL
                     SELECT s.name, s.role, s.holds, s.site, g.pull, g.push, g.accept = 'any',
                            s.their_push, s.their_pull, s.their_accept = 'any'
                       FROM gundb.peer_state s JOIN gundb.peer_grant g ON g.role::text = s.role
                      WHERE s.holds IS NOT NULL
                      ORDER BY 1, 2",
                    &[],
                    Mode::Read,
                    0,
                )?;
                rows.iter().map(held).collect()
            })
        })
    })
}

/// Whether nothing was left to exchange with a peer at some moment after this one (in microseconds since 2000).
pub fn was_synced_after(name: &str, moment: i64) -> Result<bool> {
    as_owner(|| {
        spi::with_latest_snapshot(|| {
            spi::connect(|spi| {
                let rows = spi.run(
                    "SELECT FROM gundb.peer_state WHERE name = $1 AND role = '' AND synced > $2",
                    &[arg::text(name), arg::of(pg_sys::TIMESTAMPTZOID, Some(Datum::from(moment)))],
                    Mode::Read,
                    1,
                )?;
                Ok(!rows.is_empty())
            })
        })
    })
}

/// A site that dials in.
pub struct DialsIn {
    pub name: String,
    pub role: String,
}

/// The sites that dial in and are named so, or have that uuid, the one heard from last first.
pub fn dials_in(name: &str) -> Result<Vec<DialsIn>> {
    // SAFETY: reads a flag. An unlogged table cannot be read on a standby.
    if unsafe { pg_sys::RecoveryInProgress() } {
        return Ok(Vec::new());
    }
    as_owner(|| {
        spi::with_latest_snapshot(|| {
            spi::connect(|spi| {
                let rows = spi.run(
                    "SELECT name, role FROM gundb.peer_state WHERE role <> '' AND (site_name = $1 OR name = $1)
                      ORDER BY last_contact DESC NULLS LAST",
                    &[arg::text(name)],
                    Mode::Read,
                    0,
                )?;
                Ok(rows.iter().filter_map(|row| Some(DialsIn { name: row.text(1)?, role: row.text(2)? })).collect())
            })
        })
    })
}

/// Forgets a site that dialled in and does not now. Says whether it did.
pub fn forget_gone(site: &DialsIn) -> Result<bool> {
    changed_state(
        "DELETE FROM gundb.peer_state s WHERE s.name = $1 AND s.role = $2
            AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_activity a WHERE a.pid = s.pid)",
        &[arg::text(&site.name), arg::text(&site.role)],
    )
}

/// A site dials in under a name that another one had, as the same role, and that one has gone: a copy that became a site of
/// its own, or one that was set up anew. The other one is forgotten.
pub fn supersede(name: &str, role: &str, site_name: &str) -> Result<()> {
    changed_state(
        "DELETE FROM gundb.peer_state s WHERE s.role = $2 AND s.site_name = $3 AND s.name <> $1
            AND (s.pid = pg_catalog.pg_backend_pid()
                 OR NOT EXISTS (SELECT FROM pg_catalog.pg_stat_activity a WHERE a.pid = s.pid))",
        &[arg::text(name), arg::text(role), arg::text(site_name)],
    )?;
    // The connection may have served it under another name.
    changed_state(
        "UPDATE gundb.peer_state s SET state = 'gone', since = pg_catalog.clock_timestamp(), pid = NULL
          WHERE s.role = $2 AND s.name <> $1 AND s.pid = pg_catalog.pg_backend_pid()",
        &[arg::text(name), arg::text(role)],
    )
    .map(drop)
}

/// Resumes a site that dials in and was paused for what it brought. Says whether it was.
pub fn resume_dials_in(site: &DialsIn) -> Result<bool> {
    changed_state(
        "UPDATE gundb.peer_state SET offences = 0, offended = false, paused_since = NULL, paused_reason = NULL
          WHERE name = $1 AND role = $2 AND paused_since IS NOT NULL",
        &[arg::text(&site.name), arg::text(&site.role)],
    )
}

/// A site that dials in begins a session: what the one before has brought counts if it was an offence. Says why the site is
/// paused, if it is.
pub fn begin_session_of(name: &str, role: &str) -> Result<Option<String>> {
    as_owner(|| {
        spi::connect(|spi| {
            let rows = spi.run(
                "UPDATE gundb.peer_state
                    SET offences = CASE WHEN offended THEN offences ELSE 0 END, offended = false
                  WHERE name = $1 AND role = $2 AND (offended OR offences > 0 OR paused_since IS NOT NULL)
                 RETURNING CASE WHEN paused_since IS NOT NULL THEN paused_reason END",
                &[arg::text(name), arg::text(role)],
                Mode::Latest,
                0,
            )?;
            Ok(rows.first().and_then(|row| row.text(1)))
        })
    })
}

/// A session of a site that dials in has brought what cannot be. It is paused if that was the last of so many in a row.
pub fn note_offence(name: &str, role: &str, why: &str, sessions_max: i32) -> Result<()> {
    changed_state(
        "UPDATE gundb.peer_state s
            SET offences = n.offences, offended = true, last_error = $3, last_error_at = pg_catalog.clock_timestamp(),
                paused_since = CASE WHEN n.offences >= $4 THEN pg_catalog.clock_timestamp() END,
                paused_reason = CASE WHEN n.offences >= $4 THEN
                    pg_catalog.format('%s sessions in a row brought what cannot be; the last: %s', $4, $3) END
           FROM (SELECT o.offences + (NOT o.offended)::integer AS offences
                   FROM gundb.peer_state o WHERE o.name = $1 AND o.role = $2) n
          WHERE s.name = $1 AND s.role = $2 AND s.paused_since IS NULL",
        &[arg::text(name), arg::text(role), arg::text(why), arg::of(pg_sys::INT4OID, Some(Datum::from(sessions_max)))],
    )
    .map(drop)
}

/// The peer that `gundb run` serves and whose site this was last, by the text of its uuid.
pub fn served_peer_of(site: &str) -> Result<Option<String>> {
    as_owner(|| {
        spi::with_latest_snapshot(|| {
            spi::connect(|spi| {
                let rows = spi.run(
                    "SELECT s.name FROM gundb.peer_state s JOIN gundb.peer p USING (name)
                      WHERE s.role = '' AND s.site::text = $1 AND p.url NOT LIKE 'postgres%' ORDER BY s.last_contact DESC LIMIT 1",
                    &[arg::text(site)],
                    Mode::Read,
                    1,
                )?;
                Ok(rows.first().and_then(|row| row.text(1)))
            })
        })
    })
}

/// Why a peer that this site has is to be paused, if it is; once.
pub fn take_pause_of(peer: &str) -> Result<Option<String>> {
    let found = as_owner(|| {
        spi::with_latest_snapshot(|| {
            spi::connect(|spi| {
                let statement = "SELECT paused_reason FROM gundb.peer_state WHERE name = $1 AND role = '' AND paused_since IS NOT NULL";
                let rows = spi.run(statement, &[arg::text(peer)], Mode::Read, 1)?;
                Ok(rows.first().and_then(|row| row.text(1)))
            })
        })
    })?;
    if found.is_some() {
        resume_dials_in(&DialsIn { name: peer.to_owned(), role: String::new() })?;
    }
    Ok(found)
}

fn changed_state(statement: &str, args: &[spi::Arg]) -> Result<bool> {
    as_owner(|| spi::connect(|spi| Ok(!spi.run(statement, args, Mode::Latest, 0)?.is_empty())))
}
