//! Sessions between databases, carried by hand: what one site's functions give is handed to the other's.

use gundb_clusters::cluster::Stop;
use gundb_clusters::events;
use gundb_clusters::session::Session;
use gundb_clusters::{Cluster, Postgres};
use gundb_core::bundle::{WireLimits, decode_bundle, decode_hello, encode_hello};
use gundb_core::sync::filter::Filter;
use gundb_core::sync::message::{Accept, Hello, PROTOCOL};
use gundb_core::{Clock, Run, SiteId, StreamId};
use std::time::{Duration, Instant};

const ROLE: &str = "gundb_peer";
const PATIENCE: Duration = Duration::from_secs(30);

/// A database whose peers may bring anybody's events, or only their own.
async fn site(cluster: &Cluster, name: &str, accept: &str) -> Session {
    let session = cluster.database(name).await;
    let role = format!("DO $$BEGIN CREATE ROLE {ROLE} LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END$$");
    session.run(&role).await;
    session
        .run(&format!("SELECT gundb.set_site_name('{name}'), gundb.grant_peer('{ROLE}', accept => '{accept}')"))
        .await;
    session
}

/// The hello of a site that nobody is, by which another is made to say its own.
fn nobody() -> Hello {
    Hello {
        protocol: (PROTOCOL, PROTOCOL),
        software: "a test".to_owned(),
        site: SiteId(StreamId::of_name("a test").0),
        run: Run::new(1).unwrap(),
        name: "nobody".to_owned(),
        push: Filter::all(),
        pull: Filter::all(),
        ways: gundb_core::sync::ways::Ways::default(),
        accept: Accept::Any,
        clock: Clock::new(),
        bundle_bytes_max: 1 << 20,
        now_ms: 0,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.strip_prefix("\\x").unwrap();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

/// A session between two databases, both of which are called.
struct Between {
    ends: [Session; 2],
}

impl Between {
    async fn begin(one: &Cluster, one_name: &str, two: &Cluster, two_name: &str) -> Between {
        let ends = [one.connect(one_name).await, two.connect(two_name).await];
        for end in &ends {
            end.run(&format!("SET SESSION AUTHORIZATION {ROLE}")).await;
        }
        let ask = |hello: String| format!("SELECT gundb.session_hello('{hello}')");
        let second = ends[1].value(&ask(format!("\\x{}", hex(&encode_hello(&nobody()))))).await;
        decode_hello(&bytes(&second), &WireLimits::default()).expect("a hello");
        let first = ends[0].value(&ask(second)).await;
        ends[1].value(&ask(first)).await;
        Between { ends }
    }

    /// Carries what the end `from` has for the other, until it has nothing. Returns how many events that were.
    async fn carry(&self, from: usize) -> usize {
        let (mut receipt, mut events) = ("NULL".to_owned(), 0);
        for _ in 0..1_000 {
            let bundle = self.ends[from].value(&format!("SELECT gundb.session_pull({receipt})")).await;
            if bundle == "∅" {
                return events;
            }
            let decoded = decode_bundle(&bytes(&bundle), &WireLimits::default()).expect("a bundle");
            events += decoded.transactions.iter().map(|transaction| transaction.events.len()).sum::<usize>();
            receipt = self.ends[1 - from].value(&format!("SELECT gundb.session_push('{bundle}')")).await;
            receipt = format!("'{receipt}'");
        }
        panic!("there is no end to what is sent");
    }

    /// Until neither has anything for the other.
    async fn exchange(&self) -> usize {
        let mut all = 0;
        loop {
            let events = self.carry(0).await + self.carry(1).await;
            all += events;
            if events == 0 {
                return all;
            }
        }
    }
}

async fn exchange(one: &Cluster, one_name: &str, two: &Cluster, two_name: &str) -> usize {
    Between::begin(one, one_name, two, two_name).await.exchange().await
}

/// Waits until a query gives this.
async fn until(session: &Session, sql: &str, wanted: &str) {
    let begun = Instant::now();
    loop {
        let found = session.value(sql).await;
        if found == wanted {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{found}, not {wanted}\nof {sql}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Nothing waits, and of each stream both hold the same.
async fn assert_equal(one: &Session, two: &Session) {
    for session in [one, two] {
        until(session, "SELECT count(*) FROM gundb.staged", "0").await;
    }
    let digests = "SELECT name, gundb.digest(name) FROM gundb.stream_table ORDER BY name";
    assert_eq!(one.rows(digests).await, two.rows(digests).await);
    assert_eq!(one.value("SELECT gundb.site_clock()").await, two.value("SELECT gundb.site_clock()").await);
}

const VIEW: &str = r#"SELECT gundb.create_view('stock', 'moves', '{"n": {"fold": "sum", "value": "qty"}, "place": {"fold": "lww", "value": "place"}}')"#;

async fn move_some(session: &Session, who: &str) {
    for n in 0..20 {
        let data = format!(r#"{{"qty": {n}, "place": "{who} {n}", "deep": [1.50, null, {{"é": "\u0001"}}]}}"#);
        session.run(&format!("INSERT INTO moves (type, key, data) VALUES ('Moved', 'k{}', '{data}')", n % 3)).await;
    }
}

#[tokio::test]
async fn two_databases_come_to_hold_the_same_and_streams_become_tables() {
    for postgres in Postgres::all() {
        let (here, there) = (Cluster::start(&Postgres::fifteen(), &[]), Cluster::start(&postgres, &[]));
        let (paris, tokyo) = (site(&here, "paris", "any").await, site(&there, "tokyo", "any").await);
        paris.run("SELECT gundb.create_stream('moves'), gundb.create_stream('paid', closed => true)").await;
        paris.run("SELECT gundb.define_event('paid', 'Paid', NULL)").await;
        paris.run(VIEW).await;
        tokyo.run("CREATE TABLE moves (taken text); SELECT gundb.create_stream('notes')").await;
        tokyo.run("INSERT INTO notes (type) SELECT 'Noted' FROM generate_series(1, 5)").await;
        move_some(&paris, "paris").await;
        paris
            .run("BEGIN; INSERT INTO moves (type) VALUES ('Sold'); INSERT INTO paid (type) VALUES ('Paid'); COMMIT")
            .await;
        assert!(exchange(&here, "paris", &there, "tokyo").await > 30);
        // The workers make the tables, and what waited for them comes in.
        until(&tokyo, "SELECT count(*) FROM gundb.stream_table WHERE name IN ('moves', 'paid')", "2").await;
        until(&paris, "SELECT count(*) FROM gundb.stream_table WHERE name = 'notes'", "1").await;
        assert_equal(&paris, &tokyo).await;
        // Its own name was taken, and nobody was given a right.
        assert_eq!(tokyo.value("SELECT relid::regclass FROM gundb.stream_table WHERE name = 'moves'").await, "moves_2");
        let adoption = "SELECT status, message FROM gundb.health WHERE \"check\" = 'adoption'";
        let health = tokyo.rows(adoption).await.concat().join(" ");
        assert!(health.contains("WARNING") && health.contains("moves_2"), "{health}");
        assert_eq!(
            tokyo.value("SELECT count(*) FROM pg_class WHERE relname = 'moves_2' AND relacl IS NULL").await,
            "1"
        );
        assert_eq!(tokyo.refusal("SELECT gundb.append('paid', 'Unknown')").await, "GD004");
        // Both go on, and views agree.
        tokyo.run("DROP TABLE moves; ALTER TABLE moves_2 RENAME TO moves").await;
        tokyo.run(VIEW).await;
        let between = Between::begin(&here, "paris", &there, "tokyo").await;
        for round in 0..3 {
            move_some(&paris, &format!("paris {round}")).await;
            move_some(&tokyo, &format!("tokyo {round}")).await;
            assert_eq!(between.exchange().await, 40);
        }
        assert_equal(&paris, &tokyo).await;
        for stream in ["moves", "paid", "notes"] {
            events::assert_whole(&paris, stream).await;
            events::assert_whole(&tokyo, stream).await;
        }
        for session in [&paris, &tokyo] {
            until(session, "SELECT count(*) FROM gundb.pending", "0").await;
            assert!(session.rows("SELECT * FROM gundb.check_view('stock')").await.is_empty());
        }
        let digest = "SELECT gundb.view_digest('stock')";
        assert_eq!(paris.value(digest).await, tokyo.value(digest).await);
        // What had seen what, both know.
        let seen = "SELECT count(*) FROM moves a, moves b WHERE a.hlc < b.hlc AND gundb.happened_before(a, b)";
        assert_eq!(paris.value(seen).await, tokyo.value(seen).await);
        let state = paris.rows("SELECT peer, role, state, to_send, to_receive FROM gundb.peer_status").await;
        assert!(state.iter().any(|row| row[0] == "tokyo" && row[1] == ROLE), "{state:?}");
    }
}

#[tokio::test]
async fn a_peer_that_may_bring_only_its_own_brings_nothing_else() {
    let cluster = Cluster::start(&Postgres::fifteen(), &[]);
    let (lima, paris) = (site(&cluster, "lima", "any").await, site(&cluster, "paris", "any").await);
    let strict = site(&cluster, "strict", "own").await;
    strict.run("SELECT gundb.create_stream('moves')").await;
    lima.run("SELECT gundb.create_stream('moves')").await;
    // From now on it is known that lima dials in.
    exchange(&cluster, "lima", &cluster, "strict").await;
    move_some(&lima, "lima").await;
    exchange(&cluster, "lima", &cluster, "paris").await;
    until(&paris, "SELECT count(*) FROM gundb.stream_table WHERE name = 'moves'", "1").await;
    until(&paris, "SELECT count(*) FROM moves", "20").await;
    paris.run("SELECT gundb.create_stream('gossip')").await;
    move_some(&paris, "paris").await;
    // What paris has seen of lima's it may not bring, and what has seen it stays until lima's has come.
    exchange(&cluster, "paris", &cluster, "strict").await;
    assert_eq!(strict.value("SELECT count(*) FROM moves").await, "0");
    exchange(&cluster, "lima", &cluster, "strict").await;
    assert_eq!(strict.value("SELECT count(*) FROM moves").await, "20");
    exchange(&cluster, "paris", &cluster, "strict").await;
    assert_eq!(strict.value("SELECT count(*) FROM moves").await, "40");
    // Its definitions are listed, not followed.
    assert_eq!(strict.value("SELECT count(*) FROM gundb.definition WHERE key = 'gossip'").await, "1");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(strict.value("SELECT count(*) FROM gundb.stream_table WHERE name = 'gossip'").await, "0");
    // It gives everything.
    move_some(&strict, "strict").await;
    exchange(&cluster, "paris", &cluster, "strict").await;
    assert_eq!(paris.value("SELECT count(*) FROM moves").await, "60");
    // A stream whose row security binds the role does not flow.
    paris.run("SELECT gundb.create_stream('secret'); INSERT INTO secret (type) VALUES ('Hidden')").await;
    paris
        .run(&format!("ALTER TABLE secret ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON secret TO {ROLE} USING (true)"))
        .await;
    exchange(&cluster, "paris", &cluster, "lima").await;
    until(&lima, "SELECT count(*) FROM gundb.stream_table WHERE name = 'secret'", "1").await;
    exchange(&cluster, "paris", &cluster, "lima").await;
    assert_eq!(lima.value("SELECT count(*) FROM secret").await, "0");
}

#[tokio::test]
async fn a_restored_copy_gets_its_own_lost_events_back() {
    let there = Cluster::start(&Postgres::fifteen(), &[]);
    let tokyo = site(&there, "tokyo", "any").await;
    let here = Cluster::start(&Postgres::fifteen(), &[]);
    let paris = site(&here, "paris", "any").await;
    paris.run("SELECT gundb.create_stream('moves')").await;
    move_some(&paris, "before the backup").await;
    drop(paris);
    here.stop(Stop::Fast);
    let backup = here.copy_stopped();
    here.launch();
    let paris = here.connect("paris").await;
    move_some(&paris, "lost").await;
    exchange(&here, "paris", &there, "tokyo").await;
    until(&tokyo, "SELECT count(*) FROM gundb.stream_table WHERE name = 'moves'", "1").await;
    until(&tokyo, "SELECT count(*) FROM moves", "40").await;
    drop(paris);
    here.stop(Stop::Immediate);

    backup.launch();
    let paris = backup.connect("paris").await;
    move_some(&paris, "after the restore").await;
    assert_eq!(paris.value("SELECT count(*) FROM moves").await, "40");
    exchange(&backup, "paris", &there, "tokyo").await;
    assert_eq!(paris.value("SELECT count(*) FROM moves").await, "60");
    assert_equal(&paris, &tokyo).await;
    events::assert_whole(&paris, "moves").await;
    assert_eq!(paris.value("SELECT status FROM gundb.health WHERE \"check\" = 'copies'").await, "OK");
}

#[tokio::test]
async fn a_transaction_larger_than_a_bundle_comes_in_parts_and_is_seen_whole() {
    let cluster = Cluster::start(&Postgres::fifteen(), &[]);
    let (paris, tokyo) = (site(&cluster, "paris", "any").await, site(&cluster, "tokyo", "any").await);
    for session in [&paris, &tokyo] {
        session.run("SELECT gundb.create_stream('moves'), gundb.create_stream('paid')").await;
    }
    paris
        .run(
            "BEGIN;
             INSERT INTO moves (type, data) SELECT 'Large', jsonb_build_object('n', n, 'text', repeat(md5(n::text), 40)) FROM generate_series(1, 3000) AS n;
             INSERT INTO paid (type, data) SELECT 'Large', jsonb_build_object('n', n) FROM generate_series(1, 1000) AS n;
             INSERT INTO moves (type) VALUES ('Last');
             COMMIT;
             INSERT INTO moves (type) SELECT 'Small' FROM generate_series(1, 10)",
        )
        .await;
    let between = Between::begin(&cluster, "paris", &cluster, "tokyo").await;
    let mut receipt = "NULL".to_owned();
    let mut parts = 0;
    loop {
        let bundle = between.ends[0].value(&format!("SELECT gundb.session_pull({receipt})")).await;
        if bundle == "∅" {
            break;
        }
        let part = decode_bundle(&bytes(&bundle), &WireLimits::default()).expect("a bundle").part;
        parts += usize::from(part.is_some());
        receipt = format!("'{}'", between.ends[1].value(&format!("SELECT gundb.session_push('{bundle}')")).await);
        let seen =
            tokyo.rows("SELECT (SELECT count(*) FROM moves WHERE type = 'Large'), (SELECT count(*) FROM paid)").await;
        let is_whole = seen[0] == ["3000", "1000"];
        assert!(is_whole || seen[0] == ["0", "0"], "{seen:?}");
        assert!(part.is_none_or(|part| part.is_last == is_whole), "{part:?} {seen:?}");
    }
    assert!(parts > 3, "{parts}");
    between.exchange().await;
    assert_equal(&paris, &tokyo).await;
    assert_eq!(tokyo.value("SELECT count(*) FROM gundb.inbox").await, "0");
}

#[tokio::test]
async fn who_is_sent_one_thing_after_the_other_ends_with_the_postmaster() {
    let cluster = Cluster::start(&Postgres::all()[0], &[]);
    let paris = site(&cluster, "paris", "any").await;
    paris.run(&format!("SET SESSION AUTHORIZATION {ROLE}")).await;
    paris.run(&format!("SELECT gundb.session_hello('\\x{}')", hex(&encode_hello(&nobody())))).await;
    // Minutes of work that never waits for its client.
    let pulls = "SELECT gundb.session_pull(NULL);".repeat(300_000);
    let busy = tokio::spawn(async move { paris.try_run(&pulls).await });
    let watch = cluster.connect("postgres").await;
    let is_busy =
        "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT gundb.session_pull%'";
    let until = Instant::now() + PATIENCE;
    while watch.number(is_busy).await == 0 {
        assert!(Instant::now() < until, "the pulls do not begin");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(watch);
    cluster.kill();
    let killed = Instant::now();
    cluster.launch();
    assert!(killed.elapsed() < Duration::from_secs(15), "{:?}", killed.elapsed());
    assert!(busy.await.expect("no panic").is_err_and(|failure| failure.is_crash()));
}
