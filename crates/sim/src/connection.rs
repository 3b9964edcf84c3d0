//! Connections: how they come, what they carry, and how each end finds out that they are gone.
//!
//! What must always hold here: messages arrive in the order in which they were sent; a connection that has lost one brings no other.

use std::collections::{BTreeMap, VecDeque};

use gundb_core::Clock;
use gundb_core::sync::answerer::Answerer;
use gundb_core::sync::dialler::{CallId, Dialler};
use gundb_core::sync::receiver::{Delivery, Stage};
use gundb_core::sync::scope::Query;

use crate::check::Failure;
use crate::network::{Bytes, Packet};
use crate::world::{Step, World};

/// By how much what a slow node sends is late.
const SLOW_US: u64 = 400_000;

/// An end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Dialler,
    Answerer,
}

/// A connection, as long as one of its ends stands.
pub struct Connection {
    pub link: usize,
    pub dialler: Option<Dialler>,
    /// Whether the answering end stands; it may have no session yet.
    pub is_answered: bool,
    pub answerer: Option<Answerer>,
    pub work: VecDeque<Work>,
    /// When the last message in each direction arrives.
    pub arrives_us: [u64; 2],
    /// Whether something was lost in a direction: then nothing arrives any more.
    pub has_lost: [bool; 2],
    /// Calls that are not answered yet.
    pub in_flight: BTreeMap<CallId, InFlight>,
    /// What each end has said that it holds, or brought.
    pub told: [Clock; 2],
    /// A push that arrives after the next one.
    pub swapped: Option<(CallId, Bytes)>,
}

/// What a call is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InFlight {
    Hello,
    Push,
    Pull,
}

/// What the dialling end wants done.
pub enum Work {
    Read(Query),
    Apply(Delivery),
    Stage(Stage),
}

impl World {
    /// Somebody dials, and again until it works.
    pub fn dial(&mut self, link: usize) -> Result<(), Failure> {
        let [dialler, answerer] = self.links[link].nodes;
        if self.links[link].connection.is_some() || !self.links[link].is_alive {
            return Ok(());
        }
        if !self.nodes[dialler].is_up || !self.nodes[answerer].is_up || self.links[link].cuts != [0, 0] {
            let failures = self.links[link].failures.min(4);
            self.links[link].failures += 1;
            let pause_us = self.random.between(50_000, 100_000 << failures);
            self.after(pause_us, Step::Dial { link });
            return Ok(());
        }
        self.links[link].failures = 0;
        let number = self.counts.connections;
        self.counts.connections += 1;
        let mut end = Dialler::new();
        end.connected();
        let connection = Connection {
            link,
            dialler: Some(end),
            is_answered: true,
            answerer: None,
            work: VecDeque::new(),
            arrives_us: [0; 2],
            has_lost: [false; 2],
            in_flight: BTreeMap::new(),
            told: Default::default(),
            swapped: None,
        };
        self.connections.insert(number, connection);
        self.links[link].connection = Some(number);
        self.tell(|world| format!("{} dials {}", world.nodes[dialler].name, world.nodes[answerer].name));
        self.pump(number)
    }

    /// Sends something over a connection, from its end 0 or 1.
    pub fn send(&mut self, number: u64, from: usize, packet: Packet) {
        let Some(connection) = self.connections.get_mut(&number) else { return };
        let at = connection.link;
        let link = &self.links[at];
        if link.cuts[from] > 0 || connection.has_lost[from] {
            connection.has_lost[from] = true;
            return;
        }
        let slow_us = if self.nodes[link.nodes[from]].slow_until_us > self.now_us { SLOW_US } else { 0 };
        let arrives_us = (self.now_us + slow_us + link.delay(&mut self.random)).max(connection.arrives_us[from]);
        connection.arrives_us[from] = arrives_us;
        let packet = self.twist(at, from, packet);
        let at = if from == 0 { Side::Answerer } else { Side::Dialler };
        self.at(arrives_us, Step::Arrive { connection: number, at, packet });
    }

    /// Something was committed at a node: those who talk with it are told.
    pub fn news(&mut self, node: usize) -> Result<(), Failure> {
        let mut here = Vec::new();
        let mut there = Vec::new();
        for (number, connection) in &self.connections {
            let [dialler, answerer] = self.links[connection.link].nodes;
            if dialler == node && connection.dialler.is_some() {
                here.push(*number);
            } else if answerer == node && connection.is_answered {
                there.push((*number, connection.link));
            }
        }
        for connection in here {
            self.after_random(1_000, Step::News { connection, is_here: true });
        }
        for (connection, link) in there {
            let delay_us = self.links[link].delay(&mut self.random);
            self.after(delay_us, Step::News { connection, is_here: false });
        }
        Ok(())
    }

    /// A dialling end hears of news.
    pub fn hears(&mut self, number: u64, is_here: bool) -> Result<(), Failure> {
        let Some(connection) = self.connections.get_mut(&number) else { return Ok(()) };
        let Some(end) = connection.dialler.as_mut() else { return Ok(()) };
        if is_here {
            end.news_here();
        } else if self.links[connection.link].cuts[1] == 0 && !connection.has_lost[1] {
            end.news_there();
        }
        self.pump(number)
    }

    /// An end of a connection finds out that it is gone; the other end will.
    pub fn close(&mut self, number: u64, at: Side) {
        let Some(connection) = self.connections.get_mut(&number) else { return };
        let link = connection.link;
        match at {
            Side::Dialler => {
                connection.work.clear();
                if connection.dialler.take().is_some() {
                    self.links[link].connection = None;
                    self.after_random(200_000, Step::Dial { link });
                    self.after_random(500_000, Step::Close { connection: number, at: Side::Answerer });
                }
            }
            Side::Answerer => {
                connection.answerer = None;
                if std::mem::take(&mut connection.is_answered) {
                    self.after_random(500_000, Step::Close { connection: number, at: Side::Dialler });
                }
            }
        }
        self.connections.retain(|_, connection| connection.dialler.is_some() || connection.is_answered);
    }

    /// A node has stopped: its ends of connections are gone.
    pub fn leave_connections(&mut self, node: usize) {
        let numbers: Vec<(u64, usize)> =
            self.connections.iter().map(|(number, connection)| (*number, connection.link)).collect();
        for (number, link) in numbers {
            let [dialler, answerer] = self.links[link].nodes;
            if dialler == node {
                self.close(number, Side::Dialler);
            }
            if answerer == node {
                self.close(number, Side::Answerer);
            }
        }
    }
}
