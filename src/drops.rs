//! Refusing to drop a stream by the way: DROP TABLE, DROP EXTENSION … CASCADE, DROP SCHEMA … CASCADE, DROP OWNED.
//!
//! Events are not dropped unasked, and a stream dropped behind gundb's back could issue a dot twice. PostgreSQL
//! tells of every object before it goes, whatever statement takes it, so one hook covers them all.

use crate::boundary;
use crate::error::{Error, Result, state};
use crate::{catalog, transaction};
use pgrx::pg_sys::{self, Oid};
use std::cell::Cell;
use std::ffi::CStr;

/// The catalog pg_inherits, which pgrx does not name.
const INHERITS: Oid = unsafe { core::mem::transmute::<u32, Oid>(2611) };

/// The catalog pg_attrdef, likewise.
const DEFAULTS: Oid = unsafe { core::mem::transmute::<u32, Oid>(2604) };

thread_local! {
    static ALLOWED: Cell<bool> = const { Cell::new(false) };
    /// Whether the last statement was a DROP TRIGGER: only for what a message says.
    static IS_OF_TRIGGER: Cell<bool> = const { Cell::new(false) };
}

/// A statement is about to run.
pub fn note_statement(drops_trigger: bool) {
    IS_OF_TRIGGER.set(drops_trigger);
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

/// Whether gundb itself is emptying or dropping streams.
pub fn is_allowed() -> bool {
    ALLOWED.get()
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
        if access == pg_sys::ObjectAccessType::OAT_POST_ALTER && class == INHERITS && !ALLOWED.get() {
            boundary::entry(|| refuse_no_inherit(object));
        }
        if access != pg_sys::ObjectAccessType::OAT_DROP || sub != 0 {
            return;
        }
        match class {
            // A table's triggers go before the table does, so a trigger of gundb's stands for its table.
            pg_sys::TriggerRelationId if !ALLOWED.get() => boundary::entry(|| refuse_trigger(object)),
            DEFAULTS if !ALLOWED.get() && is_default_of_state(object) => boundary::entry(|| refuse_default(object)),
            // A primary key may be dropped by its index alone, or by its constraint, which takes the index along. What
            // PostgreSQL drops for its own ends, as REINDEX CONCURRENTLY does, has been replaced.
            pg_sys::RelationRelationId if !ALLOWED.get() && !is_internal(arg) && is_lasting_index(object) => {
                boundary::entry(|| refuse_index(object));
            }
            // The worker looks whether it is still at home once this has committed.
            pg_sys::ExtensionRelationId => {
                transaction::with(|t| t.extension_changed = Some(pg_sys::MyDatabaseId));
            }
            // Forgotten at commit: the statement can still fail, and others may be connected until it is sure.
            pg_sys::DatabaseRelationId => transaction::with(|t| t.dropped_database = Some(object)),
            _ => {}
        }
    }
}

/// Raises if a stream's table would leave its parent.
fn refuse_no_inherit(table: Oid) -> Result<()> {
    if catalog::find_extension()?.is_none() || !catalog::is_stream_table(table)? {
        return Ok(());
    }
    Err(Error::new(state::IMMUTABLE, "cannot change the inheritance of a stream's table")
        .hint("To make it a plain table: SELECT gundb.detach_stream('name').")
        .into())
}

/// Whether PostgreSQL drops something for its own ends.
unsafe fn is_internal(arg: *const core::ffi::c_void) -> bool {
    // SAFETY: with OAT_DROP the argument is this, or null.
    !arg.is_null()
        && unsafe { (*arg.cast::<pg_sys::ObjectAccessDrop>()).dropflags } & pg_sys::PERFORM_DELETION_INTERNAL as i32
            != 0
}

/// Whether a relation is an index that outlives its session. Asked of everything dropped, so it asks the cache only.
unsafe fn is_lasting_index(relation: Oid) -> bool {
    unsafe {
        pg_sys::get_rel_relkind(relation) as u8 == pg_sys::RELKIND_INDEX
            && pg_sys::get_rel_persistence(relation) as u8 != pg_sys::RELPERSISTENCE_TEMP
    }
}

/// Whether a default could be that of a reducer view's column. Likewise.
unsafe fn is_default_of_state(default: Oid) -> bool {
    unsafe extern "C-unwind" {
        fn GetAttrDefaultColumnAddress(default: Oid) -> pg_sys::ObjectAddress;
    }
    unsafe {
        let column = GetAttrDefaultColumnAddress(default);
        let (table, number) = (column.objectId, column.objectSubId as i16);
        if table == Oid::INVALID || pg_sys::get_atttype(table, number) != pg_sys::JSONBOID {
            return false;
        }
        let name = pg_sys::get_attname(table, number, true);
        !name.is_null() && CStr::from_ptr(name) == c"state"
    }
}

/// Raises if gundb finds a stream's events by the index.
fn refuse_index(index: Oid) -> Result<()> {
    if catalog::find_extension()?.is_none() {
        return Ok(());
    }
    let Some(table) = catalog::table_found_by(index)? else { return Ok(()) };
    Err(Error::new(state::IMMUTABLE, format!("cannot drop an index by which gundb finds the events of {table}"))
        .hint(WAYS_OUT)
        .into())
}

const WAYS_OUT: &str = "To drop the stream and its events: SELECT gundb.drop_stream('name'). To keep them in a plain \
                        table: SELECT gundb.detach_stream('name'). To remove gundb: SELECT gundb.uninstall().";

/// Raises if the default ties a view to its reducer.
fn refuse_default(default: Oid) -> Result<()> {
    if catalog::find_extension()?.is_none() {
        return Ok(());
    }
    let Some(label) = catalog::tied_by(default)? else { return Ok(()) };
    Err(Error::new(state::IMMUTABLE, format!("cannot drop or change what makes the rows of view {label} of gundb"))
        .detail("The default of its column \"state\" names the reducer.")
        .hint("To drop the view: SELECT gundb.drop_view('name'). To remove gundb: SELECT gundb.uninstall().")
        .into())
}

/// Raises if the trigger is one that gundb needs: it is dropped for itself, or its table is.
fn refuse_trigger(trigger: Oid) -> Result<()> {
    if catalog::find_extension()?.is_none() {
        return Ok(());
    }
    let alone = IS_OF_TRIGGER.get();
    let refused = |what: String| Error::new(state::IMMUTABLE, what);
    if let Some(label) = catalog::view_of_trigger(trigger)? {
        let what = match alone {
            true => format!("cannot drop the trigger that keeps others from writing to view {label} of gundb"),
            false => format!("cannot drop table {label}: it is a view of gundb"),
        };
        return Err(refused(what)
            .hint("To drop the view: SELECT gundb.drop_view('name'). To remove gundb: SELECT gundb.uninstall().")
            .into());
    }
    if let Some((label, name)) = catalog::maintained_by(trigger)? {
        return Err(match alone {
            true => refused(format!("cannot drop the trigger that maintains the views of {label}"))
                .hint("It goes with the last view: SELECT gundb.drop_view('name')."),
            false => refused(match name {
                Some(name) => format!("cannot drop table {label}: it holds the stream \"{name}\", which has views"),
                None => format!("cannot drop table {label}: it holds a stream, which has views"),
            })
            .hint(
                "Drop the views first, with SELECT gundb.drop_view('name'), then the stream and its events, with \
                     SELECT gundb.drop_stream('name'). To remove gundb: SELECT gundb.uninstall().",
            ),
        }
        .into());
    }
    let Some((label, name)) = catalog::stream_of_trigger(trigger)? else { return Ok(()) };
    let what = match alone {
        true => format!("cannot drop the trigger that stamps the events of {label}"),
        false => format!("cannot drop table {label}: it holds the stream \"{name}\""),
    };
    Err(refused(what).hint(WAYS_OUT).into())
}
