//! How it goes with each peer, for whoever asks.

use gundb_core::sync::message::Hello;
use gundb_core::{Clock, Run, SiteId};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What is being done about a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Phase {
    /// Nothing yet.
    #[default]
    Waiting,
    /// It is being dialled.
    Connecting,
    /// There is a session, or the last round of its courier went well.
    Connected,
    /// It was paused.
    Paused,
}

impl Phase {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Waiting => "waiting",
            Phase::Connecting => "connecting",
            Phase::Connected => "connected",
            Phase::Paused => "paused",
        }
    }
}

/// How it goes with one peer.
#[derive(Debug, Clone, Default)]
pub struct PeerState {
    /// The way there, without secrets; empty for one who dialled in.
    pub url: String,
    /// What is being done.
    pub phase: Phase,
    /// What went wrong last, if it has not gone well since.
    pub error: Option<String>,
    /// The peer's site, run and name, once it has said them.
    pub site: Option<(SiteId, Run, String)>,
    /// What runs there.
    pub software: String,
    /// When it was heard of last, in milliseconds since 1970; 0: never.
    pub contact_ms: u64,
    /// Whether all was exchanged.
    pub synced: bool,
    /// What it is known to hold.
    pub holds: Clock,
    /// Bytes of messages, each way.
    pub bytes_sent: u64,
    /// As above.
    pub bytes_received: u64,
    /// Parcels that lie on their way and were not confirmed.
    pub unconfirmed: u64,
    /// How often there was a session, or a round of the courier.
    pub times: u64,
}

impl PeerState {
    /// What a hello says of who has said it.
    pub fn hear(&mut self, hello: &Hello) {
        self.site = Some((hello.site, hello.run, hello.name.clone()));
        self.software.clone_from(&hello.software);
    }
}

/// The states of all peers, by their names.
#[derive(Debug, Clone, Default)]
pub struct States(Arc<Mutex<BTreeMap<String, PeerState>>>);

impl States {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, PeerState>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes something of a peer.
    pub fn note(&self, peer: &str, note: impl FnOnce(&mut PeerState)) {
        note(self.lock().entry(peer.to_owned()).or_default());
    }

    /// A peer is one no longer.
    pub fn forget(&self, peer: &str) {
        self.lock().remove(peer);
    }

    /// All of them.
    pub fn all(&self) -> BTreeMap<String, PeerState> {
        self.lock().clone()
    }
}
