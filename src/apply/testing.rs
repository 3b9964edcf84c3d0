//! Functions by which tests bring foreign events here. They exist in builds with debug assertions only, and no script of
//! the extension declares them: `tests/sql/include/apply.sql` does.

use crate::apply::document::{EpochDocument, TransactionDocument};
use crate::apply::{Delivery, Large, Part, apply};
use crate::call::{Call, ret};
use crate::catalog::Letters;
use crate::error::{Error, Result, state};
use crate::{jsonb, sql_function};
use gundb_core::apply::{Incoming, Verdict, Wait};
use gundb_core::json::Printer;
use gundb_core::{Chain, EpochRecord, Lane, SiteId, StreamId, Transaction};
use pgrx::pg_sys::Datum;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DeliveryDocument {
    transactions: Vec<TransactionDocument>,
    #[serde(default)]
    epochs: Vec<EpochDocument>,
}

/// The delivery that the argument describes.
fn delivery(call: Call) -> Result<(Vec<Transaction>, Vec<EpochRecord>)> {
    let bytes = call.required(call.bytes(0), "delivery")?;
    let mut printer = Printer::new(1 << 30);
    let malformed = |why: String| Error::new(state::INVALID_PARAMETER, format!("not a delivery: {why}"));
    jsonb::print(bytes, &mut printer).map_err(|why| malformed(format!("{why:?}")))?;
    let document: DeliveryDocument =
        serde_json::from_str(printer.as_str()).map_err(|why| malformed(why.to_string()))?;
    let transactions = document.transactions.iter().map(Transaction::try_from).collect::<Result<Vec<_>>>()?;
    let epochs = document.epochs.iter().map(EpochRecord::try_from).collect::<Result<Vec<_>>>()?;
    Ok((transactions, epochs))
}

/// A verdict in words.
fn shown(verdict: &Verdict) -> [Option<Datum>; 2] {
    let (outcome, reason) = match verdict {
        Verdict::Take(fresh) => ("taken", Some(format!("{} events", fresh.count))),
        Verdict::Held => ("held", None),
        Verdict::Wait(Wait::Time(_)) => ("waits", Some("for its time".to_owned())),
        Verdict::Wait(Wait::Stream(_)) => ("waits", Some("for its stream".to_owned())),
        Verdict::Wait(Wait::Behind(_) | Wait::Cause(_)) => ("waits", Some("behind another".to_owned())),
        Verdict::Refuse(refusal) => ("refused", Some(refusal.problem.to_string())),
    };
    [Some(ret::text(outcome)), reason.map(|reason| ret::text(&reason))]
}

sql_function! {
    /// `test_apply(delivery jsonb)`: applies it, and says what became of each transaction.
    fn gundb_test_apply(call) {
        let (transactions, epochs) = delivery(call)?;
        let transactions =
            transactions.into_iter().map(|transaction| Incoming { transaction, accepted: false }).collect();
        let outcomes = apply(Delivery { transactions, epochs, ..Delivery::default() }, &BTreeSet::new())?;
        let rows = call.rows();
        for outcome in outcomes {
            rows.push(&shown(&outcome.verdict));
        }
        Ok(rows.done())
    }
}

sql_function! {
    /// `test_apply_in_parts(delivery jsonb, events bigint)`: as `test_apply`, but each transaction in parts of so many
    /// events, lane by lane.
    fn gundb_test_apply_in_parts(call) {
        let (transactions, epochs) = delivery(call)?;
        let events_max = call.required(call.int8(1), "events")?.max(1) as usize;
        let rows = call.rows();
        for Transaction { id, mut events, ends } in transactions {
            events.sort_by_key(|event| event.dot);
            let (under, count) = (Letters::of("a test", id), events.chunks(events_max).len());
            for (index, events) in events.chunks(events_max).enumerate() {
                let epochs = if index == 0 { epochs.clone() } else { Vec::new() };
                let part = Part { events: events.to_vec(), epochs, ends, is_last: index + 1 == count };
                part.keep(&under, index as u64, id)?;
            }
            let large = Some(Large::that_came(id, under, false));
            for outcome in apply(Delivery { large, ..Delivery::default() }, &BTreeSet::new())? {
                rows.push(&shown(&outcome.verdict));
            }
        }
        Ok(rows.done())
    }
}

sql_function! {
    /// `test_chains(delivery jsonb)`: the chains that its events should have, in order, each lane from its beginning.
    fn gundb_test_chains(call) {
        let (transactions, _) = delivery(call)?;
        let mut heads: BTreeMap<(SiteId, StreamId, Lane), Chain> = BTreeMap::new();
        let rows = call.rows();
        for (place, event) in transactions.iter().flat_map(|transaction| &transaction.events).enumerate() {
            let dot = event.dot;
            let genesis = || Chain::genesis(dot.site, dot.stream, dot.lane);
            let head = heads.entry((dot.site, dot.stream, dot.lane)).or_insert_with(genesis);
            *head = event.chain_after(head);
            rows.push(&[Some(ret::int8(place as i64 + 1)), Some(ret::text(&head.to_string()))]);
        }
        Ok(rows.done())
    }
}
