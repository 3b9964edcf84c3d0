//! A view's columns with some dropped, changed and added: a text from texts, as a user would have written it.
//!
//! What must always hold here: a column that stays is written as it was, and where it was; one that changes stays in its place; what is added comes last.

use super::columns::{Columns, ColumnsError};
use crate::json::{JsonError, Scanner, Token};
use crate::suggest::similar;

/// Columns, properties, values by type: no deeper than columns go.
const DEPTH_MAX: usize = 4;

/// What is done to a view's columns, in this order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Alteration {
    /// The names of columns that go.
    pub drop: Vec<String>,
    /// Columns that are defined anew, as `create_view` takes them.
    pub change: Option<String>,
    /// Columns that come.
    pub add: Option<String>,
}

/// Why columns cannot be altered so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AlterationError {
    /// What is to be added or changed are no columns.
    #[error("the columns to {argument} cannot be read: {error}")]
    Columns {
        /// Which of them: `add` or `change`.
        argument: &'static str,
        /// What is wrong.
        error: ColumnsError,
    },
    /// The view has no such column to drop or change.
    #[error("the view has no column {name:?}{}", .suggestion.as_ref().map_or(String::new(), |name| format!(". Did you mean {name:?}?")))]
    NoSuchColumn {
        /// The name.
        name: String,
        /// One that it resembles.
        suggestion: Option<String>,
    },
    /// A column to be added is there.
    #[error("the view has a column {name:?} already")]
    AlreadyThere {
        /// The name.
        name: String,
    },
    /// What is altered are no columns.
    #[error("the view's columns cannot be read: {0}")]
    Damaged(#[from] JsonError),
}

impl Alteration {
    /// The columns with the alteration made. O(text × columns).
    pub fn of(&self, columns: &str) -> Result<String, AlterationError> {
        let read = |argument, text: &Option<String>| -> Result<Vec<Written>, AlterationError> {
            let Some(text) = text else { return Ok(Vec::new()) };
            text.parse::<Columns>().map_err(|error| AlterationError::Columns { argument, error })?;
            Ok(written(text)?)
        };
        let mut all = written(columns)?;
        let find = |all: &[Written], name: &str| {
            let place = all.iter().position(|column| column.name == name);
            place.ok_or_else(|| AlterationError::NoSuchColumn {
                name: name.to_owned(),
                suggestion: similar(name, all.iter().map(|column| column.name.as_str())).map(str::to_owned),
            })
        };
        for name in &self.drop {
            let place = find(&all, name)?;
            all.remove(place);
        }
        for column in read("change", &self.change)? {
            let place = find(&all, &column.name)?;
            all.splice(place..=place, [column]);
        }
        for column in read("add", &self.add)? {
            if find(&all, &column.name).is_ok() {
                return Err(AlterationError::AlreadyThere { name: column.name });
            }
            all.push(column);
        }
        let texts = all.into_iter().map(|column| column.text).collect::<Vec<_>>();
        Ok(format!("{{{}}}", texts.join(", ")))
    }
}

/// A column as it was written: its name in quotes, a colon, its definition.
struct Written {
    name: String,
    text: String,
}

fn written(columns: &str) -> Result<Vec<Written>, JsonError> {
    let mut scanner = Scanner::new(columns, DEPTH_MAX);
    let mut depth = 0_usize;
    let mut all: Vec<Written> = Vec::new();
    let mut start = 0;
    while let Some(token) = scanner.next_token()? {
        let offset = scanner.token_offset();
        match token {
            Token::BeginObject | Token::BeginArray => depth += 1,
            Token::EndObject | Token::EndArray => {
                depth = depth.saturating_sub(1);
                // A column's definition is an object, so it ends where that does.
                if depth == 1
                    && let Some(column) = all.last_mut()
                {
                    column.text = columns.get(start..=offset).unwrap_or_default().to_owned();
                }
            }
            Token::Key(name) if depth == 1 => {
                start = offset;
                all.push(Written { name: name.into_owned(), text: String::new() });
            }
            _ => {}
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &str = r#"{ "n" : {"fold":"count"},
        "on_hand": {"fold": "sum", "value": {"Received": "qty", "Sold": "-qty"}} , "odd \u0022name": {"fold":"lww","value":"x"} }"#;

    fn altered(drop: &[&str], change: Option<&str>, add: Option<&str>) -> Result<String, AlterationError> {
        let drop = drop.iter().map(|name| (*name).to_owned()).collect();
        Alteration { drop, change: change.map(str::to_owned), add: add.map(str::to_owned) }.of(COLUMNS)
    }

    #[test]
    fn columns_that_stay_are_written_as_they_were() {
        assert_eq!(
            altered(&[], None, None).unwrap(),
            r#"{"n" : {"fold":"count"}, "on_hand": {"fold": "sum", "value": {"Received": "qty", "Sold": "-qty"}}, "odd \u0022name": {"fold":"lww","value":"x"}}"#
        );
    }

    #[test]
    fn what_changes_stays_in_its_place_and_what_is_added_comes_last() {
        assert_eq!(
            altered(
                &["odd \"name"],
                Some(r#"{"n": {"fold": "sum", "value": "qty"}}"#),
                Some(r#"{"a": {"fold": "count"}, "b": {"fold": "mv", "value": "x"}}"#)
            )
            .unwrap(),
            r#"{"n": {"fold": "sum", "value": "qty"}, "on_hand": {"fold": "sum", "value": {"Received": "qty", "Sold": "-qty"}}, "a": {"fold": "count"}, "b": {"fold": "mv", "value": "x"}}"#
        );
        assert_eq!(altered(&["n", "on_hand", "odd \"name"], None, None).unwrap(), "{}");
    }

    #[test]
    fn a_column_that_is_dropped_can_be_added_anew() {
        let text = altered(&["n", "odd \"name"], None, Some(r#"{"n": {"fold": "count"}}"#)).unwrap();
        assert!(text.ends_with(r#", "n": {"fold": "count"}}"#), "{text}");
    }

    #[test]
    fn what_is_not_there_cannot_be_dropped_or_changed_and_what_is_there_cannot_be_added() {
        for (drop, change, add, said) in [
            (&["onhand"][..], None, None, "the view has no column \"onhand\". Did you mean \"on_hand\"?"),
            (&["n", "n"], None, None, "the view has no column \"n\""),
            (&["n"], Some(r#"{"n": {"fold": "count"}}"#), None, "the view has no column \"n\""),
            (&[], None, Some(r#"{"n": {"fold": "count"}}"#), "the view has a column \"n\" already"),
            (&[], Some("{"), None, "the columns to change cannot be read: "),
            (&[], None, Some(r#"{"m": {"fold": "sam"}}"#), "the columns to add cannot be read: "),
        ] {
            let error = altered(drop, change, add).unwrap_err().to_string();
            assert!(error.starts_with(said), "{error}");
        }
    }
}
