//! Views: which there are, and what depends on them.

use crate::catalog::table_label;
use crate::error::{Error, Result, internal, state};
use crate::spi::{self, Mode, Row, arg, as_owner};
use pgrx::pg_sys::{self, Oid};

/// A view's definition as it is stored.
#[derive(Clone)]
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
    /// What makes the rows, instead of columns.
    pub reducer: Option<ReducerRecord>,
}

/// A reducer, as a view's definition has it.
#[derive(Clone, PartialEq, Eq)]
pub struct ReducerRecord {
    /// Invalid if the view's table no longer names it.
    pub function: Oid,
    /// What it begins from: the text of a jsonb.
    pub initial: String,
}

const VIEW_COLUMNS: &str = "relation::oid, number, stream, columns::text, key, types, filter, deletes, strict,
                            CASE WHEN initial IS NOT NULL THEN gundb.view_reducer(relation)::oid END, initial::text";

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
        reducer: row.text(11).map(|initial| ReducerRecord { function: row.oid(10).unwrap_or(Oid::INVALID), initial }),
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
    spi::connect(|spi| {
        if record.reducer.is_some() {
            spi.run_once(&format!("ALTER TABLE {label} ALTER COLUMN state DROP DEFAULT"), Mode::Write)?;
        }
        spi.run_once(&format!("DROP TRIGGER gundb_guard ON {label}"), Mode::Write).map(drop)
    })
}

/// A number that no view has had.
pub fn new_view_number() -> Result<i32> {
    as_owner(|| {
        spi::connect(|spi| {
            let statement = "SELECT pg_catalog.nextval('gundb.view_number')::integer";
            let rows = spi.run(statement, &[], Mode::Write, 1)?;
            rows.first().and_then(|row| row.int4(1)).ok_or_else(|| internal("a view was given no number"))
        })
    })
}

/// Writes a view down.
pub fn insert_view(record: &ViewRecord) -> Result<()> {
    as_owner(|| {
        spi::connect(|spi| {
            let args = [
                arg::oid(record.relation),
                arg::of(pg_sys::INT4OID, Some(record.number.into())),
                arg::text(&record.stream),
                arg::text(&record.columns),
                arg::text(&record.key),
                super::text_array_arg(record.types.as_deref()),
                arg::text_or_null(record.filter.as_deref()),
                super::text_array_arg(Some(&record.deletes)),
                arg::bool(record.strict),
                arg::text_or_null(record.reducer.as_ref().map(|reducer| reducer.initial.as_str())),
            ];
            spi.run(
                "INSERT INTO gundb.view_definition
                        (relation, number, stream, columns, key, types, filter, deletes, strict, initial)
                 VALUES ($1, $2, $3, $4::json, $5, $6, $7, $8, $9, $10::jsonb)",
                &args,
                Mode::Write,
                0,
            )
            .map(drop)
        })
    })
}

/// Gives a view other columns, and the states that are filed under another number.
pub fn replace_view(record: &ViewRecord) -> Result<()> {
    as_owner(|| {
        spi::connect(|spi| {
            let args = [
                arg::oid(record.relation),
                arg::of(pg_sys::INT4OID, Some(record.number.into())),
                arg::text(&record.columns),
            ];
            let statement = "UPDATE gundb.view_definition SET number = $2, columns = $3::json WHERE relation = $1";
            spi.run(statement, &args, Mode::Latest, 0).map(drop)
        })
    })
}

/// Forgets a view and all that is filed under its number.
pub fn delete_view(record: &ViewRecord) -> Result<()> {
    clear_view(record.number)?;
    as_owner(|| {
        spi::connect(|spi| {
            let args = [arg::oid(record.relation)];
            spi.run("DELETE FROM gundb.view_definition WHERE relation = $1", &args, Mode::Latest, 0).map(drop)
        })
    })
}

/// Forgets what is filed under a view's number: states, pending events, counts.
pub fn clear_view(number: i32) -> Result<()> {
    as_owner(|| {
        spi::connect(|spi| {
            for table in ["view_state", "view_pending", "view_late", "view_skipped"] {
                let args = [arg::of(pg_sys::INT4OID, Some(number.into()))];
                spi.run(&format!("DELETE FROM gundb.{table} WHERE view = $1"), &args, Mode::Latest, 0)?;
            }
            Ok(())
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

/// Whether the extension in this database is one that takes events of others.
pub fn has_applied() -> Result<bool> {
    Ok(super::extension()?.view_late != Oid::INVALID)
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

/// The table of a view whose guard this is.
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

/// The table whose views a trigger maintains, and the stream, as long as its stamp says which: tables of gundb's may be
/// gone by then.
pub fn maintained_by(trigger: Oid) -> Result<Option<(String, Option<String>)>> {
    spi::with_latest_snapshot(|| {
        spi::connect(|spi| {
            let rows = spi.run(
                "SELECT t.tgrelid::pg_catalog.regclass::text,
                        pg_catalog.convert_from(
                            pg_catalog.substr(s.tgargs, 1, pg_catalog.octet_length(s.tgargs) - 1), 'UTF8')
                   FROM pg_catalog.pg_trigger t
                   LEFT JOIN pg_catalog.pg_trigger s
                          ON s.tgrelid = t.tgrelid AND s.tgnargs = 1 AND s.tgfoid = pg_catalog.to_regproc('gundb.stamp')
                  WHERE t.oid = $1 AND t.tgfoid = pg_catalog.to_regproc('gundb.maintain')",
                &[arg::oid(trigger)],
                Mode::Read,
                1,
            )?;
            Ok(rows.first().and_then(|row| Some((row.text(1)?, row.text(2)))))
        })
    })
}

/// That an object is no view, or there is none.
pub fn no_view(relation: Oid) -> Result<crate::error::Failure> {
    const LIST: &str = "SELECT * FROM gundb.view lists the views.";
    let Ok(label) = table_label(relation) else {
        let missing = format!("relation with OID {} does not exist", relation.to_u32());
        return Ok(Error::new(state::UNDEFINED_TABLE, missing).hint(LIST).into());
    };
    Ok(Error::new(state::WRONG_OBJECT, format!("{label} is not a view of gundb")).hint(LIST).into())
}
