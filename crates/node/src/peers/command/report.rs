//! How peers are, as JSON: the daemon leaves it in a file beside the store.

use crate::peers::state::PeerState;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

/// The file in a store's directory in which the daemon says how its peers are.
pub const FILE_NAME: &str = "peers.json";

/// All peers as JSON.
pub fn to_json(states: &BTreeMap<String, PeerState>) -> Value {
    let peers: Map<String, Value> = states.iter().map(|(name, state)| (name.clone(), peer(state))).collect();
    json!({ "peers": peers })
}

fn peer(state: &PeerState) -> Value {
    let site = state.site.as_ref();
    json!({
        "url": state.url,
        "state": state.phase.name(),
        "synced": state.synced,
        "error": state.error,
        "site": site.map(|(site, ..)| site.to_string()),
        "site_name": site.map(|(.., name)| name.clone()),
        "software": Some(&state.software).filter(|software| !software.is_empty()),
        "contact_ms": Some(state.contact_ms).filter(|at| *at > 0),
        "bytes_sent": state.bytes_sent,
        "bytes_received": state.bytes_received,
        "unconfirmed": state.unconfirmed,
        "times": state.times,
    })
}

/// Leaves it in a file: whole or not at all. It is told anew after a crash, so it need not be on the disk.
pub fn leave(path: &Path, report: &str) -> io::Result<()> {
    let unfinished = path.with_extension("json.unfinished");
    fs::write(&unfinished, report)?;
    fs::rename(&unfinished, path)
}
