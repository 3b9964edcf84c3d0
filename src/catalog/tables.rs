//! The tables of streams: where they stand, how they are made, emptied, dropped and detached.

use crate::error::{Error, Result, internal, state};
use crate::spi::{self, Mode, Spi, arg, as_owner};
use pgrx::pg_sys::{self, Oid};

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
                return Err(Error::new(state::INVALID_NAME, "a table is named as table, or as schema.table").into());
            }
        };
        let schema = schema.ok_or_else(|| {
            Error::new(b"3F000", "no schema has been selected to create the stream's table in")
                .hint("Set search_path, or name one: as_table => 'schema.table'.")
        })?;
        if schema == "gundb" || schema.starts_with("pg_") {
            return Err(Error::new(b"42939", format!("no table of yours can stand in schema \"{schema}\""))
                .hint("Name another schema: 'schema.table'.")
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

pub(super) fn quote_identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

pub(super) fn quote_literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    // A backslash must mean itself whatever standard_conforming_strings says.
    if quoted.contains('\\') { format!("E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}

/// Raises if PostgreSQL would cut a table's name short.
pub fn refuse_long_name(name: &str) -> Result<()> {
    const BYTES_MAX: usize = pg_sys::NAMEDATALEN as usize - 1;
    if name.len() <= BYTES_MAX {
        return Ok(());
    }
    Err(Error::new(state::NAME_TOO_LONG, format!("table name \"{name}\" is longer than {BYTES_MAX} bytes")).into())
}

/// Makes a stream's table: a child of gundb.event with its keys and triggers, owned by the caller.
pub fn create_stream_table(name: &str, place: &Place) -> Result<Oid> {
    // SAFETY: reads the current user.
    let caller = unsafe { pg_sys::GetUserId() };
    let table_name = place.table.as_deref().unwrap_or(name);
    refuse_long_name(table_name)?;
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
            hand_over(spi, &table, caller)
        })
    })
}

/// Gives a table that gundb has made to a role. Returns its oid.
pub(super) fn hand_over(spi: &Spi, table: &str, role: Oid) -> Result<Oid> {
    let rows = spi.run(
        "SELECT pg_catalog.pg_get_userbyid($1)::text, $2::pg_catalog.regclass::oid",
        &[arg::oid(role), arg::text(table)],
        Mode::Write,
        1,
    )?;
    let row = rows.first().ok_or_else(|| internal("the new table is gone"))?;
    let (Some(role), Some(oid)) = (row.text(1), row.oid(2)) else {
        return Err(internal("the new table is gone"));
    };
    spi.run_once(&format!("ALTER TABLE {table} OWNER TO {}", quote_identifier(&role)), Mode::Write)?;
    Ok(oid)
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
