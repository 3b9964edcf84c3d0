//! What is agreed with a peer, as this end has it configured.

use crate::bundle::WireError;
use crate::store::{Store, StoreError};
use crate::sync::filter::{Filter, Flow};
use crate::sync::message::{Accept, Hello, Mismatch, PROTOCOL};

/// What is agreed with a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// What is sent there.
    pub push: Filter,
    /// What is taken from there.
    pub pull: Filter,
    /// What is taken from others, and has been caught up with.
    pub takes: Vec<Flow>,
    /// Whose events are taken from there.
    pub accept: Accept,
    /// The largest bundle that is taken, in bytes before compression.
    pub bundle_bytes_max: u64,
    /// The level of zstd with which bundles are sent.
    pub compression: i32,
}

impl Terms {
    /// All streams both ways, anybody's events, and nothing from others.
    pub fn all() -> Terms {
        Terms {
            push: Filter::all(),
            pull: Filter::all(),
            takes: Vec::new(),
            accept: Accept::Any,
            bundle_bytes_max: crate::sync::sender::BUNDLE_BYTES,
            compression: 1,
        }
    }

    /// What is said first to the peer.
    pub fn hello(&self, store: &dyn Store, now_ms: u64) -> Result<Hello, StoreError> {
        let own = store.identity()?;
        Ok(Hello {
            protocol: (PROTOCOL, PROTOCOL),
            software: format!("gundb {}", env!("CARGO_PKG_VERSION")),
            site: own.site,
            run: own.run,
            name: own.name,
            push: self.push.clone(),
            pull: self.pull.clone(),
            takes: self.takes.clone(),
            accept: self.accept,
            clock: store.clock()?,
            bundle_bytes_max: self.bundle_bytes_max,
            now_ms,
        })
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
