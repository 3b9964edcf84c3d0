//! Which streams there are, who may use them, and whether their triggers fire.

use crate::boundary::try_pg;
use crate::catalog::extension;
use crate::error::{Error, Result, internal, state};
use crate::scan::As;
use crate::spi::{self, Mode, arg};
use gundb_core::StreamId;
use pgrx::pg_sys::{self, Oid};
use std::collections::BTreeSet;
use uuid::Uuid;

/// A stream and its table.
pub struct StreamTable {
    pub name: String,
    pub stream: StreamId,
    pub table: Oid,
}

/// Every stream that has a table here, by name.
pub fn streams() -> Result<Vec<StreamTable>> {
    spi::connect(|spi| {
        let rows = spi.run("SELECT name, relid FROM gundb.stream_table ORDER BY name", &[], Mode::Read, 0)?;
        rows.iter()
            .map(|row| {
                let (Some(name), Some(table)) = (row.text(1), row.oid(2)) else {
                    return Err(internal("gundb.stream_table gave a NULL"));
                };
                Ok(StreamTable { stream: StreamId::of_name(&name), name, table })
            })
            .collect()
    })
}

/// Locks out every other session that would change the set of streams, until the end of the transaction.
pub fn lock_streams() -> Result<()> {
    lock(extension()?.event, pg_sys::ShareUpdateExclusiveLock)
}

/// Locks out everybody from a table, until the end of the transaction.
pub fn lock_table(table: Oid) -> Result<()> {
    lock(table, pg_sys::AccessExclusiveLock)
}

/// Locks a table until the end of the transaction.
pub fn lock(relation: Oid, mode: u32) -> Result<()> {
    unsafe extern "C-unwind" {
        fn LockRelationOid(relation: Oid, mode: pg_sys::LOCKMODE);
    }
    // SAFETY: reads a flag.
    if unsafe { pg_sys::RecoveryInProgress() } {
        return Err(Error::new(state::READ_ONLY, "cannot change streams during recovery").into());
    }
    // SAFETY: an ordinary table lock.
    try_pg(|| unsafe { LockRelationOid(relation, mode as pg_sys::LOCKMODE) })
}

/// The table of a stream, if it has one here.
pub fn stream_table(name: &str) -> Result<Option<Oid>> {
    spi::with_latest_snapshot(|| {
        spi::connect(|spi| {
            let rows =
                spi.run("SELECT relid FROM gundb.stream_table WHERE name = $1", &[arg::text(name)], Mode::Read, 1)?;
            Ok(rows.first().and_then(|row| row.oid(1)))
        })
    })
}

/// The ids that stand in a stream's table more than once.
pub fn repeated_ids(table: Oid, label: &str, at: As) -> Result<BTreeSet<Uuid>> {
    let statement = format!("SELECT id FROM ONLY {label} GROUP BY id HAVING count(*) > 1");
    let find = || {
        spi::connect(|spi| {
            let rows = spi.run(&statement, &[], Mode::Read, 0)?;
            Ok(rows.iter().filter_map(|row| row.uuid(1)).map(Uuid::from_bytes).collect())
        })
    };
    spi::as_table_owner(table, || match at {
        As::OfNow => spi::with_latest_snapshot(find),
        As::OfSnapshot => find(),
    })
}

/// Whether a table is the one table of a stream: a child of gundb.event, and the only one that bears the name.
pub fn is_table_of(name: &str, table: Oid) -> Result<bool> {
    spi::with_latest_snapshot(|| {
        spi::connect(|spi| {
            let rows =
                spi.run("SELECT relid FROM gundb.stream_table WHERE name = $1", &[arg::text(name)], Mode::Read, 0)?;
            Ok(rows.len() == 1 && rows.first().and_then(|row| row.oid(1)) == Some(table))
        })
    })
}

/// Whether the table that a trigger or an inheritance belongs to is a stream.
pub fn is_stream_table(table: Oid) -> Result<bool> {
    spi::connect(|spi| {
        let rows = spi.run("SELECT 1 FROM gundb.stream_table WHERE relid = $1", &[arg::oid(table)], Mode::Read, 1)?;
        Ok(!rows.is_empty())
    })
}

/// The stream whose only stamp a trigger is: the table's name and the stream's.
pub fn stream_of_trigger(trigger: Oid) -> Result<Option<(String, String)>> {
    spi::with_latest_snapshot(|| {
        spi::connect(|spi| {
            let rows = spi.run(
                "WITH stamp AS (
                     SELECT * FROM pg_catalog.pg_trigger
                      WHERE tgfoid = 'gundb.stamp'::pg_catalog.regproc AND tgnargs = 1 AND tgtype = 7
                 )
                 SELECT t.tgrelid::pg_catalog.regclass::text,
                        pg_catalog.convert_from(
                            pg_catalog.substr(t.tgargs, 1, pg_catalog.octet_length(t.tgargs) - 1), 'UTF8')
                   FROM stamp t
                  WHERE t.oid = $1
                    AND EXISTS (SELECT FROM pg_catalog.pg_inherits i WHERE i.inhrelid = t.tgrelid
                                   AND i.inhparent = 'gundb.event'::pg_catalog.regclass)
                    AND NOT EXISTS (
                            SELECT FROM stamp other WHERE other.tgrelid = t.tgrelid AND other.oid <> t.oid)",
                &[arg::oid(trigger)],
                Mode::Read,
                1,
            )?;
            Ok(rows.first().and_then(|row| Some((row.text(1)?, row.text(2)?))))
        })
    })
}

/// Sets gundb's triggers firing always again, of one table or of all: `pg_restore --disable-triggers` and whoever else
/// disables and enables a table's triggers leaves them plain. Disabled ones stay so: somebody is restoring.
pub fn repair_triggers(table: Option<Oid>) -> Result<()> {
    spi::connect(|spi| {
        let rows = spi.run(
            "SELECT t.tgrelid::pg_catalog.regclass::text, pg_catalog.quote_ident(t.tgname)
               FROM pg_catalog.pg_trigger t
               JOIN pg_catalog.pg_proc p ON p.oid = t.tgfoid AND p.pronamespace = pg_catalog.to_regnamespace('gundb')
              WHERE t.tgrelid = coalesce($1, t.tgrelid) AND t.tgenabled IN ('O', 'R') AND NOT t.tgisinternal
                AND p.proname IN ('stamp', 'guard', 'maintain', 'guard_view')",
            &[arg::oid_or_null(table)],
            Mode::Write,
            0,
        )?;
        let found = rows.iter().filter_map(|row| Some((row.text(1)?, row.text(2)?))).collect::<Vec<_>>();
        for (table, trigger) in found {
            spi.run_once(&format!("ALTER TABLE {table} ENABLE ALWAYS TRIGGER {trigger}"), Mode::Write)?;
        }
        Ok(())
    })
}

/// The stream's table, as SQL writes it, whose events are found by an index: its primary key, or the one on id.
///
/// Asks PostgreSQL's catalogs alone, since DROP EXTENSION may have dropped gundb's views already.
pub fn table_found_by(index: Oid) -> Result<Option<String>> {
    let parent = extension()?.event;
    spi::with_latest_snapshot(|| {
        spi::connect(|spi| {
            let rows = spi.run(
                "SELECT i.indrelid::pg_catalog.regclass::text
                   FROM pg_catalog.pg_index i
                   JOIN pg_catalog.pg_inherits h ON h.inhrelid = i.indrelid AND h.inhparent = $2
                   JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attname = 'id'
                  WHERE i.indexrelid = $1
                    AND (i.indisprimary OR i.indisunique AND i.indkey[0] = a.attnum AND i.indexprs IS NOT NULL)",
                &[arg::oid(index), arg::oid(parent)],
                Mode::Read,
                1,
            )?;
            Ok(rows.first().and_then(|row| row.text(1)))
        })
    })
}

/// Whether the caller owns a table, or is a member of the role that does.
pub fn may_own(table: Oid) -> Result<bool> {
    spi::connect(|spi| {
        let rows = spi.run(
            "SELECT pg_catalog.pg_has_role(relowner, 'USAGE') FROM pg_catalog.pg_class WHERE oid = $1",
            &[arg::oid(table)],
            Mode::Read,
            1,
        )?;
        Ok(rows.first().and_then(|row| row.bool(1)).unwrap_or(false))
    })
}

/// Whether the caller may do `privilege` to a table.
pub fn has_privilege(table: Oid, privilege: &str) -> Result<bool> {
    spi::connect(|spi| {
        let rows = spi.run(
            "SELECT pg_catalog.has_table_privilege($1, $2)",
            &[arg::oid(table), arg::text(privilege)],
            Mode::Read,
            1,
        )?;
        Ok(rows.first().and_then(|row| row.bool(1)).unwrap_or(false))
    })
}

/// Whether row security decides which rows of a table the caller sees.
pub fn has_row_security(table: Oid) -> Result<bool> {
    spi::connect(|spi| {
        let statement = "SELECT pg_catalog.row_security_active($1)";
        let rows = spi.run(statement, &[arg::oid(table)], Mode::Read, 1)?;
        Ok(rows.first().and_then(|row| row.bool(1)).unwrap_or(true))
    })
}
