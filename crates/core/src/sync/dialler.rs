//! The end of a session that calls: both directions through one connection that it opened.
//!
//! What must always hold here: bundles that come are looked at one after the other, each when the one before has been applied; an answer counts for the
//! session in which its call was made. Whatever goes wrong, a session begins anew with hellos, from what both really hold.
//!
//! The time it is told is the wall clock's, in milliseconds since 1970, since it is compared with stamps; should it jump, something is asked too soon.
//!
//! How to drive it: tell it what happened, then carry out what [`Dialler::poll`] says until that is nothing, then wait for something to happen or for
//! [`Dialler::wakes_at`].

use std::collections::BTreeMap;

use crate::apply::Verdict;
use crate::bundle::Bundle;
use crate::sync::has_come;
use crate::sync::message::{Hello, Mismatch, Receipt};
use crate::sync::receiver::{Delivery, Here, Receiver, Stage};
use crate::sync::scope::{Page, Query};
use crate::sync::sender::{GATHER_MS, Sender, Turn};
use crate::sync::session::Session;
use crate::sync::ways::Ways;

/// How many pulls may be on their way.
pub const PULLS_MAX: usize = 4;
/// How long after something was refused the session begins anew, so that it is offered again.
pub const RETRY_MS: u64 = 60_000;
/// How long after a call has failed the session begins anew.
pub const FAILED_MS: u64 = 1_000;

/// Which call a reply belongs to.
pub type CallId = u64;

/// What is asked of the other end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// To begin a session; answered by its hello.
    Hello(Hello),
    /// To take a bundle; answered by a receipt.
    Push(Bundle),
    /// For a bundle, with a receipt of earlier ones; answered by a bundle, or nothing.
    Pull(Option<Receipt>),
}

/// What the other end answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// To a hello.
    Hello(Hello),
    /// To a push.
    Receipt(Receipt),
    /// To a pull.
    Bundle(Option<Bundle>),
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// A hello is to be made, of what is held now, and given to [`Dialler::greet`].
    Greet,
    /// The other end is to be called; the reply goes to [`Dialler::replied`], a failure to [`Dialler::failed`]. Calls are made in this order.
    Call(CallId, Call),
    /// This is to be read, and given to [`Dialler::read`].
    Read(Query),
    /// This is to be applied, its verdicts are given to [`Dialler::applied`].
    Apply(Delivery),
    /// This is to be stored; then [`Dialler::staged`].
    Stage(Stage),
    /// The connection is to be closed: there can be no session.
    Close(Mismatch),
}

/// The end that calls.
#[derive(Debug, Default)]
pub struct Dialler {
    state: State,
    /// The last call.
    last_call: CallId,
    /// What was called for in this session and has not been answered.
    calls: BTreeMap<CallId, Asked>,
}

#[derive(Debug, Default)]
enum State {
    /// There is no connection, or it is to be closed.
    #[default]
    Away,
    /// A hello is wanted, from then on.
    Wanted(u64),
    /// The shell makes a hello.
    Making,
    /// A hello is to be said, or was.
    Saying { mine: Box<Hello>, known_streams: Vec<String>, said: bool },
    /// There can be no session.
    Unlike(Mismatch),
    /// There is a session.
    Live(Box<Session>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Hello,
    Push,
    Pull,
}

impl Dialler {
    /// An end without a connection.
    pub fn new() -> Dialler {
        Dialler::default()
    }

    /// There is a connection.
    pub fn connected(&mut self) {
        self.begin_at(0);
    }

    /// The connection is gone.
    pub fn closed(&mut self) {
        self.calls.clear();
        self.state = State::Away;
    }

    /// The hello that was wanted. `known_streams` are the names of all streams that are known here.
    pub fn greet(&mut self, mine: Hello, known_streams: Vec<String>) {
        if matches!(self.state, State::Making) {
            self.state = State::Saying { mine: Box::new(mine), known_streams, said: false };
        }
    }

    /// Something was committed here.
    pub fn news_here(&mut self) {
        if let Some(session) = self.session_mut() {
            session.sender.news();
        }
    }

    /// The other end has news.
    pub fn news_there(&mut self) {
        if let Some(session) = self.session_mut() {
            session.news = true;
        }
    }

    /// Other streams or other ways are known here than before. The session begins anew to tell of ways.
    pub fn learned<S: AsRef<str>>(&mut self, known_streams: &[S], ways: &Ways) {
        match &mut self.state {
            State::Live(session) if !session.sender.is_outdated(ways) => session.streams(known_streams),
            State::Saying { mine, known_streams: names, .. } if mine.ways == *ways => {
                *names = known_streams.iter().map(|name| name.as_ref().to_owned()).collect();
            }
            State::Live(_) | State::Saying { .. } => self.begin_at(0),
            _ => {}
        }
    }

    /// What flows has changed, or what was refused may pass now: the session is to begin anew.
    pub fn renew(&mut self) {
        if matches!(self.state, State::Making | State::Saying { .. } | State::Live(_)) {
            self.begin_at(0);
        }
    }

    /// A call was answered. An answer of another kind than the call's counts as a failure.
    pub fn replied(&mut self, call: CallId, reply: Reply, now_ms: u64) {
        let Some(asked) = self.calls.remove(&call) else { return };
        match (&mut self.state, asked, reply) {
            (State::Saying { mine, known_streams, .. }, Asked::Hello, Reply::Hello(theirs)) => {
                self.state = match mine.agree(&theirs) {
                    Ok(_) => State::Live(Box::new(Session::new(mine, theirs, known_streams))),
                    Err(mismatch) => State::Unlike(mismatch),
                };
            }
            (State::Live(session), Asked::Push, Reply::Receipt(receipt)) => session.receipt(&receipt, now_ms),
            (State::Live(session), Asked::Pull, Reply::Bundle(bundle)) => session.bundle(bundle, now_ms),
            _ => self.begin_at(now_ms + FAILED_MS),
        }
    }

    /// A call failed, or what was to be read, applied or stored could not be, and the connection stands.
    pub fn failed(&mut self, now_ms: u64) {
        if !matches!(self.state, State::Away | State::Unlike(_)) {
            self.begin_at(now_ms + FAILED_MS);
        }
    }

    /// What was read.
    pub fn read(&mut self, page: Page, now_ms: u64) {
        if let Some(session) = self.session_mut() {
            session.ready = session.sender.page(page, now_ms);
        }
    }

    /// What became of the transactions of the delivery, in their order.
    pub fn applied(&mut self, verdicts: &[Verdict], now_ms: u64) {
        if let Some(session) = self.session_mut() {
            let receipt = session.receiver.applied(verdicts);
            session.answered(receipt, now_ms);
        }
    }

    /// The part was stored.
    pub fn staged(&mut self, now_ms: u64) {
        if let Some(session) = self.session_mut() {
            let receipt = session.receiver.staged();
            session.answered(receipt, now_ms);
        }
    }

    /// What is to be done next.
    pub fn poll(&mut self, now_ms: u64, here: &impl Here) -> Option<Action> {
        match &mut self.state {
            State::Away | State::Making => None,
            State::Wanted(at_ms) if !has_come(*at_ms, FAILED_MS, now_ms) => None,
            State::Wanted(_) => {
                self.state = State::Making;
                Some(Action::Greet)
            }
            State::Saying { said: true, .. } => None,
            State::Saying { mine, said, .. } => {
                *said = true;
                let hello = Call::Hello((**mine).clone());
                Some(self.call(Asked::Hello, hello))
            }
            State::Unlike(mismatch) => {
                let close = Action::Close(mismatch.clone());
                self.closed();
                Some(close)
            }
            State::Live(session) => {
                if session.is_to_retry(now_ms) {
                    self.begin_at(0);
                    return self.poll(now_ms, here);
                }
                if let Some(action) = session.look(now_ms, here) {
                    return Some(action);
                }
                if let Some(bundle) = session.ready.take() {
                    return Some(self.call(Asked::Push, Call::Push(bundle)));
                }
                let pulls = self.calls.values().filter(|asked| **asked == Asked::Pull).count();
                if let Some(receipt) = session.pull(pulls, now_ms, here) {
                    return Some(self.call(Asked::Pull, Call::Pull(receipt)));
                }
                if session.sender.gathers_until().is_some_and(|at_ms| !has_come(at_ms, GATHER_MS, now_ms)) {
                    return None;
                }
                match session.sender.turn(now_ms)? {
                    Turn::Read(query) => Some(Action::Read(query)),
                    Turn::Send(bundle) => Some(self.call(Asked::Push, Call::Push(bundle))),
                }
            }
        }
    }

    /// When it may want something though nothing happens, after [`Dialler::poll`] has given nothing more.
    pub fn wakes_at(&self, now_ms: u64) -> Option<u64> {
        match &self.state {
            State::Wanted(at_ms) => Some(*at_ms),
            State::Live(session) => session.wakes_at(now_ms),
            _ => None,
        }
    }

    /// The other end's hello, while there is a session.
    pub fn peer(&self) -> Option<&Hello> {
        self.session().map(|session| &session.theirs)
    }

    /// The sending end, while there is a session.
    pub fn sender(&self) -> Option<&Sender> {
        self.session().map(|session| &session.sender)
    }

    /// The receiving end, while there is a session.
    pub fn receiver(&self) -> Option<&Receiver> {
        self.session().map(|session| &session.receiver)
    }

    fn session(&self) -> Option<&Session> {
        match &self.state {
            State::Live(session) => Some(session),
            _ => None,
        }
    }

    fn session_mut(&mut self) -> Option<&mut Session> {
        match &mut self.state {
            State::Live(session) => Some(session),
            _ => None,
        }
    }

    fn begin_at(&mut self, at_ms: u64) {
        self.calls.clear();
        self.state = State::Wanted(at_ms);
    }

    fn call(&mut self, asked: Asked, call: Call) -> Action {
        self.last_call += 1;
        self.calls.insert(self.last_call, asked);
        Action::Call(self.last_call, call)
    }
}
