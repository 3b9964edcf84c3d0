//! Views under everything at once: appends that are overtaken, rolled back and reverted, events of another site, triggers
//! that append and that refuse, views rebuilt and altered, sessions ended and killed. Afterwards each view is what its
//! events give, and rebuilt it is the same.
//!
//! `GUNDB_FUZZ_ROUNDS` says how many rounds, `GUNDB_SEED` which.

use gundb_clusters::cluster::kill;
use gundb_clusters::session::{Failure, Result, Session};
use gundb_clusters::{Cluster, Postgres, seed};
use rustix::process::Pid;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// Functions that apply and export, as the SQL tests have them; lines that are psql's left out.
const FUNCTIONS: &str = include_str!("../../sql/include/apply.sql");
const LEVELS: [&str; 4] = ["READ COMMITTED", "READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"];
const VIEWS: [&str; 6] = ["plain", "causal", "living", "guarded", "echoing", "reduced"];
const ROUND: Duration = Duration::from_secs(4);
const PATIENCE: Duration = Duration::from_secs(60);

/// The stream alone, as both sites have it.
const STREAM: &str = "SELECT gundb.create_stream('moves')";

/// Views of many folds; one that refuses rows; one whose trigger appends what makes other views fold keys again.
const SETUP: &str = r#"
    SELECT gundb.create_view('echoing', 'moves', '{"n": {"fold": "count"}, "last": {"fold": "lww", "value": "label"}}', key => 'sku');
    SELECT gundb.create_view('plain', 'moves', '{
        "n": {"fold": "count"}, "total": {"fold": "sum", "value": "n"}, "most": {"fold": "max", "value": "n"},
        "last": {"fold": "lww", "value": "label"}, "first": {"fold": "fww", "value": "label", "by": "n"}}', key => 'sku');
    SELECT gundb.create_view('causal', 'moves', '{
        "labels": {"fold": "set", "add": {"Added": "label"}, "remove": {"Removed": "label"}},
        "places": {"fold": "mv", "value": {"Moved": "label"}},
        "on": {"fold": "flag", "value": {"Added": true, "Removed": false}}}');
    SELECT gundb.create_view('living', 'moves', '{
        "n": {"fold": "count"}, "total": {"fold": "sum", "value": "n"}, "last": {"fold": "lww", "value": "label"}}', delete => '{Gone}');
    SELECT gundb.create_view('guarded', 'moves', '{"total": {"fold": "sum", "value": "n"}, "n": {"fold": "count"}}', delete => '{Gone}');
    ALTER TABLE guarded ADD CONSTRAINT enough CHECK (total >= -5);

    CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF NEW.n % 7 = 3 THEN NEW.total := 1000; ELSIF NEW.n % 7 = 4 THEN RETURN NULL; ELSIF NEW.n % 7 = 5 THEN RAISE 'no' USING ERRCODE = 'XX000'; END IF;
        RETURN NEW;
    END $$;
    CREATE TRIGGER meddle BEFORE INSERT OR UPDATE ON guarded FOR EACH ROW EXECUTE FUNCTION meddle();

    CREATE FUNCTION echo() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$ BEGIN
        IF NEW.last <> 'echo' AND NEW.n % 3 = 0 THEN
            INSERT INTO moves (type, key, data) VALUES
                (CASE WHEN NEW.n % 2 = 0 THEN 'Gone' ELSE 'Moved' END, 'k' || NEW.n % 4, jsonb_build_object('sku', NEW.sku, 'n', 1, 'label', 'echo'));
        END IF;
        RETURN NULL;
    END $$;
    CREATE TRIGGER echo AFTER INSERT OR UPDATE ON echoing FOR EACH ROW EXECUTE FUNCTION echo();

    CREATE FUNCTION reduce(state jsonb, event gundb.event) RETURNS jsonb IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN
        IF event.type = 'Gone' AND (state->>'n')::integer % 5 = 0 THEN RAISE 'not now'; END IF;
        RETURN jsonb_build_object('n', (state->>'n')::integer + 1, 'last', event.data->>'label');
    END $$;
    SELECT gundb.create_reducer_view('reduced', 'moves', 'reduce(jsonb, gundb.event)', initial => '{"n": 0}');
"#;

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    committed: AtomicUsize,
    refused: AtomicUsize,
    lost: AtomicUsize,
    made_anew: AtomicUsize,
    brought: AtomicUsize,
}

fn pick<'a>(random: &mut fastrand::Rng, all: &[&'a str]) -> &'a str {
    all[random.usize(..all.len())]
}

fn insert(random: &mut fastrand::Rng) -> String {
    let event = |random: &mut fastrand::Rng| {
        let id = match random.u8(..6) {
            0 => format!("md5('{}')::uuid", random.u16(..400)),
            _ => "NULL".to_owned(),
        };
        format!(
            "('{}', 'k{}', jsonb_build_object('sku', '{}', 'n', {}, 'label', '{}'), {id}::uuid)",
            pick(random, &["Moved", "Moved", "Moved", "Added", "Added", "Removed", "Gone"]),
            random.u8(..4),
            pick(random, &["x", "y", "z"]),
            random.i8(-5..9),
            pick(random, &["red", "green", "blue"]),
        )
    };
    let events: Vec<String> = (0..random.usize(1..5)).map(|_| event(random)).collect();
    format!("INSERT INTO moves (type, key, data, id) VALUES {} ON CONFLICT DO NOTHING", events.join(", "))
}

/// A transaction; the one that waits is overtaken, and so appends what is late.
fn transaction(random: &mut fastrand::Rng, level: &str, reverts: bool) -> String {
    let mut statements = vec![format!("BEGIN ISOLATION LEVEL {level}"), insert(random)];
    for _ in 0..random.u8(..3) {
        statements.push(match random.u8(..8) {
            0 => format!("SELECT pg_sleep({})", random.f32() / 15.0),
            1 => format!("SAVEPOINT s; {}; ROLLBACK TO s", insert(random)),
            2 => format!("SAVEPOINT s; {}; RELEASE s", insert(random)),
            3 if reverts => {
                "SELECT gundb.revert('moves', ARRAY(SELECT id FROM moves ORDER BY random() LIMIT 1))".to_owned()
            }
            4 if reverts => format!("SELECT gundb.retry_pending('{}')", pick(random, &VIEWS)),
            _ => insert(random),
        });
    }
    statements.push(if random.u8(..8) == 0 { "ROLLBACK" } else { "COMMIT" }.to_owned());
    statements.join("; ")
}

/// Connects; again as long as the server is coming back.
async fn connect(cluster: &Cluster, database: &str) -> Session {
    let until = Instant::now() + PATIENCE;
    loop {
        match cluster.try_connect(database).await {
            Ok(session) => return session,
            Err(failure) => assert!(Instant::now() < until, "{failure}"),
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// Runs what may fail for the sake of another: a conflict, or the end of the session.
async fn attempt(
    cluster: &Cluster,
    database: &str,
    session: &mut Session,
    shared: &Shared,
    sql: &str,
) -> Option<Failure> {
    match session.try_run(sql).await {
        Ok(()) => {
            shared.committed.fetch_add(1, Relaxed);
            None
        }
        Err(failure) if failure.is_crash() => {
            shared.lost.fetch_add(1, Relaxed);
            *session = connect(cluster, database).await;
            Some(failure)
        }
        Err(failure) => {
            // Serialization, a deadlock over keys; an event that is reverted already.
            assert!(matches!(failure.sqlstate(), "40001" | "40P01" | "55000"), "{failure}\nin {sql}");
            shared.refused.fetch_add(1, Relaxed);
            if let Err(failure) = session.try_run("ROLLBACK").await {
                assert!(failure.is_crash(), "{failure}");
                *session = connect(cluster, database).await;
            }
            Some(failure)
        }
    }
}

async fn writer(
    cluster: Arc<Cluster>,
    shared: Arc<Shared>,
    database: String,
    level: &'static str,
    mut random: fastrand::Rng,
) {
    let mut session = connect(&cluster, &database).await;
    let reverts = database.starts_with("here");
    while !shared.stop.load(Relaxed) {
        let sql = transaction(&mut random, level, reverts);
        attempt(&cluster, &database, &mut session, &shared, &sql).await;
    }
}

/// Rebuilds and alters views, and looks whether they are what they should be.
async fn administrator(cluster: Arc<Cluster>, shared: Arc<Shared>, database: String, mut random: fastrand::Rng) {
    let mut session = connect(&cluster, &database).await;
    while !shared.stop.load(Relaxed) {
        // The killer spares it more often than others: what it does takes long.
        let _ = session.try_run("SET application_name = 'administrator'").await;
        let view = pick(&mut random, &VIEWS);
        let sql = match random.u8(..4) {
            0 if view == "plain" => r#"SELECT gundb.alter_view('plain', drop => '{most}'); SELECT gundb.alter_view('plain', add => '{"most": {"fold": "max", "value": "n"}}')"#.to_owned(),
            0 if view == "living" => r#"SELECT gundb.alter_view('living', change => '{"n": {"fold": "count", "value": "n"}}'); SELECT gundb.alter_view('living', change => '{"n": {"fold": "count"}}')"#.to_owned(),
            // One that meets a row that is refused fails.
            0 | 1 if view != "guarded" => format!("SELECT gundb.rebuild_view('{view}')"),
            _ => {
                if let Ok(wrong) = session.try_rows(&format!("SELECT * FROM gundb.check_view('{view}')")).await {
                    assert!(wrong.is_empty(), "check_view('{view}') meanwhile: {wrong:?}");
                }
                "SELECT gundb.retry_pending()".to_owned()
            }
        };
        if attempt(&cluster, &database, &mut session, &shared, &sql).await.is_none() {
            shared.made_anew.fetch_add(1, Relaxed);
        }
        sleep(Duration::from_millis(random.u64(..100))).await;
    }
}

/// Brings what another site appends.
async fn applier(cluster: Arc<Cluster>, shared: Arc<Shared>, from: String, to: String) {
    let (mut there, mut here) = (connect(&cluster, &from).await, connect(&cluster, &to).await);
    while !shared.stop.load(Relaxed) {
        match bring(&there, &here).await {
            Ok(()) => drop(shared.brought.fetch_add(1, Relaxed)),
            Err(failure) if failure.is_crash() => {
                (there, here) = (connect(&cluster, &from).await, connect(&cluster, &to).await);
            }
            Err(failure) => assert!(matches!(failure.sqlstate(), "40001" | "40P01"), "{failure}"),
        }
        sleep(Duration::from_millis(30)).await;
    }
}

async fn bring(there: &Session, here: &Session) -> Result<()> {
    let export = there.try_value("SELECT test_export('{moves}')").await?;
    let outcomes =
        here.try_rows(&format!("SELECT outcome, reason FROM test_apply('{}')", export.replace('\'', "''"))).await?;
    let wrong: Vec<_> = outcomes.iter().filter(|row| row[0] != "taken" && row[0] != "held").collect();
    assert!(wrong.is_empty(), "not taken: {wrong:?}");
    Ok(())
}

/// Ends sessions, and kills one at the end of some rounds, which takes all of them along.
async fn killer(cluster: Arc<Cluster>, shared: Arc<Shared>, database: String, crash: bool, mut random: fastrand::Rng) {
    let mut session = connect(&cluster, &database).await;
    let victims = "FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()";
    while !shared.stop.load(Relaxed) {
        sleep(Duration::from_millis(random.u64(200..1_000))).await;
        let one = format!(
            "SELECT pg_terminate_backend(pid) {victims} ORDER BY application_name = 'administrator' AND random() < 0.8, random() LIMIT 1"
        );
        if session.try_run(&one).await.is_err() {
            session = connect(&cluster, &database).await;
        }
    }
    let victim = session.try_rows(&format!("SELECT pid {victims} LIMIT 1")).await.unwrap_or_default().concat().pop();
    if crash && let Some(pid) = victim {
        let noticed = || cluster.log_count("was terminated by signal 9");
        let before = noticed();
        kill(Pid::from_raw(pid.parse().expect("a pid")).expect("a pid"));
        // Until then the server goes on as if nothing were; and the backend may have ended by itself before.
        let until = Instant::now() + Duration::from_secs(2);
        while noticed() == before && Instant::now() < until {
            sleep(Duration::from_millis(10)).await;
        }
    }
}

/// All rows and states of the views. Of a reducer, what else is kept depends on how events came.
async fn everything(session: &Session) -> BTreeMap<String, Vec<Vec<String>>> {
    let mut found = BTreeMap::new();
    for view in VIEWS {
        let rows = format!("SELECT v::text FROM {view} v ORDER BY 1");
        found.insert(format!("rows of {view}"), session.rows(&rows).await);
        let states = format!(
            "SELECT s.key, s.state FROM gundb.view_state s JOIN gundb.view_definition d ON d.number = s.view
              WHERE d.relation = '{view}'::regclass AND d.initial IS NULL AND s.state <> '' ORDER BY 1"
        );
        found.insert(format!("states of {view}"), session.rows(&states).await);
    }
    found
}

async fn assert_sound(session: &Session, when: &str) {
    for view in VIEWS {
        let wrong = session.rows(&format!("SELECT * FROM gundb.check_view('{view}')")).await;
        if let Some(key) = wrong.first() {
            let pending = "SELECT kind, key, dot, sqlstate, reason, tries FROM gundb.pending";
            let key = &key[0];
            let events = format!(
                "SELECT site, lane, seq, hlc, type, id, data->>'n', meta FROM moves WHERE key = '{key}' ORDER BY hlc"
            );
            for told in [format!("SELECT v::text FROM {view} v"), pending.to_owned(), events] {
                session.rows(&told).await.iter().for_each(|row| println!("{}", row.join(" | ")));
            }
            panic!("check_view('{view}') {when}: {wrong:?}");
        }
    }
    let lost = "SELECT count(*) FROM gundb.view_state WHERE view NOT IN (SELECT number FROM gundb.view_definition)";
    assert_eq!(session.number(lost).await, 0, "states of no view {when}");
}

async fn round(cluster: &Arc<Cluster>, number: usize, random: &mut fastrand::Rng) {
    let (here, there) = (format!("here_{number}"), format!("there_{number}"));
    let functions: String =
        FUNCTIONS.lines().filter(|line| !line.starts_with('\\')).map(|line| format!("{line}\n")).collect();
    for database in [&here, &there] {
        let session = cluster.database(database).await;
        session.run(&functions).await;
        session.run(STREAM).await;
    }
    cluster.connect(&here).await.run(SETUP).await;
    let shared = Arc::new(Shared::default());
    let mut tasks = Vec::new();
    for level in LEVELS {
        tasks.push(tokio::spawn(writer(cluster.clone(), shared.clone(), here.clone(), level, random.fork())));
    }
    tasks.push(tokio::spawn(writer(cluster.clone(), shared.clone(), there.clone(), LEVELS[0], random.fork())));
    tasks.push(tokio::spawn(administrator(cluster.clone(), shared.clone(), here.clone(), random.fork())));
    tasks.push(tokio::spawn(applier(cluster.clone(), shared.clone(), there.clone(), here.clone())));
    tasks.push(tokio::spawn(killer(cluster.clone(), shared.clone(), here.clone(), number % 2 == 1, random.fork())));
    sleep(ROUND).await;
    shared.stop.store(true, Relaxed);
    for task in tasks {
        task.await.expect("a session");
    }
    let count = |of: &AtomicUsize| of.load(Relaxed);
    println!(
        "round {number}: {} transactions, {} refused, {} sessions lost; {} times views made anew or checked, {} times events brought",
        count(&shared.committed),
        count(&shared.refused),
        count(&shared.lost),
        count(&shared.made_anew),
        count(&shared.brought)
    );
    assert!(count(&shared.committed) > 20, "the writers hardly came to append");
    let session = connect(cluster, &here).await;
    let busy = "SELECT count(*) FROM gundb.pending WHERE kind = 'key' AND sqlstate = '55P03'";
    let until = Instant::now() + PATIENCE;
    while session.number(busy).await > 0 {
        assert!(Instant::now() < until, "keys stay busy");
        sleep(Duration::from_millis(50)).await;
    }
    assert_sound(&session, "at the end").await;
    session
        .run("DROP TRIGGER meddle ON guarded; ALTER TABLE guarded DROP CONSTRAINT enough; DROP TRIGGER echo ON echoing")
        .await;
    session.run("SELECT gundb.retry_pending()").await;
    assert_sound(&session, "once nothing is refused").await;
    let maintained = everything(&session).await;
    for view in VIEWS {
        session.run(&format!("SELECT gundb.rebuild_view('{view}')")).await;
    }
    assert_sound(&session, "rebuilt").await;
    for (what, rows) in everything(&session).await {
        assert_eq!(maintained[&what], rows, "{what}, maintained and rebuilt");
    }
    assert_eq!(session.rows("SELECT * FROM gundb.verify()").await, Vec::<Vec<String>>::new());
    drop(session);
    // There is room for so many databases with the extension.
    let session = cluster.connect("postgres").await;
    for database in [&here, &there] {
        session.run(&format!("DROP DATABASE {database} WITH (FORCE)")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn views_are_what_their_events_give_whatever_happens_at_once() {
    let mut random = seed::generator();
    let cluster =
        Arc::new(Cluster::start(&Postgres::fifteen(), &[("max_connections", "50"), ("max_worker_processes", "64")]));
    for number in 0..seed::count("GUNDB_FUZZ_ROUNDS", 2) {
        round(&cluster, number, &mut random).await;
    }
}
