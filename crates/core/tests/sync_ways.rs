//! By which ways events come to sites, and what follows. Use when `sync/ways.rs` or `sync/routes.rs` changes.

use gundb_core::bundle::{Bundle, From};
use gundb_core::sync::filter::{Filter, Flow, SYSTEM_STREAM};
use gundb_core::sync::message::{Accept, Hello, Outcome, PROTOCOL};
use gundb_core::sync::receiver::{Check, Here, Receiver};
use gundb_core::sync::routes::Routes;
use gundb_core::sync::ways::{WAYS_MAX, Way, Ways, Word};
use gundb_core::{Chain, Clock, Dot, Event, Hlc, Lane, Run, SEQ_MAX, SiteId, StreamId, Transaction};
use uuid::Uuid;

const NAMES: [&str; 3] = ["readings", "configuration", SYSTEM_STREAM];

fn site(number: u128) -> SiteId {
    SiteId(Uuid::from_u128(number))
}

fn filter(patterns: &str) -> Filter {
    Filter::parse(&patterns.split(' ').filter(|pattern| !pattern.is_empty()).collect::<Vec<_>>()).unwrap()
}

fn way(from: u128, pull: &str, accept: Accept) -> Way {
    Way { from: Some(site(from)), flow: Flow { push: Filter::all(), pull: filter(pull) }, accept }
}

fn unmet(pull: &str) -> Way {
    Way { from: None, ..way(0, pull, Accept::Any) }
}

fn ways(words: &[(u128, &[Way])]) -> Ways {
    words.iter().map(|(number, ways)| (site(*number), Word { version: 1, ways: ways.to_vec() })).collect()
}

fn hello(number: u128, pull: &str, accept: Accept, ways: Ways) -> Hello {
    Hello {
        protocol: (PROTOCOL, PROTOCOL),
        software: String::new(),
        site: site(number),
        run: Run::new(1).unwrap(),
        name: String::new(),
        push: Filter::all(),
        pull: filter(pull),
        accept,
        ways,
        clock: Clock::new(),
        bundle_bytes_max: 1 << 20,
        now_ms: 0,
    }
}

fn comes(routes: &Routes, author: u128) -> Vec<&'static str> {
    NAMES.into_iter().filter(|name| routes.comes(site(author), StreamId::of_name(name), true)).collect()
}

const HUB: u128 = 1;

#[test]
fn where_every_way_is_open_everything_goes_everywhere() {
    let known = ways(&[(HUB, &[way(2, "*", Accept::Any), way(3, "*", Accept::Any)]), (2, &[unmet("*")])]);
    let (mine, theirs) =
        (hello(HUB, "*", Accept::Any, known), hello(2, "*", Accept::Any, ways(&[(2, &[way(HUB, "*", Accept::Any)])])));
    assert_eq!(Routes::new(&mine, &theirs, &NAMES), Routes::Open);
}

#[test]
fn of_devices_that_bring_readings_and_take_what_is_configured_none_waits_for_another() {
    let device = |number| {
        hello(number, "configuration", Accept::Any, ways(&[(number, &[way(HUB, "configuration", Accept::Any)])]))
    };
    let of_hub = [way(2, "readings", Accept::Own), way(3, "readings", Accept::Own)];
    let hub = hello(HUB, "readings", Accept::Own, ways(&[(HUB, &of_hub)]));
    let to_device = Routes::new(&hub, &device(2), &NAMES);
    assert_eq!(comes(&to_device, HUB), ["configuration", SYSTEM_STREAM]);
    assert_eq!(comes(&to_device, 3), [SYSTEM_STREAM]);
    assert!(comes(&to_device, 9).is_empty(), "from whom no way leads here, of him nothing comes");
    let to_hub = Routes::new(&device(2), &hub, &NAMES);
    assert_eq!(comes(&to_hub, 3), ["readings", SYSTEM_STREAM]);
    assert!(!to_hub.forwards(site(3)));
}

#[test]
fn who_lacks_a_stream_of_an_author_that_may_come_to_the_receiver_forwards_nothing_of_him() {
    // The author is 4; 2 gets all of it, 1 gets readings, and the receiver 3 takes everything from both.
    let of_one = [way(4, "readings", Accept::Any)];
    let of_two = [way(4, "*", Accept::Any)];
    let of_three = [way(1, "*", Accept::Any), way(2, "*", Accept::Any)];
    let theirs = |of_two: &[Way]| hello(3, "*", Accept::Any, ways(&[(3, &of_three), (2, of_two), (4, &[])]));
    let one = hello(1, "", Accept::Any, ways(&[(1, &of_one), (4, &[])]));
    let two = hello(2, "*", Accept::Any, ways(&[(2, &of_two), (4, &[])]));
    assert!(!Routes::new(&one, &theirs(&of_two), &NAMES).forwards(site(4)));
    assert!(Routes::new(&two, &theirs(&of_two), &NAMES).forwards(site(4)));
    assert_eq!(comes(&Routes::new(&one, &theirs(&of_two), &NAMES), 4), NAMES);
    // Where 2 gets no more than 1 does, either brings it.
    let less = [way(4, "readings", Accept::Any)];
    assert!(Routes::new(&one, &theirs(&less), &NAMES).forwards(site(4)));
    assert_eq!(comes(&Routes::new(&one, &theirs(&less), &NAMES), 4), ["readings", SYSTEM_STREAM]);
    // What is not known may be anything.
    let unknown = hello(3, "*", Accept::Any, ways(&[(3, &of_three)]));
    assert!(!Routes::new(&one, &unknown, &NAMES).forwards(site(4)));
    assert_eq!(comes(&Routes::new(&one, &unknown, &NAMES), 4), NAMES);
    assert_eq!(comes(&Routes::new(&one, &unknown, &NAMES), 9), NAMES);
}

#[test]
fn the_later_word_of_a_site_counts_and_its_own_is_said_anew_where_it_was_lost() {
    let mut known = Ways::default();
    assert!(known.say(site(1), vec![way(2, "*", Accept::Any)]) && !known.say(site(1), vec![way(2, "*", Accept::Any)]));
    let later = ways(&[(2, &[unmet("readings")]), (1, &[])]);
    assert!(known.learn(&later, site(1), Accept::Any));
    assert!(!known.learn(&later, site(1), Accept::Any));
    let word = |ways: &Ways, number| ways.iter().find(|(of, _)| *of == site(number)).unwrap().1.clone();
    // As after its disk was put back: others know of a later word.
    let told: Ways = [(site(1), Word { version: 7, ways: vec![] })].into_iter().collect();
    known.learn(&told, site(1), Accept::Any);
    known.say(site(1), vec![way(2, "*", Accept::Any)]);
    assert_eq!(word(&known, 1), Word { version: 8, ways: vec![way(2, "*", Accept::Any)] });
    // A peer that claims what was never said.
    let last: Ways = [(site(1), Word { version: SEQ_MAX, ways: vec![] })].into_iter().collect();
    known.learn(&last, site(1), Accept::Own);
    known.say(site(1), vec![way(2, "readings", Accept::Any)]);
    assert_eq!(word(&known, 1).version, 9);
}

#[test]
fn who_may_bring_only_its_own_says_nothing_of_others_and_what_leads_nowhere_is_forgotten() {
    let mut known = Ways::default();
    known.say(site(1), vec![way(2, "*", Accept::Own), way(3, "*", Accept::Any)]);
    known.learn(&ways(&[(2, &[]), (3, &[])]), site(1), Accept::Own);
    assert!(!known.knows(site(2)) && !known.knows(site(3)));
    known.learn(&ways(&[(3, &[way(4, "*", Accept::Any)]), (4, &[]), (5, &[])]), site(1), Accept::Any);
    assert!(known.knows(site(3)) && known.knows(site(4)) && !known.knows(site(5)));
    known.say(site(1), vec![way(2, "*", Accept::Own)]);
    known.learn(&Ways::default(), site(1), Accept::Own);
    assert!(!known.knows(site(3)) && !known.knows(site(4)));
}

#[test]
fn no_more_is_told_than_can_be_read() {
    let mut known = Ways::default();
    known.say(site(1), vec![way(2, "*", Accept::Any)]);
    let crowd: Vec<Way> = (10..10 + WAYS_MAX as u128 - 100).map(|number| way(number, "*", Accept::Any)).collect();
    let told = ways(&[(2, &crowd), (10, &crowd), (11, &[])]);
    known.learn(&told, site(1), Accept::Any);
    assert!(known.knows(site(2)) && !known.knows(site(10)));
    assert!(known.iter().map(|(_, word)| 1 + word.ways.len()).sum::<usize>() <= WAYS_MAX);
}

/// A site that knows of no stream, as where what tells of them waits.
struct Ignorant;

impl Here for Ignorant {
    fn clock(&self) -> Clock {
        Clock::new()
    }

    fn stream_name(&self, _: StreamId) -> Option<String> {
        None
    }
}

#[test]
fn of_a_stream_that_is_not_known_a_cause_is_waited_for_where_the_effect_is_of_that_stream() {
    let (mine, theirs) = (
        hello(HUB, "readings", Accept::Any, ways(&[(HUB, &[way(2, "readings", Accept::Any), unmet("*")])])),
        hello(2, "readings", Accept::Any, Ways::default()),
    );
    let first = |site, stream| Dot::new(site, StreamId::of_name(stream), Lane::new(theirs.run, 0), 1).unwrap();
    let beside: Clock = [first(site(3), "readings")].into_iter().collect();
    let check = |stream| {
        let dot = first(theirs.site, stream);
        let event = Event {
            dot,
            hlc: Hlc::MIN,
            xact: Hlc::MIN,
            epoch: 0,
            id: Uuid::nil(),
            kind: "Read".into(),
            key: None,
            data: "{}".into(),
            meta: "{}".into(),
            salt: [0; 16],
            chain: Chain::genesis(dot.site, dot.stream, dot.lane),
        };
        let bundle = Bundle {
            site: theirs.site,
            run: theirs.run,
            number: 1,
            from: From::Session { digest: Clock::new().digest(), beside: beside.clone() },
            epochs: vec![],
            transactions: vec![Transaction::new(event.transaction(), vec![event])],
            part: None,
        };
        Receiver::new(&mine, &theirs, &[SYSTEM_STREAM]).check(bundle, &Ignorant)
    };
    let early = |check| match check {
        Check::Answer(receipt) => receipt.outcome == Outcome::Early(beside.clone()),
        _ => false,
    };
    assert!(early(check("readings")));
    assert!(matches!(check("configuration"), Check::Apply(_)));
}
