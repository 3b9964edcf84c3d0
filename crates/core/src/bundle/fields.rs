//! Fields of messages as typed values.

use prost::bytes::Bytes;
use uuid::Uuid;

use crate::bundle::{WireError, WireLimits};
use crate::clock::{Clock, ClockDecodeError};
use crate::id::{Run, SiteId};

pub(super) fn bytes_of<const N: usize>(field: &'static str, bytes: &[u8]) -> Result<[u8; N], WireError> {
    bytes.try_into().map_err(|_| WireError::malformed(field, "is of the wrong length"))
}

pub(super) fn site(field: &'static str, bytes: &[u8]) -> Result<SiteId, WireError> {
    Ok(SiteId(Uuid::from_bytes(bytes_of(field, bytes)?)))
}

pub(super) fn run(field: &'static str, number: u64) -> Result<Run, WireError> {
    Run::new(number).ok_or(WireError::malformed(field, "is no run: 1 to 48 bits"))
}

/// Many times 16 bytes.
pub(super) fn sixteens<'a>(field: &'static str, bytes: &'a [u8]) -> Result<&'a [[u8; 16]], WireError> {
    match bytes.as_chunks() {
        (chunks, []) => Ok(chunks),
        _ => Err(WireError::malformed(field, "is not a multiple of 16 bytes long")),
    }
}

/// A text for people.
pub(super) fn text(field: &'static str, text: String, limits: &WireLimits) -> Result<String, WireError> {
    let found = text.len() as u64;
    if found > limits.text_bytes_max {
        return Err(WireError::TooLarge { what: field, found, limit: limits.text_bytes_max });
    }
    if text.contains('\0') {
        return Err(WireError::malformed(field, "has a NUL"));
    }
    Ok(text)
}

/// The clocks of one message, which share a limit.
pub(super) struct Clocks {
    left: usize,
    limit: u64,
}

impl Clocks {
    pub(super) fn new(limits: &WireLimits) -> Clocks {
        let limit = limits.clock_entries_max;
        Clocks { left: usize::try_from(limit).unwrap_or(usize::MAX), limit }
    }

    pub(super) fn read(&mut self, field: &'static str, bytes: &[u8]) -> Result<Clock, WireError> {
        let clock = Clock::decode_within(bytes, self.left).map_err(|problem| match problem {
            ClockDecodeError::TooMany { .. } => WireError::TooMany { what: "entries of clocks", limit: self.limit },
            problem => WireError::Clock { field, problem },
        })?;
        self.left = self.left.saturating_sub(clock.len());
        Ok(clock)
    }
}

/// An integer for each thing; 0 of each where all are left out.
pub(super) struct Column<'a, T> {
    entries: &'a [T],
}

impl<'a, T: Copy + Default> Column<'a, T> {
    pub(super) fn new(field: &'static str, entries: &'a [T], things: usize) -> Result<Column<'a, T>, WireError> {
        if entries.is_empty() || entries.len() == things {
            Ok(Column { entries })
        } else {
            Err(WireError::malformed(field, "has not as many entries as there are things"))
        }
    }

    pub(super) fn get(&self, at: usize) -> T {
        self.entries.get(at).copied().unwrap_or_default()
    }
}

/// Texts one after the other, each with its length elsewhere.
pub(super) struct Texts<'a> {
    field: &'static str,
    rest: &'a str,
}

impl<'a> Texts<'a> {
    pub(super) fn new(field: &'static str, bytes: &'a Bytes) -> Result<Texts<'a>, WireError> {
        let rest = std::str::from_utf8(bytes).map_err(|_| WireError::malformed(field, "is not UTF-8"))?;
        // No text of SQL has one.
        if rest.contains('\0') {
            return Err(WireError::malformed(field, "has a NUL"));
        }
        Ok(Texts { field, rest })
    }

    pub(super) fn take(&mut self, bytes: u32) -> Result<&'a str, WireError> {
        let (text, rest) = usize::try_from(bytes)
            .ok()
            .and_then(|bytes| self.rest.split_at_checked(bytes))
            .ok_or(WireError::malformed(self.field, "has no text of that length"))?;
        self.rest = rest;
        Ok(text)
    }

    pub(super) fn end(&self) -> Result<(), WireError> {
        if self.rest.is_empty() { Ok(()) } else { Err(WireError::malformed(self.field, "is longer than its texts")) }
    }
}
