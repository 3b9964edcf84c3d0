//! A database with the extension as a site, over SQL: each method is a statement or a few.
//!
//! What must always hold here: every name that is not gundb's own is quoted, and every value is a parameter; rows are taken from the connection as they are
//! wanted, so that a large answer lies nowhere whole. Tables are looked for as the role's own search path says, as psql does.
//!
//! | file | one noun |
//! |---|---|
//! | [`connection`] | statements, their parameters, their rows |
//! | `fault` | what an error of PostgreSQL is, in the kinds of [`crate::error`] |
//! | `events` | streams, event types, events, consumers |
//! | `views` | views, and their rows |
//! | `values` | a column's value, from the JSON that PostgreSQL makes of it |
//! | `bundles` | bundles out and in |
//! | `figures` | what is held, what waits, what is damaged |
//! | [`peers`] | whom the site exchanges with |
//! | [`init`] | making a database a site |

mod bundles;
pub mod connection;
mod events;
mod fault;
mod figures;
pub mod init;
pub mod peers;
mod values;
mod views;

use std::cell::{Cell, OnceCell};
use std::collections::HashMap;
use std::sync::Arc;

use gundb_core::bundle::Bundle;
use gundb_core::store::Counts;
use gundb_core::{Chain, Clock, Dot, SiteId, StreamId};
use uuid::Uuid;

use crate::error::{Error, Kind, Result};
use crate::progress::Progress;
use crate::site::{EventType, Figures, Found, Next, Page, Pending, ReadEvent, Reverted, Site, StreamRow};
use crate::store::{Appended, New};
use crate::view::{Change, Definition, Row, View};
use connection::Connection;

/// A database with the extension.
pub struct Database {
    connection: Connection,
    /// The names of sites, as they were when the first was asked for.
    site_names: OnceCell<HashMap<SiteId, String>>,
    /// Whether the connection is told of news.
    listens: Cell<bool>,
}

impl Database {
    /// Dials a database, which must have the extension.
    pub fn open(url: &str) -> Result<Database> {
        let connection = Connection::dial(url)?;
        if connection.extension()?.is_none() {
            return Err(Error::new(
                Kind::NotFound,
                format!("database \"{}\" does not have the extension gundb", connection.database()),
            )
            .hint(format!("Make it a site: gundb init --store {url} --name NAME")));
        }
        Ok(Database::of(connection))
    }

    fn of(connection: Connection) -> Database {
        Database { connection, site_names: OnceCell::new(), listens: Cell::new(false) }
    }

    fn site_names(&self) -> Result<&HashMap<SiteId, String>> {
        if let Some(names) = self.site_names.get() {
            return Ok(names);
        }
        let names = figures::site_names(&self.connection)?;
        Ok(self.site_names.get_or_init(|| names))
    }
}

impl Site for Database {
    fn close(self: Box<Self>) -> Result<()> {
        self.connection.close();
        Ok(())
    }

    fn create_stream(&self, name: &str, closed: bool) -> Result<bool> {
        events::create_stream(&self.connection, name, closed)
    }

    fn streams(&self) -> Result<Vec<StreamRow>> {
        events::streams(&self.connection)
    }

    fn stream_name(&self, stream: StreamId) -> Result<Option<String>> {
        events::stream_name(&self.connection, stream)
    }

    fn site_name(&self, site: SiteId) -> Result<String> {
        Ok(self.site_names()?.get(&site).cloned().unwrap_or_else(|| site.to_string()))
    }

    fn define_event(&self, stream: &str, kind: &str, schema: Option<&str>) -> Result<u32> {
        events::define_event(&self.connection, stream, kind, schema)
    }

    fn event_types(&self, stream: &str) -> Result<Vec<EventType>> {
        events::event_types(&self.connection, stream)
    }

    fn append(&self, events: Vec<New>, depends_on: Option<Clock>) -> Result<Vec<Appended>> {
        events::append(&self.connection, &events, depends_on.as_ref())
    }

    fn read(&self, stream: &str, page: &Page, events_max: usize, found: Found<'_, ReadEvent>) -> Result<Next> {
        // Whoever is given an event asks for names, and the connection answers nobody else until it has given all.
        self.site_names()?;
        events::read(&self.connection, stream, page, events_max, found)
    }

    fn await_news(&self, stream: &str) -> Result<()> {
        if self.listens.replace(true) {
            return self.connection.await_news();
        }
        // What came before it listened is read before it waits.
        events::listen(&self.connection, stream)
    }

    fn consume(&self, consumer: &str, stream: &str, events_max: usize, found: Found<'_, ReadEvent>) -> Result<Next> {
        self.site_names()?;
        events::consume(&self.connection, consumer, stream, events_max, found)
    }

    fn consumed(&self, _consumer: &str, _stream: &str, _next: &Next) -> Result<()> {
        // The position moved in the transaction that gave the events.
        self.connection.run("COMMIT")
    }

    fn revert(&self, stream: &str, ids: &[Uuid]) -> Result<Vec<Reverted>> {
        events::revert(&self.connection, stream, ids)
    }

    fn create_view(&self, name: &str, definition: Definition, _progress: &Progress) -> Result<bool> {
        views::create(&self.connection, name, &definition)
    }

    fn create_reducer_view(&self, name: &str, stream: &str, reducer: &str, key: &str) -> Result<bool> {
        views::create_reduced(&self.connection, name, stream, reducer, key)
    }

    fn views(&self) -> Result<Vec<(String, Definition)>> {
        views::all(&self.connection)
    }

    fn view(&self, name: &str) -> Result<Arc<View>> {
        views::Known::find(&self.connection, name).map(|known| Arc::new(known.view))
    }

    fn view_rows(&self, name: &str, key: Option<&str>, found: Found<'_, Row>) -> Result<()> {
        views::Known::find(&self.connection, name)?.rows(&self.connection, key, found)
    }

    fn view_at(&self, name: &str, clock: &Clock, key: Option<&str>, found: Found<'_, Row>) -> Result<()> {
        views::Known::find(&self.connection, name)?.rows_at(&self.connection, clock, key, found)
    }

    fn view_history(&self, name: &str, key: &str) -> Result<Vec<Change>> {
        views::Known::find(&self.connection, name)?.history(&self.connection, key)
    }

    fn check_view(&self, name: &str) -> Result<Vec<(String, String)>> {
        views::Known::find(&self.connection, name)?.check(&self.connection)
    }

    fn rebuild_view(&self, name: &str, _progress: &Progress) -> Result<u64> {
        views::Known::find(&self.connection, name)?.rebuild(&self.connection)
    }

    fn drop_view(&self, name: &str) -> Result<()> {
        views::Known::find(&self.connection, name)?.drop(&self.connection)
    }

    fn view_digest(&self, name: &str) -> Result<[u8; 16]> {
        views::Known::find(&self.connection, name)?.digest(&self.connection)
    }

    fn view_left_out(&self, name: &str) -> Result<Vec<(Dot, String)>> {
        views::Known::find(&self.connection, name)?.left_out(&self.connection)
    }

    fn export(
        &self,
        streams: Option<&[String]>,
        since: &Clock,
        _progress: &Progress,
        found: Found<'_, (Bundle, Vec<u8>)>,
    ) -> Result<()> {
        bundles::export(&self.connection, streams, since, found)
    }

    fn import(&self, bundle: &[u8]) -> Result<Counts> {
        bundles::import(&self.connection, bundle)
    }

    fn figures(&self) -> Result<Figures> {
        figures::figures(&self.connection)
    }

    fn clock(&self) -> Result<Clock> {
        figures::clock(&self.connection)
    }

    fn clock_at(&self, millis: u64) -> Result<Clock> {
        figures::clock_at(&self.connection, millis)
    }

    fn chains(&self, dots: &[Dot]) -> Result<Vec<Option<Chain>>> {
        figures::chains(&self.connection, dots)
    }

    fn digest(&self, stream: Option<&str>) -> Result<[u8; 16]> {
        figures::digest(&self.connection, stream)
    }

    fn verify(&self, _progress: &Progress) -> Result<Vec<String>> {
        figures::verify(&self.connection)
    }

    fn pending(&self) -> Result<Vec<Pending>> {
        figures::pending(&self.connection)
    }

    fn retry_pending(&self, accept: bool) -> Result<u64> {
        figures::retry_pending(&self.connection, accept)
    }
}
