//! Folds: maintained, rebuilt and specified rows are one. Use when anything in `fold` changes.
//!
//! Each case makes a world (`world`), lets its events arrive in a random order and in random batches, and after each batch compares the maintained state
//! with a rebuilt one, byte for byte, and its values with the specification. Faults planted in the maintenance must be found.

mod strategies;
mod world;

use std::collections::{BTreeMap, BTreeSet};

use gundb_core::fold::*;
use gundb_core::*;
use proptest::prelude::*;
use strategies::cases;
use uuid::Uuid;
use world::{Chance, World, folds};

/// Ways to maintain a row wrongly, as has been done in the field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    FloatArithmeticInASum,
    RemoveKillsUnseenAdd,
    RwSetForgetsRemoves,
    SameIdIgnored,
    LateEventWithoutRefold,
    DeleteWithoutRefold,
}

const FAULTS: [Fault; 6] = [
    Fault::FloatArithmeticInASum,
    Fault::RemoveKillsUnseenAdd,
    Fault::RwSetForgetsRemoves,
    Fault::SameIdIgnored,
    Fault::LateEventWithoutRefold,
    Fault::DeleteWithoutRefold,
];

/// What the maintenance is told of contexts.
struct Told<'a> {
    contexts: &'a Contexts,
    by_stamp: bool,
    /// Events that nothing is said to have seen.
    unseen: BTreeSet<Mark>,
}

impl Causality for Told<'_> {
    fn happened_before(&self, a: &Mark, b: &Mark) -> bool {
        !self.unseen.contains(a) && (self.by_stamp || self.contexts.happened_before(a, b))
    }
}

/// A site that maintains one row.
struct Maintained<'a> {
    world: &'a World,
    shape: Shape,
    fault: Option<Fault>,
    held: Vec<Appended>,
    /// The reverts that are held.
    reverts: BTreeSet<Uuid>,
    state: RowState,
    refolds: BTreeMap<RefoldReason, usize>,
    merges: usize,
}

impl<'a> Maintained<'a> {
    fn new(world: &'a World, fault: Option<Fault>) -> Maintained<'a> {
        let deletes = world.events.iter().any(|event| event.effect == Effect::Delete);
        let shape = Shape { folds: folds(), deletes };
        Maintained {
            world,
            state: RowState::empty(&shape),
            shape,
            fault,
            held: Vec::new(),
            reverts: BTreeSet::new(),
            refolds: BTreeMap::new(),
            merges: 0,
        }
    }

    fn lives(&self, id: &Uuid) -> bool {
        !is_reverted(id, |revert| Ok::<_, ()>(self.reverts.contains(revert))).unwrap()
    }

    /// The events that are held and not reverted.
    fn living(&self) -> Vec<Appended> {
        self.held.iter().filter(|one| self.lives(&one.id)).cloned().collect()
    }

    /// A revert refolds the key. (The event that it reverts, or that the one before it did, may be yet to come.)
    fn arrive_revert(&mut self, revert: Uuid) {
        self.reverts.insert(revert);
        self.state = self.rebuilt();
    }

    fn arrive(&mut self, batch: &[Appended]) {
        let folded: BTreeMap<Uuid, Mark> = group_by_id(self.living())
            .into_iter()
            .map(|event| (self.held.iter().find(|one| one.mark == event.mark).unwrap().id, event.mark))
            .collect();
        self.held.extend_from_slice(batch);
        let ids: BTreeMap<Mark, Uuid> = self.held.iter().map(|one| (one.mark, one.id)).collect();
        let touched: BTreeSet<Uuid> = batch.iter().map(|one| one.id).collect();
        let mut events = group_by_id(self.living().into_iter().filter(|one| touched.contains(&one.id)));
        for event in &mut events {
            event.folded_at = folded.get(&ids[&event.mark]).copied();
        }
        let mut told = Told {
            contexts: &self.world.contexts,
            by_stamp: self.fault == Some(Fault::RemoveKillsUnseenAdd),
            unseen: BTreeSet::new(),
        };
        match self.fault {
            Some(Fault::FloatArithmeticInASum) => events.iter_mut().for_each(through_floats),
            Some(Fault::SameIdIgnored) => events.retain(|event| event.folded_at.is_none()),
            Some(Fault::RwSetForgetsRemoves) => self.forget_removes(&mut events),
            _ => {}
        }
        let merge = |told: &Told<'_>, events: &[FoldEvent]| self.state.merge(events, told).unwrap();
        let mut outcome = merge(&told, &events);
        if let Outcome::Refold(refold) = &outcome {
            *self.refolds.entry(refold.reason).or_default() += 1;
            match self.fault {
                Some(Fault::LateEventWithoutRefold) if refold.reason == RefoldReason::Late => {
                    told.unseen.extend(events.iter().map(|event| event.mark));
                    outcome = merge(&told, &events);
                }
                Some(Fault::DeleteWithoutRefold) if refold.reason == RefoldReason::DeleteHits => {
                    events.retain(|event| event.effect != Effect::Delete);
                    outcome = merge(&told, &events);
                }
                _ => {}
            }
        }
        self.state = match outcome {
            Outcome::Merged(state) => {
                self.merges += 1;
                state
            }
            Outcome::Refold(_) => self.rebuilt(),
        };
        // What is stored is read back before the next batch.
        self.state = RowState::decode(&self.state.encode()).unwrap();
    }

    fn rebuilt(&self) -> RowState {
        let events = group_by_id(self.living());
        RowState::refold(&self.shape, &events, &self.world.contexts).unwrap()
    }

    fn specified(&self) -> Option<Vec<FoldValue>> {
        specification::row(&self.shape.folds, &self.held, &self.reverts, &self.world.contexts).unwrap()
    }

    /// Removes of what is not in do nothing, and leave nothing.
    fn forget_removes(&self, events: &mut [FoldEvent]) {
        let at = folds().iter().position(|fold| *fold == Fold::RwSet).unwrap();
        let present = match self.state.values().unwrap().map(|values| values[at].clone()) {
            Some(FoldValue::Array(values)) => values,
            _ => Vec::new(),
        };
        for event in events {
            if let Effect::Fold(columns) = &mut event.effect {
                columns[at].retain(|operation| match operation {
                    Operation::Remove(value) => present.contains(&Some(value.clone())),
                    _ => true,
                });
            }
        }
    }

    fn check(&self) -> Result<(), String> {
        let (values, specified) = (self.state.values().unwrap(), self.specified());
        if values != specified {
            return Err(format!("maintained {values:?}\nspecified {specified:?}"));
        }
        if self.state.encode() != self.rebuilt().encode() {
            return Err(format!("maintained {:?}\nrebuilt {:?}", self.state, self.rebuilt()));
        }
        Ok(())
    }
}

fn through_floats(event: &mut FoldEvent) {
    if let Effect::Fold(columns) = &mut event.effect {
        for operation in columns.iter_mut().flatten() {
            if let Operation::Give(Datum::Numeric(number)) = operation {
                let float: f64 = number.to_string().parse().unwrap();
                *number = format!("{float:e}").parse().unwrap();
            }
        }
    }
}

/// Lets a world's events arrive in one order, and checks after each batch.
fn run<'a>(world: &'a World, order: u64, fault: Option<Fault>) -> Result<Maintained<'a>, String> {
    let mut chance = Chance(order);
    let mut arrivals = world.events.clone();
    match order % 4 {
        // As they were made, and nearly so; the rest at random.
        0 => {}
        1 => {
            for _ in 0..4 {
                let (a, b) = (chance.below(arrivals.len()), chance.below(arrivals.len()));
                arrivals.swap(a, b);
            }
        }
        _ => chance.shuffle(&mut arrivals),
    }
    deliver(world, &arrivals, &mut chance, fault)
}

/// Lets events arrive in batches of random sizes, and checks after each.
fn deliver<'a>(
    world: &'a World,
    arrivals: &[Appended],
    chance: &mut Chance,
    fault: Option<Fault>,
) -> Result<Maintained<'a>, String> {
    let mut site = Maintained::new(world, fault);
    let mut rest = arrivals;
    while !rest.is_empty() {
        let (batch, later) = rest.split_at(1 + chance.below(rest.len().min(5)));
        rest = later;
        site.arrive(batch);
        site.check()?;
    }
    Ok(site)
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn maintained_rebuilt_and_specified_rows_are_one_in_every_order(
        seed in any::<u64>(), size in 1..24usize, deletes in any::<bool>(), same_ids in any::<bool>(), orders in any::<[u64; 4]>(),
    ) {
        let world = World::new(seed, size, deletes, same_ids);
        let mut bytes = None;
        for order in orders {
            let site = run(&world, order, None).map_err(TestCaseError::fail)?;
            let encoded = site.state.encode();
            prop_assert_eq!(bytes.get_or_insert_with(|| encoded.clone()), &encoded);
        }
    }

    #[test]
    fn conflicts_are_those_of_the_specification_in_every_order(
        seed in any::<u64>(), size in 1..40usize, deletes in any::<bool>(), same_ids in any::<bool>(),
    ) {
        let world = World::new(seed, size, deletes, same_ids);
        let specified = specification::conflicts(&folds(), &world.events, &BTreeSet::new(), &world.contexts);
        let mut arrivals = world.events.clone();
        Chance(seed).shuffle(&mut arrivals);
        prop_assert_eq!(conflicts(&folds(), &group_by_id(arrivals), &world.contexts), specified);
    }

    #[test]
    fn reverts_take_their_events_out_and_back_whatever_comes_first(
        seed in any::<u64>(), size in 1..16usize, deletes in any::<bool>(), same_ids in any::<bool>(), orders in any::<[u64; 2]>(),
    ) {
        let world = World::new(seed, size, deletes, same_ids);
        let mut chance = Chance(seed);
        // Of some events a revert, the revert of that, and so on.
        let mut reverts = Vec::new();
        for event in &world.events {
            let mut id = event.id;
            for _ in 0..chance.below(7).saturating_sub(3) {
                id = revert_id(&id);
                reverts.push(id);
            }
        }
        let mut bytes = None;
        for order in orders {
            let mut chance = Chance(order);
            let mut arrivals: Vec<_> = world.events.iter().map(Ok).chain(reverts.iter().map(Err)).collect();
            chance.shuffle(&mut arrivals);
            let mut site = Maintained::new(&world, None);
            for arrival in arrivals {
                match arrival {
                    Ok(event) => site.arrive(std::slice::from_ref(event)),
                    Err(revert) => site.arrive_revert(*revert),
                }
                site.check().map_err(TestCaseError::fail)?;
            }
            let encoded = site.state.encode();
            prop_assert_eq!(bytes.get_or_insert_with(|| encoded.clone()), &encoded);
        }
    }

    #[test]
    fn a_mutated_state_is_refused_or_encodes_to_itself(
        seed in any::<u64>(), edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3u8), 1..4),
    ) {
        let world = World::new(seed, 12, true, true);
        let mut bytes = run(&world, 0, None).map_err(TestCaseError::fail)?.state.encode();
        for (at, byte, edit) in edits {
            match edit {
                0 => { let at = at.index(bytes.len()); bytes[at] = byte }
                1 => bytes.insert(at.index(bytes.len() + 1), byte),
                _ => { bytes.remove(at.index(bytes.len())); }
            }
        }
        if let Ok(state) = RowState::decode(&bytes) {
            prop_assert_eq!(state.encode(), bytes);
            let _ = state.values();
        }
    }

    #[test]
    fn states_of_plain_folds_combine_in_any_grouping(seed in any::<u64>(), size in 1..30usize, cuts in any::<[prop::sample::Index; 2]>()) {
        let plain: Vec<usize> = (0..folds().len()).filter(|at| !folds()[*at].is_causal()).collect();
        let world = World::new(seed, size, false, false);
        let shape = Shape { folds: plain.iter().map(|at| folds()[*at]).collect(), deletes: false };
        let mut events = group_by_id(world.events.iter().cloned());
        for event in &mut events {
            if let Effect::Fold(columns) = &mut event.effect {
                *columns = plain.iter().map(|at| columns[*at].clone()).collect();
            }
        }
        Chance(seed).shuffle(&mut events);
        let mut cuts = cuts.map(|cut| cut.index(events.len() + 1));
        cuts.sort();
        let fold = |events: &[FoldEvent]| RowState::refold(&shape, events, &world.contexts).unwrap();
        let (a, b, c) = (fold(&events[..cuts[0]]), fold(&events[cuts[0]..cuts[1]]), fold(&events[cuts[1]..]));
        let both = |a: &RowState, b: &RowState| a.combine(b).unwrap().unwrap();
        let all = fold(&events).encode();
        prop_assert_eq!(both(&both(&a, &b), &c).encode(), all.clone());
        prop_assert_eq!(both(&a, &both(&c, &b)).encode(), all);
    }
}

proptest! {
    #![proptest_config(cases(12))]

    #[test]
    fn a_thousand_random_orders_of_arrival_leave_one_row(
        seed in any::<u64>(), size in 3..8usize, deletes in any::<bool>(), same_ids in any::<bool>(),
    ) {
        let world = World::new(seed, size, deletes, same_ids);
        let whole = RowState::refold(
            &Maintained::new(&world, None).shape,
            &group_by_id(world.events.iter().cloned()),
            &world.contexts,
        );
        let whole = whole.unwrap().encode();
        let mut chance = Chance(seed);
        let mut arrivals = world.events.clone();
        for _ in 0..1000 {
            chance.shuffle(&mut arrivals);
            let site = deliver(&world, &arrivals, &mut chance, None).map_err(TestCaseError::fail)?;
            prop_assert_eq!(&site.state.encode(), &whole);
        }
    }
}

#[test]
fn events_that_arrive_before_what_has_seen_them_are_merged_without_refolding() {
    for seed in 0..300 {
        let world = World::new(seed, 30, false, false);
        let mut site = Maintained::new(&world, None);
        let mut arrivals = world.events.clone();
        arrivals.sort_by_key(|one| one.mark);
        for one in &arrivals {
            site.arrive(std::slice::from_ref(one));
        }
        site.check().unwrap();
        assert_eq!(site.refolds.len(), 0, "seed {seed}");
    }
}

#[test]
fn a_stored_state_continues_to_what_a_rebuild_gives() {
    for seed in 0..200 {
        let world = World::new(seed, 24, false, false);
        let mut events = group_by_id(world.events.iter().cloned());
        events.sort_by_key(|event| event.mark);
        let shape = Shape { folds: folds(), deletes: false };
        let cut = Chance(seed).below(events.len());
        let stored = RowState::refold(&shape, &events[..cut], &world.contexts).unwrap();
        let rebuilt = RowState::refold(&shape, &events, &world.contexts).unwrap();
        assert_eq!(stored.merge(&events[cut..], &world.contexts), Ok(Outcome::Merged(rebuilt)), "seed {seed}");
    }
}

#[test]
fn every_way_to_refold_is_met_and_every_planted_fault_is_found() {
    let mut met: BTreeMap<RefoldReason, usize> = BTreeMap::new();
    let mut merges = 0;
    for seed in 0..300 {
        let world = World::new(seed, 20, seed % 2 == 0, seed % 3 == 0);
        let site = run(&world, seed, None).unwrap();
        merges += site.merges;
        site.refolds.into_iter().for_each(|(reason, times)| *met.entry(reason).or_default() += times);
    }
    println!("merged {merges} batches; refolded {met:?}");
    assert_eq!(met.len(), 3);
    for fault in FAULTS {
        let found = (0..1000u64).find(|seed| {
            let world = World::new(*seed, 20, seed % 2 == 0, seed % 3 == 0);
            run(&world, *seed, Some(fault)).is_err()
        });
        println!("{fault:?}: found after {} worlds", found.map_or(0, |seed| seed + 1));
        assert!(found.is_some(), "{fault:?} was not found");
    }
}

#[test]
fn a_row_of_more_events_than_a_lane_can_hold_is_refused() {
    // LEB128 of i64::MAX and of one more.
    let most = [&[0xff; 8][..], &[0x7f]].concat();
    let too_many = [&[0x80; 9][..], &[0x01]].concat();
    let decoded = |alive: &[u8], columns: &[u8]| RowState::decode(&[&[1, 0], alive, columns].concat());
    let impossible = |offset| Err(DecodeError { offset, problem: DecodeProblem::Impossible });
    let count = Fold::Count as u8;
    assert_eq!(decoded(&too_many, &[0]), impossible(2));
    assert_eq!(decoded(&[1], &[&[1, count], &too_many[..]].concat()), impossible(5));
    assert_eq!(decoded(&[1], &[&[1, Fold::Sum as u8], &too_many[..], &[1, b'0']].concat()), impossible(5));
    // What is not refused can be combined again and again.
    let state = decoded(&most, &[&[1, count], &most[..]].concat()).unwrap();
    let twice = state.combine(&state).unwrap().unwrap();
    let more = twice.combine(&state).unwrap().unwrap().combine(&state).unwrap().unwrap();
    assert_eq!(more.values().unwrap(), Some(vec![FoldValue::Datum(Some(Datum::Bigint(i64::MAX)))]));
}

/// Sites that write by hand: what each has seen of the others is said, not drawn.
mod told {
    use super::*;

    pub fn mark(site: u8, seq: u64, millis: u64, epoch: u64) -> Mark {
        Mark {
            hlc: Hlc::new(millis, 0).unwrap(),
            site: strategies::site(site),
            lane: strategies::lane(1, seq as u16),
            seq: 1,
            epoch,
        }
    }

    /// The contexts in which epoch 1 of each site covers these events, and epoch 0 none.
    pub fn contexts(seen: &[(u8, &[Mark])]) -> Contexts {
        let stream = strategies::stream(1);
        let mut contexts = Contexts::new(stream);
        for (site, marks) in seen {
            let clock = marks.iter().map(|mark| mark.dot(stream)).collect();
            contexts.insert(mark(*site, 1, 0, 1).epoch_id(), clock);
        }
        contexts
    }

    pub fn event(id: u128, mark: Mark, operation: Option<Operation>) -> Appended {
        let effect = operation.map_or(Effect::Delete, |operation| Effect::Fold(vec![vec![operation]]));
        let id = Uuid::from_u128(id);
        Appended { id, mark, effect }
    }

    /// What a column of one fold is worth, the same in every order of arrival.
    pub fn value(fold: Fold, contexts: &Contexts, events: &[Appended]) -> Option<FoldValue> {
        let shape = Shape { folds: vec![fold], deletes: events.iter().any(|event| event.effect == Effect::Delete) };
        let specified = specification::row(&shape.folds, events, &BTreeSet::new(), contexts).unwrap();
        for seed in 0..20 {
            let mut arrivals = events.to_vec();
            Chance(seed).shuffle(&mut arrivals);
            let mut state = RowState::empty(&shape);
            for held in 1..=arrivals.len() {
                let grouped = group_by_id(arrivals[..held].iter().cloned());
                let mut last =
                    group_by_id(arrivals[..held].iter().filter(|one| one.id == arrivals[held - 1].id).cloned());
                last[0].folded_at =
                    group_by_id(arrivals[..held - 1].iter().filter(|one| one.id == arrivals[held - 1].id).cloned())
                        .first()
                        .map(|event| event.mark);
                state = match state.merge(&last, contexts).unwrap() {
                    Outcome::Merged(state) => state,
                    Outcome::Refold(_) => RowState::refold(&shape, &grouped, contexts).unwrap(),
                };
            }
            assert_eq!(state.values().unwrap(), specified);
        }
        specified.map(|values| values[0].clone())
    }

    pub fn texts(values: &[&str]) -> Option<FoldValue> {
        Some(FoldValue::Array(values.iter().map(|value| Some(Datum::Text((*value).into()))).collect()))
    }
}

#[test]
fn an_add_in_a_long_open_transaction_falls_to_a_remove_that_committed_meanwhile_and_has_a_later_stamp() {
    let x = || Datum::Text("x".into());
    let contexts = told::contexts(&[]);
    for (add_at, expected) in [(10, told::texts(&[])), (30, told::texts(&["x"]))] {
        let events = [
            told::event(1, told::mark(1, 1, add_at, 0), Some(Operation::Add(x()))),
            told::event(2, told::mark(1, 2, 20, 0), Some(Operation::Remove(x()))),
        ];
        assert_eq!(told::value(Fold::Set, &contexts, &events), expected);
    }
}

#[test]
fn a_delete_takes_what_it_has_seen_and_a_concurrent_sum_lives_on() {
    let give = |number: i64| Some(Operation::Give(Datum::Bigint(number)));
    let (seen, unseen) = (told::mark(1, 1, 10, 0), told::mark(2, 1, 11, 0));
    let contexts = told::contexts(&[(3, &[seen])]);
    let mut events = vec![told::event(1, seen, give(5)), told::event(2, told::mark(3, 1, 20, 1), None)];
    assert_eq!(told::value(Fold::Sum, &contexts, &events), None);
    events.push(told::event(3, unseen, give(7)));
    let seven = FoldValue::Datum(Some(Datum::Numeric(7i64.into())));
    assert_eq!(told::value(Fold::Sum, &contexts, &events), Some(seven));
}

#[test]
fn in_an_rw_set_a_remove_that_came_before_a_concurrent_add_keeps_it_out() {
    let x = || Datum::Text("x".into());
    let (remove, add) = (told::mark(1, 1, 10, 0), told::mark(2, 1, 20, 0));
    let mut events =
        vec![told::event(1, remove, Some(Operation::Remove(x()))), told::event(2, add, Some(Operation::Add(x())))];
    let contexts = told::contexts(&[(3, &[remove])]);
    assert_eq!(told::value(Fold::RwSet, &contexts, &events), told::texts(&[]));
    events.push(told::event(3, told::mark(3, 1, 30, 1), Some(Operation::Add(x()))));
    assert_eq!(told::value(Fold::RwSet, &contexts, &events), told::texts(&["x"]));
}

#[test]
fn a_remove_that_saw_one_dot_of_an_id_has_seen_the_event() {
    let x = || Datum::Text("x".into());
    let (here, there) = (told::mark(1, 1, 10, 0), told::mark(2, 1, 11, 0));
    for seen in [here, there] {
        let contexts = told::contexts(&[(3, &[seen])]);
        let events = [
            told::event(1, here, Some(Operation::Add(x()))),
            told::event(1, there, Some(Operation::Add(x()))),
            told::event(2, told::mark(3, 1, 20, 1), Some(Operation::Remove(x()))),
        ];
        assert_eq!(told::value(Fold::Set, &contexts, &events), told::texts(&[]));
    }
}

#[test]
fn a_conflict_shows_what_won_unseen_and_is_closed_by_a_write_that_has_seen_both() {
    let write = |value: &str| Some(Operation::Write { by: None, value: Some(Datum::Text(value.into())) });
    let (paris, tokyo) = (told::mark(1, 1, 10, 0), told::mark(2, 1, 11, 0));
    let contexts = told::contexts(&[(3, &[paris, tokyo]), (4, &[paris]), (5, &[tokyo])]);
    let open = |events: &[Appended]| {
        let found = conflicts(&[Fold::Lww], &group_by_id(events.iter().cloned()), &contexts);
        assert_eq!(found, specification::conflicts(&[Fold::Lww], events, &BTreeSet::new(), &contexts));
        found.into_iter().map(|conflict| (conflict.winner, conflict.other)).collect::<Vec<_>>()
    };
    let both = [told::event(1, paris, write("a")), told::event(2, tokyo, write("b"))];
    assert_eq!(open(&both), [(tokyo, paris)]);
    let and = |last: Appended| open(&[both[0].clone(), both[1].clone(), last]);
    // One that has seen both closes it; one that has seen one of them stands against the other.
    let later = |site| told::mark(site, 1, 20, 1);
    assert_eq!(and(told::event(3, later(3), write("c"))), []);
    assert_eq!(and(told::event(3, later(4), write("c"))), [(later(4), tokyo)]);
    assert_eq!(and(told::event(3, later(5), write("c"))), [(later(5), paris)]);
    // The same value is no conflict, nor is what was deleted.
    assert_eq!(open(&[both[0].clone(), told::event(2, tokyo, write("a"))]), []);
    assert_eq!(and(told::event(3, later(3), None)), []);
}

#[test]
fn a_revert_leaves_the_row_as_if_the_event_had_not_been() {
    let give = |number: i64| Some(Operation::Give(Datum::Bigint(number)));
    let (first, second) = (told::mark(1, 1, 10, 0), told::mark(2, 1, 11, 0));
    let contexts = told::contexts(&[(3, &[first, second])]);
    let delete = told::event(3, told::mark(3, 1, 20, 1), None);
    let events = [told::event(1, first, give(5)), told::event(2, second, give(7)), delete.clone()];
    let sum = |events: &[Appended], reverts: &[Uuid]| {
        let reverts = reverts.iter().copied().collect();
        specification::row(&[Fold::Sum], events, &reverts, &contexts).unwrap().map(|values| values[0].clone())
    };
    let number = |number: i64| Some(FoldValue::Datum(Some(Datum::Numeric(number.into()))));
    let revert = revert_id(&events[0].id);
    assert_eq!(sum(&events[..2], &[revert]), number(7));
    assert_eq!(sum(&events[..2], &[revert, revert_id(&revert)]), number(12));
    // Of a delete too, and of all there is.
    assert_eq!(sum(&events, &[]), None);
    assert_eq!(sum(&events, &[revert_id(&delete.id)]), number(12));
    assert_eq!(sum(&events[..1], &[revert]), None);
    // The revert of a revert that is not here says nothing.
    assert_eq!(sum(&events[..1], &[revert_id(&revert)]), number(5));
}
