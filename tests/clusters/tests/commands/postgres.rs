//! What there is only with PostgreSQL: making a site, carrying between the two kinds, news, rights, servers that are away.

use crate::Store;
use gundb_clusters::cluster::Stop;
use gundb_clusters::sites::url;
use gundb_clusters::{Cluster, Postgres};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// However slow the machine is, news comes within this time.
const PATIENCE: Duration = Duration::from_secs(60);

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("a JSON document")
}

/// A store in a file, and a PostgreSQL site, each with the stream `s` and a view of it.
async fn both(directory: &std::path::Path, cluster: &Cluster) -> [Store; 2] {
    cluster.connect("postgres").await.run("CREATE DATABASE shop").await;
    let file = Store { at: directory.join("boat").display().to_string() };
    let site = Store { at: url(cluster.home(), "postgres", "shop") };
    for (store, name) in [(&file, "boat"), (&site, "shore")] {
        store.says(&["init", "--name", name]);
        store.says(&["stream", "create", "s"]);
        store.says(&["view", "create", "v", "s", r#"{"n": {"fold": "sum", "value": "n"}}"#]);
    }
    [file, site]
}

/// A command that goes on, and the lines that it says.
struct Going(Kept, Receiver<String>);

impl Going {
    fn begin(store: &Store, arguments: &[&str]) -> Going {
        let mut child = store.command(arguments).stdout(Stdio::piped()).spawn().expect("the command line");
        let (told, lines) = channel();
        let output = BufReader::new(child.stdout.take().expect("its output"));
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| told.send(line)));
        Going(Kept(child), lines)
    }

    fn next(&self) -> Value {
        json(&self.1.recv_timeout(PATIENCE).expect("a line in time"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_is_made_a_site_and_says_what_was_done() {
    let cluster = Cluster::start(&Postgres::fifteen(), &[]);
    cluster.connect("postgres").await.run("CREATE DATABASE shop").await;
    let site = Store { at: url(cluster.home(), "postgres", "shop") };
    let (code, complaint) = site.fails(&["status"]);
    assert_eq!(code, 3, "{complaint}");
    assert!(complaint.contains("does not have the extension gundb") && complaint.contains("gundb init"), "{complaint}");
    assert!(site.says(&["init", "--name", "shore"]).starts_with("extension gundb created; site shore ("));
    let again = json(&site.says(&["--json", "init", "--name", "coast"]));
    assert_eq!((&again["extension_created"], &again["name"]), (&Value::Bool(false), &Value::from("coast")));
    let status = json(&site.says(&["--json", "status"]));
    assert_eq!((&status["site"], &status["name"]), (&again["site"], &Value::from("coast")));
    let figures = site.says(&["status", "--prometheus"]);
    let events = format!("gundb_events{{site={},name=\"coast\"}} {}\n", status["site"], status["events"]);
    assert!(figures.contains(&events) && figures.contains("# TYPE gundb_events gauge\n"), "{figures}");
    let watched = Going::begin(&site, &["--json", "status", "--watch", "1"]);
    for _ in 0..2 {
        assert_eq!(watched.next()["events"], status["events"]);
    }
    assert!(status["last_hlc"].is_string() && status["events"].as_u64() > Some(0), "{status}");
    let other = json(&site.says(&["--json", "init", "--name", "copy", "--new-identity"]));
    assert_ne!(other["site"], again["site"]);
    // What it has no use for is said to be so.
    let (code, complaint) = site.fails(&["compact"]);
    assert!(code == 2 && complaint.contains("VACUUM"), "{complaint}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_database_is_said_by_its_code() {
    let cluster = Cluster::start(&Postgres::fifteen(), &[]);
    let session = cluster.database("shop").await;
    session.run("CREATE ROLE reader LOGIN; CREATE ROLE nobody NOLOGIN; SELECT gundb.create_stream('s')").await;
    let site = |role: &str, database: &str| Store { at: url(cluster.home(), role, database) };
    let reader = site("reader", "shop");
    for (store, arguments, code, said) in [
        (&reader, vec!["append", "s", "A"], 7, "42501"),
        (&reader, vec!["read", "s"], 7, "permission denied"),
        (&reader, vec!["stream", "create", "t"], 7, "grant_admin"),
        (&reader, vec!["bundle", "export", "/tmp"], 7, "42501"),
        (&site("nobody", "shop"), vec!["status"], 7, "nobody"),
        (&site("postgres", "none"), vec!["status"], 3, "there is no database \"none\""),
        (&Store { at: "postgres://host".into() }, vec!["status"], 2, "the store's URL cannot be used"),
        (&Store { at: "postgres://a:secret@host/shop".into() }, vec!["status"], 2, "password"),
        (&Store { at: "mysql://a@host/shop".into() }, vec!["status"], 2, "postgres://"),
        (&Store { at: "postgres://a@localhost:1/shop".into() }, vec!["status"], 7, "refused"),
    ] {
        let (found, complaint) = store.fails(&arguments);
        assert!(found == code && complaint.contains(said), "{}: {arguments:?}: {found}: {complaint}", store.at);
        assert!(!complaint.contains("secret"), "{complaint}");
    }
    // The SQLSTATE and the hint are there for machines too.
    let (_, complaint) = site("postgres", "shop").fails(&["--json", "append", "t", "A"]);
    let error = json(&complaint);
    assert_eq!((&error["sqlstate"], &error["code"], &error["kind"]), (&"GD008".into(), &3.into(), &"notfound".into()));
    assert!(error["hint"].is_string(), "{error}");
    // A server that goes away while it is listened to.
    let owner = site("postgres", "shop");
    let mut going = Going::begin(&owner, &["--json", "tail", "s", "-f"]);
    owner.says(&["append", "s", "A"]);
    going.next();
    cluster.stop(Stop::Fast);
    assert_eq!(going.0.0.wait().expect("its end").code(), Some(7));
    let (code, complaint) = owner.fails(&["status"]);
    assert!(code == 7 && complaint.contains("Is the server up"), "{complaint}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bundles_go_both_ways_and_both_stores_compare_as_equal() {
    let directory = tempfile::tempdir().expect("a directory");
    let cluster = Cluster::start(&Postgres::fifteen(), &[]);
    let [file, site] = both(directory.path(), &cluster).await;
    for (store, n) in [(&file, "1"), (&site, "2")] {
        store.says(&["append", "s", "A", "--key", "k", "--data", &format!("{{\"n\": {n}}}")]);
    }
    let (code, complaint) = site.fails(&["compare", &file.at]);
    assert!(code == 1 && complaint.contains("lanes differ"), "{complaint}");
    for (from, to) in [(&file, &site), (&site, &file)] {
        let bundles = directory.path().join(format!("to-{}", from.at.len()));
        let since = to.says(&["clock"]);
        let bundles = bundles.to_str().expect("a name");
        let exported = from.says(&["--json", "bundle", "export", bundles, "--since", since.trim()]);
        for line in exported.lines() {
            let bundle = format!("{bundles}/{}", json(line)["file"].as_str().expect("a file"));
            site.says(&["bundle", "verify", &bundle]);
            let taken = json(&to.says(&["--json", "bundle", "import", &bundle]));
            assert_eq!((&taken["new"], &taken["refused"]), (&json(line)["events"], &0.into()), "{taken}");
            let again = json(&to.says(&["--json", "bundle", "import", &bundle]));
            assert_eq!((&again["new"], &again["known"]), (&0.into(), &json(line)["events"]), "{again}");
        }
    }
    assert!(site.says(&["compare", &file.at]).starts_with("both hold the same"));
    assert!(file.says(&["compare", &site.at]).starts_with("both hold the same"));
    for arguments in [
        vec!["clock"],
        vec!["digest"],
        vec!["digest", "s"],
        vec!["view", "digest", "v"],
        vec!["--json", "view", "show", "v"],
        vec!["--json", "view", "history", "v", "k"],
        vec!["read", "s"],
        vec!["tail", "s"],
    ] {
        assert_eq!(file.says(&arguments), site.says(&arguments), "{arguments:?}");
    }
    assert_eq!(site.says(&["--json", "view", "show", "v"]), "{\"key\": \"k\", \"n\": 3}\n");
    // One that comes too early waits, and is listed alike.
    let buoy = Store { at: directory.path().join("buoy").display().to_string() };
    buoy.says(&["init", "--name", "buoy"]);
    let [first, second] = ["first", "second"].map(|name| directory.path().join(name).display().to_string());
    buoy.says(&["bundle", "export", &first]);
    let since = buoy.says(&["clock"]);
    buoy.says(&["stream", "create", "t"]);
    buoy.says(&["bundle", "export", &second, "--since", since.trim()]);
    let only = |directory: &str| {
        let mut files = std::fs::read_dir(directory).expect("bundles").map(|file| file.expect("a bundle").path());
        files.next().expect("a bundle").display().to_string()
    };
    for store in [&file, &site] {
        let early = json(&store.says(&["--json", "bundle", "import", &only(&second)]));
        assert_eq!((&early["new"], &early["pending"]), (&0.into(), &1.into()), "{}: {early}", store.at);
        assert_eq!(json(&store.says(&["--json", "status"]))["early_bundles"], 1);
    }
    let waits = file.says(&["pending"]);
    assert!(waits.contains("bundle") && waits.contains("has not come"), "{waits}");
    assert_eq!(waits, site.says(&["pending"]));
    for store in [&file, &site] {
        store.says(&["bundle", "import", &only(&first)]);
        assert_eq!(store.says(&["--json", "pending"]), "", "{}", store.at);
    }
    assert_eq!(file.says(&["clock"]), site.says(&["clock"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_is_told_at_once_and_a_consumer_stays_where_it_was_left() {
    let directory = tempfile::tempdir().expect("a directory");
    let cluster = Cluster::start(&Postgres::fifteen(), &[]);
    let [_, site] = both(directory.path(), &cluster).await;
    site.says(&["append", "s", "Before"]);
    let going = Going::begin(&site, &["--json", "tail", "s", "-f", "-n", "1"]);
    assert_eq!(going.next()["type"], "Before");
    let session = cluster.connect("shop").await;
    for n in 0..20 {
        session.run(&format!("INSERT INTO s (type) SELECT 'N{n}' FROM generate_series(1, 3)")).await;
        for _ in 0..3 {
            assert_eq!(going.next()["type"], format!("N{n}"));
        }
    }
    // A page is no transaction: more than one page's worth of events comes whole.
    session
        .run("INSERT INTO s (type, data) SELECT 'Many', jsonb_build_object('n', n) FROM generate_series(1, 2500) n")
        .await;
    for n in 1..=2500 {
        assert_eq!(going.next()["data"]["n"], n);
    }
    assert_eq!(site.says(&["--json", "read", "s"]).lines().count(), 2561);
    assert_eq!(site.says(&["--json", "consume", "s", "c", "--limit", "10", "--peek"]).lines().count(), 10);
    assert_eq!(site.says(&["--json", "consume", "s", "c", "--limit", "10"]).lines().count(), 10);
    assert_eq!(site.says(&["--json", "consume", "s", "c"]).lines().count(), 51);
    assert_eq!(site.says(&["--json", "consume", "s", "c"]).lines().count(), 2500);
    assert_eq!(site.says(&["--json", "consume", "s", "c"]), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_reducers_and_names_that_need_quotes_are_as_in_sql() {
    let directory = tempfile::tempdir().expect("a directory");
    let cluster = Cluster::start(&Postgres::fifteen(), &[]);
    let [_, site] = both(directory.path(), &cluster).await;
    let session = cluster.connect("shop").await;
    assert_eq!(
        site.says(&["peer", "add", "tokyo", "postgres://a@localhost:1/x", "--push", "s,!t"]),
        "peer tokyo added\n"
    );
    assert_eq!(site.fails(&["peer", "add", "tokyo", "postgres://a@localhost:1/x"]).0, 5);
    assert_eq!(site.fails(&["peer", "add", "osaka", "carrier-pigeon:"]).0, 4);
    site.says(&["peer", "pause", "tokyo"]);
    let peers = json(&site.says(&["--json", "peer", "list"]));
    assert_eq!((&peers["name"], &peers["paused"]), (&"tokyo".into(), &true.into()));
    assert_eq!(peers["push"], json(r#"["s", "!t"]"#));
    assert!(site.says(&["peer", "list"]).contains("tokyo"));
    site.says(&["peer", "resume", "tokyo"]);
    site.says(&["peer", "drop", "tokyo"]);
    assert_eq!(site.says(&["--json", "peer", "list"]), "");
    assert_eq!(site.fails(&["peer", "drop", "tokyo"]).0, 3);

    session
        .run("CREATE FUNCTION f(state jsonb, event gundb.event) RETURNS jsonb IMMUTABLE LANGUAGE sql AS 'SELECT $1 || $2.data'")
        .await;
    assert_eq!(site.says(&["view", "create", "r", "s", "--reducer", "f(jsonb, gundb.event)"]), "view r made\n");
    site.says(&["append", "s", "A", "--key", "k", "--data", r#"{"a": 1}"#]);
    assert_eq!(site.says(&["--json", "view", "show", "r"]), "{\"key\": \"k\", \"state\": {\"a\": 1}}\n");
    assert_eq!(site.says(&["--json", "view", "history", "r", "k"]).lines().count(), 1);
    assert_eq!(site.says(&["view", "check", "r"]), "view r is what its events give\n");

    session.run("CREATE SCHEMA \"Odd one\"").await;
    let columns = r#"{"say \"n\"": {"fold": "count"}}"#;
    site.says(&["view", "create", "\"Odd one\".\"V; DROP\"", "s", columns, "--key", "@key as \"a b\""]);
    for name in ["\"Odd one\".\"V; DROP\"", "Odd one.V; DROP", "V; DROP"] {
        let shown = site.says(&["--json", "view", "show", name, "--key", "k"]);
        assert_eq!(shown, "{\"a b\": \"k\", \"say \\\"n\\\"\": 1}\n");
    }
    // What a URL's role finds is not what somebody's setting makes of it.
    session
        .run("ALTER ROLE postgres SET \"DateStyle\" = 'German'; ALTER ROLE postgres SET bytea_output = 'escape'")
        .await;
    session.run("ALTER ROLE postgres SET \"TimeZone\" = 'Asia/Tokyo'").await;
    site.says(&["view", "create", "t", "s", r#"{"at": {"fold": "max", "value": "at", "type": "timestamptz"}}"#]);
    site.says(&["append", "s", "A", "--key", "k", "--data", r#"{"at": "2013-02-11T09:00:00+09:00"}"#]);
    assert_eq!(site.says(&["--json", "view", "show", "t"]), "{\"key\": \"k\", \"at\": \"2013-02-11T00:00:00Z\"}\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_large_is_told_row_by_row() {
    const ROWS: usize = 20_000;
    const MEMORY_KB_MAX: u64 = 48 << 10;
    let directory = tempfile::tempdir().expect("a directory");
    let cluster = Cluster::start(&Postgres::fifteen(), &[]);
    let [_, site] = both(directory.path(), &cluster).await;
    let session = cluster.connect("shop").await;
    site.says(&["view", "create", "large", "s", r#"{"text": {"fold": "lww", "value": "text"}}"#]);
    let insert =
        "INSERT INTO s (type, key, data) SELECT 'A', n::text, jsonb_build_object('text', repeat(md5(n::text), 100))";
    session.run(&format!("{insert} FROM generate_series(1, {ROWS}) n")).await;
    for arguments in [vec!["--json", "view", "show", "large"], vec!["--json", "read", "s"]] {
        let going = site.command(&arguments).stdout(Stdio::piped()).spawn().expect("the command line");
        let mut going = Kept(going);
        let status = format!("/proc/{}/status", going.0.id());
        let mut lines = BufReader::new(going.0.stdout.take().expect("its output")).lines();
        assert_eq!(lines.by_ref().take(ROWS - 1_000).count(), ROWS - 1_000, "{arguments:?}");
        // It waits for its reader, with most of what it says behind it.
        let status = std::fs::read_to_string(status).expect("a process that goes on");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("its memory");
        let peak_kb: u64 = peak.trim().trim_end_matches(" kB").parse().expect("a number");
        println!("{arguments:?}: {peak_kb} kB at most, for {} kB of rows", ROWS * 3_200 / 1_024);
        assert!(peak_kb < MEMORY_KB_MAX, "{arguments:?}: {peak_kb} kB");
        assert_eq!(lines.count(), 1_000, "{arguments:?}");
    }
}

/// A process that ends with its test.
struct Kept(Child);

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
