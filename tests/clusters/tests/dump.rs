//! Dumps and restores: the streams, their events' coordinates, the definitions, the consumers and the site's identity
//! come back, in every format, into an empty database of the same version and of a later one.

use gundb_clusters::cluster::Stop;
use gundb_clusters::events::{self, Witness};
use gundb_clusters::postgres::run;
use gundb_clusters::session::Session;
use gundb_clusters::{Cluster, Postgres};
use std::path::{Path, PathBuf};
use std::process::Stdio;

const SOURCE: &str = "the \"source\"";

/// Names that somebody will use.
const STREAMS: [&str; 7] = [
    "moves",
    "Mixed Case",
    "it's",
    "a \"quoted\" one",
    "with.dot",
    "größe €",
    "the longest name: 123456789012345678901234567890123456789",
];

fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A database with something of everything, written in two lives of the server.
async fn source(postgres: &Postgres) -> Cluster {
    let cluster = Cluster::start(postgres, &[]);
    cluster.connect("postgres").await.run(&format!("CREATE DATABASE {}", identifier(SOURCE))).await;
    let session = cluster.connect(SOURCE).await;
    session.run("CREATE EXTENSION gundb; SELECT gundb.set_site_name('Köln \"1\" of o''brien')").await;
    for stream in STREAMS {
        session.run(&format!("SELECT gundb.create_stream({})", literal(stream))).await;
    }
    session
        .run(
            r#"CREATE SCHEMA "Other Schema";
               SELECT gundb.create_stream('orders', '"Other Schema"."Order Log"', closed => true);
               SELECT gundb.define_event('orders', 'Ordered', '{"type": "object", "required": ["sku"], "properties": {"qty": {"minimum": 0.10}}}');
               SELECT gundb.define_event('orders', 'Ordered', '{"type": "object", "required": ["sku", "qty"]}');
               SELECT gundb.define_event('orders', 'Paid', NULL);
               SELECT gundb.define_event('it''s', 'It''s "odd"', '{"const": {"a": "\u20ac"}}');
               CREATE INDEX "own index" ON moves ((data->>'sku'));
               CREATE FUNCTION own_trigger() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
               CREATE TRIGGER own BEFORE INSERT ON moves FOR EACH ROW EXECUTE FUNCTION own_trigger();
               SELECT gundb.create_view('kinds', 'moves', '{"n": {"fold": "count"}, "last": {"fold": "lww", "value": "@hlc"}}', key => '@type');
               SELECT gundb.create_view('"Other Schema"."The View"', 'it''s', '{"all": {"fold": "set", "add": "n"}}', key => '@key as "Key, of it"');
               CREATE FUNCTION "Other Schema"."Number it"(state jsonb, event gundb.event) RETURNS jsonb IMMUTABLE LANGUAGE plpgsql AS $$
                   BEGIN
                       IF event.type = 'Text' THEN RAISE EXCEPTION 'a text'; END IF;
                       RETURN jsonb_build_object('n', coalesce((state->>'n')::int, 0) + 1, 'hash', md5(state::text || event.id));
                   END $$;
               SELECT gundb.create_reducer_view('"Other Schema"."Reduced"', 'moves', '"Other Schema"."Number it"(jsonb, gundb.event)', '{"it''s": "a start"}', '@type as "Type"');
               CREATE TABLE page (url text PRIMARY KEY, hits gundb.gcounter NOT NULL DEFAULT '{}', tags gundb.set NOT NULL DEFAULT '{}');
               INSERT INTO page VALUES ('/');"#,
        )
        .await;
    write(&session).await;
    session.run("SELECT gundb.revert('moves', ARRAY[(SELECT id FROM moves ORDER BY hlc LIMIT 1)])").await;
    drop(session);
    cluster.stop(Stop::Immediate);
    cluster.launch();
    let session = cluster.connect(SOURCE).await;
    write(&session).await;
    session
        .run(
            "SELECT gundb.create_consumer('all of it'), gundb.create_consumer('some', 'moves', ARRAY['Numbers', 'a,\"b']);
             SELECT gundb.create_consumer('at the end', 'orders', start => 'end');
             SELECT count(*) FROM gundb.consume('all of it', 5);
             SELECT count(*) FROM gundb.consume('some', 1);",
        )
        .await;
    cluster
}

async fn write(session: &Session) {
    for stream in STREAMS {
        let table = identifier(stream);
        session
            .run(&format!(
                r#"INSERT INTO {table} (type, key, data) VALUES
                       ('Numbers', 'k', '{{"n": [0, -0, 1.500, 1E400, 12345678901234567890.0123456789, 1e-20]}}'),
                       ('Text', NULL, '{{"b": "\u00e9\n\t\\ \"", "a": null, "": [[], {{}}]}}'),
                       ('a,"b', '', '"a scalar"');
                   INSERT INTO {table} (type, meta) SELECT 'Many', jsonb_build_object('n', n) FROM generate_series(1, 50) n;"#
            ))
            .await;
        session.run(&format!("BEGIN; SAVEPOINT a; INSERT INTO {table} (type) VALUES ('Undone'); ROLLBACK TO a; INSERT INTO {table} (type) VALUES ('Kept'); COMMIT")).await;
    }
    session
        .run(
            r#"BEGIN;
               INSERT INTO moves (type) VALUES ('Wide');
               UPDATE page SET hits = hits + 1, tags = gundb.add(tags, clock_timestamp()::text);
               SELECT gundb.append('orders', 'Ordered', '{"sku": "A", "qty": 1}', key => 'A', expected_version => (SELECT count(*) FROM gundb.history('orders', 'A')));
               INSERT INTO "Mixed Case" (type) VALUES ('Wide');
               COMMIT;"#,
        )
        .await;
}

/// Everything that must come back, by what it is.
async fn state(session: &Session) -> Vec<(&'static str, Vec<Vec<String>>)> {
    let mut state = Vec::new();
    for (what, query) in [
        ("events", "SELECT tableoid::regclass::text, e.* FROM gundb.event e ORDER BY 1, site, lane, seq"),
        (
            "contexts",
            "SELECT gundb.context(gundb.dot(site, gundb.stream_id(t.name), lane, seq)) FROM gundb.event e JOIN gundb.stream_table t ON t.relid = e.tableoid ORDER BY t.name, site, lane, seq",
        ),
        ("streams", "SELECT name, \"table\", closed, rows FROM gundb.stream ORDER BY name"),
        ("event types", "SELECT stream, type, version, schema, defined FROM gundb.event_type ORDER BY 1, 2"),
        ("consumers", "SELECT name, stream, types, position, owner, lag FROM gundb.consumer ORDER BY name"),
        ("site", "SELECT gundb.site_id(), gundb.site_name()"),
        ("sites", "SELECT * FROM gundb.site ORDER BY site"),
        ("clock", "SELECT gundb.site_clock()"),
        ("digest", "SELECT gundb.digest()"),
        ("digests", "SELECT name, gundb.digest(name) FROM gundb.stream_table ORDER BY name"),
        ("what is read", "SELECT r.* FROM gundb.read(max => 1000000) WITH ORDINALITY AS r ORDER BY ordinality"),
        ("history", "SELECT * FROM gundb.history('orders', 'A')"),
        ("runs", "SELECT DISTINCT * FROM gundb.own_run ORDER BY started"),
        ("epochs", "SELECT DISTINCT site, run, number, clock::text FROM gundb.epoch ORDER BY 1, 2, 3"),
        ("spans", "SELECT * FROM gundb.span ORDER BY site, xact, stream"),
        ("mark", "SELECT last_value FROM gundb.hlc_mark"),
        (
            "triggers",
            "SELECT tgrelid::regclass, tgname, tgenabled, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal ORDER BY tgrelid::regclass::text, tgname",
        ),
        (
            "indexes",
            "SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid IN (SELECT relid FROM gundb.stream_table) ORDER BY 1",
        ),
        (
            "comments",
            "SELECT relid::regclass, obj_description(relid, 'pg_class') FROM gundb.stream_table ORDER BY name",
        ),
        (
            "views",
            "SELECT view, stream, key, columns::text, types, filter, delete, strict, rows, skipped, pending, reducer, initial FROM gundb.view ORDER BY view::text",
        ),
        ("rows of a view", "SELECT * FROM kinds ORDER BY 1"),
        ("rows of another", "SELECT * FROM \"Other Schema\".\"The View\" ORDER BY 1"),
        ("rows of a reducer view", "SELECT * FROM \"Other Schema\".\"Reduced\" ORDER BY 1"),
        ("pending", "SELECT view, key, dot, reason, sqlstate, since, tries FROM gundb.pending ORDER BY since, dot"),
        ("streams with reverts", "SELECT * FROM gundb.reverting"),
        ("damage of views", "SELECT v.view, c.* FROM gundb.view v, gundb.check_view(v.view) c"),
        ("CRDT values", "SELECT * FROM page"),
        ("damage", "SELECT * FROM gundb.verify()"),
    ] {
        state.push((what, session.rows(query).await));
    }
    state
}

async fn assert_restored(source: &Session, restored: &Session, how: &str) {
    for ((what, before), (_, after)) in state(source).await.into_iter().zip(state(restored).await) {
        // The mark only ever moves ahead.
        if what == "mark" {
            assert!(after >= before, "{how}: the clock's mark went back");
        } else {
            let missing = before.iter().find(|row| !after.contains(row));
            let extra = after.iter().find(|row| !before.contains(row));
            assert!(before == after, "{how}: {what}: {missing:#?} is missing, {extra:#?} was not there");
        }
    }
}

/// What comes after a restore is new: a run of its own, later stamps, and for the consumers nothing but what they had
/// not read.
async fn assert_goes_on(source: &Session, restored: &Session, how: &str) {
    let mut witness = Witness::default();
    witness.look(source, "moves").await;
    let runs = "SELECT DISTINCT split_part(lane::text, '-', 1) FROM moves ORDER BY 1";
    let before = source.rows(runs).await;
    let last = source.value("SELECT max(hlc) FROM moves").await;
    let unread = source.number("SELECT lag FROM gundb.consumer WHERE name = 'all of it'").await;
    restored.run("INSERT INTO moves (type) VALUES ('Numbers'), ('After'); SELECT gundb.append('orders', 'Paid', key => 'A', expected_version => 2)").await;
    witness.look(restored, "moves").await;
    events::assert_whole(restored, "moves").await;
    let new =
        restored.rows(&format!("SELECT DISTINCT split_part(lane::text, '-', 1) FROM moves WHERE hlc > '{last}'")).await;
    assert!(new.len() == 1 && !before.contains(&new[0]), "{how}: {new:?} is to be one new run, beside {before:?}");
    assert_eq!(restored.number("SELECT count(*) FROM gundb.consume('all of it', 1000000)").await, unread + 3, "{how}");
    assert_eq!(restored.value("SELECT string_agg(type, ' ') FROM gundb.consume('at the end')").await, "Paid", "{how}");
    assert_eq!(
        restored.refusal("SELECT gundb.append('orders', 'Ordered', '{\"sku\": \"B\"}')").await,
        "GD003",
        "{how}"
    );
    assert_eq!(restored.refusal("DELETE FROM moves").await, "GD001", "{how}");
    assert_eq!(restored.refusal("DROP TABLE moves").await, "GD001", "{how}");
    // The views have taken it in, and are gundb's to write.
    assert_eq!(restored.value("SELECT n FROM kinds WHERE \"type\" = 'After'").await, "1", "{how}");
    let damage = "SELECT count(*) FROM gundb.view v, gundb.check_view(v.view) c";
    assert_eq!(restored.number(damage).await, 0, "{how}");
    assert_eq!(restored.refusal("UPDATE kinds SET n = 0").await, "GD014", "{how}");
    assert_eq!(restored.refusal("DROP TABLE kinds").await, "GD001", "{how}");
    let hits = "SELECT gundb.value(hits) FROM page";
    let before = restored.number(hits).await;
    restored.run("UPDATE page SET hits = hits + 1").await;
    assert_eq!(restored.number(hits).await, before + 1, "{how}");
}

/// Dumps a database of a server to a file, or a directory.
fn dump(cluster: &Cluster, database: &str, name: &str, arguments: &[&str]) -> PathBuf {
    let path = cluster.home().join(name);
    run(cluster
        .client("pg_dump")
        .args(arguments)
        .arg("-f")
        .arg(&path)
        .args(["-d", &format!("dbname='{}'", database.replace('\'', "\\'"))]));
    path
}

fn psql(cluster: &Cluster, database: &str, file: &Path) {
    run(cluster
        .client("psql")
        .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", database, "-f"])
        .arg(file)
        .stdout(Stdio::null()));
}

fn pg_restore(cluster: &Cluster, database: &str, file: &Path, arguments: &[&str]) {
    run(cluster.client("pg_restore").args(["-e", "-d", database]).args(arguments).arg(file));
}

async fn empty(cluster: &Cluster, name: &str) -> String {
    cluster.connect("postgres").await.run(&format!("CREATE DATABASE {} TEMPLATE template0", identifier(name))).await;
    name.to_owned()
}

/// Every pair of versions, from each to itself and to later ones.
fn pairs() -> Vec<(Postgres, Postgres)> {
    let all = Postgres::all();
    let pair = |from: &Postgres| {
        all.iter().filter(|to| to.version() >= from.version()).map(|to| (from.clone(), to.clone())).collect::<Vec<_>>()
    };
    all.iter().flat_map(pair).collect()
}

#[tokio::test]
async fn a_full_dump_in_every_format_brings_everything_back() {
    for (from, to) in pairs() {
        let source_cluster = source(&from).await;
        let target_cluster = (from.version() != to.version()).then(|| Cluster::start(&to, &[]));
        let target = target_cluster.as_ref().unwrap_or(&source_cluster);
        let original = source_cluster.connect(SOURCE).await;
        for (format, dumped, restored) in [
            ("plain", &[][..], None),
            ("plain, as INSERTs", &["--column-inserts"][..], None),
            ("custom", &["-Fc"][..], Some(&[][..])),
            ("custom, restored in parallel", &["-Fc"][..], Some(&["-j2"][..])),
            ("directory, in parallel", &["-Fd", "-j2"][..], Some(&["-j2"][..])),
        ] {
            let how = format!("{format}, from {from} to {to}");
            let file = dump(&source_cluster, SOURCE, format, dumped);
            let database = empty(target, format).await;
            match restored {
                None => psql(target, &database, &file),
                Some(arguments) => pg_restore(target, &database, &file, arguments),
            }
            let copy = target.connect(&database).await;
            assert_restored(&original, &copy, &how).await;
            assert_goes_on(&original, &copy, &how).await;
        }
        // A dump of what was restored, with what was appended since: nothing wears off.
        let again = dump(target, "plain", "again", &[]);
        let database = empty(target, "again").await;
        psql(target, &database, &again);
        let (copy, again) = (target.connect("plain").await, target.connect(&database).await);
        assert_restored(&copy, &again, "restored twice").await;
    }
}

#[tokio::test]
async fn the_tables_of_a_stream_alone_keep_their_coordinates_where_the_extension_is() {
    let cluster = source(&Postgres::fifteen()).await;
    let original = cluster.connect(SOURCE).await;
    let database = empty(&cluster, "streams alone").await;
    let copy = cluster.connect(&database).await;
    copy.run("CREATE EXTENSION gundb; CREATE FUNCTION own_trigger() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'").await;
    // The copy is a site of its own, with events and definitions, before the dump arrives.
    copy.run("SELECT gundb.create_stream('own'); INSERT INTO own (type) VALUES ('Own')").await;
    for stream in STREAMS {
        let table = identifier(stream);
        psql(&cluster, &database, &dump(&cluster, SOURCE, "table", &["-t", &table]));
        let rows = format!("SELECT * FROM {table} ORDER BY site, lane, seq");
        assert_eq!(original.rows(&rows).await, copy.rows(&rows).await, "{stream}");
        let digest = format!("SELECT gundb.digest({})", literal(stream));
        assert_eq!(original.value(&digest).await, copy.value(&digest).await, "{stream}");
        events::assert_whole(&copy, &table).await;
        copy.run(&format!("INSERT INTO {table} (type) VALUES ('After')")).await;
        events::assert_whole(&copy, &table).await;
    }
    assert_eq!(copy.value("SELECT count(DISTINCT site) FROM moves").await, "2");
}

#[tokio::test]
async fn a_data_only_dump_is_loaded_between_begin_restore_and_end_restore() {
    let cluster = source(&Postgres::fifteen()).await;
    let original = cluster.connect(SOURCE).await;
    let schema = dump(&cluster, SOURCE, "schema", &["--schema-only"]);
    let database = empty(&cluster, "data only").await;
    psql(&cluster, &database, &schema);
    let copy = cluster.connect(&database).await;

    // Supplied coordinates are refused, unless somebody says that this is a restore.
    let moves = dump(&cluster, SOURCE, "moves", &["--data-only", "--inserts", "-t", "moves"]);
    let statements = std::fs::read_to_string(&moves).unwrap();
    let insert = statements.lines().find(|line| line.starts_with("INSERT")).expect("a row of moves");
    assert_eq!(copy.refusal(insert).await, "GD002");

    copy.run("SELECT gundb.begin_restore()").await;
    let file = dump(&cluster, SOURCE, "the data", &["--data-only", "-Fc"]);
    pg_restore(&cluster, &database, &file, &["-j2"]);
    copy.run("SELECT gundb.end_restore()").await;
    assert_eq!(copy.refusal(insert).await, "GD002");
    assert_restored(&original, &copy, "data only").await;
    assert_goes_on(&original, &copy, "data only").await;
    assert_eq!(copy.refusal("SELECT gundb.begin_restore()").await, "55000", "after an append of its own");
}

#[tokio::test]
async fn a_restore_that_disabled_triggers_is_mended() {
    let cluster = source(&Postgres::fifteen()).await;
    let original = cluster.connect(SOURCE).await;
    let database = empty(&cluster, "disabled").await;
    psql(&cluster, &database, &dump(&cluster, SOURCE, "schema", &["--schema-only"]));
    psql(&cluster, &database, &dump(&cluster, SOURCE, "the data", &["--data-only", "--disable-triggers"]));
    let copy = cluster.connect(&database).await;
    let plain = "SELECT count(*) FROM pg_trigger WHERE tgname ~ 'gundb' AND tgenabled <> 'A'";
    assert_eq!(copy.number(plain).await, 0, "what --disable-triggers enabled again fires always");
    assert_restored(&original, &copy, "with --disable-triggers").await;
    assert_goes_on(&original, &copy, "with --disable-triggers").await;
}
