//! Every encoding, against bytes that are checked in. A failure here means that stored data could no longer be read: give the new layout a new version.
//!
//! `UPDATE_GOLDEN=1` writes the files; only for an encoding that was never released.

mod strategies;

use std::path::Path;

use gundb_core::*;
use uuid::Uuid;

fn golden(name: &str, bytes: &[u8]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, bytes).unwrap();
    }
    let expected = std::fs::read(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert!(expected == bytes, "the encoding {name} has changed:\n{expected:02x?}\n{bytes:02x?}");
}

fn dot() -> Dot {
    let site = "0d9f7a5c-6d1e-4f9b-8f0e-2f6f3a7a9b10".parse().unwrap();
    Dot::new(site, StreamId::of_name("stock_moves"), "9f3c01ab77e2-3".parse().unwrap(), 17).unwrap()
}

fn hlc() -> Hlc {
    "2026-11-23T00:41:07.123Z-0005".parse().unwrap()
}

fn clock() -> Clock {
    let at = |site, stream, run, number, seq| Dot {
        site: strategies::site(site),
        stream: strategies::stream(stream),
        lane: strategies::lane(run, number),
        seq,
    };
    [
        dot(),
        at(1, 1, 1, 0, 1),
        at(1, 1, 1, 1, 127),
        at(1, 1, 1, 300, 128),
        at(1, 1, 2, 65535, SEQ_MAX),
        at(1, 2, 1, 0, 16384),
    ]
    .into_iter()
    .collect()
}

fn event() -> Event {
    let mut event = Event {
        dot: dot(),
        hlc: hlc(),
        xact: Hlc::new(hlc().millis() - 1, 7).unwrap(),
        epoch: 42,
        id: Uuid::from_u128(0x018f_3a5e_7c00_7000_8000_0000_0000_0001),
        kind: "Received".into(),
        key: Some("A-1".into()),
        data: r#"{"qty": 3, "sku": "A-1"}"#.into(),
        meta: "{}".into(),
        salt: [0xa5; 16],
        chain: Chain([0; 16]),
    };
    event.chain = event.chain_after(&Chain::genesis(event.dot.site, event.dot.stream, event.dot.lane));
    event
}

#[test]
fn a_dot_keeps_its_bytes_and_its_text() {
    golden("dot.bin", &dot().to_bytes());
    golden("dot.txt", dot().to_string().as_bytes());
}

#[test]
fn a_stamp_keeps_its_bits_and_its_text() {
    golden("hlc.bin", &hlc().to_bits().to_be_bytes());
    golden("hlc.txt", hlc().to_string().as_bytes());
}

#[test]
fn a_clock_keeps_its_bytes_its_text_and_its_digest() {
    golden("clock_v1.bin", &clock().encode());
    golden("clock_v1_empty.bin", &Clock::new().encode());
    golden("clock.txt", clock().to_string().as_bytes());
    golden("clock_v1_digest.bin", &clock().digest());
    let stored = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/clock_v1.bin")).unwrap();
    assert_eq!(Clock::decode(&stored), Ok(clock()));
}

#[test]
fn the_namespace_of_streams_is_the_one_that_is_documented() {
    assert_eq!(STREAM_NAMESPACE, Uuid::new_v5(&Uuid::NAMESPACE_URL, b"gundb:stream"));
    golden("stream_id.txt", StreamId::of_name("stock_moves").to_string().as_bytes());
}

#[test]
fn a_lane_keeps_its_genesis_and_its_steps() {
    let event = event();
    golden("chain_genesis.bin", &Chain::genesis(event.dot.site, event.dot.stream, event.dot.lane).0);
    golden("content_hash.bin", &content_hash(&event.salt, event.key.as_deref(), &event.data, &event.meta));
    golden("content_hash_without_key.bin", &content_hash(&event.salt, None, &event.data, &event.meta));
    golden("chain_next.bin", &event.chain.0);
    golden("chain.txt", event.chain.to_string().as_bytes());
}

#[test]
fn a_digest_of_lane_heads_keeps_its_bytes() {
    let other = Dot::new(strategies::site(1), strategies::stream(1), strategies::lane(1, 0), 3).unwrap();
    golden("digest.bin", &digest(vec![(dot(), Chain([0x11; 16])), (other, Chain([0x22; 16]))]));
}

#[test]
fn the_replica_of_a_database_stays_what_it_is() {
    let replica = crdt::Replica::of_database(dot().site, 7_123_456_789_012_345_678, 1, 16_384);
    golden("replica.txt", replica.reissued(0xa7).to_string().as_bytes());
}

#[test]
fn canonical_text_stays_what_it_is() {
    let text = r#"{"bb":[1e5,1.50,1E-5,-0,-0.00,100e-1],"a":"\u0041\/\u00e9\ud83d\ude00\b\f\n\r\t\u0001\"\\","c":{},"a2":[],"c":{"z":null,"y":true,"x":false}}"#;
    golden("canonical_text.json", canonical_text(text, Limits::default()).unwrap().as_bytes());
}

/// A value of each kind that has all features of its encoding: two replicas, dropped and live acts, values of several lengths.
fn crdt_value(kind: crdt::Kind) -> crdt::Crdt {
    use crdt::*;
    let who = |at: u8| Replica { site: strategies::site(at), incarnation: 0xa7 + u64::from(at) };
    let json = |text: &str| Json::parse(text, Limits::default()).unwrap();
    let mut value = Crdt::empty(kind);
    for at in 0..4u8 {
        let mut other = Crdt::empty(kind);
        // The last act is done apart, and so is concurrent with the others.
        let target = if at == 3 { &mut other } else { &mut value };
        let (by, element) = (who(at % 2), ["a", "b", "a", "\u{c4}"][usize::from(at)]);
        let stored = json(["1.50", "\"x\"", "null", "{\"k\": [true]}"][usize::from(at)]);
        let amount = 100 * (u64::from(at) + 1);
        let stamp = Hlc::new(hlc().millis() + u64::from(at), 0).unwrap();
        match target {
            Crdt::Gcounter(counter) => drop(counter.add(amount, by).unwrap()),
            Crdt::Pncounter(counter) => drop(counter.add(if at % 2 == 0 { -5 } else { 300 }, by).unwrap()),
            Crdt::Lww(register) => drop(register.set(&stored, stamp, by)),
            Crdt::Mv(register) => drop(register.set(&stored, by).unwrap()),
            Crdt::Gset(set) => drop(set.add(element).unwrap()),
            Crdt::Set(set) if at == 2 => drop(set.remove(element)),
            Crdt::Set(set) => drop(set.add(element, by).unwrap()),
            Crdt::RwSet(set) if at == 2 => drop(set.remove(element, by).unwrap()),
            Crdt::RwSet(set) => drop(set.add(element, by).unwrap()),
            Crdt::Flag(flag) => drop(flag.enable(by).unwrap()),
            Crdt::DwFlag(flag) => drop(if at == 2 { flag.disable(by) } else { flag.enable(by) }.unwrap()),
            Crdt::Map(map) if at == 2 => drop(map.remove(element)),
            Crdt::Map(map) => drop(map.put(element, &stored, stamp, by).unwrap()),
            Crdt::Bcounter(counter) if at == 2 => {
                counter.take(7, by).unwrap();
                counter.transfer(20, who(1), by).unwrap();
            }
            Crdt::Bcounter(counter) => drop(counter.add(amount, by).unwrap()),
        }
        // Its acts must not be those of the value that it is merged into.
        let other = if at == 3 { other.reissue(who(2)).unwrap() } else { other };
        value.merge(&other).unwrap();
    }
    value
}

#[test]
fn each_kind_of_crdt_value_keeps_its_bytes_and_its_text() {
    for kind in crdt::Kind::ALL {
        let (value, name) = (crdt_value(*kind), kind.name());
        golden(&format!("crdt_{name}_v1.bin"), &value.encode());
        golden(&format!("crdt_{name}.json"), value.to_string().as_bytes());
        golden(&format!("crdt_{name}_v1_empty.bin"), &crdt::Crdt::empty(*kind).encode());
        let stored = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/crdt_{name}_v1.bin"));
        assert_eq!(crdt::Crdt::decode(&std::fs::read(stored).unwrap()), Ok(value));
    }
}

/// A row that has every fold, deletes, and an event of two dots.
fn row_state() -> fold::RowState {
    use fold::*;
    let mark = |site: u8, seq, millis| Mark {
        hlc: Hlc::new(millis, 0).unwrap(),
        site: strategies::site(site),
        lane: strategies::lane(1, 0),
        seq,
        epoch: u64::from(site == 2),
    };
    let mut contexts = Contexts::new(strategies::stream(1));
    let clock = Clock::from_iter([mark(1, 2, 0).dot(strategies::stream(1))]);
    contexts.insert(mark(2, 1, 0).epoch_id(), clock);
    let text = |text: &str| Datum::Text(text.into());
    let act = |fold: Fold, first: bool| match fold {
        Fold::Count => Operation::Count,
        Fold::Sum | Fold::Avg | Fold::Min => {
            Operation::Give(Datum::Numeric(if first { "0.1" } else { "-1e20" }.parse().unwrap()))
        }
        Fold::Max => Operation::Give(Datum::Timestamptz("2026-11-23T00:41:07.5Z".parse().unwrap())),
        Fold::Lww => Operation::Write { by: Some(Datum::Bigint(7)), value: None },
        Fold::Fww | Fold::Mv => Operation::Write { by: None, value: Some(text("x")) },
        Fold::Set | Fold::RwSet if first => Operation::Add(text("a")),
        Fold::Set | Fold::RwSet => Operation::Remove(text("b")),
        Fold::Flag | Fold::DwFlag if first => Operation::Enable,
        Fold::Flag | Fold::DwFlag => Operation::Disable,
        Fold::Map => Operation::Put { key: text("k"), value: Datum::Jsonb("[1, 2]".into()) },
        Fold::Merge => Operation::Merge(crdt_value(crdt::Kind::Gset)),
    };
    let folds: Vec<Fold> = Fold::all().collect();
    let effect = |first| Effect::Fold(folds.iter().map(|fold| vec![act(*fold, first)]).collect());
    let mut twice = FoldEvent::new(mark(1, 3, 30), effect(true));
    twice.others = vec![mark(3, 1, 31)];
    let events = [
        FoldEvent::new(mark(1, 1, 10), effect(true)),
        FoldEvent::new(mark(2, 1, 20), Effect::Delete),
        twice,
        FoldEvent::new(mark(2, 2, 40), effect(false)),
    ];
    let shape = Shape { folds, deletes: true };
    RowState::refold(&shape, &events, &contexts).unwrap()
}

#[test]
fn the_state_of_a_row_keeps_its_bytes() {
    golden("row_state_v1.bin", &row_state().encode());
    let stored = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/row_state_v1.bin")).unwrap();
    assert_eq!(fold::RowState::decode(&stored), Ok(row_state()));
}

/// A key of a reducer view with two states behind the latest.
fn reduction() -> fold::Reduction {
    /// Remembers the last event and how many there were.
    struct Last(u64);
    impl fold::Reduce for Last {
        type Event = u64;
        type Refusal = ();
        type Failure = std::convert::Infallible;
        fn reduce(&mut self, _: &str, event: &u64) -> Result<Result<String, ()>, Self::Failure> {
            self.0 += 1;
            Ok(Ok(format!("{{\"n\": {}, \"last\": {event}}}", self.0)))
        }
    }
    let event = |at: u64| fold::Placed {
        mark: fold::Mark {
            hlc: Hlc::new(1_000 + at, 0).unwrap(),
            site: strategies::site(1),
            lane: strategies::lane(1, 0),
            seq: at,
            epoch: 0,
        },
        event: at,
    };
    let mut state = fold::Reduction::default();
    let Ok(_) = state.merge("{}", (1..=70).map(event).collect(), &mut Last(0), |_| Ok(Vec::new()));
    state
}

#[test]
fn the_state_of_a_key_of_a_reducer_view_keeps_its_bytes() {
    golden("reduction_v1.bin", &reduction().encode());
    let stored = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/reduction_v1.bin")).unwrap();
    assert_eq!(fold::Reduction::decode(&stored), Ok(reduction()));
}

fn stored(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)).unwrap()
}

/// A bundle of a transaction of two streams and one of another site, with each kind of field; and one part of a large transaction.
fn bundles() -> [bundle::Bundle; 2] {
    use bundle::*;
    let first = event();
    let second = Event {
        dot: Dot { stream: StreamId::of_name("orders"), seq: 1, ..first.dot },
        hlc: Hlc::new(hlc().millis(), 6).unwrap(),
        kind: "Placed".into(),
        key: None,
        meta: r#"{"by": "me"}"#.into(),
        ..first.clone()
    };
    let elsewhere = Event {
        dot: Dot { site: strategies::site(2), lane: strategies::lane(9, 300), ..first.dot },
        xact: hlc(),
        epoch: 0,
        ..first.clone()
    };
    let transaction = |events: Vec<Event>| Transaction::new(events[0].transaction(), events);
    let epoch = |number, base| EpochPart {
        epoch: Epoch { site: first.dot.site, run: first.dot.lane.run(), number },
        base,
        clock: if number == 41 { clock() } else { [elsewhere.dot].into_iter().collect() },
    };
    let bundle = Bundle {
        site: first.dot.site,
        run: Run::new(0x9f3c_01ab_77e2).unwrap(),
        number: 300,
        from: From::Clock(clock()),
        epochs: vec![epoch(41, None), epoch(42, Some(41))],
        transactions: vec![transaction(vec![first.clone(), second]), transaction(vec![elsewhere.clone()])],
        part: None,
    };
    let part = Bundle {
        from: From::Session { digest: clock().digest(), beside: [elsewhere.dot].into_iter().collect() },
        epochs: Vec::new(),
        transactions: vec![transaction(vec![first])],
        part: Some(Part { index: 2, is_last: true }),
        ..bundle.clone()
    };
    [bundle, part]
}

#[test]
fn a_bundle_keeps_its_bytes() {
    let [bundle, part] = bundles();
    golden("bundle_v1.bin", &bundle::encode_bundle(&bundle, 0));
    golden("bundle_v1_part.bin", &bundle::encode_bundle(&part, 0));
    let decode = |name| bundle::decode_bundle(&stored(name), &bundle::WireLimits::default());
    assert_eq!(decode("bundle_v1_part.bin"), Ok(part));
    // What zstd writes may change with its version; what was written stays readable.
    assert_eq!(decode("bundle_v1_zstd.bin"), Ok(bundle.clone()));
    assert_eq!(decode("bundle_v1.bin"), Ok(bundle));
}

#[test]
fn a_hello_and_receipts_keep_their_bytes() {
    use sync::filter::{Filter, Flow};
    use sync::message::*;
    use sync::ways::{Way, Word};
    let filter = |patterns: &[&str]| Filter::parse(patterns).unwrap();
    let limits = bundle::WireLimits::default();
    let small: Clock = [dot()].into_iter().collect();
    let flow = Flow { push: Filter::all(), pull: filter(&["orders"]) };
    let way = |from, accept| Way { from, flow: flow.clone(), accept };
    let word = Word { version: 7, ways: vec![way(None, Accept::Any), way(Some(dot().site), Accept::Own)] };
    let hello = Hello {
        protocol: (1, 3),
        software: "gundb 0.2.0".into(),
        site: dot().site,
        run: dot().lane.run(),
        name: "paris".into(),
        push: filter(&["*", "!audit*"]),
        pull: Filter::all(),
        ways: [(dot().site, word)].into_iter().collect(),
        accept: Accept::Any,
        clock: small.clone(),
        bundle_bytes_max: 4 << 20,
        now_ms: hlc().millis(),
    };
    golden("hello_v1.bin", &bundle::encode_hello(&hello));
    assert_eq!(bundle::decode_hello(&stored("hello_v1.bin"), &limits), Ok(hello));
    let refusals = vec![Refused { dot: dot(), reason: "a fork".into() }];
    for (name, outcome, refusals) in [
        ("receipt_v1_taken.bin", Outcome::Taken, refusals),
        ("receipt_v1_again.bin", Outcome::Again(small.clone()), Vec::new()),
        ("receipt_v1_early.bin", Outcome::Early(small), Vec::new()),
    ] {
        let receipt = Receipt { number: 300, outcome, refusals, holds: Clock::new() };
        golden(name, &bundle::encode_receipt(&receipt));
        assert_eq!(bundle::decode_receipt(&stored(name), &limits), Ok(receipt));
    }
}

#[test]
fn questions_and_answers_keep_their_bytes() {
    use gundb_core::compare::{Answer, Inventory, Question, ViewDefinition};
    let limits = bundle::WireLimits::default();
    for (name, question) in [
        ("question_v1_inventory.bin", Question::Inventory),
        ("question_v1_digests.bin", Question::Digests(vec![clock(), [dot()].into_iter().collect()])),
    ] {
        golden(name, &bundle::encode_question(&question));
        assert_eq!(bundle::decode_question(&stored(name), &limits), Ok(question));
    }
    let view = ViewDefinition::of("stock_moves", &[Some("{}"), None]);
    let inventory = Inventory {
        clock: clock(),
        streams: [("gundb".to_owned(), true), ("stock_moves".to_owned(), false)].into(),
        views: [("stock".to_owned(), view)].into(),
    };
    for (name, answer) in [
        ("answer_v1_inventory.bin", Answer::Inventory(inventory)),
        ("answer_v1_digests.bin", Answer::Digests(vec![Some([7; 16]), None])),
    ] {
        golden(name, &bundle::encode_answer(&answer));
        assert_eq!(bundle::decode_answer(&stored(name), &limits), Ok(answer));
    }
}
