//! What this backend remembers until its transaction ends, and the callbacks that make it forget.
//!
//! Must hold: after the abort of any (sub)transaction no head, lane or record of it is believed; a commit tells the
//! worker only once its rows are visible. Commit and abort callbacks cannot fail: an error there would take the
//! server down, so what can fail happens before commit.

use crate::doubt::Waiting;
use crate::error::{Error, Failure, Result, state};
use crate::recent::Recent;
use crate::replication::session;
use crate::scan::Stored;
use crate::shared::Database;
use crate::{boundary, epoch, shared, span, statement};
use gundb_core::{Chain, Clock, Hlc, Lane, SiteId};
use pgrx::pg_sys;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

/// The lane of a stream that this transaction holds.
#[derive(Clone, Copy)]
pub struct Held {
    pub lane: Lane,
    /// The last event in the lane: its seq (0 if none) and chain.
    pub seq: u64,
    pub chain: Chain,
}

#[derive(Default)]
pub struct Transaction {
    /// The first stamp, which names the transaction; kept through rollbacks to savepoints.
    pub xact: Option<Hlc>,
    /// By stream table.
    held: BTreeMap<u32, Held>,
    /// What was stamped last, for the views.
    recent: Recent,
    /// By stream table and lane: the seq that was found there.
    written: BTreeMap<(u32, Lane), u64>,
    /// By stream table and lane: the seq up to which the stream's views have what this transaction wrote.
    viewed: BTreeMap<(u32, Lane), u64>,
    /// The run whose record this transaction wrote.
    pub recorded: Option<u64>,
    /// The tables of streams into which events of others were brought, and what they bring to the site's clock.
    pub applied: BTreeMap<u32, Clock>,
    /// By stream table: the lanes of others whose events are being brought into the views, and up to which seq they are.
    arriving: BTreeMap<(u32, SiteId, Lane), u64>,
    /// The epoch that was drawn for them: run and number.
    pub drawn: Option<(u64, u64)>,
    /// What of others waits because of this transaction.
    waiting: BTreeSet<Waiting>,
    /// Whether some row came with an id.
    pub gave_ids: bool,
    /// A database that this transaction drops.
    pub dropped_database: Option<pg_sys::Oid>,
    /// A database whose extension this transaction has made or dropped.
    pub extension_changed: Option<pg_sys::Oid>,
    /// Whether it serves a session with another site.
    pub in_session: bool,
    /// Whether it changes peers, or what they may do.
    pub peers_changed: bool,
    /// Whether the run ends with it: what is appended after it is another site's.
    pub ends_run: bool,
    /// Databases whose workers are held off until the transaction ends.
    pub held_off: Vec<pg_sys::Oid>,
    /// Calls of append that want to know what their row was given, innermost last.
    captures: Vec<Capture>,
    /// How things stood when each open subtransaction began, innermost last.
    subtransactions: Vec<Before>,
}

/// What a rollback to a savepoint gives back.
struct Before {
    /// Where the stack of plans stood.
    plans: statement::Mark,
    /// As [`Transaction::written`]: a lane that was taken since is given free, and may be another's from then on.
    written: BTreeMap<(u32, Lane), u64>,
    /// As [`Transaction::viewed`]: what the views had taken since is undone with them.
    viewed: BTreeMap<(u32, Lane), u64>,
    /// As [`Transaction::applied`], which is rolled back likewise.
    applied: BTreeMap<u32, Clock>,
    /// As [`Transaction::arriving`].
    arriving: BTreeMap<(u32, SiteId, Lane), u64>,
    /// As [`Transaction::recorded`].
    recorded: Option<u64>,
}

/// What a row was given.
#[derive(Clone, Copy)]
pub struct Stamped {
    pub lane: Lane,
    pub seq: u64,
    pub hlc: Hlc,
    pub id: [u8; 16],
}

/// A call of append that waits for its row. A trigger of the user's may append on its own meanwhile, to the same
/// stream even; what it appends is nested one trigger deeper, and so is told apart.
struct Capture {
    table: pg_sys::Oid,
    trigger_depth: i32,
    nest_level: i32,
    stamped: Option<Stamped>,
}

thread_local! {
    static CURRENT: RefCell<Transaction> = const {
        RefCell::new(Transaction {
            xact: None,
            held: BTreeMap::new(),
            recent: Recent::NONE,
            written: BTreeMap::new(),
            viewed: BTreeMap::new(),
            recorded: None,
            applied: BTreeMap::new(),
            arriving: BTreeMap::new(),
            drawn: None,
            waiting: BTreeSet::new(),
            gave_ids: false,
            dropped_database: None,
            extension_changed: None,
            in_session: false,
            peers_changed: false,
            ends_run: false,
            held_off: Vec::new(),
            captures: Vec::new(),
            subtransactions: Vec::new(),
        })
    };
}

/// Reads or changes the transaction's memory. `f` must not call PostgreSQL.
pub fn with<T>(f: impl FnOnce(&mut Transaction) -> T) -> T {
    CURRENT.with_borrow_mut(f)
}

impl Transaction {
    pub fn held(&self, stream: pg_sys::Oid) -> Option<Held> {
        self.held.get(&stream.to_u32()).copied()
    }

    pub fn hold(&mut self, stream: pg_sys::Oid, held: Held) {
        self.held.insert(stream.to_u32(), held);
    }

    pub fn let_go(&mut self, stream: pg_sys::Oid) {
        self.held.remove(&stream.to_u32());
        self.recent.forget();
    }

    /// Keeps an event for the views, that was stamped and will stand in its lane unless its statement fails.
    pub fn keep(&mut self, stream: pg_sys::Oid, event: &Stored) {
        self.recent.keep(stream.to_u32(), event);
    }

    /// The events of a lane after `after`, if they were kept: once.
    pub fn recent(&mut self, stream: pg_sys::Oid, lane: Lane, after: u64) -> Option<Recent> {
        let head = self.held(stream).filter(|held| held.lane == lane).map(|held| held.seq);
        self.recent.take(stream.to_u32(), lane, after, head)
    }

    /// Remembers that a lane taken at `after` has been written to.
    pub fn wrote(&mut self, stream: pg_sys::Oid, lane: Lane, after: u64) {
        self.written.entry((stream.to_u32(), lane)).or_insert(after);
    }

    /// The lanes written to: stream table, lane, and the seq found there.
    pub fn written(&self) -> impl Iterator<Item = (pg_sys::Oid, Lane, u64)> + '_ {
        self.written.iter().map(|(&(stream, lane), &after)| (pg_sys::Oid::from(stream), lane, after))
    }

    /// What the views of a stream have not taken in yet: lanes, and the seq after which.
    pub fn unviewed(&self, stream: pg_sys::Oid) -> Vec<(Lane, u64)> {
        let lanes = self.written.iter().filter(|((table, _), _)| *table == stream.to_u32());
        lanes.map(|(place, &after)| (place.1, self.viewed.get(place).map_or(after, |&seq| seq.max(after)))).collect()
    }

    /// The views of a stream have taken a lane's events in, up to `seq`.
    pub fn view(&mut self, stream: pg_sys::Oid, lane: Lane, seq: u64) {
        self.viewed.insert((stream.to_u32(), lane), seq);
    }

    /// Tells the call of append that waits for this row, if one does.
    pub fn was_stamped(&mut self, table: pg_sys::Oid, stamped: Stamped) {
        if let Some(capture) = self.captures.last_mut()
            && capture.table == table
            && capture.trigger_depth + 1 == trigger_depth()
        {
            capture.stamped = Some(stamped);
        }
    }

    /// The run has been ended by this transaction: nothing of it is used again.
    pub fn forget_run(&mut self) {
        self.xact = None;
        self.held.clear();
        self.recent.forget();
        self.written.clear();
        self.viewed.clear();
        self.recorded = None;
    }

    /// Whether it has brought events in, its own or others'.
    pub fn has_written(&self) -> bool {
        !self.written.is_empty() || !self.applied.is_empty()
    }

    /// The tables of the streams that it has brought events into.
    fn tables(&self) -> impl Iterator<Item = pg_sys::Oid> + '_ {
        let own = self.written.keys().map(|(table, _)| *table);
        own.chain(self.applied.keys().copied()).map(pg_sys::Oid::from)
    }

    /// The views of a stream take these lanes of others in, so far up to these seqs.
    pub fn arrive(&mut self, stream: pg_sys::Oid, lanes: &[(SiteId, Lane, u64)]) {
        self.arriving.extend(lanes.iter().map(|&(site, lane, seq)| ((stream.to_u32(), site, lane), seq)));
    }

    /// The views of a stream have taken in what was brought.
    pub fn arrived(&mut self, stream: pg_sys::Oid) {
        self.arriving.retain(|(table, ..), _| *table != stream.to_u32());
    }

    /// What of others the views of a stream have still to take in: lanes, and the seq after which.
    pub fn yet_to_arrive(&self, stream: pg_sys::Oid) -> BTreeMap<(SiteId, Lane), u64> {
        let lanes = self.arriving.iter().filter(|((table, ..), _)| *table == stream.to_u32());
        lanes.map(|(&(_, site, lane), &after)| ((site, lane), after)).collect()
    }

    /// Events of others were brought into a stream.
    pub fn apply(&mut self, table: pg_sys::Oid, clock: &Clock) {
        let applied = self.applied.entry(table.to_u32()).or_default();
        *applied = applied.join(clock);
    }
}

/// Something will wait once this transaction has committed: told before it is written.
pub fn leaves_waiting(database: &Database, what: Waiting) {
    if with(|t| t.waiting.insert(what)) {
        database.waiting(what).begin();
    }
}

/// Runs an INSERT of one row into a stream's table. Says whether the row was inserted, and what it was given, if it
/// came so far.
pub fn capture(table: pg_sys::Oid, insert: impl FnOnce() -> Result<usize>) -> Result<(bool, Option<Stamped>)> {
    // SAFETY: reads a counter.
    let nest_level = unsafe { pg_sys::GetCurrentTransactionNestLevel() };
    let capture = Capture { table, trigger_depth: trigger_depth(), nest_level, stamped: None };
    with(|t| t.captures.push(capture));
    let inserted = insert();
    let stamped = with(|t| t.captures.pop()).and_then(|capture| capture.stamped);
    Ok((inserted? > 0, stamped))
}

/// How many triggers deep this is.
pub fn trigger_depth() -> i32 {
    unsafe extern "C-unwind" {
        fn pg_trigger_depth(fcinfo: pg_sys::FunctionCallInfo) -> pg_sys::Datum;
    }
    // SAFETY: the function reads a counter and looks at no argument.
    unsafe { pg_trigger_depth(core::ptr::null_mut()).value() as i32 }
}

/// Registers the callbacks, once a process (backends inherit them from the postmaster).
pub fn register() {
    // SAFETY: called from _PG_init.
    unsafe {
        pg_sys::RegisterXactCallback(Some(at_transaction_event), core::ptr::null_mut());
        pg_sys::RegisterSubXactCallback(Some(at_subtransaction_event), core::ptr::null_mut());
    }
}

unsafe extern "C-unwind" fn at_transaction_event(event: pg_sys::XactEvent::Type, _arg: *mut core::ffi::c_void) {
    use pg_sys::XactEvent::*;
    match event {
        XACT_EVENT_PRE_COMMIT => {
            // SAFETY: the whole work of this arm; failing before commit is an ordinary error.
            unsafe { boundary::entry(|| span::before_commit().and_then(|()| epoch::before_commit())) }
        }
        XACT_EVENT_PRE_PREPARE => {
            // SAFETY: as above.
            unsafe { boundary::entry(refuse_prepare) }
        }
        XACT_EVENT_COMMIT => {
            // Atomics, a spinlock and a latch: nothing here can raise.
            let ended = with(core::mem::take);
            statement::forget();
            ended.held_off.iter().for_each(|&database| shared::let_go(database));
            if let Some(database) = ended.dropped_database {
                shared::forget_database(database);
            }
            if let Some(database) = ended.extension_changed {
                shared::want(database);
                if let Some(mine) = shared::database() {
                    mine.set_extension_changed();
                }
            }
            if let Some(database) = ended.has_written().then(shared::database).flatten() {
                if let Some(run) = ended.recorded {
                    database.set_recorded(run);
                }
                if let Some((run, number)) = ended.drawn {
                    database.publish_epoch(run, number);
                }
                database.announce(ended.tables());
            }
            if let Some(database) = (ended.peers_changed || ended.ends_run).then(shared::database).flatten() {
                if ended.ends_run {
                    database.end_run();
                }
                database.peers_changed();
            }
            no_longer_open(&ended);
        }
        XACT_EVENT_ABORT | XACT_EVENT_PREPARE => {
            let ended = with(core::mem::take);
            ended.held_off.iter().for_each(|&database| shared::let_go(database));
            if let Some(((run, number), database)) = ended.drawn.zip(shared::database()) {
                database.give_epoch_back(run, number);
            }
            no_longer_open(&ended);
            statement::forget();
            if ended.in_session {
                session::forget();
            }
        }
        _ => {}
    }
}

/// What the transaction left waiting stands there now, or never will.
fn no_longer_open(ended: &Transaction) {
    if let Some(database) = shared::database().filter(|_| !ended.waiting.is_empty()) {
        ended.waiting.iter().for_each(|&what| database.waiting(what).end());
        database.call_worker();
    }
}

unsafe extern "C-unwind" fn at_subtransaction_event(
    event: pg_sys::SubXactEvent::Type,
    _subid: pg_sys::SubTransactionId,
    _parent: pg_sys::SubTransactionId,
    _arg: *mut core::ffi::c_void,
) {
    use pg_sys::SubXactEvent::*;
    match event {
        SUBXACT_EVENT_START_SUB => {
            let plans = statement::mark();
            with(|transaction| {
                let before = Before {
                    plans,
                    written: transaction.written.clone(),
                    viewed: transaction.viewed.clone(),
                    applied: transaction.applied.clone(),
                    arriving: transaction.arriving.clone(),
                    recorded: transaction.recorded,
                };
                transaction.subtransactions.push(before);
            });
        }
        SUBXACT_EVENT_COMMIT_SUB => {
            with(|transaction| transaction.subtransactions.pop());
        }
        SUBXACT_EVENT_ABORT_SUB => {
            // SAFETY: reads a counter: that of the subtransaction that ends.
            let nest_level = unsafe { pg_sys::GetCurrentTransactionNestLevel() };
            let before = with(|transaction| {
                transaction.held.clear();
                transaction.recent.forget();
                transaction.captures.retain(|capture| capture.nest_level < nest_level);
                let before = transaction.subtransactions.pop()?;
                transaction.written = before.written;
                transaction.viewed = before.viewed;
                transaction.applied = before.applied;
                transaction.arriving = before.arriving;
                transaction.recorded = before.recorded;
                Some(before.plans)
            });
            if let Some(plans) = before {
                statement::reset(plans);
            }
            if with(|transaction| transaction.in_session) {
                session::forget();
            }
        }
        _ => {}
    }
}

fn refuse_prepare() -> Result<()> {
    if !with(|transaction| transaction.has_written()) {
        return Ok(());
    }
    Err(Failure::Own(
        Error::new(state::FEATURE_NOT_SUPPORTED, "cannot PREPARE a transaction that has appended events")
            .detail("A prepared transaction would hold its lanes beyond the life of the server, and so of the run.")
            .hint("Use COMMIT; to span several databases, append with an id, so that a retry counts once."),
    ))
}
