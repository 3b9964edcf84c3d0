//! This site's own database, as `gundb run` asks it for the peers that it serves: `sql/130-peers.sql` says what each function is for.
//!
//! What must always hold here: calls may be made beside those of a session, in the same connection, and are carried out in the order in which they are made.

use crate::fault::Fault;
use crate::postgres::fault::SERVER;
use crate::postgres::link::Caller;
use crate::postgres::url::Target;
use futures_util::TryStreamExt;
use std::pin::Pin;
use std::sync::Arc;
use tokio_postgres::types::{FromSql, ToSql, Type};
use tokio_postgres::{Row, RowStream};

/// What the one daemon of a database has locked: among the advisory locks of the database, `gundb` in letters.
const LOCK: i64 = 0x0067_756e_6462;

/// A peer that is to be served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServedPeer {
    /// Its name.
    pub name: String,
    /// The way there.
    pub url: String,
    /// What flows there, and from there, as patterns.
    pub push: Vec<String>,
    /// As above.
    pub pull: Vec<String>,
    /// `own` or `any`.
    pub accept: String,
    /// A JSON object.
    pub options: String,
}

/// What is noted of a peer. What is None stays as it was.
#[derive(Debug, Clone, Default)]
pub struct PeerNote {
    /// `connecting`, `connected` or `waiting`.
    pub state: Option<&'static str>,
    /// What went wrong.
    pub error: Option<String>,
    /// Whether nothing is left to send or to receive.
    pub is_synced: bool,
    /// What went there by courier since the last note, and what came.
    pub bytes_sent: u64,
    /// As above.
    pub bytes_received: u64,
    /// How long its answer to a hello took.
    pub round_trip_ms: Option<f64>,
    /// What it said last, by courier.
    pub hello: Option<Vec<u8>>,
}

/// What became of a bundle that was carried here.
#[derive(Debug, Clone, Default)]
pub struct Imported {
    /// Events that are new.
    pub new: u64,
    /// Events that were known.
    pub known: u64,
    /// Events that wait.
    pub pending: u64,
    /// Transactions that were refused.
    pub refused: u64,
    /// Why the first of them was.
    pub reason: Option<String>,
}

/// Bundles that come one after the other: of a large transaction there are many.
pub struct Exported {
    rows: Pin<Box<RowStream>>,
    target: Arc<Target>,
}

impl Exported {
    /// The next one.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, Fault> {
        let row = self.rows.try_next().await.map_err(|error| Fault::of_session(error, &self.target))?;
        row.map(|row| value(&row, 0)).transpose()
    }
}

type Given<'a> = (&'a (dyn ToSql + Sync), Type);

impl Caller {
    async fn ask(&self, statement: &str, given: &[Given<'_>]) -> Result<Vec<Row>, Fault> {
        self.client.query_typed(statement, given).await.map_err(|error| Fault::of_session(error, &self.target))
    }

    async fn ask_one(&self, statement: &str, given: &[Given<'_>]) -> Result<Row, Fault> {
        self.ask(statement, given).await?.into_iter().next().ok_or_else(|| rubbish("no row came".to_owned()))
    }

    /// Locks the database against other daemons, as long as the connection lasts. False: another one has it.
    pub async fn lock(&self) -> Result<bool, Fault> {
        value(&self.ask_one("SELECT pg_catalog.pg_try_advisory_lock($1)", &[(&LOCK, Type::INT8)]).await?, 0)
    }

    /// The peers that are to be served now.
    pub async fn served_peers(&self) -> Result<Vec<ServedPeer>, Fault> {
        let rows =
            self.ask("SELECT name, url, push, pull, accept, options::text FROM gundb.served_peers()", &[]).await?;
        let peer = |row: &Row| {
            Ok(ServedPeer {
                name: value(row, 0)?,
                url: value(row, 1)?,
                push: value(row, 2)?,
                pull: value(row, 3)?,
                accept: value(row, 4)?,
                options: value(row, 5)?,
            })
        };
        rows.iter().map(peer).collect()
    }

    /// This site's hello for a peer: the session that its answer begins is on this site's behalf.
    pub async fn greet(&self, peer: &str) -> Result<Vec<u8>, Fault> {
        value(&self.ask_one("SELECT gundb.session_greet($1)", &[(&peer, Type::TEXT)]).await?, 0)
    }

    /// Notes how it goes with a peer.
    pub async fn note(&self, peer: &str, note: &PeerNote) -> Result<(), Fault> {
        let bytes = [note.bytes_sent, note.bytes_received].map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX));
        let given: [Given; 8] = [
            (&peer, Type::TEXT),
            (&note.state, Type::TEXT),
            (&note.error, Type::TEXT),
            (&note.is_synced, Type::BOOL),
            (&bytes[0], Type::INT8),
            (&bytes[1], Type::INT8),
            (&note.round_trip_ms, Type::FLOAT8),
            (&note.hello, Type::BYTEA),
        ];
        self.ask("SELECT gundb.note_peer($1, $2, $3, $4, $5, $6, $7, $8)", &given).await.map(drop)
    }

    /// The names of all streams that are known.
    pub async fn known_streams(&self) -> Result<Vec<String>, Fault> {
        let rows = self.ask("SELECT gundb.known_streams()", &[]).await?;
        rows.iter().map(|row| value(row, 0)).collect()
    }

    /// What is held now, as a clock's text.
    pub async fn clock(&self) -> Result<String, Fault> {
        value(&self.ask_one("SELECT gundb.site_clock()::text", &[]).await?, 0)
    }

    /// The next bundles for a peer that has said `hello`, if anything, and holds `since`, a clock's text, once what is on its way has come. Nothing else is to
    /// be asked before they are taken, or dropped.
    pub async fn export(
        &self,
        peer: &str,
        hello: Option<&[u8]>,
        since: &str,
        bundle_bytes: u64,
    ) -> Result<Exported, Fault> {
        let bundle_bytes = i64::try_from(bundle_bytes).unwrap_or(i64::MAX);
        let given: [Given; 4] =
            [(&peer, Type::TEXT), (&hello, Type::BYTEA), (&since, Type::TEXT), (&bundle_bytes, Type::INT8)];
        let statement = "SELECT gundb.courier_export($1, $2, $3::gundb.clock, $4)";
        let rows = self.client.query_typed_raw(statement, given).await;
        let rows = rows.map_err(|error| Fault::of_session(error, &self.target))?;
        Ok(Exported { rows: Box::pin(rows), target: Arc::clone(&self.target) })
    }

    /// Takes in a bundle that was carried from a peer.
    pub async fn import(&self, peer: &str, bundle: &[u8]) -> Result<Imported, Fault> {
        let statement = "SELECT new, known, pending, refused, reason FROM gundb.courier_import($1, $2)";
        let row = self.ask_one(statement, &[(&peer, Type::TEXT), (&bundle, Type::BYTEA)]).await?;
        let count = |at| value::<i64>(&row, at).map(|count| count.max(0) as u64);
        Ok(Imported {
            new: count(0)?,
            known: count(1)?,
            pending: count(2)?,
            refused: count(3)?,
            reason: value(&row, 4)?,
        })
    }
}

fn value<'a, T: FromSql<'a>>(row: &'a Row, at: usize) -> Result<T, Fault> {
    row.try_get(at).map_err(|error| rubbish(error.to_string()))
}

fn rubbish(why: String) -> Fault {
    Fault::Rubbish { server: SERVER, why }
}
