//! The sending end of one direction: it says what is to be read, and frames what was read.
//!
//! What must always hold here: a bundle's digest is of what its receiver has received once all that was sent before has come; what is read follows that, or
//! what the receiver said that it holds, so a bundle that fits lacks no cause that is shipped here. Whatever was read before a bundle had to be sent again
//! is dropped, since it follows what did not come.

use std::collections::{BTreeMap, VecDeque};

use crate::bundle::{Bundle, EpochPart, From, Part};
use crate::clock::Clock;
use crate::context::EpochRecord;
use crate::event::{Event, Transaction, TransactionId};
use crate::hlc::Hlc;
use crate::id::SiteId;
use crate::page::LaneKey;
use crate::sync::bases::Bases;
use crate::sync::has_come;
use crate::sync::message::{Hello, Outcome, Receipt};
use crate::sync::routes::Routes;
use crate::sync::scope::{Hold, Page, Query, Range, Scope};
use crate::sync::ways::Ways;

/// About how many bytes a bundle has before compression.
pub const BUNDLE_BYTES: u64 = 1 << 20;
/// How many bundles may be on their way.
pub const BUNDLES_MAX: usize = 8;
/// How many bytes may be on their way.
pub const BYTES_MAX: u64 = 16 << 20;
/// For how many events of the last bundle the next one waits a millisecond, and how long at most: where much comes, few large
/// bundles cost both ends less than many small ones, and where little comes, it leaves at once.
const GATHER_EVENTS: u64 = 2;
/// See there.
pub const GATHER_MS: u64 = 20;
/// How long what the receiver gets elsewhere is held back.
pub const HOLD_MS: u64 = 250;
/// How long it is believed that the receiver gets a site's events elsewhere, after it last did.
pub const ELSEWHERE_MS: u64 = 5_000;
/// How long after a bundle that came too early the receiver is asked again.
pub const EARLY_MS: u64 = 1_000;

/// The sending end.
#[derive(Debug)]
pub struct Sender {
    mine: Hello,
    theirs: Hello,
    scope: Scope,
    /// The last bundle's number.
    number: u64,
    /// The number of the first bundle since a beginning: what is said of earlier ones no longer matters.
    first: u64,
    /// What the receiver's hello said that it holds, or what it last said that it has received, joined with what was sent since.
    presumed: Clock,
    /// The same, without what is on its way.
    received: Clock,
    on_the_way: VecDeque<Sent>,
    /// What the receiver said that it holds.
    holds: Clock,
    bases: Bases,
    large: Option<Large>,
    /// What the receiver must get elsewhere first, and when it is asked for it.
    early: Option<(Clock, u64)>,
    /// Whose events the receiver gets elsewhere, and until when that is believed.
    elsewhere: BTreeMap<SiteId, u64>,
    /// When the receiver last said what it holds.
    heard_ms: u64,
    /// When something was held back.
    held_back_ms: Option<u64>,
    /// The number of the bundle that asked what the receiver holds.
    asked: Option<u64>,
    /// Whether there may be something to read.
    news: bool,
    /// Until when more is gathered.
    gather_ms: Option<u64>,
    /// The beginning in which something is being read.
    reading: Option<u64>,
}

/// A bundle on its way.
#[derive(Debug)]
struct Sent {
    number: u64,
    content: Clock,
    bytes: u64,
}

/// A transaction that is sent in parts.
#[derive(Debug)]
struct Large {
    transaction: TransactionId,
    ends: Hlc,
    ranges_left: Vec<Range>,
    content: Clock,
    epochs: Vec<EpochRecord>,
    beside: Clock,
    /// The index of the next part.
    next: u64,
}

/// What a sender wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// That this is read, and given to [`Sender::page`].
    Read(Query),
    /// That this is sent.
    Send(Bundle),
}

impl Sender {
    /// A sender of what `mine` holds to the site that said `theirs`. `known_streams` are the names of all streams that are known here.
    pub fn new<S: AsRef<str>>(mine: &Hello, theirs: &Hello, known_streams: &[S]) -> Sender {
        let told = theirs.clock.clone();
        Sender {
            scope: Scope::new(mine, theirs, known_streams),
            mine: Hello { clock: Clock::new(), ..mine.clone() },
            theirs: Hello { clock: Clock::new(), ..theirs.clone() },
            number: 0,
            first: 1,
            presumed: told.clone(),
            received: told.clone(),
            on_the_way: VecDeque::new(),
            holds: told,
            bases: Bases::default(),
            large: None,
            early: None,
            elsewhere: BTreeMap::new(),
            heard_ms: 0,
            held_back_ms: None,
            asked: None,
            news: true,
            gather_ms: None,
            reading: None,
        }
    }

    /// Other streams are known here than before.
    pub fn streams<S: AsRef<str>>(&mut self, known_streams: &[S]) {
        let scope = Scope::new(&self.mine, &self.theirs, known_streams);
        self.scope = Scope { blocked: std::mem::take(&mut self.scope.blocked), ..scope };
    }

    /// Whether the site that said `mine` is to say another hello, now that it knows of these ways. Where all are open it makes no difference.
    pub fn is_outdated(&self, ways: &Ways) -> bool {
        let is_open = ways.is_open() && self.mine.ways.is_open();
        !is_open && !ways.says_as_much_as(&self.mine.ways)
    }

    /// What goes the other way.
    pub fn routes_back<S: AsRef<str>>(&self, known_streams: &[S]) -> Routes {
        Routes::new(&self.theirs, &self.mine, known_streams)
    }

    /// There may be something new to read.
    pub fn news(&mut self) {
        self.news = true;
    }

    /// The receiver holds this: it brought it.
    pub fn learn(&mut self, held: &Clock) {
        self.holds.extend(held.iter());
    }

    /// What it wants now, if anything.
    pub fn turn(&mut self, now_ms: u64) -> Option<Turn> {
        let bytes: u64 = self.on_the_way.iter().map(|sent| sent.bytes).sum();
        if self.reading.is_some() || self.on_the_way.len() >= BUNDLES_MAX || bytes >= BYTES_MAX {
            return None;
        }
        if self.early.as_ref().is_some_and(|(missing, _)| *missing <= self.holds) {
            self.early = None;
            self.news = true;
        }
        if let Some((_, ask_ms)) = &mut self.early {
            if !has_come(*ask_ms, EARLY_MS, now_ms) {
                return None;
            }
            if !self.news {
                *ask_ms = now_ms + EARLY_MS;
                return Some(Turn::Send(self.ask()));
            }
            // Something has come here meanwhile: perhaps what the receiver lacks, which then goes first.
            self.early = None;
        }
        let query = match &self.large {
            Some(large) => Query::Part {
                transaction: large.transaction,
                ranges: large.ranges_left.clone(),
                bytes_max: self.bundle_bytes(),
            },
            None if self.news => self.next_query(now_ms),
            None => {
                self.held_back_ms.take_if(|since| has_come(*since + HOLD_MS, HOLD_MS, now_ms))?;
                return Some(Turn::Send(self.ask()));
            }
        };
        self.news = false;
        self.reading = Some(self.first);
        Some(Turn::Read(query))
    }

    /// When it may want something though nothing happens.
    pub fn wakes_at(&self) -> Option<u64> {
        let early = self.early.as_ref().map(|(_, ask_ms)| *ask_ms);
        early.or(self.held_back_ms.map(|since| since + HOLD_MS))
    }

    /// Until when what is new may wait for more.
    pub fn gathers_until(&self) -> Option<u64> {
        self.gather_ms.filter(|_| self.news)
    }

    /// A bundle that asks what the receiver holds.
    pub fn ask(&mut self) -> Bundle {
        let beside = self.early.as_ref().map(|(missing, _)| missing.clone()).unwrap_or_default();
        self.asked = Some(self.number + 1);
        self.bundle(Vec::new(), Vec::new(), None, beside)
    }

    /// What was read, as the next bundle. None where there is nothing to send, or nothing yet: [`Sender::turn`] says what else to read.
    pub fn page(&mut self, page: Page, now_ms: u64) -> Option<Bundle> {
        if self.reading.take() != Some(self.first) {
            self.news = true;
            return None;
        }
        match page {
            Page::Transactions { transactions, epochs, beside, more, held_back } => {
                self.news |= more;
                self.held_back_ms = if held_back { self.held_back_ms.or(Some(now_ms)) } else { None };
                if transactions.is_empty() {
                    return None;
                }
                let events = || transactions.iter().flat_map(|transaction| &transaction.events);
                let count = events().count() as u64;
                let (content, bytes) = (events().map(|event| event.dot).collect(), events().map(bytes_of).sum());
                let epochs = self.bases.tell(epochs);
                let bundle = self.bundle(transactions, epochs, None, beside);
                self.sent(content, bytes);
                self.gather_ms = (!more).then_some(now_ms + GATHER_MS.min(count / GATHER_EVENTS));
                Some(bundle)
            }
            Page::Large { transaction, ends, ranges, epochs, beside } => {
                let content = ranges.iter().map(Range::last_dot).collect();
                self.large = Some(Large { transaction, ends, ranges_left: ranges, content, epochs, beside, next: 0 });
                None
            }
            Page::Part { events, ranges_left } => self.part(events, ranges_left),
        }
    }

    fn part(&mut self, events: Vec<Event>, ranges_left: Vec<Range>) -> Option<Bundle> {
        let mut large = self.large.take()?;
        let part = Part { index: large.next, is_last: ranges_left.is_empty() };
        let bytes = events.iter().map(bytes_of).sum();
        let transaction = Transaction { id: large.transaction, events, ends: large.ends };
        let epochs = self.bases.tell(std::mem::take(&mut large.epochs));
        let bundle = self.bundle(vec![transaction], epochs, Some(part), large.beside.clone());
        if part.is_last {
            self.news = true;
            self.sent(large.content, bytes);
        } else {
            self.sent(Clock::new(), bytes);
            self.large = Some(Large { ranges_left, next: large.next + 1, ..large });
        }
        Some(bundle)
    }

    /// What became of a bundle, and what the receiver holds.
    pub fn receipt(&mut self, receipt: &Receipt, now_ms: u64) {
        self.heard_ms = now_ms;
        for dot in receipt.holds.iter().filter(|dot| dot.site != self.scope.own) {
            self.elsewhere.insert(dot.site, now_ms + ELSEWHERE_MS);
        }
        self.holds.extend(receipt.holds.iter());
        for refused in &receipt.refusals {
            let dot = refused.dot;
            let lane = LaneKey { site: dot.site, stream: dot.stream, lane: dot.lane };
            let from = self.scope.blocked.entry(lane).or_insert(dot.seq);
            *from = dot.seq.min(*from);
        }
        self.news |= self.asked.take_if(|asked| receipt.number >= *asked).is_some();
        if !(self.first..=self.number).contains(&receipt.number) {
            return;
        }
        while let Some(sent) = self.on_the_way.pop_front_if(|sent| {
            sent.number < receipt.number || sent.number == receipt.number && receipt.outcome == Outcome::Taken
        }) {
            self.received.extend(sent.content.iter());
        }
        match &receipt.outcome {
            // What was sent after one that was early asks for what it lacked.
            Outcome::Taken => self.early = None,
            Outcome::Again(received) => self.begin_at(received.clone()),
            Outcome::Early(missing) => {
                self.begin_at(self.received.clone());
                // Whoever was believed to bring it has not: then it is brought from here.
                let believed = missing.iter().filter(|dot| self.elsewhere.remove(&dot.site).is_some()).count();
                if believed == 0 {
                    self.early = Some((missing.clone(), now_ms + EARLY_MS));
                    self.news = false;
                }
            }
        }
    }

    /// Whether the receiver refused something in this session.
    pub fn is_blocked(&self) -> bool {
        !self.scope.blocked.is_empty()
    }

    /// Whether it waits: for the receiver to get something elsewhere.
    pub fn waits(&self) -> bool {
        self.early.is_some() || self.held_back_ms.is_some()
    }

    /// What the receiver must get elsewhere before anything more is sent.
    pub fn waits_for(&self) -> Option<&Clock> {
        self.early.as_ref().map(|(missing, _)| missing)
    }

    /// What the receiver has, by all that it said and all that it has received.
    pub fn receiver_has(&self) -> Clock {
        self.received.join(&self.holds)
    }

    /// What is shipped.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    fn begin_at(&mut self, received: Clock) {
        self.first = self.number + 1;
        self.presumed = received.clone();
        self.received = received;
        self.on_the_way.clear();
        self.gather_ms = None;
        self.bases = Bases::default();
        self.large = None;
        self.early = None;
        self.news = true;
    }

    fn next_query(&mut self, now_ms: u64) -> Query {
        self.elsewhere.retain(|_, until_ms| !has_come(*until_ms, ELSEWHERE_MS, now_ms));
        // Only what the receiver has spoken after is sent without having been held back.
        let from = Hlc::new(self.heard_ms.saturating_sub(HOLD_MS), 0).unwrap_or(Hlc::MAX);
        let sites = self.elsewhere.keys().copied().collect();
        self.scope.hold = (!self.elsewhere.is_empty()).then_some(Hold { sites, from });
        let after = self.presumed.join(&self.holds);
        Query::Next { after, scope: self.scope.clone(), bytes_max: self.bundle_bytes() }
    }

    fn bundle_bytes(&self) -> u64 {
        BUNDLE_BYTES.min(self.theirs.bundle_bytes_max)
    }

    fn bundle(
        &mut self,
        transactions: Vec<Transaction>,
        epochs: Vec<EpochPart>,
        part: Option<Part>,
        beside: Clock,
    ) -> Bundle {
        self.number += 1;
        let from = From::Session { digest: self.presumed.digest(), beside: beside.difference(&self.holds) };
        Bundle { site: self.mine.site, run: self.mine.run, number: self.number, from, epochs, transactions, part }
    }

    fn sent(&mut self, content: Clock, bytes: u64) {
        self.presumed.extend(content.iter());
        self.on_the_way.push_back(Sent { number: self.number, content, bytes });
    }
}

/// About how many bytes an event has in a bundle.
pub fn bytes_of(event: &Event) -> u64 {
    const COORDINATES: usize = 100;
    let texts = [&event.kind, &event.data, &event.meta].map(String::len).iter().sum::<usize>();
    (COORDINATES + texts + event.key.as_ref().map_or(0, String::len)) as u64
}
