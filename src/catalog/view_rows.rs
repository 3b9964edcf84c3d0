//! The tables of views: how they are made, by which statements their rows are written and read, what must stay of them.

use crate::catalog::table_label;
use crate::catalog::tables::{hand_over, quote_identifier, quote_literal};
use crate::drops;
use crate::error::{Result, internal};
use crate::spi::{self, Mode, arg, as_owner};
use gundb_core::DatumType;
use gundb_core::view::{ColumnType, View};
use pgrx::pg_sys::{self, Oid};

/// The SQL type of a column.
pub(super) fn sql_type(column: &gundb_core::view::Column) -> String {
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

/// The statements by which a view's rows are written and read; each value goes as text, by column.
pub struct RowStatements {
    /// Gives a row for each that stands as it was to.
    pub put_one: String,
    pub put: String,
    pub delete: String,
    /// Gives a row for each that should be gone and is not; where only a trigger could have kept it.
    pub kept: Option<String>,
    pub read: String,
    /// The rows of some keys.
    pub pick: String,
    pub count: String,
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
    // A row without values is written as well: so whoever writes it learns that it stands.
    let set = if values.is_empty() { &keys[..1] } else { &values[..] };
    let set = join(set.iter().map(|(name, _)| format!("{name} = excluded.{name}")).collect(), ", ");
    let same_key = same_key(&keys);
    let of_one_key = join(keys.iter().map(|(name, _)| format!("given.{name} = put.{name}")).collect(), " AND ");
    let values_one =
        join(all.iter().enumerate().map(|(at, (_, kind))| format!("${}::text::{kind}", at + 1)).collect(), ", ");
    // Times print as the session likes; keys must be told apart by the text that gundb gives them.
    let as_canonical = |(name, kind): &(String, String)| match kind.as_str() {
        "timestamptz" => {
            format!("pg_catalog.to_char(t.{name} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")
        }
        "date" => format!("pg_catalog.to_char(t.{name}, 'YYYY-MM-DD')"),
        _ => format!("t.{name}::text"),
    };
    let as_text = |(name, _): &(String, String)| format!("t.{name}::text");
    let texts = join(keys.iter().map(as_canonical).chain(values.iter().map(as_text)).collect(), ", ");
    let put =
        |rows: &str| format!("INSERT INTO {label} ({names}) {rows} ON CONFLICT ({key_names}) DO UPDATE SET {set}");
    let new = |count: usize| format!("unnest({}) AS new ({})", places(count), aliases(count));
    let (one, many) = (format!("VALUES ({values_one})"), format!("SELECT {casts} FROM {}", new(all.len())));
    let is_checked = has_row_triggers(relation)?;
    // What stands then may not be what was given: compared as both are printed.
    let checked = |rows: &str| {
        let same = all.iter().map(|(name, _)| format!("given.{name}::text IS NOT DISTINCT FROM put.{name}::text"));
        let same = join(same.collect(), " AND ");
        let put = put(&format!("SELECT {names} FROM given"));
        format!(
            "WITH given ({names}) AS ({rows}), put AS ({put} RETURNING {names})
             SELECT FROM given JOIN put ON {of_one_key} WHERE {same}"
        )
    };
    let put = |rows: &str| if is_checked { checked(rows) } else { put(rows) };
    Ok(RowStatements {
        put_one: put(&one),
        put: put(&many),
        kept: is_checked.then(|| format!("SELECT FROM {} JOIN ONLY {label} t ON {same_key}", new(keys.len()))),
        delete: format!("DELETE FROM ONLY {label} t USING {} WHERE {same_key}", new(keys.len())),
        pick: format!("SELECT {texts} FROM {} JOIN ONLY {label} t ON {same_key}", new(keys.len())),
        read: format!("SELECT {texts} FROM ONLY {label} t"),
        count: format!("SELECT pg_catalog.count(*) FROM ONLY {label}"),
    })
}

/// Whether a view's table has triggers of the user's that see a row before it is written, and can change it.
pub(super) fn has_row_triggers(relation: Oid) -> Result<bool> {
    // Of pg_trigger.tgtype: for each row, before.
    const BEFORE_ROW: i32 = 1 | 2;
    spi::with_latest_snapshot(|| {
        spi::connect(|spi| {
            let rows = spi.run(
                "SELECT EXISTS (SELECT FROM pg_catalog.pg_trigger
                                 WHERE tgrelid = $1 AND tgtype::integer & $2 = $2 AND NOT tgisinternal)",
                &[arg::oid(relation), arg::of(pg_sys::INT4OID, Some(BEFORE_ROW.into()))],
                Mode::Read,
                1,
            )?;
            Ok(rows.first().and_then(|row| row.bool(1)) == Some(true))
        })
    })
}

/// Whether a view's table has something of the user's that can refuse a row: a constraint, an index, a trigger, a rule,
/// row security, a column with a default or of a domain.
pub fn can_refuse(view: &View, relation: Oid) -> Result<bool> {
    let keys = view.key.0.iter().map(|part| part.name.clone());
    let ours = keys.chain(view.columns.0.iter().map(|column| column.name.clone())).collect::<Vec<_>>();
    spi::with_latest_snapshot(|| {
        spi::connect(|spi| {
            let rows = spi.run(
                "SELECT c.relhasrules OR c.relrowsecurity
                     OR EXISTS (SELECT FROM pg_catalog.pg_trigger t
                                 WHERE t.tgrelid = c.oid AND t.tgfoid <> pg_catalog.to_regproc('gundb.guard_view'))
                     OR EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND NOT i.indisprimary)
                     OR EXISTS (SELECT FROM pg_catalog.pg_constraint k
                                 WHERE k.conrelid = c.oid AND k.contype NOT IN ('p', 'n'))
                     OR EXISTS (SELECT FROM pg_catalog.pg_attribute a
                                 WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                                   AND (a.attname <> ALL ($2) AND (a.atthasdef OR EXISTS (
                                            SELECT FROM pg_catalog.pg_type y WHERE y.oid = a.atttypid AND y.typtype = 'd'))
                                        OR a.attnotnull AND NOT EXISTS (
                                           SELECT FROM pg_catalog.pg_index i
                                            WHERE i.indrelid = c.oid AND i.indisprimary AND a.attnum = ANY (i.indkey))))
                   FROM pg_catalog.pg_class c WHERE c.oid = $1",
                &[arg::oid(relation), super::text_array_arg(Some(&ours))],
                Mode::Read,
                1,
            )?;
            Ok(rows.first().and_then(|row| row.bool(1)) == Some(true))
        })
    })
}

/// That the row `t` has the key that `new` gives as text, part by part.
fn same_key(keys: &[(String, String)]) -> String {
    let part = |(at, (name, kind)): (usize, &(String, String))| format!("t.{name} = new.v{}::{kind}", at + 1);
    keys.iter().enumerate().map(part).collect::<Vec<_>>().join(" AND ")
}

/// Runs a statement of [`RowStatements`] with values by column. Returns how many rows it wrote.
pub fn write_rows(statement: &str, columns: &[Vec<Option<String>>], mode: Mode) -> Result<usize> {
    let args = columns.iter().map(|column| texts_arg(column)).collect::<Vec<_>>();
    spi::connect(|spi| Ok(spi.run(statement, &args, mode, 0)?.len()))
}

fn texts_arg(column: &[Option<String>]) -> spi::Arg {
    arg::of(pg_sys::TEXTARRAYOID, Some(spi::nullable_text_array(column)))
}

/// How many rows a view has, through the active snapshot.
pub fn count_rows(statement: &str) -> Result<i64> {
    spi::connect(|spi| {
        let rows = spi.run(statement, &[], Mode::Read, 1)?;
        rows.first().and_then(|row| row.int8(1)).ok_or_else(|| internal("count gave nothing"))
    })
}

/// Takes all rows of a table away.
pub fn delete_rows(relation: Oid) -> Result<()> {
    let label = table_label(relation)?;
    spi::connect(|spi| spi.run_once(&format!("DELETE FROM ONLY {label}"), Mode::Write).map(drop))
}

/// The rows of a view, through the active snapshot, each value as text: all of them, or those of keys given by column.
pub fn read_rows(statement: &str, keys: &[Vec<Option<String>>], columns: usize) -> Result<Vec<Vec<Option<String>>>> {
    spi::connect(|spi| {
        let args = keys.iter().map(|key| texts_arg(key)).collect::<Vec<_>>();
        let rows = spi.run(statement, &args, Mode::Read, 0)?;
        Ok(rows.iter().map(|row| (1..=columns).map(|column| row.text(column)).collect()).collect())
    })
}

/// Runs the statement for one row, with its values. Returns how many rows it wrote.
pub fn write_row(statement: &str, values: &[Option<String>]) -> Result<usize> {
    let args = values.iter().map(|value| arg::text_or_null(value.as_deref())).collect::<Vec<_>>();
    spi::connect(|spi| Ok(spi.run(statement, &args, Mode::Write, 0)?.len()))
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

/// Gives the rows of a view to `found`, as texts, in the order of their keys: what the caller may read of them, through
/// the active snapshot.
pub fn each_row_by_key(view: &View, relation: Oid, mut found: impl FnMut(&[Option<&str>])) -> Result<()> {
    let label = table_label(relation)?;
    let names = view.key.0.iter().map(|part| &part.name).chain(view.columns.0.iter().map(|column| &column.name));
    let texts = names.map(|name| format!("{}::pg_catalog.text", quote_identifier(name))).collect::<Vec<_>>();
    let order = view.key.0.iter().map(|part| match part.datum_type {
        DatumType::Text => format!("{} COLLATE \"C\"", quote_identifier(&part.name)),
        _ => quote_identifier(&part.name),
    });
    let order = order.collect::<Vec<_>>().join(", ");
    let statement = format!("SELECT {} FROM ONLY {label} ORDER BY {order}", texts.join(", "));
    spi::connect(|spi| {
        spi.each(&statement, Mode::Read, |row| {
            // SAFETY: each column is text.
            let text = |column| row.datum(column).map(|datum| unsafe { spi::text_of(datum) });
            found(&(1..=texts.len()).map(text).collect::<Vec<_>>());
            Ok(())
        })
    })
}
