//! A transaction that is larger than memory should be goes to a peer whole, and is seen whole.
//!
//! `GUNDB_LARGE` says of how many events (1,000,000 for the long run).

use gundb_clusters::sites::{Topology, World};
use gundb_clusters::{Cluster, Postgres, Session, seed};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(900);
/// Private memory of a process of ours, in KiB.
const MEMORY_MAX: u64 = 256 << 10;

/// The private memory of a process in KiB, without what it has touched of the memory that all share.
fn private_memory(pid: &str) -> Option<u64> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/smaps")).ok()?;
    let (mut sum, mut is_private) = (0, false);
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        match (words.next()?, words.next()) {
            ("Private_Clean:" | "Private_Dirty:", Some(size)) if is_private => sum += size.parse::<u64>().ok()?,
            (first, Some(flags)) if !first.ends_with(':') => is_private = flags.ends_with('p'),
            _ => {}
        }
    }
    Some(sum)
}

/// The greatest private memory of gundb's processes, and of those that serve peers or couriers, until it is told to stop.
struct Watch {
    stop: Arc<AtomicBool>,
    watching: tokio::task::JoinHandle<BTreeMap<String, u64>>,
}

impl Watch {
    async fn begin(servers: &[Arc<Cluster>]) -> Watch {
        let mut sessions: Vec<Session> = Vec::new();
        for server in servers {
            sessions.push(server.connect("postgres").await);
        }
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let watching = tokio::spawn(async move {
            let mut greatest = BTreeMap::new();
            while !stopped.load(Relaxed) {
                for (number, session) in sessions.iter().enumerate() {
                    let processes = "SELECT pid, CASE WHEN usename = 'replicator' THEN 'session' WHEN application_name = 'courier' THEN 'courier' ELSE backend_type END
                                       FROM pg_stat_activity WHERE backend_type LIKE 'gundb%' OR usename = 'replicator' OR application_name = 'courier'";
                    for row in session.rows(processes).await {
                        let Some(memory) = private_memory(&row[0]) else { continue };
                        let most = greatest.entry(format!("{} of server {number}", row[1])).or_default();
                        *most = memory.max(*most);
                    }
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            greatest
        });
        Watch { stop, watching }
    }

    async fn end(self) {
        self.stop.store(true, Relaxed);
        let memory = self.watching.await.expect("it watches");
        println!("private memory in KiB: {memory:?}");
        let large: Vec<_> = memory.iter().filter(|(_, memory)| **memory > MEMORY_MAX).collect();
        assert!(large.is_empty(), "more than {MEMORY_MAX} KiB: {large:?}");
    }
}

/// A statement that appends so many events.
fn insert(events: usize) -> String {
    format!(
        "INSERT INTO moves (type, key, data) SELECT 'Large', 'k' || n % 1000, jsonb_build_object('n', n) FROM generate_series(1, {events}) n"
    )
}

/// Waits until so many events more are there, all at once.
async fn wait_for(target: &Session, before: i64, events: usize) {
    let begun = Instant::now();
    loop {
        let count = target.number("SELECT count(*) FROM moves").await - before;
        if count == events as i64 {
            return;
        }
        assert_eq!(count, 0, "a part of the transaction is seen");
        assert!(
            begun.elapsed() < PATIENCE,
            "the transaction does not come: {:?} {:?}",
            target.rows("SELECT * FROM gundb.peer_status").await,
            target.rows("SELECT * FROM gundb.pending LIMIT 10").await
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_transaction_is_seen_whole_and_takes_little_memory() {
    let events = seed::count("GUNDB_LARGE", 50_000);
    let mut world = World::new(&Postgres::all(), 2, 2).await;
    for site in &world.sites {
        site.session().await.run("SELECT gundb.drop_view('stock')").await;
    }
    world.connect_all(Topology::Chain).await;
    world.converge(PATIENCE).await;
    let watch = Watch::begin(&world.servers).await;
    // To the one that is dialled, and back: what is pushed, and what is pulled.
    for (from, to) in [(0, 1), (1, 0)] {
        let (source, target) = (world.sites[from].session().await, world.sites[to].session().await);
        let before = target.number("SELECT count(*) FROM moves").await;
        source.run(&insert(events)).await;
        let begun = Instant::now();
        wait_for(&target, before, events).await;
        println!("{events} events from site{from} to site{to} in {:.1?}", begun.elapsed());
    }
    watch.end().await;
    world.converge(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_transaction_by_courier_waits_for_its_stream_in_little_memory_and_so_does_what_follows() {
    let events = seed::count("GUNDB_LARGE", 50_000);
    // Nobody can make the stream's table by himself.
    let cluster = Arc::new(Cluster::start(&Postgres::fifteen(), &[("gundb.stream_schema", "not_there")]));
    let ship = cluster.database("ship").await;
    ship.run("SELECT gundb.create_stream('moves')").await;
    cluster.database("shore").await;
    ship.run(&insert(events)).await;
    ship.run("INSERT INTO moves (type) VALUES ('Small')").await;
    let (ship, shore) = (cluster.connect("ship").await, cluster.connect("shore").await);
    ship.run("SET application_name = 'courier'; CREATE TABLE bundles (n serial, bundle bytea)").await;
    shore.run("SET application_name = 'courier'").await;
    let watch = Watch::begin(std::slice::from_ref(&cluster)).await;
    ship.run("INSERT INTO bundles (bundle) SELECT gundb.export_bundle()").await;
    // What waits is not read again and again, and may come again.
    for _ in 0..2 {
        for bundle in ship.rows("SELECT bundle FROM bundles ORDER BY n").await.concat() {
            shore.run(&format!("SELECT * FROM gundb.import_bundle('{bundle}')")).await;
        }
        let kinds = "SELECT kind FROM gundb.pending ORDER BY kind";
        assert_eq!(shore.rows(kinds).await.concat(), ["stream", "stream"]);
    }
    shore.run("SELECT gundb.create_stream('moves')").await;
    wait_for(&shore, 0, events + 1).await;
    watch.end().await;
    for nothing in ["SELECT count(*) FROM gundb.pending", "SELECT count(*) FROM gundb.inbox"] {
        assert_eq!(shore.value(nothing).await, "0");
    }
    let digest = "SELECT gundb.digest('moves')";
    assert_eq!(shore.value(digest).await, ship.value(digest).await);
    assert_eq!(shore.value("SELECT count(*) FROM gundb.verify('moves')").await, "0");
}
