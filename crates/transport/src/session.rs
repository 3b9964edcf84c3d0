//! Live exchanges, whatever carries them: source and sink in one connection.
//!
//! What must always hold here: calls are answered in the order in which they were made, and several may be under way; an answer that fails ends the
//! connection, and the dialling end begins anew with hellos. What calls mean is `gundb_core::sync`'s; here they are bytes.

use crate::fault::Fault;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// What a site offers to those who dial in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    /// Takes a hello, and gives one.
    Hello,
    /// Takes a bundle, and gives a receipt.
    Push,
    /// Takes a receipt or nothing, and gives a bundle or nothing.
    Pull,
    /// Takes a question about what is held, and gives an answer ([`gundb_core::compare`]).
    Compare,
}

impl Function {
    /// All of them.
    pub const ALL: [Function; 3] = [Function::Hello, Function::Push, Function::Pull];
}

/// One call.
#[derive(Debug)]
pub struct Call {
    /// Of what.
    pub function: Function,
    /// With what.
    pub argument: Option<Vec<u8>>,
}

/// What the other end says.
#[derive(Debug)]
pub enum Told {
    /// The answer to the oldest call that had none.
    Reply {
        /// What was called.
        function: Function,
        /// The answer; none for nothing.
        bytes: Option<Vec<u8>>,
        /// How long that took.
        took: Duration,
    },
    /// It has something new; once or more often since the last time.
    News,
}

/// Calls a peer.
pub trait Caller: Send + Sync + 'static {
    /// Calls a function. Calls go out in the order in which they are first polled.
    fn call(
        &self,
        function: Function,
        argument: Option<Vec<u8>>,
    ) -> impl Future<Output = Result<Option<Vec<u8>>, Fault>> + Send;

    /// Asks whether the peer is there, where the connection does not watch that by itself.
    fn ping(&self) -> impl Future<Output = Result<(), Fault>> + Send;
}

/// A connection that was dialled and is ready for calls.
#[cfg(any(feature = "postgres", feature = "grpc"))]
pub trait Session: Send {
    /// What calls over it; its end says goodbye.
    type Caller: Caller;

    /// What calls over it.
    fn caller(&self) -> &Arc<Self::Caller>;

    /// Wakes who waits for the peer's news.
    fn news(&self) -> &Arc<tokio::sync::Notify>;

    /// Waits for the end of the connection, and says why it came.
    fn end(&mut self) -> impl Future<Output = Fault> + Send;

    /// Says goodbye, if that goes quickly.
    fn close(self) -> impl Future<Output = ()> + Send;
}

#[cfg(any(feature = "postgres", feature = "grpc"))]
pub use conversation::converse;

#[cfg(any(feature = "postgres", feature = "grpc"))]
mod conversation {
    use super::{Call, Caller, Function, Session, Told};
    use crate::fault::Fault;
    use futures_util::FutureExt;
    use futures_util::future::BoxFuture;
    use futures_util::stream::{FuturesOrdered, StreamExt};
    use std::future::Future;
    use std::sync::Arc;
    use std::time::{Duration, Instant};
    use tokio::sync::mpsc;

    /// What is under way at a peer: what is to be told once it has answered, if anything.
    type Answer = BoxFuture<'static, Result<Option<Told>, Fault>>;

    /// Makes calls until there can be none, which is no error, and tells what the other end says. A silent connection is asked for a sign of life after
    /// `keep_alive`. It stands when this ends well.
    pub async fn converse<S, T, F>(
        session: &mut S,
        calls: &mut mpsc::Receiver<Call>,
        keep_alive: Option<Duration>,
        tell: T,
    ) -> Result<(), Fault>
    where
        S: Session,
        T: Fn(Told) -> F,
        F: Future<Output = ()>,
    {
        let mut under_way: FuturesOrdered<Answer> = FuturesOrdered::new();
        let news = Arc::clone(session.news());
        let mut pinged = false;
        loop {
            // Before another call is taken the last one is polled, and so sent: calls go out in their order.
            tokio::select! {
                biased;
                Some(answered) = under_way.next() => {
                    pinged = false;
                    match answered {
                        Ok(Some(told)) => tell(told).await,
                        Ok(None) => {}
                        Err(fault) => return Err(cause(fault, session).await),
                    }
                }
                call = calls.recv() => match call {
                    Some(call) => under_way.push_back(answer(Arc::clone(session.caller()), call).boxed()),
                    None => break,
                },
                () = news.notified() => tell(Told::News).await,
                fault = session.end() => return Err(fault),
                () = quiet(keep_alive), if under_way.is_empty() || pinged => {
                    if pinged {
                        return Err(Fault::Lost { why: "the peer gives no sign of life".to_owned() });
                    }
                    pinged = true;
                    let caller = Arc::clone(session.caller());
                    under_way.push_back(async move { caller.ping().await.map(|()| None) }.boxed());
                }
            }
        }
        Ok(())
    }

    async fn answer<C: Caller>(caller: Arc<C>, call: Call) -> Result<Option<Told>, Fault> {
        let (function, begun): (Function, _) = (call.function, Instant::now());
        let bytes = caller.call(function, call.argument).await?;
        Ok(Some(Told::Reply { function, bytes, took: begun.elapsed() }))
    }

    /// A call that was cut off knows only that; the connection knows why.
    async fn cause<S: Session>(fault: Fault, session: &mut S) -> Fault {
        if !matches!(fault, Fault::Lost { .. }) {
            return fault;
        }
        tokio::time::timeout(Duration::from_millis(100), session.end()).await.unwrap_or(fault)
    }

    /// Ends after a time without anything that happens.
    async fn quiet(keep_alive: Option<Duration>) {
        match keep_alive {
            Some(time) => tokio::time::sleep(time).await,
            None => std::future::pending().await,
        }
    }
}
