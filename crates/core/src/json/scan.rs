//! Text to tokens: the strict grammar of RFC 8259 as PostgreSQL's lexer reads it, one token at a time.
//!
//! What must always hold here: the tokens form one well-nested value, memory is bounded by the depth and the longest string, and every refusal names the
//! byte where it happened. Nothing recurses.

use std::borrow::Cow;

use super::number::NumberError;
use super::print::{TooLarge, position_of_escape};

/// One token. Strings are unescaped and borrow from the text where they can; numbers are as they were written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token<'a> {
    /// `{`
    BeginObject,
    /// `}`
    EndObject,
    /// `[`
    BeginArray,
    /// `]`
    EndArray,
    /// The key of the value that comes next.
    Key(Cow<'a, str>),
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number, as it was written.
    Number(&'a str),
    /// A string.
    String(Cow<'a, str>),
}

/// Why a text is not JSON that jsonb holds, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}, at byte {offset}")]
pub struct JsonError {
    /// Where the offending token begins, in bytes from 0.
    pub offset: usize,
    /// What is wrong there.
    pub problem: JsonProblem,
}

/// What can be wrong with a JSON text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonProblem {
    /// The text ends inside a value.
    #[error("the JSON text ends too early: expected {expected}")]
    UnexpectedEnd {
        /// What could have come here.
        expected: &'static str,
    },
    /// Another token was expected.
    #[error("expected {expected}, found {found:?}")]
    Unexpected {
        /// What could have come here.
        expected: &'static str,
        /// The character that came.
        found: char,
    },
    /// A number with leading zeros, without digits where some must be, or run together with what follows.
    #[error("not a JSON number")]
    BadNumber,
    /// `numeric` cannot hold the number.
    #[error(transparent)]
    Number(#[from] NumberError),
    /// Control characters must be escaped.
    #[error("the control character {found:?} must be escaped in a string")]
    ControlCharacter {
        /// The character.
        found: char,
    },
    /// A backslash before what is no escape.
    #[error("not an escape that JSON knows")]
    BadEscape,
    /// Half of a surrogate pair.
    #[error("a surrogate without its other half")]
    LoneSurrogate,
    /// jsonb cannot hold NUL.
    #[error("\\u0000 cannot be held in a jsonb string")]
    Nul,
    /// More nested containers than the limit allows.
    #[error("the JSON text is nested deeper than {depth_max} levels")]
    TooDeep {
        /// The limit.
        depth_max: usize,
    },
    /// More canonical text than the limit allows.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
}

/// What may come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expect {
    Value,
    FirstValueOrEnd,
    FirstKeyOrEnd,
    CommaOrEnd,
    EndOfText,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Container {
    Object,
    Array,
}

/// A pull parser over one text.
#[derive(Debug)]
pub struct Scanner<'a> {
    text: &'a str,
    offset: usize,
    token_offset: usize,
    open: Vec<Container>,
    depth_max: usize,
    expect: Expect,
}

impl<'a> Scanner<'a> {
    /// A scanner of this text, of at most so many levels of containers.
    pub fn new(text: &'a str, depth_max: usize) -> Scanner<'a> {
        Scanner { text, offset: 0, token_offset: 0, open: Vec::new(), depth_max, expect: Expect::Value }
    }

    /// Where the last token began, in bytes: for errors about what a token means.
    pub fn token_offset(&self) -> usize {
        self.token_offset
    }

    /// The next token; None once the value is complete and only white space follows it.
    pub fn next_token(&mut self) -> Result<Option<Token<'a>>, JsonError> {
        self.skip_white_space();
        match self.expect {
            Expect::EndOfText => match self.peek_char() {
                None => Ok(None),
                Some(_) => Err(self.unexpected("the end of the text")),
            },
            Expect::Value => self.value("a value").map(Some),
            Expect::FirstValueOrEnd if self.peek() == Some(b']') => Ok(Some(self.close())),
            Expect::FirstValueOrEnd => self.value("a value or ]").map(Some),
            Expect::FirstKeyOrEnd if self.peek() == Some(b'}') => Ok(Some(self.close())),
            Expect::FirstKeyOrEnd => self.key("a key or }").map(Some),
            Expect::CommaOrEnd => self.after_value().map(Some),
        }
    }

    fn after_value(&mut self) -> Result<Token<'a>, JsonError> {
        let in_object = self.open.last() == Some(&Container::Object);
        match (self.peek(), in_object) {
            (Some(b','), _) => {
                self.offset += 1;
                self.skip_white_space();
                if in_object { self.key("a key") } else { self.value("a value") }
            }
            (Some(b'}'), true) | (Some(b']'), false) => Ok(self.close()),
            (_, true) => Err(self.unexpected(", or }")),
            (_, false) => Err(self.unexpected(", or ]")),
        }
    }

    fn value(&mut self, expected: &'static str) -> Result<Token<'a>, JsonError> {
        self.token_offset = self.offset;
        let token = match self.peek() {
            Some(b'{') => return self.open(Container::Object, Expect::FirstKeyOrEnd, Token::BeginObject),
            Some(b'[') => return self.open(Container::Array, Expect::FirstValueOrEnd, Token::BeginArray),
            Some(b'"') => Token::String(self.string()?),
            Some(b'-' | b'0'..=b'9') => Token::Number(self.number()?),
            Some(b'n') => self.word("null", Token::Null, expected)?,
            Some(b't') => self.word("true", Token::Bool(true), expected)?,
            Some(b'f') => self.word("false", Token::Bool(false), expected)?,
            _ => return Err(self.unexpected(expected)),
        };
        self.value_ended();
        Ok(token)
    }

    fn key(&mut self, expected: &'static str) -> Result<Token<'a>, JsonError> {
        self.token_offset = self.offset;
        if self.peek() != Some(b'"') {
            return Err(self.unexpected(expected));
        }
        let key = self.string()?;
        self.skip_white_space();
        if self.peek() != Some(b':') {
            return Err(self.unexpected(":"));
        }
        self.offset += 1;
        self.expect = Expect::Value;
        Ok(Token::Key(key))
    }

    fn open(&mut self, container: Container, expect: Expect, token: Token<'a>) -> Result<Token<'a>, JsonError> {
        if self.open.len() >= self.depth_max {
            return Err(self.error(JsonProblem::TooDeep { depth_max: self.depth_max }));
        }
        self.offset += 1;
        self.open.push(container);
        self.expect = expect;
        Ok(token)
    }

    fn close(&mut self) -> Token<'a> {
        self.token_offset = self.offset;
        self.offset += 1;
        let closed = self.open.pop();
        self.value_ended();
        if closed == Some(Container::Object) { Token::EndObject } else { Token::EndArray }
    }

    fn value_ended(&mut self) {
        self.expect = if self.open.is_empty() { Expect::EndOfText } else { Expect::CommaOrEnd };
    }

    fn word(&mut self, word: &str, token: Token<'a>, expected: &'static str) -> Result<Token<'a>, JsonError> {
        if !self.rest().starts_with(word) {
            return Err(self.unexpected(expected));
        }
        self.offset += word.len();
        // `nullx` is one wrong word, not `null` and something after it.
        match self.peek() {
            Some(byte) if continues_word(byte) => {
                self.offset = self.token_offset;
                Err(self.unexpected(expected))
            }
            _ => Ok(token),
        }
    }

    fn number(&mut self) -> Result<&'a str, JsonError> {
        let text = self.rest();
        let length = number_length(text.as_bytes());
        let followed_well =
            length.is_some_and(|length| !text.as_bytes().get(length).copied().is_some_and(continues_word));
        match length.and_then(|length| text.get(..length)) {
            Some(number) if followed_well => {
                self.offset += number.len();
                Ok(number)
            }
            _ => Err(self.error(JsonProblem::BadNumber)),
        }
    }

    fn string(&mut self) -> Result<Cow<'a, str>, JsonError> {
        self.offset += 1;
        let plain = self.plain_characters()?;
        if self.peek() == Some(b'"') {
            self.offset += 1;
            return Ok(Cow::Borrowed(plain));
        }
        let mut unescaped = plain.to_owned();
        while self.peek() == Some(b'\\') {
            unescaped.push(self.escape()?);
            unescaped.push_str(self.plain_characters()?);
        }
        self.offset += 1;
        Ok(Cow::Owned(unescaped))
    }

    /// The characters up to the next quote or backslash, which exists.
    fn plain_characters(&mut self) -> Result<&'a str, JsonError> {
        let rest = self.rest();
        let Some(plain) = position_of_escape(rest.as_bytes()).and_then(|at| rest.get(..at)) else {
            self.offset = self.text.len();
            return Err(self.unexpected("the end of a string"));
        };
        self.offset += plain.len();
        match self.peek_char() {
            Some(found) if found < ' ' => Err(self.error(JsonProblem::ControlCharacter { found })),
            _ => Ok(plain),
        }
    }

    /// The character that an escape stands for; at the backslash.
    fn escape(&mut self) -> Result<char, JsonError> {
        let start = self.offset;
        let simple = match self.text.as_bytes().get(start + 1) {
            Some(b'u') => return self.unicode_escape(),
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            _ => return Err(self.error(JsonProblem::BadEscape)),
        };
        self.offset += 2;
        Ok(simple)
    }

    fn unicode_escape(&mut self) -> Result<char, JsonError> {
        let start = self.offset;
        let first = self.code_unit().ok_or_else(|| self.error(JsonProblem::BadEscape))?;
        let code_point = if (0xd800..0xdc00).contains(&first) {
            match self.code_unit() {
                Some(second @ 0xdc00..0xe000) => 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00),
                _ => {
                    return Err(JsonError { offset: start, problem: JsonProblem::LoneSurrogate });
                }
            }
        } else {
            first
        };
        match char::from_u32(code_point) {
            Some('\0') => Err(JsonError { offset: start, problem: JsonProblem::Nul }),
            Some(character) => Ok(character),
            None => Err(JsonError { offset: start, problem: JsonProblem::LoneSurrogate }),
        }
    }

    /// The sixteen bits of `\uXXXX`, and past it; None, and nothing moved, where there is no such thing.
    fn code_unit(&mut self) -> Option<u32> {
        let digits = self.rest().strip_prefix("\\u")?.get(..4)?;
        let well_formed = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let bits = if well_formed {
            u32::from_str_radix(digits, 16).ok()?
        } else {
            return None;
        };
        self.offset += 6;
        Some(bits)
    }

    fn skip_white_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.offset += 1;
        }
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.offset..).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.offset).copied()
    }

    fn peek_char(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn unexpected(&self, expected: &'static str) -> JsonError {
        self.error(match self.peek_char() {
            None => JsonProblem::UnexpectedEnd { expected },
            Some(found) => JsonProblem::Unexpected { expected, found },
        })
    }

    fn error(&self, problem: JsonProblem) -> JsonError {
        JsonError { offset: self.offset, problem }
    }
}

/// What cannot follow a number or a word without something between them (PostgreSQL's lexer takes all of it as one wrong token).
fn continues_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80 || matches!(byte, b'+' | b'-' | b'.')
}

/// The length of the number at the beginning, by `-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?`.
fn number_length(bytes: &[u8]) -> Option<usize> {
    let digits = |from: usize| bytes.iter().skip(from).take_while(|byte| byte.is_ascii_digit()).count();
    let mut at = usize::from(bytes.first() == Some(&b'-'));
    at += match bytes.get(at) {
        Some(b'0') => 1,
        Some(b'1'..=b'9') => digits(at),
        _ => return None,
    };
    if bytes.get(at) == Some(&b'.') {
        let fraction = digits(at + 1);
        at += 1 + fraction;
        if fraction == 0 {
            return None;
        }
    }
    if let Some(b'e' | b'E') = bytes.get(at) {
        at += 1 + usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
        let exponent = digits(at);
        at += exponent;
        if exponent == 0 {
            return None;
        }
    }
    Some(at)
}
