//! Ids that are given: the idempotency key.
//!
//! Within a run the unique index on (id, site, run) makes writers of one id wait for each other, and only them.
//! What an earlier run or another site accepted under the same id is found here, as of now.
//!
//! Unsafe: one index probe.

use crate::error::{Error, Failure, state};
use crate::stream::Stream;
use pgrx::pg_sys;

/// Whether the stream holds an event with this id.
///
/// # Safety
/// `relation` is the stream's open table.
pub unsafe fn exists(relation: pg_sys::Relation, stream: &Stream, id: &[u8; 16]) -> bool {
    unsafe {
        let mut own = pg_sys::SnapshotData { snapshot_type: pg_sys::SnapshotType::SNAPSHOT_SELF, ..Default::default() };
        let index = pg_sys::index_open(stream.by_id, pg_sys::AccessShareLock as i32);
        let slot = pg_sys::table_slot_create(relation, core::ptr::null_mut());
        let mut key = pg_sys::ScanKeyData::default();
        pg_sys::ScanKeyInit(
            &mut key,
            1,
            pg_sys::BTEqualStrategyNumber as u16,
            pg_sys::Oid::from(pg_sys::F_UUID_EQ),
            id.as_ptr().into(),
        );
        #[cfg(not(feature = "pg18"))]
        let scan = pg_sys::index_beginscan(relation, index, &mut own, 1, 0);
        #[cfg(feature = "pg18")]
        let scan = pg_sys::index_beginscan(relation, index, &mut own, core::ptr::null_mut(), 1, 0);
        pg_sys::index_rescan(scan, &mut key, 1, core::ptr::null_mut(), 0);
        let found = pg_sys::index_getnext_slot(scan, pg_sys::ScanDirection::ForwardScanDirection, slot);
        pg_sys::index_endscan(scan);
        pg_sys::ExecDropSingleTupleTableSlot(slot);
        pg_sys::index_close(index, pg_sys::AccessShareLock as i32);
        found
    }
}

/// What a plain INSERT of a known id gets: the error that drivers and ORMs know.
pub fn already_there(stream: &Stream, id: &[u8; 16]) -> Failure {
    let id = uuid::Uuid::from_bytes(*id);
    Error::new(state::UNIQUE, format!("stream \"{}\" already holds an event with id {id}", stream.name))
        .hint("Use gundb.append(), which gives back the event that is there, or INSERT … ON CONFLICT DO NOTHING.")
        .into()
}
