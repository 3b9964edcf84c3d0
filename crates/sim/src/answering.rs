//! The answering end of a session, driven as the session's SQL functions drive it.
//!
//! What must always hold here: a call is one commit or none; where it is rolled back the session is dropped, and the caller is told.

use gundb_core::bundle::{
    Bundle, From, WireLimits, decode_bundle, decode_hello, decode_receipt, encode_hello, encode_receipt,
};
use gundb_core::sync::answerer::{Answerer, Pulled};
use gundb_core::sync::dialler::CallId;
use gundb_core::sync::message::{Outcome, Receipt};
use gundb_core::sync::receiver::Check;
use gundb_core::{Clock, Dot};

use crate::check::Failure;
use crate::connection::Side;
use crate::network::{Bytes, Packet};
use crate::plant::Plant;
use crate::reading;
use crate::session::{OfNode, dots, hello, known_streams, unread};
use crate::world::{Step, World};

impl World {
    /// The answering end is called. Where the call is rolled back its session is dropped, and the caller is told.
    pub fn answer(&mut self, number: u64, packet: Packet) -> Result<(), Failure> {
        let limits = WireLimits::default();
        let Some(connection) = self.connections.get_mut(&number).filter(|connection| connection.is_answered) else {
            return Ok(());
        };
        let link = connection.link;
        let at = self.links[link].nodes[1];
        let reply = match packet {
            Packet::Hello(call, bytes) => {
                connection.answerer = None;
                let theirs = decode_hello(&bytes, &limits).map_err(unread)?;
                connection.told[0] = theirs.clock.clone();
                self.learn_ways(link, 1, &theirs);
                let mine = hello(self, link, 1);
                let known = known_streams(&self.nodes[at]);
                // Of one's own mismatch the other end makes its own from this hello.
                let end = Answerer::hello(&mine, &theirs, &known).ok();
                if let Some(connection) = self.connections.get_mut(&number) {
                    connection.answerer = end;
                }
                Packet::HelloReply(call, encode_hello(&mine).into())
            }
            Packet::Push(call, bytes) => return self.pushed(number, call, bytes),
            Packet::Pull(call, receipt) => {
                let receipt = receipt.map(|bytes| decode_receipt(&bytes, &limits)).transpose().map_err(unread)?;
                match self.pulled(number, receipt.as_ref()) {
                    Some(bundle) => {
                        if let Some(bundle) = &bundle {
                            self.is_news(number, 0, bundle)?;
                        }
                        let bytes = bundle.map(|bundle| self.encode(&bundle));
                        let is_lost = bytes.is_some() && self.is_mangled();
                        if is_lost {
                            self.strike("session bundle lost", at);
                            // Where nothing follows that does not fit, only a new session can tell.
                            self.after(1_000_000, Step::Close { connection: number, at: Side::Answerer });
                        }
                        Packet::Bundle(call, bytes.filter(|_| !is_lost))
                    }
                    None => Packet::Failed,
                }
            }
            _ => return Ok(()),
        };
        self.send(number, 1, reply);
        Ok(())
    }

    fn is_mangled(&mut self) -> bool {
        !self.is_healed() && self.random.below(1_000) < self.mangled_per_mille
    }

    /// Pushes arrive in order; the network of a mangled run swaps or doubles some.
    fn pushed(&mut self, number: u64, call: CallId, bytes: Bytes) -> Result<(), Failure> {
        let at = self.connections.get(&number).map_or(0, |connection| self.links[connection.link].nodes[1]);
        let swapped = self.connections.get_mut(&number).and_then(|connection| connection.swapped.take());
        if swapped.is_none() && self.is_mangled() {
            if self.random.percent(50) {
                self.strike("session bundle doubled", at);
                self.push(number, call, &bytes)?;
            } else if let Some(connection) = self.connections.get_mut(&number) {
                connection.swapped = Some((call, bytes));
                self.strike("session bundle late", at);
                // If no other comes: it is not lost.
                self.after(300_000, Step::Close { connection: number, at: Side::Answerer });
                return Ok(());
            }
        }
        let reply = self.push(number, call, &bytes)?;
        self.send(number, 1, reply);
        if let Some((call, bytes)) = swapped {
            let reply = self.push(number, call, &bytes)?;
            self.send(number, 1, reply);
        }
        Ok(())
    }

    fn push(&mut self, number: u64, call: CallId, bytes: &Bytes) -> Result<Packet, Failure> {
        let mut bundle = decode_bundle(bytes, &WireLimits::default()).map_err(unread)?;
        let failed = Ok(Packet::Failed);
        let Some(connection) = self.connections.get_mut(&number) else { return failed };
        let link = connection.link;
        let brought: Vec<Dot> = dots(&bundle);
        let Some(mut end) = connection.answerer.take() else { return failed };
        let at = self.links[link].nodes[1];
        if let (Plant::BesideUnchecked, From::Session { beside, .. }) = (self.plant, &mut bundle.from) {
            *beside = Clock::new();
        }
        let mut check = end.push(bundle.clone(), &OfNode(&self.nodes[at].store));
        if let (Plant::FromUnchecked, Check::Answer(Receipt { outcome: Outcome::Again(received), .. })) =
            (self.plant, &check)
            && let From::Session { digest, .. } = &mut bundle.from
        {
            *digest = received.digest();
            check = end.push(bundle, &OfNode(&self.nodes[at].store));
        }
        let receipt = match check {
            Check::Answer(receipt) => {
                self.note(at, &receipt.outcome);
                Some(receipt)
            }
            Check::Stage(_) if self.is_full(at) => return failed,
            Check::Stage(stage) => {
                self.nodes[at].stage((link, 1), stage);
                end.staged()
            }
            Check::Apply(delivery) => match self.apply_in_session(link, 1, delivery)? {
                Some(verdicts) => {
                    // What was applied may have told of streams, and this end was away.
                    let ways = self.ways(at);
                    if !end.learned(&known_streams(&self.nodes[at]), &ways) {
                        return failed;
                    }
                    end.applied(&verdicts)
                }
                None => return failed,
            },
        };
        if let Some(connection) = self.connections.get_mut(&number) {
            connection.answerer = Some(end);
            if receipt.as_ref().is_some_and(|receipt| receipt.outcome == Outcome::Taken) {
                connection.told[0].extend(brought);
            }
        }
        let Some(receipt) = receipt else {
            return Err(Failure::new("a bundle has a receipt", format!("call {call} of connection {number} has none")));
        };
        Ok(Packet::Receipt(call, encode_receipt(&receipt).into()))
    }

    fn note(&mut self, node: usize, outcome: &Outcome) {
        match outcome {
            Outcome::Taken => {}
            Outcome::Again(_) => self.counts.hit("answered Again"),
            Outcome::Early(missing) => {
                self.counts.hit("answered Early");
                self.tell(|world| {
                    let dots: Vec<String> = missing.iter().map(|dot| world.dot(&dot)).collect();
                    format!("{} lacks {} first", world.nodes[node].name, dots.join(" "))
                });
            }
        }
    }

    /// What a pull brings; None where there is no session.
    fn pulled(&mut self, number: u64, receipt: Option<&Receipt>) -> Option<Option<Bundle>> {
        let [from, at] = self.links[self.connections.get(&number)?.link].nodes;
        if let Some(receipt) = receipt {
            self.note(from, &receipt.outcome);
        }
        let connection = self.connections.get_mut(&number)?;
        let end = connection.answerer.as_mut()?;
        let wall_ms = self.nodes[at].wall_ms(self.now_us / 1_000);
        let mut pulled = end.pull(receipt, wall_ms);
        loop {
            match pulled {
                Pulled::Answer(bundle) => return Some(bundle),
                Pulled::Read(query) => {
                    let page = reading::read(&self.nodes[at].store, &query, self.plant);
                    pulled = end.read(page, wall_ms);
                }
            }
        }
    }
}
