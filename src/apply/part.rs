//! A part of a transaction, as it is kept in `gundb.inbox`: a bundle.

use crate::apply::EVENT_BYTES_MAX;
use crate::catalog::{self, Letter, Letters};
use crate::error::{Error, Result, internal, state};
use gundb_core::bundle::{self, Bundle, EpochPart, From, WireLimits, decode_bundle, encode_bundle};
use gundb_core::{Clock, EpochRecord, Event, Hlc, Transaction, TransactionId};
use std::collections::BTreeMap;

/// How tightly a part is compressed.
const LEVEL: i32 = 1;

/// A part of a transaction.
pub struct Part {
    pub events: Vec<Event>,
    /// What they refer to, if it has not come with an earlier part.
    pub epochs: Vec<EpochRecord>,
    /// The greatest stamp of the whole transaction, as far as this part knows.
    pub ends: Hlc,
    pub is_last: bool,
}

/// How much a message may hold here.
pub fn limits() -> WireLimits {
    // An event may have been appended where gundb.max_event_size is greater.
    WireLimits::for_events_of(EVENT_BYTES_MAX as u64)
}

impl Part {
    /// Keeps it.
    pub fn keep(self, under: &Letters, index: u64, id: TransactionId) -> Result<()> {
        let epochs = self.epochs.into_iter();
        let bundle = Bundle {
            site: id.site,
            run: id.run,
            number: index,
            from: From::Clock(Clock::new()),
            epochs: epochs.map(|EpochRecord { epoch, clock }| EpochPart { epoch, base: None, clock }).collect(),
            transactions: vec![Transaction { id, events: self.events, ends: self.ends }],
            part: Some(bundle::Part { index, is_last: self.is_last }),
        };
        let bundle = encode_bundle(&bundle, LEVEL);
        catalog::store_letter(&Letter { under: under.clone(), part: Some(index), is_last: self.is_last, bundle })
    }

    /// One that was kept.
    pub fn kept(under: &Letters, index: u64) -> Result<Part> {
        let letter = catalog::letter(under, Some(index))?;
        let letter = letter.ok_or_else(|| internal("a stored part of a transaction is not there"))?;
        let bundle = decode_bundle(&letter.bundle, &limits())
            .map_err(|why| internal(format!("a stored part of a transaction is damaged: {why}")))?;
        let epochs = whole_epochs(&bundle.epochs)?;
        let transaction = bundle.transactions.into_iter().next();
        let Transaction { events, ends, .. } =
            transaction.ok_or_else(|| internal("a stored part of a transaction is empty"))?;
        Ok(Part { events, epochs, ends, is_last: letter.is_last })
    }
}

/// Epochs of a bundle that stands alone: whole, or told against an earlier one in it.
pub fn whole_epochs(parts: &[EpochPart]) -> Result<Vec<EpochRecord>> {
    let mut last: BTreeMap<_, EpochRecord> = BTreeMap::new();
    let mut whole = Vec::with_capacity(parts.len());
    for part in parts {
        let run = (part.epoch.site, part.epoch.run);
        let clock = match part.base {
            None => part.clock.clone(),
            Some(number) => {
                let base = last.get(&run).filter(|base| base.epoch.number == number);
                let base = base.ok_or_else(|| {
                    Error::new(state::INVALID_BINARY, "the bundle is malformed")
                        .detail("An epoch in it is told against one that is not in it.")
                })?;
                base.clock.join(&part.clock)
            }
        };
        let record = EpochRecord { epoch: part.epoch, clock };
        last.insert(run, record.clone());
        whole.push(record);
    }
    Ok(whole)
}
