//! One peer that is called: when it is dialled, and how it goes. A thread of its own.
//!
//! What must always hold here: whatever goes wrong with this peer ends its session, is noted with its reason, and nothing else. The connection to the database
//! stands while the peer is waited for, since its end would be taken for the daemon's.

use crate::peers::backoff::Backoff;
use crate::peers::served::exchange::{Ended, Exchange, begin};
use crate::peers::served::{Home, Orders, at_home, sentence};
use crate::peers::state::Phase;
use gundb_core::sync::coupling::End;
use gundb_transport::fault::Fault;
use gundb_transport::grpc;
use gundb_transport::postgres::home::PeerNote;
use gundb_transport::postgres::link::Session;
use gundb_transport::url::GrpcTarget;
use std::time::{Duration, Instant};

/// How soon a session is begun anew that nothing was wrong with.
const ANEW: Duration = Duration::from_millis(200);

/// It.
pub(super) struct Coupled {
    pub(super) name: String,
    pub(super) url: GrpcTarget,
    pub(super) home: Home,
    pub(super) orders: Orders,
    pub(super) backoff: Backoff,
    /// What was said last of what is wrong.
    pub(super) said: String,
}

impl Coupled {
    /// Runs until it is told to stop.
    pub(super) async fn run(mut self) {
        let mut orders = self.orders.clone();
        tokio::select! {
            () = orders.stopped() => {}
            () = self.serve() => {}
        }
    }

    async fn serve(&mut self) {
        let mut home: Option<Session> = None;
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(self.backoff.next.into()) => {}
                () = self.orders.hurry.notified() => self.backoff.at_once(),
            }
            let begun = Instant::now();
            let ended = self.session(&mut home).await;
            let (error, is_home_lost) = match ended {
                Ended::Anew => (None, false),
                Ended::Failed(End::Here, fault) => (Some(at_home(&fault)), !is_answer(&fault)),
                Ended::Failed(End::There, fault) => (Some(sentence(&fault)), false),
            };
            match &error {
                // What is not noted here shows in the database as the end of the connection.
                Some(_) => self.backoff.failed(begun.elapsed()),
                None => self.backoff.next = Instant::now() + ANEW,
            }
            self.home.states.note(&self.name, |state| {
                (state.phase, state.synced) = (Phase::Waiting, false);
                state.error.clone_from(&error);
            });
            if let Some(session) = home.take_if(|session| !is_home_lost && !session.connection.is_finished()) {
                let note = PeerNote { state: Some("waiting"), error: error.clone(), ..PeerNote::default() };
                home = session.caller.note(&self.name, &note).await.is_ok().then_some(session);
            } else {
                home = None;
            }
            match error {
                Some(error) if error != self.said => {
                    eprintln!("gundb: no session with peer \"{}\": {error}", self.name);
                    self.said = error;
                }
                _ => {}
            }
        }
    }

    /// One session, from its dialling to its end.
    async fn session(&mut self, home: &mut Option<Session>) -> Ended {
        let here = |fault| Ended::Failed(End::Here, fault);
        let session = match home {
            Some(session) => session,
            None => match self.home.dial().await {
                Ok(session) => home.insert(session),
                Err(fault) => return here(fault),
            },
        };
        self.home.states.note(&self.name, |state| state.phase = Phase::Connecting);
        let note = PeerNote { state: Some("connecting"), ..PeerNote::default() };
        if let Err(fault) = session.caller.note(&self.name, &note).await {
            return here(fault);
        }
        let limits = self.home.limits;
        let bytes_max = usize::try_from(limits.bytes_max).unwrap_or(usize::MAX).saturating_add(1 << 20);
        let mut there = match grpc::dial(&self.url, bytes_max, self.home.keep_alive).await {
            Ok(there) => there,
            Err(fault) => return Ended::Failed(End::There, fault),
        };
        let round_trip_ms = match begin(&self.name, session, &there).await {
            Ok(round_trip_ms) => round_trip_ms,
            Err(ended) => return ended,
        };
        self.said.clear();
        let (name, states) = (self.name.as_str(), &self.home.states);
        states.note(name, |state| {
            (state.phase, state.error) = (Phase::Connected, None);
            state.times += 1;
        });
        let exchange = Exchange {
            peer: name,
            home: session,
            there: &mut there,
            limits,
            keep_alive: self.home.keep_alive,
            round_trip_ms,
            hurry: &self.orders.hurry,
        };
        exchange.run(|is_synced| states.note(name, |state| state.synced = is_synced)).await
    }
}

/// Whether the database has answered: then the connection stands.
fn is_answer(fault: &Fault) -> bool {
    matches!(fault, Fault::Peer { .. } | Fault::NotGranted { .. })
}
