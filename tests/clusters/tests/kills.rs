//! Servers killed while clients append: what was acknowledged is there, and no dot is given twice.
//!
//! `GUNDB_BACKEND_KILLS` and `GUNDB_SERVER_KILLS` say how many kills (1000 and 50 for the full run), `GUNDB_SEED` which.

use gundb_clusters::cluster::{Stop, kill};
use gundb_clusters::events::{self, Dot, Seen, Witness};
use gundb_clusters::session::{Failure, Result, Session};
use gundb_clusters::{Cluster, Postgres, seed};
use rustix::process::Pid;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::sleep;

const CLIENTS: usize = 8;
const DATABASE: &str = "kills";

/// What the clients and the killer share: it lives outside the server.
#[derive(Default)]
struct Log {
    witness: Mutex<Witness>,
    /// Acknowledged under `synchronous_commit = on`.
    durable: Mutex<BTreeMap<Dot, Seen>>,
    /// Acknowledged under `off`: may be lost, may not be given to another event.
    hopeful: Mutex<BTreeMap<Dot, Seen>>,
    /// Ids of appends repeated until they were acknowledged under `on`.
    insisted: Mutex<HashSet<String>>,
    acknowledged: AtomicUsize,
    duplicates: AtomicUsize,
    rolled_back: AtomicUsize,
    unanswered: AtomicUsize,
    /// Lets the clients under `on` rest: their flushes would save what the others wrote.
    rest: AtomicBool,
    stop: AtomicBool,
}

impl Log {
    fn acknowledge(&self, durable: bool, rows: Vec<Vec<String>>) {
        self.acknowledged.fetch_add(rows.len(), Relaxed);
        self.witness.lock().unwrap().rows(rows.clone());
        let mut log = if durable { &self.durable } else { &self.hopeful }.lock().unwrap();
        for row in rows {
            let [dot, id, content] = <[String; 3]>::try_from(row).expect("three columns");
            log.insert(dot, Seen { id, content });
        }
    }

    fn stopped(&self) -> bool {
        self.stop.load(Relaxed)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_acknowledged_survives_kills_and_no_dot_is_given_twice() {
    let backend_kills = seed::count("GUNDB_BACKEND_KILLS", 40);
    let server_kills = seed::count("GUNDB_SERVER_KILLS", 5);
    let mut random = seed::generator();
    // The WAL writer sleeps, so that a commit under `off` stays in memory until a client under `on` commits.
    let settings = [("track_commit_timestamp", "on"), ("wal_writer_delay", "10s"), ("max_connections", "50")];
    let cluster = Cluster::start(&Postgres::fifteen(), &settings);
    let session = cluster.database(DATABASE).await;
    session.run("SELECT gundb.create_stream('moves'); SELECT gundb.create_consumer('reader', 'moves')").await;
    session.run("CREATE TABLE consumed (n bigserial, dot text, id text)").await;
    drop(session);

    let cluster = Arc::new(cluster);
    let log = Arc::new(Log::default());
    let mut tasks: Vec<_> =
        (0..CLIENTS).map(|number| tokio::spawn(writer(cluster.clone(), log.clone(), number, random.fork()))).collect();
    tasks.push(tokio::spawn(watcher(cluster.clone(), log.clone())));
    tasks.push(tokio::spawn(consumer(cluster.clone(), log.clone())));

    let mut plan = vec![Victim::Backend; backend_kills];
    plan.extend(vec![Victim::Server; server_kills]);
    random.shuffle(&mut plan);
    let mut killed: BTreeMap<String, usize> = BTreeMap::new();
    for victim in plan {
        progress(&log).await;
        assert!(tasks.iter().all(|task| !task.is_finished()), "a client ended early");
        if random.bool() {
            log.rest.store(true, Relaxed);
            sleep(Duration::from_millis(random.u64(10..60))).await;
        } else {
            sleep(Duration::from_millis(random.u64(0..40))).await;
        }
        let name = match victim {
            Victim::Backend => kill_a_backend(&cluster, &mut random).await,
            Victim::Server => {
                cluster.kill();
                cluster.launch();
                "postmaster".to_owned()
            }
        };
        log.rest.store(false, Relaxed);
        *killed.entry(name).or_default() += 1;
    }
    progress(&log).await;
    log.stop.store(true, Relaxed);
    for task in tasks {
        task.await.expect("a client failed");
    }

    // What the last commits left in memory only is not part of the question any more.
    cluster.stop(Stop::Fast);
    cluster.launch();
    let session = cluster.connect(DATABASE).await;
    let held = events::all(&session, "moves").await;
    let rows = session.rows(&format!("SELECT {} FROM moves", events::returning())).await;
    log.witness.lock().unwrap().rows(rows);
    for (dot, event) in log.durable.lock().unwrap().iter() {
        assert_eq!(held.get(dot), Some(event), "the acknowledged event {dot} is lost or changed");
    }
    let lost = log.hopeful.lock().unwrap().keys().filter(|dot| !held.contains_key(*dot)).count();
    let ids: HashMap<&str, usize> = held.values().fold(HashMap::new(), |mut ids, event| {
        *ids.entry(event.id.as_str()).or_default() += 1;
        ids
    });
    for id in log.insisted.lock().unwrap().iter() {
        assert_eq!(ids.get(id.as_str()), Some(&1), "event {id} was appended until it was acknowledged: once it counts");
    }
    events::assert_whole(&session, "moves").await;
    events::assert_commit_order(&session, "moves").await;
    assert_eq!(consume(&session, 1_000_000).await.expect("the consumer reads on"), 0, "the consumer had not read all");
    let skipped =
        session.number("SELECT count(*) FROM (SELECT id::text FROM moves EXCEPT ALL SELECT id FROM consumed) s").await;
    let twice =
        session.number("SELECT count(*) FROM (SELECT id FROM consumed EXCEPT ALL SELECT id::text FROM moves) s").await;
    assert_eq!((skipped, twice), (0, 0), "events that the consumer skipped, and got twice");

    for crash in ["terminated by signal 11", "terminated by signal 6", "PANIC"] {
        assert_eq!(cluster.log_count(crash), 0, "the server crashed by itself: {crash}");
    }
    let runs = session.number("SELECT count(DISTINCT lane::bigint >> 16) FROM moves").await;
    println!(
        "killed: {killed:?}; restarts logged: {}",
        cluster.log_count("database system is ready to accept connections") - 1
    );
    let lanes = session.value("SELECT count(DISTINCT (site, lane)) FROM moves").await;
    println!(
        "acknowledged: {} events ({} under on), held: {}, dots seen: {}, runs with events: {runs}, lanes: {}",
        log.acknowledged.load(Relaxed),
        log.durable.lock().unwrap().len(),
        held.len(),
        log.witness.lock().unwrap().len(),
        lanes,
    );
    println!(
        "hits: lost after an acknowledgement under off: {lost}; calls that a kill left unanswered: {}; repeated appends that \
         were there already: {}; rolled back: {}",
        log.unanswered.load(Relaxed),
        log.duplicates.load(Relaxed),
        log.rolled_back.load(Relaxed),
    );
}

#[derive(Clone, Copy)]
enum Victim {
    Backend,
    Server,
}

/// Waits until the clients get answers.
async fn progress(log: &Log) {
    let target = log.acknowledged.load(Relaxed) + 3 * CLIENTS;
    for _ in 0..6_000 {
        if log.acknowledged.load(Relaxed) >= target {
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("no client was acknowledged anything for a minute");
}

/// Kills a client's backend, or one of gundb's own processes. The server then restarts all of them.
async fn kill_a_backend(cluster: &Cluster, random: &mut fastrand::Rng) -> String {
    let candidates =
        "SELECT pid, backend_type FROM pg_stat_activity WHERE backend_type LIKE 'gundb%' OR datname = 'kills'";
    loop {
        let rows = match cluster.try_connect("postgres").await {
            Ok(session) => session.try_rows(candidates).await.unwrap_or_default(),
            Err(_) => Vec::new(),
        };
        if let Some(row) = random.choice(rows.iter()) {
            kill(Pid::from_raw(row[0].parse().expect("a pid")).expect("a pid"));
            return row[1].clone();
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// Connects, however long the server takes to come back.
async fn connect(cluster: &Cluster, log: &Log) -> Option<Session> {
    while !log.stopped() {
        match cluster.try_connect(DATABASE).await {
            Ok(session) => return Some(session),
            Err(_) => sleep(Duration::from_millis(20)).await,
        }
    }
    None
}

/// Appends in all the ways there are; odd clients under `synchronous_commit = off`.
async fn writer(cluster: Arc<Cluster>, log: Arc<Log>, number: usize, mut random: fastrand::Rng) {
    let durable = number.is_multiple_of(2);
    let mut unanswered: Option<String> = None;
    let mut n = 0;
    while let Some(session) = connect(&cluster, &log).await {
        let setting = if durable { "on" } else { "off" };
        let ended: Result<()> = async {
            session.try_run(&format!("SET synchronous_commit = {setting}")).await?;
            while !log.stopped() {
                if durable && log.rest.load(Relaxed) {
                    sleep(Duration::from_millis(5)).await;
                    continue;
                }
                if let Some(id) = unanswered.clone() {
                    insist(&session, &log, durable, &id).await?;
                    unanswered = None;
                }
                n += 1;
                let name = format!("{number}.{n}");
                match random.u8(0..6) {
                    0 | 1 => log.acknowledge(durable, session.try_rows(&insert(&name, 1)).await?),
                    2 => log.acknowledge(durable, session.try_rows(&insert(&name, 5)).await?),
                    3 => transaction(&session, &log, durable, &name, &mut random).await?,
                    4 => {
                        session.try_run(&format!("BEGIN; {}; ROLLBACK", insert(&name, 3))).await?;
                        log.rolled_back.fetch_add(3, Relaxed);
                    }
                    _ => {
                        let id = session.try_value("SELECT gen_random_uuid()").await?;
                        unanswered = Some(id.clone());
                        insist(&session, &log, durable, &id).await?;
                        unanswered = None;
                    }
                }
            }
            Ok(())
        }
        .await;
        survive(&log, ended);
    }
}

/// A crash is what this is about; any other error is a defect.
fn survive(log: &Log, ended: Result<()>) {
    match ended {
        Err(failure) if failure.is_crash() => drop(log.unanswered.fetch_add(1, Relaxed)),
        Err(failure) => panic!("{failure}"),
        Ok(()) => (),
    }
}

fn insert(name: &str, rows: usize) -> String {
    format!(
        "INSERT INTO moves (type, key, data) SELECT 'Moved', '{name}', jsonb_build_object('n', n) FROM generate_series(1, {rows}) n
         RETURNING {}",
        events::returning()
    )
}

/// Several statements, one of them rolled back to a savepoint.
async fn transaction(
    session: &Session,
    log: &Log,
    durable: bool,
    name: &str,
    random: &mut fastrand::Rng,
) -> Result<()> {
    session.try_run("BEGIN").await?;
    let mut rows = Vec::new();
    let undone = random.usize(0..3);
    for i in 0..3 {
        session.try_run("SAVEPOINT a").await?;
        let mut inserted = session.try_rows(&insert(name, 1 + i)).await?;
        if i == undone {
            session.try_run("ROLLBACK TO SAVEPOINT a").await?;
            log.rolled_back.fetch_add(inserted.len(), Relaxed);
        } else {
            rows.append(&mut inserted);
        }
    }
    session.try_run("COMMIT").await?;
    log.acknowledge(durable, rows);
    Ok(())
}

/// Appends an id, again after every crash, until it is acknowledged.
async fn insist(session: &Session, log: &Log, durable: bool, id: &str) -> Result<()> {
    let data = format!("'{{\"id\": \"{id}\"}}'");
    let call = format!("SELECT duplicate FROM gundb.append('moves', 'Insisted', {data}, id => '{id}')");
    if session.try_value(&call).await? == "t" {
        log.duplicates.fetch_add(1, Relaxed);
    }
    let rows = session.try_rows(&format!("SELECT {} FROM moves WHERE id = '{id}'", events::returning())).await?;
    assert_eq!(rows.len(), 1, "event {id}");
    log.acknowledge(durable, rows);
    if durable {
        log.insisted.lock().unwrap().insert(id.to_owned());
    }
    Ok(())
}

/// Another session that sees what is committed, durable or not.
async fn watcher(cluster: Arc<Cluster>, log: Arc<Log>) {
    while let Some(session) = connect(&cluster, &log).await {
        let ended: Result<()> = async {
            let mut clock = "{}".to_owned();
            while !log.stopped() {
                let rows = session
                    .try_rows(&format!(
                        "SELECT gundb.site_of(dot) || '/' || gundb.lane_of(dot) || '/' || gundb.seq_of(dot), id, type || ' ' || data, next
                           FROM gundb.read('moves', '{clock}', 500)"
                    ))
                    .await?;
                clock = rows.last().map_or(clock, |row| row[3].clone());
                let rows = rows.into_iter().map(|mut row| {
                    row.truncate(3);
                    row
                });
                log.witness.lock().unwrap().rows(rows.collect());
                sleep(Duration::from_millis(5)).await;
            }
            Ok(())
        }
        .await;
        survive(&log, ended);
    }
}

/// Consumes exactly once: its table and its position move in one transaction.
async fn consumer(cluster: Arc<Cluster>, log: Arc<Log>) {
    while let Some(session) = connect(&cluster, &log).await {
        let ended: Result<()> = async {
            while !log.stopped() {
                consume(&session, 20).await?;
                sleep(Duration::from_millis(20)).await;
            }
            Ok(())
        }
        .await;
        survive(&log, ended);
    }
    // The rest, unhurried.
    let session = cluster.connect(DATABASE).await;
    while consume(&session, 1_000).await.unwrap_or_else(|failure: Failure| panic!("{failure}")) > 0 {}
}

async fn consume(session: &Session, max: usize) -> Result<usize> {
    let taken = session
        .try_value(&format!(
            "WITH got AS (INSERT INTO consumed (dot, id) SELECT dot, id FROM gundb.consume('reader', {max}) RETURNING 1)
             SELECT count(*) FROM got"
        ))
        .await?;
    Ok(taken.parse().expect("a count"))
}
