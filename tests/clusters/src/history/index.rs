//! Who wrote what, and what can be said of a transaction by itself.
//!
//! What must always hold here: only transactions that count are numbered, those that committed and those without an
//! answer of which something was seen. A chain is what follows one after the other: the committed transactions of a
//! session; one without an answer is a chain of its own, which begins where its session stood, since it may have
//! committed at any time after.

use super::{Anomaly, History, Kind, Operation, Outcome, Session, Transaction};
use std::collections::{HashMap, HashSet};

/// A transaction that counts.
pub struct Numbered<'h> {
    pub session: &'h Session,
    /// In its session, from 1.
    pub number: usize,
    pub transaction: &'h Transaction,
    pub chain: usize,
    /// In its chain, from 0.
    pub at: usize,
    /// The one before in its session.
    pub before: Option<usize>,
    /// What it read of others.
    pub reads: Vec<Read<'h>>,
}

/// A write that counts.
#[derive(Clone, Copy)]
pub struct Write<'h> {
    pub transaction: usize,
    pub key: &'h str,
    pub value: u64,
}

/// What a transaction read of others. Writes by their numbers.
pub struct Read<'h> {
    pub key: &'h str,
    pub seen: Seen,
}

pub enum Seen {
    Nothing,
    Value(usize),
    /// With its own writes among them.
    List(Vec<usize>),
}

pub struct Index<'h> {
    pub transactions: Vec<Numbered<'h>>,
    pub writes: Vec<Write<'h>>,
    pub chains: usize,
    /// The number of a value's write.
    numbers: HashMap<(&'h str, u64), usize>,
    rolled_back: HashSet<(&'h str, u64)>,
    /// The values that a transaction wrote to a key, in its order.
    written: HashMap<(usize, &'h str), Vec<u64>>,
}

impl<'h> Index<'h> {
    pub fn of(history: &'h History) -> Result<Index<'h>, Anomaly> {
        let seen = seen_values(history);
        let mut index = Index {
            transactions: Vec::new(),
            writes: Vec::new(),
            chains: history.sessions.len(),
            numbers: HashMap::new(),
            rolled_back: HashSet::new(),
            written: HashMap::new(),
        };
        for (chain, session) in history.sessions.iter().enumerate() {
            let (mut at, mut before) = (0, None);
            for (number, transaction) in session.transactions.iter().enumerate() {
                let is_seen = || writes_of(transaction).any(|write| seen.contains(&write));
                match transaction.outcome {
                    Outcome::Committed => {
                        let this = index.add(session, number + 1, transaction, chain, at, before);
                        (at, before) = (at + 1, Some(this));
                    }
                    Outcome::Unanswered if is_seen() => {
                        index.chains += 1;
                        index.add(session, number + 1, transaction, index.chains - 1, 0, before);
                    }
                    Outcome::Unanswered | Outcome::RolledBack => index.rolled_back.extend(writes_of(transaction)),
                }
            }
        }
        for this in 0..index.transactions.len() {
            index.transactions[this].reads = index.reads_of(this)?;
        }
        Ok(index)
    }

    fn add(
        &mut self,
        session: &'h Session,
        number: usize,
        transaction: &'h Transaction,
        chain: usize,
        at: usize,
        before: Option<usize>,
    ) -> usize {
        let this = self.transactions.len();
        for (key, value) in writes_of(transaction) {
            let twice = self.numbers.insert((key, value), self.writes.len());
            assert!(twice.is_none(), "the history is none: {value} is written to {key} twice");
            self.writes.push(Write { transaction: this, key, value });
            self.written.entry((this, key)).or_default().push(value);
        }
        self.transactions.push(Numbered { session, number, transaction, chain, at, before, reads: Vec::new() });
        this
    }

    /// Names a transaction: who, which, what it did.
    pub fn name(&self, transaction: usize) -> String {
        let Numbered { session, number, transaction, .. } = &self.transactions[transaction];
        format!("{} {number} ({transaction})", session.name)
    }

    /// Reads the transaction from its beginning: what it saw of itself must be right, the rest is what it saw of others.
    fn reads_of(&self, this: usize) -> Result<Vec<Read<'h>>, Anomaly> {
        let mut own: HashMap<&str, Vec<u64>> = HashMap::new();
        let mut before: HashMap<(&str, bool), Vec<u64>> = HashMap::new();
        let mut reads = Vec::new();
        let transaction: &'h Transaction = self.transactions[this].transaction;
        for operation in &transaction.operations {
            let wrong = |kind, why| Anomaly::new(kind, format!("{}: {operation}, {why}", self.name(this)));
            let (key, values, is_list) = match operation {
                Operation::Write { key, value } => {
                    own.entry(key).or_default().push(*value);
                    continue;
                }
                Operation::Read { key, value } => (key.as_str(), value.as_slice(), false),
                Operation::List { key, values } => (key.as_str(), values.as_slice(), true),
            };
            let mine = own.get(key).map(Vec::as_slice).unwrap_or_default();
            let shown: HashSet<u64> = values.iter().copied().collect();
            if shown.len() < values.len() {
                return Err(wrong(Kind::DoubleRead, "which shows a write twice".to_owned()));
            }
            let expected = if is_list { mine } else { &mine[mine.len().saturating_sub(1)..] };
            if expected.iter().any(|value| !shown.contains(value)) {
                return Err(wrong(Kind::OwnWriteLost, format!("although it has written {expected:?} there")));
            }
            if !is_list && !mine.is_empty() {
                continue;
            }
            let others: Vec<u64> = values.iter().copied().filter(|value| !mine.contains(value)).collect();
            if let Some(earlier) = before.insert((key, is_list), others.clone())
                && earlier != others
            {
                return Err(wrong(Kind::NonRepeatableRead, format!("where it read {earlier:?} before")));
            }
            for &value in &others {
                self.assert_readable(this, key, value, &shown, is_list).map_err(|(kind, why)| wrong(kind, why))?;
            }
            let numbers = values.iter().map(|value| self.numbers[&(key, *value)]);
            let seen = match (is_list, others.first()) {
                (true, _) => Seen::List(numbers.collect()),
                (false, Some(value)) => Seen::Value(self.numbers[&(key, *value)]),
                (false, None) => Seen::Nothing,
            };
            reads.push(Read { key, seen });
        }
        Ok(reads)
    }

    /// Whether a value of another's can be read at all.
    fn assert_readable(
        &self,
        this: usize,
        key: &str,
        value: u64,
        shown: &HashSet<u64>,
        is_list: bool,
    ) -> Result<(), (Kind, String)> {
        let Some(&number) = self.numbers.get(&(key, value)) else {
            return Err(match self.rolled_back.contains(&(key, value)) {
                true => (Kind::RolledBackRead, format!("and the transaction that wrote {value} was rolled back")),
                false => (Kind::ThinAirRead, format!("and nobody wrote {value} there")),
            });
        };
        let writer = self.writes[number].transaction;
        if writer == this {
            return Err((Kind::CyclicCausality, format!("and writes {value} later itself")));
        }
        let written = &self.written[&(writer, key)];
        if !is_list && written.last() != Some(&value) {
            return Err((Kind::IntermediateRead, format!("which {} overwrote itself", self.name(writer))));
        }
        if is_list && let Some(missing) = written.iter().find(|value| !shown.contains(value)) {
            return Err((Kind::FracturedRead, format!("without {missing} of {}", self.name(writer))));
        }
        Ok(())
    }
}

fn writes_of(transaction: &Transaction) -> impl Iterator<Item = (&str, u64)> {
    transaction.operations.iter().filter_map(|operation| match operation {
        Operation::Write { key, value } => Some((key.as_str(), *value)),
        _ => None,
    })
}

/// What anybody read of another's, and so was committed.
fn seen_values(history: &History) -> HashSet<(&str, u64)> {
    let mut seen = HashSet::new();
    for transaction in history.sessions.iter().flat_map(|session| &session.transactions) {
        let own: HashSet<_> = writes_of(transaction).collect();
        for operation in &transaction.operations {
            let (key, values) = match operation {
                Operation::Write { .. } => continue,
                Operation::Read { key, value } => (key.as_str(), value.as_slice()),
                Operation::List { key, values } => (key.as_str(), values.as_slice()),
            };
            seen.extend(values.iter().map(|value| (key, *value)).filter(|value| !own.contains(value)));
        }
    }
    seen
}
