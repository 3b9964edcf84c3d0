//! `gundb peer`

use serde_json::{Value, json};

use crate::command::Context;
use crate::command::peers::file;
use crate::error::{Error, Kind, Result};
use crate::peers::command::{peer, report};
use crate::site::Site;
use crate::site::postgres::Database;

#[derive(Debug, clap::Subcommand)]
pub enum Peer {
    /// Add a peer; a courier's directory is prepared
    Add {
        /// By what it is known here; of a courier, the name of its site
        name: String,
        /// postgres://user@host/database, grpcs://host, file:///directory or exec:command
        url: String,
        /// Streams that are sent there: patterns, as in '*,!audit*'
        #[arg(long, value_delimiter = ',')]
        push: Vec<String>,
        /// Streams that are taken from there
        #[arg(long, value_delimiter = ',')]
        pull: Vec<String>,
        /// Whose events are taken from there
        #[arg(long, value_parser = ["any", "own"])]
        accept: Option<String>,
    },
    /// All peers, and how they are where the daemon runs
    List,
    /// Leave a peer alone
    Pause { name: String },
    /// Go on with one that was left alone
    Resume { name: String },
    /// Drop a peer; what it brought stays
    Drop { name: String },
}

impl Peer {
    pub fn run(self, context: &mut Context) -> Result<()> {
        if let Some(url) = context.url() {
            let database = Database::open(url)?;
            let done = self.at(context, &database);
            return Box::new(database).close().and(done);
        }
        let configuration = file(context, None);
        if !context.store.is_dir() {
            return Err(Error::new(Kind::NotFound, format!("there is no store {}", context.store.display()))
                .hint("Make one: gundb init"));
        }
        let (name, done) = match self {
            Peer::List => return list(context),
            Peer::Add { name, url, push, pull, accept } => {
                let done = peer::add(&configuration, &name, &url, &push, &pull, accept.as_deref())?;
                (name, done)
            }
            Peer::Pause { name } => {
                peer::pause(&configuration, &name, true)?;
                (name, "paused")
            }
            Peer::Resume { name } => {
                peer::pause(&configuration, &name, false)?;
                (name, "resumed")
            }
            Peer::Drop { name } => {
                peer::drop_peer(&configuration, &name)?;
                (name, "dropped")
            }
        };
        tell(context, &name, done)
    }

    /// At a PostgreSQL site.
    fn at(self, context: &mut Context, database: &Database) -> Result<()> {
        let (name, done) = match self {
            Peer::List => return show(context, database.peers()?),
            Peer::Add { name, url, push, pull, accept } => {
                database.add_peer(&name, &url, &push, &pull, accept.as_deref())?;
                (name, "added")
            }
            Peer::Pause { name } => {
                database.pause_peer(&name, true)?;
                (name, "paused")
            }
            Peer::Resume { name } => {
                database.pause_peer(&name, false)?;
                (name, "resumed")
            }
            Peer::Drop { name } => {
                database.drop_peer(&name)?;
                (name, "dropped")
            }
        };
        tell(context, &name, done)
    }
}

fn tell(context: &mut Context, name: &str, done: &str) -> Result<()> {
    context.out.tell(json!({ "peer": name, "done": done }), format!("peer {name} {done}"))
}

fn list(context: &mut Context) -> Result<()> {
    let peers = peer::list(&file(context, None), &context.store.join(report::FILE_NAME))?;
    show(context, peers)
}

fn show(context: &mut Context, peers: Vec<Value>) -> Result<()> {
    if context.out.is_json() {
        return peers.into_iter().try_for_each(|peer| context.out.line(peer));
    }
    let columns = ["name", "way", "push", "pull", "state", "synced", "error"].map(str::to_owned);
    let rows: Vec<Vec<String>> = peers.iter().map(row).collect();
    context.out.aligned(&columns, &rows)
}

fn row(peer: &Value) -> Vec<String> {
    let text = |value: &Value| match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(all) => all.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    };
    let state = match (&peer["paused"], &peer["now"]["state"]) {
        (Value::Bool(true), _) => "paused".to_owned(),
        (_, Value::Null) => "not running".to_owned(),
        (_, state) => text(state),
    };
    let way = if peer["url"].is_null() { "dials in".to_owned() } else { text(&peer["url"]) };
    let now = &peer["now"];
    let cells = [
        text(&peer["name"]),
        way,
        text(&peer["push"]),
        text(&peer["pull"]),
        state,
        text(&now["synced"]),
        text(&now["error"]),
    ];
    cells.to_vec()
}
