//! Views made, rebuilt, altered and dropped beside appenders of every isolation level: nothing is missed, nothing is taken
//! twice, and nobody waits long. `GUNDB_EVENTS` says how many events there are before.

use gundb_clusters::session::Failure;
use gundb_clusters::{Cluster, Postgres, Session, seed};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

const LEVELS: [&str; 3] = ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"];
const KEYS: usize = 200;
/// What an append may take on a busy machine. (A try to lock appenders out lasts a tenth of a second.)
const APPEND_MAX: Duration = Duration::from_secs(3);

/// What appenders share.
#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    /// Events of transactions that were committed.
    events: AtomicU64,
    /// The longest append since somebody asked, in microseconds.
    longest_us: AtomicU64,
}

impl Shared {
    fn longest(&self) -> Duration {
        Duration::from_micros(self.longest_us.swap(0, Ordering::Relaxed))
    }
}

/// A transaction of some events, now and then one that is rolled back to a savepoint.
fn transaction(random: &mut fastrand::Rng, level: &str, keys: char) -> (String, u64) {
    let mut sql = format!("BEGIN ISOLATION LEVEL {level};");
    let mut events = 0;
    // In one order, as whoever changes several rows should: two that wait for each other are not what is measured.
    let mut chosen = (0..random.usize(1..4)).map(|_| random.usize(..KEYS)).collect::<Vec<_>>();
    chosen.sort_unstable();
    for key in chosen {
        let insert = format!(
            "INSERT INTO moves (type, key, data) VALUES ('{}', '{keys}{key}', '{{\"n\": {}, \"label\": \"l{}\"}}');",
            if random.u8(..20) == 0 { "Unlabelled" } else { "Moved" },
            random.u32(..100),
            random.u8(..5)
        );
        if random.u8(..8) == 0 {
            sql += &format!("SAVEPOINT a; {insert} ROLLBACK TO a; RELEASE a;");
        } else {
            sql += &insert;
            events += 1;
        }
    }
    (sql, events)
}

/// Appends until told to stop. One that `holds` leaves transactions open for a while, having appended to keys of its own:
/// whoever appends to the same key of a view would wait for it, and that is not what is measured here.
fn appender(session: Session, shared: Arc<Shared>, level: &'static str, seed: u64, holds: bool) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut random = fastrand::Rng::with_seed(seed);
        while !shared.stop.load(Ordering::Relaxed) {
            let (sql, events) = transaction(&mut random, level, if holds { 'h' } else { 'k' });
            let start = Instant::now();
            let appended = session.try_run(&sql).await;
            let took = start.elapsed();
            let held = holds && random.u8(..10) == 0;
            if held {
                tokio::time::sleep(Duration::from_millis(random.u64(..400))).await;
            }
            let ended = match appended {
                Ok(()) if random.u8(..10) > 0 => session.try_run("COMMIT").await.map(|()| events),
                Ok(()) => session.try_run("ROLLBACK").await.map(|()| 0),
                Err(failure) => Err(failure),
            };
            match ended {
                Ok(events) => drop(shared.events.fetch_add(events, Ordering::Relaxed)),
                Err(failure) => {
                    // One that was refused for its isolation level, or for a deadlock over keys, is simply another one.
                    assert!(matches!(failure.sqlstate(), "40001" | "40P01"), "{failure}\nin {sql}");
                    session.run("ROLLBACK").await;
                }
            }
            if !holds {
                shared.longest_us.fetch_max(took.as_micros() as u64, Ordering::Relaxed);
            }
        }
    })
}

/// Runs SQL; again where it was refused for a deadlock, as a client would.
async fn patiently(session: &Session, sql: &str) {
    for _ in 0..10 {
        match session.try_run(sql).await {
            Ok(()) => return,
            Err(failure @ Failure::Refused(_)) if matches!(failure.sqlstate(), "40001" | "40P01") => {}
            Err(failure) => panic!("{failure}\nin {sql}"),
        }
    }
    panic!("refused ten times: {sql}");
}

#[tokio::test(flavor = "multi_thread")]
async fn views_made_and_altered_beside_appenders_miss_nothing_and_let_them_append() {
    let events = seed::count("GUNDB_EVENTS", 20_000);
    let mut random = seed::generator();
    let cluster = Cluster::start(&Postgres::fifteen(), &[("max_wal_size", "8GB"), ("shared_buffers", "512MB")]);
    let session = cluster.database("online").await;
    session.run("SELECT gundb.create_stream('moves')").await;
    session
        .run(&format!(
            "INSERT INTO moves (type, key, data)
             SELECT 'Moved', 'k' || n % {KEYS}, jsonb_build_object('n', n, 'label', 'l' || n % 5) FROM generate_series(1, {events}) n"
        ))
        .await;
    let shared = Arc::new(Shared::default());
    let mut appenders = Vec::new();
    for i in 0..6 {
        let (appending, level) = (cluster.connect("online").await, LEVELS[i % LEVELS.len()]);
        appenders.push(appender(appending, shared.clone(), level, random.u64(..), i >= 5));
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    shared.longest();
    tokio::time::sleep(Duration::from_millis(700)).await;
    println!("before: the longest append took {:.0?}", shared.longest());
    let labels = r#""labels": {"fold": "set", "add": {"Moved": "label"}, "remove": {"Unlabelled": "label"}}"#;
    let rounds = [
        (
            "create_view, plain folds",
            r#"SELECT gundb.create_view('sums', 'moves', '{"n": {"fold": "sum", "value": "n"}, "c": {"fold": "count"}}')"#
                .to_owned(),
        ),
        (
            "create_view, a set",
            format!(r#"SELECT gundb.create_view('labelled', 'moves', '{{{labels}, "c": {{"fold": "count"}}}}')"#),
        ),
        ("rebuild_view, plain folds", "SELECT gundb.rebuild_view('sums')".to_owned()),
        ("rebuild_view, a set", "SELECT gundb.rebuild_view('labelled')".to_owned()),
        (
            "alter_view, add",
            r#"SELECT gundb.alter_view('sums', add => '{"last": {"fold": "lww", "value": "label"}}')"#.to_owned(),
        ),
        (
            "alter_view, change",
            r#"SELECT gundb.alter_view('labelled', change => '{"c": {"fold": "count", "value": "n"}}')"#.to_owned(),
        ),
        ("alter_view, drop", "SELECT gundb.alter_view('sums', drop => '{n}')".to_owned()),
        ("drop_view", "SELECT gundb.drop_view('labelled')".to_owned()),
        (
            "create_view again",
            format!(r#"SELECT gundb.create_view('labelled', 'moves', '{{{labels}, "c": {{"fold": "count"}}}}')"#),
        ),
    ];
    for (what, sql) in rounds {
        shared.longest();
        let start = Instant::now();
        patiently(&session, &sql).await;
        let took = start.elapsed();
        let longest = shared.longest();
        println!("{what}: {took:.1?}; meanwhile the longest append took {longest:.0?}");
        assert!(longest < APPEND_MAX, "{what} kept an appender waiting for {longest:.1?}");
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    shared.stop.store(true, Ordering::Relaxed);
    for appender in appenders {
        appender.await.expect("an appender failed");
    }
    let appended = shared.events.load(Ordering::Relaxed);
    println!("{appended} events appended meanwhile");
    assert!(appended > 100, "the appenders hardly came to append");
    assert_eq!(session.number("SELECT count(*) FROM moves").await, events as i64 + appended as i64);
    for view in ["sums", "labelled"] {
        assert_eq!(session.rows(&format!("SELECT * FROM gundb.check_view('{view}')")).await, Vec::<Vec<String>>::new());
        let counted = session.number(&format!("SELECT sum(c) FROM {view}")).await;
        assert_eq!(counted, events as i64 + appended as i64, "{view} has missed events, or taken some twice");
    }
    let left_over =
        "SELECT count(*) FROM gundb.view_state WHERE view NOT IN (SELECT number FROM gundb.view_definition)";
    assert_eq!(session.number(left_over).await, 0);
}
