//! An edge node and PostgreSQL: with the same events they have the same digests, the same rows and the same digests of rows, whichever way the events came.

use gundb_clusters::{Cluster, Postgres, Session, seed};
use gundb_core::bundle::encode_bundle;
use gundb_core::store::{Counts, Export, Origin, take_in};
use gundb_core::sync::filter::Filter;
use gundb_core::sync::message::Accept;
use gundb_core::{Clock, Limits, canonical_text};
use gundb_node::view::Definition;
use gundb_node::{Edge, New, Options};

/// Columns of every fold and of every type whose text PostgreSQL prints in a way of its own.
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
    "labels": {"fold": "set", "add": {"Labelled": "label"}, "remove": {"Unlabelled": "label"}},
    "sure": {"fold": "rw_set", "add": {"Labelled": "label"}, "remove": {"Unlabelled": "label"}},
    "numbers": {"fold": "set", "add": "qty", "type": "numeric"},
    "marks": {"fold": "set", "add": "on", "type": "boolean"},
    "is_on": {"fold": "flag", "value": {"Switched": "on"}},
    "is_off": {"fold": "dw_flag", "value": {"Switched": "on"}},
    "notes": {"fold": "map", "key": {"Noted": "name"}, "value": {"Noted": "note"}, "remove": {"Erased": "name"}}
}"#;

fn something(random: &mut fastrand::Rng) -> (String, String, String) {
    let texts = ["", "a", "NULL", "two words", "a,b", "quote\\\"d", "{brace}", "é"];
    let text = |random: &mut fastrand::Rng| texts[random.usize(..texts.len())];
    let key = format!("k{}", random.u8(..5));
    let (kind, data) = match random.u8(..10) {
        0..3 => {
            let (qty, at) = (random.i32(-50..500), random.u8(..60));
            let place = text(random);
            let moved = format!(
                r#"{{"qty": {qty}.{at:02}0, "place": "{place}", "at": "2013-01-0{}T0{}:{at:02}:00.5+02:00", "day": "2013-02-1{}",
                    "document": {{"b": [{qty}, null], "a": "{place}"}}}}"#,
                random.u8(1..9),
                random.u8(..9),
                random.u8(..9)
            );
            ("Moved", moved)
        }
        3 => ("Taken", format!(r#"{{"qty": {}}}"#, random.u8(..9))),
        4 => ("Labelled", format!(r#"{{"label": "{}"}}"#, text(random))),
        5 => ("Unlabelled", format!(r#"{{"label": "{}"}}"#, text(random))),
        6 => ("Switched", format!(r#"{{"on": {}}}"#, random.bool())),
        7 => ("Noted", format!(r#"{{"name": "n{}", "note": "{}"}}"#, random.u8(..3), text(random))),
        8 => ("Erased", format!(r#"{{"name": "n{}"}}"#, random.u8(..3))),
        _ => ("Gone", "{}".to_owned()),
    };
    (kind.to_owned(), key, data)
}

fn origin() -> Origin {
    Origin { peer: String::new(), accept: Accept::Any }
}

/// What PostgreSQL holds beyond a clock, taken in at the edge.
async fn to_edge(session: &Session, edge: &Edge) -> Counts {
    let bundles = session.rows(&format!("SELECT gundb.export_bundle(since => '{}')", edge.clock())).await.concat();
    let mut sum = Counts::default();
    for bundle in bundles {
        let hexadecimal = bundle.strip_prefix("\\x").expect("a bytea in hexadecimal").as_bytes();
        let digit = |byte: u8| (byte as char).to_digit(16).expect("a hexadecimal digit") as u8;
        let bytes: Vec<u8> = hexadecimal.chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect();
        let counts = take_in(edge, &origin(), &bytes, &Edge::limits()).expect("a bundle that is taken in");
        sum.new += counts.new;
        sum.refused.extend(counts.refused);
    }
    sum
}

/// What the edge holds beyond PostgreSQL's clock, imported there.
async fn to_postgres(edge: &Edge, session: &Session) {
    let since: Clock = session.value("SELECT gundb.site_clock()").await.parse().expect("a clock");
    let mut export = Export::begin(edge, Filter::all(), &since).expect("an export");
    while let Some(bundle) = export.next(edge).expect("a bundle") {
        let bytes: String = encode_bundle(&bundle, 1).iter().map(|byte| format!("{byte:02x}")).collect();
        session.run(&format!("SELECT gundb.import_bundle('\\x{bytes}')")).await;
    }
}

async fn assert_same(session: &Session, edge: &Edge, when: &str) {
    let hash = |digest: [u8; 16]| uuid_text(&digest);
    assert_eq!(session.value("SELECT gundb.site_clock()").await, edge.clock().to_string(), "{when}");
    for stream in ["moves", "gundb"] {
        let theirs = session.value(&format!("SELECT gundb.digest('{stream}')")).await;
        assert_eq!(theirs, hash(edge.digest(Some(stream)).expect("a digest")), "{when}: {stream}");
    }
    assert_eq!(session.value("SELECT count(*) FROM gundb.pending").await, "0", "{when}");
    let theirs = session
        .rows("SELECT key, total, events, mean, last, first, labels::text FROM state ORDER BY key COLLATE \"C\"")
        .await;
    let ours = edge.view_rows("state", None).expect("rows");
    assert_eq!(theirs.len(), ours.len(), "{when}");
    let digest = session.value("SELECT gundb.view_digest('state')").await;
    assert_eq!(digest, hash(edge.view_digest("state").expect("a digest")), "{when}: {theirs:?} {ours:?}");
    let view = edge.view("state").expect("a view");
    for row in &ours {
        let sql = format!("SELECT to_jsonb(s) - 'key' FROM state s WHERE key = '{}'", row.key[0]);
        let ours = canonical_text(&row.json_of_columns(&view), Limits::default()).expect("JSON");
        // Times are written otherwise in JSON than by to_jsonb.
        let times = |text: String| text.replace("+00:00\"", "Z\"");
        assert_eq!(times(session.value(&sql).await), ours, "{when}");
    }
    assert!(edge.check_view("state").expect("a check").is_empty(), "{when}");
}

fn uuid_text(bytes: &[u8; 16]) -> String {
    let hexadecimal: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let at = |from: usize, to: usize| &hexadecimal[from..to];
    format!("{}-{}-{}-{}-{}", at(0, 8), at(8, 12), at(12, 16), at(16, 20), at(20, 32))
}

#[tokio::test]
async fn an_edge_node_and_postgresql_hold_and_show_the_same_to_the_byte() {
    let mut random = seed::generator();
    let cluster = Cluster::start(&Postgres::fifteen(), &[]);
    let (paris, tokyo) = (cluster.database("paris").await, cluster.database("tokyo").await);
    for (name, session) in [("paris", &paris), ("tokyo", &tokyo)] {
        session.run(&format!("SELECT gundb.set_site_name('{name}'), gundb.create_stream('moves')")).await;
        session.run(&format!("SELECT gundb.create_view('state', 'moves', '{COLUMNS}', delete => '{{Gone}}')")).await;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let edge = Edge::create(&directory.path().join("boat"), "boat", Options::default()).expect("a store");
    edge.create_stream("moves", false).expect("a stream");
    let definition = Definition {
        stream: "moves".into(),
        key: "@key".into(),
        columns: COLUMNS.into(),
        delete: vec!["Gone".into()],
        ..Definition::default()
    };
    edge.create_view("state", definition).expect("a view");
    for round in 0..12 {
        for session in [&paris, &tokyo] {
            for _ in 0..random.u8(1..8) {
                let (kind, key, data) = something(&mut random);
                let data = data.replace('\'', "''");
                session.run(&format!("INSERT INTO moves (type, key, data) VALUES ('{kind}', '{key}', '{data}')")).await;
            }
        }
        for _ in 0..random.u8(1..8) {
            let (kind, key, data) = something(&mut random);
            let event = New { stream: "moves".into(), kind, key: Some(key), data, ..New::default() };
            edge.append(vec![event], None).expect("an append");
        }
        // Each round other ways are taken, so that much is concurrent.
        match round % 4 {
            0 => drop(to_edge(&paris, &edge).await),
            1 => to_postgres(&edge, &tokyo).await,
            2 => drop(to_edge(&tokyo, &edge).await),
            _ => to_postgres(&edge, &paris).await,
        }
    }
    for session in [&paris, &tokyo] {
        let counts = to_edge(session, &edge).await;
        assert!(counts.refused.is_empty(), "{counts:?}");
    }
    for (name, session) in [("paris", &paris), ("tokyo", &tokyo)] {
        to_postgres(&edge, session).await;
        assert_same(session, &edge, name).await;
    }
    // A revert from the edge takes out what PostgreSQL wrote.
    let id = paris.value("SELECT id FROM moves WHERE type = 'Moved' ORDER BY hlc LIMIT 1").await;
    edge.revert("moves", &[id.parse().expect("a uuid")]).expect("a revert");
    to_postgres(&edge, &paris).await;
    assert_same(&paris, &edge, "after a revert").await;
    // A large transaction of PostgreSQL's comes in parts.
    let large = "INSERT INTO moves (type, key, data) SELECT 'Noted', 'k1', jsonb_build_object('name', n::text, 'note', repeat(md5(n::text), 40)) FROM generate_series(1, 2000) n";
    paris.run(large).await;
    to_edge(&paris, &edge).await;
    assert_same(&paris, &edge, "after a large transaction").await;
}
