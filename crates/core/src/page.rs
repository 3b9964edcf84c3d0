//! Pages of whole transactions, merged from many lanes: what reading, consumers and replication share.
//!
//! A state machine without I/O: [`Merge::step`] says what it needs or what comes next, the caller fetches rows and answers. Rows stay with the caller;
//! the merge knows their coordinates only.
//!
//! What must always hold here: a transaction comes whole (as far as it stands in the lanes being read), transactions come by their greatest stamp, events
//! inside in total order, and `max` is exceeded only by one larger transaction that stands first.
//!
//! Why the head of each lane is enough: a transaction holds its lane to its end, so in a lane the greatest stamps ascend, and all parts of a transaction
//! stand at the heads of their lanes when its turn comes. A lane whose head is not known yet is held by a lower bound of its greatest stamp, and is
//! asked about only when that bound is the smallest: a page reads no further into a lane than it must.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

use crate::event::TransactionId;
use crate::hlc::Hlc;
use crate::id::{Lane, Run, Seq, SiteId, StreamId};

/// Which of the lanes given to [`Merge::new`], counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneIndex(pub usize);

/// A lane among all lanes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneKey {
    /// The site that writes it.
    pub site: SiteId,
    /// The stream that it belongs to.
    pub stream: StreamId,
    /// The lane.
    pub lane: Lane,
}

/// The coordinates of an event in its lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Its place in the lane.
    pub seq: Seq,
    /// Its stamp.
    pub hlc: Hlc,
    /// The first stamp of its transaction.
    pub xact: Hlc,
    /// Whether its transaction may have written to other streams: its greatest stamp is then asked for.
    pub wide: bool,
    /// Whether it counts towards `max`. Rows that a filter leaves out do not; they are supplied all the same, since they place their transaction.
    pub counts: bool,
}

/// Consecutive rows of one lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// The lane.
    pub lane: LaneIndex,
    /// The first row.
    pub from_seq: Seq,
    /// The last row.
    pub to_seq: Seq,
    /// How many rows were supplied from the first to the last.
    pub rows: usize,
}

/// A transaction whose turn has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// Which one.
    pub transaction: TransactionId,
    /// Its greatest stamp, over all streams.
    pub greatest_stamp: Hlc,
    /// How many of its rows count.
    pub counted_rows: usize,
    /// Its rows, in total order.
    pub segments: Vec<Segment>,
}

/// What the merge needs, or gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The next rows of this lane, by [`Merge::supply`].
    NeedRows(LaneIndex),
    /// The greatest stamp of this transaction over all streams, by [`Merge::span`].
    NeedSpan(TransactionId),
    /// The next transaction.
    Transaction(Placed),
    /// The page is full: what is left, if anything, is for another page.
    Full,
    /// Every lane is at its end.
    End,
}

/// What is wrong with rows that were supplied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SupplyError {
    /// There is no such lane.
    #[error("there is no lane {} in the merge", .lane.0)]
    UnknownLane {
        /// The lane named.
        lane: LaneIndex,
    },
    /// The lane's end had been told.
    #[error("rows of lane {} after its end", .lane.0)]
    AfterEnd {
        /// The lane.
        lane: LaneIndex,
    },
    /// No row and not the end: asking again would go on for ever.
    #[error("no rows of lane {}, which is not at its end", .lane.0)]
    Nothing {
        /// The lane.
        lane: LaneIndex,
    },
    /// Rows that do not ascend.
    #[error("the rows of lane {} do not ascend at seq {seq}", .lane.0)]
    Order {
        /// The lane.
        lane: LaneIndex,
        /// The row that is not after the one before it.
        seq: Seq,
    },
}

/// Where a transaction stands among others. Stamps are unique in a run, so no two share a place.
type Place = (Hlc, SiteId, Run);

/// A lane's entry in the heap. What is not known yet goes before what is, at the same place: it may belong to the same transaction.
type Entry = Reverse<(Place, Readiness, usize)>;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Readiness {
    /// The place is a lower bound.
    Bound,
    /// The lane's first transaction is whole, and the place is its own.
    Whole,
}

/// What is known of a lane's first transaction.
#[derive(Clone, Copy)]
enum Head {
    Ended,
    Incomplete { at_least: Hlc },
    Unplaced { transaction: TransactionId, at_least: Hlc },
    Whole { transaction: TransactionId, greatest_stamp: Hlc },
}

/// The merge of a page.
#[derive(Debug)]
pub struct Merge {
    lanes: Vec<LaneState>,
    /// One entry a lane that is not at its end; its place is a lower bound, brought up to date when it comes to the top.
    heap: BinaryHeap<Entry>,
    spans: BTreeMap<TransactionId, Option<Hlc>>,
    rows_max: usize,
    rows_taken: usize,
}

#[derive(Debug)]
struct LaneState {
    key: LaneKey,
    /// Rows that were supplied and not given yet.
    rows: VecDeque<Row>,
    at_end: bool,
    /// How many of the rows are known to belong to the first transaction.
    head_rows: usize,
    /// The greatest stamp among those, or of what was given last.
    greatest_stamp: Hlc,
    last_seq: Seq,
}

impl Merge {
    /// A page of at most `rows_max` rows (but at least one transaction) from these lanes.
    pub fn new(lanes: impl IntoIterator<Item = LaneKey>, rows_max: usize) -> Merge {
        let lanes: Vec<LaneState> = lanes.into_iter().map(LaneState::new).collect();
        let heap =
            lanes.iter().enumerate().map(|(index, lane)| lane.entry(index, Hlc::MIN, Readiness::Bound)).collect();
        Merge { lanes, heap, spans: BTreeMap::new(), rows_max, rows_taken: 0 }
    }

    /// The next rows of a lane, in order of seq, and whether they are the last. Seqs may be missing, as where a filter leaves transactions out.
    pub fn supply(
        &mut self,
        lane: LaneIndex,
        rows: impl IntoIterator<Item = Row>,
        at_end: bool,
    ) -> Result<(), SupplyError> {
        let state = self.lanes.get_mut(lane.0).ok_or(SupplyError::UnknownLane { lane })?;
        if state.at_end {
            return Err(SupplyError::AfterEnd { lane });
        }
        let rows_before = state.rows.len();
        for row in rows {
            if row.seq <= state.last_seq {
                return Err(SupplyError::Order { lane, seq: row.seq });
            }
            state.last_seq = row.seq;
            state.rows.push_back(row);
        }
        if state.rows.len() == rows_before && !at_end {
            return Err(SupplyError::Nothing { lane });
        }
        state.at_end = at_end;
        Ok(())
    }

    /// The greatest stamp of a transaction over all streams, whether or not it was asked for; None where it wrote to one stream only.
    pub fn span(&mut self, transaction: TransactionId, greatest_stamp: Option<Hlc>) {
        self.spans.insert(transaction, greatest_stamp);
    }

    /// The next thing to do. O(log lanes) a transaction; one that stands in several lanes also sorts its rows.
    pub fn step(&mut self) -> Step {
        loop {
            if self.rows_taken > 0 && self.rows_taken >= self.rows_max {
                // Whether something is left need not be found out: it may take a read.
                return if self.heap.is_empty() { Step::End } else { Step::Full };
            }
            let Some(Reverse((place, readiness, index))) = self.heap.peek().copied() else {
                return Step::End;
            };
            let Some(lane) = self.lanes.get_mut(index) else {
                return Step::End;
            };
            let head = lane.head(&self.spans);
            let entry = match head {
                Head::Ended => None,
                Head::Incomplete { at_least } | Head::Unplaced { at_least, .. } => {
                    Some(lane.entry(index, at_least, Readiness::Bound))
                }
                Head::Whole { greatest_stamp, .. } => Some(lane.entry(index, greatest_stamp, Readiness::Whole)),
            };
            if entry != Some(Reverse((place, readiness, index))) {
                // What the heap knew was out of date; another lane may stand before this one now.
                self.heap.pop();
                self.heap.extend(entry);
                continue;
            }
            return match head {
                Head::Whole { transaction, greatest_stamp } => self.place(transaction, greatest_stamp),
                Head::Unplaced { transaction, .. } => Step::NeedSpan(transaction),
                Head::Incomplete { .. } | Head::Ended => Step::NeedRows(LaneIndex(index)),
            };
        }
    }

    /// Takes a transaction, whose parts are all at the top of the heap, unless it does not fit.
    fn place(&mut self, transaction: TransactionId, greatest_stamp: Hlc) -> Step {
        let indices = self.lanes_of(transaction, greatest_stamp);
        let lanes = indices.iter().filter_map(|index| self.lanes.get(*index));
        let counted_rows = lanes.map(LaneState::counted_head_rows).sum();
        if self.rows_taken > 0 && self.rows_taken.saturating_add(counted_rows) > self.rows_max {
            self.push_back(&indices, greatest_stamp, Readiness::Whole);
            return Step::Full;
        }
        let segments = self.take_segments(&indices);
        self.push_back(&indices, greatest_stamp, Readiness::Bound);
        self.spans.remove(&transaction);
        self.rows_taken = self.rows_taken.saturating_add(counted_rows);
        Step::Transaction(Placed { transaction, greatest_stamp, counted_rows, segments })
    }

    /// Takes from the heap the lanes that a transaction stands at the head of.
    fn lanes_of(&mut self, transaction: TransactionId, greatest_stamp: Hlc) -> Vec<usize> {
        let place = (greatest_stamp, transaction.site, transaction.run);
        let mut indices = Vec::with_capacity(1);
        while let Some(Reverse((found, _, index))) = self.heap.peek().copied() {
            let lane = self.lanes.get(index);
            if found != place || lane.and_then(LaneState::head_transaction) != Some(transaction) {
                break;
            }
            self.heap.pop();
            indices.push(index);
        }
        indices
    }

    fn push_back(&mut self, indices: &[usize], at_least: Hlc, readiness: Readiness) {
        for index in indices {
            if let Some(lane) = self.lanes.get(*index) {
                self.heap.push(lane.entry(*index, at_least, readiness));
            }
        }
    }

    /// Takes the first transaction off these lanes, as segments in total order.
    fn take_segments(&mut self, indices: &[usize]) -> Vec<Segment> {
        if let [index] = indices {
            let rows = self.lanes.get_mut(*index).into_iter().flat_map(LaneState::take_head);
            let whole = rows.map(|row| Segment::of_row(*index, row.seq)).reduce(Segment::with);
            return whole.into_iter().collect();
        }
        let mut rows: Vec<(Hlc, LaneKey, Seq, usize)> = Vec::new();
        for index in indices {
            if let Some(lane) = self.lanes.get_mut(*index) {
                let key = lane.key;
                rows.extend(lane.take_head().map(|row| (row.hlc, key, row.seq, *index)));
            }
        }
        rows.sort_unstable();
        // Within a lane stamps ascend with seqs; should a damaged history not, its segments break there.
        let runs = rows.chunk_by(|(_, _, a_seq, a_lane), (_, _, b_seq, b_lane)| a_lane == b_lane && a_seq < b_seq);
        let segments =
            runs.map(|run| run.iter().map(|(_, _, seq, index)| Segment::of_row(*index, *seq)).reduce(Segment::with));
        segments.flatten().collect()
    }
}

impl Segment {
    fn of_row(index: usize, seq: Seq) -> Segment {
        Segment { lane: LaneIndex(index), from_seq: seq, to_seq: seq, rows: 1 }
    }

    fn with(self, next: Segment) -> Segment {
        Segment { to_seq: next.to_seq, rows: self.rows + next.rows, ..self }
    }
}

impl LaneState {
    fn new(key: LaneKey) -> LaneState {
        LaneState { key, rows: VecDeque::new(), at_end: false, head_rows: 0, greatest_stamp: Hlc::MIN, last_seq: 0 }
    }

    fn entry(&self, index: usize, at_least: Hlc, readiness: Readiness) -> Entry {
        Reverse(((at_least, self.key.site, self.key.lane.run()), readiness, index))
    }

    fn head_transaction(&self) -> Option<TransactionId> {
        let xact = self.rows.front()?.xact;
        Some(TransactionId { site: self.key.site, run: self.key.lane.run(), xact })
    }

    fn counted_head_rows(&self) -> usize {
        self.rows.iter().take(self.head_rows).filter(|row| row.counts).count()
    }

    /// Looks as far as rows are known. Each row is looked at once.
    fn head(&mut self, spans: &BTreeMap<TransactionId, Option<Hlc>>) -> Head {
        let Some((transaction, first)) = self.head_transaction().zip(self.rows.front().copied()) else {
            return if self.at_end { Head::Ended } else { Head::Incomplete { at_least: self.greatest_stamp } };
        };
        while let Some(row) = self.rows.get(self.head_rows).filter(|row| row.xact == first.xact) {
            self.greatest_stamp = self.greatest_stamp.max(row.hlc);
            self.head_rows += 1;
        }
        let at_least = self.greatest_stamp;
        if self.head_rows == self.rows.len() && !self.at_end {
            return Head::Incomplete { at_least };
        }
        match spans.get(&transaction) {
            None if first.wide => Head::Unplaced { transaction, at_least },
            None | Some(None) => Head::Whole { transaction, greatest_stamp: at_least },
            // Never before its own rows, whatever is said.
            Some(Some(stamp)) => Head::Whole { transaction, greatest_stamp: at_least.max(*stamp) },
        }
    }

    fn take_head(&mut self) -> impl Iterator<Item = Row> + '_ {
        let taken = std::mem::take(&mut self.head_rows);
        self.rows.drain(..taken)
    }
}
