//! `gundb run` as a process of its own: started, told to stop, killed.

use crate::machine::Machine;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{OnceLock, mpsc};
use std::time::{Duration, Instant};

/// However slow the machine is, a daemon begins and ends within this time.
const PATIENCE: Duration = Duration::from_secs(60);

/// A daemon. It is killed at the latest with the test.
pub struct Daemon {
    child: Child,
    /// What it says.
    lines: mpsc::Receiver<String>,
}

/// The program, as it is now: built at the first use.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let built = Command::new(env!("CARGO")).args(["build", "-q", "-p", "gundb-node"]).status().expect("cargo");
        assert!(built.success(), "gundb cannot be built");
        let test = std::env::current_exe().expect("this program's path");
        let program = test.parent().and_then(Path::parent).expect("the target directory").join("gundb");
        assert!(program.exists(), "{} is not there", program.display());
        program
    })
}

/// A command over a store, which may be the URL of a database.
pub fn command(store: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.args(["--store", store]).args(arguments);
    command
}

/// Runs a command to its end.
pub fn output(store: &str, arguments: &[&str]) -> Output {
    command(store, arguments).output().expect("gundb")
}

impl Daemon {
    /// Begins, and says that it runs.
    pub fn start(store: &str, arguments: &[&str]) -> Daemon {
        Daemon::begin(command(store, &[&["run"], arguments].concat()))
    }

    /// The same on a machine whose clock and disk may be wrong. While its disk fails it cannot begin, and it is tried again.
    pub fn on(machine: &Machine, store: &str) -> Daemon {
        let until = Instant::now() + PATIENCE;
        loop {
            let mut command = command(store, &["run"]);
            command.envs(machine.environment());
            match Daemon::try_begin(command) {
                Ok(daemon) => return daemon,
                Err(said) => assert!(said.contains("Input/output error") && Instant::now() < until, "{said}"),
            }
        }
    }

    fn begin(command: Command) -> Daemon {
        Daemon::try_begin(command).unwrap_or_else(|said| panic!("gundb run does not begin: {said}"))
    }

    /// Or what it said before it ended.
    fn try_begin(mut command: Command) -> Result<Daemon, String> {
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().expect("gundb run");
        let (tell, lines) = mpsc::channel();
        let errors = BufReader::new(child.stderr.take().expect("its errors"));
        std::thread::spawn(move || errors.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
        let daemon = Daemon { child, lines };
        match daemon.hear("running") {
            Ok(_) => Ok(daemon),
            Err(said) => Err(said),
        }
    }

    /// Waits for a line that holds this.
    pub fn until_says(&self, what: &str) -> String {
        self.hear(what).unwrap_or_else(|said| panic!("\"{what}\" is not said, but {said}"))
    }

    /// A line that holds this, or what was said instead.
    fn hear(&self, what: &str) -> Result<String, String> {
        let (until, mut said) = (Instant::now() + PATIENCE, String::new());
        loop {
            match self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) if line.contains(what) => return Ok(line),
                Ok(line) => {
                    println!("{line}");
                    said += &format!("{line}\n");
                }
                Err(error) => return Err(format!("{said}{error}")),
            }
        }
    }

    /// Ends it kindly, and looks that it ended well and soon.
    pub fn stop(self) {
        let took = self.end();
        assert!(took < Duration::from_secs(12), "{took:?}");
    }

    /// Ends it kindly, however long that takes, and says how long it took: a peer that has fallen silent is waited for.
    pub fn end(mut self) -> Duration {
        let begun = Instant::now();
        let id = self.child.id().to_string();
        assert!(Command::new("kill").arg(id).status().expect("kill").success());
        let status = self.child.wait().expect("its end");
        assert!(status.success(), "{status}");
        begun.elapsed()
    }

    /// Ends it as a power failure does.
    pub fn kill(mut self) {
        self.child.kill().expect("kill");
        self.child.wait().expect("its end");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.lines.try_iter().for_each(|line| println!("{line}"));
    }
}
