//! `gundb.compare`: what two sites hold, told by the one that dials, in a session of its worker's.

use gundb_clusters::proxy::{Cable, until};
use gundb_clusters::sites::{Topology, World};
use gundb_clusters::{Postgres, Session};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

async fn comes_to(session: &Session, sql: &str, wanted: &str) {
    until(PATIENCE, async || session.value(sql).await == wanted, || format!("{wanted} of {sql}")).await;
}

/// Two sites that hold the same.
async fn two() -> (World, Session, Session) {
    let mut world = World::new(&[Postgres::fifteen()], 1, 2).await;
    world.connect_all(Topology::Chain).await;
    let (here, there) = (world.sites[0].session().await, world.sites[1].session().await);
    for session in [&here, &there] {
        session.run(r#"INSERT INTO moves (type, key, data) SELECT 'Moved', 'k' || n % 7, jsonb_build_object('n', n) FROM generate_series(1, 500) n"#).await;
    }
    world.converge(PATIENCE).await;
    assert_eq!(here.value("SELECT gundb.sync_now('site1', '30 s')").await, "t");
    (world, here, there)
}

/// What is said of a stream or a view.
async fn result(session: &Session, kind: &str, name: &str) -> String {
    session
        .value(&format!(
            "SELECT string_agg(result, ',') FROM gundb.compare('site1', '30 s') WHERE kind = '{kind}' AND name = '{name}'"
        ))
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sites_that_hold_the_same_are_told_so_and_what_only_one_has_is_named() {
    let (world, here, there) = two().await;
    let row = here
        .rows(
            "SELECT c.result, c.common, c.only_here, c.only_there, c.digest_here = c.digest_there, c.digest_here = gundb.digest('moves'), c.differs_at IS NULL
               FROM gundb.compare('site1', '30 s') c WHERE kind = 'stream' AND name = 'moves'",
        )
        .await
        .remove(0);
    assert_eq!(row, ["equal", "1000", "0", "0", "t", "t", "t"]);
    assert_eq!(result(&here, "stream", "gundb").await, "equal");
    assert_eq!(result(&here, "view", "stock").await, "equal");

    // Views are each site's own.
    let view = |columns: &str| format!("SELECT gundb.create_view('v', 'moves', '{columns}')");
    here.run(&view(r#"{"n": {"fold": "count"}}"#)).await;
    assert_eq!(result(&here, "view", "v").await, "only here");
    there.run(&view(r#"{"n": {"fold": "sum", "value": "n"}}"#)).await;
    assert_eq!(result(&here, "view", "v").await, "differs");

    // Streams that do not flow are named, and nothing is told of them.
    here.run("SELECT gundb.create_stream('dropped'), gundb.create_stream('hidden')").await;
    comes_to(&there, "SELECT count(*) FROM gundb.stream_table WHERE name IN ('dropped', 'hidden')", "2").await;
    here.run("SELECT gundb.drop_stream('dropped')").await;
    there.run("SELECT gundb.grant_peer('replicator', '{*, !hidden}', '{*, !hidden}', 'any')").await;
    there.run("INSERT INTO hidden (type) VALUES ('Hidden')").await;
    comes_to(&here, "SELECT state FROM gundb.peer_status", "connected").await;
    until(PATIENCE, async || here.try_rows("SELECT FROM gundb.compare('site1')").await.is_ok(), || "a comparison")
        .await;
    assert_eq!(result(&here, "stream", "dropped").await, "only there");
    assert_eq!(result(&here, "stream", "hidden").await, "not exchanged");
    let told = "SELECT count(*) FROM gundb.compare('site1') WHERE name = 'hidden' AND (digest_there IS NOT NULL OR differs_at IS NOT NULL)";
    assert_eq!(here.value(told).await, "0");

    // What is on its way is no difference.
    world.set_cables(Cable::Cut);
    here.run("INSERT INTO moves (type) VALUES ('Late')").await;
    world.set_cables(Cable::Whole);
    until(PATIENCE, async || here.try_rows("SELECT FROM gundb.compare('site1')").await.is_ok(), || "a session again")
        .await;
    assert_eq!(result(&here, "stream", "moves").await, "equal");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_event_that_is_another_one_there_is_found() {
    let (_world, here, there) = two().await;
    let dot = there
        .value("SELECT gundb.dot(site, gundb.stream_id('moves'), lane, seq) FROM moves WHERE seq = 137 AND site = gundb.site_id()")
        .await;
    there.run("ALTER TABLE moves DISABLE TRIGGER ALL").await;
    there
        .run("UPDATE moves SET chain = md5(chain::text)::gundb.chain WHERE seq >= 137 AND site = gundb.site_id()")
        .await;
    let row = here
        .rows("SELECT result, differs_at, common, detail FROM gundb.compare('site1', '30 s') WHERE name = 'moves'")
        .await
        .remove(0);
    assert_eq!(row[..3], ["differs", &dot, "1000"]);
    assert!(row[3].contains("fork"), "{}", row[3]);
    // Others are equal, and the session stands.
    assert_eq!(result(&here, "stream", "gundb").await, "equal");
    assert_eq!(here.value("SELECT state FROM gundb.peer_status").await, "connected");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_cannot_be_asked_is_said_at_once() {
    let (world, here, there) = two().await;
    let refused = async |session: &Session, sql: &str, sqlstate: &str| {
        let begun = Instant::now();
        assert_eq!(session.refusal(sql).await, sqlstate, "{sql}");
        assert!(begun.elapsed() < Duration::from_secs(5), "{sql} took {:?}", begun.elapsed());
    };
    const ASK: &str = "SELECT * FROM gundb.compare('site1', '1 min')";
    refused(&here, "SELECT * FROM gundb.compare('nobody')", "42704").await;
    refused(&here, "SELECT * FROM gundb.compare(NULL)", "22004").await;
    // The one that is dialled calls nobody.
    refused(&there, "SELECT * FROM gundb.compare('site0')", "42704").await;
    here.run("SELECT gundb.pause_peer('site1')").await;
    refused(&here, ASK, "55000").await;
    here.run("SELECT gundb.resume_peer('site1')").await;
    comes_to(&here, "SELECT state FROM gundb.peer_status", "connected").await;
    world.set_cables(Cable::Cut);
    comes_to(&here, "SELECT state IN ('waiting', 'connecting') FROM gundb.peer_status", "t").await;
    refused(&here, ASK, "08003").await;
    world.set_cables(Cable::Whole);
    comes_to(&here, "SELECT gundb.sync_now('site1', '10 s')", "t").await;
    // One that has fallen silent is not waited for longer than was said.
    world.set_cables(Cable::Silent);
    refused(&here, "SELECT * FROM gundb.compare('site1', '1 s')", "08003").await;
    world.set_cables(Cable::Whole);
    here.run("ALTER SYSTEM SET gundb.dial_peers = off").await;
    here.run("SELECT pg_reload_conf()").await;
    comes_to(&here, "SELECT state || ': ' || last_error FROM gundb.peer_status", "paused: gundb.dial_peers is off")
        .await;
    refused(&here, ASK, "55000").await;
}
