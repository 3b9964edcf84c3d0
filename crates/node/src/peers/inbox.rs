//! What a peer's thread is told.

use crate::peers::line::Happened;
use gundb_core::store::Terms;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

/// It.
pub(super) enum Event {
    /// Something happened on the line of the dial with this number.
    Line(u64, Happened),
    /// Something was committed here; told once until it is taken.
    News,
    /// What is agreed has changed.
    Terms(Terms),
    /// All is to be exchanged now.
    Hurry,
    /// It is over.
    Stop,
}

/// Where events are put.
#[derive(Clone)]
pub(super) struct Slot {
    events: Sender<Event>,
    has_news: Arc<AtomicBool>,
}

/// Where they are taken from.
pub(super) struct Inbox {
    events: Receiver<Event>,
    has_news: Arc<AtomicBool>,
}

/// Both ends of a new one.
pub(super) fn inbox() -> (Slot, Inbox) {
    let (to, events) = mpsc::channel();
    let has_news = Arc::new(AtomicBool::new(false));
    (Slot { events: to, has_news: Arc::clone(&has_news) }, Inbox { events, has_news })
}

impl Slot {
    /// Puts an event; to one who is gone it is nothing.
    pub(super) fn put(&self, event: Event) {
        let _ = self.events.send(event);
    }

    /// Says that there is news, unless that waits to be heard already.
    pub(super) fn ring(&self) {
        if !self.has_news.swap(true, Ordering::AcqRel) {
            self.put(Event::News);
        }
    }
}

impl Inbox {
    /// The next event, or none at that moment; without one it is waited for.
    pub(super) fn take(&self, until: Option<Instant>) -> Option<Event> {
        let event = match until {
            None => self.events.recv().unwrap_or(Event::Stop),
            Some(until) => match self.events.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(event) => event,
                Err(RecvTimeoutError::Timeout) => return None,
                Err(RecvTimeoutError::Disconnected) => Event::Stop,
            },
        };
        if matches!(event, Event::News) {
            self.has_news.store(false, Ordering::Release);
        }
        Some(event)
    }

    /// The next event, if one is there.
    pub(super) fn take_now(&self) -> Option<Event> {
        self.take(Some(Instant::now() + Duration::ZERO))
    }
}
