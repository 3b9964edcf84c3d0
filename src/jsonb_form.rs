//! Forms PostgreSQL's binary jsonb of a canonical text, without its parser: an applied event's text has been found canonical
//! already, so its keys are sorted and its numbers bear no exponents.
//!
//! Documents as most are: objects and arrays of some KB, a few levels deep, strings without escapes, numbers of some digits.
//! For all others there is `jsonb_in`. In builds with debug assertions each is held against what that makes.
//!
//! Safe code over bytes; the layout is that of `jsonb_util.c` and `numeric.c` (unchanged from 9.4 to 18).

/// Larger texts, and deeper ones, are left to `jsonb_in`: an object's text is walked through once more for each level above.
const BYTES_MAX: usize = 16 << 10;
const DEPTH_MAX: usize = 8;
/// Digits of a number, before and after the point.
const DIGITS_MAX: usize = 40;

const OBJECT: u32 = 0x2000_0000;
const ARRAY: u32 = 0x4000_0000;
const IS_STRING: u32 = 0x0000_0000;
const IS_NUMERIC: u32 = 0x1000_0000;
const IS_FALSE: u32 = 0x2000_0000;
const IS_TRUE: u32 = 0x3000_0000;
const IS_NULL: u32 = 0x4000_0000;
const IS_CONTAINER: u32 = 0x5000_0000;
const LENGTH: u32 = 0x0FFF_FFFF;
const HAS_OFFSET: u32 = 0x8000_0000;
/// Every so many entries tell their end instead of their length.
const STRIDE: usize = 32;

/// Appends the jsonb (what follows its varlena header) of a canonical text. None, and nothing of meaning appended: it is one for
/// `jsonb_in`.
pub fn form(text: &str, out: &mut Vec<u8>) -> Option<()> {
    let bytes = text.as_bytes();
    if bytes.len() > BYTES_MAX || !matches!(bytes.first(), Some(b'{' | b'[')) {
        return None;
    }
    let mut former = Former { text: bytes, at: 0, base: out.len() };
    former.container(out, 0)?;
    (former.at == bytes.len()).then_some(())
}

struct Former<'a> {
    text: &'a [u8],
    at: usize,
    /// Where the value begins: what is aligned is so from there.
    base: usize,
}

impl<'a> Former<'a> {
    fn take(&mut self, expected: &[u8]) -> Option<()> {
        self.text.get(self.at..)?.starts_with(expected).then(|| self.at += expected.len())
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn align(&self, out: &mut Vec<u8>) -> usize {
        let padding = (out.len() - self.base).next_multiple_of(4) - (out.len() - self.base);
        out.resize(out.len() + padding, 0);
        padding
    }

    /// A container, its padding included; returns its entry.
    fn container(&mut self, out: &mut Vec<u8>, depth: usize) -> Option<u32> {
        if depth > DEPTH_MAX {
            return None;
        }
        let start = out.len();
        self.align(out);
        let is_object = self.peek()? == b'{';
        let close = if is_object { b'}' } else { b']' };
        self.at += 1;
        let keys = if is_object { self.keys()? } else { Vec::new() };
        let count = if is_object { keys.len() } else { self.count()? };
        let flag = if is_object { OBJECT } else { ARRAY };
        out.extend_from_slice(&(count as u32 | flag).to_ne_bytes());
        let mut entries = Entries { at: out.len(), index: 0, total: 0 };
        out.resize(out.len() + 4 * if is_object { 2 * count } else { count }, 0);
        for key in &keys {
            out.extend_from_slice(key);
            entries.put(out, IS_STRING, key.len());
        }
        for place in 0..count {
            if place > 0 {
                self.take(b", ")?;
            }
            if is_object {
                self.at += keys.get(place)?.len() + 2;
                self.take(b": ")?;
            }
            let before = out.len();
            let kind = self.value(out, depth)?;
            let length = out.len() - before;
            entries.put(out, kind, length);
        }
        (self.peek()? == close).then(|| self.at += 1)?;
        u32::try_from(out.len() - start).ok().filter(|length| *length <= LENGTH)
    }

    /// Appends a value, its padding included; returns its kind.
    fn value(&mut self, out: &mut Vec<u8>, depth: usize) -> Option<u32> {
        match self.peek()? {
            b'"' => {
                out.extend_from_slice(self.string()?);
                Some(IS_STRING)
            }
            b'{' | b'[' => self.container(out, depth + 1).map(|_| IS_CONTAINER),
            b't' => self.take(b"true").map(|()| IS_TRUE),
            b'f' => self.take(b"false").map(|()| IS_FALSE),
            b'n' => self.take(b"null").map(|()| IS_NULL),
            _ => {
                self.align(out);
                self.number(out)?;
                Some(IS_NUMERIC)
            }
        }
    }

    /// The bytes of a string without escapes.
    fn string(&mut self) -> Option<&'a [u8]> {
        let rest = self.text.get(self.at + 1..)?;
        let end = rest.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
        (rest.get(end) == Some(&b'"')).then(|| {
            self.at += end + 2;
            rest.get(..end)
        })?
    }

    /// The keys of an object whose members begin here; where it stands stays.
    fn keys(&mut self) -> Option<Vec<&'a [u8]>> {
        let (begin, mut keys) = (self.at, Vec::new());
        if self.peek()? != b'}' {
            loop {
                keys.push(self.string()?);
                self.take(b": ")?;
                self.skip()?;
                if self.take(b", ").is_none() {
                    break;
                }
            }
        }
        self.at = begin;
        Some(keys)
    }

    /// How many elements an array has whose first begins here; where it stands stays.
    fn count(&mut self) -> Option<usize> {
        let (begin, mut count) = (self.at, 0);
        if self.peek()? != b']' {
            loop {
                self.skip()?;
                count += 1;
                if self.take(b", ").is_none() {
                    break;
                }
            }
        }
        self.at = begin;
        Some(count)
    }

    /// Passes a value.
    fn skip(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            match self.peek()? {
                b'"' => drop(self.string()?),
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    depth = depth.checked_sub(1)?;
                    self.at += 1;
                }
                _ if depth > 0 => self.at += 1,
                _ => {
                    let rest = self.text.get(self.at..)?;
                    self.at += rest.iter().position(|byte| matches!(byte, b',' | b'}' | b']'))?;
                }
            }
            if depth == 0 {
                return Some(());
            }
        }
    }

    /// Appends a numeric, with its varlena header. Digits are base 10,000.
    fn number(&mut self, out: &mut Vec<u8>) -> Option<()> {
        let rest = self.text.get(self.at..)?;
        let end = rest.iter().position(|byte| matches!(byte, b',' | b'}' | b']')).unwrap_or(rest.len());
        let token = rest.get(..end)?;
        self.at += end;
        let (negative, digits) = token.strip_prefix(b"-").map_or((false, token), |digits| (true, digits));
        let point = digits.iter().position(|byte| *byte == b'.');
        let (whole, fraction) = match point {
            Some(point) => (digits.get(..point)?, digits.get(point + 1..)?),
            None => (digits, &[] as &[u8]),
        };
        let all_digits = whole.iter().chain(fraction).all(u8::is_ascii_digit);
        if !all_digits || whole.is_empty() || whole.len() + fraction.len() > DIGITS_MAX {
            return None;
        }
        let mut groups = [0_u16; DIGITS_MAX / 4 + 2];
        let whole_groups = whole.len().div_ceil(4);
        let mut place = 4 * whole_groups - whole.len();
        for digit in whole.iter().chain(fraction) {
            let group = groups.get_mut(place / 4)?;
            *group += u16::from(digit - b'0') * [1000, 100, 10, 1][place % 4];
            place += 1;
        }
        let groups = groups.get(..place.div_ceil(4))?;
        let leading = groups.iter().take_while(|group| **group == 0).count();
        let groups = groups.get(leading..)?;
        let trailing = groups.iter().rev().take_while(|group| **group == 0).count();
        let groups = groups.get(..groups.len() - trailing)?;
        let weight = if groups.is_empty() { 0 } else { whole_groups as i16 - 1 - leading as i16 };
        let sign = if negative && !groups.is_empty() { 0x2000 } else { 0 };
        let weight = (weight & 0x3F) as u16 | if weight < 0 { 0x40 } else { 0 };
        let header = 0x8000 | sign | (fraction.len() as u16) << 7 | weight;
        let size = (4 + 2 + 2 * groups.len()) as u32;
        let size = if cfg!(target_endian = "little") { size << 2 } else { size };
        out.extend_from_slice(&size.to_ne_bytes());
        out.extend_from_slice(&header.to_ne_bytes());
        groups.iter().for_each(|group| out.extend_from_slice(&group.to_ne_bytes()));
        Some(())
    }
}

/// The entries of a container, which stand before its data.
struct Entries {
    at: usize,
    index: usize,
    total: usize,
}

impl Entries {
    fn put(&mut self, out: &mut [u8], kind: u32, length: usize) {
        self.total += length;
        let told = if self.index.is_multiple_of(STRIDE) { self.total as u32 | HAS_OFFSET } else { length as u32 };
        let place = self.at + 4 * self.index;
        if let Some(entry) = out.get_mut(place..place + 4) {
            entry.copy_from_slice(&(kind | told).to_ne_bytes());
        }
        self.index += 1;
    }
}
