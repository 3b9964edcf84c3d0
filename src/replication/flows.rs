//! Which streams flow between this site and a peer, and how this site says so.

use crate::catalog::{self, Grant, Peer};
use crate::error::{Error, Result, internal, state};
use crate::replication::peer::Options;
use crate::scan::As;
use crate::{admin, heads, run};
use gundb_core::store::Link;
use gundb_core::sync::filter::Filter;
use gundb_core::sync::message::{Accept, Hello, PROTOCOL};
use gundb_core::sync::routes::Routes;
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

/// With whom a session is.
#[derive(Debug, Clone, Copy)]
pub enum With<'a> {
    /// A peer that this site dials, or that `gundb run` serves.
    Peer(&'a str),
    /// One that has dialled in, as this role.
    Guest(&'a str),
}

impl With<'_> {
    /// What the link is known by.
    fn link(self) -> String {
        match self {
            With::Peer(name) => format!("peer {name}"),
            With::Guest(role) => format!("role {role}"),
        }
    }
}

/// All links by which events may come here.
fn links() -> Result<Vec<Link>> {
    let left = excluded(&catalog::left_streams()?);
    let mut links = Vec::new();
    let mut add = |with: With, patterns: &[String], any: bool, is_dialled| -> Result<()> {
        let (name, pull) = (with.link(), filter(patterns, &left)?);
        links.push(Link { name, pull, accept: if any { Accept::Any } else { Accept::Own }, is_dialled });
        Ok(())
    };
    for peer in catalog::peers()?.into_iter().filter(|peer| !peer.is_paused) {
        add(With::Peer(&peer.name), &peer.pull, peer.accepts_any, true)?;
    }
    for (role, grant) in catalog::grants()? {
        add(With::Guest(&role), &grant.push, grant.accepts_any, false)?;
    }
    Ok(links)
}

/// Whether this site takes a stream of this name from anybody.
pub fn is_taken(name: &str) -> Result<bool> {
    Ok(links()?.iter().any(|link| link.pull.matches(name)))
}

/// Hears a peer's hello: by which ways events come to it, and so here.
pub fn hear(terms: &Terms, with: With, theirs: &Hello) -> Result<()> {
    let ((own, run), links) = (own_run()?, links()?);
    if (own, run) != (theirs.site, theirs.run) {
        let is_dialled = matches!(with, With::Peer(_));
        let over = Link { name: with.link(), pull: terms.pull.clone(), accept: terms.accept, is_dialled };
        catalog::change_links(|known| known.hear(own, &links, &over, theirs))?;
    }
    Ok(())
}

/// What comes here at all, by all that is known of the ways.
pub fn routes_here() -> Result<Routes> {
    let (own, _) = own_run()?;
    Ok(Routes::to(own, &catalog::links()?.ways, &Vec::from_iter(catalog::known_streams()?)))
}

/// This site, and its run.
pub fn own_run() -> Result<(SiteId, Run)> {
    let (_, running) = run::open()?;
    let run = Run::new(running.run).ok_or_else(|| internal("a run was opened without a number"))?;
    Ok((SiteId(Uuid::from_bytes(running.site)), run))
}

/// What this site says first to a peer: through the active snapshot.
pub fn hello(terms: &Terms) -> Result<Hello> {
    let ((site, run), links) = (own_run()?, links()?);
    let known = catalog::change_links(|known| known.say(site, &links))?;
    Ok(Hello {
        protocol: (PROTOCOL, PROTOCOL),
        software: format!("gundb {}", env!("CARGO_PKG_VERSION")),
        site,
        run,
        name: admin::name_of_site(&site)?,
        push: terms.push.clone(),
        pull: terms.pull.clone(),
        accept: terms.accept,
        ways: known.ways,
        clock: heads::clock(None, As::OfSnapshot)?,
        bundle_bytes_max: terms.options.bundle_bytes,
        now_ms: run::now_ms(),
    })
}
