//! Couriers of a PostgreSQL site that `gundb run` serves: through a command, from a peer that may bring its own events alone, and by a role that may not serve.

mod nodes;

use gundb_clusters::daemon::{Daemon, command, output};
use gundb_clusters::sites::url;
use gundb_clusters::{Cluster, Postgres, Session};
use nodes::{PATIENCE, start, stop, until_same};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
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

/// A database that is a site, and the URL by which a role serves its peers.
async fn site(cluster: &Cluster, name: &str) -> (Session, String) {
    let session = cluster.database(name).await;
    session.run(&format!("SELECT gundb.set_site_name('{name}'), gundb.create_stream('moves')")).await;
    session.run(&format!("CREATE ROLE {name}_gateway LOGIN; SELECT gundb.grant_daemon('{name}_gateway')")).await;
    (session, url(cluster.home(), &format!("{name}_gateway"), name))
}

async fn append(session: &Session, count: usize) {
    session
        .run(&format!(
            "INSERT INTO moves (type, data) SELECT 'Moved', jsonb_build_object('n', n) FROM generate_series(1, {count}) n"
        ))
        .await;
}

/// A command that keeps what it is given for the peer, a file a run, and gives what lies there for this site.
fn mail(place: &Path) -> String {
    let place = place.display();
    format!(
        "exec:set -e; cd {place}; f=$(mktemp .new-XXXXXX); cat >$f; mv $f to-$GUNDB_PEER-${{f#.new-}}; \
         for f in to-$GUNDB_SITE-*; do test -e $f || continue; cat $f; rm $f; done"
    )
}

/// Runs a command over an edge node's store.
fn says(store: &Path, arguments: &[&str]) -> String {
    let output = output(store.to_str().expect("a path"), arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_carries_between_a_postgresql_site_and_an_edge_node() {
    let cluster = Cluster::start(&Postgres::fifteen(), &[]);
    let (paris, home) = site(&cluster, "paris").await;
    append(&paris, 300).await;
    let directory = tempfile::tempdir().expect("a directory");
    let place = directory.path().join("mail");
    std::fs::create_dir(&place).expect("a directory");
    let way = mail(&place);
    let peer = format!("[[peer]]\nname = \"paris\"\nurl = '{way}'\ninterval = 1\nresend = 2\n");
    let boat = start(directory.path(), "boat", peer).await;
    boat.append(200);
    let options = r#"{"interval": 1, "resend": 2, "timeout": 20}"#;
    paris.run(&format!("SELECT gundb.add_peer('boat', '{way}', options => '{options}')")).await;
    let daemon = Daemon::start(&home, &[]);
    until_same(&paris, &[&boat], "the first exchange").await;
    append(&paris, 20).await;
    boat.append(10);
    // Larger than a bundle.
    append(&paris, 10_000).await;
    until_same(&paris, &[&boat], "news, and a large transaction").await;
    let clock = paris.value("SELECT gundb.site_clock()").await;
    assert_eq!(paris.value(&format!("SELECT gundb.wait_for('{clock}', 'boat', '30 s')")).await, "t");
    let status =
        "SELECT state = 'connected' AND bytes_sent > 0 AND bytes_received > 0 AND to_send = 0 AND last_error IS NULL
                    FROM gundb.peer_status WHERE peer = 'boat'";
    until(&paris, status).await;

    // One that fails says why; what was committed meanwhile goes once it works.
    paris.run("SELECT gundb.alter_peer('boat', url => 'exec:echo the modem is wet >&2; exit 3')").await;
    append(&paris, 5).await;
    until(&paris, "SELECT last_error LIKE '%status 3%modem is wet%' FROM gundb.peer_status WHERE peer = 'boat'").await;
    let once = output(&home, &["sync", "--once", "boat"]);
    assert!(!once.status.success(), "{once:?}");
    paris.run(&format!("SELECT gundb.alter_peer('boat', url => '{way}')")).await;
    until_same(&paris, &[&boat], "the command works again").await;
    until(&paris, "SELECT state = 'connected' FROM gundb.peer_status WHERE peer = 'boat'").await;
    assert_eq!(paris.value("SELECT count(*) FROM gundb.pending").await, "0");
    daemon.stop();
    stop([boat]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_by_directory_that_may_bring_its_own_events_brings_those_and_no_others() {
    let cluster = Cluster::start(&Postgres::fifteen(), &[]);
    let (paris, home) = site(&cluster, "paris").await;
    let directory = tempfile::tempdir().expect("a directory");
    let at = |name: &str| directory.path().join(name);
    std::fs::create_dir(at("share")).expect("a directory");
    gundb_transport::file::prepare(&at("share")).expect("a marker");
    let way = format!("file://{}", at("share").display());

    // The boat holds what the buoy wrote, and had not seen it when it wrote its own.
    for (name, count) in [("boat", 5), ("buoy", 7)] {
        says(&at(name), &["init", "--name", name]);
        says(&at(name), &["stream", "create", "moves"]);
        for n in 0..count {
            says(&at(name), &["append", "moves", "Moved", "--key", name, "--data", &n.to_string()]);
        }
    }
    says(&at("buoy"), &["bundle", "export", at("bundles").to_str().expect("a path")]);
    let bundles = std::fs::read_dir(at("bundles")).expect("bundles").map(|entry| entry.expect("a file").path());
    for bundle in bundles {
        says(&at("boat"), &["bundle", "import", bundle.to_str().expect("a path")]);
    }
    says(&at("boat"), &["peer", "add", "paris", &way]);

    // Paris says that it takes anybody's, the boat puts that, and then paris takes the boat's alone.
    paris.run(&format!("SELECT gundb.add_peer('boat', '{way}', options => '{{\"interval\": 1}}')")).await;
    output(&home, &["sync", "--once", "boat"]);
    output(at("boat").to_str().expect("a path"), &["sync", "--once", "paris"]);
    paris.run("SELECT gundb.alter_peer('boat', accept => 'own')").await;
    let daemon = Daemon::start(&home, &[]);
    let told = "SELECT last_error LIKE '%may bring what it wrote itself, and nothing else%' FROM gundb.peer_status WHERE peer = 'boat'";
    until(&paris, told).await;
    assert_eq!(paris.value("SELECT count(*) FROM moves WHERE key = 'buoy'").await, "0");

    // The boat hears it, and takes back what is not wanted.
    let begun = Instant::now();
    while paris.value("SELECT count(*) FROM moves").await != "5" {
        assert!(begun.elapsed() < PATIENCE, "{:#?}", paris.rows("SELECT * FROM gundb.peer_status").await);
        output(at("boat").to_str().expect("a path"), &["sync", "--once", "paris"]);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(paris.value("SELECT bool_and(key = 'boat') FROM moves").await, "t");
    assert_eq!(paris.value("SELECT count(*) FROM gundb.pending").await, "0");
    // Anybody's again: what was kept back comes.
    paris.run("SELECT gundb.alter_peer('boat', accept => 'any')").await;
    let begun = Instant::now();
    while paris.value("SELECT count(*) FROM moves").await != "12" {
        assert!(begun.elapsed() < PATIENCE, "{:#?}", paris.rows("SELECT * FROM gundb.peer_status").await);
        output(at("boat").to_str().expect("a path"), &["sync", "--once", "paris"]);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_may_not_serve_peers_is_told_what_to_grant() {
    let cluster = Cluster::start(&Postgres::fifteen(), &[]);
    let (paris, _) = site(&cluster, "paris").await;
    let directory = tempfile::tempdir().expect("a directory");
    gundb_transport::file::prepare(directory.path()).expect("a marker");
    let way = format!("file://{}", directory.path().display());
    paris.run(&format!("SELECT gundb.add_peer('boat', '{way}', options => '{{\"interval\": 1}}')")).await;
    paris.run("CREATE ROLE nobody LOGIN").await;
    let home = url(cluster.home(), "nobody", "paris");
    for arguments in [&["sync", "--once", "boat"][..], &["sync", "--once"]] {
        let refused = output(&home, arguments);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(7), "{said}");
        assert!(said.contains("nobody") && said.contains("SELECT gundb.grant_daemon('nobody')"), "{said}");
    }
    // The daemon says it and stays: who dials in may still be served.
    let mut alone = command(&home, &["run"]).stderr(Stdio::piped()).spawn().expect("gundb run");
    let lines = BufReader::new(alone.stderr.take().expect("its errors")).lines().map_while(Result::ok);
    let said = lines.into_iter().find(|line| line.contains("may not serve peers")).expect("a word about it");
    assert!(said.contains("SELECT gundb.grant_daemon('nobody');"), "{said}");
    assert_eq!(alone.try_wait().expect("how it goes"), None);
    assert_eq!(paris.value("SELECT state FROM gundb.peer_status WHERE peer = 'boat'").await, "new");
    alone.kill().expect("kill");
    alone.wait().expect("its end");
    paris.run("SELECT gundb.grant_daemon('nobody')").await;
    let daemon = Daemon::start(&home, &[]);
    until(&paris, "SELECT state = 'connected' FROM gundb.peer_status WHERE peer = 'boat'").await;
    daemon.stop();
}
