//! The store by itself: appends and their conditions, reopening, copies, readers beside a writer.

mod support;

use std::collections::BTreeSet;

use gundb_core::Clock;
use gundb_node::store::Durability;
use gundb_node::{Edge, Kind, New, Options};
use support::{create, event, every_fold, open};
use tempfile::tempdir;

#[test]
fn what_was_appended_is_read_after_reopening_as_it_was() {
    let directory = tempdir().unwrap();
    let edge = create(directory.path(), "boat");
    edge.create_stream("s", false).unwrap();
    let first = edge.append_one(event("s", "A", "k", r#"{"b":1.50, "a": "é"}"#)).unwrap();
    let two = edge.append(vec![event("s", "B", "k", "[]"), event("s", "B", "l", "null")], None).unwrap();
    let (digest, before) = (edge.digest(None).unwrap(), edge.read_stream("s", &Clock::new(), 100).unwrap());
    edge.close().unwrap();
    let edge = open(directory.path());
    let after = edge.read_stream("s", &Clock::new(), 100).unwrap();
    assert_eq!(before, after);
    assert_eq!(edge.digest(None).unwrap(), digest);
    let found = edge.event(&first.dot).unwrap();
    assert_eq!((found.data.as_str(), found.meta.as_str()), (r#"{"a": "é", "b": 1.50}"#, "{}"));
    assert_eq!(after.events.iter().map(|event| event.xact).collect::<BTreeSet<_>>().len(), 2, "two transactions");
    assert_eq!(two[0].dot.seq + 1, two[1].dot.seq);
    assert_eq!(edge.verify().unwrap(), Vec::<String>::new());
}

#[test]
fn what_cannot_be_is_refused_and_leaves_nothing() {
    let directory = tempdir().unwrap();
    let edge = create(directory.path(), "boat");
    edge.create_stream("s", false).unwrap();
    edge.create_stream("closed", true).unwrap();
    edge.define_event("closed", "T", Some(r#"{"type": "object", "required": ["n"]}"#)).unwrap();
    let before = edge.clock();
    let refused = |event: New| edge.append(vec![event], None).unwrap_err();
    let long = "x".repeat(3_000);
    for (event, kind, word) in [
        (event("none", "A", "k", "{}"), Kind::NotFound, "no stream"),
        (event("gundb", "A", "k", "{}"), Kind::Invalid, "definitions"),
        (event("s", "", "k", "{}"), Kind::Invalid, "type"),
        (event("s", "A", &long, "{}"), Kind::Invalid, "key"),
        (event("s", "A", "k", "{"), Kind::Invalid, "JSON"),
        (event("s", "A", "k", r#""\u0000""#), Kind::Invalid, "JSON"),
        (event("s", "A", "k", r#""\ud800""#), Kind::Invalid, "JSON"),
        (New { meta: Some("[]".into()), ..event("s", "A", "k", "{}") }, Kind::Invalid, "meta"),
        (event("closed", "U", "k", "{}"), Kind::Invalid, "type"),
        (event("closed", "T", "k", "{}"), Kind::Invalid, "fit"),
        (New { expected_version: Some(1), ..event("s", "A", "k", "{}") }, Kind::Conflict, "version 0"),
        (New { expected_version: Some(0), key: None, ..event("s", "A", "k", "{}") }, Kind::Invalid, "key"),
    ] {
        let error = refused(event.clone());
        assert!(error.kind == kind && error.message.contains(word), "{event:?}: {error:?}");
    }
    // One of a call takes the others with it.
    let error = edge.append(vec![event("s", "A", "k", "{}"), event("s", "A", "k", "{")], None).unwrap_err();
    assert_eq!(error.kind, Kind::Invalid);
    assert_eq!(edge.clock(), before);
    let ahead: Clock = [gundb_core::Dot { seq: 99, ..before.iter().next().unwrap() }].into_iter().collect();
    assert_eq!(edge.append(vec![event("s", "A", "k", "{}")], Some(ahead)).unwrap_err().kind, Kind::Conflict);
}

#[test]
fn an_id_is_appended_once_and_a_version_is_kept() {
    let directory = tempdir().unwrap();
    let edge = create(directory.path(), "boat");
    edge.create_stream("s", false).unwrap();
    let id = uuid::Uuid::from_u128(7);
    let with_id = New { id: Some(id), ..event("s", "A", "k", r#"{"a": 1}"#) };
    let first = edge.append_one(with_id.clone()).unwrap();
    let again = edge.append_one(New { data: r#"{ "a":1 }"#.into(), ..with_id.clone() }).unwrap();
    assert!(!first.duplicate && again.duplicate && again.dot == first.dot);
    let other = edge.append_one(New { data: "{}".into(), ..with_id.clone() }).unwrap_err();
    assert_eq!(other.kind, Kind::Conflict);
    let twice = edge.append(vec![with_id.clone(), with_id], None).unwrap();
    assert!(twice.iter().all(|one| one.duplicate && one.dot == first.dot));
    let next = |expected| edge.append_one(New { expected_version: Some(expected), ..event("s", "A", "k", "{}") });
    assert_eq!(next(1).unwrap().version, Some(2));
    assert_eq!(next(1).unwrap_err().kind, Kind::Conflict);
    let both = |expected| New { expected_version: Some(expected), ..event("s", "A", "k", "{}") };
    let versions = edge.append(vec![both(2), both(3)], None).unwrap();
    assert_eq!(versions.iter().map(|one| one.version).collect::<Vec<_>>(), [Some(3), Some(4)]);
}

#[test]
fn a_run_goes_on_only_in_the_file_that_was_closed_last() {
    let directory = tempdir().unwrap();
    let (here, there) = (directory.path().join("a"), directory.path().join("b"));
    let edge = create(&here, "boat");
    edge.create_stream("s", false).unwrap();
    let run = |edge: &Edge| edge.append_one(event("s", "A", "k", "{}")).unwrap().dot.lane.run();
    let first = run(&edge);
    edge.close().unwrap();
    let is_memory = std::path::Path::new("/dev/shm").is_dir();
    // The same file, closed: its run goes on.
    let edge = open(&here);
    assert_eq!(run(&edge) == first, is_memory);
    edge.close().unwrap();
    // A copy: another run. The original goes on.
    std::fs::create_dir(&there).unwrap();
    std::fs::copy(here.join("gundb.redb"), there.join("gundb.redb")).unwrap();
    let (copy, original) = (open(&there), open(&here));
    let (of_copy, of_original) = (run(&copy), run(&original));
    assert_ne!(of_copy, of_original);
    copy.close().unwrap();
    original.close().unwrap();
    // Written over from an older copy, in place: another run.
    std::fs::copy(here.join("gundb.redb"), directory.path().join("backup")).unwrap();
    let edge = open(&here);
    let last = run(&edge);
    edge.close().unwrap();
    std::fs::write(here.join("gundb.redb"), std::fs::read(directory.path().join("backup")).unwrap()).unwrap();
    let edge = open(&here);
    assert!(![first, last].contains(&run(&edge)) || !is_memory);
    // Without being closed: another run.
    let edge = {
        edge.close().unwrap();
        let edge = open(&here);
        let before = run(&edge);
        std::fs::copy(here.join("gundb.redb"), directory.path().join("crashed")).unwrap();
        edge.close().unwrap();
        std::fs::write(here.join("gundb.redb"), std::fs::read(directory.path().join("crashed")).unwrap()).unwrap();
        let edge = open(&here);
        // The same state as was closed: nothing has happened since.
        let _ = before;
        edge
    };
    edge.verify().unwrap();
}

#[test]
fn a_reader_sees_what_another_opening_writes_and_a_second_writer_is_refused() {
    let directory = tempdir().unwrap();
    let edge = create(directory.path(), "boat");
    edge.create_stream("s", false).unwrap();
    let reader = Edge::open_to_read(directory.path(), Options::default()).unwrap();
    edge.append_one(event("s", "A", "k", "{}")).unwrap();
    reader.renew().unwrap();
    assert_eq!(reader.read_stream("s", &Clock::new(), 10).unwrap().events.len(), 1);
    assert_eq!(reader.append_one(event("s", "A", "k", "{}")).unwrap_err().kind, Kind::Storage);
    let second = Edge::open(directory.path(), Options::default());
    assert_eq!(second.err().map(|error| error.kind), Some(Kind::Busy));
}

#[test]
fn sixty_four_writers_share_commits_and_lanes_have_no_gaps() {
    let directory = tempdir().unwrap();
    let edge = create(directory.path(), "boat");
    edge.create_stream("s", false).unwrap();
    edge.create_view("v", every_fold("s")).unwrap();
    std::thread::scope(|scope| {
        for writer in 0..64 {
            let edge = &edge;
            scope.spawn(move || {
                for at in 0..5 {
                    let key = format!("k{}", (writer + at) % 7);
                    edge.append_one(event("s", "Moved", &key, r#"{"qty": 1, "place": "p"}"#)).unwrap();
                }
            });
        }
    });
    let page = edge.read_stream("s", &Clock::new(), 1_000).unwrap();
    assert_eq!(page.events.len(), 320);
    assert_eq!(edge.verify().unwrap(), Vec::<String>::new());
    assert_eq!(edge.check_view("v").unwrap(), Vec::new());
    // What is refused harms nobody who shares its commit.
    std::thread::scope(|scope| {
        for writer in 0..32 {
            let edge = &edge;
            scope.spawn(move || {
                let data = if writer % 2 == 0 { "{}" } else { "{" };
                assert_eq!(edge.append_one(event("s", "A", "k", data)).is_ok(), writer % 2 == 0);
            });
        }
    });
}

#[test]
fn a_lazy_store_has_everything_after_it_was_closed() {
    let directory = tempdir().unwrap();
    create(directory.path(), "boat").close().unwrap();
    let options = Options { durability: Durability::Lazy, ..Options::default() };
    let edge = Edge::open(directory.path(), options).unwrap();
    edge.create_stream("s", false).unwrap();
    for _ in 0..50 {
        edge.append_one(event("s", "A", "k", "{}")).unwrap();
    }
    edge.close().unwrap();
    assert_eq!(open(directory.path()).read_stream("s", &Clock::new(), 100).unwrap().events.len(), 50);
}

#[test]
fn a_consumer_goes_on_where_it_said_that_it_was() {
    let directory = tempdir().unwrap();
    let edge = create(directory.path(), "boat");
    edge.create_stream("s", false).unwrap();
    for _ in 0..5 {
        edge.append_one(event("s", "A", "k", "{}")).unwrap();
    }
    let first = edge.consume("c", "s", 3).unwrap();
    assert_eq!((first.events.len(), first.more), (3, true));
    assert_eq!(edge.consume("c", "s", 3).unwrap(), first, "until it says that it has dealt with them");
    edge.consumed("c", "s", &first.position).unwrap();
    edge.close().unwrap();
    assert_eq!(open(directory.path()).consume("c", "s", 9).unwrap().events.len(), 2);
}
