//! The weather at three airports, appended at four edge nodes that meet one PostgreSQL site in four ways: all hold and show the same.
//!
//! `ewr` dials PostgreSQL's gateway by gRPC, `jfk` PostgreSQL itself; of La Guardia's hours the even ones are appended at `even`, which exchanges bundles in
//! directories that `cp` carries, and the odd ones at `odd`, which knows `jfk` alone.

use gundb_clusters::sites::url;
use gundb_clusters::{Cluster, Postgres, Session};
use gundb_core::store::Store;
use gundb_core::{Limits, canonical_text};
use gundb_node::command::run_line;
use gundb_node::peers::application::Counter;
use gundb_node::peers::config::Config;
use gundb_node::peers::daemon::Daemon;
use gundb_node::peers::relay::Relay;
use gundb_node::{Edge, Options};
use gundb_transport::grpc::{ServerSettings, serve};
use gundb_transport::postgres::Target;
use std::convert::Infallible;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// However slow the machine is, events come within this time.
const PATIENCE: Duration = Duration::from_secs(120);
const NODES: [&str; 4] = ["ewr", "jfk", "even", "odd"];
/// Of a day at an airport: what is added up, the extremes, what was last.
const COLUMNS: &str = r#"{
    "readings":  {"fold": "count"},
    "mean_temp": {"fold": "avg", "value": "temp"},
    "coldest":   {"fold": "min", "value": "temp", "type": "numeric"},
    "warmest":   {"fold": "max", "value": "temp", "type": "numeric"},
    "rain":      {"fold": "sum", "value": "rain"},
    "gust":      {"fold": "max", "value": "gust", "type": "numeric"},
    "pressure":  {"fold": "lww", "value": "pressure", "type": "numeric"},
    "until":     {"fold": "max", "value": "hour", "type": "text"},
    "winds":     {"fold": "set", "add": "wind", "type": "bigint"}
}"#;
const MAPPING: &str = "airport=origin:text, hour=time_hour:text, temp:number, humid:number, rain=precip:number, gust=wind_gust:number, \
                       wind=wind_dir:number, pressure:number, visib";

/// The node where a reading is appended.
fn node_of(origin: &str, hour: u8) -> &'static str {
    match (origin, hour % 2) {
        ("EWR", _) => "ewr",
        ("JFK", _) => "jfk",
        (_, 0) => "even",
        _ => "odd",
    }
}

/// The readings of a node, of the first half of the month and of the second, as CSV.
fn readings(node: &str) -> [String; 2] {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/data/weather-2013-01.csv.gz");
    let unpacked = Command::new("gzip").arg("-dc").arg(data).output().expect("gzip");
    let text = String::from_utf8(unpacked.stdout).expect("a text");
    let (head, rows) = text.split_once('\n').expect("a header");
    let mut halves = [head.to_owned() + "\n", head.to_owned() + "\n"];
    for row in rows.lines() {
        let cells: Vec<&str> = row.split(',').collect();
        let number = |at: usize| cells[at].parse::<u8>().expect("a number");
        if node_of(cells[0], number(4)) == node {
            halves[usize::from(number(3) > 15)] += &format!("{row}\n");
        }
    }
    halves
}

struct World {
    root: tempfile::TempDir,
    relay_port: u16,
    jfk_port: u16,
    postgres: String,
}

struct Running {
    edge: Arc<Edge>,
    daemon: Daemon,
}

impl World {
    fn store(&self, node: &str) -> PathBuf {
        self.root.path().join(node)
    }

    fn token(&self, node: &str) -> String {
        let token = self.root.path().join(format!("{node}.token"));
        if !token.exists() {
            fs::write(&token, format!("the-token-of-{node}-0123456789")).expect("a token");
            fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).expect("its rights");
        }
        token.display().to_string()
    }

    /// The command line, at a node's store.
    fn says(&self, node: &str, words: &[&str]) {
        let store = self.store(node).display().to_string();
        let line = ["gundb", "--store", &store].into_iter().chain(words.iter().copied());
        assert_eq!(run_line(line), 0, "{node}: {words:?}");
    }

    fn append(&self, node: &str, csv: &str) {
        let file = self.root.path().join("readings.csv");
        fs::write(&file, csv).expect("a file");
        let file = file.display().to_string();
        let by = ["--columns", MAPPING, "--key-columns", "origin,month,day", "--null", "NA", "--batch", "100"];
        self.says(node, &[["append", "weather", "Measured", "--csv", file.as_str()].as_slice(), &by].concat());
    }

    /// What a node's daemon is told.
    fn configuration(&self, node: &str) -> String {
        let peer =
            |name: &str, url: String| format!("reconnect_max = 1\n[[peer]]\nname = \"{name}\"\nurl = \"{url}\"\n");
        match node {
            "ewr" => peer("shore", format!("grpc://127.0.0.1:{}?tokenfile={}", self.relay_port, self.token("ewr"))),
            "jfk" => {
                let listen = format!("[listen]\naddress = \"127.0.0.1:{}\"\n", self.jfk_port);
                let grant =
                    format!("[[grant]]\nname = \"odd\"\ntoken_file = \"{}\"\naccept = \"any\"\n", self.token("odd"));
                peer("shore", self.postgres.clone()) + &listen + &grant
            }
            _ => peer("jfk", format!("grpc://127.0.0.1:{}?tokenfile={}", self.jfk_port, self.token("odd"))),
        }
    }

    fn start(&self, node: &str) -> Running {
        let edge = Arc::new(Edge::open(&self.store(node), Options::default()).expect("a store"));
        let mut daemon = Daemon::new(Arc::clone(&edge) as Arc<dyn Store>, Edge::limits()).expect("a daemon");
        daemon
            .apply(Config::parse(&self.configuration(node), Path::new("test")).expect("a configuration"))
            .expect("peers");
        daemon.listen::<Counter>(None).expect("a listener");
        Running { edge, daemon }
    }

    /// Bundles of what one has and the other lacks, put into a directory, carried to another by `cp`, and taken in there.
    async fn carry(&self, shore: &Session) {
        let (here, there) = (self.root.path().join("here"), self.root.path().join("there"));
        let fresh = || {
            for directory in [&here, &there] {
                let _ = fs::remove_dir_all(directory);
                fs::create_dir(directory).expect("a directory");
            }
        };
        let copy = || {
            let copied = Command::new("cp").arg("-r").arg(here.join(".")).arg(&there).status().expect("cp");
            assert!(copied.success());
            let files = fs::read_dir(&there).expect("a directory").map(|file| file.expect("a file").path());
            let mut files: Vec<String> = files.map(|file| file.display().to_string()).collect();
            files.sort();
            files
        };
        fresh();
        let since = shore.value("SELECT gundb.site_clock()").await;
        self.says("even", &["bundle", "export", &here.display().to_string(), "--since", &since]);
        for file in copy() {
            shore.run(&format!("SELECT gundb.import_bundle(pg_read_binary_file('{file}'))")).await;
        }
        fresh();
        let since = Edge::open(&self.store("even"), Options::default()).expect("a store").clock().to_string();
        let bundles =
            shore.rows(&format!("SELECT encode(gundb.export_bundle(since => '{since}'), 'hex')")).await.concat();
        for (at, bundle) in bundles.iter().enumerate() {
            let digit = |byte: &u8| (*byte as char).to_digit(16).expect("a hexadecimal digit") as u8;
            let bytes: Vec<u8> =
                bundle.as_bytes().chunks(2).map(|pair| digit(&pair[0]) << 4 | digit(&pair[1])).collect();
            fs::write(here.join(format!("{at:06}.gundb")), bytes).expect("a file");
        }
        for file in copy() {
            self.says("even", &["bundle", "import", &file]);
        }
    }
}

async fn until_same(shore: &Session, nodes: &[(&str, Running)], events: &str) {
    let begun = Instant::now();
    loop {
        let clock = shore.value("SELECT gundb.site_clock()").await;
        let is_same = nodes.iter().all(|(_, node)| node.edge.clock().to_string() == clock);
        if is_same && shore.value("SELECT count(*) FROM weather").await == events {
            return;
        }
        let states: Vec<_> =
            nodes.iter().map(|(name, node)| format!("{name}: {:?}", node.daemon.states().all())).collect();
        assert!(begun.elapsed() < PATIENCE, "{states:#?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The rows of both views as PostgreSQL's jsonb prints them.
async fn rows_of(shore: &Session) -> Vec<String> {
    let mut rows = Vec::new();
    for (view, key) in [("days", "key"), ("airports", "airport")] {
        let sql = format!("SELECT to_jsonb(v)::text FROM {view} v ORDER BY {key} COLLATE \"C\"");
        rows.extend(shore.rows(&sql).await.concat());
    }
    rows
}

/// A digest as PostgreSQL prints it, without its hyphens.
fn hexadecimal(digest: [u8; 16]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// That a node holds what PostgreSQL holds, and shows what that shows.
async fn assert_same(shore: &Session, name: &str, edge: &Edge) {
    for stream in ["weather", "gundb"] {
        let theirs = shore.value(&format!("SELECT gundb.digest('{stream}')")).await.replace('-', "");
        assert_eq!(hexadecimal(edge.digest(Some(stream)).expect("a digest")), theirs, "{name}: {stream}");
    }
    let mut rows = Vec::new();
    for view in ["days", "airports"] {
        let theirs = shore.value(&format!("SELECT gundb.view_digest('{view}')")).await.replace('-', "");
        assert_eq!(hexadecimal(edge.view_digest(view).expect("a digest")), theirs, "{name}: {view}");
        let defined = edge.view(view).expect("a view");
        for row in edge.view_rows(view, None).expect("rows") {
            rows.push(canonical_text(&row.json(&defined), Limits::default()).expect("JSON"));
        }
        assert_eq!(edge.check_view(view).expect("a check"), Vec::new(), "{name}: {view}");
    }
    assert_eq!(rows, rows_of(shore).await, "{name}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_weather_of_four_edge_nodes_is_the_same_everywhere_whichever_way_it_came() {
    let cluster = Cluster::start(&Postgres::fifteen(), &[]);
    let shore = cluster.database("shore").await;
    shore.run("SELECT gundb.set_site_name('shore'), gundb.create_stream('weather')").await;
    shore.run("CREATE ROLE gateway LOGIN; CREATE ROLE ewr LOGIN; CREATE ROLE jfk LOGIN").await;
    shore.run("SELECT gundb.grant_peer(role, accept => 'any') FROM unnest('{ewr,jfk}'::text[]) role").await;
    shore.run(&format!("SELECT gundb.create_view('days', 'weather', '{COLUMNS}')")).await;
    shore.run(&format!("SELECT gundb.create_view('airports', 'weather', '{COLUMNS}', key => 'airport')")).await;

    let root = tempfile::tempdir().expect("a directory");
    // The server reads bundles there, as another user.
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).expect("its rights");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let world = World {
        relay_port: listener.local_addr().expect("its address").port(),
        jfk_port: free.local_addr().expect("its address").port(),
        postgres: url(cluster.home(), "jfk", "shore"),
        root,
    };
    drop(free);
    let grants = format!("[[grant]]\nname = \"ewr\"\nrole = \"ewr\"\ntoken_file = \"{}\"\n", world.token("ewr"));
    let grants = Config::parse(&grants, Path::new("test")).expect("a configuration");
    let target = Target::parse(&url(cluster.home(), "gateway", "shore")).expect("a URL");
    let relay = Relay::new(target, &grants, tokio::runtime::Handle::current()).expect("a relay");
    let (stops, stopped) = tokio::sync::watch::channel(false);
    let gateway = serve::<_, Infallible>(listener, ServerSettings::default(), Arc::new(relay), None, stopped);
    let gateway = tokio::spawn(gateway);

    for node in NODES {
        world.says(node, &["init", "--name", node]);
        world.says(node, &["stream", "create", "weather"]);
        world.says(node, &["view", "create", "days", "weather", COLUMNS]);
        world.says(node, &["view", "create", "airports", "weather", COLUMNS, "--key", "airport"]);
    }
    let world = Arc::new(world);
    let mut held = 0;
    for half in 0..2 {
        // Nobody knows yet what the others append.
        for node in NODES {
            let csv = &readings(node)[half];
            held += csv.lines().count() - 1;
            world.append(node, csv);
        }
        world.carry(&shore).await;
        // A daemon has a runtime of its own, which is begun and ended beside the test's.
        let starting = Arc::clone(&world);
        let nodes = tokio::task::spawn_blocking(move || ["ewr", "jfk", "odd"].map(|node| (node, starting.start(node))));
        let nodes = nodes.await.expect("nodes");
        until_same(&shore, &nodes, &held.to_string()).await;
        for (name, node) in &nodes {
            assert_same(&shore, name, &node.edge).await;
        }
        let ended = tokio::task::spawn_blocking(|| nodes.into_iter().for_each(|(_, node)| node.daemon.stop()));
        ended.await.expect("an end");
        world.carry(&shore).await;
        let even = Edge::open(&world.store("even"), Options::default()).expect("a store");
        assert_same(&shore, "even", &even).await;
    }
    assert_eq!(held, 2_226);
    assert_eq!(shore.value("SELECT count(*) FROM gundb.pending").await, "0");
    // What is so known: a day of which La Guardia's readings came from two nodes, and the month.
    assert_eq!(shore.value("SELECT readings FROM days WHERE key = 'LGA/1/20'").await, "24");
    assert_eq!(
        shore.value("SELECT string_agg(airport || ' ' || readings, ', ' ORDER BY airport) FROM airports").await,
        "EWR 742, JFK 742, LGA 742"
    );
    stops.send_replace(true);
    gateway.await.expect("an end").expect("a good one");
}
