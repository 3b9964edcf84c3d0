//! Sessions: core's dialling and answering ends, driven as the worker and the session's SQL functions drive them.
//!
//! What must always hold here: all that is said goes through the codec; a call is one commit or none; a connection that loses something gives nothing any
//! more. Reading and applying take time, in which other things happen.

use gundb_core::bundle::{
    Bundle, WireLimits, decode_bundle, decode_hello, decode_receipt, encode_bundle, encode_hello, encode_receipt,
};
use gundb_core::sync::dialler::{Action, Call, CallId, Dialler, Reply};
use gundb_core::sync::message::{Hello, Mismatch, PROTOCOL};
use gundb_core::sync::receiver::Here;
use gundb_core::{Dot, StreamId};

use crate::check::Failure;
use crate::connection::{InFlight, Side, Work};
use crate::network::{Bytes, Packet};
use crate::node::Node;
use crate::reading;
use crate::store::Store;
use crate::world::{Step, World};

/// What a node says of itself.
pub struct OfNode<'a>(pub &'a Store);

impl Here for OfNode<'_> {
    fn clock(&self) -> gundb_core::Clock {
        self.0.holds.clone()
    }

    fn stream_name(&self, stream: StreamId) -> Option<String> {
        self.0.known.get(&stream).map(|name| name.to_string())
    }
}

/// The names of all streams that a node knows of.
pub fn known_streams(node: &Node) -> Vec<String> {
    node.store.known.values().map(|name| name.to_string()).collect()
}

/// What a node says of itself to the other end of a link.
pub fn hello(world: &mut World, link: usize, end: usize) -> Hello {
    let (at, now_ms) = (world.links[link].nodes[end], world.now_ms());
    let ways = world.ways(at);
    let node = &mut world.nodes[at];
    let run = node.run(&mut world.truth);
    Hello {
        protocol: (PROTOCOL, PROTOCOL),
        software: "gundb-sim".to_owned(),
        site: node.store.site,
        run,
        name: node.name.clone(),
        push: world.links[link].ends[end].push.clone(),
        pull: world.links[link].ends[end].pull.clone(),
        accept: world.links[link].ends[end].accept,
        ways,
        clock: node.store.holds.clone(),
        bundle_bytes_max: world.bundle_bytes_max,
        now_ms: node.wall_ms(now_ms),
    }
}

/// What a bundle brings.
pub fn dots(bundle: &Bundle) -> Vec<Dot> {
    bundle.transactions.iter().flat_map(|transaction| &transaction.events).map(|event| event.dot).collect()
}

pub fn unread(error: impl std::fmt::Debug) -> Failure {
    Failure::new(UNREAD, format!("{error:?}"))
}

pub const UNREAD: &str = "what was encoded can be decoded";

impl World {
    /// Carries out what a dialling end wants.
    pub fn pump(&mut self, number: u64) -> Result<(), Failure> {
        loop {
            let Some(connection) = self.connections.get_mut(&number) else { return Ok(()) };
            let Some(mut end) = connection.dialler.take() else { return Ok(()) };
            let link = connection.link;
            let at = self.links[link].nodes[0];
            let wall_ms = self.nodes[at].wall_ms(self.now_ms());
            let action = end.poll(wall_ms, &OfNode(&self.nodes[at].store));
            if matches!(action, Some(Action::Greet)) {
                let mine = hello(self, link, 0);
                end.greet(mine, known_streams(&self.nodes[at]));
            }
            let wakes_at = if action.is_none() { end.wakes_at(wall_ms) } else { None };
            let Some(connection) = self.connections.get_mut(&number) else { return Ok(()) };
            connection.dialler = Some(end);
            let work = match action {
                None => {
                    if let Some(wakes_at) = wakes_at {
                        let pause_ms = wakes_at.saturating_sub(wall_ms).clamp(1, 1_000);
                        self.wake(number, pause_ms * 1_000);
                    }
                    return Ok(());
                }
                Some(Action::Greet) => continue,
                Some(Action::Call(call, what)) => {
                    self.call(number, call, what)?;
                    continue;
                }
                Some(Action::Close(mismatch)) => {
                    self.refuse_session(number, &mismatch);
                    return Ok(());
                }
                Some(Action::Read(query)) => Work::Read(query),
                Some(Action::Apply(delivery)) => Work::Apply(delivery),
                Some(Action::Stage(stage)) => Work::Stage(stage),
            };
            connection.work.push_back(work);
            self.after_random(2_000, Step::Do { connection: number, at: Side::Dialler });
        }
    }

    fn refuse_session(&mut self, number: u64, mismatch: &Mismatch) {
        self.counts.hit("session refused: itself");
        self.tell(|_| format!("no session: {mismatch}"));
        let Some(connection) = self.connections.remove(&number) else { return };
        self.links[connection.link].is_alive = false;
        self.links[connection.link].connection = None;
    }

    /// Time has come for a dialling end.
    pub fn tick(&mut self, number: u64) -> Result<(), Failure> {
        self.pump(number)
    }

    fn wake(&mut self, number: u64, pause_us: u64) {
        let at_us = self.now_us + pause_us;
        let is_due = self.wakes.get(&number).is_some_and(|due_us| (self.now_us + 1..=at_us).contains(due_us));
        if !is_due {
            self.wakes.insert(number, at_us);
            self.at(at_us, Step::Tick { connection: number });
        }
    }

    fn call(&mut self, number: u64, call: CallId, what: Call) -> Result<(), Failure> {
        let kind = match &what {
            Call::Hello(_) => InFlight::Hello,
            Call::Push(_) => InFlight::Push,
            Call::Pull(_) => InFlight::Pull,
        };
        if let Some(connection) = self.connections.get_mut(&number) {
            connection.in_flight.insert(call, kind);
        }
        let packet = match what {
            Call::Hello(hello) => Packet::Hello(call, encode_hello(&hello).into()),
            Call::Push(bundle) => {
                self.is_news(number, 1, &bundle)?;
                Packet::Push(call, self.encode(&bundle))
            }
            Call::Pull(receipt) => Packet::Pull(call, receipt.map(|receipt| encode_receipt(&receipt).into())),
        };
        self.send(number, 0, packet);
        Ok(())
    }

    /// Nobody is sent what he said that he holds, or brought himself.
    pub fn is_news(&self, number: u64, to: usize, bundle: &Bundle) -> Result<(), Failure> {
        // Of a transaction that was begun in parts the others follow.
        let is_begun = bundle.part.is_some_and(|part| part.index > 0);
        let Some(connection) = self.connections.get(&number).filter(|_| !is_begun) else { return Ok(()) };
        match dots(bundle).into_iter().find(|dot| connection.told[to].covers(dot)) {
            Some(dot) => {
                let receiver = &self.nodes[self.links[connection.link].nodes[to]].name;
                let detail = format!("{receiver} is sent {dot}, and has said that it holds it");
                Err(Failure::new("nothing comes back to who brought it", detail))
            }
            None => Ok(()),
        }
    }

    pub fn encode(&mut self, bundle: &Bundle) -> Bytes {
        let bytes = encode_bundle(bundle, if self.compresses { 1 } else { 0 });
        self.sent(bundle, bytes.len());
        bytes.into()
    }

    /// A bundle is on its way.
    pub fn sent(&mut self, bundle: &Bundle, bytes: usize) {
        self.counts.bundles += 1;
        self.counts.bundle_bytes += bytes as u64;
        if !bundle.transactions.is_empty() {
            self.last_bundle_us = self.now_us;
        }
        if bundle.part.is_some() {
            self.counts.hit("bundle of a part");
        }
        self.tell(|world| {
            let sender =
                world.nodes.iter().find(|node| node.store.site == bundle.site && node.memory.run == Some(bundle.run));
            let events = bundle.transactions.iter().flat_map(|transaction| &transaction.events);
            let dots: Vec<String> = events.map(|event| world.dot(&event.dot)).collect();
            format!("{} sends bundle {}: {}", sender.map_or("?", |node| &node.name), bundle.number, dots.join(" "))
        });
    }

    /// A message arrives.
    pub fn arrive(&mut self, number: u64, at: Side, packet: Packet) -> Result<(), Failure> {
        let link = self.connections.get(&number).map(|connection| connection.link);
        let result = match at {
            Side::Answerer => self.answer(number, packet),
            Side::Dialler => self.replied(number, packet),
        };
        let from = if at == Side::Answerer { 0 } else { 1 };
        match result {
            // Of a hostile peer what cannot be read ends the session.
            Err(failure) if failure.property == UNREAD && link.is_some_and(|link| self.was_hostile(link, from)) => {
                self.counts.hit("rubbish refused");
                self.close(number, at);
                Ok(())
            }
            result => result,
        }
    }

    fn replied(&mut self, number: u64, packet: Packet) -> Result<(), Failure> {
        let limits = WireLimits::default();
        let Some(connection) = self.connections.get_mut(&number) else { return Ok(()) };
        let link = connection.link;
        let wall_ms = self.nodes[self.links[link].nodes[0]].wall_ms(self.now_us / 1_000);
        if let Packet::HelloReply(call, _) | Packet::Receipt(call, _) | Packet::Bundle(call, _) = &packet {
            connection.in_flight.remove(call);
        }
        let Some(end) = connection.dialler.as_mut() else { return Ok(()) };
        match packet {
            Packet::HelloReply(call, bytes) => {
                let theirs = decode_hello(&bytes, &limits).map_err(unread)?;
                end.replied(call, Reply::Hello(theirs.clone()), wall_ms);
                connection.told[1] = theirs.clock.clone();
                self.learn_ways(link, 0, &theirs);
            }
            Packet::Receipt(call, bytes) => {
                end.replied(call, Reply::Receipt(decode_receipt(&bytes, &limits).map_err(unread)?), wall_ms);
            }
            Packet::Bundle(call, bytes) => {
                let bundle = bytes.map(|bytes| decode_bundle(&bytes, &limits)).transpose().map_err(unread)?;
                end.replied(call, Reply::Bundle(bundle), wall_ms);
            }
            _ => end.failed(wall_ms),
        }
        self.pump(number)
    }

    /// Does what the dialling end wanted first.
    pub fn work(&mut self, number: u64, _: Side) -> Result<(), Failure> {
        let Some(connection) = self.connections.get_mut(&number) else { return Ok(()) };
        let (link, Some(work)) = (connection.link, connection.work.pop_front()) else { return Ok(()) };
        if connection.dialler.is_none() {
            return Ok(());
        }
        let at = self.links[link].nodes[0];
        let wall_ms = self.nodes[at].wall_ms(self.now_ms());
        let done: Box<dyn FnOnce(&mut Dialler)> = match work {
            Work::Read(query) => {
                let page = reading::read(&self.nodes[at].store, &query, self.plant);
                Box::new(move |end| end.read(page, wall_ms))
            }
            Work::Apply(delivery) => {
                let events = delivery.transactions.iter().flat_map(|transaction| &transaction.events);
                let brought: Vec<Dot> = events.map(|event| event.dot).collect();
                match self.apply_in_session(link, 0, delivery)? {
                    Some(verdicts) => {
                        if let Some(connection) = self.connections.get_mut(&number) {
                            connection.told[1].extend(brought);
                        }
                        Box::new(move |end| end.applied(&verdicts, wall_ms))
                    }
                    None => Box::new(move |end| end.failed(wall_ms)),
                }
            }
            Work::Stage(_) if self.is_full(at) => Box::new(move |end| end.failed(wall_ms)),
            Work::Stage(stage) => {
                self.nodes[at].stage((link, 0), stage);
                Box::new(move |end| end.staged(wall_ms))
            }
        };
        if let Some(end) = self.connections.get_mut(&number).and_then(|connection| connection.dialler.as_mut()) {
            done(end);
        }
        self.pump(number)
    }
}
