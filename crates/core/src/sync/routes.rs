//! What goes from one site to another, and what comes to that at all: by author, from what is known of the ways.
//!
//! Events that an author writes in a stream *may come* to a site from the author, where the stream flows from it, or from anybody to whom they may come
//! and from whom the stream flows, where anybody's are taken. They *come* likewise, but by a site that is not their author only if all streams of the
//! author that may come to the receiver come to it: else it could bring an event without knowing of its causes in the author's own streams.
//!
//! What must always hold here: where something is not known, more may come, and less is forwarded. A site that was not heard of yet may have everything,
//! and cannot be relied on for anything. Of an author from whom no way leads here, such as one that is no peer any more,
//! nothing new comes; what it wrote before is forwarded by who takes all streams that the receiver takes.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::{SiteId, StreamId};
use crate::sync::filter::{Flow, SYSTEM_STREAM};
use crate::sync::message::{Accept, Hello};
use crate::sync::ways::{Way, Ways, Word};

/// What goes from one site to another, and what comes to that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Routes {
    /// Every way is open: everybody gets everything.
    Open,
    /// All that flows goes, and of what does not nothing is said.
    Unspoken,
    /// It differs.
    Known(Known),
}

/// What goes, and comes, where ways differ.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Known {
    /// By author; one that is not there is not known.
    authors: BTreeMap<SiteId, Author>,
    /// What is forwarded of authors that are not known.
    forwards_others: bool,
    /// The streams in which such authors may have written what yet comes to the receiver.
    others_come: BTreeSet<StreamId>,
    /// The streams whose names are known.
    named: BTreeSet<StreamId>,
}

/// What is known of an author.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Author {
    /// Whether the sender may forward what it wrote.
    is_forwarded: bool,
    /// The streams in which what it wrote may yet come to the receiver.
    comes: BTreeSet<StreamId>,
}

impl Routes {
    /// From the site that said `mine` to the one that said `theirs`; `names` are those of all streams that are known to either.
    pub fn new<S: AsRef<str>>(mine: &Hello, theirs: &Hello, names: &[S]) -> Routes {
        Routes::between(mine.site, theirs.site, &met(mine, theirs), names)
    }

    /// What comes to a site at all, by what it knows.
    pub fn to<S: AsRef<str>>(site: SiteId, ways: &Ways, names: &[S]) -> Routes {
        Routes::between(site, site, ways, names)
    }

    /// What goes from one site to another, by what a third knows.
    pub fn between<S: AsRef<str>>(from: SiteId, to: SiteId, ways: &Ways, names: &[S]) -> Routes {
        if ways.is_open() {
            return Routes::Open;
        }
        let map = Map::new(ways, names);
        let (Some(from), Some(to)) = (map.index(from), map.index(to)) else { return Routes::Open };
        let mut known = Known {
            authors: BTreeMap::new(),
            forwards_others: map.taken(to).is_within(&map.taken(from)),
            others_come: if map.is_whole(to) { BTreeSet::new() } else { map.streams(&map.taken(to)) },
            named: map.named.keys().copied().collect(),
        };
        for (author, site) in map.sites.iter().enumerate() {
            let reach = map.reach(author);
            let at = |relation: &Held, place: usize| relation.get(place).cloned().flatten().unwrap_or_default();
            let is_forwarded = at(&reach.may_at_most, to).is_within(&at(&reach.come_at_least, from));
            known.authors.insert(*site, Author { is_forwarded, comes: map.streams(&at(&reach.come_at_most, to)) });
        }
        Routes::Known(known)
    }

    /// Whether the sender may forward what a site wrote, to one that takes anybody's events.
    pub fn forwards(&self, author: SiteId) -> bool {
        let Routes::Known(known) = self else { return true };
        known.authors.get(&author).map_or(known.forwards_others, |author| author.is_forwarded)
    }

    /// Whether what a site wrote in a stream may yet come to the receiver. `unnamed` is the answer for a stream whose name is not known.
    pub fn comes(&self, author: SiteId, stream: StreamId, unnamed: bool) -> bool {
        match self {
            Routes::Open => true,
            Routes::Unspoken => false,
            Routes::Known(known) if !known.named.contains(&stream) => unnamed,
            Routes::Known(known) => {
                known.authors.get(&author).map_or(&known.others_come, |author| &author.comes).contains(&stream)
            }
        }
    }
}

/// What is known of the ways once two sites have said their hellos: of each what it said itself, and of what goes between them what both said now.
fn met(mine: &Hello, theirs: &Hello) -> Ways {
    let mut ways = mine.ways.join(&theirs.ways);
    for (to, from) in [(mine, theirs), (theirs, mine)] {
        let known = to.ways.ways_to(to.site).iter().chain(if to.site == from.site {
            from.ways.ways_to(from.site)
        } else {
            &[]
        });
        let mut word = Word { version: 1, ways: known.cloned().collect() };
        let flow = Flow { push: from.push.clone(), pull: to.pull.clone() };
        word.ways.push(Way { from: Some(from.site), flow, accept: to.accept });
        if to.site == from.site {
            word.ways.extend(ways.ways_to(to.site).iter().cloned());
        }
        ways.set(to.site, word);
    }
    ways
}

/// A set of streams, each a bit: those that all filters treat alike are one. Few have more than the first 64.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Streams {
    first: u64,
    more: Vec<u64>,
}

impl Streams {
    fn insert(&mut self, at: usize) {
        if self.more.len() < at / 64 {
            self.more.resize(at / 64, 0);
        }
        if let Some(word) = self.word(at / 64) {
            *word |= 1 << (at % 64);
        }
    }

    fn word(&mut self, at: usize) -> Option<&mut u64> {
        if at == 0 { Some(&mut self.first) } else { self.more.get_mut(at - 1) }
    }

    fn words(&self) -> impl Iterator<Item = u64> {
        std::iter::once(self.first).chain(self.more.iter().copied())
    }

    fn has(&self, at: usize) -> bool {
        self.words().nth(at / 64).is_some_and(|word| word & 1 << (at % 64) != 0)
    }

    fn is_within(&self, other: &Streams) -> bool {
        self.words().zip(other.words().chain(std::iter::repeat(0))).all(|(word, other)| word & !other == 0)
    }

    fn both(&self, other: &Streams) -> Streams {
        let more = self.more.iter().zip(&other.more).map(|(a, b)| a & b).collect();
        Streams { first: self.first & other.first, more }
    }

    /// Takes in another; whether that was more.
    fn take_in(&mut self, other: &Streams) -> bool {
        let grows = !other.is_within(self);
        self.first |= other.first;
        if self.more.len() < other.more.len() {
            self.more.resize(other.more.len(), 0);
        }
        self.more.iter_mut().zip(&other.more).for_each(|(word, more)| *word |= more);
        grows
    }
}

/// A way, by the places of its ends.
struct Edge {
    /// None where nobody knows who it is.
    from: Option<usize>,
    to: usize,
    any: bool,
    flows: Streams,
}

/// All sites, and all ways.
struct Map {
    sites: Vec<SiteId>,
    /// Whether a site's word is known.
    is_known: Vec<bool>,
    edges: Vec<Edge>,
    /// The edges from each site.
    from: Vec<Vec<usize>>,
    /// The edges from nobody knows whom.
    loose: Vec<usize>,
    /// Sites that are not known, and from which anybody's events come.
    unknown: Vec<usize>,
    /// All streams.
    all: Streams,
    /// Which bit a stream is.
    named: BTreeMap<StreamId, usize>,
}

/// What has come to sites, by their places; where there is none nothing has.
type Held = Vec<Option<Streams>>;

/// What may come, and what comes, to each site: by what is known at least, or by what may be at most.
struct Reach {
    may_at_most: Held,
    come_at_least: Held,
    come_at_most: Held,
}

impl Map {
    fn new<S: AsRef<str>>(ways: &Ways, names: &[S]) -> Map {
        let ends = ways.iter().flat_map(|(to, word)| word.ways.iter().filter_map(|way| way.from).chain([to]));
        let sites: Vec<SiteId> = ends.collect::<BTreeSet<_>>().into_iter().collect();
        let flows: BTreeSet<&Flow> = ways.iter().flat_map(|(_, word)| word.ways.iter().map(|way| &way.flow)).collect();
        let mut classes = BTreeMap::<Vec<bool>, usize>::new();
        let mut named = BTreeMap::new();
        for name in names.iter().map(AsRef::as_ref).chain([SYSTEM_STREAM]) {
            let class: Vec<bool> = flows.iter().map(|flow| flow.matches(name)).collect();
            let next = classes.len();
            named.insert(StreamId::of_name(name), *classes.entry(class).or_insert(next));
        }
        let (mut all, mut of_flow) = (Streams::default(), vec![Streams::default(); flows.len()]);
        for (class, bit) in &classes {
            all.insert(*bit);
            of_flow.iter_mut().zip(class).filter(|(_, flows)| **flows).for_each(|(streams, _)| streams.insert(*bit));
        }
        let of_flow: BTreeMap<&Flow, Streams> = flows.into_iter().zip(of_flow).collect();
        let is_known = sites.iter().map(|site| ways.knows(*site)).collect();
        let from = vec![Vec::new(); sites.len()];
        let mut map = Map { sites, is_known, edges: vec![], from, loose: vec![], unknown: vec![], all, named };
        for (to, way) in ways.iter().flat_map(|(to, word)| word.ways.iter().map(move |way| (to, way))) {
            let flows = of_flow.get(&way.flow).cloned().unwrap_or_default();
            map.lay(to, way, flows);
        }
        map.unknown.sort_unstable();
        map.unknown.dedup();
        map
    }

    fn lay(&mut self, to: SiteId, way: &Way, flows: Streams) {
        let Some(to) = self.index(to) else { return };
        let from = way.from.and_then(|from| self.index(from));
        let any = way.accept == Accept::Any;
        match from {
            None => self.loose.push(self.edges.len()),
            Some(from) => {
                self.from.get_mut(from).into_iter().for_each(|edges| edges.push(self.edges.len()));
                let is_known = self.is_known.get(from).is_some_and(|known| *known);
                self.unknown.extend(Some(from).filter(|_| any && !is_known));
            }
        }
        self.edges.push(Edge { from, to, any, flows });
    }

    fn index(&self, site: SiteId) -> Option<usize> {
        self.sites.binary_search(&site).ok()
    }

    fn streams(&self, streams: &Streams) -> BTreeSet<StreamId> {
        self.named.iter().filter(|(_, bit)| streams.has(**bit)).map(|(stream, _)| *stream).collect()
    }

    /// What a site takes from anybody.
    fn taken(&self, to: usize) -> Streams {
        let mut taken = Streams::default();
        self.edges.iter().filter(|edge| edge.to == to).for_each(|edge| {
            taken.take_in(&edge.flows);
        });
        taken
    }

    /// Whether all are known from whom something comes to a site.
    fn is_whole(&self, to: usize) -> bool {
        let (mut reached, mut next) = (BTreeSet::from([to]), vec![to]);
        while let Some(site) = next.pop() {
            if !self.is_known.get(site).is_some_and(|known| *known) {
                return false;
            }
            for edge in self.edges.iter().filter(|edge| edge.to == site) {
                let Some(from) = edge.from else { return false };
                if edge.any && reached.insert(from) {
                    next.push(from);
                }
            }
        }
        true
    }

    fn reach(&self, author: usize) -> Reach {
        let may_at_least = self.spread(author, false, |_, _| true);
        let may_at_most = self.spread(author, true, |_, _| true);
        // Where nothing may come, nothing can be missing.
        let has = |may: &Held, edge: &Edge, held: &Streams| {
            may.get(edge.to).and_then(Option::as_ref).is_none_or(|may| may.is_within(held))
        };
        let come_at_least = self.spread(author, false, |edge, held| has(&may_at_most, edge, held));
        let come_at_most = self.spread(author, true, |edge, held| has(&may_at_least, edge, held));
        Reach { may_at_most, come_at_least, come_at_most }
    }

    /// What an author wrote, at each site: it goes on from site to site until it is nowhere new. `unknown`: whether who is not known has it all.
    fn spread(&self, author: usize, unknown: bool, forwards: impl Fn(&Edge, &Streams) -> bool) -> Held {
        let mut held: Held = vec![None; self.sites.len()];
        let take_in = |held: &mut Held, to: usize, streams: &Streams| {
            held.get_mut(to).is_some_and(|held| held.get_or_insert_default().take_in(streams))
        };
        take_in(&mut held, author, &self.all);
        if unknown {
            self.unknown.iter().for_each(|site| {
                take_in(&mut held, *site, &self.all);
            });
            for edge in self.loose.iter().filter_map(|edge| self.edges.get(*edge)) {
                take_in(&mut held, edge.to, &edge.flows);
            }
        }
        let mut next: Vec<usize> = (0..held.len()).filter(|site| matches!(held.get(*site), Some(Some(_)))).collect();
        while let Some(site) = next.pop() {
            let Some(at_source) = held.get(site).cloned().flatten() else { continue };
            for edge in self.from.get(site).into_iter().flatten().filter_map(|edge| self.edges.get(*edge)) {
                let goes = site == author || edge.any && forwards(edge, &at_source);
                if goes && take_in(&mut held, edge.to, &at_source.both(&edge.flows)) {
                    next.push(edge.to);
                }
            }
        }
        held
    }
}
