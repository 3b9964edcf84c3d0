//! The launcher: one static background worker, which starts one worker for each database that has the extension.
//!
//! | what happens | what it does |
//! |---|---|
//! | the server starts (or is promoted) | starts a worker for every database; one without the extension leaves at once |
//! | CREATE EXTENSION commits | is woken, and starts that database's worker |
//! | DROP EXTENSION commits | nothing: the worker leaves by itself |
//! | DROP DATABASE and the like | is told to hold off until the statement has ended (see `utility`) |
//! | a worker dies | starts it again, after a pause that doubles up to a minute |
//! | no worker slot is free | says so once, and tries again after such a pause |
//!
//! It connects to no database, so it is in nobody's way.
//!
//! Unsafe: background workers and a scan of pg_database.

use crate::boundary::{self, report};
use crate::error::{Error, Result, state};
use crate::shared;
use core::ffi::c_char;
use pgrx::pg_sys::{self, Datum, Oid};
use pgrx::{PgLogLevel, bgworkers::BackgroundWorker, bgworkers::SignalWakeFlags};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The pauses before a worker is started again.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// A worker that lived so long is not in a crash loop.
const HEALTHY: Duration = Duration::from_secs(60);

fn fixed<const N: usize>(text: &str) -> [c_char; N] {
    let mut out = [0; N];
    for (to, from) in out.iter_mut().zip(text.bytes().take(N - 1)) {
        *to = from as c_char;
    }
    out
}

fn description(name: &str, function: &str) -> pg_sys::BackgroundWorker {
    pg_sys::BackgroundWorker {
        bgw_name: fixed(name),
        bgw_type: fixed(name.split(':').next().unwrap_or(name)),
        bgw_flags: (pg_sys::BGWORKER_SHMEM_ACCESS | pg_sys::BGWORKER_BACKEND_DATABASE_CONNECTION) as i32,
        // Not on a standby: it starts there when it is promoted.
        bgw_start_time: pg_sys::BgWorkerStartTime::BgWorkerStart_RecoveryFinished,
        bgw_library_name: fixed("gundb"),
        bgw_function_name: fixed(function),
        ..Default::default()
    }
}

/// Registers the launcher; called while the library is preloaded.
pub fn register() {
    let mut worker = description("gundb launcher", "gundb_launcher_main");
    worker.bgw_restart_time = 5;
    // SAFETY: PostgreSQL copies the description.
    unsafe { pg_sys::RegisterBackgroundWorker(&mut worker) };
}

/// A worker that is running, or that will be started at `next`.
struct Charge {
    handle: *mut pg_sys::BackgroundWorkerHandle,
    /// Whether a worker has had a look at the database: only then is its word that it is not wanted believed.
    looked: bool,
    started: Instant,
    next: Instant,
    pause: Duration,
}

/// All the workers, by database.
#[derive(Default)]
struct Charges {
    by_database: BTreeMap<u32, Charge>,
    /// Whether the log has been told that no slot is free; told again only after one was.
    told_full: bool,
}

/// The launcher's main function.
///
/// # Safety
/// Called by PostgreSQL in a background worker.
#[pgrx::pg_guard]
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn gundb_launcher_main(_arg: Datum) {
    // SAFETY: the whole body.
    unsafe { boundary::entry(run) }
}

fn run() -> Result<()> {
    BackgroundWorker::attach_signal_handlers(SignalWakeFlags::SIGHUP | SignalWakeFlags::SIGTERM);
    // SAFETY: in a background worker, before anything else; no database is connected to.
    unsafe { pg_sys::BackgroundWorkerInitializeConnection(core::ptr::null(), core::ptr::null(), 0) };
    let Some(shared) = shared::launcher() else {
        return Ok(());
    };
    // SAFETY: this process's own latch.
    shared.set_latch(unsafe { pg_sys::MyLatch });
    let mut charges = Charges::default();
    for database in databases()? {
        start(&mut charges, database)?;
    }
    let mut wait = Some(PAUSE_MIN);
    while BackgroundWorker::wait_latch(wait) {
        if BackgroundWorker::sighup_received() {
            // SAFETY: reloads the settings at a point where nothing depends on them.
            unsafe { pg_sys::ProcessConfigFile(pg_sys::GucContext::PGC_SIGHUP) };
        }
        for database in shared::wanted() {
            if !charges.by_database.contains_key(&database.to_u32()) {
                start(&mut charges, database)?;
            }
        }
        wait = attend(&mut charges)?;
    }
    shared.set_latch(core::ptr::null_mut());
    Ok(())
}

/// Looks after every charge, and says how long to sleep at most: for ever while all is well.
fn attend(charges: &mut Charges) -> Result<Option<Duration>> {
    let now = Instant::now();
    let mut wake: Option<Instant> = None;
    for database in charges.by_database.keys().copied().collect::<Vec<_>>() {
        let oid = Oid::from(database);
        let Some(charge) = charges.by_database.get_mut(&database) else {
            continue;
        };
        if !charge.handle.is_null() {
            let mut pid = 0;
            // SAFETY: a handle of this process's.
            let status = unsafe { pg_sys::GetBackgroundWorkerPid(charge.handle, &mut pid) };
            if status != pg_sys::BgwHandleStatus::BGWH_STOPPED {
                continue;
            }
            charge.handle = core::ptr::null_mut();
            charge.pause = if now.duration_since(charge.started) >= HEALTHY { PAUSE_MIN } else { charge.pause };
            charge.next = now + charge.pause;
            charge.pause = (charge.pause * 2).min(PAUSE_MAX);
        }
        if charge.looked && !shared::is_wanted(oid) {
            charges.by_database.remove(&database);
        } else if charge.next <= now && !shared::is_held_off(oid) {
            start(charges, oid)?;
        } else {
            let next = charge.next.max(now + Duration::from_millis(100));
            wake = Some(wake.map_or(next, |wake| wake.min(next)));
        }
    }
    Ok(wake.map(|wake| wake.saturating_duration_since(now)))
}

fn start(charges: &mut Charges, database: Oid) -> Result<()> {
    let mut worker = description(&format!("gundb worker: database {}", database.to_u32()), "gundb_worker_main");
    worker.bgw_restart_time = pg_sys::BGW_NEVER_RESTART;
    worker.bgw_main_arg = Datum::from(database);
    // SAFETY: this process's id.
    worker.bgw_notify_pid = unsafe { pg_sys::MyProcPid };
    let mut handle = core::ptr::null_mut();
    // SAFETY: PostgreSQL copies the description; the handle lives in this process until it ends.
    let registered = unsafe { pg_sys::RegisterDynamicBackgroundWorker(&mut worker, &mut handle) };
    if !registered && !charges.told_full {
        report(
            PgLogLevel::LOG,
            Error::new(state::CONFIGURATION_LIMIT, "gundb: no background worker slot is free").hint(
                "Raise max_worker_processes. Appends go on; consumers that wait look by themselves every second.",
            ),
        )?;
    }
    charges.told_full = !registered;
    let now = Instant::now();
    let before = charges.by_database.get(&database.to_u32());
    let pause = before.map_or(PAUSE_MIN, |charge| charge.pause);
    let charge = Charge {
        handle,
        looked: registered || before.is_some_and(|charge| charge.looked),
        started: now,
        next: now + pause,
        pause: if registered { pause } else { (pause * 2).min(PAUSE_MAX) },
    };
    charges.by_database.insert(database.to_u32(), charge);
    Ok(())
}

/// The databases that can be connected to.
fn databases() -> Result<Vec<Oid>> {
    let mut found = Vec::new();
    // SAFETY: a plain scan of a shared catalog in a transaction of its own.
    unsafe {
        pg_sys::StartTransactionCommand();
        let relation = pg_sys::table_open(pg_sys::DatabaseRelationId, pg_sys::AccessShareLock as i32);
        let scan = pg_sys::table_beginscan_catalog(relation, 0, core::ptr::null_mut());
        loop {
            let tuple = pg_sys::heap_getnext(scan, pg_sys::ScanDirection::ForwardScanDirection);
            if tuple.is_null() {
                break;
            }
            let header = (*tuple).t_data;
            let form = header.cast::<u8>().add((*header).t_hoff as usize).cast::<pg_sys::FormData_pg_database>();
            if (*form).datallowconn {
                found.push((*form).oid);
            }
        }
        pg_sys::heap_endscan(scan);
        pg_sys::table_close(relation, pg_sys::AccessShareLock as i32);
        pg_sys::CommitTransactionCommand();
    }
    Ok(found)
}
