//! Events as they come: by transactions, in causal order, each once.
//!
//! What must always hold here: it is listened before the file is looked at, so nothing is missed; a position covers whole transactions, and only what was given.

use std::collections::VecDeque;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use gundb_core::store::Listener;
use gundb_core::{Clock, Dot, Event};

use crate::error::Result;
use crate::store::Edge;
use crate::typed::signal::Signal;
use crate::typed::{Events, variant};

/// Events that are read at once.
const PAGE_EVENTS: usize = 256;

/// An event, and what the store says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received<S> {
    /// What it says.
    pub event: S,
    /// The event itself: its key, its place, who wrote it.
    pub stored: Event,
}

/// Events as they come: an iterator that waits for the next and does not end. An event that does not fit its variant is an error in its place, and the next is
/// given after it.
pub struct Subscription<'e, S> {
    edge: &'e Edge,
    stream: String,
    /// Where to read on.
    after: Clock,
    /// What was read and not given.
    coming: VecDeque<Event>,
    /// What was given of the transaction under way.
    given: Vec<Dot>,
    position: Clock,
    signal: Arc<Signal>,
    /// The store's listeners are weak: this one lives as long as the subscription.
    _listener: Arc<Listener>,
    says: PhantomData<fn() -> S>,
}

impl<'e, S: Events> Subscription<'e, S> {
    pub(super) fn begin(edge: &'e Edge, stream: &str, clock: Clock) -> Result<Self> {
        edge.shown().definitions.users_stream(stream)?;
        let signal = Arc::new(Signal::default());
        let gives = Arc::clone(&signal);
        let listener: Arc<Listener> = Arc::new(move || gives.give());
        edge.shared.listen(Arc::downgrade(&listener));
        Ok(Subscription {
            edge,
            stream: stream.to_owned(),
            after: clock.clone(),
            coming: VecDeque::new(),
            given: Vec::new(),
            position: clock,
            signal,
            _listener: listener,
            says: PhantomData,
        })
    }

    /// Where to go on after a restart ([`super::Stream::subscribe_after`]): covers the transactions that were given whole. To be kept once they have been dealt with.
    pub fn position(&self) -> &Clock {
        &self.position
    }

    /// The next event, or None when none comes for so long.
    pub fn next_within(&mut self, patience: Duration) -> Option<Result<Received<S>>> {
        self.next_until(Instant::now().checked_add(patience))
    }

    /// The same as a stream for tasks. The file is read where it is polled: a page at a time, from memory mostly.
    pub fn coming(self) -> Coming<'e, S> {
        Coming(self)
    }

    fn next_until(&mut self, until: Option<Instant>) -> Option<Result<Received<S>>> {
        loop {
            match self.ready() {
                Ok(None) => {}
                Ok(Some(received)) => return Some(Ok(received)),
                Err(why) => return Some(Err(why)),
            }
            if !self.signal.wait(until) {
                return None;
            }
        }
    }

    /// The next event that is there. None: whoever waits for the signal misses nothing.
    fn ready(&mut self) -> Result<Option<Received<S>>> {
        loop {
            while let Some(event) = self.coming.pop_front() {
                let read = variant::read(&event);
                self.give(&event);
                if let Some(said) = read? {
                    return Ok(Some(Received { event: said, stored: event }));
                }
            }
            let page = self.edge.read_stream(&self.stream, &self.after, PAGE_EVENTS)?;
            if page.events.is_empty() {
                return Ok(None);
            }
            (self.after, self.coming) = (page.after, page.events.into());
        }
    }

    /// The position moves when a transaction has been given to its end.
    fn give(&mut self, event: &Event) {
        self.given.push(event.dot);
        if self.coming.front().is_none_or(|next| next.transaction() != event.transaction()) {
            self.given.drain(..).for_each(|dot| self.position.advance(&dot));
        }
    }
}

impl<S: Events> Iterator for Subscription<'_, S> {
    type Item = Result<Received<S>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_until(None)
    }
}

/// Events as they come, for tasks. It does not end.
pub struct Coming<'e, S>(Subscription<'e, S>);

impl<S: Events> Coming<'_, S> {
    /// As [`Subscription::position`].
    pub fn position(&self) -> &Clock {
        self.0.position()
    }
}

impl<S: Events> futures_core::Stream for Coming<'_, S> {
    type Item = Result<Received<S>>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let subscription = &mut self.get_mut().0;
        loop {
            if let Some(next) = subscription.ready().transpose() {
                return Poll::Ready(Some(next));
            }
            if subscription.signal.poll(context).is_pending() {
                return Poll::Pending;
            }
        }
    }
}
