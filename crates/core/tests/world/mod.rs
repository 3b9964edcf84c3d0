//! A small world that makes events as sites make them: lanes, runs, stamps, epochs, ids accepted twice. One seed, one world.
//!
//! Sites apply any prefix of any lane of another, in any order, so contexts are legal and yet not transitive, as open transactions make them.
#![allow(dead_code, reason = "each test uses its part")]

use std::collections::BTreeMap;

use gundb_core::crdt::{Crdt, Gcounter, Replica};
use gundb_core::fold::{Appended, Contexts, Effect, Fold, Mark, Operation};
use gundb_core::*;
use uuid::Uuid;

use super::strategies;

/// SplitMix64 (Steele, Lea, Flood, 2014): enough for choosing.
pub struct Chance(pub u64);

impl Chance {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.below(at + 1));
        }
    }
}

struct Site {
    id: SiteId,
    run: u64,
    epoch: u64,
    /// What it had applied of others and of its earlier runs, as its current epoch says.
    applied: Clock,
    last: Hlc,
}

pub struct World {
    pub events: Vec<Appended>,
    pub contexts: Contexts,
}

pub const SITES: usize = 3;

/// The folds of the world's one view, each of them once.
pub fn folds() -> Vec<Fold> {
    Fold::all().collect()
}

fn numbers(chance: &mut Chance) -> Datum {
    const TEXTS: [&str; 8] = ["0.1", "0.2", "-0.3", "1", "12345678901234567890.123456789", "-7", "1e-20", "1e30"];
    Datum::Numeric(TEXTS[chance.below(TEXTS.len())].parse().unwrap())
}

fn texts(chance: &mut Chance) -> Datum {
    Datum::Text(["a", "b", "Ä", ""][chance.below(4)].into())
}

fn operations(fold: Fold, chance: &mut Chance, mark: Mark) -> Vec<Operation> {
    if chance.one_in(3) {
        return Vec::new();
    }
    let value = |chance: &mut Chance| (!chance.one_in(5)).then(|| texts(chance));
    match fold {
        Fold::Count => vec![Operation::Count],
        Fold::Sum | Fold::Avg | Fold::Min | Fold::Max => vec![Operation::Give(numbers(chance))],
        Fold::Lww | Fold::Fww => {
            vec![Operation::Write { by: Some(Datum::Bigint(chance.below(4) as i64)), value: value(chance) }]
        }
        Fold::Mv => vec![Operation::Write { by: None, value: value(chance) }],
        Fold::Set | Fold::RwSet => match chance.below(7) {
            0..3 => vec![Operation::Add(texts(chance))],
            3..6 => vec![Operation::Remove(texts(chance))],
            _ => vec![Operation::Add(texts(chance)), Operation::Remove(texts(chance))],
        },
        Fold::Flag | Fold::DwFlag => vec![if chance.one_in(2) { Operation::Enable } else { Operation::Disable }],
        Fold::Map => match chance.below(3) {
            0 => vec![Operation::Drop { key: texts(chance) }],
            _ => vec![Operation::Put { key: texts(chance), value: Datum::Jsonb(chance.below(9).to_string()) }],
        },
        Fold::Merge => {
            let replica = Replica { site: mark.site, incarnation: 0 };
            let mut counter = Gcounter::default();
            counter.add(1 + chance.below(9) as u64, replica).unwrap();
            vec![Operation::Merge(Crdt::from(counter))]
        }
    }
}

impl World {
    pub fn new(seed: u64, size: usize, deletes: bool, same_ids: bool) -> World {
        let mut chance = Chance(seed);
        let stream = strategies::stream(1);
        let mut contexts = Contexts::new(stream);
        let mut sites: Vec<Site> = (0..SITES)
            .map(|at| Site { id: strategies::site(at as u8), run: 1, epoch: 0, applied: Clock::new(), last: Hlc::MIN })
            .collect();
        for site in &sites {
            contexts.insert(epoch(site), Clock::new());
        }
        let mut heads: BTreeMap<(SiteId, Lane), Vec<Mark>> = BTreeMap::new();
        let mut events: Vec<Appended> = Vec::new();
        while events.len() < size {
            let at = chance.below(SITES);
            match chance.below(10) {
                0 if chance.one_in(3) => restart(&mut sites[at], &heads, &mut contexts, &mut chance),
                0..4 => apply(&mut sites[at], &heads, &mut contexts, &mut chance),
                _ => {
                    let site = &mut sites[at];
                    let now = chance.below(40) as u64;
                    site.last = Hlc::tick(site.last, now).unwrap();
                    let lane = strategies::lane(site.run, chance.below(2) as u16);
                    let head = heads.entry((site.id, lane)).or_default();
                    let mark =
                        Mark { hlc: site.last, site: site.id, lane, seq: 1 + head.len() as u64, epoch: site.epoch };
                    head.push(mark);
                    let effect = if deletes && chance.one_in(6) {
                        Effect::Delete
                    } else {
                        Effect::Fold(folds().into_iter().map(|fold| operations(fold, &mut chance, mark)).collect())
                    };
                    let fresh = Uuid::from_u128(u128::from(chance.next()));
                    // An id that another run has accepted, and that this one does not hold.
                    let other = events.iter().rev().find(|other| {
                        let foreign = (other.mark.site, other.mark.lane.run()) != (site.id, lane.run());
                        foreign && !site.applied.covers(&other.mark.dot(stream))
                    });
                    let id = match other {
                        Some(other) if same_ids && chance.one_in(3) => other.id,
                        _ => fresh,
                    };
                    events.push(Appended { id, mark, effect });
                }
            }
        }
        World { events, contexts }
    }
}

fn epoch(site: &Site) -> Epoch {
    Epoch { site: site.id, run: Run::new(site.run).unwrap(), number: site.epoch }
}

fn apply(site: &mut Site, heads: &BTreeMap<(SiteId, Lane), Vec<Mark>>, contexts: &mut Contexts, chance: &mut Chance) {
    let foreign: Vec<_> =
        heads.iter().filter(|((id, lane), _)| (*id, lane.run().number()) != (site.id, site.run)).collect();
    if foreign.is_empty() {
        return;
    }
    for _ in 0..=chance.below(2) {
        let (_, marks) = foreign[chance.below(foreign.len())];
        let mark = marks[chance.below(marks.len())];
        site.applied.advance(&mark.dot(strategies::stream(1)));
        site.last = site.last.max(mark.hlc);
    }
    site.epoch += 1;
    contexts.insert(epoch(site), site.applied.clone());
}

/// A new run, which may have lost the end of its lanes.
fn restart(site: &mut Site, heads: &BTreeMap<(SiteId, Lane), Vec<Mark>>, contexts: &mut Contexts, chance: &mut Chance) {
    for ((id, lane), marks) in heads {
        let kept = chance.below(marks.len() + 1);
        if *id == site.id && lane.run().number() == site.run && kept > 0 {
            site.applied.advance(&marks[kept - 1].dot(strategies::stream(1)));
        }
    }
    site.run += 1;
    site.epoch = 0;
    contexts.insert(epoch(site), site.applied.clone());
}
