//! By which ways events come to sites, as sites tell each other.
//!
//! Each site says from which peers it takes which streams, and tells on what others have said whose events come to it. So each comes to know the ways
//! by which something may come to it, however far away they begin: [`crate::sync::routes`] says what follows.
//!
//! What must always hold here: of each site the latest word counts, by its version. A site whose own word comes back later than it knows of, as after its
//! disk was put back, says its word anew, later than that.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::id::{SEQ_MAX, SiteId};
use crate::sync::filter::Flow;
use crate::sync::message::Accept;

/// Sites and ways that are told, together. What is not told is not known, and may be anything.
pub const WAYS_MAX: usize = 10_000;

/// A way on which events come to a site.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Way {
    /// The peer that brings them; None where the site has not met it yet.
    pub from: Option<SiteId>,
    /// The streams.
    pub flow: Flow,
    /// Whose events.
    pub accept: Accept,
}

impl Way {
    /// Whether anybody's events come by it, of all streams.
    pub fn is_open(&self) -> bool {
        self.accept == Accept::Any && self.flow.is_all()
    }
}

/// What a site said of the ways on which events come to it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Word {
    /// Which of its words this is: a later one has a greater number, at most [`SEQ_MAX`].
    pub version: u64,
    /// The ways, sorted.
    pub ways: Vec<Way>,
}

/// What is known of sites, by what each said.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ways {
    words: BTreeMap<SiteId, Word>,
}

impl Ways {
    /// What a site says of itself now. Whether that is something else than before.
    pub fn say(&mut self, own: SiteId, mut ways: Vec<Way>) -> bool {
        ways.sort();
        ways.dedup();
        let word = self.words.entry(own).or_default();
        let is_news = word.version == 0 || word.ways != ways;
        if is_news {
            *word = Word { version: (word.version + 1).min(SEQ_MAX), ways };
        }
        is_news
    }

    /// What a peer told the site `own`. Where its own events alone are taken, what it says of others is of no interest. Whether there was something new.
    pub fn learn(&mut self, told: &Ways, own: SiteId, accept: Accept) -> bool {
        let before = self.clone();
        for (site, word) in &told.words {
            let known = self.words.entry(*site).or_default();
            if *site == own {
                // What it says next is later than this. Whoever claims more than was ever said leaves room for what is.
                if *word > *known && word.ways != known.ways && word.version < SEQ_MAX / 2 {
                    known.version = word.version + 1;
                }
            } else if accept == Accept::Any {
                *known = word.clone().max(std::mem::take(known));
            }
        }
        self.words.retain(|_, word| word.version > 0);
        self.forget_apart(own);
        !self.says_as_much_as(&before)
    }

    /// Whether it says the same, in whatever versions.
    pub fn says_as_much_as(&self, other: &Ways) -> bool {
        self.words.len() == other.words.len()
            && self.words.iter().zip(&other.words).all(|(a, b)| a.0 == b.0 && a.1.ways == b.1.ways)
    }

    /// Whether all ways are open.
    pub fn is_open(&self) -> bool {
        self.words.values().all(|word| word.ways.iter().all(Way::is_open))
    }

    /// Forgets sites from which nothing comes to this one, and those farthest away where there are too many.
    fn forget_apart(&mut self, own: SiteId) {
        let (mut reached, mut next) = (BTreeSet::from([own]), VecDeque::from([own]));
        let (mut kept, mut count) = (BTreeSet::new(), 0);
        while let Some(site) = next.pop_front() {
            let ways = self.ways_to(site);
            count += 1 + ways.len();
            if count > WAYS_MAX && site != own {
                break;
            }
            kept.insert(site);
            // From one whose own events alone are taken nothing comes that came to him.
            let ways = ways.iter().filter(|way| way.accept == Accept::Any);
            next.extend(ways.filter_map(|way| way.from).filter(|from| reached.insert(*from)));
        }
        self.words.retain(|site, _| kept.contains(site));
    }

    /// What a site said, and nothing where it is not known.
    pub fn ways_to(&self, site: SiteId) -> &[Way] {
        self.words.get(&site).map_or(&[], |word| &word.ways)
    }

    /// Whether a site's word is known.
    pub fn knows(&self, site: SiteId) -> bool {
        self.words.contains_key(&site)
    }

    /// All words, by site.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (SiteId, &Word)> {
        self.words.iter().map(|(site, word)| (*site, word))
    }

    /// The later word of each site that either knows.
    pub fn join(&self, other: &Ways) -> Ways {
        let mut joined = self.clone();
        for (site, word) in &other.words {
            let known = joined.words.entry(*site).or_default();
            *known = word.clone().max(std::mem::take(known));
        }
        joined
    }

    /// Sets a site's word, whatever was known of it.
    pub fn set(&mut self, site: SiteId, word: Word) {
        self.words.insert(site, word);
    }
}

impl FromIterator<(SiteId, Word)> for Ways {
    fn from_iter<I: IntoIterator<Item = (SiteId, Word)>>(words: I) -> Ways {
        Ways { words: words.into_iter().collect() }
    }
}
