//! What the worker waits for: its latch, a descriptor, time; and being told to stop.
//!
//! Must hold: who tells it to stop does not wait for what it is doing: a statement of its own ends as if it were cancelled.
//!
//! Unsafe: signal handlers and latches.

use crate::boundary;
use crate::error::Result;
use core::ffi::{c_int, c_long};
use pgrx::pg_sys;
#[cfg(not(feature = "pg18"))]
use pgrx::pg_sys::pqsignal as on_signal;
#[cfg(feature = "pg18")]
use pgrx::pg_sys::pqsignal_be as on_signal;
use std::os::fd::RawFd;
use std::time::Duration;

// Raw, unguarded: an error must reach `try_pg` whole.
unsafe extern "C-unwind" {
    fn WaitLatchOrSocket(
        latch: *mut pg_sys::Latch,
        events: c_int,
        descriptor: c_int,
        timeout_ms: c_long,
        wait_event: u32,
    ) -> c_int;
    fn ResetLatch(latch: *mut pg_sys::Latch);
    fn ProcessConfigFile(context: pg_sys::GucContext::Type);
    fn SignalHandlerForConfigReload(signal: c_int);
    fn pgstat_report_stat(force: bool) -> c_long;
}

/// Sets the handlers of signals, and lets signals in.
pub fn listen_to_signals() {
    // SAFETY: in a background worker, before anything else.
    unsafe {
        on_signal(pg_sys::SIGHUP as i32, Some(SignalHandlerForConfigReload));
        on_signal(pg_sys::SIGTERM as i32, Some(stop));
        pg_sys::BackgroundWorkerUnblockSignals();
    }
}

unsafe extern "C-unwind" fn stop(_signal: i32) {
    // SAFETY: flags that are there for signal handlers to set, and a latch that may be set in one.
    unsafe {
        (&raw mut pg_sys::ShutdownRequestPending).write_volatile(1);
        (&raw mut pg_sys::QueryCancelPending).write_volatile(1);
        (&raw mut pg_sys::InterruptPending).write_volatile(1);
        pg_sys::SetLatch(pg_sys::MyLatch);
    }
}

/// Whether the worker was told to stop.
pub fn is_stopped() -> bool {
    // SAFETY: a flag that a signal handler sets.
    unsafe { (&raw const pg_sys::ShutdownRequestPending).read_volatile() != 0 }
}

/// Passes on what was counted of tables, so that autovacuum learns of it; says when to do that again. Outside transactions.
pub fn report_figures() -> Result<Option<Duration>> {
    // SAFETY: PostgreSQL's own, which its backends call when they are idle.
    let left_ms = boundary::try_pg(|| unsafe { pgstat_report_stat(false) })?;
    Ok(u64::try_from(left_ms).ok().filter(|left_ms| *left_ms > 0).map(Duration::from_millis))
}

/// Waits until the latch is set, the descriptor is readable or the time is over; rereads the settings if that was asked for.
/// False if the worker is to stop. Ends at once if the postmaster is gone.
pub fn wait(time: Option<Duration>, descriptor: Option<RawFd>) -> Result<bool> {
    let mut events = pg_sys::WL_LATCH_SET | pg_sys::WL_EXIT_ON_PM_DEATH;
    // Rounded up: what is due in half a millisecond is not waited for in a circle.
    let time_ms = time.map_or(-1, |time| time.as_micros().div_ceil(1_000).min(i32::MAX as u128) as i64);
    if time.is_some() {
        events |= pg_sys::WL_TIMEOUT;
    }
    if descriptor.is_some() {
        events |= pg_sys::WL_SOCKET_READABLE;
    }
    let descriptor = descriptor.unwrap_or(-1);
    if is_stopped() {
        return Ok(false);
    }
    // SAFETY: this process's own latch, between transactions.
    boundary::try_pg(|| unsafe {
        WaitLatchOrSocket(pg_sys::MyLatch, events as i32, descriptor, time_ms, pg_sys::PG_WAIT_EXTENSION);
        ResetLatch(pg_sys::MyLatch);
    })?;
    if is_stopped() {
        return Ok(false);
    }
    // Others wait for this process to take note of what it is told this way.
    match boundary::check_interrupts() {
        Err(_) if is_stopped() => return Ok(false),
        checked => checked?,
    }
    // SAFETY: a flag that a signal handler sets; nothing depends on the settings now.
    unsafe {
        if (&raw const pg_sys::ConfigReloadPending).read_volatile() != 0 {
            (&raw mut pg_sys::ConfigReloadPending).write_volatile(0);
            boundary::try_pg(|| ProcessConfigFile(pg_sys::GucContext::PGC_SIGHUP))?;
        }
    }
    Ok(true)
}
