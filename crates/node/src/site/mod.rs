//! A site, as the command line sees it: a store in a file, or a database with the extension.
//!
//! What must always hold here: both kinds give the same values, so that a command prints the same bytes whichever it is given; what is large is given piece
//! by piece, and never gathered.
//!
//! | file | one noun |
//! |---|---|
//! | `edge` | a store in a file as a site |
//! | [`postgres`] | a database with the extension as a site, over SQL |

mod edge;
pub mod postgres;

use std::sync::Arc;

use gundb_core::bundle::Bundle;
use gundb_core::store::Counts;
use gundb_core::{Chain, Clock, Dot, Event, Hlc, SiteId, StreamId};
use uuid::Uuid;

use crate::error::Result;
use crate::progress::Progress;
use crate::store::{Appended, New};
use crate::view::{Change, Definition, Row, View};

/// What is given pieces, until it fails.
pub type Found<'f, T> = &'f mut dyn FnMut(T) -> Result<()>;

/// A site.
pub trait Site {
    /// Ends what was begun: what was asked for is done.
    fn close(self: Box<Self>) -> Result<()>;

    /// Declares a stream. Says whether something was new.
    fn create_stream(&self, name: &str, closed: bool) -> Result<bool>;
    /// The streams that are kept here, by name.
    fn streams(&self) -> Result<Vec<StreamRow>>;
    /// The name of a stream.
    fn stream_name(&self, stream: StreamId) -> Result<Option<String>>;
    /// The name of a site.
    fn site_name(&self, site: SiteId) -> Result<String>;
    /// Defines an event type, or a new version of it. Says the version.
    fn define_event(&self, stream: &str, kind: &str, schema: Option<&str>) -> Result<u32>;
    /// The event types of a stream, by name.
    fn event_types(&self, stream: &str) -> Result<Vec<EventType>>;

    /// Appends events to one stream, all or none, as one transaction. Each event of `depends_on` must be held.
    fn append(&self, events: Vec<New>, depends_on: Option<Clock>) -> Result<Vec<Appended>>;
    /// Reads what a stream holds beyond a clock: a page of at most `events_max` events, but at least one transaction.
    fn read(&self, stream: &str, page: &Page, events_max: usize, found: Found<'_, ReadEvent>) -> Result<Next>;
    /// Waits until a stream may hold more than it did when it was read last.
    fn await_news(&self, stream: &str) -> Result<()>;
    /// The next events of a consumer, which is made if it is not there. Its position stays until [`Site::consumed`].
    fn consume(&self, consumer: &str, stream: &str, events_max: usize, found: Found<'_, ReadEvent>) -> Result<Next>;
    /// What a consumer was given last has been dealt with: moves its position.
    fn consumed(&self, consumer: &str, stream: &str, next: &Next) -> Result<()>;
    /// Reverts the events with these ids, all or none.
    fn revert(&self, stream: &str, ids: &[Uuid]) -> Result<Vec<Reverted>>;

    /// Makes a view. Says whether it is new.
    fn create_view(&self, name: &str, definition: Definition, progress: &Progress) -> Result<bool>;
    /// Makes a view whose rows an SQL function folds. Says whether it is new.
    fn create_reducer_view(&self, name: &str, stream: &str, reducer: &str, key: &str) -> Result<bool>;
    /// The views, by name.
    fn views(&self) -> Result<Vec<(String, Definition)>>;
    /// A view.
    fn view(&self, name: &str) -> Result<Arc<View>>;
    /// The rows of a view, in the order of their keys; of one key, or of all.
    fn view_rows(&self, name: &str, key: Option<&str>, found: Found<'_, Row>) -> Result<()>;
    /// A view as it was: the rows that the events covered by a clock give.
    fn view_at(&self, name: &str, clock: &Clock, key: Option<&str>, found: Found<'_, Row>) -> Result<()>;
    /// What a key's row went through, in total order.
    fn view_history(&self, name: &str, key: &str) -> Result<Vec<Change>>;
    /// The keys whose row is not what their events give, and how.
    fn check_view(&self, name: &str) -> Result<Vec<(String, String)>>;
    /// Folds a view anew from all events. Says how many rows it has.
    fn rebuild_view(&self, name: &str, progress: &Progress) -> Result<u64>;
    /// Drops a view.
    fn drop_view(&self, name: &str) -> Result<()>;
    /// A hash of a view's rows.
    fn view_digest(&self, name: &str) -> Result<[u8; 16]>;
    /// The events that a view cannot fold, and why.
    fn view_left_out(&self, name: &str) -> Result<Vec<(Dot, String)>>;

    /// What is held of some streams, or of all, beyond a clock: bundles with their bytes.
    fn export(
        &self,
        streams: Option<&[String]>,
        since: &Clock,
        progress: &Progress,
        found: Found<'_, (Bundle, Vec<u8>)>,
    ) -> Result<()>;
    /// Takes a bundle in, whoever wrote what is in it.
    fn import(&self, bundle: &[u8]) -> Result<Counts>;

    /// What the site holds, in figures.
    fn figures(&self) -> Result<Figures>;
    /// What is held.
    fn clock(&self) -> Result<Clock>;
    /// What the site knew at a time, in milliseconds since 1970.
    fn clock_at(&self, millis: u64) -> Result<Clock>;
    /// The chains of events; None of one that is not held.
    fn chains(&self, dots: &[Dot]) -> Result<Vec<Option<Chain>>>;
    /// A hash of what is held of a stream, or of all.
    fn digest(&self, stream: Option<&str>) -> Result<[u8; 16]>;
    /// Recomputes the chains. Gives what does not fit.
    fn verify(&self, progress: &Progress) -> Result<Vec<String>>;
    /// What has come and waits, or was refused.
    fn pending(&self) -> Result<Vec<Pending>>;
    /// Tries again what waits; where `accept` is set, however far ahead its stamps are. Says how much was taken.
    fn retry_pending(&self, accept: bool) -> Result<u64>;
}

/// An event, as whoever reads sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadEvent {
    pub dot: Dot,
    pub hlc: Hlc,
    pub id: Uuid,
    pub kind: String,
    pub key: Option<String>,
    /// Canonical text.
    pub data: String,
    /// Canonical text.
    pub meta: String,
}

/// Which events are wanted; without a type and a key, all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// Those that this does not cover.
    pub after: Clock,
    pub kind: Option<String>,
    pub key: Option<String>,
}

/// Where to read on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Next {
    pub after: Clock,
    /// Whether there may be more now.
    pub more: bool,
}

/// A stream, in figures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamRow {
    pub name: String,
    pub events: u64,
    pub lanes: u64,
    pub types: u64,
    pub closed: bool,
}

/// An event type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventType {
    pub name: String,
    pub version: u32,
    /// Canonical text; None: any data fits.
    pub schema: Option<String>,
}

/// A revert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reverted {
    pub id: Uuid,
    pub dot: Dot,
}

/// Something that waits, or was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// As in `gundb.pending`.
    pub kind: String,
    /// The view that lacks the event.
    pub view: Option<String>,
    /// The key whose row lacks it.
    pub key: Option<String>,
    /// The event, or the first of its transaction.
    pub dot: Option<Dot>,
    /// Why.
    pub reason: String,
}

/// What a site holds, in figures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figures {
    pub site: SiteId,
    pub name: String,
    pub streams: u64,
    pub views: u64,
    pub events: u64,
    pub lanes: u64,
    pub runs: u64,
    pub sites: u64,
    /// The greatest stamp that is held.
    pub last_hlc: Option<Hlc>,
    /// Transactions that wait.
    pub pending: u64,
    /// Bundles that came too early.
    pub early_bundles: u64,
    pub refused: u64,
    /// Of the file, or of the streams' tables with their indexes.
    pub bytes: u64,
}

impl Figures {
    /// Those that a clock tells.
    fn of(clock: &Clock) -> (u64, u64, u64, u64) {
        let sites: std::collections::BTreeSet<_> = clock.iter().map(|dot| dot.site).collect();
        let runs: std::collections::BTreeSet<_> = clock.iter().map(|dot| (dot.site, dot.lane.run())).collect();
        (clock.iter().map(|dot| dot.seq).sum(), clock.len() as u64, runs.len() as u64, sites.len() as u64)
    }
}

impl Page {
    fn takes(&self, event: &ReadEvent) -> bool {
        self.key.as_ref().is_none_or(|key| event.key.as_ref() == Some(key))
            && self.kind.as_ref().is_none_or(|kind| event.kind == *kind)
    }
}

impl From<Event> for ReadEvent {
    fn from(event: Event) -> ReadEvent {
        let Event { dot, hlc, id, kind, key, data, meta, .. } = event;
        ReadEvent { dot, hlc, id, kind, key, data, meta }
    }
}
