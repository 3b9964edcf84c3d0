//! The functions that make, drop, rebuild and check views.

use crate::call::{Call, ret};
use crate::catalog::{self, ViewRecord};
use crate::error::{Error, Result, state};
use crate::spi::as_table_owner;
use crate::stream::{self, Stream};
use crate::view::applied::heal;
use crate::view::merge::Origin;
use crate::view::table::ViewTable;
use crate::view::{build, maintain};
use crate::{admin, apply, drops, scan, sql_function, stamp, transaction};
use pgrx::pg_sys::{self, Datum, Oid};
use std::rc::Rc;

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
        };
        let wanted = ViewTable::read(record)?;
        let table = own_stream(stream_name)?;
        let place = catalog::place_of(Some(name))?;
        let Some(table_name) = place.table.clone() else {
            return Err(Error::new(state::INVALID_NAME, "a view needs a name").into());
        };
        if let Some(relation) = catalog::find_table(&place)? {
            return already_there(&wanted, relation);
        }
        catalog::lock_appenders(table)?;
        // What this transaction has appended so far is brought into the views that are there, before there is one more.
        // SAFETY: the relation is open.
        with_stream(table, |relation, stream| unsafe { maintain::take_in(relation, stream) })?;
        let made = catalog::create_view_table(&wanted.view, stream_name, &place, &table_name)?;
        let number = catalog::insert_view(made, &wanted.record)?;
        catalog::set_maintained(table, true)?;
        // SAFETY: the table exists; it was looked up in this transaction.
        unsafe { pg_sys::CacheInvalidateRelcacheByRelid(table) };
        let view = wanted.with_table(made, number);
        with_stream(table, |relation, stream| {
            // SAFETY: the relation is open, and appenders are locked out.
            unsafe {
                build::fill(relation, stream, &view)?;
                all_viewed(relation, stream);
            }
            Ok(Datum::from(made))
        })
    }
}

/// What a view that is there says to one who would make it.
fn already_there(wanted: &ViewTable, relation: Oid) -> Result<Datum> {
    let label = catalog::table_label(relation)?;
    let Some(record) = catalog::view_of_table(relation)? else {
        return Err(Error::new(b"42P07", format!("relation {label} already exists and is not a view of gundb")).into());
    };
    if !ViewTable::read(record)?.is_same(wanted) {
        return Err(Error::new(
            state::DUPLICATE_OBJECT,
            format!("view {label} already exists and is defined otherwise"),
        )
        .hint("To define it anew: SELECT gundb.drop_view('name'), then create it again.")
        .into());
    }
    stamp::notice(format!("view {label} already exists, skipping"))?;
    Ok(Datum::from(relation))
}

sql_function! {
    /// `drop_view(view)`
    fn gundb_drop_view(call) {
        let view = own_view(call)?;
        let table = admin::table_of(&view.record.stream)?;
        catalog::lock_appenders(table)?;
        as_table_owner(view.relation, || drops::allowed(|| catalog::drop_table(view.relation)))?;
        catalog::delete_view(&view.record)?;
        if catalog::views_of(&view.record.stream)?.is_empty() {
            catalog::set_maintained(table, false)?;
        }
        // SAFETY: the table exists; it was looked up in this transaction.
        unsafe { pg_sys::CacheInvalidateRelcacheByRelid(table) };
        Ok(call.void())
    }
}

sql_function! {
    /// `rebuild_view(view)`
    fn gundb_rebuild_view(call) {
        let view = own_view(call)?;
        let table = admin::table_of(&view.record.stream)?;
        catalog::lock_appenders(table)?;
        with_stream(table, |relation, stream| {
            // SAFETY: the relation is open, and appenders are locked out.
            unsafe {
                maintain::take_in(relation, stream)?;
                catalog::clear_view(view.number)?;
                build::empty(view.relation)?;
                Ok(ret::int8(build::fill(relation, stream, &view)? as i64))
            }
        })
    }
}

sql_function! {
    /// `check_view(view)`
    fn gundb_check_view(call) {
        let view = own_view(call)?;
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
            let table = admin::table_of(&view.record.stream)?;
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

/// The view that a call is about, whose table the caller owns.
fn own_view(call: Call) -> Result<ViewTable> {
    let relation = call.required(call.arg(0), "view")?;
    let view = ViewTable::of_table(Oid::from(relation.value() as u32))?;
    if !catalog::may_own(view.relation)? {
        let label = catalog::table_label(view.relation)?;
        return Err(Error::new(state::PRIVILEGE, format!("must be owner of view {label}")).into());
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
        return Err(Error::new(state::PRIVILEGE, format!("must be owner of the table of stream \"{name}\"")).into());
    }
    Ok(table)
}

fn with_stream<T>(table: Oid, f: impl FnOnce(pg_sys::Relation, &Rc<Stream>) -> Result<T>) -> Result<T> {
    // SAFETY: the relation stays open, and locked, while it is used.
    unsafe {
        let relation = pg_sys::relation_open(table, pg_sys::AccessShareLock as i32);
        let stream = stream::of_relation(relation)?;
        let value = f(relation, &stream)?;
        pg_sys::relation_close(relation, pg_sys::NoLock as i32);
        Ok(value)
    }
}

/// What this transaction has appended is in the views now.
unsafe fn all_viewed(relation: pg_sys::Relation, stream: &Stream) {
    let Ok(site) = crate::run::site() else { return };
    for (lane, _) in transaction::with(|t| t.unviewed(stream.table)) {
        // SAFETY: the caller holds the relation open.
        let head = unsafe { scan::Scan::begin(relation, stream.primary_key, scan::As::OfNow).head(&site, lane) };
        if let Some(head) = head {
            transaction::with(|t| t.view(stream.table, lane, head.seq));
        }
    }
}
