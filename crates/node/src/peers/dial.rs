//! One peer that this site dials: its line, the session over it, when to dial again, and how it goes. A thread of its own.
//!
//! What must always hold here: whatever goes wrong with this peer ends its session, is noted with its reason, and nothing else.

use crate::peers::backoff::Backoff;
use crate::peers::inbox::{Event, Inbox, Slot};
use crate::peers::line::{Happened, Line};
use crate::peers::now_ms;
use crate::peers::state::{Phase, States};
use gundb_core::bundle::WireLimits;
use gundb_core::store::{Caller, Next, Request, Response, SessionError, Store, Terms};
use gundb_core::sync::dialler::CallId;
use gundb_transport::fault::Fault;
use gundb_transport::session::{Call, Function, Told};
use gundb_transport::url::PeerUrl;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// So many sessions in a row that end by what cannot be read, and the peer is left alone.
const OFFENCES_MAX: u32 = 5;
/// How long the oldest call may wait for its answer: a large transaction takes its time to be applied.
const ANSWER_MAX: Duration = Duration::from_secs(600);
/// How long after the last that was exchanged the peer is called once more: what it has heard it may note once a second, and only when it is called.
const SETTLE: Duration = Duration::from_millis(1_100);
/// How long the last words may take when all ends.
const FAREWELL: Duration = Duration::from_millis(150);

/// What a peer's thread works with.
pub(super) struct Dial {
    pub(super) name: String,
    pub(super) url: PeerUrl,
    pub(super) store: Arc<dyn Store>,
    pub(super) states: States,
    pub(super) network: Handle,
    pub(super) slot: Slot,
    pub(super) inbox: Inbox,
    pub(super) limits: WireLimits,
    pub(super) keep_alive: Duration,
    pub(super) backoff: Backoff,
}

/// What it keeps.
struct Peer {
    dial: Dial,
    caller: Caller,
    line: Option<Line>,
    /// The last dial's number.
    number: u64,
    connected: Option<Instant>,
    /// Calls that were made and not answered, in their order.
    asked: VecDeque<CallId>,
    /// When the peer answered last, or was asked while nothing was to be answered.
    heard: Instant,
    /// When the peer is called once more; whether it has been since something was exchanged.
    settle: Option<Instant>,
    is_settled: bool,
    offences: u32,
    is_paused: bool,
}

impl Dial {
    /// Runs until it is told to stop.
    pub(super) fn run(self, terms: Terms) {
        let caller = Caller::new(&self.name, terms, self.limits);
        Peer {
            dial: self,
            caller,
            line: None,
            number: 0,
            connected: None,
            asked: VecDeque::new(),
            heard: Instant::now(),
            settle: None,
            is_settled: false,
            offences: 0,
            is_paused: false,
        }
        .run();
    }
}

impl Peer {
    fn run(mut self) {
        loop {
            self.connect();
            let until = self.turn();
            let mut event = self.dial.inbox.take(until);
            while let Some(happened) = event {
                if matches!(happened, Event::Stop) {
                    return self.stop();
                }
                self.hear(happened);
                event = self.dial.inbox.take_now();
            }
        }
    }

    fn stop(mut self) {
        // The end of the line is the goodbye.
        if self.line.take().is_some() {
            std::thread::sleep(FAREWELL);
        }
    }

    /// Dials, if it is time to.
    fn connect(&mut self) {
        if self.line.is_some() || self.is_paused || Instant::now() < self.dial.backoff.next {
            return;
        }
        self.number += 1;
        let dial = &self.dial;
        let bytes_max = usize::try_from(dial.limits.bytes_max).unwrap_or(usize::MAX).saturating_add(1 << 20);
        let (url, slot) = (dial.url.clone(), dial.slot.clone());
        self.line = Some(Line::dial(&dial.network, url, bytes_max, dial.keep_alive, self.number, slot));
        dial.states.note(&dial.name, |state| state.phase = Phase::Connecting);
    }

    fn hear(&mut self, event: Event) {
        match event {
            Event::Line(number, happened) if number == self.number && self.line.is_some() => match happened {
                Happened::Connected => {
                    self.connected = Some(Instant::now());
                    self.caller.connected();
                }
                Happened::Told(Told::News) => self.caller.news_there(),
                Happened::Told(Told::Reply { function, bytes, .. }) => self.replied(function, bytes),
                Happened::Closed(fault) => self.closed(&fault),
            },
            Event::Line(..) => {}
            Event::News => self.caller.news_here(),
            Event::Terms(terms) => self.caller.renew(terms),
            Event::Hurry => {
                self.caller.news_here();
                self.caller.news_there();
                if self.line.is_none() {
                    self.dial.backoff.at_once();
                }
            }
            Event::Stop => {}
        }
    }

    fn replied(&mut self, function: Function, bytes: Option<Vec<u8>>) {
        self.heard = Instant::now();
        let Some(call) = self.asked.pop_front() else {
            return self.failed("the peer answered what it was not asked");
        };
        let size = bytes.as_ref().map_or(0, Vec::len) as u64;
        self.is_settled &= size == 0;
        let response = match (function, bytes) {
            (Function::Hello, Some(bytes)) => Response::Hello(bytes),
            (Function::Push, Some(bytes)) => Response::Receipt(bytes),
            (Function::Pull, bytes) => Response::Bundle(bytes),
            (_, None) => return self.failed("the peer answered nothing"),
            (Function::Compare, _) => return self.failed("the peer answered what it was not asked"),
        };
        let answered = self.caller.answered(call, response, now_ms());
        self.dial.states.note(&self.dial.name, |state| {
            state.bytes_received += size;
            state.contact_ms = now_ms();
            state.synced = false;
        });
        if let Err(error) = answered {
            return self.broken(&error);
        }
        if function == Function::Hello
            && let Some(hello) = self.caller.peer()
        {
            self.dial.states.note(&self.dial.name, |state| {
                state.hear(hello);
                state.phase = Phase::Connected;
                state.error = None;
                state.times += 1;
            });
        }
    }

    /// Makes the calls that the session wants, until it wants nothing; says when it may want something again.
    fn turn(&mut self) -> Option<Instant> {
        loop {
            if self.connected.is_none() {
                return (self.line.is_none() && !self.is_paused).then_some(self.dial.backoff.next);
            }
            if self.settle.take_if(|at| *at <= Instant::now()).is_some() {
                self.caller.news_there();
                self.is_settled = true;
            }
            let store = Arc::clone(&self.dial.store);
            match self.caller.next(&*store, now_ms()) {
                Ok(Next::Call(id, request)) => self.call(id, request),
                Ok(Next::Wait(until_ms)) => {
                    self.rest();
                    let due = until_ms.map(|until_ms| {
                        // What is due and was not wanted waits for an answer, which wakes by itself.
                        let left_ms = until_ms.saturating_sub(now_ms());
                        Instant::now() + Duration::from_millis(if left_ms == 0 { 100 } else { left_ms })
                    });
                    let answer = (!self.asked.is_empty()).then(|| self.heard + ANSWER_MAX);
                    if answer.is_some_and(|until| until <= Instant::now()) {
                        self.failed(&format!("the peer did not answer within {} s", ANSWER_MAX.as_secs()));
                        continue;
                    }
                    return due.into_iter().chain(answer).chain(self.settle).min();
                }
                Ok(Next::Close(mismatch)) => self.failed(&format!("there can be no session: {mismatch}")),
                Err(error) => self.broken(&error),
            }
        }
    }

    fn call(&mut self, id: CallId, request: Request) {
        let (function, argument) = match request {
            Request::Hello(bytes) => {
                // A session that begins anew over a connection that stands answers no earlier call.
                (Function::Hello, Some(bytes))
            }
            Request::Push(bytes) => (Function::Push, Some(bytes)),
            Request::Pull(bytes) => (Function::Pull, bytes),
        };
        let size = argument.as_ref().map_or(0, Vec::len) as u64;
        let Some(line) = &self.line else { return };
        match line.call(Call { function, argument }) {
            Ok(()) => {
                if self.asked.is_empty() {
                    self.heard = Instant::now();
                }
                self.asked.push_back(id);
                self.dial.states.note(&self.dial.name, |state| state.bytes_sent += size);
            }
            Err(fault) => self.failed(&sentence(&fault)),
        }
    }

    /// There is nothing to do; perhaps nothing is left to exchange either.
    fn rest(&mut self) {
        if !self.asked.is_empty() || self.caller.peer().is_none() {
            return;
        }
        self.offences = 0;
        self.settle = (!self.is_settled).then(|| Instant::now() + SETTLE);
        let waits = self.caller.dialler().sender().is_some_and(|sender| sender.waits());
        let holds = self.caller.peer_has();
        self.dial.states.note(&self.dial.name, |state| {
            state.synced = !waits;
            if let Some(holds) = holds {
                state.holds = holds;
            }
        });
    }

    /// What came cannot be, or the store does not do what it should.
    fn broken(&mut self, error: &SessionError) {
        let is_offence = matches!(error, SessionError::Malformed(_));
        self.offences = if is_offence { self.offences + 1 } else { 0 };
        if self.offences < OFFENCES_MAX {
            return self.failed(&error.to_string());
        }
        self.failed(&format!("left alone after {OFFENCES_MAX} sessions in a row that ended so: {error}"));
        self.is_paused = true;
        self.dial.states.note(&self.dial.name, |state| state.phase = Phase::Paused);
    }

    /// The link is gone. Where what may flow has changed at the other end, or its run, nothing is wrong: its next hello says what is so now.
    fn closed(&mut self, fault: &Fault) {
        if !fault.begins_anew() || self.caller.peer().is_none() {
            return self.failed(&sentence(fault));
        }
        self.away();
        self.dial.states.note(&self.dial.name, |state| {
            state.phase = Phase::Waiting;
            state.synced = false;
        });
    }

    /// There is no link any more; the peer is dialled again after a pause.
    fn away(&mut self) {
        self.line = None;
        self.caller.closed();
        self.asked.clear();
        (self.settle, self.is_settled) = (None, false);
        let lasted = self.connected.take().map_or(Duration::ZERO, |since| since.elapsed());
        self.dial.backoff.failed(lasted);
    }

    /// Ends the session and says why.
    fn failed(&mut self, why: &str) {
        self.away();
        let name = self.dial.name.clone();
        let mut is_new = false;
        self.dial.states.note(&name, |state| {
            is_new = state.error.as_deref() != Some(why);
            state.phase = Phase::Waiting;
            state.synced = false;
            state.error = Some(why.to_owned());
        });
        if is_new {
            eprintln!("gundb: no session with peer \"{name}\": {why}");
        }
    }
}

/// A fault, and what to do about it.
fn sentence(fault: &Fault) -> String {
    match fault.hint() {
        Some(hint) => format!("{fault}. {hint}"),
        None => fault.to_string(),
    }
}
