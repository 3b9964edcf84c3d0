//! What the edge store costs beside bare redb: the same bytes, and the same index entries, written without any of gundb's work.
//!
//! GUNDB_BENCH_DIRECTORY says where the files lie: a disk, since in memory a commit costs nothing. GUNDB_BENCH_SECONDS (3) is how long each figure takes,
//! GUNDB_BENCH_ROUNDS (3) how often.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use gundb_node::store::tables::{EVENT, ID, KEYED, LANE};
use gundb_node::view::Definition;
use gundb_node::{Edge, New, Options};
use redb::{Database, ReadableTable, TableDefinition};

const STREAM: &str = "readings";
/// Events of a batch.
const BATCH: u64 = 1_000;

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

fn seconds() -> Duration {
    Duration::from_secs(number("GUNDB_BENCH_SECONDS", 3))
}

fn reading(number: u64) -> New {
    New {
        stream: STREAM.to_owned(),
        kind: "Read".to_owned(),
        key: Some(format!("sensor-{}", number % 500)),
        data: format!(r#"{{"temp": {}.{}, "humidity": {}}}"#, number % 40, number % 10, number % 100),
        ..New::default()
    }
}

/// Does something again and again; how often a second.
fn rate(mut once: impl FnMut(u64) -> u64) -> f64 {
    let (begun, length) = (Instant::now(), seconds());
    let mut done = 0;
    while begun.elapsed() < length {
        done += once(done);
    }
    done as f64 / begun.elapsed().as_secs_f64()
}

/// What a store holds of its events and their index entries, to be written again by bare redb.
struct Rows {
    event: Vec<u8>,
}

fn bare(directory: &Path) -> Database {
    let mut builder = Database::builder();
    builder.set_cache_size(Options::default().cache_bytes).set_concurrency_mode(redb::ConcurrencyMode::SingleWriter);
    builder.create(directory.join("bare.redb")).expect("a database")
}

/// Writes the bytes of an event, and nothing else, or also the entries of its indexes, `count` times in one durable commit.
fn bare_commit(database: &Database, rows: &Rows, first: u64, count: u64, indexes: bool) -> u64 {
    let mut transaction = database.begin_write().expect("a transaction");
    transaction.set_two_phase_commit(true);
    {
        let mut event = transaction.open_table(EVENT).expect("a table");
        for at in first..first + count {
            event.insert(at, rows.event.as_slice()).expect("an insert");
        }
        if indexes {
            let mut id = transaction.open_table(ID).expect("a table");
            let mut keyed = transaction.open_table(KEYED).expect("a table");
            let mut lane = transaction.open_table(LANE).expect("a table");
            for at in first..first + count {
                let (mut id_key, mut keyed_key) = ([0; 24], [0; 20]);
                // Ids ascend with time; keys come again, hashed.
                id_key[..8].copy_from_slice(&at.to_be_bytes());
                id_key[16..].copy_from_slice(&at.to_be_bytes());
                keyed_key[4..12].copy_from_slice(&((at % 500).wrapping_mul(0x9e37_79b9_7f4a_7c15)).to_be_bytes());
                keyed_key[12..].copy_from_slice(&at.to_be_bytes());
                id.insert(&id_key, ()).expect("an insert");
                keyed.insert(&keyed_key, ()).expect("an insert");
            }
            lane.insert(&[1; 40], &[1; 36]).expect("an insert");
        }
    }
    transaction.commit().expect("a commit");
    count
}

fn edge(directory: &Path, name: &str) -> Edge {
    let edge = Edge::create(&directory.join(name), name, Options::default()).expect("a store");
    edge.create_stream(STREAM, false).expect("a stream");
    edge
}

/// Appends of many writers at once.
fn of_writers(edge: &Edge, writers: usize) -> f64 {
    let (done, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for writer in 0..writers {
            let (done, stop) = (&done, &stop);
            scope.spawn(move || {
                let mut number = writer as u64;
                while !stop.load(Relaxed) {
                    edge.append_one(reading(number)).expect("an append");
                    number += 1;
                    done.fetch_add(1, Relaxed);
                }
            });
        }
        std::thread::sleep(seconds());
        stop.store(true, Relaxed);
    });
    done.load(Relaxed) as f64 / begun.elapsed().as_secs_f64()
}

/// Figures, by the rows of `benches/report.py`: printed, and written to the file that GUNDB_BENCH_RESULTS names.
struct Results(Option<std::fs::File>);

impl Results {
    fn new() -> Results {
        let file = std::env::var_os("GUNDB_BENCH_RESULTS");
        Results(file.map(|file| std::fs::File::options().append(true).create(true).open(file).expect("the results")))
    }

    fn record(&mut self, figure: &str, round: u64, rate: f64) {
        println!("{figure:<20} {rate:>10.0}/s");
        if let Some(file) = &mut self.0 {
            writeln!(file, "{figure}\t{round}\t{rate:.1}").expect("the results");
        }
    }
}

fn main() {
    // `cargo test --all-targets` runs this too, and is in a hurry.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let place = std::env::var_os("GUNDB_BENCH_DIRECTORY").map_or_else(std::env::temp_dir, PathBuf::from);
    let directory = tempfile::tempdir_in(place).expect("a directory");
    let directory = directory.path();
    let store = edge(directory, "single");
    let sample = store.append_one(reading(0)).expect("an append");
    let rows = Rows { event: gundb_core::store::encode_event(&store.event(&sample.dot).expect("the event")) };
    println!("events of {} bytes, each durable when it is acknowledged", rows.event.len());
    let database = bare(directory);
    let batches = edge(directory, "batches");
    let viewed = edge(directory, "viewed");
    let columns = r#"{"readings": {"fold": "count"}, "temp": {"fold": "lww", "value": "temp"}, "most": {"fold": "max", "value": "temp"}}"#;
    let definition =
        Definition { stream: STREAM.into(), key: "@key".into(), columns: columns.into(), ..Definition::default() };
    viewed.create_view("sensors", definition).expect("a view");
    let batch = |edge: &Edge, at: u64| {
        edge.append((at..at + BATCH).map(reading).collect(), None).expect("an append").len() as u64
    };
    let mut results = Results::new();
    for round in 1..=number("GUNDB_BENCH_ROUNDS", 3) {
        // Each round writes on where no other has written.
        let at = |part: u64, at: u64| round << 44 | part << 40 | at;
        results.record("redb-single", round, rate(|n| bare_commit(&database, &rows, at(0, n), 1, false)));
        results.record("edge-single", round, rate(|n| store.append_one(reading(n)).map(|_| 1).expect("an append")));
        results.record("edge-64", round, of_writers(&store, 64));
        results.record("redb-indexed", round, rate(|n| bare_commit(&database, &rows, at(1, n), 1, true)));
        results.record("redb-batch", round, rate(|n| bare_commit(&database, &rows, at(2, n), BATCH, true)));
        results.record("edge-batch", round, rate(|n| batch(&batches, n)));
        results.record("edge-batch-view", round, rate(|n| batch(&viewed, n)));
    }
    assert!(is_there(&database), "what was written is there");
}

fn is_there(database: &Database) -> bool {
    use redb::ReadableDatabase;
    let table: TableDefinition<u64, &[u8]> = EVENT;
    let read = database.begin_read().expect("a transaction").open_table(table).expect("a table");
    read.first().expect("a read").is_some()
}
