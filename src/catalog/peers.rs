//! Peers: whom this site dials, who may dial in, and what is known of them for now.

use crate::catalog::argument::text_array_arg;
use crate::catalog::tables::quote_identifier;
use crate::error::{Error, Result, internal, state};
use crate::spi::{self, Mode, Row, Spi, arg, as_owner};
use pgrx::pg_sys::{self, Oid};

/// A peer that this site dials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    pub name: String,
    pub url: String,
    pub push: Vec<String>,
    pub pull: Vec<String>,
    /// Whether it may bring anybody's events.
    pub accepts_any: bool,
    /// As canonical text.
    pub options: String,
    pub is_paused: bool,
}

/// What sites that dial in as a role may bring and take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// What they may bring.
    pub push: Vec<String>,
    /// What they may take.
    pub pull: Vec<String>,
    /// Whether they may bring anybody's events.
    pub accepts_any: bool,
}

const PEER: &str =
    "SELECT name, url, push, pull, accept = 'any', options::text, paused_since IS NOT NULL FROM gundb.peer";

fn peer(row: Row) -> Result<Peer> {
    let damaged = || internal("gundb.peer holds a damaged row");
    Ok(Peer {
        name: row.text(1).ok_or_else(damaged)?,
        url: row.text(2).ok_or_else(damaged)?,
        push: row.text_array(3).ok_or_else(damaged)?,
        pull: row.text_array(4).ok_or_else(damaged)?,
        accepts_any: row.bool(5).ok_or_else(damaged)?,
        options: row.text(6).ok_or_else(damaged)?,
        is_paused: row.bool(7).ok_or_else(damaged)?,
    })
}

fn grant(row: Row, first: usize) -> Result<Grant> {
    let damaged = || internal("gundb.peer_grant holds a damaged row");
    Ok(Grant {
        push: row.text_array(first).ok_or_else(damaged)?,
        pull: row.text_array(first + 1).ok_or_else(damaged)?,
        accepts_any: row.bool(first + 2).ok_or_else(damaged)?,
    })
}

/// Runs a statement against tables that only the owner has a right to, as of now.
fn ask<T>(f: impl FnOnce(&Spi) -> Result<T>) -> Result<T> {
    as_owner(|| spi::with_latest_snapshot(|| spi::connect(f)))
}

/// Changes such tables.
fn change(statement: &str, args: &[spi::Arg]) -> Result<usize> {
    as_owner(|| spi::connect(|spi| Ok(spi.run(statement, args, Mode::Write, 0)?.len())))
}

/// The peers that this site dials, by name, as of now.
pub fn peers() -> Result<Vec<Peer>> {
    ask(|spi| spi.run(&format!("{PEER} ORDER BY name"), &[], Mode::Read, 0)?.iter().map(peer).collect())
}

/// A peer that this site dials.
pub fn find_peer(name: &str) -> Result<Option<Peer>> {
    ask(|spi| {
        let rows = spi.run(&format!("{PEER} WHERE name = $1"), &[arg::text(name)], Mode::Read, 1)?;
        rows.first().map(peer).transpose()
    })
}

/// Stores a peer, or what has changed of it. Says whether it is new.
pub fn insert_peer(peer: &Peer) -> Result<bool> {
    let inserted = change(
        "INSERT INTO gundb.peer (name, url, push, pull, accept, options) VALUES ($1, $2, $3, $4, $5, $6::jsonb)
         ON CONFLICT DO NOTHING",
        &arguments(peer),
    )?;
    Ok(inserted > 0)
}

/// Stores what has changed of a peer.
pub fn update_peer(peer: &Peer) -> Result<()> {
    change(
        "UPDATE gundb.peer SET url = $2, push = $3, pull = $4, accept = $5, options = $6::jsonb WHERE name = $1",
        &arguments(peer),
    )
    .map(drop)
}

fn arguments(peer: &Peer) -> [spi::Arg; 6] {
    [
        arg::text(&peer.name),
        arg::text(&peer.url),
        text_array_arg(Some(&peer.push)),
        text_array_arg(Some(&peer.pull)),
        arg::text(if peer.accepts_any { "any" } else { "own" }),
        arg::text(&peer.options),
    ]
}

/// Forgets a peer, with its secret and what is known of it.
pub fn delete_peer(name: &str) -> Result<()> {
    change("DELETE FROM gundb.peer WHERE name = $1", &[arg::text(name)])?;
    change("DELETE FROM gundb.inbox WHERE peer = $1", &[arg::text(name)])?;
    change("DELETE FROM gundb.peer_state WHERE name = $1 AND role = ''", &[arg::text(name)]).map(drop)
}

/// Pauses a peer, or (without a reason) resumes it.
pub fn set_paused(name: &str, reason: Option<&str>) -> Result<()> {
    change(
        "UPDATE gundb.peer SET paused_since = CASE WHEN $2 IS NULL THEN NULL ELSE coalesce(paused_since, pg_catalog.now()) END,
                               paused_reason = $2
          WHERE name = $1",
        &[arg::text(name), arg::text_or_null(reason)],
    )
    .map(drop)
}

/// The password of a peer.
pub fn peer_secret(name: &str) -> Result<Option<String>> {
    ask(|spi| {
        let statement = "SELECT secret FROM gundb.peer_secret WHERE name = $1";
        Ok(spi.run(statement, &[arg::text(name)], Mode::Read, 1)?.first().and_then(|row| row.text(1)))
    })
}

/// Stores the password of a peer, or forgets it.
pub fn set_peer_secret(name: &str, secret: Option<&str>) -> Result<()> {
    change("DELETE FROM gundb.peer_secret WHERE name = $1", &[arg::text(name)])?;
    if secret.is_some() {
        let args = [arg::text(name), arg::text_or_null(secret)];
        change("INSERT INTO gundb.peer_secret (name, secret) VALUES ($1, $2)", &args)?;
    }
    Ok(())
}

/// From now on what is written here may be elsewhere.
pub fn begin_peering() -> Result<()> {
    change("INSERT INTO gundb.peering SELECT WHERE NOT EXISTS (SELECT FROM gundb.peering)", &[]).map(drop)
}

/// Whether there ever was a peer.
pub fn has_peered() -> Result<bool> {
    if !has_peers()? {
        return Ok(false);
    }
    ask(|spi| Ok(!spi.run("SELECT FROM gundb.peering LIMIT 1", &[], Mode::Read, 1)?.is_empty()))
}

/// Whether the extension is of a version that knows peers.
pub fn has_peers() -> Result<bool> {
    spi::connect(|spi| {
        let rows = spi.run("SELECT pg_catalog.to_regclass('gundb.peer_state') IS NOT NULL", &[], Mode::Read, 1)?;
        Ok(rows.first().and_then(|row| row.bool(1)).unwrap_or(false))
    })
}

/// What the sites that dial in as a role may do; None if none may.
pub fn grant_of(role: Oid) -> Result<Option<Grant>> {
    ask(|spi| {
        let statement =
            "SELECT push, pull, accept = 'any' FROM gundb.peer_grant WHERE role = pg_catalog.pg_get_userbyid($1)";
        spi.run(statement, &[arg::oid(role)], Mode::Read, 1)?.first().map(|row| grant(row, 1)).transpose()
    })
}

/// All grants, by role.
pub fn grants() -> Result<Vec<(String, Grant)>> {
    ask(|spi| {
        let statement = "SELECT role::text, push, pull, accept = 'any' FROM gundb.peer_grant ORDER BY role";
        let rows = spi.run(statement, &[], Mode::Read, 0)?;
        rows.iter().map(|row| Ok((row.text(1).unwrap_or_default(), grant(row, 2)?))).collect()
    })
}

/// Lets sites dial in as a role. Those that were paused may again.
pub fn set_grant(role: &str, grant: &Grant) -> Result<()> {
    change(
        "INSERT INTO gundb.peer_grant AS g (role, push, pull, accept) VALUES ($1::name, $2, $3, $4)
         ON CONFLICT (role) DO UPDATE SET push = excluded.push, pull = excluded.pull, accept = excluded.accept",
        &[
            arg::text(role),
            text_array_arg(Some(&grant.push)),
            text_array_arg(Some(&grant.pull)),
            arg::text(if grant.accepts_any { "any" } else { "own" }),
        ],
    )?;
    change(
        "UPDATE gundb.peer_state SET offences = 0, offended = false, paused_since = NULL, paused_reason = NULL WHERE role = $1",
        &[arg::text(role)],
    )?;
    // What depends on a role keeps it from being dropped.
    as_owner(|| {
        spi::connect(|spi| {
            spi.run_once(&format!("GRANT {SESSION} TO {}", quote_identifier(role)), Mode::Write).map(drop)
        })
    })
}

/// What a role is given so that it is known to be in use. Everybody may call the functions of sessions, and is refused there.
const SESSION: &str = "EXECUTE ON FUNCTION gundb.session_hello(bytea)";

/// Lets none any more. Says whether any might. The role may have been dropped.
pub fn delete_grant(role: &str) -> Result<bool> {
    change("DELETE FROM gundb.peer_state WHERE role = $1", &[arg::text(role)])?;
    if find_role(role)?.is_some() {
        let statement = format!("REVOKE {SESSION} FROM {}", quote_identifier(role));
        as_owner(|| spi::connect(|spi| spi.run_once(&statement, Mode::Write).map(drop)))?;
    }
    Ok(change("DELETE FROM gundb.peer_grant WHERE role = $1::name", &[arg::text(role)])? > 0)
}

/// The role of a name, if there is one.
pub fn find_role(name: &str) -> Result<Option<Oid>> {
    spi::connect(|spi| {
        let rows =
            spi.run("SELECT oid FROM pg_catalog.pg_roles WHERE rolname = $1", &[arg::text(name)], Mode::Read, 1)?;
        Ok(rows.first().and_then(|row| row.oid(1)))
    })
}

/// The role of a name.
pub fn role_of(name: &str) -> Result<Oid> {
    if let Some(role) = find_role(name)? {
        return Ok(role);
    }
    spi::connect(|spi| {
        let rows = spi.run("SELECT rolname::text FROM pg_catalog.pg_roles ORDER BY 1", &[], Mode::Read, 0)?;
        let names = rows.iter().filter_map(|row| row.text(1)).collect::<Vec<_>>();
        let error = Error::new(state::UNDEFINED_OBJECT, format!("role \"{name}\" does not exist"));
        Err(match gundb_core::suggest::similar(name, names.iter().map(String::as_str)) {
            Some(similar) => error.hint(format!("Did you mean \"{similar}\"?")),
            None => error.hint("Make it with CREATE ROLE … LOGIN;"),
        }
        .into())
    })
}

/// The name of a role.
pub fn role_name(role: Oid) -> Result<String> {
    // SAFETY: a palloc'ed copy, or null where the role has gone.
    unsafe {
        let name = pg_sys::GetUserNameFromId(role, true);
        if name.is_null() {
            return Err(internal(format!("role {} is gone", role.to_u32())));
        }
        Ok(std::ffi::CStr::from_ptr(name).to_string_lossy().into_owned())
    }
}

/// Sites whose definitions count from now on.
pub fn add_definers(sites: &[gundb_core::SiteId]) -> Result<()> {
    let sites = super::argument::uuids(sites.iter().map(|site| site.0.as_bytes()));
    change(
        "INSERT INTO gundb.definer (site) SELECT DISTINCT site FROM unnest($1) AS new (site)
          WHERE NOT EXISTS (SELECT FROM gundb.definer d WHERE d.site = new.site)
         ON CONFLICT DO NOTHING",
        &[sites],
    )
    .map(drop)
}

/// The streams that were dropped or detached here.
pub fn left_streams() -> Result<Vec<String>> {
    ask(|spi| {
        let rows = spi.run("SELECT name FROM gundb.left_stream ORDER BY name", &[], Mode::Read, 0)?;
        Ok(rows.iter().filter_map(|row| row.text(1)).collect())
    })
}

/// A stream is here no longer, and is not to come back by itself. Says whether that is news.
pub fn leave_stream(name: &str) -> Result<bool> {
    if !has_peers()? {
        return Ok(false);
    }
    let statement = "INSERT INTO gundb.left_stream (name) VALUES ($1) ON CONFLICT DO NOTHING";
    Ok(change(statement, &[arg::text(name)])? > 0)
}

/// A stream is here, perhaps again. Says whether it had been left.
pub fn take_stream(name: &str) -> Result<bool> {
    if !has_peers()? {
        return Ok(false);
    }
    change("DELETE FROM gundb.adoption WHERE name = $1", &[arg::text(name)])?;
    Ok(change("DELETE FROM gundb.left_stream WHERE name = $1", &[arg::text(name)])? > 0)
}
