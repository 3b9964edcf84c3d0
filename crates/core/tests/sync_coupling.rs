//! Two ends that are both called, coupled: what either holds comes to the other, whatever is appended meanwhile, in parts too.

mod sites;

use std::collections::VecDeque;

use gundb_core::bundle::{WireLimits, decode_bundle, decode_receipt, encode_bundle, encode_receipt};
use gundb_core::sync::answerer::{Answerer, Pulled};
use gundb_core::sync::coupling::{Ask, Coupling, End};
use gundb_core::sync::dialler::RETRY_MS;
use gundb_core::sync::message::Accept;
use gundb_core::sync::receiver::Check;
use sites::*;

/// Two sites, each called, and what couples them.
struct Coupled {
    sites: Vec<Site>,
    ends: Vec<Answerer>,
    coupling: Coupling,
    /// Calls under way, in the order in which they were made.
    calls: VecDeque<(End, Ask)>,
    /// How many bundles with events were brought.
    bundles: usize,
}

impl Coupled {
    fn new(sites: Vec<Site>) -> Coupled {
        let hellos = [sites[0].hello(), sites[1].hello()];
        let end = |mine: usize| Answerer::hello(&hellos[mine], &hellos[1 - mine], &all_streams()).unwrap();
        let ends = vec![end(0), end(1)];
        Coupled { sites, ends, coupling: Coupling::new(WireLimits::default()), calls: VecDeque::new(), bundles: 0 }
    }

    fn now_ms(&self) -> u64 {
        self.sites[0].now_ms
    }

    /// Goes on until both ends are quiet; answers come late, several calls are under way.
    fn settle(&mut self) {
        for _ in 0..1_000 {
            while let Some(call) = self.coupling.poll(self.now_ms()) {
                self.calls.push_back(call);
            }
            if let Some((end, ask)) = self.calls.pop_front() {
                self.answer(end, ask);
                continue;
            }
            let now_ms = self.now_ms();
            match self.coupling.wakes_at(now_ms) {
                Some(at_ms) if at_ms < now_ms + RETRY_MS / 2 => set_time(&mut self.sites, at_ms),
                _ => {
                    assert!(self.coupling.is_quiet());
                    return;
                }
            }
        }
        panic!("it does not come to rest");
    }

    fn answer(&mut self, end: End, ask: Ask) {
        let (own, other, now_ms) = (usize::from(end == End::There), usize::from(end == End::Here), self.now_ms());
        let (peer, limits) = (self.sites[other].id, WireLimits::default());
        let (site, answerer) = (&mut self.sites[own], &mut self.ends[own]);
        match ask {
            Ask::Push(bundle) => {
                let bundle = decode_bundle(&bundle, &limits).unwrap();
                self.bundles += usize::from(!bundle.transactions.is_empty());
                let receipt = match answerer.push(bundle, site) {
                    Check::Answer(receipt) => receipt,
                    Check::Apply(delivery) => answerer.applied(&site.apply(peer, delivery)).unwrap(),
                    Check::Stage(stage) => {
                        site.stage(peer, stage);
                        answerer.staged().unwrap()
                    }
                };
                self.coupling.pushed(end, &encode_receipt(&receipt), now_ms).unwrap();
            }
            Ask::Pull(receipt) => {
                let receipt = receipt.map(|receipt| decode_receipt(&receipt, &limits).unwrap());
                let mut pulled = answerer.pull(receipt.as_ref(), now_ms);
                let bundle = loop {
                    match pulled {
                        Pulled::Read(query) => pulled = answerer.read(site.read(&query), now_ms),
                        Pulled::Answer(bundle) => break bundle,
                    }
                };
                self.coupling.pulled(end, bundle.map(|bundle| encode_bundle(&bundle, 1)), now_ms);
            }
        }
    }

    fn news(&mut self) {
        self.coupling.news(End::Here);
        self.coupling.news(End::There);
    }
}

#[test]
fn what_either_end_holds_comes_to_the_other() {
    let mut sites = two();
    for _ in 0..30 {
        sites[0].writes(&[("s", 0), ("t", 1)]);
        sites[1].writes(&[("s", 0)]);
    }
    let mut coupled = Coupled::new(sites);
    coupled.settle();
    assert_eq!(clock(&coupled.sites[0]), clock(&coupled.sites[1]));
    // News goes both ways, and back and forth nothing.
    for turn in 0..5 {
        let before = coupled.bundles;
        coupled.sites[turn % 2].writes(&[("u", 0)]);
        coupled.news();
        coupled.settle();
        assert_eq!(clock(&coupled.sites[0]), clock(&coupled.sites[1]), "turn {turn}");
        assert_eq!(coupled.bundles, before + 1, "turn {turn}");
    }
}

#[test]
fn a_large_transaction_goes_through_in_parts() {
    let mut sites = two();
    sites.iter_mut().for_each(|site| site.large_events = 7);
    sites[0].writes(&[("s", 0); 40]);
    sites[1].writes(&[("t", 3); 25]);
    sites[0].writes(&[("s", 0)]);
    let mut coupled = Coupled::new(sites);
    coupled.settle();
    assert_eq!(clock(&coupled.sites[0]), clock(&coupled.sites[1]));
}

#[test]
fn what_comes_to_an_end_elsewhere_is_waited_for_there() {
    let mut sites = some(3);
    // The third wrote first; the first has it, and may not bring it to the second, whom it reaches late.
    sites[2].writes(&[("s", 0)]);
    let third: Vec<_> = sites[2].events.values().cloned().collect();
    let give = |site: &mut Site, from: &Site| {
        for event in &third {
            site.events.insert(event.dot, event.clone());
            site.last = site.last.max(event.hlc);
        }
        site.epochs.extend(from.epochs.clone());
    };
    let from = sites[2].clone();
    give(&mut sites[0], &from);
    sites[0].writes(&[("s", 0)]);
    sites[1].accept = Accept::Own;
    sites.truncate(2);
    let mut coupled = Coupled::new(sites);
    for _ in 0..200 {
        while let Some(call) = coupled.coupling.poll(coupled.now_ms()) {
            coupled.calls.push_back(call);
        }
        match coupled.calls.pop_front() {
            Some((end, ask)) => coupled.answer(end, ask),
            None => {
                let later_ms = coupled.now_ms() + 100;
                set_time(&mut coupled.sites, later_ms);
            }
        }
        // While an end waits it is not said that nothing is left.
        assert!(!coupled.coupling.is_quiet());
    }
    assert!(coupled.sites[1].events.is_empty());
    give(&mut coupled.sites[1], &from);
    coupled.settle();
    assert_eq!(clock(&coupled.sites[0]), clock(&coupled.sites[1]));
}

#[test]
fn what_was_refused_is_offered_again_by_a_new_session() {
    let mut sites = two();
    sites[0].writes(&[("s", 0)]);
    let mut coupled = Coupled::new(sites);
    // The second end takes an event under another history for a fork.
    let event = coupled.sites[0].events.values_mut().next().unwrap();
    event.chain = gundb_core::Chain::genesis(event.dot.site, event.dot.stream, event.dot.lane);
    coupled.settle();
    assert!(coupled.sites[1].events.is_empty());
    let now_ms = coupled.now_ms();
    assert!(!coupled.coupling.is_to_retry(now_ms) && coupled.coupling.is_to_retry(now_ms + RETRY_MS));
    assert!(coupled.coupling.wakes_at(now_ms).is_some());
}
