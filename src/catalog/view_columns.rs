//! Columns of views' tables: what becomes of them, what hangs on them, how they are altered and written.

use crate::catalog::table_label;
use crate::catalog::tables::quote_identifier;
use crate::catalog::view_rows::{has_row_triggers, sql_type};
use crate::error::{Error, Result, state};
use crate::spi::{self, Mode, arg};
use gundb_core::view::View;
use pgrx::pg_sys::Oid;

/// What becomes of a view's columns. Names of what is dropped; of the others, places among the columns to be.
pub struct ColumnChanges {
    pub dropped: Vec<String>,
    added: Vec<usize>,
    /// Those that are there and get another type.
    retyped: Vec<usize>,
    /// Those whose values are to be written: added, or defined otherwise.
    pub written: Vec<usize>,
}

impl ColumnChanges {
    pub fn between(old: &View, new: &View) -> ColumnChanges {
        let mut changes =
            ColumnChanges { dropped: Vec::new(), added: Vec::new(), retyped: Vec::new(), written: Vec::new() };
        for column in &old.columns.0 {
            if !new.columns.0.iter().any(|other| other.name == column.name) {
                changes.dropped.push(column.name.clone());
            }
        }
        for (at, column) in new.columns.0.iter().enumerate() {
            let before = old.columns.0.iter().find(|other| other.name == column.name);
            match before {
                None => changes.added.push(at),
                Some(before) if sql_type(before) != sql_type(column) => changes.retyped.push(at),
                Some(_) => {}
            }
            if before != Some(column) {
                changes.written.push(at);
            }
        }
        changes
    }
}

/// Whether a table has a column.
pub fn has_column(relation: Oid, name: &str) -> Result<bool> {
    spi::connect(|spi| {
        let statement = "SELECT FROM pg_catalog.pg_attribute
                          WHERE attrelid = $1 AND attname = $2::pg_catalog.name AND attnum > 0 AND NOT attisdropped";
        Ok(!spi.run(statement, &[arg::oid(relation), arg::text(name)], Mode::Read, 1)?.is_empty())
    })
}

/// Raises if something of the user's hangs on columns that are to be dropped, an index included: PostgreSQL would drop
/// some of it along.
pub fn refuse_depended(relation: Oid, columns: &[String]) -> Result<()> {
    let label = table_label(relation)?;
    let found = spi::with_latest_snapshot(|| {
        spi::connect(|spi| {
            let rows = spi.run(
                "SELECT pg_catalog.string_agg(DISTINCT d.name || ' depends on column ' || d.attname, E'\\n')
                   FROM (SELECT a.attname,
                                pg_catalog.pg_describe_object(
                                    CASE WHEN r.oid IS NULL THEN d.classid ELSE 'pg_catalog.pg_class'::pg_catalog.regclass END,
                                    coalesce(r.ev_class, d.objid), d.objsubid) AS name
                           FROM pg_catalog.pg_depend d
                           JOIN pg_catalog.pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
                           LEFT JOIN pg_catalog.pg_rewrite r
                                  ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND r.oid = d.objid
                           LEFT JOIN pg_catalog.pg_attrdef own
                                  ON d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND own.oid = d.objid
                                 AND own.adnum = a.attnum
                          WHERE d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid = $1
                            AND a.attname = ANY ($2) AND d.deptype IN ('n', 'a')
                            AND own.oid IS NULL) AS d",
                &[arg::oid(relation), super::text_array_arg(Some(columns))],
                Mode::Read,
                1,
            )?;
            Ok(rows.first().and_then(|row| row.text(1)))
        })
    })?;
    let Some(found) = found else { return Ok(()) };
    Err(Error::new(
        state::DEPENDENT_OBJECTS,
        format!("cannot drop columns of view {label} because other objects depend on them"),
    )
    .detail(found)
    .hint("Drop those first.")
    .into())
}

/// Gives a view's table the columns that it is to have. As its owner.
pub fn alter_view_table(view: &View, relation: Oid, changes: &ColumnChanges) -> Result<()> {
    let column = |at: &usize| {
        let column = &view.columns.0[*at];
        (quote_identifier(&column.name), sql_type(column))
    };
    let dropped = changes.dropped.iter().map(|name| format!("DROP COLUMN {}", quote_identifier(name)));
    let retyped = changes.retyped.iter().map(column);
    let retyped = retyped.map(|(name, kind)| format!("ALTER COLUMN {name} TYPE {kind} USING NULL::{kind}"));
    let added = changes.added.iter().map(column).map(|(name, kind)| format!("ADD COLUMN {name} {kind}"));
    let actions = dropped.chain(retyped).chain(added).collect::<Vec<_>>().join(", ");
    if actions.is_empty() {
        return Ok(());
    }
    let label = table_label(relation)?;
    spi::connect(|spi| spi.run_once(&format!("ALTER TABLE {label} {actions}"), Mode::Write).map(drop))
}

/// How some columns are written of rows that are there.
pub struct SetStatement {
    pub text: String,
    /// Whether it gives a row for each that does not stand as it was to.
    pub is_checked: bool,
}

/// The statement that writes some columns; keys and values go as text, by column.
pub fn set_statement(view: &View, relation: Oid, columns: &[usize]) -> Result<SetStatement> {
    let label = table_label(relation)?;
    let keys = view.key.0.iter().map(|part| (quote_identifier(&part.name), part.datum_type.name().to_owned()));
    let keys = keys.collect::<Vec<_>>();
    let values = columns.iter().map(|&at| &view.columns.0[at]);
    let values = values.map(|column| (quote_identifier(&column.name), sql_type(column))).collect::<Vec<_>>();
    let all = keys.iter().chain(&values).collect::<Vec<_>>();
    let each = |text: fn(usize) -> String| (1..=all.len()).map(text).collect::<Vec<_>>().join(", ");
    let join = |parts: Vec<String>, separator: &str| parts.join(separator);
    let (texts, aliases) = (each(|n| format!("${n}::text[]")), each(|n| format!("v{n}")));
    let casts = join(all.iter().enumerate().map(|(at, (_, kind))| format!("v{}::{kind}", at + 1)).collect(), ", ");
    let set = join(values.iter().map(|(name, _)| format!("{name} = given.{name}")).collect(), ", ");
    let names = join(all.iter().map(|(name, _)| name.clone()).collect(), ", ");
    let returned = join(all.iter().map(|(name, _)| format!("t.{name}")).collect(), ", ");
    let of_one_key =
        |a: &str, b: &str| join(keys.iter().map(|(name, _)| format!("{a}.{name} = {b}.{name}")).collect(), " AND ");
    let given = format!("WITH given ({names}) AS (SELECT {casts} FROM unnest({texts}) AS new ({aliases}))");
    let update = format!("UPDATE ONLY {label} t SET {set} FROM given WHERE {}", of_one_key("t", "given"));
    if !has_row_triggers(relation)? {
        return Ok(SetStatement { text: format!("{given} {update}"), is_checked: false });
    }
    let differs = values.iter().map(|(name, _)| format!("put.{name}::text IS DISTINCT FROM given.{name}::text"));
    let differs = join(differs.collect(), " OR ");
    let text = format!(
        "{given}, put AS ({update} RETURNING {returned})
         SELECT FROM given JOIN ONLY {label} t ON {} LEFT JOIN put ON {} WHERE put.{} IS NULL OR {differs}",
        of_one_key("t", "given"),
        of_one_key("put", "given"),
        keys[0].0
    );
    Ok(SetStatement { text, is_checked: true })
}
