//! Bad and huge input: a clear error each, by SQLSTATE, and the backend lives.

use gundb_clusters::subject::Subject;

const SITE: &str = "a6e3d2c8-067d-4043-a951-7422ba70b7f1";
const STREAM: &str = "64ef4575-f69c-5105-9bc1-996c1d228e93";

#[tokio::test]
async fn events_over_the_size_limit_are_refused_however_small_they_are_stored() {
    let subject = Subject::new(&[]).await;
    subject
        .refused(&[
            ("GD010", "SELECT gundb.append('moves', 'Big', jsonb_build_object('x', repeat('x', 100 << 20)))"),
            ("GD010", "INSERT INTO moves (type, data) SELECT 'Big', jsonb_build_object('x', repeat('x', 100 << 20))"),
            ("GD010", "INSERT INTO moves (type, meta) SELECT 'Big', jsonb_build_object('x', repeat('x', 100 << 20))"),
            ("54000", "INSERT INTO moves (type, key) SELECT 'Big', repeat('x', 100 << 20)"),
            ("54000", "SELECT gundb.append_batch('moves', jsonb_build_array(jsonb_build_object('type', 'Big', 'key', repeat('x', 100 << 20))))"),
            // Each part fits, the event does not.
            ("54000", "INSERT INTO moves (type, key, data, meta) SELECT 'Big', x, jsonb_build_object('x', x), jsonb_build_object('x', x) FROM repeat('x', 30 << 20) x"),
            // A few kilobytes that print as 79 MB, and a string of control characters that prints six times as long.
            ("GD010", "INSERT INTO moves (type, data) SELECT 'Big', jsonb_agg(1e131071) FROM generate_series(1, 600)"),
            ("GD010", "INSERT INTO moves (type, data) SELECT 'Big', to_jsonb(repeat(chr(1), 12 << 20))"),
            ("22023", "INSERT INTO moves (type) SELECT repeat('x', 100 << 20)"),
            ("22023", "SELECT gundb.append('moves', repeat('x', 100 << 20))"),
            ("GD010", "SET gundb.max_event_size = 1; INSERT INTO moves (type, key) SELECT 'Big', repeat('x', 1023)"),
        ])
        .await;
    // What fits exactly, comes back exactly. The data, {}, takes two bytes.
    subject
        .session
        .run("SET gundb.max_event_size = 1; INSERT INTO moves (type, key) SELECT 'Fits', repeat('x', 1022)")
        .await;
    subject.session.run("RESET gundb.max_event_size; INSERT INTO moves (type, data) SELECT 'Fits', jsonb_build_object('x', repeat('é', 30 << 20))").await;
    let intact = "SELECT bool_and(data->>'x' = repeat('é', 30 << 20)) FROM gundb.read('moves') WHERE type = 'Fits' AND key IS NULL";
    assert_eq!(subject.session.value(intact).await, "t");
    subject.assert_well().await;
}

#[tokio::test]
async fn deep_json_is_refused_and_numbers_of_any_length_come_back() {
    let subject = Subject::new(&[]).await;
    let deep = |depth: usize| format!("'{}{}'", "[".repeat(depth), "]".repeat(depth));
    let nested = |depth: usize| format!("'{}1{}'", "{\"a\":".repeat(depth), "}".repeat(depth));
    subject
        .refused(&[
            // PostgreSQL itself reads no such JSON.
            ("54001", &format!("SELECT gundb.append('moves', 'Deep', {})", deep(100_000))),
            ("54001", &format!("INSERT INTO moves (type, meta) VALUES ('Deep', {})", nested(100_000))),
            // It reads this.
            ("54000", &format!("SELECT gundb.append('moves', 'Deep', {})", deep(5_000))),
            ("54000", &format!("INSERT INTO moves (type, data) VALUES ('Deep', {})", nested(2_000))),
            ("54000", &format!("INSERT INTO moves (type, meta) VALUES ('Deep', {})", nested(2_000))),
            ("54000", &format!("SELECT gundb.append_batch('moves', jsonb_build_array(jsonb_build_object('type', 'Deep', 'data', {}::jsonb)))", deep(2_000))),
            ("22023", &format!("SELECT gundb.define_event('moves', 'Deep', {})", nested(900).replace("\"a\"", "\"not\"").replace('1', "{}"))),
            ("54000", &format!("SELECT gundb.define_event('moves', 'Deep', {})", nested(5_000).replace("\"a\"", "\"not\"").replace('1', "{}"))),
            ("22P02", &format!("SELECT {}::gundb.clock", deep(100_000))),
            ("22P02", &format!("SELECT {}::gundb.clock", nested(100_000))),
            ("22003", "SELECT gundb.append('moves', 'Number', '{\"n\": 1e1000000}')"),
            ("22003", "SELECT gundb.append('moves', 'Number', '{\"n\": 1e999999999999}')"),
            ("22P05", "SELECT gundb.append('moves', 'Text', '\"\\u0000\"')"),
            ("22P02", "SELECT gundb.append('moves', 'Text', '\"\\ud800\"')"),
        ])
        .await;
    for number in [
        "7".repeat(100_000),
        format!("-{}.{}", "9".repeat(100_000), "1".repeat(16_000)),
        format!("0.{}1", "0".repeat(16_000)),
        format!("1{}", "0".repeat(131_071)),
    ] {
        subject.session.run(&format!("INSERT INTO moves (type, data) VALUES ('Number', '[{number}]')")).await;
        let back =
            subject.session.value("SELECT data->>0 FROM moves WHERE type = 'Number' ORDER BY hlc DESC LIMIT 1").await;
        assert!(back == number, "{} digits did not come back", number.len());
    }
    subject.session.run(&format!("INSERT INTO moves (type, data) VALUES ('Deep', {})", deep(1_000))).await;
    subject.assert_well().await;
}

#[tokio::test]
async fn names_are_checked_and_a_wrong_one_gets_an_answer_in_time() {
    let subject = Subject::new(&[]).await;
    let long = "x".repeat(1_000_000);
    subject
        .refused(&[
            ("42602", "SELECT gundb.create_stream('')"),
            ("22004", "SELECT gundb.create_stream(NULL)"),
            ("42622", "SELECT gundb.create_stream(repeat('x', 58))"),
            ("42622", "SELECT gundb.create_stream(repeat('x', 63))"),
            ("42622", "SELECT gundb.create_stream(repeat('x', 64))"),
            ("42622", "SELECT gundb.create_stream(repeat('é', 29))"),
            ("42622", &format!("SELECT gundb.create_stream('{long}')")),
            ("42602", "SELECT gundb.create_stream(E'line\\nbreak')"),
            ("42602", "SELECT gundb.create_stream('!not')"),
            ("42602", "SELECT gundb.create_stream('all*')"),
            ("42939", "SELECT gundb.create_stream('gundb')"),
            ("42602", "SELECT gundb.create_stream('orders', 'a.b.c')"),
            ("3F000", "SELECT gundb.create_stream('orders', 'nowhere.orders')"),
            ("22023", "SELECT gundb.create_stream('orders', '\"')"),
            ("22023", "SELECT gundb.create_stream('orders', '')"),
            ("42622", "SELECT gundb.create_stream('orders', '\"' || repeat('x', 64) || '\"')"),
            ("42P07", "SELECT gundb.create_stream('orders', 'moves')"),
            ("42939", "SELECT gundb.create_stream('orders', 'pg_catalog.orders')"),
            ("GD008", &format!("SELECT gundb.append('{long}', 'Moved')")),
            ("GD008", &format!("SELECT gundb.read('{long}')")),
            ("GD008", "SELECT gundb.append('', 'Moved')"),
            ("GD008", "SELECT gundb.append('mvoes', 'Moved')"),
            ("GD009", &format!("SELECT gundb.consume('{long}')")),
            ("42602", "SELECT gundb.create_consumer('')"),
            ("42602", "SELECT gundb.create_consumer(repeat('x', 64))"),
            ("42602", "SELECT gundb.set_site_name('')"),
            ("42602", "SELECT gundb.set_site_name(repeat('x', 64))"),
            ("42602", "SELECT gundb.set_site_name('a/b')"),
            ("22023", "SELECT gundb.define_event('moves', '', '{}')"),
            ("22023", "SELECT gundb.define_event('moves', repeat('x', 256), '{}')"),
            // What is not UTF-8 does not even arrive.
            ("22021", "SELECT gundb.create_stream(E'\\xff')"),
            ("22021", "SELECT gundb.append('moves', E'\\xc3\\x28')"),
            ("22021", "SELECT gundb.append('moves', 'Moved', key => E'\\xed\\xa0\\x80')"),
            ("22021", "SELECT gundb.append('moves', 'Moved', key => convert_from('\\xff', 'UTF8'))"),
        ])
        .await;
    for name in ["quote\"d", "it's", "a b", "with.dot", "Ünï cödé", "$1", "a\\b", "%s", "--", "select", "\u{1F600}"]
    {
        let literal = format!("'{}'", name.replace('\'', "''"));
        subject
            .session
            .run(&format!("SELECT gundb.create_stream({literal}); SELECT gundb.create_consumer({literal}, {literal})"))
            .await;
        subject.session.run(&format!("SELECT gundb.append({literal}, {literal}, key => {literal})")).await;
        assert_eq!(subject.session.value(&format!("SELECT stream FROM gundb.consume({literal})")).await, name);
        subject.session.run(&format!("SELECT gundb.drop_consumer({literal}), gundb.drop_stream({literal})")).await;
    }
    subject.assert_well().await;
}

#[tokio::test]
async fn numbers_and_nulls_and_wrong_types_are_refused() {
    let subject = Subject::new(&[]).await;
    let clock =
        |seq: &str| format!("SELECT '{{\"{SITE}\": {{\"{STREAM}\": {{\"37c9c21e0c6a-0\": {seq}}}}}}}'::gundb.clock");
    subject
        .refused(&[
            ("22004", "SELECT gundb.append(NULL, 'Moved')"),
            ("22004", "SELECT gundb.append('moves', NULL)"),
            ("22004", "SELECT gundb.append('moves', 'Moved', NULL)"),
            ("22023", "SELECT gundb.append('moves', 'Moved', meta => 'null')"),
            ("22023", "SELECT gundb.append('moves', 'Moved', meta => '[]')"),
            ("23502", "INSERT INTO moves (type, data) VALUES ('Moved', NULL)"),
            ("23502", "INSERT INTO moves (data) VALUES ('{}')"),
            ("22023", "SELECT gundb.append('moves', 'Moved', key => 'k', expected_version => -1)"),
            ("22023", "SELECT gundb.append('moves', 'Moved', expected_version => 0)"),
            ("GD005", "SELECT gundb.append('moves', 'Moved', key => 'k', expected_version => 9223372036854775807)"),
            ("22023", "SELECT gundb.define_event('moves', 'A', '{}', 0)"),
            ("22023", "SELECT gundb.define_event('moves', 'A', '{}', -1)"),
            ("22023", "SELECT gundb.define_event('moves', 'A', '{}', 2147483647)"),
            ("22023", "SELECT gundb.append_batch('moves', '{}')"),
            ("22023", "SELECT gundb.append_batch('moves', 'null')"),
            ("22023", "SELECT gundb.append_batch('moves', '[1]')"),
            ("22023", "SELECT gundb.append_batch('moves', '[{}]')"),
            ("22023", "SELECT gundb.append_batch('moves', '[{\"type\": null}]')"),
            ("22023", "SELECT gundb.append_batch('moves', '[{\"type\": 1}]')"),
            ("22023", "SELECT gundb.append_batch('moves', '[{\"type\": \"A\", \"key\": 1}]')"),
            ("22023", "SELECT gundb.append_batch('moves', '[{\"type\": \"A\", \"typ\": 1}]')"),
            ("22023", "SELECT gundb.append_batch('moves', '[{\"type\": \"A\", \"id\": \"x\"}]')"),
            ("22023", "SELECT gundb.append_batch('moves', '[{\"type\": \"A\", \"key\": \"k\", \"expected_version\": 1.5}]')"),
            ("22023", "SELECT gundb.append_batch('moves', '[{\"type\": \"A\", \"key\": \"k\", \"expected_version\": 1e30}]')"),
            ("22023", "SELECT gundb.read('moves', max => 0)"),
            ("22023", "SELECT gundb.read('moves', max => -1)"),
            ("22023", "SELECT gundb.read('moves', types => ARRAY[NULL]::text[])"),
            ("22023", "SELECT gundb.create_consumer('c', 'moves'); SELECT gundb.consume('c', 0)"),
            ("22023", "SELECT gundb.create_consumer('c', 'moves'); SELECT gundb.consume('c', wait => '-1 second')"),
            ("22023", "SELECT gundb.dot(gen_random_uuid(), gen_random_uuid(), '37c9c21e0c6a-0', 0)"),
            ("22023", "SELECT gundb.dot(gen_random_uuid(), gen_random_uuid(), '37c9c21e0c6a-0', -1)"),
            ("22P02", &clock("-1")),
            ("22P02", &clock("0")),
            ("22P02", &clock("1.0")),
            ("22P02", &clock("9223372036854775808")),
            ("22P02", &clock(&"9".repeat(100_000))),
            ("22P02", "SELECT '37c9c21e0c6a-65536'::gundb.lane"),
            ("22P02", "SELECT '37c9c21e0c6a--1'::gundb.lane"),
            ("22P02", "SELECT '000000000000-1'::gundb.lane"),
            ("22P02", "SELECT '2026-02-30T00:41:07.123Z-0005'::gundb.hlc"),
            ("22P02", "SELECT '1969-12-31T23:59:59.999Z'::gundb.hlc"),
            ("22P02", "SELECT '10000-01-01T00:00:00.000Z'::gundb.hlc"),
            ("22008", "SELECT '-infinity'::timestamptz::gundb.hlc"),
            ("22008", "SELECT 'infinity'::timestamptz::gundb.hlc"),
            ("22008", "SELECT '10000-01-01'::timestamptz::gundb.hlc"),
            ("42804", "SELECT gundb.context(1)"),
            ("42804", "SELECT gundb.context(ROW(1, 2))"),
            ("42804", "SELECT gundb.context(c) FROM pg_class c LIMIT 1"),
            ("42804", "SELECT gundb.context((NULL, NULL, 1, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)::gundb.event)"),
            ("42804", "SELECT gundb.happened_before(1, 2)"),
            ("22023", "SELECT gundb.causal_sort(ARRAY[NULL]::gundb.dot[])"),
        ])
        .await;
    // More than anybody will wait; news is there, so nobody does.
    subject
        .session
        .run("SELECT gundb.create_consumer('c', 'moves'); SELECT gundb.consume('c', 2147483647, '178000000 years')")
        .await;
    subject.assert_well().await;
}

#[tokio::test]
async fn a_database_in_another_encoding_is_refused_by_create_extension() {
    let subject = Subject::new(&[]).await;
    subject.session.run("CREATE DATABASE latin ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0").await;
    subject
        .session
        .run("CREATE DATABASE ascii ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
        .await;
    for database in ["latin", "ascii"] {
        let session = subject.cluster.connect(database).await;
        assert_eq!(session.refusal("CREATE EXTENSION gundb").await, "0A000", "{database}");
        assert_eq!(session.value("SELECT count(*) FROM pg_namespace WHERE nspname = 'gundb'").await, "0");
    }
    // Clients may have another encoding.
    subject
        .session
        .run("SET client_encoding = 'LATIN1'; SELECT gundb.append('moves', 'Moved', key => U&'\\00e9')")
        .await;
    assert_eq!(
        subject.session.value("SET client_encoding = 'UTF8'; SELECT key FROM moves WHERE type = 'Moved'").await,
        "é"
    );
    subject.assert_well().await;
}
