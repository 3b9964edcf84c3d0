//! Views of a database, and their rows.

use gundb_core::view::Columns;
use gundb_core::{Clock, Datum, DatumType, Dot};

use crate::error::{Error, Kind, Result};
use crate::site::Found;
use crate::site::postgres::connection::{Connection, Record, Value, quoted};
use crate::site::postgres::values;
use crate::view::{Change, Definition, Row, View, key_values, shown};

/// A view, and where its table is.
pub struct Known {
    pub view: View,
    /// The table's number.
    relation: String,
    /// The table as SQL writes it.
    table: String,
}

/// What is known of a view.
const DEFINITION: &str =
    "v.view::oid::text, v.view::text, v.stream, v.key, v.columns::text, pg_catalog.to_jsonb(v.types)::text,
    v.filter, pg_catalog.to_jsonb(v.delete)::text, (v.reducer IS NOT NULL)::text, v.strict::text";

fn definition(row: &Record) -> Result<Definition> {
    let texts = |text: Option<&str>| -> Result<Option<Vec<String>>> {
        text.map(serde_json::from_str).transpose().map_err(super::connection::rubbish)
    };
    Ok(Definition {
        stream: row.text(2)?.to_owned(),
        key: row.text(3)?.to_owned(),
        columns: row.text(4)?.to_owned(),
        types: texts(row.optional(5)?)?,
        filter: row.optional(6)?.map(str::to_owned),
        delete: texts(row.optional(7)?)?.unwrap_or_default(),
        strict: row.text(9)? == "true",
    })
}

/// All views, by name.
pub fn all(connection: &Connection) -> Result<Vec<(String, Definition)>> {
    let statement = format!("SELECT {DEFINITION} FROM gundb.view v ORDER BY v.view::text COLLATE \"C\"");
    let rows = connection.rows(&statement, &[])?;
    rows.iter().map(|row| Ok((row.text(1)?.to_owned(), definition(row)?))).collect()
}

pub fn create(connection: &Connection, name: &str, definition: &Definition) -> Result<bool> {
    let Definition { stream, key, columns, types, filter, delete, strict } = definition;
    let statement = "SELECT gundb.create_view($1, $2, $3::json, key => $4, types => $5, filter => $6, delete => $7, strict => $8::boolean)::text";
    let values = [
        Value::Text(name),
        Value::Text(stream),
        Value::Text(columns),
        Value::Text(key),
        Value::Texts(types.as_deref()),
        Value::Maybe(filter.as_deref()),
        Value::Texts((!delete.is_empty()).then_some(delete.as_slice())),
        Value::Text(if *strict { "true" } else { "false" }),
    ];
    made(connection, name, statement, &values)
}

pub fn create_reduced(connection: &Connection, name: &str, stream: &str, reducer: &str, key: &str) -> Result<bool> {
    let statement = "SELECT gundb.create_reducer_view($1, $2, $3::regprocedure, key => $4)::text";
    made(connection, name, statement, &[Value::Text(name), Value::Text(stream), Value::Text(reducer), Value::Text(key)])
}

/// Makes a view, and says whether it is new.
fn made(connection: &Connection, name: &str, statement: &str, values: &[Value<'_>]) -> Result<bool> {
    let is_known = Known::look(connection, name)?.is_some();
    connection.row(statement, values).map(|_| !is_known)
}

impl Known {
    /// A view by the name of its table, or by that with its schema.
    pub fn find(connection: &Connection, name: &str) -> Result<Known> {
        if let Some(known) = Known::look(connection, name)? {
            return Ok(known);
        }
        let names = all(connection)?;
        let error = Error::new(Kind::NotFound, format!("there is no view \"{name}\""));
        Err(match gundb_core::similar(name, names.iter().map(|(name, _)| name.as_str())) {
            Some(similar) => error.hint(format!("Did you mean \"{similar}\"?")),
            None => error.hint("Make it: gundb view create"),
        })
    }

    fn look(connection: &Connection, name: &str) -> Result<Option<Known>> {
        let statement = format!(
            "SELECT {DEFINITION}
               FROM gundb.view v
               JOIN pg_catalog.pg_class c ON c.oid = v.view
               JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
              WHERE $1 IN (c.relname, v.view::text, n.nspname || '.' || c.relname)
              ORDER BY pg_catalog.pg_table_is_visible(c.oid) DESC, v.view::text LIMIT 1"
        );
        let found = connection.rows(&statement, &[Value::Text(name)])?;
        let Some(row) = found.first() else { return Ok(None) };
        let reduced = row.is(8)?.then(Columns::reduced);
        let view = View::described(name.to_owned(), definition(row)?, reduced)?;
        Ok(Some(Known { view, relation: row.text(0)?.to_owned(), table: row.text(1)?.to_owned() }))
    }

    /// The columns of a row, as JSON, from what stands behind `FROM`.
    fn statement(&self, from: &str) -> String {
        let keys = self.view.parsed.key.0.iter().map(|part| &part.name);
        let columns = self.view.parsed.columns.0.iter().map(|column| &column.name);
        let columns: Vec<String> =
            keys.chain(columns).map(|name| format!("pg_catalog.to_jsonb(r.{})::text", quoted(name))).collect();
        let order = self.view.parsed.key.0.iter().map(|part| match part.datum_type {
            DatumType::Text => format!("r.{} COLLATE \"C\"", quoted(&part.name)),
            DatumType::Jsonb => format!("r.{}::text COLLATE \"C\"", quoted(&part.name)),
            _ => format!("r.{}", quoted(&part.name)),
        });
        format!("SELECT {} FROM {from} ORDER BY {}", columns.join(", "), order.collect::<Vec<_>>().join(", "))
    }

    fn row(&self, row: &Record) -> Result<Row> {
        let parts = &self.view.parsed.key.0;
        let key = parts
            .iter()
            .enumerate()
            .map(|(at, part)| values::datum(part.datum_type, &values::json(row.optional(at)?)?));
        let key = key.collect::<Result<Vec<Datum>>>()?;
        let columns = self.view.parsed.columns.0.iter().enumerate();
        let values = columns
            .map(|(at, column)| values::value(column, &values::json(row.optional(parts.len() + at)?)?))
            .collect::<Result<Vec<_>>>()?;
        Ok(Row { key, values })
    }

    /// The rows, in the order of their keys; of one key, or of all.
    pub fn rows(&self, connection: &Connection, key: Option<&str>, found: Found<'_, Row>) -> Result<()> {
        let wanted = key.map(|key| key_values(&self.view, key)).transpose()?.unwrap_or_default();
        let texts: Vec<String> = wanted.iter().map(Datum::to_string).collect();
        let is = |(at, (part, _)): (usize, (&gundb_core::view::KeyPart, &String))| {
            format!("r.{} OPERATOR(pg_catalog.=) ${}::{}", quoted(&part.name), at + 1, part.datum_type.name())
        };
        let conditions: Vec<String> = self.view.parsed.key.0.iter().zip(&texts).enumerate().map(is).collect();
        let only = if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) };
        let values: Vec<Value<'_>> = texts.iter().map(|text| Value::Text(text)).collect();
        let statement = self.statement(&format!("ONLY {} r{only}", self.table));
        connection.each(&statement, &values, |row| found(self.row(&row)?))
    }

    /// The rows as they were.
    pub fn rows_at(
        &self,
        connection: &Connection,
        clock: &Clock,
        key: Option<&str>,
        found: Found<'_, Row>,
    ) -> Result<()> {
        let key = key.map(|key| key_values(&self.view, key)).transpose()?.map(|key| shown(&key));
        let clock = clock.to_string();
        let from = format!("gundb.view_at(NULL::{}, clock => $1::gundb.clock, key => $2) r", self.table);
        let values = [Value::Text(&clock), Value::Maybe(key.as_deref())];
        let given = connection.each(&self.statement(&from), &values, |row| found(self.row(&row)?));
        // What is asked for is not there; nothing conflicts.
        given.map_err(|error| match error.sqlstate.as_deref() {
            Some("GD007") => Error { kind: Kind::NotFound, ..error },
            _ => error,
        })
    }

    /// What a key's row went through.
    pub fn history(&self, connection: &Connection, key: &str) -> Result<Vec<Change>> {
        let key = shown(&key_values(&self.view, key)?);
        let statement = "SELECT h.dot::text, h.hlc::text, h.type, h.id::text, h.\"row\"::text
                           FROM gundb.view_history($1::oid::regclass, $2) h";
        let change = |row: &Record| {
            let values = row.optional(4)?.map(|text| self.values_of(text)).transpose()?;
            Ok(Change {
                dot: row.parsed(0)?,
                hlc: row.parsed(1)?,
                kind: row.text(2)?.to_owned(),
                id: row.parsed(3)?,
                values,
            })
        };
        connection.rows(statement, &[Value::Text(&self.relation), Value::Text(&key)])?.iter().map(change).collect()
    }

    /// The values of a row that is written as one JSON object.
    fn values_of(&self, text: &str) -> Result<Vec<gundb_core::fold::FoldValue>> {
        let gundb_core::Json::Object(row) = values::json(Some(text))? else {
            return Err(super::connection::rubbish("a row is no object"));
        };
        let columns = self.view.parsed.columns.0.iter();
        columns.map(|column| values::value(column, row.get(&column.name).unwrap_or(&gundb_core::Json::Null))).collect()
    }

    /// The keys whose row is not what their events give.
    pub fn check(&self, connection: &Connection) -> Result<Vec<(String, String)>> {
        let statement =
            "SELECT c.key, c.problem FROM gundb.check_view($1::oid::regclass) c ORDER BY c.key COLLATE \"C\"";
        let rows = connection.rows(statement, &[Value::Text(&self.relation)])?;
        rows.iter().map(|row| Ok((row.optional(0)?.unwrap_or_default().to_owned(), row.text(1)?.to_owned()))).collect()
    }

    /// Folds it anew.
    pub fn rebuild(&self, connection: &Connection) -> Result<u64> {
        connection.value("SELECT gundb.rebuild_view($1::oid::regclass)::text", &[Value::Text(&self.relation)])
    }

    /// Drops it.
    pub fn drop(&self, connection: &Connection) -> Result<()> {
        connection.row("SELECT gundb.drop_view($1::oid::regclass)", &[Value::Text(&self.relation)]).map(|_| ())
    }

    /// A hash of its rows.
    pub fn digest(&self, connection: &Connection) -> Result<[u8; 16]> {
        let statement = "SELECT gundb.view_digest($1::oid::regclass)::text";
        let digest: uuid::Uuid = connection.value(statement, &[Value::Text(&self.relation)])?;
        Ok(*digest.as_bytes())
    }

    /// The events that it could not fold.
    pub fn left_out(&self, connection: &Connection) -> Result<Vec<(Dot, String)>> {
        let statement = "SELECT p.dot::text, p.reason FROM gundb.pending p
                          WHERE p.kind = 'event' AND p.view = $1::oid ORDER BY p.dot";
        let rows = connection.rows(statement, &[Value::Text(&self.relation)])?;
        rows.iter().map(|row| Ok((row.parsed(0)?, row.text(1)?.to_owned()))).collect()
    }
}
