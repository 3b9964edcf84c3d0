//! Whether each transaction saw what it must know of.
//!
//! What must always hold here: what is reported is an anomaly whatever the order of the writes that nobody's knowledge
//! orders. A chain's writers of a key are ordered, so of each chain only the last one that a reader must know of is looked
//! at.

use super::causality::{Causality, Cause};
use super::convergence::Order;
use super::index::{Index, Seen};
use super::{Anomaly, Arbitration, History, Kind};
use std::collections::{HashMap, HashSet};

/// What was checked. A check that had nothing to look at proves nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    pub transactions: usize,
    pub writes: usize,
    /// Reads of what others wrote.
    pub reads: usize,
    /// Pairs of writes of which a read says which comes first.
    pub ordered: usize,
}

/// Finds an anomaly, if there is one: first what a transaction shows by itself, then missing causes, then an order that
/// turns in a circle.
///
/// Panics if a value is written to a key twice.
pub fn check(history: &History, arbitration: Arbitration) -> Result<Checked, Anomaly> {
    let index = Index::of(history)?;
    let causality = Causality::of(&index)?;
    let checker = Checker { writers: writers(&index), index: &index, causality: &causality };
    let mut order = Order::new(&index, &causality, arbitration);
    for reader in 0..index.transactions.len() {
        for read in &index.transactions[reader].reads {
            checker.read(reader, read.key, &read.seen, &mut order)?;
        }
    }
    let checked = Checked {
        transactions: index.transactions.len(),
        writes: index.writes.len(),
        reads: index.transactions.iter().map(|transaction| transaction.reads.len()).sum(),
        ordered: order.pairs(),
    };
    order.assert_one()?;
    Ok(checked)
}

/// A transaction's place in its chain, and the last that it wrote to a key.
struct Writer {
    at: usize,
    transaction: usize,
    last: usize,
}

/// By key and chain, in the order of the chain.
type Writers<'h> = HashMap<&'h str, HashMap<usize, Vec<Writer>>>;

fn writers<'h>(index: &Index<'h>) -> Writers<'h> {
    let mut writers = Writers::new();
    for (number, write) in index.writes.iter().enumerate() {
        let of = &index.transactions[write.transaction];
        let chain = writers.entry(write.key).or_default().entry(of.chain).or_default();
        match chain.last_mut() {
            Some(last) if last.transaction == write.transaction => last.last = number,
            _ => chain.push(Writer { at: of.at, transaction: write.transaction, last: number }),
        }
    }
    writers
}

struct Checker<'c, 'h> {
    index: &'c Index<'h>,
    causality: &'c Causality<'h>,
    writers: Writers<'h>,
}

impl<'h> Checker<'_, 'h> {
    fn read(&self, reader: usize, key: &'h str, seen: &Seen, order: &mut Order<'_, 'h>) -> Result<(), Anomaly> {
        let shown: HashSet<usize> = match seen {
            Seen::List(writes) => writes.iter().map(|&write| self.index.writes[write].transaction).collect(),
            _ => HashSet::new(),
        };
        for (&chain, writers) in self.writers.get(key).into_iter().flatten() {
            let known = self.causality.known(reader, chain);
            let causes = &writers[..writers.partition_point(|writer| writer.at < known)];
            let Some(last) = causes.last() else { continue };
            match seen {
                Seen::Nothing => return Err(self.missing(reader, key, last)),
                Seen::Value(write) => {
                    let winner = self.index.writes[*write].transaction;
                    if self.causality.is_before(self.index, winner, last.transaction) {
                        return Err(self.missing(reader, key, last));
                    }
                    if winner != last.transaction {
                        order.put(last.last, *write, reader);
                    }
                }
                Seen::List(_) => {
                    if let Some(missing) = causes.iter().find(|writer| !shown.contains(&writer.transaction)) {
                        return Err(self.missing(reader, key, missing));
                    }
                }
            }
        }
        if let Seen::List(writes) = seen {
            writes.windows(2).for_each(|pair| order.put(pair[0], pair[1], reader));
        }
        Ok(())
    }

    /// The reader must know of a write, and what it read says that it does not.
    fn missing(&self, reader: usize, key: &str, writer: &Writer) -> Anomaly {
        let way = self.causality.way(writer.transaction, reader);
        let kind = promise(&way);
        let value = self.index.writes[writer.last].value;
        let explanation = format!(
            "{} reads {key} without {value}, which it must know of: {}; {}",
            self.index.name(reader),
            self.index.name(writer.transaction),
            self.causality.tell(self.index, &way)
        );
        Anomaly::new(kind, explanation)
    }
}

/// Which promise says that the end of this way knows of its beginning.
fn promise(way: &[(Cause<'_>, usize)]) -> Kind {
    let reads: Vec<usize> = (0..way.len()).filter(|&at| way[at].0 != Cause::Session).collect();
    match reads[..] {
        [] => Kind::ReadYourWrites,
        [0] if way.len() == 1 => Kind::FracturedRead,
        [0] => Kind::MonotonicReads,
        [_] => Kind::MonotonicWrites,
        [0, _] => Kind::WritesFollowReads,
        _ => Kind::CausalityViolation,
    }
}
