//! A store in a file as a site: what its own methods give, in the words of [`Site`].

use std::sync::Arc;
use std::time::Duration;

use gundb_core::bundle::{Bundle, decode_bundle, encode_bundle};
use gundb_core::store::{Counts, Export, Origin, take_in};
use gundb_core::sync::filter::Filter;
use gundb_core::sync::message::Accept;
use gundb_core::{Chain, Clock, Dot, SiteId, StreamId};
use uuid::Uuid;

use crate::error::{Error, Kind, Result};
use crate::progress::Progress;
use crate::site::{EventType, Figures, Found, Next, Page, Pending, ReadEvent, Reverted, Site, StreamRow};
use crate::store::look::Look;
use crate::store::{Appended, Edge, New, apply};
use crate::view::{Change, Definition, Row, View};

/// How often another process's file is looked at for news.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How tightly bundles are packed: they travel far.
const LEVEL: i32 = 6;
/// As PostgreSQL sites keep what is imported.
const COURIER: &str = "";

impl Site for Edge {
    fn close(self: Box<Self>) -> Result<()> {
        Edge::close(*self)
    }

    fn create_stream(&self, name: &str, closed: bool) -> Result<bool> {
        Edge::create_stream(self, name, closed)
    }

    fn streams(&self) -> Result<Vec<StreamRow>> {
        let (shown, moment) = (self.shown(), self.moment()?);
        let mut rows = Vec::new();
        for (name, stream) in &shown.definitions.streams {
            let heads = moment.lanes(Some(stream.id))?;
            rows.push(StreamRow {
                name: name.clone(),
                events: heads.iter().map(|(_, head)| head.last.seq).sum(),
                lanes: heads.len() as u64,
                types: stream.types.len() as u64,
                closed: stream.closed,
            });
        }
        Ok(rows)
    }

    fn stream_name(&self, stream: StreamId) -> Result<Option<String>> {
        Ok(self.shown().definitions.name(stream).map(str::to_owned))
    }

    fn site_name(&self, site: SiteId) -> Result<String> {
        Ok(self.shown().definitions.site_name(site))
    }

    fn define_event(&self, stream: &str, kind: &str, schema: Option<&str>) -> Result<u32> {
        Edge::define_event(self, stream, kind, schema)
    }

    fn event_types(&self, stream: &str) -> Result<Vec<EventType>> {
        let shown = self.shown();
        let types = shown.definitions.stream(stream)?.types.iter();
        Ok(types
            .map(|(name, defined)| EventType {
                name: name.clone(),
                version: defined.version,
                schema: defined.schema.clone(),
            })
            .collect())
    }

    fn append(&self, events: Vec<New>, depends_on: Option<Clock>) -> Result<Vec<Appended>> {
        Edge::append(self, events, depends_on)
    }

    fn read(&self, stream: &str, page: &Page, events_max: usize, found: Found<'_, ReadEvent>) -> Result<Next> {
        let reading = self.read_stream(stream, &page.after, events_max)?;
        reading.events.into_iter().map(ReadEvent::from).filter(|event| page.takes(event)).try_for_each(found)?;
        Ok(Next { after: reading.after, more: reading.more })
    }

    fn await_news(&self, _stream: &str) -> Result<()> {
        // Another process writes the file, and nothing tells of it.
        std::thread::sleep(LOOK_EVERY);
        self.renew()
    }

    fn consume(&self, consumer: &str, stream: &str, events_max: usize, found: Found<'_, ReadEvent>) -> Result<Next> {
        let batch = Edge::consume(self, consumer, stream, events_max)?;
        batch.events.into_iter().map(ReadEvent::from).try_for_each(found)?;
        Ok(Next { after: batch.position, more: batch.more })
    }

    fn consumed(&self, consumer: &str, stream: &str, next: &Next) -> Result<()> {
        Edge::consumed(self, consumer, stream, &next.after)
    }

    fn revert(&self, stream: &str, ids: &[Uuid]) -> Result<Vec<Reverted>> {
        let reverts = Edge::revert(self, stream, ids)?;
        Ok(reverts.into_iter().map(|Appended { id, dot, .. }| Reverted { id, dot }).collect())
    }

    fn create_view(&self, name: &str, definition: Definition, progress: &Progress) -> Result<bool> {
        Edge::create_view_told(self, name, definition, progress)
    }

    fn create_reducer_view(&self, _name: &str, _stream: &str, _reducer: &str, _key: &str) -> Result<bool> {
        Err(Error::new(Kind::Invalid, "a reducer is an SQL function, and there is no SQL here")
            .hint("Make this view at a PostgreSQL site, or say it with folds: docs/folds.md"))
    }

    fn views(&self) -> Result<Vec<(String, Definition)>> {
        Ok(self.shown().views.0.iter().map(|(name, view)| (name.clone(), view.definition.clone())).collect())
    }

    fn view(&self, name: &str) -> Result<Arc<View>> {
        Edge::view(self, name)
    }

    fn view_rows(&self, name: &str, key: Option<&str>, found: Found<'_, Row>) -> Result<()> {
        Edge::view_rows(self, name, key)?.into_iter().try_for_each(found)
    }

    fn view_at(&self, name: &str, clock: &Clock, key: Option<&str>, found: Found<'_, Row>) -> Result<()> {
        Edge::view_at(self, name, clock, key)?.into_iter().try_for_each(found)
    }

    fn view_history(&self, name: &str, key: &str) -> Result<Vec<Change>> {
        Edge::view_history(self, name, key)
    }

    fn check_view(&self, name: &str) -> Result<Vec<(String, String)>> {
        Edge::check_view(self, name)
    }

    fn rebuild_view(&self, name: &str, progress: &Progress) -> Result<u64> {
        Edge::rebuild_view_told(self, name, progress)
    }

    fn drop_view(&self, name: &str) -> Result<()> {
        Edge::drop_view(self, name)
    }

    fn view_digest(&self, name: &str) -> Result<[u8; 16]> {
        Edge::view_digest(self, name)
    }

    fn view_left_out(&self, name: &str) -> Result<Vec<(Dot, String)>> {
        Edge::view_left_out(self, name)
    }

    fn export(
        &self,
        streams: Option<&[String]>,
        since: &Clock,
        progress: &Progress,
        found: Found<'_, (Bundle, Vec<u8>)>,
    ) -> Result<()> {
        let filter = streams.map_or_else(|| Ok(Filter::all()), Filter::parse);
        let filter = filter.map_err(|why| Error::new(Kind::Usage, why.to_string()))?;
        progress.expect(beyond(self, &filter, since));
        let mut export = Export::begin(self, filter, since)?;
        while let Some(bundle) = export.next(self)? {
            let bytes = encode_bundle(&bundle, LEVEL);
            found((bundle, bytes))?;
        }
        Ok(())
    }

    fn import(&self, bundle: &[u8]) -> Result<Counts> {
        let origin = Origin { peer: COURIER.to_owned(), accept: Accept::Any };
        Ok(take_in(self, &origin, bundle, &Edge::limits())?)
    }

    fn figures(&self) -> Result<Figures> {
        let (shown, moment) = (self.shown(), self.moment()?);
        let (events, lanes, runs, sites) = Figures::of(&Look::clock(&moment)?);
        Ok(Figures {
            site: shown.site,
            name: shown.definitions.site_name(shown.site),
            streams: shown.definitions.streams.len() as u64,
            views: shown.views.0.len() as u64,
            events,
            lanes,
            runs,
            sites,
            last_hlc: moment.lanes(None)?.iter().map(|(_, head)| head.last.hlc).max(),
            pending: moment.pending()?.len() as u64,
            early_bundles: Look::letters(&moment)?.len() as u64,
            refused: moment.refused()?.len() as u64,
            bytes: self.file_bytes(),
        })
    }

    fn clock(&self) -> Result<Clock> {
        Ok((*Edge::clock(self)).clone())
    }

    fn clock_at(&self, millis: u64) -> Result<Clock> {
        Edge::clock_at(self, millis)
    }

    fn chains(&self, dots: &[Dot]) -> Result<Vec<Option<Chain>>> {
        let chain = |dot| match self.event(dot) {
            Ok(event) => Ok(Some(event.chain)),
            Err(error) if error.kind == Kind::NotFound => Ok(None),
            Err(error) => Err(error),
        };
        dots.iter().map(chain).collect()
    }

    fn digest(&self, stream: Option<&str>) -> Result<[u8; 16]> {
        Edge::digest(self, stream)
    }

    fn verify(&self, progress: &Progress) -> Result<Vec<String>> {
        Edge::verify_told(self, progress)
    }

    fn pending(&self) -> Result<Vec<Pending>> {
        let (shown, moment) = (self.shown(), self.moment()?);
        let mut all = Vec::new();
        for (name, _) in self.views()? {
            for (dot, reason) in Edge::view_left_out(self, &name)? {
                all.push(Pending { view: Some(name.clone()), ..waits("event", Some(dot), reason) });
            }
        }
        for transaction in Edge::pending(self)? {
            let streams = transaction.events.iter().map(|event| event.dot.stream);
            let missing =
                streams.into_iter().find(|id| !shown.definitions.streams.values().any(|known| known.id == *id));
            let greatest = transaction.greatest_stamp();
            let (kind, reason) = match missing {
                Some(id) => (
                    "stream",
                    format!("stream {} is not kept here", shown.definitions.name(id).unwrap_or(&id.to_string())),
                ),
                None if !apply::until(greatest).is_zero() => ("time", format!("the stamp {greatest} is too far ahead")),
                None => ("behind", "another transaction that waits comes before it".to_owned()),
            };
            all.push(waits(kind, transaction.events.first().map(|event| event.dot), reason));
        }
        for (_, letter) in Look::letters(&moment)? {
            let Bundle { site, .. } = decode_bundle(&letter, &Edge::limits()).map_err(Error::damaged)?;
            all.push(waits("bundle", None, format!("a bundle of site {site}: what it builds on has not come")));
        }
        for (dot, reason) in moment.refused()? {
            let kind = if reason.starts_with("a fork") { "fork" } else { "malformed" };
            all.push(waits(kind, Some(dot), reason));
        }
        Ok(all)
    }

    fn retry_pending(&self, accept: bool) -> Result<u64> {
        Edge::retry_pending(self, accept)
    }
}

fn waits(kind: &str, dot: Option<Dot>, reason: String) -> Pending {
    Pending { kind: kind.to_owned(), view: None, key: None, dot, reason }
}

/// How many events of the streams that a filter takes are held beyond a clock.
fn beyond(edge: &Edge, filter: &Filter, since: &Clock) -> u64 {
    let shown = edge.shown();
    let is_taken = |dot: &Dot| shown.definitions.name(dot.stream).is_some_and(|name| filter.matches(name));
    let dots = shown.clock.iter().filter(is_taken);
    dots.map(|dot| dot.seq.saturating_sub(since.get(dot.site, dot.stream, dot.lane))).sum()
}
