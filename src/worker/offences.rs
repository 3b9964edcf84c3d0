//! What a peer sends that cannot be: once may be an accident, in session after session it is paused for it.
//!
//! Must hold: a fork is no offence. Who sends it may have been told it, and what does not depend on it goes on.

use crate::catalog;
use crate::error::Result;
use crate::replication;
use crate::shared::Database;
use crate::worker::transaction::transaction;
use gundb_core::apply::{Problem, Refusal, Verdict};
use pgrx::pg_sys::Oid;
use uuid::Uuid;

/// Sessions in a row with an offence, after which a peer is paused.
const SESSIONS_MAX: u32 = 5;

/// Notes what sites that dial in have brought: their sessions' transactions are rolled back for it.
pub fn note(mine: &Database) -> Result<()> {
    for (role, site, why) in mine.take_offences().into_iter() {
        let (site, why) = (Uuid::from_bytes(site).to_string(), why.text());
        transaction(|| match Oid::from(role) {
            Oid::INVALID => note_served(&site, &why),
            role => catalog::note_offence(&site, &catalog::role_name(role)?, &why, SESSIONS_MAX as i32),
        })?;
    }
    Ok(())
}

/// The same of a site with which `gundb run` has a session on this site's behalf.
fn note_served(site: &str, why: &str) -> Result<()> {
    let Some(peer) = catalog::served_peer_of(site)? else { return Ok(()) };
    catalog::note_offence(&peer, "", why, SESSIONS_MAX as i32)?;
    match catalog::take_pause_of(&peer)? {
        Some(reason) => replication::pause(&peer, &reason),
        None => Ok(()),
    }
}

#[derive(Debug, Default)]
pub struct Offences {
    /// Sessions in a row.
    sessions: u32,
    /// Whether there was one since the last session began.
    is_fresh: bool,
}

impl Offences {
    /// A session begins: the peer has said a hello that can be read.
    pub fn begin_session(&mut self) {
        if !core::mem::take(&mut self.is_fresh) {
            self.sessions = 0;
        }
    }

    /// The session is ended for it, or goes on without what was refused. Says why the peer is to be paused, if it is.
    pub fn one_more(&mut self, why: &str) -> Option<String> {
        self.sessions += 1;
        self.is_fresh = true;
        if self.sessions < SESSIONS_MAX {
            return None;
        }
        *self = Offences::default();
        Some(format!("{SESSIONS_MAX} sessions in a row brought what cannot be; the last: {why}"))
    }
}

/// What was refused for good.
pub fn refusals(verdicts: &[Verdict]) -> impl Iterator<Item = &Refusal> {
    verdicts.iter().filter_map(|verdict| match verdict {
        Verdict::Refuse(refusal) if !refusal.problem.is_gap() => Some(refusal),
        _ => None,
    })
}

/// Whether a peer should have refused this itself.
pub fn is_one(problem: &Problem) -> bool {
    matches!(problem, Problem::Malformed(_))
}
