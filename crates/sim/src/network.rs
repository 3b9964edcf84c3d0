//! Links between nodes, and what carries messages over them.
//!
//! What must always hold here: a connection gives messages in the order in which they were sent, or breaks; a courier loses, doubles and reorders them.

use std::rc::Rc;

use gundb_core::sync::filter::{Filter, Flow};
use gundb_core::sync::message::Accept;

use crate::random::Random;

/// What one end of a link says of it.
#[derive(Debug, Clone)]
pub struct End {
    /// What it sends.
    pub push: Filter,
    /// What it takes.
    pub pull: Filter,
    /// Whose events it takes.
    pub accept: Accept,
}

/// What carries bundles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    Session,
    Courier,
}

/// Two nodes that are peers. The first dials.
#[derive(Debug, Clone)]
pub struct Link {
    pub nodes: [usize; 2],
    pub ends: [End; 2],
    pub carrier: Carrier,
    pub delay_us: u64,
    /// False once it was found that one of its ends is a copy of the other.
    pub is_alive: bool,
    /// For how many reasons messages from each end are lost.
    pub cuts: [u32; 2],
    /// Until when each end sends rubbish now and then.
    pub hostile_until_us: [u64; 2],
    /// The dialler's connection.
    pub connection: Option<u64>,
    /// How often dialling has failed since it last did not.
    pub failures: u32,
}

impl Link {
    pub fn new(nodes: [usize; 2], ends: [End; 2], carrier: Carrier, delay_us: u64) -> Link {
        Link {
            nodes,
            ends,
            carrier,
            delay_us,
            is_alive: true,
            cuts: [0; 2],
            hostile_until_us: [0; 2],
            connection: None,
            failures: 0,
        }
    }

    /// How long a message takes.
    pub fn delay(&self, random: &mut Random) -> u64 {
        self.delay_us + random.below(self.delay_us + 1)
    }

    /// What flows from the end `from` to the other one.
    pub fn flow(&self, from: usize) -> Flow {
        Flow { push: self.ends[from].push.clone(), pull: self.ends[1 - from].pull.clone() }
    }
}

/// What arrives, encoded.
pub type Bytes = Rc<[u8]>;

/// What goes over a connection: a call, by its number, or the reply to it.
#[derive(Debug, Clone)]
pub enum Packet {
    Hello(u64, Bytes),
    Push(u64, Bytes),
    Pull(u64, Option<Bytes>),
    HelloReply(u64, Bytes),
    Receipt(u64, Bytes),
    Bundle(u64, Option<Bytes>),
    Failed,
}
