//! Which statement is running: whether rows that conflict are dropped in silence after they were stamped.
//!
//! A trigger is not told that its statement says ON CONFLICT DO NOTHING. Executor hooks keep the stack of running
//! plans, and the trigger looks at the innermost one, which is the one that fired it.
//!
//! The hooks call on with no Rust guard in between: an error must pass them as if they were not there, with all its
//! fields. So nothing in them may need dropping, or panic.
//!
//! Unsafe: hooks and plan trees.

use pgrx::pg_sys::{self, Oid};
use std::cell::Cell;

/// A running plan; lives in the stack frame of its hook, which knows the one outside it.
struct Running {
    query: *const pg_sys::QueryDesc,
}

thread_local! {
    static INNERMOST: Cell<*const Running> = const { Cell::new(core::ptr::null()) };
}

// Raw: pgrx's guarded forms would flatten the errors that pass.
unsafe extern "C-unwind" {
    #[cfg(not(feature = "pg18"))]
    fn standard_ExecutorRun(
        query: *mut pg_sys::QueryDesc,
        direction: pg_sys::ScanDirection::Type,
        count: u64,
        execute_once: bool,
    );
    #[cfg(feature = "pg18")]
    fn standard_ExecutorRun(query: *mut pg_sys::QueryDesc, direction: pg_sys::ScanDirection::Type, count: u64);
    fn standard_ExecutorFinish(query: *mut pg_sys::QueryDesc);
}

static mut PREVIOUS_RUN: pg_sys::ExecutorRun_hook_type = None;
static mut PREVIOUS_FINISH: pg_sys::ExecutorFinish_hook_type = None;

/// Installs the hooks.
pub fn register() {
    // SAFETY: called from _PG_init, in one thread.
    unsafe {
        PREVIOUS_RUN = pg_sys::ExecutorRun_hook;
        pg_sys::ExecutorRun_hook = Some(executor_run);
        PREVIOUS_FINISH = pg_sys::ExecutorFinish_hook;
        pg_sys::ExecutorFinish_hook = Some(executor_finish);
    }
}

/// A transaction has ended: no plan is running. (An error that jumped over a hook left its entry behind.)
pub fn forget() {
    INNERMOST.set(core::ptr::null());
}

/// Where the stack of plans stands.
#[derive(Clone, Copy)]
pub struct Mark(*const Running);

/// Taken when a subtransaction begins.
pub fn mark() -> Mark {
    Mark(INNERMOST.get())
}

/// Given back when it is rolled back: the plans that ran inside it are gone.
pub fn reset(mark: Mark) {
    INNERMOST.set(mark.0);
}

macro_rules! within {
    ($query:ident, $call:expr) => {{
        let outer = INNERMOST.get();
        let running = Running { query: $query };
        INNERMOST.set(&running);
        $call;
        INNERMOST.set(outer);
    }};
}

#[cfg(not(feature = "pg18"))]
unsafe extern "C-unwind" fn executor_run(
    query: *mut pg_sys::QueryDesc,
    direction: pg_sys::ScanDirection::Type,
    count: u64,
    execute_once: bool,
) {
    within!(query, unsafe {
        match PREVIOUS_RUN {
            Some(previous) => previous(query, direction, count, execute_once),
            None => standard_ExecutorRun(query, direction, count, execute_once),
        }
    });
}

#[cfg(feature = "pg18")]
unsafe extern "C-unwind" fn executor_run(
    query: *mut pg_sys::QueryDesc,
    direction: pg_sys::ScanDirection::Type,
    count: u64,
) {
    within!(query, unsafe {
        match PREVIOUS_RUN {
            Some(previous) => previous(query, direction, count),
            None => standard_ExecutorRun(query, direction, count),
        }
    });
}

unsafe extern "C-unwind" fn executor_finish(query: *mut pg_sys::QueryDesc) {
    within!(query, unsafe {
        match PREVIOUS_FINISH {
            Some(previous) => previous(query),
            None => standard_ExecutorFinish(query),
        }
    });
}

/// What a statement does with a row of `table` that conflicts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum OnConflict {
    Fails,
    /// DO UPDATE, which events refuse; but its WHERE may let the row go in silence.
    Updates,
    /// DO NOTHING.
    Skips,
}

/// What the running statement does with rows of `table` that conflict.
pub fn on_conflict(table: Oid) -> OnConflict {
    let running = INNERMOST.get();
    if running.is_null() {
        return OnConflict::Fails;
    }
    // SAFETY: the entry lives in the frame of a hook that is still running, and so does its plan.
    unsafe {
        let statement = (*(*running).query).plannedstmt;
        let plans = core::iter::once((*statement).planTree.cast()).chain(list((*statement).subplans));
        plans.map(|plan| of_plan(plan.cast(), statement, table)).max().unwrap_or(OnConflict::Fails)
    }
}

unsafe fn list(list: *const pg_sys::List) -> impl Iterator<Item = *mut core::ffi::c_void> {
    let count = if list.is_null() { 0 } else { unsafe { (*list).length } };
    // SAFETY: indexes below the length.
    (0..count).map(move |i| unsafe { (*(*list).elements.add(i as usize)).ptr_value })
}

unsafe fn of_plan(plan: *const pg_sys::Plan, statement: *const pg_sys::PlannedStmt, table: Oid) -> OnConflict {
    unsafe {
        if plan.is_null() || (*plan).type_ != pg_sys::NodeTag::T_ModifyTable {
            return OnConflict::Fails;
        }
        let modify = plan.cast::<pg_sys::ModifyTable>();
        let action = match (*modify).onConflictAction {
            pg_sys::OnConflictAction::ONCONFLICT_NOTHING => OnConflict::Skips,
            pg_sys::OnConflictAction::ONCONFLICT_UPDATE => OnConflict::Updates,
            _ => return OnConflict::Fails,
        };
        let relations = (*modify).resultRelations;
        let count = if relations.is_null() { 0 } else { (*relations).length };
        let inserts_here = (0..count).any(|i| {
            let index = (*(*relations).elements.add(i as usize)).int_value;
            let entry = list((*statement).rtable).nth((index - 1) as usize);
            entry.is_some_and(|entry| (*entry.cast::<pg_sys::RangeTblEntry>()).relid == table)
        });
        if inserts_here { action } else { OnConflict::Fails }
    }
}
