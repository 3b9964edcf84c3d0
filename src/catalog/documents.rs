//! JSON that PostgreSQL takes apart or puts together for us.

use crate::error::{Error, Result, internal, state};
use crate::spi::{self, Mode, arg};
use pgrx::pg_sys::{self, Datum};

/// One object of a batch.
pub struct Object {
    pub kind: Option<String>,
    pub data: Option<Datum>,
    pub key: Option<String>,
    pub meta: Option<Datum>,
    pub id: Option<String>,
    pub expected_version: Option<String>,
    /// A property that an event does not have.
    pub unknown: Option<String>,
    /// A property of the wrong JSON type.
    pub wrong_type: Option<String>,
}

/// The objects of a jsonb array, in order.
pub fn objects(array: Datum) -> Result<Vec<Object>> {
    spi::connect(|spi| {
        let array = arg::of(pg_sys::JSONBOID, Some(array));
        let rows = spi.run(
            "SELECT pg_catalog.jsonb_typeof($1), (SELECT min(o) FROM pg_catalog.jsonb_array_elements(
                        CASE pg_catalog.jsonb_typeof($1) WHEN 'array' THEN $1 ELSE '[]' END) WITH ORDINALITY AS a(e, o)
                      WHERE pg_catalog.jsonb_typeof(e) <> 'object')",
            &[array],
            Mode::Read,
            1,
        )?;
        let first = rows.first();
        if first.and_then(|row| row.text(1)).as_deref() != Some("array") {
            return Err(Error::new(state::INVALID_PARAMETER, "events must be a JSON array of objects").into());
        }
        if let Some(place) = first.and_then(|row| row.int8(2)) {
            return Err(
                Error::new(state::INVALID_PARAMETER, format!("event {place} of the batch is not an object")).into()
            );
        }
        let rows = spi.run(
            "SELECT e->>'type', e->'data', e->>'key', e->'meta', e->>'id', e->>'expected_version',
                    (SELECT k FROM pg_catalog.jsonb_object_keys(e) AS k
                      WHERE k NOT IN ('type', 'data', 'key', 'meta', 'id', 'expected_version') ORDER BY k LIMIT 1),
                    (SELECT k FROM pg_catalog.jsonb_each(e) AS p (k, v)
                      WHERE k IN ('type', 'key', 'id') AND pg_catalog.jsonb_typeof(v) NOT IN ('string', 'null')
                         OR k = 'expected_version' AND pg_catalog.jsonb_typeof(v) NOT IN ('number', 'null')
                      ORDER BY k LIMIT 1)
               FROM pg_catalog.jsonb_array_elements($1) WITH ORDINALITY AS a(e, o) ORDER BY o",
            &[array],
            Mode::Read,
            0,
        )?;
        // SAFETY: jsonb columns; copied out of SPI's memory, which goes with the connection.
        let copied = |datum: Option<Datum>| datum.map(|datum| unsafe { spi::copy_out(datum) });
        let object = |row: spi::Row| Object {
            kind: row.text(1),
            data: copied(row.datum(2)),
            key: row.text(3),
            meta: copied(row.datum(4)),
            id: row.text(5),
            expected_version: row.text(6),
            unknown: row.text(7),
            wrong_type: row.text(8),
        };
        Ok(rows.iter().map(object).collect())
    })
}

/// `meta` with the session user in `actor`.
pub fn with_actor(meta: Option<Datum>) -> Result<Datum> {
    spi::connect(|spi| {
        let rows = spi.run(
            "SELECT coalesce($1, '{}') || pg_catalog.jsonb_build_object('actor', SESSION_USER)",
            &[arg::of(pg_sys::JSONBOID, meta)],
            Mode::Read,
            1,
        )?;
        let datum = rows.first().and_then(|row| row.datum(1)).ok_or_else(|| internal("no meta came back"))?;
        // Copied out of SPI's memory, which goes with the connection.
        // SAFETY: a jsonb is a varlena.
        unsafe { Ok(spi::copy_out(datum)) }
    })
}
