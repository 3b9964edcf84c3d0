//! A table that holds one row a key, open for what each append waits for: a row found by its key, replaced, inserted.
//!
//! As of now, whatever the transaction's snapshot, and without predicate locks. A row that is replaced and stays on its page
//! needs no entry in the index; so what the index asks for is prepared only where one is written.
//!
//! Must hold: the table is a heap whose only index is its primary key, over columns that are never NULL; the caller counts
//! a command after writing.
//!
//! Unsafe: PostgreSQL's access methods.

use crate::boundary::try_pg;
use crate::error::Result;
use crate::stream;
use pgrx::PgMemoryContexts;
use pgrx::pg_sys::{self, Datum, ItemPointerData, Oid, ScanKeyData};

// Raw: an error, as of a deadlock, must reach `try_pg` whole.
unsafe extern "C-unwind" {
    #[cfg(not(feature = "pg18"))]
    fn index_beginscan(
        relation: pg_sys::Relation,
        index: pg_sys::Relation,
        snapshot: pg_sys::Snapshot,
        keys: i32,
        order_bys: i32,
    ) -> pg_sys::IndexScanDesc;
    #[cfg(feature = "pg18")]
    fn index_beginscan(
        relation: pg_sys::Relation,
        index: pg_sys::Relation,
        snapshot: pg_sys::Snapshot,
        instrument: *mut pg_sys::IndexScanInstrumentation,
        keys: i32,
        order_bys: i32,
    ) -> pg_sys::IndexScanDesc;
    fn index_rescan(
        scan: pg_sys::IndexScanDesc,
        keys: *mut ScanKeyData,
        count: i32,
        order_bys: *mut ScanKeyData,
        order_by_count: i32,
    );
    fn index_getnext_tid(scan: pg_sys::IndexScanDesc, direction: i32) -> pg_sys::ItemPointer;
    fn index_fetch_heap(scan: pg_sys::IndexScanDesc, slot: *mut pg_sys::TupleTableSlot) -> bool;
    fn index_endscan(scan: pg_sys::IndexScanDesc);
    fn index_insert(
        index: pg_sys::Relation,
        values: *const Datum,
        nulls: *const bool,
        tid: pg_sys::ItemPointer,
        relation: pg_sys::Relation,
        check: u32,
        unchanged: bool,
        info: *mut pg_sys::IndexInfo,
    ) -> bool;
    fn heap_update(
        relation: pg_sys::Relation,
        tid: pg_sys::ItemPointer,
        tuple: pg_sys::HeapTuple,
        command: pg_sys::CommandId,
        crosscheck: pg_sys::Snapshot,
        wait: bool,
        failure: *mut pg_sys::TM_FailureData,
        lock: *mut pg_sys::LockTupleMode::Type,
        #[cfg(not(feature = "pg15"))] indexes: *mut pg_sys::TU_UpdateIndexes::Type,
    ) -> pg_sys::TM_Result::Type;
    fn simple_heap_insert(relation: pg_sys::Relation, tuple: pg_sys::HeapTuple);
    fn simple_heap_delete(relation: pg_sys::Relation, tid: pg_sys::ItemPointer);
    fn GetCurrentCommandId(used: bool) -> pg_sys::CommandId;
}

pub struct Keyed {
    pub relation: pg_sys::Relation,
    pub index: pg_sys::Relation,
    /// The row that was found.
    pub slot: *mut pg_sys::TupleTableSlot,
    /// Where what lives as long as this is allocated.
    memory: pg_sys::MemoryContext,
    info: *mut pg_sys::IndexInfo,
}

fn of_now() -> pg_sys::SnapshotData {
    pg_sys::SnapshotData { snapshot_type: pg_sys::SnapshotType::SNAPSHOT_SELF, ..Default::default() }
}

impl Keyed {
    pub fn open(table: Oid) -> Result<Keyed> {
        // SAFETY: what is opened is closed when the value drops.
        unsafe {
            let relation = pg_sys::table_open(table, pg_sys::RowExclusiveLock as i32);
            let index = pg_sys::index_open(stream::primary_key(relation)?, pg_sys::RowExclusiveLock as i32);
            let slot = pg_sys::table_slot_create(relation, core::ptr::null_mut());
            Ok(Keyed { relation, index, slot, memory: pg_sys::CurrentMemoryContext, info: core::ptr::null_mut() })
        }
    }

    /// Puts the row that the conditions on the index's columns lead to into the slot, if there is one.
    ///
    /// # Safety
    /// The conditions fit the index.
    pub unsafe fn find(&mut self, conditions: &mut [ScanKeyData]) -> Result<bool> {
        let Keyed { relation, index, slot, .. } = *self;
        let (keys, count, none) = (conditions.as_mut_ptr(), conditions.len() as i32, core::ptr::null_mut());
        let mut own = of_now();
        let now = &raw mut own;
        // SAFETY: the relation and its index are open; the snapshot outlives the scan.
        try_pg(|| unsafe {
            // A pin that is left would keep the page from being pruned.
            clear(slot);
            #[cfg(not(feature = "pg18"))]
            let scan = index_beginscan(relation, index, now, count, 0);
            #[cfg(feature = "pg18")]
            let scan = index_beginscan(relation, index, now, core::ptr::null_mut(), count, 0);
            index_rescan(scan, keys, count, none, 0);
            let mut found = false;
            while !found && !index_getnext_tid(scan, pg_sys::ScanDirection::ForwardScanDirection).is_null() {
                found = index_fetch_heap(scan, slot);
            }
            index_endscan(scan);
            found
        })
    }

    /// Replaces the version at a place by another of the same key; waits for whoever holds the row. False: there is a newer
    /// version, and nothing was done.
    ///
    /// # Safety
    /// The tuple is of the table, and `key` are its columns of the index.
    pub unsafe fn replace(
        &mut self,
        mut place: ItemPointerData,
        tuple: pg_sys::HeapTuple,
        key: &[Datum],
    ) -> Result<bool> {
        let (relation, tid) = (self.relation, &raw mut place);
        let (mut failure, mut lock) = (pg_sys::TM_FailureData::default(), 0);
        let (failure, lock) = (&raw mut failure, &raw mut lock);
        #[cfg(not(feature = "pg15"))]
        let mut indexes = 0;
        #[cfg(not(feature = "pg15"))]
        let indexes = &raw mut indexes;
        // SAFETY: as promised; what is pointed to outlives the call.
        let outcome = try_pg(|| unsafe {
            let (command, none) = (GetCurrentCommandId(true), core::ptr::null_mut());
            #[cfg(feature = "pg15")]
            return heap_update(relation, tid, tuple, command, none, true, failure, lock);
            #[cfg(not(feature = "pg15"))]
            return heap_update(relation, tid, tuple, command, none, true, failure, lock, indexes);
        })?;
        if outcome != pg_sys::TM_Result::TM_Ok {
            return Ok(false);
        }
        // SAFETY: as promised.
        unsafe {
            if u32::from((*(*tuple).t_data).t_infomask2) & pg_sys::HEAP_ONLY_TUPLE == 0 {
                self.enter(tuple, key, true)?;
            }
        }
        Ok(true)
    }

    /// Inserts a row.
    ///
    /// # Safety
    /// As for [`Keyed::replace`].
    pub unsafe fn insert(&mut self, tuple: pg_sys::HeapTuple, key: &[Datum]) -> Result<()> {
        let relation = self.relation;
        // SAFETY: as promised.
        unsafe {
            try_pg(|| simple_heap_insert(relation, tuple))?;
            self.enter(tuple, key, false)
        }
    }

    /// Deletes the row that is in the slot.
    pub fn delete(&mut self) -> Result<()> {
        let relation = self.relation;
        // SAFETY: a slot of the table, with a row in it.
        let mut place = unsafe { (*self.slot).tts_tid };
        let tid = &raw mut place;
        // SAFETY: the relation is open.
        try_pg(|| unsafe { simple_heap_delete(relation, tid) })
    }

    unsafe fn enter(&mut self, tuple: pg_sys::HeapTuple, key: &[Datum], unchanged: bool) -> Result<()> {
        const NULLS: [bool; pg_sys::INDEX_MAX_KEYS as usize] = [false; pg_sys::INDEX_MAX_KEYS as usize];
        let Keyed { relation, index, .. } = *self;
        // SAFETY: the relation and its index are open.
        unsafe {
            if self.info.is_null() {
                self.info = PgMemoryContexts::For(self.memory).switch_to(|_| pg_sys::BuildIndexInfo(index));
            }
            let (values, info, tid) = (key.as_ptr(), self.info, &raw mut (*tuple).t_self);
            let check = pg_sys::IndexUniqueCheck::UNIQUE_CHECK_YES;
            try_pg(|| index_insert(index, values, NULLS.as_ptr(), tid, relation, check, unchanged, info)).map(drop)
        }
    }
}

/// Lets go of what a slot holds.
unsafe fn clear(slot: *mut pg_sys::TupleTableSlot) {
    unsafe {
        if let Some(clear) = (*(*slot).tts_ops).clear {
            clear(slot);
        }
    }
}

impl Drop for Keyed {
    fn drop(&mut self) {
        // While an error unwinds, abort closes what is open; touching it then could raise again.
        if std::thread::panicking() {
            return;
        }
        // SAFETY: each was opened in `open` and is closed once; locks are held to the end of the transaction.
        unsafe {
            pg_sys::ExecDropSingleTupleTableSlot(self.slot);
            pg_sys::index_close(self.index, pg_sys::NoLock as i32);
            pg_sys::table_close(self.relation, pg_sys::NoLock as i32);
        }
    }
}
