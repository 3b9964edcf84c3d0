//! Reducers: what is maintained, in whatever order events come, is what the specification says. Use when `fold/reduction` changes.
//!
//! The reducer of these tests is sensitive to order: it hashes the state with the event. It refuses some events always, and some for the state that they meet.

mod strategies;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

use gundb_core::fold::{Mark, Placed, Reduce, Reduction, STEP, specification};
use gundb_core::{DecodeError, DecodeProblem, Hlc};
use proptest::prelude::*;
use strategies::cases;
use uuid::Uuid;
use world::Chance;

/// Hashes; counts how often it is called.
#[derive(Default)]
struct Hasher {
    /// Whether what it refuses depends on the state, too.
    moody: bool,
    calls: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Refusal {
    Bad,
    Mood,
}

impl Reduce for Hasher {
    type Event = u64;
    type Refusal = Refusal;
    type Failure = Infallible;

    fn reduce(&mut self, state: &str, event: &u64) -> Result<Result<String, Refusal>, Infallible> {
        self.calls += 1;
        if event.is_multiple_of(17) {
            return Ok(Err(Refusal::Bad));
        }
        let hash = state.bytes().fold(*event, |hash, byte| Chance(hash ^ u64::from(byte)).next());
        if self.moody && hash.is_multiple_of(11) {
            return Ok(Err(Refusal::Mood));
        }
        Ok(Ok(format!("{hash:016x}")))
    }
}

fn mark(at: u64) -> Mark {
    Mark {
        hlc: Hlc::new(1_000 + at, 0).unwrap(),
        site: strategies::site((at % 3) as u8),
        lane: strategies::lane(1 + at % 2, 0),
        seq: 1 + at,
        epoch: 0,
    }
}

/// One appending of an event.
#[derive(Debug, Clone)]
struct One {
    id: Uuid,
    placed: Placed<u64>,
}

/// A site that maintains one key.
#[derive(Default)]
struct Maintained {
    held: Vec<One>,
    pending: BTreeSet<Mark>,
    state: Reduction,
    reducer: Hasher,
    replays: usize,
}

const INITIAL: &str = "nothing";

impl Maintained {
    /// The events that count: the first dot of each id, and what is not pending.
    fn counted(&self, after: Option<Mark>) -> Vec<Placed<u64>> {
        let mut first: BTreeMap<Uuid, Placed<u64>> = BTreeMap::new();
        for one in &self.held {
            let place = first.entry(one.id).or_insert_with(|| one.placed.clone());
            if one.placed.mark < place.mark {
                *place = one.placed.clone();
            }
        }
        let counts = |event: &Placed<u64>| Some(event.mark) > after && !self.pending.contains(&event.mark);
        first.into_values().filter(counts).collect()
    }

    fn arrive(&mut self, batch: &[One]) {
        self.held.extend_from_slice(batch);
        self.fold(batch.iter().map(|one| one.placed.mark).collect());
    }

    /// Takes in those of the marks that are the first of their ids.
    fn fold(&mut self, marks: BTreeSet<Mark>) {
        let batch = self.counted(None).into_iter().filter(|event| marks.contains(&event.mark)).collect();
        let mut state = std::mem::take(&mut self.state);
        let mut reducer = std::mem::take(&mut self.reducer);
        let mut replays = 0;
        let Ok(refused) = state.merge(INITIAL, batch, &mut reducer, |after| {
            replays += 1;
            Ok(self.counted(after))
        });
        self.replays += replays;
        self.pending.extend(refused.iter().map(|refused| refused.mark));
        // What is stored is read back before the next batch.
        self.state = Reduction::decode(&state.encode()).unwrap();
        assert_eq!(self.state, state);
        self.reducer = reducer;
    }

    fn retry(&mut self) {
        let marks = std::mem::take(&mut self.pending);
        self.fold(marks);
    }

    /// The latest state is the specification's of all that counts, and the specification refuses none of it.
    fn check(&self) {
        let mut reducer = Hasher { moody: self.reducer.moody, calls: 0 };
        let Ok((state, refused)) = specification::reduced(INITIAL, self.counted(None), &mut reducer);
        assert_eq!(refused, []);
        assert_eq!(self.state.latest().map(|latest| &latest.state), state.as_ref());
        let events = self.counted(None).len() as u64;
        assert_eq!(self.state.latest().map_or(0, |latest| latest.events), events);
        assert_eq!(self.state.latest().map(|latest| latest.upto), self.counted(None).iter().map(|e| e.mark).max());
        assert!(self.state.checkpoints().is_sorted_by(|a, b| a.upto < b.upto && a.events < b.events));
    }
}

/// Events, some under an id that another has too, shuffled as far as `disorder` allows, and cut into batches.
fn arrivals(chance: &mut Chance, events: u64, disorder: usize) -> Vec<Vec<One>> {
    let mut all: Vec<One> = (0..events)
        .map(|at| {
            let id = if at > 0 && chance.one_in(10) { chance.below(at as usize) as u128 } else { u128::from(at) };
            One { id: Uuid::from_u128(id), placed: Placed { mark: mark(at), event: 1 + chance.next() % 1_000_000 } }
        })
        .collect();
    // Two dots of one id say the same.
    let said: BTreeMap<Uuid, u64> = all.iter().rev().map(|one| (one.id, one.placed.event)).collect();
    all.iter_mut().for_each(|one| one.placed.event = said[&one.id]);
    for window in all.chunks_mut(disorder.max(1)) {
        chance.shuffle(window);
    }
    let mut batches = Vec::new();
    while !all.is_empty() {
        let rest = all.split_off((1 + chance.below(40)).min(all.len()));
        batches.push(std::mem::replace(&mut all, rest));
    }
    batches
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn the_order_of_arrival_does_not_matter(seed: u64, events in 1..400u64, disorder in 1..400usize) {
        let chance = &mut Chance(seed);
        let mut site = Maintained::default();
        for batch in arrivals(chance, events, disorder) {
            site.arrive(&batch);
            site.check();
        }
        // What is refused whatever the state stays out; so all that is held gives the same again.
        let Ok((whole, refused)) = specification::reduced(INITIAL, {
            let all = Maintained { held: site.held.clone(), ..Maintained::default() };
            all.counted(None)
        }, &mut Hasher::default());
        prop_assert_eq!(site.state.latest().map(|latest| latest.state.clone()), whole);
        prop_assert!(refused.iter().all(|refused| site.pending.contains(&refused.mark)));
    }

    #[test]
    fn what_is_refused_for_its_state_is_left_out_and_tried_again(seed: u64, events in 1..300u64, disorder in 1..300usize) {
        let chance = &mut Chance(seed);
        let mut site = Maintained { reducer: Hasher { moody: true, calls: 0 }, ..Maintained::default() };
        for batch in arrivals(chance, events, disorder) {
            site.arrive(&batch);
            site.check();
            if chance.one_in(4) {
                site.retry();
                site.check();
            }
        }
    }

    #[test]
    fn bytes_that_are_not_a_reduction_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(reduction) = Reduction::decode(&bytes) {
            prop_assert_eq!(reduction.encode(), bytes);
        }
    }
}

#[test]
fn a_state_of_no_event_or_of_more_than_a_lane_can_hold_is_refused() {
    let mut reduction = Reduction::default();
    let Ok(_) =
        reduction.merge("", vec![Placed { mark: mark(1), event: 1 }], &mut Hasher::default(), |_| Ok(Vec::new()));
    let bytes = reduction.encode();
    // The number of events comes after the version, the number of states, and a mark.
    let (before, after) = (&bytes[..36], &bytes[37..]);
    assert_eq!(bytes[36], 1);
    let decoded = |events: &[u8]| Reduction::decode(&[before, events, after].concat());
    assert_eq!(decoded(&[1]), Ok(reduction));
    assert!(decoded(&[&[0xff; 8][..], &[0x7f]].concat()).is_ok());
    for events in [vec![0], [&[0x80; 9][..], &[0x01]].concat()] {
        assert_eq!(
            decoded(&events),
            Err(DecodeError { offset: 36, problem: DecodeProblem::Impossible }),
            "{events:x?}"
        );
    }
}

/// A key of many events, none refused.
fn long(events: u64) -> Maintained {
    let mut site = Maintained::default();
    let all = (0..events).map(|at| placed(2 * at)).collect::<Vec<_>>();
    site.held = all.clone();
    let marks = all.iter().map(|one| one.placed.mark).collect();
    site.fold(marks);
    site
}

fn placed(at: u64) -> One {
    One { id: Uuid::from_u128(u128::from(at)), placed: Placed { mark: mark(at), event: 17 * at + 1 } }
}

#[test]
fn a_late_event_replays_a_few_times_what_sorts_after_it() {
    const EVENTS: u64 = 100_000;
    for distance in [1, 5, 31, 32, 33, 100, 1_000, 4_000, 20_000, 60_000] {
        let mut site = long(EVENTS);
        let before = site.reducer.calls;
        site.arrive(&[placed(2 * (EVENTS - distance) - 1)]);
        site.check();
        let calls = (site.reducer.calls - before) as u64;
        assert!(calls > distance && calls <= 5 * distance + STEP + 1, "{calls} calls for a distance of {distance}");
    }
}

#[test]
fn many_late_events_of_a_key_cost_one_replay() {
    let mut site = long(10_000);
    let (before, replays) = (site.reducer.calls, site.replays);
    let late = (0..1_000).rev().map(|at| placed(2 * (9_000 + at) + 1)).collect::<Vec<_>>();
    site.arrive(&late);
    site.check();
    assert_eq!(site.replays - replays, 1);
    assert!(site.reducer.calls - before <= 1_000 + 5 * 1_000 + STEP as usize, "{}", site.reducer.calls - before);
}

#[test]
fn events_in_order_are_applied_once_and_nothing_is_asked_for() {
    let mut site = Maintained::default();
    (0..500).for_each(|at| site.arrive(&[placed(at)]));
    assert_eq!((site.reducer.calls, site.replays), (500, 0));
    site.check();
}

#[test]
fn few_states_are_kept_of_a_long_history_and_fewer_of_large_ones() {
    let site = long(1_000_000);
    let kept = site.state.checkpoints().len();
    assert!((8..=20).contains(&kept), "{kept} states");

    /// The state is as long as it is told.
    struct Long(usize);
    impl Reduce for Long {
        type Event = u64;
        type Refusal = Infallible;
        type Failure = Infallible;
        fn reduce(&mut self, _: &str, _: &u64) -> Result<Result<String, Infallible>, Infallible> {
            Ok(Ok("x".repeat(self.0)))
        }
    }
    for length in [1_000, 10_000, 100_000] {
        let mut state = Reduction::default();
        let all = (0..3_000).map(|at| placed(at).placed).collect();
        let Ok(_) = state.merge(INITIAL, all, &mut Long(length), |_| Ok(Vec::new()));
        let bytes = state.encode().len();
        assert!(bytes <= 3 * length + 5_000, "{bytes} bytes of states of {length}");
        assert!(state.checkpoints().len() >= 2, "none is kept of length {length}");
    }
}
