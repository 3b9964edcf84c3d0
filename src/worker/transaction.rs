//! Transactions of the worker's own, after whose failure it goes on.
//!
//! Must hold: whatever `f` raises, an error of PostgreSQL's or a defect that panics, the transaction is rolled back, its locks
//! and memory are given back, and the worker is where it was before. What is left is two texts.
//!
//! Unsafe: PostgreSQL's transaction functions.

use crate::boundary::{entry, try_pg};
use crate::error::{Error, Failure, Result, internal};
use pgrx::pg_sys;

// Raw, unguarded: an error must reach `try_pg` whole.
unsafe extern "C-unwind" {
    fn AbortCurrentTransaction();
}

/// Why a transaction failed.
#[derive(Debug, Clone)]
pub struct Trouble {
    pub sqlstate: String,
    pub message: String,
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Failure {
        let mut sqlstate = [b'X', b'X', b'0', b'0', b'0'];
        if trouble.sqlstate.len() == sqlstate.len() {
            sqlstate.copy_from_slice(trouble.sqlstate.as_bytes());
        }
        Error::new(&sqlstate, trouble.message).into()
    }
}

/// Runs `f` in a transaction of its own, with a snapshot.
pub fn transaction<T>(f: impl FnOnce() -> Result<T>) -> core::result::Result<T, Trouble> {
    let mut value = None;
    let out = &mut value;
    // SAFETY: between transactions; `entry` raises when nothing of `f` is left, and `try_pg` catches that.
    let outcome = try_pg(|| unsafe {
        entry(|| {
            pg_sys::SetCurrentStatementStartTimestamp();
            pg_sys::StartTransactionCommand();
            pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot());
            *out = Some(f()?);
            pg_sys::PopActiveSnapshot();
            pg_sys::CommitTransactionCommand();
            Ok(())
        })
    });
    let failure = match (outcome, value) {
        (Ok(()), Some(value)) => return Ok(value),
        (Ok(()), None) => internal("a transaction ended without its value"),
        (Err(failure), _) => failure,
    };
    let message = match &failure {
        Failure::Own(Error { message, detail: Some(detail), .. }) => format!("{message}: {detail}"),
        failure => failure.message(),
    };
    let trouble = Trouble { sqlstate: failure.sqlstate(), message };
    if let Failure::Postgres(error) = failure {
        error.free();
    }
    // SAFETY: as PostgreSQL's own main loops do after an error. One that fails in turn leaves nothing to go on from.
    unsafe {
        let memory = pg_sys::CurrentMemoryContext;
        if let Err(failure) = try_pg(|| AbortCurrentTransaction()) {
            return Err(Trouble { sqlstate: failure.sqlstate(), message: failure.message() });
        }
        pg_sys::CurrentMemoryContext = memory;
    }
    Err(trouble)
}
