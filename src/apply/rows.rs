//! Rows of a stream written without plans, a page of the table at a time, as COPY writes them: where only gundb's own
//! triggers would fire, and nothing of the table's could change or refuse a row, a statement would do no more.
//!
//! Must hold: the caller runs as the table's owner, since an index may call functions of a user's; rows come as they are
//! to be stored; a command is counted after writing.
//!
//! Unsafe: PostgreSQL's access methods and executor.

use crate::boundary::try_pg;
use crate::catalog;
use crate::error::{Result, internal};
use crate::jsonb_form;
use crate::scan::{column, to_stored};
use crate::spi::{bytes_of, fixed, varlena};
use gundb_core::Event;
use pgrx::PgMemoryContexts;
use pgrx::pg_sys::{self, Datum, Oid};
use std::ffi::CString;

/// Rows written at once, and bytes of their texts: as COPY has it, since more gains nothing.
const ROWS_MAX: usize = 1_000;
const BYTES_MAX: usize = 256 << 10;

// Raw: an error, as of a unique index, must reach `try_pg` whole.
unsafe extern "C-unwind" {
    fn jsonb_in(fcinfo: pg_sys::FunctionCallInfo) -> Datum;
    fn DirectFunctionCall1Coll(function: pg_sys::PGFunction, collation: Oid, argument: Datum) -> Datum;
    fn ExecStoreVirtualTuple(slot: *mut pg_sys::TupleTableSlot) -> *mut pg_sys::TupleTableSlot;
    fn CommandCounterIncrement();
    fn GetHeapamTableAmRoutine() -> *const pg_sys::TableAmRoutine;
    fn heap_multi_insert(
        relation: pg_sys::Relation,
        slots: *mut *mut pg_sys::TupleTableSlot,
        ntuples: core::ffi::c_int,
        cid: pg_sys::CommandId,
        options: core::ffi::c_int,
        bistate: pg_sys::BulkInsertState,
    );
    fn ExecInsertIndexTuples(
        relation: *mut pg_sys::ResultRelInfo,
        slot: *mut pg_sys::TupleTableSlot,
        estate: *mut pg_sys::EState,
        update: bool,
        no_dup_err: bool,
        spec_conflict: *mut bool,
        arbiters: *mut pg_sys::List,
        #[cfg(any(feature = "pg16", feature = "pg17", feature = "pg18"))] only_summarizing: bool,
    ) -> *mut pg_sys::List;
}

/// Whether a stream's table takes rows this way.
///
/// # Safety
/// `relation` is open.
pub unsafe fn are_plain(relation: pg_sys::Relation) -> Result<bool> {
    unsafe {
        let descriptor = (*relation).rd_att;
        let constraints = (*descriptor).constr;
        let is_constrained =
            !constraints.is_null() && ((*constraints).num_check > 0 || (*constraints).has_generated_stored);
        let class = (*relation).rd_rel;
        if (*descriptor).natts as usize != column::COUNT
            || is_constrained
            || (*relation).rd_tableam != GetHeapamTableAmRoutine()
            || !(*relation).rd_rules.is_null()
            || ((*class).relrowsecurity && (*class).relforcerowsecurity)
        {
            return Ok(false);
        }
        let triggers = (*relation).trigdesc;
        if triggers.is_null() {
            return Ok(true);
        }
        // As in PostgreSQL's own replication: what is enabled ALWAYS, or on a REPLICA, would fire.
        let triggers = core::slice::from_raw_parts((*triggers).triggers, (*triggers).numtriggers as usize);
        let schema = pg_sys::get_func_namespace(catalog::extension()?.stamp_function);
        let fires = |trigger: &pg_sys::Trigger| matches!(trigger.tgenabled as u8, b'A' | b'R');
        Ok(!triggers.iter().any(|trigger| fires(trigger) && pg_sys::get_func_namespace(trigger.tgfoid) != schema))
    }
}

/// Stores events as they are.
///
/// # Safety
/// `relation` is open and [`are_plain`].
pub unsafe fn insert(relation: pg_sys::Relation, events: &[&Event]) -> Result<()> {
    let mut rows = unsafe { Rows::open(relation) };
    let mut memory = PgMemoryContexts::new("gundb rows");
    let mut rest = events;
    while !rest.is_empty() {
        let (now, later) = rest.split_at(batch(rest));
        // SAFETY: the table is open; nothing points into what is allocated for a batch once it is written.
        unsafe {
            memory.switch_to(|_| rows.write(now))?;
            memory.reset();
        }
        rest = later;
    }
    drop(rows);
    // SAFETY: outside of any scan.
    try_pg(|| unsafe { CommandCounterIncrement() })
}

/// How many of these are written at once: at least one.
fn batch(events: &[&Event]) -> usize {
    let mut bytes = 0;
    let fits = |event: &&&Event| {
        bytes += event.data.len() + event.meta.len() + event.key.as_ref().map_or(0, String::len);
        bytes <= BYTES_MAX
    };
    events.iter().take(ROWS_MAX).take_while(fits).count().max(1)
}

/// A stream's table, open for writing.
struct Rows {
    relation: pg_sys::Relation,
    indexes: pg_sys::CatalogIndexState,
    estate: *mut pg_sys::EState,
    bulk: pg_sys::BulkInsertState,
    slots: Vec<*mut pg_sys::TupleTableSlot>,
    /// The memory of documents.
    formed: Vec<u8>,
}

impl Rows {
    unsafe fn open(relation: pg_sys::Relation) -> Rows {
        unsafe {
            Rows {
                relation,
                indexes: pg_sys::CatalogOpenIndexes(relation),
                estate: pg_sys::CreateExecutorState(),
                bulk: pg_sys::GetBulkInsertState(),
                slots: Vec::new(),
                formed: Vec::new(),
            }
        }
    }

    /// Writes rows and their index entries, in the current memory.
    unsafe fn write(&mut self, events: &[&Event]) -> Result<()> {
        unsafe {
            while self.slots.len() < events.len() {
                let slot = PgMemoryContexts::CurTransactionContext
                    .switch_to(|_| pg_sys::table_slot_create(self.relation, core::ptr::null_mut()));
                self.slots.push(slot);
            }
            for (slot, event) in self.slots.iter().zip(events) {
                fill(*slot, event, &mut self.formed)?;
            }
            let (relation, indexes, estate, bulk) = (self.relation, self.indexes, self.estate, self.bulk);
            let slots = &mut self.slots[..events.len()];
            try_pg(|| {
                let command = pg_sys::GetCurrentCommandId(true);
                heap_multi_insert(relation, slots.as_mut_ptr(), slots.len() as i32, command, 0, bulk);
                for slot in slots.iter() {
                    ExecInsertIndexTuples(
                        indexes,
                        *slot,
                        estate,
                        false,
                        false,
                        core::ptr::null_mut(),
                        core::ptr::null_mut(),
                        #[cfg(any(feature = "pg16", feature = "pg17", feature = "pg18"))]
                        false,
                    );
                    pg_sys::ExecClearTuple(*slot);
                }
            })
        }
    }
}

/// The jsonb of a canonical text.
fn json(text: &str, formed: &mut Vec<u8>) -> Result<Datum> {
    let read = || {
        let text = CString::new(text).map_err(|_| internal("a document has a zero byte"))?;
        let source = Datum::from(text.as_ptr());
        // SAFETY: the input function of jsonb, given a text that lives as long as the call.
        try_pg(|| unsafe { DirectFunctionCall1Coll(Some(jsonb_in), Oid::INVALID, source) })
    };
    formed.clear();
    if jsonb_form::form(text, formed).is_none() {
        return read();
    }
    if cfg!(debug_assertions) {
        let expected = read()?;
        // SAFETY: a jsonb that was just made.
        assert_eq!(unsafe { bytes_of(expected) }, formed, "the jsonb of {text}");
    }
    Ok(varlena(formed))
}

unsafe fn fill(slot: *mut pg_sys::TupleTableSlot, event: &Event, formed: &mut Vec<u8>) -> Result<()> {
    let text = |text: &str| varlena(text.as_bytes());
    let number = |bits: u64| Datum::from(to_stored(bits));
    let values = [
        fixed(event.dot.site.0.as_bytes()),
        number(event.dot.lane.to_bits()),
        Datum::from(event.dot.seq),
        number(event.hlc.to_bits()),
        number(event.xact.to_bits()),
        Datum::from(event.epoch),
        fixed(event.id.as_bytes()),
        fixed(&event.chain.0),
        fixed(&event.salt),
        text(&event.kind),
        event.key.as_deref().map_or(Datum::null(), text),
        json(&event.data, formed)?,
        json(&event.meta, formed)?,
    ];
    // SAFETY: a slot of the table has room for its columns.
    unsafe {
        pg_sys::ExecClearTuple(slot);
        for (at, value) in values.into_iter().enumerate() {
            *(*slot).tts_values.add(at) = value;
            *(*slot).tts_isnull.add(at) = at == column::KEY && event.key.is_none();
        }
        ExecStoreVirtualTuple(slot);
    }
    Ok(())
}

impl Drop for Rows {
    fn drop(&mut self) {
        // While an error unwinds, abort closes what is open; touching it then could raise again.
        if std::thread::panicking() {
            return;
        }
        // SAFETY: each was opened in `open` or `write` and is closed once; locks are held to the end of the transaction.
        unsafe {
            for slot in &self.slots {
                pg_sys::ExecDropSingleTupleTableSlot(*slot);
            }
            pg_sys::FreeBulkInsertState(self.bulk);
            pg_sys::CatalogCloseIndexes(self.indexes);
            pg_sys::FreeExecutorState(self.estate);
        }
    }
}
