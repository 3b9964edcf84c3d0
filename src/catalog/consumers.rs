//! Consumers: durable positions, each moved in its caller's transaction.

use crate::catalog::{clock_arg, text_array_arg};
use crate::error::{Error, Result, state};
use crate::spi::{self, Mode, arg, as_owner};
use gundb_core::Clock;
use pgrx::pg_sys;

/// A consumer, locked until the end of the transaction.
pub struct Consumer {
    pub stream: Option<String>,
    pub types: Option<Vec<String>>,
    pub position: Clock,
}

/// Makes a consumer, owned by the caller.
pub fn create_consumer(name: &str, stream: Option<&str>, types: Option<&[String]>, position: &Clock) -> Result<()> {
    // SAFETY: reads the current user.
    let caller = unsafe { pg_sys::GetUserId() };
    let position = clock_arg(position)?;
    as_owner(|| {
        spi::connect(|spi| {
            let rows = spi.run(
                "INSERT INTO gundb.consumer_state (name, stream, types, position, owner)
                 VALUES ($1, $2, $3, $4, $5::pg_catalog.regrole) ON CONFLICT DO NOTHING",
                &[arg::text(name), arg::text_or_null(stream), text_array_arg(types), position, arg::oid(caller)],
                Mode::Write,
                0,
            )?;
            if rows.is_empty() {
                return Err(Error::new(state::DUPLICATE_OBJECT, format!("consumer \"{name}\" already exists"))
                    .hint("To move it: SELECT gundb.seek_consumer('name', …);")
                    .into());
            }
            Ok(())
        })
    })
}

/// Locks a consumer of the caller's; waits for whoever is consuming with it.
pub fn lock_consumer(name: &str) -> Result<Consumer> {
    // SAFETY: reads the current user.
    let caller = unsafe { pg_sys::GetUserId() };
    as_owner(|| {
        spi::connect(|spi| {
            let rows = spi.run(
                "SELECT stream, types, position,
                        coalesce(pg_catalog.pg_has_role($2, owner::oid, 'USAGE'), false)
                   FROM gundb.consumer_state WHERE name = $1 FOR UPDATE",
                &[arg::text(name), arg::oid(caller)],
                Mode::Write,
                0,
            )?;
            let Some(row) = rows.first() else {
                let rows = spi.run("SELECT name FROM gundb.consumer_state", &[], Mode::Write, 0)?;
                let names = rows.iter().filter_map(|row| row.text(1)).collect::<Vec<_>>();
                let error = Error::new(state::UNDEFINED_CONSUMER, format!("consumer \"{name}\" does not exist"));
                return Err(match gundb_core::suggest::similar(name, names.iter().map(String::as_str)) {
                    Some(similar) => error.hint(format!("Did you mean \"{similar}\"?")),
                    None => error.hint("Make it with SELECT gundb.create_consumer('name', 'stream');"),
                }
                .into());
            };
            if row.bool(4) != Some(true) {
                return Err(Error::new(state::PRIVILEGE, format!("must be owner of consumer \"{name}\"")).into());
            }
            let types = row.datum(2).map(|datum| {
                // SAFETY: the column is text[] without NULLs.
                unsafe { crate::call::array_elements(datum, pg_sys::TEXTOID) }
                    .into_iter()
                    .flatten()
                    .map(|element| unsafe { spi::text_of(element) }.to_owned())
                    .collect()
            });
            Ok(Consumer { stream: row.text(1), types, position: row.clock(3)?.unwrap_or_default() })
        })
    })
}

/// Moves a locked consumer.
pub fn move_consumer(name: &str, position: &Clock) -> Result<()> {
    let position = clock_arg(position)?;
    as_owner(|| {
        spi::connect(|spi| {
            spi.run(
                "UPDATE gundb.consumer_state SET position = $2, moved = pg_catalog.clock_timestamp() WHERE name = $1",
                &[arg::text(name), position],
                Mode::Write,
                0,
            )
            .map(drop)
        })
    })
}

/// Drops a locked consumer.
pub fn drop_consumer(name: &str) -> Result<()> {
    as_owner(|| {
        spi::connect(|spi| {
            spi.run("DELETE FROM gundb.consumer_state WHERE name = $1", &[arg::text(name)], Mode::Write, 0).map(drop)
        })
    })
}
