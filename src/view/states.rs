//! The states of a view's keys: locked, read and written without plans, since each append waits for it.
//!
//! As of now, whatever the transaction's snapshot: a state is what all events of its key that are held make, and not
//! what one transaction can see. (A transaction under REPEATABLE READ that has met a change it cannot see fails where
//! it writes the row.) No predicate locks are taken, so SERIALIZABLE transactions do not conflict over states.
//!
//! Must hold: keys are locked in ascending order; a state is written only under its lock; a command is counted after
//! writing, so that a statement nested in this one can write the same states again.
//!
//! Unsafe: PostgreSQL's access methods.

use crate::boundary::try_pg;
use crate::catalog;
use crate::error::{Result, internal};
use crate::scan::key as scan_key;
use crate::spi::{bytes_of, varlena};
use crate::view::write::Changed;
use pgrx::pg_sys::{self, Datum};
use std::collections::HashMap;

// Raw: an error, as of a deadlock, must reach `try_pg` whole.
unsafe extern "C-unwind" {
    fn CatalogTupleUpdateWithInfo(
        relation: pg_sys::Relation,
        tid: pg_sys::ItemPointer,
        tuple: pg_sys::HeapTuple,
        indexes: pg_sys::CatalogIndexState,
    );
    fn CommandCounterIncrement();
}

/// Columns of gundb.view_state, counted from 0.
const VIEW: usize = 0;
const KEY: usize = 1;
const STATE: usize = 2;

/// What is done about a key that another transaction holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Busy {
    /// It is waited for.
    Awaited,
    /// It is left.
    Left,
}

/// What came of locking a key.
enum Lock {
    Held(Vec<u8>),
    Missing,
    Busy,
}

/// The states of one view, the table open.
pub struct States {
    number: i32,
    relation: pg_sys::Relation,
    index: pg_sys::Relation,
    slot: *mut pg_sys::TupleTableSlot,
    /// Where the states that are locked lie.
    places: HashMap<Vec<u8>, pg_sys::ItemPointerData>,
}

impl States {
    pub fn open(number: i32) -> Result<States> {
        let table = catalog::extension()?.view_state;
        // SAFETY: what is opened is closed when the value drops.
        unsafe {
            let relation = pg_sys::table_open(table, pg_sys::RowExclusiveLock as i32);
            let index = pg_sys::index_open(crate::stream::primary_key(relation)?, pg_sys::RowExclusiveLock as i32);
            let slot = pg_sys::table_slot_create(relation, core::ptr::null_mut());
            Ok(States { number, relation, index, slot, places: HashMap::new() })
        }
    }

    /// Locks the states of keys, which ascend, until the end of the transaction, and reads them. Those that are not
    /// there are made, empty. Keys that are busy and left are not among what is returned.
    pub fn lock(&mut self, keys: &[&[u8]], busy: Busy) -> Result<HashMap<Vec<u8>, Vec<u8>>> {
        let mut found = HashMap::with_capacity(keys.len());
        let mut missing = keys.to_vec();
        // Once more where another has made some meanwhile; what is made is never taken away but with its view.
        for _ in 0..2 {
            let mut still_missing = Vec::new();
            for key in missing {
                match self.lock_one(key, busy)? {
                    Lock::Held(state) => drop(found.insert(key.to_vec(), state)),
                    Lock::Missing => still_missing.push(key),
                    Lock::Busy => {}
                }
            }
            if still_missing.is_empty() {
                return Ok(found);
            }
            match busy {
                Busy::Awaited => catalog::make_states(self.number, &still_missing)?,
                Busy::Left => still_missing.retain(|key| self.make_unless_busy(key)),
            }
            missing = still_missing;
        }
        for key in missing {
            match self.lock_one(key, busy)? {
                Lock::Held(state) => drop(found.insert(key.to_vec(), state)),
                Lock::Busy => {}
                Lock::Missing => return Err(internal("a view's state is gone: was the view dropped?")),
            }
        }
        Ok(found)
    }

    /// Makes an empty state, unless another transaction is making it, or has made it meanwhile: who checks an index for
    /// another's entry without waiting learns only that there may be one, and takes back what it has put there.
    fn make_unless_busy(&mut self, key: &[u8]) -> bool {
        // SAFETY: the relation and its one index are open; the row has the table's columns.
        unsafe {
            let mut values = [Datum::from(self.number), varlena(key), varlena(&[])];
            let mut nulls = [false; 3];
            let tuple = pg_sys::heap_form_tuple((*self.relation).rd_att, values.as_mut_ptr(), nulls.as_mut_ptr());
            pg_sys::simple_heap_insert(self.relation, tuple);
            let info = pg_sys::BuildIndexInfo(self.index);
            let made = pg_sys::index_insert(
                self.index,
                values.as_mut_ptr(),
                nulls.as_mut_ptr(),
                &raw mut (*tuple).t_self,
                self.relation,
                pg_sys::IndexUniqueCheck::UNIQUE_CHECK_PARTIAL,
                false,
                info,
            );
            if !made {
                pg_sys::CommandCounterIncrement();
                pg_sys::simple_heap_delete(self.relation, &raw mut (*tuple).t_self);
            }
            pg_sys::CommandCounterIncrement();
            made
        }
    }

    fn lock_one(&mut self, key: &[u8], busy: Busy) -> Result<Lock> {
        // SAFETY: the relation and its index are open; the slot holds the row that was locked.
        unsafe {
            if !self.find(key) {
                return Ok(Lock::Missing);
            }
            let policy = match busy {
                Busy::Awaited => pg_sys::LockWaitPolicy::LockWaitBlock,
                Busy::Left => pg_sys::LockWaitPolicy::LockWaitSkip,
            };
            let (relation, slot) = (self.relation, self.slot);
            let lock = (*(*relation).rd_tableam).tuple_lock.ok_or_else(|| internal("the table cannot lock rows"))?;
            let mut place = (*slot).tts_tid;
            let tid = &raw mut place;
            let mut failure = pg_sys::TM_FailureData::default();
            let why = &raw mut failure;
            let outcome = try_pg(|| {
                lock(
                    relation,
                    tid,
                    pg_sys::GetActiveSnapshot(),
                    slot,
                    pg_sys::GetCurrentCommandId(true),
                    pg_sys::LockTupleMode::LockTupleNoKeyExclusive,
                    policy,
                    pg_sys::TUPLE_LOCK_FLAG_FIND_LAST_VERSION as u8,
                    why,
                )
            })?;
            match outcome {
                pg_sys::TM_Result::TM_Ok => {}
                // Its view was dropped.
                pg_sys::TM_Result::TM_Deleted => return Ok(Lock::Missing),
                pg_sys::TM_Result::TM_WouldBlock => return Ok(Lock::Busy),
                other => return Err(internal(format!("a view's state could not be locked ({other})"))),
            }
            let mut null = false;
            let state = pg_sys::slot_getattr(slot, (STATE + 1) as i32, &mut null);
            if null {
                return Err(internal("a view's state is NULL"));
            }
            self.places.insert(key.to_vec(), (*slot).tts_tid);
            Ok(Lock::Held(bytes_of(state).to_vec()))
        }
    }

    /// Puts a key's state, as of now, into the slot.
    unsafe fn find(&mut self, key: &[u8]) -> bool {
        unsafe {
            let mut now =
                pg_sys::SnapshotData { snapshot_type: pg_sys::SnapshotType::SNAPSHOT_SELF, ..Default::default() };
            let equal = pg_sys::BTEqualStrategyNumber as u16;
            let mut keys = [
                scan_key(VIEW, equal, pg_sys::F_INT4EQ, Datum::from(self.number)),
                scan_key(KEY, equal, pg_sys::F_BYTEAEQ, varlena(key)),
            ];
            #[cfg(not(feature = "pg18"))]
            let scan = pg_sys::index_beginscan(self.relation, self.index, &raw mut now, 2, 0);
            #[cfg(feature = "pg18")]
            let scan = pg_sys::index_beginscan(self.relation, self.index, &raw mut now, core::ptr::null_mut(), 2, 0);
            pg_sys::index_rescan(scan, keys.as_mut_ptr(), 2, core::ptr::null_mut(), 0);
            let found = pg_sys::index_getnext_slot(scan, pg_sys::ScanDirection::ForwardScanDirection, self.slot);
            pg_sys::index_endscan(scan);
            found
        }
    }

    /// Stores the states of keys that were locked.
    pub fn store(&mut self, states: &[Changed]) -> Result<()> {
        if states.is_empty() {
            return Ok(());
        }
        // SAFETY: the relation is open; each tuple has its columns, and replaces the version that was locked.
        unsafe {
            let indexes = pg_sys::CatalogOpenIndexes(self.relation);
            let relation = self.relation;
            for Changed { key, state, .. } in states {
                let place = self.places.get_mut(key).ok_or_else(|| internal("a view's state was not locked"))?;
                let mut values = [Datum::from(self.number), varlena(key), varlena(state)];
                let mut nulls = [false; 3];
                let tuple = pg_sys::heap_form_tuple((*relation).rd_att, values.as_mut_ptr(), nulls.as_mut_ptr());
                let tid = &raw mut *place;
                try_pg(|| CatalogTupleUpdateWithInfo(relation, tid, tuple, indexes))?;
            }
            pg_sys::CatalogCloseIndexes(indexes);
            try_pg(|| CommandCounterIncrement())
        }
    }
}

impl Drop for States {
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
