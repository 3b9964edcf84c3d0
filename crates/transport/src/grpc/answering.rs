//! One session at the end that listens: calls in their order, one at a time, each answered before the next is looked at.
//!
//! What must always hold here: no call is read before there is room for its answer, so a caller that never reads stops being read, and after a while its
//! session ends. A failure, a panic too, ends the session and nothing else.

use crate::grpc::credentials::Credentials;
use crate::grpc::refusal::{Refusal, RefusalKind};
use crate::grpc::wire::{
    News, Pulled, SessionAnswer, SessionCall, session_answer::Answer, session_call::Call as Asked,
};
use crate::session::Function;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tonic::{Status, Streaming};

/// Where sessions begin.
pub trait Sessions: Send + Sync + 'static {
    /// One session.
    type Session: Answers;

    /// Lets a caller in, or not. Called on a thread that may wait.
    fn admit(&self, shown: &Credentials) -> Result<Self::Session, Refusal>;
}

/// One session at the end that is called. It ends with the first call that fails.
pub trait Answers: Send + 'static {
    /// Answers a call: a hello by a hello, a bundle by a receipt, a pull by a bundle or nothing. Called on a thread that may wait.
    fn answer(&mut self, function: Function, argument: Option<&[u8]>) -> Result<Option<Vec<u8>>, Refusal>;

    /// Changes when something was committed here.
    fn news(&self) -> watch::Receiver<u64>;
}

/// What a session may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// How long the first call may take to come.
    pub(super) hello: Duration,
    /// How long an answer may wait to be read.
    pub(super) stall: Duration,
}

/// Answers until the caller or this site ends it.
pub(super) async fn converse<S: Answers>(
    mut session: S,
    mut calls: Streaming<SessionCall>,
    answers: mpsc::Sender<Result<SessionAnswer, Status>>,
    patience: Patience,
    mut stop: watch::Receiver<bool>,
) {
    let mut news = session.news();
    let mut greeted = false;
    loop {
        // Room for the next answer comes first.
        let room = match timeout(patience.stall, answers.reserve()).await {
            Ok(Ok(room)) => room,
            // The caller is gone, or does not read.
            Ok(Err(_)) | Err(_) => return,
        };
        let call = tokio::select! {
            biased;
            _ = stop.wait_for(|stops| *stops) => {
                room.send(Err(Refusal::new(RefusalKind::NotReady, "this site is being stopped").into()));
                return;
            }
            call = next(&mut calls, (!greeted).then_some(patience.hello)) => call,
            changed = news.changed(), if greeted => {
                if changed.is_err() {
                    return;
                }
                room.send(Ok(SessionAnswer { answer: Some(Answer::News(News {})) }));
                continue;
            }
        };
        let (function, argument) = match call {
            Ok(Some(call)) => call,
            Ok(None) => return,
            Err(status) => {
                room.send(Err(status));
                return;
            }
        };
        if !greeted && function != Function::Hello {
            room.send(Err(Refusal::new(RefusalKind::NotYet, "a session begins with a hello").into()));
            return;
        }
        greeted = true;
        let answered = tokio::task::spawn_blocking(move || {
            let answered = session.answer(function, argument.as_deref());
            (session, answered)
        });
        let Ok((back, answered)) = answered.await else {
            room.send(Err(Refusal::new(RefusalKind::Failed, "a defect of gundb's: the session panicked").into()));
            return;
        };
        session = back;
        let answered = answered.and_then(|bytes| answer(function, bytes));
        let is_over = answered.is_err();
        room.send(answered.map_err(Status::from));
        if is_over {
            return;
        }
    }
}

type Next = Result<Option<(Function, Option<prost::bytes::Bytes>)>, Status>;

/// The next call; none where there will be none.
async fn next(calls: &mut Streaming<SessionCall>, within: Option<Duration>) -> Next {
    let call = match within {
        None => calls.message().await?,
        Some(within) => {
            timeout(within, calls.message()).await.map_err(|_| Status::deadline_exceeded("no hello came"))??
        }
    };
    let Some(call) = call else { return Ok(None) };
    match call.call {
        Some(Asked::Hello(hello)) => Ok(Some((Function::Hello, Some(hello)))),
        Some(Asked::Push(bundle)) => Ok(Some((Function::Push, Some(bundle)))),
        Some(Asked::Pull(pull)) => Ok(Some((Function::Pull, pull.receipt))),
        Some(Asked::Compare(question)) => Ok(Some((Function::Compare, Some(question)))),
        None => Err(Status::unimplemented("this is no call that is known here")),
    }
}

fn answer(function: Function, bytes: Option<Vec<u8>>) -> Result<SessionAnswer, Refusal> {
    let answer = match (function, bytes.map(Into::into)) {
        (Function::Hello, Some(hello)) => Answer::Hello(hello),
        (Function::Push, Some(receipt)) => Answer::Receipt(receipt),
        (Function::Pull, bundle) => Answer::Pulled(Pulled { bundle }),
        (Function::Compare, Some(answer)) => Answer::Compared(answer),
        (_, None) => return Err(Refusal::new(RefusalKind::Failed, "there is no answer")),
    };
    Ok(SessionAnswer { answer: Some(answer) })
}
