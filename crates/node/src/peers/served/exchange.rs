//! One session between the database and a peer: both are called, and what one gives is brought to the other.
//!
//! What must always hold here: answers are told in the order in which each end was called. What is noted goes over the session's own connection, so the
//! database notes what it knows of the session itself.

use crate::peers::now_ms;
use gundb_core::bundle::WireLimits;
use gundb_core::sync::coupling::{Ask, Coupling, End};
use gundb_transport::fault::Fault;
use gundb_transport::grpc;
use gundb_transport::postgres::home::PeerNote;
use gundb_transport::postgres::link;
use gundb_transport::session::{Call, Caller, Function, Session, Told, converse};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc};

/// Calls to one end that may wait to be sent. The coupling's own window is smaller.
const CALLS_MAX: usize = 64;
/// How long the oldest call may wait for its answer: a large transaction takes its time to be applied.
const ANSWER_MAX: Duration = Duration::from_secs(600);
/// How long after all was exchanged the peer is called once more: those who answer note once a second how it goes.
const SETTLE: Duration = Duration::from_millis(1_100);
/// How often it is noted that all was exchanged, unless somebody waits for it.
const NOTE_EVERY: Duration = Duration::from_secs(1);

/// How a session ends.
pub(super) enum Ended {
    /// What was refused is to be offered again, or what flows has changed.
    Anew,
    /// Something went wrong at this end.
    Failed(End, Fault),
}

/// A session that both ends have begun.
pub(super) struct Exchange<'a> {
    pub(super) peer: &'a str,
    pub(super) home: &'a mut link::Session,
    pub(super) there: &'a mut grpc::client::Session,
    pub(super) limits: WireLimits,
    pub(super) keep_alive: Duration,
    pub(super) round_trip_ms: f64,
    pub(super) hurry: &'a Notify,
}

/// What is known of how far it has come.
struct Progress {
    /// Calls that were made and not answered.
    asked: usize,
    heard: Instant,
    is_quiet: bool,
    /// When the peer is called once more; whether it has been.
    settle: Option<Instant>,
    is_settled: bool,
    /// Whether it is to be noted that all was exchanged; whether somebody waits for that.
    is_due: bool,
    is_awaited: bool,
    noted: Option<Instant>,
}

type Noting<'a> = Pin<Box<dyn Future<Output = Result<(), Fault>> + Send + 'a>>;

impl Exchange<'_> {
    /// Goes on until something ends it. `tell` is told when all was exchanged and that is noted, and when it is so no more.
    pub(super) async fn run(self, tell: impl Fn(bool)) -> Ended {
        let Exchange { peer, home, there, limits, keep_alive, round_trip_ms, hurry } = self;
        let desk = Arc::clone(&home.caller);
        let (say, mut told) = mpsc::unbounded_channel();
        let hear = |end: End| {
            let say = say.clone();
            move |what: Told| {
                // The receiver lives as long as both conversations.
                let _ = say.send((end, what));
                std::future::ready(())
            }
        };
        let (to_here, mut here_calls) = mpsc::channel(CALLS_MAX);
        let (to_there, mut there_calls) = mpsc::channel(CALLS_MAX);
        let here = converse(home, &mut here_calls, Some(keep_alive), hear(End::Here));
        let there = converse(there, &mut there_calls, Some(keep_alive), hear(End::There));
        tokio::pin!(here, there);
        let mut coupling = Coupling::new(limits);
        let mut progress = Progress::new();
        let mut noting: Option<Noting> = None;
        loop {
            let now = Instant::now();
            if coupling.is_to_retry(now_ms()) {
                return Ended::Anew;
            }
            if progress.settle.take_if(|at| *at <= now).is_some() {
                coupling.news(End::There);
                progress.is_settled = true;
            }
            while let Some((end, ask)) = coupling.poll(now_ms()) {
                let calls = if end == End::Here { &to_here } else { &to_there };
                if calls.try_send(call(ask)).is_err() {
                    return Ended::Failed(end, Fault::Lost { why: "too many calls wait".to_owned() });
                }
                progress.asked += 1;
                if progress.asked == 1 {
                    progress.heard = now;
                }
            }
            if progress.look(coupling.is_quiet(), now) && !progress.is_quiet {
                tell(false);
            }
            if noting.is_none() && progress.is_to_note(now) {
                let note = PeerNote {
                    is_synced: true,
                    round_trip_ms: progress.noted.is_none().then_some(round_trip_ms),
                    ..PeerNote::default()
                };
                let desk = Arc::clone(&desk);
                noting = Some(Box::pin(async move { desk.note(peer, &note).await }));
                (progress.is_due, progress.is_awaited, progress.noted) = (false, false, Some(now));
            }
            let due = coupling.wakes_at(now_ms()).map(|at_ms| {
                // What is due and was not wanted waits for an answer, which wakes by itself.
                let left_ms = at_ms.saturating_sub(now_ms());
                now + Duration::from_millis(if left_ms == 0 { 100 } else { left_ms })
            });
            let until = due.into_iter().chain(progress.moments()).min();
            tokio::select! {
                Some((end, what)) = told.recv() => match what {
                    Told::News => {
                        coupling.news(end);
                        progress.is_settled = false;
                    }
                    Told::Reply { function, bytes, .. } => {
                        progress.asked = progress.asked.saturating_sub(1);
                        progress.heard = Instant::now();
                        match (function, bytes) {
                            (Function::Pull, bundle) => coupling.pulled(end, bundle, now_ms()),
                            (Function::Push, Some(receipt)) => {
                                progress.is_settled = false;
                                if let Err(why) = coupling.pushed(end, &receipt, now_ms()) {
                                    return Ended::Failed(end, rubbish(&why.to_string()));
                                }
                            }
                            _ => return Ended::Failed(end, rubbish("an answer that was not asked for")),
                        }
                    }
                },
                ended = &mut here => return ended_at(End::Here, ended),
                ended = &mut there => return ended_at(End::There, ended),
                noted = until_noted(&mut noting), if noting.is_some() => {
                    noting = None;
                    if let Err(fault) = noted {
                        return ended_at(End::Here, Err(fault));
                    }
                    tell(progress.is_quiet);
                }
                () = hurry.notified() => {
                    coupling.news(End::Here);
                    coupling.news(End::There);
                    (progress.is_awaited, progress.is_due) = (true, true);
                }
                () = sleep_until(until) => {
                    if progress.asked > 0 && progress.heard.elapsed() >= ANSWER_MAX {
                        let why = format!("no answer came within {} s", ANSWER_MAX.as_secs());
                        return Ended::Failed(End::There, Fault::Lost { why });
                    }
                }
            }
        }
    }
}

impl Progress {
    fn new() -> Progress {
        Progress {
            asked: 0,
            heard: Instant::now(),
            is_quiet: false,
            settle: None,
            is_settled: false,
            is_due: true,
            is_awaited: false,
            noted: None,
        }
    }

    /// Looks whether all was exchanged; says whether that has changed.
    fn look(&mut self, is_quiet: bool, now: Instant) -> bool {
        if self.is_quiet == is_quiet {
            return false;
        }
        self.is_quiet = is_quiet;
        self.settle = (is_quiet && !self.is_settled).then(|| now + SETTLE);
        self.is_due |= is_quiet;
        true
    }

    fn is_to_note(&self, now: Instant) -> bool {
        self.is_quiet && self.is_due && (self.is_awaited || self.noted.is_none_or(|noted| now >= noted + NOTE_EVERY))
    }

    fn moments(&self) -> impl Iterator<Item = Instant> {
        let answer = (self.asked > 0).then(|| self.heard + ANSWER_MAX);
        let note = self.noted.filter(|_| self.is_quiet && self.is_due).map(|noted| noted + NOTE_EVERY);
        answer.into_iter().chain(self.settle).chain(note)
    }
}

fn call(ask: Ask) -> Call {
    match ask {
        Ask::Pull(receipt) => Call { function: Function::Pull, argument: receipt },
        Ask::Push(bundle) => Call { function: Function::Push, argument: Some(bundle) },
    }
}

/// What it means that an end is not called any more. When what flows has changed there, or its run, nothing is wrong.
fn ended_at(end: End, ended: Result<(), Fault>) -> Ended {
    match ended {
        Ok(()) => Ended::Failed(end, Fault::Lost { why: "it ended".to_owned() }),
        Err(Fault::Peer { sqlstate, .. }) if ["55000", "FailedPrecondition"].contains(&sqlstate.as_str()) => {
            Ended::Anew
        }
        Err(fault) => Ended::Failed(end, fault),
    }
}

fn rubbish(why: &str) -> Fault {
    Fault::Rubbish { server: "gundb peer", why: why.to_owned() }
}

async fn until_noted(noting: &mut Option<Noting<'_>>) -> Result<(), Fault> {
    match noting {
        Some(noting) => noting.await,
        None => std::future::pending().await,
    }
}

async fn sleep_until(until: Option<Instant>) {
    match until {
        Some(until) => tokio::time::sleep_until(until.into()).await,
        None => std::future::pending().await,
    }
}

/// Begins a session: each end says the other's hello. Says how long the peer's answer took.
pub(super) async fn begin(peer: &str, home: &link::Session, there: &grpc::client::Session) -> Result<f64, Ended> {
    let at = |end| move |fault| Ended::Failed(end, fault);
    let mine = home.caller.greet(peer).await.map_err(at(End::Here))?;
    let begun = Instant::now();
    let theirs = there.caller().call(Function::Hello, Some(mine)).await.map_err(at(End::There))?;
    let round_trip_ms = begun.elapsed().as_secs_f64() * 1_000.0;
    home.caller.call(Function::Hello, theirs).await.map_err(at(End::Here))?;
    Ok(round_trip_ms)
}
