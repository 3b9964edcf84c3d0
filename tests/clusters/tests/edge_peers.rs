//! Edge nodes that dial PostgreSQL by its own sessions, and others by way of them.

mod nodes;

use gundb_clusters::sites::url;
use gundb_clusters::{Cluster, Postgres};
use gundb_node::peers::config::Config;
use nodes::{Node, PATIENCE, free_port, start, stop, token, until_same};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_node_dials_postgresql_and_brings_what_another_brings_it() {
    let cluster = Cluster::start(&Postgres::fifteen(), &[]);
    let paris = cluster.database("paris").await;
    paris.run("SELECT gundb.set_site_name('paris'), gundb.create_stream('moves')").await;
    paris.run("CREATE ROLE boat LOGIN").await;
    paris.run("SELECT gundb.grant_peer('boat', accept => 'any')").await;
    paris
        .run("INSERT INTO moves (type, data) SELECT 'Moved', jsonb_build_object('n', n) FROM generate_series(1, 500) n")
        .await;

    let directory = tempfile::tempdir().expect("a directory");
    let token = token(directory.path(), "buoy");
    let port = free_port();
    let boat = start(
        directory.path(),
        "boat",
        format!(
            "[[peer]]\nname = \"paris\"\nurl = \"{}\"\n[listen]\naddress = \"127.0.0.1:{port}\"\n\
             [[grant]]\nname = \"buoy\"\ntoken_file = \"{}\"\naccept = \"any\"\n",
            url(cluster.home(), "boat", "paris"),
            token.display()
        ),
    )
    .await;
    boat.append(300);
    until_same(&paris, &[&boat], "the first exchange").await;
    let buoy = start(
        directory.path(),
        "buoy",
        format!("[[peer]]\nname = \"boat\"\nurl = \"grpc://127.0.0.1:{port}?tokenfile={}\"\n", token.display()),
    )
    .await;
    buoy.append(200);
    until_same(&paris, &[&boat, &buoy], "one only through another").await;
    // News goes each way at once.
    for turn in 0..5 {
        paris.run("INSERT INTO moves (type) VALUES ('Moved')").await;
        buoy.append(1);
        until_same(&paris, &[&boat, &buoy], &format!("news {turn}")).await;
    }
    // The site hears what a node took in, though nothing more is exchanged.
    for _ in 0..3 {
        paris.run("INSERT INTO moves (type) VALUES ('Moved')").await;
        assert_eq!(paris.value("SELECT gundb.wait_for(gundb.site_clock(), 'boat', '20 s')").await, "t");
    }
    // The server restarts: the session is dialled again.
    cluster.restart();
    let paris = cluster.connect("paris").await;
    paris.run("INSERT INTO moves (type) VALUES ('Moved')").await;
    buoy.append(10);
    until_same(&paris, &[&boat, &buoy], "after a restart").await;
    assert_eq!(paris.value("SELECT count(*) FROM gundb.pending").await, "0");
    let name = paris.value("SELECT peer FROM gundb.peer_status WHERE role = 'boat'").await;
    assert_eq!(name, "boat");
    stop([boat, buoy]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_answers_by_grpc_through_a_relay() {
    use gundb_node::peers::relay::Relay;
    use gundb_transport::grpc::{ServerSettings, serve};
    use std::convert::Infallible;
    let cluster = Cluster::start(&Postgres::fifteen(), &[]);
    let paris = cluster.database("paris").await;
    paris.run("SELECT gundb.set_site_name('paris'), gundb.create_stream('moves')").await;
    paris.run("CREATE ROLE gateway LOGIN; CREATE ROLE boat LOGIN").await;
    paris.run("SELECT gundb.grant_peer('boat', accept => 'any')").await;
    paris.run("INSERT INTO moves (type) SELECT 'Moved' FROM generate_series(1, 300)").await;
    let directory = tempfile::tempdir().expect("a directory");
    let tokens = ["boat", "thief"].map(|name| token(directory.path(), name));
    let grants = ["role = \"boat\"", ""].iter().zip(&tokens).enumerate();
    let grants = grants.map(|(at, (role, token))| {
        format!("[[grant]]\nname = \"g{at}\"\ntoken_file = \"{}\"\n{role}\n", token.display())
    });
    let config = Config::parse(&grants.collect::<String>(), Path::new("test")).expect("a configuration");
    let target = gundb_transport::postgres::Target::parse(&url(cluster.home(), "gateway", "paris")).expect("a URL");
    let relay = Relay::new(target, &config, tokio::runtime::Handle::current()).expect("a relay");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let port = listener.local_addr().expect("its address").port();
    let (stops, stopped) = tokio::sync::watch::channel(false);
    let served =
        tokio::spawn(serve::<_, Infallible>(listener, ServerSettings::default(), Arc::new(relay), None, stopped));

    let dials = |token: &Path| {
        format!("[[peer]]\nname = \"paris\"\nurl = \"grpc://127.0.0.1:{port}?tokenfile={}\"\n", token.display())
    };
    let boat = start(directory.path(), "boat", dials(&tokens[0])).await;
    boat.append(200);
    until_same(&paris, &[&boat], "the first exchange").await;
    paris.run("INSERT INTO moves (type) VALUES ('Moved')").await;
    until_same(&paris, &[&boat], "news").await;
    // The role of one without a role of its own was granted nothing.
    let thief = start(directory.path(), "thief", dials(&tokens[1])).await;
    let begun = Instant::now();
    let is_told = |thief: &Node| {
        let states = thief.daemon.states().all();
        states
            .values()
            .any(|state| state.error.as_ref().is_some_and(|error| error.contains("does not take this site as a peer")))
    };
    while !is_told(&thief) {
        assert!(begun.elapsed() < PATIENCE, "{:?}", thief.daemon.states().all());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stop([thief, boat]).await;
    stops.send_replace(true);
    served.await.expect("an end").expect("a good one");
}
