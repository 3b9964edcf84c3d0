//! What a session or a courier needs of a store, and the one driver of both over any store: without I/O of its own.
//!
//! A site's events may be kept in PostgreSQL, in a key-value file or in memory. Whoever keeps them implements [`Store`]; whoever carries bytes drives
//! [`Caller`] or [`Called`], or lets [`Export`] and [`take_in`] make and take bundles, and knows nothing of what is in them.
//!
//! What must always hold here: a call of a store is one commit or none, and durable when it returns; what it reads is one moment.
//!
//! | file | one noun |
//! |---|---|
//! | `snapshot` | what can be read of one moment |
//! | `reading` | pages of what is to be sent, from a snapshot |
//! | `receiving` | what is to be written when something comes |
//! | `record` | an event as bytes in a store |
//! | `terms` | what is agreed with a peer; the hello that says so |
//! | `caller` | the end of a session that calls, over a store |
//! | `called` | the end of a session that is called, over a store |
//! | `courier` | bundles that are carried, out of a store and into one |
//! | `links` | what a site remembers of its links |

mod called;
mod caller;
mod courier;
mod links;
mod reading;
mod receiving;
mod record;
mod snapshot;
mod terms;

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use crate::apply::Verdict;
use crate::clock::Clock;
use crate::id::{Run, SiteId, StreamId};
use crate::sync::message::Accept;
use crate::sync::receiver::{Delivery, Stage};
use crate::sync::scope::{Page, Query};

pub use called::Called;
pub use caller::{Caller, Next, Request, Response};
pub use courier::{Counts, Export, Letter, LetterId, open_kept, take_in};
pub use links::{Link, Links};
pub use reading::read;
pub use receiving::{Evidence, Here, Pending, Plan, plan};
pub use record::{decode_event, encode_event, hlc_of, key_hash, word};
pub use snapshot::{Head, Snapshot};
pub use terms::{SessionError, Terms};

/// Who writes here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The site.
    pub site: SiteId,
    /// Its run.
    pub run: Run,
    /// The site's name.
    pub name: String,
}

/// Who brings something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// By what its parts are kept: one for each peer, whatever its sessions.
    pub peer: String,
    /// Whose events it may bring; one that may bring anybody's may define.
    pub accept: Accept,
}

/// Told when something was committed: that there is news. It must not wait.
pub type Listener = dyn Fn() + Send + Sync;

/// What keeps a site's events. Its calls may wait for a disk or a server, and for nothing else.
pub trait Store: Send + Sync {
    /// Who writes here. Draws the run, if this is the first that needs it.
    fn identity(&self) -> Result<Identity, StoreError>;

    /// What is held now, of all streams.
    fn clock(&self) -> Result<Clock, StoreError>;

    /// The names of all streams that are kept here or were declared, by id.
    fn known_streams(&self) -> Result<BTreeMap<StreamId, String>, StoreError>;

    /// Reads what is to be sent, from one moment. [`read()`] does it for whoever has a [`Snapshot`].
    fn read(&self, query: &Query) -> Result<Page, StoreError>;

    /// Applies what has come, with the parts that were staged of what it [completes](Delivery::completes), and what waits here. Says what became of each of
    /// its transactions, in their order, when that is durable. [`plan()`] says what is to be written.
    fn apply(&self, origin: &Origin, delivery: Delivery) -> Result<Vec<Verdict>, StoreError>;

    /// Stores a part until the last has come; with the first, what was stored of the peer is void.
    fn stage(&self, origin: &Origin, stage: Stage) -> Result<(), StoreError>;

    /// What is remembered of the site's links.
    fn links(&self) -> Result<Arc<Links>, StoreError>;

    /// Changes what is remembered of them, durably, one change after the other. Gives what is remembered then.
    fn change_links(&self, change: &mut dyn FnMut(&mut Links)) -> Result<Arc<Links>, StoreError>;

    /// What has come, is well, and waits.
    fn waiting(&self) -> Result<Clock, StoreError>;

    /// The number of the next bundle that is carried, counted within the run and never given twice.
    fn next_bundle_number(&self) -> Result<u64, StoreError>;

    /// Keeps a bundle that was carried here too early. One with the same id is the same.
    fn keep_letter(&self, letter: &Letter) -> Result<(), StoreError>;

    /// The bundles that are kept, by their ids.
    fn letters(&self) -> Result<Vec<Letter>, StoreError>;

    /// Forgets bundles that were kept.
    fn forget_letters(&self, letters: &[LetterId]) -> Result<(), StoreError>;

    /// Tells a listener of every commit from now on, as long as it lives.
    fn listen(&self, listener: Weak<Listener>);
}

/// What a store's keeper says is wrong, to read.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why a store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Not now: later it may, as when a disk was full or a server away. Nothing was done.
    #[error("the store is not available: {0}")]
    Unavailable(#[source] Cause),
    /// Never: the store is damaged, or says what cannot be. Somebody has to look.
    #[error("the store is broken: {0}")]
    Broken(#[source] Cause),
}
