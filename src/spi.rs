//! Running SQL from Rust with PostgreSQL's errors kept whole, and as the extension's owner where need be.
//!
//! pgrx has an SPI of its own; this one exists because errors that pass through it lose fields (see `boundary`),
//! and because plans are kept for the life of the backend here.
//!
//! Unsafe: SPI. Must hold: [`connect`] and finish are paired on every path that does not raise; rows are read
//! only inside `connect`.

use crate::boundary::try_pg;
use crate::error::{Failure, Result, internal};
use core::ffi::{c_char, c_int, c_long};
use gundb_core::{Chain, Clock, Hlc, Lane};
use pgrx::pg_sys::{self, Datum, Oid};
use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::CStr;

// Raw, unguarded: an error must reach `try_pg` whole.
unsafe extern "C-unwind" {
    fn SPI_connect() -> c_int;
    fn SPI_finish() -> c_int;
    fn SPI_prepare_cursor(src: *const c_char, nargs: c_int, argtypes: *mut Oid, options: c_int) -> pg_sys::SPIPlanPtr;
    fn SPI_keepplan(plan: pg_sys::SPIPlanPtr) -> c_int;
    fn SPI_execute_plan(
        plan: pg_sys::SPIPlanPtr,
        values: *mut Datum,
        nulls: *const c_char,
        read_only: bool,
        tcount: c_long,
    ) -> c_int;
    fn SPI_execute_snapshot(
        plan: pg_sys::SPIPlanPtr,
        values: *mut Datum,
        nulls: *const c_char,
        snapshot: pg_sys::Snapshot,
        crosscheck_snapshot: pg_sys::Snapshot,
        read_only: bool,
        fire_triggers: bool,
        tcount: c_long,
    ) -> c_int;
    fn GetLatestSnapshot() -> pg_sys::Snapshot;
    fn SPI_execute(src: *const c_char, read_only: bool, tcount: c_long) -> c_int;
    fn SPI_cursor_open(
        name: *const c_char,
        plan: pg_sys::SPIPlanPtr,
        values: *mut Datum,
        nulls: *const c_char,
        read_only: bool,
    ) -> pg_sys::Portal;
    fn SPI_cursor_fetch(portal: pg_sys::Portal, forward: bool, count: c_long);
    fn SPI_cursor_close(portal: pg_sys::Portal);
}

/// An argument: its type and value.
#[derive(Clone, Copy)]
pub struct Arg {
    pub oid: Oid,
    pub value: Option<Datum>,
}

/// Text, bytes or a number as an argument.
pub mod arg {
    use super::*;

    pub fn text(value: &str) -> Arg {
        Arg { oid: pg_sys::TEXTOID, value: Some(varlena(value.as_bytes())) }
    }
    pub fn text_or_null(value: Option<&str>) -> Arg {
        Arg { oid: pg_sys::TEXTOID, value: value.map(|value| varlena(value.as_bytes())) }
    }
    pub fn int8(value: i64) -> Arg {
        Arg { oid: pg_sys::INT8OID, value: Some(Datum::from(value)) }
    }
    pub fn oid(value: Oid) -> Arg {
        Arg { oid: pg_sys::OIDOID, value: Some(Datum::from(value)) }
    }
    pub fn oid_or_null(value: Option<Oid>) -> Arg {
        Arg { oid: pg_sys::OIDOID, value: value.map(Datum::from) }
    }
    pub fn bool(value: bool) -> Arg {
        Arg { oid: pg_sys::BOOLOID, value: Some(Datum::from(value)) }
    }
    pub fn uuid(value: &[u8; 16]) -> Arg {
        Arg { oid: pg_sys::UUIDOID, value: Some(fixed(value)) }
    }
    pub fn of(oid: Oid, value: Option<Datum>) -> Arg {
        Arg { oid, value }
    }
    /// An array of elements of a type.
    pub fn array(element_type: Oid, elements: impl Iterator<Item = Option<Datum>>) -> Arg {
        let elements = elements.collect::<Vec<_>>();
        // SAFETY: asks a cache.
        let oid = unsafe { pg_sys::get_array_type(element_type) };
        Arg { oid, value: Some(super::array(&elements, element_type)) }
    }
}

/// Copies bytes into a fresh varlena.
pub fn varlena(bytes: &[u8]) -> Datum {
    // SAFETY: the allocation has room for the header and the bytes.
    unsafe {
        let size = bytes.len() + pg_sys::VARHDRSZ;
        let pointer = pg_sys::palloc(size).cast::<pg_sys::varlena>();
        pgrx::set_varsize_4b(pointer, size as i32);
        core::ptr::copy_nonoverlapping(bytes.as_ptr(), pointer.cast::<u8>().add(pg_sys::VARHDRSZ), bytes.len());
        Datum::from(pointer)
    }
}

/// Frees a value made by [`varlena`].
pub fn free(value: Datum) {
    // SAFETY: the caller made it and is done with it.
    unsafe { pg_sys::pfree(value.cast_mut_ptr()) };
}

/// Copies bytes into a fresh by-reference value of fixed length.
pub fn fixed(bytes: &[u8]) -> Datum {
    // SAFETY: as above.
    unsafe {
        let pointer = pg_sys::palloc(bytes.len()).cast::<u8>();
        core::ptr::copy_nonoverlapping(bytes.as_ptr(), pointer, bytes.len());
        Datum::from(pointer)
    }
}

/// A fresh array of texts.
pub fn text_array(texts: &[String]) -> Datum {
    let mut elements = texts.iter().map(|text| varlena(text.as_bytes())).collect::<Vec<_>>();
    // SAFETY: as many elements as are counted, all of type text.
    unsafe {
        let array = pg_sys::construct_array(
            elements.as_mut_ptr(),
            elements.len() as i32,
            pg_sys::TEXTOID,
            -1,
            false,
            b'i' as c_char,
        );
        Datum::from(array)
    }
}

/// A fresh array of byte strings.
pub fn bytea_array(all: &[&[u8]]) -> Datum {
    let elements = all.iter().map(|bytes| Some(varlena(bytes))).collect::<Vec<_>>();
    array(&elements, pg_sys::BYTEAOID)
}

/// A fresh array of texts, NULLs among them.
pub fn nullable_text_array(texts: &[Option<String>]) -> Datum {
    let elements = texts.iter().map(|text| text.as_deref().map(|text| varlena(text.as_bytes()))).collect::<Vec<_>>();
    array(&elements, pg_sys::TEXTOID)
}

/// A fresh array of one dimension.
pub fn array(elements: &[Option<Datum>], element_type: Oid) -> Datum {
    let mut values = elements.iter().map(|element| element.unwrap_or(Datum::null())).collect::<Vec<_>>();
    let mut nulls = elements.iter().map(Option::is_none).collect::<Vec<_>>();
    let (mut dimensions, mut lower_bounds) = ([elements.len() as i32], [1]);
    let (mut length, mut by_value, mut align) = (0i16, false, 0);
    // SAFETY: as many values and NULLs as the one dimension says, all of the type.
    unsafe {
        pg_sys::get_typlenbyvalalign(element_type, &mut length, &mut by_value, &mut align);
        Datum::from(pg_sys::construct_md_array(
            values.as_mut_ptr(),
            nulls.as_mut_ptr(),
            1,
            dimensions.as_mut_ptr(),
            lower_bounds.as_mut_ptr(),
            element_type,
            length as i32,
            by_value,
            align,
        ))
    }
}

/// The bytes of a varlena datum, detoasted; valid as long as the current memory context.
///
/// # Safety
/// `datum` is a varlena.
pub unsafe fn bytes_of<'a>(datum: Datum) -> &'a [u8] {
    unsafe {
        let mut pointer = datum.cast_mut_ptr::<pg_sys::varlena>();
        // What is stored plainly, as almost everything is, costs no call.
        let plain = pgrx::varatt_is_4b_u(pointer) || pgrx::varatt_is_1b(pointer) && !pgrx::varatt_is_1b_e(pointer);
        if !plain {
            pointer = pg_sys::pg_detoast_datum_packed(pointer);
        }
        core::slice::from_raw_parts(pgrx::vardata_any(pointer).cast::<u8>(), pgrx::varsize_any_exhdr(pointer))
    }
}

/// Copies a varlena into the memory that was current before SPI was connected.
///
/// # Safety
/// `datum` is a varlena, and SPI is connected.
pub unsafe fn copy_out(datum: Datum) -> Datum {
    unsafe {
        let bytes = bytes_of(datum);
        let size = bytes.len() + pg_sys::VARHDRSZ;
        let pointer = pg_sys::SPI_palloc(size).cast::<pg_sys::varlena>();
        pgrx::set_varsize_4b(pointer, size as i32);
        core::ptr::copy_nonoverlapping(bytes.as_ptr(), pointer.cast::<u8>().add(pg_sys::VARHDRSZ), bytes.len());
        Datum::from(pointer)
    }
}

/// The text of a varlena datum.
///
/// # Safety
/// `datum` is a text of a database in UTF8 (others are refused at CREATE EXTENSION).
pub unsafe fn text_of<'a>(datum: Datum) -> &'a str {
    let bytes = unsafe { bytes_of(datum) };
    // A database with encoding UTF8 holds only valid text.
    core::str::from_utf8(bytes).unwrap_or("\u{fffd}")
}

/// How a statement sees the database.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// As a statement of the user's would: a fresh snapshot under READ COMMITTED.
    Write,
    /// As Write, seeing everything committed by now even under REPEATABLE READ: for what must miss nothing.
    Latest,
    /// Through the active snapshot, without writing.
    Read,
}

/// What is connected: proof that rows may be read.
pub struct Spi(());

/// Runs `f` with SPI connected, and with a search path that nobody can write to: no operator or function of a user's
/// can take the place of PostgreSQL's.
pub fn connect<T>(f: impl FnOnce(&Spi) -> Result<T>) -> Result<T> {
    let _pinned = Pinned::unless_pinned();
    connect_as_caller(f)
}

/// Runs `f` with SPI connected and the caller's search path, for statements that run the caller's code: triggers, row
/// security. They spell every name and operator with its schema.
pub fn connect_as_caller<T>(f: impl FnOnce(&Spi) -> Result<T>) -> Result<T> {
    // SAFETY: raw calls only.
    try_pg(|| unsafe { SPI_connect() })?;
    let value = f(&Spi(()))?;
    try_pg(|| unsafe { SPI_finish() })?;
    Ok(value)
}

/// The search path, pinned for as long as the value lives.
struct Pinned(i32);

const PINNED_PATH: &CStr = c"pg_catalog, pg_temp";

impl Pinned {
    /// Pins the path, unless it is what it should be. (Whether it was pinned before says nothing: a user's function
    /// that runs inside may have set another.)
    fn unless_pinned() -> Option<Pinned> {
        // SAFETY: the setting's value is a NUL-terminated string, or null before it was first set.
        let is_pinned = unsafe {
            let path = pg_sys::namespace_search_path;
            !path.is_null() && CStr::from_ptr(path) == PINNED_PATH
        };
        (!is_pinned).then(Pinned::new)
    }

    fn new() -> Pinned {
        // SAFETY: the nest level is closed when the value drops, also while an error unwinds.
        unsafe {
            let pinned = Pinned(pg_sys::NewGUCNestLevel());
            pg_sys::set_config_option(
                c"search_path".as_ptr(),
                PINNED_PATH.as_ptr(),
                pg_sys::GucContext::PGC_USERSET,
                pg_sys::GucSource::PGC_S_SESSION,
                pg_sys::GucAction::GUC_ACTION_SAVE,
                true,
                0,
                false,
            );
            pinned
        }
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // SAFETY: gives back what was saved; does not raise.
        unsafe { pg_sys::AtEOXact_GUC(false, self.0) };
    }
}

thread_local! {
    static PLANS: RefCell<HashMap<String, pg_sys::SPIPlanPtr>> = RefCell::new(HashMap::new());
}

/// Plans kept a backend; those beyond last only as long as the connection to SPI.
const PLANS_MAX: usize = 4096;

/// Makes every kept plan anew when it is next needed. The old ones are not freed: one of them may be running.
pub fn forget_plans() {
    PLANS.with_borrow_mut(HashMap::clear);
}

impl Spi {
    /// Runs a statement whose plan is kept for the life of the backend.
    pub fn run(&self, sql: &str, args: &[Arg], mode: Mode, limit: i64) -> Result<Rows> {
        let plan = match PLANS.with_borrow(|plans| plans.get(sql).copied()) {
            Some(plan) => plan,
            None => self.prepare(sql, args)?,
        };
        let mut values = args.iter().map(|a| a.value.unwrap_or(Datum::null())).collect::<Vec<_>>();
        let nulls = args.iter().map(|a| if a.value.is_none() { b'n' } else { b' ' }).collect::<Vec<_>>();
        let (values, nulls) = (values.as_mut_ptr(), nulls.as_ptr().cast());
        // SAFETY: a kept plan, with as many values as it was prepared for; they outlive the call.
        let code = try_pg(|| unsafe {
            match mode {
                Mode::Latest => {
                    let none = core::ptr::null_mut();
                    let latest = GetLatestSnapshot();
                    SPI_execute_snapshot(plan, values, nulls, latest, none, false, true, limit as c_long)
                }
                _ => SPI_execute_plan(plan, values, nulls, mode == Mode::Read, limit as c_long),
            }
        })?;
        Self::rows(code, sql)
    }

    /// Runs a query that may give any number of rows, of which few are held at once.
    pub fn each(&self, sql: &str, mode: Mode, mut found: impl FnMut(Row) -> Result<()>) -> Result<()> {
        const ROWS_AT_ONCE: c_long = 1_000;
        let plan = match PLANS.with_borrow(|plans| plans.get(sql).copied()) {
            Some(plan) => plan,
            None => self.prepare(sql, &[])?,
        };
        let none = core::ptr::null_mut();
        // SAFETY: a kept plan without arguments; an error in between is cleaned up by transaction abort.
        let portal = try_pg(|| unsafe {
            SPI_cursor_open(core::ptr::null(), plan, none, core::ptr::null(), mode == Mode::Read)
        })?;
        loop {
            try_pg(|| unsafe { SPI_cursor_fetch(portal, true, ROWS_AT_ONCE) })?;
            let rows = Self::rows(0, sql)?;
            rows.iter().try_for_each(&mut found)?;
            let end = rows.is_empty();
            // SAFETY: the rows of this fetch, which nobody looks at any more.
            unsafe { pg_sys::SPI_freetuptable(rows.table) };
            if end {
                break;
            }
        }
        try_pg(|| unsafe { SPI_cursor_close(portal) })
    }

    /// Runs a statement once: DDL, and what names a table chosen at run time.
    pub fn run_once(&self, sql: &str, mode: Mode) -> Result<Rows> {
        let text = c_string(sql)?;
        let source = text.as_ptr();
        // SAFETY: a NUL-terminated string that outlives the call.
        let code = try_pg(|| unsafe { SPI_execute(source, mode == Mode::Read, 0) })?;
        Self::rows(code, sql)
    }

    fn prepare(&self, sql: &str, args: &[Arg]) -> Result<pg_sys::SPIPlanPtr> {
        let text = c_string(sql)?;
        let mut oids = args.iter().map(|a| a.oid).collect::<Vec<_>>();
        let keep = PLANS.with_borrow(HashMap::len) < PLANS_MAX;
        let (source, types, count) = (text.as_ptr(), oids.as_mut_ptr(), oids.len() as c_int);
        // SAFETY: `count` types; both pointers outlive the call.
        let plan = try_pg(|| unsafe {
            // Our statements are probes and small scans: planning them anew for their arguments never pays.
            let plan = SPI_prepare_cursor(source, count, types, pg_sys::CURSOR_OPT_GENERIC_PLAN as c_int);
            if keep && !plan.is_null() {
                SPI_keepplan(plan);
            }
            plan
        })?;
        if plan.is_null() {
            return Err(internal(format!("could not prepare: {sql}")));
        }
        if keep {
            PLANS.with_borrow_mut(|plans| plans.insert(sql.to_owned(), plan));
        }
        Ok(plan)
    }

    fn rows(code: c_int, sql: &str) -> Result<Rows> {
        if code < 0 {
            return Err(internal(format!("SPI error {code} in: {sql}")));
        }
        // SAFETY: set by the call that has just returned.
        unsafe { Ok(Rows { table: pg_sys::SPI_tuptable, count: pg_sys::SPI_processed as usize }) }
    }
}

fn c_string(sql: &str) -> Result<std::ffi::CString> {
    std::ffi::CString::new(sql).map_err(|_| internal("a statement contained a NUL byte"))
}

/// The rows of a statement; valid until SPI is finished.
pub struct Rows {
    table: *mut pg_sys::SPITupleTable,
    count: usize,
}

impl Rows {
    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub fn iter(&self) -> impl Iterator<Item = Row> + '_ {
        (0..self.count).map(|index| Row { table: self.table, index })
    }

    pub fn first(&self) -> Option<Row> {
        self.iter().next()
    }
}

/// Frees the rows that `row` stands among; nothing of them may be used afterwards.
pub fn free_rows_of(row: Row) {
    // SAFETY: the table was made within the present connection, and the caller is done with it.
    unsafe { pg_sys::SPI_freetuptable(row.table) };
}

/// One row. Columns are counted from 1, as in SQL; the caller knows their types, having written the statement.
#[derive(Clone, Copy)]
pub struct Row {
    table: *mut pg_sys::SPITupleTable,
    index: usize,
}

impl Row {
    /// Whether two rows came from one statement.
    pub fn stands_with(&self, other: &Row) -> bool {
        self.table == other.table
    }

    /// All columns at once: cheaper than one by one where there are many.
    pub fn all<const N: usize>(&self) -> ([Datum; N], [bool; N]) {
        let (mut values, mut nulls) = ([Datum::null(); N], [true; N]);
        // SAFETY: `index` is below the number of rows; the caller's statement has N columns, which is checked.
        unsafe {
            let descriptor = (*self.table).tupdesc;
            if (*descriptor).natts as usize == N {
                let tuple = *(*self.table).vals.add(self.index);
                pg_sys::heap_deform_tuple(tuple, descriptor, values.as_mut_ptr(), nulls.as_mut_ptr());
            }
        }
        (values, nulls)
    }

    pub fn datum(&self, column: usize) -> Option<Datum> {
        let mut null = false;
        // SAFETY: `index` is below the number of rows that SPI returned.
        let value = unsafe {
            let tuple = *(*self.table).vals.add(self.index);
            pg_sys::SPI_getbinval(tuple, (*self.table).tupdesc, column as i32, &mut null)
        };
        (!null).then_some(value)
    }

    pub fn text(&self, column: usize) -> Option<String> {
        // SAFETY: the statement's author knows that the column is text.
        self.datum(column).map(|datum| unsafe { text_of(datum) }.to_owned())
    }

    pub fn bytes(&self, column: usize) -> Option<Vec<u8>> {
        // SAFETY: the statement's author knows that the column is bytea.
        self.datum(column).map(|datum| unsafe { bytes_of(datum) }.to_vec())
    }

    pub fn int8(&self, column: usize) -> Option<i64> {
        self.datum(column).map(|datum| datum.value() as i64)
    }

    pub fn int4(&self, column: usize) -> Option<i32> {
        self.datum(column).map(|datum| datum.value() as i32)
    }

    pub fn oid(&self, column: usize) -> Option<Oid> {
        self.datum(column).map(|datum| Oid::from(datum.value() as u32))
    }

    pub fn bool(&self, column: usize) -> Option<bool> {
        self.datum(column).map(|datum| datum.value() != 0)
    }

    pub fn uuid(&self, column: usize) -> Option<[u8; 16]> {
        // SAFETY: as for `text`.
        self.datum(column).map(|datum| unsafe { crate::scan::sixteen(datum) })
    }

    pub fn hlc(&self, column: usize) -> Option<Hlc> {
        self.int8(column).map(crate::scan::stored_hlc)
    }

    pub fn lane(&self, column: usize) -> Option<Lane> {
        self.int8(column).map(crate::scan::stored_lane)
    }

    pub fn chain(&self, column: usize) -> Option<Chain> {
        self.uuid(column).map(Chain)
    }

    pub fn dot(&self, column: usize) -> Option<gundb_core::Dot> {
        // SAFETY: the statement's author knows that the column is gundb.dot, 48 bytes.
        let bytes = self.datum(column).map(|datum| unsafe { *datum.cast_mut_ptr::<[u8; 48]>() })?;
        gundb_core::Dot::from_bytes(&bytes).ok()
    }

    /// The texts of an array without NULLs.
    pub fn text_array(&self, column: usize) -> Option<Vec<String>> {
        // SAFETY: the statement's author knows that the column is text[].
        let elements =
            self.datum(column).map(|datum| unsafe { crate::call::array_elements(datum, pg_sys::TEXTOID) })?;
        // SAFETY: elements of a text array.
        elements.into_iter().map(|element| element.map(|datum| unsafe { text_of(datum) }.to_owned())).collect()
    }

    pub fn clock(&self, column: usize) -> Result<Option<Clock>> {
        // SAFETY: as for `text`.
        let Some(bytes) = self.datum(column).map(|datum| unsafe { bytes_of(datum) }) else {
            return Ok(None);
        };
        Clock::decode(bytes).map(Some).map_err(|error| internal(format!("a stored clock is damaged: {error}")))
    }
}

/// Runs `f` as the owner of the extension, with the search path pinned.
///
/// For what every appender must be able to write but no user may: the run's record, epochs, the stored mark. It runs
/// nothing of a user's: where a user's index, constraint or trigger could run, it is [`as_table_owner`].
pub fn as_owner<T>(f: impl FnOnce() -> Result<T>) -> Result<T> {
    as_role(crate::catalog::owner()?, f)
}

/// Runs `f` as the owner of a stream's table, whose indexes and constraints may call functions of the owner's.
pub fn as_table_owner<T>(table: Oid, f: impl FnOnce() -> Result<T>) -> Result<T> {
    // SAFETY: a tuple of pg_class, released once it has been read.
    let owner = unsafe {
        let tuple = pg_sys::SearchSysCache1(pg_sys::SysCacheIdentifier::RELOID as i32, Datum::from(table));
        if tuple.is_null() {
            return Err(internal(format!("table {} is gone", table.to_u32())));
        }
        let owner = (*pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_class>()).relowner;
        pg_sys::ReleaseSysCache(tuple);
        owner
    };
    as_role(owner, f)
}

fn as_role<T>(role: Oid, f: impl FnOnce() -> Result<T>) -> Result<T> {
    struct Restore(Oid, i32);
    impl Drop for Restore {
        fn drop(&mut self) {
            // SAFETY: gives back what was saved; does not raise.
            unsafe { pg_sys::SetUserIdAndSecContext(self.0, self.1) };
        }
    }
    let _pinned = Pinned::unless_pinned();
    let (mut user, mut context) = (Oid::INVALID, 0);
    // SAFETY: the saved values are restored when `_restore` drops, also while an error unwinds.
    let _restore = unsafe {
        pg_sys::GetUserIdAndSecContext(&mut user, &mut context);
        let changed = pg_sys::SECURITY_LOCAL_USERID_CHANGE | pg_sys::SECURITY_RESTRICTED_OPERATION;
        pg_sys::SetUserIdAndSecContext(role, context | changed as i32);
        Restore(user, context)
    };
    f()
}

/// Sleeps on a condition variable for at most so long; a cancel is a failure like any other.
pub fn sleep(on: *mut pg_sys::ConditionVariable, ms: i64) -> Result<()> {
    unsafe extern "C-unwind" {
        fn ConditionVariableTimedSleep(on: *mut pg_sys::ConditionVariable, ms: c_long, event: u32) -> bool;
    }
    // SAFETY: the caller has prepared to sleep on this variable.
    try_pg(|| unsafe { ConditionVariableTimedSleep(on, ms as c_long, pg_sys::PG_WAIT_EXTENSION) }).map(drop)
}

/// Runs `f` with a snapshot that shows everything committed by now, even under REPEATABLE READ.
pub fn with_latest_snapshot<T>(f: impl FnOnce() -> Result<T>) -> Result<T> {
    // SAFETY: pushed and popped in pairs; after an error, abort pops it.
    unsafe {
        pg_sys::PushActiveSnapshot(pg_sys::GetLatestSnapshot());
        let value = f()?;
        pg_sys::PopActiveSnapshot();
        Ok(value)
    }
}

impl From<core::convert::Infallible> for Failure {
    fn from(never: core::convert::Infallible) -> Failure {
        match never {}
    }
}
