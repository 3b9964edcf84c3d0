//! Loading rows that already have coordinates: `begin_restore()`.
//!
//! A full dump needs none of this: pg_dump creates triggers after the data. A data-only dump meets the stamp, so a
//! superuser may open the database for it, until the first append of its own.

use crate::error::{Error, Result, state};
use crate::scan::column;
use crate::shared;

/// Whether rows may bring their coordinates.
pub fn is_open() -> bool {
    shared::database().is_some_and(|database| database.is_restoring())
}

/// A restored row brings all of them.
pub fn check(nulls: &[bool]) -> Result<()> {
    match (0..=column::TYPE).find(|&column| nulls[column]) {
        None => Ok(()),
        Some(column) => Err(Error::new(
            state::NOT_NULL,
            format!("a restored event must bring every coordinate; \"{}\" is null", column::NAMES[column]),
        )
        .hint("Load the rows as they were dumped.")
        .into()),
    }
}
