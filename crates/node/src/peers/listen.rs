//! Who dials in: let in by a token or a certificate, and answered over the store.

use crate::peers::config::{Config, ConfigError};
use crate::peers::guests::{Guest, Guests};
use crate::peers::now_ms;
use crate::peers::state::{Phase, States};
use gundb_core::bundle::WireLimits;
use gundb_core::store::{Called, SessionError, Store};
use gundb_transport::grpc::{Answers, Credentials, Refusal, RefusalKind, Sessions};
use gundb_transport::session::Function;
use std::sync::Arc;
use tokio::sync::watch;

/// How often it is noted what a peer holds.
const NOTE_EVERY_MS: u64 = 1_000;

/// Who may come in, and what each may.
pub struct Door {
    store: Arc<dyn Store>,
    states: States,
    limits: WireLimits,
    news: watch::Receiver<u64>,
    guests: Guests,
    /// Changes when somebody's terms have: sessions of earlier ones end.
    generation: watch::Sender<u64>,
}

impl Door {
    /// Who may come in to this store, by a configuration.
    pub(super) fn new(
        store: Arc<dyn Store>,
        states: States,
        limits: WireLimits,
        news: watch::Receiver<u64>,
        config: &Config,
    ) -> Result<Door, ConfigError> {
        let guests = Guests::new(config)?;
        Ok(Door { store, states, limits, news, guests, generation: watch::Sender::new(0) })
    }

    /// Another configuration holds. Whoever is in and may no longer, or on other terms, is shown out.
    pub(super) fn renew(&self, config: &Config) -> Result<(), ConfigError> {
        self.guests.renew(config)?;
        self.generation.send_modify(|generation| *generation += 1);
        Ok(())
    }

    /// The grant that fits what is shown.
    pub(super) fn guest(&self, shown: &Credentials) -> Result<Guest, Refusal> {
        self.guests.guest(shown)
    }
}

/// One session.
pub struct Visit {
    called: Called,
    store: Arc<dyn Store>,
    states: States,
    name: String,
    news: watch::Receiver<u64>,
    generation: (u64, watch::Receiver<u64>),
    noted_ms: u64,
}

impl Sessions for Door {
    type Session = Visit;

    fn admit(&self, shown: &Credentials) -> Result<Visit, Refusal> {
        let guest = self.guest(shown)?;
        if !guest.grant.peer {
            let said = format!("\"{}\" may use the service for applications, and is no peer", guest.grant.name);
            return Err(Refusal::new(RefusalKind::Denied, said));
        }
        let name = guest.grant.name;
        let generation = self.generation.subscribe();
        let began = *generation.borrow();
        self.states.note(&name, |state| {
            state.phase = Phase::Connecting;
            state.error = None;
        });
        Ok(Visit {
            called: Called::new(&name, guest.terms, self.limits),
            store: Arc::clone(&self.store),
            states: self.states.clone(),
            name,
            news: self.news.clone(),
            generation: (began, generation),
            noted_ms: 0,
        })
    }
}

impl Answers for Visit {
    fn answer(&mut self, function: Function, argument: Option<&[u8]>) -> Result<Option<Vec<u8>>, Refusal> {
        if *self.generation.1.borrow() != self.generation.0 {
            return Err(Refusal::new(RefusalKind::NotYet, "what may flow in the session has changed"));
        }
        let (store, now_ms) = (Arc::clone(&self.store), now_ms());
        let given = argument.unwrap_or_default();
        let answered = match function {
            Function::Hello => self.called.hello(&*store, given, now_ms).map(Some),
            Function::Push => self.called.push(&*store, given).map(Some),
            Function::Pull => self.called.pull(&*store, argument, now_ms),
            Function::Compare => {
                return Err(Refusal::new(RefusalKind::NotFound, "an edge node cannot be compared with"));
            }
        };
        let sizes = (given.len() as u64, answered.as_ref().ok().and_then(Option::as_ref).map_or(0, Vec::len) as u64);
        self.note(function, sizes, now_ms);
        answered.map_err(|error| self.refusal(&error))
    }

    fn news(&self) -> watch::Receiver<u64> {
        self.news.clone()
    }
}

impl Visit {
    fn note(&mut self, function: Function, (received, sent): (u64, u64), now_ms: u64) {
        let is_due = function == Function::Hello || now_ms.abs_diff(self.noted_ms) >= NOTE_EVERY_MS;
        let holds = is_due.then(|| self.called.peer_has()).flatten();
        if is_due {
            self.noted_ms = now_ms;
        }
        let peer = self.called.peer();
        self.states.note(&self.name, |state| {
            state.bytes_received += received;
            state.bytes_sent += sent;
            state.contact_ms = now_ms;
            if function == Function::Hello
                && let Some(hello) = peer
            {
                state.hear(hello);
                state.phase = Phase::Connected;
                state.times += 1;
            }
            if let Some(holds) = holds {
                state.holds = holds;
            }
        });
    }

    fn refusal(&self, error: &SessionError) -> Refusal {
        let said = error.to_string();
        self.states.note(&self.name, |state| state.error = Some(said.clone()));
        let kind = match error {
            SessionError::Malformed(_) => RefusalKind::Invalid,
            SessionError::Mismatch(_) => RefusalKind::Denied,
            SessionError::NoSession => RefusalKind::NotYet,
            SessionError::Store(gundb_core::store::StoreError::Unavailable(_)) => RefusalKind::NotReady,
            SessionError::Store(_) => RefusalKind::Failed,
        };
        Refusal::new(kind, said)
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.states.note(&self.name, |state| {
            state.phase = Phase::Waiting;
            state.synced = false;
        });
    }
}
