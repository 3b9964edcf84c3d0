//! What a machine may do to a store: a damaged file, a full disk, one that cannot be written, a clock that stands at 1970.

mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::{fs, panic};

use gundb_core::Clock;
use gundb_node::{Edge, Kind, Options, Result};
use support::{Random, create, every_fold, seed, something};
use tempfile::{TempDir, tempdir};

fn gundb(store: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gundb"));
    command.arg("--store").arg(store).args(words);
    command
}

/// The code with which it ends, and what it complains of.
fn ended(output: &Output) -> (i32, String) {
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn says(mut command: Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {:?}", ended(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// Everything that is asked of a store, in a file that may say anything.
fn use_all(directory: &Path, random: &mut Random) -> Result<()> {
    let edge = Edge::open(directory, Options::default())?;
    edge.read_stream("s", &Clock::new(), usize::MAX)?;
    edge.verify()?;
    edge.view_rows("v", None)?;
    edge.check_view("v")?;
    edge.append(vec![something(random, "s")], None)?;
    edge.rebuild_view("v")?;
    edge.digest(None)?;
    edge.close()
}

#[test]
fn a_file_that_is_damaged_anywhere_is_told_or_right_and_ends_no_process() {
    let mut random = Random(seed());
    let directory = tempdir().unwrap();
    let edge = create(directory.path(), "a");
    edge.create_stream("s", false).unwrap();
    edge.create_view("v", every_fold("s")).unwrap();
    for _ in 0..20 {
        edge.append((0..5).map(|_| something(&mut random, "s")).collect(), None).unwrap();
    }
    edge.close().unwrap();
    let file = directory.path().join("gundb.redb");
    let whole = fs::read(&file).unwrap();
    let mut told = 0;
    for turn in 0..60 {
        let mut bytes = whole.clone();
        let at = random.below(bytes.len() as u64) as usize;
        match turn % 3 {
            // A bit, a sector of zeros, a file that ends early.
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at..].iter_mut().take(512).for_each(|byte| *byte = 0),
            _ => bytes.truncate(at),
        }
        fs::write(&file, &bytes).unwrap();
        let outcome = panic::catch_unwind(panic::AssertUnwindSafe(|| use_all(directory.path(), &mut random)));
        match outcome {
            Err(_) => panic!("turn {turn} at {at}: a panic"),
            Ok(Err(why)) => {
                told += 1;
                assert!(
                    matches!(why.kind, Kind::Damaged | Kind::Storage),
                    "turn {turn} at {at}: {:?}: {why}",
                    why.kind
                );
            }
            Ok(Ok(())) => {}
        }
    }
    assert!(told > 0);
}

struct Mounted(TempDir);

impl Mounted {
    /// A file system of so many bytes. None where nothing can be mounted.
    fn new(size: &str) -> Option<Mounted> {
        let directory = tempdir().unwrap();
        let size = format!("size={size}");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(directory.path()).output();
        if !mount.is_ok_and(|mount| mount.status.success()) {
            println!("skipped: a file system cannot be mounted here");
            return None;
        }
        Some(Mounted(directory))
    }

    fn store(&self) -> PathBuf {
        self.0.path().join("store")
    }

    fn again(&self, options: &str) {
        let status = Command::new("mount").args(["-o", &format!("remount,{options}")]).arg(self.0.path()).status();
        assert!(status.unwrap().success());
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
fn a_disk_that_cannot_be_written_is_told_and_can_be_read() {
    let Some(disk) = Mounted::new("16m") else { return };
    let store = disk.store();
    says(gundb(&store, &["init", "--name", "boat"]));
    says(gundb(&store, &["stream", "create", "s"]));
    says(gundb(&store, &["append", "s", "A", "--key", "k"]));
    disk.again("ro");
    for words in [["append", "s", "B"].as_slice(), &["stream", "create", "t"], &["compact"]] {
        let (code, complaint) = ended(&gundb(&store, words).output().unwrap());
        assert_eq!(code, 7, "{words:?}: {complaint}");
        assert!(complaint.contains("read-only"), "{words:?}: {complaint}");
    }
    assert_eq!(says(gundb(&store, &["--json", "read", "s"])).lines().count(), 1);
    says(gundb(&store, &["verify"]));
    disk.again("rw");
    says(gundb(&store, &["append", "s", "B"]));
    assert_eq!(says(gundb(&store, &["--json", "read", "s"])).lines().count(), 2);
}

#[test]
fn a_full_disk_is_told_and_what_was_acknowledged_is_there() {
    let Some(disk) = Mounted::new("6m") else { return };
    let store = disk.store();
    says(gundb(&store, &["init", "--name", "boat"]));
    says(gundb(&store, &["stream", "create", "s"]));
    let lines = tempdir().unwrap();
    let lines = lines.path().join("lines");
    let line = format!("{{\"type\": \"A\", \"data\": \"{}\"}}\n", "x".repeat(500));
    fs::write(&lines, line.repeat(20_000)).unwrap();
    let append = ["--json", "append", "s", "--batch", "100", "--lines", lines.to_str().unwrap()];
    let output = gundb(&store, &append).output().unwrap();
    let (code, complaint) = ended(&output);
    assert_eq!(code, 7, "{complaint}");
    assert!(complaint.contains("Free some space"), "{complaint}");
    let acknowledged = String::from_utf8(output.stdout).unwrap().lines().count();
    let held = says(gundb(&store, &["--json", "read", "s"])).lines().count();
    assert!(acknowledged > 0 && held >= acknowledged, "{acknowledged} {held}");
    disk.again("size=32m");
    says(gundb(&store, &["append", "s", "B"]));
    says(gundb(&store, &["verify"]));
    assert_eq!(says(gundb(&store, &["--json", "read", "s"])).lines().count(), held + 1);
}

/// The clock of the wall, where the program asks for it.
const CLOCK: &str = r#"
#define _GNU_SOURCE
#include <time.h>
#include <unistd.h>
#include <sys/syscall.h>
int clock_gettime(clockid_t id, struct timespec *now) {
    int answer = syscall(SYS_clock_gettime, id, now);
    if (answer == 0 && id == CLOCK_REALTIME) now->tv_sec %= 1000;
    return answer;
}
"#;

#[test]
fn a_clock_at_1970_loses_nothing_and_its_stamps_go_on_ascending() {
    let directory = tempdir().unwrap();
    let (source, library) = (directory.path().join("clock.c"), directory.path().join("clock.so"));
    fs::write(&source, CLOCK).unwrap();
    let compiled = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).status();
    if !compiled.is_ok_and(|status| status.success()) {
        println!("skipped: there is no C compiler");
        return;
    }
    fs::set_permissions(&library, fs::Permissions::from_mode(0o755)).unwrap();
    let in_1970 = |store: &Path, words: &[&str]| {
        let mut command = gundb(store, words);
        command.env("LD_PRELOAD", &library);
        says(command)
    };
    let stamps = |store: &Path| -> Vec<String> {
        let events = says(gundb(store, &["--json", "read", "s"]));
        let event = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
        events.lines().map(|line| event(line)["hlc"].as_str().unwrap().to_owned()).collect()
    };
    let (boat, shore) = (directory.path().join("boat"), directory.path().join("shore"));
    in_1970(&boat, &["init", "--name", "boat"]);
    in_1970(&boat, &["stream", "create", "s"]);
    in_1970(&boat, &["append", "s", "A"]);
    assert!(stamps(&boat)[0].starts_with("1970-01-01T00:"), "{:?}", stamps(&boat));
    says(gundb(&boat, &["append", "s", "B"]));
    // Back there again, time goes on from the last stamp.
    in_1970(&boat, &["append", "s", "C"]);
    let appended = stamps(&boat);
    assert!(appended.is_sorted() && appended.len() == 3 && !appended[2].starts_with("1970"), "{appended:?}");

    // What comes from the future, as it seems to a site that is new, waits until the clock is right.
    let bundles = directory.path().join("bundles");
    says(gundb(&boat, &["bundle", "export", bundles.to_str().unwrap()]));
    in_1970(&shore, &["init", "--name", "shore"]);
    for bundle in fs::read_dir(&bundles).unwrap() {
        in_1970(&shore, &["bundle", "import", bundle.unwrap().path().to_str().unwrap()]);
    }
    assert!(in_1970(&shore, &["--json", "pending"]).lines().count() > 0);
    in_1970(&shore, &["stream", "create", "t"]);
    in_1970(&shore, &["append", "t", "A"]);
    // The clock is set.
    says(gundb(&shore, &["pending", "--retry"]));
    assert_eq!(says(gundb(&shore, &["pending"])).lines().count(), 1);
    assert_eq!(says(gundb(&shore, &["digest", "s"])), says(gundb(&boat, &["digest", "s"])));
    says(gundb(&shore, &["verify"]));
}
