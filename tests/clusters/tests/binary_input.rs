//! Values of gundb's types from outside: binary ones that are malformed, and a clock of a million entries.

use bytes::Bytes;
use futures_util::SinkExt;
use gundb_clusters::seed;
use gundb_clusters::session::{Failure, Session};
use gundb_clusters::subject::{PATIENCE, Subject};
use std::pin::pin;
use std::time::Instant;

/// A CRDT value's other author.
const REPLICA: &str = "0d9f7a5c-6d1e-4f9b-8f0e-2f6f3a7a9b10/00000001000000aa";
const SITE: &str = "a6e3d2c8-067d-4043-a951-7422ba70b7f1";
const STREAM: &str = "64ef4575-f69c-5105-9bc1-996c1d228e93";

#[tokio::test]
async fn a_clock_of_a_million_entries_is_read_and_comes_back() {
    let subject = Subject::new(&[]).await;
    let entries = (0..1_000_000)
        .map(|n| format!("\"{:012x}-{}\": {}", n / 60_000 + 1, n % 60_000, n + 1))
        .collect::<Vec<_>>()
        .join(", ");
    let clock = format!("{{\"{SITE}\": {{\"{STREAM}\": {{{entries}}}}}}}");
    let start = Instant::now();
    subject.session.run(&format!("CREATE TEMP TABLE clocks AS SELECT '{clock}'::gundb.clock AS c")).await;
    assert_eq!(
        subject.session.value("SELECT count(*) || ' ' || sum(seq) FROM clocks, gundb.clock_entries(c)").await,
        "1000000 500000500000"
    );
    assert!(subject.session.value("SELECT c FROM clocks").await == clock, "the clock does not print as it was read");
    assert_eq!(subject.session.value("SELECT c = c || c AND c >= '{}' AND NOT c > c FROM clocks").await, "t");
    // None of it is held, so nothing is after it, and nothing can depend on it.
    assert_eq!(subject.session.value("SELECT count(*) FROM gundb.read('moves', (SELECT c FROM clocks))").await, "0");
    subject.refused(&[("GD007", "SELECT gundb.append('moves', 'Moved', depends_on => (SELECT c FROM clocks))")]).await;
    println!("a clock of a million entries: {:.1?}", start.elapsed());
    assert!(start.elapsed() < 2 * PATIENCE);
}

/// Bytes that COPY BINARY reads as one row of one column.
fn copy_binary(value: &[u8]) -> Bytes {
    let mut bytes = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
    bytes.extend_from_slice(&1u16.to_be_bytes());
    bytes.extend_from_slice(&(value.len() as u32).to_be_bytes());
    bytes.extend_from_slice(value);
    bytes.extend_from_slice(&u16::MAX.to_be_bytes());
    bytes.into()
}

async fn copy_in(session: &Session, sql: &str, bytes: Bytes) -> gundb_clusters::session::Result<u64> {
    let sink = session.client.copy_in(sql).await?;
    let mut sink = pin!(sink);
    sink.send(bytes).await?;
    Ok(sink.finish().await?)
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).expect("hexadecimal")).collect()
}

/// The literal of a CRDT value that two replicas have acted on.
fn crdt(kind: &str) -> String {
    let (one, two, at) = (REPLICA, format!("{SITE}/0000000200000000"), "2026-11-23T00:41:07.123Z-0005");
    let seen = format!("\"seen\": {{\"{one}\": [[1, 2], [300, 400]], \"{two}\": [[1, 1]]}}");
    let live = |entries: [&str; 3]| {
        let [key, first, second] = entries;
        format!("{{\"live\": [[{key}\"{one}\", 300{first}], [{key}\"{two}\", 1{second}]], {seen}}}")
    };
    let body = match kind {
        "gcounter" => format!("{{\"{one}\": 1, \"{two}\": 300}}"),
        "pncounter" => format!("{{\"{one}\": [0, 1], \"{two}\": [300, 0]}}"),
        "bcounter" => format!(
            "{{\"used\": {{\"{two}\": 2}}, \"moved\": [[\"{one}\", \"{one}\", 300], [\"{one}\", \"{two}\", 3]]}}"
        ),
        "lww" => format!("{{\"at\": \"{at}\", \"by\": \"{one}\", \"value\": {{\"a\": [1.50, \"x\"]}}}}"),
        "gset" => "[\"\", \"a\", \"Ä\"]".to_owned(),
        "mv" => live(["", ", \"x\"", ", [1]"]),
        "set" => live(["\"a\", ", "", ""]),
        "rw_set" => live(["\"a\", ", ", true", ", false"]),
        "flag" => live(["", "", ""]),
        "dw_flag" => live(["", ", true", ", false"]),
        "map" => live(["\"k\", ", &format!(", \"{at}\", 1"), &format!(", \"{at}\", null")]),
        other => panic!("there is no kind {other}"),
    };
    format!("'{{\"{kind}\": {body}}}'")
}

const CRDTS: [&str; 11] =
    ["gcounter", "pncounter", "bcounter", "lww", "mv", "gset", "set", "rw_set", "flag", "dw_flag", "map"];

#[tokio::test]
async fn binary_values_that_are_malformed_are_refused_and_those_that_are_accepted_are_sound() {
    let rounds = seed::count("GUNDB_BINARY_VALUES", 1_000);
    let mut random = seed::generator();
    let subject = Subject::new(&[]).await;
    let session = &subject.session;
    let samples: [(&str, String); 5] = [
        ("hlc", "'2026-11-23T00:41:07.123Z-0005'".to_owned()),
        ("lane", "'37c9c21e0c6a-7'".to_owned()),
        ("chain", "'37c9c21e0c6a00000000000000000000'".to_owned()),
        ("dot", format!("'{SITE}/{STREAM}/37c9c21e0c6a-7/42'")),
        ("clock", "gundb.clock_of(gundb.dot(('00000000-0000-0000-0000-00000000000' || n % 3)::uuid, gen_random_uuid(), '37c9c21e0c6a-7', n + 1)) FROM generate_series(0, 9) n".to_owned()),
    ];
    // Whoever may insert a row may send any bytes.
    session.run("CREATE ROLE gundb_sender").await;
    for (kind, sample) in samples.into_iter().chain(CRDTS.map(|kind| (kind, crdt(kind)))) {
        session
            .run(&format!("CREATE TABLE {kind}s (v gundb.{kind}); CREATE TABLE {kind}s_again (v gundb.{kind})"))
            .await;
        let sample =
            if sample.contains("FROM") { format!("SELECT {sample}") } else { format!("SELECT {sample}::gundb.{kind}") };
        session.run(&format!("INSERT INTO {kind}s {sample}")).await;
        let good = unhex(&session.value(&format!("SELECT encode(gundb.{kind}_send(v), 'hex') FROM {kind}s")).await);
        session.run(&format!("TRUNCATE {kind}s")).await;
        session.run(&format!("GRANT INSERT ON {kind}s TO gundb_sender; SET ROLE gundb_sender")).await;
        let copy = format!("COPY {kind}s FROM STDIN (FORMAT binary)");
        assert_eq!(copy_in(session, &copy, copy_binary(&good)).await.unwrap(), 1);
        let (mut accepted, mut refused) = (0, 0);
        for round in 0..rounds {
            let mut bytes = good.clone();
            match round % 5 {
                0 => bytes.truncate(random.usize(0..good.len())),
                1 => bytes.extend((0..random.usize(1..20)).map(|_| random.u8(..))),
                2 => bytes = (0..random.usize(0..2 * good.len())).map(|_| random.u8(..)).collect(),
                3 => bytes.iter_mut().for_each(|byte| *byte = if random.u8(0..4) == 0 { 0xff } else { *byte }),
                _ => {
                    for _ in 0..random.usize(1..4) {
                        let i = random.usize(0..bytes.len());
                        bytes[i] = random.u8(..);
                    }
                }
            }
            match copy_in(session, &copy, copy_binary(&bytes)).await {
                Ok(_) => accepted += 1,
                Err(Failure::Refused(error)) => {
                    assert_eq!(error.code().code(), "22P03", "{kind} {bytes:?}: {error}");
                    refused += 1;
                }
                Err(lost) => panic!("{kind} {bytes:?}: {lost}"),
            }
        }
        // What was accepted prints, reads again as the same, and its bytes are the same again.
        session.run("RESET ROLE").await;
        let mut unsound = format!("SELECT v FROM {kind}s WHERE v::text::gundb.{kind} IS DISTINCT FROM v");
        if CRDTS.contains(&kind) {
            // It merges with itself and with the others, and is worth the same when it is reissued.
            unsound += &format!(
                " OR v || v <> v OR gundb.value(gundb.reissue(v)) IS DISTINCT FROM gundb.value(v)
                  OR v || (SELECT gundb.merge(w) FROM {kind}s AS o (w)) IS DISTINCT FROM (SELECT gundb.merge(w) FROM {kind}s AS o (w))"
            );
        }
        assert_eq!(session.rows(&unsound).await, Vec::<Vec<String>>::new(), "{kind}");
        println!("{kind}: {accepted} of {rounds} mutations accepted, {refused} refused");
        assert!(refused > 0, "no mutation of a {kind} was refused");
    }
    // And where the stream's own columns are loaded so.
    let copy = "COPY moves (key) FROM STDIN (FORMAT binary)";
    for bytes in [&b"\xff"[..], b"\xc3\x28", b"a\0b"] {
        match copy_in(session, copy, copy_binary(bytes)).await {
            Err(failure) => assert_eq!(failure.sqlstate(), "22021", "{failure}"),
            Ok(_) => panic!("{bytes:?} was accepted as text"),
        }
    }
    subject.assert_well().await;
}
