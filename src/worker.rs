//! The worker: one background worker a database that has the extension. It dials nobody yet.
//!
//! It sends NOTIFY on `gundb_<stream>` for what was committed, wakes consumers that wait, keeps the stored mark of
//! the clock ahead of use, and repairs what a restore left disabled. It never holds a lock or a snapshot while it
//! sleeps. An error ends it, with one line in the log; the launcher starts it again after a pause.
//!
//! Unsafe: background workers.

use crate::doubt::Waiting;
use crate::error::{Error, Result, state};
use crate::shared::Database;
use crate::{apply, boundary, catalog, run, shared, stream, view};
use core::ffi::{CStr, c_char};
use gundb_core::Hlc;
use pgrx::bgworkers::{BackgroundWorker, SignalWakeFlags};
use pgrx::pg_sys::{self, Datum, Oid};
use std::time::{Duration, Instant};

/// News that comes closer together than this is told in one NOTIFY: each costs a transaction.
const TELL_EVERY: Duration = Duration::from_millis(20);
/// The mark is moved when the clock has come so close to it.
const MARK_NEAR_MS: u64 = 2_500;

/// What waits is tried again so often.
const TRY_EVERY: Duration = Duration::from_millis(500);

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
const PINNED: [(&CStr, &CStr); 9] = [
    (c"search_path", c"pg_catalog, pg_temp"),
    (c"statement_timeout", c"0"),
    (c"lock_timeout", c"0"),
    (c"idle_in_transaction_session_timeout", c"0"),
    (c"default_transaction_read_only", c"off"),
    (c"default_transaction_isolation", c"read committed"),
    (c"session_replication_role", c"origin"),
    (c"synchronous_commit", c"off"),
    (c"client_min_messages", c"warning"),
];

fn run(database: Oid) -> Result<()> {
    BackgroundWorker::attach_signal_handlers(SignalWakeFlags::SIGHUP | SignalWakeFlags::SIGTERM);
    // SAFETY: in a background worker, before anything else.
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
    transaction(|| catalog::repair_triggers(None))?;
    let mut told = Instant::now() - TELL_EVERY;
    while BackgroundWorker::wait_latch(pause(mine)) {
        if BackgroundWorker::sighup_received() {
            // SAFETY: between transactions.
            unsafe { pg_sys::ProcessConfigFile(pg_sys::GucContext::PGC_SIGHUP) };
        }
        let since = told.elapsed();
        if since < TELL_EVERY {
            nap(TELL_EVERY - since);
        }
        told = Instant::now();
        if !transaction(|| attend(mine))? {
            shared::leave(database);
            break;
        }
        try_waiting(mine)?;
        // SAFETY: a condition variable in shared memory.
        unsafe { pg_sys::ConditionVariableBroadcast(mine.waiters()) };
    }
    Ok(())
}

/// Tries what waits, if something may: each kind in a transaction of its own, so that what it locks is free again soon.
fn try_waiting(mine: &Database) -> Result<()> {
    let here = || transaction(catalog::has_applied);
    mine.waiting(Waiting::Late).look(|| Ok(here()? && transaction(view::heal_all)?))?;
    mine.waiting(Waiting::Staged).look(|| Ok(here()? && transaction(apply::retry_due)?))?;
    Ok(())
}

/// How long to sleep if nobody calls: what waits for a key, a stream or its time is tried again.
fn pause(mine: &Database) -> Option<Duration> {
    let waits = mine.waiting(Waiting::Late).may_be() || mine.waiting(Waiting::Staged).may_be();
    waits.then_some(TRY_EVERY)
}

/// Waits for time to pass, whatever the latch says; ends at once if the postmaster is gone.
fn nap(time: Duration) {
    let events = pg_sys::WL_TIMEOUT | pg_sys::WL_EXIT_ON_PM_DEATH;
    // SAFETY: no latch is waited on.
    unsafe {
        pg_sys::WaitLatch(core::ptr::null_mut(), events as i32, time.as_millis() as i64, pg_sys::PG_WAIT_EXTENSION);
    }
}

unsafe extern "C-unwind" fn leave(_code: i32, _arg: Datum) {
    if let Some(mine) = shared::database() {
        mine.set_worker(core::ptr::null_mut(), 0);
    }
}

/// Runs `f` in a transaction of its own.
fn transaction<T>(f: impl FnOnce() -> Result<T>) -> Result<T> {
    // SAFETY: paired; after an error the process ends.
    unsafe {
        pg_sys::SetCurrentStatementStartTimestamp();
        pg_sys::StartTransactionCommand();
        pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot());
        let value = f()?;
        pg_sys::PopActiveSnapshot();
        pg_sys::CommitTransactionCommand();
        Ok(value)
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

/// Tells what was committed; false if the extension has gone.
fn attend(mine: &Database) -> Result<bool> {
    if mine.take_extension_changed() {
        catalog::forget();
        if catalog::find_extension()?.is_none() {
            return Ok(false);
        }
    }
    let mut tables = Vec::new();
    if mine.take_news(&mut tables) {
        for stream in catalog::streams()? {
            notify(&stream.name)?;
        }
    } else {
        for table in tables {
            if let Some(name) = stream::name_of_table(table)? {
                notify(&name)?;
            }
        }
    }
    let running = mine.running();
    if running.run != 0 {
        let hlc = mine.hlc();
        if hlc.millis() + MARK_NEAR_MS > mine.mark().millis() && hlc > Hlc::MIN {
            run::move_mark(mine, hlc)?;
        }
    }
    Ok(true)
}

fn notify(stream: &str) -> Result<()> {
    let channel = std::ffi::CString::new(format!("gundb_{stream}")).unwrap_or_default();
    let (channel, payload) = (channel.as_ptr(), c"".as_ptr());
    // SAFETY: both strings outlive the call.
    boundary::try_pg(|| unsafe { Async_Notify(channel, payload) })
}
