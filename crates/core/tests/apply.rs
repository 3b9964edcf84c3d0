//! What becomes of transactions that come: each verdict, and what stands behind what stays.

use std::collections::BTreeMap;

use gundb_core::apply::{Bounds, Incoming, LaneHead, Problem, Receiver, Refusal, Verdict, Wait, judge};
use gundb_core::{Chain, Dot, Epoch, Event, Hlc, Lane, Limits, Run, SiteId, StreamId, Transaction, TransactionId};
use uuid::Uuid;

const HERE: SiteId = SiteId(Uuid::from_u128(1));
const THERE: SiteId = SiteId(Uuid::from_u128(2));

fn run(number: u64) -> Run {
    Run::new(number).unwrap()
}

fn at(millis: u64) -> Hlc {
    Hlc::new(millis, 0).unwrap()
}

/// A receiver that holds what it was given, takes stream "s", and knows epoch 0 of each run.
#[derive(Default)]
struct Holds(BTreeMap<Dot, (Hlc, Chain)>);

impl Receiver for Holds {
    fn head(&self, site: SiteId, stream: StreamId, lane: Lane) -> Option<LaneHead> {
        let mut of_lane = self.0.iter().filter(|(dot, _)| (dot.site, dot.stream, dot.lane) == (site, stream, lane));
        of_lane.next_back().map(|(dot, (hlc, chain))| LaneHead { seq: dot.seq, hlc: *hlc, chain: *chain })
    }
    fn chain(&self, dot: &Dot) -> Option<Chain> {
        self.0.get(dot).map(|(_, chain)| *chain)
    }
    fn has_stream(&self, stream: StreamId) -> bool {
        stream == StreamId::of_name("s")
    }
    fn knows(&self, epoch: &Epoch) -> bool {
        epoch.number == 0
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
        Incoming { transaction: Transaction { id, events }, accepted: false }
    }
}

fn hold(holds: &mut Holds, incoming: &Incoming) {
    holds.0.extend(incoming.transaction.events.iter().map(|event| (event.dot, (event.hlc, event.chain))));
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
    assert_eq!(judge(&all, &holds, &BOUNDS), [Verdict::Take(vec![0, 1]), Verdict::Take(vec![0]), Verdict::Held]);
    hold(&mut holds, &first);
    assert_eq!(judge(&all, &holds, &BOUNDS), [Verdict::Held, Verdict::Take(vec![0]), Verdict::Held]);
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
    assert_eq!(verdicts[1..], [Verdict::Take(vec![0]), Verdict::Wait(Wait::Time(at(12)))]);
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
    assert_eq!(judge(&[earlier], &Holds::default(), &BOUNDS), [Verdict::Take(vec![0])]);
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
