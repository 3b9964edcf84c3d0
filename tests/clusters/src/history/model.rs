//! Sites in memory that exchange their transactions, and sessions at them: what they tell is causally consistent, unless a
//! fault is planted. So it can be shown what the checker sees, and how long a history must be for it.
//!
//! What must always hold here: everything comes from the generator; without a fault a site applies whole transactions, in an
//! order in which another site held them, and stamps grow along it.

use super::{Arbitration, History, Operation, Outcome, Session, Transaction};
use std::collections::BTreeMap;

/// What is done wrong, and how often.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    None,
    /// A transaction of another site is taken for applied, and is not.
    DroppedApply(f64),
    /// A part of a transaction is applied with the next bundle only.
    SplitApply(f64),
    /// A transaction is applied after what came behind it.
    LateApply(f64),
    /// A transaction is applied a second time, as if it were another.
    DoubleApply(f64),
    /// What was applied last counts, instead of what was stamped last.
    ArrivalCounts,
    /// A session is served by another site, without waiting for what it knows.
    Unawaited(f64),
    /// A transaction is acknowledged, and is not there.
    LostCommit(f64),
    /// A transaction that is rolled back leaves its writes.
    KeptRollback,
}

#[derive(Clone, Copy, Debug)]
pub struct Model {
    pub sites: usize,
    pub sessions: usize,
    pub keys: usize,
    pub transactions: usize,
    /// What gets a place of its own in the total order.
    pub stamps: Arbitration,
    pub fault: Fault,
}

impl Model {
    /// Three sites with four sessions each.
    pub fn new(transactions: usize, fault: Fault) -> Model {
        Model { sites: 3, sessions: 12, keys: 40, transactions, stamps: Arbitration::Transactions, fault }
    }

    pub fn tell(self, random: &mut fastrand::Rng) -> History {
        let names = (0..self.sessions).map(|number| format!("site{}.{number}", number % self.sites));
        let mut told = Telling {
            model: self,
            random: random.fork(),
            sites: vec![Site::new(self.sites); self.sites],
            stored: Vec::new(),
            sessions: names.map(|name| Session { name, transactions: Vec::new() }).collect(),
            value: 0,
        };
        for _ in 0..self.transactions {
            told.exchange();
            told.transaction();
        }
        History { sessions: told.sessions }
    }
}

/// A place in the total order: of a transaction, and the write in it.
type Stamp = (u64, usize, usize);

#[derive(Clone)]
struct Stored {
    writes: Vec<(Stamp, usize, u64)>,
}

#[derive(Clone)]
struct Site {
    /// Transactions in the order in which they were applied here.
    log: Vec<usize>,
    holds: Vec<bool>,
    /// How far the others' logs were read.
    read: Vec<usize>,
    /// By key: all writes in the total order, and the one that was applied last.
    writes: BTreeMap<usize, (BTreeMap<Stamp, u64>, u64)>,
    clock: u64,
    late: Vec<(Stamp, usize, u64)>,
}

impl Site {
    fn new(sites: usize) -> Site {
        let (log, holds, late) = (Vec::new(), Vec::new(), Vec::new());
        Site { log, holds, read: vec![0; sites], writes: BTreeMap::new(), clock: 0, late }
    }

    fn store(&mut self, writes: &[(Stamp, usize, u64)]) {
        for &(stamp, key, value) in writes {
            self.clock = self.clock.max(stamp.0);
            let (all, last) = self.writes.entry(key).or_default();
            all.insert(stamp, value);
            *last = value;
        }
    }

    fn list(&self, key: usize) -> Vec<u64> {
        self.writes.get(&key).map_or_else(Vec::new, |(all, _)| all.values().copied().collect())
    }

    fn value(&self, key: usize, fault: Fault) -> Option<u64> {
        let (all, last) = self.writes.get(&key)?;
        if fault == Fault::ArrivalCounts { Some(*last) } else { all.values().next_back().copied() }
    }
}

struct Telling {
    model: Model,
    random: fastrand::Rng,
    sites: Vec<Site>,
    stored: Vec<Stored>,
    sessions: Vec<Session>,
    value: u64,
}

impl Telling {
    fn happens(&mut self, probability: f64) -> bool {
        self.random.f64() < probability
    }

    /// Now and then one site takes what another holds, up to some point.
    fn exchange(&mut self) {
        let (to, from) = (self.random.usize(..self.model.sites), self.random.usize(..self.model.sites));
        if to == from || !self.happens(0.3) {
            return;
        }
        let late = std::mem::take(&mut self.sites[to].late);
        self.sites[to].store(&late);
        let (begin, end) = (self.sites[to].read[from], self.sites[from].log.len());
        let end = begin + self.random.usize(..=end - begin);
        self.sites[to].read[from] = end;
        for at in begin..end {
            let number = self.sites[from].log[at];
            self.sites[to].holds.resize(self.stored.len(), false);
            if !std::mem::replace(&mut self.sites[to].holds[number], true) {
                self.sites[to].log.push(number);
                self.apply(to, number);
            }
        }
    }

    fn apply(&mut self, to: usize, number: usize) {
        let mut writes = self.stored[number].writes.clone();
        let fault = self.model.fault;
        match fault {
            Fault::DroppedApply(often) if self.happens(often) => return,
            Fault::LateApply(often) if self.happens(often) => return self.sites[to].late.append(&mut writes),
            Fault::SplitApply(often) if self.happens(often) => {
                let rest = writes.split_off(writes.len() / 2);
                self.sites[to].late.extend(rest);
            }
            Fault::DoubleApply(often) if self.happens(often) => {
                let again: Vec<_> =
                    writes.iter().map(|&((time, site, at), key, value)| ((time, site + 100, at), key, value)).collect();
                self.sites[to].store(&again);
            }
            _ => {}
        }
        self.sites[to].store(&writes);
    }

    fn transaction(&mut self) {
        let session = self.random.usize(..self.model.sessions);
        let home = session % self.model.sites;
        let fault = self.model.fault;
        let site = match fault {
            Fault::Unawaited(often) if self.happens(often) => self.random.usize(..self.model.sites),
            _ => home,
        };
        let outcome = match self.random.u8(..50) {
            0 => Outcome::RolledBack,
            1 => Outcome::Unanswered,
            _ => Outcome::Committed,
        };
        let (reads, writes) = match self.random.u8(..5) {
            0 | 1 => (0, self.random.usize(1..5)),
            2 | 3 => (self.random.usize(1..4), 0),
            _ => (self.random.usize(1..3), self.random.usize(1..4)),
        };
        let mut operations = Vec::new();
        for _ in 0..reads {
            let number = self.random.usize(..self.model.keys);
            let key = format!("k{number}");
            operations.push(match self.random.bool() {
                true => Operation::Read { key, value: self.sites[site].value(number, self.model.fault) },
                false => Operation::List { key, values: self.sites[site].list(number) },
            });
        }
        let mut stored = Vec::new();
        let time = self.sites[site].clock + 1;
        for at in 0..writes {
            let number = self.random.usize(..self.model.keys);
            self.value += 1;
            let stamp = match self.model.stamps {
                Arbitration::Transactions => (time, site, at),
                Arbitration::Writes => (time + at as u64, site, 0),
            };
            stored.push((stamp, number, self.value));
            operations.push(Operation::Write { key: format!("k{number}"), value: self.value });
        }
        self.sessions[session].transactions.push(Transaction { outcome, operations });
        let is_stored = match (outcome, fault) {
            (Outcome::Committed, Fault::LostCommit(often)) => !self.happens(often),
            (Outcome::Committed, _) => true,
            (Outcome::RolledBack, fault) => fault == Fault::KeptRollback,
            (Outcome::Unanswered, _) => self.random.bool(),
        };
        if is_stored && !stored.is_empty() {
            let number = self.stored.len();
            self.sites[site].store(&stored);
            self.stored.push(Stored { writes: stored });
            self.sites[site].holds.resize(number + 1, false);
            self.sites[site].holds[number] = true;
            self.sites[site].log.push(number);
        }
    }
}
