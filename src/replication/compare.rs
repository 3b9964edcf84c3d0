//! What this site and a peer hold, compared: what the answering site says of itself, and the function that asks.
//!
//! What is asked, and what the answers mean, decides [`gundb_core::compare`]. A backend opens no connection of its own: it asks the
//! worker, which asks the peer within its session and leaves the outcome in `gundb.comparison`.
//!
//! Must hold: a peer learns nothing of streams that it does not exchange with this site but their names, which all sites know.
//!
//! Unsafe: relations, each closed before a function returns.

use crate::catalog::{self, StreamTable};
use crate::consumer::interval_ms;
use crate::error::{Error, Result, internal, state};
use crate::replication::flows::Terms;
use crate::replication::{peer, seeing, url};
use crate::scan::{As, Scan};
use crate::{heads, random, run, settings, spi, sql_function, stream};
use gundb_core::compare::{Answer, HeldDigest, Inventory, Question, ViewDefinition};
use gundb_core::{Chain, Clock, Dot, StreamId};
use pgrx::pg_sys;
use std::collections::BTreeMap;

/// The columns of `gundb.compare`, which are the names in a report.
const COLUMNS: [&str; 12] = [
    "kind",
    "name",
    "result",
    "differs_at",
    "common",
    "only_here",
    "only_there",
    "first_only_here",
    "first_only_there",
    "digest_here",
    "digest_there",
    "detail",
];

/// Whether events of a stream go to a peer, or come from it, by this site's word.
fn is_exchanged(terms: &Terms, name: &str) -> bool {
    terms.push.matches(name) || terms.pull.matches(name)
}

/// What this site has, for a peer with which these terms are agreed.
pub fn inventory(terms: &Terms) -> Result<Inventory> {
    spi::as_owner(|| {
        let streams = catalog::streams()?.into_iter().map(|stream| stream.name);
        let streams = streams.map(|name| (name.clone(), is_exchanged(terms, &name))).collect::<BTreeMap<_, _>>();
        let mut views = BTreeMap::new();
        if catalog::has_views()? {
            for view in catalog::view_words()? {
                if streams.get(&view.stream) == Some(&true) {
                    let words = view.words.iter().map(Option::as_deref).collect::<Vec<_>>();
                    views.insert(view.name, ViewDefinition::of(&view.stream, &words));
                }
            }
        }
        Ok(Inventory { clock: heads::clock(None, As::OfSnapshot)?, streams, views })
    })
}

/// What this site's digests are at these clocks.
pub fn digests(terms: &Terms, clocks: &[Clock]) -> Result<Vec<HeldDigest>> {
    spi::as_owner(|| {
        let streams = catalog::streams()?.into_iter().filter(|stream| is_exchanged(terms, &stream.name));
        let streams = streams.map(|stream| (stream.stream, stream)).collect::<BTreeMap<_, _>>();
        clocks.iter().map(|clock| digest(&streams, clock)).collect()
    })
}

fn digest(streams: &BTreeMap<StreamId, StreamTable>, clock: &Clock) -> Result<HeldDigest> {
    let mut dots: BTreeMap<StreamId, Vec<Dot>> = BTreeMap::new();
    clock.iter().for_each(|dot| dots.entry(dot.stream).or_default().push(dot));
    let mut heads = Vec::with_capacity(clock.len());
    for (stream, dots) in dots {
        let Some(table) = streams.get(&stream) else { return Ok(None) };
        let Some(chains) = chains(table, &dots)? else { return Ok(None) };
        heads.extend(chains);
    }
    Ok(Some(gundb_core::digest(heads)))
}

/// The chains at these dots of a stream; None if one is not there.
fn chains(table: &StreamTable, dots: &[Dot]) -> Result<Option<Vec<(Dot, Chain)>>> {
    const LOCK: pg_sys::LOCKMODE = pg_sys::AccessShareLock as pg_sys::LOCKMODE;
    // SAFETY: the relation is open for as long as the scan.
    unsafe {
        let relation = pg_sys::try_relation_open(table.table, LOCK);
        if relation.is_null() {
            return Ok(None);
        }
        let mut scan = Scan::begin(relation, stream::primary_key(relation)?, As::OfSnapshot);
        let chain = |dot: &Dot| Some((*dot, scan.event(&dot.site, dot.lane, dot.seq)?.chain));
        let chains = dots.iter().map(chain).collect();
        drop(scan);
        pg_sys::relation_close(relation, LOCK);
        Ok(chains)
    }
}

/// Answers a peer that compares.
pub fn answer(terms: &Terms, question: &Question) -> Result<Answer> {
    Ok(match question {
        Question::Inventory => Answer::Inventory(inventory(terms)?),
        Question::Digests(clocks) => Answer::Digests(digests(terms, clocks)?),
    })
}

sql_function! {
    /// `compare(peer, timeout)`
    fn gundb_compare(call) {
        let peer = peer::named(call.required(call.text(0), "peer")?)?;
        let timeout = call.required(call.arg(1), "timeout")?;
        let timeout_ms = interval_ms(Some(timeout), "timeout")?;
        check_dialled(&peer)?;
        let database = run::database()?;
        let token = u64::from_be_bytes(random::bytes()?) as i64;
        database.ask_comparison(token, &peer.name);
        let mut found = None;
        seeing::wait_until(timeout_ms, || {
            found = catalog::comparison(token)?;
            Ok(found.is_some())
        })?;
        let unanswered = |what: String| Error::new(state::NO_CONNECTION, what);
        let report = match found {
            Some(Ok(report)) => report,
            Some(Err(problem)) => {
                return Err(unanswered(format!("cannot compare with peer \"{}\": {problem}", peer.name))
                    .hint("SELECT * FROM gundb.peer_status; says how it goes with each peer.")
                    .into());
            }
            None => {
                return Err(unanswered(format!("peer \"{}\" did not answer within {timeout_ms} ms", peer.name))
                    .hint("SELECT * FROM gundb.peer_status; or give it more time: timeout => '1 min'.")
                    .into());
            }
        };
        let mut rows = call.rows().of_texts(COLUMNS.into_iter())?;
        let report: serde_json::Value =
            serde_json::from_str(&report).map_err(|why| internal(format!("a stored comparison is damaged: {why}")))?;
        for row in report.as_array().into_iter().flatten() {
            let texts = COLUMNS.map(|name| match row.get(name) {
                None | Some(serde_json::Value::Null) => None,
                Some(serde_json::Value::String(text)) => Some(text.clone()),
                Some(other) => Some(other.to_string()),
            });
            rows.push(&texts)?;
        }
        Ok(crate::call::NULL)
    }
}

/// Refuses to ask where nobody would answer.
fn check_dialled(peer: &catalog::Peer) -> Result<()> {
    let name = &peer.name;
    // SAFETY: reads a flag.
    if unsafe { pg_sys::RecoveryInProgress() } {
        return Err(Error::new(state::READ_ONLY, "a standby has no peers").hint("Ask at the primary.").into());
    }
    if peer.is_paused {
        return Err(peer::is_paused(name).into());
    }
    if !url::is_dialled(&peer.url) {
        return Err(Error::new(state::WRONG_STATE, format!("peer \"{name}\" is not dialled from inside the server"))
            .hint("`gundb run` serves URLs of its kind.")
            .into());
    }
    if !settings::dials_peers() {
        return Err(Error::new(state::WRONG_STATE, "no peer is dialled: gundb.dial_peers is off")
            .hint("ALTER SYSTEM SET gundb.dial_peers = on; SELECT pg_reload_conf();")
            .into());
    }
    if run::database()?.worker_pid() == 0 {
        return Err(Error::new(state::WRONG_STATE, "the worker is not running, which dials peers")
            .hint("Look for \"gundb\" in the server's log; SELECT * FROM gundb.health;")
            .into());
    }
    Ok(())
}
