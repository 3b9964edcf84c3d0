//! Statements to a database, their parameters and their rows: all as text, so that what is printed is what PostgreSQL prints.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use futures_util::StreamExt;
use gundb_transport::postgres::Target;
use gundb_transport::postgres::link::Connected;
use tokio::runtime::Runtime;
use tokio_postgres::types::{ToSql, Type};

use crate::error::{Error, Kind, Result};
use crate::site::postgres::fault;

/// How long news is waited for before it is looked by itself: where no worker runs, nobody tells.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A connection to a database.
pub struct Connection {
    target: Target,
    runtime: Runtime,
    connected: Connected,
}

/// A parameter of a statement.
#[derive(Debug, Clone, Copy)]
pub enum Value<'a> {
    Text(&'a str),
    /// A text, or NULL.
    Maybe(Option<&'a str>),
    /// An array of texts, or NULL.
    Texts(Option<&'a [String]>),
    Bytes(&'a [u8]),
}

/// A row: each column a text, or NULL; or bytes.
pub struct Record(tokio_postgres::Row);

impl Connection {
    /// Dials a database.
    pub fn dial(url: &str) -> Result<Connection> {
        let wrong = |why: String| Error::new(Kind::Usage, format!("the store's URL cannot be used: {why}"));
        let target = Target::parse(url).map_err(|why| wrong(why.to_string()))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let connected = runtime.block_on(Connected::dial(&target)).map_err(fault::of_dialling)?;
        Ok(Connection { target, runtime, connected })
    }

    /// The database's name.
    pub fn database(&self) -> &str {
        &self.target.database
    }

    /// The version of the extension there, if it is there.
    pub fn extension(&self) -> Result<Option<String>> {
        let found = self.rows("SELECT extversion FROM pg_catalog.pg_extension WHERE extname = 'gundb'", &[])?;
        found.first().map(|row| row.text(0).map(str::to_owned)).transpose()
    }

    /// Runs a statement that has no parameters and gives nothing.
    pub fn run(&self, statement: &str) -> Result<()> {
        let ran = self.runtime.block_on(self.connected.client.batch_execute(statement));
        ran.map_err(|error| fault::of_statement(error, &self.target))
    }

    /// Runs statements in a transaction: all of them, or none.
    pub fn transaction<T>(&self, statements: impl FnOnce() -> Result<T>) -> Result<T> {
        self.run("BEGIN")?;
        match statements() {
            Ok(value) => self.run("COMMIT").map(|()| value),
            Err(error) => {
                // What went wrong is told, not what comes of it.
                let _ = self.run("ROLLBACK");
                Err(error)
            }
        }
    }

    /// Gives the rows of a statement one by one.
    pub fn each(
        &self,
        statement: &str,
        values: &[Value<'_>],
        mut found: impl FnMut(Record) -> Result<()>,
    ) -> Result<()> {
        let failed = |error| fault::of_statement(error, &self.target);
        let values = values.iter().map(|value| (value.as_sql(), value.sql_type()));
        let begun = self.runtime.block_on(self.connected.client.query_typed_raw(statement, values));
        let mut rows = std::pin::pin!(begun.map_err(failed)?);
        // Whoever is given a row may ask the connection for more, so it is not given inside the runtime.
        while let Some(row) = self.runtime.block_on(rows.next()) {
            found(Record(row.map_err(failed)?))?;
        }
        Ok(())
    }

    /// All rows of a statement that gives few.
    pub fn rows(&self, statement: &str, values: &[Value<'_>]) -> Result<Vec<Record>> {
        let mut rows = Vec::new();
        self.each(statement, values, |row| {
            rows.push(row);
            Ok(())
        })?;
        Ok(rows)
    }

    /// The one row of a statement.
    pub fn row(&self, statement: &str, values: &[Value<'_>]) -> Result<Record> {
        let found = self.rows(statement, values)?.into_iter().next();
        found.ok_or_else(|| rubbish("a statement that gives a row gave none"))
    }

    /// The one value of a statement.
    pub fn value<T: FromStr<Err: Display>>(&self, statement: &str, values: &[Value<'_>]) -> Result<T> {
        self.row(statement, values)?.parsed(0)
    }

    /// Waits until the database tells something on the channels that are listened to, or for a moment.
    pub fn await_news(&self) -> Result<()> {
        let news = self.connected.news.notified();
        // That nothing came says nothing.
        let _ = self.runtime.block_on(async { tokio::time::timeout(LOOK_EVERY, news).await });
        Ok(())
    }

    /// Says goodbye, if that goes quickly.
    pub fn close(self) {
        let Connected { client, connection, .. } = self.connected;
        drop(client);
        let _ = self.runtime.block_on(async { tokio::time::timeout(Duration::from_millis(100), connection).await });
    }
}

impl Value<'_> {
    fn as_sql(&self) -> &(dyn ToSql + Sync) {
        match self {
            Value::Text(text) => text,
            Value::Maybe(text) => text,
            Value::Texts(texts) => texts,
            Value::Bytes(bytes) => bytes,
        }
    }

    fn sql_type(&self) -> Type {
        match self {
            Value::Text(_) | Value::Maybe(_) => Type::TEXT,
            Value::Texts(_) => Type::TEXT_ARRAY,
            Value::Bytes(_) => Type::BYTEA,
        }
    }
}

impl Record {
    /// A text, or NULL.
    pub fn optional(&self, at: usize) -> Result<Option<&str>> {
        self.0.try_get(at).map_err(rubbish)
    }

    /// A text.
    pub fn text(&self, at: usize) -> Result<&str> {
        self.optional(at)?.ok_or_else(|| rubbish("a value is NULL that never is"))
    }

    /// Bytes.
    pub fn bytes(&self, at: usize) -> Result<&[u8]> {
        self.0.try_get(at).map_err(rubbish)
    }

    /// A value from its text.
    pub fn parsed<T: FromStr<Err: Display>>(&self, at: usize) -> Result<T> {
        parsed(self.text(at)?)
    }

    /// A boolean.
    pub fn is(&self, at: usize) -> Result<bool> {
        Ok(self.text(at)? == "true")
    }
}

/// A value from its text.
pub fn parsed<T: FromStr<Err: Display>>(text: &str) -> Result<T> {
    text.parse().map_err(|why: T::Err| rubbish(format!("{text:?}: {why}")))
}

/// Something that a database with the extension does not say.
pub fn rubbish(why: impl Display) -> Error {
    Error::new(Kind::Storage, format!("the database does not answer as one with the extension does: {why}"))
        .hint("Perhaps its version is another: SELECT extversion FROM pg_extension WHERE extname = 'gundb'.")
}

/// A name as SQL writes it.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
