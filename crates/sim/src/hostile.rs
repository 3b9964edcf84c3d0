//! A peer that sends rubbish: bytes that are no message, and messages that say what was never written.
//!
//! What must always hold here: what it says can be found to be wrong by who receives it. (Who speaks for others may leave out what they wrote, or say that
//! he holds what he does not: against that there is trust alone.)

use gundb_core::bundle::{Bundle, WireLimits, decode_bundle, encode_bundle};

use crate::network::{Bytes, Packet};
use crate::world::World;

/// How many of a hundred of its messages are rubbish.
const RUBBISH_PERCENT: u64 = 30;

impl World {
    /// Whether what an end of a link sends now may be rubbish.
    pub fn is_hostile(&self, link: usize, from: usize) -> bool {
        self.links[link].hostile_until_us[from] > self.now_us && !self.is_healed()
    }

    /// Whether what an end of a link has sent may be rubbish.
    pub fn was_hostile(&self, link: usize, from: usize) -> bool {
        self.links[link].hostile_until_us[from] > 0
    }

    /// What a message becomes on its way from an end of a link.
    pub fn twist(&mut self, link: usize, from: usize, packet: Packet) -> Packet {
        if !self.is_hostile(link, from) || !self.random.percent(RUBBISH_PERCENT) {
            return packet;
        }
        let to = self.links[link].nodes[1 - from];
        self.strike("hostile peer", to);
        match packet {
            Packet::Hello(call, bytes) => Packet::Hello(call, self.rubbish(&bytes)),
            Packet::HelloReply(call, bytes) => Packet::HelloReply(call, self.rubbish(&bytes)),
            Packet::Push(call, bytes) => Packet::Push(call, self.twist_bundle(&bytes)),
            Packet::Bundle(call, Some(bytes)) => Packet::Bundle(call, Some(self.twist_bundle(&bytes))),
            Packet::Receipt(call, bytes) => Packet::Receipt(call, self.rubbish(&bytes)),
            packet => packet,
        }
    }

    /// Bytes that are no message.
    pub fn rubbish(&mut self, bytes: &Bytes) -> Bytes {
        self.counts.hit("rubbish");
        let mut bytes = bytes.to_vec();
        let at = self.random.index(bytes.len());
        match self.random.below(3) {
            0 => bytes.truncate(at),
            1 => bytes[at] ^= 1 << self.random.below(8),
            _ => bytes.iter_mut().for_each(|byte| *byte = self.random.bits() as u8),
        }
        bytes.into()
    }

    /// A bundle of which one event is another than was written; or rubbish.
    pub fn twist_bundle(&mut self, bytes: &Bytes) -> Bytes {
        let is_lie = self.random.percent(60);
        match decode_bundle(bytes, &WireLimits::default()).ok().filter(|_| is_lie).and_then(|bundle| self.lie(bundle)) {
            Some(lie) => {
                self.counts.hit("lie");
                encode_bundle(&lie, 0).into()
            }
            None => self.rubbish(bytes),
        }
    }

    fn lie(&mut self, mut bundle: Bundle) -> Option<Bundle> {
        let events: Vec<_> = bundle.transactions.iter_mut().flat_map(|transaction| &mut transaction.events).collect();
        let at = self.random.index(events.len().max(1));
        let event = events.into_iter().nth(at)?;
        self.truth.lied.insert(event.dot);
        match self.random.below(5) {
            0 => event.data = "{\"n\": 1000000}".to_owned(),
            1 => event.chain.0[0] ^= 1,
            2 => event.dot.seq += 1_000,
            3 => event.kind = String::new(),
            _ => event.id = self.random.uuid(),
        }
        self.truth.lied.insert(event.dot);
        Some(bundle)
    }
}
