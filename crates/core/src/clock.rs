//! The vector clock: for each (site, stream, lane) how far its events are held, or were seen.
//!
//! What must always hold here: a clock covers a prefix of each lane and never stands at zero in one; clocks form a lattice (`tests/clock_laws.rs`). What a
//! clock is made of stays in here: a later version collapses the lanes of complete runs.
//!
//! The bytes are in `clock/encoding.rs`, the text in `clock/text.rs`.

mod encoding;
mod text;

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::iter::Peekable;

use crate::chain::{domain, half, hash};
use crate::id::{Dot, Lane, SEQ_MAX, Seq, SiteId, StreamId};

pub use encoding::ClockDecodeError;
pub use text::{ClockProblem, ClockTextError};

type Place = (SiteId, StreamId, Lane);

/// A vector clock. Each operation is linear in the entries of its operands, `get`, `covers` and `advance` logarithmic.
#[derive(Clone, PartialEq, Eq, Default, Hash)]
pub struct Clock {
    entries: BTreeMap<Place, Seq>,
}

/// One place of two clocks, zero where a clock has no entry.
struct Pair {
    place: Place,
    a: Seq,
    b: Seq,
}

impl Clock {
    /// The clock that covers nothing.
    pub const fn new() -> Clock {
        Clock { entries: BTreeMap::new() }
    }

    /// Whether it covers nothing.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The number of lanes that it covers something of.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// The last seq that it covers in a lane; 0 where it covers none.
    pub fn get(&self, site: SiteId, stream: StreamId, lane: Lane) -> Seq {
        self.entries.get(&(site, stream, lane)).copied().unwrap_or(0)
    }

    /// Whether it covers this dot.
    pub fn covers(&self, dot: &Dot) -> bool {
        dot.seq <= self.get(dot.site, dot.stream, dot.lane)
    }

    /// Makes it cover this dot, and all before it in its lane. Never lowers anything.
    pub fn advance(&mut self, dot: &Dot) {
        // A dot is in range when it was made by the rules; one that was not must not make a clock that cannot be read back.
        let seq = dot.seq.min(SEQ_MAX);
        if seq > 0 {
            let entry = self.entries.entry((dot.site, dot.stream, dot.lane)).or_insert(0);
            *entry = seq.max(*entry);
        }
    }

    /// The last dot that it covers of each lane, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Dot> + '_ {
        self.entries.iter().map(|(&(site, stream, lane), &seq)| Dot { site, stream, lane, seq })
    }

    /// Covers what either covers: the least upper bound.
    pub fn join(&self, other: &Clock) -> Clock {
        self.merge_with(other, |a, b| a.max(b))
    }

    /// Covers what both cover: the greatest lower bound.
    pub fn meet(&self, other: &Clock) -> Clock {
        self.merge_with(other, |a, b| a.min(b))
    }

    /// The entries of this clock that the other does not cover: joined with the other they give the join of both.
    pub fn difference(&self, other: &Clock) -> Clock {
        self.merge_with(other, |a, b| if a > b { a } else { 0 })
    }

    /// What it covers of some streams.
    pub fn restrict_to_streams(&self, takes: impl Fn(StreamId) -> bool) -> Clock {
        let taken = self.entries.iter().filter(|((_, stream, _), _)| takes(*stream));
        Clock { entries: taken.map(|(place, seq)| (*place, *seq)).collect() }
    }

    /// Whether this clock covers more, less or the same; None where each covers what the other does not.
    pub fn compare(&self, other: &Clock) -> Option<Ordering> {
        let (mut less, mut greater) = (false, false);
        for pair in self.pairs(other) {
            less |= pair.a < pair.b;
            greater |= pair.a > pair.b;
            if less && greater {
                return None;
            }
        }
        Some(greater.cmp(&less))
    }

    /// Whether each covers what the other does not.
    pub fn concurrent(&self, other: &Clock) -> bool {
        self.compare(other).is_none()
    }

    /// 16 bytes of hash of the encoding: equal clocks have equal digests.
    pub fn digest(&self) -> [u8; 16] {
        half(&hash(&[&domain::CLOCK, &self.encode()]))
    }

    fn merge_with(&self, other: &Clock, merge: impl Fn(Seq, Seq) -> Seq) -> Clock {
        let merged = self.pairs(other).map(|pair| (pair.place, merge(pair.a, pair.b)));
        // `collect` of sorted entries builds the tree in linear time.
        Clock { entries: merged.filter(|(_, seq)| *seq > 0).collect() }
    }

    /// The places of either clock, in order.
    fn pairs<'a>(&'a self, other: &'a Clock) -> impl Iterator<Item = Pair> + 'a {
        Pairs { a: self.entries.iter().peekable(), b: other.entries.iter().peekable() }
    }
}

struct Pairs<A: Iterator, B: Iterator> {
    a: Peekable<A>,
    b: Peekable<B>,
}

impl<'a, A, B> Iterator for Pairs<A, B>
where
    A: Iterator<Item = (&'a Place, &'a Seq)>,
    B: Iterator<Item = (&'a Place, &'a Seq)>,
{
    type Item = Pair;

    fn next(&mut self) -> Option<Pair> {
        let order = match (self.a.peek(), self.b.peek()) {
            (None, None) => return None,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some((a, _)), Some((b, _))) => a.cmp(b),
        };
        let a = if order.is_le() { self.a.next() } else { None };
        let b = if order.is_ge() { self.b.next() } else { None };
        let (place, _) = a.or(b)?;
        let seq = |entry: Option<(&Place, &Seq)>| entry.map_or(0, |(_, seq)| *seq);
        Some(Pair { place: *place, a: seq(a), b: seq(b) })
    }
}

impl PartialOrd for Clock {
    /// The partial order of [`Clock::compare`].
    fn partial_cmp(&self, other: &Clock) -> Option<Ordering> {
        self.compare(other)
    }
}

impl FromIterator<Dot> for Clock {
    /// The least clock that covers these dots: the aggregate `clock_of`.
    fn from_iter<I: IntoIterator<Item = Dot>>(dots: I) -> Clock {
        let mut clock = Clock::new();
        clock.extend(dots);
        clock
    }
}

impl Extend<Dot> for Clock {
    fn extend<I: IntoIterator<Item = Dot>>(&mut self, dots: I) {
        dots.into_iter().for_each(|dot| self.advance(&dot));
    }
}
