//! The characters of paths, keys and filters.
//!
//! What must always hold here: texts are short (64 kB), reading is linear and does not recurse, and an error names the byte where it stands.

use crate::datum::{UnknownType, did_you_mean};
use crate::json::{Json, Limits};

/// Most bytes of a path, a key or a filter.
const TEXT_BYTES_MAX: usize = 64 << 10;

/// Why a text is no path, key or filter, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}, at byte {offset}")]
pub struct LanguageError {
    /// Where, in bytes from 0.
    pub offset: usize,
    /// What is wrong there.
    pub problem: LanguageProblem,
}

/// What can be wrong with a path, a key or a filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LanguageProblem {
    /// Something else was expected.
    #[error("expected {expected}, found {found}")]
    Expected {
        /// What could have come here.
        expected: &'static str,
        /// What came: a character, or the end.
        found: String,
    },
    /// `@` and a name that is none of the event's fields.
    #[error("an event has no field @{name}{}", did_you_mean(.suggestion))]
    UnknownField {
        /// The name.
        name: String,
        /// One that it resembles.
        suggestion: Option<&'static str>,
    },
    /// Something follows a field that has no parts.
    #[error("@{field} has no parts")]
    NoParts {
        /// The field.
        field: &'static str,
    },
    /// A path as JSONPath has it.
    #[error("a path begins with a name: qty, not $.qty (a property that is called $ is quoted)")]
    JsonPath,
    /// A number in brackets that is none.
    #[error("an index is a number from 0 to 2147483647")]
    Index,
    /// A quoted text that JSON, or SQL, would not take.
    #[error("a quoted text that is not well formed")]
    Quoted,
    /// Not a number as JSON has it.
    #[error("not a number")]
    Number,
    /// A type that a column cannot have.
    #[error(transparent)]
    Type(#[from] UnknownType),
    /// JSON as a key: `1` and `1.0` are one value to a database, and two texts.
    #[error("a key cannot be of type jsonb: take text, or a part of the document")]
    JsonbKey,
    /// A `-` where there is nothing to add.
    #[error("a key cannot be negative: leave the '-' out")]
    Negative,
    /// One name for two columns of the key.
    #[error("the name {name:?} stands twice: say which is which with 'as'")]
    Twice {
        /// The name.
        name: String,
    },
    /// A name that SQL would cut.
    #[error("the name of a column is 1 to 63 bytes long")]
    NameLength,
    /// Too long.
    #[error("longer than {limit_bytes} bytes")]
    TooLong {
        /// The limit.
        limit_bytes: usize,
    },
}

pub(super) struct Cursor<'a> {
    text: &'a str,
    offset: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str) -> Result<Cursor<'a>, LanguageError> {
        let cursor = Cursor { text, offset: 0 };
        if text.len() > TEXT_BYTES_MAX {
            return Err(cursor.error(LanguageProblem::TooLong { limit_bytes: TEXT_BYTES_MAX }));
        }
        Ok(cursor)
    }

    pub(super) fn offset(&self) -> usize {
        self.offset
    }

    pub(super) fn rest(&self) -> &'a str {
        self.text.get(self.offset..).unwrap_or_default()
    }

    pub(super) fn error(&self, problem: LanguageProblem) -> LanguageError {
        LanguageError { offset: self.offset, problem }
    }

    pub(super) fn expected(&self, expected: &'static str) -> LanguageError {
        let found = match self.rest().chars().next() {
            Some(character) => format!("{character:?}"),
            None => "the end".to_owned(),
        };
        self.error(LanguageProblem::Expected { expected, found })
    }

    pub(super) fn skip_spaces(&mut self) {
        self.offset += self.rest().len() - self.rest().trim_start_matches([' ', '\t', '\n', '\r']).len();
    }

    /// Passes a mark, if it comes next.
    pub(super) fn take(&mut self, mark: &str) -> bool {
        let comes = self.rest().starts_with(mark);
        self.offset += if comes { mark.len() } else { 0 };
        comes
    }

    /// Passes spaces and a mark, if they come next.
    pub(super) fn take_spaced(&mut self, mark: &str) -> bool {
        let before = self.offset;
        self.skip_spaces();
        let comes = self.take(mark);
        self.offset = if comes { self.offset } else { before };
        comes
    }

    /// Passes spaces and a word in any case, if they come next.
    pub(super) fn take_word(&mut self, word: &str) -> bool {
        let before = self.offset;
        self.skip_spaces();
        let comes = self.bare().is_some_and(|found| found.eq_ignore_ascii_case(word));
        self.offset = if comes { self.offset } else { before };
        comes
    }

    /// Letters, digits, `_`, `$`, and `-` after the first.
    pub(super) fn bare(&mut self) -> Option<&'a str> {
        let rest = self.rest();
        let plain = |character: char| character.is_alphanumeric() || matches!(character, '_' | '$');
        if !rest.starts_with(plain) {
            return None;
        }
        let length = rest.find(|character: char| !plain(character) && character != '-').unwrap_or(rest.len());
        self.offset += length;
        rest.get(..length)
    }

    /// A bare or JSON-quoted name.
    pub(super) fn name(&mut self, expected: &'static str) -> Result<String, LanguageError> {
        if let Some(bare) = self.bare() {
            return Ok(bare.to_owned());
        }
        if !self.rest().starts_with('"') {
            return Err(self.expected(expected));
        }
        let (offset, rest) = (self.offset, self.rest());
        let quoted_wrongly = LanguageError { offset, problem: LanguageProblem::Quoted };
        let mut escaped = false;
        let end = rest.bytes().enumerate().skip(1).find(|(_, byte)| {
            let ends = *byte == b'"' && !escaped;
            escaped = *byte == b'\\' && !escaped;
            ends
        });
        let (end, _) = end.ok_or(quoted_wrongly.clone())?;
        let quoted = rest.get(..=end).unwrap_or_default();
        self.offset += quoted.len();
        match Json::parse(quoted, Limits::default()) {
            Ok(Json::String(name)) => Ok(name),
            _ => Err(quoted_wrongly),
        }
    }

    /// A text as SQL quotes it: `'it''s'`.
    pub(super) fn sql_text(&mut self) -> Result<Option<String>, LanguageError> {
        if !self.rest().starts_with('\'') {
            return Ok(None);
        }
        let offset = self.offset;
        let mut text = String::new();
        let mut rest = self.rest().strip_prefix('\'').unwrap_or_default();
        loop {
            let Some((part, after)) = rest.split_once('\'') else {
                let problem = LanguageProblem::Quoted;
                return Err(LanguageError { offset, problem });
            };
            text.push_str(part);
            match after.strip_prefix('\'') {
                Some(after) => {
                    text.push('\'');
                    rest = after;
                }
                None => {
                    self.offset = self.text.len() - after.len();
                    return Ok(Some(text));
                }
            }
        }
    }

    /// What could be a number.
    pub(super) fn number_text(&mut self) -> &'a str {
        let rest = self.rest();
        let part = |character: char| character.is_ascii_alphanumeric() || matches!(character, '+' | '-' | '.');
        let length = rest.find(|character| !part(character)).unwrap_or(rest.len());
        self.offset += length;
        rest.get(..length).unwrap_or_default()
    }

    pub(super) fn end(&mut self, expected: &'static str) -> Result<(), LanguageError> {
        self.skip_spaces();
        if self.rest().is_empty() { Ok(()) } else { Err(self.expected(expected)) }
    }
}
