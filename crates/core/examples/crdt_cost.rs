//! What CRDT values cost: time of an add and growth of a set by its size, and bytes of each kind by sites and elements.
//!
//! `cargo run --release -p gundb-core --example crdt_cost`

use std::hint::black_box;
use std::time::Instant;

use gundb_core::crdt::*;
use gundb_core::{Hlc, Json, Limits, SiteId};
use uuid::Uuid;

fn replica(at: usize) -> Replica {
    Replica {
        site: SiteId(Uuid::from_u128(0x0d9f_7a5c_6d1e_4f9b_8f0e_2f6f_3a7a_9b10 + at as u128)),
        incarnation: 7 + at as u64,
    }
}

fn element(at: usize) -> String {
    format!("element-{at:06}")
}

fn set_of(size: usize) -> Set {
    let mut set = Set::default();
    for at in 0..size {
        set.add(&element(at), replica(0)).expect("a set grows");
    }
    set
}

fn main() {
    println!(
        "an add to a set, and its delta\n\n| elements | ns an add | bytes of the delta | bytes of the set |\n|---|---|---|---|"
    );
    for size in [1, 10, 100, 1_000, 10_000, 100_000] {
        let mut set = set_of(size);
        let rounds = 100_000;
        let started = Instant::now();
        let mut delta = Set::default();
        for round in 0..rounds {
            // An element that is in: the set keeps its size.
            delta = black_box(set.add(&element(round * 7919 % size), replica(0)).expect("a set grows"));
        }
        let nanoseconds = started.elapsed().as_nanos() / rounds as u128;
        let bytes = |set: &Set| Crdt::from(set.clone()).encode().len();
        println!("| {size} | {nanoseconds} | {} | {} |", bytes(&delta), bytes(&set));
    }
    println!("\nbytes of an encoding\n\n| kind | sites | 1 element | 100 | 10,000 |\n|---|---|---|---|---|");
    for kind in Kind::ALL {
        for sites in [1, 3, 10] {
            let sizes = [1, 100, 10_000].map(|elements| encoded(*kind, sites, elements).to_string());
            println!("| {} | {sites} | {} |", kind.name(), sizes.join(" | "));
        }
    }
}

/// Bytes of a value to which so many sites did so many things, one after the other.
fn encoded(kind: Kind, sites: usize, elements: usize) -> usize {
    let mut value = Crdt::empty(kind);
    let json = Json::parse("\"value\"", Limits::default()).expect("a text");
    for at in 0..elements.max(sites) {
        let (who, name) = (replica(at % sites), element(at % elements));
        let stamp = Hlc::new(1_700_000_000_000 + at as u64, 0).expect("a stamp");
        let done = match &mut value {
            Crdt::Gcounter(counter) => counter.add(1, who).map(drop),
            Crdt::Pncounter(counter) => counter.add(-1, who).map(drop),
            Crdt::Bcounter(counter) => counter.add(1, who).map(drop),
            Crdt::Lww(register) => {
                register.set(&json, stamp, who);
                Ok(())
            }
            Crdt::Mv(register) => register.set(&json, who).map(drop),
            Crdt::Gset(set) => set.add(&name).map(drop),
            Crdt::Set(set) => set.add(&name, who).map(drop),
            Crdt::RwSet(set) => set.add(&name, who).map(drop),
            Crdt::Flag(flag) => flag.enable(who).map(drop),
            Crdt::DwFlag(flag) => flag.enable(who).map(drop),
            Crdt::Map(map) => map.put(&name, &json, stamp, who).map(drop),
        };
        done.expect("nothing is too large");
    }
    value.encode().len()
}
