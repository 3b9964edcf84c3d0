//! What is no bundle, from a peer and from a courier: refused with a reason, the server lives, and nothing half of it is taken.

use gundb_clusters::subject::{PATIENCE, Subject};
use gundb_clusters::{Session, events, seed};
use std::time::Instant;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.strip_prefix("\\x").expect("bytea");
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).expect("digits")).collect()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// A frame around a payload that says to be so long when it is decompressed; its checksum fits.
fn framed(payload: &[u8], declared: Option<u64>) -> Vec<u8> {
    let mut frame = [b"gunb".as_slice(), &[1, 1, u8::from(declared.is_some())], &varint(payload.len() as u64)].concat();
    frame.extend(declared.map(varint).unwrap_or_default());
    frame.extend_from_slice(payload);
    let checksum = blake3::hash(&frame);
    frame.extend_from_slice(&checksum.as_bytes()[..16]);
    frame
}

/// Bytes that are no bundle: cut, flipped, of another version, too long, nested without end, small and grown huge.
fn bad(bundle: &[u8], random: &mut fastrand::Rng) -> Vec<(&'static str, Vec<u8>)> {
    let mut all = vec![
        ("empty", Vec::new()),
        ("of another version", [&bundle[..4], &[9], &bundle[5..]].concat()),
        ("with something behind", [bundle, &[0]].concat()),
        ("rubbish", (0..10_000).map(|_| random.u8(..)).collect()),
        ("framed rubbish", framed(&(0..10_000).map(|_| random.u8(..)).collect::<Vec<_>>(), None)),
        ("longer than anything", framed(b"x", Some(1 << 60))),
    ];
    // Length after length, each of what is in it: as deep as it is long.
    let nested = (0..20_000u64).fold(Vec::new(), |inner: Vec<u8>, depth| {
        if depth < 2_000 { [&[0x2a][..], &varint(inner.len() as u64), &inner].concat() } else { inner }
    });
    all.push(("deeply nested", framed(&nested, None)));
    // 16 MiB of zeros in a kilobyte or two, and a few bytes that are said to be as long.
    let zeros = zstd::stream::encode_all(std::io::Read::take(std::io::repeat(0), 16 << 20), 1).expect("zstd");
    assert!(zeros.len() < 8 << 10);
    all.push(("a bomb that says what it is", framed(&zeros, Some(16 << 20))));
    all.push(("a bomb that says little", framed(&zeros, Some(100_000))));
    for _ in 0..100 {
        all.push(("cut", bundle[..random.usize(..bundle.len())].to_vec()));
        let mut flipped = bundle.to_vec();
        flipped[random.usize(..bundle.len())] ^= 1 << random.u8(..8);
        all.push(("flipped", flipped));
    }
    all
}

async fn refused(session: &Session, what: &str, call: &str, input: &[u8]) {
    let begun = Instant::now();
    let state = session.refusal(&format!("SELECT {call}('\\x{}')", hex(input))).await;
    assert!(matches!(state.as_str(), "22P03" | "55000"), "{what}: {state}");
    assert!(begun.elapsed() < PATIENCE, "{what} took {:?}", begun.elapsed());
}

#[tokio::test]
async fn what_is_no_bundle_is_refused_with_a_reason_and_nothing_of_it_is_taken() {
    let mut random = seed::generator();
    let subject = Subject::new(&[]).await;
    let session = &subject.session;
    session
        .run("INSERT INTO moves (type, data) SELECT 'Moved', jsonb_build_object('n', n) FROM generate_series(1, 50) n")
        .await;
    let other = subject.cluster.database("other").await;
    other.run("SELECT gundb.create_stream('moves'); CREATE ROLE peer LOGIN; SELECT gundb.grant_peer('peer', accept => 'any')").await;
    let bundle = bytes(&session.value("SELECT gundb.export_bundle()").await);
    let peer = subject.cluster.connect("other").await;
    peer.run("SET SESSION AUTHORIZATION peer").await;
    let backend = peer.value("SELECT pg_backend_pid()").await;
    for (what, input) in bad(&bundle, &mut random) {
        refused(&other, what, "gundb.import_bundle", &input).await;
        refused(&other, what, "gundb.inspect_bundle", &input).await;
        // Without a session it is not even looked at, and a hello that is none begins none.
        refused(&peer, what, "gundb.session_push", &input).await;
        refused(&peer, what, "gundb.session_hello", &input).await;
    }
    assert_eq!(peer.value("SELECT pg_backend_pid()").await, backend);
    assert_eq!(other.value("SELECT count(*) FROM moves").await, "0");
    assert_eq!(other.value("SELECT count(*) FROM gundb.pending").await, "0");
    other.run(&format!("SELECT * FROM gundb.import_bundle('\\x{}')", hex(&bundle))).await;
    assert_eq!(other.value("SELECT count(*) FROM moves").await, "50");
    events::assert_whole(&other, "moves").await;
    subject.assert_well().await;
}

#[tokio::test]
async fn a_session_in_which_something_bad_comes_ends_and_another_begins() {
    let mut random = seed::generator();
    let subject = Subject::new(&[]).await;
    let session = &subject.session;
    session.run("INSERT INTO moves (type) SELECT 'Moved' FROM generate_series(1, 50)").await;
    session.run("CREATE ROLE peer LOGIN; SELECT gundb.grant_peer('peer', accept => 'any')").await;
    let bundle = bytes(&session.value("SELECT gundb.export_bundle()").await);
    let peer = subject.cluster.connect("input").await;
    peer.run("SET SESSION AUTHORIZATION peer").await;
    let hello = hex(&hello());
    for (what, input) in bad(&bundle, &mut random).into_iter().take(30) {
        peer.run(&format!("SELECT gundb.session_hello('\\x{hello}')")).await;
        refused(&peer, what, "gundb.session_push", &input).await;
        // It has ended with that.
        assert_eq!(peer.refusal("SELECT gundb.session_pull()").await, "55000");
        peer.run(&format!("SELECT gundb.session_hello('\\x{hello}')")).await;
        refused(&peer, what, "gundb.session_pull", &input).await;
    }
    assert_eq!(session.value("SELECT count(*) FROM moves").await, "50");
    subject.assert_well().await;
}

/// The hello of a site that nobody is.
fn hello() -> Vec<u8> {
    use gundb_core::sync::{
        filter::Filter,
        message::{Accept, Hello, PROTOCOL},
    };
    gundb_core::bundle::encode_hello(&Hello {
        protocol: (PROTOCOL, PROTOCOL),
        software: "a test".to_owned(),
        site: gundb_core::SiteId(gundb_core::StreamId::of_name("a test").0),
        run: gundb_core::Run::new(1).expect("a run"),
        name: "nobody".to_owned(),
        push: Filter::all(),
        pull: Filter::all(),
        ways: gundb_core::sync::ways::Ways::default(),
        accept: Accept::Any,
        clock: gundb_core::Clock::new(),
        bundle_bytes_max: 1 << 20,
        now_ms: 0,
    })
}
