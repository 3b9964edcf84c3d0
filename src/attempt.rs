//! Work that may fail without the transaction failing: in a subtransaction, which is rolled back if it does.
//!
//! Must hold: only what a user's trigger or constraint, or a lock held too long, can raise is caught. A cancel, a
//! shutdown, a lack of memory, a serialization failure or a defect ends the transaction, as everywhere.
//!
//! Unsafe: PostgreSQL's internal subtransactions, as PL/pgSQL's EXCEPTION uses them.

use crate::boundary::try_pg;
use crate::error::{Failure, Result};
use core::ffi::c_char;
use pgrx::pg_sys;

// Raw, unguarded: an error must reach `try_pg` whole.
unsafe extern "C-unwind" {
    fn BeginInternalSubTransaction(name: *const c_char);
    fn ReleaseCurrentSubTransaction();
    fn RollbackAndReleaseCurrentSubTransaction();
}

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
    // SAFETY: begun and ended in pairs; the memory context and resource owner are what they were before. Where a failure
    // is passed on, the subtransaction is left to the abort of the transaction.
    unsafe {
        let (context, owner) = (pg_sys::CurrentMemoryContext, pg_sys::CurrentResourceOwner);
        try_pg(|| BeginInternalSubTransaction(core::ptr::null()))?;
        pg_sys::CurrentMemoryContext = context;
        let outcome = {
            let _impatient = (patience == Patience::Short).then(Impatient::new);
            f()
        };
        let outcome = match outcome {
            Ok(value) => {
                try_pg(|| ReleaseCurrentSubTransaction())?;
                Ok(value)
            }
            Err(failure) => {
                let why = reason(&failure);
                let Some(why) = why else {
                    // What the caller holds is its own again, to be closed on the way out.
                    pg_sys::CurrentResourceOwner = owner;
                    return Err(failure);
                };
                try_pg(|| RollbackAndReleaseCurrentSubTransaction())?;
                Err(why)
            }
        };
        pg_sys::CurrentMemoryContext = context;
        pg_sys::CurrentResourceOwner = owner;
        Ok(outcome)
    }
}

/// What is said of a failure that may be caught.
fn reason(failure: &Failure) -> Option<Why> {
    const NEVER: [&str; 5] = ["53", "57", "58", "XX", "40001"];
    match failure {
        Failure::Own(_) => None,
        Failure::Postgres(error) => {
            let sqlstate = error.sqlstate();
            let passes = NEVER.iter().any(|class| sqlstate.starts_with(class));
            (!passes).then(|| Why { reason: error.message(), sqlstate })
        }
    }
}

/// The setting lock_timeout, lowered for as long as the value lives.
struct Impatient(i32);

impl Impatient {
    fn new() -> Impatient {
        // SAFETY: the nest level is closed when the value drops, also while an error unwinds.
        unsafe {
            let impatient = Impatient(pg_sys::NewGUCNestLevel());
            pg_sys::set_config_option(
                c"lock_timeout".as_ptr(),
                c"100ms".as_ptr(),
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
