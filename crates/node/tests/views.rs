//! Views against core's specification: whatever is appended, a row is what the definition says of its key's events.

mod support;

use gundb_node::Kind;
use gundb_node::view::Definition;
use support::{Random, create, event, every_fold, seed, something, specified};
use tempfile::tempdir;

#[test]
fn a_row_is_what_the_specification_says() {
    let seed = seed();
    let mut random = Random(seed);
    let directory = tempdir().unwrap();
    let edge = create(directory.path(), "a");
    edge.create_stream("s", false).unwrap();
    edge.create_view("v", every_fold("s")).unwrap();
    for _ in 0..60 {
        let count = random.below(4) + 1;
        edge.append((0..count).map(|_| something(&mut random, "s")).collect(), None).unwrap();
        assert_eq!(edge.view_rows("v", None).unwrap(), specified(&edge, "v"), "GUNDB_SEED={seed}");
    }
    // A view that is made later shows the same.
    edge.create_view("w", every_fold("s")).unwrap();
    assert_eq!(edge.view_digest("v").unwrap(), edge.view_digest("w").unwrap());
    assert_eq!(edge.check_view("v").unwrap(), Vec::new());
}

#[test]
fn an_event_that_a_view_cannot_fold_is_left_out_with_its_reason_and_harms_nothing_else() {
    let directory = tempdir().unwrap();
    let edge = create(directory.path(), "a");
    edge.create_stream("s", false).unwrap();
    let mut definition = every_fold("s");
    definition.columns = r#"{"n": {"fold": "sum", "value": "n", "type": "bigint"}}"#.to_owned();
    edge.create_view("v", definition).unwrap();
    edge.append_one(event("s", "A", "k", r#"{"n": 1}"#)).unwrap();
    let bad = edge.append_one(event("s", "A", "k", r#"{"n": "one"}"#)).unwrap();
    edge.append_one(event("s", "A", "k", r#"{"n": 9223372036854775800}"#)).unwrap();
    let over = edge.append_one(event("s", "A", "k", r#"{"n": 100}"#)).unwrap();
    edge.append_one(event("s", "A", "k", r#"{"n": 2}"#)).unwrap();
    let rows = edge.view_rows("v", Some("k")).unwrap();
    assert_eq!(rows[0].json(&edge.view("v").unwrap()), r#"{"key": "k", "n": 9223372036854775803}"#);
    let left_out: Vec<_> = edge.view_left_out("v").unwrap().into_iter().map(|(dot, _)| dot).collect();
    assert_eq!(left_out, [bad.dot, over.dot]);
    assert_eq!(edge.check_view("v").unwrap(), Vec::new());
}

#[test]
fn a_strict_view_refuses_to_append_what_it_cannot_fold_and_takes_what_comes_from_elsewhere() {
    let directory = tempdir().unwrap();
    let [a, b] = ["a", "b"].map(|name| create(&directory.path().join(name), name));
    for edge in [&a, &b] {
        edge.create_stream("s", false).unwrap();
    }
    let columns = r#"{"n": {"fold": "sum", "value": "n", "type": "bigint"}}"#.to_owned();
    let definition = Definition { columns, strict: true, delete: Vec::new(), ..every_fold("s") };
    a.create_view("v", definition).unwrap();
    let n = |n: &str| event("s", "A", "k", &format!(r#"{{"n": {n}}}"#));
    a.append_one(n("9223372036854775800")).unwrap();
    let (clock, digest) = (a.clock(), a.digest(None).unwrap());
    for bad in [vec![n("\"one\"")], vec![n("100")], vec![n("1"), n("100")]] {
        let refused = a.append(bad, None).unwrap_err();
        assert_eq!(refused.kind, Kind::Invalid, "{refused}");
        assert!(refused.message.starts_with("view \"v\" cannot fold the event: "), "{refused}");
    }
    assert_eq!((a.clock(), a.digest(None).unwrap()), (clock, digest));
    // Whoever appends meanwhile is not harmed.
    std::thread::scope(|scope| {
        for good in [true, false, true, false, true, false] {
            let a = &a;
            scope.spawn(move || {
                for _ in 0..20 {
                    let appended =
                        a.append_one(event("s", "A", "k", if good { r#"{"n": 0}"# } else { r#"{"n": {}}"# }));
                    assert_eq!(appended.is_ok(), good, "{appended:?}");
                }
            });
        }
    });
    // What another site wrote is left out, as of any view.
    let bad = b.append_one(n("\"two\"")).unwrap();
    support::carry(&b, &a);
    a.append_one(n("2")).unwrap();
    assert_eq!(a.view_left_out("v").unwrap().into_iter().map(|(dot, _)| dot).collect::<Vec<_>>(), [bad.dot]);
    let rows = a.view_rows("v", Some("k")).unwrap();
    assert_eq!(rows[0].json(&a.view("v").unwrap()), r#"{"key": "k", "n": 9223372036854775802}"#);
    assert_eq!((a.check_view("v").unwrap(), a.verify().unwrap()), (Vec::new(), Vec::new()));
    // The definition is kept with it.
    a.close().unwrap();
    let a = support::open(&directory.path().join("a"));
    assert_eq!(a.append_one(n("[]")).unwrap_err().kind, Kind::Invalid);
}

#[test]
fn a_definition_is_checked_and_kept() {
    let directory = tempdir().unwrap();
    let edge = create(directory.path(), "a");
    edge.create_stream("s", false).unwrap();
    assert!(edge.create_view("v", every_fold("s")).unwrap());
    assert!(!edge.create_view("v", every_fold("s")).unwrap());
    let other = Definition { filter: Some("@type = 'Moved'".into()), ..every_fold("s") };
    let kind = |outcome: gundb_node::Result<bool>| outcome.err().map(|error| error.kind);
    assert_eq!(kind(edge.create_view("v", other.clone())), Some(Kind::Conflict));
    let broken = Definition { columns: r#"{"a": {"fold": "summ"}}"#.into(), ..other.clone() };
    assert_eq!(kind(edge.create_view("w", broken)), Some(Kind::Invalid));
    let elsewhere = Definition { stream: "none".into(), ..other };
    assert_eq!(kind(edge.create_view("w", elsewhere)), Some(Kind::NotFound));
    edge.drop_view("v").unwrap();
    assert_eq!(edge.view_rows("v", None).unwrap_err().kind, Kind::NotFound);
}

#[test]
fn a_reverted_event_is_as_if_it_had_not_been_and_comes_back() {
    let directory = tempdir().unwrap();
    let edge = create(directory.path(), "a");
    edge.create_stream("s", true).unwrap();
    edge.define_event("s", "Moved", None).unwrap();
    edge.create_view("v", every_fold("s")).unwrap();
    let moved = |qty: u64| event("s", "Moved", "k", &format!(r#"{{"qty": {qty}, "place": "p"}}"#));
    edge.append_one(moved(1)).unwrap();
    let before = edge.view_digest("v").unwrap();
    let second = edge.append_one(moved(5)).unwrap();
    let with = edge.view_digest("v").unwrap();
    let revert = edge.revert("s", &[second.id]).unwrap();
    assert_eq!(edge.view_digest("v").unwrap(), before);
    assert_eq!(edge.revert("s", &[second.id]).unwrap_err().kind, Kind::Conflict);
    edge.revert("s", &[revert[0].id]).unwrap();
    assert_eq!(edge.view_digest("v").unwrap(), with);
    assert_eq!(edge.view_history("v", "k").unwrap().len(), 4);
    assert_eq!(edge.revert("s", &[uuid::Uuid::from_u128(1)]).unwrap_err().kind, Kind::NotFound);
}
