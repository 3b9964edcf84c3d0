//! Random histories and random faults: nothing comes before what its author had seen, and in the end every site holds everything. Use when anything in
//! `sync` changes. The sites check causes at each apply (`sites/mod.rs`).

mod sites;
mod strategies;

use proptest::prelude::*;
use sites::link::{Direction, Fate, Link};
use sites::{STREAMS, Site, Truth, clock};
use strategies::cases;

/// What happens to one direction.
#[derive(Debug, Clone)]
enum Step {
    Write {
        sender: bool,
        stream: usize,
        lane: u16,
        length: usize,
    },
    Send,
    /// A bundle on its way arrives, and stays on its way where it is to arrive again.
    Arrive {
        which: prop::sample::Index,
        again: bool,
    },
    Lose(prop::sample::Index),
    /// A receipt arrives, or is lost.
    Answer {
        which: prop::sample::Index,
        lost: bool,
    },
    NewSession,
    /// The receiver loses what it got since it was last kept, or is kept.
    Crash,
    Keep,
}

fn any_step() -> impl Strategy<Value = Step> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        4 => (any::<bool>(), 0..STREAMS.len(), 0..2u16, prop_oneof![4 => 1..4usize, 1 => 6..30usize])
            .prop_map(|(sender, stream, lane, length)| Step::Write { sender, stream, lane, length }),
        4 => Just(Step::Send),
        6 => (index(), prop::bool::weighted(0.15)).prop_map(|(which, again)| Step::Arrive { which, again }),
        1 => index().prop_map(Step::Lose),
        5 => (index(), prop::bool::weighted(0.15)).prop_map(|(which, lost)| Step::Answer { which, lost }),
        1 => Just(Step::NewSession),
        1 => Just(Step::Crash),
        1 => Just(Step::Keep),
    ]
}

fn places(stream: usize, lane: u16, length: usize) -> Vec<(&'static str, u16)> {
    // Every third event of a transaction stands in another stream.
    (0..length).map(|at| (STREAMS[(stream + at / 3) % STREAMS.len()], lane)).collect()
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn whatever_is_lost_doubled_or_comes_late_nothing_comes_too_early(
        steps in proptest::collection::vec(any_step(), 0..80),
        in_order in any::<bool>(),
    ) {
        let truth = Truth::default();
        let (mut from, mut to) = (Site::new(1, &truth), Site::new(2, &truth));
        from.large_events = 8;
        let mut kept = to.clone();
        let mut direction = Direction::new(&from, &to);
        let (mut bundles, mut receipts) = (Vec::new(), Vec::new());
        let pick = |which: prop::sample::Index, len: usize| if in_order { 0 } else { which.index(len) };
        let mut runs = 0;
        for step in steps {
            from.now_ms += 7;
            to.now_ms += 7;
            match step {
                Step::Write { sender, stream, lane, length } => {
                    if sender { &mut from } else { &mut to }.writes(&places(stream, lane, length));
                    direction.sender.news();
                }
                Step::Send => bundles.extend(direction.sends(&from)),
                Step::Arrive { which, again } if !bundles.is_empty() => {
                    let at = pick(which, bundles.len());
                    let bundle = if again { bundles[at].clone() } else { bundles.remove(at) };
                    receipts.push(direction.receives(&mut to, bundle));
                }
                Step::Lose(which) if !bundles.is_empty() => drop(bundles.remove(which.index(bundles.len()))),
                Step::Answer { which, lost } if !receipts.is_empty() => {
                    let receipt = receipts.remove(pick(which, receipts.len()));
                    if !lost {
                        direction.sender.receipt(&receipt, from.now_ms);
                    }
                }
                // What is on its way stays there: it is stale.
                Step::NewSession => direction = Direction::new(&from, &to),
                Step::Keep => kept = to.clone(),
                Step::Crash => {
                    to = Site { now_ms: to.now_ms, ..kept.clone() };
                    runs += 1;
                    to.starts(runs);
                    direction = Direction::new(&from, &to);
                    // What the other has of the lost ones comes from elsewhere.
                    kept = to.clone();
                }
                _ => {}
            }
        }
        Direction::new(&from, &to).flows(&from, &mut to);
        prop_assert!(clock(&from) <= clock(&to));
        // Where each gave what it had in order, nobody was asked to repeat.
        let mut back = Direction::new(&to, &from);
        back.flows(&to, &mut from);
        prop_assert_eq!(clock(&from), clock(&to));
    }
}

/// What happens to a network.
#[derive(Debug, Clone)]
enum Event {
    Write {
        site: usize,
        stream: usize,
        lane: u16,
        length: usize,
    },
    /// A session goes on for so many calls, the last of which has this fate.
    Run {
        link: usize,
        calls: usize,
        fate: Fate,
    },
    Wait(u64),
    /// A site starts anew with all that it held, or as it was when it was last kept.
    Restart {
        site: usize,
        restored: bool,
    },
    Keep(usize),
}

fn any_event() -> impl Strategy<Value = Event> {
    let fate =
        prop_oneof![6 => Just(Fate::Passes), 1 => Just(Fate::Fails), 1 => Just(Fate::Cut), 1 => Just(Fate::CutAfter)];
    prop_oneof![
        5 => (0..4usize, 0..STREAMS.len(), 0..2u16, prop_oneof![6 => 1..4usize, 1 => 6..30usize])
            .prop_map(|(site, stream, lane, length)| Event::Write { site, stream, lane, length }),
        8 => (0..8usize, 0..12usize, fate).prop_map(|(link, calls, fate)| Event::Run { link, calls, fate }),
        2 => (1..400u64).prop_map(Event::Wait),
        1 => (0..4usize, any::<bool>()).prop_map(|(site, restored)| Event::Restart { site, restored }),
        1 => (0..4usize).prop_map(Event::Keep),
    ]
}

/// Pairs of sites that have sessions, so that all are connected.
fn any_topology() -> impl Strategy<Value = Vec<(usize, usize)>> {
    prop_oneof![
        Just(vec![(0, 1), (1, 2), (2, 3)]),
        Just(vec![(1, 0), (2, 1), (3, 2), (3, 0)]),
        Just(vec![(1, 0), (2, 0), (0, 3)]),
        Just(vec![(0, 1), (0, 2), (0, 3), (1, 2), (3, 1), (2, 3)]),
    ]
}

fn tell(links: &mut [Link], site: usize) {
    for link in links.iter_mut().filter(|link| link.ends.0 == site || link.ends.1 == site) {
        link.news();
    }
}

fn run(links: &mut [Link], at: usize, sites: &mut [Site], calls: usize, fate: Fate) -> bool {
    let before: Vec<usize> = sites.iter().map(|site| site.events.len()).collect();
    let mut left = calls;
    let busy = links[at].run(sites, sites[0].now_ms, calls, |_| {
        left -= 1;
        if left == 0 { fate } else { Fate::Passes }
    });
    let changed: Vec<usize> = (0..sites.len()).filter(|at| sites[*at].events.len() != before[*at]).collect();
    changed.iter().for_each(|site| tell(links, *site));
    busy || !changed.is_empty()
}

proptest! {
    #![proptest_config(cases(40))]

    #[test]
    fn a_network_comes_to_hold_the_same_everywhere(
        events in proptest::collection::vec(any_event(), 0..120),
        topology in any_topology(),
    ) {
        let truth = Truth::default();
        let mut sites: Vec<Site> = (1..=4).map(|number| Site::new(number, &truth)).collect();
        sites.iter_mut().for_each(|site| site.large_events = 8);
        let mut kept = sites.clone();
        let mut links: Vec<Link> = topology.iter().map(|(dials, answers)| Link::new(*dials, *answers)).collect();
        let mut runs = 0;
        for event in events {
            match event {
                Event::Write { site, stream, lane, length } => {
                    sites[site].writes(&places(stream, lane, length));
                    tell(&mut links, site);
                }
                Event::Run { link, calls, fate } => {
                    let at = link % links.len();
                    run(&mut links, at, &mut sites, calls, fate);
                }
                Event::Wait(ms) => sites.iter_mut().for_each(|site| site.now_ms += ms),
                Event::Keep(site) => kept[site] = sites[site].clone(),
                Event::Restart { site, restored } => {
                    if restored {
                        sites[site] = Site { now_ms: sites[site].now_ms, ..kept[site].clone() };
                    }
                    runs += 1;
                    sites[site].starts(runs);
                    for link in links.iter_mut().filter(|link| link.ends.0 == site || link.ends.1 == site) {
                        link.cut();
                    }
                }
            }
        }
        links.iter_mut().for_each(Link::news);
        for _ in 0..60 {
            while (0..links.len()).filter(|at| run(&mut links, *at, &mut sites, 1_000, Fate::Passes)).count() > 0 {}
            sites.iter_mut().for_each(|site| site.now_ms += 200);
        }
        for pair in sites.windows(2) {
            prop_assert_eq!(clock(&pair[0]), clock(&pair[1]));
            prop_assert!(pair[0].staged.is_empty());
        }
    }
}
