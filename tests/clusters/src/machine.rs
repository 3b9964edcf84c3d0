//! What processes see of their machine: its clock, which may be off by any time, and its disk, which may fail to keep what
//! it is told to. A small library in front of the C library (`machine.c`) does it, built at the first use.

use crate::postgres::run;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use tempfile::TempDir;

/// A machine, as those see it who are started with its [`environment`](Machine::environment).
pub struct Machine {
    directory: TempDir,
    wishes: File,
}

/// The library, in a directory that goes when the test ends.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<TempDir> = OnceLock::new();
    LIBRARY
        .get_or_init(|| {
            let directory = open_to_all("gundb-machine-");
            let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src/machine.c");
            let library = directory.path().join("machine.so");
            run(Command::new("cc").args(["-O2", "-Wall", "-shared", "-fPIC", source, "-o"]).arg(&library));
            directory
        })
        .path()
}

/// A directory that the servers' user can read.
fn open_to_all(prefix: &str) -> TempDir {
    let directory = tempfile::Builder::new().prefix(prefix).tempdir().expect("a temporary directory");
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).expect("its rights");
    directory
}

impl Machine {
    /// One whose clock is right and whose disk keeps everything.
    pub fn new() -> Machine {
        let directory = open_to_all("gundb-wishes-");
        let path = directory.path().join("wishes");
        fs::write(&path, [0; 16]).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).expect("its rights");
        let wishes = File::options().read(true).write(true).open(&path).expect("the file");
        Machine { directory, wishes }
    }

    /// What a process is started with.
    pub fn environment(&self) -> [(&'static str, String); 2] {
        let text = |path: &Path| path.display().to_string();
        [
            ("LD_PRELOAD", text(&library().join("machine.so"))),
            ("GUNDB_MACHINE", text(&self.directory.path().join("wishes"))),
        ]
    }

    /// From now on the clock is that many seconds ahead, or behind.
    pub fn set_clock(&self, seconds_ahead: i64) {
        self.wish(0, seconds_ahead);
    }

    /// The next calls that bring data to the disk fail, that many.
    pub fn fail_syncs(&self, calls: i64) {
        self.wish(8, calls);
    }

    /// How many such calls are yet to fail.
    pub fn failing_syncs(&self) -> i64 {
        let mut bytes = [0; 8];
        self.wishes.read_exact_at(&mut bytes, 8).expect("the wishes");
        i64::from_ne_bytes(bytes).max(0)
    }

    fn wish(&self, at: u64, value: i64) {
        self.wishes.write_all_at(&value.to_ne_bytes(), at).expect("a wish");
    }
}

impl Default for Machine {
    fn default() -> Machine {
        Machine::new()
    }
}
