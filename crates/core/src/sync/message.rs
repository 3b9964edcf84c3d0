//! What is said besides bundles: who one is, and what became of a bundle.

use uuid::Uuid;

use crate::clock::Clock;
use crate::id::{Dot, Run, SiteId};
use crate::sync::filter::{Filter, Flow};
use crate::sync::ways::{Way, Ways, Word};

/// The first version of what is said, and the only one so far.
pub const PROTOCOL: u32 = 1;

/// How a session begins: each side says one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// The versions of the protocol that it speaks: the least and the greatest.
    pub protocol: (u32, u32),
    /// What runs there, to read: `gundb 0.2.0`.
    pub software: String,
    /// Who speaks.
    pub site: SiteId,
    /// In which run.
    pub run: Run,
    /// The site's name.
    pub name: String,
    /// Which streams it sends to this peer.
    pub push: Filter,
    /// Which streams it takes from this peer.
    pub pull: Filter,
    /// Whose events it takes from this peer.
    pub accept: Accept,
    /// By which ways events come to it, and to those from whom they come.
    pub ways: Ways,
    /// What it holds, of all its streams.
    pub clock: Clock,
    /// The largest bundle that it takes, in bytes before compression.
    pub bundle_bytes_max: u64,
    /// Its wall clock, in milliseconds since 1970.
    pub now_ms: u64,
}

/// Why two sites cannot have a session.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// No version of the protocol is spoken by both.
    #[error(
        "{mine_software} speaks versions {} to {} of the protocol, and the peer's {theirs_software} versions {} to {}",
        .mine.0, .mine.1, .theirs.0, .theirs.1
    )]
    Protocol {
        /// Spoken here.
        mine: (u32, u32),
        /// What runs here.
        mine_software: String,
        /// Spoken by the peer.
        theirs: (u32, u32),
        /// What runs there.
        theirs_software: String,
    },
    /// Both ends are one site in one run.
    #[error("a site cannot be its own peer: both ends are {name}, site {site}, in one run")]
    Itself {
        /// The site.
        site: SiteId,
        /// Its name.
        name: String,
    },
}

impl Hello {
    /// The greatest version of the protocol that both speak. Another run of one's own site is a peer as any other: see [`Hello::is_copy`].
    pub fn agree(&self, theirs: &Hello) -> Result<u32, Mismatch> {
        let version = self.protocol.1.min(theirs.protocol.1);
        if version < self.protocol.0.max(theirs.protocol.0) {
            return Err(Mismatch::Protocol {
                mine: self.protocol,
                mine_software: self.software.clone(),
                theirs: theirs.protocol,
                theirs_software: theirs.software.clone(),
            });
        }
        if (self.site, self.run) == (theirs.site, theirs.run) {
            return Err(Mismatch::Itself { site: self.site, name: self.name.clone() });
        }
        Ok(version)
    }

    /// What is presumed of a peer that has not said anything: that it holds nothing, takes what this site wrote itself, and may get anything elsewhere.
    pub fn unheard(&self) -> Hello {
        let site = SiteId(Uuid::nil());
        let flow = Flow { push: Filter::all(), pull: Filter::all() };
        let word = Word { version: 1, ways: vec![Way { from: None, flow, accept: Accept::Any }] };
        Hello {
            site,
            push: Filter::all(),
            pull: Filter::all(),
            ways: Ways::from_iter([(site, word)]),
            accept: Accept::Own,
            clock: Clock::new(),
            ..self.clone()
        }
    }

    /// Whether the peer is another live copy of this site.
    pub fn is_copy(&self, theirs: &Hello) -> bool {
        self.site == theirs.site && self.run != theirs.run
    }
}

/// Whose events are taken from a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Accept {
    /// Those that the peer wrote itself, in any of its runs.
    Own,
    /// Anybody's: the peer may forward, and define.
    Any,
}

/// What became of a bundle, and what its receiver holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The bundle's number; 0 where it only says what is held.
    pub number: u64,
    /// Whether it was taken.
    pub outcome: Outcome,
    /// Events that were refused: of their lanes, from them on, nothing is to be sent in this session.
    pub refusals: Vec<Refused>,
    /// What the receiver has got elsewhere since it last said so: neither from the bundle's sender in this session, nor written by its own run.
    pub holds: Clock,
}

/// Whether a bundle was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was applied, or what is left of it waits or was refused.
    Taken,
    /// It was dropped: what its sender presumes does not fit. This is what the receiver has received; what else was sent is to be sent again.
    Again(Clock),
    /// It came before what it needs of lanes that come from others. This is what is missing; it is to be sent again when that may have come.
    Early(Clock),
}

/// An event that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Which one.
    pub dot: Dot,
    /// Why, to read.
    pub reason: String,
}
