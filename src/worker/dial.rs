//! One peer that this site dials: its link, the session over it, when to dial again, and how it goes.
//!
//! Must hold: what is read or applied is a transaction of its own, and none is open while the network is waited for; whatever goes
//! wrong with this peer ends its session, is noted with its reason, and nothing else.

use crate::catalog::{self, Note, Peer, Says};
use crate::error::{Result, internal};
use crate::replication::{self, Options, Terms, With};
use crate::run::now_ms;
use crate::settings;
use crate::worker::backoff::Backoff;
use crate::worker::compare::Comparisons;
use crate::worker::here::Here;
use crate::worker::offences::{self, Offences};
use crate::worker::transaction::{Trouble, transaction};
use crate::worker::waiting;
use gundb_core::apply::Verdict;
use gundb_core::bundle::{
    Bundle, decode_bundle, decode_hello, decode_receipt, encode_bundle, encode_hello, encode_receipt,
};
use gundb_core::sync::dialler::{Action, Call, CallId, Dialler, Reply};
use gundb_core::sync::message::{Accept, Hello};
use gundb_core::sync::ways::Ways;
use gundb_core::{Run, SiteId};
use gundb_transport::postgres::{Fault, Function, Link, Network, Target};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long after all was exchanged the peer is called once more: those who answer note once a second how it goes.
const SETTLE: Duration = Duration::from_millis(1_100);

pub struct Dial {
    peer: Peer,
    secret: Option<String>,
    target: core::result::Result<Arc<Target>, String>,
    link: Option<Link>,
    /// Since when the link stands.
    connected: Option<Instant>,
    dialler: Dialler,
    /// Calls that were made and not answered, in their order.
    asked: VecDeque<Asked>,
    comparisons: Comparisons,
    accept: Accept,
    options: Options,
    backoff: Backoff,
    /// What is not written yet of how it goes; whether anything is.
    note: Note,
    has_note: bool,
    /// Whether somebody waits for all to be exchanged.
    is_awaited: bool,
    /// As whom this site has spoken, and on what terms.
    spoke_as: Option<(SiteId, Run, Terms)>,
    /// Whether everything was exchanged when it was looked at last.
    is_quiet: bool,
    /// When the session wants something though it is quiet, in milliseconds since 1970.
    due_ms: Option<u64>,
    /// When the peer is called once more, so that it hears of what it has sent last; whether it has been.
    settle: Option<Instant>,
    is_settled: bool,
    /// What was said last of what is wrong.
    said: String,
    offences: Offences,
}

/// What a peer was asked for.
enum Asked {
    /// By the session.
    Session(CallId),
    /// By the first comparison.
    Comparison,
}

fn blank(name: &str) -> Note {
    Note { name: name.to_owned(), ..Note::default() }
}

impl Dial {
    pub fn new(peer: Peer, secret: Option<String>, now: Instant) -> Dial {
        let target = Target::parse(&peer.url).map(Arc::new).map_err(|error| error.told());
        Dial {
            note: blank(&peer.name),
            peer,
            secret,
            target,
            link: None,
            connected: None,
            dialler: Dialler::new(),
            asked: VecDeque::new(),
            comparisons: Comparisons::default(),
            accept: Accept::Own,
            options: Options::default(),
            backoff: Backoff::new(now),
            has_note: false,
            is_awaited: false,
            spoke_as: None,
            is_quiet: false,
            due_ms: None,
            settle: None,
            is_settled: false,
            said: String::new(),
            offences: Offences::default(),
        }
    }

    /// Whether it is configured so.
    pub fn is_of(&self, peer: &Peer, secret: Option<&str>) -> bool {
        self.peer == *peer && self.secret.as_deref() == secret
    }

    /// Begins the session anew if this site has become another, its run has ended, or what may flow has changed.
    pub fn renew_unless(&mut self, own: (SiteId, u64)) -> Result<()> {
        let Some((site, run, terms)) = &self.spoke_as else { return Ok(()) };
        if (*site, run.number()) != own || *terms != transaction(|| Terms::of_peer(&self.peer))? {
            self.spoke_as = None;
            self.dialler.renew();
            self.unrest();
        }
        Ok(())
    }

    pub fn link(&self) -> Option<Link> {
        self.link
    }

    /// Dials, if it is time to.
    pub fn dial(&mut self, network: &mut Network, now: Instant) -> Result<()> {
        if self.link.is_some() || now < self.backoff.next {
            return Ok(());
        }
        let target = match &self.target {
            Ok(target) => Arc::clone(target),
            Err(why) => {
                let why = why.clone();
                return self.failed(network, why, now);
            }
        };
        match network.connect(target, self.secret.clone(), settings::keep_alive()) {
            Ok(link) => {
                self.link = Some(link);
                self.noted().state = Some("connecting");
                Ok(())
            }
            Err(refusal) => self.failed(network, refusal.to_string(), now),
        }
    }

    /// Everything is to be exchanged now.
    pub fn hurry(&mut self, now: Instant) {
        self.is_awaited = true;
        self.unrest();
        if self.link.is_none() {
            self.backoff.at_once(now);
        }
        self.dialler.news_here();
        self.dialler.news_there();
    }

    /// Somebody asks to compare; what comes of it is filed under the token.
    pub fn compare(&mut self, token: i64) -> Result<()> {
        self.comparisons.ask(token);
        if self.connected.is_some() { Ok(()) } else { self.comparisons.fail("it is not connected") }
    }

    /// Something was committed here.
    pub fn news_here(&mut self) {
        self.dialler.news_here();
        self.unrest();
    }

    /// Other streams are known here than before, or other ways.
    pub fn learned(&mut self, names: &[String], ways: &Ways) {
        self.dialler.learned(names, ways);
        self.unrest();
    }

    /// The peer has news.
    pub fn news_there(&mut self) {
        self.dialler.news_there();
        self.unrest();
    }

    /// The link stands.
    pub fn connected(&mut self, now: Instant) {
        self.connected = Some(now);
        self.dialler.connected();
        self.unrest();
    }

    /// The link is gone.
    pub fn closed(&mut self, network: &mut Network, fault: &Fault, now: Instant) -> Result<()> {
        // What may flow has changed there, or its run: nothing is wrong, and the next hello says what is so now.
        if fault.begins_anew() && self.dialler.peer().is_some() {
            let said = self.note.error.take();
            self.failed(network, fault.told(), now)?;
            self.note.error = said;
            return Ok(());
        }
        self.failed(network, fault.told(), now)
    }

    /// Ends the session and says why; it is dialled again after a pause.
    pub fn failed(&mut self, network: &mut Network, why: String, now: Instant) -> Result<()> {
        self.close(network);
        if waiting::is_stopped() {
            // What failed was cancelled.
            return Ok(());
        }
        self.comparisons.fail(&why)?;
        let lasted = self.connected.take().map_or(Duration::ZERO, |since| now - since);
        self.backoff.failed(now, lasted, settings::reconnect_max())?;
        let note = self.noted();
        note.state = Some("waiting");
        note.error = Some(why.clone());
        if self.said != why {
            let name = &self.peer.name;
            crate::worker::log(format!("gundb: no session with peer \"{name}\": {why}"))?;
            self.said = why;
        }
        Ok(())
    }

    /// Ends the session without a word.
    pub fn close(&mut self, network: &mut Network) {
        if let Some(link) = self.link.take() {
            network.close(link);
        }
        self.dialler.closed();
        self.asked.clear();
    }

    /// The peer has answered its oldest call.
    pub fn replied(
        &mut self,
        network: &mut Network,
        function: Function,
        bytes: Option<&[u8]>,
        took: Duration,
        now: Instant,
    ) -> Result<()> {
        let call = match self.asked.pop_front() {
            Some(Asked::Session(call)) => call,
            Some(Asked::Comparison) => {
                return match self.comparisons.answered(&self.peer, bytes) {
                    Ok(()) => Ok(()),
                    Err(why) => self.failed(network, why, now),
                };
            }
            None => return self.failed(network, "the peer answered what it was not asked".to_owned(), now),
        };
        let size = bytes.map_or(0, <[u8]>::len) as u64;
        let limits = replication::limits();
        let reply = match (function, bytes) {
            (Function::Hello, Some(bytes)) => decode_hello(bytes, &limits).map(Reply::Hello),
            (Function::Push, Some(bytes)) => decode_receipt(bytes, &limits).map(Reply::Receipt),
            (Function::Pull, bytes) => bytes.map(|bytes| decode_bundle(bytes, &limits)).transpose().map(Reply::Bundle),
            _ => return self.failed(network, "the peer answered nothing".to_owned(), now),
        };
        let reply = match reply {
            Ok(reply) => reply,
            Err(why) => {
                let why = format!("the peer's answer cannot be read: {why}");
                self.offended(&why)?;
                return self.failed(network, why, now);
            }
        };
        let time_ms = now_ms();
        let note = self.noted();
        note.is_contact = true;
        note.bytes_received += size;
        match &reply {
            Reply::Hello(hello) => {
                note.site = Some(hello.site);
                note.run = Some(hello.run);
                note.site_name = Some(hello.name.clone());
                note.software = Some(hello.software.clone());
                note.round_trip_ms = Some(took.as_secs_f64() * 1_000.0);
                let asked_ms = time_ms.saturating_sub(took.as_millis() as u64 / 2);
                note.skew_ms = Some(hello.now_ms as i64 - asked_ms as i64);
                note.says = Some(Says::of(hello));
            }
            Reply::Bundle(Some(bundle)) => note.events_received += events(bundle),
            Reply::Receipt(receipt) => {
                if let Some(refused) = receipt.refusals.first() {
                    let more = receipt.refusals.len() - 1;
                    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
                    note.error = Some(format!("refused there, {}: {}{more}", refused.dot, refused.reason));
                }
            }
            _ => {}
        }
        if let Reply::Hello(hello) = &reply {
            self.offences.begin_session();
            if let Err(trouble) = transaction(|| begin(&self.peer, hello)) {
                return self.failed(network, trouble.message, now);
            }
        }
        self.dialler.replied(call, reply, time_ms);
        if function == Function::Hello && self.dialler.peer().is_some() {
            self.noted().state = Some("connected");
            self.said.clear();
        }
        Ok(())
    }

    /// Does one thing that the session wants done; false if it wants nothing now.
    pub fn step(&mut self, network: &mut Network, here: &Here, now: Instant) -> Result<bool> {
        if self.connected.is_none() {
            return Ok(false);
        }
        if self.dialler.peer().is_some()
            && let Some(question) = self.comparisons.question()
        {
            return self.ask(network, Asked::Comparison, Function::Compare, Some(question), now).map(|()| true);
        }
        if self.is_quiet && self.settle.take_if(|at| *at <= now).is_some() {
            self.dialler.news_there();
            (self.is_quiet, self.is_settled) = (false, true);
        }
        let time_ms = now_ms();
        if self.is_quiet && self.due_ms.is_none_or(|at_ms| at_ms > time_ms) {
            return Ok(false);
        }
        let polled = self.dialler.poll(time_ms, here);
        if let Some(trouble) = here.trouble() {
            self.failed(network, trouble.message, now)?;
            return Ok(true);
        }
        let Some(action) = polled else {
            self.rest(time_ms, now);
            return Ok(false);
        };
        self.is_quiet = false;
        let done = match action {
            Action::Greet => self.greet(here),
            Action::Call(call, what) => return self.call(network, call, &what, now).map(|()| true),
            Action::Read(query) => {
                transaction(|| replication::page(&query)).map(|page| self.dialler.read(page, now_ms()))
            }
            Action::Apply(delivery) => {
                let (name, accept) = (self.peer.name.as_str(), self.accept);
                let applied = transaction(|| replication::apply(name, accept, delivery));
                if let Ok(verdicts) = &applied {
                    self.dialler.applied(verdicts, now_ms());
                    self.judge(verdicts)?;
                }
                applied.map(drop)
            }
            Action::Stage(stage) => {
                let name = self.peer.name.as_str();
                transaction(|| replication::stage(name, &stage)).map(|()| self.dialler.staged(now_ms()))
            }
            Action::Close(mismatch) => {
                return self.failed(network, mismatch.to_string(), now).map(|()| true);
            }
        };
        match done {
            Ok(()) => Ok(true),
            Err(trouble) => self.failed(network, trouble.message, now).map(|()| true),
        }
    }

    /// Says what was refused of what it sent.
    fn judge(&mut self, verdicts: &[Verdict]) -> Result<()> {
        let refused = offences::refusals(verdicts).count();
        for (at, refusal) in offences::refusals(verdicts).enumerate() {
            let why = format!("refused {}: {}", refusal.dot, refusal.problem);
            if offences::is_one(&refusal.problem) {
                self.offended(&why)?;
            }
            if at == 0 {
                let more =
                    if refused > 1 { format!(", and {} more: see gundb.pending", refused - 1) } else { String::new() };
                self.noted().error = Some(why + &more);
            }
        }
        Ok(())
    }

    /// It has sent what cannot be.
    fn offended(&mut self, why: &str) -> Result<()> {
        let Some(reason) = self.offences.one_more(why) else { return Ok(()) };
        let name = &self.peer.name;
        transaction(|| replication::pause(name, &reason))?;
        crate::worker::log(format!("gundb: peer \"{name}\" is paused: {reason}"))
    }

    fn greet(&mut self, here: &Here) -> core::result::Result<(), Trouble> {
        let peer = &self.peer;
        let (terms, hello, names) = transaction(|| {
            let terms = Terms::of_peer(peer)?;
            let hello = replication::hello(&terms)?;
            // Parts of a transaction that came in an earlier session come again.
            catalog::forget_letters_of(&peer.name)?;
            Ok((terms, hello, replication::known_streams()?))
        })?;
        (self.accept, self.options) = (terms.accept, terms.options);
        self.spoke_as = Some((hello.site, hello.run, terms));
        self.dialler.greet(hello, names.values().cloned().collect());
        here.learn(names);
        Ok(())
    }

    fn call(&mut self, network: &mut Network, call: CallId, what: &Call, now: Instant) -> Result<()> {
        let (function, bytes) = match what {
            Call::Hello(hello) => (Function::Hello, Some(encode_hello(hello))),
            Call::Push(bundle) => {
                self.noted().events_sent += events(bundle);
                (Function::Push, Some(encode_bundle(bundle, self.options.compression)))
            }
            Call::Pull(receipt) => (Function::Pull, receipt.as_ref().map(encode_receipt)),
        };
        self.ask(network, Asked::Session(call), function, bytes, now)
    }

    fn ask(
        &mut self,
        network: &mut Network,
        asked: Asked,
        function: Function,
        bytes: Option<Vec<u8>>,
        now: Instant,
    ) -> Result<()> {
        let link = self.link.ok_or_else(|| internal("a session without a link"))?;
        self.noted().bytes_sent += bytes.as_ref().map_or(0, Vec::len) as u64;
        match network.call(link, function, bytes) {
            Ok(()) => {
                self.asked.push_back(asked);
                Ok(())
            }
            Err(refusal) => self.failed(network, refusal.to_string(), now),
        }
    }

    /// There is nothing to do; perhaps nothing is left to exchange either.
    fn rest(&mut self, time_ms: u64, now: Instant) {
        // Asked as of the moment of the poll: what was not due then is still to come, and is not forgotten once it is past.
        self.due_ms = self.dialler.wakes_at(time_ms);
        if self.is_quiet || !self.asked.is_empty() || self.dialler.peer().is_none() {
            return;
        }
        let waits = self.dialler.sender().is_some_and(|sender| sender.waits());
        self.is_quiet = true;
        self.settle = (!self.is_settled).then(|| now + SETTLE);
        if !waits {
            let holds = self.dialler.sender().map(|sender| sender.receiver_has());
            let note = self.noted();
            note.is_synced = true;
            note.holds = holds;
        }
    }

    /// Something has happened: what was exchanged before may not be all.
    fn unrest(&mut self) {
        (self.is_quiet, self.is_settled) = (false, false);
        self.note.is_synced = false;
    }

    fn noted(&mut self) -> &mut Note {
        self.has_note = true;
        &mut self.note
    }

    /// Whether there is something to write of it, and whether somebody waits for that.
    pub fn has_note(&self) -> (bool, bool) {
        (self.has_note, self.has_note && self.is_awaited && self.note.is_synced)
    }

    /// What is to be written of it, once.
    pub fn take_note(&mut self) -> Option<Note> {
        if !core::mem::take(&mut self.has_note) {
            return None;
        }
        if self.note.is_synced {
            self.is_awaited = false;
        }
        let fresh = blank(&self.peer.name);
        Some(core::mem::replace(&mut self.note, fresh))
    }

    /// When it wants to be looked at though nothing happens.
    pub fn wakes_in(&self, now: Instant) -> Option<Duration> {
        if self.link.is_none() {
            return Some(self.backoff.next.saturating_duration_since(now));
        }
        // What is due and was not done waits for an answer, which wakes the worker by itself.
        let settle = self.settle.filter(|_| self.is_quiet).map(|at| at.saturating_duration_since(now));
        let due_ms = if self.is_quiet { self.due_ms } else { self.dialler.wakes_at(now_ms()) };
        let due = due_ms.map(|at_ms| {
            let left_ms = at_ms.saturating_sub(now_ms());
            Duration::from_millis(if left_ms == 0 { 100 } else { left_ms })
        });
        settle.into_iter().chain(due).min()
    }
}

/// A session begins: parts of an earlier one are void, and whom anybody's events are taken from may define.
fn begin(peer: &Peer, theirs: &Hello) -> Result<()> {
    catalog::forget_letters_of(&peer.name)?;
    replication::hear(&Terms::of_peer(peer)?, With::Peer(&peer.name), theirs)?;
    if peer.accepts_any { catalog::add_definers(&[theirs.site]) } else { Ok(()) }
}

fn events(bundle: &Bundle) -> u64 {
    bundle.transactions.iter().map(|transaction| transaction.events.len() as u64).sum()
}
