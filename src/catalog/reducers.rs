//! Reducers: which functions can be one, and by what a view holds on to its own.

use crate::catalog::table_label;
use crate::error::{Error, Result, internal, state};
use crate::spi::{self, Mode, arg, as_table_owner};
use pgrx::pg_sys::Oid;

const DECLARED_SO: &str =
    "A reducer is declared so: CREATE FUNCTION f(state jsonb, event gundb.event) RETURNS jsonb IMMUTABLE …";

/// Raises unless a function can be a reducer, and the caller may execute it. Returns its name as a call spells it.
pub fn reducer_name(function: Oid) -> Result<String> {
    spi::connect(|spi| {
        let rows = spi.run(
            "SELECT p.oid::pg_catalog.regprocedure::text, p.prokind = 'f', p.proretset, p.provolatile = 'i',
                    p.pronargs = 2 AND p.proargtypes[0] = 'jsonb'::pg_catalog.regtype
                        AND p.proargtypes[1] = 'gundb.event'::pg_catalog.regtype
                        AND p.prorettype = 'jsonb'::pg_catalog.regtype AND p.provariadic = 0,
                    pg_catalog.has_function_privilege(p.oid, 'EXECUTE'),
                    pg_catalog.format('%I.%I', n.nspname, p.proname)
               FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
              WHERE p.oid = $1",
            &[arg::oid(function)],
            Mode::Read,
            1,
        )?;
        let Some(row) = rows.first() else {
            let missing = format!("function with OID {} does not exist", function.to_u32());
            return Err(Error::new(b"42883", missing).hint(DECLARED_SO).into());
        };
        let label = row.text(1).unwrap_or_default();
        let refused = |code, why: &str| Error::new(code, format!("function {label} {why}")).hint(DECLARED_SO);
        let is = |column| row.bool(column) == Some(true);
        if !is(2) {
            return Err(refused(state::WRONG_OBJECT, "cannot be a reducer: it is no plain function").into());
        }
        if is(3) {
            return Err(refused(state::WRONG_OBJECT, "cannot be a reducer: it returns a set").into());
        }
        if !is(5) {
            let why = "cannot be a reducer: it does not take jsonb and gundb.event and return jsonb";
            return Err(refused(state::WRONG_OBJECT, why).into());
        }
        if !is(4) {
            return Err(refused(b"42P17", "cannot be a reducer: it is not IMMUTABLE")
                .detail("What a row is must be a function of its events, the same at every site and at any time.")
                .into());
        }
        if !is(6) {
            return Err(Error::new(state::PRIVILEGE, format!("permission denied for function {label}")).into());
        }
        row.text(7).ok_or_else(|| internal("a function has no name"))
    })
}

/// A function with its arguments, as statements about it spell it.
pub fn function_label(function: Oid) -> Result<String> {
    spi::connect(|spi| {
        let statement = "SELECT $1::pg_catalog.regprocedure::text";
        let rows = spi.run(statement, &[arg::oid(function)], Mode::Read, 1)?;
        rows.first().and_then(|row| row.text(1)).ok_or_else(|| internal("a function has no name"))
    })
}

/// Ties a view's table to its reducer, by the default of the column that the reducer makes. The default is never
/// computed, since maintenance always gives a value. But it makes PostgreSQL itself refuse to drop the function while
/// the view stands, follow it when it is renamed, and dump and restore the tie: nothing of gundb's could do as much.
pub fn tie_reducer(relation: Oid, name: &str) -> Result<()> {
    let label = table_label(relation)?;
    as_table_owner(relation, || {
        let call = format!("{name}(NULL::pg_catalog.jsonb, NULL::gundb.event)");
        let statement = format!("ALTER TABLE {label} ALTER COLUMN state SET DEFAULT {call}");
        spi::connect(|spi| spi.run_once(&statement, Mode::Write).map(drop))
    })
}

/// The table of a reducer view that a column's default ties to its reducer.
pub fn tied_by(default: Oid) -> Result<Option<String>> {
    if !super::has_views()? {
        return Ok(None);
    }
    spi::as_owner(|| {
        spi::with_latest_snapshot(|| {
            spi::connect(|spi| {
                let rows = spi.run(
                    "SELECT d.relation::pg_catalog.text
                       FROM pg_catalog.pg_attrdef f
                       JOIN pg_catalog.pg_attribute a ON a.attrelid = f.adrelid AND a.attnum = f.adnum
                       JOIN gundb.view_definition d ON d.relation::oid = f.adrelid
                      WHERE f.oid = $1 AND a.attname = 'state' AND d.initial IS NOT NULL",
                    &[arg::oid(default)],
                    Mode::Read,
                    1,
                )?;
                Ok(rows.first().and_then(|row| row.text(1)))
            })
        })
    })
}
