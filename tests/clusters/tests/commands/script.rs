//! One script of commands, with one expected output, over both kinds of store.

use crate::{Store, masked};
use gundb_clusters::sites::url;
use gundb_clusters::{Cluster, Postgres};
use std::collections::BTreeMap;

/// What a command must do.
enum Must {
    Say(&'static str),
    /// What the other kind of store says.
    SayTheSame,
    Fail(i32, &'static str),
}
use Must::{Fail, Say, SayTheSame};

/// Columns of every fold, and of every type that PostgreSQL spells in a way of its own.
const COLUMNS: &str = r#"{
    "total": {"fold": "sum", "value": {"Moved": "qty", "Taken": "-qty"}},
    "events": {"fold": "count"},
    "mean": {"fold": "avg", "value": "qty"},
    "least": {"fold": "min", "value": "at", "type": "timestamptz"},
    "most": {"fold": "max", "value": "day", "type": "date"},
    "last": {"fold": "lww", "value": "place"},
    "first": {"fold": "fww", "value": "document", "type": "jsonb"},
    "places": {"fold": "mv", "value": "place"},
    "times": {"fold": "mv", "value": "at", "type": "timestamptz"},
    "labels": {"fold": "set", "add": "label"},
    "numbers": {"fold": "set", "add": "qty", "type": "numeric"},
    "is_on": {"fold": "flag", "value": "on"},
    "notes": {"fold": "map", "key": "name", "value": "note"},
    "visits": {"fold": "merge", "value": "visits", "type": "gcounter"}
}"#;

const MOVED: &str = r#"{"qty": 3.50, "place": "dock, \"2\"", "at": "2013-01-01T05:00:00.5+02:00", "day": "2013-02-11",
    "document": {"b": [1e2, null], "a": "x"}, "label": "é, {x}", "on": true, "name": "n\"1", "note": {"z": 1.10, "a": []},
    "visits": {"gcounter": {"0d9f7a5c-6d1e-4f9b-8f0e-2f6f3a7a9b10/00000001000000aa": 3}}}"#;

const ID: &str = "00000000-0000-0000-0000-000000000001";
const LINES: &str = concat!(
    r#"{"type": "Moved", "key": "B", "data": {"qty": 12345678901234567890.25}, "id": "00000000-0000-0000-0000-000000000002"}"#,
    "\n\n",
    r#"{"key": "B", "data": {"qty": 1, "place": null}, "meta": {"who": "é"}, "id": "00000000-0000-0000-0000-000000000003"}"#,
    "\n"
);
const CSV: &str = "origin,hour,temp\nEWR,1,39.02\nJFK,2,\n";

/// The script: arguments, what is put in, and what must come of it.
#[rustfmt::skip]
fn script() -> Vec<(Vec<&'static str>, &'static str, Must)> {
    let schema = r#"{"type": "object", "required": ["qty"]}"#;
    let looser = r#"{"type": "object"}"#;
    vec![
        (vec!["stream", "create", "moves"], "", Say("stream moves declared\n")),
        (vec!["stream", "create", "moves"], "", Say("stream moves is there already\n")),
        (vec!["--json", "stream", "create", "weather"], "", Say("{\"new\":true,\"stream\":\"weather\"}\n")),
        (vec!["stream", "create", "shut", "--closed"], "", Say("stream shut declared\n")),
        (vec!["event", "define", "moves", "Taken", "--schema", schema], "", Say("Taken, version 1\n")),
        (vec!["event", "define", "moves", "Taken", "--schema", schema], "", Say("Taken, version 1\n")),
        (vec!["--json", "event", "define", "moves", "Taken", "--schema-file", "-"], looser,
            Say("{\"stream\":\"moves\",\"type\":\"Taken\",\"version\":2}\n")),
        (vec!["event", "define", "moves", "Any"], "", Say("Any, version 1\n")),
        (vec!["--json", "event", "show", "moves"], "", Say(concat!(
            "{\"schema\":null,\"type\":\"Any\",\"version\":1}\n",
            "{\"schema\":{\"type\":\"object\"},\"type\":\"Taken\",\"version\":2}\n"))),
        (vec!["event", "show", "moves", "Taken"], "", Say("type   version  schema\nTaken  2        {\"type\":\"object\"}\n")),
        (vec!["event", "show", "moves", "None"], "", Fail(3, "has no event type")),
        (vec!["event", "show", "nowhere"], "", Fail(3, "nowhere")),
        (vec!["event", "define", "moves", "Bad", "--schema", "{"], "", Fail(4, "")),
        (vec!["event", "define", "moves", "Bad", "--schema", "{\"type\": 1}"], "", Fail(4, "")),

        (vec!["view", "create", "state", "moves", COLUMNS, "--delete", "Gone"], "", Say("view state made\n")),
        (vec!["view", "create", "state", "moves", COLUMNS, "--delete", "Gone"], "", Say("view state is there already\n")),
        (vec!["view", "create", "other", "moves", "{\"n\": {\"fold\": \"none\"}}"], "", Fail(4, "")),
        (vec!["view", "create", "other", "nowhere", "{}"], "", Fail(3, "nowhere")),

        (vec!["--json", "append", "moves", "Moved", "--key", "A", "--data", MOVED, "--id", ID], "",
            Say("{\"dot\":\"DOT\",\"duplicate\":false,\"hlc\":\"HLC\",\"id\":\"00000000-0000-0000-0000-000000000001\",\"version\":null}\n")),
        (vec!["--json", "append", "moves", "Moved", "--key", "A", "--data", MOVED, "--id", ID], "",
            Say("{\"dot\":\"DOT\",\"duplicate\":true,\"hlc\":\"HLC\",\"id\":\"00000000-0000-0000-0000-000000000001\",\"version\":null}\n")),
        (vec!["append", "moves", "Taken", "--lines", "-"], LINES, Say("2 events appended, 0 were there already\n")),
        (vec!["append", "moves", "Taken", "--lines", "-", "--batch", "1"], LINES, Say("0 events appended, 2 were there already\n")),
        (vec!["--json", "append", "moves", "Taken", "--key", "A", "--data", "{\"qty\": 1}", "--expected-version", "1"], "",
            Say("{\"dot\":\"DOT\",\"duplicate\":false,\"hlc\":\"HLC\",\"id\":\"UUID\",\"version\":2}\n")),
        (vec!["append", "weather", "Read", "--csv", "-", "--columns", "temp:number, hour=hour:text", "--key-columns", "origin,hour"],
            CSV, Say("2 events appended, 0 were there already\n")),

        (vec!["append", "nowhere", "A"], "", Fail(3, "nowhere")),
        (vec!["append", "move", "A"], "", Fail(3, "Did you mean \"moves\"?")),
        (vec!["append", "moves"], "", Fail(2, "an event needs a type")),
        (vec!["append", "moves", "A", "--data", "{"], "", Fail(4, "jsonb")),
        (vec!["append", "moves", "A", "--data", "\"\\u0000\""], "", Fail(4, "jsonb")),
        (vec!["append", "moves", "A", "--data", "1}, {\"type\": \"B\""], "", Fail(4, "jsonb")),
        (vec!["append", "moves", "Taken", "--data", "1"], "", Fail(4, "does not fit")),
        (vec!["append", "moves", "A", "--id", ID], "", Fail(5, "")),
        (vec!["append", "moves", "A", "--key", "A", "--expected-version", "7"], "", Fail(5, "")),
        (vec!["append", "moves", "A", "--expected-version", "7"], "", Fail(4, "key")),
        (vec!["append", "shut", "A"], "", Fail(4, "")),
        (vec!["append", "moves", "--lines", "-"], "{\"type\": \"A\"}\n{\"type\":", Fail(4, "line 2")),
        (vec!["append", "moves", "--lines", "-"], "{\"type\": \"A\"}\n{\"data\": 1}", Fail(4, "line 2: it has no type")),

        (vec!["--json", "read", "moves", "--key", "B"], "", Say(concat!(
            "{\"dot\":\"DOT\",\"id\":\"00000000-0000-0000-0000-000000000002\",\"hlc\":\"HLC\",\"type\":\"Moved\",\"key\":\"B\",",
            "\"data\":{\"qty\": 12345678901234567890.25},\"meta\":{}}\n",
            "{\"dot\":\"DOT\",\"id\":\"00000000-0000-0000-0000-000000000003\",\"hlc\":\"HLC\",\"type\":\"Taken\",\"key\":\"B\",",
            "\"data\":{\"qty\": 1, \"place\": null},\"meta\":{\"who\": \"é\"}}\n"))),
        (vec!["read", "moves", "--type", "Taken"], "", Say(concat!(
            "HLC  boat  Taken  B  {\"qty\": 1, \"place\": null}\n",
            "HLC  boat  Taken  A  {\"qty\": 1}\n"))),
        (vec!["read", "moves", "--limit", "1", "--type", "Taken"], "", Say("HLC  boat  Taken  B  {\"qty\": 1, \"place\": null}\n")),
        (vec!["tail", "weather", "-n", "1"], "", Say("HLC  boat  Read  JFK/2  {\"hour\": \"2\"}\n")),
        (vec!["tail", "weather", "-n", "0"], "", Say("")),
        (vec!["tail", "moves", "-n", "2"], "", Say("HLC  boat  Taken  B  {\"qty\": 1, \"place\": null}\nHLC  boat  Taken  A  {\"qty\": 1}\n")),
        (vec!["read", "nowhere"], "", Fail(3, "nowhere")),
        (vec!["tail", "nowhere"], "", Fail(3, "nowhere")),

        (vec!["consume", "weather", "reader", "--peek"], "", Say("HLC  boat  Read  EWR/1  {\"hour\": \"1\", \"temp\": 39.02}\nHLC  boat  Read  JFK/2  {\"hour\": \"2\"}\n")),
        (vec!["consume", "weather", "reader"], "", Say("HLC  boat  Read  EWR/1  {\"hour\": \"1\", \"temp\": 39.02}\nHLC  boat  Read  JFK/2  {\"hour\": \"2\"}\n")),
        (vec!["consume", "weather", "reader"], "", Say("")),
        (vec!["consume", "moves", "reader"], "", Fail(5, "consumer \"reader\" reads stream \"weather\"")),
        (vec!["consume", "nowhere", "another"], "", Fail(3, "nowhere")),

        (vec!["--json", "view", "show", "state"], "", Say(concat!(
            r#"{"key": "A", "total": 2.5, "events": 2, "mean": 2.25, "least": "2013-01-01T03:00:00.5Z", "most": "2013-02-11", "#,
            r#""last": "dock, \"2\"", "first": {"a": "x", "b": [100, null]}, "places": ["dock, \"2\""], "times": ["2013-01-01T03:00:00.5Z"], "#,
            r#""labels": ["é, {x}"], "numbers": [1, 3.5], "is_on": true, "notes": {"n\"1": {"a": [], "z": 1.10}}, "#,
            r#""visits": {"gcounter": {"0d9f7a5c-6d1e-4f9b-8f0e-2f6f3a7a9b10/00000001000000aa": 3}}}"#, "\n",
            r#"{"key": "B", "total": 12345678901234567889.25, "events": 2, "mean": 6172839450617283945.63, "least": null, "most": null, "#,
            r#""last": null, "first": null, "places": [null], "times": [], "#,
            r#""labels": [], "numbers": [1, 12345678901234567890.25], "is_on": false, "notes": {}, "visits": null}"#, "\n"))),
        (vec!["view", "create", "few", "moves", "{\"n\": {\"fold\": \"count\"}, \"places\": {\"fold\": \"mv\", \"value\": \"place\"}}"], "", Say("view few made\n")),
        (vec!["view", "show", "few"], "", Say("key  n  places\nA    2  {\"dock, \\\"2\\\"\"}\nB    2  {NULL}\n")),
        (vec!["view", "show", "few", "--key", "B"], "", Say("key  n  places\nB    2  {NULL}\n")),
        (vec!["view", "show", "few", "--key", "none"], "", Say("key  n  places\n")),
        (vec!["view", "show", "fewer"], "", Fail(3, "there is no view \"fewer\"")),
        (vec!["--json", "view", "at", "few", "--time", "2001-01-01"], "", Say("")),
        (vec!["--json", "view", "at", "few", "--time", "9000-01-01", "--key", "B"], "", Say("{\"key\": \"B\", \"n\": 2, \"places\": [null]}\n")),
        (vec!["view", "at", "few", "--time", "soon"], "", Fail(4, "is no time")),
        (vec!["--json", "view", "history", "few", "B"], "", Say(concat!(
            "{\"dot\":\"DOT\",\"hlc\":\"HLC\",\"id\":\"00000000-0000-0000-0000-000000000002\",\"row\":{\"n\":1,\"places\":[]},\"type\":\"Moved\"}\n",
            "{\"dot\":\"DOT\",\"hlc\":\"HLC\",\"id\":\"00000000-0000-0000-0000-000000000003\",\"row\":{\"n\":2,\"places\":[null]},\"type\":\"Taken\"}\n"))),
        (vec!["view", "history", "few", "none"], "", Say("hlc  type  id  dot  row\n")),
        (vec!["view", "show", "state"], "", SayTheSame),
        (vec!["view", "digest", "state"], "", SayTheSame),
        (vec!["view", "history", "state", "A"], "", SayTheSame),
        (vec!["--json", "view", "history", "state", "A"], "", SayTheSame),
        (vec!["--json", "view", "at", "state", "--time", "9000-01-01"], "", SayTheSame),
        (vec!["view", "check", "state"], "", Say("view state is what its events give\n")),
        (vec!["view", "rebuild", "state"], "", Say("view state has 2 rows\n")),
        (vec!["view", "create", "hours", "weather", "{\"n\": {\"fold\": \"count\"}}", "--key", "hour::bigint as hour, @type as kind"], "", Say("view hours made\n")),
        (vec!["--json", "view", "show", "hours"], "", Say("{\"hour\": 1, \"kind\": \"Read\", \"n\": 1}\n{\"hour\": 2, \"kind\": \"Read\", \"n\": 1}\n")),
        (vec!["--json", "view", "show", "hours", "--key", "2, Read"], "", Say("{\"hour\": 2, \"kind\": \"Read\", \"n\": 1}\n")),
        (vec!["--json", "view", "at", "hours", "--time", "9000-01-01", "--key", "2, Read"], "", Say("{\"hour\": 2, \"kind\": \"Read\", \"n\": 1}\n")),
        (vec!["view", "show", "hours", "--key", "two, Read"], "", Fail(4, "invalid key of the view")),
        (vec!["view", "show", "hours", "--key", "2"], "", Fail(4, "is not 2 values")),
        (vec!["append", "weather", "Odd", "--data", "{\"hour\": \"noon\"}", "--id", "00000000-0000-0000-0000-000000000004"], "", Say("DOT\n")),
        (vec!["--json", "view", "left-out", "hours"], "", Say("{\"dot\":\"DOT\",\"reason\":\"key \\\"hour\\\", path hour: \\\"noon\\\" is not an integer of 64 bits\"}\n")),
        (vec!["--json", "pending"], "", Say("{\"dot\":\"DOT\",\"key\":null,\"kind\":\"event\",\"reason\":\"key \\\"hour\\\", path hour: \\\"noon\\\" is not an integer of 64 bits\",\"view\":\"hours\"}\n")),
        (vec!["view", "drop", "few"], "", Say("view few dropped\n")),
        (vec!["view", "drop", "few"], "", Fail(3, "there is no view")),
        (vec!["view", "drop", "state"], "", Say("view state dropped\n")),
        (vec!["view", "list"], "", Say(concat!(
            "view   stream   key                                  columns                   strict\n",
            "hours  weather  hour::bigint as hour, @type as kind  {\"n\": {\"fold\": \"count\"}}  false\n"))),
        (vec!["view", "create", "exact", "weather", "{\"n\": {\"fold\": \"sum\", \"value\": \"exact\"}}", "--strict"], "", Say("view exact made\n")),
        (vec!["--json", "view", "list"], "", Say(concat!(
            "{\"columns\":\"{\\\"n\\\": {\\\"fold\\\": \\\"sum\\\", \\\"value\\\": \\\"exact\\\"}}\",\"key\":\"@key\",\"stream\":\"weather\",\"strict\":true,\"view\":\"exact\"}\n",
            "{\"columns\":\"{\\\"n\\\": {\\\"fold\\\": \\\"count\\\"}}\",\"key\":\"hour::bigint as hour, @type as kind\",\"stream\":\"weather\",\"strict\":false,\"view\":\"hours\"}\n"))),
        (vec!["append", "weather", "Read", "--key", "k", "--data", "{\"hour\": 1, \"exact\": \"no\"}"], "", Fail(4, "cannot fold")),
        (vec!["view", "drop", "exact"], "", Say("view exact dropped\n")),

        (vec!["--json", "revert", "moves", "00000000-0000-0000-0000-000000000003"], "", Say("{\"dot\":\"DOT\",\"id\":\"UUID\"}\n")),
        (vec!["revert", "moves", "00000000-0000-0000-0000-000000000003"], "", Fail(5, "reverted")),
        (vec!["revert", "moves", "00000000-0000-0000-0000-000000000009"], "", Fail(3, "")),

        (vec!["stream", "list"], "", Say(concat!(
            "stream   events  lanes  types  closed\n",
            "gundb    7       1      0      false\n",
            "moves    5       1      2      false\n",
            "shut     0       0      0      true\n",
            "weather  3       1      0      false\n"))),
        (vec!["verify"], "", Say("all chains are whole\n")),
        (vec!["--json", "clock", "--at", "2001-01-01T00:00:00.000Z"], "", Say("{\"clock\":\"{}\"}\n")),
        (vec!["digest", "nowhere"], "", Fail(3, "nowhere")),
        (vec!["pending", "--retry"], "", Say("0 transactions wait no longer\n")),
        (vec!["bundle", "import", "/dev/null"], "", Fail(8, "")),
        (vec!["bundle", "import", "-"], "this is no bundle", Fail(8, "")),
    ]
}

/// Runs the script, and tells what went otherwise; `same` has what the other kind of store said.
fn wrong(store: &Store, same: &mut BTreeMap<Vec<&'static str>, String>) -> Vec<String> {
    let mut wrong = Vec::new();
    for (arguments, input, must) in script() {
        let output = store.run(&arguments, input);
        let (said, complaint) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let (said, code) = (masked(&said), output.status.code());
        let is_right = match must {
            Say(expected) => code == Some(0) && said == expected,
            SayTheSame => code == Some(0) && *same.entry(arguments.clone()).or_insert_with(|| said.clone()) == said,
            Fail(expected, what) => code == Some(expected) && complaint.contains(what),
        };
        if !is_right {
            let expected = match must {
                Say(expected) => format!("{expected:?}"),
                SayTheSame => format!("{:?}", same.get(&arguments)),
                Fail(expected, what) => format!("code {expected}, {what:?}"),
            };
            wrong.push(format!("{arguments:?}\n  code {code:?}, said {said:?}\n  expected {expected}\n  {complaint}"));
        }
    }
    wrong
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_says_the_same_of_a_file_and_of_postgresql() {
    let directory = tempfile::tempdir().expect("a directory");
    let (mut told, mut same) = (String::new(), BTreeMap::new());
    for postgres in Postgres::all() {
        let cluster = Cluster::start(&postgres, &[]);
        cluster.connect("postgres").await.run("CREATE DATABASE shop").await;
        let file = directory.path().join(format!("boat-{}", postgres.version())).display().to_string();
        for store in [Store { at: file }, Store { at: url(cluster.home(), "postgres", "shop") }] {
            store.says(&["init", "--name", "boat"]);
            for wrong in wrong(&store, &mut same) {
                told.push_str(&format!("{}: {wrong}\n", store.at));
            }
        }
    }
    assert!(told.is_empty(), "{told}");
}
