//! What went wrong, and what to do: one error for the store, the views and the command line.
//!
//! What must always hold here: a kind has one exit code, and never another; both are in `docs/edge.md`.

use std::fmt;

use gundb_core::store::{SessionError, StoreError};

/// The result of anything that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of thing went wrong. Its number is the exit code of the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// What was to be checked or compared is not as it should be.
    Differs = 1,
    /// The command cannot be understood.
    Usage = 2,
    /// There is no such store, stream, view, key or event.
    NotFound = 3,
    /// What was given does not fit: JSON, a schema, a name, a definition.
    Invalid = 4,
    /// It is there already and is otherwise: an id, a version, a definition; or a dependency is not there.
    Conflict = 5,
    /// Another process has the store.
    Busy = 6,
    /// The disk or the system did not do what it was asked.
    Storage = 7,
    /// The store, or a bundle, is damaged.
    Damaged = 8,
}

/// All kinds, with what `docs/edge.md` says of them.
pub const KINDS: [(Kind, &str); 8] = [
    (Kind::Differs, "what was checked or compared differs, or something was refused"),
    (Kind::Usage, "the command line cannot be understood"),
    (Kind::NotFound, "no such store, stream, view, key or event"),
    (Kind::Invalid, "what was given does not fit: JSON, schema, name, definition"),
    (Kind::Conflict, "an id, a version or a definition is there already and is otherwise; or a dependency is missing"),
    (Kind::Busy, "another process has the store"),
    (Kind::Storage, "the disk or the system failed: full, read-only, no permission"),
    (Kind::Damaged, "the store or a bundle is damaged"),
];

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// Of what kind it is.
    pub kind: Kind,
    /// What is the matter, in a sentence without a stop.
    pub message: String,
    /// What can be done.
    pub hint: Option<String>,
    /// What PostgreSQL calls it, where it said so: the five characters of the SQLSTATE.
    pub sqlstate: Option<String>,
}

impl Error {
    /// An error of a kind.
    pub fn new(kind: Kind, message: impl Into<String>) -> Error {
        Error { kind, message: message.into(), hint: None, sqlstate: None }
    }

    /// With what can be done.
    pub fn hint(self, hint: impl Into<String>) -> Error {
        Error { hint: Some(hint.into()), ..self }
    }

    /// Something in the store that this program never writes.
    pub fn damaged(what: impl fmt::Display) -> Error {
        Error::new(Kind::Damaged, format!("the store is damaged: {what}"))
            .hint("Keep the file. Begin a new store beside it, and let its peers bring back what this site had sent.")
    }

    /// Whether the same may do later, as when a disk was full.
    pub fn is_transient(&self) -> bool {
        matches!(self.kind, Kind::Busy | Kind::Storage)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl From<Error> for StoreError {
    fn from(error: Error) -> StoreError {
        if error.is_transient() { StoreError::Unavailable(error.into()) } else { StoreError::Broken(error.into()) }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Error {
        let (kind, cause) = match error {
            StoreError::Unavailable(cause) => (Kind::Storage, cause),
            StoreError::Broken(cause) => (Kind::Damaged, cause),
        };
        // What began as one of ours is one of ours.
        cause.downcast::<Error>().map_or_else(|cause| Error::new(kind, cause.to_string()), |error| *error)
    }
}

impl From<SessionError> for Error {
    fn from(error: SessionError) -> Error {
        match error {
            SessionError::Store(error) => error.into(),
            SessionError::Malformed(why) => Error::new(Kind::Damaged, format!("this is no bundle of gundb's: {why}")),
            other => Error::new(Kind::Invalid, other.to_string()),
        }
    }
}

impl From<redb::Error> for Error {
    fn from(error: redb::Error) -> Error {
        match error {
            redb::Error::DatabaseAlreadyOpen => Error::new(Kind::Busy, "another process has the store open")
                .hint("One process at a time opens a store to write. Stop the other, or ask it."),
            redb::Error::Corrupted(why) => Error::damaged(why),
            redb::Error::UpgradeRequired(version) => Error::new(
                Kind::Damaged,
                format!("the store's file has format {version} of redb, which is not read any more"),
            ),
            redb::Error::PreviousIo => Error::new(Kind::Storage, "the disk failed before, and the store was closed")
                .hint("Free some space, or mend the disk; then open the store again."),
            redb::Error::Io(error) => error.into(),
            other => Error::new(Kind::Storage, other.to_string()),
        }
    }
}

macro_rules! from_redb {
    ($($error:ident),*) => {
        $(impl From<redb::$error> for Error {
            fn from(error: redb::$error) -> Error {
                redb::Error::from(error).into()
            }
        })*
    };
}

from_redb!(DatabaseError, TransactionError, TableError, StorageError, CommitError, SetDurabilityError, CompactionError);

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Error {
        use std::io::ErrorKind;
        let hint = match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "Free some space. What was acknowledged is there.",
            ErrorKind::ReadOnlyFilesystem => "The file system is read-only: mount it to be written.",
            ErrorKind::PermissionDenied => "Give the user that runs this the right to read and write the file.",
            ErrorKind::NotFound => return Error::new(Kind::NotFound, error.to_string()),
            ErrorKind::InvalidData => return Error::damaged(error),
            _ => "Look at the system's log.",
        };
        Error::new(Kind::Storage, error.to_string()).hint(hint)
    }
}

impl From<gundb_core::DecodeError> for Error {
    fn from(error: gundb_core::DecodeError) -> Error {
        Error::damaged(error)
    }
}
