//! What the worker says of this site to the receiving ends of its sessions.

use crate::replication;
use crate::worker::transaction::{Trouble, transaction};
use gundb_core::sync::receiver;
use gundb_core::{Clock, StreamId};
use std::cell::RefCell;
use std::collections::BTreeMap;

/// As of whenever it is asked.
#[derive(Default)]
pub struct Here {
    names: RefCell<BTreeMap<StreamId, String>>,
    trouble: RefCell<Option<Trouble>>,
}

impl Here {
    /// The streams that are known now.
    pub fn learn(&self, names: BTreeMap<StreamId, String>) {
        self.names.replace(names);
    }

    /// Why the last question could not be answered, if it could not.
    pub fn trouble(&self) -> Option<Trouble> {
        self.trouble.take()
    }
}

impl receiver::Here for Here {
    fn clock(&self) -> Clock {
        match transaction(|| replication::Here::now(BTreeMap::new())) {
            Ok(here) => receiver::Here::clock(&here),
            Err(trouble) => {
                self.trouble.replace(Some(trouble));
                Clock::new()
            }
        }
    }

    fn stream_name(&self, stream: StreamId) -> Option<String> {
        self.names.borrow().get(&stream).cloned()
    }
}
