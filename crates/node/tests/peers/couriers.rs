//! Couriers between stores: directories seen by both, carried by copies, torn, emptied, full of junk; and commands.

use crate::store::MemoryStore;
use gundb_core::bundle::WireLimits;
use gundb_core::store::{Link, Terms};
use gundb_core::sync::filter::Filter;
use gundb_core::sync::message::Accept;
use gundb_node::peers::post::{Post, PostError, Round};
use gundb_transport::courier::CourierFault;
use gundb_transport::exec::{Command, Limits};
use gundb_transport::file::{Directory, prepare};
use gundb_transport::url::{ExecTarget, FileTarget};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;

/// Small, so that large transactions are soon had.
const FILE_BYTES: u64 = 128 << 10;

fn by_directory(root: &Path, own: &str, peer: &str, terms: Terms) -> Post {
    let target = FileTarget { root: root.to_owned(), file_bytes: FILE_BYTES };
    let directory = Directory::new(target, own, peer, 100 << 20);
    Post::new(peer, Box::new(directory), terms, WireLimits::default(), Duration::from_secs(3_600))
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

fn round(post: &mut Post, store: &MemoryStore) -> Round {
    post.round(store, now_ms()).unwrap()
}

fn equal(a: &MemoryStore, b: &MemoryStore) {
    assert_eq!(a.count(), b.count());
    assert_eq!(a.events(), b.events());
}

#[test]
fn a_directory_carries_events_both_ways_and_ends_empty() {
    let root = TempDir::new().unwrap();
    prepare(root.path()).unwrap();
    let (paris, tokyo) = (MemoryStore::new("paris", &["moves"]), MemoryStore::new("tokyo", &["moves"]));
    let mut to_tokyo = by_directory(root.path(), "paris", "tokyo", Terms::all());
    let mut to_paris = by_directory(root.path(), "tokyo", "paris", Terms::all());
    for _ in 0..500 {
        paris.append("moves", 3, 200);
    }
    tokyo.append("moves", 10, 200);
    let first = round(&mut to_tokyo, &paris);
    assert!(first.put > 0 && !first.synced && first.unconfirmed == first.put, "{first:?}");
    // Nothing is put twice, whatever the process remembers.
    assert_eq!(round(&mut to_tokyo, &paris).put, 0);
    to_tokyo = by_directory(root.path(), "paris", "tokyo", Terms::all());
    assert_eq!(round(&mut to_tokyo, &paris).put, 0);
    let second = round(&mut to_paris, &tokyo);
    assert_eq!((second.counts.new, second.put), (1_500, 1));
    let third = round(&mut to_tokyo, &paris);
    assert_eq!((third.counts.new, third.unconfirmed), (10, 0));
    equal(&paris, &tokyo);
    let fourth = round(&mut to_paris, &tokyo);
    assert!(fourth.synced, "{fourth:?}");
    assert!(round(&mut to_tokyo, &paris).synced);
    // What is confirmed is gone; the words stay.
    for folder in ["paris--tokyo", "tokyo--paris"] {
        let names: Vec<_> =
            fs::read_dir(root.path().join(folder)).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["hello"], "{folder}");
    }
    tokyo.append("moves", 1, 10);
    round(&mut to_paris, &tokyo);
    assert_eq!(round(&mut to_tokyo, &paris).counts.new, 1);
}

#[test]
fn copies_in_part_late_twice_and_torn_do_no_harm() {
    let seed = std::env::var("GUNDB_SEED").ok().and_then(|seed| seed.parse().ok());
    let times = if seed.is_some() { 1 } else { 2 };
    (0..times).for_each(|time| copies(seed.unwrap_or(now_ms() + time)));
}

fn copies(seed: u64) {
    let (near, far) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    prepare(near.path()).unwrap();
    prepare(far.path()).unwrap();
    let (paris, tokyo) =
        (MemoryStore::new("paris", &["moves", "readings"]), MemoryStore::new("tokyo", &["moves", "readings"]));
    let mut to_tokyo = by_directory(near.path(), "paris", "tokyo", Terms::all());
    let mut to_paris = by_directory(far.path(), "tokyo", "paris", Terms::all());
    println!("GUNDB_SEED={seed}");
    let mut state = seed | 1;
    let mut below = |bound: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % bound
    };
    for _ in 0..120 {
        match below(9) {
            0..=1 => paris.append(if below(2) == 0 { "moves" } else { "readings" }, 1 + below(20) as usize, 2_000),
            2 => tokyo.append("moves", 1 + below(5) as usize, 100),
            3 => paris.append("readings", 20, 10_000),
            4 => drop(round(&mut to_tokyo, &paris)),
            5 => drop(round(&mut to_paris, &tokyo)),
            // Somebody carries some of it, some of that in part, and now and then loses or removes something.
            6 => copy(near.path(), far.path(), "paris--tokyo", &mut below),
            7 => copy(far.path(), near.path(), "tokyo--paris", &mut below),
            _ => lose(if below(2) == 0 { near.path() } else { far.path() }, &mut below),
        }
        if below(10) == 0 {
            to_tokyo = by_directory(near.path(), "paris", "tokyo", Terms::all());
            to_paris = by_directory(far.path(), "tokyo", "paris", Terms::all());
        }
    }
    let mut never = |_: u64| 1;
    for _ in 0..6 {
        round(&mut to_tokyo, &paris);
        copy(near.path(), far.path(), "paris--tokyo", &mut never);
        round(&mut to_paris, &tokyo);
        copy(far.path(), near.path(), "tokyo--paris", &mut never);
    }
    equal(&paris, &tokyo);
    let last = round(&mut to_tokyo, &paris);
    assert!(last.synced, "{last:?}");
}

/// Copies a folder's files, if chance wills each; some only in part.
fn copy(from: &Path, to: &Path, folder: &str, below: &mut impl FnMut(u64) -> u64) {
    let Ok(entries) = fs::read_dir(from.join(folder)) else { return };
    fs::create_dir_all(to.join(folder)).unwrap();
    for entry in entries {
        let path = entry.unwrap().path();
        if below(4) == 0 {
            continue;
        }
        let bytes = fs::read(&path).unwrap();
        let length = if below(6) == 0 { below(bytes.len() as u64 + 1) as usize } else { bytes.len() };
        fs::write(to.join(folder).join(path.file_name().unwrap()), &bytes[..length]).unwrap();
    }
}

fn lose(root: &Path, below: &mut impl FnMut(u64) -> u64) {
    for folder in ["paris--tokyo", "tokyo--paris"] {
        for entry in fs::read_dir(root.join(folder)).into_iter().flatten() {
            if below(3) == 0 {
                fs::remove_file(entry.unwrap().path()).unwrap();
            }
        }
    }
}

#[test]
fn a_transaction_larger_than_a_file_goes_in_parts_and_comes_whole() {
    let root = TempDir::new().unwrap();
    prepare(root.path()).unwrap();
    let (paris, tokyo) = (MemoryStore::new("paris", &["moves"]), MemoryStore::new("tokyo", &["moves"]));
    paris.append("moves", 200, 5_000);
    let mut to_tokyo = by_directory(root.path(), "paris", "tokyo", Terms::all());
    let mut to_paris = by_directory(root.path(), "tokyo", "paris", Terms::all());
    let put = round(&mut to_tokyo, &paris);
    assert!(put.put >= 8, "{put:?}");
    let files: Vec<_> =
        fs::read_dir(root.path().join("paris--tokyo")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.iter().all(|path| fs::metadata(path).unwrap().len() <= FILE_BYTES));
    // One part is lost: nothing of it is seen, and all of it is put again.
    let mut parts: Vec<_> = files.into_iter().filter(|path| !path.ends_with("hello")).collect();
    parts.sort();
    fs::remove_file(&parts[3]).unwrap();
    assert_eq!(round(&mut to_paris, &tokyo).counts.new, 0);
    assert_eq!(tokyo.count(), 0);
    assert!(round(&mut to_tokyo, &paris).put > 0);
    assert_eq!(round(&mut to_paris, &tokyo).counts.new, 200);
    equal(&paris, &tokyo);
}

#[test]
fn junk_is_reported_and_left_and_costs_nobody_else_anything() {
    let root = TempDir::new().unwrap();
    prepare(root.path()).unwrap();
    let (paris, tokyo) = (MemoryStore::new("paris", &["moves"]), MemoryStore::new("tokyo", &["moves"]));
    let mut to_tokyo = by_directory(root.path(), "paris", "tokyo", Terms::all());
    let mut to_paris = by_directory(root.path(), "tokyo", "paris", Terms::all());
    paris.append("moves", 5, 100);
    round(&mut to_tokyo, &paris);
    let folder = root.path().join("paris--tokyo");
    fs::write(folder.join("000-junk"), vec![7; 10_000]).unwrap();
    fs::write(folder.join("000-empty"), "").unwrap();
    let bundle = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.to_string_lossy().contains("-0000000"))
        .unwrap();
    let mut bytes = fs::read(&bundle).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(folder.join("000-flipped"), &bytes).unwrap();
    fs::write(folder.join("000-half"), &bytes[..middle]).unwrap();
    let came = round(&mut to_paris, &tokyo);
    assert_eq!((came.counts.new, came.useless.len()), (5, 4), "{came:?}");
    assert_eq!(round(&mut to_paris, &tokyo).useless.len(), 4);
    assert!(folder.join("000-junk").exists());
    // What its owner cannot read either it removes, since it lies in its folder under a parcel's name.
    round(&mut to_tokyo, &paris);
    assert!(!folder.join("000-junk").exists());
}

#[test]
fn a_peer_brings_what_it_may_and_gets_what_it_takes() {
    let root = TempDir::new().unwrap();
    prepare(root.path()).unwrap();
    let streams = ["moves", "secrets", "settings"];
    let (paris, tokyo) = (MemoryStore::new("paris", &streams), MemoryStore::new("tokyo", &streams));
    let filter = |patterns: &[&str]| Filter::parse(patterns).unwrap();
    let device = Terms { push: filter(&["moves"]), pull: filter(&["settings"]), ..Terms::all() };
    let mut to_tokyo = by_directory(root.path(), "paris", "tokyo", device);
    let mut to_paris = by_directory(root.path(), "tokyo", "paris", Terms::all());
    for (store, stream) in [(&paris, "moves"), (&paris, "secrets"), (&tokyo, "settings"), (&tokyo, "secrets")] {
        store.append(stream, 4, 10);
    }
    for _ in 0..3 {
        round(&mut to_tokyo, &paris);
        round(&mut to_paris, &tokyo);
    }
    assert_eq!((paris.count(), tokyo.count()), (12, 12));
    // One that brings what it may not is not heard, whatever it says of itself.
    let strict = Terms { pull: filter(&["settings"]), accept: Accept::Own, ..Terms::all() };
    let mut careful = by_directory(root.path(), "tokyo", "paris", strict);
    paris.append("moves", 1, 10);
    round(&mut to_tokyo, &paris);
    let refused = round(&mut careful, &tokyo);
    assert!(refused.useless.iter().any(|why| why.contains("may not bring stream")), "{refused:?}");
    assert_eq!(tokyo.count(), 12);
}

#[test]
fn what_lies_there_and_is_not_wanted_any_more_is_taken_back_and_the_rest_put_anew() {
    let root = TempDir::new().unwrap();
    prepare(root.path()).unwrap();
    let [buoy, paris, tokyo] = ["buoy", "paris", "tokyo"].map(|name| MemoryStore::new(name, &["moves"]));
    // In Paris nobody had seen them when these were written.
    paris.append("moves", 4, 10);
    buoy.append("moves", 3, 10);
    round(&mut by_directory(root.path(), "buoy", "paris", Terms::all()), &buoy);
    round(&mut by_directory(root.path(), "paris", "buoy", Terms::all()), &paris);
    assert_eq!(paris.count(), 7);
    // Tokyo takes anybody's events, is given them, and then takes those of Paris alone.
    let mut to_tokyo = by_directory(root.path(), "paris", "tokyo", Terms::all());
    round(&mut by_directory(root.path(), "tokyo", "paris", Terms::all()), &tokyo);
    assert!(round(&mut to_tokyo, &paris).put > 0);
    let own = Terms { accept: Accept::Own, ..Terms::all() };
    let mut to_paris = by_directory(root.path(), "tokyo", "paris", own);
    let refused = round(&mut to_paris, &tokyo);
    assert!(refused.useless.iter().any(|why| why.contains("what it wrote itself")), "{refused:?}");
    for _ in 0..2 {
        round(&mut to_tokyo, &paris);
        round(&mut to_paris, &tokyo);
    }
    assert_eq!(tokyo.count(), 4);
    assert!(round(&mut to_tokyo, &paris).synced);
    // What was written after the buoy's events were seen waits for nobody, since those come by no way; then anybody's come again.
    paris.append("moves", 1, 10);
    round(&mut to_tokyo, &paris);
    round(&mut to_paris, &tokyo);
    assert_eq!(tokyo.count(), 5);
    to_paris.renew(Terms::all());
    for _ in 0..2 {
        round(&mut to_paris, &tokyo);
        round(&mut to_tokyo, &paris);
    }
    round(&mut to_paris, &tokyo);
    equal(&paris, &tokyo);
}

#[test]
fn nothing_is_put_where_nothing_is_mounted() {
    let root = TempDir::new().unwrap();
    let paris = MemoryStore::new("paris", &["moves"]);
    let mut to_tokyo = by_directory(root.path(), "paris", "tokyo", Terms::all());
    let fault = to_tokyo.round(&*paris, now_ms()).unwrap_err();
    assert!(matches!(fault, PostError::Courier(CourierFault::NotMounted { .. })), "{fault}");
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
}

fn by_command(own: &str, peer: &str, command: String, resend: Duration) -> Post {
    let limits = Limits { timeout: Duration::from_secs(10), given_bytes_max: 2 << 20, taken_bytes_max: 64 << 20 };
    let command = Command::new(ExecTarget { command }, own, peer, limits);
    Post::new(peer, Box::new(command), Terms::all(), WireLimits::default(), resend)
}

#[test]
fn a_command_carries_events_and_what_it_loses_is_given_again() {
    let root = TempDir::new().unwrap();
    let (paris, tokyo) = (MemoryStore::new("paris", &["moves"]), MemoryStore::new("tokyo", &["moves"]));
    // A box each way; what is put there is taken once.
    let line = |own: &str, peer: &str, then: &str| {
        let root = root.path().display();
        format!(
            "cat >> {root}/to-{peer}; {then} if [ -f {root}/to-{own} ]; then cat {root}/to-{own}; rm {root}/to-{own}; fi"
        )
    };
    let hour = Duration::from_secs(3_600);
    let mut to_tokyo = by_command("paris", "tokyo", line("paris", "tokyo", ""), hour);
    let mut to_paris = by_command("tokyo", "paris", line("tokyo", "paris", ""), hour);
    for _ in 0..100 {
        paris.append("moves", 10, 3_000);
    }
    tokyo.append("moves", 3, 10);
    for _ in 0..8 {
        round(&mut to_tokyo, &paris);
        round(&mut to_paris, &tokyo);
    }
    equal(&paris, &tokyo);
    assert!(round(&mut to_tokyo, &paris).synced);
    // It loses one; that it was given it again shows at the other end.
    paris.append("moves", 1, 10);
    let mut forgetful = by_command(
        "paris",
        "tokyo",
        line("paris", "tokyo", &format!("rm {}/to-tokyo;", root.path().display())),
        Duration::from_millis(1),
    );
    forgetful.round(&*paris, now_ms()).unwrap();
    round(&mut to_paris, &tokyo);
    assert_eq!(tokyo.count() + 1, paris.count());
    let mut again = by_command("paris", "tokyo", line("paris", "tokyo", ""), Duration::from_millis(1));
    for _ in 0..10 {
        round(&mut again, &paris);
        round(&mut to_paris, &tokyo);
    }
    equal(&paris, &tokyo);
}

#[test]
fn a_transaction_larger_than_what_a_command_is_given_at_once_goes_in_several_runs() {
    let root = TempDir::new().unwrap();
    let (paris, tokyo) = (MemoryStore::new("paris", &["moves"]), MemoryStore::new("tokyo", &["moves"]));
    paris.append("moves", 150, 50_000);
    paris.append("moves", 1, 10);
    let there = root.path().display();
    // Each run is a file of its own.
    let hour = Duration::from_secs(3_600);
    let mut to_tokyo = by_command("paris", "tokyo", format!("cat > {there}/run-$(date +%s%N)"), hour);
    let mut to_paris = by_command("tokyo", "paris", format!("cat > /dev/null; cat {there}/run-*"), hour);
    while round(&mut to_tokyo, &paris).more {}
    assert!(fs::read_dir(root.path()).unwrap().count() > 2);
    round(&mut to_paris, &tokyo);
    equal(&paris, &tokyo);
}

#[test]
fn a_command_that_fails_is_an_error_and_the_next_round_goes_on() {
    let paris = MemoryStore::new("paris", &["moves"]);
    paris.append("moves", 1, 10);
    let mut post = by_command("paris", "tokyo", "echo no carrier >&2; exit 1".to_owned(), Duration::from_secs(1));
    let fault = post.round(&*paris, now_ms()).unwrap_err();
    assert!(fault.to_string().contains("no carrier"), "{fault}");
    let mut post = by_command("paris", "tokyo", "cat > /dev/null; echo rubbish".to_owned(), Duration::from_secs(1));
    let fault = post.round(&*paris, now_ms()).unwrap_err();
    assert!(matches!(fault, PostError::Courier(CourierFault::Rubbish { .. })), "{fault}");
}

/// What is agreed with a peer whose own events alone are taken.
fn its_own() -> Terms {
    let link = Link { name: "own".to_owned(), pull: Filter::all(), accept: Accept::Own, is_dialled: true };
    Terms { link: link.name.clone(), accept: link.accept, links: Arc::new(vec![link]), ..Terms::all() }
}

#[test]
fn one_who_has_said_nothing_yet_is_not_shown_an_effect_before_its_cause() {
    for terms in [Terms::all(), its_own()] {
        let (near, far) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        prepare(near.path()).unwrap();
        prepare(far.path()).unwrap();
        let [a, b, c] = ["a", "b", "c"].map(|name| MemoryStore::new(name, &["moves"]));
        a.append("moves", 1, 10);
        round(&mut by_directory(near.path(), "a", "b", Terms::all()), &a);
        assert_eq!(round(&mut by_directory(near.path(), "b", "a", Terms::all()), &b).counts.new, 1);
        b.append("moves", 1, 10);
        let mut to_c = by_directory(far.path(), "b", "c", Terms::all());
        let mut to_b = by_directory(far.path(), "c", "b", terms.clone());
        round(&mut to_c, &b);
        let first = round(&mut to_b, &c).counts;
        if terms.accept == Accept::Any {
            assert_eq!((first.new, first.pending), (0, 1), "the cause comes once it is known that it is taken");
            round(&mut to_c, &b);
            round(&mut to_b, &c);
            equal(&b, &c);
        } else {
            assert_eq!((first.new, first.pending), (1, 0), "nobody brings the cause");
        }
    }
}
