//! Parcels through commands that behave, hang, flood, die, and talk rubbish.

use gundb_core::Clock;
use gundb_core::bundle::encode_receipt;
use gundb_core::sync::message::{Outcome, Receipt};
use gundb_transport::courier::{Courier, CourierFault};
use gundb_transport::exec::{Command, Limits, split};
use gundb_transport::url::ExecTarget;
use std::time::{Duration, Instant};

/// A parcel: any framed message will do.
fn parcel(number: u64) -> Vec<u8> {
    encode_receipt(&Receipt { number, outcome: Outcome::Taken, refusals: Vec::new(), holds: Clock::new() })
}

fn command(line: &str) -> Command {
    let limits = Limits { timeout: Duration::from_secs(2), given_bytes_max: 1 << 20, taken_bytes_max: 1 << 20 };
    Command::new(ExecTarget { command: line.to_owned() }, "paris", "tokyo", limits)
}

/// What came of one run, and why it failed if it did.
fn run(line: &str, given: &[Vec<u8>]) -> (Vec<Vec<u8>>, Option<CourierFault>) {
    let mut command = command(line);
    for bytes in given {
        command.outgoing().put("x", bytes).unwrap();
    }
    let fault = command.outgoing().flush().err();
    let incoming = command.incoming();
    let parcels = incoming.parcels().unwrap();
    let came = parcels.iter().map(|parcel| incoming.read(parcel).unwrap().unwrap()).collect();
    for parcel in &parcels {
        incoming.remove(parcel).unwrap();
    }
    assert!(incoming.parcels().unwrap().is_empty());
    (came, fault)
}

#[test]
fn what_is_given_to_a_command_is_what_it_gives_back() {
    let given: Vec<_> = (0..1_000).map(parcel).collect();
    assert_eq!(run("cat", &given), (given.clone(), None));
    assert_eq!(run("cat >/dev/null", &given), (Vec::new(), None));
    assert_eq!(run("exec cat", &[]), (Vec::new(), None));
}

#[test]
fn a_command_knows_whom_it_serves() {
    let (_, fault) = run("echo \"$GUNDB_SITE to $GUNDB_PEER\" >&2; exit 3", &[]);
    assert_eq!(fault, Some(CourierFault::Failed { how: "ended with status 3".into(), said: "paris to tokyo".into() }));
}

#[test]
fn a_command_that_hangs_is_stopped_with_all_that_it_began() {
    let begun = Instant::now();
    let (came, fault) = run("cat; sleep 1000 & echo waiting >&2; sleep 1000", &[parcel(1)]);
    assert_eq!(fault, Some(CourierFault::Slow { waited: Duration::from_secs(2), said: "waiting".into() }));
    assert_eq!(came, [parcel(1)], "what came whole before is kept");
    assert!(begun.elapsed() < Duration::from_secs(5));
    // One that reads nothing and one that closes its output and stays.
    let given: Vec<_> = (0..2_000).map(parcel).collect();
    for line in ["sleep 1000", "exec >&- 2>&-; sleep 1000"] {
        let fault = run(line, &given).1;
        assert!(matches!(fault, Some(CourierFault::Slow { .. })), "{line}: {fault:?}");
    }
}

#[test]
fn a_command_that_floods_is_stopped() {
    let begun = Instant::now();
    let (came, fault) = run("cat /dev/zero", &[]);
    assert!(matches!(fault, Some(CourierFault::Flood { limit: 1_048_576, .. })), "{fault:?}");
    assert!(came.is_empty());
    let (_, fault) = run("yes no room left >&2", &[]);
    assert!(matches!(&fault, Some(CourierFault::Slow { said, .. }) if said.len() < 700), "{fault:?}");
    assert!(begun.elapsed() < Duration::from_secs(8));
}

#[test]
fn a_command_that_dies_says_how() {
    let cases = [
        ("kill -9 $$", "was ended by signal 9"),
        ("no-such-command-at-all", "ended with status 127"),
        ("exit 1", "ended with status 1"),
    ];
    for (line, expected) in cases {
        let (_, fault) = run(line, &[parcel(1)]);
        assert!(fault.as_ref().is_some_and(|fault| fault.to_string().contains(expected)), "{line}: {fault:?}");
    }
    let given: Vec<_> = (0..20_000).map(parcel).collect();
    let (_, fault) = run("true", &given);
    assert!(fault.is_some_and(|fault| fault.to_string().contains("without having read all")));
}

#[test]
fn a_process_left_behind_does_not_hold_a_run_up() {
    let begun = Instant::now();
    let (came, fault) = run("cat; sleep 1000 &", &[parcel(1)]);
    assert!(begun.elapsed() < Duration::from_secs(2));
    // It was of the command's group, and ended with it, so what came is there.
    assert!(came == [parcel(1)] || fault.is_some(), "{fault:?}");
}

#[test]
fn rubbish_ends_what_is_read_and_keeps_what_came_before() {
    let (came, fault) = run("cat; echo hello", &[parcel(1), parcel(2)]);
    assert_eq!(came, [parcel(1), parcel(2)]);
    assert!(matches!(fault, Some(CourierFault::Rubbish { after: 2, .. })), "{fault:?}");
    let (came, fault) = run("head -c 100", &[parcel(1), parcel(2), parcel(3), parcel(4)]);
    assert!(came.len() < 4);
    assert!(matches!(fault, Some(CourierFault::Rubbish { .. })), "{fault:?}");
}

#[test]
fn more_than_is_taken_at_once_is_refused() {
    let mut command = command("cat");
    assert!(command.outgoing().put("x", &vec![0; 1 << 20]).is_ok());
    assert!(matches!(command.outgoing().put("x", &[0]), Err(CourierFault::TooMuch { .. })));
}

#[test]
fn parcels_are_taken_apart_wherever_they_are_cut() {
    let all: Vec<_> = (0..5).map(|number| parcel(number * 1_000_000)).collect();
    let bytes = all.concat();
    for cut in 0..=bytes.len() {
        let (parcels, rest) = split(&bytes[..cut], 1 << 20);
        let length: usize = parcels.iter().map(|parcel| parcel.len()).sum();
        assert_eq!(rest.is_ok(), length == cut);
        assert!(parcels.iter().zip(&all).all(|(found, put)| found == put));
    }
    let (parcels, rest) = split(&bytes, 10);
    assert!(parcels.is_empty() && rest.is_err());
    // A length near the greatest number.
    let huge = [b"gunb\x01\x03\x00".as_slice(), &[0xff; 9], &[1]].concat();
    assert!(split(&huge, u64::MAX).1.is_err());
}

#[test]
fn whatever_bytes_a_command_gives_they_are_taken_apart_or_refused() {
    let seed = std::env::var("GUNDB_SEED").ok().and_then(|seed| seed.parse().ok());
    let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
    let mut state = seed.unwrap_or(clock) | 1;
    println!("GUNDB_SEED={state}");
    let mut below = |bound: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % bound
    };
    let whole = [parcel(1), parcel(1 << 40), parcel(3)].concat();
    for _ in 0..20_000 {
        let mut bytes = whole.clone();
        for _ in 0..below(4) {
            let at = below(bytes.len() as u64) as usize;
            bytes[at] = below(256) as u8;
        }
        bytes.truncate(below(whole.len() as u64 + 1) as usize);
        let (parcels, rest) = split(&bytes, 1 << 20);
        let length: usize = parcels.iter().map(|parcel| parcel.len()).sum();
        assert!(length <= bytes.len() && (rest.is_ok() == (length == bytes.len())));
    }
}
