//! Which streams flow between this site and a peer, and how this site says so.

use crate::catalog::{self, Grant, Peer};
use crate::error::{Error, Result, internal, state};
use crate::replication::peer::Options;
use crate::scan::As;
use crate::{admin, heads, run};
use gundb_core::sync::filter::{Filter, Flow};
use gundb_core::sync::message::{Accept, Hello, PROTOCOL};
use gundb_core::{Run, SiteId};
use pgrx::pg_sys::{self, Oid};
use uuid::Uuid;

/// What is agreed with a peer, as this end has it configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// What is sent there.
    pub push: Filter,
    /// What is taken from there.
    pub pull: Filter,
    pub accept: Accept,
    pub options: Options,
}

impl Terms {
    /// With a peer that this site dials.
    pub fn of_peer(peer: &Peer) -> Result<Terms> {
        let left = excluded(&catalog::left_streams()?);
        Terms::new(&peer.push, &[], &peer.pull, &left, peer.accepts_any, Options::parse(&peer.options)?)
    }

    /// With one that dials in as a role: what it brings is taken, what it takes is sent. A stream whose row security
    /// binds the role does not flow: a lane with holes would lie.
    pub fn of_grant(grant: &Grant, role: Oid) -> Result<Terms> {
        let bound = excluded(&bound_streams(role)?);
        let mut left = excluded(&catalog::left_streams()?);
        left.extend_from_slice(&bound);
        Terms::new(&grant.pull, &bound, &grant.push, &left, grant.accepts_any, Options::default())
    }

    /// The patterns, and what is excluded after them.
    fn new(
        push: &[String],
        push_not: &[String],
        pull: &[String],
        pull_not: &[String],
        any: bool,
        options: Options,
    ) -> Result<Terms> {
        let accept = if any { Accept::Any } else { Accept::Own };
        Ok(Terms { push: filter(push, push_not)?, pull: filter(pull, pull_not)?, accept, options })
    }
}

fn filter(patterns: &[String], not: &[String]) -> Result<Filter> {
    Filter::parse(&[patterns, not].concat()).map_err(|why| {
        Error::new(state::INVALID_PARAMETER, "the streams of a peer cannot be told").detail(why.to_string()).into()
    })
}

fn excluded(names: &[String]) -> Vec<String> {
    names.iter().map(|name| format!("!{name}")).collect()
}

/// The streams whose row security binds a role.
pub fn bound_streams(role: Oid) -> Result<Vec<String>> {
    let streams = catalog::streams()?.into_iter();
    Ok(streams.filter(|stream| is_bound(stream.table, role)).map(|stream| stream.name).collect())
}

fn is_bound(table: Oid, role: Oid) -> bool {
    // SAFETY: asks the caches; with `noError` it raises nothing of its own.
    unsafe { pg_sys::check_enable_rls(table, role, true) == pg_sys::CheckEnableRlsResult::RLS_ENABLED as i32 }
}

/// With whom a session is: what flows in it, both ends know from their hellos.
pub enum With<'a> {
    /// A peer that this site dials.
    Peer(&'a str),
    /// One that has dialled in.
    Grant(&'a Grant),
    /// Nobody.
    Nobody,
}

/// Which streams this site takes from others than this one.
fn takes(but: &With) -> Result<Vec<Flow>> {
    let left = excluded(&catalog::left_streams()?);
    let (mut peers, mut grants) = (catalog::peers()?, catalog::grants()?);
    peers.retain(|peer| !peer.is_paused && !matches!(but, With::Peer(name) if *name == peer.name));
    if let With::Grant(grant) = but
        && let Some(place) = grants.iter().position(|other| other == *grant)
    {
        grants.remove(place);
    }
    let peers = peers.into_iter().map(|peer| peer.pull);
    let grants = grants.into_iter().map(|grant| grant.push);
    // What the others send is theirs to say.
    let mut takes = Vec::new();
    for patterns in peers.chain(grants) {
        let flow = Flow { push: Filter::all(), pull: filter(&patterns, &left)? };
        if !takes.contains(&flow) {
            takes.push(flow);
        }
    }
    Ok(takes)
}

/// Whether this site takes a stream of this name from anybody.
pub fn is_taken(name: &str) -> Result<bool> {
    Ok(takes(&With::Nobody)?.iter().any(|flow| flow.matches(name)))
}

/// This site, and its run.
pub fn own_run() -> Result<(SiteId, Run)> {
    let (_, running) = run::open()?;
    let run = Run::new(running.run).ok_or_else(|| internal("a run was opened without a number"))?;
    Ok((SiteId(Uuid::from_bytes(running.site)), run))
}

/// What this site says first to a peer: through the active snapshot.
pub fn hello(terms: &Terms, with: &With) -> Result<Hello> {
    let (site, run) = own_run()?;
    Ok(Hello {
        protocol: (PROTOCOL, PROTOCOL),
        software: format!("gundb {}", env!("CARGO_PKG_VERSION")),
        site,
        run,
        name: admin::name_of_site(&site)?,
        push: terms.push.clone(),
        pull: terms.pull.clone(),
        takes: takes(with)?,
        accept: terms.accept,
        clock: heads::clock(None, As::OfSnapshot)?,
        bundle_bytes_max: terms.options.bundle_bytes,
        now_ms: run::now_ms(),
    })
}
