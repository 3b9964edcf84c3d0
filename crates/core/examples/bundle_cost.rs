//! What it costs to write and read a bundle: nanoseconds and bytes an event, by what a transaction has, and by level of compression.
//!
//! ```sh
//! cargo run --release -p gundb-core --example bundle_cost
//! ```

use std::hint::black_box;
use std::time::{Duration, Instant};

use gundb_core::bundle::{Bundle, From, WireLimits, decode_bundle, encode_bundle};
use gundb_core::{Chain, Clock, Dot, Event, Hlc, Lane, Run, SiteId, StreamId, Transaction, content_hash};
use uuid::Uuid;

fn main() {
    println!("| transactions | events each | level | bytes an event | ns to encode one | ns to decode one |");
    println!("|---|---|---|---|---|---|");
    for (transactions, events) in [(1, 1), (100, 1), (1_000, 1), (10_000, 1), (1, 10_000)] {
        let bundle = bundle(transactions, events);
        for level in [0, 1, 3] {
            let bytes = encode_bundle(&bundle, level);
            let all = (transactions * events) as f64;
            let (encode, decode) = (
                measure(|| drop(black_box(encode_bundle(black_box(&bundle), level)))),
                measure(|| {
                    drop(black_box(decode_bundle(black_box(&bytes), &WireLimits::default()).expect("a bundle")))
                }),
            );
            println!(
                "| {transactions} | {events} | {level} | {:.1} | {:.0} | {:.0} |",
                bytes.len() as f64 / all,
                encode / all,
                decode / all
            );
        }
    }
}

/// Nanoseconds of one call, over half a second.
fn measure(mut once: impl FnMut()) -> f64 {
    once();
    let (started, mut calls) = (Instant::now(), 0u32);
    while started.elapsed() < Duration::from_millis(500) {
        once();
        calls += 1;
    }
    started.elapsed().as_nanos() as f64 / f64::from(calls)
}

/// Events as a shop's eight connections append them, 100 µs apart.
fn bundle(transactions: u64, events_each: u64) -> Bundle {
    let (site, run) = (SiteId(Uuid::from_u128(0x0d9f_7a5c_6d1e_4f9b_8f0e_2f6f_3a7a_9b10)), Run::new(0x9f3c_01ab_77e2));
    let (run, stream) = (run.expect("a run"), StreamId::of_name("stock_moves"));
    let mut count = 0u64;
    let mut seqs = [0; 8];
    let transactions = (0..transactions).map(|transaction| {
        let number = (transaction % 8) as u16;
        let mut xact = None;
        let events = (0..events_each).map(|_| {
            count += 1;
            let seq = seqs.get_mut(usize::from(number)).expect("eight lanes");
            *seq += 1;
            let dot = Dot::new(site, stream, Lane::new(run, number), *seq).expect("a seq");
            let millis = 1_795_394_467_123 + count / 10;
            let hlc = Hlc::new(millis, (count % 10) as u16).expect("a stamp");
            let noise = content_hash(&[0; 16], None, &count.to_string(), "");
            let (salt, chain) = noise.split_at(16);
            let random = u128::from_be_bytes(chain.try_into().expect("half")) >> 54;
            Event {
                dot,
                hlc,
                xact: *xact.get_or_insert(hlc),
                epoch: 42,
                id: Uuid::from_u128(u128::from(millis) << 80 | 7 << 76 | 1 << 63 | random & ((1 << 62) - 1)),
                kind: if count.is_multiple_of(3) { "Sold".into() } else { "Received".into() },
                key: None,
                data: format!(
                    r#"{{"qty": {}, "sku": "A-{}", "place": "dock {}"}}"#,
                    count % 7,
                    count % 1_000,
                    count % 5
                ),
                meta: "{}".into(),
                salt: salt.try_into().expect("half"),
                chain: Chain(chain.try_into().expect("half")),
            }
        });
        let events: Vec<Event> = events.collect();
        Transaction::new(events.first().expect("events").transaction(), events)
    });
    let transactions = transactions.collect();
    let from = From::Session { digest: [7; 16], beside: Clock::new() };
    Bundle { site, run, number: 1, from, epochs: Vec::new(), transactions, part: None }
}
