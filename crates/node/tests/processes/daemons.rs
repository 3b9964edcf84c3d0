//! Daemons that dial each other by gRPC, are stopped, killed, reconfigured, and doubled.

use crate::site::{Site, free_port, token, until};
use tempfile::TempDir;

#[test]
fn two_nodes_come_to_hold_the_same_by_grpc() {
    let root = TempDir::new().unwrap();
    let path = token(root.path(), "boat");
    let (shore, boat) = (Site::new(root.path(), "shore", &["moves"]), Site::new(root.path(), "boat", &["moves"]));
    let port = free_port();
    shore.configure(&format!(
        "[listen]\naddress = \"127.0.0.1:{port}\"\n[[grant]]\nname = \"boat\"\ntoken_file = \"{}\"\naccept = \"any\"\n",
        path.display()
    ));
    boat.says(&["peer", "add", "shore", &format!("grpc://127.0.0.1:{port}?tokenfile={}", path.display())]);
    shore.append("moves", 500);
    boat.append("moves", 300);
    let (at_shore, at_boat) = (shore.start(), boat.start());
    until("all was exchanged", || boat.peer("shore")["now"]["synced"] == true);
    // One a store.
    let (code, said) = shore.fails(&["run"]);
    assert!(code == 6 && said.contains("another process"), "{code} {said}");
    at_boat.stop();
    assert_eq!(boat.peer("shore")["now"], serde_json::Value::Null);
    at_shore.stop();
    assert_eq!(boat.digest(), shore.digest());
}

#[test]
fn what_is_killed_goes_on_and_nothing_is_lost() {
    let root = TempDir::new().unwrap();
    let path = token(root.path(), "boat");
    let (shore, boat) = (Site::new(root.path(), "shore", &["moves"]), Site::new(root.path(), "boat", &["moves"]));
    let port = free_port();
    shore.configure(&format!(
        "[listen]\naddress = \"127.0.0.1:{port}\"\n[[grant]]\nname = \"boat\"\ntoken_file = \"{}\"\naccept = \"any\"\n",
        path.display()
    ));
    boat.says(&["peer", "add", "shore", &format!("grpc://127.0.0.1:{port}?tokenfile={}", path.display())]);
    let mut at_shore = shore.start();
    for turn in 0..3 {
        boat.append("moves", 2_000);
        let at_boat = boat.start();
        if turn == 1 {
            at_shore.kill();
            shore.append("moves", 100);
            at_shore = shore.start();
        }
        until("it is dialled", || boat.peer("shore")["now"]["state"] == "connected");
        if turn == 2 {
            until("all was exchanged", || boat.peer("shore")["now"]["synced"] == true);
        }
        at_boat.kill();
    }
    at_shore.stop();
    assert_eq!(boat.clock(), shore.clock());
    assert_eq!(boat.digest(), shore.digest());
    boat.says(&["verify"]);
}

#[test]
fn everything_is_exchanged_once_and_a_wrong_token_is_told() {
    let root = TempDir::new().unwrap();
    let (right, wrong) = (token(root.path(), "boat"), token(root.path(), "thief"));
    let (shore, boat) = (Site::new(root.path(), "shore", &["moves"]), Site::new(root.path(), "boat", &["moves"]));
    let port = free_port();
    shore.configure(&format!(
        "[listen]\naddress = \"127.0.0.1:{port}\"\n[[grant]]\nname = \"boat\"\ntoken_file = \"{}\"\naccept = \"any\"\n",
        right.display()
    ));
    shore.append("moves", 20);
    boat.append("moves", 10);
    let at_shore = shore.start();
    boat.says(&["peer", "add", "shore", &format!("grpc://127.0.0.1:{port}?tokenfile={}", wrong.display())]);
    let output = boat.run(&["sync", "--once"]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.code() == Some(1) && said.contains("does not know this site"), "{output:?}");
    boat.says(&["peer", "drop", "shore"]);
    boat.says(&["peer", "add", "shore", &format!("grpc://127.0.0.1:{port}?tokenfile={}", right.display())]);
    assert!(boat.says(&["sync", "--once", "shore"]).contains("everything was exchanged"));
    at_shore.stop();
    assert_eq!(boat.digest(), shore.digest());
    // Nobody is there any more.
    let output = boat.run(&["--json", "sync", "--once", "--timeout", "3"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("nobody answers"), "{output:?}");
}

#[test]
fn a_daemon_takes_a_new_configuration_and_keeps_the_old_one_where_that_makes_no_sense() {
    let root = TempDir::new().unwrap();
    let site = Site::new(root.path(), "boat", &["moves"]);
    site.configure("");
    let mut daemon = site.start();
    site.says(&["peer", "add", "shore", "grpc://127.0.0.1:9"]);
    daemon.until_says("read again");
    daemon.until_says("nobody answers");
    until("it is tried", || {
        site.peer("shore")["now"]["error"].as_str().is_some_and(|error| error.contains("nobody answers"))
    });
    site.configure("[[peer]]\nname = \"shore\"\nurl = \"gopher://shore\"\n");
    daemon.hang_up();
    daemon.until_says("what was configured before stays");
    site.configure("[[peer]]\nname = \"shore\"\nurl = \"grpc://127.0.0.1:9\"\npaused = true\n");
    daemon.hang_up();
    daemon.until_says("read again");
    until("it is left alone", || site.peer("shore")["now"]["state"] == "paused");
    daemon.stop();
}

#[test]
fn peers_are_added_listed_paused_and_dropped_and_the_rest_of_the_file_stays() {
    let root = TempDir::new().unwrap();
    let site = Site::new(root.path(), "boat", &[]);
    site.configure("# a word of mine\n[listen] # and another\naddress = \"127.0.0.1:4862\"\n");
    site.says(&["peer", "add", "shore", "grpcs://shore.example", "--push", "moves,!audit*", "--accept", "own"]);
    site.says(&["peer", "pause", "shore"]);
    let text = std::fs::read_to_string(site.directory.join("gundb.toml")).unwrap();
    assert!(text.contains("# a word of mine") && text.contains("# and another"), "{text}");
    let peer = site.peer("shore");
    assert_eq!(peer["push"], serde_json::json!(["moves", "!audit*"]));
    assert_eq!((&peer["accept"], &peer["paused"]), (&"own".into(), &true.into()));
    site.says(&["peer", "resume", "shore"]);
    assert_eq!(site.peer("shore")["paused"], false);
    assert!(site.says(&["peer", "list"]).contains("grpcs://shore.example"));
    for (arguments, expected) in [
        (vec!["peer", "add", "shore", "grpc://x"], "already"),
        (vec!["peer", "add", "b", "grpc://u:hunter2@x"], "must not hold a password"),
        (vec!["peer", "add", "b", "htp://x"], "cannot begin with"),
        (vec!["peer", "add", "b/c", "grpc://x"], "cannot name a peer"),
        (vec!["peer", "add", "b", "file:///no/such/directory/here"], "is not there"),
        (vec!["peer", "drop", "shor"], "did you mean \"shore\""),
    ] {
        let (code, said) = site.fails(&arguments);
        assert!(code != 0 && said.contains(expected) && !said.contains("hunter2"), "{arguments:?}: {said}");
    }
    site.says(&["peer", "drop", "shore"]);
    assert_eq!(site.says(&["--json", "peer", "list"]), "");
}
