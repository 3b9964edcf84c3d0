//! A view's whole definition, and what one event does to a row of it.
//!
//! What must always hold here: a missing path does nothing; JSON null is NULL for `lww fww mv` and does nothing elsewhere; what cannot be cast is an error
//! that names the column and the path, and harms only its own event.

use std::borrow::Cow;

use super::columns::{Column, ColumnType, Columns, Selector, Source};
use super::filter::Filter;
use super::key::Key;
use super::path::EventView;
use crate::crdt::{Crdt, CrdtTextError};
use crate::datum::{CastError, Datum, DatumType};
use crate::decimal::Decimal;
use crate::fold::{Effect, Fold, FoldError, FoldValue, Operation, RowState, Shape};
use crate::json::{Json, Limits};

/// What a view is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// What its events are grouped by.
    pub key: Key,
    /// Which events it takes, besides.
    pub filter: Option<Filter>,
    /// Which types it takes; None: all.
    pub types: Option<Vec<String>>,
    /// Which types delete a row.
    pub deletes: Vec<String>,
    /// Its columns.
    pub columns: Columns,
}

/// What an event is to a view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    /// Its type or the filter leaves it out.
    NotTaken,
    /// It has no key: counted as skipped.
    NoKey,
    /// It does something to a row, or only makes that there is one.
    Event {
        /// The row's key.
        key: Vec<Datum>,
        /// What it does.
        effect: Effect,
    },
}

/// An event that a view cannot read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// A part of the key.
    #[error("key {name:?}, path {path}: {error}")]
    Key {
        /// The part.
        name: String,
        /// Where its value stands.
        path: String,
        /// Why it cannot be used.
        error: CastError,
    },
    /// A value of a column.
    #[error("column {column:?}, {source_text}: {error}")]
    Cast {
        /// The column.
        column: String,
        /// The path, or the constant.
        source_text: String,
        /// Why it cannot be used.
        error: CastError,
    },
    /// A CRDT value of a column.
    #[error("column {column:?}, {source_text}: {error}")]
    Crdt {
        /// The column.
        column: String,
        /// The path, or the constant.
        source_text: String,
        /// Why it is none.
        error: CrdtTextError,
    },
}

impl View {
    /// What its rows are made of.
    pub fn shape(&self) -> Shape {
        Shape { folds: self.columns.0.iter().map(|column| column.fold).collect(), deletes: !self.deletes.is_empty() }
    }

    /// The row that a state gives, if its columns can hold it; None where there is none.
    pub fn values(&self, state: &RowState) -> Result<Option<Vec<FoldValue>>, FoldError> {
        let values = state.values()?;
        for (at, (column, value)) in self.columns.0.iter().zip(values.iter().flatten()).enumerate() {
            if column.column_type == ColumnType::Datum(DatumType::Bigint)
                && let FoldValue::Datum(Some(Datum::Numeric(number))) = value
                && number.to_string().parse::<i64>().is_err()
            {
                return Err(FoldError::Range { column: at, value: number.to_string() });
            }
        }
        Ok(values)
    }

    /// Reads an event.
    pub fn read(&self, event: &EventView<'_>) -> Result<Reading, ReadError> {
        let deletes = self.deletes.iter().any(|kind| kind == event.kind);
        let of_type = self.types.as_ref().is_none_or(|types| types.iter().any(|kind| kind == event.kind));
        let taken = (deletes || of_type) && self.filter.as_ref().is_none_or(|filter| filter.takes(event));
        if !taken {
            return Ok(Reading::NotTaken);
        }
        let key = self.key.of(event).map_err(|(part, error)| ReadError::Key {
            name: part.name.clone(),
            path: part.path.to_string(),
            error,
        })?;
        let Some(key) = key else {
            return Ok(Reading::NoKey);
        };
        let effect = if deletes {
            Effect::Delete
        } else {
            let operations = self.columns.0.iter().map(|column| column.operations(event));
            Effect::Fold(operations.collect::<Result<_, _>>()?)
        };
        Ok(Reading::Event { key, effect })
    }
}

/// A value that an event gives, and where it came from.
struct Given<'a> {
    json: Cow<'a, Json>,
    source: &'a Source,
    negated: bool,
}

impl Column {
    /// What an event does to the column.
    pub fn operations(&self, event: &EventView<'_>) -> Result<Vec<Operation>, ReadError> {
        let value = given(&self.value, event);
        let datum_type = match self.column_type {
            ColumnType::Datum(datum_type) => datum_type,
            ColumnType::Crdt(_) => DatumType::Jsonb,
        };
        let cast = |given: &Given<'_>| self.cast(given, datum_type);
        let operations = match self.fold {
            Fold::Count => match (&self.value, value) {
                (None, _) => vec![Operation::Count],
                (Some(_), Some(given)) if *given.json != Json::Null => vec![Operation::Count],
                _ => Vec::new(),
            },
            Fold::Sum | Fold::Avg | Fold::Min | Fold::Max => {
                let datum = value.map(|given| cast(&given)).transpose()?.flatten();
                datum.map(Operation::Give).into_iter().collect()
            }
            Fold::Lww | Fold::Fww | Fold::Mv => {
                let by = given(&self.by, event).map(|given| self.scalar(&given)).transpose()?.flatten();
                match value {
                    // Without the datum that orders it a write has no place.
                    Some(given) if by.is_some() || self.by.is_none() => {
                        vec![Operation::Write { by, value: cast(&given)? }]
                    }
                    _ => Vec::new(),
                }
            }
            Fold::Set | Fold::RwSet => {
                let add = value.map(|given| cast(&given)).transpose()?.flatten();
                let remove = given(&self.remove, event).map(|given| cast(&given)).transpose()?.flatten();
                let (add, remove) = (add.map(Operation::Add), remove.map(Operation::Remove));
                add.into_iter().chain(remove).collect()
            }
            Fold::Flag | Fold::DwFlag => {
                let datum = value.map(|given| cast(&given)).transpose()?.flatten();
                let operation = datum.map(|datum| match datum {
                    Datum::Boolean(true) => Operation::Enable,
                    _ => Operation::Disable,
                });
                operation.into_iter().collect()
            }
            Fold::Map => {
                let text = |given: Given<'_>| self.cast(&given, DatumType::Text);
                let key = given(&self.key, event).map(text).transpose()?.flatten();
                let value = value.map(|given| cast(&given)).transpose()?.flatten();
                let put = key.zip(value).map(|(key, value)| Operation::Put { key, value });
                let dropped = given(&self.remove, event).map(text).transpose()?.flatten();
                put.into_iter().chain(dropped.map(|key| Operation::Drop { key })).collect()
            }
            Fold::Merge => match value {
                Some(given) if *given.json != Json::Null => vec![Operation::Merge(self.crdt(&given)?)],
                _ => Vec::new(),
            },
        };
        Ok(operations)
    }

    fn cast(&self, given: &Given<'_>, datum_type: DatumType) -> Result<Option<Datum>, ReadError> {
        let datum = datum_type.cast(&given.json).map_err(|error| self.cast_error(given, error))?;
        let negative = match (datum, given.negated) {
            (Some(Datum::Numeric(number)), true) => Datum::Numeric(number.negated()),
            // The least integer has no positive: as of any other value that does not fit, the cast of its negative fails.
            (Some(Datum::Bigint(number)), true) => match number.checked_neg() {
                Some(number) => Datum::Bigint(number),
                None => {
                    let error = CastError::of(&given.json, datum_type);
                    return Err(self.cast_error(given, error));
                }
            },
            (datum, _) => return Ok(datum),
        };
        Ok(Some(negative))
    }

    /// What `by` compares: a number, a text or a boolean, as it comes.
    fn scalar(&self, given: &Given<'_>) -> Result<Option<Datum>, ReadError> {
        match (&*given.json, given.negated) {
            (Json::Null, _) => Ok(None),
            (Json::String(text), false) => Ok(Some(Datum::Text(text.clone()))),
            (Json::Bool(value), false) => Ok(Some(Datum::Boolean(*value))),
            (Json::Number(number), negated) => {
                let number = Decimal::from(number);
                Ok(Some(Datum::Numeric(if negated { number.negated() } else { number })))
            }
            (json, _) => Err(self.cast_error(given, CastError::of(json, DatumType::Numeric))),
        }
    }

    fn crdt(&self, given: &Given<'_>) -> Result<Crdt, ReadError> {
        let value = match &*given.json {
            // A value's text, as SQL prints it into an event.
            Json::String(text) => Json::parse(text, Limits::default())
                .map_err(CrdtTextError::from)
                .and_then(|json| Crdt::from_json(&json)),
            json => Crdt::from_json(json),
        };
        let value = value.and_then(|value| match self.column_type {
            ColumnType::Crdt(kind) if kind != value.kind() => {
                Err(CrdtTextError::OtherKind { expected: kind.name(), found: value.kind().name() })
            }
            _ => Ok(value),
        });
        value.map_err(|error| ReadError::Crdt {
            column: self.name.clone(),
            source_text: source_text(given.source),
            error,
        })
    }

    fn cast_error(&self, given: &Given<'_>, error: CastError) -> ReadError {
        ReadError::Cast { column: self.name.clone(), source_text: source_text(given.source), error }
    }
}

/// What a selector gives for an event; None where the path leads nowhere.
fn given<'a>(selector: &'a Option<Selector>, event: &EventView<'a>) -> Option<Given<'a>> {
    let source = selector.as_ref()?.of(event.kind)?;
    let (json, negated) = match source {
        Source::Path(path) => (path.find(event)?, path.negated),
        Source::Constant(json) => (Cow::Borrowed(json), false),
    };
    Some(Given { json, source, negated })
}

fn source_text(source: &Source) -> String {
    match source {
        Source::Path(path) => format!("path {path}"),
        Source::Constant(json) => format!("constant {json}"),
    }
}
