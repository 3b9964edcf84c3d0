//! Events of other sites, and of earlier runs of this one, into this database: with the places, stamps, contexts and
//! chains that they have.
//!
//! What becomes of each transaction [`gundb_core::apply`] says; here it is found what is held, and stored what is to
//! be, by statements that take a whole delivery at once. One transaction of the database does all: events, epochs, what
//! waits, what was refused, and the views. A transaction that came in parts is read, judged and stored part by part.
//!
//! Must hold: nobody else applies events of the same sites meanwhile; no lane is locked, and no row of a view is waited
//! for; before commit this site's clock is past every stamp received; an epoch is drawn for what was applied
//! (`crate::epoch`).
//!
//! | file | one noun |
//! |---|---|
//! | `here` | what this site holds |
//! | `batch` | whole transactions, at once |
//! | `large` | one transaction, part by part |
//! | `part` | a part of one, as it is kept |
//! | `store` | events into their streams and views |
//! | `ids` | ids that come again within a run |
//! | `rows` | events written without plans |
//! | `storing` | which rows pass the stamp |
//! | `document` | transactions as they wait |
//! | `waiting` | what waits, tried again |
//! | `testing` | functions by which tests apply events; test builds only |

mod batch;
mod document;
mod here;
mod ids;
mod large;
mod part;
mod rows;
mod store;
mod storing;
#[cfg(debug_assertions)]
mod testing;
mod waiting;

pub use large::Large;
pub use part::{Part, limits, whole_epochs};
pub use storing::is_storing;
pub use waiting::{retry, retry_due, waiting_clock};

use crate::apply::batch::Batch;
use crate::apply::document::Waiting as Waits;
use crate::apply::here::{Here, Lacking};
use crate::catalog;
use crate::doubt::Waiting;
use crate::error::Result;
use crate::shared::Database;
use crate::{lane, run, settings, stamp};
use gundb_core::apply::{Bounds, Incoming, Judge, Untaken, Verdict};
use gundb_core::{EpochRecord, Hlc, Limits, SiteId};
use std::collections::BTreeSet;

/// What comes at once: transactions in causal order, those of a lane in the lane's, and the epochs that they refer to.
#[derive(Default)]
pub struct Delivery {
    pub transactions: Vec<Incoming>,
    /// After those, one that came in parts.
    pub large: Option<Large>,
    pub epochs: Vec<EpochRecord>,
    /// Whether what is of streams that were dropped here is left out, as if it had not been sent: who sends it may not know
    /// of that yet. Else it waits until they are declared again.
    pub leaves_out: bool,
    /// What was refused before, on which these may depend.
    pub refused: Untaken,
}

/// Bytes of an event's documents: what the setting allows at most, wherever it was appended.
pub const EVENT_BYTES_MAX: usize = 256 << 20;

/// What became of a transaction.
pub struct Outcome {
    /// How many events it has.
    pub events: u64,
    pub verdict: Verdict,
}

/// An apply at work.
struct Work<'a> {
    database: &'static Database,
    here: &'a Here,
    bounds: &'a Bounds,
    leaves_out: bool,
    judge: Judge<'a, Here>,
}

/// What is judged and stored together.
enum Group {
    Batch(Batch),
    Large(Large),
}

/// Applies a delivery, and what waits of its sites and of those given. Says what became of each of its transactions.
pub fn apply(delivery: Delivery, waiting_of: &BTreeSet<SiteId>) -> Result<Vec<Outcome>> {
    let mut sites = waiting_of.clone();
    sites.extend(delivery.transactions.iter().map(|incoming| incoming.transaction.id.site));
    sites.extend(delivery.large.iter().map(|large| large.id.site));
    let (database, running) = run::open()?;
    lane::lock_origins(sites.iter().copied())?;
    let may_wait = database.waiting(Waiting::Staged).may_be();
    let mut groups = if may_wait { waiting(&sites)? } else { Vec::new() };
    let waiting = if may_wait { waiting_of_others(&sites)? } else { Untaken::default() };
    add(&mut groups, delivery.transactions, false);
    groups.extend(delivery.large.map(Group::Large));
    let here = Here::begin(&running, Lacking { waiting, refused: delivery.refused })?;
    here.learn(&delivery.epochs)?;
    let bounds = bounds();
    let mut work = Work {
        database,
        here: &here,
        bounds: &bounds,
        leaves_out: delivery.leaves_out,
        judge: Judge::new(&here, &bounds),
    };
    let mut outcomes = Vec::new();
    for group in groups {
        match group {
            Group::Batch(batch) => outcomes.append(&mut work.batch(batch)?),
            Group::Large(large) => outcomes.extend(work.large(&large)?),
        }
    }
    Ok(outcomes)
}

/// What waits of these sites.
fn waiting(sites: &BTreeSet<SiteId>) -> Result<Vec<Group>> {
    let mut groups = Vec::new();
    for staged in catalog::staged(sites)? {
        match document::read(&staged.document)? {
            Waits::Whole(transaction) => {
                add(&mut groups, vec![Incoming { transaction, accepted: staged.accepted }], true);
            }
            Waits::InParts(waiter) => groups.push(Group::Large(Large::that_waited(staged, waiter))),
        }
    }
    Ok(groups)
}

/// Adds whole transactions to the last group that they fit into.
fn add(groups: &mut Vec<Group>, transactions: Vec<Incoming>, have_waited: bool) {
    if transactions.is_empty() {
        return;
    }
    if !matches!(groups.last(), Some(Group::Batch(_))) {
        groups.push(Group::Batch(Batch::default()));
    }
    if let Some(Group::Batch(batch)) = groups.last_mut() {
        batch.staged += if have_waited { transactions.len() } else { 0 };
        batch.all.extend(transactions);
    }
}

/// What waits of other sites than these.
fn waiting_of_others(sites: &BTreeSet<SiteId>) -> Result<Untaken> {
    let mut waiting = Untaken::default();
    for staged in catalog::staged_of_others(sites)? {
        waiting.add(&staged.id, document::read(&staged.document)?.firsts());
    }
    Ok(waiting)
}

fn bounds() -> Bounds {
    let ahead = run::now_ms() + settings::max_time_drift_ms();
    Bounds {
        stamp_max: Hlc::new(ahead, u16::MAX).unwrap_or(Hlc::MAX),
        json: Limits { depth: crate::jsonb::DEPTH_MAX, bytes: EVENT_BYTES_MAX },
        kind_bytes_max: stamp::TYPE_MAX_BYTES,
        key_bytes_max: stamp::KEY_MAX_BYTES,
    }
}
