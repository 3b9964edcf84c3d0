//! Refusing to drop a stream by the way: DROP TABLE, DROP EXTENSION … CASCADE, DROP SCHEMA … CASCADE, DROP OWNED.
//!
//! Events are not dropped unasked, and a stream dropped behind gundb's back could issue a dot twice. PostgreSQL
//! tells of every object before it goes, whatever statement takes it, so one hook covers them all.

use crate::boundary;
use crate::error::{Error, Result, state};
use crate::{catalog, stream, transaction};
use pgrx::pg_sys::{self, Oid};
use std::cell::Cell;
use std::ffi::CStr;

thread_local! {
    static ALLOWED: Cell<bool> = const { Cell::new(false) };
}

static mut PREVIOUS: pg_sys::object_access_hook_type = None;

/// Installs the hook.
pub fn register() {
    // SAFETY: called from _PG_init.
    unsafe {
        PREVIOUS = pg_sys::object_access_hook;
        pg_sys::object_access_hook = Some(object_access);
    }
}

/// Runs `f`, which may drop streams.
pub fn allowed<T>(f: impl FnOnce() -> Result<T>) -> Result<T> {
    struct Reset(bool);
    impl Drop for Reset {
        fn drop(&mut self) {
            ALLOWED.set(self.0);
        }
    }
    let _reset = Reset(ALLOWED.replace(true));
    f()
}

unsafe extern "C-unwind" fn object_access(
    access: pg_sys::ObjectAccessType::Type,
    class: Oid,
    object: Oid,
    sub: i32,
    arg: *mut core::ffi::c_void,
) {
    // SAFETY: the previous hook gets what we got; an error in it passes this frame, which holds nothing to drop.
    unsafe {
        if let Some(previous) = PREVIOUS {
            previous(access, class, object, sub, arg);
        }
        if access != pg_sys::ObjectAccessType::OAT_DROP || sub != 0 {
            return;
        }
        match class {
            pg_sys::RelationRelationId if !ALLOWED.get() => boundary::entry(|| refuse_stream(object)),
            // Forgotten at commit: the statement can still fail, and others may be connected until it is sure.
            pg_sys::DatabaseRelationId => transaction::with(|t| t.dropped_database = Some(object)),
            _ => {}
        }
    }
}

/// Raises if the relation is a stream's table.
fn refuse_stream(relation: Oid) -> Result<()> {
    // SAFETY: the relation is locked by whoever drops it; it is opened without another lock.
    unsafe {
        if pg_sys::get_rel_relkind(relation) != pg_sys::RELKIND_RELATION as core::ffi::c_char {
            return Ok(());
        }
        let open = pg_sys::try_relation_open(relation, pg_sys::NoLock as i32);
        if open.is_null() {
            return Ok(());
        }
        let name = stream::name_of(open);
        let label = CStr::from_ptr((*(*open).rd_rel).relname.data.as_ptr()).to_string_lossy().into_owned();
        pg_sys::relation_close(open, pg_sys::NoLock as i32);
        let Some(name) = name else { return Ok(()) };
        if catalog::find_extension()?.is_none() {
            return Ok(());
        }
        Err(Error::new(state::IMMUTABLE, format!("cannot drop table \"{label}\": it holds the stream \"{name}\""))
            .hint(
                "To drop the stream and its events: SELECT gundb.drop_stream('name'). To keep them in a plain table: \
                 SELECT gundb.detach_stream('name'). To remove gundb: SELECT gundb.uninstall().",
            )
            .into())
    }
}
