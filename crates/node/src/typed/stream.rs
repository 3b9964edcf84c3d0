//! A stream of typed events.

use std::marker::PhantomData;

use gundb_core::Clock;

use crate::error::{Kind, Result};
use crate::store::declare::same_schema;
use crate::store::{Appended, Edge, New};
use crate::typed::schemas::schemas;
use crate::typed::{Events, Subscription, variant};

/// A stream whose events an enum says.
pub struct Stream<'e, E> {
    edge: &'e Edge,
    name: String,
    says: PhantomData<fn(E) -> E>,
}

impl Edge {
    /// The stream of this name, with the variants of `E` as its event types. It is declared, open, if it is not there; each type is defined if it is not there,
    /// and gets a new version if its schema is another one now, as by [`Edge::define_event`], with its errors. Nothing is written where all of it is so already,
    /// nor where a later version has taken the place of this schema: a program that is older than the store, or than a peer's, leaves what is newer.
    pub fn stream<E: Events>(&self, name: &str) -> Result<Stream<'_, E>> {
        let types = schemas::<E>()?;
        // Whether one that is there is closed is not for this one to say.
        if self.shown().definitions.users_stream(name).is_err_and(|why| why.kind == Kind::NotFound) {
            self.create_stream(name, false)?;
        }
        let definitions = self.shown().definitions;
        let known = &definitions.users_stream(name)?.types;
        for (kind, schema) in &types {
            let earlier = known.get(kind).map_or(&[][..], |known| &known.earlier);
            if !earlier.iter().any(|earlier| same_schema(earlier.as_deref(), schema.as_deref())) {
                self.define_event(name, kind, schema.as_deref())?;
            }
        }
        Ok(Stream { edge: self, name: name.to_owned(), says: PhantomData })
    }
}

impl<'e, E: Events> Stream<'e, E> {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// An event to be appended, for which more can be said: [`New::key`], [`New::id`], [`New::expected_version`], [`New::meta`].
    pub fn event(&self, event: &E) -> Result<New> {
        let (kind, data) = variant::write(event)?;
        Ok(New { stream: self.name.clone(), kind, data, ..New::default() })
    }

    /// Appends an event of no key.
    pub fn append(&self, event: &E) -> Result<Appended> {
        self.edge.append_one(self.event(event)?)
    }

    /// Appends an event of a key.
    pub fn append_to(&self, key: &str, event: &E) -> Result<Appended> {
        self.edge.append_one(self.event(event)?.key(key))
    }

    /// Events as they come, from now on: of the types that `S` has variants for, whoever wrote them. `S` is `E`, or says less.
    pub fn subscribe<S: Events>(&self) -> Result<Subscription<'e, S>> {
        self.subscribe_after((*self.edge.clock()).clone())
    }

    /// Events that a clock does not cover: those that are there, then those that come. With an empty clock all.
    pub fn subscribe_after<S: Events>(&self, clock: Clock) -> Result<Subscription<'e, S>> {
        Subscription::begin(self.edge, &self.name, clock)
    }
}
