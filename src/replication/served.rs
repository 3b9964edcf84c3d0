//! Peers whose URLs the worker does not dial: what `gundb run` calls to serve them on this site's behalf.
//!
//! Must hold: nothing flows but what the peer's row in `gundb.peer` lets through, and nothing at all while it is paused or
//! `gundb.dial_peers` is off. These functions are for whom the extension's owner lets: who calls them speaks as this site.

use crate::call::ret;
use crate::catalog::{self, Note, Peer, Says};
use crate::error::{Error, Result, state};
use crate::replication::courier::{self, Export};
use crate::replication::flows::{self, Terms, With};
use crate::replication::session::{self, malformed};
use crate::replication::{incoming, peer as peers, url};
use crate::spi::as_owner;
use crate::{settings, spi, sql_function};
use gundb_core::SiteId;
use gundb_core::bundle::decode_hello;
use gundb_core::sync::message::Accept;
use gundb_core::sync::scope::Scope;
use gundb_core::sync::sender::BUNDLE_BYTES;
use uuid::Uuid;

/// The least and the largest bundle that is made to be carried, in bytes before compression.
const BUNDLE_BYTES_LEAST: i64 = 16 << 10;
const BUNDLE_BYTES_MAX: i64 = 4 << 20;

/// What `gundb run` says of a peer that it serves.
pub struct Word {
    pub state: Option<&'static str>,
    pub is_synced: bool,
    pub round_trip_ms: Option<f64>,
}

/// A peer that is served now.
pub fn peer(name: &str) -> Result<Peer> {
    let peer = peers::named(name)?;
    let wrong = |what: String| Error::new(state::WRONG_STATE, what);
    if url::is_dialled(&peer.url) {
        return Err(wrong(format!("peer \"{name}\" is dialled by the worker")).into());
    }
    if peer.is_paused {
        return Err(peers::is_paused(name).into());
    }
    if !settings::dials_peers() {
        return Err(wrong("no peer is served: gundb.dial_peers is off".to_owned())
            .hint("ALTER SYSTEM SET gundb.dial_peers = on; SELECT pg_reload_conf();")
            .into());
    }
    Ok(peer)
}

sql_function! {
    /// `note_peer(peer, state, error, synced, bytes_sent, bytes_received, round_trip, hello)`
    fn gundb_note_peer(call) {
        let peer = peers::named(call.required(call.text(0), "peer")?)?;
        let name = &peer.name;
        let state = match call.text(1) {
            None => None,
            Some("connecting") => Some("connecting"),
            Some("connected") => Some("connected"),
            Some("waiting") => Some("waiting"),
            Some(other) => {
                let shown: String = other.chars().take(60).collect();
                return Err(Error::new(state::INVALID_PARAMETER, format!("a peer's state cannot be \"{shown}\""))
                    .hint("It is connecting, connected or waiting.")
                    .into());
            }
        };
        let bytes = |i: usize| call.int8(i).and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0);
        let word = Word { state, is_synced: call.bool(3).unwrap_or(false), round_trip_ms: call.float8(6) };
        if session::note_served(&peer.name, &word)? {
            return Ok(call.void());
        }
        let theirs = call.bytes(7).map(|bytes| decode_hello(bytes, &incoming::limits()));
        let theirs = theirs.transpose().map_err(|why| malformed("hello", &why))?;
        if let Some(theirs) = &theirs {
            flows::hear(&as_owner(|| Terms::of_peer(&peer))?, With::Peer(name), theirs)?;
        }
        catalog::note_peer(&Note {
            name: name.clone(),
            state,
            error: call.text(2).map(str::to_owned),
            is_synced: word.is_synced,
            synced_at: session::greeted_at(name),
            round_trip_ms: word.round_trip_ms,
            bytes_sent: bytes(4),
            bytes_received: bytes(5),
            is_contact: theirs.is_some(),
            site: theirs.as_ref().map(|theirs| theirs.site),
            run: theirs.as_ref().map(|theirs| theirs.run),
            site_name: theirs.as_ref().map(|theirs| theirs.name.clone()),
            software: theirs.as_ref().map(|theirs| theirs.software.clone()),
            says: theirs.as_ref().map(Says::of),
            holds: theirs.map(|theirs| theirs.clock),
            ..Note::default()
        })?;
        Ok(call.void())
    }
}

sql_function! {
    /// `known_streams()`
    fn gundb_known_streams(call) {
        let rows = call.values();
        for name in catalog::known_streams()? {
            rows.push(&[Some(ret::text(&name))]);
        }
        Ok(rows.done())
    }
}

sql_function! {
    /// `courier_export(peer, hello, since, bundle_bytes)`
    fn gundb_courier_export(call) {
        let peer = peer(call.required(call.text(0), "peer")?)?;
        let theirs = call.bytes(1).map(|bytes| decode_hello(bytes, &incoming::limits()));
        let theirs = theirs.transpose().map_err(|why| malformed("hello", &why))?;
        let since = call.clock(2)?.unwrap_or_default();
        let bytes_max = call.int8(3).unwrap_or(BUNDLE_BYTES as i64).clamp(BUNDLE_BYTES_LEAST, BUNDLE_BYTES_MAX) as u64;
        let names = incoming::known_streams()?;
        let (mine, scope) = spi::as_owner(|| {
            let mine = flows::hello(&Terms::of_peer(&peer)?)?;
            let theirs = theirs.unwrap_or_else(|| mine.unheard());
            let scope = Scope::new(&mine, &theirs, &names.values().collect::<Vec<_>>());
            Ok((mine, scope))
        })?;
        // The run that the hello is of may be gone, and what it wrote lost: it is not presumed to hold that.
        let scope = Scope { receiver: (SiteId(Uuid::nil()), mine.run), ..scope };
        // What does not flow is not spoken of.
        let since = since.restrict_to_streams(|stream| names.get(&stream).is_some_and(|name| scope.flow.matches(name)));
        let rows = call.values();
        Export::within(scope, since, bytes_max)?.put_some(&rows)?;
        Ok(rows.done())
    }
}

sql_function! {
    /// `courier_import(peer, bundle)`
    fn gundb_courier_import(call) {
        let peer = peer(call.required(call.text(0), "peer")?)?;
        let accept = if peer.accepts_any { Accept::Any } else { Accept::Own };
        let counts = courier::import(call.required(call.bytes(1), "bundle")?, accept)?;
        let numbers = [counts.new, counts.known, counts.pending, counts.refused.len() as u64];
        let mut row = numbers.map(|number| Some(ret::int8(number as i64))).to_vec();
        row.push(counts.refused.first().map(|reason| ret::text(reason)));
        call.row(&row)
    }
}
