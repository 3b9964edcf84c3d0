//! Work that may fail and be undone while what surrounds it goes on: PostgreSQL's internal subtransactions, as an
//! EXCEPTION block of PL/pgSQL uses them.
//!
//! Must hold: one is begun and ended within one scope of role, security context and settings, all of which its end gives
//! back as they were at its beginning; what was opened before is not closed inside, nor the other way round.
//!
//! Unsafe: PostgreSQL's transaction functions.

use crate::boundary::try_pg;
use crate::error::Result;
use core::ffi::c_char;
use pgrx::pg_sys;

// Raw, unguarded: an error must reach `try_pg` whole.
unsafe extern "C-unwind" {
    fn BeginInternalSubTransaction(name: *const c_char);
    fn ReleaseCurrentSubTransaction();
    fn RollbackAndReleaseCurrentSubTransaction();
}

/// A subtransaction that is open. Undone if it is dropped, as while an error passes.
pub struct Subtransaction {
    memory: pg_sys::MemoryContext,
    owner: pg_sys::ResourceOwner,
    is_open: bool,
}

impl Subtransaction {
    /// Begins one; memory is taken from where it was taken before.
    pub fn begin() -> Result<Subtransaction> {
        // SAFETY: in a transaction, as every function is.
        unsafe {
            let (memory, owner) = (pg_sys::CurrentMemoryContext, pg_sys::CurrentResourceOwner);
            try_pg(|| BeginInternalSubTransaction(core::ptr::null()))?;
            pg_sys::CurrentMemoryContext = memory;
            Ok(Subtransaction { memory, owner, is_open: true })
        }
    }

    /// Keeps what was done.
    pub fn release(mut self) -> Result<()> {
        // SAFETY: it is the innermost one: those begun later have ended.
        let released = try_pg(|| unsafe { ReleaseCurrentSubTransaction() });
        // What could not be kept is undone.
        self.is_open = released.is_err();
        self.give_back();
        released
    }

    /// Undoes what was done.
    pub fn undo(mut self) -> Result<()> {
        self.is_open = false;
        // SAFETY: as above.
        let undone = try_pg(|| unsafe { RollbackAndReleaseCurrentSubTransaction() });
        self.give_back();
        undone
    }

    fn give_back(&self) {
        // SAFETY: both are older than the subtransaction, and so still there.
        unsafe {
            pg_sys::CurrentMemoryContext = self.memory;
            pg_sys::CurrentResourceOwner = self.owner;
        }
    }
}

impl Drop for Subtransaction {
    fn drop(&mut self) {
        if self.is_open {
            // What cannot be undone here goes with the transaction, whose error is under way.
            // SAFETY: as in `undo`.
            let _ = try_pg(|| unsafe { RollbackAndReleaseCurrentSubTransaction() });
            self.give_back();
        }
    }
}

/// Runs `f`. Where it fails, what it did is undone, and the failure is the inner result. Costs some microseconds, and a
/// transaction number of its own where `f` writes.
pub fn attempt<T>(f: impl FnOnce() -> Result<T>) -> Result<Result<T>> {
    let begun = Subtransaction::begin()?;
    let memory = begun.memory;
    let outcome = f();
    // SAFETY: it is older than the subtransaction, and so still there.
    unsafe { pg_sys::CurrentMemoryContext = memory };
    match outcome {
        Ok(value) => begun.release().map(|()| Ok(value)),
        Err(failure) => begun.undo().map(|()| Err(failure)),
    }
}
