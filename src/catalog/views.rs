//! Views: their definitions, the states of their rows, what is pending.

use crate::catalog::tables::{hand_over, quote_identifier, quote_literal};
use crate::catalog::{extension, table_label};
use crate::drops;
use crate::error::{Error, Result, internal, state};
use crate::spi::{self, Mode, Row, arg, as_owner};
use gundb_core::Dot;
use gundb_core::view::{ColumnType, View};
use pgrx::pg_sys::{self, Datum, Oid};
use std::collections::{BTreeMap, HashMap};

/// A view's definition as it is stored.
pub struct ViewRecord {
    pub relation: Oid,
    /// What its states and pending events are filed under.
    pub number: i32,
    pub stream: String,
    pub columns: String,
    pub key: String,
    pub types: Option<Vec<String>>,
    pub filter: Option<String>,
    pub deletes: Vec<String>,
    pub strict: bool,
}

const VIEW_COLUMNS: &str = "relation::oid, number, stream, columns::text, key, types, filter, deletes, strict";

fn record(row: Row) -> Result<ViewRecord> {
    let damaged = || internal("gundb.view_definition holds a damaged row");
    let texts = |column| {
        // SAFETY: columns of type text[] without NULLs.
        row.datum(column).map(|datum| unsafe {
            let elements = crate::call::array_elements(datum, pg_sys::TEXTOID);
            elements.into_iter().flatten().map(|element| spi::text_of(element).to_owned()).collect()
        })
    };
    Ok(ViewRecord {
        relation: row.oid(1).ok_or_else(damaged)?,
        number: row.int4(2).ok_or_else(damaged)?,
        stream: row.text(3).ok_or_else(damaged)?,
        columns: row.text(4).ok_or_else(damaged)?,
        key: row.text(5).ok_or_else(damaged)?,
        types: texts(6),
        filter: row.text(7),
        deletes: texts(8).ok_or_else(damaged)?,
        strict: row.bool(9).ok_or_else(damaged)?,
    })
}

/// The views of a stream, in the order in which they are maintained.
pub fn views_of(stream: &str) -> Result<Vec<ViewRecord>> {
    as_owner(|| {
        spi::with_latest_snapshot(|| {
            spi::connect(|spi| {
                let statement =
                    format!("SELECT {VIEW_COLUMNS} FROM gundb.view_definition WHERE stream = $1 ORDER BY number");
                let rows = spi.run(&statement, &[arg::text(stream)], Mode::Read, 0)?;
                rows.iter().map(record).collect()
            })
        })
    })
}

/// The view whose table this is.
pub fn view_of_table(relation: Oid) -> Result<Option<ViewRecord>> {
    as_owner(|| {
        spi::with_latest_snapshot(|| {
            spi::connect(|spi| {
                let statement = format!("SELECT {VIEW_COLUMNS} FROM gundb.view_definition WHERE relation = $1");
                let rows = spi.run(&statement, &[arg::oid(relation)], Mode::Read, 1)?;
                rows.first().map(record).transpose()
            })
        })
    })
}

/// Every view, in order.
pub fn views() -> Result<Vec<ViewRecord>> {
    if !has_views()? {
        return Ok(Vec::new());
    }
    as_owner(|| {
        spi::with_latest_snapshot(|| {
            spi::connect(|spi| {
                let statement = format!("SELECT {VIEW_COLUMNS} FROM gundb.view_definition ORDER BY number");
                spi.run(&statement, &[], Mode::Read, 0)?.iter().map(record).collect()
            })
        })
    })
}

/// Makes a view's table a plain one.
pub fn detach_view(record: &ViewRecord) -> Result<()> {
    let label = table_label(record.relation)?;
    spi::connect(|spi| spi.run_once(&format!("DROP TRIGGER gundb_guard ON {label}"), Mode::Write).map(drop))
}

/// Writes a view down, and gives it its number.
pub fn insert_view(relation: Oid, record: &ViewRecord) -> Result<i32> {
    as_owner(|| {
        spi::connect(|spi| {
            let args = [
                arg::oid(relation),
                arg::text(&record.stream),
                arg::text(&record.columns),
                arg::text(&record.key),
                super::text_array_arg(record.types.as_deref()),
                arg::text_or_null(record.filter.as_deref()),
                super::text_array_arg(Some(&record.deletes)),
                arg::bool(record.strict),
            ];
            let rows = spi.run(
                "INSERT INTO gundb.view_definition
                        (relation, number, stream, columns, key, types, filter, deletes, strict)
                 VALUES ($1, pg_catalog.nextval('gundb.view_number')::integer, $2, $3::json, $4, $5, $6, $7, $8)
                 RETURNING number",
                &args,
                Mode::Write,
                0,
            )?;
            rows.first().and_then(|row| row.int4(1)).ok_or_else(|| internal("a view was given no number"))
        })
    })
}

/// Forgets a view and all that is filed under its number.
pub fn delete_view(record: &ViewRecord) -> Result<()> {
    clear_view(record.number)?;
    as_owner(|| {
        spi::connect(|spi| {
            let args = [arg::oid(record.relation)];
            spi.run("DELETE FROM gundb.view_definition WHERE relation = $1", &args, Mode::Write, 0).map(drop)
        })
    })
}

/// Forgets what is filed under a view's number: states, pending events, counts.
pub fn clear_view(number: i32) -> Result<()> {
    as_owner(|| {
        spi::connect(|spi| {
            for table in ["view_state", "view_pending", "view_skipped"] {
                let args = [arg::of(pg_sys::INT4OID, Some(number.into()))];
                spi.run(&format!("DELETE FROM gundb.{table} WHERE view = $1"), &args, Mode::Write, 0)?;
            }
            Ok(())
        })
    })
}

// ---------------------------------------------------------------------------------------------------------------
// Tables
// ---------------------------------------------------------------------------------------------------------------

/// The SQL type of a column.
fn sql_type(column: &gundb_core::view::Column) -> String {
    use gundb_core::fold::Fold;
    match (column.column_type, column.fold) {
        (ColumnType::Crdt(kind), _) => format!("gundb.{}", quote_identifier(kind.name())),
        (ColumnType::Datum(datum_type), Fold::Mv | Fold::Set | Fold::RwSet) => format!("{}[]", datum_type.name()),
        (ColumnType::Datum(datum_type), _) => datum_type.name().to_owned(),
    }
}

/// Makes a view's table, owned by the caller, and the trigger that keeps others from writing to it.
pub fn create_view_table(view: &View, stream: &str, place: &super::Place, name: &str) -> Result<Oid> {
    // SAFETY: reads the current user.
    let caller = unsafe { pg_sys::GetUserId() };
    let table = format!("{}.{}", quote_identifier(&place.schema), quote_identifier(name));
    let keys = view.key.0.iter().map(|part| format!("{} {}", quote_identifier(&part.name), part.datum_type.name()));
    let columns =
        view.columns.0.iter().map(|column| format!("{} {}", quote_identifier(&column.name), sql_type(column)));
    let columns = keys.chain(columns).collect::<Vec<_>>().join(", ");
    let primary = view.key.0.iter().map(|part| quote_identifier(&part.name)).collect::<Vec<_>>().join(", ");
    as_owner(|| {
        spi::connect(|spi| {
            for statement in [
                format!("CREATE TABLE {table} ({columns}, PRIMARY KEY ({primary})) WITH (fillfactor = 80)"),
                format!(
                    "CREATE TRIGGER gundb_guard BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON {table}
                         FOR EACH STATEMENT EXECUTE FUNCTION gundb.guard_view()"
                ),
                format!("ALTER TABLE {table} ENABLE ALWAYS TRIGGER gundb_guard"),
                format!("COMMENT ON TABLE {table} IS {}", quote_literal(&format!("gundb view of stream \"{stream}\""))),
            ] {
                spi.run_once(&statement, Mode::Write)?;
            }
            hand_over(spi, &table, caller)
        })
    })
}

/// The trigger by which a stream's views are maintained; it stands only where there are views, and is known by its
/// function.
const MAINTAIN: &str = "zz_gundb_views";

/// Sees to it that a stream's table has the trigger, or has it not.
pub fn set_maintained(stream: Oid, maintained: bool) -> Result<()> {
    let label = table_label(stream)?;
    as_owner(|| {
        spi::connect(|spi| {
            let rows = spi.run(
                "SELECT pg_catalog.quote_ident(tgname) FROM pg_catalog.pg_trigger
                  WHERE tgrelid = $1 AND tgfoid = pg_catalog.to_regproc('gundb.maintain')",
                &[arg::oid(stream)],
                Mode::Write,
                1,
            )?;
            let found = rows.first().and_then(|row| row.text(1));
            if found.is_some() == maintained {
                return Ok(());
            }
            if maintained {
                spi.run_once(
                    &format!(
                        "CREATE TRIGGER {MAINTAIN} AFTER INSERT ON {label}
                             FOR EACH STATEMENT EXECUTE FUNCTION gundb.maintain()"
                    ),
                    Mode::Write,
                )?;
                let always = format!("ALTER TABLE {label} ENABLE ALWAYS TRIGGER {MAINTAIN}");
                return spi.run_once(&always, Mode::Write).map(drop);
            }
            let trigger = found.unwrap_or_default();
            drops::allowed(|| spi.run_once(&format!("DROP TRIGGER {trigger} ON {label}"), Mode::Write).map(drop))
        })
    })
}

/// Locks a stream's appenders out until the end of the transaction; waits for those at work.
pub fn lock_appenders(stream: Oid) -> Result<()> {
    super::lock(stream, pg_sys::ShareRowExclusiveLock)
}

// ---------------------------------------------------------------------------------------------------------------
// States
// ---------------------------------------------------------------------------------------------------------------

fn number_arg(number: i32) -> spi::Arg {
    arg::of(pg_sys::INT4OID, Some(number.into()))
}

/// Makes empty states for keys, which ascend, where there are none. Whoever is making one is waited for.
pub fn make_states(number: i32, keys: &[&[u8]]) -> Result<()> {
    as_owner(|| {
        spi::connect(|spi| {
            let args = [number_arg(number), arg::of(pg_sys::BYTEAARRAYOID, Some(spi::bytea_array(keys)))];
            spi.run(
                "INSERT INTO gundb.view_state (view, key, state)
                 SELECT $1, key, '' FROM pg_catalog.unnest($2) AS key ON CONFLICT DO NOTHING",
                &args,
                Mode::Write,
                0,
            )
            .map(drop)
        })
    })
}

/// Stores the states of keys that have none.
pub fn insert_states(number: i32, keys: &[&[u8]], states: &[Vec<u8>]) -> Result<()> {
    let states = states.iter().map(Vec::as_slice).collect::<Vec<_>>();
    as_owner(|| {
        spi::connect(|spi| {
            let args = [
                number_arg(number),
                arg::of(pg_sys::BYTEAARRAYOID, Some(spi::bytea_array(keys))),
                arg::of(pg_sys::BYTEAARRAYOID, Some(spi::bytea_array(&states))),
            ];
            spi.run(
                "INSERT INTO gundb.view_state (view, key, state) SELECT $1, key, state
                   FROM unnest($2, $3) AS new (key, state)",
                &args,
                Mode::Write,
                0,
            )
            .map(drop)
        })
    })
}

/// The states of all keys, through the active snapshot.
pub fn all_states(number: i32) -> Result<HashMap<Vec<u8>, Vec<u8>>> {
    as_owner(|| {
        spi::connect(|spi| {
            let statement = "SELECT key, state FROM gundb.view_state WHERE view = $1";
            let rows = spi.run(statement, &[number_arg(number)], Mode::Read, 0)?;
            Ok(rows.iter().filter_map(|row| row.bytes(1).zip(row.bytes(2))).collect())
        })
    })
}

// ---------------------------------------------------------------------------------------------------------------
// Rows
// ---------------------------------------------------------------------------------------------------------------

/// The statements by which a view's rows are written and read; each value goes as text, by column.
pub struct RowStatements {
    pub put_one: String,
    pub put: String,
    pub delete: String,
    pub read: String,
}

/// How the rows of a view are written.
pub fn row_statements(view: &View, relation: Oid) -> Result<RowStatements> {
    let label = table_label(relation)?;
    let keys = view.key.0.iter().map(|part| (quote_identifier(&part.name), part.datum_type.name().to_owned()));
    let keys = keys.collect::<Vec<_>>();
    let values = view.columns.0.iter().map(|column| (quote_identifier(&column.name), sql_type(column)));
    let values = values.collect::<Vec<_>>();
    let all = keys.iter().chain(&values).collect::<Vec<_>>();
    let join = |parts: Vec<String>, separator: &str| parts.join(separator);
    let places = |count: usize| join((1..=count).map(|n| format!("${n}::text[]")).collect(), ", ");
    let aliases = |count: usize| join((1..=count).map(|n| format!("v{n}")).collect(), ", ");
    let casts = join(all.iter().enumerate().map(|(at, (_, kind))| format!("v{}::{kind}", at + 1)).collect(), ", ");
    let names = join(all.iter().map(|(name, _)| name.clone()).collect(), ", ");
    let key_names = join(keys.iter().map(|(name, _)| name.clone()).collect(), ", ");
    let action = if values.is_empty() {
        "NOTHING".to_owned()
    } else {
        format!(
            "UPDATE SET {}",
            join(values.iter().map(|(name, _)| format!("{name} = excluded.{name}")).collect(), ", ")
        )
    };
    let same_key =
        keys.iter().enumerate().map(|(at, (name, kind))| format!("t.{name} = v{}::{kind}", at + 1)).collect();
    let values_one =
        join(all.iter().enumerate().map(|(at, (_, kind))| format!("${}::text::{kind}", at + 1)).collect(), ", ");
    // Times print as the session likes; keys must be told apart by the text that gundb gives them.
    let as_canonical = |(name, kind): &(String, String)| match kind.as_str() {
        "timestamptz" => {
            format!("pg_catalog.to_char({name} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")
        }
        "date" => format!("pg_catalog.to_char({name}, 'YYYY-MM-DD')"),
        _ => format!("{name}::text"),
    };
    let as_text = |(name, _): &(String, String)| format!("{name}::text");
    Ok(RowStatements {
        put_one: format!("INSERT INTO {label} ({names}) VALUES ({values_one}) ON CONFLICT ({key_names}) DO {action}"),
        put: format!(
            "INSERT INTO {label} ({names}) SELECT {casts} FROM unnest({}) AS new ({})
             ON CONFLICT ({key_names}) DO {action}",
            places(all.len()),
            aliases(all.len())
        ),
        delete: format!(
            "DELETE FROM ONLY {label} t USING unnest({}) AS old ({}) WHERE {}",
            places(keys.len()),
            aliases(keys.len()),
            join(same_key, " AND ")
        ),
        read: format!(
            "SELECT {} FROM ONLY {label}",
            join(keys.iter().map(as_canonical).chain(values.iter().map(as_text)).collect(), ", ")
        ),
    })
}

/// Runs a statement of [`RowStatements`] with values by column.
pub fn write_rows(statement: &str, columns: &[Vec<Option<String>>]) -> Result<()> {
    let array = |column: &Vec<Option<String>>| arg::of(pg_sys::TEXTARRAYOID, Some(spi::nullable_text_array(column)));
    spi::connect(|spi| spi.run(statement, &columns.iter().map(array).collect::<Vec<_>>(), Mode::Write, 0).map(drop))
}

/// Takes all rows of a table away.
pub fn delete_rows(relation: Oid) -> Result<()> {
    let label = table_label(relation)?;
    spi::connect(|spi| spi.run_once(&format!("DELETE FROM ONLY {label}"), Mode::Write).map(drop))
}

/// The rows of a view, through the active snapshot: each value as text.
pub fn read_rows(statement: &str, columns: usize) -> Result<Vec<Vec<Option<String>>>> {
    spi::connect(|spi| {
        let rows = spi.run(statement, &[], Mode::Read, 0)?;
        Ok(rows.iter().map(|row| (1..=columns).map(|column| row.text(column)).collect()).collect())
    })
}

/// Runs the statement for one row, with its values.
pub fn write_row(statement: &str, values: &[Option<String>]) -> Result<()> {
    let args = values.iter().map(|value| arg::text_or_null(value.as_deref())).collect::<Vec<_>>();
    spi::connect(|spi| spi.run(statement, &args, Mode::Write, 0).map(drop))
}

/// The values of a row as PostgreSQL prints them once it has read them.
pub fn as_printed(view: &View, values: &[Option<String>]) -> Result<Vec<Option<String>>> {
    let column = |(at, column)| format!("${}::text::{}::text", at + 1, sql_type(column));
    let columns = view.columns.0.iter().enumerate().map(column).collect::<Vec<_>>().join(", ");
    spi::connect(|spi| {
        let args = values.iter().map(|value| arg::text_or_null(value.as_deref())).collect::<Vec<_>>();
        let rows = spi.run(&format!("SELECT {columns}"), &args, Mode::Read, 1)?;
        let row = rows.first().ok_or_else(|| internal("a SELECT gave no row"))?;
        Ok((1..=values.len()).map(|column| row.text(column)).collect())
    })
}

// ---------------------------------------------------------------------------------------------------------------
// What is pending, what was skipped
// ---------------------------------------------------------------------------------------------------------------

/// Why a view could not take an event.
pub struct Pending {
    pub key: Option<String>,
    pub dot: Dot,
    pub reason: String,
    pub sqlstate: &'static str,
}

/// When an event was first filed as pending, and how often it was tried.
pub struct Tried {
    since: Datum,
    tries: i32,
}

/// Files events that a view could not take; those that were pending before keep the time of their first try.
pub fn insert_pending(number: i32, pending: &[Pending], before: &BTreeMap<Dot, Tried>) -> Result<()> {
    let dot_type = extension()?.dot_type;
    as_owner(|| {
        spi::connect(|spi| {
            for one in pending {
                let tried = before.get(&one.dot);
                let args = [
                    number_arg(number),
                    arg::text_or_null(one.key.as_deref()),
                    arg::of(dot_type, Some(crate::call::ret::dot(&one.dot))),
                    arg::text(&one.reason),
                    arg::text(one.sqlstate),
                    arg::of(pg_sys::TIMESTAMPTZOID, tried.map(|tried| tried.since)),
                    arg::of(pg_sys::INT4OID, Some(tried.map_or(1, |tried| tried.tries + 1).into())),
                ];
                spi.run(
                    "INSERT INTO gundb.view_pending (view, key, dot, reason, sqlstate, since, tries)
                     VALUES ($1, $2, $3, $4, $5, coalesce($6, pg_catalog.now()), $7)",
                    &args,
                    Mode::Write,
                    0,
                )?;
            }
            Ok(())
        })
    })
}

/// The events that a view could not take.
pub fn pending_dots(number: i32, mode: Mode) -> Result<Vec<Dot>> {
    as_owner(|| {
        spi::connect(|spi| {
            let rows = spi.run("SELECT dot FROM gundb.view_pending WHERE view = $1", &[number_arg(number)], mode, 0)?;
            rows.iter().map(dot_of).collect()
        })
    })
}

/// Takes a view's pending events off the list, to be tried again.
pub fn take_pending(number: i32) -> Result<BTreeMap<Dot, Tried>> {
    as_owner(|| {
        spi::connect(|spi| {
            let statement = "DELETE FROM gundb.view_pending WHERE view = $1 RETURNING dot, since, tries";
            let rows = spi.run(statement, &[number_arg(number)], Mode::Write, 0)?;
            rows.iter()
                .map(|row| {
                    let since = row.datum(2).ok_or_else(|| internal("gundb.view_pending holds a NULL"))?;
                    Ok((dot_of(row)?, Tried { since, tries: row.int4(3).unwrap_or(0) }))
                })
                .collect()
        })
    })
}

fn dot_of(row: Row) -> Result<Dot> {
    let datum = row.datum(1).ok_or_else(|| internal("gundb.view_pending holds a NULL"))?;
    // SAFETY: a column of type gundb.dot, 48 bytes.
    let bytes = unsafe { *datum.cast_mut_ptr::<[u8; 48]>() };
    Dot::from_bytes(&bytes).map_err(|error| internal(format!("a stored dot is damaged: {error}")))
}

/// Counts events without a key, under the number of a lane that this transaction holds (or while appenders are locked out).
pub fn add_skipped(number: i32, lane: u16, events: i64) -> Result<()> {
    as_owner(|| {
        spi::connect(|spi| {
            let args = [number_arg(number), arg::of(pg_sys::INT4OID, Some(i32::from(lane).into())), arg::int8(events)];
            spi.run(
                "INSERT INTO gundb.view_skipped AS s (view, lane, events) VALUES ($1, $2, $3)
                 ON CONFLICT (view, lane) DO UPDATE SET events = s.events + excluded.events",
                &args,
                Mode::Write,
                0,
            )
            .map(drop)
        })
    })
}

/// Whether the extension in this database is one that has views: the library may be newer.
pub fn has_views() -> Result<bool> {
    spi::connect(|spi| {
        let statement = "SELECT pg_catalog.to_regclass('gundb.view_definition') IS NOT NULL";
        let rows = spi.run(statement, &[], Mode::Read, 1)?;
        Ok(rows.first().and_then(|row| row.bool(1)) == Some(true))
    })
}

/// Refuses to drop or detach a stream that views are made of.
pub fn refuse_if_viewed(stream: &str) -> Result<()> {
    if !has_views()? {
        return Ok(());
    }
    let views = views_of(stream)?;
    let Some(first) = views.first() else { return Ok(()) };
    let label = table_label(first.relation)?;
    Err(Error::new(b"2BP01", format!("cannot drop stream \"{stream}\" because views depend on it"))
        .detail(format!("View {label} depends on stream \"{stream}\"."))
        .hint("Drop its views first, with SELECT gundb.drop_view('name').")
        .into())
}

/// The table of a view whose trigger this is.
pub fn view_of_trigger(trigger: Oid) -> Result<Option<String>> {
    if !has_views()? {
        return Ok(None);
    }
    as_owner(|| {
        spi::with_latest_snapshot(|| {
            spi::connect(|spi| {
                let rows = spi.run(
                    "SELECT d.relation::pg_catalog.text FROM pg_catalog.pg_trigger t
                   JOIN gundb.view_definition d ON d.relation::oid = t.tgrelid
                  WHERE t.oid = $1 AND t.tgfoid = pg_catalog.to_regproc('gundb.guard_view')",
                    &[arg::oid(trigger)],
                    Mode::Read,
                    1,
                )?;
                Ok(rows.first().and_then(|row| row.text(1)))
            })
        })
    })
}

/// The table whose views a trigger maintains.
pub fn maintained_by(trigger: Oid) -> Result<Option<String>> {
    spi::with_latest_snapshot(|| {
        spi::connect(|spi| {
            let rows = spi.run(
                "SELECT tgrelid::pg_catalog.regclass::text FROM pg_catalog.pg_trigger
                  WHERE oid = $1 AND tgfoid = pg_catalog.to_regproc('gundb.maintain')",
                &[arg::oid(trigger)],
                Mode::Read,
                1,
            )?;
            Ok(rows.first().and_then(|row| row.text(1)))
        })
    })
}

/// Whether a view's table still has the columns and the key by which it is maintained.
pub fn fits_view(view: &View, relation: Oid) -> Result<bool> {
    let keys = view.key.0.iter().map(|part| part.name.clone()).collect::<Vec<_>>();
    let key_types = view.key.0.iter().map(|part| part.datum_type.name().to_owned());
    let types = key_types.chain(view.columns.0.iter().map(sql_type)).collect::<Vec<_>>();
    let names = keys.iter().cloned().chain(view.columns.0.iter().map(|column| column.name.clone()));
    let names = names.collect::<Vec<_>>();
    spi::with_latest_snapshot(|| {
        spi::connect(|spi| {
            let args = [
                arg::oid(relation),
                super::text_array_arg(Some(&names)),
                super::text_array_arg(Some(&types)),
                super::text_array_arg(Some(&keys)),
            ];
            let rows = spi.run(
                "SELECT NOT EXISTS (
                            SELECT FROM unnest($2, $3) AS expected (name, type)
                              LEFT JOIN pg_catalog.pg_attribute a
                                     ON a.attrelid = $1 AND a.attname = expected.name AND NOT a.attisdropped
                             WHERE a.attname IS NULL OR a.atttypid <> expected.type::pg_catalog.regtype OR a.atttypmod <> -1)
                    AND EXISTS (
                            SELECT FROM pg_catalog.pg_index i
                             WHERE i.indrelid = $1 AND i.indisprimary
                               AND $4 = ARRAY(SELECT a.attname::text
                                                FROM pg_catalog.unnest(i.indkey) WITH ORDINALITY AS k (attnum, place)
                                                JOIN pg_catalog.pg_attribute a ON a.attrelid = $1 AND a.attnum = k.attnum
                                               ORDER BY k.place))",
                &args,
                Mode::Read,
                1,
            )?;
            Ok(rows.first().and_then(|row| row.bool(1)) == Some(true))
        })
    })
}

/// That an object is no view.
pub fn no_view(relation: Oid) -> Result<crate::error::Failure> {
    let label = table_label(relation)?;
    Ok(Error::new(state::WRONG_OBJECT, format!("{label} is not a view of gundb"))
        .hint("SELECT * FROM gundb.view lists the views.")
        .into())
}
