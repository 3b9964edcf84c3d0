//! Power cuts at every point at which the store writes to its file: what was not synced is lost, kept, or torn, in any mixture.
//!
//! One run is recorded, write by write; then for each beginning of the record a file is made as a disk may have it when the power goes there, and opened.
//! GUNDB_POWER_OPERATIONS says how many operations the run has.

mod support;

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex};

use gundb_core::Dot;
use gundb_node::{Durability, Edge, Kind, Options};
use redb::StorageBackend;
use support::{Random, every_fold, seed, something};

/// What a disk writes at once.
const SECTOR: usize = 512;

#[derive(Debug, Clone)]
enum Step {
    Write {
        at: usize,
        bytes: Vec<u8>,
    },
    Length(usize),
    Sync,
    /// The store has acknowledged these.
    Acknowledged(Vec<Dot>),
}

/// A disk that remembers how it came to hold what it holds, and is full after some writes.
#[derive(Debug, Clone, Default)]
struct Disk {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    bytes: Vec<u8>,
    steps: Vec<Step>,
    writes_left: Option<usize>,
}

impl Disk {
    fn holding(bytes: Vec<u8>) -> Disk {
        Disk { state: Arc::new(Mutex::new(State { bytes, ..State::default() })) }
    }

    fn record(&self, step: Step) {
        self.state.lock().unwrap().steps.push(step);
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> Result<u64, io::Error> {
        Ok(self.state.lock().unwrap().bytes.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        let state = self.state.lock().unwrap();
        let offset = offset as usize;
        let found = state.bytes.get(offset..offset + out.len());
        out.copy_from_slice(found.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        let mut state = self.state.lock().unwrap();
        state.bytes.resize(len as usize, 0);
        state.steps.push(Step::Length(len as usize));
        Ok(())
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        self.record(Step::Sync);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        let mut state = self.state.lock().unwrap();
        match &mut state.writes_left {
            Some(0) => return Err(io::ErrorKind::StorageFull.into()),
            Some(left) => *left -= 1,
            None => {}
        }
        apply(&mut state.bytes, offset as usize, data);
        state.steps.push(Step::Write { at: offset as usize, bytes: data.to_vec() });
        Ok(())
    }
}

fn apply(file: &mut Vec<u8>, at: usize, data: &[u8]) {
    if file.len() < at + data.len() {
        file.resize(at + data.len(), 0);
    }
    file[at..at + data.len()].copy_from_slice(data);
}

/// The file when the power goes after these steps since the last sync.
fn cut(synced: &[u8], since: &[&Step], random: &mut Random) -> Vec<u8> {
    let mut file = synced.to_vec();
    for step in since {
        match step {
            Step::Write { at, bytes } => match random.below(3) {
                0 => {}
                1 => apply(&mut file, *at, bytes),
                _ => {
                    // Torn: some sectors of it.
                    for (number, sector) in bytes.chunks(SECTOR).enumerate() {
                        if random.percent(50) {
                            apply(&mut file, at + number * SECTOR, sector);
                        }
                    }
                }
            },
            // A file's length is kept by its system, which may have written it or not; a file that is shorter than what was written to it grows with it.
            Step::Length(length) if random.percent(50) => file.resize(*length, 0),
            _ => {}
        }
    }
    file
}

fn run(edge: &Edge, random: &mut Random, disk: &Disk, operations: usize) {
    edge.create_stream("s", false).unwrap();
    edge.create_stream("t", false).unwrap();
    edge.create_view("v", every_fold("s")).unwrap();
    for _ in 0..operations {
        let count = if random.percent(20) { random.below(20) + 1 } else { 1 };
        let events = (0..count).map(|_| {
            let stream = if random.percent(80) { "s" } else { "t" };
            something(random, stream)
        });
        let appended = edge.append(events.collect(), None).unwrap();
        disk.record(Step::Acknowledged(appended.iter().map(|one| one.dot).collect()));
    }
}

/// Cuts the power at every write of a run; says how often, and how often with something to lose.
fn cut_everywhere(options: Options, operations: usize) -> Result<(usize, usize), String> {
    let mut random = Random(seed());
    let disk = Disk::default();
    let edge = Edge::on(disk.clone(), options).unwrap();
    let begun = disk.state.lock().unwrap().steps.len();
    run(&edge, &mut random, &disk, operations);
    // What was left to be written is written when it is closed.
    drop(edge);
    let steps = disk.state.lock().unwrap().steps.clone();
    let (mut synced, mut file, mut since) = (Vec::new(), Vec::new(), Vec::new());
    let mut acknowledged: Vec<Dot> = Vec::new();
    let (mut points, mut torn) = (0, 0);
    for (at, step) in steps.iter().enumerate() {
        match step {
            Step::Sync => {
                synced.clone_from(&file);
                since.clear();
            }
            Step::Acknowledged(dots) => {
                acknowledged.extend(dots);
                continue;
            }
            Step::Write { at, bytes } => {
                apply(&mut file, *at, bytes);
                since.push(step);
            }
            Step::Length(length) => {
                file.resize(*length, 0);
                since.push(step);
            }
        }
        if at < begun {
            continue;
        }
        points += 1;
        torn += usize::from(!since.is_empty());
        let image = cut(&synced, &since, &mut random);
        check(image, &acknowledged, at)?;
    }
    Ok((points, torn))
}

#[test]
fn after_a_power_cut_at_any_write_all_that_was_acknowledged_is_there() {
    let operations = std::env::var("GUNDB_POWER_OPERATIONS").ok().and_then(|text| text.parse().ok()).unwrap_or(25);
    let (points, torn) = cut_everywhere(Options::default(), operations).unwrap();
    println!("{operations} operations, {points} power cuts, {torn} of them with writes that were not synced");
    assert!(torn > operations, "cuts with nothing to lose show nothing");
}

#[test]
fn a_store_that_acknowledges_before_the_disk_has_it_is_caught() {
    let options = Options { durability: Durability::Lazy, ..Options::default() };
    let lost = cut_everywhere(options, 25).unwrap_err();
    assert!(lost.contains("are lost"), "{lost}");
}

/// Says what was acknowledged and is not there.
fn check(image: Vec<u8>, acknowledged: &[Dot], at: usize) -> Result<(), String> {
    let edge = Edge::on(Disk::holding(image), Options::default());
    let edge = edge.unwrap_or_else(|error| panic!("after step {at} the store does not open: {error}"));
    assert_eq!(edge.verify().unwrap(), Vec::<String>::new(), "after step {at}");
    let clock = edge.clock();
    let lost: Vec<_> = acknowledged.iter().filter(|dot| !clock.covers(dot)).collect();
    if !lost.is_empty() {
        return Err(format!("after step {at} these are lost: {lost:?}"));
    }
    // Folding all again is the dearest of it.
    if at.is_multiple_of(5) && edge.shown().views.0.contains_key("v") {
        assert_eq!(edge.check_view("v").unwrap(), Vec::new(), "after step {at}");
    }
    // What is written next stands in no lane that was there.
    let runs: BTreeSet<_> = clock.iter().map(|dot| dot.lane.run()).collect();
    if edge.shown().definitions.streams.contains_key("s") {
        let next = edge.append_one(support::event("s", "Moved", "k0", "{}")).unwrap();
        assert!(!runs.contains(&next.dot.lane.run()), "after step {at} a run goes on");
    }
    Ok(())
}

#[test]
fn a_full_disk_is_told_and_loses_nothing() {
    let mut random = Random(seed());
    for writes in (0..120).step_by(7) {
        let disk = Disk::default();
        let edge = Edge::on(disk.clone(), Options::default()).unwrap();
        edge.create_stream("s", false).unwrap();
        disk.state.lock().unwrap().writes_left = Some(writes);
        let mut acknowledged = Vec::new();
        let error = loop {
            match edge.append_one(something(&mut random, "s")) {
                Ok(appended) => acknowledged.push(appended.dot),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind, Kind::Storage, "{error:?}");
        // Reading goes on; and so does writing, once there is room again.
        edge.read_stream("s", &gundb_core::Clock::new(), 10).unwrap();
        disk.state.lock().unwrap().writes_left = None;
        acknowledged.push(edge.append_one(something(&mut random, "s")).unwrap().dot);
        assert_eq!(edge.verify().unwrap(), Vec::<String>::new());
        drop(edge);
        let mut state = disk.state.lock().unwrap();
        let image = std::mem::take(&mut state.bytes);
        drop(state);
        check(image, &acknowledged, writes).unwrap();
    }
}
