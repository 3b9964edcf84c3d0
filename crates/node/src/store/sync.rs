//! The store as sessions and couriers see it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use gundb_core::apply::Verdict;
use gundb_core::store::{Identity, Letter, LetterId, Links, Listener, Origin, Store, StoreError, read};
use gundb_core::sync::message::Accept;
use gundb_core::sync::receiver::{Delivery, Stage};
use gundb_core::sync::scope::{Page, Query};
use gundb_core::{Clock, StreamId};

use crate::error::{Error, Result};
use crate::store::look::Look;
use crate::store::tables::letter_bytes;
use crate::store::writer::Shown;
use crate::store::{Edge, apply, words};

impl Store for Edge {
    fn identity(&self) -> Result<Identity, StoreError> {
        let mut shown = self.shown();
        if shown.run.is_none() {
            self.writer.call(true, |writing| writing.run())?;
            shown = self.shown();
        }
        let Shown { site, run, definitions, .. } = shown;
        let run = run.ok_or_else(|| Error::damaged("a run was drawn and is gone"))?;
        Ok(Identity { site, run, name: definitions.site_name(site) })
    }

    fn clock(&self) -> Result<Clock, StoreError> {
        Ok((*self.shown().clock).clone())
    }

    fn known_streams(&self) -> Result<BTreeMap<StreamId, String>, StoreError> {
        Ok(self.shown().definitions.known.clone())
    }

    fn read(&self, query: &Query) -> Result<Page, StoreError> {
        read(&self.moment()?, query)
    }

    fn apply(&self, origin: &Origin, delivery: Delivery) -> Result<Vec<Verdict>, StoreError> {
        let origin = origin.clone();
        Ok(self.writer.call(true, move |writing| apply::apply(writing, &origin, delivery.clone()))?)
    }

    fn stage(&self, origin: &Origin, stage: Stage) -> Result<(), StoreError> {
        let origin = origin.clone();
        Ok(self.writer.call(true, move |writing| apply::stage(writing, &origin, stage.clone()))?)
    }

    fn links(&self) -> Result<Arc<Links>, StoreError> {
        Ok(self.links.lock().map_err(poisoned)?.clone())
    }

    fn change_links(&self, change: &mut dyn FnMut(&mut Links)) -> Result<Arc<Links>, StoreError> {
        let mut links = self.links.lock().map_err(poisoned)?;
        let mut changed = (**links).clone();
        change(&mut changed);
        if changed != **links {
            let bytes = changed.encode();
            self.writer.call(true, move |writing| {
                writing.change();
                writing.tables.meta.insert(words::LINKS, bytes.as_slice())?;
                Ok(())
            })?;
            *links = Arc::new(changed);
        }
        Ok(links.clone())
    }

    fn waiting(&self) -> Result<Clock, StoreError> {
        Ok(apply::waiting_clock(&self.moment()?)?)
    }

    fn next_bundle_number(&self) -> Result<u64, StoreError> {
        Ok(self.writer.call(true, |writing| writing.next_bundle())?)
    }

    fn keep_letter(&self, letter: &Letter) -> Result<(), StoreError> {
        let letter = letter.clone();
        Ok(self.writer.call(true, move |writing| {
            writing.change();
            let Letter { id, bundle } = &letter;
            writing.tables.letter.insert(&letter_bytes(id), bundle.as_slice())?;
            Ok(())
        })?)
    }

    fn letters(&self) -> Result<Vec<Letter>, StoreError> {
        let bundles = Look::letters(&self.moment()?)?;
        let letter = |(accept, bundle): (Accept, Vec<u8>)| {
            let read = gundb_core::bundle::decode_bundle(&bundle, &apply::limits()).map_err(Error::damaged)?;
            Ok(Letter { id: LetterId::of(&read, accept), bundle })
        };
        bundles.into_iter().map(letter).collect()
    }

    fn forget_letters(&self, letters: &[LetterId]) -> Result<(), StoreError> {
        let letters = letters.to_vec();
        Ok(self.writer.call(true, move |writing| {
            for id in &letters {
                writing.change();
                writing.tables.letter.remove(&letter_bytes(id))?;
            }
            Ok(())
        })?)
    }

    fn listen(&self, listener: Weak<Listener>) {
        self.shared.listen(listener);
    }
}

fn poisoned<T>(_: PoisonError<T>) -> StoreError {
    StoreError::Unavailable("what is remembered of links was lost in a panic: open the store anew".into())
}

/// What is remembered of a store's links.
pub(super) fn kept_links(look: &impl Look) -> Result<Mutex<Arc<Links>>> {
    let kept = look.meta(words::LINKS)?.map(|bytes| Links::decode(&bytes, &apply::limits()));
    Ok(Mutex::new(Arc::new(kept.transpose().map_err(Error::damaged)?.unwrap_or_default())))
}

impl Edge {
    /// Tries again what waits; where `accept` is set, however far ahead its stamps are. Says how many transactions wait no longer.
    pub fn retry_pending(&self, accept: bool) -> Result<u64> {
        self.writer.call(true, move |writing| apply::retry(writing, accept))
    }

    /// What waits: transactions that have come, are well, and whose time has not come.
    pub fn pending(&self) -> Result<Vec<gundb_core::Transaction>> {
        apply::waiting_transactions(&self.moment()?)
    }

    /// How much a message may hold here.
    pub fn limits() -> gundb_core::bundle::WireLimits {
        apply::limits()
    }
}
