//! Peers added, altered, dropped and paused; roles that may dial in.

use crate::call::Call;
use crate::catalog::{self, Grant, Peer};
use crate::error::{Error, Result, state};
use crate::replication::url;
use crate::{sql_function, stamp, transaction};
use gundb_core::sync::filter::Filter;

/// The largest text of a peer's options.
const OPTIONS_BYTES_MAX: usize = 64 * 1024;

/// The largest bundle that is made here, before compression: what is larger goes in parts, so more would only be held longer.
const BUNDLE_BYTES: u64 = 1024 * 1024;

/// The longest time that is told in seconds: a year.
const SECONDS: i64 = 366 * 24 * 3_600;

/// What may stand in a peer's options: the name and the range. The last three are for `gundb run`, of peers that couriers go to.
const OPTIONS: [(&str, i64, i64); 5] = [
    ("bundle_bytes", 64 * 1024, BUNDLE_BYTES as i64),
    ("compression", 0, 19),
    ("interval", 1, SECONDS),
    ("timeout", 1, SECONDS),
    ("resend", 1, SECONDS),
];

/// How bundles are made for a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Of the events' text, before compression.
    pub bundle_bytes: u64,
    /// Of zstd; 0: none.
    pub compression: i32,
}

impl Default for Options {
    fn default() -> Options {
        Options { bundle_bytes: BUNDLE_BYTES, compression: 1 }
    }
}

impl Options {
    /// Of a peer's options as they are stored.
    pub fn parse(text: &str) -> Result<Options> {
        let malformed = |why: String| Error::new(state::INVALID_PARAMETER, why);
        let document: serde_json::Value =
            serde_json::from_str(text).map_err(|why| malformed(format!("a peer's options cannot be read: {why}")))?;
        let Some(object) = document.as_object() else {
            return Err(malformed("a peer's options are an object".to_owned()).into());
        };
        let mut options = Options::default();
        for (name, value) in object {
            let Some((_, least, greatest)) = OPTIONS.iter().find(|(known, ..)| known == name) else {
                let shown: String = name.chars().take(60).collect();
                let error = malformed(format!("a peer has no option \"{shown}\""));
                let names = OPTIONS.map(|(name, ..)| name);
                return Err(match gundb_core::suggest::similar(name, names) {
                    Some(similar) => error.hint(format!("Did you mean \"{similar}\"?")),
                    None => error.hint(format!("Options are {}.", names.join(", "))),
                }
                .into());
            };
            let number = value.as_i64().filter(|number| (least..=greatest).contains(&number));
            let number =
                number.ok_or_else(|| malformed(format!("option \"{name}\" is a number from {least} to {greatest}")))?;
            match name.as_str() {
                "bundle_bytes" => options.bundle_bytes = number as u64,
                "compression" => options.compression = number as i32,
                _ => {}
            }
        }
        Ok(options)
    }
}

fn check_name(name: &str) -> Result<()> {
    let fits = !name.is_empty()
        && name.len() <= 63
        && !name.chars().any(|c| c.is_control() || c == '/')
        && uuid::Uuid::parse_str(name).is_err();
    if fits {
        return Ok(());
    }
    let shown: String = name.chars().take(100).collect();
    Err(Error::new(state::INVALID_NAME, format!("\"{shown}\" cannot name a peer"))
        .hint("A peer's name has 1 to 63 bytes, no control characters and no /, and is no uuid.")
        .into())
}

/// Patterns of streams as an argument.
fn patterns(call: Call, i: usize, name: &str) -> Result<Option<Vec<String>>> {
    let Some(patterns) = call.text_array(i)? else { return Ok(None) };
    Filter::parse(&patterns).map_err(|why| {
        Error::new(state::INVALID_PARAMETER, format!("{name} is not a list of patterns of stream names"))
            .detail(why.to_string())
            .hint("As in '{*, !audit*}': * stands for any text, a leading ! excludes, the last that matches decides.")
    })?;
    Ok(Some(patterns))
}

fn accepts_any(call: Call, i: usize) -> Result<Option<bool>> {
    match call.text(i) {
        None => Ok(None),
        Some("any") => Ok(Some(true)),
        Some("own") => Ok(Some(false)),
        Some(other) => {
            let shown: String = other.chars().take(60).collect();
            Err(Error::new(state::INVALID_PARAMETER, format!("accept cannot be \"{shown}\""))
                .hint("It is 'any': whatever the peer brings, or 'own': only what it wrote itself.")
                .into())
        }
    }
}

fn options(call: Call, i: usize) -> Result<Option<String>> {
    let Some(bytes) = call.bytes(i) else { return Ok(None) };
    let text = stamp::canonical(bytes, OPTIONS_BYTES_MAX)?;
    Options::parse(&text)?;
    Ok(Some(text))
}

/// A peer of this name, or an error that may know what was meant.
pub fn named(name: &str) -> Result<Peer> {
    if let Some(peer) = catalog::find_peer(name)? {
        return Ok(peer);
    }
    if let Some(site) = catalog::dials_in(name)?.first() {
        let what = format!("peer \"{name}\" is not dialled from here: it dials in, as role \"{}\"", site.role);
        return Err(Error::new(state::UNDEFINED_OBJECT, what)
            .hint("Who dials does the work of both directions: call it there. gundb.peer_status shows both kinds.")
            .into());
    }
    let known = catalog::peers()?;
    let shown: String = name.chars().take(100).collect();
    let error = Error::new(state::UNDEFINED_OBJECT, format!("peer \"{shown}\" does not exist"));
    Err(match gundb_core::suggest::similar(name, known.iter().map(|peer| peer.name.as_str())) {
        Some(similar) => error.hint(format!("Did you mean \"{similar}\"?")),
        None => error.hint("Add it with SELECT gundb.add_peer('name', 'postgres://user@host/database');"),
    }
    .into())
}

/// That nothing is exchanged with a peer.
pub fn is_paused(name: &str) -> Error {
    Error::new(state::WRONG_STATE, format!("peer \"{name}\" is paused")).hint("SELECT gundb.resume_peer('name');")
}

/// Who dials, and who is called, looks anew once this transaction has committed.
fn changed() {
    transaction::with(|t| t.peers_changed = true);
}

/// Pauses a peer for a reason.
pub fn pause(name: &str, reason: &str) -> Result<()> {
    catalog::set_paused(name, Some(reason))?;
    changed();
    Ok(())
}

sql_function! {
    /// `add_peer(name, url, push, pull, accept, options)`
    fn gundb_add_peer(call) {
        let name = call.required(call.text(0), "name")?;
        check_name(name)?;
        let url = call.required(call.text(1), "url")?;
        url::check(url)?;
        let peer = Peer {
            name: name.to_owned(),
            url: url.to_owned(),
            push: call.required(patterns(call, 2, "push")?, "push")?,
            pull: call.required(patterns(call, 3, "pull")?, "pull")?,
            accepts_any: call.required(accepts_any(call, 4)?, "accept")?,
            options: call.required(options(call, 5)?, "options")?,
            is_paused: false,
        };
        if !catalog::insert_peer(&peer)? {
            return Err(Error::new(state::DUPLICATE_OBJECT, format!("peer \"{name}\" already exists"))
                .hint("To change it: SELECT gundb.alter_peer('name', …);")
                .into());
        }
        catalog::begin_peering()?;
        // What comes first is definitions, which need their table.
        catalog::ensure_system_table()?;
        changed();
        Ok(call.void())
    }
}

sql_function! {
    /// `alter_peer(name, url, push, pull, accept, options)`
    fn gundb_alter_peer(call) {
        let before = named(call.required(call.text(0), "name")?)?;
        if let Some(url) = call.text(1) {
            url::check(url)?;
        }
        let peer = Peer {
            url: call.text(1).map_or(before.url, str::to_owned),
            push: patterns(call, 2, "push")?.unwrap_or(before.push),
            pull: patterns(call, 3, "pull")?.unwrap_or(before.pull),
            accepts_any: accepts_any(call, 4)?.unwrap_or(before.accepts_any),
            options: options(call, 5)?.unwrap_or(before.options),
            ..before
        };
        catalog::update_peer(&peer)?;
        changed();
        Ok(call.void())
    }
}

sql_function! {
    /// `drop_peer(name)`
    fn gundb_drop_peer(call) {
        let name = call.required(call.text(0), "name")?;
        if catalog::find_peer(name)?.is_none() {
            // Of one that dialled in there is nothing but what is known of it.
            let mut forgotten = false;
            for site in catalog::dials_in(name)? {
                forgotten |= catalog::forget_gone(&site)?;
            }
            if forgotten {
                return Ok(call.void());
            }
        }
        let peer = named(name)?;
        catalog::delete_peer(&peer.name)?;
        changed();
        Ok(call.void())
    }
}

sql_function! {
    /// `pause_peer(name, reason)`
    fn gundb_pause_peer(call) {
        let peer = named(call.required(call.text(0), "name")?)?;
        pause(&peer.name, call.text(1).unwrap_or("paused by hand"))?;
        Ok(call.void())
    }
}

sql_function! {
    /// `resume_peer(name)`
    fn gundb_resume_peer(call) {
        let name = call.required(call.text(0), "name")?;
        if catalog::find_peer(name)?.is_none() {
            let mut resumed = false;
            for site in catalog::dials_in(name)? {
                resumed |= catalog::resume_dials_in(&site)?;
            }
            if resumed {
                return Ok(call.void());
            }
        }
        let peer = named(name)?;
        catalog::set_paused(&peer.name, None)?;
        changed();
        Ok(call.void())
    }
}

sql_function! {
    /// `set_peer_secret(name, secret)`
    fn gundb_set_peer_secret(call) {
        let peer = named(call.required(call.text(0), "name")?)?;
        let secret = call.text(1);
        if secret == Some("") {
            return Err(Error::new(state::INVALID_PARAMETER, "a password is not empty")
                .hint("NULL forgets the one that was set.")
                .into());
        }
        catalog::set_peer_secret(&peer.name, secret)?;
        changed();
        Ok(call.void())
    }
}

sql_function! {
    /// `grant_peer(role, push, pull, accept)`
    fn gundb_grant_peer(call) {
        let role = call.required(call.c_string(0), "role")?;
        catalog::role_of(role)?;
        let grant = Grant {
            push: call.required(patterns(call, 1, "push")?, "push")?,
            pull: call.required(patterns(call, 2, "pull")?, "pull")?,
            accepts_any: call.required(accepts_any(call, 3)?, "accept")?,
        };
        catalog::set_grant(role, &grant)?;
        catalog::begin_peering()?;
        catalog::ensure_system_table()?;
        changed();
        Ok(call.void())
    }
}

sql_function! {
    /// `revoke_peer(role)`
    fn gundb_revoke_peer(call) {
        let name = call.required(call.c_string(0), "role")?;
        if !catalog::delete_grant(name)? {
            catalog::role_of(name)?;
            return Err(Error::new(state::UNDEFINED_OBJECT, format!("role \"{name}\" may not dial in as a peer")).into());
        }
        changed();
        Ok(call.void())
    }
}
