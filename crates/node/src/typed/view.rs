//! A view's rows as values: a struct with a field for the key and for each column, by their names.

use std::marker::PhantomData;
use std::sync::Arc;

use gundb_core::Clock;
use serde::de::DeserializeOwned;

use crate::error::{Error, Kind, Result};
use crate::store::Edge;
use crate::view::{Row, View};

/// The rows of a view.
pub struct Rows<'e, R> {
    edge: &'e Edge,
    view: Arc<View>,
    says: PhantomData<fn() -> R>,
}

impl Edge {
    /// A view whose rows are read as values: of the key and the columns as `gundb view show --json` prints them.
    pub fn rows_of<R: DeserializeOwned>(&self, view: &str) -> Result<Rows<'_, R>> {
        Ok(Rows { edge: self, view: self.view(view)?, says: PhantomData })
    }
}

impl<R: DeserializeOwned> Rows<'_, R> {
    /// The row of a key.
    pub fn get(&self, key: &str) -> Result<Option<R>> {
        self.edge.view_rows(&self.view.name, Some(key))?.first().map(|row| self.read(row)).transpose()
    }

    /// All rows, in the order of their keys.
    pub fn all(&self) -> Result<Vec<R>> {
        self.edge.view_rows(&self.view.name, None)?.iter().map(|row| self.read(row)).collect()
    }

    /// All rows as they were.
    pub fn at(&self, clock: &Clock) -> Result<Vec<R>> {
        self.edge.view_at(&self.view.name, clock, None)?.iter().map(|row| self.read(row)).collect()
    }

    fn read(&self, row: &Row) -> Result<R> {
        serde_json::from_str(&row.json(&self.view)).map_err(|why| {
            Error::new(Kind::Invalid, format!("a row of view \"{}\" does not fit: {why}", self.view.name))
                .hint("A column of which nothing is known is null: an Option. gundb view show --json shows the rows.")
        })
    }
}
