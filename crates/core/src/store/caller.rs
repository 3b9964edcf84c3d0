//! The end of a session that calls, over a store: it says what is to be called, and is told what was answered, in bytes.
//!
//! How to drive it: tell it what happened, then make the calls that [`Caller::next`] asks for until it says [`Next::Wait`]; then wait for an answer, for news
//! of the store ([`Store::listen`]) or of the other end, or for the moment that it names. Calls are made, and answered, in order.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::bundle::{
    WireLimits, decode_bundle, decode_hello, decode_receipt, encode_bundle, encode_hello, encode_receipt,
};
use crate::clock::Clock;
use crate::id::StreamId;
use crate::store::called::Now;
use crate::store::{Links, Origin, SessionError, Store, Terms};
use crate::sync::dialler::{Action, Call, CallId, Dialler, Reply};
use crate::sync::message::{Hello, Mismatch};

/// The end that calls, of one peer.
#[derive(Debug)]
pub struct Caller {
    terms: Terms,
    limits: WireLimits,
    origin: Origin,
    dialler: Dialler,
    names: BTreeMap<StreamId, String>,
    links: Arc<Links>,
    /// The peer's hello, where it is yet to be remembered.
    heard: Option<Hello>,
}

/// What is to be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// The other end is to be called; the answer goes to [`Caller::answered`], a failure to [`Caller::failed`].
    Call(CallId, Request),
    /// Nothing before something happens, or this moment comes, in milliseconds since 1970.
    Wait(Option<u64>),
    /// The connection is to be closed: there can be no session.
    Close(Mismatch),
}

/// What is asked of the other end: a message each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// A hello; answered by one.
    Hello(Vec<u8>),
    /// A bundle; answered by a receipt.
    Push(Vec<u8>),
    /// Perhaps a receipt; answered by a bundle, or nothing.
    Pull(Option<Vec<u8>>),
}

/// What the other end answered: a message each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Response {
    /// To a hello.
    Hello(Vec<u8>),
    /// To a push.
    Receipt(Vec<u8>),
    /// To a pull.
    Bundle(Option<Vec<u8>>),
}

impl Caller {
    /// An end without a connection, to this peer.
    pub fn new(peer: &str, terms: Terms, limits: WireLimits) -> Caller {
        let origin = Origin { peer: peer.to_owned(), accept: terms.accept };
        Caller {
            terms,
            limits,
            origin,
            dialler: Dialler::new(),
            names: BTreeMap::new(),
            links: Arc::default(),
            heard: None,
        }
    }

    /// There is a connection.
    pub fn connected(&mut self) {
        self.dialler.connected();
    }

    /// The connection is gone.
    pub fn closed(&mut self) {
        self.dialler.closed();
    }

    /// Something was committed here.
    pub fn news_here(&mut self) {
        self.dialler.news_here();
    }

    /// The other end has news.
    pub fn news_there(&mut self) {
        self.dialler.news_there();
    }

    /// What is agreed with the peer has changed: the session begins anew.
    pub fn renew(&mut self, terms: Terms) {
        self.origin.accept = terms.accept;
        self.terms = terms;
        self.dialler.renew();
    }

    /// What is to be done next. Reads from the store, and writes to it, what the session asks for. After an error the session begins anew in a moment.
    pub fn next(&mut self, store: &dyn Store, now_ms: u64) -> Result<Next, SessionError> {
        let next = self.step(store, now_ms);
        if next.is_err() {
            self.dialler.failed(now_ms);
        }
        next
    }

    fn step(&mut self, store: &dyn Store, now_ms: u64) -> Result<Next, SessionError> {
        let mut here = self.look(store)?;
        loop {
            match self.dialler.poll(now_ms, &here) {
                None => return Ok(Next::Wait(self.dialler.wakes_at(now_ms))),
                Some(Action::Close(mismatch)) => return Ok(Next::Close(mismatch)),
                Some(Action::Call(call, what)) => return Ok(Next::Call(call, self.request(what))),
                Some(Action::Greet) => {
                    let mine = self.terms.hello(store, now_ms)?;
                    self.dialler.greet(mine, self.names.values().cloned().collect());
                }
                Some(Action::Read(query)) => self.dialler.read(store.read(&query)?, now_ms),
                Some(Action::Apply(delivery)) => {
                    let verdicts = store.apply(&self.origin, delivery)?;
                    self.dialler.applied(&verdicts, now_ms);
                    here = self.look(store)?;
                }
                Some(Action::Stage(stage)) => {
                    store.stage(&self.origin, stage)?;
                    self.dialler.staged(now_ms);
                }
            }
        }
    }

    /// A call was answered. What is not a message of gundb's ends the session; the caller may want to close the connection.
    pub fn answered(&mut self, call: CallId, response: Response, now_ms: u64) -> Result<(), SessionError> {
        match self.reply(response) {
            Ok(reply) => {
                if let Reply::Hello(theirs) = &reply {
                    self.heard = Some(Hello { clock: Clock::new(), ..theirs.clone() });
                }
                self.dialler.replied(call, reply, now_ms);
            }
            Err(error) => {
                self.dialler.failed(now_ms);
                return Err(error);
            }
        }
        Ok(())
    }

    /// A call failed, and the connection stands.
    pub fn failed(&mut self, now_ms: u64) {
        self.dialler.failed(now_ms);
    }

    /// Who is at the other end, while there is a session: its hello, without its clock.
    pub fn peer(&self) -> Option<&Hello> {
        self.dialler.peer()
    }

    /// What the other end has, by all that it said, while there is a session.
    pub fn peer_has(&self) -> Option<Clock> {
        self.dialler.sender().map(|sender| sender.receiver_has())
    }

    /// The session, to look into.
    pub fn dialler(&self) -> &Dialler {
        &self.dialler
    }

    /// What the store says of itself now.
    fn look(&mut self, store: &dyn Store) -> Result<Now, SessionError> {
        if let Some(theirs) = self.heard.take() {
            self.terms.hear(store, &theirs)?;
        }
        let (names, links) = (store.known_streams()?, store.links()?);
        if names != self.names || links != self.links {
            self.dialler.learned(&names.values().collect::<Vec<_>>(), &links.ways);
            (self.names, self.links) = (names.clone(), links);
        }
        Ok(Now { clock: store.clock()?, names })
    }

    fn request(&self, call: Call) -> Request {
        match call {
            Call::Hello(hello) => Request::Hello(encode_hello(&hello)),
            Call::Push(bundle) => Request::Push(encode_bundle(&bundle, self.terms.compression)),
            Call::Pull(receipt) => Request::Pull(receipt.as_ref().map(encode_receipt)),
        }
    }

    fn reply(&self, response: Response) -> Result<Reply, SessionError> {
        Ok(match response {
            Response::Hello(bytes) => Reply::Hello(decode_hello(&bytes, &self.limits)?),
            Response::Receipt(bytes) => Reply::Receipt(decode_receipt(&bytes, &self.limits)?),
            Response::Bundle(bytes) => {
                Reply::Bundle(bytes.map(|bytes| decode_bundle(&bytes, &self.limits)).transpose()?)
            }
        })
    }
}
