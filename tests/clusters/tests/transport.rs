//! Sessions over the wire, with plain functions in the place of the extension's: how they are protected, in which order they speak, and what is said when
//! they do not come about.

use gundb_clusters::wire::{Certificates, Wire};
use gundb_clusters::{Cluster, Postgres, Session};
use gundb_transport::postgres::{Event, Fault, Function, Link, Network, Target};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// However slow the machine is, an event comes within this time.
const PATIENCE: Duration = Duration::from_secs(30);

/// What stands in for the extension: hello tells what the server sees of the session, push repeats, pull has nothing unless asked.
const SCHEMA: &str = "CREATE SCHEMA gundb; GRANT USAGE ON SCHEMA gundb TO PUBLIC;
    CREATE FUNCTION gundb.session_hello(hello bytea) RETURNS bytea LANGUAGE sql AS
        $$ SELECT convert_to(concat_ws(' ', s.ssl, current_user, a.application_name), 'UTF8')
             FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid) WHERE pid = pg_backend_pid() $$;
    CREATE FUNCTION gundb.session_push(bundle bytea) RETURNS bytea LANGUAGE plpgsql AS
        $$ BEGIN EXECUTE convert_from(bundle, 'UTF8'); RETURN bundle; END $$;
    CREATE FUNCTION gundb.session_pull(receipt bytea) RETURNS bytea LANGUAGE plpgsql AS
        $$ DECLARE answer text; BEGIN
            IF receipt IS NULL THEN RETURN NULL; END IF;
            EXECUTE convert_from(receipt, 'UTF8') INTO answer; RETURN convert_to(answer, 'UTF8'); END $$;";

/// A server that listens, and whoever wants to speak with it.
struct Peer {
    cluster: Cluster,
    session: Session,
}

impl Peer {
    /// `access` is its pg_hba.conf, before the line that lets everybody in by its socket.
    async fn start(settings: &[(&str, &str)], access: &str) -> Peer {
        let cluster = Cluster::listening(&Postgres::fifteen(), settings);
        let lines = format!("{access}\nlocal all all trust\nhost all all 127.0.0.1/32 trust\n");
        std::fs::write(cluster.data().join("pg_hba.conf"), lines).expect("pg_hba.conf");
        let session = cluster.connect("postgres").await;
        session.run(SCHEMA).await;
        session.run("SELECT pg_reload_conf()").await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        Peer { cluster, session }
    }

    /// Turns TLS on, with `NAME.crt` and `NAME.key` of the cluster's home.
    async fn show(&self, name: &str, authority: &str) {
        let home = self.cluster.home();
        let owner = std::fs::metadata(home).expect("its home");
        for file in [format!("{name}.key"), format!("{name}.crt"), format!("{authority}.crt")] {
            use std::os::unix::fs::MetadataExt;
            let path = home.join(file);
            std::os::unix::fs::chown(&path, Some(owner.uid()), Some(owner.gid())).expect("chown");
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).expect("chmod");
        }
        let path = |file: String| home.join(file).display().to_string();
        self.cluster.configure(&format!(
            "ssl = on\nssl_cert_file = '{}'\nssl_key_file = '{}'\nssl_ca_file = '{}'\n",
            path(format!("{name}.crt")),
            path(format!("{name}.key")),
            path(format!("{authority}.crt"))
        ));
        self.session.run("SELECT pg_reload_conf()").await;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }

    fn url(&self, user: &str, parameters: &str) -> String {
        format!("postgres://{user}@127.0.0.1:{}/postgres?{parameters}", self.cluster.port())
    }

    /// What hello answers over such a URL, or why there is no answer.
    async fn hello(&self, user: &str, parameters: &str) -> Result<String, Fault> {
        hello(&self.url(user, parameters), None).await
    }
}

async fn hello(url: &str, secret: Option<&str>) -> Result<String, Fault> {
    let mut dialled = Dialled::new(url, secret, None);
    dialled.connected().await?;
    dialled.call(Function::Hello, "");
    dialled.reply().await
}

fn target(url: &str) -> Arc<Target> {
    Arc::new(Target::parse(url).unwrap_or_else(|error| panic!("{url}: {error}")))
}

/// A link, with a network of its own.
struct Dialled {
    network: Network,
    link: Link,
}

impl Dialled {
    fn new(url: &str, secret: Option<&str>, keep_alive: Option<Duration>) -> Dialled {
        let mut network = Network::start().expect("a thread");
        let link = network.connect(target(url), secret.map(str::to_owned), keep_alive).expect("room for an order");
        Dialled { network, link }
    }

    fn call(&mut self, function: Function, argument: &str) {
        self.network.call(self.link, function, Some(argument.as_bytes().to_vec())).expect("room for a call");
    }

    async fn event(&mut self) -> Event {
        let until = Instant::now() + PATIENCE;
        loop {
            if self.is_readable()
                && let Some(event) = self.network.take_event()
            {
                return event;
            }
            assert!(Instant::now() < until, "an event in time");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// What the worker waits for.
    fn is_readable(&self) -> bool {
        let descriptor = self.network.descriptor();
        let mut polled = [PollFd::new(&descriptor, PollFlags::IN)];
        poll(&mut polled, Some(&Timespec::default())).is_ok_and(|count| count > 0)
    }

    async fn connected(&mut self) -> Result<(), Fault> {
        match self.event().await {
            Event::Connected(link) if link == self.link => Ok(()),
            Event::Closed(link, fault) if link == self.link => Err(fault),
            other => panic!("{other:?} instead of a connection"),
        }
    }

    async fn reply(&mut self) -> Result<String, Fault> {
        match self.event().await {
            Event::Reply { bytes, .. } => {
                Ok(String::from_utf8(bytes.unwrap_or_else(|| b"nothing".to_vec())).expect("UTF-8"))
            }
            Event::Closed(link, fault) if link == self.link => Err(fault),
            other => panic!("{other:?} instead of a reply"),
        }
    }
}

fn assert_says(outcome: Result<String, Fault>, words: &str) {
    let Err(fault) = outcome else { panic!("connected, instead of saying {words}") };
    assert!(fault.to_string().contains(words), "\"{fault}\" does not say \"{words}\"");
}

#[tokio::test]
async fn a_connection_is_as_protected_as_sslmode_asks() {
    let access = "hostssl all tls_only 127.0.0.1/32 trust\nhostnossl all tls_only 127.0.0.1/32 reject
                  hostnossl all plain_only 127.0.0.1/32 trust\nhostssl all plain_only 127.0.0.1/32 reject
                  hostssl all certified 127.0.0.1/32 cert";
    let peer = Peer::start(&[], access).await;
    peer.session.run("CREATE ROLE tls_only LOGIN; CREATE ROLE plain_only LOGIN; CREATE ROLE certified LOGIN").await;
    // A server without TLS.
    assert_eq!(peer.hello("postgres", "sslmode=prefer").await.as_deref(), Ok("f postgres gundb"));
    assert_says(peer.hello("postgres", "sslmode=require").await, "does not offer TLS");

    let certificates = Certificates::new(peer.cluster.home());
    certificates.authority("authority");
    certificates.authority("stranger");
    certificates.signed("server", "authority", "subjectAltName = IP:127.0.0.1, DNS:db.example\n");
    certificates.signed("certified", "authority", "basicConstraints = CA:FALSE\n");
    peer.show("server", "authority").await;
    let path = |name: &str| certificates.path(name).display().to_string();
    let (authority, stranger) = (path("authority.crt"), path("stranger.crt"));
    let verified = |mode: &str, root: &str, more: &str| format!("sslmode={mode}&sslrootcert={root}{more}");

    for (mode, encrypted) in [("disable", "f"), ("allow", "f"), ("prefer", "t"), ("require", "t")] {
        let answer = peer.hello("postgres", &format!("sslmode={mode}")).await;
        assert_eq!(answer, Ok(format!("{encrypted} postgres gundb")), "{mode}");
    }
    for mode in ["require", "verify-ca", "verify-full"] {
        let answer = peer.hello("postgres", &verified(mode, &authority, "")).await;
        assert_eq!(answer.as_deref(), Ok("t postgres gundb"), "{mode}");
        assert_says(peer.hello("postgres", &verified(mode, &stranger, "")).await, "UnknownIssuer");
    }
    // As with libpq, what does not verify falls back to none where TLS is only preferred.
    assert_eq!(peer.hello("postgres", &verified("prefer", &stranger, "")).await.as_deref(), Ok("f postgres gundb"));

    let by_name = |name: &str| {
        let port = peer.cluster.port();
        format!(
            "postgres://postgres@{name}:{port}/postgres?hostaddr=127.0.0.1&sslmode=verify-full&sslrootcert={authority}"
        )
    };
    assert_eq!(hello(&by_name("db.example"), None).await.as_deref(), Ok("t postgres gundb"));
    assert_says(hello(&by_name("other.example"), None).await, "not valid for name");
    let ca = by_name("other.example").replace("verify-full", "verify-ca");
    assert_eq!(hello(&ca, None).await.as_deref(), Ok("t postgres gundb"));

    for mode in ["allow", "prefer", "require"] {
        assert_eq!(peer.hello("tls_only", &format!("sslmode={mode}")).await.as_deref(), Ok("t tls_only gundb"));
    }
    assert_says(peer.hello("tls_only", "sslmode=disable").await, "does not let the role tls_only in");
    for mode in ["disable", "allow", "prefer"] {
        assert_eq!(peer.hello("plain_only", &format!("sslmode={mode}")).await.as_deref(), Ok("f plain_only gundb"));
    }
    assert_says(peer.hello("plain_only", "sslmode=require").await, "does not let the role plain_only in");

    // Its own certificate.
    let own = format!("sslmode=require&sslcert={}&sslkey={}", path("certified.crt"), path("certified.key"));
    std::fs::set_permissions(path("certified.key"), PermissionsExt::from_mode(0o600)).expect("chmod");
    assert_eq!(peer.hello("certified", &own).await.as_deref(), Ok("t certified gundb"));
    assert_says(peer.hello("certified", "sslmode=require").await, "certificate");
    std::fs::set_permissions(path("certified.key"), PermissionsExt::from_mode(0o644)).expect("chmod");
    assert_says(peer.hello("certified", &own).await, "others than its owner can read it");
    assert_says(peer.hello("postgres", "sslmode=verify-ca&sslrootcert=/nowhere").await, "sslrootcert /nowhere");
}

#[tokio::test]
async fn a_certificate_made_as_the_manual_of_postgresql_shows_is_taken_by_its_common_name() {
    let peer = Peer::start(&[], "").await;
    let certificates = Certificates::new(peer.cluster.home());
    certificates.authority("db.example");
    peer.show("db.example", "db.example").await;
    let root = certificates.path("db.example.crt").display().to_string();
    let url = |host: &str, mode: &str| {
        let port = peer.cluster.port();
        format!("postgres://postgres@{host}:{port}/postgres?hostaddr=127.0.0.1&sslmode={mode}&sslrootcert={root}")
    };
    assert_eq!(hello(&url("db.example", "verify-full"), None).await.as_deref(), Ok("t postgres gundb"));
    assert_says(hello(&url("other.example", "verify-full"), None).await, "not valid for name");
    assert_eq!(hello(&url("other.example", "verify-ca"), None).await.as_deref(), Ok("t postgres gundb"));
}

#[tokio::test]
async fn what_is_wrong_is_said_in_a_sentence() {
    let peer = Peer::start(&[], "host all guarded 127.0.0.1/32 scram-sha-256").await;
    for statement in ["CREATE ROLE guarded LOGIN PASSWORD 'Sesame'", "CREATE DATABASE bare", "CREATE DATABASE older"] {
        peer.session.run(statement).await;
    }
    let port = peer.cluster.port();
    let guarded = peer.url("guarded", "");
    assert_says(hello(&guarded, None).await, "asks for a password for the role guarded");
    assert_says(hello(&guarded, Some("Simsim")).await, "does not take the password of the role guarded");
    assert_eq!(hello(&guarded, Some("Sesame")).await.as_deref(), Ok("f guarded gundb"));

    let passfile = peer.cluster.home().join("passwords");
    std::fs::write(&passfile, format!("127.0.0.1:{port}:*:guarded:Sesame\n")).expect("a file");
    let by_file = peer.url("guarded", &format!("passfile={}", passfile.display()));
    std::fs::set_permissions(&passfile, PermissionsExt::from_mode(0o644)).expect("chmod");
    assert_says(hello(&by_file, None).await, "others than its owner can read it");
    std::fs::set_permissions(&passfile, PermissionsExt::from_mode(0o600)).expect("chmod");
    assert_eq!(hello(&by_file, None).await.as_deref(), Ok("f guarded gundb"));

    let nobody = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
    assert_says(hello(&format!("postgres://u@127.0.0.1:{nobody}/d"), None).await, "the connection was refused");
    assert_says(hello("postgres://u@nowhere.invalid/d", None).await, "the host nowhere.invalid cannot be found");
    assert_says(hello("postgres:///d?host=/nowhere&user=u", None).await, "/nowhere/.s.PGSQL.5432 cannot be reached");
    let in_database = |name: &str| peer.url("postgres", "").replace("/postgres?", &format!("/{name}?"));
    assert_says(hello(&in_database("none"), None).await, "has no database none");
    assert_says(hello(&in_database("bare"), None).await, "does not have the extension gundb");

    // As an earlier release is: the extension, without sessions.
    let older = peer.cluster.connect("older").await;
    older
        .run(
            "CREATE SCHEMA gundb; SET allow_system_table_mods = on;
             INSERT INTO pg_extension VALUES (99999, 'gundb', 10, 'gundb'::regnamespace, false, '0.1.0', NULL, NULL)",
        )
        .await;
    assert_says(hello(&in_database("older"), None).await, "version 0.1.0, which has no sessions");
    older.run("SET allow_system_table_mods = on; DELETE FROM pg_extension WHERE oid = 99999").await;
    assert_says(hello(&in_database("older"), None).await, "does not have the extension gundb");

    let mut dialled = Dialled::new(&peer.url("postgres", ""), None, None);
    dialled.connected().await.expect("a connection");
    dialled.call(Function::Push, "DO $$ BEGIN RAISE insufficient_privilege USING message = 'not you'; END $$");
    assert_says(dialled.reply().await, "does not take the role postgres as a peer: not you");
    let mut dialled = Dialled::new(&peer.url("postgres", ""), None, None);
    dialled.connected().await.expect("a connection");
    dialled.call(Function::Push, "DO $$ BEGIN RAISE 'broken' USING hint = 'Mend it.'; END $$");
    assert_says(dialled.reply().await, "reports an error: broken — Mend it.");
}

#[tokio::test]
async fn the_first_host_that_answers_is_taken() {
    let peer = Peer::start(&[], "").await;
    let port = peer.cluster.port();
    let url = format!("postgres://postgres@127.0.0.1:1,127.0.0.1:{port}/postgres?application_name=paris");
    assert_eq!(hello(&url, None).await.as_deref(), Ok("f postgres paris"));
    let url = format!("postgres:///postgres?host={}&port={port}&user=postgres", peer.cluster.home().display());
    assert_eq!(hello(&url, None).await.as_deref(), Ok("f postgres gundb"));
}

#[tokio::test]
async fn settings_that_somebody_gave_the_role_do_not_bite() {
    let peer = Peer::start(&[], "").await;
    peer.session
        .run(
            "CREATE ROLE bitten LOGIN; ALTER ROLE bitten SET search_path = 'evil'; ALTER ROLE bitten SET lock_timeout = 1;
             ALTER ROLE bitten SET statement_timeout = 200; ALTER ROLE bitten SET default_transaction_read_only = on;
             ALTER ROLE bitten SET default_transaction_isolation = 'serializable'; ALTER ROLE bitten SET bytea_output = 'escape';
             ALTER ROLE bitten SET idle_session_timeout = 300; ALTER ROLE bitten SET \"DateStyle\" = 'SQL, DMY'",
        )
        .await;
    let mut dialled = Dialled::new(&peer.url("bitten", ""), None, None);
    dialled.connected().await.expect("a connection");
    tokio::time::sleep(Duration::from_millis(500)).await;
    dialled.call(
        Function::Pull,
        "SELECT concat_ws(' ', current_setting('search_path'), current_setting('transaction_read_only'),
                          current_setting('transaction_isolation'), date '2001-02-03', pg_sleep(0.4))",
    );
    assert_eq!(dialled.reply().await.as_deref(), Ok("pg_catalog, pg_temp off read committed 2001-02-03 "));
}

#[tokio::test]
async fn a_killed_backend_closes_the_link_and_says_why() {
    let peer = Peer::start(&[], "").await;
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'gundb'";
    for under_way in [false, true] {
        let mut dialled = Dialled::new(&peer.url("postgres", ""), None, None);
        dialled.connected().await.expect("a connection");
        if under_way {
            dialled.call(Function::Push, "DO $$ BEGIN PERFORM pg_sleep(60); END $$");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        peer.session.run(end).await;
        assert_says(dialled.reply().await, "terminating connection due to administrator command");
        let refusal = dialled.network.call(dialled.link, Function::Pull, None);
        assert!(refusal.is_err(), "what is closed takes no calls");
    }
    let mut dialled = Dialled::new(&peer.url("postgres", ""), None, None);
    dialled.connected().await.expect("a connection");
    // Its backends may find the time to say goodbye.
    peer.cluster.kill();
    let fault = dialled.reply().await.expect_err("a server that is gone");
    assert!(matches!(fault, Fault::Lost { .. } | Fault::NotReady { .. }), "{fault}");
}

#[tokio::test]
async fn calls_are_pipelined_and_answered_in_their_order() {
    let peer = Peer::start(&[], "").await;
    let wire = Wire::to(peer.cluster.port(), Duration::from_millis(100)).await;
    let mut dialled = Dialled::new(&format!("postgres://postgres@127.0.0.1:{}/postgres", wire.port()), None, None);
    dialled.connected().await.expect("a connection");
    let begun = Instant::now();
    for number in 0..32 {
        dialled.call(Function::Pull, &format!("SELECT {number}"));
    }
    for number in 0..32 {
        assert_eq!(dialled.reply().await, Ok(number.to_string()));
    }
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(200), "the wire delays: {took:?}");
    assert!(took < Duration::from_millis(600), "32 calls take about one round trip of 200 ms, not {took:?}");
    dialled.network.call(dialled.link, Function::Pull, None).expect("room");
    assert_eq!(dialled.reply().await.as_deref(), Ok("nothing"));
}

#[tokio::test]
async fn news_of_the_peer_come_by_notify() {
    let peer = Peer::start(&[], "").await;
    let mut dialled = Dialled::new(&peer.url("postgres", ""), None, None);
    dialled.connected().await.expect("a connection");
    peer.session.run("NOTIFY other").await;
    for _ in 0..3 {
        peer.session.run("NOTIFY gundb").await;
        assert_eq!(dialled.event().await, Event::News(dialled.link));
    }
    // A session that is closed from here tells nothing any more, and is gone from the server.
    dialled.network.close(dialled.link);
    peer.session.run("NOTIFY gundb").await;
    let until = Instant::now() + PATIENCE;
    let count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'gundb'";
    while peer.session.value(count).await != "0" {
        assert!(Instant::now() < until, "the session ends");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(dialled.network.take_event(), None);
}

#[tokio::test]
async fn a_peer_that_fell_silent_is_noticed_and_holds_nobody_up() {
    let peer = Peer::start(&[], "").await;
    let wire = Wire::to(peer.cluster.port(), Duration::ZERO).await;
    let url = format!("postgres://postgres@127.0.0.1:{}/postgres?connect_timeout=1", wire.port());
    let mut dialled = Dialled::new(&url, None, Some(Duration::from_millis(300)));
    dialled.connected().await.expect("a connection");
    // Signs of life are no events.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(dialled.network.take_event(), None);
    wire.swallow();
    assert_says(dialled.reply().await, "gives no sign of life");
    let begun = Instant::now();
    assert_says(hello(&url, None).await, "did not answer within 1 s");
    assert!(begun.elapsed() < Duration::from_secs(3));
    // Neither a dial nor a call that nobody answers keeps the thread.
    let mut dialled = Dialled::new(&url.replace('1', "9"), None, None);
    let _ = dialled.network.connect(target(&url), None, None);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let begun = Instant::now();
    drop(dialled);
    assert!(begun.elapsed() < Duration::from_secs(1), "ending took {:?}", begun.elapsed());
}

#[tokio::test]
async fn the_thread_takes_no_signals() {
    let network = Network::start().expect("a thread");
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut found = 0;
    for task in std::fs::read_dir("/proc/self/task").expect("threads").flatten() {
        let Ok(status) = std::fs::read_to_string(task.path().join("status")) else { continue };
        if status.starts_with("Name:\tgundb network\n") {
            found += 1;
            let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:\t")).expect("a mask");
            let blocked = u64::from_str_radix(blocked, 16).expect("a number");
            // All but SIGKILL and SIGSTOP, which nobody can block, and two of the C library's own.
            assert_eq!(blocked | 1 << 8 | 1 << 18 | 3 << 31, u64::MAX, "{blocked:x}");
        }
    }
    assert!(found > 0);
    let begun = Instant::now();
    drop(network);
    assert!(begun.elapsed() < Duration::from_millis(500));
}
