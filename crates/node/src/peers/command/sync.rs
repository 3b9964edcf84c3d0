//! Everything exchanged once: with peers that are dialled until nothing is left to exchange, with those that couriers go to one round.
//!
//! What must always hold here: when it says that a medium may be removed, what was put there is on it.

use crate::peers::carry::sentence;
use crate::peers::command::CommandError;
use crate::peers::config::{Config, ConfigError, Peer};
use crate::peers::daemon::{Daemon, courier};
use crate::peers::now_ms;
use crate::peers::post::{Post, PostError, Round};
use crate::peers::state::PeerState;
use gundb_core::bundle::WireLimits;
use gundb_core::store::Store;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often it is looked whether all was exchanged.
pub(in crate::peers) const LOOKS_EVERY: Duration = Duration::from_millis(20);
/// A courier's rounds, while each finds more to put.
const ROUNDS_MAX: usize = 10_000;

/// How it went with one peer.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Whom.
    pub peer: String,
    /// Whether all was exchanged, or put and flushed.
    pub is_done: bool,
    /// The same in words.
    pub said: String,
    /// The same in JSON.
    pub details: Value,
}

/// Exchanges everything with these peers, or with all that are not paused; each may take so long. Tells of each when it is done.
pub fn sync_once(
    store: &Arc<dyn Store>,
    limits: WireLimits,
    config: &Config,
    names: &[String],
    timeout: Duration,
    mut tell: impl FnMut(&Outcome),
) -> Result<(), CommandError> {
    let peers = chosen(config, names)?;
    let own = store.identity()?.name;
    let mut unsynced = Vec::new();
    let mut dialled = Vec::new();
    for peer in peers {
        let Some(courier) = courier(peer, peer.url()?, &own, &limits) else {
            dialled.push(peer);
            continue;
        };
        let post = Post::new(&peer.name, courier, config.terms_of(peer)?, limits, peer.resend());
        let (is_medium, mut post) = (peer.url.starts_with("file:"), post);
        let outcome = carried(&peer.name, is_medium, || post.round(&**store, now_ms()));
        tell(&outcome);
        if !outcome.is_done {
            unsynced.push(outcome.peer);
        }
    }
    if !dialled.is_empty() {
        for outcome in sessions(store, limits, config, &dialled, timeout)? {
            tell(&outcome);
            if !outcome.is_done {
                unsynced.push(outcome.peer);
            }
        }
    }
    if unsynced.is_empty() { Ok(()) } else { Err(CommandError::Unsynced { peers: unsynced }) }
}

fn chosen<'a>(config: &'a Config, names: &[String]) -> Result<Vec<&'a Peer>, ConfigError> {
    if names.is_empty() {
        return Ok(config.peers.iter().filter(|peer| !peer.paused).collect());
    }
    let find = |name: &String| {
        config.peers.iter().find(|peer| peer.name == *name).ok_or_else(|| {
            let meant = gundb_core::similar(name, config.peers.iter().map(|peer| peer.name.as_str()));
            let meant = meant.map(|meant| format!(": did you mean \"{meant}\"?")).unwrap_or_default();
            ConfigError::Wrong { why: format!("there is no peer \"{name}\"{meant}") }
        })
    };
    names.iter().map(find).collect()
}

/// Rounds of a courier until there is no more to put.
pub(in crate::peers) fn carried(
    peer: &str,
    is_medium: bool,
    mut one_more: impl FnMut() -> Result<Round, PostError>,
) -> Outcome {
    let mut all = Round::default();
    for _ in 0..ROUNDS_MAX {
        let round = match one_more() {
            Ok(round) => round,
            Err(error) => {
                let said = sentence(&error);
                let details = json!({ "peer": peer, "done": false, "error": said });
                return Outcome { peer: peer.to_owned(), is_done: false, said, details };
            }
        };
        let goes_on = round.more && round.stopped.is_none();
        // What a command brought may tell what the peer lacks.
        let learns = !is_medium && all.put == 0 && round.taken_bytes > 0 && all.taken_bytes == 0;
        all.counts.new += round.counts.new;
        all.counts.known += round.counts.known;
        all.counts.pending += round.counts.pending;
        all.counts.refused.extend(round.counts.refused.iter().cloned());
        all.put += round.put;
        all.put_bytes += round.put_bytes;
        all.taken_bytes += round.taken_bytes;
        all = Round {
            unconfirmed: round.unconfirmed,
            useless: round.useless,
            stopped: round.stopped,
            synced: round.synced,
            ..all
        };
        if !goes_on && !learns {
            break;
        }
    }
    let is_done = all.stopped.is_none();
    let mut said = format!(
        "took in {} new events; put {} bundles ({} kB); {} are on their way and not confirmed yet",
        all.counts.new,
        all.put,
        all.put_bytes.div_ceil(1_024),
        all.unconfirmed,
    );
    if all.counts.pending > 0 {
        said.push_str(&format!("; {} events wait for what they build on", all.counts.pending));
    }
    if let Some(first) = all.counts.refused.first() {
        said.push_str(&format!("; {} transactions were refused, the first since {first}", all.counts.refused.len()));
    }
    if let Some(first) = all.useless.first() {
        said.push_str(&format!("; {} files cannot be read, the first is {first}", all.useless.len()));
    }
    match &all.stopped {
        Some(fault) => said.push_str(&format!("; not all was put: {fault}")),
        None if is_medium && all.synced => said.push_str(". All is flushed and confirmed: safe to remove"),
        None if is_medium => said.push_str(". All is flushed: safe to remove"),
        None => {}
    }
    let details = json!({
        "peer": peer,
        "done": is_done,
        "new": all.counts.new,
        "known": all.counts.known,
        "pending": all.counts.pending,
        "refused": all.counts.refused,
        "put": all.put,
        "put_bytes": all.put_bytes,
        "on_the_way": all.unconfirmed,
        "synced": all.synced,
        "unreadable": all.useless,
        "error": all.stopped.as_ref().map(ToString::to_string),
        "safe_to_remove": is_medium && is_done,
    });
    Outcome { peer: peer.to_owned(), is_done, said, details }
}

/// Sessions with peers that are dialled, until nothing is left to exchange.
fn sessions(
    store: &Arc<dyn Store>,
    limits: WireLimits,
    config: &Config,
    peers: &[&Peer],
    timeout: Duration,
) -> Result<Vec<Outcome>, CommandError> {
    let awake = |peer: &&Peer| Peer { paused: false, ..(*peer).clone() };
    let config =
        Config { listen: None, grants: Vec::new(), peers: peers.iter().map(awake).collect(), ..config.clone() };
    let mut daemon = Daemon::new(Arc::clone(store), limits)?;
    daemon.apply(config)?;
    let until = Instant::now() + timeout;
    loop {
        let states = daemon.states().all();
        let is_over = states.values().all(|state| state.synced || state.error.is_some());
        if is_over || Instant::now() >= until {
            daemon.stop();
            let state = |peer: &&Peer| states.get(&peer.name).cloned().unwrap_or_default();
            return Ok(peers.iter().map(|peer| exchanged(&peer.name, &state(peer), timeout)).collect());
        }
        std::thread::sleep(LOOKS_EVERY);
    }
}

/// How it went in a session.
pub(in crate::peers) fn exchanged(peer: &str, state: &PeerState, timeout: Duration) -> Outcome {
    let said = match (&state.error, state.synced) {
        (_, true) => "everything was exchanged".to_owned(),
        (Some(error), _) => error.clone(),
        (None, _) => format!("not everything was exchanged within {} s", timeout.as_secs()),
    };
    let details = json!({
        "peer": peer,
        "done": state.synced,
        "synced": state.synced,
        "bytes_sent": state.bytes_sent,
        "bytes_received": state.bytes_received,
        "error": state.error,
    });
    Outcome { peer: peer.to_owned(), is_done: state.synced, said, details }
}
