//! `gundb view`

use std::path::PathBuf;

use gundb_core::fold::FoldValue;
use gundb_core::{Clock, Datum, Hlc};
use serde_json::json;

use crate::command::progress::Counted;
use crate::command::{Context, output, parse_clock, text_of};
use crate::error::{Error, Kind, Result};
use crate::view::{Definition, Row};

#[derive(Debug, clap::Subcommand)]
pub enum View {
    /// Make a view of a stream
    Create {
        name: String,
        stream: String,
        /// Its columns, as JSON: docs/folds.md
        #[arg(required_unless_present_any = ["columns_file", "reducer"])]
        columns: Option<String>,
        /// The file with the columns; - is standard input
        #[arg(long, value_name = "FILE", conflicts_with = "columns")]
        columns_file: Option<PathBuf>,
        /// What events are grouped by
        #[arg(long, default_value = "@key")]
        key: String,
        /// Only these types, by commas
        #[arg(long, value_delimiter = ',', value_name = "TYPES")]
        types: Option<Vec<String>>,
        /// Which events it takes, besides
        #[arg(long)]
        filter: Option<String>,
        /// Types that delete a row, by commas
        #[arg(long, value_delimiter = ',', value_name = "TYPES")]
        delete: Vec<String>,
        /// Refuse to append what the view cannot fold, rather than leave it out
        #[arg(long)]
        strict: bool,
        /// An SQL function that folds whole rows, as in 'f(jsonb, gundb.event)': at PostgreSQL sites alone
        #[arg(long, value_name = "FUNCTION", conflicts_with_all = ["columns", "columns_file", "types", "filter", "delete", "strict"])]
        reducer: Option<String>,
    },
    /// All views
    List,
    /// The rows of a view
    Show {
        name: String,
        /// Only the row of this key
        #[arg(long)]
        key: Option<String>,
    },
    /// A view as it was
    At {
        name: String,
        /// When, as in 2026-11-23T00:41:07.123Z
        #[arg(long, required_unless_present = "clock")]
        time: Option<String>,
        /// By the events that this clock covers
        #[arg(long, value_parser = parse_clock, conflicts_with = "time")]
        clock: Option<Clock>,
        #[arg(long)]
        key: Option<String>,
    },
    /// What a row went through
    History { name: String, key: String },
    /// Fold all again, and compare
    Check { name: String },
    /// Build a view anew
    Rebuild { name: String },
    /// Drop a view; its stream stays
    Drop { name: String },
    /// A hash of a view's rows: equal at two sites that define it alike and hold the same
    Digest { name: String },
    /// The events that a view cannot fold
    LeftOut { name: String },
}

impl View {
    pub fn run(self, context: &mut Context) -> Result<()> {
        match self {
            View::Create { name, stream, columns, columns_file, key, types, filter, delete, strict, reducer } => {
                let columns = columns
                    .map_or_else(|| columns_file.map(|file| text_of(&file)).transpose(), |text| Ok(Some(text)))?;
                let columns = columns.unwrap_or_default();
                let site = context.site()?;
                let is_new = context.watched("building", Counted::Steps, |_, progress| match reducer {
                    Some(reducer) => site.create_reducer_view(&name, &stream, &reducer, &key),
                    None => {
                        let definition = Definition { stream, key, columns, types, filter, delete, strict };
                        site.create_view(&name, definition, progress)
                    }
                })?;
                site.close()?;
                let line = format!("view {name} {}", if is_new { "made" } else { "is there already" });
                context.out.tell(json!({ "view": name, "new": is_new }), line)
            }
            View::List => {
                let row = |(name, definition): (String, Definition)| {
                    let Definition { stream, key, columns, strict, .. } = definition;
                    vec![json!(name), json!(stream), json!(key), json!(columns), json!(strict)]
                };
                let rows: Vec<_> = context.read()?.views()?.into_iter().map(row).collect();
                context.out.table(&["view", "stream", "key", "columns", "strict"], &rows)
            }
            View::Show { name, key } => {
                let site = context.read()?;
                let view = site.view(&name)?;
                show(context, &view, |found| site.view_rows(&name, key.as_deref(), found))
            }
            View::At { name, time, clock, key } => {
                let site = context.read()?;
                let view = site.view(&name)?;
                let clock = match (clock, time) {
                    (Some(clock), _) => clock,
                    (None, Some(time)) => site.clock_at(millis_of(&time)?)?,
                    (None, None) => site.clock()?,
                };
                show(context, &view, |found| site.view_at(&name, &clock, key.as_deref(), found))
            }
            View::History { name, key } => {
                let site = context.read()?;
                let view = site.view(&name)?;
                let mut rows = Vec::new();
                for change in site.view_history(&name, &key)? {
                    let values = change.values.map(|values| Row { key: Vec::new(), values }.json_of_columns(&view));
                    let row = values.map(|text| serde_json::from_str(&text)).transpose().map_err(Error::damaged)?;
                    let coordinates =
                        [change.hlc.to_string(), change.kind, change.id.to_string(), change.dot.to_string()];
                    rows.push(
                        coordinates.into_iter().map(|text| json!(text)).chain([row.unwrap_or_default()]).collect(),
                    );
                }
                context.out.table(&["hlc", "type", "id", "dot", "row"], &rows)
            }
            View::Check { name } => {
                let problems = context.read()?.check_view(&name)?;
                let rows: Vec<_> = problems.iter().map(|(key, problem)| vec![json!(key), json!(problem)]).collect();
                if rows.is_empty() {
                    return context
                        .out
                        .tell(json!({ "view": name, "problems": 0 }), format!("view {name} is what its events give"));
                }
                context.out.table(&["key", "problem"], &rows)?;
                context.out.flush()?;
                Err(Error::new(
                    Kind::Differs,
                    format!("{} keys of view \"{name}\" are not what their events give", rows.len()),
                )
                .hint(format!("gundb view rebuild {name}; and look at the disk.")))
            }
            View::Rebuild { name } => {
                let site = context.site()?;
                let rows =
                    context.watched("building", Counted::Steps, |_, progress| site.rebuild_view(&name, progress))?;
                site.close()?;
                context.out.tell(json!({ "view": name, "rows": rows }), format!("view {name} has {rows} rows"))
            }
            View::Drop { name } => {
                let site = context.site()?;
                site.drop_view(&name)?;
                site.close()?;
                context.out.tell(json!({ "view": name }), format!("view {name} dropped"))
            }
            View::Digest { name } => {
                let digest = output::digest(context.read()?.view_digest(&name)?);
                context.out.tell(json!({ "view": name, "digest": digest }), &digest)
            }
            View::LeftOut { name } => {
                let left_out = context.read()?.view_left_out(&name)?;
                let rows: Vec<_> = left_out.iter().map(|(dot, why)| vec![json!(dot.to_string()), json!(why)]).collect();
                context.out.table(&["dot", "reason"], &rows)
            }
        }
    }
}

/// Milliseconds since 1970 of a time.
fn millis_of(time: &str) -> Result<u64> {
    // A stamp without its counter is a time; a day is its beginning, and parts of a second may be left out.
    let spellings = [
        time.to_owned(),
        format!("{time}Z"),
        time.replace('Z', ".000Z"),
        format!("{time}.000Z"),
        format!("{time}T00:00:00.000Z"),
    ];
    let found = spellings.iter().find_map(|spelling| spelling.parse::<Hlc>().ok());
    let found =
        found.ok_or_else(|| Error::new(Kind::Invalid, format!("{time:?} is no time: write 2026-11-23T00:41:07Z")))?;
    Ok(found.millis())
}

/// Shows rows as they are given; a table for people is as wide as its widest row, so that one is gathered.
fn show(
    context: &mut Context,
    view: &crate::view::View,
    rows: impl FnOnce(&mut dyn FnMut(Row) -> Result<()>) -> Result<()>,
) -> Result<()> {
    if context.out.is_json() {
        return rows(&mut |row| context.out.line(row.json(view)));
    }
    let keys = view.parsed.key.0.iter().map(|part| part.name.clone());
    let columns: Vec<String> = keys.chain(view.parsed.columns.0.iter().map(|column| column.name.clone())).collect();
    let mut cells: Vec<Vec<String>> = Vec::new();
    rows(&mut |row| {
        let values = row.values.iter().map(|value| FoldValue::sql_text(value).unwrap_or_default());
        cells.push(row.key.iter().map(Datum::to_string).chain(values).collect());
        Ok(())
    })?;
    context.out.aligned(&columns, &cells)
}
