//! Who acts on a value: a site in one incarnation; and a tick, one act of a replica.
//!
//! What must always hold here: the order of replicas is the order of their texts and bytes.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use uuid::Uuid;

use crate::bytes::{DecodeError, Reader};
use crate::chain::{domain, hash};
use crate::datum::excerpt;
use crate::id::SiteId;

/// A site and its incarnation (best effort: what changes when a database is copied or restored).
///
/// The low 44 bits of the incarnation are 0, or were drawn for a value that was reissued: these are one family, of which only one acts on a value.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Replica {
    /// The site.
    pub site: SiteId,
    /// Which life of the site.
    pub incarnation: u64,
}

/// The n-th act of a replica on a value, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick {
    /// Who acted.
    pub replica: Replica,
    /// Its how manieth act it is, from 1.
    pub number: u64,
}

/// The bits of an incarnation that are drawn: a site has few copies of its database, and may reissue a million values at once.
const DRAWN: u64 = (1 << 44) - 1;

impl Replica {
    /// The length of the encoding.
    pub(crate) const BYTES: usize = 24;

    /// The replica that a site's database is, told from its copies by the server's system identifier and timeline and the database's oid.
    pub fn of_database(site: SiteId, system: u64, timeline: u32, database: u32) -> Replica {
        let hash = hash(&[&domain::REPLICA, &system.to_be_bytes(), &timeline.to_be_bytes(), &database.to_be_bytes()]);
        let [a, b, c, d, ..] = hash;
        let told_apart = u64::from(u32::from_be_bytes([a, b, c, d])) << 32;
        Replica { site, incarnation: told_apart & !DRAWN }
    }

    /// One of the family that has not acted yet, where the number is random; of it 44 bits count. Of 0 it is the database itself.
    pub fn reissued(self, random: u64) -> Replica {
        Replica { incarnation: self.incarnation & !DRAWN | random & DRAWN, ..self }
    }

    /// The database itself, and all under which it reissued a value.
    pub(super) fn family(self) -> RangeInclusive<Replica> {
        self.reissued(0)..=self.reissued(DRAWN)
    }

    pub(crate) fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(self.site.0.as_bytes());
        bytes.extend_from_slice(&self.incarnation.to_be_bytes());
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Replica, DecodeError> {
        Ok(Replica { site: SiteId(reader.uuid()?), incarnation: reader.u64()? })
    }
}

impl fmt::Display for Replica {
    /// `0d9f7a5c-6d1e-4f9b-8f0e-2f6f3a7a9b10/00000000000000a7`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{:016x}", self.site, self.incarnation)
    }
}

impl fmt::Debug for Replica {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Replica({self})")
    }
}

/// Why a text is not a replica.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a replica is a site and 16 hexadecimal digits, as in 0d9f7a5c-6d1e-4f9b-8f0e-2f6f3a7a9b10/00000000000000a7, not {text:?}"
)]
pub struct ReplicaTextError {
    /// The offending text, shortened.
    pub text: String,
}

impl FromStr for Replica {
    type Err = ReplicaTextError;

    fn from_str(text: &str) -> Result<Replica, ReplicaTextError> {
        let read = || {
            let (site, incarnation) = text.split_once('/')?;
            let sixteen = incarnation.len() == 16 && incarnation.bytes().all(|byte| byte.is_ascii_hexdigit());
            let uuid = (site.len() == 36).then(|| Uuid::try_parse(site).ok())??;
            Some(Replica {
                site: SiteId(uuid),
                incarnation: sixteen.then(|| u64::from_str_radix(incarnation, 16).ok())??,
            })
        };
        read().ok_or_else(|| ReplicaTextError { text: excerpt(text) })
    }
}
