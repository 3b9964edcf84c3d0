//! An installed PostgreSQL with gundb in it, and running its programs as the user that servers run as.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::{env, fmt, fs};

/// A PostgreSQL tree: programs in `bin/`, gundb installed.
#[derive(Clone, Debug)]
pub struct Postgres {
    version: u32,
    tree: PathBuf,
}

impl Postgres {
    /// PostgreSQL 15: `GUNDB_PG15`, or the private tree of this checkout.
    pub fn fifteen() -> Postgres {
        Postgres::find(15).expect("GUNDB_PG15 names a PostgreSQL 15 with gundb, or `make setup extension-15` made one")
    }

    /// Every version that is there: 15, and 18 if `GUNDB_PG18` names one.
    pub fn all() -> Vec<Postgres> {
        let mut all = vec![Postgres::fifteen()];
        all.extend(env::var_os("GUNDB_PG18").and_then(|_| Postgres::find(18)));
        all
    }

    fn find(version: u32) -> Option<Postgres> {
        let private = || Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../target/pg/{version}"));
        let tree = env::var_os(format!("GUNDB_PG{version}")).map_or_else(private, PathBuf::from);
        let tree = fs::canonicalize(tree).ok()?;
        tree.join("bin/postgres").exists().then_some(Postgres { version, tree })
    }

    pub fn version(&self) -> u32 {
        self.version
    }

    /// A program of this PostgreSQL.
    pub fn program(&self, name: &str) -> Command {
        as_server_user(self.path(name))
    }

    /// Where a program is.
    pub fn path(&self, name: &str) -> PathBuf {
        self.tree.join("bin").join(name)
    }
}

impl fmt::Display for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgreSQL {}", self.version)
    }
}

/// PostgreSQL refuses root, so as root its programs run as the user postgres. Backtraces would change messages.
pub fn as_server_user(program: impl AsRef<OsStr>) -> Command {
    let mut command = if rustix::process::geteuid().is_root() {
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    command.env_remove("RUST_BACKTRACE").env("LC_ALL", "C.UTF-8").env("PGTZ", "UTC").current_dir("/");
    command
}

/// Runs a command to its end.
pub fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}
