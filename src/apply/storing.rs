//! Which rows pass the stamp: those that apply writes itself.
//!
//! Unsafe: PostgreSQL's session_replication_role, the variable and not the setting.

use crate::error::Result;
use crate::transaction;
use pgrx::pg_sys::{self, Oid};
use std::cell::Cell;

thread_local! {
    /// The stream's table that is being written to, and how deep in triggers that is.
    static STORING: Cell<Option<(Oid, i32)>> = const { Cell::new(None) };
}

/// Whether the row that the stamp looks at is one that apply writes. What a trigger of the user's appends meanwhile is
/// not: it is nested deeper.
pub fn is_storing(table: Oid) -> bool {
    STORING.get().is_some_and(|storing| storing == (table, transaction::trigger_depth() - 1))
}

/// Runs `f`, which writes events of others to a stream's table.
///
/// As in PostgreSQL's own replication, triggers fire only where they are enabled ALWAYS or on a REPLICA, as gundb's are:
/// a trigger of the user's has seen the event where it was appended.
pub fn storing<T>(table: Oid, f: impl FnOnce() -> Result<T>) -> Result<T> {
    struct Reset(Option<(Oid, i32)>, core::ffi::c_int);
    impl Drop for Reset {
        fn drop(&mut self) {
            STORING.set(self.0);
            // SAFETY: a variable of this backend.
            unsafe { pg_sys::SessionReplicationRole = self.1 };
        }
    }
    // SAFETY: as above; it is looked at when triggers fire. Through the setting, all plans would be made anew.
    let role = unsafe {
        let role = pg_sys::SessionReplicationRole;
        pg_sys::SessionReplicationRole = pg_sys::SESSION_REPLICATION_ROLE_REPLICA as core::ffi::c_int;
        role
    };
    let _reset = Reset(STORING.replace(Some((table, transaction::trigger_depth()))), role);
    f()
}
