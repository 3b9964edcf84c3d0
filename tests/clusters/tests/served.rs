//! Peers of a PostgreSQL site that `gundb run` serves: by gRPC and by a directory, configured in SQL while it runs; killed, restarted, alone in its place.

mod nodes;

use gundb_clusters::daemon::{Daemon, output};
use gundb_clusters::sites::url;
use gundb_clusters::{Cluster, Postgres, Session, Stop};
use nodes::{PATIENCE, free_port, start, stop, token, until_same};
use std::path::Path;
use std::time::{Duration, Instant};

/// Waits until a question is answered by "t".
async fn until(session: &Session, sql: &str) {
    let begun = Instant::now();
    while session.value(sql).await != "t" {
        if begun.elapsed() >= PATIENCE {
            panic!("{sql}\n{:#?}", session.rows("SELECT * FROM gundb.peer_status").await);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn until_state(session: &Session, peer: &str, state: &str) {
    until(session, &format!("SELECT state = '{state}' FROM gundb.peer_status WHERE peer = '{peer}'")).await;
}

/// A database that is a site, with a role that may serve its peers.
async fn site(cluster: &Cluster, name: &str) -> Session {
    let session = cluster.database(name).await;
    session.run(&format!("SELECT gundb.set_site_name('{name}'), gundb.create_stream('moves')")).await;
    session.run(&format!("CREATE ROLE {name}_gateway LOGIN; SELECT gundb.grant_daemon('{name}_gateway')")).await;
    session
}

fn store(cluster: &Cluster, name: &str) -> String {
    url(cluster.home(), &format!("{name}_gateway"), name)
}

/// What a node needs to be dialled by a site with a token.
fn listens(port: u16, name: &str, token: &Path) -> String {
    format!(
        "[listen]\naddress = \"127.0.0.1:{port}\"\n[[grant]]\nname = \"{name}\"\ntoken_file = \"{}\"\naccept = \"any\"\n",
        token.display()
    )
}

async fn append(session: &Session, count: usize) {
    session
        .run(&format!(
            "INSERT INTO moves (type, data) SELECT 'Moved', jsonb_build_object('n', n) FROM generate_series(1, {count}) n"
        ))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_by_grpc_is_served_as_it_is_configured_in_sql() {
    let cluster = Cluster::start(&Postgres::fifteen(), &[]);
    let paris = site(&cluster, "paris").await;
    append(&paris, 500).await;
    let directory = tempfile::tempdir().expect("a directory");
    let (token, port) = (token(directory.path(), "paris"), free_port());
    let boat = start(directory.path(), "boat", listens(port, "paris", &token)).await;
    boat.append(300);
    let way = format!("grpc://127.0.0.1:{port}?tokenfile={}", token.display());

    let daemon = Daemon::start(&store(&cluster, "paris"), &[]);
    paris.run(&format!("SELECT gundb.add_peer('boat', '{way}')")).await;
    until_same(&paris, &[&boat], "the first exchange").await;
    until_state(&paris, "boat", "connected").await;
    assert_eq!(paris.value("SELECT gundb.sync_now('boat', '30 s')").await, "t");
    let status = "SELECT role IS NULL AND site IS NOT NULL AND events_sent >= 500 AND events_received >= 300 AND bytes_sent > 0
                     AND to_send = 0 AND to_receive = 0 AND last_error IS NULL AND software LIKE 'gundb %' AND last_contact IS NOT NULL
                    FROM gundb.peer_status WHERE peer = 'boat'";
    assert_eq!(paris.value(status).await, "t", "{:?}", paris.rows("SELECT * FROM gundb.peer_status").await);
    for turn in 0..3 {
        append(&paris, 1).await;
        boat.append(1);
        until_same(&paris, &[&boat], &format!("news {turn}")).await;
        let clock = paris.value("SELECT gundb.site_clock()").await;
        assert_eq!(paris.value(&format!("SELECT gundb.wait_for('{clock}', 'boat', '30 s')")).await, "t");
    }
    // A large transaction goes in parts, each way.
    append(&paris, 10_000).await;
    boat.append(10_000);
    until_same(&paris, &[&boat], "large transactions").await;
    assert_eq!(paris.value("SELECT status FROM gundb.health WHERE \"check\" = 'peers'").await, "OK");

    // Nothing flows while it is paused, and all of it afterwards.
    paris.run("SELECT gundb.pause_peer('boat', 'a storm')").await;
    until_state(&paris, "boat", "paused").await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let held = boat.edge.clock().to_string();
    append(&paris, 5).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(boat.edge.clock().to_string(), held);
    paris.run("SELECT gundb.resume_peer('boat')").await;
    until_same(&paris, &[&boat], "resumed").await;

    // What flows is what is said now.
    paris.run("SELECT gundb.create_stream('secrets')").await;
    paris.run("SELECT gundb.alter_peer('boat', push => '{*, !secrets}')").await;
    paris.run("INSERT INTO secrets (type) VALUES ('Told')").await;
    append(&paris, 1).await;
    assert_eq!(paris.value("SELECT gundb.sync_now('boat', '30 s')").await, "t");
    // What does not flow there is not waited for.
    let clock = paris.value("SELECT gundb.site_clock()").await;
    assert_eq!(paris.value(&format!("SELECT gundb.wait_for('{clock}', 'boat', '30 s')")).await, "t");
    assert!(boat.edge.clock().to_string() != paris.value("SELECT gundb.site_clock()").await);
    paris.run("SELECT gundb.alter_peer('boat', push => '{*}')").await;
    until_same(&paris, &[&boat], "everything flows again").await;

    // A peer that is dropped is gone; one that cannot be reached says why.
    paris.run("SELECT gundb.drop_peer('boat')").await;
    assert_eq!(paris.value("SELECT count(*) FROM gundb.peer_status").await, "0");
    paris.run(&format!("SELECT gundb.add_peer('ghost', 'grpc://127.0.0.1:{}')", free_port())).await;
    until(
        &paris,
        "SELECT state = 'waiting' AND last_error LIKE '%refused%' FROM gundb.peer_status WHERE peer = 'ghost'",
    )
    .await;
    paris.run(&format!("SELECT gundb.drop_peer('ghost'), gundb.add_peer('boat', '{way}')")).await;
    append(&paris, 1).await;
    until_same(&paris, &[&boat], "added again").await;
    daemon.stop();
    until_state(&paris, "boat", "gone").await;
    assert_eq!(paris.value("SELECT count(*) FROM gundb.pending").await, "0");
    stop([boat]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_postgresql_sites_exchange_through_two_daemons() {
    let cluster = Cluster::start(&Postgres::fifteen(), &[]);
    let (paris, tokyo) = (site(&cluster, "paris").await, site(&cluster, "tokyo").await);
    tokyo.run("CREATE ROLE paris LOGIN; SELECT gundb.grant_peer('paris', accept => 'any')").await;
    append(&paris, 400).await;
    append(&tokyo, 300).await;
    let directory = tempfile::tempdir().expect("a directory");
    let (token, port) = (token(directory.path(), "paris"), free_port());
    let configuration = directory.path().join("tokyo.toml");
    std::fs::write(&configuration, listens(port, "paris", &token).replace("accept = \"any\"", "role = \"paris\""))
        .expect("a configuration");
    let answers = Daemon::start(&store(&cluster, "tokyo"), &["--config", configuration.to_str().expect("a path")]);
    let dials = Daemon::start(&store(&cluster, "paris"), &[]);
    paris
        .run(&format!("SELECT gundb.add_peer('tokyo', 'grpc://127.0.0.1:{port}?tokenfile={}')", token.display()))
        .await;
    for turn in 0..3 {
        let both =
            format!("(SELECT gundb.wait_for('{}', timeout => '30 s'))", paris.value("SELECT gundb.site_clock()").await);
        assert_eq!(tokyo.value(&both).await, "t", "turn {turn}");
        let both =
            format!("(SELECT gundb.wait_for('{}', timeout => '30 s'))", tokyo.value("SELECT gundb.site_clock()").await);
        assert_eq!(paris.value(&both).await, "t", "turn {turn}");
        assert_eq!(
            paris.value("SELECT gundb.digest('moves')").await,
            tokyo.value("SELECT gundb.digest('moves')").await
        );
        append(&paris, 1).await;
        append(&tokyo, 1).await;
    }
    assert_eq!(paris.value("SELECT gundb.sync_now('tokyo', '30 s')").await, "t");
    assert_eq!(paris.value("SELECT state FROM gundb.peer_status WHERE peer = 'tokyo'").await, "connected");
    assert_eq!(tokyo.value("SELECT peer FROM gundb.peer_status WHERE role = 'paris'").await, "paris");
    dials.stop();
    answers.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_carries_between_a_postgresql_site_and_an_edge_node() {
    let cluster = Cluster::start(&Postgres::fifteen(), &[]);
    let paris = site(&cluster, "paris").await;
    append(&paris, 300).await;
    let directory = tempfile::tempdir().expect("a directory");
    let share = directory.path().join("share");
    std::fs::create_dir(&share).expect("a directory");
    gundb_transport::file::prepare(&share).expect("a marker");
    let way = format!("file://{}", share.display());
    let boat =
        start(directory.path(), "boat", format!("[[peer]]\nname = \"paris\"\nurl = \"{way}\"\ninterval = 1\n")).await;
    boat.append(200);
    paris.run(&format!("SELECT gundb.add_peer('boat', '{way}', options => '{{\"interval\": 1}}')")).await;
    let daemon = Daemon::start(&store(&cluster, "paris"), &[]);
    until_same(&paris, &[&boat], "the first exchange").await;
    append(&paris, 20).await;
    boat.append(10);
    until_same(&paris, &[&boat], "news").await;
    // A transaction that is larger than a bundle.
    append(&paris, 10_000).await;
    until_same(&paris, &[&boat], "a large transaction").await;
    // Its receipts come, and what was confirmed is removed.
    let clock = paris.value("SELECT gundb.site_clock()").await;
    assert_eq!(paris.value(&format!("SELECT gundb.wait_for('{clock}', 'boat', '30 s')")).await, "t");
    assert_eq!(paris.value("SELECT gundb.sync_now('boat', '30 s')").await, "t");
    let status =
        "SELECT state = 'connected' AND bytes_sent > 0 AND bytes_received > 0 AND to_send = 0 AND site IS NOT NULL
                    FROM gundb.peer_status WHERE peer = 'boat'";
    assert_eq!(paris.value(status).await, "t", "{:?}", paris.rows("SELECT * FROM gundb.peer_status").await);
    let names = |folder: &str| {
        let entries = std::fs::read_dir(share.join(folder)).expect("a folder");
        entries.map(|entry| entry.expect("a file").file_name().into_string().expect("a name")).collect::<Vec<_>>()
    };
    assert_eq!(names("paris--boat"), ["hello"]);
    daemon.stop();
    // Once by hand, and what may not come does not.
    append(&paris, 7).await;
    let said = output(&store(&cluster, "paris"), &["sync", "--once", "boat"]);
    assert!(said.status.success(), "{said:?}");
    until_same(&paris, &[&boat], "once").await;
    let unknown = output(&store(&cluster, "paris"), &["sync", "--once", "boot"]);
    assert_eq!(unknown.status.code(), Some(4), "{unknown:?}");
    stop([boat]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled_where_the_daemon_or_the_server_dies() {
    let cluster = Cluster::start(&Postgres::fifteen(), &[]);
    let mut paris = site(&cluster, "paris").await;
    let directory = tempfile::tempdir().expect("a directory");
    let (token, port) = (token(directory.path(), "paris"), free_port());
    let boat = start(directory.path(), "boat", listens(port, "paris", &token)).await;
    let way = format!("grpc://127.0.0.1:{port}?tokenfile={}", token.display());
    paris.run(&format!("SELECT gundb.add_peer('boat', '{way}')")).await;
    let home = store(&cluster, "paris");
    let configuration = directory.path().join("paris.toml");
    std::fs::write(&configuration, "reconnect_max = 1\n").expect("a configuration");
    let arguments = ["--config", configuration.to_str().expect("a path")];
    let mut daemon = Daemon::start(&home, &arguments);

    // One is enough.
    let second = output(&home, &["run"]);
    assert_eq!(second.status.code(), Some(6), "{second:?}");
    assert!(String::from_utf8_lossy(&second.stderr).contains("another gundb run serves this database"), "{second:?}");

    let mut appended = (0, 0);
    for turn in 0..6 {
        append(&paris, 700).await;
        boat.append(500);
        appended = (appended.0 + 700, appended.1 + 500);
        tokio::time::sleep(Duration::from_millis(40 * turn)).await;
        match turn % 3 {
            0 => {
                daemon.kill();
                append(&paris, 50).await;
                appended.0 += 50;
                daemon = Daemon::start(&home, &arguments);
            }
            1 => {
                cluster.restart();
                paris = cluster.connect("paris").await;
            }
            _ => {
                cluster.stop(Stop::Immediate);
                boat.append(50);
                appended.1 += 50;
                cluster.launch();
                paris = cluster.connect("paris").await;
            }
        }
        append(&paris, 10).await;
        appended.0 += 10;
    }
    until_same(&paris, &[&boat], "in the end").await;
    assert_eq!(paris.number("SELECT count(*) FROM moves").await, appended.0 + appended.1);
    assert_eq!(paris.number("SELECT count(DISTINCT id) FROM moves").await, appended.0 + appended.1);
    assert_eq!(paris.value("SELECT count(*) FROM gundb.pending").await, "0");
    until_state(&paris, "boat", "connected").await;
    daemon.stop();
    stop([boat]).await;
}
