//! A real process, killed at random moments while it appends: what it had said that it appended is there.

mod support;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use gundb_core::Dot;
use support::{Random, create, every_fold, open, seed};
use tempfile::tempdir;

/// How often it is killed; GUNDB_KILLS for more.
fn kills() -> u64 {
    std::env::var("GUNDB_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(6)
}

#[test]
fn after_a_kill_all_that_was_acknowledged_is_there_and_no_dot_is_given_twice() {
    let mut random = Random(seed());
    let directory = tempdir().unwrap();
    let store = directory.path().join("store");
    let edge = create(&store, "boat");
    edge.create_stream("s", false).unwrap();
    edge.create_view("v", every_fold("s")).unwrap();
    edge.close().unwrap();
    let mut acknowledged: BTreeSet<Dot> = BTreeSet::new();
    for kill in 0..kills() {
        let mut child = Command::new(env!("CARGO_BIN_EXE_gundb"))
            .args(["--json", "--store"])
            .arg(&store)
            .args(["append", "s", "--lines", "-", "--batch", "3"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (mut input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let feeder = std::thread::spawn(move || {
            // Until it is killed.
            for at in 0u64.. {
                let line =
                    format!(r#"{{"type": "Moved", "key": "k{}", "data": {{"qty": {at}, "place": "p"}}}}"#, at % 5);
                if writeln!(input, "{line}").is_err() {
                    break;
                }
            }
        });
        let (told, news) = std::sync::mpsc::channel();
        let reader = std::thread::spawn(move || {
            let mut dots = Vec::new();
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                // The last line may be cut.
                let Ok(value) = serde_json::from_str::<serde_json::Value>(&line) else { break };
                dots.push(value["dot"].as_str().unwrap().parse::<Dot>().unwrap());
                // Nobody listens any more once it is killed.
                let _ = told.send(());
            }
            dots
        });
        // Somewhere in what it does after a while; now and then before it has said anything.
        for _ in 0..random.below(60) {
            news.recv_timeout(Duration::from_secs(60)).unwrap();
        }
        std::thread::sleep(Duration::from_micros(random.below(40_000)));
        child.kill().unwrap();
        child.wait().unwrap();
        feeder.join().unwrap();
        let dots = reader.join().unwrap();
        for dot in dots {
            assert!(acknowledged.insert(dot), "kill {kill}: {dot} was given twice");
        }
        let edge = open(&store);
        let clock = edge.clock();
        let lost: Vec<_> = acknowledged.iter().filter(|dot| !clock.covers(dot)).collect();
        assert!(lost.is_empty(), "kill {kill}: these are lost: {lost:?}");
        assert_eq!(edge.verify().unwrap(), Vec::<String>::new(), "kill {kill}");
        assert_eq!(edge.check_view("v").unwrap(), Vec::new(), "kill {kill}");
        edge.close().unwrap();
    }
    println!("{} kills, {} events acknowledged", kills(), acknowledged.len());
    assert!(!acknowledged.is_empty());
}
