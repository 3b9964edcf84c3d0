//! SQL to a server: results as text, errors by SQLSTATE.

use std::fmt;
use std::path::Path;
use tokio_postgres::error::DbError;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

/// Why a statement failed.
#[derive(Debug)]
pub enum Failure {
    /// The server says so.
    Refused(Box<DbError>),
    /// Nobody knows: the connection is gone.
    Lost(String),
}

pub type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// The SQLSTATE; empty if the connection was lost.
    pub fn sqlstate(&self) -> &str {
        match self {
            Failure::Refused(error) => error.code().code(),
            Failure::Lost(_) => "",
        }
    }

    /// Whether the server went away under the statement, or would not take the connection. It ends itself, too, when its disk fails (58030).
    pub fn is_crash(&self) -> bool {
        matches!(self, Failure::Lost(_)) || self.sqlstate().starts_with("57P") || self.sqlstate() == "58030"
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Refused(error) => {
                write!(f, "{} {}", error.code().code(), error.message())?;
                error.detail().map_or(Ok(()), |detail| write!(f, "; {detail}"))
            }
            Failure::Lost(why) => write!(f, "connection lost: {why}"),
        }
    }
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Failure {
        match error.as_db_error() {
            Some(refused) => Failure::Refused(Box::new(refused.clone())),
            None => Failure::Lost(error.to_string()),
        }
    }
}

/// A connection. What panics names the statement.
pub struct Session {
    pub client: Client,
}

impl Session {
    pub async fn connect(socket_directory: &Path, port: u16, database: &str) -> Result<Session> {
        let mut config = tokio_postgres::Config::new();
        config.host_path(socket_directory).port(port).user("postgres").dbname(database).application_name("clusters");
        let (client, connection) = config.connect(NoTls).await?;
        // Ends with the client, or with the server.
        tokio::spawn(async move { drop(connection.await) });
        Ok(Session { client })
    }

    /// Runs statements.
    pub async fn run(&self, sql: &str) {
        self.try_run(sql).await.unwrap_or_else(|failure| panic!("{failure}\nin {}", shortened(sql)));
    }

    pub async fn try_run(&self, sql: &str) -> Result<()> {
        Ok(self.client.batch_execute(sql).await?)
    }

    /// The rows of a query, as text; NULL is "∅".
    pub async fn rows(&self, sql: &str) -> Vec<Vec<String>> {
        self.try_rows(sql).await.unwrap_or_else(|failure| panic!("{failure}\nin {}", shortened(sql)))
    }

    pub async fn try_rows(&self, sql: &str) -> Result<Vec<Vec<String>>> {
        let messages = self.client.simple_query(sql).await?;
        let rows = messages.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => {
                Some((0..row.len()).map(|i| row.get(i).unwrap_or("∅").to_owned()).collect())
            }
            _ => None,
        });
        Ok(rows.collect())
    }

    /// The one value of a query.
    pub async fn value(&self, sql: &str) -> String {
        self.try_value(sql).await.unwrap_or_else(|failure| panic!("{failure}\nin {}", shortened(sql)))
    }

    pub async fn try_value(&self, sql: &str) -> Result<String> {
        let mut rows = self.try_rows(sql).await?;
        assert!(rows.len() == 1 && rows[0].len() == 1, "one value expected, not {rows:?}\nof {}", shortened(sql));
        Ok(rows.remove(0).remove(0))
    }

    /// The one number of a query.
    pub async fn number(&self, sql: &str) -> i64 {
        let value = self.value(sql).await;
        value.parse().unwrap_or_else(|_| panic!("{value} is no number\nof {}", shortened(sql)))
    }

    /// The SQLSTATE with which a statement is refused.
    pub async fn refusal(&self, sql: &str) -> String {
        match self.try_run(sql).await {
            Ok(()) => panic!("was accepted: {}", shortened(sql)),
            Err(failure @ Failure::Lost(_)) => panic!("{failure}\nin {}", shortened(sql)),
            Err(Failure::Refused(error)) => error.code().code().to_owned(),
        }
    }
}

fn shortened(sql: &str) -> String {
    let head: String = sql.chars().take(500).collect();
    if head.len() < sql.len() { format!("{head} … ({} bytes)", sql.len()) } else { head }
}
