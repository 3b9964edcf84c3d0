//! The worker that dials: what is seen of a peer that cannot be had, that nothing waits for it, and that what is wrong with one concerns no other.

use gundb_clusters::wire::Wire;
use gundb_clusters::{Cluster, Postgres, Session, Stop};
use gundb_core::sync::filter::Filter;
use gundb_core::sync::message::{Accept, Hello, PROTOCOL};
use gundb_core::{Clock, Run, SiteId, StreamId};
use std::time::{Duration, Instant};

/// However slow the machine is, what is expected comes within this time.
const PATIENCE: Duration = Duration::from_secs(60);

/// A site: a server with a database `shop` and a stream.
struct Site {
    cluster: Cluster,
    session: Session,
}

impl Site {
    async fn start(name: &str) -> Site {
        let cluster = Cluster::listening(&Postgres::fifteen(), &[]);
        let session = cluster.database("shop").await;
        session.run(&format!("SELECT gundb.set_site_name('{name}')")).await;
        Site { cluster, session }
    }

    /// Lets others dial in as the role `peer`.
    async fn open(&self) {
        self.session.run("CREATE ROLE peer LOGIN; SELECT gundb.grant_peer('peer', accept => 'any')").await;
    }

    fn url(&self, port: u16) -> String {
        format!("postgres://peer@127.0.0.1:{port}/shop")
    }

    async fn add(&self, peer: &str, url: &str) {
        self.session.run(&format!("SELECT gundb.add_peer('{peer}', '{url}')")).await;
    }

    async fn append(&self, count: u32) {
        self.session.run(&format!("INSERT INTO moves (type) SELECT 'Moved' FROM generate_series(1, {count})")).await;
    }

    /// Waits until a query gives this.
    async fn comes_to(&self, query: &str, expected: &str) {
        let until = Instant::now() + PATIENCE;
        loop {
            let value = self.session.value(query).await;
            if value == expected {
                return;
            }
            assert!(Instant::now() < until, "{query} gives {value}, not {expected}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until the last error of a peer has these words.
    async fn says(&self, peer: &str, words: &str) {
        let until = Instant::now() + PATIENCE;
        let query = format!("SELECT coalesce(last_error, '') FROM gundb.peer_status WHERE peer = '{peer}'");
        loop {
            let said = self.session.value(&query).await;
            if said.contains(words) {
                return;
            }
            assert!(Instant::now() < until, "of {peer} is said \"{said}\", not \"{words}\"");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

const COUNT: &str = "SELECT count(*) FROM moves";
const WORKER: &str = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'gundb worker' AND datname = 'shop'";

#[tokio::test]
async fn what_is_wrong_with_a_peer_is_said_and_concerns_no_other() {
    let (paris, tokyo) = (Site::start("paris").await, Site::start("tokyo").await);
    tokyo.open().await;
    tokyo.session.run("CREATE ROLE stranger LOGIN").await;
    tokyo.session.run("CREATE DATABASE bare").await;
    paris.session.run("CREATE ROLE peer LOGIN; SELECT gundb.grant_peer('peer')").await;
    paris.session.run("SELECT gundb.create_stream('moves')").await;
    let port = tokyo.cluster.port();
    let web = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let web_port = web.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = web.accept() {
            // Whoever is not understood is told so, and kept.
            let _ = std::io::Write::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n");
            std::mem::forget(stream);
        }
    });
    let worker = paris.session.value(WORKER).await;
    let cases = [
        ("nobody", "postgres://peer@127.0.0.1:1/shop".to_owned(), "the connection was refused"),
        ("nowhere", "postgres://peer@nowhere.invalid/shop".to_owned(), "nowhere.invalid cannot be found"),
        ("stranger", format!("postgres://stranger@127.0.0.1:{port}/shop"), "does not take the role stranger as a peer"),
        ("bare", format!("postgres://peer@127.0.0.1:{port}/bare"), "does not have the extension gundb"),
        ("plain", format!("{}?sslmode=require", tokyo.url(port)), "does not offer TLS"),
        ("web", tokyo.url(web_port), "does not speak as a PostgreSQL server does"),
        ("itself", paris.url(paris.cluster.port()), "a site cannot be its own peer"),
        ("tokyo", tokyo.url(port), ""),
    ];
    for (peer, url, _) in &cases {
        paris.add(peer, url).await;
    }
    for (peer, _, words) in &cases {
        paris.says(peer, words).await;
    }
    // What to do is said once, and in sentences.
    let said = paris.session.value("SELECT last_error FROM gundb.peer_status WHERE peer = 'stranger'").await;
    assert!(said.matches("grant_peer").count() == 1 && !said.contains(";."), "{said}");
    paris.append(10).await;
    tokyo.comes_to("SELECT count(*) FROM gundb.stream_table WHERE name = 'moves'", "1").await;
    tokyo.comes_to(COUNT, "10").await;
    assert_eq!(paris.session.value(WORKER).await, worker, "the worker has gone on");
    for (peer, ..) in cases.iter().filter(|(peer, ..)| *peer != "tokyo") {
        let state = format!("SELECT state IN ('waiting', 'connecting') FROM gundb.peer_status WHERE peer = '{peer}'");
        paris.comes_to(&state, "t").await;
        paris.session.run(&format!("SELECT gundb.drop_peer('{peer}')")).await;
    }
    tokyo.session.run("INSERT INTO moves (type) VALUES ('Moved')").await;
    paris.comes_to(COUNT, "11").await;
}

#[tokio::test]
async fn a_peer_of_another_version_is_named_so() {
    let (paris, tokyo) = (Site::start("paris").await, Site::start("tokyo").await);
    tokyo.open().await;
    // One of the time before there were peers, and one that speaks only what is not spoken yet.
    tokyo.session.run("ALTER EXTENSION gundb DROP FUNCTION gundb.session_hello(bytea)").await;
    tokyo.session.run("ALTER FUNCTION gundb.session_hello(bytea) RENAME TO session_hello_of_later").await;
    paris.add("tokyo", &tokyo.url(tokyo.cluster.port())).await;
    paris.says("tokyo", "which has no sessions").await;
    let hello: String = later_hello().iter().map(|byte| format!("{byte:02x}")).collect();
    tokyo
        .session
        .run(&format!(
            "CREATE FUNCTION gundb.session_hello(bytea) RETURNS bytea LANGUAGE sql AS $$SELECT '\\x{hello}'::bytea$$"
        ))
        .await;
    paris.says("tokyo", "version").await;
    paris
        .comes_to("SELECT last_error ~ '(protocol|version)' AND state <> 'connected' FROM gundb.peer_status", "t")
        .await;
}

/// The hello of a site that speaks another version of the protocol.
fn later_hello() -> Vec<u8> {
    let later = PROTOCOL + 7;
    gundb_core::bundle::encode_hello(&Hello {
        protocol: (later, later),
        software: "gundb of later".to_owned(),
        site: SiteId(StreamId::of_name("a test").0),
        run: Run::new(1).expect("a run"),
        name: "later".to_owned(),
        push: Filter::all(),
        pull: Filter::all(),
        ways: gundb_core::sync::ways::Ways::default(),
        accept: Accept::Any,
        clock: Clock::new(),
        bundle_bytes_max: 1 << 20,
        now_ms: 0,
    })
}

#[tokio::test]
async fn a_peer_that_sends_what_cannot_be_again_and_again_is_paused() {
    let (paris, tokyo) = (Site::start("paris").await, Site::start("tokyo").await);
    tokyo.open().await;
    paris.session.run("SELECT gundb.create_stream('moves')").await;
    let rubbish = "CREATE OR REPLACE FUNCTION gundb.session_pull(receipt bytea DEFAULT NULL) RETURNS bytea LANGUAGE sql AS $$SELECT '\\x00'::bytea$$";
    tokyo.session.run(rubbish).await;
    paris.add("tokyo", &tokyo.url(tokyo.cluster.port())).await;
    paris.comes_to("SELECT state FROM gundb.peer_status", "paused").await;
    paris.says("tokyo", "5 sessions in a row brought what cannot be").await;
    paris.says("tokyo", "the peer's answer cannot be read").await;
    paris.append(1).await;
    assert_eq!(paris.session.value("SELECT status FROM gundb.health WHERE \"check\" = 'peers'").await, "WARNING");
}

#[tokio::test]
async fn a_session_begins_anew_whatever_was_killed() {
    let (paris, tokyo) = (Site::start("paris").await, Site::start("tokyo").await);
    tokyo.open().await;
    paris.session.run("SELECT gundb.create_stream('moves')").await;
    paris.add("tokyo", &tokyo.url(tokyo.cluster.port())).await;
    paris.append(1).await;
    tokyo.comes_to("SELECT count(*) FROM gundb.stream_table WHERE name = 'moves'", "1").await;
    tokyo.comes_to(COUNT, "1").await;
    let served = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'gundb'";
    for (round, (site, kill)) in [
        (&tokyo, served),
        (&paris, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'gundb worker'"),
    ]
    .into_iter()
    .enumerate()
    {
        site.session.run(kill).await;
        paris.append(1).await;
        tokyo.session.run("INSERT INTO moves (type) VALUES ('Moved')").await;
        let expected = (3 + 2 * round).to_string();
        tokyo.comes_to(COUNT, &expected).await;
        paris.comes_to(COUNT, &expected).await;
    }
    // Off and on again.
    let dials = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'gundb'";
    paris.session.run("ALTER SYSTEM SET gundb.dial_peers = off").await;
    paris.session.run("SELECT pg_reload_conf()").await;
    tokyo.comes_to(dials, "0").await;
    paris.append(1).await;
    paris.session.run("ALTER SYSTEM SET gundb.dial_peers = on").await;
    paris.session.run("SELECT pg_reload_conf()").await;
    tokyo.comes_to(COUNT, "6").await;
    paris.session.run("SELECT gundb.pause_peer('tokyo')").await;
    tokyo.comes_to(dials, "0").await;
    paris.session.run("SELECT gundb.resume_peer('tokyo')").await;
    assert_eq!(paris.session.value("SELECT gundb.sync_now('tokyo', '30 s')").await, "t");
}

#[tokio::test]
async fn nothing_waits_for_a_peer_that_has_fallen_silent() {
    let (paris, tokyo) = (Site::start("paris").await, Site::start("tokyo").await);
    tokyo.open().await;
    let wire = Wire::to(tokyo.cluster.port(), Duration::ZERO).await;
    paris.session.run("SELECT gundb.create_stream('moves')").await;
    paris.add("tokyo", &tokyo.url(wire.port())).await;
    paris.append(1).await;
    tokyo.comes_to("SELECT count(*) FROM gundb.stream_table WHERE name = 'moves'", "1").await;
    tokyo.comes_to(COUNT, "1").await;
    wire.swallow();
    paris.append(1000).await;
    let outside = paris.cluster.connect("postgres").await;
    let timed = async |statement: &str| {
        let begun = Instant::now();
        outside.run(statement).await;
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(5), "{statement} took {took:?}");
    };
    let Site { cluster, session } = paris;
    drop(session);
    timed("CREATE DATABASE copy TEMPLATE shop").await;
    let session = cluster.connect("shop").await;
    let paris = Site { cluster, session };
    let until = Instant::now() + PATIENCE;
    while paris.session.rows(WORKER).await.is_empty() {
        assert!(Instant::now() < until, "the worker comes back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let begun = Instant::now();
    paris.session.run("SELECT gundb.uninstall()").await;
    paris.session.run("DROP EXTENSION gundb").await;
    assert!(begun.elapsed() < Duration::from_secs(5), "DROP EXTENSION took {:?}", begun.elapsed());
    timed("DROP DATABASE copy").await;
    let begun = Instant::now();
    paris.cluster.stop(Stop::Fast);
    assert!(begun.elapsed() < Duration::from_secs(5), "the stop took {:?}", begun.elapsed());
}
