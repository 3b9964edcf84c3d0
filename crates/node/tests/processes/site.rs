//! A store in a directory, and the processes that work on it.

use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

pub struct Site {
    pub directory: PathBuf,
}

/// A daemon. It is killed at the latest with the test.
pub struct Daemon {
    child: Child,
    /// What it says.
    lines: mpsc::Receiver<String>,
    pub port: Option<u16>,
}

impl Site {
    /// A store with one stream, made by whoever is first.
    pub fn new(root: &Path, name: &str, streams: &[&str]) -> Site {
        let site = Site { directory: root.join(name) };
        site.says(&["init", "--name", name]);
        for stream in streams {
            site.says(&["stream", "create", stream]);
        }
        site
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gundb"));
        command.arg("--store").arg(&self.directory).args(arguments);
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// What a command that must succeed says.
    pub fn says(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(
            output.status.success(),
            "{arguments:?}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// The code and the complaint of one that must not.
    pub fn fails(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.run(arguments);
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    }

    /// Appends so many events.
    pub fn append(&self, stream: &str, count: usize) {
        let lines: String = (0..count)
            .map(|at| format!("{{\"type\": \"Measured\", \"key\": \"k{}\", \"data\": {{\"n\": {at}}}}}\n", at % 7))
            .collect();
        let path = self.directory.join("lines");
        fs::write(&path, lines).unwrap();
        self.says(&["append", stream, "--lines", path.to_str().unwrap()]);
    }

    pub fn digest(&self) -> String {
        self.says(&["digest"])
    }

    pub fn clock(&self) -> String {
        self.says(&["clock"])
    }

    pub fn configure(&self, text: &str) {
        fs::write(self.directory.join("gundb.toml"), format!("reconnect_max = 1\nkeep_alive = 2\n{text}")).unwrap();
    }

    pub fn start(&self) -> Daemon {
        let mut child = self.command(&["run"]).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let (tell, lines) = mpsc::channel();
        let errors = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || errors.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
        let mut daemon = Daemon { child, lines, port: None };
        let line = daemon.until_says("running");
        daemon.port = line.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        daemon
    }

    /// How a daemon says that a peer is.
    pub fn peer(&self, name: &str) -> Value {
        let list = self.says(&["--json", "peer", "list"]);
        let mut peers = list.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        peers.find(|peer| peer["name"] == name).unwrap_or_else(|| panic!("no peer {name} in {list}"))
    }
}

impl Daemon {
    /// Waits for a line that holds this.
    pub fn until_says(&mut self, what: &str) -> String {
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            let line = self.lines.recv_timeout(until.saturating_duration_since(Instant::now()));
            match line {
                Ok(line) if line.contains(what) => return line,
                Ok(line) => println!("{line}"),
                Err(error) => panic!("\"{what}\" is not said: {error}"),
            }
        }
    }

    /// Ends it kindly, and looks that it ended well and soon.
    pub fn stop(mut self) {
        let begun = Instant::now();
        assert!(Command::new("kill").arg(self.child.id().to_string()).status().unwrap().success());
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}");
        assert!(begun.elapsed() < Duration::from_secs(10));
    }

    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn hang_up(&self) {
        assert!(Command::new("kill").args(["-HUP", &self.child.id().to_string()]).status().unwrap().success());
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(40), "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A file with a token.
pub fn token(root: &Path, name: &str) -> PathBuf {
    let path = root.join(format!("{name}.token"));
    fs::write(&path, token_of(name)).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

pub fn token_of(name: &str) -> String {
    format!("the-token-of-the-site-{name}")
}
