//! Comparing what two sites hold, as of a moment that both have reached: without I/O.
//!
//! What must always hold here: only what both say that they hold is compared, the meet of their clocks, so that what is on its way is no difference; and
//! what is asked of the other side is digests, never events. A lane's chain says everything about the lane up to an event, so equal digests of the same
//! dots are equal histories, and where they differ, ever smaller clocks lead to the first dot: in `log₁₆(lanes) + log₁₆(events of a lane)` questions.
//!
//! How to drive it: both sides make an [`Inventory`]; then, as long as [`Comparison::wanted`] gives clocks, both sides give the digest of each to
//! [`Comparison::answered`]; then [`Comparison::report`].

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use uuid::Uuid;

use crate::clock::Clock;
use crate::digest::{RowsDigest, digest};
use crate::id::{Dot, Seq, StreamId};

/// Into how many parts at once what differs is cut.
const PARTS: usize = 16;
/// How many lanes one question names, about.
const DOTS_MAX: usize = 100_000;
/// How many clocks one question names, about.
const CLOCKS_MAX: usize = 10_000;

/// The digest of the chains at a clock's dots ([`digest`]); None where one of them is not there.
pub type HeldDigest = Option<[u8; 16]>;

/// What is asked of the other side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// What it has.
    Inventory,
    /// What its digest is at each of these clocks.
    Digests(Vec<Clock>),
}

/// What it answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// What it has.
    Inventory(Inventory),
    /// One digest for each clock.
    Digests(Vec<HeldDigest>),
}

/// What a site has that can be compared.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inventory {
    /// What it holds.
    pub clock: Clock,
    /// Its streams, and whether it exchanges events of each with the other side, in either direction.
    pub streams: BTreeMap<String, bool>,
    /// Its views over streams that it exchanges, by name.
    pub views: BTreeMap<String, ViewDefinition>,
}

/// A view, as far as it is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewDefinition {
    /// The stream that it is made of.
    pub stream: String,
    /// The digest of its definition.
    pub digest: [u8; 16],
}

impl ViewDefinition {
    /// Of all that its rows depend on, as texts.
    pub fn of(stream: &str, words: &[Option<&str>]) -> ViewDefinition {
        let mut digest = RowsDigest::new();
        digest.add(&[Some(stream)]);
        digest.add(words);
        ViewDefinition { stream: stream.to_owned(), digest: digest.finish() }
    }
}

/// Answers do not fit what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{asked} digests were asked for, and {found} were given")]
pub struct Unanswered {
    /// Clocks that were named.
    pub asked: usize,
    /// Digests that came.
    pub found: usize,
}

/// A comparison.
#[derive(Debug)]
pub struct Comparison {
    mine: Inventory,
    theirs: Inventory,
    searches: BTreeMap<String, Search>,
    /// Which streams were asked about, and by how many clocks.
    asked: Vec<(String, usize)>,
}

/// Where the comparison of a stream stands.
#[derive(Debug)]
struct Search {
    /// What is asked next: consecutive parts of what may differ. None: it is over.
    parts: Option<Vec<Clock>>,
    /// Where the parts are of one lane: up to here it is the same.
    same: Seq,
    /// The digests of the whole.
    digests: Option<(HeldDigest, HeldDigest)>,
    found: Found,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    /// No difference.
    Nothing,
    /// The first event that is another one.
    Other(Dot),
    /// The first event that is not here, though later ones of its lane are.
    NotHere(Dot),
    /// The first event that is not there, though later ones of its lane are.
    NotThere(Dot),
    /// There was a difference, and none was found: a stream was dropped meanwhile.
    Changed,
}

/// What came of a comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// By name.
    pub streams: BTreeMap<String, StreamReport>,
    /// By name.
    pub views: BTreeMap<String, ViewReport>,
}

/// How two things compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The same, as far as both have it.
    Equal,
    /// Not the same.
    Differs,
    /// The other side does not have it.
    OnlyHere,
    /// This side does not have it.
    OnlyThere,
    /// One of the two does not exchange it with the other.
    NotExchanged,
}

impl Outcome {
    /// As it is told.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Equal => "equal",
            Outcome::Differs => "differs",
            Outcome::OnlyHere => "only here",
            Outcome::OnlyThere => "only there",
            Outcome::NotExchanged => "not exchanged",
        }
    }
}

/// How a stream compares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamReport {
    /// At what both hold.
    pub outcome: Outcome,
    /// The first dot, by site, lane and seq, that differs, or that one side lacks though it holds later ones of the lane.
    pub differs_at: Option<Dot>,
    /// Events that both hold.
    pub common: u64,
    /// Events that only one side has said that it holds: here and there.
    pub beyond: (u64, u64),
    /// The first of them.
    pub first_beyond: (Option<Dot>, Option<Dot>),
    /// The digests at what both hold.
    pub digests: (HeldDigest, HeldDigest),
    /// More of it, to read.
    pub detail: Option<&'static str>,
}

/// How a view's definition compares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewReport {
    /// Of the definitions; never [`Outcome::NotExchanged`].
    pub outcome: Outcome,
    /// The digests of the definitions.
    pub digests: (HeldDigest, HeldDigest),
    /// The streams that they are made of.
    pub streams: (Option<String>, Option<String>),
}

impl Comparison {
    /// Of what two sites have.
    pub fn new(mine: Inventory, theirs: Inventory) -> Comparison {
        let common = mine.clock.meet(&theirs.clock);
        let exchanged =
            |name: &&String| mine.streams.get(*name) == Some(&true) && theirs.streams.get(*name) == Some(&true);
        let mut dots = by_stream(&common);
        let searches = mine.streams.keys().filter(exchanged).map(|name| {
            let clock = dots.remove(&StreamId::of_name(name)).unwrap_or_default();
            (name.clone(), Search::of(clock))
        });
        let searches = searches.collect();
        Comparison { mine, theirs, searches, asked: Vec::new() }
    }

    /// The clocks whose digests are wanted next, of both sides; None: all is known.
    pub fn wanted(&mut self) -> Option<Vec<Clock>> {
        self.asked.clear();
        let (mut clocks, mut dots) = (Vec::new(), 0);
        for (name, search) in &self.searches {
            let Some(parts) = &search.parts else { continue };
            if dots >= DOTS_MAX || clocks.len() >= CLOCKS_MAX {
                break;
            }
            dots += parts.iter().map(Clock::len).sum::<usize>();
            clocks.extend(parts.iter().cloned());
            self.asked.push((name.clone(), parts.len()));
        }
        (!clocks.is_empty()).then_some(clocks)
    }

    /// Whether all is known.
    pub fn is_over(&self) -> bool {
        self.searches.values().all(|search| search.parts.is_none())
    }

    /// The digests at the clocks that [`Comparison::wanted`] gave, in their order.
    pub fn answered(&mut self, mine: &[HeldDigest], theirs: &[HeldDigest]) -> Result<(), Unanswered> {
        let asked = self.asked.iter().map(|(_, clocks)| clocks).sum();
        for found in [mine.len(), theirs.len()] {
            if found != asked {
                return Err(Unanswered { asked, found });
            }
        }
        let (mut mine, mut theirs) = (mine.iter().copied(), theirs.iter().copied());
        for (name, clocks) in std::mem::take(&mut self.asked) {
            let pairs = mine.by_ref().take(clocks).zip(theirs.by_ref().take(clocks)).collect::<Vec<_>>();
            if let Some(search) = self.searches.get_mut(&name) {
                search.narrow(&pairs);
            }
        }
        Ok(())
    }

    /// What came of it.
    pub fn report(&self) -> Report {
        let names = self.mine.streams.keys().chain(self.theirs.streams.keys()).collect::<BTreeSet<_>>();
        let mut beyond_here = by_stream(&self.mine.clock.difference(&self.theirs.clock));
        let mut beyond_there = by_stream(&self.theirs.clock.difference(&self.mine.clock));
        let mut common = by_stream(&self.mine.clock.meet(&self.theirs.clock));
        let streams = names.into_iter().map(|name| {
            let stream = StreamId::of_name(name);
            let here = beyond(&beyond_here.remove(&stream).unwrap_or_default(), &self.theirs.clock);
            let there = beyond(&beyond_there.remove(&stream).unwrap_or_default(), &self.mine.clock);
            let common = common.remove(&stream).unwrap_or_default().iter().map(|dot| dot.seq).sum();
            (name.clone(), self.stream(name, common, here, there))
        });
        let streams = streams.collect();
        let names = self.mine.views.keys().chain(self.theirs.views.keys()).collect::<BTreeSet<_>>();
        let views = names.into_iter().filter_map(|name| Some((name.clone(), self.view(name)?)));
        Report { streams, views: views.collect() }
    }

    fn stream(&self, name: &str, common: u64, here: (u64, Option<Dot>), there: (u64, Option<Dot>)) -> StreamReport {
        let mut report = StreamReport {
            outcome: Outcome::Equal,
            differs_at: None,
            common,
            beyond: (here.0, there.0),
            first_beyond: (here.1, there.1),
            digests: (None, None),
            detail: None,
        };
        let Some(search) = self.searches.get(name) else {
            report.outcome = match (self.mine.streams.get(name), self.theirs.streams.get(name)) {
                (Some(_), None) => Outcome::OnlyHere,
                (None, _) => Outcome::OnlyThere,
                (Some(_), Some(_)) => Outcome::NotExchanged,
            };
            return report;
        };
        report.digests = search.digests.unwrap_or_default();
        (report.outcome, report.differs_at, report.detail) = match search.found {
            Found::Nothing => (Outcome::Equal, None, None),
            Found::Other(dot) => {
                (Outcome::Differs, Some(dot), Some("the same dot is another event here than there: a fork"))
            }
            Found::NotHere(dot) => (
                Outcome::Differs,
                Some(dot),
                Some("it is not here, though later events of its lane are: see gundb.verify()"),
            ),
            Found::NotThere(dot) => (
                Outcome::Differs,
                Some(dot),
                Some("it is not there, though later events of its lane are: see gundb.verify() there"),
            ),
            Found::Changed => (Outcome::Differs, None, Some("it has changed meanwhile: compare again")),
        };
        report
    }

    fn view(&self, name: &str) -> Option<ViewReport> {
        let (mine, theirs) = (self.mine.views.get(name), self.theirs.views.get(name));
        let outcome = match (mine, theirs) {
            (Some(mine), Some(theirs)) if mine == theirs => Outcome::Equal,
            (Some(_), Some(_)) => Outcome::Differs,
            (Some(_), None) => Outcome::OnlyHere,
            (None, Some(_)) => Outcome::OnlyThere,
            (None, None) => return None,
        };
        let digest = |view: Option<&ViewDefinition>| view.map(|view| view.digest);
        let stream = |view: Option<&ViewDefinition>| view.map(|view| view.stream.clone());
        Some(ViewReport { outcome, digests: (digest(mine), digest(theirs)), streams: (stream(mine), stream(theirs)) })
    }
}

impl Search {
    fn of(clock: Clock) -> Search {
        let parts = (!clock.is_empty()).then(|| vec![clock]);
        // Of nothing there is a digest too, and both sides would give the same.
        let nothing = Some(digest(Vec::new()));
        let digests = parts.is_none().then_some((nothing, nothing));
        Search { parts, same: 0, digests, found: Found::Nothing }
    }

    /// What the digests of the parts say.
    fn narrow(&mut self, pairs: &[(HeldDigest, HeldDigest)]) {
        let parts = self.parts.take().unwrap_or_default();
        let is_first = self.digests.is_none();
        if is_first {
            self.digests = pairs.first().copied();
        }
        let Some(at) = pairs.iter().position(|(mine, theirs)| mine.is_none() || mine != theirs) else {
            if !is_first {
                self.found = Found::Changed;
            }
            return;
        };
        let dots = parts.get(at).into_iter().flat_map(Clock::iter).collect::<Vec<_>>();
        let [dot] = dots.as_slice() else {
            // The parts cover the whole, so the first one that differs has the first lane that does.
            let each = dots.len().div_ceil(PARTS).max(1);
            self.parts = Some(dots.chunks(each).map(|lanes| lanes.iter().copied().collect()).collect());
            return;
        };
        // Parts of one lane are prefixes of it: the one before is the same.
        let before = at.checked_sub(1).and_then(|before| parts.get(before)?.iter().next());
        let before = before.filter(|before| (before.site, before.lane) == (dot.site, dot.lane));
        self.same = before.map_or(self.same, |before| before.seq);
        let left = dot.seq.saturating_sub(self.same);
        if left > 1 {
            let step = left.div_ceil(PARTS as u64);
            let seqs = (1..PARTS as u64).map(|part| self.same + part * step).filter(|seq| *seq < dot.seq);
            let seqs = seqs.chain([dot.seq]);
            self.parts = Some(seqs.map(|seq| [Dot { seq, ..*dot }].into_iter().collect()).collect());
            return;
        }
        self.found = match pairs.get(at) {
            Some((None, _)) => Found::NotHere(*dot),
            Some((_, None)) => Found::NotThere(*dot),
            _ => Found::Other(*dot),
        };
    }
}

/// What a clock covers of each stream.
fn by_stream(clock: &Clock) -> BTreeMap<StreamId, Clock> {
    let mut streams: BTreeMap<StreamId, Clock> = BTreeMap::new();
    clock.iter().for_each(|dot| streams.entry(dot.stream).or_default().advance(&dot));
    streams
}

/// How many events these lanes have beyond another clock, and the first of them.
fn beyond(more: &Clock, held: &Clock) -> (u64, Option<Dot>) {
    let held = |dot: &Dot| held.get(dot.site, dot.stream, dot.lane);
    // What a peer says that it holds may be anything.
    let events = more.iter().map(|dot| dot.seq.saturating_sub(held(&dot))).fold(0, u64::saturating_add);
    (events, more.iter().next().map(|dot| Dot { seq: held(&dot) + 1, ..dot }))
}

impl Report {
    /// A row each, as `gundb.compare` gives them.
    pub fn to_json(&self) -> Value {
        let digest = |digest: HeldDigest| digest.map(|digest| Uuid::from_bytes(digest).to_string());
        // As far as SQL counts.
        let count = |events: u64| events.min(i64::MAX.cast_unsigned());
        let dot = |dot: Option<Dot>| dot.map(|dot| dot.to_string());
        let streams = self.streams.iter().map(|(name, stream)| {
            json!({
                "kind": "stream", "name": name, "result": stream.outcome.name(),
                "differs_at": dot(stream.differs_at), "common": stream.common,
                "only_here": count(stream.beyond.0), "only_there": count(stream.beyond.1),
                "first_only_here": dot(stream.first_beyond.0), "first_only_there": dot(stream.first_beyond.1),
                "digest_here": digest(stream.digests.0), "digest_there": digest(stream.digests.1), "detail": stream.detail,
            })
        });
        let views = self.views.iter().map(|(name, view)| {
            let (here, there) = &view.streams;
            let stream = here.as_ref().or(there.as_ref());
            json!({
                "kind": "view", "name": name, "result": view.outcome.name(),
                "digest_here": digest(view.digests.0), "digest_there": digest(view.digests.1),
                "detail": stream.map(|stream| format!("of stream \"{stream}\"")),
            })
        });
        streams.chain(views).collect()
    }
}
