//! Subtransactions of gundb's own: something is tried, and undone where it fails, and the transaction goes on.
//!
//! Must hold: what was begun is ended on every way out that does not raise; an error is taken out of the memory that
//! goes with the subtransaction before it goes.
//!
//! Unsafe: PostgreSQL's subtransactions.

use crate::boundary::try_pg;
use crate::error::Result;
use core::ffi::c_char;
use pgrx::pg_sys;

/// Runs `f`. Where it fails, what it did is undone, and the failure is the inner result. Costs some microseconds, and a
/// transaction number of its own where `f` writes.
pub fn attempt<T>(f: impl FnOnce() -> Result<T>) -> Result<Result<T>> {
    // Raw, unguarded: an error must reach `try_pg` whole.
    unsafe extern "C-unwind" {
        fn BeginInternalSubTransaction(name: *const c_char);
        fn ReleaseCurrentSubTransaction();
        fn RollbackAndReleaseCurrentSubTransaction();
    }
    // SAFETY: begun and ended in pairs; memory and owner of resources are what they were, as PL/pgSQL does it.
    unsafe {
        let (memory, owner) = (pg_sys::CurrentMemoryContext, pg_sys::CurrentResourceOwner);
        try_pg(|| BeginInternalSubTransaction(core::ptr::null()))?;
        pg_sys::CurrentMemoryContext = memory;
        let outcome = f();
        pg_sys::CurrentMemoryContext = memory;
        let outcome = match outcome {
            Ok(value) => {
                try_pg(|| ReleaseCurrentSubTransaction())?;
                Ok(value)
            }
            Err(failure) => {
                let failure = failure.copied();
                try_pg(|| RollbackAndReleaseCurrentSubTransaction())?;
                Err(failure)
            }
        };
        pg_sys::CurrentMemoryContext = memory;
        pg_sys::CurrentResourceOwner = owner;
        Ok(outcome)
    }
}
