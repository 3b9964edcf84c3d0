//! What a backend knows of a stream's table, read once and forgotten when the table changes.

use crate::catalog::StreamTable;
use crate::error::{Error, Result, state};
use crate::view::table::ViewTable;
use crate::{catalog, scan::column};
use gundb_core::StreamId;
use gundb_core::schema::Schema;
use pgrx::pg_sys::{self, Oid};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::ffi::CStr;
use std::rc::Rc;

pub struct Stream {
    pub name: String,
    /// The table's name as SQL writes it.
    pub label: String,
    /// The INSERT of `append`, without and with ON CONFLICT DO NOTHING.
    pub inserts: [String; 2],
    /// Why nothing can be appended, if so. Reading goes on.
    pub append_problem: Option<Error>,
    pub id: StreamId,
    pub table: Oid,
    pub primary_key: Oid,
    /// The index on (id, site, run).
    pub by_id: Oid,
    /// The index on (key, hlc), if it is there.
    pub by_key: Option<Oid>,
    /// The index on hlc, if it is there.
    pub by_hlc: Option<Oid>,
    /// The views that are made of it.
    pub views: Vec<ViewTable>,
    /// Whether only defined types may be appended.
    pub closed: bool,
    /// The newest definition of each type that has one; None: any data fits.
    pub types: HashMap<String, Option<Schema>>,
}

impl Stream {
    /// The stream and its table, as the catalog has them.
    pub fn table(&self) -> StreamTable {
        StreamTable { name: self.name.clone(), stream: self.id, table: self.table }
    }
}

thread_local! {
    /// By table. (A few are found faster by comparing than by hashing.)
    static KNOWN: RefCell<BTreeMap<u32, Rc<Stream>>> = const { RefCell::new(BTreeMap::new()) };
    /// Where a name was found last; true only while the table is known by that name.
    static NAMES: RefCell<HashMap<String, Oid>> = RefCell::new(HashMap::new());
}

/// Registers the callback by which PostgreSQL says that a table changed.
pub fn register() {
    // SAFETY: called from _PG_init.
    unsafe {
        pg_sys::CacheRegisterRelcacheCallback(Some(relation_changed), pg_sys::Datum::null());
        // A schema that is renamed changes the names of its tables.
        let schemas = pg_sys::SysCacheIdentifier::NAMESPACEOID as i32;
        pg_sys::CacheRegisterSyscacheCallback(schemas, Some(schema_changed), pg_sys::Datum::null());
    }
}

unsafe extern "C-unwind" fn schema_changed(_arg: pg_sys::Datum, _cache: i32, _hash: u32) {
    KNOWN.with_borrow_mut(BTreeMap::clear);
}

/// May run inside almost any call into PostgreSQL, so nothing may be borrowed across one.
unsafe extern "C-unwind" fn relation_changed(_arg: pg_sys::Datum, relation: Oid) {
    KNOWN.with_borrow_mut(|known| {
        if relation == Oid::INVALID {
            known.clear();
        } else {
            known.remove(&relation.to_u32());
            known.retain(|_, stream| stream.views.iter().all(|view| view.relation != relation));
        }
    });
    crate::view::table_changed(relation);
    if catalog::depends_on(relation) {
        catalog::forget();
    }
}

/// The stream of this table, if it is known and has not changed.
pub fn known(table: Oid) -> Option<Rc<Stream>> {
    KNOWN.with_borrow(|known| known.get(&table.to_u32()).cloned())
}

/// The stream whose table `relation` is.
///
/// # Safety
/// `relation` is open.
pub unsafe fn of_relation(relation: pg_sys::Relation) -> Result<Rc<Stream>> {
    let table = unsafe { (*relation).rd_id };
    if let Some(known) = known(table) {
        return Ok(known);
    }
    let stream = Rc::new(unsafe { read(relation)? });
    KNOWN.with_borrow_mut(|known| known.insert(table.to_u32(), stream.clone()));
    Ok(stream)
}

/// The stream whose table this is; None if it has been dropped.
pub fn of_table(table: Oid) -> Result<Option<Rc<Stream>>> {
    if let Some(stream) = known(table) {
        return Ok(Some(stream));
    }
    // SAFETY: the relation is open while it is read.
    unsafe {
        let relation = pg_sys::try_relation_open(table, pg_sys::AccessShareLock as i32);
        if relation.is_null() {
            return Ok(None);
        }
        let stream = of_relation(relation);
        pg_sys::relation_close(relation, pg_sys::AccessShareLock as i32);
        stream.map(Some)
    }
}

/// The table of the stream of this name. The cache answers, unless the table has changed since it was read.
pub fn table_by_name(name: &str) -> Result<Option<Oid>> {
    if let Some(table) = NAMES.with_borrow(|names| names.get(name).copied())
        && KNOWN.with_borrow(|known| known.get(&table.to_u32()).is_some_and(|stream| stream.name == name))
    {
        return Ok(Some(table));
    }
    let found = catalog::stream_table(name)?;
    if let Some(table) = found {
        NAMES.with_borrow_mut(|names| names.insert(name.to_owned(), table));
    }
    Ok(found)
}

/// The qualified name of a stream's table, as SQL writes it.
pub fn label(table: Oid) -> Result<String> {
    match known(table) {
        Some(stream) => Ok(stream.label.clone()),
        None => catalog::table_label(table),
    }
}

/// The name of the stream whose table this is; None if it has gone.
pub fn name_of_table(table: Oid) -> Result<Option<String>> {
    let function = catalog::extension()?.stamp_function;
    // SAFETY: the relation is open while it is read.
    unsafe {
        let relation = pg_sys::try_relation_open(table, pg_sys::AccessShareLock as i32);
        if relation.is_null() {
            return Ok(None);
        }
        let name = name_of(relation, function);
        pg_sys::relation_close(relation, pg_sys::AccessShareLock as i32);
        Ok(name)
    }
}

/// The stream's name, from the argument of its stamp trigger: the table itself says which stream it is, so the
/// word survives renames, dumps and restores. None: the table is no stream.
///
/// # Safety
/// `relation` is open; `function` is gundb.stamp.
pub unsafe fn name_of(relation: pg_sys::Relation, function: Oid) -> Option<String> {
    unsafe {
        let stamp = stamp_of(relation, function)?;
        Some(CStr::from_ptr(*stamp.tgargs).to_string_lossy().into_owned())
    }
}

/// A trigger's type in pg_trigger: ROW, BEFORE, INSERT.
const BEFORE_INSERT_ROW: i16 = (1 << 0) | (1 << 1) | (1 << 2);

/// The stamp trigger of a table: known by its function, since anybody may rename it.
unsafe fn stamp_of<'a>(relation: pg_sys::Relation, function: Oid) -> Option<&'a pg_sys::Trigger> {
    unsafe {
        triggers(relation).iter().find(|t| t.tgfoid == function && t.tgnargs == 1 && t.tgtype == BEFORE_INSERT_ROW)
    }
}

unsafe fn triggers<'a>(relation: pg_sys::Relation) -> &'a [pg_sys::Trigger] {
    unsafe {
        let triggers = (*relation).trigdesc;
        if triggers.is_null() {
            return &[];
        }
        core::slice::from_raw_parts((*triggers).triggers, (*triggers).numtriggers as usize)
    }
}

unsafe fn read(relation: pg_sys::Relation) -> Result<Stream> {
    unsafe {
        let table = (*relation).rd_id;
        let label = CStr::from_ptr((*(*relation).rd_rel).relname.data.as_ptr()).to_string_lossy().into_owned();
        let function = catalog::extension()?.stamp_function;
        let name = name_of(relation, function).ok_or_else(|| {
            Error::new(state::WRONG_OBJECT, format!("table \"{label}\" is not a stream of gundb"))
                .hint("Declare one with SELECT gundb.create_stream('name');")
        })?;
        let mut append_problem = later_trigger(&label, triggers(relation), function);
        if !catalog::is_table_of(&name, table)? {
            append_problem = Some(
                Error::new(state::WRONG_STATE, format!("table \"{label}\" is not the one table of stream \"{name}\""))
                    .detail("A stream has one table, a child of gundb.event.")
                    .hint("SELECT * FROM gundb.stream_table shows the tables that gundb knows."),
            );
        }
        columns_in_order(relation, &label)?;
        let primary_key = primary_key(relation)?;
        let (by_id, by_key, by_hlc) = (index_on_id(relation)?, index_on_key(relation), index_on_hlc(relation));
        if by_id == Oid::INVALID {
            return Err(lacks_index(&label));
        }
        let views = if is_maintained(relation, catalog::extension()?.maintain_function) {
            ViewTable::of_stream(&name)?
        } else {
            Vec::new()
        };
        let (closed, types) = catalog::definitions(&name)?;
        let label = catalog::table_label(table)?;
        let insert =
            format!("INSERT INTO {label} (type, key, data, meta, id) VALUES ($1, $2, coalesce($3, '{{}}'), $4, $5)");
        let inserts = [insert.clone(), insert + " ON CONFLICT DO NOTHING"];
        let id = StreamId::of_name(&name);
        Ok(Stream {
            append_problem,
            id,
            name,
            label,
            inserts,
            table,
            primary_key,
            by_id,
            by_key,
            by_hlc,
            views,
            closed,
            types,
        })
    }
}

/// The index by which the heads of lanes are found.
///
/// # Safety
/// `relation` is the open table of a stream.
pub unsafe fn primary_key(relation: pg_sys::Relation) -> Result<Oid> {
    unsafe {
        #[cfg(not(feature = "pg18"))]
        let index = pg_sys::RelationGetPrimaryKeyIndex(relation);
        #[cfg(feature = "pg18")]
        let index = pg_sys::RelationGetPrimaryKeyIndex(relation, false);
        if index == Oid::INVALID {
            let label = CStr::from_ptr((*(*relation).rd_rel).relname.data.as_ptr()).to_string_lossy();
            return Err(lacks_index(&label));
        }
        Ok(index)
    }
}

fn lacks_index(label: &str) -> crate::error::Failure {
    Error::new(state::WRONG_STATE, format!("stream table \"{label}\" lacks an index that gundb needs"))
        .detail("A stream's table has the primary key (site, lane, seq) and a unique index that begins with id.")
        .hint("Create it anew; \\d on any other stream shows its definition.")
        .into()
}

/// A trigger that runs after the stamp could drop the row, and leave a gap in the lane.
unsafe fn later_trigger(label: &str, triggers: &[pg_sys::Trigger], function: Oid) -> Option<Error> {
    let stamp = triggers.iter().find(|trigger| trigger.tgfoid == function)?;
    // SAFETY: triggers have names.
    let stamp = unsafe { CStr::from_ptr(stamp.tgname) };
    const INSTEAD: i16 = 1 << 6;
    for trigger in triggers {
        let name = unsafe { CStr::from_ptr(trigger.tgname) };
        if trigger.tgtype & (BEFORE_INSERT_ROW | INSTEAD) == BEFORE_INSERT_ROW && name > stamp {
            let name = name.to_string_lossy();
            return Some(Error::new(
                state::WRONG_STATE,
                format!("trigger \"{name}\" on stream table \"{label}\" would run after the event is stamped"),
            )
            .detail(
                "A BEFORE INSERT row trigger that runs after the stamp could drop the row and leave a gap in its lane.",
            )
            .hint(format!(
                "Rename it so that it sorts before {stamp}: ALTER TRIGGER \"{name}\" ON \"{label}\" RENAME TO …;",
                stamp = stamp.to_string_lossy()
            )));
        }
    }
    None
}

unsafe fn columns_in_order(relation: pg_sys::Relation, label: &str) -> Result<()> {
    unsafe {
        let descriptor = (*relation).rd_att;
        for (i, expected) in column::NAMES.iter().enumerate() {
            let fits = i < (*descriptor).natts as usize && {
                let attribute = attribute(descriptor, i);
                CStr::from_ptr((*attribute).attname.data.as_ptr()).to_bytes() == expected.as_bytes()
            };
            if !fits {
                return Err(Error::new(
                    state::WRONG_OBJECT,
                    format!("table \"{label}\" does not have the columns of a stream"),
                )
                .detail(format!("Column {} is not \"{expected}\".", i + 1))
                .hint("Declare streams with SELECT gundb.create_stream('name');")
                .into());
            }
        }
    }
    Ok(())
}

/// The description of column `i`, counted from 0.
unsafe fn attribute(descriptor: pg_sys::TupleDesc, i: usize) -> *const pg_sys::FormData_pg_attribute {
    #[cfg(not(feature = "pg18"))]
    unsafe {
        (*descriptor).attrs.as_ptr().add(i)
    }
    #[cfg(feature = "pg18")]
    unsafe {
        pg_sys::TupleDescAttr(descriptor, i as i32)
    }
}

/// Whether the stream's table has the trigger that maintains views: known by its function, since anybody may rename it.
unsafe fn is_maintained(relation: pg_sys::Relation, function: Oid) -> bool {
    function != Oid::INVALID && unsafe { triggers(relation).iter().any(|trigger| trigger.tgfoid == function) }
}

unsafe fn index_on_id(relation: pg_sys::Relation) -> Result<Oid> {
    let ours = |form: &pg_sys::FormData_pg_index, columns: &[i16]| {
        form.indisunique && form.indnkeyatts == 3 && columns[0] == (column::ID + 1) as i16 && columns[2] == 0
    };
    Ok(unsafe { find_index(relation, ours) }.unwrap_or(Oid::INVALID))
}

/// A user may drop it, or make one of the same columns.
unsafe fn index_on_key(relation: pg_sys::Relation) -> Option<Oid> {
    let ours = |form: &pg_sys::FormData_pg_index, columns: &[i16]| {
        form.indnkeyatts == 2 && columns == [(column::KEY + 1) as i16, (column::HLC + 1) as i16]
    };
    unsafe { find_index(relation, ours) }
}

/// Likewise.
unsafe fn index_on_hlc(relation: pg_sys::Relation) -> Option<Oid> {
    let ours = |form: &pg_sys::FormData_pg_index, columns: &[i16]| {
        form.indnkeyatts == 1 && columns == [(column::HLC + 1) as i16]
    };
    unsafe { find_index(relation, ours) }
}

/// The last valid index of a table that fits.
unsafe fn find_index(
    relation: pg_sys::Relation,
    fits: impl Fn(&pg_sys::FormData_pg_index, &[i16]) -> bool,
) -> Option<Oid> {
    let mut found = None;
    unsafe {
        let list = pg_sys::RelationGetIndexList(relation);
        let count = if list.is_null() { 0 } else { (*list).length };
        for i in 0..count {
            let oid = (*(*list).elements.add(i as usize)).oid_value;
            let index = pg_sys::index_open(oid, pg_sys::AccessShareLock as i32);
            let form = &*(*index).rd_index;
            let columns = form.indkey.values.as_slice(form.indnkeyatts as usize);
            let whole = pg_sys::RelationGetIndexPredicate(index).is_null();
            let is_tree = (*(*index).rd_rel).relam == pg_sys::BTREE_AM_OID;
            if form.indisvalid && whole && is_tree && fits(form, columns) {
                found = Some(oid);
            }
            pg_sys::index_close(index, pg_sys::AccessShareLock as i32);
        }
        pg_sys::list_free(list);
    }
    found
}
