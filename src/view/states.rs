//! The states of a view's keys: locked, read and written without plans, since each append waits for it.
//!
//! As of now, whatever the transaction's snapshot: a state is what all events of its key that are held make, and not
//! what one transaction can see. (A transaction under REPEATABLE READ that has met a change it cannot see fails where
//! it writes the row.) No predicate locks are taken, so SERIALIZABLE transactions do not conflict over states.
//!
//! Must hold: keys are locked in ascending order; a state is written only under its lock, or where it is still what was
//! read; a command is counted after writing, so that a statement nested in this one can write the same states again.
//!
//! Unsafe: PostgreSQL's access methods.

use crate::boundary::try_pg;
use crate::catalog;
use crate::error::{Result, internal};
use crate::scan::key as scan_key;
use crate::spi::{bytes_of, varlena};
use crate::view::keyed::Keyed;
use crate::view::write::Changed;
use pgrx::pg_sys::{self, Datum};
use std::collections::HashMap;

// Raw: an error, as of a deadlock, must reach `try_pg` whole.
unsafe extern "C-unwind" {
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
    table: Keyed,
    /// Where the states that are locked lie.
    places: HashMap<Vec<u8>, pg_sys::ItemPointerData>,
}

impl States {
    pub fn open(number: i32) -> Result<States> {
        let table = Keyed::open(catalog::extension()?.view_state)?;
        Ok(States { number, table, places: HashMap::new() })
    }

    /// The state of a key, which is not locked: [`States::replace`] may come to nothing.
    pub fn read(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        if !self.find(key)? {
            return Ok(None);
        }
        // SAFETY: the slot holds a state.
        unsafe { self.state().map(|state| Some(state.to_vec())) }
    }

    /// Replaces the state that was read last; waits for whoever holds it. False: it was changed meanwhile.
    pub fn replace(&mut self, key: &[u8], state: &[u8]) -> Result<bool> {
        // SAFETY: the slot holds the state that was read.
        unsafe { self.put((*self.table.slot).tts_tid, key, state) }
    }

    /// What the row in the slot holds.
    unsafe fn state(&self) -> Result<&[u8]> {
        let mut null = false;
        // SAFETY: the slot holds a row of the table.
        let state = unsafe { pg_sys::slot_getattr(self.table.slot, (STATE + 1) as i32, &mut null) };
        match null {
            true => Err(internal("a view's state is NULL")),
            // SAFETY: a bytea.
            false => Ok(unsafe { bytes_of(state) }),
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
            let Keyed { relation, index, .. } = self.table;
            let tuple = pg_sys::heap_form_tuple((*relation).rd_att, values.as_mut_ptr(), nulls.as_mut_ptr());
            pg_sys::simple_heap_insert(relation, tuple);
            let info = pg_sys::BuildIndexInfo(index);
            let made = pg_sys::index_insert(
                index,
                values.as_mut_ptr(),
                nulls.as_mut_ptr(),
                &raw mut (*tuple).t_self,
                relation,
                pg_sys::IndexUniqueCheck::UNIQUE_CHECK_PARTIAL,
                false,
                info,
            );
            if !made {
                pg_sys::CommandCounterIncrement();
                pg_sys::simple_heap_delete(relation, &raw mut (*tuple).t_self);
            }
            pg_sys::CommandCounterIncrement();
            made
        }
    }

    fn lock_one(&mut self, key: &[u8], busy: Busy) -> Result<Lock> {
        if !self.find(key)? {
            return Ok(Lock::Missing);
        }
        // SAFETY: the relation is open; the slot holds the row that was found, then the one that was locked.
        unsafe {
            let policy = match busy {
                Busy::Awaited => pg_sys::LockWaitPolicy::LockWaitBlock,
                Busy::Left => pg_sys::LockWaitPolicy::LockWaitSkip,
            };
            let (relation, slot) = (self.table.relation, self.table.slot);
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
            let state = self.state()?.to_vec();
            self.places.insert(key.to_vec(), (*slot).tts_tid);
            Ok(Lock::Held(state))
        }
    }

    /// Puts a key's state, as of now, into the slot.
    fn find(&mut self, key: &[u8]) -> Result<bool> {
        let equal = pg_sys::BTEqualStrategyNumber as u16;
        // SAFETY: the index is over (view, key).
        unsafe {
            let mut conditions = [
                scan_key(VIEW, equal, pg_sys::F_INT4EQ, Datum::from(self.number)),
                scan_key(KEY, equal, pg_sys::F_BYTEAEQ, varlena(key)),
            ];
            self.table.find(&mut conditions)
        }
    }

    /// Stores the states of keys that were locked.
    pub fn store(&mut self, states: &[Changed]) -> Result<()> {
        if states.is_empty() {
            return Ok(());
        }
        for Changed { key, state, .. } in states {
            let place = *self.places.get(key).ok_or_else(|| internal("a view's state was not locked"))?;
            // SAFETY: the version that was locked.
            if !unsafe { self.put(place, key, state)? } {
                return Err(internal("a view's state changed while it was locked"));
            }
        }
        // SAFETY: outside of any scan.
        try_pg(|| unsafe { CommandCounterIncrement() })
    }

    unsafe fn put(&mut self, place: pg_sys::ItemPointerData, key: &[u8], state: &[u8]) -> Result<bool> {
        let mut values = [Datum::from(self.number), varlena(key), varlena(state)];
        let mut nulls = [false; 3];
        // SAFETY: the relation is open, and the tuple has its columns.
        unsafe {
            let descriptor = (*self.table.relation).rd_att;
            let tuple = pg_sys::heap_form_tuple(descriptor, values.as_mut_ptr(), nulls.as_mut_ptr());
            self.table.replace(place, tuple, &values[..STATE])
        }
    }
}
