//! What is agreed with a peer, as this end has it configured.

use std::sync::Arc;

use crate::bundle::WireError;
use crate::store::{Link, Store, StoreError};
use crate::sync::filter::Filter;
use crate::sync::message::{Accept, Hello, Mismatch, PROTOCOL};

/// What is agreed with a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// What the link to it is known by.
    pub link: String,
    /// Whether this end dials.
    pub is_dialled: bool,
    /// What is sent there.
    pub push: Filter,
    /// What is taken from there.
    pub pull: Filter,
    /// Whose events are taken from there.
    pub accept: Accept,
    /// All links by which events may come here: this one too, and none that is paused.
    pub links: Arc<Vec<Link>>,
    /// The largest bundle that is taken, in bytes before compression.
    pub bundle_bytes_max: u64,
    /// The level of zstd with which bundles are sent.
    pub compression: i32,
}

impl Terms {
    /// All streams both ways, anybody's events, and nothing from others.
    pub fn all() -> Terms {
        let link = Link { name: String::new(), pull: Filter::all(), accept: Accept::Any, is_dialled: true };
        Terms {
            link: link.name.clone(),
            is_dialled: link.is_dialled,
            push: Filter::all(),
            pull: link.pull.clone(),
            accept: link.accept,
            links: Arc::new(vec![link]),
            bundle_bytes_max: crate::sync::sender::BUNDLE_BYTES,
            compression: 1,
        }
    }

    /// What is said first to the peer.
    pub fn hello(&self, store: &dyn Store, now_ms: u64) -> Result<Hello, StoreError> {
        let own = store.identity()?;
        let links = store.change_links(&mut |links| links.say(own.site, &self.links))?;
        Ok(Hello {
            protocol: (PROTOCOL, PROTOCOL),
            software: format!("gundb {}", env!("CARGO_PKG_VERSION")),
            site: own.site,
            run: own.run,
            name: own.name,
            push: self.push.clone(),
            pull: self.pull.clone(),
            accept: self.accept,
            ways: links.ways.clone(),
            clock: store.clock()?,
            bundle_bytes_max: self.bundle_bytes_max,
            now_ms,
        })
    }

    /// Hears the peer's hello.
    pub fn hear(&self, store: &dyn Store, theirs: &Hello) -> Result<(), StoreError> {
        let own = store.identity()?;
        if (own.site, own.run) == (theirs.site, theirs.run) {
            return Ok(());
        }
        let (name, pull) = (self.link.clone(), self.pull.clone());
        let over = Link { name, pull, accept: self.accept, is_dialled: self.is_dialled };
        store.change_links(&mut |links| links.hear(own.site, &self.links, &over, theirs))?;
        Ok(())
    }
}

/// Why a session does not go on. The end that calls begins it anew with a hello.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// What came is not a message.
    #[error("this is no message of gundb's: {0}")]
    Malformed(#[from] WireError),
    /// There can be no session.
    #[error("there can be no session: {0}")]
    Mismatch(#[from] Mismatch),
    /// There is no session: the other end is to say hello.
    #[error("no session has begun")]
    NoSession,
    /// The store did not do what it was asked.
    #[error(transparent)]
    Store(#[from] StoreError),
}
