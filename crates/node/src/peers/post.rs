//! One peer by courier: rounds of taking in what has come, and putting what it lacks.
//!
//! What must always hold here: nothing is remembered from one process to the next. What the peer holds says its last hello; what is on its way says what lies
//! there. So copies, losses, deletions and restores need no repair: what is not confirmed and does not lie there is put again. Of what comes nothing is removed
//! before a hello that confirms it lies on the medium.

use crate::peers::desk::{Desk, StoreDesk, scope};
use crate::peers::on_the_way::{OnTheWay, content};
use crate::peers::words::Words;
use gundb_core::bundle::{Bundle, Frame, Kind, WireError, WireLimits, decode_bundle, decode_hello, encode_hello};
use gundb_core::store::{Counts, Origin, SessionError, Store, StoreError, Terms};
use gundb_core::sync::message::{Accept, Hello, Mismatch};
use gundb_core::{Clock, Dot, LaneKey};
use gundb_transport::courier::{Courier, CourierFault, Parcel};
use std::collections::{HashMap, HashSet};
use std::time::Duration;

/// The name of the parcel that says what a site holds.
const HELLO: &str = "hello";
/// Room for it beside bundles, in bytes.
const HELLO_BYTES: u64 = 1 << 20;
/// The largest bundle, in bytes of its events before compression. What does not fit goes in parts.
const BUNDLE_BYTES_MAX: u64 = 4 << 20;

/// One peer by courier.
pub struct Post {
    courier: Box<dyn Courier + Send>,
    terms: Terms,
    limits: WireLimits,
    origin: Origin,
    words: Words,
    /// Parcels from the peer that were looked at and are of no use: they are not looked at again while they are the same.
    useless: HashMap<Parcel, String>,
    /// Parcels from the peer that are kept in the store until what they build on is held, and what they cover.
    kept: HashMap<Parcel, Clock>,
    on_the_way: OnTheWay,
    /// The last hello that was put.
    said: Option<Hello>,
    /// Where what was put is out of sight: what is on its way, and since when.
    sent: Option<(Clock, u64)>,
    /// After so long it is taken for lost.
    resend: Duration,
    /// Whether something came again: the peer does not know that it is held.
    owes_word: bool,
}

/// How a round went.
#[derive(Debug, Clone, Default)]
pub struct Round {
    /// What became of the events that came.
    pub counts: Counts,
    /// Bundles that were put now, and their bytes.
    pub put: u64,
    /// As above.
    pub put_bytes: u64,
    /// Bundles, put now or earlier, that the peer has not confirmed.
    pub unconfirmed: u64,
    /// Bytes that came.
    pub taken_bytes: u64,
    /// Whether there is more to put, which waits for another round.
    pub more: bool,
    /// Whether the peer is known to hold all that it is to get.
    pub synced: bool,
    /// What lies there and cannot be read, and why.
    pub useless: Vec<String>,
    /// Why something could not be put; what was put before is flushed.
    pub stopped: Option<CourierFault>,
}

/// Why a round could not be made.
#[derive(Debug, thiserror::Error)]
pub enum PostError {
    /// The way fails.
    #[error(transparent)]
    Courier(#[from] CourierFault),
    /// The store fails.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There can be no exchange.
    #[error("there can be no exchange: {0}")]
    Mismatch(#[from] Mismatch),
}

impl Post {
    /// A peer of this name by this way.
    pub fn new(
        peer: &str,
        courier: Box<dyn Courier + Send>,
        terms: Terms,
        limits: WireLimits,
        resend: Duration,
    ) -> Post {
        let origin = Origin { peer: peer.to_owned(), accept: terms.accept };
        Post {
            courier,
            terms,
            limits,
            origin,
            words: Words::default(),
            useless: HashMap::new(),
            kept: HashMap::new(),
            on_the_way: OnTheWay::default(),
            said: None,
            sent: None,
            resend,
            owes_word: false,
        }
    }

    /// What is agreed has changed.
    pub fn renew(&mut self, terms: Terms) {
        self.origin.accept = terms.accept;
        self.terms = terms;
        self.useless.clear();
    }

    /// What the peer said last.
    pub fn peer(&self) -> Option<&Hello> {
        self.words.last()
    }

    /// What the peer is known to hold.
    pub fn peer_has(&self) -> Clock {
        self.words.last().map(|word| word.clock.clone()).unwrap_or_default()
    }

    /// One round, over a store.
    pub fn round(&mut self, store: &dyn Store, now_ms: u64) -> Result<Round, PostError> {
        let desk = StoreDesk { store, terms: self.terms.clone(), origin: self.origin.clone(), limits: self.limits };
        self.round_at(&desk, now_ms)
    }

    /// One round, at a desk that knows by itself what is agreed.
    pub fn round_at(&mut self, desk: &dyn Desk, now_ms: u64) -> Result<Round, PostError> {
        self.courier.open()?;
        let mut round = Round::default();
        let mine = desk.hello(now_ms)?;
        let mut done = self.take(desk, &mine, &mut round)?;
        if !self.courier.keeps() {
            self.remove(&done)?;
        }
        self.put(desk, now_ms, &mut round)?;
        if !self.courier.keeps() {
            // What the command gave in this round.
            done = self.take(desk, &mine, &mut round)?;
        }
        self.remove(&done)?;
        round.useless.extend(self.useless.values().cloned());
        round.useless.sort();
        Ok(round)
    }

    // -----------------------------------------------------------------------------------------------------------------
    // What comes
    // -----------------------------------------------------------------------------------------------------------------

    /// Takes in what is there. Gives the parcels that need not be there any more, once that was said.
    fn take(&mut self, desk: &dyn Desk, mine: &Hello, round: &mut Round) -> Result<Vec<Parcel>, PostError> {
        let parcels = self.courier.incoming().parcels()?;
        let there: HashSet<&Parcel> = parcels.iter().collect();
        self.useless.retain(|parcel, _| there.contains(parcel));
        self.kept.retain(|parcel, _| there.contains(parcel));
        let mut done = Vec::new();
        // Words first: they say who brings the rest.
        let mut words = HashSet::new();
        for parcel in &parcels {
            let is_word = match self.courier.keeps() {
                true => parcel.name == HELLO,
                false => self.courier.incoming().read(parcel)?.is_some_and(|bytes| is_hello(&bytes)),
            };
            if is_word {
                words.insert(parcel);
            }
        }
        let (words, bundles): (Vec<_>, Vec<_>) = parcels.iter().partition(|parcel| words.contains(parcel));
        for parcel in words.into_iter().chain(bundles) {
            if self.useless.contains_key(parcel) || self.kept.contains_key(parcel) {
                continue;
            }
            let Some(bytes) = self.courier.incoming().read(parcel)? else {
                self.useless.insert(parcel.clone(), format!("{}: it is too large, or no file", parcel.name));
                continue;
            };
            round.taken_bytes += bytes.len() as u64;
            match self.take_one(desk, mine, &bytes, round) {
                // A hello stays: whoever copies the directory copies what is known.
                Ok(Taken::Word) if self.courier.keeps() => {}
                // While it lies there its sender knows that it is on its way.
                Ok(Taken::Kept(content)) if self.courier.keeps() => drop(self.kept.insert(parcel.clone(), content)),
                Ok(_) => done.push(parcel.clone()),
                Err(TakeError::Useless(why)) => {
                    self.useless.insert(parcel.clone(), format!("{}: {why}", parcel.name));
                    // Out of sight nobody will make it whole.
                    if !self.courier.keeps() {
                        done.push(parcel.clone());
                    }
                }
                Err(TakeError::Unannounced) => {}
                Err(TakeError::Store(error)) => return Err(error.into()),
                Err(TakeError::Mismatch(mismatch)) => return Err(mismatch.into()),
            }
        }
        if !self.kept.is_empty() {
            let holds = desk.clock()?;
            done.extend(self.kept.iter().filter(|(_, content)| **content <= holds).map(|(parcel, _)| parcel.clone()));
        }
        Ok(done)
    }

    fn remove(&mut self, done: &[Parcel]) -> Result<(), PostError> {
        let incoming = self.courier.incoming();
        Ok(done.iter().try_for_each(|parcel| incoming.remove(parcel))?)
    }

    /// Takes in one parcel.
    fn take_one(&mut self, desk: &dyn Desk, mine: &Hello, bytes: &[u8], round: &mut Round) -> Result<Taken, TakeError> {
        if Frame::read(bytes)?.kind == Kind::Hello {
            let word = decode_hello(bytes, &self.limits)?;
            mine.agree(&word).map_err(TakeError::Mismatch)?;
            let is_news = self.words.hear(word);
            if let Some(word) = self.words.last() {
                desk.hear(word)?;
            }
            if is_news {
                // It says itself now what has come.
                self.sent = None;
                // What it could not bring before it perhaps can now.
                self.useless.clear();
            }
            return Ok(Taken::Word);
        }
        let bundle = decode_bundle(bytes, &self.limits)?;
        self.check(desk, mine, &bundle)?;
        let counts = desk.take_in(bytes)?;
        round.counts.new += counts.new;
        round.counts.known += counts.known;
        self.owes_word |= counts.known > 0;
        round.counts.pending += counts.pending;
        let is_kept = counts.pending > 0 && counts.new == 0 && counts.refused.is_empty();
        round.counts.refused.extend(counts.refused);
        Ok(if is_kept { Taken::Kept(content(&bundle)) } else { Taken::All })
    }

    /// Whether the peer may bring what a bundle holds.
    fn check(&self, desk: &dyn Desk, mine: &Hello, bundle: &Bundle) -> Result<(), TakeError> {
        let useless = |why: String| Err(TakeError::Useless(why));
        let Some(word) = self.words.last() else {
            return Err(TakeError::Unannounced);
        };
        if bundle.site != word.site {
            return useless(format!("it is of site {}, and the peer is site {}", bundle.site, word.site));
        }
        let names = desk.known_streams()?;
        for event in bundle.transactions.iter().flat_map(|transaction| &transaction.events) {
            if mine.accept == Accept::Own && event.dot.site != bundle.site {
                return useless(format!("{}: the peer may bring what it wrote itself, and nothing else", event.dot));
            }
            if let Some(name) = names.get(&event.dot.stream).filter(|name| !mine.pull.matches(name)) {
                return useless(format!("{}: the peer may not bring stream \"{name}\"", event.dot));
            }
        }
        Ok(())
    }

    // -----------------------------------------------------------------------------------------------------------------
    // What goes
    // -----------------------------------------------------------------------------------------------------------------

    /// Puts what the peer lacks, and what is held here; flushes it; removes what was confirmed.
    fn put(&mut self, desk: &dyn Desk, now_ms: u64, round: &mut Round) -> Result<(), PostError> {
        let mine = desk.hello(now_ms)?;
        let theirs = self.words.last().cloned();
        let names = desk.known_streams()?;
        let scope = scope(&mine, theirs.as_ref(), &names);
        let ships = |dot: &Dot| {
            let lane = LaneKey { site: dot.site, stream: dot.stream, lane: dot.lane };
            names.get(&dot.stream).is_some_and(|name| scope.ships(name, &lane))
        };
        let holds = theirs.as_ref().map(|theirs| theirs.clock.clone()).unwrap_or_default();
        let (presumed, confirmed) = self.presumed(&holds, ships, now_ms, round)?;
        let result = self.put_bundles(desk, theirs.as_ref(), presumed, now_ms, round);
        match result {
            Err(PostError::Courier(fault)) => round.stopped = Some(fault),
            other => other?,
        }
        let is_word_there =
            !self.courier.keeps() || self.courier.outgoing().parcels()?.iter().any(|parcel| parcel.name == HELLO);
        let is_news = self.said.as_ref().is_none_or(|said| says_more(&mine, said));
        let is_lost = !self.courier.keeps() && (round.put > 0 || self.owes_word);
        if is_news || !is_word_there || is_lost {
            match self.courier.outgoing().put(HELLO, &encode_hello(&mine)) {
                Ok(()) => (self.said, self.owes_word) = (Some(mine), false),
                Err(fault) => round.stopped = round.stopped.take().or(Some(fault)),
            }
        }
        if let Err(fault) = self.courier.outgoing().flush() {
            // What of it has gone nobody knows.
            (self.sent, self.said) = (None, None);
            return Err(fault.into());
        }
        for parcel in confirmed {
            self.courier.outgoing().remove(&parcel)?;
        }
        round.synced = self.words.last().is_some() && round.put == 0 && round.unconfirmed == 0 && !round.more;
        Ok(())
    }

    fn put_bundles(
        &mut self,
        desk: &dyn Desk,
        theirs: Option<&Hello>,
        presumed: Clock,
        now_ms: u64,
        round: &mut Round,
    ) -> Result<(), PostError> {
        // A bundle ends with the event that fills it; it may be larger by that, and by what stands around events.
        let bytes_max = (self.courier.parcel_bytes_max() / 4 * 3).min(BUNDLE_BYTES_MAX);
        let mut export = desk.export(theirs, &presumed, bytes_max)?;
        let mut on_the_way = presumed;
        let batch_max = self.courier.batch_bytes_max();
        let mut batch_bytes = 0;
        while let Some((bundle, bytes)) = export.next()? {
            let is_too_much = batch_max.is_some_and(|max| batch_bytes + bytes.len() as u64 + HELLO_BYTES > max);
            if is_too_much && batch_bytes > 0 {
                if bundle.part.is_none_or(|part| part.index == 0) {
                    round.more = true;
                    break;
                }
                // What is begun of a large transaction is not left half.
                self.courier.outgoing().flush()?;
                batch_bytes = 0;
            }
            batch_bytes += bytes.len() as u64;
            self.courier.outgoing().put(&name_of(&bundle), &bytes)?;
            on_the_way = on_the_way.join(&content(&bundle));
            round.put += 1;
            round.put_bytes += bytes.len() as u64;
            round.unconfirmed += 1;
        }
        if !self.courier.keeps() && round.put > 0 {
            self.sent = Some((on_the_way, now_ms));
        }
        Ok(())
    }

    /// What the peer has once all that is on its way has come; and what lies there and was confirmed, or is of no use. `ships` says which lanes go this way.
    fn presumed(
        &mut self,
        holds: &Clock,
        ships: impl Fn(&Dot) -> bool,
        now_ms: u64,
        round: &mut Round,
    ) -> Result<(Clock, Vec<Parcel>), PostError> {
        let mut presumed = holds.clone();
        if let Some((clock, since_ms)) = &self.sent {
            let lost = now_ms.abs_diff(*since_ms) > self.resend.as_millis() as u64;
            if lost {
                self.sent = None;
            } else {
                presumed = presumed.join(clock);
                let is_confirmed = clock <= holds;
                round.unconfirmed += u64::from(!is_confirmed);
            }
            return Ok((presumed, Vec::new()));
        }
        // What its owner cannot read is still wanted, and put anew.
        let mut done = self.on_the_way.look(self.courier.outgoing(), HELLO, &self.limits)?;
        let (counted, unconfirmed) = self.on_the_way.count(&mut presumed, holds, ships);
        done.extend(counted);
        round.unconfirmed += unconfirmed;
        Ok((presumed, done))
    }
}

fn is_hello(bytes: &[u8]) -> bool {
    Frame::read(bytes).is_ok_and(|frame| frame.kind == Kind::Hello)
}

/// Whether a hello says something that an earlier one did not.
fn says_more(mine: &Hello, said: &Hello) -> bool {
    let timeless = |hello: &Hello| Hello { now_ms: 0, ..hello.clone() };
    timeless(mine) != timeless(said)
}

/// What sorts by name sorts by number.
fn name_of(bundle: &Bundle) -> String {
    let part = bundle.part.map(|part| format!("-{:06}", part.index)).unwrap_or_default();
    format!("{:012x}-{:020}{part}", bundle.run.number(), bundle.number)
}

/// What became of a parcel that was taken in.
enum Taken {
    /// It was a hello.
    Word,
    /// Its events are held, or wait, or were refused.
    All,
    /// It is kept, or its events wait, until something else has come. It covers this.
    Kept(Clock),
}

/// Why a parcel was not taken in.
enum TakeError {
    Useless(String),
    /// Nothing has come yet that says who brings it.
    Unannounced,
    Mismatch(Mismatch),
    Store(StoreError),
}

impl From<WireError> for TakeError {
    fn from(error: WireError) -> TakeError {
        TakeError::Useless(error.to_string())
    }
}

impl From<StoreError> for TakeError {
    fn from(error: StoreError) -> TakeError {
        TakeError::Store(error)
    }
}

impl From<SessionError> for TakeError {
    fn from(error: SessionError) -> TakeError {
        match error {
            SessionError::Store(error) => TakeError::Store(error),
            other => TakeError::Useless(other.to_string()),
        }
    }
}
