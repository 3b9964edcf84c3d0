//! Exchanges by storing and forwarding: a parcel is one framed message, a hello or a bundle, under a name.
//!
//! What must always hold here: a parcel may be lost, come twice, late, half, and in any order, and whatever is there may be somebody's rubbish. So what is read
//! is nothing but bytes until its frame's checksum fits; nothing is removed that was not put here by gundb. What is sent, what was taken in, and what a
//! hello says of it decides `gundb_core::sync::courier`, and who drives it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where parcels come from.
pub trait Source {
    /// What is there, in the order of the names.
    fn parcels(&mut self) -> Result<Vec<Parcel>, CourierFault>;

    /// A parcel's bytes; none where it is gone, or is no whole parcel yet.
    fn read(&mut self, parcel: &Parcel) -> Result<Option<Vec<u8>>, CourierFault>;

    /// It was taken in, or never will be: it need not be there any more. Where it cannot be removed it stays, which is no error.
    fn remove(&mut self, parcel: &Parcel) -> Result<(), CourierFault>;
}

/// Where parcels are put. What was put and lies there can be read again, and removed.
pub trait Sink: Source {
    /// Puts a parcel; an earlier one of that name is replaced, whole or not at all.
    fn put(&mut self, name: &str, bytes: &[u8]) -> Result<(), CourierFault>;

    /// Ends when all that was put is as safe as this way makes it: on the medium, or given to the command.
    fn flush(&mut self) -> Result<(), CourierFault>;
}

/// Both directions of one way to one peer.
pub trait Courier {
    /// Looks whether the way is there at all.
    fn open(&mut self) -> Result<(), CourierFault>;

    /// What comes from the peer.
    fn incoming(&mut self) -> &mut dyn Source;

    /// What goes to it.
    fn outgoing(&mut self) -> &mut dyn Sink;

    /// The largest parcel that is to be put, in bytes.
    fn parcel_bytes_max(&self) -> u64;

    /// How many bytes may be put before they are flushed; none: as many as there is room for.
    fn batch_bytes_max(&self) -> Option<u64> {
        None
    }

    /// Whether what was put stays to be seen until it is removed. If not, it is presumed to be on its way.
    fn keeps(&self) -> bool;
}

/// A parcel that is there. Two that are equal have the same bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Parcel {
    /// Its name.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// When it was last changed, in nanoseconds since 1970, if that is known.
    pub changed_ns: i128,
}

/// Why parcels cannot be put or got.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CourierFault {
    /// The directory is not there.
    #[error("the directory {} is not there", .root.display())]
    NoRoot {
        /// Which.
        root: PathBuf,
    },
    /// It is there, without the file that says that it is the one.
    #[error("the directory {} holds no file {marker}: perhaps what belongs there is not mounted", .root.display())]
    NotMounted {
        /// Which.
        root: PathBuf,
        /// The file's name.
        marker: &'static str,
    },
    /// There is no room left.
    #[error("there is no room left for {}", .path.display())]
    Full {
        /// For what.
        path: PathBuf,
    },
    /// Nothing can be written there.
    #[error("{} cannot be written: {why}", .path.display())]
    ReadOnly {
        /// Where.
        path: PathBuf,
        /// What the system says.
        why: String,
    },
    /// The system fails.
    #[error("{} cannot be used: {why}", .path.display())]
    File {
        /// What.
        path: PathBuf,
        /// What the system says.
        why: String,
    },
    /// The command could not be begun.
    #[error("the command cannot be run: {why}")]
    Unrun {
        /// What the system says.
        why: String,
    },
    /// The command took too long, and was ended.
    #[error("the command did not end within {} s and was stopped{}", .waited.as_secs_f32(), Said(.said))]
    Slow {
        /// How long.
        waited: Duration,
        /// The end of what it wrote to its standard error.
        said: String,
    },
    /// It ended otherwise than well.
    #[error("the command {how}{}", Said(.said))]
    Failed {
        /// How it ended.
        how: String,
        /// The end of what it wrote to its standard error.
        said: String,
    },
    /// It gave more than it may.
    #[error("the command gave more than {limit} bytes and was stopped{}", Said(.said))]
    Flood {
        /// The limit.
        limit: u64,
        /// The end of what it wrote to its standard error.
        said: String,
    },
    /// It gave something else than parcels.
    #[error("what the command gave is not gundb's: after {after} parcels, {why}{}", Said(.said))]
    Rubbish {
        /// How many could be read.
        after: usize,
        /// What is wrong with the next.
        why: String,
        /// The end of what it wrote to its standard error.
        said: String,
    },
    /// More was put than is taken at once.
    #[error("more than {limit} bytes were put at once")]
    TooMuch {
        /// The limit.
        limit: u64,
    },
}

impl CourierFault {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            CourierFault::NotMounted { .. } => Some(
                "Mount it; or, where this is the place, prepare it: gundb peer add does, or an empty file of that name.",
            ),
            CourierFault::NoRoot { .. } => Some("Make the directory, or mount what belongs there."),
            CourierFault::Full { .. } => {
                Some("What the other side has confirmed is removed by itself: bring it there, or make room.")
            }
            CourierFault::Slow { .. } => Some("Give it more time by the peer's setting timeout."),
            _ => None,
        }
    }

    /// What a failure of the system at a file means.
    pub fn of(path: &Path, error: &std::io::Error) -> CourierFault {
        let path = path.to_owned();
        match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => CourierFault::Full { path },
            std::io::ErrorKind::ReadOnlyFilesystem | std::io::ErrorKind::PermissionDenied => {
                CourierFault::ReadOnly { path, why: error.to_string() }
            }
            _ => CourierFault::File { path, why: error.to_string() },
        }
    }
}

/// What a command said last, where it said something.
struct Said<'a>(&'a str);

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, "; it said: {}", self.0) }
    }
}
