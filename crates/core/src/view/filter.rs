//! Which events a view takes: `path (= | <>) literal`, `path in (literal, …)`, `path is [not] null`, joined by `and`.
//!
//! What must always hold here: a missing value and null are one; no comparison with them is true, as in SQL. A number equals a number of the same value,
//! whatever its scale; values of different types differ.

use std::str::FromStr;

use super::language::{Cursor, LanguageError, LanguageProblem};
use super::path::{EventView, Path};
use crate::decimal::Decimal;
use crate::json::Json;

/// Conditions that must all hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter(pub Vec<Condition>);

/// One condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// What is looked at.
    pub path: Path,
    /// What must hold of it.
    pub test: Test,
}

/// What must hold of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Test {
    /// It is one of these.
    In(Vec<Literal>),
    /// It is there, and is not this.
    Differs(Literal),
    /// It is missing or null.
    Null,
    /// It is there, and not null.
    NotNull,
}

/// A value in a filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Literal {
    /// `'text'`
    Text(String),
    /// `1.5`
    Number(Decimal),
    /// `true`, `false`
    Bool(bool),
}

impl Literal {
    fn equals(&self, json: &Json, negated: bool) -> bool {
        match (self, json) {
            (Literal::Text(text), Json::String(other)) => text == other,
            (Literal::Bool(value), Json::Bool(other)) => value == other,
            (Literal::Number(number), Json::Number(other)) => {
                let other = Decimal::from(other);
                *number == if negated { other.negated() } else { other }
            }
            _ => false,
        }
    }
}

impl Filter {
    /// Whether an event is taken.
    pub fn takes(&self, event: &EventView<'_>) -> bool {
        self.0.iter().all(|Condition { path, test }| {
            let found = path.find(event).filter(|json| **json != Json::Null);
            match (test, found) {
                (Test::Null, found) => found.is_none(),
                (Test::NotNull, found) => found.is_some(),
                (_, None) => false,
                (Test::In(literals), Some(json)) => literals.iter().any(|literal| literal.equals(&json, path.negated)),
                (Test::Differs(literal), Some(json)) => !literal.equals(&json, path.negated),
            }
        })
    }
}

impl FromStr for Filter {
    type Err = LanguageError;

    fn from_str(text: &str) -> Result<Filter, LanguageError> {
        let mut cursor = Cursor::new(text)?;
        let mut conditions = Vec::new();
        loop {
            let path = Path::read(&mut cursor)?;
            let test = test(&mut cursor)?;
            conditions.push(Condition { path, test });
            if !cursor.take_word("and") {
                break;
            }
        }
        cursor.end("'and' or the end of the filter")?;
        Ok(Filter(conditions))
    }
}

fn test(cursor: &mut Cursor<'_>) -> Result<Test, LanguageError> {
    if cursor.take_spaced("=") {
        return Ok(Test::In(vec![literal(cursor)?]));
    }
    if cursor.take_spaced("<>") {
        return literal(cursor).map(Test::Differs);
    }
    if cursor.take_word("in") {
        if !cursor.take_spaced("(") {
            return Err(cursor.expected("'(' and the values"));
        }
        let mut literals = vec![literal(cursor)?];
        while cursor.take_spaced(",") {
            literals.push(literal(cursor)?);
        }
        if !cursor.take_spaced(")") {
            return Err(cursor.expected("',' or ')'"));
        }
        return Ok(Test::In(literals));
    }
    if cursor.take_word("is") {
        let test = if cursor.take_word("not") { Test::NotNull } else { Test::Null };
        if cursor.take_word("null") {
            return Ok(test);
        }
        return Err(cursor.expected("null"));
    }
    cursor.skip_spaces();
    Err(cursor.expected("=, <>, in or is null"))
}

fn literal(cursor: &mut Cursor<'_>) -> Result<Literal, LanguageError> {
    cursor.skip_spaces();
    if let Some(text) = cursor.sql_text()? {
        return Ok(Literal::Text(text));
    }
    for (word, value) in [("true", true), ("false", false)] {
        if cursor.take_word(word) {
            return Ok(Literal::Bool(value));
        }
    }
    let expected = cursor.expected("a value: 'text', a number, true or false");
    let offset = cursor.offset();
    match cursor.number_text() {
        "" => Err(expected),
        text if text.starts_with(|first: char| first == '-' || first.is_ascii_digit()) => {
            let number = text.parse().map(Literal::Number);
            number.map_err(|_| LanguageError { offset, problem: LanguageProblem::Number })
        }
        _ => Err(expected),
    }
}
