//! gundb's own tables: the one file that spells SQL against them.
//!
//! Names are always qualified, so no search path can lead a statement elsewhere. What a user's right decides runs
//! as the user; what gundb must be able to do whoever appends runs inside [`spi::as_owner`].

use crate::boundary::try_pg;
use crate::error::{Error, Result, internal, state};
use crate::scan::{stored_hlc, to_stored};
use crate::shared::Running;
use crate::spi::{self, Mode, Spi, arg, as_owner};
use gundb_core::schema::Schema;
use gundb_core::{Clock, Hlc, Lane, Run, SiteId, StreamId};
use pgrx::pg_sys::{self, Datum, Oid};
use std::cell::Cell;
use std::collections::HashMap;
use uuid::Uuid;

/// What never changes while the extension stands.
#[derive(Clone, Copy)]
pub struct Extension {
    pub oid: Oid,
    pub owner: Oid,
    /// The table `gundb.event`.
    pub event: Oid,
    pub clock_type: Oid,
    pub hlc_type: Oid,
    pub lane_type: Oid,
    pub dot_type: Oid,
    pub stamp_function: Oid,
}

thread_local! {
    static EXTENSION: Cell<Option<Extension>> = const { Cell::new(None) };
    static LAST_SEEN: Cell<u32> = const { Cell::new(0) };
}

/// Forgets what [`extension`] remembers; called when a relation that it names changes.
pub fn forget() {
    EXTENSION.set(None);
}

/// Whether a change of relation `oid` (0: of any) makes what is remembered doubtful.
pub fn depends_on(oid: Oid) -> bool {
    EXTENSION.get().is_some_and(|extension| oid == Oid::INVALID || oid == extension.event)
}

/// The oid of `gundb.event`, or none.
pub fn extension_event() -> Oid {
    EXTENSION.get().map_or(Oid::INVALID, |extension| extension.event)
}

/// The extension in this database.
pub fn extension() -> Result<Extension> {
    find_extension()?.ok_or_else(|| {
        Error::new(state::UNDEFINED_OBJECT, "extension \"gundb\" does not exist in this database")
            .hint("Run CREATE EXTENSION gundb;")
            .into()
    })
}

/// The extension in this database, if it is there.
pub fn find_extension() -> Result<Option<Extension>> {
    if let Some(known) = EXTENSION.get() {
        return Ok(Some(known));
    }
    let found = spi::connect(|spi| {
        let rows = spi.run(
            "SELECT x.oid, x.extowner, c.oid,
                    (SELECT t.oid FROM pg_catalog.pg_type t WHERE t.typnamespace = n.oid AND t.typname = 'clock'),
                    (SELECT t.oid FROM pg_catalog.pg_type t WHERE t.typnamespace = n.oid AND t.typname = 'hlc'),
                    (SELECT t.oid FROM pg_catalog.pg_type t WHERE t.typnamespace = n.oid AND t.typname = 'lane'),
                    (SELECT t.oid FROM pg_catalog.pg_type t WHERE t.typnamespace = n.oid AND t.typname = 'dot'),
                    (SELECT p.oid FROM pg_catalog.pg_proc p WHERE p.pronamespace = n.oid AND p.proname = 'stamp')
               FROM pg_catalog.pg_extension x
               JOIN pg_catalog.pg_namespace n ON n.oid = x.extnamespace
               JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = 'event'
              WHERE x.extname = 'gundb'",
            &[],
            Mode::Read,
            1,
        )?;
        Ok(rows.first().and_then(|row| {
            Some(Extension {
                oid: row.oid(1)?,
                owner: row.oid(2)?,
                event: row.oid(3)?,
                clock_type: row.oid(4)?,
                hlc_type: row.oid(5)?,
                lane_type: row.oid(6)?,
                dot_type: row.oid(7)?,
                stamp_function: row.oid(8)?,
            })
        }))
    })?;
    // Kept plans name the types of the extension that was here when they were made.
    let oid = found.map_or(0, |found| found.oid.to_u32());
    let before = LAST_SEEN.replace(oid);
    if before != oid && before != 0 {
        spi::forget_plans();
    }
    EXTENSION.set(found);
    Ok(found)
}

/// The role that owns the extension.
pub fn owner() -> Result<Oid> {
    Ok(extension()?.owner)
}

/// The version of the extension in this database.
pub fn version() -> Result<String> {
    spi::connect(|spi| {
        let rows =
            spi.run("SELECT extversion FROM pg_catalog.pg_extension WHERE extname = 'gundb'", &[], Mode::Read, 1)?;
        rows.first().and_then(|row| row.text(1)).ok_or_else(|| internal("the extension is gone"))
    })
}

/// Whether a version is beyond this library's.
pub fn is_newer_than_library(version: &str) -> bool {
    let parts = |version: &str| version.split('.').map(|part| part.parse::<u64>().unwrap_or(0)).collect::<Vec<_>>();
    parts(version) > parts(env!("CARGO_PKG_VERSION"))
}

/// Sets gundb's triggers firing always again: `pg_restore --disable-triggers` leaves them plain.
pub fn repair_triggers() -> Result<()> {
    spi::connect(|spi| {
        let rows = spi.run(
            "SELECT t.tgrelid::pg_catalog.regclass::text, pg_catalog.quote_ident(t.tgname)
               FROM gundb.stream_table s JOIN pg_catalog.pg_trigger t ON t.tgrelid = s.relid
              WHERE t.tgname IN ('zz_gundb_stamp', 'gundb_guard', 'gundb_guard_truncate') AND t.tgenabled = 'O'",
            &[],
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

/// A clock as an argument.
pub fn clock_arg(clock: &Clock) -> Result<spi::Arg> {
    Ok(arg::of(extension()?.clock_type, Some(spi::varlena(&clock.encode()))))
}

/// A lane as an argument.
pub fn lane_arg(lane: Lane) -> Result<spi::Arg> {
    Ok(arg::of(extension()?.lane_type, Some(Datum::from(to_stored(lane.to_bits())))))
}

/// An array of texts as an argument.
pub fn text_array_arg(texts: Option<&[String]>) -> spi::Arg {
    arg::of(pg_sys::TEXTARRAYOID, texts.map(spi::text_array))
}

/// A stamp as an argument.
pub fn hlc_arg(hlc: Hlc) -> Result<spi::Arg> {
    Ok(arg::of(extension()?.hlc_type, Some(Datum::from(to_stored(hlc.to_bits())))))
}

// ---------------------------------------------------------------------------------------------------------------
// Runs and epochs
// ---------------------------------------------------------------------------------------------------------------

/// The last run of this site that the database knows: the site and the run.
pub fn last_run() -> Result<Option<(SiteId, Run)>> {
    as_owner(|| {
        spi::with_latest_snapshot(|| {
            spi::connect(|spi| {
                let rows =
                    spi.run("SELECT site, run FROM gundb.own_run ORDER BY started DESC LIMIT 1", &[], Mode::Read, 1)?;
                let Some(row) = rows.first() else { return Ok(None) };
                let (Some(site), Some(run)) = (row.uuid(1), row.int8(2).and_then(|run| Run::new(run as u64))) else {
                    return Err(internal("gundb.own_run holds a damaged row"));
                };
                Ok(Some((SiteId(Uuid::from_bytes(site)), run)))
            })
        })
    })
}

/// Writes the run's record and its epoch 0. Copies are harmless: all are equal, and readers take one.
///
/// Without a clock, the epoch is left to a later transaction.
pub fn record_run(running: &Running, clock: Option<&Clock>) -> Result<()> {
    as_owner(|| {
        let started = hlc_arg(running.started)?;
        spi::connect(|spi| {
            spi.run(
                "INSERT INTO gundb.own_run (site, run, previous, started) VALUES ($1, $2, nullif($3, 0), $4)",
                &[arg::uuid(&running.site), arg::int8(running.run as i64), arg::int8(running.previous as i64), started],
                Mode::Write,
                0,
            )?;
            let Some(clock) = clock else { return Ok(()) };
            let clock = clock_arg(clock)?;
            spi.run(
                "INSERT INTO gundb.epoch (site, run, number, clock) VALUES ($1, $2, 0, $3)",
                &[arg::uuid(&running.site), arg::int8(running.run as i64), clock],
                Mode::Write,
                0,
            )?;
            Ok(())
        })
    })
}

/// The clock that an epoch stands for, as this transaction sees it.
pub fn epoch_clock(site: &SiteId, run: Run, number: u64) -> Result<Option<Clock>> {
    as_owner(|| {
        spi::connect(|spi| {
            let rows = spi.run(
                "SELECT clock FROM gundb.epoch WHERE site = $1 AND run = $2 AND number = $3 LIMIT 1",
                &[arg::uuid(site.0.as_bytes()), arg::int8(run.number() as i64), arg::int8(number as i64)],
                Mode::Read,
                1,
            )?;
            rows.first().map_or(Ok(None), |row| row.clock(1))
        })
    })
}

/// The stored high-water mark of the hybrid logical clock.
pub fn stored_mark() -> Result<Hlc> {
    as_owner(|| {
        spi::connect(|spi| {
            let rows = spi.run("SELECT last_value FROM gundb.hlc_mark", &[], Mode::Read, 1)?;
            let mark = rows.first().and_then(|row| row.int8(1)).ok_or_else(|| internal("gundb.hlc_mark is empty"))?;
            Ok(stored_hlc(mark))
        })
    })
}

/// Stores a high-water mark: WAL-logged, and not undone by a rollback.
pub fn store_mark(mark: Hlc) -> Result<()> {
    as_owner(|| {
        spi::connect(|spi| {
            spi.run(
                "SELECT pg_catalog.setval('gundb.hlc_mark', greatest($1, last_value)) FROM gundb.hlc_mark",
                &[arg::int8(to_stored(mark.to_bits()))],
                Mode::Write,
                0,
            )?;
            Ok(())
        })
    })
}

// ---------------------------------------------------------------------------------------------------------------
// Streams
// ---------------------------------------------------------------------------------------------------------------

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

fn lock(relation: Oid, mode: u32) -> Result<()> {
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

/// Where a stream's table is to stand.
pub struct Place {
    pub schema: String,
    /// None: the stream's name.
    pub table: Option<String>,
}

/// Reads `table` or `schema.table` as an identifier; the schema is the caller's, who must be allowed to create there.
pub fn place_of(as_table: Option<&str>) -> Result<Place> {
    let current = spi::connect_as_caller(|spi| {
        let rows = spi.run("SELECT pg_catalog.current_schema()::pg_catalog.text", &[], Mode::Read, 1)?;
        Ok(rows.first().and_then(|row| row.text(1)))
    })?;
    spi::connect(|spi| {
        let rows = spi.run(
            "SELECT part[1], part[2], pg_catalog.cardinality(part)
               FROM (SELECT CASE WHEN $1 IS NULL THEN '{}'::text[] ELSE pg_catalog.parse_ident($1) END AS part) AS p",
            &[arg::text_or_null(as_table)],
            Mode::Read,
            1,
        )?;
        let row = rows.first().ok_or_else(|| internal("parse_ident gave nothing"))?;
        let (schema, table) = match row.int4(3) {
            Some(0) => (current, None),
            Some(1) => (current, row.text(1)),
            Some(2) => (row.text(1), row.text(2)),
            _ => {
                return Err(Error::new(state::INVALID_NAME, "as_table must be a table's name, or schema.table").into());
            }
        };
        let schema = schema.ok_or_else(|| {
            Error::new(b"3F000", "no schema has been selected to create the stream's table in")
                .hint("Set search_path, or name one: as_table => 'schema.table'.")
        })?;
        if schema == "gundb" || schema.starts_with("pg_") {
            return Err(Error::new(b"42939", format!("a stream's table cannot stand in schema \"{schema}\""))
                .hint("Name another: as_table => 'schema.table'.")
                .into());
        }
        let rows = spi.run(
            "SELECT n.oid IS NOT NULL, pg_catalog.has_schema_privilege(n.oid, 'CREATE')
               FROM (SELECT $1 AS name) AS s LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = s.name",
            &[arg::text(&schema)],
            Mode::Read,
            1,
        )?;
        let row = rows.first().ok_or_else(|| internal("pg_namespace gave nothing"))?;
        if row.bool(1) != Some(true) {
            return Err(Error::new(b"3F000", format!("schema \"{schema}\" does not exist")).into());
        }
        if row.bool(2) != Some(true) {
            return Err(Error::new(state::PRIVILEGE, format!("permission denied for schema {schema}")).into());
        }
        Ok(Place { schema, table })
    })
}

/// The table that stands at a place, if any.
pub fn find_table(place: &Place) -> Result<Option<Oid>> {
    spi::connect(|spi| {
        let rows = spi.run(
            "SELECT c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
              WHERE n.nspname = $1 AND c.relname = $2",
            &[arg::text(&place.schema), arg::text_or_null(place.table.as_deref())],
            Mode::Read,
            1,
        )?;
        Ok(rows.first().and_then(|row| row.oid(1)))
    })
}

/// A table's name as SQL writes it: quoted, and qualified always. Read anew each time: a schema may be renamed.
pub fn table_label(table: Oid) -> Result<String> {
    // SAFETY: both names are palloc'ed copies or null.
    unsafe {
        let name = pg_sys::get_rel_name(table);
        let schema = pg_sys::get_namespace_name(pg_sys::get_rel_namespace(table));
        if name.is_null() || schema.is_null() {
            return Err(internal(format!("table {} is gone", table.to_u32())));
        }
        let text = |name: *mut core::ffi::c_char| std::ffi::CStr::from_ptr(name).to_string_lossy().into_owned();
        Ok(format!("{}.{}", quote_identifier(&text(schema)), quote_identifier(&text(name))))
    }
}

fn quote_identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn quote_literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    // A backslash must mean itself whatever standard_conforming_strings says.
    if quoted.contains('\\') { format!("E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}

/// Makes a stream's table: a child of gundb.event with its keys and triggers, owned by the caller.
pub fn create_stream_table(name: &str, place: &Place) -> Result<Oid> {
    // SAFETY: reads the current user.
    let caller = unsafe { pg_sys::GetUserId() };
    let table_name = place.table.as_deref().unwrap_or(name);
    if table_name.len() > 63 {
        return Err(
            Error::new(state::NAME_TOO_LONG, format!("table name \"{table_name}\" is longer than 63 bytes")).into()
        );
    }
    let table = format!("{}.{}", quote_identifier(&place.schema), quote_identifier(table_name));
    let stream = quote_literal(name);
    as_owner(|| {
        spi::connect(|spi| {
            for statement in [
                format!("CREATE TABLE {table} () INHERITS (gundb.event)"),
                format!("ALTER TABLE {table} ADD PRIMARY KEY (site, lane, seq)"),
                // Within a run an id is unique; what another run or site accepted under it is another row.
                format!("CREATE UNIQUE INDEX ON {table} (id, site, ((lane::bigint) >> 16))"),
                format!("CREATE INDEX ON {table} (hlc)"),
                format!("CREATE INDEX ON {table} (key, hlc) WHERE key IS NOT NULL"),
                format!(
                    "CREATE TRIGGER zz_gundb_stamp BEFORE INSERT ON {table}
                         FOR EACH ROW EXECUTE FUNCTION gundb.stamp({stream})"
                ),
                format!(
                    "CREATE TRIGGER gundb_guard BEFORE UPDATE OR DELETE ON {table}
                         FOR EACH ROW EXECUTE FUNCTION gundb.guard()"
                ),
                format!(
                    "CREATE TRIGGER gundb_guard_truncate BEFORE TRUNCATE ON {table}
                         FOR EACH STATEMENT EXECUTE FUNCTION gundb.guard()"
                ),
                format!("ALTER TABLE {table} ENABLE ALWAYS TRIGGER zz_gundb_stamp"),
                format!("ALTER TABLE {table} ENABLE ALWAYS TRIGGER gundb_guard"),
                format!("ALTER TABLE {table} ENABLE ALWAYS TRIGGER gundb_guard_truncate"),
                format!("COMMENT ON TABLE {table} IS {}", quote_literal(&format!("gundb stream \"{name}\""))),
            ] {
                spi.run_once(&statement, Mode::Write)?;
            }
            let rows = spi.run(
                "SELECT pg_catalog.pg_get_userbyid($1)::text, $2::pg_catalog.regclass::oid",
                &[arg::oid(caller), arg::text(&table)],
                Mode::Write,
                1,
            )?;
            let row = rows.first().ok_or_else(|| internal("the new table is gone"))?;
            let (Some(role), Some(oid)) = (row.text(1), row.oid(2)) else {
                return Err(internal("the new table is gone"));
            };
            spi.run_once(&format!("ALTER TABLE {table} OWNER TO {}", quote_identifier(&role)), Mode::Write)?;
            Ok(oid)
        })
    })
}

/// Empties a stream's table.
pub fn truncate(table: Oid) -> Result<()> {
    let label = table_label(table)?;
    spi::connect(|spi| spi.run_once(&format!("TRUNCATE {label}"), Mode::Write).map(drop))
}

/// Sets every consumer to the beginning and forgets what was remembered of transactions.
pub fn forget_positions() -> Result<()> {
    spi::connect(|spi| {
        spi.run_once("UPDATE gundb.consumer_state SET position = '{}'", Mode::Write)?;
        spi.run_once("TRUNCATE gundb.span", Mode::Write).map(drop)
    })
}

/// Drops a stream's table, unless something depends on it.
pub fn drop_table(table: Oid) -> Result<()> {
    let label = table_label(table)?;
    spi::connect(|spi| spi.run_once(&format!("DROP TABLE {label}"), Mode::Write).map(drop))
}

/// Makes a stream's table a plain one: its columns get plain types, its triggers go.
pub fn detach_table(table: Oid) -> Result<()> {
    let label = table_label(table)?;
    spi::connect(|spi| {
        let rows = spi.run(
            "SELECT i.indexrelid::pg_catalog.regclass::text FROM pg_catalog.pg_index i
              WHERE i.indrelid = $1 AND i.indexprs IS NOT NULL
                AND pg_catalog.pg_get_indexdef(i.indexrelid) LIKE '%(lane)::bigint%'",
            &[arg::oid(table)],
            Mode::Write,
            0,
        )?;
        let expressions = rows.iter().filter_map(|row| row.text(1)).collect::<Vec<_>>();
        for index in expressions {
            spi.run_once(&format!("DROP INDEX {index}"), Mode::Write)?;
        }
        for statement in [
            format!("DROP TRIGGER zz_gundb_stamp ON {label}"),
            format!("DROP TRIGGER gundb_guard ON {label}"),
            format!("DROP TRIGGER gundb_guard_truncate ON {label}"),
            format!("ALTER TABLE {label} NO INHERIT gundb.event"),
            format!(
                "ALTER TABLE {label} ALTER COLUMN lane TYPE text USING lane::text,
                                     ALTER COLUMN hlc TYPE text USING hlc::text,
                                     ALTER COLUMN xact TYPE text USING xact::text,
                                     ALTER COLUMN chain TYPE text USING chain::text"
            ),
            format!("CREATE INDEX ON {label} (id)"),
        ] {
            spi.run_once(&statement, Mode::Write)?;
        }
        Ok(())
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

// ---------------------------------------------------------------------------------------------------------------
// Definitions: events of the system stream, whose table is made when the first of them is appended. (A table made by
// CREATE EXTENSION would have its trigger before a dump's data arrives, and so refuse it.)
// ---------------------------------------------------------------------------------------------------------------

const SYSTEM_TABLE: &str = "gundb.definition";

fn system_table() -> Result<Option<Oid>> {
    spi::connect(|spi| {
        let rows = spi.run("SELECT pg_catalog.to_regclass($1)::oid", &[arg::text(SYSTEM_TABLE)], Mode::Read, 1)?;
        Ok(rows.first().and_then(|row| row.oid(1)))
    })
}

/// Appends a definition; makes the system stream's table if it is the first.
fn define(kind: &str, key: &str, data_sql: &str, args: &[spi::Arg]) -> Result<()> {
    as_owner(|| {
        if system_table()?.is_none() {
            lock_streams()?;
        }
        if system_table()?.is_none() {
            let place = Place { schema: "gundb".to_owned(), table: Some("definition".to_owned()) };
            create_stream_table(crate::admin::SYSTEM_STREAM, &place)?;
            spi::connect(|spi| {
                spi.run_once("GRANT SELECT ON gundb.definition TO PUBLIC", Mode::Write)?;
                spi.run_once(
                    "COMMENT ON TABLE gundb.definition IS 'The system stream: streams, event types and sites, as events.'",
                    Mode::Write,
                )
                .map(drop)
            })?;
        }
        spi::connect(|spi| {
            let mut all = vec![arg::text(kind), arg::text(key)];
            all.extend_from_slice(args);
            let statement = format!("INSERT INTO gundb.definition (type, key, data) VALUES ($1, $2, {data_sql})");
            spi.run(&statement, &all, Mode::Write, 0).map(drop)
        })
    })
}

/// Says that a stream is.
pub fn declare_stream(name: &str, closed: bool) -> Result<()> {
    if system_table()?.is_some() {
        let (known, _) = definitions(name)?;
        if known == closed && is_declared(name)? {
            return Ok(());
        }
    }
    let args = [arg::bool(closed)];
    define("StreamDeclared", name, "pg_catalog.jsonb_build_object('name', $2, 'closed', $3)", &args)
}

fn is_declared(name: &str) -> Result<bool> {
    as_owner(|| {
        spi::connect(|spi| {
            let rows = spi.run(
                "SELECT 1 FROM gundb.definition WHERE key = $1 AND type = 'StreamDeclared' LIMIT 1",
                &[arg::text(name)],
                Mode::Read,
                1,
            )?;
            Ok(!rows.is_empty())
        })
    })
}

/// Says that an event type is, or is now otherwise.
pub fn define_event(stream: &str, kind: &str, version: i32, schema: Option<&str>) -> Result<()> {
    let args = [arg::text(kind), arg::int8(i64::from(version)), arg::text_or_null(schema)];
    define(
        "EventDefined",
        stream,
        "pg_catalog.jsonb_build_object('stream', $2, 'type', $3, 'version', $4, 'schema', $5::jsonb)",
        &args,
    )
}

/// Gives a site a name.
pub fn name_site(site: &SiteId, name: &str) -> Result<()> {
    define(
        "SiteNamed",
        &site.0.to_string(),
        "pg_catalog.jsonb_build_object('site', $2, 'name', $3)",
        &[arg::text(name)],
    )
}

/// A version of an event type. The schema is canonical text; None: any data fits.
pub struct Definition {
    pub version: i32,
    pub schema: Option<String>,
}

/// Each defined type's newest version: the highest, and of equal ones the last in total order.
fn newest(stream: &str) -> Result<(bool, HashMap<String, Definition>)> {
    let (mut closed, mut types) = (false, HashMap::<String, Definition>::new());
    if stream == crate::admin::SYSTEM_STREAM || system_table()?.is_none() {
        return Ok((closed, types));
    }
    as_owner(|| {
        spi::with_latest_snapshot(|| {
            spi::connect(|spi| {
                let rows = spi.run(
                    "SELECT type, data->'closed' = 'true', data->>'type',
                            CASE WHEN data->>'version' ~ '^[0-9]{1,9}$' THEN (data->>'version')::integer END,
                            nullif(data->'schema', 'null')::text
                       FROM gundb.definition WHERE key = $1 AND type IN ('StreamDeclared', 'EventDefined')
                      ORDER BY hlc, site, lane, seq",
                    &[arg::text(stream)],
                    Mode::Read,
                    0,
                )?;
                for row in rows.iter() {
                    match row.text(1).as_deref() {
                        Some("StreamDeclared") => closed = row.bool(2).unwrap_or(false),
                        _ => {
                            let (Some(kind), Some(version)) = (row.text(3), row.int4(4)) else {
                                continue;
                            };
                            if types.get(&kind).is_none_or(|known| known.version <= version) {
                                types.insert(kind, Definition { version, schema: row.text(5) });
                            }
                        }
                    }
                }
                Ok(())
            })
        })
    })?;
    Ok((closed, types))
}

/// Whether a stream is closed, and the newest schema of each of its defined types (None: any data fits).
pub fn definitions(stream: &str) -> Result<(bool, HashMap<String, Option<Schema>>)> {
    let (closed, types) = newest(stream)?;
    let types = types
        .into_iter()
        .map(|(kind, definition)| {
            let schema = definition.schema.as_deref().map(Schema::compile).transpose().map_err(|why| {
                Error::new(state::INVALID_PARAMETER, format!("the schema of event type \"{kind}\" cannot be used"))
                    .detail(why.to_string())
                    .hint("Define the type anew with gundb.define_event().")
            })?;
            Ok((kind, schema))
        })
        .collect::<Result<_>>()?;
    Ok((closed, types))
}

/// The newest version of one event type.
pub fn newest_definition(stream: &str, kind: &str) -> Result<Option<Definition>> {
    Ok(newest(stream)?.1.remove(kind))
}

/// The name that a site was given last.
pub fn site_name(site: &SiteId) -> Result<Option<String>> {
    if system_table()?.is_none() {
        return Ok(None);
    }
    as_owner(|| {
        spi::connect(|spi| {
            let rows = spi.run(
                "SELECT data->>'name' FROM gundb.definition WHERE key = $1 AND type = 'SiteNamed'
                  ORDER BY hlc DESC, site DESC, lane DESC, seq DESC LIMIT 1",
                &[arg::text(&site.0.to_string())],
                Mode::Read,
                1,
            )?;
            Ok(rows.first().and_then(|row| row.text(1)))
        })
    })
}

/// The sites that bear a name now.
pub fn sites_named(name: &str) -> Result<Vec<SiteId>> {
    if system_table()?.is_none() {
        return Ok(Vec::new());
    }
    as_owner(|| {
        spi::connect(|spi| {
            let rows = spi.run(
                "SELECT site FROM gundb.site WHERE name = $1 ORDER BY site",
                &[arg::text(name)],
                Mode::Read,
                0,
            )?;
            Ok(rows.iter().filter_map(|row| row.uuid(1)).map(|site| SiteId(Uuid::from_bytes(site))).collect())
        })
    })
}

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

/// The greatest stamp of a transaction that wrote to more than one stream; None for others.
pub fn span(spi: &Spi, site: &SiteId, xact: Hlc) -> Result<Option<Hlc>> {
    let rows = spi.run(
        "SELECT hlc FROM gundb.span
          WHERE site OPERATOR(pg_catalog.=) $1 AND xact OPERATOR(pg_catalog.=) $2 LIMIT 1",
        &[arg::uuid(site.0.as_bytes()), hlc_arg(xact)?],
        Mode::Read,
        1,
    )?;
    Ok(rows.first().and_then(|row| row.hlc(1)))
}

// ---------------------------------------------------------------------------------------------------------------
// Consumers
// ---------------------------------------------------------------------------------------------------------------

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

/// Leaves word of a transaction that wrote to more than one stream.
pub fn record_span(site: &SiteId, xact: Hlc, greatest: Hlc, parts: &[(StreamId, u64)]) -> Result<()> {
    let (xact, greatest) = (hlc_arg(xact)?, hlc_arg(greatest)?);
    as_owner(|| {
        spi::connect(|spi| {
            for (stream, count) in parts {
                spi.run(
                    "INSERT INTO gundb.span (site, xact, hlc, stream, events) VALUES ($1, $2, $3, $4, $5)",
                    &[
                        arg::uuid(site.0.as_bytes()),
                        xact,
                        greatest,
                        arg::uuid(stream.0.as_bytes()),
                        arg::int8(*count as i64),
                    ],
                    Mode::Write,
                    0,
                )?;
            }
            Ok(())
        })
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
