//! Statements that gundb must do something about.
//!
//! **Those that need every session of a database gone.** DROP DATABASE, CREATE DATABASE … TEMPLATE, a rename and SET TABLESPACE fail while anybody is connected, and the
//! worker is somebody. The hook stops it and holds the launcher off until the statement has ended, either way.
//!
//! **Those that alter a table.** ENABLE TRIGGER makes a trigger a plain one, which `session_replication_role` can get
//! round; those of gundb's fire always, so they are set right in the same statement. A stream's table stays logged, and a
//! view's too, which keeps the columns and the key by which it is maintained, and hides nothing from its owner: an append
//! must not fail for want of them.
//!
//! The hook calls on with no Rust guard in between, so that an error passes with all its fields.
//!
//! Unsafe: the hook and parse nodes.

use crate::boundary::{self, try_pg};
use crate::error::{Error, Result, state};
use crate::{catalog, drops, shared, transaction};
use pgrx::pg_sys::{self, Oid};
use std::ffi::CStr;

unsafe extern "C-unwind" {
    fn standard_ProcessUtility(
        statement: *mut pg_sys::PlannedStmt,
        text: *const core::ffi::c_char,
        read_only_tree: bool,
        context: pg_sys::ProcessUtilityContext::Type,
        params: pg_sys::ParamListInfo,
        environment: *mut pg_sys::QueryEnvironment,
        destination: *mut pg_sys::DestReceiver,
        completion: *mut pg_sys::QueryCompletion,
    );
    fn RangeVarGetRelidExtended(
        relation: *const pg_sys::RangeVar,
        lock: pg_sys::LOCKMODE,
        flags: u32,
        callback: pg_sys::RangeVarGetRelidCallback,
        callback_arg: *mut core::ffi::c_void,
    ) -> Oid;
}

static mut PREVIOUS: pg_sys::ProcessUtility_hook_type = None;

/// Installs the hook.
pub fn register() {
    // SAFETY: called from _PG_init.
    unsafe {
        PREVIOUS = pg_sys::ProcessUtility_hook;
        pg_sys::ProcessUtility_hook = Some(process_utility);
    }
}

unsafe extern "C-unwind" fn process_utility(
    statement: *mut pg_sys::PlannedStmt,
    text: *const core::ffi::c_char,
    read_only_tree: bool,
    context: pg_sys::ProcessUtilityContext::Type,
    params: pg_sys::ParamListInfo,
    environment: *mut pg_sys::QueryEnvironment,
    destination: *mut pg_sys::DestReceiver,
    completion: *mut pg_sys::QueryCompletion,
) {
    // SAFETY: nodes of the parser's making; whatever raises passes a frame that holds nothing to drop. What was held
    // off is let go at the end of the transaction, which every one of these statements brings, failed or not.
    unsafe {
        let node = (*statement).utilityStmt;
        drops::note_statement(drops_trigger(node));
        if !node.is_null() && needs_sessions_gone((*node).type_) {
            boundary::entry(|| stop_worker(node));
        }
        match PREVIOUS {
            Some(previous) => {
                previous(statement, text, read_only_tree, context, params, environment, destination, completion)
            }
            None => standard_ProcessUtility(
                statement,
                text,
                read_only_tree,
                context,
                params,
                environment,
                destination,
                completion,
            ),
        }
        if !node.is_null() {
            match (*node).type_ {
                pg_sys::NodeTag::T_AlterTableStmt | pg_sys::NodeTag::T_RenameStmt => boundary::entry(|| altered(node)),
                pg_sys::NodeTag::T_RuleStmt => boundary::entry(|| ruled(node)),
                _ => {}
            }
        }
    }
}

/// Looks at a table that was altered: what gundb needs of it must still be there, and its triggers fire always.
unsafe fn altered(node: *const pg_sys::Node) -> Result<()> {
    // SAFETY: a statement that has just run.
    let (relation, enables, reshapes, forces) = unsafe {
        if (*node).type_ == pg_sys::NodeTag::T_RenameStmt {
            let rename = &*node.cast::<pg_sys::RenameStmt>();
            if rename.renameType != pg_sys::ObjectType::OBJECT_COLUMN {
                return Ok(());
            }
            (rename.relation, false, true, false)
        } else {
            let alter = &*node.cast::<pg_sys::AlterTableStmt>();
            let forces = any(alter, &[pg_sys::AlterTableType::AT_ForceRowSecurity]);
            (alter.relation, any(alter, &ENABLES_TRIGGERS), any(alter, &RESHAPES), forces)
        }
    };
    const MISSING_OK: u32 = pg_sys::RVROption::RVR_MISSING_OK;
    let table = try_pg(|| unsafe {
        RangeVarGetRelidExtended(relation, pg_sys::NoLock as i32, MISSING_OK, None, core::ptr::null_mut())
    })?;
    if table == Oid::INVALID || catalog::find_extension()?.is_none() {
        return Ok(());
    }
    if enables {
        catalog::repair_triggers(Some(table))?;
    }
    // SAFETY: asks the cache.
    let is_unlogged = unsafe { pg_sys::get_rel_persistence(table) } as u8 == pg_sys::RELPERSISTENCE_UNLOGGED;
    if is_unlogged && catalog::is_stream_table(table)? {
        return Err(Error::new(state::IMMUTABLE, "cannot make a stream's table unlogged")
            .detail("A crash would take its events away.")
            .into());
    }
    if is_unlogged && is_view(table)? {
        return Err(Error::new(state::IMMUTABLE, "cannot make a view's table unlogged")
            .detail("A crash would take its rows away, and nobody would make them again.")
            .into());
    }
    if forces && is_view(table)? {
        return Err(Error::new(state::IMMUTABLE, "cannot bind the owner of a view by row-level security")
            .detail("Maintenance writes as the owner, and must see every row.")
            .hint("Policies without FORCE bind everybody else: let nobody read the view as its owner.")
            .into());
    }
    if reshapes { crate::view::refuse_unfit(table) } else { Ok(()) }
}

fn is_view(table: Oid) -> Result<bool> {
    Ok(catalog::has_views()? && catalog::view_of_table(table)?.is_some())
}

/// Whether a statement is a DROP TRIGGER.
unsafe fn drops_trigger(node: *const pg_sys::Node) -> bool {
    // SAFETY: a node of the parser's making, or null.
    unsafe {
        !node.is_null()
            && (*node).type_ == pg_sys::NodeTag::T_DropStmt
            && (*node.cast::<pg_sys::DropStmt>()).removeType == pg_sys::ObjectType::OBJECT_TRIGGER
    }
}

/// Refuses a rule on a view's table: it would make something else of what maintenance writes, in silence.
unsafe fn ruled(node: *const pg_sys::Node) -> Result<()> {
    // SAFETY: a statement that has just run.
    let relation = unsafe { (*node.cast::<pg_sys::RuleStmt>()).relation };
    let table = try_pg(|| unsafe {
        RangeVarGetRelidExtended(relation, pg_sys::NoLock as i32, 0, None, core::ptr::null_mut())
    })?;
    if catalog::find_extension()?.is_none() || !is_view(table)? {
        return Ok(());
    }
    let label = catalog::table_label(table)?;
    Err(Error::new(state::IMMUTABLE, format!("cannot make a rule on view {label}"))
        .detail("A rule would replace what maintenance writes.")
        .hint("Use an AFTER trigger, or an ordinary VIEW over the table.")
        .into())
}

/// What makes triggers plain ones.
const ENABLES_TRIGGERS: [pg_sys::AlterTableType::Type; 4] = [
    pg_sys::AlterTableType::AT_EnableTrig,
    pg_sys::AlterTableType::AT_EnableTrigAll,
    pg_sys::AlterTableType::AT_EnableTrigUser,
    pg_sys::AlterTableType::AT_EnableReplicaTrig,
];

/// What can take a column or the key away. (A view that is being restored has no key yet, and nobody takes it away.)
const RESHAPES: [pg_sys::AlterTableType::Type; 3] = [
    pg_sys::AlterTableType::AT_DropColumn,
    pg_sys::AlterTableType::AT_DropConstraint,
    pg_sys::AlterTableType::AT_AlterColumnType,
];

/// Whether some command of a statement is one of these.
unsafe fn any(alter: &pg_sys::AlterTableStmt, kinds: &[pg_sys::AlterTableType::Type]) -> bool {
    // SAFETY: the statement's list of commands.
    unsafe { elements(alter.cmds).any(|command| kinds.contains(&(*command.cast::<pg_sys::AlterTableCmd>()).subtype)) }
}

/// The elements of a list of nodes.
unsafe fn elements(list: *const pg_sys::List) -> impl Iterator<Item = *mut core::ffi::c_void> {
    let count = if list.is_null() { 0 } else { unsafe { (*list).length } };
    (0..count as usize).map(move |i| unsafe { (*(*list).elements.add(i)).ptr_value })
}

fn needs_sessions_gone(tag: pg_sys::NodeTag) -> bool {
    use pg_sys::NodeTag::*;
    matches!(tag, T_DropdbStmt | T_CreatedbStmt | T_AlterDatabaseStmt | T_RenameStmt)
}

/// Stops the worker of the database that the statement is about.
unsafe fn stop_worker(node: *const pg_sys::Node) -> Result<()> {
    use pg_sys::NodeTag::*;
    let name = unsafe {
        match (*node).type_ {
            T_DropdbStmt => (*node.cast::<pg_sys::DropdbStmt>()).dbname,
            T_CreatedbStmt => option((*node.cast::<pg_sys::CreatedbStmt>()).options, c"template"),
            T_AlterDatabaseStmt => {
                let alter = &*node.cast::<pg_sys::AlterDatabaseStmt>();
                if option(alter.options, c"tablespace").is_null() { core::ptr::null_mut() } else { alter.dbname }
            }
            T_RenameStmt => {
                let rename = &*node.cast::<pg_sys::RenameStmt>();
                if rename.renameType == pg_sys::ObjectType::OBJECT_DATABASE {
                    rename.subname
                } else {
                    core::ptr::null_mut()
                }
            }
            _ => core::ptr::null_mut(),
        }
    };
    if name.is_null() {
        return Ok(());
    }
    // SAFETY: a NUL-terminated name.
    let database = unsafe { pg_sys::get_database_oid(name, true) };
    if database != Oid::INVALID && shared::hold_off(database) {
        transaction::with(|t| t.held_off.push(database));
    }
    Ok(())
}

/// The text of an option of a statement, or null.
unsafe fn option(options: *const pg_sys::List, name: &CStr) -> *mut core::ffi::c_char {
    unsafe {
        for element in elements(options) {
            let element = element.cast::<pg_sys::DefElem>();
            if CStr::from_ptr((*element).defname) == name && !(*element).arg.is_null() {
                return pg_sys::defGetString(element);
            }
        }
        core::ptr::null_mut()
    }
}
