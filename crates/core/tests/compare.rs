//! Comparing two sites: what is found is what looking at every event finds, in few questions.

use std::collections::BTreeMap;

use gundb_core::bundle::{
    WireError, WireLimits, decode_answer, decode_question, encode_answer, encode_question, inspect,
};
use gundb_core::compare::{Answer, Comparison, HeldDigest, Inventory, Outcome, Question, Report, ViewDefinition};
use gundb_core::{Chain, Clock, Dot, Lane, Run, SiteId, StreamId, digest};
use proptest::prelude::*;
use uuid::Uuid;

type Place = (SiteId, StreamId, Lane);

/// A site: the chain of each event of each lane; None where a row has gone.
#[derive(Clone, Debug, Default)]
struct Site {
    lanes: BTreeMap<Place, Vec<Option<Chain>>>,
    streams: BTreeMap<String, bool>,
    views: BTreeMap<String, ViewDefinition>,
}

impl Site {
    fn stream(mut self, name: &str) -> Site {
        self.streams.insert(name.to_owned(), true);
        self
    }

    /// Appends events that say this to a lane.
    fn write(&mut self, stream: &str, lane: u16, said: impl IntoIterator<Item = u8>) {
        let lane = Lane::new(Run::new(7).unwrap(), lane);
        let place = (SiteId(Uuid::from_u128(u128::from(lane.number() % 3))), StreamId::of_name(stream), lane);
        let chains = self.lanes.entry(place).or_default();
        for word in said {
            let before = chains.last().copied().flatten().map_or(0, |chain| u128::from_be_bytes(chain.0));
            let next = before.wrapping_mul(0x2545_f491_4f6c_dd1d_9e37_79b9).wrapping_add(u128::from(word) + 1);
            chains.push(Some(Chain(next.to_be_bytes())));
        }
    }

    fn inventory(&self) -> Inventory {
        let heads = self.lanes.iter().filter_map(|(place, chains)| dot(place, chains.len() as u64));
        Inventory { clock: heads.collect(), streams: self.streams.clone(), views: self.views.clone() }
    }

    fn digest(&self, clock: &Clock) -> HeldDigest {
        let chain = |dot: &Dot| {
            let chains = self.lanes.get(&(dot.site, dot.stream, dot.lane))?;
            chains.get(dot.seq as usize - 1).copied().flatten()
        };
        Some(digest(clock.iter().map(|dot| Some((dot, chain(&dot)?))).collect::<Option<Vec<_>>>()?))
    }
}

fn dot(&(site, stream, lane): &Place, seq: u64) -> Option<Dot> {
    Dot::new(site, stream, lane, seq)
}

/// Compares as two sites do: what is asked and answered goes as bytes. Says how many questions there were.
fn compare(here: &Site, there: &Site) -> (Report, usize) {
    let limits = WireLimits::default();
    let answer = |question: &Question| {
        let question = decode_question(&encode_question(question), &limits).unwrap();
        let answer = match question {
            Question::Inventory => Answer::Inventory(there.inventory()),
            Question::Digests(clocks) => Answer::Digests(clocks.iter().map(|clock| there.digest(clock)).collect()),
        };
        decode_answer(&encode_answer(&answer), &limits).unwrap()
    };
    let Answer::Inventory(theirs) = answer(&Question::Inventory) else { panic!("no inventory") };
    let (mut comparison, mut questions) = (Comparison::new(here.inventory(), theirs), 1);
    while let Some(clocks) = comparison.wanted() {
        let mine = clocks.iter().map(|clock| here.digest(clock)).collect::<Vec<_>>();
        let Answer::Digests(theirs) = answer(&Question::Digests(clocks)) else { panic!("no digests") };
        comparison.answered(&mine, &theirs).unwrap();
        questions += 1;
        assert!(questions < 100, "it does not end");
    }
    (comparison.report(), questions)
}

/// The first dot, by site and lane, that both say they hold and that is not the same.
fn first_difference(here: &Site, there: &Site, stream: &str) -> Option<Dot> {
    here.lanes.iter().filter(|((_, of, _), _)| *of == StreamId::of_name(stream)).find_map(|(place, mine)| {
        let theirs = there.lanes.get(place)?;
        let common = mine.len().min(theirs.len());
        // A row that has gone is noticed where a digest asks for it, which is what `compare` promises of the last one alone.
        let differs = (0..common).find(|at| mine.get(*at) != theirs.get(*at))?;
        dot(place, differs as u64 + 1)
    })
}

#[test]
fn what_is_on_its_way_is_no_difference() {
    let mut here = Site::default().stream("moves");
    here.write("moves", 0, [1, 2, 3]);
    let mut there = here.clone();
    here.write("moves", 0, [4]);
    here.write("moves", 1, [5, 6]);
    there.write("moves", 2, [7]);
    let (report, questions) = compare(&here, &there);
    let stream = &report.streams["moves"];
    assert_eq!((stream.outcome, stream.common, stream.beyond, questions), (Outcome::Equal, 3, (3, 1), 2));
    assert_eq!(stream.first_beyond.0.map(|dot| dot.seq), Some(4));
    assert_eq!(stream.first_beyond.1.map(|dot| (dot.lane.number(), dot.seq)), Some((2, 1)));
    assert_eq!(stream.digests.0, stream.digests.1);
    assert_eq!(stream.digests.0, here.digest(&here.inventory().clock.meet(&there.inventory().clock)));
}

#[test]
fn streams_and_views_of_one_side_are_named() {
    let (mut here, mut there) = (Site::default().stream("a").stream("hidden"), Site::default().stream("a").stream("c"));
    here = here.stream("b");
    there.streams.insert("hidden".to_owned(), false);
    let view = |digest: u8| ViewDefinition { stream: "a".to_owned(), digest: [digest; 16] };
    here.views = [("same", 1), ("other", 2), ("mine", 3)].map(|(name, digest)| (name.to_owned(), view(digest))).into();
    there.views =
        [("same", 1), ("other", 9), ("theirs", 3)].map(|(name, digest)| (name.to_owned(), view(digest))).into();
    let (report, _) = compare(&here, &there);
    let streams =
        report.streams.iter().map(|(name, stream)| (name.as_str(), stream.outcome.name())).collect::<Vec<_>>();
    assert_eq!(streams, [("a", "equal"), ("b", "only here"), ("c", "only there"), ("hidden", "not exchanged")]);
    let views = report.views.iter().map(|(name, view)| (name.as_str(), view.outcome.name())).collect::<Vec<_>>();
    assert_eq!(views, [("mine", "only here"), ("other", "differs"), ("same", "equal"), ("theirs", "only there")]);
    assert_eq!(report.to_json().as_array().map(Vec::len), Some(8));
}

#[test]
fn a_row_that_has_gone_is_named_and_on_which_side() {
    let mut here = Site::default().stream("moves");
    here.write("moves", 0, 0..100);
    let mut there = here.clone();
    let gone = |site: &mut Site| *site.lanes.values_mut().next().unwrap().last_mut().unwrap() = None;
    gone(&mut there);
    let stream = &compare(&here, &there).0.streams["moves"];
    assert_eq!(stream.differs_at.map(|dot| dot.seq), Some(100));
    assert!(stream.detail.unwrap().contains("not there"));
    let stream = &compare(&there, &here).0.streams["moves"];
    assert!(stream.detail.unwrap().contains("not here"));
}

#[test]
fn the_first_event_of_a_fork_is_found_in_few_questions() {
    let (mut here, mut there) = (Site::default(), Site::default());
    for stream in 0..20 {
        let name = format!("s{stream}");
        (here, there) = (here.stream(&name), there.stream(&name));
        for lane in 0..300 {
            here.write(&name, lane, (0..100).map(|n| n as u8));
            there.write(&name, lane, (0..100).map(|n| if stream == 7 && lane > 150 && n > 77 { 200 } else { n as u8 }));
        }
    }
    let (report, questions) = compare(&here, &there);
    let differing = report.streams.iter().filter(|(_, stream)| stream.outcome != Outcome::Equal);
    let differing = differing.map(|(name, stream)| (name.as_str(), stream.differs_at)).collect::<Vec<_>>();
    assert_eq!(differing, [("s7", first_difference(&here, &there, "s7"))]);
    assert!(questions <= 8, "{questions} questions");
}

#[test]
fn bytes_that_are_no_question_or_answer_are_refused() {
    let limits = WireLimits::default();
    let question = encode_question(&Question::Inventory);
    assert_eq!(decode_question(&question, &limits).unwrap(), Question::Inventory);
    assert!(matches!(decode_answer(&question, &limits), Err(WireError::Kind { .. })));
    let mut site = Site::default().stream("moves");
    site.write("moves", 0, 0..10);
    let answer = encode_answer(&Answer::Inventory(site.inventory()));
    assert!(inspect(&answer, &limits).unwrap().get("streams").is_some());
    for at in 0..answer.len() {
        assert!(decode_answer(&answer[..at], &limits).is_err());
        let mut flipped = answer.clone();
        flipped[at] ^= 1;
        assert!(decode_answer(&flipped, &limits).is_err());
    }
    let few = WireLimits { entries_max: 0, clock_entries_max: 3, ..limits };
    let clocks = vec![site.inventory().clock; 4];
    assert!(matches!(
        decode_question(&encode_question(&Question::Digests(clocks)), &few),
        Err(WireError::TooMany { .. })
    ));
    let mut comparison = Comparison::new(site.inventory(), site.inventory());
    assert!(comparison.wanted().is_some());
    assert!(comparison.answered(&[], &[]).is_err());
}

proptest! {
    #[test]
    fn what_is_found_is_what_looking_at_every_event_finds(
        lanes in prop::collection::vec((0..3_usize, 0..40_u16, 1..60_usize, 0..60_usize, prop::option::of(0..60_usize)), 0..60),
    ) {
        let names = ["a", "b", "c"];
        let mut here = names.iter().fold(Site::default(), |site, name| site.stream(name));
        let mut there = here.clone();
        for (stream, lane, mine, theirs, fork) in lanes {
            let Some(name) = names.get(stream) else { continue };
            here.write(name, lane, (0..mine).map(|n| n as u8));
            there.write(name, lane, (0..theirs).map(|n| if Some(n) >= fork && fork.is_some() { 255 } else { n as u8 }));
        }
        let (report, questions) = compare(&here, &there);
        prop_assert!(questions <= 10);
        for name in names {
            let found = &report.streams[name];
            let expected = first_difference(&here, &there, name);
            prop_assert_eq!(found.differs_at, expected);
            prop_assert_eq!(found.outcome == Outcome::Differs, expected.is_some());
        }
    }
}
