//! What comes: deliveries and parts, as [`gundb_core::sync`] hands them out, into this database.
//!
//! Must hold: what comes in parts counts once all have come, and then whole; definitions count only where they came from
//! a peer that may bring anybody's events.

use crate::apply::{self, Delivery, Large, Outcome};
pub use crate::apply::{limits, whole_epochs};
use crate::catalog::{self, Letters};
use crate::doubt::Waiting;
use crate::error::Result;
use crate::scan::As;
use crate::{heads, run, spi, transaction};
use gundb_core::apply::{Incoming, Verdict};
use gundb_core::sync::filter::system_stream;
use gundb_core::sync::message::Accept;
use gundb_core::sync::receiver::{self, Stage};
use gundb_core::{Clock, Event, SiteId, StreamId, Transaction, TransactionId};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

/// What this site says of itself to the receiving end of a session.
pub struct Here {
    clock: Clock,
    names: RefCell<BTreeMap<StreamId, String>>,
}

impl Here {
    /// As of now. `names` are those of streams that were known before.
    pub fn now(names: BTreeMap<StreamId, String>) -> Result<Here> {
        let clock = spi::with_latest_snapshot(|| heads::clock(None, As::OfSnapshot))?;
        Ok(Here { clock, names: RefCell::new(names) })
    }
}

impl receiver::Here for Here {
    fn clock(&self) -> Clock {
        self.clock.clone()
    }

    fn stream_name(&self, stream: StreamId) -> Option<String> {
        self.names.borrow().get(&stream).cloned()
    }
}

/// The names of all streams that are known here, by id.
pub fn known_streams() -> Result<BTreeMap<StreamId, String>> {
    let names = catalog::known_streams()?.into_iter();
    Ok(names.map(|name| (StreamId::of_name(&name), name)).collect())
}

/// Whether definitions are among what is to be applied.
pub fn defines(delivery: &receiver::Delivery) -> bool {
    let mut events = delivery.transactions.iter().flat_map(|transaction| &transaction.events);
    let system = system_stream();
    events.any(|event| event.dot.stream == system)
}

/// Applies what a peer has brought. Says what became of each transaction, in their order.
pub fn apply(peer: &str, accept: Accept, mut delivery: receiver::Delivery) -> Result<Vec<Verdict>> {
    let large = match delivery.completes {
        Some(whole) => complete(peer, accept, whole, &mut delivery)?,
        None => None,
    };
    let transactions =
        delivery.transactions.into_iter().map(|transaction| Incoming { transaction, accepted: false }).collect();
    let receiver::Delivery { epochs, refused, .. } = delivery;
    let delivery = Delivery { transactions, large, epochs, leaves_out: true, refused };
    Ok(apply_trusting(accept, delivery)?.into_iter().map(|outcome| outcome.verdict).collect())
}

/// As [`apply`], where all parts are there.
pub fn apply_trusting(accept: Accept, delivery: Delivery) -> Result<Vec<Outcome>> {
    if accept == Accept::Any {
        let transactions = delivery.transactions.iter().map(|incoming| &incoming.transaction);
        let system = system_stream();
        let defines = |event: &&Event| event.dot.stream == system;
        let definers = transactions.flat_map(|transaction| &transaction.events).filter(defines);
        let definers = definers.map(|event| event.dot.site).collect::<BTreeSet<SiteId>>();
        if !definers.is_empty() {
            catalog::add_definers(&definers.into_iter().collect::<Vec<_>>())?;
        }
    }
    let outcomes = spi::as_owner(|| apply::apply(delivery, &BTreeSet::new()))?;
    if outcomes.iter().any(|outcome| matches!(outcome.verdict, Verdict::Wait(_))) {
        // Perhaps for a table that can be made now.
        transaction::leaves_waiting(run::database()?, Waiting::Declared);
    }
    Ok(outcomes)
}

/// Stores a part until the last has come.
pub fn stage(peer: &str, stage: &Stage) -> Result<()> {
    if stage.index == 0 {
        catalog::forget_letters_of(peer)?;
    }
    // Where the transaction ends its last part knows as well.
    let ends = stage.transaction.xact;
    let part = apply::Part { events: stage.events.clone(), epochs: stage.epochs.clone(), ends, is_last: false };
    part.keep(&Letters::of(peer, stage.transaction), stage.index, stage.transaction)
}

/// The transaction whose last part the delivery holds, stored with the others; None where that is the only one.
fn complete(
    peer: &str,
    accept: Accept,
    whole: TransactionId,
    delivery: &mut receiver::Delivery,
) -> Result<Option<Large>> {
    let under = Letters::of(peer, whole);
    let parts = catalog::count_letters(&under)?;
    if parts == 0 {
        return Ok(None);
    }
    let epochs = std::mem::take(&mut delivery.epochs);
    if let Some(Transaction { events, ends, .. }) = delivery.transactions.pop() {
        apply::Part { events, epochs, ends, is_last: true }.keep(&under, parts, whole)?;
    }
    Ok(Some(Large::that_came(whole, under, accept == Accept::Any)))
}
