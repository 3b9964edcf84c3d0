//! The worker: one background worker a database that has the extension. It dials the peers that are configured, and exchanges
//! events with them.
//!
//! It sends NOTIFY on `gundb`, for peers that dial in, and on `gundb_<stream>` for what was committed, wakes consumers that
//! wait, keeps the stored mark of the clock ahead of use, and repairs what a restore left disabled. It never holds a lock or a
//! snapshot while it sleeps. What fails for one peer ends that peer's session; any other error ends the worker, with one line in
//! the log, and the launcher starts it again after a pause.
//!
//! | file | one noun |
//! |---|---|
//! | `waiting` | the latch, the network's descriptor, time, being told to stop |
//! | `transaction` | a transaction after whose failure the worker goes on |
//! | `peers` | all that are dialled |
//! | `dial` | one of them |
//! | `compare` | comparisons with one of them |
//! | `backoff` | when to dial again |
//! | `offences` | what a peer sends that cannot be |
//! | `here` | what is said of this site |
//!
//! Unsafe: background workers.

mod backoff;
mod compare;
mod dial;
mod here;
mod offences;
mod peers;
mod transaction;
mod waiting;

use crate::doubt::Waiting;
use crate::error::{Error, Failure, Result, state};
use crate::shared::Database;
use crate::{apply, boundary, catalog, replication, run, shared, stream, view};
use core::ffi::{CStr, c_char};
use gundb_core::Hlc;
use peers::Peers;
use pgrx::PgLogLevel;
use pgrx::pg_sys::{self, Datum, Oid};
use std::sync::atomic::{Ordering, fence};
use std::time::{Duration, Instant};
use transaction::transaction;

/// News that comes closer together than this is told in one NOTIFY: each costs a transaction. Where that takes long, telling
/// takes no more than a fifth of the time.
const TELL_EVERY: Duration = Duration::from_millis(2);
const TELL_EVERY_MAX: Duration = Duration::from_millis(20);
/// The mark is moved when the clock has come so close to it.
const MARK_NEAR_MS: u64 = 2_500;

/// What waits is tried again so often while nothing happens, and no more often while much does.
const TRY_EVERY: Duration = Duration::from_millis(500);
const TRY_NEXT: Duration = Duration::from_millis(50);

/// The channel on which those who dial in are told that there is something new, and with a word `gundb run` what concerns the
/// peers that it serves: that they, or what they may do, have changed; that all is to be exchanged with them now.
const CHANNEL: &CStr = c"gundb";
const PEERS: &CStr = c"peers";
const SYNC: &CStr = c"sync";

unsafe extern "C-unwind" {
    fn Async_Notify(channel: *const c_char, payload: *const c_char);
}

/// The worker's main function.
///
/// # Safety
/// Called by PostgreSQL in a background worker, with the database's oid.
#[pgrx::pg_guard]
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn gundb_worker_main(arg: Datum) {
    // SAFETY: the whole body.
    unsafe { boundary::entry(|| run(Oid::from(arg.value() as u32))) }
}

/// Settings that somebody may have given the database or the role, and that would bite here.
const PINNED: [(&CStr, &CStr); 10] = [
    (c"search_path", c"pg_catalog, pg_temp"),
    (c"statement_timeout", c"0"),
    (c"lock_timeout", c"0"),
    // Of a deadlock with somebody who drops or alters something this is the victim, and tries again.
    (c"deadlock_timeout", c"100ms"),
    (c"idle_in_transaction_session_timeout", c"0"),
    (c"default_transaction_read_only", c"off"),
    (c"default_transaction_isolation", c"read committed"),
    (c"session_replication_role", c"origin"),
    (c"synchronous_commit", c"off"),
    (c"client_min_messages", c"warning"),
];

fn run(database: Oid) -> Result<()> {
    waiting::listen_to_signals();
    // SAFETY: in a background worker, before anything else. What errors leave behind lies in a context of the worker's.
    unsafe {
        pg_sys::BackgroundWorkerInitializeConnectionByOid(database, Oid::INVALID, 0);
        for (name, value) in PINNED {
            pg_sys::SetConfigOption(
                name.as_ptr(),
                value.as_ptr(),
                pg_sys::GucContext::PGC_SUSET,
                pg_sys::GucSource::PGC_S_OVERRIDE,
            );
        }
        pg_sys::CurrentMemoryContext = pg_sys::TopMemoryContext;
    }
    if !transaction(is_at_home)? {
        shared::leave(database);
        return Ok(());
    }
    let mine = run::database()?;
    // SAFETY: this process's own latch and id.
    unsafe {
        mine.set_worker(pg_sys::MyLatch, pg_sys::MyProcPid as u32);
        pg_sys::on_shmem_exit(Some(leave), Datum::null());
    }
    shared::want(database);
    // Who holds it off either finds this process, or is found by it.
    fence(Ordering::SeqCst);
    if shared::is_held_off(database) {
        return Ok(());
    }
    transaction(|| catalog::repair_triggers(None))?;
    match work(mine) {
        Ok(true) => shared::leave(database),
        Ok(false) => {}
        // It was told to stop, and what it was doing was cancelled.
        Err(_) if waiting::is_stopped() => {}
        Err(failure) => return Err(failure),
    }
    Ok(())
}

/// Works until told to stop; true if the extension has gone.
fn work(mine: &Database) -> Result<bool> {
    let mut peers = Peers::default();
    // What was committed before there was a worker called nobody.
    let (mut first, mut tell_at, mut try_at) = (true, Instant::now(), Some(Instant::now()));
    loop {
        let now = Instant::now();
        if first || mine.is_called() && now >= tell_at {
            first = false;
            let Some(news) = transaction(|| attend(mine))? else { return Ok(true) };
            tell_at = Instant::now() + (now.elapsed() * 4).clamp(TELL_EVERY, TELL_EVERY_MAX);
            // SAFETY: a condition variable in shared memory.
            unsafe { pg_sys::ConditionVariableBroadcast(mine.waiters()) };
            match news {
                News::None => {}
                News::Anew => {
                    peers.look_anew();
                    peers.news_here(None)?;
                }
                News::Of(streams) => peers.news_here(Some(&streams))?,
            }
            try_at = Some(try_at.map_or(now + TRY_NEXT, |at| at.min(now + TRY_NEXT)));
        }
        if try_at.is_some_and(|at| at <= now) {
            // Of what waited for a table the next may be a definition: then the one after it waits for another.
            let pause = if try_waiting(mine)? { Duration::ZERO } else { TRY_EVERY };
            try_at = is_waited_for(mine).then(|| Instant::now() + pause);
        }
        let more = peers.attend(mine, || mine.is_called() && Instant::now() >= tell_at)?;
        let now = Instant::now();
        let until = |at: Instant| at.saturating_duration_since(now);
        let tell = mine.is_called().then(|| until(tell_at));
        let figures = waiting::report_figures()?;
        let wakes = [more.then_some(Duration::ZERO), tell, try_at.map(until), peers.wakes_in(now), figures];
        if !waiting::wait(wakes.into_iter().flatten().min(), peers.descriptor())? {
            return Ok(false);
        }
    }
}

/// Tries what waits, if something may: each kind in a transaction of its own, so that what it locks is free again soon. Says whether a table was made.
fn try_waiting(mine: &Database) -> Result<bool> {
    let mut made = false;
    let here = || Ok::<_, Failure>(transaction(catalog::has_applied)?);
    mine.waiting(Waiting::Declared).look(|| {
        let adopted = transaction(replication::adopt)?;
        made = adopted.made;
        Ok(adopted.lacking)
    })?;
    mine.waiting(Waiting::Late).look(|| Ok(here()? && transaction(view::heal_all)?))?;
    mine.waiting(Waiting::Staged).look(|| Ok(here()? && transaction(apply::retry_due)?))?;
    transaction(replication::open_kept)?;
    Ok(made)
}

/// Whether something may wait for a key, a stream or its time.
fn is_waited_for(mine: &Database) -> bool {
    let kinds = [Waiting::Late, Waiting::Staged, Waiting::Declared];
    kinds.into_iter().any(|kind| mine.waiting(kind).may_be())
}

/// Writes a line to the log.
fn log(message: String) -> Result<()> {
    boundary::report(PgLogLevel::LOG, Error::new(state::COMPLETED, message))
}

unsafe extern "C-unwind" fn leave(_code: i32, _arg: Datum) {
    if let Some(mine) = shared::database() {
        mine.set_worker(core::ptr::null_mut(), 0);
    }
}

/// Whether this database has the extension, in a version that this library knows.
fn is_at_home() -> Result<bool> {
    if catalog::find_extension()?.is_none() {
        return Ok(false);
    }
    let version = catalog::version()?;
    if catalog::is_newer_than_library(&version) {
        return Err(Error::new(
            state::WRONG_STATE,
            format!(
                "the gundb extension here is version {version}, newer than the library's {}",
                env!("CARGO_PKG_VERSION")
            ),
        )
        .hint("Install the library of that version, or a later one, and restart the server.")
        .into());
    }
    Ok(true)
}

/// What was committed since the worker looked last.
enum News {
    None,
    /// Events of these streams.
    Of(Vec<String>),
    /// Of whichever streams: too many to name, or the extension is another.
    Anew,
}

/// Tells what was committed; none if the extension has gone.
fn attend(mine: &Database) -> Result<Option<News>> {
    let mut is_anew = false;
    if mine.take_extension_changed() {
        is_anew = true;
        catalog::forget();
        if catalog::find_extension()?.is_none() {
            return Ok(None);
        }
    }
    let (mut tables, mut streams) = (Vec::new(), Vec::new());
    if mine.take_news(&mut tables) {
        is_anew = true;
        streams.extend(catalog::streams()?.into_iter().map(|stream| stream.name));
    } else {
        for table in tables {
            streams.extend(stream::name_of_table(table)?);
        }
    }
    if !streams.is_empty() {
        notify(CHANNEL, c"")?;
    }
    for stream in &streams {
        notify(&std::ffi::CString::new(format!("gundb_{stream}")).unwrap_or_default(), c"")?;
    }
    let running = mine.running();
    if running.run != 0 {
        let hlc = mine.hlc();
        if hlc.millis() + MARK_NEAR_MS > mine.mark().millis() && hlc > Hlc::MIN {
            run::move_mark(mine, hlc)?;
        }
    }
    Ok(Some(match streams {
        _ if is_anew => News::Anew,
        streams if streams.is_empty() => News::None,
        streams => News::Of(streams),
    }))
}

fn notify(channel: &CStr, payload: &CStr) -> Result<()> {
    let (channel, payload) = (channel.as_ptr(), payload.as_ptr());
    // SAFETY: both strings outlive the call.
    boundary::try_pg(|| unsafe { Async_Notify(channel, payload) })
}
