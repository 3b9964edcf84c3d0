//! Two histories under one dot, as a memory image that is resumed twice would write them: planted here by hand.
//!
//! A copy of a database gets events in a lane of the original's run, with right chains, and the original goes on in that lane.

use gundb_clusters::proxy::until;
use gundb_clusters::sites::{Site, Topology, World};
use gundb_clusters::{Postgres, Session, events};
use gundb_core::chain::{Header, content_hash};
use gundb_core::{Chain, Hlc, SiteId};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(90);
const ZERO: &str = "00000000-0000-0000-0000-000000000000";

/// Continues the lane in which the event of a key stands by so many events, with whose chains nothing is wrong.
async fn forge(session: &Session, key: &str, count: u64) {
    let lane = format!("SELECT site, lane FROM moves WHERE key = '{key}'");
    session.run("ALTER TABLE moves DISABLE TRIGGER ALL").await;
    for _ in 0..count {
        let head = session
            .rows(&format!(
                "SELECT site, lane, seq, hlc, epoch, chain, gen_random_uuid() FROM moves WHERE (site, lane) IN ({lane}) ORDER BY seq DESC LIMIT 1"
            ))
            .await
            .remove(0);
        let [site, lane, seq, hlc, epoch, chain, id] = <[String; 7]>::try_from(head).expect("seven columns");
        let (seq, hlc, epoch) = (seq.parse::<u64>().unwrap() + 1, hlc.parse::<Hlc>().unwrap(), epoch.parse().unwrap());
        let hlc = Hlc::new(hlc.millis(), hlc.counter() + 1).expect("a stamp");
        let data = format!(r#"{{"n": 1, "name": "forged.{seq}"}}"#);
        let header = Header { xact: hlc, hlc, id: id.parse::<SiteId>().unwrap().0, kind: "Moved", epoch };
        let content = content_hash(&[0; 16], Some("forged"), &data, "{}");
        let chain = chain.parse::<Chain>().expect("a chain").next(&header, &content);
        session
            .run(&format!(
                "INSERT INTO moves (site, lane, seq, hlc, xact, epoch, id, chain, salt, type, key, data, meta)
                 VALUES ('{site}', '{lane}', {seq}, '{hlc}', '{hlc}', {epoch}, '{id}', '{chain}', '{ZERO}', 'Moved', 'forged', '{data}', '{{}}')"
            ))
            .await;
    }
    session
        .run(
            "DO $$DECLARE t name; BEGIN
                 FOR t IN SELECT tgname FROM pg_trigger WHERE tgrelid = 'moves'::regclass AND NOT tgisinternal LOOP
                     EXECUTE format('ALTER TABLE moves ENABLE ALWAYS TRIGGER %I', t);
                 END LOOP;
             END$$",
        )
        .await;
    session.run("SELECT gundb.rebuild_view('stock')").await;
    events::assert_whole(session, "moves").await;
}

async fn comes_to(session: &Session, sql: &str, wanted: &str) {
    until(PATIENCE, async || session.value(sql).await == wanted, || format!("{wanted} of {sql}")).await;
}

fn insert(key: &str) -> String {
    format!(r#"INSERT INTO moves (type, key, data) VALUES ('Moved', '{key}', '{{"n": 1, "name": "{key}"}}')"#)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forked_lane_is_refused_both_histories_are_kept_and_all_else_goes_on() {
    let mut world = World::new(&[Postgres::fifteen()], 2, 2).await;
    world.connect_all(Topology::Chain).await;
    let (original, hub) = (world.sites[0].session().await, world.sites[1].session().await);
    original.run(&insert("shared")).await;
    world.converge(PATIENCE).await;
    original.run("SELECT gundb.pause_peer('site1')").await;
    drop(original);
    let server = world.servers[0].clone();
    server.connect("postgres").await.run("CREATE DATABASE copy TEMPLATE site0").await;
    world.sites.push(Site { cluster: server, database: "copy".to_owned() });
    let (original, copy) = (world.sites[0].session().await, world.sites[2].session().await);

    // The original goes on in its lane, and the copy, of which nothing is known yet, further.
    original.run("SELECT gundb.resume_peer('site1')").await;
    original.run(&insert("original 1")).await;
    original.run(&insert("original 2")).await;
    assert_eq!(original.value("SELECT count(DISTINCT lane) FROM moves").await, "1");
    comes_to(&hub, "SELECT count(*) FROM moves", "3").await;
    forge(&copy, "shared", 3).await;
    copy.run("SELECT gundb.resume_peer('site1')").await;

    // The third does not follow from the second that is held.
    comes_to(&hub, "SELECT count(*) FROM gundb.pending WHERE kind = 'fork' AND sqlstate = 'GD016'", "1").await;
    assert_eq!(hub.value("SELECT count(*) FROM moves WHERE key = 'forged'").await, "0");
    let evidence = hub.value("SELECT transaction FROM gundb.refused WHERE kind = 'fork'").await;
    assert!(evidence.contains("forged.4"), "{evidence}");
    let health = hub.rows("SELECT status, message FROM gundb.health WHERE \"check\" = 'pending'").await;
    assert_eq!(health[0][0], "CRITICAL", "{health:?}");

    // The original and the hub notice nothing of it.
    hub.run(&insert("hub 1")).await;
    original.run(&insert("original 3")).await;
    original.run(&insert("original 4")).await;
    for session in [&original, &hub] {
        comes_to(session, "SELECT count(*) FROM moves", "6").await;
    }
    // What has not seen it comes to the copy too, which says as well that there are two histories, and keeps its own.
    copy.run(&insert("copy 1")).await;
    comes_to(&copy, "SELECT count(*) FROM moves WHERE key LIKE 'hub%'", "1").await;
    comes_to(&copy, "SELECT count(*) FROM gundb.pending WHERE kind = 'fork' AND sqlstate = 'GD016'", "1").await;
    assert_eq!(copy.value("SELECT count(*) FROM moves WHERE key = 'forged'").await, "3");
    comes_to(&copy, "SELECT last_error LIKE '%refused%' FROM gundb.peer_status WHERE peer = 'site1'", "t").await;
    for session in [&original, &hub, &copy] {
        events::assert_whole(session, "moves").await;
    }
    // As a site of its own it goes on.
    copy.run("SELECT gundb.new_identity('parted')").await;
    copy.run(&insert("parted")).await;
    comes_to(&hub, "SELECT count(*) FROM moves WHERE key = 'parted'", "1").await;
    comes_to(&original, "SELECT count(*) FROM moves WHERE key = 'parted'", "1").await;
}
