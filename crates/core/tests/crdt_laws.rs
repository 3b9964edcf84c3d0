//! CRDT values: laws, encodings, and every operation against the `crdts` crate where it has the type. Use when anything in `crdt` changes.

mod strategies;
#[allow(unused_imports, reason = "only its chance is used here")]
mod world;

use crdts::{CmRDT, CvRDT};
use gundb_core::crdt::*;
use gundb_core::*;
use proptest::prelude::*;
use strategies::{cases, site};
use world::Chance;

const REPLICAS: usize = 3;

fn replica(at: usize) -> Replica {
    Replica { site: site(at as u8), incarnation: at as u64 }
}

fn json(text: &str) -> Json {
    Json::parse(text, Limits::default()).unwrap()
}

/// What one step does, chosen by a seed and understood by each kind.
#[derive(Debug, Clone, Copy)]
struct Act {
    element: &'static str,
    number: u64,
    adds: bool,
    at: Hlc,
    by: usize,
}

impl Act {
    fn new(chance: &mut Chance, step: usize, by: usize) -> Act {
        Act {
            element: ["a", "b", "Ä", ""][chance.below(4)],
            number: 1 + chance.below(5) as u64,
            adds: !chance.one_in(3),
            at: Hlc::new(1 + step as u64, by as u16).unwrap(),
            by,
        }
    }

    /// Does it, and gives the delta.
    fn on(self, value: &mut Crdt) -> Crdt {
        self.by_whom(value, replica(self.by))
    }

    fn by_whom(self, value: &mut Crdt, who: Replica) -> Crdt {
        let Act { element, number, adds, at, by } = self;
        let text = json(&number.to_string());
        match value {
            Crdt::Gcounter(counter) => counter.add(number, who).unwrap().into(),
            Crdt::Pncounter(counter) => {
                counter.add(if adds { number as i64 } else { -(number as i64) }, who).unwrap().into()
            }
            Crdt::Lww(register) => register.set(&text, at, who).into(),
            Crdt::Mv(register) if adds => register.set(&text, who).unwrap().into(),
            Crdt::Mv(register) => register.clear().into(),
            Crdt::Gset(set) => set.add(element).unwrap().into(),
            Crdt::Set(set) if adds => set.add(element, who).unwrap().into(),
            Crdt::Set(set) => set.remove(element).into(),
            Crdt::RwSet(set) if adds => set.add(element, who).unwrap().into(),
            Crdt::RwSet(set) => set.remove(element, who).unwrap().into(),
            Crdt::Flag(flag) if adds => flag.enable(who).unwrap().into(),
            Crdt::Flag(flag) => flag.disable().into(),
            Crdt::DwFlag(flag) if adds => flag.enable(who).unwrap().into(),
            Crdt::DwFlag(flag) => flag.disable(who).unwrap().into(),
            Crdt::Map(map) if adds => map.put(element, &text, at, who).unwrap().into(),
            Crdt::Map(map) => map.remove(element).into(),
            Crdt::Bcounter(counter) if adds => counter.add(number, who).unwrap().into(),
            Crdt::Bcounter(counter) if number == 1 => {
                counter.transfer(1, replica((by + 1) % REPLICAS), who).unwrap_or_default().into()
            }
            Crdt::Bcounter(counter) => counter.take(number, who).unwrap_or_default().into(),
        }
    }
}

fn merged(a: &Crdt, b: &Crdt) -> Crdt {
    let mut all = a.clone();
    all.merge(b).unwrap();
    all
}

/// Three replicas that act and merge; each step's states are kept, and all deltas.
struct Run {
    states: Vec<Crdt>,
    deltas: Vec<Crdt>,
    last: [Crdt; REPLICAS],
}

fn run(kind: Kind, seed: u64, steps: usize) -> Result<Run, TestCaseError> {
    let mut chance = Chance(seed);
    let mut last = [0; REPLICAS].map(|_| Crdt::empty(kind));
    let (mut states, mut deltas) = (vec![Crdt::empty(kind)], Vec::new());
    for step in 0..steps {
        let by = chance.below(REPLICAS);
        if chance.one_in(3) {
            let other = last[chance.below(REPLICAS)].clone();
            last[by].merge(&other).unwrap();
        } else {
            let before = last[by].clone();
            let delta = Act::new(&mut chance, step, by).on(&mut last[by]);
            prop_assert_eq!(&merged(&before, &delta), &last[by], "the delta is the difference");
            prop_assert_eq!(&merged(&last[by], &before), &last[by], "a mutator inflates");
            deltas.push(delta);
        }
        states.push(last[by].clone());
    }
    Ok(Run { states, deltas, last })
}

fn any_kind() -> impl Strategy<Value = Kind> {
    proptest::sample::select(Kind::ALL)
}

proptest! {
    #![proptest_config(cases(2000))]

    #[test]
    fn merging_is_commutative_associative_idempotent_and_deltas_are_states(kind in any_kind(), seed in any::<u64>(), steps in 1..30usize) {
        let run = run(kind, seed, steps)?;
        let mut chance = Chance(seed ^ 1);
        let pool: Vec<Crdt> = run.states.iter().chain(&run.deltas).cloned().collect();
        let mut any = || pool[chance.below(pool.len())].clone();
        for _ in 0..10 {
            let (a, b, c) = (any(), any(), any());
            prop_assert_eq!(merged(&a, &b), merged(&b, &a));
            prop_assert_eq!(merged(&merged(&a, &b), &c), merged(&a, &merged(&b, &c)));
            prop_assert_eq!(&merged(&a, &a), &a);
            prop_assert_eq!(merged(&merged(&a, &b), &b), merged(&a, &b));
            prop_assert_eq!(&merged(&a, &Crdt::empty(kind)), &a);
        }
        let states = run.last.iter().fold(Crdt::empty(kind), |all, state| merged(&all, state));
        let mut deltas = run.deltas.clone();
        Chance(seed).shuffle(&mut deltas);
        prop_assert_eq!(deltas.iter().fold(Crdt::empty(kind), |all, delta| merged(&all, delta)), states);
    }

    #[test]
    fn equal_values_have_equal_bytes_and_texts_and_both_read_back(kind in any_kind(), seed in any::<u64>(), steps in 0..30usize) {
        let run = run(kind, seed, steps)?;
        for value in run.states.iter().chain(&run.deltas) {
            let (bytes, text) = (value.encode(), value.to_string());
            prop_assert_eq!(&bytes[..2], &[1, kind as u8]);
            prop_assert_eq!(&Crdt::decode(&bytes).unwrap(), value);
            prop_assert_eq!(&text.parse::<Crdt>().unwrap(), value);
            prop_assert_eq!(canonical_text(&text, Limits::default()).unwrap(), text);
        }
        for (a, b) in run.states.iter().zip(&run.states[1..]) {
            prop_assert_eq!(a == b, a.encode() == b.encode());
        }
    }

    #[test]
    fn a_mutated_encoding_or_text_is_refused_or_is_its_own(
        kind in any_kind(), seed in any::<u64>(), edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3u8), 1..4),
    ) {
        let value = &run(kind, seed, 12)?.last[0];
        let edit = |bytes: &mut Vec<u8>, byte_of: fn(u8) -> u8| for (at, byte, edit) in &edits {
            match edit {
                0 => { let at = at.index(bytes.len()); bytes[at] = byte_of(*byte) }
                1 => bytes.insert(at.index(bytes.len() + 1), byte_of(*byte)),
                _ if bytes.len() > 1 => { bytes.remove(at.index(bytes.len())); }
                _ => {}
            }
        };
        let mut bytes = value.encode();
        edit(&mut bytes, |byte| byte);
        if let Ok(read) = Crdt::decode(&bytes) {
            prop_assert_eq!(read.encode(), bytes);
            let _ = (read.value(), read.inspect(), read.reissue(replica(9)), read.to_string());
            prop_assert_eq!(merged(&read, &read), read);
        }
        let mut text = value.to_string().into_bytes();
        edit(&mut text, |byte| b"0123456789[]{},:\"-ae"[usize::from(byte) % 20]);
        if let Ok(read) = String::from_utf8_lossy(&text).parse::<Crdt>() {
            prop_assert_eq!(read.to_string().parse::<Crdt>().unwrap(), read.clone());
            prop_assert_eq!(Crdt::decode(&read.encode()).unwrap(), read);
        }
    }

    #[test]
    fn a_reissued_value_is_worth_the_same_and_shares_no_acts(kind in any_kind(), seed in any::<u64>(), steps in 0..30usize) {
        let value = &run(kind, seed, steps)?.last[0];
        let own = value.reissue(replica(9)).unwrap();
        prop_assert_eq!(own.value(), value.value());
        if matches!(kind, Kind::Gcounter | Kind::Pncounter | Kind::Bcounter) {
            let CrdtValue::Integer(total) = value.value() else { unreachable!() };
            prop_assert_eq!(merged(value, &own).value(), CrdtValue::Integer(2 * total));
        } else {
            prop_assert_eq!(merged(value, &own).value(), value.value());
        }
    }

    #[test]
    fn merging_encodings_into_one_gives_what_merging_one_by_one_gives(
        kind in any_kind(), seed in any::<u64>(), steps in 1..30usize, split in any::<prop::sample::Index>(), looks in any::<bool>(),
    ) {
        let run = run(kind, seed, steps)?;
        let mut pool: Vec<Crdt> = run.states.iter().chain(&run.deltas).cloned().collect();
        Chance(seed).shuffle(&mut pool);
        let (left, right) = pool.split_at(split.index(pool.len()));
        let gather = |values: &[Crdt]| {
            let mut merger = Merger::default();
            for value in values {
                merger.absorb(&value.encode()).unwrap();
                if looks {
                    merger.value();
                }
            }
            merger
        };
        let (mut all, other) = (gather(left), gather(right));
        all.combine(&other).unwrap();
        let expected = pool.iter().fold(Crdt::empty(kind), |all, value| merged(&all, value));
        prop_assert_eq!(all.value(), Some(&expected));
        prop_assert_eq!(all.value(), Some(&expected));
        prop_assert!(all.absorb(&[1, kind as u8, 0xff]).is_err());
        let stranger = Crdt::empty(if kind == Kind::Lww { Kind::Mv } else { Kind::Lww });
        prop_assert!(all.absorb(&stranger.encode()).is_err());
    }

    #[test]
    fn a_reissued_copy_and_its_original_go_apart_and_meet_again(kind in any_kind(), seed in any::<u64>(), steps in 0..20usize) {
        // Both act as one database, which the value tells apart.
        let database = Replica::of_database(site(1), 7, 1, 5);
        let act = |value: &mut Crdt, act: Act| act.by_whom(value, value.acting(database));
        let mut chance = Chance(seed);
        let mut original = Crdt::empty(kind);
        for step in 0..steps {
            act(&mut original, Act::new(&mut chance, step, 0));
        }
        let mut copy = original.reissue(database.reissued(1 + chance.below(99) as u64)).unwrap();
        let (mut apart, mut both) = (original.clone(), merged(&original, &copy));
        for step in 0..steps {
            let one = Act::new(&mut chance, steps + step, 0);
            let delta = act(if chance.one_in(2) { &mut apart } else { &mut copy }, one);
            both.merge(&delta).unwrap();
        }
        prop_assert_eq!(merged(&apart, &copy), both);
    }

    #[test]
    fn a_value_prints_as_canonical_json(kind in any_kind(), seed in any::<u64>(), steps in 0..30usize) {
        let value = run(kind, seed, steps)?.last[0].value();
        if let Some(text) = value.to_json(usize::MAX).unwrap() {
            prop_assert_eq!(canonical_text(&text, Limits::default()).unwrap(), text);
        } else {
            prop_assert_eq!(value, CrdtValue::Json(None));
        }
    }

    #[test]
    fn a_bounded_counter_never_falls_below_zero(seed in any::<u64>(), steps in 1..60usize) {
        let run = run(Kind::Bcounter, seed, steps)?;
        let all = run.last.iter().fold(Crdt::empty(Kind::Bcounter), |all, state| merged(&all, state));
        let Crdt::Bcounter(counter) = &all else { unreachable!() };
        prop_assert!(counter.total() >= 0);
        let rights: i128 = (0..REPLICAS).map(|at| counter.rights(replica(at))).sum();
        prop_assert_eq!(rights, counter.total());
        prop_assert!((0..REPLICAS).all(|at| counter.rights(replica(at)) >= 0));
    }
}

/// The same acts and merges on our value and on the oracle's, compared after each.
fn step_by_step<O: Clone>(
    kind: Kind,
    empty: O,
    mut act: impl FnMut(&mut O, Act),
    mut merge: impl FnMut(&mut O, O),
    compare: impl Fn(&Crdt, &O),
) {
    for seed in 0..300 {
        let mut chance = Chance(seed);
        let mut ours = [0; REPLICAS].map(|_| Crdt::empty(kind));
        let mut theirs = [0; REPLICAS].map(|_| empty.clone());
        for step in 0..40 {
            let by = chance.below(REPLICAS);
            if chance.one_in(3) {
                let from = chance.below(REPLICAS);
                let (our, their) = (ours[from].clone(), theirs[from].clone());
                ours[by].merge(&our).unwrap();
                merge(&mut theirs[by], their);
            } else {
                let one = Act::new(&mut chance, step, by);
                one.on(&mut ours[by]);
                act(&mut theirs[by], one);
            }
            compare(&ours[by], &theirs[by]);
        }
    }
}

#[test]
fn gcounter_does_what_the_crdts_crate_does() {
    step_by_step(
        Kind::Gcounter,
        crdts::GCounter::<usize>::new(),
        |theirs, act| {
            let op = theirs.inc_many(act.by, act.number);
            theirs.apply(op)
        },
        CvRDT::merge,
        |ours, theirs| assert_eq!(ours.value(), CrdtValue::Integer(theirs.read().to_string().parse().unwrap())),
    );
}

#[test]
fn pncounter_does_what_the_crdts_crate_does() {
    step_by_step(
        Kind::Pncounter,
        crdts::PNCounter::<usize>::new(),
        |theirs, act| {
            let op = if act.adds { theirs.inc_many(act.by, act.number) } else { theirs.dec_many(act.by, act.number) };
            theirs.apply(op)
        },
        CvRDT::merge,
        |ours, theirs| assert_eq!(ours.value(), CrdtValue::Integer(theirs.read().to_string().parse().unwrap())),
    );
}

#[test]
fn gset_does_what_the_crdts_crate_does() {
    step_by_step(
        Kind::Gset,
        crdts::GSet::<String>::new(),
        |theirs, act| theirs.insert(act.element.into()),
        CvRDT::merge,
        |ours, theirs| assert_eq!(ours.value(), CrdtValue::Texts(theirs.read().into_iter().collect())),
    );
}

#[test]
fn lww_does_what_the_crdts_crate_does() {
    step_by_step(
        Kind::Lww,
        crdts::LWWReg { val: None, marker: Hlc::MIN },
        |theirs: &mut crdts::LWWReg<Option<String>, Hlc>, act| theirs.update(Some(act.number.to_string()), act.at),
        CvRDT::merge,
        |ours, theirs| assert_eq!(ours.value(), CrdtValue::Json(theirs.val.clone())),
    );
}

#[test]
fn mv_does_what_the_crdts_crate_does() {
    use crdts::MVReg;
    step_by_step(
        Kind::Mv,
        MVReg::<Option<String>, usize>::new(),
        |theirs, act| {
            // It cannot clear: writing None, which is left out below, stands for that.
            let value = act.adds.then(|| act.number.to_string());
            let op = theirs.write(value, theirs.read_ctx().derive_add_ctx(act.by));
            theirs.apply(op)
        },
        CvRDT::merge,
        |ours, theirs| {
            let mut values: Vec<String> = theirs.read().val.into_iter().flatten().collect();
            values.sort();
            values.dedup();
            assert_eq!(ours.value(), CrdtValue::Jsons(values));
        },
    );
}

#[test]
fn set_does_what_the_crdts_crate_does() {
    use crdts::Orswot;
    step_by_step(
        Kind::Set,
        Orswot::<String, usize>::new(),
        |theirs, act| {
            let member = act.element.to_owned();
            let op = if act.adds {
                theirs.add(member, theirs.read_ctx().derive_add_ctx(act.by))
            } else {
                theirs.rm(member.clone(), theirs.contains(&member).derive_rm_ctx())
            };
            theirs.apply(op)
        },
        CvRDT::merge,
        |ours, theirs| {
            let mut members: Vec<String> = theirs.read().val.into_iter().collect();
            members.sort();
            assert_eq!(ours.value(), CrdtValue::Texts(members));
        },
    );
}

#[test]
fn map_does_what_the_crdts_crate_does() {
    use crdts::{MVReg, Map as Oracle};
    step_by_step(
        Kind::Map,
        Oracle::<String, MVReg<String, usize>, usize>::new(),
        |theirs, act| {
            let key = act.element.to_owned();
            if act.adds {
                let context = theirs.read_ctx().derive_add_ctx(act.by);
                let op =
                    theirs.update(key, context, |register, context| register.write(act.number.to_string(), context));
                theirs.apply(op);
            } else {
                let op = theirs.rm(key.clone(), theirs.get(&key).derive_rm_ctx());
                theirs.apply(op);
            }
        },
        CvRDT::merge,
        |ours, theirs| {
            let Crdt::Map(map) = ours else { unreachable!() };
            let mut keys: Vec<String> = theirs.keys().map(|key| key.val.clone()).collect();
            keys.sort();
            assert_eq!(map.entries().map(|(key, _)| key.to_owned()).collect::<Vec<_>>(), keys);
            // It keeps all concurrent values, and ours is one of them.
            for (key, value) in map.entries() {
                let register = theirs.get(&key.to_owned()).val.unwrap();
                assert!(register.read().val.contains(&value.to_owned()));
            }
        },
    );
}

#[test]
fn a_flag_is_a_set_of_one_and_a_dw_flag_an_rw_set_of_one() {
    for seed in 0..300 {
        for (flag, set) in [(Kind::Flag, Kind::Set), (Kind::DwFlag, Kind::RwSet)] {
            let mut chance = Chance(seed);
            let mut pairs = [0; REPLICAS].map(|_| (Crdt::empty(flag), Crdt::empty(set)));
            for step in 0..40 {
                let by = chance.below(REPLICAS);
                if chance.one_in(3) {
                    let other = pairs[chance.below(REPLICAS)].clone();
                    pairs[by].0.merge(&other.0).unwrap();
                    pairs[by].1.merge(&other.1).unwrap();
                } else {
                    let act = Act { element: "only", ..Act::new(&mut chance, step, by) };
                    act.on(&mut pairs[by].0);
                    act.on(&mut pairs[by].1);
                }
                let CrdtValue::Texts(elements) = pairs[by].1.value() else { unreachable!() };
                assert_eq!(pairs[by].0.value(), CrdtValue::Boolean(!elements.is_empty()));
            }
        }
    }
}

#[test]
fn concurrent_acts_end_as_each_kind_says() {
    let [one, two] = [replica(0), replica(1)];
    let mut set = Set::default();
    set.add("x", one).unwrap();
    let mut other = set.clone();
    set.remove("x");
    other.add("x", two).unwrap();
    set.merge(&other);
    assert!(set.contains("x"), "an add wins over a concurrent remove");

    let mut set = RwSet::default();
    set.add("x", one).unwrap();
    let mut other = set.clone();
    set.remove("x", one).unwrap();
    other.add("x", two).unwrap();
    set.merge(&other);
    assert!(!set.contains("x"), "a remove wins over a concurrent add");
    set.add("x", two).unwrap();
    assert!(set.contains("x"), "an add that has seen the remove counts");
}

#[test]
fn what_cannot_be_done_is_refused_and_changes_nothing() {
    let one = replica(0);
    let mut counter = Gcounter::default();
    counter.add(u64::MAX, one).unwrap();
    let before = counter.clone();
    assert_eq!(counter.add(1, one), Err(MutationError::Overflow));
    assert_eq!(counter, before);
    let mut bounded = Bcounter::default();
    bounded.add(3, one).unwrap();
    assert_eq!(bounded.take(4, one), Err(MutationError::Rights { wanted: 4, available: 3 }));
    assert_eq!(bounded.take(1, replica(1)), Err(MutationError::Rights { wanted: 1, available: 0 }));
    bounded.transfer(2, replica(1), one).unwrap();
    bounded.take(2, replica(1)).unwrap();
    assert_eq!((bounded.total(), bounded.rights(one)), (1, 1));
    assert_eq!(Set::default().add("a\0", one), Err(MutationError::Nul));
    let mismatch = Crdt::empty(Kind::Set).merge(&Crdt::empty(Kind::Gset)).unwrap_err();
    assert_eq!(mismatch.to_string(), "a set and a gset cannot be merged");
}

#[test]
fn the_next_write_of_a_register_is_after_all_that_it_has_seen() {
    let at = |millis, counter| Hlc::new(millis, counter).unwrap();
    let mut register = Lww::default();
    assert_eq!(register.next_stamp(at(5, 0)), Some(at(5, 0)));
    register.set(&json("1"), at(9, 3), replica(1));
    assert_eq!(register.next_stamp(at(5, 0)), Some(at(9, 4)), "the other's clock is ahead");
    assert_eq!(register.next_stamp(at(9, 3)), Some(at(9, 4)));
    assert_eq!(register.next_stamp(at(10, 0)), Some(at(10, 0)));
    register.set(&json("1"), Hlc::MAX, replica(1));
    assert_eq!(register.next_stamp(at(5, 0)), None);
}

#[test]
fn a_database_and_its_copies_are_different_replicas_of_one_site() {
    let own = Replica::of_database(site(1), 7, 1, 5);
    let others = [(7, 2, 5), (8, 1, 5), (7, 1, 6)].map(|(a, b, c)| Replica::of_database(site(1), a, b, c));
    assert!(others.iter().all(|other| *other != own && other.site == own.site));
    assert_eq!(own.reissued(9).reissued(0), own);
    let mut counter = Gcounter::default();
    others.iter().for_each(|other| drop(counter.add(1, *other).unwrap()));
    assert_eq!(Crdt::from(counter.clone()).acting(own), own);
    counter.add(1, own.reissued(9)).unwrap();
    assert_eq!(Crdt::from(counter.clone()).acting(own), own.reissued(9));
    counter.add(1, own).unwrap();
    assert_eq!(Crdt::from(counter).acting(own), own);
}

#[test]
fn braces_alone_are_the_empty_value_of_the_kind_asked_for() {
    for kind in Kind::ALL {
        assert_eq!(Crdt::parse_as(" { } ", *kind), Ok(Crdt::empty(*kind)));
    }
    assert!("{}".parse::<Crdt>().is_err());
}

#[test]
fn json_that_is_too_deep_for_the_text_is_refused_in_bytes_as_well() {
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let limits = Limits { depth: 2000, bytes: 1 << 20 };
    for kind in [Kind::Lww, Kind::Mv, Kind::Map] {
        let read = |levels: usize| {
            let json = Json::parse(&deep(levels), limits).unwrap();
            let value: Crdt = match kind {
                Kind::Lww => Lww::default().set(&json, Hlc::MIN, replica(0)).into(),
                Kind::Mv => Mv::default().set(&json, replica(0)).unwrap().into(),
                _ => Map::default().put("k", &json, Hlc::MIN, replica(0)).unwrap().into(),
            };
            (Crdt::decode(&value.encode()).is_ok(), value.to_string().parse::<Crdt>().is_ok())
        };
        let both: Vec<bool> = (995..1015)
            .map(read)
            .map(|(bytes, text)| {
                assert_eq!(bytes, text, "{kind:?}");
                bytes
            })
            .collect();
        assert!(both[5] && !both[19], "{kind:?}");
    }
}

#[test]
fn a_text_may_be_longer_than_any_encoding_but_not_a_short_text_of_long_numbers() {
    let mut set = Gset::default();
    set.add(&"\u{1}".repeat(12 << 20)).unwrap();
    let value = Crdt::from(set);
    let text = value.to_string();
    assert!(text.len() > Crdt::BYTES_MAX && value.encode().len() < Crdt::BYTES_MAX);
    assert!(text.parse() == Ok(value), "a long text does not read back");
    let numbers = vec!["1e131071"; 600].join(",");
    let error = format!("{{\"lww\": [{numbers}]}}").parse::<Crdt>().unwrap_err();
    assert!(error.to_string().contains("longer than 67108864 bytes"), "{error}");
}

#[test]
fn malformed_texts_are_refused_with_the_reason() {
    let error = |text: &str| text.parse::<Crdt>().unwrap_err().to_string();
    let who = replica(0);
    for (text, expected) in [
        ("".to_owned(), "the JSON text ends too early: expected a value, at byte 0"),
        ("[]".to_owned(), "a CRDT value looks like {\"gcounter\": {…}}: an object whose one key is the kind"),
        ("{\"gcouter\": {}}".to_owned(), "no CRDT value is called \"gcouter\" (did you mean \"gcounter\"?)"),
        (
            format!("{{\"gcounter\": {{\"{who}\": -1}}}}"),
            "not a gcounter: expected an integer from 0 to 18446744073709551615",
        ),
        (
            format!("{{\"gcounter\": {{\"{who}\": 1.5}}}}"),
            "not a gcounter: expected an integer from 0 to 18446744073709551615",
        ),
        ("{\"gset\": [1]}".to_owned(), "not a gset: expected a string"),
        ("{\"set\": {\"live\": []}}".to_owned(), "not a set: expected an object with just these keys: live, seen"),
    ] {
        assert_eq!(error(&text), expected);
    }
    assert!(error("{\"gcounter\": {\"paris\": 1}}").starts_with("not a gcounter: a replica is a site and 16"));
    let unseen = format!("{{\"set\": {{\"live\": [[\"a\", \"{who}\", 2]], \"seen\": {{\"{who}\": [[1, 1]]}}}}}}");
    assert!(error(&unseen).starts_with("not a set: the value is not one that any history leads to"));
    assert!(error(&"[".repeat(100_000)).contains("nested deeper"));
    assert!(Crdt::parse_as("{\"gset\": []}", Kind::Set).unwrap_err().to_string().contains("is a gset, not a set"));
}

#[test]
fn every_single_byte_mutation_of_every_kind_is_refused_or_encodes_to_itself() {
    for kind in Kind::ALL {
        let bytes = run(*kind, 7, 14).unwrap().last[0].encode();
        for at in 0..bytes.len() {
            for byte in 0..=255 {
                let mut mutated = bytes.clone();
                mutated[at] = byte;
                if let Ok(read) = Crdt::decode(&mutated) {
                    assert_eq!(read.encode(), mutated);
                }
            }
            assert!(Crdt::decode(&bytes[..at]).is_err());
        }
    }
    // A count far beyond the bytes that are there allocates nothing.
    for kind in 1..=11 {
        assert!(Crdt::decode(&[1, kind, 0xff, 0xff, 0xff, 0xff, 0x7f]).is_err());
    }
}
