//! Streams of peers that become tables here: in `gundb.stream_schema`, owned by the extension's owner, granted to nobody.
//!
//! Must hold: only what a peer that may define has declared, and what is taken from somebody, or has been imported; a stream that was dropped
//! here does not come back. Nobody waits long for the lock that a new table takes: an open transaction may hold it.

use crate::attempt::{Patience, Why, attempt};
use crate::catalog::{self, Place};
use crate::error::Result;
use crate::replication::flows;
use crate::{settings, spi};
use gundb_core::{StreamId, StreamName};

/// Streams adopted in one transaction: each takes some locks.
const AT_ONCE: usize = 16;

/// Names tried where a stream's own is taken.
const NAMES_MAX: usize = 10;

/// What came of making tables.
#[derive(Default)]
pub struct Adopted {
    /// Whether some streams still lack one.
    pub lacking: bool,
    /// Whether one was made.
    pub made: bool,
}

/// Makes tables of streams that were declared elsewhere.
pub fn adopt() -> Result<Adopted> {
    let (mut adopted, mut tried) = (Adopted::default(), 0);
    if !catalog::has_peers()? {
        return Ok(adopted);
    }
    let waited_for = catalog::staged_streams(true)?;
    for declared in catalog::declared_without_table()? {
        // What cannot be a name here was not declared by gundb. What has come, by whomever it was imported, is taken.
        let has_come = waited_for.contains(&StreamId::of_name(&declared.name));
        if declared.name.parse::<StreamName>().is_err() || !has_come && !flows::is_taken(&declared.name)? {
            continue;
        }
        if !declared.is_due || tried == AT_ONCE {
            adopted.lacking = true;
            continue;
        }
        tried += 1;
        let made = spi::as_owner(|| adopt_one(&declared.name))?;
        adopted.made |= made;
        adopted.lacking |= !made;
    }
    Ok(adopted)
}

/// Makes the table of a stream, under another name if its own is taken. Says whether it stands.
fn adopt_one(name: &str) -> Result<bool> {
    let schema = settings::stream_schema();
    if schema == "gundb" || schema.starts_with("pg_") {
        catalog::note_adoption(name, Some(&format!("gundb.stream_schema cannot be \"{schema}\"")), None)?;
        return Ok(false);
    }
    for number in 1..=NAMES_MAX {
        let table = if number == 1 { name.to_owned() } else { format!("{name}_{number}") };
        let place = Place { schema: schema.clone(), table: Some(table.clone()) };
        let as_made = (number > 1).then_some(table.as_str());
        let made = attempt(Patience::Short, || {
            catalog::lock_streams()?;
            // Somebody may have been first.
            match catalog::stream_table(name)? {
                Some(_) => Ok(()),
                None => catalog::create_stream_table(name, &place).map(drop),
            }
        })?;
        match made {
            Ok(()) => {
                let problem =
                    (number > 1).then(|| format!("the name was taken in schema {schema}: the table is \"{table}\""));
                catalog::note_adoption(name, problem.as_deref(), as_made)?;
                return Ok(true);
            }
            Err(why) if is_taken(&why) => continue,
            Err(why) => {
                catalog::note_adoption(name, Some(&why.reason), None)?;
                return Ok(false);
            }
        }
    }
    catalog::note_adoption(name, Some(&format!("the name, and others like it, are taken in schema {schema}")), None)?;
    Ok(false)
}

/// Whether something of the name is there: a table, or a type.
fn is_taken(why: &Why) -> bool {
    ["42P07", "42710"].contains(&why.sqlstate.as_str())
}
