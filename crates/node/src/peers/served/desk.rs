//! What the database does for a peer that couriers go to, by functions of the extension.
//!
//! What must always hold here: it is called from a thread of its own, never from one of the network's.

use crate::peers::desk::{Bundles, Desk};
use gundb_core::bundle::{Bundle, WireLimits, decode_bundle, decode_hello, encode_hello};
use gundb_core::store::{Counts, SessionError, StoreError};
use gundb_core::sync::message::Hello;
use gundb_core::{Clock, StreamId};
use gundb_transport::fault::Fault;
use gundb_transport::postgres::home::Exported;
use gundb_transport::postgres::link::Caller;
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use tokio::runtime::Handle;

/// It.
pub(super) struct HomeDesk {
    pub(super) peer: String,
    pub(super) caller: Arc<Caller>,
    pub(super) network: Handle,
    pub(super) limits: WireLimits,
}

impl HomeDesk {
    fn ask<T>(&self, asked: impl Future<Output = Result<T, Fault>>) -> Result<T, StoreError> {
        self.network.block_on(asked).map_err(|fault| StoreError::Unavailable(fault.into()))
    }
}

fn broken(why: impl Into<gundb_core::store::Cause>) -> StoreError {
    StoreError::Broken(why.into())
}

impl Desk for HomeDesk {
    fn hello(&self, _: u64) -> Result<Hello, StoreError> {
        let bytes = self.ask(self.caller.greet(&self.peer))?;
        decode_hello(&bytes, &self.limits).map_err(broken)
    }

    /// The database hears it with what is noted of the peer.
    fn hear(&self, _: &Hello) -> Result<(), SessionError> {
        Ok(())
    }

    fn known_streams(&self) -> Result<BTreeMap<StreamId, String>, StoreError> {
        let names = self.ask(self.caller.known_streams())?;
        Ok(names.into_iter().map(|name| (StreamId::of_name(&name), name)).collect())
    }

    fn clock(&self) -> Result<Clock, StoreError> {
        self.ask(self.caller.clock())?.parse().map_err(broken)
    }

    fn take_in(&self, bytes: &[u8]) -> Result<Counts, SessionError> {
        // What cannot be read is told apart from what goes wrong.
        decode_bundle(bytes, &self.limits)?;
        let imported = self.ask(self.caller.import(&self.peer, bytes))?;
        let refused = imported.reason.into_iter().cycle().take(imported.refused as usize).collect();
        Ok(Counts { new: imported.new, known: imported.known, pending: imported.pending, refused })
    }

    fn export<'a>(
        &'a self,
        theirs: Option<&Hello>,
        presumed: &Clock,
        bytes_max: u64,
    ) -> Result<Box<dyn Bundles + 'a>, StoreError> {
        let theirs = theirs.map(encode_hello);
        Ok(Box::new(HomeBundles { desk: self, theirs, on_the_way: presumed.clone(), bytes_max, ready: None }))
    }
}

/// Bundles as they are asked for: some megabytes, then more.
struct HomeBundles<'a> {
    desk: &'a HomeDesk,
    theirs: Option<Vec<u8>>,
    on_the_way: Clock,
    bytes_max: u64,
    ready: Option<Exported>,
}

impl Bundles for HomeBundles<'_> {
    fn next(&mut self) -> Result<Option<(Bundle, Vec<u8>)>, StoreError> {
        let desk = self.desk;
        let mut next = match &mut self.ready {
            Some(ready) => desk.ask(ready.next())?,
            None => None,
        };
        if next.is_none() {
            let since = self.on_the_way.to_string();
            let asked = desk.caller.export(&desk.peer, self.theirs.as_deref(), &since, self.bytes_max);
            next = desk.ask(self.ready.insert(desk.ask(asked)?).next())?;
        }
        let Some(bytes) = next else { return Ok(None) };
        let bundle = decode_bundle(&bytes, &self.desk.limits).map_err(broken)?;
        let events = bundle.transactions.iter().flat_map(|transaction| &transaction.events);
        self.on_the_way.extend(events.map(|event| event.dot));
        Ok(Some((bundle, bytes)))
    }
}
