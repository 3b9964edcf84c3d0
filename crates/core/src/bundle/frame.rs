//! What stands around each message: magic, version, kind, lengths and a checksum (`docs/format.md`).
//!
//! What must always hold here: nothing of a message is looked at before its checksum fits, and nothing is decompressed beyond the length that was declared and
//! found to be allowed.

use std::fmt;

use prost::bytes::Bytes;

use crate::bundle::{WireError, WireLimits};
use crate::chain::half;

/// The version of the frame and of all that is in it.
pub const VERSION: u8 = 1;

const MAGIC: &[u8; 4] = b"gunb";
const FLAG_ZSTD: u8 = 1;
const CHECKSUM_BYTES: usize = 16;

/// Below this a message is sent as it is: the compressor costs more than it saves.
const COMPRESSED_BYTES_MIN: usize = 256;

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Events.
    Bundle,
    /// How a session begins.
    Hello,
    /// What became of a bundle.
    Receipt,
    /// What a peer is asked to compare.
    Question,
    /// What it answers.
    Answer,
}

impl Kind {
    fn number(self) -> u8 {
        match self {
            Kind::Bundle => 1,
            Kind::Hello => 2,
            Kind::Receipt => 3,
            Kind::Question => 4,
            Kind::Answer => 5,
        }
    }

    fn of_number(number: u8) -> Option<Kind> {
        let kinds = [Kind::Bundle, Kind::Hello, Kind::Receipt, Kind::Question, Kind::Answer];
        kinds.into_iter().find(|kind| kind.number() == number)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Bundle => "bundle",
            Kind::Hello => "hello",
            Kind::Receipt => "receipt",
            Kind::Question => "question",
            Kind::Answer => "answer",
        })
    }
}

/// A frame whose fields were read, and whose checksum was not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What it holds.
    pub kind: Kind,
    /// The message's length before compression.
    pub bytes: u64,
    /// Whether it is compressed.
    pub compressed: bool,
    payload: &'a [u8],
    checked: &'a [u8],
    checksum: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Reads what stands around a message. O(1).
    pub fn read(bytes: &'a [u8]) -> Result<Frame<'a>, WireError> {
        let whole = bytes;
        let (magic, rest) = bytes.split_at_checked(MAGIC.len()).ok_or(match MAGIC.starts_with(bytes) {
            true => WireError::Truncated,
            false => WireError::Magic,
        })?;
        if magic != MAGIC {
            return Err(WireError::Magic);
        }
        let ([version], rest) = rest.split_first_chunk::<1>().ok_or(WireError::Truncated)?;
        if *version != VERSION {
            return Err(WireError::Version { found: *version });
        }
        let ([kind, flags], rest) = rest.split_first_chunk::<2>().ok_or(WireError::Truncated)?;
        let kind = Kind::of_number(*kind).ok_or(WireError::UnknownKind { found: *kind })?;
        if flags & !FLAG_ZSTD != 0 {
            return Err(WireError::Flags { found: *flags });
        }
        let compressed = flags & FLAG_ZSTD != 0;
        let (length, rest) = varint(rest)?;
        let (bytes, rest) = if compressed { varint(rest)? } else { (length, rest) };
        let length = usize::try_from(length).map_err(|_| WireError::Truncated)?;
        let (payload, rest) = rest.split_at_checked(length).ok_or(WireError::Truncated)?;
        let (checksum, rest) = rest.split_at_checked(CHECKSUM_BYTES).ok_or(WireError::Truncated)?;
        if !rest.is_empty() {
            return Err(WireError::Trailing { bytes: rest.len() });
        }
        let checked = whole.get(..whole.len() - CHECKSUM_BYTES).ok_or(WireError::Truncated)?;
        Ok(Frame { kind, bytes, compressed, payload, checked, checksum })
    }

    /// How long the frame is that these bytes begin with, where several follow each other: none while too few of them are there to say. O(1).
    pub fn length(bytes: &[u8]) -> Result<Option<u64>, WireError> {
        let read = || {
            let (magic, rest) = bytes.split_at_checked(MAGIC.len()).ok_or(match MAGIC.starts_with(bytes) {
                true => WireError::Truncated,
                false => WireError::Magic,
            })?;
            if magic != MAGIC {
                return Err(WireError::Magic);
            }
            let ([version, _kind, flags], rest) = rest.split_first_chunk::<3>().ok_or(WireError::Truncated)?;
            if *version != VERSION {
                return Err(WireError::Version { found: *version });
            }
            if flags & !FLAG_ZSTD != 0 {
                return Err(WireError::Flags { found: *flags });
            }
            let (length, rest) = varint(rest)?;
            let rest = if flags & FLAG_ZSTD != 0 { varint(rest)?.1 } else { rest };
            let before = (bytes.len() - rest.len()) as u64;
            Ok(length.saturating_add(before + CHECKSUM_BYTES as u64))
        };
        match read() {
            Ok(length) => Ok(Some(length)),
            Err(WireError::Truncated) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The message, of the kind that was expected. Allocates at most `limits.bytes_max`.
    pub(super) fn open(&self, expected: Kind, limits: &WireLimits) -> Result<Bytes, WireError> {
        let too_large = |found| Err(WireError::TooLarge { what: "a message", found, limit: limits.bytes_max });
        if self.kind != expected {
            return Err(WireError::Kind { expected, found: self.kind });
        }
        if self.bytes > limits.bytes_max {
            return too_large(self.bytes);
        }
        // What grows by being compressed is sent as it is, so the payload is never the longer one.
        if self.payload.len() as u64 > self.bytes {
            return too_large(self.payload.len() as u64);
        }
        if checksum(self.checked) != self.checksum {
            return Err(WireError::Checksum);
        }
        if !self.compressed {
            return Ok(Bytes::copy_from_slice(self.payload));
        }
        let failed = |why: String| WireError::Compression { why };
        let bytes = usize::try_from(self.bytes).map_err(|_| failed("it is too long".into()))?;
        match zstd::bulk::decompress(self.payload, bytes) {
            Ok(message) if message.len() == bytes => Ok(message.into()),
            Ok(message) => Err(failed(format!("it has {} bytes, and {bytes} were declared", message.len()))),
            Err(error) => Err(failed(error.to_string())),
        }
    }
}

/// Frames a message; compressed by zstd at this level where that makes it shorter, and never at level 0.
pub(super) fn seal(kind: Kind, message: &[u8], level: i32) -> Vec<u8> {
    let compressed = match level {
        0 => None,
        _ if message.len() < COMPRESSED_BYTES_MIN => None,
        // A compressor that fails is out of memory: then the message goes as it is.
        level => zstd::bulk::compress(message, level).ok().filter(|compressed| compressed.len() < message.len()),
    };
    let payload = compressed.as_deref().unwrap_or(message);
    let mut frame = Vec::with_capacity(payload.len() + 64);
    frame.extend_from_slice(MAGIC);
    frame.extend_from_slice(&[VERSION, kind.number(), if compressed.is_some() { FLAG_ZSTD } else { 0 }]);
    crate::bytes::put_varint(&mut frame, payload.len() as u64);
    if compressed.is_some() {
        crate::bytes::put_varint(&mut frame, message.len() as u64);
    }
    frame.extend_from_slice(payload);
    frame.extend_from_slice(&checksum(&frame));
    frame
}

/// The first byte of the magic is no domain of the other hashes, so no frame is what any of them hash.
fn checksum(frame: &[u8]) -> [u8; CHECKSUM_BYTES] {
    half(blake3::hash(frame).as_bytes())
}

/// LEB128 of at most 64 bits, and what follows it.
pub(super) fn varint(bytes: &[u8]) -> Result<(u64, &[u8]), WireError> {
    let mut value = 0u64;
    for (at, byte) in bytes.iter().enumerate().take(10) {
        let bits = u64::from(byte & 0x7f);
        let shift = 7 * at as u32;
        if bits << shift >> shift != bits {
            break;
        }
        value |= bits << shift;
        if *byte < 0x80 {
            return Ok((value, bytes.get(at + 1..).unwrap_or_default()));
        }
    }
    Err(if bytes.len() < 10 && bytes.iter().all(|byte| *byte >= 0x80) {
        WireError::Truncated
    } else {
        WireError::malformed("an integer", "has more than 64 bits")
    })
}
