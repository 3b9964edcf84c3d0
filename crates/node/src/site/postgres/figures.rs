//! What a database holds, what waits there, and what is damaged.

use std::collections::{BTreeMap, HashMap};

use gundb_core::{Chain, Clock, Dot, Hlc, SiteId, StreamId};
use uuid::Uuid;

use crate::error::Result;
use crate::site::postgres::connection::{Connection, Record, Value};
use crate::site::{Figures, Pending};

/// The names of all sites that are known.
pub fn site_names(connection: &Connection) -> Result<HashMap<SiteId, String>> {
    let rows = connection.rows("SELECT s.site::text, s.name FROM gundb.site s", &[])?;
    rows.iter().map(|row| Ok((row.parsed(0)?, row.text(1)?.to_owned()))).collect()
}

pub fn figures(connection: &Connection) -> Result<Figures> {
    let clock = clock(connection)?;
    let (events, lanes, runs, sites) = Figures::of(&clock);
    let statement = "SELECT gundb.site_id()::text, gundb.site_name(),
        (SELECT pg_catalog.count(*) FROM gundb.stream_table)::text,
        (SELECT pg_catalog.count(*) FROM gundb.view)::text,
        (SELECT coalesce(pg_catalog.sum(pg_catalog.pg_total_relation_size(t.relid)), 0) FROM gundb.stream_table t)::text";
    let waits = "SELECT pg_catalog.count(*) FILTER (WHERE p.kind IN ('time', 'stream', 'behind'))::text,
        pg_catalog.count(*) FILTER (WHERE p.kind = 'bundle')::text,
        pg_catalog.count(*) FILTER (WHERE p.kind IN ('fork', 'malformed'))::text FROM gundb.pending p";
    let (known, waits) = (connection.row(statement, &[])?, connection.row(waits, &[])?);
    let heads: Vec<Dot> = clock.iter().collect();
    Ok(Figures {
        site: known.parsed(0)?,
        name: known.text(1)?.to_owned(),
        streams: known.parsed(2)?,
        views: known.parsed(3)?,
        events,
        lanes,
        runs,
        sites,
        last_hlc: places(connection, &heads)?.into_iter().flatten().map(|(hlc, _)| hlc).max(),
        pending: waits.parsed(0)?,
        early_bundles: waits.parsed(1)?,
        refused: waits.parsed(2)?,
        bytes: known.parsed(4)?,
    })
}

pub fn clock(connection: &Connection) -> Result<Clock> {
    connection.value("SELECT gundb.site_clock()::text", &[])
}

pub fn clock_at(connection: &Connection, millis: u64) -> Result<Clock> {
    let statement = "SELECT gundb.clock_at(timestamptz 'epoch' + $1::bigint * interval '1 ms')::text";
    connection.value(statement, &[Value::Text(&millis.to_string())])
}

pub fn chains(connection: &Connection, dots: &[Dot]) -> Result<Vec<Option<Chain>>> {
    Ok(places(connection, dots)?.into_iter().map(|place| place.map(|(_, chain)| chain)).collect())
}

/// The stamps and chains of events that are held, and that the role may read.
fn places(connection: &Connection, dots: &[Dot]) -> Result<Vec<Option<(Hlc, Chain)>>> {
    let mut found = vec![None; dots.len()];
    let tables = "SELECT t.name, t.relid::regclass::text FROM gundb.stream_table t
                   WHERE pg_catalog.has_table_privilege(t.relid, 'SELECT')";
    let tables = connection.rows(tables, &[])?;
    let tables: BTreeMap<StreamId, &str> =
        tables.iter().map(|row| Ok((StreamId::of_name(row.text(0)?), row.text(1)?))).collect::<Result<_>>()?;
    for (stream, table) in tables {
        let of_stream: Vec<(usize, &Dot)> = dots.iter().enumerate().filter(|(_, dot)| dot.stream == stream).collect();
        let texts = |text: fn(&Dot) -> String| of_stream.iter().map(|(_, dot)| text(dot)).collect::<Vec<String>>();
        let (sites, lanes) = (texts(|dot| dot.site.to_string()), texts(|dot| dot.lane.to_string()));
        let seqs = texts(|dot| dot.seq.to_string());
        let statement = format!(
            "SELECT h.n::text, e.hlc::text, e.chain::text
               FROM ROWS FROM (pg_catalog.unnest($1::uuid[]), pg_catalog.unnest($2::gundb.lane[]), pg_catalog.unnest($3::bigint[]))
                    WITH ORDINALITY h (site, lane, seq, n)
               JOIN ONLY {table} e ON e.site = h.site AND e.lane = h.lane AND e.seq = h.seq"
        );
        let values = [Value::Texts(Some(&sites)), Value::Texts(Some(&lanes)), Value::Texts(Some(&seqs))];
        connection.each(&statement, &values, |row| {
            let at: usize = row.parsed(0)?;
            let place = at.checked_sub(1).and_then(|at| of_stream.get(at)).and_then(|(at, _)| found.get_mut(*at));
            if let Some(place) = place {
                *place = Some((row.parsed(1)?, row.parsed(2)?));
            }
            Ok(())
        })?;
    }
    Ok(found)
}

pub fn digest(connection: &Connection, stream: Option<&str>) -> Result<[u8; 16]> {
    let digest: Uuid = connection.value("SELECT gundb.digest($1)::text", &[Value::Maybe(stream)])?;
    Ok(*digest.as_bytes())
}

pub fn verify(connection: &Connection) -> Result<Vec<String>> {
    let statement = "SELECT v.seq::text, v.site::text, v.stream, v.lane::text, v.problem FROM gundb.verify() v";
    let problem = |row: &Record| {
        let [seq, site, stream, lane, problem] = [row.text(0)?, row.text(1)?, row.text(2)?, row.text(3)?, row.text(4)?];
        Ok(format!("event {seq} of lane {site}/{}/{lane}: {problem}", StreamId::of_name(stream)))
    };
    connection.rows(statement, &[])?.iter().map(problem).collect()
}

pub fn pending(connection: &Connection) -> Result<Vec<Pending>> {
    let statement = "SELECT p.kind, p.view::text, p.key, p.dot::text, p.reason FROM gundb.pending p
                      ORDER BY p.since, p.kind, p.dot";
    let one = |row: &Record| {
        Ok(Pending {
            kind: row.text(0)?.to_owned(),
            view: row.optional(1)?.map(str::to_owned),
            key: row.optional(2)?.map(str::to_owned),
            dot: row.optional(3)?.map(super::connection::parsed).transpose()?,
            reason: row.text(4)?.to_owned(),
        })
    };
    connection.rows(statement, &[])?.iter().map(one).collect()
}

pub fn retry_pending(connection: &Connection, accept: bool) -> Result<u64> {
    let accepted: u64 = if accept { connection.value("SELECT gundb.accept_pending()::text", &[])? } else { 0 };
    let taken: u64 = connection.value("SELECT gundb.retry_pending()::text", &[])?;
    Ok(accepted + taken)
}
