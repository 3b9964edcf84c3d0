//! Shared memory: what one life of the server remembers of each database with the extension.
//!
//! This memory *is* the run: it lives from start to stop or crash, so a lane, whose run is drawn here, is never
//! continued by a later life, whatever happened to the data directory in between.
//!
//! Must hold: stamps grow; of two stamps of a run the greater never carries the smaller epoch; a lane number below
//! the floor is never handed out. Nothing under a spinlock allocates, raises or waits.

use crate::doubt::{Doubt, Waiting};
use crate::mailbox::{Mailbox, ShortText};
use crate::settings;
use crate::view::cost::Costs;
use gundb_core::{Hlc, SiteId};
use pgrx::pg_sys;
use pgrx::prelude::*;
use pgrx::spinlock::PgSpinLock;
use std::ffi::CStr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering, fence};
use uuid::Uuid;

/// Streams named to the worker one by one; beyond that it looks at all of them.
pub const NEWS_MAX: usize = 64;

/// Comparisons that may wait for the worker; of more, the oldest is not made.
const COMPARISONS_MAX: usize = 8;
/// Offences that may wait to be noted; of more, the oldest is not.
const OFFENCES_MAX: usize = 4;

/// One database's slot.
pub struct Database {
    oid: AtomicU32,
    running: PgSpinLock<Running>,
    news: PgSpinLock<News>,
    /// The worker's latch, null while there is no worker.
    worker_latch: AtomicPtr<pg_sys::Latch>,
    worker_pid: AtomicU32,
    /// Set by the first commit the worker has not looked at yet; later ones need not wake it again.
    worker_called: AtomicBool,
    /// Set when the extension is made or dropped: the worker looks whether it is still at home.
    extension_changed: AtomicBool,
    /// Whether the database is to have a worker.
    wanted: AtomicBool,
    /// Statements that need the worker away now.
    held_off: AtomicU32,
    /// Whether rows may bring their coordinates; ends with the first append.
    restoring: AtomicBool,
    /// Grows whenever peers, or what they may do, have changed.
    peers_generation: AtomicU32,
    /// Grows whenever somebody asks to exchange at once.
    syncs_asked: AtomicU32,
    comparisons: PgSpinLock<Mailbox<ComparisonAsked, COMPARISONS_MAX>>,
    offences: PgSpinLock<Mailbox<OffenceMet, OFFENCES_MAX>>,
    /// Whether keys of views wait to be merged again.
    late: Doubt,
    /// Whether transactions of other sites wait.
    staged: Doubt,
    /// Whether streams of others may lack a table here.
    declared: Doubt,
    /// Consumers that wait for news.
    waiters: core::cell::UnsafeCell<pg_sys::ConditionVariable>,
}

/// What the run knows. All zero: no run yet.
#[derive(Clone, Copy)]
pub struct Running {
    /// The extension's oid: a dropped and re-created extension is another site.
    pub extension: u32,
    pub site: [u8; 16],
    pub run: u64,
    /// The run before, 0 if none, and the stamp at which this one was drawn: they travel in the run's record.
    pub previous: u64,
    pub started: Hlc,
    hlc: Hlc,
    mark: Hlc,
    /// The greatest epoch that is known to be visible, and the one drawn last: greater while its transaction commits.
    pub epoch: u64,
    epoch_drawn: u64,
    /// Whether events of others were applied in this run, or are being.
    applies: bool,
    lane_floor: u32,
    lane_top: u32,
    /// Whether a committed transaction has written the run's record and its epoch 0.
    recorded: bool,
}

impl Default for Running {
    fn default() -> Running {
        Running {
            extension: 0,
            site: [0; 16],
            run: 0,
            previous: 0,
            started: Hlc::MIN,
            hlc: Hlc::MIN,
            mark: Hlc::MIN,
            epoch: 0,
            epoch_drawn: 0,
            applies: false,
            lane_floor: 0,
            lane_top: 0,
            recorded: false,
        }
    }
}

impl Running {
    pub fn is_recorded(&self) -> bool {
        self.recorded
    }

    pub fn applies(&self) -> bool {
        self.applies
    }
}

struct News {
    streams: [u32; NEWS_MAX],
    len: usize,
    all: bool,
}

/// A comparison with a peer that was asked for: a token, and the peer's name.
pub type ComparisonAsked = (i64, ShortText<63>);

/// What a site that dials in has brought that cannot be: its role and uuid, and why.
pub type OffenceMet = (u32, [u8; 16], ShortText<400>);

// SAFETY: plain data without pointers into one process; always behind the spinlock.
unsafe impl pgrx::PGRXSharedMemory for Running {}
// SAFETY: as above.
unsafe impl pgrx::PGRXSharedMemory for News {}
// SAFETY: every field is an atomic, a spinlock, or PostgreSQL's own shared structure.
unsafe impl Sync for Database {}

/// A stamp, with the epoch that was the greatest when it was taken.
#[derive(Clone, Copy)]
pub struct Stamp {
    pub hlc: Hlc,
    pub epoch: u64,
}

/// Why no stamp could be given.
pub enum NoStamp {
    /// The written mark must be moved ahead first.
    MarkReached(Hlc),
    /// The clock is at the end of year 9999.
    EndOfTime,
    /// This epoch's transaction is committing: whether the snapshot sees it must be found out first.
    EpochDrawn(u64),
}

struct Memory {
    databases: *const Database,
    count: usize,
    lock: *mut pg_sys::LWLock,
    launcher: *const Launcher,
    costs: *const Costs,
}

/// The launcher's part: its latch, null while there is none.
pub struct Launcher {
    latch: AtomicPtr<pg_sys::Latch>,
}

impl Launcher {
    pub fn set_latch(&self, latch: *mut pg_sys::Latch) {
        self.latch.store(latch, Ordering::Release);
    }

    fn wake(&self) {
        let latch = self.latch.load(Ordering::Acquire);
        if !latch.is_null() {
            // SAFETY: a latch of the PGPROC array, which stays mapped.
            unsafe { pg_sys::SetLatch(latch) };
        }
    }
}

struct Once(core::cell::UnsafeCell<Option<Memory>>);
// SAFETY: written once in the postmaster before it forks; a backend has one thread.
unsafe impl Sync for Once {}
static MEMORY: Once = Once(core::cell::UnsafeCell::new(None));

struct Mine(core::cell::Cell<Option<&'static Database>>);
// SAFETY: a backend has one thread.
unsafe impl Sync for Mine {}
static MINE: Mine = Mine(core::cell::Cell::new(None));

const NAME: &CStr = c"gundb";

fn memory() -> Option<&'static Memory> {
    // SAFETY: written once, before any backend reads it.
    unsafe { (*MEMORY.0.get()).as_ref() }
}

/// Whether the library was preloaded.
pub fn is_available() -> bool {
    memory().is_some()
}

fn bytes(count: usize) -> usize {
    size_of::<Launcher>() + count * size_of::<Database>() + size_of::<Costs>()
}

static mut PREVIOUS_REQUEST: pg_sys::shmem_request_hook_type = None;
static mut PREVIOUS_STARTUP: pg_sys::shmem_startup_hook_type = None;

/// Installs the hooks by which PostgreSQL asks for, and hands out, shared memory.
pub fn register() {
    // SAFETY: called from _PG_init in the postmaster.
    unsafe {
        PREVIOUS_REQUEST = pg_sys::shmem_request_hook;
        pg_sys::shmem_request_hook = Some(request);
        PREVIOUS_STARTUP = pg_sys::shmem_startup_hook;
        pg_sys::shmem_startup_hook = Some(startup);
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn request() {
    // SAFETY: this hook is where these calls are allowed.
    unsafe {
        if let Some(previous) = PREVIOUS_REQUEST {
            previous();
        }
        pg_sys::RequestAddinShmemSpace(bytes(settings::max_databases()));
        pg_sys::RequestNamedLWLockTranche(NAME.as_ptr(), 1);
    }
}

/// Lays the memory out.
#[pg_guard]
unsafe extern "C-unwind" fn startup() {
    let count = settings::max_databases();
    // SAFETY: ShmemInitStruct returns memory of the requested size, aligned for any type; it is written here once,
    // before the first backend is forked, and again after a crash, when no backend is left.
    unsafe {
        if let Some(previous) = PREVIOUS_STARTUP {
            previous();
        }
        let mut found = false;
        let start = pg_sys::ShmemInitStruct(NAME.as_ptr(), bytes(count), &mut found);
        let launcher = start.cast::<Launcher>();
        let databases = start.add(size_of::<Launcher>()).cast::<Database>();
        let costs = databases.add(count).cast::<Costs>();
        if !found {
            costs.write_bytes(0, 1);
            launcher.write(Launcher { latch: AtomicPtr::default() });
            for i in 0..count {
                let slot = databases.add(i);
                slot.write(Database {
                    oid: AtomicU32::new(0),
                    running: PgSpinLock::new(Running::default()),
                    news: PgSpinLock::new(News { streams: [0; NEWS_MAX], len: 0, all: false }),
                    worker_latch: AtomicPtr::default(),
                    worker_pid: AtomicU32::new(0),
                    worker_called: AtomicBool::new(false),
                    extension_changed: AtomicBool::new(false),
                    wanted: AtomicBool::new(false),
                    held_off: AtomicU32::new(0),
                    restoring: AtomicBool::new(false),
                    peers_generation: AtomicU32::new(0),
                    syncs_asked: AtomicU32::new(0),
                    comparisons: PgSpinLock::new(Mailbox::EMPTY),
                    offences: PgSpinLock::new(Mailbox::EMPTY),
                    late: Doubt::unknown(),
                    staged: Doubt::unknown(),
                    declared: Doubt::unknown(),
                    waiters: core::mem::zeroed(),
                });
                pg_sys::ConditionVariableInit((*slot).waiters.get());
            }
        }
        let lock = &raw mut (*pg_sys::GetNamedLWLockTranche(NAME.as_ptr())).lock;
        *MEMORY.0.get() = Some(Memory { databases, count, lock, launcher, costs });
    }
}

/// The launcher's part.
pub fn launcher() -> Option<&'static Launcher> {
    // SAFETY: shared memory stays mapped for the life of the process.
    memory().map(|memory| unsafe { &*memory.launcher })
}

/// What maintaining views has cost.
pub fn costs() -> Option<&'static Costs> {
    // SAFETY: as above.
    memory().map(|memory| unsafe { &*memory.costs })
}

fn slots(memory: &'static Memory) -> &'static [Database] {
    // SAFETY: `count` slots were written in `startup`.
    unsafe { core::slice::from_raw_parts(memory.databases, memory.count) }
}

/// This backend's database; claims a slot for it when it has none.
pub fn database() -> Option<&'static Database> {
    if let Some(mine) = MINE.0.get() {
        return Some(mine);
    }
    let memory = memory()?;
    // SAFETY: set before any SQL can run in this backend.
    let oid = unsafe { pg_sys::MyDatabaseId }.to_u32();
    if oid == 0 {
        return None;
    }
    // SAFETY: an ordinary LWLock section; nothing in it raises.
    let found = unsafe {
        pg_sys::LWLockAcquire(memory.lock, pg_sys::LWLockMode::LW_EXCLUSIVE);
        let all = slots(memory);
        let found = all
            .iter()
            .find(|slot| slot.oid.load(Ordering::Relaxed) == oid)
            .or_else(|| all.iter().find(|slot| slot.oid.load(Ordering::Relaxed) == 0));
        if let Some(slot) = found {
            slot.oid.store(oid, Ordering::Relaxed);
        }
        pg_sys::LWLockRelease(memory.lock);
        found
    };
    MINE.0.set(found);
    found
}

/// Databases that are to have a worker.
pub fn wanted() -> Vec<pg_sys::Oid> {
    let Some(memory) = memory() else { return Vec::new() };
    let wanted = slots(memory).iter().filter(|slot| slot.wanted.load(Ordering::Acquire));
    wanted.map(|slot| pg_sys::Oid::from(slot.oid.load(Ordering::Relaxed))).filter(|oid| oid.to_u32() != 0).collect()
}

pub fn is_wanted(oid: pg_sys::Oid) -> bool {
    database_by_oid(oid).is_some_and(|slot| slot.wanted.load(Ordering::Acquire))
}

/// Asks the launcher for a worker.
pub fn want(oid: pg_sys::Oid) {
    if let Some(slot) = database_by_oid(oid)
        && !slot.wanted.swap(true, Ordering::AcqRel)
        && let Some(launcher) = launcher()
    {
        launcher.wake();
    }
}

/// The database is to have no worker.
pub fn leave(oid: pg_sys::Oid) {
    if let Some(slot) = database_by_oid(oid) {
        slot.wanted.store(false, Ordering::Release);
    }
}

/// Whether some statement needs the worker away.
pub fn is_held_off(oid: pg_sys::Oid) -> bool {
    database_by_oid(oid).is_some_and(|slot| slot.held_off.load(Ordering::Acquire) > 0)
}

/// Stops the worker of a database and keeps it away until [`let_go`].
pub fn hold_off(oid: pg_sys::Oid) -> bool {
    let Some(slot) = database_by_oid(oid) else { return false };
    slot.held_off.fetch_add(1, Ordering::AcqRel);
    // A worker that starts just now has not said that it is there, or sees that it is held off.
    fence(Ordering::SeqCst);
    let pid = slot.worker_pid();
    if pid != 0 {
        // SAFETY: SIGTERM to our own worker, which leaves; PostgreSQL's statement waits for it to be gone.
        unsafe { libc::kill(pid as i32, libc::SIGTERM) };
    }
    true
}

/// Ends what [`hold_off`] began.
pub fn let_go(oid: pg_sys::Oid) {
    if let Some(slot) = database_by_oid(oid) {
        slot.held_off.fetch_sub(1, Ordering::AcqRel);
    }
    if let Some(launcher) = launcher() {
        launcher.wake();
    }
}

/// The slot of a database, if it has one.
pub fn database_by_oid(oid: pg_sys::Oid) -> Option<&'static Database> {
    slots(memory()?).iter().find(|slot| slot.oid.load(Ordering::Relaxed) == oid.to_u32())
}

/// Forgets a database that was dropped, so that another may use its slot, and its oid.
pub fn forget_database(oid: pg_sys::Oid) {
    if let Some(slot) = database_by_oid(oid) {
        *slot.running.lock() = Running::default();
        slot.late.forget();
        slot.staged.forget();
        slot.declared.forget();
        slot.wanted.store(false, Ordering::Release);
        slot.held_off.store(0, Ordering::Release);
        slot.oid.store(0, Ordering::Relaxed);
    }
}

impl Database {
    /// What the run knows now.
    pub fn running(&self) -> Running {
        *self.running.lock()
    }

    /// Opens a run, unless another backend was first. `hlc` and `mark` are the stored high-water mark.
    pub fn open_run(&self, candidate: Running, mark: Hlc) {
        let mut running = self.running.lock();
        if running.run == 0 || running.extension != candidate.extension {
            *running = Running { hlc: mark, mark, ..candidate };
        }
    }

    /// Ends the run: the next append draws another. The caller has locked out all appenders.
    pub fn end_run(&self) {
        *self.running.lock() = Running::default();
    }

    pub fn site(&self) -> Option<SiteId> {
        let running = self.running();
        (running.run != 0).then(|| SiteId(Uuid::from_bytes(running.site)))
    }

    /// The next stamp, greater than every one before it. `unseen` is an epoch that the caller's snapshot does not see.
    pub fn stamp(&self, now_ms: u64, unseen: Option<u64>) -> core::result::Result<Stamp, NoStamp> {
        let mut running = self.running.lock();
        if running.epoch_drawn != running.epoch && Some(running.epoch_drawn) != unseen {
            return Err(NoStamp::EpochDrawn(running.epoch_drawn));
        }
        let next = Hlc::tick(running.hlc, now_ms).ok_or(NoStamp::EndOfTime)?;
        if next > running.mark {
            return Err(NoStamp::MarkReached(next));
        }
        running.hlc = next;
        Ok(Stamp { hlc: next, epoch: running.epoch })
    }

    /// Every stamp from now on is greater than this one.
    pub fn observe(&self, hlc: Hlc) {
        let mut running = self.running.lock();
        running.hlc = running.hlc.max(hlc);
    }

    /// Events of others are about to be stored.
    pub fn begin_applying(&self) {
        self.running.lock().applies = true;
    }

    /// The next epoch of a run, drawn by a transaction that holds the lock of epochs and is about to commit.
    pub fn draw_epoch(&self, run: u64) -> Option<u64> {
        let mut running = self.running.lock();
        (running.run == run).then(|| {
            running.epoch_drawn = running.epoch + 1;
            running.epoch_drawn
        })
    }

    /// Whether an epoch beyond the run's beginning is drawn, or was.
    pub fn draws_first_epoch(&self) -> bool {
        self.running.lock().epoch_drawn > 0
    }

    /// An epoch is visible: stamps from now on refer to it. Never raises.
    pub fn publish_epoch(&self, run: u64, epoch: u64) {
        let mut running = self.running.lock();
        if running.run == run {
            running.epoch = running.epoch.max(epoch);
        }
    }

    /// An epoch will not be: its transaction was rolled back. Never raises.
    pub fn give_epoch_back(&self, run: u64, epoch: u64) {
        let mut running = self.running.lock();
        if running.run == run && running.epoch_drawn == epoch {
            running.epoch_drawn = running.epoch;
        }
    }

    /// Whether something waits.
    pub fn waiting(&self, what: Waiting) -> &Doubt {
        match what {
            Waiting::Late => &self.late,
            Waiting::Staged => &self.staged,
            Waiting::Declared => &self.declared,
        }
    }

    /// The clock's present value, without moving it.
    pub fn hlc(&self) -> Hlc {
        self.running.lock().hlc
    }

    /// Stamps up to `mark` may be given: it is stored.
    pub fn set_mark(&self, mark: Hlc) {
        let mut running = self.running.lock();
        running.mark = running.mark.max(mark);
    }

    pub fn mark(&self) -> Hlc {
        self.running.lock().mark
    }

    /// A transaction that wrote the record of `run` has committed.
    pub fn set_recorded(&self, run: u64) {
        let mut running = self.running.lock();
        if running.run == run {
            running.recorded = true;
        }
    }

    /// The lowest lane number that may be handed out.
    pub fn lane_floor(&self) -> u32 {
        self.running.lock().lane_floor
    }

    /// Lane `number` is in use.
    pub fn took_lane(&self, number: u32) {
        let mut running = self.running.lock();
        running.lane_top = running.lane_top.max(number);
    }

    /// No lane number handed out so far is handed out again in this run.
    pub fn raise_lane_floor(&self) {
        let mut running = self.running.lock();
        if running.run != 0 {
            running.lane_floor = running.lane_top + 1;
            running.lane_top = running.lane_floor;
        }
    }

    /// Whether rows may bring their coordinates.
    pub fn is_restoring(&self) -> bool {
        self.restoring.load(Ordering::Relaxed)
    }

    pub fn set_restoring(&self, restoring: bool) {
        self.restoring.store(restoring, Ordering::Relaxed);
    }

    /// A committed transaction wrote to these streams: tell the worker. Never raises.
    pub fn announce(&self, streams: impl Iterator<Item = pg_sys::Oid>) {
        {
            let mut news = self.news.lock();
            for stream in streams {
                let stream = stream.to_u32();
                let len = news.len;
                if news.all || news.streams[..len].contains(&stream) {
                    continue;
                }
                if len == NEWS_MAX {
                    news.all = true;
                } else {
                    news.streams[len] = stream;
                    news.len = len + 1;
                }
            }
        }
        self.call_worker();
    }

    /// Wakes the worker, if there is one and it was not called already.
    pub fn call_worker(&self) {
        let latch = self.worker_latch.load(Ordering::Acquire);
        if !latch.is_null() && !self.worker_called.swap(true, Ordering::AcqRel) {
            // SAFETY: a latch of the PGPROC array, which stays mapped; setting another process's is allowed.
            unsafe { pg_sys::SetLatch(latch) };
        }
    }

    /// Peers, or what they may do, have changed, and that has committed. Never raises.
    pub fn peers_changed(&self) {
        self.peers_generation.fetch_add(1, Ordering::AcqRel);
        // Other streams may be taken now.
        self.declared.begin();
        self.declared.end();
        // A copy of a database has peers before the launcher has heard of it.
        want(pg_sys::Oid::from(self.oid.load(Ordering::Acquire)));
        self.call_worker();
    }

    /// Grows whenever peers, or what they may do, have changed.
    pub fn peers_generation(&self) -> u32 {
        self.peers_generation.load(Ordering::Acquire)
    }

    /// Asks the worker to exchange with all peers at once.
    pub fn ask_sync(&self) {
        self.syncs_asked.fetch_add(1, Ordering::AcqRel);
        self.call_worker();
    }

    /// Grows whenever somebody asks to exchange at once.
    pub fn syncs_asked(&self) -> u32 {
        self.syncs_asked.load(Ordering::Acquire)
    }

    /// Asks the worker to compare with a peer; what comes of it is filed under the token.
    pub fn ask_comparison(&self, token: i64, peer: &str) {
        self.comparisons.lock().put((token, ShortText::of(peer)));
        self.call_worker();
    }

    /// The comparisons that were asked for since the last call.
    pub fn take_comparisons(&self) -> Mailbox<ComparisonAsked, COMPARISONS_MAX> {
        self.comparisons.lock().take()
    }

    /// Tells the worker what a session has met, whose transaction will be rolled back.
    pub fn tell_offence(&self, role: pg_sys::Oid, site: SiteId, why: &str) {
        self.offences.lock().put((role.to_u32(), *site.0.as_bytes(), ShortText::of(why)));
        self.call_worker();
    }

    /// What sessions have met since the last call.
    pub fn take_offences(&self) -> Mailbox<OffenceMet, OFFENCES_MAX> {
        self.offences.lock().take()
    }

    /// Whether the worker was called and has not looked yet.
    pub fn is_called(&self) -> bool {
        self.worker_called.load(Ordering::Acquire)
    }

    /// The extension was made or dropped, and that has committed.
    pub fn set_extension_changed(&self) {
        self.extension_changed.store(true, Ordering::Release);
        self.call_worker();
    }

    pub fn take_extension_changed(&self) -> bool {
        self.extension_changed.swap(false, Ordering::AcqRel)
    }

    /// The streams with news since the last call; `None` means look at all.
    pub fn take_news(&self, out: &mut Vec<pg_sys::Oid>) -> bool {
        self.worker_called.store(false, Ordering::Release);
        let mut copy = [0; NEWS_MAX];
        let (len, all) = {
            let mut news = self.news.lock();
            copy = core::mem::replace(&mut news.streams, copy);
            let taken = (news.len, news.all);
            (news.len, news.all) = (0, false);
            taken
        };
        out.extend(copy[..len].iter().map(|&oid| pg_sys::Oid::from(oid)));
        all
    }

    /// The worker comes to work, or (null) leaves.
    pub fn set_worker(&self, latch: *mut pg_sys::Latch, pid: u32) {
        self.worker_called.store(false, Ordering::Release);
        self.worker_pid.store(pid, Ordering::Release);
        self.worker_latch.store(latch, Ordering::Release);
    }

    /// The worker's process id, 0 if there is none.
    pub fn worker_pid(&self) -> u32 {
        self.worker_pid.load(Ordering::Acquire)
    }

    /// What consumers that wait sleep on.
    pub fn waiters(&self) -> *mut pg_sys::ConditionVariable {
        self.waiters.get()
    }
}
