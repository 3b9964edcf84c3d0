//! What becomes of transactions that come: each verdict, and what stands behind what stays.

use std::collections::BTreeMap;

use gundb_core::apply::{
    Bounds, Fresh, Incoming, Judge, LaneHead, Problem, Receiver, Refusal, Untaken, Verdict, Wait, firsts, judge,
};
use gundb_core::{
    Chain, Clock, Dot, Epoch, Event, Hlc, Lane, Limits, Run, SiteId, StreamId, Transaction, TransactionId,
};
use uuid::Uuid;

const HERE: SiteId = SiteId(Uuid::from_u128(1));
const THERE: SiteId = SiteId(Uuid::from_u128(2));

fn run(number: u64) -> Run {
    Run::new(number).unwrap()
}

fn at(millis: u64) -> Hlc {
    Hlc::new(millis, 0).unwrap()
}

/// A receiver that holds what it was given, takes stream "s", and knows epoch 0 of each run, which covers nothing, and those it was told.
#[derive(Default)]
struct Holds {
    events: BTreeMap<Dot, (Hlc, Chain)>,
    epochs: BTreeMap<Epoch, Clock>,
    waiting: Untaken,
    refused: Untaken,
}

impl Receiver for Holds {
    fn head(&self, site: SiteId, stream: StreamId, lane: Lane) -> Option<LaneHead> {
        let mut of_lane =
            self.events.iter().filter(|(dot, _)| (dot.site, dot.stream, dot.lane) == (site, stream, lane));
        of_lane.next_back().map(|(dot, (hlc, chain))| LaneHead { seq: dot.seq, hlc: *hlc, chain: *chain })
    }
    fn chain(&self, dot: &Dot) -> Option<Chain> {
        self.events.get(dot).map(|(_, chain)| *chain)
    }
    fn has_stream(&self, stream: StreamId) -> bool {
        stream == StreamId::of_name("s")
    }
    fn knows(&self, epoch: &Epoch) -> bool {
        epoch.number == 0 || self.epochs.contains_key(epoch)
    }
    fn epoch_clock(&self, epoch: &Epoch) -> Option<Clock> {
        self.epochs.get(epoch).cloned().or((epoch.number == 0).then(Clock::new))
    }
    fn waiting(&self) -> &Untaken {
        &self.waiting
    }
    fn refused(&self) -> &Untaken {
        &self.refused
    }
    fn own(&self) -> (SiteId, Run) {
        (HERE, run(9))
    }
}

const BOUNDS: Bounds = Bounds {
    stamp_max: Hlc::MAX,
    json: Limits { depth: 100, bytes: 1_000 },
    kind_bytes_max: 255,
    key_bytes_max: 2_048,
};

/// Writes the transactions of one run: each a list of (stream, lane number).
struct Author {
    site: SiteId,
    run: Run,
    heads: BTreeMap<(StreamId, Lane), (u64, Chain)>,
    clock: u64,
}

impl Author {
    fn new(site: SiteId, number: u64) -> Author {
        Author { site, run: run(number), heads: BTreeMap::new(), clock: 0 }
    }

    fn writes(&mut self, places: &[(&str, u16)]) -> Incoming {
        let xact = at(self.clock + 1);
        let events = places.iter().map(|(stream, number)| {
            self.clock += 1;
            let (stream, lane) = (StreamId::of_name(stream), Lane::new(self.run, *number));
            let genesis = (0, Chain::genesis(self.site, stream, lane));
            let (seq, previous) = *self.heads.get(&(stream, lane)).unwrap_or(&genesis);
            let mut event = Event {
                dot: Dot::new(self.site, stream, lane, seq + 1).unwrap(),
                hlc: at(self.clock),
                xact,
                epoch: 0,
                id: Uuid::from_u128(u128::from(self.clock)),
                kind: "Happened".to_owned(),
                key: None,
                data: "{}".to_owned(),
                meta: "{}".to_owned(),
                salt: [7; 16],
                chain: previous,
            };
            event.chain = event.chain_after(&previous);
            self.heads.insert((stream, lane), (seq + 1, event.chain));
            event
        });
        let events = events.collect();
        let id = TransactionId { site: self.site, run: self.run, xact };
        Incoming { transaction: Transaction::new(id, events), accepted: false }
    }
}

fn hold(holds: &mut Holds, incoming: &Incoming) {
    holds.events.extend(incoming.transaction.events.iter().map(|event| (event.dot, (event.hlc, event.chain))));
}

fn take(count: u64) -> Verdict {
    Verdict::Take(Fresh { count, held: Clock::new() })
}

fn gap(incoming: &Incoming, event: usize, next: u64) -> Verdict {
    Verdict::Refuse(Refusal { dot: incoming.transaction.events[event].dot, problem: Problem::Gap { next } })
}

fn refused(incoming: &Incoming, event: usize, problem: Problem) -> Verdict {
    Verdict::Refuse(Refusal { dot: incoming.transaction.events[event].dot, problem })
}

/// `incoming` with one event altered, its chain made anew after `previous`, or after the lane's beginning.
fn altered(incoming: &Incoming, alter: impl FnOnce(&mut Event)) -> Incoming {
    let mut altered = incoming.clone();
    let event = &mut altered.transaction.events[0];
    alter(event);
    event.chain = event.chain_after(&Chain::genesis(event.dot.site, event.dot.stream, event.dot.lane));
    altered
}

#[test]
fn what_follows_is_taken_and_what_is_held_is_held() {
    let mut author = Author::new(THERE, 1);
    let (first, second) = (author.writes(&[("s", 0), ("s", 1)]), author.writes(&[("s", 0)]));
    let mut holds = Holds::default();
    let all = [first.clone(), second, first.clone()];
    assert_eq!(judge(&all, &holds, &BOUNDS), [take(2), take(1), Verdict::Held]);
    hold(&mut holds, &first);
    assert_eq!(judge(&all, &holds, &BOUNDS), [Verdict::Held, take(1), Verdict::Held]);
}

#[test]
fn a_gap_is_refused_and_so_is_what_stands_behind_it() {
    let mut author = Author::new(THERE, 1);
    let (_, second, third) =
        (author.writes(&[("s", 0)]), author.writes(&[("s", 1), ("s", 0)]), author.writes(&[("s", 1)]));
    let verdicts = judge(&[second.clone(), third.clone()], &Holds::default(), &BOUNDS);
    assert_eq!(verdicts, [gap(&second, 1, 1), gap(&third, 0, 1)]);
}

#[test]
fn a_fork_is_refused_whole_whether_it_is_beside_what_is_held_or_after_it() {
    let (mut author, mut other) = (Author::new(THERE, 1), Author::new(THERE, 1));
    let first = author.writes(&[("s", 0)]);
    other.clock = 5;
    let (beside, after) = (other.writes(&[("s", 0)]), other.writes(&[("s", 1), ("s", 0)]));
    let mut holds = Holds::default();
    hold(&mut holds, &first);
    let verdicts = judge(&[beside.clone(), after.clone()], &holds, &BOUNDS);
    assert_eq!(verdicts, [refused(&beside, 0, Problem::Fork), refused(&after, 1, Problem::Fork)]);
}

#[test]
fn stamps_too_far_ahead_wait_until_they_are_accepted_and_what_stands_behind_waits_too() {
    let mut author = Author::new(THERE, 1);
    let first = author.writes(&[("s", 0)]);
    author.clock = 10;
    let (ahead, behind) = (author.writes(&[("s", 0)]), author.writes(&[("s", 0)]));
    let bounds = Bounds { stamp_max: at(10), ..BOUNDS };
    let (holds, dot) = (Holds::default(), behind.transaction.events[0].dot);
    let verdicts = judge(&[first.clone(), ahead.clone(), behind.clone(), ahead.clone()], &holds, &bounds);
    let waits = [Verdict::Wait(Wait::Time(at(11))), Verdict::Wait(Wait::Behind(dot)), Verdict::Held];
    assert_eq!(verdicts[1..], waits);
    let accepted = Incoming { accepted: true, ..ahead };
    let verdicts = judge(&[first, accepted, behind], &holds, &bounds);
    assert_eq!(verdicts[1..], [take(1), Verdict::Wait(Wait::Time(at(12)))]);
}

#[test]
fn a_transaction_of_which_some_comes_waits_for_the_time_of_its_end() {
    let mut author = Author::new(THERE, 1);
    let mut some = author.writes(&[("s", 0)]);
    some.transaction.ends = at(11);
    let (holds, bounds) = (Holds::default(), Bounds { stamp_max: at(10), ..BOUNDS });
    assert_eq!(judge(std::slice::from_ref(&some), &holds, &bounds), [Verdict::Wait(Wait::Time(at(11)))]);
    assert_eq!(judge(&[Incoming { accepted: true, ..some }], &holds, &bounds), [take(1)]);
}

#[test]
fn an_unknown_stream_keeps_the_whole_transaction_waiting() {
    let mut author = Author::new(THERE, 1);
    let (unknown, behind) = (author.writes(&[("s", 0), ("t", 0)]), author.writes(&[("s", 0)]));
    let verdicts = judge(&[unknown, behind.clone()], &Holds::default(), &BOUNDS);
    let dot = behind.transaction.events[0].dot;
    assert_eq!(verdicts, [Verdict::Wait(Wait::Stream(StreamId::of_name("t"))), Verdict::Wait(Wait::Behind(dot))]);
}

#[test]
fn nobody_else_writes_in_the_receivers_own_run() {
    let mut author = Author::new(HERE, 9);
    let (first, second) = (author.writes(&[("s", 0)]), author.writes(&[("s", 0)]));
    let mut holds = Holds::default();
    hold(&mut holds, &first);
    let verdicts = judge(&[first, second.clone()], &holds, &BOUNDS);
    assert_eq!(verdicts, [Verdict::Held, refused(&second, 0, Problem::OwnRun)]);
    // An earlier run of its own is as any other.
    let earlier = Author::new(HERE, 8).writes(&[("s", 0)]);
    assert_eq!(judge(&[earlier], &Holds::default(), &BOUNDS), [take(1)]);
}

#[test]
fn an_epoch_that_nobody_told_of_is_a_gap() {
    let told = Author::new(THERE, 1).writes(&[("s", 0)]);
    let untold = altered(&told, |event| event.epoch = 3);
    let epoch = Epoch { site: THERE, run: run(1), number: 3 };
    assert_eq!(
        judge(std::slice::from_ref(&untold), &Holds::default(), &BOUNDS),
        [refused(&untold, 0, Problem::Epoch(epoch))]
    );
}

#[test]
fn what_cannot_be_an_event_is_refused_though_its_chain_is_right() {
    let good = Author::new(THERE, 1).writes(&[("s", 0)]);
    let bad: [fn(&mut Event); 8] = [
        |event| event.xact = at(77),
        |event| event.kind.clear(),
        |event| event.kind = "x".repeat(256),
        |event| event.key = Some("x".repeat(2_049)),
        |event| event.data = "{ }".to_owned(),
        |event| event.data = "{\"b\": 1, \"a\": 1}".to_owned(),
        |event| event.meta = "[]".to_owned(),
        |event| event.hlc = Hlc::MIN,
    ];
    for alter in bad {
        let bad = altered(&good, alter);
        let [Verdict::Refuse(Refusal { problem: Problem::Malformed(_), .. })] =
            judge(std::slice::from_ref(&bad), &Holds::default(), &BOUNDS)[..]
        else {
            panic!("was not refused as malformed: {bad:?}");
        };
    }
}

/// What a transaction's author had applied when it wrote: its epoch covers these.
fn having_seen(holds: &mut Holds, author: &mut Author, seen: &[&Incoming], places: &[(&str, u16)]) -> Incoming {
    let mut effect = author.writes(places);
    let number = holds.epochs.len() as u64 + 1;
    let dots = seen.iter().flat_map(|incoming| &incoming.transaction.events).map(|event| event.dot);
    holds.epochs.insert(Epoch { site: author.site, run: author.run, number }, dots.collect());
    for event in &mut effect.transaction.events {
        event.epoch = number;
        event.chain = event.chain_after(&Chain::genesis(event.dot.site, event.dot.stream, event.dot.lane));
    }
    effect
}

#[test]
fn what_saw_one_that_waits_waits_and_what_saw_one_that_was_refused_is_refused() {
    let (mut first, mut second, mut third) = (Author::new(THERE, 1), Author::new(THERE, 2), Author::new(HERE, 3));
    let mut holds = Holds::default();
    first.clock = 10;
    let cause = first.writes(&[("s", 0), ("s", 1)]);
    let effect = having_seen(&mut holds, &mut second, &[&cause], &[("s", 0)]);
    let of_effect = having_seen(&mut holds, &mut third, &[&effect], &[("s", 0)]);
    let beside = Author::new(THERE, 4).writes(&[("s", 0)]);
    let all = [cause.clone(), effect.clone(), of_effect.clone(), beside.clone()];
    let waits = |incoming: &Incoming| Verdict::Wait(Wait::Cause(incoming.transaction.events[0].dot));
    let ahead = Bounds { stamp_max: at(10), ..BOUNDS };
    let verdicts = judge(&all, &holds, &ahead);
    let time = Verdict::Wait(Wait::Time(at(12)));
    assert_eq!(verdicts, [time, waits(&effect), waits(&of_effect), take(1)]);
    let mut bad = all.clone();
    bad[0] = altered(&cause, |event| event.kind.clear());
    let verdicts = judge(&bad, &holds, &BOUNDS);
    assert!(matches!(verdicts[0], Verdict::Refuse(Refusal { problem: Problem::Malformed(_), .. })));
    let because = |incoming: &Incoming| refused(incoming, 0, Problem::Cause);
    assert_eq!(verdicts[1..], [because(&effect), because(&of_effect), take(1)]);
    // As well where it was judged before.
    holds.refused.add(&cause.transaction.id, firsts(&cause.transaction.events));
    assert_eq!(judge(&all[1..], &holds, &BOUNDS), [because(&effect), because(&of_effect), take(1)]);
    holds.waiting = std::mem::take(&mut holds.refused);
    assert_eq!(judge(&all[1..], &holds, &BOUNDS), [waits(&effect), waits(&of_effect), take(1)]);
}

#[test]
fn in_its_run_what_was_written_after_one_that_is_not_taken_depends_on_it_in_any_lane() {
    let mut author = Author::new(THERE, 1);
    let before = author.writes(&[("s", 0)]);
    let (bad, after) = (author.writes(&[("s", 1)]), author.writes(&[("s", 2)]));
    let mut bad = altered(&bad, |event| event.kind.clear());
    let verdicts = judge(&[before.clone(), bad.clone(), after.clone()], &Holds::default(), &BOUNDS);
    assert_eq!(verdicts[0], take(1));
    assert_eq!(verdicts[2], refused(&after, 0, Problem::Cause));
    // A bad copy of what is held is no reason to refuse what saw the good one.
    let mut holds = Holds::default();
    hold(&mut holds, &before);
    bad.transaction = before.transaction.clone();
    bad.transaction.events[0].kind.clear();
    let effect = having_seen(&mut holds, &mut Author::new(THERE, 2), &[&before], &[("s", 0)]);
    assert_eq!(judge(&[bad, effect], &holds, &BOUNDS)[1], take(1));
}

/// The verdict on a transaction that comes lane by lane, at most so many events at a time.
fn verdict_in_parts(judge: &mut Judge<Holds>, incoming: &Incoming, events_max: usize) -> Verdict {
    let mut events = incoming.transaction.events.clone();
    events.sort_by_key(|event| event.dot);
    let mut judging = judge.begin(incoming.transaction.id, incoming.accepted);
    events.chunks(events_max).for_each(|part| judge.part(&mut judging, part));
    judge.end(&judging)
}

/// Some transactions: one that waits for its time, one for a stream, and others around them, bad ones too.
fn some() -> (Holds, Vec<Incoming>) {
    let (mut author, mut other) = (Author::new(THERE, 1), Author::new(THERE, 2));
    let mut holds = Holds::default();
    let held = author.writes(&[("s", 0), ("s", 1), ("s", 0)]);
    hold(&mut holds, &held);
    let well = author.writes(&[("s", 0), ("s", 1), ("s", 0), ("s", 2), ("s", 0)]);
    let mut partly = author.writes(&[("s", 1), ("s", 3), ("s", 1), ("s", 1)]);
    // Its first event of lane 1 has come before it.
    let first = partly.transaction.events[0].clone();
    holds.events.insert(first.dot, (first.hlc, first.chain));
    let effect = having_seen(&mut holds, &mut other, &[&well], &[("s", 0), ("s", 1), ("s", 0)]);
    let bad = altered(&Author::new(THERE, 3).writes(&[("s", 0), ("s", 0), ("s", 1)]), |event| event.kind.clear());
    let unknown = Author::new(THERE, 4).writes(&[("s", 0), ("t", 0), ("s", 0)]);
    let mut copy = well.clone();
    copy.transaction.events[3].salt = [9; 16];
    partly.accepted = true;
    (holds, vec![held, well.clone(), partly, effect, bad, unknown.clone(), unknown, copy, well])
}

#[test]
fn a_transaction_judged_in_parts_is_judged_as_if_it_were_whole() {
    let (holds, all) = some();
    for stamp_max in [Hlc::MAX, at(7)] {
        let bounds = Bounds { stamp_max, ..BOUNDS };
        for (at, incoming) in all.iter().enumerate() {
            // Those before it are whole. Of several events that do not fit the first is named, in the order in which they come.
            let (mut whole, mut parts) = (Judge::new(&holds, &bounds), Judge::new(&holds, &bounds));
            all[..at].iter().for_each(|before| drop((whole.verdict(before), parts.verdict(before))));
            let (so_far, expected) = (parts.so_far(), whole.verdict(incoming));
            for events_max in 1..=6 {
                parts.go_back(so_far.clone());
                assert_eq!(verdict_in_parts(&mut parts, incoming, events_max), expected, "{at}, parts of {events_max}");
                if matches!(expected, Verdict::Take(_)) {
                    continue;
                }
                // What comes after it is judged as after the whole one.
                let after_it = whole.so_far();
                for after in &all[at..] {
                    assert_eq!(parts.verdict(after), whole.verdict(after), "after {at} in parts of {events_max}");
                }
                whole.go_back(after_it);
            }
        }
    }
}

#[test]
fn what_came_again_while_it_waits_in_parts_is_held_and_a_fork_of_its_end_is_not() {
    let mut author = Author::new(THERE, 1);
    let (unknown, behind) = (author.writes(&[("s", 0), ("t", 0), ("s", 0)]), author.writes(&[("s", 0)]));
    let holds = Holds::default();
    let mut judge = Judge::new(&holds, &BOUNDS);
    assert_eq!(verdict_in_parts(&mut judge, &unknown, 2), Verdict::Wait(Wait::Stream(StreamId::of_name("t"))));
    assert_eq!(verdict_in_parts(&mut judge, &unknown, 1), Verdict::Held);
    assert_eq!(judge.verdict(&unknown), Verdict::Held);
    let mut fork = unknown.clone();
    fork.transaction.events[2].chain = Chain([1; 16]);
    let waits = Verdict::Wait(Wait::Behind(behind.transaction.events[0].dot));
    assert_eq!(judge.verdict(&behind), waits);
    assert_eq!(judge.verdict(&fork), refused(&unknown, 2, Problem::Fork));
    // As well where it is only known to wait.
    let (mut before, mut later) = (Judge::new(&holds, &BOUNDS), Judge::new(&holds, &BOUNDS));
    let mut judging = before.begin(unknown.transaction.id, false);
    before.part(&mut judging, &unknown.transaction.events);
    before.end(&judging);
    later.waits(judging.waiter());
    assert_eq!([later.verdict(&unknown), later.verdict(&behind)], [Verdict::Held, waits]);
    assert_eq!(later.verdict(&fork), refused(&unknown, 2, Problem::Fork));
}
