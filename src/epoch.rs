//! Epochs: what this site had applied of others, and of its own earlier runs, by number within its run.
//!
//! A transaction that applies draws its epoch last, in pre-commit, under a lock that PostgreSQL holds until the commit
//! is visible: so epochs commit in the order of their numbers. Between the moment in which the commit becomes visible
//! and the one in which shared memory says so, a stamp could refer to too small an epoch; so while an epoch is drawn,
//! whoever stamps looks whether its snapshot sees it.
//!
//! Must hold: an event that has seen an applied one names an epoch that covers it; of two stamps of a run the later
//! never names the smaller epoch. (What a trigger of the user's appends while events are applied has seen them too, and
//! names the epoch before: its own is not drawn yet.)

use crate::error::{Error, Result, internal};
use crate::shared::Database;
use crate::{catalog, lane, run, spi, transaction};
use gundb_core::{Clock, Run, SiteId};
use uuid::Uuid;

/// Publishes an epoch that the active snapshot sees; says whether it does.
pub fn publish_if_seen(database: &Database, number: u64) -> Result<bool> {
    let running = database.running();
    let (site, run) = (SiteId(Uuid::from_bytes(running.site)), Run::new(running.run));
    let run = run.ok_or_else(|| internal("a run was opened without a number"))?;
    let seen = catalog::epoch_clock(&site, run, number)?.is_some();
    if seen {
        database.publish_epoch(running.run, number);
    }
    Ok(seen)
}

/// Writes the epoch of what this transaction has applied, if it has.
pub fn before_commit() -> Result<()> {
    let applied = transaction::with(|t| t.applied.values().fold(Clock::new(), |all, clock| all.join(clock)));
    if applied.is_empty() {
        return Ok(());
    }
    let (database, running) = run::open()?;
    lane::lock_epochs()?;
    // The lock shows what was committed meanwhile.
    spi::with_latest_snapshot(|| {
        let before = catalog::last_epoch(&running)?.ok_or_else(|| {
            Error::new(b"55P03", "cannot apply events: the run could not be recorded, since a stream is locked")
                .hint("Run the transaction again.")
        })?;
        let number = database.draw_epoch(running.run).ok_or_else(|| internal("the run ended while it applied"))?;
        transaction::with(|t| t.drawn = Some((running.run, number)));
        catalog::record_epoch(&running, number, &before.join(&applied), database.hlc())
    })
}
