//! Accounts: events that say what may be said, a key's version that is expected, a view's rows as values, and somebody who is told of each event.
//!
//! `cargo run -p gundb-node --example accounts` keeps its store in `./accounts`, and can be run again.

use std::path::Path;

use gundb_node::typed::Received;
use gundb_node::view::Definition;
use gundb_node::{Edge, Kind, Options, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What happens to an account. A variant is an event type; this very text is the schema's description.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
enum AccountEvent {
    /// Somebody opens an account.
    Opened { owner: String },
    /// Money comes; in cents.
    Deposited { cents: u64 },
    /// Money goes; in cents.
    Withdrawn { cents: u64 },
    /// The end of it.
    Closed,
}
use AccountEvent::{Closed, Deposited, Opened, Withdrawn};

/// A row of the view.
#[derive(Debug, PartialEq, Deserialize)]
struct Account {
    key: String,
    owner: Option<String>,
    cents: i64,
}

pub fn run(directory: &Path) -> Result<()> {
    let edge = match Edge::open(directory, Options::default()) {
        Err(why) if why.kind == Kind::NotFound => Edge::create(directory, "branch", Options::default())?,
        opened => opened?,
    };
    // Declares the stream and its four types, unless they are there already.
    let accounts = edge.stream::<AccountEvent>("accounts")?;
    edge.create_view(
        "balances",
        Definition {
            stream: "accounts".into(),
            key: "@key".into(),
            columns: r#"{"owner": {"fold": "lww", "value": "owner"},
                         "cents": {"fold": "sum", "type": "bigint", "value": {"Deposited": "cents", "Withdrawn": "-cents"}}}"#
                .into(),
            delete: vec!["Closed".into()],
            ..Definition::default()
        },
    )?;

    let number = format!("acc-{}", edge.clock().iter().map(|dot| dot.seq).sum::<u64>());
    let mut news = accounts.subscribe::<AccountEvent>()?;
    accounts.append_to(&number, &Opened { owner: "Ada".into() })?;
    accounts.append_to(&number, &Deposited { cents: 10_00 })?;
    // Two events, all or none; the first provided that nothing has happened to the account meanwhile.
    edge.append(
        vec![
            accounts.event(&Withdrawn { cents: 2_50 })?.key(&number).expected_version(2),
            accounts.event(&Deposited { cents: 50 })?.key(&number).meta(&serde_json::json!({ "why": "interest" }))?,
        ],
        None,
    )?;
    let late = accounts.event(&Withdrawn { cents: 2_50 })?.key(&number).expected_version(2);
    assert_eq!(edge.append_one(late).map_err(|why| why.kind), Err(Kind::Conflict));

    let balances = edge.rows_of::<Account>("balances")?;
    let account = Account { key: number.clone(), owner: Some("Ada".into()), cents: 8_00 };
    assert_eq!(balances.get(&number)?, Some(account));

    accounts.append_to(&number, &Closed)?;
    assert_eq!(balances.get(&number)?, None);

    // Waits for each event; here all are there.
    for received in &mut news {
        let Received { event, stored } = received?;
        println!("{}: {event:?}", stored.key.as_deref().unwrap_or("-"));
        if event == Closed {
            break;
        }
    }
    edge.close()
}

#[allow(dead_code, reason = "a test calls run")]
fn main() -> Result<()> {
    run(Path::new("accounts"))
}
