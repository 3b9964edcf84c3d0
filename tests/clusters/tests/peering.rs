//! What an operator is told of peers: roles and grants, filters, sites that dial in, offenders, adoption, health.

use gundb_clusters::postgres::run;
use gundb_clusters::proxy::until;
use gundb_clusters::sites::{Topology, World};
use gundb_clusters::{Cluster, Postgres, Session};
use gundb_core::bundle::encode_hello;
use gundb_core::sync::filter::Filter;
use gundb_core::sync::message::{Accept, Hello, PROTOCOL};
use gundb_core::{Clock, Run, SiteId, StreamId};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);

async fn comes_to(session: &Session, sql: &str, wanted: &str) {
    until(PATIENCE, async || session.value(sql).await == wanted, || format!("{wanted} of {sql}")).await;
}

/// Two sites, `site0` of which dials `site1`.
async fn two() -> (World, Session, Session) {
    let mut world = World::new(&[Postgres::fifteen()], 1, 2).await;
    world.connect_all(Topology::Chain).await;
    let (here, there) = (world.sites[0].session().await, world.sites[1].session().await);
    comes_to(&here, "SELECT gundb.sync_now('site1', '10 s')", "t").await;
    (world, here, there)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_keeps_its_role_and_outlives_a_restore_without_it() {
    let cluster = Cluster::start(&Postgres::fifteen(), &[]);
    let session = cluster.database("shop").await;
    session.run("CREATE ROLE \"a peer\" LOGIN; SELECT gundb.grant_peer('a peer', accept => 'any')").await;
    assert_eq!(session.refusal("DROP ROLE \"a peer\"").await, "2BP01");
    let dump = cluster.home().join("dump.sql");
    let argument = format!("--file={}", dump.display());
    run(cluster.client("pg_dump").args([&argument, "shop"]));
    session.run("SELECT gundb.revoke_peer('a peer'); DROP ROLE \"a peer\"").await;
    assert_eq!(session.value("SELECT count(*) FROM gundb.peer_grant").await, "0");
    cluster.connect("postgres").await.run("CREATE DATABASE restored").await;
    run(cluster.client("psql").args(["-q", "-o", "/dev/null", "-f"]).arg(&dump).arg("restored"));
    let restored = cluster.connect("restored").await;
    let grants = "SELECT role, push, pull, accept FROM gundb.peer_grant";
    assert_eq!(restored.rows(grants).await, [["a peer", "{*}", "{*}", "any"]]);
    assert_eq!(restored.value("SELECT role || ' ' || state FROM gundb.peer_status").await, "a peer new");
    restored.run("CREATE ROLE \"a peer\" LOGIN").await;
    let peer = cluster.connect("restored").await;
    peer.run("SET SESSION AUTHORIZATION \"a peer\"").await;
    assert_eq!(peer.refusal("SELECT gundb.session_hello('\\x00')").await, "22P03");
    // What was dropped by DROP OWNED can be revoked.
    restored.run("DROP OWNED BY \"a peer\"").await;
    drop(peer);
    restored.run("DROP ROLE \"a peer\"; SELECT gundb.revoke_peer('a peer')").await;
    assert_eq!(restored.refusal("SELECT gundb.revoke_peer('a peer')").await, "42704");
    assert_eq!(restored.refusal("SELECT gundb.grant_peer('a peer')").await, "42704");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_flows_by_both_sides_words_is_counted_and_waited_for() {
    let (_world, here, there) = two().await;
    // The one that answers takes nothing of moves; the one that dials does not know that until they speak.
    there.run("SELECT gundb.grant_peer('replicator', '{*, !moves}', '{*, !moves}', 'any')").await;
    here.run("INSERT INTO moves (type) VALUES ('Moved')").await;
    comes_to(&here, "SELECT gundb.sync_now('site1', '10 s')", "t").await;
    let figures = "SELECT to_send, to_receive FROM gundb.peer_status";
    comes_to(&here, "SELECT to_send || ',' || to_receive FROM gundb.peer_status", "0,0").await;
    there.run("INSERT INTO moves (type) VALUES ('Moved')").await;
    comes_to(&here, "SELECT gundb.sync_now('site1', '10 s')", "t").await;
    assert_eq!(here.rows(figures).await, [["0", "0"]]);
    assert_eq!(there.rows(figures).await, [["0", "0"]]);
    let clock = here.value("SELECT gundb.site_clock()").await;
    assert_eq!(here.value(&format!("SELECT gundb.wait_for('{clock}', 'site1')")).await, "t");
    // A change of what may flow is no error.
    assert_eq!(here.value("SELECT last_error FROM gundb.peer_status").await, "∅");

    // And back: the site that is dialled waits for the one that dials in, and cannot call it.
    there.run("SELECT gundb.grant_peer('replicator', accept => 'any')").await;
    there.run("INSERT INTO moves (type) VALUES ('Moved')").await;
    let clock = there.value("SELECT gundb.site_clock()").await;
    assert_eq!(there.value(&format!("SELECT gundb.wait_for('{clock}', 'site0', '30 s')")).await, "t");
    assert_eq!(there.refusal("SELECT gundb.sync_now('site0')").await, "42704");
    let told = there.client.batch_execute("SELECT gundb.sync_now('site0')").await.expect_err("it dials in");
    let told = told.as_db_error().expect("an error");
    assert!(told.message().contains("it dials in, as role \"replicator\""), "{told}");
    assert!(told.hint().is_some_and(|hint| hint.contains("call it there")), "{told:?}");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The hello of a site that nobody is.
fn hello() -> String {
    hex(&encode_hello(&Hello {
        protocol: (PROTOCOL, PROTOCOL),
        software: "a test".to_owned(),
        site: SiteId(StreamId::of_name("a test").0),
        run: Run::new(1).expect("a run"),
        name: "nobody".to_owned(),
        push: Filter::all(),
        pull: Filter::all(),
        ways: gundb_core::sync::ways::Ways::default(),
        accept: Accept::Any,
        clock: Clock::new(),
        bundle_bytes_max: 1 << 20,
        now_ms: 0,
    }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_site_that_dials_in_and_brings_what_cannot_be_is_paused_until_somebody_resumes_it() {
    let cluster = Cluster::start(&Postgres::fifteen(), &[]);
    let session = cluster.database("shop").await;
    session.run("CREATE ROLE peer LOGIN; SELECT gundb.grant_peer('peer', accept => 'any')").await;
    let peer = cluster.connect("shop").await;
    peer.run("SET SESSION AUTHORIZATION peer").await;
    let begin = format!("SELECT gundb.session_hello('\\x{}')", hello());
    const OFFENCES: &str = "SELECT offences FROM gundb.peer_state";
    let offend = async |times: usize| {
        for number in 1..=times {
            peer.run(&begin).await;
            assert_eq!(peer.refusal("SELECT gundb.session_push('\\x00')").await, "22P03");
            comes_to(&session, OFFENCES, &number.to_string()).await;
        }
    };
    // A session in between that brings nothing wrong begins the count anew.
    offend(2).await;
    peer.run(&begin).await;
    peer.run(&begin).await;
    comes_to(&session, OFFENCES, "0").await;
    for resume in ["SELECT gundb.resume_peer('nobody')", "SELECT gundb.grant_peer('peer')"] {
        offend(5).await;
        assert_eq!(peer.refusal(&begin).await, "55000");
        let status = session.value("SELECT state || ': ' || last_error FROM gundb.peer_status").await;
        assert!(
            status.starts_with("paused: 5 sessions in a row brought what cannot be; the last: a bundle"),
            "{status}"
        );
        let health = session.value("SELECT status || message FROM gundb.health WHERE \"check\" = 'peers'").await;
        assert!(health.starts_with("WARNING1 peer, 0 connected. nobody: paused"), "{health}");
        session.run(resume).await;
        peer.run(&begin).await;
    }
    assert_eq!(session.value("SELECT state FROM gundb.peer_status").await, "connected");
    // Once it has gone its row can be forgotten.
    drop(peer);
    comes_to(&session, "SELECT state FROM gundb.peer_status", "gone").await;
    session.run("SELECT gundb.drop_peer('nobody')").await;
    assert_eq!(session.value("SELECT state FROM gundb.peer_status").await, "new");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_put_right_by_hand_is_a_warning_no_longer() {
    let (world, here, there) = two().await;
    there.run("CREATE TABLE orders (n integer)").await;
    here.run("SELECT gundb.create_stream('orders'); INSERT INTO orders (type) VALUES ('Ordered')").await;
    comes_to(&there, "SELECT count(*) FROM pg_class WHERE relname = 'orders_2'", "1").await;
    const ADOPTION: &str = "SELECT status FROM gundb.health WHERE \"check\" = 'adoption'";
    comes_to(&there, ADOPTION, "WARNING").await;
    there.run("ALTER TABLE orders RENAME TO own_orders; ALTER TABLE orders_2 RENAME TO orders").await;
    comes_to(&there, ADOPTION, "OK").await;
    comes_to(&there, "SELECT count(*) FROM orders", "1").await;

    // A peer that is dialled again soon is no trouble yet.
    const PEERS: &str = "SELECT status || ' ' || message FROM gundb.health WHERE \"check\" = 'peers'";
    assert_eq!(here.value(PEERS).await, "OK 1 peer, 1 connected.");
    world.set_cables(gundb_clusters::proxy::Cable::Cut);
    comes_to(&here, PEERS, "OK 1 peer, 0 connected.").await;
    let since = "SELECT since FROM gundb.peer_status WHERE state IN ('waiting', 'connecting')";
    let first = here.value(since).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(here.value(since).await, first, "since when there is no session does not change with each try");
    here.run("UPDATE gundb.peer_state SET lost = lost - interval '2 min'").await;
    let told = here.value(PEERS).await;
    assert!(told.starts_with("WARNING 1 peer, 0 connected. site1: no session since "), "{told}");
    world.set_cables(gundb_clusters::proxy::Cable::Whole);
    comes_to(&here, PEERS, "OK 1 peer, 1 connected.").await;

    // A site that comes back as another one, under the name of before, takes the place of its row.
    here.run("SELECT gundb.new_identity('site0')").await;
    here.run("INSERT INTO moves (type) VALUES ('Moved')").await;
    let site = here.value("SELECT gundb.site_id()").await;
    comes_to(&there, "SELECT string_agg(site::text, ',') FROM gundb.peer_status", &site).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_with_another_schema_for_a_type_exchanges_all_the_same() {
    let mut world = World::new(&[Postgres::fifteen()], 1, 2).await;
    let (here, there) = (world.sites[0].session().await, world.sites[1].session().await);
    let insert = |data: &str| format!("INSERT INTO moves (type, data) VALUES ('Received', '{data}')");
    here.run(r#"SELECT gundb.define_event('moves', 'Received', '{"required": ["sku"]}')"#).await;
    there.run(r#"SELECT gundb.define_event('moves', 'Received', '{"required": ["qty"]}')"#).await;
    here.run(&insert(r#"{"sku": "A-1"}"#)).await;
    there.run(&insert(r#"{"qty": 1}"#)).await;
    assert_eq!(here.refusal(&insert(r#"{"qty": 1}"#)).await, "GD003");
    world.link(0, 1, Duration::ZERO).await;
    world.converge(PATIENCE).await;
    comes_to(&here, "SELECT gundb.sync_now('site1', '10 s')", "t").await;
    // What either wrote by its own schema is here and there, and nothing of it waits.
    for session in [&here, &there] {
        assert_eq!(session.value("SELECT count(*) FROM moves").await, "2");
        assert_eq!(session.value("SELECT count(*) FROM gundb.pending").await, "0");
    }
    // From now on one of the two counts at both: the later one of the same version.
    let fits = async |session: &Session| {
        let (sku, qty) = (insert(r#"{"sku": "A-2"}"#), insert(r#"{"qty": 2}"#));
        (session.try_run(&sku).await.is_ok(), session.try_run(&qty).await.is_ok())
    };
    let both = (fits(&here).await, fits(&there).await);
    assert_eq!(both.0, both.1);
    assert_eq!(both.0, (false, true), "the schema that was defined later");
}
