//! The name of a stream: global, unqualified, part of every pattern and channel that mentions the stream.
//!
//! What must always hold here: a name that was parsed can stand in a NOTIFY channel (`gundb_<name>`) and in a list of patterns (`orders*`, `!audit`)
//! without being taken for something else. Beyond that it is any UTF-8.

use std::fmt;
use std::str::FromStr;

use crate::id::StreamId;

/// A stream's name, parsed. Two names are the same stream exactly when their bytes are equal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamName(Box<str>);

/// Which rule a name breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StreamNameError {
    /// A name says something.
    #[error("a stream's name is not empty")]
    Empty,
    /// `gundb_<name>` must be a channel of at most 63 bytes.
    #[error("a stream's name is at most {} bytes long, not {found}", StreamName::BYTES_MAX)]
    TooLong {
        /// The length found, in bytes.
        found: usize,
    },
    /// Control characters garble logs and terminals.
    #[error("a stream's name has no control characters, such as {found:?}")]
    ControlCharacter {
        /// The first one found.
        found: char,
    },
    /// Nobody sees a space at either end.
    #[error("a stream's name neither begins nor ends with a space")]
    OuterSpace,
    /// `!` excludes, in a list of patterns.
    #[error("a stream's name does not begin with !, which excludes streams in lists of patterns")]
    LeadingExclamationMark,
    /// `*` stands for any text, in a pattern.
    #[error("a stream's name has no *, which stands for any text in patterns")]
    Asterisk,
}

impl StreamName {
    /// The longest name, in bytes.
    pub const BYTES_MAX: usize = 57;

    /// The name as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The stream that has this name at every site.
    pub fn id(&self) -> StreamId {
        StreamId::of_name(&self.0)
    }
}

impl FromStr for StreamName {
    type Err = StreamNameError;

    fn from_str(name: &str) -> Result<StreamName, StreamNameError> {
        let outer_space = |end: Option<char>| end.is_some_and(char::is_whitespace);
        if name.is_empty() {
            Err(StreamNameError::Empty)
        } else if name.len() > StreamName::BYTES_MAX {
            Err(StreamNameError::TooLong { found: name.len() })
        } else if let Some(found) = name.chars().find(|character| character.is_control()) {
            Err(StreamNameError::ControlCharacter { found })
        } else if outer_space(name.chars().next()) || outer_space(name.chars().next_back()) {
            Err(StreamNameError::OuterSpace)
        } else if name.starts_with('!') {
            Err(StreamNameError::LeadingExclamationMark)
        } else if name.contains('*') {
            Err(StreamNameError::Asterisk)
        } else {
            Ok(StreamName(name.into()))
        }
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_be_any_text_that_breaks_no_rule() {
        for name in ["orders", "Ünïcode \"quoted\" ' . / 名前", "a!b", "-", &"x".repeat(57), &"é".repeat(28)] {
            assert_eq!(name.parse::<StreamName>().map(|name| name.to_string()).as_deref(), Ok(name));
        }
    }

    #[test]
    fn an_error_says_which_rule_the_name_breaks() {
        use StreamNameError::*;
        for (name, error) in [
            ("", Empty),
            (&*"x".repeat(58), TooLong { found: 58 }),
            (&*"é".repeat(29), TooLong { found: 58 }),
            ("a\nb", ControlCharacter { found: '\n' }),
            ("a\u{85}b", ControlCharacter { found: '\u{85}' }),
            (" a", OuterSpace),
            ("a ", OuterSpace),
            ("a\u{a0}", OuterSpace),
            ("!a", LeadingExclamationMark),
            ("a*", Asterisk),
        ] {
            assert_eq!(name.parse::<StreamName>(), Err(error), "{name:?}");
        }
    }
}
