//! Connections, as they come in.
//!
//! What must always hold here: there are never more than so many; one over which nobody was let in ends after a few seconds, whatever it does.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};
use tokio_stream::Stream;
use tonic::transport::server::Connected;

/// After a failure to take a connection, as for want of descriptors, it is tried again so much later.
const PAUSE: Duration = Duration::from_millis(100);

/// What is known of a connection.
#[derive(Debug, Clone)]
pub(super) struct Visitor {
    pub(super) address: Option<SocketAddr>,
    is_in: Arc<AtomicBool>,
}

impl Visitor {
    /// Somebody was let in over this connection.
    pub(super) fn let_in(&self) {
        self.is_in.store(true, Ordering::Relaxed);
    }
}

/// A connection that ends by itself if nobody is let in.
pub(super) struct Entrance {
    stream: TcpStream,
    visitor: Visitor,
    /// Ends when it is time to have been let in; none once somebody was.
    patience: Option<Pin<Box<Sleep>>>,
    _place: OwnedSemaphorePermit,
}

impl Entrance {
    fn is_tired(&mut self, context: &mut Context<'_>) -> bool {
        if self.visitor.is_in.load(Ordering::Relaxed) {
            self.patience = None;
        }
        self.patience.as_mut().is_some_and(|patience| patience.as_mut().poll(context).is_ready())
    }
}

fn tired() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "nobody was let in over this connection")
}

impl Connected for Entrance {
    type ConnectInfo = Visitor;

    fn connect_info(&self) -> Visitor {
        self.visitor.clone()
    }
}

impl AsyncRead for Entrance {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.is_tired(context) {
            return Poll::Ready(Err(tired()));
        }
        Pin::new(&mut self.stream).poll_read(context, to)
    }
}

impl AsyncWrite for Entrance {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        if self.is_tired(context) {
            return Poll::Ready(Err(tired()));
        }
        Pin::new(&mut self.stream).poll_write(context, from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        from: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.is_tired(context) {
            return Poll::Ready(Err(tired()));
        }
        Pin::new(&mut self.stream).poll_write_vectored(context, from)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// Connections as they come; one that is too many is closed at once.
pub(super) fn entrances(
    listener: TcpListener,
    connections_max: usize,
    patience: Duration,
) -> impl Stream<Item = io::Result<Entrance>> {
    let places = Arc::new(Semaphore::new(connections_max));
    futures_util::stream::unfold((listener, places), move |(listener, places)| async move {
        loop {
            let (stream, address) = match listener.accept().await {
                Ok(accepted) => accepted,
                // One that was gone before it was taken, or no descriptors: neither is the end of listening.
                Err(_) => {
                    sleep(PAUSE).await;
                    continue;
                }
            };
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
            let _ = stream.set_nodelay(true);
            let visitor = Visitor { address: Some(address), is_in: Arc::default() };
            let entrance = Entrance { stream, visitor, patience: Some(Box::pin(sleep(patience))), _place: place };
            return Some((Ok(entrance), (listener, places)));
        }
    })
}
