//! Bundles out of a database, and into it.

use std::collections::BTreeMap;

use gundb_core::Clock;
use gundb_core::bundle::{Bundle, decode_bundle};
use gundb_core::store::Counts;
use gundb_core::sync::filter::Filter;

use crate::error::{Error, Kind, Result};
use crate::site::Found;
use crate::site::postgres::connection::{Connection, Value, rubbish};
use crate::store::Edge;

pub fn export(
    connection: &Connection,
    streams: Option<&[String]>,
    since: &Clock,
    found: Found<'_, (Bundle, Vec<u8>)>,
) -> Result<()> {
    streams.map(Filter::parse).transpose().map_err(|why| Error::new(Kind::Usage, why.to_string()))?;
    let since = since.to_string();
    let values = [Value::Texts(streams), Value::Text(&since)];
    connection.each("SELECT gundb.export_bundle($1, $2::gundb.clock)", &values, |row| {
        let bytes = row.bytes(0)?.to_vec();
        let bundle = decode_bundle(&bytes, &Edge::limits()).map_err(rubbish)?;
        found((bundle, bytes))
    })
}

pub fn import(connection: &Connection, bundle: &[u8]) -> Result<Counts> {
    // A bundle that cannot be read is damaged, whoever finds that out.
    decode_bundle(bundle, &Edge::limits())
        .map_err(|why| Error::new(Kind::Damaged, format!("this is no bundle of gundb's: {why}")))?;
    connection.transaction(|| {
        let before = refused(connection)?;
        let statement = "SELECT i.new::text, i.known::text, i.pending::text FROM gundb.import_bundle($1) i";
        let row = connection.row(statement, &[Value::Bytes(bundle)])?;
        let after = refused(connection)?;
        let is_new = |(dot, (_, tries)): &(&String, &(String, i64))| {
            before.get(*dot).is_none_or(|(_, tries_before)| tries_before < tries)
        };
        Ok(Counts {
            new: row.parsed(0)?,
            known: row.parsed(1)?,
            pending: row.parsed(2)?,
            refused: after.iter().filter(is_new).map(|(_, (reason, _))| reason.clone()).collect(),
        })
    })
}

/// What was refused: by dot, why, and how often.
fn refused(connection: &Connection) -> Result<BTreeMap<String, (String, i64)>> {
    let statement = "SELECT p.dot::text, pg_catalog.min(p.reason), pg_catalog.sum(p.tries)::text
                       FROM gundb.pending p WHERE p.kind IN ('fork', 'malformed') GROUP BY p.dot";
    let rows = connection.rows(statement, &[])?;
    rows.iter().map(|row| Ok((row.text(0)?.to_owned(), (row.text(1)?.to_owned(), row.parsed(2)?)))).collect()
}
