//! A session between two sites in memory, driven until nothing is left to do, and one direction of it alone.

use std::collections::VecDeque;

use gundb_core::bundle::Bundle;
use gundb_core::sync::answerer::{Answerer, Pulled};
use gundb_core::sync::dialler::{Action, Call, CallId, Dialler, RETRY_MS, Reply};
use gundb_core::sync::message::Receipt;
use gundb_core::sync::receiver::{Check, Receiver};
use gundb_core::sync::sender::{Sender, Turn};

use gundb_core::SiteId;

use super::{Site, all_streams, set_time};

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Passes,
    /// It is carried out, and rolled back.
    Fails,
    /// The connection goes before it is carried out.
    Cut,
    /// The connection goes after it was carried out.
    CutAfter,
}

/// A session: who dials and who answers, by their places among the sites.
pub struct Link {
    pub ends: (usize, usize),
    pub dialler: Dialler,
    answerer: Option<Answerer>,
    calls: VecDeque<(CallId, Call)>,
    /// How many events were in bundles, from the dialling end and to it.
    pub events: (usize, usize),
    /// How many calls were made.
    pub calls_made: usize,
}

impl Link {
    pub fn new(dials: usize, answers: usize) -> Link {
        let mut dialler = Dialler::new();
        dialler.connected();
        Link { ends: (dials, answers), dialler, answerer: None, calls: VecDeque::new(), events: (0, 0), calls_made: 0 }
    }

    pub fn cut(&mut self) {
        self.dialler.closed();
        (self.answerer, self.calls) = (None, VecDeque::new());
        self.dialler.connected();
    }

    pub fn news(&mut self) {
        self.dialler.news_here();
        self.dialler.news_there();
    }

    /// Goes on until nothing is left to do, or so many calls were carried out. Says whether something was done.
    pub fn run(
        &mut self,
        sites: &mut [Site],
        now_ms: u64,
        calls_max: usize,
        mut fate: impl FnMut(&Call) -> Fate,
    ) -> bool {
        let mut busy = false;
        let mut calls_left = calls_max;
        loop {
            while let Some(action) = self.dialler.poll(now_ms, &sites[self.ends.0]) {
                busy = true;
                let peer = sites[self.ends.1].id;
                self.act(action, peer, &mut sites[self.ends.0], now_ms);
            }
            if calls_left == 0 {
                return busy;
            }
            calls_left -= 1;
            let Some((id, call)) = self.calls.pop_front() else { return busy };
            self.calls_made += 1;
            let peer = sites[self.ends.0].id;
            let answers = &mut sites[self.ends.1];
            match fate(&call) {
                Fate::Passes => match self.answer(call, peer, answers, now_ms) {
                    Some(reply) => self.dialler.replied(id, reply, now_ms),
                    None => self.dialler.failed(now_ms),
                },
                Fate::Fails => {
                    let before = answers.clone();
                    self.answer(call, peer, answers, now_ms);
                    (*answers, self.answerer) = (before, None);
                    self.dialler.failed(now_ms);
                }
                Fate::Cut => self.cut(),
                Fate::CutAfter => {
                    self.answer(call, peer, answers, now_ms);
                    self.cut();
                }
            }
        }
    }

    fn act(&mut self, action: Action, peer: SiteId, site: &mut Site, now_ms: u64) {
        match action {
            Action::Greet => self.dialler.greet(site.hello(), all_streams()),
            Action::Call(id, call) => {
                if let Call::Push(bundle) = &call {
                    self.events.0 += count(bundle);
                }
                self.calls.push_back((id, call));
            }
            Action::Read(query) => self.dialler.read(site.read(&query), now_ms),
            Action::Apply(delivery) => {
                let verdicts = site.apply(peer, delivery);
                self.dialler.applied(&verdicts, now_ms);
            }
            Action::Stage(stage) => {
                site.stage(peer, stage);
                self.dialler.staged(now_ms);
            }
            Action::Close(mismatch) => panic!("{mismatch}"),
        }
    }

    fn answer(&mut self, call: Call, peer: SiteId, site: &mut Site, now_ms: u64) -> Option<Reply> {
        match call {
            Call::Hello(theirs) => {
                let mine = site.hello();
                self.answerer = Some(Answerer::hello(&mine, &theirs, &all_streams()).unwrap());
                Some(Reply::Hello(mine))
            }
            Call::Push(bundle) => {
                let answerer = self.answerer.as_mut()?;
                match answerer.push(bundle, site) {
                    Check::Answer(receipt) => Some(receipt),
                    Check::Apply(delivery) => answerer.applied(&site.apply(peer, delivery)),
                    Check::Stage(stage) => {
                        site.stage(peer, stage);
                        answerer.staged()
                    }
                }
                .map(Reply::Receipt)
            }
            Call::Pull(receipt) => {
                let answerer = self.answerer.as_mut()?;
                let mut pulled = answerer.pull(receipt.as_ref(), now_ms);
                loop {
                    match pulled {
                        Pulled::Read(query) => pulled = answerer.read(site.read(&query), now_ms),
                        Pulled::Answer(bundle) => {
                            self.events.1 += bundle.as_ref().map_or(0, count);
                            return Some(Reply::Bundle(bundle));
                        }
                    }
                }
            }
        }
    }
}

fn count(bundle: &Bundle) -> usize {
    bundle.transactions.iter().map(|transaction| transaction.events.len()).sum()
}

pub fn passes(_: &Call) -> Fate {
    Fate::Passes
}

/// Lets a session go on until both ends are quiet, waiting where one of them waits.
pub fn settle(link: &mut Link, sites: &mut [Site]) {
    link.news();
    for _ in 0..100 {
        let now = sites[0].now_ms;
        link.run(sites, now, usize::MAX, passes);
        match link.dialler.wakes_at(now) {
            Some(at) if at < now + RETRY_MS / 2 => set_time(sites, at),
            _ => return,
        }
    }
    panic!("it does not come to rest");
}

/// One direction.
pub struct Direction {
    pub sender: Sender,
    pub receiver: Receiver,
    from: SiteId,
}

impl Direction {
    pub fn new(from: &Site, to: &Site) -> Direction {
        let (mine, theirs) = (from.hello(), to.hello());
        let (sender, receiver) =
            (Sender::new(&mine, &theirs, &all_streams()), Receiver::new(&theirs, &mine, &all_streams()));
        Direction { sender, receiver, from: from.id }
    }

    /// The bundles that can be sent now.
    pub fn sends(&mut self, from: &Site) -> Vec<Bundle> {
        let mut bundles = Vec::new();
        while let Some(turn) = self.sender.turn(from.now_ms) {
            match turn {
                Turn::Read(query) => bundles.extend(self.sender.page(from.read(&query), from.now_ms)),
                Turn::Send(bundle) => bundles.push(bundle),
            }
        }
        bundles
    }

    pub fn receives(&mut self, to: &mut Site, bundle: Bundle) -> Receipt {
        match self.receiver.check(bundle, to) {
            Check::Answer(receipt) => receipt,
            Check::Apply(delivery) => self.receiver.applied(&to.apply(self.from, delivery)).unwrap(),
            Check::Stage(stage) => {
                to.stage(self.from, stage);
                self.receiver.staged().unwrap()
            }
        }
    }

    /// All that can be sent, each bundle answered.
    pub fn flows(&mut self, from: &Site, to: &mut Site) -> Vec<Receipt> {
        let mut receipts = Vec::new();
        loop {
            let bundles = self.sends(from);
            if bundles.is_empty() {
                return receipts;
            }
            for bundle in bundles {
                let receipt = self.receives(to, bundle);
                self.sender.receipt(&receipt, from.now_ms);
                receipts.push(receipt);
            }
        }
    }
}
