//! Events that stand in a stream and not yet in a key of a view, since the key was busy when they came.
//!
//! Who applies never waits for a key: it files the events here. Whoever locks the key next takes them in: a local
//! append, an apply, or the worker. As of now, as states are, and without predicate locks.
//!
//! Must hold: an event is filed in the transaction that stores it, and taken off under the lock of the key by whoever
//! takes it in, who also asks whether its id stands elsewhere: who filed it could not know.
//!
//! Unsafe: PostgreSQL's access methods.

use crate::boundary::try_pg;
use crate::catalog;
use crate::error::{Result, internal};
use crate::scan::key as scan_key;
use crate::spi::varlena;
use gundb_core::Dot;
use pgrx::pg_sys::{self, Datum};
use std::collections::BTreeSet;

// Raw: an error must reach `try_pg` whole.
unsafe extern "C-unwind" {
    fn CatalogTupleDelete(relation: pg_sys::Relation, tid: pg_sys::ItemPointer);
    fn CommandCounterIncrement();
}

/// Columns of gundb.view_late, counted from 0; view and key are those of its index too.
const VIEW: usize = 0;
const KEY: usize = 1;
const DOT: usize = 3;
const AGAIN: usize = 4;

/// What was taken off the list of a key.
#[derive(Default)]
pub struct Taken {
    /// Events that are not in the key.
    pub missing: BTreeSet<Dot>,
    /// Events that may be, and for which the key must be folded again.
    pub again: BTreeSet<Dot>,
}

impl Taken {
    /// All of them.
    pub fn into_all(self) -> impl Iterator<Item = Dot> {
        self.missing.into_iter().chain(self.again)
    }
}

/// Takes off the list, of a key that is locked, the events that `takes` chooses. Returns them.
pub fn take(view: i32, key: &[u8], takes: impl Fn(&Dot) -> bool) -> Result<Taken> {
    let table = catalog::extension()?.view_late;
    let mut taken = Taken::default();
    // SAFETY: what is opened is closed; the slot holds the row that was found.
    unsafe {
        let relation = pg_sys::table_open(table, pg_sys::RowExclusiveLock as i32);
        let index = pg_sys::index_open(key_index(relation)?, pg_sys::AccessShareLock as i32);
        let slot = pg_sys::table_slot_create(relation, core::ptr::null_mut());
        let mut now = pg_sys::SnapshotData { snapshot_type: pg_sys::SnapshotType::SNAPSHOT_SELF, ..Default::default() };
        let equal = pg_sys::BTEqualStrategyNumber as u16;
        let mut keys = [
            scan_key(VIEW, equal, pg_sys::F_INT4EQ, Datum::from(view)),
            scan_key(KEY, equal, pg_sys::F_BYTEAEQ, varlena(key)),
        ];
        #[cfg(not(feature = "pg18"))]
        let scan = pg_sys::index_beginscan(relation, index, &raw mut now, 2, 0);
        #[cfg(feature = "pg18")]
        let scan = pg_sys::index_beginscan(relation, index, &raw mut now, core::ptr::null_mut(), 2, 0);
        pg_sys::index_rescan(scan, keys.as_mut_ptr(), 2, core::ptr::null_mut(), 0);
        let mut places = Vec::new();
        while pg_sys::index_getnext_slot(scan, pg_sys::ScanDirection::ForwardScanDirection, slot) {
            let mut null = false;
            let dot = pg_sys::slot_getattr(slot, (DOT + 1) as i32, &mut null);
            let dot = Dot::from_bytes(&*dot.cast_mut_ptr::<[u8; Dot::BYTES]>())
                .map_err(|error| internal(format!("a stored dot is damaged: {error}")))?;
            let again = pg_sys::slot_getattr(slot, (AGAIN + 1) as i32, &mut null).value() != 0;
            if takes(&dot) {
                places.push((*slot).tts_tid);
                if again { &mut taken.again } else { &mut taken.missing }.insert(dot);
            }
        }
        pg_sys::index_endscan(scan);
        pg_sys::ExecDropSingleTupleTableSlot(slot);
        pg_sys::index_close(index, pg_sys::AccessShareLock as i32);
        for place in &mut places {
            let tid = &raw mut *place;
            try_pg(|| CatalogTupleDelete(relation, tid))?;
        }
        pg_sys::table_close(relation, pg_sys::NoLock as i32);
        if !places.is_empty() {
            try_pg(|| CommandCounterIncrement())?;
        }
    }
    Ok(taken)
}

/// The one index of the table.
unsafe fn key_index(relation: pg_sys::Relation) -> Result<pg_sys::Oid> {
    unsafe {
        let list = pg_sys::RelationGetIndexList(relation);
        if list.is_null() {
            return Err(internal("gundb.view_late has no index"));
        }
        let index = (*(*list).elements).oid_value;
        pg_sys::list_free(list);
        Ok(index)
    }
}
