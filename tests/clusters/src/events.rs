//! What must hold of a stream's events, and who saw which of them.

use crate::session::Session;
use std::collections::{BTreeMap, HashMap};

/// A dot, without its stream: `site/lane/seq`.
pub type Dot = String;

/// The columns that name an event: its dot, id and content.
const EVENT: &str = "site || '/' || lane || '/' || seq, id::text, type || ' ' || data::text";

/// Panics unless the lanes of a stream's table are whole: 1, 2, 3 … without gaps, stamps growing, transactions side by
/// side, chains right.
pub async fn assert_whole(session: &Session, table: &str) {
    let broken = session
        .rows(&format!(
            "SELECT site, lane, count(*), min(seq), max(seq), bool_and(hlc > before), count(*) FILTER (WHERE xact <> xact_before)
               FROM (SELECT *, lag(hlc) OVER lane AS before, lag(xact) OVER lane AS xact_before
                       FROM {table} WINDOW lane AS (PARTITION BY site, lane ORDER BY seq)) AS e
              GROUP BY site, lane
             HAVING min(seq) <> 1 OR max(seq) <> count(*) OR bool_and(hlc > before) IS FALSE
                 OR count(DISTINCT xact) <> 1 + count(*) FILTER (WHERE xact <> xact_before)"
        ))
        .await;
    assert!(broken.is_empty(), "lanes of {table} are broken: {broken:?}");
    // Of this stream alone: all of them at once may be more than the table of locks holds.
    let literal = table.replace('\'', "''");
    let verify = "SELECT v.* FROM gundb.stream_table t, gundb.verify(t.name) v WHERE t.relid";
    let damaged = session.rows(&format!("{verify} = '{literal}'::regclass")).await;
    assert!(damaged.is_empty(), "verify() finds damage: {damaged:?}");
    let twice =
        session.rows(&format!("SELECT id, count(*) FROM {table} GROUP BY id HAVING count(*) > 1 LIMIT 5")).await;
    assert!(twice.is_empty(), "ids stand there more than once: {twice:?}");
}

/// Panics unless each lane is in the order of commits. Needs track_commit_timestamp.
pub async fn assert_commit_order(session: &Session, table: &str) {
    let wrong = session
        .rows(&format!(
            "SELECT site, lane, seq FROM (
                 SELECT site, lane, seq, pg_xact_commit_timestamp(xmin) AS committed,
                        lag(pg_xact_commit_timestamp(xmin)) OVER (PARTITION BY site, lane ORDER BY seq) AS before
                   FROM ONLY {table}) AS e
              WHERE committed < before LIMIT 5"
        ))
        .await;
    assert!(wrong.is_empty(), "events stand in their lanes before what was committed earlier: {wrong:?}");
}

/// An event as somebody saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub id: String,
    pub content: String,
}

/// All events of a stream's table.
pub async fn all(session: &Session, table: &str) -> BTreeMap<Dot, Seen> {
    let rows = session.rows(&format!("SELECT {EVENT} FROM {table}")).await;
    rows.into_iter().map(seen).collect()
}

fn seen(mut row: Vec<String>) -> (Dot, Seen) {
    let content = row.remove(2);
    let id = row.remove(1);
    (row.remove(0), Seen { id, content })
}

/// INSERT … RETURNING this gives what [`Witness::rows`] takes.
pub fn returning() -> &'static str {
    EVENT
}

/// Whatever any session saw, by dot: the memory that no server has.
#[derive(Default)]
pub struct Witness {
    seen: HashMap<Dot, Seen>,
}

impl Witness {
    /// Panics if the dot was seen with another event.
    pub fn see(&mut self, dot: Dot, event: Seen) {
        match self.seen.get(&dot) {
            Some(before) => assert_eq!(before, &event, "dot {dot} was given twice"),
            None => drop(self.seen.insert(dot, event)),
        }
    }

    pub fn rows(&mut self, rows: Vec<Vec<String>>) {
        for row in rows {
            let (dot, event) = seen(row);
            self.see(dot, event);
        }
    }

    /// Sees all that a server holds.
    pub async fn look(&mut self, session: &Session, table: &str) {
        for (dot, event) in all(session, table).await {
            self.see(dot, event);
        }
    }

    pub fn len(&self) -> usize {
        self.seen.len()
    }

    pub fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }
}
