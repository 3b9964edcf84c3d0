//! Comparisons with peers: what the worker found, for who asked.

use crate::error::Result;
use crate::spi::{self, Mode, arg, as_owner};

/// What came of a comparison: a report, as JSON, or why there is none.
pub type Compared = core::result::Result<String, String>;

/// Leaves what came of a comparison for who asked; forgets what nobody has fetched for an hour.
pub fn store_comparison(token: i64, compared: &Compared) -> Result<()> {
    let (report, problem) = (compared.as_ref().ok(), compared.as_ref().err());
    let args = [
        arg::int8(token),
        arg::text_or_null(problem.map(String::as_str)),
        arg::text_or_null(report.map(String::as_str)),
    ];
    as_owner(|| {
        spi::connect(|spi| {
            let old = "DELETE FROM gundb.comparison WHERE made < pg_catalog.now() - interval '1 hour'";
            spi.run(old, &[], Mode::Write, 0)?;
            let new = "INSERT INTO gundb.comparison (token, problem, report) VALUES ($1, $2, $3::jsonb) ON CONFLICT DO NOTHING";
            spi.run(new, &args, Mode::Write, 0).map(drop)
        })
    })
}

/// What came of a comparison, as of now; None while nothing has.
pub fn comparison(token: i64) -> Result<Option<Compared>> {
    as_owner(|| {
        spi::with_latest_snapshot(|| {
            spi::connect(|spi| {
                let statement = "SELECT problem, report::text FROM gundb.comparison WHERE token = $1";
                let rows = spi.run(statement, &[arg::int8(token)], Mode::Read, 1)?;
                Ok(rows.first().map(|row| match (row.text(1), row.text(2)) {
                    (None, Some(report)) => Ok(report),
                    (problem, _) => Err(problem.unwrap_or_default()),
                }))
            })
        })
    })
}

/// A view's definition as texts.
pub struct ViewWords {
    /// Its table's name, with the schema where others have the same.
    pub name: String,
    pub stream: String,
    /// All that its rows depend on.
    pub words: Vec<Option<String>>,
}

/// The definitions of all views.
pub fn view_words() -> Result<Vec<ViewWords>> {
    as_owner(|| {
        spi::with_latest_snapshot(|| {
            spi::connect(|spi| {
                // What a reducer computes is its text; where it stands, and what it is called, is not.
                let rows = spi.run(
                    "SELECT CASE WHEN pg_catalog.count(*) OVER (PARTITION BY c.relname) > 1
                                 THEN pg_catalog.format('%s.%s', n.nspname, c.relname) ELSE c.relname::text END,
                            d.stream, d.columns::text, d.key, d.types::text, d.filter, d.deletes::text, d.initial::text,
                            CASE WHEN d.initial IS NOT NULL THEN
                                (SELECT p.prosrc FROM pg_catalog.pg_proc p WHERE p.oid = gundb.view_reducer(d.relation)::oid) END
                       FROM gundb.view_definition d
                       JOIN pg_catalog.pg_class c ON c.oid = d.relation
                       JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                      ORDER BY 1",
                    &[],
                    Mode::Read,
                    0,
                )?;
                Ok(rows
                    .iter()
                    .map(|row| ViewWords {
                        name: row.text(1).unwrap_or_default(),
                        stream: row.text(2).unwrap_or_default(),
                        words: (3..=9).map(|column| row.text(column)).collect(),
                    })
                    .collect())
            })
        })
    })
}
