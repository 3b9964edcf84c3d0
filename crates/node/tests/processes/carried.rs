//! Stores that never meet: events carried by `cp`, by a shared directory, and by a command.

use crate::site::{Site, until};
use std::fs;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-r").arg(from.join(".")).arg(to).status().unwrap();
    assert!(status.success());
}

#[test]
fn a_stick_that_is_carried_by_cp_brings_two_stores_together() {
    let root = TempDir::new().unwrap();
    let (boat, shore) = (Site::new(root.path(), "boat", &["moves"]), Site::new(root.path(), "shore", &["moves"]));
    let (near, far) = (root.path().join("near"), root.path().join("far"));
    fs::create_dir(&near).unwrap();
    fs::create_dir(&far).unwrap();
    boat.says(&["peer", "add", "shore", &format!("file://{}", near.display())]);
    shore.says(&["peer", "add", "boat", &format!("file://{}", far.display())]);
    for turn in 0..3 {
        boat.append("moves", 200);
        shore.append("moves", 50);
        let said = boat.says(&["sync", "--once"]);
        assert!(said.contains("safe to remove"), "{turn}: {said}");
        copy(&near, &far);
        shore.says(&["sync", "--once", "boat"]);
        copy(&far, &near);
    }
    // Once more each, so that both hear of all.
    boat.says(&["sync", "--once"]);
    copy(&near, &far);
    shore.says(&["sync", "--once"]);
    assert_eq!(boat.clock(), shore.clock());
    assert_eq!(boat.digest(), shore.digest());
    copy(&far, &near);
    assert!(boat.says(&["sync", "--once"]).contains("flushed and confirmed"));
    // It is not there.
    fs::remove_file(near.join(".gundb-courier")).unwrap();
    let output = boat.run(&["sync", "--once"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("not mounted"), "{output:?}");
}

#[test]
fn daemons_exchange_by_a_directory_that_both_see() {
    let root = TempDir::new().unwrap();
    let (boat, shore) = (Site::new(root.path(), "boat", &["moves"]), Site::new(root.path(), "shore", &["moves"]));
    let share = root.path().join("share");
    fs::create_dir(&share).unwrap();
    for (site, peer) in [(&boat, "shore"), (&shore, "boat")] {
        site.says(&["peer", "add", peer, &format!("file://{}", share.display())]);
        site.append("moves", 100);
        let path = site.directory.join("gundb.toml");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text + "interval = 1\n").unwrap();
    }
    let (at_boat, at_shore) = (boat.start(), shore.start());
    for (site, peer) in [(&boat, "shore"), (&shore, "boat")] {
        until("all was exchanged", || site.peer(peer)["now"]["synced"] == true);
    }
    at_boat.stop();
    at_shore.stop();
    assert_eq!(boat.clock(), shore.clock());
    assert_eq!(boat.digest(), shore.digest());
}

#[test]
fn a_command_carries_between_two_stores_and_its_failure_is_told() {
    let root = TempDir::new().unwrap();
    let (boat, shore) = (Site::new(root.path(), "boat", &["moves"]), Site::new(root.path(), "shore", &["moves"]));
    let there = root.path().display();
    let line = format!(
        "exec:cat >> {there}/to-$GUNDB_PEER; if [ -f {there}/to-$GUNDB_SITE ]; then cat {there}/to-$GUNDB_SITE; rm {there}/to-$GUNDB_SITE; fi"
    );
    boat.says(&["peer", "add", "shore", &line]);
    shore.says(&["peer", "add", "boat", &line]);
    boat.append("moves", 500);
    shore.append("moves", 70);
    for _ in 0..4 {
        boat.says(&["sync", "--once"]);
        shore.says(&["sync", "--once"]);
    }
    assert_eq!(boat.clock(), shore.clock());
    assert_eq!(boat.digest(), shore.digest());
    boat.says(&["peer", "drop", "shore"]);
    boat.says(&["peer", "add", "shore", "exec:echo the line is dead >&2; exit 75"]);
    let output = boat.run(&["--json", "sync", "--once"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("the line is dead"), "{output:?}");
}
