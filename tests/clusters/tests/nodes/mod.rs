//! Edge nodes in this process, each with its daemon.
#![allow(dead_code, reason = "each test uses its part")]

use gundb_clusters::Session;
use gundb_core::store::Store;
use gundb_node::peers::application::Counter;
use gundb_node::peers::config::Config;
use gundb_node::peers::daemon::Daemon;
use gundb_node::{Edge, New, Options};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// However slow the machine is, events come within this time.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct Node {
    pub edge: Arc<Edge>,
    pub daemon: Daemon,
}

impl Node {
    fn start(directory: &Path, name: &str, configuration: &str) -> Node {
        let edge = Arc::new(Edge::create(&directory.join(name), name, Options::default()).expect("a store"));
        edge.create_stream("moves", false).expect("a stream");
        let mut daemon = Daemon::new(Arc::clone(&edge) as Arc<dyn Store>, Edge::limits()).expect("a daemon");
        let configuration = format!("reconnect_max = 1\n{configuration}");
        daemon.apply(Config::parse(&configuration, Path::new("test")).expect("a configuration")).expect("peers");
        daemon.listen::<Counter>(None).expect("a listener");
        Node { edge, daemon }
    }

    pub fn append(&self, count: usize) {
        let event =
            |n| New { stream: "moves".into(), kind: "Moved".into(), data: format!("{{\"n\": {n}}}"), ..New::default() };
        self.edge.append((0..count).map(event).collect(), None).expect("an append");
    }

    pub fn digest(&self, stream: &str) -> String {
        self.edge.digest(Some(stream)).expect("a digest").iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The daemon has a runtime of its own, which is begun and ended beside the test's.
pub async fn start(directory: &Path, name: &'static str, configuration: String) -> Node {
    let directory = directory.to_owned();
    tokio::task::spawn_blocking(move || Node::start(&directory, name, &configuration)).await.expect("a node")
}

pub async fn stop<const N: usize>(nodes: [Node; N]) {
    tokio::task::spawn_blocking(move || nodes.into_iter().for_each(|node| node.daemon.stop())).await.expect("an end");
}

/// Waits until a PostgreSQL site and nodes hold the same.
pub async fn until_same(session: &Session, nodes: &[&Node], when: &str) {
    let begun = Instant::now();
    loop {
        let clock = session.value("SELECT gundb.site_clock()").await;
        if nodes.iter().all(|node| node.edge.clock().to_string() == clock) {
            break;
        }
        let states: Vec<_> = nodes.iter().map(|node| format!("{:?}", node.daemon.states().all())).collect();
        if begun.elapsed() >= PATIENCE {
            println!("{:?}", session.rows("SELECT * FROM gundb.peer_status").await);
            panic!("{when}: {states:#?}");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for stream in ["moves", "gundb"] {
        let theirs = session.value(&format!("SELECT gundb.digest('{stream}')")).await.replace('-', "");
        for node in nodes {
            assert_eq!(node.digest(stream), theirs, "{when}: {stream}");
        }
    }
}

pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its number").port()
}

/// A file with a token.
pub fn token(directory: &Path, name: &str) -> PathBuf {
    let token = directory.join(name.to_owned() + ".token");
    std::fs::write(&token, format!("the-token-of-the-{name}")).expect("a token");
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600)).expect("its rights");
    token
}
