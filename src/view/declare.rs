//! The functions that make, drop and check views, and try again what is pending.

use crate::call::{Call, ret};
use crate::catalog::{self, ReducerRecord, ViewRecord};
use crate::error::{Error, Result, state};
use crate::spi::as_table_owner;
use crate::view::applied::heal;
use crate::view::maintain::is_at_work;
use crate::view::making::{Making, views_changed, with_stream};
use crate::view::merge::Origin;
use crate::view::table::ViewTable;
use crate::view::{build, cost, lock, reducer};
use crate::{admin, apply, drops, jsonb, lane, spi, sql_function, stamp};
use gundb_core::Printer;
use gundb_core::fold::REDUCED_BYTES_MAX;
use pgrx::pg_sys::{self, Datum, Oid};
use std::collections::BTreeSet;

/// The number of a view that has none yet.
const NONE: i32 = 0;

sql_function! {
    /// `create_view(name, stream, columns, key, types, filter, delete, strict)`
    fn gundb_create_view(call) {
        let name = call.required(call.text(0), "name")?;
        let stream_name = call.required(call.text(1), "stream")?;
        let record = ViewRecord {
            relation: Oid::INVALID,
            number: NONE,
            stream: stream_name.to_owned(),
            columns: call.required(call.text(2), "columns")?.to_owned(),
            key: call.required(call.text(3), "key")?.to_owned(),
            types: call.text_array(4)?,
            filter: call.text(5).map(str::to_owned),
            deletes: call.text_array(6)?.unwrap_or_default(),
            strict: call.required(call.bool(7), "strict")?,
            reducer: None,
        };
        create(name, ViewTable::read(record)?)
    }
}

sql_function! {
    /// `create_reducer_view(name, stream, reducer, initial, key)`
    fn gundb_create_reducer_view(call) {
        let name = call.required(call.text(0), "name")?;
        let function = Oid::from(call.required(call.arg(2), "reducer")?.value() as u32);
        let initial = call.required(call.bytes(3), "initial")?;
        let mut printer = Printer::new(REDUCED_BYTES_MAX);
        jsonb::print(initial, &mut printer)
            .map_err(|_| Error::new(state::TOO_LARGE, "argument \"initial\" is too large or too deep"))?;
        let record = ViewRecord {
            relation: Oid::INVALID,
            number: NONE,
            stream: call.required(call.text(1), "stream")?.to_owned(),
            columns: "{}".to_owned(),
            key: call.required(call.text(4), "key")?.to_owned(),
            types: None,
            filter: None,
            deletes: Vec::new(),
            strict: false,
            reducer: Some(ReducerRecord { function, initial: printer.finish() }),
        };
        create(name, ViewTable::read(record)?)
    }
}

/// Makes a view, unless it is there.
fn create(name: &str, wanted: ViewTable) -> Result<Datum> {
    let stream_name = &wanted.record.stream;
    let table = own_stream(stream_name)?;
    let reducer = wanted.record.reducer.as_ref().map(|reducer| catalog::reducer_name(reducer.function)).transpose()?;
    // SAFETY: the relation is open.
    with_stream(table, |relation, stream| unsafe {
        if stream.views.is_empty() { lock::refuse_in_use(relation) } else { Ok(()) }
    })?;
    let place = catalog::place_of(Some(name))?;
    let Some(table_name) = place.table.clone() else {
        return Err(Error::new(state::INVALID_NAME, "a view needs a name").into());
    };
    catalog::refuse_long_name(&table_name)?;
    // Another session may be making it: what it has made is seen after the wait.
    lane::lock_name(&place.schema, &table_name)?;
    if let Some(relation) = spi::with_latest_snapshot(|| catalog::find_table(&place))? {
        return already_there(&wanted, relation);
    }
    let made = catalog::create_view_table(&wanted.view, stream_name, &place, &table_name)?;
    if let Some(reducer) = reducer {
        catalog::tie_reducer(made, &reducer)?;
    }
    let view = wanted.with_table(made, catalog::new_view_number()?);
    let record = view.record.clone();
    let mut making = Making::new(table, view, true, BTreeSet::new());
    making.fill()?;
    making.lock_out(&[])?;
    catalog::insert_view(&record)?;
    catalog::set_maintained(table, true)?;
    views_changed(table)?;
    Ok(Datum::from(made))
}

/// What a view that is there says to one who would make it.
fn already_there(wanted: &ViewTable, relation: Oid) -> Result<Datum> {
    let label = catalog::table_label(relation)?;
    let Some(record) = catalog::view_of_table(relation)? else {
        return Err(Error::new(b"42P07", format!("relation {label} already exists and is not a view of gundb"))
            .hint("Give the view another name, or another schema: 'schema.name'.")
            .into());
    };
    if !ViewTable::read(record)?.is_same(wanted) {
        return Err(Error::new(
            state::DUPLICATE_OBJECT,
            format!("view {label} already exists and is defined otherwise"),
        )
        .hint(
            "To add, change or drop columns: SELECT gundb.alter_view('name', add => …, change => …, drop => …). To define \
             the view anew: SELECT gundb.drop_view('name'), then create it.",
        )
        .into());
    }
    stamp::notice(format!("view {label} already exists, skipping"))?;
    Ok(Datum::from(relation))
}

sql_function! {
    /// `drop_view(view)`
    fn gundb_drop_view(call) {
        let view = own_view_alone(call)?;
        let table = admin::table_of(&view.record.stream)?;
        lock::briefly(&[lock::appenders(table), lock::readers(view.relation)], || Ok(()))?;
        as_table_owner(view.relation, || drops::allowed(|| catalog::drop_table(view.relation)))?;
        catalog::delete_view(&view.record)?;
        cost::forget(view.relation);
        if catalog::views_of(&view.record.stream)?.is_empty() {
            catalog::set_maintained(table, false)?;
        }
        // SAFETY: the table exists; it was looked up in this transaction.
        unsafe { pg_sys::CacheInvalidateRelcacheByRelid(table) };
        Ok(call.void())
    }
}

sql_function! {
    /// `check_view(view)`
    fn gundb_check_view(call) {
        let view = own_view(call)?;
        reducer::refuse_uncallable(&view)?;
        let table = admin::table_of(&view.record.stream)?;
        let rows = call.rows();
        with_stream(table, |relation, stream| {
            // SAFETY: the relation is open.
            unsafe {
                build::check(relation, stream, &view, |key, problem| {
                    rows.push(&[Some(ret::text(key)), Some(ret::text(problem))]);
                })
            }
        })?;
        Ok(rows.done())
    }
}

sql_function! {
    /// `retry_pending(view)`
    fn gundb_retry_pending(call) {
        let views = match call.arg(0) {
            Some(_) => vec![own_view(call)?],
            None => {
                let mut owned = Vec::new();
                for record in catalog::views()? {
                    if catalog::may_own(record.relation)? {
                        owned.push(ViewTable::read(record)?);
                    }
                }
                owned
            }
        };
        let mut folded = 0;
        for view in views {
            refuse_at_work(&view)?;
            let table = admin::table_of(&view.record.stream)?;
            // Not beside a rebuild, which has found by then which rows are right; and as an append, so that whoever locks
            // appenders out has the view for himself.
            catalog::lock(view.relation, pg_sys::ShareUpdateExclusiveLock)?;
            catalog::lock(table, pg_sys::RowExclusiveLock)?;
            let Some(record) = catalog::view_of_table(view.relation)? else { continue };
            let view = ViewTable::read(record)?;
            // SAFETY: the relation is open.
            folded += with_stream(table, |relation, stream| unsafe { build::retry(relation, stream, &view) })? as i64;
            folded += heal(&view, Origin::Retried)? as i64;
        }
        if call.arg(0).is_none() && catalog::may_own(catalog::extension()?.event)? {
            folded += apply::retry()?;
        }
        Ok(ret::int8(folded))
    }
}

/// Raises if a table is a view's and no longer has what it is maintained by.
pub fn refuse_unfit(table: Oid) -> Result<()> {
    if !catalog::has_views()? {
        return Ok(());
    }
    let Some(record) = catalog::view_of_table(table)? else { return Ok(()) };
    let view = ViewTable::read(record)?;
    if catalog::fits_view(&view.view, table)? {
        return Ok(());
    }
    let label = catalog::table_label(table)?;
    Err(Error::new(state::IMMUTABLE, format!("cannot alter the columns or the key of view {label}"))
        .detail("They are its definition; appends to the stream write to them.")
        .hint("Columns of your own can be added. To define the view anew: SELECT gundb.drop_view('name'), then create it.")
        .into())
}

/// As [`own_view`], with nobody else making it anew, altering or dropping it until the end of the transaction.
pub fn own_view_alone(call: Call) -> Result<ViewTable> {
    let view = own_view(call)?;
    refuse_at_work(&view)?;
    catalog::lock(view.relation, pg_sys::ShareUpdateExclusiveLock)?;
    // It may be another by now.
    own_view(call)
}

/// Raises where a trigger on a view's table would do something about the views of a stream that are just taking events
/// in: what was brought is in some, and not in others.
fn refuse_at_work(view: &ViewTable) -> Result<()> {
    if !is_at_work(admin::table_of(&view.record.stream)?) {
        return Ok(());
    }
    Err(Error::new(
        state::OBJECT_IN_USE,
        format!("the views of stream \"{}\" are taking events in", view.record.stream),
    )
    .hint("A trigger on the table of a view cannot rebuild, alter, drop or retry the views of its stream. Do it after.")
    .into())
}

/// The view that a call is about, whose table the caller owns.
pub fn own_view(call: Call) -> Result<ViewTable> {
    let relation = call.required(call.arg(0), "view")?;
    let view = ViewTable::of_table(Oid::from(relation.value() as u32))?;
    if !catalog::may_own(view.relation)? {
        let label = catalog::table_label(view.relation)?;
        return Err(not_owner(format!("view {label}"), view.relation).into());
    }
    Ok(view)
}

/// The table of a stream that the caller owns: a view costs whoever appends to it.
fn own_stream(name: &str) -> Result<Oid> {
    if name == admin::SYSTEM_STREAM {
        return Err(Error::new(state::WRONG_OBJECT, "the stream of definitions has no views").into());
    }
    let table = admin::table_of(name)?;
    if !catalog::may_own(table)? {
        return Err(not_owner(format!("the table of stream \"{name}\""), table).into());
    }
    Ok(table)
}

fn not_owner(what: String, table: Oid) -> Error {
    let owner = format!("SELECT relowner::regrole FROM pg_class WHERE oid = {};", table.to_u32());
    Error::new(state::PRIVILEGE, format!("must be owner of {what}"))
        .hint(format!("Its owner can, and whoever is a member of that role: {owner}"))
}
