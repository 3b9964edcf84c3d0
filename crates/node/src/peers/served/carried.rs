//! One peer that couriers go to: when there is a round, and what is noted of it. A thread of its own.
//!
//! What must always hold here: nothing is remembered but what lies on the way and what the peer said last; the database says what is held.

use crate::peers::backoff::Backoff;
use crate::peers::carry::{GATHERS, sentence as sentence_of, trouble};
use crate::peers::now_ms;
use crate::peers::post::{Post, PostError, Round};
use crate::peers::served::desk::HomeDesk;
use crate::peers::served::{Home, Orders, at_home};
use crate::peers::state::Phase;
use gundb_core::bundle::encode_hello;
use gundb_core::sync::message::Hello;
use gundb_transport::postgres::home::PeerNote;
use gundb_transport::postgres::link::Session;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// It.
pub(super) struct Carried {
    pub(super) name: String,
    pub(super) home: Home,
    pub(super) orders: Orders,
    pub(super) backoff: Backoff,
    /// Between rounds.
    pub(super) interval: Duration,
    /// Whether what was committed is carried soon, or with the next round.
    pub(super) is_prompt: bool,
    /// What was noted last, and said last of what is wrong.
    pub(super) noted: Option<Noted>,
    pub(super) said: String,
}

/// What is noted again only when it is otherwise.
#[derive(PartialEq, Eq)]
pub(super) struct Noted {
    error: Option<String>,
    is_synced: bool,
    word: Option<Hello>,
}

/// Why there is a round.
enum Woken {
    Stop,
    Hurry,
    News,
    Time,
}

impl Carried {
    /// Runs until it is told to stop.
    pub(super) fn run(mut self, mut post: Post) {
        let mut home: Option<Session> = None;
        let mut next = Instant::now();
        loop {
            let is_hurried = match self.wait(home.as_ref(), next) {
                Woken::Stop => return,
                Woken::News => {
                    next = next.min(Instant::now() + GATHERS);
                    continue;
                }
                Woken::Hurry => true,
                Woken::Time => false,
            };
            if home.as_ref().is_none_or(|session| session.connection.is_finished()) {
                (home, self.noted) = (None, None);
                match self.home.network.clone().block_on(self.home.dial()) {
                    Ok(session) => home = Some(session),
                    Err(fault) => {
                        self.say(at_home(&fault));
                        self.backoff.failed(Duration::ZERO);
                        next = self.backoff.next;
                        continue;
                    }
                }
                self.backoff.at_once();
            }
            let Some(session) = &home else { continue };
            let goes_on = self.round(session, &mut post, is_hurried);
            next = Instant::now() + if goes_on { Duration::ZERO } else { self.interval };
        }
    }

    fn wait(&mut self, home: Option<&Session>, next: Instant) -> Woken {
        let news = home.filter(|_| self.is_prompt).map(|session| Arc::clone(&session.news));
        let news = async {
            match news {
                Some(news) => news.notified().await,
                None => std::future::pending().await,
            }
        };
        let hurry = Arc::clone(&self.orders.hurry);
        let orders = &mut self.orders;
        self.home.network.block_on(async {
            tokio::select! {
                biased;
                () = orders.stopped() => Woken::Stop,
                () = hurry.notified() => Woken::Hurry,
                () = tokio::time::sleep_until(next.into()) => Woken::Time,
                () = news => Woken::News,
            }
        })
    }

    /// One round; says whether there is more to put at once.
    fn round(&mut self, session: &Session, post: &mut Post, is_hurried: bool) -> bool {
        let (caller, network, limits) = (Arc::clone(&session.caller), self.home.network.clone(), self.home.limits);
        let desk = HomeDesk { peer: self.name.clone(), caller, network, limits };
        let made = post.round_at(&desk, now_ms());
        let error = match &made {
            Ok(round) => trouble(round),
            Err(error) => Some(sentence_of(error)),
        };
        let is_synced = made.as_ref().is_ok_and(|round| round.synced);
        let phase = if made.is_ok() { Phase::Connected } else { Phase::Waiting };
        self.home.states.note(&self.name, |state| {
            (state.phase, state.synced) = (phase, is_synced);
            state.error.clone_from(&error);
            state.times += 1;
        });
        match &error {
            Some(error) => self.say(error.clone()),
            None => self.said.clear(),
        }
        if !matches!(made, Err(PostError::Store(_))) {
            self.note(session, post, made.as_ref().ok(), error, phase, is_hurried);
        }
        made.is_ok_and(|round| round.more && round.stopped.is_none())
    }

    fn note(
        &mut self,
        session: &Session,
        post: &Post,
        round: Option<&Round>,
        error: Option<String>,
        phase: Phase,
        is_hurried: bool,
    ) {
        let (put, taken) = round.map_or((0, 0), |round| (round.put_bytes, round.taken_bytes));
        let now = Noted { error, is_synced: round.is_some_and(|round| round.synced), word: post.peer().cloned() };
        if self.noted.as_ref() == Some(&now) && put + taken == 0 && !is_hurried {
            return;
        }
        let note = PeerNote {
            state: Some(phase.name()),
            error: now.error.clone(),
            is_synced: now.is_synced,
            bytes_sent: put,
            bytes_received: taken,
            round_trip_ms: None,
            hello: now.word.as_ref().map(encode_hello),
        };
        match self.home.network.block_on(session.caller.note(&self.name, &note)) {
            Ok(()) => self.noted = Some(now),
            Err(fault) => self.say(at_home(&fault)),
        }
    }

    fn say(&mut self, what: String) {
        if self.said != what {
            eprintln!("gundb: courier of peer \"{}\": {what}", self.name);
            self.said = what;
        }
    }
}
