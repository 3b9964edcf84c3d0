//! Peers added, listed, paused and dropped: the configuration file is changed, and a daemon that runs reads it again by itself.

use crate::peers::command::CommandError;
use crate::peers::config::{Config, ConfigError, check_name};
use crate::peers::edit::Edit;
use gundb_core::sync::filter::Filter;
use gundb_transport::file::prepare;
use gundb_transport::url::PeerUrl;
use serde_json::{Value, json};
use std::path::Path;

/// Adds a peer; a courier's directory is prepared. Says what was done.
pub fn add(
    configuration: &Path,
    name: &str,
    url: &str,
    push: &[String],
    pull: &[String],
    accept: Option<&str>,
) -> Result<&'static str, CommandError> {
    check_name(name)?;
    let parsed = PeerUrl::parse(url).map_err(|error| ConfigError::Url { name: name.to_owned(), error })?;
    for patterns in [push, pull] {
        Filter::parse(patterns).map_err(|error| ConfigError::Filter { name: name.to_owned(), error })?;
    }
    let mut edit = Edit::open(configuration)?;
    edit.add(name, url, push, pull, accept)?;
    let prepared = match &parsed {
        PeerUrl::File(target) => prepare(&target.root)?,
        _ => false,
    };
    edit.save()?;
    Ok(if prepared { "added, and its directory prepared" } else { "added" })
}

/// Pauses a peer, or lets it go on.
pub fn pause(configuration: &Path, name: &str, paused: bool) -> Result<(), CommandError> {
    let mut edit = Edit::open(configuration)?;
    edit.pause(name, paused)?;
    edit.save()?;
    Ok(())
}

/// Drops a peer. What it brought stays.
pub fn drop_peer(configuration: &Path, name: &str) -> Result<(), CommandError> {
    let mut edit = Edit::open(configuration)?;
    edit.drop_peer(name)?;
    edit.save()?;
    Ok(())
}

/// All peers and grants; how they are, where a daemon says so in its report.
pub fn list(configuration: &Path, report: &Path) -> Result<Vec<Value>, CommandError> {
    let config = Config::read(configuration)?;
    let told = std::fs::read(report).ok().and_then(|text| serde_json::from_slice::<Value>(&text).ok());
    let state_of =
        |name: &str| told.as_ref().and_then(|told| told.get("peers")?.get(name).cloned()).unwrap_or(Value::Null);
    let peers = config.peers.iter().map(|peer| {
        json!({
            "name": peer.name,
            "url": peer.url,
            "push": peer.push,
            "pull": peer.pull,
            "accept": format!("{:?}", peer.accept).to_lowercase(),
            "paused": peer.paused,
            "now": state_of(&peer.name),
        })
    });
    let grants = config.grants.iter().map(|grant| {
        json!({
            "name": grant.name,
            "push": grant.push,
            "pull": grant.pull,
            "accept": format!("{:?}", grant.accept).to_lowercase(),
            "now": state_of(&grant.name),
        })
    });
    Ok(peers.chain(grants).collect())
}
