//! One server: made, started, stopped, killed, copied.
//!
//! It listens on a socket in its own directory and nowhere else, so no port is taken, unless it is started to listen on one. fsync is off: what dies here is
//! processes, and the kernel keeps what they wrote.

use crate::machine::Machine;
use crate::postgres::{Postgres, as_server_user, run};
use crate::session::Session;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long a server may take to start or stop.
const PATIENCE: Duration = Duration::from_secs(60);
/// Address space of a server's process, in bytes: one that goes mad must not take the machine with it.
const MEMORY_MAX: u64 = 8 << 30;
/// Lines of the log that a failed test prints.
const LOG_TAIL: usize = 40;

/// How to stop a server.
#[derive(Clone, Copy)]
pub enum Stop {
    Fast,
    /// Without a checkpoint, as after a power failure that the kernel survived.
    Immediate,
}

/// A server with a home of its own, which goes with it.
pub struct Cluster {
    postgres: Postgres,
    home: TempDir,
    /// The port of 127.0.0.1 on which it listens too.
    port: Option<u16>,
    /// What it sees of its machine, if not the truth.
    machine: Option<Arc<Machine>>,
}

impl Cluster {
    /// A new server, gundb preloaded, with these settings.
    pub fn start(postgres: &Postgres, settings: &[(&str, &str)]) -> Cluster {
        Cluster::empty(postgres).begun(settings)
    }

    /// The same on a machine whose clock and disk may be wrong; it tells its disk to keep what it writes.
    pub fn on(machine: Arc<Machine>, postgres: &Postgres, settings: &[(&str, &str)]) -> Cluster {
        let mut cluster = Cluster::empty(postgres);
        cluster.machine = Some(machine);
        cluster.begun(&[settings, &[("fsync", "on")]].concat())
    }

    /// The same, listening on a free port of 127.0.0.1 too.
    pub fn listening(postgres: &Postgres, settings: &[(&str, &str)]) -> Cluster {
        let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let mut cluster = Cluster::empty(postgres);
        cluster.port = Some(free.expect("a free port").port());
        cluster.begun(settings)
    }

    fn begun(self, settings: &[(&str, &str)]) -> Cluster {
        let cluster = self;
        run(cluster.postgres.program("initdb").arg("-D").arg(cluster.data()).args([
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C.UTF-8",
            "--no-sync",
        ]));
        let base = [("shared_preload_libraries", "gundb"), ("fsync", "off"), ("log_line_prefix", "%m [%p] %d ")];
        let lines: String = base.iter().chain(settings).map(|(name, value)| format!("{name} = '{value}'\n")).collect();
        cluster.configure(&lines);
        cluster.launch();
        cluster
    }

    /// A home without a data directory.
    fn empty(postgres: &Postgres) -> Cluster {
        let home = tempfile::Builder::new().prefix("gundb-").tempdir().expect("a temporary directory");
        give_to_server_user(home.path());
        Cluster { postgres: postgres.clone(), home, port: None, machine: None }
    }

    pub fn data(&self) -> PathBuf {
        self.home.path().join("data")
    }

    /// A directory that the server's user can write to and that goes with the cluster.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// The port of its socket, and of 127.0.0.1 if it listens there.
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(5432)
    }

    pub fn postgres(&self) -> &Postgres {
        &self.postgres
    }

    /// Adds lines to the configuration, which the next start reads.
    pub fn configure(&self, lines: &str) {
        let path = self.data().join("postgresql.conf");
        let before = fs::read_to_string(&path).expect("postgresql.conf");
        fs::write(path, format!("{before}\n{lines}")).expect("postgresql.conf");
    }

    /// Starts the server of the data directory.
    ///
    /// After its predecessor was killed, backends may outlive it by a moment; until they are gone no other can start.
    pub fn launch(&self) {
        let until = Instant::now() + PATIENCE;
        loop {
            let address = if self.port.is_some() { "127.0.0.1" } else { "" };
            let socket = format!(
                "-c listen_addresses='{address}' -c unix_socket_directories='{}' -p {}",
                self.home().display(),
                self.port()
            );
            let started = self.pg_ctl("start").args(["-o", &socket, "-l"]).arg(self.log()).status().expect("pg_ctl");
            if started.success() {
                return;
            }
            let in_use = self.log_tail(5).contains("is still in use");
            assert!(
                in_use && Instant::now() < until,
                "the server did not start:\n{}\n{}",
                self.log_tail(LOG_TAIL),
                self.processes()
            );
            sleep(Duration::from_millis(50));
        }
    }

    pub fn stop(&self, mode: Stop) {
        let mode = match mode {
            Stop::Fast => "fast",
            Stop::Immediate => "immediate",
        };
        run(self.pg_ctl("stop").args(["-m", mode]));
    }

    pub fn restart(&self) {
        self.stop(Stop::Fast);
        self.launch();
    }

    /// Makes a standby a server of its own.
    pub fn promote(&self) {
        run(&mut self.pg_ctl("promote"));
    }

    /// Kills the postmaster, as `kill -9` does, and waits until it is gone.
    pub fn kill(&self) {
        let Some(postmaster) = self.postmaster() else { panic!("no server is running") };
        kill(postmaster);
        let until = Instant::now() + PATIENCE;
        while test_kill_process(postmaster).is_ok() {
            assert!(Instant::now() < until, "the killed postmaster does not die");
            sleep(Duration::from_millis(1));
        }
    }

    pub fn is_running(&self) -> bool {
        self.postmaster().is_some_and(|postmaster| test_kill_process(postmaster).is_ok())
    }

    /// The postmaster of this data directory.
    fn postmaster(&self) -> Option<Pid> {
        let file = fs::read_to_string(self.data().join("postmaster.pid")).ok()?;
        Pid::from_raw(file.lines().next()?.trim().parse().ok()?)
    }

    /// The processes that work in this data directory, and where each of them stands, as far as the machine tells.
    fn processes(&self) -> String {
        let mut told = String::new();
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let path = entry.path();
            if fs::read_link(path.join("cwd")).is_ok_and(|cwd| cwd == self.data()) {
                let title = fs::read(path.join("cmdline")).unwrap_or_default();
                let pid = entry.file_name();
                let stack =
                    Command::new("gdb").args(["-p".as_ref(), pid.as_os_str()]).args(["-batch", "-ex", "bt"]).output();
                let stack = stack.map(|output| output.stdout).unwrap_or_default();
                told += &format!(
                    "process {pid:?}: {}\n{}\n",
                    String::from_utf8_lossy(&title).replace('\0', " "),
                    String::from_utf8_lossy(&stack)
                );
            }
        }
        told
    }

    fn pg_ctl(&self, action: &str) -> Command {
        let mut command = as_server_user("prlimit");
        command.arg(format!("--as={MEMORY_MAX}")).arg("--").arg(self.postgres.path("pg_ctl"));
        command.arg(action).arg("-D").arg(self.data()).args(["-w", "-s", "-t", "60"]);
        command
            .envs(self.machine.iter().flat_map(|machine| machine.environment()))
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null());
        command
    }

    /// A client program of this PostgreSQL, pointed at this server.
    pub fn client(&self, program: &str) -> Command {
        let mut command = self.postgres.program(program);
        command
            .env("PGHOST", self.home())
            .env("PGUSER", "postgres")
            .env("PGDATABASE", "postgres")
            .env("PGPORT", self.port().to_string());
        command
    }

    /// A session in a database; waits for a server that is coming back from a crash.
    pub async fn connect(&self, database: &str) -> Session {
        let until = Instant::now() + PATIENCE;
        loop {
            match self.try_connect(database).await {
                Ok(session) => return session,
                Err(failure) if failure.is_crash() && Instant::now() < until => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(failure) => panic!("connecting to {database}: {failure}"),
            }
        }
    }

    pub async fn try_connect(&self, database: &str) -> crate::session::Result<Session> {
        Session::connect(self.home(), self.port(), database).await
    }

    /// A session in a new database that has the extension.
    pub async fn database(&self, name: &str) -> Session {
        self.connect("postgres").await.run(&format!("CREATE DATABASE \"{name}\"")).await;
        let session = self.connect(name).await;
        session.run("CREATE EXTENSION gundb").await;
        session
    }

    /// A copy of the data directory of this server, which must be stopped.
    pub fn copy_stopped(&self) -> Cluster {
        assert!(self.postmaster().is_none(), "the server must be stopped before its directory is copied");
        let copy = Cluster::empty(&self.postgres);
        run(as_server_user("cp").arg("-a").arg(self.data()).arg(copy.data()));
        copy
    }

    /// A base backup of this running server, not started. `arguments` go to pg_basebackup.
    pub fn base_backup(&self, arguments: &[&str]) -> Cluster {
        let copy = Cluster::empty(&self.postgres);
        run(self.client("pg_basebackup").arg("-D").arg(copy.data()).args(["-c", "fast", "--no-sync"]).args(arguments));
        copy
    }

    /// Puts a copy of the data directory, which no server uses, in the place of this server's, which must be stopped.
    pub fn put_back(&self, copy: Cluster) {
        for cluster in [self, &copy] {
            assert!(cluster.postmaster().is_none(), "a server must be stopped before its directory is changed");
        }
        fs::remove_dir_all(self.data()).expect("the data directory");
        fs::rename(copy.data(), self.data()).expect("the copy's data directory");
    }

    fn log(&self) -> PathBuf {
        self.home().join("log")
    }

    /// The last lines of the server's log.
    pub fn log_tail(&self, lines: usize) -> String {
        let log = fs::read(self.log()).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let all: Vec<&str> = log.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }

    /// The first line of the server's log that holds a word, and the two that follow.
    pub fn log_at(&self, word: &str) -> String {
        let log = fs::read(self.log()).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().skip_while(|line| !line.contains(word)).take(3).collect();
        lines.join("\n")
    }

    /// What the log tells of a crash that nobody caused. PostgreSQL ends itself when its disk does not keep what it is told to.
    pub fn own_crash(&self) -> Option<String> {
        let log = fs::read(self.log()).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lost = |line: &&str| line.contains("PANIC") && line.contains("Input/output error");
        let aborted = self.log_count("terminated by signal 6");
        let what = if self.log_count("terminated by signal 11") > 0 {
            "terminated by signal 11"
        } else if log.lines().any(|line| line.contains("PANIC") && !lost(&line)) {
            "PANIC"
        } else if aborted > log.lines().filter(lost).count() {
            "terminated by signal 6"
        } else {
            return None;
        };
        Some(self.log_at(what))
    }

    /// How often a word stands in the server's log.
    pub fn log_count(&self, word: &str) -> usize {
        let log = fs::read(self.log()).unwrap_or_default();
        String::from_utf8_lossy(&log).matches(word).count()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the end of the log of {} ---\n{}", self.postgres, self.log_tail(LOG_TAIL));
        }
        if self.postmaster().is_some() {
            // Its home goes now, so a server that is half dead already is as good as stopped.
            let _ = self.pg_ctl("stop").args(["-m", "immediate"]).status();
        }
    }
}

/// Sends SIGKILL to a process of a server that this program started.
pub fn kill(process: Pid) {
    // It may have ended by itself meanwhile.
    let _ = kill_process(process, Signal::KILL);
}

pub(crate) fn give_to_server_user(directory: &Path) {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let id = |option| -> u32 {
        let output = run(Command::new("id").args([option, "postgres"]));
        String::from_utf8_lossy(&output.stdout).trim().parse().expect("id prints a number")
    };
    std::os::unix::fs::chown(directory, Some(id("-u")), Some(id("-g"))).expect("chown");
    assert!(fs::metadata(directory).is_ok_and(|metadata| metadata.uid() != 0));
}
