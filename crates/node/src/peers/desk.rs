//! What a site does for a peer that couriers go to: says what it holds, gives bundles, takes them in. A store does it by what is agreed with the peer.

use gundb_core::bundle::{Bundle, WireLimits, encode_bundle};
use gundb_core::store::{Counts, Export, Origin, SessionError, Store, StoreError, Terms, open_kept, take_in};
use gundb_core::sync::message::Hello;
use gundb_core::sync::scope::Scope;
use gundb_core::{Clock, SiteId, StreamId};
use std::collections::BTreeMap;
use uuid::Uuid;

/// How tightly bundles are packed: they travel far.
const LEVEL: i32 = 6;

/// It. Its calls may wait for a disk or a server, and for nothing else.
pub trait Desk {
    /// What is said to the peer now.
    fn hello(&self, now_ms: u64) -> Result<Hello, StoreError>;

    /// Hears what the peer said.
    fn hear(&self, theirs: &Hello) -> Result<(), SessionError>;

    /// The names of all streams that are kept here or were declared, by id.
    fn known_streams(&self) -> Result<BTreeMap<StreamId, String>, StoreError>;

    /// What is held now.
    fn clock(&self) -> Result<Clock, StoreError>;

    /// Takes in a bundle from the peer; one that comes too early is kept.
    fn take_in(&self, bytes: &[u8]) -> Result<Counts, SessionError>;

    /// What flows to a peer that has said `theirs`, if anything, and will hold `presumed`; in bundles of about so many bytes before compression.
    fn export<'a>(
        &'a self,
        theirs: Option<&Hello>,
        presumed: &Clock,
        bytes_max: u64,
    ) -> Result<Box<dyn Bundles + 'a>, StoreError>;
}

/// Bundles, one after the other.
pub trait Bundles {
    /// The next one, and its bytes; None where there is no more.
    fn next(&mut self) -> Result<Option<(Bundle, Vec<u8>)>, StoreError>;
}

/// What flows to a peer that has said `theirs`, if anything.
pub fn scope(mine: &Hello, theirs: Option<&Hello>, names: &BTreeMap<StreamId, String>) -> Scope {
    let theirs = theirs.cloned().unwrap_or_else(|| mine.unheard());
    // The run that the word is of may be gone, and what it wrote lost: it is not presumed to hold that.
    let nobody = (SiteId(Uuid::nil()), mine.run);
    Scope { receiver: nobody, ..Scope::new(mine, &theirs, &names.values().collect::<Vec<_>>()) }
}

/// The desk of a store.
pub(super) struct StoreDesk<'a> {
    pub(super) store: &'a dyn Store,
    pub(super) terms: Terms,
    pub(super) origin: Origin,
    pub(super) limits: WireLimits,
}

impl Desk for StoreDesk<'_> {
    fn hello(&self, now_ms: u64) -> Result<Hello, StoreError> {
        self.terms.hello(self.store, now_ms)
    }

    fn hear(&self, theirs: &Hello) -> Result<(), SessionError> {
        let before = self.store.links()?;
        self.terms.hear(self.store, theirs)?;
        if self.store.links()? != before {
            // What was waited for may be known never to come.
            open_kept(self.store, &self.origin, &self.limits, &mut Counts::default())?;
        }
        Ok(())
    }

    fn known_streams(&self) -> Result<BTreeMap<StreamId, String>, StoreError> {
        self.store.known_streams()
    }

    fn clock(&self) -> Result<Clock, StoreError> {
        self.store.clock()
    }

    fn take_in(&self, bytes: &[u8]) -> Result<Counts, SessionError> {
        take_in(self.store, &self.origin, bytes, &self.limits)
    }

    fn export<'a>(
        &'a self,
        theirs: Option<&Hello>,
        presumed: &Clock,
        bytes_max: u64,
    ) -> Result<Box<dyn Bundles + 'a>, StoreError> {
        // Whose hello it is says who sends; when it is said does not matter.
        let scope = scope(&self.hello(0)?, theirs, &self.known_streams()?);
        let export = Export::within(self.store, scope, presumed)?.with_bytes_max(bytes_max);
        Ok(Box::new(StoreBundles { export, store: self.store }))
    }
}

struct StoreBundles<'a> {
    export: Export,
    store: &'a dyn Store,
}

impl Bundles for StoreBundles<'_> {
    fn next(&mut self) -> Result<Option<(Bundle, Vec<u8>)>, StoreError> {
        let bundle = self.export.next(self.store)?;
        Ok(bundle.map(|bundle| {
            let bytes = encode_bundle(&bundle, LEVEL);
            (bundle, bytes)
        }))
    }
}
