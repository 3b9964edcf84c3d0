//! Where an event stands and what its author had seen, as folds need it: marks, and the trait that compares them.
//!
//! What must always hold here: the order of marks is the total order (a view looks at one stream, so a mark leaves the stream out), and nothing is in the
//! context of what sorts before it, whatever a [`Causality`] says: so an event that sorts last can be in no context of what was folded before.

use std::collections::BTreeMap;

use crate::bytes::{DecodeError, DecodeProblem, Reader, put_hlc, put_varint};
use crate::clock::Clock;
use crate::context::{Epoch, happened_before};
use crate::hlc::Hlc;
use crate::id::{Dot, Lane, Run, SEQ_MAX, Seq, SiteId, StreamId};

/// An event's place in the total order, and the epoch that its context refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark {
    /// Its stamp.
    pub hlc: Hlc,
    /// The site that wrote it.
    pub site: SiteId,
    /// Its lane.
    pub lane: Lane,
    /// Its place in the lane.
    pub seq: Seq,
    /// The number of its epoch, in its run.
    pub epoch: u64,
}

/// Which event was in which one's context.
///
/// Laws, which what sites write keeps: (1) a context covers a prefix of each lane: if `b` was seen, so was what stands before it in its lane; (2) of two
/// events of one run the later has seen what the earlier has. It need not be transitive.
pub trait Causality {
    /// Whether the event at `a` is in the context of the event at `b`.
    fn happened_before(&self, a: &Mark, b: &Mark) -> bool;
}

/// Contexts by epochs. An epoch that was not put in covers nothing.
#[derive(Debug, Clone)]
pub struct Contexts {
    stream: StreamId,
    clocks: BTreeMap<Epoch, Clock>,
    empty: Clock,
}

impl Contexts {
    /// The contexts of a stream's events.
    pub fn new(stream: StreamId) -> Contexts {
        Contexts { stream, clocks: BTreeMap::new(), empty: Clock::new() }
    }

    /// Says what an epoch covers.
    pub fn insert(&mut self, epoch: Epoch, clock: Clock) {
        self.clocks.insert(epoch, clock);
    }

    /// Whether the epoch of a mark was put in.
    pub fn knows(&self, mark: &Mark) -> bool {
        self.clocks.contains_key(&mark.epoch_id())
    }
}

impl Causality for Contexts {
    fn happened_before(&self, a: &Mark, b: &Mark) -> bool {
        let clock = self.clocks.get(&b.epoch_id()).unwrap_or(&self.empty);
        happened_before(&a.dot(self.stream), a.hlc, b.site, b.lane.run(), b.hlc, clock)
    }
}

impl Mark {
    /// The event's dot in its stream.
    pub fn dot(&self, stream: StreamId) -> Dot {
        Dot { site: self.site, stream, lane: self.lane, seq: self.seq }
    }

    /// The epoch that its context refers to.
    pub fn epoch_id(&self) -> Epoch {
        Epoch { site: self.site, run: self.lane.run(), number: self.epoch }
    }

    /// Who its author is, as contexts see it.
    pub(super) fn run(&self) -> (SiteId, Run) {
        (self.site, self.lane.run())
    }

    /// The fewest bytes of an encoded mark.
    pub(super) const BYTES_MIN: usize = 8 + 16 + 8 + 1 + 1;

    pub(super) fn encode(&self, bytes: &mut Vec<u8>) {
        put_hlc(bytes, self.hlc);
        bytes.extend_from_slice(self.site.0.as_bytes());
        bytes.extend_from_slice(&self.lane.to_bits().to_be_bytes());
        put_varint(bytes, self.seq);
        put_varint(bytes, self.epoch);
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Mark, DecodeError> {
        let (hlc, site) = (reader.hlc()?, SiteId(reader.uuid()?));
        let offset = reader.offset();
        let out_of_range = Reader::error_at(offset, DecodeProblem::Integer);
        let lane = Lane::from_bits(reader.u64()?).ok_or(out_of_range.clone())?;
        let seq = reader.positive()?;
        let epoch = reader.varint()?;
        if seq > SEQ_MAX {
            return Err(out_of_range);
        }
        Ok(Mark { hlc, site, lane, seq, epoch })
    }
}

/// The marks of one event: more than one where its id was accepted at several sites. The first in total order is its place and has its context.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Marks {
    pub(super) first: Mark,
    /// The others, in order.
    pub(super) others: Vec<Mark>,
}

impl Marks {
    pub(super) fn all(&self) -> impl Iterator<Item = &Mark> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// Whether the event is in a context: when any of its marks is.
    pub(super) fn seen_by(&self, by: &Mark, causality: &impl Causality) -> bool {
        self.all().any(|mark| is_before(mark, by, causality))
    }

    /// Whether every context that has the other event has this one too: the other has one mark, later in a lane of this one's.
    pub(super) fn implied_by(&self, other: &Marks) -> bool {
        let later = |mark: &Mark| {
            let same_lane = (mark.site, mark.lane) == (other.first.site, other.first.lane);
            same_lane && mark.seq < other.first.seq
        };
        other.others.is_empty() && self.all().any(later)
    }

    pub(super) fn encode(&self, bytes: &mut Vec<u8>) {
        put_varint(bytes, self.others.len() as u64);
        self.all().for_each(|mark| mark.encode(bytes));
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Marks, DecodeError> {
        let others = reader.count(Mark::BYTES_MIN)?;
        let offset = reader.offset();
        let first = Mark::decode(reader)?;
        let others = (0..others).map(|_| Mark::decode(reader)).collect::<Result<Vec<_>, _>>()?;
        let marks = Marks { first, others };
        if marks.all().is_sorted_by(|a, b| a < b) {
            Ok(marks)
        } else {
            Err(Reader::error_at(offset, DecodeProblem::Order))
        }
    }
}

/// Whether an event is in a context, where the context sorts after it.
pub(super) fn is_before(a: &Mark, b: &Mark, causality: &impl Causality) -> bool {
    a < b && causality.happened_before(a, b)
}
