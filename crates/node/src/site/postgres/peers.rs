//! Whom a database exchanges with: `gundb.add_peer` and what is beside it.

use serde_json::{Value as Json, json};

use crate::error::Result;
use crate::site::postgres::Database;
use crate::site::postgres::connection::{Record, Value};

impl Database {
    /// Adds a peer. Lists that are empty say nothing.
    pub fn add_peer(
        &self,
        name: &str,
        url: &str,
        push: &[String],
        pull: &[String],
        accept: Option<&str>,
    ) -> Result<()> {
        let statement = "SELECT gundb.add_peer($1, $2, push => coalesce($3, '{*}'), pull => coalesce($4, '{*}'),
                                               accept => coalesce($5, 'any'))";
        let some = |patterns| Value::Texts(Some(patterns).filter(|patterns: &&[String]| !patterns.is_empty()));
        let values = [Value::Text(name), Value::Text(url), some(push), some(pull), Value::Maybe(accept)];
        self.connection.row(statement, &values).map(|_| ())
    }

    /// Pauses a peer, or lets it go on.
    pub fn pause_peer(&self, name: &str, paused: bool) -> Result<()> {
        let function = if paused { "gundb.pause_peer" } else { "gundb.resume_peer" };
        self.connection.row(&format!("SELECT {function}($1)"), &[Value::Text(name)]).map(|_| ())
    }

    /// Drops a peer. What it brought stays.
    pub fn drop_peer(&self, name: &str) -> Result<()> {
        self.connection.row("SELECT gundb.drop_peer($1)", &[Value::Text(name)]).map(|_| ())
    }

    /// All peers, and how they are, in the words of an edge node's list.
    pub fn peers(&self) -> Result<Vec<Json>> {
        let statement = "SELECT coalesce(s.peer, s.role::text), s.url, pg_catalog.to_jsonb(s.push)::text, pg_catalog.to_jsonb(s.pull)::text,
                                s.accept, (s.state = 'paused')::text, s.state,
                                (s.state = 'connected' AND s.to_send = 0 AND s.to_receive = 0)::text, s.last_error,
                                s.to_send::text, s.to_receive::text
                           FROM gundb.peer_status s ORDER BY s.url IS NULL, coalesce(s.peer, s.role::text) COLLATE \"C\"";
        self.connection.rows(statement, &[])?.iter().map(peer).collect()
    }
}

fn peer(row: &Record) -> Result<Json> {
    let patterns = |at| -> Result<Json> {
        let patterns = row.optional(at)?.map(serde_json::from_str).transpose();
        Ok(patterns.map_err(super::connection::rubbish)?.unwrap_or(Json::Null))
    };
    let number = |at| -> Result<Option<i64>> { row.optional(at)?.map(super::connection::parsed).transpose() };
    Ok(json!({
        "name": row.optional(0)?,
        "url": row.optional(1)?,
        "push": patterns(2)?,
        "pull": patterns(3)?,
        "accept": row.optional(4)?,
        "paused": row.is(5)?,
        "now": {
            "state": row.optional(6)?,
            "synced": row.optional(7)? == Some("true"),
            "error": row.optional(8)?,
            "to_send": number(9)?,
            "to_receive": number(10)?,
        },
    }))
}
