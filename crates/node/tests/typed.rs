//! Typed events and rows, and the examples.

#[path = "../examples/accounts.rs"]
mod accounts;
#[path = "../examples/readings.rs"]
mod readings;
mod support;

use std::time::Duration;

use gundb_core::Clock;
use gundb_node::typed::{Events, Received};
use gundb_node::{Edge, Kind, Options};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use support::{create, event};
use tempfile::tempdir;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[allow(clippy::enum_variant_names, reason = "an event type's name stands alone, far from its enum")]
enum UserEvent {
    /// Somebody comes.
    UserCreated {
        name: String,
        address: Option<Address>,
    },
    #[serde(rename = "UserIsCalled", alias = "UserRenamed")]
    UserRenamed(Name),
    UserMoved(Address, u32),
    UserGone,
    /// As if nothing had been.
    UserForgotten,
}
use UserEvent::{UserCreated, UserForgotten, UserGone, UserMoved, UserRenamed};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
struct Name(String);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
struct Address {
    street: String,
    country: Country,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
enum Country {
    France,
    Japan,
}

fn all() -> Vec<UserEvent> {
    let address = Address { street: "Ginza \"1\"".into(), country: Country::Japan };
    vec![
        UserCreated { name: "Ada".into(), address: Some(address.clone()) },
        UserCreated { name: "Bob".into(), address: None },
        UserRenamed(Name("Éda".into())),
        UserMoved(address, 7),
        UserGone,
        UserForgotten,
    ]
}

const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn an_enum_is_declared_once_and_comes_back_as_it_was_said() {
    let directory = tempdir().unwrap();
    let edge = create(directory.path(), "a");
    let users = edge.stream::<UserEvent>("users").unwrap();
    let types = &edge.shown().definitions.streams["users"].types;
    let names: Vec<_> = types.keys().map(String::as_str).collect();
    assert_eq!(names, ["UserCreated", "UserForgotten", "UserGone", "UserIsCalled", "UserMoved"]);
    let schema = types["UserCreated"].schema.as_deref().unwrap();
    assert!(schema.contains("Somebody comes.") && schema.contains("Japan"), "{schema}");
    assert_eq!(types["UserGone"].schema, None);

    let mut subscription = users.subscribe::<UserEvent>().unwrap();
    for said in all() {
        users.append(&said).unwrap();
    }
    for said in all() {
        let Received { event, stored } = subscription.next().unwrap().unwrap();
        assert_eq!((event, stored.key), (said, None));
    }
    assert!(subscription.next_within(Duration::ZERO).is_none());
    // Again, as after a restart: nothing is written.
    edge.close().unwrap();
    let edge = Edge::open(directory.path(), Options::default()).unwrap();
    let before = edge.clock();
    edge.stream::<UserEvent>("users").unwrap();
    assert_eq!(edge.clock(), before);
}

#[test]
fn the_schemas_are_checked_whoever_appends() {
    let directory = tempdir().unwrap();
    let edge = create(directory.path(), "a");
    edge.stream::<UserEvent>("users").unwrap();
    for (kind, data) in [
        ("UserCreated", r#"{"address": null}"#),
        ("UserCreated", r#"{"name": "Ada", "address": {"street": "s", "country": "Spain"}}"#),
        ("UserIsCalled", r#"{"name": "Ada"}"#),
        ("UserMoved", r#"[{"street": "s", "country": "Japan"}, -7]"#),
    ] {
        let refused = edge.append_one(event("users", kind, "k", data)).unwrap_err();
        assert_eq!(refused.kind, Kind::Invalid, "{kind} {data}");
    }
    edge.append_one(event("users", "UserIsCalled", "k", r#""Ada""#)).unwrap();
}

#[test]
fn other_types_are_passed_over_and_what_does_not_fit_is_an_error_in_its_place() {
    let directory = tempdir().unwrap();
    let edge = create(directory.path(), "a");
    edge.create_stream("users", false).unwrap();
    // As another site, with other definitions, may have written.
    edge.append_one(event("users", "UserCreated", "k", r#"{"called": "Ada"}"#)).unwrap();
    edge.append_one(event("users", "UserBlessed", "k", "{}")).unwrap();
    edge.append_one(event("users", "UserRenamed", "k", r#""Ada""#)).unwrap();
    edge.append_one(event("users", "UserGone", "k", r#"{"why": "age"}"#)).unwrap();
    let users = edge.stream::<UserEvent>("users").unwrap();
    let mut subscription = users.subscribe_after::<UserEvent>(Clock::new()).unwrap();
    let refused = subscription.next().unwrap().unwrap_err();
    assert_eq!(refused.kind, Kind::Invalid);
    assert!(refused.message.contains("UserEvent::UserCreated: missing field `name`"), "{refused}");
    assert_eq!(subscription.next().unwrap().unwrap().event, UserRenamed(Name("Ada".into())));
    assert_eq!(subscription.next().unwrap().unwrap().event, UserGone);
    assert!(subscription.next_within(Duration::ZERO).is_none());
}

#[test]
fn whoever_waits_is_woken_by_the_commit_and_sees_transactions_whole() {
    let directory = tempdir().unwrap();
    let edge = create(directory.path(), "a");
    let users = edge.stream::<UserEvent>("users").unwrap();
    let (started, starts) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| {
            let mut subscription = users.subscribe::<UserEvent>().unwrap();
            started.send(()).unwrap();
            let mut positions = Vec::new();
            for _ in 0..4 {
                subscription.next_within(PATIENCE).expect("an event in time").unwrap();
                positions.push(subscription.position().clone());
            }
            positions
        });
        starts.recv().unwrap();
        let before = (*edge.clock()).clone();
        let three = [0, 1, 2].map(|at| users.event(&all()[at]).unwrap());
        edge.append(three.to_vec(), None).unwrap();
        let between = (*edge.clock()).clone();
        users.append(&UserGone).unwrap();
        let positions = waits.join().unwrap();
        // A position never stands within a transaction.
        assert_eq!(positions[..3], [before.clone(), before, between.clone()]);
        assert_eq!(positions[3], *edge.clock());
        let mut again = users.subscribe_after::<UserEvent>(between).unwrap();
        assert_eq!(again.next().unwrap().unwrap().event, UserGone);
    });
}

#[test]
fn whatever_serde_makes_of_what_a_variant_holds_comes_back() {
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
    enum Odd {
        Flat {
            name: String,
            #[serde(flatten)]
            rest: Rest,
        },
        Tagged(Tagged),
        Untagged(Untagged),
        Optional(Option<Box<Odd>>),
        Nothing(()),
        Raw(serde_json::Value),
    }
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
    struct Rest {
        real: f64,
        whole: u64,
    }
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
    #[serde(tag = "is")]
    enum Tagged {
        A { real: f64, whole: i32 },
    }
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
    #[serde(untagged)]
    enum Untagged {
        Whole(i64),
        Rest(Rest),
    }
    let rest = Rest { real: 1.5, whole: u64::MAX };
    let all = [
        Odd::Flat { name: "a".into(), rest: rest.clone() },
        Odd::Tagged(Tagged::A { real: -0.25, whole: -7 }),
        Odd::Untagged(Untagged::Whole(i64::MIN)),
        Odd::Untagged(Untagged::Rest(rest)),
        Odd::Optional(None),
        Odd::Optional(Some(Box::new(Odd::Nothing(())))),
        Odd::Nothing(()),
        Odd::Raw(serde_json::from_str(r#"{"a": [1.10, 123456789012345678901234567890]}"#).unwrap()),
    ];
    let directory = tempdir().unwrap();
    let edge = create(directory.path(), "a");
    let odd = edge.stream::<Odd>("odd").unwrap();
    let mut subscription = odd.subscribe::<Odd>().unwrap();
    for said in all {
        odd.append(&said).unwrap();
        assert_eq!(subscription.next().unwrap().map(|received| received.event), Ok(said));
    }
}

#[tokio::test]
async fn a_task_that_waits_is_woken_by_the_commit() {
    use tokio_stream::StreamExt;
    let directory = tempdir().unwrap();
    let edge = create(directory.path(), "a");
    let users = edge.stream::<UserEvent>("users").unwrap();
    let mut coming = users.subscribe::<UserEvent>().unwrap().coming();
    for _ in 0..3 {
        // The first is asked first, and has nothing then.
        let (received, ()) = tokio::join!(coming.next(), async { assert!(users.append(&UserGone).is_ok()) });
        assert_eq!(received.unwrap().unwrap().event, UserGone);
    }
    assert_eq!(*coming.position(), *edge.clock());
}

#[test]
fn an_enum_that_changes_makes_a_new_version_and_one_that_says_otherwise_is_refused() {
    #[derive(Serialize, Deserialize, JsonSchema)]
    enum Later {
        UserGone { why: Option<String> },
    }
    #[derive(Serialize, Deserialize, JsonSchema)]
    #[serde(tag = "type")]
    enum Inside {
        UserGone { why: String },
    }
    #[derive(Serialize, Deserialize, JsonSchema)]
    struct NoEnum {
        why: String,
    }
    #[derive(Serialize, Deserialize, JsonSchema)]
    enum Unusable {
        UserGone(#[schemars(schema_with = "outside")] String),
    }
    fn outside(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "$ref": "https://example.com/other.json" })
    }
    fn refused<E: Events>(edge: &Edge) -> gundb_node::Error {
        edge.stream::<E>("users").err().expect("a refusal")
    }
    let directory = tempdir().unwrap();
    let edge = create(directory.path(), "a");
    edge.stream::<UserEvent>("users").unwrap();
    edge.stream::<Later>("users").unwrap();
    assert_eq!(edge.shown().definitions.streams["users"].types["UserGone"].version, 2);
    // A program that was not brought up to date leaves it so.
    edge.stream::<UserEvent>("users").unwrap();
    edge.stream::<Later>("users").unwrap();
    assert_eq!(edge.shown().definitions.streams["users"].types["UserGone"].version, 2);
    // By hand it comes back.
    assert_eq!(edge.define_event("users", "UserGone", None).unwrap(), 3);
    edge.stream::<UserEvent>("users").unwrap();
    assert_eq!(edge.shown().definitions.streams["users"].types["UserGone"].version, 3);
    assert!(refused::<Inside>(&edge).message.contains("Inside is no enum of event types"));
    assert!(refused::<NoEnum>(&edge).message.contains("NoEnum is no enum of event types"));
    // The same words as `gundb event define` has.
    let defined = edge.define_event("users", "UserGone", Some(r#"{"$ref": "https://example.com/other.json"}"#));
    assert_eq!(refused::<Unusable>(&edge), defined.unwrap_err());
}

#[test]
fn a_store_that_is_open_to_read_only_gives_rows_and_takes_no_declaration() {
    #[derive(Deserialize)]
    struct Count {
        key: String,
        events: u64,
    }
    let directory = tempdir().unwrap();
    let edge = create(directory.path(), "a");
    let users = edge.stream::<UserEvent>("users").unwrap();
    edge.create_view("counts", support::every_fold("users")).unwrap();
    users.append_to("ada", &UserGone).unwrap();
    edge.close().unwrap();
    let edge = Edge::open_to_read(directory.path(), Options::default()).unwrap();
    let rows = edge.rows_of::<Count>("counts").unwrap();
    let all = rows.all().unwrap();
    assert_eq!(all.iter().map(|row| (row.key.as_str(), row.events)).collect::<Vec<_>>(), [("ada", 1)]);
    assert_eq!(rows.get("bob").unwrap().map(|row| row.events), None);
    assert_eq!(rows.at(&Clock::new()).unwrap().len(), 0);
    assert_eq!(edge.stream::<UserEvent>("users").err().map(|why| why.kind), Some(Kind::Storage));
    // A row that does not fit says which view's.
    let refused = edge.rows_of::<Name>("counts").unwrap().all().unwrap_err();
    assert!(refused.message.contains("a row of view \"counts\""), "{refused}");
}

#[test]
fn the_accounts_of_the_example_balance_each_time_that_it_runs() {
    let directory = tempdir().unwrap();
    for _ in 0..2 {
        accounts::run(directory.path()).unwrap();
    }
}

#[tokio::test]
async fn the_readings_of_the_example_count_once_however_often_it_runs() {
    let directory = tempdir().unwrap();
    for _ in 0..2 {
        readings::run(directory.path()).await.unwrap();
    }
}
