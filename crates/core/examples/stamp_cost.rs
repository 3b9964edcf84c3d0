//! What the stamp of one event costs in this crate: printing its data, hashing its content, one step of the chain. Prints nanoseconds.
//!
//! ```sh
//! cargo run --release -p gundb-core --example stamp_cost
//! ```

use std::hint::black_box;
use std::time::Instant;

use gundb_core::{
    Chain, Clock, Dot, Header, Hlc, Json, Lane, Limits, Merge, Printer, Row, Run, Schema, SiteId, Step, StreamId,
    content_hash,
};
use uuid::Uuid;

const ROUNDS: u32 = 400_000;

const SCHEMA: &str = r#"{"type": "object", "required": ["sku", "qty", "place"], "properties": {
    "lot": {"type": "string", "maxLength": 20}, "qty": {"type": "integer", "minimum": 1}, "sku": {"type": "string", "pattern": "^[A-Z]-[0-9]+$"},
    "note": {"type": "string"}, "place": {"type": "string"}, "price": {"type": "number", "minimum": 0}, "weight": {"type": "number"},
    "labels": {"type": "array", "items": {"enum": ["fragile", "cold", "export"]}}, "supplier": {"type": "string"}, "by": {"type": "string"}}}"#;

fn main() {
    let data = r#"{"lot": "2026-11-B", "qty": 3, "sku": "A-1", "note": "two pallets, one of them damaged at the corner", "place": "dock 2", "price": 12.50, "labels": ["fragile", "cold", "export"], "supplier": "Duval & fils"}"#;
    let header = Header {
        xact: Hlc::new(1_795_394_467_123, 5).expect("a stamp"),
        hlc: Hlc::new(1_795_394_467_123, 6).expect("a stamp"),
        id: Uuid::from_u128(0x018f_3a5e_7c00_7000_8000_0000_0000_0001),
        kind: "Received",
        epoch: 42,
    };
    let salt = [0xa5; 16];
    let (site, stream) = (SiteId(Uuid::from_u128(1)), StreamId::of_name("stock_moves"));
    let lane = Lane::new(Run::new(1).expect("a run"), 0);
    let genesis = Chain::genesis(site, stream, lane);

    println!("data of {} bytes", data.len());
    let mut chain = genesis;
    measure("chain step, with content hash", || {
        let content = content_hash(&salt, Some("A-1"), black_box(data), "{}");
        chain = chain.next(&header, &content);
    });
    measure("content hash", || {
        black_box(content_hash(&salt, Some("A-1"), black_box(data), "{}"));
    });
    let content = content_hash(&salt, Some("A-1"), data, "{}");
    measure("chain step", || chain = chain.next(&header, black_box(&content)));
    black_box(chain);

    let value = Json::parse(data, Limits::default()).expect("JSON");
    let mut text = String::new();
    measure("printing the data", || {
        let mut printer = Printer::reusing(std::mem::take(&mut text), 1 << 26);
        value.print(&mut printer).expect("small");
        text = printer.finish();
    });
    measure("parsing the data", || {
        black_box(Json::parse(black_box(data), Limits::default()).expect("JSON"));
    });

    let schema = Schema::compile(SCHEMA).expect("a schema");
    let parsed = serde_json::Value::from(&value);
    measure("checking the data by a schema of ten properties", || {
        schema.validate(black_box(&parsed)).expect("valid data");
    });
    measure("the same, from text", || {
        let parsed = serde_json::Value::from(&Json::parse(black_box(data), Limits::default()).expect("JSON"));
        schema.validate(&parsed).expect("valid data");
    });

    let clock: Clock = (1..=1000)
        .map(|run| Dot { site, stream, lane: Lane::new(Run::new(run).expect("a run"), 0), seq: run })
        .collect();
    let dot = Dot { site, stream, lane: Lane::new(Run::new(500).expect("a run"), 0), seq: 501 };
    measure("covers, of 1000 lanes", || {
        black_box(black_box(&clock).covers(&dot));
    });
    let mut last = header.hlc;
    measure("tick", || last = Hlc::tick(black_box(last), header.hlc.millis()).expect("not the year 9999"));
    merge_cost(site, stream);
}

/// 32 lanes of transactions of one row, in turn.
fn merge_cost(site: SiteId, stream: StreamId) {
    const LANES: u64 = 32;
    let key =
        |number: u64| gundb_core::LaneKey { site, stream, lane: Lane::new(Run::new(1).expect("a run"), number as u16) };
    let rows = u64::from(ROUNDS) / LANES;
    let started = Instant::now();
    let mut merge = Merge::new((0..LANES).map(key), usize::MAX);
    let mut transactions = 0u32;
    loop {
        match merge.step() {
            Step::NeedRows(lane) => {
                let stamp = |seq: u64| Hlc::new(seq, lane.0 as u16).expect("a stamp");
                let supplied =
                    (1..=rows).map(|seq| Row { seq, hlc: stamp(seq), xact: stamp(seq), wide: false, counts: true });
                merge.supply(lane, supplied, true).expect("ascending rows");
            }
            Step::Transaction(placed) => {
                black_box(placed);
                transactions += 1;
            }
            Step::NeedSpan(_) | Step::Full | Step::End => break,
        }
    }
    report("merging a transaction of one row, 32 lanes", started, transactions);
}

fn measure(what: &str, mut once: impl FnMut()) {
    (0..ROUNDS / 10).for_each(|_| once());
    let started = Instant::now();
    (0..ROUNDS).for_each(|_| once());
    report(what, started, ROUNDS);
}

fn report(what: &str, started: Instant, rounds: u32) {
    println!("{:>8.1} ns  {what}", started.elapsed().as_nanos() as f64 / f64::from(rounds));
}
