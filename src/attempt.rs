//! Work that may fail without the transaction failing: in a subtransaction, which is rolled back if it does.
//!
//! Must hold: only what a user's trigger or constraint, or a lock held too long, can raise is caught ([`Nature`]). A
//! cancel, a shutdown, a lack of memory, a serialization failure or a defect ends the transaction, as everywhere.
//!
//! Unsafe: a setting.

use crate::error::{Nature, Result};
use crate::subtransaction;
use pgrx::pg_sys;

/// Why an attempt failed.
#[derive(Clone)]
pub struct Why {
    pub reason: String,
    pub sqlstate: String,
}

/// How long an attempt waits for a lock.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// A moment.
    Short,
    /// As long as the session's lock_timeout says.
    Usual,
}

/// Runs `f` in a subtransaction. What `f` allocates through PostgreSQL stays until the caller's memory context goes.
pub fn attempt<T>(patience: Patience, f: impl FnOnce() -> Result<T>) -> Result<core::result::Result<T, Why>> {
    let outcome = subtransaction::attempt(|| {
        let _impatient = (patience == Patience::Short).then(Impatient::new);
        f()
    })?;
    match outcome {
        Ok(value) => Ok(Ok(value)),
        Err(failure) if failure.nature() == Nature::Ending => Err(failure),
        Err(failure) => {
            let why = Why { reason: failure.message(), sqlstate: failure.sqlstate() };
            failure.free();
            Ok(Err(why))
        }
    }
}

/// How long a moment is, in milliseconds: less than `deadlock_timeout`, so that who waits no longer is never the victim
/// of a deadlock.
const MOMENT_MS: &core::ffi::CStr = c"100ms";

/// The setting `lock_timeout`, lowered to a moment for as long as the value lives.
pub struct Impatient(i32);

impl Impatient {
    pub fn new() -> Impatient {
        // SAFETY: the nest level is closed when the value drops, also while an error unwinds.
        unsafe {
            let impatient = Impatient(pg_sys::NewGUCNestLevel());
            pg_sys::set_config_option(
                c"lock_timeout".as_ptr(),
                MOMENT_MS.as_ptr(),
                pg_sys::GucContext::PGC_USERSET,
                pg_sys::GucSource::PGC_S_SESSION,
                pg_sys::GucAction::GUC_ACTION_SAVE,
                true,
                0,
                false,
            );
            impatient
        }
    }
}

impl Drop for Impatient {
    fn drop(&mut self) {
        // SAFETY: gives back what was saved; does not raise.
        unsafe { pg_sys::AtEOXact_GUC(false, self.0) };
    }
}
