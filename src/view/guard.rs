//! Who may write to a view's table: maintenance alone.

use crate::error::{Error, Result, state};
use crate::{catalog, sql_function, transaction};
use pgrx::pg_sys::{self, Datum, Oid};
use std::cell::Cell;
use std::ffi::CStr;

thread_local! {
    /// The view that is being written to, and how deep in triggers that is.
    static WRITING: Cell<Option<(Oid, i32)>> = const { Cell::new(None) };
}

/// Runs `f`, which writes to a view's table. What triggers of the user's write meanwhile is refused as ever: it is
/// nested deeper.
pub fn writing<T>(view: Oid, f: impl FnOnce() -> Result<T>) -> Result<T> {
    struct Reset(Option<(Oid, i32)>);
    impl Drop for Reset {
        fn drop(&mut self) {
            WRITING.set(self.0);
        }
    }
    let _reset = Reset(WRITING.replace(Some((view, transaction::trigger_depth()))));
    f()
}

sql_function! {
    /// `gundb.guard_view()`: the trigger, BEFORE … FOR EACH STATEMENT.
    fn gundb_guard_view(call) {
        // SAFETY: `call` holds PostgreSQL's own fcinfo.
        unsafe {
            let context = (*call.fcinfo()).context;
            if context.is_null() || (*context).type_ != pg_sys::NodeTag::T_TriggerData {
                return Err(Error::new(state::WRONG_OBJECT, "this function can only be called as a trigger").into());
            }
            let relation = (*context.cast::<pg_sys::TriggerData>()).tg_relation;
            let ours = WRITING.get() == Some(((*relation).rd_id, transaction::trigger_depth() - 1));
            if ours || crate::restore::is_open() {
                return Ok(Datum::null());
            }
            let table = CStr::from_ptr((*(*relation).rd_rel).relname.data.as_ptr()).to_string_lossy();
            if catalog::view_of_table((*relation).rd_id)?.is_none() {
                return Err(Error::new(
                    state::VIEW_IS_DERIVED,
                    format!("cannot write to \"{table}\": it is the table of a view that is not here"),
                )
                .hint("It came alone, as from pg_dump -t. DROP TABLE takes it away; DROP TRIGGER gundb_guard makes it a plain table.")
                .into());
            }
            Err(Error::new(state::VIEW_IS_DERIVED, format!("cannot write to \"{table}\": it is a view, maintained by gundb"))
                .hint(
                    "Append an event to its stream, with INSERT or gundb.append(); gundb.drop_view() drops the view. \
                     To load a dump's data, see gundb.begin_restore().",
                )
                .into())
        }
    }
}
