//! Whether the checker believes sites that are sound, and sees what is planted in others.
//!
//! `GUNDB_HISTORIES` says how many histories of each kind, `GUNDB_SEED` which.

use gundb_clusters::history::model::{Fault, Model};
use gundb_clusters::history::{Arbitration, Kind, check};
use gundb_clusters::seed;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// As many as the histories from real servers have.
const TRANSACTIONS: usize = 4_000;

#[test]
fn sound_histories_are_accepted() {
    let mut random = seed::generator();
    let mut longest = Duration::ZERO;
    for number in 0..seed::count("GUNDB_HISTORIES", 2) {
        for stamps in [Arbitration::Transactions, Arbitration::Writes] {
            let model = Model { stamps, sites: 2 + number % 4, ..Model::new(TRANSACTIONS, Fault::None) };
            let history = model.tell(&mut random);
            let begun = Instant::now();
            let checked = check(&history, stamps).unwrap_or_else(|anomaly| panic!("{model:?}: {anomaly}"));
            longest = longest.max(begun.elapsed());
            assert!(checked.reads > TRANSACTIONS / 2 && checked.ordered > TRANSACTIONS, "{checked:?}");
        }
    }
    println!("the longest check took {longest:.1?}");
}

#[test]
fn stamps_for_each_write_do_not_put_transactions_in_order() {
    let mut random = seed::generator();
    let model = Model { stamps: Arbitration::Writes, keys: 15, ..Model::new(TRANSACTIONS / 2, Fault::None) };
    let history = model.tell(&mut random);
    assert_eq!(check(&history, Arbitration::Transactions).expect_err("a circle").kind, Kind::Divergence);
    assert!(check(&history, Arbitration::Writes).is_ok());
}

#[test]
fn every_history_with_a_planted_fault_is_refused() {
    let mut random = seed::generator();
    let faults = [
        Fault::DroppedApply(0.01),
        Fault::SplitApply(0.1),
        Fault::LateApply(0.1),
        Fault::DoubleApply(0.01),
        Fault::ArrivalCounts,
        Fault::Unawaited(0.01),
        Fault::LostCommit(0.01),
        Fault::KeptRollback,
    ];
    for fault in faults {
        let mut found: BTreeMap<Kind, usize> = BTreeMap::new();
        for _ in 0..seed::count("GUNDB_HISTORIES", 2) {
            let history = Model::new(TRANSACTIONS, fault).tell(&mut random);
            for arbitration in [Arbitration::Transactions, Arbitration::Writes] {
                match check(&history, arbitration) {
                    Err(anomaly) => *found.entry(anomaly.kind).or_default() += 1,
                    Ok(checked) => panic!("{fault:?} is not seen: {checked:?}"),
                }
            }
        }
        println!("{fault:?}: {found:?}");
    }
}

#[test]
fn how_long_a_history_must_be_to_show_a_fault() {
    let mut random = seed::generator();
    let histories = 30 * seed::count("GUNDB_HISTORIES", 2);
    for transactions in [50, 100, 200, 400, 1000] {
        let mut missed = 0;
        for _ in 0..histories {
            let history = Model::new(transactions, Fault::DroppedApply(0.01)).tell(&mut random);
            missed += usize::from(check(&history, Arbitration::Writes).is_ok());
        }
        println!("1 % of applies dropped, {transactions} transactions: {missed} of {histories} histories are accepted");
    }
}
