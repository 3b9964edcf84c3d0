//! Bundles that are carried: lost, late, doubled, in any order. Use when `sync/courier.rs` changes.

mod sites;
mod strategies;

use gundb_core::bundle::{Bundle, From, Part};
use gundb_core::sync::courier::{Courier, Opened, open, whole};
use gundb_core::sync::receiver::Delivery;
use gundb_core::sync::scope::{Page, Query, Range, Scope};
use gundb_core::{Clock, Dot, EpochRecord, Transaction};
use proptest::prelude::*;
use sites::{STREAMS, Site, Truth, all_streams, clock, stream_name};
use strategies::cases;

/// What a site exports to those who hold `since`.
fn export(from: &Site, to: &Site, since: Clock) -> Vec<Bundle> {
    let mut courier = Courier::new(from.id, from.run, 0, since);
    let mut bundles = Vec::new();
    loop {
        let hello = gundb_core::sync::message::Hello { run: gundb_core::Run::MAX, ..to.hello() };
        let scope = Scope::new(&from.hello(), &hello, &all_streams());
        match from.read(&Query::Next { after: courier.follows().clone(), scope, bytes_max: 1 }) {
            Page::Transactions { transactions, epochs, beside, more, .. } => {
                if !transactions.is_empty() {
                    bundles.push(courier.bundle(transactions, epochs, &beside));
                }
                if !more {
                    return bundles;
                }
            }
            Page::Large { transaction, ends, ranges, epochs, beside } => {
                let whole = Transaction { id: transaction, events: Vec::new(), ends };
                bundles.extend(parts(from, &mut courier, &whole, ranges, epochs, &beside));
            }
            Page::Part { .. } => unreachable!(),
        }
    }
}

fn parts(
    from: &Site,
    courier: &mut Courier,
    whole: &Transaction,
    mut ranges: Vec<Range>,
    mut epochs: Vec<EpochRecord>,
    beside: &Clock,
) -> Vec<Bundle> {
    let mut bundles = Vec::new();
    while !ranges.is_empty() {
        let query = Query::Part { transaction: whole.id, ranges, bytes_max: 1 };
        let Page::Part { events, ranges_left } = from.read(&query) else { unreachable!() };
        let part = Part { index: bundles.len() as u64, is_last: ranges_left.is_empty() };
        let transaction = Transaction { events, ..whole.clone() };
        bundles.push(courier.part(part, transaction, std::mem::take(&mut epochs), beside));
        ranges = ranges_left;
    }
    bundles
}

/// Where bundles wait that came too early, and parts.
#[derive(Default)]
struct Inbox {
    early: Vec<Bundle>,
    parts: Vec<Bundle>,
}

impl Inbox {
    fn import(&mut self, to: &mut Site, bundle: Bundle) {
        if bundle.part.is_none() {
            self.early.push(bundle);
        } else {
            let id = bundle.transactions[0].id;
            self.parts.push(bundle);
            let of_id = self.parts.iter().filter(|part| part.transactions[0].id == id).cloned().collect();
            self.early.extend(whole(of_id));
        }
        while let Some((at, delivery)) = self.next(to) {
            self.early.remove(at);
            to.apply(to.id, delivery);
        }
    }

    fn next(&self, to: &Site) -> Option<(usize, Delivery)> {
        let takes = |dot: &Dot| to.filter.matches(&stream_name(dot.stream));
        self.early.iter().enumerate().find_map(|(at, bundle)| match open(bundle.clone(), &clock(to), takes) {
            Some(Opened::Deliver(delivery)) => Some((at, delivery)),
            Some(Opened::Early(_)) => None,
            None => panic!("it cannot be carried"),
        })
    }
}

fn two() -> (Site, Site) {
    let truth = Truth::default();
    (Site::new(1, &truth), Site::new(2, &truth))
}

#[test]
fn a_bundle_says_all_that_it_follows_and_waits_for_it() {
    let (mut from, mut to) = two();
    (0..12).for_each(|n| drop(from.writes(&[("s", n % 2), ("t", 0)])));
    let bundles = export(&from, &to, Clock::new());
    assert_eq!(bundles[0].from, From::Clock(Clock::new()));
    assert_eq!(bundles.iter().map(|bundle| bundle.number).collect::<Vec<_>>(), (1..=6).collect::<Vec<_>>());
    let mut inbox = Inbox::default();
    for bundle in bundles.iter().skip(1).chain(&bundles[2..4]) {
        inbox.import(&mut to, bundle.clone());
        assert!(to.events.is_empty(), "the first is missing");
    }
    inbox.import(&mut to, bundles[0].clone());
    assert_eq!(clock(&from), clock(&to));
    assert!(inbox.early.is_empty());
    // What is exported since then is what came since then.
    let since = clock(&to);
    from.writes(&[("u", 0)]);
    let [bundle] = &export(&from, &to, since.clone())[..] else { panic!("one bundle") };
    assert_eq!(bundle.from, From::Clock(since));
}

#[test]
fn what_a_receiver_does_not_take_it_is_not_asked_for() {
    let (mut from, mut to) = two();
    to.filter = gundb_core::sync::filter::Filter::parse(&["s"]).unwrap();
    let untaken = from.writes(&[("t", 0)]);
    let taken = from.writes(&[("s", 0)]);
    let bundle = Courier::new(from.id, from.run, 0, untaken.into_iter().collect()).bundle(
        vec![Transaction::new(from.events[&taken[0]].transaction(), vec![from.events[&taken[0]].clone()])],
        from.epochs.iter().map(|(epoch, clock)| EpochRecord { epoch: *epoch, clock: clock.clone() }).collect(),
        &Clock::new(),
    );
    Inbox::default().import(&mut to, bundle);
    assert!(to.holds(&taken[0]));
}

proptest! {
    #![proptest_config(cases(100))]

    #[test]
    fn however_they_come_nothing_comes_too_early_and_all_of_them_bring_all(
        writes in proptest::collection::vec((any::<bool>(), 0..STREAMS.len(), prop_oneof![4 => 1..4usize, 1 => 9..20usize]), 1..30),
        order in proptest::collection::vec(any::<prop::sample::Index>(), 0..40),
    ) {
        let (mut from, mut to) = two();
        from.large_events = 8;
        let mut there = Site::new(3, &from.truth);
        for (own, stream, length) in writes {
            // What another wrote is among it.
            let writer = if own { &mut from } else { &mut there };
            writer.writes(&vec![(STREAMS[stream], 0); length]);
            let bundles = export(&there, &from, clock(&from));
            let mut inbox = Inbox::default();
            bundles.into_iter().for_each(|bundle| inbox.import(&mut from, bundle));
        }
        let bundles = export(&from, &to, Clock::new());
        let mut inbox = Inbox::default();
        for which in order {
            inbox.import(&mut to, bundles[which.index(bundles.len())].clone());
        }
        bundles.into_iter().for_each(|bundle| inbox.import(&mut to, bundle));
        prop_assert_eq!(clock(&from), clock(&to));
    }
}
