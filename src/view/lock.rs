//! Locking others out of tables for a moment, without making them queue behind somebody who is long at work.
//!
//! A request for a strong lock that waits makes every later appender wait behind it. So it waits no longer than
//! a moment ([`Impatient`]); then those who hold what is in the way are waited for without any request for the tables, as CREATE INDEX
//! CONCURRENTLY does, and it is tried again. However long a transaction stays open, appenders wait only that long at once.
//!
//! Must hold: between two tries none of the locks is held. Every wait can be cancelled, and is known to the deadlock
//! detector.
//!
//! Unsafe: locks.

use crate::attempt::Impatient;
use crate::boundary::try_pg;
use crate::catalog;
use crate::error::{Failure, Result, state};
use crate::subtransaction::attempt;
use pgrx::pg_sys::{self, Oid};

/// A stream's table, so that nobody appends, and a mode that lets readers read.
pub fn appenders(stream: Oid) -> (Oid, u32) {
    (stream, pg_sys::ShareRowExclusiveLock)
}

/// A view's table, so that nobody reads.
pub fn readers(view: Oid) -> (Oid, u32) {
    (view, pg_sys::AccessExclusiveLock)
}

/// Takes locks until the end of the transaction. `before_try` does what should be done while nobody waits.
pub fn briefly(locks: &[(Oid, u32)], mut before_try: impl FnMut() -> Result<()>) -> Result<()> {
    loop {
        before_try()?;
        let taken = attempt(|| {
            let _impatient = Impatient::new();
            locks.iter().try_for_each(|&(table, mode)| catalog::lock(table, mode))
        })?;
        match taken {
            Ok(()) => return Ok(()),
            Err(failure) if is_timeout(&failure) => {}
            Err(failure) => return Err(failure),
        }
        locks.iter().try_for_each(|&(table, mode)| wait_for_holders(table, mode))?;
    }
}

/// Raises if a statement of this session is at work on a stream's table: a trigger that the table is given now would not
/// fire for it.
///
/// # Safety
/// `relation` is the stream's table, opened once by the caller.
pub unsafe fn refuse_in_use(relation: pg_sys::Relation) -> Result<()> {
    unsafe extern "C-unwind" {
        fn CheckTableNotInUse(relation: pg_sys::Relation, statement: *const core::ffi::c_char);
    }
    // SAFETY: an open relation.
    try_pg(|| unsafe { CheckTableNotInUse(relation, c"create a view of".as_ptr()) })
}

fn is_timeout(failure: &Failure) -> bool {
    failure.sqlstate().as_bytes() == state::LOCK_NOT_AVAILABLE
}

/// Waits for the transactions that hold a lock in the way of this one, without asking for it.
fn wait_for_holders(table: Oid, mode: u32) -> Result<()> {
    unsafe extern "C-unwind" {
        fn WaitForLockers(tag: pg_sys::LOCKTAG, mode: pg_sys::LOCKMODE, progress: bool);
    }
    let tag = pg_sys::LOCKTAG {
        // SAFETY: set before any SQL runs.
        locktag_field1: unsafe { pg_sys::MyDatabaseId }.to_u32(),
        locktag_field2: table.to_u32(),
        locktag_field3: 0,
        locktag_field4: 0,
        locktag_type: pg_sys::LockTagType::LOCKTAG_RELATION as u8,
        locktag_lockmethodid: pg_sys::DEFAULT_LOCKMETHOD as u8,
    };
    // SAFETY: a valid tag.
    try_pg(|| unsafe { WaitForLockers(tag, mode as pg_sys::LOCKMODE, false) })
}
