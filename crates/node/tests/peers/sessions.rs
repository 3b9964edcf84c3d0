//! Sessions between stores by gRPC over loopback: through cuts, with filters, in chains; who may come in, and who no longer.

use crate::store::MemoryStore;
use gundb_core::bundle::WireLimits;
use gundb_core::store::Store;
use gundb_node::peers::config::Config;
use gundb_node::peers::daemon::Daemon;
use gundb_node::peers::state::{PeerState, Phase};
use gundb_transport::grpc::{Credentials, Refusal};
use std::convert::Infallible;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::sync::watch;

struct Node {
    store: Arc<MemoryStore>,
    daemon: Daemon,
}

fn configured(text: &str) -> Config {
    Config::parse(&format!("reconnect_max = 1\nkeep_alive = 1\n{text}"), Path::new("test")).unwrap()
}

impl Node {
    fn start(name: &str, configuration: &str) -> Node {
        let store = MemoryStore::new(name, &["moves", "settings", "secrets"]);
        let mut daemon = Daemon::new(store.clone(), WireLimits::default()).unwrap();
        daemon.apply(configured(configuration)).unwrap();
        daemon.listen::<Infallible>(None).unwrap();
        Node { store, daemon }
    }

    /// One that lets in whoever has the token, and may bring anybody's events.
    fn listening(name: &str, token: &Path) -> Node {
        Node::start(name, &Node::door(token, &["guest"]))
    }

    fn door(token: &Path, names: &[&str]) -> String {
        let grants = names.iter().map(|name| {
            format!("[[grant]]\nname = \"{name}\"\ntoken_file = \"{}-{name}\"\naccept = \"any\"\n", token.display())
        });
        format!("{}[listen]\naddress = \"127.0.0.1:{}\"\n", grants.collect::<String>(), free_port())
    }

    fn dialling(name: &str, to: &Node, token: &Path) -> Node {
        Node::start(name, &dials("hub", to.daemon.address().unwrap().port(), token, "guest"))
    }

    fn state(&self, peer: &str) -> PeerState {
        self.daemon.states().all().remove(peer).unwrap_or_default()
    }

    fn until(&self, what: &str, peer: &str, holds: impl Fn(&PeerState) -> bool) {
        until(what, || holds(&self.state(peer)));
    }
}

fn dials(name: &str, port: u16, token: &Path, as_whom: &str) -> String {
    format!(
        "[[peer]]\nname = \"{name}\"\nurl = \"grpc://127.0.0.1:{port}?connect_timeout=2&tokenfile={}-{as_whom}\"\n",
        token.display()
    )
}

/// One is to be had: the system's choice is free for a moment.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(30), "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn until_equal(nodes: &[&Node]) {
    until("all hold the same", || {
        nodes.windows(2).all(|two| two[0].store.clock().unwrap() == two[1].store.clock().unwrap())
    });
    assert!(nodes.windows(2).all(|two| two[0].store.events() == two[1].store.events()));
}

/// Tokens of these names.
fn tokens(directory: &TempDir, names: &[&str]) -> std::path::PathBuf {
    let base = directory.path().join("token");
    for name in names {
        let path = format!("{}-{name}", base.display());
        fs::write(&path, format!("the-token-of-the-{name}-{name}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    base
}

#[test]
fn two_sites_come_to_hold_the_same_and_hear_of_news_at_once() {
    let directory = TempDir::new().unwrap();
    let token = tokens(&directory, &["guest"]);
    let hub = Node::listening("hub", &token);
    for _ in 0..50 {
        hub.store.append("moves", 20, 500);
    }
    let edge = Node::dialling("edge", &hub, &token);
    edge.store.append("moves", 30, 100);
    until_equal(&[&hub, &edge]);
    edge.until("it says so", "hub", |state| state.synced && state.phase == Phase::Connected && state.error.is_none());
    let latest = |from: &Node, to: &Node| {
        let begun = Instant::now();
        from.store.append("moves", 1, 10);
        until("it comes", || to.store.clock().unwrap() == from.store.clock().unwrap());
        begun.elapsed()
    };
    let mut times: Vec<Duration> = (0..20).flat_map(|_| [latest(&hub, &edge), latest(&edge, &hub)]).collect();
    times.sort();
    println!("visible at the peer: p50 {:?}, greatest {:?}", times[times.len() / 2], times.last());
    assert!(times[times.len() / 2] < Duration::from_millis(300));
    let state = hub.state("guest");
    assert_eq!((state.phase, state.site.map(|(.., name)| name)), (Phase::Connected, Some("edge".to_owned())));
    edge.daemon.stop();
    hub.until("it hears of the end", "guest", |state| state.phase == Phase::Waiting);
    hub.daemon.stop();
}

#[test]
fn a_large_transaction_and_a_long_backlog_arrive() {
    let directory = TempDir::new().unwrap();
    let token = tokens(&directory, &["guest"]);
    let hub = Node::listening("hub", &token);
    hub.store.append("moves", 300, 20_000);
    for _ in 0..1_000 {
        hub.store.append("settings", 10, 200);
    }
    let edge = Node::dialling("edge", &hub, &token);
    edge.store.append("secrets", 200, 20_000);
    until_equal(&[&hub, &edge]);
}

#[test]
fn events_go_along_a_chain() {
    let directory = TempDir::new().unwrap();
    let token = tokens(&directory, &["guest"]);
    let hub = Node::listening("hub", &token);
    let port = hub.daemon.address().unwrap().port();
    let middle = Node::start("middle", &(dials("hub", port, &token, "guest") + &Node::door(&token, &["guest"])));
    let edge = Node::dialling("edge", &middle, &token);
    for node in [&hub, &middle, &edge] {
        node.store.append("moves", 50, 100);
    }
    until_equal(&[&hub, &middle, &edge]);
}

/// Bytes through it, until it is told to cut; then no more, and the next connection passes again.
fn cutting_proxy(port: u16) -> (u16, Arc<AtomicBool>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap().port();
    let cut = Arc::new(AtomicBool::new(false));
    let cuts = cut.clone();
    std::thread::spawn(move || {
        for near in listener.incoming().map_while(Result::ok) {
            let Ok(far) = TcpStream::connect(("127.0.0.1", port)) else { continue };
            for (mut from, mut to) in [(near.try_clone().unwrap(), far.try_clone().unwrap()), (far, near)] {
                let cuts = cuts.clone();
                from.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
                std::thread::spawn(move || {
                    let mut bytes = [0; 16_384];
                    loop {
                        match from.read(&mut bytes) {
                            Ok(0) => break,
                            Ok(count) => {
                                if to.write_all(&bytes[..count]).is_err() {
                                    break;
                                }
                            }
                            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                            Err(_) => break,
                        }
                        if cuts.load(Ordering::Relaxed) {
                            break;
                        }
                    }
                    let _ = from.shutdown(std::net::Shutdown::Both);
                    let _ = to.shutdown(std::net::Shutdown::Both);
                });
            }
        }
    });
    (at, cut)
}

#[test]
fn through_cuts_nothing_is_lost_or_doubled() {
    let directory = TempDir::new().unwrap();
    let token = tokens(&directory, &["guest"]);
    let hub = Node::listening("hub", &token);
    let (port, cut) = cutting_proxy(hub.daemon.address().unwrap().port());
    let edge = Node::start("edge", &dials("hub", port, &token, "guest"));
    for turn in 0..6 {
        for _ in 0..40 {
            hub.store.append("moves", 5, 3_000);
            edge.store.append("moves", 5, 3_000);
        }
        cut.store(true, Ordering::Relaxed);
        edge.until("it is noticed", "hub", |state| state.phase != Phase::Connected);
        cut.store(false, Ordering::Relaxed);
        edge.daemon.hurry("hub");
        if turn % 2 == 0 {
            edge.until("it is dialled again", "hub", |state| state.phase == Phase::Connected);
        }
    }
    until_equal(&[&hub, &edge]);
    assert!(edge.state("hub").times > 1);
}

#[test]
fn streams_flow_as_both_sides_say() {
    let directory = TempDir::new().unwrap();
    let token = tokens(&directory, &["guest"]);
    let hub = Node::listening("hub", &token);
    let port = hub.daemon.address().unwrap().port();
    let peer = dials("hub", port, &token, "guest") + "push = [\"moves\"]\npull = [\"settings\"]\n";
    let edge = Node::start("edge", &peer);
    for node in [&hub, &edge] {
        for stream in ["moves", "settings", "secrets"] {
            node.store.append(stream, 10, 10);
        }
    }
    until("they come", || (hub.store.count(), edge.store.count()) == (40, 40));
    edge.until("nothing is left to do", "hub", |state| state.synced);
    // What flows is changed while it runs.
    let mut edge = edge;
    let peer = dials("hub", port, &token, "guest") + "push = [\"moves\", \"secrets\"]\npull = [\"settings\"]\n";
    edge.daemon.apply(configured(&peer)).unwrap();
    until("they come", || hub.store.count() == 50);
    assert_eq!(edge.store.count(), 40);
    // A pause ends the session, and its end begins it.
    edge.daemon.apply(configured(&(peer.clone() + "paused = true\n"))).unwrap();
    assert_eq!(edge.state("hub").phase, Phase::Paused);
    edge.store.append("moves", 1, 10);
    hub.until("it is gone", "guest", |state| state.phase == Phase::Waiting);
    edge.daemon.apply(configured(&peer)).unwrap();
    until("they come", || hub.store.count() == 51);
}

#[test]
fn who_is_not_known_or_no_longer_is_kept_out() {
    let directory = TempDir::new().unwrap();
    let token = tokens(&directory, &["guest", "stranger"]);
    let mut hub = Node::listening("hub", &token);
    let port = hub.daemon.address().unwrap().port();
    let stranger = Node::start("stranger", &dials("hub", port, &token, "stranger"));
    stranger.until("it is told why", "hub", |state| {
        state.error.as_ref().is_some_and(|error| error.contains("does not know this site"))
    });
    let edge = Node::dialling("edge", &hub, &token);
    edge.until("it is let in", "hub", |state| state.phase == Phase::Connected);
    // The grant becomes another one's.
    let other =
        format!("[[grant]]\nname = \"other\"\ntoken_file = \"{}-stranger\"\naccept = \"any\"\n", token.display());
    hub.daemon.apply(configured(&other)).unwrap();
    edge.store.append("moves", 1, 10);
    edge.until("it is shown out", "hub", |state| {
        state.error.as_ref().is_some_and(|error| error.contains("does not know this site"))
    });
    stranger.store.append("moves", 7, 10);
    stranger.daemon.hurry("hub");
    until("the other one is in", || hub.store.count() == 7);
}

#[test]
fn a_peer_that_speaks_rubbish_is_left_alone_after_five_times() {
    use gundb_transport::grpc::{Answers, ServerSettings, Sessions, serve};
    use gundb_transport::session::Function;
    struct Rubbish(watch::Sender<u64>);
    impl Sessions for Rubbish {
        type Session = Speaker;
        fn admit(&self, _: &Credentials) -> Result<Speaker, Refusal> {
            Ok(Speaker(self.0.subscribe()))
        }
    }
    struct Speaker(watch::Receiver<u64>);
    impl Answers for Speaker {
        fn answer(&mut self, _: Function, _: Option<&[u8]>) -> Result<Option<Vec<u8>>, Refusal> {
            Ok(Some(b"good day".to_vec()))
        }
        fn news(&self) -> watch::Receiver<u64> {
            self.0.clone()
        }
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let port = listener.local_addr().unwrap().port();
    let (_stop, stopped) = watch::channel(false);
    let site = Arc::new(Rubbish(watch::Sender::new(0)));
    runtime.spawn(serve::<_, Infallible>(listener, ServerSettings::default(), site, None, stopped));
    let edge = Node::start("edge", &format!("[[peer]]\nname = \"hub\"\nurl = \"grpc://127.0.0.1:{port}\"\n"));
    edge.until("it is left alone", "hub", |state| state.phase == Phase::Paused);
    assert!(
        edge.state("hub").error.unwrap().contains("five") || edge.state("hub").error.unwrap().contains("5 sessions")
    );
}

#[test]
fn a_configuration_that_makes_no_sense_changes_nothing() {
    for (text, expected) in [
        ("[[peer]]\nname = \"a\"", "url"),
        ("[[peer]]\nname = \"a\"\nurl = \"htp://x\"", "htp"),
        ("[[peer]]\nname = \"a\"\nurl = \"grpcs://x:secret@y\"", "must not hold a password"),
        ("[[peer]]\nname = \"a/b\"\nurl = \"grpc://x\"", "cannot name a peer"),
        ("[[peer]]\nname = \"a\"\nurl = \"grpc://x\"\npush = [\"\"]", "not a pattern"),
        ("[[peer]]\nname = \"a\"\nurl = \"grpc://x\"\nporsh = []", "porsh"),
        ("[[grant]]\nname = \"a\"", "token_file or a certificate"),
        ("[listen]\naddress = \"nowhere at all\"", "listen"),
        ("[listen]\naddress = \"[::]:1\"\ncertificate = \"/x\"", "go together"),
    ] {
        let error = Config::parse(text, Path::new("gundb.toml")).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
        assert!(!error.contains("secret"), "{error}");
    }
}
