//! Printing canonical text: byte for byte what PostgreSQL's `jsonb` output prints.
//!
//! What must always hold here: the text never grows past its limit, whatever is printed (171 bytes of jsonb can print as 50 MB), and a string is escaped
//! as PostgreSQL's `escape_json` does. The walker of binary jsonb and [`Json`](super::Json) print through this one type.

/// The text would be longer than its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the JSON text is longer than {limit_bytes} bytes")]
pub struct TooLarge {
    /// The limit, in bytes.
    pub limit_bytes: usize,
}

/// Writes one JSON value token by token, with the separators that jsonb prints (`", "` and `": "`).
///
/// The caller gives a well-formed sequence of tokens, keys in jsonb's order; nothing here checks that.
#[derive(Debug, Clone)]
pub struct Printer {
    text: String,
    limit_bytes: usize,
    /// Whether what comes next follows a sibling.
    follows_sibling: bool,
}

impl Printer {
    /// A printer whose text is at most so many bytes long.
    pub fn new(limit_bytes: usize) -> Printer {
        Printer::reusing(String::new(), limit_bytes)
    }

    /// A printer that writes into the memory of a text that is no longer needed.
    pub fn reusing(mut text: String, limit_bytes: usize) -> Printer {
        text.clear();
        Printer { text, limit_bytes, follows_sibling: false }
    }

    /// What has been printed so far.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The text.
    pub fn finish(self) -> String {
        self.text
    }

    /// Prints `null`.
    pub fn null(&mut self) -> Result<(), TooLarge> {
        self.scalar("null")
    }

    /// Prints `true` or `false`.
    pub fn bool(&mut self, value: bool) -> Result<(), TooLarge> {
        self.scalar(if value { "true" } else { "false" })
    }

    /// Prints a number, given as PostgreSQL's `numeric` prints it (see [`Number`](super::Number)).
    pub fn number(&mut self, canonical: &str) -> Result<(), TooLarge> {
        self.scalar(canonical)
    }

    /// Prints a string, escaped.
    pub fn string(&mut self, value: &str) -> Result<(), TooLarge> {
        self.push(if self.follows_sibling { ", \"" } else { "\"" })?;
        self.escaped(value)?;
        self.push("\"")?;
        self.follows_sibling = true;
        Ok(())
    }

    /// Prints the key of the value that comes next.
    pub fn key(&mut self, key: &str) -> Result<(), TooLarge> {
        self.push(if self.follows_sibling { ", \"" } else { "\"" })?;
        self.escaped(key)?;
        self.push("\": ")?;
        self.follows_sibling = false;
        Ok(())
    }

    /// Opens an object.
    pub fn begin_object(&mut self) -> Result<(), TooLarge> {
        self.begin("{")
    }

    /// Closes an object.
    pub fn end_object(&mut self) -> Result<(), TooLarge> {
        self.end("}")
    }

    /// Opens an array.
    pub fn begin_array(&mut self) -> Result<(), TooLarge> {
        self.begin("[")
    }

    /// Closes an array.
    pub fn end_array(&mut self) -> Result<(), TooLarge> {
        self.end("]")
    }

    fn begin(&mut self, bracket: &str) -> Result<(), TooLarge> {
        self.separate()?;
        self.push(bracket)?;
        self.follows_sibling = false;
        Ok(())
    }

    fn end(&mut self, bracket: &str) -> Result<(), TooLarge> {
        self.push(bracket)?;
        self.follows_sibling = true;
        Ok(())
    }

    fn scalar(&mut self, text: &str) -> Result<(), TooLarge> {
        self.separate()?;
        self.push(text)?;
        self.follows_sibling = true;
        Ok(())
    }

    #[inline]
    fn separate(&mut self) -> Result<(), TooLarge> {
        if self.follows_sibling { self.push(", ") } else { Ok(()) }
    }

    #[inline]
    fn push(&mut self, text: &str) -> Result<(), TooLarge> {
        // The text is never longer than the limit, so this cannot wrap.
        if text.len() > self.limit_bytes - self.text.len() {
            return Err(TooLarge { limit_bytes: self.limit_bytes });
        }
        self.text.push_str(text);
        Ok(())
    }

    #[inline]
    fn escaped(&mut self, value: &str) -> Result<(), TooLarge> {
        let mut rest = value;
        while let Some((plain, escaped, after)) = split_at_escape(rest) {
            self.push(plain)?;
            self.escape(escaped)?;
            rest = after;
        }
        self.push(rest)
    }

    fn escape(&mut self, byte: u8) -> Result<(), TooLarge> {
        match byte {
            b'"' => self.push("\\\""),
            b'\\' => self.push("\\\\"),
            0x08 => self.push("\\b"),
            0x0c => self.push("\\f"),
            b'\n' => self.push("\\n"),
            b'\r' => self.push("\\r"),
            b'\t' => self.push("\\t"),
            control => {
                self.push("\\u00")?;
                self.push(if control < 0x10 { "0" } else { "1" })?;
                self.push(HEX_DIGITS.get(usize::from(control & 0xf)).copied().unwrap_or_default())
            }
        }
    }
}

const HEX_DIGITS: [&str; 16] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "a", "b", "c", "d", "e", "f"];

/// The text before the first byte that must be escaped, that byte, and the text after it.
#[inline]
fn split_at_escape(text: &str) -> Option<(&str, u8, &str)> {
    let at = position_of_escape(text.as_bytes())?;
    // What must be escaped is ASCII, so both cuts fall between characters.
    let (plain, rest) = text.split_at_checked(at)?;
    let (escaped, after) = rest.split_at_checked(1)?;
    Some((plain, *escaped.as_bytes().first()?, after))
}

/// Where the first control character, quote or backslash stands. Eight bytes at a time: almost all strings have none.
#[inline]
pub(super) fn position_of_escape(bytes: &[u8]) -> Option<usize> {
    let (words, tail) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let found = below_space(word) | equal_to(word, b'"') | equal_to(word, b'\\');
        if found != 0 {
            return Some(index * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    tail.iter().position(|byte| *byte < b' ' || *byte == b'"' || *byte == b'\\').map(|at| words.len() * 8 + at)
}

// Both set the high bit of the bytes that they look for, exactly up to the lowest one found: a borrow only ever spoils the bytes above it.
const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

#[inline]
const fn below_space(word: u64) -> u64 {
    word.wrapping_sub(ONES * 0x20) & !word & HIGHS
}

#[inline]
const fn equal_to(word: u64, byte: u8) -> u64 {
    let zero_where_equal = word ^ (ONES * byte as u64);
    zero_where_equal.wrapping_sub(ONES) & !zero_where_equal & HIGHS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_escape_search_finds_every_byte_at_every_place() {
        for length in 0..40 {
            for at in 0..length {
                for byte in 0..=255u8 {
                    for filler in [b'a', 0x7f, 0x80, 0xff, b' ', b'!', b'#', b'[', b']'] {
                        let mut bytes = vec![filler; length];
                        bytes[at] = byte;
                        let slow = bytes.iter().position(|byte| *byte < 0x20 || *byte == b'"' || *byte == b'\\');
                        assert_eq!(position_of_escape(&bytes), slow, "{byte} at {at} of {length} among {filler}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_text_of_exactly_the_limit_is_printed_and_one_byte_less_is_refused() {
        let print = |limit| {
            let mut printer = Printer::new(limit);
            printer.begin_object()?;
            printer.key("a")?;
            printer.begin_array()?;
            printer.number("1")?;
            printer.string("x\u{1}\u{1f}\"\n")?;
            printer.begin_object()?;
            printer.end_object()?;
            printer.null()?;
            printer.end_array()?;
            printer.key("b")?;
            printer.bool(true)?;
            printer.end_object()?;
            Ok(printer.finish())
        };
        let text = r#"{"a": [1, "x\u0001\u001f\"\n", {}, null], "b": true}"#;
        assert_eq!(print(text.len()).as_deref(), Ok(text));
        for limit in 0..text.len() {
            assert_eq!(print(limit), Err(TooLarge { limit_bytes: limit }));
        }
    }
}
