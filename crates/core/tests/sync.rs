//! Two and three sites that speak to each other, step by step. Use when anything in `sync` changes; the simulator has whole networks.

mod sites;
mod strategies;

use gundb_core::apply::Problem;
use gundb_core::bundle::From;
use gundb_core::sync::dialler::RETRY_MS;
use gundb_core::sync::filter::Filter;
use gundb_core::sync::message::{Accept, Mismatch, Outcome};
use gundb_core::sync::sender::{Sender, Turn};
use gundb_core::*;
use sites::link::{Direction, Fate, Link, passes, settle};
use sites::{Site, clock, set_time, some, two};

#[test]
fn a_session_brings_both_sites_to_hold_what_either_holds_and_then_is_quiet() {
    let mut sites = two();
    for n in 0..20 {
        sites[0].writes(&[("s", n % 3), ("t", 0)]);
        sites[1].writes(&[("s", 0)]);
    }
    let mut link = Link::new(0, 1);
    settle(&mut link, &mut sites);
    assert_eq!(clock(&sites[0]), clock(&sites[1]));
    assert_eq!(link.events, (40, 20), "each event goes once, one way");
    // It goes on, and what one wrote after it saw the other's comes with its context.
    for _ in 0..10 {
        sites[0].writes(&[("s", 0)]);
        settle(&mut link, &mut sites);
        sites[1].writes(&[("u", 0)]);
        settle(&mut link, &mut sites);
    }
    assert_eq!(clock(&sites[0]), clock(&sites[1]));
    assert_eq!(link.events, (50, 30));
    assert_eq!(sites[0].epochs, sites[1].epochs);
    let calls = link.calls_made;
    let now = sites[0].now_ms;
    assert!(!link.run(&mut sites, now + RETRY_MS, usize::MAX, passes) && link.calls_made == calls, "idle says nothing");
}

#[test]
fn a_lost_bundle_is_noticed_before_anything_after_it_is_taken_and_is_sent_again() {
    let mut sites = two();
    (0..20).for_each(|_| drop(sites[0].writes(&[("s", 0)])));
    let mut direction = Direction::new(&sites[0], &sites[1]);
    let mut bundles = direction.sends(&sites[0]);
    assert_eq!(bundles.len(), 4);
    bundles.remove(1);
    let [from, to] = &mut sites[..] else { unreachable!() };
    let receipts: Vec<_> = bundles.into_iter().map(|bundle| direction.receives(to, bundle)).collect();
    assert_eq!(receipts[0].outcome, Outcome::Taken);
    assert_eq!(receipts[1].outcome, Outcome::Again(clock(to)));
    assert_eq!(to.events.len(), 5);
    receipts.iter().for_each(|receipt| direction.sender.receipt(receipt, 0));
    let again = direction.flows(from, to);
    assert!(again.iter().all(|receipt| receipt.outcome == Outcome::Taken), "it began anew once: {again:?}");
    assert_eq!(clock(from), clock(to));
}

#[test]
fn duplicated_reordered_and_stale_bundles_are_noticed() {
    let mut sites = two();
    (0..30).for_each(|_| drop(sites[0].writes(&[("s", 0)])));
    let [from, to] = &mut sites[..] else { unreachable!() };
    let mut earlier = Direction::new(from, to);
    let stale = earlier.sends(from);
    let mut direction = Direction::new(from, to);
    let bundles = direction.sends(from);
    let order = [0, 0, 2, 1, 3, 2];
    let receipts = order.map(|at| direction.receives(to, bundles[at].clone()));
    let taken = receipts.iter().map(|receipt| receipt.outcome == Outcome::Taken).collect::<Vec<_>>();
    assert_eq!(taken, [true, false, false, true, false, true], "those that follow what has come, and no other");
    for bundle in &stale[..3] {
        assert!(matches!(direction.receives(to, bundle.clone()).outcome, Outcome::Again(_)));
    }
    receipts.iter().for_each(|receipt| direction.sender.receipt(receipt, 0));
    direction.flows(from, to);
    assert_eq!(clock(from), clock(to));
}

#[test]
fn what_was_read_before_something_had_to_be_sent_again_is_dropped() {
    let mut sites = two();
    (0..30).for_each(|_| drop(sites[0].writes(&[("s", 0)])));
    let [from, to] = &mut sites[..] else { unreachable!() };
    let mut direction = Direction::new(from, to);
    let read = |sender: &mut Sender| match sender.turn(0) {
        Some(Turn::Read(query)) => query,
        other => panic!("{other:?}"),
    };
    let query = read(&mut direction.sender);
    direction.sender.page(from.read(&query), 0);
    // The first is lost, the second is answered while the third is being read.
    let query = read(&mut direction.sender);
    let second = direction.sender.page(from.read(&query), 0).unwrap();
    let query = read(&mut direction.sender);
    let receipt = direction.receives(to, second);
    direction.sender.receipt(&receipt, 0);
    assert_eq!(direction.sender.page(from.read(&query), 0), None);
    assert!(direction.flows(from, to).iter().all(|receipt| receipt.outcome == Outcome::Taken));
    assert_eq!(clock(from), clock(to));
}

#[test]
fn a_new_session_starts_from_what_the_receiver_really_holds() {
    let mut sites = two();
    (0..30).for_each(|_| drop(sites[0].writes(&[("s", 0)])));
    let [from, to] = &mut sites[..] else { unreachable!() };
    let mut direction = Direction::new(from, to);
    let bundles = direction.sends(from);
    // Two came, no receipt went back, and the receiver lost the second in a crash.
    direction.receives(to, bundles[0].clone());
    let kept = to.clone();
    direction.receives(to, bundles[1].clone());
    *to = kept;
    Direction::new(from, to).flows(from, to);
    assert_eq!(clock(from), clock(to));
}

#[test]
fn a_refused_event_keeps_back_what_depends_on_it_and_nothing_else() {
    let mut sites = some(4);
    sites[2].filter = Filter::default();
    let good = sites[2].writes(&[("s", 0)]);
    let bad = sites[0].writes_kind(&[("s", 0), ("t", 0)], "a type that is too long there");
    let same_run = sites[0].writes(&[("u", 1)]);
    let before = sites[1].writes(&[("u", 0)]);
    let mut link = Link::new(0, 1);
    settle(&mut link, &mut sites);
    settle(&mut Link::new(2, 1), &mut sites);
    let after = sites[1].writes(&[("u", 0), ("s", 0)]);
    let still = sites[2].writes(&[("u", 0)]);
    sites[3].bounds.kind_bytes_max = 20;
    let mut link = Link::new(1, 3);
    settle(&mut link, &mut sites);
    let held = |site: &Site, dots: &[Dot]| dots.iter().all(|dot| site.holds(dot));
    let none = |site: &Site, dots: &[Dot]| !dots.iter().any(|dot| site.holds(dot));
    assert!(held(&sites[3], &good) && held(&sites[3], &before) && none(&sites[3], &bad));
    assert!(none(&sites[3], &same_run), "its author had seen the bad one");
    assert!(none(&sites[3], &after), "its author had seen the bad one, as its epoch says");
    // Later ones in the session too, though other streams carry them; others flow.
    let later = sites[1].writes(&[("t", 1)]);
    settle(&mut Link::new(2, 1), &mut sites);
    settle(&mut link, &mut sites);
    assert!(none(&sites[3], &later) && held(&sites[3], &still));
    // When the reason has passed, all of it comes.
    sites[3].bounds.kind_bytes_max = 255;
    let at = sites[0].now_ms + RETRY_MS;
    set_time(&mut sites, at);
    settle(&mut link, &mut sites);
    assert_eq!(clock(&sites[3]), clock(&sites[1]));
}

#[test]
fn what_is_too_far_ahead_in_time_waits_and_so_does_what_depends_on_it() {
    let mut sites = some(3);
    sites[0].now_ms += 900_000;
    let ahead = sites[0].writes(&[("s", 0)]);
    sites[0].now_ms -= 900_000;
    settle(&mut Link::new(0, 1), &mut sites);
    let behind = sites[1].writes(&[("t", 0)]);
    let mut link = Link::new(1, 2);
    sites[2].bounds.stamp_max = Hlc::new(sites[2].now_ms, 0).unwrap();
    settle(&mut link, &mut sites);
    assert_eq!((sites[2].events.len(), sites[2].staged.len()), (0, 2));
    assert_eq!(link.events, (2, 0), "what waits is not sent again");
    let [first, ..] = &sites[2].staged[..] else { unreachable!() };
    assert_eq!(first.events[0].dot, ahead[0]);
    sites[2].bounds.stamp_max = Hlc::MAX;
    sites[1].writes(&[("t", 0)]);
    settle(&mut link, &mut sites);
    assert!(sites[2].holds(&ahead[0]) && sites[2].holds(&behind[0]) && sites[2].events.len() == 3);
}

#[test]
fn a_large_transaction_comes_in_parts_and_is_seen_at_once() {
    let mut sites = two();
    sites[0].large_events = 8;
    sites[0].writes(&[("s", 0)]);
    sites[0].writes(&[("s", 0), ("t", 0)].repeat(11));
    sites[0].writes(&[("t", 0)]);
    let [from, to] = &mut sites[..] else { unreachable!() };
    let mut direction = Direction::new(from, to);
    let bundles = direction.sends(from);
    let parts: Vec<_> = bundles.iter().map(|bundle| bundle.part.map(|part| (part.index, part.is_last))).collect();
    let last = (4, true);
    assert_eq!(parts[1..6], [(0, false), (1, false), (2, false), (3, false), last].map(Some));
    // The third part is lost: neither the last one nor what follows is taken.
    let mut receipts = Vec::new();
    for bundle in bundles.into_iter().enumerate().filter(|(at, _)| *at != 3).map(|(_, bundle)| bundle) {
        receipts.push(direction.receives(to, bundle));
        assert_eq!(to.events.len(), 1);
    }
    receipts.iter().for_each(|receipt| direction.sender.receipt(receipt, 0));
    direction.flows(from, to);
    assert_eq!(clock(from), clock(to));
    // Through a session, either way.
    from.writes(&[("u", 3), ("t", 0)].repeat(20));
    to.large_events = 8;
    to.writes(&[("u", 1)].repeat(12));
    settle(&mut Link::new(0, 1), &mut sites);
    assert_eq!(clock(&sites[0]), clock(&sites[1]));
}

#[test]
fn a_site_gets_its_own_lost_events_back_and_goes_on_in_another_run() {
    let mut sites = two();
    sites[0].writes(&[("s", 0)]);
    let backup = sites[0].clone();
    let lost = sites[0].writes(&[("s", 0), ("t", 0)]);
    let mut link = Link::new(0, 1);
    settle(&mut link, &mut sites);
    sites[1].writes(&[("s", 0)]);
    let now = sites[0].now_ms;
    sites[0] = backup;
    set_time(&mut sites, now);
    sites[0].starts(1);
    let new = sites[0].writes(&[("s", 0)]);
    link.cut();
    settle(&mut link, &mut sites);
    assert!(lost.iter().all(|dot| sites[0].holds(dot)) && sites[1].holds(&new[0]));
    assert_eq!(clock(&sites[0]), clock(&sites[1]));
}

#[test]
fn two_live_copies_of_a_site_are_two_writers() {
    let mut sites = two();
    sites[0].writes(&[("s", 0)]);
    sites[1] = sites[0].clone();
    assert!(matches!(sites[0].hello().agree(&sites[1].hello()), Err(Mismatch::Itself { .. })));
    sites[1].starts(1);
    assert!(sites[0].hello().is_copy(&sites[1].hello()));
    sites[0].writes(&[("s", 0)]);
    sites[1].writes(&[("s", 0)]);
    settle(&mut Link::new(0, 1), &mut sites);
    assert_eq!(clock(&sites[0]), clock(&sites[1]));
    assert_eq!(sites[0].events.len(), 3);
}

#[test]
fn what_a_peer_may_not_bring_is_refused_whatever_it_believes() {
    let mut sites = some(3);
    sites[0].writes(&[("s", 0)]);
    settle(&mut Link::new(0, 1), &mut sites);
    let own = sites[1].writes(&[("t", 1)]);
    let [_, from, to] = &mut sites[..] else { unreachable!() };
    let mut direction = Direction::new(from, to);
    // The receiver's word has changed since its hello.
    to.accept = Accept::Own;
    direction.receiver = Direction::new(from, to).receiver;
    let receipts = direction.flows(from, to);
    let reason = &receipts[0].refusals[0].reason;
    assert!(reason.contains("wrote itself"), "{reason}");
    assert!(!to.holds(&own[0]) && to.events.is_empty(), "it depends on what was refused");
}

#[test]
fn a_call_that_fails_begins_a_new_session() {
    let mut sites = two();
    (0..40).for_each(|_| drop((sites[0].writes(&[("s", 0)]), sites[1].writes(&[("t", 0)]))));
    let mut link = Link::new(0, 1);
    let mut count = 0;
    for _ in 0..40 {
        let now = sites[0].now_ms + 1_000;
        set_time(&mut sites, now);
        link.run(&mut sites, now, usize::MAX, |_| {
            count += 1;
            match count % 7 {
                3 => Fate::Fails,
                4 => Fate::CutAfter,
                _ => Fate::Passes,
            }
        });
    }
    settle(&mut link, &mut sites);
    assert_eq!(clock(&sites[0]), clock(&sites[1]));
}

#[test]
fn a_bundle_says_what_it_follows_and_epochs_are_told_as_what_they_add() {
    let mut sites = two();
    let mut link = Link::new(0, 1);
    (0..40).for_each(|n| drop(sites[1].writes(&[("s", n)])));
    settle(&mut link, &mut sites);
    sites[0].writes(&[("s", 0)]);
    let [from, to] = &mut sites[..] else { unreachable!() };
    let mut direction = Direction::new(from, to);
    let whole = direction.sends(from).remove(0);
    assert_eq!(whole.from, From::Session { digest: clock(to).digest(), beside: Clock::new() });
    assert!(whole.epochs.iter().all(|part| part.base.is_none()));
    direction.receives(to, whole);
    let seen = to.writes(&[("s", 0)]);
    Direction::new(to, from).flows(to, from);
    from.writes(&[("s", 0)]);
    direction.sender.news();
    let differs = direction.sends(from).remove(0);
    assert_eq!(differs.epochs.len(), 1);
    assert!(differs.epochs[0].base.is_some() && differs.epochs[0].clock == seen.into_iter().collect());
    direction.receives(to, differs.clone());
    let epoch = differs.epochs[0].epoch;
    assert_eq!(from.epochs[&epoch], to.epochs[&epoch]);
}

#[test]
fn versions_that_do_not_meet_are_named() {
    let sites = two();
    let (mine, theirs) = (sites[0].hello(), sites[1].hello());
    let newer = message(&theirs, (2, 3));
    let mismatch = mine.agree(&newer).unwrap_err().to_string();
    assert!(mismatch.contains("versions 1 to 1") && mismatch.contains("versions 2 to 3"), "{mismatch}");
    assert_eq!(message(&mine, (1, 4)).agree(&newer), Ok(3));
    assert!(Problem::Cause.is_gap());
}

fn message(hello: &gundb_core::sync::message::Hello, protocol: (u32, u32)) -> gundb_core::sync::message::Hello {
    gundb_core::sync::message::Hello { protocol, ..hello.clone() }
}
