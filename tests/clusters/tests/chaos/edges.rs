//! Edge nodes, each with `gundb run` as a process of its own that is killed again and again. In between the store is opened
//! here, and appended to.

use crate::nodes;
use gundb_clusters::daemon::{Daemon, output};
use gundb_clusters::machine::Machine;
use gundb_clusters::proxy::Proxy;
use gundb_clusters::sites::{STOCK, World, url};
use gundb_core::{Limits, canonical_text};
use gundb_node::view::Definition;
use gundb_node::{Edge, New, Options};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

pub struct Node {
    pub name: &'static str,
    store: PathBuf,
    /// That its daemon runs on.
    pub machine: Arc<Machine>,
    /// To the site that it dials.
    pub cable: Arc<Proxy>,
    /// What was acknowledged: ids, and data as PostgreSQL prints them.
    pub acknowledged: BTreeMap<String, String>,
    pub killed: usize,
    pub stopped: usize,
    /// That a kind end took.
    pub longest: Duration,
}

/// Two nodes, each of which dials a site of its own; the second dials the first, too.
pub async fn begin(world: &World, root: &Path) -> Vec<Node> {
    let (port, token) = (nodes::free_port(), nodes::token(root, "buoy"));
    let ways = [
        format!(
            "[listen]\naddress = \"127.0.0.1:{port}\"\n[[grant]]\nname = \"buoy\"\ntoken_file = \"{}\"\naccept = \"any\"\n",
            token.display()
        ),
        format!("[[peer]]\nname = \"boat\"\nurl = \"grpc://127.0.0.1:{port}?tokenfile={}\"\n", token.display()),
    ];
    // The program is built now, not while the others are tormented.
    spawn_blocking(|| output("none", &["--version"])).await.expect("the program");
    let mut begun = Vec::new();
    for (number, name) in ["boat", "buoy"].into_iter().enumerate() {
        let site = &world.sites[number];
        let session = site.session().await;
        session.run(&format!("CREATE ROLE {name} LOGIN; SELECT gundb.grant_peer('{name}', accept => 'any')")).await;
        let cable = Arc::new(Proxy::to(site.cluster.home(), Duration::ZERO));
        let store = root.join(name);
        let edge = Edge::create(&store, name, Options::default()).expect("a store");
        edge.create_stream("moves", false).expect("a stream");
        let (columns, stream, key) = (STOCK.into(), "moves".into(), "@key".into());
        edge.create_view("stock", Definition { stream, key, columns, ..Definition::default() }).expect("a view");
        drop(edge);
        let url = url(cable.directory(), name, &site.database);
        let configuration =
            format!("reconnect_max = 1\n[[peer]]\nname = \"site{number}\"\nurl = \"{url}\"\n{}", ways[number]);
        fs::write(store.join("gundb.toml"), configuration).expect("a configuration");
        let (machine, acknowledged) = (Arc::default(), BTreeMap::new());
        begun.push(Node { name, store, machine, cable, acknowledged, killed: 0, stopped: 0, longest: Duration::ZERO });
    }
    begun
}

impl Node {
    fn store(&self) -> String {
        self.store.display().to_string()
    }

    pub async fn start(&self) -> Daemon {
        let (store, machine) = (self.store(), self.machine.clone());
        spawn_blocking(move || Daemon::on(&machine, &store)).await.expect("a daemon")
    }

    /// Appends, and is served for a while, until the world is told to stop.
    pub async fn live(mut self, world: Arc<World>, mut random: fastrand::Rng) -> Node {
        let mut turn = 0;
        while !world.stop.load(Relaxed) {
            self = self.append(turn, random.usize(1..30)).await;
            let daemon = self.start().await;
            for _ in 0..random.u8(5..40) {
                if !world.stop.load(Relaxed) {
                    sleep(Duration::from_millis(100)).await;
                }
            }
            turn += 1;
            if turn % 5 == 0 {
                self.stopped += 1;
                let took = spawn_blocking(|| daemon.end()).await.expect("an end");
                self.longest = self.longest.max(took);
            } else {
                self.killed += 1;
                spawn_blocking(|| daemon.kill()).await.expect("an end");
            }
        }
        self
    }

    async fn append(mut self, turn: usize, transactions: usize) -> Node {
        let appended = spawn_blocking(move || {
            let edge = Edge::open(&self.store, Options::default()).expect("the store that its daemon has left");
            for number in 0..transactions {
                let event = |n| New {
                    stream: "moves".into(),
                    kind: "Moved".into(),
                    key: Some(format!("k{}", number % 20)),
                    data: format!("{{\"n\": {n}, \"name\": \"{}.{turn}.{number}\"}}", self.name),
                    ..New::default()
                };
                let events: Vec<New> = (0..1 + number % 3).map(event).collect();
                let data: Vec<String> = events.iter().map(|event| event.data.clone()).collect();
                for (one, data) in edge.append(events, None).expect("an append").into_iter().zip(data) {
                    let data = canonical_text(&data, Limits::default()).expect("JSON");
                    self.acknowledged.insert(one.id.to_string(), data);
                }
            }
            self
        });
        appended.await.expect("appends")
    }

    /// What the command line says of the store while it is served.
    pub fn says(&self, arguments: &[&str]) -> String {
        String::from_utf8_lossy(&output(&self.store(), arguments).stdout).trim().to_owned()
    }

    /// Panics unless the store, which is not served any more, is sound; its digests of the stream and of the view.
    pub fn digests(&self) -> [String; 2] {
        let edge = Edge::open(&self.store, Options::default()).expect("the store");
        let wrong = edge.check_view("stock").expect("a check");
        assert!(wrong.is_empty(), "{}: its view is not what its events give: {wrong:?}", self.name);
        let text = |digest: [u8; 16]| digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        [text(edge.digest(Some("moves")).expect("a digest")), text(edge.view_digest("stock").expect("a digest"))]
    }
}
