//! Scans of a stream's table, as of now: the head of a lane, all heads, one event, the events of a lane or a key.
//!
//! A head must be what is committed *now* plus what this transaction did, whatever its snapshot: under REPEATABLE
//! READ the snapshot is older than the lane's lock, and a head read through it would be issued twice. So these
//! scans use `SnapshotSelf`, which also takes no predicate locks: SERIALIZABLE pays nothing for them.
//!
//! Unsafe: PostgreSQL's access methods. Must hold: what is opened is closed before a function returns; an error
//! in between is cleaned up by transaction abort, as everywhere in PostgreSQL.

use crate::error::{Result, internal};
use crate::spi::{bytes_of, fixed, free, text_of, varlena};
use gundb_core::fold::Mark;
use gundb_core::{Chain, Hlc, Lane, Run, SiteId};
use pgrx::{PgMemoryContexts, pg_sys};
use std::ops::ControlFlow;
use uuid::Uuid;

/// An event's coordinates: those of a lane's last event say where the lane stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub seq: u64,
    pub hlc: Hlc,
    pub xact: Hlc,
    pub epoch: u64,
    pub chain: Chain,
}

/// Columns of `gundb.event`, in order. Stream tables made by create_stream or a dump have them first, in this order.
pub mod column {
    pub const SITE: usize = 0;
    pub const LANE: usize = 1;
    pub const SEQ: usize = 2;
    pub const HLC: usize = 3;
    pub const XACT: usize = 4;
    pub const EPOCH: usize = 5;
    pub const ID: usize = 6;
    pub const CHAIN: usize = 7;
    pub const SALT: usize = 8;
    pub const TYPE: usize = 9;
    pub const KEY: usize = 10;
    pub const DATA: usize = 11;
    pub const META: usize = 12;
    pub const COUNT: usize = 13;
    pub const NAMES: [&str; COUNT] =
        ["site", "lane", "seq", "hlc", "xact", "epoch", "id", "chain", "salt", "type", "key", "data", "meta"];
}

/// Lanes and stamps are stored as signed 64-bit numbers whose order is that of the unsigned ones.
pub fn to_stored(bits: u64) -> i64 {
    (bits ^ (1 << 63)) as i64
}

fn from_stored(stored: i64) -> u64 {
    stored as u64 ^ (1 << 63)
}

/// A stamp as it is stored. What is beyond the range, which only a damaged page can hold, reads as the greatest.
pub fn stored_hlc(stored: i64) -> Hlc {
    Hlc::from_bits(from_stored(stored)).unwrap_or(Hlc::MAX)
}

/// A lane as it is stored; a damaged one reads as the greatest.
pub fn stored_lane(stored: i64) -> Lane {
    Lane::from_bits(from_stored(stored)).unwrap_or(Lane::new(Run::MAX, u16::MAX))
}

/// As of when a scan sees.
#[derive(Clone, Copy)]
pub enum As {
    /// Committed now, and this transaction's own work.
    OfNow,
    /// The active snapshot's view.
    OfSnapshot,
}

/// An event as it is stored. Lives until the next one is read.
pub struct Stored<'a> {
    pub mark: Mark,
    pub xact: Hlc,
    pub chain: Chain,
    pub salt: [u8; 16],
    pub id: Uuid,
    pub kind: &'a str,
    pub key: Option<&'a str>,
    /// The contents of a jsonb.
    pub data: &'a [u8],
    pub meta: &'a [u8],
}

/// Which events of a stream to walk through.
pub enum Which<'a> {
    /// All, in the order in which they lie.
    All,
    /// Those of a lane with a seq greater than `after`, in order.
    OfLane { index: pg_sys::Oid, site: SiteId, lane: Lane, after: u64 },
    /// Those of a key, by the index over (key, hlc).
    OfKey { index: pg_sys::Oid, key: &'a str },
    /// Those of a key with a stamp of at least `from`, by the same index, in order of stamps.
    OfKeyFrom { index: pg_sys::Oid, key: &'a str, from: Hlc },
    /// Those with a stamp of at least `from`, by the index over hlc, in order of stamps.
    From { index: pg_sys::Oid, from: Hlc },
    /// Those that bear an id, by the index that begins with it.
    OfId { index: pg_sys::Oid, id: Uuid },
}

/// Calls `found` for events of a stream, whoever may read them, until it breaks off. What it allocates through
/// PostgreSQL is gone with the event.
///
/// # Safety
/// `relation` is a stream table, open throughout; an index named by `which` is what it says.
pub unsafe fn walk(
    relation: pg_sys::Relation,
    which: Which,
    at: As,
    mut found: impl FnMut(&Stored) -> Result<ControlFlow<()>>,
) -> Result<()> {
    unsafe {
        let mut own = pg_sys::SnapshotData { snapshot_type: pg_sys::SnapshotType::SNAPSHOT_SELF, ..Default::default() };
        let snapshot = match at {
            As::OfNow => &raw mut own,
            As::OfSnapshot => pg_sys::GetActiveSnapshot(),
        };
        let slot = pg_sys::table_slot_create(relation, core::ptr::null_mut());
        let mut row_memory = PgMemoryContexts::new("gundb events");
        let mut each = |slot: *mut pg_sys::TupleTableSlot| {
            let outcome = row_memory.switch_to(|_| found(&stored(slot)));
            if !(*row_memory.value()).isReset {
                row_memory.reset();
            }
            pg_sys::check_for_interrupts!();
            outcome
        };
        let (index, mut keys, made) = match which {
            Which::All => {
                let options = pg_sys::ScanOptions::SO_TYPE_SEQSCAN
                    | pg_sys::ScanOptions::SO_ALLOW_STRAT
                    | pg_sys::ScanOptions::SO_ALLOW_SYNC
                    | pg_sys::ScanOptions::SO_ALLOW_PAGEMODE;
                let methods = &*(*relation).rd_tableam;
                let (Some(begin), Some(next), Some(end)) =
                    (methods.scan_begin, methods.scan_getnextslot, methods.scan_end)
                else {
                    return Err(internal("the table's access method cannot scan"));
                };
                let none = core::ptr::null_mut();
                let scan = begin(relation, snapshot, 0, core::ptr::null_mut(), none, options);
                while next(scan, pg_sys::ScanDirection::ForwardScanDirection, slot) && each(slot)?.is_continue() {}
                end(scan);
                pg_sys::ExecDropSingleTupleTableSlot(slot);
                return Ok(());
            }
            Which::OfLane { index, site, lane, after } => {
                let site = fixed(site.0.as_bytes());
                let lane = compares(column::LANE, Strategy::Equal, to_stored(lane.to_bits()));
                let after = compares(column::SEQ, Strategy::Greater, after as i64);
                (index, vec![key(0, Strategy::Equal.number(), pg_sys::F_UUID_EQ, site), lane, after], None)
            }
            Which::OfKey { index, key: text } => {
                let text = varlena(text.as_bytes());
                (index, vec![equals_text(text)], Some(text))
            }
            Which::OfKeyFrom { index, key: text, from } => {
                let text = varlena(text.as_bytes());
                let from = compares(1, Strategy::AtLeast, to_stored(from.to_bits()));
                (index, vec![equals_text(text), from], Some(text))
            }
            Which::From { index, from } => {
                (index, vec![compares(0, Strategy::AtLeast, to_stored(from.to_bits()))], None)
            }
            Which::OfId { index, id } => {
                let id = fixed(id.as_bytes());
                (index, vec![key(0, Strategy::Equal.number(), pg_sys::F_UUID_EQ, id)], Some(id))
            }
        };
        let index = pg_sys::index_open(index, pg_sys::AccessShareLock as i32);
        let count = keys.len() as i32;
        #[cfg(not(feature = "pg18"))]
        let scan = pg_sys::index_beginscan(relation, index, snapshot, count, 0);
        #[cfg(feature = "pg18")]
        let scan = pg_sys::index_beginscan(relation, index, snapshot, core::ptr::null_mut(), count, 0);
        pg_sys::index_rescan(scan, keys.as_mut_ptr(), count, core::ptr::null_mut(), 0);
        while pg_sys::index_getnext_slot(scan, pg_sys::ScanDirection::ForwardScanDirection, slot)
            && each(slot)?.is_continue()
        {}
        pg_sys::index_endscan(scan);
        pg_sys::index_close(index, pg_sys::AccessShareLock as i32);
        pg_sys::ExecDropSingleTupleTableSlot(slot);
        if let Some(made) = made {
            free(made);
        }
        Ok(())
    }
}

unsafe fn stored<'a>(slot: *mut pg_sys::TupleTableSlot) -> Stored<'a> {
    unsafe {
        pg_sys::slot_getsomeattrs(slot, column::COUNT as i32);
        let values = core::slice::from_raw_parts((*slot).tts_values, column::COUNT);
        let nulls = core::slice::from_raw_parts((*slot).tts_isnull, column::COUNT);
        Stored {
            mark: Mark {
                hlc: stored_hlc(values[column::HLC].value() as i64),
                site: SiteId(Uuid::from_bytes(sixteen(values[column::SITE]))),
                lane: stored_lane(values[column::LANE].value() as i64),
                seq: values[column::SEQ].value() as u64,
                epoch: values[column::EPOCH].value() as u64,
            },
            xact: stored_hlc(values[column::XACT].value() as i64),
            chain: Chain(sixteen(values[column::CHAIN])),
            salt: sixteen(values[column::SALT]),
            id: Uuid::from_bytes(sixteen(values[column::ID])),
            kind: text_of(values[column::TYPE]),
            key: (!nulls[column::KEY]).then(|| text_of(values[column::KEY])),
            data: bytes_of(values[column::DATA]),
            meta: bytes_of(values[column::META]),
        }
    }
}

/// Probes of a stream's index over (site, lane, seq).
pub struct Scan {
    relation: pg_sys::Relation,
    index: pg_sys::Relation,
    slot: *mut pg_sys::TupleTableSlot,
    snapshot: pg_sys::Snapshot,
    // `snapshot` points here when it is ours.
    _own: Box<pg_sys::SnapshotData>,
}

impl Scan {
    /// # Safety
    /// `relation` is a stream table, open for as long as the value lives, and `index` its primary key.
    pub unsafe fn begin(relation: pg_sys::Relation, index: pg_sys::Oid, at: As) -> Scan {
        unsafe {
            let mut own = Box::new(pg_sys::SnapshotData {
                snapshot_type: pg_sys::SnapshotType::SNAPSHOT_SELF,
                ..Default::default()
            });
            let snapshot = match at {
                As::OfNow => &raw mut *own,
                As::OfSnapshot => pg_sys::GetActiveSnapshot(),
            };
            let index = pg_sys::index_open(index, pg_sys::AccessShareLock as i32);
            let slot = pg_sys::table_slot_create(relation, core::ptr::null_mut());
            Scan { relation, index, slot, snapshot, _own: own }
        }
    }

    /// Puts the first row, in the direction, that the keys allow into the slot.
    unsafe fn first(&mut self, keys: &mut [pg_sys::ScanKeyData], forward: bool) -> bool {
        let direction = if forward {
            pg_sys::ScanDirection::ForwardScanDirection
        } else {
            pg_sys::ScanDirection::BackwardScanDirection
        };
        unsafe {
            let count = keys.len() as i32;
            #[cfg(not(feature = "pg18"))]
            let scan = pg_sys::index_beginscan(self.relation, self.index, self.snapshot, count, 0);
            #[cfg(feature = "pg18")]
            let scan =
                pg_sys::index_beginscan(self.relation, self.index, self.snapshot, core::ptr::null_mut(), count, 0);
            pg_sys::index_rescan(scan, keys.as_mut_ptr(), count, core::ptr::null_mut(), 0);
            let found = pg_sys::index_getnext_slot(scan, direction, self.slot);
            pg_sys::index_endscan(scan);
            found
        }
    }

    /// The last event of a lane.
    ///
    /// # Safety
    /// The relation given to `begin` is still open.
    pub unsafe fn head(&mut self, site: &SiteId, lane: Lane) -> Option<Head> {
        let site = *site.0.as_bytes();
        let mut keys =
            unsafe { [equals_site(&site), compares(column::LANE, Strategy::Equal, to_stored(lane.to_bits()))] };
        unsafe { self.first(&mut keys, false).then(|| self.row()) }
    }

    /// Every lane with its head, in order of (site, lane). `only` limits it to one site.
    ///
    /// # Safety
    /// As for `head`.
    pub unsafe fn heads(&mut self, mut found: impl FnMut(SiteId, Lane, Head)) {
        unsafe {
            let mut more = self.first(&mut [], true);
            while more {
                let (site, lane) = self.place();
                if let Some(head) = self.head(&site, lane) {
                    found(site, lane, head);
                }
                let bytes = *site.0.as_bytes();
                let mut next_lane =
                    [equals_site(&bytes), compares(column::LANE, Strategy::Greater, to_stored(lane.to_bits()))];
                more = self.first(&mut next_lane, true) || {
                    let mut next_site = [after_site(&bytes)];
                    self.first(&mut next_site, true)
                };
            }
        }
    }

    /// The last event of a lane with a stamp smaller than `before`, found by halving: stamps grow along a lane.
    ///
    /// # Safety
    /// As for `head`.
    pub unsafe fn last_before(&mut self, site: &SiteId, lane: Lane, before: Hlc) -> Option<Head> {
        unsafe {
            let head = self.head(site, lane)?;
            if head.hlc < before {
                return Some(head);
            }
            // Invariant: the event at `low` (if not 0) is before; the one at `high` is not.
            let (mut low, mut high, mut found) = (0, head.seq, None);
            while high - low > 1 {
                let middle = low + (high - low) / 2;
                match self.event(site, lane, middle) {
                    Some(row) if row.hlc < before => (low, found) = (middle, Some(row)),
                    _ => high = middle,
                }
            }
            found
        }
    }

    /// One event of a lane.
    ///
    /// # Safety
    /// As for `head`.
    pub unsafe fn event(&mut self, site: &SiteId, lane: Lane, seq: u64) -> Option<Head> {
        let site = *site.0.as_bytes();
        unsafe {
            let mut keys = [
                equals_site(&site),
                compares(column::LANE, Strategy::Equal, to_stored(lane.to_bits())),
                compares(column::SEQ, Strategy::Equal, seq as i64),
            ];
            self.first(&mut keys, true).then(|| self.row())
        }
    }

    /// The event at a mark, as a value of a row type that begins as `gundb.event` does.
    ///
    /// # Safety
    /// As for `head`; `descriptor` is that of the row type.
    pub unsafe fn composite(&mut self, mark: &Mark, descriptor: pg_sys::TupleDesc) -> Result<pg_sys::Datum> {
        let site = *mark.site.0.as_bytes();
        unsafe {
            let mut keys = [
                equals_site(&site),
                compares(column::LANE, Strategy::Equal, to_stored(mark.lane.to_bits())),
                compares(column::SEQ, Strategy::Equal, mark.seq as i64),
            ];
            if !self.first(&mut keys, true) {
                return Err(internal("an event is not where it was"));
            }
            let slot = &mut *self.slot;
            pg_sys::slot_getsomeattrs(slot, column::COUNT as i32);
            let tuple = pg_sys::heap_form_tuple(descriptor, slot.tts_values, slot.tts_isnull);
            let event = pg_sys::HeapTupleHeaderGetDatum((*tuple).t_data);
            // Lets go of the page at once: a subtransaction may end before the next probe.
            pg_sys::ExecClearTuple(slot);
            Ok(event)
        }
    }

    unsafe fn fill(&self) -> (&[pg_sys::Datum], &[bool]) {
        unsafe {
            pg_sys::slot_getsomeattrs(self.slot, (column::CHAIN + 1) as i32);
            let slot = &*self.slot;
            (
                core::slice::from_raw_parts(slot.tts_values, column::CHAIN + 1),
                core::slice::from_raw_parts(slot.tts_isnull, column::CHAIN + 1),
            )
        }
    }

    unsafe fn row(&self) -> Head {
        unsafe {
            let (values, _) = self.fill();
            Head {
                seq: values[column::SEQ].value() as u64,
                hlc: stored_hlc(values[column::HLC].value() as i64),
                xact: stored_hlc(values[column::XACT].value() as i64),
                epoch: values[column::EPOCH].value() as u64,
                chain: Chain(sixteen(values[column::CHAIN])),
            }
        }
    }

    unsafe fn place(&self) -> (SiteId, Lane) {
        unsafe {
            let (values, _) = self.fill();
            let site = SiteId(Uuid::from_bytes(sixteen(values[column::SITE])));
            (site, stored_lane(values[column::LANE].value() as i64))
        }
    }
}

impl Drop for Scan {
    fn drop(&mut self) {
        // While an error unwinds, abort frees what the scan holds; touching it then could raise again.
        if std::thread::panicking() {
            return;
        }
        // SAFETY: each was opened in `begin` and is closed once.
        unsafe {
            pg_sys::ExecDropSingleTupleTableSlot(self.slot);
            pg_sys::index_close(self.index, pg_sys::AccessShareLock as i32);
        }
    }
}

/// The 16 bytes behind a by-reference datum of a fixed-length type.
///
/// # Safety
/// `datum` points to at least 16 bytes.
pub unsafe fn sixteen(datum: pg_sys::Datum) -> [u8; 16] {
    unsafe { *datum.cast_mut_ptr::<[u8; 16]>() }
}

enum Strategy {
    Equal,
    AtLeast,
    Greater,
}

impl Strategy {
    fn number(&self) -> u16 {
        match self {
            Strategy::Equal => pg_sys::BTEqualStrategyNumber as u16,
            Strategy::AtLeast => pg_sys::BTGreaterEqualStrategyNumber as u16,
            Strategy::Greater => pg_sys::BTGreaterStrategyNumber as u16,
        }
    }
}

/// A condition of an index scan on the index's column `attribute`, counted from 0.
///
/// # Safety
/// `function` compares values of the column's type, and `value` is one.
pub unsafe fn key(attribute: usize, strategy: u16, function: u32, value: pg_sys::Datum) -> pg_sys::ScanKeyData {
    let mut key = pg_sys::ScanKeyData::default();
    unsafe { pg_sys::ScanKeyInit(&mut key, (attribute + 1) as i16, strategy, pg_sys::Oid::from(function), value) };
    key
}

unsafe fn equals_site(site: &[u8; 16]) -> pg_sys::ScanKeyData {
    unsafe { key(0, Strategy::Equal.number(), pg_sys::F_UUID_EQ, site.as_ptr().into()) }
}

unsafe fn after_site(site: &[u8; 16]) -> pg_sys::ScanKeyData {
    unsafe { key(0, Strategy::Greater.number(), pg_sys::F_UUID_GT, site.as_ptr().into()) }
}

unsafe fn equals_text(text: pg_sys::Datum) -> pg_sys::ScanKeyData {
    let mut equals = unsafe { key(0, Strategy::Equal.number(), pg_sys::F_TEXTEQ, text) };
    equals.sk_collation = pg_sys::Oid::from(pg_sys::DEFAULT_COLLATION_OID.to_u32());
    equals
}

/// `column` is counted in the index; (site, lane, seq) have the same places there as in the table.
unsafe fn compares(column: usize, strategy: Strategy, value: i64) -> pg_sys::ScanKeyData {
    let function = match strategy {
        Strategy::Equal => pg_sys::F_INT8EQ,
        Strategy::AtLeast => pg_sys::F_INT8GE,
        Strategy::Greater => pg_sys::F_INT8GT,
    };
    unsafe { key(column, strategy.number(), function, pg_sys::Datum::from(value)) }
}
