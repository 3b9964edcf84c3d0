//! Writing and reading the encodings of values and fold states: LEB128, counted texts, and one error for all of them.
//!
//! What must always hold here: one value has one encoding, so whatever could be written in two ways is refused in the other; and no length or count that
//! was read is believed before the bytes that it promises are there.

use uuid::Uuid;

use crate::hlc::Hlc;
use crate::id::SEQ_MAX;

/// Why bytes are not what they should be, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}, at byte {offset}")]
pub struct DecodeError {
    /// Where the offending field begins, in bytes from 0.
    pub offset: usize,
    /// What is wrong there.
    pub problem: DecodeProblem,
}

/// What can be wrong with an encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeProblem {
    /// The first byte names a version that this code does not read.
    #[error("version {found} is not one that this code reads")]
    Version {
        /// The version found.
        found: u8,
    },
    /// A byte that names a kind names none.
    #[error("{found} stands for no kind of value here")]
    Kind {
        /// The byte found.
        found: u8,
    },
    /// The value is of another kind than the one asked for.
    #[error("the value is a {found}, not a {expected}")]
    OtherKind {
        /// What was asked for.
        expected: &'static str,
        /// What there is.
        found: &'static str,
    },
    /// The bytes end before what they promise.
    #[error("the bytes end too early")]
    Truncated,
    /// Bytes follow the value.
    #[error("bytes follow the value")]
    Trailing,
    /// Entries that do not strictly ascend, or that one entry should say.
    #[error("the entries do not ascend")]
    Order,
    /// An integer that is padded or out of range.
    #[error("an integer is padded or out of range")]
    Integer,
    /// A text that is not UTF-8, has a NUL, or is not in its one canonical form.
    #[error("a text is not in its canonical form")]
    Text,
    /// What is written could not have come about, or has a shorter form.
    #[error("the value is not one that any history leads to")]
    Impossible,
    /// More bytes than a value may have.
    #[error("the value is longer than {limit_bytes} bytes")]
    TooLarge {
        /// The limit.
        limit_bytes: usize,
    },
}

/// Most bytes of one encoded value: what `gundb.max_event_size` is by default.
pub(crate) const VALUE_BYTES_MAX: usize = 64 << 20;

pub(crate) fn put_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

pub(crate) fn put_text(bytes: &mut Vec<u8>, text: &str) {
    put_varint(bytes, text.len() as u64);
    bytes.extend_from_slice(text.as_bytes());
}

pub(crate) fn put_hlc(bytes: &mut Vec<u8>, hlc: Hlc) {
    bytes.extend_from_slice(&hlc.to_bits().to_be_bytes());
}

/// The last of a sequence that must strictly ascend.
pub(crate) struct Ascending<T>(Option<T>);

impl<T> Ascending<T> {
    pub(crate) fn new() -> Ascending<T> {
        Ascending(None)
    }
}

impl<T: Ord + Clone> Ascending<T> {
    pub(crate) fn take(&mut self, next: T, offset: usize) -> Result<T, DecodeError> {
        let ascends = self.0.as_ref().is_none_or(|last| *last < next);
        self.0 = Some(next.clone());
        let problem = DecodeProblem::Order;
        if ascends { Ok(next) } else { Err(DecodeError { offset, problem }) }
    }
}

/// Reads one encoded value, front to back.
pub struct Reader<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    /// A reader of one whole value.
    pub(crate) fn new(bytes: &'a [u8]) -> Result<Reader<'a>, DecodeError> {
        let reader = Reader { bytes, offset: 0 };
        if bytes.len() > VALUE_BYTES_MAX {
            return Err(reader.error(DecodeProblem::TooLarge { limit_bytes: VALUE_BYTES_MAX }));
        }
        Ok(reader)
    }

    pub(crate) fn offset(&self) -> usize {
        self.offset
    }

    pub(crate) fn error(&self, problem: DecodeProblem) -> DecodeError {
        DecodeError { offset: self.offset, problem }
    }

    pub(crate) fn error_at(offset: usize, problem: DecodeProblem) -> DecodeError {
        DecodeError { offset, problem }
    }

    pub(crate) fn version(&mut self, expected: u8) -> Result<(), DecodeError> {
        match self.byte()? {
            found if found == expected => Ok(()),
            found => Err(Reader::error_at(0, DecodeProblem::Version { found })),
        }
    }

    pub(crate) fn byte(&mut self) -> Result<u8, DecodeError> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let rest = self.bytes.get(self.offset..).unwrap_or_default();
        let array = rest.first_chunk().ok_or(self.error(DecodeProblem::Truncated))?;
        self.offset += N;
        Ok(*array)
    }

    pub(crate) fn uuid(&mut self) -> Result<Uuid, DecodeError> {
        Ok(Uuid::from_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, DecodeError> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    pub(crate) fn hlc(&mut self) -> Result<Hlc, DecodeError> {
        let offset = self.offset;
        Hlc::from_bits(self.u64()?).ok_or(Reader::error_at(offset, DecodeProblem::Integer))
    }

    /// A boolean: 0 or 1.
    pub(crate) fn bool(&mut self) -> Result<bool, DecodeError> {
        let offset = self.offset;
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Reader::error_at(offset, DecodeProblem::Integer)),
        }
    }

    /// LEB128 of at most 64 bits, refused where it is longer than it must be.
    pub(crate) fn varint(&mut self) -> Result<u64, DecodeError> {
        let offset = self.offset;
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            let fits = bits << shift >> shift == bits;
            let padded = byte == 0 && shift > 0;
            if !fits || padded {
                break;
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Reader::error_at(offset, DecodeProblem::Integer))
    }

    /// A number of events: of no key are there more than a lane can hold, so that counting on cannot overflow.
    pub(crate) fn events(&mut self) -> Result<u64, DecodeError> {
        let offset = self.offset;
        match self.varint()? {
            events @ 0..=SEQ_MAX => Ok(events),
            _ => Err(Reader::error_at(offset, DecodeProblem::Impossible)),
        }
    }

    /// LEB128 that is not zero.
    pub(crate) fn positive(&mut self) -> Result<u64, DecodeError> {
        let offset = self.offset;
        match self.varint()? {
            0 => Err(Reader::error_at(offset, DecodeProblem::Integer)),
            value => Ok(value),
        }
    }

    /// How many entries follow: no more than the bytes that are left can hold.
    pub(crate) fn count(&mut self, entry_bytes_min: usize) -> Result<usize, DecodeError> {
        let count = self.varint()?;
        let left = self.bytes.len().saturating_sub(self.offset);
        match usize::try_from(count) {
            Ok(count) if count <= left / entry_bytes_min.max(1) => Ok(count),
            _ => Err(Reader::error_at(self.bytes.len(), DecodeProblem::Truncated)),
        }
    }

    /// Counted bytes.
    pub(crate) fn counted(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = self.count(1)?;
        let bytes = self.bytes.get(self.offset..self.offset + length);
        let bytes = bytes.ok_or(self.error(DecodeProblem::Truncated))?;
        self.offset += length;
        Ok(bytes)
    }

    /// A counted text without NUL.
    pub(crate) fn text(&mut self) -> Result<&'a str, DecodeError> {
        let offset = self.offset;
        let bytes = self.counted()?;
        let text = std::str::from_utf8(bytes).ok().filter(|text| !text.contains('\0'));
        text.ok_or(Reader::error_at(offset, DecodeProblem::Text))
    }

    pub(crate) fn end(&self) -> Result<(), DecodeError> {
        if self.offset < self.bytes.len() { Err(self.error(DecodeProblem::Trailing)) } else { Ok(()) }
    }
}
