//! The thread that all connections live on, beside the main thread of a database server's process.
//!
//! What must always hold here:
//! - the thread runs with every signal blocked (a SIGURG delivered to it would lose the wake-up of a latch), and never calls PostgreSQL; where the system's
//!   resolver is asked for a name, a second one does that, begun by it and so blocked likewise;
//! - the main thread never waits: it puts orders into bounded channels, and takes events out of one, told by a descriptor that becomes readable;
//! - the events of one link come in the order in which they happened, `Closed` last and once, unless the main thread closed it: then none comes any more;
//! - whatever happens on the network, or a panic in a link's task, closes that link and nothing else.
//!
//! Unsafe: the signal mask of a thread, and making an eventfd.

use crate::fault::Fault;
use crate::postgres::link::Session;
use crate::postgres::url::Target;
use crate::session::{Call, Function, Session as _, Told, converse};
use futures_util::FutureExt;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

/// Calls to one peer that may wait to be sent. The protocol's own window is smaller.
const CALLS_MAX: usize = 64;
/// Links that may wait to be dialled, and events that may wait to be taken.
const ORDERS_MAX: usize = 1_024;
const EVENTS_MAX: usize = 1_024;
/// How long links may take to say goodbye when everything ends, and the thread to end after that.
const FAREWELL: Duration = Duration::from_millis(200);
const END: Duration = Duration::from_millis(700);

/// One dialled connection. Each dial has another number, so that what is late from an earlier one is not taken for the next one's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Link(u64);

/// What happened.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// The peer may be called.
    Connected(Link),
    /// The answer to the oldest call that had none.
    Reply {
        /// Whose.
        link: Link,
        /// What was called.
        function: Function,
        /// The answer; none for NULL.
        bytes: Option<Vec<u8>>,
        /// How long that took.
        took: Duration,
    },
    /// The peer has told that it has something new; once or more often since the last time.
    News(Link),
    /// The link is gone, or never was.
    Closed(Link, Fault),
}

impl Event {
    /// Whose event it is.
    pub fn link(&self) -> Link {
        match self {
            Event::Connected(link) | Event::News(link) | Event::Closed(link, _) | Event::Reply { link, .. } => *link,
        }
    }
}

/// Why an order could not be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Too much waits already.
    #[error("too many calls wait to be sent")]
    Full,
    /// There is no such link: its end is told, or about to be.
    #[error("there is no such link")]
    Gone,
}

/// The thread, seen from the main one.
pub struct Network {
    orders: Option<mpsc::Sender<Order>>,
    events: mpsc::Receiver<Event>,
    wake: Arc<File>,
    links: HashMap<Link, End>,
    last: u64,
    thread: Option<JoinHandle<()>>,
}

/// The main thread's end of a link.
struct End {
    calls: mpsc::Sender<Call>,
    /// Its end closes the link, even while it is dialled.
    _open: oneshot::Sender<()>,
}

struct Order {
    link: Link,
    target: Arc<Target>,
    secret: Option<String>,
    keep_alive: Option<Duration>,
    calls: mpsc::Receiver<Call>,
    closed: oneshot::Receiver<()>,
}

/// Where a link puts its events.
#[derive(Clone)]
struct Outlet {
    events: mpsc::Sender<Event>,
    wake: Arc<File>,
}

impl Outlet {
    async fn put(&self, event: Event) {
        // Fails only once nobody listens any more.
        let _ = self.events.send(event).await;
        ring(&self.wake);
    }
}

/// Makes the descriptor readable. The counter is full only if it is readable already.
fn ring(wake: &File) {
    let mut wake = wake;
    let _ = wake.write(&1u64.to_ne_bytes());
}

impl Network {
    /// Starts the thread.
    pub fn start() -> io::Result<Network> {
        let wake = Arc::new(eventfd()?);
        let (orders, ordered) = mpsc::channel(ORDERS_MAX);
        let (told, events) = mpsc::channel(EVENTS_MAX);
        let outlet = Outlet { events: told, wake: Arc::clone(&wake) };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .max_blocking_threads(4)
            .thread_keep_alive(Duration::from_millis(100))
            .build()?;
        let thread = without_signals(|| {
            std::thread::Builder::new().name("gundb network".to_owned()).spawn(move || {
                // However the thread ends, the main one learns of it.
                let _rings = RingsAtEnd(Arc::clone(&outlet.wake));
                runtime.block_on(serve_all(ordered, outlet));
                // A name that is still being looked up is not waited for.
                runtime.shutdown_background();
            })
        })??;
        Ok(Network { orders: Some(orders), events, wake, links: HashMap::new(), last: 0, thread: Some(thread) })
    }

    /// A descriptor that becomes readable when there are events, or the thread has ended.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// Whether the thread lives. Without it every link is gone, and says nothing any more.
    pub fn is_alive(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Dials a peer. An idle link is asked for a sign of life after `keep_alive`.
    pub fn connect(
        &mut self,
        target: Arc<Target>,
        secret: Option<String>,
        keep_alive: Option<Duration>,
    ) -> Result<Link, Refusal> {
        self.last += 1;
        let link = Link(self.last);
        let (calls, called) = mpsc::channel(CALLS_MAX);
        let (open, closed) = oneshot::channel();
        let order = Order { link, target, secret, keep_alive, calls: called, closed };
        let orders = self.orders.as_ref().ok_or(Refusal::Gone)?;
        orders.try_send(order).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Refusal::Full,
            mpsc::error::TrySendError::Closed(_) => Refusal::Gone,
        })?;
        self.links.insert(link, End { calls, _open: open });
        Ok(link)
    }

    /// Calls a peer's function.
    pub fn call(&mut self, link: Link, function: Function, argument: Option<Vec<u8>>) -> Result<(), Refusal> {
        let end = self.links.get(&link).ok_or(Refusal::Gone)?;
        end.calls.try_send(Call { function, argument }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Refusal::Full,
            mpsc::error::TrySendError::Closed(_) => Refusal::Gone,
        })
    }

    /// Closes a link; nothing more is told of it.
    pub fn close(&mut self, link: Link) {
        self.links.remove(&link);
    }

    /// Closes all links but these.
    pub fn keep_only(&mut self, kept: &[Link]) {
        self.links.retain(|link, _| kept.contains(link));
    }

    /// The next event, if there is one. After none the descriptor is no longer readable.
    pub fn take_event(&mut self) -> Option<Event> {
        loop {
            let event = match self.events.try_recv() {
                Ok(event) => event,
                Err(_) => {
                    // What was put before the descriptor is read is found by the second look, and there may be more of it.
                    let mut wake = &*self.wake;
                    let _ = wake.read(&mut [0; 8]);
                    let event = self.events.try_recv().ok()?;
                    ring(&self.wake);
                    event
                }
            };
            // The last word of a link that was closed from here does not count, nor does any before it.
            let counts = match &event {
                Event::Closed(link, _) => self.links.remove(link).is_some(),
                event => self.links.contains_key(&event.link()),
            };
            if counts {
                return Some(event);
            }
        }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.links.clear();
        self.orders = None;
        // Whoever waits to put an event must not be waited for.
        self.events.close();
        let until = Instant::now() + FAREWELL + END;
        if let Some(thread) = self.thread.take() {
            while !thread.is_finished() && Instant::now() < until {
                std::thread::sleep(Duration::from_millis(1));
            }
            // It ends with the process otherwise.
            if thread.is_finished() {
                let _ = thread.join();
            }
        }
    }
}

struct RingsAtEnd(Arc<File>);

impl Drop for RingsAtEnd {
    fn drop(&mut self) {
        ring(&self.0);
    }
}

/// Takes orders until there can be none.
async fn serve_all(mut orders: mpsc::Receiver<Order>, outlet: Outlet) {
    let mut links = JoinSet::new();
    loop {
        tokio::select! {
            order = orders.recv() => match order {
                Some(order) => drop(links.spawn(serve_safely(order, outlet.clone()))),
                None => break,
            },
            Some(_) = links.join_next() => {}
        }
    }
    let _ = tokio::time::timeout(FAREWELL, async { while links.join_next().await.is_some() {} }).await;
}

/// Serves one link; a defect here is its end, and is told as that.
async fn serve_safely(order: Order, outlet: Outlet) {
    let link = order.link;
    let served = std::panic::AssertUnwindSafe(serve(order, &outlet)).catch_unwind().await;
    let fault = match served {
        Ok(Ok(())) => return,
        Ok(Err(fault)) => fault,
        Err(_) => Fault::Lost { why: "a defect of gundb's: its thread panicked".to_owned() },
    };
    outlet.put(Event::Closed(link, fault)).await;
}

/// One link from its dialling to its end; no error if it was closed from here.
async fn serve(order: Order, outlet: &Outlet) -> Result<(), Fault> {
    let Order { link, target, secret, keep_alive, mut calls, closed } = order;
    let mut session = tokio::select! {
        dialled = Session::dial(&target, secret.as_deref()) => dialled?,
        _ = closed => return Ok(()),
    };
    outlet.put(Event::Connected(link)).await;
    let tell = |told| {
        outlet.put(match told {
            Told::Reply { function, bytes, took } => Event::Reply { link, function, bytes, took },
            Told::News => Event::News(link),
        })
    };
    converse(&mut session, &mut calls, keep_alive, tell).await?;
    session.close().await;
    Ok(())
}

/// A counter that makes its descriptor readable, never waits, and does not outlive an exec.
fn eventfd() -> io::Result<File> {
    // SAFETY: a plain system call; the descriptor it returns belongs to nobody else.
    unsafe {
        let descriptor = libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC);
        if descriptor < 0 { Err(io::Error::last_os_error()) } else { Ok(OwnedFd::from_raw_fd(descriptor).into()) }
    }
}

/// Runs `f` with every signal blocked: a thread that it begins stays so.
fn without_signals<T>(f: impl FnOnce() -> T) -> io::Result<T> {
    // SAFETY: both sets are written before they are read, and the mask is given back.
    unsafe {
        let mut all = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
        let mut before = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigfillset(all.as_mut_ptr());
        match libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr()) {
            0 => {}
            error => return Err(io::Error::from_raw_os_error(error)),
        }
        let value = f();
        libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut());
        Ok(value)
    }
}
