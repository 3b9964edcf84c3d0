//! The tree of a JSON value under jsonb's rules.
//!
//! What must always hold here: an object's keys are unique and sorted as jsonb sorts them (by length in bytes, then by bytes), so that equal values print
//! equal texts. Parsing and printing do not recurse; what the compiler derives does, which is why depth is limited.

use std::fmt;

use super::number::{Number, ParseNumberError};
use super::print::{Printer, TooLarge};
use super::scan::{JsonError, JsonProblem, Scanner, Token};

/// A JSON value as jsonb holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Json {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// An exact decimal.
    Number(Number),
    /// A string without NUL.
    String(String),
    /// An array.
    Array(Vec<Json>),
    /// An object.
    Object(Object),
}

/// The entries of an object, unique by key, in jsonb's order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Object(Vec<(String, Json)>);

/// What a parse may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most nested containers; at most [`Limits::DEPTH_MAX`] counts.
    pub depth: usize,
    /// Most bytes of canonical text, entries with a repeated key included.
    pub bytes: usize,
}

impl Limits {
    /// However much depth is asked for, no more is given: dropping a value recurses.
    pub const DEPTH_MAX: usize = 4096;
}

impl Default for Limits {
    /// 1,000 levels, 64 MB.
    fn default() -> Limits {
        Limits { depth: 1000, bytes: 64 << 20 }
    }
}

impl Object {
    /// An object of these entries; of those with one key the last counts. O(n log n), O(n) where they are sorted.
    pub fn of(mut entries: Vec<(String, Json)>) -> Object {
        let in_order = entries.is_sorted_by(|(a, _), (b, _)| key_order(a, b).is_lt());
        if !in_order {
            entries.sort_by(|(a, _), (b, _)| key_order(a, b));
            // `dedup_by` keeps the earlier of two; what counts is the later, so they trade places first.
            entries.dedup_by(|later, earlier| {
                let same = later.0 == earlier.0;
                if same {
                    std::mem::swap(later, earlier);
                }
                same
            });
        }
        Object(entries)
    }

    /// The value of a key. O(log n).
    pub fn get(&self, key: &str) -> Option<&Json> {
        let at = self.0.binary_search_by(|(candidate, _)| key_order(candidate, key)).ok()?;
        self.0.get(at).map(|(_, value)| value)
    }

    /// The entries in order.
    pub fn entries(&self) -> &[(String, Json)] {
        &self.0
    }
}

/// The order of jsonb's keys: the shorter first, then by bytes.
fn key_order(a: &str, b: &str) -> std::cmp::Ordering {
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

/// The canonical text of a JSON text: [`Json::parse`], then [`Json::to_text`].
pub fn canonical_text(text: &str, limits: Limits) -> Result<String, JsonError> {
    let value = Json::parse(text, limits)?;
    // What was parsed within the limit prints within it: repeated keys only make it shorter.
    value.to_text(limits.bytes).map_err(|problem| JsonError { offset: 0, problem: problem.into() })
}

/// A container that is still open.
enum Open {
    Array(Vec<Json>),
    Object { entries: Vec<(String, Json)>, key: String },
}

impl Json {
    /// Reads a text as `text::jsonb` does: of repeated keys the last counts, `\u0000`, lone surrogates and numbers beyond `numeric` are refused.
    ///
    /// O(text), and O(n log n) in the entries of an object whose keys are not in jsonb's order.
    pub fn parse(text: &str, limits: Limits) -> Result<Json, JsonError> {
        let mut scanner = Scanner::new(text, limits.depth.min(Limits::DEPTH_MAX));
        let mut budget = Budget { left: limits.bytes, limit_bytes: limits.bytes };
        let mut open: Vec<Open> = Vec::new();
        loop {
            let token = scanner.next_token()?;
            let offset = scanner.token_offset();
            let at_token = |problem: JsonProblem| JsonError { offset, problem };
            let Some(token) = token else {
                // The scanner says so only after one whole value, which has been returned.
                return Err(at_token(JsonProblem::UnexpectedEnd { expected: "a value" }));
            };
            budget.spend_on(&token).map_err(|problem| at_token(problem.into()))?;
            let value = match token {
                Token::BeginArray => {
                    open.push(Open::Array(Vec::new()));
                    continue;
                }
                Token::BeginObject => {
                    open.push(Open::Object { entries: Vec::new(), key: String::new() });
                    continue;
                }
                Token::Key(new_key) => {
                    if let Some(Open::Object { key, .. }) = open.last_mut() {
                        *key = new_key.into_owned();
                    }
                    continue;
                }
                Token::EndArray | Token::EndObject => match open.pop() {
                    Some(Open::Array(items)) => Json::Array(items),
                    Some(Open::Object { entries, .. }) => Json::Object(Object::of(entries)),
                    None => return Err(at_token(JsonProblem::UnexpectedEnd { expected: "a value" })),
                },
                Token::Null => Json::Null,
                Token::Bool(value) => Json::Bool(value),
                Token::String(value) => Json::String(value.into_owned()),
                Token::Number(token) => Json::Number(budget.number(token).map_err(at_token)?),
            };
            match open.last_mut() {
                Some(Open::Array(items)) => items.push(value),
                Some(Open::Object { entries, key }) => entries.push((std::mem::take(key), value)),
                None => {
                    // Nothing but white space may follow.
                    scanner.next_token()?;
                    return Ok(value);
                }
            }
        }
    }

    /// The canonical text, of at most so many bytes.
    pub fn to_text(&self, limit_bytes: usize) -> Result<String, TooLarge> {
        let mut printer = Printer::new(limit_bytes);
        self.print(&mut printer)?;
        Ok(printer.finish())
    }

    /// Prints the value. Does not recurse.
    pub fn print(&self, printer: &mut Printer) -> Result<(), TooLarge> {
        let mut open: Vec<Rest<'_>> = Vec::new();
        let mut next = Some(self);
        loop {
            if let Some(value) = next {
                open.extend(value.print_beginning(printer)?);
            }
            next = match open.last_mut() {
                None => return Ok(()),
                Some(Rest::Array(items)) => items.next(),
                Some(Rest::Object(entries)) => match entries.next() {
                    Some((key, value)) => {
                        printer.key(key)?;
                        Some(value)
                    }
                    None => None,
                },
            };
            if next.is_none() {
                match open.pop() {
                    Some(Rest::Array(_)) => printer.end_array()?,
                    Some(Rest::Object(_)) => printer.end_object()?,
                    None => return Ok(()),
                }
            }
        }
    }

    /// Prints a scalar, or the opening of a container, whose rest is then to be printed.
    fn print_beginning(&self, printer: &mut Printer) -> Result<Option<Rest<'_>>, TooLarge> {
        match self {
            Json::Null => printer.null()?,
            Json::Bool(value) => printer.bool(*value)?,
            Json::Number(value) => printer.number(value.as_str())?,
            Json::String(value) => printer.string(value)?,
            Json::Array(items) => {
                printer.begin_array()?;
                return Ok(Some(Rest::Array(items.iter())));
            }
            Json::Object(object) => {
                printer.begin_object()?;
                return Ok(Some(Rest::Object(object.0.iter())));
            }
        }
        Ok(None)
    }
}

/// What is still to be printed of a container.
enum Rest<'a> {
    Array(std::slice::Iter<'a, Json>),
    Object(std::slice::Iter<'a, (String, Json)>),
}

impl fmt::Display for Json {
    /// The canonical text, without a limit.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_text(usize::MAX).map_err(|_| fmt::Error)?)
    }
}

impl From<&Json> for serde_json::Value {
    /// For the libraries that want this type. Recurses as deep as the value does.
    fn from(value: &Json) -> serde_json::Value {
        use serde_json::Value;
        match value {
            Json::Null => Value::Null,
            Json::Bool(value) => Value::Bool(*value),
            Json::Number(number) => Value::Number(serde_json::Number::from_string_unchecked(number.to_string())),
            Json::String(value) => Value::String(value.clone()),
            Json::Array(items) => Value::Array(items.iter().map(Value::from).collect()),
            Json::Object(object) => {
                Value::Object(object.0.iter().map(|(key, value)| (key.clone(), Value::from(value))).collect())
            }
        }
    }
}

/// What may still be printed: counted while reading, since eight bytes (`1e131071`) can print as 131,072.
struct Budget {
    left: usize,
    limit_bytes: usize,
}

impl Budget {
    /// A lower bound of what a token prints as: escapes and separators are not counted, except where they are all there is.
    fn spend_on(&mut self, token: &Token<'_>) -> Result<(), TooLarge> {
        self.spend(match token {
            Token::BeginArray | Token::EndArray | Token::BeginObject | Token::EndObject => 1,
            Token::Key(key) => key.len() + 4,
            Token::String(value) => value.len() + 2,
            Token::Null | Token::Bool(_) => 4,
            // Its digits are spent when they are known.
            Token::Number(_) => 0,
        })
    }

    fn number(&mut self, token: &str) -> Result<Number, JsonProblem> {
        let number = Number::from_token(token, self.left).map_err(|error| match error {
            ParseNumberError::Overflow(overflow) => JsonProblem::Number(overflow),
            ParseNumberError::TooLarge => JsonProblem::TooLarge(TooLarge { limit_bytes: self.limit_bytes }),
        })?;
        self.spend(number.as_str().len())?;
        Ok(number)
    }

    fn spend(&mut self, bytes: usize) -> Result<(), TooLarge> {
        self.left = self.left.checked_sub(bytes).ok_or(TooLarge { limit_bytes: self.limit_bytes })?;
        Ok(())
    }
}
