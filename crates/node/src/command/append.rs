//! `gundb append`: one event by arguments, or many from JSON lines or CSV.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use gundb_core::Clock;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::command::progress::{Counted, Counting};
use crate::command::{Context, parse_clock};
use crate::error::{Error, Kind, Result};
use crate::progress::Progress;
use crate::site::Site;
use crate::store::{Appended, DATA_BYTES_MAX, New};

const APPENDING: &str = "appending";

#[derive(Debug, clap::Args)]
pub struct Append {
    stream: String,
    /// The event's type; of JSON lines and CSV, that of those that do not say it
    #[arg(value_name = "TYPE")]
    kind: Option<String>,
    /// What it says, as JSON
    #[arg(long, default_value = "{}", value_name = "JSON")]
    data: String,
    /// The entity that it is about
    #[arg(long)]
    key: Option<String>,
    /// What is said about it, a JSON object
    #[arg(long, value_name = "JSON")]
    meta: Option<String>,
    /// Its idempotency key
    #[arg(long)]
    id: Option<Uuid>,
    /// How many events the key has now
    #[arg(long, value_name = "N")]
    expected_version: Option<u64>,
    /// What must be held here
    #[arg(long, value_parser = parse_clock, value_name = "CLOCK")]
    depends_on: Option<Clock>,
    /// Events from a file, an object a line: type, data, key, meta, id, expected_version; - is standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["csv", "data", "key", "meta", "id", "expected_version"])]
    lines: Option<PathBuf>,
    /// Events from a CSV file with a header, one a row; - is standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["data", "key", "meta", "id", "expected_version"])]
    csv: Option<PathBuf>,
    /// Of CSV, what becomes data: [name=]column[:text|number|boolean|json], by commas; without it all columns, as they look
    #[arg(long, value_name = "MAPPING", requires = "csv")]
    columns: Option<String>,
    /// Of CSV, the columns whose texts make the key, by commas
    #[arg(long, value_name = "COLUMNS", requires = "csv")]
    key_columns: Option<String>,
    /// Of CSV, the column that says the type
    #[arg(long, value_name = "COLUMN", requires = "csv")]
    type_column: Option<String>,
    /// Of CSV, a text that says that nothing is known, as an empty one does
    #[arg(long, value_name = "TEXT", requires = "csv")]
    null: Option<String>,
    /// How many events of a file are one transaction
    #[arg(long, default_value_t = 1_000, value_name = "N")]
    batch: usize,
}

/// An event in a line.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    key: Option<String>,
    #[serde(borrow)]
    meta: Option<&'a RawValue>,
    id: Option<Uuid>,
    expected_version: Option<u64>,
}

impl Append {
    pub fn run(mut self, context: &mut Context) -> Result<()> {
        let site = context.site()?;
        match (self.lines.take(), self.csv.take()) {
            (Some(file), _) => context.watched(APPENDING, Counted::Bytes, |context, progress| {
                self.lines_of(context, site.as_ref(), reader(&file, progress)?)
            })?,
            (None, Some(file)) => context.watched(APPENDING, Counted::Bytes, |context, progress| {
                self.rows_of(context, site.as_ref(), reader(&file, progress)?)
            })?,
            (None, None) => {
                let kind = self.kind.clone().ok_or_else(no_type)?;
                let event = New {
                    stream: self.stream,
                    kind,
                    key: self.key,
                    data: self.data,
                    meta: self.meta,
                    id: self.id,
                    expected_version: self.expected_version,
                };
                let appended = site.append(vec![event], self.depends_on)?;
                appended.iter().try_for_each(|one| context.out.tell(told(one), one.dot))?;
            }
        }
        site.close()
    }

    fn lines_of(&self, context: &mut Context, site: &dyn Site, input: impl Read) -> Result<()> {
        let mut input = BufReader::new(input);
        let mut sink = Sink::new(site, self.batch, self.depends_on.clone());
        let (mut line, mut number) = (String::new(), 0u64);
        loop {
            line.clear();
            number += 1;
            // A line without an end is not read into memory whole.
            let read = input.by_ref().take(4 * DATA_BYTES_MAX as u64).read_line(&mut line);
            let bytes = read.map_err(|why| Error::new(Kind::Invalid, format!("line {number}: {why}")))?;
            if bytes == 0 {
                break;
            }
            if line.trim().is_empty() {
                continue;
            }
            let at_line = |why: String| sink_hint(Error::new(Kind::Invalid, format!("line {number}: {why}")), &sink);
            let parsed: Line = serde_json::from_str(&line).map_err(|why| at_line(why.to_string()))?;
            let kind = parsed.kind.or_else(|| self.kind.clone()).ok_or_else(|| at_line("it has no type".to_owned()))?;
            let event = New {
                stream: self.stream.clone(),
                kind,
                key: parsed.key,
                data: parsed.data.map_or("{}", RawValue::get).to_owned(),
                meta: parsed.meta.map(|meta| meta.get().to_owned()),
                id: parsed.id,
                expected_version: parsed.expected_version,
            };
            sink.push(context, event, number)?;
        }
        sink.end(context)
    }

    fn rows_of(&self, context: &mut Context, site: &dyn Site, input: impl Read) -> Result<()> {
        let mut csv = csv::Reader::from_reader(input);
        let header = csv.headers().map_err(|why| malformed(&why))?.clone();
        let mapping = Mapping::of(&header, self)?;
        let mut sink = Sink::new(site, self.batch, self.depends_on.clone());
        for (at, record) in csv.records().enumerate() {
            let number = at as u64 + 2;
            let event = record.map_err(|why| malformed(&why)).and_then(|record| mapping.event(&record, self));
            let event = event.map_err(|why| Error { message: format!("row {number}: {}", why.message), ..why });
            sink.push(context, event.map_err(|why| sink_hint(why, &sink))?, number)?;
        }
        sink.end(context)
    }
}

fn told(appended: &Appended) -> Value {
    json!({
        "dot": appended.dot.to_string(), "id": appended.id.to_string(), "hlc": appended.hlc.to_string(),
        "version": appended.version, "duplicate": appended.duplicate,
    })
}

fn no_type() -> Error {
    Error::new(Kind::Usage, "an event needs a type").hint("gundb append STREAM TYPE --data JSON")
}

fn malformed(why: &csv::Error) -> Error {
    Error::new(Kind::Invalid, format!("the CSV is malformed: {why}"))
}

fn reader(file: &Path, progress: &Progress) -> Result<Counting<Box<dyn Read>>> {
    let counting = |input: Box<dyn Read>| Ok(Counting { input, progress: progress.clone() });
    if file == Path::new("-") {
        return counting(Box::new(std::io::stdin()));
    }
    let open = std::fs::File::open(file);
    let open = open.map_err(|why| Error::new(Kind::NotFound, format!("{}: {why}", file.display())))?;
    // Of a pipe nobody knows.
    progress.expect(open.metadata()?.len());
    counting(Box::new(open))
}

/// How far it came before it failed.
fn sink_hint(error: Error, sink: &Sink<'_>) -> Error {
    let hint = format!(
        "The events before, of which {} are appended, stay; mend the file and give the rest. With ids the whole may be given again.",
        sink.appended
    );
    error.hint(hint)
}

/// Where events of a file go, a batch at a time.
struct Sink<'a> {
    site: &'a dyn Site,
    batch: Vec<New>,
    batch_max: usize,
    depends_on: Option<Clock>,
    first: u64,
    appended: u64,
    duplicates: u64,
}

impl<'a> Sink<'a> {
    fn new(site: &'a dyn Site, batch_max: usize, depends_on: Option<Clock>) -> Sink<'a> {
        let batch_max = batch_max.max(1);
        Sink {
            site,
            batch: Vec::with_capacity(batch_max.min(10_000)),
            batch_max,
            depends_on,
            first: 1,
            appended: 0,
            duplicates: 0,
        }
    }

    fn push(&mut self, context: &mut Context, event: New, number: u64) -> Result<()> {
        if self.batch.is_empty() {
            self.first = number;
        }
        self.batch.push(event);
        if self.batch.len() >= self.batch_max { self.write(context) } else { Ok(()) }
    }

    fn write(&mut self, context: &mut Context) -> Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let batch = std::mem::take(&mut self.batch);
        let last = self.first + batch.len() as u64 - 1;
        let appended = self.site.append(batch, self.depends_on.clone()).map_err(|why| {
            let message = format!("lines {} to {last}, of which none is appended: {}", self.first, why.message);
            Error { message, ..why }
        })?;
        for one in &appended {
            let count = if one.duplicate { &mut self.duplicates } else { &mut self.appended };
            *count += 1;
            if context.out.is_json() {
                context.out.line(told(one))?;
            }
        }
        // Whoever waits for it knows at once what is on the disk.
        context.out.flush()
    }

    fn end(mut self, context: &mut Context) -> Result<()> {
        self.write(context)?;
        if context.out.is_json() {
            return Ok(());
        }
        context.out.line(format!("{} events appended, {} were there already", self.appended, self.duplicates))
    }
}

/// How a CSV's row becomes an event.
struct Mapping {
    columns: Vec<Mapped>,
    key: Vec<usize>,
    kind: Option<usize>,
}

struct Mapped {
    name: String,
    at: usize,
    as_type: As,
}

/// As what a text is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum As {
    /// As it looks: a number, true, false, or else a text; nothing where it is empty.
    Seen,
    Text,
    Number,
    Boolean,
    Json,
}

impl Mapping {
    fn of(header: &csv::StringRecord, append: &Append) -> Result<Mapping> {
        let place = |column: &str| {
            header.iter().position(|name| name == column).ok_or_else(|| {
                let error = Error::new(Kind::Invalid, format!("the CSV has no column \"{column}\""));
                match gundb_core::similar(column, header.iter()) {
                    Some(similar) => error.hint(format!("Did you mean \"{similar}\"?")),
                    None => error.hint(format!("Its columns are {}.", header.iter().collect::<Vec<_>>().join(", "))),
                }
            })
        };
        let columns = match &append.columns {
            None => header
                .iter()
                .enumerate()
                .map(|(at, name)| Mapped { name: name.to_owned(), at, as_type: As::Seen })
                .collect(),
            Some(text) => text.split(',').map(|one| Mapped::parse(one.trim(), &place)).collect::<Result<Vec<_>>>()?,
        };
        let key = append.key_columns.as_deref().map(|text| text.split(',').map(|one| place(one.trim())).collect());
        let kind = append.type_column.as_deref().map(place).transpose()?;
        Ok(Mapping { columns, key: key.transpose()?.unwrap_or_default(), kind })
    }

    fn event(&self, record: &csv::StringRecord, append: &Append) -> Result<New> {
        let cell = |at: usize| record.get(at).unwrap_or_default();
        let mut data = serde_json::Map::new();
        for column in &self.columns {
            let known = cell(column.at);
            if append.null.as_deref().is_some_and(|null| null == known) {
                continue;
            }
            if let Some(value) = column.value(known)? {
                data.insert(column.name.clone(), value);
            }
        }
        let kind = self.kind.map(|at| cell(at).to_owned()).or_else(|| append.kind.clone()).ok_or_else(no_type)?;
        let key = (!self.key.is_empty()).then(|| self.key.iter().map(|at| cell(*at)).collect::<Vec<_>>().join("/"));
        Ok(New { stream: append.stream.clone(), kind, key, data: Value::Object(data).to_string(), ..New::default() })
    }
}

impl Mapped {
    fn parse(text: &str, place: &impl Fn(&str) -> Result<usize>) -> Result<Mapped> {
        let (name, rest) = text.split_once('=').map_or((None, text), |(name, rest)| (Some(name), rest));
        let (column, as_type) = rest.rsplit_once(':').map_or((rest, "seen"), |(column, as_type)| (column, as_type));
        let as_type = match as_type {
            "seen" => As::Seen,
            "text" => As::Text,
            "number" => As::Number,
            "boolean" => As::Boolean,
            "json" => As::Json,
            other => {
                return Err(Error::new(
                    Kind::Usage,
                    format!("a column is text, number, boolean or json, not \"{other}\""),
                ));
            }
        };
        Ok(Mapped { name: name.unwrap_or(column).to_owned(), at: place(column)?, as_type })
    }

    /// What a cell says; None where it is empty and no text.
    fn value(&self, cell: &str) -> Result<Option<Value>> {
        let wrong = |what: &str| Error::new(Kind::Invalid, format!("column \"{}\": {cell:?} is no {what}", self.name));
        if cell.is_empty() && self.as_type != As::Text {
            return Ok(None);
        }
        let parsed = || serde_json::from_str::<Value>(cell).ok();
        Ok(Some(match self.as_type {
            As::Text => Value::from(cell),
            As::Seen => {
                parsed().filter(|value| value.is_number() || value.is_boolean()).unwrap_or_else(|| Value::from(cell))
            }
            As::Number => parsed().filter(Value::is_number).ok_or_else(|| wrong("number"))?,
            As::Boolean => match cell.to_ascii_lowercase().as_str() {
                "true" | "t" | "yes" | "1" => Value::Bool(true),
                "false" | "f" | "no" | "0" => Value::Bool(false),
                _ => return Err(wrong("boolean")),
            },
            As::Json => parsed().ok_or_else(|| wrong("JSON"))?,
        }))
    }
}
