//! Values as JSON text: `{"kind": …}`, canonical as jsonb prints it, so that a text that passed through `jsonb` is still the value's.
//!
//! What must always hold here: reading takes what printing gives, and refuses what no history leads to. Nothing here recurses with the text's depth.

use crate::hlc::{Hlc, HlcTextError};
use crate::json::{Json, JsonError, Printer, TooLarge};

use super::replica::ReplicaTextError;
use super::value::UnknownKind;

/// Why a text is not a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CrdtTextError {
    /// Not JSON.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// Not an object with one key, the kind.
    #[error("a CRDT value looks like {{\"gcounter\": {{…}}}}: an object whose one key is the kind")]
    NotAValue,
    /// A kind that does not exist.
    #[error(transparent)]
    Kind(#[from] UnknownKind),
    /// A value of another kind than asked for.
    #[error("the value is a {found}, not a {expected}")]
    OtherKind {
        /// What was asked for.
        expected: &'static str,
        /// What there is.
        found: &'static str,
    },
    /// What stands under the kind is not what it should be.
    #[error("not a {kind}: {problem}")]
    Body {
        /// The kind.
        kind: &'static str,
        /// What is wrong.
        problem: TextProblem,
    },
}

/// What can be wrong inside a value's text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TextProblem {
    /// Something else was expected.
    #[error("expected {expected}")]
    Shape {
        /// What.
        expected: &'static str,
    },
    /// A property is missing, or one is there that should not.
    #[error("expected an object with just these keys: {}", .expected.join(", "))]
    Keys {
        /// The keys.
        expected: Vec<&'static str>,
    },
    /// An integer that is negative, broken, or too large.
    #[error("expected an integer from 0 to 18446744073709551615")]
    Integer,
    /// Not a replica.
    #[error(transparent)]
    Replica(#[from] ReplicaTextError),
    /// Not a stamp.
    #[error(transparent)]
    Stamp(#[from] HlcTextError),
    /// Well formed, and not a value that mutating and merging leads to.
    #[error(
        "the value is not one that any history leads to: a zero count, a tick that was not seen, an entry that stands twice"
    )]
    Impossible,
}

pub(super) fn print_integer(printer: &mut Printer, value: u64) -> Result<(), TooLarge> {
    printer.number(&value.to_string())
}

/// A place in the text's tree.
#[derive(Debug, Clone, Copy)]
pub struct Node<'a>(pub(super) &'a Json);

impl<'a> Node<'a> {
    pub(super) fn json(self) -> &'a Json {
        self.0
    }

    /// The values of exactly these keys.
    pub(super) fn fields<const N: usize>(self, keys: [&'static str; N]) -> Result<[Node<'a>; N], TextProblem> {
        let wrong = || TextProblem::Keys { expected: keys.to_vec() };
        let object = match self.0 {
            Json::Object(object) if object.entries().len() == N => object,
            _ => return Err(wrong()),
        };
        let mut found = [self; N];
        for (field, key) in found.iter_mut().zip(keys) {
            *field = Node(object.get(key).ok_or_else(wrong)?);
        }
        Ok(found)
    }

    pub(super) fn entries(self) -> Result<impl Iterator<Item = (&'a str, Node<'a>)>, TextProblem> {
        match self.0 {
            Json::Object(object) => Ok(object.entries().iter().map(|(key, value)| (key.as_str(), Node(value)))),
            _ => Err(TextProblem::Shape { expected: "an object" }),
        }
    }

    pub(super) fn items(self) -> Result<impl Iterator<Item = Node<'a>>, TextProblem> {
        match self.0 {
            Json::Array(items) => Ok(items.iter().map(Node)),
            _ => Err(TextProblem::Shape { expected: "an array" }),
        }
    }

    pub(super) fn string(self) -> Result<&'a str, TextProblem> {
        match self.0 {
            Json::String(text) => Ok(text),
            _ => Err(TextProblem::Shape { expected: "a string" }),
        }
    }

    pub(super) fn bool(self) -> Result<bool, TextProblem> {
        match self.0 {
            Json::Bool(value) => Ok(*value),
            _ => Err(TextProblem::Shape { expected: "true or false" }),
        }
    }

    pub(super) fn integer(self) -> Result<u64, TextProblem> {
        match self.0 {
            Json::Number(number) => number.as_str().parse().map_err(|_| TextProblem::Integer),
            _ => Err(TextProblem::Integer),
        }
    }

    pub(super) fn stamp(self) -> Result<Hlc, TextProblem> {
        Ok(self.string()?.parse()?)
    }
}
