//! The command line: a file a command or family.
//!
//! What must always hold here: with `--json` each thing that is told is one JSON document on one line of standard output; what went wrong goes to standard error,
//! with what to do, and the exit code says of what kind it is ([`crate::error::KINDS`]).

mod append;
mod bundle;
mod compact;
mod compare;
mod completions;
mod consume;
mod event;
mod init;
mod manual;
mod output;
mod peer;
mod peers;
mod pending;
mod progress;
mod read;
mod revert;
mod status;
mod stream;
mod view;

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

use crate::command::output::Output;
use crate::error::{Error, Kind, Result};
use crate::site::Site;
use crate::site::postgres::Database;
use crate::store::sound::sound;
use crate::store::{Durability, Edge, Options};

/// Always locally writable event sourcing, in one file or in a PostgreSQL database.
#[derive(Debug, Parser)]
#[command(name = "gundb", version, about, propagate_version = true)]
struct Arguments {
    /// The store: a directory, or a PostgreSQL site, as in postgres://user@host/database
    #[arg(long, global = true, env = "GUNDB_STORE", default_value = "gundb", value_name = "STORE")]
    store: PathBuf,
    /// Answer in JSON, a document a line
    #[arg(long, global = true)]
    json: bool,
    /// When an append is acknowledged: full, on the disk; lazy, before, and a power cut may take the last half second
    #[arg(long, global = true, value_enum, default_value_t = DurabilityArgument::Full, env = "GUNDB_DURABILITY")]
    durability: DurabilityArgument,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum DurabilityArgument {
    Full,
    Lazy,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a store
    Init(init::Init),
    /// Streams: declare, list
    #[command(subcommand)]
    Stream(stream::Stream),
    /// Event types: define, show
    #[command(subcommand)]
    Event(event::Event),
    /// Append events: one by arguments, or many from JSON lines or CSV
    Append(append::Append),
    /// Read a stream's events
    Read(read::Read),
    /// Show a stream's last events, and those to come
    Tail(read::Tail),
    /// Read on as a named, durable consumer
    Consume(consume::Consume),
    /// Take events out of every view, by their ids
    Revert(revert::Revert),
    /// Views: create, show, look back, check
    #[command(subcommand)]
    View(view::View),
    /// Bundles: export, import, look into
    #[command(subcommand)]
    Bundle(bundle::Bundle),
    /// What the store holds
    Status(status::Status),
    /// What is held, as a vector clock
    Clock(status::Clock),
    /// A hash of what is held: equal at two sites that hold the same
    Digest(status::Digest),
    /// Compare two stores, or a store with a clock
    Compare(compare::Compare),
    /// Recompute all chains, to find damage
    Verify(status::Verify),
    /// Give back what the file no longer uses
    Compact(compact::Compact),
    /// What has come and waits
    Pending(pending::Pending),
    /// The daemon: listen, dial peers, run couriers
    Run(peers::Run),
    /// Exchange everything with peers once
    Sync(peers::Sync),
    /// Peers: add, list, pause, resume, drop
    #[command(subcommand)]
    Peer(peer::Peer),
    /// Completions for a shell
    Completions(completions::Completions),
    /// Manual pages, one a command, into a directory
    Manual(manual::Manual),
}

/// What every command is given.
pub struct Context {
    store: PathBuf,
    options: Options,
    out: Output,
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    // What the store makes an error of is told once, as that. The daemon's threads tell of all.
    if !std::env::args_os().any(|word| word == "run") {
        std::panic::set_hook(Box::new(|_| {}));
    }
    ExitCode::from(run_line(std::env::args_os()))
}

/// Runs a command line, the program's name first. Gives its exit code.
pub fn run_line(line: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> u8 {
    let arguments = match Arguments::try_parse_from(line) {
        Ok(arguments) => arguments,
        Err(told) => {
            // Help and the version come this way too.
            let _ = told.print();
            return if told.use_stderr() { Kind::Usage as u8 } else { 0 };
        }
    };
    let durability = match arguments.durability {
        DurabilityArgument::Full => Durability::Full,
        DurabilityArgument::Lazy => Durability::Lazy,
    };
    let options = Options { durability, ..Options::default() };
    let mut context = Context { store: arguments.store, options, out: Output::new(arguments.json) };
    let outcome = sound(|| run(&mut context, arguments.command).and_then(|()| context.out.flush()));
    match outcome {
        Ok(()) => 0,
        // Whoever read has read enough.
        Err(error) if output::is_closed(&error) => 0,
        Err(error) => {
            complain(&error, arguments.json);
            error.kind as u8
        }
    }
}

fn run(context: &mut Context, command: Command) -> Result<()> {
    match command {
        Command::Init(command) => command.run(context),
        Command::Stream(command) => command.run(context),
        Command::Event(command) => command.run(context),
        Command::Append(command) => command.run(context),
        Command::Read(command) => command.run(context),
        Command::Tail(command) => command.run(context),
        Command::Consume(command) => command.run(context),
        Command::Revert(command) => command.run(context),
        Command::View(command) => command.run(context),
        Command::Bundle(command) => command.run(context),
        Command::Status(command) => command.run(context),
        Command::Clock(command) => command.run(context),
        Command::Digest(command) => command.run(context),
        Command::Compare(command) => command.run(context),
        Command::Verify(command) => command.run(context),
        Command::Compact(command) => command.run(context),
        Command::Pending(command) => command.run(context),
        Command::Run(command) => command.run(context),
        Command::Sync(command) => command.run(context),
        Command::Peer(command) => command.run(context),
        Command::Completions(command) => command.run(context),
        Command::Manual(command) => command.run(context),
    }
}

impl Context {
    /// The store in a directory, to write to.
    fn open(&self) -> Result<Edge> {
        Edge::open(&self.store, self.options)
    }

    /// The store's URL, where it is a PostgreSQL site.
    fn url(&self) -> Option<&str> {
        self.store.to_str().filter(|store| store.contains("://"))
    }

    /// The store, to write to.
    fn site(&self) -> Result<Box<dyn Site>> {
        match self.url() {
            Some(url) => Ok(Box::new(Database::open(url)?)),
            None => Ok(Box::new(self.open()?)),
        }
    }

    /// The store, to read: beside one that writes.
    fn read(&self) -> Result<Box<dyn Site>> {
        self.read_other(&self.store)
    }

    /// Another store, to read.
    fn read_other(&self, store: &Path) -> Result<Box<dyn Site>> {
        match store.to_str().filter(|store| store.contains("://")) {
            Some(url) => Ok(Box::new(Database::open(url)?)),
            None => Ok(Box::new(Edge::open_to_read(store, self.options)?)),
        }
    }
}

fn complain(error: &Error, json: bool) {
    let text = if json {
        let document = serde_json::json!({
            "error": error.message, "hint": error.hint, "kind": format!("{:?}", error.kind).to_lowercase(), "code": error.kind as u8,
            "sqlstate": error.sqlstate,
        });
        document.to_string()
    } else {
        let state = error.sqlstate.as_ref().map(|state| format!(" (SQLSTATE {state})")).unwrap_or_default();
        let hint = error.hint.as_ref().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
        format!("gundb: {}{state}{hint}", error.message)
    };
    // There is nobody left to be told.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// The text of a file, or of standard input where it is `-`.
fn text_of(file: &Path) -> Result<String> {
    let at_file = |error: std::io::Error| {
        let kind = if error.kind() == std::io::ErrorKind::NotFound { Kind::NotFound } else { Kind::Storage };
        Error::new(kind, format!("{}: {error}", file.display()))
    };
    if file == Path::new("-") { std::io::read_to_string(std::io::stdin()) } else { std::fs::read_to_string(file) }
        .map_err(at_file)
}

/// A clock as people write it.
fn parse_clock(text: &str) -> Result<gundb_core::Clock, String> {
    text.parse().map_err(|why: gundb_core::ClockTextError| why.to_string())
}
