//! Edge nodes that meet: by sessions, and by bundles that are carried; all come to hold the same, and show the same.

mod support;

use gundb_core::apply::{Verdict, Wait};
use gundb_core::bundle::{WireLimits, decode_bundle, encode_bundle};
use gundb_core::store::{
    Called, Caller, Counts, Export, Listener, Next, Origin, Request, Response, Store, Terms, take_in,
};
use gundb_core::sync::filter::Filter;
use gundb_core::sync::message::Accept;
use gundb_core::sync::receiver::Delivery;
use gundb_core::{Chain, Clock, Dot, Epoch, EpochRecord, Event, Hlc, Lane, Run, SiteId, StreamId, Transaction};
use gundb_node::{Edge, New, Options};
use support::{Random, create, event, every_fold, open, seed, something, specified};
use tempfile::tempdir;

const BEGINNING_MS: u64 = 1_800_000_000_000;

fn terms() -> Terms {
    Terms { bundle_bytes_max: 1_500, ..Terms::all() }
}

/// A session from one to the other until neither has anything to say.
fn meet(caller: &Edge, called: &Edge) {
    let limits = WireLimits::default();
    let (mut here, mut there) = (Caller::new("there", terms(), limits), Called::new("here", terms(), limits));
    here.connected();
    let (mut now_ms, mut quiet) = (BEGINNING_MS, 0);
    for _ in 0..10_000 {
        match here.next(caller, now_ms).unwrap() {
            Next::Call(call, request) => {
                let is_idle = matches!(request, Request::Pull(_));
                let response = match request {
                    Request::Hello(bytes) => Response::Hello(there.hello(called, &bytes, now_ms).unwrap()),
                    Request::Push(bytes) => Response::Receipt(there.push(called, &bytes).unwrap()),
                    Request::Pull(receipt) => Response::Bundle(there.pull(called, receipt.as_deref(), now_ms).unwrap()),
                };
                quiet = if is_idle && matches!(response, Response::Bundle(None)) { quiet } else { 0 };
                here.answered(call, response, now_ms).unwrap();
            }
            Next::Wait(_) if quiet > 2 => return,
            Next::Wait(until) => {
                quiet += 1;
                now_ms = until.unwrap_or(now_ms + 10_000).max(now_ms + 1);
                here.news_there();
                here.news_here();
            }
            Next::Close(mismatch) => panic!("{mismatch}"),
        }
    }
    panic!("a session without an end");
}

/// What one holds beyond a clock, carried to the other.
fn carry(from: &Edge, to: &Edge, since: &Clock, random: &mut Random) -> Counts {
    let mut export = Export::begin(from, Filter::all(), since).unwrap();
    let mut bundles = Vec::new();
    while let Some(bundle) = export.next(from).unwrap() {
        bundles.push(encode_bundle(&bundle, 3));
    }
    // In any order, some twice.
    for at in (1..bundles.len()).rev() {
        bundles.swap(at, random.below(at as u64 + 1) as usize);
    }
    if let Some(first) = bundles.first().cloned() {
        bundles.push(first);
    }
    let origin = Origin { peer: String::new(), accept: Accept::Any };
    let mut sum = Counts::default();
    for bundle in bundles {
        let counts = take_in(to, &origin, &bundle, &Edge::limits()).unwrap();
        sum.new += counts.new;
        sum.refused.extend(counts.refused);
    }
    sum
}

fn assert_same(edges: &[&Edge], seed_text: &str) {
    let digests: Vec<_> = edges.iter().map(|edge| edge.digest(None).unwrap()).collect();
    let clocks: Vec<_> = edges.iter().map(|edge| edge.clock()).collect();
    for at in 1..edges.len() {
        assert_eq!(clocks[0], clocks[at], "{seed_text}");
        assert_eq!(digests[0], digests[at], "{seed_text}");
        let rows = |edge: &Edge| edge.view_rows("v", None).unwrap();
        assert_eq!(rows(edges[0]), rows(edges[at]), "{seed_text}");
        assert_eq!(edges[0].view_digest("v").unwrap(), edges[at].view_digest("v").unwrap(), "{seed_text}");
    }
    for edge in edges {
        assert_eq!(edge.view_rows("v", None).unwrap(), specified(edge, "v"), "{seed_text}");
        assert_eq!(edge.check_view("v").unwrap(), Vec::new(), "{seed_text}");
        assert_eq!(edge.verify().unwrap(), Vec::<String>::new(), "{seed_text}");
        assert_eq!(Store::waiting(*edge).unwrap(), Clock::new(), "{seed_text}");
    }
}

#[test]
fn sites_that_write_apart_and_meet_hold_and_show_the_same() {
    let seed = seed();
    let mut random = Random(seed);
    let directory = tempdir().unwrap();
    let names = ["a", "b", "c"];
    let edges: Vec<Edge> = names.iter().map(|name| create(&directory.path().join(name), name)).collect();
    for edge in &edges {
        edge.create_stream("s", false).unwrap();
        edge.create_view("v", every_fold("s")).unwrap();
    }
    let mut ids: Vec<uuid::Uuid> = Vec::new();
    for _ in 0..12 {
        for edge in &edges {
            for _ in 0..random.below(4) {
                let count = random.below(3) + 1;
                let mut events: Vec<New> = (0..count).map(|_| something(&mut random, "s")).collect();
                // Now and then an id that another site has given, or will.
                if random.percent(15) {
                    events[0].id = Some(uuid::Uuid::from_u128(u128::from(random.below(6))));
                }
                // One id says one thing at a site.
                if let Ok(appended) = edge.append(events, None) {
                    ids.extend(appended.iter().map(|one| one.id));
                }
            }
            if random.percent(25) && !ids.is_empty() {
                // What is not here, or reverted already, is refused.
                let id = ids[random.below(ids.len() as u64) as usize];
                let _ = edge.revert("s", &[id]);
            }
        }
        let (one, other) = (random.below(3) as usize, random.below(3) as usize);
        if one != other && random.percent(60) {
            if random.percent(50) {
                meet(&edges[one], &edges[other]);
            } else {
                carry(&edges[one], &edges[other], &Clock::new(), &mut random);
            }
        }
    }
    let all: Vec<&Edge> = edges.iter().collect();
    for _ in 0..2 {
        meet(all[0], all[1]);
        meet(all[1], all[2]);
        carry(all[2], all[0], &all[0].clock(), &mut random);
    }
    assert_same(&all, &format!("GUNDB_SEED={seed}"));
    // An earlier clock gives what was shown then: the same everywhere.
    let clock = (*edges[0].clock()).clone();
    let before = edges[0].view_rows("v", None).unwrap();
    edges[0].append_one(event("s", "Moved", "k0", r#"{"qty": 1000000, "place": "far"}"#)).unwrap();
    assert_ne!(edges[0].view_rows("v", None).unwrap(), before);
    assert_eq!(edges[0].view_at("v", &clock, None).unwrap(), before);
    // What a row went through ends with the row.
    for row in edges[1].view_rows("v", None).unwrap() {
        let key = row.key[0].to_string();
        let history = edges[1].view_history("v", &key).unwrap();
        assert_eq!(history.last().and_then(|change| change.values.clone()), Some(row.values), "{key}");
    }
    // And a view that is built anew is the one that was maintained.
    let digest = edges[2].view_digest("v").unwrap();
    edges[2].rebuild_view("v").unwrap();
    assert_eq!(edges[2].view_digest("v").unwrap(), digest);
}

#[test]
fn a_large_transaction_comes_in_parts_and_shows_whole() {
    let mut random = Random(seed());
    let directory = tempdir().unwrap();
    let (a, b, c) = (
        create(&directory.path().join("a"), "a"),
        create(&directory.path().join("b"), "b"),
        create(&directory.path().join("c"), "c"),
    );
    a.create_stream("s", false).unwrap();
    a.create_stream("t", false).unwrap();
    let large =
        |stream: &str, at: u64| event(stream, "Large", "k", &format!(r#"{{"text": "{at}{}"}}"#, "x".repeat(9_000)));
    let events = (0..200).map(|at| large(if at % 3 == 0 { "t" } else { "s" }, at)).collect();
    a.append(events, None).unwrap();
    a.append_one(event("s", "After", "k", "{}")).unwrap();
    meet(&a, &b);
    let counts = carry(&b, &c, &Clock::new(), &mut random);
    assert!(counts.refused.is_empty(), "{counts:?}");
    assert_eq!(b.clock(), a.clock());
    for edge in [&b, &c] {
        for stream in ["s", "t"] {
            assert_eq!(edge.digest(Some(stream)).unwrap(), a.digest(Some(stream)).unwrap());
        }
        assert!(Store::letters(edge).unwrap().is_empty());
    }
    let mut export = Export::begin(&a, Filter::all(), &Clock::new()).unwrap();
    let mut parts = 0;
    while let Some(bundle) = export.next(&a).unwrap() {
        parts += usize::from(decode_bundle(&encode_bundle(&bundle, 1), &Edge::limits()).unwrap().part.is_some());
    }
    assert!(parts > 1, "it went whole");
}

#[test]
fn a_bundle_that_comes_before_what_it_builds_on_waits_over_a_restart() {
    let directory = tempdir().unwrap();
    let (a, at_b) = (create(&directory.path().join("a"), "a"), directory.path().join("b"));
    let origin = Origin { peer: String::new(), accept: Accept::Any };
    let b = create(&at_b, "b");
    a.create_stream("s", false).unwrap();
    let next =
        |since: &Clock| encode_bundle(&Export::begin(&a, Filter::all(), since).unwrap().next(&a).unwrap().unwrap(), 1);
    let first = next(&Clock::new());
    let clock = (*a.clock()).clone();
    a.append_one(event("s", "A", "k", "{}")).unwrap();
    let second = next(&clock);
    let early = take_in(&b, &origin, &second, &Edge::limits()).unwrap();
    assert_eq!((early.new, early.pending), (0, 1));
    b.close().unwrap();
    let b = open(&at_b);
    let both = take_in(&b, &origin, &first, &Edge::limits()).unwrap();
    assert_eq!((both.new, both.pending), (3, 0), "the site's name, the stream, the event");
    assert!(b.clock().iter().any(|dot: Dot| a.clock().covers(&dot)));
    assert_eq!(b.digest(Some("s")).unwrap(), a.digest(Some("s")).unwrap());
    // What is no bundle, or cut, is refused and changes nothing.
    for length in [0, 1, 9, second.len() / 2, second.len() - 1] {
        assert!(take_in(&b, &origin, &second[..length], &Edge::limits()).is_err());
    }
}

#[test]
fn what_a_restore_has_lost_comes_back_from_a_peer() {
    let directory = tempdir().unwrap();
    let at_a = directory.path().join("a");
    let (a, b) = (create(&at_a, "a"), create(&directory.path().join("b"), "b"));
    a.create_stream("s", false).unwrap();
    let kept = a.append_one(event("s", "A", "k", r#"{"n": 1}"#)).unwrap();
    a.close().unwrap();
    let backup = std::fs::read(at_a.join("gundb.redb")).unwrap();
    let a = open(&at_a);
    let lost = a.append_one(event("s", "A", "k", r#"{"n": 2}"#)).unwrap();
    meet(&a, &b);
    a.close().unwrap();
    std::fs::write(at_a.join("gundb.redb"), backup).unwrap();
    let a = open(&at_a);
    assert!(a.event(&kept.dot).is_ok() && a.event(&lost.dot).is_err());
    let after = a.append_one(event("s", "A", "k", r#"{"n": 3}"#)).unwrap();
    assert_ne!(after.dot.lane.run(), lost.dot.lane.run());
    meet(&a, &b);
    assert!(a.event(&lost.dot).is_ok(), "its own lost event has come back");
    assert_eq!(a.digest(None).unwrap(), b.digest(None).unwrap());
}

/// A transaction of a site that is nowhere else, with a stamp so far ahead.
fn from_ahead(stream: &str, ahead_ms: u64) -> Delivery {
    let now_ms = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as u64;
    let (site, run) = (SiteId(uuid::Uuid::from_u128(9)), Run::new(5).unwrap());
    let (stream, lane) = (StreamId::of_name(stream), Lane::new(run, 0));
    let hlc = Hlc::new(now_ms + ahead_ms, 0).unwrap();
    let genesis = Chain::genesis(site, stream, lane);
    let mut event = Event {
        dot: Dot::new(site, stream, lane, 1).unwrap(),
        hlc,
        xact: hlc,
        epoch: 0,
        id: uuid::Uuid::from_u128(10),
        kind: "A".into(),
        key: None,
        data: "{}".into(),
        meta: "{}".into(),
        salt: [0; 16],
        chain: genesis,
    };
    event.chain = event.chain_after(&genesis);
    let epoch = EpochRecord { epoch: Epoch { site, run, number: 0 }, clock: Clock::new() };
    let id = event.transaction();
    Delivery { transactions: vec![Transaction::new(id, vec![event])], epochs: vec![epoch], ..Delivery::default() }
}

#[test]
fn what_is_written_after_some_of_a_transaction_sorts_after_all_of_it_though_the_store_is_closed_in_between() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("a");
    let edge = create(&path, "a");
    edge.create_stream("s", false).unwrap();
    let mut some = from_ahead("s", 0);
    let ends = Hlc::new(some.transactions[0].ends.millis() + 100_000, 7).unwrap();
    some.transactions[0].ends = ends;
    let origin = Origin { peer: "p".into(), accept: Accept::Any };
    assert!(matches!(Store::apply(&edge, &origin, some).unwrap()[..], [Verdict::Take(_)]));
    drop(edge);
    let edge = Edge::open(&path, Options::default()).unwrap();
    assert!(edge.append_one(event("s", "A", "k", "{}")).unwrap().hlc > ends);
}

#[test]
fn what_comes_too_soon_waits_for_its_time_or_its_stream_and_is_then_taken() {
    let directory = tempdir().unwrap();
    let edge = create(&directory.path().join("a"), "a");
    let origin = Origin { peer: "p".into(), accept: Accept::Any };
    // For its stream.
    let verdicts = Store::apply(&edge, &origin, from_ahead("later", 0)).unwrap();
    assert!(matches!(verdicts[..], [Verdict::Wait(Wait::Stream(_))]), "{verdicts:?}");
    assert_eq!(edge.pending().unwrap().len(), 1);
    let kinds = || {
        let pending = gundb_node::site::Site::pending(&edge).unwrap();
        pending.into_iter().map(|waiting| waiting.kind).collect::<Vec<_>>()
    };
    assert_eq!(kinds(), ["stream"]);
    edge.create_stream("later", false).unwrap();
    assert_eq!(edge.read_stream("later", &Clock::new(), 9).unwrap().events.len(), 1);
    // For its time: five minutes and a moment.
    edge.create_stream("s", false).unwrap();
    let verdicts = Store::apply(&edge, &origin, from_ahead("s", 301_500)).unwrap();
    assert!(matches!(verdicts[..], [Verdict::Wait(Wait::Time(_))]), "{verdicts:?}");
    let (told, news) = std::sync::mpsc::channel();
    let listener: std::sync::Arc<Listener> = std::sync::Arc::new(move || told.send(()).unwrap_or(()));
    Store::listen(&edge, std::sync::Arc::downgrade(&listener));
    while edge.read_stream("s", &Clock::new(), 9).unwrap().events.is_empty() {
        news.recv_timeout(std::time::Duration::from_secs(20)).expect("it is taken when its time has come");
    }
    // Whoever does not want to wait says so; and what this site writes next sorts after it.
    let far = from_ahead("t", 100_000_000);
    edge.create_stream("t", false).unwrap();
    let stamp = far.transactions[0].greatest_stamp();
    Store::apply(&edge, &origin, far).unwrap();
    assert_eq!(edge.retry_pending(false).unwrap(), 0);
    assert_eq!(kinds(), ["time"]);
    assert_eq!(edge.retry_pending(true).unwrap(), 1);
    assert!(edge.append_one(event("t", "A", "k", "{}")).unwrap().hlc > stamp);
    // The same again is held.
    let again = Store::apply(&edge, &origin, from_ahead("later", 0)).unwrap();
    assert!(matches!(again[..], [Verdict::Refuse(_)]), "another content under its dot is a fork: {again:?}");
    assert_eq!(kinds(), ["fork"]);
    assert_eq!(edge.verify().unwrap(), Vec::<String>::new());
}

#[test]
fn a_courier_of_one_who_may_bring_its_own_brings_nothing_of_others() {
    let directory = tempdir().unwrap();
    let [a, b, c] = ["a", "b", "c"].map(|name| create(&directory.path().join(name), name));
    a.create_stream("s", false).unwrap();
    let of_a = a.append_one(event("s", "A", "k", "{}")).unwrap();
    meet(&a, &b);
    let all = Export::begin(&b, Filter::all(), &Clock::new()).unwrap().next(&b).unwrap().unwrap();
    let by = |accept| {
        let origin = Origin { peer: "b".into(), accept };
        take_in(&c, &origin, &encode_bundle(&all, 1), &Edge::limits()).unwrap()
    };
    let refused = by(Accept::Own);
    assert!(refused.refused[0].contains("may bring what it wrote itself, and nothing else"), "{refused:?}");
    assert!((refused.new, refused.pending) == (0, 0) && c.letters().unwrap().is_empty());
    assert_eq!(by(Accept::Any).refused, Vec::<String>::new());
    assert!(c.event(&of_a.dot).is_ok());
}
