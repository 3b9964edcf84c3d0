//! `gundb run`, `sync`

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use gundb_core::store::Store;

use crate::command::{Context, output::Output};
use crate::error::{Error, Kind, Result};
use crate::peers::application::Counter;
use crate::peers::command::{CommandError, report, run, site, sync};
use crate::peers::config::{self, Config};
use crate::peers::served::daemon::ServedError;
use crate::store::Edge;

/// The daemon: listens, dials peers, runs couriers
#[derive(Debug, clap::Args)]
pub struct Run {
    /// Another configuration than gundb.toml in the store
    #[arg(long, value_name = "FILE", env = "GUNDB_CONFIG")]
    config: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub struct Sync {
    /// Exchange everything once, and end
    #[arg(long, required = true)]
    once: bool,
    /// With these peers; without any, with all that are not paused
    peers: Vec<String>,
    /// How many seconds each may take
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    timeout: u64,
    /// Another configuration than gundb.toml in the store
    #[arg(long, value_name = "FILE", env = "GUNDB_CONFIG")]
    config: Option<PathBuf>,
}

/// The configuration: the one that was given, or that in the store.
pub fn file(context: &Context, given: Option<PathBuf>) -> PathBuf {
    given.unwrap_or_else(|| context.store.join(config::FILE_NAME))
}

/// The URL of a PostgreSQL site, where the store is one.
fn database(context: &Context) -> Option<String> {
    let store = context.store.to_string_lossy();
    store.contains("://").then(|| store.into_owned())
}

impl Run {
    pub fn run(self, context: &mut Context) -> Result<()> {
        if let Some(url) = database(context) {
            let ready = |address| match address {
                Some(address) => eprintln!("gundb: running, and listening at {address}"),
                None => eprintln!("gundb: running"),
            };
            return Ok(site::run(&url, Edge::limits(), self.config.as_deref(), ready)?);
        }
        let edge = Arc::new(context.open()?);
        let (configuration, report) = (file(context, self.config), context.store.join(report::FILE_NAME));
        let served = Arc::clone(&edge);
        let serve = move |daemon: &crate::peers::daemon::Daemon| {
            Some(Arc::new(Counter::new(served, Arc::clone(daemon.door()), daemon.states().clone(), daemon.news())))
        };
        let ready = |daemon: &crate::peers::daemon::Daemon| match daemon.address() {
            Some(address) => eprintln!("gundb: running, and listening at {address}"),
            None => eprintln!("gundb: running"),
        };
        let store: Arc<dyn Store> = Arc::clone(&edge) as Arc<dyn Store>;
        run::run(store, Edge::limits(), &configuration, &report, serve, ready)?;
        Arc::into_inner(edge).map_or(Ok(()), Edge::close)
    }
}

impl Sync {
    pub fn run(self, context: &mut Context) -> Result<()> {
        let timeout = Duration::from_secs(self.timeout);
        let mut told = Ok(());
        if let Some(url) = database(context) {
            let synced = site::sync_once(&url, Edge::limits(), &self.peers, timeout, |outcome| {
                tell(&mut context.out, &mut told, outcome);
            });
            told?;
            return Ok(synced?);
        }
        let configuration = Config::read(&file(context, self.config)).map_err(CommandError::from)?;
        let edge = Arc::new(context.open()?);
        let store: Arc<dyn Store> = Arc::clone(&edge) as Arc<dyn Store>;
        let synced = sync::sync_once(&store, Edge::limits(), &configuration, &self.peers, timeout, |outcome| {
            tell(&mut context.out, &mut told, outcome);
        });
        drop(store);
        Arc::into_inner(edge).map_or(Ok(()), Edge::close)?;
        told?;
        Ok(synced?)
    }
}

fn tell(out: &mut Output, told: &mut Result<()>, outcome: &sync::Outcome) {
    if told.is_ok() {
        *told = out.tell(outcome.details.clone(), format!("{}: {}", outcome.peer, outcome.said));
    }
}

impl From<CommandError> for Error {
    fn from(error: CommandError) -> Error {
        let (message, hint) = (error.to_string(), error.hint());
        let kind = match error {
            CommandError::Store(error) => return error.into(),
            CommandError::Config(_) => Kind::Invalid,
            CommandError::Daemon(crate::peers::daemon::DaemonError::Config(_)) => Kind::Invalid,
            CommandError::Unsynced { .. } => Kind::Differs,
            CommandError::Served(ServedError::Busy) => Kind::Busy,
            CommandError::Daemon(_)
            | CommandError::Served(_)
            | CommandError::Courier(_)
            | CommandError::Deaf { .. } => Kind::Storage,
        };
        Error { hint, ..Error::new(kind, message) }
    }
}
