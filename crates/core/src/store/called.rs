//! The end of a session that is called, over a store: bytes in, bytes out, whatever carries them.
//!
//! What must always hold here: a session lives as long as what it has answered stands. Whatever goes wrong ends it, and the other end begins anew with a hello.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::bundle::{
    Bundle, WireLimits, decode_bundle, decode_hello, decode_receipt, encode_bundle, encode_hello, encode_receipt,
};
use crate::clock::Clock;
use crate::id::StreamId;
use crate::store::{Links, Origin, SessionError, Store, Terms};
use crate::sync::answerer::{Answerer, Pulled};
use crate::sync::message::{Hello, Receipt};
use crate::sync::receiver::{Check, Here};

/// The end that is called, of one connection.
#[derive(Debug)]
pub struct Called {
    terms: Terms,
    limits: WireLimits,
    /// Who is at the other end; the session with it adds its site to the peer's name.
    origin: Origin,
    session: Option<Session>,
}

#[derive(Debug)]
struct Session {
    answerer: Answerer,
    origin: Origin,
    theirs: Hello,
    names: BTreeMap<StreamId, String>,
    links: Arc<Links>,
}

/// What a store says of itself, as of one moment.
pub(super) struct Now {
    pub(super) clock: Clock,
    pub(super) names: BTreeMap<StreamId, String>,
}

impl Here for Now {
    fn clock(&self) -> Clock {
        self.clock.clone()
    }

    fn stream_name(&self, stream: StreamId) -> Option<String> {
        self.names.get(&stream).cloned()
    }
}

impl Called {
    /// An end without a session, of a connection that `peer` has made.
    pub fn new(peer: &str, terms: Terms, limits: WireLimits) -> Called {
        let origin = Origin { peer: peer.to_owned(), accept: terms.accept };
        Called { terms, limits, origin, session: None }
    }

    /// Begins a session, and ends the one before: takes the other end's hello, gives this one's.
    pub fn hello(&mut self, store: &dyn Store, hello: &[u8], now_ms: u64) -> Result<Vec<u8>, SessionError> {
        self.session = None;
        let theirs = decode_hello(hello, &self.limits)?;
        self.terms.hear(store, &theirs)?;
        let mine = self.terms.hello(store, now_ms)?;
        let names = store.known_streams()?;
        let known = names.values().collect::<Vec<_>>();
        let answerer = Answerer::hello(&mine, &theirs, &known)?;
        // Two sites may come by one name.
        let origin = Origin { peer: format!("{}/{}", self.origin.peer, theirs.site), ..self.origin.clone() };
        let theirs = Hello { clock: Clock::new(), ..theirs };
        // What has become known meanwhile is looked at with the first call.
        self.session = Some(Session { answerer, origin, theirs, names, links: Arc::default() });
        Ok(encode_hello(&mine))
    }

    /// Takes a bundle, gives a receipt.
    pub fn push(&mut self, store: &dyn Store, bundle: &[u8]) -> Result<Vec<u8>, SessionError> {
        let mut session = self.session.take().ok_or(SessionError::NoSession)?;
        let bundle = decode_bundle(bundle, &self.limits)?;
        let receipt = session.push(store, bundle)?;
        self.session = Some(session);
        Ok(encode_receipt(&receipt))
    }

    /// Gives a bundle, or nothing; takes a receipt of earlier ones.
    pub fn pull(
        &mut self,
        store: &dyn Store,
        receipt: Option<&[u8]>,
        now_ms: u64,
    ) -> Result<Option<Vec<u8>>, SessionError> {
        let mut session = self.session.take().ok_or(SessionError::NoSession)?;
        let receipt = receipt.map(|bytes| decode_receipt(bytes, &self.limits)).transpose()?;
        let bundle = session.pull(store, receipt.as_ref(), now_ms)?;
        self.session = Some(session);
        Ok(bundle.map(|bundle| encode_bundle(&bundle, self.terms.compression)))
    }

    /// Who is at the other end, while there is a session: its hello, without its clock.
    pub fn peer(&self) -> Option<&Hello> {
        self.session.as_ref().map(|session| &session.theirs)
    }

    /// What the other end has, by all that it said, while there is a session.
    pub fn peer_has(&self) -> Option<Clock> {
        self.session.as_ref().map(|session| session.answerer.sender().receiver_has())
    }
}

impl Session {
    fn push(&mut self, store: &dyn Store, bundle: Bundle) -> Result<Receipt, SessionError> {
        self.learn(store)?;
        let here = Now { clock: store.clock()?, names: self.names.clone() };
        let receipt = match self.answerer.push(bundle, &here) {
            Check::Answer(receipt) => Some(receipt),
            Check::Stage(stage) => {
                store.stage(&self.origin, stage)?;
                self.answerer.staged()
            }
            Check::Apply(delivery) => {
                let verdicts = store.apply(&self.origin, delivery)?;
                self.answerer.applied(&verdicts)
            }
        };
        receipt.ok_or(SessionError::NoSession)
    }

    fn pull(
        &mut self,
        store: &dyn Store,
        receipt: Option<&Receipt>,
        now_ms: u64,
    ) -> Result<Option<Bundle>, SessionError> {
        self.learn(store)?;
        let mut pulled = self.answerer.pull(receipt, now_ms);
        loop {
            match pulled {
                Pulled::Read(query) => pulled = self.answerer.read(store.read(&query)?, now_ms),
                Pulled::Answer(bundle) => return Ok(bundle),
            }
        }
    }

    /// Where there are other ways to tell of, there is no session any more.
    fn learn(&mut self, store: &dyn Store) -> Result<(), SessionError> {
        let (names, links) = (store.known_streams()?, store.links()?);
        if names != self.names || links != self.links {
            if !self.answerer.learned(&names.values().collect::<Vec<_>>(), &links.ways) {
                return Err(SessionError::NoSession);
            }
            (self.names, self.links) = (names, links);
        }
        Ok(())
    }
}
