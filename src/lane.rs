//! Taking a lane of a stream: a lock that PostgreSQL itself holds to the end of the transaction.
//!
//! The lock is a heavyweight one, so abort, savepoints and crashes need no code here, and it is released only
//! after the commit is visible. Its tag is of the advisory kind with a fourth field that no SQL function can make.
//! The head is read *after* the lock, as of now.

use crate::boundary::try_pg;
use crate::error::{Error, Result, state};
use crate::scan::{As, Scan};
use crate::shared::Database;
use crate::stream::Stream;
use crate::transaction::{self, Held};
use gundb_core::{Chain, Lane, Run, SiteId};
use pgrx::pg_sys::{self, Oid};
use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};

/// The fourth field of the lock tags: SQL's advisory functions use 1 and 2.
const LANE_TAG: u16 = 7;
const KEY_TAG: u16 = 8;
const ORIGIN_TAG: u16 = 9;
const EPOCH_TAG: u16 = 10;
const NAME_TAG: u16 = 11;
const LOCKTAG_ADVISORY: u8 = 10;
const USER_LOCKMETHOD: u8 = 2;

/// Lanes are numbered with 16 bits within a run.
const LANES_MAX: u32 = 1 << 16;

thread_local! {
    /// The lane number this backend used last in a stream: it is likely to be free.
    static PREFERRED: RefCell<HashMap<Oid, u32>> = RefCell::new(HashMap::new());
}

fn tag(a: u32, b: u32, kind: u16) -> pg_sys::LOCKTAG {
    pg_sys::LOCKTAG {
        // SAFETY: set before any SQL runs.
        locktag_field1: unsafe { pg_sys::MyDatabaseId }.to_u32(),
        locktag_field2: a,
        locktag_field3: b,
        locktag_field4: kind,
        locktag_type: LOCKTAG_ADVISORY,
        locktag_lockmethodid: USER_LOCKMETHOD,
    }
}

/// Takes the lock if it is free.
fn try_lock(stream: Oid, number: u32) -> bool {
    let tag = tag(stream.to_u32(), number, LANE_TAG);
    // SAFETY: a valid tag; conditional, so it never waits.
    let result = unsafe { pg_sys::LockAcquire(&tag, pg_sys::ExclusiveLock as i32, false, true) };
    result != pg_sys::LockAcquireResult::LOCKACQUIRE_NOT_AVAIL
}

/// Waits for every other transaction that counts the events of one key of a stream. (Two keys with one 32-bit hash
/// wait for each other, which is harmless.)
pub fn lock_key(stream: Oid, key: &str) -> Result<()> {
    lock(tag(stream.to_u32(), hash(key.as_bytes()), KEY_TAG))
}

/// Waits for every other transaction that applies events of these sites: those of one site come in order.
pub fn lock_origins(sites: impl Iterator<Item = SiteId>) -> Result<()> {
    // One order for all, so that nobody waits in a circle.
    let hashes = sites.map(|site| hash(site.0.as_bytes())).collect::<BTreeSet<_>>();
    hashes.into_iter().try_for_each(|hash| lock(tag(0, hash, ORIGIN_TAG)))
}

/// Waits for every other transaction that draws an epoch: theirs is visible then, or was given back.
pub fn lock_epochs() -> Result<()> {
    lock(tag(0, 0, EPOCH_TAG))
}

/// Waits for every other transaction that takes in what was imported. Before [`lock_origins`], by whoever takes both.
pub fn lock_imported() -> Result<()> {
    lock(tag(0, 1, EPOCH_TAG))
}

/// Waits for every other transaction that makes a table of this name. (Two names with one hash wait for each other, which is harmless.)
pub fn lock_name(schema: &str, table: &str) -> Result<()> {
    lock(tag(hash(schema.as_bytes()), hash(table.as_bytes()), NAME_TAG))?;
    // What the one before has made is known by name from now on.
    // SAFETY: in a transaction.
    try_pg(|| unsafe { pg_sys::AcceptInvalidationMessages() })
}

/// 32 bits that stand for a site, or a text.
pub fn hash(bytes: &[u8]) -> u32 {
    unsafe extern "C-unwind" {
        fn hash_bytes(bytes: *const u8, length: i32) -> u32;
    }
    // SAFETY: hashes the given bytes.
    unsafe { hash_bytes(bytes.as_ptr(), bytes.len() as i32) }
}

fn lock(tag: pg_sys::LOCKTAG) -> Result<()> {
    unsafe extern "C-unwind" {
        fn LockAcquire(
            tag: *const pg_sys::LOCKTAG,
            mode: pg_sys::LOCKMODE,
            session: bool,
            dont_wait: bool,
        ) -> pg_sys::LockAcquireResult::Type;
    }
    // SAFETY: a valid tag. Waiting may end in a deadlock or a cancel, which `try_pg` returns.
    try_pg(|| unsafe { LockAcquire(&tag, pg_sys::ExclusiveLock as i32, false, false) }).map(drop)
}

/// The lane of `stream` that this transaction holds; takes one at its first append.
///
/// # Safety
/// `relation` is the stream's open table.
pub unsafe fn hold(
    relation: pg_sys::Relation,
    stream: &Stream,
    database: &Database,
    site: &SiteId,
    run: Run,
) -> Result<Held> {
    if let Some(held) = transaction::with(|t| t.held(stream.table)) {
        return Ok(held);
    }
    let lane = take(stream, database, run)?;
    let head = unsafe { Scan::begin(relation, stream.primary_key, As::OfNow).head(site, lane) };
    let held = match head {
        Some(head) => Held { lane, seq: head.seq, chain: head.chain },
        None => Held { lane, seq: 0, chain: Chain::genesis(*site, stream.id, lane) },
    };
    transaction::with(|t| t.hold(stream.table, held));
    Ok(held)
}

fn take(stream: &Stream, database: &Database, run: Run) -> Result<Lane> {
    let floor = database.lane_floor();
    let preferred = PREFERRED.with_borrow(|p| p.get(&stream.table).copied()).filter(|&number| number >= floor);
    for number in preferred.into_iter().chain((floor..LANES_MAX).filter(|&number| Some(number) != preferred)) {
        if try_lock(stream.table, number) {
            database.took_lane(number);
            PREFERRED.with_borrow_mut(|p| p.insert(stream.table, number));
            return Ok(Lane::new(run, number as u16));
        }
    }
    Err(Error::new(state::CONFIGURATION_LIMIT, format!("no lane is left in stream \"{}\" for this run", stream.name))
        .detail("A run numbers its lanes with 16 bits; streams dropped since the server started use them up.")
        .hint("Restart the server: that begins a new run.")
        .into())
}
