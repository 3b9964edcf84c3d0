//! The command line: what it tells, and the codes with which it ends.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::tempdir;

struct Store<'a>(&'a Path);

impl Store<'_> {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gundb"));
        command.arg("--store").arg(self.0).args(arguments);
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// What a command that must succeed says.
    fn says(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// The code and the complaint of one that must not.
    fn fails(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.run(arguments);
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    }

    fn given(&self, arguments: &[&str], input: &str) -> Output {
        let mut child = self.command(arguments);
        let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }
}

#[test]
fn a_store_is_made_filled_viewed_carried_and_compared() {
    let directory = tempdir().unwrap();
    let (a, b) = (directory.path().join("a"), directory.path().join("b"));
    let (a, b) = (Store(&a), Store(&b));
    a.says(&["init", "--name", "boat"]);
    b.says(&["init", "--name", "shore"]);
    a.says(&["stream", "create", "stock"]);
    a.says(&["event", "define", "stock", "Received", "--schema", r#"{"type": "object", "required": ["qty"]}"#]);
    let columns = r#"{"on_hand": {"fold": "sum", "value": {"Received": "qty", "Sold": "-qty"}}}"#;
    a.says(&["view", "create", "stock", "stock", columns]);
    a.says(&["append", "stock", "Received", "--key", "A-1", "--data", r#"{"qty": 3}"#]);
    let lines = "{\"type\": \"Sold\", \"key\": \"A-1\", \"data\": {\"qty\": 1}}\n\n{\"type\": \"Received\", \"key\": \"B\", \"data\": {\"qty\": 2.5}}\n";
    assert!(a.given(&["append", "stock", "--lines", "-"], lines).status.success());
    assert_eq!(
        a.says(&["--json", "view", "show", "stock"]),
        "{\"key\": \"A-1\", \"on_hand\": 2}\n{\"key\": \"B\", \"on_hand\": 2.5}\n"
    );
    assert_eq!(a.says(&["view", "show", "stock", "--key", "B"]), "key  on_hand\nB    2.5\n");
    let clock = a.says(&["clock"]);
    a.says(&["append", "stock", "Sold", "--key", "A-1", "--data", r#"{"qty": 2}"#]);
    assert_eq!(
        a.says(&["--json", "view", "at", "stock", "--clock", clock.trim(), "--key", "A-1"]),
        "{\"key\": \"A-1\", \"on_hand\": 2}\n"
    );
    assert_eq!(a.says(&["--json", "view", "history", "stock", "A-1"]).lines().count(), 3);
    a.says(&["view", "check", "stock"]);
    a.says(&["verify"]);
    // Carried by a directory.
    let bundles = directory.path().join("bundles");
    a.says(&["bundle", "export", bundles.to_str().unwrap()]);
    let files: Vec<_> = std::fs::read_dir(&bundles).unwrap().map(|file| file.unwrap().path()).collect();
    let file = files[0].to_str().unwrap();
    let nowhere = Store(Path::new("/nonexistent"));
    assert!(nowhere.says(&["--json", "bundle", "inspect", file]).contains("\"kind\":\"bundle\""));
    nowhere.says(&["bundle", "verify", file]);
    let (code, complaint) = a.fails(&["compare", b.0.to_str().unwrap()]);
    assert_eq!(code, 1, "{complaint}");
    b.says(&["bundle", "import", file]);
    assert_eq!(b.says(&["digest", "stock"]), a.says(&["digest", "stock"]));
    b.says(&["view", "create", "stock", "stock", columns]);
    assert_eq!(b.says(&["view", "digest", "stock"]), a.says(&["view", "digest", "stock"]));
    assert_eq!(b.says(&["read", "stock"]), a.says(&["read", "stock"]));
    assert_eq!(a.says(&["--json", "tail", "stock", "-n", "1"]).lines().count(), 1);
    assert_eq!(a.says(&["--json", "consume", "stock", "c", "--limit", "3"]).lines().count(), 3);
    assert_eq!(a.says(&["--json", "consume", "stock", "c"]).lines().count(), 1);
    let digest = a.says(&["digest"]);
    a.says(&["compact"]);
    assert_eq!(a.says(&["digest"]), digest);
    assert!(a.says(&["completions", "bash"]).contains("gundb"));
    a.says(&["manual", a.0.to_str().unwrap()]);
    let page = std::fs::read_to_string(a.0.join("gundb-peer-add.1")).unwrap();
    assert!(page.contains("gundb\\-peer\\-add"), "{page}");
    assert!(a.says(&["--json", "status"]).contains("\"events\":"));
}

#[test]
fn csv_becomes_events_by_a_mapping() {
    let directory = tempdir().unwrap();
    let store = Store(directory.path());
    store.says(&["init", "--name", "boat"]);
    store.says(&["stream", "create", "weather"]);
    let csv = "origin,hour,temp,gust,place\nEWR,1,39.02,,NA\nJFK,2,\"40\",12.5,\nLGA,3,NA,NA,hill\n";
    let mapping = "temp:number,gust:number,hour=hour:text,place:text";
    let append = ["append", "weather", "Read", "--csv", "-", "--columns", mapping, "--key-columns", "origin,hour"];
    let output = store.given(&append, csv);
    assert!(String::from_utf8_lossy(&output.stderr).contains("row 4: column \"temp\": \"NA\" is no number"));
    let output = store.given(&[append.as_slice(), &["--null", "NA"]].concat(), csv);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let read = store.says(&["--json", "read", "weather"]);
    let data: Vec<_> = read
        .lines()
        .map(|line| {
            let event: serde_json::Value = serde_json::from_str(line).unwrap();
            (event["key"].as_str().unwrap().to_owned(), event["data"].to_string())
        })
        .collect();
    assert_eq!(data[0], ("EWR/1".to_owned(), r#"{"hour":"1","temp":39.02}"#.to_owned()));
    assert_eq!(data[1], ("JFK/2".to_owned(), r#"{"gust":12.5,"hour":"2","place":"","temp":40}"#.to_owned()));
    assert_eq!(data[2], ("LGA/3".to_owned(), r#"{"hour":"3","place":"hill"}"#.to_owned()));
    let output = store.given(&["append", "weather", "Read", "--csv", "-", "--columns", "temps:number"], csv);
    assert_eq!(output.status.code(), Some(4));
    assert!(String::from_utf8_lossy(&output.stderr).contains("Did you mean \"temp\"?"));
    let output = store.given(&["append", "weather", "Read", "--csv", "-", "--columns", "origin:number"], csv);
    assert!(String::from_utf8_lossy(&output.stderr).contains("row 2"));
}

#[test]
fn what_goes_wrong_has_its_code_and_says_what_to_do() {
    let directory = tempdir().unwrap();
    let store = Store(directory.path());
    assert_eq!(store.fails(&["status"]).0, 3);
    store.says(&["init", "--name", "boat"]);
    store.says(&["stream", "create", "s"]);
    let id = "00000000-0000-0000-0000-000000000007";
    store.says(&["append", "s", "A", "--id", id]);
    let junk = directory.path().join("junk");
    std::fs::write(&junk, b"this is no bundle").unwrap();
    let junk = junk.to_str().unwrap();
    for (arguments, code, hint) in [
        (vec!["init", "--name", ""], 4, ""),
        (vec!["append", "t", "A"], 3, "gundb stream create"),
        (vec!["append", "s", "A", "--data", "{"], 4, "jsonb"),
        (vec!["append", "s", "A", "--id", id, "--data", "1"], 5, "idempotency"),
        (vec!["append", "s", "A", "--key", "k", "--expected-version", "9"], 5, "decide anew"),
        (vec!["view", "show", "none"], 3, "gundb view create"),
        (vec!["view", "create", "v", "s", "--reducer", "f"], 4, "PostgreSQL"),
        (vec!["bundle", "import", junk], 8, ""),
        (vec!["bundle", "verify", junk], 8, "sent again"),
        (vec!["nonsense"], 2, "Usage"),
    ] {
        let (found, complaint) = store.fails(&arguments);
        assert_eq!(found, code, "{arguments:?}: {complaint}");
        assert!(complaint.contains(hint), "{arguments:?}: {complaint}");
    }
    let output = store.run(&["--json", "append", "t", "A"]);
    let error: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(error["code"], 3);
    // A damaged file is told, whatever is damaged.
    let file = directory.path().join("gundb.redb");
    let bytes = std::fs::read(&file).unwrap();
    for at in [0, 100, bytes.len() / 2] {
        let mut damaged = bytes.clone();
        damaged[at..].iter_mut().take(600).for_each(|byte| *byte ^= 0x5a);
        std::fs::write(&file, &damaged).unwrap();
        let output = store.run(&["verify"]);
        assert!(output.status.code().is_some_and(|code| code != 101), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn init_once_more_with_another_name_renames_the_site() {
    let directory = tempdir().unwrap();
    let store = Store(directory.path());
    let json = |text: String| serde_json::from_str::<serde_json::Value>(&text).unwrap();
    let made = json(store.says(&["--json", "init", "--name", "boat"]));
    store.says(&["stream", "create", "s"]);
    store.says(&["append", "s", "A"]);
    let renamed = json(store.says(&["--json", "init", "--name", "barge"]));
    assert_eq!((&renamed["site"], renamed["name"].as_str()), (&made["site"], Some("barge")));
    let held = store.says(&["--json", "clock"]);
    store.says(&["init", "--name", "barge"]);
    assert_eq!(store.says(&["--json", "clock"]), held, "the same name again says nothing new");
    assert_eq!(json(store.says(&["--json", "status"]))["name"], "barge");
    assert_eq!(store.says(&["--json", "read", "s"]).lines().count(), 1);
    let copied = json(store.says(&["--json", "init", "--name", "copy", "--new-identity"]));
    assert_ne!(copied["site"], made["site"]);
}

#[test]
fn a_strict_view_refuses_the_batch_of_a_file_that_it_cannot_fold() {
    let directory = tempdir().unwrap();
    let store = Store(directory.path());
    store.says(&["init", "--name", "boat"]);
    store.says(&["stream", "create", "s"]);
    store.says(&["view", "create", "v", "s", r#"{"n": {"fold": "sum", "value": "n"}}"#, "--strict"]);
    assert!(store.says(&["--json", "view", "list"]).contains("\"strict\":true"));
    let csv = "k,n\na,1\na,2\na,none\n";
    let output = store.given(&["append", "s", "A", "--csv", "-", "--key-columns", "k", "--batch", "2"], csv);
    assert_eq!(output.status.code(), Some(4));
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert!(
        complaint.contains("lines 4 to 4, of which none is appended: view \"v\" cannot fold the event"),
        "{complaint}"
    );
    assert!(complaint.contains("hint: Correct the event, or make the view without --strict"), "{complaint}");
    assert_eq!(store.says(&["--json", "view", "show", "v"]), "{\"key\": \"a\", \"n\": 3}\n");
}

/// Runs a command with a terminal for everything, and gives what it shows there.
fn at_a_terminal(store: &Store<'_>, arguments: &[&str]) -> String {
    let command = store.command(arguments);
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let quoted: Vec<_> = words.map(|word| format!("'{}'", word.to_str().unwrap())).collect();
    let output = Command::new("script").args(["-qec", &quoted.join(" "), "/dev/null"]).output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn long_work_draws_a_bar_at_a_terminal_and_nowhere_else() {
    let directory = tempdir().unwrap();
    let store = Store(directory.path());
    store.says(&["init", "--name", "boat"]);
    store.says(&["stream", "create", "s"]);
    let rows = directory.path().join("rows.csv");
    let lines: String = (0..8_000).map(|n| format!("k{},{n}\n", n % 500)).collect();
    std::fs::write(&rows, format!("k,n\n{lines}")).unwrap();
    let rows = rows.to_str().unwrap();
    // The bar clears its line; nothing else does.
    let has_bar = |shown: &str| shown.contains("\x1b[2K");
    let append = ["append", "s", "A", "--csv", rows, "--key-columns", "k"];
    let shown = at_a_terminal(&store, &append);
    assert!(has_bar(&shown) && shown.contains("appending"), "{shown:?}");
    // When it is told what was done, the bar is gone.
    assert!(shown.trim_end().ends_with("8000 events appended, 0 were there already"), "{shown:?}");
    let sum = r#"{"n": {"fold": "sum", "value": "n"}}"#;
    assert!(at_a_terminal(&store, &["view", "create", "v", "s", sum]).contains("building"));
    // Machines, and files, see none.
    let shown = at_a_terminal(&store, &["--json", "view", "rebuild", "v"]);
    assert!(!has_bar(&shown) && !shown.contains("building"), "{shown:?}");
    let output = store.run(&["view", "rebuild", "v"]);
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}

#[test]
fn a_tail_follows_what_another_process_appends() {
    let directory = tempdir().unwrap();
    let store = Store(directory.path());
    store.says(&["init", "--name", "boat"]);
    store.says(&["stream", "create", "s"]);
    store.says(&["append", "s", "Before"]);
    let edge = gundb_node::Edge::open(directory.path(), gundb_node::Options::default()).unwrap();
    let mut child = store.command(&["--json", "tail", "s", "-f", "-n", "1"]).stdout(Stdio::piped()).spawn().unwrap();
    let (told, lines) = std::sync::mpsc::channel();
    let output = child.stdout.take().unwrap();
    let reader = std::thread::spawn(move || {
        for line in std::io::BufRead::lines(std::io::BufReader::new(output)).map_while(Result::ok) {
            let event: serde_json::Value = serde_json::from_str(&line).unwrap();
            told.send(event["type"].as_str().unwrap().to_owned()).unwrap();
        }
    });
    let next = || lines.recv_timeout(std::time::Duration::from_secs(30)).unwrap();
    assert_eq!(next(), "Before");
    for kind in ["One", "Two"] {
        let event = gundb_node::New { stream: "s".into(), kind: kind.into(), data: "{}".into(), ..Default::default() };
        edge.append_one(event).unwrap();
        assert_eq!(next(), kind);
    }
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap();
    // A second writer is told that there is one.
    assert_eq!(store.fails(&["append", "s", "Three"]).0, 6);
}
