//! Everything exchanged once with served peers, as `gundb sync --once` does it for a store.

use crate::peers::command::CommandError;
use crate::peers::command::sync::{LOOKS_EVERY, Outcome, carried, exchanged};
use crate::peers::config::ConfigError;
use crate::peers::now_ms;
use crate::peers::served::daemon::{Served, ServedError, configured};
use crate::peers::served::desk::HomeDesk;
use crate::peers::served::{Home, at_home};
use gundb_core::bundle::encode_hello;
use gundb_transport::postgres::home::{PeerNote, ServedPeer};
use gundb_transport::postgres::link::Session;
use gundb_transport::url::PeerUrl;
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// With these peers, or with all that are served; each may take so long. Tells of each when it is done.
pub fn sync_once(
    home: &Home,
    names: &[String],
    timeout: Duration,
    mut tell: impl FnMut(&Outcome),
) -> Result<(), CommandError> {
    let network = &home.network;
    let mut served = Served::new(home.clone());
    let session = network.block_on(served.lock())?;
    let all = network.block_on(session.caller.served_peers()).map_err(|fault| ServedError::Home(at_home(&fault)))?;
    let mut unsynced = Vec::new();
    let mut note = |outcome: &Outcome| {
        tell(outcome);
        if !outcome.is_done {
            unsynced.push(outcome.peer.clone());
        }
    };
    let mut called = Vec::new();
    for peer in chosen(all, names)? {
        let is_called = peer.url.starts_with("grpc");
        let begun = match is_called {
            true => network.block_on(served.begin(peer.clone(), &session)).map(|()| None),
            false => courier(home, &served, &session, &peer).map(Some),
        };
        match begun {
            Ok(None) => called.push(peer.name),
            Ok(Some(outcome)) => note(&outcome),
            Err(said) => {
                let details = json!({ "peer": peer.name, "done": false, "error": said });
                note(&Outcome { peer: peer.name, is_done: false, said, details });
            }
        }
    }
    let until = Instant::now() + timeout;
    while !called.is_empty() {
        let states = served.states().all();
        let is_over = |name: &String| states.get(name).is_some_and(|state| state.synced || state.error.is_some());
        if called.iter().all(is_over) || Instant::now() >= until {
            let state = |name: &String| states.get(name).cloned().unwrap_or_default();
            called.drain(..).for_each(|name| note(&exchanged(&name, &state(&name), timeout)));
            break;
        }
        std::thread::sleep(LOOKS_EVERY);
    }
    network.block_on(served.end_all());
    if unsynced.is_empty() { Ok(()) } else { Err(CommandError::Unsynced { peers: unsynced }) }
}

fn chosen(all: Vec<ServedPeer>, names: &[String]) -> Result<Vec<ServedPeer>, ConfigError> {
    if names.is_empty() {
        return Ok(all);
    }
    let find = |name: &String| {
        all.iter().find(|peer| peer.name == *name).cloned().ok_or_else(|| {
            let meant = gundb_core::similar(name, all.iter().map(|peer| peer.name.as_str()));
            let meant = meant.map(|meant| format!(": did you mean \"{meant}\"?")).unwrap_or_default();
            ConfigError::Wrong { why: format!("no peer \"{name}\" is to be served, or it is paused{meant}") }
        })
    };
    names.iter().map(find).collect()
}

/// Rounds of a courier, and what is noted of them.
fn courier(home: &Home, served: &Served, session: &Session, peer: &ServedPeer) -> Result<Outcome, String> {
    let (network, limits) = (home.network.clone(), home.limits);
    let url = PeerUrl::parse(&peer.url).map_err(|error| error.to_string())?;
    let mut post = network.block_on(served.post(peer, &configured(peer)?, url, session))?;
    let (name, caller) = (peer.name.clone(), Arc::clone(&session.caller));
    let desk = HomeDesk { peer: name, caller, network, limits };
    let (mut bytes_sent, mut bytes_received, mut is_synced) = (0, 0, false);
    let outcome = carried(&peer.name, peer.url.starts_with("file:"), || {
        let made = post.round_at(&desk, now_ms());
        if let Ok(round) = &made {
            bytes_sent += round.put_bytes;
            bytes_received += round.taken_bytes;
            is_synced = round.synced;
        }
        made
    });
    let note = PeerNote {
        state: Some(if outcome.is_done { "connected" } else { "waiting" }),
        error: (!outcome.is_done).then(|| outcome.said.clone()),
        is_synced,
        bytes_sent,
        bytes_received,
        round_trip_ms: None,
        hello: post.peer().map(encode_hello),
    };
    // What cannot be noted has been done all the same.
    let _ = home.network.block_on(session.caller.note(&peer.name, &note));
    Ok(outcome)
}
