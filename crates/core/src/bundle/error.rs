//! Why bytes are not a message.

use crate::bundle::frame::{Kind, VERSION};
use crate::clock::ClockDecodeError;
use crate::sync::filter::FilterError;

/// Why bytes are not a message, in words for whoever runs the site.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The bytes do not begin as a frame does.
    #[error("these bytes are not from gundb: they do not begin with gunb")]
    Magic,
    /// The bytes end before the frame does.
    #[error("the bytes end too early: something of the message is missing")]
    Truncated,
    /// Bytes follow the frame.
    #[error("{bytes} bytes follow the message")]
    Trailing {
        /// How many.
        bytes: usize,
    },
    /// A newer version of the format, or one that never was.
    #[error("the message is of version {found} of the format, and this software reads version {}", VERSION)]
    Version {
        /// The version found.
        found: u8,
    },
    /// A well-formed frame of another kind.
    #[error("this is a {found}, not a {expected}")]
    Kind {
        /// What was asked for.
        expected: Kind,
        /// What there is.
        found: Kind,
    },
    /// A kind of message that this software does not know.
    #[error("the message is of an unknown kind: {found}")]
    UnknownKind {
        /// The kind's number.
        found: u8,
    },
    /// A way to pack a message that this software does not know.
    #[error("the message is packed in an unknown way: its flags are {found:#04x}")]
    Flags {
        /// The flags.
        found: u8,
    },
    /// The bytes were changed on their way.
    #[error("the checksum does not fit: the message was damaged on its way")]
    Checksum,
    /// What was compressed cannot be had back, or is not as long as was said.
    #[error("the message cannot be decompressed: {why}")]
    Compression {
        /// What is wrong.
        why: String,
    },
    /// A text, a message or an event that is longer than its limit.
    #[error("too large: {what} of {found} bytes, and at most {limit} are taken")]
    TooLarge {
        /// What it is.
        what: &'static str,
        /// Its length in bytes.
        found: u64,
        /// The limit.
        limit: u64,
    },
    /// More of something than its limit.
    #[error("too many {what}: more than {limit}")]
    TooMany {
        /// What they are.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// The checksum fits, and the fields are not protobuf, or not of the types that they should be.
    #[error("malformed: {why}")]
    Protobuf {
        /// What is wrong.
        why: String,
    },
    /// A field that says what cannot be.
    #[error("malformed: {field}{} {why}", .entry.map(|entry| format!(", entry {entry},")).unwrap_or_default())]
    Malformed {
        /// Its name, as in `proto/gundb.proto`.
        field: &'static str,
        /// Which entry of a column, from 0.
        entry: Option<usize>,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A field that should be a clock.
    #[error("malformed: {field}: {problem}")]
    Clock {
        /// Its name, as in `proto/gundb.proto`.
        field: &'static str,
        /// What is wrong with it.
        problem: ClockDecodeError,
    },
    /// A field that should be a list of patterns.
    #[error("malformed: {field}: {problem}")]
    Filter {
        /// Its name, as in `proto/gundb.proto`.
        field: &'static str,
        /// What is wrong with it.
        problem: FilterError,
    },
}

impl WireError {
    pub(super) fn malformed(field: &'static str, why: &'static str) -> WireError {
        WireError::Malformed { field, entry: None, why }
    }

    pub(super) fn entry(field: &'static str, entry: usize, why: &'static str) -> WireError {
        WireError::Malformed { field, entry: Some(entry), why }
    }
}
