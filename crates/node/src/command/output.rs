//! What is told: JSON lines for machines, tables for people.

use std::io::{BufWriter, IsTerminal, Stdout, Write, stdout};

use serde_json::Value;

use crate::error::{Error, Kind, Result};

/// Where it is told.
pub struct Output {
    json: bool,
    out: BufWriter<Stdout>,
}

/// What the error of a reader that has gone says.
const CLOSED: &str = "nobody reads standard output any more";

impl Output {
    pub fn new(json: bool) -> Output {
        Output { json, out: BufWriter::new(stdout()) }
    }

    /// Whether machines are told.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Whether people read it on a terminal: there may be colours.
    pub fn is_terminal(&self) -> bool {
        !self.json && stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
    }

    /// A line.
    pub fn line(&mut self, text: impl std::fmt::Display) -> Result<()> {
        writeln!(self.out, "{text}").map_err(told)
    }

    /// A document for machines, a line for people.
    pub fn tell(&mut self, document: Value, line: impl std::fmt::Display) -> Result<()> {
        if self.json { self.line(document) } else { self.line(line) }
    }

    /// A table: for machines an object a row.
    pub fn table(&mut self, columns: &[&str], rows: &[Vec<Value>]) -> Result<()> {
        if self.json {
            for row in rows {
                let object = columns.iter().zip(row).map(|(name, value)| ((*name).to_owned(), value.clone()));
                self.line(Value::Object(object.collect()))?;
            }
            return Ok(());
        }
        let texts: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(plain).collect()).collect();
        self.aligned(&columns.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>(), &texts)
    }

    /// A table of texts, for people.
    pub fn aligned(&mut self, columns: &[String], rows: &[Vec<String>]) -> Result<()> {
        let width = |at: usize| {
            let cells = rows.iter().filter_map(|row| row.get(at)).chain(columns.get(at));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns.len()).map(width).collect();
        let pad = |cells: &[String]| {
            let cells = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        let head = pad(columns);
        self.line(if self.is_terminal() { format!("\x1b[1m{head}\x1b[0m") } else { head })?;
        rows.iter().try_for_each(|row| self.line(pad(row)))
    }

    pub fn flush(&mut self) -> Result<()> {
        self.out.flush().map_err(told)
    }

    /// Bytes as they are.
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.write_all(bytes).map_err(told)
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn told(error: std::io::Error) -> Error {
    match error.kind() {
        std::io::ErrorKind::BrokenPipe => Error::new(Kind::Storage, CLOSED),
        _ => Error::new(Kind::Storage, format!("standard output: {error}")),
    }
}

/// Whether an error only says that nobody reads any more.
pub fn is_closed(error: &Error) -> bool {
    error.message == CLOSED
}

/// 16 bytes, as SQL prints a digest.
pub fn digest(digest: [u8; 16]) -> String {
    uuid::Uuid::from_bytes(digest).to_string()
}
