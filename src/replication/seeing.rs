//! How it goes: what peers lack, waiting until something is there, figures for gundb.health.

use crate::call::ret;
use crate::catalog::{self, Held, Says, StreamTable};
use crate::consumer::interval_ms;
use crate::doubt::Waiting;
use crate::error::{Error, Result, state};
use crate::replication::peer;
use crate::scan::{As, Scan};
use crate::{boundary, heads, run, spi, sql_function, stream, transaction};
use gundb_core::sync::filter::{Filter, Flow};
use gundb_core::sync::routes::Routes;
use gundb_core::{Clock, Dot, Hlc, Lane, SiteId, StreamId};
use pgrx::pg_sys;
use std::collections::{BTreeMap, BTreeSet};

/// A copy that has written nothing for so long is taken to have gone.
const COPY_GONE_MS: u64 = 24 * 3_600_000;

/// What another run of this site has stamped so long after the beginning of this one, it wrote beside it. (What a restore
/// lost may bear stamps somewhat later than that: a run's clock begins at the stored mark, which is ahead.)
const COPY_AFTER_MS: u64 = 10_000;

/// How often who waits looks by itself, in milliseconds.
const LOOK_EVERY_MS: i64 = 50;

// ---------------------------------------------------------------------------------------------------------------
// Lag
// ---------------------------------------------------------------------------------------------------------------

/// What a peer and this site lack of each other's events of one site.
#[derive(Default)]
struct Lag {
    missing: u64,
    oldest: Option<Hlc>,
    behind: u64,
}

sql_function! {
    /// `peer_lag()`
    fn gundb_peer_lag(call) {
        let rows = call.rows();
        // SAFETY: reads a flag.
        if unsafe { pg_sys::RecoveryInProgress() } {
            return Ok(rows.done());
        }
        for peer in catalog::held_by_peers()? {
            for (site, lag) in lags(&peer.holds, &Flows::with(&peer)?)? {
                rows.push(&[
                    Some(ret::text(&peer.name)),
                    Some(ret::text(&peer.role)),
                    Some(ret::uuid(site.0.as_bytes())),
                    Some(ret::int8(lag.missing as i64)),
                    lag.oldest.map(ret::hlc),
                    Some(ret::int8(lag.behind as i64)),
                ]);
            }
        }
        Ok(rows.done())
    }
}

/// What flows between this site and a peer, by both sides' words as far as they are known.
struct Flows {
    there: Flow,
    here: Flow,
    own: Option<SiteId>,
    /// Whose events alone, where it is not anybody's.
    only_there: Option<SiteId>,
    only_here: Option<SiteId>,
    /// Whose events are forwarded there, where anybody's are taken.
    routes: Routes,
}

impl Flows {
    fn with(peer: &Held) -> Result<Flows> {
        let filter = |patterns: &[String]| Filter::parse(patterns).unwrap_or_default();
        let theirs = |patterns: fn(&Says) -> &Vec<String>| {
            peer.theirs.as_ref().map_or_else(Filter::all, |says| filter(patterns(says)))
        };
        let takes_own = peer.theirs.as_ref().is_some_and(|says| !says.accepts_any);
        let own = run::database()?.site();
        Ok(Flows {
            own,
            there: Flow { push: filter(&peer.mine.push), pull: theirs(|says| &says.pull) },
            here: Flow { push: theirs(|says| &says.push), pull: filter(&peer.mine.pull) },
            only_there: own.filter(|_| takes_own),
            only_here: peer.site.filter(|_| !peer.mine.accepts_any),
            routes: match own.zip(peer.site) {
                Some((own, peer)) => {
                    Routes::between(own, peer, &catalog::links()?.ways, &Vec::from_iter(catalog::known_streams()?))
                }
                None => Routes::Open,
            },
        })
    }

    fn is_sent(&self, stream: &str, site: SiteId) -> bool {
        let forwards = || self.own == Some(site) || self.routes.forwards(site);
        self.there.matches(stream) && self.only_there.map_or_else(forwards, |only| only == site)
    }

    fn is_taken(&self, stream: &str, site: SiteId) -> bool {
        self.here.matches(stream) && self.only_here.is_none_or(|only| only == site)
    }
}

/// What is missing at either end, by the site that wrote it.
fn lags(holds: &Clock, flows: &Flows) -> Result<BTreeMap<SiteId, Lag>> {
    let mut lags: BTreeMap<SiteId, Lag> = BTreeMap::new();
    let mut ours = Clock::new();
    let mut names = BTreeMap::new();
    for table in catalog::streams()? {
        names.insert(table.stream, table.name.clone());
        let mut first_missing = Vec::new();
        heads::each(Some(&table), As::OfSnapshot, |table, site, lane, head| {
            ours.advance(&Dot { site, stream: table.stream, lane, seq: head.seq });
            let theirs = holds.get(site, table.stream, lane);
            let lag = lags.entry(site).or_default();
            if flows.is_sent(&table.name, site) && head.seq > theirs {
                lag.missing += head.seq - theirs;
                first_missing.push((site, lane, theirs + 1));
            }
        })?;
        for (site, lane, seq) in first_missing {
            let stamp = stamp_of(&table, &site, lane, seq)?;
            let lag = lags.entry(site).or_default();
            lag.oldest = lag.oldest.into_iter().chain(stamp).min();
        }
    }
    let is_taken = |dot: &Dot| names.get(&dot.stream).is_some_and(|name| flows.is_taken(name, dot.site));
    for dot in holds.iter().filter(is_taken) {
        let behind = dot.seq.saturating_sub(ours.get(dot.site, dot.stream, dot.lane));
        lags.entry(dot.site).or_default().behind += behind;
    }
    Ok(lags)
}

/// The stamp of an event.
fn stamp_of(table: &StreamTable, site: &SiteId, lane: Lane, seq: u64) -> Result<Option<Hlc>> {
    // SAFETY: the relation is open for as long as the scan.
    unsafe {
        let relation = pg_sys::try_relation_open(table.table, pg_sys::AccessShareLock as i32);
        if relation.is_null() {
            return Ok(None);
        }
        let event = Scan::begin(relation, stream::primary_key(relation)?, As::OfSnapshot).event(site, lane, seq);
        pg_sys::relation_close(relation, pg_sys::NoLock as i32);
        Ok(event.map(|event| event.hlc))
    }
}

// ---------------------------------------------------------------------------------------------------------------
// Waiting
// ---------------------------------------------------------------------------------------------------------------

/// What is waited for is not there for others before this transaction has committed.
fn refuse_after_append(function: &str) -> Result<()> {
    if !transaction::with(|t| t.has_written()) {
        return Ok(());
    }
    Err(Error::new(state::WRONG_STATE, format!("gundb.{function} cannot be called in a transaction that has appended"))
        .detail("What it has appended is not there for others before it commits.")
        .hint("COMMIT first, then wait.")
        .into())
}

/// Looks again and again until it is so, or the time is over. Says whether it is so.
pub fn wait_until(timeout_ms: i64, mut is_so: impl FnMut() -> Result<bool>) -> Result<bool> {
    let waiters = run::database()?.waiters();
    let until = (run::now_ms() as i64).saturating_add(timeout_ms);
    loop {
        boundary::check_interrupts()?;
        // Prepared before looking, so that news between the look and the sleep is not missed.
        // SAFETY: a condition variable in shared memory; cancelled below, or by abort.
        unsafe { pg_sys::ConditionVariablePrepareToSleep(waiters) };
        let is_so = is_so()?;
        let left = until - run::now_ms() as i64;
        if is_so || left <= 0 {
            // SAFETY: pairs with the preparation above.
            unsafe { pg_sys::ConditionVariableCancelSleep() };
            return Ok(is_so);
        }
        spi::sleep(waiters, left.min(LOOK_EVERY_MS))?;
        // SAFETY: as above.
        unsafe { pg_sys::ConditionVariableCancelSleep() };
    }
}

sql_function! {
    /// `wait_for(clock, peer, timeout)`
    fn gundb_wait_for(call) {
        let clock = call.clock(0)?;
        let clock = call.required(clock, "clock")?;
        let timeout = call.required(call.arg(2), "timeout")?;
        let timeout_ms = interval_ms(Some(timeout), "timeout")?;
        refuse_after_append("wait_for")?;
        let is_so = match call.text(1) {
            Some(name) => {
                let place = match catalog::find_peer(name)? {
                    Some(peer) => (peer.name, String::new()),
                    None => match catalog::dials_in(name)?.into_iter().next() {
                        Some(site) => (site.name, site.role),
                        None => (peer::named(name)?.name, String::new()),
                    },
                };
                wait_until(timeout_ms, || peer_holds(&place, &clock))?
            }
            None => wait_until(timeout_ms, || is_here(&clock))?,
        };
        Ok(ret::bool(is_so))
    }
}

/// Whether a peer, of this name and role, has said that it holds all that flows there of what a clock covers.
fn peer_holds(place: &(String, String), clock: &Clock) -> Result<bool> {
    let known = catalog::held_by_peers()?;
    let found = known.iter().find(|peer| (&peer.name, &peer.role) == (&place.0, &place.1));
    let Some(peer) = found else { return Ok(false) };
    let flows = Flows::with(peer)?;
    let streams = spi::with_latest_snapshot(catalog::streams)?.into_iter();
    let names = streams.map(|stream| (stream.stream, stream.name)).collect::<BTreeMap<StreamId, String>>();
    // Of a stream that is not known here it cannot be said that it does not flow.
    let flows = |dot: &Dot| names.get(&dot.stream).is_none_or(|name| flows.is_sent(name, dot.site));
    Ok(clock.iter().filter(flows).all(|dot| peer.holds.covers(&dot)))
}

/// Whether this site holds all that a clock covers, and its views show it.
fn is_here(clock: &Clock) -> Result<bool> {
    let held = spi::with_latest_snapshot(|| heads::clock(None, As::OfSnapshot))?;
    if !covers(&held, clock) {
        return Ok(false);
    }
    Ok(!run::database()?.waiting(Waiting::Late).may_be() || !catalog::lacks_any_of(clock)?)
}

fn covers(held: &Clock, clock: &Clock) -> bool {
    clock.iter().all(|dot| held.covers(&dot))
}

sql_function! {
    /// `sync_now(name, timeout)`
    fn gundb_sync_now(call) {
        let peer = peer::named(call.required(call.text(0), "name")?)?;
        let timeout = call.required(call.arg(1), "timeout")?;
        let timeout_ms = interval_ms(Some(timeout), "timeout")?;
        refuse_after_append("sync_now")?;
        if peer.is_paused {
            return Err(peer::is_paused(&peer.name).into());
        }
        // SAFETY: reads the clock.
        let asked = unsafe { pg_sys::GetCurrentTimestamp() };
        run::database()?.ask_sync();
        Ok(ret::bool(wait_until(timeout_ms, || catalog::was_synced_after(&peer.name, asked))?))
    }
}

// ---------------------------------------------------------------------------------------------------------------
// Figures
// ---------------------------------------------------------------------------------------------------------------

sql_function! {
    /// `clock_figures()`
    fn gundb_clock_figures(call) {
        let running = run::database()?.running();
        let now_ms = run::now_ms();
        let (mut lanes, mut runs, mut copies) = (0, BTreeSet::new(), BTreeSet::new());
        heads::each(None, As::OfSnapshot, |_, site, lane, head| {
            lanes += 1;
            runs.insert((site, lane.run()));
            let is_own_site = running.run != 0 && site.0.as_bytes() == &running.site;
            let is_later = head.hlc.millis() > running.started.millis() + COPY_AFTER_MS;
            let is_later = is_later && head.hlc.millis() + COPY_GONE_MS > now_ms;
            if is_own_site && is_later && lane.run().number() != running.run {
                copies.insert(lane.run());
            }
        })?;
        call.row(&[
            Some(ret::int8(lanes)),
            Some(ret::int8(runs.len() as i64)),
            Some(ret::int8(copies.len() as i64)),
        ])
    }
}
