//! Reads PostgreSQL's binary jsonb and prints its canonical text, counted as it is printed.
//!
//! `jsonb_out` has no limit: 171 bytes of jsonb can print as megabytes. This walker prints through
//! [`gundb_core::json::Printer`], so that the edge node and the extension share one set of printing rules.
//!
//! Code over bytes, safe but for one shortcut: the layout is that of `jsonb.h` and `numeric.c` (unchanged from 9.4 to 18). A malformed
//! value gives [`JsonbError::Malformed`], never a panic.

use gundb_core::json::{Json, Limits, Printer, TooLarge};
use gundb_core::view::{Document, Step};
use std::borrow::Cow;

/// Nested deeper than this is refused: a limit that leaves ample stack.
pub const DEPTH_MAX: usize = 1000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonbError {
    TooLarge,
    TooDeep,
    Malformed,
}

impl From<TooLarge> for JsonbError {
    fn from(_: TooLarge) -> JsonbError {
        JsonbError::TooLarge
    }
}

const COUNT: u32 = 0x0FFF_FFFF;
const SCALAR: u32 = 0x1000_0000;
const OBJECT: u32 = 0x2000_0000;

const ENTRY_TYPE: u32 = 0x7000_0000;
const ENTRY_HAS_OFFSET: u32 = 0x8000_0000;
const IS_STRING: u32 = 0x0000_0000;
const IS_NUMERIC: u32 = 0x1000_0000;
const IS_FALSE: u32 = 0x2000_0000;
const IS_TRUE: u32 = 0x3000_0000;
const IS_NULL: u32 = 0x4000_0000;
const IS_CONTAINER: u32 = 0x5000_0000;

/// Prints the value whose container (what follows the varlena header) is `bytes`.
pub fn print(bytes: &[u8], printer: &mut Printer) -> Result<(), JsonbError> {
    container(bytes, &mut Walk { printer, number: String::new() }, 0)
}

/// Where a walk prints to.
struct Walk<'a> {
    printer: &'a mut Printer,
    /// The number being printed: its memory serves for all.
    number: String,
}

/// A jsonb (what follows its varlena header) that paths lead into, of which only what they lead to is read.
#[derive(Debug)]
pub struct Binary<'a>(pub &'a [u8]);

impl Document for Binary<'_> {
    /// A damaged value leads nowhere; `verify` finds it.
    fn at(&self, steps: &[Step]) -> Option<Cow<'_, Json>> {
        let mut kind = IS_CONTAINER;
        let mut value = self.0;
        if word(value, 0).ok()? & SCALAR != 0 {
            (kind, value) = element(value, 0)?;
        }
        for step in steps {
            if kind != IS_CONTAINER {
                return None;
            }
            (kind, value) = match step {
                Step::Name(name) => member(value, name)?,
                Step::Index(index) => element(value, *index as usize)?,
            };
        }
        leaf(kind, value).map(Cow::Owned)
    }
}

/// The value of a key of an object. Keys ascend by length, then by bytes.
fn member<'a>(bytes: &'a [u8], name: &str) -> Option<(u32, &'a [u8])> {
    let header = word(bytes, 0).ok()?;
    if header & OBJECT == 0 {
        return None;
    }
    let count = (header & COUNT) as usize;
    let mut entries = Entries { bytes, data: 4 + 8 * count, index: 0, start: 0 };
    let mut found = None;
    for index in 0..count {
        let (_, key) = entries.next().ok()?;
        if key == name.as_bytes() {
            found = Some(index);
        }
    }
    for _ in 0..found? {
        entries.next().ok()?;
    }
    entries.next().ok()
}

/// An element of an array.
fn element(bytes: &[u8], index: usize) -> Option<(u32, &[u8])> {
    let header = word(bytes, 0).ok()?;
    let count = (header & COUNT) as usize;
    if header & OBJECT != 0 || index >= count {
        return None;
    }
    let mut entries = Entries { bytes, data: 4 + 4 * count, index: 0, start: 0 };
    for _ in 0..index {
        entries.next().ok()?;
    }
    entries.next().ok()
}

fn leaf(kind: u32, value: &[u8]) -> Option<Json> {
    match kind {
        IS_STRING => Some(Json::String(utf8(value).ok()?.to_owned())),
        IS_FALSE => Some(Json::Bool(false)),
        IS_TRUE => Some(Json::Bool(true)),
        IS_NULL => Some(Json::Null),
        _ => {
            let mut printer = Printer::new(usize::MAX);
            let mut walk = Walk { printer: &mut printer, number: String::new() };
            scalar(kind, value, &mut walk, 0).ok()?;
            Json::parse(printer.as_str(), Limits { depth: DEPTH_MAX + 1, bytes: usize::MAX }).ok()
        }
    }
}

/// Whether the value is an object.
pub fn is_object(bytes: &[u8]) -> bool {
    word(bytes, 0).is_ok_and(|header| header & OBJECT != 0)
}

/// Whether the value is the empty object.
pub fn is_empty_object(bytes: &[u8]) -> bool {
    word(bytes, 0).is_ok_and(|header| header == OBJECT)
}

fn word(bytes: &[u8], at: usize) -> Result<u32, JsonbError> {
    let raw = bytes.get(at..at + 4).ok_or(JsonbError::Malformed)?;
    Ok(u32::from_ne_bytes([raw[0], raw[1], raw[2], raw[3]]))
}

/// Walks entries in order: most give their length, every 32nd its end.
struct Entries<'a> {
    bytes: &'a [u8],
    data: usize,
    index: usize,
    start: usize,
}

impl<'a> Entries<'a> {
    /// The next entry: its kind, and its bytes with the padding that aligns numbers and containers taken off.
    fn next(&mut self) -> Result<(u32, &'a [u8]), JsonbError> {
        let entry = word(self.bytes, 4 + 4 * self.index)?;
        let value = (entry & COUNT) as usize;
        let end = if entry & ENTRY_HAS_OFFSET != 0 { value } else { self.start + value };
        let kind = entry & ENTRY_TYPE;
        let start = if matches!(kind, IS_NUMERIC | IS_CONTAINER) { self.start.next_multiple_of(4) } else { self.start };
        let slice = self.bytes.get(self.data + start..self.data + end).ok_or(JsonbError::Malformed)?;
        self.index += 1;
        self.start = end;
        Ok((kind, slice))
    }
}

fn container(bytes: &[u8], walk: &mut Walk<'_>, depth: usize) -> Result<(), JsonbError> {
    if depth > DEPTH_MAX {
        return Err(JsonbError::TooDeep);
    }
    let header = word(bytes, 0)?;
    let count = (header & COUNT) as usize;
    if header & OBJECT != 0 {
        let data = 4 + 8 * count;
        let mut keys = Entries { bytes, data, index: 0, start: 0 };
        let mut values = Entries { bytes, data, index: 0, start: 0 };
        for _ in 0..count {
            values.next()?;
        }
        walk.printer.begin_object()?;
        for _ in 0..count {
            let (kind, key) = keys.next()?;
            if kind != IS_STRING {
                return Err(JsonbError::Malformed);
            }
            walk.printer.key(utf8(key)?)?;
            let (kind, value) = values.next()?;
            scalar(kind, value, walk, depth)?;
        }
        walk.printer.end_object()?;
    } else {
        let mut elements = Entries { bytes, data: 4 + 4 * count, index: 0, start: 0 };
        if header & SCALAR != 0 {
            let (kind, value) = elements.next()?;
            return scalar(kind, value, walk, depth);
        }
        walk.printer.begin_array()?;
        for _ in 0..count {
            let (kind, value) = elements.next()?;
            scalar(kind, value, walk, depth)?;
        }
        walk.printer.end_array()?;
    }
    Ok(())
}

fn scalar(kind: u32, value: &[u8], walk: &mut Walk<'_>, depth: usize) -> Result<(), JsonbError> {
    match kind {
        IS_STRING => walk.printer.string(utf8(value)?)?,
        IS_NUMERIC => {
            walk.number.clear();
            numeric(value, &mut walk.number)?;
            walk.printer.number(&walk.number)?;
        }
        IS_FALSE => walk.printer.bool(false)?,
        IS_TRUE => walk.printer.bool(true)?,
        IS_NULL => walk.printer.null()?,
        IS_CONTAINER => container(value, walk, depth + 1)?,
        _ => return Err(JsonbError::Malformed),
    }
    Ok(())
}

/// A text of a jsonb. Short ASCII, as most are, is told by words; the rest is checked, should a page be damaged.
#[inline]
fn utf8(bytes: &[u8]) -> Result<&str, JsonbError> {
    if bytes.len() <= 64 && bytes.is_ascii() {
        // SAFETY: ASCII is UTF-8.
        return Ok(unsafe { core::str::from_utf8_unchecked(bytes) });
    }
    core::str::from_utf8(bytes).map_err(|_| JsonbError::Malformed)
}

/// Prints a numeric (with its varlena header) as `numeric_out` does. Digits are base 10,000.
fn numeric(bytes: &[u8], out: &mut String) -> Result<(), JsonbError> {
    let first = *bytes.first().ok_or(JsonbError::Malformed)?;
    // A short varlena header has its low bit set (little-endian) or its high bit (big-endian).
    let short = if cfg!(target_endian = "little") { first & 1 == 1 } else { first & 0x80 != 0 };
    let body = bytes.get(if short { 1 } else { 4 }..).ok_or(JsonbError::Malformed)?;
    let half = |i: usize| -> Result<u16, JsonbError> {
        let raw = body.get(2 * i..2 * i + 2).ok_or(JsonbError::Malformed)?;
        Ok(u16::from_ne_bytes([raw[0], raw[1]]))
    };
    let header = half(0)?;
    let (negative, scale, weight, digits_at) = match header & 0xC000 {
        0x8000 => {
            let weight = i32::from(header & 0x3F) - if header & 0x40 != 0 { 0x40 } else { 0 };
            (header & 0x2000 != 0, usize::from((header & 0x1F80) >> 7), weight, 1)
        }
        0xC000 => return Err(JsonbError::Malformed),
        sign => (sign == 0x4000, usize::from(header & 0x3FFF), i32::from(half(1)? as i16), 2),
    };
    let count = (body.len() / 2).saturating_sub(digits_at) as i32;
    let digit =
        |i: i32| -> Result<u16, JsonbError> { if i < 0 || i >= count { Ok(0) } else { half(digits_at + i as usize) } };
    if negative {
        out.push('-');
    }
    if weight < 0 {
        out.push('0');
    }
    for i in 0..=weight {
        let value = digit(i)?;
        if i == 0 {
            let digits = if value < 10 {
                1
            } else if value < 100 {
                2
            } else if value < 1000 {
                3
            } else {
                4
            };
            four(value * [1000, 100, 10, 1][digits - 1], digits, out);
        } else {
            four(value, 4, out);
        }
    }
    if scale > 0 {
        out.push('.');
        let mut left = scale;
        let mut i = weight + 1;
        while left > 0 {
            let take = left.min(4);
            four(digit(i)?, take, out);
            left -= take;
            i += 1;
        }
    }
    Ok(())
}

/// The first `take` of a base-10,000 digit's four decimal digits.
fn four(value: u16, take: usize, out: &mut String) {
    let decimal = |divisor: u16| b'0' + (value / divisor % 10) as u8;
    let digits = [decimal(1000), decimal(100), decimal(10), decimal(1)];
    out.push_str(core::str::from_utf8(&digits[..take]).unwrap_or_default());
}
