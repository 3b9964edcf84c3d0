//! What more than two sites are to each other: what comes from others, and what is not sent since others send it. Use when anything in `sync` changes.

mod sites;
mod strategies;

use gundb_core::sync::filter::Filter;
use gundb_core::sync::message::Accept;
use gundb_core::sync::scope::Scope;
use gundb_core::*;
use sites::link::{Link, passes, settle};
use sites::{Site, all_streams, clock, set_time, some, two};

#[test]
fn what_the_receiver_gets_from_others_it_must_have_before_what_depends_on_it() {
    let mut sites = some(3);
    // The last takes from each of the others what they wrote themselves.
    sites[2].accept = Accept::Own;
    let cause = sites[0].writes(&[("s", 0)]);
    settle(&mut Link::new(0, 1), &mut sites);
    let effect = sites[1].writes(&[("t", 0)]);
    for dials in [true, false] {
        let mut late = if dials { Link::new(1, 2) } else { Link::new(2, 1) };
        let mut there = sites.clone();
        late.news();
        let now = there[0].now_ms;
        late.run(&mut there, now, usize::MAX, passes);
        assert!(!there[2].holds(&effect[0]) && !there[2].holds(&cause[0]));
        // It asks from time to time, without sending all of it each time.
        for step in 1..10 {
            set_time(&mut there, now + 500 * step);
            late.run(&mut there, now + 500 * step, usize::MAX, passes);
        }
        let sent = late.events.0.max(late.events.1);
        assert_eq!(sent, 1, "sent again though nothing has changed");
        settle(&mut Link::new(0, 2), &mut there);
        settle(&mut late, &mut there);
        assert!(there[2].holds(&cause[0]) && there[2].holds(&effect[0]));
    }
}

#[test]
fn who_is_asked_to_come_again_does_though_it_was_asked_before() {
    let mut sites = some(3);
    sites[2].accept = Accept::Own;
    sites[0].writes(&[("s", 0)]);
    settle(&mut Link::new(0, 1), &mut sites);
    let effect = sites[1].writes(&[("t", 0)]);
    let mut late = Link::new(2, 1);
    let begun = sites[0].now_ms;
    for millis in [0, 990, 1_000, 1_010] {
        set_time(&mut sites, begun + millis);
        if millis == 990 {
            // It is asked anew just before it was to come.
            late.news();
        }
        late.run(&mut sites, begun + millis, usize::MAX, passes);
    }
    assert!(!sites[2].holds(&effect[0]));
    settle(&mut Link::new(0, 2), &mut sites);
    for _ in 0..10 {
        let now = sites[0].now_ms + 500;
        set_time(&mut sites, now);
        late.run(&mut sites, now, usize::MAX, passes);
    }
    assert!(sites[2].holds(&effect[0]));
}

#[test]
fn one_that_lacks_a_stream_which_the_receiver_takes_forwards_nothing() {
    let mut sites = two();
    let foreign = LaneKey { site: sites[1].id, stream: StreamId::of_name("s"), lane: Lane::new(sites[1].run, 0) };
    let own = LaneKey { site: sites[0].id, ..foreign };
    let third = LaneKey { site: SiteId(uuid::Uuid::from_u128(9)), ..foreign };
    let scope = |sites: &[Site]| Scope::new(&sites[0].hello(), &sites[1].hello(), &all_streams());
    let all = scope(&sites);
    assert!(all.ships("s", &own) && all.ships("s", &third) && !all.ships("s", &foreign), "its run is the receiver's");
    sites[0].filter = Filter::parse(&["s"]).unwrap();
    let some = scope(&sites);
    assert!(some.ships("s", &own) && !some.ships("s", &third) && some.beside("s", &third));
    sites[1].filter = Filter::parse(&["s"]).unwrap();
    let both = scope(&sites);
    let other = LaneKey { stream: StreamId::of_name("t"), ..own };
    assert!(both.ships("s", &third) && !both.ships("t", &other) && !both.beside("t", &other));
}

#[test]
fn what_a_site_has_lost_comes_back_also_from_one_that_forwards_nothing() {
    let mut sites = two();
    let lane =
        |site, stream| LaneKey { site, stream: StreamId::of_name(stream), lane: Lane::new(Run::new(99).unwrap(), 0) };
    let (lost, third) = (lane(sites[1].id, "s"), lane(SiteId(uuid::Uuid::from_u128(9)), "s"));
    sites[0].filter = Filter::parse(&["s"]).unwrap();
    let scope = |theirs: &Site| Scope::new(&sites[0].hello(), &theirs.hello(), &all_streams());
    let returns = scope(&sites[1]);
    assert!(returns.ships("s", &lost) && !returns.ships("s", &third));
    // A stream that it does not take, as one that it has dropped, would wait there for ever.
    let takes_less = Site { filter: Filter::parse(&["t"]).unwrap(), ..sites[1].clone() };
    assert!(!scope(&takes_less).ships("s", &lost) && !scope(&takes_less).beside("s", &lost));
    let trusting_less = Site { accept: Accept::Own, ..sites[1].clone() };
    let own = scope(&trusting_less);
    assert!(!own.ships("s", &lost) && !own.beside("s", &lost), "nobody waits for what a site may never get back");
}

#[test]
fn in_a_mesh_of_three_each_event_goes_to_each_site_about_once() {
    let mut sites = some(3);
    let mut links = vec![Link::new(0, 1), Link::new(0, 2), Link::new(1, 2)];
    const ROUNDS: usize = 60;
    for round in 0..ROUNDS {
        writes(&mut links, &mut sites, round % 3);
        step(&mut links, &mut sites, 20);
    }
    (0..100).for_each(|_| step(&mut links, &mut sites, 20));
    assert!(sites.windows(2).all(|pair| clock(&pair[0]) == clock(&pair[1])));
    let events: usize = links.iter().map(|link| link.events.0 + link.events.1).sum();
    println!("{events} events for {}", 2 * ROUNDS);
    assert!(events <= 2 * ROUNDS * 13 / 10, "{events} events were sent where {} suffice", 2 * ROUNDS);
    // One of them no longer hears of another but through the third.
    links.remove(0);
    writes(&mut links, &mut sites, 0);
    (0..30).for_each(|_| step(&mut links, &mut sites, 20));
    assert_eq!(clock(&sites[0]), clock(&sites[1]), "what is held back goes when nobody else brings it");
}

fn writes(links: &mut [Link], sites: &mut [Site], at: usize) {
    sites[at].writes(&[("s", 0)]);
    tell(links, |end| end == at);
}

/// Who has something new tells those who listen.
fn tell(links: &mut [Link], has_news: impl Fn(usize) -> bool) {
    for link in links {
        if has_news(link.ends.0) {
            link.dialler.news_here();
        }
        if has_news(link.ends.1) {
            link.dialler.news_there();
        }
    }
}

fn step(links: &mut [Link], sites: &mut [Site], millis: u64) {
    let now = sites[0].now_ms + millis;
    set_time(sites, now);
    loop {
        let before: Vec<Clock> = sites.iter().map(clock).collect();
        let mut busy = false;
        for link in links.iter_mut() {
            busy |= link.run(sites, now, usize::MAX, passes);
        }
        let changed: Vec<bool> = sites.iter().zip(before).map(|(site, before)| clock(site) != before).collect();
        tell(links, |end| changed[end]);
        if !busy && !changed.contains(&true) {
            return;
        }
    }
}
