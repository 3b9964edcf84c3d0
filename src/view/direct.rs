//! Rows of a view written without plans, since each append waits for it: where the table is what gundb has made, no
//! statement could do more than to find the row by its key, form it, and store it.
//!
//! As of now, whatever the transaction's snapshot, as states are: under the lock of the key's state nobody else writes the
//! row. A transaction of REPEATABLE READ or above that meets a row it cannot see fails as it would with a statement.
//!
//! Must hold: the table has no index but its key, no trigger but the guard, no constraint, rule, default or row security
//! ([`ViewTable::can_refuse`](super::table::ViewTable::can_refuse)); so nothing of a user's runs, and nobody's rights
//! matter. A command is counted after writing.
//!
//! Unsafe: PostgreSQL's access methods.

use crate::boundary::try_pg;
use crate::error::{Error, Result, internal};
use crate::scan::key as scan_key;
use crate::spi::varlena;
use crate::view::keyed::Keyed;
use crate::view::table::ViewTable;
use crate::view::write::NewRow;
use gundb_core::Datum as Value;
use gundb_core::fold::FoldValue;
use pgrx::PgMemoryContexts;
use pgrx::pg_sys::{self, Datum, Oid};
use std::ffi::CString;

// Raw: an error, as of a serialization failure, must reach `try_pg` whole.
unsafe extern "C-unwind" {
    fn CommandCounterIncrement();
    fn GetHeapamTableAmRoutine() -> *const pg_sys::TableAmRoutine;
    fn OidInputFunctionCall(function: Oid, text: *mut core::ffi::c_char, parameter: Oid, modifier: i32) -> Datum;
    fn heap_form_tuple(descriptor: pg_sys::TupleDesc, values: *const Datum, nulls: *const bool) -> pg_sys::HeapTuple;
    fn heap_modify_tuple(
        tuple: pg_sys::HeapTuple,
        descriptor: pg_sys::TupleDesc,
        values: *const Datum,
        nulls: *const bool,
        replaces: *const bool,
    ) -> pg_sys::HeapTuple;
}

/// A column of a view's table: where it stands, and how its values are read.
#[derive(Clone, Copy)]
struct Column {
    /// Counted from 0.
    place: usize,
    kind: Oid,
    input: Oid,
    parameter: Oid,
}

/// How the rows of one view are written: its columns in the view's order, those of the key first.
pub struct Layout {
    columns: Vec<Column>,
    keys: usize,
    /// The functions by which the key's columns are compared.
    equal: Vec<Oid>,
}

impl Layout {
    /// Looks at the table of a view that cannot refuse. None: rows are written by statements.
    pub fn of(view: &ViewTable) -> Result<Option<Layout>> {
        // SAFETY: the relation and its index are open while they are looked at.
        unsafe {
            let relation = pg_sys::table_open(view.relation, pg_sys::AccessShareLock as i32);
            let layout = Layout::read(view, relation);
            pg_sys::table_close(relation, pg_sys::NoLock as i32);
            layout
        }
    }

    unsafe fn read(view: &ViewTable, relation: pg_sys::Relation) -> Result<Option<Layout>> {
        unsafe {
            if (*relation).rd_tableam != GetHeapamTableAmRoutine() {
                return Ok(None);
            }
            let keys = view.view.key.0.iter().map(|part| part.name.as_str());
            let names = keys.chain(view.view.columns.0.iter().map(|column| column.name.as_str()));
            let mut columns = Vec::new();
            for name in names {
                let Some((place, kind)) = attribute(view.relation, name) else {
                    return Err(internal(format!("a view lacks its column {name:?}")));
                };
                let (mut input, mut parameter) = (Oid::INVALID, Oid::INVALID);
                pg_sys::getTypeInputInfo(kind, &mut input, &mut parameter);
                columns.push(Column { place, kind, input, parameter });
            }
            let keys = view.view.key.0.len();
            let index = pg_sys::index_open(crate::stream::primary_key(relation)?, pg_sys::AccessShareLock as i32);
            let equal = (0..keys).map(|at| {
                let (family, kind) = (*(*index).rd_opfamily.add(at), *(*index).rd_opcintype.add(at));
                let equal = pg_sys::BTEqualStrategyNumber as i16;
                pg_sys::get_opcode(pg_sys::get_opfamily_member(family, kind, kind, equal))
            });
            let equal = equal.collect::<Vec<_>>();
            pg_sys::index_close(index, pg_sys::NoLock as i32);
            if equal.contains(&Oid::INVALID) {
                return Ok(None);
            }
            Ok(Some(Layout { columns, keys, equal }))
        }
    }
}

/// Where a column stands, counted from 0, and its type.
unsafe fn attribute(table: Oid, name: &str) -> Option<(usize, Oid)> {
    let name = CString::new(name).ok()?;
    // SAFETY: asks the cache; the name outlives the call.
    unsafe {
        let number = pg_sys::get_attnum(table, name.as_ptr());
        let place = usize::try_from(number).ok()?.checked_sub(1)?;
        Some((place, pg_sys::get_atttype(table, number)))
    }
}

/// Writes rows that are, and takes away rows that are no more.
pub fn write(view: &ViewTable, layout: &Layout, rows: &[&NewRow]) -> Result<()> {
    let mut table = Table { layout, table: Keyed::open(view.relation)? };
    if let [row] = rows {
        // SAFETY: the table is open.
        unsafe { table.put(row)? };
    } else {
        let mut memory = PgMemoryContexts::new("gundb rows");
        for row in rows {
            // SAFETY: the table is open; nothing points into what is allocated for a row once it is written.
            unsafe {
                memory.switch_to(|_| table.put(row))?;
                memory.reset();
            }
        }
    }
    // SAFETY: outside of any scan.
    try_pg(|| unsafe { CommandCounterIncrement() })
}

/// A view's table, open for writing.
struct Table<'a> {
    layout: &'a Layout,
    table: Keyed,
}

impl Table<'_> {
    /// Writes a row.
    unsafe fn put(&mut self, row: &NewRow) -> Result<()> {
        let Layout { columns, keys, .. } = self.layout;
        let keyed = row.key.iter().map(Some);
        unsafe {
            let descriptor = (*self.table.relation).rd_att;
            let natts = (*descriptor).natts as usize;
            let (mut values, mut nulls) = (vec![Datum::null(); natts], vec![true; natts]);
            let mut replaces = vec![false; natts];
            for (column, datum) in columns.iter().zip(keyed) {
                put_into(column, read_datum(column, datum)?, &mut values, &mut nulls, &mut replaces);
            }
            for (column, value) in columns[*keys..].iter().zip(row.values.iter().flatten()) {
                put_into(column, read(column, value)?, &mut values, &mut nulls, &mut replaces);
            }
            let key = columns[..*keys].iter().map(|column| values[column.place]).collect::<Vec<_>>();
            let found = self.find(&key)?;
            if found {
                self.refuse_unseen()?;
            }
            let place = (*self.table.slot).tts_tid;
            let (values, nulls) = (values.as_ptr(), nulls.as_ptr());
            match (found, row.values.is_some()) {
                (true, true) => {
                    let mut should_free = false;
                    let tuple = if replaces.iter().all(|replaced| *replaced) {
                        try_pg(|| heap_form_tuple(descriptor, values, nulls))?
                    } else {
                        let old = pg_sys::ExecFetchSlotHeapTuple(self.table.slot, false, &mut should_free);
                        let replaces = replaces.as_ptr();
                        try_pg(|| heap_modify_tuple(old, descriptor, values, nulls, replaces))?
                    };
                    match self.table.replace(place, tuple, &key)? {
                        true => Ok(()),
                        false => Err(internal("a view's row changed while its key was locked")),
                    }
                }
                (true, false) => self.table.delete(),
                (false, true) => {
                    let tuple = try_pg(|| heap_form_tuple(descriptor, values, nulls))?;
                    self.table.insert(tuple, &key)
                }
                (false, false) => Ok(()),
            }
        }
    }

    /// Puts the row of a key, as of now, into the slot.
    unsafe fn find(&mut self, key: &[Datum]) -> Result<bool> {
        unsafe {
            let index = self.table.index;
            let equals = |(at, (value, function)): (usize, (&Datum, &Oid))| {
                let mut equals = scan_key(at, pg_sys::BTEqualStrategyNumber as u16, function.to_u32(), *value);
                equals.sk_collation = *(*index).rd_indcollation.add(at);
                equals
            };
            let mut conditions = key.iter().zip(&self.layout.equal).enumerate().map(equals).collect::<Vec<_>>();
            self.table.find(&mut conditions)
        }
    }

    /// Raises if the transaction's snapshot is older than the row in the slot, and must stay as it is.
    unsafe fn refuse_unseen(&self) -> Result<()> {
        unsafe {
            if pg_sys::XactIsoLevel < pg_sys::XACT_REPEATABLE_READ as i32 {
                return Ok(());
            }
            let satisfies = (*(*self.table.relation).rd_tableam).tuple_satisfies_snapshot;
            let satisfies = satisfies.ok_or_else(|| internal("the table cannot tell what is visible"))?;
            let mut should_free = false;
            let tuple = pg_sys::ExecFetchSlotHeapTuple(self.table.slot, false, &mut should_free);
            // What this transaction has written is younger than its snapshot, and its own.
            let writer = (*(*tuple).t_data).t_choice.t_heap.t_xmin;
            if satisfies(self.table.relation, self.table.slot, pg_sys::GetActiveSnapshot())
                || pg_sys::TransactionIdIsCurrentTransactionId(writer)
            {
                return Ok(());
            }
            Err(Error::new(b"40001", "could not serialize access due to concurrent update")
                .hint("Run the transaction again.")
                .into())
        }
    }
}

fn put_into(column: &Column, value: Option<Datum>, values: &mut [Datum], nulls: &mut [bool], replaces: &mut [bool]) {
    replaces[column.place] = true;
    if let Some(value) = value {
        (values[column.place], nulls[column.place]) = (value, false);
    }
}

/// A value as the column has it. Those that look the same in memory need not be printed and read.
unsafe fn read(column: &Column, value: &FoldValue) -> Result<Option<Datum>> {
    match value {
        FoldValue::Datum(datum) => unsafe { read_datum(column, datum.as_ref()) },
        other => other.sql_text().map(|text| unsafe { read_text(column, text) }).transpose(),
    }
}

unsafe fn read_datum(column: &Column, datum: Option<&Value>) -> Result<Option<Datum>> {
    let Some(datum) = datum else { return Ok(None) };
    match (column.kind, datum) {
        (pg_sys::TEXTOID, Value::Text(text)) => Ok(Some(varlena(text.as_bytes()))),
        (pg_sys::INT8OID, Value::Bigint(number)) => Ok(Some(Datum::from(*number))),
        (pg_sys::BOOLOID, Value::Boolean(is)) => Ok(Some(Datum::from(*is))),
        _ => unsafe { read_text(column, datum.to_string()) }.map(Some),
    }
}

unsafe fn read_text(column: &Column, text: String) -> Result<Datum> {
    let text = CString::new(text).map_err(|_| internal("a view's value has a zero byte"))?;
    let (input, parameter, text) = (column.input, column.parameter, text.as_ptr().cast_mut());
    // SAFETY: the input function of the column's type, given a text that lives as long as the call.
    try_pg(|| unsafe { OidInputFunctionCall(input, text, parameter, -1) })
}
