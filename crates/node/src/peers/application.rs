//! The service for applications over the edge store.

use crate::error::{Error, Kind};
use crate::peers::guests::Guest;
use crate::peers::listen::Door;
use crate::peers::reading;
use crate::peers::state::States;
use crate::store::{Edge, New};
use gundb_core::store::{Store, StoreError};
use gundb_core::sync::filter::{Filter, SYSTEM_STREAM};
use gundb_core::{Clock, Event};
use gundb_transport::grpc::application::{Application, EventPage, RowPage};
use gundb_transport::grpc::wire::{self, view_at_request::At};
use gundb_transport::grpc::{Credentials, Refusal, RefusalKind};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;
use uuid::Uuid;

/// What serves applications.
pub struct Counter {
    edge: Arc<Edge>,
    door: Arc<Door>,
    states: States,
    news: watch::Receiver<u64>,
}

impl Counter {
    /// Over a store, for those whom a door lets in.
    pub fn new(edge: Arc<Edge>, door: Arc<Door>, states: States, news: watch::Receiver<u64>) -> Counter {
        Counter { edge, door, states, news }
    }
}

impl Application for Counter {
    type Caller = Guest;

    fn admit(&self, shown: &Credentials) -> Result<Guest, Refusal> {
        let guest = self.door.guest(shown)?;
        if guest.grant.application {
            return Ok(guest);
        }
        let said = format!("\"{}\" may not use the service for applications", guest.grant.name);
        Err(Refusal::new(RefusalKind::Denied, said))
    }

    fn append(&self, caller: &Guest, request: wire::AppendBatchRequest) -> Result<Vec<wire::Appended>, Refusal> {
        let stream = request.stream;
        if !caller.terms.pull.matches(&stream) {
            let said = format!("\"{}\" may not append to stream \"{stream}\"", caller.grant.name);
            return Err(Refusal::new(RefusalKind::Denied, said));
        }
        let depends_on = Some(clock(&request.depends_on)?).filter(|clock| !clock.is_empty());
        let events = request.events.into_iter().map(|event| new(&stream, event)).collect::<Result<Vec<_>, _>>()?;
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let appended = self.edge.append(events, depends_on).map_err(refusal)?;
        let appended = appended.into_iter().map(|appended| wire::Appended {
            id: appended.id.to_string(),
            site: appended.dot.site.to_string(),
            lane: appended.dot.lane.to_string(),
            seq: appended.dot.seq,
            time_ms: appended.hlc.millis(),
            hlc: appended.hlc.to_bits(),
            duplicate: appended.duplicate,
            version: appended.version,
        });
        Ok(appended.collect())
    }

    fn read(&self, caller: &Guest, request: &wire::ReadRequest) -> Result<EventPage, Refusal> {
        let wanted = match request.streams.is_empty() {
            true => Filter::all(),
            false => Filter::parse(&request.streams)
                .map_err(|why| Refusal::new(RefusalKind::Invalid, format!("streams: {why}")))?,
        };
        self.look_for(request)?;
        let store: &dyn Store = &*self.edge;
        let read = reading::read(store, clock(&request.after)?, &caller.terms.push, &wanted).map_err(store_refusal)?;
        let fits = |event: &Event| {
            let kind = request.types.is_empty() || request.types.contains(&event.kind);
            kind && request.key.as_ref().is_none_or(|key| event.key.as_ref() == Some(key))
        };
        let events =
            read.events.into_iter().filter(|(_, event)| fits(event)).map(|(stream, event)| event_of(stream, event));
        Ok(EventPage { events: events.collect(), clock: read.after.to_string(), more: read.more })
    }

    fn view(
        &self,
        caller: &Guest,
        request: &wire::ViewRequest,
        at: Option<&At>,
        _after: Option<&str>,
    ) -> Result<RowPage, Refusal> {
        let view = self.edge.view(&request.view).map_err(refusal)?;
        let definitions = self.edge.shown().definitions;
        if !definitions.name(view.stream).is_some_and(|name| caller.terms.push.matches(name)) {
            let said = format!("\"{}\" may not read what view \"{}\" shows", caller.grant.name, request.view);
            return Err(Refusal::new(RefusalKind::Denied, said));
        }
        let key = Some(request.key.as_str()).filter(|key| !key.is_empty());
        let rows = match at {
            None => self.edge.view_rows(&request.view, key),
            Some(At::Clock(text)) => self.edge.view_at(&request.view, &clock(text)?, key),
            Some(At::TimeMs(millis)) => {
                let clock = self.edge.clock_at(*millis).map_err(refusal)?;
                self.edge.view_at(&request.view, &clock, key)
            }
        };
        let rows = rows.map_err(refusal)?.iter().map(|row| row.json(&view)).collect();
        Ok(RowPage { rows, next: None })
    }

    fn status(&self, caller: &Guest) -> Result<wire::StatusResponse, Refusal> {
        let store: &dyn Store = &*self.edge;
        let (own, held, names) =
            (|| Ok((store.identity()?, store.clock()?, store.known_streams()?)))().map_err(store_refusal)?;
        let mut events: BTreeMap<&str, u64> = BTreeMap::new();
        for dot in held.iter() {
            if let Some(name) =
                names.get(&dot.stream).filter(|name| *name != SYSTEM_STREAM && caller.terms.push.matches(name))
            {
                // Lanes have no gaps.
                *events.entry(name).or_default() += dot.seq;
            }
        }
        let peers = self.states.all().into_iter().map(|(name, state)| wire::PeerStatus {
            name,
            url: state.url,
            state: state.phase.name().to_owned(),
            error: state.error.unwrap_or_default(),
            contact_ms: state.contact_ms,
            synced: state.synced,
            bytes_sent: state.bytes_sent,
            bytes_received: state.bytes_received,
        });
        Ok(wire::StatusResponse {
            software: format!("gundb {}", env!("CARGO_PKG_VERSION")),
            site: own.site.to_string(),
            name: own.name,
            clock: held.to_string(),
            streams: events
                .into_iter()
                .map(|(name, events)| wire::StreamStatus { name: name.to_owned(), events })
                .collect(),
            peers: peers.collect(),
        })
    }

    fn news(&self) -> watch::Receiver<u64> {
        self.news.clone()
    }
}

impl Counter {
    /// A stream that is named, not by a pattern, has to be there.
    fn look_for(&self, request: &wire::ReadRequest) -> Result<(), Refusal> {
        let named = request.streams.iter().filter(|pattern| !pattern.contains('*') && !pattern.starts_with('!'));
        let definitions = self.edge.shown().definitions;
        for name in named {
            if definitions.known.values().all(|known| known != name) {
                definitions.stream(name).map_err(refusal)?;
            }
        }
        Ok(())
    }
}

fn new(stream: &str, event: wire::NewEvent) -> Result<New, Refusal> {
    let invalid = |what: &str| Refusal::new(RefusalKind::Invalid, format!("{what} is no uuid"));
    let id = match event.id.as_str() {
        "" => None,
        text => Some(Uuid::parse_str(text).map_err(|_| invalid("an event's id"))?),
    };
    Ok(New {
        stream: stream.to_owned(),
        kind: event.r#type,
        key: event.key,
        data: if event.data.is_empty() { "{}".to_owned() } else { event.data },
        meta: Some(event.meta).filter(|meta| !meta.is_empty()),
        id,
        expected_version: event.expected_version,
    })
}

fn event_of(stream: String, event: Event) -> wire::Event {
    wire::Event {
        stream,
        r#type: event.kind,
        data: event.data,
        key: event.key,
        meta: event.meta,
        id: event.id.to_string(),
        site: event.dot.site.to_string(),
        lane: event.dot.lane.to_string(),
        seq: event.dot.seq,
        time_ms: event.hlc.millis(),
        hlc: event.hlc.to_bits(),
    }
}

/// A clock that a caller gives; an empty text is the beginning.
fn clock(text: &str) -> Result<Clock, Refusal> {
    if text.is_empty() {
        return Ok(Clock::new());
    }
    text.parse()
        .map_err(|why: gundb_core::ClockTextError| Refusal::new(RefusalKind::Invalid, format!("a clock: {why}")))
}

fn refusal(error: Error) -> Refusal {
    let kind = match error.kind {
        Kind::NotFound => RefusalKind::NotFound,
        Kind::Usage | Kind::Invalid => RefusalKind::Invalid,
        Kind::Conflict => RefusalKind::Conflict,
        Kind::Busy | Kind::Storage => RefusalKind::NotReady,
        Kind::Differs | Kind::Damaged => RefusalKind::Failed,
    };
    let said = match &error.hint {
        Some(hint) => format!("{}. {hint}", error.message),
        None => error.message,
    };
    Refusal::new(kind, said)
}

fn store_refusal(error: StoreError) -> Refusal {
    refusal(error.into())
}
