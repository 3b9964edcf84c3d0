//! Costs that must not grow: with savepoints, with streams, with the events that are there already.
//!
//! Each compares a time with the same time at a smaller size, in one server, and allows for a busy machine; what it
//! would not allow for is a cost of the wrong order. They run one after the other, so that none disturbs another's
//! figures. `GUNDB_EVENTS` says how many events the start-up test stores.

use gundb_clusters::session::Session;
use gundb_clusters::{Cluster, Postgres, events, seed};
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// Held by the test that is measuring.
static MEASURING: Mutex<()> = Mutex::const_new(());

/// How many times more ten times the work may cost. The least that quadratic work would cost is 100.
const TEN_TIMES_MAX: f64 = 30.0;

/// Runs SQL, and says how long it took.
async fn timed(session: &Session, sql: &str) -> Duration {
    let start = Instant::now();
    session.run(sql).await;
    start.elapsed()
}

/// The best of five: what a busy machine adds, it seldom adds to all.
async fn best(session: &Session, sql: &str) -> Duration {
    let mut best = Duration::MAX;
    for _ in 0..5 {
        best = best.min(timed(session, sql).await);
    }
    best
}

fn ratio(large: Duration, small: Duration) -> f64 {
    large.as_secs_f64() / small.as_secs_f64()
}

fn assert_linear(what: &str, small: Duration, large: Duration) {
    let ratio = ratio(large, small);
    println!("{what}: 1,000 in {small:.0?}, 10,000 in {large:.0?}, a factor of {ratio:.1}");
    assert!(ratio < TEN_TIMES_MAX, "{what} is not linear: ten times as many take {ratio:.1} times as long");
}

#[tokio::test]
async fn ten_thousand_savepoints_in_one_transaction_take_linear_time_and_leave_no_gap() {
    let _measuring = MEASURING.lock().await;
    let cluster = Cluster::start(&Postgres::fifteen(), &[]);
    let session = cluster.database("savepoints").await;
    session.run("SELECT gundb.create_stream('moves')").await;
    let append = "INSERT INTO moves (type) VALUES ('Moved')";
    let cases = [
        ("appends", format!("{append};")),
        ("appends, each rolled back to a savepoint", format!("SAVEPOINT a; {append}; ROLLBACK TO SAVEPOINT a; RELEASE SAVEPOINT a;")),
        ("appends, each in a savepoint that is kept", format!("SAVEPOINT a; {append}; RELEASE SAVEPOINT a;")),
        ("appends, each after one that was rolled back", format!("SAVEPOINT a; {append}; ROLLBACK TO SAVEPOINT a; RELEASE SAVEPOINT a; {append};")),
        (
            "appends with an error that is caught",
            "DO $$ BEGIN INSERT INTO moves (type) VALUES ('Moved'); RAISE division_by_zero; EXCEPTION WHEN division_by_zero THEN END $$;".to_owned(),
        ),
        ("calls of append", "SELECT gundb.append('moves', 'Moved');".to_owned()),
        ("appends with an id", "INSERT INTO moves (type, id) VALUES ('Moved', gen_random_uuid()) ON CONFLICT DO NOTHING;".to_owned()),
    ];
    for (what, statements) in cases {
        let mut times = [Duration::MAX; 2];
        for (time, count) in times.iter_mut().zip([1_000, 10_000]) {
            session.run("SELECT gundb.reset(); CHECKPOINT").await;
            *time = timed(&session, &format!("BEGIN; {} COMMIT", statements.repeat(count))).await;
        }
        events::assert_whole(&session, "moves").await;
        assert_linear(what, times[0], times[1]);
    }
}

#[tokio::test]
async fn a_thousand_streams_cost_an_append_nothing() {
    let _measuring = MEASURING.lock().await;
    const STREAMS: usize = 1_000;
    const APPENDS: usize = 2_000;
    let cluster = Cluster::start(&Postgres::fifteen(), &[("max_locks_per_transaction", "256")]);
    let session = cluster.database("streams").await;
    session.run("SELECT gundb.create_stream('stream 0')").await;
    session
        .run("DO $$ BEGIN FOR i IN 1..1000 LOOP INSERT INTO \"stream 0\" (type) VALUES ('Warm'); END LOOP; END $$")
        .await;
    let appends = |streams: usize| {
        (0..APPENDS).fold(String::new(), |sql, i| {
            sql + &format!("INSERT INTO \"stream {}\" (type) VALUES ('Moved');\n", i % streams)
        })
    };
    let one = best(&session, &appends(1)).await;
    let created = Instant::now();
    for i in 1..STREAMS {
        session.run(&format!("SELECT gundb.create_stream('stream {i}')")).await;
    }
    let created = created.elapsed();
    // The first round reads what each stream is.
    let first = timed(&session, &appends(STREAMS)).await;
    let many = best(&session, &appends(STREAMS)).await;
    let same = best(&session, &appends(1)).await;
    println!(
        "{STREAMS} streams made in {created:.1?}; {APPENDS} appends to one of one {one:.0?}, to one of many {same:.0?}, to many \
         {many:.0?} (the first time {first:.0?})"
    );
    // PostgreSQL's own share grows too: a thousand tables' catalog entries and 5,000 indexes. So this is no benchmark
    // (see docs/performance.md), but whoever looked at every stream for each append would be far beyond it.
    assert!(
        ratio(same, one) < 2.0,
        "appending to one of {STREAMS} streams takes {:.1} times as long",
        ratio(same, one)
    );
    assert!(ratio(many, one) < 10.0, "appending to {STREAMS} streams takes {:.1} times as long", ratio(many, one));

    // All of them in one transaction, which a reader of all gets whole.
    let transaction = (0..STREAMS)
        .fold(String::new(), |sql, i| sql + &format!("INSERT INTO \"stream {i}\" (type) VALUES ('Wide');\n"));
    let wide = timed(&session, &format!("BEGIN; {transaction}; COMMIT")).await;
    session.run("CREATE TEMP TABLE page AS SELECT * FROM gundb.read(after => (SELECT gundb.clock_of(gundb.dot(site, gundb.stream_id(stream.name), lane, seq)) FROM gundb.stream JOIN gundb.event e ON e.tableoid = stream.\"table\" WHERE type <> 'Wide'), max => 1)").await;
    assert_eq!(
        session
            .value("SELECT count(*) || ' ' || count(DISTINCT stream) || ' ' || count(DISTINCT xact) FROM page")
            .await,
        "1000 1000 1"
    );
    println!("one transaction over {STREAMS} streams: {wide:.0?}");

    // A new life looks at every stream once, at its first append.
    drop(session);
    cluster.restart();
    let session = cluster.connect("streams").await;
    let first = timed(&session, "INSERT INTO \"stream 7\" (type) VALUES ('Moved')").await;
    let second = timed(&session, "INSERT INTO \"stream 8\" (type) VALUES ('Moved')").await;
    println!("after a restart: the first append {first:.0?}, the second {second:.0?}");
    assert!(first < Duration::from_secs(5), "the first append after a restart takes {first:.1?}");
}

#[tokio::test]
async fn the_first_append_after_a_restart_does_not_depend_on_how_many_events_there_are() {
    let _measuring = MEASURING.lock().await;
    let many = seed::count("GUNDB_EVENTS", 100_000);
    let cluster = Cluster::start(&Postgres::fifteen(), &[("max_wal_size", "4GB")]);
    let mut medians = Vec::new();
    for events in [1_000, many] {
        let name = format!("events {events}");
        let session = cluster.database(&name).await;
        session.run("SELECT gundb.create_stream('moves')").await;
        session
            .run(&format!(
                "INSERT INTO moves (type, key) SELECT 'Moved', 'key ' || n % 1000 FROM generate_series(1, {events}) n"
            ))
            .await;
        session.run("VACUUM ANALYZE moves").await;
        drop(session);
        let mut times = Vec::new();
        for _ in 0..5 {
            cluster.restart();
            let session = cluster.connect(&name).await;
            // Reads the table's first page and the catalog, so that the rest is gundb's.
            session.run("SELECT FROM moves LIMIT 1; SELECT count(*) FROM gundb.stream_table").await;
            times.push(timed(&session, "INSERT INTO moves (type) VALUES ('Moved')").await);
        }
        times.sort();
        medians.push(times[times.len() / 2]);
    }
    println!("the first append after a restart: {:.1?} with 1,000 events, {:.1?} with {many}", medians[0], medians[1]);
    assert!(medians[1] < 2 * medians[0] + Duration::from_millis(20), "start-up grows with the events");
}
