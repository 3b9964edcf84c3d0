//! Definitions: events of the system stream, whose table is made when the first of them is appended. (A table made by
//! CREATE EXTENSION would have its trigger before a dump's data arrives, and so refuse it.)

use crate::boundary::objection;
use crate::catalog::{Place, create_stream_table, lock_streams};
use crate::error::{Error, Result, state};
use crate::spi::{self, Mode, Row, arg, as_owner};
use gundb_core::schema::Schema;
use gundb_core::sync::filter::system_stream;
use gundb_core::{SiteId, StreamId};
use pgrx::pg_sys::Oid;
use std::collections::{BTreeSet, HashMap};
use uuid::Uuid;

const SYSTEM_TABLE: &str = "gundb.definition";

fn system_table() -> Result<Option<Oid>> {
    spi::connect(|spi| {
        let rows = spi.run("SELECT pg_catalog.to_regclass($1)::oid", &[arg::text(SYSTEM_TABLE)], Mode::Read, 1)?;
        Ok(rows.first().and_then(|row| row.oid(1)))
    })
}

/// Makes the system stream's table, if it is not there.
pub fn ensure_system_table() -> Result<()> {
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
        Ok(())
    })
}

/// Appends a definition; makes the system stream's table if it is the first.
fn define(kind: &str, key: &str, data_sql: &str, args: &[spi::Arg]) -> Result<()> {
    as_owner(|| {
        ensure_system_table()?;
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
    // Of sites that may define here. This one is known from shared memory: who reads gundb.own_run while others write to it
    // fails at SERIALIZABLE.
    let own = crate::run::site_if_any()?.unwrap_or(SiteId(uuid::Uuid::nil()));
    let counts = if super::has_peers()? {
        "AND (site = $2 OR site IN (SELECT d.site FROM gundb.definer d))"
    } else {
        "AND $2 IS NOT NULL"
    };
    let statement = format!(
        "SELECT type, data->'closed' = 'true', data->>'type',
                CASE WHEN data->>'version' ~ '^[0-9]{{1,9}}$' THEN (data->>'version')::integer END,
                nullif(data->'schema', 'null')::text
           FROM gundb.definition WHERE key = $1 AND type IN ('StreamDeclared', 'EventDefined') {counts}
          ORDER BY hlc, site, lane, seq"
    );
    as_owner(|| {
        spi::with_latest_snapshot(|| {
            spi::connect(|spi| {
                let rows = spi.run(&statement, &[arg::text(stream), arg::uuid(own.0.as_bytes())], Mode::Read, 0)?;
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
            let compile = |text| Schema::compile_with(text, objection);
            let schema = definition.schema.as_deref().map(compile).transpose().map_err(|why| {
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

/// The names of all streams that have a table here, or that were declared.
pub fn known_streams() -> Result<BTreeSet<String>> {
    let mut names = super::streams()?.into_iter().map(|stream| stream.name).collect::<BTreeSet<_>>();
    if system_table()?.is_some() {
        as_owner(|| {
            spi::with_latest_snapshot(|| {
                spi::connect(|spi| {
                    let rows = spi.run(
                        "SELECT DISTINCT key FROM gundb.definition WHERE type = 'StreamDeclared' AND key IS NOT NULL",
                        &[],
                        Mode::Read,
                        0,
                    )?;
                    names.extend(rows.iter().filter_map(|row| row.text(1)));
                    Ok(())
                })
            })
        })?;
    }
    Ok(names)
}

/// The streams for which transactions of others wait: of each the first that is not here, or all of its streams.
pub fn staged_streams(all: bool) -> Result<BTreeSet<StreamId>> {
    let statement = if all {
        "SELECT DISTINCT (e.stream #>> '{}')::uuid
           FROM gundb.staged s, pg_catalog.jsonb_path_query(s.document, '$.events[*].stream') AS e (stream)
          WHERE s.kind <> 'time'"
    } else {
        "SELECT DISTINCT stream FROM gundb.staged WHERE stream IS NOT NULL"
    };
    as_owner(|| {
        spi::with_latest_snapshot(|| {
            spi::connect(|spi| {
                let rows = spi.run(statement, &[], Mode::Read, 0)?;
                Ok(rows.iter().filter_map(|row| row.uuid(1)).map(|id| StreamId(Uuid::from_bytes(id))).collect())
            })
        })
    })
}

/// A stream that was declared, by a site whose definitions count, and has no table here.
pub struct Declared {
    pub name: String,
    /// Whether it is time to try to make its table.
    pub is_due: bool,
}

/// The streams that were declared and have no table, but for those that were dropped here. A transaction that declares a stream
/// and appends to it waits for that stream, and so does its declaration.
pub fn declared_without_table() -> Result<Vec<Declared>> {
    if system_table()?.is_none() {
        return Ok(Vec::new());
    }
    as_owner(|| {
        spi::connect(|spi| {
            let rows = spi.run(
                "SELECT DISTINCT d.key,
                        coalesce(a.since < pg_catalog.now() - least(a.tries, 60) * interval '1 s', true)
                   FROM (SELECT f.key, f.site FROM gundb.definition f WHERE f.type = 'StreamDeclared'
                          UNION ALL
                         SELECT e.event->>'key', s.site
                           FROM gundb.staged s,
                                pg_catalog.jsonb_path_query(s.document, '$.events[*] ? (@.type == \"StreamDeclared\")') AS e (event)
                          WHERE s.kind = 'stream' AND (e.event->>'stream')::uuid = $1) d
                   LEFT JOIN gundb.adoption a ON a.name = d.key
                  WHERE d.key IS NOT NULL
                    AND (d.site IN (SELECT r.site FROM gundb.own_run r) OR d.site IN (SELECT f.site FROM gundb.definer f))
                    AND NOT EXISTS (SELECT FROM gundb.stream_table t WHERE t.name = d.key)
                    AND NOT EXISTS (SELECT FROM gundb.left_stream l WHERE l.name = d.key)
                  ORDER BY d.key",
                &[arg::uuid(system_stream().0.as_bytes())],
                Mode::Latest,
                0,
            )?;
            let declared = |row: Row| Some(Declared { name: row.text(1)?, is_due: row.bool(2)? });
            Ok(rows.iter().filter_map(declared).collect())
        })
    })
}

/// Notes what hinders, or hindered, a stream from becoming a table of its name, and which table was made instead; or that nothing did.
pub fn note_adoption(name: &str, problem: Option<&str>, made: Option<&str>) -> Result<()> {
    as_owner(|| {
        spi::connect(|spi| {
            let (statement, args) = match problem {
                Some(problem) => (
                    "INSERT INTO gundb.adoption AS a (name, problem, made) VALUES ($1, $2, $3::name)
                     ON CONFLICT (name) DO UPDATE SET problem = excluded.problem, made = excluded.made, since = excluded.since, tries = a.tries + 1",
                    vec![arg::text(name), arg::text(problem), arg::text_or_null(made)],
                ),
                None => ("DELETE FROM gundb.adoption WHERE name = $1", vec![arg::text(name)]),
            };
            spi.run(statement, &args, Mode::Write, 0).map(drop)
        })
    })
}
