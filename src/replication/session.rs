//! What the site that dials in calls: hello, push, pull. The session lives in this backend's memory. `gundb run` calls the same on
//! behalf of a peer that it serves, after a greeting.
//!
//! Must hold: before anything else the session user's role is looked at, or there was a greeting, which not everybody may call.
//! The session lives as long as what it has answered stands: an error, or a rollback, ends it, and the other end begins anew with a hello.
//!
//! Unsafe: asks who has connected.

use crate::boundary;
use crate::call::Call;
use crate::catalog::{self, Grant, Note};
use crate::error::{Error, Result, internal, state};
use crate::replication::compare;
use crate::replication::flows::{self, Terms, With};
use crate::replication::incoming::{self, Here};
use crate::replication::outgoing;
use crate::replication::served::{self, Word};
use crate::replication::settings;
use crate::spi::{self, as_owner};
use crate::{run, sql_function, transaction};
use gundb_core::apply::{Problem, Verdict};
use gundb_core::bundle::{
    Bundle, WireError, decode_bundle, decode_hello, decode_question, decode_receipt, encode_answer, encode_bundle,
    encode_hello, encode_receipt,
};
use gundb_core::sync::answerer::{Answerer, Pulled};
use gundb_core::sync::message::{Accept, Hello, Receipt};
use gundb_core::sync::receiver::Check;
use gundb_core::{Run, SiteId, StreamId};
use pgrx::pg_sys::{self, Datum, Oid};
use std::cell::RefCell;
use std::collections::BTreeMap;

/// How often it is noted how a session goes.
const NOTE_EVERY_MS: u64 = 1_000;

/// With whom a session is.
enum Party {
    /// A site that has dialled in, as this role.
    Guest(String),
    /// This peer, on whose behalf `gundb run` calls.
    Peer(String),
}

/// What this site has said to a peer that it serves, and what comes of it once the peer has answered.
struct Greeting {
    /// When, in microseconds since 2000.
    said_at: i64,
    role: Oid,
    generation: u32,
    peer: String,
    terms: Terms,
    mine: Hello,
}

struct Session {
    role: Oid,
    party: Party,
    /// As of when the terms are.
    generation: u32,
    bound: Vec<String>,
    terms: Terms,
    /// This site, in the run of the session.
    mine: (SiteId, Run),
    theirs: SiteId,
    answerer: Answerer,
    names: BTreeMap<StreamId, String>,
    note: Note,
    noted_ms: u64,
    /// When it was last asked for what there is to send.
    pulled_at: i64,
}

thread_local! {
    static SESSION: RefCell<Option<Session>> = const { RefCell::new(None) };
    static GREETING: RefCell<Option<Greeting>> = const { RefCell::new(None) };
}

/// Ends the session, if there is one. Calls nothing of PostgreSQL's.
pub fn forget() {
    SESSION.take();
    GREETING.take();
}

/// The session user's role, and what it was granted.
fn granted() -> Result<(Oid, String, Grant)> {
    // SAFETY: reads who has connected.
    let role = unsafe { pg_sys::GetSessionUserId() };
    let name = catalog::role_name(role)?;
    match catalog::grant_of(role)? {
        Some(grant) => Ok((role, name, grant)),
        None => Err(Error::new(state::PRIVILEGE, format!("role \"{name}\" may not dial in as a peer"))
            .hint(format!(
                "Who owns the extension there allows it: SELECT gundb.grant_peer('{}');",
                name.replace('\'', "''")
            ))
            .into()),
    }
}

/// What is not a message.
pub fn malformed(what: &str, why: &WireError) -> Error {
    Error::new(state::INVALID_BINARY, format!("this is no {what} of gundb's")).detail(why.to_string())
}

fn anew(why: &str) -> Error {
    Error::new(state::WRONG_STATE, why)
        .hint("A session begins with gundb.session_hello; the worker of the site that dials in sees to that by itself.")
}

impl Session {
    /// With a site that has dialled in.
    fn of_guest(theirs: &Hello) -> Result<(Session, Hello)> {
        let (role, role_name, grant) = granted()?;
        let generation = run::database()?.peers_generation();
        let (terms, bound) = as_owner(|| Ok((Terms::of_grant(&grant, role)?, flows::bound_streams(role)?)))?;
        as_owner(catalog::ensure_system_table)?;
        as_owner(|| flows::hear(&terms, With::Guest(&role_name), theirs))?;
        let mine = as_owner(|| spi::with_latest_snapshot(|| flows::hello(&terms)))?;
        let name = theirs.site.0.to_string();
        if let Some(why) = catalog::begin_session_of(&name, &role_name)? {
            return Err(Error::new(state::WRONG_STATE, "this peer is paused here")
                .detail(why)
                .hint(format!("There: SELECT gundb.resume_peer('{}');", theirs.name.replace('\'', "''")))
                .into());
        }
        catalog::supersede(&name, &role_name, &theirs.name)?;
        let party = Party::Guest(role_name);
        let session = Session::begin(
            Greeting { said_at: asked_at(), role, generation, peer: name, terms, mine: mine.clone() },
            party,
            bound,
            theirs,
        )?;
        Ok((session, mine))
    }

    /// With a peer that was greeted.
    fn of_peer(greeting: Greeting, theirs: &Hello) -> Result<(Session, Hello)> {
        catalog::begin_session_of(&greeting.peer, "")?;
        as_owner(|| flows::hear(&greeting.terms, With::Peer(&greeting.peer), theirs))?;
        let (mine, party) = (greeting.mine.clone(), Party::Peer(greeting.peer.clone()));
        Ok((Session::begin(greeting, party, Vec::new(), theirs)?, mine))
    }

    fn begin(greeting: Greeting, party: Party, bound: Vec<String>, theirs: &Hello) -> Result<Session> {
        let Greeting { said_at, role, generation, peer, terms, mine } = greeting;
        let names = incoming::known_streams()?;
        let known = names.values().collect::<Vec<_>>();
        let answerer = Answerer::hello(&mine, theirs, &known)
            .map_err(|why| Error::new(state::WRONG_STATE, "there can be no session").detail(why.to_string()))?;
        if terms.accept == Accept::Any {
            catalog::add_definers(&[theirs.site])?;
        }
        let is_copy = mine.is_copy(theirs);
        let note = Note {
            name: peer,
            role: party.role().to_owned(),
            site: Some(theirs.site),
            run: Some(theirs.run),
            site_name: Some(theirs.name.clone()),
            software: Some(theirs.software.clone()),
            state: Some("connected"),
            is_contact: true,
            error: is_copy.then(|| "the peer is another copy of this very site".to_owned()),
            skew_ms: Some(theirs.now_ms as i64 - run::now_ms() as i64),
            holds: Some(theirs.clock.clone()),
            says: Some(catalog::Says::of(theirs)),
            ..Note::default()
        };
        let mut session = Session {
            role,
            party,
            generation,
            bound,
            terms,
            mine: (mine.site, mine.run),
            theirs: theirs.site,
            answerer,
            names,
            note,
            noted_ms: 0,
            pulled_at: said_at,
        };
        catalog::forget_letters_of(&session.letters())?;
        session.note(true)?;
        Ok(session)
    }

    /// By what its parts are kept.
    fn letters(&self) -> String {
        match &self.party {
            Party::Guest(role) => format!("{role}/{}", self.theirs.0),
            Party::Peer(name) => name.clone(),
        }
    }

    /// Whether what was agreed stands.
    fn check(&mut self) -> Result<()> {
        // SAFETY: reads who has connected.
        if self.role != unsafe { pg_sys::GetSessionUserId() } {
            return Err(anew("the session is another role's").into());
        }
        let database = run::database()?;
        let generation = database.peers_generation();
        if self.generation != generation {
            let terms = match &self.party {
                Party::Guest(_) => {
                    let (role, _, grant) = granted()?;
                    as_owner(|| Terms::of_grant(&grant, role))?
                }
                Party::Peer(name) => as_owner(|| Terms::of_peer(&served::peer(name)?))?,
            };
            if self.terms != terms {
                return Err(anew("what may flow in the session has changed").into());
            }
            self.learn(incoming::known_streams()?)?;
            self.generation = generation;
        }
        if matches!(self.party, Party::Guest(_)) && self.bound != as_owner(|| flows::bound_streams(self.role))? {
            return Err(anew("what may flow in the session has changed").into());
        }
        let running = database.running();
        if (running.site.as_slice(), running.run) != (self.mine.0.0.as_bytes().as_slice(), self.mine.1.number()) {
            return Err(anew("this site has begun another run").into());
        }
        Ok(())
    }

    fn push(&mut self, bundle: Bundle, bytes: usize) -> Result<Receipt> {
        self.note.bytes_received += bytes as u64;
        self.note.events_received +=
            bundle.transactions.iter().map(|transaction| transaction.events.len() as u64).sum::<u64>();
        let here = as_owner(|| Here::now(self.names.clone()))?;
        match self.answerer.push(bundle, &here) {
            Check::Answer(receipt) => Ok(receipt),
            Check::Stage(stage) => {
                incoming::stage(&self.letters(), &stage)?;
                self.answerer.staged().ok_or_else(|| internal("a part was stored that was not asked for"))
            }
            Check::Apply(delivery) => {
                let defines = incoming::defines(&delivery);
                let verdicts = incoming::apply(&self.letters(), self.terms.accept, delivery)?;
                for verdict in &verdicts {
                    if let Verdict::Refuse(refusal) = verdict
                        && matches!(refusal.problem, Problem::Malformed(_))
                    {
                        self.offended(&format!("refused {}: {}", refusal.dot, refusal.problem))?;
                    }
                }
                if defines {
                    self.learn_streams()?;
                }
                self.answerer.applied(&verdicts).ok_or_else(|| internal("something was applied that was not asked for"))
            }
        }
    }

    /// It has brought what cannot be. The worker notes it, since this transaction may be rolled back.
    fn offended(&self, why: &str) -> Result<()> {
        let role = match self.party {
            Party::Guest(_) => self.role,
            Party::Peer(_) => Oid::INVALID,
        };
        run::database()?.tell_offence(role, self.theirs, why);
        Ok(())
    }

    fn pull(&mut self, receipt: Option<&Receipt>) -> Result<Option<Vec<u8>>> {
        self.pulled_at = asked_at();
        self.learn_streams()?;
        let mut pulled = self.answerer.pull(receipt, run::now_ms());
        loop {
            match pulled {
                Pulled::Read(query) => {
                    let page = outgoing::page(&query)?;
                    pulled = self.answerer.read(page, run::now_ms());
                }
                Pulled::Answer(None) => return Ok(None),
                Pulled::Answer(Some(bundle)) => {
                    let bytes = encode_bundle(&bundle, self.terms.options.compression);
                    self.note.bytes_sent += bytes.len() as u64;
                    self.note.events_sent +=
                        bundle.transactions.iter().map(|transaction| transaction.events.len() as u64).sum::<u64>();
                    return Ok(Some(bytes));
                }
            }
        }
    }

    /// Looks which streams are known.
    fn learn_streams(&mut self) -> Result<()> {
        let names = incoming::known_streams()?;
        if names != self.names { self.learn(names) } else { Ok(()) }
    }

    /// Other streams are known, or ways. Of those the peer is told in another hello.
    fn learn(&mut self, names: BTreeMap<StreamId, String>) -> Result<()> {
        if !self.answerer.learned(&names.values().collect::<Vec<_>>(), &catalog::links()?.ways) {
            return Err(anew("events come here by other ways than was said").into());
        }
        self.names = names;
        Ok(())
    }

    /// Notes how it goes, once in a while.
    fn note(&mut self, at_once: bool) -> Result<()> {
        let now_ms = run::now_ms();
        if !at_once && now_ms < self.noted_ms + NOTE_EVERY_MS {
            return Ok(());
        }
        // A session that begins has noted what the hello says.
        self.note.holds = self.note.holds.take().or_else(|| Some(self.answerer.sender().receiver_has()));
        self.note.is_contact = true;
        catalog::note_peer(&self.note)?;
        self.noted_ms = now_ms;
        self.note = Note { name: self.note.name.clone(), role: self.note.role.clone(), ..Note::default() };
        Ok(())
    }
}

impl Party {
    /// The role in its row of `gundb.peer_state`.
    fn role(&self) -> &str {
        match self {
            Party::Guest(role) => role,
            Party::Peer(_) => "",
        }
    }
}

/// When a peer was last greeted here without an answer: what couriers carry follows that.
pub fn greeted_at(peer: &str) -> Option<i64> {
    GREETING.with_borrow(|greeting| {
        greeting.as_ref().filter(|greeting| greeting.peer == peer).map(|greeting| greeting.said_at)
    })
}

/// The beginning of this call, before anything was read.
fn asked_at() -> i64 {
    // SAFETY: reads a variable of this process.
    unsafe { pg_sys::GetCurrentStatementStartTimestamp() }
}

/// Has the session with a peer that is served, if there is one, note how it goes. Says whether there is one.
pub fn note_served(peer: &str, word: &Word) -> Result<bool> {
    let is_of = |session: &Session| matches!(&session.party, Party::Peer(name) if name == peer);
    if SESSION.with_borrow(|session| !session.as_ref().is_some_and(is_of)) {
        return Ok(false);
    }
    if word.state.is_some_and(|state| state != "connected") {
        forget();
        return Ok(false);
    }
    with_session(|session| {
        (session.note.is_synced, session.note.synced_at) = (word.is_synced, Some(session.pulled_at));
        session.note.round_trip_ms = word.round_trip_ms;
        session.note(true)
    })?;
    Ok(true)
}

/// Runs `f` with the session. Whatever goes wrong ends it.
fn with_session<T>(f: impl FnOnce(&mut Session) -> Result<T>) -> Result<T> {
    boundary::end_if_orphaned()?;
    let Some(mut session) = SESSION.take() else {
        granted()?;
        return Err(anew("no session has begun").into());
    };
    session.check()?;
    transaction::with(|t| t.in_session = true);
    let value = f(&mut session)?;
    session.note(false)?;
    SESSION.set(Some(session));
    Ok(value)
}

fn bytea(bytes: &[u8]) -> Datum {
    spi::varlena(bytes)
}

fn given<'a>(call: Call, name: &str) -> Result<&'a [u8]> {
    call.required(call.bytes(0), name)
}

sql_function! {
    /// `session_greet(peer)`
    fn gundb_session_greet(call) {
        forget();
        let peer = served::peer(call.required(call.text(0), "peer")?)?;
        settings::pin();
        let generation = run::database()?.peers_generation();
        let (terms, mine) = as_owner(|| {
            catalog::ensure_system_table()?;
            let terms = Terms::of_peer(&peer)?;
            let mine = spi::with_latest_snapshot(|| flows::hello(&terms))?;
            Ok((terms, mine))
        })?;
        let bytes = encode_hello(&mine);
        // SAFETY: reads who has connected.
        let role = unsafe { pg_sys::GetSessionUserId() };
        transaction::with(|t| t.in_session = true);
        let said_at = asked_at();
        GREETING.set(Some(Greeting { said_at, role, generation, peer: peer.name, terms, mine }));
        Ok(bytea(&bytes))
    }
}

sql_function! {
    /// `session_hello(hello)`
    fn gundb_session_hello(call) {
        let greeting = GREETING.take();
        forget();
        if greeting.is_none() {
            granted()?;
        }
        settings::pin();
        let theirs = decode_hello(given(call, "hello")?, &incoming::limits()).map_err(|why| malformed("hello", &why))?;
        let (session, mine) = match greeting {
            Some(greeting) => Session::of_peer(greeting, &theirs)?,
            None => Session::of_guest(&theirs)?,
        };
        transaction::with(|t| t.in_session = true);
        SESSION.set(Some(session));
        Ok(bytea(&encode_hello(&mine)))
    }
}

sql_function! {
    /// `session_push(bundle)`
    fn gundb_session_push(call) {
        let bytes = given(call, "bundle")?;
        let receipt = with_session(|session| {
            match decode_bundle(bytes, &incoming::limits()) {
                Ok(bundle) => session.push(bundle, bytes.len()),
                Err(why) => {
                    session.offended(&format!("a bundle cannot be read: {why}"))?;
                    Err(malformed("bundle", &why).into())
                }
            }
        })?;
        Ok(bytea(&encode_receipt(&receipt)))
    }
}

sql_function! {
    /// `session_pull(receipt)`
    fn gundb_session_pull(call) {
        let bytes = call.bytes(0);
        let bundle = with_session(|session| {
            let receipt = bytes.map(|bytes| decode_receipt(bytes, &incoming::limits())).transpose();
            session.pull(receipt.map_err(|why| malformed("receipt", &why))?.as_ref())
        })?;
        Ok(bundle.map_or_else(|| call.null(), |bundle| bytea(&bundle)))
    }
}

sql_function! {
    /// `session_compare(question)`
    fn gundb_session_compare(call) {
        let bytes = given(call, "question")?;
        let answer = with_session(|session| {
            let question =
                decode_question(bytes, &incoming::limits()).map_err(|why| malformed("question", &why))?;
            compare::answer(&session.terms, &question)
        })?;
        Ok(bytea(&encode_answer(&answer)))
    }
}
