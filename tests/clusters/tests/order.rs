//! Order does not matter: sites that exchanged events while they appended, and databases that got all of them in another
//! order, hold the same rows and the same states, to the byte.

use gundb_clusters::session::Session;
use gundb_clusters::{Cluster, Postgres, seed};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Functions that apply and export, as the SQL tests have them; lines that are psql's left out.
const FUNCTIONS: &str = include_str!("../../sql/include/apply.sql");
const SITES: usize = 3;
const WRITERS: usize = 3;
/// Transactions of a writer in a round.
const TRANSACTIONS: usize = 12;
const PATIENCE: Duration = Duration::from_secs(60);

/// Views of every fold: by the event's key, by a path, with and without deletes.
const VIEWS: &str = r#"
    SELECT gundb.create_view('plain', 'moves', '{
        "n": {"fold": "count"}, "total": {"fold": "sum", "value": "n"}, "least": {"fold": "min", "value": "n"},
        "most": {"fold": "max", "value": "n"}, "mean": {"fold": "avg", "value": "n"},
        "last": {"fold": "lww", "value": "label"}, "first": {"fold": "fww", "value": "label", "by": "n"},
        "hits": {"fold": "merge", "value": "hits", "type": "gcounter"}}', key => 'sku', filter => 'n <> 3');
    SELECT gundb.create_view('causal', 'moves', '{
        "labels": {"fold": "set", "add": {"Added": "label"}, "remove": {"Removed": "label"}},
        "tags": {"fold": "rw_set", "add": {"Added": "label"}, "remove": {"Removed": "label"}},
        "places": {"fold": "mv", "value": {"Moved": "label"}},
        "on": {"fold": "flag", "value": {"Added": true, "Removed": false}},
        "off": {"fold": "dw_flag", "value": {"Added": true, "Removed": false}},
        "by_label": {"fold": "map", "key": "label", "value": {"Added": "n"}, "remove": {"Removed": "label"}}}');
    SELECT gundb.create_view('living', 'moves', '{
        "n": {"fold": "count"}, "total": {"fold": "sum", "value": "n"}, "last": {"fold": "lww", "value": "label"},
        "labels": {"fold": "set", "add": {"Added": "label"}, "remove": {"Removed": "label"}}}', delete => '{Gone}');
"#;

/// What an append says it saw of others: all that is here.
const SAW: &str = "(SELECT gundb.clock_of(gundb.dot(site, gundb.stream_id('moves'), lane, seq)) FROM moves WHERE site <> gundb.site_id())";

struct Round {
    cluster: Arc<Cluster>,
    number: usize,
}

impl Round {
    fn name(&self, what: &str, at: usize) -> String {
        format!("{what}_{}_{at}", self.number)
    }

    async fn database(&self, name: &str) -> Session {
        let session = self.cluster.database(name).await;
        let functions: String =
            FUNCTIONS.lines().filter(|line| !line.starts_with('\\')).map(|line| format!("{line}\n")).collect();
        session.run(&functions).await;
        session.run("SELECT gundb.create_stream('moves'); SELECT gundb.create_stream('paid')").await;
        session.run(VIEWS).await;
        session
    }
}

fn pick<'a>(random: &mut fastrand::Rng, all: &[&'a str]) -> &'a str {
    all[random.usize(..all.len())]
}

/// One INSERT of one to four events. Now and then one brings an id that other sites bring too.
fn insert(random: &mut fastrand::Rng) -> String {
    let event = |random: &mut fastrand::Rng| {
        let kind = pick(random, &["Moved", "Moved", "Added", "Added", "Removed", "Gone"]);
        let id = match random.u8(..3) {
            0 => format!("md5('{}')::uuid", random.u8(..100)),
            _ => "NULL".to_owned(),
        };
        format!(
            "('{kind}', '{}', jsonb_build_object('sku', '{}', 'n', {}, 'label', '{}', 'hits', '{{\"gcounter\": {{\"00000000-0000-0000-0000-{:012x}/{:016x}\": {}}}}}'::jsonb, 'saw', {SAW}::text), {id}::uuid)",
            pick(random, &["a", "b", "c"]),
            pick(random, &["x", "y", "z"]),
            random.i8(-5..9),
            pick(random, &["red", "green", "blue"]),
            random.u8(1..3),
            1,
            random.u8(1..9),
        )
    };
    let events: Vec<String> = (0..random.usize(1..5)).map(|_| event(random)).collect();
    format!("INSERT INTO moves (type, key, data, id) VALUES {} ON CONFLICT DO NOTHING", events.join(", "))
}

/// Transactions of one writer: some of several statements, over two streams, held open, rolled back in part or whole.
async fn write(session: Session, mut random: fastrand::Rng) {
    for _ in 0..TRANSACTIONS {
        let mut statements = vec!["BEGIN".to_owned(), insert(&mut random)];
        match random.u8(..6) {
            0 => statements.push("INSERT INTO paid (type) VALUES ('Paid')".to_owned()),
            1 => statements.extend(["SAVEPOINT s".to_owned(), insert(&mut random), "ROLLBACK TO s".to_owned()]),
            2 => statements.push(format!("SELECT pg_sleep({})", random.f32() / 20.0)),
            3 => statements.push(insert(&mut random)),
            _ => {}
        }
        statements.push(if random.u8(..10) == 0 { "ROLLBACK" } else { "COMMIT" }.to_owned());
        if let Err(failure) = session.try_run(&statements.join("; ")).await {
            // Two writers that lock the keys of a view in statements apart may wait in a circle.
            assert_eq!(failure.sqlstate(), "40P01", "{failure}");
            session.run("ROLLBACK").await;
        }
    }
}

/// Brings all that one database holds into another.
async fn bring(from: &Session, to: &Session) {
    let export = from.value("SELECT test_export('{moves,paid}')").await;
    apply(to, &export).await;
}

async fn apply(to: &Session, delivery: &str) {
    let outcomes =
        to.rows(&format!("SELECT outcome, reason FROM test_apply('{}')", delivery.replace('\'', "''"))).await;
    let wrong: Vec<_> = outcomes.iter().filter(|row| row[0] != "taken" && row[0] != "held").collect();
    assert!(wrong.is_empty(), "not taken: {wrong:?}");
}

/// A transaction as the exports have it, and where its events stand in their lanes.
struct Exported {
    text: String,
    site: String,
    events: Vec<(String, u64)>,
}

async fn transactions(session: &Session) -> (Vec<Exported>, String) {
    let rows = session
        .rows(
            "SELECT t::text, t->>'site', string_agg(concat_ws(' ', t->>'site', e->>'stream', e->>'lane', e->>'seq'), ',' ORDER BY e->>'hlc')
               FROM jsonb_array_elements(test_export('{moves,paid}')->'transactions') AS x (t), jsonb_array_elements(t->'events') AS y (e)
              GROUP BY t",
        )
        .await;
    let event = |event: &str| {
        let (lane, seq) = event.rsplit_once(' ').expect("a lane and a seq");
        (lane.to_owned(), seq.parse().expect("a seq"))
    };
    let exported = |row: Vec<String>| Exported {
        text: row[0].clone(),
        site: row[1].clone(),
        events: row[2].split(',').map(event).collect(),
    };
    let epochs = session.value("SELECT test_export('{}')->'epochs'").await;
    (rows.into_iter().map(exported).collect(), epochs)
}

/// Whole transactions in a random order that keeps each lane's: events come before what they have seen, and after.
fn shuffled(all: &[Exported], random: &mut fastrand::Rng) -> Vec<usize> {
    let mut next: HashMap<&str, u64> = HashMap::new();
    let mut left: Vec<usize> = (0..all.len()).collect();
    let mut order = Vec::new();
    while !left.is_empty() {
        let ready = |at: &usize| {
            let mut next = next.clone();
            all[*at].events.iter().all(|(lane, seq)| {
                let expected = next.entry(lane).or_insert(1);
                *expected += 1;
                *expected == *seq + 1
            })
        };
        let candidates: Vec<usize> = (0..left.len()).filter(|place| ready(&left[*place])).collect();
        let chosen = left.swap_remove(candidates[random.usize(..candidates.len())]);
        for (lane, seq) in &all[chosen].events {
            next.insert(lane, seq + 1);
        }
        order.push(chosen);
    }
    order
}

/// Waits until nothing waits for a key.
async fn settle(session: &Session) {
    let until = Instant::now() + PATIENCE;
    while session.number("SELECT count(*) FROM gundb.pending").await > 0 {
        assert!(
            Instant::now() < until,
            "{:?}",
            session.rows("SELECT kind, view, key, reason FROM gundb.pending").await
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// All that must be equal, by what it is.
async fn everything(session: &Session) -> BTreeMap<&'static str, Vec<Vec<String>>> {
    let mut found = BTreeMap::new();
    for (what, sql) in [
        (
            "clock",
            "SELECT gundb.clock_of(gundb.dot(site, gundb.stream_id(s.name), lane, seq)) FROM gundb.event e JOIN gundb.stream_table s ON s.relid = e.tableoid WHERE s.name IN ('moves', 'paid')",
        ),
        ("digest", "SELECT gundb.digest('moves'), gundb.digest('paid')"),
        ("plain", "SELECT p::text FROM plain p ORDER BY 1"),
        ("causal", "SELECT c::text FROM causal c ORDER BY 1"),
        ("living", "SELECT l::text FROM living l ORDER BY 1"),
        // A key that lost its last event to another keeps an empty state.
        (
            "state",
            "SELECT d.relation::text, s.key, s.state FROM gundb.view_state s JOIN gundb.view_definition d ON d.number = s.view WHERE s.state <> '' ORDER BY 1, 2",
        ),
    ] {
        found.insert(what, session.rows(sql).await);
    }
    found
}

async fn assert_sound(session: &Session, name: &str) {
    for view in ["plain", "causal", "living"] {
        let wrong = session.rows(&format!("SELECT * FROM gundb.check_view('{view}')")).await;
        assert!(wrong.is_empty(), "check_view('{view}') in {name}: {wrong:?}");
    }
    let damaged = session.rows("SELECT * FROM gundb.verify()").await;
    assert!(damaged.is_empty(), "verify() in {name}: {damaged:?}");
}

async fn round(round: Round, random: &mut fastrand::Rng) {
    let mut sites = Vec::new();
    for at in 0..SITES {
        sites.push(round.database(&round.name("site", at)).await);
    }
    let mut writers = Vec::new();
    for at in 0..SITES * WRITERS {
        let session = round.cluster.connect(&round.name("site", at % SITES)).await;
        writers.push(tokio::spawn(write(session, random.fork())));
    }
    // Meanwhile events go from one to another.
    while writers.iter().any(|writer| !writer.is_finished()) {
        let (from, to) = (random.usize(..SITES), random.usize(..SITES));
        if from != to {
            bring(&sites[from], &sites[to]).await;
        }
    }
    for writer in writers {
        writer.await.expect("a writer");
    }
    for _ in 0..2 {
        for at in 0..SITES {
            bring(&sites[at], &sites[(at + 1) % SITES]).await;
        }
    }
    // What an append saw, its context covers.
    for site in &sites {
        let unseen = site.rows("SELECT type, data->>'saw' FROM moves m WHERE site = gundb.site_id() AND NOT gundb.context(m) >= (data->>'saw')::gundb.clock").await;
        assert!(unseen.is_empty(), "events that have seen more than their contexts: {unseen:?}");
    }
    let (all, epochs) = transactions(&sites[0]).await;
    let repeated =
        sites[0].number("SELECT count(*) FROM (SELECT FROM moves GROUP BY id HAVING count(*) > 1) AS x").await;
    println!("round {}: {} transactions, {repeated} ids at several sites", round.number, all.len());

    settle(&sites[0]).await;
    let expected = everything(&sites[0]).await;
    let mut names: Vec<String> = (0..SITES).map(|at| round.name("site", at)).collect();
    // Others get everything in another order: by whatever batches; beside a transaction that holds keys; each site's
    // events by a session of its own.
    for at in 0..3 {
        let name = round.name("other", at);
        let session = round.database(&name).await;
        let order = shuffled(&all, random);
        let stop = Arc::new(AtomicBool::new(false));
        let holder =
            (at == 1).then(|| tokio::spawn(hold(round.cluster.clone(), name.clone(), stop.clone(), random.fork())));
        let mut lines: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for place in order {
            lines.entry(if at == 2 { &all[place].site } else { "" }).or_default().push(place);
        }
        let mut appliers = Vec::new();
        for line in lines.into_values() {
            let mut deliveries = Vec::new();
            let mut line = line.as_slice();
            while !line.is_empty() {
                let (batch, rest) = line.split_at(random.usize(1..9).min(line.len()));
                let batch: Vec<&str> = batch.iter().map(|place| all[*place].text.as_str()).collect();
                deliveries.push(format!("{{\"transactions\": [{}], \"epochs\": {epochs}}}", batch.join(", ")));
                line = rest;
            }
            let session = round.cluster.connect(&name).await;
            appliers.push(tokio::spawn(async move {
                for delivery in deliveries {
                    apply(&session, &delivery).await;
                }
            }));
        }
        for applier in appliers {
            applier.await.expect("an applier");
        }
        stop.store(true, Relaxed);
        if let Some(holder) = holder {
            holder.await.expect("a holder of keys");
        }
        drop(session);
        names.push(name);
    }
    for name in &names {
        let session = round.cluster.connect(name).await;
        settle(&session).await;
        for (what, found) in everything(&session).await {
            assert_eq!(found, expected[what], "{what} of {name}");
        }
        assert_sound(&session, name).await;
        session
            .run("SELECT gundb.rebuild_view('plain'), gundb.rebuild_view('causal'), gundb.rebuild_view('living')")
            .await;
        assert_eq!(everything(&session).await["state"], expected["state"], "states of {name}, rebuilt");
    }
    for name in names {
        round.cluster.connect("postgres").await.run(&format!("DROP DATABASE \"{name}\" (FORCE)")).await;
    }
}

/// Holds keys of the views, time and again, and leaves nothing.
async fn hold(cluster: Arc<Cluster>, database: String, stop: Arc<AtomicBool>, mut random: fastrand::Rng) {
    let session = cluster.connect(&database).await;
    while !stop.load(Relaxed) {
        let statement = format!("BEGIN; {}; SELECT pg_sleep({}); ROLLBACK", insert(&mut random), random.f32() / 10.0);
        session.run(&statement).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_the_order_of_arrival_rows_and_states_are_the_same_to_the_byte() {
    let mut random = seed::generator();
    let settings = [
        ("deadlock_timeout", "100ms"),
        ("max_connections", "100"),
        ("synchronous_commit", "off"),
        ("log_min_error_statement", "panic"),
    ];
    let cluster = Arc::new(Cluster::start(&Postgres::fifteen(), &settings));
    for number in 0..seed::count("GUNDB_ORDERS", 1) {
        round(Round { cluster: cluster.clone(), number }, &mut random).await;
    }
}
