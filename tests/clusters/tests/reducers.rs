//! Reducer views under sessions that overtake each other: the rows are what the events in total order give.

use gundb_clusters::session::Session;
use gundb_clusters::{Cluster, Postgres, seed};

const CLIENTS: usize = 6;
const DATABASE: &str = "reducers";

/// The hash of one event depends on all before it; some events cannot be taken.
const REDUCER: &str =
    "CREATE FUNCTION chained(state jsonb, event gundb.event) RETURNS jsonb IMMUTABLE LANGUAGE plpgsql AS $$
    BEGIN
        IF event.type = 'Odd' THEN RAISE EXCEPTION 'odd'; END IF;
        RETURN jsonb_build_object('n', (state->>'n')::int + 1, 'hash', md5(state->>'hash' || event.id));
    END $$";

/// The same by a loop over the events, but for those that are pending.
const EXPECTED: &str = "CREATE FUNCTION expected(view regclass, part text) RETURNS jsonb LANGUAGE plpgsql AS $$
    DECLARE
        hash text := 'start';
        n int := 0;
        event record;
    BEGIN
        FOR event IN
            SELECT id FROM notes e WHERE (key = part OR data->>'page' = part) AND NOT EXISTS (
                SELECT FROM gundb.pending p WHERE p.view = $1 AND p.dot = gundb.dot(e.site, gundb.stream_id('notes'), e.lane, e.seq))
             ORDER BY hlc, site, lane, seq
        LOOP
            n := n + 1;
            hash := md5(hash || event.id);
        END LOOP;
        RETURN jsonb_build_object('n', n, 'hash', hash);
    END $$";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_what_the_events_in_total_order_give_however_sessions_overtake_each_other() {
    let transactions = seed::count("GUNDB_TRANSACTIONS", 60);
    let mut random = seed::generator();
    let cluster = Cluster::start(&Postgres::fifteen(), &[("deadlock_timeout", "20ms")]);
    let session = cluster.database(DATABASE).await;
    session.run("SELECT gundb.create_stream('notes')").await;
    session.run(REDUCER).await;
    session.run(EXPECTED).await;
    for (view, key) in [("books", "@key"), ("pages", "page")] {
        let call = format!(
            "SELECT gundb.create_reducer_view('{view}', 'notes', 'chained(jsonb, gundb.event)', '{{\"n\": 0, \"hash\": \"start\"}}', '{key}')"
        );
        session.run(&call).await;
    }
    // Two lives of the server: events of an earlier run are those of another author.
    for _ in 0..2 {
        let mut clients = Vec::new();
        for _ in 0..CLIENTS {
            let (session, random) = (cluster.connect(DATABASE).await, random.fork());
            clients.push(tokio::spawn(write(session, random, transactions)));
        }
        for client in clients {
            client.await.unwrap();
        }
        let session = cluster.connect(DATABASE).await;
        assert_right(&session).await;
        cluster.restart();
    }
    let session = cluster.connect(DATABASE).await;
    let rows = "SELECT b.* FROM books b UNION ALL SELECT p.* FROM pages p ORDER BY 1";
    let maintained = session.rows(rows).await;
    session.run("SELECT gundb.rebuild_view('books'), gundb.rebuild_view('pages')").await;
    assert_eq!(session.rows(rows).await, maintained);
    assert_right(&session).await;
    assert_eq!(cluster.log_count("terminated by signal"), 0);
}

/// Appends in transactions; what conflicts is rolled back, and now and then the rest, too.
async fn write(session: Session, mut random: fastrand::Rng, transactions: usize) {
    for _ in 0..transactions {
        session.run("BEGIN").await;
        for _ in 0..random.usize(1..4) {
            // Between two of its rows a statement waits, so that another overtakes it.
            let append = format!(
                "INSERT INTO notes (type, key, data)
                 SELECT CASE WHEN random() < 0.05 THEN 'Odd' ELSE 'Noted' END, 'k{}', jsonb_build_object('page', {})
                   FROM generate_series(1, {}) AS n WHERE n % 2 = 0 OR pg_sleep({} / 1000.0)::text = ''",
                random.usize(1..3),
                random.usize(1..4),
                random.usize(1..5),
                random.usize(0..8)
            );
            let savepoint = random.usize(0..10) == 0;
            if savepoint {
                session.run("SAVEPOINT s").await;
            }
            match session.try_run(&append).await {
                Ok(()) if savepoint => session.run("ROLLBACK TO s").await,
                Ok(()) => {}
                Err(failure) => {
                    assert_eq!(failure.sqlstate(), "40P01", "{failure}");
                    break;
                }
            }
        }
        session.run(if random.usize(0..10) == 0 { "ROLLBACK" } else { "COMMIT" }).await;
    }
}

async fn assert_right(session: &Session) {
    for (view, key) in [("books", "key"), ("pages", "page")] {
        let damage = session.rows(&format!("SELECT * FROM gundb.check_view('{view}')")).await;
        assert!(damage.is_empty(), "{view}: {damage:?}");
        let wrong = session.rows(&format!("SELECT * FROM {view} WHERE state <> expected('{view}', {key}::text)")).await;
        assert!(wrong.is_empty(), "{view}: {wrong:?}");
    }
    let events = session.number("SELECT count(*) FROM notes").await;
    let reduced = session.number("SELECT sum((state->'n')::int) FROM books").await;
    let pending = session.number("SELECT count(*) FROM gundb.pending WHERE view = 'books'::regclass").await;
    assert_eq!(events, reduced + pending);
    let repeated = session.rows("SELECT view, dot FROM gundb.pending GROUP BY view, dot HAVING count(*) > 1").await;
    assert!(repeated.is_empty(), "{repeated:?}");
}
