//! Opening a run, giving stamps, and writing the run's record.
//!
//! Nobody waits for anybody here: every transaction that finds the record not yet committed writes a copy of it,
//! and the copies are equal, since all come from the same shared memory and the same past.

use crate::error::{Error, Result, internal, state};
use crate::scan::As;
use crate::shared::{self, Database, NoStamp, Running, Stamp};
use crate::{catalog, epoch, heads, lane, random, transaction};
use gundb_core::{Clock, Dot, Hlc, SiteId};
use pgrx::pg_sys;

/// How far ahead of use the stored high-water mark is written, in milliseconds: a crash loses at most this much of
/// the clock's closeness to the wall clock.
const MARK_AHEAD_MS: u64 = 5_000;

/// Milliseconds since 1970.
pub fn now_ms() -> u64 {
    const MICROSECONDS_1970_TO_2000: i64 = 946_684_800_000_000;
    // Raw: pgrx's guarded form sets a jump point, and this is asked once an event.
    unsafe extern "C-unwind" {
        fn GetCurrentTimestamp() -> pg_sys::TimestampTz;
    }
    // SAFETY: reads the clock; raises nothing.
    let now = unsafe { GetCurrentTimestamp() };
    ((now + MICROSECONDS_1970_TO_2000).max(0) / 1000) as u64
}

/// This backend's database in shared memory.
pub fn database() -> Result<&'static Database> {
    if !shared::is_available() {
        return Err(crate::loading::not_preloaded().into());
    }
    shared::database().ok_or_else(|| {
        Error::new(state::CONFIGURATION_LIMIT, "more databases use gundb than gundb.max_databases allows")
            .hint("Raise gundb.max_databases in postgresql.conf and restart the server.")
            .into()
    })
}

/// Opens the run if it is not open, and sees to it that this transaction or an earlier one has recorded it.
pub fn open() -> Result<(&'static Database, Running)> {
    let database = database()?;
    let mut running = database.running();
    if running.run == 0 || running.extension != catalog::extension()?.oid.to_u32() {
        draw(database)?;
        running = database.running();
    }
    if !running.is_recorded() && transaction::with(|t| t.recorded) != Some(running.run) {
        record(database, &running)?;
    }
    Ok((database, running))
}

/// Writes the run's record and its epoch 0: a copy of what others may be writing.
fn record(database: &Database, running: &Running) -> Result<()> {
    loop {
        // Earlier runs and other sites only: of its own run a site speaks by stamps. As of now, which takes no
        // predicate locks: what earlier runs left does not change.
        let (mut clock, mut latest) = (Clock::new(), Hlc::MIN);
        let whole = heads::each_now(As::OfNow, |table, site, lane, head| {
            if site.0.as_bytes() != &running.site || lane.run().number() != running.run {
                clock.advance(&Dot { site, stream: table.stream, lane, seq: head.seq });
                latest = latest.max(head.hlc);
            }
        })?;
        // An epoch is being drawn, so what was found may be more than the run began with. Whoever draws one has epoch 0.
        if database.draws_first_epoch() {
            lane::lock_epochs()?;
            if database.running().is_recorded() {
                return Ok(());
            }
            continue;
        }
        // A table that was loaded by itself may hold stamps beyond the stored mark.
        database.observe(latest);
        // Where a stream is locked against reading, as while it is dropped, a later transaction writes the epoch.
        catalog::record_run(running, whole.then_some(&clock))?;
        if whole {
            transaction::with(|t| t.recorded = Some(running.run));
        }
        return Ok(());
    }
}

fn draw(database: &Database) -> Result<()> {
    // SAFETY: reads a flag.
    if unsafe { pg_sys::RecoveryInProgress() } {
        return Err(Error::new(state::READ_ONLY, "cannot open a run during recovery").into());
    }
    let extension = catalog::extension()?.oid.to_u32();
    let last = catalog::last_run()?;
    let mark = catalog::stored_mark()?;
    let site = match last {
        Some((site, _)) => *site.0.as_bytes(),
        None => random_site()?,
    };
    let run = random_run()?;
    let started = Hlc::tick(mark, now_ms()).ok_or_else(end_of_time)?;
    let mut candidate = Running::default();
    candidate.extension = extension;
    candidate.site = site;
    candidate.run = run;
    candidate.previous = last.map_or(0, |(_, run)| run.number());
    candidate.started = started;
    database.open_run(candidate, started.max(mark));
    database.set_restoring(false);
    // A database made from a template has the extension, and nobody has told the launcher.
    // SAFETY: set since the backend connected.
    shared::want(unsafe { pg_sys::MyDatabaseId });
    Ok(())
}

/// A run's number is random, and not zero.
pub fn random_run() -> Result<u64> {
    let mut run = 0;
    while run == 0 {
        run = u64::from_be_bytes(random::bytes::<8>()?) >> 16;
    }
    Ok(run)
}

/// A site's id is a random uuid (version 4).
pub fn random_site() -> Result<[u8; 16]> {
    let mut bytes = random::bytes::<16>()?;
    bytes[6] = (bytes[6] & 0x0F) | 0x40;
    bytes[8] = (bytes[8] & 0x3F) | 0x80;
    Ok(bytes)
}

/// The next stamp. Moves the stored mark ahead first when the clock has reached it.
pub fn stamp(database: &Database, now_ms: u64) -> Result<Stamp> {
    let mut unseen = None;
    loop {
        match database.stamp(now_ms, unseen) {
            Ok(stamp) => return Ok(stamp),
            Err(NoStamp::EndOfTime) => return Err(end_of_time().into()),
            Err(NoStamp::MarkReached(next)) => move_mark(database, next)?,
            Err(NoStamp::EpochDrawn(number)) => {
                if !epoch::publish_if_seen(database, number)? {
                    unseen = Some(number);
                }
            }
        }
    }
}

/// Stores a mark some seconds past `reached`. `greatest` in the statement makes concurrent moves harmless.
pub fn move_mark(database: &Database, reached: Hlc) -> Result<()> {
    let ahead = Hlc::new((reached.millis() + MARK_AHEAD_MS).min(Hlc::MAX.millis()), 0).ok_or_else(end_of_time)?;
    catalog::store_mark(ahead.max(reached))?;
    database.set_mark(ahead.max(reached));
    Ok(())
}

fn end_of_time() -> Error {
    Error::new(state::OUT_OF_RANGE, "the hybrid logical clock has reached the end of year 9999")
        .hint("Check the server's clock.")
}

/// A stamp of this site's clock, greater than every one before it.
pub fn next_stamp() -> Result<Hlc> {
    let (database, _) = open()?;
    Ok(stamp(database, now_ms())?.hlc)
}

/// This site, for what is done to many rows: the first opens the run if it may, and the others find it open.
pub fn site_of_writer() -> Result<SiteId> {
    if let Some(site) = database()?.site() {
        return Ok(site);
    }
    // SAFETY: reads a flag.
    if unsafe { pg_sys::XactReadOnly } {
        return site();
    }
    open()?;
    site()
}

/// This site, if it ever had a run.
pub fn site_if_any() -> Result<Option<SiteId>> {
    match database()?.site() {
        Some(site) => Ok(Some(site)),
        None => Ok(catalog::last_run()?.map(|(site, _)| site)),
    }
}

/// This site: known from its last run, so also on a standby. Opens a run, and so writes, where there never was one.
pub fn site() -> Result<SiteId> {
    if let Some(site) = site_if_any()? {
        return Ok(site);
    }
    open()?.0.site().ok_or_else(|| internal("a run was opened without a site"))
}
